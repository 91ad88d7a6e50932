//! Connections of clients: one request after another, many at once, and those that are of no use.

use std::thread;

use crate::support::client::{Client, JSON, message, request, take_event};
use crate::support::proxy::Setup;

#[test]
fn one_connection_takes_one_request_after_another() {
    let proxy = Setup::echo().start();
    let mut client = Client::connect(&proxy);
    for round in 0..3 {
        client.send_stream(&format!("round {round}"));
        client.begin();
        assert_eq!(client.finish(), format!("You said: round {round}"));
        client.send_whole("whole");
        assert_eq!(client.answer().message(), "You said: whole");
        assert_eq!(client.ask("GET", "/health", &[], b"").status, 200);
    }
}

#[test]
fn requests_sent_together_are_answered_in_their_order() {
    let proxy = Setup::echo().start();
    let mut client = Client::connect(&proxy);
    let mut all = request("POST", "/v1/messages", JSON, &message("first", false));
    all.extend(request("POST", "/v1/messages", JSON, &message("second", true)));
    all.extend(request("GET", "/health", &[], b""));
    all.extend(request("POST", "/v1/messages", JSON, &message("third", false)));
    client.wire.send(&all);
    assert_eq!(client.answer().message(), "You said: first");
    client.begin();
    assert_eq!(client.finish(), "You said: second");
    assert_eq!(client.answer().json()["status"], "healthy");
    assert_eq!(client.answer().message(), "You said: third");
}

/// Sends a request of HTTP/1.0 with `header`, and reads the stream up to the connection's end.
fn check_http_1_0(header: &str) {
    let proxy = Setup::echo().start();
    let mut client = Client::connect(&proxy);
    let body = String::from_utf8(message("hello", true)).expect("it is JSON");
    let request = format!(
        "POST /v1/messages HTTP/1.0\r\n{header}Content-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    client.wire.send(request.as_bytes());
    let head = client.wire.head();
    assert!(head.start.ends_with(" 200 OK"), "{}", head.start);
    assert_eq!(head.header("transfer-encoding"), None);
    let mut rest = client.wire.rest();
    let mut names = Vec::new();
    while let Some(event) = take_event(&mut rest) {
        names.push(event.name);
    }
    assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
    assert_eq!(names.last().map(String::as_str), Some("message_stop"));
}

#[test]
fn http_1_0_gets_a_stream_without_chunks_that_ends_with_the_connection() {
    check_http_1_0("");
    check_http_1_0("Connection: close\r\n");
}

/// Where the end of the connection is the end of the stream, nothing can be kept.
#[test]
fn http_1_0_gets_a_streams_end_although_it_offers_to_keep_the_connection() {
    check_http_1_0("Connection: keep-alive\r\n");
}

#[test]
fn connection_close_is_obeyed() {
    let proxy = Setup::echo().start();
    let close = &[JSON[0], ("Connection", "close")];
    for stream in [false, true] {
        let mut client = Client::connect(&proxy);
        client.send("POST", "/v1/messages", close, &message("hello", stream));
        if stream {
            client.begin();
            assert_eq!(client.finish(), "You said: hello");
        } else {
            let answer = client.answer();
            assert_eq!(answer.header("connection"), Some("close"));
            assert_eq!(answer.message(), "You said: hello");
        }
        client.wire.wait_closed();
    }
}

#[test]
fn a_connection_without_a_request_keeps_nobody_from_being_answered() {
    let proxy = Setup::echo().start();
    let mut idle: Vec<Client> = (0..100).map(|_| Client::connect(&proxy)).collect();
    for client in &mut idle {
        client.wire.send(b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Le");
    }
    assert_eq!(proxy.get("/health").status, 200);
    assert_eq!(Client::fetch_message(&proxy, "hello").message(), "You said: hello");
}

#[test]
fn bytes_that_are_not_http_harm_nobody_else() {
    let proxy = Setup::echo().start();
    for bytes in [
        "\x16\x03\x01\x02\0\x01\0\x01\u{1}",
        "GET\r\n\r\n",
        "\0\0\0\0\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut client = Client::connect(&proxy);
        client.wire.send(bytes.as_bytes());
        drop(client);
        assert_eq!(proxy.get("/health").status, 200, "after {bytes:?}");
    }
}

#[test]
fn many_at_once_are_all_answered() {
    let proxy = Setup::echo().start();
    thread::scope(|scope| {
        for number in 0..64 {
            let proxy = &proxy;
            scope.spawn(move || {
                let mut client = Client::connect(proxy);
                let text = format!("number {number}");
                client.send_stream(&text);
                client.begin();
                assert_eq!(client.finish(), format!("You said: {text}"));
                client.send_whole(&text);
                assert_eq!(client.answer().message(), format!("You said: {text}"));
            });
        }
    });
}
