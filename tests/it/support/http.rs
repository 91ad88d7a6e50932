//! HTTP/1.1 as it is on the wire, for both ends: nothing is hidden and nothing is repaired.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use socket2::SockRef;

use super::PATIENCE;

/// A request's or an answer's first line and headers.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub start: String,
    headers: Vec<(String, String)>,
}

impl Head {
    fn parse(bytes: &[u8]) -> Head {
        let text = std::str::from_utf8(bytes).expect("a head is ASCII");
        let mut lines = text.trim_end().split("\r\n");
        let start = lines.next().expect("split gives one piece at least").to_owned();
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(':').expect("a header has a colon");
            (name.to_ascii_lowercase(), value.trim().to_owned())
        });
        Head { start, headers: headers.collect() }
    }

    /// The value of a header that is there once, or not at all.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        let value = values.next().map(|(_, value)| value.as_str());
        assert_eq!(values.next(), None, "{name} is there twice");
        value
    }
}

/// A connection, and the bytes that came but were not asked for yet.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Wire {
        stream.set_read_timeout(Some(PATIENCE)).expect("it is not zero");
        stream.set_write_timeout(Some(PATIENCE)).expect("it is not zero");
        stream.set_nodelay(true).expect("it is TCP");
        Wire { stream, buffer: Vec::new() }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the other side takes what it is sent");
    }

    /// Sends until nothing is taken for `patience`; returns how many bytes were.
    pub(crate) fn try_send(&mut self, bytes: &[u8], patience: Duration) -> usize {
        self.stream.set_write_timeout(Some(patience)).expect("it is not zero");
        let mut sent = 0;
        while sent < bytes.len() {
            match self.stream.write(&bytes[sent..]) {
                Ok(n) => sent += n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => panic!("the other side has gone: {e}"),
            }
        }
        self.stream.set_write_timeout(Some(PATIENCE)).expect("it is not zero");
        sent
    }

    /// The next head, or `None` if the other side closes instead or nothing comes.
    pub(crate) fn try_head(&mut self) -> Option<Head> {
        self.through(b"\r\n\r\n").map(|bytes| Head::parse(&bytes))
    }

    pub(crate) fn head(&mut self) -> Head {
        self.try_head().unwrap_or_else(|| {
            panic!("a head comes before the end; there was {:?}", self.shown_buffer())
        })
    }

    /// The body that `head` announces.
    pub(crate) fn body(&mut self, head: &Head) -> Option<Vec<u8>> {
        if let Some(length) = head.header("content-length") {
            return Some(self.exactly(length.parse().expect("a length is a number")));
        }
        if head.header("transfer-encoding") == Some("chunked") {
            return Some(std::iter::from_fn(|| self.chunk()).flatten().collect());
        }
        None
    }

    /// The next chunk of a body, or `None` for its end.
    pub(crate) fn chunk(&mut self) -> Option<Vec<u8>> {
        let line = self.through(b"\r\n").expect("a chunk comes, or the last one");
        let line = std::str::from_utf8(&line).expect("a chunk's size is ASCII");
        let length =
            usize::from_str_radix(line.trim_end(), 16).expect("a chunk's size is a number");
        let chunk = self.exactly(length);
        assert_eq!(self.exactly(2), b"\r\n", "the end of a chunk");
        (length > 0).then_some(chunk)
    }

    /// Everything up to the end of the connection.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.fill() {}
        std::mem::take(&mut self.buffer)
    }

    /// Waits until the other side has closed the connection, without another byte.
    pub(crate) fn wait_closed(&mut self) {
        let rest = self.rest();
        assert!(rest.is_empty(), "before the end came {:?}", String::from_utf8_lossy(&rest));
    }

    /// Closes at once and says so with a reset.
    pub(crate) fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).expect("it is a socket");
    }

    /// Closes, also if the other side has sent what nobody read.
    pub(crate) fn close(self) {
        self.hang_up();
    }

    /// The same, for who only borrows it.
    pub(crate) fn hang_up(&self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    fn exactly(&mut self, length: usize) -> Vec<u8> {
        while self.buffer.len() < length {
            assert!(self.fill(), "{length} bytes were announced; {} came", self.buffer.len());
        }
        let rest = self.buffer.split_off(length);
        std::mem::replace(&mut self.buffer, rest)
    }

    /// What comes up to `mark` and with it, or `None` if the end comes first.
    fn through(&mut self, mark: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.buffer.windows(mark.len()).position(|piece| piece == mark) {
                return Some(self.exactly(at + mark.len()));
            }
            if !self.fill() {
                return None;
            }
        }
    }

    /// Waits for more; false is the end.
    fn fill(&mut self) -> bool {
        let mut piece = [0; 65536];
        match self.stream.read(&mut piece) {
            Ok(n) => {
                self.buffer.extend_from_slice(&piece[..n]);
                n > 0
            }
            Err(e) if e.kind() == ErrorKind::ConnectionReset => false,
            Err(e) => panic!("nothing came ({e}) after {:?}", self.shown_buffer()),
        }
    }

    fn shown_buffer(&self) -> String {
        String::from_utf8_lossy(&self.buffer[..self.buffer.len().min(1000)]).into_owned()
    }
}
