//! Several schemas of objects as one, which is written once however many they are.

use std::borrow::Cow;
use std::collections::HashSet;

use super::entries::{Entries, quoted, string, to_list};
use crate::json;

/// A schema that others are merged into.
pub(super) struct Merge<'a> {
    entries: Entries<'a>,
    keys: HashSet<Cow<'a, str>>,
    /// Once there is something to add to them.
    properties: Option<(Entries<'a>, HashSet<Cow<'a, str>>)>,
    required: Option<(Vec<String>, HashSet<String>)>,
}

impl<'a> Merge<'a> {
    pub(super) fn into(entries: Entries<'a>) -> Merge<'a> {
        let keys = entries.keys();
        Merge { entries, keys, properties: None, required: None }
    }

    /// Adds what `part` says: properties and required ones to those there are, anything else where
    /// nothing is said yet.
    pub(super) fn part(&mut self, mut part: Entries<'a>) {
        let properties = part.take("properties");
        self.properties(properties);
        self.require(names(part.take("required").as_deref()));
        let keys = &mut self.keys;
        self.entries.0.extend(part.0.into_iter().filter(|(key, _)| keys.insert(key.clone())));
    }

    pub(super) fn properties(&mut self, more: Option<Cow<'a, str>>) {
        let Some(more) = more.and_then(|json| Entries::parse_cow(&json)) else { return };
        if self.properties.is_none() {
            let there = self.entries.get("properties").and_then(Entries::parse_cow);
            let there = there.unwrap_or_default();
            let names = there.keys();
            self.properties = Some((there, names));
            self.place("properties");
        }
        let (all, names) = self.properties.as_mut().expect("it was just made");
        all.0.extend(more.0.into_iter().filter(|(name, _)| names.insert(name.clone())));
    }

    pub(super) fn require(&mut self, more: Vec<String>) {
        if more.is_empty() {
            return;
        }
        if self.required.is_none() {
            let there = names(self.entries.get("required").map(|json| &**json));
            let known = there.iter().cloned().collect();
            self.required = Some((there, known));
            self.place("required");
        }
        let (all, known) = self.required.as_mut().expect("it was just made");
        all.extend(more.into_iter().filter(|name| known.insert(name.clone())));
    }

    /// Keeps the place of a keyword whose value comes at the end.
    fn place(&mut self, keyword: &'static str) {
        if self.keys.insert(Cow::Borrowed(keyword)) {
            self.entries.set(keyword, "");
        }
    }

    pub(super) fn finish(mut self) -> Entries<'a> {
        if let Some((properties, _)) = &self.properties {
            self.entries.set("properties", properties.to_json());
        }
        if let Some((required, _)) = &self.required {
            let required = to_list(required.iter().map(|name| quoted(name)));
            self.entries.set("required", required);
        }
        self.entries
    }
}

/// The strings of an array.
pub(super) fn names(json: Option<&str>) -> Vec<String> {
    let items = json.and_then(json::items).unwrap_or_default();
    items.into_iter().filter_map(string).collect()
}
