"""The interactive Claude Code in a terminal, and what is on its screen.

tmux is the terminal: it has a real screen, and tells through a pipe when something was written to it,
which is when a wait looks again.
"""

import json
import os
import re
import select
import shlex
import subprocess
import tempfile
import time
from pathlib import Path

from claude_code import CLAUDE

# Seconds for whatever does not depend on the proxy: a client that starts on a busy machine.
PATIENCE = 60

# High enough for a whole conversation.
WIDTH, HEIGHT = 180, 120

# What is on the screen when Claude Code waits for a prompt; the last one as long as it works.
PROMPT = ("auto mode on", "? for shortcuts", "accept edits on", "/effort")
WORKING = "esc to interrupt"

# The variables that go with every run: nothing else is inherited, nothing reaches Anthropic, whether
# the machine could or not, and no update is installed in mid-test.
OFFLINE = {
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "NO_PROXY": "127.0.0.1,localhost",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
}


# What the shell says when the client is gone: no wait goes on then.
ENDED = "the client ended with"


class NotShown(Exception):
    """What was waited for did not come; the text is the screen as it was then."""


class Terminal:
    """A terminal, a home and a directory, for the length of a `with` block."""

    def __enter__(self):
        self._temporary = tempfile.TemporaryDirectory(prefix="terminal-", ignore_cleanup_errors=True)
        self.root = Path(self._temporary.name).resolve()
        self.home, self.directory = self.root / "home", self.root / "project"
        for folder in (self.home, self.directory, self.root / "bin"):
            folder.mkdir()
        # The printed line says `claude`.
        (self.root / "bin" / "claude").symlink_to(CLAUDE)
        self._is_started = False
        os.mkfifo(self.root / "written")
        # Opened for both, so that it neither blocks nor ends.
        self._written = os.open(self.root / "written", os.O_RDWR | os.O_NONBLOCK)
        return self

    def __exit__(self, *exception):
        self._tmux("kill-server")
        os.close(self._written)
        self._temporary.cleanup()

    def _tmux(self, *arguments):
        command = ["tmux", "-f", "/dev/null", "-S", str(self.root / "tmux"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE).stdout

    def start(self, line):
        """Runs `line` in a shell, as somebody who copied it would."""
        environment = {
            "PATH": f"{self.root / 'bin'}:{os.environ['PATH']}",
            "HOME": str(self.home),
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
            "SHELL": "/bin/bash",
            **OFFLINE,
        }
        given = " ".join(shlex.quote(f"{name}={value}") for name, value in environment.items())
        # Afterwards the shell waits, so that the last screen can still be read.
        script = f"{line}; echo \"{ENDED} $?\"; read end"
        shell = f"cd {shlex.quote(str(self.directory))} && exec env -i {given} sh -c {shlex.quote(script)}"
        if self._is_started:
            # In the same terminal, in place of whatever runs there.
            self._tmux("respawn-pane", "-k", shell)
        else:
            self._tmux("new-session", "-d", "-x", str(WIDTH), "-y", str(HEIGHT), shell)
            self._is_started = True
        self._tmux("pipe-pane", f"cat >{shlex.quote(str(self.root / 'written'))}")

    def resize(self, columns, rows):
        self._tmux("resize-window", "-x", str(columns), "-y", str(rows))

    def screen(self, colours=False):
        """The lines that are not empty; with the terminal's codes for colours, if they are asked for."""
        lines = self._tmux("capture-pane", "-p", *(["-e"] if colours else [])).splitlines()
        return "\n".join(line.rstrip() for line in lines if line.strip())

    def wait(self, *texts, gone=None, seconds=PATIENCE):
        """Waits until one of `texts` is on the screen, and `gone` is not, and returns the screen.

        Lines that the client wrapped are compared as one.
        """
        end = time.monotonic() + seconds
        while True:
            shown = self.screen()
            flat = flatten(shown)
            if any(text in flat for text in texts) and not (gone and gone in flat):
                return shown
            left = end - time.monotonic()
            if left <= 0 or ENDED in flat:
                raise NotShown(shown)
            self._heard(left)

    def wait_all(self, texts, seconds):
        """Waits until all of `texts` are on the screen, and returns it."""
        end = time.monotonic() + seconds
        for text in texts:
            shown = self.wait(text, seconds=max(0, end - time.monotonic()))
        return shown

    def walk(self, moves, *goal):
        """Presses the key that `moves` names for what is on the screen, until one of `goal` is.

        The client sets a dialogue up twice, and forgets in between what was chosen: a key is pressed
        when the screen is still, and again where that changed nothing.
        """
        end = time.monotonic() + PATIENCE
        while True:
            self.wait(*goal, *moves, seconds=max(0, end - time.monotonic()))
            self._still()
            flat = flatten(self.screen())
            if any(text in flat for text in goal):
                return self.screen()
            if key := next((key for text, key in moves.items() if text in flat), None):
                self.press(key)
                self._heard(2)

    def _heard(self, seconds):
        """Whether something was written to the screen within so many seconds."""
        if not select.select([self._written], [], [], max(0, seconds))[0]:
            return False
        os.read(self._written, 1 << 16)
        return True

    def _still(self):
        """Waits until nothing has been written for a while, which animations may prevent."""
        end = time.monotonic() + 5
        while time.monotonic() < end and self._heard(0.4):
            pass

    def press(self, *keys):
        for key in keys:
            self._tmux("send-keys", key)

    def type(self, text):
        """Types a line and enters it once it stands there: what comes together would be a paste."""
        self._tmux("send-keys", "-l", text)
        self.wait(f"❯ {flatten(text)}")
        self.press("Enter")

    def idle(self):
        """Waits until the client waits for a prompt."""
        return self.wait(*PROMPT, gone=WORKING)

    def say(self, text):
        self.idle()
        self.type(text)

    def settle(self):
        """Lets the client find what it asks for at its first start: theme, notes and trust."""
        project = {"hasTrustDialogAccepted": True, "hasCompletedProjectOnboarding": True}
        known = {
            "hasCompletedOnboarding": True,
            "theme": "dark",
            "projects": {str(self.directory): project},
        }
        (self.home / ".claude.json").write_text(json.dumps(known))


def flatten(text):
    return " ".join(text.split())


def printed_line(proxy):
    """The line that ccproxy prints at its start for people to copy."""
    found = re.search(r"to use it: (ANTHROPIC_\S+ .*?\bclaude)\b", proxy.line("to use it:"))
    if not found:
        raise RuntimeError("ccproxy printed no line to copy:\n" + "".join(proxy.log))
    return found[1]
