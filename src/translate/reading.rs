//! What an answer is read back with: made with the request, used by the answer.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use super::stops::Stops;
use crate::hash::hash;
use crate::json::place;
use crate::openai::Dialect;
use crate::redact::Redactor;

/// What an answer is translated back with.
#[derive(Debug, Default)]
#[expect(missing_docs, reason = "the names of its fields say it")]
pub struct Reading {
    pub dialect: Dialect,
    pub names: ToolNames,
    /// The stop sequences that the provider was not told.
    pub stops: Stops,
    /// The tools that the model may call in its text; `None` where its server reads all that it
    /// writes.
    pub text_tools: Option<TextTools>,
    /// The search of the web that the client has asked for.
    pub search: Option<Searched>,
    /// The text is to be data in a form that the client has given: nothing may be added to it.
    pub is_data: bool,
}

/// A search of the web that the client has asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Searched {
    /// What is looked for, until the provider tells how it put it.
    pub query: String,
    /// Why the provider was not told to search, if it was not.
    pub error: Option<SearchError>,
    /// Whether a model is asked at all.
    pub is_asked: bool,
    /// Whether the message is about nothing else, so that its text may wait for what is found.
    pub is_all: bool,
    /// Where the client wants it to look.
    pub domains: Domains,
}

/// Why nobody searches, in the codes of the Messages API:
/// <https://platform.claude.com/docs/en/agents-and-tools/tool-use/web-search-tool#errors>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of its variants say it")]
pub enum SearchError {
    TooManyRequests,
    InvalidInput,
    MaxUsesExceeded,
    QueryTooLong,
    Unavailable,
}

impl SearchError {
    /// The code for it.
    pub fn code(self) -> &'static str {
        match self {
            SearchError::TooManyRequests => "too_many_requests",
            SearchError::InvalidInput => "invalid_input",
            SearchError::MaxUsesExceeded => "max_uses_exceeded",
            SearchError::QueryTooLong => "query_too_long",
            SearchError::Unavailable => "unavailable",
        }
    }
}

/// The domains that a search looks at alone, and those that it does not look at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of its fields say it")]
pub struct Domains {
    pub allowed: Vec<String>,
    pub blocked: Vec<String>,
}

impl Domains {
    /// Whether a page at `address` is wanted. A domain stands for those below it, and may have a
    /// path, up to a `*`.
    pub fn take(&self, address: &str) -> bool {
        let (host, path) = parts(address);
        let is_of = |domain: &String| {
            let (wanted, prefix) = parts(domain);
            let prefix = prefix.split('*').next().unwrap_or_default().trim_end_matches('/');
            let wanted = wanted.trim_start_matches("*.");
            let below = host.strip_suffix(wanted);
            below.is_some_and(|below| below.is_empty() || below.ends_with('.'))
                && path.starts_with(prefix)
        };
        (self.allowed.is_empty() || self.allowed.iter().any(is_of))
            && !self.blocked.iter().any(is_of)
    }
}

/// The host of an address in lower case, and its path.
fn parts(address: &str) -> (String, &str) {
    let address = address.split_once("://").map_or(address, |(_, rest)| rest);
    let end = address.find(['/', '?', '#']).unwrap_or(address.len());
    let (host, path) = address.split_at(end);
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let host = host.split_once(':').map_or(host, |(host, _)| host);
    (host.to_ascii_lowercase(), path)
}

/// Names that had to be changed for the upstream, and what they were.
#[derive(Debug, Default, Clone)]
pub struct ToolNames {
    changed: Vec<(String, String)>,
    /// Hashes of all that the upstream was told of.
    offered: Vec<u64>,
    /// For the names that it makes up.
    redactor: Arc<Redactor>,
}

impl ToolNames {
    /// The upstream is told of the tool `original` as `upstream`.
    pub(super) fn offer(&mut self, upstream: &str, original: &str) {
        if upstream != original {
            self.changed.push((upstream.to_owned(), original.to_owned()));
        }
        self.offered.push(hash(upstream, 0));
    }

    /// The client's name for the tool that the upstream calls `name`.
    pub fn original<'a>(&'a self, name: &'a str) -> Cow<'a, str> {
        if let Some((_, original)) = self.changed.iter().find(|(upstream, _)| upstream == name) {
            return Cow::Borrowed(original);
        }
        if self.offered.contains(&hash(name, 0)) {
            name.into()
        } else {
            self.redactor.secrets(name)
        }
    }

    /// Takes these secrets out of the names that are nobody's.
    pub fn keep_secret(&mut self, redactor: Arc<Redactor>) {
        self.redactor = redactor;
    }
}

/// The tools that a model may call in its text, by their names upstream; none where text is only
/// text.
#[derive(Debug, Default, Clone)]
pub struct TextTools {
    /// The client's, which most schemas stand in as they were sent.
    body: Arc<Vec<u8>>,
    tools: Vec<(String, Schema)>,
}

#[derive(Debug, Clone)]
enum Schema {
    OfBody(Range<usize>),
    Own(String),
}

impl TextTools {
    /// Of the names and the schemas of the tools that `body` has offered.
    pub fn new<'t>(
        tools: impl Iterator<Item = (&'t str, &'t str)>,
        body: &Arc<Vec<u8>>,
    ) -> TextTools {
        let tools = tools.map(|(name, schema)| {
            let place = place(schema.as_bytes(), body);
            (name.to_owned(), place.map_or_else(|| Schema::Own(schema.to_owned()), Schema::OfBody))
        });
        TextTools { tools: tools.collect(), body: Arc::clone(body) }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.tools.is_empty()
    }

    pub(super) fn schema(&self, name: &str) -> Option<&str> {
        let (_, schema) = self.tools.iter().find(|(known, _)| known == name)?;
        match schema {
            Schema::OfBody(range) => std::str::from_utf8(&self.body[range.clone()]).ok(),
            Schema::Own(schema) => Some(schema),
        }
    }
}
