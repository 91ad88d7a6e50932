"""What a scripted upstream is, whatever it speaks: the script, the server, and what it received.

The test writes the answers into the prompt: `[[script:NAME:BASE64]]` in a user message carries the
JSON list of the conversation's steps. The step that answers a request is the number of assistant
messages after the marker, so a tool loop needs no state here and survives whatever a client adds to
the conversation. A step given as a list is a list of attempts: the first request of that step gets
the first, the next one the second, and the last one answers all further requests.
"""

import base64
import gzip
import itertools
import json
import re
import socket
import sys
import threading
import traceback
import zlib
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CREATED = 1700000000

# In a content coding that was not asked for, called a page, with frames parted by one newline, and a
# stream whose connection is lost behind the finish reason.
WIRES = ["gzip", "page", "lines", "lost"]
API_KEY = "test-key"


@dataclass
class Step:
    """One scripted answer."""

    text: str = ""
    reasoning: str = ""
    # Where the reasoning stands: a field of the delta, or "think" for <think> tags inside the text.
    reasoning_field: str = "reasoning_content"
    # [name, arguments] pairs; arguments are an object, or a string that is sent as it is.
    tools: list = field(default_factory=list)
    # "pieces", "interleaved", "whole", "together" (all calls in one chunk), "no_ids" or "same_ids".
    tool_style: str = "pieces"
    finish_reason: str = ""
    # [prompt_tokens, completion_tokens, cached_tokens], or None for an upstream that never says.
    usage: list | None = field(default_factory=lambda: [50, 8, 0])
    # Anything but 200 is answered with `error`, an object or the text of a body that is not JSON.
    status: int = 200
    error: object = None
    retry_after: str = ""
    # How a stream breaks after three chunks: "cut" (connection closed), "ended" (clean end without
    # finish_reason), "error" (an error object) or "failed" (a response that says so, the same for chat
    # completions); or "refused": `error` comes inside the stream, before anything is said.
    broken: str = ""
    # How the body comes, where it is not as its head and its API say: one of WIRES.
    wire: str = ""

    def given(self):
        """What differs from the defaults, as it stands in a marker."""
        defaults = asdict(Step())
        return {name: value for name, value in asdict(self).items() if value != defaults[name]}


@dataclass
class Received:
    """One request as it came in."""

    script: str
    at: float
    headers: dict
    # In the form of chat completions, whichever API it came through.
    body: dict
    violations: list
    # As it came in.
    path: str = ""
    original: dict | None = None
    # What it was refused with.
    refused: str = ""


@dataclass
class Refusal:
    """Why a server does not answer a request; how it says so is up to the server."""

    message: str
    param: str | None = None
    code: str | None = None
    status: int = 400
    type: str = "invalid_request_error"


class Script:
    """A scripted conversation: the prompt that starts it, and what the upstream received of it."""

    def __init__(self, upstream, name, steps):
        self.upstream, self.name = upstream, name
        encoded = base64.b64encode(json.dumps(steps, default=Step.given).encode()).decode()
        self.prompt = f"Please answer. [[script:{name}:{encoded}]]"

    @property
    def requests(self):
        return self.upstream.received(self.name)


class ScriptedServer:
    """A server on a free port of the loopback address, for the length of a `with` block."""

    def __init__(self, handler):
        self._lock = threading.Lock()
        self._received = []
        self._attempts = {}
        self._names = itertools.count(1)
        # Tracebacks of these files' own mistakes, which a proxy would hide as an upstream error.
        self.faults = []
        self._server = Server(("127.0.0.1", 0), handler)
        self._server.upstream = self
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exception):
        self._server.shutdown()
        self._server.server_close()

    def script(self, *steps):
        return Script(self, f"script-{next(self._names)}", steps)

    def received(self, script=None):
        with self._lock:
            return [r for r in self._received if script in (None, r.script)]

    def keep(self, received):
        with self._lock:
            self._received.append(received)

    def violations(self):
        """What a strict server would have refused, each with the script it came from."""
        found = (f"{r.script}: {v}" for r in self.received() for v in r.violations)
        return sorted(set(found))

    def next_step(self, messages):
        """The name of the script that these chat messages carry, and the step that is due."""
        name, steps, index = find_script(messages)
        step = steps[index] if index < len(steps) else {"text": "The script is over."}
        if isinstance(step, list):
            with self._lock:
                attempt = next(self._attempts.setdefault((name, index), itertools.count()))
            step = step[min(attempt, len(step) - 1)]
        return name, Step(**step)


MARKER = re.compile(r"\[\[script:([\w-]+):([\w+/=]+)\]\]")


def find_script(messages):
    """Returns name, steps and the step's index of the last marker in a user message."""
    messages = messages or []
    for position in range(len(messages) - 1, -1, -1):
        if messages[position].get("role") != "user":
            continue
        markers = MARKER.findall(text_of(messages[position].get("content")))
        if markers:
            name, encoded = markers[-1]
            answered = sum(m.get("role") == "assistant" for m in messages[position + 1 :])
            return name, json.loads(base64.b64decode(encoded)), answered
    return "none", [{"text": "Hello from the upstream."}], 0


def text_of(content):
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text") or "" for part in content or [])


def pieces(text, size):
    return (text[start : start + size] for start in range(0, len(text), size))


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        # A proxy that leaves in the middle of an answer is nobody's mistake here.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            self.upstream.faults.append(traceback.format_exc())


class ScriptedHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    # How bodies come, as WIRES has it.
    wire = ""
    squeezing = None

    def log_message(self, *arguments):
        pass

    def read_body(self):
        return self.rfile.read(int(self.headers.get("content-length") or 0))

    def lower_headers(self):
        return {name.lower(): value for name, value in self.headers.items()}

    def send(self, status, body, retry_after="", cut=False):
        is_json = not isinstance(body, str)
        raw = json.dumps(body).encode() if is_json else body.encode()
        self.send_response(status)
        is_page = not is_json or self.wire == "page"
        self.send_header("content-type", "text/html" if is_page else "application/json")
        if self.wire == "gzip":
            self.send_header("content-encoding", "gzip")
            raw = gzip.compress(raw)
        self.send_header("content-length", str(len(raw)))
        if retry_after:
            self.send_header("retry-after", retry_after)
        self.end_headers()
        if cut:
            self.wfile.write(raw[: len(raw) // 2])
            self.cut()
        else:
            self.wfile.write(raw)

    def start_stream(self):
        self.send_response(200)
        kind = "text/html" if self.wire == "page" else "text/event-stream"
        self.send_header("content-type", kind)
        self.send_header("transfer-encoding", "chunked")
        if self.wire == "gzip":
            self.send_header("content-encoding", "gzip")
            self.squeezing = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
        self.end_headers()

    def send_event(self, data, event=""):
        """Sends one event; `data` is an object, or the text of one that is none."""
        text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
        self.send_raw(f"event: {event}\ndata: {text}\n\n" if event else f"data: {text}\n\n")

    def send_raw(self, text):
        if self.wire == "lines":
            text = text.replace("\n\n", "\n")
        raw = text.encode()
        if self.wire == "gzip":
            raw = self.squeezing.compress(raw) + self.squeezing.flush(zlib.Z_SYNC_FLUSH)
        self.wfile.write(b"%x\r\n%b\r\n" % (len(raw), raw))

    def end_stream(self):
        if self.wire == "lost":
            return self.cut()
        if self.wire == "gzip":
            raw = self.squeezing.flush()
            self.wfile.write(b"%x\r\n%b\r\n" % (len(raw), raw))
        self.wfile.write(b"0\r\n\r\n")

    def cut(self):
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)
