"""Load balancers that ask for health, each set up as people do it; `probers` runs them."""

import contextlib
import http.client

import lab
import seed
from lab import LIMIT, Outcome, Server, ask, directory, free_port, get, request, running, until

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
        snippet = seed.here(seed.NGINX, server.port)
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
            wget = Outcome(seed.here(seed.WGET, port))
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
            suite.equal(
                "who has to send a header, and does not", get(server.port, "/health")[0], 400
            )
            server.drain("::1")
            seen = ["DOWN"] * len(HEADERS)
            until("HAProxy sees that it drains", lambda: statuses(stats) == seen)
