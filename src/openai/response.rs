//! A chunk of a stream, or a whole completion, which is read as one chunk.
//!
//! Services send `null`, a number or an object where the reference has a string, so everything is
//! optional here and a field of another type counts as absent: one odd field must not cost the
//! answer.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

#[derive(Debug, Default, Deserialize)]
pub struct Chunk<'a> {
    #[serde(borrow, default)]
    pub choices: Option<Vec<Choice<'a>>>,
    #[serde(default)]
    pub usage: Option<UpstreamUsage>,
    /// Groq puts usage and errors of a stream here.
    #[serde(borrow, default)]
    pub x_groq: Option<GroqExtra<'a>>,
    /// An error inside a stream, or in the body of a 200.
    #[serde(borrow, default)]
    pub error: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
pub struct GroqExtra<'a> {
    #[serde(default)]
    pub usage: Option<UpstreamUsage>,
    #[serde(borrow, default)]
    pub error: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
pub struct Choice<'a> {
    #[serde(borrow, default)]
    pub delta: Option<ChoiceDelta<'a>>,
    /// In place of `delta` in a whole completion; some services send both.
    #[serde(borrow, default)]
    pub message: Option<ChoiceDelta<'a>>,
    #[serde(borrow, default)]
    pub finish_reason: Text<'a>,
    /// Moonshot: in the last chunk, in the place of the chunk's own.
    #[serde(default)]
    pub usage: Option<UpstreamUsage>,
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
    #[serde(default)]
    pub reasoning_details: Lax<Vec<Map<String, Value>>>,
    #[serde(borrow, default)]
    pub refusal: Text<'a>,
    #[serde(borrow, default)]
    pub tool_calls: Option<Vec<ToolDelta<'a>>>,
    /// The form before tools.
    #[serde(borrow, default)]
    pub function_call: Option<FunctionDelta<'a>>,
}

/// A piece of a tool call, or a whole one.
#[derive(Debug, Default, Deserialize)]
pub struct ToolDelta<'a> {
    #[serde(default)]
    pub index: Number,
    #[serde(borrow, default)]
    pub id: Text<'a>,
    #[serde(borrow, default)]
    pub function: Option<FunctionDelta<'a>>,
    #[serde(borrow, default)]
    pub extra_content: Lax<ExtraContent<'a>>,
}

/// Gemini's place for what chat completions have no field for.
#[derive(Debug, Default, Deserialize)]
pub struct ExtraContent<'a> {
    #[serde(borrow, default)]
    pub google: GoogleContent<'a>,
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
    pub prompt_tokens_details: Option<PromptDetails>,
    /// DeepSeek's name for `prompt_tokens_details.cached_tokens`.
    #[serde(default)]
    pub prompt_cache_hit_tokens: Number,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct PromptDetails {
    #[serde(default)]
    pub cached_tokens: Number,
    #[serde(default)]
    pub cache_write_tokens: Number,
}

/// A piece of content.
#[derive(Debug, PartialEq, Eq)]
pub enum ContentPiece<'a> {
    Text(Cow<'a, str>),
    Thinking(Cow<'a, str>),
}

/// `content`: a string, or an array of parts as Mistral sends it.
#[derive(Debug, Default)]
pub struct Pieces<'a>(pub Vec<ContentPiece<'a>>);

/// A string, or absent.
#[derive(Debug, Default)]
pub struct Text<'a>(pub Option<Cow<'a, str>>);

impl<'a> Text<'a> {
    /// The text, unless it is empty: services send `""` where they have nothing to say.
    pub fn some(&self) -> Option<&Cow<'a, str>> {
        self.0.as_ref().filter(|text| !text.is_empty())
    }
}

/// A number that is not negative, or absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Number(pub Option<u64>);

/// A `T`, or its default where something else stands.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lax<T>(pub T);

impl<'de, T: Deserialize<'de> + Default> Deserialize<'de> for Lax<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Lax<T>, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        Ok(Lax(serde_json::from_str(raw.get()).unwrap_or_default()))
    }
}

#[derive(Default, Deserialize)]
struct WirePart<'a> {
    #[serde(borrow, default)]
    text: Text<'a>,
    #[serde(borrow, default)]
    thinking: Pieces<'a>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text<'a>, D::Error> {
        deserializer.deserialize_any(Lenient).map(|value| match value {
            Scalar::Text(text) => Text(Some(text)),
            Scalar::Number(_) | Scalar::Other => Text(None),
        })
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Number, D::Error> {
        deserializer.deserialize_any(Lenient).map(|value| match value {
            Scalar::Number(number) => Number(Some(number)),
            Scalar::Text(_) | Scalar::Other => Number(None),
        })
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Pieces<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Pieces<'a>, D::Error> {
        struct PiecesVisitor;
        impl<'de> Visitor<'de> for PiecesVisitor {
            type Value = Pieces<'de>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("text")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Pieces(vec![ContentPiece::Text(Cow::Borrowed(text))]))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Pieces(vec![ContentPiece::Text(Cow::Owned(text.to_owned()))]))
            }

            fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
                Ok(Pieces::default())
            }

            fn visit_bool<E: de::Error>(self, _: bool) -> Result<Self::Value, E> {
                Ok(Pieces::default())
            }

            fn visit_f64<E: de::Error>(self, _: f64) -> Result<Self::Value, E> {
                Ok(Pieces::default())
            }

            fn visit_u64<E: de::Error>(self, _: u64) -> Result<Self::Value, E> {
                Ok(Pieces::default())
            }

            fn visit_i64<E: de::Error>(self, _: i64) -> Result<Self::Value, E> {
                Ok(Pieces::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut pieces = Vec::new();
                while let Some(part) = seq.next_element::<WirePart>()? {
                    let thoughts = part.thinking.0.into_iter().map(|piece| match piece {
                        ContentPiece::Text(text) | ContentPiece::Thinking(text) => {
                            ContentPiece::Thinking(text)
                        }
                    });
                    pieces.extend(thoughts);
                    pieces.extend(part.text.0.map(ContentPiece::Text));
                }
                Ok(Pieces(pieces))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Pieces::default())
            }
        }
        deserializer.deserialize_any(PiecesVisitor)
    }
}

/// What [`Text`] and [`Number`] choose from.
enum Scalar<'a> {
    Text(Cow<'a, str>),
    Number(u64),
    Other,
}

struct Lenient;

impl<'de> Visitor<'de> for Lenient {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Number(number))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Scalar<'de>, E> {
        Ok(u64::try_from(number).map_or(Scalar::Other, Scalar::Number))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Scalar<'de>, E> {
        // The cast saturates, so no float is out of range.
        Ok(if number >= 0.0 { Scalar::Number(number as u64) } else { Scalar::Other })
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Other)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Scalar<'de>, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }
}
