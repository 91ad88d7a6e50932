//! What a client relies on: the grammar of a stream of the Messages API.
//!
//! <https://platform.claude.com/docs/en/build-with-claude/streaming>

use std::collections::HashSet;

use serde_json::Value;

/// The events of an encoded stream, each with the name on its `event:` line.
pub(crate) fn events(stream: &[u8]) -> Result<Vec<(String, Value)>, String> {
    let text = std::str::from_utf8(stream).map_err(|e| e.to_string())?;
    let event = |frame: &str| {
        let parts = frame.strip_prefix("event: ").and_then(|rest| rest.split_once("\ndata: "));
        let (name, data) = parts.ok_or_else(|| format!("not a frame: {frame:?}"))?;
        let data = serde_json::from_str(data).map_err(|e| format!("{e} in {data:?}"))?;
        Ok((name.to_owned(), data))
    };
    text.split_terminator("\n\n").map(event).collect()
}

/// Whether `stream` is one message: blocks come one after another; the last event is `message_stop`,
/// with every block stopped, or `error`, also as the only one, and then half a call is not stopped,
/// since a client would run it.
pub(crate) fn check(stream: &[u8]) -> Result<(), String> {
    if !stream.ends_with(b"\n\n") {
        return Err("it does not end with a frame".to_owned());
    }
    let mut message = Message::default();
    for (name, data) in events(stream)? {
        if data["type"] != *name {
            return Err(format!("{name} has the type {}", data["type"]));
        }
        message.event(&name, &data).map_err(|fault| format!("{fault}, at {name} {data}"))?;
    }
    if message.ended { Ok(()) } else { Err("it has no end".to_owned()) }
}

/// The types of blocks.
const KINDS: &[&str] = &["text", "thinking", "redacted_thinking", "tool_use"];

#[derive(Default)]
struct Message {
    started: bool,
    /// The type of the open block.
    open: Option<String>,
    blocks: u64,
    tool_ids: HashSet<String>,
    /// The arguments of the open call.
    json: String,
    /// A call was stopped whose arguments end too early.
    stopped_half: bool,
    /// One was stopped whose arguments are no JSON.
    stopped_no_json: bool,
    stop_reason: Option<String>,
    ended: bool,
}

impl Message {
    fn event(&mut self, name: &str, data: &Value) -> Result<(), &'static str> {
        let need = |holds: bool, fault| if holds { Ok(()) } else { Err(fault) };
        need(!self.ended, "something follows the end")?;
        need(self.stop_reason.is_none() || name != "ping", "a ping after message_delta")?;
        let at_open = data["index"] == self.blocks && self.open.is_some();
        match name {
            "ping" => {}
            "error" => {
                need(!self.stopped_half, "half a call was stopped")?;
                need(!text(&data["error"]["message"]).is_empty(), "an error without a message")?;
                need(!text(&data["error"]["type"]).is_empty(), "an error without a type")?;
                self.ended = true;
            }
            "message_start" => {
                need(!self.started, "a second start")?;
                let message = &data["message"];
                need(message["content"] == Value::Array(Vec::new()), "content at the start")?;
                need(message["usage"]["input_tokens"].is_u64(), "no usage")?;
                self.started = true;
            }
            _ if !self.started => return Err("the message has not been started"),
            _ if self.stop_reason.is_some() => {
                need(name == "message_stop", "message_delta is not followed by message_stop")?;
                self.ended = true;
            }
            "content_block_start" => {
                need(self.open.is_none(), "a block is open")?;
                need(data["index"] == self.blocks, "the index is not the next one")?;
                let block = &data["content_block"];
                let kind = text(&block["type"]);
                need(KINDS.contains(&kind), "an unknown block")?;
                if kind == "redacted_thinking" {
                    need(!text(&block["data"]).is_empty(), "redacted thinking without data")?;
                }
                if kind == "tool_use" {
                    need(!text(&block["name"]).is_empty(), "a call without a name")?;
                    let is_new = self.tool_ids.insert(text(&block["id"]).to_owned());
                    need(is_new, "an id for the second time")?;
                }
                self.open = Some(kind.to_owned());
            }
            "content_block_delta" => {
                need(at_open, "the index is not the open block's")?;
                let kind = text(&data["delta"]["type"]);
                let fits = match self.open.as_deref() {
                    Some("text") => kind == "text_delta",
                    Some("thinking") => matches!(kind, "thinking_delta" | "signature_delta"),
                    Some("redacted_thinking") => false,
                    _ => kind == "input_json_delta",
                };
                need(fits, "the delta does not fit its block")?;
                self.json.push_str(text(&data["delta"]["partial_json"]));
            }
            "content_block_stop" => {
                need(at_open, "the index is not the open block's")?;
                let json = std::mem::take(&mut self.json);
                let is_call = self.open.take().as_deref() == Some("tool_use");
                let parsed = serde_json::from_str::<serde::de::IgnoredAny>(&json);
                self.stopped_no_json |= is_call && !json.is_empty() && parsed.is_err();
                self.stopped_half |= is_call && parsed.is_err_and(|e| e.is_eof());
                self.blocks += 1;
            }
            "message_delta" => {
                need(self.open.is_none(), "a block is open")?;
                need(data["usage"]["output_tokens"].is_u64(), "no usage")?;
                let stop = text(&data["delta"]["stop_reason"]);
                let fits = match stop {
                    "tool_use" => !self.tool_ids.is_empty() && !self.stopped_no_json,
                    "max_tokens" | "refusal" | "model_context_window_exceeded" => true,
                    "end_turn" | "stop_sequence" => self.tool_ids.is_empty(),
                    _ => false,
                };
                need(fits, "the stop reason does not fit the blocks")?;
                self.stop_reason = Some(stop.to_owned());
            }
            _ => return Err("an unknown event, or one out of place"),
        }
        Ok(())
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[test]
fn the_checker_sees_faults() {
    let start = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"content\":[],\"usage\":{\"input_tokens\":1}}}\n\n";
    let block = "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\"}}\n\n";
    let stop = "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n";
    let delta = "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":1}}\n\n";
    let end = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    let check = |parts: &[&str]| check(parts.concat().as_bytes());
    assert_eq!(check(&[start, block, stop, delta, end]), Ok(()));
    for faulty in [
        &[start, block, delta, end][..],
        &[start, block, block, stop, delta, end],
        &[start, start, delta, end],
        &[block, stop, delta, end],
        &[start, stop, delta, end],
        &[start, block, stop, end],
        &[start, block, stop, block, stop, delta, end],
        &[start, delta, delta, end],
        &[start, delta, end, end],
        &[start, delta],
        &[],
    ] {
        assert!(check(faulty).is_err(), "{faulty:?}");
    }
}
