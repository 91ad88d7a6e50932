"""Drives the provider echo with clients that nobody here wrote.

LangChain's standard tests of a chat model, pydantic-ai, llm with its plugin for Anthropic, and the AI
SDK of Vercel. What they ask that echo cannot know is left out by name, with the reason.
"""

import json
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml
from pathlib import Path

import harness
from harness import Proxy, Suite

from upstream import Upstream

HERE = Path(__file__).parent / "ecosystem"
PACKAGES = harness.CLIENTS / "ecosystem"
PYTHON = PACKAGES / "venv" / "bin"

# Seconds after which a client is killed; LangChain's tests take about twenty.
LIMIT = 240

def run(suite, name, command, **environment):
    """Runs a client, and returns its output; how it ended is a check."""
    process = subprocess.Popen(
        command,
        # Nothing is inherited, above all no key and no proxy.
        env={
            "PATH": os.environ["PATH"],
            "HOME": environment.pop("home"),
            "ANTHROPIC_BASE_URL": suite.proxy.url,
            "ANTHROPIC_API_KEY": "any",
            "PACKAGES": str(PACKAGES),
            "PYTHONDONTWRITEBYTECODE": "1",
            **environment,
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        output, _ = process.communicate(timeout=LIMIT)
    finally:
        process.kill()
    suite.check(f"{name}: it ends well", process.returncode == 0, output[-2000:])
    return output


def langchain(suite):
    with tempfile.TemporaryDirectory(prefix="ecosystem-") as home:
        report = Path(home) / "report.xml"
        command = [
            PYTHON / "python", "-m", "pytest", HERE / "langchain_standard.py",
            "-p", "no:cacheprovider", "--rootdir", HERE, "--asyncio-mode=auto",
            "-o", "asyncio_default_fixture_loop_scope=function",
            "-q", "--tb=short", f"--junitxml={report}",
        ]  # fmt: skip
        run(suite, "langchain", command, home=home)
        tests = list(xml.parse(report).iter("testcase"))
    skipped = [test for test in tests if test.find("skipped") is not None]
    for test in skipped:
        print(f"left out: {test.get('name')}: {test.find('skipped').get('message')}", flush=True)
    for test in (test for test in tests if test not in skipped):
        wrong = [*test.iter("failure"), *test.iter("error")]
        detail = "".join(f"{one.get('message')} {one.text}" for one in wrong)
        suite.check(f"langchain: {test.get('name')}", not wrong, detail)
    suite.check("langchain: most tests ran", len(tests) - len(skipped) >= 30, len(tests))


def reported(suite, name, command):
    """A client that prints its checks as lines of JSON."""
    with tempfile.TemporaryDirectory(prefix="ecosystem-") as home:
        output = run(suite, name, command, home=home)
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    for found in lines:
        suite.check(f"{name}: {found['name']}", found["ok"], found["detail"])
    suite.check(f"{name}: it checked something", len(lines) > 5, output[-2000:])


def pydantic_ai(suite):
    reported(suite, "pydantic-ai", [PYTHON / "python", HERE / "pydantic_cases.py"])


def ai_sdk(suite):
    reported(suite, "ai sdk", ["node", HERE / "ai_sdk.mjs"])


def llm(suite):
    """The command `llm`: whole and streamed answers, a conversation, a tool, a schema."""
    with tempfile.TemporaryDirectory(prefix="ecosystem-") as home:

        def ask(*arguments):
            command = [PYTHON / "llm", "prompt", "-m", "claude-haiku-4.5", *arguments]
            return run(suite, f"llm {arguments[0][:20]}", command, home=home, LLM_USER_PATH=home)

        suite.contains("llm", ask("Hello there"), "You said: Hello there\n\nThis is the provider echo")
        suite.equal("llm -c", ask("Once more", "-c", "--no-stream"), "You said: Once more\n")
        functions = "def add(a: int, b: int) -> int:\n    return a + b\n"
        said = ask('[[tool:add {"a": 2, "b": 3}]]', "--functions", functions, "--no-stream")
        suite.contains("llm --functions", said, "The tool said: 5")
        said = ask("A dog", "--schema", "name, age int", "--no-stream")
        suite.equal("llm --schema", json.loads(said), {"name": "echo", "age": 1})


CASES = [langchain, pydantic_ai, ai_sdk, llm]

if __name__ == "__main__":
    by_name = {case.__name__: case for case in CASES}
    asked = harness.prepare(by_name)
    with Upstream() as upstream, Proxy("--provider", "echo") as proxy:
        suite = Suite("ecosystem", proxy, upstream)
        for name in asked:
            suite.run(by_name[name])
        suite.finish()
    sys.exit(suite.failed > 0)
