//! A request for a provider's own Messages API: the client's bytes, but for what must be another's.
//!
//! Others than Anthropic know less of it than clients send: no threads, no system messages between
//! the others (<https://github.com/QwenLM/Qwen/issues/2244>,
//! <https://github.com/lmstudio-ai/lmstudio-bug-tracker/issues/1399>), and Claude Code's billing
//! line, which differs in each request, spoils their prompt caches
//! (<https://github.com/anthropics/claude-code/issues/68900>).

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::content::reminder;
use super::report::Report;
use super::turns::{BILLING_HEADER, without_billing_line};
use crate::anthropic::{Block, InputMessage, MessagesRequest, Role, is_foreign_search};
use crate::error::Error;
use crate::json::{self, Escaped, Raw, Spliced};
use crate::provider::Provider;

/// What stands in the body and is to stand there.
type Edit = (Range<usize>, String);

/// The client's `body`, of which `request` was read, with `model` as its model, `max_tokens` at
/// most, without the thinking that another provider has left in the conversation, whose signatures
/// are ccproxy's, and as the `row` takes it, with what it is told of the `session` in the place of
/// the user; and what of it was left out or moved.
///
/// # Errors
/// [`Error::ThreadUnsupported`].
pub fn native_request<'a>(
    body: &'a [u8],
    request: &MessagesRequest<'_>,
    row: &Provider,
    model: &str,
    max_tokens: Option<u64>,
    session: Option<&str>,
) -> Result<(Spliced<'a>, Report), Error> {
    if request.thread.is_some() && !row.native_is_anthropics {
        return Err(Error::ThreadUnsupported);
    }
    let mut report = Report::default();
    let came = &request.as_it_came;
    let name = serde_json::to_string(model).expect("a string always serializes");
    let mut edits = vec![(range(body, came.model), name)];
    if let (Some(asked), Some(limit)) = (request.max_tokens, max_tokens)
        && asked > limit
    {
        edits.push((range(body, came.max_tokens), limit.to_string()));
        report.adjusted.push(format!("max_tokens={limit}"));
    }
    if request.thinking.as_ref().is_some_and(|thinking| thinking.kind == "disabled")
        && Provider::is_among(model, row.native_always_thinks)
        && let Some(range) = member(body, came.thinking, "thinking")
    {
        edits.push((range, String::new()));
        report.dropped.push("thinking");
    }
    if let Some(session) = session.filter(|_| !row.native_is_anthropics)
        && let Some(user_id) = request.metadata.and_then(user_id)
    {
        edits.push((range(body, user_id.get()), format!("\"{session}\"")));
    }
    // Most conversations are passed on without another look at their turns.
    let answers = request.messages.iter().filter(|message| message.role == Role::Assistant);
    for answer in answers {
        if answer.content.0.iter().any(is_foreign) {
            edits.extend(foreign_thinking(body, answer));
        }
        if answer.has_foreign_search {
            edits.extend(foreign_searches(body, answer));
        }
    }
    if !row.native_is_anthropics && fit_system(body, request, &mut edits) {
        report.adjusted.push("system_messages=moved".to_owned());
    }
    edits.sort_by_key(|(range, _)| (range.start, range.end));
    let mut out = Spliced::new(body);
    let mut copied = 0;
    for (range, text) in
        edits.iter().filter(|(range, text)| body[range.clone()] != *text.as_bytes())
    {
        out.push(&body[copied..range.start]);
        out.push(text.as_bytes());
        copied = range.end;
    }
    out.push(&body[copied..]);
    Ok((out, report))
}

/// The user in `metadata`, by which the client tells its device and its account too.
fn user_id(metadata: Raw<'_>) -> Option<&RawValue> {
    #[derive(Deserialize)]
    struct Metadata<'a> {
        #[serde(borrow, default)]
        user_id: Option<&'a RawValue>,
    }
    serde_json::from_str::<Metadata>(metadata.get()).ok()?.user_id
}

/// Where a member of the body's object stands that is not the only one, with one comma. `None` if
/// its key is not written plainly.
fn member(body: &[u8], value: &str, key: &str) -> Option<Range<usize>> {
    let Range { start, end } = range(body, value);
    let before = body[..start].trim_ascii_end().strip_suffix(b":")?.trim_ascii_end();
    let before = before.strip_suffix(format!("\"{key}\"").as_bytes())?;
    let rest = body[end..].trim_ascii_start();
    match (before.trim_ascii_end().strip_suffix(b","), rest.strip_prefix(b",")) {
        (Some(before), _) => Some(before.len()..end),
        (None, Some(rest)) => Some(before.len()..body.len() - rest.len()),
        (None, None) => None,
    }
}

/// Takes the billing line out of the system prompt, and the system messages from between the
/// others: those before the first answer join the prompt, later ones the user's turn, as marked
/// text. Returns whether any was moved.
fn fit_system(body: &[u8], request: &MessagesRequest<'_>, edits: &mut Vec<Edit>) -> bool {
    let messages = &request.messages[..];
    let is_system = |message: &InputMessage| message.role == Role::System;
    let moves = messages.iter().any(is_system) && !messages.iter().all(is_system);
    let is_bill =
        |block: &Block| matches!(block, Block::Text(text) if text.starts_with(BILLING_HEADER));
    let mut is_changed = request.system.iter().flat_map(|system| &system.0).any(is_bill);
    if !moves && !is_changed {
        return false;
    }
    let system = request.as_it_came.system;
    let mut prompt = blocks(system);
    for block in &mut prompt {
        if let Some(text) = block_text(block)
            && let kept = without_billing_line(&text)
            && kept.len() < text.len()
        {
            *block = Cow::Owned(if kept.is_empty() {
                String::new()
            } else {
                text_block(&Escaped::new(kept))
            });
        }
    }
    prompt.retain(|block| !block.is_empty());
    let mut moved = vec![false; messages.len()];
    // What users' messages get at their ends, by their places, in their order.
    let mut ends: Vec<(usize, Vec<String>)> = Vec::new();
    let mut waiting: Vec<String> = Vec::new();
    let mut user = None;
    let mut is_opening = true;
    let next_roles = if moves { next_roles(messages) } else { Vec::new() };
    for (at, message) in messages.iter().enumerate().filter(|_| moves) {
        match message.role {
            Role::System => {
                let said = content(message).map(|raw| blocks(raw.get())).unwrap_or_default();
                moved[at] = true;
                if is_opening {
                    is_changed |= !said.is_empty();
                    prompt.extend(said);
                    continue;
                }
                let said = said.iter().filter_map(|block| block_text(block));
                let said = said
                    .filter(|text| !text.is_empty())
                    .map(|text| reminder(&Escaped::new(&text).into()));
                waiting.extend(said.map(|text| text_block(&text)));
                if let Some(user) = user {
                    ends.push((user, std::mem::take(&mut waiting)));
                } else if next_roles[at] != Some(Role::User) && !waiting.is_empty() {
                    // A turn that has nothing else: the message is the user's.
                    moved[at] = false;
                    let content = format!("[{}]", std::mem::take(&mut waiting).join(","));
                    let message_of_it = format!("{{\"role\":\"user\",\"content\":{content}}}");
                    edits.push((range(body, message.as_it_came), message_of_it));
                }
            }
            Role::Assistant => (is_opening, user) = (false, None),
            Role::User => {
                user = Some(at);
                ends.push((at, std::mem::take(&mut waiting)));
            }
        }
    }
    for ends in ends.chunk_by(|one, next| one.0 == next.0) {
        let more: Vec<&str> =
            ends.iter().flat_map(|(_, texts)| texts).map(|text| &**text).collect();
        if let Some(content) = content(&messages[ends[0].0]).filter(|_| !more.is_empty()) {
            let content_blocks = blocks(content.get());
            let all: Vec<&str> = content_blocks.iter().map(|block| &**block).chain(more).collect();
            edits.push((range(body, content.get()), format!("[{}]", all.join(","))));
        }
    }
    if moves {
        let all: Vec<&str> = messages.iter().map(|message| message.as_it_came).collect();
        edits.extend(without(body, &all, &moved, ""));
    }
    let prompt = format!("[{}]", prompt.join(","));
    match system {
        _ if !is_changed => {}
        "" => {
            let at = body.iter().position(|byte| *byte == b'{').map_or(0, |at| at + 1);
            edits.push((at..at, format!("\"system\":{prompt},")));
        }
        system => edits.push((range(body, system), prompt)),
    }
    moves
}

/// For each message the role of the next one that is no system message.
fn next_roles(messages: &[InputMessage<'_>]) -> Vec<Option<Role>> {
    let mut next = None;
    let mut roles: Vec<Option<Role>> = messages
        .iter()
        .rev()
        .map(|message| {
            next = Some(message.role).filter(|role| *role != Role::System).or(next);
            next
        })
        .collect();
    roles.reverse();
    roles
}

/// The content of a message, as it stands in the body.
fn content<'a>(message: &InputMessage<'a>) -> Option<&'a RawValue> {
    #[derive(Deserialize)]
    struct Message<'a> {
        #[serde(borrow)]
        content: &'a RawValue,
    }
    serde_json::from_str::<Message>(message.as_it_came).ok().map(|message| message.content)
}

/// The blocks of a content, as JSON. A string is one of text.
fn blocks(content: &str) -> Vec<Cow<'_, str>> {
    if let Some(blocks) = json::items(content) {
        return blocks.into_iter().map(Cow::Borrowed).collect();
    }
    match serde_json::from_str::<Cow<str>>(content) {
        Ok(text) if !text.is_empty() => vec![Cow::Owned(text_block(&Escaped::new(&text)))],
        _ => Vec::new(),
    }
}

fn text_block(text: &Escaped<'_>) -> String {
    format!("{{\"type\":\"text\",\"text\":{}}}", text.json())
}

/// The text of a block of text.
fn block_text(block: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Block {
        text: String,
    }
    serde_json::from_str::<Block>(block).ok().map(|block| block.text)
}

/// What stands for an answer that was thinking alone: content must not be empty.
const NOTHING_SAID: &str = r#"{"type":"text","text":"(no answer)"}"#;

/// Where `value`, which was read from `body`, stands in it.
fn range(body: &[u8], value: &str) -> Range<usize> {
    let begin = value.as_ptr().addr() - body.as_ptr().addr();
    begin..begin + value.len()
}

/// Whether a block is thinking signed by ccproxy.
fn is_foreign(block: &Block<'_>) -> bool {
    /// How a signature of ccproxy begins.
    const MARK: &str = "ccproxy";
    match block {
        Block::Thinking(thought) => thought.signature.starts_with(MARK),
        Block::RedactedThinking { data } => data.starts_with(MARK),
        _ => false,
    }
}

/// The parts of an answer's content that are thinking signed by ccproxy, and what takes their
/// place.
fn foreign_thinking(body: &[u8], answer: &InputMessage<'_>) -> Vec<Edit> {
    let Some(raw) = content(answer) else { return Vec::new() };
    let Some(raw) = json::items(raw.get()) else { return Vec::new() };
    // Where something is to be cached up to is a block of its own only as it was read.
    let blocks = answer.content.0.iter().filter(|block| !matches!(block, Block::CacheControl));
    let foreign: Vec<bool> = blocks.map(is_foreign).collect();
    without(body, &raw, &foreign, NOTHING_SAID)
}

/// The blocks of an answer's content that tell of a search which ccproxy's other providers have
/// done, as texts: what is encrypted in them Anthropic cannot read.
fn foreign_searches(body: &[u8], answer: &InputMessage<'_>) -> Vec<Edit> {
    #[derive(Deserialize)]
    struct Block<'a> {
        #[serde(rename = "type", borrow, default)]
        kind: Cow<'a, str>,
        #[serde(borrow, default)]
        id: Cow<'a, str>,
        #[serde(borrow, default)]
        tool_use_id: Cow<'a, str>,
        #[serde(borrow, default)]
        text: Cow<'a, str>,
        #[serde(borrow, default)]
        input: Option<&'a RawValue>,
        #[serde(borrow, default)]
        content: Option<&'a RawValue>,
        #[serde(borrow, default)]
        citations: Option<&'a RawValue>,
    }
    let Some(raw) = content(answer) else { return Vec::new() };
    let Some(all) = json::items(raw.get()) else { return Vec::new() };
    let parsed = all.iter().map(|raw| serde_json::from_str::<Block>(raw).ok());
    let parsed: Vec<Option<Block>> = parsed.collect();
    let is_foreign = |raw: &Option<&RawValue>| raw.is_some_and(|raw| is_foreign_search(raw.get()));
    let results = parsed.iter().flatten().filter(|block| is_foreign(&block.content));
    let ids: HashSet<&str> = results.map(|block| &*block.tool_use_id).collect();
    let mut edits = Vec::new();
    for (raw, block) in all.iter().zip(&parsed) {
        let Some(block) = block else { continue };
        let text = match &*block.kind {
            "server_tool_use" if ids.contains(&*block.id) => {
                let input = block.input.map_or("{}", |input| input.get());
                format!("[call of web_search: {input}]")
            }
            "web_search_tool_result" if is_foreign(&block.content) => found(block.content),
            "text" if is_foreign(&block.citations) => block.text.clone().into_owned(),
            _ => continue,
        };
        edits.push((range(body, raw), text_block(&Escaped::new(&text))));
    }
    edits
}

/// What a search has found, in words.
fn found(content: Option<&RawValue>) -> String {
    #[derive(Deserialize)]
    struct Page {
        url: String,
        #[serde(default)]
        title: String,
    }
    let pages = content.and_then(|content| serde_json::from_str::<Vec<Page>>(content.get()).ok());
    let lines = pages.into_iter().flatten().map(|page| format!("\n- {}: {}", page.title, page.url));
    format!("[web_search_tool_result]{}", lines.collect::<String>())
}

/// The edits that take the values out of a list that are `gone`. `instead` stands for all of them.
fn without(body: &[u8], values: &[&str], gone: &[bool], instead: &str) -> Vec<Edit> {
    let mut edits = Vec::new();
    let mut kept_before = false;
    for (i, raw) in values.iter().enumerate() {
        if !gone[i] {
            kept_before = true;
            continue;
        }
        let Range { start, end } = range(body, raw);
        // The comma goes with it, on the side where something stays.
        let next = values.get(i + 1).map(|next| range(body, next).start);
        match (kept_before, next) {
            (false, Some(next)) => edits.push((start..next, String::new())),
            (true, _) => edits.push((range(body, values[i - 1]).end..end, String::new())),
            (false, None) => edits.push((start..end, instead.to_owned())),
        }
    }
    edits
}

#[cfg(test)]
mod tests {
    use crate::anthropic;
    use crate::error::Error;
    use crate::provider::Provider;
    use crate::translate::Report;

    fn made(name: &str, body: &str, model: &str) -> Result<(String, Report), Error> {
        let row = Provider::find(name).expect("a row");
        let request = anthropic::parse(body.as_bytes())?;
        let made = super::native_request(body.as_bytes(), &request, row, model, None, None);
        let (made, report) = made?;
        Ok((String::from_utf8(made.to_vec()).expect("UTF-8"), report))
    }

    /// What `name` gets of `body`, and of Anthropic's own API all of it.
    fn check(name: &str, model: &str, body: &str, wanted: &str) {
        let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect(text);
        let (got, _) = made(name, body, model).expect("a request");
        assert_eq!(json(&got), json(wanted), "{body}");
        assert_eq!(made("anthropic", body, model).expect("a request").0, body);
    }

    #[test]
    fn a_thread_is_for_anthropic_alone() {
        let body = r#"{"model":"m","messages":[{"role":"user","content":"a"}],"thread":{"type":"create"}}"#;
        for name in ["deepseek", "zai", "moonshot", "openrouter"] {
            assert_eq!(made(name, body, "m").unwrap_err(), Error::ThreadUnsupported, "{name}");
        }
        assert_eq!(made("anthropic", body, "m").unwrap().0, body);
    }

    #[test]
    fn the_billing_line_is_for_anthropic_alone() {
        let bill = r#"{"type":"text","text":"x-anthropic-billing-header: cch=1;"}"#;
        let text = r#"{"type":"text","text":"be good","cache_control":{"type":"ephemeral"}}"#;
        for (system, wanted) in [
            (format!("[{bill}, {text}]"), format!("[{text}]")),
            (format!("[{text}, {bill}]"), format!("[{text}]")),
            (format!("[{bill}]"), "[]".to_owned()),
            (r#""x-anthropic-billing-header: a""#.to_owned(), "[]".to_owned()),
            (r#""be good""#.to_owned(), r#""be good""#.to_owned()),
        ] {
            let body = |system: &str| {
                format!(
                    r#"{{"model":"m","system":{system},"messages":[{{"role":"user","content":"a"}}]}}"#
                )
            };
            check("deepseek", "m", &body(&system), &body(&wanted));
        }
    }

    #[test]
    fn system_messages_are_moved_where_others_take_them() {
        let list = |messages: &[&str]| {
            let all: Vec<String> = messages
                .iter()
                .map(|message| {
                    let (role, content) = message.split_once(' ').expect("a role");
                    format!(r#"{{"role":"{role}","content":{content}}}"#)
                })
                .collect();
            all.join(" , ")
        };
        let hint = |text: &str| {
            let text = format!("<system-reminder>\\n{text}\\n</system-reminder>");
            format!(r#"{{"type":"text","text":"{text}"}}"#)
        };
        let text = |text: &str| format!(r#"{{"type":"text","text":"{text}"}}"#);
        let result = r#"{"type":"tool_result","tool_use_id":"t"}"#;
        for (messages, prompt, wanted) in [
            (vec![r#"user "a""#, r#"system "s""#], text("s"), vec![r#"user "a""#.to_owned()]),
            (
                vec![r#"system [{"type":"text","text":"s"}]"#, r#"user "a""#, "system []"],
                text("s"),
                vec![r#"user "a""#.to_owned()],
            ),
            (
                vec![r#"user "a""#, r#"assistant "b""#, r#"user "c""#, r#"system "s""#],
                String::new(),
                vec![
                    r#"user "a""#.to_owned(),
                    r#"assistant "b""#.to_owned(),
                    format!("user [{},{}]", text("c"), hint("s")),
                ],
            ),
            (
                // The results of calls come first.
                vec![
                    r#"user "a""#,
                    r#"assistant "b""#,
                    r#"system "s""#,
                    r#"user [{"type":"tool_result","tool_use_id":"t"}]"#,
                    r#"system "t""#,
                ],
                String::new(),
                vec![
                    r#"user "a""#.to_owned(),
                    r#"assistant "b""#.to_owned(),
                    format!("user [{result},{},{}]", hint("s"), hint("t")),
                ],
            ),
            (
                vec![r#"user "a""#, r#"assistant "b""#, r#"system "s""#],
                String::new(),
                vec![
                    r#"user "a""#.to_owned(),
                    r#"assistant "b""#.to_owned(),
                    format!("user [{}]", hint("s")),
                ],
            ),
        ] {
            let body = format!(r#"{{"model":"m","messages":[{}]}}"#, list(&messages));
            let wanted = wanted.iter().map(|message| &**message).collect::<Vec<_>>();
            let prompt = match &*prompt {
                "" => String::new(),
                prompt => format!(r#","system":[{prompt}]"#),
            };
            let wanted = format!(r#"{{"model":"m","messages":[{}]{prompt}}}"#, list(&wanted));
            check("deepseek", "m", &body, &wanted);
            let report = made("deepseek", &body, "m").unwrap().1;
            assert_eq!(report.adjusted, ["system_messages=moved"]);
        }
        let only = r#"{"model":"m","messages":[{"role":"system","content":"s"}]}"#;
        check("deepseek", "m", only, only);
    }

    #[test]
    fn who_always_thinks_is_not_told_otherwise() {
        let body = r#"{"model":"kimi-k3", "thinking": {"type":"disabled"} ,"messages":[{"role":"user","content":"a"}]}"#;
        check(
            "moonshot",
            "kimi-k3",
            body,
            r#"{"model":"kimi-k3","messages":[{"role":"user","content":"a"}]}"#,
        );
        assert_eq!(made("moonshot", body, "kimi-k3").unwrap().1.dropped, ["thinking"]);
        check("zai", "kimi-k3", body, body);
        let last = r#"{"model":"kimi-k3","messages":[{"role":"user","content":"a"}],"thinking":{"type":"disabled"}}"#;
        check(
            "moonshot",
            "kimi-k3",
            last,
            r#"{"model":"kimi-k3","messages":[{"role":"user","content":"a"}]}"#,
        );
        let on = r#"{"model":"kimi-k3","thinking":{"type":"adaptive"},"messages":[{"role":"user","content":"a"}]}"#;
        check("moonshot", "kimi-k3", on, on);
        let first = r#"{"thinking":{"type":"disabled"},"model":"kimi-k3","messages":[{"role":"system","content":"s"},{"role":"user","content":"a"}]}"#;
        let wanted = r#"{"model":"kimi-k3","system":[{"type":"text","text":"s"}],"messages":[{"role":"user","content":"a"}]}"#;
        check("moonshot", "kimi-k3", first, wanted);
    }

    /// What any provider gets.
    fn native_request(body: &[u8], model: &str, max_tokens: Option<u64>) -> Result<Vec<u8>, Error> {
        let row = Provider::find("zai").expect("a row");
        let request = anthropic::parse(body)?;
        let made = super::native_request(body, &request, row, model, max_tokens, None);
        made.map(|(body, _)| body.to_vec())
    }

    #[test]
    fn only_the_model_changes() {
        let body = br#" {"messages":[{"model":"claude","role":"user","content":"\u0061"}], "model" : "claude-x","max_tokens":10} "#;
        let made = native_request(body, "kimi-k3", None).unwrap();
        let wanted = r#" {"messages":[{"model":"claude","role":"user","content":"\u0061"}], "model" : "kimi-k3","max_tokens":10} "#;
        assert_eq!(String::from_utf8_lossy(&made), wanted);
    }

    #[test]
    fn thinking_of_another_provider_is_left_out() {
        let thinking = r#"{"type":"thinking","thinking":"t","signature":"ccproxy1:reasoning"}"#;
        let redacted = r#"{ "type":"redacted_thinking","data":"ccproxy1:reasoning_item:{}"}"#;
        let theirs = r#"{"type":"thinking","thinking":"t","signature":"EqQB"}"#;
        let text = r#"{"type":"text","text":"\"ccproxy is \"quoted\"" }"#;
        let escaped = r#"{"type":"thinking","thinking":"t","signature":"\u0063cproxy1"}"#;
        let cached = r#"{"type":"text","text":"t","cache_control":{"type":"ephemeral"}}"#;
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
            (vec![escaped, text], vec![text]),
            (vec![cached, thinking], vec![cached]),
        ] {
            let made = native_request(all(&blocks).as_bytes(), "m", None).unwrap();
            let made: serde_json::Value = serde_json::from_slice(&made).expect("valid JSON");
            let wanted: serde_json::Value = serde_json::from_str(&all(&wanted)).expect("JSON");
            assert_eq!(made, wanted, "{blocks:?}");
        }
    }

    #[test]
    fn max_tokens_is_what_the_user_allows() {
        let body =
            br#"{"model":"m","max_tokens": 5000,"messages":[{"role":"user","content":"a"}]}"#;
        let made = |limit| native_request(body, "m", limit).unwrap();
        let text = String::from_utf8(made(Some(100))).unwrap();
        assert_eq!(
            text,
            r#"{"model":"m","max_tokens": 100,"messages":[{"role":"user","content":"a"}]}"#
        );
        assert_eq!((made(Some(6000)), made(None)), (body.to_vec(), body.to_vec()));
    }
}
