//! Messages requests → chat completions requests, and requests of the Responses API: the golden requests, what must hold for every
//! one, and what damaged ones get.

use std::collections::HashSet;
use std::sync::LazyLock;

use ccproxy::anthropic;
use ccproxy::error::Error;
use ccproxy::openai::Dialect;
use ccproxy::provider::{PROVIDERS, Provider};
use ccproxy::route::{Asked, Known, Routes};
use ccproxy::tokens::estimate;
use ccproxy::translate::{self, Learned, Target};
use serde_json::Value;

use crate::golden::{Case, Kind};
use crate::splits::{Random, damage_bytes};

pub(crate) const REQUESTS: Kind =
    Kind { dir: "request", input: ".anthropic.json", output: ".openai.json" };

const FOR_RESPONSES: Kind =
    Kind { dir: "responses/request", input: ".anthropic.json", output: ".responses.json" };

const CHAT: Dialect = Dialect::ChatCompletions;

/// How many damaged forms of each golden request are tried.
const DAMAGED: u64 = 400;

static CUSTOM: LazyLock<&Provider> = LazyLock::new(|| Provider::find("custom").expect("a row"));

/// The request that `provider` gets, with its model and limits.
fn translate(body: &[u8], provider: &Provider, dialect: Dialect) -> Result<String, Error> {
    let request = anthropic::parse(body)?;
    let is_set = !provider.model.is_empty() || provider.knows_claude;
    let configured = if is_set { provider.model } else { "test-model" };
    let routes = Routes::in_order(vec![Known {
        name: provider.name.to_owned(),
        model: configured.to_owned(),
        images: provider.shown_images(),
    }]);
    let route = routes.choose(&request.model, Asked::default());
    let model = route.hops[0].model(configured, &request.model);
    let target = Target {
        provider,
        model,
        max_tokens: provider.max_tokens_of(model),
        images: provider.shown_images().of(model),
        api: dialect,
        session: None,
        learned: &Learned::default(),
    };
    let request = translate::translate(&request, &target)?.wanted.write();
    Ok(serde_json::to_string_pretty(&request).expect("the wire types serialize"))
}

/// The request for `provider`, or the error the client gets.
pub(crate) fn show(case: &Case, provider: &Provider, dialect: Dialect) -> String {
    let shown = translate(&case.input, provider, dialect)
        .unwrap_or_else(|error| String::from_utf8(error.body("req_test")).expect("UTF-8"));
    shown + "\n"
}

/// The providers a case is for: those that its name ends in, every one for `everything`.
pub(crate) fn providers(case: &Case) -> Vec<&'static Provider> {
    if case.name == "everything" {
        return PROVIDERS.iter().filter(|provider| provider.speaks_chat).collect();
    }
    let named = case.name.rsplit_once('.').map(|(_, name)| Provider::find(name));
    vec![named.map_or(*CUSTOM, |found| found.expect("the name of a provider"))]
}

#[test]
fn requests_are_translated() {
    REQUESTS.check(|case| {
        let providers = providers(case);
        let is_for_all = providers.len() > 1;
        let output = |provider: &&Provider| {
            let name = &case.name;
            let name = if is_for_all { format!("{name}.{}", provider.name) } else { name.clone() };
            (name, show(case, provider, CHAT))
        };
        providers.iter().map(output).collect()
    });
}

#[test]
fn every_request_is_well_formed_for_every_provider() {
    for case in REQUESTS.cases() {
        for provider in PROVIDERS {
            if let Ok(chat) = translate(&case.input, provider, CHAT) {
                let checked = well_formed(&chat);
                assert_eq!(checked, Ok(()), "{} for {}\n{chat}", case.name, provider.name);
            }
        }
    }
}

#[test]
fn requests_are_translated_for_the_responses_api() {
    FOR_RESPONSES.check(|case| {
        let shown = show(case, providers(case)[0], Dialect::Responses);
        vec![(case.name.clone(), shown)]
    });
}

#[test]
fn every_request_is_well_formed_for_the_responses_api() {
    for case in REQUESTS.cases().iter().chain(&FOR_RESPONSES.cases()) {
        for provider in PROVIDERS {
            if let Ok(request) = translate(&case.input, provider, Dialect::Responses) {
                let checked = well_formed_for_responses(&request);
                assert_eq!(checked, Ok(()), "{} for {}\n{request}", case.name, provider.name);
            }
        }
    }
}

/// Whether the service takes this request: an output for each call after it, something said or called
/// after reasoning, nothing empty, and no field that it does not know.
fn well_formed_for_responses(request: &str) -> Result<(), String> {
    const FIELDS: &[&str] = &[
        "model",
        "instructions",
        "input",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "max_output_tokens",
        "max_tool_calls",
        "temperature",
        "top_p",
        "reasoning",
        "include",
        "text",
        "store",
        "stream",
    ];
    let request: Value = serde_json::from_str(request).map_err(|e| e.to_string())?;
    let need = |holds: bool, fault: &str| if holds { Ok(()) } else { Err(fault.to_owned()) };
    let unknown = request
        .as_object()
        .and_then(|fields| fields.keys().find(|key| !FIELDS.contains(&key.as_str())));
    need(unknown.is_none(), &format!("the field {unknown:?}"))?;
    need(request["store"] == false, "it is stored")?;
    need(request["max_output_tokens"].as_u64() >= Some(16), "too few tokens")?;
    let mut open: Vec<&Value> = Vec::new();
    let mut after_reasoning = false;
    let input = request["input"].as_array().ok_or("no input")?;
    for (i, item) in input.iter().enumerate() {
        let at = |fault: &str| format!("input.{i}: {fault}");
        let kind = item["type"].as_str().unwrap_or_default();
        let is_users = kind == "function_call_output" || item["role"] == "user";
        need(!after_reasoning || !is_users, &at("reasoning leads to nothing"))?;
        after_reasoning = kind == "reasoning";
        match kind {
            "message" => {
                let content = item["content"].as_array().ok_or("no content")?;
                need(!content.is_empty(), &at("it is empty"))?;
                need(item["role"] == "assistant" || open.is_empty(), &at("a call has no output"))?;
            }
            "function_call" => open.push(&item["call_id"]),
            "function_call_output" => {
                let before = open.len();
                open.retain(|id| **id != item["call_id"]);
                need(open.len() + 1 == before, &at("an output without a call"))?;
            }
            "reasoning" => need(item["encrypted_content"].is_string(), &at("it is not encrypted"))?,
            _ => return Err(at("an unknown item")),
        }
    }
    need(open.is_empty() && !after_reasoning && !input.is_empty(), "it ends too early")?;
    let tools = request["tools"].as_array().into_iter().flatten();
    for tool in tools.filter(|tool| tool["type"] != "web_search") {
        need(tool["strict"] == false && tool["name"].is_string(), "a tool of another form")?;
    }
    Ok(())
}

/// Whether services take this request: system first, turns that alternate, a result right after
/// each call, nothing empty.
fn well_formed(chat: &str) -> Result<(), String> {
    let chat: Value = serde_json::from_str(chat).map_err(|e| e.to_string())?;
    let need = |holds: bool, fault: &str| if holds { Ok(()) } else { Err(fault.to_owned()) };
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let is_empty = |content: &Value| match content {
        Value::String(text) => text.is_empty(),
        Value::Array(parts) => parts.is_empty(),
        _ => true,
    };
    let mut ids = HashSet::new();
    let mut open: Vec<Value> = Vec::new();
    let mut before = String::new();
    for (i, message) in list(&chat["messages"]).iter().enumerate() {
        let role = message["role"].as_str().unwrap_or_default();
        let content = &message["content"];
        let at = |fault: &str| format!("messages.{i}: {fault}");
        let calls = list(&message["tool_calls"]);
        need(role == "tool" || open.is_empty(), &at("a call has no result"))?;
        need(!is_empty(content) || !calls.is_empty(), &at("it is empty"))?;
        need(role == "tool" || role != before, &at("the role is that of the message before"))?;
        match role {
            "system" => need(i == 0, &at("system is not first"))?,
            "user" => {}
            "assistant" => {
                for call in calls {
                    need(ids.insert(call["id"].to_string()), &at("an id for the second time"))?;
                    let arguments = call["function"]["arguments"].as_str().unwrap_or_default();
                    let arguments: Value = serde_json::from_str(arguments).unwrap_or_default();
                    need(arguments.is_object(), &at("the arguments are no object"))?;
                    open.push(call["id"].clone());
                }
            }
            "tool" => {
                need(open.first() == Some(&message["tool_call_id"]), &at("not the next result"))?;
                open.remove(0);
                // One part where a mark of a cache may stand.
                let part =
                    content.as_array().filter(|parts| parts.len() == 1).map(|parts| &parts[0]);
                let is_text =
                    content.is_string() || part.is_some_and(|part| part["text"].is_string());
                need(is_text, &at("a result that is no text"))?;
            }
            _ => return Err(at("an unknown role")),
        }
        before = role.to_owned();
    }
    need(open.is_empty(), "a call has no result")?;
    let tools = list(&chat["tools"]);
    need(chat.get("tools").is_none() || !tools.is_empty(), "tools is empty")?;
    need(chat.get("tool_choice").is_none() || !tools.is_empty(), "a choice without tools")?;
    for tool in tools.iter().filter(|tool| tool["type"] != "web_search") {
        let name = tool["function"]["name"].as_str().unwrap_or_default();
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
        need(plain && (1..=64).contains(&name.len()), "a name that services refuse")?;
        let parameters = &tool["function"]["parameters"];
        need(parameters.get("type").is_some(), "a schema without type")?;
        need(parameters.get("properties").is_some(), "a schema without properties")?;
    }
    let limits = ["max_tokens", "max_completion_tokens"].map(|key| chat[key].as_u64());
    need(limits.iter().flatten().all(|limit| *limit > 0), "a limit of 0")?;
    need(limits.iter().flatten().count() == 1, "not one limit of tokens")
}

#[test]
fn a_damaged_request_is_refused_with_a_reason_or_well_formed() {
    for (number, case) in REQUESTS.cases().iter().enumerate() {
        for seed in 0..DAMAGED {
            let mut random = Random::new(seed << 16 | number as u64);
            let damaged = damage(&case.input, &mut random);
            let provider = &PROVIDERS[random.below(PROVIDERS.len())];
            let checked = match translate(&damaged, provider, CHAT) {
                Ok(chat) => well_formed(&chat).map_err(|fault| format!("{fault}\n{chat}")),
                Err(error) if error.to_string().is_empty() => Err("no reason".to_owned()),
                Err(_) => Ok(()),
            };
            if let Err(fault) = checked {
                let damaged = String::from_utf8_lossy(&damaged);
                panic!("{} with seed {seed} for {}: {fault}\n{damaged}", case.name, provider.name);
            }
        }
    }
}

/// `input` with one to three faults: in its values, as careless clients make them, or in its bytes.
fn damage(input: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=random.below(3) {
        match serde_json::from_slice::<Value>(&bytes) {
            Ok(mut json) if random.below(4) > 0 => {
                damage_value(&mut json, random);
                bytes = serde_json::to_vec(&json).expect("JSON");
            }
            _ => damage_bytes(&mut bytes, random),
        }
    }
    bytes
}

/// Removes, repeats or replaces one value somewhere inside `json`.
fn damage_value(json: &mut Value, random: &mut Random) {
    const VALUES: &[&str] = &[
        "null",
        "true",
        "0",
        "-1.5",
        "\"\"",
        "\"user\"",
        "[]",
        "{}",
        "[[]]",
        "[{\"type\":\"text\"}]",
    ];
    let deeper = random.below(5) > 0;
    match json {
        Value::Object(object) if deeper && !object.is_empty() => {
            let at = random.below(object.len());
            let key = object.keys().nth(at).expect("below the length").clone();
            if random.below(8) == 0 {
                object.remove(&key);
            } else {
                damage_value(&mut object[&key], random);
            }
        }
        Value::Array(items) if deeper && !items.is_empty() => {
            let at = random.below(items.len());
            match random.below(8) {
                0 => {
                    items.remove(at);
                }
                1 => items.insert(random.below(at + 1), items[at].clone()),
                2 => items.swap(0, at),
                _ => damage_value(&mut items[at], random),
            }
        }
        _ => {
            let value = VALUES[random.below(VALUES.len())];
            *json = serde_json::from_str(value).expect("JSON");
        }
    }
}

/// Checks the text of the error for a request.
fn check_refused(body: &str, message: &str) {
    let said = translate(body.as_bytes(), *CUSTOM, CHAT).map_err(|error| {
        assert_eq!(error.status(), 400, "{body}");
        error.to_string()
    });
    assert_eq!(said, Err(message.to_owned()), "{body}");
}

#[test]
fn a_refusal_names_the_place() {
    let user = r#"{"role":"user","content":"hi"}"#;
    check_refused("", "the body is not valid JSON: EOF while parsing a value at line 1, column 0");
    check_refused(
        "{\"model\":\"m\",\n\"messages\":[}",
        "the body is not valid JSON: expected value at line 2, column 13",
    );
    check_refused("{}", "model: field required");
    check_refused(r#"{"model":"m"}"#, "messages: field required");
    check_refused(
        r#"{"model":"m","max_tokens":1,"messages":[]}"#,
        "messages: at least one message is required",
    );
    check_refused(&format!(r#"{{"model":"m","messages":[{user}]}}"#), "max_tokens: field required");
    for (fields, message) in [
        (r#""messages":"hi""#, "messages: invalid type: string, expected a sequence"),
        (r#""messages":[{"content":"hi"}]"#, "messages.0.role: field required"),
        (r#""messages":[{"role":"user"}]"#, "messages.0.content: field required"),
        (
            r#""messages":[{"role":"tool","content":"hi"}]"#,
            "messages.0.role: unknown variant `tool`, expected one of `user`, `assistant`, `system`",
        ),
        (
            r#""messages":[{"role":"user","content":5}]"#,
            "messages.0.content: invalid type: integer `5`, expected a string or an array of content blocks",
        ),
        (
            r#""messages":[{"role":"user","content":[{"type":"text"}]}]"#,
            "messages.0.content.0: text: field required",
        ),
        (
            r#""messages":[{"role":"user","content":[{"type":"text","text":"a"},{"text":"b"}]}]"#,
            "messages.0.content.1.type: field required",
        ),
        (
            r#""messages":[{"role":"user","content":[{"type":"image","source":{"type":"file","file_id":"f"}}]}]"#,
            r#"messages.0.content.0: image source "file" is not supported; use "base64" or "url""#,
        ),
        (
            r#""messages":[{"role":"assistant","content":[{"type":"tool_use","id":"a"}]}]"#,
            "messages.0.content.0: name: field required",
        ),
        (
            r#""messages":[{"role":"user","content":[]}]"#,
            "messages: there is no message with content for the model",
        ),
        (
            r#""messages":[{"role":"user","content":"hi"}],"tools":[{"input_schema":{}}]"#,
            "tools.0.name: field required",
        ),
        (
            r#""messages":[{"role":"user","content":"hi"}],"tools":[{"name":"a","input_schema":{}}],"tool_choice":{"type":"tool"}"#,
            "tool_choice.name: field required",
        ),
        (
            r#""messages":[{"role":"user","content":"hi"}],"stop_sequences":"STOP""#,
            "stop_sequences: invalid type: string, expected a sequence",
        ),
        (
            r#""messages":[{"role":"user","content":"hi"}],"temperature":1.5"#,
            "temperature: 1.5 is not from 0 to 1",
        ),
        (
            r#""messages":[{"role":"user","content":"hi"}],"top_p":-1"#,
            "top_p: -1 is not from 0 to 1",
        ),
        (
            r#""messages":[{"role":"user","content":[{"type":"image","source":"s"}]}]"#,
            "messages.0.content.0: source: a string, expected an object",
        ),
    ] {
        check_refused(&format!(r#"{{"model":"m","max_tokens":1,{fields}}}"#), message);
    }
}

/// A request with one thing wrong, and with this text there, as it is shown to the client and logged.
fn complaint(fields: &str, text: &str) -> String {
    let text = serde_json::to_string(text).expect("a text serializes");
    let body = format!(r#"{{"model":"m","max_tokens":1,{}}}"#, fields.replace("$", &text));
    translate(body.as_bytes(), *CUSTOM, CHAT).expect_err(fields).to_string()
}

#[test]
fn a_refusal_repeats_nothing_that_the_client_has_written() {
    for fields in [
        r#""messages":$"#,
        r#""messages":[$]"#,
        r#""messages":[{"role":$,"content":"hi"}]"#,
        r#""messages":[{"role":"user","content":[$]}]"#,
        r#""messages":[{"role":"user","content":[{"type":"image","source":$}]}]"#,
        r#""messages":[{"role":"user","content":[{"type":"image","source":{"type":$}}]}]"#,
        r#""messages":[{"role":"user","content":[{"type":"document","source":{"type":$}}]}]"#,
        r#""messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","is_error":$}]}]"#,
        r#""messages":[{"role":"user","content":"hi"}],"max_tokens":$"#,
        r#""messages":[{"role":"user","content":"hi"}],"temperature":$"#,
        r#""messages":[{"role":"user","content":"hi"}],"top_k":$"#,
        r#""messages":[{"role":"user","content":"hi"}],"stream":$"#,
        r#""messages":[{"role":"user","content":"hi"}],"stop_sequences":$"#,
        r#""messages":[{"role":"user","content":"hi"}],"tools":$"#,
        r#""messages":[{"role":"user","content":"hi"}],"tools":[$]"#,
        r#""messages":[{"role":"user","content":"hi"}],"tool_choice":{"type":$}"#,
        r#""messages":[{"role":"user","content":"hi"}],"thinking":$"#,
        r#""messages":[{"role":"user","content":"hi"}],"output_config":$"#,
        r#""messages":[{"role":"user","content":"hi"}],"max_tokens":$}"#,
        r#""messages":[{"role":"user","content":"hi","odd":$,}]"#,
    ] {
        for secret in [
            "the plan is secret",
            "the plan is secret, expected nothing",
            "a \"secret\" `plan`",
            &"the plan is secret ".repeat(10_000),
        ] {
            let said = complaint(fields, secret);
            assert!(!said.contains("secret") && said.len() < 300, "{fields}: {said}");
        }
    }
}

#[test]
fn a_refusal_says_what_there_is_too_much_of() {
    let user = r#"{"role":"user","content":"hi"}"#;
    let list =
        |item: &str, count: usize| format!("[{}{item}]", format!("{item},").repeat(count - 1));
    let deep = format!("{}{}", "[".repeat(1001), "]".repeat(1001));
    for (fields, message) in [
        (
            format!(r#""messages":{}"#, list(user, 100_001)),
            "messages.100000: no more than 100000 are taken",
        ),
        (
            format!(r#""messages":[{user}],"tools":{}"#, list("{}", 2001)),
            "tools.2000: no more than 2000 are taken",
        ),
        (
            format!(r#""messages":[{user}],"stop_sequences":{}"#, list("\"a\"", 1001)),
            "stop_sequences.1000: no more than 1000 are taken",
        ),
        (
            format!(r#""messages":[{user}],"tools":[{{"name":"a","input_schema":{deep}}}]"#),
            "tools.0.input_schema: it holds JSON that is nested more than 1000 deep",
        ),
        (
            r#""messages":[{"role":"user","content":[5]}]"#.to_owned(),
            "messages.0.content.0: invalid type: integer `5`, expected a content block",
        ),
    ] {
        check_refused(&format!(r#"{{"model":"m","max_tokens":1,{fields}}}"#), message);
    }
}

/// Checks the estimate of a request with these fields.
fn check_estimate(fields: &str, tokens: u64) {
    let body = format!(r#"{{"model":"m",{fields}}}"#);
    let request = anthropic::parse(body.as_bytes()).expect("a request");
    assert_eq!(estimate(&request), tokens, "{fields}");
}

#[test]
fn tokens_are_estimated() {
    let text = "the end ".repeat(50);
    check_estimate(r#""messages":[{"role":"user","content":[]}]"#, 4);
    check_estimate(&format!(r#""messages":[{{"role":"user","content":"{text}"}}]"#), 105);
    check_estimate(
        &format!(r#""system":"{text}","messages":[{{"role":"user","content":"{text}"}}]"#),
        210,
    );
    check_estimate(
        r#""messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}}]}]"#,
        1604,
    );
    check_estimate(
        &format!(
            r#""messages":[{{"role":"user","content":""}}],"tools":[{{"name":"n","description":"{text}","input_schema":{{}}}}]"#
        ),
        121,
    );
}

/// As generated from types that hold themselves: seen with users of MCP servers.
#[test]
fn a_schema_of_140_objects_in_each_other_is_passed_on() {
    let schema = format!(
        "{}{}{}",
        r#"{"type":"object","properties":{"a":"#.repeat(140),
        r#"{"type":"string"}"#,
        "}}".repeat(140)
    );
    let body = format!(
        r#"{{"model":"m","max_tokens":1,"messages":[{{"role":"user","content":"hi"}}],
            "tools":[{{"name":"a","input_schema":{schema}}}]}}"#
    );
    for provider in PROVIDERS {
        let made = translate(body.as_bytes(), provider, CHAT);
        let made = made.unwrap_or_else(|error| panic!("{}: {error}", provider.name));
        assert_eq!(made.matches("\"parameters\"").count(), 1, "{}: {made}", provider.name);
    }
}
