//! The books of several messages, of one that several providers were asked for, and of questions that
//! are no messages.

use serde_json::{Value, json};

use super::{CLIENT_KEY, Scene, Seen, seen, streamed};
use crate::support::client::{Client, message};
use crate::support::proxy::Setup;
use crate::support::upstream::Upstream;

#[test]
fn a_provider_that_is_left_alone_is_not_blamed_again() {
    let upstream = Upstream::start();
    let setup = Setup::asking(&upstream)
        .json_log()
        .variable("CCPROXY_API_KEY", CLIENT_KEY)
        .variable("CCPROXY_BREAKER_PAUSE", "600");
    let scene = Scene { upstream, proxy: setup.start() };
    // Streams that break off are failures as any other.
    for _ in 0..5 {
        let (client, connection) = scene.begun();
        connection.wire.close();
        assert!(matches!(streamed(client), Seen::Event));
    }
    // The books of the last one are closed after its last byte.
    scene.proxy.wait_for_lines("\"error_type\":\"cut\"", 5);
    assert_eq!(scene.metric("ccproxy_provider_circuit_open", ""), 1.0);
    assert_eq!(scene.status()["status"], "degraded");
    let body = message("hello", true);
    let answer = Client::fetch(&scene.proxy, "POST", "/v1/messages", &Scene::headers(), &body);
    let Seen::Error(status) = seen(&answer) else { panic!("{}", answer.text()) };
    let line = scene.proxy.record(answer.header("request-id").expect("an id"));
    assert_eq!(line["status"], status, "{line}");
    assert_eq!((&line["error_type"], &line["level"]), (&json!("breaker_open"), &json!("warn")));
    assert_eq!(scene.metric("ccproxy_requests_total", "status=\"error\""), 6.0);
    assert_eq!(scene.metric("ccproxy_upstream_errors_total", ""), 5.0);
    assert_eq!(scene.metric("ccproxy_upstream_errors_total", "error_type=\"cut\""), 5.0);
    assert_eq!(scene.metric("ccproxy_provider_consecutive_failures", ""), 5.0);
}

#[test]
fn a_fallback_is_one_message_and_one_line() {
    let (first, second) = (Upstream::start(), Upstream::start());
    let provider = |name: &str, at: &Upstream| json!({ "name": name, "type": "custom", "api_key": "k", "base_url": at.base_url(), "model": "m" });
    let file = json!({ "providers": [provider("first", &first), provider("second", &second)] });
    let setup = Setup::file(file).json_log().variable("CCPROXY_API_KEY", CLIENT_KEY);
    let scene = Scene { upstream: first, proxy: setup.start() };
    let (mut client, mut connection) = scene.ask(false);
    connection.answer("500 Internal Server Error", &[("Connection", "close")], "");
    let mut connection = second.accept();
    connection.request();
    connection.answer("200 OK", &[("x-request-id", "their-id-7")], &completion());
    let answer = client.answer();
    assert!(matches!(seen(&answer), Seen::Message));
    let line = scene.proxy.record(answer.header("request-id").expect("an id"));
    for (field, value) in [
        ("level", json!("warn")),
        ("status", json!(200)),
        ("provider", json!("second")),
        ("model", json!("m")),
        ("model_asked", json!("claude-sonnet-5-5")),
        ("tried", json!(["first 500"])),
        ("upstream_status", json!(200)),
        ("upstream_request_id", json!("their-id-7")),
        ("stream", json!(false)),
        ("input_tokens", json!(234)),
        ("cache_read_tokens", json!(1000)),
        ("output_tokens", json!(7)),
        ("stop_reason", json!("end_turn")),
        ("client", json!("key 1")),
        ("address", json!("127.0.0.1")),
        ("error_type", Value::Null),
    ] {
        assert_eq!(line[field], value, "{field}: {line}");
    }
    let time = |field: &str| line[field].as_u64().unwrap_or_else(|| panic!("{field}: {line}"));
    assert!(time("own_ms") <= time("duration_ms"), "{line}");
    assert!(time("first_byte_ms") <= time("duration_ms"), "{line}");
    assert_eq!(scene.metric("ccproxy_requests_total", ""), 1.0);
    assert_eq!(
        scene.metric("ccproxy_requests_total", "provider=\"second\",status=\"success\""),
        1.0
    );
    assert_eq!(scene.metric("ccproxy_provider_consecutive_failures", "provider=\"first\""), 1.0);
    assert_eq!(scene.metric("ccproxy_provider_consecutive_failures", "provider=\"second\""), 0.0);
    let log = scene.proxy.log();
    assert_eq!(log.matches("\"request_id\"").count(), 1, "{log}");
}

fn completion() -> String {
    let message = json!({ "role": "assistant", "content": "hello" });
    let details = json!({ "cached_tokens": 1000 });
    json!({
        "id": "1", "object": "chat.completion", "created": 0, "model": "m",
        "choices": [{ "index": 0, "message": message, "finish_reason": "stop" }],
        "usage": {
            "prompt_tokens": 1234, "completion_tokens": 7, "prompt_tokens_details": details,
        },
    })
    .to_string()
}

#[test]
fn what_there_is_no_room_for_is_turned_away_and_booked_so() {
    let upstream = Upstream::start();
    let setup = Setup::asking(&upstream).json_log().variable("CCPROXY_API_KEY", CLIENT_KEY);
    let setup = setup.variable("CCPROXY_MAX_IN_FLIGHT", "1").variable("CCPROXY_RATE_LIMIT", "3");
    let mut scene = Scene { upstream, proxy: setup.start() };
    let body = message("hello", false);
    let turned_away = |scene: &Scene, client: &mut Client, reason: &str, level: &str| {
        let answer = client.ask("POST", "/v1/messages", &Scene::headers(), &body);
        let Seen::Error(status) = seen(&answer) else { panic!("{}", answer.text()) };
        let line = scene.proxy.record(answer.header("request-id").expect("an id"));
        assert_eq!(
            (&line["error_type"], &line["level"]),
            (&json!(reason), &json!(level)),
            "{line}"
        );
        assert_eq!(line["status"], status, "{line}");
        let label = format!("reason=\"{reason}\"");
        assert_eq!(scene.metric("ccproxy_refused_total", &label), 1.0);
        assert_eq!(scene.metric("ccproxy_requests_shed_total", &label), 1.0);
    };
    let (client, mut connection) = scene.begun();
    let mut other = Client::connect(&scene.proxy);
    turned_away(&scene, &mut other, "in_flight", "warn");
    // The third of its minute, while the server ends; the fourth is one too many.
    scene.proxy.signal(libc::SIGTERM);
    scene.proxy.wait_until("draining", |answer| answer.status == 503);
    turned_away(&scene, &mut other, "draining", "info");
    let mut another = Client::connect(&scene.proxy);
    turned_away(&scene, &mut another, "rate_limit", "info");
    assert_eq!(scene.metric("ccproxy_requests_total", ""), 0.0);
    assert_eq!(scene.metric("ccproxy_refused_total", ""), 3.0);
    connection.finish();
    assert!(matches!(streamed(client), Seen::Message));
    assert_eq!(scene.proxy.exit(), Some(0));
}

#[test]
fn an_older_success_overrules_no_newer_refusal() {
    let upstream = Upstream::start();
    let setup = Setup::asking(&upstream).json_log().variable("CCPROXY_API_KEY", CLIENT_KEY);
    let scene = Scene { upstream, proxy: setup.start() };
    let (client, mut older) = scene.begun();
    scene.answered(false, "429 Too Many Requests", &[("Retry-After", "60")], "{}");
    assert_eq!(scene.metric("ccproxy_provider_resting_keys", ""), 1.0);
    older.finish();
    assert!(matches!(streamed(client), Seen::Message));
    assert_eq!(scene.metric("ccproxy_provider_resting_keys", ""), 1.0);
}

#[test]
fn the_watchdogs_own_questions_are_not_counted() {
    let proxy = Setup::echo().start();
    let scene = Scene { upstream: Upstream::start(), proxy };
    // It has asked once it tells how long that took.
    let took = |scene: &Scene| {
        let text = Client::fetch(&scene.proxy, "GET", "/metrics", &[], b"").text();
        let sample = "ccproxy_self_probe_duration_seconds ";
        text.lines().find_map(|line| line.strip_prefix(sample)?.parse::<f64>().ok())
    };
    scene.proxy.wait_for_line("listening on");
    let deadline = std::time::Instant::now() + crate::support::PATIENCE;
    while took(&scene) == Some(0.0) {
        assert!(std::time::Instant::now() < deadline, "the watchdog never asks");
        std::thread::yield_now();
    }
    assert_eq!(scene.metric("ccproxy_health_requests_total", "path=\"/health\""), 0.0);
    Client::fetch(&scene.proxy, "GET", "/health", &[], b"");
    Client::fetch(&scene.proxy, "GET", "/readyz/nothing", &[], b"");
    let counted = |label: &str| scene.metric("ccproxy_health_requests_total", label);
    assert_eq!(counted("path=\"/health\",code=\"200\""), 1.0);
    assert_eq!(counted("path=\"/readyz\",code=\"404\""), 1.0);
    assert_eq!(counted("code=\"503\""), 0.0);
}
