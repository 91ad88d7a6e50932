//! Chunks, or events of the Responses API, → events: the state machine that every answer goes
//! through, streamed or whole. What comes in is sorted into [`items`], the blocks of the message.
//!
//! ```text
//!   Idle ──start──▶ Started ──finish──▶ Ended      message_stop
//!     └───────fail────┴───────fail────▶ Ended      error
//! ```
//!
//! ```
//! use ccproxy::error::Error;
//! use ccproxy::openai::Dialect;
//! use ccproxy::translate::{Stops, ToolNames, Translator};
//!
//! let answer = || {
//!     let (id, model) = ("msg_1".to_owned(), "m".to_owned());
//!     let names = ToolNames::default();
//!     Translator::new(Dialect::ChatCompletions, id, model, names, vec![], Stops::default(), 1)
//! };
//! let says = |out: &[u8], event: &str| String::from_utf8_lossy(out).contains(event);
//!
//! // Idle, and Started by the first words. Behind a finish reason counts may follow.
//! let (mut well, mut out) = (answer(), Vec::new());
//! assert!(!well.has_started());
//! well.chunk(br#"{"choices":[{"delta":{"content":"Hello"}}]}"#, &mut out).unwrap();
//! assert!(well.has_started() && well.has_content() && !well.is_complete());
//! well.chunk(br#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#, &mut out).unwrap();
//! assert!(well.is_complete() && !well.is_ended() && !says(&out, "message_stop"));
//! well.finish(&mut out).unwrap();
//! assert!(well.is_ended() && says(&out, "message_stop") && !says(&out, "event: error"));
//!
//! // An answer that is not complete does not end well: it stays Started until it is failed.
//! let (mut cut, mut out) = (answer(), Vec::new());
//! cut.chunk(br#"{"choices":[{"delta":{"content":"Hel"}}]}"#, &mut out).unwrap();
//! let error: Error = cut.finish(&mut out).unwrap_err();
//! assert!(!cut.is_ended());
//! cut.fail(&error, &mut out);
//! assert!(cut.is_ended() && says(&out, "event: error") && !says(&out, "message_stop"));
//!
//! // Nothing follows the end.
//! let length = out.len();
//! cut.chunk(br#"{"choices":[{"delta":{"content":"lo"}}]}"#, &mut out).unwrap();
//! assert_eq!(out.len(), length);
//! ```
//!
//! A stop sequence that the provider does not take ends the message where it begins, while the
//! upstream may go on.
//!
//! Whatever comes in and wherever it ends: the last event is `message_stop`, with every started
//! block stopped, or `error`, and nothing follows it.
//!
//! | Messages API | the other side | where |
//! |---|---|---|
//! | stream events | chunks, events of the Responses API | `completions`, `responses`, `items` |
//! | a message | the events, folded | `fold` |
//! | tool calls | calls that a model wrote as text | `text_calls` |
//! | thoughts | `<think>` in the text | `think` |
//! | `server_tool_use`, `web_search_tool_result` | sources, calls of a search | `search`, `sources` |
//! | `stop_reason`, `usage` | `finish_reason`, `usage` | `stop_reason`, `usage` |
//! | stream events, a message | the same, from a provider that speaks the Messages API | `native` |

mod arguments;
mod completions;
mod fold;
mod halves;
mod items;
pub mod native;
mod recast;
mod responses;
mod search;
mod sources;
mod stop_reason;
mod text_calls;
mod think;
mod usage;

use std::borrow::Cow;

use self::arguments::{Fault, escape_halves};
pub use self::fold::Fold;
use self::halves::join_halves;
use self::items::{CallPiece, Items, MAX_BLOCKS};
use self::search::Search;
use self::sources::Sources;
use self::stop_reason::{Finish, finish, stop_reason};
use self::text_calls::{Said, TextCalls};
use self::think::{ThinkSplitter, Voice};
use self::usage::Counts;
use super::reading::{Searched, TextTools, ToolNames};
use super::refusal::{self, stream_error};
use super::stops::Stops;
use crate::anthropic::{
    Event, MessageDelta, MessageHead, SafeguardResult, ServerToolUse, StopReason, Usage,
};
use crate::error::Error;
use crate::json::{self, complaint};
use crate::openai::Dialect;
use crate::sse::Frame;
use crate::tokens::TextCount;

/// Takes events as they are made.
pub trait Sink {
    /// Takes the next event.
    fn event(&mut self, event: &Event<'_>);
}

/// Encoded, as a client reads them.
impl Sink for Vec<u8> {
    fn event(&mut self, event: &Event<'_>) {
        event.encode(self);
    }
}

/// Translates one answer.
#[derive(Debug)]
pub struct Translator {
    dialect: Dialect,
    id: String,
    model: String,
    names: ToolNames,
    stop_sequences: Vec<String>,
    input_estimate: u64,
    safeguard_results: Vec<SafeguardResult>,
    state: State,
    items: Items,
    splitter: ThinkSplitter,
    text_calls: TextCalls,
    has_text_calls: bool,
    is_data: bool,
    sources: Sources,
    /// The client has asked for a search of the web.
    search: Option<Box<Search>>,
    finish_reason: Option<String>,
    matched_stop: Option<String>,
    /// Why the message has ended, once it has.
    stop_reason: Option<StopReason>,
    refused: bool,
    /// Reasoning has come as plain text.
    has_reasoning: bool,
    output: responses::Output,
    /// As far as the upstream has told them.
    counts: Counts,
    counted: TextCount,
    /// `[DONE]` has come.
    done: bool,
    /// Room for a text without its escapes.
    scratch: String,
    /// What is being read was [`json::mended`].
    is_mended: bool,
    /// Half a surrogate pair, which the other half may follow.
    half: Option<(Voice, u16)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    Started,
    Ended,
}

impl Translator {
    /// A translator for one answer of an upstream that speaks `dialect`.
    ///
    /// `id` is the message's, `msg_…`, and unique: the ids of its tool calls are made from it.
    /// `model` is the name the client asked for. `stop_sequences` are those that it asked for,
    /// `stops` those of them that the upstream was not told. `input_estimate` counts the input
    /// until (and unless) the upstream tells.
    pub fn new(
        dialect: Dialect,
        id: String,
        model: String,
        names: ToolNames,
        stop_sequences: Vec<String>,
        stops: Stops,
        input_estimate: u64,
    ) -> Translator {
        Translator {
            dialect,
            id,
            model,
            names,
            stop_sequences,
            input_estimate,
            safeguard_results: Vec::new(),
            state: State::Idle,
            items: Items::new(stops),
            splitter: ThinkSplitter::default(),
            text_calls: TextCalls::default(),
            has_text_calls: false,
            is_data: false,
            sources: Sources::default(),
            search: None,
            finish_reason: None,
            matched_stop: None,
            stop_reason: None,
            refused: false,
            has_reasoning: false,
            output: responses::Output::default(),
            counts: Counts::default(),
            counted: TextCount::default(),
            done: false,
            scratch: String::new(),
            is_mended: false,
            half: None,
        }
    }

    /// The same, which ends its message with these answers to the request's safeguards.
    pub fn with_safeguards(self, safeguard_results: Vec<SafeguardResult>) -> Translator {
        Translator { safeguard_results, ..self }
    }

    /// The client has got the start of the message already.
    pub fn skip_start(&mut self) {
        self.state = State::Started;
    }

    /// The same for a model that may call these tools in its text, and end its thinking there.
    pub fn with_text_tools(self, tools: Option<TextTools>) -> Translator {
        let Some(tools) = tools else { return self };
        let splitter = ThinkSplitter::of_bare_model();
        Translator { splitter, text_calls: TextCalls::new(tools), ..self }
    }

    /// The same for the answer to a request for a search of the web.
    pub fn with_search(mut self, asked: Option<Searched>) -> Translator {
        if let Some(asked) = &asked {
            self.sources = Sources::of(asked.domains.clone());
        }
        self.search = asked.map(Search::new).map(Box::new);
        if self.search.as_ref().is_some_and(|search| search.is_free()) {
            self.input_estimate = 0;
        }
        self
    }

    /// The same for a text that `is_data`: nothing is added to it.
    pub fn of_data(self, is_data: bool) -> Translator {
        Translator { is_data, ..self }
    }

    /// Whether a tool was called in the text.
    pub fn has_text_calls(&self) -> bool {
        self.has_text_calls
    }

    /// Whether the message's start has gone out.
    pub fn has_started(&self) -> bool {
        self.state != State::Idle
    }

    /// Whether anything of the message but its start has gone out.
    pub fn has_content(&self) -> bool {
        self.items.has_sent()
    }

    /// Whether the last event has gone out.
    pub fn is_ended(&self) -> bool {
        self.state == State::Ended
    }

    /// Whether the upstream has told why its answer ends: what may follow are counts.
    pub fn is_complete(&self) -> bool {
        self.finish_reason.is_some()
    }

    /// Whether a stop sequence has cut the answer, of which the upstream may have more to say.
    pub fn is_cut(&self) -> bool {
        self.items.stop().is_some()
    }

    /// The tokens as far as they are known: the upstream's count, or an estimate.
    pub fn usage(&self) -> Usage {
        let search = self.search.as_ref();
        if search.is_some_and(|search| search.is_free()) {
            // Nobody was asked.
            return Usage::default();
        }
        let web_search_requests = search.and_then(|search| search.requests());
        Usage {
            server_tool_use: web_search_requests
                .map(|web_search_requests| ServerToolUse { web_search_requests }),
            ..self.counts.filled(self.input_estimate, self.counted.tokens())
        }
    }

    /// Begins the message, if it has not begun.
    pub fn start(&mut self, sink: &mut dyn Sink) {
        if self.state == State::Idle {
            self.state = State::Started;
            let usage = Usage { input_tokens: self.input_estimate, ..Usage::default() };
            let message = MessageHead::new(&self.id, &self.model, usage);
            sink.event(&Event::MessageStart { message });
            // As the API does; it also tells clients that the stream is alive.
            sink.event(&Event::Ping);
        }
    }

    /// Takes one frame of the upstream's stream.
    ///
    /// # Errors
    /// An error the upstream tells of, or a frame that makes no sense. The message is not ended by
    /// it: [`Translator::fail`] does that, if anything of it has been sent.
    pub fn frame(&mut self, frame: &Frame<'_>, sink: &mut dyn Sink) -> Result<(), Error> {
        let data = frame.data.trim_ascii();
        if self.state == State::Ended || data.is_empty() {
            return Ok(());
        }
        if data == b"[DONE]" {
            // The Responses API does not know it; some of its servers send it after the end.
            self.done = self.dialect == Dialect::ChatCompletions;
            return self.finish(sink);
        }
        if frame.event == b"error" {
            return Err(self.told(data));
        }
        self.chunk(data, sink)
    }

    /// The error that `json` tells of, which came in the place of an answer or within one.
    fn told(&self, json: &[u8]) -> Error {
        stream_error(&refusal::Said::read(json), self.input_estimate)
    }

    /// Takes a frame that the end of the stream cut short. Behind a complete answer half of one is
    /// none.
    ///
    /// # Errors
    /// As [`Translator::frame`].
    pub fn last_frame(&mut self, frame: &Frame<'_>, sink: &mut dyn Sink) -> Result<(), Error> {
        match self.frame(frame, sink) {
            Err(Error::Protocol { .. }) if self.is_complete() => Ok(()),
            translated => translated,
        }
    }

    /// Takes a whole body, and ends the message: one document, or several one after another, or an
    /// array of them, as services send that do not stream as events.
    ///
    /// # Errors
    /// As [`Translator::frame`] and [`Translator::finish`].
    pub fn whole(&mut self, body: &[u8], sink: &mut dyn Sink) -> Result<(), Error> {
        match json::documents(body) {
            Some(documents) => {
                for document in documents {
                    self.chunk(document.get().as_bytes(), sink)?;
                }
            }
            None => self.chunk(body, sink)?,
        }
        self.finish(sink)
    }

    /// Takes a chunk or a whole completion, an event or a whole response.
    ///
    /// # Errors
    /// As [`Translator::frame`].
    pub fn chunk(&mut self, json: &[u8], sink: &mut dyn Sink) -> Result<(), Error> {
        match self.dialect {
            _ if self.state == State::Ended => Ok(()),
            Dialect::ChatCompletions => self.completion_chunk(json, sink),
            Dialect::Responses => self.responses_event(json, sink),
        }
    }

    /// Takes what could not be read once more, mended, or tells what is wrong with it: `it` is no
    /// JSON, or not what is sent.
    fn mended_chunk(
        &mut self,
        json: &[u8],
        error: &serde_json::Error,
        it: &str,
        sink: &mut dyn Sink,
    ) -> Result<(), Error> {
        let Some(mended) = json::mended(json).filter(|_| !self.is_mended) else {
            return Err(Error::protocol(format!("{it}: {}", complaint(error))));
        };
        self.is_mended = true;
        let taken = self.chunk(&mended, sink);
        self.is_mended = false;
        taken
    }

    /// Ends the message: the upstream's answer is over.
    ///
    /// `message_delta` waits for this, since usage comes after the finish reason, without choices.
    ///
    /// # Errors
    /// The answer was cut short, or its finish reason tells of a failure; as for
    /// [`Translator::frame`], nothing is ended then.
    pub fn finish(&mut self, sink: &mut dyn Sink) -> Result<(), Error> {
        if self.state == State::Ended {
            return Ok(());
        }
        self.give_up_half();
        self.sort(|splitter, out| splitter.finish(out));
        self.finish_text_calls();
        self.items.finish_text();
        self.list_sources();
        self.check_size()?;
        let finish_reason =
            if self.is_over() { "stop".to_owned() } else { self.checked_finish_reason()? };
        let mut stop = stop_reason(&finish_reason, self.items.has_calls());
        for fault in self.items.faults() {
            let is_finished = matches!(stop, StopReason::EndTurn | StopReason::ToolUse);
            match fault {
                // What its server took for the whole call ends in its middle, so the output did.
                // Told so, Claude Code does not run it, and the model is asked for the rest.
                Fault::BreaksOff if is_finished => stop = StopReason::MaxTokens,
                Fault::BreaksOff | Fault::NoObject if !is_finished => {}
                fault => return Err(Error::protocol(fault)),
            }
        }
        self.start(sink);
        self.tell_search();
        self.items.finish(sink);
        if self.refused && stop == StopReason::EndTurn {
            stop = StopReason::Refusal;
        }
        let stop_sequence = self.items.stop().or(self.matched_stop.as_deref());
        let stop_sequence = stop_sequence.filter(|_| stop == StopReason::EndTurn);
        if stop_sequence.is_some() {
            stop = StopReason::StopSequence;
        }
        self.stop_reason = Some(stop);
        let safeguard_results = &*self.safeguard_results;
        let delta = MessageDelta { stop_reason: stop, stop_sequence, safeguard_results };
        sink.event(&Event::MessageDelta { delta, usage: self.usage() });
        sink.event(&Event::MessageStop);
        self.state = State::Ended;
        Ok(())
    }

    /// Ends the message with an error.
    ///
    /// The open block is not stopped: Claude Code takes a stopped block as said. It then runs half
    /// a tool call and keeps half a text, where it otherwise throws both away and asks again.
    pub fn fail(&mut self, error: &Error, sink: &mut dyn Sink) {
        if self.state == State::Ended {
            return;
        }
        self.items.clear();
        sink.event(&Event::Error { error: &error.detail() });
        self.state = State::Ended;
    }

    fn check_size(&self) -> Result<(), Error> {
        if !self.items.has_too_many() {
            return Ok(());
        }
        Err(Error::protocol(format!("it has more than {MAX_BLOCKS} blocks")))
    }

    /// Why the message has ended, once it has.
    pub fn stop_reason(&self) -> Option<StopReason> {
        self.stop_reason
    }

    /// Whether a stop sequence has ended the message: the calls before it must be whole, since the
    /// client runs them.
    fn is_over(&self) -> bool {
        self.is_cut() && !self.items.has_nameless_call() && self.items.has_whole_arguments()
    }

    /// The finish reason, if the answer is complete.
    ///
    /// A stream that ends without one and without `[DONE]` was cut, even where its text looks
    /// complete; one with `[DONE]` is a sloppy service, unless a tool call is broken off.
    fn checked_finish_reason(&mut self) -> Result<String, Error> {
        if self.items.has_nameless_call() {
            return Err(Error::protocol("a tool call has no name"));
        }
        match &self.finish_reason {
            Some(reason) => match finish(reason) {
                // A word that is new, and nothing said: nobody would see that it failed.
                Finish::Unknown if self.items.has_begun() => Ok(reason.clone()),
                Finish::Failed | Finish::Unknown => Err(Error::upstream(
                    500,
                    format!("the upstream ended its answer with finish_reason {reason:?}"),
                    Default::default(),
                )),
                Finish::Stop(_) => Ok(reason.clone()),
            },
            None if self.done && self.items.has_begun() && self.items.has_whole_arguments() => {
                Ok("stop".to_owned())
            }
            None => Err(Error::cut("it ended before the message was complete")),
        }
    }

    fn say(&mut self, voice: Voice, text: &str) {
        let text = &*self.joined(voice, text);
        self.counted.add(text);
        self.items.append(voice, text);
    }

    /// Content that may begin with `<think>`.
    fn split(&mut self, text: &str) {
        let text = self.joined(Voice::Text, text);
        self.sort(|splitter, out| splitter.push(&text, out));
    }

    /// Appends what the splitter makes of it: thinking, text, or a call in its place.
    fn sort(&mut self, split: impl FnOnce(&mut ThinkSplitter, &mut dyn FnMut(Voice, &str))) {
        let Translator { splitter, text_calls, has_text_calls, items, counted, id, names, .. } =
            self;
        split(splitter, &mut |voice, text| match voice {
            Voice::Thinking => {
                counted.add(text);
                items.append(voice, text);
            }
            Voice::Text => text_calls.push(text, |said| {
                *has_text_calls |= append(said, items, counted, id, names);
            }),
        });
    }

    /// What was held back for the rest of a call is text.
    fn finish_text_calls(&mut self) {
        let Translator { text_calls, has_text_calls, items, counted, id, names, .. } = self;
        text_calls.finish(|said| *has_text_calls |= append(said, items, counted, id, names));
    }

    /// The text is over: what was told beside it of where it comes from follows it.
    fn list_sources(&mut self) {
        let is_told_apart = self.is_data || self.search.is_some();
        if let Some(list) = self.sources.list().filter(|_| !is_told_apart) {
            self.items.append_list(&list);
        }
    }

    /// `text` with the characters whole that were cut into halves.
    fn joined<'t>(&mut self, voice: Voice, text: &'t str) -> Cow<'t, str> {
        if self.half.is_some_and(|(other, _)| other != voice) {
            self.give_up_half();
        }
        let pending = self.half.take().map(|(_, half)| half);
        if !self.is_mended && pending.is_none() {
            return Cow::Borrowed(text);
        }
        let (joined, pending) = join_halves(pending, text);
        self.half = pending.map(|half| (voice, half));
        Cow::Owned(joined)
    }

    /// The other half of a character has not come.
    fn give_up_half(&mut self) {
        if let Some((voice, _)) = self.half.take() {
            match voice {
                Voice::Text => self.sort(|splitter, out| splitter.push("\u{FFFD}", out)),
                Voice::Thinking => self.say(voice, "\u{FFFD}"),
            }
        }
    }

    fn tool_call(&mut self, piece: &CallPiece<'_>) {
        self.give_up_half();
        self.finish_text_calls();
        self.list_sources();
        let escaped = self.is_mended.then(|| escape_halves(&piece.arguments));
        let arguments = Cow::Borrowed(escaped.as_deref().unwrap_or(&piece.arguments));
        if self.items.call(&CallPiece { arguments, ..*piece }, &self.id, &self.names) {
            self.counted.add(&piece.arguments);
        }
    }

    /// Sends what can be sent, and ends the message if a stop sequence does.
    fn advance(&mut self, sink: &mut dyn Sink) -> Result<(), Error> {
        self.check_size()?;
        if self.is_over() {
            return self.finish(sink);
        }
        if self.waits_for_search() {
            return Ok(());
        }
        if self.search.as_ref().is_some_and(|search| search.is_all()) {
            self.tell_search();
        }
        self.items.advance(sink).map_err(Error::protocol)
    }
}

/// Appends a text, or a call that was written as one. Returns whether it was a call.
fn append(
    said: Said<'_>,
    items: &mut Items,
    counted: &mut TextCount,
    message_id: &str,
    names: &ToolNames,
) -> bool {
    match said {
        Said::Text(text) => {
            counted.add(text);
            items.append(Voice::Text, text);
            false
        }
        Said::Call { name, arguments } => {
            counted.add(&arguments);
            let id = format!("text_call_{}", items.calls() + 1);
            let piece = CallPiece {
                id: Some(&id),
                name: Some(&name),
                arguments: Cow::Borrowed(&arguments),
                ..CallPiece::default()
            };
            items.call(&piece, message_id, names)
        }
    }
}
