//! The PROXY protocol at the door: who has to speak it, and what becomes of the address that it names.

use crate::support::client::{Answer, Client, JSON, message, request};
use crate::support::proxy::{Proxy, Setup};

/// The header of version 2 that names a client of IPv4, and has `more` bytes behind its addresses.
fn version_2(client: [u8; 4], more: usize) -> Vec<u8> {
    let length = u16::try_from(12 + more).expect("a length").to_be_bytes();
    let start = b"\r\n\r\n\0\r\nQUIT\n\x21\x11";
    [start, &length[..], &client, &[10, 0, 0, 1, 0xc0, 0, 1, 0xbb], &vec![0; more]].concat()
}

/// What a proxy sends that asks for its own sake.
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

/// A server that takes one message a minute from each address, behind a proxy on this machine.
fn behind_a_proxy() -> Setup {
    Setup::echo()
        .json_log()
        .variable("CCPROXY_RATE_LIMIT", "1")
        .variable("CCPROXY_TRUSTED_PROXIES", "127.0.0.1,10.0.0.0/8")
        .variable("CCPROXY_PROXY_PROTOCOL", "on")
}

/// Sends a header, and a message behind it.
fn ask(proxy: &Proxy, header: &[u8], headers: &[(&str, &str)]) -> Answer {
    let mut client = Client::connect(proxy);
    let body = message("hello", false);
    let sent = request("POST", "/v1/messages", &[JSON, headers].concat(), &body);
    client.wire.send(&[header, &sent].concat());
    client.answer()
}

#[test]
fn the_client_that_the_header_names_has_a_limit_of_its_own() {
    let proxy = behind_a_proxy().start();
    for (header, status) in [
        (b"PROXY TCP4 192.0.2.1 10.0.0.1 49152 443\r\n".to_vec(), 200),
        (b"PROXY TCP4 192.0.2.1 10.0.0.1 49153 443\r\n".to_vec(), 429),
        (version_2([192, 0, 2, 1], 0), 429),
        (version_2([192, 0, 2, 2], 0), 200),
        (version_2([192, 0, 2, 2], 300), 429),
        (b"PROXY TCP6 2001:db8::1 ::1 49152 443\r\n".to_vec(), 200),
        // The proxy's own.
        (b"PROXY UNKNOWN\r\n".to_vec(), 200),
        (LOCAL.to_vec(), 429),
    ] {
        let answer = ask(&proxy, &header, &[]);
        assert_eq!(answer.status, status, "{}", String::from_utf8_lossy(&header));
    }
    // More than is read at once, and as long as can be.
    let answer = ask(&proxy, &version_2([192, 0, 2, 3], 65_000), &[]);
    let record = proxy.record(answer.header("request-id").expect("it has one"));
    assert_eq!((answer.status, &record["address"]), (200, &"192.0.2.3".into()));
}

#[test]
fn the_address_holds_for_every_request_of_the_connection() {
    let proxy = behind_a_proxy().start();
    let mut client = Client::connect(&proxy);
    // However it comes.
    for byte in b"PROXY TCP4 192.0.2.1 10.0.0.1 49152 443\r\n" {
        client.wire.send(&[*byte]);
    }
    assert_eq!(client.ask("GET", "/health", &[], b"").status, 200);
    for status in [200, 429] {
        let answer = client.ask("POST", "/v1/messages", JSON, &message("hello", false));
        assert_eq!(answer.status, status);
        let record = proxy.record(answer.header("request-id").expect("it has one"));
        assert_eq!(record["address"], "192.0.2.1");
    }
    // A second header is no request.
    client.wire.send(b"PROXY TCP4 192.0.2.9 10.0.0.1 49152 443\r\n\r\n");
    let told = client.answer().error(400, "invalid_request_error");
    assert!(told.contains("CCPROXY_PROXY_PROTOCOL"), "{told}");
}

/// A balancer before the one that sends the header writes a list, and so may anybody.
#[test]
fn a_list_of_addresses_is_believed_from_the_proxies_that_are_named() {
    let proxy = behind_a_proxy().start();
    let listed = |header: &[u8], address| ask(&proxy, header, &[("X-Forwarded-For", address)]);
    let stranger = &version_2([192, 0, 2, 1], 0)[..];
    let balancer = &version_2([10, 1, 1, 1], 0)[..];
    for (header, address, status) in [
        (stranger, "198.51.100.1", 200),
        (stranger, "198.51.100.2", 429),
        (balancer, "198.51.100.1", 200),
        (balancer, "198.51.100.2", 200),
        (balancer, "198.51.100.2", 429),
        (LOCAL, "198.51.100.3", 200),
    ] {
        assert_eq!(listed(header, address).status, status, "{address}");
    }
}

#[test]
fn a_proxy_that_is_named_has_to_say_whom_it_speaks_for() {
    let proxy = behind_a_proxy().start();
    for (sent, part) in [
        (&b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"[..], "does not"),
        (b"PROXY TCP4 192.0.2.1 10.0.0.1 1\r\nGET /health HTTP/1.1\r\n\r\n", "two ports"),
        (b"PROXY TCP4 192.0.2.1 10.0.0.1 1 2\nGET /health HTTP/1.1\r\n\r\n", "CR LF"),
        (b"\r\n\r\n\0\r\nQUIT\n\x22\0\0\0GET /health HTTP/1.1\r\n\r\n", "LOCAL nor PROXY"),
    ] {
        let mut client = Client::connect(&proxy);
        client.wire.send(sent);
        let answer = client.answer();
        let told = answer.error(400, "invalid_request_error");
        assert!(told.contains(part), "{told}");
        assert_eq!(answer.header("connection"), Some("close"));
    }
    let line = proxy.wait_for_line("begins with a PROXY protocol header");
    let is_told = ["\"error_type\":\"http\"", "\"address\":\"127.0.0.1\""];
    assert!(is_told.iter().all(|part| line.contains(part)), "{line}");
    // Who connects and says nothing, as a check of TCP does, leaves no line.
    drop(Client::connect(&proxy));
    let mut client = Client::connect(&proxy);
    client.wire.send(LOCAL);
    let metrics = client.ask("GET", "/metrics", &[], b"").text();
    assert!(metrics.contains("ccproxy_refused_total{reason=\"http\"} 4"), "{metrics}");
}

/// A kubelet sends no header, and is no proxy.
#[test]
fn everybody_else_is_served_without_a_header_and_believed_with_none() {
    for (trusted, switch) in [("10.0.0.0/8", "on"), ("127.0.0.1", "off"), ("", "off")] {
        let proxy = Setup::echo()
            .variable("CCPROXY_TRUSTED_PROXIES", trusted)
            .variable("CCPROXY_PROXY_PROTOCOL", switch)
            .start();
        assert_eq!(Client::fetch(&proxy, "GET", "/health", &[], b"").status, 200);
        assert_eq!(Client::fetch_message(&proxy, "hello").message(), "You said: hello");
        let line = b"PROXY TCP4 192.0.2.1 10.0.0.1 49152 443\r\n".to_vec();
        for header in [line, version_2([192, 0, 2, 1], 0), LOCAL.to_vec()] {
            let told = ask(&proxy, &header, &[]).error(400, "invalid_request_error");
            let names = ["CCPROXY_PROXY_PROTOCOL=on", "CCPROXY_TRUSTED_PROXIES"];
            assert!(names.iter().all(|name| told.contains(name)), "{told}");
        }
    }
}

#[test]
fn its_own_probes_say_that_they_ask_for_themselves() {
    let proxy = behind_a_proxy().start();
    let port = proxy.address.port().to_string();
    for (switch, code) in [("on", 0), ("off", 1)] {
        let probe = Setup::empty()
            .variable("CCPROXY_TRUSTED_PROXIES", "127.0.0.0/8")
            .variable("CCPROXY_PROXY_PROTOCOL", switch)
            .arguments(&["--healthcheck", "--host", "127.0.0.1", "--port", &port])
            .run();
        assert_eq!(probe.code, Some(code), "{}{}", probe.stdout, probe.stderr);
    }
    let value = |name: &str| {
        let mut client = Client::connect(&proxy);
        client.wire.send(LOCAL);
        let metrics = client.ask("GET", "/metrics", &[], b"").text();
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)).expect("a metric");
        line.trim().parse::<f64>().expect("a number")
    };
    while value("ccproxy_self_probe_duration_seconds") == 0.0 {
        std::thread::yield_now();
    }
    assert_eq!(value("ccproxy_self_probe_failures_total"), 0.0);
}

#[test]
fn a_server_that_would_believe_nobody_does_not_start() {
    let run = Setup::echo().variable("CCPROXY_PROXY_PROTOCOL", "on").run();
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("CCPROXY_TRUSTED_PROXIES"), "{}", run.stderr);
    let run = Setup::echo().arguments(&["--proxy-protocol", "v2"]).run();
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("\"v2\" is neither on nor off"), "{}", run.stderr);
}
