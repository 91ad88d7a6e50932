//! Answers whose bodies are not what was asked for or what their heads say: in a content coding, called
//! a page, in the other form.

use miniz_oxide::deflate::{compress_to_vec, compress_to_vec_zlib};
use serde_json::{Value, json};

use crate::support::client::{Client, JSON};
use crate::support::exchange::{begin_stream, start};
use crate::support::proxy::{Proxy, Setup};
use crate::support::upstream::{Connection, Upstream};

fn gzip(text: &str) -> Vec<u8> {
    let head = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    [&head[..], &compress_to_vec(text.as_bytes(), 6), &[0; 8]].concat()
}

fn zlib(text: &str) -> Vec<u8> {
    compress_to_vec_zlib(text.as_bytes(), 6)
}

fn bare(text: &str) -> Vec<u8> {
    compress_to_vec(text.as_bytes(), 6)
}

/// How a coding is named, and how it is made.
type Made = (&'static str, fn(&str) -> Vec<u8>);
const CODINGS: &[Made] = &[("gzip", gzip), ("X-GZip", gzip), ("deflate", zlib), ("deflate", bare)];

fn answer(connection: &mut Connection, status: &str, kind: &str, (coding, make): Made, text: &str) {
    let body = make(text);
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Encoding: {coding}\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    connection.wire.send(&[head.as_bytes(), &body].concat());
}

fn error(message: &str) -> String {
    json!({ "error": { "message": message, "code": 400 } }).to_string()
}

#[test]
fn what_comes_in_a_coding_is_read() {
    let (upstream, proxy) = start();
    let mut client = Client::connect(&proxy);
    for made in CODINGS {
        let whole = json!({ "choices": [{ "index": 0, "message": { "content": "whole" },
            "finish_reason": "stop" }] });
        client.send_whole("whole");
        let mut connection = upstream.accept();
        connection.request();
        answer(&mut connection, "200 OK", "application/json", *made, &whole.to_string());
        assert_eq!(client.answer().message(), "whole", "{}", made.0);

        let text = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"streamed\"}}]}\n\n\
                    data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n\
                    data: [DONE]\n\n";
        client.send_stream("stream");
        let mut connection = upstream.accept();
        connection.request();
        answer(&mut connection, "200 OK", "text/event-stream", *made, text);
        client.begin();
        assert_eq!(client.finish(), "streamed", "{}", made.0);

        client.send_whole("too long");
        let mut connection = upstream.accept();
        connection.request();
        let words = "This model's maximum context length is 8192 tokens. However, your messages \
                     resulted in 9001 tokens.";
        answer(&mut connection, "400 Bad Request", "application/json", *made, &error(words));
        let told = client.answer().error(400, "invalid_request_error");
        assert_eq!(told, "prompt is too long: 9001 tokens > 8192 maximum", "{}", made.0);
    }
}

#[test]
fn each_event_of_a_stream_in_a_coding_comes_as_it_is_sent() {
    let (upstream, proxy) = start();
    let (mut client, mut connection) = begin_stream(&upstream, &proxy);
    connection.wire.send(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\n\
          Transfer-Encoding: chunked\r\n\r\n",
    );
    // Stored blocks, as a server makes them that flushes behind every event.
    let mut send = |bytes: &[u8]| {
        connection.wire.send(format!("{:x}\r\n", bytes.len()).as_bytes());
        connection.wire.send(&[bytes, b"\r\n"].concat());
    };
    let block = |data: &str, is_last: bool| {
        let event = format!("data: {data}\n\n");
        let length = u16::try_from(event.len()).expect("it is short");
        let head = [&[u8::from(is_last)][..], &length.to_le_bytes(), &(!length).to_le_bytes()];
        [&head.concat(), event.as_bytes()].concat()
    };
    send(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]);
    client.begin();
    send(&block(r#"{"choices":[{"index":0,"delta":{"content":"first"}}]}"#, false));
    client.expect_start();
    assert_eq!(client.text(), "first");
    send(&block(r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#, false));
    send(&block("[DONE]", true));
    send(&[0; 8]);
    send(b"");
    client.finish();
}

#[test]
fn what_is_no_such_coding_is_an_error_that_names_it() {
    let (upstream, proxy) = start();
    let mut client = Client::connect(&proxy);
    for (coding, words) in [
        ("br", "custom's answer: its body is in the content coding \"br\", though"),
        ("zstd, gzip", "custom's answer: its body is in the content coding \"zstd, gzip\", though"),
        ("gzip", "custom's answer: its body is in the content coding \"gzip\", and it does not"),
    ] {
        client.send_whole("hello");
        let mut connection = upstream.accept();
        connection.request();
        let headers = [("Content-Encoding", coding), ("Connection", "close")];
        connection.answer("200 OK", &headers, "{}");
        let told = client.answer().error(502, "api_error");
        assert!(told.starts_with(words), "{told}");
    }
    client.send_whole("hello");
    let mut connection = upstream.accept();
    connection.request();
    let headers = [("Content-Encoding", "br"), ("Connection", "close")];
    connection.answer("429 Too Many Requests", &headers, "\u{1f}\u{8}");
    let told = client.answer().error(429, "rate_limit_error");
    assert!(told.contains("\"br\""), "{told}");
}

/// Sends a body of any type and length, and closes.
fn answer_as(connection: &mut Connection, kind: &str, body: &str) {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n"
    );
    connection.wire.send(&[head.as_bytes(), body.as_bytes()].concat());
}

#[test]
fn what_is_a_page_by_its_name_alone_is_read() {
    let (upstream, proxy) = start();
    let whole = r#"{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}]}"#;
    let stream = format!("\n: a comment\n\ndata: {whole}\n\ndata: [DONE]\n\n");
    for body in [whole, &stream] {
        let mut client = Client::connect(&proxy);
        client.send_whole("whole");
        let mut connection = upstream.accept();
        connection.request();
        answer_as(&mut connection, "text/html; charset=utf-8", body);
        assert_eq!(client.answer().message(), "hi", "{body}");
        client.send_stream("streamed");
        let mut connection = upstream.accept();
        connection.request();
        answer_as(&mut connection, "text/html", body);
        client.begin();
        assert_eq!(client.finish(), "hi", "{body}");
    }
    for page in ["<html>{}</html>", "{not here", "404 page not found", ""] {
        let mut client = Client::connect(&proxy);
        client.send_whole("whole");
        let mut connection = upstream.accept();
        connection.request();
        answer_as(&mut connection, "text/html", page);
        client.answer().error(502, "api_error");
    }
}

#[test]
fn a_messages_api_may_answer_in_the_other_form() {
    let upstream = Upstream::start();
    let proxy = Setup::at("http://127.0.0.1:1/v1")
        .variable("CUSTOM_NATIVE", "on")
        .variable("CUSTOM_NATIVE_URL", &format!("http://{}/anthropic", upstream.address()))
        .start();
    let whole = r#"{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":7,"output_tokens":9}}"#;
    let mut client = Client::connect(&proxy);
    client.send_stream("streamed");
    let mut connection = upstream.accept();
    connection.request_at("/anthropic/v1/messages");
    answer_as(&mut connection, "application/json", whole);
    client.begin();
    let events = client.events();
    let text = events.iter().find(|event| event.name == "content_block_delta").expect("a text");
    assert_eq!(text.data["delta"]["text"], "hi");
    let stream: String = events
        .iter()
        // One newline between them, and no names.
        .map(|event| format!("data: {}\n", event.data))
        .collect();
    for kind in ["text/event-stream", "application/json", "text/plain"] {
        let mut client = Client::connect(&proxy);
        client.send_whole("whole");
        let mut connection = upstream.accept();
        connection.request_at("/anthropic/v1/messages");
        answer_as(&mut connection, kind, &stream);
        let answer = client.answer().json();
        assert_eq!(answer["content"][0]["text"], "hi", "{kind}: {answer}");
        assert_eq!(answer["usage"]["output_tokens"], 9, "{kind}: {answer}");
        client.send_stream("streamed");
        let mut connection = upstream.accept();
        connection.request_at("/anthropic/v1/messages");
        answer_as(&mut connection, kind, &stream);
        client.begin();
        let again: Vec<String> = client.events().into_iter().map(|event| event.name).collect();
        let names: Vec<String> = events.iter().map(|event| event.name.clone()).collect();
        assert_eq!(again, names, "{kind}");
    }
}

/// Sends a message with one tool, `Bash`, and answers it with `text`.
fn asks_with_tool(proxy: &Proxy, upstream: &Upstream, stream: bool, text: &str) -> Client {
    let mut client = Client::connect(proxy);
    let body = json!({
        "model": "claude-opus-5-5", "max_tokens": 100, "stream": stream,
        "messages": [{ "role": "user", "content": "list" }],
        "tools": [{ "name": "Bash", "input_schema": { "type": "object",
            "properties": { "command": { "type": "string" } } } }],
    });
    client.send("POST", "/v1/messages", JSON, body.to_string().as_bytes());
    let mut connection = upstream.accept();
    connection.request();
    if stream {
        connection.begin_events();
        text.split_inclusive('>').for_each(|piece| connection.say(piece));
        connection.finish();
    } else {
        connection.complete(text);
    }
    client
}

#[test]
fn calls_written_as_text_are_calls_unless_the_setting_is_off() {
    const CALL: &str = "I look.\n<tool_call>\n{\"name\": \"Bash\", \"arguments\": \
                        {\"command\": \"ls\"}}\n</tool_call>";
    for (setting, is_call) in [("", true), ("on", true), ("off", false)] {
        let upstream = Upstream::start();
        let proxy = Setup::asking(&upstream).variable("CUSTOM_TEXT_TOOLS", setting).start();
        let answer = asks_with_tool(&proxy, &upstream, false, CALL).answer();
        let adjusted = answer.header("x-ccproxy-adjusted").unwrap_or_default();
        assert_eq!(adjusted.contains("tool_calls=from_text"), is_call, "{setting}: {adjusted}");
        let message = answer.json();
        let stop = if is_call { "tool_use" } else { "end_turn" };
        assert_eq!(message["stop_reason"], stop, "{setting}: {message}");
        if is_call {
            let call = &message["content"][1];
            assert_eq!(
                (&call["name"], &call["input"]),
                (&json!("Bash"), &json!({"command": "ls"}))
            );
        } else {
            assert_eq!(message["content"][0]["text"], CALL);
        }
        let mut client = asks_with_tool(&proxy, &upstream, true, CALL);
        client.begin();
        let events = client.events();
        let end = events.iter().find(|event| event.name == "message_delta").expect("an end");
        assert_eq!(end.data["delta"]["stop_reason"], stop, "{setting}");
    }
    let upstream = Upstream::start();
    let finished = Setup::asking(&upstream).variable("CUSTOM_TEXT_TOOLS", "maybe").run();
    assert!(finished.stderr.contains("CUSTOM_TEXT_TOOLS"), "{}", finished.stderr);
}

#[test]
fn a_window_that_a_refusal_names_is_told_of_the_model() {
    let (upstream, proxy) = start();
    let windows = |is_first: bool| {
        let mut client = Client::connect(&proxy);
        client.send("GET", "/v1/models", &[], b"");
        if is_first {
            upstream.refuse_list();
        }
        let list = client.answer().json();
        let models = list["data"].as_array().expect("models").clone();
        models.iter().map(|model| model["max_input_tokens"].clone()).collect::<Vec<_>>()
    };
    assert!(windows(true).iter().all(Value::is_null));
    for (words, window) in [
        ("Prompt exceeds max length", Value::Null),
        ("request (302 tokens) exceeds the available context size (256 tokens)", json!(256)),
        ("prompt is too long: 9001 tokens > 8192 maximum", json!(8192)),
    ] {
        let mut client = Client::connect(&proxy);
        client.send_whole("too long");
        let mut connection = upstream.accept();
        connection.request();
        connection.answer("400 Bad Request", &[("Connection", "close")], &error(words));
        client.answer().error(400, "invalid_request_error");
        let told = windows(false);
        assert!(!told.is_empty() && told.iter().all(|told| *told == window), "{words}: {told:?}");
    }
    let one = Client::fetch(&proxy, "GET", "/v1/models/claude-opus-5-5", &[], b"").json();
    assert_eq!(one["max_input_tokens"], 8192);
    let status = Client::fetch(&proxy, "GET", "/status", &[], b"").text();
    assert!(status.contains("window 8192"), "{status}");
}
