//! Clients that ask again as soon as they are answered: their workers stay with them and read the
//! next request themselves, and whatever comes is answered as the loop would answer it.

use libc::SIGTERM;

use crate::support::client::{Client, JSON, message, request};
use crate::support::exchange::start;
use crate::support::proxy::{Proxy, Setup};
use crate::support::upstream::{Connection, Upstream};

/// A client that has just been answered more often than it takes for a worker to stay.
fn regular(proxy: &Proxy) -> Client {
    let mut client = Client::connect(proxy);
    for _ in 0..3 {
        client.send_whole("hello");
        assert_eq!(client.answer().message(), "You said: hello");
    }
    client
}

/// The same, and the connection to the provider on which it was.
fn regular_at(upstream: &Upstream, proxy: &Proxy) -> (Client, Connection) {
    let mut client = Client::connect(proxy);
    client.send_whole("hello");
    let mut connection = upstream.accept();
    for _ in 0..3 {
        connection.request();
        connection.complete("answered");
        assert_eq!(client.answer().message(), "answered");
        client.send_whole("hello");
    }
    connection.request();
    connection.complete("answered");
    assert_eq!(client.answer().message(), "answered");
    (client, connection)
}

/// A message, as it goes over the wire.
fn post(text: &str) -> Vec<u8> {
    request("POST", "/v1/messages", JSON, &message(text, false))
}

#[test]
fn whatever_follows_an_answer_is_answered() {
    let proxy = Setup::echo().start();
    let mut client = regular(&proxy);
    let long = "x".repeat(300_000);
    let health = request("GET", "/health", &[], b"");
    let wrong = request("POST", "/v1/messages", &[("content-type", "text/plain")], b"{}");
    let body = String::from_utf8(message("in chunks", false)).unwrap();
    let (chunks, expects) = (
        format!(
            "POST /v1/messages HTTP/1.1\r\nContent-Type: application/json\r\n\
             Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
            body.len()
        ),
        format!(
            "POST /v1/messages HTTP/1.1\r\nContent-Type: application/json\r\n\
             Expect: 100-continue\r\nContent-Length: {}\r\n\r\n",
            body.len()
        ),
    );
    for round in 0..10 {
        let mut say = |bytes: &[u8], answers: &[&str]| {
            for answer in answers {
                client.send_whole(answer);
                assert_eq!(client.answer().message(), format!("You said: {answer}"));
            }
            client.wire.send(bytes);
            client.answer()
        };
        let before = ["a", "b"];
        assert_eq!(say(&post("hello"), &before).message(), "You said: hello", "{round}");
        assert_eq!(say(&health, &before).status, 200, "{round}");
        assert_eq!(say(&wrong, &before).status, 415, "{round}");
        assert_eq!(say(chunks.as_bytes(), &before).message(), "You said: in chunks", "{round}");
        let told = say(&post(&long), &before).message();
        assert_eq!(told.len(), "You said: ".len() + long.len(), "{round}");
        // Several at once.
        let all = [post("one"), health.clone(), post("two"), post("three")].concat();
        assert_eq!(say(&all, &before).message(), "You said: one", "{round}");
        assert_eq!(client.answer().status, 200, "{round}");
        assert_eq!(client.answer().message(), "You said: two", "{round}");
        assert_eq!(client.answer().message(), "You said: three", "{round}");
        // One of which the rest comes when its beginning has been answered.
        client.wire.send(expects.as_bytes());
        assert_eq!(client.answer_without_body().status, 100, "{round}");
        client.wire.send(body.as_bytes());
        assert_eq!(client.answer().message(), "You said: in chunks", "{round}");
    }
    client.wire.send(b"GET /health HTTP/1.1\nHost: a\n\n");
    assert_eq!(client.answer().status, 400);
    client.wire.wait_closed();
}

/// The head or the body comes in two, each cut anywhere.
#[test]
fn what_comes_in_pieces_is_answered() {
    let proxy = Setup::echo().start();
    let mut client = regular(&proxy);
    let whole = post("in pieces");
    for cut in 1..whole.len() {
        client.wire.send(&whole[..cut]);
        client.wire.send(&whole[cut..]);
        assert_eq!(client.answer().message(), "You said: in pieces", "{cut}");
    }
}

#[test]
fn a_regular_client_that_leaves_ends_its_message() {
    let (upstream, proxy) = start();
    for round in 0..20 {
        let (mut client, mut connection) = regular_at(&upstream, &proxy);
        client.send_whole("hello");
        connection.request();
        match round % 2 {
            0 => client.wire.close(),
            _ => client.wire.reset(),
        }
        connection.wire.wait_closed();
    }
    proxy.wait_for_lines("the client left", 20);
}

/// Whether its request was read by then or not.
#[test]
fn a_regular_client_that_leaves_behind_its_request_ends_it() {
    let (upstream, proxy) = start();
    upstream.answer_all();
    for _ in 0..20 {
        let mut client = Client::connect(&proxy);
        for _ in 0..3 {
            client.send_whole("hello");
            assert_eq!(client.answer().message(), "answered");
        }
        client.send_whole("hello");
        client.wire.close();
    }
    proxy.wait_until("letting go of clients", |_| proxy.status()["in_flight"] == 0);
    assert_eq!(Client::fetch_message(&proxy, "hello").message(), "answered");
}

/// Its connection is the loop's again, which knows how long it may be idle.
#[test]
fn a_regular_client_that_falls_silent_is_idle() {
    let proxy = Setup::echo().variable("CCPROXY_KEEPALIVE_TIMEOUT", "1").start();
    regular(&proxy).wire.wait_closed();
}

#[test]
fn the_server_ends_with_regular_clients() {
    let mut proxy = Setup::echo().start();
    let clients: Vec<Client> = (0..8).map(|_| regular(&proxy)).collect();
    proxy.signal(SIGTERM);
    assert_eq!(proxy.exit(), Some(0));
    drop(clients);
}

/// A message that is being answered is answered to its end, and the client told that it was the
/// last.
#[test]
fn a_regular_client_is_told_of_the_end() {
    let (upstream, mut proxy) = start();
    let (mut client, mut connection) = regular_at(&upstream, &proxy);
    client.send_whole("hello");
    connection.request();
    proxy.signal(SIGTERM);
    proxy.wait_for_line("shutting down");
    connection.complete("the last");
    let answer = client.answer();
    assert_eq!(answer.message(), "the last");
    client.wire.wait_closed();
    assert_eq!(proxy.exit(), Some(0));
}
