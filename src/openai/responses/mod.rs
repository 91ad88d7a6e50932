//! Wire types of the Responses API.
//!
//! <https://platform.openai.com/docs/api-reference/responses>

mod event;
mod request;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

pub use event::{OutputItem, OutputPart, Response, ResponsesEvent, ResponsesUsage};
pub use request::{
    Breakpoint, FunctionTool, HostedSearch, InputItem, InputPart, NamedTool, Output,
    ReasoningConfig, ResponsesChoice, ResponsesRequest, ResponsesTool, TextConfig, TextFormat,
};

/// A model's reasoning, which only OpenAI can read, as an item of the input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReasoningItem<'a> {
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Cow<'a, str>>,
    /// Required, also if it is empty.
    #[serde(borrow)]
    pub summary: Vec<SummaryPart<'a>>,
    #[serde(borrow)]
    pub encrypted_content: Cow<'a, str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum SummaryPart<'a> {
    SummaryText {
        #[serde(borrow)]
        text: Cow<'a, str>,
    },
}
