"""Drives ccproxy with the interactive Claude Code in a terminal, as a new user does.

A fresh home, no Anthropic in reach, and the line that ccproxy prints at its start. The second half is
faults.py: what is on the screen, in the log and in /status when something is wrong.
"""

import concurrent.futures
import json
import re
import shlex
import sys

import faults
import harness
from harness import Proxy, Suite
from screen import ENDED, PROMPT, NotShown, Terminal, printed_line

from upstream import Upstream


class Steps:
    """Checks of what is on the screen; where it is not, the screen is printed."""

    def __init__(self, suite, terminal):
        self.suite, self.terminal = suite, terminal

    def shows(self, what, *texts):
        return self._seen(what, texts, lambda: self.terminal.wait(*texts))

    def walks(self, what, moves, *texts):
        return self._seen(what, texts, lambda: self.terminal.walk(moves, *texts))

    def _seen(self, what, texts, wait):
        try:
            shown = wait()
        except NotShown as last:
            self.suite.check(what, False, f"none of {texts} is on the screen")
            print("\n".join(f"    | {line}" for line in str(last).splitlines()), flush=True)
            raise
        self.suite.check(what, True)
        return shown


def first_contact(suite):
    """From the printed line to answers, tools and commands, with a home that is new."""
    with Proxy("--provider", "echo") as proxy, Terminal() as terminal:
        steps = Steps(suite, terminal)
        line = printed_line(proxy)
        terminal.start(line)
        steps.shows("the theme is asked for, and no log-in", "Choose the text style")
        steps.walks("the notes", {"Choose the text style": "Enter"}, "Security notes")
        steps.walks("the trust question", {"Security notes": "Enter"}, "trust this folder")
        trust = {"❯ No, exit": "Down", "❯ Yes, I trust this folder": "Enter"}
        steps.walks("the prompt", trust, *PROMPT)
        terminal.say("Hello there")
        shown = steps.shows("the answer", "● You said: Hello there")
        told = steps.shows("echo tells what was proved", "For a real model: GROQ_API_KEY=… ccproxy.")
        suite.contains("echo tells what was proved", told, "streaming works")
        offered = re.search(r"(\d+) tools were offered", " ".join(told.split()))
        suite.check("echo counts the tools", offered and int(offered[1]) > 5, shown)
        permission(steps)
        commands(steps)
        escape(steps)
        terminal.say("/exit")
        shown = steps.shows("the way back is told", "claude --resume")
        session = re.search(r"claude --resume (\S+)", shown)[1]
        for option in ("--continue", f"--resume {session}"):
            resumed(steps, f"{line} {option}", option.split()[0])


def permission(steps):
    """A command that is not one of the harmless: the client asks its user, and runs it."""
    terminal, made = steps.terminal, steps.terminal.directory / "made-by-tool"
    call = {"command": f"curl -s http://127.0.0.1:9/; touch {made.name}", "description": "asks"}
    terminal.say(f"[[tool:Bash {json.dumps(call)}]]")
    # The other text is of a full-screen dialogue, which takes its user out of the conversation.
    shown = steps.shows("a tool asks", "Do you want to proceed?", "Enter to stay in auto mode")
    steps.suite.contains("… by an ordinary question", shown, "Do you want to proceed?")
    steps.suite.check("… before it runs", not made.exists())
    answer = {"❯ No": "Down", "❯ Yes": "Enter"}
    steps.walks("the tool's output is answered", answer, "● The tool said:")
    steps.suite.check("the tool ran", made.exists())


def commands(steps):
    terminal = steps.terminal
    terminal.say("/model")
    steps.shows("/model lists models", "Select model")
    steps.walks("/model is left", {"Select model": "Escape"}, *PROMPT)
    terminal.say("/cost")
    shown = steps.shows("/cost counts tokens", "Usage by model:")
    counted = re.search(r"(\d\S*) input, (\d+) output", shown)
    steps.suite.check("/cost counts what echo said", counted and int(counted[2]) > 0, shown)
    steps.walks("/cost is left", {"Usage by model:": "Escape"}, *PROMPT)
    terminal.say("After the commands")
    steps.shows("what the client adds is not echoed", "● You said: After the commands")


def escape(steps):
    terminal = steps.terminal
    terminal.say("[[chunks:2000]] [[delay:20]] slowly")
    steps.shows("an answer grows", "word5 ")
    terminal.press("Escape")
    steps.shows("Esc ends it", "Interrupted")
    terminal.say("Again")
    # What was interrupted is told together with the next prompt.
    steps.shows("the next answer comes", "● You said: Again", "interrupted by user] Again")


def resumed(steps, line, option):
    terminal = steps.terminal
    terminal.start(line)
    steps.shows(f"{option} shows the conversation", "● You said: Hello there")
    terminal.say(f"Back with {option}")
    steps.shows(f"{option} goes on", f"● You said: Back with {option}")


def with_client_keys(suite):
    """The printed line names where the key goes; with a key in its place it works."""
    keys = {"CCPROXY_API_KEY": "client-key-1,client-key-2"}
    with Proxy("--provider", "echo", **keys) as proxy, Terminal() as terminal:
        steps = Steps(suite, terminal)
        line = printed_line(proxy)
        suite.contains("client keys: the line says which", line, "<one of CCPROXY_API_KEY>")
        terminal.settle()
        terminal.start(line.replace("<one of CCPROXY_API_KEY>", "client-key-2"))
        terminal.say("Hello there")
        steps.shows("client keys: the answer", "● You said: Hello there")


def beside_the_server(suite):
    """One line starts both, and both end with the client's own way out."""
    with Terminal() as terminal:
        steps = Steps(suite, terminal)
        terminal.settle()
        terminal.start(f"{shlex.quote(str(harness.BINARY))} --provider echo run")
        terminal.say("Hello there")
        steps.shows("run: the answer", "● You said: Hello there")
        terminal.idle()
        terminal.press("C-c")
        steps.shows("run: an interrupt is the client's", "Press Ctrl-C again to exit")
        terminal.press("C-c")
        try:
            terminal.wait("It never says this.")
        except NotShown as last:
            suite.contains("run: both end", str(last), f"{ENDED} 0")


CASES = [first_contact, with_client_keys, beside_the_server, *faults.CASES]

if __name__ == "__main__":
    by_name = {case.__name__: case for case in CASES}
    asked = harness.prepare(by_name)
    with Upstream() as upstream:
        suite = Suite("terminal", None, upstream)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            list(pool.map(suite.run, [by_name[name] for name in asked]))
        faults.print_table()
        suite.finish()
    sys.exit(suite.failed > 0)
