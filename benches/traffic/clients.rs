//! The clients of the measurement: one thread on epoll that sends messages and checks every answer
//! to its end.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::body::{self, Size};
use crate::clock::{MILLISECOND, SECOND, now};
use crate::http::{self, Chunk, Framing};
use crate::plan::{Piece, Plan};
use crate::quantiles;

/// What is waited for an answer, beside what the provider takes for it.
const PATIENCE: u64 = 20 * SECOND;
const READ_BYTES: usize = 256 << 10;
/// How many kinds of faults are told.
const MOST_FAULTS: usize = 5;

/// What is measured of all messages together, in nanoseconds.
#[derive(Default)]
struct Seen {
    /// From the first byte of a request to the last of its answer.
    total: Vec<u64>,
    /// What the first piece and its request were under way, without the provider's own time.
    first: Vec<u64>,
    /// What each piece was under way, from the provider's write to the read here.
    way: Vec<u64>,
    /// How much longer the time between two pieces has become.
    between: Vec<u64>,
    faults: HashMap<String, usize>,
}

impl Seen {
    fn fault(&mut self, fault: String) {
        *self.faults.entry(fault).or_default() += 1;
    }
}

/// An event of a stream, as far as it is checked.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow, default)]
    delta: Delta<'a>,
    #[serde(default)]
    usage: Usage,
}

#[derive(Deserialize, Default)]
struct Delta<'a> {
    text: Option<&'a str>,
    stop_reason: Option<&'a str>,
}

#[derive(Deserialize, Default)]
struct Usage {
    #[serde(default)]
    output_tokens: usize,
}

/// A message that is not streamed.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow)]
    content: Vec<Content<'a>>,
    stop_reason: &'a str,
    usage: Usage,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    text: &'a str,
}

/// How far a stream has come: its events have one order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Nothing,
    Started,
    InBlock,
    BlockEnded,
    Finished,
    Stopped,
}

struct Connection {
    socket: TcpStream,
    /// How much of the request has been written, and since when it is under way.
    sent: usize,
    began: u64,
    /// What has come of the answer and was not used, and its body, whole or without what was used.
    input: Vec<u8>,
    framing: Option<Framing>,
    body: Vec<u8>,
    progress: Progress,
    index: usize,
    /// When the last piece was written, and when it was read.
    last: Option<(u64, u64)>,
    is_waiting: bool,
}

/// What all connections do.
struct Task {
    request: Vec<u8>,
    plan: Plan,
    is_stream: bool,
}

impl Connection {
    fn new(socket: TcpStream) -> Connection {
        Connection {
            socket,
            sent: 0,
            began: 0,
            input: Vec::new(),
            framing: None,
            body: Vec::new(),
            progress: Progress::Nothing,
            index: 0,
            last: None,
            is_waiting: false,
        }
    }

    /// Begins a message.
    fn begin(&mut self, task: &Task) -> Result<(), String> {
        self.sent = 0;
        self.began = now();
        self.framing = None;
        self.body.clear();
        self.progress = Progress::Nothing;
        self.index = 0;
        self.last = None;
        self.is_waiting = true;
        self.send(task)
    }

    /// Sends what can be of the request.
    fn send(&mut self, task: &Task) -> Result<(), String> {
        while self.sent < task.request.len() {
            match self.socket.write(&task.request[self.sent..]) {
                Ok(n) => self.sent += n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(format!("the request could not be sent: {e}")),
            }
        }
        Ok(())
    }

    /// Writes and reads what can be. Returns whether the answer is there, to its end.
    fn turn(&mut self, task: &Task, seen: &mut Seen, scratch: &mut [u8]) -> Result<bool, String> {
        if !self.is_waiting {
            // An event of the time before, or the end of a connection that nobody uses.
            return Ok(false);
        }
        self.send(task)?;
        loop {
            match self.socket.read(scratch) {
                Ok(0) => return Err("the connection ended before the answer".to_owned()),
                Ok(n) => {
                    let at = now();
                    self.input.extend_from_slice(&scratch[..n]);
                    if self.take(task, seen, at)? {
                        seen.total.push(at - self.began);
                        self.is_waiting = false;
                        return Ok(true);
                    }
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(format!("the answer broke off: {e}")),
            }
        }
    }

    /// Takes what was read at `at`. Returns whether the answer has come to its end.
    fn take(&mut self, task: &Task, seen: &mut Seen, at: u64) -> Result<bool, String> {
        let framing = match self.framing {
            Some(framing) => framing,
            None => {
                let Some(head) = http::head(&self.input)? else { return Ok(false) };
                if head.line != "HTTP/1.1 200 OK" {
                    let body = String::from_utf8_lossy(&self.input[head.length..]);
                    return Err(format!("{} {body}", head.line));
                }
                self.input.drain(..head.length);
                *self.framing.insert(head.body)
            }
        };
        let is_whole = match framing {
            Framing::Length(length) => {
                self.body.append(&mut self.input);
                self.body.len() == length
            }
            Framing::Chunked => self.unchunk()?,
        };
        if task.is_stream {
            self.events(task, seen, at)?;
        }
        if !is_whole {
            return Ok(false);
        }
        if !self.input.is_empty() {
            return Err("something follows the answer".to_owned());
        }
        match (task.is_stream, self.progress) {
            (true, Progress::Stopped) if self.body.is_empty() => Ok(true),
            (true, progress) => Err(format!("the stream ends {progress:?}")),
            (false, _) => check_message(&self.body, task.plan).map(|()| true),
        }
    }

    /// Moves what the chunks hold to the body. Returns whether the last one has come.
    fn unchunk(&mut self) -> Result<bool, String> {
        let (mut used, mut is_last) = (0, false);
        while !is_last {
            match http::chunk(&self.input[used..])? {
                Chunk::Partial => break,
                Chunk::Data { data, end } => {
                    self.body.extend_from_slice(&self.input[used + data.start..used + data.end]);
                    used += end;
                }
                Chunk::End { end } => {
                    used += end;
                    is_last = true;
                }
            }
        }
        self.input.drain(..used);
        Ok(is_last)
    }

    /// Checks the events that have come whole.
    fn events(&mut self, task: &Task, seen: &mut Seen, at: u64) -> Result<(), String> {
        let body = std::mem::take(&mut self.body);
        let mut used = 0;
        while let Some(length) = http::find(&body[used..], b"\n\n") {
            let frame =
                std::str::from_utf8(&body[used..used + length]).map_err(|e| e.to_string())?;
            self.event(frame, task, seen, at)?;
            used += length + 2;
        }
        self.body = body;
        self.body.drain(..used);
        Ok(())
    }

    fn event(&mut self, frame: &str, task: &Task, seen: &mut Seen, at: u64) -> Result<(), String> {
        let parts = frame.strip_prefix("event: ").and_then(|frame| frame.split_once("\ndata: "));
        let Some((name, data)) = parts else { return Err(format!("no event: {frame:?}")) };
        let event: Event = serde_json::from_str(data).map_err(|e| format!("{e}: {data}"))?;
        if event.kind != name {
            return Err(format!("an event {name:?} of the type {:?}", event.kind));
        }
        self.progress = match (self.progress, name) {
            (before, "ping") if before != Progress::Stopped => before,
            (Progress::Nothing, "message_start") => Progress::Started,
            (Progress::Started, "content_block_start") => Progress::InBlock,
            (Progress::InBlock, "content_block_delta") => {
                let text = event.delta.text.ok_or("a piece without text")?;
                self.pieces(text, task.plan, seen, at)?;
                Progress::InBlock
            }
            (Progress::InBlock, "content_block_stop") if self.index == task.plan.pieces => {
                Progress::BlockEnded
            }
            (Progress::BlockEnded, "message_delta") => {
                let Usage { output_tokens } = event.usage;
                if event.delta.stop_reason != Some("end_turn") || output_tokens != task.plan.pieces
                {
                    return Err(format!("not the end that was said: {data}"));
                }
                Progress::Finished
            }
            (Progress::Finished, "message_stop") => Progress::Stopped,
            (before, _) => return Err(format!("{before:?} after {} pieces: {data}", self.index)),
        };
        Ok(())
    }

    /// Takes the pieces of a text: a proxy may send several as one.
    fn pieces(&mut self, text: &str, plan: Plan, seen: &mut Seen, at: u64) -> Result<(), String> {
        let mut rest = text;
        while !rest.is_empty() {
            let Some((text, more)) = rest.split_at_checked(plan.bytes) else {
                return Err(format!("a piece of {} bytes", rest.len()));
            };
            let piece = Piece::of(text).filter(|piece| piece.index == self.index);
            let piece = piece.ok_or_else(|| format!("not the piece {}: {text:?}", self.index))?;
            seen.way.push(at.saturating_sub(piece.written));
            if let Some((written, read)) = self.last {
                seen.between.push((at - read).saturating_sub(piece.written - written));
            } else {
                let way_up = piece.received.saturating_sub(self.began);
                seen.first.push(way_up + at.saturating_sub(piece.written));
            }
            self.last = Some((piece.written, at));
            self.index += 1;
            rest = more;
        }
        Ok(())
    }
}

fn check_message(body: &[u8], plan: Plan) -> Result<(), String> {
    let message: Message = serde_json::from_slice(body).map_err(|e| e.to_string())?;
    let [Content { kind: "text", text }] = message.content[..] else {
        return Err(format!("{} blocks for one text", message.content.len()));
    };
    let is_said = text.len() == plan.pieces * plan.bytes
        && text.as_bytes().chunks(plan.bytes).enumerate().all(|(index, piece)| {
            let piece = std::str::from_utf8(piece).ok().and_then(Piece::of);
            piece.is_some_and(|piece| piece.index == index)
        });
    let is_ended = message.kind == "message"
        && message.stop_reason == "end_turn"
        && message.usage.output_tokens == plan.pieces;
    if is_said && is_ended { Ok(()) } else { Err("not the message that was said".to_owned()) }
}

/// Sends messages as `settings` say, and tells what was seen.
///
/// # Errors
/// A setting that is not understood, or no answer at all could be waited for.
pub(crate) fn messages(address: SocketAddr, settings: &[&str]) -> Result<Value, String> {
    let (mut size, mut connections, mut seconds, mut count) = (Size::Small, 1, 0.0, usize::MAX);
    let mut plan = Plan { pieces: 1, bytes: 256, every_ms: 0 };
    let mut is_stream = false;
    for setting in settings {
        let (name, value) =
            setting.split_once('=').ok_or(format!("{setting:?} is no NAME=VALUE"))?;
        let wrong = || format!("{setting:?} is not understood");
        let number = || value.parse::<usize>().map_err(|_| wrong());
        match name {
            "body" => size = Size::of(value).ok_or_else(wrong)?,
            "pieces" => plan.pieces = number()?,
            "bytes" => plan.bytes = number()?,
            "every" => plan.every_ms = number()? as u64,
            "stream" => is_stream = value == "on",
            "connections" => connections = number()?,
            "seconds" => seconds = value.parse().map_err(|_| wrong())?,
            "count" => count = number()?,
            _ => return Err(wrong()),
        }
    }
    let model = plan.to_string();
    if Plan::of(&model) != Some(plan) {
        return Err(format!("{model:?} is not possible"));
    }
    let body = body::body(size, &model, is_stream);
    let mut request = format!(
        "POST /v1/messages HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         anthropic-version: 2023-06-01\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(&body);
    let task = Task { request, plan, is_stream };
    let mut clients = Clients::new(address, task, count, seconds).map_err(|e| e.to_string())?;
    clients.run(connections).map_err(|e| e.to_string())?;
    Ok(clients.report(body.len()))
}

struct Clients {
    address: SocketAddr,
    task: Task,
    poll: Poll,
    connections: Vec<Option<Connection>>,
    /// How many of them wait for an answer.
    waiting: usize,
    /// How many messages are still to be sent, and until when.
    left: usize,
    until: u64,
    seen: Seen,
    began: u64,
    ended: u64,
}

impl Clients {
    fn new(address: SocketAddr, task: Task, count: usize, seconds: f64) -> io::Result<Clients> {
        let began = now();
        Ok(Clients {
            address,
            task,
            poll: Poll::new()?,
            connections: Vec::new(),
            waiting: 0,
            left: count,
            until: if seconds > 0.0 { began + (seconds * SECOND as f64) as u64 } else { u64::MAX },
            seen: Seen::default(),
            began,
            ended: began,
        })
    }

    /// Sends messages on so many connections, and waits for all answers. Streams that are paced
    /// begin within a second, so that they are not in step.
    fn run(&mut self, connections: usize) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        let mut scratch = vec![0; READ_BYTES];
        let step = if self.task.plan.every_ms > 0 { SECOND / connections as u64 } else { 0 };
        let mut look_at = self.began + PATIENCE;
        loop {
            while self.connections.len() < connections
                && now() >= self.began + step * self.connections.len() as u64
            {
                let key = self.connections.len();
                self.connections.push(None);
                self.begin(key)?;
            }
            let has_more = self.connections.len() < connections;
            if self.waiting == 0 && !has_more {
                return Ok(());
            }
            let patience = if has_more { Duration::from_millis(1) } else { Duration::from_secs(1) };
            match self.poll.poll(&mut events, Some(patience)) {
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &events {
                let key = event.token().0;
                let Some(connection) = &mut self.connections[key] else { continue };
                match connection.turn(&self.task, &mut self.seen, &mut scratch) {
                    Ok(false) => continue,
                    Ok(true) => {}
                    Err(fault) => self.break_off(key, fault),
                }
                self.waiting -= 1;
                self.ended = now();
                self.begin(key)?;
            }
            if now() > look_at {
                self.give_up();
                look_at = now() + SECOND;
            }
        }
    }

    /// Begins a message on the connection of this place, made anew if there is none, unless it was
    /// the last one.
    fn begin(&mut self, key: usize) -> io::Result<()> {
        while self.left > 0 && now() < self.until {
            self.left -= 1;
            if self.connections[key].is_none() {
                let socket = TcpStream::connect(self.address)?;
                socket.set_nodelay(true)?;
                socket.set_nonblocking(true)?;
                let interest = Interest::READABLE | Interest::WRITABLE;
                let fd = socket.as_raw_fd();
                self.poll.registry().register(&mut SourceFd(&fd), Token(key), interest)?;
                self.connections[key] = Some(Connection::new(socket));
            }
            let connection = self.connections[key].as_mut().expect("it is there");
            match connection.begin(&self.task) {
                Ok(()) => {
                    self.waiting += 1;
                    return Ok(());
                }
                Err(fault) => self.break_off(key, fault),
            }
        }
        Ok(())
    }

    fn break_off(&mut self, key: usize, fault: String) {
        self.seen.fault(fault);
        self.connections[key] = None;
    }

    /// Waits no more for those whose answer should have come long ago.
    fn give_up(&mut self) {
        let plan = self.task.plan;
        let taken = plan.every_ms * plan.pieces as u64 * MILLISECOND + PATIENCE;
        for key in 0..self.connections.len() {
            let connection = self.connections[key].as_ref();
            if connection.is_some_and(|c| c.is_waiting && now() > c.began + taken) {
                self.break_off(key, "no answer in time".to_owned());
                self.waiting -= 1;
            }
        }
    }

    fn report(self, body_bytes: usize) -> Value {
        let Seen { total, first, way, between, faults } = self.seen;
        let seconds = self.ended.saturating_sub(self.began) as f64 / SECOND as f64;
        let (answered, pieces) = (total.len(), way.len());
        let faulty: usize = faults.values().sum();
        let mut faults: Vec<(String, usize)> = faults.into_iter().collect();
        faults.sort_by_key(|(_, count)| Reverse(*count));
        faults.truncate(MOST_FAULTS);
        json!({
            "body_bytes": body_bytes,
            "answered": answered,
            "faulty": faulty,
            "faults": faults,
            "seconds": seconds,
            "messages_per_s": answered as f64 / seconds,
            "pieces": pieces,
            "pieces_per_s": pieces as f64 / seconds,
            "total_us": quantiles(total),
            "first_us": quantiles(first),
            "way_us": quantiles(way),
            "between_us": quantiles(between),
        })
    }
}
