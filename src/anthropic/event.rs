//! The answer: stream events, and the whole message they add up to.
//!
//! <https://platform.claude.com/docs/en/build-with-claude/streaming>

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::error::Detail;
use crate::json::{push_number, push_string};
use crate::labels::labels;
use crate::sse;

/// One event of a stream. Texts are borrowed, so that an event costs no allocation.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event<'a> {
    MessageStart { message: MessageHead<'a> },
    ContentBlockStart { index: usize, content_block: BlockStart<'a> },
    ContentBlockDelta { index: usize, delta: Delta<'a> },
    ContentBlockStop { index: usize },
    MessageDelta { delta: MessageDelta<'a>, usage: Usage },
    MessageStop,
    Ping,
    Error { error: &'a Detail },
}

impl Event<'_> {
    /// The event's name, which is also its `type`.
    pub fn name(&self) -> &'static str {
        match self {
            Event::MessageStart { .. } => "message_start",
            Event::ContentBlockStart { .. } => "content_block_start",
            Event::ContentBlockDelta { .. } => "content_block_delta",
            Event::ContentBlockStop { .. } => "content_block_stop",
            Event::MessageDelta { .. } => "message_delta",
            Event::MessageStop => "message_stop",
            Event::Ping => "ping",
            Event::Error { .. } => "error",
        }
    }

    /// Appends the event as a server-sent event.
    pub fn encode(&self, out: &mut Vec<u8>) {
        if let Event::ContentBlockDelta { index, delta } = self
            && let Some(piece) = delta.text()
        {
            return encode_piece(*index, piece, out);
        }
        sse::encode(out, self.name(), |out| {
            serde_json::to_writer(out, self).expect("a Vec takes every byte");
        });
    }
}

/// The same for a piece of a block, which nearly all of a stream are: its type, and the name of its
/// text.
fn encode_piece(index: usize, (kind, name, text): (&str, &str, &str), out: &mut Vec<u8>) {
    const BEGIN: &str = "event: content_block_delta\n\
                         data: {\"type\":\"content_block_delta\",\"index\":";
    const REST: usize = 64;
    out.reserve(BEGIN.len() + kind.len() + name.len() + text.len() + REST);
    out.extend_from_slice(BEGIN.as_bytes());
    push_number(out, index as u64);
    for part in [",\"delta\":{\"type\":\"", kind, "\",\"", name, "\":"] {
        out.extend_from_slice(part.as_bytes());
    }
    push_string(out, text);
    out.extend_from_slice(b"}}\n\n");
}

/// The message as `message_start` shows it: nothing in it yet.
#[derive(Debug, Serialize)]
pub struct MessageHead<'a> {
    pub id: &'a str,
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub role: &'static str,
    pub model: &'a str,
    pub content: [(); 0],
    pub stop_reason: Option<StopReason>,
    pub stop_sequence: Option<&'a str>,
    pub usage: Usage,
}

impl<'a> MessageHead<'a> {
    /// An assistant's message without content; `usage` is what is known before the answer.
    pub fn new(id: &'a str, model: &'a str, usage: Usage) -> MessageHead<'a> {
        MessageHead {
            id,
            kind: "message",
            role: "assistant",
            model,
            content: [],
            stop_reason: None,
            stop_sequence: None,
            usage,
        }
    }
}

/// A block as `content_block_start` shows it.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum BlockStart<'a> {
    Text {
        text: &'static str,
    },
    Thinking {
        thinking: &'static str,
        signature: &'static str,
    },
    /// Thinking without words, complete.
    RedactedThinking {
        data: &'a str,
    },
    /// `input` is empty here: Claude Code takes the arguments from `input_json_delta` only.
    ToolUse {
        id: &'a str,
        name: &'a str,
        input: NoInput,
    },
    /// A call that the provider has made itself.
    ServerToolUse {
        id: &'a str,
        name: &'static str,
        input: NoInput,
    },
    /// What its search has found, complete.
    WebSearchToolResult {
        tool_use_id: &'a str,
        content: &'a RawValue,
    },
}

impl BlockStart<'_> {
    pub const TEXT: BlockStart<'static> = BlockStart::Text { text: "" };
    pub const THINKING: BlockStart<'static> = BlockStart::Thinking { thinking: "", signature: "" };
}

/// `{}`
#[derive(Debug, Clone, Copy, Serialize)]
pub struct NoInput {}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Delta<'a> {
    TextDelta { text: &'a str },
    ThinkingDelta { thinking: &'a str },
    SignatureDelta { signature: &'a str },
    InputJsonDelta { partial_json: &'a str },
    CitationsDelta { citation: &'a Citation },
}

impl<'a> Delta<'a> {
    /// Its type, and its text with the name of that, if that is all of it.
    fn text(&self) -> Option<(&'static str, &'static str, &'a str)> {
        match *self {
            Delta::TextDelta { text } => Some(("text_delta", "text", text)),
            Delta::ThinkingDelta { thinking } => Some(("thinking_delta", "thinking", thinking)),
            Delta::SignatureDelta { signature } => {
                Some(("signature_delta", "signature", signature))
            }
            Delta::InputJsonDelta { partial_json } => {
                Some(("input_json_delta", "partial_json", partial_json))
            }
            Delta::CitationsDelta { .. } => None,
        }
    }
}

#[derive(Debug, Clone, Copy, Serialize)]
pub struct MessageDelta<'a> {
    pub stop_reason: StopReason,
    pub stop_sequence: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub safeguard_results: &'a [SafeguardResult],
}

/// The answer to one of a request's `safeguards`, which are judgements that only Anthropic's own
/// server makes: that there is none here, so that Claude Code asks its user as it does without
/// them.
///
/// Without an answer it takes its user out of the conversation to tell that the check is missing.
/// The form is what Claude Code 2.1.330 reads; the API's reference does not have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SafeguardResult {
    /// The safeguard's own type, as `dangerous_tool_use`.
    #[serde(rename = "type")]
    pub kind: String,
    status: SafeguardStatus,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum SafeguardStatus {
    Unavailable { reason: &'static str },
}

impl SafeguardResult {
    /// That nobody judges.
    pub fn disabled(kind: String) -> SafeguardResult {
        SafeguardResult { kind, status: SafeguardStatus::Unavailable { reason: "disabled" } }
    }
}

labels! {
    /// Why the message ended.
    pub enum StopReason {
        EndTurn = "end_turn",
        MaxTokens = "max_tokens",
        StopSequence = "stop_sequence",
        ToolUse = "tool_use",
        Refusal = "refusal",
        /// The answer was cut where the model's window ends.
        ModelContextWindowExceeded = "model_context_window_exceeded",
    }
}

impl Serialize for StopReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Tokens of a message; the input is split into what was read from a cache and what was not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    pub input_tokens: u64,
    pub cache_creation_input_tokens: u64,
    pub cache_read_input_tokens: u64,
    pub output_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_tool_use: Option<ServerToolUse>,
}

/// What the provider has done itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ServerToolUse {
    pub web_search_requests: u64,
}

/// A page that a search has found.
///
/// <https://platform.claude.com/docs/en/agents-and-tools/tool-use/web-search-tool>
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "web_search_result")]
pub struct WebSearchResult<'a> {
    pub url: &'a str,
    pub title: &'a str,
    /// What only Anthropic's own search makes: [`FOREIGN_SEARCH`].
    pub encrypted_content: &'static str,
    pub page_age: Option<&'a str>,
}

/// What stands where Anthropic's own search has what only it can read, by which ccproxy knows what
/// another service has found.
pub const FOREIGN_SEARCH: &str = "ccproxy";

/// A page that a text refers to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename = "web_search_result_location")]
pub struct Citation {
    pub url: String,
    pub title: String,
    /// What stands there, if the service tells.
    pub cited_text: String,
    /// [`FOREIGN_SEARCH`].
    pub encrypted_index: &'static str,
}

/// That there was no search.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "web_search_tool_result_error")]
pub struct WebSearchError {
    pub error_code: &'static str,
}

impl Usage {
    /// The input, with what was read from a cache and what was written to one.
    pub fn all_input(&self) -> u64 {
        let cached = self.cache_read_input_tokens.saturating_add(self.cache_creation_input_tokens);
        self.input_tokens.saturating_add(cached)
    }

    /// What part of the input was read from a cache, from 0 to 1, if there was any input.
    pub fn cache_rate(&self) -> Option<f64> {
        let all = self.all_input();
        (all > 0).then(|| self.cache_read_input_tokens as f64 / all as f64)
    }
}

/// A whole message, the answer to a request without `stream`.
#[derive(Debug, Serialize)]
pub struct Message {
    pub id: String,
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub role: &'static str,
    pub model: String,
    pub content: Vec<ContentBlock>,
    pub stop_reason: StopReason,
    pub stop_sequence: Option<String>,
    pub usage: Usage,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub safeguard_results: Vec<SafeguardResult>,
}

/// A block of a whole message.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ContentBlock {
    Text {
        text: String,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        citations: Vec<Citation>,
    },
    Thinking {
        thinking: String,
        signature: String,
    },
    RedactedThinking {
        data: String,
    },
    ToolUse {
        id: String,
        name: String,
        input: Box<RawValue>,
    },
    ServerToolUse {
        id: String,
        name: &'static str,
        input: Box<RawValue>,
    },
    WebSearchToolResult {
        tool_use_id: String,
        content: Box<RawValue>,
    },
}

/// The answer to `count_tokens`.
#[derive(Debug, Serialize)]
pub struct CountTokens {
    pub input_tokens: u64,
}

/// A page of `GET /v1/models`; ccproxy has one page.
#[derive(Debug, Serialize)]
pub struct ModelList<'a> {
    pub data: &'a [Model],
    pub has_more: bool,
    pub first_id: Option<&'a str>,
    pub last_id: Option<&'a str>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Model {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub id: String,
    pub display_name: String,
    /// RFC 3339. The API's word for a release date that is not known is an epoch value.
    pub created_at: &'static str,
    /// The window, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_input_tokens: Option<u64>,
    /// The most tokens of an answer, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_of_a_block_is_written_as_its_type_says() {
        let text = "a \"piece\"\n\u{1} é 😀";
        for index in [0, 9, 10, 1234, usize::MAX] {
            for delta in [
                Delta::TextDelta { text },
                Delta::ThinkingDelta { thinking: text },
                Delta::SignatureDelta { signature: text },
                Delta::InputJsonDelta { partial_json: text },
            ] {
                let event = Event::ContentBlockDelta { index, delta };
                let (mut out, mut whole) = (Vec::new(), Vec::new());
                event.encode(&mut out);
                sse::encode(&mut whole, event.name(), |out| {
                    serde_json::to_writer(out, &event).unwrap();
                });
                assert_eq!(String::from_utf8(out), String::from_utf8(whole), "{event:?}");
            }
        }
    }
}
