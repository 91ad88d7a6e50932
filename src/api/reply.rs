//! The answer on the wire: head, JSON body, or a stream of events in chunks of our own making, since
//! tiny_http holds a stream back to its end.

use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use tiny_http::{HTTPVersion, Method, Request};

use super::client;
use crate::anthropic::Event;
use crate::error::{Error, Retry};
use crate::relay::EventWriter;
use crate::unique::unique;

/// An answer in the making. Whatever happens to the thread that makes it, the client gets an end:
/// dropping an unfinished one sends an error.
pub struct Reply {
    writer: Option<Box<dyn Write + Send>>,
    socket: Option<OwnedFd>,
    pub request_id: String,
    head_only: bool,
    /// The client's version: 1.0 knows no chunks.
    old: bool,
    /// The connection is closed after this answer.
    close: bool,
    /// The page that may read the answer.
    origin: Option<String>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Fresh,
    Streaming,
    Done,
}

impl Reply {
    /// The reply to a request whose body is not wanted.
    pub fn new(request: Request) -> Reply {
        Reply::new_for(&request).with(request)
    }

    /// The reply to a request whose body is still to be read; [`Reply::with`] completes it.
    pub fn new_for(request: &Request) -> Reply {
        let old = *request.http_version() < HTTPVersion(1, 1);
        let connection = request.headers().iter().find(|header| header.field.equiv("Connection"));
        let says = |word: &str| {
            connection.is_some_and(|c| c.value.as_str().to_ascii_lowercase().contains(word))
        };
        Reply {
            writer: None,
            socket: client::socket_of(request),
            request_id: unique("req_"),
            head_only: *request.method() == Method::Head,
            old,
            close: says("close") || (old && !says("keep-alive")),
            origin: None,
            state: State::Fresh,
        }
    }

    /// Takes the connection's writing side. The request's body must have been read, or be so small
    /// that tiny_http has read it.
    pub fn with(mut self, request: Request) -> Reply {
        self.take_from(request);
        self
    }

    pub fn take_from(&mut self, request: Request) {
        self.writer = Some(request.into_writer());
    }

    /// Lets the page at `origin` read the answer.
    pub fn allow_origin(&mut self, origin: String) {
        self.origin = Some(origin);
    }

    /// Answers with a JSON body.
    pub fn json(self, status: u16, body: &[u8]) {
        self.respond(status, "application/json", body, &[]);
    }

    /// Answers with an error in Anthropic's shape.
    pub fn error(self, error: &Error) {
        self.error_with(error, &[]);
    }

    /// Answers with an error and further headers.
    pub fn error_with(self, error: &Error, headers: &[(&str, &str)]) {
        let Retry { after, after_ms, should_retry } = error.retry();
        let mut all: Vec<(&str, &str)> = headers.to_vec();
        all.extend(after.as_deref().map(|value| ("Retry-After", value)));
        all.extend(after_ms.as_deref().map(|value| ("Retry-After-Ms", value)));
        all.extend(should_retry.map(|yes| ("X-Should-Retry", if yes { "true" } else { "false" })));
        let body = error.body(&self.request_id);
        self.respond(error.status(), "application/json", &body, &all);
    }

    /// Answers what CORS asks before a call.
    pub fn preflight(self) {
        const ALLOW: &[(&str, &str)] = &[
            ("Allow", "GET, HEAD, POST, OPTIONS"),
            ("Access-Control-Allow-Methods", "GET, HEAD, POST, OPTIONS"),
            // `*` does not cover Authorization.
            ("Access-Control-Allow-Headers", "*, Authorization"),
            ("Access-Control-Max-Age", "86400"),
        ];
        self.respond(204, "", b"", ALLOW);
    }

    /// Sends head and body in one write. A client that has gone misses it.
    pub fn respond(
        mut self,
        status: u16,
        content_type: &str,
        body: &[u8],
        headers: &[(&str, &str)],
    ) {
        self.state = State::Done;
        let mut out = self.head(status);
        for (name, value) in headers {
            push_header(&mut out, name, value);
        }
        if status != 204 {
            push_header(&mut out, "Content-Type", content_type);
            push_header(&mut out, "Content-Length", &body.len().to_string());
        }
        out.extend_from_slice(b"\r\n");
        if !self.head_only {
            out.extend_from_slice(body);
        }
        let _ = self.send(&out);
    }

    /// The client has gone; nothing more is sent.
    pub fn abandon(mut self) {
        self.state = State::Done;
    }

    /// Status line and the headers that every answer has.
    fn head(&self, status: u16) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        let reason = reason(status);
        write!(out, "HTTP/1.1 {status} {reason}\r\n").expect("a Vec takes every byte");
        push_header(&mut out, "Request-Id", &self.request_id);
        push_header(&mut out, "Cache-Control", "no-store");
        push_header(&mut out, "X-Content-Type-Options", "nosniff");
        if let Some(origin) = &self.origin {
            push_header(&mut out, "Access-Control-Allow-Origin", origin);
            push_header(&mut out, "Access-Control-Expose-Headers", "request-id");
            push_header(&mut out, "Vary", "Origin");
        }
        if self.close {
            push_header(&mut out, "Connection", "close");
        }
        out
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let writer = self.writer.as_mut().expect("with() comes before any answer");
        writer.write_all(bytes)?;
        writer.flush()
    }
}

impl EventWriter for Reply {
    fn begin(&mut self) -> io::Result<()> {
        self.state = State::Streaming;
        let mut out = self.head(200);
        push_header(&mut out, "Content-Type", "text/event-stream; charset=utf-8");
        // nginx holds a stream back without it.
        push_header(&mut out, "X-Accel-Buffering", "no");
        if !self.old {
            push_header(&mut out, "Transfer-Encoding", "chunked");
        }
        out.extend_from_slice(b"\r\n");
        self.send(&out)
    }

    fn write(&mut self, events: &[u8]) -> io::Result<()> {
        if self.old {
            return self.send(events);
        }
        let mut out = Vec::with_capacity(events.len() + 16);
        write!(out, "{:x}\r\n", events.len()).expect("a Vec takes every byte");
        out.extend_from_slice(events);
        out.extend_from_slice(b"\r\n");
        self.send(&out)
    }

    fn end(&mut self) -> io::Result<()> {
        self.state = State::Done;
        if self.old { Ok(()) } else { self.send(b"0\r\n\r\n") }
    }

    fn socket(&self) -> Option<RawFd> {
        self.socket.as_ref().map(AsRawFd::as_raw_fd)
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if self.state == State::Done || self.writer.is_none() {
            return;
        }
        let error = Error::Upstream {
            status: 500,
            message: "ccproxy met a bug of its own; please report it".to_owned(),
            retry: Retry::default(),
        };
        if self.state == State::Fresh {
            let mut out = self.head(500);
            let body = error.body(&self.request_id);
            push_header(&mut out, "Content-Type", "application/json");
            push_header(&mut out, "Content-Length", &body.len().to_string());
            out.extend_from_slice(b"\r\n");
            out.extend_from_slice(&body);
            let _ = self.send(&out);
        } else {
            let mut events = Vec::new();
            Event::Error { error: &error.detail() }.encode(&mut events);
            let _ = self.write(&events).and_then(|()| self.end());
        }
    }
}

fn push_header(out: &mut Vec<u8>, name: &str, value: &str) {
    write!(out, "{name}: {value}\r\n").expect("a Vec takes every byte");
}

/// The reason phrase of the statuses that ccproxy sends.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        529 => "Overloaded",
        _ => "Error",
    }
}
