//! How many tokens a request is, without a tokenizer.

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

/// An estimate of the request's input tokens: system, messages, tools, pictures; at least 1.
pub fn estimate(request: &MessagesRequest<'_>) -> u64 {
    let mut count = Count::default();
    if let Some(system) = &request.system {
        count.tokens += FRAME_TOKENS;
        count.content(system);
    }
    for message in &request.messages {
        count.tokens += FRAME_TOKENS;
        count.content(&message.content);
    }
    for tool in request.tools.iter().flatten() {
        count.tokens += TOOL_FRAME_TOKENS;
        count.text(tool.name.as_deref());
        count.text(tool.description.as_deref());
        count.text(tool.input_schema.map(|schema| schema.get()));
    }
    (count.text.tokens() + count.tokens).max(1)
}

#[derive(Default)]
struct Count {
    text: TextCount,
    tokens: u64,
}

impl Count {
    fn text(&mut self, text: Option<&str>) {
        self.text.add(text.unwrap_or_default());
    }

    fn content(&mut self, content: &Content<'_>) {
        for block in &content.0 {
            self.block(block);
        }
    }

    fn block(&mut self, block: &Block<'_>) {
        match block {
            Block::Text(text) | Block::Thinking { thinking: text, .. } => self.text(Some(text)),
            Block::Image(ImageSource::Base64 { data, .. }) => self.tokens += image::tokens(data),
            Block::Image(ImageSource::Url(_)) => self.tokens += image::MAX_TOKENS,
            Block::Document { title, context, source } => {
                self.text(title.as_deref());
                self.text(context.as_deref());
                self.document(source);
            }
            Block::ToolUse { name, input, .. } => {
                self.tokens += FRAME_TOKENS;
                self.text(Some(name));
                self.text(input.map(|input| input.get()));
            }
            Block::ToolResult { content, .. } => {
                self.tokens += FRAME_TOKENS;
                self.content(content);
            }
            Block::ToolReference { tool_name } => self.text(Some(tool_name)),
            Block::RedactedThinking { .. } => {}
            Block::Other { content, .. } => self.content(content),
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
