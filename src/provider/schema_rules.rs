//! The column `schema`: which JSON schemas a service takes.

/// What a schema has to be like. The default takes every schema as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchemaRules {
    /// Keywords that are taken out.
    pub drops: &'static [&'static str],
    /// The only keywords that are taken; none here means all.
    pub keeps: &'static [&'static str],
    /// The only values of `format` that are taken; none here means all.
    pub formats: &'static [&'static str],
    /// A tool's schema may not have `anyOf`, `oneOf`, `allOf`, `enum`, `const` and `not` at its
    /// root: their properties become the root's.
    pub plain_root: bool,
    /// `$ref` is not known: what it points to takes its place, and `{"type":"object"}` where that
    /// would not end.
    pub inline_refs: bool,
    /// `allOf` is not known: its schemas become one.
    pub merge_all_of: bool,
    /// `oneOf` is not known, and `anyOf` stands alone: what is beside it goes into its schemas, or
    /// where the schema has properties or items of its own, `anyOf` goes.
    pub any_of_alone: bool,
    /// `type` is one word: `null` becomes `nullable`, several types become `anyOf`.
    pub single_type: bool,
    /// `const` is not known: it becomes an `enum` of one.
    pub const_to_enum: bool,
    /// An `enum` is of strings that are not empty; another goes.
    pub string_enums: bool,
    /// `required` names properties that there are.
    pub required_exist: bool,
    /// Every schema has a `type` or `anyOf`; one that takes anything becomes a string.
    pub typed: bool,
    /// Every array has `items`, one schema.
    pub items: bool,
    /// Every object has `properties`.
    pub properties: bool,
    /// A `pattern` begins with `^` and ends with `$`; another goes.
    pub anchored_patterns: bool,
}

impl SchemaRules {
    pub const ANY: SchemaRules = SchemaRules {
        drops: &[],
        keeps: &[],
        formats: &[],
        plain_root: false,
        inline_refs: false,
        merge_all_of: false,
        any_of_alone: false,
        single_type: false,
        const_to_enum: false,
        string_enums: false,
        required_exist: false,
        typed: false,
        items: false,
        properties: false,
        anchored_patterns: false,
    };
}
