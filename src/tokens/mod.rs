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

/// What is longer than this a rough estimate reads a window of each stride of, which is as long as
/// a window may be at most for so many of them: what they are off by does not depend on how many
/// more there could be.
const SHORT_BYTES: usize = 512;
const WINDOW_BYTES: usize = 48;
const WINDOWS: usize = 256;

/// The part of a picture with escapes that is decoded: more than stands before its size.
const HEAD_BYTES: usize = 1 << 20;

/// A text with escapes is decoded in pieces of about this length.
const PIECE_BYTES: usize = 16 << 10;

/// An estimate of the request's input tokens: system, messages, tools, pictures; at least 1.
pub fn estimate(request: &MessagesRequest<'_>) -> u64 {
    let mut count = Count::default();
    each_part(request, &mut |part| count.add(part));
    count.tokens()
}

/// The same from samples of long texts, for who has no time to read them all: every message needs a
/// number until, and unless, the provider tells its own.
pub fn rough_estimate(request: &MessagesRequest<'_>) -> u64 {
    let mut bytes = 0;
    each_part(request, &mut |part| {
        let length = part.written().map_or(0, str::len);
        bytes += if length > SHORT_BYTES { length } else { 0 };
    });
    let mut count = Count::default();
    let mut samples = Samples::of(bytes);
    each_part(request, &mut |part| match part.written() {
        Some(text) if text.len() > SHORT_BYTES => {
            samples.add(text, matches!(part, Part::Escaped(_)));
        }
        _ => count.add(part),
    });
    count.tokens += samples.tokens();
    count.tokens()
}

/// Something of a request that costs tokens.
enum Part<'a> {
    Text(&'a str),
    Escaped(&'a Escaped<'a>),
    Image(&'a ImageSource<'a>),
    Tokens(u64),
}

impl Part<'_> {
    /// A text as it is written.
    fn written(&self) -> Option<&str> {
        match self {
            Part::Text(text) => Some(text),
            Part::Escaped(text) => Some(text.inner()),
            Part::Image(_) | Part::Tokens(_) => None,
        }
    }
}

#[derive(Default)]
struct Count {
    text: TextCount,
    tokens: u64,
}

impl Count {
    fn add(&mut self, part: Part<'_>) {
        match part {
            Part::Text(text) => self.text.add(text),
            Part::Escaped(text) => {
                text.pieces(PIECE_BYTES).for_each(|piece| self.text.add(&piece));
            }
            Part::Image(ImageSource::Base64 { data, .. }) => {
                self.tokens += image::tokens(&data.beginning(HEAD_BYTES));
            }
            Part::Image(ImageSource::Url(_)) => self.tokens += image::MAX_TOKENS,
            Part::Tokens(tokens) => self.tokens += tokens,
        }
    }

    fn tokens(&self) -> u64 {
        (self.text.tokens() + self.tokens).max(1)
    }
}

/// Windows of long texts, as far from each other as all of them together are long.
struct Samples {
    stride: usize,
    /// How much of the next text comes before the next window.
    ahead: usize,
    read: usize,
    text: TextCount,
    bytes: usize,
}

impl Samples {
    /// For texts of so many bytes.
    fn of(bytes: usize) -> Samples {
        let stride = (bytes / WINDOWS).max(SHORT_BYTES);
        Samples { stride, ahead: 0, read: 0, text: TextCount::default(), bytes: 0 }
    }

    fn add(&mut self, text: &str, is_escaped: bool) {
        self.bytes += text.len();
        while self.ahead < text.len() {
            let begin = boundary(text, self.ahead);
            let end = boundary(text, (begin + WINDOW_BYTES).min(text.len()));
            let window = &text[begin..end];
            match is_escaped {
                true => self.text.add(&json::decoded(window)),
                false => self.text.add(window),
            }
            self.read += window.len();
            self.ahead += self.stride;
        }
        self.ahead -= text.len();
    }

    /// The tokens of all of the texts.
    fn tokens(&self) -> u64 {
        let (bytes, read) = (self.bytes as u64, self.read.max(1) as u64);
        self.text.tokens() * bytes / read
    }
}

/// Calls `each` with everything of a request that costs tokens.
fn each_part<'a>(request: &'a MessagesRequest<'a>, each: &mut dyn FnMut(Part<'a>)) {
    if let Some(system) = &request.system {
        each(Part::Tokens(FRAME_TOKENS));
        content(system, each);
    }
    for message in &request.messages {
        each(Part::Tokens(FRAME_TOKENS));
        content(&message.content, each);
    }
    for tool in request.tools.iter().flatten() {
        each(Part::Tokens(TOOL_FRAME_TOKENS));
        tool.name.iter().for_each(|name| each(Part::Text(name)));
        tool.description.iter().for_each(|text| each(Part::Escaped(text)));
        tool.input_schema.iter().for_each(|schema| each(Part::Text(schema.get())));
    }
}

fn content<'a>(content: &'a Content<'a>, each: &mut dyn FnMut(Part<'a>)) {
    content.0.iter().for_each(|part| block(part, each));
}

fn block<'a>(block: &'a Block<'a>, each: &mut dyn FnMut(Part<'a>)) {
    match block {
        Block::Text(text) => each(Part::Escaped(text)),
        Block::Thinking(thought) => each(Part::Escaped(&thought.thinking)),
        Block::Image(source) => each(Part::Image(source)),
        Block::Document(document) => {
            document.title.iter().for_each(|text| each(Part::Escaped(text)));
            document.context.iter().for_each(|text| each(Part::Escaped(text)));
            match &document.source {
                DocumentSource::Base64 { data, .. } => {
                    let pages = (data.text_len() as u64).div_ceil(PAGE_BYTES).max(1);
                    each(Part::Tokens(PAGE_TOKENS * pages));
                }
                DocumentSource::Text(text) => each(Part::Escaped(text)),
                DocumentSource::Content(blocks) => content(blocks, each),
                DocumentSource::Url(_) => each(Part::Tokens(PAGE_TOKENS)),
            }
        }
        Block::ToolUse(call) => {
            each(Part::Tokens(FRAME_TOKENS));
            each(Part::Text(&call.name));
            call.input.iter().for_each(|input| each(Part::Text(input.get())));
        }
        Block::ToolResult(result) => {
            each(Part::Tokens(FRAME_TOKENS));
            content(&result.content, each);
        }
        Block::ToolReference { tool_name } => each(Part::Text(tool_name)),
        Block::RedactedThinking { .. } | Block::Unknown { .. } | Block::CacheControl => {}
        Block::Other(other) => content(&other.content, each),
    }
}

/// The end of a character at `at` or right before it.
fn boundary(text: &str, at: usize) -> usize {
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}
