//! Chunks of chat completions, or a whole completion, sorted into items.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::arguments::json_text;
use super::items::CallPiece;
use super::stop_reason::is_none;
use super::think::Voice;
use super::usage::{self, Counts};
use super::{Sink, Translator};
use crate::error::Error;
use crate::json::unescaped;
use crate::openai::{
    Choice, Chunk, ContentPiece, FunctionDelta, Later, Piece, ToolDelta, UpstreamUsage,
};
use crate::translate::carry::{self, SIGNATURE};
use crate::translate::refusal::error_in_body;

/// What a text without its escapes is kept room for, between one piece and the next.
const SCRATCH_BYTES: usize = 4 << 10;

impl Translator {
    /// Takes a chunk, or a whole completion.
    pub(super) fn completion_chunk(
        &mut self,
        json: &[u8],
        sink: &mut dyn Sink,
    ) -> Result<(), Error> {
        // Halves of characters take all of the way.
        if !self.is_mended
            && self.half.is_none()
            && let Some(taken) = self.piece(json, sink)
        {
            return taken;
        }
        self.full_chunk(json, sink)
    }

    /// Takes a chunk that says one thing. `None` if it is another.
    fn piece(&mut self, json: &[u8], sink: &mut dyn Sink) -> Option<Result<(), Error>> {
        let piece = Piece::read(json)?;
        let mut scratch = std::mem::take(&mut self.scratch);
        let said = match piece {
            Piece::Nothing => Some(""),
            Piece::Content(text)
            | Piece::ReasoningContent(text)
            | Piece::Reasoning(text)
            | Piece::Arguments { text, .. } => unescaped(text, &mut scratch),
        };
        if let Some(said) = said {
            self.start(sink);
            match piece {
                Piece::Nothing => {}
                Piece::Content(_) => self.split(said),
                Piece::ReasoningContent(_) => self.thought(said, SIGNATURE),
                Piece::Reasoning(_) => self.thought(said, carry::REASONING),
                Piece::Arguments { index, .. } => {
                    let arguments = Cow::Borrowed(said);
                    self.tool_call(&CallPiece { index, arguments, ..CallPiece::default() });
                }
            }
        }
        let is_piece = said.is_some();
        scratch.shrink_to(SCRATCH_BYTES);
        self.scratch = scratch;
        is_piece.then(|| self.advance(sink))
    }

    /// Takes what has more to say.
    #[inline(never)]
    fn full_chunk(&mut self, json: &[u8], sink: &mut dyn Sink) -> Result<(), Error> {
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

    fn thought(&mut self, thought: &str, signature: &'static str) {
        self.say(Voice::Thinking, thought);
        self.has_reasoning = true;
        self.items.signature = signature;
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
                self.thought(thought, signature);
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
    // All chunks are read from bytes: for a text, all that reads one would be compiled again.
    let data = data.get().as_bytes();
    is_object && serde_json::from_slice(data).is_ok_and(|inner: Chunk| inner.choices.0.is_some())
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

#[cfg(test)]
mod tests {
    use crate::openai::Dialect;
    use crate::sse::Decoder;
    use crate::translate::{Stops, ToolNames, Translator};

    macro_rules! golden {
        ($($name:literal)*) => {
            [$(include_bytes!(concat!("../../../tests/golden/stream/", $name, ".openai.sse"))
                as &[u8]),*]
        };
    }

    /// The chunks of golden streams of all kinds.
    fn golden() -> Vec<Vec<Vec<u8>>> {
        let streams = golden!(
            "arguments_as_an_object" "arguments_with_braces_in_strings"
            "arguments_with_control_characters" "azure_first_chunk_without_choices"
            "choices_of_another_type" "content_and_finish_in_one_chunk"
            "control_characters_on_the_wire" "empty_deltas" "error_inside_a_call"
            "error_of_groq" "fields_of_other_types" "halves_of_characters"
            "halves_of_characters_in_arguments" "invalid_json" "mistral_content_array" "nulls"
            "parallel_calls_interleaved" "parallel_calls_in_one_chunk" "plain_text" "reasoning"
            "reasoning_content" "reasoning_details" "reasoning_in_both_fields"
            "role_in_every_chunk" "second_choice_is_ignored" "sources_of_a_search"
            "stop_sequence_not_sent" "text_between_the_pieces_of_a_call" "think_tags_in_pieces"
            "thinking_between_calls" "unicode_and_escapes" "usage_in_every_chunk"
        );
        let chunks = |stream: &[u8]| {
            let mut decoder = Decoder::default();
            decoder.feed(stream);
            let mut chunks = Vec::new();
            while let Ok(Some(frame)) = decoder.next_frame() {
                chunks.push(frame.data.to_vec());
            }
            chunks
        };
        streams.into_iter().map(chunks).collect()
    }

    /// What becomes of chunks: events, or an error.
    fn said(chunks: &[Vec<u8>], in_full: bool) -> String {
        let (id, model) = ("msg_1".to_owned(), "m".to_owned());
        let (names, stops) = (ToolNames::default(), Stops::new(["stop".to_owned()]));
        let dialect = Dialect::ChatCompletions;
        let mut translator = Translator::new(dialect, id, model, names, vec![], stops, 1);
        let mut out = Vec::new();
        for chunk in chunks {
            let taken = match in_full {
                true => translator.full_chunk(chunk, &mut out),
                false => translator.completion_chunk(chunk, &mut out),
            };
            if let Err(error) = taken {
                out.extend_from_slice(format!("{error:?}\n").as_bytes());
            }
        }
        let finished = translator.finish(&mut out);
        format!("{}{finished:?} {:?}", String::from_utf8_lossy(&out), translator.usage())
    }

    /// Chunks that say one thing are read another way than the others, to the same end.
    #[test]
    fn a_piece_is_what_the_whole_chunk_would_be() {
        let streams = golden();
        let mut state = 1_u64;
        let mut below = |end: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as usize % end
        };
        for chunks in &streams {
            assert_eq!(said(chunks, false), said(chunks, true));
            for _ in 0..20 {
                let mut damaged = chunks.clone();
                for _ in 0..=below(3) {
                    let Some(chunk) = damaged.get_mut(below(chunks.len().max(1))) else {
                        continue;
                    };
                    if chunk.is_empty() {
                        continue;
                    }
                    let at = below(chunk.len());
                    const BYTES: &[u8] = b"\"\\{}[],:0-.ntu\n \xff\xc3";
                    match below(4) {
                        0 => drop(chunk.remove(at)),
                        1 => chunk.insert(at, BYTES[below(BYTES.len())]),
                        2 => chunk[at] = BYTES[below(BYTES.len())],
                        _ => chunk.truncate(at),
                    }
                }
                assert_eq!(said(&damaged, false), said(&damaged, true), "{damaged:?}");
            }
        }
    }
}
