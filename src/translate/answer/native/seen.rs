//! What is looked at of the provider's events and messages, and the errors that they tell of.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::super::stop_reason::{Finish, finish};
use crate::anthropic::{StopReason, Usage};
use crate::error::Error;
use crate::openai::Number;
use crate::translate::refusal::{Said, error_in_body, native_error};

/// What of an event's data matters.
#[derive(Default, Deserialize)]
pub(super) struct Seen<'a> {
    #[serde(rename = "type", borrow, default)]
    pub(super) kind: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) message: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) delta: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) error: Option<&'a RawValue>,
}

/// What tells that a message ends, and whether its request's safeguards are answered.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct SeenEnd<'a> {
    #[serde(borrow)]
    pub(super) stop_reason: Option<Cow<'a, str>>,
    pub(super) safeguard_results: Option<IgnoredAny>,
}

#[derive(Deserialize)]
pub(super) struct SeenStop<'a> {
    #[serde(borrow)]
    pub(super) stop_reason: Option<&'a RawValue>,
}

/// Whether clients know a reason. The API's own tools pause a turn, and no other's do.
fn is_known(reason: &str) -> bool {
    reason == "pause_turn" || StopReason::ALL.iter().any(|known| known.as_str() == reason)
}

/// What a reason of another API is in this one. `None` for those that are known, or new.
///
/// # Errors
/// It tells of a failure: what came is no finished turn.
pub(super) fn known_stop(reason: &str) -> Result<Option<&'static str>, Error> {
    if reason.is_empty() || is_known(reason) {
        return Ok(None);
    }
    match finish(reason) {
        Finish::Stop(stop) => Ok(Some(stop.as_str())),
        Finish::Unknown => Ok(None),
        Finish::Failed => {
            let reason = format!("the upstream ended its answer with stop_reason {reason:?}");
            Err(Error::upstream(500, reason, Default::default()))
        }
    }
}

/// A message, whole or as it begins.
#[derive(Default, Deserialize)]
pub(super) struct SeenMessage<'a> {
    #[serde(rename = "type", borrow, default)]
    pub(super) kind: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) model: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) stop_reason: Option<Cow<'a, str>>,
}

/// Counts as they come: those that are missing say nothing.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub(super) struct SeenUsage {
    input_tokens: Number,
    cache_creation_input_tokens: Number,
    cache_read_input_tokens: Number,
    output_tokens: Number,
}

impl SeenUsage {
    pub(super) fn of(usage: Option<&RawValue>) -> SeenUsage {
        usage.and_then(|usage| serde_json::from_str(usage.get()).ok()).unwrap_or_default()
    }

    pub(super) fn add_to(self, usage: &mut Usage) {
        let counts = [
            (self.input_tokens, &mut usage.input_tokens),
            (self.cache_creation_input_tokens, &mut usage.cache_creation_input_tokens),
            (self.cache_read_input_tokens, &mut usage.cache_read_input_tokens),
            (self.output_tokens, &mut usage.output_tokens),
        ];
        for (seen, count) in counts {
            // As Claude Code reads it: a later zero takes nothing back.
            if let Some(seen) = seen.0.filter(|seen| *seen > 0) {
                *count = seen;
            }
        }
    }
}

/// The error that `body` tells of, if it tells of one.
pub(super) fn body_error(body: &[u8]) -> Option<Error> {
    let seen: Seen = serde_json::from_slice(body).unwrap_or_default();
    if seen.kind == "error" || seen.error.is_some() {
        return Some(error(seen.error));
    }
    if seen.kind == "message" { None } else { error_in_body(body, 0) }
}

/// The error that an `error` event tells of.
pub(super) fn error(error: Option<&RawValue>) -> Error {
    native_error(Said::read(error.map_or("", RawValue::get).as_bytes()))
}
