//! A whole message of the Messages API as the stream of its events, and the events as the message:
//! for a provider that answers in the form that was not asked for. What is in them stays as it
//! stands.
//!
//! <https://platform.claude.com/docs/en/build-with-claude/streaming>

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::error::Error;
use crate::json::complaint;
use crate::sse::Decoder;

/// A JSON object, member by member.
type Object = BTreeMap<String, Box<RawValue>>;

/// The texts of blocks that come in pieces: the block's member, the type of the delta, and the
/// member that holds the piece.
const TEXTS: &[(&str, &str, &str)] = &[
    ("text", "text_delta", "text"),
    ("thinking", "thinking_delta", "thinking"),
    ("signature", "signature_delta", "signature"),
];

/// An empty list.
const NOTHING: [(); 0] = [];

fn raw(value: &(impl Serialize + ?Sized)) -> Box<RawValue> {
    to_raw_value(value).expect("strings, numbers and JSON always serialize")
}

fn object(json: &RawValue) -> Option<Object> {
    serde_json::from_str(json.get()).ok()
}

fn string(object: &Object, member: &str) -> Option<String> {
    serde_json::from_str(object.get(member)?.get()).ok()
}

/// The events of a whole message. `None` if `body` is none.
pub(super) fn events(body: &[u8]) -> Option<Vec<u8>> {
    let mut message: Object = serde_json::from_slice(body).ok()?;
    if string(&message, "type")? != "message" {
        return None;
    }
    let null = || raw(&None::<()>);
    let content = message.insert("content".to_owned(), raw(&NOTHING))?;
    let blocks: Vec<Object> = serde_json::from_str(content.get()).ok()?;
    let end: BTreeMap<&str, _> = ["stop_reason", "stop_sequence"]
        .map(|member| (member, message.insert(member.to_owned(), null()).unwrap_or_else(null)))
        .into();
    let usage = message.get("usage").cloned();
    let mut out = Vec::new();
    let mut event = |kind: &str, members: Vec<(&str, Box<RawValue>)>| {
        let data: BTreeMap<_, _> = members.into_iter().chain([("type", raw(kind))]).collect();
        let data = raw(&data);
        out.extend_from_slice(format!("event: {kind}\ndata: {data}\n\n").as_bytes());
    };
    event("message_start", vec![("message", raw(&message))]);
    for (index, mut block) in blocks.into_iter().enumerate() {
        let mut deltas = Vec::new();
        for (member, kind, piece) in TEXTS {
            let is_text = block.get(*member).is_some_and(|text| text.get().starts_with('"'));
            if let Some(text) = block.get_mut(*member).filter(|_| is_text) {
                deltas.push((*kind, *piece, std::mem::replace(text, raw(""))));
            }
        }
        if let Some(input) = block.get_mut("input").filter(|input| input.get().starts_with('{')) {
            let text = raw(input.get());
            *input = raw(&Object::new());
            deltas.push(("input_json_delta", "partial_json", text));
        }
        let citations = block.get("citations").map_or("", |citations| citations.get());
        let citations: Vec<Box<RawValue>> = serde_json::from_str(citations).unwrap_or_default();
        if !citations.is_empty() {
            block.insert("citations".to_owned(), raw(&NOTHING));
        }
        deltas.extend(citations.into_iter().map(|one| ("citations_delta", "citation", one)));
        event("content_block_start", vec![("index", raw(&index)), ("content_block", raw(&block))]);
        for (kind, member, piece) in deltas {
            let delta: BTreeMap<_, _> = [("type", raw(kind)), (member, piece)].into();
            event("content_block_delta", vec![("index", raw(&index)), ("delta", raw(&delta))]);
        }
        event("content_block_stop", vec![("index", raw(&index))]);
    }
    let usage = usage.map(|usage| ("usage", usage));
    event("message_delta", [("delta", raw(&end))].into_iter().chain(usage).collect());
    event("message_stop", Vec::new());
    Some(out)
}

/// A block that is being told.
struct Block {
    members: Object,
    texts: BTreeMap<&'static str, String>,
    /// The arguments of a call.
    input: String,
    citations: Vec<Box<RawValue>>,
}

/// The message that a stream of events tells, or the error that is the last of them, as JSON.
///
/// # Errors
/// It ends before the message does, or is no such stream.
pub(super) fn message(stream: &[u8]) -> Result<Vec<u8>, Error> {
    let mut decoder = Decoder::default();
    decoder.feed(stream);
    let mut message = Object::new();
    let mut usage = Object::new();
    let mut blocks: Vec<Block> = Vec::new();
    let mut is_complete = false;
    loop {
        let next = decoder.next_frame().map_err(|_| Error::protocol("an event is too large"))?;
        let data = next.map(|frame| frame.data.to_vec());
        let Some(data) = data.or_else(|| decoder.finish().map(|frame| frame.data.to_vec())) else {
            break;
        };
        let event: Object = match serde_json::from_slice(&data) {
            Ok(event) => event,
            // `[DONE]`, or half an event behind the end.
            Err(_) if is_complete => break,
            Err(e) => return Err(Error::protocol(format!("an event: {}", complaint(&e)))),
        };
        let part = |member: &str| event.get(member).and_then(|part| object(part));
        let at = event.get("index").and_then(|index| index.get().parse::<usize>().ok());
        match &*string(&event, "type").unwrap_or_default() {
            "error" => return Ok(data),
            "" if event.contains_key("error") => return Ok(data),
            "message_start" => {
                message = part("message").unwrap_or_default();
                usage = message.remove("usage").and_then(|u| object(&u)).unwrap_or_default();
            }
            "content_block_start" => blocks.push(Block {
                members: part("content_block").unwrap_or_default(),
                texts: BTreeMap::new(),
                input: String::new(),
                citations: Vec::new(),
            }),
            "content_block_delta" => {
                let block = at.and_then(|at| blocks.get_mut(at));
                if let (Some(block), Some(delta)) = (block, part("delta")) {
                    block.take(delta);
                }
            }
            "message_delta" => {
                message.extend(part("delta").unwrap_or_default());
                let counted = part("usage").unwrap_or_default();
                usage.extend(counted.into_iter().filter(|(_, count)| count.get() != "null"));
                is_complete |= string(&message, "stop_reason").is_some();
            }
            "message_stop" => break,
            _ => {}
        }
    }
    if !is_complete {
        return Err(Error::cut("it ended before the message was complete"));
    }
    let stop_reason = string(&message, "stop_reason");
    let is_cut = matches!(
        stop_reason.as_deref(),
        Some("max_tokens" | "refusal" | "model_context_window_exceeded")
    );
    let mut content = Vec::with_capacity(blocks.len());
    for block in blocks {
        match block.whole() {
            Ok(members) => content.push(members),
            // What was cut in two is no call.
            Err(_) if is_cut => {}
            Err(error) => return Err(error),
        }
    }
    message.insert("content".to_owned(), raw(&content));
    if !usage.is_empty() {
        message.insert("usage".to_owned(), raw(&usage));
    }
    Ok(serde_json::to_vec(&message).expect("JSON always serializes"))
}

impl Block {
    fn take(&mut self, mut delta: Object) {
        let kind = string(&delta, "type").unwrap_or_default();
        let text = TEXTS.iter().find(|(_, known, _)| *known == kind);
        if let Some((member, _, piece)) = text {
            let piece = string(&delta, piece).unwrap_or_default();
            self.texts.entry(member).or_default().push_str(&piece);
        } else if kind == "input_json_delta" {
            self.input.push_str(&string(&delta, "partial_json").unwrap_or_default());
        } else if kind == "citations_delta" {
            self.citations.extend(delta.remove("citation"));
        }
    }

    fn whole(mut self) -> Result<Object, Error> {
        for (member, text) in self.texts {
            self.members.insert(member.to_owned(), raw(&text));
        }
        if !self.citations.is_empty() {
            self.members.insert("citations".to_owned(), raw(&self.citations));
        }
        if !self.input.is_empty() {
            let input = RawValue::from_string(self.input)
                .map_err(|_| Error::protocol("the arguments of a call are not JSON"))?;
            self.members.insert("input".to_owned(), input);
        }
        Ok(self.members)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{events, message};

    /// With a block of every kind, and a number that no float holds.
    const MESSAGE: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[
        {"type":"thinking","thinking":"hm\n","signature":"sig"},
        {"type":"redacted_thinking","data":"d"},
        {"type":"text","text":"It is [1] 😀","citations":[{"type":"char_location","cited_text":"x"}]},
        {"type":"text","text":"","citations":null},
        {"type":"tool_use","id":"toolu_1","name":"Read","input":{"z":12345678901234567890123,"a":{}}},
        {"type":"tool_use","id":"toolu_2","name":"Look","input":{}},
        {"type":"web_search_tool_result","tool_use_id":"srvtoolu_1","content":[{"url":"u"}]}
        ],"stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":3,"output_tokens":9}}"#;

    fn value(json: &[u8]) -> Value {
        serde_json::from_slice(json).expect("JSON")
    }

    #[test]
    fn a_message_as_a_stream_is_the_same_message() {
        let stream = events(MESSAGE.as_bytes()).expect("a message");
        let again = message(&stream).expect("a stream");
        assert_eq!(value(&again), value(MESSAGE.as_bytes()));
        let stream = String::from_utf8(stream).expect("UTF-8");
        let call = r#"{\"z\":12345678901234567890123,\"a\":{}}"#;
        assert!(stream.contains(call), "{stream}");
        assert!(stream.contains(r#""content_block":{"id":"toolu_1","input":{},"#), "{stream}");
        assert!(stream.ends_with("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"));
    }

    #[test]
    fn what_is_no_message_is_not_made_one() {
        for body in ["", "[]", "{}", r#"{"type":"error","error":{}}"#, r#"{"type":"message"}"#] {
            assert_eq!(events(body.as_bytes()), None, "{body}");
        }
        let stream = String::from_utf8(events(MESSAGE.as_bytes()).expect("a message")).unwrap();
        let before_end = &stream[..stream.find("event: message_delta").expect("an end")];
        assert!(message(before_end.as_bytes()).is_err());
        let error = r#"{"type":"error","error":{"type":"overloaded_error","message":"busy"}}"#;
        let told = format!("{before_end}event: error\ndata: {error}\n\n");
        assert_eq!(message(told.as_bytes()), Ok(error.as_bytes().to_vec()));
        let broken = stream.replace("12345678901234567890123", "");
        assert!(message(broken.as_bytes()).is_err());
        let cut = broken.replace(r#""stop_reason":"tool_use""#, r#""stop_reason":"max_tokens""#);
        let cut = value(&message(cut.as_bytes()).expect("a message"));
        let ids = cut["content"].as_array().expect("blocks").iter().map(|block| &block["id"]);
        assert_eq!(ids.filter(|id| id.is_string()).collect::<Vec<_>>(), [&json!("toolu_2")]);
    }
}
