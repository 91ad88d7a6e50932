//! JSON schemas of tools and formats: passed through as they are, except for what the provider's
//! rules do not allow and for what an object schema must have.
//!
//! The keys keep their order: a model reads a schema from the top.

mod entries;
mod merge;
mod rewrite;

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::json;
use crate::provider::SchemaRules;
use entries::Entries;
use rewrite::Rewrite;

/// What the schemas of one request may cost together.
#[derive(Debug)]
pub(super) struct Budget {
    /// Bytes that may be written more than once: for references, and for words that several
    /// branches share.
    copies: usize,
    /// Bytes that may be looked through for what references point to, each time from the top.
    scan: usize,
}

impl Budget {
    /// For schemas of `bytes` together.
    pub(super) fn new(bytes: usize) -> Budget {
        Budget {
            copies: bytes.saturating_mul(2).saturating_add(256 << 10),
            scan: bytes.saturating_mul(16).saturating_add(8 << 20),
        }
    }

    /// Whether `bytes` may be written once more, which then counts.
    fn copy(&mut self, bytes: usize) -> bool {
        take(&mut self.copies, bytes)
    }

    /// Whether `bytes` may be looked through once more, which then counts.
    fn scan(&mut self, bytes: usize) -> bool {
        take(&mut self.scan, bytes)
    }
}

fn take(left: &mut usize, bytes: usize) -> bool {
    match left.checked_sub(bytes) {
        Some(rest) => {
            *left = rest;
            true
        }
        None => false,
    }
}

/// The schema of a tool's arguments: an object with `type` and `properties`, as `rules` want it and
/// without `drops`. One that is all brackets and commas passes as it is: no tool means it.
pub(super) fn object<'a>(
    schema: &'a RawValue,
    rules: &SchemaRules,
    drops: &[&str],
    budget: &mut Budget,
) -> Cow<'a, RawValue> {
    if json::is_dense(schema.get()) {
        return Cow::Borrowed(schema);
    }
    let Some(mut root) = Entries::parse(schema.get()) else {
        return Cow::Owned(raw(r#"{"type":"object","properties":{}}"#.to_owned()));
    };
    let takes_any = is_any(schema, rules) && drops.is_empty();
    let has_properties = |root: &Entries<'_>| {
        root.get("properties").is_some_and(|properties| properties.starts_with('{'))
    };
    if takes_any && root.has("type") && has_properties(&root) {
        return Cow::Borrowed(schema);
    }
    let mut rewrite = Rewrite::new(schema.get(), rules, drops, budget);
    if !takes_any {
        root = rewrite.root(root);
    }
    if !root.has("type") {
        root.set_first("type", "\"object\"");
    }
    if !has_properties(&root) {
        root.set("properties", "{}");
    }
    if takes_any {
        return Cow::Owned(raw(root.to_json()));
    }
    Cow::Owned(raw(rewrite.written(root)))
}

/// The schema of a whole answer, as `rules` want it and without `drops`.
pub(super) fn format<'a>(
    schema: &'a RawValue,
    rules: &SchemaRules,
    drops: &[&str],
    budget: &mut Budget,
) -> Cow<'a, RawValue> {
    let takes_any = is_any(schema, rules) && drops.is_empty();
    if takes_any || json::is_dense(schema.get()) {
        return Cow::Borrowed(schema);
    }
    let mut rewrite = Rewrite::new(schema.get(), rules, drops, budget);
    Cow::Owned(raw(rewrite.schema(schema.get())))
}

/// Whether `rules` take this schema as it is.
fn is_any(schema: &RawValue, rules: &SchemaRules) -> bool {
    // A word may be escaped too.
    let has = |word: &str| schema.get().contains(word) || schema.get().contains("\\u");
    let has_pattern = rules.anchored_patterns && has("pattern");
    SchemaRules { anchored_patterns: has_pattern, ..*rules } == SchemaRules::ANY
}

fn raw(json: String) -> Box<RawValue> {
    RawValue::from_string(json).expect("put together from valid JSON")
}

#[cfg(test)]
mod tests;
