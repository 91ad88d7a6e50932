//! Providers that answer before they have read the request, that are slow to say what is wrong, and
//! connections that die without a word.

use std::fs;
use std::net::TcpListener;
use std::time::Duration;

use crate::support::client::Client;
use crate::support::exchange::{begin_whole, start};
use crate::support::proxy::{Proxy, Setup};
use crate::support::upstream::{Connection, Upstream};

const TOO_LARGE: &str = r#"{"error":{"message":"the limit is 100 KB"}}"#;

/// A client that has sent a message of `length` bytes, and the provider's connection with nothing but
/// the request's head read.
fn begin_large(upstream: &Upstream, proxy: &Proxy, length: usize) -> (Client, Connection) {
    let mut client = Client::connect(proxy);
    client.send_whole(&"a ".repeat(length / 2));
    let mut connection = upstream.accept();
    connection.wire.head();
    (client, connection)
}

#[test]
fn an_answer_that_comes_while_the_request_is_sent_is_told() {
    let (upstream, proxy) = start();
    for length in [300_000, 8_000_000] {
        for closes in [true, false] {
            let (mut client, mut connection) = begin_large(&upstream, &proxy, length);
            connection.answer("413 Content Too Large", &[], TOO_LARGE);
            // With what was not read, closing is a reset.
            let held = (!closes).then_some(connection);
            let told = client.answer().error(413, "request_too_large");
            assert_eq!(told, "custom: the limit is 100 KB", "{length}, closed: {closes}");
            drop(held);
        }
    }
}

#[test]
fn an_interim_answer_ends_neither_the_request_nor_the_answer() {
    let (upstream, proxy) = start();
    const INTERIM: [&str; 3] = [
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 102 Processing\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nlink: </x>; rel=preload\r\n\r\n",
    ];
    for length in [10, 8_000_000] {
        let mut client = Client::connect(&proxy);
        client.send_whole(&"a ".repeat(length / 2));
        let mut connection = upstream.accept();
        let head = connection.wire.head();
        for interim in INTERIM {
            connection.wire.send(interim.as_bytes());
        }
        let body = connection.wire.body(&head).expect("a POST has a body");
        assert!(body.len() > length, "all of it comes");
        connection.complete("answered");
        assert_eq!(client.answer().message(), "answered", "{length}");
    }
}

#[test]
fn a_provider_that_hangs_up_while_the_request_is_sent_is_named_so() {
    let (upstream, proxy) = start();
    let (mut client, connection) = begin_large(&upstream, &proxy, 8_000_000);
    drop(connection);
    let told = client.answer().error(502, "api_error");
    assert!(told.contains("hung up while the request was being sent"), "{told}");
}

#[test]
fn the_connection_of_a_second_try_is_kept() {
    let (upstream, proxy) = start();
    let mut client = Client::connect(&proxy);
    client.send_whole("one");
    let mut first = upstream.accept();
    first.request();
    first.complete("one");
    assert_eq!(client.answer().message(), "one");
    client.send_whole("two");
    first.request();
    drop(first);
    let mut second = upstream.accept();
    second.request();
    second.complete("two");
    assert_eq!(client.answer().message(), "two");
    client.send_whole("three");
    second.request();
    second.complete("three");
    assert_eq!(client.answer().message(), "three");
    upstream.assert_nobody_waits();
}

#[test]
fn of_a_long_error_the_beginning_is_told() {
    let (upstream, proxy) = start();
    let input = "x".repeat(200_000);
    for (body, wanted) in [
        (
            format!(r#"{{"error":{{"message":"temperature is out of range","input":"{input}"}}}}"#),
            "custom: temperature is out of range",
        ),
        (
            format!(r#"{{"detail":[{{"loc":["body"],"msg":"it is wrong","input":"{input}"}}]}}"#),
            "custom: body: it is wrong",
        ),
        (format!("it is wrong <i>{input}</i>"), "custom: it is wrong xxxx"),
    ] {
        let (mut client, mut connection) = begin_whole(&upstream, &proxy);
        // What is too long is not read to its end, so the provider may have to stop.
        let head = format!("HTTP/1.1 400 Bad Request\r\nContent-Length: {}\r\n\r\n", body.len());
        connection.wire.send(head.as_bytes());
        connection.wire.try_send(body.as_bytes(), Duration::from_millis(200));
        let told = client.answer().error(400, "invalid_request_error");
        assert!(told.starts_with(wanted), "{told}");
    }
}

#[test]
fn the_text_of_an_error_is_not_waited_for_for_long() {
    let (upstream, proxy) = start();
    let (mut client, mut connection) = begin_whole(&upstream, &proxy);
    connection.wire.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 1000\r\n\r\nit is wrong");
    let told = client.answer().error(400, "invalid_request_error");
    assert_eq!(told, "custom: it is wrong");
    connection.wire.wait_closed();
}

#[test]
fn silence_in_the_handshake_ends_with_the_time_for_connecting_and_its_name() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("it is bound").port();
    let proxy = Setup::at(&format!("https://127.0.0.1:{port}/v1"))
        .variable("CCPROXY_CONNECT_TIMEOUT", "2")
        .start();
    let mut client = Client::connect(&proxy);
    // Until the request is on its way a stream can still be refused.
    client.send_stream("hello");
    let silent = listener.accept().expect("a connection comes");
    let told = client.answer().error(502, "api_error");
    assert!(told.contains("TLS"), "{told}");
    drop(silent);
}

#[test]
fn the_kernel_looks_after_a_connection_that_is_silent() {
    let (upstream, proxy) = start();
    let (mut client, mut connection) = begin_whole(&upstream, &proxy);
    // `tr` is the timer, and 2 the one of keepalive: proc(5).
    let port = format!(":{:04X}", upstream.address().port());
    let table = fs::read_to_string("/proc/net/tcp").expect("Linux has it");
    let connections = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let timers: Vec<_> = connections
        .filter(|fields| fields[2].ends_with(&port) && fields[3] == "01")
        .map(|fields| fields[5].split(':').next().expect("a first piece").to_owned())
        .collect();
    assert_eq!(timers, ["02"]);
    connection.complete("answered");
    assert_eq!(client.answer().message(), "answered");
}

#[test]
fn what_is_no_http_is_an_error_and_the_next_message_is_answered() {
    let (upstream, proxy) = start();
    let (mut client, mut connection) = begin_whole(&upstream, &proxy);
    connection.wire.send(b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n");
    client.answer().error(502, "api_error");
    client.send_whole("again");
    let mut connection = upstream.accept();
    connection.request();
    connection.complete("answered");
    assert_eq!(client.answer().message(), "answered");
}
