//! What JSON of others may cost, whoever sends it: how deep it nests and how many values it holds.
//!
//! serde_json takes 127 levels, but each parser that begins anew counts from nothing, and a
//! `RawValue` has no limit. So what is kept unparsed is measured here, without recursion.

#![forbid(unsafe_code)]

mod escaped;
mod members;
mod raw;
mod reader;
mod scanner;
mod span;
mod spliced;

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::bytes::{Word, before, count};

pub(crate) use escaped::{Escaped, decoded, write};
pub(crate) use members::{Members, push_number};
pub(crate) use raw::{Raw, Schema, Verbatim, items, members};
pub(crate) use reader::{Fault, Read, Reader};
pub(crate) use scanner::{Scanner, push_string, unescaped};
pub(crate) use spliced::{Spliced, place};

/// The bits by which brackets and braces differ.
const BRACKETS: u8 = b'{' ^ b'[';

/// The deepest nesting that is taken, which is serde_json's own limit.
pub(crate) const MAX_DEPTH: usize = 127;

/// The same of a schema, which is never built as a tree and is passed on as it stands below the
/// levels that are rewritten.
const MAX_SCHEMA_DEPTH: usize = 1000;

/// The most values of a tree that is built for its words, and how deep it nests: of an error, or of
/// a piece of reasoning. Each value costs many times its bytes, and each level some stack.
const MAX_TREE_VALUES: usize = 4000;
const MAX_TREE_DEPTH: usize = 32;

/// Whether `json` nests deeper than [`MAX_DEPTH`].
pub(crate) fn is_too_deep(json: &str) -> bool {
    // Few brackets cannot nest deep, and counting them is many times faster than following them.
    let opens = |word: Word| word.with(BRACKETS).is(b'{');
    json.len() > MAX_DEPTH
        && count(json.as_bytes(), opens) > MAX_DEPTH
        && measure(json).0 > MAX_DEPTH
}

/// A tree of `json`, or `None` if it is not JSON, or more than a tree is built for.
pub(crate) fn tree(json: &str) -> Option<Value> {
    let is_small = beginning(json).len() == json.len();
    is_small.then(|| serde_json::from_str(json).ok()).flatten()
}

/// As much of `json` as a tree is built for.
pub(crate) fn beginning(json: &str) -> &str {
    let mut end = json.len();
    walk(json, |at, depth, values| {
        let is_small = depth <= MAX_TREE_DEPTH && values <= MAX_TREE_VALUES;
        if !is_small {
            end = at;
        }
        is_small
    });
    &json[..end]
}

/// What is wrong with JSON, without the value that serde quotes: it may be a secret or a prompt.
pub(crate) fn complaint(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(", expected ") {
        Some((found, expected)) if error.is_data() => {
            let end = found.find(['"', '`']).unwrap_or(found.len());
            format!("{}, expected {expected}", found[..end].trim_end())
        }
        _ => text,
    }
}

/// The halves of surrogate pairs, which UTF-16 writes one character as.
pub(crate) const HIGH_FIRST: u16 = 0xD800;
pub(crate) const HIGH_LAST: u16 = 0xDBFF;
pub(crate) const LOW_FIRST: u16 = 0xDC00;
pub(crate) const LOW_LAST: u16 = 0xDFFF;

/// Where the characters begin that stand for halves in a text that was [`mended`]: at the end of
/// the last private plane, which nobody writes.
const HALVES: u32 = 0x10_F000;

/// The keys of a provider's answer whose texts come in pieces, so that a character may be cut.
const TEXTS: &[&str] = &[
    "content",
    "text",
    "thinking",
    "reasoning_content",
    "reasoning",
    "refusal",
    "arguments",
    "delta",
];

/// `json` with what serde refuses in strings made to fit, if there is any: control characters are
/// escaped, and a half of a surrogate pair without the other becomes U+FFFD, or where the other
/// half may come later, a character that [`half`] knows.
pub(crate) fn mended(json: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(json.len() + 16);
    let mut has_mended = false;
    let mut key = None;
    let mut at = 0;
    while at < json.len() {
        if json[at] != b'"' {
            out.push(json[at]);
            at += 1;
            continue;
        }
        let begin = at + 1;
        let keeps_halves = key.is_none_or(|key| TEXTS.iter().any(|text| text.as_bytes() == key));
        out.push(b'"');
        at = begin;
        while let Some(&byte) = json.get(at).filter(|byte| **byte != b'"') {
            match (byte, unit(&json[at..])) {
                (_, Some(HIGH_FIRST..=HIGH_LAST))
                    if unit(&json[at + 6..])
                        .is_some_and(|low| (LOW_FIRST..=LOW_LAST).contains(&low)) =>
                {
                    out.extend_from_slice(&json[at..at + 12]);
                    at += 12;
                }
                (_, Some(half @ HIGH_FIRST..=LOW_LAST)) => {
                    let shown = char::from_u32(HALVES + u32::from(half - HIGH_FIRST));
                    let shown =
                        shown.filter(|_| keeps_halves).unwrap_or(char::REPLACEMENT_CHARACTER);
                    out.extend_from_slice(shown.encode_utf8(&mut [0; 4]).as_bytes());
                    has_mended = true;
                    at += 6;
                }
                (b'\\', _) => {
                    out.extend_from_slice(&json[at..(at + 2).min(json.len())]);
                    at += 2;
                }
                (..0x20, _) => {
                    out.extend_from_slice(escaped(byte).as_bytes());
                    has_mended = true;
                    at += 1;
                }
                _ => {
                    out.push(byte);
                    at += 1;
                }
            }
        }
        let text = json.get(begin..at).unwrap_or_default();
        if at < json.len() {
            out.push(b'"');
            at += 1;
        }
        if json.get(at..).unwrap_or_default().trim_ascii_start().first() == Some(&b':') {
            key = Some(text);
        }
    }
    has_mended.then_some(out)
}

/// The code unit that an escape `\uXXXX` at the beginning of `json` stands for.
fn unit(json: &[u8]) -> Option<u16> {
    let digits = json.strip_prefix(b"\\u")?.first_chunk::<4>()?;
    digits.iter().try_fold(0, |unit, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(unit << 4 | digit as u16)
    })
}

/// The half of a surrogate pair that `c` stands for in a text that was [`mended`].
pub(crate) fn half(c: char) -> Option<u16> {
    let unit = u16::try_from(u32::from(c).checked_sub(HALVES)?).ok()?.checked_add(HIGH_FIRST)?;
    (HIGH_FIRST..=LOW_LAST).contains(&unit).then_some(unit)
}

/// A control character as JSON has it in strings.
pub(crate) fn escaped(control: u8) -> Cow<'static, str> {
    match control {
        b'\n' => "\\n".into(),
        b'\r' => "\\r".into(),
        b'\t' => "\\t".into(),
        other => format!("\\u{other:04x}").into(),
    }
}

/// How deep `json` nests, and how many values it holds at most. Of a text that is not JSON both are
/// some number.
fn measure(json: &str) -> (usize, usize) {
    let mut measured = (0, 1);
    walk(json, |_, depth, values| {
        measured = (measured.0.max(depth), values);
        true
    });
    measured
}

/// Calls `each` with the place of every bracket that opens and every comma, the depth there, and
/// how many values there are at most, until it says that this is enough.
fn walk(json: &str, mut each: impl FnMut(usize, usize, usize) -> bool) {
    let (mut depth, mut values) = (0_usize, 1);
    let (mut in_string, mut is_escaped) = (false, false);
    for (at, byte) in json.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_string => is_escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' | b',' => {
                depth += usize::from(byte != b',');
                values += 1;
                if !each(at, depth, values) {
                    return;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
}

/// A JSON schema, or nothing.
pub(crate) fn schema<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Schema<'de>>, D::Error> {
    let Some(raw) = Option::<&RawValue>::deserialize(deserializer)? else { return Ok(None) };
    Reader::new(raw.get(), "", &|_| Ok(())).some_schema().map_err(|fault| match fault {
        Fault::Value { reason, .. } => D::Error::custom(reason),
        _ => D::Error::custom("it is no JSON"),
    })
}

/// The most documents of one body.
const MAX_DOCUMENTS: usize = 100_000;

/// The documents that `body` is made of, one after another or in an array; `None` if it is made of
/// anything else.
pub(crate) fn documents(body: &[u8]) -> Option<Vec<&RawValue>> {
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    let documents = if body.trim_ascii_start().starts_with(b"[") {
        serde_json::from_slice::<Vec<&RawValue>>(body).ok()
    } else {
        let documents = serde_json::Deserializer::from_slice(body).into_iter();
        documents.take(MAX_DOCUMENTS).collect::<Result<Vec<&RawValue>, _>>().ok()
    };
    documents.filter(|documents| !documents.is_empty())
}

/// Follows a document as it comes in, far enough to know whether its object or array is closed.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    depth: usize,
    in_string: bool,
    is_escaped: bool,
    has_begun: bool,
}

impl Scan {
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) {
        loop {
            let at = match self.in_string {
                _ if self.is_escaped => 0,
                true => before(bytes, |word| word.is(b'"') | word.is(b'\\')),
                // The brackets of both kinds differ in one bit.
                false => before(bytes, |word| {
                    let either = word.with(b'[' ^ b'{');
                    word.is(b'"') | either.is(b'{') | either.is(b'}')
                }),
            };
            let Some(byte) = bytes.get(at) else { return };
            bytes = &bytes[at + 1..];
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' => self.is_escaped = true,
                b'"' => self.in_string = !self.in_string,
                b'{' | b'[' => {
                    self.depth += 1;
                    self.has_begun = true;
                }
                _ => self.depth = self.depth.saturating_sub(1),
            }
        }
    }

    /// Whether what has begun is closed.
    pub(crate) fn is_complete(&self) -> bool {
        self.has_begun && self.depth == 0 && !self.in_string
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_and_values_are_counted_outside_of_strings() {
        for (json, depth, values) in [
            ("1", 0, 1),
            ("[]", 1, 2),
            (r#"{"a":[1,2,{"b":"[[[,,,"}]}"#, 3, 6),
            (r#"["\"[[",[[]]]"#, 3, 5),
            ("]]]][", 1, 2),
        ] {
            assert_eq!(measure(json), (depth, values), "{json}");
        }
    }

    #[test]
    fn a_complaint_repeats_no_value() {
        let complaint = |json| complaint(&serde_json::from_str::<Vec<u8>>(json).unwrap_err());
        let wanted = "invalid type: string, expected a sequence at line 1 column 20";
        assert_eq!(complaint(r#""a secret, expected""#), wanted);
        assert_eq!(
            complaint(r#"{"a":1}"#),
            "invalid type: map, expected a sequence at line 1 column 0"
        );
        assert_eq!(complaint("[1"), "EOF while parsing a list at line 1 column 2");
    }

    #[test]
    fn what_is_too_much_is_no_tree() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(!is_too_deep(&nested(MAX_DEPTH)) && is_too_deep(&nested(MAX_DEPTH + 1)));
        assert!(!is_too_deep(&"[],".repeat(1000)));
        assert!(tree("{\"a\":[1]}").is_some() && tree(&nested(MAX_TREE_DEPTH + 1)).is_none());
        assert!(tree(&format!("[{}1]", "1,".repeat(MAX_TREE_VALUES))).is_none());
    }

    #[test]
    fn strings_that_serde_refuses_are_mended() {
        let mended = |json: &str| {
            let mended = super::mended(json.as_bytes())?;
            serde_json::from_slice::<Value>(&mended).expect(json)["content"]
                .as_str()
                .map(|text| text.escape_unicode().to_string().replace("\\u", ""))
        };
        for (json, wanted) in [
            (r#"{"content":"a\ud83d"}"#, Some("{61}{10f03d}")),
            (r#"{"content":"\ude00"}"#, Some("{10f600}")),
            (r#"{"content":"\ud83d\ude00"}"#, None),
            (r#"{"content":"\\ud83d"}"#, None),
            ("{\"content\":\"\t\"}", Some("{9}")),
            (r#"{"content":"\ud83d","id":"\ud83d"}"#, Some("{10f03d}")),
        ] {
            assert_eq!(mended(json).as_deref(), wanted, "{json}");
        }
        for cut in [r#"{"content":"\ud83d"#, r#"{"content":"\"#, r#""\ud8"#, "\"\t"] {
            let _ = super::mended(cut.as_bytes());
        }
        assert_eq!(half('\u{10f03d}'), Some(0xD83D));
        assert_eq!((half('\u{10f800}'), half('a'), half('\u{10ffff}')), (None, None, None));
    }

    /// Byte by byte, as the text says it.
    #[test]
    fn a_scan_is_the_same_however_its_bytes_are_cut() {
        const BYTES: &[u8] = b"{}[]\"\\a,\xdb\xfd";
        for number in 0..BYTES.len().pow(5) {
            let digits = (0..5).map(|at| number / BYTES.len().pow(at) % BYTES.len());
            // Longer than what is looked at at once, with all at all places of that.
            let mut text: Vec<u8> = digits.map(|digit| BYTES[digit]).collect();
            text.splice(2..2, vec![b'a'; number % 8]);
            text.extend_from_within(..);
            let (mut whole, mut pieces) = (Scan::default(), Scan::default());
            whole.feed(&text);
            text.chunks(1).for_each(|byte| pieces.feed(byte));
            assert_eq!(format!("{whole:?}"), format!("{pieces:?}"), "{text:?}");
            let (mut depth, mut in_string, mut is_escaped) = (0_usize, false, false);
            for byte in &text {
                match byte {
                    _ if is_escaped => is_escaped = false,
                    b'\\' if in_string => is_escaped = true,
                    b'"' => in_string = !in_string,
                    b'{' | b'[' if !in_string => depth += 1,
                    b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
                    _ => {}
                }
            }
            assert_eq!(
                (whole.depth, whole.in_string, whole.is_escaped),
                (depth, in_string, is_escaped)
            );
        }
    }
}
