//! The log: one line for each request, refusals included, that tells who asked for what and what
//! became of it, and that nobody can forge.

use libc::SIGTERM;
use serde_json::{Value, json};

use crate::support::client::{Answer, Client, JSON, message};
use crate::support::exchange::{begin_whole, start};
use crate::support::proxy::Setup;

fn id(answer: &Answer) -> &str {
    answer.header("request-id").expect("every answer has one")
}

const KEY: &str = "client-key-of-the-test";

#[test]
fn what_the_door_refuses_is_a_line_and_a_count() {
    let setup = Setup::echo().json_log().variable("CCPROXY_API_KEY", KEY);
    let proxy =
        setup.variable("CCPROXY_RATE_LIMIT", "2").variable("CCPROXY_BODY_LIMIT", "2048").start();
    let key: &[(&str, &str)] = &[("x-api-key", KEY), JSON[0]];
    let foreign: &[(&str, &str)] = &[("Origin", "https://evil.example"), JSON[0]];
    let text: &[(&str, &str)] = &[("x-api-key", KEY), ("Content-Type", "text/plain")];
    let large = message(&"x".repeat(4096), false);
    let small = message("hello", false);
    assert_eq!(Client::fetch(&proxy, "POST", "/v1/messages", key, &small).status, 200);
    let cases = [
        ("POST", "/v1/messages", JSON, &small[..], 401, "key", "warn"),
        ("POST", "/v1/messages", foreign, &small, 403, "origin", "info"),
        ("GET", "/anthropic/v1/nothing?key=hidden", key, &[], 404, "path", "info"),
        ("GET", "/v1/messages", key, &[], 405, "method", "info"),
        ("POST", "/v1/messages", text, &small, 415, "content_type", "info"),
    ];
    for (method, path, headers, body, status, reason, level) in cases {
        let answer = Client::fetch(&proxy, method, path, headers, body);
        assert_eq!(answer.status, status, "{}", answer.text());
        let line = proxy.record(id(&answer));
        assert_eq!(line["status"], status, "{line}");
        assert_eq!(
            (&line["error_type"], &line["level"]),
            (&json!(reason), &json!(level)),
            "{line}"
        );
        assert_eq!(line["msg"], answer.json()["error"]["message"], "{line}");
        assert_eq!(
            proxy.metric(&format!("ccproxy_refused_total{{reason=\"{reason}\"}}")),
            Some(1.0)
        );
    }
    // Another connection of the same address has had its lines; the counts go on.
    for (body, status, reason) in [(&large, 413, "too_large"), (&small, 429, "rate_limit")] {
        let answer = Client::fetch(&proxy, "POST", "/v1/messages", key, body);
        assert_eq!(answer.status, status, "{}", answer.text());
        assert_eq!(
            proxy.metric(&format!("ccproxy_refused_total{{reason=\"{reason}\"}}")),
            Some(1.0)
        );
    }
    let log = proxy.log();
    assert!(!log.contains(KEY) && !log.contains("hidden"), "{log}");
}

#[test]
fn a_refusal_names_who_asked() {
    let proxy = Setup::echo().json_log().variable("CCPROXY_API_KEY", "first-client-key,").start();
    let headers = [
        ("x-api-key", "first-client-key"),
        ("User-Agent", "claude-cli/2.1.330"),
        ("X-Claude-Code-Session-Id", "4f79c2"),
    ];
    let line = proxy.record(id(&Client::fetch(&proxy, "GET", "/v1/none", &headers, b"")));
    for (field, value) in [
        ("client", "key 1"),
        ("agent", "claude-cli/2.1.330"),
        ("session", "4f79c2"),
        ("address", "127.0.0.1"),
    ] {
        assert_eq!(line[field], value, "{line}");
    }
}

#[test]
fn what_a_client_says_of_itself_forges_no_line_and_shows_no_key() {
    let key = "first-client-key";
    let proxy = Setup::echo().json_log().variable("CCPROXY_API_KEY", key).start();
    let agent = format!("x\\\",\"level\":\"error\" {key} {}", "y".repeat(5000));
    let headers = [("User-Agent", &*agent), ("X-Claude-Code-Session-Id", key)];
    let answer = Client::fetch(&proxy, "GET", &format!("/v1/{key}"), &headers, b"");
    let line = proxy.record(id(&answer));
    assert_eq!(
        (&line["level"], &line["session"]),
        (&json!("info"), &json!("[redacted]")),
        "{line}"
    );
    assert!(line["agent"].as_str().is_some_and(|agent| agent.len() <= 100), "{line}");
    assert!(!proxy.log().contains(key), "{}", proxy.log());
}

#[test]
fn a_flood_of_refusals_is_a_few_lines_and_a_number() {
    let proxy = Setup::echo().json_log().variable("CCPROXY_API_KEY", KEY).start();
    let mut client = Client::connect(&proxy);
    for _ in 0..200 {
        assert_eq!(client.ask("POST", "/v1/messages", JSON, b"{}").status, 401);
    }
    assert_eq!(proxy.metric("ccproxy_refused_total{reason=\"key\"}"), Some(200.0));
    let line = proxy.wait_for_line("and 195 more in ");
    let line: Value = serde_json::from_str(&line).expect("a line is JSON");
    assert_eq!((&line["count"], &line["address"]), (&json!(195), &json!("127.0.0.1")), "{line}");
    assert_eq!(line["level"], "warn", "{line}");
    assert_eq!(proxy.log().matches("\"error_type\":\"key\"").count(), 5, "{}", proxy.log());
}

#[test]
fn a_flood_that_is_not_over_is_told_of_when_the_server_ends() {
    let setup = || Setup::echo().json_log().variable("CCPROXY_API_KEY", KEY);
    for (delay, code) in [("0", 0), ("60", 128 + SIGTERM)] {
        let mut proxy = setup().variable("CCPROXY_DRAIN_DELAY", delay).start();
        let mut client = Client::connect(&proxy);
        for _ in 0..50 {
            assert_eq!(client.ask("POST", "/v1/messages", JSON, b"{}").status, 401);
        }
        drop(client);
        proxy.signal(SIGTERM);
        if delay != "0" {
            proxy.wait_for_line("shutting down");
            proxy.signal(SIGTERM);
        }
        assert_eq!(proxy.exit(), Some(code), "with a delay of {delay} s");
        assert!(proxy.log().contains("and 45 more in "), "{}", proxy.log());
    }
}

#[test]
fn whatever_is_asked_of_the_api_is_a_line() {
    let proxy = Setup::echo().json_log().start();
    for (method, path, body, action) in [
        ("POST", "/v1/messages", message("hello", false), "anthropic_response"),
        ("POST", "/v1/messages/count_tokens", message("hello", false), "count_tokens"),
        ("GET", "/v1/models", Vec::new(), "models"),
    ] {
        let answer = Client::fetch(&proxy, method, path, JSON, &body);
        let line = proxy.record(id(&answer));
        assert_eq!((&line["action"], &line["status"]), (&json!(action), &json!(200)), "{line}");
        assert_eq!(line["level"], "info", "{line}");
    }
    // A prober leaves none.
    for path in ["/health", "/status", "/metrics", "/readyz"] {
        assert_eq!(Client::fetch(&proxy, "GET", path, &[], b"").status, 200);
    }
    assert_eq!(proxy.log().matches("\"request_id\"").count(), 3, "{}", proxy.log());
}

#[test]
fn a_configuration_that_is_refused_is_json_where_that_is_wanted() {
    let run = Setup::echo().json_log().variable("SERVER_PORT", "abc").run();
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    let lines: Vec<Value> = run
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect();
    let said = |line: &Value| line["msg"].as_str().is_some_and(|msg| msg.contains("\"abc\""));
    assert!(lines.iter().any(said), "{lines:?}");
    assert!(lines.iter().all(|line| line["level"] == "error"), "{lines:?}");
}

#[test]
fn what_keeps_it_from_starting_is_a_line_like_the_others() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("the loopback has a free port");
    let port = taken.local_addr().expect("it is bound").port().to_string();
    for level in ["info", "error", "off"] {
        let setup = Setup::echo().json_log().variable("LOG_LEVEL", level);
        let run = setup.variable("SERVER_PORT", &port).run();
        assert_eq!(run.code, Some(1), "{}", run.stderr);
        for line in run.stderr.lines() {
            let line: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
            assert!(line["msg"].is_string(), "{line}");
        }
        let last = run.stderr.lines().last().unwrap_or_else(|| panic!("silent at {level}"));
        let last: Value = serde_json::from_str(last).expect("it was read");
        assert_eq!(last["level"], "error", "{last}");
        assert!(last["msg"].as_str().is_some_and(|msg| msg.contains("cannot listen on")), "{last}");
    }
}

#[test]
fn a_line_of_the_log_is_one_line() {
    let (upstream, proxy) = start();
    let (mut client, mut connection) = begin_whole(&upstream, &proxy);
    let forged = json!({ "error": "no model x\n2026-01-01 FAKE \u{1b}[31m" }).to_string();
    connection.answer("404 Not Found", &[], &forged);
    client.answer().error(500, "api_error");
    let line = proxy.wait_for_line("no model x");
    assert!(line.contains(r"no model x\n2026-01-01 FAKE \u{1b}[31m"), "{line}");
}
