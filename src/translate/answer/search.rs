//! A search of the web that the client has asked for: what was looked for and found goes out as
//! blocks.
//!
//! Some services tell each search as an item of their output, with what it has found: there its
//! blocks stand. Others tell what was found beside their text or behind it. A message that is about
//! nothing else waits for that, since its reader takes the text for what was made of the results;
//! in others the blocks stand at the end.
//!
//! <https://platform.claude.com/docs/en/agents-and-tools/tool-use/web-search-tool>

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Translator;
use super::items::{Content, Found};
use super::sources::Sources;
use crate::openai::Dialect;
use crate::translate::reading::{SearchError, Searched};

/// How many tokens of text wait at most: an answer that is longer goes out with what has been told
/// so far.
const MAX_WAITING_TOKENS: u64 = 32_000;

/// What has become of a search.
#[derive(Debug)]
pub(super) struct Search {
    asked: Searched,
    /// How many the provider has told of.
    count: u64,
    /// How many are blocks.
    shown: u64,
    /// What has been told is in blocks, or there was none.
    is_told: bool,
}

impl Search {
    pub(super) fn new(asked: Searched) -> Search {
        Search { asked, count: 0, shown: 0, is_told: false }
    }

    /// Whether no model was asked.
    pub(super) fn is_free(&self) -> bool {
        !self.asked.is_asked
    }

    /// Whether the message is about nothing else.
    pub(super) fn is_all(&self) -> bool {
        self.asked.is_all
    }

    /// How many searches the client is told of.
    pub(super) fn requests(&self) -> Option<u64> {
        (self.shown > 0 && self.asked.error.is_none()).then(|| self.count.max(self.shown))
    }
}

/// What a search of the Responses API has done: `search`, `open_page` or `find_in_page`.
#[derive(Debug, Default, Deserialize)]
struct Action<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    query: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    sources: Option<&'a RawValue>,
}

impl Translator {
    /// Whether what comes has to wait for what the search has found.
    pub(super) fn waits_for_search(&self) -> bool {
        let waits = self.search.as_ref().is_some_and(|search| search.is_all());
        waits && self.counted.tokens() < MAX_WAITING_TOKENS
    }

    /// The provider has searched, and tells for what, and what it has looked at.
    pub(super) fn searched(&mut self, action: Option<&RawValue>, has_failed: bool) {
        let action = action.and_then(|action| serde_json::from_str::<Action>(action.get()).ok());
        let Action { kind, query, sources } = action.unwrap_or_default();
        let Some(search) = &mut self.search else { return };
        if !matches!(&*kind, "search" | "") {
            return;
        }
        let first = search.count == 0;
        search.count += 1;
        let query = query.filter(|query| !query.is_empty());
        if let Some(query) = query.as_deref().filter(|_| first) {
            search.asked.query = query.to_owned();
        }
        let mut own = Sources::of(search.asked.domains.clone());
        match sources {
            Some(sources) => {
                self.sources.take(sources);
                own.take(sources);
            }
            None if !has_failed => return,
            None => {}
        }
        let query = query.unwrap_or(Cow::Borrowed(&search.asked.query)).into_owned();
        search.is_told = true;
        let sources = if has_failed { Err(SearchError::Unavailable) } else { Ok(own) };
        let found = self.found(&query, sources);
        self.items.begin(Content::Search(found));
    }

    /// A page that the text that came last refers to, or several.
    pub(super) fn refer(&mut self, told: &RawValue) {
        self.sources.take(told);
        if self.search.is_some() {
            let citations = self.sources.citations(told);
            self.items.cite(citations);
        }
    }

    /// Makes blocks of what was looked for and found, or that nothing could be, unless they are
    /// there.
    pub(super) fn tell_search(&mut self) {
        let Some(search) = self.search.as_mut() else { return };
        if std::mem::replace(&mut search.is_told, true) {
            // The text that was made of them may call them by their titles.
            self.items
                .waiting_searches()
                .filter_map(|found| found.sources.as_mut().ok())
                .for_each(|own| own.learn(&self.sources));
            return;
        }
        // Who tells of no source beside the text may name some in it.
        if self.sources.is_empty() && self.dialect == Dialect::ChatCompletions && search.is_all() {
            for text in self.items.waiting_texts() {
                self.sources.take_from(text);
            }
        }
        let has_searched = search.count > 0 || !self.sources.is_empty();
        if search.asked.error.is_none() && !has_searched {
            return;
        }
        let sources = search.asked.error.map_or_else(|| Ok(self.sources.clone()), Err);
        let (query, is_all) = (search.asked.query.clone(), search.is_all());
        let found = self.found(&query, sources);
        if is_all && !self.items.has_sent() {
            self.items.begin_with(found);
        } else {
            self.items.begin(Content::Search(found));
        }
    }

    fn found(&mut self, query: &str, sources: Result<Sources, SearchError>) -> Box<Found> {
        let search = self.search.as_mut().expect("there is a search to tell of");
        search.shown += 1;
        let unique = self.id.strip_prefix("msg_").unwrap_or(&self.id);
        let id = format!("srvtoolu_{unique}_{}", search.shown);
        let input = serde_json::json!({ "query": query }).to_string();
        Box::new(Found { id, input, sources })
    }
}
