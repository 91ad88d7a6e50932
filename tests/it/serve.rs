//! The HTTP side: paths, bodies, connections, who may call, and what a bug or a long life costs.

use std::thread;

use serde_json::{Value, json};

use crate::support::client::{Answer, Client, JSON, message, request, take_event};
use crate::support::http::Wire;
use crate::support::proxy::{Proxy, Setup};
use crate::support::upstream::Upstream;

fn get(proxy: &Proxy, path: &str) -> Answer {
    Client::fetch(proxy, "GET", path, &[], b"")
}

/// A request for a message that is exactly `length` bytes long.
fn message_of(length: usize) -> Vec<u8> {
    let mut body = message("", false);
    let padding = "x".repeat(length - body.len());
    body = message(&padding, false);
    assert_eq!(body.len(), length);
    body
}

// Paths.

#[test]
fn health_paths_answer_byte_for_byte() {
    let upstream = Upstream::start();
    let proxy = Setup::asking(&upstream).variable("CUSTOM_MAX_TOKENS", "4096").start();
    let version = env!("CARGO_PKG_VERSION");
    let status = format!(
        "{{\"provider\":\"custom\",\"model\":\"test-model\",\"base_url\":\"{}\",\"max_tokens\":4096,\
         \"status\":\"active\",\"service\":\"ccproxy\",\"version\":\"{version}\",",
        upstream.base_url()
    );
    let healthy =
        format!("{{\"status\":\"healthy\",\"service\":\"ccproxy\",\"version\":\"{version}\"}}");
    let root = "{\"message\":\"CCProxy Multi-Provider Anthropic API is alive 💡\",\"provider\":\"custom\"}";
    let check = |path: &str, body: &str| {
        let answer = get(&proxy, path);
        assert_eq!((answer.status, &*answer.text()), (200, body), "{path}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let head = Client::fetch(&proxy, "HEAD", path, &[], b"");
        assert_eq!(head.status, 200, "{path}");
        assert_eq!(head.header("content-length"), Some(&*body.len().to_string()), "{path}");
    };
    check("/", root);
    check("/?a=b", root);
    check("/health", &healthy);
    check("/health/", &healthy);
    // Who may use the API is told more, behind that.
    let told = get(&proxy, "/status").text();
    assert!(told.starts_with(&status), "{told}");
    upstream.assert_nobody_waits();
}

#[test]
fn head_has_no_body() {
    let proxy = Setup::echo().start();
    let mut client = Client::connect(&proxy);
    for path in ["/", "/health", "/status", "/api/hello", "/v1/models", "/v1/nothing"] {
        let head = client.ask("HEAD", path, &[], b"");
        assert_eq!(head.status, if path == "/v1/nothing" { 404 } else { 200 }, "{path}");
        // A body would be read as the next answer's head.
        assert_eq!(client.ask("GET", "/api/hello", &[], b"").text(), "{}", "after {path}");
    }
}

#[test]
fn unknown_path_is_404_in_anthropics_shape() {
    let proxy = Setup::echo().start();
    for path in ["/v1/nothing", "/v1/messages/batches", "/v2/messages"] {
        let told = get(&proxy, path).error(404, "not_found_error");
        assert!(told.contains(path), "{told}");
    }
}

#[test]
fn wrong_method_is_405_and_tells_which_are_right() {
    let proxy = Setup::echo().start();
    let check = |method: &str, path: &str, allow: &str| {
        let answer = Client::fetch(&proxy, method, path, JSON, b"");
        answer.error(405, "invalid_request_error");
        assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
    };
    check("GET", "/v1/messages", "POST, OPTIONS");
    check("DELETE", "/v1/messages", "POST, OPTIONS");
    check("GET", "/v1/messages/count_tokens", "POST, OPTIONS");
    check("POST", "/v1/models", "GET, HEAD, OPTIONS");
    check("POST", "/health", "GET, HEAD, OPTIONS");
}

#[test]
fn messages_are_taken_on_every_path_that_clients_make() {
    let proxy = Setup::echo().start();
    for path in [
        "/v1/messages",
        "/v1/messages?beta=true",
        "/v1/v1/messages",
        "/messages",
        "//v1/messages/",
        "http://localhost/v1/messages",
    ] {
        let answer = Client::fetch(&proxy, "POST", path, JSON, &message("hello", false));
        assert_eq!(answer.message(), "You said: hello", "{path}");
    }
    let counted =
        Client::fetch(&proxy, "POST", "/v1/messages/count_tokens", JSON, &message("hi", false));
    assert!(counted.json()["input_tokens"].as_u64().is_some_and(|n| n > 0), "{}", counted.text());
}

// Bodies.

#[test]
fn a_body_of_the_limit_is_taken_and_one_byte_more_is_413() {
    let proxy = Setup::echo().variable("CCPROXY_BODY_LIMIT", "2048").start();
    let mut client = Client::connect(&proxy);
    let taken = client.ask("POST", "/v1/messages", JSON, &message_of(2048));
    assert!(taken.message().contains("xxx"));
    let refused = client.ask("POST", "/v1/messages", JSON, &message_of(2049));
    let told = refused.error(413, "request_too_large");
    assert!(told.contains("2048 bytes"), "{told}");
    // What is left of the body is not taken for a request: the connection ends.
    assert_eq!(refused.header("connection"), Some("close"));
    client.wire.wait_closed();
    assert_eq!(Client::fetch_message(&proxy, "hi").status, 200);
}

#[test]
fn a_body_far_over_the_limit_is_413() {
    let proxy = Setup::echo().variable("CCPROXY_BODY_LIMIT", "2048").start();
    for path in ["/v1/messages", "/v1/messages/count_tokens"] {
        let refused = Client::fetch(&proxy, "POST", path, JSON, &message_of(1 << 20));
        refused.error(413, "request_too_large");
    }
}

#[test]
fn a_body_in_chunks_has_the_same_limit() {
    let proxy = Setup::echo().variable("CCPROXY_BODY_LIMIT", "2048").start();
    let check = |length: usize| {
        let body = message_of(length);
        let mut client = Client::connect(&proxy);
        client.wire.send(
            b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
              Transfer-Encoding: chunked\r\n\r\n",
        );
        for piece in body.chunks(500) {
            client.wire.send(format!("{:x}\r\n", piece.len()).as_bytes());
            client.wire.send(piece);
            client.wire.send(b"\r\n");
        }
        client.wire.send(b"0\r\n\r\n");
        client.answer()
    };
    assert!(check(2048).message().contains("xxx"));
    check(2049).error(413, "request_too_large");
}

#[test]
fn the_limit_without_a_setting_is_32_mib() {
    let proxy = Setup::echo().start();
    let mut body = message("hello", false);
    // Space around JSON is part of the body, but costs a debug build little.
    body.resize(32 << 20, b' ');
    let mut client = Client::connect(&proxy);
    let taken = client.ask("POST", "/v1/messages", JSON, &body);
    assert_eq!(taken.message(), "You said: hello");
    body.push(b' ');
    let refused = client.ask("POST", "/v1/messages", JSON, &body);
    let told = refused.error(413, "request_too_large");
    assert!(told.contains("33554432 bytes"), "{told}");
}

#[test]
fn a_long_conversation_reaches_the_provider_whole() {
    let upstream = Upstream::start();
    let proxy = Setup::asking(&upstream).start();
    let mut client = Client::connect(&proxy);
    client.send("POST", "/v1/messages", JSON, &message_of(4 << 20));
    let mut connection = upstream.accept();
    let request = connection.request();
    let text = request.body["messages"][0]["content"].as_str().map(str::len);
    assert_eq!(text, Some((4 << 20) - message("", false).len()));
    connection.complete("that was long");
    assert_eq!(client.answer().message(), "that was long");
}

#[test]
fn a_body_that_waits_for_100_continue_is_asked_for() {
    let proxy = Setup::echo().start();
    let mut client = Client::connect(&proxy);
    let body = message("hello", false);
    let head = format!(
        "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Expect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    client.wire.send(head.as_bytes());
    assert!(client.wire.head().start.starts_with("HTTP/1.1 100"));
    client.wire.send(&body);
    assert_eq!(client.answer().message(), "You said: hello");
}

#[test]
fn a_body_that_is_no_message_is_400() {
    let proxy = Setup::echo().start();
    for body in ["", "{", "[]", "{\"model\":1}"] {
        let answer = Client::fetch(&proxy, "POST", "/v1/messages", JSON, body.as_bytes());
        answer.error(400, "invalid_request_error");
    }
}

// Connections.

#[test]
fn one_connection_takes_one_request_after_another() {
    let proxy = Setup::echo().start();
    let mut client = Client::connect(&proxy);
    for round in 0..3 {
        client.send_stream(&format!("round {round}"));
        client.begin();
        assert_eq!(client.finish(), format!("You said: round {round}"));
        client.send_whole("whole");
        assert_eq!(client.answer().message(), "You said: whole");
        assert_eq!(client.ask("GET", "/health", &[], b"").status, 200);
    }
}

#[test]
fn requests_sent_together_are_answered_in_their_order() {
    let proxy = Setup::echo().start();
    let mut client = Client::connect(&proxy);
    let mut all = request("POST", "/v1/messages", JSON, &message("first", false));
    all.extend(request("POST", "/v1/messages", JSON, &message("second", true)));
    all.extend(request("GET", "/health", &[], b""));
    all.extend(request("POST", "/v1/messages", JSON, &message("third", false)));
    client.wire.send(&all);
    assert_eq!(client.answer().message(), "You said: first");
    client.begin();
    assert_eq!(client.finish(), "You said: second");
    assert_eq!(client.answer().json()["status"], "healthy");
    assert_eq!(client.answer().message(), "You said: third");
}

/// Sends a request of HTTP/1.0 with `header`, and reads the stream up to the connection's end.
fn check_http_1_0(header: &str) {
    let proxy = Setup::echo().start();
    let mut client = Client::connect(&proxy);
    let body = String::from_utf8(message("hello", true)).expect("it is JSON");
    let request = format!(
        "POST /v1/messages HTTP/1.0\r\n{header}Content-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    client.wire.send(request.as_bytes());
    let head = client.wire.head();
    assert!(head.start.ends_with(" 200 OK"), "{}", head.start);
    assert_eq!(head.header("transfer-encoding"), None);
    let mut rest = client.wire.rest();
    let mut names = Vec::new();
    while let Some(event) = take_event(&mut rest) {
        names.push(event.name);
    }
    assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
    assert_eq!(names.last().map(String::as_str), Some("message_stop"));
}

#[test]
fn http_1_0_gets_a_stream_without_chunks_that_ends_with_the_connection() {
    check_http_1_0("");
    check_http_1_0("Connection: close\r\n");
}

/// Where the end of the connection is the end of the stream, nothing can be kept.
#[test]
fn http_1_0_gets_a_streams_end_although_it_offers_to_keep_the_connection() {
    check_http_1_0("Connection: keep-alive\r\n");
}

#[test]
fn connection_close_is_obeyed() {
    let proxy = Setup::echo().start();
    let close = &[JSON[0], ("Connection", "close")];
    for stream in [false, true] {
        let mut client = Client::connect(&proxy);
        client.send("POST", "/v1/messages", close, &message("hello", stream));
        if stream {
            client.begin();
            assert_eq!(client.finish(), "You said: hello");
        } else {
            let answer = client.answer();
            assert_eq!(answer.header("connection"), Some("close"));
            assert_eq!(answer.message(), "You said: hello");
        }
        client.wire.wait_closed();
    }
}

#[test]
fn a_connection_without_a_request_keeps_nobody_from_being_answered() {
    let proxy = Setup::echo().start();
    let mut idle: Vec<Client> = (0..100).map(|_| Client::connect(&proxy)).collect();
    for client in &mut idle {
        client.wire.send(b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Le");
    }
    assert_eq!(get(&proxy, "/health").status, 200);
    assert_eq!(Client::fetch_message(&proxy, "hello").message(), "You said: hello");
}

#[test]
fn bytes_that_are_not_http_harm_nobody_else() {
    let proxy = Setup::echo().start();
    for bytes in [
        "\x16\x03\x01\x02\0\x01\0\x01\u{1}",
        "GET\r\n\r\n",
        "\0\0\0\0\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut client = Client::connect(&proxy);
        client.wire.send(bytes.as_bytes());
        drop(client);
        assert_eq!(get(&proxy, "/health").status, 200, "after {bytes:?}");
    }
}

// Who may call.

#[test]
fn a_foreign_origin_is_refused_before_anything_is_spent() {
    let upstream = Upstream::start();
    let proxy =
        Setup::asking(&upstream).variable("CORS_ALLOWED_ORIGINS", "https://mine.example").start();
    let headers = &[JSON[0], ("Origin", "https://foreign.example")];
    let refused = Client::fetch(&proxy, "POST", "/v1/messages", headers, &message("a", false));
    let told = refused.error(403, "permission_error");
    assert!(told.contains("https://foreign.example"), "{told}");
    assert_eq!(refused.header("access-control-allow-origin"), None);
    let preflight = Client::fetch(&proxy, "OPTIONS", "/v1/messages", headers, b"");
    preflight.error(403, "permission_error");
    upstream.assert_nobody_waits();
}

#[test]
fn an_allowed_origin_may_read_the_answer() {
    let origin = "https://mine.example";
    for allowed in [origin, "https://other.example, https://mine.example/", "*"] {
        let proxy = Setup::echo().variable("CORS_ALLOWED_ORIGINS", allowed).start();
        let headers = &[JSON[0], ("Origin", origin)];
        let preflight = Client::fetch(&proxy, "OPTIONS", "/v1/messages", headers, b"");
        assert_eq!(preflight.status, 204, "{allowed}");
        assert_eq!(preflight.header("access-control-allow-origin"), Some(origin), "{allowed}");
        let methods = preflight.header("access-control-allow-methods").unwrap_or_default();
        assert!(methods.contains("POST"), "{methods}");
        let names = preflight.header("access-control-allow-headers").unwrap_or_default();
        assert!(names.contains('*') && names.contains("Authorization"), "{names}");
        for stream in [false, true] {
            let mut client = Client::connect(&proxy);
            client.send("POST", "/v1/messages", headers, &message("a", stream));
            let head = client.answer_without_body().head;
            assert_eq!(head.header("access-control-allow-origin"), Some(origin), "{allowed}");
            assert_eq!(head.header("vary"), Some("Origin"), "{allowed}");
        }
    }
}

#[test]
fn a_body_that_a_form_could_send_is_415() {
    let proxy = Setup::echo().start();
    let check = |headers: &[(&str, &str)], said: &str| {
        let answer = Client::fetch(&proxy, "POST", "/v1/messages", headers, &message("a", false));
        let told = answer.error(415, "invalid_request_error");
        assert!(told.contains(said), "{told}");
    };
    check(&[], "application/json");
    check(&[("Content-Type", "text/plain")], "text/plain");
    check(&[("Content-Type", "application/x-www-form-urlencoded")], "application/json");
    check(&[JSON[0], ("Content-Encoding", "gzip")], "gzip");
    let with_charset = &[("content-type", "Application/JSON; charset=utf-8")];
    let answer = Client::fetch(&proxy, "POST", "/v1/messages", with_charset, &message("a", false));
    assert_eq!(answer.message(), "You said: a");
}

#[test]
fn only_who_sends_a_client_key_is_answered() {
    let proxy = Setup::echo().variable("CCPROXY_API_KEY", "first-key, second-key").start();
    let ask = |header: Option<(&str, &str)>| {
        let headers: Vec<_> = [JSON[0]].into_iter().chain(header).collect();
        Client::fetch(&proxy, "POST", "/v1/messages", &headers, &message("a", false))
    };
    for header in [
        None,
        Some(("x-api-key", "")),
        Some(("x-api-key", "first-kez")),
        Some(("x-api-key", "first-key, second-key")),
        Some(("Authorization", "Bearer wrong")),
        Some(("Authorization", "Basic first-key")),
    ] {
        let refused = ask(header);
        let told = refused.error(401, "authentication_error");
        assert!(told.contains("CCPROXY_API_KEY") && !told.contains("first-ke"), "{told}");
    }
    for header in [
        ("x-api-key", "first-key"),
        ("X-Api-Key", "second-key"),
        ("Authorization", "Bearer first-key"),
        ("authorization", "bearer second-key"),
    ] {
        assert_eq!(ask(Some(header)).message(), "You said: a", "{header:?}");
    }
    get(&proxy, "/v1/models").error(401, "authentication_error");
    for path in ["/", "/health", "/status", "/api/hello"] {
        assert_eq!(get(&proxy, path).status, 200, "{path}");
    }
    let log = proxy.log();
    assert!(!log.contains("first-ke") && !log.contains("second-key"), "{log}");
}

// A bug, and a long life.

/// Debug builds panic where they are told to by a header.
#[cfg(debug_assertions)]
#[test]
fn a_panic_is_a_500_and_costs_nothing() {
    // So few threads that the last request is not answered if each panic costs one.
    let proxy = Setup::echo().variable("CCPROXY_MAX_IN_FLIGHT", "4").start();
    let headers = &[JSON[0], ("x-ccproxy-test-panic", "1")];
    let mut client = Client::connect(&proxy);
    for round in 0..100 {
        let stream = round % 2 == 0;
        let answer = client.ask("POST", "/v1/messages", headers, &message("a", stream));
        answer.error(500, "api_error");
    }
    client.send_whole("hello");
    assert_eq!(client.answer().message(), "You said: hello");
    assert_eq!(get(&proxy, "/health").status, 200);
    let threads = proxy.threads();
    assert!(threads < 40, "{threads} threads after 100 panics");
    proxy.wait_for_line("met a bug");
}

#[test]
fn a_thousand_requests_leave_nothing_behind() {
    let upstream = Upstream::start();
    let proxy = Setup::asking(&upstream).start();
    upstream.answer_all();
    let mut kept = Client::connect(&proxy);
    let mut round = |number: usize| {
        let mut fresh = None;
        let client = match number % 3 {
            0 => fresh.insert(Client::connect(&proxy)),
            _ => &mut kept,
        };
        match number % 4 {
            0 => assert_eq!(client.ask("GET", "/health", &[], b"").status, 200),
            1 | 2 => {
                client.send_stream("hello");
                client.begin();
                assert_eq!(client.finish(), "answered");
            }
            _ => {
                client.send_whole("hello");
                assert_eq!(client.answer().message(), "answered");
            }
        }
    };
    (0..50).for_each(&mut round);
    let (descriptors, memory) = (proxy.descriptors(), proxy.memory_kib());
    (50..1000).for_each(&mut round);
    // On a busy machine an answer's thread may end after the next request has come, which then gets
    // a thread and a connection to the provider of its own. What grows with each request is more.
    proxy.wait_until("closing descriptors", |_| proxy.descriptors() < descriptors + 100);
    let threads = proxy.threads();
    assert!(threads < 200, "{threads} threads");
    let grown = proxy.memory_kib().saturating_sub(memory);
    assert!(grown < 6 << 10, "memory has grown by {grown} KiB from {memory}");
}

#[test]
fn clients_that_leave_early_leave_nothing_behind() {
    let proxy = Setup::echo().start();
    assert_eq!(Client::fetch_message(&proxy, "hello").status, 200);
    let descriptors = proxy.descriptors();
    for number in 0..100 {
        let mut client = Client::connect(&proxy);
        if number % 2 == 0 {
            client.send_stream("[[chunks:100000]][[delay:1]]");
            client.begin();
            client.text();
        } else {
            client.wire.send(b"POST /v1/messages HTTP/1.1\r\nContent-Length: 10\r\n\r\n{");
        }
    }
    proxy.wait_until("closing descriptors", |_| proxy.descriptors() <= descriptors + 8);
    assert_eq!(Client::fetch_message(&proxy, "hello").message(), "You said: hello");
}

// The provider inside.

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

#[test]
fn models_are_listed_and_found() {
    let proxy = Setup::echo().start();
    let list = get(&proxy, "/v1/models?limit=1000").json();
    let models = list["data"].as_array().expect("a list");
    assert!(models.iter().any(|model| model["id"] == "echo"), "{list}");
    assert_eq!((&list["has_more"], &list["first_id"]), (&json!(false), &models[0]["id"]));
    for model in models {
        let id = model["id"].as_str().expect("an id is a string");
        assert_eq!(get(&proxy, &format!("/v1/models/{id}")).json(), *model);
    }
    get(&proxy, "/v1/models/nothing").error(404, "not_found_error");
}

#[test]
fn many_at_once_are_all_answered() {
    let proxy = Setup::echo().start();
    thread::scope(|scope| {
        for number in 0..64 {
            let proxy = &proxy;
            scope.spawn(move || {
                let mut client = Client::connect(proxy);
                let text = format!("number {number}");
                client.send_stream(&text);
                client.begin();
                assert_eq!(client.finish(), format!("You said: {text}"));
                client.send_whole(&text);
                assert_eq!(client.answer().message(), format!("You said: {text}"));
            });
        }
    });
}

#[test]
fn localhost_is_both_loopbacks() {
    let proxy = Setup::echo().variable("SERVER_HOST", "localhost").start();
    assert_eq!(get(&proxy, "/health").status, 200);
    let v6 = format!("[::1]:{}", proxy.address.port());
    // A machine without IPv6 has one loopback.
    if let Ok(stream) = std::net::TcpStream::connect(v6) {
        let mut wire = Wire::new(stream);
        wire.send(&request("GET", "/health", &[], b""));
        assert!(wire.head().start.ends_with("200 OK"));
    }
}
