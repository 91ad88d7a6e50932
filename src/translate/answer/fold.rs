//! Events → a whole message, for clients that do not stream.

use serde_json::value::RawValue;

use super::Sink;
use crate::anthropic::{
    BlockStart, Citation, ContentBlock, Delta, Event, Message, SafeguardResult, StopReason, Usage,
};
use crate::error::Error;

/// Collects the events of a message.
#[derive(Debug, Default)]
pub struct Fold {
    id: String,
    model: String,
    blocks: Vec<Block>,
    stop: Option<(StopReason, Option<String>)>,
    safeguard_results: Vec<SafeguardResult>,
    usage: Usage,
}

#[derive(Debug)]
enum Block {
    Text(String, Vec<Citation>),
    Thinking { thinking: String, signature: String },
    RedactedThinking { data: String },
    ToolUse { id: String, name: String, json: String },
    ServerToolUse { id: String, name: &'static str, json: String },
    WebSearchToolResult { tool_use_id: String, content: Box<RawValue> },
}

impl Sink for Fold {
    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::MessageStart { message } => {
                self.id = message.id.to_owned();
                self.model = message.model.to_owned();
            }
            Event::ContentBlockStart { content_block, .. } => {
                self.blocks.push(match content_block {
                    BlockStart::Text { .. } => Block::Text(String::new(), Vec::new()),
                    BlockStart::Thinking { .. } => {
                        Block::Thinking { thinking: String::new(), signature: String::new() }
                    }
                    BlockStart::RedactedThinking { data } => {
                        Block::RedactedThinking { data: (*data).to_owned() }
                    }
                    BlockStart::ToolUse { id, name, .. } => Block::ToolUse {
                        id: (*id).to_owned(),
                        name: (*name).to_owned(),
                        json: String::new(),
                    },
                    BlockStart::ServerToolUse { id, name, .. } => {
                        Block::ServerToolUse { id: (*id).to_owned(), name, json: String::new() }
                    }
                    BlockStart::WebSearchToolResult { tool_use_id, content } => {
                        Block::WebSearchToolResult {
                            tool_use_id: (*tool_use_id).to_owned(),
                            content: (*content).to_owned(),
                        }
                    }
                });
            }
            Event::ContentBlockDelta { delta, .. } => match (delta, self.blocks.last_mut()) {
                (Delta::TextDelta { text }, Some(Block::Text(all, _))) => all.push_str(text),
                (Delta::CitationsDelta { citation }, Some(Block::Text(_, all))) => {
                    all.push((*citation).clone());
                }
                (
                    Delta::ThinkingDelta { thinking },
                    Some(Block::Thinking { thinking: all, .. }),
                ) => {
                    all.push_str(thinking);
                }
                (
                    Delta::SignatureDelta { signature },
                    Some(Block::Thinking { signature: all, .. }),
                ) => {
                    all.push_str(signature);
                }
                (
                    Delta::InputJsonDelta { partial_json },
                    Some(Block::ToolUse { json, .. } | Block::ServerToolUse { json, .. }),
                ) => json.push_str(partial_json),
                _ => unreachable!("a delta fits the block that was started last"),
            },
            Event::MessageDelta { delta, usage } => {
                self.stop = Some((delta.stop_reason, delta.stop_sequence.map(str::to_owned)));
                self.safeguard_results = delta.safeguard_results.to_vec();
                self.usage = *usage;
            }
            Event::ContentBlockStop { .. }
            | Event::MessageStop
            | Event::Ping
            | Event::Error { .. } => {}
        }
    }
}

impl Fold {
    /// Bytes of the message so far.
    pub fn bytes(&self) -> usize {
        let lengths = self.blocks.iter().map(|block| match block {
            Block::Text(text, _) => text.len(),
            Block::Thinking { thinking, signature } => thinking.len() + signature.len(),
            Block::RedactedThinking { data } => data.len(),
            Block::ToolUse { id, name, json } => id.len() + name.len() + json.len(),
            Block::ServerToolUse { json, .. } => json.len(),
            Block::WebSearchToolResult { content, .. } => content.get().len(),
        });
        lengths.sum()
    }

    /// The message.
    ///
    /// A tool call that `max_tokens` cut in two is left out: the client must not run it.
    ///
    /// # Errors
    /// [`Error::Protocol`] if the arguments of a tool call are not JSON, or no message ended.
    pub fn into_message(self) -> Result<Message, Error> {
        let Some((stop_reason, stop_sequence)) = self.stop else {
            return Err(Error::protocol("it held no message"));
        };
        let is_finished = matches!(
            stop_reason,
            StopReason::EndTurn | StopReason::StopSequence | StopReason::ToolUse
        );
        let mut content = Vec::with_capacity(self.blocks.len());
        for block in self.blocks {
            content.push(match block {
                Block::Text(text, citations) => ContentBlock::Text { text, citations },
                Block::Thinking { thinking, signature } => {
                    ContentBlock::Thinking { thinking, signature }
                }
                Block::RedactedThinking { data } => ContentBlock::RedactedThinking { data },
                Block::ServerToolUse { id, name, json } => {
                    let input = RawValue::from_string(json).expect("it was made from a value");
                    ContentBlock::ServerToolUse { id, name, input }
                }
                Block::WebSearchToolResult { tool_use_id, content } => {
                    ContentBlock::WebSearchToolResult { tool_use_id, content }
                }
                Block::ToolUse { id, name, json } => match RawValue::from_string(json) {
                    Ok(input) => ContentBlock::ToolUse { id, name, input },
                    // Cut, so there is no call.
                    Err(_) if !is_finished => continue,
                    Err(e) => {
                        return Err(Error::protocol(format!(
                            "the arguments of a call are not JSON: {e}"
                        )));
                    }
                },
            });
        }
        Ok(Message {
            id: self.id,
            kind: "message",
            role: "assistant",
            model: self.model,
            content,
            stop_reason,
            stop_sequence,
            usage: self.usage,
            safeguard_results: self.safeguard_results,
        })
    }
}
