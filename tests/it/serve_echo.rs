//! The provider inside the program.

use serde_json::{Value, json};

use crate::support::client::{Client, JSON, message};
use crate::support::proxy::Setup;

#[test]
fn echo_streams_and_calls_tools() {
    let proxy = Setup::echo().start();
    let body = json!({
        "model": "claude-sonnet-5-5", "max_tokens": 100, "stream": true,
        "tools": [{ "name": "weather", "input_schema": { "type": "object" } }],
        "messages": [{ "role": "user", "content": "[[tool:weather {\"city\":\"Oslo\"}]]" }],
    });
    let mut client = Client::connect(&proxy);
    client.send("POST", "/v1/messages", JSON, body.to_string().as_bytes());
    client.begin();
    let events = client.events();
    let names: Vec<&str> = events.iter().map(|event| &*event.name).collect();
    assert_eq!(names[..3], ["message_start", "ping", "content_block_start"]);
    assert_eq!(names[names.len() - 3..], ["content_block_stop", "message_delta", "message_stop"]);
    assert_eq!(events[0].data["message"]["model"], "claude-sonnet-5-5");
    assert_eq!(events[2].data["content_block"]["name"], "weather");
    let pieces = events.iter().filter_map(|event| event.data["delta"]["partial_json"].as_str());
    assert_eq!(pieces.collect::<String>(), "{\"city\":\"Oslo\"}");
    let end = &events[events.len() - 2].data;
    assert_eq!(end["delta"]["stop_reason"], "tool_use");
    assert!(end["usage"]["output_tokens"].as_u64().is_some_and(|n| n > 0), "{end}");
}

#[test]
fn echo_introduces_itself_in_pieces() {
    let proxy = Setup::echo().start();
    let mut client = Client::connect(&proxy);
    client.send_stream("Hello there.");
    client.begin();
    let events = client.events();
    let pieces: Vec<&str> =
        events.iter().filter_map(|event| event.data["delta"]["text"].as_str()).collect();
    let text = pieces.concat();
    let start = format!(
        "You said: Hello there.\n\nThis is the provider echo inside ccproxy {}: your client \
         reached it, streaming works, no tools were offered. Try `[[",
        env!("CARGO_PKG_VERSION")
    );
    assert!(text.starts_with(&start) && text.ends_with("`GROQ_API_KEY=… ccproxy`."), "{text}");
    assert!(pieces.len() > 20, "{pieces:?}");
}

#[test]
fn echo_calls_the_tool_that_it_must() {
    let proxy = Setup::echo().start();
    let schema = json!({ "type": "object", "required": ["city", "days"], "properties": {
        "city": { "enum": ["Oslo", "Bergen"] }, "days": { "type": "integer", "minimum": 3 },
        "hour": { "type": "integer" } } });
    let check = |choice: Value, wanted: &[(&str, Value)]| {
        let body = json!({
            "model": "claude-sonnet-5-5", "max_tokens": 100, "tool_choice": choice,
            "tools": [{ "name": "weather", "input_schema": schema },
                { "name": "clock", "input_schema": { "type": "object" } }],
            "messages": [{ "role": "user", "content": "hello" }],
        });
        let answer =
            Client::fetch(&proxy, "POST", "/v1/messages", JSON, body.to_string().as_bytes());
        let message = answer.json();
        let blocks = message["content"].as_array().expect("blocks");
        let calls: Vec<(&str, Value)> = blocks
            .iter()
            .filter_map(|block| Some((block["name"].as_str()?, block["input"].clone())))
            .collect();
        assert_eq!(calls, wanted, "{choice} {message}");
    };
    let weather = [("weather", json!({ "city": "Oslo", "days": 3 }))];
    check(json!({ "type": "any" }), &weather);
    check(json!({ "type": "tool", "name": "weather" }), &weather);
    check(json!({ "type": "tool", "name": "clock" }), &[("clock", json!({}))]);
    check(json!({ "type": "auto" }), &[]);
    check(json!({ "type": "none" }), &[]);
}

#[test]
fn safeguards_are_answered_as_disabled() {
    let proxy = Setup::echo().start();
    let disabled = |kind: &str| {
        json!({ "type": kind,
        "status": { "type": "unavailable", "reason": "disabled" } })
    };
    let check = |safeguards: Value, wanted: Option<Value>| {
        let mut body = json!({
            "model": "claude-opus-5-5", "max_tokens": 100, "safeguards": safeguards,
            "messages": [{ "role": "user", "content": "hello" }],
        });
        let whole =
            Client::fetch(&proxy, "POST", "/v1/messages", JSON, body.to_string().as_bytes());
        assert_eq!(whole.message(), "You said: hello", "{safeguards}");
        assert_eq!(whole.json().get("safeguard_results"), wanted.as_ref(), "{safeguards}");
        body["stream"] = json!(true);
        let mut client = Client::connect(&proxy);
        client.send("POST", "/v1/messages", JSON, body.to_string().as_bytes());
        client.begin();
        let events = client.events();
        let end = &events[events.len() - 2];
        assert_eq!(end.name, "message_delta");
        assert_eq!(end.data["delta"].get("safeguard_results"), wanted.as_ref(), "{safeguards}");
    };
    let tool_use = json!({ "type": "dangerous_tool_use", "classifier_context": { "a": [1] } });
    check(json!([tool_use]), Some(json!([disabled("dangerous_tool_use")])));
    let other = json!({ "type": "other" });
    check(
        json!([other, tool_use, tool_use, "x", {}]),
        Some(json!([disabled("other"), disabled("dangerous_tool_use")])),
    );
    for nothing in [json!(null), json!([]), json!("dangerous_tool_use"), json!([{ "type": 1 }])] {
        check(nothing, None);
    }
}

#[test]
fn echo_shows_an_error_of_a_provider() {
    let proxy = Setup::echo().start();
    for stream in [false, true] {
        let body = message("[[status:503]]", stream);
        let answer = Client::fetch(&proxy, "POST", "/v1/messages", JSON, &body);
        answer.error(503, "api_error");
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
}
