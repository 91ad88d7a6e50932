//! Connections on both sides: which are used again, and what becomes of a message whose client leaves.

use crate::support::client::{Client, JSON};
use crate::support::exchange::{End, begin_stream, begin_whole, start};
use crate::support::proxy::Setup;
use crate::support::upstream::Upstream;

// Connections to the provider.

#[test]
fn a_kept_connection_is_used_again() {
    let (upstream, proxy) = start();
    let (mut client, mut connection) = begin_whole(&upstream, &proxy);
    connection.complete("first");
    assert_eq!(client.answer().message(), "first");
    client.send_whole("again");
    connection.request();
    connection.complete("second");
    assert_eq!(client.answer().message(), "second");
    upstream.assert_nobody_waits();
}

#[test]
fn a_kept_connection_that_is_closed_as_the_request_arrives_is_replaced_once() {
    for end in [End::Close, End::Reset] {
        for stream in [false, true] {
            let (upstream, proxy) = start();
            let (mut client, mut connection) = begin_whole(&upstream, &proxy);
            connection.complete("first");
            assert_eq!(client.answer().message(), "first");
            if stream {
                client.send_stream("again");
            } else {
                client.send_whole("again");
            }
            let first = connection.request();
            end.of(connection);
            let mut fresh = upstream.accept();
            assert_eq!(fresh.request().body, first.body);
            fresh.complete("second");
            if stream {
                client.begin();
                assert_eq!(client.finish(), "second");
            } else {
                assert_eq!(client.answer().message(), "second");
            }
            upstream.assert_nobody_waits();
        }
    }
}

#[test]
fn a_kept_connection_that_is_closed_earlier_is_not_used() {
    let (upstream, proxy) = start();
    let (mut client, mut connection) = begin_whole(&upstream, &proxy);
    connection.complete("first");
    assert_eq!(client.answer().message(), "first");
    connection.wire.close();
    client.send_whole("again");
    let mut fresh = upstream.accept();
    fresh.request();
    fresh.complete("second");
    assert_eq!(client.answer().message(), "second");
}

#[test]
fn the_replacement_is_not_replaced() {
    let (upstream, proxy) = start();
    let (mut client, mut connection) = begin_whole(&upstream, &proxy);
    connection.complete("first");
    assert_eq!(client.answer().message(), "first");
    client.send_whole("again");
    connection.request();
    connection.wire.close();
    let mut fresh = upstream.accept();
    fresh.request();
    fresh.wire.close();
    let answer = client.answer();
    assert!(matches!(answer.status, 502 | 504), "{} {}", answer.status, answer.text());
    upstream.assert_nobody_waits();
}

#[test]
fn an_answer_that_had_begun_is_not_asked_for_again() {
    let (upstream, proxy) = start();
    let (mut client, mut connection) = begin_whole(&upstream, &proxy);
    connection.complete("first");
    assert_eq!(client.answer().message(), "first");
    client.send_whole("again");
    connection.request();
    connection.wire.send(b"HTTP/1.1 200 OK\r\nContent-Ty");
    connection.wire.close();
    let answer = client.answer();
    assert!(matches!(answer.status, 502 | 504), "{} {}", answer.status, answer.text());
    upstream.assert_nobody_waits();
}

#[test]
fn a_refusal_keeps_the_connection() {
    let (upstream, proxy) = start();
    let (mut client, mut connection) = begin_whole(&upstream, &proxy);
    connection.answer("429 Too Many Requests", &[], r#"{"error":{"message":"slow down"}}"#);
    client.answer().error(429, "rate_limit_error");
    client.send_whole("again");
    connection.request();
    connection.complete("second");
    assert_eq!(client.answer().message(), "second");
}

// A client that leaves.

#[test]
fn a_client_that_leaves_before_the_first_byte_ends_the_call() {
    let (upstream, proxy) = start();
    let (client, mut connection) = begin_stream(&upstream, &proxy);
    drop(client);
    connection.wire.wait_closed();
    proxy.wait_for_line("the client left");
}

/// Checks that the call ends with a client that goes away in this manner in mid-stream.
fn check_leaving(leave: impl FnOnce(Client)) {
    let (upstream, proxy) = start();
    let (mut client, mut connection) = begin_stream(&upstream, &proxy);
    connection.begin_events();
    connection.say("hello");
    client.begin();
    assert_eq!(client.text(), "hello");
    leave(client);
    connection.wire.wait_closed();
    proxy.wait_for_line("the client left");
}

#[test]
fn a_client_that_leaves_mid_stream_ends_the_call() {
    check_leaving(drop);
}

#[test]
fn a_client_that_resets_mid_stream_ends_the_call() {
    check_leaving(|client| client.wire.reset());
}

#[test]
fn a_client_that_leaves_a_whole_answer_ends_the_call() {
    let (upstream, proxy) = start();
    let (client, mut connection) = begin_whole(&upstream, &proxy);
    drop(client);
    connection.wire.wait_closed();
    proxy.wait_for_line("the client left");
    let (client, mut connection) = begin_whole(&upstream, &proxy);
    connection.wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{");
    drop(client);
    connection.wire.wait_closed();
}

#[test]
fn a_client_that_reads_slowly_slows_the_provider() {
    let (upstream, proxy) = start();
    let (mut client, mut connection) = begin_stream(&upstream, &proxy);
    connection.begin_events();
    let piece = "x".repeat(60_000);
    let before = proxy.memory_kib();
    let mut sent = String::new();
    while connection.try_say(&piece) {
        sent.push_str(&piece);
        assert!(sent.len() < 64 << 20, "the provider is never held back");
    }
    let grown = proxy.memory_kib().saturating_sub(before);
    assert!(grown < 6 << 10, "memory has grown by {grown} KiB");
    client.begin();
    let received = std::thread::scope(|scope| {
        let reader = scope.spawn(|| client.finish());
        connection.finish_say();
        connection.finish();
        reader.join().expect("the stream is read")
    });
    assert_eq!(received.len(), sent.len() + piece.len());
}

#[test]
fn a_client_that_leaves_without_reading_ends_the_call() {
    let (upstream, proxy) = start();
    let (client, mut connection) = begin_stream(&upstream, &proxy);
    connection.begin_events();
    let piece = "x".repeat(60_000);
    while connection.try_say(&piece) {}
    drop(client);
    connection.wire.wait_closed();
    proxy.wait_for_line("the client left");
}

/// Its place is free again, so a client that comes later is answered.
#[test]
fn a_client_that_leaves_frees_its_place() {
    let upstream = Upstream::start();
    let proxy = Setup::asking(&upstream).variable("CCPROXY_MAX_IN_FLIGHT", "1").start();
    let (client, mut connection) = begin_stream(&upstream, &proxy);
    Client::fetch_message(&proxy, "too many").error(529, "overloaded_error");
    drop(client);
    connection.wire.wait_closed();
    proxy.wait_until("freeing the place", |_| {
        let answer = Client::fetch(&proxy, "POST", "/v1/messages", JSON, b"{}");
        answer.status == 400
    });
}
