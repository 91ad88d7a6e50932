//! What a bug, many requests and clients that leave early cost: nothing that stays.

use crate::support::client::{Client, JSON, message};
use crate::support::exchange::start;
use crate::support::proxy::Setup;

/// Debug builds panic where they are told to by a header.
#[cfg(debug_assertions)]
#[test]
fn a_panic_is_a_500_and_costs_nothing() {
    // So few threads that the last request is not answered if each panic costs one.
    let proxy = Setup::echo().variable("CCPROXY_MAX_IN_FLIGHT", "4").start();
    let headers = &[JSON[0], ("x-ccproxy-test-panic", "1")];
    let mut client = Client::connect(&proxy);
    for round in 0..100 {
        let stream = round % 2 == 0;
        let answer = client.ask("POST", "/v1/messages", headers, &message("a", stream));
        answer.error(500, "api_error");
    }
    client.send_whole("hello");
    assert_eq!(client.answer().message(), "You said: hello");
    assert_eq!(proxy.get("/health").status, 200);
    let threads = proxy.threads();
    assert!(threads < 40, "{threads} threads after 100 panics");
    proxy.wait_for_line("met a bug");
}

#[test]
fn a_thousand_requests_leave_nothing_behind() {
    let (upstream, proxy) = start();
    upstream.answer_all();
    let mut kept = Client::connect(&proxy);
    let mut round = |number: usize| {
        let mut fresh = None;
        let client = match number % 3 {
            0 => fresh.insert(Client::connect(&proxy)),
            _ => &mut kept,
        };
        match number % 4 {
            0 => assert_eq!(client.ask("GET", "/health", &[], b"").status, 200),
            1 | 2 => {
                client.send_stream("hello");
                client.begin();
                assert_eq!(client.finish(), "answered");
            }
            _ => {
                client.send_whole("hello");
                assert_eq!(client.answer().message(), "answered");
            }
        }
    };
    (0..50).for_each(&mut round);
    let (descriptors, memory) = (proxy.descriptors(), proxy.memory_kib());
    (50..1000).for_each(&mut round);
    // On a busy machine an answer's thread may end after the next request has come, which then gets
    // a thread and a connection to the provider of its own. What grows with each request is more.
    proxy.wait_until("closing descriptors", |_| proxy.descriptors() < descriptors + 100);
    let threads = proxy.threads();
    assert!(threads < 200, "{threads} threads");
    let grown = proxy.memory_kib().saturating_sub(memory);
    assert!(grown < 6 << 10, "memory has grown by {grown} KiB from {memory}");
}

#[test]
fn clients_that_leave_early_leave_nothing_behind() {
    let proxy = Setup::echo().start();
    assert_eq!(Client::fetch_message(&proxy, "hello").status, 200);
    let descriptors = proxy.descriptors();
    for number in 0..100 {
        let mut client = Client::connect(&proxy);
        if number % 2 == 0 {
            client.send_stream("[[chunks:100000]][[delay:1]]");
            client.begin();
            client.text();
        } else {
            client.wire.send(b"POST /v1/messages HTTP/1.1\r\nContent-Length: 10\r\n\r\n{");
        }
    }
    proxy.wait_until("closing descriptors", |_| proxy.descriptors() <= descriptors + 8);
    assert_eq!(Client::fetch_message(&proxy, "hello").message(), "You said: hello");
}
