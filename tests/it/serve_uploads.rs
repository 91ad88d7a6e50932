//! Bodies of requests: their limit, their forms, and what is no message.

use crate::support::client::{Client, JSON, message};
use crate::support::exchange::start;
use crate::support::proxy::Setup;

/// A request for a message that is exactly `length` bytes long.
fn message_of(length: usize) -> Vec<u8> {
    let mut body = message("", false);
    let padding = "x".repeat(length - body.len());
    body = message(&padding, false);
    assert_eq!(body.len(), length);
    body
}

#[test]
fn a_body_of_the_limit_is_taken_and_one_byte_more_is_413() {
    let proxy = Setup::echo().variable("CCPROXY_BODY_LIMIT", "2048").start();
    let mut client = Client::connect(&proxy);
    let taken = client.ask("POST", "/v1/messages", JSON, &message_of(2048));
    assert!(taken.message().contains("xxx"));
    let refused = client.ask("POST", "/v1/messages", JSON, &message_of(2049));
    let told = refused.error(413, "request_too_large");
    assert!(told.contains("2048 bytes"), "{told}");
    // What is left of the body is not taken for a request: the connection ends.
    assert_eq!(refused.header("connection"), Some("close"));
    client.wire.wait_closed();
    assert_eq!(Client::fetch_message(&proxy, "hi").status, 200);
}

#[test]
fn a_body_far_over_the_limit_is_413() {
    let proxy = Setup::echo().variable("CCPROXY_BODY_LIMIT", "2048").start();
    for path in ["/v1/messages", "/v1/messages/count_tokens"] {
        let refused = Client::fetch(&proxy, "POST", path, JSON, &message_of(1 << 20));
        refused.error(413, "request_too_large");
    }
}

#[test]
fn a_body_in_chunks_has_the_same_limit() {
    let proxy = Setup::echo().variable("CCPROXY_BODY_LIMIT", "2048").start();
    let check = |length: usize| {
        let body = message_of(length);
        let mut client = Client::connect(&proxy);
        client.wire.send(
            b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
              Transfer-Encoding: chunked\r\n\r\n",
        );
        for piece in body.chunks(500) {
            client.wire.send(format!("{:x}\r\n", piece.len()).as_bytes());
            client.wire.send(piece);
            client.wire.send(b"\r\n");
        }
        client.wire.send(b"0\r\n\r\n");
        client.answer()
    };
    assert!(check(2048).message().contains("xxx"));
    check(2049).error(413, "request_too_large");
}

#[test]
fn the_limit_without_a_setting_is_32_mib() {
    let proxy = Setup::echo().start();
    let mut body = message("hello", false);
    // Space around JSON is part of the body, but costs a debug build little.
    body.resize(32 << 20, b' ');
    let mut client = Client::connect(&proxy);
    let taken = client.ask("POST", "/v1/messages", JSON, &body);
    assert_eq!(taken.message(), "You said: hello");
    body.push(b' ');
    let refused = client.ask("POST", "/v1/messages", JSON, &body);
    let told = refused.error(413, "request_too_large");
    assert!(told.contains("33554432 bytes"), "{told}");
}

#[test]
fn a_long_conversation_reaches_the_provider_whole() {
    let (upstream, proxy) = start();
    let mut client = Client::connect(&proxy);
    client.send("POST", "/v1/messages", JSON, &message_of(4 << 20));
    let mut connection = upstream.accept();
    let request = connection.request();
    let text = request.body["messages"][0]["content"].as_str().map(str::len);
    assert_eq!(text, Some((4 << 20) - message("", false).len()));
    connection.complete("that was long");
    assert_eq!(client.answer().message(), "that was long");
}

#[test]
fn a_body_that_waits_for_100_continue_is_asked_for() {
    let proxy = Setup::echo().start();
    let mut client = Client::connect(&proxy);
    let body = message("hello", false);
    let head = format!(
        "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Expect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    client.wire.send(head.as_bytes());
    assert!(client.wire.head().start.starts_with("HTTP/1.1 100"));
    client.wire.send(&body);
    assert_eq!(client.answer().message(), "You said: hello");
}

#[test]
fn a_body_that_is_no_message_is_400() {
    let proxy = Setup::echo().start();
    for body in ["", "{", "[]", "{\"model\":1}"] {
        let answer = Client::fetch(&proxy, "POST", "/v1/messages", JSON, body.as_bytes());
        answer.error(400, "invalid_request_error");
    }
}

#[test]
fn a_body_that_a_form_could_send_is_415() {
    let proxy = Setup::echo().start();
    let check = |headers: &[(&str, &str)], said: &str| {
        let answer = Client::fetch(&proxy, "POST", "/v1/messages", headers, &message("a", false));
        let told = answer.error(415, "invalid_request_error");
        assert!(told.contains(said), "{told}");
    };
    check(&[], "application/json");
    check(&[("Content-Type", "text/plain")], "text/plain");
    check(&[("Content-Type", "application/x-www-form-urlencoded")], "application/json");
    check(&[JSON[0], ("Content-Encoding", "gzip")], "gzip");
    let with_charset = &[("content-type", "Application/JSON; charset=utf-8")];
    let answer = Client::fetch(&proxy, "POST", "/v1/messages", with_charset, &message("a", false));
    assert_eq!(answer.message(), "You said: a");
}
