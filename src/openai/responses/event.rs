//! An event of a stream, or a whole response. As lenient as a chunk.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::Deserializer;
use serde_json::value::RawValue;

use crate::openai::lenient::{Collect, Lax, List, Number, Text, collect};
use crate::openai::response::PromptDetails;

/// The fields of all events.
#[derive(Debug, Default, Deserialize)]
pub struct ResponsesEvent<'a> {
    /// Absent in a whole response.
    #[serde(borrow, default, rename = "type")]
    pub kind: Text<'a>,
    #[serde(default)]
    pub output_index: Number,
    #[serde(default)]
    pub content_index: Number,
    #[serde(default)]
    pub summary_index: Number,
    #[serde(borrow, default)]
    pub delta: Text<'a>,
    #[serde(borrow, default)]
    pub arguments: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub annotation: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub item: Lax<OutputItem<'a>>,
    #[serde(borrow, default)]
    pub response: Lax<Response<'a>>,
}

#[derive(Debug, Default, Deserialize)]
pub struct Response<'a> {
    #[serde(borrow, default)]
    pub status: Text<'a>,
    #[serde(borrow, default)]
    pub output: List<OutputItem<'a>>,
    #[serde(borrow, default)]
    pub error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub incomplete_details: Lax<IncompleteDetails<'a>>,
    #[serde(default)]
    pub usage: Lax<ResponsesUsage>,
}

#[derive(Debug, Default, Deserialize)]
pub struct IncompleteDetails<'a> {
    #[serde(borrow, default)]
    pub reason: Text<'a>,
}

/// The fields of all items of the output.
#[derive(Debug, Default, Deserialize)]
pub struct OutputItem<'a> {
    #[serde(borrow, default, rename = "type")]
    pub kind: Text<'a>,
    #[serde(borrow, default)]
    pub id: Text<'a>,
    #[serde(borrow, default)]
    pub call_id: Text<'a>,
    #[serde(borrow, default)]
    pub name: Text<'a>,
    /// JSON text in a string; as an object from some services.
    #[serde(borrow, default)]
    pub arguments: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub content: Parts<'a>,
    #[serde(borrow, default)]
    pub summary: Parts<'a>,
    #[serde(borrow, default)]
    pub encrypted_content: Text<'a>,
    /// Of a search: whether it is done, what was looked for, and found.
    #[serde(borrow, default)]
    pub status: Option<Box<Text<'a>>>,
    #[serde(borrow, default)]
    pub action: Option<Box<&'a RawValue>>,
}

/// `output_text`, `refusal`, `reasoning_text` or `summary_text`.
#[derive(Debug, Default, Deserialize)]
pub struct OutputPart<'a> {
    #[serde(borrow, default)]
    pub text: Text<'a>,
    #[serde(borrow, default)]
    pub refusal: Option<Box<Text<'a>>>,
    /// What a search has found for the text. It is as rare as a refusal, so both take little room.
    #[serde(borrow, default)]
    pub annotations: Option<Box<&'a RawValue>>,
}

impl<'a> OutputPart<'a> {
    /// The words of a refusal, if it is one.
    pub fn refusal(&self) -> Option<&Cow<'a, str>> {
        self.refusal.as_ref()?.some()
    }
}

/// The parts that say something.
#[derive(Debug, Default)]
pub struct Parts<'a>(pub Vec<OutputPart<'a>>);

impl<'de> Collect<'de> for Parts<'de> {
    type Item = OutputPart<'de>;

    fn take(&mut self, part: Option<OutputPart<'de>>) -> bool {
        let says = |part: &OutputPart| part.text.some().or(part.refusal()).is_some();
        self.0.extend(part.filter(says));
        true
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Parts<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Parts<'a>, D::Error> {
        collect(deserializer)
    }
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub struct ResponsesUsage {
    #[serde(default)]
    pub input_tokens: Number,
    #[serde(default)]
    pub input_tokens_details: Lax<PromptDetails>,
    #[serde(default)]
    pub output_tokens: Number,
}
