//! A request for a provider's own Messages API: the client's bytes, but for what must be another's.

use std::borrow::Cow;
use std::ops::Range;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::Error;

/// The client's `body` with `model` as its model, `max_tokens` at most, and without the thinking that another provider has
/// left in the conversation, whose signatures are ccproxy's.
///
/// # Errors
/// [`Error::Request`] if there is no model to replace, which parsing has ruled out.
pub fn native_request<'a>(
    body: &'a [u8],
    model: &str,
    max_tokens: Option<u64>,
) -> Result<Cow<'a, [u8]>, Error> {
    #[derive(Deserialize)]
    struct Request<'a> {
        #[serde(borrow)]
        model: &'a RawValue,
        #[serde(borrow, default)]
        max_tokens: Option<&'a RawValue>,
        #[serde(borrow, default)]
        messages: Vec<Message<'a>>,
    }
    #[derive(Deserialize)]
    struct Message<'a> {
        #[serde(borrow, default)]
        content: Option<&'a RawValue>,
    }
    let request: Request =
        serde_json::from_slice(body).map_err(|_| Error::request("model", "field required"))?;
    let name = serde_json::to_string(model).expect("a string always serializes");
    let mut edits = vec![(range(body, request.model), name)];
    let asked = request.max_tokens.map(|raw| (raw, raw.get().parse::<u64>()));
    if let (Some((raw, Ok(asked))), Some(limit)) = (asked, max_tokens)
        && asked > limit
    {
        edits.push((range(body, raw), limit.to_string()));
    }
    let is_mixed = body.windows(MARK.len()).any(|bytes| bytes == MARK);
    let contents = request.messages.iter().filter_map(|message| message.content);
    for content in contents.filter(|_| is_mixed) {
        edits.extend(foreign_thinking(body, content));
    }
    if let [(range, name)] = &edits[..]
        && body[range.clone()] == *name.as_bytes()
    {
        return Ok(Cow::Borrowed(body));
    }
    edits.sort_by_key(|(range, _)| range.start);
    let mut out = Vec::with_capacity(body.len());
    let mut copied = 0;
    for (range, text) in edits {
        out.extend_from_slice(&body[copied..range.start]);
        out.extend_from_slice(text.as_bytes());
        copied = range.end;
    }
    out.extend_from_slice(&body[copied..]);
    Ok(Cow::Owned(out))
}

/// How a signature of ccproxy begins in JSON.
const MARK: &[u8] = b"\"ccproxy";

/// What stands for an answer that was thinking alone: content must not be empty.
const NOTHING_SAID: &str = r#"{"type":"text","text":"(no answer)"}"#;

/// Where `value`, which was read from `body`, stands in it.
fn range(body: &[u8], value: &RawValue) -> Range<usize> {
    let begin = value.get().as_ptr() as usize - body.as_ptr() as usize;
    begin..begin + value.get().len()
}

/// The parts of a message's `content` that are thinking signed by ccproxy, and what takes their place.
fn foreign_thinking(body: &[u8], content: &RawValue) -> Vec<(Range<usize>, String)> {
    #[derive(Deserialize)]
    struct Block<'a> {
        #[serde(rename = "type", borrow, default)]
        kind: Cow<'a, str>,
        #[serde(borrow, default)]
        signature: Cow<'a, str>,
        #[serde(borrow, default)]
        data: Cow<'a, str>,
    }
    let Ok(blocks) = serde_json::from_str::<Vec<&RawValue>>(content.get()) else {
        return Vec::new();
    };
    let is_foreign = |raw: &RawValue| {
        let Ok(block) = serde_json::from_str::<Block>(raw.get()) else { return false };
        match &*block.kind {
            "thinking" => block.signature.starts_with("ccproxy"),
            "redacted_thinking" => block.data.starts_with("ccproxy"),
            _ => false,
        }
    };
    let foreign: Vec<bool> = blocks.iter().map(|raw| is_foreign(raw)).collect();
    let mut edits = Vec::new();
    let mut kept_before = false;
    for (i, raw) in blocks.iter().enumerate() {
        if !foreign[i] {
            kept_before = true;
            continue;
        }
        let Range { start, end } = range(body, raw);
        // The comma goes with it, on the side where something stays.
        let next = blocks.get(i + 1).map(|next| range(body, next).start);
        match (kept_before, next) {
            (false, Some(next)) => edits.push((start..next, String::new())),
            (true, _) => edits.push((range(body, blocks[i - 1]).end..end, String::new())),
            (false, None) => edits.push((start..end, NOTHING_SAID.to_owned())),
        }
    }
    edits
}

#[cfg(test)]
mod tests {
    use super::native_request;

    #[test]
    fn only_the_model_changes() {
        let body =
            br#" {"messages":[{"model":"claude"}], "model" : "claude-x","max_tokens":1.0e1} "#;
        let made = native_request(body, "kimi-k3", None).unwrap();
        let wanted =
            r#" {"messages":[{"model":"claude"}], "model" : "kimi-k3","max_tokens":1.0e1} "#;
        assert_eq!(String::from_utf8_lossy(&made), wanted);
        let same = native_request(br#"{"model":"m"}"#, "m", None).unwrap();
        assert!(matches!(same, std::borrow::Cow::Borrowed(_)));
    }

    #[test]
    fn thinking_of_another_provider_is_left_out() {
        let thinking = r#"{"type":"thinking","thinking":"t","signature":"ccproxy1:reasoning"}"#;
        let redacted = r#"{ "type":"redacted_thinking","data":"ccproxy1:reasoning_item:{}"}"#;
        let theirs = r#"{"type":"thinking","thinking":"t","signature":"EqQB"}"#;
        let text = r#"{"type":"text","text":"\"ccproxy is \"quoted\"" }"#;
        let all = |content: &[&str]| {
            let content = content.join(" , ");
            format!(
                r#"{{"model":"m","messages":[{{"role":"assistant","content":[ {content} ]}}]}}"#
            )
        };
        let nothing = super::NOTHING_SAID;
        for (blocks, wanted) in [
            (vec![thinking, text], vec![text]),
            (vec![thinking, redacted, text], vec![text]),
            (vec![theirs, thinking, text], vec![theirs, text]),
            (vec![text, thinking, redacted], vec![text]),
            (vec![text, thinking, theirs, redacted, text], vec![text, theirs, text]),
            (vec![thinking, redacted], vec![nothing]),
            (vec![theirs, text], vec![theirs, text]),
        ] {
            let made = native_request(all(&blocks).as_bytes(), "m", None).unwrap().into_owned();
            let made: serde_json::Value = serde_json::from_slice(&made).expect("valid JSON");
            let wanted: serde_json::Value = serde_json::from_str(&all(&wanted)).expect("JSON");
            assert_eq!(made, wanted, "{blocks:?}");
        }
    }

    #[test]
    fn max_tokens_is_what_the_user_allows() {
        let body = br#"{"model":"m","max_tokens": 5000,"messages":[]}"#;
        let made = |limit| native_request(body, "m", limit).unwrap().into_owned();
        let text = String::from_utf8(made(Some(100))).unwrap();
        assert_eq!(text, r#"{"model":"m","max_tokens": 100,"messages":[]}"#);
        assert_eq!((made(Some(6000)), made(None)), (body.to_vec(), body.to_vec()));
    }
}
