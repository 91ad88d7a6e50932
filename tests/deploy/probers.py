#!/usr/bin/env python3
"""The programs that ask for health, each as people set it up, against a server that is up and then
drains: what they conclude must be true.

A server that drains holds a stream open: it is alive, and says 503 until its last answer has ended.
"""

import concurrent.futures
import http.client
import http.server
import itertools
import json
import socket
import textwrap
import threading
import urllib.parse

import lab
import seed
from balancers import haproxy, nginx, proxy_protocol, varnish
from lab import LIMIT, Outcome, Server, ask, directory, free_port, get, request, running, until

NEEDS = (
    "wget busybox curl jq prometheus promtool prometheus-blackbox-exporter haproxy nginx varnishd "
    "check_http"
).split()


# --- Commands ------------------------------------------------------------------------------------

# Command, exit code while the server is up, exit code while it drains.
COMMANDS = [
    (seed.WGET, 0, 1),
    ("busybox " + seed.WGET, 0, 1),
    (seed.WGET.split(" ||")[0], 0, 8),
    (seed.CURL, 0, 22),
    ("curl -fI http://localhost:3456/health", 0, 22),
    ("curl -f --http1.0 http://localhost:3456/health", 0, 22),
    ("curl -f -4 http://localhost:3456/", 0, 22),
    ("curl -f -6 http://localhost:3456/readyz", 0, 22),
    ("curl -f http://localhost:3456/health/", 0, 22),
    # Information, not health.
    ("curl -f http://localhost:3456/status", 0, 0),
    # Who only wants to know whether to restart it must not do so while it drains.
    ("curl -f http://localhost:3456/livez", 0, 0),
    (seed.WATCHED, 0, 0),
    ("check_http -H localhost -p 3456 -u /health", 0, 2),
    ("check_http -H localhost -p 3456 -u /health -s healthy -e 'HTTP/1.1 200'", 0, 2),
    ("check_http -H localhost -p 3456 -u /health -j HEAD", 0, 2),
    (f"{lab.BINARY} --healthcheck --port 3456", 0, 1),
    (f"{lab.BINARY} healthcheck --host :: --port 3456", 0, 1),
    (f"{lab.BINARY} --healthcheck=ready --port 3456", 0, 1),
    (f"{lab.BINARY} --healthcheck=live --port 3456", 0, 0),
]


def commands(suite):
    with Server() as server:
        for command, up, _ in COMMANDS:
            outcome = Outcome(seed.here(command, server.port))
            suite.check(f"up: {command}", outcome.code == up, outcome)
        status = Outcome(seed.here(seed.WATCHED, server.port) + " -c .").out
        healthy = '{"status":"healthy","service":"ccproxy","version":"1.0.0"}\n'
        suite.equal("up: curl | jq", status, healthy)
        server.drain()
        for command, _, draining in COMMANDS:
            outcome = Outcome(seed.here(command, server.port))
            suite.check(f"draining: {command}", outcome.code == draining, outcome)
        status = Outcome(seed.here(seed.WATCHED, server.port) + " -r .status").out
        suite.equal("draining: curl | jq", status, "unhealthy\n")
        suite.check("probes leave no line in the log", "GET" not in server.said(), server.said())
        suite.equal("the exit code after a second signal", server.end(), 143)


def stand_ins(suite):
    suite.note("the kubelet and Traefik are in no registry: what they send is sent in their place")
    with Server() as server:
        for address in ["127.0.0.1", "::1"]:
            suite.check(f"up: kubelet at {address}", lab.kubelet(server.port, "/health", address))
        suite.equal("up: Traefik", lab.traefik(server.port), [True, True])
        server.drain()
        suite.equal("draining: kubelet, readiness", lab.kubelet(server.port, "/health"), False)
        suite.equal("draining: kubelet, /readyz", lab.kubelet(server.port, "/readyz"), False)
        suite.equal("draining: kubelet, /livez", lab.kubelet(server.port, "/livez"), True)
        suite.equal("draining: Traefik", lab.traefik(server.port), [False, False])


# --- Prometheus ----------------------------------------------------------------------------------


def prometheus(suite):
    verbatim = "scrape_configs:\n" + seed.PROMETHEUS
    with directory() as where, Server() as server:
        (where / "verbatim.yml").write_text(verbatim)
        checked = Outcome(["promtool", "check", "config", where / "verbatim.yml"])
        suite.check("promtool check config", checked.code == 0, checked)
        # Only the port, and the interval, so that the test need not wait for half a minute.
        configuration = seed.here(verbatim, server.port).replace(
            "scrape_interval: 30s", "scrape_interval: 1s"
        )
        # A timeout may not be longer than the interval; the default is 10 s.
        (where / "prometheus.yml").write_text("global:\n  scrape_timeout: 1s\n" + configuration)
        port = free_port()
        with running_prometheus(where, port):
            is_up = until("Prometheus has scraped", lambda: up(port))
            suite.equal("up: Prometheus", is_up, "1")
            target = json.loads(get(port, "/api/v1/targets")[2])["data"]["activeTargets"][0]
            suite.equal("up: Prometheus' word on the target", target["lastError"], "")
            suite.equal("up: the metric", value(port, "ccproxy_ready"), "1")
            server.drain()
            until("Prometheus sees that it drains", lambda: up(port) == "0")


def running_prometheus(where, port):
    """Prometheus with the configuration in a directory, which keeps its data there."""
    return running(
        where,
        "prometheus",
        f"--config.file={where}/prometheus.yml",
        f"--storage.tsdb.path={where}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    )


def value(port, expression):
    """What Prometheus answers to a query; None without an answer."""
    query = urllib.parse.urlencode({"query": expression})
    result = json.loads(get(port, f"/api/v1/query?{query}")[2])["data"]["result"]
    return result[0]["value"][1] if result else None


def up(port):
    return value(port, 'up{job="ccproxy"}')


# What Prometheus asks for: version 2, version 3, and 3 where it prefers protocol buffers.
SCRAPES = [
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;"
    "q=0.7,*/*;q=0.2",
]


def exposition(suite):
    suite.note("Debian 12 has Prometheus 2: what version 3 asks for is sent in its place")
    with Server() as server:
        request(server.port, "POST", "/v1/messages", *ask("hello"))
        for path, accept in itertools.product(["/health", "/metrics"], SCRAPES):
            status, headers, body = get(server.port, path, Accept=accept)
            suite.equal(f"{path}: status for {accept}", status, 200)
            wanted = "text/plain; version=0.0.4; charset=utf-8"
            suite.equal(f"{path}: type for {accept}", headers["content-type"], wanted)
            checked = Outcome(["promtool", "check", "metrics"], said=body)
            suite.check(f"{path}: promtool check metrics", checked.code == 0, checked)


# The alert must come after a minute, and not before; and never for a server that is up.
ALERT_TESTS = """\
rule_files: [rules.yml]
tests:
- interval: 30s
  input_series:
  - series: up{job="ccproxy", instance="localhost:3456"}
    values: 1x20
  alert_rule_test:
  - {eval_time: 5m, alertname: CCProxyDown}
  - {eval_time: 10m, alertname: CCProxyDown}
- interval: 30s
  input_series:
  - series: up{job="ccproxy", instance="localhost:3456"}
    values: 1x3 0x20
  alert_rule_test:
  - {eval_time: 2m30s, alertname: CCProxyDown}
  - eval_time: 3m
    alertname: CCProxyDown
    exp_alerts:
    - exp_labels: {severity: critical, job: ccproxy, instance: "localhost:3456"}
      exp_annotations:
        summary: CCProxy service is down
        description: CCProxy has been down for more than 1 minute
"""


def alert(suite):
    rules = "groups:\n- name: ccproxy\n  rules:\n" + textwrap.indent(seed.ALERT, "  ")
    with directory() as where:
        (where / "rules.yml").write_text(rules)
        (where / "tests.yml").write_text(ALERT_TESTS)
        for command in ["check rules rules.yml", "test rules tests.yml"]:
            outcome = Outcome(["promtool", *command.split()], where=where)
            suite.check(f"promtool {command}", outcome.code == 0, outcome)


BLACKBOX = r"""
modules:
  get: {prober: http, timeout: 5s}
  head: {prober: http, timeout: 5s, http: {method: HEAD}}
  body:
    prober: http
    timeout: 5s
    http: {fail_if_body_not_matches_regexp: ['"status":"healthy"']}
  tcp: {prober: tcp, timeout: 5s}
"""


def blackbox(suite):
    with directory() as where, Server() as server:
        (where / "blackbox.yml").write_text(BLACKBOX)
        port = free_port()

        def success(module):
            target = f"localhost:{server.port}" + ("/health" if module != "tcp" else "")
            answer = get(port, f"/probe?module={module}&target={target}")[2]
            return "\nprobe_success 1\n" in answer

        with running(
            where,
            "prometheus-blackbox-exporter",
            f"--config.file={where}/blackbox.yml",
            f"--web.listen-address=127.0.0.1:{port}",
        ):
            until("the exporter answers", lambda: get(port, "/-/healthy")[0] == 200)
            for module in ["get", "head", "body", "tcp"]:
                suite.equal(f"up: blackbox {module}", success(module), True)
            server.drain()
            for module in ["get", "head", "body"]:
                suite.equal(f"draining: blackbox {module}", success(module), False)
            suite.equal("draining: blackbox tcp", success("tcp"), True)


# --- The self-probe ------------------------------------------------------------------------------


class Foreign(http.server.BaseHTTPRequestHandler):
    """Another program's server, which is healthy."""

    def do_GET(self):
        body = b'{"status":"healthy"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


def silent(connection):
    """Accepts, and says nothing."""
    connection.recv(1)


def dripping(connection):
    """A byte of the answer each second, until the probe gives up."""
    for byte in b"HTTP/1.1 200 OK\r\n":
        if connection.send(bytes([byte])) and gone_within(connection, 1):
            return


def gone_within(connection, seconds):
    """Whether the client leaves; this is the pace of a drip, not a wait for something."""
    connection.settimeout(seconds)
    try:
        while connection.recv(4096):
            pass
        return True
    except TimeoutError:
        return False


class Listener:
    """A socket that treats each connection in its own thread, and counts them."""

    def __init__(self, treat):
        self.treat, self.count = treat, 0

    def __enter__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def _accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.count += 1
            threading.Thread(target=self._treat, args=[connection], daemon=True).start()

    def _treat(self, connection):
        with connection:
            try:
                self.treat(connection)
            except OSError:
                pass

    def __exit__(self, *exception):
        # Closing alone would leave `accept` waiting.
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


def self_probe(suite):
    # A proxy would answer in the server's place, or not at all.
    with Listener(silent) as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        environment = {name: url for name in ["http_proxy", "HTTP_PROXY", "ALL_PROXY"]}

        def probe(port):
            command = [lab.BINARY, "--healthcheck", "--host", "127.0.0.1", "--port", str(port)]
            return Outcome(command, environment)

        def judge(name, outcome, code):
            suite.check(f"self-probe, {name}: exit code", outcome.code == code, outcome)
            suite.check(f"self-probe, {name}: in time", outcome.seconds < 3.5, outcome.seconds)
            is_line = outcome.text.endswith("\n") and outcome.text.count("\n") == 1
            suite.check(f"self-probe, {name}: one line", is_line, repr(outcome.text))
            suite.check(f"self-probe, {name}: a short one", len(outcome.text) <= 200, outcome.text)

        def against(name, port):
            outcome = probe(port)
            judge(name, outcome, 1)
            suite.check(f"self-probe, {name}: says so", "unhealthy: " in outcome.err, outcome)

        def up_and_draining():
            with Server() as server:
                judge("up", probe(server.port), 0)
                server.drain()
                against("draining", server.port)

        foreign = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Foreign)
        threading.Thread(target=foreign.serve_forever, daemon=True).start()
        with Listener(silent) as mute, Listener(dripping) as drip:
            cases = {
                "nothing listens": free_port(),
                "a foreign server": foreign.server_port,
                "accepts, but is silent": mute.port,
                "drips": drip.port,
            }
            with concurrent.futures.ThreadPoolExecutor() as pool:
                waits = [pool.submit(against, name, port) for name, port in cases.items()]
                waits.append(pool.submit(up_and_draining))
                for wait in waits:
                    wait.result()
        foreign.shutdown()
        foreign.server_close()
        suite.equal("the self-probe asks no proxy", proxy.count, 0)


# --- What a probe must not do --------------------------------------------------------------------

PATHS = (
    "/health / /status /livez /readyz /startupz /ping /metrics /statusz /flagz"
).split()


def free_of_charge(suite):
    """No probe asks the provider: a completion costs money, and its outage is not this server's."""
    workers, rounds = 4, 2500
    with Listener(silent) as provider:
        environment = {
            "PROVIDER": "custom",
            "CUSTOM_BASE_URL": f"http://127.0.0.1:{provider.port}/v1",
            "CUSTOM_MODEL": "test",
        }
        with Server(**environment) as server:

            def probe(_):
                connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=LIMIT)
                asked = itertools.cycle(itertools.product(["GET", "HEAD", "OPTIONS"], PATHS))
                statuses = set()
                for method, path in itertools.islice(asked, rounds):
                    connection.request(method, path, headers={"Accept": "*/*"})
                    answer = connection.getresponse()
                    answer.read()
                    statuses.add(answer.status)
                connection.close()
                return statuses

            with concurrent.futures.ThreadPoolExecutor(workers) as pool:
                statuses = set().union(*pool.map(probe, range(workers)))
            suite.equal(f"{workers * rounds} probes are all answered by 200", statuses, {200})
            suite.equal("the provider was asked by none of them", provider.count, 0)


# Each has this word in it, so that one look finds any of them, or a part.
PLANTED = "planted"
SECRETS = {
    "CUSTOM_API_KEY": f"sk-{PLANTED}-provider",
    "CCPROXY_API_KEY": f"{PLANTED}-client,{PLANTED}-second",
    "HTTP_PROXY": f"http://{PLANTED}-user:{PLANTED}-password@127.0.0.1:{{proxy}}",
    "GROQ_API_KEY": f"gsk_{PLANTED}-other",
    "OPENAI_ORGANIZATION": f"org-{PLANTED}",
    "DATABASE_URL": f"postgres://{PLANTED}:{PLANTED}@db/{PLANTED}",
}
ACCEPTS = [
    "*/*",
    "application/json",
    "application/health+json",
    "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5",
]
QUERIES = ["", "?verbose", "?verbose&fail_on=provider", "?exclude=nothing&verbose"]


def secrets(suite):
    """No secret is in anything that health shows, or in the log."""
    with Listener(silent) as proxy:
        environment = {
            "PROVIDER": "custom",
            # Never reached: the proxy in between does not answer.
            "CUSTOM_BASE_URL": "http://provider.invalid/v1",
            "CUSTOM_MODEL": "test",
            "CCPROXY_CONNECT_TIMEOUT": "1",
            "CCPROXY_DRAIN_DELAY": "60",
            "LOG_LEVEL": "debug",
            **{name: secret.format(proxy=proxy.port) for name, secret in SECRETS.items()},
        }
        shown = {}
        with Server(**environment) as server:

            def look(state):
                client = {"x-api-key": f"{PLANTED}-client"}
                wrong = {"Authorization": f"Bearer {PLANTED}-wrong"}
                for path, query, accept, key in itertools.product(
                    [*PATHS, "/v1/models", "/nothing"], QUERIES, ACCEPTS, [{}, client, wrong]
                ):
                    answer = request(
                        server.port, "GET", path + query, headers={"Accept": accept, **key}
                    )
                    shown[f"{state}, {path}{query}"] = f"{answer[1]}{answer[2]}"
                probe = [lab.BINARY, "--healthcheck", "--port", str(server.port)]
                shown[f"{state}, --healthcheck"] = Outcome(probe, environment).text

            look("up")
            body, headers = ask("hello")
            headers["x-api-key"] = f"{PLANTED}-client"
            answer = request(server.port, "POST", "/v1/messages", body, headers)
            suite.check("the provider cannot be reached", answer[0] >= 500, answer)
            shown["a message"] = answer[2]
            look("failing")
            server.terminate()
            look("draining")
            shown["the log"] = server.said()
        shown["--check-config"] = Outcome([lab.BINARY, "--check-config"], environment).text
        # In the address of the provider they are refused.
        environment["CUSTOM_BASE_URL"] = f"http://{PLANTED}:{PLANTED}@127.0.0.1/v1"
        refused = Outcome([lab.BINARY, "--port", "0"], environment)
        suite.equal("a password in the base URL is refused", refused.code, 2)
        shown["a refusal"] = refused.text
    leaks = [place for place, text in shown.items() if PLANTED in text]
    suite.check("no secret is shown", not leaks, f"in {leaks[:5]}")
    suite.contains("the log has the failure", shown["the log"], "custom test <- claude-test  502")


if __name__ == "__main__":
    lab.main(
        "probers",
        [
            prometheus,
            self_probe,
            varnish,
            haproxy,
            proxy_protocol,
            nginx,
            blackbox,
            commands,
            stand_ins,
            alert,
            exposition,
            free_of_charge,
            secrets,
        ],
        NEEDS,
        workers=3,
    )
