//! A chat completions request → the same request for the Responses API.
//!
//! Made from the finished one, so that there is one translator of conversations and one of tools.
//!
//! <https://platform.openai.com/docs/guides/migrate-to-responses>

use std::borrow::Cow;

use crate::openai::{
    ChatRequest, Content, FunctionKind, FunctionTool, InputItem, InputPart, Joined, Message,
    NamedTool, Part, ReasoningConfig, ResponseFormat, ResponsesChoice, ResponsesRequest, Role,
    TextConfig, TextFormat, Tool, ToolCall, ToolChoice,
};
use crate::provider::Provider;

/// The least `max_output_tokens` that is taken. Claude Code asks for one token to try a key.
const MIN_OUTPUT_TOKENS: u64 = 16;

/// Asks for the reasoning in a form that can be sent back, since nothing is stored.
const ENCRYPTED_REASONING: &[&str] = &["reasoning.encrypted_content"];

/// Translates `chat`. Stop strings and `top_k` are left out: the Responses API has neither. Who
/// translates the answer looks for the stop strings.
///
/// Models that the `row` knows no efforts of refuse reasoning, and to be asked for it.
pub fn for_responses<'a>(
    chat: ChatRequest<'a>,
    row: &Provider,
    model: &str,
) -> ResponsesRequest<'a> {
    let reasons = row.knows_effort(model);
    let has_phases = Provider::is_among(model, row.phase_models);
    let effort = chat.reasoning_effort.or(chat.reasoning.and_then(|reasoning| reasoning.effort));
    let mut instructions = None;
    let mut input = Vec::with_capacity(chat.messages.len());
    for mut message in chat.messages {
        message.reasoning.retain(|_| reasons);
        match message.role {
            Role::System => instructions = Some(text(message.content)),
            Role::User => {
                let content = user_parts(message.content);
                input.push(InputItem::Message { role: Role::User, content, phase: None });
            }
            Role::Assistant => {
                // What leads to calls was said on the way.
                let phase =
                    if message.tool_calls.is_empty() { "final_answer" } else { "commentary" };
                answer(message, has_phases.then_some(phase), &mut input);
            }
            Role::Tool => input.push(InputItem::FunctionCallOutput {
                call_id: message.tool_call_id.unwrap_or_default(),
                output: text(message.content),
            }),
        }
    }
    let max_tokens = chat.max_completion_tokens.or(chat.max_tokens);
    ResponsesRequest {
        model: chat.model,
        instructions,
        input,
        tools: chat.tools.into_iter().map(tool).collect(),
        tool_choice: chat.tool_choice.map(tool_choice),
        parallel_tool_calls: chat.parallel_tool_calls,
        max_output_tokens: max_tokens.map(|limit| limit.max(MIN_OUTPUT_TOKENS)),
        temperature: chat.temperature,
        top_p: chat.top_p,
        reasoning: (reasons || effort.is_some()).then_some(ReasoningConfig {
            effort,
            summary: (effort != Some("none") && !chat.without_summary).then_some("auto"),
        }),
        include: if reasons { ENCRYPTED_REASONING } else { &[] },
        text: chat.response_format.map(|format| TextConfig { format: text_format(format) }),
        store: false,
        stream: chat.stream,
    }
}

/// The items of an answer: its reasoning stands right before what it led to. What it leads to
/// nothing is left out, because the service refuses that.
fn answer<'a>(message: Message<'a>, phase: Option<&'static str>, input: &mut Vec<InputItem<'a>>) {
    let mut texts = text(message.content).0;
    let mut calls = message.tool_calls;
    let (all_texts, all_calls) = (texts.len(), calls.len());
    for reasoning in message.reasoning {
        let texts_before = (texts.len() + reasoning.texts).saturating_sub(all_texts);
        let calls_before = (calls.len() + reasoning.calls).saturating_sub(all_calls);
        let (texts_after, calls_after) =
            (texts.split_off(texts_before), calls.split_off(calls_before));
        said(texts, calls, phase, input);
        (texts, calls) = (texts_after, calls_after);
        if texts.is_empty() && calls.is_empty() {
            return;
        }
        input.push(InputItem::Reasoning(reasoning.item));
    }
    said(texts, calls, phase, input);
}

fn said<'a>(
    texts: Vec<Cow<'a, str>>,
    calls: Vec<ToolCall<'a>>,
    phase: Option<&'static str>,
    input: &mut Vec<InputItem<'a>>,
) {
    if !texts.is_empty() {
        let content = vec![InputPart::OutputText { text: Joined(texts) }];
        input.push(InputItem::Message { role: Role::Assistant, content, phase });
    }
    input.extend(calls.into_iter().map(|call| InputItem::FunctionCall {
        call_id: call.id,
        name: call.function.name,
        arguments: call.function.arguments,
    }));
}

fn user_parts(content: Option<Content<'_>>) -> Vec<InputPart<'_>> {
    match content {
        None => Vec::new(),
        Some(Content::Text(text)) => vec![InputPart::InputText { text }],
        Some(Content::Parts(parts)) => parts
            .into_iter()
            .map(|part| match part {
                Part::Text { text } => InputPart::InputText { text },
                Part::ImageUrl { image_url } => InputPart::InputImage { image_url: image_url.url },
                Part::File { file } => {
                    InputPart::InputFile { filename: file.filename, file_data: file.file_data }
                }
            })
            .collect(),
    }
}

/// The text of a message that has nothing else: every one but the user's.
fn text(content: Option<Content<'_>>) -> Joined<'_> {
    match content {
        Some(Content::Text(text)) => text,
        Some(Content::Parts(_)) | None => Joined::default(),
    }
}

fn tool(tool: Tool<'_>) -> FunctionTool<'_> {
    let function = tool.function;
    FunctionTool {
        kind: FunctionKind,
        name: function.name,
        description: function.description,
        parameters: function.parameters,
        strict: false,
    }
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
