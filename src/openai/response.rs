//! A chunk of a stream, or a whole completion, which is read as one chunk.
//!
//! Services send `null`, a number or an object where the reference has a string, so everything is
//! optional here and a field of another type counts as absent: one odd field must not cost the
//! answer.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::Deserializer;
use serde_json::value::RawValue;

use super::lenient::{Collect, First, Later, Lax, List, Maybe, Number, Text, collect};

#[derive(Debug, Default, Deserialize)]
pub struct Chunk<'a> {
    /// Only one is ever asked for.
    #[serde(borrow, default)]
    pub choices: First<Choice<'a>>,
    #[serde(borrow, default)]
    pub usage: Later<'a, UpstreamUsage>,
    /// Groq puts usage and errors of a stream here.
    #[serde(borrow, default)]
    pub x_groq: Later<'a, GroqExtra<'a>>,
    /// An error inside a stream, or in the body of a 200.
    #[serde(borrow, default)]
    pub error: Option<&'a RawValue>,
    /// Gateways put the whole of it into an envelope: `{"success":true,"data":{…}}`.
    #[serde(borrow, default)]
    pub data: Option<&'a RawValue>,
    /// What a search has found: xAI's, Perplexity's and Z.ai's lists.
    #[serde(borrow, default)]
    pub citations: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub search_results: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub web_search: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
pub struct GroqExtra<'a> {
    #[serde(borrow, default)]
    pub usage: Later<'a, UpstreamUsage>,
    #[serde(borrow, default)]
    pub error: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
pub struct Choice<'a> {
    #[serde(borrow, default)]
    pub delta: Maybe<ChoiceDelta<'a>>,
    /// In place of `delta` in a whole completion; some services send both.
    #[serde(borrow, default)]
    pub message: Maybe<Box<ChoiceDelta<'a>>>,
    #[serde(borrow, default)]
    pub finish_reason: Text<'a>,
    /// OpenRouter puts it here too.
    #[serde(borrow, default)]
    pub error: Option<&'a RawValue>,
    /// Moonshot: in the last chunk, in the place of the chunk's own.
    #[serde(borrow, default)]
    pub usage: Later<'a, UpstreamUsage>,
    /// vLLM: the stop string that was met (or a token id).
    #[serde(borrow, default)]
    pub stop_reason: Text<'a>,
    /// SGLang: the same.
    #[serde(borrow, default)]
    pub matched_stop: Text<'a>,
}

/// `delta` of a chunk or `message` of a whole completion.
#[derive(Debug, Default, Deserialize)]
pub struct ChoiceDelta<'a> {
    #[serde(borrow, default)]
    pub content: Pieces<'a>,
    #[serde(borrow, default)]
    pub reasoning_content: Text<'a>,
    #[serde(borrow, default)]
    pub reasoning: Text<'a>,
    /// OpenRouter's form of the reasoning, in pieces.
    #[serde(borrow, default)]
    pub reasoning_details: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub refusal: Text<'a>,
    /// What a search has found for the text.
    #[serde(borrow, default)]
    pub annotations: Option<&'a RawValue>,
    /// What Groq's compound has run, with what its searches have found.
    #[serde(borrow, default)]
    pub executed_tools: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub tool_calls: List<ToolDelta<'a>>,
    /// The form before tools.
    #[serde(borrow, default)]
    pub function_call: Maybe<FunctionDelta<'a>>,
}

/// A piece of a tool call, or a whole one.
#[derive(Debug, Default, Deserialize)]
pub struct ToolDelta<'a> {
    #[serde(default)]
    pub index: Number,
    #[serde(borrow, default)]
    pub id: Text<'a>,
    #[serde(borrow, default)]
    pub function: Maybe<FunctionDelta<'a>>,
    #[serde(borrow, default)]
    pub extra_content: Lax<ExtraContent<'a>>,
}

/// Gemini's place for what chat completions have no field for.
#[derive(Debug, Default, Deserialize)]
pub struct ExtraContent<'a> {
    #[serde(borrow, default)]
    pub google: Lax<GoogleContent<'a>>,
}

#[derive(Debug, Default, Deserialize)]
pub struct GoogleContent<'a> {
    #[serde(borrow, default)]
    pub thought_signature: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
pub struct FunctionDelta<'a> {
    #[serde(borrow, default)]
    pub name: Text<'a>,
    /// JSON text in a string; as an object from some services.
    #[serde(borrow, default)]
    pub arguments: Option<&'a RawValue>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct UpstreamUsage {
    #[serde(default)]
    pub prompt_tokens: Number,
    #[serde(default)]
    pub completion_tokens: Number,
    #[serde(default)]
    pub total_tokens: Number,
    #[serde(default)]
    pub prompt_tokens_details: Lax<PromptDetails>,
    /// DeepSeek's name for `prompt_tokens_details.cached_tokens`.
    #[serde(default)]
    pub prompt_cache_hit_tokens: Number,
    /// Kimi's: <https://platform.kimi.ai/docs/api/chat>
    #[serde(default)]
    pub cached_tokens: Number,
    /// Names of other APIs, which gateways pass on.
    #[serde(default)]
    pub input_tokens: Number,
    #[serde(default)]
    pub output_tokens: Number,
    #[serde(default)]
    pub input_tokens_details: Lax<PromptDetails>,
    #[serde(default)]
    pub cache_read_input_tokens: Number,
    #[serde(default)]
    pub cache_creation_input_tokens: Number,
}

impl UpstreamUsage {
    /// Whether anything is counted.
    pub fn has_counts(&self) -> bool {
        let counts = [
            self.prompt_tokens,
            self.completion_tokens,
            self.total_tokens,
            self.input_tokens,
            self.output_tokens,
        ];
        counts.iter().any(|n| n.0 > Some(0))
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct PromptDetails {
    #[serde(default)]
    pub cached_tokens: Number,
    #[serde(default)]
    pub cache_read_tokens: Number,
    #[serde(default)]
    pub cache_read_input_tokens: Number,
    #[serde(default)]
    pub cache_write_tokens: Number,
    #[serde(default)]
    pub cache_creation_tokens: Number,
    #[serde(default)]
    pub cached_creation_tokens: Number,
    #[serde(default)]
    pub cache_creation_input_tokens: Number,
}

impl PromptDetails {
    /// What came from a cache, by whatever name.
    pub fn read(&self) -> u64 {
        let names = [self.cached_tokens, self.cache_read_tokens, self.cache_read_input_tokens];
        names.iter().filter_map(|number| number.0).max().unwrap_or(0)
    }

    /// What went into one.
    pub fn written(&self) -> u64 {
        let names = [
            self.cache_write_tokens,
            self.cache_creation_tokens,
            self.cached_creation_tokens,
            self.cache_creation_input_tokens,
        ];
        names.iter().filter_map(|number| number.0).max().unwrap_or(0)
    }
}

/// A piece of content.
#[derive(Debug, PartialEq, Eq)]
pub enum ContentPiece<'a> {
    Text(Cow<'a, str>),
    Thinking(Cow<'a, str>),
}

/// `content`: a string, or an array of parts as Mistral sends it.
#[derive(Debug)]
pub enum Pieces<'a> {
    One(ContentPiece<'a>),
    Many(Vec<ContentPiece<'a>>),
}

impl Default for Pieces<'_> {
    fn default() -> Self {
        Pieces::Many(Vec::new())
    }
}

impl<'a> Pieces<'a> {
    pub fn as_slice(&self) -> &[ContentPiece<'a>] {
        match self {
            Pieces::One(piece) => std::slice::from_ref(piece),
            Pieces::Many(pieces) => pieces,
        }
    }
}

/// A part of content. `thinking` is a text, or an array of texts.
#[derive(Default, Deserialize)]
pub(super) struct WirePart<'a> {
    #[serde(borrow, default)]
    text: Text<'a>,
    #[serde(borrow, default)]
    thinking: Texts<'a>,
}

impl<'de> Collect<'de> for Pieces<'de> {
    type Item = WirePart<'de>;

    fn take(&mut self, part: Option<WirePart<'de>>) -> bool {
        let part = part.unwrap_or_default();
        // An array begins with none.
        if let Pieces::Many(pieces) = self {
            pieces.extend(part.thinking.0.into_iter().map(ContentPiece::Thinking));
            pieces.extend(part.text.filled().map(ContentPiece::Text));
        }
        true
    }

    fn text(text: Cow<'de, str>) -> Pieces<'de> {
        Pieces::One(ContentPiece::Text(text))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Pieces<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Pieces<'a>, D::Error> {
        collect(deserializer)
    }
}

/// The texts of a part: these do not hold parts again.
#[derive(Default)]
struct Texts<'a>(Vec<Cow<'a, str>>);

#[derive(Default, Deserialize)]
struct TextPart<'a> {
    #[serde(borrow, default)]
    text: Text<'a>,
}

impl<'de> Collect<'de> for Texts<'de> {
    type Item = TextPart<'de>;

    fn take(&mut self, part: Option<TextPart<'de>>) -> bool {
        self.0.extend(part.unwrap_or_default().text.filled());
        true
    }

    fn text(text: Cow<'de, str>) -> Texts<'de> {
        Texts(vec![text])
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Texts<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Texts<'a>, D::Error> {
        collect(deserializer)
    }
}
