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
import pathlib
import re
import sys
import tempfile
import urllib.parse
from dataclasses import dataclass, replace

import harness
from claude_code import Session, check_result
from dialect_server import DialectServer
from dialects import DIALECTS
from harness import Proxy, Suite
from provider_requests import FURNITURE, NOT_NATIVE, READ, assistant, at_home, requests, text, user
from rules import signed
from script import API_KEY, WIRES, Step

MODEL = "claude-opus-5-5"
BETAS = "context-management-2025-06-27,mid-conversation-system-2026-04-07"


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
        prefix, base = self.provider.upper().replace("-", "_"), f"{server.url}/{self.provider}"
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
            models = [model for model in dialect.models if model not in dialect.responses_only]
            for model in models:
                yield Run(provider, model, "chat", loop=model == models[0])
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
    for index, arguments in pieces.items():
        message["content"][index]["input"] = json.loads(arguments or "{}")
    return 200, message


def add_delta(block, delta, pieces, index):
    kind = delta["type"]
    if kind == "input_json_delta":
        pieces[index] = pieces.get(index, "") + delta["partial_json"]
    elif kind == "signature_delta":
        block["signature"] = block.get("signature", "") + delta["signature"]
    elif kind == "citations_delta":
        block.setdefault("citations", []).append(delta["citation"])
    else:
        name = kind.removesuffix("_delta")
        block[name] = block.get(name, "") + delta[name]


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


def pictures_in_words(suite, server):
    """A model that reads text only gets another provider's words for a picture."""

    def provider(name):
        dialect, key = DIALECTS[name], f"{API_KEY}-pictures-{name}"
        url = f"{server.url}/{name}{dialect.base}"
        return {"name": name, "base_url": url, "api_key": key, "model": dialect.models[0]}

    config = {
        "providers": [provider("groq"), provider("gemini")],
        "models": {"default": "groq"},
        "rules": {"images": {"describe": "gemini"}},
    }
    png = base64.b64encode(harness.red_png()).decode()
    source = {"type": "base64", "media_type": "image/png", "data": png}
    script = suite.script(Step(text="I have read it."))
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory) / "ccproxy.json"
        path.write_text(json.dumps(config))
        with Proxy("--config", str(path)) as proxy:
            shown = {"type": "image", "source": source}
            body = {"model": MODEL, "max_tokens": 100}
            body["messages"] = [user(shown, text(script.prompt))]
            answers = [ask(proxy, body | {"stream": stream}) for stream in (False, True)]
    said = [answer["content"][-1]["text"] for status, answer in answers if status == 200]
    suite.check("pictures in words: both are answered", said == ["I have read it."] * 2, answers)
    asked = server.of_key(f"{API_KEY}-pictures-gemini")
    seen = [png in json.dumps(received.original) for received in asked]
    suite.check("pictures in words: one question shows the picture", seen == [True], seen)
    sent = [json.dumps(received.original) for received in script.requests]
    words = all("Hello from the upstream." in body and png not in body for body in sent)
    suite.check("pictures in words: the model gets the words", words and len(sent) == 2, sent)


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
        if any(run.provider == "groq" for run in chosen):
            suite.run(lambda suite: pictures_in_words(suite, server))
        suite.finish()
        if "--refusals" in sys.argv:
            for run in chosen:
                for refused in sorted(set(refusals(suite, run))):
                    print(f"{run.name}: refused: {refused}")
    sys.exit(suite.failed > 0)


if __name__ == "__main__":
    main()
