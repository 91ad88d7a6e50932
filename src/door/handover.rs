//! From the door to the API and back: a private request, and its answer copied to the client as it
//! comes, in the framing that the client understands.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::answer::Manner;
use super::body::Share;
use super::chunks::Chunks;
use super::slot::Slot;
use crate::exchange::{CLIENT_GONE, HEADER};
use crate::http::push_header;
use crate::private;

/// How much is copied at once. A head of the API, which has a dozen headers, fits several times.
const READ_BYTES: usize = 16 << 10;

/// The kept connections to the API. Each carries one request at a time.
#[derive(Debug)]
pub struct Handover {
    /// The abstract name of the API's socket.
    api: Mutex<String>,
    kept: Mutex<Vec<Kept>>,
}

/// A connection between two requests.
#[derive(Debug)]
struct Kept {
    connection: UnixStream,
    since: Instant,
}

/// How long a connection is kept for the next request.
const KEEP: Duration = Duration::from_secs(10);

/// Why an exchange was not completed.
#[derive(Debug)]
pub enum Interrupted {
    /// Nothing has been sent to the client: it can be told.
    Before(io::Error),
    /// The client has gone, or has half an answer.
    Within,
}

impl Handover {
    pub fn new(api: String) -> Handover {
        Handover { api: Mutex::new(api), kept: Mutex::default() }
    }

    /// From now on the API is at another socket.
    pub fn move_to(&self, api: String) {
        *self.api.lock().unwrap_or_else(PoisonError::into_inner) = api;
    }

    /// Opens a connection to the API, which has answered on it once.
    pub fn connect(&self) -> io::Result<UnixStream> {
        let api = self.api.lock().unwrap_or_else(PoisonError::into_inner).clone();
        private::connect(&api, "/")
    }

    /// Asks the API to take the exchange `id`, and copies its answer to `client`. Returns its status.
    /// The message's place and memory are given back before the client can have seen the end of the
    /// answer: its next message, on whatever connection, finds room.
    pub fn run(
        &self,
        id: &str,
        client: &TcpStream,
        manner: Manner,
        old: bool,
        room: (Slot, Share),
    ) -> Result<u16, Interrupted> {
        let mut connection = self.connection().map_err(Interrupted::Before)?;
        let request = format!("POST / HTTP/1.1\r\n{HEADER}: {id}\r\nContent-Length: 0\r\n\r\n");
        connection.write_all(request.as_bytes()).map_err(Interrupted::Before)?;
        let mut incoming = Incoming::default();
        let answer = read_head(&mut connection, &mut incoming).map_err(Interrupted::Before)?;

        if answer.status == CLIENT_GONE {
            self.keep(connection);
            return Err(Interrupted::Within);
        }
        let mut copy = Copy { client, manner, old, out: Vec::with_capacity(1024) };
        let copied = copy.head(&incoming.unread()[..answer.length], answer.form).and_then(|()| {
            incoming.read += answer.length;
            copy.body(&mut connection, &mut incoming, answer.form)
        });
        // Where the copy failed, an answer is still in the API's connection, which is dropped.
        let sent = copied.and_then(|()| {
            self.keep(connection);
            drop(room);
            copy.send()
        });
        sent.map(|()| answer.status).map_err(|_| {
            // The API watches this socket: it ends the upstream call now.
            let _ = client.shutdown(Shutdown::Both);
            Interrupted::Within
        })
    }

    fn connection(&self) -> io::Result<UnixStream> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match kept {
            Some(kept) => Ok(kept.connection),
            None => self.connect(),
        }
    }

    fn keep(&self, connection: UnixStream) {
        let kept = Kept { connection, since: Instant::now() };
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).push(kept);
    }

    /// Closes the connections that nobody has needed for a while: the last one kept is used first, so
    /// they are at the front.
    pub fn trim(&self) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let old = kept.iter().take_while(|kept| kept.since.elapsed() > KEEP).count();
        kept.drain(..old);
    }
}

/// How the API frames a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Sized(u64),
    Chunked,
}

/// The head of an answer of the API.
struct AnswerHead {
    status: u16,
    /// In bytes.
    length: usize,
    form: Form,
}

/// Reads the head of the answer.
fn read_head(connection: &mut UnixStream, incoming: &mut Incoming) -> io::Result<AnswerHead> {
    loop {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut response = httparse::Response::new(&mut headers);
        match response.parse(incoming.unread()) {
            Ok(httparse::Status::Complete(length)) => {
                let value = |name: &str| {
                    let header =
                        response.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name));
                    header.and_then(|h| std::str::from_utf8(h.value).ok())
                };
                let form = match value("Content-Length").map(str::parse) {
                    Some(Ok(bytes)) => Form::Sized(bytes),
                    _ if value("Transfer-Encoding").is_some() => Form::Chunked,
                    _ => Form::Sized(0),
                };
                return Ok(AnswerHead { status: response.code.unwrap_or(0), length, form });
            }
            Ok(httparse::Status::Partial) => {}
            _ => {
                return Err(io::Error::new(ErrorKind::InvalidData, "the API's answer has no head"));
            }
        }
        if incoming.fill(connection)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Bytes of the API that have come.
struct Incoming {
    bytes: Box<[u8; READ_BYTES]>,
    /// Invariant: `read <= filled <= READ_BYTES`.
    read: usize,
    filled: usize,
}

impl Default for Incoming {
    fn default() -> Incoming {
        Incoming { bytes: Box::new([0; READ_BYTES]), read: 0, filled: 0 }
    }
}

impl Incoming {
    fn unread(&self) -> &[u8] {
        &self.bytes[self.read..self.filled]
    }

    /// Takes what can be read at once; 0 is the end, or that a head fills the buffer.
    fn fill(&mut self, connection: &mut UnixStream) -> io::Result<usize> {
        if self.read == self.filled {
            (self.read, self.filled) = (0, 0);
        }
        let n = loop {
            match connection.read(&mut self.bytes[self.filled..]) {
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        self.filled += n;
        Ok(n)
    }
}

/// The client's end.
struct Copy<'a> {
    client: &'a TcpStream,
    manner: Manner,
    /// HTTP/1.0: the body goes without framing and ends with the connection.
    old: bool,
    out: Vec<u8>,
}

impl Copy<'_> {
    /// Takes over the head, with what this connection needs. It is sent with the first of the body.
    fn head(&mut self, head: &[u8], form: Form) -> io::Result<()> {
        let unframed = self.old && form == Form::Chunked;
        let lines = head[..head.len() - 2].split_inclusive(|b| *b == b'\n');
        for line in lines {
            let is_framing = line.to_ascii_lowercase().starts_with(b"transfer-encoding:");
            if !(unframed && is_framing) {
                self.out.extend_from_slice(line);
            }
        }
        if self.manner.close {
            push_header(&mut self.out, "Connection", "close");
        }
        self.out.extend_from_slice(b"\r\n");
        if form == Form::Chunked { self.send() } else { Ok(()) }
    }

    /// Copies the body as it comes. What came last is left in `out`.
    fn body(
        &mut self,
        connection: &mut UnixStream,
        incoming: &mut Incoming,
        form: Form,
    ) -> io::Result<()> {
        let mut chunks = Chunks::default();
        let mut left = match form {
            Form::Sized(bytes) => bytes,
            Form::Chunked => u64::MAX,
        };
        loop {
            let bytes = incoming.unread();
            match form {
                Form::Sized(_) => {
                    left -= (bytes.len() as u64).min(left);
                    if !self.manner.head_only {
                        self.out.extend_from_slice(bytes);
                    }
                }
                Form::Chunked => {
                    let (out, old) = (&mut self.out, self.old);
                    chunks
                        .read(bytes, |data| {
                            if old {
                                out.extend_from_slice(data);
                            }
                        })
                        .map_err(|_| ErrorKind::InvalidData)?;
                    if !self.old {
                        self.out.extend_from_slice(bytes);
                    }
                    if chunks.is_ended() {
                        left = 0;
                    }
                }
            }
            incoming.read = incoming.filled;
            if left == 0 {
                return Ok(());
            }
            self.send()?;
            if incoming.fill(connection)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn send(&mut self) -> io::Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        let mut client = self.client;
        let sent = client.write_all(&self.out);
        self.out.clear();
        sent
    }
}
