//! A search of the web that the provider does itself: the fields by which each is told, and in
//! words what it has no field for.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::anthropic::{MessagesRequest, Tool};
use crate::json::Raw;
use crate::openai::{
    self, ChatSearch, CompoundTools, EnabledTools, ForcedSearch, HostedSearch, NoOptions,
    WebPlugin, WebSearchOptions, WebSearchTool,
};
use crate::provider::{ResponsesSearch, Search};
use crate::translate::reading::{Domains, Searched};

/// The longest query that Z.ai takes, in characters; without one its model puts it.
const MAX_QUERY: usize = 70;

/// What a model is told of a search that nobody is known to do.
pub(super) const NO_SEARCH_NOTE: &str = "The tool that searches the web is not available here. If \
     you cannot search by yourself, say so, and answer from what you know.";

/// A search of the web that the provider does itself, as far as it has fields for it.
#[derive(Debug)]
pub struct WebSearch<'a> {
    query: String,
    /// Whether there is nothing else that the model may do.
    is_alone: bool,
    allowed: Vec<Cow<'a, str>>,
    blocked: Vec<Cow<'a, str>>,
    max_uses: Option<u64>,
    location: Option<Location<'a>>,
    /// What it has no fields for, for the model.
    note: Option<String>,
    has_limits_in_words: bool,
}

/// Where the user is.
#[derive(Debug, Deserialize, Serialize)]
struct Location<'a> {
    #[serde(rename = "type", skip_deserializing, default = "approximate")]
    kind: &'static str,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    city: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    region: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    country: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    timezone: Option<Cow<'a, str>>,
}

fn approximate() -> &'static str {
    "approximate"
}

impl<'a> WebSearch<'a> {
    /// What `tool` of `request` lets a provider look for that is told in this way.
    pub(super) fn new(
        request: &MessagesRequest<'a>,
        tool: &Tool<'a>,
        how: Search,
    ) -> WebSearch<'a> {
        let fields = how.fields();
        let (mut allowed, mut blocked) = domains(tool);
        let limits = tool.limits.as_deref();
        let mut location = limits.and_then(|limits| limits.user_location).and_then(location);
        let mut max_uses = limits.and_then(|limits| limits.max_uses);
        let mut words = Vec::new();
        if allowed.len() > fields.allowed {
            words.push(format!("use only pages of {}", std::mem::take(&mut allowed).join(", ")));
        }
        if blocked.len() > fields.blocked {
            words.push(format!("use no pages of {}", std::mem::take(&mut blocked).join(", ")));
        }
        if let Some(times) = max_uses.take_if(|_| !fields.max_uses) {
            words.push(format!("search {times} times at most"));
        }
        if let Some(place) = location.take_if(|_| !fields.location) {
            words.push(format!("the user is in {}", place.words()));
        }
        let has_limits_in_words = !words.is_empty();
        if !fields.sources {
            words.push("name each page that you use as a Markdown link".to_owned());
        }
        let note =
            (!words.is_empty()).then(|| format!("For the web search: {}.", words.join("; ")));
        let (query, is_alone) = (request.query(), request.has_search_alone());
        WebSearch {
            query,
            is_alone,
            allowed,
            blocked,
            max_uses,
            location,
            note,
            has_limits_in_words,
        }
    }

    /// What the model is told of it.
    pub(super) fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// Whether a limit of the client's is no more than a wish.
    pub(super) fn has_limits_in_words(&self) -> bool {
        self.has_limits_in_words
    }

    /// How often it may search, where that is a field of the Responses API.
    pub(super) fn max_tool_calls(&self) -> Option<u64> {
        self.max_uses
    }

    /// The tool of the Responses API.
    pub(super) fn tool(&self, form: ResponsesSearch) -> HostedSearch<'a> {
        let filters = [("allowed_domains", &self.allowed), (form.blocks, &self.blocked)];
        let filters = filters.into_iter().filter(|(_, domains)| !domains.is_empty());
        HostedSearch {
            kind: "web_search",
            filters: filters
                .map(|(name, domains)| (name, domains.clone()))
                .collect::<BTreeMap<_, _>>(),
            user_location: self.location.as_ref().map(Location::json),
        }
    }

    /// The fields of chat completions.
    pub(super) fn fields(self, how: Search) -> Option<ChatSearch<'a>> {
        let WebSearch { query, allowed, blocked, max_uses, location, is_alone, .. } = self;
        let first = allowed.first().cloned();
        let domains = openai::Domains { include_domains: allowed, exclude_domains: blocked };
        Some(match how {
            Search::None | Search::Unknown | Search::ResponsesTool(_) => return None,
            Search::WebPlugin => {
                let user_location = location.as_ref().map(Location::json);
                let plugin = WebPlugin { id: "web", domains, max_uses, user_location };
                ChatSearch::Plugin { plugins: [plugin] }
            }
            Search::Model { .. } => ChatSearch::Compound {
                compound_custom: CompoundTools {
                    tools: EnabledTools { enabled_tools: &["web_search"] },
                },
                search_settings: domains,
            },
            Search::EnableSearch => ChatSearch::Enable {
                enable_search: true,
                search_options: ForcedSearch { forced_search: is_alone },
            },
            Search::Options => ChatSearch::Options { web_search_options: NoOptions {} },
            Search::WebSearchTool => ChatSearch::Tool {
                tools: [WebSearchTool {
                    kind: "web_search",
                    web_search: WebSearchOptions {
                        enable: true,
                        search_engine: "search-prime",
                        search_query: Some(query)
                            .filter(|query| query.chars().count() <= MAX_QUERY),
                        search_result: true,
                        search_domain_filter: first,
                    },
                }],
            },
        })
    }
}

impl Location<'_> {
    /// The place, from the smallest part of it to the largest.
    fn words(&self) -> String {
        let parts = [&self.city, &self.region, &self.country, &self.timezone];
        parts.into_iter().flatten().map(|part| &**part).collect::<Vec<_>>().join(", ")
    }

    fn json(&self) -> Box<RawValue> {
        serde_json::value::to_raw_value(self).expect("strings serialize")
    }
}

/// A place that is told; what is something else is none.
fn location(raw: Raw<'_>) -> Option<Location<'_>> {
    let location: Location = serde_json::from_str(raw.get()).ok()?;
    (!location.words().is_empty()).then_some(location)
}

/// What the answer to a request for a search is read with.
pub fn searched(request: &MessagesRequest<'_>) -> Option<Searched> {
    let (allowed, blocked) = domains(request.web_search()?);
    let owned = |domains: Vec<Cow<str>>| domains.into_iter().map(Cow::into_owned).collect();
    Some(Searched {
        query: request.query(),
        error: None,
        is_asked: true,
        is_all: request.is_search(),
        domains: Domains { allowed: owned(allowed), blocked: owned(blocked) },
    })
}

/// The domains that a search looks at alone, and those that it does not look at. What is no list of
/// names names none.
fn domains<'a>(tool: &Tool<'a>) -> (Vec<Cow<'a, str>>, Vec<Cow<'a, str>>) {
    let list = |raw: Option<Raw<'a>>| {
        raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
    };
    let limits = tool.limits.as_deref();
    (
        list(limits.and_then(|limits| limits.allowed_domains)),
        list(limits.and_then(|limits| limits.blocked_domains)),
    )
}
