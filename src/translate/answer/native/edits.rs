//! What is changed of the provider's JSON, which else stays byte by byte.

use std::borrow::Cow;
use std::ops::Range;

use serde_json::value::RawValue;

use super::seen::{Seen, SeenEnd, SeenStop, known_stop};
use crate::anthropic::SafeguardResult;
use crate::error::Error;
use crate::sse::Decoder;

/// Counts for a message that has none: the SDKs read them without looking whether they are there.
pub(super) const NO_USAGE: &str = r#","usage":{"input_tokens":0,"output_tokens":0}"#;
const NO_OUTPUT: &str = r#","usage":{"output_tokens":0}"#;

/// What is put in the place of pieces of JSON, which else stays byte by byte.
pub(super) struct Edits<'a> {
    json: &'a [u8],
    /// Where, in order of what was read, and what.
    edits: Vec<(Range<usize>, String)>,
}

impl<'a> Edits<'a> {
    pub(super) fn new(json: &'a [u8]) -> Edits<'a> {
        Edits { json, edits: Vec::new() }
    }

    fn replace(&mut self, value: &RawValue, by: String) {
        self.edits.extend(range(self.json, value).map(|place| (place, by)));
    }

    /// The name the client asked for.
    pub(super) fn model(&mut self, model: Option<&RawValue>, name: &str) {
        if let Some(model) = model {
            self.replace(model, serde_json::to_string(name).expect("a string always serializes"));
        }
    }

    /// A reason in a word of another API, which stands in `holder`, becomes that of this one.
    /// Returns whether it was one.
    ///
    /// # Errors
    /// It tells of a failure.
    pub(super) fn stop(&mut self, holder: Option<&RawValue>) -> Result<bool, Error> {
        let seen = holder.map(|holder| serde_json::from_str::<SeenStop>(holder.get()));
        let Some(raw) = seen.and_then(Result::ok).and_then(|seen| seen.stop_reason) else {
            return Ok(false);
        };
        let reason = serde_json::from_str::<Cow<str>>(raw.get()).unwrap_or_default();
        let Some(known) = known_stop(&reason)? else { return Ok(false) };
        let is_found = range(self.json, raw).is_some();
        self.replace(raw, format!("\"{known}\""));
        Ok(is_found)
    }

    /// Counts that no client can add up are 0: some providers begin with -1. Where there are none,
    /// `none` goes into the object that should hold them.
    pub(super) fn usage(
        &mut self,
        usage: Option<&RawValue>,
        holder: Option<&RawValue>,
        none: &str,
    ) {
        let holder = holder.filter(|holder| {
            let inside = holder.get().strip_prefix('{').unwrap_or_default().trim_start();
            !inside.is_empty() && !inside.starts_with('}')
        });
        match (usage, holder) {
            (Some(usage), _) => {
                if let Some(mended) = without_negatives(usage.get()) {
                    self.replace(usage, mended);
                }
            }
            (None, Some(holder)) => {
                let place = range(self.json, holder).map(|place| place.end - 1);
                self.edits.extend(place.map(|at| (at..at, none.to_owned())));
            }
            (None, None) => {}
        }
    }

    /// `frame`, which holds the JSON in one piece, with what was put in.
    pub(super) fn frame(mut self, frame: &[u8]) -> Vec<u8> {
        let Some(data) = place_of(frame, self.json) else { return frame.to_vec() };
        self.edits.sort_by_key(|(place, _)| place.start);
        let mut out = Vec::with_capacity(frame.len() + 64);
        let mut from = 0;
        for (place, by) in &self.edits {
            out.extend_from_slice(&frame[from..data + place.start]);
            out.extend_from_slice(by.as_bytes());
            from = data + place.end;
        }
        out.extend_from_slice(&frame[from..]);
        out
    }
}

/// The frame of a `message_delta` with counts that can be added up, where it has none.
pub(super) fn with_output(frame: &[u8]) -> Option<Vec<u8>> {
    let mut decoder = Decoder::default();
    decoder.feed(frame);
    let data = decoder.next_frame().ok().flatten()?.data;
    let seen: Seen = serde_json::from_slice(data).ok()?;
    let mut edits = Edits::new(data);
    edits.usage(seen.usage, serde_json::from_slice(data).ok(), NO_OUTPUT);
    (!edits.edits.is_empty()).then(|| edits.frame(frame))
}

/// `json` with `results` in the object that begins at `start`, if there are any to be given.
pub(super) fn with_results(
    json: &[u8],
    start: Option<usize>,
    end: &SeenEnd<'_>,
    results: &[SafeguardResult],
) -> Option<Vec<u8>> {
    // With a stop reason in it the object is not empty.
    let is_asked = end.stop_reason.is_some() && end.safeguard_results.is_none();
    let (before, after) = json.split_at_checked(start? + 1)?;
    let results = (is_asked && !results.is_empty()).then(|| serde_json::to_vec(results))?;
    let results = results.expect("strings always serialize");
    Some([before, b"\"safeguard_results\":", &results, b",", after].concat())
}

/// Where the data of a frame stands in it: data of one line stands as it is.
pub(super) fn place_of(frame: &[u8], data: &[u8]) -> Option<usize> {
    frame.windows(data.len().max(1)).position(|window| window == data)
}

/// Counts with 0 for every negative number, if there is one.
fn without_negatives(usage: &str) -> Option<String> {
    let is_start = |at: usize| {
        let before = usage[..at].trim_end();
        usage[at..].starts_with('-') && before.ends_with([':', '[', ','])
    };
    let mut out = String::new();
    let mut from = 0;
    for (at, _) in usage.match_indices('-').filter(|(at, _)| is_start(*at)) {
        out.push_str(&usage[from..at]);
        out.push('0');
        let rest = &usage[at + 1..];
        let is_part = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-');
        from = at + 1 + rest.find(|c| !is_part(c)).unwrap_or(rest.len());
    }
    (from > 0).then(|| out + &usage[from..])
}

/// Where `value`, which was read from `json`, stands in it.
pub(super) fn range(json: &[u8], value: &RawValue) -> Option<Range<usize>> {
    let begin = (value.get().as_ptr() as usize).checked_sub(json.as_ptr() as usize)?;
    let range = begin..begin + value.get().len();
    (json.get(range.clone())? == value.get().as_bytes()).then_some(range)
}
