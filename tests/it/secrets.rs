//! No secret of a provider reaches a client, a log or a page, wherever and in whatever coding the provider
//! quotes it.

use serde_json::{Value, json};

use crate::support::client::{Client, JSON, message};
use crate::support::exchange::begin_whole;
use crate::support::proxy::{Proxy, Setup};
use crate::support::upstream::Upstream;

const KEY: &str = "sk_Test-5ecret.Q7w8E9r0-aZ1xS2dC3vF4bG5";
const HEADER: &str = "Token hdr-9f8e7d6c5b4a.3210_ZyXwVuTs";

/// The shortest piece that tells something.
const PIECE: usize = 12;

fn coded(secret: &str, of: impl Fn(u32) -> String) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric();
    secret.chars().map(|c| if is_plain(c) { c.to_string() } else { of(u32::from(c)) }).collect()
}

fn codings(secret: &str) -> Vec<(&'static str, String)> {
    let (first, second) = secret.split_at(secret.len() / 2);
    vec![
        ("plain", secret.to_owned()),
        ("for URLs", coded(secret, |c| format!("%{c:02X}"))),
        ("in HTML", coded(secret, |c| format!("&#{c};"))),
        ("escaped", coded(secret, |c| format!("\\u{c:04x}"))),
        ("in pieces", format!("{first} {second}")),
        ("half", second.to_owned()),
    ]
}

const JSON_HEAD: &str = "Content-Type: application/json\r\n";

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn refusal(status: &str, error: Value) -> String {
    answer(status, JSON_HEAD, &json!({ "error": error }).to_string())
}

/// An answer of 200, streamed or whole.
fn good(streamed: bool, data: &[Value]) -> String {
    if !streamed {
        return answer("200 OK", JSON_HEAD, &data.last().expect("there is data").to_string());
    }
    let events: String = data.iter().map(|data| format!("data: {data}\n\n")).collect();
    answer("200 OK", "Content-Type: text/event-stream\r\n", &events)
}

type Place = (&'static str, fn(&str, bool) -> String);

/// Where a provider may quote it.
const PLACES: &[Place] = &[
    ("the message", |s, _| {
        refusal("400 Bad Request", json!({ "message": format!("{s} is wrong") }))
    }),
    ("type and code", |s, _| {
        refusal("400 Bad Request", json!({ "type": s, "code": s, "param": s }))
    }),
    ("the error itself", |s, _| refusal("422 Unprocessable", json!(s))),
    ("a list of faults", |s, _| {
        answer(
            "422 Unprocessable",
            JSON_HEAD,
            &json!({ "detail": [{ "loc": [s], "msg": s }] }).to_string(),
        )
    }),
    ("plain text", |s, _| answer("400 Bad Request", "", &format!("the key {s} is wrong"))),
    ("HTML", |s, _| answer("500 Oh", "", &format!("<html><p title=\"{s}\">{s}</p></html>"))),
    ("where a text is cut", |s, _| {
        let before = "x".repeat(2000 - 8 - 20);
        refusal("400 Bad Request", json!({ "message": format!("{before}{s}") }))
    }),
    ("where a body is cut", |s, _| {
        answer("400 Bad Request", "", &format!("{}{s}", " ".repeat((64 << 10) - 20)))
    }),
    ("Location, path", |s, _| {
        let location = format!("Location: https://elsewhere.test/{s}?k={s}#{s}\r\n");
        answer("302 Found", &location, "")
    }),
    ("Location, user", |s, _| {
        answer("302 Found", &format!("Location: https://{s}:{s}@elsewhere.test/\r\n"), "")
    }),
    ("Location, host", |s, _| answer("302 Found", &format!("Location: https://{s}/\r\n"), "")),
    ("Location alone", |s, _| answer("302 Found", &format!("Location: {s}\r\n"), "")),
    ("retry-after", |s, _| {
        let headers = format!("retry-after: {s}\r\nretry-after-ms: {s}\r\nx-should-retry: {s}\r\n");
        answer("429 Too Many Requests", &headers, r#"{"error":{"message":"slow down"}}"#)
    }),
    ("the id of a request", |s, _| {
        answer("400 Bad Request", &format!("x-request-id: {s}\r\n"), "it is wrong")
    }),
    ("the content type", |s, _| answer("200 OK", &format!("Content-Type: {s}\r\n"), s)),
    ("the status line", |s, _| answer(&format!("400 {s}"), "", "")),
    ("no HTTP", |s, _| format!("{s}\r\n\r\n")),
    ("an error instead", |s, streamed| good(streamed, &[json!({ "error": { "message": s } })])),
    ("an error after some text", |s, streamed| {
        let text = json!({ "choices": [{ "delta": { "content": "some text" } }] });
        good(streamed, &[text, json!({ "error": { "message": s, "code": s } })])
    }),
    ("instead of a list", |s, streamed| good(streamed, &[json!({ "choices": s })])),
    ("instead of an object", |s, streamed| {
        good(streamed, &[json!({ "choices": [{ "delta": s, "message": s }] })])
    }),
    ("instead of a number", |s, streamed| {
        good(streamed, &[json!({ "choices": [{ "index": s }], "usage": { "prompt_tokens": s } })])
    }),
    ("the name of a call", |s, streamed| {
        let call = json!({ "tool_calls": [
            { "index": 0, "id": "c", "type": "function", "function": { "name": s, "arguments": "{no" } },
        ] });
        good(
            streamed,
            &[json!({ "choices": [
            { "delta": call, "message": call, "finish_reason": "tool_calls" },
        ] })],
        )
    }),
];

/// Where a provider of the Messages API may quote it.
const NATIVE_PLACES: &[Place] = &[
    ("the message", |s, _| refusal("400 Bad Request", json!({ "type": s, "message": s }))),
    ("the type of a message", |s, streamed| good(streamed, &[json!({ "type": s })])),
    ("an error event", |s, streamed| {
        let error =
            json!({ "type": "error", "error": { "type": "overloaded_error", "message": s } });
        good(streamed, &[error])
    }),
    ("an error event after some text", |s, streamed| {
        let start = json!({ "type": "message_start", "message": { "model": "m" } });
        let block = json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text" } });
        let error = json!({ "type": "error", "error": { "type": s, "message": s } });
        good(streamed, &[start, block, error])
    }),
];

/// Fails if a piece of the secret can be read.
fn assert_hidden(text: &str, secret: &str, coded: &str, what: &str) {
    assert!(!text.contains(coded), "{what}: {text}");
    // The secrets are ASCII. To search a text is std's work, which is fast in a test too.
    for at in 0..=secret.len() - PIECE {
        let piece = &secret[at..at + PIECE];
        assert!(!text.contains(piece), "{what}: {piece}: {text}");
    }
}

fn start(upstream: &Upstream, is_native: bool) -> Proxy {
    let provider = json!({
        "name": "custom", "base_url": upstream.base_url(), "api_key": KEY, "model": "test-model",
        "headers": { "x-tenant": HEADER },
        "native": if is_native { "on" } else { "off" },
        "native_url": is_native.then(|| upstream.base_url()),
    });
    Setup::file(json!({ "providers": [provider] })).start()
}

fn check(places: &[Place], is_native: bool) {
    for secret in [KEY, HEADER] {
        for (coding, coded) in codings(secret) {
            for (place, quoting) in places {
                let upstream = Upstream::start();
                let proxy = start(&upstream, is_native);
                for streamed in [false, true] {
                    let what = format!("{place}, {coding}, streamed: {streamed}, {secret}");
                    let mut client = Client::connect(&proxy);
                    client.send("POST", "/v1/messages", JSON, &message("hello", streamed));
                    let mut connection = upstream.accept();
                    let head = connection.wire.head();
                    connection.wire.body(&head);
                    assert_eq!(head.header("x-tenant"), Some(HEADER), "{what}");
                    connection.wire.send(quoting(&coded, streamed).as_bytes());
                    drop(connection);
                    let told = client.answer();
                    let shown = format!("{:?}\n{}", told.head, told.text());
                    assert_hidden(&shown, secret, &coded, &what);
                    proxy.wait_for_line(told.header("request-id").expect("every answer has one"));
                    for page in ["/status", "/health", "/metrics", "/ready"] {
                        let page = Client::fetch(&proxy, "GET", page, &[], b"").text();
                        assert_hidden(&page, secret, &coded, &what);
                    }
                }
                assert_hidden(&proxy.log(), secret, &coded, place);
            }
        }
    }
}

#[test]
fn what_a_provider_quotes_of_its_secrets_is_told_to_nobody() {
    check(PLACES, false);
}

#[test]
fn what_a_native_provider_quotes_of_its_secrets_is_told_to_nobody() {
    check(NATIVE_PLACES, true);
}

#[test]
fn a_short_key_is_no_part_of_other_words() {
    let upstream = Upstream::start();
    let proxy = Setup::asking(&upstream).variable("CUSTOM_API_KEY", "a").start();
    let (mut client, mut connection) = begin_whole(&upstream, &proxy);
    connection.answer("400 Bad Request", &[], r#"{"error":{"message":"Rate of a call"}}"#);
    assert_eq!(client.answer().error(400, "invalid_request_error"), "custom: Rate of a call");
}

#[test]
fn a_tool_keeps_its_name_whatever_it_has_in_common_with_a_secret() {
    let upstream = Upstream::start();
    let proxy = start(&upstream, false);
    let body = json!({
        "model": "m", "max_tokens": 9, "messages": [{ "role": "user", "content": "hello" }],
        "tools": [{ "name": "hdr-9f8e7d6c5b4a", "input_schema": { "type": "object" } }],
    });
    let mut client = Client::connect(&proxy);
    client.send("POST", "/v1/messages", JSON, body.to_string().as_bytes());
    let mut connection = upstream.accept();
    connection.request();
    let function = json!({ "name": "hdr-9f8e7d6c5b4a", "arguments": "{}" });
    let call = json!({ "id": "c", "type": "function", "function": function });
    let choice = json!({ "message": { "tool_calls": [call] }, "finish_reason": "tool_calls" });
    connection.answer("200 OK", &[], &json!({ "choices": [choice] }).to_string());
    assert_eq!(client.answer().json()["content"][0]["name"], "hdr-9f8e7d6c5b4a");
}
