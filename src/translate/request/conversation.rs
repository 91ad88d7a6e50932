//! `system` and `messages` → chat messages.
//!
//! The client's messages form turns: everything between two answers of the assistant. Upstream, a
//! turn is the results of the tools that the answer before it called, in the order of the calls, then
//! one user message. System messages before the first answer join the system prompt; later ones stay
//! where they are, as marked user text, because many chat templates take a system message only first,
//! and moving them would spoil the upstream's prompt cache on every turn.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::{ids, tools};
use crate::anthropic::{
    Block, Content as InputContent, DocumentSource, ImageSource, MessagesRequest, Role as From,
    ToolResult,
};
use crate::openai::{
    Content, DataUrl, ExtraContent, Joined, Message, Part, PlacedReasoning, Role, ToolCall,
};
use crate::provider::{Echo, Prefill, Provider};
use crate::translate::answer::without_halves;
use crate::translate::carry::{self, Carried};

/// Protocol data of Claude Code, no prose: it differs in each request and would defeat every prompt
/// cache.
pub(super) const BILLING_HEADER: &str = "x-anthropic-billing-header";

/// Google's word for a call whose signature is not known, as in a conversation that another model
/// began: <https://ai.google.dev/gemini-api/docs/thought-signatures>.
const NO_THOUGHT_SIGNATURE: &str = "skip_thought_signature_validator";

/// What stands for a result that is empty, or that the client did not send.
const NO_OUTPUT: &str = "(no output)";
/// What the assistant says between results and the user, where both cannot meet.
const UNDERSTOOD: &str = "Understood.";
const NO_RESULT: &str = "(no result was recorded for this call)";

/// Translates the conversation; `images` tells whether the model is shown pictures.
pub fn translate<'a>(
    request: &'a MessagesRequest<'a>,
    provider: &Provider,
    images: bool,
    format_note: Option<Cow<'a, str>>,
) -> Vec<Message<'a>> {
    let mut conversation = Conversation {
        provider,
        images,
        messages: Vec::new(),
        uses: HashMap::new(),
        calls: 0,
        open_calls: Vec::new(),
    };
    let first_answer = request.messages.iter().position(|message| message.role == From::Assistant);
    let (opening, rest) = request.messages.split_at(first_answer.unwrap_or(request.messages.len()));

    let mut system = Vec::new();
    for content in request.system.iter().chain(system_messages(opening)) {
        texts(content, &mut system);
    }
    system.retain(|text| !text.starts_with(BILLING_HEADER));
    system.extend(format_note);
    if !system.is_empty() {
        conversation.messages.push(Message::text(Role::System, Joined(system)));
    }

    let mut turn = Turn::default();
    for message in opening.iter().filter(|message| message.role == From::User) {
        turn.user(&message.content);
    }
    let mut answer: Vec<&'a Block<'a>> = Vec::new();
    for message in rest {
        if message.role == From::Assistant {
            if !turn.is_empty() && !says_something(&message.content) {
                continue;
            }
            if !turn.is_empty() {
                conversation.answer(&answer);
                answer.clear();
                conversation.close_turn(std::mem::take(&mut turn));
            }
            answer.extend(&message.content.0);
        } else if message.role == From::System {
            turn.system(&message.content);
        } else {
            turn.user(&message.content);
        }
    }
    conversation.answer(&answer);
    conversation.close_turn(turn);
    let mut messages = conversation.messages;
    if let Some(last) = messages.last_mut().filter(|last| last.role == Role::Assistant) {
        match provider.prefill {
            Prefill::Unmarked => {}
            Prefill::Prefix => last.prefix = Some(true),
            Prefill::Partial => last.partial = Some(true),
        }
    }
    messages
}

/// Whether an answer has anything to say upstream. One of thinking alone has not, and what was said
/// before and after it is one turn.
fn says_something(content: &InputContent<'_>) -> bool {
    content.0.iter().any(|block| match block {
        Block::Text(text) => !text.is_empty(),
        Block::ToolUse(_) => true,
        Block::Other(other) => says_something(&other.content),
        _ => false,
    })
}

fn system_messages<'a>(
    messages: &'a [crate::anthropic::InputMessage<'a>],
) -> impl Iterator<Item = &'a InputContent<'a>> {
    messages.iter().filter(|message| message.role == From::System).map(|message| &message.content)
}

struct Conversation<'a, 'p> {
    provider: &'p Provider,
    images: bool,
    messages: Vec<Message<'a>>,
    /// How often each tool call id has been used by a call so far.
    uses: HashMap<&'a str, usize>,
    /// How many calls there have been.
    calls: usize,
    /// The calls of the last answer: the client's id, and the upstream's.
    open_calls: Vec<(&'a str, Cow<'a, str>)>,
}

/// What the user's side said between two answers.
#[derive(Default)]
struct Turn<'a> {
    results: Vec<&'a ToolResult<'a>>,
    said: Vec<Said<'a>>,
}

enum Said<'a> {
    Block(&'a Block<'a>),
    System(&'a InputContent<'a>),
}

impl<'a> Turn<'a> {
    fn is_empty(&self) -> bool {
        self.results.is_empty() && self.said.is_empty()
    }

    fn user(&mut self, content: &'a InputContent<'a>) {
        for block in &content.0 {
            match block {
                Block::ToolResult(result) => self.results.push(result),
                Block::Text(text) if text.is_empty() => {}
                block => self.said.push(Said::Block(block)),
            }
        }
    }

    fn system(&mut self, content: &'a InputContent<'a>) {
        if content.0.iter().any(|block| !matches!(block, Block::Text(text) if text.is_empty())) {
            self.said.push(Said::System(content));
        }
    }
}

impl<'a> Conversation<'a, '_> {
    /// Appends an answer of the assistant. One without text and calls has nothing to say upstream.
    fn answer(&mut self, blocks: &[&'a Block<'a>]) {
        let mut text = Vec::new();
        let mut thoughts = Vec::new();
        let mut details = Vec::new();
        let mut reasoning = Vec::new();
        let mut calls = Vec::new();
        let mut in_reasoning = false;
        let mut carried = |signature, texts, calls| match carry::parse(signature) {
            Some(Carried::Reasoning) => in_reasoning = true,
            Some(Carried::ReasoningDetails(list)) => details.extend(list),
            Some(Carried::ReasoningItem(item)) => {
                reasoning.push(PlacedReasoning { item, texts, calls });
            }
            None => {}
        };
        for block in blocks {
            match block {
                Block::Text(piece) if !piece.is_empty() => text.push(Cow::Borrowed(&**piece)),
                Block::Thinking(thought) => {
                    thoughts.push(Cow::Borrowed(&*thought.thinking));
                    carried(&thought.signature, text.len(), calls.len());
                }
                Block::RedactedThinking { data } => carried(data, text.len(), calls.len()),
                Block::ToolUse(call) => {
                    let id = &*call.id;
                    let name = tools::upstream_name(&call.name, self.provider);
                    let use_number = self.uses.entry(id).or_insert(0);
                    let rule = self.provider.tool_id;
                    let upstream = ids::upstream_id(id, *use_number, rule, &name, self.calls);
                    *use_number += 1;
                    self.calls += 1;
                    self.open_calls.push((id, upstream.clone()));
                    let arguments = arguments(call.input.map_or("{}", |input| input.get()));
                    let mut call = ToolCall::new(upstream, name, arguments);
                    if self.provider.echo == Echo::ThoughtSignature {
                        call.extra_content = thought_signature(id, calls.is_empty());
                    }
                    calls.push(call);
                }
                Block::Other(other) => texts(&other.content, &mut text),
                _ => {}
            }
        }
        if text.is_empty() && calls.is_empty() {
            return;
        }
        let echo = self.provider.echo;
        // Beside calls some services miss it even where there is none.
        let thoughts = Joined(thoughts);
        let is_known = !thoughts.is_empty();
        let thoughts = Some(thoughts);
        let (reasoning_content, reasoning_text) = match echo {
            Echo::Reasoning if is_known => (None, thoughts),
            Echo::SameField if is_known && in_reasoning => (None, thoughts),
            Echo::SameField if is_known => (thoughts, None),
            Echo::ReasoningContent if is_known || !calls.is_empty() => (thoughts, None),
            _ => (None, None),
        };
        details.retain(|_| echo == Echo::ReasoningDetails);
        self.messages.push(Message {
            role: Role::Assistant,
            content: (!text.is_empty()).then_some(Content::Text(Joined(text))),
            reasoning_content,
            reasoning_details: details,
            tool_calls: calls,
            tool_call_id: None,
            reasoning_text,
            prefix: None,
            partial: None,
            reasoning,
        });
    }

    /// Appends a turn: a result for each open call, then what else was said.
    fn close_turn(&mut self, turn: Turn<'a>) {
        let mut user = UserMessage {
            images: self.images,
            image_urls: self.provider.image_urls,
            files: self.provider.files,
            parts: vec![],
        };
        let calls = std::mem::take(&mut self.open_calls);
        let called: HashSet<&str> = calls.iter().map(|(id, _)| *id).collect();
        let mut results: HashMap<&str, Vec<&ToolResult>> = HashMap::new();
        for result in turn.results.iter().filter(|result| called.contains(&*result.tool_use_id)) {
            results.entry(&result.tool_use_id).or_default().push(result);
        }
        for (id, upstream) in &calls {
            // The same id twice in one answer: its results belong to the first.
            let results = results.remove(id).unwrap_or_default();
            let mut text = Vec::new();
            for result in &results {
                user.tool_result(result, &mut text);
            }
            let mut text = Joined(text);
            if text.is_empty() {
                text = Joined::from(if results.is_empty() { NO_RESULT } else { NO_OUTPUT });
            }
            self.messages.push(Message {
                tool_call_id: Some(upstream.clone()),
                ..Message::text(Role::Tool, text)
            });
        }
        // Results of calls that are not there (the client has cut the conversation) are still read.
        for result in turn.results.iter().filter(|r| !called.contains(&*r.tool_use_id)) {
            let mut text = vec![Cow::Borrowed("Result of an earlier tool call:")];
            user.tool_result(result, &mut text);
            for text in text {
                user.text(text);
            }
        }
        for said in &turn.said {
            match said {
                Said::Block(block) => user.block(block),
                Said::System(content) => {
                    let mut text = Vec::new();
                    texts(content, &mut text);
                    let text = Joined(text);
                    if !text.is_empty() {
                        user.text(reminder(&text).into());
                    }
                }
            }
        }
        let Some(user) = user.finish() else { return };
        if !calls.is_empty() && !self.provider.user_after_tool {
            self.messages.push(Message::text(Role::Assistant, Joined::from(UNDERSTOOD)));
        }
        self.messages.push(user);
    }
}

/// What a system message between the others becomes.
pub(super) fn reminder(text: &impl std::fmt::Display) -> String {
    format!("<system-reminder>\n{text}\n</system-reminder>")
}

/// A user message in the making.
struct UserMessage<'a> {
    images: bool,
    image_urls: bool,
    files: bool,
    parts: Vec<Part<'a>>,
}

impl<'a> UserMessage<'a> {
    fn text(&mut self, text: Cow<'a, str>) {
        if text.is_empty() {
            return;
        }
        match self.parts.last_mut() {
            Some(Part::Text { text: joined }) => joined.0.push(text),
            _ => self.parts.push(Part::Text { text: text.into() }),
        }
    }

    fn shows(&self, source: &ImageSource<'_>) -> bool {
        self.images && (self.image_urls || matches!(source, ImageSource::Base64 { .. }))
    }

    fn takes(&self, source: &DocumentSource<'_>) -> bool {
        self.files && matches!(source, DocumentSource::Base64 { .. })
    }

    fn block(&mut self, block: &'a Block<'a>) {
        match block {
            Block::Image(source) if self.shows(source) => self.parts.push(image_part(source)),
            Block::Document(document) if self.takes(&document.source) => {
                let DocumentSource::Base64 { media_type, data } = &document.source else {
                    unreachable!("takes() wants it so");
                };
                if let Some(context) = &document.context {
                    self.text(Cow::Borrowed(context));
                }
                let name = document.title.as_deref().unwrap_or("document.pdf");
                let data = DataUrl::Base64 { media_type, data };
                self.parts.push(Part::file(Cow::Borrowed(name), data));
            }
            block => {
                let mut pieces = Vec::new();
                block_text(block, &mut pieces);
                for text in pieces {
                    self.text(text);
                }
            }
        }
    }

    /// Appends the text of a result to `out`, and takes its pictures: a tool message has text only.
    fn tool_result(&mut self, result: &'a ToolResult<'a>, out: &mut Vec<Cow<'a, str>>) {
        if result.is_error {
            out.push(Cow::Borrowed("Error:"));
        }
        for block in &result.content.0 {
            match block {
                Block::Image(source) if self.shows(source) => {
                    out.push(Cow::Borrowed("(the image is in the next message)"));
                    self.parts.push(image_part(source));
                }
                Block::Document(document) if self.takes(&document.source) => {
                    out.push(Cow::Borrowed("(the document is in the next message)"));
                    self.block(block);
                }
                block => block_text(block, out),
            }
        }
    }

    /// The message, unless nothing was said. One that has only text is sent as a string.
    fn finish(mut self) -> Option<Message<'a>> {
        match self.parts.len() {
            0 => None,
            1 if matches!(self.parts[0], Part::Text { .. }) => {
                let Some(Part::Text { text }) = self.parts.pop() else {
                    unreachable!("matched above");
                };
                Some(Message::text(Role::User, text))
            }
            _ => Some(Message {
                content: Some(Content::Parts(self.parts)),
                ..Message::text(Role::User, Joined::default())
            }),
        }
    }
}

fn image_part<'a>(source: &'a ImageSource<'a>) -> Part<'a> {
    Part::image(match source {
        ImageSource::Base64 { media_type, data } => DataUrl::Base64 { media_type, data },
        ImageSource::Url(url) => DataUrl::Url(url),
    })
}

/// The texts of `content`, without empty ones.
fn texts<'a>(content: &'a InputContent<'a>, out: &mut Vec<Cow<'a, str>>) {
    for block in &content.0 {
        block_text(block, out);
    }
}

/// What a block says in words; what it can't say is named, so that nothing is lost in silence.
fn block_text<'a>(block: &'a Block<'a>, out: &mut Vec<Cow<'a, str>>) {
    match block {
        Block::Text(text) if text.is_empty() => {}
        Block::Text(text) => out.push(Cow::Borrowed(&**text)),
        Block::Image(source) => out.push(match &**source {
            ImageSource::Url(url) => Cow::Owned(format!("[image at {url}: not shown]")),
            ImageSource::Base64 { .. } => {
                Cow::Borrowed("[image: not shown, this model reads text only]")
            }
        }),
        Block::Document(document) => {
            if let Some(title) = &document.title {
                out.push(Cow::Owned(format!("[document: {title}]")));
            }
            out.extend(document.context.as_deref().map(Cow::Borrowed));
            match &document.source {
                DocumentSource::Text(text) => out.push(Cow::Borrowed(&**text)),
                DocumentSource::Content(content) => texts(content, out),
                DocumentSource::Url(url) => {
                    out.push(Cow::Owned(format!("[document at {url}: not fetched]")));
                }
                DocumentSource::Base64 { media_type, data } => out.push(Cow::Owned(format!(
                    "[document: {media_type}, {} bytes, not shown: this provider takes no files]",
                    data.len() / 4 * 3
                ))),
            }
        }
        Block::ToolReference { tool_name } => {
            out.push(Cow::Owned(format!("Tool {tool_name} is loaded and can be called now.")));
        }
        Block::Unknown { kind } => unknown(kind, out),
        Block::Other(other) => {
            let before = out.len();
            texts(&other.content, out);
            if out.len() == before {
                unknown(&other.kind, out);
            }
        }
        Block::ToolUse(call) => {
            let input = call.input.map_or("{}", |input| input.get());
            out.push(Cow::Owned(format!("[call of {}: {input}]", call.name)));
        }
        Block::ToolResult(result) => texts(&result.content, out),
        Block::Thinking(_) | Block::RedactedThinking { .. } => {}
    }
}

/// Names a block that cannot be told in words, and many of a kind once.
fn unknown<'a>(kind: &str, out: &mut Vec<Cow<'a, str>>) {
    let note = format!("[{kind}: not shown, this provider has no such block]");
    if out.last().is_none_or(|last| *last != note) {
        out.push(Cow::Owned(note));
    }
}

/// The signature that the client's `id` of a call has carried. The first call of an answer needs one,
/// and of calls made at once only the first has one.
fn thought_signature<'a>(id: &str, is_first: bool) -> Option<ExtraContent<'a>> {
    let carried = carry::from_id(id).map(Cow::Owned);
    let signature = carried.or(is_first.then_some(Cow::Borrowed(NO_THOUGHT_SIGNATURE)));
    signature.map(ExtraContent::thought_signature)
}

/// Takes out of a message what the model was to see of its own reasoning.
pub fn forget_reasoning(message: &mut Message<'_>) {
    message.reasoning.clear();
    message.reasoning_details.clear();
    let unknown = || ExtraContent::thought_signature(Cow::Borrowed(NO_THOUGHT_SIGNATURE));
    for (i, call) in message.tool_calls.iter_mut().enumerate() {
        if call.extra_content.is_some() {
            call.extra_content = (i == 0).then(unknown);
        }
    }
}

/// The arguments of a call as the JSON object in a string that the upstream wants.
fn arguments(input: &str) -> Cow<'_, str> {
    match input.trim_start().as_bytes().first() {
        Some(b'{') => without_halves(input),
        _ if input.trim() == "null" => Cow::Borrowed("{}"),
        _ => Cow::Owned(format!("{{\"value\":{input}}}")),
    }
}
