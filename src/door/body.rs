//! Reads a request's body whole: within its limit, within what all bodies may hold together, and at a
//! pace that a client with a message to send keeps.

use std::io::{self, Read};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::chunks::Chunks;
use super::head::BodyLength;
use super::registry::{Connection, Stage};
use crate::error::Error;

/// What a body may take at least, and how fast it must come on the whole.
const PATIENCE: Duration = Duration::from_secs(30);
const MIN_BYTES_PER_SECOND: usize = 64 << 10;

/// A chunked body takes from the budget in steps of this many bytes.
const STEP: usize = 64 << 10;
const READ_BYTES: usize = 16 << 10;

/// Bytes that all bodies may hold together.
#[derive(Debug)]
pub struct Budget {
    left: AtomicUsize,
}

/// Bytes taken from the budget, given back when dropped.
#[derive(Debug)]
pub struct Share<'a> {
    budget: &'a Budget,
    bytes: usize,
}

impl Budget {
    pub fn new(bytes: usize) -> Budget {
        Budget { left: AtomicUsize::new(bytes) }
    }

    /// How many are free.
    pub fn left(&self) -> usize {
        self.left.load(Ordering::Relaxed)
    }

    fn share(&self) -> Share<'_> {
        Share { budget: self, bytes: 0 }
    }
}

impl Share<'_> {
    fn grow(&mut self, bytes: usize) -> Result<(), Error> {
        let taken = self
            .budget
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        if taken.is_err() {
            let reason = "there is no memory left for another request body".to_owned();
            return Err(Error::Refused { status: 529, reason });
        }
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.budget.left.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

/// Why there is no body.
#[derive(Debug)]
pub enum BodyError {
    /// The client has to be told, and what it still sends is not read.
    Refused(Error),
    /// The client has gone, or was cut for being slow.
    Gone,
}

impl From<Error> for BodyError {
    fn from(error: Error) -> BodyError {
        BodyError::Refused(error)
    }
}

impl From<io::Error> for BodyError {
    fn from(_: io::Error) -> BodyError {
        BodyError::Gone
    }
}

/// Reads a body of the length `length`. `buffer` holds what came behind the head, and keeps what
/// belongs to the next request.
pub fn read<'a>(
    connection: &Connection,
    length: BodyLength,
    limit: usize,
    buffer: &mut Vec<u8>,
    budget: &'a Budget,
) -> Result<(Vec<u8>, Share<'a>), BodyError> {
    let mut share = budget.share();
    let body = match length {
        BodyLength::None => Vec::new(),
        BodyLength::Bytes(length) => {
            let length = usize::try_from(length).ok().filter(|length| *length <= limit);
            let length = length.ok_or_else(|| too_large(limit))?;
            share.grow(length)?;
            sized(connection, length, buffer)?
        }
        BodyLength::Chunked => chunked(connection, limit, buffer, &mut share)?,
    };
    Ok((body, share))
}

fn too_large(limit: usize) -> Error {
    Error::Refused { status: 413, reason: format!("the body is larger than {limit} bytes") }
}

fn sized(
    connection: &Connection,
    length: usize,
    buffer: &mut Vec<u8>,
) -> Result<Vec<u8>, BodyError> {
    let here = length.min(buffer.len());
    let mut body = Vec::with_capacity(length.min(1 << 20));
    body.extend(buffer.drain(..here));
    let began = Pace::begin(connection);
    while body.len() < length {
        let have = body.len();
        let step = (length - have).min(STEP);
        body.resize(have + step, 0);
        let n = receive(&connection.socket, &mut body[have..])?;
        body.truncate(have + n);
        began.came(connection, body.len());
    }
    Ok(body)
}

fn chunked(
    connection: &Connection,
    limit: usize,
    buffer: &mut Vec<u8>,
    share: &mut Share<'_>,
) -> Result<Vec<u8>, BodyError> {
    let mut chunks = Chunks::default();
    let mut body = Vec::new();
    let mut received = 0;
    let pace = Pace::begin(connection);
    let mut bytes = std::mem::take(buffer);
    loop {
        let n = chunks.read(&bytes, |data| body.extend_from_slice(data)).map_err(|_| {
            Error::request("", "the body is not in chunks as Transfer-Encoding says")
        })?;
        if body.len() > limit {
            return Err(too_large(limit).into());
        }
        while share.bytes < body.len() {
            share.grow(STEP)?;
        }
        if chunks.is_ended() {
            bytes.drain(..n);
            *buffer = bytes;
            return Ok(body);
        }
        bytes.resize(READ_BYTES, 0);
        let n = receive(&connection.socket, &mut bytes)?;
        bytes.truncate(n);
        received += n;
        pace.came(connection, received);
    }
}

/// Keeps the connection's deadline in step with what has come.
struct Pace(std::time::Instant);

impl Pace {
    fn begin(connection: &Connection) -> Pace {
        connection.enter(Stage::Body, PATIENCE);
        Pace(std::time::Instant::now())
    }

    fn came(&self, connection: &Connection, bytes: usize) {
        let allowed = PATIENCE + Duration::from_secs((bytes / MIN_BYTES_PER_SECOND) as u64);
        connection.enter(Stage::Body, allowed.saturating_sub(self.0.elapsed()));
    }
}

/// Reads some bytes; the end of input is an error here.
fn receive(mut socket: &TcpStream, bytes: &mut [u8]) -> io::Result<usize> {
    loop {
        match socket.read(bytes) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
