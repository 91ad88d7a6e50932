"""A scripted OpenAI-compatible upstream, and a strict reader of what it receives.

It speaks chat completions and the Responses API; the same script plays through both.
"""

import itertools
import json
import re
import time
from dataclasses import asdict

import responses
import responses_rules
from script import API_KEY, CREATED, Received, ScriptedHandler, ScriptedServer, Step, pieces

__all__ = ["API_KEY", "Step", "Upstream", "openai_error"]

MODELS = ["stub-model", "stub-small", "gpt-5.6"]


class Upstream(ScriptedServer):
    """The server, for the length of a `with` block."""

    def __init__(self):
        super().__init__(Handler)

    def answer(self, path, headers, original):
        """Keeps the request and returns the step that answers it."""
        found, body = [], original
        if path == "/v1/responses":
            found += [refusal.message for refusal in responses_rules.refusals(original)]
            found += responses_rules.unwise(original)
            body = responses.chat_form(original)
        name, step = self.next_step(body.get("messages"))
        found += violations(body)
        if headers.get("authorization") != f"Bearer {API_KEY}":
            found.append(f"authorization: {headers.get('authorization')!r}")
        offered = [tool.get("function", {}).get("name") for tool in body.get("tools") or []]
        missing = [tool for tool, _ in step.tools if tool not in offered]
        found += [f"tool {tool!r} of the script was not offered" for tool in missing]
        self.keep(Received(name, time.monotonic(), headers, body, found, path, original))
        return step


# --- Answers -------------------------------------------------------------------------------------


class Handler(ScriptedHandler):
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
        raw = self.read_body()
        if self.path not in ("/v1/chat/completions", "/v1/responses"):
            return self.send(404, openai_error(f"Unknown request URL: POST {self.path}"))
        body = json.loads(raw)
        step = self.server.upstream.answer(self.path, self.lower_headers(), body)
        if step.status != 200:
            self.send(step.status, step.error or openai_error("scripted error"), step.retry_after)
        elif body.get("stream") and self.path == "/v1/responses":
            self.send_response_events(body, step)
        elif body.get("stream"):
            self.send_chunks(body, step)
        elif step.broken in ("error", "failed", "refused"):
            self.send(500, step.error or openai_error("scripted error"))
        elif self.path == "/v1/responses":
            self.send(200, responses.whole(body, step), cut=bool(step.broken))
        else:
            self.send(200, completion(body, step), cut=bool(step.broken))

    def send_chunks(self, body, step):
        self.start_stream()
        if step.broken == "refused":
            self.send_event(step.error)
            return self.end_stream()
        for count, chunk in enumerate(chunks(body, step)):
            if step.broken and count == 3:
                break
            self.send_event(chunk)
        if step.broken == "cut":
            return self.cut()
        if step.broken in ("error", "failed"):
            self.send_event(openai_error("The server had an error"))
        elif not step.broken:
            self.send_event("[DONE]")
        self.end_stream()

    def send_response_events(self, body, step):
        self.start_stream()
        for event in responses.events(body, step):
            # The first two say nothing, and the next two only that something begins.
            if step.broken and event["sequence_number"] == (2 if step.broken == "refused" else 5):
                break
            self.send_event(event, event["type"])
        if step.broken == "cut":
            return self.cut()
        if step.broken in ("error", "refused"):
            error = step.error or openai_error("The server had an error")
            error = {"type": "error", "sequence_number": 5} | error
            self.send_event(error, error["type"])
        elif step.broken == "failed":
            failed = responses.failed_event(body, "The server had an error", 5)
            self.send_event(failed, failed["type"])
        self.end_stream()


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
