//! What checks of health get: whatever prober asks, and however it writes.

use crate::support::client::Client;
use crate::support::prober::Prober;
use crate::support::proxy::{Proxy, Setup};

/// Sends bytes and reads up to the end of the connection.
fn exchange(proxy: &Proxy, bytes: &str) -> String {
    let mut client = Client::connect(proxy);
    client.wire.send(bytes.as_bytes());
    String::from_utf8(client.wire.rest()).expect("it is UTF-8")
}

/// An answer without the id and the time, which differ from one to the next: head, body.
fn parts(answer: &str) -> (String, String) {
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head has an end");
    let differs = |line: &&str| line.starts_with("Request-Id:") || line.starts_with("Date:");
    let lines: Vec<&str> = head.lines().filter(|line| !differs(line)).collect();
    (lines.join("\n"), body.to_owned())
}

#[test]
fn head_is_get_without_the_body() {
    let proxy = Setup::echo().start();
    for path in ["/", "/health", "/status", "/api/hello"] {
        let ask = |method: &str| {
            parts(&exchange(
                &proxy,
                &format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n\r\n"),
            ))
        };
        let (get, head) = (ask("GET"), ask("HEAD"));
        assert_eq!((&*head.0, &*head.1), (&*get.0, ""), "{path}");
        assert!(get.0.contains(&format!("Content-Length: {}", get.1.len())), "{}", get.0);
    }
}

#[test]
fn every_way_to_write_it_gets_the_same_body() {
    let proxy = Setup::echo().start();
    let prober = Prober::start(&proxy);
    let (_, healthy) = parts(&exchange(&proxy, "GET /health HTTP/1.0\r\n\r\n"));
    assert!(healthy.contains(r#""status":"healthy""#), "{healthy}");
    for (line, headers) in [
        ("GET /health HTTP/1.1", "Host: localhost\r\n"),
        ("GET //health HTTP/1.1", "Host: localhost\r\n"),
        ("GET /health/ HTTP/1.1", "Host: localhost\r\n"),
        ("GET /health?x=1 HTTP/1.1", "Host: localhost\r\n"),
        ("GET /health/?x=/v1/messages HTTP/1.1", "Host: localhost\r\n"),
        ("GET http://10.0.0.1:3456/health HTTP/1.1", "Host: 10.0.0.1:3456\r\n"),
        ("GET /health HTTP/1.1", ""),
        ("GET /health HTTP/1.1", "Host:\r\n"),
        ("GET /health HTTP/1.1", "Host: foreign.example\r\n"),
        (
            "GET /health HTTP/1.1",
            "host: 10.244.0.7:3456\r\nUser-Agent: kube-probe/1.34\r\nAccept: */*\r\n",
        ),
        ("GET /health HTTP/1.1", "Authorization: Bearer wrong\r\nX-Api-Key: wrong\r\n"),
        ("GET /health HTTP/1.1", "Content-Length: 0\r\n"),
        ("OPTIONS /health HTTP/1.1", "Host: localhost\r\n"),
        ("OPTIONS /health HTTP/1.0", ""),
    ] {
        let request = format!("{line}\r\n{headers}Connection: close\r\n\r\n");
        let (head, body) = parts(&exchange(&proxy, &request));
        assert!(head.starts_with("HTTP/1.1 200 OK\n"), "{request:?}: {head}");
        assert_eq!(body, healthy, "{request:?}");
    }
    // What HAProxy sends where it is told nothing else.
    for line in ["OPTIONS / HTTP/1.0", "OPTIONS * HTTP/1.0"] {
        let (head, body) = parts(&exchange(&proxy, &format!("{line}\r\n\r\n")));
        assert!(head.starts_with("HTTP/1.1 200 OK\n"), "{line}: {head}");
        assert!(head.contains("\nAllow: GET, HEAD, OPTIONS\n"), "{line}: {head}");
        assert!(body.contains("is alive"), "{line}: {body}");
    }
    prober.finish("health in every form");
}

#[test]
fn one_connection_serves_one_check_after_another() {
    let proxy = Setup::echo().variable("CCPROXY_API_KEY", "a-key").start();
    let prober = Prober::start(&proxy);
    let mut client = Client::connect(&proxy);
    for _ in 0..50 {
        let get = client.ask("GET", "/health", &[], b"");
        assert_eq!((get.status, get.header("connection")), (200, None));
        assert_eq!(client.ask("HEAD", "/health", &[], b"").status, 200);
        assert_eq!(client.ask("OPTIONS", "/health", &[], b"").body, get.body);
        let post = client.ask("POST", "/health", &[], b"a body");
        post.error(405, "invalid_request_error");
        assert_eq!(post.header("allow"), Some("GET, HEAD, OPTIONS"));
        assert_eq!(client.ask("GET", "/status", &[], b"").status, 200);
        client.ask("GET", "/healthz-of-another", &[], b"").error(404, "not_found_error");
    }
    prober.finish("one connection with many checks");
}

/// Without a word about it, a client of HTTP/1.0 waits for the connection's end, as `ab -k` does.
#[test]
fn http_1_0_is_told_that_its_connection_is_kept_or_it_is_closed() {
    let proxy = Setup::echo().start();
    let mut client = Client::connect(&proxy);
    for _ in 0..3 {
        client.wire.send(b"GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        let answer = client.answer();
        assert_eq!(answer.status, 200);
        if answer.header("connection") == Some("close") {
            return client.wire.wait_closed();
        }
        assert_eq!(answer.header("connection"), Some("keep-alive"));
    }
}
