//! The answer of a provider that speaks the Messages API itself: its bytes are the client's, but
//! for the model's name. They are looked at for the tokens, and for whether the message was
//! completed.
//!
//! Bytes go out frame by frame, so that a ping or an error of our own never comes between two
//! halves of one.

mod edits;
mod seen;
mod whole;

use std::borrow::Cow;

use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::recast;
use crate::anthropic::{Event, SafeguardResult, Usage};
use crate::error::Error;
use crate::sse::{Decoder, FRAME_LIMIT_BYTES};
use edits::{Edits, NO_USAGE, place_of, range, with_output, with_results};
use seen::{Seen, SeenEnd, SeenMessage, SeenUsage, body_error, error};
pub use whole::{WholeMessage, whole};

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

#[cfg(test)]
mod tests;
