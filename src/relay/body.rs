//! A body that is read piece by piece: what it is made of by its first bytes, and how it is read
//! whole.

use crate::client::Failure;
use crate::error::Error;
use crate::json;
use crate::memory;

/// The largest body of an upstream's answer that is not a stream.
pub const WHOLE_LIMIT_BYTES: usize = 64 << 20;

/// What is read at once. A stream that trickles needs no more, and each has such a buffer on its
/// stack.
pub(super) const READ_BYTES: usize = 2 << 10;

/// The upstream's body.
pub type ReadBody<'a> = &'a mut dyn Body;

/// A body that is read.
pub trait Body {
    /// Reads some bytes; 0 is the end.
    ///
    /// # Errors
    /// The body broke off, or the client has gone.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Failure>;

    /// The answer is complete: what is still to come has to come soon.
    fn expect_end(&mut self) {}

    /// Takes so much memory for what is kept of the body.
    ///
    /// # Errors
    /// There is none left.
    fn hold(&mut self, _bytes: usize) -> Result<(), Failure> {
        Ok(())
    }
}

impl<F: FnMut(&mut [u8]) -> Result<usize, Failure>> Body for F {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        self(buffer)
    }
}

/// What the upstream's body is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of its variants say it")]
pub enum BodyForm {
    Events,
    /// One JSON document, also as the answer to a request for a stream.
    Whole,
}

/// What a body is by its first bytes, if they tell; a stream's events are those of any API.
pub fn form_of(head: &[u8]) -> Option<BodyForm> {
    const FIELDS: [&[u8]; 5] = [b":", b"data:", b"event:", b"id:", b"retry:"];
    let begun = begun(head);
    match begun.first()? {
        b'{' | b'[' => Some(BodyForm::Whole),
        _ => FIELDS.iter().any(|field| begun.starts_with(field)).then_some(BodyForm::Events),
    }
}

/// What follows white space and the mark of the byte order.
fn begun(head: &[u8]) -> &[u8] {
    const BLANK: &[u8] = b"\xEF\xBB\xBF \t\r\n";
    let at = head.iter().position(|byte| !BLANK.contains(byte));
    at.map_or(&[], |at| &head[at..])
}

/// A body whose first bytes have told what it is made of, whatever its head calls it.
pub(super) struct Sniffed<'a> {
    pub(super) form: BodyForm,
    /// What was read of it to see that.
    head: Vec<u8>,
    read: ReadBody<'a>,
}

impl<'a> Sniffed<'a> {
    /// Reads the beginning. `named` is what the head calls the body, for one that begins otherwise.
    pub(super) fn new(read: ReadBody<'a>, named: BodyForm) -> Result<Sniffed<'a>, Failure> {
        /// As many bytes as the longest name of a field and its colon.
        const ENOUGH: usize = 6;
        /// How much white space may come before it.
        const MOST: usize = 8 << 10;
        let mut head = Vec::new();
        let mut buffer = [0; READ_BYTES];
        let is_open = |head: &[u8]| form_of(head).is_none() && begun(head).len() < ENOUGH;
        while is_open(&head) && head.len() < MOST {
            match read.read(&mut buffer)? {
                0 => break,
                n => head.extend_from_slice(&buffer[..n]),
            }
        }
        let form = form_of(&head).unwrap_or(named);
        Ok(Sniffed { form, head, read })
    }
}

impl Body for Sniffed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        if self.head.is_empty() {
            return self.read.read(buffer);
        }
        let n = self.head.len().min(buffer.len());
        buffer[..n].copy_from_slice(&self.head[..n]);
        self.head.drain(..n);
        if self.head.is_empty() {
            self.head = Vec::new();
        }
        Ok(n)
    }

    fn expect_end(&mut self) {
        self.read.expect_end();
    }

    fn hold(&mut self, bytes: usize) -> Result<(), Failure> {
        self.read.hold(bytes)
    }
}

/// Reads a body of at most `limit` bytes. A document that is complete is kept, however its
/// connection ends.
///
/// # Errors
/// As reading it; a larger one is an error too.
pub fn read_whole(read: ReadBody<'_>, limit: usize) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    let mut buffer = [0; READ_BYTES];
    let mut scan = json::Scan::default();
    loop {
        match read.read(&mut buffer) {
            Ok(0) => return Ok(body),
            Err(Failure::Error(_)) if scan.is_complete() => return Ok(body),
            Err(failure) => return Err(failure),
            Ok(n) if body.len() + n > limit => {
                let reason = format!("it is larger than {limit} bytes");
                return Err(Error::protocol(reason).into());
            }
            Ok(n) => {
                read.hold(memory::cost(&buffer[..n]))?;
                body.extend_from_slice(&buffer[..n]);
                scan.feed(&buffer[..n]);
            }
        }
        if scan.is_complete() {
            read.expect_end();
        }
    }
}
