//! Points on which no standard decides and people differ: what is done, and why.

use std::slice;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::{Client, JSON};
use crate::support::exchange::start;
use crate::support::proxy::Proxy;

/// Sends a message with these fields beside its own.
fn send(proxy: &Proxy, fields: Value) -> Client {
    let mut body = json!({
        "model": "claude-opus-5-5", "max_tokens": 100,
        "messages": [{ "role": "user", "content": "hi" }],
    });
    let all = body.as_object_mut().expect("an object");
    all.extend(fields.as_object().expect("fields").clone());
    let mut client = Client::connect(proxy);
    client.send("POST", "/v1/messages", JSON, body.to_string().as_bytes());
    client
}

/// What the provider gets of a message with these fields.
fn sent(fields: Value) -> Value {
    let (upstream, proxy) = start();
    let mut client = send(&proxy, fields);
    let mut connection = upstream.accept();
    let body = connection.request().body;
    connection.complete("fine");
    assert_eq!(client.answer().message(), "fine");
    body
}

/// Some services cache better for who names the conversation. Claude Code's `metadata.user_id` names
/// the device, the account and the session; it is Anthropic's, and goes to nobody else.
#[test]
fn nothing_of_a_user_id_is_sent() {
    let user = r#"{"device_id":"d-4711","account_uuid":"a-4711","session_id":"s-4711"}"#;
    let body = sent(json!({ "metadata": { "user_id": user } })).to_string();
    assert!(!body.contains("4711"), "{body}");
}

/// Tools that Anthropic defines run at the client: without them the model can do nothing, and their
/// arguments are published.
#[test]
fn tools_that_the_client_runs_are_offered() {
    let body = sent(json!({ "tools": [
        { "type": "bash_20250124", "name": "bash" },
        { "type": "text_editor_20250728", "name": "str_replace_based_edit_tool" },
        { "type": "memory_20250818", "name": "memory" },
        { "type": "computer_20250124", "name": "computer", "display_width_px": 800,
          "display_height_px": 600 },
    ] }));
    let tools = body["tools"].as_array().expect("tools");
    let names: Vec<&Value> = tools.iter().map(|tool| &tool["function"]["name"]).collect();
    assert_eq!(names, ["bash", "str_replace_based_edit_tool", "memory", "computer"]);
    for tool in tools {
        let function = &tool["function"]["parameters"];
        assert!(function["properties"].is_object(), "{tool}");
    }
}

/// The model is asked for a form and offered tools, and the provider takes but one of them. To leave
/// the form out would answer with something else than was asked for, so the refusal is told.
#[test]
fn a_form_that_is_refused_beside_tools_is_not_left_out() {
    let (upstream, proxy) = start();
    let schema = json!({ "type": "object", "properties": {}, "additionalProperties": false });
    let mut client = send(
        &proxy,
        json!({
            "tools": [{ "name": "f", "input_schema": { "type": "object" } }],
            "output_config": { "format": { "type": "json_schema", "schema": schema } },
        }),
    );
    let mut connection = upstream.accept();
    let body = connection.request().body;
    assert!(body["response_format"].is_object() && body["tools"].is_array(), "{body}");
    let words = "json mode cannot be combined with tool/function calling";
    let refusal = json!({ "error": { "message": words } }).to_string();
    connection.answer("400 Bad Request", &[], &refusal);
    let told = client.answer().error(400, "invalid_request_error");
    assert!(told.contains(words), "{told}");
    upstream.assert_nobody_waits();
}

/// Half a surrogate pair is no character. Anthropic refuses it, and a client that finds it here finds
/// it before it is in every further request of the session; in the arguments of a call, which models
/// write, it becomes U+FFFD.
#[test]
fn half_a_character_is_refused_in_what_the_client_writes() {
    let (upstream, proxy) = start();
    let body =
        br#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"\ud83d off"}]}"#;
    let answer = Client::fetch(&proxy, "POST", "/v1/messages", JSON, body);
    let told = answer.error(400, "invalid_request_error");
    assert!(told.contains("not valid JSON"), "{told}");
    upstream.assert_nobody_waits();
    let call = br#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"a"},
        {"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{"a":"\ud83d"}}]},
        {"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"b"}]}]}"#;
    let mut client = Client::connect(&proxy);
    client.send("POST", "/v1/messages", JSON, call);
    let mut connection = upstream.accept();
    let body = connection.request().body;
    let arguments = &body["messages"][1]["tool_calls"][0]["function"]["arguments"];
    assert_eq!(arguments, r#"{"a":"\ufffd"}"#);
    connection.complete("fine");
    assert_eq!(client.answer().message(), "fine");
}

/// Anthropic refuses two tools of one name, and no provider could tell which was called.
#[test]
fn two_tools_of_one_name_are_refused() {
    let (upstream, proxy) = start();
    let tool = json!({ "name": "f", "input_schema": { "type": "object" } });
    let mut client = send(&proxy, json!({ "tools": [tool, tool] }));
    let told = client.answer().error(400, "invalid_request_error");
    assert_eq!(told, "tools: Tool names must be unique.");
    upstream.assert_nobody_waits();
}

/// `image/jpg` is no media type, and Anthropic refuses it. Many services look at the bytes alone, so
/// it is sent as it was written, and who minds says so.
#[test]
fn a_picture_is_sent_as_it_was_written() {
    let picture = json!({ "type": "image", "source": { "type": "base64",
        "media_type": "image/jpg", "data": "/9j/4AAQ" } });
    let content = slice::from_ref(&picture);
    let body = sent(json!({ "messages": [{ "role": "user", "content": content }] }));
    let url = &body["messages"][0]["content"][0]["image_url"]["url"];
    assert_eq!(url, "data:image/jpg;base64,/9j/4AAQ");
}

/// Gateways that count what they have made answer 201, or 202; the answer is in it all the same. 204
/// holds none.
#[test]
fn other_statuses_of_success_hold_an_answer_too() {
    let (upstream, proxy) = start();
    let whole = r#"{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}]}"#;
    for status in ["200 OK", "201 Created", "202 Accepted", "203 Non-Authoritative Information"] {
        let mut client = send(&proxy, json!({}));
        let mut connection = upstream.accept();
        connection.request();
        connection.answer(status, &[("Connection", "close")], whole);
        assert_eq!(client.answer().message(), "hi", "{status}");
    }
    let mut client = send(&proxy, json!({}));
    let mut connection = upstream.accept();
    connection.request();
    connection.wire.send(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
    client.answer().error(502, "api_error");
}

/// What a local model reasons before a `</think>` that nothing has opened is thinking, as its template
/// opens it in the prompt. In a stream it has gone out as text by then, and cannot be taken back: to
/// hold every answer back for a tag that few write would be worse.
#[test]
fn a_closing_tag_alone_ends_thinking() {
    let (upstream, proxy) = start();
    let mut client = send(&proxy, json!({}));
    let mut connection = upstream.accept();
    connection.request();
    connection.answer(
        "200 OK",
        &[("Connection", "close")],
        r#"{"choices":[{"message":{"content":"I reason.\n</think>\n\nAnswer"},"finish_reason":"stop"}]}"#,
    );
    let message = client.answer().json();
    assert_eq!(message["content"][0]["thinking"], "I reason.\n", "{message}");
    assert_eq!(message["content"][1]["text"], "Answer", "{message}");
    let mut client = send(&proxy, json!({ "stream": true }));
    let mut connection = upstream.accept();
    connection.request();
    connection.begin_events();
    for piece in ["I reason.", "\n</thi", "nk>\n\nAnswer"] {
        connection.say(piece);
    }
    connection.finish();
    client.begin();
    assert_eq!(client.finish(), "I reason.\nAnswer");
}

/// No standard limits a head. Gateways fill them with cookies and policies, and 64 KiB are more than
/// anybody has reported; the memory for it lasts as long as the head. The connection is used again.
#[test]
fn a_head_may_have_64_kib() {
    let (upstream, proxy) = start();
    let mut connection = None;
    for stream in [false, true] {
        for size in [1_000, 20_000, 60_000] {
            let mut client = send(&proxy, json!({ "stream": stream }));
            let connection = connection.get_or_insert_with(|| upstream.accept());
            connection.request();
            let lines = size / 1000;
            let line = |n: usize| format!("x-policy-{n}: {}\r\n", "p".repeat(985));
            let headers: String = (0..lines).map(line).collect();
            let whole = r#"{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}]}"#;
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{headers}\
                 Content-Length: {}\r\n\r\n",
                whole.len()
            );
            connection.wire.send(head.as_bytes());
            connection.wire.send(whole.as_bytes());
            if stream {
                client.begin();
                assert_eq!(client.finish(), "hi", "{size}");
            } else {
                assert_eq!(client.answer().message(), "hi", "{size}");
            }
        }
    }
    let mut client = send(&proxy, json!({}));
    let mut connection = connection.expect("a connection");
    connection.request();
    let endless = format!("HTTP/1.1 200 OK\r\nx-policy: {}", "p".repeat(100_000));
    connection.wire.try_send(endless.as_bytes(), Duration::from_secs(1));
    let told = client.answer().error(502, "api_error");
    assert!(told.contains("header"), "{told}");
}
