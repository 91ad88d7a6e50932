//! The answer on the wire: head, JSON body, or a stream of events in chunks of our own making, since
//! tiny_http holds a stream back to its end.

use std::io::{self, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use tiny_http::Request;

use crate::anthropic::Event;
use crate::error::{Error, Retry};
use crate::exchange::{CLIENT_GONE, Exchange};
use crate::http::{push_header, push_origin, push_retry, push_status};
use crate::relay::EventWriter;

/// The longest value of a note. The door reads an answer's head in 16 KiB.
const MAX_NOTE_CHARS: usize = 1000;

/// An answer in the making. Whatever happens to the thread that makes it, the client gets an end:
/// dropping an unfinished one sends an error.
///
/// The door adds what the client's connection needs: `Connection`, or the framing of HTTP/1.0.
pub struct Reply {
    writer: Box<dyn Write + Send>,
    client: Option<Arc<TcpStream>>,
    pub request_id: String,
    /// The page that may read the answer.
    origin: Option<String>,
    /// Headers that tell what was done: names, and values of any text.
    pub notes: Vec<(&'static str, String)>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Fresh,
    Streaming,
    Done,
}

impl Reply {
    /// The reply to a request, whose body came with the exchange.
    pub fn new(request: Request, exchange: &Exchange) -> Reply {
        Reply {
            writer: request.into_writer(),
            client: Some(Arc::clone(&exchange.client)),
            request_id: exchange.request_id.clone(),
            origin: exchange.origin.clone(),
            notes: Vec::new(),
            state: State::Fresh,
        }
    }

    /// Answers a request without an exchange: the API is there.
    pub fn hello(request: Request) {
        let writer = request.into_writer();
        let reply = Reply {
            writer,
            client: None,
            request_id: String::new(),
            origin: None,
            notes: Vec::new(),
            state: State::Fresh,
        };
        // The door has gone from this connection: nothing is lost.
        let _ = reply.json(200, b"{}");
    }

    /// Answers with a JSON body.
    ///
    /// # Errors
    /// The client has gone.
    pub fn json(mut self, status: u16, body: &[u8]) -> io::Result<()> {
        self.respond(status, body, &Retry::default())
    }

    /// Answers with an error in Anthropic's shape.
    pub fn error(mut self, error: &Error) {
        let _ = self.send_error(error);
    }

    fn respond(&mut self, status: u16, body: &[u8], retry: &Retry) -> io::Result<()> {
        self.state = State::Done;
        let mut out = self.head(status);
        push_retry(&mut out, retry);
        push_header(&mut out, "Content-Type", "application/json");
        push_header(&mut out, "Content-Length", &body.len().to_string());
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(body);
        self.send(&out)
    }

    fn send_error(&mut self, error: &Error) -> io::Result<()> {
        let body = error.body(&self.request_id);
        self.respond(error.status(), &body, &error.retry())
    }

    /// The client has gone: the answer is completed, for nobody, so that the private connection can be
    /// used again. Where the door has dropped it, this fails, and nothing is lost.
    pub fn abandon(mut self) {
        let _ = match self.state {
            State::Fresh => self.respond(CLIENT_GONE, b"", &Retry::default()),
            State::Streaming => self.end(),
            State::Done => Ok(()),
        };
    }

    /// Status line and the headers that every answer has.
    fn head(&self, status: u16) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        push_status(&mut out, status);
        push_header(&mut out, "Request-Id", &self.request_id);
        push_header(&mut out, "Cache-Control", "no-store");
        push_header(&mut out, "X-Content-Type-Options", "nosniff");
        if let Some(origin) = &self.origin {
            let notes: Vec<&str> = self.notes.iter().map(|(name, _)| *name).collect();
            push_origin(&mut out, origin, &notes);
        }
        for (name, value) in &self.notes {
            push_header(&mut out, name, &header_value(value));
        }
        out
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.write_all(bytes)?;
        self.writer.flush()
    }
}

/// `text` as a header may hold it, and no longer than is of use: models are named by clients.
fn header_value(text: &str) -> String {
    let visible = |c: char| if (' '..='~').contains(&c) { c } else { '?' };
    text.chars().take(MAX_NOTE_CHARS).map(visible).collect()
}

impl EventWriter for Reply {
    fn begin(&mut self) -> io::Result<()> {
        self.state = State::Streaming;
        let mut out = self.head(200);
        push_header(&mut out, "Content-Type", "text/event-stream; charset=utf-8");
        // nginx holds a stream back without it.
        push_header(&mut out, "X-Accel-Buffering", "no");
        push_header(&mut out, "Transfer-Encoding", "chunked");
        out.extend_from_slice(b"\r\n");
        self.send(&out)
    }

    fn write(&mut self, events: &[u8]) -> io::Result<()> {
        let mut out = Vec::with_capacity(events.len() + 16);
        write!(out, "{:x}\r\n", events.len()).expect("a Vec takes every byte");
        out.extend_from_slice(events);
        out.extend_from_slice(b"\r\n");
        self.send(&out)
    }

    fn end(&mut self) -> io::Result<()> {
        self.state = State::Done;
        self.send(b"0\r\n\r\n")
    }

    fn socket(&self) -> Option<RawFd> {
        self.client.as_ref().map(|client| client.as_raw_fd())
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        let error = Error::Internal;
        let _ = match self.state {
            State::Done => Ok(()),
            State::Fresh => self.send_error(&error),
            State::Streaming => {
                let mut events = Vec::new();
                Event::Error { error: &error.detail() }.encode(&mut events);
                self.write(&events).and_then(|()| self.end())
            }
        };
    }
}
