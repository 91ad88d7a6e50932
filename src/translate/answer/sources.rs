//! What a model's search has found, as services tell it beside the text, and the list that it
//! becomes at the text's end.
//!
//! Annotations of OpenAI and OpenRouter
//! (<https://openrouter.ai/docs/features/web-search#parsing-web-search-results>), and the lists
//! beside the choices of Perplexity, xAI, Z.ai and DashScope. The Messages API has citations for
//! them, but those carry what only Anthropic's own search makes.

use std::borrow::Cow;
use std::fmt::Write;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::anthropic::WebSearchResult;
use crate::json;
use crate::openai::{Lax, Text};

/// The most that are listed, and the longest address in bytes and title in characters. No search
/// finds more.
const MAX_SOURCES: usize = 100;
const MAX_ADDRESS: usize = 2000;
const MAX_TITLE: usize = 200;

/// How deep lists stand in what holds them: in a tool that was run, in the answer of its search.
const MAX_DEPTH: usize = 3;

/// Sources that have been told and are not listed yet.
#[derive(Debug, Default)]
pub(super) struct Sources {
    told: Vec<Source>,
    /// How many of them have been listed.
    listed: usize,
}

#[derive(Debug)]
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
    url_citation: Lax<Citation<'a>>,
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
struct Citation<'a> {
    #[serde(borrow, default)]
    url: Text<'a>,
    #[serde(borrow, default)]
    title: Text<'a>,
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
            encrypted_content: "",
            page_age: Some(&*source.age).filter(|age| !age.is_empty()),
        });
        let results: Vec<WebSearchResult> = results.collect();
        serde_json::value::to_raw_value(&results).expect("the wire types serialize")
    }

    fn add(&mut self, address: &str, title: &str, age: &str) {
        let is_address = ["https://", "http://"].iter().any(|scheme| address.starts_with(scheme))
            && address.len() <= MAX_ADDRESS
            && !address.contains(|c: char| c.is_whitespace() || c.is_control());
        if !is_address {
            return;
        }
        let whole = |c: char| if json::half(c).is_some() { char::REPLACEMENT_CHARACTER } else { c };
        let plain = |text: &str| -> String {
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            text.chars().take(MAX_TITLE).map(whole).collect()
        };
        let (title, age) = (plain(title), plain(age));
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
