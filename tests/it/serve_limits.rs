//! Limits of providers that pass: how long the client is told that they last, and messages that
//! wait for it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::PATIENCE;
use crate::support::client::{Client, JSON, message};
use crate::support::proxy::Setup;
use crate::support::upstream::{Connection, Upstream};

const LIMITED: &str = "429 Too Many Requests";

/// A refusal in the words of Groq.
fn refuse(connection: &mut Connection, wait: &str) {
    let said = format!("Rate limit reached. Please try again in {wait}. Visit the console.");
    connection.answer(LIMITED, &[], &json!({ "error": { "message": said } }).to_string());
}

/// The `retry-after` that the client gets for this refusal.
fn told(headers: &[(&str, &str)], body: &str) -> Option<String> {
    let upstream = Upstream::start();
    let proxy = Setup::asking(&upstream).start();
    let mut client = Client::connect(&proxy);
    client.send_whole("hello");
    let mut connection = upstream.accept();
    connection.request();
    connection.answer(LIMITED, headers, body);
    let answer = client.answer();
    answer.error(429, "rate_limit_error");
    answer.header("retry-after").map(str::to_owned)
}

#[test]
fn a_limit_is_told_in_seconds_in_whichever_way_it_was_said() {
    let retry_info = r#"[{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":"Slow down",
        "details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"45.8s"}]}}]"#;
    for (headers, body, wanted) in [
        (&[("Retry-After", "7")][..], "{}", Some("7")),
        (&[("x-ratelimit-reset-requests", "6m0s")], "{}", Some("360")),
        (&[("X-RateLimit-Reset-Tokens", "120ms")], "{}", Some("1")),
        (&[], retry_info, Some("46")),
        (&[], r#"{"error":{"message":"Please try again in 7.66s."}}"#, Some("8")),
        (&[], r#"{"error":{"message":"Slow down."}}"#, None),
    ] {
        assert_eq!(told(headers, body).as_deref(), wanted, "{headers:?} {body}");
    }
}

#[test]
fn a_message_that_may_wait_is_asked_again_when_the_limit_has_passed() {
    let upstream = Upstream::start();
    let proxy = Setup::asking(&upstream).variable("CCPROXY_RATE_LIMIT_WAIT", "20").start();
    let mut client = Client::connect(&proxy);
    client.send_stream("hello");
    let mut connection = upstream.accept();
    connection.request();
    refuse(&mut connection, "1.2s");
    // It is told that it is not forgotten.
    client.begin();
    connection.request();
    connection.begin_events();
    connection.say("at last");
    connection.finish();
    assert_eq!(client.finish(), "at last");

    // A whole answer waits likewise, on the same connection, which is free by now.
    proxy.wait_for_line("  200  ");
    let mut client = Client::connect(&proxy);
    client.send_whole("hello");
    connection.request();
    refuse(&mut connection, "50ms");
    connection.request();
    connection.complete("again");
    assert_eq!(client.answer().message(), "again");
}

/// How a limit is told within an answer that began well, before anything was said.
type Inside = fn(&mut Connection, &str);

const INSIDE: [Inside; 3] = [
    // A body in the place of the answer.
    |connection, wait| connection.answer("200 OK", &[], &limit(wait).to_string()),
    // The same in a stream, and with nothing but a head to tell it.
    |connection, wait| {
        connection.begin_events();
        connection.event(&limit(wait).to_string());
        connection.wire.send(b"0\r\n\r\n");
    },
    |connection, wait| {
        let said = json!({ "error": { "message": "Slow down", "code": 429 } }).to_string();
        let seconds = if wait == "1.2s" { "2" } else { "120" };
        connection.answer("200 OK", &[("retry-after", seconds)], &said);
    },
];

/// Google's words for a limit.
fn limit(wait: &str) -> Value {
    let info = "type.googleapis.com/google.rpc.RetryInfo";
    json!({ "error": {
        "code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Slow down",
        "details": [{ "@type": info, "retryDelay": wait }],
    } })
}

#[test]
fn a_limit_inside_of_an_answer_waits_as_a_429_does() {
    for inside in INSIDE {
        for stream in [true, false] {
            let upstream = Upstream::start();
            let proxy = Setup::asking(&upstream).variable("CCPROXY_RATE_LIMIT_WAIT", "20").start();
            let mut client = Client::connect(&proxy);
            client.send("POST", "/v1/messages", JSON, &message("hello", stream));
            let began = Instant::now();
            let mut connection = upstream.accept();
            connection.request();
            inside(&mut connection, "1.2s");
            drop(connection);
            let mut connection = upstream.accept();
            connection.request();
            assert!(began.elapsed() >= Duration::from_millis(1200), "it was not waited for");
            connection.complete("at last");
            if stream {
                client.begin();
                assert_eq!(client.finish(), "at last");
            } else {
                assert_eq!(client.answer().message(), "at last");
            }
        }
    }
}

#[test]
fn a_limit_inside_of_an_answer_is_told_as_a_429_is() {
    for inside in INSIDE {
        for stream in [true, false] {
            let upstream = Upstream::start();
            let proxy = Setup::asking(&upstream).start();
            let mut client = Client::connect(&proxy);
            client.send("POST", "/v1/messages", JSON, &message("hello", stream));
            let mut connection = upstream.accept();
            connection.request();
            inside(&mut connection, "2m0s");
            let answer = client.answer();
            answer.error(429, "rate_limit_error");
            assert_eq!(answer.header("retry-after"), Some("120"), "{}", answer.text());
            // Its key rests.
            let resting = proxy.metric("ccproxy_provider_resting_keys{provider=\"custom\"}");
            assert_eq!(resting, Some(1.0));
        }
    }
}

#[test]
fn a_limit_that_lasts_longer_is_told_at_once() {
    let upstream = Upstream::start();
    let proxy = Setup::asking(&upstream).variable("CCPROXY_RATE_LIMIT_WAIT", "20").start();
    let mut client = Client::connect(&proxy);
    client.send_stream("hello");
    let mut connection = upstream.accept();
    connection.request();
    refuse(&mut connection, "2m0s");
    let answer = client.answer();
    answer.error(429, "rate_limit_error");
    assert_eq!(answer.header("retry-after"), Some("120"));
}

#[test]
fn another_provider_is_asked_before_anything_is_waited_for() {
    let (first, second) = (Upstream::start(), Upstream::start());
    let provider = |name: &str, url: String| json!({ "name": name, "type": "custom", "base_url": url, "model": "m" });
    let file = json!({ "providers": [provider("one", first.base_url()), provider("two", second.base_url())] });
    let proxy = Setup::file(file).variable("CCPROXY_RATE_LIMIT_WAIT", "60").start();
    let mut client = Client::connect(&proxy);
    client.send_whole("hello");
    let mut limited = first.accept();
    limited.request();
    refuse(&mut limited, "50s");
    let mut other = second.accept();
    other.request();
    other.complete("from the other");
    assert_eq!(client.answer().message(), "from the other");

    // With both limited, the first that is free again is waited for, and no longer.
    let mut client = Client::connect(&proxy);
    client.send_whole("hello");
    other.request();
    refuse(&mut other, "100ms");
    limited.request();
    refuse(&mut limited, "50s");
    other.request();
    other.complete("from the other again");
    assert_eq!(client.answer().message(), "from the other again");
}

#[test]
fn a_client_that_leaves_ends_the_wait() {
    let upstream = Upstream::start();
    let proxy = Setup::asking(&upstream).variable("CCPROXY_RATE_LIMIT_WAIT", "60").start();
    let mut client = Client::connect(&proxy);
    client.send_stream("the first");
    let mut connection = upstream.accept();
    connection.request();
    refuse(&mut connection, "55s");
    client.begin();
    client.wire.close();
    let deadline = Instant::now() + PATIENCE;
    while proxy.status()["in_flight"] != json!(0) {
        assert!(Instant::now() < deadline, "it is waited for a client that has left");
    }
    upstream.assert_nobody_waits();
}

#[test]
fn the_end_of_the_server_ends_the_wait() {
    const SIGTERM: i32 = 15;
    let upstream = Upstream::start();
    let mut proxy = Setup::asking(&upstream)
        .variable("CCPROXY_RATE_LIMIT_WAIT", "60")
        .variable("CCPROXY_SHUTDOWN_TIMEOUT", "50")
        .start();
    let mut client = Client::connect(&proxy);
    client.send_whole("hello");
    let mut connection = upstream.accept();
    connection.request();
    refuse(&mut connection, "55s");
    proxy.signal(SIGTERM);
    let answer = client.answer();
    answer.error(429, "rate_limit_error");
    assert_eq!(answer.header("retry-after"), Some("55"));
    assert_eq!(proxy.exit(), Some(0));
}

#[test]
fn a_wait_that_no_client_has_the_patience_for_is_refused() {
    let run = Setup::echo().variable("CCPROXY_RATE_LIMIT_WAIT", "61").run();
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("CCPROXY_RATE_LIMIT_WAIT: \"61\" is too long"), "{}", run.stderr);
}
