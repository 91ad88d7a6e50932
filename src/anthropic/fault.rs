//! A fault of a request in words: what is wrong with it, and where.

use std::borrow::Cow;

use super::place::path_at;
use crate::error::Error;
use crate::json;

/// The longest value that a complaint repeats.
const MAX_SHOWN_BYTES: usize = 40;

/// Words a serde_json error the way the Messages API words its own.
pub(super) fn fault(body: &[u8], error: &serde_json::Error) -> Error {
    let text = error.to_string();
    let reason = text.rsplit_once(" at line ").map_or(text.as_str(), |(reason, _)| reason);
    if !error.is_data() {
        if reason == "recursion limit exceeded" {
            let reason = format!("the body is nested more than {} deep", json::MAX_DEPTH);
            return Error::request("", reason);
        }
        return Error::request(
            "",
            format!(
                "the body is not valid JSON: {reason} at line {}, column {}",
                error.line(),
                error.column()
            ),
        );
    }
    let before: usize =
        body.split_inclusive(|b| *b == b'\n').take(error.line() - 1).map(<[u8]>::len).sum();
    let mut offset = before + error.column();
    // A fault in the last item of an array is told when the array has been left.
    if offset > 0 && body.get(offset - 1) == Some(&b']') {
        offset -= 1;
    }
    let mut at = path_at(body, offset);
    let missing = reason.strip_prefix("missing field `").and_then(|field| field.strip_suffix('`'));
    match missing {
        Some(field) => {
            if !at.is_empty() {
                at.push('.');
            }
            at.push_str(field);
            Error::request(at, "field required")
        }
        None => Error::request(at, without_value(reason)),
    }
}

/// What serde says, without the value that it quotes, unless that is a word: it may be a prompt,
/// and is the client's own in any case.
fn without_value(reason: &str) -> Cow<'_, str> {
    let Some((found, expected)) = reason.rsplit_once(", expected ") else {
        return Cow::Borrowed(reason);
    };
    if let Some(value) = found.strip_prefix("unknown variant `") {
        let value = value.trim_end_matches('`');
        return match shown(value) {
            Some(_) => Cow::Borrowed(reason),
            None => Cow::Owned(format!("unknown value, expected {expected}")),
        };
    }
    let quote = found.find('"').unwrap_or(found.len());
    Cow::Owned(format!("{}, expected {expected}", found[..quote].trim_end()))
}

/// A value as a complaint may repeat it: one that looks like a word of the API.
pub(super) fn shown(value: &str) -> Option<&str> {
    let is_of_a_word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    (value.len() <= MAX_SHOWN_BYTES && value.bytes().all(is_of_a_word)).then_some(value)
}
