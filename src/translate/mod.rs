//! From one API to the other, without IO: what comes out depends on what goes in alone.
//!
//! | Messages API | chat completions | where |
//! |---|---|---|
//! | `system`, `role: "system"` | first message, `<system-reminder>` later | `conversation` |
//! | `tool_use`, `tool_result` | `tool_calls`, `role: "tool"` | `conversation` |
//! | `tools`, `tool_choice` | `tools`, `tool_choice` | `tools`, `schema` |
//! | all of it | the Responses API's form of it | `responses` |
//! | `max_tokens`, `stop_sequences`, effort, format | per provider | `request` |
//! | `stop_sequences` that the provider does not take | the text of the answer | `stops` |
//! | stream events | chunks, or events of the Responses API | `stream` |
//! | tool calls | calls that a model wrote as text | `text_calls` |
//! | `signature`, `redacted_thinking`, ids | reasoning to be sent back | `carry` |
//! | a message | the events, folded | `fold` |
//! | `stop_reason` | `finish_reason` | `stop_reason` |
//! | `usage` | `usage` | `usage` |
//! | error | error | `refusal` |
//! | a request | the same, for a provider that speaks the Messages API | `native` |
//! | a refusal | another request | `refusal` |
//! | what was lost on the way | | `report` |

mod arguments;
mod carry;
mod client_tools;
mod conversation;
mod fold;
mod hash;
mod ids;
mod native;
mod refusal;
mod report;
mod request;
mod responses;
mod schema;
mod stop_reason;
mod stops;
mod stream;
mod text_calls;
mod think;
mod tools;
mod usage;

pub use fold::Fold;
pub use native::native_request;
pub use refusal::{
    Context, Explain, Learned, Lesson, Param, error_in_body, first_words, is_output_limit,
    may_teach, native_error, upstream_error,
};
pub use report::Report;
pub use request::{Target, Translated, translate};
pub use responses::for_responses;
pub use stops::Stops;
pub use stream::{Reading, Sink, Translator};
pub use text_calls::TextTools;
pub use tools::ToolNames;
