//! Texts as they stand in JSON.
//!
//! A text that is passed on is the same JSON on either side, so it is copied as it came, and
//! decoded only where its words are looked at.

use std::borrow::Cow;

use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::unit;
use crate::bytes::before;

/// The name by which serde_json knows its `RawValue`, whose fields it writes as they are. There is
/// no other way to write a string in pieces that are escaped already; a test below sees that it
/// is one.
const AS_IT_IS: &str = "$serde_json::private::RawValue";

/// A JSON string, with its quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Escaped<'a> {
    json: Cow<'a, str>,
    /// Whether nothing in it is escaped.
    is_plain: bool,
}

impl<'a> Escaped<'a> {
    /// A string as it stands in valid JSON.
    pub(super) fn borrowed(json: &'a str, is_plain: bool) -> Escaped<'a> {
        Escaped { json: Cow::Borrowed(json), is_plain }
    }

    /// `text` as JSON.
    pub fn new(text: &str) -> Escaped<'static> {
        let json = serde_json::to_string(text).expect("a string always serializes");
        Escaped { is_plain: json.len() == text.len() + 2, json: Cow::Owned(json) }
    }

    /// A text of these pieces, each as it stands between quotes.
    pub fn concat<'p>(pieces: impl Iterator<Item = &'p str>) -> Escaped<'static> {
        let mut json = String::from('"');
        pieces.for_each(|piece| json.push_str(piece));
        json.push('"');
        Escaped { is_plain: !json.contains('\\'), json: Cow::Owned(json) }
    }

    /// The JSON of it.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// What stands between the quotes.
    pub fn inner(&self) -> &str {
        &self.json[1..self.json.len() - 1]
    }

    /// The bytes of that.
    pub fn len(&self) -> usize {
        self.json.len() - 2
    }

    /// The bytes of the text.
    pub fn text_len(&self) -> usize {
        let (mut rest, mut saved) = (self.inner(), 0);
        if self.is_plain {
            return rest.len();
        }
        while let Some(at) = rest.find('\\') {
            let (char, length) = escaped(&rest[at..]);
            saved += length - char.map_or(0, char::len_utf8);
            rest = &rest[at + length..];
        }
        self.len() - saved
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The text. It is copied where anything in it is escaped.
    pub fn text(&self) -> Cow<'_, str> {
        if self.is_plain {
            return Cow::Borrowed(self.inner());
        }
        decoded(self.inner())
    }

    /// The text of about so many bytes of it, or of more where it costs nothing.
    pub fn beginning(&self, bytes: usize) -> Cow<'_, str> {
        match self.inner() {
            inner if self.is_plain => Cow::Borrowed(inner),
            inner => {
                let mut ends = (0..=bytes.min(inner.len())).rev();
                let end = ends.find(|end| inner.is_char_boundary(*end)).unwrap_or_default();
                decoded(&inner[..end])
            }
        }
    }

    /// The text, for as long as the JSON lives that it stands in.
    pub fn into_text(self) -> Cow<'a, str> {
        match self.json {
            Cow::Borrowed(json) if self.is_plain => Cow::Borrowed(&json[1..json.len() - 1]),
            json => Cow::Owned(Escaped { json, ..self }.text().into_owned()),
        }
    }

    /// The text in pieces of about `length` bytes, each of whole words, so that none of a long text
    /// needs to be held.
    pub fn pieces(&self, length: usize) -> impl Iterator<Item = Cow<'_, str>> {
        let mut rest = self.inner();
        std::iter::from_fn(move || {
            // A blank before a word is no part of an escape.
            let is_cut =
                |at: &usize| rest.as_bytes()[*at] == b' ' && rest.as_bytes()[at - 1] != b' ';
            let cut = (length.max(1)..rest.len()).find(is_cut).unwrap_or(rest.len());
            let (piece, more) = rest.split_at(cut);
            rest = more;
            (!piece.is_empty()).then(|| decoded(piece))
        })
    }

    /// The same text without a copy of it.
    pub fn by_ref(&self) -> Escaped<'_> {
        Escaped { json: Cow::Borrowed(&self.json), is_plain: self.is_plain }
    }

    /// Whether the text begins with `beginning`.
    pub fn starts_with(&self, beginning: &str) -> bool {
        /// The longest that an escape of a byte can be.
        const ESCAPE: usize = 6;
        if self.is_plain {
            return self.inner().starts_with(beginning);
        }
        let first = self.inner().bytes().take(ESCAPE * beginning.len());
        match first.clone().any(|byte| byte == b'\\') {
            true => self.text().starts_with(beginning),
            false => self.inner().starts_with(beginning),
        }
    }
}

/// What a piece of a text says as it stands in JSON. It may be cut anywhere: half an escape says
/// nothing.
pub(crate) fn decoded(piece: &str) -> Cow<'_, str> {
    let plain = |piece: &str| before(piece.as_bytes(), |word| word.is(b'\\'));
    let first = plain(piece);
    if first == piece.len() {
        return Cow::Borrowed(piece);
    }
    let mut text = String::with_capacity(piece.len());
    let (begin, mut rest) = piece.split_at(first);
    text.push_str(begin);
    while !rest.is_empty() {
        let (char, length) = escaped(rest);
        text.extend(char);
        rest = &rest[length..];
        let (begin, more) = rest.split_at(plain(rest));
        text.push_str(begin);
        rest = more;
    }
    Cow::Owned(text)
}

/// The character that the escape at the beginning of `piece` stands for, if it is whole, and how
/// much of it has been read.
fn escaped(piece: &str) -> (Option<char>, usize) {
    let bytes = piece.as_bytes();
    let char = match bytes.get(1) {
        Some(b'n') => '\n',
        Some(b't') => '\t',
        Some(b'r') => '\r',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(byte @ (b'"' | b'\\' | b'/')) => char::from(*byte),
        Some(b'u') => {
            let units = [unit(bytes), unit(&bytes[6.min(bytes.len())..])];
            let mut read = char::decode_utf16(units.into_iter().map_while(|unit| unit));
            let char = read.next().and_then(Result::ok);
            return (char, char.map_or(2, |char| 6 * char.len_utf16()));
        }
        _ => return (None, 1),
    };
    (Some(char), 2)
}

impl Serialize for Escaped<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        write(serializer, [&*self.json])
    }
}

/// Writes pieces of one JSON value, which have to be valid together, as they are.
pub(crate) fn write<'p, S: Serializer>(
    serializer: S,
    pieces: impl IntoIterator<Item = &'p str>,
) -> Result<S::Ok, S::Error> {
    let mut writer = serializer.serialize_struct(AS_IT_IS, 1)?;
    for piece in pieces {
        writer.serialize_field(AS_IT_IS, piece)?;
    }
    writer.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_escaped_is_written_as_it_came() {
        struct Pieces;
        impl Serialize for Pieces {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                write(serializer, ["\"", r"a\u00e9", r"\/", "\""])
            }
        }
        let json = serde_json::to_string(&(Pieces, Escaped::new("\"\n"))).unwrap();
        assert_eq!(json, r#"["a\u00e9\/","\"\n"]"#);
        let pretty = serde_json::to_string_pretty(&[Pieces]).unwrap();
        assert_eq!(pretty, "[\n  \"a\\u00e9\\/\"\n]");
    }

    #[test]
    fn texts_are_decoded_where_they_are_looked_at() {
        for (json, text) in
            [(r#""""#, ""), (r#""a é""#, "a é"), (r#""\u0061\n\ud83d\ude00""#, "a\n😀")]
        {
            let escaped = Escaped::borrowed(json, !json.contains('\\'));
            assert_eq!((escaped.text(), escaped.is_empty()), (text.into(), text.is_empty()));
            assert!(escaped.starts_with("") && escaped.starts_with(text));
            assert_eq!((escaped.text_len(), escaped.beginning(99)), (text.len(), text.into()));
            assert!(!escaped.starts_with("other"));
            assert_eq!(escaped.into_text(), text);
        }
        let every = "\"\\ / \u{8}\u{c}\n\r\t \u{1} é 😀 \u{7f}\u{2028} ".repeat(9);
        let escaped = Escaped::new(&every);
        assert_eq!((escaped.text(), escaped.text_len()), ((&*every).into(), every.len()));
        for length in [0, 1, 7, 40, 9999] {
            assert_eq!(escaped.pieces(length).collect::<String>(), every);
        }
        for (cut, text) in [(r"a\", "a"), (r"\ud8", "d8"), (r"\ud83d\u", "d83d"), (r"\x", "x")] {
            assert!(decoded(cut).ends_with(text), "{cut}");
        }
        let late = format!("\"begin {}\\n\"", "a".repeat(99));
        assert!(Escaped::borrowed(&late, false).starts_with("begin"));
        let both = Escaped::concat(["a\\n", "b"].into_iter());
        assert_eq!((both.text(), both.len()), ("a\nb".into(), 4));
    }
}
