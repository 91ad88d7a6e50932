//! Chunks, or events of the Responses API, → events: the state machine that every answer goes through, streamed or whole.
//!
//! ```text
//!   Idle ──start──▶ Started ──finish──▶ Ended      message_stop
//!     └───────fail────┴───────fail────▶ Ended      error
//! ```
//!
//! Blocks go out one after another, as the API describes a stream, while services interleave tool
//! calls. So what comes in is sorted into items in the order of their first piece: the first item is
//! the open block and streams, the others collect until it is over. A text is over when something
//! else follows, a tool call when its JSON is complete and something else follows. Thinking without
//! words, which the client only carries, is a block that starts and stops at once.
//!
//! A stop sequence that the provider does not take ends the message where it begins, while the
//! upstream may go on.
//!
//! Whatever comes in and wherever it ends: the last event is `message_stop`, with every started block
//! stopped, or `error`, and nothing follows it.

mod responses;

use std::borrow::Cow;
use std::collections::VecDeque;

use serde_json::value::RawValue;

use super::arguments::Arguments;
use super::carry::{self, Cargo, SIGNATURE};
use super::error::{stream_error, stream_failure};
use super::stop_reason::{is_failure, stop_reason};
use super::stops::{HeldText, Stops};
use super::think::{ThinkSplitter, Voice};
use super::tokens::TextCount;
use super::tools::ToolNames;
use super::usage;
use crate::anthropic::{
    BlockStart, Delta, Event, MessageDelta, MessageHead, NoInput, StopReason, Usage,
};
use crate::error::Error;
use crate::openai::{Choice, Chunk, ContentPiece, Dialect, FunctionDelta, ToolDelta};
use crate::sse::Frame;

/// Takes events as they are made.
pub trait Sink {
    fn event(&mut self, event: &Event<'_>);
}

/// Encoded, as a client reads them.
impl Sink for Vec<u8> {
    fn event(&mut self, event: &Event<'_>) {
        event.encode(self);
    }
}

/// What an answer is translated back with.
#[derive(Debug, Default)]
pub struct Reading {
    pub dialect: Dialect,
    pub names: ToolNames,
    /// The stop sequences that the provider was not told.
    pub stops: Stops,
}

/// Translates one answer.
#[derive(Debug)]
pub struct Translator {
    dialect: Dialect,
    id: String,
    model: String,
    names: ToolNames,
    stop_sequences: Vec<String>,
    /// Those of them that the upstream does not know.
    stops: Stops,
    input_estimate: u64,
    state: State,
    /// The first is the open block, if it is open; the others wait.
    items: VecDeque<Item>,
    /// The index of the first item.
    index: usize,
    calls: usize,
    /// The ids of the calls: the upstream's, and the client's.
    call_ids: Vec<(String, String)>,
    splitter: ThinkSplitter,
    finish_reason: Option<String>,
    matched_stop: Option<String>,
    refused: bool,
    /// Reasoning has come as plain text.
    has_reasoning: bool,
    output: responses::Output,
    usage: Option<Usage>,
    counted: TextCount,
    /// Of thinking that carries nothing else.
    signature: &'static str,
    /// `[DONE]` has come.
    done: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    Started,
    Ended,
}

/// A block in the making. `open` tells that its start has gone out.
#[derive(Debug)]
struct Item {
    open: bool,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Text(HeldText),
    Thinking(Thinking),
    Call(Call),
}

#[derive(Debug, Default)]
struct Thinking {
    /// What has not gone out yet.
    text: String,
    cargo: Cargo,
}

#[derive(Debug)]
struct Call {
    id: String,
    upstream_index: Option<u64>,
    upstream_id: Option<String>,
    name: Option<String>,
    arguments: Arguments,
}

/// A piece of a tool call, or a whole one.
#[derive(Debug, Default)]
struct CallPiece<'a> {
    index: Option<u64>,
    id: Option<&'a str>,
    name: Option<&'a str>,
    arguments: Cow<'a, str>,
    thought_signature: Option<&'a str>,
}

impl<'a> CallPiece<'a> {
    fn with_function(self, function: &'a FunctionDelta<'a>) -> CallPiece<'a> {
        CallPiece {
            name: function.name.some().map(|name| &**name),
            arguments: function.arguments.map(json_text).unwrap_or_default(),
            ..self
        }
    }
}

impl<'a> From<&'a ToolDelta<'a>> for CallPiece<'a> {
    fn from(delta: &'a ToolDelta<'a>) -> CallPiece<'a> {
        let signature = &delta.extra_content.0.google.thought_signature;
        let piece = CallPiece {
            index: delta.index.0,
            id: delta.id.some().map(|id| &**id),
            thought_signature: signature.some().map(|signature| &**signature),
            ..CallPiece::default()
        };
        match &delta.function {
            Some(function) => piece.with_function(function),
            None => piece,
        }
    }
}

impl Translator {
    /// A translator for one answer of an upstream that speaks `dialect`.
    ///
    /// `id` is the message's, `msg_…`, and unique: the ids of its tool calls are made from it.
    /// `model` is the name the client asked for. `stop_sequences` are those that it asked for, `stops`
    /// those of them that the upstream was not told. `input_estimate` counts the input until (and
    /// unless) the upstream tells.
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
            stops,
            input_estimate,
            state: State::Idle,
            items: VecDeque::new(),
            index: 0,
            calls: 0,
            call_ids: Vec::new(),
            splitter: ThinkSplitter::default(),
            finish_reason: None,
            matched_stop: None,
            refused: false,
            has_reasoning: false,
            output: responses::Output::default(),
            usage: None,
            counted: TextCount::default(),
            signature: SIGNATURE,
            done: false,
        }
    }

    /// Prepares for the answer of another provider. Nothing of the message has reached the client, but
    /// maybe its start, which `has_started` tells.
    pub fn restart(&mut self, reading: Reading, has_started: bool) {
        let Reading { dialect, names, stops } = reading;
        let fresh = Translator::new(
            dialect,
            std::mem::take(&mut self.id),
            std::mem::take(&mut self.model),
            names,
            std::mem::take(&mut self.stop_sequences),
            stops,
            self.input_estimate,
        );
        let state = if has_started { State::Started } else { State::Idle };
        *self = Translator { state, ..fresh };
    }

    /// Whether the message's start has gone out.
    pub fn has_started(&self) -> bool {
        self.state != State::Idle
    }

    /// Whether anything of the message but its start has gone out.
    pub fn has_content(&self) -> bool {
        self.index > 0 || self.items.front().is_some_and(|item| item.open)
    }

    /// Whether the last event has gone out.
    pub fn is_ended(&self) -> bool {
        self.state == State::Ended
    }

    /// Whether a stop sequence has cut the answer, of which the upstream may have more to say.
    pub fn is_cut(&self) -> bool {
        self.stops.found().is_some()
    }

    /// The tokens as far as they are known: the upstream's count, or an estimate.
    pub fn usage(&self) -> Usage {
        self.usage.unwrap_or_else(|| usage::estimated(self.input_estimate, self.counted.tokens()))
    }

    /// Begins the message, if it has not begun.
    pub fn start(&mut self, sink: &mut impl Sink) {
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
    pub fn frame(&mut self, frame: &Frame<'_>, sink: &mut impl Sink) -> Result<(), Error> {
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
            return Err(stream_failure(data, self.input_estimate));
        }
        self.chunk(data, sink)
    }

    /// Takes a chunk or a whole completion, an event or a whole response.
    ///
    /// # Errors
    /// As [`Translator::frame`].
    pub fn chunk(&mut self, json: &[u8], sink: &mut impl Sink) -> Result<(), Error> {
        match self.dialect {
            _ if self.state == State::Ended => Ok(()),
            Dialect::ChatCompletions => self.completion_chunk(json, sink),
            Dialect::Responses => self.responses_event(json, sink),
        }
    }

    fn completion_chunk(&mut self, json: &[u8], sink: &mut impl Sink) -> Result<(), Error> {
        let chunk: Chunk = serde_json::from_slice(json).map_err(|e| Error::Protocol {
            reason: format!("a chunk is not what chat completions send: {e}"),
        })?;
        let groq = chunk.x_groq.unwrap_or_default();
        if let Some(error) = chunk.error.or(groq.error) {
            return Err(stream_error(error, self.input_estimate));
        }
        let choice = chunk.choices.unwrap_or_default().into_iter().next();
        let of_choice = choice.as_ref().and_then(|choice| choice.usage);
        let counts = chunk.usage.or(groq.usage).or(of_choice);
        if let Some(counts) = counts.filter(|counts| counts.prompt_tokens.0.is_some()) {
            self.usage = Some(usage::translate(&counts));
        }
        if let Some(choice) = choice {
            self.start(sink);
            self.choice(choice);
            self.advance(sink)?;
        }
        Ok(())
    }

    /// Ends the message: the upstream's answer is over.
    ///
    /// `message_delta` waits for this, since usage comes after the finish reason, without choices.
    ///
    /// # Errors
    /// The answer was cut short, or its finish reason tells of a failure; as for
    /// [`Translator::frame`], nothing is ended then.
    pub fn finish(&mut self, sink: &mut impl Sink) -> Result<(), Error> {
        if self.state == State::Ended {
            return Ok(());
        }
        let (items, stops, counted) = (&mut self.items, &mut self.stops, &mut self.counted);
        self.splitter.finish(|voice, text| {
            counted.add(text);
            append(items, stops, voice, text);
        });
        finish_text(items, stops);
        let finish_reason =
            if self.is_over() { "stop".to_owned() } else { self.checked_finish_reason()? };
        self.start(sink);
        while !self.items.is_empty() {
            self.flush_first(sink);
            self.finish_first_call(sink);
            self.close_first(sink);
        }
        let has_calls = self.calls > 0;
        let mut stop = stop_reason(&finish_reason, has_calls);
        if self.refused && stop == StopReason::EndTurn {
            stop = StopReason::Refusal;
        }
        let stop_sequence = self.stops.found().or(self.matched_stop.as_deref());
        let stop_sequence = stop_sequence.filter(|_| stop == StopReason::EndTurn);
        if stop_sequence.is_some() {
            stop = StopReason::StopSequence;
        }
        let delta = MessageDelta { stop_reason: stop, stop_sequence };
        sink.event(&Event::MessageDelta { delta, usage: self.usage() });
        sink.event(&Event::MessageStop);
        self.state = State::Ended;
        Ok(())
    }

    /// Ends the message with an error.
    ///
    /// The open block is not stopped: Claude Code takes a stopped block as said. It then runs half a
    /// tool call and keeps half a text, where it otherwise throws both away and asks again.
    pub fn fail(&mut self, error: &Error, sink: &mut impl Sink) {
        if self.state == State::Ended {
            return;
        }
        self.items.clear();
        sink.event(&Event::Error { error: &error.detail() });
        self.state = State::Ended;
    }

    /// The calls that have not gone out yet.
    fn open_calls(&self) -> impl Iterator<Item = &Call> {
        self.items.iter().filter_map(|item| match &item.content {
            Content::Call(call) => Some(call),
            _ => None,
        })
    }

    /// Whether a stop sequence has ended the message: the calls before it must be whole, since the
    /// client runs them.
    fn is_over(&self) -> bool {
        let is_whole = |call: &Call| call.name.is_some() && call.arguments.is_complete();
        self.is_cut() && self.open_calls().all(is_whole)
    }

    /// The finish reason, if the answer is complete.
    ///
    /// A stream that ends without one and without `[DONE]` was cut, even where its text looks
    /// complete; one with `[DONE]` is a sloppy service, unless a tool call is broken off.
    fn checked_finish_reason(&mut self) -> Result<String, Error> {
        if self.open_calls().any(|call| call.name.is_none()) {
            return Err(Error::Protocol { reason: "a tool call has no name".to_owned() });
        }
        let said_something = self.index > 0 || !self.items.is_empty();
        match &self.finish_reason {
            Some(reason) if is_failure(reason) => Err(Error::Upstream {
                status: 500,
                message: format!("the upstream ended its answer with finish_reason {reason:?}"),
                retry: Default::default(),
            }),
            Some(reason) => Ok(reason.clone()),
            None if self.done
                && said_something
                && self.open_calls().all(|call| call.arguments.is_complete()) =>
            {
                Ok("stop".to_owned())
            }
            None => Err(Error::Protocol {
                reason: "it ended before the message was complete".to_owned(),
            }),
        }
    }

    /// Sorts the content of a choice into items.
    fn choice(&mut self, choice: Choice<'_>) {
        let delta = choice.delta.or(choice.message).unwrap_or_default();
        let fields = [(&delta.reasoning_content, SIGNATURE), (&delta.reasoning, carry::REASONING)];
        for (thought, signature) in fields {
            if let Some(thought) = thought.some() {
                self.counted.add(thought);
                append(&mut self.items, &mut self.stops, Voice::Thinking, thought);
                self.has_reasoning = true;
                self.signature = signature;
                // Services that send both fields send the same in both.
                break;
            }
        }
        for detail in delta.reasoning_details.0 {
            if !self.has_reasoning {
                self.say(Voice::Thinking, carry::shown(&detail));
            }
            if let Some(thinking) = self.thinking(carry::says_something(&detail)) {
                thinking.cargo.detail(detail);
            }
        }
        for piece in &delta.content.0 {
            match piece {
                ContentPiece::Thinking(text) => self.say(Voice::Thinking, text),
                ContentPiece::Text(text) => self.split(text),
            }
        }
        if let Some(refusal) = delta.refusal.some() {
            self.refused = true;
            self.say(Voice::Text, refusal);
        }
        for call in delta.tool_calls.unwrap_or_default() {
            self.tool_call(&CallPiece::from(&call));
        }
        if let Some(function) = delta.function_call {
            self.tool_call(&CallPiece::default().with_function(&function));
        }
        if let Some(reason) = choice.finish_reason.some() {
            self.finish_reason = Some(reason.clone().into_owned());
        }
        for stop in [choice.stop_reason, choice.matched_stop] {
            if let Some(stop) = stop.some()
                && self.stop_sequences.iter().any(|asked| *asked == **stop)
            {
                self.matched_stop = Some(stop.clone().into_owned());
            }
        }
    }

    fn say(&mut self, voice: Voice, text: &str) {
        self.counted.add(text);
        append(&mut self.items, &mut self.stops, voice, text);
    }

    /// The thinking that came last, or a new one if something else has come since and `begin` says
    /// so.
    fn thinking(&mut self, begin: bool) -> Option<&mut Thinking> {
        if begin && !matches!(self.items.back(), Some(Item { content: Content::Thinking(_), .. })) {
            begin_item(&mut self.items, &mut self.stops, Content::Thinking(Thinking::default()));
        }
        match self.items.back_mut() {
            Some(Item { content: Content::Thinking(thinking), .. }) => Some(thinking),
            _ => None,
        }
    }

    /// Content that may begin with `<think>`.
    fn split(&mut self, text: &str) {
        let (items, stops, counted) = (&mut self.items, &mut self.stops, &mut self.counted);
        self.splitter.push(text, |voice, text| {
            counted.add(text);
            append(items, stops, voice, text);
        });
    }

    fn tool_call(&mut self, piece: &CallPiece<'_>) {
        let found = self.call_of(piece);
        let says_nothing = piece.id.is_none() && piece.name.is_none() && piece.arguments.is_empty();
        if found.is_none() && says_nothing {
            return;
        }
        if found.is_none() {
            let unique = self.id.strip_prefix("msg_").unwrap_or(&self.id);
            let call = Call {
                id: format!("toolu_{unique}_{}", self.calls + 1),
                upstream_index: piece.index,
                upstream_id: None,
                name: None,
                arguments: Arguments::default(),
            };
            if !begin_item(&mut self.items, &mut self.stops, Content::Call(call)) {
                return;
            }
            self.calls += 1;
        }
        let at = found.unwrap_or(self.items.len() - 1);
        let Item { content: Content::Call(call), open } = &mut self.items[at] else {
            unreachable!("call_of() finds calls, and a new one is the last");
        };
        // With the first piece of the call; the same in a later one would find its id already told.
        if let Some(signature) = piece.thought_signature
            && !*open
            && carry::from_id(&call.id).is_none()
        {
            call.id = carry::into_id(&call.id, signature);
        }
        if let Some(id) = piece.id {
            if call.upstream_id.as_deref() != Some(id) {
                self.call_ids.push((id.to_owned(), call.id.clone()));
            }
            call.upstream_id = Some(id.to_owned());
        }
        if let Some(name) = piece.name
            && call.name.is_none()
        {
            call.name = Some(self.names.original(name).to_owned());
        }
        self.counted.add(&piece.arguments);
        call.arguments.push(&piece.arguments);
    }

    /// The item that a piece of a call belongs to, or `None` if it begins a new call.
    ///
    /// Services send an index, or an id, or both, or neither; Ollama and Gemini number all calls 0.
    fn call_of(&self, piece: &CallPiece<'_>) -> Option<usize> {
        let id = piece.id;
        let calls =
            self.items.iter().enumerate().rev().filter_map(|(at, item)| match &item.content {
                Content::Call(call) => Some((at, call)),
                _ => None,
            });
        let same = |(_, call): &(usize, &Call)| match (piece.index, id) {
            (Some(index), _) if call.upstream_index.is_some() => call.upstream_index == Some(index),
            (_, Some(id)) if call.upstream_id.is_some() => call.upstream_id.as_deref() == Some(id),
            _ => true,
        };
        let (at, call) = calls.into_iter().find(same)?;
        let other_id = matches!((id, &call.upstream_id), (Some(id), Some(theirs)) if id != theirs);
        let named_again = piece.name.is_some() && call.name.is_some();
        let same_id = id.is_some() && call.upstream_id.as_deref() == id;
        let begins_anew = named_again
            && if piece.index.is_some() || same_id {
                call.arguments.is_complete() && !piece.arguments.is_empty()
            } else {
                true
            };
        (!other_id && !begins_anew).then_some(at)
    }

    /// Sends what can be sent, and ends the message if a stop sequence does.
    fn advance(&mut self, sink: &mut impl Sink) -> Result<(), Error> {
        if self.is_over() {
            return self.finish(sink);
        }
        loop {
            self.flush_first(sink);
            let over = match self.items.front() {
                None => false,
                Some(Item { content: Content::Call(call), open }) => {
                    *open && call.arguments.is_complete()
                }
                Some(_) => true,
            };
            if !over || self.items.len() < 2 {
                return Ok(());
            }
            self.close_first(sink);
        }
    }

    /// Opens the first item, if there is something to open it for, and sends what it has.
    fn flush_first(&mut self, sink: &mut impl Sink) {
        let index = self.index;
        let Some(Item { open, content }) = self.items.front_mut() else { return };
        let mut start = |content_block| {
            if !std::mem::replace(open, true) {
                sink.event(&Event::ContentBlockStart { index, content_block });
            }
        };
        match content {
            Content::Text(text) if !text.free().is_empty() => {
                start(BlockStart::TEXT);
                let delta = Delta::TextDelta { text: text.free() };
                sink.event(&Event::ContentBlockDelta { index, delta });
                text.clear_free();
            }
            Content::Thinking(Thinking { text, .. }) if !text.is_empty() => {
                start(BlockStart::THINKING);
                let delta = Delta::ThinkingDelta { thinking: text };
                sink.event(&Event::ContentBlockDelta { index, delta });
                text.clear();
            }
            Content::Call(Call { id, name: Some(name), arguments, .. }) => {
                start(BlockStart::ToolUse { id, name, input: NoInput {} });
                let partial_json = arguments.take();
                if !partial_json.is_empty() {
                    let delta = Delta::InputJsonDelta { partial_json };
                    sink.event(&Event::ContentBlockDelta { index, delta });
                }
            }
            _ => {}
        }
    }

    /// Sends the end of the first item's arguments, if it is a call.
    fn finish_first_call(&mut self, sink: &mut impl Sink) {
        if let Some(Item { content: Content::Call(call), .. }) = self.items.front_mut() {
            let rest = call.arguments.take_rest();
            if !rest.is_empty() {
                let delta = Delta::InputJsonDelta { partial_json: &rest };
                sink.event(&Event::ContentBlockDelta { index: self.index, delta });
            }
        }
    }

    /// Stops the first item's block and goes on to the next.
    fn close_first(&mut self, sink: &mut impl Sink) {
        let Some(Item { open, mut content }) = self.items.pop_front() else { return };
        let index = self.index;
        let carried = match &mut content {
            Content::Thinking(thinking) => {
                for (upstream, id) in &self.call_ids {
                    thinking.cargo.rename_call(upstream, id);
                }
                thinking.cargo.encode()
            }
            Content::Text(_) | Content::Call(_) => None,
        };
        match (content, carried) {
            (Content::Thinking(_), carried) if open => {
                let signature = carried.as_deref().unwrap_or(self.signature);
                let delta = Delta::SignatureDelta { signature };
                sink.event(&Event::ContentBlockDelta { index, delta });
            }
            (_, Some(data)) => {
                let content_block = BlockStart::RedactedThinking { data: &data };
                sink.event(&Event::ContentBlockStart { index, content_block });
            }
            (_, None) if open => {}
            (_, None) => return,
        }
        sink.event(&Event::ContentBlockStop { index });
        self.index += 1;
    }
}

/// Appends text to the last item, or as a new one if the last is something else.
fn append(items: &mut VecDeque<Item>, stops: &mut Stops, voice: Voice, text: &str) {
    if text.is_empty() {
        return;
    }
    let is_last = matches!(
        (voice, items.back().map(|item| &item.content)),
        (Voice::Text, Some(Content::Text(_))) | (Voice::Thinking, Some(Content::Thinking(_)))
    );
    if !is_last {
        let content = match voice {
            Voice::Text => Content::Text(HeldText::default()),
            Voice::Thinking => Content::Thinking(Thinking::default()),
        };
        begin_item(items, stops, content);
    }
    match (voice, items.back_mut().map(|item| &mut item.content)) {
        (Voice::Text, Some(Content::Text(last))) => last.push(text, stops),
        (Voice::Thinking, Some(Content::Thinking(last))) => last.text.push_str(text),
        // A stop sequence keeps a new one from beginning.
        _ => {}
    }
}

/// Begins an item, unless a stop sequence has ended the answer before it.
fn begin_item(items: &mut VecDeque<Item>, stops: &mut Stops, content: Content) -> bool {
    finish_text(items, stops);
    let goes_on = stops.found().is_none();
    if goes_on {
        items.push_back(Item { open: false, content });
    }
    goes_on
}

/// The last item is over: what was held back of a text goes out.
fn finish_text(items: &mut VecDeque<Item>, stops: &mut Stops) {
    if let Some(Item { content: Content::Text(text), .. }) = items.back_mut() {
        text.finish(stops);
    }
}

/// The JSON text of arguments that come as a string, or as an object as some services send them.
fn json_text(raw: &RawValue) -> Cow<'_, str> {
    #[derive(serde::Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

    let json = raw.get();
    match serde_json::from_str::<Text>(json) {
        Ok(text) => text.0,
        Err(_) if json == "null" => Cow::Borrowed(""),
        Err(_) => Cow::Borrowed(json),
    }
}
