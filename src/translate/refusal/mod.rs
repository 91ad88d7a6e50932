//! An upstream's error → [`Error::Upstream`]: what its words, codes and status mean.

mod cause;
mod cut_json;
mod explain;
mod lesson;
mod overflow;
mod said;
mod search;
mod words;

use self::cause::{cause, status_of};
use self::overflow::{Overflow, overflow};
use crate::error::{Cause, Error, Retry};
use crate::redact::without_keys;
pub use explain::{Explain, first_words};
pub(super) use lesson::EFFORTS;
pub use lesson::{Learned, Lesson, Param, Sent};
pub use said::Said;
pub use search::refused_search;
pub use words::Telling;

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

/// The error of an answer with `status` that has `said` so. The message is the upstream's; who said
/// it is for [`Explain`] to add.
///
/// A context overflow, in any wording, becomes `prompt is too long: N tokens > M maximum`, which
/// makes Claude Code compact the conversation.
pub fn upstream_error(status: u16, said: &Said, retry: Retry, context: Context<'_>) -> Error {
    // What a gateway says itself tells less than what it wraps.
    let status = match status {
        400 | 500 | 502 | 503 if said.is_wrapped => status_of(said).unwrap_or(status),
        status => status,
    };
    // 429 and its kin are about rates, also where they speak of tokens.
    // Together says 403: https://github.com/togethercomputer/skills
    let may_overflow = matches!(status, 400 | 403 | 413 | 422 | 500)
        || (said.is_wrapped && matches!(status, 502 | 503));
    if may_overflow && let Some(error) = context_overflow(said, context) {
        return error;
    }
    // The client's request was fine, the model's call was not: 400 would end the session.
    let status = if said.has_code(&["tool_use_failed"]) { 500 } else { status };
    refusal(status, said, retry, context)
}

/// The error that a stream tells of: in the `error` member of a chunk, or the data of an
/// `event: error`.
///
/// A context overflow becomes the same as in [`upstream_error`]: the Responses API tells it in its
/// stream.
pub(super) fn stream_error(said: &Said, input_estimate: u64) -> Error {
    let context = Context { model: "", input_estimate };
    if let Some(error) = context_overflow(said, context) {
        return error;
    }
    // The client's turn was fine; the model's was not. 400 would end the session.
    refusal(status_of(said).unwrap_or(500), said, Retry::default(), context)
}

/// The error of a body that was answered with 200, if it is one: no choices in it, and words.
///
/// DashScope, MiniMax, iFlow, FastAPI and old vLLM answer so, each in its form.
pub(super) fn error_in_body(body: &[u8], input_estimate: u64) -> Option<Error> {
    let said = Said::read(body);
    let is_fine = |word: &str| ["0", "200", "success", "ok"].contains(&&*word.to_lowercase());
    let is_well = said.codes.first().is_some_and(|code| is_fine(code));
    let is_error = said.is_worded && !is_fine(&said.words) && !is_well;
    let error = is_error.then(|| stream_error(&said, input_estimate))?;
    // Who answers 200 may mean something else by it: its own words stay to be read.
    Some(match error.cause() {
        Cause::ContextOverflow => {
            error.map_text(|told| format!("{told} ({})", shorten(&without_keys(&said.words))))
        }
        _ => error,
    })
}

/// The error that a stream or a message of the Messages API tells of: its type stands for a status.
pub(super) fn native_error(mut said: Said) -> Error {
    if !said.is_worded {
        said.words = "it tells of an error".to_owned();
    }
    let of_type = said.codes.iter().find_map(|code| Error::status_of_kind(code));
    let status = match of_type.unwrap_or(500) {
        500 => status_of(&said).unwrap_or(500),
        status => status,
    };
    let context = Context::default();
    if matches!(status, 400 | 500)
        && let Some(error) = context_overflow(&said, context)
    {
        return error;
    }
    refusal(status, &said, Retry::default(), context)
}

/// Whether a refusal says that the output was cut by its limit before anything was said, which is
/// an answer: `finish_reason` "length" of the other models.
pub fn is_output_limit(said: &Said) -> bool {
    let words = said.words.to_lowercase();
    let names_limit = words.contains("output limit") || words.contains("max_tokens");
    names_limit
        && words.contains("reached")
        && (words.contains("could not finish") || words.contains("higher max_tokens"))
}

/// The error for what was said, by status, code and words.
fn refusal(status: u16, said: &Said, retry: Retry, context: Context<'_>) -> Error {
    let (status, cause) = cause(status, said, context.model);
    let message = if said.words.is_empty() && status != 404 {
        format!("status {status} without a message")
    } else {
        shorten(&without_keys(&said.words))
    };
    // Of a limit that passes.
    let is_passing = matches!(status, 429 | 503 | 529);
    let retry = Retry { hint: said.hint.filter(|_| is_passing).map(Box::new), ..retry };
    Error::Upstream { status, cause, message, retry }
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(MAX_MESSAGE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Whether a refusal is about the size of the request, which the client has to make smaller.
fn is_overflow(said: &Said) -> bool {
    context_overflow(said, Context::default()).is_some()
}

/// The tokens that fit into the model, if it was said that the request is too large for it.
pub fn window_of(said: &Said) -> Option<u64> {
    let found = overflow(&said.words, said.codes.iter().map(String::as_str))?;
    said.window.or(found.window)
}

/// The error of a context overflow, in the words that Claude Code knows, if it is one.
fn context_overflow(said: &Said, context: Context<'_>) -> Option<Error> {
    if said.has_code(&["rate_limit"]) {
        return None;
    }
    let found = overflow(&said.words, said.codes.iter().map(String::as_str))?;
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

    fn error(status: u16, body: &str) -> Error {
        upstream_error(status, &Said::read(body.as_bytes()), Retry::default(), CONTEXT)
    }

    fn said(status: u16, body: &str) -> (u16, String) {
        let error = error(status, body);
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
            let error = error(status, body);
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
            let error = error(404, body);
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
            let error = error(404, body);
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
            let error = error(status, body);
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
