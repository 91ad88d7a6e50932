//! What a model of the measurement answers stands in its name, so it comes through any proxy, and
//! what each of its pieces tells stands in the piece.

use std::fmt;

/// What an answer is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    pub pieces: usize,
    /// The text of each piece.
    pub bytes: usize,
    /// How long each piece of a stream is waited for; 0 for as fast as they are taken.
    pub every_ms: u64,
}

const PREFIX: &str = "bench-";

/// What no piece is shorter than: see [`Piece`].
const LEAST_BYTES: usize = 56;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}-{}-{}", self.pieces, self.bytes, self.every_ms)
    }
}

impl Plan {
    /// The plan that a model's name tells, if it does.
    pub(crate) fn of(model: &str) -> Option<Plan> {
        let mut numbers = model.strip_prefix(PREFIX)?.split('-').map(str::parse::<u64>);
        let mut next = || numbers.next()?.ok();
        let (pieces, bytes, every_ms) = (next()? as usize, next()? as usize, next()?);
        let is_whole = numbers.next().is_none() && pieces > 0 && bytes >= LEAST_BYTES;
        is_whole.then_some(Plan { pieces, bytes, every_ms })
    }
}

/// What a piece says at its beginning: `#INDEX@WRITTEN@RECEIVED;`, and then words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece {
    pub index: usize,
    /// When it was written.
    pub written: u64,
    /// When the request had been read.
    pub received: u64,
}

const WORDS: &str = "some words of a model that says as much as it was asked for ";

impl Piece {
    /// Appends the piece's text, of `bytes` in all.
    pub(crate) fn push(self, bytes: usize, out: &mut Vec<u8>) {
        let end = out.len() + bytes;
        out.extend_from_slice(
            format!("#{}@{}@{};", self.index, self.written, self.received).as_bytes(),
        );
        while out.len() < end {
            let n = WORDS.len().min(end - out.len());
            out.extend_from_slice(&WORDS.as_bytes()[..n]);
        }
    }

    /// Reads what `text` says at its beginning.
    pub(crate) fn of(text: &str) -> Option<Piece> {
        let mut numbers = text.strip_prefix('#')?.split_once(';')?.0.split('@');
        let piece = Piece {
            index: numbers.next()?.parse().ok()?,
            written: numbers.next()?.parse().ok()?,
            received: numbers.next()?.parse().ok()?,
        };
        numbers.next().is_none().then_some(piece)
    }
}
