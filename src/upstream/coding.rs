//! A body in a content coding, which some CDNs apply though the request asked for none.
//!
//! gzip is RFC 1952; `deflate` is zlib's form (RFC 1950) by the standard, and the bare data (RFC
//! 1951) of some servers: <https://www.rfc-editor.org/rfc/rfc9110#section-8.4.1>. What has come is
//! handed out before more is waited for, since the answer may be a stream.

use std::fmt;
use std::io::{self, ErrorKind, Read};

use miniz_oxide::inflate::stream::{InflateState, inflate};
use miniz_oxide::{DataFormat, MZError, MZFlush, MZStatus};

/// The most that a body is decoded to: no answer is larger, and a few kilobytes can become
/// gigabytes.
const LIMIT_BYTES: u64 = 64 << 20;

/// The longest head of a gzip body: the name and the comment in it have no length.
const HEAD_LIMIT_BYTES: usize = 64 << 10;

/// The length of a gzip body's checksum and size, which TCP and TLS make needless.
const TRAILER_BYTES: usize = 8;

/// The codings that are undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Deflate,
}

impl Coding {
    /// That of a `content-encoding`.
    pub(super) fn named(name: &str) -> Option<Coding> {
        match &*name.trim().to_ascii_lowercase() {
            "gzip" | "x-gzip" => Some(Coding::Gzip),
            "deflate" => Some(Coding::Deflate),
            _ => None,
        }
    }
}

/// What is wrong with the coding of a body: the inner error of a read that fails for it.
#[derive(Debug)]
pub(super) struct Undecodable {
    coding: Coding,
    reason: &'static str,
}

impl fmt::Display for Undecodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.coding {
            Coding::Gzip => "gzip",
            Coding::Deflate => "deflate",
        };
        write!(f, "its body is in the content coding {name:?}, and {}", self.reason)
    }
}

impl std::error::Error for Undecodable {}

/// A body whose coding is undone.
pub(super) struct Decoded<R> {
    body: R,
    coding: Coding,
    at: At,
    state: Box<InflateState>,
    /// What has been read; that from `next` on has not been used.
    input: Vec<u8>,
    next: usize,
    /// One whole body has been read: gzip may have several, one after another.
    has_data: bool,
    /// How much may still be handed out.
    left: u64,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Head,
    Data,
    /// Of so many bytes, then another head or the end.
    Trailer(usize),
    End,
}

impl<R: Read> Decoded<R> {
    pub(super) fn new(body: R, coding: Coding) -> Decoded<R> {
        Decoded {
            body,
            coding,
            at: At::Head,
            state: InflateState::new_boxed(DataFormat::Raw),
            input: Vec::new(),
            next: 0,
            has_data: false,
            left: LIMIT_BYTES,
        }
    }

    fn invalid(&self, reason: &'static str) -> io::Error {
        let coding = self.coding;
        io::Error::new(ErrorKind::InvalidData, Undecodable { coding, reason })
    }

    /// Waits for more of the body. `false` at its end.
    fn fill(&mut self) -> io::Result<bool> {
        const PIECE: usize = 8192;
        self.input.drain(..self.next);
        self.next = 0;
        let before = self.input.len();
        self.input.resize(before + PIECE, 0);
        let read = self.body.read(&mut self.input[before..]);
        self.input.truncate(before + *read.as_ref().unwrap_or(&0));
        Ok(read? > 0)
    }

    /// Takes the head, if all of it has come.
    fn head(&mut self) -> Result<bool, &'static str> {
        let come = &self.input[self.next..];
        let (length, form) = match self.coding {
            Coding::Gzip => match gzip_head(come)? {
                Some(length) => (length, DataFormat::Raw),
                None => return Ok(false),
            },
            Coding::Deflate => match come {
                [first, second, ..] => {
                    let number = u16::from_be_bytes([*first, *second]);
                    let is_zlib = first & 0x0f == 8 && number % 31 == 0;
                    (0, if is_zlib { DataFormat::Zlib } else { DataFormat::Raw })
                }
                _ => return Ok(false),
            },
        };
        self.next += length;
        self.state.reset(form);
        self.at = At::Data;
        Ok(true)
    }
}

impl<R: Read> Read for Decoded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !buffer.is_empty() {
            match self.at {
                At::Head => {
                    let is_taken = match self.head() {
                        // What follows a whole body is none.
                        Err(_) if self.has_data => {
                            self.at = At::End;
                            continue;
                        }
                        taken => taken.map_err(|reason| self.invalid(reason))?,
                    };
                    if !is_taken && !self.fill()? {
                        if self.next < self.input.len() && !self.has_data {
                            return Err(cut());
                        }
                        self.at = At::End;
                    }
                }
                At::Data => {
                    let input = &self.input[self.next..];
                    let done = inflate(&mut self.state, input, buffer, MZFlush::None);
                    self.next += done.bytes_consumed;
                    if done.status == Ok(MZStatus::StreamEnd) {
                        self.has_data = true;
                        self.at = match self.coding {
                            Coding::Gzip => At::Trailer(TRAILER_BYTES),
                            Coding::Deflate => At::End,
                        };
                    }
                    if done.bytes_written > 0 {
                        let left = self.left.checked_sub(done.bytes_written as u64);
                        self.left =
                            left.ok_or_else(|| self.invalid("it holds more than 64 MiB"))?;
                        return Ok(done.bytes_written);
                    }
                    match done.status {
                        Ok(_) => {}
                        Err(MZError::Buf) if self.next == self.input.len() => {
                            if !self.fill()? {
                                return Err(cut());
                            }
                        }
                        Err(_) => return Err(self.invalid("it is damaged")),
                    }
                }
                At::Trailer(left) if self.next < self.input.len() => {
                    let taken = left.min(self.input.len() - self.next);
                    self.next += taken;
                    self.at = if taken < left { At::Trailer(left - taken) } else { At::Head };
                }
                // Its data is whole; whoever leaves the trailer out takes nothing away.
                At::Trailer(_) | At::End => {
                    self.next = self.input.len();
                    if !self.fill()? {
                        self.at = At::End;
                        return Ok(0);
                    }
                }
            }
        }
        Ok(0)
    }
}

/// The length of the head that `come` begins with, once all of it is there.
fn gzip_head(come: &[u8]) -> Result<Option<usize>, &'static str> {
    const HAS_CHECKSUM: u8 = 2;
    const HAS_EXTRA: u8 = 4;
    const HAS_NAME: u8 = 8;
    const HAS_COMMENT: u8 = 16;
    let fits = come.iter().zip([0x1f, 0x8b, 8]).all(|(byte, magic)| *byte == magic);
    if !fits {
        return Err("it does not begin like gzip");
    }
    if come.len() > HEAD_LIMIT_BYTES {
        return Err("its head is too long");
    }
    let find = || {
        let flags = *come.get(3)?;
        let mut at = 10;
        if flags & HAS_EXTRA != 0 {
            at += 2 + usize::from(u16::from_le_bytes([*come.get(at)?, *come.get(at + 1)?]));
        }
        for text in [HAS_NAME, HAS_COMMENT] {
            if flags & text != 0 {
                at += 1 + come.get(at..)?.iter().position(|byte| *byte == 0)?;
            }
        }
        if flags & HAS_CHECKSUM != 0 {
            at += 2;
        }
        (come.len() >= at).then_some(at)
    };
    Ok(find())
}

fn cut() -> io::Error {
    io::Error::new(ErrorKind::UnexpectedEof, "the content coding breaks off")
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read};

    use miniz_oxide::deflate::{compress_to_vec, compress_to_vec_zlib};

    use super::{Coding, Decoded};

    /// Gives one piece at a time, and tells how many have been taken.
    struct Pieces(Vec<Vec<u8>>);

    impl Read for Pieces {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let Some(piece) = self.0.first_mut() else { return Ok(0) };
            let n = piece.len().min(buffer.len());
            buffer[..n].copy_from_slice(&piece[..n]);
            piece.drain(..n);
            if piece.is_empty() {
                self.0.remove(0);
            }
            Ok(n)
        }
    }

    fn decoded(coding: Coding, pieces: &[&[u8]]) -> Result<Vec<u8>, ErrorKind> {
        let pieces = pieces.iter().filter(|piece| !piece.is_empty()).map(|piece| piece.to_vec());
        let mut out = Vec::new();
        let mut body = Decoded::new(Pieces(pieces.collect()), coding);
        body.read_to_end(&mut out).map_err(|error| error.kind())?;
        Ok(out)
    }

    /// A gzip body with every part that its head may have.
    fn gzip(text: &[u8], flags: u8) -> Vec<u8> {
        let mut body = vec![0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 3];
        for (flag, part) in [(4, &b"\x03\0abc"[..]), (8, b"name\0"), (16, b"words\0"), (2, b"xy")] {
            if flags & flag != 0 {
                body.extend_from_slice(part);
            }
        }
        body.extend(compress_to_vec(text, 6));
        body.extend([0; 8]);
        body
    }

    #[test]
    fn every_form_is_undone_however_it_is_cut() {
        let text = "data: {\"choices\":[]}\n\n".repeat(50).into_bytes();
        for (coding, body) in [
            (Coding::Gzip, gzip(&text, 0)),
            (Coding::Gzip, gzip(&text, 2 | 4 | 8 | 16)),
            (Coding::Deflate, compress_to_vec_zlib(&text, 6)),
            (Coding::Deflate, compress_to_vec(&text, 6)),
        ] {
            for cut in 0..body.len() {
                let (left, right) = body.split_at(cut);
                assert_eq!(decoded(coding, &[left, right]), Ok(text.clone()), "{coding:?} {cut}");
            }
        }
        let twice = [gzip(b"one, ", 8), gzip(b"two", 0)].concat();
        assert_eq!(decoded(Coding::Gzip, &[&twice]), Ok(b"one, two".to_vec()));
        let behind = [gzip(b"one", 0), b"\0\0\0\0 and what not".to_vec()].concat();
        assert_eq!(decoded(Coding::Gzip, &[&behind]), Ok(b"one".to_vec()));
        let bare = gzip(b"one", 0);
        assert_eq!(decoded(Coding::Gzip, &[&bare[..bare.len() - 8]]), Ok(b"one".to_vec()));
        assert_eq!(decoded(Coding::Gzip, &[]), Ok(Vec::new()));
    }

    #[test]
    fn what_has_come_is_handed_out_before_more_is_read() {
        // Far more than the reader's buffer takes, from a few bytes that come at once.
        let text = vec![b'x'; 100_000];
        let body = gzip(&text, 0);
        let last = body.len() - 9;
        let pieces = Pieces(vec![body[..last].to_vec(), body[last..].to_vec()]);
        let mut decoder = Decoded::new(pieces, Coding::Gzip);
        let mut buffer = [0; 4096];
        let mut come = 0;
        while come < 65_536 {
            come += decoder.read(&mut buffer).expect("some of it");
            assert_eq!(decoder.body.0.len(), 1, "{come} bytes have come");
        }
    }

    #[test]
    fn damage_and_cuts_are_errors_and_a_bomb_costs_no_more_than_the_limit() {
        let body = gzip(b"a text that is long enough to be cut", 0);
        assert_eq!(decoded(Coding::Gzip, &[&body[..20]]), Err(ErrorKind::UnexpectedEof));
        assert_eq!(decoded(Coding::Gzip, &[&body[..5]]), Err(ErrorKind::UnexpectedEof));
        assert_eq!(decoded(Coding::Gzip, &[b"{\"error\":1}"]), Err(ErrorKind::InvalidData));
        assert_eq!(decoded(Coding::Deflate, &[&[7; 40]]), Err(ErrorKind::InvalidData));
        let mut endless = vec![0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 3];
        endless.resize(100_000, b'n');
        assert_eq!(decoded(Coding::Gzip, &[&endless]), Err(ErrorKind::InvalidData));
        let bomb = gzip(&vec![0; super::LIMIT_BYTES as usize + 1], 0);
        assert!(bomb.len() < 100_000);
        let mut decoder = Decoded::new(&*bomb, Coding::Gzip);
        let error = std::io::copy(&mut decoder, &mut std::io::sink()).expect_err("a limit");
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(error.to_string().ends_with("it holds more than 64 MiB"), "{error}");
    }
}
