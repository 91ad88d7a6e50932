//! What messages, the system prompt and tool results are made of: content blocks.
//!
//! Texts stay as they stand in the body, tool inputs pass through unparsed.

use std::borrow::Cow;

use serde::Deserialize;

use super::event::FOREIGN_SEARCH;
use super::fault::shown;
use super::plain::Plain;
use crate::json::{self, Escaped, Fault, Raw, Read, Reader};

/// `content`, `system` and what blocks hold: a string or an array of blocks.
#[derive(Debug, Default)]
pub struct Content<'a>(pub Vec<Block<'a>>);

/// A content block. Only those of the smallest kinds stand in it as they are: a message may have
/// very many.
#[derive(Debug)]
pub enum Block<'a> {
    Text(Escaped<'a>),
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
    pub title: Option<Escaped<'a>>,
    pub context: Option<Escaped<'a>>,
    /// Whether the answer is to cite it.
    pub citations: bool,
    pub source: DocumentSource<'a>,
}

#[derive(Debug)]
pub struct ToolUse<'a> {
    pub id: Cow<'a, str>,
    pub name: Cow<'a, str>,
    pub input: Option<Raw<'a>>,
}

#[derive(Debug)]
pub struct ToolResult<'a> {
    pub tool_use_id: Cow<'a, str>,
    pub content: Content<'a>,
    pub is_error: bool,
}

#[derive(Debug)]
pub struct Thought<'a> {
    pub thinking: Escaped<'a>,
    /// Empty if there is none.
    pub signature: Cow<'a, str>,
}

/// Where an image comes from.
#[derive(Debug, PartialEq, Eq)]
pub enum ImageSource<'a> {
    Base64 { media_type: Escaped<'a>, data: Escaped<'a> },
    Url(Escaped<'a>),
}

/// Where a document comes from.
#[derive(Debug)]
pub enum DocumentSource<'a> {
    Base64 { media_type: Escaped<'a>, data: Escaped<'a> },
    Text(Escaped<'a>),
    Content(Content<'a>),
    Url(Escaped<'a>),
}

/// Where blocks stand, which says how deep they go on: the API lets a message hold results, a
/// result search results and documents, and those text and pictures.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Message,
    Block,
    Inner,
    TooDeep,
}

impl Level {
    /// Where the blocks stand that a block of this level holds.
    fn inside(self) -> Level {
        match self {
            Level::Message => Level::Block,
            Level::Block => Level::Inner,
            Level::Inner | Level::TooDeep => Level::TooDeep,
        }
    }
}

/// All fields that any block has, before its `type` says which of them count.
#[derive(Default)]
struct WireBlock<'a> {
    kind: Option<Cow<'a, str>>,
    text: Option<Escaped<'a>>,
    source: Option<WireSource<'a>>,
    title: Option<Escaped<'a>>,
    context: Option<Escaped<'a>>,
    id: Option<Cow<'a, str>>,
    name: Option<Cow<'a, str>>,
    input: Option<Raw<'a>>,
    tool_use_id: Option<Cow<'a, str>>,
    content: Option<Content<'a>>,
    is_error: Option<bool>,
    tool_name: Option<Cow<'a, str>>,
    thinking: Option<Escaped<'a>>,
    signature: Option<Cow<'a, str>>,
    data: Option<Cow<'a, str>>,
    url: Option<Escaped<'a>>,
    page_age: Option<Escaped<'a>>,
    citations: bool,
    is_marked: bool,
}

/// Where a prompt is to be cached up to.
pub(super) const CACHE_CONTROL: &str = "cache_control";

const BLOCK_FIELDS: &[&str] = &[
    "type",
    "text",
    "source",
    "title",
    "context",
    "id",
    "name",
    "input",
    "tool_use_id",
    "content",
    "is_error",
    "tool_name",
    "thinking",
    "signature",
    "data",
    "url",
    "page_age",
    "citations",
    "encrypted_content",
    CACHE_CONTROL,
];

/// `source` of an image or a document; that of a search result is a string, and not looked at.
enum WireSource<'a> {
    Text,
    Fields(Box<SourceFields<'a>>),
}

#[derive(Default)]
struct SourceFields<'a> {
    kind: Cow<'a, str>,
    media_type: Option<Escaped<'a>>,
    data: Option<Escaped<'a>>,
    url: Option<Escaped<'a>>,
    content: Option<Content<'a>>,
}

const SOURCE_FIELDS: &[&str] = &["type", "media_type", "data", "url", "content"];

impl<'a> Content<'a> {
    /// Reads the content of a message.
    pub(super) fn read(reader: &mut Reader<'a>) -> Read<Content<'a>> {
        blocks(reader, Level::Message)
    }
}

/// Reads a string or an array of blocks.
fn blocks<'a>(reader: &mut Reader<'a>, level: Level) -> Read<Content<'a>> {
    const WANTED: &str = "a string or an array of content blocks";
    if reader.is_string() {
        return Ok(Content(vec![Block::Text(reader.text()?)]));
    }
    // An object may stand for the blocks in the results of server tools.
    if reader.is_object() && level > Level::Message {
        let mut found = Plain::default();
        reader.entries(WANTED, &mut |reader, key| {
            if let Some(value) = json::tree(reader.raw()?.get()) {
                found.value(key, &value);
            }
            Ok(())
        })?;
        let text = found.finish().map(|text| Block::Text(Escaped::new(&text)));
        return Ok(Content(text.into_iter().collect()));
    }
    if reader.is_list() && level == Level::TooDeep {
        let reason = "content blocks do not nest deeper than three levels".to_owned();
        return Err(Fault::Value { at: reader.place(), reason });
    }
    // Most have one.
    let mut blocks = Vec::with_capacity(1);
    reader.list(WANTED, usize::MAX, &mut |reader| {
        let (block, is_marked) = block(reader, level)?;
        blocks.push(block);
        // The ends of what is to be cached.
        blocks.extend((is_marked && level == Level::Message).then_some(Block::CacheControl));
        Ok(())
    })?;
    Ok(Content(blocks))
}

fn some_blocks<'a>(reader: &mut Reader<'a>, level: Level) -> Read<Option<Content<'a>>> {
    if reader.is_null() {
        return reader.raw().map(|_| None);
    }
    blocks(reader, level.inside()).map(Some)
}

#[inline(never)]
fn block<'a>(reader: &mut Reader<'a>, level: Level) -> Read<(Block<'a>, bool)> {
    let at = reader.place();
    let mut wire = WireBlock::default();
    reader.fields("a content block", BLOCK_FIELDS, &mut |reader, field| {
        match field {
            "type" => wire.kind = Some(reader.words()?),
            "text" => wire.text = reader.some_text()?,
            "source" => wire.source = source(reader, level.inside())?,
            "title" => wire.title = reader.some_text()?,
            "context" => wire.context = reader.some_text()?,
            "id" => wire.id = reader.some_words()?,
            "name" => wire.name = reader.some_words()?,
            "input" => wire.input = reader.some_flat(json::MAX_DEPTH)?,
            "tool_use_id" => wire.tool_use_id = reader.some_words()?,
            "content" => wire.content = some_blocks(reader, level)?,
            "is_error" => wire.is_error = reader.small()?,
            "tool_name" => wire.tool_name = reader.some_words()?,
            "thinking" => wire.thinking = reader.some_text()?,
            "signature" => wire.signature = reader.some_words()?,
            "data" => wire.data = reader.some_words()?,
            "url" => wire.url = reader.some_text()?,
            "page_age" => wire.page_age = reader.some_text()?,
            "citations" => wire.citations = is_enabled(reader)?,
            "encrypted_content" => drop(noted(reader)?),
            _ => wire.is_marked = reader.marked()?,
        }
        Ok(())
    })?;
    let Some(kind) = wire.kind.take() else { return Err(Fault::Missing { at, field: "type" }) };
    let is_marked = wire.is_marked;
    let block = wire.into_block(kind).map_err(|reason| Fault::Value { at, reason })?;
    Ok((block, is_marked))
}

fn source<'a>(reader: &mut Reader<'a>, level: Level) -> Read<Option<WireSource<'a>>> {
    if reader.is_string() {
        return reader.raw().map(|_| Some(WireSource::Text));
    }
    if reader.is_null() {
        return reader.raw().map(|_| None);
    }
    let at = reader.place();
    let mut kind = None;
    let mut wire = Box::<SourceFields>::default();
    reader.fields("an object", SOURCE_FIELDS, &mut |reader, field| {
        match field {
            "type" => kind = Some(reader.words()?),
            "media_type" => wire.media_type = reader.some_text()?,
            "data" => wire.data = reader.some_text()?,
            "url" => wire.url = reader.some_text()?,
            _ => wire.content = some_blocks(reader, level)?,
        }
        Ok(())
    })?;
    wire.kind = kind.ok_or(Fault::Missing { at, field: "type" })?;
    Ok(Some(WireSource::Fields(wire)))
}

/// Whether an object is there that has `enabled`; something else says no.
fn is_enabled(reader: &mut Reader<'_>) -> Read<bool> {
    #[derive(Deserialize)]
    struct Switch {
        #[serde(default)]
        enabled: bool,
    }
    let switch = serde_json::from_str::<Switch>(noted(reader)?);
    Ok(switch.is_ok_and(|switch| switch.enabled))
}

/// Reads what tells whether a search was Anthropic's own.
fn noted<'a>(reader: &mut Reader<'a>) -> Read<&'a str> {
    let raw = reader.raw()?.get();
    if is_foreign_search(raw) {
        reader.note_foreign();
    }
    Ok(raw)
}

/// Whether JSON tells of what a search of another service has found.
pub fn is_foreign_search(json: &str) -> bool {
    let names = |json: &str| json.contains(&format!("\"{FOREIGN_SEARCH}\""));
    names(json) || json.contains("\\u") && names(&json::decoded(json))
}

impl<'a> WireBlock<'a> {
    /// The block of this kind.
    fn into_block(self, kind: Cow<'a, str>) -> Result<Block<'a>, String> {
        let wire = self;
        let content = wire.content.unwrap_or_default();
        Ok(match &*kind {
            "text" => Block::Text(required(wire.text, "text")?),
            "image" => Block::Image(Box::new((*fields(wire.source)?).try_into()?)),
            "document" => Block::Document(Box::new(Document {
                title: wire.title,
                context: wire.context,
                citations: wire.citations,
                source: (*fields(wire.source)?).try_into()?,
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
                said(kind, format!("[call of {name}: {input}]"))
            }
            _ if content.0.is_empty() => {
                let mut found = Plain::new(&kind);
                for (key, text) in
                    [("title", &wire.title), ("url", &wire.url), ("page_age", &wire.page_age)]
                {
                    found.text(key, &text.as_ref().map(Escaped::text).unwrap_or_default());
                }
                match found.finish() {
                    Some(text) => said(kind, text),
                    None => Block::Unknown { kind },
                }
            }
            _ => Block::Other(Box::new(Other { kind, content })),
        })
    }
}

impl<'a> TryFrom<SourceFields<'a>> for ImageSource<'a> {
    type Error = String;

    fn try_from(wire: SourceFields<'a>) -> Result<ImageSource<'a>, String> {
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

impl<'a> TryFrom<SourceFields<'a>> for DocumentSource<'a> {
    type Error = String;

    fn try_from(wire: SourceFields<'a>) -> Result<DocumentSource<'a>, String> {
        match &*wire.kind {
            "base64" => Ok(DocumentSource::Base64 {
                media_type: required(wire.media_type, "source.media_type")?,
                data: required(wire.data, "source.data")?,
            }),
            "text" => Ok(DocumentSource::Text(required(wire.data, "source.data")?)),
            "content" => Ok(DocumentSource::Content(wire.content.unwrap_or_default())),
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

fn fields<'a>(source: Option<WireSource<'a>>) -> Result<Box<SourceFields<'a>>, &'static str> {
    match source {
        Some(WireSource::Fields(fields)) => Ok(fields),
        Some(WireSource::Text) => Err("source: a string, expected an object"),
        None => Err("source: field required"),
    }
}

fn required<T>(field: Option<T>, name: &str) -> Result<T, String> {
    field.ok_or_else(|| format!("{name}: field required"))
}

/// A block that says `text`.
fn said<'a>(kind: Cow<'a, str>, text: String) -> Block<'a> {
    let content = Content(vec![Block::Text(Escaped::new(&text))]);
    Block::Other(Box::new(Other { kind, content }))
}
