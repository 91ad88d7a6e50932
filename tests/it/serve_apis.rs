//! Providers that are asked through another API than chat completions: a Messages API of their own, and
//! Responses.

use serde_json::{Value, json};

use crate::support::client::{Client, JSON};
use crate::support::proxy::{Proxy, Setup};
use crate::support::upstream::{ANSWER, Upstream};

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
        proxy.status()["learned"][0]["lessons"],
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
    assert_eq!(proxy.status().get("learned"), None);
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
    let proxy = Setup::of("openai", "gpt-5.6", &upstream).start();
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
