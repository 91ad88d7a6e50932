//! What is asked of a model, before it is written in a dialect.

use std::borrow::Cow;

use super::content::Shows;
use super::search::WebSearch;
use super::turns::{Conversation, Said};
use crate::anthropic::{Block, Room};
use crate::openai::{Dialect, ResponseFormat, Tool, ToolChoice};
use crate::provider::{Echo, Provider, SessionField, ThinkingField};
use crate::translate::refusal::{Learned, Lesson, Param, Sent};

/// A request for one model of one provider. What the provider does not take is not in it.
#[derive(Debug)]
#[expect(missing_docs, reason = "the names of its fields say it")]
pub struct Wanted<'a> {
    /// The provider's row, as it turned out to be for the model.
    pub row: Provider,
    pub api: Dialect,
    pub model: &'a str,
    pub conversation: Conversation<'a>,
    pub shows: Shows,
    pub tools: Vec<Tool<'a>>,
    pub tool_choice: Option<ToolChoice<'a>>,
    pub parallel_tool_calls: Option<bool>,
    pub max_tokens: u64,
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
    pub top_k: Option<u64>,
    pub stop: &'a [Cow<'a, str>],
    pub effort: Option<&'static str>,
    /// Whether the model is to think, where it can be told.
    pub thinks: Option<bool>,
    pub format: Option<ResponseFormat<'a>>,
    pub stream: bool,
    pub stream_usage: bool,
    pub tool_stream: bool,
    /// Whether the Responses API is asked for summaries of the reasoning.
    pub summary: bool,
    /// The search of the web that the provider is asked for.
    pub search: Option<WebSearch<'a>>,
    /// What the provider is told of the session, if it is told.
    pub session: Option<&'a str>,
    /// Whether the model gets back the reasoning that the client has carried.
    pub carries: bool,
    pub room: Room<'a>,
}

impl Wanted<'_> {
    /// What of it a refusal may be about.
    pub fn sent(&self) -> Sent<'_> {
        let turns = &self.conversation.turns;
        let thinks = |block: &Block| matches!(block, Block::Thinking(_));
        let has_thoughts = turns.iter().any(|turn| turn.answer.iter().any(|b| thinks(b)));
        let results = turns.iter().flat_map(|turn| &turn.calls).flat_map(|call| &call.results);
        let strays = turns.iter().flat_map(|turn| &turn.strays);
        let mut results = results.chain(strays).flat_map(|result| &result.content.0);
        let mut said = turns.iter().flat_map(|turn| &turn.said).filter_map(|said| match said {
            Said::Block(block) => Some(*block),
            Said::System(_) => None,
        });
        Sent {
            api: self.api,
            max_tokens: self.max_tokens,
            max_tokens_field: self.row.max_tokens_field,
            tools: self.tools.len(),
            tool_choice: self.tool_choice.as_ref(),
            stop: self.stop.len(),
            effort: self.effort,
            format: self.format.as_ref().map(|format| format.kind),
            params: Param::all().filter(|param| self.has(*param)).collect(),
            echoes_reasoning: match self.row.echo {
                Echo::ReasoningContent => has_thoughts || self.conversation.has_results(),
                Echo::SameField => has_thoughts,
                _ => false,
            },
            has_pictures: results.any(|block| self.shows.picture(block))
                || said.any(|block| self.shows.picture(block)),
            has_results: self.conversation.has_results(),
        }
    }

    /// Whether it has the field at all.
    fn has(&self, param: Param) -> bool {
        match param {
            Param::Temperature => self.temperature.is_some(),
            Param::TopP => self.top_p.is_some(),
            Param::TopK => self.top_k.is_some(),
            Param::Stop => !self.stop.is_empty(),
            Param::ToolChoice => self.tool_choice.is_some(),
            Param::ParallelToolCalls => self.parallel_tool_calls.is_some(),
            Param::StreamOptions => self.stream_usage,
            Param::ResponseFormat => self.format.is_some(),
            Param::Effort => {
                self.effort.is_some() || self.thinks.is_some() && self.thinks_by_reasoning()
            }
            Param::Thinking => self.thinks.is_some() && !self.thinks_by_reasoning(),
            Param::ToolStream => self.tool_stream,
            Param::Summary => self.api == Dialect::Responses && self.summary,
            Param::PromptCacheKey => {
                let is_field = self.row.session == SessionField::PromptCacheKey;
                self.session.is_some() && (is_field || self.api == Dialect::Responses)
            }
            Param::CacheControl => self.shows.marks,
        }
    }

    /// Takes out what is refused.
    pub fn prune(&mut self, learned: &Learned) {
        for lesson in learned.lessons() {
            let param = match lesson {
                Lesson::Drop(param) => param,
                Lesson::ForgetReasoning => {
                    self.carries = false;
                    continue;
                }
                _ => continue,
            };
            match param {
                Param::Temperature => self.temperature = None,
                Param::TopP => self.top_p = None,
                Param::TopK => self.top_k = None,
                Param::Stop => self.stop = &[],
                Param::ToolChoice => self.tool_choice = None,
                Param::ParallelToolCalls => self.parallel_tool_calls = None,
                Param::StreamOptions => self.stream_usage = false,
                Param::ResponseFormat => self.format = None,
                Param::Effort if self.thinks_by_reasoning() => {
                    (self.effort, self.thinks) = (None, None);
                }
                Param::Effort => self.effort = None,
                Param::Thinking if self.thinks_by_reasoning() => {}
                Param::Thinking => self.thinks = None,
                Param::ToolStream => self.tool_stream = false,
                Param::Summary => self.summary = false,
                Param::PromptCacheKey => self.session = None,
                Param::CacheControl => self.shows.marks = false,
            }
        }
    }

    /// Whether the switch of thinking is in the field that may hold an effort.
    fn thinks_by_reasoning(&self) -> bool {
        self.row.thinking == ThinkingField::Reasoning
    }
}
