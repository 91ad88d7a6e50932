//! The embedded provider `echo`: an OpenAI-compatible server inside the process.
//!
//! It needs no key and no network, so the first README command, smoke tests and load tests use it.
//! It follows <https://platform.openai.com/docs/api-reference/chat> and answers `You said: TEXT`
//! with the text of the last user message, or a JSON document where `response_format` wants one.
//! The first answer of a conversation also tells what was proved by it, and what to type next.
//! Where `tool_choice` wants a call, it is one with the smallest arguments that the tool takes.
//! Marks in the user's message ask for more:
//!
//! | mark | what it does |
//! |---|---|
//! | `[[tool:NAME {json}]]` | calls the tool NAME if it was offered; may be repeated |
//! | `[[think:TEXT]]` | sends TEXT as `reasoning_content` first |
//! | `[[chunks:N]]` | makes the text N words, each a chunk of the stream |
//! | `[[delay:MS]]` | pauses between the chunks of a stream |
//! | `[[status:CODE]]` | answers this HTTP status, 400 to 599, with an error |

mod answer;
mod completion;
mod marks;
mod pattern;
mod request;
mod smallest;
mod wire;

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde_json::{Value, json};

use answer::answer;
use completion::stream;
use request::ChatRequest;
use wire::{Request, receive};

use crate::http::{push_header, push_status};
use crate::threads;

/// Connects to the echo server, which is a thread at the other end. Nobody else can: the connection
/// has no name.
///
/// # Errors
/// No descriptors, or no thread.
pub fn connect() -> io::Result<UnixStream> {
    let (client, server) = UnixStream::pair()?;
    // A failed read or write means that the client is gone.
    threads::start("echo", STACK, move || drop(serve(&server)))?;
    Ok(client)
}

/// The stack of a connection's thread. What is not used of it costs nothing; a schema that is
/// nested as deep as `smallest` goes uses about half.
const STACK: usize = 512 * 1024;

/// Answers one request after another.
fn serve(mut connection: &UnixStream) -> io::Result<()> {
    let mut bytes = Vec::new();
    while let Some(Request { method, path, body }) = receive(connection, &mut bytes)? {
        let answered =
            catch_unwind(AssertUnwindSafe(|| respond(connection, &method, &path, &body)));
        answered.unwrap_or_else(|_| {
            connection.write_all(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n")
        })?;
    }
    Ok(())
}

fn respond(writer: impl Write, method: &str, path: &str, body: &[u8]) -> io::Result<()> {
    let (status, message) = match (method, path.strip_prefix("/v1").unwrap_or(path)) {
        ("GET", "/models") => {
            let model =
                json!({ "id": "echo", "object": "model", "created": 0, "owned_by": "echo" });
            return send(writer, 200, &json!({ "object": "list", "data": [model] }));
        }
        ("POST", "/chat/completions") => match serde_json::from_slice(body) {
            Ok(chat) => return complete(writer, &chat),
            Err(error) => (400, format!("the body is no chat completion request: {error}")),
        },
        _ => {
            let served = "POST /v1/chat/completions and GET /v1/models";
            (404, format!("{method} {path} is not served; echo serves {served}"))
        }
    };
    refuse(writer, status, &message)
}

fn complete(writer: impl Write, chat: &ChatRequest) -> io::Result<()> {
    static IDS: AtomicU64 = AtomicU64::new(1);
    let answer = answer(chat);
    if let Some(status) = answer.status {
        let message = format!("the mark [[status:{status}]] asked for this error");
        return refuse(writer, status, &message);
    }
    // One number for the answer, then one for each call: taken together, so that none comes twice.
    let id = IDS.fetch_add(1 + answer.calls.len() as u64, Relaxed);
    if chat.stream == Some(true) {
        return stream(writer, chat, &answer, id);
    }
    let model = chat.model.as_deref().unwrap_or("echo");
    let choice = json!({ "index": 0, "message": answer.message(id + 1), "logprobs": null,
        "finish_reason": answer.finish_reason() });
    let completion = json!({ "id": format!("chatcmpl-echo-{id}"), "object": "chat.completion",
        "created": 0, "model": model, "choices": [choice], "usage": answer.usage(chat) });
    send(writer, 200, &completion)
}

fn refuse(writer: impl Write, status: u16, message: &str) -> io::Result<()> {
    let kind = match status {
        429 => "rate_limit_exceeded",
        500.. => "server_error",
        _ => "invalid_request_error",
    };
    let error = json!({ "message": message, "type": kind, "param": null, "code": null });
    send(writer, status, &json!({ "error": error }))
}

fn send(mut writer: impl Write, status: u16, body: &Value) -> io::Result<()> {
    let body = body.to_string();
    let mut out = Vec::with_capacity(256 + body.len());
    push_status(&mut out, status);
    push_header(&mut out, "Content-Type", "application/json");
    push_header(&mut out, "Content-Length", &body.len().to_string());
    if matches!(status, 429 | 503) {
        push_header(&mut out, "Retry-After", "1");
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body.as_bytes());
    writer.write_all(&out)
}
