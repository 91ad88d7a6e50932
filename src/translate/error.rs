//! An upstream's error, in whatever form → [`Error::Upstream`].
//!
//! Forms seen: `{"error":{"message",…}}`, `{"error":"…"}`, `[{"error":{…}}]`, `{"detail":[{"msg"}]}`,
//! `{"detail":"…"}`, `{"message":…}`, `{"object":"error","message":{"detail":[…]}}`,
//! `{"base_resp":{"status_msg"}}`, plain text, HTML.

use serde_json::Value;
use serde_json::value::RawValue;

use super::cut_json::parse_beginning;
use crate::error::{Cause, Error, Retry};
use crate::json;
use crate::redact::without_keys;

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
/// [`Explain`](super::Explain) to add.
///
/// A context overflow, in any wording, becomes `prompt is too long: N tokens > M maximum`, which
/// makes Claude Code compact the conversation.
pub fn upstream_error(status: u16, body: &[u8], retry: Retry, context: Context<'_>) -> Error {
    let text = String::from_utf8_lossy(body);
    let trimmed = text.trim();
    let json = json::tree(trimmed).or_else(|| parse_beginning(json::beginning(trimmed)));
    let said = json.as_ref().and_then(message);
    // 429 and its kin are about rates, also where they speak of tokens.
    // Together says 403: https://github.com/togethercomputer/skills
    let may_overflow =
        matches!(status, 400 | 403 | 413 | 422 | 500) && !is_rate_limit(json.as_ref());
    if may_overflow
        && let Some(message) = overflow(said.as_deref().unwrap_or(&text), json.as_ref(), context)
    {
        return context_overflow(message);
    }
    // The client's request was fine, the model's call was not: 400 would end the session.
    let failed_call = json.as_ref().is_some_and(|json| json["error"]["code"] == "tool_use_failed");
    let status = if failed_call { 500 } else { status };
    let said = said.unwrap_or_else(|| plain_text(&text));
    refusal(status, &said, json.as_ref(), retry, context)
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
    let json = json::tree(&text);
    let said = json.as_ref().and_then(message).unwrap_or_else(|| plain_text(&text));
    let context = Context { model: "", input_estimate };
    if !is_rate_limit(json.as_ref())
        && let Some(message) = overflow(&said, json.as_ref(), context)
    {
        return context_overflow(message);
    }
    let inner = json.as_ref().map(|json| json.get("error").unwrap_or(json));
    let status = inner.and_then(status_of).unwrap_or(500);
    refusal(status, &said, json.as_ref(), Retry::default(), context)
}

/// Translates the error object of the Messages API, which stands for `status`.
pub fn native_error(status: u16, error: &[u8]) -> Error {
    let text = String::from_utf8_lossy(error);
    let json = json::tree(&text);
    let said = json.as_ref().and_then(message).unwrap_or_else(|| "it tells of an error".to_owned());
    if status == 400
        && let Some(message) = overflow(&said, json.as_ref(), Context::default())
    {
        return context_overflow(message);
    }
    refusal(status, &said, json.as_ref(), Retry::default(), Context::default())
}

/// The error for what was said, by status, code and words.
fn refusal(
    status: u16,
    said: &str,
    json: Option<&Value>,
    retry: Retry,
    context: Context<'_>,
) -> Error {
    let codes = codes(json);
    let (status, cause) = cause(status, said, &codes, context.model);
    let message = if said.is_empty() && status != 404 {
        format!("status {status} without a message")
    } else {
        shorten(&without_keys(said))
    };
    Error::Upstream { status, cause, message, retry }
}

/// The codes and types of an error object, in small letters.
fn codes(json: Option<&Value>) -> Vec<String> {
    let first = json.map(|json| json.get(0).unwrap_or(json));
    let error = first.map(|json| json.get("error").unwrap_or(json));
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.to_ascii_lowercase()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let keys = ["code", "type", "status", "error_code"];
    keys.iter().filter_map(|key| text(error?.get(*key)?)).collect()
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

/// What a refusal is about, and the status that says the same where the service's own says less.
fn cause(status: u16, said: &str, codes: &[String], model: &str) -> (u16, Cause) {
    let lower = said.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let is_code = |words: &[&str]| codes.iter().any(|code| words.contains(&&**code));
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
        400 | 403 | 404 | 410 | 422 | 500 if is_about_the_model() => (404, Cause::ModelUnknown),
        404 | 405 | 410 => (status, Cause::NotTheApi),
        400 | 403 | 429
            if is_code(&["insufficient_quota", "insufficient_balance"])
                || says(&["credit balance is too low", "insufficient balance"]) =>
        {
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

/// The status an error object stands for: a number in it, or its words.
fn status_of(error: &Value) -> Option<u16> {
    let number = ["status", "status_code", "code", "http_code"].iter().find_map(|key| {
        let number = error.get(key)?.as_u64()?;
        u16::try_from(number).ok().filter(|status| (400..600).contains(status))
    });
    number.or_else(|| {
        let word = |key: &str| error.get(key).and_then(Value::as_str);
        let words = [word("type"), word("code"), word("status")];
        let says =
            |part: &str| words.iter().flatten().any(|w| w.to_ascii_lowercase().contains(part));
        if says("authentication") || says("invalid_api_key") {
            Some(401)
        } else if says("insufficient_quota") {
            Some(402)
        } else if says("not_found") {
            Some(404)
        } else if says("rate_limit") || says("resource_exhausted") {
            Some(429)
        } else if says("overloaded") || says("unavailable") || says("capacity") {
            Some(529)
        } else if says("invalid_request") || says("tool_use_failed") {
            // The client's turn was fine; the model's was not. 400 would end the session.
            Some(500)
        } else {
            None
        }
    })
}

fn is_rate_limit(json: Option<&Value>) -> bool {
    let error = json.map(|json| json.get("error").unwrap_or(json));
    let code = error.and_then(|error| error.get("code")).and_then(Value::as_str);
    code.is_some_and(|code| code.contains("rate_limit"))
}

/// The text an error object carries, wherever it is.
pub(super) fn message(json: &Value) -> Option<String> {
    match json {
        Value::String(text) if !text.trim().is_empty() => Some(text.clone()),
        Value::Array(items) => {
            let said: Vec<String> = items.iter().take(3).filter_map(message).collect();
            (!said.is_empty()).then(|| said.join("; "))
        }
        Value::Object(object) => {
            const KEYS: &[&str] = &[
                "error",
                "message",
                "msg",
                "detail",
                "base_resp",
                "status_msg",
                "error_description",
            ];
            let said = KEYS.iter().find_map(|key| message(object.get(*key)?))?;
            // FastAPI names the field apart from what is wrong with it.
            match object.get("loc").and_then(Value::as_array) {
                Some(loc) => {
                    let steps: Vec<String> = loc
                        .iter()
                        .map(|step| step.as_str().map_or_else(|| step.to_string(), str::to_owned))
                        .collect();
                    Some(format!("{}: {said}", steps.join(".")))
                }
                None => Some(said),
            }
        }
        _ => None,
    }
}

/// Text that is not JSON: HTML without its tags, white space folded.
pub(super) fn plain_text(text: &str) -> String {
    let mut out = String::new();
    let mut in_tag = false;
    for c in text.chars() {
        match c {
            '<' => in_tag = true,
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

/// How services word a context overflow. `{N}` is what the request has, `{M}` what the model takes,
/// `{O}` the output asked for beside the input `{N}`, `{L}` what the input has at least, which is no
/// more than what is left beside the output, `{_}` any number.
const OVERFLOWS: &[&str] = &[
    "prompt is too long: {N} tokens > {M} maximum",
    "maximum context length is {M} tokens. However, your messages resulted in {N} tokens",
    "configured limit of {M} tokens. Your messages resulted in {N} tokens",
    "maximum context length is {M} tokens. However, you requested {_} tokens ({N} in the messages, {O} in the completion)",
    "maximum context length is {M} tokens. However, you requested about {_} tokens ({N} of text input, {O} in the output)",
    "maximum context length is {M} tokens. However, you requested about {N} tokens",
    "maximum context length is {M} tokens. However, you requested {O} output tokens and your prompt contains at least {L} input tokens",
    "maximum context length is {M} tokens. However, your request has {N} input tokens",
    "maximum context length is {M} tokens. However, you requested about {_} tokens ({N} of text input, {_} of tool input, {O} in the output)",
    "You passed {N} input tokens and requested {O} output tokens. However, the model's context length is only {M} tokens",
    "must be <= {M}. Given: {N} `inputs` tokens and {O} `max_new_tokens`",
    "Current length is {N} while limit is {M}",
    "maximum context length is {M} tokens. However, you requested {N} tokens",
    "is too large: {O}. This model's maximum context length is {M} tokens and your request has {N} input tokens",
    "(length {N}) is longer than the maximum model length of {M}",
    "maximum prompt length is {M} but the request contains {N} tokens",
    "input token count ({N}) exceeds the maximum number of tokens allowed ({M})",
    "Prompt contains {N} tokens and {_} draft tokens, too large for model with {M} maximum context length",
    "Prompt contains {N} tokens, too large for model with {M} maximum context length",
    "Prompt {N} > {M} maximum context length",
    "request ({N} tokens) exceeds the available context size ({M} tokens)",
    "Requested tokens ({N}) exceed context window of {M}",
    "keep the first {N} tokens when context the overflows. However, the model is loaded with context length of only {M} tokens",
    "n_keep ({N}) >= n_ctx ({M})",
    "n_keep: {N}>= n_ctx: {M}",
    "input length ({N} tokens) exceeds the model's maximum context length ({M} tokens)",
    "exceeded model token limit: {M} (requested: {N})",
    "The input ({N} tokens) is longer than the model's context length ({M} tokens)",
    "Input length {N} exceeds the maximum allowed input length of {M} tokens",
    "Prompt too long: {N} tokens exceeds max context window of {M} tokens",
    "exceed context limit: {N} + {O} > {M}",
];

/// Words and codes of an overflow without numbers.
const OVERFLOW_WORDS: &[&str] = &[
    "context_length_exceeded",
    "exceed_context_size_error",
    "exceeds the context window",
    "maximum context length",
    "longer than the context length",
    "greater than the context length",
    "exceeds the available context size",
    "reduce the length of the messages",
    "prompt is too long",
    "prompt too long",
    "prompt exceeds max length",
    "max length exceeded",
    "more than max tokens allowed",
    "exceeds model context length",
    "range of input length should be",
];

/// Whether a refusal is about the size of the request, which the client has to make smaller.
pub(super) fn is_overflow(said: &str, json: Option<&Value>) -> bool {
    overflow(said, json, Context::default()).is_some()
}

/// The message for a context overflow, if `said` or the error's code tells of one.
fn overflow(said: &str, json: Option<&Value>, context: Context<'_>) -> Option<String> {
    if let Some(numbers) = OVERFLOWS.iter().find_map(|pattern| numbers(pattern, said)) {
        let least = numbers.least.map(|least| least.max(context.input_estimate));
        let (Some(n), Some(m), o) = (numbers.n.or(least), numbers.m, numbers.o) else {
            return None;
        };
        return Some(match o {
            // The input fits; Claude Code asks for less output when it reads this.
            Some(o) if n < m => format!(
                "input length and `max_tokens` exceed context limit: {n} + {o} > {m}, \
                 decrease input length or `max_tokens` and try again"
            ),
            _ => format!("prompt is too long: {n} tokens > {m} maximum"),
        });
    }
    let error = json.map(|json| json.get("error").unwrap_or(json));
    let field = |key: &str| error.and_then(|error| error.get(key));
    let words =
        [Some(said), field("code").and_then(Value::as_str), field("type").and_then(Value::as_str)];
    let tells = words.iter().flatten().any(|text| {
        let lower = text.to_ascii_lowercase();
        OVERFLOW_WORDS.iter().any(|word| lower.contains(word))
    });
    if !tells {
        return None;
    }
    let number = |key: &str| field(key).and_then(Value::as_u64);
    let n = number("n_prompt_tokens").unwrap_or(context.input_estimate);
    // Without the limit, the least that can be said is that this was above it.
    let m = number("n_ctx").unwrap_or_else(|| n.saturating_sub(1));
    Some(format!("prompt is too long: {n} tokens > {m} maximum"))
}

/// The error of a context overflow, in the words that Claude Code knows.
fn context_overflow(message: String) -> Error {
    let retry = Retry::default();
    Error::Upstream { status: 400, cause: Cause::ContextOverflow, message, retry }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Numbers {
    n: Option<u64>,
    m: Option<u64>,
    o: Option<u64>,
    least: Option<u64>,
}

/// The numbers that stand in `said` where `pattern` has its marks, if the words between are the same.
fn numbers(pattern: &str, said: &str) -> Option<Numbers> {
    let first = pattern.split('{').next().expect("split gives one piece at least");
    said.match_indices(first).find_map(|(at, _)| {
        let mut rest = &said[at + first.len()..];
        let mut numbers = Numbers::default();
        for piece in pattern.split('{').skip(1) {
            let (mark, words) = piece.split_once('}')?;
            let length = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let number = rest[..length].parse().ok()?;
            rest = rest[length..].strip_prefix(words)?;
            match mark {
                "N" => numbers.n = Some(number),
                "M" => numbers.m = Some(number),
                "O" => numbers.o = Some(number),
                "L" => numbers.least = Some(number),
                _ => {}
            }
        }
        Some(numbers)
    })
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
