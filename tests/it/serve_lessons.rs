//! What a refusal teaches: the request is repaired once, and what was learned stays known.

use serde_json::{Value, json};

use crate::support::client::{Answer, Client, JSON};
use crate::support::exchange::{begin_stream, start};
use crate::support::proxy::{Proxy, Setup};
use crate::support::upstream::{ANSWER, Upstream};

/// Asks for `body`, has the provider refuse it with `refusal`, and returns the second request and the
/// answer to it.
fn refused(upstream: &Upstream, proxy: &Proxy, body: &Value, refusal: &str) -> (Value, Answer) {
    let mut client = Client::connect(proxy);
    client.send("POST", "/v1/messages", JSON, body.to_string().as_bytes());
    let mut connection = upstream.accept();
    connection.request();
    connection.answer("400 Bad Request", &[("Connection", "close")], refusal);
    let mut connection = upstream.accept();
    let second = connection.request().body;
    connection.answer("200 OK", &[("Connection", "close")], ANSWER);
    (second, client.answer())
}

#[test]
fn a_refusal_that_names_a_field_is_repaired_once_and_remembered() {
    let (upstream, proxy) = start();
    let body = json!({ "model": "claude-opus-5-5", "max_tokens": 32000, "temperature": 0.5,
        "messages": [{ "role": "user", "content": "hello" }] });
    let too_many = "max_tokens is too large: 32000. This model supports at most 16384 completion \
                    tokens, whereas you provided 32000.";
    let refusal = json!({ "error": { "message": too_many, "param": "max_tokens" } }).to_string();
    let (second, answer) = refused(&upstream, &proxy, &body, &refusal);
    assert_eq!(second["max_tokens"], 16384);
    assert_eq!(answer.message(), "answered");
    let adjusted = answer.header("x-ccproxy-adjusted");
    assert_eq!(adjusted, Some("max_tokens=16384, learned: max_tokens <= 16384"));
    proxy.wait_for_line("is sent once more");
    assert_eq!(proxy.log().matches("is sent once more").count(), 1);

    let refusal = r#"{"error":{"message":"Unsupported parameter: 'temperature'"}}"#;
    let (second, answer) = refused(&upstream, &proxy, &body, refusal);
    assert_eq!((&second["max_tokens"], &second["temperature"]), (&json!(16384), &Value::Null));
    assert_eq!(answer.header("x-ccproxy-dropped"), Some("temperature"));

    // Both are known by now, so nothing is refused any more.
    let mut client = Client::connect(&proxy);
    client.send("POST", "/v1/messages", JSON, body.to_string().as_bytes());
    let mut connection = upstream.accept();
    assert_eq!(connection.request().body.get("temperature"), None);
    connection.complete("answered");
    assert_eq!(client.answer().header("x-ccproxy-adjusted"), Some("max_tokens=16384"));
    assert_eq!(
        proxy.status()["learned"],
        json!([{ "provider": "custom", "model": "test-model",
            "lessons": ["max_tokens <= 16384", "without temperature"] }])
    );
    assert_eq!(proxy.metric("ccproxy_adjusted_requests_total{provider=\"custom\"}"), Some(2.0));
}

/// The provider's connection is still open then, and the client may ask again at once.
#[test]
fn what_was_learned_is_known_when_the_message_ends() {
    let (upstream, proxy) = start();
    let (mut client, mut connection) = begin_stream(&upstream, &proxy);
    let refusal = r#"{"error":{"message":"Unsupported parameter: 'stream_options'"}}"#;
    connection.answer("400 Bad Request", &[("Connection", "close")], refusal);
    let mut first = upstream.accept();
    assert_eq!(first.request().body.get("stream_options"), None);
    first.begin_events();
    first.say("hello");
    first.event(r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#);
    first.event("[DONE]");
    client.begin();
    assert_eq!(client.finish(), "hello");
    let mut client = Client::connect(&proxy);
    client.send_stream("again");
    assert_eq!(upstream.accept().request().body.get("stream_options"), None);
}

#[test]
fn a_stop_sequence_that_is_not_sent_ends_the_message_and_the_providers_call() {
    let upstream = Upstream::start();
    let proxy = Setup::of("xai", "grok-4.5", &upstream).start();
    for stream in [true, false] {
        let mut client = Client::connect(&proxy);
        let body = json!({ "model": "claude-opus-5-5", "max_tokens": 9, "stream": stream,
            "stop_sequences": ["<END>"], "messages": [{ "role": "user", "content": "hello" }] });
        client.send("POST", "/v1/messages", JSON, body.to_string().as_bytes());
        let mut connection = upstream.accept();
        assert_eq!(connection.request().body.get("stop"), None);
        connection.begin_events();
        connection.say("one <E");
        connection.say("ND> two");
        // The provider's answer goes on, and nobody reads it.
        let (dropped, text, end) = if stream {
            let head = client.begin();
            client.expect_start();
            client.expect("content_block_start");
            let text = client.text();
            client.expect("content_block_stop");
            let end = client.expect("message_delta")["delta"].take();
            client.expect("message_stop");
            (head.header("x-ccproxy-dropped").map(str::to_owned), text, end)
        } else {
            let answer = client.answer();
            let dropped = answer.header("x-ccproxy-dropped").map(str::to_owned);
            (dropped, answer.message(), answer.json())
        };
        assert_eq!((dropped, &*text), (None, "one "));
        assert_eq!(end["stop_reason"], "stop_sequence");
        assert_eq!(end["stop_sequence"], "<END>");
        connection.wire.wait_closed();
    }
}

#[test]
fn stop_sequences_that_are_refused_end_the_message_all_the_same() {
    let (upstream, proxy) = start();
    let body = json!({ "model": "claude-opus-5-5", "max_tokens": 9, "stop_sequences": ["wer"],
        "messages": [{ "role": "user", "content": "hello" }] });
    let refusal = r#"{"error":{"message":"Unsupported parameter: 'stop'","param":"stop"}}"#;
    let (second, answer) = refused(&upstream, &proxy, &body, refusal);
    assert_eq!(second.get("stop"), None);
    assert_eq!(answer.message(), "ans");
    assert_eq!(answer.json()["stop_sequence"], "wer");
    assert_eq!(answer.header("x-ccproxy-dropped"), None);
}

#[test]
fn a_request_is_repaired_once_and_what_was_wrongly_learned_is_forgotten() {
    let (upstream, proxy) = start();
    let body = json!({ "model": "claude-opus-5-5", "max_tokens": 9, "temperature": 0.5, "top_p": 0.5,
        "messages": [{ "role": "user", "content": "hello" }] });
    let mut client = Client::connect(&proxy);
    client.send("POST", "/v1/messages", JSON, body.to_string().as_bytes());
    for refusal in ["temperature: it is not supported", "the moon is not supported"] {
        let mut connection = upstream.accept();
        connection.request();
        let refusal = json!({ "error": refusal }).to_string();
        connection.answer("400 Bad Request", &[("Connection", "close")], &refusal);
    }
    let told = client.answer().error(400, "invalid_request_error");
    assert_eq!(told, "custom: the moon is not supported");
    upstream.assert_nobody_waits();
    assert_eq!(proxy.status().get("learned"), None);
}
