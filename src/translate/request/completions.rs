//! A conversation → chat messages.
//!
//! A turn is the results of the tools that its answer called, in the order of the calls, then one
//! user message. System messages behind the first answer are marked user text, because many chat
//! templates take a system message only first, and moving them would spoil the upstream's prompt
//! cache on every turn.

use std::borrow::Cow;
use std::mem;

use super::content::{Parts, texts};
use super::turns::Turn;
use super::wanted::Wanted;
use super::{arguments, ids, tools};
use crate::anthropic::Block;
use crate::json::Escaped;
use crate::openai::{
    ChatRequest, Content, Each, EnableThinking, ExtraContent, Joined, Message, Reasoning, Role,
    StreamOptions, Switch, ToolCall,
};
use crate::provider::{Echo, EffortField, MaxTokensField, Prefill, SessionField, ThinkingField};
use crate::translate::carry::{self, Carried};

/// Google's word for a call whose signature is not known, as in a conversation that another model
/// began: <https://ai.google.dev/gemini-api/docs/thought-signatures>.
const NO_THOUGHT_SIGNATURE: &str = "skip_thought_signature_validator";

/// What the assistant says between results and the user, where both cannot meet.
const UNDERSTOOD: &str = "Understood.";

/// Writes it for chat completions.
pub(super) fn write(mut wanted: Wanted<'_>) -> ChatRequest<'_> {
    let row = &wanted.row;
    let mut chat = ChatRequest {
        model: wanted.model,
        tool_stream: wanted.tool_stream.then_some(true),
        tools: mem::take(&mut wanted.tools),
        tool_choice: wanted.tool_choice.take(),
        parallel_tool_calls: wanted.parallel_tool_calls,
        temperature: wanted.temperature,
        top_p: wanted.top_p,
        top_k: wanted.top_k,
        stop: wanted.stop,
        response_format: wanted.format.take(),
        stream: wanted.stream,
        prompt_cache_key: wanted.session.filter(|_| row.session == SessionField::PromptCacheKey),
        stream_options: wanted.stream_usage.then_some(StreamOptions { include_usage: true }),
        ..ChatRequest::default()
    };
    chat.search = wanted.search.take().and_then(|search| search.fields(row.search));
    match row.max_tokens_field {
        MaxTokensField::MaxTokens => chat.max_tokens = Some(wanted.max_tokens),
        MaxTokensField::MaxCompletionTokens => {
            chat.max_completion_tokens = Some(wanted.max_tokens);
        }
    }
    match row.effort {
        EffortField::ReasoningEffort => chat.reasoning_effort = wanted.effort,
        EffortField::Reasoning => chat.reasoning = wanted.effort.map(Reasoning::effort),
    }
    let thinks = wanted.thinks;
    match row.thinking {
        ThinkingField::None => {}
        ThinkingField::Type => chat.thinking = thinks.map(Switch::from),
        ThinkingField::EnableThinking => chat.enable_thinking = thinks,
        ThinkingField::ChatTemplate => {
            chat.chat_template_kwargs =
                thinks.map(|enable_thinking| EnableThinking { enable_thinking });
        }
        ThinkingField::Reasoning => chat.reasoning = thinks.map(Reasoning::enabled),
    }
    chat.messages = Each::new(move |write| messages(&wanted, write));
    chat
}

/// Gives each message to `write`, for as long as somebody waits.
fn messages<'a>(wanted: &Wanted<'a>, write: &mut dyn FnMut(Message<'a>)) {
    // The last one may be marked.
    let mut last = None;
    let mut push = |message| {
        if let Some(message) = last.replace(message) {
            write(message);
        }
    };
    let system = &wanted.conversation.system;
    if wanted.shows.marks && !system.is_empty() {
        let content = wanted.conversation.system_parts(wanted.shows).finish();
        push(Message { content, ..Message::empty(Role::System) });
    } else if !system.is_empty() {
        push(Message::text(Role::System, Joined(system.clone())));
    }
    for turn in &wanted.conversation.turns {
        if wanted.room.goes_on().is_err() {
            return;
        }
        if let Some(message) = answer(wanted, turn) {
            push(message);
        }
        let mut user = Parts::new(wanted.shows);
        for call in &turn.calls {
            if wanted.room.goes_on().is_err() {
                return;
            }
            let name = tools::upstream_name(&call.call.name, &wanted.row);
            let mut result = Parts::new(wanted.shows);
            result.joined(user.results_apart(&call.results));
            if call.is_marked {
                result.mark();
            }
            push(Message {
                tool_call_id: Some(ids::upstream_id(call, wanted.row.tool_id, &name)),
                content: result.finish(),
                ..Message::empty(Role::Tool)
            });
        }
        turn.say(&mut user);
        let Some(content) = user.finish() else { continue };
        if !turn.calls.is_empty() && !wanted.row.user_after_tool {
            push(Message::text(Role::Assistant, Joined::from(Escaped::new(UNDERSTOOD))));
        }
        push(Message { content: Some(content), ..Message::empty(Role::User) });
    }
    let Some(mut last) = last else { return };
    if last.role == Role::Assistant {
        match wanted.row.prefill {
            Prefill::Unmarked => {}
            Prefill::Prefix => last.prefix = Some(true),
            Prefill::Partial => last.partial = Some(true),
        }
    }
    write(last);
}

/// The answer of a turn. One without text and calls has nothing to say upstream.
fn answer<'a>(wanted: &Wanted<'a>, turn: &Turn<'a>) -> Option<Message<'a>> {
    let mut text = Vec::with_capacity(turn.answer.len() - turn.calls.len());
    let mut thoughts = Vec::new();
    let mut details = Vec::new();
    let mut calls = Vec::with_capacity(turn.calls.len());
    let mut in_reasoning = false;
    let mut carried = |signature| match carry::parse(signature) {
        Some(Carried::Reasoning) => in_reasoning = true,
        Some(Carried::ReasoningDetails(list)) => details.extend(list),
        // It is the other API's.
        Some(Carried::ReasoningItem(_)) | None => {}
    };
    let mut made = turn.calls.iter();
    for block in &turn.answer {
        match block {
            Block::Text(piece) if !piece.is_empty() => text.push(piece.by_ref()),
            Block::Thinking(thought) => {
                thoughts.push(thought.thinking.by_ref());
                carried(&thought.signature);
            }
            Block::RedactedThinking { data } => carried(data),
            Block::ToolUse(_) => {
                let call = made.next().expect("a turn has the calls of its answer");
                let name = tools::upstream_name(&call.call.name, &wanted.row);
                let id = ids::upstream_id(call, wanted.row.tool_id, &name);
                let mut written = ToolCall::new(id, name, arguments(call.call));
                if wanted.row.echo == Echo::ThoughtSignature {
                    let carried = Some(&*call.call.id).filter(|_| wanted.carries);
                    written.extra_content = thought_signature(carried, calls.is_empty());
                }
                calls.push(written);
            }
            Block::Other(other) => texts(&other.content, &mut text),
            _ => {}
        }
    }
    if text.is_empty() && calls.is_empty() {
        return None;
    }
    let echo = wanted.row.echo;
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
    details.retain(|_| echo == Echo::ReasoningDetails && wanted.carries);
    Some(Message {
        role: Role::Assistant,
        content: (!text.is_empty()).then_some(Content::Text(Joined(text))),
        reasoning_content,
        reasoning_details: details,
        tool_calls: calls,
        tool_call_id: None,
        reasoning_text,
        prefix: None,
        partial: None,
    })
}

/// The signature that the client's `id` of a call has carried, if it is to be sent. The first call
/// of an answer needs one, and of calls made at once only the first has one.
fn thought_signature<'a>(id: Option<&str>, is_first: bool) -> Option<ExtraContent<'a>> {
    let carried = id.and_then(carry::from_id).map(Cow::Owned);
    let signature = carried.or(is_first.then_some(Cow::Borrowed(NO_THOUGHT_SIGNATURE)));
    signature.map(ExtraContent::thought_signature)
}
