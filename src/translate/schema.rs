//! JSON schemas of tools and formats: passed through as they are, except for keywords that the
//! provider refuses and for what an object schema must have.
//!
//! The keys keep their order: a model reads a schema from the top.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Deeper than any schema that is meant; below it keywords are left alone.
const MAX_DEPTH: usize = 64;

/// The schema of a tool's arguments: an object with `type` and `properties`, without `drops`.
pub fn object<'a>(schema: &'a RawValue, drops: &[&str]) -> Cow<'a, RawValue> {
    let Some(entries) = entries(schema.get()) else {
        return Cow::Owned(raw(r#"{"type":"object","properties":{}}"#.to_owned()));
    };
    let has = |key: &str| entries.iter().any(|(k, _)| k == key);
    if drops.is_empty() && has("type") && has("properties") {
        return Cow::Borrowed(schema);
    }
    let mut out = String::with_capacity(schema.get().len());
    out.push('{');
    if !has("type") {
        push_entry(&mut out, "type", "\"object\"");
    }
    write_entries(&mut out, &entries, drops, 0);
    if !has("properties") {
        push_entry(&mut out, "properties", "{}");
    }
    out.push('}');
    Cow::Owned(raw(out))
}

/// Any schema, without `drops`.
pub fn without<'a>(schema: &'a RawValue, drops: &[&str]) -> Cow<'a, RawValue> {
    if drops.is_empty() {
        return Cow::Borrowed(schema);
    }
    let mut out = String::with_capacity(schema.get().len());
    write_schema(&mut out, schema.get(), drops, 0);
    Cow::Owned(raw(out))
}

fn raw(json: String) -> Box<RawValue> {
    RawValue::from_string(json).expect("put together from valid JSON")
}

/// What the value of a keyword is made of.
enum Holds {
    Schema,
    /// An object whose keys are names and whose values are schemas.
    NamedSchemas,
    Schemas,
    Data,
}

fn holds(keyword: &str) -> Holds {
    match keyword {
        "properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas" => {
            Holds::NamedSchemas
        }
        "items"
        | "additionalProperties"
        | "not"
        | "contains"
        | "propertyNames"
        | "if"
        | "then"
        | "else" => Holds::Schema,
        "anyOf" | "oneOf" | "allOf" | "prefixItems" => Holds::Schemas,
        _ => Holds::Data,
    }
}

fn write_schema(out: &mut String, json: &str, drops: &[&str], depth: usize) {
    // `true` and `false` are schemas too.
    let Some(entries) = entries(json).filter(|_| depth < MAX_DEPTH) else {
        out.push_str(json);
        return;
    };
    out.push('{');
    write_entries(out, &entries, drops, depth);
    out.push('}');
}

fn write_entries(out: &mut String, entries: &[(Cow<str>, &str)], drops: &[&str], depth: usize) {
    for (key, value) in entries {
        if drops.contains(&&**key) {
            continue;
        }
        push_key(out, key);
        match holds(key) {
            Holds::Schema => write_schema(out, value, drops, depth + 1),
            Holds::NamedSchemas => write_named(out, value, drops, depth + 1),
            Holds::Schemas => write_list(out, value, drops, depth + 1),
            Holds::Data => out.push_str(value),
        }
    }
}

fn write_named(out: &mut String, json: &str, drops: &[&str], depth: usize) {
    let Some(entries) = entries(json) else {
        out.push_str(json);
        return;
    };
    out.push('{');
    for (name, schema) in &entries {
        push_key(out, name);
        write_schema(out, schema, drops, depth);
    }
    out.push('}');
}

fn write_list(out: &mut String, json: &str, drops: &[&str], depth: usize) {
    let Ok(schemas) = serde_json::from_str::<Vec<&RawValue>>(json) else {
        out.push_str(json);
        return;
    };
    out.push('[');
    for (i, schema) in schemas.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        write_schema(out, schema.get(), drops, depth);
    }
    out.push(']');
}

fn push_entry(out: &mut String, key: &str, value: &str) {
    push_key(out, key);
    out.push_str(value);
}

fn push_key(out: &mut String, key: &str) {
    if !out.ends_with('{') {
        out.push(',');
    }
    out.push_str(&serde_json::to_string(key).expect("a string always serializes"));
    out.push(':');
}

/// The entries of an object in their order, or `None` if it is none.
fn entries(json: &str) -> Option<Vec<(Cow<'_, str>, &str)>> {
    serde_json::from_str::<Entries>(json).ok().map(|entries| entries.0)
}

struct Entries<'a>(Vec<(Cow<'a, str>, &'a str)>);

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Entries<'a>, D::Error> {
        struct EntriesVisitor;
        impl<'de> Visitor<'de> for EntriesVisitor {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some((key, value)) = map.next_entry::<Key, &RawValue>()? {
                    entries.push((key.0, value.get()));
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(EntriesVisitor)
    }
}

/// A key, borrowed where it has no escapes.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::{object, raw};

    #[test]
    fn keywords_go_and_names_stay() {
        let schema = raw(
            r#"{"$schema":"x","properties":{"$schema":{"$schema":"y","type":"string"}},"anyOf":[{"$schema":1},true],"enum":[{"$schema":2}]}"#
                .to_owned(),
        );
        assert_eq!(
            object(&schema, &["$schema"]).get(),
            r#"{"type":"object","properties":{"$schema":{"type":"string"}},"anyOf":[{},true],"enum":[{"$schema":2}]}"#
        );
    }

    #[test]
    fn an_object_has_type_and_properties() {
        let bare = raw("{}".to_owned());
        assert_eq!(object(&bare, &[]).get(), r#"{"type":"object","properties":{}}"#);
        let not_an_object = raw("null".to_owned());
        assert_eq!(object(&not_an_object, &[]).get(), r#"{"type":"object","properties":{}}"#);
    }

    #[test]
    fn depth_is_no_danger() {
        let deep =
            format!("{}{}", r#"{"items":"#.repeat(50_000), "{}".to_owned() + &"}".repeat(50_000));
        assert!(object(&raw(deep), &["$schema"]).get().len() > 400_000);
    }
}
