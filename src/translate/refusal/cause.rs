//! What a refusal is about: by its status, its codes and its words.

use super::said::Said;
use crate::error::Cause;

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
pub(super) fn cause(status: u16, said: &Said, model: &str) -> (u16, Cause) {
    let lower = said.words.to_lowercase();
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
pub(super) fn status_of(said: &Said) -> Option<u16> {
    let says = |words: &[&str]| said.has_code(words);
    let lower = said.words.to_lowercase();
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
