//! An upstream's error that names a parameter, a limit or a word → a [`Lesson`].

use super::is_overflow;
use super::lesson::{EFFORTS, Learned, Lesson, PARAMS, Param, Sent};
use super::said::Said;
use crate::openai::{Dialect, FormatKind, ToolChoice};
use crate::provider::{MaxTokensField, ToolChoiceLimit};

/// Words of a refusal of a field, whatever stands in it.
const UNSUPPORTED: &[&str] = &[
    "not support",
    "unsupported",
    "n't support",
    "unrecognized",
    "unknown",
    "unexpected",
    "not permitted",
    "not allowed",
    "not compatible",
    "incompatible",
    "not available",
    "not implemented",
    "extra inputs",
    "extra_forbidden",
    "deprecated",
    "verified",
];

/// Words of a refusal that may be about the value alone. What is neither named nor refused is not
/// touched.
const REFUSALS: &[&str] = &["invalid", "must be", "cannot", "can't", "only "];

/// Words of a refusal that is about the client's schema, and not about schemas.
const BAD_SCHEMA: &[&str] = &["invalid schema", "invalid json schema", "schema for"];

/// Keywords that are refused by one service or the other, and that a schema can do without.
const KEYWORDS: &[&str] = &[
    "$schema",
    "$id",
    "$comment",
    "additionalProperties",
    "unevaluatedProperties",
    "propertyNames",
    "patternProperties",
    "dependentRequired",
    "dependentSchemas",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minContains",
    "maxContains",
    "contains",
    "uniqueItems",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "minimum",
    "maximum",
    "pattern",
    "format",
    "default",
    "examples",
    "const",
    "title",
    "deprecated",
    "readOnly",
    "writeOnly",
    "contentEncoding",
    "contentMediaType",
];

/// A refusal that may teach something of a request: it names a field, a number or a word of one.
#[derive(Debug)]
pub struct Telling {
    status: u16,
    /// Its words, in lower case.
    words: String,
    /// The field it is about, if it says so apart from its words, in lower case.
    param: String,
}

impl Telling {
    /// `None` if nothing can be learned from it: it is about a key, a rate or a failure, or the
    /// conversation is too long for the model.
    pub fn of(status: u16, said: &Said) -> Option<Telling> {
        let is_about_the_request = matches!(status, 400 | 402 | 404 | 413 | 422);
        (is_about_the_request && !is_overflow(said)).then(|| Telling {
            status,
            words: said.words.to_lowercase(),
            param: said.param.as_deref().unwrap_or_default().to_lowercase(),
        })
    }

    /// What it teaches of the request `sent` beyond what has been `learned`.
    pub fn lesson(&self, learned: &Learned, sent: &Sent<'_>) -> Option<Lesson> {
        let lesson = match self.status {
            402 | 413 => self.about_means(sent),
            _ => self
                .about_api(sent)
                .or_else(|| self.about_max_tokens(sent))
                .or_else(|| self.about_tools(sent))
                .or_else(|| self.about_efforts(sent))
                .or_else(|| self.about_messages(sent))
                .or_else(|| self.about_format(sent))
                .or_else(|| self.about_fields(sent))
                .or_else(|| self.about_schemas(sent)),
        }?;
        (!learned.lessons().contains(&lesson)).then_some(lesson)
    }

    fn says(&self, words: &str) -> bool {
        self.words.contains(words)
    }

    fn says_any(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.says(word))
    }

    /// Whether the field `name` is named. One that is also an English word must look like a field.
    fn names(&self, name: &str) -> bool {
        if self.param == name || self.param.starts_with(&format!("{name}.")) {
            return true;
        }
        // xAI writes `reasoningEffort`.
        let squeezed = name.replace('_', "");
        [name, &*squeezed].into_iter().any(|name| self.has_word(name, name.len() > 8))
    }

    /// Whether `word` stands in what was said, and unless it `is_telling`, as the name of a field.
    fn has_word(&self, word: &str, is_telling: bool) -> bool {
        let is_name = |c: char| c.is_alphanumeric() || c == '_';
        let marks = ["supplied: ", "model: ", "parameter ", "parameter: "];
        self.words.match_indices(word).any(|(at, _)| {
            let (before, after) = (&self.words[..at], &self.words[at + word.len()..]);
            let is_marked = before.ends_with(['\'', '"', '`', '.'])
                || marks.iter().any(|mark| before.ends_with(mark))
                || after.starts_with([':', '=']);
            !before.ends_with(is_name)
                && !after.starts_with(is_name)
                && (is_telling || word.contains('_') || is_marked)
        })
    }

    fn refuses(&self) -> bool {
        self.says_any(UNSUPPORTED) || self.says_any(REFUSALS)
    }

    /// The numbers in what was said, without those that are parts of names.
    fn numbers(&self) -> impl Iterator<Item = u64> {
        let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ',');
        let pieces = self.words.split(move |c: char| !is_part(c));
        pieces.flat_map(|piece| {
            let piece = piece.trim_matches(['.', ',']);
            // `16,384` is one number, `1,8192` is two.
            let mut groups = piece.split(',');
            let is_one = groups.next().is_some_and(|first| (1..=3).contains(&first.len()))
                && groups.all(|group| group.len() == 3);
            let numbers: Vec<u64> = if is_one {
                piece.replace(',', "").parse().into_iter().collect()
            } else {
                piece.split(',').filter_map(|number| number.parse().ok()).collect()
            };
            numbers
        })
    }

    /// A request that would be too large for what is left of a credit, or for the tokens of a
    /// minute: the output that is asked for counts before there is any.
    fn about_means(&self, sent: &Sent<'_>) -> Option<Lesson> {
        let asked = sent.max_tokens;
        let number_after = |words: &str| {
            let (_, rest) = self.words.split_once(words)?;
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            rest[..end].parse::<u64>().ok()
        };
        // OpenRouter: https://github.com/Gitlawb/openclaude/pull/1125
        let affordable = number_after("can only afford ");
        // Groq: https://github.com/zeeyado/koassistant.koplugin/issues/106
        let left = || {
            let (limit, requested) = (number_after("limit ")?, number_after("requested ")?);
            asked.checked_sub(requested.checked_sub(limit)?)
        };
        let fits = affordable.or_else(left).filter(|fits| *fits < asked && *fits >= 1024)?;
        Some(Lesson::MaxTokens(fits).once())
    }

    fn about_api(&self, sent: &Sent<'_>) -> Option<Lesson> {
        match sent.api {
            Dialect::ChatCompletions => {
                self.says("v1/responses").then_some(Lesson::Api(Dialect::Responses))
            }
            // A server without that path, rather than without that model.
            Dialect::Responses => (self.status == 404 && !self.says("model"))
                .then_some(Lesson::Api(Dialect::ChatCompletions)),
        }
    }

    fn about_max_tokens(&self, sent: &Sent<'_>) -> Option<Lesson> {
        const FIELDS: &[&str] = &["max_completion_tokens", "max_tokens", "max_output_tokens"];
        let field = FIELDS.iter().find(|field| self.names(field));
        let asked = sent.max_tokens;
        let is_new = sent.max_tokens_field == MaxTokensField::MaxCompletionTokens;
        let about_output =
            field.is_some() || self.says("completion tokens") || self.says("output tokens");
        if !about_output {
            return None;
        }
        let least = ["minimum value", "greater than", ">=", "at least"];
        if asked < 256
            && self.says_any(&least)
            && let Some(number) = self.numbers().filter(|n| *n > asked && *n <= 4096).min()
        {
            return Some(Lesson::LeastMaxTokens(number));
        }
        // The largest number below what was asked for: the others are parts of ranges and names.
        let limit = self.numbers().filter(|n| *n < asked && *n >= 256).max();
        if let Some(limit) = limit {
            let limit = Lesson::MaxTokens(limit);
            // What is left beside this prompt is not what the model can write.
            let is_rest = self.says_any(&["prompt", "input", "left", "remain"]);
            return Some(if is_rest { limit.once() } else { limit });
        }
        let refused = if is_new { "max_completion_tokens" } else { "max_tokens" };
        (self.names(refused) && self.refuses()).then_some(Lesson::MaxTokensField(if is_new {
            MaxTokensField::MaxTokens
        } else {
            MaxTokensField::MaxCompletionTokens
        }))
    }

    fn about_tools(&self, sent: &Sent<'_>) -> Option<Lesson> {
        let lengths = ["array too long", "maximum number", "maximum is", "at most"];
        let is_length = self.says_any(&lengths);
        let smaller = |than: usize| {
            let numbers = self.numbers().filter_map(|n| usize::try_from(n).ok());
            numbers.filter(|n| *n < than && *n > 0).max()
        };
        // `tools[3].function.description` is about one of them.
        let is_about = |name: &str| {
            let quoted = ["'", "\"", "`"].iter().any(|q| self.says(&format!("{q}{name}{q}")));
            self.param == name || quoted
        };
        if is_length && (is_about("tools") || self.says("tools limit")) {
            return smaller(sent.tools).map(Lesson::MaxTools);
        }
        if is_length && is_about("stop") && sent.stop > 0 {
            return smaller(sent.stop).map(Lesson::MaxStop);
        }
        // What is wrong with a function is not wrong with the choice of it.
        if self.says("schema") {
            return None;
        }
        if !self.names("tool_choice") && !self.says("tool choice") {
            return None;
        }
        match sent.tool_choice {
            // "Thinking mode does not support this tool_choice"
            Some(ToolChoice::Function { .. }) if !self.says("think") => {
                Some(Lesson::ToolChoice(ToolChoiceLimit::Modes))
            }
            Some(ToolChoice::Function { .. }) => {
                Some(Lesson::ToolChoice(ToolChoiceLimit::AutoOnly))
            }
            Some(ToolChoice::Mode("auto")) => Some(Lesson::Drop(Param::ToolChoice)),
            Some(ToolChoice::Mode(_)) => Some(Lesson::ToolChoice(ToolChoiceLimit::AutoOnly)),
            None => None,
        }
    }

    fn about_efforts(&self, sent: &Sent<'_>) -> Option<Lesson> {
        if !sent.params.contains(&Param::Effort)
            || self.says("summar")
            || self.param.ends_with(".summary")
        {
            return None;
        }
        let about = self.names("reasoning_effort")
            || self.names("reasoning")
            || self.says("reasoning effort")
            || self.says("reasoning value");
        let asked = sent.effort?;
        if about && self.says("tools") && asked != "none" {
            return Some(Lesson::Efforts(vec!["none"]));
        }
        let tokens: Vec<&str> = self.words.split(|c: char| !c.is_alphanumeric()).collect();
        let words: Vec<&'static str> = EFFORTS
            .iter()
            .copied()
            .filter(|word| *word != asked && tokens.contains(word))
            .collect();
        if about && !words.is_empty() {
            return Some(Lesson::Efforts(words));
        }
        // "llama3.2 does not support thinking", "Reasoning is mandatory for this endpoint"
        let thinks_not = self.says("reasoning is mandatory")
            || self.says("support thinking")
            || self.says("support reasoning");
        (thinks_not || (about && self.refuses())).then_some(Lesson::Drop(Param::Effort))
    }

    fn about_messages(&self, sent: &Sent<'_>) -> Option<Lesson> {
        // Of another organisation, account or region, or cut on its way.
        let marks =
            ["encrypted_content", "encrypted content", "invalid `signature`", "thought signature"];
        if self.says_any(&marks) && self.says_any(&["invalid", "not valid", "could not be"]) {
            return Some(Lesson::ForgetReasoning.once());
        }
        if self.says("reasoning_content") {
            return Some(Lesson::ReasoningContent(!sent.echoes_reasoning));
        }
        if sent.has_pictures {
            let words = ["image", "vision", "multimodal", "must be a string", "content type"];
            // One picture that cannot be read says nothing about the model.
            let is_one = [
                "format",
                "upload",
                "decode",
                "valid image",
                "download",
                "too large",
                "size",
                "mime",
                "base64",
                "number of",
                "less than",
                "at most",
                "too many",
            ];
            if self.says_any(&words)
                && (self.refuses() || self.says("not a"))
                && !self.says_any(&is_one)
            {
                return Some(Lesson::TextOnly);
            }
        }
        let is_order = self.says("after role") || self.says("role order");
        if is_order && self.says("user") && self.says("tool") {
            return Some(Lesson::NoUserAfterTool);
        }
        let is_nine = self.says("length of 9") || self.says("{9}");
        (sent.has_results && is_nine).then_some(Lesson::NineAlphanumericIds)
    }

    fn about_format(&self, sent: &Sent<'_>) -> Option<Lesson> {
        let format = sent.format?;
        let about = ["response_format", "json_schema", "text.format", "structured output"];
        // A schema that is wrong stays wrong in another field.
        if !about.iter().any(|name| self.names(name) || self.says(name))
            || self.says_any(BAD_SCHEMA)
        {
            return None;
        }
        Some(match format {
            FormatKind::JsonSchema => Lesson::JsonObject,
            FormatKind::JsonObject => Lesson::Drop(Param::ResponseFormat),
        })
    }

    fn about_fields(&self, sent: &Sent<'_>) -> Option<Lesson> {
        // A value out of its range is the client's to change.
        const RANGES: &[&str] =
            &["less than", "greater than", "between", "maximum", "minimum", "range", "<=", ">="];
        if self.says_any(RANGES) || self.says_any(BAD_SCHEMA) {
            return None;
        }
        let is_named = |names: &[&str]| names.iter().any(|name| self.names(name));
        let named = PARAMS
            .iter()
            .filter(|(param, _)| sent.params.contains(param))
            .find(|(_, names)| is_named(names))
            .filter(|_| self.refuses());
        // What one client has set teaches nothing about what others will.
        let is_lasting = self.says_any(UNSUPPORTED);
        let lesson = named.map(|(param, _)| Lesson::Drop(*param));
        lesson.map(|lesson| if is_lasting { lesson } else { lesson.once() })
    }

    fn about_schemas(&self, sent: &Sent<'_>) -> Option<Lesson> {
        let about = ["schema", "properties", "parameters", "keyword", "unknown name", "function"];
        if sent.tools == 0 && sent.format.is_none() || !self.says_any(about.as_slice()) {
            return None;
        }
        let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
        let is_named = |keyword: &str| {
            self.words.match_indices(&keyword.to_lowercase()).any(|(at, found)| {
                let (before, after) = (&self.words[..at], &self.words[at + found.len()..]);
                before.ends_with(['\'', '"', '`', '.', '/', ' '])
                    && !after.starts_with(is_name)
                    && (after.starts_with(['\'', '"', '`']) || keyword.len() > 8)
            })
        };
        let keyword = KEYWORDS.iter().find(|keyword| is_named(keyword))?;
        // What is missing is not refused.
        let is_refused = self.refuses() && !self.says("required to be");
        is_refused.then_some(Lesson::SchemaKeyword(keyword))
    }
}
