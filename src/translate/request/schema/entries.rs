//! JSON objects as lists of their entries, in their order, with the values as JSON text.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::json;

/// A key, and its value as JSON.
pub(super) type Entry<'a> = (Cow<'a, str>, Cow<'a, str>);

/// The entries of an object.
#[derive(Debug, Default, Clone)]
pub(super) struct Entries<'a>(pub Vec<Entry<'a>>);

impl<'a> Entries<'a> {
    /// Those of an object, or `None` if `json` is none.
    pub(super) fn parse(json: &'a str) -> Option<Entries<'a>> {
        let members = json::members(json)?.into_iter();
        Some(Entries(members.map(|(key, value)| (key, Cow::Borrowed(value))).collect()))
    }

    /// As [`Entries::parse`], of JSON that does not live as long.
    pub(super) fn parse_owned(json: &str) -> Option<Entries<'a>> {
        let entries = Entries::parse(json)?.0.into_iter();
        Some(Entries(entries.map(|(k, v)| (owned(k), owned(v))).collect()))
    }

    pub(super) fn parse_cow(json: &Cow<'a, str>) -> Option<Entries<'a>> {
        match json {
            Cow::Borrowed(json) => Entries::parse(json),
            Cow::Owned(json) => Entries::parse_owned(json),
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&Cow<'a, str>> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, value)| value)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Takes out every entry of `key`; returns the value of the first.
    pub(super) fn take(&mut self, key: &str) -> Option<Cow<'a, str>> {
        let at = self.0.iter().position(|(k, _)| k == key)?;
        let (_, value) = self.0.remove(at);
        self.0.retain(|(k, _)| k != key);
        Some(value)
    }

    /// Gives `key` this value, where it stands or at the end.
    pub(super) fn set(&mut self, key: &'static str, value: impl Into<Cow<'a, str>>) {
        let entry = (Cow::Borrowed(key), value.into());
        match self.0.iter().position(|(k, _)| k == key) {
            Some(at) => {
                self.0[at] = entry;
                let mut nth = 0;
                self.0.retain(|(k, _)| {
                    nth += 1;
                    nth <= at + 1 || k != key
                });
            }
            None => self.0.push(entry),
        }
    }

    /// Puts `key` first.
    pub(super) fn set_first(&mut self, key: &'static str, value: impl Into<Cow<'a, str>>) {
        self.take(key);
        self.0.insert(0, (Cow::Borrowed(key), value.into()));
    }

    /// Adds those of `other` whose keys are not there yet.
    pub(super) fn add_missing(&mut self, other: Entries<'a>) {
        let mut keys = self.keys();
        self.0.extend(other.0.into_iter().filter(|(key, _)| keys.insert(key.clone())));
    }

    pub(super) fn keys(&self) -> HashSet<Cow<'a, str>> {
        self.0.iter().map(|(key, _)| key.clone()).collect()
    }

    pub(super) fn to_json(&self) -> String {
        let mut json = String::from("{");
        for (key, value) in &self.0 {
            push_key(&mut json, key);
            json.push_str(value);
        }
        json.push('}');
        json
    }
}

fn owned<'a>(text: Cow<'_, str>) -> Cow<'a, str> {
    Cow::Owned(text.into_owned())
}

/// Writes `"key":`, after a comma if it is not the first.
pub(super) fn push_key(out: &mut String, key: &str) {
    if !out.ends_with('{') {
        out.push(',');
    }
    // Most keys are words; what has to be escaped is rare.
    if key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        out.push('"');
        out.push_str(key);
        out.push('"');
    } else {
        out.push_str(&quoted(key));
    }
    out.push(':');
}

pub(super) fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a string always serializes")
}

/// The items of an array, which live as long as it does where it is borrowed.
pub(super) fn items<'a>(json: &Cow<'a, str>) -> Vec<Cow<'a, str>> {
    match json {
        Cow::Borrowed(json) => {
            json::items(json).unwrap_or_default().into_iter().map(Cow::Borrowed).collect()
        }
        Cow::Owned(json) => {
            let items = json::items(json).unwrap_or_default();
            items.into_iter().map(|item| Cow::Owned(item.to_owned())).collect()
        }
    }
}

pub(super) fn to_list<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> String {
    let mut json = String::from("[");
    for item in items {
        if json.len() > 1 {
            json.push(',');
        }
        json.push_str(item.as_ref());
    }
    json.push(']');
    json
}

/// The text of a JSON string, or `None` if `json` is none.
pub(super) fn string(json: &str) -> Option<String> {
    serde_json::from_str(json).ok()
}
