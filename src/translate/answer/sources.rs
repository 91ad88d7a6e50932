//! What a model's search has found, as services tell it beside the text, and the list that it
//! becomes at the text's end.
//!
//! Annotations of OpenAI and OpenRouter
//! (<https://openrouter.ai/docs/features/web-search#parsing-web-search-results>), and the lists
//! beside the choices of Perplexity, xAI, Z.ai and DashScope. Who has asked for a search gets them
//! as its results, and as citations of the text.

use std::borrow::Cow;
use std::fmt::Write;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::anthropic::{Citation, FOREIGN_SEARCH, WebSearchError, WebSearchResult};
use crate::json;
use crate::openai::{Lax, Text};
use crate::translate::reading::{Domains, SearchError};

/// The most that are listed, and the longest address in bytes and title in characters. No search
/// finds more.
const MAX_SOURCES: usize = 100;
const MAX_ADDRESS: usize = 2000;
const MAX_TITLE: usize = 200;

/// How deep lists stand in what holds them: in a tool that was run, in the answer of its search.
const MAX_DEPTH: usize = 3;

/// The most of what a page says that is repeated, in characters; Anthropic's own.
const MAX_CITED: usize = 150;

/// Sources that have been told and are not listed yet.
#[derive(Debug, Default, Clone)]
pub(super) struct Sources {
    told: Vec<Source>,
    /// How many of them have been listed.
    listed: usize,
    /// Those that the client does not want are none.
    wanted: Domains,
}

#[derive(Debug, Clone)]
struct Source {
    address: String,
    title: String,
    /// When the page was written, as the service says it.
    age: String,
}

/// One of them, by its names at the services.
#[derive(Debug, Default, Deserialize)]
struct Found<'a> {
    #[serde(borrow, default)]
    url: Text<'a>,
    #[serde(borrow, default)]
    link: Text<'a>,
    #[serde(borrow, default)]
    title: Text<'a>,
    #[serde(borrow, default)]
    url_citation: Lax<Cited<'a>>,
    #[serde(borrow, default)]
    page_age: Text<'a>,
    #[serde(borrow, default)]
    publish_date: Text<'a>,
    #[serde(borrow, default)]
    date: Text<'a>,
    /// What holds a list of them: a tool that was run, or the answer of a search.
    #[serde(borrow, default)]
    search_results: Option<&'a RawValue>,
    #[serde(borrow, default)]
    results: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
struct Cited<'a> {
    #[serde(borrow, default)]
    url: Text<'a>,
    #[serde(borrow, default)]
    title: Text<'a>,
    #[serde(borrow, default)]
    content: Text<'a>,
}

impl Sources {
    /// Takes one, or a list of them, or what holds a list. What is something else is none.
    pub(super) fn take(&mut self, told: &RawValue) {
        self.take_within(told.get(), MAX_DEPTH);
    }

    fn take_within(&mut self, json: &str, depth: usize) {
        if !json.starts_with('[') {
            return self.take_one(json, depth);
        }
        let all: Vec<&RawValue> = serde_json::from_str(json).unwrap_or_default();
        for one in all.into_iter().take(MAX_SOURCES) {
            self.take_one(one.get(), depth);
        }
    }

    fn take_one(&mut self, json: &str, depth: usize) {
        if let Ok(address) = serde_json::from_str::<Cow<str>>(json) {
            return self.add(&address, "", "");
        }
        let Ok(Lax(found)) = serde_json::from_str::<Lax<Found>>(json) else { return };
        let Found { url, link, title, url_citation: Lax(inner), .. } = found;
        if depth > 0 {
            for held in [found.search_results, found.results].into_iter().flatten() {
                self.take_within(held.get(), depth - 1);
            }
        }
        let first = |texts: [Text<'_>; 3]| {
            texts.into_iter().find_map(Text::filled).map(Cow::into_owned).unwrap_or_default()
        };
        let address = first([url, inner.url, link]);
        let title = first([title, inner.title, Text::default()]);
        self.add(&address, &title, &first([found.page_age, found.publish_date, found.date]));
    }

    /// None yet, of which the client wants these alone.
    pub(super) fn of(wanted: Domains) -> Sources {
        Sources { wanted, ..Sources::default() }
    }

    /// The citations among what is told.
    pub(super) fn citations(&self, told: &RawValue) -> Vec<Citation> {
        let Ok(all) = serde_json::from_str::<Vec<&RawValue>>(told.get()) else {
            return self.citation(told.get()).into_iter().collect();
        };
        all.into_iter().take(MAX_SOURCES).filter_map(|one| self.citation(one.get())).collect()
    }

    fn citation(&self, json: &str) -> Option<Citation> {
        let Lax(found) = serde_json::from_str::<Lax<Found>>(json).ok()?;
        let Found { url, title, url_citation: Lax(inner), .. } = found;
        let url = url.filled().or(inner.url.filled())?;
        let known = self.told.iter().find(|source| source.address == *url)?;
        let title = title.filled().or(inner.title.filled()).unwrap_or_default();
        let title = if title.is_empty() { known.title.clone() } else { plain(&title, MAX_TITLE) };
        let cited_text = plain(&inner.content.filled().unwrap_or_default(), MAX_CITED);
        Some(Citation { url: url.into_owned(), title, cited_text, encrypted_index: FOREIGN_SEARCH })
    }

    /// Whether none has been told.
    pub(super) fn is_empty(&self) -> bool {
        self.told.is_empty()
    }

    /// Takes the addresses that a text names, with what its links say.
    pub(super) fn take_from(&mut self, text: &str) {
        for (at, _) in text.match_indices("http") {
            let rest = &text[at..];
            let ends = |c: char| c.is_whitespace() || "()[]<>\"'`|*".contains(c);
            let address = &rest[..rest.find(ends).unwrap_or(rest.len())];
            let address = address.trim_end_matches(['.', ',', ';', ':', '!', '?']);
            let link = text[..at].strip_suffix("](");
            let title = link.and_then(|link| link.rsplit_once('[')).map_or("", |(_, title)| title);
            self.add(address, title, "");
        }
    }

    /// All of them, as the result of a search of the Messages API.
    pub(super) fn results(&self) -> Box<RawValue> {
        let results = self.told.iter().map(|source| WebSearchResult {
            url: &source.address,
            title: if source.title.is_empty() { &source.address } else { &source.title },
            encrypted_content: FOREIGN_SEARCH,
            page_age: Some(&*source.age).filter(|age| !age.is_empty()),
        });
        let results: Vec<WebSearchResult> = results.collect();
        serde_json::value::to_raw_value(&results).expect("the wire types serialize")
    }

    /// That there was no search, in their place.
    pub(super) fn missing(error: SearchError) -> Box<RawValue> {
        let error = WebSearchError { error_code: error.code() };
        serde_json::value::to_raw_value(&error).expect("the wire types serialize")
    }

    /// Takes what others tell of the same pages.
    pub(super) fn learn(&mut self, others: &Sources) {
        for source in &mut self.told {
            if let Some(known) = others.told.iter().find(|known| known.address == source.address) {
                source.title.clone_from(&known.title);
                source.age.clone_from(&known.age);
            }
        }
    }

    fn add(&mut self, address: &str, title: &str, age: &str) {
        let is_address = ["https://", "http://"].iter().any(|scheme| address.starts_with(scheme))
            && address.len() <= MAX_ADDRESS
            && !address.contains(|c: char| c.is_whitespace() || c.is_control());
        if !is_address || !self.wanted.take(address) {
            return;
        }
        let (title, age) = (plain(title, MAX_TITLE), plain(age, MAX_TITLE));
        let known = self.told.iter_mut().find(|source| source.address == address);
        if let Some(known) = known {
            if known.title.is_empty() {
                known.title = title;
            }
            if known.age.is_empty() {
                known.age = age;
            }
        } else if self.told.len() < MAX_SOURCES {
            self.told.push(Source { address: address.to_owned(), title, age });
        }
    }

    /// The list of those that are not listed yet, as text that follows another.
    pub(super) fn list(&mut self) -> Option<String> {
        let new = &self.told[self.listed..];
        self.listed = self.told.len();
        if new.is_empty() {
            return None;
        }
        let mut list = "\n\nSources:".to_owned();
        for Source { address, title, .. } in new {
            let gap = if title.is_empty() { "" } else { ": " };
            write!(list, "\n- {title}{gap}{address}").expect("a String takes all");
        }
        Some(list)
    }
}

/// A text without what breaks it over lines, up to so many characters.
fn plain(text: &str, most: usize) -> String {
    let whole = |c: char| if json::half(c).is_some() { char::REPLACEMENT_CHARACTER } else { c };
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.chars().take(most).map(whole).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::Sources;

    fn list(told: &[&str]) -> Option<String> {
        let mut sources = Sources::default();
        for json in told {
            sources.take(&RawValue::from_string((*json).to_owned()).expect(json));
        }
        let list = sources.list();
        assert_eq!(sources.list(), None, "once");
        list
    }

    #[test]
    fn every_form_is_listed_once() {
        for told in [
            r#"[{"type":"url_citation","url_citation":{"url":"https://a.example/","title":"A\n b","start_index":0}}]"#,
            r#"{"type":"url_citation","url":"https://a.example/","title":"A b","start_index":0}"#,
            r#"[{"title":"A b","link":"https://a.example/","media":"m","refer":"ref_1"}]"#,
            r#"[{"title":"A b","url":"https://a.example/","date":"2026-11-28"},"https://a.example/"]"#,
        ] {
            let twice = [told, told];
            assert_eq!(list(&twice).as_deref(), Some("\n\nSources:\n- A b: https://a.example/"));
        }
        let both = [r#"["https://a.example/x?y=1"]"#, r#"[{"url":"https://a.example/x?y=1"}]"#];
        assert_eq!(list(&both).as_deref(), Some("\n\nSources:\n- https://a.example/x?y=1"));
    }

    #[test]
    fn what_has_no_address_is_no_source() {
        for told in [
            "null",
            "[]",
            "{}",
            "17",
            r#"[null,17,{"url":null},{"type":"file_citation","file_id":"f"}]"#,
            r#"["javascript:alert(1)","https://a b","https://a\u0007"]"#,
        ] {
            assert_eq!(list(&[told]), None, "{told}");
        }
        let many: Vec<String> = (0..10_000).map(|n| format!("\"https://a.example/{n}\"")).collect();
        let list = list(&[&format!("[{}]", many.join(","))]).expect("a list");
        assert_eq!(list.matches("\n- ").count(), super::MAX_SOURCES);
    }
}
