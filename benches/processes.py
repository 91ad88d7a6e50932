"""The processes of a measurement: what they are started with, on which cores they run, and what they use."""

import contextlib
import os
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

# What a process may take to start, and to end after SIGTERM.
PATIENCE = 10
CORES = sorted(os.sched_getaffinity(0))
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")

# As few settings as pass everything on: who has more of them is no slower for it.
NGINX = """
daemon off;
{user}
worker_processes 1;
worker_rlimit_nofile 16384;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    client_max_body_size 32m; client_body_buffer_size 2m;
    keepalive_requests 1000000000;
    upstream provider {{ server {provider}; keepalive 2048; keepalive_requests 1000000000; }}
    server {{
        listen {address} backlog=4096;
        location = /health {{ return 200 healthy; }}
        location / {{
            proxy_pass http://provider;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
        }}
    }}
}}
"""


class Failed(Exception):
    """What keeps the measurement from being one, in words for whoever runs it."""


def raise_limits():
    """As many descriptors as two thousand connections need; children inherit them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 16384 if hard == resource.RLIM_INFINITY else min(hard, 16384)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def free_address():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{one.getsockname()[1]}"


class Process:
    """A process that runs, with its children."""

    def __init__(self, command, folder, environment=None, **options):
        self.log = Path(folder) / "log"
        with self.log.open("ab") as log:
            # Nothing of the caller's environment changes what is measured.
            environment = {"PATH": os.environ["PATH"], **(environment or {})}
            self.process = subprocess.Popen(
                command, cwd=folder, env=environment, stderr=log, start_new_session=True,
                **{"stdout": log, "stdin": subprocess.DEVNULL, **options})

    def pids(self):
        found = [self.process.pid]
        for pid in found:
            for task in tasks(pid):
                with contextlib.suppress(OSError):
                    found += map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split())
        return found

    def cpu(self):
        """Seconds of CPU so far, to the nanosecond: of the clock that the kernel keeps for each process."""
        return sum(time.clock_gettime((~pid << 3) | 2) for pid in self.pids())

    def resident(self):
        """Bytes in memory."""
        return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE for pid in self.pids())

    def own_memory(self):
        """Bytes in memory, those that are shared counted in parts."""
        lines = [line for pid in self.pids() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()]
        return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))

    def threads(self):
        return sum(len(tasks(pid)) for pid in self.pids())

    def pin(self, cores):
        """Threads that are started later inherit it."""
        for pid in self.pids():
            for task in tasks(pid):
                with contextlib.suppress(ProcessLookupError):
                    os.sched_setaffinity(int(task), cores)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def wait_for(self, address, path):
        """Waits until it answers `path` with 200."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and self.process.poll() is None:
            with contextlib.suppress(OSError), opener.open(f"http://{address}{path}", timeout=1) as answer:
                if answer.status == 200:
                    return
            time.sleep(0.005)
        raise Failed(f"{self.process.args[0]} does not start:\n{self.log.read_text()[-2000:]}")


def tasks(pid):
    try:
        return os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []


class Proxy:
    """How a proxy is started on an address, before a provider."""

    def __init__(self, name, command, environment, files=()):
        self.name, self.command, self.environment, self.files = name, command, environment, files

    @contextlib.contextmanager
    def running(self, provider):
        address = free_address()
        with tempfile.TemporaryDirectory(prefix="ccproxy-bench-") as folder:
            command, environment = self.filled(folder, address, provider)
            process = Process(command, folder, environment)
            try:
                process.wait_for(address, "/health")
                yield address, process
            finally:
                process.stop()

    def filled(self, folder, address, provider):
        host, port = address.split(":")
        values = {"folder": folder, "address": address, "host": host, "port": port, "provider": provider,
                  "user": "user root;" if os.geteuid() == 0 else ""}
        for name, text in self.files:
            (Path(folder) / name).write_text(text.format(**values))
        environment = {name: value.format(**values) for name, value in self.environment.items()}
        return [word.format(**values) for word in self.command], environment


def ccproxy(binary):
    # The log is written, to a file, as it would be.
    environment = {
        "PROVIDER": "custom", "CUSTOM_BASE_URL": "http://{provider}/v1", "CUSTOM_MODEL": "none",
        "SERVER_HOST": "{host}", "SERVER_PORT": "{port}",
    }
    return Proxy("ccproxy", [str(binary)], environment)


def nginx():
    # Where Debian has it, which is not on the path of everybody.
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if not program:
        raise Failed("nginx is missing; by hand: sudo apt-get install nginx-light")
    command = [program, "-e", "stderr", "-p", "{folder}", "-c", "{folder}/nginx.conf"]
    return Proxy("nginx", command, {}, [("nginx.conf", NGINX)])


def busy():
    """Seconds of CPU that all have used of this machine, and that it was denied by its host."""
    numbers = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    idle, waiting = numbers[3:5]
    return (sum(numbers) - idle - waiting) / TICKS
