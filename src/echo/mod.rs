//! The embedded provider `echo`: an OpenAI-compatible server inside the process.
//!
//! It needs no key and no network, so the first README command, smoke tests and load tests use it.
//! It follows <https://platform.openai.com/docs/api-reference/chat> and answers `You said: TEXT`
//! with the text of the last user message, or a JSON document where `response_format` wants one. The
//! first answer of a conversation also tells what was proved by it, and what to type next. Where
//! `tool_choice` wants a call, it is one with the smallest arguments that the tool takes. Marks in
//! the user's message ask for more:
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

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};
use tiny_http::{Header, Method, Request, Response, Server};

use answer::answer;
use completion::stream;
use request::ChatRequest;

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

/// The stack of a request's thread. What is not used of it costs nothing; a schema that is nested as
/// deep as `smallest` goes uses about half.
const STACK: usize = 512 * 1024;

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
        let thread = thread::Builder::new().name("echo".to_owned()).stack_size(STACK);
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
        let message = format!("the mark [[status:{status}]] asked for this error");
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
