//! JSON schemas of tools and formats: passed through as they are, except for what the provider's
//! rules do not allow and for what an object schema must have.
//!
//! The keys keep their order: a model reads a schema from the top.

mod entries;
mod rewrite;

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::provider::SchemaRules;
use entries::Entries;
use rewrite::Rewrite;

/// The schema of a tool's arguments: an object with `type` and `properties`, as `rules` want it and
/// without `drops`.
pub fn object<'a>(schema: &'a RawValue, rules: &SchemaRules, drops: &[&str]) -> Cow<'a, RawValue> {
    let Some(mut root) = Entries::parse(schema.get()) else {
        return Cow::Owned(raw(r#"{"type":"object","properties":{}}"#.to_owned()));
    };
    let takes_any = *rules == SchemaRules::ANY && drops.is_empty();
    let has_properties = |root: &Entries<'_>| {
        root.get("properties").is_some_and(|properties| properties.starts_with('{'))
    };
    if takes_any && root.has("type") && has_properties(&root) {
        return Cow::Borrowed(schema);
    }
    let mut rewrite = Rewrite::new(schema.get(), rules, drops);
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
pub fn format<'a>(schema: &'a RawValue, rules: &SchemaRules, drops: &[&str]) -> Cow<'a, RawValue> {
    if *rules == SchemaRules::ANY && drops.is_empty() {
        return Cow::Borrowed(schema);
    }
    let mut rewrite = Rewrite::new(schema.get(), rules, drops);
    Cow::Owned(raw(rewrite.schema(schema.get())))
}

fn raw(json: String) -> Box<RawValue> {
    RawValue::from_string(json).expect("put together from valid JSON")
}

#[cfg(test)]
mod tests;
