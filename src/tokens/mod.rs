//! How many tokens a request is, without a tokenizer.

#![forbid(unsafe_code)]

mod image;
mod text;
mod weights;

use crate::anthropic::{Block, Content, DocumentSource, ImageSource, MessagesRequest};
use crate::json::{self, Escaped};
pub use text::TextCount;

/// What a page of a PDF costs, about, and how many bytes of base64 a page has, about.
const PAGE_TOKENS: u64 = 2000;
const PAGE_BYTES: u64 = 60_000;
/// Role and separators of a message, or frame of a call and of its result.
const FRAME_TOKENS: u64 = 4;
/// `{"type":"function","function":{"name":…,"description":…,"parameters":…}}`
const TOOL_FRAME_TOKENS: u64 = 14;

/// Of a text that is longer than this, a rough estimate reads a window of each stride.
const STRIDE_BYTES: usize = 512;
const WINDOW_BYTES: usize = 48;

/// The part of a picture with escapes that is decoded: more than stands before its size.
const HEAD_BYTES: usize = 1 << 20;

/// A text with escapes is decoded in pieces of about this length.
const PIECE_BYTES: usize = 16 << 10;

/// An estimate of the request's input tokens: system, messages, tools, pictures; at least 1.
pub fn estimate(request: &MessagesRequest<'_>) -> u64 {
    Count::default().request(request)
}

/// The same from samples of long texts, for who has no time to read them all: every message needs a
/// number until, and unless, the provider tells its own.
pub fn rough_estimate(request: &MessagesRequest<'_>) -> u64 {
    Count { samples: true, ..Count::default() }.request(request)
}

#[derive(Default)]
struct Count {
    text: TextCount,
    tokens: u64,
    /// Long texts are not read whole.
    samples: bool,
}

impl Count {
    fn request(mut self, request: &MessagesRequest<'_>) -> u64 {
        if let Some(system) = &request.system {
            self.tokens += FRAME_TOKENS;
            self.content(system);
        }
        for message in &request.messages {
            self.tokens += FRAME_TOKENS;
            self.content(&message.content);
        }
        for tool in request.tools.iter().flatten() {
            self.tokens += TOOL_FRAME_TOKENS;
            self.text(tool.name.as_deref());
            self.some(tool.description.as_ref());
            self.text(tool.input_schema.map(|schema| schema.get()));
        }
        (self.text.tokens() + self.tokens).max(1)
    }

    fn text(&mut self, text: Option<&str>) {
        let text = text.unwrap_or_default();
        if self.reads_all_of(text.len()) {
            self.text.add(text);
        } else {
            self.sample(text, &mut |window, sample| sample.add(window));
        }
    }

    fn some(&mut self, text: Option<&Escaped<'_>>) {
        text.into_iter().for_each(|text| self.escaped(text));
    }

    fn escaped(&mut self, text: &Escaped<'_>) {
        if self.reads_all_of(text.len()) {
            text.pieces(PIECE_BYTES).for_each(|piece| self.text.add(&piece));
        } else {
            self.sample(text.inner(), &mut |window, sample| sample.add(&json::decoded(window)));
        }
    }

    fn reads_all_of(&self, length: usize) -> bool {
        !self.samples || length <= STRIDE_BYTES
    }

    /// Counts windows of a long text.
    fn sample(&mut self, text: &str, add: &mut dyn FnMut(&str, &mut TextCount)) {
        let mut sample = TextCount::default();
        let mut read = 0;
        for begin in (0..text.len()).step_by(STRIDE_BYTES) {
            let begin = boundary(text, begin);
            let end = boundary(text, (begin + WINDOW_BYTES).min(text.len()));
            add(&text[begin..end], &mut sample);
            read += end - begin;
        }
        self.tokens += sample.tokens() * text.len() as u64 / (read as u64).max(1);
    }

    fn content(&mut self, content: &Content<'_>) {
        for block in &content.0 {
            self.block(block);
        }
    }

    fn block(&mut self, block: &Block<'_>) {
        match block {
            Block::Text(text) => self.escaped(text),
            Block::Thinking(thought) => self.escaped(&thought.thinking),
            Block::Image(source) => {
                self.tokens += match &**source {
                    ImageSource::Base64 { data, .. } => image::tokens(&data.beginning(HEAD_BYTES)),
                    ImageSource::Url(_) => image::MAX_TOKENS,
                }
            }
            Block::Document(document) => {
                self.some(document.title.as_ref());
                self.some(document.context.as_ref());
                self.document(&document.source);
            }
            Block::ToolUse(call) => {
                self.tokens += FRAME_TOKENS;
                self.text(Some(&call.name));
                self.text(call.input.map(|input| input.get()));
            }
            Block::ToolResult(result) => {
                self.tokens += FRAME_TOKENS;
                self.content(&result.content);
            }
            Block::ToolReference { tool_name } => self.text(Some(tool_name)),
            Block::RedactedThinking { .. } | Block::Unknown { .. } | Block::CacheControl => {}
            Block::Other(other) => self.content(&other.content),
        }
    }

    fn document(&mut self, source: &DocumentSource<'_>) {
        match source {
            DocumentSource::Base64 { data, .. } => {
                self.tokens += PAGE_TOKENS * (data.text_len() as u64).div_ceil(PAGE_BYTES).max(1);
            }
            DocumentSource::Text(text) => self.escaped(text),
            DocumentSource::Content(content) => self.content(content),
            DocumentSource::Url(_) => self.tokens += PAGE_TOKENS,
        }
    }
}

/// The end of a character at `at` or right before it.
fn boundary(text: &str, at: usize) -> usize {
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}
