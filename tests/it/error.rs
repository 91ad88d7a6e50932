//! Answers with an error → errors of the Messages API: the golden errors.

use ccproxy::error::{Cause, Error, Retry};
use ccproxy::translate::{Context, Explain, upstream_error};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::golden::Kind;

const ERRORS: Kind = Kind { dir: "error", input: ".upstream.http", output: ".anthropic.json" };

/// What the client is told.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Told {
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x_should_retry: Option<bool>,
    body: Box<RawValue>,
}

/// Translates an answer written as on the wire: status line, headers, an empty line, body.
fn translate(answer: &str) -> Error {
    let (head, body) = answer.split_once("\n\n").expect("an empty line ends the head");
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status line");
    let mut retry = Retry::default();
    for line in lines {
        let (name, value) = line.split_once(": ").expect("a header");
        match &*name.to_ascii_lowercase() {
            "retry-after" => retry.after = Some(value.to_owned()),
            "retry-after-ms" => retry.after_ms = Some(value.to_owned()),
            "x-should-retry" => retry.should_retry = value.parse().ok(),
            _ => {}
        }
    }
    let context = Context { model: "llama-9", input_estimate: 5000 };
    let status = status.parse().expect("a status");
    let explain = Explain {
        provider: "groq".to_owned(),
        base_url: "https://api.groq.com/openai/v1".to_owned(),
        keys: "GROQ_API_KEY".to_owned(),
        base_url_variable: "GROQ_BASE_URL".to_owned(),
        model_variable: "GROQ_MODEL".to_owned(),
        has_key: true,
        model: "llama-9".to_owned(),
        example: "openai/gpt-oss-120b",
        is_clients: false,
    };
    explain.explain(upstream_error(status, body.trim_end().as_bytes(), retry, context))
}

#[test]
fn errors_are_translated() {
    ERRORS.check(|case| {
        let error = translate(std::str::from_utf8(&case.input).expect("UTF-8"));
        let Retry { after, after_ms, should_retry } = error.retry();
        let body = String::from_utf8(error.body("req_test")).expect("UTF-8");
        let told = Told {
            status: error.status(),
            retry_after: after,
            retry_after_ms: after_ms,
            x_should_retry: should_retry,
            body: RawValue::from_string(body).expect("JSON"),
        };
        let text = serde_json::to_string_pretty(&told).expect("JSON");
        vec![(case.name.clone(), text + "\n")]
    });
}

/// Checks the status and the type that the client gets for an error of ccproxy's own.
fn check(error: Error, status: u16, kind: &str) {
    assert_eq!((error.status(), error.kind()), (status, kind), "{error:?}");
}

#[test]
fn own_errors_have_a_status_and_a_type() {
    let reason = || "why".to_owned();
    check(Error::request("model", "why"), 400, "invalid_request_error");
    check(Error::ThreadUnsupported, 400, "invalid_request_error");
    check(Error::Refused { status: 401, reason: reason() }, 401, "authentication_error");
    check(Error::Refused { status: 404, reason: reason() }, 404, "not_found_error");
    check(Error::Refused { status: 413, reason: reason() }, 413, "request_too_large");
    check(Error::Refused { status: 529, reason: reason() }, 529, "overloaded_error");
    check(Error::protocol("why"), 502, "api_error");
    check(Error::Internal, 500, "api_error");
    for (cause, status, kind) in [
        (Cause::Dns, 502, "api_error"),
        (Cause::ConnectRefused, 502, "api_error"),
        (Cause::Reset, 502, "api_error"),
        (Cause::Timeout, 504, "timeout_error"),
    ] {
        check(Error::unreachable(cause, "why"), status, kind);
    }
}

#[test]
fn every_status_of_an_upstream_becomes_one_of_anthropic() {
    const STATUSES: &[u16] = &[400, 402, 408, 409, 413, 429, 500, 502, 503, 504, 529];
    let context = Context { model: "llama-9", input_estimate: 1 };
    for status in 0..=1000 {
        let error = upstream_error(status, b"", Retry::default(), context);
        assert!(STATUSES.contains(&error.status()), "{status} became {}", error.status());
    }
}
