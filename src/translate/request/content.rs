//! Blocks → what a model is shown of them: texts, pictures and files.

use crate::anthropic::{Block, Content as InputContent, DocumentSource, ImageSource, ToolResult};
use crate::json::Escaped;
use crate::openai::{Content, DataUrl, Ephemeral, Joined, Part};
use crate::provider::Provider;

/// What stands for a result that is empty, or that the client did not send.
const NO_OUTPUT: &str = "(no output)";
const NO_RESULT: &str = "(no result was recorded for this call)";

/// What the model can be shown beside text.
#[derive(Debug, Clone, Copy)]
pub struct Shows {
    images: bool,
    image_urls: bool,
    files: bool,
    /// Whether parts can be marked as the end of what is cached. Then every text is a part, since
    /// where a mark stands in one request, none stands in the next.
    pub marks: bool,
}

impl Shows {
    /// What `provider` takes; `images` tells whether the model is shown pictures.
    pub fn new(provider: &Provider, images: bool) -> Shows {
        Shows { images, image_urls: provider.image_urls, files: provider.files, marks: false }
    }

    /// The same where nothing can be marked.
    pub fn unmarked(self) -> Shows {
        Shows { marks: false, ..self }
    }

    fn image(self, source: &ImageSource<'_>) -> bool {
        self.images && (self.image_urls || matches!(source, ImageSource::Base64 { .. }))
    }

    fn document(self, source: &DocumentSource<'_>) -> bool {
        self.files && matches!(source, DocumentSource::Base64 { .. })
    }

    /// Whether a block is more than text to the model.
    pub fn picture(self, block: &Block<'_>) -> bool {
        match block {
            Block::Image(source) => self.image(source),
            Block::Document(document) => self.document(&document.source),
            Block::ToolResult(result) => result.content.0.iter().any(|block| self.picture(block)),
            _ => false,
        }
    }
}

/// A message of the user, or the result of a call, in the making.
pub struct Parts<'a> {
    shows: Shows,
    parts: Vec<Part<'a>>,
}

impl<'a> Parts<'a> {
    pub fn new(shows: Shows) -> Parts<'a> {
        Parts { shows, parts: Vec::new() }
    }

    /// Adds a paragraph.
    pub fn text(&mut self, text: Escaped<'a>) {
        if text.is_empty() {
            return;
        }
        match self.parts.last_mut() {
            Some(Part::Text { text: joined, .. }) if !self.shows.marks => joined.0.push(text),
            _ => self.parts.push(Part::text(text.into())),
        }
    }

    /// Adds a text that is complete.
    pub fn joined(&mut self, text: Joined<'a>) {
        self.parts.push(Part::text(text));
    }

    /// What stands here so far is to be cached, as far as it ends in a text.
    pub fn mark(&mut self) {
        if let Some(Part::Text { cache_control, .. }) = self.parts.last_mut()
            && self.shows.marks
        {
            *cache_control = Some(Ephemeral);
        }
    }

    /// Adds what a block shows.
    pub fn block(&mut self, block: &'a Block<'a>) {
        match block {
            Block::Image(source) if self.shows.image(source) => self.parts.push(image_part(source)),
            Block::Document(document) if self.shows.document(&document.source) => {
                let DocumentSource::Base64 { media_type, data } = &document.source else {
                    unreachable!("document() wants it so");
                };
                if let Some(context) = &document.context {
                    self.text(context.by_ref());
                }
                let name = document.title.as_ref().map(Escaped::by_ref);
                let name = name.unwrap_or_else(|| Escaped::new("document.pdf"));
                self.parts.push(Part::file(name, DataUrl::Base64 { media_type, data }));
            }
            Block::CacheControl => self.mark(),
            block => {
                let mut pieces = Vec::new();
                block_text(block, &mut pieces);
                for text in pieces {
                    self.text(text);
                }
            }
        }
    }

    /// The results of one call, as they are.
    pub fn results(&mut self, results: &[&'a ToolResult<'a>]) {
        for result in results {
            if result.is_error {
                self.text(Escaped::new("Error:"));
            }
            result.content.0.iter().for_each(|block| self.block(block));
        }
        if self.parts.is_empty() {
            self.text(Escaped::new(nothing(results)));
        }
    }

    /// The text of the results of one call. Their pictures are taken into this message, which
    /// follows.
    pub fn results_apart(&mut self, results: &[&'a ToolResult<'a>]) -> Joined<'a> {
        let mut text = Vec::new();
        for result in results {
            self.result_apart(result, &mut text);
        }
        let text = Joined(text);
        if text.is_empty() { Joined::from(Escaped::new(nothing(results))) } else { text }
    }

    /// The text of a result, its pictures into this message.
    pub fn result_apart(&mut self, result: &'a ToolResult<'a>, out: &mut Vec<Escaped<'a>>) {
        if result.is_error {
            out.push(Escaped::new("Error:"));
        }
        for block in &result.content.0 {
            match block {
                Block::Image(source) if self.shows.image(source) => {
                    out.push(Escaped::new("(the image is in the next message)"));
                    self.block(block);
                }
                Block::Document(document) if self.shows.document(&document.source) => {
                    out.push(Escaped::new("(the document is in the next message)"));
                    self.block(block);
                }
                block => block_text(block, out),
            }
        }
    }

    /// The content, unless there is none. One that has only text is a string.
    pub fn finish(mut self) -> Option<Content<'a>> {
        match &mut self.parts[..] {
            [] => None,
            [Part::Text { text, .. }] if !self.shows.marks => {
                Some(Content::Text(std::mem::take(text)))
            }
            _ => Some(Content::Parts(self.parts)),
        }
    }
}

/// What stands in the place of results that say nothing.
fn nothing(results: &[&ToolResult<'_>]) -> &'static str {
    if results.is_empty() { NO_RESULT } else { NO_OUTPUT }
}

/// What a system message between the others becomes.
pub(super) fn reminder(texts: &Joined<'_>) -> Escaped<'static> {
    let (begin, end) = (r"<system-reminder>\n", r"\n</system-reminder>");
    Escaped::concat([begin].into_iter().chain(texts.pieces()).chain([end]))
}

fn image_part<'a>(source: &'a ImageSource<'a>) -> Part<'a> {
    Part::image(match source {
        ImageSource::Base64 { media_type, data } => DataUrl::Base64 { media_type, data },
        ImageSource::Url(url) => DataUrl::Url(url),
    })
}

/// The texts of `content`, without empty ones.
pub(super) fn texts<'a>(content: &'a InputContent<'a>, out: &mut Vec<Escaped<'a>>) {
    for block in &content.0 {
        block_text(block, out);
    }
}

/// What a block says in words; what it can't say is named, so that nothing is lost in silence.
pub(super) fn block_text<'a>(block: &'a Block<'a>, out: &mut Vec<Escaped<'a>>) {
    match block {
        Block::Text(text) if text.is_empty() => {}
        Block::Text(text) => out.push(text.by_ref()),
        Block::Image(source) => out.push(match &**source {
            ImageSource::Url(url) => Escaped::new(&format!("[image at {}: not shown]", url.text())),
            ImageSource::Base64 { .. } => {
                Escaped::new("[image: not shown, this model reads text only]")
            }
        }),
        Block::Document(document) => {
            if let Some(title) = &document.title {
                out.push(Escaped::new(&format!("[document: {}]", title.text())));
            }
            out.extend(document.context.as_ref().map(Escaped::by_ref));
            match &document.source {
                DocumentSource::Text(text) => out.push(text.by_ref()),
                DocumentSource::Content(content) => texts(content, out),
                DocumentSource::Url(url) => {
                    let note = format!("[document at {}: not fetched]", url.text());
                    out.push(Escaped::new(&note));
                }
                DocumentSource::Base64 { media_type, data } => out.push(Escaped::new(&format!(
                    "[document: {}, {} bytes, not shown: this provider takes no files]",
                    media_type.text(),
                    data.text_len() / 4 * 3
                ))),
            }
        }
        Block::ToolReference { tool_name } => {
            let note = format!("Tool {tool_name} is loaded and can be called now.");
            out.push(Escaped::new(&note));
        }
        Block::Unknown { kind } => unknown(kind, out),
        Block::Other(other) => {
            let before = out.len();
            texts(&other.content, out);
            if out.len() == before {
                unknown(&other.kind, out);
            }
        }
        Block::ToolUse(call) => {
            let input = call.input.map_or("{}", |input| input.get());
            out.push(Escaped::new(&format!("[call of {}: {input}]", call.name)));
        }
        Block::ToolResult(result) => texts(&result.content, out),
        Block::Thinking(_) | Block::RedactedThinking { .. } | Block::CacheControl => {}
    }
}

/// Names a block that cannot be told in words, and many of a kind once.
fn unknown<'a>(kind: &str, out: &mut Vec<Escaped<'a>>) {
    let note = format!("[{kind}: not shown, this provider has no such block]");
    let note = Escaped::new(&note);
    if out.last() != Some(&note) {
        out.push(note);
    }
}
