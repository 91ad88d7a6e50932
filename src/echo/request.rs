//! The members of a request that echo reads, and looking values up in those that stay raw.
//!
//! No tree is parsed: a `Value` as deep as serde_json permits overflows the stack of a request.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::value::RawValue;

#[derive(Deserialize)]
pub(super) struct ChatRequest {
    pub messages: Vec<Message>,
    pub model: Option<String>,
    pub stream: Option<bool>,
    pub stream_options: Option<Box<RawValue>>,
    pub tools: Option<Box<RawValue>>,
    pub tool_choice: Option<Box<RawValue>>,
    pub parallel_tool_calls: Option<bool>,
    pub response_format: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
pub(super) struct Message {
    pub role: String,
    #[serde(default, deserialize_with = "parse_content")]
    pub content: String,
}

#[derive(Deserialize)]
struct Part {
    text: Option<String>,
}

/// The text of a message's `content`: null, a string, or an array of parts of which some have text.
fn parse_content<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let content = Option::<&RawValue>::deserialize(deserializer)?.map_or("\"\"", RawValue::get);
    let text = match content.starts_with('[') {
        true => serde_json::from_str(content).map(|parts: Vec<Part>| {
            let texts = parts.into_iter().filter_map(|part| part.text);
            texts.collect::<Vec<_>>().join("\n")
        }),
        false => serde_json::from_str(content),
    };
    text.map_err(|error| D::Error::custom(format!("content of a message: {error}")))
}

/// A tool that was offered.
pub(super) struct Tool<'a> {
    pub name: String,
    /// The schema of its arguments, if it has one.
    pub parameters: Option<&'a RawValue>,
}

/// What `tool_choice` permits.
pub(super) enum Choice {
    Free,
    None,
    Any,
    Named(String),
}

impl ChatRequest {
    /// The tools that were offered and have a name.
    pub(super) fn tools(&self) -> Vec<Tool<'_>> {
        let tools: Vec<&RawValue> = self.tools.as_deref().map_or(vec![], parse);
        let named = tools.into_iter().filter_map(|tool| {
            let name: String = parse(look_up(tool, "function/name")?);
            Some(Tool { name, parameters: look_up(tool, "function/parameters") })
        });
        named.filter(|tool| !tool.name.is_empty()).collect()
    }

    pub(super) fn choice(&self) -> Choice {
        let Some(choice) = self.tool_choice.as_deref() else { return Choice::Free };
        match choice.get() {
            "\"none\"" => Choice::None,
            "\"required\"" => Choice::Any,
            _ => match look_up(choice, "function/name").map(parse::<String>) {
                Some(name) => Choice::Named(name),
                None => Choice::Free,
            },
        }
    }
}

pub(super) type Members<'a> = BTreeMap<String, &'a RawValue>;

/// `json` as a `T`, which leaves what it contains unparsed; an empty one if it is something else.
pub(super) fn parse<'a, T: Deserialize<'a> + Default>(json: &'a RawValue) -> T {
    serde_json::from_str(json.get()).unwrap_or_default()
}

/// The value at `path` below `json`: keys of objects and indices of arrays, joined by slashes and
/// escaped as in a JSON pointer.
pub(super) fn look_up<'a>(json: &'a RawValue, path: &str) -> Option<&'a RawValue> {
    path.split('/').try_fold(json, |json, key| match json.get().starts_with('[') {
        true => parse::<Vec<&RawValue>>(json).get(key.parse::<usize>().ok()?).copied(),
        false => parse::<Members>(json).remove(&key.replace("~1", "/").replace("~0", "~")),
    })
}

pub(super) fn is_at(object: &RawValue, path: &str, json: &str) -> bool {
    look_up(object, path).is_some_and(|value| value.get() == json)
}
