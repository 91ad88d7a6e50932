//! A chunk of a stream that says one thing, as nearly all of a stream are: a text, a thought, or
//! what goes on with the arguments of a call.
//!
//! It is what [`Chunk`](super::Chunk) would be of it, read where it stands and in little memory. A
//! chunk with anything beside that that is looked at, or that is not quite JSON, is none, and is
//! read in full.

use crate::json::Scanner;

/// What a chunk says, with its text as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// That the answer has begun, or goes on.
    Nothing,
    Content(&'a str),
    ReasoningContent(&'a str),
    Reasoning(&'a str),
    /// Of a call that has begun before.
    Arguments {
        index: Option<u64>,
        text: &'a str,
    },
}

/// What is looked at of a chunk, a choice and its delta, beside the next of these in the first
/// place. These must be nothing here.
const OF_CHUNK: &[&str] =
    &["choices", "usage", "x_groq", "error", "data", "citations", "search_results", "web_search"];
const OF_CHOICE: &[&str] =
    &["delta", "message", "finish_reason", "error", "usage", "stop_reason", "matched_stop"];
const OF_DELTA: &[&str] = &[
    "content",
    "reasoning_content",
    "reasoning",
    "tool_calls",
    "reasoning_details",
    "refusal",
    "annotations",
    "function_call",
    "executed_tools",
];
const OF_CALL: &[&str] = &["function", "index", "id", "extra_content"];
const OF_FUNCTION: &[&str] = &["arguments", "name"];

impl<'a> Piece<'a> {
    /// Reads a chunk, if it is one.
    pub fn read(json: &'a [u8]) -> Option<Piece<'a>> {
        let mut scanner = Scanner::new(json);
        let mut piece = None;
        scanner.fields(OF_CHUNK, &mut |scanner, field| match field {
            0 => scanner.only(&mut |scanner| {
                let mut read = Piece::Nothing;
                scanner.fields(OF_CHOICE, &mut |scanner, field| match field {
                    0 => read.delta(scanner),
                    _ => scanner.nothing(),
                })?;
                piece = Some(read);
                Some(())
            }),
            _ => scanner.nothing(),
        })?;
        scanner.end()?;
        piece
    }

    fn delta(&mut self, scanner: &mut Scanner<'a>) -> Option<()> {
        scanner.fields(OF_DELTA, &mut |scanner, field| {
            let said = match field {
                0 => scanner.text()?.map(Piece::Content),
                1 => scanner.text()?.map(Piece::ReasoningContent),
                2 => scanner.text()?.map(Piece::Reasoning),
                3 if scanner.is_nothing() => return scanner.nothing(),
                3 => Some(Piece::call(scanner)?),
                _ => return scanner.nothing(),
            };
            match (&self, said) {
                (_, None) => {}
                (Piece::Nothing, Some(said)) => *self = said,
                _ => return None,
            }
            Some(())
        })
    }

    fn call(scanner: &mut Scanner<'a>) -> Option<Piece<'a>> {
        let (mut index, mut text) = (None, None);
        scanner.only(&mut |scanner| {
            scanner.fields(OF_CALL, &mut |scanner, field| match field {
                0 => scanner.fields(OF_FUNCTION, &mut |scanner, field| match field {
                    0 => {
                        text = scanner.text()?;
                        Some(())
                    }
                    _ => scanner.nothing(),
                }),
                1 => {
                    index = Some(scanner.number()?);
                    Some(())
                }
                _ => scanner.nothing(),
            })
        })?;
        Some(Piece::Arguments { index, text: text? })
    }
}

#[cfg(test)]
mod tests {
    use serde::de::{self, Deserialize, Deserializer, Visitor};
    use serde::forward_to_deserialize_any;

    use super::*;
    use crate::openai::response::ChoiceDelta;
    use crate::openai::{Choice, Chunk, FunctionDelta, ToolDelta};

    fn read(json: &str) -> Option<Piece<'_>> {
        Piece::read(json.as_bytes())
    }

    /// Tells the fields of a type by what that asks for.
    struct Asked<'f>(&'f mut Vec<&'static str>);

    impl<'de> Deserializer<'de> for Asked<'_> {
        type Error = de::value::Error;

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
            Err(de::Error::custom("fields are asked for"))
        }

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            visitor: V,
        ) -> Result<V::Value, Self::Error> {
            self.0.extend(fields);
            self.deserialize_any(visitor)
        }

        forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
            option unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier
            ignored_any
        }
    }

    fn fields<'de, T: Deserialize<'de>>() -> Vec<&'static str> {
        let mut fields = Vec::new();
        assert!(T::deserialize(Asked(&mut fields)).is_err());
        fields.sort_unstable();
        fields
    }

    /// Or a piece would say less than its chunk.
    #[test]
    fn all_that_is_looked_at_is_looked_for() {
        for (looked_at, known) in [
            (fields::<Chunk>(), OF_CHUNK),
            (fields::<Choice>(), OF_CHOICE),
            (fields::<ChoiceDelta>(), OF_DELTA),
            (fields::<ToolDelta>(), OF_CALL),
            (fields::<FunctionDelta>(), OF_FUNCTION),
        ] {
            let mut known = known.to_vec();
            known.sort_unstable();
            assert_eq!(known, looked_at);
        }
    }

    #[test]
    fn what_says_one_thing_is_a_piece() {
        for (json, piece) in [
            (
                r#"{"id":"c","object":"chat.completion.chunk","created":1.5e3,"model":"m","system_fingerprint":null,"choices":[{"index":0,"delta":{"content":"some words"},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"x"}"#,
                Piece::Content("some words"),
            ),
            (
                r#" { "choices" : [ { "delta" : { "role" : "assistant" , "content" : "" } } ] } "#,
                Piece::Nothing,
            ),
            (
                r#"{"choices":[{"delta":{"reasoning_content":"a \"b\"\u00e9","content":null}}]}"#,
                Piece::ReasoningContent(r#"a \"b\"\u00e9"#),
            ),
            (
                r#"{"choices":[{"delta":{"content":"","reasoning":"so","reasoning_details":[]},"finish_reason":""}]}"#,
                Piece::Reasoning("so"),
            ),
            (
                r#"{"choices":[{"delta":{"tool_calls":[{"index":12,"type":"function","function":{"name":null,"arguments":"{\"a"}}]}}]}"#,
                Piece::Arguments { index: Some(12), text: r#"{\"a"# },
            ),
            (
                r#"{"choices":[{"delta":{"content":"x","tool_calls":[]},"content_filter_results":{"hate":{"filtered":false,"severity":"safe"},"all":[1,-2.5,true]}}]}"#,
                Piece::Content("x"),
            ),
        ] {
            assert_eq!(read(json), Some(piece), "{json}");
        }
    }

    #[test]
    fn what_says_more_is_none() {
        for json in [
            // The end, counts, errors.
            r#"{"choices":[{"delta":{"content":"x"},"finish_reason":"stop"}]}"#,
            r#"{"choices":[{"delta":{"content":"x"}}],"usage":{"prompt_tokens":1}}"#,
            r#"{"choices":[{"delta":{"content":"x"}}],"error":{}}"#,
            r#"{"choices":[]}"#,
            r#"{"choices":[{"delta":{"content":"x"}},{"delta":{"content":"y"}}]}"#,
            r#"{"choices":[{"delta":{"content":"x","reasoning":"y"}}]}"#,
            r#"{"choices":[{"delta":{"content":[{"type":"text","text":"x"}]}}]}"#,
            r#"{"choices":[{"message":{"content":"x"}}]}"#,
            // The beginning of a call, and several.
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":"{"}}]}}]}"#,
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{"}},{"index":1,"function":{"arguments":"{"}}]}}]}"#,
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":{}}}]}}]}"#,
            // What a reader of all of it refuses.
            r#"{"choices":[{"delta":{"content":"x","content":"y"}}]}"#,
            r#"{"choices":[{"delta":{"content":"x"}}],"choices":[{"delta":{"content":"x"}}]}"#,
            r#"{"choices":[{"delta":{"content":"x"}}]} {}"#,
            r#"{"choices":[{"delta":{"content":"x"}}],}"#,
            r#"{"choices":[{"delta":{"content":"x"},"index":01}]}"#,
            r#"{"choices":[{"delta":{"content":"x"},"index":1.}]}"#,
            r#"{"choices":[{"delta":{"content":"x"},"a":tru}]}"#,
            r#"{"choices":[{"delta":{"content":"x"},"a":"\x"}]}"#,
            r#"{"choices":[{"delta":{"content":"x"},"a":{"b"}}]}"#,
            r#"{"choices":[{"delta":{"content":"x"},"a":[1 2]}]}"#,
            "{\"choices\":[{\"delta\":{\"content\":\"x\n\"}}]}",
            r#"{"choices":[{"delta":{"content":"x"#,
            "",
        ] {
            assert_eq!(read(json), None, "{json}");
        }
        assert_eq!(Piece::read(b"{\"choices\":[{\"delta\":{\"content\":\"\xff\"}}]}"), None);
    }
}
