//! The request: what clients send to `/v1/messages` and `/v1/messages/count_tokens`.
//!
//! Text is borrowed from the body, schemas and tool inputs pass through unparsed. Unknown fields
//! are ignored, since new clients send new ones; a known field of the wrong type is an error that
//! names its place.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::event::SafeguardResult;
use super::place::path_at;
use super::plain::Plain;
use crate::error::Error;
use crate::json;
use crate::openai::Number;

/// Anthropic's own limit of a request.
const MAX_MESSAGES: usize = 100_000;
/// More than any client offers, and few enough to cost little whatever they hold.
const MAX_TOOLS: usize = 2000;
const MAX_STOP_SEQUENCES: usize = 1000;
/// About what a message, a block, a call and a block of an unknown kind cost on their way, in
/// bytes, beside their own: what is nothing but frames costs many times its size.
const MESSAGE_BYTES: usize = 500;
const BLOCK_BYTES: usize = 120;
const CALL_BYTES: usize = 700;
const UNKNOWN_BYTES: usize = 280;
/// How often its own size a request may cost so, beside what every one may.
const MAX_TIMES: usize = 6;
const FREE_BYTES: usize = 900 << 10;
/// The longest value that a complaint repeats.
const MAX_SHOWN_BYTES: usize = 40;

/// Reads a request.
///
/// # Errors
/// [`Error::Request`] with the place of the fault, as in `messages.0.content.1.text: …`.
pub fn parse(body: &[u8]) -> Result<MessagesRequest<'_>, Error> {
    let mut request: MessagesRequest = serde_json::from_slice(body).map_err(|e| fault(body, &e))?;
    request.cache_control = has_key(body, b"\"cache_control\"");
    if request.messages.is_empty() {
        return Err(Error::request("messages", "at least one message is required"));
    }
    check_size(&request, body.len())?;
    // As the API does: what a provider says to such a value is not to be learned from.
    for (name, value) in [("temperature", request.temperature), ("top_p", request.top_p)] {
        if let Some(value) = value.filter(|value| !(0.0..=1.0).contains(value)) {
            return Err(Error::request(name, format!("{value} is not from 0 to 1")));
        }
    }
    Ok(request)
}

/// Refuses a request that is made of very many parts with next to nothing in them.
fn check_size(request: &MessagesRequest<'_>, bytes: usize) -> Result<(), Error> {
    let content = |content: &Content| content.0.iter().map(cost).sum::<usize>();
    let messages = request.messages.iter().map(|message| MESSAGE_BYTES + content(&message.content));
    let cost = messages.sum::<usize>() + request.system.as_ref().map_or(0, content);
    if cost <= bytes.saturating_mul(MAX_TIMES).saturating_add(FREE_BYTES) {
        return Ok(());
    }
    let reason = format!(
        "{} messages with their content blocks are too many for {bytes} bytes; join some of them",
        request.messages.len()
    );
    Err(Error::request("messages", reason))
}

fn cost(block: &Block<'_>) -> usize {
    let inner = |content: &Content| content.0.iter().map(cost).sum::<usize>();
    match block {
        Block::ToolUse(_) => CALL_BYTES,
        Block::Unknown { .. } => UNKNOWN_BYTES,
        Block::ToolResult(result) => BLOCK_BYTES + inner(&result.content),
        Block::Other(other) => BLOCK_BYTES + inner(&other.content),
        Block::Document(document) => match &document.source {
            DocumentSource::Content(content) => BLOCK_BYTES + inner(content),
            _ => BLOCK_BYTES,
        },
        _ => BLOCK_BYTES,
    }
}

/// Whether an object of `json`, which is valid, has `key`, which is given with its quotes. No text
/// can hold it, since its quotes are escaped there. The search goes by the last byte, as far as it
/// can each time (<https://en.wikipedia.org/wiki/Boyer%E2%80%93Moore%E2%80%93Horspool_algorithm>).
fn has_key(json: &[u8], key: &[u8]) -> bool {
    let mut steps = [key.len(); 256];
    for (at, byte) in key[..key.len() - 1].iter().enumerate() {
        steps[usize::from(*byte)] = key.len() - 1 - at;
    }
    let mut end = key.len();
    while let Some(last) = json.get(end - 1) {
        let is_key = json[end - key.len()..end] == *key
            && json[end..].trim_ascii_start().first() == Some(&b':');
        if is_key {
            return true;
        }
        end += steps[usize::from(*last)];
    }
    false
}

/// Words a serde_json error the way the Messages API words its own.
fn fault(body: &[u8], error: &serde_json::Error) -> Error {
    let text = error.to_string();
    let reason = text.rsplit_once(" at line ").map_or(text.as_str(), |(reason, _)| reason);
    if !error.is_data() {
        if reason == "recursion limit exceeded" {
            let reason = format!("the body is nested more than {} deep", json::MAX_DEPTH);
            return Error::request("", reason);
        }
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
        None => Error::request(at, without_value(reason)),
    }
}

/// What serde says, without the value that it quotes, unless that is a word: it may be a prompt,
/// and is the client's own in any case.
fn without_value(reason: &str) -> Cow<'_, str> {
    let Some((found, expected)) = reason.rsplit_once(", expected ") else {
        return Cow::Borrowed(reason);
    };
    if let Some(value) = found.strip_prefix("unknown variant `") {
        let value = value.trim_end_matches('`');
        return match shown(value) {
            Some(_) => Cow::Borrowed(reason),
            None => Cow::Owned(format!("unknown value, expected {expected}")),
        };
    }
    let quote = found.find('"').unwrap_or(found.len());
    Cow::Owned(format!("{}, expected {expected}", found[..quote].trim_end()))
}

/// A value as a complaint may repeat it: one that looks like a word of the API.
fn shown(value: &str) -> Option<&str> {
    let is_of_a_word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    (value.len() <= MAX_SHOWN_BYTES && value.bytes().all(is_of_a_word)).then_some(value)
}

/// The body of a request, as far as ccproxy uses it.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object")]
pub struct MessagesRequest<'a> {
    #[serde(borrow)]
    pub model: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "up_to::<_, _, MAX_MESSAGES>")]
    pub messages: Vec<InputMessage<'a>>,
    /// Absent in `count_tokens`.
    pub max_tokens: Option<u64>,
    pub system: Option<Content<'a>>,
    #[serde(default)]
    pub stream: Option<bool>,
    #[serde(borrow, default, deserialize_with = "some_up_to::<_, _, MAX_TOOLS>")]
    pub tools: Option<Vec<Tool<'a>>>,
    pub tool_choice: Option<ToolChoice<'a>>,
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
    pub top_k: Option<u64>,
    #[serde(borrow, default, deserialize_with = "stop_sequences")]
    pub stop_sequences: Option<Vec<Cow<'a, str>>>,
    pub thinking: Option<Thinking<'a>>,
    pub output_config: Option<OutputConfig<'a>>,
    /// The name `output_config.format` had in the beta.
    pub output_format: Option<OutputFormat<'a>>,
    /// What the client wants the server to judge, with what the judge is to know.
    #[serde(borrow)]
    pub safeguards: Option<&'a RawValue>,
    /// Ids of the user, and the like.
    #[serde(borrow)]
    pub metadata: Option<&'a RawValue>,
    /// What of the conversation the server is to clear.
    #[serde(borrow)]
    pub context_management: Option<&'a RawValue>,
    /// Whether a part of it is to be kept in a prompt cache.
    #[serde(skip)]
    pub cache_control: bool,
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

    /// The answers to its safeguards, one to each type. What is no list of objects with a type asks
    /// for nothing.
    pub fn safeguard_results(&self) -> Vec<SafeguardResult> {
        #[derive(Deserialize)]
        struct Safeguard<'a> {
            #[serde(rename = "type", borrow)]
            kind: Cow<'a, str>,
        }
        let Some(safeguards) = self.safeguards else { return Vec::new() };
        let safeguards: Vec<&RawValue> = serde_json::from_str(safeguards.get()).unwrap_or_default();
        let mut kinds = Vec::new();
        for safeguard in safeguards.into_iter().take(MAX_SAFEGUARDS) {
            if let Ok(Safeguard { kind }) = serde_json::from_str(safeguard.get())
                && !kinds.contains(&kind)
            {
                kinds.push(kind);
            }
        }
        kinds.into_iter().map(|kind| SafeguardResult::disabled(kind.into_owned())).collect()
    }
}

/// Of a request's safeguards so many are answered; Claude Code sends one.
const MAX_SAFEGUARDS: usize = 16;

#[derive(Debug, Deserialize)]
#[serde(expecting = "a message")]
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
}

struct InMessage;
struct InBlock;
struct InInner;
struct TooDeep;

impl Level for InMessage {
    type Inside = InBlock;
    const TAKES_OBJECTS: bool = false;
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

/// A tool definition. Server tools have no `input_schema`.
#[derive(Debug, Deserialize)]
#[serde(expecting = "a tool")]
pub struct Tool<'a> {
    /// Of a server tool, such as `web_search_20250305`; tools of the client may leave it out.
    #[serde(rename = "type", borrow, default, deserialize_with = "text")]
    pub kind: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "text")]
    pub name: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "text")]
    pub description: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "json::schema")]
    pub input_schema: Option<&'a RawValue>,
    #[serde(default)]
    pub defer_loading: Option<bool>,
    /// Of a tool for a computer's screen.
    #[serde(default, deserialize_with = "pixels")]
    pub display_width_px: Option<u64>,
    #[serde(default, deserialize_with = "pixels")]
    pub display_height_px: Option<u64>,
}

impl Tool<'_> {
    /// Whether it is the client's own, and so must have a schema.
    pub fn is_custom(&self) -> bool {
        const CUSTOM: &str = "custom";
        self.kind.as_deref().is_none_or(|kind| kind == CUSTOM)
    }
}

/// A number, or nothing where something else stands.
fn pixels<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Number::deserialize(deserializer).map(|number| number.0)
}

#[derive(Debug, Deserialize)]
#[serde(expecting = "an object")]
pub struct ToolChoice<'a> {
    #[serde(rename = "type")]
    pub kind: ToolChoiceKind,
    #[serde(borrow, default, deserialize_with = "text")]
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
#[serde(expecting = "an object")]
pub struct Thinking<'a> {
    /// `adaptive`, `enabled` or `disabled`.
    #[serde(rename = "type", borrow)]
    pub kind: Cow<'a, str>,
    pub budget_tokens: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(expecting = "an object")]
pub struct OutputConfig<'a> {
    #[serde(borrow, default, deserialize_with = "text")]
    pub effort: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub format: Option<OutputFormat<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(expecting = "an object")]
pub struct OutputFormat<'a> {
    #[serde(borrow, default, deserialize_with = "json::schema")]
    pub schema: Option<&'a RawValue>,
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

/// A text that is borrowed where it has no escapes, which `Option<Cow<str>>` alone never is.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// For `#[serde(deserialize_with)]`, as are the following.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Cow<'de, str>>, D::Error> {
    Ok(Option::<Text>::deserialize(deserializer)?.map(|text| text.0))
}

fn stop_sequences<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<Cow<'de, str>>>, D::Error> {
    let sequences = some_up_to::<_, Text, MAX_STOP_SEQUENCES>(deserializer)?;
    Ok(sequences.map(|all| all.into_iter().map(|text| text.0).collect()))
}

fn up_to<'de, D: Deserializer<'de>, T: Deserialize<'de>, const MAX: usize>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    UpTo::<T, MAX>::deserialize(deserializer).map(|list| list.0)
}

fn some_up_to<'de, D: Deserializer<'de>, T: Deserialize<'de>, const MAX: usize>(
    deserializer: D,
) -> Result<Option<Vec<T>>, D::Error> {
    Ok(Option::<UpTo<T, MAX>>::deserialize(deserializer)?.map(|list| list.0))
}

/// A list of at most `MAX`.
struct UpTo<T, const MAX: usize>(Vec<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for UpTo<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List<T, const MAX: usize>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for List<T, MAX> {
            type Value = UpTo<T, MAX>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a sequence")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = seq.next_element()? {
                    if list.len() == MAX {
                        return Err(de::Error::custom(format!("no more than {MAX} are taken")));
                    }
                    list.push(item);
                }
                Ok(UpTo(list))
            }
        }
        deserializer.deserialize_seq(List(PhantomData))
    }
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
            blocks.push(Block::try_from(block).map_err(de::Error::custom)?);
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
