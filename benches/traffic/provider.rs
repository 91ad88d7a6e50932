//! The provider of the measurement: one thread on epoll that answers as the model's name says (see
//! [`Plan`]), in OpenAI's form and in Anthropic's, and stamps each piece with the time at which it is
//! written.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use crate::clock::{MILLISECOND, now};
use crate::http::{self, Framing};
use crate::plan::{Piece, Plan};

const LISTENER: Token = Token(0);
const STDIN: Token = Token(1);
const FIRST: usize = 2;

/// What is read at once, and how much of a body is looked at for the model's name.
const READ_BYTES: usize = 64 << 10;
const LOOK_BYTES: usize = 4096;

/// Which API is spoken, by the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Api {
    ChatCompletions,
    Messages,
}

/// A request whose body is coming.
struct Request {
    api: Api,
    /// What has come of the body, as far as it is looked at, and how much is still to come.
    beginning: Vec<u8>,
    left: usize,
}

/// A stream that is being written.
struct Answer {
    api: Api,
    plan: Plan,
    received: u64,
    /// The piece that is next.
    index: usize,
}

struct Connection {
    socket: TcpStream,
    input: Vec<u8>,
    request: Option<Request>,
    answer: Option<Answer>,
    output: Vec<u8>,
}

struct Provider {
    poll: Poll,
    listener: TcpListener,
    connections: HashMap<usize, Connection>,
    next: usize,
    /// Streams without a pause, in turn.
    flat_out: VecDeque<usize>,
    /// When a piece of which stream is due.
    due: BinaryHeap<Reverse<(u64, usize)>>,
    scratch: Box<[u8]>,
}

/// Listens on a free port of the loopback, which it prints, until its stdin is closed.
///
/// # Errors
/// It cannot listen, or not go on.
pub(crate) fn serve() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let poll = Poll::new()?;
    let fd = listener.as_raw_fd();
    poll.registry().register(&mut SourceFd(&fd), LISTENER, Interest::READABLE)?;
    // Whoever has started this ends it by going away.
    poll.registry().register(&mut SourceFd(&io::stdin().as_raw_fd()), STDIN, Interest::READABLE)?;
    println!("{}", listener.local_addr()?);
    let mut provider = Provider {
        poll,
        listener,
        connections: HashMap::new(),
        next: FIRST,
        flat_out: VecDeque::new(),
        due: BinaryHeap::new(),
        scratch: vec![0; READ_BYTES].into_boxed_slice(),
    };
    let mut events = Events::with_capacity(1024);
    loop {
        let patience = provider.patience();
        match provider.poll.poll(&mut events, patience) {
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &events {
            match event.token() {
                LISTENER => provider.accept()?,
                STDIN => return Ok(()),
                Token(key) => provider.turn(key),
            }
        }
        provider.write_due();
        provider.write_flat_out();
    }
}

impl Provider {
    fn patience(&self) -> Option<Duration> {
        if !self.flat_out.is_empty() {
            return Some(Duration::ZERO);
        }
        self.due.peek().map(|Reverse((at, _))| Duration::from_nanos(at.saturating_sub(now())))
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let socket = match self.listener.accept() {
                Ok((socket, _)) => socket,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e),
            };
            socket.set_nodelay(true)?;
            socket.set_nonblocking(true)?;
            let interest = Interest::READABLE | Interest::WRITABLE;
            let fd = socket.as_raw_fd();
            self.poll.registry().register(&mut SourceFd(&fd), Token(self.next), interest)?;
            let connection = Connection {
                socket,
                input: Vec::new(),
                request: None,
                answer: None,
                output: Vec::new(),
            };
            self.connections.insert(self.next, connection);
            self.next += 1;
        }
    }

    /// Reads and writes what can be; a connection that breaks is forgotten.
    fn turn(&mut self, key: usize) {
        let Some(connection) = self.connections.get_mut(&key) else { return };
        match connection.turn(&mut self.scratch) {
            Ok(None) => {}
            Ok(Some(plan)) if plan.every_ms == 0 => self.flat_out.push_back(key),
            Ok(Some(plan)) => self.due.push(Reverse((now() + plan.every_ms * MILLISECOND, key))),
            Err(_) => {
                self.connections.remove(&key);
            }
        }
    }

    fn write_due(&mut self) {
        while let Some(Reverse((at, key))) = self.due.peek().copied() {
            if at > now() {
                return;
            }
            self.due.pop();
            if let Some(plan) = self.write_piece(key) {
                // By the beginning, so that what is late once is not late for ever.
                self.due.push(Reverse((at + plan.every_ms * MILLISECOND, key)));
            }
        }
    }

    /// Writes one piece of each stream, so that they come as interleaved as those of many users.
    fn write_flat_out(&mut self) {
        for _ in 0..self.flat_out.len() {
            let Some(key) = self.flat_out.pop_front() else { return };
            if self.write_piece(key).is_some() {
                self.flat_out.push_back(key);
            }
        }
    }

    /// Writes the next piece. Returns the plan as long as there is another.
    fn write_piece(&mut self, key: usize) -> Option<Plan> {
        let connection = self.connections.get_mut(&key)?;
        let answer = connection.answer.as_mut()?;
        let plan = answer.plan;
        // Who does not read is waited for.
        if connection.output.is_empty() {
            answer.push_piece(&mut connection.output);
            if answer.index == plan.pieces {
                answer.push_end(&mut connection.output);
                connection.answer = None;
            }
            if connection.write().is_err() {
                self.connections.remove(&key);
                return None;
            }
            connection.answer.as_ref()?;
        }
        Some(plan)
    }
}

impl Connection {
    /// Reads and answers. Returns the plan of a stream that begins.
    fn turn(&mut self, scratch: &mut [u8]) -> io::Result<Option<Plan>> {
        self.write()?;
        let mut begun = None;
        loop {
            match self.socket.read(scratch) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(n) => {
                    if let Some(plan) = self.take(&scratch[..n])? {
                        begun = Some(plan);
                    }
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(begun),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Takes what was read: a head, or more of a body.
    fn take(&mut self, mut bytes: &[u8]) -> io::Result<Option<Plan>> {
        let bad = |reason: String| io::Error::new(ErrorKind::InvalidData, reason);
        if self.request.is_none() {
            self.input.extend_from_slice(bytes);
            let Some(head) = http::head(&self.input).map_err(bad)? else { return Ok(None) };
            let Framing::Length(left) = head.body else {
                return Err(bad("bodies have a length here".to_owned()));
            };
            let api = match head.line.split(' ').nth(1) {
                Some("/v1/chat/completions") => Api::ChatCompletions,
                Some("/v1/messages") => Api::Messages,
                _ => return Err(bad(format!("{:?} is not answered", head.line))),
            };
            let rest = self.input.split_off(head.length);
            self.input.clear();
            self.request = Some(Request { api, beginning: Vec::new(), left });
            return if rest.is_empty() && left > 0 { Ok(None) } else { self.take(&rest) };
        }
        let request = self.request.as_mut().expect("its head has come");
        let n = bytes.len().min(request.left);
        let looked_at = n.min(LOOK_BYTES - request.beginning.len());
        request.beginning.extend_from_slice(&bytes[..looked_at]);
        request.left -= n;
        bytes = &bytes[n..];
        if !bytes.is_empty() {
            return Err(bad("more than a request has come".to_owned()));
        }
        if request.left > 0 {
            return Ok(None);
        }
        let Request { api, beginning, .. } = self.request.take().expect("it is there");
        let plan = string_after(&beginning, b"\"model\":\"").and_then(Plan::of);
        let plan = plan.ok_or_else(|| bad("the model is no plan".to_owned()))?;
        let is_stream = http::find(&beginning, b"\"stream\":true").is_some();
        let answer = Answer { api, plan, received: now(), index: 0 };
        if is_stream {
            answer.push_start(&mut self.output);
            self.answer = Some(answer);
        } else {
            answer.push_whole(&mut self.output);
        }
        self.write()?;
        Ok(is_stream.then_some(plan))
    }

    fn write(&mut self) -> io::Result<()> {
        let mut sent = 0;
        while sent < self.output.len() {
            match self.socket.write(&self.output[sent..]) {
                Ok(n) => sent += n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        self.output.drain(..sent);
        Ok(())
    }
}

fn string_after<'a>(bytes: &'a [u8], mark: &[u8]) -> Option<&'a str> {
    let begin = http::find(bytes, mark)? + mark.len();
    let length = bytes[begin..].iter().position(|byte| *byte == b'"')?;
    std::str::from_utf8(&bytes[begin..begin + length]).ok()
}

const HEAD_OF_STREAM: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

impl Answer {
    fn push_start(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(HEAD_OF_STREAM.as_bytes());
        let plan = self.plan;
        match self.api {
            Api::ChatCompletions => push_chunk(out, |out| {
                let delta = r#"{"role":"assistant","content":""}"#;
                push_completion(
                    out,
                    plan,
                    &format!(r#"[{{"index":0,"delta":{delta},"finish_reason":null}}]"#),
                );
            }),
            Api::Messages => {
                push_event(out, "message_start", |out| {
                    out.extend_from_slice(
                        format!(
                            r#","message":{{"id":"msg_bench","type":"message","role":"assistant","model":"{plan}","content":[],"stop_reason":null,"stop_sequence":null,"usage":{{"input_tokens":9,"output_tokens":1}}}}"#
                        )
                        .as_bytes(),
                    );
                });
                push_event(out, "content_block_start", |out| {
                    out.extend_from_slice(
                        br#","index":0,"content_block":{"type":"text","text":""}"#,
                    );
                });
            }
        }
    }

    fn push_piece(&mut self, out: &mut Vec<u8>) {
        let piece = Piece { index: self.index, written: now(), received: self.received };
        let plan = self.plan;
        match self.api {
            Api::ChatCompletions => push_chunk(out, |out| {
                begin_completion(out, plan);
                out.extend_from_slice(br#"[{"index":0,"delta":{"content":""#);
                piece.push(plan.bytes, out);
                out.extend_from_slice(b"\"},\"finish_reason\":null}]}\n\n");
            }),
            Api::Messages => push_event(out, "content_block_delta", |out| {
                out.extend_from_slice(br#","index":0,"delta":{"type":"text_delta","text":""#);
                piece.push(plan.bytes, out);
                out.extend_from_slice(b"\"}");
            }),
        }
        self.index += 1;
    }

    fn push_end(&self, out: &mut Vec<u8>) {
        let pieces = self.plan.pieces;
        match self.api {
            Api::ChatCompletions => {
                push_chunk(out, |out| {
                    let choices = r#"[{"index":0,"delta":{},"finish_reason":"stop"}]"#;
                    push_completion(out, self.plan, choices);
                });
                push_chunk(out, |out| {
                    let usage = format!(
                        r#"[],"usage":{{"prompt_tokens":9,"completion_tokens":{pieces},"total_tokens":{}}}"#,
                        pieces + 9
                    );
                    push_completion(out, self.plan, &usage);
                });
                push_chunk(out, |out| out.extend_from_slice(b"data: [DONE]\n\n"));
            }
            Api::Messages => {
                push_event(out, "content_block_stop", |out| {
                    out.extend_from_slice(br#","index":0"#)
                });
                push_event(out, "message_delta", |out| {
                    out.extend_from_slice(
                        format!(
                            r#","delta":{{"stop_reason":"end_turn","stop_sequence":null}},"usage":{{"output_tokens":{pieces}}}"#
                        )
                        .as_bytes(),
                    );
                });
                push_event(out, "message_stop", |_| {});
            }
        }
        out.extend_from_slice(b"0\r\n\r\n");
    }

    /// An answer that is not streamed: the pieces' texts behind each other.
    fn push_whole(&self, out: &mut Vec<u8>) {
        let (plan, pieces) = (self.plan, self.plan.pieces);
        let mut text = Vec::with_capacity(plan.bytes * pieces);
        for index in 0..pieces {
            let piece = Piece { index, written: now(), received: self.received };
            piece.push(plan.bytes, &mut text);
        }
        let text = String::from_utf8(text).expect("words");
        let body = match self.api {
            Api::ChatCompletions => format!(
                r#"{{"id":"chatcmpl-bench","object":"chat.completion","created":1,"model":"{plan}","choices":[{{"index":0,"message":{{"role":"assistant","content":"{text}"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":9,"completion_tokens":{pieces},"total_tokens":{}}}}}"#,
                pieces + 9
            ),
            Api::Messages => format!(
                r#"{{"id":"msg_bench","type":"message","role":"assistant","model":"{plan}","content":[{{"type":"text","text":"{text}"}}],"stop_reason":"end_turn","stop_sequence":null,"usage":{{"input_tokens":9,"output_tokens":{pieces}}}}}"#
            ),
        };
        out.extend_from_slice(
            format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
            .as_bytes(),
        );
    }
}

fn begin_completion(out: &mut Vec<u8>, plan: Plan) {
    out.extend_from_slice(
        format!(
            r#"data: {{"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1,"model":"{plan}","choices":"#
        )
        .as_bytes(),
    );
}

/// A chunk of chat completions with these choices, and what follows them.
fn push_completion(out: &mut Vec<u8>, plan: Plan, choices: &str) {
    begin_completion(out, plan);
    out.extend_from_slice(choices.as_bytes());
    out.extend_from_slice(b"}\n\n");
}

/// An event of the Messages API in a chunk of its own, with what `push` writes behind its type.
fn push_event(out: &mut Vec<u8>, event: &str, push: impl FnOnce(&mut Vec<u8>)) {
    push_chunk(out, |out| {
        let begin = format!("event: {event}\ndata: {{\"type\":\"{event}\"");
        out.extend_from_slice(begin.as_bytes());
        push(out);
        out.extend_from_slice(b"}\n\n");
    });
}

/// What `push` writes as one chunk of the body.
fn push_chunk(out: &mut Vec<u8>, push: impl FnOnce(&mut Vec<u8>)) {
    // Four digits are enough for any piece; zeros before them are allowed.
    let at = out.len();
    out.extend_from_slice(b"0000\r\n");
    push(out);
    let length = format!("{:04x}", out.len() - at - 6);
    out[at..at + 4].copy_from_slice(length.as_bytes());
    out.extend_from_slice(b"\r\n");
}
