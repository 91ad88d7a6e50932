//! The end of the server: who is still served, who is told, and with what it exits.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use libc::{SIGINT, SIGTERM};
use serde_json::json;

use crate::support::PATIENCE;
use crate::support::client::{Answer, Client};
use crate::support::proxy::{Proxy, Setup};
use crate::support::upstream::Upstream;

/// Asks on new connections until the answer is `status`.
fn wait_for(proxy: &Proxy, path: &str, status: u16) -> Answer {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = Client::fetch(proxy, "GET", path, &[], b"");
        if answer.status == status {
            return answer;
        }
        assert!(Instant::now() < deadline, "{path} is never {status}");
    }
}

fn assert_closes(answer: &Answer) {
    assert_eq!(answer.header("connection"), Some("close"), "{}", answer.head.start);
}

fn assert_draining(proxy: &Proxy) {
    let health = Client::fetch(proxy, "GET", "/health", &[], b"");
    assert_eq!((health.status, &health.json()["reason"]), (503, &json!("draining")));
    assert!(health.header("retry-after").is_some());
    assert_closes(&health);
    let status = Client::fetch(proxy, "GET", "/status", &[], b"");
    assert_eq!((status.status, &status.json()["status"]), (200, &json!("draining")));
    assert_closes(&status);
}

#[test]
fn sigterm_lets_ten_streams_end_and_takes_messages_for_a_while() {
    let upstream = Upstream::start();
    let mut proxy = Setup::asking(&upstream)
        .variable("CCPROXY_DRAIN_DELAY", "4")
        .variable("CCPROXY_SHUTDOWN_TIMEOUT", "60")
        .start();
    let mut streams = Client::many_in_flight(&proxy, &upstream, 10);
    let mut kept = Client::connect(&proxy);
    assert_eq!(kept.ask("GET", "/health", &[], b"").header("connection"), None);
    proxy.signal(SIGTERM);

    wait_for(&proxy, "/health", 503);
    assert_draining(&proxy);
    // What was open before is served, and told.
    let told = kept.ask("GET", "/health", &[], b"");
    assert_eq!(told.status, 503);
    assert_closes(&told);
    kept.wire.wait_closed();
    // For the time of the delay balancers still send messages here.
    let mut late = Client::connect(&proxy);
    late.send_whole("late");
    let mut connection = upstream.accept();
    connection.request();
    connection.complete("served");
    let served = late.answer();
    assert_closes(&served);
    assert_eq!(served.message(), "served");
    late.wire.wait_closed();
    let models = Client::fetch(&proxy, "GET", "/v1/models", &[], b"");
    assert_eq!(models.status, 200);
    assert_closes(&models);

    assert_closes(&wait_for(&proxy, "/v1/models", 529));
    let refused = Client::fetch_message(&proxy, "too late");
    refused.error(529, "overloaded_error");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_closes(&refused);
    assert_draining(&proxy);
    for (client, connection) in &mut streams {
        connection.say(" and after");
        assert_eq!(client.text(), " and after");
    }
    assert_draining(&proxy);
    for (client, connection) in &mut streams {
        connection.finish();
        assert_eq!(client.finish(), "");
    }
    // The head of a stream was sent before, so only the end tells.
    for (client, _) in &mut streams {
        client.wire.wait_closed();
    }
    assert_eq!(proxy.exit(), Some(0));
    proxy.wait_for_line("stopped");
    assert!(!proxy.log().contains("cut off"), "{}", proxy.log());
}

#[test]
fn what_does_not_end_in_time_is_told_that_it_ends() {
    let upstream = Upstream::start();
    let mut proxy = Setup::asking(&upstream).variable("CCPROXY_SHUTDOWN_TIMEOUT", "1").start();
    let mut streams = Client::many_in_flight(&proxy, &upstream, 3);
    let mut waiting = Client::connect(&proxy);
    waiting.send_whole("hello");
    let mut asked = upstream.accept();
    asked.request();
    proxy.signal(SIGTERM);
    for (client, connection) in &mut streams {
        let (kind, told) = client.fail();
        assert_eq!(kind, "overloaded_error");
        assert!(told.contains("shutting down"), "{told}");
        client.wire.wait_closed();
        connection.wire.wait_closed();
    }
    let answer = waiting.answer();
    let told = answer.error(529, "overloaded_error");
    assert!(told.contains("shutting down"), "{told}");
    asked.wire.wait_closed();
    assert_eq!(proxy.exit(), Some(0));
    proxy.wait_for_line("4 answers cut off");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    for delay in ["0", "3600"] {
        let upstream = Upstream::start();
        let mut proxy = Setup::asking(&upstream)
            .variable("CCPROXY_DRAIN_DELAY", delay)
            .variable("CCPROXY_SHUTDOWN_TIMEOUT", "3600")
            .start();
        let _streams = Client::many_in_flight(&proxy, &upstream, 2);
        proxy.signal(SIGTERM);
        wait_for(&proxy, "/health", 503);
        proxy.signal(SIGINT);
        assert_eq!(proxy.exit(), Some(128 + SIGTERM), "with a delay of {delay} s");
    }
}

/// A probe that comes in the very moment is told; it is not cut.
#[test]
fn every_probe_is_answered_as_draining_begins() {
    for _ in 0..8 {
        let upstream = Upstream::start();
        let proxy = Setup::asking(&upstream).variable("CCPROXY_SHUTDOWN_TIMEOUT", "60").start();
        let _streams = Client::many_in_flight(&proxy, &upstream, 1);
        let probed = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut draining = 0;
                    while draining < 10 {
                        let answer = Client::fetch(&proxy, "GET", "/health", &[], b"");
                        draining += usize::from(answer.status == 503);
                        assert!(matches!(answer.status, 200 | 503), "{}", answer.head.start);
                        if probed.fetch_add(1, Ordering::Relaxed) == 50 {
                            proxy.signal(SIGTERM);
                        }
                    }
                });
            }
        });
    }
}
