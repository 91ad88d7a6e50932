//! As much of HTTP/1.1 as both ends of the measurement need.

use std::ops::Range;

/// The first line of a head, and what its body is.
#[derive(Debug)]
pub(crate) struct Head {
    /// Where the head ends and the body begins.
    pub length: usize,
    pub line: String,
    pub body: Framing,
}

/// How a body is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(usize),
    Chunked,
}

/// Reads a head, if it has come whole.
///
/// # Errors
/// What is not as it should be.
pub(crate) fn head(bytes: &[u8]) -> Result<Option<Head>, String> {
    let Some(end) = find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&bytes[..end]).map_err(|_| "the head is no text".to_owned())?;
    let mut lines = text.split("\r\n");
    let line = lines.next().unwrap_or_default().to_owned();
    let mut body = Framing::Length(0);
    for line in lines {
        let (name, value) = line.split_once(':').ok_or(format!("{line:?} is no header"))?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            let length = value.parse().map_err(|_| format!("{value:?} is no length"))?;
            body = Framing::Length(length);
        } else if name.eq_ignore_ascii_case("transfer-encoding") && value == "chunked" {
            body = Framing::Chunked;
        }
    }
    Ok(Some(Head { length: end + 4, line, body }))
}

/// What the next chunk of a body is, by its beginning.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Chunk {
    /// Its data is there, and it ends at `end`.
    Data {
        data: Range<usize>,
        end: usize,
    },
    /// It was the last one.
    End {
        end: usize,
    },
    Partial,
}

/// Looks at the chunk that `bytes` begin with.
///
/// # Errors
/// It is none.
pub(crate) fn chunk(bytes: &[u8]) -> Result<Chunk, String> {
    let Some(line) = find(&bytes[..bytes.len().min(32)], b"\r\n") else {
        return if bytes.len() < 32 { Ok(Chunk::Partial) } else { Err("no chunk".to_owned()) };
    };
    let digits = std::str::from_utf8(&bytes[..line]).unwrap_or_default();
    let length =
        usize::from_str_radix(digits, 16).map_err(|_| format!("{digits:?} is no chunk"))?;
    let (start, end) = (line + 2, line + 2 + length);
    match bytes.get(end..end + 2) {
        None => Ok(Chunk::Partial),
        Some(b"\r\n") if length == 0 => Ok(Chunk::End { end: end + 2 }),
        Some(b"\r\n") => Ok(Chunk::Data { data: start..end, end: end + 2 }),
        Some(_) => Err("a chunk is longer than it says".to_owned()),
    }
}

/// Where `wanted` is found first.
pub(crate) fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
