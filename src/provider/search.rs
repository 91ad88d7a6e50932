//! How services search the web by themselves: a column of the table, and what of a search's limits
//! each form has words for.

use crate::openai::Dialect;

/// How a service is told to search the web for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Search {
    /// It cannot.
    None,
    /// Nobody knows: it is asked without the tool, and what it says stands behind the error.
    Unknown,
    /// `{"type": "web_search"}` among the tools of the Responses API.
    ResponsesTool(ResponsesSearch),
    /// `plugins: [{"id": "web"}]`
    WebPlugin,
    /// Another model does, with so many output tokens at most; its domains are in
    /// `search_settings`.
    Model {
        /// That model.
        name: &'static str,
        /// The most that it writes.
        max_tokens: u64,
    },
    /// `enable_search`, `search_options`
    EnableSearch,
    /// `web_search_options: {}`
    Options,
    /// `{"type": "web_search", "web_search": {…}}` among the tools.
    WebSearchTool,
}

/// What differs in the search of the Responses API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponsesSearch {
    /// What its filter calls the domains that are left out.
    pub blocks: &'static str,
    /// The most domains that a filter may have.
    pub most_domains: usize,
    /// Whether `include` may ask for the addresses of each search.
    pub sources: bool,
    /// Whether it has `user_location`, and `max_tool_calls`.
    pub limits: bool,
}

/// What of a search's limits can be said in fields; the model is told of the rest in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SearchFields {
    /// The most domains that it may be limited to.
    pub allowed: usize,
    /// The most domains that may be left out.
    pub blocked: usize,
    /// Where the user is.
    pub location: bool,
    /// How often it searches, or it searches once.
    pub max_uses: bool,
    /// Whether it tells what it has found, beside the text.
    pub sources: bool,
}

impl Search {
    /// Whether it is known to be there.
    pub fn is_there(self) -> bool {
        !matches!(self, Search::None | Search::Unknown)
    }

    /// Whether it can be asked for through `api`.
    pub fn is_of(self, api: Dialect) -> bool {
        match self {
            Search::None | Search::Unknown => false,
            Search::ResponsesTool(_) => api == Dialect::Responses,
            _ => api == Dialect::ChatCompletions,
        }
    }

    /// What it has fields for.
    pub fn fields(self) -> SearchFields {
        let all = SearchFields {
            allowed: usize::MAX,
            blocked: usize::MAX,
            location: true,
            max_uses: true,
            sources: true,
        };
        let none = SearchFields { allowed: 0, blocked: 0, location: false, ..all };
        match self {
            Search::ResponsesTool(form) => SearchFields {
                allowed: form.most_domains,
                blocked: form.most_domains,
                location: form.limits,
                max_uses: form.limits,
                sources: true,
            },
            Search::None | Search::Unknown | Search::WebPlugin => all,
            // "country" is a name there: https://console.groq.com/docs/compound/search-settings
            Search::Model { .. } => SearchFields { location: false, max_uses: false, ..all },
            Search::EnableSearch => SearchFields { sources: false, ..none },
            Search::Options => SearchFields { max_uses: false, sources: false, ..none },
            Search::WebSearchTool => SearchFields { allowed: 1, ..none },
        }
    }
}
