//! Chunks of chat completions, or a whole completion, sorted into items.

use serde_json::value::RawValue;

use super::arguments::json_text;
use super::items::CallPiece;
use super::stop_reason::is_none;
use super::think::Voice;
use super::usage::{self, Counts};
use super::{Sink, Translator};
use crate::error::Error;
use crate::openai::{Choice, Chunk, ContentPiece, FunctionDelta, Later, ToolDelta, UpstreamUsage};
use crate::translate::carry::{self, SIGNATURE};
use crate::translate::refusal::error_in_body;

impl Translator {
    /// Takes a chunk, or a whole completion.
    pub(super) fn completion_chunk(
        &mut self,
        json: &[u8],
        sink: &mut impl Sink,
    ) -> Result<(), Error> {
        let chunk: Chunk = match serde_json::from_slice(json) {
            Ok(chunk) => chunk,
            Err(e) => {
                let it = "a chunk is not what chat completions send";
                return self.mended_chunk(json, &e, it, sink);
            }
        };
        let groq = chunk.x_groq.read();
        let choice = chunk.choices.0;
        let of_choice = choice.as_ref().and_then(|choice| choice.error);
        let mut errors = [chunk.error, groq.error, of_choice].into_iter().flatten();
        if let Some(error) = errors.find(|error| !is_nothing(error)) {
            return Err(self.told(error.get().as_bytes()));
        }
        // A chunk of counts has them; a body that has neither may tell what went wrong.
        if choice.is_none() && counts(chunk.usage).is_none() {
            if let Some(data) = chunk.data.filter(|data| is_completion(data)) {
                return self.completion_chunk(data.get().as_bytes(), sink);
            }
            if let Some(error) = error_in_body(json, self.input_estimate) {
                return Err(error);
            }
        }
        let of_choice = choice.as_ref().map(|choice| choice.usage);
        let mut usages = [Some(chunk.usage), Some(groq.usage), of_choice].into_iter().flatten();
        if let Some(counts) = usages.find_map(counts) {
            self.counts = counts;
        }
        for found in [chunk.citations, chunk.search_results, chunk.web_search] {
            found.into_iter().for_each(|found| self.sources.take(found));
        }
        if let Some(choice) = choice {
            self.start(sink);
            self.choice(choice);
            self.advance(sink)?;
        }
        Ok(())
    }

    /// Sorts the content of a choice into items.
    fn choice(&mut self, choice: Choice<'_>) {
        let delta = match (choice.delta.0, choice.message.0) {
            (Some(delta), _) => delta,
            (None, message) => message.map(|message| *message).unwrap_or_default(),
        };
        let fields = [(&delta.reasoning_content, SIGNATURE), (&delta.reasoning, carry::REASONING)];
        for (thought, signature) in fields {
            if let Some(thought) = thought.some() {
                self.say(Voice::Thinking, thought);
                self.has_reasoning = true;
                self.items.signature = signature;
                // Services that send both fields send the same in both.
                break;
            }
        }
        let details = delta.reasoning_details.map(carry::details).unwrap_or_default();
        for detail in details {
            if !self.has_reasoning {
                self.say(Voice::Thinking, carry::shown(&detail));
            }
            if let Some(thinking) = self.items.thinking(carry::says_something(&detail)) {
                thinking.cargo.detail(detail);
            }
        }
        for piece in delta.content.as_slice() {
            match piece {
                ContentPiece::Thinking(text) => self.say(Voice::Thinking, text),
                ContentPiece::Text(text) => self.split(text),
            }
        }
        if let Some(refusal) = delta.refusal.some() {
            self.refused = true;
            self.say(Voice::Text, refusal);
        }
        delta.annotations.into_iter().for_each(|found| self.refer(found));
        delta.executed_tools.into_iter().for_each(|found| self.sources.take(found));
        if delta.tool_calls.is_cut {
            self.items.overflow();
        }
        for call in &delta.tool_calls.items {
            self.tool_call(&CallPiece::from(call));
        }
        if let Some(function) = delta.function_call.0 {
            self.tool_call(&CallPiece::default().with_function(&function));
        }
        if let Some(reason) = choice.finish_reason.some().filter(|reason| !is_none(reason)) {
            self.finish_reason = Some(reason.clone().into_owned());
        }
        for stop in [choice.stop_reason, choice.matched_stop] {
            if let Some(stop) = stop.some()
                && self.stop_sequences.iter().any(|asked| *asked == **stop)
            {
                self.matched_stop = Some(stop.clone().into_owned());
            }
        }
    }
}

/// What a usage counts, if it counts anything. In a frame of its own, since few chunks have one.
#[inline(never)]
fn counts(usage: Later<'_, UpstreamUsage>) -> Option<Counts> {
    let usage = usage.read();
    usage.has_counts().then(|| usage::translate(&usage))
}

/// Whether what an envelope holds is a chunk, or a whole completion.
#[inline(never)]
fn is_completion(data: &RawValue) -> bool {
    let is_object = data.get().starts_with('{');
    is_object
        && serde_json::from_str(data.get()).is_ok_and(|inner: Chunk| inner.choices.0.is_some())
}

/// Whether an error is none: `false`, `""`, `{}`.
fn is_nothing(error: &RawValue) -> bool {
    matches!(error.get(), "null" | "false" | "0" | "\"\"" | "{}" | "[]")
}

impl<'a> CallPiece<'a> {
    fn with_function(self, function: &'a FunctionDelta<'a>) -> CallPiece<'a> {
        CallPiece {
            name: function.name.some().map(|name| &**name),
            arguments: function.arguments.map(json_text).unwrap_or_default(),
            ..self
        }
    }
}

impl<'a> From<&'a ToolDelta<'a>> for CallPiece<'a> {
    fn from(delta: &'a ToolDelta<'a>) -> CallPiece<'a> {
        let signature = &delta.extra_content.0.google.0.thought_signature;
        let piece = CallPiece {
            index: delta.index.0,
            id: delta.id.some().map(|id| &**id),
            thought_signature: signature.some().map(|signature| &**signature),
            ..CallPiece::default()
        };
        match &delta.function.0 {
            Some(function) => piece.with_function(function),
            None => piece,
        }
    }
}
