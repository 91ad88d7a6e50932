"""Drives ccproxy with the real Claude Code: whole sessions of `claude -p`, two at a time."""

import json
import os
import platform
import signal
import subprocess
import tempfile
from pathlib import Path

import harness
from harness import Proxy

from upstream import Step, openai_error

MACHINE = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
CLAUDE = harness.CLIENTS / f"node_modules/@anthropic-ai/claude-code-linux-{MACHINE}/claude"

# Seconds after which a run is killed; it takes two to ten.
LIMIT = 120

UNICODE = 'Grüße, 中文, 😀, "quotes" and \\ backslashes\n\tover `two` lines.'


class Session:
    """One run of Claude Code in a directory of its own, which lasts as long as a `with` block."""

    def __enter__(self):
        self._temporary = tempfile.TemporaryDirectory(prefix="claude-", ignore_cleanup_errors=True)
        # Resolved, since Claude Code names its working directory that way.
        root = Path(self._temporary.name).resolve()
        self.home, self.directory = root / "home", root / "work"
        self.home.mkdir()
        self.directory.mkdir()
        self.events, self.stderr = [], ""
        return self

    def __exit__(self, *exception):
        self._temporary.cleanup()

    def run(self, proxy, prompt):
        command = [CLAUDE, "-p", prompt, "--output-format", "stream-json", "--verbose"]
        process = subprocess.Popen(
            [*command, "--dangerously-skip-permissions"],
            # Nothing else is inherited, above all no ANTHROPIC_ or CLAUDE_ variable.
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.home),
                "LANG": "C.UTF-8",
                "SHELL": "/bin/bash",
                # Lets root skip the permissions.
                "IS_SANDBOX": "1",
                "ANTHROPIC_BASE_URL": proxy.url,
                "ANTHROPIC_API_KEY": "dummy",
                "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
                "DISABLE_AUTOUPDATER": "1",
            },
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            stdout, self.stderr = process.communicate(timeout=LIMIT)
        finally:
            # Its own process group: the shells that it started end with it.
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
        self.events = [json.loads(line) for line in stdout.splitlines() if line.startswith("{")]
        return self

    @property
    def result(self):
        """The closing event, with `result`, `is_error`, `terminal_reason` and `usage`."""
        results = [event for event in self.events if event["type"] == "result"]
        return results[-1] if results else {"stderr": self.stderr}

    @property
    def blocks(self):
        """The content blocks of all answers, as Claude Code understood them."""
        messages = [event["message"] for event in self.events if event["type"] == "assistant"]
        return [block for message in messages for block in message["content"]]

    def file(self, name):
        path = self.directory / name
        return path.read_text() if path.exists() else None


def check_result(suite, case, session, expected):
    names = ["result", "is_error", "terminal_reason", "stderr"]
    seen = {name: session.result.get(name) for name in names}
    right = seen["result"] == expected and not seen["is_error"]
    suite.check(f"{case}: the final result", right, f"{seen}, not {expected!r}")


def offered(received):
    return [tool["function"]["name"] for tool in received.body.get("tools", [])]


def results(received):
    """The tool results of a request, by the id of their call."""
    messages = received.body["messages"]
    return {m["tool_call_id"]: str(m["content"]) for m in messages if m["role"] == "tool"}


def plain_text(suite):
    script = suite.script(Step(text=UNICODE, usage=[4321, 21, 1000]))
    with Session() as session:
        session.run(suite.proxy, script.prompt)
        check_result(suite, "plain text", session, UNICODE)
        directory = str(session.directory)
    usage = session.result.get("usage", {})
    names = ["input_tokens", "cache_read_input_tokens", "output_tokens"]
    suite.equal("plain text: usage", [usage.get(name) for name in names], [3321, 1000, 21])
    suite.equal("plain text: upstream requests", len(script.requests), 1)
    received = script.requests[0]
    messages = received.body["messages"]
    suite.equal("plain text: the system prompt comes first", messages[0]["role"], "system")
    # Claude Code tells it in a system message after the prompt.
    suite.contains("plain text: the working directory arrives", str(messages), directory)
    billing = "x-anthropic-billing-header" in str(messages)
    suite.check("plain text: the billing header is left out", not billing, messages[0])
    suite.contains("plain text: tools", offered(received), "Bash")
    placeholder = "DeferredToolPlaceholder" in offered(received)
    suite.check("plain text: no deferred placeholder", not placeholder, offered(received))


def write_and_bash(suite):
    with Session() as session:
        path = f"{session.directory}/out.txt"
        script = suite.script(
            Step(text="I write it.", tools=[["Write", {"file_path": path, "content": UNICODE}]]),
            Step(tools=[["Bash", {"command": "cat out.txt", "description": "Show the file"}]]),
            Step(text="It is written."),
        )
        session.run(suite.proxy, script.prompt)
        check_result(suite, "write and bash", session, "It is written.")
        suite.equal("write and bash: the file", session.file("out.txt"), UNICODE)
    suite.equal("write and bash: upstream requests", len(script.requests), 3)
    shown = str(results(script.requests[-1]))
    suite.contains("write and bash: the output reaches the model", shown, "中文")


def parallel_tools(suite):
    with Session() as session:
        contents = ["AAA", "BBB", "third"]
        paths = [session.directory / name for name in ("a.txt", "b.txt")]
        for path, content in zip(paths, contents, strict=False):
            path.write_text(f"{content}\n")
        reads = [["Read", {"file_path": str(path)}] for path in paths]
        bash = ["Bash", {"command": "echo third", "description": "Say it"}]
        script = suite.script(
            Step(text="Three at once.", tools=[*reads, bash], tool_style="interleaved"),
            Step(text="All three seen."),
        )
        session.run(suite.proxy, script.prompt)
        check_result(suite, "parallel tools", session, "All three seen.")
    suite.equal("parallel tools: upstream requests", len(script.requests), 2)
    received = script.requests[-1]
    calls = [c for m in received.body["messages"] for c in m.get("tool_calls", [])]
    suite.equal("parallel tools: calls in the history", len(calls), len(contents))
    for call, content in zip(calls, contents, strict=False):
        seen = results(received).get(call["id"], "")
        suite.contains("parallel tools: a result belongs to its call", seen, content)


def image(suite):
    with Session() as session:
        path = session.directory / "red.png"
        path.write_bytes(harness.red_png())
        script = suite.script(
            Step(tools=[["Read", {"file_path": str(path)}]]),
            Step(text="It is red."),
        )
        session.run(suite.proxy, script.prompt)
        check_result(suite, "image", session, "It is red.")
    contents = [m["content"] for m in script.requests[-1].body["messages"] if m["role"] == "user"]
    parts = [part["type"] for content in contents if isinstance(content, list) for part in content]
    suite.contains("image: it reaches the upstream", parts, "image_url")


def reasoning(suite):
    bash = ["Bash", {"command": "echo hi", "description": "Say hi"}]
    script = suite.script(
        Step(reasoning="A tool may help.", text="I use a tool.", tools=[bash]),
        Step(reasoning="That was it.", text="The visible answer."),
    )
    with Session() as session:
        session.run(suite.proxy, script.prompt)
        check_result(suite, "reasoning", session, "The visible answer.")
    thoughts = [block["thinking"] for block in session.blocks if block["type"] == "thinking"]
    suite.equal("reasoning: thinking blocks", thoughts, ["A tool may help.", "That was it."])


def tool_search(suite):
    """A deferred tool is offered once a search has found it, and not before."""
    search = {"query": "select:CronList", "max_results": 5}
    script = suite.script(
        Step(tools=[["ToolSearch", search]]),
        Step(tools=[["CronList", {}]]),
        Step(text="The search is over."),
    )
    with Session() as session:
        session.run(suite.proxy, script.prompt)
        check_result(suite, "tool search", session, "The search is over.")
    before, after = (offered(received) for received in script.requests[:2])
    suite.check("tool search: not offered before", "CronList" not in before, before)
    suite.contains("tool search: offered afterwards", after, "CronList")
    found = str(results(script.requests[1]))
    suite.contains("tool search: the result names the tool", found, "CronList")


def subagent(suite):
    """A conversation of its own, beside the main one and with its own tools and system prompt."""
    part = suite.script(Step(text="The report of the part."))
    agent = {
        "description": "A part of it",
        "prompt": part.prompt,
        "subagent_type": "general-purpose",
        "run_in_background": False,
    }
    script = suite.script(Step(tools=[["Agent", agent]]), Step(text="The report is in."))
    with Session() as session:
        session.run(suite.proxy, script.prompt)
        check_result(suite, "subagent", session, "The report is in.")
    suite.equal("subagent: it asks the upstream", len(part.requests), 1)
    report = str(results(script.requests[-1]))
    suite.contains("subagent: its answer is the result", report, "The report of the part.")


def rate_limit(suite):
    limited = Step(status=429, error=openai_error("Rate limit reached"), retry_after="1")
    script = suite.script([limited, Step(text="After the limit.")])
    with Session() as session:
        session.run(suite.proxy, script.prompt)
        check_result(suite, "rate limit", session, "After the limit.")
    first, second = (received.at for received in script.requests)
    suite.check("rate limit: it waits as told", 0.95 <= second - first < 5, second - first)


OVERFLOW = openai_error(
    "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens. "
    "Please reduce the length of the messages.",
    "invalid_request_error",
    "context_length_exceeded",
)


def context_overflow(suite):
    """As an answer of its own, or inside a stream that has said nothing yet."""
    for step in [Step(status=400, error=OVERFLOW), Step(broken="refused", error=OVERFLOW)]:
        script = suite.script(step)
        with Session() as session:
            session.run(suite.proxy, script.prompt)
        reason = session.result.get("terminal_reason")
        name = "context overflow, " + (step.broken or "an answer")
        suite.equal(f"{name}: terminal_reason", reason, "prompt_too_long")


def upstream_key_refused(suite):
    """Claude Code repeats a 401 for minutes unless it is told that this one is final."""
    script = suite.script(Step(status=401, error=openai_error("Incorrect API key provided")))
    with Session() as session:
        session.run(suite.proxy, script.prompt)
    suite.equal("upstream key refused: is_error", session.result.get("is_error"), True)
    suite.equal("upstream key refused: upstream requests", len(script.requests), 1)


def cut_in_text(suite):
    script = suite.script(
        [Step(text="A text that is cut off", broken="cut"), Step(text="The whole text.")]
    )
    with Session() as session:
        session.run(suite.proxy, script.prompt)
        check_result(suite, "cut in text", session, "The whole text.")


def cut_in_tool_call(suite):
    bash = ["Bash", {"command": "echo half > half.txt", "description": "Write"}]
    script = suite.script([Step(tools=[bash], broken="cut"), Step(text="Nothing was run.")])
    with Session() as session:
        session.run(suite.proxy, script.prompt)
        check_result(suite, "cut in tool call", session, "Nothing was run.")
        suite.equal("cut in tool call: it is not run", session.file("half.txt"), None)


def arguments_that_break_off(suite):
    """The provider calls it the end of a call; it is an end of the output, and the session goes on."""
    half = ["Bash", '{"description": "Write", "command": "echo half > half.txt']
    script = suite.script(Step(tools=[half]), Step(text="Nothing was run."))
    with Session() as session:
        session.run(suite.proxy, script.prompt)
        check_result(suite, "arguments that break off", session, "Nothing was run.")
        suite.equal("arguments that break off: not run", session.file("half.txt"), None)
    suite.equal("arguments that break off: upstream requests", len(script.requests), 2)


def echo_provider(suite):
    """The embedded provider, which needs no upstream, calls the tool that the prompt names."""
    call = {"command": "echo hello > e.txt", "description": "d"}
    with Proxy("--provider", "echo") as proxy, Session() as session:
        session.run(proxy, f"Please call [[tool:Bash {json.dumps(call)}]]")
        suite.equal("echo: the tool is run", session.file("e.txt"), "hello\n")
        result = session.result
        suite.contains("echo: the final result", str(result.get("result")), "The tool said")


CASES = [
    plain_text,
    write_and_bash,
    parallel_tools,
    image,
    reasoning,
    tool_search,
    subagent,
    rate_limit,
    context_overflow,
    upstream_key_refused,
    cut_in_text,
    cut_in_tool_call,
    arguments_that_break_off,
    echo_provider,
]

if __name__ == "__main__":
    harness.main("claude code", CASES, workers=2)
