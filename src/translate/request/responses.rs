//! A conversation → the input of the Responses API.
//!
//! <https://platform.openai.com/docs/guides/migrate-to-responses>

use std::mem;

use super::content::{Parts, texts};
use super::turns::Turn;
use super::wanted::Wanted;
use super::{arguments, ids, tools};
use crate::anthropic::Block;
use crate::json::Escaped;
use crate::openai::{
    Breakpoint, Content, Each, FunctionKind, FunctionTool, InputItem, InputPart, Joined, NamedTool,
    Output, Part, ReasoningConfig, ReasoningItem, ResponseFormat, ResponsesChoice,
    ResponsesRequest, ResponsesTool, Role, TextConfig, TextFormat, Tool, ToolChoice,
};
use crate::provider::{Provider, Search};
use crate::translate::carry::{self, Carried};

/// The least `max_output_tokens` that is taken. Claude Code asks for one token to try a key.
const MIN_OUTPUT_TOKENS: u64 = 16;

/// Asks for the reasoning in a form that can be sent back, since nothing is stored, and for every
/// address that a search has found.
const REASONING_AND_SOURCES: &[&str] =
    &["reasoning.encrypted_content", "web_search_call.action.sources"];

/// Writes it for the Responses API. Stop strings and `top_k` are left out: it has neither. Who
/// translates the answer looks for the stop strings.
///
/// Models that the row knows no efforts of refuse reasoning, and to be asked for it.
pub(super) fn write(mut wanted: Wanted<'_>) -> ResponsesRequest<'_> {
    let reasons = wanted.row.knows_effort(wanted.model);
    let effort = wanted.effort;
    let summary = (effort != Some("none") && wanted.summary).then_some("auto");
    let form = match wanted.row.search {
        Search::ResponsesTool(form) => Some(form),
        _ => None,
    };
    let asked = form.zip(wanted.search.as_ref());
    let tells_sources = asked.is_some_and(|(form, _)| form.sources);
    let search = asked.map(|(form, search)| ResponsesTool::WebSearch(search.tool(form)));
    let max_tool_calls = asked.and_then(|(_, search)| search.max_tool_calls());
    let system = &wanted.conversation.system;
    let tools = mem::take(&mut wanted.tools);
    let text = wanted.format.take().map(|format| TextConfig { format: text_format(format) });
    let choice = wanted.tool_choice.take().map(tool_choice);
    ResponsesRequest {
        // Marks stand in messages alone.
        instructions: (!system.is_empty() && !wanted.shows.marks).then(|| Joined(system.clone())),
        prompt_cache_key: wanted.session,
        model: wanted.model,
        tools: tools.into_iter().map(tool).chain(search).collect(),
        tool_choice: choice,
        max_tool_calls,
        parallel_tool_calls: wanted.parallel_tool_calls,
        max_output_tokens: Some(wanted.max_tokens.max(MIN_OUTPUT_TOKENS)),
        temperature: wanted.temperature,
        top_p: wanted.top_p,
        reasoning: (reasons || effort.is_some()).then_some(ReasoningConfig { effort, summary }),
        include: match (reasons, tells_sources) {
            (true, true) => REASONING_AND_SOURCES,
            (true, false) => &REASONING_AND_SOURCES[..1],
            (false, true) => &REASONING_AND_SOURCES[1..],
            (false, false) => &[],
        },
        text,
        store: false,
        stream: wanted.stream,
        input: Each::new(move |write| input(&wanted, reasons, write)),
    }
}

/// Gives each item to `write`, for as long as somebody waits.
fn input<'a>(wanted: &Wanted<'a>, reasons: bool, write: &mut dyn FnMut(InputItem<'a>)) {
    if wanted.shows.marks {
        let system = wanted.conversation.system_parts(wanted.shows);
        message(Role::System, system).into_iter().for_each(&mut *write);
    }
    for turn in &wanted.conversation.turns {
        if wanted.room.goes_on().is_err() {
            return;
        }
        answer(wanted, turn, reasons, write);
        for call in &turn.calls {
            if wanted.room.goes_on().is_err() {
                return;
            }
            let name = tools::upstream_name(&call.call.name, &wanted.row);
            let mut result = Parts::new(wanted.shows.unmarked());
            result.results(&call.results);
            write(InputItem::FunctionCallOutput {
                call_id: ids::upstream_id(call, wanted.row.tool_id, &name),
                output: match result.finish() {
                    Some(Content::Parts(parts)) => {
                        Output::Parts(parts.into_iter().map(part).collect())
                    }
                    Some(Content::Text(text)) => Output::Text(text),
                    None => Output::Text(Joined::default()),
                },
            });
        }
        let mut user = Parts::new(wanted.shows);
        turn.say(&mut user);
        message(Role::User, user).into_iter().for_each(&mut *write);
    }
}

/// A message, if it says anything.
fn message<'a>(role: Role, parts: Parts<'a>) -> Option<InputItem<'a>> {
    let content = match parts.finish()? {
        Content::Text(text) => vec![InputPart::text(text)],
        Content::Parts(parts) => parts.into_iter().map(part).collect(),
    };
    Some(InputItem::Message { role, content, phase: None })
}

/// The items of an answer, in its order: its reasoning stands right before what it led to. What it
/// leads to nothing is left out, because the service refuses that.
fn answer<'a>(
    wanted: &Wanted<'a>,
    turn: &Turn<'a>,
    reasons: bool,
    write: &mut dyn FnMut(InputItem<'a>),
) {
    // What leads to calls was said on the way.
    let phase = if turn.calls.is_empty() { "final_answer" } else { "commentary" };
    let has_phases = Provider::is_among(wanted.model, wanted.row.phase_models);
    let mut items = Items { write, phase: has_phases.then_some(phase), said: vec![], led: vec![] };
    let carried = |items: &mut Items<'a, '_>, signature| {
        if let Some(Carried::ReasoningItem(item)) = carry::parse(signature)
            && reasons
            && wanted.carries
        {
            items.close();
            items.led.push(item);
        }
    };
    let mut calls = turn.calls.iter();
    for block in &turn.answer {
        match block {
            Block::Text(text) if !text.is_empty() => items.say(vec![text.by_ref()]),
            Block::Thinking(thought) => carried(&mut items, &thought.signature),
            Block::RedactedThinking { data } => carried(&mut items, data),
            Block::ToolUse(_) => {
                let call = calls.next().expect("a turn has the calls of its answer");
                let name = tools::upstream_name(&call.call.name, &wanted.row);
                items.close();
                items.reason();
                (items.write)(InputItem::FunctionCall {
                    call_id: ids::upstream_id(call, wanted.row.tool_id, &name),
                    name,
                    arguments: arguments(call.call),
                });
            }
            Block::Other(other) => {
                let mut said = Vec::new();
                texts(&other.content, &mut said);
                items.say(said);
            }
            _ => {}
        }
    }
    items.close();
}

/// The items of an answer in the making.
struct Items<'a, 'i> {
    write: &'i mut dyn FnMut(InputItem<'a>),
    phase: Option<&'static str>,
    /// Texts that follow each other, which are one message.
    said: Vec<Escaped<'a>>,
    /// Reasoning that has led to nothing yet.
    led: Vec<ReasoningItem<'a>>,
}

impl<'a> Items<'a, '_> {
    fn say(&mut self, texts: Vec<Escaped<'a>>) {
        if !texts.is_empty() {
            self.reason();
            self.said.extend(texts);
        }
    }

    fn reason(&mut self) {
        self.led.drain(..).map(InputItem::Reasoning).for_each(&mut *self.write);
    }

    /// What comes next is no part of the message.
    fn close(&mut self) {
        if self.said.is_empty() {
            return;
        }
        let text = Joined(std::mem::take(&mut self.said));
        let content = vec![InputPart::OutputText { text }];
        (self.write)(InputItem::Message { role: Role::Assistant, content, phase: self.phase });
    }
}

fn part(part: Part<'_>) -> InputPart<'_> {
    match part {
        Part::Text { text, cache_control } => InputPart::InputText {
            text,
            prompt_cache_breakpoint: cache_control.map(|_| Breakpoint::EXPLICIT),
        },
        Part::ImageUrl { image_url } => InputPart::InputImage { image_url: image_url.url },
        Part::File { file } => {
            InputPart::InputFile { filename: file.filename, file_data: file.file_data }
        }
    }
}

fn tool(tool: Tool<'_>) -> ResponsesTool<'_> {
    let function = tool.function;
    ResponsesTool::Function(FunctionTool {
        kind: FunctionKind,
        name: function.name,
        description: function.description,
        parameters: function.parameters,
        strict: false,
    })
}

fn tool_choice(choice: ToolChoice<'_>) -> ResponsesChoice<'_> {
    match choice {
        ToolChoice::Mode(mode) => ResponsesChoice::Mode(mode),
        ToolChoice::Function { kind, function } => {
            ResponsesChoice::Function(NamedTool { kind, name: function.name })
        }
    }
}

fn text_format(format: ResponseFormat<'_>) -> TextFormat<'_> {
    let (name, schema) = match format.json_schema {
        Some(schema) => (Some(schema.name), Some(schema.schema)),
        None => (None, None),
    };
    TextFormat { kind: format.kind, name, schema }
}
