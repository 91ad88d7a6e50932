"""What the deployment suites share: servers under test, other programs, and the requests of those
programs that no registry has.

A case starts what it needs and ends it again. Waiting is asking, again and again within a limit,
for what is waited for: a port that answers, a word of the program itself.
"""

import concurrent.futures
import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "clients"))

import harness  # noqa: E402
from harness import BINARY  # noqa: E402

# Seconds that a wait may take before it is a failure.
LIMIT = 30
# Servers like HAProxy live outside of an ordinary user's path.
os.environ["PATH"] += ":/usr/local/sbin:/usr/sbin:/sbin"


class Suite(harness.Suite):
    """One run: the count of its checks, and what was said about them."""

    def __init__(self, name):
        self.name = name
        self.checks = self.failed = 0
        self._lock = threading.Lock()

    def run(self, case):
        """Runs a case; an exception is a failed check, named by where it was raised."""
        began = time.monotonic()
        try:
            case(self)
        except Exception as error:
            frames = traceback.extract_tb(error.__traceback__)
            own = [f for f in frames if Path(f.filename).parent == Path(__file__).parent]
            place = ", ".join(f"{Path(f.filename).name} line {f.lineno}" for f in own[-2:])
            self.check(f"{case.__name__}, {place}", False, f"{type(error).__name__}: {error}")
        self.note(f"{case.__name__}, {time.monotonic() - began:.1f} s")

    def note(self, text):
        """Says what a reader of a green run must know."""
        print(f"{self.name}: {text}", flush=True)


def main(name, cases, needs, workers=1):
    """Runs the cases, or those that the arguments name; exits with 1 if a check failed."""
    # Stopped from outside, the `with` blocks still end what they started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    os.environ["PATH"] += ":/usr/lib/nagios/plugins"
    missing = [program for program in needs if shutil.which(program) is None]
    if missing:
        sys.exit(f"{', '.join(missing)} is missing; scripts/test {name} installs it")
    if not BINARY.exists():
        sys.exit(f"{BINARY} is missing; build it with: scripts/build")
    by_name = {case.__name__: case for case in cases}
    unknown = set(sys.argv[1:]) - set(by_name)
    if unknown:
        sys.exit(f"no case {', '.join(sorted(unknown))}; there are {', '.join(by_name)}")
    # The programs must reach the loopback, whatever way to the internet this machine has.
    harness.forget_environment()
    suite = Suite(name)

    chosen = [by_name[name] for name in sys.argv[1:] or by_name]
    if workers == 1:
        for case in chosen:
            suite.run(case)
    else:
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            list(pool.map(suite.run, chosen))
    print(f"{name}: {suite.checks} checks, {suite.failed} failed", flush=True)
    sys.exit(suite.failed > 0)


# --- The server under test -----------------------------------------------------------------------


class Server(harness.Proxy):
    """ccproxy on both loopbacks, answering from inside itself, for the length of a `with` block."""

    def __init__(self, *arguments, **environment):
        # A second signal ends it; until then an answer in progress holds it as long as is needed.
        held = {"PROVIDER": "echo", "CCPROXY_SHUTDOWN_TIMEOUT": "300"}
        super().__init__("--host", "localhost", *arguments, **{**held, **environment})
        self._stream = None

    def __enter__(self):
        super().__enter__()
        self.port = int(self.url.rsplit(":", 1)[1])
        return self

    def drain(self, address="127.0.0.1"):
        """Tells it to end while a stream is open, so that it goes on and says 503."""
        message = ask("[[chunks:10000]] [[delay:100]]", stream=True)
        self._stream = http.client.HTTPConnection(address, self.port, timeout=LIMIT)
        self._stream.request("POST", "/v1/messages", *message)
        self._answer = self._stream.getresponse()
        self._answer.readline()
        self.terminate(address)

    def terminate(self, address="127.0.0.1"):
        """Tells it to end, and waits until it says that it does."""
        self._process.send_signal(signal.SIGTERM)
        asked = [self.port, "GET", "/health"]
        until("health says 503", lambda: request(*asked, address=address)[0] == 503)

    def end(self):
        """The second signal; returns the exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(LIMIT)

    def said(self):
        """Its log."""
        return "".join(list(self.log))

    def __exit__(self, *exception):
        if self._stream:
            self._process.send_signal(signal.SIGTERM)
            self._stream.close()
        super().__exit__(*exception)


def ask(text, stream=False, padding=0):
    """Body and headers of a message; `padding` makes it that many bytes longer."""
    content = [{"type": "text", "text": "x" * padding or "."}, {"type": "text", "text": text}]
    body = {
        "model": "claude-test",
        "max_tokens": 100,
        "stream": stream,
        "messages": [{"role": "user", "content": content}],
    }
    return json.dumps(body), {"Content-Type": "application/json"}


def request(port, method, path, body=None, headers=None, address="127.0.0.1"):
    """Status, headers and body of one request to the loopback."""
    connection = http.client.HTTPConnection(address, port, timeout=LIMIT)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        connection.close()


def get(port, path, **headers):
    return request(port, "GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()})


# --- Other programs ------------------------------------------------------------------------------


def free_port():
    """A port for a program that cannot tell which one the system chose for it.

    It was free a moment ago. Nothing else on a test machine asks for it by number, and the system
    hands out the ports of a range in turn, so it is still free when the program binds it.
    """
    with socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::", 0))
        return probe.getsockname()[1]


def until(what, test, limit=LIMIT):
    """Asks until `test` returns something true, and returns that; a failed connection is a no."""
    deadline = time.monotonic() + limit
    while True:
        try:
            answer, seen = test(), None
        except (OSError, http.client.HTTPException, ValueError) as error:
            answer, seen = None, error
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {limit} s: {what} ({seen})")
        time.sleep(0.05)


@contextlib.contextmanager
def directory():
    """A new directory; the workers of nginx and Varnish, which are other users, may enter it."""
    with tempfile.TemporaryDirectory(prefix="ccproxy-") as path:
        os.chmod(path, 0o755)
        yield Path(path)


@contextlib.contextmanager
def running(where, *command):
    """A program in the background; yields its log file, and ends it."""
    log = where / f"{Path(command[0]).name}.log"
    with open(log, "wb") as output:
        process = subprocess.Popen(
            command, cwd=where, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        yield log
    except TimeoutError as error:
        tail = log.read_text(errors="replace")[-400:]
        raise TimeoutError(f"{error}; {log.name} ends with: {tail}") from None
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Outcome:
    """What a command printed that was `said` something, how it ended, and how long it took."""

    def __init__(self, command, env=None, limit=LIMIT, where=None, said=""):
        began = time.monotonic()
        done = subprocess.run(
            command,
            shell=isinstance(command, str),
            env=env,
            cwd=where,
            input=said,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=limit,
        )
        self.seconds = time.monotonic() - began
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr
        self.text = self.out + self.err

    def __str__(self):
        return f"exit code {self.code}: {self.text}"


class Traffic:
    """Messages, about a hundred a second, for the length of a `with` block; what failed is kept.

    Each is a new connection, as that of a client which has just started.
    """

    WORKERS, PAUSE = 8, 0.08

    def __init__(self, port):
        self.port, self.answered, self.failures = port, 0, []
        self._over = threading.Event()
        self._lock = threading.Lock()

    def __enter__(self):
        self._threads = [threading.Thread(target=self._send) for _ in range(self.WORKERS)]
        self._began = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def _send(self):
        while not self._over.wait(self.PAUSE):
            try:
                status, _, body = request(self.port, "POST", "/v1/messages", *ask("hello"))
                failure = "" if status == 200 and "hello" in body else f"{status} {body[:200]}"
            except (OSError, http.client.HTTPException) as error:
                failure = repr(error)
            with self._lock:
                self.answered += not failure
                if failure:
                    self.failures.append(failure)

    def __exit__(self, *exception):
        self._over.set()
        for thread in self._threads:
            thread.join()
        self.seconds = time.monotonic() - self._began


def compose(note):
    """The command of Docker Compose that is here."""
    if Outcome("docker compose version").code == 0:
        return ["docker", "compose"]
    if shutil.which("docker-compose") is None:
        raise RuntimeError("Docker Compose is missing; scripts/test installs docker-compose")
    # Debian 12 has version 1 alone, which does not know `--wait`.
    note("this is Compose 1, so nothing waits with --wait")
    return ["docker-compose"]


# --- Programs that no registry has ---------------------------------------------------------------


def exchange(connection, wanted):
    """Sends the bytes of a request and reads its answer: status, headers in lower case, body."""
    connection.sendall(wanted.replace("\n", "\r\n").encode())
    reader = connection.makefile("rb")
    status = int(reader.readline().split()[1])
    headers = {}
    while line := reader.readline().strip():
        name, value = line.decode().split(":", 1)
        headers[name.lower()] = value.strip()
    body = reader.read(int(headers["content-length"]))
    if len(body) != int(headers["content-length"]):
        raise ValueError("unexpected EOF")
    return status, headers, body.decode()


def kubelet(port, path, address="127.0.0.1"):
    """What a kubelet of Kubernetes 1.36 sends for `httpGet`, and its verdict on the answer."""
    host = f"[{address}]" if ":" in address else address
    wanted = (
        f"GET {path} HTTP/1.1\nHost: {host}:{port}\nUser-Agent: kube-probe/1.36\n"
        "Accept: */*\nConnection: close\n\n"
    )
    with socket.create_connection((address, port), timeout=1) as connection:
        status, _, body = exchange(connection, wanted)
        # It reads at most 10 KiB, and closes a connection that the server has not.
        closed = connection.recv(1) == b""
    return 200 <= status < 400 and closed and len(body) < 10 << 10


def traefik(port, path="/health"):
    """What Traefik 3 sends for `healthCheck`, twice on a connection that it keeps; its verdicts."""
    wanted = (
        f"GET {path} HTTP/1.1\nHost: localhost:{port}\nUser-Agent: Go-http-client/1.1\n"
        "Accept-Encoding: gzip\n\n"
    )
    verdicts = []
    connection = None
    for _ in range(2):
        connection = connection or socket.create_connection(("localhost", port), timeout=10)
        status, headers, _ = exchange(connection, wanted)
        verdicts.append(200 <= status < 400)
        if headers.get("connection") == "close":
            connection.close()
            connection = None
    if connection:
        connection.close()
    return verdicts
