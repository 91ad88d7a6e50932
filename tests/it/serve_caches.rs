//! A session keeps to its key and its place, and its provider is told of it: the program itself, with
//! providers that the test plays.

use serde_json::{Value, json};

use crate::support::client::{Client, JSON, message};
use crate::support::proxy::{Proxy, Setup};
use crate::support::upstream::{Connection, Request, Upstream};

const SESSION: &str = "x-claude-code-session-id";

/// Sends a message of `session`, has `answer` play the provider, and returns what that was asked and
/// who answered.
fn ask(
    proxy: &Proxy,
    upstream: &Upstream,
    session: &str,
    answer: impl FnOnce(&mut Connection),
) -> (Request, Client) {
    let mut client = Client::connect(proxy);
    let headers = [JSON, &[(SESSION, session)]].concat();
    client.send("POST", "/v1/messages", &headers, &message("hello", false));
    let mut connection = upstream.accept();
    let request = connection.request();
    answer(&mut connection);
    // Each request on a connection of its own.
    connection.wire.hang_up();
    (request, client)
}

fn key_of(request: &Request) -> String {
    request.head.header("authorization").expect("a key").to_owned()
}

#[test]
fn a_session_stays_on_its_key_until_the_provider_refuses_it() {
    let upstream = Upstream::start();
    let proxy = Setup::asking(&upstream).variable("CUSTOM_API_KEY", "key-1,key-2").start();
    let mut keys = Vec::new();
    for turn in 0..12 {
        let session = format!("session {}", turn % 4);
        let (request, mut client) = ask(&proxy, &upstream, &session, |c| c.complete("hi"));
        assert_eq!(client.answer().status, 200);
        keys.push(key_of(&request));
    }
    for session in 0..4 {
        let own: Vec<&String> = keys.iter().skip(session).step_by(4).collect();
        assert!(own.iter().all(|key| *key == own[0]), "session {session}: {keys:?}");
    }
    let first = keys[0].clone();
    let second = if first.ends_with("key-1") { "Bearer key-2" } else { "Bearer key-1" };
    // Its key is refused: the other one is used in the same message, and from then on.
    let mut client = Client::connect(&proxy);
    let headers = [JSON, &[(SESSION, "session 0")]].concat();
    client.send("POST", "/v1/messages", &headers, &message("hello", false));
    let mut connection = upstream.accept();
    assert_eq!(key_of(&connection.request()), first);
    connection.answer("401 Unauthorized", &[], r#"{"error":{"message":"no"}}"#);
    connection.wire.hang_up();
    let mut connection = upstream.accept();
    assert_eq!(key_of(&connection.request()), second);
    connection.complete("hi");
    connection.wire.hang_up();
    assert_eq!(client.answer().message(), "hi");
    for _ in 0..3 {
        let (request, _client) = ask(&proxy, &upstream, "session 0", |c| c.complete("hi"));
        assert_eq!(key_of(&request), second);
    }
}

#[test]
fn a_session_stays_at_the_place_that_answered_it_last() {
    let (first, second) = (Upstream::start(), Upstream::start());
    let provider = |name: &str, upstream: &Upstream| {
        json!({
            "name": name, "type": "custom", "base_url": upstream.base_url(),
            "model": format!("{name}-model"), "api_key": "k",
        })
    };
    let providers = [provider("first", &first), provider("second", &second)];
    let proxy = Setup::file(json!({ "providers": providers })).start();
    let (_, mut client) = ask(&proxy, &first, "a", |c| c.complete("of the first"));
    assert_eq!(client.answer().message(), "of the first");
    // The first one fails once.
    let mut client = Client::connect(&proxy);
    let headers = [JSON, &[(SESSION, "a")]].concat();
    client.send("POST", "/v1/messages", &headers, &message("hello", false));
    let mut connection = first.accept();
    connection.request();
    connection.answer("500 Internal Server Error", &[], "oops");
    connection.wire.hang_up();
    let mut connection = second.accept();
    connection.request();
    connection.complete("of the second");
    connection.wire.hang_up();
    assert_eq!(client.answer().message(), "of the second");
    // That session stays where its conversation has been read; others begin at the first.
    let (_, mut client) = ask(&proxy, &second, "a", |c| c.complete("of the second"));
    let answer = client.answer();
    assert_eq!(answer.header("x-ccproxy-provider"), Some("second"));
    assert_eq!(answer.header("x-ccproxy-fallback"), None);
    let (_, mut client) = ask(&proxy, &first, "b", |c| c.complete("of the first"));
    assert_eq!(client.answer().header("x-ccproxy-provider"), Some("first"));
    // It leaves when it must.
    let mut client = Client::connect(&proxy);
    client.send("POST", "/v1/messages", &headers, &message("hello", false));
    let mut connection = second.accept();
    connection.request();
    connection.answer("500 Internal Server Error", &[], "oops");
    connection.wire.hang_up();
    let mut connection = first.accept();
    connection.request();
    connection.complete("of the first");
    connection.wire.hang_up();
    assert_eq!(client.answer().message(), "of the first");
    let (_, mut client) = ask(&proxy, &first, "a", |c| c.complete("of the first"));
    assert_eq!(client.answer().header("x-ccproxy-provider"), Some("first"));
}

/// What names the session to a provider: header and value, or field and value.
fn named(request: &Request, name: &str) -> Option<String> {
    let header = request.head.header(name).map(str::to_owned);
    header.or_else(|| request.body[name].as_str().map(str::to_owned))
}

#[test]
fn a_provider_is_told_of_the_session_and_not_of_the_user() {
    for (row, model, name) in [
        ("xai", "grok-4.7", "x-grok-conv-id"),
        ("openrouter", "z-ai/glm-5.3", "x-session-id"),
        ("mistral", "mistral-medium-3-5", "prompt_cache_key"),
        ("moonshot", "kimi-k3", "prompt_cache_key"),
    ] {
        let upstream = Upstream::start();
        let native = format!("{}_NATIVE", row.to_uppercase());
        let proxy = Setup::of(row, model, &upstream).variable(&native, "off").start();
        let id = "11111111-2222-4333-8444-555555555555";
        let (request, _client) = ask(&proxy, &upstream, id, |c| c.complete("hi"));
        let told = named(&request, name).unwrap_or_else(|| panic!("{row}: {request:?}"));
        assert!(told.len() <= 64 && told != id, "{told}");
        // Without the header, what Claude Code has in the body.
        let user = json!({ "device_id": "d0", "account_uuid": "", "session_id": id }).to_string();
        let mut body: Value = serde_json::from_slice(&message("hello", false)).expect("JSON");
        body["metadata"] = json!({ "user_id": user });
        let mut client = Client::connect(&proxy);
        client.send("POST", "/v1/messages", JSON, body.to_string().as_bytes());
        let mut connection = upstream.accept();
        let request = connection.request();
        connection.complete("hi");
        assert_eq!(named(&request, name), Some(told), "{row}");
        assert_eq!(client.answer().status, 200);
        let (other, _client) = {
            connection.wire.hang_up();
            ask(&proxy, &upstream, "another", |c| c.complete("hi"))
        };
        assert_ne!(named(&other, name), named(&request, name), "{row}");
        let whole = format!("{:?} {}", other.head, request.body);
        assert!(!whole.contains("d0") && !whole.contains(id), "{row}: {whole}");
    }
}

/// A deployment of somebody else's model does not know the field, which costs one request.
#[test]
fn a_provider_that_refuses_the_field_is_asked_without_it() {
    let upstream = Upstream::start();
    let proxy = Setup::of("azure", "DeepSeek-V4", &upstream).start();
    let mut client = Client::connect(&proxy);
    let headers = [JSON, &[(SESSION, "a")]].concat();
    client.send("POST", "/v1/messages", &headers, &message("hello", false));
    let mut connection = upstream.accept();
    assert!(named(&connection.request(), "prompt_cache_key").is_some());
    let refusal =
        r#"{"error":{"message":"Unrecognized request argument supplied: prompt_cache_key"}}"#;
    connection.answer("400 Bad Request", &[], refusal);
    let request = connection.request();
    assert_eq!(named(&request, "prompt_cache_key"), None);
    connection.complete("hi");
    connection.wire.hang_up();
    assert_eq!(client.answer().message(), "hi");
    let (request, _client) = ask(&proxy, &upstream, "a", |c| c.complete("hi"));
    assert_eq!(named(&request, "prompt_cache_key"), None, "it is remembered");
}

#[test]
fn what_a_cache_gave_is_told_as_numbers_and_as_a_rate() {
    let upstream = Upstream::start();
    let proxy = Setup::asking(&upstream).json_log().start();
    let usage = json!({
        "prompt_tokens": 2000, "completion_tokens": 7,
        "prompt_tokens_details": { "cached_tokens": 1500, "cache_creation_input_tokens": 400 },
    });
    let body = json!({
        "id": "1", "object": "chat.completion", "created": 0, "model": "m",
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": "hi" }, "finish_reason": "stop" }],
        "usage": usage,
    })
    .to_string();
    let (_, mut client) = ask(&proxy, &upstream, "a", |c| c.answer("200 OK", &[], &body));
    let answer = client.answer();
    let usage = &answer.json()["usage"];
    assert_eq!(usage["input_tokens"], 100);
    assert_eq!(usage["cache_read_input_tokens"], 1500);
    assert_eq!(usage["cache_creation_input_tokens"], 400);
    let line = proxy.record(answer.header("request-id").expect("an id"));
    assert_eq!(line["cache_read_tokens"], 1500, "{line}");
    assert_eq!(line["cache_write_tokens"], 400, "{line}");
    assert_eq!(line["cache_rate"], 0.75, "{line}");
    let text = Client::fetch(&proxy, "GET", "/metrics", &[], b"").text();
    let value = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(&format!("{name}{{"))).expect(name);
        line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok())
    };
    assert_eq!(value("ccproxy_cache_read_tokens_ratio"), Some(0.75));
    let cached = "gen_ai_client_inference_usage_cache_read_input_tokens_total";
    assert_eq!(value(cached), Some(1500.0));
    let written = "gen_ai_client_inference_usage_cache_write_input_tokens_total";
    assert_eq!(value(written), Some(400.0));
    assert_eq!(value("gen_ai_client_inference_usage_input_tokens_total"), Some(2000.0));
}
