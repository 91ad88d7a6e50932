//! Clients that leave, handlers that panic, and a provider that closes what it kept: nothing is left
//! behind, and nobody else notices.

use crate::support::client::{Client, JSON, message, request};
use crate::support::exchange::start;
use crate::support::prober::Prober;
use crate::support::proxy::Setup;
use crate::support::upstream::Upstream;

/// So few, that what each round leaves behind would stop the next ones.
const IN_FLIGHT: &str = "8";

#[test]
fn connections_that_are_reset_at_once() {
    let proxy = Setup::echo().variable("CCPROXY_MAX_IN_FLIGHT", IN_FLIGHT).start();
    assert_eq!(Client::fetch_message(&proxy, "hello").status, 200);
    let base = proxy.footprint();
    let mut prober = Prober::start(&proxy);
    let whole = request("POST", "/v1/messages", JSON, &message("hello", false));
    let stream = request("POST", "/v1/messages", JSON, &message("[[chunks:100]]", true));
    let said =
        [b"", &request("GET", "/health", &[], b"")[..], b"GET /", &whole, &stream, &whole[..99]];
    for number in 0..200 {
        let mut client = Client::connect(&proxy);
        client.wire.send(said[number % said.len()]);
        client.wire.reset();
    }
    // Workers and kept connections of that many messages may stay for a while.
    prober.wait_until("letting go of clients", || {
        let now = proxy.footprint();
        now.threads <= base.threads + 30 && now.descriptors <= base.descriptors + 50
    });
    prober.wait_until("answering", || Client::fetch_message(&proxy, "hello").status == 200);
    prober.finish("200 resets");
}

#[test]
fn clients_that_leave_in_the_middle_of_a_stream() {
    let upstream = Upstream::start();
    let proxy = Setup::asking(&upstream).variable("CCPROXY_MAX_IN_FLIGHT", IN_FLIGHT).start();
    let base = proxy.footprint();
    let mut prober = Prober::start(&proxy);
    for number in 0..200 {
        let (client, mut connection) = Client::in_flight(&proxy, &upstream);
        if number % 2 == 0 {
            drop(client);
        } else {
            client.wire.reset();
        }
        connection.wire.wait_closed();
    }
    prober.wait_until("letting go of clients", || {
        let now = proxy.footprint();
        now.threads <= base.threads + 30 && now.descriptors <= base.descriptors + 10
    });
    upstream.answer_all();
    assert_eq!(Client::fetch_message(&proxy, "hello").message(), "answered");
    prober.finish("200 streams whose clients leave");
}

/// Debug builds panic where they are told to by a header.
#[cfg(debug_assertions)]
#[test]
fn panics() {
    let upstream = Upstream::start();
    let proxy = Setup::asking(&upstream).variable("CCPROXY_MAX_IN_FLIGHT", IN_FLIGHT).start();
    let base = proxy.footprint();
    let mut prober = Prober::start(&proxy);
    let headers = &[JSON[0], ("X-Ccproxy-Test-Panic", "1")];
    for number in 0..100 {
        let body = message("hello", number % 2 == 0);
        let answer = Client::fetch(&proxy, "POST", "/v1/messages", headers, &body);
        answer.error(500, "api_error");
    }
    upstream.assert_nobody_waits();
    prober.wait_until("letting go of clients", || {
        let now = proxy.footprint();
        now.threads <= base.threads + 30 && now.descriptors <= base.descriptors + 40
    });
    upstream.answer_all();
    assert_eq!(Client::fetch_message(&proxy, "hello").message(), "answered");
    prober.finish("100 panics");
}

#[test]
fn a_provider_that_closes_kept_connections_as_they_are_used() {
    let (upstream, proxy) = start();
    upstream.answer_once_per_connection();
    let prober = Prober::start(&proxy);
    let mut client = Client::connect(&proxy);
    for number in 0..200 {
        if number % 2 == 0 {
            client.send_whole("hello");
            assert_eq!(client.answer().message(), "answered", "message {number}");
        } else {
            client.send_stream("hello");
            client.begin();
            assert_eq!(client.finish(), "answered", "message {number}");
        }
    }
    prober.finish("a provider that closes kept connections");
}
