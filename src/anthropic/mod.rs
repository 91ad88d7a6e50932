//! Wire types of the Anthropic Messages API, nothing else.
//!
//! <https://platform.claude.com/docs/en/api/messages>; what real clients send beyond it was learned
//! from recorded requests.

#![forbid(unsafe_code)]
#![expect(missing_docs, reason = "the names are the API reference's own")]

mod event;
mod place;
mod plain;
mod request;

pub use event::{
    BlockStart, ContentBlock, CountTokens, Delta, Event, Message, MessageDelta, MessageHead, Model,
    ModelList, NoInput, SafeguardResult, StopReason, Usage,
};
pub use request::{
    Block, Content, Document, DocumentSource, ImageSource, InputMessage, MessagesRequest, Other,
    OutputFormat, Role, Thought, Tool, ToolChoice, ToolChoiceKind, ToolResult, ToolUse, parse,
};
