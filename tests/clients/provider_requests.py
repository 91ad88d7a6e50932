"""What the providers are asked for: requests of every kind that Claude Code and others send."""

import base64
import json

from harness import RED_PNG_BASE64
from rules import sign

FURNITURE = "what Claude Code adds"


def tool(name, schema=None, **more):
    schema = schema or {"type": "object", "properties": {"path": {"type": "string"}}}
    return {"name": name, "description": f"Does {name}.", "input_schema": schema, **more}


READ = tool("Read")
LONG_NAME = "mcp__a-server-with-a-long-name__a_tool_whose_name_is_longer_than_what_others_take"
# Every keyword that some provider does not know, or knows otherwise.
UGLY_SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "title": "Ugly",
    "$defs": {"point": {"type": "object", "properties": {"x": {"type": "integer"}}}},
    "properties": {
        "where": {"$ref": "#/$defs/point", "description": "A place"},
        "either": {"type": "object", "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
        "kind": {"const": "fixed"},
        "any": {},
        "map": {"type": "object", "patternProperties": {"^x-": {"type": "string"}}},
        "names": {"type": "object", "propertyNames": {"pattern": "^[a-z]+$"}},
        "open": {"type": "object", "additionalProperties": {"type": "number"}},
        "count": {"type": "integer", "exclusiveMinimum": 0, "multipleOf": 2, "maximum": 10},
        "link": {"type": "string", "format": "uri", "minLength": 1, "maxLength": 200},
        "maybe": {"type": ["string", "null"], "default": None},
        "mixed": {"enum": [1, "two", True, None]},
        "level": {"type": "integer", "enum": [1, 2, 3]},
        "list": {"type": "array"},
        "few": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 3},
        "pair": {"type": "array", "prefixItems": [{"type": "string"}, {"type": "number"}]},
        "bare": {"type": "object"},
        "not": {"not": {"type": "string"}},
        "one": {"oneOf": [{"type": "string"}, {"type": "integer"}]},
        "all": {"allOf": [{"type": "string"}, {"pattern": "^a"}]},
        "when": {"type": "object", "if": {"required": ["a"]}, "then": {"required": ["b"]}},
        "$schema": {"type": "string", "description": "A property that is called like a keyword"},
    },
    "required": ["where", "kind", "absent"],
    "additionalProperties": False,
}
IMAGE = {"type": "base64", "media_type": "image/png", "data": RED_PNG_BASE64}
PDF = base64.b64encode(b"%PDF-1.4\n%%EOF\n").decode()


def text(words, **more):
    return {"type": "text", "text": words, **more}


def user(*blocks):
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks):
    return {"role": "assistant", "content": list(blocks)}


def call(number, name="Read", **arguments):
    return {"type": "tool_use", "id": f"toolu_{number:024}", "name": name, "input": arguments}


def result(number, content="done", **more):
    return {"type": "tool_result", "tool_use_id": f"toolu_{number:024}", "content": content, **more}


def system(words):
    return {"role": "system", "content": words}


FOREIGN_THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": "RXFvQkNrZ0lCaEFC"}
CACHED = {"cache_control": {"type": "ephemeral"}}


def requests(prompt):
    """Name and body of each request; `prompt` is the block that carries the script."""
    asked = user(prompt)
    tools = {"tools": [READ]}
    loop = [asked, assistant(call(1, path="/a")), user(result(1))]
    yield "a prompt", {"messages": [{"role": "user", "content": prompt["text"]}]}
    furniture = [
        text("x-anthropic-billing-header: cc_version=2; cch=00a1;"),
        text("Be kind.", **CACHED),
    ]
    session = json.dumps({"device_id": "d" * 64, "account_uuid": "", "session_id": "s" * 36})
    yield (
        FURNITURE,
        {
            "messages": [user(text("<system-reminder>x</system-reminder>"), prompt | CACHED)],
            "system": furniture,
            "metadata": {"user_id": session},
            "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
            "tools": [READ | CACHED, tool("Bash", eager_input_streaming=True)],
            "thinking": {"type": "adaptive"},
            "output_config": {"effort": "high"},
            "max_tokens": 32000,
        },
    )
    yield (
        "a system message in between",
        {"messages": [asked, system("Now /b."), assistant(text("a")), asked]},
    )
    yield "a system message after results", {"messages": [*loop, system("It is late.")], **tools}
    yield (
        "a system message between turns",
        {
            "messages": [*loop, assistant(text("a")), system("It is late."), asked],
            "system": "Be kind.",
            **tools,
        },
    )
    yield "users in a row", {"messages": [user(text("a")), user(text("b")), asked]}
    yield "text after results", {"messages": [*loop[:2], user(result(1), text("Go on."))], **tools}
    yield (
        "six stop sequences",
        {
            "messages": [asked],
            "stop_sequences": ["ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX"],
        },
    )
    sampling = {"temperature": 0.3, "top_p": 0.9, "top_k": 40}
    yield "sampling", {"messages": [asked], **sampling}
    yield "temperature 0", {"messages": [asked], "temperature": 0}
    yield (
        "sampling beside tools",
        {"messages": loop, **tools, **sampling, "stop_sequences": ["END"]},
    )
    off = {"thinking": {"type": "disabled"}}
    for choice in [{"type": "any"}, {"type": "tool", "name": "Read"}, {"type": "none"}]:
        for more in [{}, off]:
            name = f"tool_choice {choice['type']}{', thinking off' * bool(more)}"
            yield name, {"messages": [asked], **tools, "tool_choice": choice, **more}
            yield f"{name}, in a loop", {"messages": loop, **tools, "tool_choice": choice, **more}
    serial = {"type": "auto", "disable_parallel_tool_use": True}
    yield "no parallel calls", {"messages": [asked], **tools, "tool_choice": serial}
    yield "no tools any more", {"messages": [*loop]}
    yield (
        "tool_choice without tools",
        {"messages": [asked], "tools": [], "tool_choice": {"type": "auto"}},
    )
    budget = {"thinking": {"type": "enabled", "budget_tokens": 31999}, "max_tokens": 64000}
    yield "a thinking budget", {"messages": [asked], **budget}
    yield "a thinking budget beside tools", {"messages": loop, **tools, **budget}
    for effort in ["low", "medium", "high", "xhigh", "max"]:
        config = {"thinking": {"type": "adaptive"}, "output_config": {"effort": effort}}
        yield f"effort {effort}", {"messages": [asked], **config}
        yield f"effort {effort} beside tools", {"messages": loop, **tools, **config}
    yield "thinking off", {"messages": loop, **tools, **off}
    yield (
        "thinking off, with an effort",
        {"messages": [asked], **off, "output_config": {"effort": "low"}},
    )
    yield (
        "thinking of another model",
        {
            "messages": [asked, assistant(FOREIGN_THOUGHT, text("a"), call(1)), user(result(1))],
            "thinking": {"type": "adaptive"},
            **tools,
        },
    )
    yield (
        "redacted thinking",
        {
            "messages": [
                asked,
                assistant({"type": "redacted_thinking", "data": "eA=="}, call(1)),
                user(result(1)),
            ],
            "thinking": {"type": "adaptive"},
            **tools,
        },
    )
    image = {"type": "image", "source": IMAGE}
    linked = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
    yield "an image", {"messages": [user(image, prompt)]}
    yield "the URL of an image", {"messages": [user(linked, prompt)]}
    yield (
        "an image as a result",
        {"messages": [*loop[:2], user(result(1, [text("Seen."), image]))], **tools},
    )
    for name, source in [
        ("PDF", {"type": "base64", "media_type": "application/pdf", "data": PDF}),
        ("text", {"type": "text", "media_type": "text/plain", "data": "Some text."}),
    ]:
        document = {"type": "document", "source": source, "title": f"a.{name}"}
        yield f"a document, {name}", {"messages": [user(document, prompt)]}
        yield (
            f"a document as a result, {name}",
            {"messages": [*loop[:2], user(result(1, [document]))], **tools},
        )
    yield "128000 tokens", {"messages": [asked], "max_tokens": 128000}
    yield "one token", {"messages": [asked], "max_tokens": 1}
    schema = {
        "type": "object",
        "properties": {
            "ok": {"type": "boolean"},
            "list": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["ok", "list"],
        "additionalProperties": False,
    }
    config = {"output_config": {"format": {"type": "json_schema", "schema": schema}}}
    yield "a schema of the answer", {"messages": [asked], **config}
    yield "a schema beside tools", {"messages": [asked], **config, **tools}
    yield (
        "140 tools",
        {"messages": [asked], "tools": [READ, *(tool(f"tool_{n}") for n in range(139))]},
    )
    ugly = {"tools": [READ, tool(LONG_NAME, UGLY_SCHEMA)]}
    yield "an ugly tool", {"messages": [asked], **ugly}
    yield (
        "an ugly tool that was called",
        {
            "messages": [asked, assistant(call(1, LONG_NAME, where={"x": 1})), user(result(1))],
            **ugly,
        },
    )
    yield (
        "short and odd names",
        {"messages": [asked], "tools": [READ, tool("ls"), tool("2fa-code"), tool("x" * 128)]},
    )
    plain = {"name": "Plain", "input_schema": {"type": "object"}}
    yield "a tool without description", {"messages": [asked], "tools": [READ, plain]}
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 8}
    yield "a server tool", {"messages": [asked], "tools": [READ, search]}
    deferred = tool("Hidden", defer_loading=True)
    yield "a deferred tool", {"messages": [asked], "tools": [READ, deferred]}
    yield (
        "parallel calls, results in another order",
        {
            "messages": [
                asked,
                assistant(text("a"), call(1), call(2)),
                user(result(2, "b", is_error=True), result(1)),
            ],
            **tools,
        },
    )
    yield (
        "a missing result",
        {"messages": [asked, assistant(call(1), call(2)), user(result(1))], **tools},
    )
    yield "a result without its call", {"messages": [asked, user(result(9)), asked], **tools}
    yield "empty results", {"messages": [*loop[:2], user(result(1, []))], **tools}
    yield (
        "an empty answer in the history",
        {"messages": [asked, {"role": "assistant", "content": []}, asked]},
    )
    yield "an answer that is begun", {"messages": [asked, assistant(text("It is"))], **off}
    yield (
        "ids of another provider",
        {
            "messages": [
                asked,
                assistant(
                    {"type": "tool_use", "id": "functions.Read:0", "name": "Read", "input": {}}
                ),
                user({"type": "tool_result", "tool_use_id": "functions.Read:0", "content": "a"}),
            ],
            **tools,
        },
    )
    yield (
        "an id that is long",
        {
            "messages": [
                asked,
                assistant({"type": "tool_use", "id": "t" * 300, "name": "Read", "input": {}}),
                user({"type": "tool_result", "tool_use_id": "t" * 300, "content": "a"}),
            ],
            **tools,
        },
    )


# What no place that speaks the Messages API itself need take.
NOT_NATIVE = {
    "a missing result",
    "a result without its call",
    "an empty answer in the history",
    "ids of another provider",
    "an id that is long",
    "tool_choice without tools",
    "thinking of another model",
    "redacted thinking",
}
OWN_THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": sign("thinking", "Hm.")}


def at_home(body):
    """The request with a history that the provider itself has answered, thinking before its calls."""
    for message in body["messages"]:
        content = message["content"]
        if message["role"] == "assistant" and "tool_use" in [block["type"] for block in content]:
            message["content"] = [OWN_THOUGHT, *content]
    return body
