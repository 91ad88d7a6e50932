//! An answer in the form of chat completions, whole and streamed.

use std::io::{self, Write};
use std::{iter, thread};

use serde_json::{Value, json};

use super::marks::{Answer, Call};
use super::request::{ChatRequest, is_at};

impl Answer {
    pub(super) fn finish_reason(&self) -> &'static str {
        match self.calls.len() {
            0 => "stop",
            _ => "tool_calls",
        }
    }

    /// Four bytes make about one token. Clients may divide by a count, so none is 0.
    pub(super) fn usage(&self, request: &ChatRequest) -> Value {
        let asked = request.messages.iter().map(|message| message.content.len());
        let arguments = self.calls.iter().map(|call| call.arguments.len());
        let said = self.reasoning.len() + self.text.len() + arguments.sum::<usize>();
        let (prompt, completion) = ((asked.sum::<usize>() / 4).max(1), (said / 4).max(1));
        json!({ "prompt_tokens": prompt, "completion_tokens": completion,
            "total_tokens": prompt + completion })
    }

    /// The `message` of an answer that is not streamed. Without text, tool calls come with null.
    pub(super) fn message(&self, id: u64) -> Value {
        let content = (self.calls.is_empty() || !self.text.is_empty()).then_some(&self.text);
        let mut message = json!({ "role": "assistant", "content": content });
        if !self.reasoning.is_empty() {
            message["reasoning_content"] = json!(self.reasoning);
        }
        if !self.calls.is_empty() {
            let calls = self.calls.iter().zip(id..);
            let calls = calls.map(|(call, id)| call.encode(id, &call.arguments));
            message["tool_calls"] = calls.collect();
        }
        message
    }

    /// The `delta` of each chunk of a stream, up to the one that brings the finish reason.
    fn deltas(&self, id: u64) -> impl Iterator<Item = Value> {
        let calls = self.calls.iter().zip(id..).enumerate();
        let calls = calls.flat_map(|(index, (call, id))| {
            let mut start = call.encode(id, "");
            start["index"] = json!(index);
            // A provider cuts arguments anywhere: here they go in pieces of seven characters.
            let arguments: Vec<char> = call.arguments.chars().collect();
            let pieces: Vec<String> = arguments.chunks(7).map(String::from_iter).collect();
            let piece = move |piece| json!({ "index": index, "function": { "arguments": piece } });
            iter::once(start).chain(pieces.into_iter().map(piece))
        });
        let reasoning = self.reasoning.split_inclusive(char::is_whitespace);
        let words = self.text.split_inclusive(char::is_whitespace);
        iter::once(json!({ "role": "assistant", "content": "" }))
            .chain(reasoning.map(|word| json!({ "reasoning_content": word })))
            .chain(words.map(|word| json!({ "content": word })))
            .chain(calls.map(|call| json!({ "tool_calls": [call] })))
    }
}

impl Call {
    fn encode(&self, id: u64, arguments: &str) -> Value {
        let function = json!({ "name": self.name, "arguments": arguments });
        json!({ "id": format!("call_echo_{id}"), "type": "function", "function": function })
    }
}

/// Streams the answer in chunks.
pub(super) fn stream(
    mut writer: impl Write,
    chat: &ChatRequest,
    answer: &Answer,
    id: u64,
) -> io::Result<()> {
    let mut options = chat.stream_options.iter();
    let wants_usage = options.any(|options| is_at(options, "include_usage", "true"));
    // Only what differs from chunk to chunk is written anew: load tests are not about echo.
    let model = json!(chat.model.as_deref().unwrap_or("echo"));
    let named = format!(r#""id":"chatcmpl-echo-{id}","object":"chat.completion.chunk""#);
    let start = format!(r#"data: {{{named},"created":0,"model":{model},"choices":["#);
    // Where usage is wanted, OpenAI sends a null in every chunk before it.
    let null = if wants_usage { r#","usage":null"# } else { "" };
    let event = |delta: Value, finish_reason: Value| {
        let finish = format!(r#""logprobs":null,"finish_reason":{finish_reason}"#);
        format!("{start}{{\"index\":0,\"delta\":{delta},{finish}}}]{null}}}\n\n")
    };
    let mut last = event(json!({}), json!(answer.finish_reason()));
    if wants_usage {
        last += &format!("{start}],\"usage\":{}}}\n\n", answer.usage(chat));
    }
    last += "data: [DONE]\n\n";
    let deltas = answer.deltas(id + 1).map(|delta| event(delta, Value::Null));
    let mut events = deltas.chain([last]).peekable();
    let group_size = if answer.delay.is_zero() { 16 } else { 1 };
    let mut packet = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
        Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"
        .to_vec();
    loop {
        let group: String = events.by_ref().take(group_size).collect();
        write!(packet, "{:x}\r\n{group}\r\n", group.len())?;
        let ended = events.peek().is_none();
        packet.extend_from_slice(if ended { b"0\r\n\r\n" } else { b"" });
        writer.write_all(&packet)?;
        if ended {
            return Ok(());
        }
        packet.clear();
        thread::sleep(answer.delay);
    }
}
