//! JSON read where it stands, by who knows what is in it: nothing is kept and nothing is moved.
//!
//! Whatever is not as it is expected, or not JSON, is `None`, and left to a reader that takes all.

use super::span;
use crate::bytes::before;

/// How deep what nobody looks at may nest.
const DEPTH: usize = 16;

/// Reads a document from the top.
pub(crate) struct Scanner<'a> {
    json: &'a [u8],
    at: usize,
}

/// What is done with a value.
type Each<'f, 'a, T> = &'f mut dyn FnMut(&mut Scanner<'a>, T) -> Option<()>;

impl<'a> Scanner<'a> {
    pub(crate) fn new(json: &'a [u8]) -> Scanner<'a> {
        Scanner { json, at: 0 }
    }

    /// The byte that comes next, behind white space.
    fn peek(&mut self) -> Option<u8> {
        loop {
            match self.json.get(self.at)? {
                b' ' | b'\t' | b'\r' | b'\n' => self.at += 1,
                byte => return Some(*byte),
            }
        }
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        if self.peek()? != byte {
            return None;
        }
        self.at += 1;
        Some(())
    }

    /// Nothing follows.
    pub(crate) fn end(&mut self) -> Option<()> {
        if self.peek().is_none() { Some(()) } else { None }
    }

    /// Whether another item follows in what `end` closes, which is taken where none does.
    fn goes_on(&mut self, is_first: bool, end: u8) -> Option<bool> {
        let byte = self.peek()?;
        if byte == end {
            self.at += 1;
            return Some(false);
        }
        if !is_first {
            self.take(b',')?;
        }
        Some(true)
    }

    /// Reads an object: `each` is called for each of these fields that is there, by its place among
    /// them, to read its value. The others are passed over.
    pub(crate) fn fields(&mut self, fields: &[&str], each: Each<'_, 'a, usize>) -> Option<()> {
        self.take(b'{')?;
        let (mut is_first, mut seen) = (true, 0_u32);
        while self.goes_on(is_first, b'}')? {
            is_first = false;
            let key = self.key()?;
            match fields.iter().position(|field| field.as_bytes() == key) {
                Some(field) => {
                    if seen & (1 << field) != 0 {
                        return None;
                    }
                    seen |= 1 << field;
                    each(self, field)?;
                }
                None => self.pass()?,
            }
        }
        Some(())
    }

    /// Reads a list that has one item.
    pub(crate) fn only(
        &mut self,
        item: &mut dyn FnMut(&mut Scanner<'a>) -> Option<()>,
    ) -> Option<()> {
        self.take(b'[')?;
        item(self)?;
        self.take(b']')
    }

    /// A key, and what parts it from its value. One with an escape could be any.
    fn key(&mut self) -> Option<&'a [u8]> {
        self.take(b'"')?;
        let rest = self.json.get(self.at..)?;
        let key = &rest[..plain(rest)];
        self.at += key.len();
        if self.json.get(self.at) != Some(&b'"') || !key.is_ascii() {
            return None;
        }
        self.at += 1;
        self.take(b':')?;
        Some(key)
    }

    /// A string without its quotes, as it is written.
    fn string(&mut self) -> Option<&'a [u8]> {
        if self.peek()? != b'"' {
            return None;
        }
        let begin = self.at;
        self.at = span::string(self.json, begin).ok()?.end;
        Some(&self.json[begin + 1..self.at - 1])
    }

    /// A text as it is written, unless it is empty or null.
    pub(crate) fn text(&mut self) -> Option<Option<&'a str>> {
        if self.peek()? != b'"' {
            return self.word(b"null").map(|()| None);
        }
        let text = std::str::from_utf8(self.string()?).ok()?;
        Some(Some(text).filter(|text| !text.is_empty()))
    }

    /// A whole number.
    pub(crate) fn number(&mut self) -> Option<u64> {
        self.peek()?;
        let begin = self.at;
        self.at = span::number(self.json, begin).ok()?;
        std::str::from_utf8(&self.json[begin..self.at]).ok()?.parse().ok()
    }

    /// Whether what comes next is null, or an empty text or list.
    pub(crate) fn is_nothing(&mut self) -> bool {
        let at = self.at;
        let is_nothing = self.nothing().is_some();
        self.at = at;
        is_nothing
    }

    /// Passes over null, or an empty text or list.
    pub(crate) fn nothing(&mut self) -> Option<()> {
        match self.peek()? {
            b'[' => {
                self.at += 1;
                self.take(b']')
            }
            b'"' => self.word(b"\"\""),
            _ => self.word(b"null"),
        }
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        if !self.json.get(self.at..)?.starts_with(word) {
            return None;
        }
        self.at += word.len();
        Some(())
    }

    /// Passes over a value.
    fn pass(&mut self) -> Option<()> {
        self.peek()?;
        let value = span::value(self.json, self.at).ok()?;
        self.at = value.end;
        (value.depth <= DEPTH).then_some(())
    }
}

/// The text that stands escaped in `written`, which `out` has room for if it is another. `None`
/// where half a character is written.
pub(crate) fn unescaped<'t>(written: &'t str, out: &'t mut String) -> Option<&'t str> {
    let mut rest = written;
    out.clear();
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let escape = &rest[at..];
        let mut length = 2;
        out.push(match *escape.as_bytes().get(1)? {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let high = unit(escape)?;
                let units = [high, escape.get(6..).and_then(unit).unwrap_or_default()];
                let c = char::decode_utf16(units).next()?.ok()?;
                length = 6 * c.len_utf16();
                c
            }
            byte => char::from(byte),
        });
        rest = &escape[length..];
    }
    if rest.len() == written.len() {
        return Some(written);
    }
    out.push_str(rest);
    Some(out)
}

/// The code unit that the escape stands for at the beginning of `written`.
fn unit(written: &str) -> Option<u16> {
    u16::from_str_radix(written.strip_prefix("\\u")?.get(..4)?, 16).ok()
}

/// Appends a text as a JSON string, in the form that serde_json gives it.
pub(crate) fn push_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    loop {
        let (free, then) = rest.split_at(plain(rest));
        out.extend_from_slice(free);
        let Some((byte, after)) = then.split_first() else { break };
        let short = match byte {
            b'"' | b'\\' => *byte,
            0x08 => b'b',
            0x0c => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            _ => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                let digits = [byte >> 4, byte & 15].map(|digit| HEX[usize::from(digit)]);
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&digits);
                rest = after;
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', short]);
        rest = after;
    }
    out.push(b'"');
}

/// How many bytes of a string come before its end, the next escape, or what may not stand in it.
fn plain(bytes: &[u8]) -> usize {
    before(bytes, |word| word.below(b' ') | word.is(b'"') | word.is(b'\\'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts that a byte at any place makes another way to go.
    fn texts() -> impl Iterator<Item = String> {
        let chars =
            ['"', '\\', '\n', '\u{1}', '\u{1f}', ' ', '/', '\u{7f}', 'é', '😀', '\u{8}', '\u{c}'];
        let place = |before: usize, c: char, after: usize| {
            format!("{}{c}{}", "a".repeat(before), "b".repeat(after))
        };
        (0..20).flat_map(move |n| chars.map(|c| place(n, c, 20 - n)))
    }

    #[test]
    fn strings_are_written_as_serde_json_writes_them() {
        for text in texts() {
            let mut out = Vec::new();
            push_string(&mut out, &text);
            assert_eq!(String::from_utf8(out).unwrap(), serde_json::to_string(&text).unwrap());
        }
    }

    #[test]
    fn strings_are_read_as_serde_json_reads_them() {
        let mut scratch = String::new();
        let escapes = ["\\u00e9", "\\ud83d\\ude00", "\\b\\f\\n\\r\\t\\/", "\\u0000", "é"];
        let escaped = escapes.iter().map(|escape| format!("\"a{escape}b{escape}\""));
        for json in texts().map(|text| serde_json::to_string(&text).unwrap()).chain(escaped) {
            let text: String = serde_json::from_str(&json).unwrap();
            let mut scanner = Scanner::new(json.as_bytes());
            let written = scanner.text().unwrap().unwrap();
            assert_eq!(unescaped(written, &mut scratch), Some(&*text), "{json}");
            scanner.end().unwrap();
        }
        for half in ["\\ud83d", "\\ude00", "\\ud83d\\n", "a\\ud83d\\ud83d"] {
            assert_eq!(unescaped(half, &mut scratch), None, "{half}");
        }
    }

    /// What is passed over is JSON: each value is, and nothing that a byte was taken from or added
    /// to, unless serde_json takes it too.
    #[test]
    fn what_is_passed_over_is_json() {
        let passes = |json: &str| {
            let mut scanner = Scanner::new(json.as_bytes());
            scanner.pass().and_then(|()| scanner.end()).is_some()
        };
        let is_json = |json: &str| serde_json::from_str::<serde::de::IgnoredAny>(json).is_ok();
        let values = [
            r#"{"a":[1,-2.5e+3,0,{"b":null}],"c":"\u00e9\n","d":{}}"#,
            "[[],{},true,false,0.1,-0,10,1E5]",
            " [ 1 , \"a\" ] ",
        ];
        for value in values {
            assert!(passes(value), "{value}");
            for at in 0..value.len() {
                let without = format!("{}{}", &value[..at], &value[at + 1..]);
                assert_eq!(passes(&without), is_json(&without), "{without}");
                for more in ["\"", ",", ":", "1", "[", "}", "\\", "-", "."] {
                    let with = format!("{}{more}{}", &value[..at], &value[at..]);
                    assert!(!passes(&with) || is_json(&with), "{with}");
                }
            }
        }
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(passes(&nested(DEPTH)) && !passes(&nested(DEPTH + 1)));
    }
}
