//! What an error body says, in whatever form, and however often a gateway has wrapped it.
//!
//! Forms seen: `{"error":{"message",…}}`, `{"error":"…"}`, `[{"error":{…}}]`,
//! `{"detail":[{"msg"}]}`, `{"detail":"…"}`, `{"message":…}`,
//! `{"object":"error","message":{"detail":[…]}}`, `{"base_resp":{"status_msg"}}`, plain text, HTML.
//! Around them: `error.metadata.raw` of OpenRouter, which is the provider's own body as text; JSON
//! in a string, with words before it or without; an error in an error. The innermost words are
//! those of whoever knows the reason.
//!
//! <https://openrouter.ai/docs/api/reference/errors-and-debugging>

use serde_json::{Map, Value};

use super::cut_json::parse_beginning;
use crate::error::Hint;
use crate::json;

/// How often JSON in a string is opened. Each escapes the one inside, so its size doubles.
const MAX_WRAPPINGS: usize = 6;

/// Fields that hold the error of somebody further in, the most telling first.
const INNER: &[&str] = &[
    "error",
    "errors",
    "innererror",
    "innerError",
    "inner_error",
    "provider_error",
    "providerError",
    "upstream_error",
    "upstreamError",
    "upstream",
    "original_error",
    "originalError",
    "fault",
    "exception",
    "cause",
    "raw",
    "body",
    "response",
];

/// Fields of words.
const WORDS: &[&str] = &[
    "message",
    "Message",
    "msg",
    "faultstring",
    "detail",
    "details",
    "base_resp",
    "status_msg",
    "error_description",
    "errorDescription",
    "description",
    "error_message",
    "error_msg",
    "errormessage",
    "errorMessage",
    "reason",
    "title",
];

/// The words of an error, and what stands beside them. Whoever has the body reads it once, and
/// messages, causes and lessons are made of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// What was said. Where no field says anything, the body as plain text.
    pub(super) words: String,
    /// A field says it.
    pub(super) is_worded: bool,
    /// `code`, `type`, `status` and their like, the innermost first; numbers too.
    pub(super) codes: Vec<String>,
    /// The field of the request that it is about.
    pub(super) param: Option<String>,
    /// The tokens of the prompt, and those that the model takes: llama.cpp has fields for them.
    pub(super) prompt_tokens: Option<u64>,
    pub(super) window: Option<u64>,
    /// It came in an error of somebody else's.
    pub(super) is_wrapped: bool,
    /// When to try again.
    pub(super) hint: Option<Hint>,
}

impl Said {
    /// Reads a body, or an error object. Of one that was cut, as far as it goes.
    pub fn read(body: &[u8]) -> Said {
        let body = String::from_utf8_lossy(body);
        let trimmed = body.trim();
        let value = json::tree(trimmed).or_else(|| parse_beginning(json::beginning(trimmed)));
        let mut said = Said::default();
        let text = value.and_then(|value| said.dig(&value, 0));
        said.is_worded = text.is_some();
        said.words = text.unwrap_or_else(|| plain_text(&body));
        said.hint = Hint::of_body(&body);
        said
    }

    /// What was said; nothing where the body was empty.
    pub fn words(&self) -> &str {
        &self.words
    }

    /// The first of the codes that is an HTTP status of an error.
    pub(super) fn status(&self) -> Option<u16> {
        let number = |code: &String| code.parse().ok().filter(|n| (400..600).contains(n));
        self.codes.iter().find_map(number)
    }

    /// Whether a code has one of these words in it.
    pub(super) fn has_code(&self, words: &[&str]) -> bool {
        let lower = |code: &String| code.to_ascii_lowercase();
        self.codes.iter().map(lower).any(|code| words.iter().any(|word| code.contains(word)))
    }

    /// Whether a code is one of these.
    pub(super) fn is_code(&self, words: &[&str]) -> bool {
        let lower = |code: &String| code.to_ascii_lowercase();
        self.codes.iter().map(lower).any(|code| words.contains(&&*code))
    }

    /// The words of `value`, whose codes are noted.
    fn dig(&mut self, value: &Value, wrappings: usize) -> Option<String> {
        match value {
            Value::String(text) => self.dig_text(text, wrappings),
            Value::Array(items) => {
                let said = items.iter().take(3).filter_map(|item| self.dig(item, wrappings));
                let said: Vec<String> = said.collect();
                (!said.is_empty()).then(|| said.join("; "))
            }
            Value::Object(object) => self.dig_object(object, wrappings),
            _ => None,
        }
    }

    fn dig_text(&mut self, text: &str, wrappings: usize) -> Option<String> {
        let text = text.trim();
        if let Some(at) = text.find('{').filter(|_| wrappings < MAX_WRAPPINGS) {
            // Gemini puts its error into an array.
            let (before, inner) = text.split_at(at);
            let before = before.strip_suffix('[').unwrap_or(before).trim_end();
            let inner = match inner.rfind('}') {
                Some(end) if !before.is_empty() => &inner[..=end],
                _ => inner.trim_end_matches(']'),
            };
            let value = json::tree(inner).or_else(|| {
                let begun = before.is_empty().then(|| json::beginning(inner));
                begun.and_then(parse_beginning)
            });
            if let Some(said) = value.and_then(|value| self.dig(&value, wrappings + 1)) {
                self.is_wrapped = true;
                return Some(if before.is_empty() { said } else { format!("{before} {said}") });
            }
        }
        (!text.is_empty()).then(|| text.to_owned())
    }

    fn dig_object(&mut self, object: &Map<String, Value>, wrappings: usize) -> Option<String> {
        let raw = object.get("metadata").and_then(|metadata| metadata.get("raw"));
        let raw = raw.and_then(|raw| self.dig(raw, wrappings));
        self.is_wrapped |= raw.is_some();
        let inner = raw.or_else(|| {
            // OAuth's `error` is a word, and `error_description` says it.
            let says = |key: &str| object.get(key).is_some_and(|m| m.is_string() || m.is_array());
            let is_worded = says("message") || says("error_description");
            let found = INNER.iter().find_map(|key| {
                // `{"error":"Bad Request","message":…}` has its words elsewhere.
                let value = object.get(*key).filter(|value| !(is_worded && value.is_string()))?;
                self.dig(value, wrappings)
            });
            self.is_wrapped |= is_worded && found.is_some();
            found
        });
        // What is no text has been looked into: once more at each level would be without end.
        let inner_words = INNER.iter().filter_map(|key| object.get(*key).filter(|v| v.is_string()));
        let words = WORDS.iter().filter_map(|key| object.get(*key)).chain(inner_words);
        let said = match inner {
            // One word alone, such as `ERROR`, needs the others.
            Some(inner) if !inner.contains(char::is_whitespace) => {
                let outer = object.get("message").and_then(Value::as_str).map(str::trim);
                match outer.filter(|outer| !outer.is_empty() && *outer != inner) {
                    Some(outer) => Some(format!("{outer}: {inner}")),
                    None => Some(inner),
                }
            }
            Some(inner) => Some(inner),
            None => words.into_iter().find_map(|value| self.dig(value, wrappings)),
        };
        self.note(object);
        // FastAPI names the field apart from what is wrong with it.
        match (said, object.get("loc").and_then(Value::as_array)) {
            (Some(said), Some(loc)) => {
                let step =
                    |step: &Value| step.as_str().map_or_else(|| step.to_string(), str::to_owned);
                let steps: Vec<String> = loc.iter().map(step).collect();
                Some(format!("{}: {said}", steps.join(".")))
            }
            (said, _) => said,
        }
    }

    fn note(&mut self, object: &Map<String, Value>) {
        let keys = ["code", "type", "status", "error_code", "status_code", "http_code", "errcode"];
        let texts = keys.iter().filter_map(|key| match object.get(*key)? {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        });
        self.codes.extend(texts);
        let number = |key: &str| object.get(key).and_then(Value::as_u64);
        self.prompt_tokens = self.prompt_tokens.or(number("n_prompt_tokens"));
        self.window = self.window.or(number("n_ctx"));
        let param = object.get("param").and_then(Value::as_str).map(str::to_owned);
        self.param = self.param.take().or(param);
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

#[cfg(test)]
mod tests {
    use super::Said;

    #[test]
    fn the_innermost_words_are_the_message() {
        let wrap = |raw: &str| {
            serde_json::json!({"error": {"message": "Provider returned error", "code": 400,
                "metadata": {"raw": raw, "provider_name": "X"}}})
            .to_string()
        };
        let inner = r#"{"error":{"message":"too warm","param":"temperature","code":"bad"}}"#;
        let twice = wrap(&wrap(inner));
        let quoted = serde_json::to_string(inner).expect("JSON");
        for (body, words) in [
            (wrap(inner), "too warm"),
            (twice, "too warm"),
            (wrap("upstream is full"), "upstream is full"),
            (wrap("ERROR"), "Provider returned error: ERROR"),
            (wrap(""), "Provider returned error"),
            (wrap(&format!("[{inner}]")), "too warm"),
            (wrap("{\"error\":{\"message\":\"cut off her"), "cut off her"),
            (
                format!(r#"{{"error":{{"message":{quoted},"type":"upstream_error"}}}}"#),
                "too warm",
            ),
            (
                r#"{"error":{"message":"Error from provider","error":{"message":"too warm"}}}"#.into(),
                "too warm",
            ),
            (r#"{"error":{"metadata":{"raw":{"error":"too warm"}},"message":"m"}}"#.into(), "too warm"),
            (
                r#"{"error":{"message":"litellm.BadRequestError: XException - {\"error\":{\"message\":\"too warm\"}}. Received Model Group=m"}}"#.into(),
                "litellm.BadRequestError: XException - too warm",
            ),
            (r#"{"statusCode":400,"message":["it is", "too warm"],"error":"Bad Request"}"#.into(), "it is; too warm"),
            (r#"{"error":"Bad Request","message":"too warm"}"#.into(), "too warm"),
            (r#"{"detail":"{\"message\":\"too warm\"}"}"#.into(), "too warm"),
            (r#"{"errors":[{"message":"too warm"}]}"#.into(), "too warm"),
            (r#"{"fault":{"faultstring":"too warm","detail":{"errorcode":"x.Y"}}}"#.into(), "too warm"),
            (r#"{"Message":"too warm"}"#.into(), "too warm"),
            (r#"{"error":"invalid_request","error_description":"too warm"}"#.into(), "too warm"),
            (
                r#"{"error":{"message":"upstream error","upstream":{"body":"{\"message\":\"too warm\"}"}}}"#.into(),
                "too warm",
            ),
            (r#"{"code":"InvalidParameter","message":"too warm","request_id":"x"}"#.into(), "too warm"),
            (r#"{"message":"use {} for none"}"#.into(), "use {} for none"),
        ] {
            let said = Said::read(body.as_bytes());
            assert_eq!((&*said.words, said.is_worded), (words, true), "{body}");
        }
        let said = Said::read(wrap(inner).as_bytes());
        assert_eq!(
            (said.param.as_deref(), said.codes),
            (Some("temperature"), vec!["bad".to_owned(), "400".to_owned()])
        );
    }

    #[test]
    fn what_nests_without_end_is_read_as_far_as_it_is_meant() {
        let mut body = r#"{"message":"the reason"}"#.to_owned();
        for _ in 0..12 {
            body = serde_json::json!({"error": {"message": body}}).to_string();
        }
        assert!(Said::read(body.as_bytes()).is_worded);
        // Every level is looked into once, also where nothing is said.
        let levels = 30;
        let deep = format!("{}1{}", r#"{"error":"#.repeat(levels), "}".repeat(levels));
        assert!(!Said::read(deep.as_bytes()).is_worded);
        let deep = format!("{}1{}", r#"{"message":"#.repeat(levels), "}".repeat(levels));
        assert!(!Said::read(deep.as_bytes()).is_worded);
    }
}
