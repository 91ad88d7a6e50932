//! Schemas as a provider's rules want them.

use std::borrow::Cow;
use std::collections::HashSet;

use super::Budget;
use super::entries::{Entries, items, push_key, quoted, string, to_list};
use super::merge::{Merge, names};
use crate::json;
use crate::provider::SchemaRules;

/// Deeper than any schema that is meant; below it keywords are left alone, or the schema goes where
/// only some keywords are taken.
const MAX_DEPTH: usize = 64;
/// How many times `$ref` and `allOf` may take each other's place, and `anyOf` of one its own.
const MAX_TURNS: usize = 8;
const TYPES: &[&str] = &["string", "number", "integer", "boolean", "object", "array", "null"];

/// Stands for what cannot be told.
const OBJECT: &str = r#"{"type":"object"}"#;

pub(super) struct Rewrite<'a> {
    whole: &'a str,
    rules: &'a SchemaRules,
    drops: &'a [&'a str],
    out: String,
    /// The references that the schema being written stands in for.
    refs: Vec<String>,
    budget: &'a mut Budget,
}

/// What the value of a keyword is made of.
pub(super) enum Holds {
    Schema,
    /// An object whose keys are names and whose values are schemas.
    NamedSchemas,
    Schemas,
    Data,
}

pub(super) fn holds(keyword: &str) -> Holds {
    match keyword {
        "properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas" => {
            Holds::NamedSchemas
        }
        "items"
        | "additionalItems"
        | "additionalProperties"
        | "unevaluatedItems"
        | "unevaluatedProperties"
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

/// The types that a keyword is about.
fn types_of(keyword: &str) -> &'static [&'static str] {
    match keyword {
        "items" | "minItems" | "maxItems" | "uniqueItems" | "prefixItems" => &["array"],
        "properties" | "required" | "additionalProperties" | "minProperties" | "maxProperties" => {
            &["object"]
        }
        "minLength" | "maxLength" | "pattern" | "format" | "enum" => &["string"],
        "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf" => {
            &["number", "integer"]
        }
        _ => &[],
    }
}

impl<'a> Rewrite<'a> {
    pub(super) fn new(
        whole: &'a str,
        rules: &'a SchemaRules,
        drops: &'a [&'a str],
        budget: &'a mut Budget,
    ) -> Rewrite<'a> {
        Rewrite { whole, rules, drops, out: String::new(), refs: Vec::new(), budget }
    }

    /// The root of a tool's schema, which is an object.
    pub(super) fn root(&mut self, root: Entries<'a>) -> Entries<'a> {
        let plain = self.rules.plain_root;
        let mut root = self.resolved(root, plain, 0);
        if !plain {
            return root;
        }
        for keyword in ["anyOf", "oneOf"] {
            let Some(branches) = root.take(keyword) else { continue };
            let mut common: Option<Vec<String>> = None;
            let mut merge = Merge::into(root);
            for branch in items(&branches) {
                let Some(branch) = Entries::parse_cow(&branch) else { continue };
                let refs = self.refs.len();
                let mut branch = self.resolved(branch, true, 1);
                self.refs.truncate(refs);
                let required = names(branch.take("required").as_deref());
                common = Some(match common {
                    None => required,
                    Some(common) => {
                        let required: HashSet<String> = required.into_iter().collect();
                        common.into_iter().filter(|name| required.contains(name)).collect()
                    }
                });
                merge.properties(branch.take("properties"));
            }
            merge.require(common.unwrap_or_default());
            root = merge.finish();
        }
        for keyword in ["enum", "const", "not"] {
            root.take(keyword);
        }
        if !is_type(&root, "object") {
            root.take("type");
        }
        root
    }

    /// The whole schema as JSON, `root` having been prepared.
    pub(super) fn written(mut self, root: Entries<'_>) -> String {
        self.write(root, 0);
        self.out
    }

    /// Any schema as JSON.
    pub(super) fn schema(&mut self, json: &str) -> String {
        self.write_schema(json, 0);
        std::mem::take(&mut self.out)
    }

    fn write_schema(&mut self, json: &str, depth: usize) {
        let closed = self.rules.typed || !self.rules.keeps.is_empty();
        if depth >= MAX_DEPTH {
            self.out.push_str(if closed { OBJECT } else { json });
            return;
        }
        match Entries::parse(json) {
            Some(entries) => {
                let refs = self.refs.len();
                let entries = self.resolved(entries, false, depth);
                self.write(entries, depth);
                self.refs.truncate(refs);
            }
            // `true` and `false` are schemas too; anything else is none.
            None if closed => self.write(Entries::default(), depth),
            None => self.out.push_str(json),
        }
    }

    fn write(&mut self, mut entries: Entries<'_>, depth: usize) {
        let refs = self.refs.len();
        self.fit(&mut entries, depth);
        self.out.push('{');
        for (key, value) in &entries.0 {
            let kept = self.rules.keeps.is_empty() || self.rules.keeps.contains(&&**key);
            if !kept || self.rules.drops.contains(&&**key) || self.drops.contains(&&**key) {
                continue;
            }
            push_key(&mut self.out, key);
            match holds(key) {
                // `additionalProperties: false`
                Holds::Schema if matches!(&**value, "true" | "false") && key != "items" => {
                    self.out.push_str(value);
                }
                Holds::Schema => self.write_schema(value, depth + 1),
                Holds::NamedSchemas => self.write_named(value, depth + 1),
                Holds::Schemas => self.write_list(value, depth + 1),
                Holds::Data => self.out.push_str(value),
            }
        }
        self.out.push('}');
        self.refs.truncate(refs);
    }

    fn write_named(&mut self, json: &str, depth: usize) {
        let Some(entries) = Entries::parse(json) else {
            self.out.push_str(if self.rules.keeps.is_empty() { json } else { "{}" });
            return;
        };
        self.out.push('{');
        for (name, schema) in &entries.0 {
            push_key(&mut self.out, name);
            self.write_schema(schema, depth);
        }
        self.out.push('}');
    }

    fn write_list(&mut self, json: &str, depth: usize) {
        let Some(schemas) = json::items(json) else {
            self.out.push_str(json);
            return;
        };
        self.out.push('[');
        for (i, schema) in schemas.iter().enumerate() {
            if i > 0 {
                self.out.push(',');
            }
            self.write_schema(schema, depth);
        }
        self.out.push(']');
    }

    /// `entries` with what `$ref` points to and with the schemas of `allOf`, where the rules want
    /// it or `always`. The references stay in `self.refs`.
    fn resolved<'b>(
        &mut self,
        mut entries: Entries<'b>,
        always: bool,
        depth: usize,
    ) -> Entries<'b> {
        for _ in 0..MAX_TURNS {
            if (self.rules.inline_refs || always)
                && let Some(reference) = entries.take("$ref")
            {
                match self.target(&reference) {
                    Some(target) => {
                        entries.add_missing(target);
                        continue;
                    }
                    None if entries.has("type") => {}
                    None => entries.set_first("type", "\"object\""),
                }
            }
            if (self.rules.merge_all_of || always)
                && let Some(parts) = entries.take("allOf")
            {
                let mut merge = Merge::into(entries);
                for part in items(&parts) {
                    if depth < MAX_DEPTH
                        && let Some(part) = Entries::parse_cow(&part)
                    {
                        let refs = self.refs.len();
                        let part = self.resolved(part, always, depth + 1);
                        self.refs.truncate(refs);
                        merge.part(part);
                    }
                }
                entries = merge.finish();
                continue;
            }
            break;
        }
        entries
    }

    /// The object that a reference within the schema points to, unless it is being written already
    /// or too much has been brought in.
    fn target<'b>(&mut self, reference: &str) -> Option<Entries<'b>> {
        let reference = string(reference)?;
        if self.refs.contains(&reference) || self.refs.len() >= MAX_DEPTH {
            return None;
        }
        let pointer = reference.strip_prefix('#')?;
        if !self.budget.scan(self.whole.len()) {
            return None;
        }
        let mut at = Cow::Borrowed(self.whole);
        for step in pointer.split('/').skip(1) {
            let step = step.replace("~1", "/").replace("~0", "~");
            at = match Entries::parse_cow(&at) {
                Some(mut entries) => entries.take(&step)?,
                None => {
                    Cow::Owned((*json::items(&at)?.get(step.parse::<usize>().ok()?)?).to_owned())
                }
            };
        }
        if !self.budget.copy(at.len()) {
            return None;
        }
        let target = Entries::parse_owned(&at)?;
        self.refs.push(reference);
        Some(target)
    }

    /// Makes the keywords of one schema fit the rules.
    fn fit(&mut self, entries: &mut Entries<'_>, depth: usize) {
        let rules = self.rules;
        if rules.const_to_enum
            && let Some(value) = entries.take("const")
            && !entries.has("enum")
        {
            entries.set("enum", to_list([value]));
        }
        if rules.single_type {
            split_types(entries, self.budget);
        }
        if rules.any_of_alone {
            for _ in 0..MAX_TURNS {
                if !self.fit_any_of(entries, depth) {
                    break;
                }
                if rules.single_type {
                    split_types(entries, self.budget);
                }
            }
        }
        if rules.string_enums {
            fit_enum(entries, rules.single_type);
        }
        let points = entries.has("$ref") && !rules.inline_refs;
        if rules.typed && !entries.has("anyOf") && !points && !has_type(entries) {
            let kind = if entries.has("properties") || entries.has("additionalProperties") {
                "\"object\""
            } else if entries.has("items") || entries.has("prefixItems") {
                "\"array\""
            } else {
                "\"string\""
            };
            entries.set_first("type", kind);
        }
        if rules.items {
            fit_items(entries);
        }
        if rules.properties && is_type(entries, "object") && !is_object(entries, "properties") {
            entries.set("properties", "{}");
        }
        let format = entries.get("format").map(|format| string(format));
        if let Some(format) = format.filter(|_| !rules.formats.is_empty())
            && !format.is_some_and(|format| rules.formats.contains(&&*format))
        {
            entries.take("format");
        }
        if rules.required_exist {
            fit_required(entries);
        }
        if rules.anchored_patterns
            && let Some(pattern) = entries.get("pattern").map(|pattern| string(pattern))
            && !pattern.is_some_and(|text| text.starts_with('^') && text.ends_with('$'))
        {
            entries.take("pattern");
        }
    }

    /// Makes `anyOf` stand alone. Returns whether it has given way to its only schema, which may
    /// have another.
    fn fit_any_of(&mut self, entries: &mut Entries<'_>, depth: usize) -> bool {
        let one_of = entries.take("oneOf");
        let Some(any_of) = entries.take("anyOf").or(one_of) else { return false };
        let all = json::items(&any_of).unwrap_or_default();
        let mut branches: Vec<Entries> =
            all.iter().filter_map(|json| Entries::parse(json)).collect();
        if self.rules.single_type {
            branches.retain(|branch| !is_null(branch));
            if branches.len() < all.len() && all.iter().any(|json| is_null_json(json)) {
                entries.set("nullable", "true");
            }
        }
        let own = ["properties", "items", "enum"].iter().any(|key| entries.has(key));
        match branches.len() {
            0 => false,
            1 => {
                let json = branches[0].to_json();
                if !self.budget.copy(json.len()) {
                    return false;
                }
                let branch = Entries::parse_owned(&json).unwrap_or_default();
                let branch = self.resolved(branch, false, depth);
                let mut merge = Merge::into(std::mem::take(entries));
                merge.part(branch);
                *entries = merge.finish();
                true
            }
            _ if own => false,
            _ => {
                let (mut kind, mut description, nullable) =
                    (entries.take("type"), entries.take("description"), entries.take("nullable"));
                let length = |word: &Option<Cow<'_, str>>| word.as_ref().map_or(0, |w| w.len());
                let shared = length(&kind) + length(&description);
                if !self.budget.copy(shared.saturating_mul(branches.len())) {
                    (kind, description) = (None, None);
                }
                for branch in &mut branches {
                    let typed = ["type", "$ref", "anyOf", "oneOf", "allOf", "const", "enum"];
                    if let Some(kind) = &kind
                        && !typed.iter().any(|key| branch.has(key))
                    {
                        branch.set_first("type", kind.clone());
                    }
                    if let Some(description) = &description
                        && !branch.has("description")
                    {
                        branch.set("description", description.clone());
                    }
                    if let Some(nullable) = &nullable {
                        branch.set("nullable", nullable.clone());
                    }
                }
                let any_of = to_list(branches.iter().map(Entries::to_json));
                // What defines names may be pointed to from elsewhere.
                entries.0.retain(|(key, _)| matches!(&**key, "$defs" | "definitions" | "$schema"));
                entries.set("anyOf", any_of);
                false
            }
        }
    }
}

/// One word for `type`; several become `anyOf`, each with the keywords that are about it.
fn split_types(entries: &mut Entries<'_>, budget: &mut Budget) {
    if is_type(entries, "null") {
        entries.take("type");
        entries.set("nullable", "true");
        return;
    }
    let Some(kinds) = entries.get("type").and_then(|json| json::items(json)) else { return };
    let mut kinds: Vec<String> = kinds.into_iter().map(str::to_owned).collect();
    let nullable = kinds.iter().any(|kind| string(kind).is_some_and(|name| name == "null"));
    // Each of them once.
    let mut known = HashSet::new();
    kinds.retain(|kind| {
        let name = string(kind).filter(|name| name != "null");
        name.is_some_and(|name| TYPES.contains(&&*name) && known.insert(name))
    });
    let all: usize = entries.0.iter().map(|(_, value)| value.len()).sum();
    if kinds.len() > 1 && !budget.copy(all) {
        kinds.truncate(1);
    }
    match &kinds[..] {
        [] => drop(entries.take("type")),
        [kind] => entries.set("type", kind.clone()),
        _ => {
            entries.take("type");
            if !entries.has("anyOf") && !entries.has("oneOf") {
                let mut branches: Vec<Entries> = Vec::new();
                for kind in &kinds {
                    let about =
                        |keyword: &str| types_of(keyword).iter().any(|name| *kind == quoted(name));
                    let mut branch = Entries::default();
                    branch.set("type", kind.clone());
                    let own = entries.0.iter().filter(|(keyword, _)| about(keyword));
                    branch.0.extend(own.cloned());
                    branches.push(branch);
                }
                let any_of = to_list(branches.iter().map(Entries::to_json));
                entries.0.retain(|(keyword, _)| types_of(keyword).is_empty());
                entries.set("anyOf", any_of);
            }
        }
    }
    if nullable {
        entries.set("nullable", "true");
    }
}

/// An `enum` of strings, or none.
fn fit_enum(entries: &mut Entries<'_>, single_type: bool) {
    let Some(values) = entries.take("enum") else { return };
    let values = json::items(&values).unwrap_or_default();
    let strings: Vec<&str> =
        values.iter().copied().filter(|v| v.starts_with('"') && *v != "\"\"").collect();
    let others = values.iter().any(|value| !value.starts_with('"') && *value != "null");
    if single_type && values.contains(&"null") {
        entries.set("nullable", "true");
    }
    if !has_type(entries) {
        let number = |value: &&str| value.starts_with(|c: char| c == '-' || c.is_ascii_digit());
        let kind = match values.iter().find(|value| **value != "null") {
            Some(value) if number(value) && values.iter().all(number) => "\"number\"",
            Some(&("true" | "false")) => "\"boolean\"",
            _ => "\"string\"",
        };
        entries.set_first("type", kind);
    }
    if is_type(entries, "string") && !others && !strings.is_empty() {
        entries.set("enum", to_list(strings));
    }
}

/// One schema for `items` of every array; that of the first item, where each has its own.
fn fit_items(entries: &mut Entries<'_>) {
    if !is_type(entries, "array") {
        return;
    }
    let first =
        |json: &str| json::items(json).and_then(|all| all.first().map(|item| (*item).to_owned()));
    let items = match entries.get("items") {
        Some(items) if items.starts_with('{') => return,
        Some(items) => first(items),
        None => None,
    };
    let items = items.or_else(|| entries.get("prefixItems").and_then(|items| first(items)));
    let items = items.filter(|items| items.starts_with('{'));
    entries.set("items", items.unwrap_or_else(|| r#"{"type":"string"}"#.to_owned()));
}

fn fit_required(entries: &mut Entries<'_>) {
    let Some(required) = entries.get("required") else { return };
    let properties = entries.get("properties").and_then(|json| Entries::parse(json));
    let properties = properties.unwrap_or_default();
    let known: HashSet<&str> = properties.0.iter().map(|(name, _)| &**name).collect();
    let all = names(Some(required));
    let kept: Vec<_> =
        all.iter().filter(|name| known.contains(&***name)).map(|name| quoted(name)).collect();
    match kept.len() {
        0 => drop(entries.take("required")),
        count if count == all.len() && required.starts_with('[') => {}
        _ => entries.set("required", to_list(kept)),
    }
}

/// Whether `type` is there and says something.
fn has_type(entries: &Entries<'_>) -> bool {
    let Some(kind) = entries.get("type") else { return false };
    let is_known = |kind: &str| string(kind).is_some_and(|name| TYPES.contains(&&*name));
    json::items(kind)
        .map_or_else(|| is_known(kind), |kinds| kinds.iter().any(|kind| is_known(kind)))
}

fn is_type(entries: &Entries<'_>, kind: &str) -> bool {
    entries.get("type").and_then(|json| string(json)).is_some_and(|named| named == kind)
}

fn is_object(entries: &Entries<'_>, keyword: &str) -> bool {
    entries.get(keyword).is_some_and(|json| json.starts_with('{'))
}

/// Whether a schema takes nothing but `null`.
fn is_null(entries: &Entries<'_>) -> bool {
    let values = entries.get("enum").and_then(|json| json::items(json));
    is_type(entries, "null")
        || entries.get("const").is_some_and(|value| value == "null")
        || values.is_some_and(|values| values == ["null"])
}

fn is_null_json(json: &str) -> bool {
    Entries::parse(json).is_some_and(|entries| is_null(&entries))
}
