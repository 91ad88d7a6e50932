"""A scripted OpenAI-compatible upstream, and a strict reader of what it receives.

The test writes the answers into the prompt: `[[script:NAME:BASE64]]` in a user message carries the
JSON list of the conversation's steps. The step that answers a request is the number of assistant
messages after the marker, so a tool loop needs no state here and survives whatever a client adds to
the conversation. A step given as a list is a list of attempts: the first request of that step gets
the first, the next one the second, and the last one answers all further requests.
"""

import base64
import itertools
import json
import re
import socket
import sys
import threading
import time
import traceback
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MODELS = ["stub-model", "stub-small"]
CREATED = 1700000000
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
    # finish_reason) or "error" (an error object).
    broken: str = ""

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
    body: dict
    violations: list


class Script:
    """A scripted conversation: the prompt that starts it, and what the upstream received of it."""

    def __init__(self, upstream, name, steps):
        self.upstream, self.name = upstream, name
        encoded = base64.b64encode(json.dumps(steps, default=Step.given).encode()).decode()
        self.prompt = f"Please answer. [[script:{name}:{encoded}]]"

    @property
    def requests(self):
        return self.upstream.received(self.name)


class Upstream:
    """The server, on a free port of the loopback address, for the length of a `with` block."""

    def __init__(self):
        self._lock = threading.Lock()
        self._received = []
        self._attempts = {}
        self._names = itertools.count(1)
        # Tracebacks of this file's own mistakes, which a proxy would hide as an upstream error.
        self.faults = []
        self._server = Server(("127.0.0.1", 0), Handler)
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

    def violations(self):
        """What a strict server would have refused, each with the script it came from."""
        found = (f"{r.script}: {v}" for r in self.received() for v in r.violations)
        return sorted(set(found))

    def answer(self, headers, body):
        """Keeps the request and returns the step that answers it."""
        name, steps, index = find_script(body.get("messages"))
        step = steps[index] if index < len(steps) else {"text": "The script is over."}
        with self._lock:
            if isinstance(step, list):
                attempt = self._attempts.setdefault((name, index), itertools.count())
                step = step[min(next(attempt), len(step) - 1)]
            step = Step(**step)
            found = list(violations(body))
            if headers.get("authorization") != f"Bearer {API_KEY}":
                found.append(f"authorization: {headers.get('authorization')!r}")
            offered = [tool.get("function", {}).get("name") for tool in body.get("tools") or []]
            missing = [tool for tool, _ in step.tools if tool not in offered]
            found += [f"tool {tool!r} of the script was not offered" for tool in missing]
            self._received.append(Received(name, time.monotonic(), headers, body, found))
        return step


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


# --- Answers -------------------------------------------------------------------------------------


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        # A proxy that leaves in the middle of an answer is nobody's mistake here.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            self.upstream.faults.append(traceback.format_exc())


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        if self.path == "/v1/models":
            models = [{"id": model, "object": "model", "created": CREATED} for model in MODELS]
            self.send(200, {"object": "list", "data": models})
        elif self.path.startswith("/received/"):
            # For suites in another process.
            received = self.server.upstream.received(self.path.removeprefix("/received/"))
            self.send(200, [asdict(r) for r in received])
        else:
            self.send(404, openai_error(f"Unknown request URL: GET {self.path}"))

    def do_POST(self):
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.path != "/v1/chat/completions":
            return self.send(404, openai_error(f"Unknown request URL: POST {self.path}"))
        body = json.loads(raw)
        headers = {name.lower(): value for name, value in self.headers.items()}
        step = self.server.upstream.answer(headers, body)
        if step.status != 200:
            self.send(step.status, step.error or openai_error("scripted error"), step.retry_after)
        elif body.get("stream"):
            self.send_stream(body, step)
        elif step.broken == "error":
            self.send(500, openai_error("scripted error"))
        else:
            self.send(200, completion(body, step), cut=bool(step.broken))

    def send(self, status, body, retry_after="", cut=False):
        is_json = not isinstance(body, str)
        raw = json.dumps(body).encode() if is_json else body.encode()
        self.send_response(status)
        self.send_header("content-type", "application/json" if is_json else "text/html")
        self.send_header("content-length", str(len(raw)))
        if retry_after:
            self.send_header("retry-after", retry_after)
        self.end_headers()
        if cut:
            self.wfile.write(raw[: len(raw) // 2])
            self.cut()
        else:
            self.wfile.write(raw)

    def send_stream(self, body, step):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for count, chunk in enumerate(chunks(body, step)):
            if step.broken and count == 3:
                break
            self.send_event(json.dumps(chunk, ensure_ascii=False))
        if step.broken == "cut":
            return self.cut()
        if step.broken == "error":
            self.send_event(json.dumps(openai_error("The server had an error")))
        elif not step.broken:
            self.send_event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def send_event(self, data):
        event = f"data: {data}\n\n".encode()
        self.wfile.write(b"%x\r\n%b\r\n" % (len(event), event))

    def cut(self):
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)


def openai_error(message, kind="server_error", code=None):
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def completion(body, step):
    message = {"role": "assistant", "content": step.text or None}
    if step.reasoning and step.reasoning_field == "think":
        message["content"] = f"<think>{step.reasoning}</think>{step.text}"
    elif step.reasoning:
        message[step.reasoning_field] = step.reasoning
    if step.tools:
        # Only the deltas of a stream number their calls.
        message["tool_calls"] = calls = tool_calls(step)
        for call in calls:
            del call["index"]
    elif message["content"] is None:
        message["content"] = ""
    choice = {"index": 0, "message": message, "finish_reason": finish_reason(step)}
    whole = envelope("chat.completion", body) | {"choices": [choice]}
    return whole if step.usage is None else whole | {"usage": usage(step)}


def chunks(body, step):
    chunk = envelope("chat.completion.chunk", body)
    for delta in [{"role": "assistant", "content": ""}, *text_deltas(step), *tool_deltas(step)]:
        yield chunk | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    yield chunk | {"choices": [{"index": 0, "delta": {}, "finish_reason": finish_reason(step)}]}
    if step.usage is not None and (body.get("stream_options") or {}).get("include_usage"):
        yield chunk | {"choices": [], "usage": usage(step)}


def envelope(kind, body):
    return {"id": "chatcmpl-1", "object": kind, "created": CREATED, "model": body["model"]}


def text_deltas(step):
    text = step.text
    if step.reasoning and step.reasoning_field == "think":
        text = f"<think>{step.reasoning}</think>{text}"
    elif step.reasoning:
        yield from ({step.reasoning_field: piece} for piece in pieces(step.reasoning, 5))
    yield from ({"content": piece} for piece in pieces(text, 5))


def tool_deltas(step):
    calls = tool_calls(step)
    if step.tool_style == "together":
        return [{"tool_calls": calls}] if calls else []
    if step.tool_style == "whole":
        return [{"tool_calls": [call]} for call in calls]
    rows = [list(call_pieces(call)) for call in calls]
    if step.tool_style == "interleaved":
        columns = itertools.zip_longest(*rows)
        return [{"tool_calls": [piece]} for column in columns for piece in column if piece]
    return [{"tool_calls": [piece]} for row in rows for piece in row]


def call_pieces(call):
    """The call without arguments, then these by three characters, which also cuts escapes."""
    arguments = call["function"]["arguments"]
    yield call | {"function": call["function"] | {"arguments": ""}}
    for piece in pieces(arguments, 3):
        yield {"index": call["index"], "function": {"arguments": piece}}


_call_numbers = itertools.count(1)


def tool_calls(step):
    calls = []
    for index, (name, arguments) in enumerate(step.tools):
        call = {"index": index, "id": f"call_{next(_call_numbers)}", "type": "function"}
        if step.tool_style == "no_ids":
            del call["id"]
        if step.tool_style == "same_ids":
            call["id"] = f"call_{index}"
        raw = arguments if isinstance(arguments, str) else json.dumps(arguments)
        calls.append(call | {"function": {"name": name, "arguments": raw}})
    return calls


def pieces(text, size):
    return (text[start : start + size] for start in range(0, len(text), size))


def finish_reason(step):
    return step.finish_reason or ("tool_calls" if step.tools else "stop")


def usage(step):
    prompt, answer, cached = step.usage
    return {
        "prompt_tokens": prompt,
        "completion_tokens": answer,
        "total_tokens": prompt + answer,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


# --- What a strict server refuses ----------------------------------------------------------------

# Fields of <https://platform.openai.com/docs/api-reference/chat/create>; whatever else arrives was
# forwarded from the Anthropic request.
REQUEST_FIELDS = set(
    """
    frequency_penalty logit_bias logprobs max_completion_tokens max_tokens messages metadata model n
    parallel_tool_calls presence_penalty prompt_cache_key reasoning_effort response_format
    safety_identifier seed service_tier stop store stream stream_options temperature tool_choice
    tools top_logprobs top_p user verbosity
    """.split()
)
MESSAGE_FIELDS = {
    "system": {"role", "content", "name"},
    "developer": {"role", "content", "name"},
    "user": {"role", "content", "name"},
    "assistant": {"role", "content", "name", "refusal", "tool_calls"},
    "tool": {"role", "content", "tool_call_id"},
}
PART_FIELDS = {
    "text": {"type", "text"},
    "refusal": {"type", "refusal"},
    "image_url": {"type", "image_url"},
    "file": {"type", "file"},
    "input_audio": {"type", "input_audio"},
}
PARTS = {"user": {"text", "image_url", "file", "input_audio"}, "assistant": {"text", "refusal"}}
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
IMAGE_URL = re.compile(r"data:image/|https?://")


def violations(body):
    """Yields one sentence for everything in `body` that a strict OpenAI server would refuse."""
    yield from unknown_fields("request", body, REQUEST_FIELDS)
    if not isinstance(body.get("model"), str) or not body["model"]:
        yield f"model is {body.get('model')!r}"
    for limit in ("max_tokens", "max_completion_tokens"):
        value = body.get(limit, 1)
        if type(value) is not int or value < 1:
            yield f"{limit} is {value!r}"
    if "max_tokens" in body and "max_completion_tokens" in body:
        yield "max_tokens and max_completion_tokens exclude each other"
    if "stream_options" in body and not body.get("stream"):
        yield "stream_options without stream"
    if body.get("stream") and not (body.get("stream_options") or {}).get("include_usage"):
        yield "a stream without stream_options.include_usage, so its usage stays unknown"
    stop = body.get("stop", "unset")
    if stop in ("", []) or (isinstance(stop, list) and (len(stop) > 4 or not all(stop))):
        yield f"stop takes one to four non-empty strings, not {stop!r}"
    yield from response_format_violations(body.get("response_format"))
    yield from tool_violations(body)
    yield from message_violations(body.get("messages"))


def unknown_fields(place, value, known):
    return (f"{place}: unknown field {name!r}" for name in sorted(set(value) - known))


def response_format_violations(response_format):
    if response_format is None:
        return
    kind = response_format.get("type")
    if kind not in ("text", "json_object", "json_schema"):
        yield f"response_format.type is {kind!r}"
    if kind == "json_schema" and not is_name(response_format.get("json_schema", {}).get("name")):
        yield "response_format.json_schema.name is missing or malformed"


def tool_violations(body):
    tools = body.get("tools")
    if tools is None:
        for name in {"tool_choice", "parallel_tool_calls"} & set(body):
            yield f"{name} without tools"
        return
    if not tools:
        yield "tools is empty"
    names = []
    for index, tool in enumerate(tools):
        place = f"tools.{index}"
        function = tool.get("function")
        if tool.get("type") != "function" or not isinstance(function, dict):
            yield f"{place} is not a function"
            continue
        yield from unknown_fields(place, tool, {"type", "function"})
        yield from unknown_fields(place, function, {"name", "description", "parameters", "strict"})
        names.append(function.get("name"))
        if not is_name(names[-1]):
            yield f"{place}: name {names[-1]!r}"
        parameters = function.get("parameters", {"type": "object"})
        if not isinstance(parameters, dict) or parameters.get("type") != "object":
            yield f"{place}: parameters are not the schema of an object"
    if len(set(names)) != len(names):
        yield "two tools have the same name"
    choice = body.get("tool_choice", "auto")
    forced = choice.get("function", {}).get("name") if isinstance(choice, dict) else None
    if choice not in ("auto", "none", "required") and forced not in names:
        yield f"tool_choice is {choice!r}"


def message_violations(messages):
    """Reads the conversation in order; the results of the calls in `waiting` must come next."""
    if not isinstance(messages, list) or not messages:
        yield "messages is missing or empty"
        return
    waiting, known = [], set()
    for index, message in enumerate(messages):
        place, role = f"messages.{index}", message.get("role")
        if role not in MESSAGE_FIELDS:
            yield f"{place}: role {role!r}"
            continue
        place = f"{place} ({role})"
        yield from unknown_fields(place, message, MESSAGE_FIELDS[role])
        yield from content_violations(place, message)
        if role == "tool":
            if message.get("tool_call_id") in waiting:
                waiting.remove(message["tool_call_id"])
            else:
                yield f"{place}: tool_call_id {message.get('tool_call_id')!r} answers no open call"
            continue
        if waiting:
            yield f"{place} comes before the results of {waiting}"
        waiting = []
        calls = message.get("tool_calls", "none")
        if calls == []:
            yield f"{place}: tool_calls is empty"
        for call in calls if isinstance(calls, list) else []:
            yield from call_violations(place, call)
            if call.get("id") in known:
                yield f"{place}: id {call['id']!r} was used before"
            known.add(call.get("id"))
            waiting.append(call.get("id"))
    if waiting:
        yield f"the conversation ends before the results of {waiting}"


def call_violations(place, call):
    yield from unknown_fields(f"{place}.tool_calls", call, {"id", "type", "function"})
    if not call.get("id") or call.get("type") != "function":
        yield f"{place}: a tool call needs an id and the type function"
    function = call.get("function") or {}
    name, arguments = function.get("name"), function.get("arguments")
    if not is_name(name):
        yield f"{place}: tool call name {name!r}"
    try:
        is_object = isinstance(json.loads(arguments), dict)
    except (TypeError, ValueError):
        is_object = False
    if not is_object:
        yield f"{place}: arguments {str(arguments)[:60]!r} are not the text of a JSON object"


def content_violations(place, message):
    content, role = message.get("content"), message["role"]
    if content is None:
        if not (role == "assistant" and message.get("tool_calls")):
            yield f"{place}: content is null or absent"
    elif isinstance(content, str):
        if not content and not message.get("tool_calls"):
            yield f"{place}: content is an empty string"
    elif not isinstance(content, list) or not content:
        yield f"{place}: content is {str(content)[:40]}"
    else:
        for part in content:
            kind = part.get("type")
            if kind not in PARTS.get(role, {"text"}):
                yield f"{place}: a part of type {kind!r}"
                continue
            yield from unknown_fields(place, part, PART_FIELDS[kind])
            if kind == "text" and not part.get("text"):
                yield f"{place}: an empty text part"
            if kind == "image_url" and not IMAGE_URL.match(part["image_url"].get("url", "")):
                yield f"{place}: an image_url that is neither a data URL nor http"


def is_name(name):
    return isinstance(name, str) and NAME.fullmatch(name) is not None
