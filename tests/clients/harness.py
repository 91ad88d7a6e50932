"""What every client suite shares: the proxy under test, its upstream, and the report.

A suite is a list of functions that take a `Suite`; `main` runs them. Every check that fails prints
one line, and the last line counts them all. With arguments, only the cases of these names run; with
`--responses` the upstream is asked through the Responses API.
"""

import base64
import collections
import concurrent.futures
import os
import queue
import re
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import traceback
import zlib
from pathlib import Path

from upstream import API_KEY, Upstream

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
CLIENTS = Path(os.environ.get("CLIENTS_DIR", TARGET / "clients"))
# Docker's names of the machines that scripts/build makes a file for, by those of uname.
MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "riscv64": "riscv64"}


def static_file(machine, kind="static"):
    """What scripts/build makes for a machine: what people deploy is what is tried.

    The kind "static-quick" is what it makes with --quick.
    """
    return ROOT / "target" / kind / machine / "ccproxy"


BINARY = Path(os.environ.get("CCPROXY_BINARY") or static_file(MACHINES[os.uname().machine]))

# Seconds from the start of the proxy to its first log line, and from SIGTERM to its end.
START_LIMIT = 10
STOP_LIMIT = 10


class Proxy:
    """A ccproxy process, for the length of a `with` block."""

    # The program, and what runs it.
    program = [BINARY]

    def __init__(self, *arguments, **environment):
        self.arguments, self.environment = arguments, environment
        self.log = collections.deque(maxlen=500)
        self._heard = threading.Condition()
        self.url = None

    def __enter__(self):
        # Nothing is inherited, and in an empty directory there is no .env to read.
        self._directory = tempfile.TemporaryDirectory(prefix="ccproxy-")
        self._process = subprocess.Popen(
            [*self.program, "--host", "127.0.0.1", "--port", "0", *self.arguments],
            env={"LOG_FORMAT": "text", **self.environment},
            cwd=self._directory.name,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        listening = queue.Queue()
        threading.Thread(target=self._read_log, args=[listening], daemon=True).start()
        try:
            self.url = listening.get(timeout=START_LIMIT)
        except queue.Empty:
            pass
        if self.url is None:
            self.__exit__()
            raise RuntimeError("ccproxy did not start listening; its log:\n" + "".join(self.log))
        return self

    def _read_log(self, listening):
        """Drains stderr to its end, since a full pipe would block the proxy."""
        for line in self._process.stderr:
            with self._heard:
                self.log.append(line)
                self._heard.notify_all()
            found = re.search(r"listening on (http://[\w.:\[\]]+)", line)
            if found:
                listening.put(found[1])
        listening.put(None)

    def line(self, *words, limit=START_LIMIT):
        """The first line of the log that has all of `words`, once it is there; else an empty one."""

        def find():
            return next((line for line in self.log if all(word in line for word in words)), "")

        with self._heard:
            return self._heard.wait_for(find, limit)

    def alive(self):
        return self._process.poll() is None

    def __exit__(self, *exception):
        self._process.terminate()
        try:
            self._process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._directory.cleanup()


def custom_provider(upstream):
    """A proxy that forwards to `upstream`."""
    return Proxy(
        "--provider",
        "custom",
        CUSTOM_BASE_URL=f"{upstream.url}/v1",
        CUSTOM_API_KEY=API_KEY,
        CUSTOM_MODEL="stub-model",
        CUSTOM_MAX_TOKENS="0",
    )


def responses_provider(upstream):
    """The same through the Responses API, which only this provider is asked through."""
    return Proxy(
        "--provider",
        "openai",
        OPENAI_BASE_URL=f"{upstream.url}/v1",
        OPENAI_API_KEY=API_KEY,
        OPENAI_MODEL="gpt-5.6",
        OPENAI_API="responses",
        OPENAI_MAX_TOKENS="0",
    )


class Suite:
    """One run: what the cases drive, and the count of their checks."""

    def __init__(self, name, proxy, upstream, responses=False):
        self.name, self.proxy, self.upstream = name, proxy, upstream
        # Whether the Responses API is asked, which knows no stop strings, for example.
        self.responses = responses
        self.script = upstream.script
        self.checks = self.failed = 0
        self._lock = threading.Lock()

    def check(self, name, condition, detail=""):
        """Counts a check, and prints it if it failed, with what was seen instead."""
        with self._lock:
            self.checks += 1
            if not condition:
                self.failed += 1
                seen = " ".join(str(detail).split())[:600]
                print(f"FAILED {self.name}: {name}: {seen}", flush=True)
        return bool(condition)

    def equal(self, name, seen, expected):
        return self.check(name, seen == expected, f"{seen!r}, not {expected!r}")

    def contains(self, name, whole, part):
        return self.check(name, part in whole, f"{part!r} is not in {whole!r}")

    def run(self, case):
        """Runs a case; an exception is a failed check, named by where it was raised."""
        try:
            case(self)
        except Exception as error:
            frames = traceback.extract_tb(error.__traceback__)
            own = [f for f in frames if Path(f.filename).parent == Path(__file__).parent]
            place = f"{case.__name__}, {Path(own[-1].filename).name} line {own[-1].lineno}"
            self.check(place, False, f"{type(error).__name__}: {error}")

    def finish(self):
        """Checks what holds for every suite and prints the count."""
        for violation in self.upstream.violations():
            self.check("a strict upstream accepts every request", False, violation)
        for fault in self.upstream.faults:
            self.check("the scripted upstream works", False, fault)
        if self.proxy:
            self.check("the proxy is still running", self.proxy.alive())
        if self.proxy and self.failed:
            print("The end of the proxy's log:", file=sys.stderr)
            print("".join(list(self.proxy.log)[-20:]), file=sys.stderr)
        print(f"{self.name}: {self.checks} checks, {self.failed} failed", flush=True)


def main(name, cases, workers=1):
    """Runs the cases against a fresh proxy, `workers` at a time; exits with 1 if a check failed."""
    by_name = {case.__name__: case for case in cases}
    asked = prepare(by_name)
    responses = "--responses" in sys.argv
    provider = responses_provider if responses else custom_provider
    with Upstream() as upstream, provider(upstream) as proxy:
        suite = Suite(f"{name}, responses" if responses else name, proxy, upstream, responses)
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            list(pool.map(suite.run, [by_name[name] for name in asked]))
        suite.finish()
    sys.exit(suite.failed > 0)


def prepare(names):
    """Readies this process for a run, and returns which of `names` were asked for."""
    # Stopped from outside, the `with` blocks still end what they started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if not BINARY.exists():
        sys.exit(f"{BINARY} is missing; build it with: scripts/build")
    asked = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
    unknown = set(asked) - set(names)
    if unknown:
        sys.exit(f"no case {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    forget_environment()
    return asked or list(names)


def forget_environment():
    """Drops the variables that would point a client, or its way there, elsewhere."""
    for variable in list(os.environ):
        if variable.startswith(("ANTHROPIC_", "CLAUDE")) or variable.lower().endswith("_proxy"):
            del os.environ[variable]


def red_png(side=32):
    """A red square: the bytes of a PNG image."""
    row = b"\x00" + b"\xff\x00\x00" * side
    header = struct.pack(">2I5B", side, side, 8, 2, 0, 0, 0)
    image = b"\x89PNG\r\n\x1a\n"
    for kind, data in [(b"IHDR", header), (b"IDAT", zlib.compress(row * side)), (b"IEND", b"")]:
        checksum = zlib.crc32(kind + data)
        image += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)
    return image


RED_PNG_BASE64 = base64.b64encode(red_png()).decode()
