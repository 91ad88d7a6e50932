//! Server-sent events: an incremental decoder and an encoder, without IO.
//!
//! Follows <https://html.spec.whatwg.org/multipage/server-sent-events.html>, but for the end of
//! input: a last frame without its blank line is not thrown away, since some services end so. And
//! where services part frames by one newline, a line of data that is a JSON document is a frame of
//! its own: no document goes on behind its end.

#![forbid(unsafe_code)]

use crate::bytes::before;
use crate::json::Scan;

/// One dispatched event; the fields that no service of chat completions uses are dropped.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The `event` field, empty if there was none.
    pub event: &'a [u8],
    /// The `data` lines, joined by line feeds.
    pub data: &'a [u8],
}

/// The largest frame that is taken: a whole file as one tool argument fits several times.
pub const FRAME_LIMIT_BYTES: usize = 32 * 1024 * 1024;

/// A frame grew past [`FRAME_LIMIT_BYTES`].
#[derive(Debug, PartialEq, Eq)]
pub struct TooLong;

/// Turns bytes, however they are cut, into frames.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// Bytes of `buffer` already read. Invariant: `consumed <= buffer.len()`.
    consumed: usize,
    /// Bytes of `buffer` known to hold no line end, so that a long line is searched once.
    searched: usize,
    data: Vec<u8>,
    event: Vec<u8>,
    /// Whether the frame being built has a `data` field, empty or not.
    has_data: bool,
    /// The frame has several lines of data, of which the first is no document.
    is_many_lines: bool,
    /// Whether `data` and `event` belong to a frame that was handed out.
    dispatched: bool,
    /// The last line ended in CR: an LF that follows belongs to it.
    after_cr: bool,
    /// The first bytes of the stream have been looked at for a byte order mark.
    begun: bool,
}

const BOM: &[u8] = b"\xEF\xBB\xBF";

impl Decoder {
    /// Takes the next bytes of the stream.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.consumed);
        self.searched -= self.consumed;
        self.consumed = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next complete frame, or `None` until more bytes are fed.
    ///
    /// # Errors
    /// [`TooLong`] if a frame outgrows the limit; the stream is of no further use.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, TooLong> {
        self.forget_dispatched();
        if !self.begun {
            let head = &self.buffer[..self.buffer.len().min(BOM.len())];
            if head.len() < BOM.len() && BOM.starts_with(head) {
                return Ok(None);
            }
            self.begun = true;
            if head == BOM {
                self.consumed = BOM.len();
                self.searched = BOM.len();
            }
        }
        while let Some((start, end)) = self.next_line() {
            if start == end {
                if self.has_data {
                    self.dispatched = true;
                    return Ok(Some(Frame { event: &self.event, data: &self.data }));
                }
                self.event.clear();
            } else if self.begins_another(start, end) {
                // It is read again, as the next frame's.
                (self.consumed, self.searched, self.after_cr) = (start, start, false);
                self.dispatched = true;
                return Ok(Some(Frame { event: &self.event, data: &self.data }));
            } else {
                self.field(start, end);
            }
        }
        if self.buffer.len() - self.consumed + self.data.len() > FRAME_LIMIT_BYTES {
            return Err(TooLong);
        }
        Ok(None)
    }

    /// Bytes that are kept until the rest of their frame comes.
    pub fn pending(&self) -> usize {
        let data = if self.dispatched { 0 } else { self.data.len() };
        self.buffer.len() - self.consumed + data
    }

    /// The frame that the end of input cuts short, if it has data. Ask after the last
    /// [`Decoder::next_frame`], until there is none.
    pub fn finish(&mut self) -> Option<Frame<'_>> {
        self.forget_dispatched();
        if self.consumed < self.buffer.len() {
            let (start, end) = (self.consumed, self.buffer.len());
            if self.begins_another(start, end) {
                self.dispatched = true;
                return Some(Frame { event: &self.event, data: &self.data });
            }
            self.consumed = end;
            self.searched = end;
            self.field(start, end);
        }
        if !self.has_data {
            return None;
        }
        self.dispatched = true;
        Some(Frame { event: &self.event, data: &self.data })
    }

    /// Whether a line belongs to the next frame, though no blank line stands before it.
    fn begins_another(&mut self, start: usize, end: usize) -> bool {
        if !self.has_data || self.is_many_lines {
            return false;
        }
        let line = &self.buffer[start..end];
        let names_again = !self.event.is_empty() && line.starts_with(b"event:");
        if !names_again && !line.starts_with(b"data:") {
            return false;
        }
        let mut scan = Scan::default();
        scan.feed(&self.data);
        let is_whole = self.data.trim_ascii_start().starts_with(b"{") && scan.is_complete();
        self.is_many_lines = !is_whole;
        is_whole
    }

    fn forget_dispatched(&mut self) {
        if self.dispatched {
            self.data.clear();
            self.event.clear();
            self.has_data = false;
            self.is_many_lines = false;
            self.dispatched = false;
        }
    }

    /// The bounds of the next line in `buffer`, without its end.
    fn next_line(&mut self) -> Option<(usize, usize)> {
        if self.after_cr && self.consumed < self.buffer.len() {
            if self.buffer[self.consumed] == b'\n' {
                self.consumed += 1;
            }
            self.after_cr = false;
        }
        let start = self.consumed;
        let from = self.searched.max(start);
        let end = from + before(&self.buffer[from..], |word| word.is(b'\n') | word.is(b'\r'));
        if end == self.buffer.len() {
            self.searched = end;
            return None;
        }
        self.after_cr = self.buffer[end] == b'\r';
        self.consumed = end + 1;
        self.searched = end + 1;
        Some((start, end))
    }

    fn field(&mut self, start: usize, end: usize) {
        let line = &self.buffer[start..end];
        let (name, value) = match line.iter().position(|b| *b == b':') {
            // A comment.
            Some(0) => return,
            Some(colon) => {
                let value = &line[colon + 1..];
                (&line[..colon], value.strip_prefix(b" ").unwrap_or(value))
            }
            None => (line, &b""[..]),
        };
        match name {
            b"data" => {
                if self.has_data {
                    self.data.push(b'\n');
                }
                self.has_data = true;
                self.data.extend_from_slice(value);
            }
            b"event" => {
                self.event.clear();
                self.event.extend_from_slice(value);
            }
            _ => {}
        }
    }
}

/// Appends one frame; `data` writes the payload, which must hold no line end (JSON holds none).
pub fn encode(out: &mut Vec<u8>, event: &str, data: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(event.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    data(out);
    out.extend_from_slice(b"\n\n");
}
