//! How many tokens a request is, without a tokenizer.

#![forbid(unsafe_code)]

mod image;
mod text;
mod weights;

use crate::anthropic::{Block, Content, DocumentSource, ImageSource, MessagesRequest};
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
            self.text(tool.description.as_deref());
            self.text(tool.input_schema.map(|schema| schema.get()));
        }
        (self.text.tokens() + self.tokens).max(1)
    }

    fn text(&mut self, text: Option<&str>) {
        let text = text.unwrap_or_default();
        if !self.samples || text.len() <= STRIDE_BYTES {
            self.text.add(text);
            return;
        }
        let mut sample = TextCount::default();
        let mut read = 0;
        for begin in (0..text.len()).step_by(STRIDE_BYTES) {
            let begin = boundary(text, begin);
            let end = boundary(text, (begin + WINDOW_BYTES).min(text.len()));
            sample.add(&text[begin..end]);
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
            Block::Text(text) => self.text(Some(text)),
            Block::Thinking(thought) => self.text(Some(&thought.thinking)),
            Block::Image(source) => {
                self.tokens += match &**source {
                    ImageSource::Base64 { data, .. } => image::tokens(data),
                    ImageSource::Url(_) => image::MAX_TOKENS,
                }
            }
            Block::Document(document) => {
                self.text(document.title.as_deref());
                self.text(document.context.as_deref());
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
                self.tokens += PAGE_TOKENS * (data.len() as u64).div_ceil(PAGE_BYTES).max(1);
            }
            DocumentSource::Text(text) => self.text(Some(text)),
            DocumentSource::Content(content) => self.content(content),
            DocumentSource::Url(_) => self.tokens += PAGE_TOKENS,
        }
    }
}

/// The end of a character at `at` or right before it.
fn boundary(text: &str, at: usize) -> usize {
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}
