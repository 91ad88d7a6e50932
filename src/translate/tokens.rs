//! How many tokens a request is, without a tokenizer: bytes of what the model gets to read, by four.

use crate::anthropic::{Block, Content, DocumentSource, MessagesRequest};

/// What a picture costs, about: Anthropic's (width × height) / 750 for a screen-sized one.
const IMAGE_TOKENS: u64 = 1600;
/// What a page of a PDF costs, about, and how many bytes of base64 a page has, about.
const PAGE_TOKENS: u64 = 2000;
const PAGE_BYTES: u64 = 60_000;
/// Role and separators of a message, or frame of a tool.
const FRAME_TOKENS: u64 = 4;

/// An estimate of the request's input tokens: system, messages, tools, pictures; at least 1.
pub fn estimate(request: &MessagesRequest<'_>) -> u64 {
    let mut count = Count::default();
    if let Some(system) = &request.system {
        count.content(system);
    }
    for message in &request.messages {
        count.tokens += FRAME_TOKENS;
        count.content(&message.content);
    }
    for tool in request.tools.iter().flatten() {
        count.tokens += FRAME_TOKENS;
        count.text(tool.name.as_deref());
        count.text(tool.description.as_deref());
        count.text(tool.input_schema.map(|schema| schema.get()));
    }
    (count.bytes.div_ceil(4) + count.tokens).max(1)
}

#[derive(Default)]
struct Count {
    bytes: u64,
    tokens: u64,
}

impl Count {
    fn text(&mut self, text: Option<&str>) {
        self.bytes += text.map_or(0, str::len) as u64;
    }

    fn content(&mut self, content: &Content<'_>) {
        for block in &content.0 {
            self.block(block);
        }
    }

    fn block(&mut self, block: &Block<'_>) {
        match block {
            Block::Text(text) | Block::Thinking { thinking: text, .. } => self.text(Some(text)),
            Block::Image(_) => self.tokens += IMAGE_TOKENS,
            Block::Document { source, .. } => match source {
                DocumentSource::Base64 { data, .. } => {
                    self.tokens += PAGE_TOKENS * (data.len() as u64).div_ceil(PAGE_BYTES).max(1);
                }
                DocumentSource::Text(text) => self.text(Some(text)),
                DocumentSource::Content(content) => self.content(content),
                DocumentSource::Url(_) => self.tokens += PAGE_TOKENS,
            },
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
}
