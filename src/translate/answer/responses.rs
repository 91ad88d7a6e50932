//! Events of the Responses API, or a whole response, sorted into the same items as chunks are.
//!
//! An item of the output has a place, `output_index`, by which its pieces are told from those of
//! others. It comes in pieces, or whole when it is done, or both, and then counts once.
//!
//! <https://platform.openai.com/docs/api-reference/responses-streaming>

use std::borrow::Cow;
use std::collections::HashMap;

use super::arguments::json_text;
use super::items::{CallPiece, Content, MAX_BLOCKS, Thinking};
use super::stop_reason::{Finish, finish};
use super::think::Voice;
use super::usage;
use super::{Sink, Translator};
use crate::anthropic::StopReason;
use crate::error::Error;
use crate::openai::{OutputItem, ReasoningItem, Response, ResponsesEvent, SummaryPart};
use crate::translate::refusal::error_in_body;
use crate::translate::stops::HeldText;

/// What has come of the output.
#[derive(Debug, Default)]
pub(super) struct Output {
    /// The places of items that have come, in pieces at least.
    told: HashMap<Option<u64>, Told>,
    /// The part that is being said.
    part: Option<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    InPieces,
    Whole,
}

/// A part of an item: of its content, or of its summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Part {
    voice: Voice,
    output_index: Option<u64>,
    index: Option<u64>,
}

impl Output {
    fn told(&self, output_index: Option<u64>) -> Option<Told> {
        self.told.get(&output_index).copied()
    }

    /// Notes what has come. Items without a place cannot be told apart, so none of them is over.
    fn tell(&mut self, output_index: Option<u64>, told: Told) {
        if told == Told::InPieces || output_index.is_some() {
            self.told.insert(output_index, told);
        } else {
            self.told.remove(&output_index);
        }
    }
}

impl Translator {
    /// Takes an event, or a whole response.
    pub(super) fn responses_event(
        &mut self,
        json: &[u8],
        sink: &mut dyn Sink,
    ) -> Result<(), Error> {
        let it = "an event is not what the Responses API sends";
        let event: ResponsesEvent = match serde_json::from_slice(json) {
            Ok(event) => event,
            Err(e) => return self.mended_chunk(json, &e, it, sink),
        };
        let Some(kind) = event.kind.some() else {
            let response: Response = match serde_json::from_slice(json) {
                Ok(response) => response,
                Err(e) => return self.mended_chunk(json, &e, it, sink),
            };
            let has_output = !response.output.items.is_empty();
            let status = response.status.some().cloned();
            return match status {
                // `{"status":"449","msg":…}`
                Some(status) if status.bytes().all(|b| b.is_ascii_digit()) => {
                    error_in_body(json, self.input_estimate).map_or(Ok(()), Err)
                }
                Some(status) => self.response(response, &status, sink),
                None if has_output => self.response(response, "completed", sink),
                None => match response.error {
                    Some(error) => Err(self.told(error.get().as_bytes())),
                    None => error_in_body(json, self.input_estimate).map_or(Ok(()), Err),
                },
            };
        };
        let at = event.output_index.0;
        let delta = event.delta.some().map(|text| &**text).unwrap_or_default();
        let part = |voice, index| Part { voice, output_index: at, index };
        match &**kind {
            "response.output_item.added" => self.output_item_begins(at, &event.item.0),
            "response.output_item.done" => self.output_item(at, &event.item.0),
            "response.output_text.delta" => {
                self.say_piece(part(Voice::Text, event.content_index.0), delta);
            }
            "response.output_text.annotation.added" => {
                event.annotation.into_iter().for_each(|found| self.refer(found));
            }
            "response.refusal.delta" => {
                self.refused |= !delta.is_empty();
                self.say_piece(part(Voice::Text, event.content_index.0), delta);
            }
            "response.reasoning_summary_text.delta" => {
                self.say_piece(part(Voice::Thinking, event.summary_index.0), delta);
            }
            "response.reasoning_text.delta" => {
                self.say_piece(part(Voice::Thinking, event.content_index.0), delta);
            }
            "response.function_call_arguments.delta" => self.arguments(at, delta),
            "response.function_call_arguments.done" if self.output.told(at).is_none() => {
                self.arguments(at, &event.arguments.map(json_text).unwrap_or_default());
            }
            "response.completed" => return self.response(event.response.0, "completed", sink),
            "response.incomplete" => return self.response(event.response.0, "incomplete", sink),
            "response.failed" => return self.response(event.response.0, "failed", sink),
            "error" => return Err(self.told(json)),
            kind if !kind.starts_with("response.") => {
                return error_in_body(json, self.input_estimate).map_or(Ok(()), Err);
            }
            // An error may follow `response.created`, so the message has not begun with it.
            _ => return Ok(()),
        }
        self.start(sink);
        self.advance(sink)
    }

    /// Takes the response at its end, and ends the message.
    fn response(
        &mut self,
        response: Response<'_>,
        status: &str,
        sink: &mut dyn Sink,
    ) -> Result<(), Error> {
        if let Some(error) = response.error {
            return Err(self.told(error.get().as_bytes()));
        }
        let counts = response.usage.0;
        if counts.input_tokens.0.or(counts.output_tokens.0).is_some() {
            self.counts = usage::of_response(&counts);
        }
        if self.output.told.is_empty() {
            if response.output.is_cut {
                self.items.overflow();
            }
            for (at, item) in response.output.items.iter().enumerate() {
                self.output_item(Some(at as u64), item);
            }
        }
        self.finish_reason = match status {
            "completed" => Some("stop".to_owned()),
            "incomplete" => {
                // Whatever else cut it short, it is no finished turn.
                let reason = response.incomplete_details.0.reason.some();
                let known = reason.filter(|reason| match finish(reason) {
                    Finish::Stop(stop) => {
                        !matches!(stop, StopReason::EndTurn | StopReason::ToolUse)
                    }
                    Finish::Failed => true,
                    Finish::Unknown => false,
                });
                Some(known.map_or("max_output_tokens", |reason| reason).to_owned())
            }
            "failed" | "cancelled" => {
                return Err(Error::upstream(
                    500,
                    format!("the upstream ended its answer with status {status:?}"),
                    Default::default(),
                ));
            }
            _ => None,
        };
        self.finish(sink)
    }

    fn output_item_begins(&mut self, at: Option<u64>, item: &OutputItem<'_>) {
        if item.kind.some().is_some_and(|kind| kind == "function_call") {
            self.function_call(at, item, Cow::Borrowed(""));
        }
    }

    /// Takes an item that is done.
    fn output_item(&mut self, at: Option<u64>, item: &OutputItem<'_>) {
        let told = self.output.told(at);
        if told == Some(Told::Whole) {
            return;
        }
        let is_new = told.is_none();
        let part =
            |voice, index: usize| Part { voice, output_index: at, index: Some(index as u64) };
        match item.kind.some().map(|kind| &**kind) {
            Some("message") => {
                for (i, part_said) in item.content.0.iter().enumerate() {
                    let refusal = part_said.refusal();
                    self.refused |= is_new && refusal.is_some();
                    let said = part_said.text.some().into_iter().chain(refusal);
                    for text in said.filter(|_| is_new) {
                        self.say_piece(part(Voice::Text, i), text);
                    }
                    part_said.annotations.iter().for_each(|found| self.refer(found));
                }
            }
            Some("reasoning") => {
                let parts = item.summary.0.iter().chain(&item.content.0);
                for (i, thought) in parts.filter_map(|part| part.text.some()).enumerate() {
                    if is_new {
                        self.say_piece(part(Voice::Thinking, i), thought);
                    }
                }
                self.carry_reasoning(at, item);
            }
            Some("web_search_call") => {
                let has_failed = item.status.as_ref().and_then(|status| status.some());
                let has_failed = has_failed.is_some_and(|status| status == "failed");
                self.searched(item.action.as_deref().copied(), has_failed);
            }
            Some("function_call") if is_new => {
                let arguments = item.arguments.map(json_text).unwrap_or_default();
                self.function_call(at, item, arguments);
            }
            _ => {}
        }
        self.output.tell(at, Told::Whole);
    }

    /// Appends a piece of text or thinking. Parts of one summary are paragraphs, other parts are
    /// blocks.
    fn say_piece(&mut self, part: Part, text: &str) {
        if text.is_empty() {
            return;
        }
        self.output.tell(part.output_index, Told::InPieces);
        let before = self.output.part.replace(part);
        if before != Some(part) {
            let goes_on = before.is_some_and(|before| {
                before.voice == Voice::Thinking && before.output_index == part.output_index
            });
            match (part.voice, self.items.last()) {
                (Voice::Thinking, Some(Content::Thinking(_))) if goes_on => {
                    self.items.append(Voice::Thinking, "\n\n");
                }
                (Voice::Thinking, Some(Content::Thinking(_))) => {
                    self.items.begin(Content::Thinking(Thinking::default()));
                }
                (Voice::Text, Some(Content::Text(_))) => {
                    self.items.begin(Content::Text(HeldText::default()));
                }
                _ => {}
            }
        }
        match part.voice {
            Voice::Thinking => self.say(Voice::Thinking, text),
            Voice::Text => self.split(text),
        }
    }

    /// Lets the client carry the encrypted reasoning of an item, beside its summary if it was
    /// shown.
    fn carry_reasoning(&mut self, at: Option<u64>, item: &OutputItem<'_>) {
        let was_shown = self
            .output
            .part
            .take()
            .is_some_and(|part| part.voice == Voice::Thinking && part.output_index == at);
        let Some(encrypted_content) = item.encrypted_content.some() else { return };
        if item.summary.0.len() > MAX_BLOCKS {
            return self.items.overflow();
        }
        let summary = item.summary.0.iter().filter_map(|part| part.text.some());
        let reasoning = ReasoningItem {
            id: item.id.some().cloned(),
            summary: summary.map(|text| SummaryPart::SummaryText { text: text.clone() }).collect(),
            encrypted_content: encrypted_content.clone(),
        };
        if !was_shown {
            self.items.begin(Content::Thinking(Thinking::default()));
        }
        if let Some(thinking) = self.items.thinking(true) {
            thinking.cargo.reasoning_item(&reasoning);
        }
    }

    fn function_call(&mut self, at: Option<u64>, item: &OutputItem<'_>, arguments: Cow<'_, str>) {
        self.tool_call(&CallPiece {
            index: at,
            // Some services change it from one event to the next; the place does not change.
            id: item.call_id.some().map(|id| &**id).filter(|_| at.is_none()),
            name: item.name.some().map(|name| &**name),
            arguments,
            ..CallPiece::default()
        });
    }

    fn arguments(&mut self, at: Option<u64>, piece: &str) {
        if !piece.is_empty() {
            self.output.tell(at, Told::InPieces);
            let arguments = Cow::Borrowed(piece);
            self.tool_call(&CallPiece { index: at, arguments, ..CallPiece::default() });
        }
    }
}
