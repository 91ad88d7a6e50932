//! An upstream's error → [`Error::Upstream`]: what its words, codes and status mean.

mod cut_json;
mod explain;
mod lesson;
mod overflow;
mod said;
mod words;

use serde_json::value::RawValue;

use self::overflow::{Overflow, overflow};
use self::said::Said;
use crate::error::{Cause, Error, Retry};
use crate::redact::without_keys;
pub use explain::{Explain, first_words};
pub(super) use lesson::EFFORTS;
pub use lesson::{Learned, Lesson, Param, Sent};
pub use words::{lesson as lesson_of, may_teach};

/// The longest message that is passed on, in characters.
const MAX_MESSAGE: usize = 2000;

/// What is known about the request when its error is translated.
#[derive(Debug, Clone, Copy, Default)]
pub struct Context<'a> {
    /// The model that was asked for.
    pub model: &'a str,
    /// The request's input tokens, estimated.
    pub input_estimate: u64,
}

/// Translates the answer `status` with `body`. The message is the upstream's; who said it is for
/// [`Explain`] to add.
///
/// A context overflow, in any wording, becomes `prompt is too long: N tokens > M maximum`, which
/// makes Claude Code compact the conversation.
pub fn upstream_error(status: u16, body: &[u8], retry: Retry, context: Context<'_>) -> Error {
    let text = String::from_utf8_lossy(body);
    let said = Said::read(&text);
    let words = said.text.clone().unwrap_or_else(|| plain_text(&text));
    // What a gateway says itself tells less than what it wraps.
    let status = match status {
        400 | 500 | 502 | 503 if said.is_wrapped => status_of(&said, &words).unwrap_or(status),
        status => status,
    };
    // 429 and its kin are about rates, also where they speak of tokens.
    // Together says 403: https://github.com/togethercomputer/skills
    let may_overflow = matches!(status, 400 | 403 | 413 | 422 | 500)
        || (said.is_wrapped && matches!(status, 502 | 503));
    if may_overflow && let Some(error) = context_overflow(&words, &said, context) {
        return error;
    }
    // The client's request was fine, the model's call was not: 400 would end the session.
    let status = if said.has_code(&["tool_use_failed"]) { 500 } else { status };
    refusal(status, &words, &said, retry, context)
}

/// Translates the `error` member of a chunk.
pub(super) fn stream_error(error: &RawValue, input_estimate: u64) -> Error {
    stream_failure(error.get().as_bytes(), input_estimate)
}

/// Translates an error object, or the data of an `event: error`.
///
/// A context overflow becomes the same as in [`upstream_error`]: the Responses API tells it in its
/// stream.
pub(super) fn stream_failure(data: &[u8], input_estimate: u64) -> Error {
    let text = String::from_utf8_lossy(data);
    let said = Said::read(&text);
    let words = said.text.clone().unwrap_or_else(|| plain_text(&text));
    let context = Context { model: "", input_estimate };
    if let Some(error) = context_overflow(&words, &said, context) {
        return error;
    }
    // The client's turn was fine; the model's was not. 400 would end the session.
    let status = status_of(&said, &words).unwrap_or(500);
    refusal(status, &words, &said, Retry::default(), context)
}

/// The error of a body that was answered with 200, if it is one: no choices in it, and words.
///
/// DashScope, MiniMax, iFlow, FastAPI and old vLLM answer so, each in its form.
pub fn error_in_body(body: &[u8], input_estimate: u64) -> Option<Error> {
    let text = String::from_utf8_lossy(body);
    let said = Said::read(&text);
    let is_fine = ["0", "200", "success", "ok"];
    let is_well = said.codes.first().is_some_and(|code| is_fine.contains(&&*code.to_lowercase()));
    let has_words =
        said.text.as_ref().is_some_and(|text| !is_fine.contains(&&*text.to_lowercase()));
    let error = (has_words && !is_well).then(|| stream_failure(body, input_estimate))?;
    // Who answers 200 may mean something else by it: its own words stay to be read.
    Some(match (error.cause(), said.text) {
        (Cause::ContextOverflow, Some(words)) => {
            error.map_text(|told| format!("{told} ({})", shorten(&without_keys(&words))))
        }
        _ => error,
    })
}

/// Whether a refusal says that the output was cut by its limit before anything was said, which is
/// an answer: `finish_reason` "length" of the other models.
pub fn is_output_limit(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body);
    let words = Said::read(&text).text.unwrap_or_else(|| text.into_owned()).to_lowercase();
    let names_limit = words.contains("output limit") || words.contains("max_tokens");
    names_limit
        && words.contains("reached")
        && (words.contains("could not finish") || words.contains("higher max_tokens"))
}

/// Translates the error object of the Messages API, which stands for `status`.
pub fn native_error(status: u16, error: &[u8]) -> Error {
    let said = Said::read(&String::from_utf8_lossy(error));
    let words = said.text.clone().unwrap_or_else(|| "it tells of an error".to_owned());
    let status = match status {
        500 => status_of(&said, &words).unwrap_or(status),
        status => status,
    };
    if matches!(status, 400 | 500)
        && let Some(error) = context_overflow(&words, &said, Context::default())
    {
        return error;
    }
    refusal(status, &words, &said, Retry::default(), Context::default())
}

/// The error for what was said, by status, code and words.
fn refusal(status: u16, words: &str, said: &Said, retry: Retry, context: Context<'_>) -> Error {
    let (status, cause) = cause(status, words, said, context.model);
    let message = if words.is_empty() && status != 404 {
        format!("status {status} without a message")
    } else {
        shorten(&without_keys(words))
    };
    Error::Upstream { status, cause, message, retry }
}

/// Codes of the services for a model that they do not have.
const UNKNOWN_MODEL_CODES: &[&str] = &[
    "model_not_found",
    "model_not_available",
    "model_decommissioned",
    "model_deprecated",
    "model_not_supported",
    "unknown_model",
    "invalid_model",
    "modelnotfound",
    "modelnotopen",
    "deploymentnotfound",
    "invalidendpointormodel.notfound",
    "1211", // Z.ai
];

/// Words for it that mean nothing else.
const UNKNOWN_MODEL: &[&str] = &[
    "unknown model",
    "invalid model:",
    "invalid model '",
    "invalid model `",
    "invalid model \"",
    "invalid model name",
    "invalid model identifier",
    "model identifier is invalid",
    "model not exist",
    "model not found",
    "no such model",
    "no model named",
    "not a valid model",
    "not found the model",
    "model does not exist",
    "unable to access model",
    "access to model",
    "no endpoints found for",
    "requested model is not supported",
    "model is not available",
    "model has been decommissioned",
    "deployment for this resource does not exist",
    "模型不存在",
];

/// How far behind the model's name, in characters, words may be and still be about it.
const BESIDE: usize = 40;

/// Words for it behind the model's own name.
const NOT_THERE: &[&str] = &[
    "not exist",
    "not found",
    "not been found",
    "not be found",
    "not available",
    "not deployed",
    "isn't available",
    "decommissioned",
    "deprecated",
    "retired",
    "no longer",
    "not loaded",
    "lacks access",
    "no access",
    "do not have access",
    "don't have access",
    "not supported by any provider",
];

/// Codes of an account that is empty. Ten tries more do not fill it.
///
/// Gemini's `RESOURCE_EXHAUSTED` is none of them, though its words are the same: it passes.
const EMPTY_ACCOUNT_CODES: &[&str] = &[
    "insufficient_quota", // OpenAI
    "insufficient_user_quota",
    "pre_consume_token_quota_failed",
    "insufficient_balance",
    "insufficient_credits",
    "insufficient_funds",
    "exceeded_current_quota_error", // Moonshot
    "billing_hard_limit_reached",
    "billing_not_active",
    "billing_error",
    "payment_required",
    "arrearage",           // DashScope
    "accountoverdueerror", // Volcengine
    "1113",                // Z.ai
    "1008",                // MiniMax
];

/// Words for it that mean nothing else.
const EMPTY_ACCOUNT: &[&str] = &[
    "credit balance is too low",
    "insufficient balance",
    "insufficient credit",
    "insufficient funds",
    "insufficient account balance",
    "not enough credits",
    "out of credits",
    "no credits left",
    "used all available credits",
    "monthly spending limit",
    "account is in arrears",
    "overdue payment",
    "余额不足",
    "余额已用尽",
    "欠费",
];

/// What a refusal is about, and the status that says the same where the service's own says less.
fn cause(status: u16, words: &str, said: &Said, model: &str) -> (u16, Cause) {
    let lower = words.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let is_code = |words: &[&str]| said.is_code(words);
    let is_about_the_model = || {
        let name = model.to_lowercase();
        let mut named = lower.match_indices(&name).filter(|_| !name.is_empty());
        is_code(UNKNOWN_MODEL_CODES)
            || says(UNKNOWN_MODEL)
            || named.any(|(at, _)| {
                let after: String = lower[at + name.len()..].chars().take(BESIDE).collect();
                NOT_THERE.iter().any(|words| after.contains(words))
            })
            || (matches!(status, 404 | 410)
                && (says(&["model", "deployment"]) || named.next().is_some()))
    };
    match status {
        // OpenRouter has the model, but nobody there does with it what was asked for.
        404 if says(&["no endpoints found that", "no endpoints found matching"]) => {
            (400, Cause::RefusedRequest)
        }
        // Local servers, and true for a while only.
        404 if says(&["model is loading", "is being loaded"]) => (503, Cause::UpstreamError),
        400 | 403 | 404 | 410 | 422 | 500 if is_about_the_model() => {
            // Of another model than was sent no setting here can tell more than the words do.
            let cause = match names_another_model(&lower, model) {
                true => Cause::RefusedRequest,
                false => Cause::ModelUnknown,
            };
            (404, cause)
        }
        404 | 405 | 410 => (status, Cause::NotTheApi),
        400 | 403 | 429 | 500 if is_code(EMPTY_ACCOUNT_CODES) || says(EMPTY_ACCOUNT) => {
            (402, Cause::Billing)
        }
        400 if says(&["api key not valid", "incorrect api key", "invalid api key"]) => {
            (401, Cause::KeyRefused)
        }
        // What was said was not to be said; the key is good.
        403 if says(&["moderation", "flagged"]) => (400, Cause::RefusedRequest),
        503 | 529 | 500 | 502
            if is_code(&["overloaded_error", "overloaded", "engine_overloaded"])
                || (status == 503 && says(&["overload", "capacity", "busy", "high demand"])) =>
        {
            (529, Cause::Overloaded)
        }
        status => (status, Cause::of_status(status)),
    }
}

/// Whether the words, in small letters, name a model, and it is not the one that was sent.
fn names_another_model(lower: &str, sent: &str) -> bool {
    // What services add and leave out: who made it, and which edition it is.
    let base = |name: &str| {
        let name = name.rsplit('/').next().unwrap_or_default();
        name.split([':', '@']).next().unwrap_or_default().to_lowercase()
    };
    let sent = base(sent);
    let is_sent = |named: &str| base(named).starts_with(&sent);
    let mut named = named_models(lower).peekable();
    !sent.is_empty() && named.peek().is_some() && !named.any(is_sent)
}

/// What stands in the place of a model's name: behind the word, and in quotes or like no word.
fn named_models(lower: &str) -> impl Iterator<Item = &str> {
    const BETWEEN: &[&str] = &["name", "identifier", "id", "named", "passed in", "model"];
    const QUOTES: &[char] = &['`', '\'', '"', '\\'];
    let behind = lower.match_indices("model").filter_map(|(at, word)| {
        let mut rest = lower[at + word.len()..].trim_start_matches('s');
        loop {
            let before = rest.len();
            rest = rest.trim_start_matches([' ', ':', '=', '/', '(', '[']);
            for word in BETWEEN {
                rest = rest
                    .strip_prefix(word)
                    .filter(|rest| rest.starts_with([' ', ':', '=']))
                    .unwrap_or(rest);
            }
            if rest.len() == before {
                break;
            }
        }
        let is_quoted = rest.starts_with(QUOTES);
        let rest = rest.trim_start_matches(QUOTES);
        let end =
            rest.find(|c: char| c.is_whitespace() || QUOTES.contains(&c) || ",;)]".contains(c));
        let name = rest[..end.unwrap_or(rest.len())].trim_end_matches(['.', ':', '!', '?']);
        let is_a_name =
            is_quoted || name.contains(|c: char| c.is_ascii_digit() || "-/:".contains(c));
        (is_a_name && !name.is_empty()).then_some(name)
    });
    let before = lower.match_indices(" is not a valid model").filter_map(|(at, _)| {
        let name = lower[..at].rsplit([' ', '\n']).next()?.trim_matches(QUOTES);
        (!name.is_empty()).then_some(name)
    });
    behind.chain(before)
}

/// The status an error object stands for: a number in it, or its words.
fn status_of(said: &Said, words: &str) -> Option<u16> {
    let says = |words: &[&str]| said.has_code(words);
    let lower = words.to_lowercase();
    match said.status() {
        // iFlow's number for too many requests.
        Some(449) => Some(429),
        Some(status) => Some(status),
        None if says(&["authentication", "invalid_api_key"]) => Some(401),
        None if says(&["insufficient_quota"]) => Some(402),
        None if says(&["not_found"]) => Some(404),
        None if says(&["rate_limit", "resource_exhausted"]) => Some(429),
        None if says(&["overloaded", "unavailable", "capacity"]) => Some(529),
        None if lower.contains("rate limit") || lower.contains("too many requests") => Some(429),
        None => None,
    }
}

/// Text that is not JSON: HTML without its tags, white space folded.
pub(super) fn plain_text(text: &str) -> String {
    let mut out = String::new();
    let mut in_tag = false;
    for (at, c) in text.char_indices() {
        // `must be <= 8192` has none.
        let begins_tag = |c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!');
        match c {
            '<' if text[at + 1..].starts_with(begins_tag) => in_tag = true,
            '>' if in_tag => {
                in_tag = false;
                out.push(' ');
            }
            c if !in_tag => out.push(c),
            _ => {}
        }
    }
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(MAX_MESSAGE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Whether a refusal is about the size of the request, which the client has to make smaller.
fn is_overflow(words: &str, said: &Said) -> bool {
    context_overflow(words, said, Context::default()).is_some()
}

/// The tokens that fit into the model, if `body` refuses a request for its size and names them.
pub fn window_of(body: &[u8]) -> Option<u64> {
    let text = String::from_utf8_lossy(body);
    let said = Said::read(&text);
    let words = said.text.clone().unwrap_or_else(|| plain_text(&text));
    let found = overflow(&words, said.codes.iter().map(String::as_str))?;
    said.window.or(found.window)
}

/// The error of a context overflow, in the words that Claude Code knows, if it is one.
fn context_overflow(words: &str, said: &Said, context: Context<'_>) -> Option<Error> {
    if said.has_code(&["rate_limit"]) {
        return None;
    }
    let found = overflow(words, said.codes.iter().map(String::as_str))?;
    let Overflow { input, window, output, is_at_least } = found;
    let estimate = context.input_estimate;
    let window = said.window.or(window);
    let input = said.prompt_tokens.or(input.map(|n| if is_at_least { n.max(estimate) } else { n }));
    // Without the limit, the least that can be said is that this was above it.
    let (n, m) = match (input, window) {
        (Some(n), Some(m)) => (n, m),
        (None, Some(m)) => (estimate.max(m + 1), m),
        (n, None) => {
            let n = n.unwrap_or(estimate);
            (n, n.saturating_sub(1))
        }
    };
    let message = match output {
        // The input fits; Claude Code asks for less output when it reads this.
        Some(o) if n < m => format!(
            "input length and `max_tokens` exceed context limit: {n} + {o} > {m}, \
             decrease input length or `max_tokens` and try again"
        ),
        _ => format!("prompt is too long: {n} tokens > {m} maximum"),
    };
    let retry = Retry::default();
    Some(Error::Upstream { status: 400, cause: Cause::ContextOverflow, message, retry })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTEXT: Context = Context { model: "kimi-k2", input_estimate: 777 };

    fn said(status: u16, body: &str) -> (u16, String) {
        let error = upstream_error(status, body.as_bytes(), Retry::default(), CONTEXT);
        (error.status(), error.to_string())
    }

    #[test]
    fn every_form_is_read() {
        for (body, message) in [
            (r#"{"error":{"message":"m","type":"t"}}"#, "m"),
            (r#"{"error":"m"}"#, "m"),
            (r#"{"code":"c","error":"m"}"#, "m"),
            (r#"[{"error":{"code":400,"message":"m","status":"S"}}]"#, "m"),
            (r#"{"detail":[{"loc":["body",0],"msg":"m"}]}"#, "body.0: m"),
            (r#"{"detail":"m"}"#, "m"),
            (r#"{"message":"m","type":"t"}"#, "m"),
            (r#"{"object":"error","message":{"detail":[{"msg":"m"}]}}"#, "m"),
            (r#"{"base_resp":{"status_code":1,"status_msg":"m"}}"#, "m"),
            ("<html><h1>502  Bad\nGateway</h1></html>", "502 Bad Gateway"),
            ("", "status 409 without a message"),
        ] {
            assert_eq!(said(409, body), (409, message.to_owned()), "{body}");
        }
    }

    #[test]
    /// Of the services' documentation and of reports: how they say that they have no such model.
    fn every_wording_of_an_unknown_model_is_recognised() {
        for (status, body) in [
            (
                404,
                r#"{"error":{"message":"The model `kimi-k2` does not exist or you do not have access to it.","type":"invalid_request_error","code":"model_not_found"}}"#,
            ),
            (
                400,
                r#"{"error":{"message":"The model `kimi-k2` has been decommissioned and is no longer supported.","code":"model_decommissioned"}}"#,
            ),
            (400, r#"{"error":{"message":"kimi-k2 is not a valid model ID","code":400}}"#),
            (404, r#"{"error":{"message":"No endpoints found for kimi-k2.","code":404}}"#),
            (404, r#"{"error":"model 'kimi-k2' not found"}"#),
            (404, r#"{"error":{"message":"model \"kimi-k2\" not found, try pulling it first"}}"#),
            (
                400,
                r#"{"object":"error","message":"Invalid model: kimi-k2","type":"invalid_model","code":"1500"}"#,
            ),
            (
                400,
                r#"{"error":{"message":"Model Not Exist","type":"invalid_request_error","code":"invalid_request_error"}}"#,
            ),
            (
                404,
                r#"{"code":"Some resource has been not found","error":"The model kimi-k2 does not exist or your team 1 does not have access to it."}"#,
            ),
            (
                404,
                r#"[{"error":{"code":404,"message":"models/kimi-k2 is not found for API version v1main, or is not supported for generateContent.","status":"NOT_FOUND"}}]"#,
            ),
            (
                404,
                r#"{"error":{"message":"Unable to access model kimi-k2. Please visit the page for the list of models","type":"invalid_request_error","code":"model_not_available"}}"#,
            ),
            (
                404,
                r#"{"error":{"object":"error","message":"Model not found, inaccessible, and/or not deployed","code":"NOT_FOUND"}}"#,
            ),
            (
                400,
                r#"{"error":{"code":"1211","message":"Unknown Model, please check the model code."}}"#,
            ),
            (400, r#"{"error":{"code":"1211","message":"模型不存在，请检查模型代码。"}}"#),
            (400, r#"{"error":{"message":"Unknown model: kimi-k2","code":"unknown_model"}}"#),
            (
                404,
                r#"{"error":{"message":"Not found the model kimi-k2 or Permission denied","type":"resource_not_found_error"}}"#,
            ),
            (
                403,
                r#"{"error":{"message":"Project `p` does not have access to model `kimi-k2`","code":"model_not_found"}}"#,
            ),
            (
                404,
                r#"{"error":{"code":"DeploymentNotFound","message":"The API deployment for this resource does not exist."}}"#,
            ),
            (
                400,
                r#"{"error":{"message":"The requested model 'kimi-k2' does not exist","code":"model_not_found"}}"#,
            ),
            (
                400,
                r#"{"error":"Invalid model identifier \"kimi-k2\". Please specify a valid downloaded model"}"#,
            ),
            (
                400,
                r#"{"error":{"message":"Invalid model 'kimi-k2'. Permitted models can be found in the documentation","type":"invalid_model"}}"#,
            ),
            (
                400,
                r#"{"error":{"message":"The requested model is not supported.","code":"model_not_supported"}}"#,
            ),
            (
                404,
                r#"{"type":"error","error":{"type":"not_found_error","message":"model: kimi-k2"}}"#,
            ),
            (400, r#"{"error":{"message":"The provided model identifier is invalid."}}"#),
            (
                404,
                r#"{"object":"error","message":"The model `kimi-k2` does not exist.","type":"NotFoundError","code":404}"#,
            ),
            (
                400,
                r#"{"error":{"message":"litellm: Invalid model name passed in model=kimi-k2. Call `/v1/models` to view available models"}}"#,
            ),
            (410, r#"{"error":{"message":"kimi-k2 has been deprecated"}}"#),
            (422, r#"{"detail":"Model kimi-k2 is not available"}"#),
        ] {
            let error = upstream_error(status, body.as_bytes(), Retry::default(), CONTEXT);
            assert_eq!((error.cause(), error.status()), (Cause::ModelUnknown, 500), "{body}");
        }
        // The model is another than was sent: the words tell all that is known.
        for body in [
            r#"{"error":{"message":"The model `x` does not exist","code":"model_not_found"}}"#,
            r#"{"error":{"message":"The model `kimi` does not exist","code":"model_not_found"}}"#,
            r#"{"error":"model 'llama-9:8b' not found, try pulling it first"}"#,
            r#"{"error":{"message":"Unknown model: gpt-9"}}"#,
            r#"{"error":{"message":"models/gemini-9 is not found for API version v1"}}"#,
            r#"{"error":{"message":"acme/gpt-9 is not a valid model ID"}}"#,
            r#"{"error":{"message":"litellm: Invalid model name passed in model=gpt-9. Call `/v1/models`"}}"#,
        ] {
            let error = upstream_error(404, body.as_bytes(), Retry::default(), CONTEXT);
            let told = (error.cause(), error.status(), error.kind());
            assert_eq!(told, (Cause::RefusedRequest, 404, "not_found_error"), "{body}");
        }
        // It is the same by another name, or nobody's.
        for body in [
            r#"{"error":{"message":"The model `moonshotai/Kimi-K2:free` does not exist"}}"#,
            r#"{"error":{"message":"The model kimi-k2-0905 does not exist"}}"#,
            r#"{"error":{"message":"The model you asked for, kimi-k2, does not exist"}}"#,
            r#"{"error":{"message":"The model does not exist. See the list of models."}}"#,
            r#"{"error":{"message":"Invalid model name passed in. Call `/v1/models` for a list"}}"#,
        ] {
            let error = upstream_error(404, body.as_bytes(), Retry::default(), CONTEXT);
            assert_eq!((error.cause(), error.status()), (Cause::ModelUnknown, 500), "{body}");
        }
        // What speaks of the model, and is about something else.
        for (status, body) in [
            (
                400,
                r#"{"error":{"message":"Unsupported parameter: 'stop' is deprecated with model kimi-k2"}}"#,
            ),
            (400, r#"{"error":{"message":"Model kimi-k2 does not support tools"}}"#),
            (400, r#"{"error":{"message":"tool_use_id toolu_1 not found in the messages"}}"#),
            (404, r#"{"error":{"message":"No endpoints found that support tool use."}}"#),
            (
                404,
                r#"{"error":{"message":"Invalid URL (POST /chat/completions)","type":"invalid_request_error"}}"#,
            ),
            (404, "404 page not found"),
            (
                429,
                r#"{"error":{"message":"Rate limit reached for model kimi-k2, which is not available"}}"#,
            ),
            (503, r#"{"error":{"message":"The model kimi-k2 is not available: overloaded"}}"#),
        ] {
            let error = upstream_error(status, body.as_bytes(), Retry::default(), CONTEXT);
            assert_ne!(error.cause(), Cause::ModelUnknown, "{body}");
        }
    }

    #[test]
    fn every_overflow_is_recognised() {
        for (body, message) in [
            (
                "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens.",
                "prompt is too long: 9001 tokens > 8192 maximum",
            ),
            (
                "This model's maximum context length is 131072 tokens. However, you requested 131134 tokens (122942 in the messages, 8192 in the completion). Please reduce the length of the messages or completion.",
                "input length and `max_tokens` exceed context limit: 122942 + 8192 > 131072, decrease input length or `max_tokens` and try again",
            ),
            (
                "This model's maximum prompt length is 131072 but the request contains 136973 tokens.",
                "prompt is too long: 136973 tokens > 131072 maximum",
            ),
            (
                "request (302 tokens) exceeds the available context size (256 tokens), try increasing it",
                "prompt is too long: 302 tokens > 256 maximum",
            ),
            (
                r#"{"error":{"message":"Please reduce the length of the messages or completion.","code":"context_length_exceeded"}}"#,
                "prompt is too long: 777 tokens > 776 maximum",
            ),
            (
                r#"{"error":{"code":400,"message":"too big","type":"exceed_context_size_error","n_prompt_tokens":99,"n_ctx":50}}"#,
                "prompt is too long: 99 tokens > 50 maximum",
            ),
        ] {
            assert_eq!(said(400, body), (400, message.to_owned()), "{body}");
        }
        let rate = r#"{"error":{"message":"Request too large on tokens per minute (TPM): Limit 6000. Please reduce the length of the messages","code":"rate_limit_exceeded"}}"#;
        assert_eq!(said(413, rate).0, 413);
    }
}
