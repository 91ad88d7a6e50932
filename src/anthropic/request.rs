//! The request: what clients send to `/v1/messages` and `/v1/messages/count_tokens`.
//!
//! Text is borrowed from the body, schemas and tool inputs pass through unparsed. Unknown fields
//! are ignored, since new clients send new ones; a known field of the wrong type is an error that
//! names its place.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::place::path_at;
use crate::error::Error;

/// Reads a request.
///
/// # Errors
/// [`Error::Request`] with the place of the fault, as in `messages.0.content.1.text: …`.
pub fn parse(body: &[u8]) -> Result<MessagesRequest<'_>, Error> {
    let request: MessagesRequest = serde_json::from_slice(body).map_err(|e| fault(body, &e))?;
    if request.messages.is_empty() {
        return Err(Error::request("messages", "at least one message is required"));
    }
    Ok(request)
}

/// Words a serde_json error the way the Messages API words its own.
fn fault(body: &[u8], error: &serde_json::Error) -> Error {
    let text = error.to_string();
    let reason = text.rsplit_once(" at line ").map_or(text.as_str(), |(reason, _)| reason);
    if !error.is_data() {
        return Error::request(
            "",
            format!(
                "the body is not valid JSON: {reason} at line {}, column {}",
                error.line(),
                error.column()
            ),
        );
    }
    let before: usize =
        body.split_inclusive(|b| *b == b'\n').take(error.line() - 1).map(<[u8]>::len).sum();
    let mut offset = before + error.column();
    // A fault in the last item of an array is told when the array has been left.
    if offset > 0 && body.get(offset - 1) == Some(&b']') {
        offset -= 1;
    }
    let mut at = path_at(body, offset);
    let missing = reason.strip_prefix("missing field `").and_then(|field| field.strip_suffix('`'));
    match missing {
        Some(field) => {
            if !at.is_empty() {
                at.push('.');
            }
            at.push_str(field);
            Error::request(at, "field required")
        }
        None => Error::request(at, reason),
    }
}

/// The body of a request, as far as ccproxy uses it.
#[derive(Debug, Deserialize)]
pub struct MessagesRequest<'a> {
    #[serde(borrow)]
    pub model: Cow<'a, str>,
    pub messages: Vec<InputMessage<'a>>,
    /// Absent in `count_tokens`.
    pub max_tokens: Option<u64>,
    pub system: Option<Content<'a>>,
    #[serde(default)]
    pub stream: Option<bool>,
    #[serde(borrow, default)]
    pub tools: Option<Vec<Tool<'a>>>,
    pub tool_choice: Option<ToolChoice<'a>>,
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
    pub top_k: Option<u64>,
    pub stop_sequences: Option<Vec<Cow<'a, str>>>,
    pub thinking: Option<Thinking<'a>>,
    pub output_config: Option<OutputConfig<'a>>,
    /// The name `output_config.format` had in the beta.
    pub output_format: Option<OutputFormat<'a>>,
    /// Present when the client wants the server to hold the conversation.
    #[serde(borrow)]
    pub thread: Option<&'a RawValue>,
}

impl<'a> MessagesRequest<'a> {
    /// The schema the answer has to follow, under either of its names.
    pub fn format(&self) -> Option<&OutputFormat<'a>> {
        let format = self.output_config.as_ref().and_then(|config| config.format.as_ref());
        format.or(self.output_format.as_ref())
    }
}

#[derive(Debug, Deserialize)]
pub struct InputMessage<'a> {
    pub role: Role,
    #[serde(borrow)]
    pub content: Content<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    User,
    Assistant,
    /// Claude Code puts these anywhere between the others.
    System,
}

/// `content`, `system` and the content of a tool result: a string or an array of blocks.
#[derive(Debug, Default)]
pub struct Content<'a>(pub Vec<Block<'a>>);

/// A content block.
#[derive(Debug, Deserialize)]
#[serde(try_from = "WireBlock<'_>")]
#[serde(bound(deserialize = "'de: 'a"))]
pub enum Block<'a> {
    Text(Cow<'a, str>),
    Image(ImageSource<'a>),
    Document {
        title: Option<Cow<'a, str>>,
        context: Option<Cow<'a, str>>,
        source: DocumentSource<'a>,
    },
    ToolUse {
        id: Cow<'a, str>,
        name: Cow<'a, str>,
        input: Option<&'a RawValue>,
    },
    ToolResult {
        tool_use_id: Cow<'a, str>,
        content: Content<'a>,
        is_error: bool,
    },
    /// Names a tool that the client has loaded.
    ToolReference {
        tool_name: Cow<'a, str>,
    },
    Thinking {
        thinking: Cow<'a, str>,
        /// Empty if there is none, as is `data`.
        signature: Cow<'a, str>,
    },
    RedactedThinking {
        data: Cow<'a, str>,
    },
    /// A kind that chat completions have no word for, with the text that could be found in it.
    Other {
        kind: Cow<'a, str>,
        content: Content<'a>,
    },
}

/// Where an image comes from.
#[derive(Debug, PartialEq, Eq)]
pub enum ImageSource<'a> {
    Base64 { media_type: Cow<'a, str>, data: Cow<'a, str> },
    Url(Cow<'a, str>),
}

/// Where a document comes from.
#[derive(Debug)]
pub enum DocumentSource<'a> {
    Base64 { media_type: Cow<'a, str>, data: Cow<'a, str> },
    Text(Cow<'a, str>),
    Content(Content<'a>),
    Url(Cow<'a, str>),
}

/// All fields that any block has, before its `type` says which of them count.
#[derive(Deserialize)]
struct WireBlock<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    text: Option<Cow<'a, str>>,
    #[serde(borrow)]
    source: Option<&'a RawValue>,
    #[serde(borrow)]
    title: Option<Cow<'a, str>>,
    #[serde(borrow)]
    context: Option<Cow<'a, str>>,
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_use_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    content: Option<WireContent<'a>>,
    is_error: Option<bool>,
    #[serde(borrow)]
    tool_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    thinking: Option<Cow<'a, str>>,
    #[serde(borrow)]
    signature: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct WireSource<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    media_type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data: Option<Cow<'a, str>>,
    #[serde(borrow)]
    url: Option<Cow<'a, str>>,
    #[serde(borrow)]
    content: Option<Content<'a>>,
}

/// `content` of a block: blocks, or the object that results of server tools carry.
enum WireContent<'a> {
    Blocks(Content<'a>),
    Object,
}

impl<'a> TryFrom<WireBlock<'a>> for Block<'a> {
    type Error = String;

    fn try_from(wire: WireBlock<'a>) -> Result<Block<'a>, String> {
        let content = match wire.content {
            Some(WireContent::Blocks(content)) => content,
            Some(WireContent::Object) | None => Content::default(),
        };
        Ok(match &*wire.kind {
            "text" => Block::Text(required(wire.text, "text")?),
            "image" => Block::Image(source(wire.source)?.try_into()?),
            "document" => Block::Document {
                title: wire.title,
                context: wire.context,
                source: source(wire.source)?.try_into()?,
            },
            "tool_use" => Block::ToolUse {
                id: required(wire.id, "id")?,
                name: required(wire.name, "name")?,
                input: wire.input,
            },
            "tool_result" => Block::ToolResult {
                tool_use_id: required(wire.tool_use_id, "tool_use_id")?,
                content,
                is_error: wire.is_error.unwrap_or(false),
            },
            "tool_reference" => {
                Block::ToolReference { tool_name: required(wire.tool_name, "tool_name")? }
            }
            "thinking" => Block::Thinking {
                thinking: required(wire.thinking, "thinking")?,
                signature: wire.signature.unwrap_or_default(),
            },
            "redacted_thinking" => Block::RedactedThinking { data: wire.data.unwrap_or_default() },
            _ => Block::Other { kind: wire.kind, content },
        })
    }
}

impl<'a> TryFrom<WireSource<'a>> for ImageSource<'a> {
    type Error = String;

    fn try_from(wire: WireSource<'a>) -> Result<ImageSource<'a>, String> {
        match &*wire.kind {
            "base64" => Ok(ImageSource::Base64 {
                media_type: required(wire.media_type, "source.media_type")?,
                data: required(wire.data, "source.data")?,
            }),
            "url" => Ok(ImageSource::Url(required(wire.url, "source.url")?)),
            other => {
                Err(format!("image source {other:?} is not supported; use \"base64\" or \"url\""))
            }
        }
    }
}

impl<'a> TryFrom<WireSource<'a>> for DocumentSource<'a> {
    type Error = String;

    fn try_from(wire: WireSource<'a>) -> Result<DocumentSource<'a>, String> {
        match &*wire.kind {
            "base64" => Ok(DocumentSource::Base64 {
                media_type: required(wire.media_type, "source.media_type")?,
                data: required(wire.data, "source.data")?,
            }),
            "text" => Ok(DocumentSource::Text(required(wire.data, "source.data")?)),
            "content" => Ok(DocumentSource::Content(wire.content.unwrap_or_default())),
            "url" => Ok(DocumentSource::Url(required(wire.url, "source.url")?)),
            other => Err(format!(
                "document source {other:?} is not supported; use \"base64\", \"text\", \"content\" or \"url\""
            )),
        }
    }
}

/// Parsed only where a block has one of its own: a search result's `source` is a string.
fn source<'a>(raw: Option<&'a RawValue>) -> Result<WireSource<'a>, String> {
    serde_json::from_str(raw.ok_or("source: field required")?.get())
        .map_err(|e| format!("source: {e}"))
}

fn required<'a>(field: Option<Cow<'a, str>>, name: &str) -> Result<Cow<'a, str>, String> {
    field.ok_or_else(|| format!("{name}: field required"))
}

/// A tool definition. Server tools have no `input_schema`.
#[derive(Debug, Deserialize)]
pub struct Tool<'a> {
    /// Of a server tool, such as `web_search_20250305`; tools of the client may leave it out.
    #[serde(rename = "type", borrow, default)]
    pub kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub description: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub input_schema: Option<&'a RawValue>,
    #[serde(default)]
    pub defer_loading: Option<bool>,
}

#[derive(Debug, Deserialize)]
pub struct ToolChoice<'a> {
    #[serde(rename = "type")]
    pub kind: ToolChoiceKind,
    #[serde(borrow)]
    pub name: Option<Cow<'a, str>>,
    #[serde(default)]
    pub disable_parallel_tool_use: Option<bool>,
}

impl ToolChoice<'_> {
    /// Whether the model has to call a tool.
    pub fn forces(&self) -> bool {
        matches!(self.kind, ToolChoiceKind::Any | ToolChoiceKind::Tool)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ToolChoiceKind {
    Auto,
    Any,
    Tool,
    None,
}

#[derive(Debug, Deserialize)]
pub struct Thinking<'a> {
    /// `adaptive`, `enabled` or `disabled`.
    #[serde(rename = "type", borrow)]
    pub kind: Cow<'a, str>,
    pub budget_tokens: Option<u64>,
}

#[derive(Debug, Deserialize)]
pub struct OutputConfig<'a> {
    #[serde(borrow)]
    pub effort: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub format: Option<OutputFormat<'a>>,
}

#[derive(Debug, Deserialize)]
pub struct OutputFormat<'a> {
    #[serde(borrow)]
    pub schema: Option<&'a RawValue>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Content<'a>, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

/// Accepts both forms; `#[serde(untagged)]` could only say "data did not match any variant".
struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content<'de>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a string or an array of content blocks")
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Content<'de>, E> {
        Ok(Content(vec![Block::Text(Cow::Borrowed(text))]))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Content<'de>, E> {
        Ok(Content(vec![Block::Text(Cow::Owned(text.to_owned()))]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Content<'de>, A::Error> {
        let mut blocks = Vec::new();
        while let Some(block) = seq.next_element()? {
            blocks.push(block);
        }
        Ok(Content(blocks))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for WireContent<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<WireContent<'a>, D::Error> {
        struct AnyContent;
        impl<'de> Visitor<'de> for AnyContent {
            type Value = WireContent<'de>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                ContentVisitor.expecting(f)
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                ContentVisitor.visit_borrowed_str(text).map(WireContent::Blocks)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                ContentVisitor.visit_str(text).map(WireContent::Blocks)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
                ContentVisitor.visit_seq(seq).map(WireContent::Blocks)
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                while map.next_entry::<de::IgnoredAny, de::IgnoredAny>()?.is_some() {}
                Ok(WireContent::Object)
            }
        }
        deserializer.deserialize_any(AnyContent)
    }
}
