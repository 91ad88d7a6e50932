//! Bytes that are put together of what stands in others and of what is new.
//!
//! Most of what is sent to a provider stands in the client's body as it is to be sent. It stays
//! there: a message of 30 MB, written for the provider, would be 30 MB more.

use std::io::{self, Read, Write};
use std::ops::Range;

/// What is shorter is copied: to note where it stands would take as much.
const LEAST: usize = 64;

/// Bytes in the making. What is written to it and lies in its source is not copied.
#[derive(Debug)]
pub struct Spliced<'a> {
    source: &'a [u8],
    own: Vec<u8>,
    pieces: Vec<Piece>,
    len: usize,
}

#[derive(Debug, Clone)]
enum Piece {
    OfSource(Range<usize>),
    Own(Range<usize>),
}

impl<'a> Spliced<'a> {
    /// Nothing yet, of which some will stand in `source`.
    pub fn new(source: &'a [u8]) -> Spliced<'a> {
        Spliced { source, own: Vec::new(), pieces: Vec::new(), len: 0 }
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
        match self.place(bytes) {
            Some(range) => match self.pieces.last_mut() {
                Some(Piece::OfSource(last)) if last.end == range.start => last.end = range.end,
                _ => self.pieces.push(Piece::OfSource(range)),
            },
            None => {
                let begin = self.own.len();
                self.own.extend_from_slice(bytes);
                let end = self.own.len();
                match self.pieces.last_mut() {
                    Some(Piece::Own(last)) => last.end = end,
                    _ => self.pieces.push(Piece::Own(begin..end)),
                }
            }
        }
    }

    /// Where `bytes` lie in the source, if they do and are worth it.
    fn place(&self, bytes: &[u8]) -> Option<Range<usize>> {
        if bytes.len() < LEAST {
            return None;
        }
        let begin = bytes.as_ptr().addr().checked_sub(self.source.as_ptr().addr())?;
        let end = begin.checked_add(bytes.len())?;
        (end <= self.source.len()).then_some(begin..end)
    }

    /// The bytes, in pieces.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.pieces.iter().map(|piece| self.piece(piece))
    }

    fn piece(&self, piece: &Piece) -> &[u8] {
        match piece {
            Piece::OfSource(range) => &self.source[range.clone()],
            Piece::Own(range) => &self.own[range.clone()],
        }
    }

    /// The bytes in one.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len);
        self.pieces().for_each(|piece| bytes.extend_from_slice(piece));
        bytes
    }

    /// Reads them from the first on.
    pub fn reader(&self) -> impl Read {
        Reader { spliced: self, rest: &[], next: 0 }
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
                let Some(piece) = self.spliced.pieces.get(self.next) else { break };
                self.rest = self.spliced.piece(piece);
                self.next += 1;
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
