"""The server that speaks the dialects of the table, each below its own path prefix.

Nothing is remembered of a conversation: a signature or an encrypted text shows by itself what it was
given out for.
"""

import json
import time

import native
import responses
import responses_rules
import searches
from dialect import openai_form
from dialects import DIALECTS
from rules import Refusal, sign, thinking_is_off
from script import API_KEY, CREATED, Received, ScriptedHandler, ScriptedServer, pieces
from upstream import finish_reason, usage

WRONG_KEY = Refusal("Incorrect API key provided.", None, "invalid_api_key", 401)


class DialectServer(ScriptedServer):
    """The server, for the length of a `with` block.

    A key is `API_KEY` or that and a suffix, by which the requests of one run are found again.
    """

    def __init__(self):
        super().__init__(DialectHandler)

    def of_key(self, key):
        return [received for received in self.received() if key_of(received.headers) == key]


def key_of(headers, names=("api-key", "x-api-key", "authorization")):
    keys = [headers.get(name, "").removeprefix("Bearer ") for name in names]
    return next((key for key in keys if key), "")


class DialectHandler(ScriptedHandler):
    def do_GET(self):
        dialect, place = self.place()
        if place == "models":
            models = [{"id": m, "object": "model", "created": CREATED} for m in dialect.models]
            self.send(200, {"object": "list", "data": models})
        else:
            self.unknown_path(dialect)

    def do_POST(self):
        raw = self.read_body()
        dialect, place = self.place()
        if place == "chat/completions":
            self.answer_chat(dialect, json.loads(raw))
        elif place == "responses" and (dialect.responses or dialect.search == "responses"):
            self.answer_responses(dialect, json.loads(raw))
        elif place == "messages" and dialect.native is not None:
            self.answer_messages(dialect, json.loads(raw))
        elif place == "messages/count_tokens" and dialect.count_tokens:
            self.send(200, {"input_tokens": len(raw) // 4 + 1})
        else:
            self.unknown_path(dialect)

    def place(self):
        """The row of the provider, and which of its places is asked."""
        path = self.path.split("?")[0]
        name, _, rest = path.removeprefix("/").partition("/")
        dialect = DIALECTS.get(name)
        if dialect is None:
            return None, ""
        native_base = f"{dialect.native}/v1/messages"
        if dialect.native is not None and f"/{rest}".startswith(native_base):
            return dialect, f"/{rest}".removeprefix(f"{dialect.native}/v1/")
        if f"/{rest}".startswith(f"{dialect.base}/"):
            return dialect, f"/{rest}".removeprefix(f"{dialect.base}/")
        return dialect, ""

    def unknown_path(self, dialect):
        message = f"Unexpected endpoint or method. ({self.command} {self.path})"
        self.send(dialect.unknown_path_status if dialect else 404, {"error": message})

    def step_for(self, body, original, refusals, form, key_headers):
        """Keeps the request and returns the step that answers it, or refuses it and returns None."""
        headers, upstream = self.lower_headers(), self.server.upstream
        if key_headers and not key_of(headers, key_headers).startswith(API_KEY):
            refusals = [WRONG_KEY, *refusals]
        refusal = refusals[0] if refusals else None
        script, step = upstream.next_step(without_fillers(body.get("messages") or []))
        missing = [tool for tool, _ in step.tools if tool not in offered(body)]
        found = [f"tool {tool!r} of the script was not offered" for tool in missing]
        received = Received(script, time.monotonic(), headers, body, found, self.path, original)
        received.refused = refusal.message if refusal else ""
        self.wire = step.wire
        upstream.keep(received)
        if refusal:
            self.send(refusal.status, form(refusal))
            return None
        if step.status != 200:
            self.send(step.status, step.error)
            return None
        return step

    # --- Chat completions ---

    def answer_chat(self, dialect, body):
        is_told = dialect.search == "tool"
        refusals = list(dialect.refusals(searches.without(body) if is_told else body))
        step = self.step_for(body, body, refusals, dialect.error, dialect.key_headers)
        if step is None:
            return
        if not body.get("stream"):
            return self.send(200, completion(dialect, body, step))
        self.start_stream()
        for count, chunk in enumerate(chunks(dialect, body, step)):
            if dialect.comment and count % 4 == 0:
                self.send_raw(f"{dialect.comment}\n\n")
            self.send_event(chunk)
        if step.wire != "lost":
            self.send_event("[DONE]")
        self.end_stream()

    # --- Responses ---

    def answer_responses(self, dialect, body):
        refusals = list(responses_rules.refusals(body))
        chat = responses.chat_form(body)
        step = self.step_for(chat, body, refusals, openai_form, dialect.key_headers)
        if step is None:
            return
        if not body.get("stream"):
            return self.send(200, responses.whole(body, step))
        self.start_stream()
        for event in responses.events(body, step):
            self.send_event(event, event["type"])
        self.end_stream()

    # --- Messages ---

    def answer_messages(self, dialect, body):
        headers = self.lower_headers()
        refusals = list(native.well_formed(headers, body))
        for rule in dialect.native_rules:
            refusals += rule(headers, body)
        step = self.step_for(body, body, refusals, native.error, dialect.native_key_headers)
        if step is None:
            return
        if not body.get("stream"):
            return self.send(200, native.whole(body, step, dialect.search))
        self.start_stream()
        for event in native.events(body, step, dialect.search):
            self.send_event(event, event["type"])
        self.end_stream()


def without_fillers(messages):
    """The conversation without answers that only keep a user's message from following results."""
    kept = []
    for index, message in enumerate(messages):
        around = [
            m.get("role") for m in (messages[index - 1], messages[(index + 1) % len(messages)])
        ]
        filler = message.get("role") == "assistant" and not message.get("tool_calls")
        if not (filler and around == ["tool", "user"]):
            kept.append(message)
    return kept


def offered(body):
    return [(tool.get("function") or tool).get("name") for tool in body.get("tools") or []]


# --- Answers of chat completions -----------------------------------------------------------------


def thinks(dialect, body, step):
    silent = body["model"].startswith(dialect.silent_models or ("\0",))
    return step.reasoning and dialect.reasoning and not silent and not thinking_is_off(body)


def envelope(kind, dialect, body):
    whole = {"id": "chatcmpl-1", "object": kind, "created": CREATED, "model": body["model"]}
    return whole | (dialect.extra or {})


def completion(dialect, body, step):
    message = {"role": "assistant", "content": step.text or None}
    message |= searches.in_message(dialect.search, body)
    calls = tool_calls(dialect, body, step)
    if thinks(dialect, body, step):
        message |= whole_reasoning(dialect, body, step, calls)
    if calls:
        for call in calls:
            call.pop("index", None)
        message["tool_calls"] = calls
    elif message["content"] is None:
        message["content"] = ""
    choice = {"index": 0, "message": message, "finish_reason": finish(dialect, step)}
    whole = envelope("chat.completion", dialect, body)
    whole |= searches.beside_choices(dialect.search, body)
    return whole | {"choices": [choice], "usage": usage(step)}


def whole_reasoning(dialect, body, step, calls):
    if dialect.reasoning == "parts":
        return {"content": [thinking_part(step.reasoning), *text_parts(step.text)]}
    if dialect.reasoning == "details":
        details = [detail(body, step.reasoning), *details_of_call(dialect, body, calls)]
        return {"reasoning": step.reasoning, "reasoning_details": details}
    return {dialect.reasoning_field(body["model"]): step.reasoning}


def thinking_part(text):
    return {"type": "thinking", "thinking": [{"type": "text", "text": text}]}


def text_parts(text):
    return [{"type": "text", "text": text}] if text else []


def detail(body, text):
    """OpenRouter's form of a thought; what it is depends on whose model thought it."""
    if body["model"].startswith("anthropic/"):
        place = {"format": "anthropic-claude-v1", "index": 0}
        return {"type": "reasoning.text", "text": text, "signature": sign("text", text)} | place
    if body["model"].startswith("google/"):
        return {
            "type": "reasoning.summary",
            "summary": text,
            "format": "google-gemini-v1",
            "index": 0,
        }
    data = {"id": "rs_1", "data": sign("encrypted", "rs_1")}
    place = {"format": "openai-responses-v1", "index": 0}
    return {"type": "reasoning.encrypted"} | data | place


def chunks(dialect, body, step):
    chunk = envelope("chat.completion.chunk", dialect, body)
    if dialect.first_chunk:
        yield dialect.first_chunk
    deltas = [{"role": "assistant", "content": ""}]
    if thinks(dialect, body, step):
        deltas += reasoning_deltas(dialect, body, step)
    deltas += ({"content": piece} for piece in pieces(step.text, 5))
    deltas += call_deltas(dialect, body, step)
    for delta in deltas:
        yield chunk | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    yield from last_chunks(dialect, body, step, chunk)


def last_chunks(dialect, body, step, chunk):
    delta = searches.in_message(dialect.search, body)
    choice = {"index": 0, "delta": delta, "finish_reason": finish(dialect, step)}
    last, counted = chunk | {"choices": [choice]}, usage(step)
    last |= searches.beside_choices(dialect.search, body)
    if dialect.usage == "finish":
        last["usage"] = counted
    elif dialect.usage == "choice":
        choice["usage"] = counted
    elif dialect.usage == "x_groq":
        last["x_groq"] = {"id": "req_1", "usage": counted}
    yield last
    asked = (body.get("stream_options") or {}).get("include_usage")
    if dialect.usage == "always" or asked and dialect.usage != "finish":
        yield chunk | {"choices": [], "usage": counted}


def reasoning_deltas(dialect, body, step):
    for piece in pieces(step.reasoning, 5):
        if dialect.reasoning == "parts":
            yield {"content": [thinking_part(piece)]}
        elif dialect.reasoning == "details":
            whole = detail(body, step.reasoning)
            key = next((name for name in ("text", "summary") if name in whole), None)
            part = {name: value for name, value in whole.items() if name != "signature"}
            details = [part | {key: piece}] if key else []
            yield {"content": "", "reasoning": piece, "reasoning_details": details}
        else:
            yield {dialect.reasoning_field(body["model"]): piece}
    if dialect.reasoning == "details":
        whole = detail(body, step.reasoning)
        if "signature" in whole:
            end = {name: value for name, value in whole.items() if name != "text"}
            yield {"content": "", "reasoning_details": [end]}
        elif "data" in whole:
            yield {"content": "", "reasoning_details": [whole]}


def call_deltas(dialect, body, step):
    in_pieces = dialect.calls == "pieces" or dialect.calls == "asked" and body.get("tool_stream")
    calls = tool_calls(dialect, body, step)
    for sealed in details_of_call(dialect, body, calls):
        yield {"content": "", "reasoning_details": [sealed]}
    for call in calls:
        arguments = call["function"]["arguments"]
        if not in_pieces:
            yield {"tool_calls": [call]}
            continue
        yield {"tool_calls": [call | {"function": call["function"] | {"arguments": ""}}]}
        for piece in pieces(arguments, 3):
            rest = {"function": {"arguments": piece}}
            if "index" in call:
                rest["index"] = call["index"]
            yield {"tool_calls": [rest]}


def details_of_call(dialect, body, calls):
    """What Gemini signs belongs to a call and has its id."""
    if calls and dialect.reasoning == "details" and body["model"].startswith("google/"):
        identifier = calls[0]["id"]
        place = {"format": "google-gemini-v1", "index": 1}
        data = {"id": identifier, "data": sign("encrypted", identifier)}
        yield {"type": "reasoning.encrypted"} | data | place


def tool_calls(dialect, body, step):
    calls = []
    for position, (name, arguments) in enumerate(step.tools):
        raw = arguments if isinstance(arguments, str) else json.dumps(arguments)
        function = {"name": name, "arguments": raw}
        call = {
            "id": dialect.call_id(body, name, position),
            "type": "function",
            "function": function,
        }
        if dialect.index != "absent":
            call["index"] = position if dialect.index == "counted" else 0
        if dialect.signs and position == 0:
            signature = sign("thought", name, json.loads(raw or "{}"))
            call["extra_content"] = {"google": {"thought_signature": signature}}
        calls.append(call)
    return calls


def finish(dialect, step):
    if step.tools and not step.finish_reason:
        return dialect.finish
    return finish_reason(step)
