//! A search of the web, as Claude Code's WebSearch asks for it: the provider's own is asked for in
//! its own words, and what it has found comes back in blocks of the Messages API.

use serde_json::{Value, json};

use crate::support::client::{Client, Event, JSON};
use crate::support::proxy::{Proxy, Setup};
use crate::support::upstream::Upstream;

/// The side request of Claude Code's WebSearch.
fn search(stream: bool) -> Vec<u8> {
    json!({
        "model": "claude-opus-5-5", "max_tokens": 32000, "stream": stream,
        "messages": [{ "role": "user", "content": [
            { "type": "text", "text": "Perform a web search for the query: rust 2026" },
        ] }],
        "tools": [{
            "type": "web_search_20250305", "name": "web_search", "max_uses": 8,
            "allowed_domains": ["a.example"],
        }],
        "tool_choice": { "type": "auto" },
    })
    .to_string()
    .into_bytes()
}

fn proxy(row: &str, model: &str, upstream: &Upstream) -> Proxy {
    let upper = row.to_uppercase();
    Setup::empty()
        .variable("SERVER_HOST", "127.0.0.1")
        .variable("SERVER_PORT", "0")
        .variable("PROVIDER", row)
        .variable(&format!("{upper}_API_KEY"), "k")
        .variable(&format!("{upper}_BASE_URL"), &upstream.base_url())
        .variable(&format!("{upper}_MODEL"), model)
        .start()
}

/// The content of a message that found `https://a.example/`.
fn check_found(message: &Value, row: &str) {
    let content = message["content"].as_array().expect("content");
    let kinds: Vec<&str> = content.iter().filter_map(|block| block["type"].as_str()).collect();
    assert_eq!(kinds, ["server_tool_use", "web_search_tool_result", "text"], "{row}: {message}");
    assert_eq!(content[0]["name"], "web_search");
    assert_eq!(content[0]["input"]["query"], "rust 2026", "{row}");
    assert_eq!(content[1]["tool_use_id"], content[0]["id"]);
    let found = &content[1]["content"][0];
    assert_eq!(found["type"], "web_search_result", "{row}: {message}");
    assert_eq!((&found["url"], &found["title"]), (&json!("https://a.example/"), &json!("A")));
    assert_eq!(content[2]["text"], "It is told.", "{row}");
    assert_eq!(message["usage"]["server_tool_use"]["web_search_requests"], 1, "{row}");
    assert_eq!(message["stop_reason"], "end_turn");
}

/// How a provider is asked in chat completions, and what it answers: fields of the request that must
/// be there, of the message, and beside the choices.
fn chat_forms() -> Vec<(&'static str, &'static str, Value, Value, Value)> {
    let page = json!({ "url": "https://a.example/", "title": "A" });
    vec![
        (
            "openrouter",
            "z-ai/glm-5.3",
            json!({ "plugins": [{ "id": "web", "include_domains": ["a.example"] }] }),
            json!({ "annotations": [{ "type": "url_citation", "url_citation": page }] }),
            json!({}),
        ),
        (
            "groq",
            "openai/gpt-oss-120b",
            json!({
                "model": "groq/compound", "max_completion_tokens": 8192,
                "compound_custom": { "tools": { "enabled_tools": ["web_search"] } },
                "search_settings": { "include_domains": ["a.example"] },
            }),
            json!({ "executed_tools": [{ "type": "search", "search_results": { "results": [page] } }] }),
            json!({}),
        ),
        (
            "dashscope",
            "qwen4-max",
            json!({ "enable_search": true, "search_options": { "forced_search": true, "enable_source": true } }),
            json!({}),
            json!({ "search_info": { "search_results": [page] } }),
        ),
        (
            "zai",
            "glm-5.3",
            json!({ "tools": [{ "type": "web_search", "web_search": {
                "enable": true, "search_engine": "search-prime", "search_query": "rust 2026",
                "search_result": true, "search_domain_filter": "a.example",
            } }] }),
            json!({}),
            json!({ "web_search": [{ "link": "https://a.example/", "title": "A", "publish_date": "2026-11-28" }] }),
        ),
    ]
}

#[test]
fn a_search_is_asked_for_in_the_providers_own_words() {
    for (row, model, asked, said, beside) in chat_forms() {
        for stream in [false, true] {
            let upstream = Upstream::start();
            let proxy = proxy(row, model, &upstream);
            let mut client = Client::connect(&proxy);
            client.send("POST", "/v1/messages", JSON, &search(stream));
            let mut connection = upstream.accept();
            let request = connection.request();
            for (field, value) in asked.as_object().expect("fields") {
                assert_eq!(request.body[field], *value, "{row}: {}", request.body);
            }
            let mut message = json!({ "role": "assistant", "content": "It is told." });
            let fields = message.as_object_mut().expect("an object");
            fields.extend(said.as_object().expect("an object").clone());
            let mut body = json!({
                "id": "1", "object": "chat.completion", "created": 0, "model": "m",
                "choices": [{ "index": 0, "message": message, "finish_reason": "stop" }],
                "usage": { "prompt_tokens": 9, "completion_tokens": 3 },
            });
            let fields = body.as_object_mut().expect("an object");
            fields.extend(beside.as_object().expect("an object").clone());
            connection.answer("200 OK", &[], &body.to_string());
            if stream {
                client.begin();
                let events = client.events();
                check_found(&folded(&events), row);
            } else {
                check_found(&client.answer().json(), row);
            }
        }
    }
}

/// The message that the events of a stream add up to.
fn folded(events: &[Event]) -> Value {
    let mut message = Value::Null;
    let mut input = String::new();
    for Event { name, data } in events {
        match name.as_str() {
            "message_start" => message = data["message"].clone(),
            "content_block_start" => {
                let blocks = message["content"].as_array_mut().expect("content");
                blocks.push(data["content_block"].clone());
                input.clear();
            }
            "content_block_delta" => {
                let blocks = message["content"].as_array_mut().expect("content");
                let block = blocks.last_mut().expect("a block");
                if let Some(text) = data["delta"]["text"].as_str() {
                    let before = block["text"].as_str().unwrap_or_default();
                    block["text"] = json!(format!("{before}{text}"));
                }
                if let Some(piece) = data["delta"]["partial_json"].as_str() {
                    input.push_str(piece);
                    block["input"] = serde_json::from_str(&input).unwrap_or_default();
                }
            }
            "message_delta" => {
                message["stop_reason"] = data["delta"]["stop_reason"].clone();
                message["usage"] = data["usage"].clone();
            }
            _ => {}
        }
    }
    message
}

#[test]
fn the_responses_api_has_a_tool_for_it() {
    for (row, model, filters) in [
        ("openai", "gpt-6.1-sol", json!({ "allowed_domains": ["a.example"] })),
        ("xai", "grok-4.7", json!({ "allowed_domains": ["a.example"] })),
    ] {
        let upstream = Upstream::start();
        let proxy = proxy(row, model, &upstream);
        let mut client = Client::connect(&proxy);
        client.send("POST", "/v1/messages", JSON, &search(false));
        let mut connection = upstream.accept();
        let request = connection.request_at("/v1/responses");
        assert_eq!(request.body["tools"], json!([{ "type": "web_search", "filters": filters }]));
        let citation = json!({ "type": "url_citation", "url": "https://a.example/", "title": "A" });
        let text =
            json!({ "type": "output_text", "text": "It is told.", "annotations": [citation] });
        let body = json!({
            "id": "resp_1", "object": "response", "status": "completed",
            "output": [
                { "type": "web_search_call", "id": "ws_1", "status": "completed",
                  "action": { "type": "search", "query": "rust 2026",
                              "sources": [{ "type": "url", "url": "https://a.example/" }] } },
                { "type": "message", "id": "msg_1", "role": "assistant", "content": [text] },
            ],
            "usage": { "input_tokens": 9, "output_tokens": 3 },
        });
        connection.answer("200 OK", &[], &body.to_string());
        check_found(&client.answer().json(), row);
    }
}

/// Claude Code says so, and goes on; nobody is asked, and nothing is paid.
#[test]
fn where_there_is_no_search_that_is_said() {
    for stream in [false, true] {
        let upstream = Upstream::start();
        let proxy = Setup::asking(&upstream).start();
        let mut client = Client::connect(&proxy);
        client.send("POST", "/v1/messages", JSON, &search(stream));
        let message = if stream {
            client.begin();
            folded(&client.events())
        } else {
            client.answer().json()
        };
        let content = message["content"].as_array().expect("content");
        assert_eq!(content[0]["type"], "server_tool_use", "{message}");
        let error = json!({ "type": "web_search_tool_result_error", "error_code": "unavailable" });
        assert_eq!(content[1]["content"], error, "{message}");
        let words = content[2]["text"].as_str().expect("words");
        assert!(words.contains("custom has no search of its own"), "{words}");
        assert_eq!(message["usage"]["input_tokens"], 0, "{message}");
        upstream.assert_nobody_waits();
    }
}

/// Of several places the first that can search is asked.
#[test]
fn a_place_that_searches_is_preferred() {
    let (first, second) = (Upstream::start(), Upstream::start());
    let proxy = Setup::file(json!({ "providers": [
        { "name": "plain", "type": "custom", "base_url": first.base_url(), "model": "m", "api_key": "k" },
        { "name": "openrouter", "base_url": second.base_url(), "model": "z-ai/glm-5.3", "api_key": "k" },
    ] }))
    .start();
    let mut client = Client::connect(&proxy);
    client.send("POST", "/v1/messages", JSON, &search(false));
    let mut connection = second.accept();
    assert_eq!(connection.request().body["plugins"][0]["id"], "web");
    connection.complete("See [A](https://a.example/).");
    let message = client.answer().json();
    // Who tells of no source beside the text has named it there.
    assert_eq!(message["content"][1]["content"][0]["url"], "https://a.example/", "{message}");
}
