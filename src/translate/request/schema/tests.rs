use std::borrow::Cow;
use std::collections::HashSet;

use serde_json::Value;

use super::{Budget, Schema, Verbatim};
use crate::provider::{PROVIDERS, SchemaRules};

const GROQ_LIKE: SchemaRules = SchemaRules { drops: &["$schema"], ..SchemaRules::ANY };

/// The schema in `json`.
fn read(json: &str) -> Schema<'_> {
    Schema::at(json, 0).expect("JSON").0
}

/// What is written of it for a tool, which is JSON.
fn object(schema: &Schema, rules: &SchemaRules, drops: &[&str], budget: &mut Budget) -> String {
    valid(super::object(schema, rules, drops, budget))
}

/// The same for an answer.
fn format(schema: &Schema, rules: &SchemaRules, drops: &[&str], budget: &mut Budget) -> String {
    valid(super::format(schema, rules, drops, budget))
}

fn valid(Verbatim(json): Verbatim<'_>) -> String {
    assert!(Schema::at(&json, 0).is_ok_and(|(whole, _)| whole.get() == json), "{json}");
    json.into_owned()
}

/// What a request with little but this schema may cost.
fn roomy() -> Budget {
    Budget::new(10_000)
}

/// The rules of the service that takes the fewest keywords.
fn strict() -> &'static SchemaRules {
    let strict = PROVIDERS.iter().map(|provider| &provider.schema);
    strict
        .filter(|rules| !rules.keeps.is_empty())
        .min_by_key(|rules| rules.keeps.len())
        .expect("a row")
}

/// Checks what becomes of the schema of a property.
#[track_caller]
fn check(rules: &SchemaRules, schema: &str, wanted: &str) {
    assert_eq!(format(&read(schema), rules, &[], &mut roomy()), wanted, "{schema}");
}

/// Checks what becomes of a tool's schema.
#[track_caller]
fn check_tool(rules: &SchemaRules, schema: &str, wanted: &str) {
    assert_eq!(object(&read(schema), rules, &[], &mut roomy()), wanted, "{schema}");
}

#[test]
fn keywords_go_and_names_stay() {
    check_tool(
        &GROQ_LIKE,
        r#"{"$schema":"x","properties":{"$schema":{"$schema":"y","type":"string"}},"anyOf":[{"$schema":1},true],"enum":[{"$schema":2}]}"#,
        r#"{"type":"object","properties":{"$schema":{"type":"string"}},"anyOf":[{},true],"enum":[{"$schema":2}]}"#,
    );
}

#[test]
fn learned_keywords_go_too() {
    let schema = read(r#"{"type":"object","properties":{"a":{"minLength":1,"$schema":"x"}}}"#);
    let wanted = r#"{"type":"object","properties":{"a":{}}}"#;
    assert_eq!(object(&schema, &GROQ_LIKE, &["minLength"], &mut roomy()), wanted);
    assert_eq!(format(&schema, &SchemaRules::ANY, &["minLength", "$schema"], &mut roomy()), wanted);
}

#[test]
fn an_object_has_type_and_properties() {
    for (schema, wanted) in [
        ("{}", r#"{"type":"object","properties":{}}"#),
        ("null", r#"{"type":"object","properties":{}}"#),
        ("true", r#"{"type":"object","properties":{}}"#),
        (r#"{"properties":null,"title":"x"}"#, r#"{"type":"object","properties":{},"title":"x"}"#),
    ] {
        check_tool(&SchemaRules::ANY, schema, wanted);
    }
}

#[test]
fn what_is_taken_as_it_is_is_borrowed() {
    let schema = read(r#"{ "type" : "object", "properties" : { "a" : true } }"#);
    let any = &SchemaRules::ANY;
    for written in [
        super::object(&schema, any, &[], &mut roomy()),
        super::format(&schema, any, &[], &mut roomy()),
    ] {
        assert!(matches!(written, Verbatim(Cow::Borrowed(_))));
    }
}

#[test]
fn depth_is_no_danger() {
    for (open, close) in [
        (r#"{"items":"#, "}"),
        (r#"{"not":"#, "}"),
        (r#"{"allOf":["#, "]}"),
        (r#"{"anyOf":["#, "]}"),
        (r#"{"anyOf":[{"type":"null"},"#, "]}"),
    ] {
        let deep = format!("{}{{}}{}", open.repeat(300), close.repeat(300));
        let deep = read(&deep);
        for provider in PROVIDERS {
            object(&deep, &provider.schema, &[], &mut roomy());
            format(&deep, &provider.schema, &["$schema"], &mut roomy());
        }
    }
    let deep = format!("{}{{}}{}", r#"{"items":"#.repeat(50_000), "}".repeat(50_000));
    let deep = read(&deep);
    assert!(object(&deep, &GROQ_LIKE, &[], &mut roomy()).len() > 400_000);
}

#[test]
fn types_are_one_word() {
    for (schema, wanted) in [
        (r#"{"type":["string","null"]}"#, r#"{"type":"string","nullable":true}"#),
        (r#"{"type":["null"]}"#, r#"{"type":"string","nullable":true}"#),
        (
            r#"{"type":["string","integer","null"],"description":"d","minLength":2}"#,
            r#"{"anyOf":[{"type":"string","minLength":2,"description":"d","nullable":true},{"type":"integer","description":"d","nullable":true}]}"#,
        ),
        (
            r#"{"type":["array","string"],"items":{"type":"number"}}"#,
            r#"{"anyOf":[{"type":"array","items":{"type":"number"}},{"type":"string"}]}"#,
        ),
    ] {
        check(strict(), schema, wanted);
    }
}

#[test]
fn every_schema_has_a_type() {
    for (schema, wanted) in [
        ("{}", r#"{"type":"string"}"#),
        ("true", r#"{"type":"string"}"#),
        ("7", r#"{"type":"string"}"#),
        ("[]", r#"{"type":"string"}"#),
        (r#"{"type":"any"}"#, r#"{"type":"string"}"#),
        (r#"{"type":7}"#, r#"{"type":"string"}"#),
        (
            r#"{"properties":{"a":true}}"#,
            r#"{"type":"object","properties":{"a":{"type":"string"}}}"#,
        ),
        (r#"{"items":{"type":"number"}}"#, r#"{"type":"array","items":{"type":"number"}}"#),
    ] {
        check(strict(), schema, wanted);
    }
}

#[test]
fn closed_objects_stay_closed() {
    let rules = SchemaRules { typed: true, ..SchemaRules::ANY };
    check(
        &rules,
        r#"{"properties":{"a":{},"b":{"additionalProperties":{}}},"additionalProperties":false}"#,
        r#"{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"object","additionalProperties":{"type":"string"}}},"additionalProperties":false}"#,
    );
}

#[test]
fn arrays_have_items() {
    for (schema, wanted) in [
        (r#"{"type":"array"}"#, r#"{"type":"array","items":{"type":"string"}}"#),
        (r#"{"type":"array","items":true}"#, r#"{"type":"array","items":{"type":"string"}}"#),
        (
            r#"{"type":"array","items":[{"type":"number"},{}]}"#,
            r#"{"type":"array","items":{"type":"number"}}"#,
        ),
        (
            r#"{"type":"array","prefixItems":[{"type":"number"}]}"#,
            r#"{"type":"array","items":{"type":"number"}}"#,
        ),
    ] {
        check(strict(), schema, wanted);
    }
}

#[test]
fn enums_are_of_strings() {
    for (schema, wanted) in [
        (r#"{"const":"a"}"#, r#"{"type":"string","enum":["a"]}"#),
        (r#"{"const":5}"#, r#"{"type":"number"}"#),
        (r#"{"type":"integer","enum":[1,2]}"#, r#"{"type":"integer"}"#),
        (r#"{"enum":[true]}"#, r#"{"type":"boolean"}"#),
        (r#"{"enum":["a","",null]}"#, r#"{"type":"string","nullable":true,"enum":["a"]}"#),
        (r#"{"enum":["a",1]}"#, r#"{"type":"string"}"#),
        (r#"{"type":"string","enum":{}}"#, r#"{"type":"string"}"#),
        (
            r#"{"enum":[{"const":1}],"default":{"const":1}}"#,
            r#"{"type":"string","default":{"const":1}}"#,
        ),
    ] {
        check(strict(), schema, wanted);
    }
}

#[test]
fn formats_are_known_ones() {
    for (schema, wanted) in [
        (r#"{"type":"string","format":"uri"}"#, r#"{"type":"string"}"#),
        (r#"{"type":"string","format":7}"#, r#"{"type":"string"}"#),
        (r#"{"type":"string","format":"date-time"}"#, r#"{"type":"string","format":"date-time"}"#),
    ] {
        check(strict(), schema, wanted);
    }
}

#[test]
fn required_properties_exist() {
    for (schema, wanted) in [
        (
            r#"{"type":"object","properties":{"a":{"type":"string"}},"required":["a","b"]}"#,
            r#"{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]}"#,
        ),
        (r#"{"type":"object","required":["b"]}"#, r#"{"type":"object"}"#),
        (r#"{"type":"object","required":true}"#, r#"{"type":"object"}"#),
    ] {
        check(strict(), schema, wanted);
    }
}

#[test]
fn any_of_stands_alone() {
    for (schema, wanted) in [
        (
            r#"{"anyOf":[{"type":"string"},{"type":"null"}],"default":null,"title":"T"}"#,
            r#"{"default":null,"title":"T","nullable":true,"type":"string"}"#,
        ),
        (
            r#"{"description":"d","oneOf":[{"const":"a"},{"type":"object","properties":{"x":{}}}]}"#,
            r#"{"anyOf":[{"type":"string","description":"d","enum":["a"]},{"type":"object","properties":{"x":{"type":"string"}},"description":"d"}]}"#,
        ),
        (
            r#"{"type":"object","properties":{"a":{"type":"string"}},"anyOf":[{"required":["a"]},{"required":["b"]}]}"#,
            r#"{"type":"object","properties":{"a":{"type":"string"}}}"#,
        ),
        (r#"{"anyOf":[true,null]}"#, r#"{"type":"string"}"#),
        (r#"{"anyOf":7}"#, r#"{"type":"string"}"#),
    ] {
        check(strict(), schema, wanted);
    }
}

#[test]
fn references_are_inlined() {
    for (schema, wanted) in [
        (
            r##"{"$defs":{"a/b":{"type":"integer","description":"there"}},"properties":{"x":{"$ref":"#/$defs/a~1b","description":"here"}}}"##,
            r#"{"type":"object","properties":{"x":{"description":"here","type":"integer"}}}"#,
        ),
        (
            r##"{"$ref":"#/definitions/N","definitions":{"N":{"type":"object","properties":{"next":{"$ref":"#/definitions/N"}}}}}"##,
            r#"{"type":"object","properties":{"next":{"type":"object"}}}"#,
        ),
        (
            r##"{"properties":{"self":{"$ref":"#"}}}"##,
            r#"{"type":"object","properties":{"self":{"type":"object","properties":{"self":{"type":"object"}}}}}"#,
        ),
        (r#"{"$ref":"https://example.org/x"}"#, r#"{"type":"object"}"#),
        (r##"{"$ref":"#/nowhere"}"##, r#"{"type":"object"}"#),
        (r#"{"$ref":7}"#, r#"{"type":"object"}"#),
        (
            r##"{"$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}},"$ref":"#/$defs/a"}"##,
            r#"{"type":"object"}"#,
        ),
        (
            r##"{"allOf":[{"properties":{"a":{"type":"string"}},"required":["a"]},{"$ref":"#/$defs/b"}],"$defs":{"b":{"properties":{"b":{"type":"number"}},"required":["b"]}}}"##,
            r#"{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"number"}},"required":["a","b"]}"#,
        ),
    ] {
        check(strict(), schema, wanted);
    }
}

/// Definitions that double at each step would be of no bounded size.
#[test]
fn references_that_multiply_are_bounded() {
    let mut schema = String::from(r##"{"$ref":"#/$defs/d0","$defs":{"##);
    for i in 0..60 {
        let next = i + 1;
        schema += &format!(
            r##""d{i}":{{"properties":{{"l":{{"$ref":"#/$defs/d{next}"}},"r":{{"$ref":"#/$defs/d{next}"}}}},"allOf":[{{"$ref":"#/$defs/d{next}"}},{{"$ref":"#/$defs/d{next}"}}]}},"##
        );
    }
    schema += r#""d60":{"type":"string"}}}"#;
    let schema = read(&schema);
    assert!(format(&schema, strict(), &[], &mut roomy()).len() < 2_000_000);
    assert!(object(&schema, strict(), &[], &mut roomy()).len() < 2_000_000);
}

#[test]
fn the_root_of_a_tool_is_plain() {
    let rules = &SchemaRules {
        drops: &["$id"],
        plain_root: true,
        items: true,
        properties: true,
        ..SchemaRules::ANY
    };
    check_tool(
        rules,
        r#"{"type":"object","anyOf":[{"properties":{"a":{"type":"array"},"c":{}},"required":["a","c"]},{"properties":{"b":{"type":"object"},"c":{}},"required":["b","c"]}]}"#,
        r#"{"type":"object","properties":{"a":{"type":"array","items":{"type":"string"}},"c":{},"b":{"type":"object","properties":{}}},"required":["c"]}"#,
    );
    check_tool(
        rules,
        r##"{"$ref":"#/definitions/A","definitions":{"A":{"type":["object","null"],"properties":{"x":{"$ref":"#/definitions/A"}},"not":{},"$id":"A"}}}"##,
        r##"{"type":"object","definitions":{"A":{"type":["object","null"],"properties":{"x":{"$ref":"#/definitions/A"}},"not":{}}},"properties":{"x":{"$ref":"#/definitions/A"}}}"##,
    );
}

/// Schemas as servers of tools send them, and worse.
const UGLY: &[&str] = &[
    r#"{"$schema":"http://json-schema.org/draft-07/schema#","type":"object","properties":{"q":{"type":"string","minLength":1,"format":"uri","examples":["a"]},"n":{"type":"integer","exclusiveMinimum":0,"multipleOf":5},"tags":{"type":"array","uniqueItems":true},"when":{"type":["string","null"],"format":"date"}},"required":["q","gone"],"additionalProperties":false}"#,
    r##"{"type":"object","properties":{"filter":{"$ref":"#/$defs/Filter"}},"$defs":{"Filter":{"oneOf":[{"$ref":"#/$defs/Leaf"},{"type":"object","properties":{"and":{"type":"array","items":{"$ref":"#/$defs/Filter"}}},"required":["and"]}]},"Leaf":{"type":"object","properties":{"field":{"type":"string"},"op":{"enum":["eq","ne",null]},"value":{}},"patternProperties":{"^x-":{}}}}}"##,
    r#"{"type":"object","oneOf":[{"properties":{"kind":{"const":"a"},"const":{"const":1}},"required":["kind"]},{"properties":{"kind":{"const":"b"}}}],"if":{"properties":{"kind":{"const":"a"}}},"then":{"required":["x"]},"else":false}"#,
    r#"{"properties":{"$ref":{"type":"string"},"enum":{"enum":[1,2,3]},"properties":{"properties":{"properties":{}}},"allOf":{"allOf":[true,{"type":"string"},null,{"allOf":[{"minLength":1}]}]},"anyOf":{"anyOf":[]},"not":{"not":{"type":"null"}}}}"#,
    r#"{"type":["object","null"],"properties":{"a":true,"b":false,"c":null,"d":7,"e":"x","f":[],"g":{"type":[]},"h":{"type":["null"]},"i":{"type":["string",5,{}]},"j":{"items":[[]]},"k":{"enum":7,"required":"a","properties":[],"anyOf":{},"format":{},"$ref":[]}}}"#,
    r#"{"type":"object","properties":{"matrix":{"type":"array","items":{"type":"array","prefixItems":[{"type":"number"},{"type":"string"}],"items":false}},"map":{"type":"object","additionalProperties":{"type":"object","properties":{"$schema":{"const":null}}},"propertyNames":{"pattern":"^a"}},"dep":{"type":"object","dependentRequired":{"a":["b"]},"unevaluatedProperties":false}}}"#,
    r##"{"type":"object","properties":{"a":{"$ref":"#/properties/b"},"b":{"$ref":"#/properties/a"},"c":{"$ref":"#/properties/c"},"d":{"$ref":"#/properties/e/anyOf/1"},"e":{"anyOf":[{"type":"null"},{"type":["integer","string"]}]},"f":{"$ref":"other.json#/x"}}}"##,
    r#"{"type":"object","properties":{"v":{"anyOf":[{"anyOf":[{"type":"string"},{"type":"null"}]},{"type":"number","enum":[1]},{"oneOf":[{"const":true}]}],"type":"string","description":"d"},"w":{"type":"string","const":"x","enum":["y"]}}}"#,
    r#"{"type":"object","type":"string","properties":{"a":{"type":"string","type":["null","integer"]}},"properties":{"b":{}}}"#,
    "[]",
    "\"x\"",
    "null",
    "true",
    "{}",
];

/// Checks a schema that only has what `rules` keep, at any depth.
fn check_accepted(schema: &Value, rules: &SchemaRules) {
    let Value::Object(entries) = schema else { panic!("not an object: {schema}") };
    for (key, value) in entries {
        assert!(rules.keeps.contains(&&**key), "{key} in {schema}");
        match &**key {
            "type" => {
                let kinds = ["string", "number", "integer", "boolean", "object", "array"];
                assert!(value.as_str().is_some_and(|kind| kinds.contains(&kind)), "{schema}");
            }
            "enum" => {
                assert_eq!(schema["type"], "string");
                let all = value.as_array().expect("an array");
                assert!(!all.is_empty() && all.iter().all(Value::is_string), "{schema}");
            }
            "format" => assert!(rules.formats.contains(&value.as_str().expect("a string"))),
            "properties" => {
                for property in value.as_object().expect("an object").values() {
                    check_accepted(property, rules);
                }
            }
            "items" => check_accepted(value, rules),
            "anyOf" => {
                assert_eq!(entries.len(), 1, "{schema}");
                for branch in value.as_array().expect("an array") {
                    check_accepted(branch, rules);
                }
            }
            "required" => {
                for name in value.as_array().expect("an array") {
                    assert!(schema["properties"].get(name.as_str().expect("a name")).is_some());
                }
            }
            _ => {}
        }
    }
    assert!(entries.contains_key("type") || entries.contains_key("anyOf"), "{schema}");
    assert!(schema["type"] != "array" || schema["items"].is_object(), "{schema}");
}

/// The keywords of `schema`, at any depth, without names and data.
fn keywords(schema: &Value, found: &mut HashSet<String>) {
    let Value::Object(entries) = schema else { return };
    for (key, value) in entries {
        found.insert(key.clone());
        match super::rewrite::holds(key) {
            super::rewrite::Holds::Schema => keywords(value, found),
            super::rewrite::Holds::NamedSchemas => {
                for named in value.as_object().into_iter().flat_map(|named| named.values()) {
                    keywords(named, found);
                }
            }
            super::rewrite::Holds::Schemas => {
                for item in value.as_array().into_iter().flatten() {
                    keywords(item, found);
                }
            }
            super::rewrite::Holds::Data => {}
        }
    }
}

#[test]
fn what_comes_out_is_accepted() {
    for schema in UGLY {
        let nested = format!(r#"{{"type":"object","properties":{{"deep":{{"items":{schema}}}}}}}"#);
        for schema in [*schema, &nested] {
            let schema = read(schema);
            for provider in PROVIDERS {
                let rules = &provider.schema;
                let tool = object(&schema, rules, &[], &mut roomy());
                let tool: Value = serde_json::from_str(&tool).expect("JSON");
                assert!(tool["properties"].is_object(), "{}: {tool}", provider.name);
                let answer = format(&schema, rules, &[], &mut roomy());
                let answer: Value = serde_json::from_str(&answer).expect("JSON");
                if !rules.keeps.is_empty() {
                    check_accepted(&tool, rules);
                    check_accepted(&answer, rules);
                }
                for schema in [tool, answer] {
                    let mut found = HashSet::new();
                    keywords(&schema, &mut found);
                    let dropped = rules.drops.iter().find(|keyword| found.contains(**keyword));
                    assert_eq!(dropped, None, "{}: {schema}", provider.name);
                }
            }
        }
    }
}
