//! A whole message of the provider's.

use super::super::recast;
use super::edits::{Edits, NO_USAGE, with_results};
use super::seen::{SeenEnd, SeenMessage, SeenUsage, body_error, known_stop};
use crate::anthropic::{SafeguardResult, Usage};
use crate::error::Error;
use crate::json::complaint;

/// A whole message of the provider's.
#[derive(Debug)]
#[expect(missing_docs, reason = "the names of its fields say it")]
pub struct WholeMessage {
    /// With the model's name that the client asked for.
    pub body: Vec<u8>,
    pub usage: Usage,
    pub stop_reason: Option<String>,
}

impl WholeMessage {
    /// The same, with answers to the request's safeguards where the provider gives none.
    pub fn with_safeguards(self, results: &[SafeguardResult]) -> WholeMessage {
        let end = serde_json::from_slice::<SeenEnd>(&self.body).unwrap_or_default();
        let start = self.body.iter().position(|byte| *byte == b'{');
        match with_results(&self.body, start, &end, results) {
            Some(body) => WholeMessage { body, ..self },
            None => self,
        }
    }
}

/// Looks at a whole message, whose `model` the client called so. A stream of its events is one too.
///
/// # Errors
/// It is no message.
pub fn whole(body: Vec<u8>, model: &str) -> Result<WholeMessage, Error> {
    let begun = body.trim_ascii_start();
    let is_stream = [&b"event:"[..], b"data:", b":"].iter().any(|field| begun.starts_with(field));
    let body = if is_stream { recast::message(&body)? } else { body };
    let seen: SeenMessage = serde_json::from_slice(&body)
        .map_err(|e| Error::protocol(format!("it is no message: {}", complaint(&e))))?;
    if seen.kind != "message" {
        return Err(body_error(&body)
            .unwrap_or_else(|| Error::protocol("it is no message, but has another \"type\"")));
    }
    let mut usage = Usage::default();
    SeenUsage::of(seen.usage).add_to(&mut usage);
    let mut edits = Edits::new(&body);
    edits.stop(serde_json::from_slice(&body).ok())?;
    edits.model(seen.model, model);
    edits.usage(seen.usage, serde_json::from_slice(&body).ok(), NO_USAGE);
    let changed = edits.frame(&body);
    let stop_reason = seen.stop_reason.map(|reason| match known_stop(&reason) {
        Ok(Some(known)) => known.to_owned(),
        _ => reason.into_owned(),
    });
    Ok(WholeMessage { body: changed, usage, stop_reason })
}
