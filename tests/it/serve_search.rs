//! A search of the web, as Claude Code's WebSearch asks for it: the provider's own is asked for in
//! its own words, and what it has found comes back in blocks of the Messages API.

use serde_json::{Value, json};

use crate::support::client::{Client, Event, JSON};
use crate::support::exchange::start;
use crate::support::proxy::Setup;
use crate::support::upstream::Upstream;

/// The side request of Claude Code's WebSearch.
pub(crate) fn search(stream: bool) -> Vec<u8> {
    search_of(stream, &json!({ "max_uses": 8, "allowed_domains": ["a.example"] }))
}

/// The same with these fields of the tool.
pub(crate) fn search_of(stream: bool, fields: &Value) -> Vec<u8> {
    let mut tool = json!({ "type": "web_search_20250305", "name": "web_search" });
    let members = tool.as_object_mut().expect("an object");
    members.extend(fields.as_object().expect("an object").clone());
    json!({
        "model": "claude-opus-5-5", "max_tokens": 32000, "stream": stream,
        "messages": [{ "role": "user", "content": [
            { "type": "text", "text": "Perform a web search for the query: rust 2026" },
        ] }],
        "tools": [tool],
        "tool_choice": { "type": "auto" },
    })
    .to_string()
    .into_bytes()
}

/// A search beside a tool of the client.
pub(crate) fn beside_read(stream: bool) -> Vec<u8> {
    json!({
        "model": "claude-opus-5-5", "max_tokens": 1000, "stream": stream,
        "messages": [{ "role": "user", "content": "rust 2026" }],
        "tools": [
            { "type": "web_search_20250305", "name": "web_search" },
            { "name": "Read", "input_schema": { "type": "object", "properties": {} } },
        ],
    })
    .to_string()
    .into_bytes()
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
    let text = content[2]["text"].as_str().expect("a text");
    assert!(text.starts_with("It is told"), "{row}: {text}");
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
            json!({ "plugins": [{ "id": "web", "include_domains": ["a.example"], "max_uses": 8 }] }),
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
            json!({ "enable_search": true, "search_options": { "forced_search": true } }),
            json!({ "content": "It is told: [A](https://a.example/)." }),
            json!({}),
        ),
        (
            "vertex",
            "google/gemini-3.8-flash",
            json!({ "web_search_options": {} }),
            json!({ "content": "It is told: [A](https://a.example/)." }),
            json!({}),
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
            let proxy = Setup::of(row, model, &upstream).start();
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
pub(crate) fn folded(events: &[Event]) -> Value {
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
        let proxy = Setup::of(row, model, &upstream).start();
        let mut client = Client::connect(&proxy);
        client.send("POST", "/v1/messages", JSON, &search(false));
        let mut connection = upstream.accept();
        let request = connection.request_at("/v1/responses");
        assert_eq!(request.body["tools"], json!([{ "type": "web_search", "filters": filters }]));
        let limit = if row == "openai" { json!(8) } else { Value::Null };
        assert_eq!(request.body["max_tool_calls"], limit);
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
        let proxy = Setup::file(json!({ "providers": [
            { "name": "mistral", "base_url": upstream.base_url(), "model": "m", "api_key": "k" },
        ] }))
        .start();
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
        assert!(words.contains("mistral has no search of its own"), "{words}");
        assert_eq!(message["usage"]["input_tokens"], 0, "{message}");
        upstream.assert_nobody_waits();
    }
}

/// A server that nobody knows may search by itself.
#[test]
fn where_nobody_knows_of_a_search_the_model_is_asked_without_it() {
    for stream in [false, true] {
        let upstream = Upstream::start();
        let proxy = Setup::asking(&upstream).start();
        let mut client = Client::connect(&proxy);
        client.send("POST", "/v1/messages", JSON, &search(stream));
        let mut connection = upstream.accept();
        let asked = connection.request().body;
        assert!(asked.get("tools").is_none(), "{asked}");
        let note = asked["messages"][0]["content"].as_str().expect("a system prompt");
        assert!(note.contains("searches the web is not available here"), "{asked}");
        let message = if stream {
            connection.begin_events();
            connection.say("What I know.");
            connection.finish();
            client.begin();
            folded(&client.events())
        } else {
            connection.complete("What I know.");
            client.answer().json()
        };
        let content = message["content"].as_array().expect("content");
        assert_eq!(content[0]["type"], "server_tool_use", "{message}");
        let error = json!({ "type": "web_search_tool_result_error", "error_code": "unavailable" });
        assert_eq!(content[1]["content"], error, "{message}");
        assert_eq!(content[2]["text"], "What I know.", "{message}");
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

/// What a provider has no field for its model is told in words, and the header says so.
#[test]
fn limits_without_a_field_are_told_in_words() {
    let place = json!({ "type": "approximate", "city": "Kyiv", "country": "UA" });
    let all = json!({
        "max_uses": 3, "allowed_domains": ["a.example", "b.example"], "user_location": place,
    });
    let blocked = json!({ "blocked_domains": ["c.example"] });
    let six = json!({ "blocked_domains": ["1.example", "2.example", "3.example", "4.example",
                                          "5.example", "6.example"] });
    for (row, model, tool, words) in [
        ("groq", "m", &all, vec!["search 3 times at most", "the user is in Kyiv, UA"]),
        ("dashscope", "qwen4-max", &all, vec!["use only pages of a.example, b.example", "Kyiv"]),
        ("dashscope", "qwen4-max", &blocked, vec!["use no pages of c.example"]),
        ("zai", "glm-5.3", &all, vec!["use only pages of a.example, b.example"]),
        ("xai", "grok-4.7", &six, vec!["use no pages of 1.example, 2.example"]),
    ] {
        let upstream = Upstream::start();
        let proxy = Setup::of(row, model, &upstream).start();
        let mut client = Client::connect(&proxy);
        client.send("POST", "/v1/messages", JSON, &search_of(false, tool));
        let mut connection = upstream.accept();
        let path = if row == "xai" { "/v1/responses" } else { "/v1/chat/completions" };
        let sent = connection.request_at(path).body.to_string();
        for words in words {
            assert!(sent.contains(words), "{row}: {words}: {sent}");
        }
        if row == "xai" {
            connection.answer("200 OK", &[], &responses(&[]).to_string());
        } else {
            connection.complete("Nothing.");
        }
        let answer = client.answer();
        let adjusted = answer.header("x-ccproxy-adjusted").expect("it was adjusted");
        assert!(adjusted.contains("web_search=limits in words"), "{row}: {adjusted}");
        // Nothing was found, so there was no search to tell of.
        assert_eq!(answer.json()["content"][0]["type"], "text", "{row}");
    }
}

/// A response of the Responses API with these items before its text.
fn responses(items: &[Value]) -> Value {
    let text = json!({ "type": "output_text", "text": "It is told.", "annotations": [] });
    let said = json!({ "type": "message", "id": "msg_1", "role": "assistant", "content": [text] });
    let output: Vec<&Value> = items.iter().chain([&said]).collect();
    json!({
        "id": "resp_1", "object": "response", "status": "completed", "output": output,
        "usage": { "input_tokens": 9, "output_tokens": 3 },
    })
}

/// A search that the Responses API tells of, with the addresses that it has looked at.
fn searched(status: &str, query: &str, sources: &[&str]) -> Value {
    let source = |url: &&str| json!({ "type": "url", "url": url });
    let sources: Vec<Value> = sources.iter().map(source).collect();
    let action = json!({ "type": "search", "query": query, "sources": sources });
    json!({ "type": "web_search_call", "id": "ws_1", "status": status, "action": action })
}

#[test]
fn a_source_of_another_domain_is_none() {
    let upstream = Upstream::start();
    let proxy = Setup::of("openai", "gpt-6.1-sol", &upstream).start();
    let found = ["https://evil.example/", "https://docs.a.example/x", "https://nota.example/"];
    for (tool, left) in [
        (json!({ "allowed_domains": ["a.example"] }), vec!["https://docs.a.example/x"]),
        (json!({ "allowed_domains": ["a.example/x"] }), vec!["https://docs.a.example/x"]),
        (json!({ "allowed_domains": ["a.example/y"] }), vec![]),
        (json!({ "blocked_domains": ["a.example"] }), vec![found[0], found[2]]),
    ] {
        let mut client = Client::connect(&proxy);
        client.send("POST", "/v1/messages", JSON, &search_of(false, &tool));
        let mut connection = upstream.accept();
        connection.request_at("/v1/responses");
        let body = responses(&[searched("completed", "q", &found)]);
        connection.answer("200 OK", &[], &body.to_string());
        let message = client.answer().json();
        let results = message["content"][1]["content"].as_array().expect("results");
        let urls: Vec<&str> = results.iter().filter_map(|page| page["url"].as_str()).collect();
        assert_eq!(urls, left, "{tool}");
    }
}

/// Each search of the Responses API has its own blocks, and a failed one says so.
#[test]
fn every_search_is_told_with_what_it_has_found() {
    let upstream = Upstream::start();
    let proxy = Setup::of("openai", "gpt-6.1-sol", &upstream).start();
    let mut client = Client::connect(&proxy);
    client.send("POST", "/v1/messages", JSON, &search_of(false, &json!({})));
    let mut connection = upstream.accept();
    connection.request_at("/v1/responses");
    let opened = json!({ "type": "web_search_call", "id": "ws_2", "status": "completed",
                         "action": { "type": "open_page", "url": "https://a.example/" } });
    let body = responses(&[
        searched("completed", "first", &["https://a.example/"]),
        opened,
        searched("failed", "second", &[]),
    ]);
    connection.answer("200 OK", &[], &body.to_string());
    let message = client.answer().json();
    let content = message["content"].as_array().expect("content");
    let kinds: Vec<&str> = content.iter().filter_map(|block| block["type"].as_str()).collect();
    let pair = ["server_tool_use", "web_search_tool_result"];
    assert_eq!(kinds, [pair[0], pair[1], pair[0], pair[1], "text"], "{message}");
    assert_eq!(
        (&content[0]["input"]["query"], &content[2]["input"]["query"]),
        (&json!("first"), &json!("second"))
    );
    assert_ne!(content[0]["id"], content[2]["id"]);
    assert_eq!(content[3]["content"]["error_code"], "unavailable", "{message}");
    assert_eq!(message["usage"]["server_tool_use"]["web_search_requests"], 2);
}

/// Beside other tools a text does not wait for what a search may find.
#[test]
fn beside_other_tools_the_text_streams() {
    let upstream = Upstream::start();
    let proxy = Setup::of("dashscope", "qwen4-max", &upstream).start();
    let mut client = Client::connect(&proxy);
    client.send("POST", "/v1/messages", JSON, &beside_read(true));
    let mut connection = upstream.accept();
    let request = connection.request();
    let options = json!({ "forced_search": false });
    assert_eq!(
        (&request.body["enable_search"], &request.body["search_options"]),
        (&json!(true), &options)
    );
    assert_eq!(request.body["tools"][0]["function"]["name"], "Read");
    connection.begin_events();
    connection.say("It is told.");
    client.begin();
    assert_eq!(client.text(), "It is told.");
    let page =
        json!({ "url": "https://a.example/", "title": "A", "content": "What stands there." });
    let cited = json!([{ "type": "url_citation", "url_citation": page }]);
    let delta = json!({ "content": "", "annotations": cited });
    let chunk = json!({ "choices": [{ "index": 0, "delta": delta, "finish_reason": null }] });
    connection.event(&chunk.to_string());
    connection.finish();
    let events = client.events();
    let of = |kind: &str| {
        events.iter().filter(|event| event.data["content_block"]["type"] == kind).count()
    };
    assert_eq!((of("server_tool_use"), of("web_search_tool_result")), (1, 1), "{events:?}");
    let citation = events.iter().find(|event| event.data["delta"]["type"] == "citations_delta");
    let citation = &citation.expect("a citation").data["delta"]["citation"];
    assert_eq!(citation["type"], "web_search_result_location");
    assert_eq!((&citation["url"], &citation["cited_text"]), (&page["url"], &page["content"]));
}

/// Compound has no tools but its own, so the model stays where there are others, and OpenRouter's plugin
/// would search, and be paid, for each message.
#[test]
fn beside_other_tools_some_do_not_search() {
    for (row, model) in [("groq", "openai/gpt-oss-120b"), ("openrouter", "z-ai/glm-5.3")] {
        check_without_search(row, model);
    }
}

fn check_without_search(row: &str, model: &str) {
    let upstream = Upstream::start();
    let proxy = Setup::of(row, model, &upstream).start();
    let mut client = Client::connect(&proxy);
    client.send("POST", "/v1/messages", JSON, &beside_read(false));
    let mut connection = upstream.accept();
    let request = connection.request();
    assert_eq!(request.body["model"], model);
    assert_eq!(
        (&request.body["compound_custom"], &request.body["plugins"]),
        (&Value::Null, &Value::Null)
    );
    connection.complete("Hello.");
    let answer = client.answer();
    assert_eq!(answer.header("x-ccproxy-dropped"), Some("server_tools"));
}

/// What another provider has found Anthropic gets as text, since it cannot read what is encrypted
/// in its place.
#[test]
fn natively_a_search_of_others_is_text() {
    let upstream = Upstream::start();
    let proxy = Setup::asking(&upstream)
        .variable("PROVIDER", "anthropic")
        .variable("ANTHROPIC_UPSTREAM_API_KEY", "k")
        .variable("ANTHROPIC_UPSTREAM_BASE_URL", &upstream.base_url())
        .start();
    let mut client = Client::connect(&proxy);
    let page = |encrypted: &str| {
        json!([{ "type": "web_search_result", "url": "https://a.example/", "title": "A",
                 "encrypted_content": encrypted, "page_age": null }])
    };
    let call = |id: &str| json!({ "type": "server_tool_use", "id": id, "name": "web_search", "input": { "query": "q" } });
    let result = |id: &str, encrypted: &str| json!({ "type": "web_search_tool_result", "tool_use_id": id, "content": page(encrypted) });
    let citation = json!({ "type": "web_search_result_location", "url": "https://a.example/",
                           "title": "A", "cited_text": "", "encrypted_index": "ccproxy" });
    let own = [call("srvtoolu_2"), result("srvtoolu_2", "EqoB")];
    let body = json!({
        "model": "claude-opus-5-5", "max_tokens": 1000,
        "messages": [
            { "role": "user", "content": "hello" },
            { "role": "assistant", "content": [
                call("srvtoolu_1"), result("srvtoolu_1", "ccproxy"), own[0], own[1],
                { "type": "text", "text": "So.", "citations": [citation] },
            ] },
            { "role": "user", "content": "and?" },
        ],
        "tools": [{ "type": "web_search_20250305", "name": "web_search" }],
    });
    client.send("POST", "/v1/messages", JSON, body.to_string().as_bytes());
    let mut connection = upstream.accept();
    let request = connection.request_at("/v1/messages");
    let content = &request.body["messages"][1]["content"];
    assert_eq!(
        content[0],
        json!({ "type": "text", "text": "[call of web_search: {\"query\":\"q\"}]" })
    );
    assert_eq!(content[1]["text"], "[web_search_tool_result]\n- A: https://a.example/");
    assert_eq!((&content[2], &content[3]), (&own[0], &own[1]));
    assert_eq!(content[4], json!({ "type": "text", "text": "So." }));
    assert_eq!(request.body["tools"], body["tools"]);
    connection.answer("200 OK", &[], &json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": own,
        "stop_reason": "end_turn", "stop_sequence": null,
        "usage": { "input_tokens": 1, "output_tokens": 1, "server_tool_use": { "web_search_requests": 1 } },
    }).to_string());
    assert_eq!(client.answer().json()["content"], json!(own));
}

/// What was looked for and found in earlier turns stays, and that a search failed.
#[test]
fn a_search_of_an_earlier_turn_is_told_in_words() {
    let (upstream, proxy) = start();
    let call = |id: &str| json!({ "type": "server_tool_use", "id": id, "name": "web_search", "input": { "query": "rust 2026" } });
    let found = json!([{ "type": "web_search_result", "url": "https://a.example/", "title": "A",
                         "encrypted_content": "ccproxy", "page_age": "2026-11-28" }]);
    let failed =
        json!({ "type": "web_search_tool_result_error", "error_code": "max_uses_exceeded" });
    let result = |id: &str, content: &Value| json!({ "type": "web_search_tool_result", "tool_use_id": id, "content": content });
    let body = json!({
        "model": "claude-opus-5-5", "max_tokens": 100,
        "messages": [
            { "role": "user", "content": "hello" },
            { "role": "assistant", "content": [
                call("srvtoolu_1"), result("srvtoolu_1", &found),
                call("srvtoolu_2"), result("srvtoolu_2", &failed),
                { "type": "text", "text": "So." },
            ] },
            { "role": "user", "content": "and?" },
        ],
    });
    let mut client = Client::connect(&proxy);
    client.send("POST", "/v1/messages", JSON, body.to_string().as_bytes());
    let mut connection = upstream.accept();
    let sent = connection.request().body["messages"].to_string();
    for part in ["rust 2026", "https://a.example/", "2026-11-28", "max_uses_exceeded", "So."] {
        assert!(sent.contains(part), "{part}: {sent}");
    }
    connection.complete("Well.");
    assert_eq!(client.answer().message(), "Well.");
}
