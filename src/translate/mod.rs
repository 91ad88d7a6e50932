//! From one API to the other, without IO: what comes out depends on what goes in alone.
//!
//! | Messages API | the other side | where |
//! |---|---|---|
//! | a request | a request, as turns | `request` |
//! | a stream of events, a message | chunks, events of the Responses API, a whole answer | `answer` |
//! | an error, what it teaches | an error, in the upstream's words | `refusal` |
//! | `signature`, `redacted_thinking`, ids | reasoning to be sent back | `carry` |
//! | what an answer is read back with: the dialect, the names of tools | | `reading` |
//! | `stop_sequences` that the provider does not take | the text of the answer | `stops` |
//!
//! `request` and `answer` name their own tables. `refusal` makes an error, and the lesson that
//! changes the next request.

#![forbid(unsafe_code)]

mod answer;
mod carry;
mod object;
mod reading;
mod refusal;
mod request;
mod stops;

pub use answer::{Fold, Sink, Translator, native};
pub use reading::{Domains, Reading, SearchError, Searched, TextTools, ToolNames};
pub use refusal::{
    Context, Explain, Learned, Lesson, Param, Said, Sent, Telling, first_words, is_output_limit,
    refused_search, upstream_error, window_of,
};
pub use request::{Report, Target, Translated, Wanted, native_request, searched, translate};
pub use stops::Stops;
