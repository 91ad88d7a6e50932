//! The request: what clients send to `/v1/messages` and `/v1/messages/count_tokens`.
//!
//! Text stays as it stands in the body, schemas and tool inputs pass through unparsed. Unknown
//! fields are ignored, since new clients send new ones; a known field of the wrong type is an error
//! that names its place.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;

use super::content::{Block, Content};
use super::event::SafeguardResult;
use super::field::text;
use crate::error::Error;
use crate::json::{self, Escaped, Raw, Schema};

/// The body of a request, as far as ccproxy uses it.
#[derive(Debug, Default)]
pub struct MessagesRequest<'a> {
    pub model: Cow<'a, str>,
    pub messages: Vec<InputMessage<'a>>,
    /// Absent in `count_tokens`.
    pub max_tokens: Option<u64>,
    pub system: Option<Content<'a>>,
    pub stream: Option<bool>,
    pub tools: Option<Vec<Tool<'a>>>,
    pub tool_choice: Option<ToolChoice<'a>>,
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
    pub top_k: Option<u64>,
    pub stop_sequences: Option<Vec<Cow<'a, str>>>,
    pub thinking: Option<Thinking<'a>>,
    pub output_config: Option<OutputConfig<'a>>,
    /// The name `output_config.format` had in the beta.
    pub output_format: Option<OutputFormat<'a>>,
    /// What the client wants the server to judge, with what the judge is to know.
    pub safeguards: Option<Raw<'a>>,
    /// Ids of the user, and the like.
    pub metadata: Option<Raw<'a>>,
    /// What of the conversation the server is to clear.
    pub context_management: Option<Raw<'a>>,
    /// Whether a part of it is to be kept in a prompt cache.
    pub cache_control: bool,
    /// Present when the client wants the server to hold the conversation.
    pub thread: Option<Raw<'a>>,
    pub as_it_came: AsItCame<'a>,
    pub room: Room<'a>,
}

/// Who is asked whether there is memory for so many bytes in all, and with that whether anybody
/// waits for the answer still: while a request is read, and while it is translated.
#[derive(Clone, Copy)]
pub struct Room<'a>(pub &'a dyn Fn(usize) -> Result<(), Error>);

impl Room<'_> {
    /// Whether to go on, for no more memory than there is.
    ///
    /// # Errors
    /// Nobody waits any more.
    pub fn goes_on(self) -> Result<(), Error> {
        (self.0)(0)
    }
}

impl Default for Room<'_> {
    fn default() -> Self {
        Room(&|_| Ok(()))
    }
}

impl fmt::Debug for Room<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Room")
    }
}

/// The JSON of some fields, by which they are found in the body again. Empty where there is none.
#[derive(Debug, Default)]
pub struct AsItCame<'a> {
    pub model: &'a str,
    pub max_tokens: &'a str,
    pub system: &'a str,
    pub thinking: &'a str,
}

/// How Claude Code asks for a search.
const SEARCH_PROMPT: &str = "Perform a web search for the query: ";

/// The longest query that is repeated, in characters.
const MAX_QUERY: usize = 400;

impl<'a> MessagesRequest<'a> {
    /// The search of the web that it lets the model do.
    pub fn web_search(&self) -> Option<&Tool<'a>> {
        self.tools.iter().flatten().find(|tool| tool.is_web_search())
    }

    /// Whether a search is all that the model may do.
    pub fn has_search_alone(&self) -> bool {
        let mut tools = self.tools.iter().flatten().peekable();
        tools.peek().is_some() && tools.all(|tool| tool.is_web_search())
    }

    /// Whether a search is all that it is about: the side request of Claude Code's WebSearch.
    pub fn is_search(&self) -> bool {
        self.has_search_alone() && self.last_said().starts_with(SEARCH_PROMPT)
    }

    /// What is looked for: what the user has said last.
    pub fn query(&self) -> String {
        let last = self.last_said();
        let query = last.strip_prefix(SEARCH_PROMPT).unwrap_or(&last);
        query.chars().take(MAX_QUERY).collect()
    }

    /// What the user has said last.
    fn last_said(&self) -> Cow<'_, str> {
        let users = self.messages.iter().rev().filter(|message| message.role == Role::User);
        let texts = users.flat_map(|message| message.content.0.iter().rev());
        let mut said = texts.filter_map(|block| match block {
            Block::Text(text) => Some(trimmed(text.text())).filter(|text| !text.is_empty()),
            _ => None,
        });
        said.next().unwrap_or_default()
    }

    /// The schema the answer has to follow, under either of its names.
    pub fn format(&self) -> Option<&OutputFormat<'a>> {
        let format = self.output_config.as_ref().and_then(|config| config.format.as_ref());
        format.or(self.output_format.as_ref())
    }

    /// The answers to its safeguards, one to each type. What is no list of objects with a type asks
    /// for nothing.
    pub fn safeguard_results(&self) -> Vec<SafeguardResult> {
        #[derive(Deserialize)]
        struct Safeguard<'a> {
            #[serde(rename = "type", borrow)]
            kind: Cow<'a, str>,
        }
        let Some(safeguards) = self.safeguards else { return Vec::new() };
        let safeguards = json::items(safeguards.get()).unwrap_or_default();
        let mut kinds = Vec::new();
        for safeguard in safeguards.into_iter().take(MAX_SAFEGUARDS) {
            if let Ok(Safeguard { kind }) = serde_json::from_str(safeguard)
                && !kinds.contains(&kind)
            {
                kinds.push(kind);
            }
        }
        kinds.into_iter().map(|kind| SafeguardResult::disabled(kind.into_owned())).collect()
    }
}

fn trimmed(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}

/// Of a request's safeguards so many are answered; Claude Code sends one.
const MAX_SAFEGUARDS: usize = 16;

#[derive(Debug)]
pub struct InputMessage<'a> {
    pub role: Role,
    pub content: Content<'a>,
    /// Whether it tells of what a search of another service than Anthropic's has found.
    pub has_foreign_search: bool,
    /// The JSON of it.
    pub as_it_came: &'a str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    User,
    Assistant,
    /// Claude Code puts these anywhere between the others.
    System,
}

/// A tool definition. Server tools have no `input_schema`.
#[derive(Debug, Default)]
pub struct Tool<'a> {
    /// Of a server tool, such as `web_search_20250305`; tools of the client may leave it out.
    pub kind: Option<Cow<'a, str>>,
    pub name: Option<Cow<'a, str>>,
    pub description: Option<Escaped<'a>>,
    pub input_schema: Option<Schema<'a>>,
    pub defer_loading: Option<bool>,
    /// Of a search; apart, since a message may have very many tools.
    pub limits: Option<Box<SearchLimits<'a>>>,
    /// Of a tool for a computer's screen.
    pub display_width_px: Option<u64>,
    pub display_height_px: Option<u64>,
}

/// What a search is limited to.
#[derive(Debug, Default)]
pub struct SearchLimits<'a> {
    /// The only domains that are looked at, and those that are not.
    pub allowed_domains: Option<Raw<'a>>,
    pub blocked_domains: Option<Raw<'a>>,
    /// How often it may be done, and from where.
    pub max_uses: Option<u64>,
    pub user_location: Option<Raw<'a>>,
}

impl Tool<'_> {
    /// Whether it is the server's search of the web.
    pub fn is_web_search(&self) -> bool {
        let kind = self.kind.as_deref().unwrap_or_default();
        self.input_schema.is_none() && kind.starts_with("web_search")
    }

    /// Whether it is the client's own, and so must have a schema.
    pub fn is_custom(&self) -> bool {
        const CUSTOM: &str = "custom";
        self.kind.as_deref().is_none_or(|kind| kind == CUSTOM)
    }
}

#[derive(Debug, Deserialize)]
#[serde(expecting = "an object")]
pub struct ToolChoice<'a> {
    #[serde(rename = "type")]
    pub kind: ToolChoiceKind,
    #[serde(borrow, default, deserialize_with = "text")]
    pub name: Option<Cow<'a, str>>,
    #[serde(default)]
    pub disable_parallel_tool_use: Option<bool>,
}

impl ToolChoice<'_> {
    /// Whether the model has to call a tool.
    pub fn forces(&self) -> bool {
        matches!(self.kind, ToolChoiceKind::Any | ToolChoiceKind::Tool)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ToolChoiceKind {
    Auto,
    Any,
    Tool,
    None,
}

#[derive(Debug, Deserialize)]
#[serde(expecting = "an object")]
pub struct Thinking<'a> {
    /// `adaptive`, `enabled` or `disabled`.
    #[serde(rename = "type", borrow)]
    pub kind: Cow<'a, str>,
    pub budget_tokens: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(expecting = "an object")]
pub struct OutputConfig<'a> {
    #[serde(borrow, default, deserialize_with = "text")]
    pub effort: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub format: Option<OutputFormat<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(expecting = "an object")]
pub struct OutputFormat<'a> {
    #[serde(borrow, default, deserialize_with = "json::schema")]
    pub schema: Option<Schema<'a>>,
}
