//! What a page of an allowed origin can read: without `Access-Control-Allow-Origin` its browser tells
//! it of a network error and of nothing else.

use libc::SIGTERM;

use crate::support::client::{Client, JSON, message};
use crate::support::http::Head;
use crate::support::proxy::{Proxy, Setup};
use crate::support::upstream::Upstream;

const PAGE: (&str, &str) = ("Origin", "https://app.example");

fn check_readable(head: &Head) {
    assert_eq!(head.header("access-control-allow-origin"), Some(PAGE.1));
    let exposed = head.header("access-control-expose-headers").unwrap_or_default();
    assert!(exposed.starts_with("request-id, "), "{exposed}");
}

/// The status of a message, whose answer the page can read.
fn ask(proxy: &Proxy) -> u16 {
    let body = message("hello", false);
    let answer = Client::fetch(proxy, "POST", "/v1/messages", &[JSON[0], PAGE], &body);
    check_readable(&answer.head);
    answer.status
}

#[test]
fn a_page_can_read_what_becomes_of_its_message() {
    let upstream = Upstream::start();
    let mut proxy = Setup::asking(&upstream)
        .variable("CORS_ALLOWED_ORIGINS", PAGE.1)
        .variable("CCPROXY_MAX_IN_FLIGHT", "1")
        .start();
    let mut client = Client::connect(&proxy);
    client.send("POST", "/v1/messages", &[JSON[0], PAGE], &message("hello", true));
    let mut connection = upstream.accept();
    connection.request();
    connection.begin_events();
    connection.say("before");
    check_readable(&client.begin());
    assert_eq!(ask(&proxy), 529, "there is no place");
    proxy.signal(SIGTERM);
    proxy.wait_until("draining", |answer| answer.status == 503);
    assert_eq!(ask(&proxy), 529, "it ends");
    let health = Client::fetch(&proxy, "GET", "/health", &[PAGE], b"");
    check_readable(&health.head);
    assert_eq!(health.status, 503);
    connection.finish();
    assert_eq!(client.finish(), "before");
    assert_eq!(proxy.exit(), Some(0));
}

#[test]
fn a_page_can_read_that_the_provider_is_left_alone() {
    // Nothing listens there; after a while that is known.
    let proxy = Setup::at("http://127.0.0.1:1/v1").variable("CORS_ALLOWED_ORIGINS", "*").start();
    let statuses: Vec<u16> = (0..6).map(|_| ask(&proxy)).collect();
    assert_eq!(statuses.last(), Some(&503), "{statuses:?}");
}
