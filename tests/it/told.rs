//! What is told to whom: a provider's own words, whatever a gateway has put around them, and to the client
//! what was left out of its request.

use serde_json::{Value, json};

use crate::support::client::{Client, JSON, message};
use crate::support::exchange::start;
use crate::support::proxy::{Proxy, Setup};
use crate::support::upstream::{Connection, Upstream};

/// OpenRouter's envelope around the error of a provider, as text or as JSON.
fn wrapped(inner: &Value, as_text: bool) -> Value {
    let raw = if as_text { json!(inner.to_string()) } else { inner.clone() };
    json!({ "error": { "message": "Provider returned error", "code": 400,
        "metadata": { "raw": raw, "provider_name": "X" } } })
}

/// How a provider answers with an error: with a status, in a chunk, or as the body of a 200.
type Place = fn(&mut Connection, &Value);

const PLACES: [Place; 3] = [
    |connection, error| {
        connection.answer("400 Bad Request", &[("Connection", "close")], &error.to_string());
    },
    |connection, error| {
        let mut chunk = error.clone();
        chunk["choices"] = json!([{ "index": 0, "delta": {}, "finish_reason": "error" }]);
        let body = format!("data: {chunk}\n\n");
        let head =
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
        connection.wire.send(format!("{head}{body}").as_bytes());
        connection.wire.hang_up();
    },
    |connection, error| connection.answer("200 OK", &[("Connection", "close")], &error.to_string()),
];

/// Asks with a temperature, answers with `error` in each place, and gives what becomes of the client.
fn refuse(proxy: &Proxy, upstream: &Upstream, error: &Value, place: Place, stream: bool) -> Client {
    let mut client = Client::connect(proxy);
    let body = json!({ "model": "claude-opus-5-5", "max_tokens": 100, "temperature": 0.5,
        "stream": stream, "messages": [{ "role": "user", "content": "hi" }] });
    client.send("POST", "/v1/messages", JSON, body.to_string().as_bytes());
    let mut connection = upstream.accept();
    connection.request();
    place(&mut connection, error);
    client
}

#[test]
fn a_wrapped_overflow_is_one_wherever_it_stands() {
    let words = "This model's maximum context length is 131072 tokens. However, your messages \
                 resulted in 140000 tokens.";
    let inner = json!({ "error": { "message": words, "code": "context_length_exceeded" } });
    for as_text in [true, false] {
        for place in PLACES {
            for stream in [true, false] {
                let (upstream, proxy) = start();
                let error = wrapped(&inner, as_text);
                let mut client = refuse(&proxy, &upstream, &error, place, stream);
                let told = client.answer().error(400, "invalid_request_error");
                assert!(told.contains("prompt is too long: 140000 tokens > 131072"), "{told}");
            }
        }
    }
}

#[test]
fn a_wrapped_refusal_teaches_wherever_it_stands() {
    let inner = json!({ "error": { "param": "temperature", "code": "unsupported_parameter",
        "message": "Unsupported parameter: 'temperature' is not supported with this model." } });
    for as_text in [true, false] {
        for place in PLACES {
            let (upstream, proxy) = start();
            let mut client = refuse(&proxy, &upstream, &wrapped(&inner, as_text), place, false);
            let mut connection = upstream.accept();
            let body = connection.request().body;
            assert!(body.get("temperature").is_none(), "{body}");
            connection.complete("fine");
            let answer = client.answer();
            let adjusted = answer.header("x-ccproxy-adjusted").unwrap_or_default();
            assert!(adjusted.contains("without temperature"), "{adjusted}");
            assert_eq!(answer.message(), "fine");
        }
    }
}

#[test]
fn a_wrapped_error_of_a_messages_api_is_told_in_its_own_words() {
    let upstream = Upstream::start();
    let proxy = Setup::at("http://127.0.0.1:1/v1")
        .variable("CUSTOM_NATIVE", "on")
        .variable("CUSTOM_NATIVE_URL", &format!("http://{}/anthropic", upstream.address()))
        .start();
    let inner = json!({ "error": { "message": "the moon is in the wrong house" } });
    let error = wrapped(&inner, true);
    for is_event in [true, false] {
        let mut client = Client::connect(&proxy);
        client.send("POST", "/v1/messages", JSON, &message("hello", true));
        let mut connection = upstream.accept();
        connection.request_at("/anthropic/v1/messages");
        if is_event {
            connection.begin_events();
            let event = json!({ "type": "error", "error": error["error"] }).to_string();
            connection.raw_event("error", &event);
            connection.wire.send(b"0\r\n\r\n");
        } else {
            let headers = [("Connection", "close")];
            connection.answer("500 Internal Server Error", &headers, &error.to_string());
        }
        let told = client.answer().text();
        assert!(told.contains("the moon is in the wrong house"), "{told}");
    }
}

/// The README: what of it was asked for is named.
#[test]
fn what_was_left_out_is_named() {
    let (upstream, proxy) = start();
    let document = json!({ "type": "document", "citations": { "enabled": true }, "source":
        { "type": "text", "media_type": "text/plain", "data": "The sky is blue." } });
    let text = json!({ "type": "text", "text": "?", "cache_control": { "type": "ephemeral" } });
    let body = json!({
        "model": "claude-opus-5-5", "max_tokens": 100, "top_k": 5, "metadata": { "user_id": "u" },
        "context_management": { "edits": [{ "type": "clear_tool_uses_20250919" }] },
        "messages": [{ "role": "user", "content": [document, text] }],
        "tools": [{ "type": "web_search_20250305", "name": "web_search" }],
    });
    let mut client = Client::connect(&proxy);
    client.send("POST", "/v1/messages", JSON, body.to_string().as_bytes());
    let mut connection = upstream.accept();
    connection.request();
    connection.complete("blue");
    let answer = client.answer();
    let named = answer.header("x-ccproxy-dropped").unwrap_or_default();
    let wanted =
        ["cache_control", "citations", "metadata", "context_management", "top_k", "server_tools"];
    let missing: Vec<_> = wanted.iter().filter(|name| !named.contains(**name)).collect();
    assert!(missing.is_empty(), "{missing:?} not in {named}");
}
