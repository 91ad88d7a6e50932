//! What an upstream wants to see again, carried through the client, both ways.
//!
//! Services hand out their reasoning in a form that only they can read and want it back, unchanged,
//! with the next message. ccproxy keeps nothing between two messages, and the next one may reach
//! another replica, so the client carries it, in fields that it sends back as it got them:
//!
//! | what | carried in | as |
//! |---|---|---|
//! | OpenRouter's `reasoning_details` | `signature`, or `data` of `redacted_thinking` | `ccproxy1:reasoning_details:[…]` |
//! | OpenAI's `reasoning` items | the same | `ccproxy1:reasoning_item:{…}` |
//! | the field `reasoning`, where others have `reasoning_content` | the same | `ccproxy1:reasoning` |
//! | Gemini's `thought_signature` of a call | the id of the `tool_use` | `toolu_…-ccproxy1-…` |
//!
//! A signature that Gemini puts on a text is left out: it may be missing in the next request, that
//! of a call may not.
//!
//! The number is the version of the form. Whatever does not parse, such as a signature of Anthropic
//! in a conversation that began there, carries nothing and is no error.
//!
//! <https://platform.openai.com/docs/guides/reasoning>,
//! <https://openrouter.ai/docs/guides/best-practices/reasoning-tokens>,
//! <https://ai.google.dev/gemini-api/docs/thought-signatures>

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::hash::hash;
use crate::json;
use crate::openai::ReasoningItem;

/// The signature of a thinking block that carries nothing.
pub(super) const SIGNATURE: &str = "ccproxy";

/// The signature of one that came in the field `reasoning`, where others send `reasoning_content`.
pub(super) const REASONING: &str = "ccproxy1:reasoning";

const DETAILS: &str = "ccproxy1:reasoning_details:";
const ITEM: &str = "ccproxy1:reasoning_item:";

/// The most entries that are carried; models have a few.
const MAX_DETAILS: usize = 200;

/// Stands between an id and what it carries. Ids made by ccproxy have no `-`.
const IN_ID: &str = "-ccproxy1-";

/// What a thinking block has carried.
#[derive(Debug)]
pub(super) enum Carried<'a> {
    /// Nothing but the field that it came in.
    Reasoning,
    ReasoningDetails(Vec<&'a RawValue>),
    ReasoningItem(ReasoningItem<'a>),
}

/// Reads what the `signature` of a thinking block, or the `data` of a redacted one, has carried.
pub(super) fn parse(signature: &str) -> Option<Carried<'_>> {
    if signature == REASONING {
        return Some(Carried::Reasoning);
    }
    if let Some(item) = signature.strip_prefix(ITEM) {
        return serde_json::from_str(item).ok().map(Carried::ReasoningItem);
    }
    let details: Vec<&RawValue> = serde_json::from_str(signature.strip_prefix(DETAILS)?).ok()?;
    let are_objects = details.iter().all(|detail| detail.get().starts_with('{'));
    are_objects.then_some(Carried::ReasoningDetails(details))
}

/// What a thinking block is going to carry.
#[derive(Debug, Default)]
pub(super) struct Cargo {
    /// OpenRouter's, in the order of their first pieces.
    details: Vec<Map<String, Value>>,
    /// OpenAI's, encoded.
    item: Option<String>,
}

impl Cargo {
    /// Adds a piece of `reasoning_details`: to the entry of its index and type, or as a new one.
    pub(super) fn detail(&mut self, piece: Map<String, Value>) {
        let Some(whole) = self.details.iter_mut().rev().find(|whole| continues(whole, &piece))
        else {
            if self.details.len() < MAX_DETAILS {
                self.details.push(piece);
            }
            return;
        };
        for (key, value) in piece {
            match (whole.get_mut(&key), value) {
                (Some(Value::String(text)), Value::String(more)) if is_text(&key) => {
                    text.push_str(&more);
                }
                (Some(_), Value::Null) => {}
                (_, value) => {
                    whole.insert(key, value);
                }
            }
        }
    }

    /// Gives the entries of a tool call the id that the client gets for it, which is the one that
    /// the upstream will see: Gemini behind OpenRouter matches the two.
    ///
    /// <https://github.com/UKGovernmentBEIS/inspect_ai/issues/3986>
    pub(super) fn rename_call(&mut self, upstream: &str, id: &str) {
        for known in self.details.iter_mut().filter_map(|detail| detail.get_mut("id")) {
            if known == upstream {
                *known = Value::from(id);
            }
        }
    }

    /// Takes an item of the Responses API.
    pub(super) fn reasoning_item(&mut self, item: &ReasoningItem<'_>) {
        let json = serde_json::to_string(item).expect("strings serialize");
        self.item = Some(format!("{ITEM}{json}"));
    }

    /// The signature, or the data of a redacted block; `None` if there is nothing to carry.
    pub(super) fn encode(&self) -> Option<String> {
        if self.item.is_some() {
            return self.item.clone();
        }
        let details: Vec<_> = self.details.iter().filter(|detail| says_something(detail)).collect();
        if details.is_empty() {
            return None;
        }
        let json = serde_json::to_string(&details).expect("JSON values serialize");
        Some(format!("{DETAILS}{json}"))
    }
}

/// The entries of `reasoning_details`. What is more than a model's is none.
pub(super) fn details(json: &RawValue) -> Vec<Map<String, Value>> {
    let Some(Value::Array(details)) = json::tree(json.get()) else { return Vec::new() };
    let object = |detail| match detail {
        Value::Object(object) => Some(object),
        _ => None,
    };
    details.into_iter().filter_map(object).collect()
}

/// What of an entry the client can be shown.
pub(super) fn shown(detail: &Map<String, Value>) -> &str {
    let text = ["text", "summary"].iter().find_map(|key| detail.get(*key)?.as_str());
    text.unwrap_or_default()
}

/// Whether an entry is more than its frame: services begin and end with empty ones.
pub(super) fn says_something(detail: &Map<String, Value>) -> bool {
    const WORDS: &[&str] = &["text", "summary", "data", "signature"];
    WORDS.iter().any(|key| detail.get(*key).and_then(Value::as_str).is_some_and(|s| !s.is_empty()))
}

/// Fields that come in pieces.
fn is_text(key: &str) -> bool {
    matches!(key, "text" | "summary" | "data")
}

/// Whether `piece` is more of `whole`. Without an index only text comes in pieces.
fn continues<'a>(whole: &'a Map<String, Value>, piece: &'a Map<String, Value>) -> bool {
    let some = |entry: &'a Map<String, Value>, key: &str| entry.get(key).filter(|v| !v.is_null());
    let same = |key: &str| some(whole, key) == some(piece, key);
    let other_id = matches!((some(whole, "id"), some(piece, "id")), (Some(a), Some(b)) if a != b);
    let indexed = some(whole, "index").is_some();
    same("type") && same("index") && !other_id && (indexed || !piece.contains_key("data"))
}

/// The client's `id` for a tool call that came with a `thought_signature`.
///
/// In base64url, since the API takes letters, digits, `_` and `-` alone in an id. The whole text is
/// encoded, though it looks like base64 itself, so that it comes back as it was in any case. Before
/// it stands a checksum: some clients shorten long ids, and half a signature is refused where none
/// is not (<https://github.com/BerriAI/litellm/issues/37849>).
pub(super) fn into_id(id: &str, thought_signature: &str) -> String {
    let encoded = base64url(thought_signature.as_bytes());
    format!("{id}{IN_ID}{:08x}-{encoded}", checksum(&encoded))
}

/// The `thought_signature` that an id has carried.
pub(super) fn from_id(id: &str) -> Option<String> {
    let (sum, encoded) = id.split_once(IN_ID)?.1.split_once('-')?;
    if u32::from_str_radix(sum, 16) != Ok(checksum(encoded)) {
        return None;
    }
    String::from_utf8(from_base64url(encoded)?).ok().filter(|text| !text.is_empty())
}

fn checksum(encoded: &str) -> u32 {
    hash(encoded, 0) as u32
}

/// Own code, because it is all the base64 there is in ccproxy: images pass through as they are.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// RFC 4648, section 5, without padding.
fn base64url(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..=group.len() {
            text.push(char::from(ALPHABET[(bits >> (18 - 6 * at) & 63) as usize]));
        }
    }
    text
}

fn from_base64url(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for group in text.as_bytes().chunks(4) {
        let mut bits = 0;
        for (at, letter) in group.iter().enumerate() {
            let digit = ALPHABET.iter().position(|known| known == letter)?;
            bits |= (digit as u32) << (18 - 6 * at);
        }
        let [_, first, second, third] = bits.to_be_bytes();
        bytes.extend(&[first, second, third][..group.len() - 1]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_carries_any_text() {
        for text in ["a", "ab", "abc", "CrICAdHtim+8/27fQ==", "-ccproxy1-", "é€😀", " \n\0"] {
            let id = into_id("toolu_1_2", text);
            let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
            assert!(id.starts_with("toolu_1_2") && id.bytes().all(is_plain), "{id}");
            assert_eq!(from_id(&id).as_deref(), Some(text), "{id}");
            for end in 0..id.len() {
                assert_eq!(from_id(&id[..end]), None, "{id} cut at {end}");
            }
        }
        for id in ["call-1", "a-ccproxy1-%", "a-ccproxy1-00000000-YWJj", "a-ccproxy1-0-\u{fe}"] {
            assert_eq!(from_id(id), None, "{id}");
        }
    }

    /// Checks the signature that `pieces` add up to.
    fn check(pieces: &[&str], signature: Option<&str>) {
        let mut cargo = Cargo::default();
        for piece in pieces {
            cargo.detail(serde_json::from_str(piece).expect("an object"));
        }
        assert_eq!(cargo.encode().as_deref(), signature, "{pieces:?}");
        assert!(signature.is_none_or(|signature| parse(signature).is_some()), "{pieces:?}");
    }

    #[test]
    fn pieces_are_merged_by_index_and_type() {
        check(&[], None);
        check(&[r#"{"type":"reasoning.text","text":"","index":0}"#], None);
        check(
            &[
                r#"{"type":"reasoning.text","text":"a","signature":null,"index":0,"format":"f"}"#,
                r#"{"type":"reasoning.encrypted","data":"x","index":0,"id":"r1"}"#,
                r#"{"type":"reasoning.text","text":"b","index":0,"format":null}"#,
                r#"{"type":"reasoning.encrypted","data":"y","index":0,"id":"r2"}"#,
                r#"{"type":"reasoning.encrypted","data":"z","index":0}"#,
                r#"{"type":"reasoning.text","signature":"s","index":0}"#,
                r#"{"type":"reasoning.text","text":"c","index":1}"#,
            ],
            Some(concat!(
                r#"ccproxy1:reasoning_details:["#,
                r#"{"format":"f","index":0,"signature":"s","text":"ab","type":"reasoning.text"},"#,
                r#"{"data":"x","id":"r1","index":0,"type":"reasoning.encrypted"},"#,
                r#"{"data":"yz","id":"r2","index":0,"type":"reasoning.encrypted"},"#,
                r#"{"index":1,"text":"c","type":"reasoning.text"}]"#
            )),
        );
        check(
            &[
                r#"{"type":"reasoning.summary","summary":"a"}"#,
                r#"{"type":"reasoning.summary","summary":"b"}"#,
                r#"{"type":"reasoning.encrypted","data":"x"}"#,
                r#"{"type":"reasoning.encrypted","data":"y"}"#,
            ],
            Some(concat!(
                r#"ccproxy1:reasoning_details:["#,
                r#"{"summary":"ab","type":"reasoning.summary"},"#,
                r#"{"data":"x","type":"reasoning.encrypted"},"#,
                r#"{"data":"y","type":"reasoning.encrypted"}]"#
            )),
        );
    }

    #[test]
    fn what_is_not_ours_carries_nothing() {
        for signature in [
            "",
            "ccproxy",
            "EqQBCgIYAhIkYWJj",
            "ccproxy2:reasoning_details:[]",
            "ccproxy1:other:[]",
            "ccproxy1:reasoning_details:",
            "ccproxy1:reasoning_details:{}",
            "ccproxy1:reasoning_details:[1]",
            "ccproxy1:reasoning_details:[{}",
            "ccproxy1:reasoning_item:{\"summary\":[]}",
            "ccproxy1:reasoning_item:{\"summary\":[{}],\"encrypted_content\":\"e\"}",
            "ccproxy1:reasoning_item:[]",
        ] {
            assert!(parse(signature).is_none(), "{signature}");
        }
    }
}
