//! The embedded provider `echo`: an OpenAI-compatible server inside the process.
//!
//! It needs no key and no network, so the first README command, smoke tests and load tests use it.
//! It follows <https://platform.openai.com/docs/api-reference/chat> and answers `You said: TEXT`
//! with the text of the last user message, or a JSON document where `response_format` wants one.
//! Markers in that message ask for more:
//!
//! | marker | what it does |
//! |---|---|
//! | `[[tool:NAME {json}]]` | calls the tool NAME if it was offered; may be repeated |
//! | `[[think:TEXT]]` | sends TEXT as `reasoning_content` first |
//! | `[[chunks:N]]` | makes the text N words, each a chunk of the stream |
//! | `[[delay:MS]]` | pauses between the chunks of a stream |
//! | `[[status:CODE]]` | answers this HTTP status, 400 to 599, with an error |

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{iter, thread};

use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::{Value, json, value::RawValue};
use tiny_http::{Header, Method, Request, Response, Server};

use crate::private;

/// Starts an echo server and returns the name of its abstract Unix socket, without the leading NUL.
///
/// It lives as long as the process. Clients connect by `private::connect`.
///
/// # Errors
///
/// Those of binding the socket and of starting the thread that receives the requests.
pub fn start() -> io::Result<String> {
    let (listener, name) = private::listen("echo")?;
    let server = Server::from_listener(listener, None).map_err(io::Error::other)?;
    // Dropping a Server panics when its address is abstract. A leaked one is never dropped, not
    // even when the thread fails to start.
    let server: &'static Server = Box::leak(Box::new(server));
    let thread = thread::Builder::new().name("echo-receive".to_owned());
    thread.spawn(|| receive(server))?;
    Ok(name)
}

/// The members of a request that echo reads; in those that stay raw it only looks up values.
///
/// No tree is parsed: a `Value` as deep as serde_json permits overflows the stack of a request.
#[derive(Deserialize)]
struct ChatRequest {
    messages: Vec<Message>,
    model: Option<String>,
    stream: Option<bool>,
    stream_options: Option<Box<RawValue>>,
    tools: Option<Box<RawValue>>,
    response_format: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Message {
    role: String,
    #[serde(default, deserialize_with = "parse_content")]
    content: String,
}

#[derive(Deserialize)]
struct Part {
    text: Option<String>,
}

/// The text of a message's `content`: null, a string, or an array of parts of which some have text.
fn parse_content<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let content = Option::<&RawValue>::deserialize(deserializer)?.map_or("\"\"", RawValue::get);
    let text = match content.starts_with('[') {
        true => serde_json::from_str(content).map(|parts: Vec<Part>| {
            let texts = parts.into_iter().filter_map(|part| part.text);
            texts.collect::<Vec<_>>().join("\n")
        }),
        false => serde_json::from_str(content),
    };
    text.map_err(|error| D::Error::custom(format!("content of a message: {error}")))
}

/// What echo says, without the ids that differ from one run to the next.
#[derive(Default)]
struct Answer {
    text: String,
    reasoning: String,
    calls: Vec<Call>,
    chunks: Option<usize>,
    delay: Duration,
    status: Option<u16>,
}

struct Call {
    name: String,
    /// A JSON object, as it was written in the marker.
    arguments: String,
}

fn answer(request: &ChatRequest) -> Answer {
    // The very last message may be a system message, or a start that the assistant is to continue.
    let mut turns = request.messages.iter().rev();
    let last = turns.find(|message| matches!(&*message.role, "user" | "tool"));
    let spoken = without_reminders(last.map_or("", |message| &message.content));
    let mut answer = Answer::default();
    if last.is_some_and(|message| message.role == "tool") {
        // The output of a tool may quote the marker that called it: obeying it would never end.
        answer.text = said("The tool", spoken.trim());
    } else {
        answer = parse_markers(&spoken);
        let mut sentences = Vec::new();
        answer.calls.retain(|Call { name, .. }| {
            let quoted = json!(name).to_string();
            let tools: Vec<&RawValue> = request.tools.as_deref().map_or(vec![], parse);
            let mut tools = tools.into_iter();
            let offered = tools.any(|tool| is_at(tool, "function/name", &quoted));
            if !offered {
                sentences.push(format!("The tool {name} was not offered."));
            }
            offered
        });
        if !answer.text.is_empty() || answer.calls.is_empty() && sentences.is_empty() {
            sentences.insert(0, said("You", &answer.text));
        }
        if let Some(count) = answer.chunks {
            sentences = (1..=count).map(|number| format!("word{number}")).collect();
        }
        answer.text = sentences.join(" ");
    }
    if let Some(format) = &request.response_format
        && !answer.text.is_empty()
        && (is_at(format, "type", "\"json_schema\"") || is_at(format, "type", "\"json_object\""))
    {
        answer.text = match look_up(format, "json_schema/schema") {
            Some(schema) => document(schema, schema, 0),
            None => json!({ "answer": answer.text }).to_string(),
        };
    }
    answer
}

fn said(who: &str, text: &str) -> String {
    match text {
        "" => format!("{who} said nothing."),
        text => format!("{who} said: {text}"),
    }
}

/// `text` without the blocks that Claude Code adds to what its user typed.
fn without_reminders(text: &str) -> String {
    let (mut kept, mut rest) = (String::new(), text);
    while let Some((before, block)) = rest.split_once("<system-reminder>")
        && let Some((_, after)) = block.split_once("</system-reminder>")
    {
        kept.push_str(before);
        rest = after;
    }
    kept + rest
}

/// Takes a user message apart into what its markers ask for and the text around them.
///
/// An unknown marker, or one with a bad value, stays in the text and so shows in the answer.
fn parse_markers(message: &str) -> Answer {
    let mut answer = Answer::default();
    let (mut text, mut rest) = (String::new(), message);
    while let Some(start) = rest.find("[[") {
        text.push_str(&rest[..start]);
        rest = parse_marker(&rest[start + 2..], &mut answer).unwrap_or_else(|| {
            // One bracket only: a marker may begin at the next one.
            text.push('[');
            &rest[start + 1..]
        });
    }
    answer.text = (text + rest).trim().to_owned();
    answer
}

/// Adds the marker whose brackets end where `marker` begins, and returns what follows it.
fn parse_marker<'a>(marker: &'a str, answer: &mut Answer) -> Option<&'a str> {
    if let Some(call) = marker.strip_prefix("tool:") {
        let (name, rest) = call.split_at(call.find([' ', '\n', '{', ']'])?);
        let (mut arguments, mut rest) = ("{}", rest.trim_start());
        if rest.starts_with('{') {
            // The JSON may have brackets inside, so only a parser finds its end.
            let mut values = serde_json::Deserializer::from_str(rest).into_iter::<&RawValue>();
            arguments = values.next()?.ok()?.get();
            rest = rest[values.byte_offset()..].trim_start();
        }
        let after = rest.strip_prefix("]]").filter(|_| !name.is_empty())?;
        let (name, arguments) = (name.to_owned(), arguments.to_owned());
        answer.calls.push(Call { name, arguments });
        return Some(after);
    }
    let (inside, after) = marker.split_once("]]")?;
    let (name, value) = inside.split_once(':')?;
    match (name, value.parse::<u64>()) {
        ("think", _) => answer.reasoning.push_str(value),
        ("chunks", Ok(count)) => answer.chunks = Some(count.min(100_000) as usize),
        ("delay", Ok(millis)) => answer.delay = Duration::from_millis(millis.min(60_000)),
        ("status", Ok(code @ 400..=599)) => answer.status = Some(code as u16),
        _ => return None,
    }
    Some(after)
}

/// A small JSON document that fits the structure of `schema`, a part of `root`.
///
/// Lengths, ranges, patterns and formats are not looked at. The limit of depth ends a schema that
/// requires itself, which no document fits; references use more of it, since they multiply.
fn document(root: &RawValue, schema: &RawValue, depth: usize) -> String {
    let schema: Members = parse(schema);
    let keyword = |name| schema.get(name).copied().unwrap_or(RawValue::NULL);
    let first = |name| parse::<Vec<&RawValue>>(keyword(name)).first().copied();
    if let Some(value) = schema.get("const").copied().or_else(|| first("enum")) {
        return value.get().to_owned();
    }
    let reference = keyword("$ref").get().strip_prefix("\"#/");
    let target = reference.and_then(|path| look_up(root, path.trim_end_matches('"')));
    let variant = || ["anyOf", "oneOf", "allOf"].into_iter().find_map(first);
    // `type` is a string or an array of strings: either way its first quoted word.
    let kind = keyword("type").get().split('"').nth(1);
    let object = schema.get("properties").map(|_| "object");
    match (target.or_else(variant), kind.or(object)) {
        _ if depth > 24 => "null".to_owned(),
        (Some(schema), _) => document(root, schema, depth + 4),
        (None, Some("object")) => {
            let properties: Members = parse(keyword("properties"));
            let member = |name: String| {
                let property = properties.get(&name).copied().unwrap_or(RawValue::NULL);
                format!("{}:{}", json!(name), document(root, property, depth + 1))
            };
            let required: Vec<String> = parse(keyword("required"));
            let members: Vec<String> = required.into_iter().map(member).collect();
            format!("{{{}}}", members.join(","))
        }
        (None, Some("array")) => "[]".to_owned(),
        (None, Some("string")) => "\"echo\"".to_owned(),
        (None, Some("number" | "integer")) => "1".to_owned(),
        (None, Some("boolean")) => "true".to_owned(),
        _ => "null".to_owned(),
    }
}

type Members<'a> = BTreeMap<String, &'a RawValue>;

/// `json` as a `T`, which leaves what it contains unparsed; an empty one if it is something else.
fn parse<'a, T: Deserialize<'a> + Default>(json: &'a RawValue) -> T {
    serde_json::from_str(json.get()).unwrap_or_default()
}

/// The value at `path` below `object`, of keys joined by slashes.
fn look_up<'a>(object: &'a RawValue, path: &str) -> Option<&'a RawValue> {
    let mut keys = path.split('/');
    keys.try_fold(object, |object, key| parse::<Members>(object).remove(key))
}

fn is_at(object: &RawValue, path: &str, json: &str) -> bool {
    look_up(object, path).is_some_and(|value| value.get() == json)
}

impl Answer {
    fn finish_reason(&self) -> &'static str {
        match self.calls.len() {
            0 => "stop",
            _ => "tool_calls",
        }
    }

    /// Four bytes make about one token. Clients may divide by a count, so none is 0.
    fn usage(&self, request: &ChatRequest) -> Value {
        let asked = request.messages.iter().map(|message| message.content.len());
        let arguments = self.calls.iter().map(|call| call.arguments.len());
        let said = self.reasoning.len() + self.text.len() + arguments.sum::<usize>();
        let (prompt, completion) = ((asked.sum::<usize>() / 4).max(1), (said / 4).max(1));
        json!({ "prompt_tokens": prompt, "completion_tokens": completion,
            "total_tokens": prompt + completion })
    }

    /// The `message` of an answer that is not streamed. Without text, tool calls come with null.
    fn message(&self, id: u64) -> Value {
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

/// Gives each request a thread of its own, for ever.
fn receive(server: &Server) {
    loop {
        let request = match server.recv() {
            Ok(request) => Arc::new(Mutex::new(Some(request))),
            Err(error) => {
                // tiny_http says this once, and goes on with the connections it has.
                log::error!("the echo provider takes no more connections: {error}");
                continue;
            }
        };
        let serve = move || {
            let mut slot = request.lock().expect("nothing panics under this lock");
            let request = slot.take();
            drop(slot);
            // A failed write means that the client is gone. After a panic tiny_http answers 500.
            let _ = catch_unwind(AssertUnwindSafe(|| request.map(respond)));
        };
        let thread = thread::Builder::new().name("echo".to_owned()).stack_size(128 * 1024);
        // Where no thread starts, the request is still here: a late answer is better than none.
        if thread.spawn(serve.clone()).is_err() {
            serve();
        }
    }
}

fn respond(mut request: Request) -> io::Result<()> {
    let mut body = Vec::new();
    request.as_reader().read_to_end(&mut body)?;
    let path = request.url().split('?').next().unwrap_or_default();
    let (status, message) = match (request.method(), path.strip_prefix("/v1").unwrap_or(path)) {
        (Method::Get, "/models") => {
            let model =
                json!({ "id": "echo", "object": "model", "created": 0, "owned_by": "echo" });
            return send(request, 200, &json!({ "object": "list", "data": [model] }));
        }
        (Method::Post, "/chat/completions") => match serde_json::from_slice(&body) {
            Ok(chat) => return complete(request, &chat),
            Err(error) => (400, format!("the body is no chat completion request: {error}")),
        },
        (method, _) => {
            let served = "POST /v1/chat/completions and GET /v1/models";
            (404, format!("{method} {path} is not served; echo serves {served}"))
        }
    };
    refuse(request, status, &message)
}

fn complete(request: Request, chat: &ChatRequest) -> io::Result<()> {
    static IDS: AtomicU64 = AtomicU64::new(1);
    let answer = answer(chat);
    if let Some(status) = answer.status {
        let message = format!("the marker [[status:{status}]] asked for this error");
        return refuse(request, status, &message);
    }
    // One number for the answer, then one for each call: taken together, so that none comes twice.
    let id = IDS.fetch_add(1 + answer.calls.len() as u64, Relaxed);
    if chat.stream == Some(true) {
        return stream(request.into_writer(), chat, &answer, id);
    }
    let model = chat.model.as_deref().unwrap_or("echo");
    let choice = json!({ "index": 0, "message": answer.message(id + 1), "logprobs": null,
        "finish_reason": answer.finish_reason() });
    let completion = json!({ "id": format!("chatcmpl-echo-{id}"), "object": "chat.completion",
        "created": 0, "model": model, "choices": [choice], "usage": answer.usage(chat) });
    send(request, 200, &completion)
}

fn refuse(request: Request, status: u16, message: &str) -> io::Result<()> {
    let kind = match status {
        429 => "rate_limit_exceeded",
        500.. => "server_error",
        _ => "invalid_request_error",
    };
    let error = json!({ "message": message, "type": kind, "param": null, "code": null });
    send(request, status, &json!({ "error": error }))
}

fn send(request: Request, status: u16, body: &Value) -> io::Result<()> {
    let header = |line: &str| line.parse::<Header>().expect("this header is well formed");
    // Above a threshold, tiny_http leaves Content-Length for chunks.
    let mut response = Response::from_string(body.to_string()).with_chunked_threshold(usize::MAX);
    response.add_header(header("Content-Type: application/json"));
    if matches!(status, 429 | 503) {
        response.add_header(header("Retry-After: 1"));
    }
    request.respond(response.with_status_code(status))
}

/// Streams the answer with a framing of its own, since `respond` holds a stream back to its end.
fn stream(mut writer: impl Write, chat: &ChatRequest, answer: &Answer, id: u64) -> io::Result<()> {
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
        writer.flush()?;
        if ended {
            return Ok(());
        }
        packet.clear();
        thread::sleep(answer.delay);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_leave_the_text() {
        let check = |message: &str, wanted: &str| {
            let Answer { text, reasoning, calls, chunks, delay, status } = parse_markers(message);
            let calls = calls.iter().map(|call| format!("{}{}", call.name, call.arguments));
            let calls: String = calls.collect();
            let parsed = format!("{text}|{reasoning}|{calls}|{chunks:?} {delay:?} {status:?}");
            assert_eq!(parsed, wanted, "{message}");
        };
        check(
            r#"do [[tool:a {"x":"]]}", "y":[[1]]} ]][[tool:b]] it[[tool:c{}]]"#,
            r#"do  it||a{"x":"]]}", "y":[[1]]}b{}c{}|None 0ns None"#,
        );
        check(
            "[[think:a ]][[think:b]][[chunks:200000]] [[delay:70000]][[status:503]][[[x]]]",
            "[[[x]]]|a b||Some(100000) 60s Some(503)",
        );
        let bad_calls = ["[[tool:]]", "[[tool:a {]]", "[[tool:a [1]]]"];
        let bad_values = ["[[", "[[é]]", "[[think:é", "[[status:200]]"];
        for message in bad_calls.into_iter().chain(bad_values) {
            check(message, &format!("{message}|||None 0ns None"));
        }
    }

    #[test]
    fn the_text_tells_what_was_said() {
        let check = |role: &str, content: &str, text: &str| {
            let messages = json!([{ "role": role, "content": content }]);
            let tools = json!([{ "function": { "name": "a" } }]);
            let request = json!({ "messages": messages, "tools": tools }).to_string();
            let request = serde_json::from_str(&request).expect("this is a request");
            assert_eq!(answer(&request).text, text, "{content}");
        };
        let reminder = "<system-reminder>[[status:500]]</system-reminder>";
        check("user", &format!(" {reminder} "), "You said nothing.");
        check("user", &format!("a{reminder}b<"), "You said: ab<");
        check("user", "[[tool:a]]", "");
        check("user", "[[tool:a]] b", "You said: b");
        check("user", "[[tool:b]]", "The tool b was not offered.");
        check("user", "[[chunks:3]]", "word1 word2 word3");
        check("tool", "[[tool:a]]", "The tool said: [[tool:a]]");
    }

    #[test]
    fn documents_fit_their_schema() {
        let check = |schema: Value, wanted: &str| {
            let raw = RawValue::from_string(schema.to_string()).expect("a Value is JSON");
            assert_eq!(document(&raw, &raw, 0), wanted, "{schema}");
        };
        check(json!({ "const": null, "type": "string" }), "null");
        check(json!({ "enum": ["a", "b"], "type": "string" }), r#""a""#);
        check(json!({ "anyOf": [{ "type": ["integer"] }, {}] }), "1");
        let properties = json!({ "a\"": { "type": "string" }, "b": { "$ref": "#/$defs/c" } });
        check(
            json!({ "type": "object", "required": ["b", "a\""], "properties": properties,
                "$defs": { "c": { "type": "array" } } }),
            r#"{"b":[],"a\"":"echo"}"#,
        );
        let endless = json!({ "required": ["a"],
            "properties": { "a": { "$ref": "#/$defs/again" } } });
        check(
            json!({ "$ref": "#/$defs/again", "$defs": { "again": endless } }),
            r#"{"a":{"a":{"a":{"a":{"a":null}}}}}"#,
        );
    }
}
