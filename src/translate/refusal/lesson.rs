//! What refusals have taught: a [`Lesson`] changes the next request.
//! [`words`](super::words) reads it from what the upstream says.
//!
//! A lesson is only as good as the request it leads to: the caller tries it once, and remembers it if
//! that is taken. So a sentence that was misread costs one call, and is forgotten.

use std::fmt;

use super::words::Refusal;
use crate::openai::{ChatRequest, Dialect};
use crate::provider::{Echo, FormatSupport, MaxTokensField, Provider, ToolChoiceLimit, ToolId};
use crate::translate::request::forget_reasoning;

/// One thing that was learned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lesson {
    /// A field is refused.
    Drop(Param),
    MaxTokensField(MaxTokensField),
    MaxTokens(u64),
    LeastMaxTokens(u64),
    MaxStop(usize),
    MaxTools(usize),
    /// The only words for an effort that are taken.
    Efforts(Vec<&'static str>),
    ToolChoice(ToolChoiceLimit),
    /// `json_object` is the most that `response_format` takes.
    JsonObject,
    /// The model is shown no pictures.
    TextOnly,
    /// Whether the model's reasoning comes back to it as `reasoning_content`.
    ReasoningContent(bool),
    /// No user message directly after a tool's.
    NoUserAfterTool,
    NineAlphanumericIds,
    SchemaKeyword(&'static str),
    Api(Dialect),
    /// The tokens that fit into the model, which clients are told of.
    Window(u64),
    /// The provider's own Messages API refuses what chat completions take.
    NotNative,
    /// The reasoning that the client has carried is another key's, or another service's.
    ForgetReasoning,
    /// It holds for this request alone.
    Once(Box<Lesson>),
}

impl Lesson {
    /// The same for one request.
    pub fn once(self) -> Lesson {
        Lesson::Once(Box::new(self))
    }

    /// Whether it is to leave the provider's own Messages API.
    pub fn is_about_native(&self) -> bool {
        match self {
            Lesson::Once(lesson) => lesson.is_about_native(),
            lesson => *lesson == Lesson::NotNative,
        }
    }

    /// Whether it holds for other conversations too.
    pub fn is_lasting(&self) -> bool {
        !matches!(self, Lesson::Once(_))
    }
}

/// A field that a request may go without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Param {
    Temperature,
    TopP,
    TopK,
    Stop,
    ToolChoice,
    ParallelToolCalls,
    StreamOptions,
    ResponseFormat,
    Effort,
    Thinking,
    ToolStream,
    /// `reasoning.summary` of the Responses API.
    Summary,
}

/// The names of the fields on the wire. The first is the one that is shown.
pub(super) const PARAMS: &[(Param, &[&str])] = &[
    (Param::Temperature, &["temperature"]),
    (Param::TopP, &["top_p"]),
    (Param::TopK, &["top_k"]),
    (Param::Stop, &["stop"]),
    (Param::ParallelToolCalls, &["parallel_tool_calls"]),
    (Param::StreamOptions, &["stream_options", "include_usage"]),
    (Param::ToolStream, &["tool_stream"]),
    (Param::Summary, &["reasoning.summary", "reasoning_summary"]),
    (Param::Effort, &["reasoning_effort", "reasoning.effort", "reasoning"]),
    (Param::Thinking, &["thinking", "enable_thinking", "chat_template_kwargs"]),
    (Param::ToolChoice, &["tool_choice"]),
    (Param::ResponseFormat, &["response_format", "json_schema", "text.format"]),
];

/// Efforts from the least to the most.
pub(in crate::translate) const EFFORTS: &[&str] =
    &["none", "minimal", "low", "default", "medium", "high", "xhigh", "max"];

/// Everything that was learned of a model of a provider.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Learned(Vec<Lesson>);

/// Whether a refusal can teach anything of a request: it names a field, a number or a word of one. Those
/// of a key, a rate or a failure do not, nor does that of a conversation that is too long.
pub fn may_teach(status: u16, body: &[u8]) -> bool {
    matches!(status, 400 | 402 | 404 | 413 | 422) && Refusal::new(body).is_some()
}

impl Learned {
    /// What the refusal `status` with `body` of the request `sent` teaches that is not known yet.
    pub fn lesson(&self, status: u16, body: &[u8], sent: &ChatRequest<'_>) -> Option<Lesson> {
        let refusal = Refusal::new(body)?;
        let lesson = match status {
            400 | 404 | 422 => refusal.lesson(status, sent),
            402 | 413 => refusal.about_means(sent),
            _ => None,
        }?;
        (!self.0.contains(&lesson)).then_some(lesson)
    }

    /// Adds a lesson, in the place of one that it makes obsolete.
    pub fn add(&mut self, lesson: Lesson) {
        let lesson = match lesson {
            Lesson::Once(lesson) => *lesson,
            lesson => lesson,
        };
        let kind = std::mem::discriminant(&lesson);
        let has_many = matches!(lesson, Lesson::Drop(_) | Lesson::SchemaKeyword(_));
        self.0.retain(|known| {
            if has_many { *known != lesson } else { std::mem::discriminant(known) != kind }
        });
        self.0.push(lesson);
    }

    /// What has been learned.
    pub fn lessons(&self) -> &[Lesson] {
        &self.0
    }

    /// The tokens that fit into the model, where that was told.
    pub fn window(&self) -> Option<u64> {
        self.0.iter().find_map(|lesson| match lesson {
            Lesson::Window(window) => Some(*window),
            _ => None,
        })
    }

    /// Whether the provider's own Messages API is out of the question.
    pub fn is_not_native(&self) -> bool {
        self.0.contains(&Lesson::NotNative)
    }

    /// The API that has been found to be the right one.
    pub fn api(&self) -> Option<Dialect> {
        self.0.iter().find_map(|lesson| match lesson {
            Lesson::Api(api) => Some(*api),
            _ => None,
        })
    }

    /// The words for efforts that are taken, where that was told.
    pub(in crate::translate) fn efforts(&self) -> Option<&[&'static str]> {
        self.0.iter().find_map(|lesson| match lesson {
            Lesson::Efforts(words) => Some(&**words),
            _ => None,
        })
    }

    /// Whether the model was found to read text only.
    pub(in crate::translate) fn is_text_only(&self) -> bool {
        self.0.contains(&Lesson::TextOnly)
    }

    /// The largest number of output tokens that was told.
    pub(in crate::translate) fn max_tokens(&self) -> Option<u64> {
        self.0.iter().find_map(|lesson| match lesson {
            Lesson::MaxTokens(limit) => Some(*limit),
            _ => None,
        })
    }

    /// Keywords that schemas go without.
    pub(in crate::translate) fn schema_keywords(&self) -> Vec<&'static str> {
        let keyword = |lesson: &Lesson| match lesson {
            Lesson::SchemaKeyword(keyword) => Some(*keyword),
            _ => None,
        };
        self.0.iter().filter_map(keyword).collect()
    }

    /// The row of the table as it turned out to be.
    pub(in crate::translate) fn row(&self, row: &Provider) -> Provider {
        let mut row = *row;
        for lesson in &self.0 {
            match lesson {
                Lesson::MaxTokensField(field) => row.max_tokens_field = *field,
                Lesson::LeastMaxTokens(least) => row.least_max_tokens = *least,
                Lesson::MaxStop(most) => row.max_stop = *most,
                Lesson::MaxTools(most) => row.max_tools = *most,
                Lesson::ToolChoice(limit) => row.tool_choice = *limit,
                Lesson::JsonObject => row.response_format = FormatSupport::JsonObject,
                Lesson::ReasoningContent(true) => row.echo = Echo::ReasoningContent,
                Lesson::ReasoningContent(false) => row.echo = Echo::None,
                Lesson::NoUserAfterTool => row.user_after_tool = false,
                Lesson::NineAlphanumericIds => row.tool_id = ToolId::NineAlphanumerics,
                Lesson::Drop(_)
                | Lesson::MaxTokens(_)
                | Lesson::Efforts(_)
                | Lesson::TextOnly
                | Lesson::SchemaKeyword(_)
                | Lesson::Api(_)
                | Lesson::Window(_)
                | Lesson::NotNative
                | Lesson::ForgetReasoning
                | Lesson::Once(_) => {}
            }
        }
        row
    }

    /// Takes out of a finished request what is refused.
    pub(in crate::translate) fn prune(&self, chat: &mut ChatRequest<'_>) {
        for lesson in &self.0 {
            let param = match lesson {
                Lesson::Drop(param) => param,
                Lesson::ForgetReasoning => {
                    chat.messages.iter_mut().for_each(forget_reasoning);
                    continue;
                }
                _ => continue,
            };
            match param {
                Param::Temperature => chat.temperature = None,
                Param::TopP => chat.top_p = None,
                Param::TopK => chat.top_k = None,
                Param::Stop => chat.stop = &[],
                Param::ToolChoice => chat.tool_choice = None,
                Param::ParallelToolCalls => chat.parallel_tool_calls = None,
                Param::StreamOptions => chat.stream_options = None,
                Param::ResponseFormat => chat.response_format = None,
                Param::Effort => (chat.reasoning_effort, chat.reasoning) = (None, None),
                Param::Thinking => {
                    chat.thinking = None;
                    chat.enable_thinking = None;
                    chat.chat_template_kwargs = None;
                }
                Param::ToolStream => chat.tool_stream = None,
                Param::Summary => chat.without_summary = true,
            }
        }
    }
}

/// Whether `sent` has the field at all.
pub(super) fn has(sent: &ChatRequest<'_>, param: Param) -> bool {
    match param {
        Param::Temperature => sent.temperature.is_some(),
        Param::TopP => sent.top_p.is_some(),
        Param::TopK => sent.top_k.is_some(),
        Param::Stop => !sent.stop.is_empty(),
        Param::ToolChoice => sent.tool_choice.is_some(),
        Param::ParallelToolCalls => sent.parallel_tool_calls.is_some(),
        Param::StreamOptions => sent.stream_options.is_some(),
        Param::ResponseFormat => sent.response_format.is_some(),
        Param::Effort => sent.reasoning_effort.is_some() || sent.reasoning.is_some(),
        Param::Thinking => {
            sent.thinking.is_some()
                || sent.enable_thinking.is_some()
                || sent.chat_template_kwargs.is_some()
        }
        Param::ToolStream => sent.tool_stream.is_some(),
        Param::Summary => sent.api == Dialect::Responses && !sent.without_summary,
    }
}

impl fmt::Display for Lesson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lesson::Drop(param) => write!(f, "without {}", param.name()),
            Lesson::MaxTokensField(MaxTokensField::MaxTokens) => f.write_str("uses max_tokens"),
            Lesson::MaxTokensField(MaxTokensField::MaxCompletionTokens) => {
                f.write_str("uses max_completion_tokens")
            }
            Lesson::MaxTokens(limit) => write!(f, "max_tokens <= {limit}"),
            Lesson::LeastMaxTokens(least) => write!(f, "max_tokens >= {least}"),
            Lesson::MaxStop(most) => write!(f, "stop_sequences <= {most}"),
            Lesson::MaxTools(most) => write!(f, "tools <= {most}"),
            Lesson::Efforts(words) => write!(f, "effort {}", words.join("|")),
            Lesson::ToolChoice(ToolChoiceLimit::Modes) => f.write_str("tool_choice names no tool"),
            Lesson::ToolChoice(_) => f.write_str("tool_choice auto"),
            Lesson::JsonObject => f.write_str("response_format json_object"),
            Lesson::TextOnly => f.write_str("without images"),
            Lesson::ReasoningContent(true) => f.write_str("with reasoning_content"),
            Lesson::ReasoningContent(false) => f.write_str("without reasoning_content"),
            Lesson::NoUserAfterTool => f.write_str("no user message after a tool's"),
            Lesson::NineAlphanumericIds => f.write_str("tool ids of 9 letters and digits"),
            Lesson::SchemaKeyword(keyword) => write!(f, "schemas without {keyword}"),
            Lesson::Api(Dialect::Responses) => f.write_str("asked through /responses"),
            Lesson::Api(Dialect::ChatCompletions) => f.write_str("asked through /chat/completions"),
            Lesson::Window(window) => write!(f, "window {window}"),
            Lesson::NotNative => f.write_str("not asked through its Messages API"),
            Lesson::ForgetReasoning => f.write_str("without the reasoning so far"),
            Lesson::Once(lesson) => lesson.fmt(f),
        }
    }
}

impl Param {
    /// The field's name on the wire.
    fn name(self) -> &'static str {
        let found = PARAMS.iter().find(|(param, _)| *param == self);
        found.map_or("", |(_, names)| names[0])
    }
}
