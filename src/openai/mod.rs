//! Wire types of the chat completions API and of the Responses API, nothing else.
//!
//! <https://platform.openai.com/docs/api-reference/chat>, and what its many implementations send.

#![forbid(unsafe_code)]
#![expect(missing_docs, reason = "the names are the API reference's own")]

mod lenient;
pub mod models;
mod piece;
mod request;
mod response;
mod responses;

use serde::Serialize;

pub use lenient::{Later, Lax, Number, Text};
pub use piece::Piece;
pub use request::{
    ChatRequest, ChatSearch, CompoundTools, Content, DataUrl, Domains, Each, EnableThinking,
    EnabledTools, Ephemeral, ExtraContent, ForcedSearch, FormatKind, Function, FunctionKind,
    Joined, JsonSchema, Message, NamedFunction, NoOptions, Part, Reasoning, ResponseFormat, Role,
    StreamOptions, Switch, Tool, ToolCall, ToolChoice, WebPlugin, WebSearchOptions, WebSearchTool,
};
pub use response::{Choice, Chunk, ContentPiece, FunctionDelta, ToolDelta, UpstreamUsage};
pub use responses::{
    Breakpoint, FunctionTool, HostedSearch, InputItem, InputPart, NamedTool, Output, OutputItem,
    OutputPart, ReasoningConfig, ReasoningItem, Response, ResponsesChoice, ResponsesEvent,
    ResponsesRequest, ResponsesTool, ResponsesUsage, SummaryPart, TextConfig, TextFormat,
};

/// A request as it is sent.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Request<'a> {
    ChatCompletions(ChatRequest<'a>),
    Responses(ResponsesRequest<'a>),
}

/// Which of the two APIs is spoken with the upstream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Dialect {
    /// `POST /v1/chat/completions`
    #[default]
    ChatCompletions,
    /// `POST /v1/responses`
    Responses,
}
