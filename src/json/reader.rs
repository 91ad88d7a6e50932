//! A JSON document read from the top, once: its objects and lists by who knows their fields, its
//! texts as they stand there, and what nobody looks into as raw JSON.
//!
//! What is wrong in the grammar is not told in words here: serde_json, which reads raw JSON here
//! too, finds it again.

use std::borrow::Cow;

use serde::Deserialize;

use super::MAX_SCHEMA_DEPTH;
use super::escaped::Escaped;
use super::raw::{Raw, Schema};
use super::span::{self, Value};
use crate::error::Error;

/// Reads a document.
pub(crate) struct Reader<'a> {
    json: &'a str,
    at: usize,
    mark: &'static str,
    is_marked: bool,
    foreign: usize,
    /// What the values so far take, and how much of it has been asked for.
    taken: usize,
    asked: usize,
    ask: Ask<'a>,
}

/// Asks whether there is memory for so many bytes in all.
pub(crate) type Ask<'a> = &'a dyn Fn(usize) -> Result<(), Error>;

/// About what a value takes that is no raw JSON, and how much memory is asked for at once. A little
/// every message has.
const VALUE_BYTES: usize = 120;
const STEP_BYTES: usize = 64 << 10;

/// What is read raw may be written anew, with what is escaped in it escaped once more; this many
/// times its bytes are there while it grows.
const RAW_COPIES: usize = 3;

/// Why a document cannot be read, and at which byte of it.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It is not JSON.
    Syntax { at: usize },
    /// The value there is not what is wanted.
    Value { at: usize, reason: String },
    /// The object there has no such field.
    Missing { at: usize, field: &'static str },
    /// There is no memory for it.
    TooMuch(Error),
}

pub(crate) type Read<T> = Result<T, Fault>;

impl<'a> Reader<'a> {
    /// Reads `json`, and notes whether any of the objects with known fields has the field `mark`.
    /// The memory for what is read is asked for by `ask`, beside that of `json`.
    pub(crate) fn new(json: &'a str, mark: &'static str, ask: Ask<'a>) -> Reader<'a> {
        Reader {
            json,
            at: 0,
            mark,
            is_marked: false,
            foreign: 0,
            taken: 0,
            asked: STEP_BYTES / 4,
            ask,
        }
    }

    /// Reads the field that is noted. Whether it is more than null.
    pub(crate) fn marked(&mut self) -> Read<bool> {
        self.is_marked = true;
        Ok(self.some_raw()?.is_some())
    }

    /// Notes that there is something of another service's.
    pub(crate) fn note_foreign(&mut self) {
        self.foreign += 1;
    }

    /// How often that has been noted.
    pub(crate) fn foreign(&self) -> usize {
        self.foreign
    }

    /// Takes memory.
    fn take(&mut self, bytes: usize) -> Read<()> {
        self.taken += bytes;
        if self.taken > self.asked {
            self.asked = self.taken + STEP_BYTES;
            (self.ask)(self.asked).map_err(Fault::TooMuch)?;
        }
        Ok(())
    }

    /// Whether the field has been seen.
    pub(crate) fn is_marked(&self) -> bool {
        self.is_marked
    }

    /// Where the next value begins.
    pub(crate) fn place(&mut self) -> usize {
        self.peek();
        self.at
    }

    /// What has been read since a place.
    pub(crate) fn since(&self, place: usize) -> &'a str {
        &self.json[place..self.at]
    }

    /// The byte that the next value begins with.
    fn peek(&mut self) -> Option<u8> {
        loop {
            match self.json.as_bytes().get(self.at) {
                Some(b' ' | b'\t' | b'\r' | b'\n') => self.at += 1,
                other => return other.copied(),
            }
        }
    }

    fn syntax<T>(&self) -> Read<T> {
        Err(Fault::Syntax { at: self.at })
    }

    /// Takes `byte`, which has to come next.
    fn expect(&mut self, byte: u8) -> Read<()> {
        if self.peek() != Some(byte) {
            return self.syntax();
        }
        self.at += 1;
        Ok(())
    }

    /// Goes on in a list or an object that `end` closes; `false` at its end.
    fn goes_on(&mut self, is_first: bool, end: u8) -> Read<bool> {
        match self.peek() {
            Some(byte) if byte == end => {
                self.at += 1;
                Ok(false)
            }
            Some(_) if is_first => self.take(VALUE_BYTES).map(|()| true),
            Some(b',') => {
                self.at += 1;
                self.take(VALUE_BYTES)?;
                // A list that ends with a comma is none.
                if self.peek() == Some(end) { self.syntax() } else { Ok(true) }
            }
            _ => self.syntax(),
        }
    }

    /// Nothing may follow.
    pub(crate) fn end(&mut self) -> Read<()> {
        if self.peek().is_some() { self.syntax() } else { Ok(()) }
    }

    /// Reads an object: `each` is called for each of its keys, to read the value.
    pub(crate) fn entries(
        &mut self,
        wanted: &str,
        each: &mut dyn FnMut(&mut Reader<'a>, &str) -> Read<()>,
    ) -> Read<()> {
        if self.peek() != Some(b'{') {
            return self.unexpected(wanted);
        }
        self.at += 1;
        let mut is_first = true;
        while self.goes_on(is_first, b'}')? {
            is_first = false;
            if self.peek() != Some(b'"') {
                return self.syntax();
            }
            let key = self.string()?;
            self.expect(b':')?;
            each(self, &key.text())?;
        }
        Ok(())
    }

    /// Reads an object of these fields: `each` is called with those that are there, to read the
    /// value. Others are passed over.
    pub(crate) fn fields(
        &mut self,
        wanted: &str,
        fields: &'static [&'static str],
        each: &mut dyn FnMut(&mut Reader<'a>, &'static str) -> Read<()>,
    ) -> Read<()> {
        let mut seen = 0_u64;
        self.entries(wanted, &mut |reader, key| {
            let Some(n) = fields.iter().position(|field| *field == key) else {
                reader.is_marked |= key == reader.mark;
                return reader.pass().map(|_| ());
            };
            if seen & (1 << n) != 0 {
                let reason = format!("duplicate field `{key}`");
                return Err(Fault::Value { at: reader.place(), reason });
            }
            seen |= 1 << n;
            each(reader, fields[n])
        })
    }

    /// Reads a list of at most `most`: `each` is called for each of its values, to read it.
    pub(crate) fn list(
        &mut self,
        wanted: &str,
        most: usize,
        each: &mut dyn FnMut(&mut Reader<'a>) -> Read<()>,
    ) -> Read<()> {
        if self.peek() != Some(b'[') {
            return self.unexpected(wanted);
        }
        self.at += 1;
        let mut count = 0;
        while self.goes_on(count == 0, b']')? {
            if count == most {
                let reason = format!("no more than {most} are taken");
                return Err(Fault::Value { at: self.place(), reason });
            }
            count += 1;
            each(self)?;
        }
        Ok(())
    }

    /// What is next is not `wanted`.
    pub(crate) fn unexpected<T>(&mut self, wanted: &str) -> Read<T> {
        let at = self.place();
        let raw = self.raw()?.get();
        let found = match raw.as_bytes()[0] {
            b'"' => "string".to_owned(),
            b'{' => "map".to_owned(),
            b'[' => "sequence".to_owned(),
            b'n' => "null".to_owned(),
            b't' | b'f' => format!("boolean `{raw}`"),
            _ if raw.contains(['.', 'e', 'E']) => format!("floating point `{raw:.40}`"),
            _ => format!("integer `{raw:.40}`"),
        };
        Err(Fault::Value { at, reason: format!("invalid type: {found}, expected {wanted}") })
    }

    pub(crate) fn is_null(&mut self) -> bool {
        self.peek() == Some(b'n')
    }

    pub(crate) fn is_object(&mut self) -> bool {
        self.peek() == Some(b'{')
    }

    pub(crate) fn is_list(&mut self) -> bool {
        self.peek() == Some(b'[')
    }

    pub(crate) fn is_string(&mut self) -> bool {
        self.peek() == Some(b'"')
    }

    /// Passes over a value that nobody looks into here.
    fn pass(&mut self) -> Read<Value> {
        let at = self.place();
        let value = span::value(self.json.as_bytes(), at).map_err(|at| Fault::Syntax { at })?;
        self.at = value.end;
        self.take(RAW_COPIES * (value.end - at))?;
        Ok(value)
    }

    /// Reads a value that nobody looks into here.
    pub(crate) fn raw(&mut self) -> Read<Raw<'a>> {
        let at = self.place();
        self.pass()?;
        Ok(Raw::new(self.since(at)))
    }

    /// The same, unless it is null.
    pub(crate) fn some_raw(&mut self) -> Read<Option<Raw<'a>>> {
        let is_null = self.is_null();
        Ok(Some(self.raw()?).filter(|_| !is_null))
    }

    /// The same, nested no deeper than `depth`.
    pub(crate) fn some_flat(&mut self, depth: usize) -> Read<Option<Raw<'a>>> {
        let (at, is_null) = (self.place(), self.is_null());
        let value = self.pass()?;
        no_deeper(value, depth, at)?;
        Ok(Some(Raw::new(self.since(at))).filter(|_| !is_null))
    }

    /// A JSON schema, unless it is null, whose strings are whole characters: no service takes
    /// halves of them. A schema of 140 objects in each other has been seen with users.
    pub(crate) fn some_schema(&mut self) -> Read<Option<Schema<'a>>> {
        let (at, is_null) = (self.place(), self.is_null());
        let found = Schema::at(self.json, at).map_err(|at| Fault::Syntax { at })?;
        let (schema, value) = found;
        self.at = value.end;
        self.take(RAW_COPIES * (value.end - at))?;
        no_deeper(value, MAX_SCHEMA_DEPTH, at)?;
        if value.has_half {
            let reason = "a string in it holds a half of a surrogate pair".to_owned();
            return Err(Fault::Value { at, reason });
        }
        Ok((!is_null).then_some(schema))
    }

    /// Reads a small value by its type.
    pub(crate) fn small<T: Deserialize<'a>>(&mut self) -> Read<T> {
        let begin = self.place();
        let raw = self.raw()?.get();
        serde_json::from_str(raw).map_err(|error| {
            let text = error.to_string();
            let reason = text.rsplit_once(" at line ").map_or(&*text, |(reason, _)| reason);
            let lines = raw.split_inclusive('\n').take(error.line().saturating_sub(1));
            let mut end = lines.map(str::len).sum::<usize>() + error.column();
            // A fault in the last item of a list is told when the list has been left.
            if end > 0 && raw.as_bytes().get(end - 1) == Some(&b']') {
                end -= 1;
            }
            let at = begin + end;
            Fault::Value { at, reason: reason.to_owned() }
        })
    }

    /// Reads a text.
    pub(crate) fn text(&mut self) -> Read<Escaped<'a>> {
        if self.is_string() { self.string() } else { self.unexpected("a string") }
    }

    /// The same, unless it is null.
    pub(crate) fn some_text(&mut self) -> Read<Option<Escaped<'a>>> {
        if self.is_null() { Ok(self.some_raw()?.and(None)) } else { self.text().map(Some) }
    }

    /// Reads a text whose words are looked at.
    pub(crate) fn words(&mut self) -> Read<Cow<'a, str>> {
        self.text().map(Escaped::into_text)
    }

    /// The same, unless it is null.
    pub(crate) fn some_words(&mut self) -> Read<Option<Cow<'a, str>>> {
        Ok(self.some_text()?.map(Escaped::into_text))
    }

    /// The string that begins here.
    fn string(&mut self) -> Read<Escaped<'a>> {
        let begin = self.at;
        let text = span::string(self.json.as_bytes(), begin).map_err(|at| Fault::Syntax { at })?;
        if let Some(at) = text.half {
            return Err(Fault::Syntax { at });
        }
        self.at = text.end;
        Ok(Escaped::borrowed(&self.json[begin..text.end], text.is_plain))
    }
}

fn no_deeper(value: Value, depth: usize, at: usize) -> Read<()> {
    if value.depth <= depth {
        return Ok(());
    }
    let reason = format!("it holds JSON that is nested more than {depth} deep");
    Err(Fault::Value { at, reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(json: &str) -> Reader<'_> {
        Reader::new(json, "", &|_| Ok(()))
    }

    #[test]
    fn strings_end_where_they_end() {
        for before in 0..20 {
            for (tail, length) in [("\"", 0), ("\\n\"", 2), ("é\\u00e9\"", 8), ("😀\"", 4)] {
                let json = format!("\"{}{tail} \"", "a".repeat(before));
                let text = reader(&json).text().expect(&json);
                assert_eq!(text.len(), before + length, "{json}");
            }
            for wrong in ["\n", "\u{1f}", "\\x", "\\u12", "\\ud83d", "\\ud83d\\n", "\\udc00", ""] {
                let json = format!(
                    "\"{}{wrong}{}",
                    "a".repeat(before),
                    if wrong.is_empty() { "" } else { "\"" }
                );
                assert!(reader(&json).text().is_err(), "{json}");
            }
        }
    }

    #[test]
    fn what_serde_json_reads_is_read_and_nothing_else() {
        for json in [
            "{}",
            "[]",
            r#"{"a":[1,{"b":null}]}"#,
            " [ 1 , \"a\" ] ",
            "[1,]",
            "[,1]",
            "[1 2]",
            "{\"a\":1,}",
            "{a:1}",
            "{\"a\"1}",
            "{\"a\":}",
            "[",
            "{",
            "[1",
            "{\"a\"",
            "[1]]",
            "{} {}",
        ] {
            let mut reader = reader(json);
            let read = if reader.is_list() {
                reader.list("", 9, &mut |reader| reader.raw().map(|_| ()))
            } else {
                reader.entries("", &mut |reader, _| reader.raw().map(|_| ()))
            };
            let is_json = serde_json::from_str::<serde::de::IgnoredAny>(json).is_ok();
            assert_eq!(read.and_then(|()| reader.end()).is_ok(), is_json, "{json}");
        }
    }
}
