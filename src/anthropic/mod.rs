//! Wire types of the Anthropic Messages API, nothing else.
//!
//! <https://platform.claude.com/docs/en/api/messages>; what real clients send beyond it was learned
//! from recorded requests.

#![forbid(unsafe_code)]
#![expect(missing_docs, reason = "the names are the API reference's own")]

mod content;
mod event;
mod fault;
mod field;
mod parse;
mod place;
mod plain;
mod request;

pub use content::{
    Block, Content, Document, DocumentSource, ImageSource, Other, Thought, ToolResult, ToolUse,
    is_foreign_search,
};
pub use event::{
    BlockStart, Citation, ContentBlock, CountTokens, Delta, Event, FOREIGN_SEARCH, Message,
    MessageDelta, MessageHead, Model, ModelList, NoInput, SafeguardResult, ServerToolUse,
    StopReason, Usage, WebSearchError, WebSearchResult,
};
pub use parse::{parse, parse_within};
pub use request::{
    AsItCame, InputMessage, MessagesRequest, OutputFormat, Role, Room, SearchLimits, Tool,
    ToolChoice, ToolChoiceKind,
};
