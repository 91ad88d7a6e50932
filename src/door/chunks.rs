//! The chunked transfer coding, read strictly, without IO (RFC 9112, section 7.1).
//!
//! Used both ways: for bodies that clients send in chunks, and to find the end of an answer that
//! the API sends in chunks.

/// Follows chunked bytes, however they are cut.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    state: State,
    /// The size read so far, and how many digits it had.
    size: u64,
    digits: u8,
    /// Bytes of extensions and trailers, which are read over but not for ever.
    ignored: usize,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    /// Behind a `;`.
    Extension,
    SizeLf,
    Data(u64),
    DataCr,
    DataLf,
    /// At the beginning of a line of the trailer section.
    TrailerStart,
    Trailer,
    TrailerLf,
    EndLf,
    End,
}

/// Extensions and trailers nobody here reads.
const MAX_IGNORED: usize = 4096;

/// The coding is broken: where one message ends and the next begins cannot be told.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken;

impl Chunks {
    /// Whether the last chunk and its trailers have been read.
    pub(super) fn is_ended(&self) -> bool {
        self.state == State::End
    }

    /// Reads bytes up to the end of the coding and hands their data to `data`. Returns how many
    /// were read: all of them, unless the end came first.
    pub(super) fn read(
        &mut self,
        bytes: &[u8],
        mut data: impl FnMut(&[u8]),
    ) -> Result<usize, Broken> {
        let mut at = 0;
        while at < bytes.len() && self.state != State::End {
            if let State::Data(left) = self.state {
                let n = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - at);
                data(&bytes[at..at + n]);
                at += n;
                let left = left - n as u64;
                self.state = if left == 0 { State::DataCr } else { State::Data(left) };
                continue;
            }
            self.state = self.step(bytes[at])?;
            at += 1;
        }
        Ok(at)
    }

    fn step(&mut self, byte: u8) -> Result<State, Broken> {
        Ok(match (self.state, byte) {
            (State::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                // Fifteen digits are a petabyte.
                if self.digits == 15 {
                    return Err(Broken);
                }
                self.digits += 1;
                let digit = char::from(byte).to_digit(16).expect("matched above");
                self.size = self.size * 16 + u64::from(digit);
                State::Size
            }
            (State::Size, b'\r') if self.digits > 0 => State::SizeLf,
            (State::Size, b';') if self.digits > 0 => State::Extension,
            (State::Extension, b'\r') => State::SizeLf,
            (State::Extension, b'\t' | b' '..=b'~') => self.ignore(State::Extension)?,
            (State::SizeLf, b'\n') => {
                let size = std::mem::take(&mut self.size);
                self.digits = 0;
                if size == 0 { State::TrailerStart } else { State::Data(size) }
            }
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size,
            (State::TrailerStart, b'\r') => State::EndLf,
            (State::EndLf, b'\n') => State::End,
            (State::Trailer, b'\r') => State::TrailerLf,
            (State::TrailerLf, b'\n') => State::TrailerStart,
            (State::TrailerStart | State::Trailer, b'\t' | b' '..=b'~') => {
                self.ignore(State::Trailer)?
            }
            _ => return Err(Broken),
        })
    }

    fn ignore(&mut self, state: State) -> Result<State, Broken> {
        self.ignored += 1;
        if self.ignored > MAX_IGNORED { Err(Broken) } else { Ok(state) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(input: &[u8], cut: usize) -> Result<(String, usize, bool), Broken> {
        let mut chunks = Chunks::default();
        let mut data = Vec::new();
        let mut n = chunks.read(&input[..cut], |d| data.extend_from_slice(d))?;
        if n == cut {
            n += chunks.read(&input[cut..], |d| data.extend_from_slice(d))?;
        }
        Ok((String::from_utf8(data).unwrap(), n, chunks.is_ended()))
    }

    #[test]
    fn reads_every_cut() {
        let input = b"3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\nnext";
        for cut in 0..=input.len() {
            assert_eq!(
                read(input, cut),
                Ok(("abc0123456789".to_owned(), 44, true)),
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn refuses_what_can_be_read_in_two_ways() {
        for input in [
            &b"+3\r\nabc\r\n"[..],
            b"3\nabc\r\n",
            b"3\r\nabcd\r\n",
            b"\r\n",
            b"3 \r\nabc\r\n",
            b"0x3\r\nabc\r\n",
            b"1234567890123456\r\n",
            b"0\r\nA: \x00\r\n\r\n",
        ] {
            assert_eq!(read(input, 0), Err(Broken), "{:?}", String::from_utf8_lossy(input));
        }
    }
}
