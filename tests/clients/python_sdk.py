"""Drives ccproxy with the official Python SDK, `anthropic`."""

import concurrent.futures
import itertools
import urllib.error
import urllib.request
from types import SimpleNamespace

import harness
import pydantic
from harness import RED_PNG_BASE64

import anthropic
from anthropic import Anthropic, beta_tool
from upstream import Step, openai_error

MODEL = "claude-opus-5-5"
UNICODE = "Grüße, 中文 and 😀"
WEATHER = {
    "name": "get_weather",
    "description": "The weather of a city.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}
PARIS, ROME = {"city": 'Pa"ris \\ é 😀'}, {"city": "Rome"}
TWO_CALLS = [["get_weather", PARIS], ["get_weather", ROME]]
RED_IMAGE = {
    "type": "image",
    "source": {"type": "base64", "media_type": "image/png", "data": RED_PNG_BASE64},
}
RED_DATA_URL = f"data:image/png;base64,{RED_PNG_BASE64}"


# --- Ways to play a script -----------------------------------------------------------------------


def client(suite, max_retries=0):
    return Anthropic(base_url=suite.proxy.url, api_key="any", max_retries=max_retries, timeout=30)


def request(script, **options):
    prompt = {"role": "user", "content": script.prompt}
    return {"model": MODEL, "max_tokens": 1000, "messages": [prompt], **options}


def create(suite, *steps, **options):
    return client(suite).messages.create(**request(suite.script(*steps), **options))


def stream(suite, *steps, **options):
    """The same through the streaming helper, which accumulates the message."""
    with client(suite).messages.stream(**request(suite.script(*steps), **options)) as events:
        return events.get_final_message()


# The same message must come out of both.
WAYS = [("create", create), ("stream", stream)]


def forwarded(suite, **options):
    """Returns the body that the upstream receives for a request with `options`."""
    script = suite.script(Step(text="ok"))
    client(suite).messages.create(**request(script, **options))
    return script.requests[0].body


# Stands for the exception that was not raised, so that the checks of its facts fail.
NO_ERROR = SimpleNamespace(type=None, body=None, request_id=None, response=None)


def raised(suite, name, expected, call, *arguments, **options):
    """Checks that the call raises `expected`; returns what it raised, for further checks."""
    try:
        call(*arguments, **options)
    except anthropic.APIError as error:
        suite.check(name, isinstance(error, expected), f"{type(error).__name__}: {error}")
        return error if isinstance(error, anthropic.APIStatusError) else NO_ERROR
    suite.check(name, False, "no exception")
    return NO_ERROR


def header(error, name):
    return error.response and error.response.headers.get(name)


def texts(message):
    return [block.text for block in message.content if block.type == "text"]


def tool_uses(message):
    return [block for block in message.content if block.type == "tool_use"]


def inputs(message):
    return [block.input for block in tool_uses(message)]


# --- Messages ------------------------------------------------------------------------------------


def text(suite):
    message = create(suite, Step(text=UNICODE, usage=[100, 9, 40]))
    suite.equal("the text arrives unchanged", texts(message), [UNICODE])
    suite.equal("the model is the requested one", message.model, MODEL)
    suite.equal("the id is a message id", message.id[:4], "msg_")
    suite.equal("an answer ends the turn", message.stop_reason, "end_turn")
    usage = message.usage
    counts = [usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens]
    suite.equal("cached tokens are counted once", counts, [60, 40, 9])
    suite.check("an answer has a request id", message._request_id, message._request_id)


def request_fields(suite):
    cached = {"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}
    body = forwarded(
        suite,
        max_tokens=5,
        stop_sequences=["END", "STOP"],
        metadata={"user_id": "somebody"},
        system=[cached, {"type": "text", "text": "Be brief."}],
        extra_body={"temperature": 0.3, "top_p": 0.9, "a_field_of_tomorrow": 1},
        extra_headers={"anthropic-beta": "a-beta-of-tomorrow-2030-01-01"},
    )
    model = "gpt-5.6" if suite.responses else "stub-model"
    suite.equal("the upstream gets its own model", body["model"], model)
    limit = body.get("max_tokens") or body.get("max_completion_tokens")
    sampling = [body.get("temperature"), body.get("top_p")]
    if suite.responses:
        suite.equal("max_tokens is as small as may be", limit, 16)
        suite.equal("a model that thinks is not told how to sample", sampling, [None, None])
    else:
        suite.equal("max_tokens is forwarded", limit, 5)
        suite.equal("stop_sequences become stop", body.get("stop"), ["END", "STOP"])
        suite.equal("temperature and top_p are forwarded", sampling, [0.3, 0.9])
    first = body["messages"][0]
    suite.equal("the system prompt comes first", first["role"], "system")
    suite.contains("the first system block arrives", str(first), "Be kind.")
    suite.contains("the second system block arrives", str(first), "Be brief.")
    first = forwarded(suite, system="Be brief.")["messages"][0]
    suite.contains("a system string arrives", str(first), "Be brief.")


def stop_reasons(suite):
    for finish_reason, stop_reason in [
        ("length", "max_tokens"),
        ("content_filter", "refusal"),
        ("stop", "end_turn"),
    ]:
        for way, play in WAYS:
            message = play(suite, Step(text="Some text", finish_reason=finish_reason))
            suite.equal(f"{way}: {finish_reason}", message.stop_reason, stop_reason)


def conversation(suite):
    """User messages in a row, and system messages in the middle and at the end."""
    script = suite.script(Step(text="unused"), Step(text="Second."))
    messages = [
        {"role": "user", "content": "First line."},
        {"role": "user", "content": [{"type": "text", "text": script.prompt}]},
        {"role": "system", "content": [{"type": "text", "text": "Working directory: /home/x"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "First."}]},
        {"role": "user", "content": "And now?"},
        {"role": "system", "content": "The date has changed."},
    ]
    message = client(suite).messages.create(**request(script, messages=messages))
    suite.equal("a long conversation is answered", texts(message), ["Second."])
    sent = str(script.requests[0].body["messages"])
    for part in ["First line.", "/home/x", "First.", "And now?", "The date has changed."]:
        suite.contains("every message reaches the upstream", sent, part)


def streaming(suite):
    script = suite.script(Step(text=UNICODE, usage=[50, 8, 10]))
    with client(suite).messages.create(**request(script, stream=True)) as events:
        kinds = [event.type for event in events if event.type != "ping"]
    grammar = [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    suite.equal("the order of events", [kind for kind, _ in itertools.groupby(kinds)], grammar)
    with client(suite).messages.stream(**request(script)) as events:
        pieces = list(events.text_stream)
        message = events.get_final_message()
        suite.check("a stream has a request id", events.request_id, events.request_id)
    suite.check("the text arrives in several pieces", len(pieces) > 1, pieces)
    suite.equal("the pieces are the text", "".join(pieces), UNICODE)
    usage = message.usage
    counts = [usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens]
    suite.equal("the usage is that of the last chunk", counts, [40, 10, 8])
    usage = stream(suite, Step(text="Uncounted.", usage=None)).usage
    suite.check("unknown usage is estimated", usage.input_tokens and usage.output_tokens, usage)


def parallel_streams(suite):
    expected = [f"Answer {number}, {UNICODE}" for number in range(32)]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        messages = pool.map(lambda answer: stream(suite, Step(text=answer)), expected)
        seen = ["".join(texts(message)) for message in messages]
    suite.equal("streams side by side stay apart", seen, expected)


def thinking(suite):
    for where in ["reasoning_content", "reasoning", "think"]:
        step = Step(reasoning="Let me see.", reasoning_field=where, text="The answer.")
        for way, play in WAYS:
            message = play(suite, step, thinking={"type": "adaptive"})
            kinds = [block.type for block in message.content]
            suite.equal(f"{way}, {where}: blocks", kinds, ["thinking", "text"])
            thought = getattr(message.content[0], "thinking", None)
            suite.equal(f"{way}, {where}: the thought", thought, "Let me see.")
            suite.equal(f"{way}, {where}: the text", texts(message), ["The answer."])
    script = suite.script(Step(text="unused"), Step(text="Next."))
    thoughts = [
        {"type": "thinking", "thinking": "Let me see.", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "eA=="},
        {"type": "text", "text": "The answer."},
    ]
    messages = [
        {"role": "user", "content": script.prompt},
        {"role": "assistant", "content": thoughts},
        {"role": "user", "content": "Go on."},
    ]
    for mode in [{"type": "enabled", "budget_tokens": 2048}, {"type": "disabled"}]:
        options = {"thinking": mode, "max_tokens": 4000, "messages": messages}
        message = client(suite).messages.create(**request(script, **options))
        suite.equal(f"thoughts come back, {mode['type']}", texts(message), ["Next."])


def images(suite):
    linked = {"type": "image", "source": {"type": "url", "url": "https://example.com/red.png"}}
    script = suite.script(Step(text="A red square."))
    content = [{"type": "text", "text": script.prompt}, RED_IMAGE, linked]
    options = request(script, messages=[{"role": "user", "content": content}])
    suite.equal("images", texts(client(suite).messages.create(**options)), ["A red square."])
    sent = str(script.requests[0].body["messages"])
    suite.contains("a base64 image becomes a data URL", sent, RED_DATA_URL)
    suite.contains("the URL of an image is kept", sent, "https://example.com/red.png")


class Person(pydantic.BaseModel):
    name: str
    age: int


def parse(suite):
    script = suite.script(Step(text='{"name": "Bob", "age": 3}'))
    message = client(suite).messages.parse(**request(script, output_format=Person))
    suite.equal("parse() returns a Person", message.parsed_output, Person(name="Bob", age=3))
    response_format = script.requests[0].body.get("response_format") or {}
    schema = response_format.get("json_schema", {}).get("schema", {})
    suite.contains("the schema is forwarded", schema.get("properties", {}), "age")


# --- Tools ---------------------------------------------------------------------------------------


def tool_calls(suite):
    for style in ["pieces", "interleaved", "whole", "together", "no_ids", "same_ids"]:
        step = Step(text="Let me look.", tools=TWO_CALLS, tool_style=style)
        for way, play in WAYS:
            message = play(suite, step, tools=[WEATHER])
            suite.equal(f"{way}, {style}: inputs", inputs(message), [PARIS, ROME])
            suite.equal(f"{way}, {style}: stop_reason", message.stop_reason, "tool_use")
            ids = {block.id for block in tool_uses(message)}
            suite.check(f"{way}, {style}: an id for each", len(ids) == 2 and all(ids), ids)
    for way, play in WAYS:
        step = Step(tools=[["get_weather", ""]], finish_reason="stop")
        message = play(suite, step, tools=[WEATHER])
        suite.equal(f"{way}: no arguments are an empty object", inputs(message), [{}])
        suite.equal(f"{way}: calls win over finish_reason", message.stop_reason, "tool_use")


def tool_definitions(suite):
    odd = {
        "name": "mcp__server__odd-Tool_1",
        "input_schema": {
            "type": "object",
            "$defs": {"point": {"type": "object", "properties": {"x": {"type": "integer"}}}},
            "properties": {"p": {"$ref": "#/$defs/point"}, "anything": {}},
        },
        "cache_control": {"type": "ephemeral"},
    }
    functions = [tool["function"] for tool in forwarded(suite, tools=[WEATHER, odd])["tools"]]
    schemas = [function["parameters"] for function in functions]
    suite.equal("schemas", schemas, [WEATHER["input_schema"], odd["input_schema"]])
    suite.equal("description", functions[0].get("description"), WEATHER["description"])
    forced = {"type": "function", "function": {"name": "get_weather"}}
    for choice, expected in [
        ({"type": "any"}, "required"),
        ({"type": "none"}, "none"),
        ({"type": "tool", "name": "get_weather"}, forced),
    ]:
        body = forwarded(suite, tools=[WEATHER], tool_choice=choice)
        suite.equal(f"tool_choice {choice['type']}", body.get("tool_choice"), expected)
    serial = {"type": "auto", "disable_parallel_tool_use": True}
    body = forwarded(suite, tools=[WEATHER], tool_choice=serial)
    suite.equal("disable_parallel_tool_use", body.get("parallel_tool_calls"), False)
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 8}
    body = forwarded(suite, tools=[search], tool_choice={"type": "auto"})
    suite.equal("a server tool is left out", body.get("tools"), None)


def tool_results(suite):
    """Results in another order than the calls, one an error, one with an image, text after them."""
    script = suite.script(Step(text="Looking.", tools=TWO_CALLS), Step(text="Both seen."))
    first = request(script, tools=[WEATHER])
    message = client(suite).messages.create(**first)
    paris, rome = (block.id for block in tool_uses(message))
    seen = [{"type": "text", "text": "It is sunny."}, RED_IMAGE]
    results = [
        {"type": "tool_result", "tool_use_id": rome, "content": seen},
        {"type": "tool_result", "tool_use_id": paris, "content": "No such city.", "is_error": True},
        {"type": "text", "text": "Please go on."},
    ]
    messages = [
        *first["messages"],
        {"role": "assistant", "content": message.content},
        {"role": "user", "content": results},
    ]
    message = client(suite).messages.create(**first | {"messages": messages})
    suite.equal("the second turn is answered", texts(message), ["Both seen."])
    sent = script.requests[1].body["messages"]
    calls = next(message["tool_calls"] for message in sent if message.get("tool_calls"))
    contents = {m["tool_call_id"]: str(m["content"]) for m in sent if m["role"] == "tool"}
    for call, result in zip(calls, ["No such city.", "It is sunny."], strict=True):
        suite.contains("a result belongs to its call", contents.get(call["id"], ""), result)
    suite.contains("the image follows as a data URL", str(sent[-1]), RED_DATA_URL)
    suite.contains("the text after the results arrives", str(sent[-1]), "Please go on.")


def empty_tool_results(suite):
    for content in [{}, {"content": []}, {"content": ""}]:
        script = suite.script(Step(tools=[["get_weather", ROME]]), Step(text="Seen."))
        call = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {}}
        result = {"type": "tool_result", "tool_use_id": "toolu_1", **content}
        messages = [
            {"role": "user", "content": script.prompt},
            {"role": "assistant", "content": [call]},
            {"role": "user", "content": [result]},
        ]
        options = request(script, tools=[WEATHER], messages=messages)
        message = client(suite).messages.create(**options)
        suite.equal(f"a result with {content}", texts(message), ["Seen."])


def tool_runner(suite):
    """The runner asks for server-side threads first, and goes on without them when told."""

    @beta_tool
    def get_weather(city: str) -> str:
        """The weather of a city."""
        return f"Sunny in {city}."

    for streamed in [False, True]:
        script = suite.script(Step(text="Looking.", tools=TWO_CALLS), Step(text="Sunny in both."))
        options = request(script, tools=[get_weather], stream=streamed)
        message = client(suite).beta.messages.tool_runner(**options).until_done()
        way = f"tool_runner, stream={streamed}"
        suite.equal(f"{way}: the last answer", texts(message), ["Sunny in both."])
        suite.equal(f"{way}: upstream requests", len(script.requests), 2)
        sent = str(script.requests[-1].body["messages"])
        for part in [script.prompt, "Looking.", "Sunny in Rome."]:
            suite.contains(f"{way}: the conversation is complete", sent, part)
    options = request(suite.script(), extra_body={"thread": {"type": "create"}})
    send = client(suite).beta.messages.create
    error = raised(suite, "a thread is refused", anthropic.BadRequestError, send, **options)
    suite.contains("with the known code", str(error.body), "thread_unsupported_request")


# --- Other endpoints -----------------------------------------------------------------------------


def count_tokens(suite):
    def count(content, **options):
        messages = [{"role": "user", "content": content}]
        counted = client(suite).messages.count_tokens(model=MODEL, messages=messages, **options)
        return counted.input_tokens

    short, long = count("Hello"), count("Hello " * 500, system="Be brief.", tools=[WEATHER])
    suite.check("a short prompt has few tokens", 1 <= short <= 60, short)
    suite.check("a long prompt has many", 400 <= long <= 3000, long)
    pictured = count([RED_IMAGE])
    suite.check("an image has some", 1 <= pictured <= 5000, pictured)


def models(suite):
    listed = list(client(suite).models.list(limit=1000))
    suite.check("there is a model", listed, listed)
    for model in listed:
        described = model.type == "model" and model.display_name and model.created_at
        suite.check("a model is described", described, model)
        suite.equal("it is found", client(suite).models.retrieve(model.id).id, model.id)


def batches(suite):
    send = client(suite).messages.batches.create
    error = raised(suite, "no batches", anthropic.NotFoundError, send, requests=[])
    suite.equal("no batches: error type", error.type, "not_found_error")


def other_paths(suite):
    """Whatever else Claude Code asks for is answered, and not with a server error."""
    for method, path in [
        ("HEAD", "/"),
        ("HEAD", "/api/hello"),
        ("POST", "/api/event_logging/v2/batch"),
    ]:
        asked = urllib.request.Request(suite.proxy.url + path, method=method)
        try:
            status = urllib.request.urlopen(asked, timeout=5).status
        except urllib.error.HTTPError as error:
            status = error.code
        suite.check(f"{method} {path}", status < 500, status)


# --- Errors --------------------------------------------------------------------------------------

# Status and body of the upstream; exception, error type and part of the message in the client.
ERRORS = [
    (
        400,
        openai_error("Upstream says XYZ", "invalid_request_error"),
        anthropic.BadRequestError,
        "invalid_request_error",
        "XYZ",
    ),
    (
        400,
        openai_error(
            "This model's maximum context length is 8192 tokens. However, your messages resulted "
            "in 9001 tokens. Please reduce the length of the messages.",
            "invalid_request_error",
            "context_length_exceeded",
        ),
        anthropic.BadRequestError,
        "invalid_request_error",
        "prompt is too long: 9001 tokens > 8192 maximum",
    ),
    (
        404,
        # Not the model that was sent.
        openai_error("The model `x` does not exist"),
        anthropic.NotFoundError,
        "not_found_error",
        "does not exist",
    ),
    (
        422,
        {"detail": [{"loc": ["body"], "msg": "Upstream says XYZ"}]},
        anthropic.BadRequestError,
        "invalid_request_error",
        "XYZ",
    ),
    (
        429,
        openai_error("Rate limit reached"),
        anthropic.RateLimitError,
        "rate_limit_error",
        "Rate limit reached",
    ),
    (
        500,
        openai_error("Upstream says XYZ"),
        anthropic.InternalServerError,
        "api_error",
        "XYZ",
    ),
    (
        502,
        "<html><body>Bad gateway</body></html>",
        anthropic.InternalServerError,
        "api_error",
        "",
    ),
    (
        503,
        openai_error("Too busy"),
        anthropic.InternalServerError,
        "overloaded_error",
        "Too busy",
    ),
]


def errors(suite):
    for status, body, expected, error_type, part in ERRORS:
        for way, play in WAYS:
            step = Step(status=status, error=body)
            name = f"{way}, upstream {status} {str(body)[:50]}"
            error = raised(suite, name, expected, play, suite, step)
            suite.equal(f"{name}: error type", error.type, error_type)
            envelope = isinstance(error.body, dict) and error.body.get("type") == "error"
            suite.check(f"{name}: the envelope", envelope, error.body)
            suite.contains(f"{name}: the message", str(error.body), part)
            suite.check(f"{name}: has a request id", error.request_id, error.body)
        # After five failures in a row a provider is left alone for a while.
        create(suite, Step(text="Well again."))


def upstream_key_refused(suite):
    """A wrong upstream key is not cured by trying again, and the client is told so."""
    step = Step(status=401, error=openai_error("Incorrect API key provided"))
    error = raised(suite, "upstream 401", anthropic.APIStatusError, create, suite, step)
    suite.contains("upstream 401: the message", str(error.body), "Incorrect API key")
    suite.equal("upstream 401: x-should-retry", header(error, "x-should-retry"), "false")


def bad_requests(suite):
    for options in [
        {"messages": []},
        {"messages": "Hello"},
        {"messages": [{"role": "robot", "content": "Hello"}]},
        {"max_tokens": "many"},
    ]:
        name, send = f"a request with {options}", client(suite).messages.create
        options = request(suite.script(), **options)
        error = raised(suite, name, anthropic.BadRequestError, send, **options)
        suite.equal(f"{name}: error type", error.type, "invalid_request_error")


def retry(suite):
    limited = Step(status=429, error=openai_error("Slow down"), retry_after="1")
    script = suite.script([limited, Step(text="After the limit.")])
    message = client(suite, max_retries=2).messages.create(**request(script))
    suite.equal("the SDK recovers from a 429", texts(message), ["After the limit."])
    first, second = (received.at for received in script.requests)
    # Without retry-after the SDK would come back within a second.
    suite.check("it waits as told", 0.95 <= second - first < 5, second - first)
    error = raised(suite, "429", anthropic.RateLimitError, create, suite, limited)
    suite.equal("retry-after is forwarded", header(error, "retry-after"), "1")


def broken_answers(suite):
    """A broken answer must never look like a finished message."""
    for broken in ["cut", "ended", "error", "failed"]:
        for content in [{"text": "A text that is cut off"}, {"tools": TWO_CALLS}]:
            step, options = Step(broken=broken, **content), {"tools": [WEATHER]}
            name = f"a stream of {next(iter(content))}, {broken}"
            error = raised(suite, name, anthropic.APIStatusError, stream, suite, step, **options)
            suite.contains(f"{name}: error type", ["api_error", "overloaded_error"], error.type)
    for broken in ["cut", "error"]:
        step = Step(text="A text that is cut off", broken=broken)
        name = f"a whole answer, {broken}"
        raised(suite, name, anthropic.InternalServerError, create, suite, step)


CASES = [
    text,
    request_fields,
    stop_reasons,
    conversation,
    streaming,
    parallel_streams,
    thinking,
    images,
    parse,
    tool_calls,
    tool_definitions,
    tool_results,
    empty_tool_results,
    tool_runner,
    count_tokens,
    models,
    batches,
    other_paths,
    errors,
    upstream_key_refused,
    bad_requests,
    retry,
    broken_answers,
]

if __name__ == "__main__":
    harness.main("python sdk", CASES)
