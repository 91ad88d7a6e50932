//! How many tokens a picture is, by its size, which the head of the file tells.

/// What a picture costs at most: Anthropic scales larger ones down.
pub(super) const MAX_TOKENS: u64 = 1600;
/// Pixels of a token: <https://docs.anthropic.com/en/docs/build-with-claude/vision>.
const TOKEN_PIXELS: u64 = 750;
/// The segments of a JPEG that are looked through for its size.
const MAX_SEGMENTS: usize = 64;

/// The tokens of a picture in base64; the most there can be if its size cannot be read.
pub(super) fn tokens(base64: &str) -> u64 {
    let file = Base64(base64.as_bytes());
    let size = png(file).or_else(|| gif(file)).or_else(|| webp(file)).or_else(|| jpeg(file));
    size.map_or(MAX_TOKENS, |(width, height)| {
        (u64::from(width) * u64::from(height) / TOKEN_PIXELS).clamp(1, MAX_TOKENS)
    })
}

type Size = (u32, u32);

/// A file in base64, of which single bytes are read.
#[derive(Clone, Copy)]
struct Base64<'a>(&'a [u8]);

impl Base64<'_> {
    fn byte(self, at: usize) -> Option<u32> {
        let sextet = |i: usize| {
            Some(u32::from(match *self.0.get(at / 3 * 4 + i)? {
                b @ b'A'..=b'Z' => b - b'A',
                b @ b'a'..=b'z' => b - b'a' + 26,
                b @ b'0'..=b'9' => b - b'0' + 52,
                b'+' | b'-' => 62,
                b'/' | b'_' => 63,
                _ => return None,
            }))
        };
        let i = at % 3;
        let pair = sextet(i)? << 6 | sextet(i + 1)?;
        Some(pair >> (4 - 2 * i) & 0xff)
    }

    fn begins(self, at: usize, with: &[u8]) -> Option<()> {
        let mut bytes = with.iter().enumerate();
        bytes.all(|(i, byte)| self.byte(at + i) == Some(u32::from(*byte))).then_some(())
    }

    /// A number of `count` bytes, the highest first.
    fn high_first(self, at: usize, count: usize) -> Option<u32> {
        (at..at + count).try_fold(0, |number, at| Some(number << 8 | self.byte(at)?))
    }

    /// A number of `count` bytes, the lowest first.
    fn low_first(self, at: usize, count: usize) -> Option<u32> {
        (at..at + count).rev().try_fold(0, |number, at| Some(number << 8 | self.byte(at)?))
    }
}

fn png(file: Base64<'_>) -> Option<Size> {
    file.begins(0, b"\x89PNG")?;
    Some((file.high_first(16, 4)?, file.high_first(20, 4)?))
}

fn gif(file: Base64<'_>) -> Option<Size> {
    file.begins(0, b"GIF8")?;
    Some((file.low_first(6, 2)?, file.low_first(8, 2)?))
}

/// <https://developers.google.com/speed/webp/docs/riff_container>
fn webp(file: Base64<'_>) -> Option<Size> {
    file.begins(0, b"RIFF")?;
    file.begins(8, b"WEBPVP8")?;
    match u8::try_from(file.byte(15)?) {
        Ok(b' ') => Some((file.low_first(26, 2)? & 0x3fff, file.low_first(28, 2)? & 0x3fff)),
        Ok(b'L') => {
            let bits = file.low_first(21, 4)?;
            Some(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1))
        }
        Ok(b'X') => Some((file.low_first(24, 3)? + 1, file.low_first(27, 3)? + 1)),
        _ => None,
    }
}

/// The size is in the first segment that begins a frame, after those of the camera.
fn jpeg(file: Base64<'_>) -> Option<Size> {
    file.begins(0, b"\xff\xd8")?;
    let mut at = 2;
    for _ in 0..MAX_SEGMENTS {
        let marker = file.high_first(at, 2)?;
        match marker {
            0xffc4 | 0xffc8 | 0xffcc => {}
            0xffc0..=0xffcf => {
                return Some((file.high_first(at + 7, 2)?, file.high_first(at + 5, 2)?));
            }
            0xff00.. => {}
            _ => return None,
        }
        at += 2 + file.high_first(at + 2, 2)? as usize;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{MAX_TOKENS, tokens};

    #[test]
    fn the_size_is_in_the_head() {
        // Heads of pictures of 300 × 200, as programs write them.
        for head in HEADS {
            assert_eq!(tokens(head), 80, "{head}");
        }
    }

    #[test]
    fn what_is_no_picture_costs_the_most() {
        for data in
            ["", "AAAA", "iVBORw0KGgo", "/9j/4AAQ", "/9j///////", "R0lGODlh", "UklGRg==", "é%"]
        {
            assert_eq!(tokens(data), MAX_TOKENS, "{data}");
        }
    }

    const HEADS: &[&str] = &[
        "iVBORw0KGgoAAAANSUhEUgAAASwAAADICAIAAADdvUsCAAAC",
        "R0lGODdhLAHIAIEAAAl4HsgBAQAAAAAA",
        "/9j/4AAQSkZJRgABAQAAAQABAAD/4QAWRXhpZgAATU0AKgAAAAgAAAAAAAD/2wBDAAgGBgcGBQgHBwcJCQgKDBQNDAsLDBkSEw8UHRofHh0aHBwgJC4nICIsIxwcKDcpLDAxNDQ0Hyc5PTgyPC4zNDL/2wBDAQkJCQwLDBgNDRgyIRwhMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjL/wAARCADIASwDASIAAhEBAxE=",
        "UklGRsQAAABXRUJQVlA4ILgAAACwEACdASosAcgAPm02mUmk",
        "UklGRjIAAABXRUJQVlA4TCYAAAAvK8ExAA+wdw9C3o75Dy0Q",
        "UklGRuwAAABXRUJQVlA4WAoAAAAIAAAAKwEAxwAAVlA4ILgA",
    ];
}
