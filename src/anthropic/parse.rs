//! Reads a request, and refuses what no provider is to be asked.

use super::content::{Block, CACHE_CONTROL, Content, DocumentSource};
use super::fault::fault;
use super::request::{InputMessage, MessagesRequest, Room, Tool};
use crate::error::Error;
use crate::json::{Fault, Read, Reader};
use crate::openai::Number;

/// Anthropic's own limit of a request.
const MAX_MESSAGES: usize = 100_000;
/// More than any client offers, and few enough to cost little whatever they hold.
const MAX_TOOLS: usize = 2000;
const MAX_STOP_SEQUENCES: usize = 1000;

/// About what a message, a block, a call and a block of an unknown kind cost on their way, in
/// bytes, beside their own: what is nothing but frames costs many times its size.
const MESSAGE_BYTES: usize = 360;
const BLOCK_BYTES: usize = 120;
const CALL_BYTES: usize = 460;
const UNKNOWN_BYTES: usize = 280;
/// How often its own size a request may cost so, beside what every one may.
const MAX_TIMES: usize = 6;
const FREE_BYTES: usize = 900 << 10;

/// Reads a request.
///
/// # Errors
/// [`Error::Request`] with the place of the fault, as in `messages.0.content.1.text: …`.
pub fn parse(body: &[u8]) -> Result<MessagesRequest<'_>, Error> {
    parse_within(body, &|_| Ok(()))
}

/// The same. How much memory is taken beside the body is asked before it is.
///
/// # Errors
/// Those of [`parse`], and what `ask` says.
pub fn parse_within<'a>(
    body: &'a [u8],
    ask: &'a dyn Fn(usize) -> Result<(), Error>,
) -> Result<MessagesRequest<'a>, Error> {
    let text = std::str::from_utf8(body)
        .map_err(|e| fault(body, Fault::Syntax { at: e.valid_up_to() }))?;
    let mut reader = Reader::new(text, CACHE_CONTROL, ask);
    let mut request = request(&mut reader).map_err(|e| fault(body, e))?;
    request.cache_control = reader.is_marked();
    request.room = Room(ask);
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

const REQUEST_FIELDS: &[&str] = &[
    "model",
    "messages",
    "max_tokens",
    "system",
    "stream",
    "tools",
    "tool_choice",
    "temperature",
    "top_p",
    "top_k",
    "stop_sequences",
    "thinking",
    "output_config",
    "output_format",
    "safeguards",
    "metadata",
    "context_management",
    "thread",
];

fn request<'a>(reader: &mut Reader<'a>) -> Read<MessagesRequest<'a>> {
    let at = reader.place();
    let mut request = MessagesRequest::default();
    let (mut model, mut messages) = (None, None);
    reader.fields("an object", REQUEST_FIELDS, &mut |reader, field| {
        let at = reader.place();
        match field {
            "model" => model = Some(reader.words()?),
            "messages" => messages = Some(list(reader, MAX_MESSAGES, &mut message)?),
            "max_tokens" => request.max_tokens = reader.small()?,
            "system" => request.system = some(reader, &mut Content::read)?,
            "stream" => request.stream = reader.small()?,
            "tools" => request.tools = some_list(reader, MAX_TOOLS, &mut tool)?,
            "tool_choice" => request.tool_choice = reader.small()?,
            "temperature" => request.temperature = reader.small()?,
            "top_p" => request.top_p = reader.small()?,
            "top_k" => request.top_k = reader.small()?,
            "stop_sequences" => {
                request.stop_sequences = some_list(reader, MAX_STOP_SEQUENCES, &mut Reader::words)?;
            }
            "thinking" => request.thinking = reader.small()?,
            "output_config" => request.output_config = reader.small()?,
            "output_format" => request.output_format = reader.small()?,
            "safeguards" => request.safeguards = reader.some_raw()?,
            "metadata" => request.metadata = reader.some_raw()?,
            "context_management" => request.context_management = reader.some_raw()?,
            _ => request.thread = reader.some_raw()?,
        }
        let came = &mut request.as_it_came;
        match field {
            "model" => came.model = reader.since(at),
            "max_tokens" => came.max_tokens = reader.since(at),
            "system" => came.system = reader.since(at),
            "thinking" => came.thinking = reader.since(at),
            _ => {}
        }
        Ok(())
    })?;
    reader.end()?;
    request.model = model.ok_or(Fault::Missing { at, field: "model" })?;
    request.messages = messages.ok_or(Fault::Missing { at, field: "messages" })?;
    Ok(request)
}

fn message<'a>(reader: &mut Reader<'a>) -> Read<InputMessage<'a>> {
    let at = reader.place();
    let (mut role, mut content) = (None, None);
    let found = reader.foreign();
    reader.fields("a message", &["role", "content"], &mut |reader, field| {
        match field {
            "role" => role = Some(reader.small()?),
            _ => content = Some(Content::read(reader)?),
        }
        Ok(())
    })?;
    let role = role.ok_or(Fault::Missing { at, field: "role" })?;
    let content = content.ok_or(Fault::Missing { at, field: "content" })?;
    let has_foreign_search = reader.foreign() > found;
    Ok(InputMessage { role, content, has_foreign_search, as_it_came: reader.since(at) })
}

const TOOL_FIELDS: &[&str] = &[
    "type",
    "name",
    "description",
    "input_schema",
    "defer_loading",
    "allowed_domains",
    "blocked_domains",
    "max_uses",
    "user_location",
    "display_width_px",
    "display_height_px",
];

fn tool<'a>(reader: &mut Reader<'a>) -> Read<Tool<'a>> {
    let mut tool = Tool::default();
    reader.fields("a tool", TOOL_FIELDS, &mut |reader, field| {
        match field {
            "type" => tool.kind = reader.some_words()?,
            "name" => tool.name = reader.some_words()?,
            "description" => tool.description = reader.some_text()?,
            "input_schema" => tool.input_schema = reader.some_schema()?,
            "defer_loading" => tool.defer_loading = reader.small()?,
            "allowed_domains" => {
                tool.limits.get_or_insert_default().allowed_domains = reader.some_raw()?;
            }
            "blocked_domains" => {
                tool.limits.get_or_insert_default().blocked_domains = reader.some_raw()?;
            }
            "max_uses" => {
                tool.limits.get_or_insert_default().max_uses = reader.small::<Number>()?.0;
            }
            "user_location" => {
                tool.limits.get_or_insert_default().user_location = reader.some_raw()?;
            }
            "display_width_px" => tool.display_width_px = reader.small::<Number>()?.0,
            _ => tool.display_height_px = reader.small::<Number>()?.0,
        }
        Ok(())
    })?;
    Ok(tool)
}

/// Reads a list of at most `most`.
fn list<'a, T>(
    reader: &mut Reader<'a>,
    most: usize,
    item: &mut dyn FnMut(&mut Reader<'a>) -> Read<T>,
) -> Read<Vec<T>> {
    let mut list = Vec::new();
    reader.list("a sequence", most, &mut |reader| {
        list.push(item(reader)?);
        Ok(())
    })?;
    Ok(list)
}

fn some_list<'a, T>(
    reader: &mut Reader<'a>,
    most: usize,
    item: &mut dyn FnMut(&mut Reader<'a>) -> Read<T>,
) -> Read<Option<Vec<T>>> {
    some(reader, &mut |reader| list(reader, most, item))
}

/// Reads what is there, unless it is null.
fn some<'a, T>(
    reader: &mut Reader<'a>,
    read: &mut dyn FnMut(&mut Reader<'a>) -> Read<T>,
) -> Read<Option<T>> {
    if reader.is_null() { reader.raw().map(|_| None) } else { read(reader).map(Some) }
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
