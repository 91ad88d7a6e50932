//! A refusal of the search of the web that a provider was asked for, rather than of the message.

use super::said::Said;
use crate::provider::Search;
use crate::translate::reading::SearchError;

/// Fields and words by which services name their searches. The field that takes them is often
/// named apart from the words.
const NAMES: &[&str] = &[
    "web_search",
    "web search",
    "web-search",
    "websearch",
    "search_options",
    "search_settings",
    "search_parameters",
    "search_engine",
    "search engine",
    "search_domain_filter",
    "search_query",
    "search-prime",
    "enable_search",
    "forced_search",
    "search tool",
    "search api",
    "search service",
    "search request",
    "search quota",
    "search limit",
    "search is not",
    "searches",
    "google_search",
    "google search",
    "googlesearch",
    "grounding",
    "compound_custom",
    "max_tool_calls",
    "hosted tool",
    "built-in tool",
    "builtin tool",
    "allowed_domains",
    "blocked_domains",
    "excluded_domains",
    "include_domains",
    "exclude_domains",
    "user_location",
    "联网搜索",
];

/// Why `said` means that the search is refused which was asked for `how`, if that is what it means.
/// A search that `is_alone` was the only tool, so that a word about tools is about it.
pub fn refused_search(
    status: u16,
    said: &Said,
    how: Search,
    is_alone: bool,
) -> Option<SearchError> {
    if !matches!(status, 400 | 402 | 403 | 404 | 405 | 422 | 429 | 501) {
        return None;
    }
    let words = said.words.to_lowercase();
    let param = said.param.as_deref().unwrap_or_default().to_lowercase();
    let says = |names: &[&str]| {
        names
            .iter()
            .any(|name| words.contains(name) || param.contains(name) || said.has_code(&[name]))
    };
    let is_about_it = says(NAMES)
        || match how {
            // The model is there for the search alone.
            Search::Model { name, .. } => is_alone && (status == 404 || says(&[name, "compound"])),
            Search::WebPlugin => says(&["plugin"]),
            Search::ResponsesTool(_) | Search::WebSearchTool => is_alone && says(&["tool"]),
            Search::EnableSearch | Search::Options | Search::None | Search::Unknown => false,
        };
    is_about_it.then(|| {
        let is_too_much = ["quota", "rate limit", "too many", "limit exceeded", "limit reached"];
        if says(&["max_uses", "max_tool_calls"]) {
            SearchError::MaxUsesExceeded
        } else if says(&["query"]) && says(&["too long", "length", "exceeds", "at most"]) {
            SearchError::QueryTooLong
        } else if status == 429 || says(&is_too_much) {
            SearchError::TooManyRequests
        } else if says(&["domain", "user_location", "country", "timezone"]) {
            SearchError::InvalidInput
        } else {
            SearchError::Unavailable
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::PROVIDERS;

    fn refused(row: &str, status: u16, body: &str) -> Option<SearchError> {
        let row = PROVIDERS.iter().find(|known| known.name == row).expect(row);
        refused_search(status, &Said::read(body.as_bytes()), row.search, true)
    }

    #[test]
    fn every_way_to_refuse_a_search_is_known() {
        use SearchError::*;
        for (row, status, body, error) in [
            (
                "openai",
                400,
                r#"{"error":{"message":"Hosted tool 'web_search_preview' is not supported with gpt-5.","param":"tools"}}"#,
                Unavailable,
            ),
            (
                "openai",
                400,
                r#"{"error":{"message":"Invalid domain 'a b'.","param":"tools[0].filters.allowed_domains[0]"}}"#,
                InvalidInput,
            ),
            ("xai", 422, r#"{"error":"tools: unknown variant"}"#, Unavailable),
            (
                "openrouter",
                402,
                r#"{"error":{"message":"Insufficient credits for plugin web","code":402}}"#,
                Unavailable,
            ),
            (
                "openrouter",
                429,
                r#"{"error":{"message":"Web search rate limit exceeded","code":429}}"#,
                TooManyRequests,
            ),
            (
                "vertex",
                400,
                r#"{"error":{"code":400,"message":"Unknown name \"web_search_options\": Cannot find field."}}"#,
                Unavailable,
            ),
            (
                "vertex",
                429,
                r#"{"error":{"message":"Quota exceeded for grounding with Google Search"}}"#,
                TooManyRequests,
            ),
            (
                "dashscope",
                400,
                r#"{"error":{"message":"The model does not support enable_search."}}"#,
                Unavailable,
            ),
            (
                "groq",
                404,
                r#"{"error":{"message":"The model `groq/compound` does not exist"}}"#,
                Unavailable,
            ),
            (
                "groq",
                403,
                r#"{"error":{"message":"The model `groq/compound` is blocked at the project level."}}"#,
                Unavailable,
            ),
            (
                "groq",
                429,
                r#"{"error":{"message":"Rate limit reached for model `groq/compound`"}}"#,
                TooManyRequests,
            ),
            (
                "zai",
                400,
                r#"{"error":{"code":"1210","message":"search_query is too long"}}"#,
                QueryTooLong,
            ),
        ] {
            assert_eq!(refused(row, status, body), Some(error), "{row}: {body}");
        }
    }

    #[test]
    fn other_refusals_are_none_of_a_search() {
        for (row, status, body) in [
            ("openai", 401, r#"{"error":{"message":"Incorrect API key for web search"}}"#),
            ("openai", 429, r#"{"error":{"message":"Rate limit reached for gpt-6.1-sol"}}"#),
            ("openai", 500, r#"{"error":{"message":"web_search failed"}}"#),
            ("vertex", 400, r#"{"error":{"message":"temperature is out of range"}}"#),
            ("groq", 429, r#"{"error":{"message":"Rate limit reached in organization"}}"#),
        ] {
            assert_eq!(refused(row, status, body), None, "{row}: {body}");
        }
    }
}
