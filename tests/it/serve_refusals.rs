//! What a provider refuses, and what the client is told of it.

use serde_json::json;

use crate::support::KEY;
use crate::support::client::{Client, JSON, message};
use crate::support::exchange::{begin, begin_stream, begin_whole, start};
use crate::support::upstream::Upstream;

#[test]
fn a_rate_limit_is_passed_on_with_when_to_try_again() {
    let (upstream, proxy) = start();
    let headers = [
        ("Retry-After", "7"),
        ("Retry-After-Ms", "6500"),
        ("X-Should-Retry", "true"),
        ("X-Other", "1"),
    ];
    for stream in [false, true] {
        let (mut client, mut connection) = begin(&upstream, &proxy, stream);
        connection.answer(
            "429 Too Many Requests",
            &headers,
            r#"{"error":{"message":"slow down","type":"tokens"}}"#,
        );
        connection.wire.close();
        let answer = client.answer();
        assert_eq!(answer.error(429, "rate_limit_error"), "custom: slow down");
        assert_eq!(answer.header("retry-after"), Some("7"));
        assert_eq!(answer.header("retry-after-ms"), Some("6500"));
        assert_eq!(answer.header("x-should-retry"), Some("true"));
        assert_eq!(answer.header("x-other"), None);
    }
}

#[test]
fn a_wrong_key_is_named_by_its_variable_and_shown_nowhere() {
    let (upstream, proxy) = start();
    for stream in [false, true] {
        let (mut client, mut connection) = begin(&upstream, &proxy, stream);
        let said = format!("Incorrect API key provided: {KEY}.");
        connection.answer(
            "401 Unauthorized",
            &[],
            &json!({ "error": { "message": said } }).to_string(),
        );
        connection.wire.close();
        let answer = client.answer();
        let told = answer.error(502, "api_error");
        assert!(told.contains("CUSTOM_API_KEY") && !answer.text().contains(KEY), "{told}");
        assert_eq!(answer.header("x-should-retry"), Some("false"));
    }
    proxy.wait_for_line("refuses its key");
    assert!(!proxy.log().contains(KEY), "{}", proxy.log());
}

#[test]
fn an_unknown_model_is_not_asked_for_again() {
    let (upstream, proxy) = start();
    let (mut client, mut connection) = begin_whole(&upstream, &proxy);
    connection.answer("404 Not Found", &[], r#"{"error":{"message":"no such model"}}"#);
    let answer = client.answer();
    let told = answer.error(500, "api_error");
    assert!(told.contains("CUSTOM_MODEL"), "{told}");
    assert_eq!(answer.header("x-should-retry"), Some("false"));
}

#[test]
fn an_error_page_in_html_is_told_as_text() {
    let (upstream, proxy) = start();
    let (mut client, mut connection) = begin_whole(&upstream, &proxy);
    connection.answer("502 Bad Gateway", &[], "<html><h1>Bad Gateway</h1></html>");
    assert_eq!(client.answer().error(502, "api_error"), "custom: Bad Gateway");
}

#[test]
fn a_redirect_is_not_followed() {
    let (upstream, proxy) = start();
    let elsewhere = Upstream::start();
    for status in ["301 Moved Permanently", "307 Temporary Redirect"] {
        let (mut client, mut connection) = begin_whole(&upstream, &proxy);
        let location = format!("{}/chat/completions?token=secret", elsewhere.base_url());
        connection.answer(status, &[("Location", &location)], "");
        connection.wire.close();
        let told = client.answer().error(502, "api_error");
        let named =
            told.contains(&elsewhere.address().to_string()) && told.contains("CUSTOM_BASE_URL");
        assert!(named && !told.contains("secret"), "{told}");
    }
    upstream.assert_nobody_waits();
    elsewhere.assert_nobody_waits();
}

#[test]
fn an_error_inside_the_stream_is_an_error_event() {
    let (upstream, proxy) = start();
    let (mut client, mut connection) = begin_stream(&upstream, &proxy);
    connection.begin_events();
    connection.say("so far");
    connection.event(r#"{"error":{"message":"all busy","type":"overloaded"}}"#);
    client.begin();
    assert_eq!(client.text(), "so far");
    let (kind, told) = client.fail();
    assert_eq!(kind, "overloaded_error");
    assert!(told.contains("all busy"), "{told}");
}

#[test]
fn an_error_as_the_streams_first_event_is_a_status() {
    let (upstream, proxy) = start();
    let (mut client, mut connection) = begin_stream(&upstream, &proxy);
    connection.begin_events();
    connection.event(r#"{"error":{"message":"all busy","type":"overloaded"}}"#);
    let told = client.answer().error(529, "overloaded_error");
    assert!(told.contains("all busy"), "{told}");
}

/// The first line of gpt-5's refusal of a small limit, by which clients try a model out: what the other
/// models answer with finish_reason "length".
#[test]
fn an_output_limit_that_was_reached_is_an_answer() {
    let (upstream, proxy) = start();
    let mut client = Client::connect(&proxy);
    client.send("POST", "/v1/messages", JSON, &message("hello", false));
    let mut connection = upstream.accept();
    connection.request();
    let words = "Could not finish the message because max_tokens or model output limit was reached. \
                 Please try again with higher max_tokens.";
    let body = json!({ "error": { "message": words, "type": "invalid_request_error" } });
    connection.answer("400 Bad Request", &[("Connection", "close")], &body.to_string());
    let answer = client.answer();
    assert_eq!(answer.status, 200);
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(text.contains("\"max_tokens\"") && !text.contains("error"), "{text}");
}
