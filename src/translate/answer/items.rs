//! The blocks of a message in the making, and the events that they go out as.
//!
//! Blocks go out one after another, as the API describes a stream, while services interleave tool
//! calls. So what comes in is sorted into items in the order of their first piece: the first item
//! is the open block and streams, the others collect until it is over. A text is over when
//! something else follows, a tool call when its JSON is complete and something else follows.
//! Thinking without words, which the client only carries, is a block that starts and stops at once.

use std::borrow::Cow;
use std::collections::VecDeque;

use super::Sink;
use super::arguments::{Arguments, Fault};
use super::sources::Sources;
use super::think::Voice;
use crate::anthropic::{BlockStart, Citation, Delta, Event, NoInput};
use crate::translate::carry::{self, Cargo, SIGNATURE};
use crate::translate::reading::{SearchError, ToolNames};
use crate::translate::stops::{HeldText, Stops};

/// The most blocks of a message. Each costs many times what a provider needs to begin it, and no
/// model means so many.
pub(super) const MAX_BLOCKS: usize = 1000;

/// What has come and has not gone out.
#[derive(Debug)]
pub(super) struct Items {
    /// The first is the open block, if it is open; the others wait.
    queue: VecDeque<Item>,
    /// The index of the first item.
    index: usize,
    stops: Stops,
    /// How many have begun.
    begun: usize,
    calls: usize,
    /// The ids of the calls: the upstream's, and the client's.
    call_ids: Vec<(String, String)>,
    /// Of thinking that carries nothing else.
    pub signature: &'static str,
}

/// A block in the making. `open` tells that its start has gone out.
#[derive(Debug)]
struct Item {
    open: bool,
    content: Content,
    /// What a text refers to.
    citations: Vec<Citation>,
}

#[derive(Debug)]
pub(super) enum Content {
    Text(HeldText),
    Thinking(Thinking),
    Call(Call),
    /// A search that the provider has done.
    Search(Box<Found>),
}

/// What was looked for, and found: two blocks.
#[derive(Debug)]
pub(super) struct Found {
    pub id: String,
    /// The arguments of the call.
    pub input: String,
    /// What was found, or why it could not be done.
    pub sources: Result<Sources, SearchError>,
}

#[derive(Debug, Default)]
pub(super) struct Thinking {
    /// What has not gone out yet.
    text: String,
    pub cargo: Cargo,
}

#[derive(Debug)]
pub(super) struct Call {
    id: String,
    upstream_index: Option<u64>,
    upstream_id: Option<String>,
    name: Option<String>,
    arguments: Arguments,
}

/// A piece of a tool call, or a whole one.
#[derive(Debug, Default)]
pub(super) struct CallPiece<'a> {
    pub index: Option<u64>,
    pub id: Option<&'a str>,
    pub name: Option<&'a str>,
    pub arguments: Cow<'a, str>,
    pub thought_signature: Option<&'a str>,
}

impl Items {
    /// None yet. A sequence of `stops` ends the last one.
    pub(super) fn new(stops: Stops) -> Items {
        Items {
            queue: VecDeque::new(),
            index: 0,
            stops,
            begun: 0,
            calls: 0,
            call_ids: Vec::new(),
            signature: SIGNATURE,
        }
    }

    /// The stop sequence that has ended the last item.
    pub(super) fn stop(&self) -> Option<&str> {
        self.stops.found()
    }

    /// Whether anything has gone out.
    pub(super) fn has_sent(&self) -> bool {
        self.index > 0 || self.queue.front().is_some_and(|item| item.open)
    }

    /// Whether anything has come.
    pub(super) fn has_begun(&self) -> bool {
        self.index > 0 || !self.queue.is_empty()
    }

    /// How many tools have been called.
    pub(super) fn calls(&self) -> usize {
        self.calls
    }

    /// Whether a tool has been called.
    pub(super) fn has_calls(&self) -> bool {
        self.calls > 0
    }

    /// What the last item is of those that have not gone out.
    pub(super) fn last(&self) -> Option<&Content> {
        self.queue.back().map(|item| &item.content)
    }

    /// Whether a call that has not gone out has no name.
    pub(super) fn has_nameless_call(&self) -> bool {
        self.open_calls().any(|call| call.name.is_none())
    }

    /// Whether no call is broken off in its arguments.
    pub(super) fn has_whole_arguments(&self) -> bool {
        self.open_calls().all(|call| call.arguments.is_complete())
    }

    /// What is wrong with the calls that have not been stopped.
    pub(super) fn faults(&self) -> impl Iterator<Item = Fault> {
        self.open_calls().filter_map(|call| call.arguments.fault())
    }

    /// The calls that have not gone out yet.
    fn open_calls(&self) -> impl Iterator<Item = &Call> {
        self.queue.iter().filter_map(|item| match &item.content {
            Content::Call(call) => Some(call),
            _ => None,
        })
    }

    /// Appends text to the last item, or as a new one if the last is something else.
    pub(super) fn append(&mut self, voice: Voice, text: &str) {
        if text.is_empty() {
            return;
        }
        let is_last = matches!(
            (voice, self.queue.back().map(|item| &item.content)),
            (Voice::Text, Some(Content::Text(_))) | (Voice::Thinking, Some(Content::Thinking(_)))
        );
        if !is_last {
            let content = match voice {
                Voice::Text => Content::Text(HeldText::default()),
                Voice::Thinking => Content::Thinking(Thinking::default()),
            };
            self.begin(content);
        }
        match (voice, self.queue.back_mut().map(|item| &mut item.content)) {
            (Voice::Text, Some(Content::Text(last))) => last.push(text, &mut self.stops),
            (Voice::Thinking, Some(Content::Thinking(last))) => last.text.push_str(text),
            // A stop sequence, or too many before it, keep a new one from beginning.
            _ => {}
        }
    }

    /// Appends a list, in which no stop sequence is looked for, to the text that came last.
    pub(super) fn append_list(&mut self, list: &str) {
        let is_last = matches!(self.queue.back(), Some(Item { content: Content::Text(_), .. }));
        if !is_last && !self.begin(Content::Text(HeldText::default())) {
            return;
        }
        if let Some(Item { content: Content::Text(text), .. }) = self.queue.back_mut() {
            let list = if is_last { list } else { list.trim_start() };
            text.finish(&mut self.stops);
            text.push_free(list, &self.stops);
        }
    }

    /// Begins an item, unless a stop sequence has ended the answer before it.
    pub(super) fn begin(&mut self, content: Content) -> bool {
        self.finish_text();
        let goes_on = self.stops.found().is_none() && self.begun < MAX_BLOCKS;
        if goes_on {
            self.queue.push_back(Item { open: false, content, citations: Vec::new() });
        }
        self.begun += usize::from(self.stops.found().is_none());
        goes_on
    }

    /// Puts a search before what waits, none of which has gone out.
    pub(super) fn begin_with(&mut self, found: Box<Found>) {
        let content = Content::Search(found);
        self.queue.push_front(Item { open: false, content, citations: Vec::new() });
        self.begun += 1;
    }

    /// The searches that wait.
    pub(super) fn waiting_searches(&mut self) -> impl Iterator<Item = &mut Found> {
        self.queue.iter_mut().filter_map(|item| match &mut item.content {
            Content::Search(found) => Some(&mut **found),
            _ => None,
        })
    }

    /// What the text that came last refers to.
    pub(super) fn cite(&mut self, citations: Vec<Citation>) {
        let texts = self.queue.iter_mut().rev();
        let last = texts.into_iter().find(|item| matches!(item.content, Content::Text(_)));
        if let Some(item) = last {
            let new = citations.into_iter().filter(|new| !item.citations.contains(new));
            let new: Vec<Citation> = new.take(MAX_BLOCKS - item.citations.len()).collect();
            item.citations.extend(new);
        }
    }

    /// There were more than a message has.
    pub(super) fn overflow(&mut self) {
        self.begun = MAX_BLOCKS + 1;
    }

    /// Whether more have begun than a message has; those are left out.
    pub(super) fn has_too_many(&self) -> bool {
        self.begun > MAX_BLOCKS
    }

    /// The last item is over: what was held back of a text goes out.
    pub(super) fn finish_text(&mut self) {
        if let Some(Item { content: Content::Text(text), .. }) = self.queue.back_mut() {
            text.finish(&mut self.stops);
        }
    }

    /// The thinking that came last, or a new one if something else has come since and `begin` says
    /// so.
    pub(super) fn thinking(&mut self, begin: bool) -> Option<&mut Thinking> {
        if begin && !matches!(self.queue.back(), Some(Item { content: Content::Thinking(_), .. })) {
            self.begin(Content::Thinking(Thinking::default()));
        }
        match self.queue.back_mut() {
            Some(Item { content: Content::Thinking(thinking), .. }) => Some(thinking),
            _ => None,
        }
    }

    /// Takes a piece of a tool call. The client's ids are made from `message_id`, its names are
    /// those of `names`. `false` if the piece is not part of the answer.
    pub(super) fn call(
        &mut self,
        piece: &CallPiece<'_>,
        message_id: &str,
        names: &ToolNames,
    ) -> bool {
        let found = self.call_of(piece);
        let says_nothing = piece.id.is_none() && piece.name.is_none() && piece.arguments.is_empty();
        if found.is_none() && says_nothing {
            return false;
        }
        if found.is_none() {
            let unique = message_id.strip_prefix("msg_").unwrap_or(message_id);
            let call = Call {
                id: format!("toolu_{unique}_{}", self.calls + 1),
                upstream_index: piece.index,
                upstream_id: None,
                name: None,
                arguments: Arguments::default(),
            };
            if !self.begin(Content::Call(call)) {
                return false;
            }
            self.calls += 1;
        }
        let at = found.unwrap_or(self.queue.len() - 1);
        let Item { content: Content::Call(call), open, .. } = &mut self.queue[at] else {
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
            call.name = Some(names.original(name).into_owned());
        }
        call.arguments.push(&piece.arguments);
        true
    }

    /// The item that a piece of a call belongs to, or `None` if it begins a new call.
    ///
    /// Services send an index, or an id, or both, or neither; Ollama and Gemini number all calls 0.
    fn call_of(&self, piece: &CallPiece<'_>) -> Option<usize> {
        let id = piece.id;
        let calls =
            self.queue.iter().enumerate().rev().filter_map(|(at, item)| match &item.content {
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

    /// Sends what can be sent.
    ///
    /// # Errors
    /// Why a call that is over is none.
    pub(super) fn advance(&mut self, sink: &mut dyn Sink) -> Result<(), Fault> {
        loop {
            self.flush_first(sink);
            let over = match self.queue.front() {
                None => false,
                Some(Item { content: Content::Call(call), open, .. }) => {
                    *open && call.arguments.is_complete()
                }
                Some(_) => true,
            };
            if !over || self.queue.len() < 2 {
                return Ok(());
            }
            if let Some(Item { content: Content::Call(call), .. }) = self.queue.front()
                && let Some(fault) = call.arguments.fault()
            {
                return Err(fault);
            }
            self.finish_first_call(sink);
            self.close_first(sink);
        }
    }

    /// Sends everything: nothing more comes.
    pub(super) fn finish(&mut self, sink: &mut dyn Sink) {
        while !self.queue.is_empty() {
            self.flush_first(sink);
            self.finish_first_call(sink);
            self.close_first(sink);
        }
    }

    /// The texts that wait.
    pub(super) fn waiting_texts(&self) -> impl Iterator<Item = &str> {
        self.queue.iter().filter_map(|item| match &item.content {
            Content::Text(text) => Some(text.free()),
            _ => None,
        })
    }

    /// Throws away what has not gone out.
    pub(super) fn clear(&mut self) {
        self.queue.clear();
    }

    /// Opens the first item, if there is something to open it for, and sends what it has.
    fn flush_first(&mut self, sink: &mut dyn Sink) {
        let index = self.index;
        let Some(Item { open, content, .. }) = self.queue.front_mut() else { return };
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
    fn finish_first_call(&mut self, sink: &mut dyn Sink) {
        if let Some(Item { content: Content::Call(call), .. }) = self.queue.front_mut() {
            let rest = call.arguments.take_rest();
            if !rest.is_empty() {
                let delta = Delta::InputJsonDelta { partial_json: &rest };
                sink.event(&Event::ContentBlockDelta { index: self.index, delta });
            }
        }
    }

    /// Stops the first item's block and goes on to the next.
    fn close_first(&mut self, sink: &mut dyn Sink) {
        let Some(Item { open, mut content, citations }) = self.queue.pop_front() else { return };
        let index = self.index;
        let carried = match &mut content {
            Content::Thinking(thinking) => {
                for (upstream, id) in &self.call_ids {
                    thinking.cargo.rename_call(upstream, id);
                }
                thinking.cargo.encode()
            }
            Content::Text(_) | Content::Call(_) => None,
            Content::Search(found) => return self.send_search(found, sink),
        };
        for citation in citations.iter().filter(|_| open) {
            let delta = Delta::CitationsDelta { citation };
            sink.event(&Event::ContentBlockDelta { index, delta });
        }
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

    /// Sends a search, which has come whole.
    fn send_search(&mut self, found: &Found, sink: &mut dyn Sink) {
        let Found { id, input, sources } = found;
        let content = &*match sources {
            Ok(sources) => sources.results(),
            Err(error) => Sources::missing(*error),
        };
        let index = self.index;
        let call = BlockStart::ServerToolUse { id, name: "web_search", input: NoInput {} };
        sink.event(&Event::ContentBlockStart { index, content_block: call });
        let delta = Delta::InputJsonDelta { partial_json: input };
        sink.event(&Event::ContentBlockDelta { index, delta });
        sink.event(&Event::ContentBlockStop { index });
        let index = index + 1;
        let result = BlockStart::WebSearchToolResult { tool_use_id: id, content };
        sink.event(&Event::ContentBlockStart { index, content_block: result });
        sink.event(&Event::ContentBlockStop { index });
        self.index += 2;
    }
}
