#!/usr/bin/env python3
"""The deployment files of the README: each is taken from there, checked by the program that it is
for, and run by it where that needs no cluster.

What changes for a run are the port of the server, and where a program keeps its own files.
"""

import contextlib
import http.client
import json
import re
import shutil
import socket
import textwrap
import time

import kubernetes_validate
import lab
import seed
import yaml
from lab import LIMIT, Outcome, Server, ask, directory, free_port, get, request, running, until
from probers import Listener, running_prometheus, up, value
from readme import FILES

NEEDS = [
    "nginx",
    "haproxy",
    "prometheus",
    "promtool",
    "systemd-analyze",
    "systemd-socket-activate",
    "strace",
]


def has_all_lines(whole, part):
    """Whether the lines of `part` stand in `whole`, in their order, with others between."""
    lines = iter(line.strip() for line in whole.splitlines())
    return all(line.strip() in lines for line in part.splitlines() if line.strip())


# --- Containers ----------------------------------------------------------------------------------


def compose(suite):
    command = lab.compose(suite.note)
    service = yaml.safe_load(FILES["compose.yaml"])["services"]["ccproxy"]
    suite.equal("compose.yaml: `docker logs ccproxy` works", service["container_name"], "ccproxy")
    with directory() as where:
        (where / ".env").write_text("PROVIDER=echo\n")
        for name in ["compose.yaml", "stack.yaml"]:
            (where / name).write_text(FILES[name])
            outcome = Outcome([*command, "-f", name, "config", "-q"], where=where)
            suite.check(f"{name}: docker compose config", outcome.code == 0, outcome)


def kubernetes(suite):
    documents = list(yaml.safe_load_all(FILES["kubernetes.yaml"]))
    kinds = ["Deployment", "Service", "PodDisruptionBudget", "HorizontalPodAutoscaler"]
    suite.equal("kubernetes.yaml: kinds", [document["kind"] for document in documents], kinds)
    for version in ["1.27", kubernetes_validate.latest_version()]:
        for document in documents:
            try:
                kubernetes_validate.validate(document, version, strict=True)
                problem = ""
            except Exception as error:
                problem = error
            suite.check(f"kubernetes.yaml: {document['kind']} {version}", not problem, problem)
    pod = documents[0]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    wanted = yaml.safe_load(seed.KUBERNETES)
    for probe, settings in wanted.items():
        suite.equal(f"kubernetes.yaml: the {probe}", container[probe], settings)
        verbatim = textwrap.indent(yaml.dump({probe: settings}, sort_keys=False), " " * 10)
        suite.contains(f"kubernetes.yaml: {probe}, verbatim", FILES["kubernetes.yaml"], verbatim)
    seconds = {e["name"]: int(e["value"]) for e in container["env"] if e["value"].isdigit()}
    grace = pod["terminationGracePeriodSeconds"]
    suite.check("kubernetes.yaml: the pod may end in peace", sum(seconds.values()) < grace, seconds)
    labels = documents[0]["spec"]["template"]["metadata"]["labels"]
    suite.equal("kubernetes.yaml: the Service finds it", documents[1]["spec"]["selector"], labels)

    suite.note("a kubelet is in no registry: what it sends is sent in its place")
    settings = {name: str(number) for name, number in seconds.items()}
    with Server(**settings) as server:
        probes = {name: container[name]["httpGet"]["path"] for name in [*wanted, "startupProbe"]}
        for name, path in probes.items():
            suite.check(f"kubernetes.yaml: up: {name}", lab.kubelet(server.port, path))
        server.terminate()
        ready = lab.kubelet(server.port, probes["readinessProbe"])
        suite.equal("kubernetes.yaml: draining: readiness", ready, False)
        answer = request(server.port, "POST", "/v1/messages", *ask("hello"))
        suite.equal("kubernetes.yaml: draining: a late message", answer[0], 200)


# --- Load balancers ------------------------------------------------------------------------------


def through(suite, name, port):
    """A large message, and a stream that comes piece by piece, through a load balancer."""
    answer = request(port, "POST", "/v1/messages", *ask("hello", padding=2 << 20))
    suite.check(f"{name}: a message of 2 MB", answer[0] == 200 and "hello" in answer[2], answer)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
    connection.request("POST", "/v1/messages", *ask("[[chunks:10]] [[delay:100]]", stream=True))
    answer = connection.getresponse()
    pieces = [time.monotonic() for line in answer if line.startswith(b"event: content_block_delta")]
    connection.close()
    suite.equal(f"{name}: the pieces of a stream", len(pieces), 10)
    suite.check(f"{name}: they come as they are made", pieces[-1] - pieces[0] > 0.5, pieces)


def nginx(suite):
    text = FILES["nginx.conf"]
    suite.check("nginx.conf: has the lines of the seed", has_all_lines(text, seed.NGINX))
    with Server() as server, nginx_for(suite, server.port) as (port, log):
        until("nginx answers", lambda: get(port, "/health")[0] == 200)
        through(suite, "nginx.conf", port)
        server.drain()
        suite.equal("nginx.conf: draining", get(port, "/health")[0], 503)
        # A large body is written to a file, which nginx warns of.
        said = [line for line in log.read_text().splitlines() if "[warn]" not in line]
        suite.equal("nginx.conf: nothing to complain about", said, [])
    with Listener(keeping) as counted, nginx_for(suite, counted.port) as (port, _):
        until("nginx answers", lambda: get(port, "/v1/models")[0] == 200)
        seen = counted.count
        for _ in range(20):
            suite.equal("nginx.conf: an answer", get(port, "/v1/models")[0], 200)
        suite.equal("nginx.conf: connections are kept", counted.count, seen)


@contextlib.contextmanager
def nginx_for(suite, server_port):
    """nginx with the README's file before the server on that port; yields its port and its log."""
    with directory() as where:
        port = free_port()
        own = "".join(
            f"    {name}_temp_path {where}/{name};\n"
            for name in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        )
        text = FILES["nginx.conf"].replace(seed.PORT, str(server_port))
        text = f"daemon off;\npid {where}/pid;\nerror_log stderr;\n{text}"
        text = text.replace("http {\n", "http {\n    access_log off;\n" + own)
        text = text.replace("    server {\n", f"    server {{\n    listen 127.0.0.1:{port};\n")
        (where / "nginx.conf").write_text(text)
        command = ["nginx", "-p", where, "-c", where / "nginx.conf"]
        checked = Outcome([*command, "-t"])
        suite.check("nginx.conf: nginx -t", checked.code == 0, checked)
        with running(where, *command) as log:
            yield port, log


def keeping(connection):
    """Answers every GET on a connection that it keeps."""
    reader = connection.makefile("rb")
    while line := reader.readline():
        if line == b"\r\n":
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


def haproxy(suite):
    delay = {"CCPROXY_DRAIN_DELAY": "3"}
    with directory() as where, Server(**delay) as first, Server(**delay) as second:
        port = free_port()
        text = FILES["haproxy.cfg"].replace("bind :80", f"bind 127.0.0.1:{port}")
        line = "    server ccproxy1 127.0.0.1:3456\n"
        suite.contains("haproxy.cfg: a server", text, line)
        servers = [first, second]
        lines = [f"    server ccproxy{n} 127.0.0.1:{s.port}\n" for n, s in enumerate(servers)]
        (where / "haproxy.cfg").write_text(text.replace(line, "".join(lines)))
        checked = Outcome(["haproxy", "-c", "-f", where / "haproxy.cfg"])
        suite.check("haproxy.cfg: haproxy -c", checked.code == 0, checked)
        suite.equal("haproxy.cfg: no warnings", "WARNING" in checked.text, False)
        with running(where, "haproxy", "-db", "-f", where / "haproxy.cfg"):
            until("HAProxy answers", lambda: get(port, "/health")[0] == 200)
            through(suite, "haproxy.cfg", port)
            with lab.Traffic(port) as traffic:
                until("messages pass", lambda: traffic.answered > 50)
                first.terminate()
                until("the first server has ended", lambda: not first.alive())
                seen = traffic.answered
                until("messages pass by the second", lambda: traffic.answered > seen + 50)
            suite.check(
                "haproxy.cfg: a server leaves, no message fails",
                not traffic.failures,
                traffic.failures[:5],
            )
            second.terminate()
            # `/status` is 200 in any case: a 503 is HAProxy's own, for want of a server.
            until("HAProxy sees that it drains", lambda: get(port, "/status")[0] == 503)


def traefik(suite):
    text = FILES["traefik.yaml"]
    suite.check("traefik.yaml: begins with the seed's", text.startswith(seed.TRAEFIK), text)
    configuration = yaml.safe_load(text)["http"]
    router = configuration["routers"]["ccproxy"]
    suite.check(
        "traefik.yaml: the route leads to the service",
        router["service"] in configuration["services"],
    )
    suite.note("Traefik is in no registry: what it sends is sent in its place")
    check = configuration["services"]["ccproxy"]["loadBalancer"]["healthCheck"]
    with Server() as server:
        suite.equal("traefik.yaml: up", lab.traefik(server.port, check["path"]), [True, True])
        server.drain()
        seen = lab.traefik(server.port, check["path"])
        suite.equal("traefik.yaml: draining", seen, [False, False])


# --- Prometheus ----------------------------------------------------------------------------------

# Each alert: once when it must come, once when it must not.
ALERTS = """\
rule_files: [rules.yml]
tests:
- interval: 30s
  input_series:
  - series: up{job="ccproxy", instance="a"}
    values: 1x4 0x20
  - series: ccproxy_provider_up{job="ccproxy-metrics", instance="a", provider="p"}
    values: 1x4 0x20
  - series: ccproxy_provider_circuit_open{job="ccproxy-metrics", instance="a", provider="p"}
    values: 0x4 1x1 0x20
  - series: ccproxy_requests_shed_total{job="ccproxy-metrics", instance="a", reason="in_flight"}
    values: 0x4 0+5x30
  - series: ccproxy_requests_shed_total{job="ccproxy-metrics", instance="a", reason="draining"}
    values: 0+5x40
  - series: ccproxy_requests_total{job="ccproxy-metrics", instance="a", provider="p", status="success"}
    values: 0+10x8 80x32
  - series: ccproxy_requests_total{job="ccproxy-metrics", instance="a", provider="p", status="error"}
    values: 0+1x8 8+10x32
  - series: ccproxy_requests_total{job="ccproxy-metrics", instance="a", provider="p", status="cancelled"}
    values: 0+50x40
  - series: http_server_active_requests{job="ccproxy-metrics", instance="a"}
    values: 79x8 81x32
  - series: ccproxy_in_flight_limit{job="ccproxy-metrics", instance="a"}
    values: 100x40
  - series: ccproxy_provider_resting_keys{job="ccproxy-metrics", instance="a", provider="p"}
    values: 1x4 0x4 2x32
  alert_rule_test:
  - {eval_time: 2m, alertname: CCProxyDown}
  - {eval_time: 2m, alertname: CCProxyProviderDown}
  - {eval_time: 2m, alertname: CCProxyBreakerOpen}
  - {eval_time: 2m, alertname: CCProxySheds}
  - {eval_time: 4m, alertname: CCProxyErrors}
  - {eval_time: 9m, alertname: CCProxyNearlyFull}
  - {eval_time: 4m, alertname: CCProxyKeysRest}
  - eval_time: 4m
    alertname: CCProxyDown
    exp_alerts:
    - exp_labels: {severity: critical, job: ccproxy, instance: a}
      exp_annotations:
        summary: CCProxy service is down
        description: CCProxy has been down for more than 1 minute
  - eval_time: 5m
    alertname: CCProxyProviderDown
    exp_alerts:
    - exp_labels: {severity: warning, job: ccproxy-metrics, instance: a, provider: p}
      exp_annotations: {summary: The provider p fails}
  - eval_time: 5m
    alertname: CCProxyBreakerOpen
    exp_alerts:
    - exp_labels: {severity: warning, job: ccproxy-metrics, instance: a, provider: p}
      exp_annotations: {summary: The provider p failed so often that it is left alone}
  - eval_time: 10m
    alertname: CCProxySheds
    exp_alerts:
    - exp_labels: {severity: warning, instance: a, reason: in_flight}
      exp_annotations: {summary: "a turns requests away: in_flight"}
  - eval_time: 19m
    alertname: CCProxyErrors
    exp_alerts:
    - exp_labels: {severity: warning, instance: a, provider: p}
      exp_annotations: {summary: "p: 100% of the messages fail"}
  - eval_time: 10m
    alertname: CCProxyNearlyFull
    exp_alerts:
    - exp_labels: {severity: warning, job: ccproxy-metrics, instance: a}
      exp_annotations: {summary: a answers nearly as many messages as it can}
  - eval_time: 10m
    alertname: CCProxyKeysRest
    exp_alerts:
    - exp_labels: {severity: warning, job: ccproxy-metrics, instance: a, provider: p}
      exp_annotations: {summary: p refuses or limits 2 of its keys}
"""


def prometheus(suite):
    configuration = FILES["prometheus.yml"]
    suite.contains(
        "prometheus.yml: the seed's job", configuration, "\nscrape_configs:\n" + seed.PROMETHEUS
    )
    alert = textwrap.indent(seed.ALERT, "  ")
    suite.contains("rules.yml: the seed's alert", FILES["rules.yml"], "\n  rules:\n" + alert)
    with directory() as where, Server() as server:
        for name in ["prometheus.yml", "rules.yml"]:
            (where / name).write_text(FILES[name])
        (where / "alerts.yml").write_text(ALERTS)
        for command in [
            "check config prometheus.yml",
            "check rules rules.yml",
            "test rules alerts.yml",
        ]:
            outcome = Outcome(["promtool", *command.split()], where=where)
            suite.check(f"promtool {command}", outcome.code == 0, outcome)
        configuration = configuration.replace(seed.PORT, str(server.port))
        configuration = configuration.replace("scrape_interval: 30s", "scrape_interval: 1s")
        (where / "prometheus.yml").write_text("global:\n  scrape_timeout: 1s\n" + configuration)
        # The provider's state is known from its answers.
        request(server.port, "POST", "/v1/messages", *ask("hello"))
        port = free_port()
        with running_prometheus(where, port):
            until("Prometheus has scraped", lambda: up(port) == "1")
            until("and the metrics", lambda: value(port, 'up{job="ccproxy-metrics"}') == "1")
            names = set(re.findall(r"\b(?:ccproxy|http)_\w+", FILES["rules.yml"]))
            suite.equal("rules.yml: metrics", len(names), 7)
            for name in names:
                seen = value(port, name + '{job="ccproxy-metrics"}')
                suite.check(f"rules.yml: there is {name}", seen is not None, seen)
            rules = json.loads(get(port, "/api/v1/rules")[2])["data"]["groups"][0]["rules"]
            suite.equal("rules.yml: rules that run", len(rules), 7)
            failing = [rule for rule in rules if rule.get("lastError")]
            suite.equal("rules.yml: rules that fail", failing, [])


# --- systemd -------------------------------------------------------------------------------------


def systemd(suite):
    text = FILES["ccproxy.service"]
    with directory() as where:
        shutil.copy(lab.BINARY, where / "ccproxy")
        (where / "ccproxy.env").write_text("PROVIDER=echo\n")
        text = text.replace("/usr/local/bin/ccproxy", f"{where}/ccproxy")
        text = text.replace("/etc/ccproxy.env", f"{where}/ccproxy.env")
        unit = where / "ccproxy.service"
        unit.write_text(text)
        outcome = Outcome(["systemd-analyze", "verify", "--man=no", unit])
        own = [line for line in outcome.text.splitlines() if "ccproxy" in line]
        suite.check("ccproxy.service: verify", outcome.code == 0 and not own, outcome)
        outcome = Outcome(["systemd-analyze", "security", "--offline=true", "--threshold=20", unit])
        suite.check("ccproxy.service: its exposure is at most 2.0", outcome.code == 0, outcome)

        # systemd starts units only where it is the first process; whether the program lives with
        # what it may call is seen in what it calls. -D: the program is the child, strace is its.
        allowed = syscalls(text)
        trace = where / "trace"
        port = str(free_port())
        command = ["strace", "-D", "-f", "-q", "-o", trace, where / "ccproxy", "--provider", "echo"]
        with running(where, *command, "--port", port, "--log-level", "debug"):
            until("it answers", lambda: get(int(port), "/metrics")[0] == 200)
            answer = request(int(port), "POST", "/v1/messages", *ask("hello", stream=True))
            suite.equal("ccproxy.service: a message", answer[0], 200)
        # The last line of all: the main thread's end.
        until("the trace is whole", lambda: trace.read_text().rstrip().endswith("+++"))
        calls = set(re.findall(r"^\d+ +(\w+)\(", trace.read_text(), re.MULTILINE))
        suite.check("ccproxy.service: calls are seen", "accept4" in calls, calls)
        suite.equal("ccproxy.service: calls that it may not make", sorted(calls - allowed), [])


def activation(suite):
    """The socket is systemd's: the program starts with the first who comes, who waits for it."""
    with directory() as where:
        unit = where / "ccproxy.socket"
        unit.write_text(FILES["ccproxy.socket"])
        (where / "ccproxy.service").write_text("[Service]\nExecStart=/bin/true\n")
        outcome = Outcome(["systemd-analyze", "verify", "--man=no", unit])
        own = [line for line in outcome.text.splitlines() if "ccproxy" in line]
        suite.check("ccproxy.socket: verify", outcome.code == 0 and not own, outcome)

        ports = [free_port(), free_port()]
        activate = ["systemd-socket-activate", "-E", "PROVIDER=echo", "-E", "LOG_FORMAT=text"]
        sockets = ["--listen", f"127.0.0.1:{ports[0]}", "--listen", f"[::1]:{ports[1]}"]
        names = ["--fdname", "web:probes"]
        with running(where, *activate, *sockets, *names, lab.BINARY) as log:
            # By the second socket, and before there is a program that could answer.
            asked = [ports[1], "GET", "/health"]
            health = until("the socket is there", lambda: request(*asked, address="::1"))
            suite.equal("ccproxy.socket: who comes first is answered", health[0], 200)
            answer = request(ports[0], "POST", "/v1/messages", *ask("hello"))
            suite.equal("ccproxy.socket: a message by the other socket", answer[0], 200)
            until("the log tells of them", lambda: "opened 2 sockets" in log.read_text())

        for name, options, address, said in [
            ("one for each connection", ["--accept"], f"127.0.0.1:{free_port()}", "Accept=no"),
            ("a file", [], str(where / "socket"), "a socket of the file system"),
        ]:
            with running(where, *activate, *options, "--listen", address, lab.BINARY) as log:
                until(f"{name}: it is refused", lambda: comes_and_finds(address, log, said))
                suite.check(f"ccproxy.socket: {name} is refused", True)


def comes_and_finds(address, log, words):
    """Connects, which starts the program, and looks for its words."""
    is_file = address.startswith("/")
    family = socket.AF_UNIX if is_file else socket.AF_INET
    host, _, port = address.rpartition(":")
    if words in log.read_text():
        return True
    with socket.socket(family) as client:
        client.connect(address if is_file else (host, int(port)))
    return False


def syscalls(unit):
    """The system calls that the unit's filters leave."""
    groups, name = {}, None
    for line in Outcome(["systemd-analyze", "syscall-filter"]).out.splitlines():
        # The list of the kernel's own, and colours, follow the groups.
        if line.startswith("@"):
            name = line.strip()
            groups[name] = []
        elif name and line.startswith("    ") and not line.strip().startswith("#"):
            groups[name].append(line.strip())

    def expand(item):
        members = groups.get(item)
        return {item} if members is None else set().union(*map(expand, members))

    allowed = set()
    for line in re.findall(r"^SystemCallFilter=(.*)$", unit, re.MULTILINE):
        items = set().union(*map(expand, line.lstrip("~").split()))
        allowed = allowed - items if line.startswith("~") else allowed | items
    # Always allowed, to start the program at all.
    return allowed | expand("@default") | {"execve"}


def complete(suite):
    """Every file of the page is in the hands of a case."""
    names = (
        "compose.yaml stack.yaml kubernetes.yaml nginx.conf haproxy.cfg traefik.yaml "
        "prometheus.yml rules.yml ccproxy.service ccproxy.socket"
    )
    suite.equal("the files of the README", sorted(FILES), sorted(names.split()))


if __name__ == "__main__":
    lab.main(
        "files",
        [haproxy, prometheus, systemd, activation, kubernetes, nginx, traefik, compose, complete],
        NEEDS,
        workers=3,
    )
