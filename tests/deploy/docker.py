#!/usr/bin/env python3
"""The images, in Docker: started by Compose, healthy in every way that people ask for it, and
replaced in a Swarm under load without a failed message.

Where no Docker answers, one is started, and all that it made goes with it.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile

import lab
import seed
from lab import Outcome, Traffic, directory, free_port, get, until
from readme import FILES

NEEDS = ["docker", "dockerd", "haproxy", "ldd"]

# Seconds that building the images may take, and an update of three tasks.
BUILD_LIMIT = 600
UPDATE_LIMIT = 180

ARCHITECTURE = lab.harness.MACHINES[os.uname().machine]


def docker(*arguments, limit=lab.LIMIT, **options):
    """What a command of Docker prints."""
    outcome = Outcome(["docker", *arguments], limit=limit, **options)
    if outcome.code != 0:
        raise RuntimeError(f"docker {' '.join(map(str, arguments))}: {outcome}")
    return outcome.out.strip()


def inspect(what, path):
    """One part of what Docker knows about something."""
    return json.loads(docker("inspect", "--format", "{{json " + path + "}}", what))


def metric(port, name):
    return float(re.search(rf"^ccproxy_{name} (\S+)$", get(port, "/metrics")[2], re.MULTILINE)[1])


def is_healthy(container):
    return inspect(container, ".State.Health.Status") == "healthy"


@contextlib.contextmanager
def daemon(suite):
    """A Docker that answers."""
    if Outcome("docker info").code == 0:
        yield
        return
    if os.geteuid() != 0:
        raise RuntimeError("no Docker answers; start it, or run this as root, who can")
    suite.note("no Docker answers: one is started for this run")
    where = tempfile.mkdtemp(prefix="ccproxy-docker-")
    host = f"unix://{where}/docker.sock"
    command = ["dockerd", "-H", host, "--data-root", f"{where}/data", "--exec-root", f"{where}/run"]
    with open(f"{where}/log", "wb") as log:
        process = subprocess.Popen([*command, "--pidfile", f"{where}/pid"], stdout=log, stderr=log)
    os.environ["DOCKER_HOST"] = host
    try:
        until("dockerd answers", lambda: process.poll() or Outcome("docker info").code == 0)
        if process.poll() is not None:
            tail = open(f"{where}/log", errors="replace").read()[-400:]
            raise RuntimeError(f"dockerd ended with {process.returncode}: {tail}")
        yield
    finally:
        del os.environ["DOCKER_HOST"]
        process.terminate()
        try:
            process.wait(lab.LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        # The namespaces of its networks are mounts, which outlive it.
        mounts = [line.split()[1] for line in open("/proc/mounts")]
        for mount in reversed([m for m in mounts if m.startswith(where + "/")]):
            Outcome(["umount", mount])
        shutil.rmtree(where, ignore_errors=True)


@contextlib.contextmanager
def container(*arguments):
    """A container of an image, with these options, for the length of a `with` block."""
    name = docker("run", "--detach", *arguments)
    try:
        yield name
    finally:
        docker("rm", "--force", "--volumes", name)


# --- Images --------------------------------------------------------------------------------------

# Whatever can be taken away from a container is, and the way out of it leads nowhere.
BARE = (
    "--read-only --cap-drop ALL --security-opt no-new-privileges --memory 16m --network none "
    "--env PROVIDER=echo --env HTTP_PROXY=http://127.0.0.1:9 --health-interval 1s"
).split()


def images(suite):
    image = inspect("ccproxy", ".Config")
    health = image["Healthcheck"]
    suite.equal("the image checks itself", health["Test"], ["CMD", "/ccproxy", "--healthcheck"])
    seconds = {name: health[name] // 10**9 for name in ["Interval", "Timeout", "StartPeriod"]}
    suite.equal(
        "as often as the seed's", seconds, {"Interval": 30, "Timeout": 10, "StartPeriod": 5}
    )
    user = image["User"].split(":")[0]
    suite.check("its user is a number, and not root", user.isdigit() and int(user) > 0, user)
    suite.equal("its port", list(image["ExposedPorts"]), ["3456/tcp"])

    with container(*BARE, "ccproxy") as name:
        until("a container with nothing is healthy", lambda: is_healthy(name))
        last = inspect(name, ".State.Health.Log")[-1]
        suite.check("its health is one line", last["Output"].count("\n") == 1, last)
        probe = Outcome(["docker", "exec", name, "/ccproxy", "--healthcheck"])
        suite.equal("docker exec, by hand", probe.code, 0)
        stopped = Outcome(["docker", "stop", name])
        suite.check("docker stop is quick", stopped.seconds < 5, stopped.seconds)
        suite.equal("and its exit code 0", inspect(name, ".State.ExitCode"), 0)

    for where, options in [("", []), (" beside an init", ["--init"])]:
        with container(*BARE, *options, "ccproxy", "--port=8080") as name:
            until(f"its check finds the port of an argument{where}", lambda: is_healthy(name))
            last = inspect(name, ".State.Health.Log")[-1]["Output"]
            suite.contains(f"it asks that port{where}", last, ":8080/health")

    command = ["--health-cmd", seed.WGET, "ccproxy:busybox"]
    with container(*BARE, *command) as name:
        until("the seed's health check in the image with a shell", lambda: is_healthy(name))
        outcome = Outcome(["docker", "exec", name, "sh", "-c", seed.WGET])
        suite.check("the seed's wget, by hand", outcome.code == 0, outcome)


# --- Compose -------------------------------------------------------------------------------------


def compose(suite):
    command = lab.compose(suite.note)
    text = FILES["compose.yaml"].replace("interval: 5s", "interval: 1s")
    # Any free port, so that a ccproxy of this machine is left alone.
    text = text.replace("127.0.0.1:3456:3456", "127.0.0.1::3456")
    with directory() as where:
        (where / "compose.yaml").write_text(text)
        (where / ".env").write_text("PROVIDER=echo\nCCPROXY_RATE_LIMIT=7777\n")

        def run(*arguments):
            outcome = Outcome([*command, *arguments], limit=90, where=where)
            suite.check(f"compose {' '.join(arguments)}", outcome.code == 0, outcome)

        try:
            if command == ["docker", "compose"]:
                run("up", "--wait", "ccproxy")
            run("up", "-d")
            suite.check("Compose waited until it was healthy", is_healthy("ccproxy"))
            port = int(docker("port", "ccproxy", "3456/tcp").splitlines()[0].rsplit(":", 1)[1])
            suite.equal("it answers", get(port, "/health")[0], 200)
            settings = docker("exec", "ccproxy", "/ccproxy", "--check-config")
            suite.contains("whatever .env sets comes in", settings, "7777")
            # Docker's networks have no IPv6, and yet `::` can be listened on: the watchdog, which
            # ends a server that does not answer, must find the way to it.
            until("the watchdog has asked", lambda: metric(port, "self_probe_duration_seconds"))
            failures = metric(port, "self_probe_failures_total")
            suite.equal("the watchdog was answered", failures, 0)
            outcome = Outcome(["docker", "logs", "ccproxy"])
            suite.contains("docker logs ccproxy", outcome.text, "listening on")
            host = inspect("ccproxy", ".HostConfig")
            seen = {name: host[name] for name in ["ReadonlyRootfs", "CapDrop", "Memory"]}
            wanted = {"ReadonlyRootfs": True, "CapDrop": ["ALL"], "Memory": 128 << 20}
            suite.equal("what it was given", seen, wanted)
            client = docker("ps", "--all", "--quiet", "--filter", "ancestor=ccproxy:busybox")
            suite.equal("what depends on it went well", docker("wait", client), "0")
            suite.contains("and saw", docker("logs", client), '"status":"active"')
        finally:
            run("down")


# --- Swarm ---------------------------------------------------------------------------------------

LOGGED = """
global
    log stdout format raw local0

defaults
    log global
    option httplog
"""

RESOLVERS = """
resolvers docker
    nameserver dns 127.0.0.11:53
    timeout resolve 1s
    timeout retry 1s
    hold valid 1s
    accepted_payload_size 8192
"""


def swarm(suite):
    suite.note(
        "HAProxy, which asks Docker's DNS for the tasks, stands for Swarm's own balancing: that "
        "needs IPVS in the kernel"
    )
    stack = FILES["stack.yaml"].replace('    ports:\n      - "3456:3456"\n', "")
    stack = stack.replace("    deploy:\n", "    deploy:\n      endpoint_mode: dnsrr\n")
    if inspect_swarm() != "inactive":
        raise RuntimeError("this Docker is in a swarm, which the test would have to leave")
    try:
        docker("swarm", "init", "--advertise-addr", "127.0.0.1")
        with directory() as where:
            (where / "stack.yaml").write_text(stack)
            deploy = "stack deploy --resolve-image never --compose-file stack.yaml proxy".split()
            docker(*deploy, env={**os.environ, "PROVIDER": "echo"}, where=where)
            front_image(where)
        docker("tag", "ccproxy", "ccproxy:next")
        port = free_port()
        docker(
            *"service create --name front --network proxy_default --no-resolve-image".split(),
            *["--publish", f"mode=host,target=80,published={port}", "--detach", "ccproxy-front"],
        )
        until("three tasks are up", lambda: tasks() == ["ccproxy:latest"] * 3, UPDATE_LIMIT)
        until("the first message passes", lambda: get(port, "/health")[0] == 200)
        with Traffic(port) as traffic:
            update = Outcome(
                "docker service update --no-resolve-image --image ccproxy:next proxy_ccproxy",
                limit=UPDATE_LIMIT,
            )
            suite.check("a rolling update", update.code == 0, update)
            until("the new tasks alone are up", lambda: tasks() == ["ccproxy:next"] * 3)
            # The last old task has gone too.
            until("the old ones have ended", lambda: len(containers()) == 3, 60)
        rate = traffic.answered / traffic.seconds
        suite.note(f"{traffic.answered} messages during the update, about {rate:.0f} a second")
        suite.check("there was load", rate > 50, rate)
        if not suite.check("no message failed", not traffic.failures, traffic.failures[:5]):
            said = Outcome("docker service logs --raw front").text.splitlines()
            print("HAProxy's log:", *[line for line in said if " 200 " not in line], sep="\n")
        ended = docker(*"service ps proxy_ccproxy --no-trunc --format".split(), TASK).splitlines()
        failed = [task for task in ended if not task.startswith(("Running", "Shutdown"))]
        suite.equal("tasks that ended by themselves", failed, [])
        state = inspect("proxy_ccproxy", ".UpdateStatus.State")
        suite.equal("the update's state", state, "completed")
    finally:
        Outcome("docker service rm front")
        Outcome("docker stack rm proxy")
        until("nothing of the stack is left", lambda: not containers(), 90)
        Outcome("docker swarm leave --force")
        Outcome("docker image rm --force ccproxy:next ccproxy-front")


TASK = "{{.CurrentState}}, {{.Image}}: {{.Error}}"


def inspect_swarm():
    return docker("info", "--format", "{{.Swarm.LocalNodeState}}")


def tasks():
    """The images of the tasks that are up, as they were asked for."""
    form = "{{.CurrentState}} {{.Image}}"
    lines = docker(
        *"service ps proxy_ccproxy --filter desired-state=running --format".split(), form
    ).splitlines()
    return [line.split()[-1] for line in lines if line.startswith("Running")]


def containers():
    label = "label=com.docker.swarm.service.name=proxy_ccproxy"
    return docker("ps", "--quiet", "--filter", label).split()


def front_image(where):
    """An image of this machine's HAProxy with the README's file; its servers are the tasks."""
    program = shutil.which("haproxy")
    server = "    server ccproxy1 127.0.0.1:3456\n"
    template = (
        "    server-template task 10 tasks.proxy_ccproxy:3456 resolvers docker init-addr none\n"
    )
    configuration = FILES["haproxy.cfg"].replace(server, template) + RESOLVERS
    # So that a failure can be explained.
    configuration = configuration.replace("defaults\n", LOGGED)
    (where / "haproxy.cfg").write_text(configuration)
    libraries = [w for w in Outcome(["ldd", program]).out.split() if w.startswith("/")]
    with tarfile.open(where / "front.tar", "w", dereference=True) as tar:
        tar.add(where / "haproxy.cfg", "haproxy.cfg")
        for file in [program, *libraries]:
            tar.add(file, file.lstrip("/"))
    entry = json.dumps([program, "-db", "-f", "/haproxy.cfg"])
    docker("import", "--change", f"ENTRYPOINT {entry}", where / "front.tar", "ccproxy-front")


def everything(suite):
    """One case after the other, since all of them need the images, and the daemon."""
    script = lab.ROOT / "scripts" / "image"
    if not script.exists():
        raise RuntimeError("scripts/image is missing; it prepares what the images hold")
    with daemon(suite):
        tried = Outcome([script], limit=BUILD_LIMIT)
        suite.check("scripts/image", tried.code == 0, tried.text[-500:])
        # It removes what it tried, so these are built once more, as the README says.
        for tag, target in {"ccproxy": "ccproxy", "ccproxy:busybox": "busybox"}.items():
            docker(
                *f"build --file Dockerfile.scratch --target {target} --tag {tag}".split(),
                *["--build-arg", f"TARGETARCH={ARCHITECTURE}", "."],
                limit=BUILD_LIMIT,
                where=lab.ROOT,
            )
        for case in [images, compose, swarm]:
            suite.run(case)


if __name__ == "__main__":
    lab.main("docker", [everything], NEEDS)
