#!/usr/bin/env python3
"""The static files for other machines than this one, each run by QEMU's user mode: a machine whose
words are shorter, or whose memory is ordered otherwise, must serve as this one does. They are those
of `scripts/build --quick`, since three as they are deployed take longer to build than all else here.
"""

import contextlib
import http.client
import os
import shutil
import ssl

import lab
from faults import Provider
from harness import MACHINES, static_file
from lab import LIMIT, Outcome, Server, ask, get, request
from script import Step

# Of a machine's processor, by Docker's name of it.
EMULATORS = {
    "amd64": "qemu-x86_64-static",
    "arm64": "qemu-aarch64-static",
    "arm": "qemu-arm-static",
    "riscv64": "qemu-riscv64-static",
}
CERTIFICATES = lab.ROOT / "tests" / "it" / "certificates"


class Emulated(Server):
    """A server whose program is another machine's."""

    def __init__(self, program, **environment):
        super().__init__(**environment)
        self.program = program


def streamed(port, text):
    """What a streamed answer said, and the name of its last event."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
    with contextlib.closing(connection):
        connection.request("POST", "/v1/messages", *ask(text, stream=True))
        lines = connection.getresponse().read().decode().splitlines()
    return lines, [line for line in lines if line.startswith("event: ")][-1]


def inside(suite, name, program):
    with Emulated(program) as server:
        suite.equal(f"{name}: health", get(server.port, "/health")[0], 200)
        answer = request(server.port, "POST", "/v1/messages", *ask("hello"))
        suite.check(f"{name}: a message", answer[0] == 200 and "hello" in answer[2], answer)
        lines, last = streamed(server.port, "hello [[chunks:20]] [[delay:5]]")
        pieces = lines.count("event: content_block_delta")
        suite.check(f"{name}: a stream", pieces >= 20 and last == "event: message_stop", lines)
        status, _, text = get(server.port, "/metrics")
        suite.check(f"{name}: metrics", status == 200 and "ccproxy_ready 1" in text, text)

        def probe():
            return Outcome([*program, "--healthcheck", "--port", str(server.port)])

        outcome = probe()
        suite.check(f"{name}: the self-probe, up", outcome.code == 0, outcome)
        server.drain()
        outcome = probe()
        suite.check(f"{name}: the self-probe, draining", outcome.code == 1, outcome)


def over_tls(suite, name, program):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / "server.pem", CERTIFICATES / "server.key")
    said = "What was said over TLS. " * 20
    with Provider(Step(text=said), context) as provider:
        environment = {
            "PROVIDER": "custom",
            "CUSTOM_BASE_URL": f"https://localhost:{provider.server_port}/v1",
            "CUSTOM_MODEL": "test",
            "SSL_CERT_FILE": str(CERTIFICATES / "authority.pem"),
        }
        with Emulated(program, **environment) as server:
            answer = request(server.port, "POST", "/v1/messages", *ask("hello"))
            right = answer[0] == 200 and said in answer[2]
            suite.check(f"{name}: a message over TLS", right, answer)
            lines, last = streamed(server.port, "hello")
            pieces = lines.count("event: content_block_delta")
            right = pieces > 5 and last == "event: message_stop"
            suite.check(f"{name}: a stream over TLS", right, lines)


def machine(name):
    def case(suite):
        program = [shutil.which(EMULATORS[name]), static_file(name, "static-quick")]
        if not suite.check(f"{name}: {program[1]} is there", program[1].exists()):
            return
        outcome = Outcome([*program, "--version"])
        suite.equal(f"{name}: its version", outcome.text, "ccproxy 1.0.0\n")
        inside(suite, name, program)
        over_tls(suite, name, program)

    case.__name__ = name
    return case


# This machine's own file is what the other suites run.
OTHERS = [name for name in MACHINES.values() if name != MACHINES.get(os.uname().machine)]

if __name__ == "__main__":
    cases = [machine(name) for name in OTHERS]
    lab.main("machines", cases, [EMULATORS[name] for name in OTHERS], workers=2)
