//! A search of the web that the client has asked for: what was looked for and found goes out as
//! blocks before the text that was made of it.
//!
//! Services tell it beside their text or behind it, so the text waits for the end of the answer.
//!
//! <https://platform.claude.com/docs/en/agents-and-tools/tool-use/web-search-tool>

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Sink, Translator};
use crate::anthropic::{BlockStart, Delta, Event, NoInput, WebSearchError};
use crate::openai::Dialect;
use crate::translate::reading::Searched;

/// How many tokens of text wait at most: an answer that is longer goes out with what has been told
/// so far.
const MAX_WAITING_TOKENS: u64 = 32_000;

/// What has become of a search.
#[derive(Debug)]
pub(super) struct Search {
    asked: Searched,
    /// How many the provider has told of.
    count: u64,
    /// It has gone out, or there was none.
    is_told: bool,
    /// It has gone out.
    is_shown: bool,
}

impl Search {
    pub(super) fn new(asked: Searched) -> Search {
        Search { asked, count: 0, is_told: false, is_shown: false }
    }

    /// Whether nobody was asked to search.
    pub(super) fn is_unavailable(&self) -> bool {
        !self.asked.is_available
    }

    /// How many searches the client is told of.
    pub(super) fn requests(&self) -> Option<u64> {
        (self.is_shown && self.asked.is_available).then(|| self.count.max(1))
    }
}

impl Translator {
    /// Whether what comes has to wait for what the search has found.
    pub(super) fn waits_for_search(&self) -> bool {
        let waits = self.search.as_ref().is_some_and(|search| !search.is_told);
        waits && self.counted.tokens() < MAX_WAITING_TOKENS
    }

    /// The provider has searched, and tells for what, and what it has looked at.
    pub(super) fn searched(&mut self, action: Option<&RawValue>) {
        #[derive(Deserialize)]
        struct Action<'a> {
            #[serde(borrow, default)]
            query: Option<Cow<'a, str>>,
            #[serde(borrow, default)]
            sources: Option<&'a RawValue>,
        }
        let action = action.and_then(|action| serde_json::from_str::<Action>(action.get()).ok());
        let Some(search) = &mut self.search else { return };
        let query = action.as_ref().and_then(|action| action.query.as_deref());
        if let Some(query) = query.filter(|query| search.count == 0 && !query.is_empty()) {
            search.asked.query = query.to_owned();
        }
        search.count += 1;
        if let Some(sources) = action.and_then(|action| action.sources) {
            self.sources.take(sources);
        }
    }

    /// Sends what was looked for and found, or that nothing could be, before anything else.
    pub(super) fn tell_search(&mut self, sink: &mut impl Sink) {
        let Some(search) = self.search.as_mut().filter(|search| !search.is_told) else { return };
        search.is_told = true;
        // Who tells of no source beside the text may name some in it.
        if self.sources.is_empty() && self.dialect == Dialect::ChatCompletions {
            for text in self.items.waiting_texts() {
                self.sources.take_from(text);
            }
        }
        let has_searched = search.count > 0 || !self.sources.is_empty();
        if search.asked.is_available && !has_searched {
            return;
        }
        search.is_shown = true;
        let unique = self.id.strip_prefix("msg_").unwrap_or(&self.id);
        let id = format!("srvtoolu_{unique}");
        let query = serde_json::json!({ "query": search.asked.query }).to_string();
        let content = match search.asked.is_available {
            true => self.sources.results(),
            false => serde_json::value::to_raw_value(&WebSearchError { error_code: "unavailable" })
                .expect("the wire types serialize"),
        };
        let index = self.items.take_index();
        let call = BlockStart::ServerToolUse { id: &id, name: "web_search", input: NoInput {} };
        sink.event(&Event::ContentBlockStart { index, content_block: call });
        let delta = Delta::InputJsonDelta { partial_json: &query };
        sink.event(&Event::ContentBlockDelta { index, delta });
        sink.event(&Event::ContentBlockStop { index });
        let index = self.items.take_index();
        let found = BlockStart::WebSearchToolResult { tool_use_id: &id, content: &content };
        sink.event(&Event::ContentBlockStart { index, content_block: found });
        sink.event(&Event::ContentBlockStop { index });
    }
}
