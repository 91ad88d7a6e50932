//! A JSON object as it comes in, cut anywhere.

use std::borrow::Cow;

use crate::json::{HIGH_FIRST, HIGH_LAST, LOW_FIRST, LOW_LAST, escaped};

/// A JSON text as it comes in, with what no JSON parser takes in its strings made to fit: control
/// characters are escaped, and a half of a surrogate pair without the other becomes U+FFFD.
///
/// RFC 8259 wants the first (section 7) and says of the second that nobody knows what becomes of it
/// (section 8.2).
#[derive(Debug, Default)]
pub(super) struct Object {
    pub text: String,
    pub form: Form,
    /// An escape that is not complete, or that may be the first half of a pair. It is no part of
    /// `text` yet.
    held: String,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    #[default]
    Blank,
    /// Inside the object.
    Open { depth: usize, in_string: bool },
    /// The object has been closed; what follows is no part of it.
    Complete,
    /// Not an object, so nothing is known before the end.
    Odd,
}

/// What takes the place of half a pair.
const REPLACEMENT: &str = "\\ufffd";

impl Object {
    /// Takes a piece as far as the object goes, and returns the rest of it.
    pub(super) fn push<'p>(&mut self, piece: &'p str) -> &'p str {
        if self.form == Form::Complete {
            return piece;
        }
        // Everything before it is in `text`, in `held`, or is left out.
        let mut from = 0;
        for (at, byte) in piece.bytes().enumerate() {
            if !self.held.is_empty() {
                if self.escape(byte) {
                    from = at + 1;
                    continue;
                }
                from = at;
            }
            self.form = match (self.form, byte) {
                (Form::Blank, b' ' | b'\t' | b'\r' | b'\n') => {
                    from = at + 1;
                    Form::Blank
                }
                (Form::Blank, b'{') => Form::Open { depth: 1, in_string: false },
                (Form::Blank | Form::Odd, _) => Form::Odd,
                (Form::Open { in_string: true, .. }, b'\\') => {
                    self.text.push_str(&piece[from..at]);
                    self.held.push('\\');
                    from = at + 1;
                    self.form
                }
                (Form::Open { in_string: true, .. }, ..0x20) => {
                    self.text.push_str(&piece[from..at]);
                    self.text.push_str(&escaped(byte));
                    from = at + 1;
                    self.form
                }
                (Form::Open { depth, in_string }, byte) => opened(depth, in_string, byte),
                (Form::Complete, _) => unreachable!("it returns where it completes"),
            };
            match self.form {
                Form::Complete => {
                    self.text.push_str(&piece[from..=at]);
                    return &piece[at + 1..];
                }
                Form::Odd => break,
                _ => {}
            }
        }
        self.text.push_str(&piece[from..]);
        ""
    }

    /// Takes one more byte of an escape. `false` if it is none, or one of no concern: then what was
    /// held is in the text, and the byte follows it.
    fn escape(&mut self, byte: u8) -> bool {
        match (self.held.len(), byte) {
            (1 | 7, b'u')
            | (2..=5 | 8..=11, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F')
            | (6, b'\\') => {
                self.held.push(char::from(byte));
            }
            (6.., _) => {
                self.text.push_str(REPLACEMENT);
                self.held.drain(..6);
                return !self.held.is_empty() && self.escape(byte);
            }
            // `\"` and its like, or no JSON, which is found at the end.
            (1, b'"' | b'\\') => {
                self.text.push_str(&std::mem::take(&mut self.held));
                self.text.push(char::from(byte));
                return true;
            }
            _ => {
                self.text.push_str(&std::mem::take(&mut self.held));
                return false;
            }
        }
        let unit = |hex: &str| u16::from_str_radix(hex, 16).unwrap_or_default();
        match self.held.len() {
            6 => match unit(&self.held[2..]) {
                HIGH_FIRST..=HIGH_LAST => {}
                LOW_FIRST..=LOW_LAST => {
                    self.held.clear();
                    self.text.push_str(REPLACEMENT);
                }
                _ => self.text.push_str(&std::mem::take(&mut self.held)),
            },
            12 => match unit(&self.held[8..]) {
                LOW_FIRST..=LOW_LAST => self.text.push_str(&std::mem::take(&mut self.held)),
                HIGH_FIRST..=HIGH_LAST => {
                    self.text.push_str(REPLACEMENT);
                    self.held.drain(..6);
                }
                _ => {
                    self.text.push_str(REPLACEMENT);
                    self.text.push_str(&std::mem::take(&mut self.held)[6..]);
                }
            },
            _ => {}
        }
        true
    }
}

/// One byte further inside an object, outside of escapes.
fn opened(depth: usize, in_string: bool, byte: u8) -> Form {
    match byte {
        b'"' => Form::Open { depth, in_string: !in_string },
        _ if in_string => Form::Open { depth, in_string },
        b'{' | b'[' => Form::Open { depth: depth + 1, in_string },
        b'}' | b']' if depth == 1 => Form::Complete,
        b'}' | b']' => Form::Open { depth: depth - 1, in_string },
        _ => Form::Open { depth, in_string },
    }
}

/// A whole object as services take it: a client's history may hold halves of surrogate pairs, which
/// are replaced as those of a provider are.
pub(super) fn without_halves(object: &str) -> Cow<'_, str> {
    if !object.contains("\\ud") && !object.contains("\\uD") {
        return Cow::Borrowed(object);
    }
    let mut whole = Object::default();
    whole.push(object);
    Cow::Owned(whole.text)
}
