//! Answers with an error → errors of the Messages API: the golden errors.

use ccproxy::error::{Cause, Error, Retry};
use ccproxy::translate::{Context, Explain, Said, is_output_limit, upstream_error};
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
        ..Explain::default()
    };
    let said = Said::read(body.trim_end().as_bytes());
    explain.explain(upstream_error(status, &said, retry, context))
}

#[test]
fn errors_are_translated() {
    ERRORS.check(|case| {
        let error = translate(std::str::from_utf8(&case.input).expect("UTF-8"));
        let Retry { after, after_ms, should_retry, .. } = error.retry();
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
        let error = upstream_error(status, &Said::read(b""), Retry::default(), context);
        assert!(STATUSES.contains(&error.status()), "{status} became {}", error.status());
    }
}

/// The overflow corpus, text by text: `N M words`, where N and M are the sizes that the words tell, or
/// `-`.
#[test]
fn every_wording_of_an_overflow_is_one() {
    for line in include_str!("overflow/matches.txt").lines() {
        let mut parts = line.splitn(3, ' ');
        let mut size = || parts.next().expect("a size").parse::<u64>().ok();
        let (n, m) = (size(), size());
        let words = parts.next().expect("words");
        // What is not told is estimated: the prompt, and that the window is less.
        let n = n.unwrap_or(m.map_or(5000, |m| 5000.max(m + 1)));
        let m = m.unwrap_or(n - 1);
        let wanted = format!("prompt is too long: {n} tokens > {m} maximum");
        let inner = serde_json::json!({"error": {"message": words, "code": 400}}).to_string();
        let wrapped = serde_json::json!({"error": {"message": "Provider returned error",
            "code": 400, "metadata": {"raw": inner, "provider_name": "X"}}});
        for body in [words.to_owned(), inner, wrapped.to_string()] {
            let error = translate(&format!("HTTP/1.1 400 X\n\n{body}"));
            let told = (error.cause(), error.status(), error.to_string());
            assert_eq!(told, (Cause::ContextOverflow, 400, wanted.clone()), "{body}");
        }
    }
}

#[test]
fn what_is_too_much_of_something_else_is_no_overflow() {
    for words in include_str!("overflow/others.txt").lines() {
        let inner = serde_json::json!({"error": {"message": words, "code": 400}}).to_string();
        for body in [words.to_owned(), inner] {
            for status in [400, 413] {
                let error = translate(&format!("HTTP/1.1 {status} X\n\n{body}"));
                assert_ne!(error.cause(), Cause::ContextOverflow, "{status}: {body}");
            }
        }
    }
}

#[test]
fn both_corpora_are_as_large_as_was_asked() {
    let count = |text: &str| text.lines().count();
    assert!(count(include_str!("overflow/matches.txt")) >= 60);
    assert!(count(include_str!("overflow/others.txt")) >= 60);
}

/// OpenAI, Z.ai and Moonshot tell of an empty account with 429; Gemini says "quota" of a limit that
/// passes by itself.
#[test]
fn an_empty_account_is_told_at_once_and_a_passing_limit_is_tried_again() {
    for (status, body) in [
        (
            429,
            r#"{"error":{"message":"You exceeded your current quota, please check your plan and billing details.","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#,
        ),
        (
            429,
            r#"{"error":{"message":"Insufficient balance or no resource package. Please recharge.","code":"1113"}}"#,
        ),
        (429, r#"{"error":{"message":"余额不足或无可用资源包,请充值。","code":"1113"}}"#),
        (
            429,
            r#"{"error":{"message":"Your account org-x is suspended, please recharge","type":"exceeded_current_quota_error"}}"#,
        ),
        (
            400,
            r#"{"code":"Arrearage","message":"Access denied, please make sure your account is in good standing."}"#,
        ),
        (403, r#"{"error":{"message":"Your team has used all available credits","code":"x"}}"#),
        (
            429,
            r#"{"error":{"message":"Provider returned error","code":429,"metadata":{"raw":"{\"error\":{\"code\":\"insufficient_quota\",\"message\":\"no\"}}"}}}"#,
        ),
    ] {
        let error = translate(&format!("HTTP/1.1 {status} X\n\n{body}"));
        let told = (error.status(), error.kind(), error.retry().should_retry);
        assert_eq!(told, (402, "billing_error", Some(false)), "{body}");
    }
    for body in [
        r#"[{"error":{"code":429,"message":"You exceeded your current quota. Please retry in 34s.","status":"RESOURCE_EXHAUSTED"}}]"#,
        r#"{"error":{"message":"Rate limit reached for requests","code":"rate_limit_exceeded"}}"#,
    ] {
        let error = translate(&format!("HTTP/1.1 429 X\n\n{body}"));
        assert_eq!((error.status(), error.retry().should_retry), (429, None), "{body}");
    }
}

#[test]
fn the_output_limit_that_was_reached_is_told_from_one_that_is_refused() {
    let is_output_limit = |body: &str| is_output_limit(&Said::read(body.as_bytes()));
    assert!(is_output_limit(
        r#"{"error":{"message":"Could not finish the message because max_tokens or model output limit was reached. Please try again with higher max_tokens.","code":null}}"#
    ));
    for words in include_str!("overflow/others.txt").lines() {
        assert_eq!(is_output_limit(words), words.starts_with("Could not finish"), "{words}");
    }
}
