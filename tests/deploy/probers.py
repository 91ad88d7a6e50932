#!/usr/bin/env python3
"""The programs that ask for health, each as people set it up, against a server that is up and then
drains: what they conclude must be true.

A server that drains holds a stream open: it is alive, and says 503 until its last answer has ended.
"""

import concurrent.futures
import contextlib
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
from lab import LIMIT, Outcome, Server, ask, directory, free_port, get, request, running, until

NEEDS = (
    "wget busybox curl jq prometheus promtool prometheus-blackbox-exporter haproxy nginx varnishd "
    "check_http"
).split()


def here(text, port):
    """The seed's text for the server on `port`."""
    return text.replace(seed.PORT, str(port))


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
            outcome = Outcome(here(command, server.port))
            suite.check(f"up: {command}", outcome.code == up, outcome)
        status = Outcome(here(seed.WATCHED, server.port) + " -c .").out
        healthy = '{"status":"healthy","service":"ccproxy","version":"1.0.0"}\n'
        suite.equal("up: curl | jq", status, healthy)
        server.drain()
        for command, _, draining in COMMANDS:
            outcome = Outcome(here(command, server.port))
            suite.check(f"draining: {command}", outcome.code == draining, outcome)
        status = Outcome(here(seed.WATCHED, server.port) + " -r .status").out
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
        configuration = here(verbatim, server.port).replace(
            "scrape_interval: 30s", "scrape_interval: 1s"
        )
        # A timeout may not be longer than the interval; the default is 10 s.
        (where / "prometheus.yml").write_text("global:\n  scrape_timeout: 1s\n" + configuration)
        port = free_port()
        with running(
            where,
            "prometheus",
            f"--config.file={where}/prometheus.yml",
            f"--storage.tsdb.path={where}/data",
            f"--web.listen-address=127.0.0.1:{port}",
        ):
            is_up = until("Prometheus has scraped", lambda: up(port))
            suite.equal("up: Prometheus", is_up, "1")
            target = json.loads(get(port, "/api/v1/targets")[2])["data"]["activeTargets"][0]
            suite.equal("up: Prometheus' word on the target", target["lastError"], "")
            suite.equal("up: the metric", value(port, "ccproxy_ready"), "1")
            server.drain()
            until("Prometheus sees that it drains", lambda: up(port) == "0")


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


# --- Load balancers ------------------------------------------------------------------------------

HAPROXY = """
defaults
    mode http
    timeout connect 2s
    timeout client 5s
    timeout server 5s
    timeout check 2s
    default-server check inter 200ms fall 2 rise 1
frontend stats
    bind 127.0.0.1:{stats}
    stats enable
    stats uri /
"""

HAPROXY_CHECKS = {
    "GET, HTTP 1.0": ["option httpchk GET /health"],
    "GET, HTTP 1.1 without Host": ["option httpchk GET /health HTTP/1.1"],
    "HEAD, expecting 200": [
        "option httpchk",
        "http-check send meth HEAD uri /health ver HTTP/1.1 hdr Host localhost",
        "http-check expect status 200",
    ],
    "the default, OPTIONS": ["option httpchk"],
    "TCP": ["option tcp-check"],
}


def haproxy(suite):
    with directory() as where, Server() as server:
        stats = free_port()
        configuration = HAPROXY.format(stats=stats)
        for number, options in enumerate(HAPROXY_CHECKS.values()):
            options = [f"backend b{number}", *options, f"server s 127.0.0.1:{server.port}"]
            configuration += "\n    ".join(options) + "\n"
        (where / "haproxy.cfg").write_text(configuration)
        with running(where, "haproxy", "-db", "-f", where / "haproxy.cfg"):
            rows = until("HAProxy has checked", lambda: checked_rows(stats))
            for name, row in zip(HAPROXY_CHECKS, rows):
                suite.check(f"up: HAProxy, {name}", row["status"] == "UP", row)
            server.drain()
            # Connecting says nothing of health.
            seen = ["DOWN"] * (len(HAPROXY_CHECKS) - 1) + ["UP"]
            until("HAProxy sees that it drains", lambda: statuses(stats) == seen)


def statuses(port):
    return [row["status"] for row in haproxy_rows(port)]


def haproxy_rows(port):
    """HAProxy's word on each of its servers."""
    header, *lines = get(port, "/;csv")[2].strip().splitlines()
    names = header.removeprefix("# ").split(",")
    rows = [dict(zip(names, line.split(","))) for line in lines]
    return [row for row in rows if row["svname"] not in ("FRONTEND", "BACKEND")]


def checked_rows(port):
    """The rows, once every server has been checked; before, they count as up."""
    rows = haproxy_rows(port)
    return rows if all("OK" in row["check_status"] for row in rows) else None


# Only where nginx keeps its files, so that no root is needed and nothing of the system is touched.
NGINX = """\
daemon off;
pid {where}/nginx.pid;
error_log stderr;
events {{}}
http {{
access_log off;
client_body_temp_path {where}/body;
proxy_temp_path {where}/proxy;
fastcgi_temp_path {where}/fastcgi;
uwsgi_temp_path {where}/uwsgi;
scgi_temp_path {where}/scgi;
{snippet}
}}
"""


def nginx(suite):
    with directory() as where, Server() as server:
        port = free_port()
        snippet = here(seed.NGINX, server.port)
        # The seed's server has no `listen`, which means port 80.
        snippet = snippet.replace("server {\n", f"server {{\n    listen 127.0.0.1:{port};\n")
        (where / "nginx.conf").write_text(NGINX.format(where=where, snippet=snippet))
        command = ["nginx", "-p", where, "-c", where / "nginx.conf"]
        checked = Outcome([*command, "-t"])
        suite.check("nginx -t", checked.code == 0, checked)
        with running(where, *command) as log:
            until("nginx answers", lambda: get(port, "/status"))
            paths = [("/health", 503), ("/", 503), ("/healthz", 200)]
            asked = [(m, path, draining) for m in ["GET", "HEAD"] for path, draining in paths]
            for method, path, _ in asked:
                seen = request(port, method, path)[0]
                suite.equal(f"up: nginx, {method} {path}", seen, 200)
            answer = request(port, "POST", "/v1/messages", *ask("hello"))
            suite.check("up: nginx, a message", answer[0] == 200 and "hello" in answer[2], answer)
            wget = Outcome(here(seed.WGET, port))
            suite.check("up: wget through nginx", wget.code == 0, wget)
            scrape = get(port, "/health", Accept="text/plain;version=0.0.4")[2]
            suite.contains("up: Prometheus through nginx", scrape, "ccproxy_ready 1")
            server.drain()
            for method, path, draining in asked:
                seen = request(port, method, path)[0]
                suite.equal(f"draining: nginx, {method} {path}", seen, draining)
            # `localhost` is two addresses; a server that has only one would make nginx complain.
            suite.equal("nginx has nothing to complain about", log.read_text(), "")


VARNISH = """
vcl 4.1;
backend default {{
    .host = "127.0.0.1";
    .port = "{port}";
    .probe = {{ .url = "/health"; .interval = 200ms; .timeout = 2s; .window = 3; .threshold = 2; }}
}}
sub vcl_recv {{ return (pass); }}
"""


def varnish(suite):
    with directory() as where, Server() as server:
        port = free_port()
        (where / "default.vcl").write_text(VARNISH.format(port=server.port))
        with running(
            where,
            "varnishd",
            "-F",
            "-n",
            where / "varnish",
            "-a",
            f"127.0.0.1:{port}",
            "-f",
            where / "default.vcl",
        ):
            # `/status` is 200 in any case: a 503 is Varnish's own, for want of a healthy backend.
            until("Varnish holds it for healthy", lambda: get(port, "/status")[0] == 200)
            suite.check("up: Varnish", True)
            server.drain()
            until("Varnish holds it for sick", lambda: get(port, "/status")[0] == 503)


# --- The PROXY protocol --------------------------------------------------------------------------

HAPROXY_CONNECTIONS = """
defaults
    mode tcp
    option httpchk GET /health
    timeout connect 2s
    timeout client 5s
    timeout server 5s
    timeout check 2s
    default-server check inter 200ms fall 2 rise 1
frontend stats
    mode http
    bind 127.0.0.1:{stats}
    stats enable
    stats uri /
"""

# What HAProxy is told of its server: which header it sends, also before its checks.
HEADERS = [
    "send-proxy",
    "send-proxy check-send-proxy",
    "send-proxy-v2",
    "send-proxy-v2 check-send-proxy",
    "send-proxy-v2 proxy-v2-options crc32c,unique-id",
    "send-proxy-v2-ssl",
]

NGINX_CONNECTIONS = """\
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
pid {where}/nginx.pid;
error_log stderr;
events {{}}
stream {{
server {{
    listen 127.0.0.1:{port};
    proxy_pass 127.0.0.1:{server};
    proxy_protocol on;
}}
}}
"""
BEHIND = {
    "LOG_FORMAT": "json",
    "CCPROXY_RATE_LIMIT": "1",
    "CCPROXY_TRUSTED_PROXIES": "127.0.0.1",
    "CCPROXY_PROXY_PROTOCOL": "on",
}


def from_address(port, address):
    """The status of a message that a client with this address sends."""
    connection = http.client.HTTPConnection(
        "127.0.0.1", port, timeout=LIMIT, source_address=(address, 0)
    )
    with contextlib.closing(connection):
        connection.request("POST", "/v1/messages", *ask("hello"))
        return connection.getresponse().status


def two_clients(suite, name, port, number):
    """Each client has its own message a minute, which only its address can tell."""
    clients = [f"127.0.{number}.2", f"127.0.{number}.3"]
    seen = [from_address(port, client) for client in [*clients, *clients]]
    suite.equal(f"{name}: each client has its own limit", seen, [200, 200, 429, 429])
    return clients


def proxy_protocol(suite):
    with directory() as where, Server(**BEHIND) as server:
        stats, ports = free_port(), [free_port() for _ in HEADERS]
        configuration = HAPROXY_CONNECTIONS.format(stats=stats)
        for number, (port, options) in enumerate(zip(ports, HEADERS)):
            lines = [f"listen b{number}", f"bind 127.0.0.1:{port}"]
            lines.append(f"server s 127.0.0.1:{server.port} {options}")
            configuration += "\n    ".join(lines) + "\n"
        (where / "haproxy.cfg").write_text(configuration)
        with running(where, "haproxy", "-db", "-f", where / "haproxy.cfg"):
            rows = until("HAProxy has checked", lambda: checked_rows(stats))
            for number, (port, options, row) in enumerate(zip(ports, HEADERS, rows)):
                suite.check(f"up: HAProxy, {options}", row["status"] == "UP", row)
                for client in two_clients(suite, f"HAProxy, {options}", port, number):
                    suite.check(f"the log has the address {client}", server.line(client))
            port = free_port()
            text = NGINX_CONNECTIONS.format(where=where, port=port, server=server.port)
            (where / "nginx.conf").write_text(text)
            with running(where, "nginx", "-p", where, "-c", where / "nginx.conf"):
                until("nginx passes on", lambda: get(port, "/health")[0] == 200)
                two_clients(suite, "nginx, proxy_protocol on", port, len(HEADERS))
            probe = [lab.BINARY, "--healthcheck", "--port", str(server.port)]
            outcome = Outcome(probe, BEHIND)
            suite.check("up: the self-probe", outcome.code == 0, outcome)
            # Its address is none of the balancer's.
            suite.check("up: kubelet", lab.kubelet(server.port, "/health", "::1"))
            suite.equal("who has to send a header, and does not", get(server.port, "/health")[0], 400)
            server.drain("::1")
            seen = ["DOWN"] * len(HEADERS)
            until("HAProxy sees that it drains", lambda: statuses(stats) == seen)


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

PATHS = ["/health", "/", "/status", "/livez", "/readyz", "/startupz", "/ping", "/metrics"]


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
