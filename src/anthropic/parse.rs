//! Reads a request, and refuses what no provider is to be asked.

use super::content::{Block, Content, DocumentSource};
use super::fault::fault;
use super::request::MessagesRequest;
use crate::error::Error;

/// About what a message, a block, a call and a block of an unknown kind cost on their way, in
/// bytes, beside their own: what is nothing but frames costs many times its size.
const MESSAGE_BYTES: usize = 500;
const BLOCK_BYTES: usize = 120;
const CALL_BYTES: usize = 700;
const UNKNOWN_BYTES: usize = 280;
/// How often its own size a request may cost so, beside what every one may.
const MAX_TIMES: usize = 6;
const FREE_BYTES: usize = 900 << 10;

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
