//! What providers keep in their caches is found again: the requests of a session begin with the
//! same bytes, whatever else changes from turn to turn, on every row and through every API.

use ccproxy::anthropic;
use ccproxy::openai::Dialect;
use ccproxy::provider::{PROVIDERS, Provider};
use ccproxy::translate::{Learned, Target, native_request, translate};
use serde_json::{Value, json};

use crate::support::target::target;

const TURNS: usize = 20;

/// What providers are told of the session.
const SESSION: &str = "3f0c2a6e-0000-8000-8000-000000000000";

/// The turn in which the client has loaded further tools, which come before the conversation in
/// every prompt: what was cached is found up to them.
const LOADS: usize = 8;

/// One session of Claude Code, modelled on recorded ones: the request of each turn.
///
/// What changes from one to the next is all here: the billing line, where `cache_control` stands,
/// lists of blocks that become strings, tools that are loaded into the middle of the list, system
/// messages that come late (tools of a server, a new date, what was typed meanwhile), results in
/// another order than their calls, and an effort of a turn's own.
fn session() -> Vec<Value> {
    let mut messages = vec![
        json!({ "role": "user", "content": [
            { "type": "text", "text": "<system-reminder>\nContext.\n</system-reminder>" },
            { "type": "text", "text": "Tidy the project up." },
        ] }),
        json!({ "role": "system", "content": "# Environment\n - OS: linux\n - Date: 2026-11-28" }),
    ];
    let mut requests = Vec::new();
    for turn in 0..TURNS {
        requests.push(request(turn, &messages));
        extend(turn, &mut messages);
    }
    requests
}

/// What the model answers in a turn, and what the client says to it.
fn extend(turn: usize, messages: &mut Vec<Value>) {
    let id = |n: usize| format!("toolu_{turn:02}{n}");
    let thinking = json!({ "type": "thinking", "thinking": "I look.", "signature": "" });
    let call = |n: usize, name: &str, input: Value| json!({ "type": "tool_use", "id": id(n), "name": name, "input": input });
    let result = |n: usize, content: Value| json!({ "tool_use_id": id(n), "type": "tool_result", "content": content });
    let picture = json!({ "type": "image", "source": {
        "type": "base64", "data": "iVBORw0KGgo=", "media_type": "image/png",
    } });
    let (answer, said) = match turn {
        3 | 11 => (
            vec![
                json!({ "type": "text", "text": "Two at once.", "citations": [] }),
                call(0, "Bash", json!({ "command": "ls" })),
                call(1, "Read", json!({ "file_path": "/a.png" })),
            ],
            vec![result(1, json!([picture])), result(0, json!("a.png"))],
        ),
        n if n + 1 == LOADS => (
            vec![call(0, "ToolSearch", json!({ "query": "select:WebFetch,NotebookEdit" }))],
            vec![
                result(
                    0,
                    json!([
                        { "type": "tool_reference", "tool_name": "WebFetch" },
                        { "type": "tool_reference", "tool_name": "NotebookEdit" },
                    ]),
                ),
                json!({ "type": "text", "text": "Loaded." }),
            ],
        ),
        n if n % 5 == 4 => (
            vec![thinking, json!({ "type": "text", "text": format!("Step {turn} is done.") })],
            vec![json!({ "type": "text", "text": "Go on." })],
        ),
        _ => (
            vec![thinking, call(0, "Bash", json!({ "command": format!("step {turn}") }))],
            vec![
                json!({ "tool_use_id": id(0), "type": "tool_result", "content": "", "is_error": turn == 6 }),
            ],
        ),
    };
    messages.push(json!({ "role": "assistant", "content": answer }));
    messages.push(json!({ "role": "user", "content": said }));
    match turn {
        5 => messages.push(json!({ "role": "system", "content": "Further tools can be loaded." })),
        12 => messages.push(json!({ "role": "system", "content": "The date is 2026-11-29 now." })),
        14 => {
            messages.push(json!({ "role": "system", "content": "The user typed: and the tests." }));
        }
        _ => {}
    }
}

fn request(turn: usize, messages: &[Value]) -> Value {
    let tool = |name: &str| {
        json!({
            "name": name, "description": format!("The tool {name}."),
            "input_schema": { "type": "object", "properties": { "of": { "type": "string" } } },
        })
    };
    let deferred = |name: &str| {
        let mut tool = tool(name);
        tool["defer_loading"] = json!(true);
        tool
    };
    let mut tools = vec![
        tool("Bash"),
        tool("Read"),
        tool("ToolSearch"),
        deferred("Placeholder"),
        tool("Write"),
    ];
    if turn >= LOADS {
        tools.insert(1, deferred("NotebookEdit"));
        tools.insert(4, deferred("WebFetch"));
    }
    let mut messages = messages.to_vec();
    let last = messages.last_mut().expect("a message");
    if let Some(text) = last["content"].as_str() {
        last["content"] = json!([{ "type": "text", "text": text }]);
    }
    let blocks = last["content"].as_array_mut().expect("blocks");
    blocks.last_mut().expect("a block")["cache_control"] = json!({ "type": "ephemeral" });
    // What was said before the last is a string where it is one text.
    let before = messages.len() - 1;
    for message in &mut messages[..before] {
        let blocks = message["content"].as_array().cloned().unwrap_or_default();
        if let [only] = &blocks[..]
            && let (Some(text), "user") =
                (only["text"].as_str(), message["role"].as_str().unwrap_or(""))
        {
            message["content"] = json!(text);
        }
    }
    json!({
        "model": "claude-opus-5-5",
        "messages": messages,
        "system": [
            { "type": "text", "text": format!("x-anthropic-billing-header: cc_version=2.1.330.{turn:03x}; cch={turn:05x};") },
            { "type": "text", "text": "You are an agent.", "cache_control": { "type": "ephemeral" } },
            { "type": "text", "text": "Rules.\nMore of them.", "cache_control": { "type": "ephemeral" } },
        ],
        "tools": tools,
        "metadata": { "user_id": "{\"device_id\":\"d0d0\",\"account_uuid\":\"\",\"session_id\":\"s\"}" },
        "max_tokens": 32000,
        "thinking": { "type": "adaptive" },
        "output_config": { "effort": "high" },
        "stream": true,
    })
}

/// The bytes without the marks of a cache.
fn without_marks(json: &str) -> String {
    const MARKS: &[&str] = &[
        r#""cache_control":{"type":"ephemeral"}"#,
        r#""prompt_cache_breakpoint":{"mode":"explicit"}"#,
    ];
    MARKS.iter().fold(json.to_owned(), |json, mark| {
        json.replace(&format!(",{mark}"), "").replace(&format!("{mark},"), "")
    })
}

/// The bytes that `row` gets in the place of `request` through `api`, or through its own Messages
/// API. Marks of a cache stand elsewhere each time, and are no part of the prompt.
fn sent(row: &Provider, api: Option<Dialect>, request: &Value) -> String {
    let body = request.to_string();
    let Some(api) = api else {
        let read = anthropic::parse(body.as_bytes()).expect("a request");
        let made = native_request(body.as_bytes(), &read, row, "m", None, Some(SESSION));
        let (made, _) = made.expect("a request");
        return without_marks(std::str::from_utf8(&made.to_vec()).expect("UTF-8"));
    };
    let model = if row.model.is_empty() { "m" } else { row.model };
    let learned = Learned::default();
    let target = Target {
        model,
        max_tokens: row.max_tokens_of(row.model),
        session: Some(SESSION),
        ..target(row, api, &learned)
    };
    let request = anthropic::parse(body.as_bytes()).expect("a request");
    let wire = translate(&request, &target).expect("a translation").wanted.write();
    without_marks(&serde_json::to_string(&wire).expect("the wire types serialize"))
}

#[test]
fn twenty_turns_of_a_session_begin_with_the_same_bytes() {
    let session = session();
    for row in PROVIDERS.iter().filter(|row| row.speaks_chat) {
        for api in [Dialect::ChatCompletions, Dialect::Responses] {
            let all: Vec<String> =
                session.iter().map(|request| sent(row, Some(api), request)).collect();
            for (turn, pair) in all.windows(2).enumerate() {
                let [before, after] = pair else { unreachable!("a window of two") };
                let what = format!("{} {api:?}, turn {}", row.name, turn + 1);
                // The conversation stands last: all but its end comes again.
                let kept = before.strip_suffix("]}").expect("the conversation is last");
                if turn + 1 == LOADS {
                    let tools = before.find(r#"}],"#).expect("tools");
                    assert_eq!(after[..tools], before[..tools], "{what}: the tools so far");
                    let list =
                        if api == Dialect::Responses { "\"input\":[" } else { "\"messages\":[" };
                    let (_, before) = kept.split_once(list).expect("a conversation");
                    let (_, after) = after.split_once(list).expect("a conversation");
                    assert!(after.starts_with(before), "{what}:\n{before}\n{after}");
                    continue;
                }
                assert!(after.starts_with(kept), "{what}:\n{before}\n{after}");
                assert!(after.len() > before.len(), "{what} says something new");
            }
        }
    }
}

/// The bytes are the client's own there, who has the conversation near the beginning: what stands
/// around it must not change, and it must only grow.
#[test]
fn natively_too_nothing_changes_but_the_end_of_the_conversation() {
    let session = session();
    for row in PROVIDERS.iter().filter(|row| row.native.is_some()) {
        let all: Vec<Value> = session
            .iter()
            .map(|request| serde_json::from_str(&sent(row, None, request)).expect("JSON"))
            .collect();
        for (turn, pair) in all.windows(2).enumerate() {
            let [before, after] = pair else { unreachable!("a window of two") };
            let what = format!("{}, turn {}", row.name, turn + 1);
            let (before_said, after_said) = (said(before), said(after));
            assert!(after_said.len() > before_said.len(), "{what}");
            assert_eq!(after_said[..before_said.len()], before_said[..], "{what}");
            for (field, value) in before.as_object().expect("an object") {
                let is_new = match field.as_str() {
                    "messages" => true,
                    "tools" => turn + 1 == LOADS,
                    // Its own line, which Anthropic leaves out itself.
                    "system" => row.native_is_anthropics,
                    _ => false,
                };
                assert!(is_new || after[field] == *value, "{what}: {field}");
            }
        }
    }
}

/// The messages of a native request; a text alone is the same as a list with it.
fn said(request: &Value) -> Vec<Value> {
    let messages = request["messages"].as_array().expect("messages");
    let plain = |message: &Value| {
        let mut message = message.clone();
        if let Some(text) = message["content"].as_str() {
            message["content"] = json!([{ "type": "text", "text": text }]);
        }
        message
    };
    messages.iter().map(plain).collect()
}

/// Every provider is told of the session in its own way, and none of who the user is.
#[test]
fn a_session_is_named_where_the_provider_looks_for_it() {
    let request = &session()[3];
    let found = |row: &str, api: Option<Dialect>| {
        let row = Provider::find(row).expect("a row");
        let wire = sent(row, api, request);
        let wire: Value = serde_json::from_str(&wire).expect("JSON");
        wire["prompt_cache_key"].as_str().map(str::to_owned)
    };
    let key = Some(SESSION.to_owned());
    for row in ["openai", "azure", "mistral", "moonshot", "cerebras"] {
        assert_eq!(found(row, Some(Dialect::ChatCompletions)), key, "{row}");
    }
    for row in ["openai", "azure", "xai"] {
        assert_eq!(found(row, Some(Dialect::Responses)), key, "{row}");
    }
    for row in ["groq", "gemini", "xai", "fireworks", "custom", "vllm"] {
        assert_eq!(found(row, Some(Dialect::ChatCompletions)), None, "{row} takes no such field");
    }
    for row in PROVIDERS {
        let native = row.native.map(|_| None);
        let chat = row.speaks_chat.then_some(Some(Dialect::ChatCompletions));
        for api in native.into_iter().chain(chat) {
            let wire = sent(row, api, request);
            let is_passed_on = api.is_none() && row.native_is_anthropics;
            assert_eq!(wire.contains("device_id"), is_passed_on, "{}: {wire}", row.name);
        }
    }
}

/// Where a client ends what is to be cached, the provider's own mark stands, if it has one.
#[test]
fn marks_of_a_cache_become_the_providers_own() {
    let session = session();
    let marked = |row: &str, model: &str, turn: usize| {
        let row = Provider {
            model: Box::leak(model.to_owned().into_boxed_str()),
            ..*Provider::find(row).expect("a row")
        };
        let body = session[turn].to_string();
        let request = anthropic::parse(body.as_bytes()).expect("a request");
        let learned = Learned::default();
        let target =
            Target { model: row.model, ..target(&row, Dialect::ChatCompletions, &learned) };
        let translated = translate(&request, &target).expect("a translation");
        let dropped = translated.report.dropped.contains(&"cache_control");
        let wire = translated.wanted.encode(body.as_bytes()).expect("it is waited for").to_vec();
        let wire: Value = serde_json::from_slice(&wire).expect("JSON");
        let messages = wire["messages"].as_array().expect("messages").clone();
        let mut marks = Vec::new();
        for (at, message) in messages.iter().enumerate() {
            for part in message["content"].as_array().into_iter().flatten() {
                if part["cache_control"] == json!({ "type": "ephemeral" }) {
                    marks.push((at, part["text"].as_str().expect("a text").to_owned()));
                }
            }
        }
        assert_eq!(dropped, marks.is_empty(), "{row:?} {model}");
        (messages.len() - 1, marks)
    };
    for (row, model) in [("dashscope", "qwen4-max"), ("openrouter", "qwen/qwen4-max")] {
        for turn in [1, 3, 5, 6, 13] {
            let (last, marks) = marked(row, model, turn);
            let at: Vec<usize> = marks.iter().map(|(at, _)| *at).collect();
            assert_eq!(at, [0, 0, last], "{row}, turn {turn}: {marks:?}");
            assert_eq!(marks[0].1, "You are an agent.");
            assert_eq!(marks[1].1, "Rules.\nMore of them.");
        }
    }
    for (row, model) in [("openrouter", "z-ai/glm-5.3"), ("dashscope", "glm-5.3"), ("openai", "m")]
    {
        assert_eq!(marked(row, model, 5).1, [], "{row} {model}");
    }
}

/// The Responses API has them too, in messages: the system prompt is one then.
#[test]
fn marks_of_a_cache_become_breakpoints_of_the_responses_api() {
    let written = |model: &str, request: &Value| {
        let row = Provider::find("openai").expect("a row");
        let body = request.to_string();
        let request = anthropic::parse(body.as_bytes()).expect("a request");
        let learned = Learned::default();
        let api = Dialect::Responses;
        let target = Target { model, ..target(row, api, &learned) };
        let translated = translate(&request, &target).expect("a translation");
        let dropped = translated.report.dropped.contains(&"cache_control");
        let wire = translated.wanted.encode(body.as_bytes()).expect("it is waited for").to_vec();
        (dropped, serde_json::from_slice::<Value>(&wire).expect("JSON"))
    };
    let cached = json!({ "type": "ephemeral" });
    let request = json!({
        "model": "m", "max_tokens": 99,
        "system": [
            { "type": "text", "text": "Rules.", "cache_control": cached },
            { "type": "text", "text": "More." },
        ],
        "messages": [{ "role": "user", "content": [
            { "type": "text", "text": "A long text.", "cache_control": cached },
            { "type": "text", "text": "A question." },
        ] }],
    });
    let text = |text: &str| json!({ "type": "input_text", "text": text });
    let marked = |of: &str| {
        let mut marked = text(of);
        marked["prompt_cache_breakpoint"] = json!({ "mode": "explicit" });
        marked
    };
    let (dropped, wire) = written("gpt-5.6-sol", &request);
    assert!(!dropped && wire["instructions"].is_null(), "{wire}");
    assert_eq!(
        wire["input"],
        json!([
            { "type": "message", "role": "system", "content": [marked("Rules."), text("More.")] },
            {
                "type": "message", "role": "user",
                "content": [marked("A long text."), text("A question.")],
            },
        ])
    );
    // Older models refuse them, and what asks for none has none.
    let (dropped, wire) = written("gpt-5.5", &request);
    assert!(dropped && !wire.to_string().contains("breakpoint"), "{wire}");
    assert_eq!(wire["instructions"], "Rules.\n\nMore.");
    let plain = json!({
        "model": "m", "max_tokens": 99, "system": "Rules.",
        "messages": [{ "role": "user", "content": "A question." }],
    });
    let (dropped, wire) = written("gpt-5.6-sol", &plain);
    assert!(!dropped && wire["instructions"] == "Rules.", "{wire}");
}
