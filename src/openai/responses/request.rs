//! The request as it is sent upstream, which is all that is done with it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;

use super::ReasoningItem;
use crate::json::{Escaped, Verbatim};
use crate::openai::{DataUrl, Each, FormatKind, FunctionKind, Joined, Role};

#[derive(Debug, Serialize)]
pub struct ResponsesRequest<'a> {
    pub model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instructions: Option<Joined<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<ResponsesTool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ResponsesChoice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parallel_tool_calls: Option<bool>,
    /// Of the service's own tools.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tool_calls: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<ReasoningConfig<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub include: &'static [&'static str],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<TextConfig<'a>>,
    /// Whether the service keeps the answer; its default is that it does.
    pub store: bool,
    pub stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_cache_key: Option<&'a str>,
    /// The last, so that the requests of a conversation begin with the same bytes.
    pub input: Each<'a, InputItem<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum InputItem<'a> {
    Message {
        role: Role,
        content: Vec<InputPart<'a>>,
        /// Of an assistant's: `commentary`, before calls, or `final_answer`.
        #[serde(skip_serializing_if = "Option::is_none")]
        phase: Option<&'static str>,
    },
    Reasoning(ReasoningItem<'a>),
    /// Without an `id`: with one, the service wants the reasoning that came before it.
    FunctionCall {
        call_id: Cow<'a, str>,
        name: Cow<'a, str>,
        arguments: Cow<'a, str>,
    },
    FunctionCallOutput {
        call_id: Cow<'a, str>,
        output: Output<'a>,
    },
}

/// What a call has given; pictures and files stand where it shows them.
///
/// <https://platform.openai.com/docs/api-reference/responses/create>: a string, or a list of parts.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Output<'a> {
    Text(Joined<'a>),
    Parts(Vec<InputPart<'a>>),
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum InputPart<'a> {
    InputText {
        text: Joined<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        prompt_cache_breakpoint: Option<Breakpoint>,
    },
    InputImage {
        image_url: DataUrl<'a>,
    },
    InputFile {
        filename: Escaped<'a>,
        file_data: DataUrl<'a>,
    },
    /// What the assistant said.
    OutputText {
        text: Joined<'a>,
    },
}

impl<'a> InputPart<'a> {
    /// A text without a mark.
    pub fn text(text: Joined<'a>) -> InputPart<'a> {
        InputPart::InputText { text, prompt_cache_breakpoint: None }
    }
}

/// `{"mode": "explicit"}`: what stands up to here is to be kept in a cache.
#[derive(Debug, Serialize)]
pub struct Breakpoint {
    pub mode: &'static str,
}

impl Breakpoint {
    pub const EXPLICIT: Breakpoint = Breakpoint { mode: "explicit" };
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum ResponsesTool<'a> {
    Function(FunctionTool<'a>),
    WebSearch(HostedSearch<'a>),
}

/// The service's own search of the web.
#[derive(Debug, Serialize)]
pub struct HostedSearch<'a> {
    #[serde(rename = "type")]
    pub kind: &'static str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub filters: BTreeMap<&'static str, Vec<Cow<'a, str>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_location: Option<Box<RawValue>>,
}

#[derive(Debug, Serialize)]
pub struct FunctionTool<'a> {
    #[serde(rename = "type")]
    pub kind: FunctionKind,
    pub name: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<Escaped<'a>>,
    pub parameters: Verbatim<'a>,
    /// Always told: where it is not, the service makes every property a required one.
    pub strict: bool,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum ResponsesChoice<'a> {
    Mode(&'a str),
    Function(NamedTool<'a>),
}

#[derive(Debug, Serialize)]
pub struct NamedTool<'a> {
    #[serde(rename = "type")]
    pub kind: FunctionKind,
    pub name: Cow<'a, str>,
}

#[derive(Debug, Serialize)]
pub struct ReasoningConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effort: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<&'static str>,
}

#[derive(Debug, Serialize)]
pub struct TextConfig<'a> {
    pub format: TextFormat<'a>,
}

#[derive(Debug, Serialize)]
pub struct TextFormat<'a> {
    #[serde(rename = "type")]
    pub kind: FormatKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<Verbatim<'a>>,
}
