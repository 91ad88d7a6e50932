//! The request as it is sent upstream. Serializing it is the only thing done with it, so text stays
//! borrowed and is joined while it is written.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize as DeriveSerialize;
use serde::ser::{Serialize, SerializeSeq, Serializer};
use serde_json::value::RawValue;

use crate::json::{self, Escaped, Verbatim};

#[derive(Debug, Default, DeriveSerialize)]
pub struct ChatRequest<'a> {
    pub model: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ToolChoice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_completion_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub stop: &'a [Cow<'a, str>],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_effort: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<Reasoning<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking: Option<Switch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_thinking: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chat_template_kwargs: Option<EnableThinking>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_stream: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_format: Option<ResponseFormat<'a>>,
    pub stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_options: Option<StreamOptions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_cache_key: Option<&'a str>,
    #[serde(flatten)]
    pub search: Option<ChatSearch<'a>>,
    /// The last, so that the requests of a conversation begin with the same bytes.
    pub messages: Each<'a, Message<'a>>,
}

/// A list whose items are made while it is written, one after another: there may be very many.
pub struct Each<'a, T>(Box<Make<'a, T>>);

/// Gives each item to what it is called with.
type Make<'a, T> = dyn Fn(&mut dyn FnMut(T)) + 'a;

impl<'a, T> Each<'a, T> {
    /// Those that `make` gives.
    pub fn new(make: impl Fn(&mut dyn FnMut(T)) + 'a) -> Each<'a, T> {
        Each(Box::new(make))
    }
}

impl<T> Default for Each<'_, T> {
    fn default() -> Self {
        Each::new(|_| {})
    }
}

impl<T> fmt::Debug for Each<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Each").finish_non_exhaustive()
    }
}

impl<T: Serialize> Serialize for Each<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        let mut written = Ok(());
        (self.0)(&mut |item| {
            if written.is_ok() {
                written = list.serialize_element(&item);
            }
        });
        written.and_then(|()| list.end())
    }
}

/// The fields by which a service is told to search the web.
#[derive(Debug, DeriveSerialize)]
#[serde(untagged)]
pub enum ChatSearch<'a> {
    /// OpenRouter's.
    Plugin { plugins: [WebPlugin<'a>; 1] },
    /// Groq's.
    Compound { compound_custom: CompoundTools, search_settings: Domains<'a> },
    /// DashScope's.
    Enable { enable_search: bool, search_options: ForcedSearch },
    /// Google's, on Vertex.
    Options { web_search_options: NoOptions },
    /// Z.ai's, where no other tool is offered.
    Tool { tools: [WebSearchTool<'a>; 1] },
}

#[derive(Debug, DeriveSerialize)]
pub struct WebPlugin<'a> {
    pub id: &'static str,
    #[serde(flatten)]
    pub domains: Domains<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_uses: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_location: Option<Box<RawValue>>,
}

/// `{}`
#[derive(Debug, DeriveSerialize)]
pub struct NoOptions {}

/// Domains that are looked at alone, and that are not.
#[derive(Debug, DeriveSerialize)]
pub struct Domains<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub include_domains: Vec<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude_domains: Vec<Cow<'a, str>>,
}

#[derive(Debug, DeriveSerialize)]
pub struct CompoundTools {
    pub tools: EnabledTools,
}

#[derive(Debug, DeriveSerialize)]
pub struct EnabledTools {
    pub enabled_tools: &'static [&'static str],
}

#[derive(Debug, DeriveSerialize)]
pub struct ForcedSearch {
    pub forced_search: bool,
}

#[derive(Debug, DeriveSerialize)]
pub struct WebSearchTool<'a> {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub web_search: WebSearchOptions<'a>,
}

#[derive(Debug, DeriveSerialize)]
pub struct WebSearchOptions<'a> {
    pub enable: bool,
    pub search_engine: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search_query: Option<String>,
    pub search_result: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search_domain_filter: Option<Cow<'a, str>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, DeriveSerialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    System,
    User,
    Assistant,
    Tool,
}

#[derive(Debug, DeriveSerialize)]
pub struct Message<'a> {
    pub role: Role,
    /// `null` beside tool calls: some services miss the key if it is absent.
    pub content: Option<Content<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<Joined<'a>>,
    #[serde(rename = "reasoning", skip_serializing_if = "Option::is_none")]
    pub reasoning_text: Option<Joined<'a>>,
    /// The model is to go on with this message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partial: Option<bool>,
    /// OpenRouter's form of its reasoning, as it came.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasoning_details: Vec<&'a RawValue>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<Cow<'a, str>>,
}

impl<'a> Message<'a> {
    /// A message that has only text.
    pub fn text(role: Role, text: Joined<'a>) -> Message<'a> {
        Message { content: Some(Content::Text(text)), ..Message::empty(role) }
    }

    /// A message with nothing in it yet.
    pub fn empty(role: Role) -> Message<'a> {
        Message {
            role,
            content: None,
            reasoning_content: None,
            reasoning_text: None,
            prefix: None,
            partial: None,
            reasoning_details: Vec::new(),
            tool_calls: Vec::new(),
            tool_call_id: None,
        }
    }
}

#[derive(Debug, DeriveSerialize)]
#[serde(untagged)]
pub enum Content<'a> {
    /// The form that every service takes, so also used for several texts.
    Text(Joined<'a>),
    Parts(Vec<Part<'a>>),
}

#[derive(Debug, DeriveSerialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Part<'a> {
    Text {
        text: Joined<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<Ephemeral>,
    },
    ImageUrl {
        image_url: ImageUrl<'a>,
    },
    File {
        file: File<'a>,
    },
}

impl<'a> Part<'a> {
    /// A text.
    pub fn text(text: Joined<'a>) -> Part<'a> {
        Part::Text { text, cache_control: None }
    }

    pub fn image(url: DataUrl<'a>) -> Part<'a> {
        Part::ImageUrl { image_url: ImageUrl { url } }
    }

    pub fn file(filename: Escaped<'a>, file_data: DataUrl<'a>) -> Part<'a> {
        Part::File { file: File { filename, file_data } }
    }
}

#[derive(Debug, DeriveSerialize)]
pub struct ImageUrl<'a> {
    pub url: DataUrl<'a>,
}

#[derive(Debug, DeriveSerialize)]
pub struct File<'a> {
    pub filename: Escaped<'a>,
    pub file_data: DataUrl<'a>,
}

/// `{"type": "ephemeral"}`: what stands up to here is to be kept in a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ephemeral;

impl Serialize for Ephemeral {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(DeriveSerialize)]
        struct Kind {
            #[serde(rename = "type")]
            kind: &'static str,
        }
        Kind { kind: "ephemeral" }.serialize(serializer)
    }
}

/// A URL, or data that becomes one while it is written: an image is megabytes and not copied.
#[derive(Debug)]
pub enum DataUrl<'a> {
    Url(&'a Escaped<'a>),
    Base64 { media_type: &'a Escaped<'a>, data: &'a Escaped<'a> },
}

impl Serialize for DataUrl<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            DataUrl::Url(url) => url.serialize(serializer),
            DataUrl::Base64 { media_type, data } => json::write(
                serializer,
                ["\"data:", media_type.inner(), ";base64,", data.inner(), "\""],
            ),
        }
    }
}

/// Texts that stand as paragraphs of one: joined by an empty line while they are written.
#[derive(Debug, Default)]
pub struct Joined<'a>(pub Vec<Escaped<'a>>);

impl Joined<'_> {
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Escaped::is_empty)
    }

    /// What stands between the quotes of the text.
    pub fn pieces(&self) -> impl Iterator<Item = &str> {
        let between = |n| if n > 0 { "\\n\\n" } else { "" };
        self.0.iter().enumerate().flat_map(move |(n, text)| [between(n), text.inner()])
    }
}

impl<'a> From<Escaped<'a>> for Joined<'a> {
    fn from(text: Escaped<'a>) -> Joined<'a> {
        Joined(vec![text])
    }
}

impl Serialize for Joined<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        json::write(serializer, ["\""].into_iter().chain(self.pieces()).chain(["\""]))
    }
}

#[derive(Debug, DeriveSerialize)]
pub struct ToolCall<'a> {
    pub id: Cow<'a, str>,
    #[serde(rename = "type")]
    pub kind: FunctionKind,
    pub function: CalledFunction<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra_content: Option<ExtraContent<'a>>,
}

impl<'a> ToolCall<'a> {
    pub fn new(id: Cow<'a, str>, name: Cow<'a, str>, arguments: Cow<'a, str>) -> ToolCall<'a> {
        let function = CalledFunction { name, arguments };
        ToolCall { id, kind: FunctionKind, function, extra_content: None }
    }
}

/// Gemini's place for what chat completions have no field for.
#[derive(Debug, DeriveSerialize)]
pub struct ExtraContent<'a> {
    google: GoogleContent<'a>,
}

impl<'a> ExtraContent<'a> {
    pub fn thought_signature(thought_signature: Cow<'a, str>) -> ExtraContent<'a> {
        ExtraContent { google: GoogleContent { thought_signature } }
    }
}

#[derive(Debug, DeriveSerialize)]
struct GoogleContent<'a> {
    thought_signature: Cow<'a, str>,
}

/// The string `function`.
#[derive(Debug, Clone, Copy)]
pub struct FunctionKind;

impl Serialize for FunctionKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("function")
    }
}

#[derive(Debug, DeriveSerialize)]
pub struct CalledFunction<'a> {
    pub name: Cow<'a, str>,
    pub arguments: Cow<'a, str>,
}

#[derive(Debug, DeriveSerialize)]
pub struct Tool<'a> {
    #[serde(rename = "type")]
    kind: FunctionKind,
    pub function: Function<'a>,
}

impl<'a> Tool<'a> {
    pub fn new(function: Function<'a>) -> Tool<'a> {
        Tool { kind: FunctionKind, function }
    }
}

#[derive(Debug, DeriveSerialize)]
pub struct Function<'a> {
    pub name: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<Escaped<'a>>,
    pub parameters: Verbatim<'a>,
}

#[derive(Debug, DeriveSerialize)]
#[serde(untagged)]
pub enum ToolChoice<'a> {
    /// `auto`, `none`, or the service's word for "call one".
    Mode(&'a str),
    Function {
        #[serde(rename = "type")]
        kind: FunctionKind,
        function: NamedFunction<'a>,
    },
}

impl<'a> ToolChoice<'a> {
    pub fn function(name: Cow<'a, str>) -> ToolChoice<'a> {
        ToolChoice::Function { kind: FunctionKind, function: NamedFunction { name } }
    }
}

#[derive(Debug, DeriveSerialize)]
pub struct NamedFunction<'a> {
    pub name: Cow<'a, str>,
}

/// OpenRouter's form of an effort, and Together's switch.
#[derive(Debug, Default, DeriveSerialize)]
pub struct Reasoning<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effort: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enabled: Option<bool>,
}

impl<'a> Reasoning<'a> {
    pub fn effort(effort: &'a str) -> Reasoning<'a> {
        Reasoning { effort: Some(effort), enabled: None }
    }

    pub fn enabled(enabled: bool) -> Reasoning<'a> {
        Reasoning { effort: None, enabled: Some(enabled) }
    }
}

/// `{"type": "enabled" | "disabled"}`
#[derive(Debug, Clone, Copy, PartialEq, Eq, DeriveSerialize)]
pub struct Switch {
    #[serde(rename = "type")]
    kind: &'static str,
}

impl From<bool> for Switch {
    fn from(on: bool) -> Switch {
        Switch { kind: if on { "enabled" } else { "disabled" } }
    }
}

/// What a chat template is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, DeriveSerialize)]
pub struct EnableThinking {
    pub enable_thinking: bool,
}

#[derive(Debug, DeriveSerialize)]
pub struct ResponseFormat<'a> {
    #[serde(rename = "type")]
    pub kind: FormatKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json_schema: Option<JsonSchema<'a>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, DeriveSerialize)]
#[serde(rename_all = "snake_case")]
pub enum FormatKind {
    JsonSchema,
    JsonObject,
}

#[derive(Debug, DeriveSerialize)]
pub struct JsonSchema<'a> {
    pub name: &'static str,
    pub schema: Verbatim<'a>,
}

#[derive(Debug, DeriveSerialize)]
pub struct StreamOptions {
    pub include_usage: bool,
}
