//! Wire types of the chat completions API, nothing else.
//!
//! <https://platform.openai.com/docs/api-reference/chat>, and what its many implementations send.

mod request;
mod response;

pub use request::{
    ChatRequest, Content, DataUrl, EnableThinking, ExtraContent, FormatKind, Function, Joined,
    JsonSchema, Message, NamedFunction, Part, Reasoning, ResponseFormat, Role, StreamOptions,
    Switch, Tool, ToolCall, ToolChoice,
};
pub use response::{Choice, Chunk, ContentPiece, FunctionDelta, ToolDelta, UpstreamUsage};
