//! Paths and methods: which are answered, and with what.

use crate::support::client::{Client, JSON, message, request};
use crate::support::http::Wire;
use crate::support::proxy::Setup;
use crate::support::upstream::Upstream;

#[test]
fn health_paths_answer_byte_for_byte() {
    let upstream = Upstream::start();
    let proxy = Setup::asking(&upstream).variable("CUSTOM_MAX_TOKENS", "4096").start();
    let version = env!("CARGO_PKG_VERSION");
    let status = format!(
        "{{\"provider\":\"custom\",\"model\":\"test-model\",\"base_url\":\"{}\",\"max_tokens\":4096,\
         \"status\":\"active\",\"service\":\"ccproxy\",\"version\":\"{version}\",",
        upstream.base_url()
    );
    let healthy =
        format!("{{\"status\":\"healthy\",\"service\":\"ccproxy\",\"version\":\"{version}\"}}");
    let root = "{\"message\":\"CCProxy Multi-Provider Anthropic API is alive 💡\",\"provider\":\"custom\"}";
    let check = |path: &str, body: &str| {
        let answer = proxy.get(path);
        assert_eq!((answer.status, &*answer.text()), (200, body), "{path}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let head = Client::fetch(&proxy, "HEAD", path, &[], b"");
        assert_eq!(head.status, 200, "{path}");
        assert_eq!(head.header("content-length"), Some(&*body.len().to_string()), "{path}");
    };
    check("/", root);
    check("/?a=b", root);
    check("/health", &healthy);
    check("/health/", &healthy);
    // Who may use the API is told more, behind that.
    let told = proxy.get("/status").text();
    assert!(told.starts_with(&status), "{told}");
    upstream.assert_nobody_waits();
}

#[test]
fn head_has_no_body() {
    let proxy = Setup::echo().start();
    let mut client = Client::connect(&proxy);
    for path in ["/", "/health", "/status", "/api/hello", "/v1/models", "/v1/nothing"] {
        let head = client.ask("HEAD", path, &[], b"");
        assert_eq!(head.status, if path == "/v1/nothing" { 404 } else { 200 }, "{path}");
        // A body would be read as the next answer's head.
        assert_eq!(client.ask("GET", "/api/hello", &[], b"").text(), "{}", "after {path}");
    }
}

#[test]
fn unknown_path_is_404_in_anthropics_shape() {
    let proxy = Setup::echo().start();
    for path in ["/v1/nothing", "/v1/messages/batches", "/v2/messages"] {
        let told = proxy.get(path).error(404, "not_found_error");
        assert!(told.contains(path), "{told}");
    }
}

#[test]
fn wrong_method_is_405_and_tells_which_are_right() {
    let proxy = Setup::echo().start();
    let check = |method: &str, path: &str, allow: &str| {
        let answer = Client::fetch(&proxy, method, path, JSON, b"");
        answer.error(405, "invalid_request_error");
        assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
    };
    check("GET", "/v1/messages", "POST, OPTIONS");
    check("DELETE", "/v1/messages", "POST, OPTIONS");
    check("GET", "/v1/messages/count_tokens", "POST, OPTIONS");
    check("POST", "/v1/models", "GET, HEAD, OPTIONS");
    check("POST", "/health", "GET, HEAD, OPTIONS");
}

#[test]
fn messages_are_taken_on_every_path_that_clients_make() {
    let proxy = Setup::echo().start();
    for path in [
        "/v1/messages",
        "/v1/messages?beta=true",
        "/v1/v1/messages",
        "/messages",
        "//v1/messages/",
        "http://localhost/v1/messages",
    ] {
        let answer = Client::fetch(&proxy, "POST", path, JSON, &message("hello", false));
        assert_eq!(answer.message(), "You said: hello", "{path}");
    }
    let counted =
        Client::fetch(&proxy, "POST", "/v1/messages/count_tokens", JSON, &message("hi", false));
    assert!(counted.json()["input_tokens"].as_u64().is_some_and(|n| n > 0), "{}", counted.text());
}

#[test]
fn localhost_is_both_loopbacks() {
    let proxy = Setup::echo().variable("SERVER_HOST", "localhost").start();
    assert_eq!(proxy.get("/health").status, 200);
    let v6 = format!("[::1]:{}", proxy.address.port());
    // A machine without IPv6 has one loopback.
    if let Ok(stream) = std::net::TcpStream::connect(v6) {
        let mut wire = Wire::new(stream);
        wire.send(&request("GET", "/health", &[], b""));
        assert!(wire.head().start.ends_with("200 OK"));
    }
}
