//! The answer of a provider that speaks the Messages API itself: its bytes are the client's, but
//! for the model's name. They are looked at for the tokens, and for whether the message was
//! completed.
//!
//! Bytes go out frame by frame, so that a ping or an error of our own never comes between two
//! halves of one.

use std::borrow::Cow;
use std::ops::Range;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::recast;
use super::stop_reason::{Finish, finish};
use crate::anthropic::{Event, SafeguardResult, Usage};
use crate::error::Error;
use crate::json::complaint;
use crate::openai::Number;
use crate::sse::{Decoder, FRAME_LIMIT_BYTES};

/// Looks at the frames of one answer.
#[derive(Debug)]
pub struct Native {
    /// The name the client asked for.
    model: String,
    /// Bytes of a frame that is not complete.
    partial: Vec<u8>,
    /// How many of them hold no end of a frame.
    searched: usize,
    /// `message_start`, until something follows it: a provider that fails at once can be replaced.
    held: Vec<u8>,
    /// The client has got a `message_start` from elsewhere.
    has_started: bool,
    /// The answers to the request's safeguards, for a provider that does not know them.
    safeguard_results: Vec<SafeguardResult>,
    usage: Usage,
    stop_reason: Option<String>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    /// Something of the message has gone out.
    Relaying,
    Ended,
}

/// What of an event's data matters.
#[derive(Default, Deserialize)]
struct Seen<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    message: Option<&'a RawValue>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    delta: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

/// What tells that a message ends, and whether its request's safeguards are answered.
#[derive(Default, Deserialize)]
#[serde(default)]
struct SeenEnd<'a> {
    #[serde(borrow)]
    stop_reason: Option<Cow<'a, str>>,
    safeguard_results: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct SeenStop<'a> {
    #[serde(borrow)]
    stop_reason: Option<&'a RawValue>,
}

/// The reasons that clients know.
const STOP_REASONS: &[&str] = &[
    "end_turn",
    "max_tokens",
    "stop_sequence",
    "tool_use",
    "pause_turn",
    "refusal",
    "model_context_window_exceeded",
];

/// What a reason of another API is in this one. `None` for those that are known, or new.
///
/// # Errors
/// It tells of a failure: what came is no finished turn.
fn known_stop(reason: &str) -> Result<Option<&'static str>, Error> {
    if reason.is_empty() || STOP_REASONS.contains(&reason) {
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
struct SeenMessage<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    model: Option<&'a RawValue>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    stop_reason: Option<Cow<'a, str>>,
}

/// Counts as they come: those that are missing say nothing.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct SeenUsage {
    input_tokens: Number,
    cache_creation_input_tokens: Number,
    cache_read_input_tokens: Number,
    output_tokens: Number,
}

#[derive(Deserialize)]
struct SeenError<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Cow<'a, str>,
}

impl SeenUsage {
    fn of(usage: Option<&RawValue>) -> SeenUsage {
        usage.and_then(|usage| serde_json::from_str(usage.get()).ok()).unwrap_or_default()
    }

    fn add_to(self, usage: &mut Usage) {
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

impl Native {
    /// For an answer to a client that asked for `model`.
    pub fn new(model: String) -> Native {
        Native {
            model,
            partial: Vec::new(),
            searched: 0,
            held: Vec::new(),
            has_started: false,
            safeguard_results: Vec::new(),
            usage: Usage::default(),
            stop_reason: None,
            state: State::Waiting,
        }
    }

    /// The same, with answers to the request's safeguards where the provider gives none.
    pub fn with_safeguards(self, safeguard_results: Vec<SafeguardResult>) -> Native {
        Native { safeguard_results, ..self }
    }

    /// The client has got the start of the message already.
    pub fn skip_start(&mut self) {
        self.has_started = true;
    }

    /// The tokens as far as the provider has told them.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// Why the message has ended, once it has, in the provider's word.
    pub fn stop_reason(&self) -> Option<&str> {
        self.stop_reason.as_deref()
    }

    /// Whether the last event has gone out.
    pub fn is_ended(&self) -> bool {
        self.state == State::Ended
    }

    /// Whether the client has got anything of the message.
    pub fn has_content(&self) -> bool {
        self.state != State::Waiting
    }

    /// Bytes that are kept until the rest of their event comes.
    pub fn pending(&self) -> usize {
        self.partial.len()
    }

    /// Whether the provider has told why its answer ends: what may follow is its end.
    pub fn is_complete(&self) -> bool {
        self.stop_reason.is_some()
    }

    /// Takes some bytes of the answer, and appends to `out` what is the client's.
    ///
    /// # Errors
    /// The provider tells of an error before anything has gone out, or a frame is too large.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        self.partial.extend_from_slice(bytes);
        // What is left moves once, however many frames there are.
        let partial = std::mem::take(&mut self.partial);
        let mut begun = 0;
        let mut passed = Ok(());
        while let Some(end) = self.frame_end(&partial[begun..]).filter(|_| passed.is_ok()) {
            self.searched = 0;
            let frame = &partial[begun..begun + end];
            passed = match is_ended(frame) {
                true => self.frame(frame, out),
                false => self.frame(&[frame, b"\n"].concat(), out),
            };
            begun += end;
        }
        self.partial = partial;
        self.partial.drain(..begun);
        passed?;
        if self.partial.len() > FRAME_LIMIT_BYTES {
            let reason = "an event is too large to be one".to_owned();
            return Err(Error::protocol(reason));
        }
        Ok(())
    }

    /// The body is over.
    ///
    /// # Errors
    /// The message is not.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        // A last frame may lack its blank line. One that broke off looks the same, but its data is
        // no JSON: half of it is never the client's.
        let mut frame = std::mem::take(&mut self.partial);
        let missing: &[u8] = if frame.ends_with(b"\n") { b"\n" } else { b"\n\n" };
        frame.extend_from_slice(missing);
        let mut decoder = Decoder::default();
        decoder.feed(&frame);
        let is_whole = |data| serde_json::from_slice::<&RawValue>(data).is_ok();
        if let Ok(Some(last)) = decoder.next_frame()
            && is_whole(last.data)
        {
            self.frame(&frame, out)?;
        }
        if self.state == State::Ended {
            return Ok(());
        }
        // Its end is all that was missing.
        if self.is_complete() && self.state == State::Relaying {
            Event::MessageStop.encode(out);
            self.state = State::Ended;
            return Ok(());
        }
        Err(Error::cut("it ended before the message was complete"))
    }

    /// Where the first frame of `bytes` ends: behind a blank line, or behind a line of data that is
    /// a document where another field follows it, since some services part frames by one newline.
    fn frame_end(&mut self, bytes: &[u8]) -> Option<usize> {
        let from = self.searched.saturating_sub(3);
        for at in from..bytes.len() {
            let is_newline = |at: usize| matches!(bytes[at], b'\n' | b'\r');
            let begins_line = at > 0 && is_newline(at - 1);
            if !is_newline(at) && !begins_line {
                continue;
            }
            if is_ended(&bytes[..=at]) {
                return Some(at + 1);
            }
            let follows = matches!(bytes[at], b'd' | b'e') && at > 0 && bytes[at - 1] == b'\n';
            if follows && ends_with_document(&bytes[..at]) {
                return Some(at);
            }
        }
        self.searched = bytes.len();
        None
    }

    fn frame(&mut self, frame: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        if self.state == State::Ended {
            return Ok(());
        }
        if frame.iter().all(|byte| matches!(byte, b'\n' | b'\r')) {
            out.extend_from_slice(frame);
            return Ok(());
        }
        if is_plain_delta(frame) {
            self.pass(frame, true, out);
            return Ok(());
        }
        let named = with_event_name(frame);
        let frame = named.as_deref().unwrap_or(frame);
        let mut decoder = Decoder::default();
        decoder.feed(frame);
        let Ok(Some(decoded)) = decoder.next_frame() else {
            // A comment.
            out.extend_from_slice(frame);
            return Ok(());
        };
        // Nothing of these is needed, and they are the most.
        if decoded.event == b"content_block_delta" || decoded.event == b"ping" {
            self.pass(frame, decoded.event != b"ping", out);
            return Ok(());
        }
        if decoded.data == b"[DONE]" {
            // Chat completions end so, and no message.
            return Ok(());
        }
        let seen = serde_json::from_slice::<Seen>(decoded.data).unwrap_or_default();
        // What cannot be read is what its event is called.
        let event = String::from_utf8_lossy(decoded.event);
        let kind = if seen.kind.is_empty() { &*event } else { &*seen.kind };
        match kind {
            "message_start" => {
                let message = seen.message.map_or("{}", RawValue::get);
                let start: SeenMessage = serde_json::from_str(message).unwrap_or_default();
                SeenUsage::of(start.usage).add_to(&mut self.usage);
                if !self.has_started {
                    let mut edits = Edits::new(decoded.data);
                    edits.model(start.model, &self.model);
                    edits.usage(start.usage, seen.message, NO_USAGE);
                    self.held = edits.frame(frame);
                }
            }
            "ping" => self.pass(frame, false, out),
            "message_delta" => {
                let mut edits = Edits::new(decoded.data);
                if edits.stop(seen.delta)? {
                    let known = edits.frame(frame);
                    // Data in several lines stays as it is.
                    if known != frame {
                        return self.frame(&known, out);
                    }
                }
                SeenUsage::of(seen.usage).add_to(&mut self.usage);
                let delta = seen.delta.map_or("", RawValue::get);
                let end = serde_json::from_str::<SeenEnd>(delta).unwrap_or_default();
                let place = seen.delta.and_then(|delta| range(decoded.data, delta));
                let place = place.zip(place_of(frame, decoded.data));
                let place = place.map(|(delta, data)| data + delta.start);
                let answered = with_results(frame, place, &end, &self.safeguard_results);
                self.stop_reason = end.stop_reason.map(Cow::into_owned);
                let counted = with_output(answered.as_deref().unwrap_or(frame));
                let frame = counted.as_deref().or(answered.as_deref()).unwrap_or(frame);
                self.pass(frame, true, out);
            }
            "message_stop" => {
                self.pass(frame, true, out);
                self.state = State::Ended;
            }
            "error" => return Err(error(seen.error)),
            "" if seen.error.is_some() => return Err(error(seen.error)),
            // Events that are new one day look like those that there are.
            kind if kind.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') => {
                self.pass(frame, true, out);
            }
            _ => {}
        }
        Ok(())
    }

    fn pass(&mut self, frame: &[u8], is_content: bool, out: &mut Vec<u8>) {
        if is_content {
            self.state = State::Relaying;
            // A message starts once.
            self.has_started |= !self.held.is_empty();
            out.append(&mut self.held);
        }
        out.extend_from_slice(frame);
    }
}

/// Whether a blank line ends it.
fn is_ended(seen: &[u8]) -> bool {
    seen.ends_with(b"\n\n") || seen.ends_with(b"\n\r\n") || seen.ends_with(b"\r\r")
}

/// Whether the last line is data that is a JSON document by itself.
fn ends_with_document(lines: &[u8]) -> bool {
    let lines = lines.trim_ascii_end();
    let begin = lines.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let data = lines[begin..].strip_prefix(b"data:");
    data.is_some_and(|data| serde_json::from_slice::<IgnoredAny>(data).is_ok())
}

/// Whether a frame is a piece of content in the form that all services send, and nothing else: the
/// most are, and nothing of them is needed.
fn is_plain_delta(frame: &[u8]) -> bool {
    let data = frame.strip_prefix(b"event: content_block_delta\n").unwrap_or_default();
    let end = data.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
    data.starts_with(b"data:") && end.is_some_and(|end| data[end..] == *b"\n\n")
}

/// A frame of data without the name of its event, with it: the SDKs look at the name alone.
///
/// <https://platform.claude.com/docs/en/build-with-claude/streaming>: every event has one, and it
/// is the `type` of its data.
fn with_event_name(frame: &[u8]) -> Option<Vec<u8>> {
    let mut decoder = Decoder::default();
    decoder.feed(frame);
    let decoded = decoder.next_frame().ok().flatten()?;
    if !decoded.event.is_empty() {
        return None;
    }
    let seen: Seen = serde_json::from_slice(decoded.data).ok()?;
    let is_name = |kind: &str| kind.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    if seen.kind.is_empty() || !is_name(&seen.kind) {
        return None;
    }
    // The mark of the byte order stands before everything.
    let frame = frame.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(frame);
    Some([b"event: ", seen.kind.as_bytes(), b"\n", frame].concat())
}

impl Native {
    /// Takes a whole message in the place of the stream that was asked for.
    ///
    /// # Errors
    /// It is none, or tells of an error.
    pub fn whole(&mut self, body: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        let events = recast::events(body).ok_or_else(|| not_a_stream(body))?;
        self.feed(&events, out)?;
        self.finish(out)
    }
}

/// The error of a body that is no stream of events: what it says, if it says anything.
fn not_a_stream(body: &[u8]) -> Error {
    body_error(body).unwrap_or_else(|| Error::protocol("it is not the stream that was asked for"))
}

/// The error that `body` tells of, if it tells of one.
fn body_error(body: &[u8]) -> Option<Error> {
    let seen: Seen = serde_json::from_slice(body).unwrap_or_default();
    if seen.kind == "error" || seen.error.is_some() {
        return Some(error(seen.error));
    }
    if seen.kind == "message" { None } else { crate::translate::error_in_body(body, 0) }
}

/// The error that an `error` event tells of.
fn error(error: Option<&RawValue>) -> Error {
    let seen: Option<SeenError> = error.and_then(|raw| serde_json::from_str(raw.get()).ok());
    let kind = seen.as_ref().map_or("", |seen| &*seen.kind);
    let status = Error::status_of_kind(kind).unwrap_or(500);
    crate::translate::native_error(status, error.map_or("", RawValue::get).as_bytes())
}

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

/// `json` with `results` in the object that begins at `start`, if there are any to be given.
fn with_results(
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
fn place_of(frame: &[u8], data: &[u8]) -> Option<usize> {
    frame.windows(data.len().max(1)).position(|window| window == data)
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

/// Counts for a message that has none: the SDKs read them without looking whether they are there.
const NO_USAGE: &str = r#","usage":{"input_tokens":0,"output_tokens":0}"#;
const NO_OUTPUT: &str = r#","usage":{"output_tokens":0}"#;

/// What is put in the place of pieces of JSON, which else stays byte by byte.
struct Edits<'a> {
    json: &'a [u8],
    /// Where, in order of what was read, and what.
    edits: Vec<(Range<usize>, String)>,
}

impl<'a> Edits<'a> {
    fn new(json: &'a [u8]) -> Edits<'a> {
        Edits { json, edits: Vec::new() }
    }

    fn replace(&mut self, value: &RawValue, by: String) {
        self.edits.extend(range(self.json, value).map(|place| (place, by)));
    }

    /// The name the client asked for.
    fn model(&mut self, model: Option<&RawValue>, name: &str) {
        if let Some(model) = model {
            self.replace(model, serde_json::to_string(name).expect("a string always serializes"));
        }
    }

    /// A reason in a word of another API, which stands in `holder`, becomes that of this one.
    /// Returns whether it was one.
    ///
    /// # Errors
    /// It tells of a failure.
    fn stop(&mut self, holder: Option<&RawValue>) -> Result<bool, Error> {
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
    fn usage(&mut self, usage: Option<&RawValue>, holder: Option<&RawValue>, none: &str) {
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
    fn frame(mut self, frame: &[u8]) -> Vec<u8> {
        // The data of one line stands in the frame as it is.
        let data = frame.windows(self.json.len().max(1)).position(|window| window == self.json);
        let Some(data) = data else { return frame.to_vec() };
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
fn with_output(frame: &[u8]) -> Option<Vec<u8>> {
    let mut decoder = Decoder::default();
    decoder.feed(frame);
    let data = decoder.next_frame().ok().flatten()?.data;
    let seen: Seen = serde_json::from_slice(data).ok()?;
    let mut edits = Edits::new(data);
    edits.usage(seen.usage, serde_json::from_slice(data).ok(), NO_OUTPUT);
    (!edits.edits.is_empty()).then(|| edits.frame(frame))
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
fn range(json: &[u8], value: &RawValue) -> Option<Range<usize>> {
    let begin = (value.get().as_ptr() as usize).checked_sub(json.as_ptr() as usize)?;
    let range = begin..begin + value.get().len();
    (json.get(range.clone())? == value.get().as_bytes()).then_some(range)
}

#[cfg(test)]
mod tests;
