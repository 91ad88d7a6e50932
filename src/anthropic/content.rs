//! What messages, the system prompt and tool results are made of: content blocks.
//!
//! Texts are borrowed from the body, tool inputs pass through unparsed.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::fault::shown;
use super::field::text;
use super::plain::Plain;
use crate::json;

/// `content`, `system` and what blocks hold: a string or an array of blocks.
#[derive(Debug, Default)]
pub struct Content<'a>(pub Vec<Block<'a>>);

/// A content block. Only those of the smallest kinds stand in it as they are: a message may have
/// very many.
#[derive(Debug)]
pub enum Block<'a> {
    Text(Cow<'a, str>),
    Image(Box<ImageSource<'a>>),
    Document(Box<Document<'a>>),
    ToolUse(Box<ToolUse<'a>>),
    ToolResult(Box<ToolResult<'a>>),
    /// Names a tool that the client has loaded.
    ToolReference {
        tool_name: Cow<'a, str>,
    },
    Thinking(Box<Thought<'a>>),
    RedactedThinking {
        /// Empty if there is none.
        data: Cow<'a, str>,
    },
    /// The `cache_control` of the block of a message that stands before it: the prompt is to be
    /// cached up to here.
    CacheControl,
    /// A kind that chat completions have no word for, and that says nothing in text.
    Unknown {
        kind: Cow<'a, str>,
    },
    /// Such a kind with the text that could be found in it.
    Other(Box<Other<'a>>),
}

#[derive(Debug)]
pub struct Other<'a> {
    pub kind: Cow<'a, str>,
    pub content: Content<'a>,
}

#[derive(Debug)]
pub struct Document<'a> {
    pub title: Option<Cow<'a, str>>,
    pub context: Option<Cow<'a, str>>,
    /// Whether the answer is to cite it.
    pub citations: bool,
    pub source: DocumentSource<'a>,
}

#[derive(Debug)]
pub struct ToolUse<'a> {
    pub id: Cow<'a, str>,
    pub name: Cow<'a, str>,
    pub input: Option<&'a RawValue>,
}

#[derive(Debug)]
pub struct ToolResult<'a> {
    pub tool_use_id: Cow<'a, str>,
    pub content: Content<'a>,
    pub is_error: bool,
}

#[derive(Debug)]
pub struct Thought<'a> {
    pub thinking: Cow<'a, str>,
    /// Empty if there is none.
    pub signature: Cow<'a, str>,
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

/// Where blocks stand, which says how deep they go on: the API lets a message hold results, a
/// result search results and documents, and those text and pictures.
trait Level {
    /// Where the blocks stand that a block of this level holds.
    type Inside: Level;
    /// Whether blocks may stand here at all.
    const HOLDS: bool = true;
    /// Whether an object may stand for the blocks, as in the results of server tools.
    const TAKES_OBJECTS: bool = true;
    /// Whether the ends of what is to be cached are kept.
    const MARKS: bool = false;
}

struct InMessage;
struct InBlock;
struct InInner;
struct TooDeep;

impl Level for InMessage {
    type Inside = InBlock;
    const TAKES_OBJECTS: bool = false;
    const MARKS: bool = true;
}

impl Level for InBlock {
    type Inside = InInner;
}

impl Level for InInner {
    type Inside = TooDeep;
}

impl Level for TooDeep {
    type Inside = TooDeep;
    const HOLDS: bool = false;
}

/// The content of something that stands at the level `L`.
struct Blocks<'a, L>(Content<'a>, PhantomData<L>);

/// All fields that any block has, before its `type` says which of them count.
#[derive(Deserialize)]
#[serde(expecting = "a content block", bound(deserialize = "'de: 'a, L: Level"))]
struct WireBlock<'a, L: Level> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(default, deserialize_with = "text")]
    text: Option<Cow<'a, str>>,
    #[serde(default)]
    source: Option<WireSource<'a, L::Inside>>,
    #[serde(default, deserialize_with = "text")]
    title: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "text")]
    context: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "text")]
    id: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "text")]
    name: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "json::flat")]
    input: Option<&'a RawValue>,
    #[serde(default, deserialize_with = "text")]
    tool_use_id: Option<Cow<'a, str>>,
    #[serde(default)]
    content: Option<Blocks<'a, L::Inside>>,
    is_error: Option<bool>,
    #[serde(default, deserialize_with = "text")]
    tool_name: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "text")]
    thinking: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "text")]
    signature: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "text")]
    data: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "text")]
    url: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "text")]
    page_age: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "enabled")]
    citations: bool,
    #[serde(default)]
    cache_control: Option<IgnoredAny>,
}

/// `source` of an image or a document; that of a search result is a string, and not looked at.
enum WireSource<'a, L: Level> {
    Text,
    Fields(SourceFields<'a, L>),
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'a, L: Level"))]
struct SourceFields<'a, L: Level> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(default, deserialize_with = "text")]
    media_type: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "text")]
    data: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "text")]
    url: Option<Cow<'a, str>>,
    #[serde(default)]
    content: Option<Blocks<'a, L>>,
}

impl<'a, L: Level> TryFrom<WireBlock<'a, L>> for Block<'a> {
    type Error = String;

    fn try_from(wire: WireBlock<'a, L>) -> Result<Block<'a>, String> {
        let content = wire.content.map(|blocks| blocks.0).unwrap_or_default();
        Ok(match &*wire.kind {
            "text" => Block::Text(required(wire.text, "text")?),
            "image" => Block::Image(Box::new(fields(wire.source)?.try_into()?)),
            "document" => Block::Document(Box::new(Document {
                title: wire.title,
                context: wire.context,
                citations: wire.citations,
                source: fields(wire.source)?.try_into()?,
            })),
            "tool_use" => Block::ToolUse(Box::new(ToolUse {
                id: required(wire.id, "id")?,
                name: required(wire.name, "name")?,
                input: wire.input,
            })),
            "tool_result" => Block::ToolResult(Box::new(ToolResult {
                tool_use_id: required(wire.tool_use_id, "tool_use_id")?,
                content,
                is_error: wire.is_error.unwrap_or(false),
            })),
            "tool_reference" => {
                Block::ToolReference { tool_name: required(wire.tool_name, "tool_name")? }
            }
            "thinking" => Block::Thinking(Box::new(Thought {
                thinking: required(wire.thinking, "thinking")?,
                signature: wire.signature.unwrap_or_default(),
            })),
            "redacted_thinking" => Block::RedactedThinking { data: wire.data.unwrap_or_default() },
            // What the provider's own tools were asked, and found.
            "server_tool_use" | "mcp_tool_use" if wire.name.is_some() => {
                let input = wire.input.map_or("{}", |input| input.get());
                let name = wire.name.as_deref().unwrap_or_default();
                said(wire.kind, format!("[call of {name}: {input}]"))
            }
            _ if content.0.is_empty() => {
                let mut found = Plain::new(&wire.kind);
                for (key, text) in
                    [("title", &wire.title), ("url", &wire.url), ("page_age", &wire.page_age)]
                {
                    found.text(key, text.as_deref().unwrap_or_default());
                }
                match found.finish() {
                    Some(text) => said(wire.kind, text),
                    None => Block::Unknown { kind: wire.kind },
                }
            }
            _ => Block::Other(Box::new(Other { kind: wire.kind, content })),
        })
    }
}

impl<'a, L: Level> TryFrom<SourceFields<'a, L>> for ImageSource<'a> {
    type Error = String;

    fn try_from(wire: SourceFields<'a, L>) -> Result<ImageSource<'a>, String> {
        match &*wire.kind {
            "base64" => Ok(ImageSource::Base64 {
                media_type: required(wire.media_type, "source.media_type")?,
                data: required(wire.data, "source.data")?,
            }),
            "url" => Ok(ImageSource::Url(required(wire.url, "source.url")?)),
            other => Err(unsupported("image", other, "use \"base64\" or \"url\"")),
        }
    }
}

impl<'a, L: Level> TryFrom<SourceFields<'a, L>> for DocumentSource<'a> {
    type Error = String;

    fn try_from(wire: SourceFields<'a, L>) -> Result<DocumentSource<'a>, String> {
        match &*wire.kind {
            "base64" => Ok(DocumentSource::Base64 {
                media_type: required(wire.media_type, "source.media_type")?,
                data: required(wire.data, "source.data")?,
            }),
            "text" => Ok(DocumentSource::Text(required(wire.data, "source.data")?)),
            "content" => {
                Ok(DocumentSource::Content(wire.content.map(|blocks| blocks.0).unwrap_or_default()))
            }
            "url" => Ok(DocumentSource::Url(required(wire.url, "source.url")?)),
            other => Err(unsupported(
                "document",
                other,
                "use \"base64\", \"text\", \"content\" or \"url\"",
            )),
        }
    }
}

fn unsupported(what: &str, kind: &str, accepted: &str) -> String {
    match shown(kind) {
        Some(kind) => format!("{what} source {kind:?} is not supported; {accepted}"),
        None => format!("this {what} source is not supported; {accepted}"),
    }
}

fn fields<'a, L: Level>(
    source: Option<WireSource<'a, L>>,
) -> Result<SourceFields<'a, L>, &'static str> {
    match source {
        Some(WireSource::Fields(fields)) => Ok(fields),
        Some(WireSource::Text) => Err("source: a string, expected an object"),
        None => Err("source: field required"),
    }
}

fn required<'a>(field: Option<Cow<'a, str>>, name: &str) -> Result<Cow<'a, str>, String> {
    field.ok_or_else(|| format!("{name}: field required"))
}

/// A block that says `text`.
fn said<'a>(kind: Cow<'a, str>, text: String) -> Block<'a> {
    let content = Content(vec![Block::Text(Cow::Owned(text))]);
    Block::Other(Box::new(Other { kind, content }))
}

/// Whether an object is there that has `enabled`; something else says no.
fn enabled<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    #[derive(Deserialize)]
    struct Switch {
        #[serde(default)]
        enabled: bool,
    }
    let raw = Option::<&RawValue>::deserialize(deserializer)?;
    let switch = raw.and_then(|raw| serde_json::from_str::<Switch>(raw.get()).ok());
    Ok(switch.is_some_and(|switch| switch.enabled))
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Content<'a>, D::Error> {
        Blocks::<InMessage>::deserialize(deserializer).map(|blocks| blocks.0)
    }
}

impl<'de: 'a, 'a, L: Level> Deserialize<'de> for Blocks<'a, L> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Blocks<'a, L>, D::Error> {
        deserializer.deserialize_any(BlocksVisitor(PhantomData))
    }
}

/// Accepts both forms; `#[serde(untagged)]` could only say "data did not match any variant".
struct BlocksVisitor<L>(PhantomData<L>);

impl<'de, L: Level> Visitor<'de> for BlocksVisitor<L> {
    type Value = Blocks<'de, L>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a string or an array of content blocks")
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Blocks(Content(vec![Block::Text(Cow::Borrowed(text))]), PhantomData))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Blocks(Content(vec![Block::Text(Cow::Owned(text.to_owned()))]), PhantomData))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        if !L::HOLDS {
            return Err(de::Error::custom("content blocks do not nest deeper than three levels"));
        }
        let mut blocks = Vec::new();
        while let Some(block) = seq.next_element::<WireBlock<L>>()? {
            let is_marked = L::MARKS && block.cache_control.is_some();
            blocks.push(Block::try_from(block).map_err(de::Error::custom)?);
            blocks.extend(is_marked.then_some(Block::CacheControl));
        }
        Ok(Blocks(Content(blocks), PhantomData))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        if !L::TAKES_OBJECTS {
            return Err(de::Error::invalid_type(de::Unexpected::Map, &self));
        }
        let mut found = Plain::default();
        while let Some((key, raw)) = map.next_entry::<Cow<str>, &RawValue>()? {
            if let Some(value) = json::tree(raw.get()) {
                found.value(&key, &value);
            }
        }
        let blocks = found.finish().map(|text| Block::Text(Cow::Owned(text)));
        Ok(Blocks(Content(blocks.into_iter().collect()), PhantomData))
    }
}

impl<'de: 'a, 'a, L: Level> Deserialize<'de> for WireSource<'a, L> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<WireSource<'a, L>, D::Error> {
        struct Source<L>(PhantomData<L>);
        impl<'de, L: Level> Visitor<'de> for Source<L> {
            type Value = WireSource<'de, L>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_str<E: de::Error>(self, _: &str) -> Result<Self::Value, E> {
                Ok(WireSource::Text)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                SourceFields::deserialize(MapAccessDeserializer::new(map)).map(WireSource::Fields)
            }
        }
        deserializer.deserialize_any(Source(PhantomData))
    }
}
