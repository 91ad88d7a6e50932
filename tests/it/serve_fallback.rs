//! Several providers: the next one is asked where one fails, before a byte of its answer.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::support::client::{Client, JSON, message};
use crate::support::proxy::{Proxy, Setup};
use crate::support::upstream::{ANSWER, Connection, Refusing, Upstream};

/// A proxy with these providers, in their order: name and address.
fn start(providers: &[(&str, &str)]) -> Proxy {
    let providers: Vec<Value> = providers
        .iter()
        .map(|(name, url)| {
            let model = format!("{name}-model");
            json!({ "name": name, "type": "custom", "base_url": url, "model": model, "api_key": "k" })
        })
        .collect();
    // So that what was left alone stays it until the test has looked.
    Setup::file(json!({ "providers": providers })).variable("CCPROXY_BREAKER_PAUSE", "600").start()
}

/// Asks for a message, has `answer` play the first provider and `then` the second, and returns what the
/// client gets.
fn fall_back(
    stream: bool,
    answer: impl FnOnce(&mut Connection),
    then: impl FnOnce(&mut Connection),
) -> (Proxy, Client) {
    let (first, second) = (Upstream::start(), Upstream::start());
    let proxy = start(&[("first", &first.base_url()), ("second", &second.base_url())]);
    let mut client = Client::connect(&proxy);
    client.send("POST", "/v1/messages", JSON, &message("hello", stream));
    let mut connection = first.accept();
    assert_eq!(connection.request().body["model"], "first-model");
    answer(&mut connection);
    let mut connection = second.accept();
    assert_eq!(connection.request().body["model"], "second-model");
    then(&mut connection);
    (proxy, client)
}

fn say(connection: &mut Connection) {
    connection.begin_events();
    connection.say("from the second");
    connection.finish();
}

#[test]
fn a_provider_that_fails_is_replaced_before_a_byte_of_its_answer() {
    const OVERLOADED: &str = r#"{"error":{"message":"busy","type":"overloaded"}}"#;
    type Fails = fn(&mut Connection);
    let failures: [(&str, Fails); 6] = [
        ("first 500", |c| c.answer("500 Internal Server Error", &[], "oops")),
        ("first 429", |c| c.answer("429 Too Many Requests", &[("Retry-After", "30")], "{}")),
        ("first 529", |c| c.answer("503 Service Unavailable", &[], OVERLOADED)),
        ("first 502", |c| c.wire.hang_up()),
        // Inside of a 200, before anything was said.
        ("first 429", |c| {
            c.begin_events();
            c.event(r#"{"error":{"code":429,"message":"Rate limit exceeded"}}"#);
        }),
        ("first 502", |c| {
            c.begin_events();
            c.event(r#"{"choices":[{"index":0,"delta":{"role":"assistant"}}]}"#);
            c.wire.hang_up();
        }),
    ];
    for (told, fails) in failures {
        let (proxy, mut client) = fall_back(true, fails, say);
        let head = client.begin();
        assert_eq!(head.header("x-ccproxy-fallback"), Some(told));
        assert_eq!(head.header("x-ccproxy-provider"), Some("second"));
        assert_eq!(head.header("x-ccproxy-model"), Some("second-model"));
        client.expect_start();
        assert_eq!(client.finish(), "from the second", "{told}");
        assert_eq!(proxy.metric("ccproxy_fallbacks_total{provider=\"first\"}"), Some(1.0));
        proxy.wait_for_line("first failed, second is asked");
        let whole = |c: &mut Connection| c.complete("from the second");
        let (_proxy, mut client) = fall_back(false, fails, whole);
        let answer = client.answer();
        assert_eq!(answer.message(), "from the second", "{told}");
        assert_eq!(answer.header("x-ccproxy-fallback"), Some(told));
    }
}

#[test]
fn a_stream_that_a_ping_has_begun_can_still_be_the_next_providers() {
    let (first, second) = (Upstream::start(), Upstream::start());
    let proxy = start(&[("first", &first.base_url()), ("second", &second.base_url())]);
    let mut client = Client::connect(&proxy);
    client.send_stream("hello");
    let mut connection = first.accept();
    connection.request();
    // The head goes out after a second of silence.
    client.begin();
    client.expect_start();
    connection.answer("500 Internal Server Error", &[], "oops");
    let mut connection = second.accept();
    connection.request();
    say(&mut connection);
    assert_eq!(client.finish(), "from the second");
}

#[test]
fn what_has_begun_ends_with_an_error_and_is_not_said_twice() {
    let (first, second) = (Upstream::start(), Upstream::start());
    let proxy = start(&[("first", &first.base_url()), ("second", &second.base_url())]);
    let mut client = Client::connect(&proxy);
    client.send_stream("hello");
    let mut connection = first.accept();
    connection.request();
    connection.begin_events();
    connection.say("half");
    client.begin();
    client.expect_start();
    client.expect("content_block_start");
    client.expect("content_block_delta");
    connection.wire.close();
    assert_eq!(client.fail().0, "api_error");
    second.assert_nobody_waits();
}

#[test]
fn what_the_client_has_to_change_goes_to_nobody_else() {
    let (first, second) = (Upstream::start(), Upstream::start());
    let proxy = start(&[("first", &first.base_url()), ("second", &second.base_url())]);
    let mut client = Client::connect(&proxy);
    client.send_whole("hello");
    let mut connection = first.accept();
    connection.request();
    connection.answer("400 Bad Request", &[], r#"{"error":{"message":"no such thing"}}"#);
    let told = client.answer().error(400, "invalid_request_error");
    assert_eq!(told, "first: no such thing");
    second.assert_nobody_waits();
}

#[test]
fn one_that_cannot_be_reached_is_left_out_for_a_while() {
    let (dead, second) = (Refusing::start(), Upstream::start());
    let proxy = start(&[("dead", &dead.base_url()), ("second", &second.base_url())]);
    second.answer_all();
    for number in 0..7 {
        let answer = Client::fetch_message(&proxy, "hello");
        assert_eq!(answer.message(), "answered");
        // After five failures it is the last resort.
        let told = answer.header("x-ccproxy-fallback");
        assert_eq!(told, (number < 5).then_some("dead 502"), "message {number}");
    }
    let shown = proxy.status();
    assert_eq!(shown["status"], "degraded");
    assert_eq!(shown["providers"][0]["circuit_open"], true);
    assert_eq!(shown["providers"][0]["fallbacks"], 5);
    assert_eq!(shown["providers"][1]["state"], "up");
    let failing = Client::fetch(&proxy, "GET", "/health?fail_on=provider", &[], b"");
    assert_eq!(failing.status, 200, "one that answers is enough");
}

#[test]
fn the_last_error_is_told_when_all_fail() {
    let (first, second) = (Upstream::start(), Upstream::start());
    let proxy = start(&[("first", &first.base_url()), ("second", &second.base_url())]);
    let mut client = Client::connect(&proxy);
    client.send_whole("hello");
    for (upstream, status) in
        [(&first, "500 Internal Server Error"), (&second, "429 Too Many Requests")]
    {
        let mut connection = upstream.accept();
        connection.request();
        connection.answer(status, &[("Retry-After", "7")], r#"{"error":"no more"}"#);
    }
    let answer = client.answer();
    assert_eq!(answer.error(429, "rate_limit_error"), "second: no more");
    assert_eq!(answer.header("retry-after"), Some("7"));
    assert_eq!(answer.header("x-ccproxy-fallback"), Some("first 500"));
}

#[test]
fn a_message_starts_once_whoever_answers_it() {
    let upstreams = [Upstream::start(), Upstream::start(), Upstream::start()];
    let provider = |name: &str, kind: &str, upstream: &Upstream| {
        json!({ "name": name, "type": kind, "api_key": "k", "model": "m",
            "base_url": upstream.base_url() })
    };
    let file = json!({ "providers": [
        provider("own", "anthropic", &upstreams[0]),
        provider("second", "custom", &upstreams[1]),
        provider("third", "custom", &upstreams[2]),
    ]});
    let proxy = Setup::file(file).start();
    let mut client = Client::connect(&proxy);
    client.send_stream("hello");
    let mut connection = upstreams[0].accept();
    connection.request_at("/v1/messages");
    connection.begin_events();
    connection.raw_event("ping", r#"{"type":"ping"}"#);
    // The stream has begun, with nothing but a ping.
    client.begin();
    client.expect("ping");
    connection.wire.hang_up();
    let mut connection = upstreams[1].accept();
    connection.request();
    // A whole answer that says something and fails nevertheless.
    let failed = ANSWER.replace("\"stop\"", "\"error\"");
    connection.answer("200 OK", &[], &failed);
    let mut connection = upstreams[2].accept();
    connection.request();
    say(&mut connection);
    let events = client.events();
    let names: Vec<&str> = events.iter().map(|event| &*event.name).collect();
    let starts = names.iter().filter(|name| **name == "message_start").count();
    assert_eq!((starts, names.last()), (1, Some(&"message_stop")), "{names:?}");
    assert!(events.iter().all(|event| event.data["delta"]["text"] != "answered"));
}

/// Streams messages until `left` is used up, and counts those that ended in each way: whole, with an
/// error in their middle, or without a word.
fn stream_all(proxy: &Proxy, left: &AtomicUsize, ends: &[AtomicUsize; 3]) {
    while left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok() {
        let mut client = Client::connect(proxy);
        client.send_stream("one two three [[chunks:6]] [[delay:3]]");
        client.begin();
        let names: Vec<String> = client.events().into_iter().map(|event| event.name).collect();
        let has_begun = names.iter().any(|name| name == "content_block_start");
        let end = match names.last().map(|name| &**name) {
            Some("message_stop") => 0,
            Some("error") if has_begun => 1,
            _ => 2,
        };
        ends[end].fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_provider_that_is_killed_costs_only_what_had_begun() {
    let (mut first, second) = (Setup::echo().start(), Setup::echo().start());
    let provider = |name: &str, at: &Proxy| {
        json!({ "name": name, "type": "anthropic", "api_key": "k",
            "base_url": format!("http://{}", at.address) })
    };
    let file = json!({ "providers": [provider("first", &first), provider("second", &second)] });
    let proxy = Setup::file(file).start();
    // One that is surely on its way, for minutes.
    let mut long = Client::connect(&proxy);
    long.send_stream(&format!("{} [[chunks:1000]] [[delay:200]]", "o".repeat(1000)));
    long.begin();
    while long.event().expect("it begins").name != "content_block_start" {}
    let (left, ends) = (AtomicUsize::new(300), [const { AtomicUsize::new(0) }; 3]);
    thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| stream_all(&proxy, &left, &ends));
        }
        // In mid-run: up to twelve more are on their way.
        while ends[0].load(Ordering::SeqCst) < 60 {
            thread::yield_now();
        }
        first.signal(libc::SIGKILL);
        first.exit();
    });
    let [whole, broken, unheard] = ends.map(AtomicUsize::into_inner);
    assert_eq!(unheard, 0, "messages that had not begun were answered by the second provider");
    assert_eq!(whole + broken, 300);
    assert!(broken <= 12, "{broken} streams were on their way");
    assert_eq!(long.fail().0, "api_error");
    assert!(proxy.metric("ccproxy_fallbacks_total{provider=\"first\"}").is_some_and(|n| n >= 1.0));
}
