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
//! | error | error | `said`, `overflow`, `error` |
//! | a request | the same, for a provider that speaks the Messages API | `native` |
//! | a refusal | another request | `learned` |
//! | what was lost on the way | | `report` |

mod arguments;
mod carry;
mod client_tools;
mod conversation;
mod cut_json;
mod error;
mod explain;
mod fold;
mod hash;
mod ids;
mod learned;
mod native;
mod overflow;
mod report;
mod request;
mod responses;
mod said;
mod schema;
mod stop_reason;
mod stops;
mod stream;
mod text_calls;
mod think;
mod tools;
mod usage;

pub use error::{Context, error_in_body, is_output_limit, native_error, upstream_error};
pub use explain::{Explain, first_words};
pub use fold::Fold;
pub use learned::{Learned, Lesson, Param, may_teach};
pub use native::native_request;
pub use report::Report;
pub use request::{Target, Translated, translate};
pub use responses::for_responses;
pub use stops::Stops;
pub use stream::{Reading, Sink, Translator};
pub use text_calls::TextTools;
pub use tools::ToolNames;
