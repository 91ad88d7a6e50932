"""What goes wrong at three in the morning, and where its cause can be read.

Each fault is made for real; the interactive client says hello, and its screen, ccproxy's log and
/status must each tell the cause, alone. The table at the end is what was seen.
"""

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import threading
import urllib.request
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path

import harness
from harness import Proxy
from screen import NotShown, Terminal, flatten, printed_line

from script import ScriptedHandler, Step
from upstream import chunks, openai_error

CERTIFICATES = Path(__file__).parent / "certificates"

# Seconds from Enter to the words on the screen.
SCREEN_LIMIT = 10

GROQ = "GROQ_BASE_URL"


@dataclass
class Fault:
    """One thing that is wrong, and the words of its cause in each place."""

    name: str
    # What the provider answers: a status and a body, or a step that is streamed.
    answers: object = None
    # Settings beyond the provider's; a value may use {url}, the address of the provider that is asked.
    settings: dict = field(default_factory=dict)
    provider: str = "groq"
    # What is on the screen; empty where the client hides every word, then `client` tells what it says.
    screen: tuple = ()
    client: str = ""
    log: tuple = ()
    status: tuple = ()
    # How many messages the client sends; None where a second try is right, or its own business.
    requests: int | None = 1
    # Behind the printed line's URL, and instead of its token.
    path: str = ""
    token: str = ""


def said(message, code=None):
    return openai_error(message, code=code)


FAULTS = [
    Fault(
        "wrong provider key",
        (401, said("Invalid API Key", "invalid_api_key")),
        screen=("groq refuses its key", "Invalid API Key", "GROQ_API_KEY"),
        log=("groq refuses its key", "GROQ_API_KEY"),
        status=("groq refuses its key", "GROQ_API_KEY"),
    ),
    Fault(
        "wrong model",
        (404, said("The model `retired` does not exist or you do not have access to it.",
                   "model_not_found")),
        {"GROQ_MODEL": "retired"},
        screen=("groq does not know the model", "retired", "GROQ_MODEL"),
        log=("groq does not know the model", "GROQ_MODEL"),
        status=("groq does not know the model", "GROQ_MODEL"),
    ),
    Fault(
        "money gone",
        (402, said("Insufficient credits. Add more on the page Credits.")),
        screen=("groq wants money", "Insufficient credits", "GROQ_API_KEY"),
        log=("groq wants money", "Insufficient credits"),
        status=("groq wants money", "Insufficient credits"),
    ),
    Fault(
        "provider down",
        settings={"OLLAMA_BASE_URL": "http://localhost:{closed}/v1"},
        provider="ollama",
        screen=("nothing listens on localhost:{closed}", "OLLAMA_BASE_URL"),
        log=("nothing listens on localhost:{closed}", "OLLAMA_BASE_URL"),
        status=("nothing listens on localhost:{closed}", "OLLAMA_BASE_URL"),
    ),
    Fault(
        "unknown name",
        settings={GROQ: "http://no-such-host.invalid/v1"},
        screen=("no-such-host.invalid", "DNS", GROQ),
        log=("no-such-host.invalid", "DNS", GROQ),
        status=("no-such-host.invalid", "DNS", GROQ),
    ),
    Fault(
        "context too long",
        (400, said("This model's maximum context length is 8192 tokens. However, your messages "
                   "resulted in 9001 tokens.", "context_length_exceeded")),
        screen=("too long",),
        log=("prompt is too long: 9001 tokens > 8192",),
        status=("prompt is too long: 9001 tokens > 8192",),
        # It tries to make room first.
        requests=None,
    ),
    Fault(
        "rate limit",
        (429, said("Rate limit reached for requests per day")),
        client="retrying in",
        log=("groq", "Rate limit reached for requests per day"),
        status=("Rate limit reached for requests per day",),
        requests=None,
    ),
    Fault(
        "certificate expired",
        settings={GROQ: "https://localhost:{tls}/v1",
                  "SSL_CERT_FILE": str(CERTIFICATES / "authority.pem")},
        screen=("localhost:{tls}", "certificate", "expired on 2025-02-01"),
        log=("localhost:{tls}", "expired on 2025-02-01"),
        status=("expired on 2025-02-01",),
    ),
    Fault(
        "provider's base URL wrong",
        (404, "404 page not found"),
        {GROQ: "{url}/nowhere"},
        screen=("groq", "404 page not found", GROQ),
        log=("404 page not found", GROQ),
        status=("404 page not found", GROQ),
    ),
    Fault(
        "client's base URL wrong",
        path="/nowhere?",
        client="There's an issue with the selected model",
        log=("/nowhere", "404"),
        status=("/nowhere",),
        requests=None,
    ),
    Fault(
        "wrong client key",
        settings={"CCPROXY_API_KEY": "client-key-1"},
        token="client-key-9",
        screen=("CCPROXY_API_KEY",),
        log=("401", "CCPROXY_API_KEY"),
        status=("CCPROXY_API_KEY",),
        requests=None,
    ),
    Fault(
        "proxy variable",
        settings={GROQ: "http://provider.invalid/v1", "http_proxy": "http://127.0.0.1:{closed}"},
        screen=("proxy http://127.0.0.1:{closed}", "http_proxy"),
        log=("proxy http://127.0.0.1:{closed}", "http_proxy"),
        status=("proxy http://127.0.0.1:{closed}", "http_proxy"),
    ),
    Fault(
        "provider cuts streams",
        Step(text="This is cut off in its middle.", broken="cut"),
        screen=("groq's answer broke off",),
        log=("groq's answer broke off",),
        status=("groq's answer broke off",),
        requests=None,
    ),
]


class Provider(ThreadingHTTPServer):
    """Answers every message in one way, and counts them."""

    daemon_threads = True

    def __init__(self, answers, context=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers, self.asked = answers, []
        if context:
            self.socket = context.wrap_socket(self.socket, server_side=True)

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exception):
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address):
        """A client that refuses the certificate or leaves is what some of the faults are about."""


class Handler(ScriptedHandler):
    def do_POST(self):
        body = json.loads(self.read_body())
        answers = self.server.answers
        self.server.asked.append(self.headers.get("authorization"))
        if callable(answers):
            answers = answers(self.headers.get("authorization"))
        if not isinstance(answers, Step):
            return self.send(*answers)
        self.start_stream()
        for count, chunk in enumerate(chunks(body, answers)):
            if answers.broken and count == 3:
                return self.cut()
            self.send_event(chunk)
        self.send_event("[DONE]")
        self.end_stream()


class Row:
    """What was seen of a fault, for the table."""

    def __init__(self, name):
        self.name, self.screen, self.log, self.status, self.requests = name, "-", "-", "-", "-"

    def cells(self):
        return [self.name, self.screen, self.log, self.status, str(self.requests)]


_rows = {}


def print_table():
    """Prints what each fault showed where, in the order in which they are listed."""
    if not _rows:
        return
    print("\n| fault | on the screen | in the log | in /status | messages |")
    print("|---|---|---|---|---|")
    for case in CASES:
        if row := _rows.get(case.__name__):
            cells = (" ".join(cell.split()).replace("|", "\\|")[:220] for cell in row.cells())
            print(f"| {' | '.join(cells)} |")
    print(flush=True)


def closed_port():
    """A port on which nothing listens: it stays bound, so that nobody else gets it."""
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    return bound


def status_of(proxy, key=""):
    headers = {"x-api-key": key} if key else {}
    request = urllib.request.Request(f"{proxy.url}/status", headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.dumps(json.load(answer), ensure_ascii=False)


def messages_in(log):
    """The lines of the log that tell of a message, as objects."""
    lines = (json.loads(line) for line in log if line.startswith("{"))
    return [line for line in lines if "request_id" in line and "status" in line]


def logged(suite, name, proxy, words):
    """What the line of the log says that has all of `words`, which is a check."""
    line = proxy.line(*words)
    suite.check(f"{name}: a line of the log", line, f"no line has {words}: {''.join(proxy.log)}")
    return json.loads(line)["msg"] if line else "-"


def said_in(lines):
    """What lines of the log say, without the rest of their fields."""
    return " ".join(json.loads(line)["msg"] for line in lines if line.startswith("{")) or "-"


def sentence(text, words):
    """The part of `text` around the first of `words`, up to the client's next rule."""
    at = min((text.find(word) for word in words if word in text), default=0)
    # Not from the middle of a word, and of JSON one value.
    return text[text.rfind('"' if text.startswith("{") else " ", 0, at) + 1 :].split(" ──")[0]


def check_words(suite, place, text, words):
    return suite.check(
        place, all(word in text for word in words), f"{[w for w in words if w not in text]} in {text}"
    )


def fault_case(fault):
    def case(suite):
        row = _rows[case.__name__] = Row(fault.name)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATES / "expired.pem", CERTIFICATES / "expired.key")
        answers = fault.answers or Step(text="A whole answer.")
        with (
            Provider(answers) as provider,
            Provider(answers, context) as tls,
            closed_port() as closed,
        ):
            known = {
                "url": f"http://127.0.0.1:{provider.server_port}",
                "tls": str(tls.server_port),
                "closed": str(closed.getsockname()[1]),
            }

            def fill(text):
                for name, value in known.items():
                    text = text.replace(f"{{{name}}}", value)
                return text

            capitals = fault.provider.upper()
            settings = {f"{capitals}_BASE_URL": "{url}/v1", f"{capitals}_API_KEY": "provider-key"}
            settings = {name: fill(value) for name, value in {**settings, **fault.settings}.items()}
            key = fault.settings.get("CCPROXY_API_KEY", "")
            with (
                Proxy("--provider", fault.provider, LOG_FORMAT="json", **settings) as proxy,
                Terminal() as terminal,
            ):
                line = printed_line(proxy)
                line = line.replace(proxy.url, proxy.url + fault.path)
                if fault.token:
                    line = re.sub(r"(AUTH_TOKEN=)(<.*>|\S+)", rf"\g<1>{fault.token}", line)
                terminal.settle()
                terminal.start(line)
                terminal.say("Hello there")
                screen = [fill(word) for word in fault.screen] or [fault.client]
                try:
                    shown = flatten(terminal.wait_all(screen, SCREEN_LIMIT))
                except NotShown as last:
                    shown = flatten(str(last))
                    print(f"{fault.name}: the screen after {SCREEN_LIMIT} s:", flush=True)
                    print("\n".join(f"    | {line}" for line in str(last).splitlines()), flush=True)
                check_words(suite, f"{fault.name}: the screen", shown, screen)
                after = shown.split("❯ Hello there", 1)[-1]
                hidden = "" if fault.screen else "(the client hides all words) "
                row.screen = hidden + sentence(after, screen)
                row.log = logged(suite, fault.name, proxy, [fill(word) for word in fault.log])
                status, words = status_of(proxy, key), [fill(word) for word in fault.status]
                check_words(suite, f"{fault.name}: /status", status, words)
                row.status = sentence(status, words)
                count = len(messages_in(proxy.log))
                row.requests = count
                if fault.requests is not None:
                    suite.equal(f"{fault.name}: messages that the client sent", count, fault.requests)

    case.__name__ = re.sub(r"\W+", "_", fault.name)
    return case


def retired_key(suite):
    """One key of two no longer works: the answer comes all the same, and the log says who rests."""
    row = _rows["retired_key"] = Row("retired key in a list of two")
    retired = []

    # A session keeps its key, and which one that is follows from its random id: so the key that
    # the first message comes with is the one that is retired after it.
    def answers(authorization):
        if authorization in retired:
            return 401, said("Invalid API Key", "invalid_api_key")
        return Step(text=f"A whole answer with {authorization.split()[-1]}.")

    with Provider(answers) as provider:
        settings = {
            GROQ: f"http://127.0.0.1:{provider.server_port}/v1",
            "GROQ_API_KEY": "one-key,other-key",
        }
        with (
            Proxy("--provider", "groq", LOG_FORMAT="json", **settings) as proxy,
            Terminal() as terminal,
        ):
            terminal.settle()
            terminal.start(printed_line(proxy))
            terminal.say("Hello one")
            terminal.wait("● A whole answer with", gone="esc to interrupt")
            retired = provider.asked[:1]
            asked = len(provider.asked)
            other = "other-key" if retired == ["Bearer one-key"] else "one-key"
            terminal.say("Hello two")
            terminal.wait(f"● A whole answer with {other}.", gone="esc to interrupt")
            tried = retired[0] in provider.asked[asked:]
            suite.check("retired key: it was tried", tried, provider.asked)
            row.screen = f"● A whole answer with {other}."
            row.log = logged(suite, "retired key", proxy, ["another key of groq", "Invalid API Key"])
            status = status_of(proxy)
            check_words(suite, "retired key: /status", status, ["resting_keys", "Invalid API Key"])
            row.status = sentence(status, ["resting_keys"])
            row.requests = len(messages_in(proxy.log))


def port_taken(suite):
    """Nothing is started; what is printed instead says which setting chooses another port."""
    row = _rows["port_taken"] = Row("port taken")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [harness.BINARY, "--provider", "echo", "--host", "127.0.0.1", "--port", str(port)]
        ended = subprocess.run(command, env={}, capture_output=True, text=True, timeout=60)
    row.screen, row.requests = "nothing was started", 0
    row.log = said_in(ended.stderr.strip().splitlines()[-1:])
    check_words(suite, "port taken", ended.stderr, [f"127.0.0.1:{port}", "SERVER_PORT", "in use"])
    suite.equal("port taken: exit code", ended.returncode, 1)


def container_on_loopback(suite):
    """As a container's first process, with a host that only the container reaches."""
    row = _rows["container_on_loopback"] = Row("container on its own loopback")
    apart = ["unshare", "--fork", "--pid", "--mount-proc", "--kill-child"]
    if subprocess.run([*apart, "true"], capture_output=True).returncode != 0:
        row.log = "(no namespace of its own can be made here)"
        return
    command = [*apart, harness.BINARY, "--provider", "echo", "--host", "localhost", "--port", "0"]
    process = subprocess.Popen(command, env={"PATH": os.environ["PATH"]}, stderr=subprocess.PIPE,
                               stdout=subprocess.DEVNULL, text=True)
    try:
        said_first = []
        for line in process.stderr:
            said_first.append(line)
            if "inside the container only" in line:
                break
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stderr.close()
    row.screen, row.requests = "connection refused or reset, in the client's words", 0
    row.log = said_in(said_first[-1:])
    check_words(suite, "container on loopback", row.log, ["inside the container only", "SERVER_HOST"])


def no_room(suite):
    """What keeps it from running out of memory: the message that is too much is refused at once."""
    row = _rows["no_room"] = Row("no room for a message")
    held = threading.Event()

    def answers(authorization):
        # The first message stays until the test is over.
        if not held.is_set():
            held.set()
            over.wait(harness.START_LIMIT * 6)
        return Step(text="A whole answer.")

    over = threading.Event()
    with Provider(answers) as provider:
        settings = {
            GROQ: f"http://127.0.0.1:{provider.server_port}/v1",
            "GROQ_API_KEY": "provider-key",
            "CCPROXY_MAX_IN_FLIGHT": "1",
        }
        with (
            Proxy("--provider", "groq", LOG_FORMAT="json", **settings) as proxy,
            Terminal() as terminal,
        ):
            body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]}
            request = urllib.request.Request(
                f"{proxy.url}/v1/messages", json.dumps(body).encode(),
                {"content-type": "application/json"},
            )
            first = threading.Thread(target=lambda: urllib.request.urlopen(request, timeout=60).read())
            first.start()
            try:
                held.wait(harness.START_LIMIT)
                terminal.settle()
                terminal.start(printed_line(proxy))
                terminal.say("Hello there")
                shown = flatten(terminal.wait("529", "Overloaded", "retrying in"))
                row.screen = "(the client hides all words) " + sentence(
                    shown.split("❯ Hello there", 1)[-1], ["529", "Overloaded", "retrying"])
                row.log = logged(suite, "no room", proxy, ["529", "CCPROXY_MAX_IN_FLIGHT"])
                status = status_of(proxy)
                check_words(suite, "no room: /status", status, ["CCPROXY_MAX_IN_FLIGHT"])
                row.status = sentence(status, ["CCPROXY_MAX_IN_FLIGHT"])
            finally:
                over.set()
                first.join()


CASES = [
    *(fault_case(fault) for fault in FAULTS),
    retired_key,
    port_taken,
    container_on_loopback,
    no_room,
]
