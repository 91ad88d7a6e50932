//! A fault of a request in words: what is wrong with it, and where.

use std::borrow::Cow;

use serde::de::IgnoredAny;

use super::place::path_at;
use crate::error::Error;
use crate::json::Fault;

/// The longest value that a complaint repeats.
const MAX_SHOWN_BYTES: usize = 40;

/// Words a fault the way the Messages API words its own.
pub(super) fn fault(body: &[u8], fault: Fault) -> Error {
    let (at, reason) = match fault {
        Fault::Syntax { at } => return not_json(body, at),
        Fault::Missing { at, field } => return missing(path_at(body, at), field),
        Fault::TooMuch(error) => return error,
        Fault::Value { at, reason } => (path_at(body, at), reason),
    };
    match reason.strip_prefix("missing field `").and_then(|field| field.strip_suffix('`')) {
        Some(field) => missing(at, field),
        None => Error::request(at, without_value(&reason)),
    }
}

fn missing(mut at: String, field: &str) -> Error {
    if !at.is_empty() {
        at.push('.');
    }
    at.push_str(field);
    Error::request(at, "field required")
}

/// What serde_json says of a body that is not JSON. It looks into no string that it passes over, so
/// what it takes has a fault there, at the byte `at`.
fn not_json(body: &[u8], at: usize) -> Error {
    let (reason, line, column) = match serde_json::from_slice::<IgnoredAny>(body) {
        Err(error) => {
            let text = error.to_string();
            let reason = text.rsplit_once(" at line ").map_or(&*text, |(reason, _)| reason);
            (reason.to_owned(), error.line(), error.column())
        }
        Ok(_) => {
            let before = &body[..at.min(body.len())];
            let lines = before.iter().filter(|byte| **byte == b'\n').count();
            let begin = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            let reason = if body.get(at) == Some(&b'\\') {
                "a half of a surrogate pair in a string"
            } else {
                "invalid unicode code point"
            };
            (reason.to_owned(), lines + 1, before.len() - begin + 1)
        }
    };
    let reason = format!("the body is not valid JSON: {reason} at line {line}, column {column}");
    Error::request("", reason)
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
