//! JSON schemas of tools and formats: passed through as they are, except for what the provider's
//! rules do not allow and for what an object schema must have.
//!
//! The keys keep their order: a model reads a schema from the top.

mod entries;
mod merge;
mod rewrite;

use crate::json::{Schema, Verbatim};
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
    schema: &Schema<'a>,
    rules: &SchemaRules,
    drops: &[&str],
    budget: &mut Budget,
) -> Verbatim<'a> {
    let takes_any = is_any(schema, rules) && drops.is_empty();
    if schema.is_dense() || takes_any && schema.is_of_object() {
        return Verbatim(schema.get().into());
    }
    let Some(mut root) = Entries::parse(schema.get()) else {
        return Verbatim(r#"{"type":"object","properties":{}}"#.into());
    };
    let mut rewrite = Rewrite::new(schema.get(), rules, drops, budget);
    if !takes_any {
        root = rewrite.root(root);
    }
    if !root.has("type") {
        root.set_first("type", "\"object\"");
    }
    if !root.get("properties").is_some_and(|properties| properties.starts_with('{')) {
        root.set("properties", "{}");
    }
    if takes_any {
        return Verbatim(root.to_json().into());
    }
    Verbatim(rewrite.written(root).into())
}

/// The schema of a whole answer, as `rules` want it and without `drops`.
pub(super) fn format<'a>(
    schema: &Schema<'a>,
    rules: &SchemaRules,
    drops: &[&str],
    budget: &mut Budget,
) -> Verbatim<'a> {
    let takes_any = is_any(schema, rules) && drops.is_empty();
    if takes_any || schema.is_dense() {
        return Verbatim(schema.get().into());
    }
    let mut rewrite = Rewrite::new(schema.get(), rules, drops, budget);
    Verbatim(rewrite.schema(schema.get()).into())
}

/// Whether `rules` take this schema as it is.
fn is_any(schema: &Schema<'_>, rules: &SchemaRules) -> bool {
    // A key may be escaped too.
    let has = |key: &str| schema.get().contains(key) || schema.get().contains("\\u");
    let has_pattern = rules.anchored_patterns && has("\"pattern\"");
    SchemaRules { anchored_patterns: has_pattern, ..*rules } == SchemaRules::ANY
}

#[cfg(test)]
mod tests;
