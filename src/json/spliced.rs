//! Bytes that are put together of what stands in others and of what is new.
//!
//! Most of what is sent to a provider stands in the client's body as it is to be sent. It stays
//! there: a message of 30 MB, written for the provider, would be 30 MB more.

use std::io::{self, Read, Write};
use std::ops::Range;

/// What is shorter is copied: to note where it stands would take as much.
const LEAST: usize = 64;

/// Where `bytes` stand in `source`, if they are a part of it and no copy.
pub(crate) fn place(bytes: &[u8], source: &[u8]) -> Option<Range<usize>> {
    let begin = bytes.as_ptr().addr().checked_sub(source.as_ptr().addr())?;
    let end = begin.checked_add(bytes.len())?;
    (end <= source.len()).then_some(begin..end)
}

/// Bytes in the making. What is written to it and lies in its source is not copied.
#[derive(Debug)]
pub struct Spliced<'a> {
    source: &'a [u8],
    own: Vec<u8>,
    /// What is of the source, in the order of the whole.
    quotes: Vec<Quote>,
    len: usize,
}

/// A part of the source, and how much of what is new comes before it.
#[derive(Debug)]
struct Quote {
    own: usize,
    range: Range<usize>,
}

impl<'a> Spliced<'a> {
    /// Nothing yet, of which some will stand in `source`.
    pub fn new(source: &'a [u8]) -> Spliced<'a> {
        Spliced { source, own: Vec::new(), quotes: Vec::new(), len: 0 }
    }

    /// How many bytes they are.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds `bytes`.
    pub fn push(&mut self, bytes: &[u8]) {
        self.len += bytes.len();
        let range = if bytes.len() < LEAST { None } else { place(bytes, self.source) };
        let Some(range) = range else { return self.own.extend_from_slice(bytes) };
        let own = self.own.len();
        match self.quotes.last_mut() {
            Some(last) if (last.own, last.range.end) == (own, range.start) => {
                last.range.end = range.end;
            }
            _ => self.quotes.push(Quote { own, range }),
        }
    }

    /// The bytes, in pieces.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        (0..=2 * self.quotes.len()).map(|n| self.piece(n)).filter(|piece| !piece.is_empty())
    }

    /// Of the pieces the one at `n`; every other one is new. Empty behind the last.
    fn piece(&self, n: usize) -> &[u8] {
        let quote = self.quotes.get(n / 2);
        if n % 2 == 1 {
            return quote.map_or(&[], |quote| &self.source[quote.range.clone()]);
        }
        let before = (n / 2).checked_sub(1).and_then(|n| self.quotes.get(n));
        let begin = before.map_or(0, |quote| quote.own);
        &self.own[begin..quote.map_or(self.own.len(), |quote| quote.own)]
    }

    /// The bytes in one.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len);
        self.pieces().for_each(|piece| bytes.extend_from_slice(piece));
        bytes
    }

    /// Reads them from the first on.
    pub fn reader(&self) -> impl Read {
        Reader { spliced: self, rest: self.piece(0), next: 1 }
    }
}

impl Write for Spliced<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes);
        Ok(bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.push(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Reader<'s> {
    spliced: &'s Spliced<'s>,
    rest: &'s [u8],
    /// The piece that comes after the rest of this one.
    next: usize,
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            if self.rest.is_empty() {
                if self.next > 2 * self.spliced.quotes.len() {
                    break;
                }
                self.rest = self.spliced.piece(self.next);
                self.next += 1;
                continue;
            }
            let n = self.rest.len().min(buffer.len() - filled);
            let (read, rest) = self.rest.split_at(n);
            buffer[filled..filled + n].copy_from_slice(read);
            self.rest = rest;
            filled += n;
        }
        Ok(filled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_the_source_is_not_copied() {
        let source: Vec<u8> = (0..200).collect();
        let mut spliced = Spliced::new(&source);
        assert!(spliced.is_empty());
        let other = source.clone();
        let parts: [&[u8]; 7] = [
            b"{",
            &source[10..90],
            &source[90..190],
            &source[0..9],
            &other[..100],
            b"",
            &source[1..],
        ];
        parts.iter().for_each(|part| spliced.push(part));
        assert_eq!(spliced.to_vec(), parts.concat());
        assert_eq!((spliced.len(), spliced.own.len()), (parts.concat().len(), 1 + 9 + 100));
        assert_eq!(spliced.pieces().count(), 4);
        for size in [1, 7, 64, 1000] {
            let (mut reader, mut read, mut buffer) = (spliced.reader(), Vec::new(), vec![0; size]);
            while let n @ 1.. = reader.read(&mut buffer).unwrap() {
                read.extend_from_slice(&buffer[..n]);
            }
            assert_eq!(read, parts.concat());
        }
    }
}
