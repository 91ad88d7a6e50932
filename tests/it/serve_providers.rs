//! Several providers, several keys, and what a refusal teaches: the program itself, with a provider
//! that the test plays.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::support::client::{Answer, Client, JSON, message};
use crate::support::proxy::{Proxy, Setup};
use crate::support::upstream::{Connection, Refusing, Upstream};

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

fn status(proxy: &Proxy) -> Value {
    Client::fetch(proxy, "GET", "/status", &[], b"").json()
}

fn metric(proxy: &Proxy, sample: &str) -> Option<f64> {
    let text = Client::fetch(proxy, "GET", "/metrics", &[], b"").text();
    let value = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    value.map(|value| value.parse().expect("a number"))
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
        assert_eq!(metric(&proxy, "ccproxy_fallbacks_total{provider=\"first\"}"), Some(1.0));
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
    let shown = status(&proxy);
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
fn the_names_of_models_choose_among_providers() {
    let (first, second) = (Upstream::start(), Upstream::start());
    let file = json!({
        "providers": [
            { "name": "first", "type": "custom", "base_url": first.base_url(), "model": "m1" },
            { "name": "second", "type": "custom", "base_url": second.base_url(), "model": "m2" },
        ],
        "models": { "default": "first", "opus": "second/big" },
        "aliases": { "quick": { "use": "second/small", "display_name": "Quick one" } },
    });
    let proxy = Setup::file(file).start();
    for (requested, upstream, wanted) in [
        ("claude-sonnet-5-5", &first, "m1"),
        ("claude-opus-5-5[1m]", &second, "big"),
        ("second/any/model", &second, "any/model"),
        ("second,other", &second, "other"),
        ("claude-quick", &second, "small"),
    ] {
        let mut client = Client::connect(&proxy);
        let body = json!({ "model": requested, "max_tokens": 9,
            "messages": [{ "role": "user", "content": "hello" }] });
        client.send("POST", "/v1/messages", JSON, body.to_string().as_bytes());
        let mut connection = upstream.accept();
        assert_eq!(connection.request().body["model"], wanted, "{requested}");
        connection.complete("answered");
        let answer = client.answer();
        assert_eq!(answer.json()["model"], requested, "the answer carries the name asked for");
    }
    let list = Client::fetch(&proxy, "GET", "/v1/models", &[], b"").json();
    let ids: Vec<&str> =
        list["data"].as_array().expect("a list").iter().filter_map(|m| m["id"].as_str()).collect();
    assert_eq!(
        ids,
        [
            "claude-quick",
            "claude-opus-5-5",
            "claude-sonnet-5-5",
            "claude-haiku-5-5",
            "claude-fable-5-2",
            "first/m1",
            "second/m2"
        ]
    );
    assert_eq!(list["data"][0]["display_name"], "Quick one");
    assert_eq!(list["data"][1]["display_name"], "Opus: big (second)");
}

/// A proxy whose provider has three keys.
fn with_keys(upstream: &Upstream) -> Proxy {
    Setup::asking(upstream).variable("CUSTOM_API_KEY", "key-1, key-2,key-3").start()
}

fn key_of(connection: &mut Connection) -> String {
    let request = connection.request();
    request.head.header("authorization").expect("a key is sent").to_owned()
}

#[test]
fn keys_are_used_in_turn_and_a_limited_one_rests() {
    let upstream = Upstream::start();
    let proxy = with_keys(&upstream);
    let ask = |limited: bool| {
        let mut client = Client::connect(&proxy);
        client.send(
            "POST",
            "/v1/messages",
            &[JSON[0], ("Connection", "close")],
            &message("a", false),
        );
        let mut connection = upstream.accept();
        let key = key_of(&mut connection);
        let close = ("Connection", "close");
        if limited {
            connection.answer("429 Too Many Requests", &[close, ("Retry-After", "60")], "{}");
            let mut connection = upstream.accept();
            let next = key_of(&mut connection);
            connection.answer("200 OK", &[close], ANSWER);
            assert_eq!(client.answer().message(), "answered");
            return format!("{key} then {next}");
        }
        connection.answer("200 OK", &[close], ANSWER);
        assert_eq!(client.answer().message(), "answered");
        key
    };
    assert_eq!(ask(false), "Bearer key-1");
    assert_eq!(ask(false), "Bearer key-2");
    assert_eq!(ask(true), "Bearer key-3 then Bearer key-1");
    assert_eq!(ask(false), "Bearer key-2");
    assert_eq!(ask(false), "Bearer key-1");
    let resting = metric(&proxy, "ccproxy_provider_resting_keys{provider=\"custom\"}");
    assert_eq!(resting, Some(1.0));
    assert!(!proxy.log().contains("key-"), "no key is logged");
}

const ANSWER: &str = r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"answered"},"finish_reason":"stop"}]}"#;

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
    let upstream = Upstream::start();
    let proxy = Setup::asking(&upstream).start();
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
        status(&proxy)["learned"],
        json!([{ "provider": "custom", "model": "test-model",
            "lessons": ["max_tokens <= 16384", "without temperature"] }])
    );
    assert_eq!(metric(&proxy, "ccproxy_adjusted_requests_total{provider=\"custom\"}"), Some(2.0));
}

/// The provider's connection is still open then, and the client may ask again at once.
#[test]
fn what_was_learned_is_known_when_the_message_ends() {
    let upstream = Upstream::start();
    let proxy = Setup::asking(&upstream).start();
    let mut client = Client::connect(&proxy);
    client.send_stream("hello");
    let mut connection = upstream.accept();
    connection.request();
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
    let proxy = Setup::asking(&upstream)
        .variable("PROVIDER", "xai")
        .variable("XAI_API_KEY", "k")
        .variable("XAI_MODEL", "grok-4.5")
        .variable("XAI_BASE_URL", &upstream.base_url())
        .start();
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
    let upstream = Upstream::start();
    let proxy = Setup::asking(&upstream).start();
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
    let upstream = Upstream::start();
    let proxy = Setup::asking(&upstream).start();
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
    assert_eq!(status(&proxy).get("learned"), None);
}

/// A proxy whose provider speaks the Messages API, natively or not.
fn native(upstream: &Upstream, native: &str) -> Proxy {
    Setup::asking(upstream)
        .variable("PROVIDER", "deepseek")
        .variable("DEEPSEEK_API_KEY", "native-key")
        .variable("DEEPSEEK_MODEL", "deepseek-v4-pro")
        .variable("DEEPSEEK_BASE_URL", &upstream.base_url())
        .variable("DEEPSEEK_NATIVE", native)
        .variable("DEEPSEEK_NATIVE_URL", &format!("http://{}/anthropic", upstream.address()))
        .start()
}

#[test]
fn a_native_provider_gets_the_clients_bytes_and_the_client_gets_its() {
    const EVENTS: [&str; 4] = [
        r#"{"type": "message_start", "message": {"id": "msg_theirs", "model": "deepseek-v4-pro", "usage": {"input_tokens": 7}}}"#,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":"odd  spacing"}}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":9}}"#,
        r#"{"type":"message_stop"}"#,
    ];
    let upstream = Upstream::start();
    let proxy = native(&upstream, "on");
    let mut client = Client::connect(&proxy);
    let sent = r#"{ "max_tokens":1e2, "stream":true, "model":"claude-opus-5-5", "unknown":[1,  2], "messages":[{"role":"user","content":"hello"}]}"#;
    let headers = [JSON[0], ("anthropic-beta", "one-2026,two"), ("x-api-key", "the-clients")];
    client.send("POST", "/v1/messages?beta=true", &headers, sent.replace("1e2", "100").as_bytes());
    let mut connection = upstream.accept();
    let head = connection.wire.head();
    assert_eq!(head.start, "POST /anthropic/v1/messages HTTP/1.1");
    assert_eq!(head.header("authorization"), Some("Bearer native-key"));
    assert_eq!(head.header("anthropic-beta"), Some("one-2026,two"));
    assert_eq!(head.header("anthropic-version"), Some("2023-06-01"));
    assert_eq!(head.header("x-api-key"), None);
    let body = connection.wire.body(&head).expect("a body");
    let wanted = sent.replace("1e2", "100").replace("claude-opus-5-5", "deepseek-v4-pro");
    assert_eq!(String::from_utf8_lossy(&body), wanted);
    connection.begin_events();
    for event in EVENTS {
        let kind = serde_json::from_str::<Value>(event).expect("JSON")["type"].clone();
        connection.raw_event(kind.as_str().expect("a text"), event);
    }
    connection.wire.send(b"0\r\n\r\n");
    client.begin();
    let start = client.expect("message_start");
    assert_eq!(start["message"]["model"], "claude-opus-5-5");
    assert_eq!(start["message"]["id"], "msg_theirs");
    assert_eq!(client.expect("content_block_start")["content_block"]["text"], "odd  spacing");
    client.expect("message_delta");
    client.expect("message_stop");
    let line = proxy.wait_for_line("deepseek deepseek-v4-pro <- claude-opus-5-5  200  ");
    assert!(line.contains("  7 in 9 out  end_turn  "), "{line}");
}

#[test]
fn a_native_endpoint_that_is_not_there_is_replaced_by_chat_completions() {
    let upstream = Upstream::start();
    let proxy = native(&upstream, "auto");
    for number in 0..2 {
        let mut client = Client::connect(&proxy);
        client.send_whole("hello");
        if number == 0 {
            let mut connection = upstream.accept();
            connection.request_at("/anthropic/v1/messages");
            connection.answer("404 Not Found", &[("Connection", "close")], "nothing here");
        }
        let mut connection = upstream.accept();
        connection.request();
        connection.answer("200 OK", &[("Connection", "close")], ANSWER);
        assert_eq!(client.answer().message(), "answered");
    }
    assert_eq!(
        status(&proxy)["learned"][0]["lessons"],
        json!(["not asked through its Messages API"])
    );
}

#[test]
fn what_one_conversation_is_refused_another_is_not() {
    let upstream = Upstream::start();
    let proxy = native(&upstream, "auto");
    for _ in 0..2 {
        let mut client = Client::connect(&proxy);
        client.send_whole("hello");
        let mut connection = upstream.accept();
        connection.request_at("/anthropic/v1/messages");
        let refusal = r#"{"error":{"message":"messages.0.content.1: images are not supported"}}"#;
        connection.answer("400 Bad Request", &[("Connection", "close")], refusal);
        let mut connection = upstream.accept();
        connection.request();
        connection.answer("200 OK", &[("Connection", "close")], ANSWER);
        assert_eq!(client.answer().message(), "answered");
    }
    assert_eq!(status(&proxy).get("learned"), None);
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

#[test]
fn a_key_that_a_provider_quotes_is_shown_to_nobody() {
    const PLAIN: &str = "0123456789abcdef0123456789abcdef";
    let upstream = Upstream::start();
    let proxy = Setup::asking(&upstream).variable("CUSTOM_API_KEY", PLAIN).start();
    let quoted = json!({ "error": { "message": format!("Incorrect key: {PLAIN}") } }).to_string();
    let mut client = Client::connect(&proxy);
    client.send_whole("hello");
    let mut connection = upstream.accept();
    connection.request();
    connection.answer("401 Unauthorized", &[("Connection", "close")], &quoted);
    let told = client.answer().error(502, "api_error");
    assert!(told.starts_with("custom refuses its key: Incorrect key: [redacted];"), "{told}");

    let mut client = Client::connect(&proxy);
    client.send_stream("hello");
    let mut connection = upstream.accept();
    connection.request();
    connection.begin_events();
    connection.say("half");
    connection.event(&quoted);
    client.begin();
    let (_, told) = client.fail();
    assert_eq!(told, "custom: Incorrect key: [redacted]");
    proxy.wait_for_line("  custom: Incorrect key: [redacted]  ");
    assert!(!proxy.log().contains(PLAIN));
}

#[test]
fn a_line_of_the_log_is_one_line() {
    let upstream = Upstream::start();
    let proxy = Setup::asking(&upstream).start();
    let mut client = Client::connect(&proxy);
    client.send_whole("hello");
    let mut connection = upstream.accept();
    connection.request();
    let forged = json!({ "error": "no model x\n2026-01-01 FAKE \u{1b}[31m" }).to_string();
    connection.answer("404 Not Found", &[], &forged);
    client.answer().error(500, "api_error");
    let line = proxy.wait_for_line("no model x");
    assert!(line.contains(r"no model x\n2026-01-01 FAKE \u{1b}[31m"), "{line}");
}

#[test]
fn a_native_stream_that_breaks_off_ends_with_an_error() {
    let upstream = Upstream::start();
    let proxy = native(&upstream, "on");
    let mut client = Client::connect(&proxy);
    client.send_stream("hello");
    let mut connection = upstream.accept();
    connection.request_at("/anthropic/v1/messages");
    connection.begin_events();
    connection.raw_event("message_start", r#"{"type":"message_start","message":{}}"#);
    connection.raw_event("content_block_start", r#"{"type":"content_block_start","index":0}"#);
    client.begin();
    client.expect("message_start");
    client.expect("content_block_start");
    connection.wire.send(b"7\r\nevent: \r\n");
    connection.wire.close();
    assert_eq!(client.fail().0, "api_error");
}

#[test]
fn count_tokens_says_whose_count_it_is() {
    let proxy = Setup::echo().start();
    let body =
        br#"{"model":"claude-opus-5-5","messages":[{"role":"user","content":"hello there"}]}"#;
    let counted = Client::fetch(&proxy, "POST", "/v1/messages/count_tokens", JSON, body);
    assert_eq!(counted.header("x-ccproxy-token-count"), Some("estimate"));
    assert!(counted.json()["input_tokens"].as_u64().is_some_and(|tokens| tokens > 1));

    let upstream = Upstream::start();
    let proxy = Setup::asking(&upstream)
        .variable("PROVIDER", "vllm")
        .variable("VLLM_MODEL", "m")
        .variable("VLLM_NATIVE", "on")
        .variable("VLLM_BASE_URL", &upstream.base_url())
        .start();
    for (answer, wanted, source) in [
        (r#"{"input_tokens":4711}"#, Some(4711), "provider"),
        (r#"{"error":"Unexpected endpoint or method"}"#, None, "estimate"),
    ] {
        let mut client = Client::connect(&proxy);
        client.send("POST", "/v1/messages/count_tokens", JSON, body);
        let mut connection = upstream.accept();
        let asked = connection.request_at("/v1/messages/count_tokens");
        assert_eq!(asked.body["model"], "m");
        connection.answer("200 OK", &[("Connection", "close")], answer);
        let counted = client.answer();
        assert_eq!(counted.header("x-ccproxy-token-count"), Some(source));
        if let Some(wanted) = wanted {
            assert_eq!(counted.json()["input_tokens"], wanted);
        }
    }
}

#[test]
fn the_responses_api_is_spoken_where_the_model_needs_it() {
    let upstream = Upstream::start();
    let proxy = Setup::asking(&upstream)
        .variable("PROVIDER", "openai")
        .variable("OPENAI_API_KEY", "k")
        .variable("OPENAI_MODEL", "gpt-5.6")
        .variable("OPENAI_BASE_URL", &upstream.base_url())
        .start();
    let mut client = Client::connect(&proxy);
    client.send_stream("hello");
    let mut connection = upstream.accept();
    let request = connection.request_at("/v1/responses");
    assert_eq!(request.body["store"], false);
    connection.begin_events();
    for event in [
        json!({ "type": "response.created", "response": {} }),
        json!({ "type": "response.output_item.added", "output_index": 0,
            "item": { "type": "message", "id": "msg_1", "role": "assistant", "content": [] } }),
        json!({ "type": "response.output_text.delta", "output_index": 0, "content_index": 0,
            "item_id": "msg_1", "delta": "hi" }),
        json!({ "type": "response.completed", "response": { "status": "completed",
            "usage": { "input_tokens": 5, "output_tokens": 1 } } }),
    ] {
        let kind = event["type"].as_str().expect("a text").to_owned();
        connection.raw_event(&kind, &event.to_string());
    }
    client.begin();
    client.expect_start();
    assert_eq!(client.finish(), "hi");

    // A server that has no such path.
    let mut client = Client::connect(&proxy);
    client.send_whole("hello");
    let mut connection = upstream.accept();
    connection.request_at("/v1/responses");
    connection.answer("404 Not Found", &[("Connection", "close")], "404 page not found");
    let mut connection = upstream.accept();
    connection.request();
    connection.answer("200 OK", &[("Connection", "close")], ANSWER);
    assert_eq!(client.answer().message(), "answered");
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
    assert!(
        metric(&proxy, "ccproxy_fallbacks_total{provider=\"first\"}").is_some_and(|n| n >= 1.0)
    );
}
