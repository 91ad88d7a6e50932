//! What refusals have taught: a [`Lesson`] changes the next request.
//! [`words`](super::words) reads it from what the upstream says.
//!
//! A lesson is only as good as the request it leads to: the caller tries it once, and remembers it
//! if that is taken. So a sentence that was misread costs one call, and is forgotten.

use std::fmt;

use crate::openai::{Dialect, FormatKind, ToolChoice};
use crate::provider::{
    Echo, FormatSupport, MaxTokensField, Provider, Search, ToolChoiceLimit, ToolId,
};
use crate::translate::reading::SearchError;

/// One thing that was learned.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of its variants say it")]
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
    /// The provider's search of the web is refused.
    NoSearch(SearchError),
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

    /// Why the provider does not search, if that is what it is about.
    pub fn search_error(&self) -> Option<SearchError> {
        match self {
            Lesson::Once(lesson) => lesson.search_error(),
            Lesson::NoSearch(error) => Some(*error),
            _ => None,
        }
    }

    /// Whether it holds for other conversations too.
    pub fn is_lasting(&self) -> bool {
        !matches!(self, Lesson::Once(_))
    }
}

/// A field that a request may go without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of its variants say it")]
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
    PromptCacheKey,
    CacheControl,
}

/// What of a request a refusal may be about.
#[derive(Debug)]
#[expect(missing_docs, reason = "the names of its fields say it")]
pub struct Sent<'a> {
    pub api: Dialect,
    pub max_tokens: u64,
    pub max_tokens_field: MaxTokensField,
    /// How many.
    pub tools: usize,
    pub tool_choice: Option<&'a ToolChoice<'a>>,
    /// How many stop sequences.
    pub stop: usize,
    pub effort: Option<&'static str>,
    pub format: Option<FormatKind>,
    /// The fields that it has.
    pub params: Vec<Param>,
    /// The model gets its reasoning back as `reasoning_content`.
    pub echoes_reasoning: bool,
    /// Pictures or files.
    pub has_pictures: bool,
    /// Results of calls.
    pub has_results: bool,
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
    (Param::PromptCacheKey, &["prompt_cache_key"]),
    (Param::CacheControl, &["cache_control", "prompt_cache_breakpoint"]),
    (Param::ToolChoice, &["tool_choice"]),
    (Param::ResponseFormat, &["response_format", "json_schema", "text.format"]),
];

/// Efforts from the least to the most.
pub(in crate::translate) const EFFORTS: &[&str] =
    &["none", "minimal", "low", "default", "medium", "high", "xhigh", "max"];

/// Everything that was learned of a model of a provider.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Learned(Vec<Lesson>);

impl Learned {
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

    /// Why the provider does not search, if it has refused to.
    pub fn search_error(&self) -> Option<SearchError> {
        self.0.iter().find_map(Lesson::search_error)
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
    pub fn is_text_only(&self) -> bool {
        self.0.contains(&Lesson::TextOnly)
    }

    /// The largest number of output tokens that was told.
    pub fn max_tokens(&self) -> Option<u64> {
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
                Lesson::NoSearch(_) => row.search = Search::Unknown,
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
            Lesson::NoSearch(_) => f.write_str("without its web search"),
            Lesson::ForgetReasoning => f.write_str("without the reasoning so far"),
            Lesson::Once(lesson) => lesson.fmt(f),
        }
    }
}

impl Param {
    /// Every one.
    pub(in crate::translate) fn all() -> impl Iterator<Item = Param> {
        PARAMS.iter().map(|(param, _)| *param)
    }

    /// The field's name on the wire.
    fn name(self) -> &'static str {
        let found = PARAMS.iter().find(|(param, _)| *param == self);
        found.map_or("", |(_, names)| names[0])
    }
}
