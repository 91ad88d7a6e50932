//! A Messages request → a chat completions request for one provider.

use std::borrow::Cow;

use super::tools::{self, ToolNames};
use super::{conversation, schema};
use crate::anthropic::{MessagesRequest, OutputFormat};
use crate::error::Error;
use crate::openai::{
    ChatRequest, FormatKind, JsonSchema, Reasoning, ResponseFormat, StreamOptions,
};
use crate::provider::{EffortField, FormatSupport, MaxTokensField, Provider};

/// Whom the request is for.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    pub provider: &'a Provider,
    /// The model's name upstream.
    pub model: &'a str,
    /// The largest `max_tokens` to send; 0 for no limit.
    pub max_tokens: u64,
    /// Whether the model is shown pictures.
    pub images: bool,
}

/// The request for the upstream, and what the answer has to be translated back with.
#[derive(Debug)]
pub struct Translated<'a> {
    pub chat: ChatRequest<'a>,
    pub names: ToolNames,
}

/// Translates `request` for `target`. Efforts beyond the three that chat completions know become
/// the highest of them.
///
/// # Errors
/// [`Error::Request`] for what the wire types cannot rule out, [`Error::ThreadUnsupported`].
pub fn translate<'a>(
    request: &'a MessagesRequest<'a>,
    target: &Target<'a>,
) -> Result<Translated<'a>, Error> {
    if request.thread.is_some() {
        return Err(Error::ThreadUnsupported);
    }
    let Some(max_tokens) = request.max_tokens else {
        return Err(Error::request("max_tokens", "field required"));
    };
    let provider = target.provider;
    let (response_format, format_note) = match request.format() {
        Some(format) => response_format(format, provider),
        None => (None, None),
    };
    let messages = conversation::translate(request, provider, target.images, format_note);
    if !messages.iter().any(|message| message.role != crate::openai::Role::System) {
        return Err(Error::request("messages", "there is no message with content for the model"));
    }
    let offer = tools::offer(request, provider)?;
    let max_tokens = clamp(max_tokens, target.max_tokens);
    let stream = request.stream == Some(true);
    let fixed_sampling = Provider::is_among(target.model, provider.fixed_sampling_models);
    let stop = request.stop_sequences.as_deref().filter(|_| !fixed_sampling).unwrap_or(&[]);
    let effort = effort(request, target, !offer.tools.is_empty());

    let mut chat = ChatRequest {
        model: target.model,
        messages,
        tools: offer.tools,
        tool_choice: offer.choice,
        parallel_tool_calls: offer.parallel,
        temperature: request.temperature.filter(|_| !fixed_sampling),
        top_p: request.top_p.filter(|_| !fixed_sampling),
        top_k: request.top_k.filter(|_| provider.top_k),
        stop: &stop[..stop.len().min(provider.max_stop)],
        response_format,
        stream,
        stream_options: (stream && provider.stream_usage)
            .then_some(StreamOptions { include_usage: true }),
        ..ChatRequest::default()
    };
    match provider.max_tokens_field {
        MaxTokensField::MaxTokens => chat.max_tokens = Some(max_tokens),
        MaxTokensField::MaxCompletionTokens => chat.max_completion_tokens = Some(max_tokens),
    }
    match provider.effort {
        EffortField::ReasoningEffort => chat.reasoning_effort = effort,
        EffortField::Reasoning => chat.reasoning = effort.map(|effort| Reasoning { effort }),
    }
    Ok(Translated { chat, names: offer.names })
}

/// `max_tokens: 0` (warming a cache) is legal for clients; chat completions want 1 at least.
fn clamp(asked: u64, limit: u64) -> u64 {
    let asked = asked.max(1);
    if limit == 0 { asked } else { asked.min(limit) }
}

fn effort(
    request: &MessagesRequest<'_>,
    target: &Target<'_>,
    has_tools: bool,
) -> Option<&'static str> {
    if !Provider::is_among(target.model, target.provider.reasoning_models)
        || request.thinking.as_ref().is_some_and(|thinking| thinking.kind == "disabled")
    {
        return None;
    }
    let asked = request.output_config.as_ref()?.effort.as_deref()?;
    let refuses = Provider::is_among(target.model, target.provider.effort_or_tools_models);
    match asked {
        _ if refuses && has_tools => Some("none"),
        "low" => Some("low"),
        "medium" => Some("medium"),
        _ => Some("high"),
    }
}

/// `response_format`, or for providers without schemas also a sentence for the system prompt.
fn response_format<'a>(
    format: &'a OutputFormat<'a>,
    provider: &Provider,
) -> (Option<ResponseFormat<'a>>, Option<Cow<'a, str>>) {
    let Some(raw) = format.schema else { return (None, None) };
    match provider.response_format {
        FormatSupport::JsonSchema => {
            let schema = schema::without(raw, provider.schema_drops);
            let json_schema = Some(JsonSchema { name: "output", schema });
            (Some(ResponseFormat { kind: FormatKind::JsonSchema, json_schema }), None)
        }
        FormatSupport::JsonObject => {
            let note = format!(
                "Answer with one JSON object and nothing else. It must follow this JSON schema:\n{}",
                raw.get()
            );
            let format = ResponseFormat { kind: FormatKind::JsonObject, json_schema: None };
            (Some(format), Some(Cow::Owned(note)))
        }
    }
}
