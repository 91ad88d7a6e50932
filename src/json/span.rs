//! How far a value reaches in JSON, found in one pass that keeps nothing: most of a document is
//! passed over by who reads it.
//!
//! Whatever is not JSON is an `Err` with about the place of the fault. serde_json's own skipping
//! (`IgnoredAny`, `RawValue`) looks for the end of a string from one escape to the next, and a text
//! of a coding agent has one for every thirty bytes: it took three times as many instructions, and
//! what is found here on the way (depth, count, halves of characters) three more passes.

#![forbid(unsafe_code)]

use std::ops::Range;

use super::{HIGH_FIRST, HIGH_LAST, LOW_FIRST, LOW_LAST, unit};
use crate::bytes::{Word, word};

/// What a string is.
pub(super) struct Text {
    /// Behind its closing quote.
    pub end: usize,
    /// Nothing in it is escaped.
    pub is_plain: bool,
    /// Where the first half of a surrogate pair stands in it without the other.
    pub half: Option<usize>,
}

/// What a value is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Value {
    /// Behind its last byte.
    pub end: usize,
    /// How deep it nests.
    pub depth: usize,
    /// How many values it holds at most: the commas and what opens, and one.
    pub values: usize,
    /// A string in it holds a half of a surrogate pair without the other.
    pub has_half: bool,
}

/// The string whose opening quote is at `begin`.
pub(super) fn string(json: &[u8], begin: usize) -> Result<Text, usize> {
    let first = begin + 1;
    let rest = &json[first..];
    let (mut is_plain, mut half) = (true, None);
    // What comes before belongs to an escape.
    let mut free = 0;
    let mut at = 0;
    while at < rest.len() {
        let word = word(rest, at);
        for place in word.below(b' ') | word.is(b'"') | word.is(b'\\') {
            let place = at + place;
            if place < free {
                continue;
            }
            match rest.get(place) {
                Some(b'"') => return Ok(Text { end: first + place + 1, is_plain, half }),
                Some(b'\\') => {
                    is_plain = false;
                    free = place + 2;
                    // Most stand for a line's end, a tab or a quote.
                    if !matches!(rest.get(place + 1), Some(b'n' | b't' | b'"' | b'\\')) {
                        let (length, is_half) = escape(&rest[place..]).ok_or(first + place)?;
                        free = place + length;
                        half = half.or(is_half.then_some(first + place));
                    }
                }
                Some(..b' ') => return Err(first + place),
                // It only follows one that is marked.
                _ => {}
            }
        }
        at += Word::BYTES;
    }
    Err(json.len())
}

/// How long the escape is that `json` begins with, both halves of a pair together, and whether it
/// is a half alone.
#[inline(never)]
fn escape(json: &[u8]) -> Option<(usize, bool)> {
    match json.get(1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some((2, false)),
        b'u' => Some(match unit(json)? {
            HIGH_FIRST..=HIGH_LAST => match json.get(6..).and_then(unit) {
                Some(LOW_FIRST..=LOW_LAST) => (12, false),
                _ => (6, true),
            },
            LOW_FIRST..=LOW_LAST => (6, true),
            _ => (6, false),
        }),
        _ => None,
    }
}

/// Behind the number that begins at `begin`.
pub(super) fn number(json: &[u8], begin: usize) -> Result<usize, usize> {
    let byte = |at: usize| json.get(at).copied().unwrap_or_default();
    let digits = |begin: usize| {
        let rest = json.get(begin..).unwrap_or_default();
        let end = begin + rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if end > begin { Ok(end) } else { Err(begin) }
    };
    let first = begin + usize::from(byte(begin) == b'-');
    let mut at = digits(first)?;
    if byte(first) == b'0' && at > first + 1 {
        return Err(first);
    }
    if byte(at) == b'.' {
        at = digits(at + 1)?;
    }
    if matches!(byte(at), b'e' | b'E') {
        at += 1;
        at = digits(at + usize::from(matches!(byte(at), b'+' | b'-')))?;
    }
    Ok(at)
}

/// Where the next byte is that is no white space.
pub(super) fn next(json: &[u8], begin: usize) -> usize {
    let rest = json.get(begin..).unwrap_or_default();
    let blanks = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
    begin + blanks.count()
}

/// What is open, as one bit each: whether it is an object. Those of the first levels take no
/// memory.
#[derive(Default)]
struct Open {
    depth: usize,
    bits: u64,
    below: Vec<u64>,
}

impl Open {
    fn push(&mut self, is_object: bool) {
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.below.push(self.bits);
        }
        self.bits = self.bits << 1 | u64::from(is_object);
        self.depth += 1;
    }

    fn pop(&mut self) {
        self.depth -= 1;
        self.bits >>= 1;
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.bits = self.below.pop().unwrap_or_default();
        }
    }

    fn is_object(&self) -> bool {
        self.bits & 1 != 0
    }
}

/// The value that begins at `begin`.
pub(super) fn value(json: &[u8], begin: usize) -> Result<Value, usize> {
    let mut open = Open::default();
    let mut found = Value { values: 1, ..Value::default() };
    let mut at = begin;
    loop {
        // A value begins here.
        at = match json.get(at) {
            Some(b'"') => {
                let text = string(json, at)?;
                found.has_half |= text.half.is_some();
                text.end
            }
            Some(bracket @ (b'{' | b'[')) => {
                let is_object = *bracket == b'{';
                found.values += 1;
                open.push(is_object);
                found.depth = found.depth.max(open.depth);
                at = next(json, at + 1);
                if json.get(at) != Some(&closing(is_object)) {
                    if is_object {
                        (_, at) = key(json, at, &mut found)?;
                    }
                    continue;
                }
                open.pop();
                at + 1
            }
            Some(b't') => literal(json, at, b"true")?,
            Some(b'f') => literal(json, at, b"false")?,
            Some(b'n') => literal(json, at, b"null")?,
            _ => number(json, at)?,
        };
        // A value has ended here.
        loop {
            if open.depth == 0 {
                found.end = at;
                return Ok(found);
            }
            at = next(json, at);
            let is_object = open.is_object();
            match json.get(at) {
                Some(b',') => {
                    found.values += 1;
                    at = next(json, at + 1);
                    if is_object {
                        (_, at) = key(json, at, &mut found)?;
                    }
                    break;
                }
                Some(byte) if *byte == closing(is_object) => {
                    open.pop();
                    at += 1;
                }
                _ => return Err(at),
            }
        }
    }
}

fn closing(is_object: bool) -> u8 {
    if is_object { b'}' } else { b']' }
}

/// Reads an object: `each` is called with each key, in its quotes, whether nothing in it is
/// escaped, and its value. Returns what it is on the whole.
pub(super) fn members(
    json: &[u8],
    begin: usize,
    each: &mut dyn FnMut(Range<usize>, bool, Range<usize>),
) -> Result<Value, usize> {
    let mut found = Value { depth: 1, values: 1, ..Value::default() };
    found.end = parts(json, begin, b'{', &mut |at| {
        let (key, value_begin) = key(json, at, &mut found)?;
        let value = value(json, value_begin)?;
        found.depth = found.depth.max(1 + value.depth);
        found.values += value.values;
        found.has_half |= value.has_half;
        each(at..key.end, key.is_plain, value_begin..value.end);
        Ok(value.end)
    })?;
    // Of one without members, what opens.
    found.values = found.values.max(2);
    Ok(found)
}

/// Reads an array: `each` is called with each item. Returns what comes behind it.
pub(super) fn items(
    json: &[u8],
    begin: usize,
    each: &mut dyn FnMut(Range<usize>),
) -> Result<usize, usize> {
    parts(json, begin, b'[', &mut |at| {
        let end = value(json, at)?.end;
        each(at..end);
        Ok(end)
    })
}

/// Reads what `bracket` opens: `each` is told where each part begins, and tells where it ends.
fn parts(
    json: &[u8],
    begin: usize,
    bracket: u8,
    each: &mut dyn FnMut(usize) -> Result<usize, usize>,
) -> Result<usize, usize> {
    if json.get(begin) != Some(&bracket) {
        return Err(begin);
    }
    let closing = closing(bracket == b'{');
    let mut at = next(json, begin + 1);
    if json.get(at) == Some(&closing) {
        return Ok(at + 1);
    }
    loop {
        at = next(json, each(at)?);
        match json.get(at) {
            Some(b',') => at = next(json, at + 1),
            Some(byte) if *byte == closing => return Ok(at + 1),
            _ => return Err(at),
        }
    }
}

/// The key at `begin`, and where its value begins.
fn key(json: &[u8], begin: usize, found: &mut Value) -> Result<(Text, usize), usize> {
    if json.get(begin) != Some(&b'"') {
        return Err(begin);
    }
    let text = string(json, begin)?;
    found.has_half |= text.half.is_some();
    let at = next(json, text.end);
    if json.get(at) == Some(&b':') { Ok((text, next(json, at + 1))) } else { Err(at) }
}

fn literal(json: &[u8], begin: usize, word: &[u8]) -> Result<usize, usize> {
    if json[begin..].starts_with(word) { Ok(begin + word.len()) } else { Err(begin) }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    /// A value is read from `json` as serde_json reads one, and nothing else is.
    #[track_caller]
    fn check(json: &str) {
        let mut parser = serde_json::Deserializer::from_str(json);
        let wanted = <&RawValue as serde::Deserialize>::deserialize(&mut parser).ok();
        let found = value(json.as_bytes(), next(json.as_bytes(), 0)).ok();
        let found = found.map(|value| json[..value.end].trim_start());
        assert_eq!(found, wanted.map(RawValue::get), "{json}");
    }

    #[test]
    fn what_serde_json_reads_is_read_and_nothing_else() {
        let values = [
            "0",
            "-0",
            "00",
            "-",
            "1.5",
            "1.",
            ".5",
            "1e5",
            "1E+05",
            "1e",
            "1e-",
            "01",
            "12345678901234567890",
            "true",
            "truth",
            "false",
            "null",
            "nul",
            "\"\"",
            "\"",
            "\"a\\\"",
            r#""\\""#,
            r#""\"""#,
            r#""\u00e9 é 😀 \ud83d\ude00""#,
            r#""\ud83d""#,
            r#""\ude00 a""#,
            r#""\u12""#,
            r#""\u+123""#,
            r#""\x""#,
            "\"a\tb\"",
            "\"a\u{1f}\"",
            "\"a\u{7f}\u{80}\u{2028}\"",
            "[]",
            "[ ]",
            "[1,]",
            "[,1]",
            "[1 2]",
            "[1,[2,{\"a\":[]}]]",
            "{}",
            "{ }",
            "{\"a\":1}",
            "{\"a\" : 1 , \"b\":\n[ ] }",
            "{\"a\":1,}",
            "{\"a\"}",
            "{\"a\":}",
            "{a:1}",
            "{\"a\":1]",
            "[1}",
            "{1:2}",
            "[[[",
            "]",
            "",
            " ",
            "'a'",
        ];
        for value in values {
            for (before, after) in
                [("", ""), (" \n", ""), ("", ",1"), ("[", "]"), ("{\"k\":", "}"), ("[1,", "]")]
            {
                check(&format!("{before}{value}{after}"));
            }
        }
    }

    /// Strings of every length to the word, with an escape, the end or a fault at every place.
    #[test]
    fn strings_end_where_they_end() {
        for before in 0..20 {
            for tail in
                ["", "\\n", "\\\\", "\\\"", "é\\u00e9", "\\ud83d\\ude00", "\n", "\\x", "\\ud83d"]
            {
                for after in 0..10 {
                    let (before, after) = ("a".repeat(before), "b".repeat(after));
                    check(&format!("\"{before}{tail}{after}\" c"));
                    check(&format!("\"{before}{tail}{after}{tail}\"\""));
                    check(&format!("\"{before}{tail}{after}"));
                }
            }
        }
        let escapes = "\\\\\\\"".repeat(40);
        check(&format!("\"{escapes}\""));
        check(&format!("\"{escapes}\\\""));
    }

    /// Whatever a byte of it is changed to.
    #[test]
    fn damaged_json_is_read_as_serde_json_reads_it() {
        let json = r#"{"a":[1,-2.5e3,"x\n\u00e9\"y",{"b":null,"":[true,false,{}]}],"long key of words":"é😀"} "#;
        check(json);
        for at in 0..json.len() {
            for byte in *b"\"\\{}[],:0eE.-tn u\n\x01a" {
                let mut bytes = json.as_bytes().to_vec();
                bytes[at] = byte;
                if let Ok(json) = std::str::from_utf8(&bytes) {
                    check(json);
                }
                bytes.remove(at);
                if let Ok(json) = std::str::from_utf8(&bytes) {
                    check(json);
                }
            }
        }
    }

    #[test]
    fn depth_values_and_halves_are_told() {
        for (json, depth, values, has_half) in [
            ("1", 0, 1, false),
            ("[]", 1, 2, false),
            ("{}", 1, 2, false),
            (r#"{"a":[1,2,{"b":"[[[,,,"}]}"#, 3, 6, false),
            (r#"["\"[[",[[]]]"#, 3, 5, false),
            (r#"{"\ud83d\ude00":"\\ud83d"}"#, 1, 2, false),
            (r#"{"\ud83d":1}"#, 1, 2, true),
            (r#"["a \ud83d\ud83d\ude00"]"#, 1, 2, true),
            (r#"["\ude00"]"#, 1, 2, true),
        ] {
            let end = json.len();
            let wanted = Ok(Value { end, depth, values, has_half });
            assert_eq!(value(json.as_bytes(), 0), wanted, "{json}");
            if json.starts_with('{') {
                assert_eq!(members(json.as_bytes(), 0, &mut |_, _, _| {}), wanted, "{json}");
            }
        }
        for depth in [1, 63, 64, 65, 128, 129, 1000] {
            let json = format!("{}1{}", "[{\"a\":".repeat(depth), "}]".repeat(depth));
            let found = value(json.as_bytes(), 0).map(|value| (value.end, value.depth));
            assert_eq!(found, Ok((json.len(), 2 * depth)));
            assert!(value(json.replacen("}]", "]}", 1).as_bytes(), 0).is_err());
        }
    }
}
