//! The answer on the wire, written to the client itself: head, JSON body, or a stream of events in
//! chunks.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Instant;

use crate::anthropic::Event;
use crate::error::{Error, Retry};
use crate::exchange::Exchange;
use crate::health::Health;
use crate::http::{push_date, push_header, push_origin, push_retry, push_status};
use crate::line::{Line, Peer};
use crate::relay::EventWriter;

/// The longest value of a note.
const MAX_NOTE_CHARS: usize = 1000;

/// An answer in the making. Whatever happens to the thread that makes it, the client gets an end:
/// dropping an unfinished one sends an error.
pub(super) struct Reply {
    /// The client's connection, until the answer is complete.
    line: Option<Line>,
    pub request_id: String,
    /// The page that may read the answer.
    origin: Option<String>,
    /// Headers that tell what was done: names, and values of any text.
    pub notes: Vec<(&'static str, String)>,
    state: State,
    /// What is written, in one piece. Its memory is used again for the next piece.
    out: Vec<u8>,
    tally: Tally,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Fresh,
    Streaming,
    Done,
}

/// Counts the request when it has been answered.
struct Tally {
    health: Arc<Health>,
    method: &'static str,
    route: &'static str,
    status: u16,
    began: Instant,
}

impl Reply {
    /// The reply to a request, on the client's connection.
    pub(super) fn new(line: Line, exchange: &Exchange, health: &Arc<Health>) -> Reply {
        let tally = Tally {
            health: Arc::clone(health),
            method: exchange.method,
            route: exchange.call.route(),
            status: 200,
            began: Instant::now(),
        };
        Reply {
            line: Some(line),
            request_id: exchange.request_id.clone(),
            origin: exchange.origin.clone(),
            notes: Vec::new(),
            state: State::Fresh,
            out: Vec::with_capacity(1024),
            tally,
        }
    }

    /// Answers with a JSON body.
    ///
    /// # Errors
    /// The client has gone.
    pub(super) fn json(mut self, status: u16, body: &[u8]) -> io::Result<()> {
        self.respond(status, body, &Retry::default())
    }

    /// Answers with an error in Anthropic's shape.
    pub(super) fn error(mut self, error: &Error) {
        let _ = self.send_error(error);
    }

    fn respond(&mut self, status: u16, body: &[u8], retry: &Retry) -> io::Result<()> {
        self.state = State::Done;
        self.head(status);
        let out = &mut self.out;
        push_retry(out, retry);
        push_header(out, "Content-Type", "application/json");
        push_header(out, "Content-Length", &body.len().to_string());
        out.extend_from_slice(b"\r\n");
        if self.line.as_ref().is_some_and(|line| !line.manner.head_only) {
            out.extend_from_slice(body);
        }
        self.send_last()
    }

    fn send_error(&mut self, error: &Error) -> io::Result<()> {
        let body = error.body(&self.request_id);
        self.respond(error.status(), &body, &error.retry())
    }

    /// The client has gone, or cannot be told any more: its connection is closed.
    pub(super) fn abandon(mut self) {
        self.state = State::Done;
        self.line = None;
    }

    /// Begins the answer: status line and the headers that every one has.
    fn head(&mut self, status: u16) {
        self.tally.status = status;
        let Reply { out, line, request_id, origin, notes, .. } = self;
        out.clear();
        push_status(out, status);
        push_date(out);
        push_header(out, "Request-Id", request_id);
        push_header(out, "Cache-Control", "no-store");
        push_header(out, "X-Content-Type-Options", "nosniff");
        if line.as_ref().is_some_and(|line| line.manner.close) {
            push_header(out, "Connection", "close");
        }
        if let Some(origin) = origin {
            let names: Vec<&str> = notes.iter().map(|(name, _)| *name).collect();
            push_origin(out, origin, &names);
        }
        for (name, value) in notes.iter() {
            push_header(out, name, &header_value(value));
        }
    }

    /// Sends what was written.
    fn send(&mut self) -> io::Result<()> {
        let line = self.line.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let sent = line.send(&self.out);
        self.out.clear();
        sent
    }

    /// Sends what was written last, and gives the connection back.
    fn send_last(&mut self) -> io::Result<()> {
        let mut line = self.line.take().ok_or(io::ErrorKind::NotConnected)?;
        let Tally { health, method, route, status, began } = &self.tally;
        health.metrics.request((method, route, *status), began.elapsed());
        line.send_last(&self.out)
    }

    /// Whether the body goes in chunks.
    fn is_framed(&self) -> bool {
        self.line.as_ref().is_some_and(|line| !line.manner.old)
    }

    /// Writes a piece of the stream.
    fn push(&mut self, events: &[u8]) {
        if self.is_framed() {
            write!(self.out, "{:x}\r\n", events.len()).expect("a Vec takes every byte");
            self.out.extend_from_slice(events);
            self.out.extend_from_slice(b"\r\n");
        } else {
            self.out.extend_from_slice(events);
        }
    }
}

/// `text` as a header may hold it, and no longer than is of use: models are named by clients.
fn header_value(text: &str) -> String {
    let visible = |c: char| if (' '..='~').contains(&c) { c } else { '?' };
    text.chars().take(MAX_NOTE_CHARS).map(visible).collect()
}

impl EventWriter for Reply {
    fn adjusted(&mut self, what: &str) {
        const NAME: &str = "x-ccproxy-adjusted";
        match self.notes.iter_mut().find(|(name, _)| *name == NAME) {
            Some((_, value)) => value.push_str(&format!(", {what}")),
            None => self.notes.push((NAME, what.to_owned())),
        }
    }

    fn begin(&mut self) -> io::Result<()> {
        self.state = State::Streaming;
        self.head(200);
        push_header(&mut self.out, "Content-Type", "text/event-stream; charset=utf-8");
        // nginx holds a stream back without it.
        push_header(&mut self.out, "X-Accel-Buffering", "no");
        if self.is_framed() {
            push_header(&mut self.out, "Transfer-Encoding", "chunked");
        }
        self.out.extend_from_slice(b"\r\n");
        Ok(())
    }

    fn write(&mut self, events: &[u8]) -> io::Result<()> {
        self.push(events);
        self.send()
    }

    fn end(&mut self) -> io::Result<()> {
        self.finish(&[])
    }

    fn finish(&mut self, events: &[u8]) -> io::Result<()> {
        self.state = State::Done;
        if !events.is_empty() {
            self.push(events);
        }
        if self.is_framed() {
            self.out.extend_from_slice(b"0\r\n\r\n");
        }
        self.send_last()
    }

    fn peer(&self) -> Option<Arc<Peer>> {
        self.line.as_ref().map(|line| Arc::clone(line.peer()))
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
                self.finish(&events)
            }
        };
    }
}
