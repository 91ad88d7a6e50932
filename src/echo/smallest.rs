//! The smallest JSON document that a schema allows: only what it requires, each as short as it may
//! be.
//!
//! Follows <https://json-schema.org/draft/2020-12>, and its forerunners where tools still use them.
//! Not looked at are `not`, `if`, `maxProperties`, `propertyNames` and `patternProperties`, and
//! that `oneOf` forbids a second branch to match. What nothing satisfies becomes null.

use std::collections::BTreeSet;

use serde_json::{json, value::RawValue};

use super::pattern;
use super::request::{Members, look_up, parse};

/// Ends a schema that requires itself, which no document fits; references use more of it, since
/// they multiply.
const DEPTH: usize = 32;

/// What reading and writing may cost beyond a multiple of the schema's length, in bytes.
const BUDGET: usize = 1 << 20;

/// A document that fits `schema`.
pub(super) fn value(schema: &RawValue) -> String {
    let budget = BUDGET + 8 * schema.get().len();
    Writer { root: schema, budget, open: Vec::new() }.value(&[schema], 0, 0)
}

/// The arguments of a tool, which are an object whatever its schema says.
pub(super) fn arguments(schema: &RawValue) -> String {
    let value = value(schema);
    if value.starts_with('{') { value } else { "{}".to_owned() }
}

struct Writer<'a> {
    /// What references begin at.
    root: &'a RawValue,
    budget: usize,
    /// The references that lead to the value that is being written.
    open: Vec<&'a str>,
}

/// All schemas that one value has to fit, with what they refer to.
type Parts<'a> = [Members<'a>];

impl<'a> Writer<'a> {
    /// A value that fits all of `schemas`. Where items must differ, `nth` counts them.
    fn value(&mut self, schemas: &[&'a RawValue], depth: usize, nth: usize) -> String {
        let (mut parts, references) = (Vec::new(), self.open.len());
        for schema in schemas {
            self.collect(schema, depth, &mut parts);
        }
        let depth = depth + 1 + 2 * (self.open.len() - references);
        let kind = kind(&parts);
        let value = match given(&parts, kind, nth) {
            _ if depth > DEPTH || self.budget == 0 => "null".to_owned(),
            Some(value) => value.to_owned(),
            None => match kind {
                Some("object") => self.object(&parts, depth),
                Some("array") => self.array(&parts, depth),
                Some("string") => json!(self.string(&parts, nth)).to_string(),
                Some(kind @ ("number" | "integer")) => number(&parts, kind == "integer", nth),
                Some("boolean") => nth.is_multiple_of(2).to_string(),
                _ => "null".to_owned(),
            },
        };
        self.open.truncate(references);
        self.budget = self.budget.saturating_sub(value.len() + 16);
        value
    }

    /// Adds `schema` to `parts`, and what it is composed of.
    fn collect(&mut self, schema: &'a RawValue, depth: usize, parts: &mut Vec<Members<'a>>) {
        self.budget = self.budget.saturating_sub(schema.get().len());
        if depth > DEPTH || self.budget == 0 {
            return;
        }
        let part: Members = parse(schema);
        let keyword = |name| part.get(name).copied();
        let reference = keyword("$ref").and_then(reference_of);
        let composed: Vec<&RawValue> = keyword("allOf").map_or(vec![], parse);
        let branches: Vec<Vec<&RawValue>> =
            ["anyOf", "oneOf"].into_iter().filter_map(keyword).map(parse).collect();
        parts.push(part);
        if let Some(reference) = reference {
            self.budget = self.budget.saturating_sub(self.root.get().len());
            let path = reference.trim_start_matches('/');
            let target = if path.is_empty() { Some(self.root) } else { look_up(self.root, path) };
            if let Some(target) = target {
                self.open.push(reference);
                self.collect(target, depth + 2, parts);
            }
        }
        for schema in composed {
            self.collect(schema, depth + 1, parts);
        }
        for branches in branches {
            let wanted = kind(parts);
            let fits = |branch: &&RawValue| {
                let part: Members = parse(branch);
                let is_open = part
                    .get("$ref")
                    .copied()
                    .and_then(reference_of)
                    .is_some_and(|reference| self.open.contains(&reference));
                let other = kind(&[part]);
                let agrees = wanted.is_none() || other.is_none() || agree(wanted, other);
                branch.get() != "false" && !is_open && agrees
            };
            if let Some(branch) = branches.iter().find(|b| fits(b)).or(branches.first()) {
                self.collect(branch, depth + 1, parts);
            }
        }
    }

    fn object(&mut self, parts: &Parts<'a>, depth: usize) -> String {
        let properties: Vec<Members> = all(parts, "properties").map(parse).collect();
        let dependent: Vec<Members> = all(parts, "dependentRequired").map(parse).collect();
        let additional: Vec<&RawValue> = all(parts, "additionalProperties").collect();
        let mut names: Vec<String> =
            all(parts, "required").flat_map(parse::<Vec<String>>).collect();
        let mut known = BTreeSet::new();
        names.retain(|name| known.insert(name.clone()));
        let mut at = 0;
        while let Some(name) = names.get(at) {
            let more = dependent.iter().filter_map(|names| names.get(name)).copied();
            let more: Vec<String> = more.flat_map(parse::<Vec<String>>).collect();
            names.extend(more.into_iter().filter(|name| known.insert(name.clone())));
            at += 1;
        }
        let least = largest(parts, "minProperties").unwrap_or(0.0) as usize;
        let optional = properties.iter().flat_map(|properties| properties.keys().cloned());
        let own = (1..=least).map(|number| format!("echo{number}"));
        let missing = least.saturating_sub(names.len()).min(self.budget / 16);
        let fillers = optional.chain(own).filter(|name| known.insert(name.clone()));
        names.extend(fillers.take(missing));
        let mut members = Vec::new();
        for name in names {
            let mut schemas: Vec<&RawValue> =
                properties.iter().filter_map(|properties| properties.get(&name).copied()).collect();
            if schemas.is_empty() {
                schemas.clone_from(&additional);
            }
            members.push(format!("{}:{}", json!(name), self.value(&schemas, depth, 0)));
        }
        format!("{{{}}}", members.join(","))
    }

    fn array(&mut self, parts: &Parts<'a>, depth: usize) -> String {
        let items: Vec<&RawValue> = all(parts, "items").collect();
        // Until 2019 an array of `items` was what `prefixItems` is now.
        let prefixes = all(parts, "prefixItems").chain(items.iter().copied());
        let prefixes: Vec<Vec<&RawValue>> = prefixes.map(parse).collect();
        let contained: Vec<&RawValue> = all(parts, "contains").collect();
        let unique = all(parts, "uniqueItems").any(|unique| unique.get() == "true");
        let containing = match contained.is_empty() {
            true => 0,
            false => largest(parts, "minContains").unwrap_or(1.0) as usize,
        };
        let least = (largest(parts, "minItems").unwrap_or(0.0) as usize).max(containing);
        let mut values = Vec::new();
        for index in 0..least {
            if self.budget == 0 {
                break;
            }
            let mut schemas: Vec<&RawValue> =
                prefixes.iter().filter_map(|prefix| prefix.get(index).copied()).collect();
            if schemas.is_empty() {
                schemas.clone_from(&items);
            }
            if index < containing {
                schemas.extend(&contained);
            }
            values.push(self.value(&schemas, depth, if unique { index } else { 0 }));
        }
        format!("[{}]", values.join(","))
    }

    fn string(&self, parts: &Parts, nth: usize) -> String {
        let least = largest(parts, "minLength").unwrap_or(0.0).min(self.budget as f64) as usize;
        let most = smallest(parts, "maxLength").unwrap_or(f64::MAX) as usize;
        if let Some(pattern) = all(parts, "pattern").next() {
            return pattern::sample(&parse::<String>(pattern), least);
        }
        let format = all(parts, "format").find_map(|format| {
            let format: String = parse(format);
            FORMATS.iter().find(|(name, _)| *name == format).map(|(_, sample)| *sample)
        });
        if let Some(sample) = format {
            return sample.to_owned();
        }
        // The number stands in front, where no limit of the length takes it away.
        let start = if nth == 0 { String::new() } else { nth.to_string() };
        let filled = start.chars().chain("echo".chars().cycle());
        filled.take((start.len() + 4).max(least).min(most)).collect()
    }
}

/// Texts of the formats that schemas name.
const FORMATS: &[(&str, &str)] = &[
    ("date-time", "2026-01-01T00:00:00Z"),
    ("date", "2026-01-01"),
    ("time", "00:00:00Z"),
    ("duration", "P1D"),
    ("email", "echo@example.com"),
    ("idn-email", "echo@example.com"),
    ("hostname", "example.com"),
    ("idn-hostname", "example.com"),
    ("ipv4", "127.0.0.1"),
    ("ipv6", "::1"),
    ("uri", "https://example.com/"),
    ("url", "https://example.com/"),
    ("iri", "https://example.com/"),
    ("uri-reference", "/"),
    ("iri-reference", "/"),
    ("uri-template", "/"),
    ("uuid", "00000000-0000-4000-8000-000000000000"),
    ("json-pointer", "/echo"),
    ("relative-json-pointer", "0"),
    ("regex", "echo"),
    ("byte", "ZWNobw=="),
];

/// The values of `keyword` in all schemas of a value.
fn all<'a, 'p>(parts: &'p Parts<'a>, keyword: &'p str) -> impl Iterator<Item = &'a RawValue> + 'p {
    parts.iter().filter_map(move |part| part.get(keyword).copied())
}

fn largest(parts: &Parts, keyword: &str) -> Option<f64> {
    all(parts, keyword).filter_map(as_number).reduce(f64::max)
}

fn smallest(parts: &Parts, keyword: &str) -> Option<f64> {
    all(parts, keyword).filter_map(as_number).reduce(f64::min)
}

fn as_number(json: &RawValue) -> Option<f64> {
    serde_json::from_str(json.get()).ok()
}

/// The part of a reference after its `#`, where it points into the same schema.
fn reference_of(json: &RawValue) -> Option<&str> {
    serde_json::from_str::<&str>(json.get()).ok()?.strip_prefix('#')
}

/// The first type that all schemas of a value permit, or what their keywords are about.
fn kind<'a>(parts: &Parts<'a>) -> Option<&'a str> {
    let types = |json: &'a RawValue| match serde_json::from_str::<&'a str>(json.get()) {
        Ok(one) => vec![one],
        Err(_) => parse::<Vec<&'a str>>(json),
    };
    let mut lists = parts.iter().filter_map(|part| part.get("type").copied()).map(types);
    if let Some(first) = lists.next() {
        let others: Vec<Vec<&str>> = lists.collect();
        let permitted = |kind: &&str| {
            others.iter().all(|list| list.iter().any(|other| agree(Some(kind), Some(other))))
        };
        let kind = first.iter().copied().find(permitted).or(first.first().copied());
        // An integer is a number, so the narrower word counts.
        let integer = others.iter().any(|list| list.contains(&"integer"));
        return if kind == Some("number") && integer { Some("integer") } else { kind };
    }
    let about =
        |keywords: &[&str]| keywords.iter().any(|&keyword| all(parts, keyword).next().is_some());
    match () {
        () if about(&["properties", "required", "minProperties", "additionalProperties"]) => {
            Some("object")
        }
        () if about(&["items", "prefixItems", "minItems", "contains"]) => Some("array"),
        () if about(&["pattern", "minLength", "maxLength", "format"]) => Some("string"),
        () if about(&["minimum", "maximum", "multipleOf"]) => Some("number"),
        () if about(&["exclusiveMinimum", "exclusiveMaximum"]) => Some("number"),
        () => None,
    }
}

fn agree(one: Option<&str>, other: Option<&str>) -> bool {
    one == other
        || matches!((one, other), (Some("number"), Some("integer")))
        || matches!((one, other), (Some("integer"), Some("number")))
}

/// A value that the schemas name themselves and that is of the wanted type.
fn given<'a>(parts: &Parts<'a>, kind: Option<&str>, nth: usize) -> Option<&'a str> {
    if let Some(value) = all(parts, "const").next() {
        return Some(value.get());
    }
    let is_kind = |value: &&str| kind.is_none_or(|kind| agree(Some(kind), Some(kind_of(value))));
    let enums: Vec<Vec<&RawValue>> = all(parts, "enum").map(parse).collect();
    if let Some((first, others)) = enums.split_first() {
        let values = first.iter().map(|value| value.get()).filter(|value| {
            others.iter().all(|list| list.iter().any(|other| other.get() == *value))
        });
        let values: Vec<&str> = values.collect();
        let fitting: Vec<&str> = values.iter().copied().filter(is_kind).collect();
        let values = if fitting.is_empty() { values } else { fitting };
        return values.get(nth % values.len().max(1)).copied();
    }
    let default = all(parts, "default").next().map(RawValue::get);
    let example = || all(parts, "examples").flat_map(parse::<Vec<&RawValue>>).next();
    let value = default.or_else(|| example().map(RawValue::get));
    value.filter(is_kind).filter(|_| nth == 0)
}

fn kind_of(value: &str) -> &'static str {
    match value.as_bytes().first() {
        Some(b'{') => "object",
        Some(b'[') => "array",
        Some(b'"') => "string",
        Some(b't' | b'f') => "boolean",
        Some(b'n') => "null",
        _ if value.contains(['.', 'e', 'E']) => "number",
        _ => "integer",
    }
}

/// A number inside its limits: one, or what lies nearest.
fn number(parts: &Parts, integer: bool, nth: usize) -> String {
    // Until 2019 an exclusive limit was a word about the other one.
    let said = |keyword| all(parts, keyword).any(|json| json.get() == "true");
    let step = match smallest(parts, "multipleOf").filter(|step| *step > 0.0) {
        Some(step) if !integer || step.fract() == 0.0 => step,
        _ => 1.0,
    };
    let (low, high) = (largest(parts, "minimum"), smallest(parts, "maximum"));
    let above = largest(parts, "exclusiveMinimum").or(low.filter(|_| said("exclusiveMinimum")));
    let below = smallest(parts, "exclusiveMaximum").or(high.filter(|_| said("exclusiveMaximum")));
    let mut value = step;
    if low.is_some_and(|low| value < low) || above.is_some_and(|above| value <= above) {
        let limit = low.unwrap_or(f64::MIN).max(above.unwrap_or(f64::MIN));
        value = (limit / step).ceil() * step;
        value += if above.is_some_and(|above| value <= above) { step } else { 0.0 };
    }
    if high.is_some_and(|high| value > high) || below.is_some_and(|below| value >= below) {
        let limit = high.unwrap_or(f64::MAX).min(below.unwrap_or(f64::MAX));
        value = (limit / step).floor() * step;
        value -= if below.is_some_and(|below| value >= below) { step } else { 0.0 };
    }
    value += nth as f64 * step;
    let bottom = low.or(above).unwrap_or(f64::MIN);
    if !integer && (value < bottom || above.is_some_and(|above| value <= above)) {
        // No whole number lies between the limits.
        let top = high.or(below).unwrap_or(bottom);
        value = bottom + (top - bottom) / 2.0;
    }
    match value.fract() == 0.0 && value.abs() < 1e18 {
        true => (value as i64).to_string(),
        false => json!(value).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn check(schema: Value, wanted: Value) {
        let raw = RawValue::from_string(schema.to_string()).expect("a Value is JSON");
        let value = value(&raw);
        let parsed: Value = serde_json::from_str(&value).expect("what is written is JSON");
        assert_eq!(parsed, wanted, "{schema}");
    }

    #[test]
    fn values_that_the_schema_names() {
        check(json!({ "const": null, "type": "string" }), json!(null));
        check(json!({ "enum": ["a", "b"], "type": "string" }), json!("a"));
        check(json!({ "enum": [null, "b"], "type": "string" }), json!("b"));
        check(json!({ "allOf": [{ "enum": [1, 2] }, { "enum": [2, 3] }] }), json!(2));
        check(json!({ "type": "integer", "default": 5 }), json!(5));
        check(json!({ "type": "string", "default": null }), json!("echo"));
        check(json!({ "type": "string", "examples": ["Oslo"] }), json!("Oslo"));
    }

    #[test]
    fn scalars_keep_to_their_limits() {
        check(json!({ "type": "string" }), json!("echo"));
        check(json!({ "minLength": 6 }), json!("echoec"));
        check(json!({ "type": "string", "maxLength": 2 }), json!("ec"));
        check(json!({ "type": "string", "format": "date" }), json!("2026-01-01"));
        check(json!({ "type": "string", "pattern": "^[A-Z]{3}$", "minLength": 3 }), json!("AAA"));
        check(json!({ "type": "integer" }), json!(1));
        check(json!({ "type": "integer", "minimum": 2.5 }), json!(3));
        check(json!({ "type": "integer", "exclusiveMinimum": 3 }), json!(4));
        check(json!({ "type": "integer", "minimum": 3, "exclusiveMinimum": true }), json!(4));
        check(json!({ "type": "integer", "maximum": -1 }), json!(-1));
        check(json!({ "type": "integer", "exclusiveMaximum": 1 }), json!(0));
        check(json!({ "type": "integer", "minimum": 11, "multipleOf": 5 }), json!(15));
        check(json!({ "minimum": 0.25, "maximum": 0.75 }), json!(0.5));
        check(json!({ "exclusiveMinimum": 0, "exclusiveMaximum": 1 }), json!(0.5));
        check(json!({ "type": "number", "multipleOf": 0.5 }), json!(0.5));
        check(json!({ "type": ["null", "boolean"] }), json!(null));
        check(json!({ "type": "boolean" }), json!(true));
        check(json!(true), json!(null));
    }

    #[test]
    fn objects_have_what_they_require() {
        let properties = json!({ "a\"": { "type": "string" }, "b": { "$ref": "#/$defs/c~1d" },
            "c": { "type": "string" } });
        check(
            json!({ "type": "object", "required": ["b", "a\"", "b"], "properties": properties,
                "$defs": { "c/d": { "type": "array" } } }),
            json!({ "b": [], "a\"": "echo" }),
        );
        check(
            json!({ "properties": { "a": {}, "b": { "type": "integer" } }, "required": ["a"],
                "dependentRequired": { "a": ["b"] } }),
            json!({ "a": null, "b": 1 }),
        );
        check(
            json!({ "type": "object", "minProperties": 2, "properties": { "a": { "const": 1 } },
                "additionalProperties": { "type": "string" } }),
            json!({ "a": 1, "echo1": "echo" }),
        );
        check(
            json!({ "properties": { "a": { "minimum": 4 } },
                "allOf": [{ "properties": { "a": { "type": "integer", "minimum": 9 } } }],
                "anyOf": [{ "required": ["a"] }, { "required": ["b"] }] }),
            json!({ "a": 9 }),
        );
    }

    #[test]
    fn arrays_have_as_many_items_as_they_must() {
        check(json!({ "type": "array", "items": { "type": "string" } }), json!([]));
        check(json!({ "minItems": 2, "items": { "type": "integer" } }), json!([1, 1]));
        check(
            json!({ "minItems": 3, "uniqueItems": true, "items": { "type": "integer" } }),
            json!([1, 2, 3]),
        );
        check(
            json!({ "minItems": 2, "uniqueItems": true, "items": { "type": "string" } }),
            json!(["echo", "1echo"]),
        );
        check(
            json!({ "minItems": 2, "uniqueItems": true, "items": { "enum": ["x", "y"] } }),
            json!(["x", "y"]),
        );
        check(
            json!({ "type": "array", "prefixItems": [{ "const": 1 }], "items": { "const": 2 },
                "minItems": 2 }),
            json!([1, 2]),
        );
        check(json!({ "type": "array", "contains": { "const": 3 } }), json!([3]));
    }

    #[test]
    fn a_branch_is_taken_that_fits() {
        check(json!({ "anyOf": [{ "type": ["integer"] }, {}] }), json!(1));
        check(
            json!({ "type": "string", "oneOf": [{ "type": "null" }, { "minLength": 5 }] }),
            json!("echoe"),
        );
        check(json!({ "anyOf": [false, { "const": 2 }] }), json!(2));
    }

    #[test]
    fn a_schema_that_refers_to_itself_has_an_end() {
        let node = json!({ "type": "object", "required": ["next"], "properties": { "next":
            { "anyOf": [{ "$ref": "#/$defs/node" }, { "type": "null" }] } } });
        check(
            json!({ "$ref": "#/$defs/node", "$defs": { "node": node } }),
            json!({ "next": null }),
        );
        let again = json!({ "$ref": "#" });
        let endless = json!({ "required": ["a", "b"], "properties": { "a": again, "b": again } });
        let raw = RawValue::from_string(endless.to_string()).expect("a Value is JSON");
        let value = value(&raw);
        assert!(value.len() < 4 * BUDGET && value.starts_with(r#"{"a":{"a":{"#), "{value:.200}");
        for circle in [json!({ "$ref": "#" }), json!({ "allOf": [{ "$ref": "#" }, again] })] {
            check(circle, json!(null));
        }
        check(json!({ "type": "array", "minItems": 1, "items": again }), {
            let depth = DEPTH.div_ceil(3);
            (0..depth).fold(json!(null), |inner, _| json!([inner]))
        });
    }

    #[test]
    fn arguments_are_an_object() {
        let raw = RawValue::from_string("{\"type\":\"string\"}".to_owned()).expect("JSON");
        assert_eq!(arguments(&raw), "{}");
    }
}
