//! Values as they stand in JSON, which nobody has built anything of.
//!
//! serde_json's own `RawValue` can only be had by its parser: what has been passed over once would
//! be passed over again, and what was put together of valid JSON would be too.

use std::borrow::Cow;
use std::ops::Range;

use serde::ser::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::span;
pub(crate) use super::span::Value;
use super::{decoded, write};

/// A value as it stands in valid JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raw<'a>(&'a str);

impl<'a> Raw<'a> {
    pub(super) fn new(json: &'a str) -> Raw<'a> {
        Raw(json)
    }

    /// The JSON of it.
    pub fn get(self) -> &'a str {
        self.0
    }
}

impl<'a> From<&'a RawValue> for Raw<'a> {
    fn from(raw: &'a RawValue) -> Raw<'a> {
        Raw(raw.get())
    }
}

impl Serialize for Raw<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        write(serializer, [self.0])
    }
}

/// Valid JSON, which is written as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verbatim<'a>(pub Cow<'a, str>);

impl Serialize for Verbatim<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        write(serializer, [&*self.0])
    }
}

/// A JSON schema, and what was seen in it on the way.
#[derive(Debug, Clone, Copy)]
pub struct Schema<'a> {
    json: &'a str,
    values: usize,
    is_of_object: bool,
}

impl<'a> Schema<'a> {
    /// The schema at `begin` of a document, and what it is on the whole.
    ///
    /// # Errors
    /// The place where it is no JSON.
    pub(crate) fn at(json: &'a str, begin: usize) -> Result<(Schema<'a>, Value), usize> {
        let bytes = json.as_bytes();
        let (mut has_type, mut properties) = (false, None);
        let value = if bytes.get(begin) == Some(&b'{') {
            span::members(bytes, begin, &mut |key, _, value| match &bytes[key] {
                b"\"type\"" => has_type = true,
                b"\"properties\"" if properties.is_none() => {
                    properties = Some(bytes[value.start] == b'{');
                }
                _ => {}
            })?
        } else {
            span::value(bytes, begin)?
        };
        let is_of_object = has_type && properties == Some(true);
        Ok((Schema { json: &json[begin..value.end], values: value.values, is_of_object }, value))
    }

    /// The JSON of it.
    pub fn get(&self) -> &'a str {
        self.json
    }

    /// Whether it is an object that has `type`, and `properties` that are an object.
    pub(crate) fn is_of_object(&self) -> bool {
        self.is_of_object
    }

    /// Whether it is very many values in very few bytes, which would cost many times those.
    pub(crate) fn is_dense(&self) -> bool {
        const MANY: usize = 4096;
        const FEW_BYTES: usize = 12;
        self.values > MANY && self.values > self.json.len() / FEW_BYTES
    }
}

/// The members of an object in their order, the values as JSON; `None` if `json` is none.
pub(crate) fn members(json: &str) -> Option<Vec<(Cow<'_, str>, &str)>> {
    let mut members = Vec::new();
    let begin = span::next(json.as_bytes(), 0);
    let all = span::members(json.as_bytes(), begin, &mut |key, is_plain, value| {
        let key = &json[key.start + 1..key.end - 1];
        let key = if is_plain { Cow::Borrowed(key) } else { decoded(key) };
        members.push((key, &json[value]));
    });
    is_all(json, all.map(|all| all.end)).then_some(members)
}

/// The items of an array as JSON; `None` if `json` is none.
pub(crate) fn items(json: &str) -> Option<Vec<&str>> {
    let mut items = Vec::new();
    let begin = span::next(json.as_bytes(), 0);
    let end = span::items(json.as_bytes(), begin, &mut |item: Range<usize>| {
        items.push(&json[item]);
    });
    is_all(json, end).then_some(items)
}

/// Whether nothing follows behind `end`.
fn is_all(json: &str, end: Result<usize, usize>) -> bool {
    end.is_ok_and(|end| span::next(json.as_bytes(), end) == json.len())
}
