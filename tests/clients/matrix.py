"""What Claude Code does, at every provider: the real client, against the dialect of each row.

One session of Claude Code for each row plays everything that has a column, and a second one answers by
a schema. What works is said so in the README's table, what does not with its reason: all rows are
played and the table is written by `scripts/test matrix`; with `--sample` a few rows are played, and must
be as the table has them. With names only these rows are played, and nothing is written.
"""

import concurrent.futures
import json
import os
import re
import signal
import subprocess
import sys
import threading

import harness
import searches
from claude_code import CLAUDE, Session
from dialect_server import DialectServer
from dialects import DIALECTS
from harness import Proxy, Suite, custom_provider
from script import API_KEY, Step

from upstream import Upstream, openai_error

# Seconds for one answer of Claude Code, on a busy machine.
LIMIT = 120

# One row for each API: chat completions, Responses, and one's own Messages API.
SAMPLE = ["groq", "openai", "deepseek"]

README = harness.ROOT / "README.md"
BEGIN, END = "<!-- matrix: begin -->", "<!-- matrix: end -->"

YES = "yes"

OVERFLOW = openai_error(
    "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens. "
    "Please reduce the length of the messages.",
    "invalid_request_error",
    "context_length_exceeded",
)

COLUMNS = [
    "text",
    "tools in parallel",
    "thinking",
    "tool search",
    "image of a tool",
    "PDF",
    "subagent",
    "web search",
    "structured output",
    "title",
    "count_tokens",
    "model picker",
    "compaction",
    "cancelled stream",
    "overflow → compaction",
]


class Client:
    """A session of Claude Code that is spoken with line by line, as the SDK for agents does."""

    def __init__(self, proxy, session):
        command = [CLAUDE, "-p", "--input-format", "stream-json", "--output-format", "stream-json"]
        self._process = subprocess.Popen(
            [*command, "--verbose", "--include-partial-messages", "--dangerously-skip-permissions"],
            env=environment(proxy, session),
            cwd=session.directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        self.events, self._heard, self._asked = [], threading.Condition(), 0
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait()

    def _read(self):
        for line in self._process.stdout:
            if line.startswith("{"):
                with self._heard:
                    self.events.append(json.loads(line))
                    self._heard.notify_all()

    def _send(self, message):
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()

    def wait(self, wanted, since=0):
        """The first event from `since` on that is `wanted`; an empty one if it does not come."""

        def find():
            return next((event for event in self.events[since:] if wanted(event)), {})

        with self._heard:
            return self._heard.wait_for(find, LIMIT) or {}

    def control(self, subtype, **fields):
        """What the client says to a request that is about itself."""
        self._asked += 1
        name, since = f"control-{self._asked}", len(self.events)
        request = {"subtype": subtype, **fields}
        self._send({"type": "control_request", "request_id": name, "request": request})

        def is_answer(event):
            return (event.get("response") or {}).get("request_id") == name

        return self.wait(is_answer, since).get("response", {}).get("response") or {}

    def say(self, prompt):
        """Sends a prompt, and returns where its events begin."""
        since = len(self.events)
        self._send({"type": "user", "message": {"role": "user", "content": prompt}})
        return since

    def ask(self, prompt):
        """Sends a prompt and waits for the end of its turn; returns its events."""
        since = self.say(prompt)
        self.wait(lambda event: event["type"] == "result", since)
        return self.events[since:]


def environment(proxy, session):
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(session.home),
        "LANG": "C.UTF-8",
        "SHELL": "/bin/bash",
        "IS_SANDBOX": "1",
        "ANTHROPIC_BASE_URL": proxy.url,
        "ANTHROPIC_AUTH_TOKEN": "any",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY": "1",
        "DISABLE_AUTOUPDATER": "1",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "NO_PROXY": "127.0.0.1,localhost",
    }


class Row:
    """One provider, asked as it is by default."""

    def __init__(self, suite, name, proxy, key):
        self.suite, self.name, self.proxy, self.key = suite, name, proxy, key
        self.cells = {}

    def sees(self, column, works, detail=""):
        """Fills a cell: `works` is whether it does, or in words what is done instead."""
        cell = works if isinstance(works, str) else YES if works else "no"
        self.cells[column] = cell
        self.suite.check(f"{self.name}: {column}", cell != "no", detail)

    def play(self):
        with Session() as session, Client(self.proxy, session) as client:
            listed = client.control("initialize").get("models") or []
            self.loop(client, session)
            self.asides(client, listed)
            self.endings(client)
        self.by_schema()

    def loop(self, client, session):
        """A loop of tools with all that can be in one conversation."""
        red, paper = session.directory / "red.png", session.directory / "paper.pdf"
        red.write_bytes(harness.red_png())
        paper.write_bytes(pdf("A page."))
        part = self.suite.script(Step(reasoning="A part.", text="The report of the part."))
        told = f"See [a page]({searches.PAGE['url']})."
        search = self.suite.script(Step(reasoning="I search.", text=told))
        agent = {
            "description": "A part of it",
            "prompt": part.prompt,
            "subagent_type": "general-purpose",
            "run_in_background": False,
        }
        loads = {"query": "select:CronList,WebSearch", "max_results": 3}
        steps = [
            Step(text="I ask both.", tools=[bash("echo first"), bash("echo second")]),
            Step(tools=[["Read", {"file_path": str(red)}]]),
            Step(tools=[["Read", {"file_path": str(paper)}]]),
            Step(tools=[["ToolSearch", loads]]),
            Step(tools=[["CronList", {}]]),
            Step(tools=[["Agent", agent]]),
            Step(tools=[["WebSearch", {"query": search.prompt}]]),
            Step(text="All is done."),
        ]
        for step in steps:
            step.reasoning = "I think about it."
        script = self.suite.script(*steps)
        events = client.ask(script.prompt)
        shown = str(results(events))
        said = ended(events)
        self.sees("text", said.get("result") == "All is done.", said)
        self.sees("tools in parallel", "first" in shown and "second" in shown, shown)
        thinks = any(block["type"] == "thinking" for block in blocks(events))
        self.sees("thinking", thinks or self.shows_no_thoughts() or False, blocks(events))
        self.sees("tool search", "No scheduled jobs" in shown, shown)
        sent = [str(request.original) for request in script.requests]
        self.sees("image of a tool", seen(sent, "iVBORw0KGgo", "[image: not shown"), shown)
        self.sees("PDF", seen(sent, "JVBERi0", "[document: "), shown)
        self.sees("subagent", "The report of the part." in shown, shown)
        found = [block for block in results(events) if "Web search" in str(block)]
        refused = [request.refused for request in search.requests]
        self.sees("web search", self.searched(str(found), search), f"{found} {refused}")

    def searched(self, shown, search):
        """Whether WebSearch has brought a list of pages, or what it has said instead."""
        if re.search(r"Links: \[[^]]*https://found\.example/page", shown):
            return True
        if "Web search is not available" in shown and not search.requests:
            return "is refused"
        is_native = bool(search.requests) and "/messages" in search.requests[0].path
        return "a text" if is_native and "See [a page]" in shown else False

    def shows_no_thoughts(self):
        """In words, where the model shows none."""
        dialect = DIALECTS.get(self.name)
        is_silent = dialect and not (dialect.reasoning or dialect.responses or dialect.native)
        return "shows none" if is_silent else ""

    def asides(self, client, listed):
        """What goes on beside the conversation."""
        script = self.suite.script(Step(text='{"title": "A title"}'))
        titled = client.control("generate_session_title", description=script.prompt, persist=False)
        self.sees("title", titled.get("title") == "A title", titled)
        usage = client.control("get_context_usage")
        counted = self.proxy.line("count_tokens")
        self.sees("count_tokens", usage.get("totalTokens", 1) > 0 and bool(counted), usage)
        client.control("set_model", model="haiku")
        script = self.suite.script(Step(text="With another model."))
        said = ended(client.ask(script.prompt))
        client.control("set_model", model="default")
        names = [str(model.get("value")) for model in listed]
        works = "haiku" in names and said.get("result") == "With another model."
        self.sees("model picker", works, f"{names} {said}")

    def endings(self, client):
        """A conversation that is made shorter, broken off, and too long."""
        self.sees("compaction", compacted(client.ask("/compact")), client.events[-5:])
        script = self.suite.script(Step(text="word " * 20_000))
        since = client.say(script.prompt)
        begun = client.wait(lambda event: "text_delta" in str(event), since)
        client.control("interrupt")
        client.wait(lambda event: event["type"] == "result", since)
        script = self.suite.script(Step(text="It goes on."))
        said = ended(client.ask(script.prompt))
        self.sees("cancelled stream", bool(begun) and said.get("result") == "It goes on.", said)
        refused = Step(status=400, error=OVERFLOW)
        script = self.suite.script([refused, Step(text="It fits.")])
        events = client.ask(script.prompt)
        works = compacted(events) and ended(events).get("result") == "It fits."
        self.sees("overflow → compaction", works, ended(events))

    def by_schema(self):
        """An answer in the form of a schema."""
        schema = {"type": "object", "properties": {"answer": {"type": "string"}}}
        schema |= {"required": ["answer"], "additionalProperties": False}
        script = self.suite.script(
            Step(reasoning="In form.", tools=[["StructuredOutput", {"answer": "42"}]]),
            Step(reasoning="Done.", text="Done."),
        )
        command = [CLAUDE, "-p", script.prompt, "--output-format", "json"]
        with Session() as session:
            done = subprocess.run(
                [*command, "--json-schema", json.dumps(schema), "--dangerously-skip-permissions"],
                env=environment(self.proxy, session),
                cwd=session.directory,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=LIMIT,
            )
        right = re.search(r'"structured_output":\{"answer":"42"\}', done.stdout)
        self.sees("structured output", bool(right), done.stdout + done.stderr)


def pdf(text):
    """A document of one page."""
    stream = f"BT /F1 24 Tf 72 720 Td ({text}) Tj ET"
    objects = [
        "<</Type/Catalog/Pages 2 0 R>>",
        "<</Type/Pages/Kids[3 0 R]/Count 1>>",
        "<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R"
        "/Resources<</Font<</F1 5 0 R>>>>>>",
        f"<</Length {len(stream)}>>stream\n{stream}\nendstream",
        "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    whole, places = "%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(whole))
        whole += f"{number} 0 obj\n{content}\nendobj\n"
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    end = f"trailer<</Size {len(objects) + 1}/Root 1 0 R>>\nstartxref\n{len(whole)}\n%%EOF\n"
    return f"{whole}xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}{end}".encode()


def bash(command):
    return ["Bash", {"command": command, "description": "Run it"}]


def ended(events):
    """The event that closed the turn."""
    return next((event for event in reversed(events) if event["type"] == "result"), {})


def blocks(events):
    messages = [event["message"] for event in events if event["type"] == "assistant"]
    return [block for message in messages for block in message["content"]]


def results(events):
    """What the tools have said."""
    messages = [event["message"]["content"] for event in events if event["type"] == "user"]
    return [block for content in messages if isinstance(content, list) for block in content]


def compacted(events):
    return any(event.get("subtype") == "compact_boundary" for event in events)


def seen(sent, mark, note):
    """Whether something has reached the provider, or a note in its place."""
    if any(mark in request for request in sent):
        return True
    return "a note" if any(note in request for request in sent) else False


# --- The rows ------------------------------------------------------------------------------------


def proxy_for(name, server):
    """A proxy for a row with its own settings, but that its addresses are the server's."""
    dialect, base = DIALECTS[name], f"{server.url}/{name}"
    prefix = "ANTHROPIC_UPSTREAM" if name == "anthropic" else name.upper().replace("-", "_")
    given = {
        f"{prefix}_BASE_URL": base + dialect.base,
        f"{prefix}_API_KEY": f"{API_KEY}-{name}",
        f"{prefix}_MODEL": dialect.models[0],
    }
    if dialect.native is not None:
        given[f"{prefix}_NATIVE_URL"] = base + dialect.native
    return Proxy("--provider", name, **given)


def play(name, server, upstream, report):
    """Plays one row in a suite of its own; returns its cells."""
    is_plain = name not in DIALECTS
    suite = Suite("matrix", None, upstream if is_plain else server)
    proxy = custom_provider(upstream) if is_plain else proxy_for(name, server)
    with proxy:
        row = Row(suite, name, proxy, API_KEY)
        suite.run(lambda _: row.play())
    with report:
        report.checks += suite.checks
        report.failed += suite.failed
    return name, row.cells


class Report:
    """The count of all rows."""

    def __init__(self):
        self.checks = self.failed = 0
        self._lock = threading.Lock()

    def __enter__(self):
        self._lock.acquire()

    def __exit__(self, *exception):
        self._lock.release()


def table(cells_of):
    """The rows of the README's table, by name."""
    return {name: [cells.get(column, "no") for column in COLUMNS] for name, cells in cells_of}


def markdown(rows):
    lines = [f"| | {' | '.join(COLUMNS)} |", f"|---{'|---' * len(COLUMNS)}|"]
    lines += [f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items()]
    return "\n".join(lines)


def written(readme):
    """The table as the README has it."""
    rows = {}
    for line in readme[readme.index(BEGIN) : readme.index(END)].splitlines()[3:]:
        cells = [cell.strip() for cell in line.strip("| ").split("|")]
        rows[cells[0]] = cells[1:]
    return rows


def main():
    names = [*DIALECTS, "custom"]
    is_sample = "--sample" in sys.argv
    asked = harness.prepare(names)
    is_whole = asked == names and not is_sample
    asked = SAMPLE if is_sample and asked == names else asked
    report = Report()
    with DialectServer() as server, Upstream() as upstream:
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            rows = table(pool.map(lambda name: play(name, server, upstream, report), asked))
        faults = [*server.faults, *upstream.faults]
    for fault in faults:
        print(f"FAILED matrix: the scripted servers work: {fault}", flush=True)
    failed = report.failed + len(faults)
    print(markdown(rows))
    readme = README.read_text()
    if is_whole:
        start, end = readme.index(BEGIN) + len(BEGIN), readme.index(END)
        README.write_text(f"{readme[:start]}\n\n{markdown(rows)}\n\n{readme[end:]}")
    elif is_sample:
        for name, cells in rows.items():
            report.checks += 1
            if written(readme).get(name) != cells:
                failed += 1
                print(f"FAILED matrix: the README says otherwise of {name}; run scripts/test matrix")
    print(f"matrix: {report.checks} checks, {failed} failed", flush=True)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
