"""Drives ccproxy against the dialect of every provider: what is refused there must not be sent.

Each run is one proxy for one model of one provider. It plays a tool loop of Claude Code, requests of
every kind that Claude Code and others send, and a conversation whose reasoning must come back while
the proxy is started anew for every turn. A refusal is only accepted if the proxy learned from it: it
tried again with success, and did not ask the same once more. With arguments only the runs of these
names; `providers.py openai` runs all of a provider.
"""

import base64
import concurrent.futures
import http.client
import itertools
import json
import re
import sys
import urllib.parse
from dataclasses import dataclass, replace

import harness
from claude_code import Session, check_result
from dialect_server import DialectServer
from dialects import DIALECTS
from harness import RED_PNG_BASE64, Proxy, Suite
from rules import sign, signed
from script import API_KEY, WIRES, Step

MODEL = "claude-opus-5-5"
BETAS = "context-management-2025-06-27,mid-conversation-system-2026-04-07"
FURNITURE = "what Claude Code adds"


@dataclass(frozen=True)
class Run:
    """One model of a provider, and the API that it is asked through."""

    provider: str
    model: str
    api: str = "chat"
    # Whether Claude Code's tool loop is played; once for each API of a provider.
    loop: bool = True

    @property
    def name(self):
        return f"{self.provider}/{self.model}/{self.api}"

    @property
    def dialect(self):
        return DIALECTS[self.provider]

    @property
    def key(self):
        """A key of its own, by which the server tells the requests of this run."""
        return f"{API_KEY}-{re.sub('[^a-z0-9]', '-', self.name.lower())}"

    def proxy(self, server):
        prefix, base = self.provider.upper(), f"{server.url}/{self.provider}"
        if self.provider == "anthropic":
            # Without more, the names would be those of Claude Code.
            prefix = "ANTHROPIC_UPSTREAM"
        environment = {
            f"{prefix}_BASE_URL": base + self.dialect.base,
            f"{prefix}_API_KEY": self.key,
            f"{prefix}_MODEL": self.model,
            f"{prefix}_NATIVE": "on" if self.api == "native" else "off",
        }
        if self.api == "native":
            environment[f"{prefix}_NATIVE_URL"] = base + self.dialect.native
        else:
            environment[f"{prefix}_API"] = self.api
        return Proxy("--provider", self.provider, **environment)


def all_runs():
    for provider, dialect in DIALECTS.items():
        if dialect.rules:
            for model in dialect.models:
                yield Run(provider, model, "chat", loop=model == dialect.models[0])
        if dialect.responses:
            yield Run(provider, dialect.models[0], "responses")
        if dialect.native is not None:
            yield Run(provider, dialect.models[0], "native")


# --- Asking --------------------------------------------------------------------------------------


def ask(proxy, body, path="/v1/messages?beta=true"):
    """Returns the status, and the message or what is said instead of one."""
    address = urllib.parse.urlsplit(proxy.url).netloc
    connection = http.client.HTTPConnection(address, timeout=30)
    headers = {
        "content-type": "application/json",
        "x-api-key": "any",
        "anthropic-version": "2023-06-01",
        "anthropic-beta": BETAS,
    }
    connection.request("POST", path, json.dumps(body), headers)
    response = connection.getresponse()
    raw = response.read().decode()
    connection.close()
    if response.status == 200 and body.get("stream"):
        return accumulated(raw)
    return response.status, json.loads(raw)


def accumulated(raw):
    """The message of a stream, as the SDK puts it together."""
    message, pieces = None, {}
    for line in raw.splitlines():
        if not line.startswith("data: "):
            continue
        event = json.loads(line[6:])
        kind = event["type"]
        if kind == "error":
            return 500, event
        if kind == "message_start":
            message = event["message"]
        elif kind == "content_block_start":
            message["content"].append(event["content_block"])
        elif kind == "content_block_delta":
            add_delta(message["content"][event["index"]], event["delta"], pieces, event["index"])
        elif kind == "message_delta":
            message |= event["delta"]
    for index, text in pieces.items():
        message["content"][index]["input"] = json.loads(text or "{}")
    return 200, message


def add_delta(block, delta, pieces, index):
    kind = delta["type"]
    if kind == "input_json_delta":
        pieces[index] = pieces.get(index, "") + delta["partial_json"]
    elif kind == "signature_delta":
        block["signature"] = block.get("signature", "") + delta["signature"]
    else:
        name = kind.removesuffix("_delta")
        block[name] = block.get(name, "") + delta[name]


# --- What is asked -------------------------------------------------------------------------------


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


# --- Cases ---------------------------------------------------------------------------------------


def claude_code_loop(suite, run, proxy):
    """Claude Code reads, writes and runs, two tools at a time, thinks, and sees an image."""
    with Session() as session:
        out, red = session.directory / "out.txt", session.directory / "red.png"
        red.write_bytes(harness.red_png())
        write = ["Write", {"file_path": str(out), "content": "one\n"}]
        steps = [
            Step(
                reasoning="Two at once.",
                text="I write both.",
                tools=[write, bash("echo two > two.txt")],
            ),
            Step(
                reasoning="Now look.",
                tools=[["Read", {"file_path": str(out)}], ["Read", {"file_path": str(red)}]],
            ),
            Step(
                reasoning="It has to be louder.",
                tools=[["Edit", {"file_path": str(out), "old_string": "one", "new_string": "ONE"}]],
            ),
            Step(reasoning="Together.", tools=[bash("cat out.txt two.txt > all.txt && ls")]),
            Step(reasoning="Done.", text="All is done."),
        ]
        script = suite.script(*steps)
        session.run(proxy, script.prompt)
        name = f"{run.name}: Claude Code"
        check_result(suite, name, session, "All is done.")
        suite.equal(f"{name}: the file", session.file("all.txt"), "ONE\ntwo\n")
    refused = refusals(suite, run)
    suite.check(f"{name}: at most one refusal", len(refused) <= 1, refused)


def bash(command):
    return ["Bash", {"command": command, "description": "Run it"}]


def refusals(suite, run):
    return [r.refused for r in suite.upstream.of_key(run.key) if r.refused]


def recorded_requests(suite, run, proxy):
    for name, _ in requests(text("")):
        if run.api == "native" and name in NOT_NATIVE:
            continue
        lacks, problems = run.api == "native" and name in run.dialect.native_lacks, []
        for streamed, answer in itertools.product([True, False], [Step(text="Fine."), calling()]):
            script = suite.script(*[answer] * 4)
            body = dict(requests(text(script.prompt)))[name]
            body = at_home(body) if run.api == "native" else body
            may_call = "Read" in str(body.get("tools")) and "none" not in str(
                body.get("tool_choice")
            )
            if may_call or not answer.tools:
                body = {"model": MODEL, "max_tokens": 4000, "stream": streamed, **body}
                answered = ask(proxy, body)
                if lacks:
                    problems += [] if answered[0] == 400 else [f"not 400 but {answered}"]
                else:
                    problems += problem(script, answered, answer)
        suite.check(f"{run.name}: {name}", not problems, problems[:1])
    if run.api == "native" and run.dialect.native_lacks:
        return
    for refused, count in kinds_of(refusals(suite, run)).items():
        suite.check(f"{run.name}: learns from a refusal", count == 1, f"{count} times: {refused}")


def other_checks(suite, run, proxy):
    """What is passed on to a place that speaks the Messages API itself, and the count of tokens."""
    script = suite.script(Step(text="Fine."))
    body = {"model": MODEL, "max_tokens": 32000} | dict(requests(text(script.prompt)))[FURNITURE]
    ask(proxy, body)
    received = script.requests[-1]
    if run.api == "native":
        name = f"{run.name}: it is passed on"
        suite.equal(f"{name}: model", received.body["model"], run.model)
        suite.equal(f"{name}: anthropic-beta", received.headers.get("anthropic-beta"), BETAS)
        for field in ["messages", "tools", "thinking", "output_config", "max_tokens"]:
            suite.equal(f"{name}: {field}", received.body.get(field), body[field])
    counted = {field: body[field] for field in ["model", "messages", "system", "tools"]}
    status, message = ask(proxy, counted, "/v1/messages/count_tokens")
    right = status == 200 and type(message.get("input_tokens")) is int
    suite.check(f"{run.name}: count_tokens", right, f"{status} {message}")


def bodies_of_gateways(suite, run, proxy):
    """What stands between makes something else of the answers, which are read all the same."""
    for wire in WIRES:
        problems = []
        for streamed, kind in itertools.product([True, False], ["text", "call"]):
            answer = replace(calling(), wire=wire) if kind == "call" else Step("Fine.", wire=wire)
            script = suite.script(answer)
            body = {"messages": [user(text(script.prompt))], "tools": [READ]}
            body |= {"model": MODEL, "max_tokens": 4000, "stream": streamed}
            answered = ask(proxy, body)
            problems += problem(script, answered, answer)
        suite.check(f"{run.name}: bodies, {wire}", not problems, problems[:1])


def calling():
    return Step(reasoning="Let me see.", text="I look.", tools=[["Read", {"path": "/é"}]])


def problem(script, answered, expected):
    """What is wrong with an answer, if anything is."""
    status, message = answered
    if status != 200:
        refused = [received.refused for received in script.requests]
        return [f"{status}, refused with {refused}" if any(refused) else f"{status} {message}"]
    right = expected.text in str(message["content"])
    if expected.tools:
        calls = [block for block in message["content"] if block["type"] == "tool_use"]
        right = [[c["name"], c["input"]] for c in calls] == expected.tools
    return [] if right else [f"answered with {message['content']}"]


def kinds_of(refused):
    """How often each kind of refusal was met, numbers and names left aside."""
    counted = {}
    for message in refused:
        kind = re.sub(r"\d+|messages[\[.].*?[\]:]", "#", message)[:120]
        counted[kind] = counted.get(kind, 0) + 1
    return counted


def reasoning_comes_back(suite, run, server):
    """Three turns with a fresh proxy for each: all that a turn needs is in what the client sends."""
    for streamed in [True, False]:
        way = "streamed" if streamed else "whole"
        name = f"{run.name}: reasoning, {way}"
        first = Step(
            reasoning="First I look.\n\nThen I act, é 😀.",
            text="I look.",
            tools=[["Read", {"path": "/é"}], ["Read", {"path": "/b"}]],
        )
        second = Step(reasoning="Once more.", tools=[["Read", {"path": "/c"}]])
        script = suite.script(first, second, Step(reasoning="Enough.", text="Read."))
        body = {
            "model": MODEL,
            "max_tokens": 4000,
            "thinking": {"type": "adaptive"},
            "tools": [READ],
            "stream": streamed,
            "messages": [user(text(script.prompt))],
        }
        answered = True
        for turn in range(3):
            with run.proxy(server) as proxy:
                status, message = ask(proxy, body)
            refused = [r.refused for r in script.requests if r.refused]
            seen = f"{status} {message} {refused[-1:]}"
            answered = suite.check(f"{name}: turn {turn}", status == 200, seen)
            if not answered:
                break
            calls = [block for block in message["content"] if block["type"] == "tool_use"]
            results = [
                {"type": "tool_result", "tool_use_id": block["id"], "content": "ok"}
                for block in calls
            ]
            body["messages"] += [assistant(*message["content"]), user(*results)]
        if answered:
            check_echo(suite, run, name, script.requests[-1], [first, second])


def check_echo(suite, run, name, received, steps):
    """What the last turn brought back of the turns before."""
    if run.api == "responses":
        items = [i for i in received.original["input"] if i.get("type") == "reasoning"]
        suite.equal(f"{name}: items come back", len(items), len(steps))
        return
    if run.api == "native":
        thoughts = [
            block["thinking"]
            for message in received.body["messages"]
            if message["role"] == "assistant"
            for block in message["content"]
            if block["type"] == "thinking"
        ]
        suite.equal(f"{name}: thoughts", thoughts, [step.reasoning for step in steps])
        return
    answers = [m for m in received.body["messages"] if m["role"] == "assistant"]
    for answer, step in zip(answers, steps, strict=True):
        if run.dialect.echo in ("reasoning_content", "same"):
            field = run.dialect.reasoning_field(run.model)
            suite.equal(f"{name}: echo in {field}", answer.get(field), step.reasoning)
        elif run.dialect.echo == "reasoning_details":
            suite.check(f"{name}: echo", answer.get("reasoning_details"), answer)
        elif run.dialect.echo == "thought_signature":
            google = (answer["tool_calls"][0].get("extra_content") or {}).get("google") or {}
            covered = signed("thought", google.get("thought_signature"))
            suite.equal(f"{name}: signature", covered, list(step.tools[0]))


PLACES = {"chat": "/chat/completions", "responses": "/responses", "native": "/messages"}


def is_asked_through(suite, run, proxy):
    """Whether the provider is asked where this run says; the rest tells nothing if it is not."""
    script = suite.script(Step(text="Hello."))
    seen = ask(proxy, {"model": MODEL, "max_tokens": 100, "messages": [user(text(script.prompt))]})
    paths = [received.path.split("?")[0] for received in script.requests]
    name = f"{run.name}: the place that is asked"
    asked = paths and all(path.endswith(PLACES[run.api]) for path in paths)
    return suite.check(name, asked, f"{paths} {seen}")


def play(suite, run, server):
    try:
        with run.proxy(server) as proxy:
            if not is_asked_through(suite, run, proxy):
                return
            if run.loop:
                suite.run(lambda suite: claude_code_loop(suite, run, proxy))
            suite.run(lambda suite: recorded_requests(suite, run, proxy))
            suite.run(lambda suite: other_checks(suite, run, proxy))
            suite.run(lambda suite: bodies_of_gateways(suite, run, proxy))
            suite.check(f"{run.name}: the proxy is still running", proxy.alive())
        suite.run(lambda suite: reasoning_comes_back(suite, run, server))
    except RuntimeError as error:
        suite.check(f"{run.name}: ccproxy starts", False, error)


def main():
    runs = list(all_runs())
    by_name = {run.name: [run] for run in runs}
    for run in runs:
        by_name.setdefault(run.provider, []).append(run)
    asked = harness.prepare(by_name)
    if asked == list(by_name):
        asked = [run.name for run in runs]
    chosen = [run for name in asked for run in by_name[name]]
    with DialectServer() as server:
        suite = Suite("providers", None, server)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda run: play(suite, run, server), chosen))
        suite.finish()
        if "--refusals" in sys.argv:
            for run in chosen:
                for refused in sorted(set(refusals(suite, run))):
                    print(f"{run.name}: refused: {refused}")
    sys.exit(suite.failed > 0)


if __name__ == "__main__":
    main()
