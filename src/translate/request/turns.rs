//! The client's messages as turns, before any dialect: which calls an answer has made, which
//! results belong to which, and what was said.
//!
//! A turn is an answer of the assistant and everything that the user's side says to it. System
//! messages before the first answer join the system prompt; later ones stay where they are.

use std::collections::HashMap;

use super::content::{Parts, Shows, block_text, reminder, texts};
use crate::anthropic::{Block, Content, MessagesRequest, Role, ToolResult, ToolUse};
use crate::json::Escaped;
use crate::openai::Joined;

/// Protocol data of Claude Code, no prose: it differs in each request and would defeat every prompt
/// cache.
pub(super) const BILLING_HEADER: &str = "x-anthropic-billing-header";

/// A conversation.
#[derive(Debug)]
pub struct Conversation<'a> {
    /// The paragraphs of the system prompt.
    pub system: Vec<Escaped<'a>>,
    /// How many of them stand before each place up to which the prompt is to be cached.
    pub system_marks: Vec<usize>,
    pub turns: Vec<Turn<'a>>,
}

/// An answer, which is empty in the first turn, and what the user's side said to it.
#[derive(Debug, Default)]
pub struct Turn<'a> {
    pub answer: Vec<&'a Block<'a>>,
    /// The calls in the answer, in their order.
    pub calls: Vec<Call<'a>>,
    /// Results of calls that are not there: the client has cut the conversation.
    pub strays: Vec<&'a ToolResult<'a>>,
    pub said: Vec<Said<'a>>,
}

/// A call in an answer.
#[derive(Debug)]
pub struct Call<'a> {
    pub call: &'a ToolUse<'a>,
    /// How often its id has been used in the conversation before.
    pub use_number: usize,
    /// How many calls there have been in the conversation before.
    pub index: usize,
    pub results: Vec<&'a ToolResult<'a>>,
    /// Whether the prompt is to be cached up to one of them.
    pub is_marked: bool,
}

/// A result, and whether the prompt is to be cached up to it.
type Given<'a> = (&'a ToolResult<'a>, bool);

/// What the user's side says beside results.
#[derive(Debug)]
pub enum Said<'a> {
    Block(&'a Block<'a>),
    /// A system message between the others.
    System(&'a Content<'a>),
}

impl<'a> Conversation<'a> {
    /// The turns of `request`, with `note` at the end of the system prompt.
    pub fn new(request: &'a MessagesRequest<'a>, note: Option<Escaped<'a>>) -> Conversation<'a> {
        let first_answer = request.messages.iter().position(|m| m.role == Role::Assistant);
        let (opening, rest) =
            request.messages.split_at(first_answer.unwrap_or(request.messages.len()));
        let mut system = Vec::new();
        let mut system_marks = Vec::new();
        let first = opening.iter().filter(|message| message.role == Role::System);
        let contents = request.system.iter().chain(first.map(|message| &message.content));
        for block in contents.flat_map(|content| &content.0) {
            match block {
                Block::CacheControl if !system.is_empty() => system_marks.push(system.len()),
                Block::Text(text) if text.starts_with(BILLING_HEADER) => {
                    let text = text.text();
                    let text = without_billing_line(&text);
                    system.extend((!text.is_empty()).then(|| Escaped::new(text)));
                }
                block => block_text(block, &mut system),
            }
        }
        system.extend(note);

        let answers = rest.iter().filter(|message| message.role == Role::Assistant);
        let mut turns = Vec::with_capacity(1 + answers.count());
        // The results of the turn at hand, which are given to its calls when it is over.
        let mut results = Vec::new();
        let mut turn = Turn::default();
        let mut calls = Calls::default();
        for message in opening.iter().filter(|message| message.role == Role::User) {
            turn.user(&message.content, &mut results);
        }
        for message in rest {
            let content = &message.content;
            match message.role {
                Role::Assistant => {
                    if !(turn.said.is_empty() && results.is_empty()) {
                        if !content.0.iter().any(says_something) {
                            continue;
                        }
                        turns.push(calls.close(std::mem::take(&mut turn), &mut results));
                    }
                    turn.answer.reserve_exact(content.0.len());
                    turn.answer.extend(&content.0);
                }
                Role::System => turn.system(content),
                Role::User => turn.user(content, &mut results),
            }
        }
        turns.push(calls.close(turn, &mut results));
        Conversation { system, system_marks, turns }
    }

    /// The system prompt in parts, with the marks of what is to be cached.
    pub fn system_parts(&self, shows: Shows) -> Parts<'a> {
        let mut parts = Parts::new(shows);
        let mut marks = self.system_marks.iter().peekable();
        for (i, paragraph) in self.system.iter().enumerate() {
            parts.text(paragraph.clone());
            // Several may stand in one place.
            let mut is_marked = false;
            while marks.next_if(|mark| **mark == i + 1).is_some() {
                is_marked = true;
            }
            if is_marked {
                parts.mark();
            }
        }
        parts
    }

    /// Whether there is anything but the system prompt for the model.
    pub fn says_something(&self) -> bool {
        let says = |said: &Said<'a>| {
            let mut text = Vec::new();
            match said {
                Said::Block(block) => block_text(block, &mut text),
                Said::System(content) => texts(content, &mut text),
            }
            text.iter().any(|text| !text.is_empty())
        };
        self.turns.iter().any(|turn| {
            turn.answer.iter().any(|block| says_something(block))
                || !turn.strays.is_empty()
                || turn.said.iter().any(says)
        })
    }

    /// Whether a result of a call goes upstream.
    pub fn has_results(&self) -> bool {
        self.turns.iter().any(|turn| !turn.calls.is_empty())
    }
}

impl<'a> Turn<'a> {
    /// What the user's side says in a turn, beside the results of its calls. Results of others are
    /// still read.
    pub fn say(&self, parts: &mut Parts<'a>) {
        for result in &self.strays {
            let mut text = vec![Escaped::new("Result of an earlier tool call:")];
            parts.result_apart(result, &mut text);
            for text in text {
                parts.text(text);
            }
        }
        for said in &self.said {
            match said {
                Said::Block(block) => parts.block(block),
                Said::System(content) => {
                    let mut text = Vec::new();
                    texts(content, &mut text);
                    let text = Joined(text);
                    if !text.is_empty() {
                        parts.text(reminder(&text));
                    }
                    if content.0.last().is_some_and(|last| matches!(last, Block::CacheControl)) {
                        parts.mark();
                    }
                }
            }
        }
    }

    fn user(&mut self, content: &'a Content<'a>, results: &mut Vec<Given<'a>>) {
        let mut last = None;
        for block in &content.0 {
            let before = last.replace(block);
            match block {
                Block::ToolResult(result) => results.push((result, false)),
                Block::CacheControl => match (before, results.last_mut()) {
                    (Some(Block::ToolResult(_)), Some((_, is_marked))) => *is_marked = true,
                    _ if self.said.is_empty() => {}
                    _ => self.said.push(Said::Block(block)),
                },
                Block::Text(text) if text.is_empty() => {}
                block => self.said.push(Said::Block(block)),
            }
        }
    }

    fn system(&mut self, content: &'a Content<'a>) {
        let is_blank = |block: &Block| match block {
            Block::Text(text) => text.is_empty(),
            block => matches!(block, Block::CacheControl),
        };
        if !content.0.iter().all(is_blank) {
            self.said.push(Said::System(content));
        }
    }
}

/// A text of the system prompt without Claude Code's billing line, if it begins with it.
pub(super) fn without_billing_line(text: &str) -> &str {
    if !text.starts_with(BILLING_HEADER) {
        return text;
    }
    text.split_once('\n').map_or("", |(_, rest)| rest.trim_start_matches(['\r', '\n']))
}

/// The calls of the conversation so far.
#[derive(Default)]
struct Calls<'a> {
    count: usize,
    /// How often each id has been used.
    uses: HashMap<&'a str, usize>,
}

impl<'a> Calls<'a> {
    /// Gives each call of the turn its results.
    fn close(&mut self, mut turn: Turn<'a>, results: &mut Vec<Given<'a>>) -> Turn<'a> {
        let mut place = HashMap::new();
        let calls = turn.answer.iter().filter(|block| matches!(block, Block::ToolUse(_)));
        turn.calls.reserve_exact(calls.count());
        for block in &turn.answer {
            let Block::ToolUse(call) = block else { continue };
            let uses = self.uses.entry(&call.id).or_insert(0);
            // The same id twice in one answer: its results belong to the first.
            place.entry(&*call.id).or_insert(turn.calls.len());
            let (use_number, index) = (*uses, self.count);
            let results = Vec::with_capacity(1);
            turn.calls.push(Call { call, use_number, index, results, is_marked: false });
            (*uses, self.count) = (use_number + 1, index + 1);
        }
        for (result, is_marked) in results.drain(..) {
            match place.get(&*result.tool_use_id) {
                Some(at) => {
                    let call = &mut turn.calls[*at];
                    call.results.push(result);
                    call.is_marked |= is_marked;
                }
                None => turn.strays.push(result),
            }
        }
        turn
    }
}

/// Whether an answer has anything to say upstream. One of thinking alone has not, and what was said
/// before and after it is one turn.
fn says_something(block: &Block<'_>) -> bool {
    match block {
        Block::Text(text) => !text.is_empty(),
        Block::ToolUse(_) => true,
        Block::Other(other) => other.content.0.iter().any(says_something),
        _ => false,
    }
}
