//! The health surface: who asks gets the form that they read, and the provider's state is what real
//! messages have shown.

use libc::SIGHUP;
use serde_json::{Value, json};

use crate::support::client::{Answer, Client};
use crate::support::exchange::{begin_whole, start};
use crate::support::proxy::{Proxy, Setup};
use crate::support::upstream::{Refusing, Upstream};

fn get(proxy: &Proxy, path: &str, headers: &[(&str, &str)]) -> Answer {
    Client::fetch(proxy, "GET", path, headers, b"")
}

#[test]
fn health_speaks_the_language_of_who_asks() {
    const JSON: &str = "application/json";
    const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";
    let proxy = Setup::echo().start();
    for (accept, content_type, begin) in [
        ("*/*", JSON, "{\"status\":\"healthy\","),
        ("text/html,application/xhtml+xml,*/*;q=0.8", JSON, "{\"status\":\"healthy\","),
        ("text/plain", JSON, "{\"status\":\"healthy\","),
        ("application/health+json", "application/health+json", "{\"status\":\"pass\","),
        // Prometheus 2, Prometheus 3, one that only wants protobuf, and vmagent.
        (
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            EXPOSITION,
            "# HELP ccproxy_build_info",
        ),
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            EXPOSITION,
            "# HELP ccproxy_build_info",
        ),
        (
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,*/*;q=0.1",
            EXPOSITION,
            "# HELP ccproxy_build_info",
        ),
        ("text/plain;version=0.0.4;q=1,*/*;q=0.1", EXPOSITION, "# HELP ccproxy_build_info"),
    ] {
        let answer = get(&proxy, "/health", &[("Accept", accept)]);
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(content_type)));
        assert_eq!(answer.header("vary"), Some("Accept"));
        assert!(answer.text().starts_with(begin), "{accept}: {}", answer.text());
    }
    let scraped = get(&proxy, "/health", &[("X-Prometheus-Scrape-Timeout-Seconds", "10")]);
    assert!(scraped.text().contains("\nccproxy_up 1\n"), "{}", scraped.text());
}

#[test]
fn the_checks_are_those_of_kubernetes() {
    let proxy = Setup::echo().start();
    for (path, status, body) in [
        ("/livez", 200, "ok"),
        ("/healthz", 200, "ok"),
        ("/health/live", 200, "ok"),
        ("/readyz", 200, "ok"),
        ("/ready/", 200, "ok"),
        ("/startupz", 200, "ok"),
        ("/ping", 200, "OK"),
        ("/livez?verbose", 200, "[+]ping ok\nlivez check passed\n"),
        (
            "/readyz?verbose&exclude=api&exclude=nothing",
            200,
            "[+]ping ok\n[+]configuration ok\n[+]drain ok\n[+]api excluded: ok\n\
             warn: there is no check \"nothing\" to exclude\nreadyz check passed\n",
        ),
        ("/readyz/drain", 200, "ok"),
        ("/readyz/nothing", 404, "readyz has no check \"nothing\"\n"),
    ] {
        let answer = get(&proxy, path, &[]);
        assert_eq!((answer.status, &*answer.text()), (status, body), "{path}");
    }
    let verbose = get(&proxy, "/health?verbose", &[]).json();
    assert_eq!(verbose["checks"][0], json!({"name": "ping", "status": "ok"}));
}

/// The names of an answer's fields.
fn fields(answer: &Answer) -> Vec<String> {
    let Value::Object(object) = answer.json() else { panic!("{}", answer.text()) };
    object.keys().cloned().collect()
}

/// The fields of CCProxy's document, in its order.
const DOCUMENTED: [&str; 7] =
    ["provider", "model", "base_url", "max_tokens", "status", "service", "version"];

/// A server with a client key, and with a token in the provider's path, which is nobody's business.
fn with_strangers(upstream: &Upstream) -> Proxy {
    let base_url = upstream.base_url().replace("/v1", "/path-token/v1");
    Setup::at(&base_url)
        .variable("CUSTOM_MODEL", "secret-model-name")
        .variable("CCPROXY_API_KEY", "client-key-1")
        .start()
}

const CLIENT_KEY: &[(&str, &str)] = &[("x-api-key", "client-key-1")];

#[test]
fn only_who_has_a_key_sees_more_of_the_status() {
    let upstream = Upstream::start();
    let proxy = with_strangers(&upstream);
    for headers in [&[][..], &[("x-api-key", "wrong")], &[("Authorization", "Bearer client-key")]] {
        let told = get(&proxy, "/status", headers);
        let mut known = DOCUMENTED.map(str::to_owned);
        known.sort_unstable();
        assert_eq!(fields(&told), known, "{}", told.text());
        let (shown, text) = (told.json(), told.text());
        assert!(!text.contains("secret-model-name") && !text.contains("path-token"), "{text}");
        assert_eq!(shown["base_url"], upstream.base_url().trim_end_matches("/v1"));
        assert!(shown["model"].is_string() && shown["max_tokens"].is_u64(), "{text}");
    }
    let known = get(&proxy, "/status", CLIENT_KEY);
    assert_eq!(known.json()["provider_state"]["state"], "unknown");
    assert!(known.text().starts_with("{\"provider\":\"custom\",\"model\":\"secret-model-name\","));
    assert!(!known.text().contains("path-token"), "{}", known.text());
}

#[test]
fn strangers_see_neither_models_nor_tokens_in_the_metrics() {
    let upstream = Upstream::start();
    let proxy = with_strangers(&upstream);
    let known = get(&proxy, "/metrics", CLIENT_KEY).text();
    assert!(known.contains("=\"secret-model-name\""), "{known}");
    assert!(known.contains("ccproxy_tokens_processed_total{"), "{known}");
    for path in ["/metrics", "/health"] {
        let headers = [("X-Prometheus-Scrape-Timeout-Seconds", "10"), ("X-Api-Key", "wrong")];
        let told = get(&proxy, path, &headers);
        let text = told.text();
        assert_eq!(told.status, 200);
        assert!(text.contains("\nccproxy_up 1\n"), "{text}");
        // A cause is called `model_unknown`, whose ever model it was.
        assert!(!text.contains("model-name") && !text.contains("model=\""), "{text}");
        assert!(!text.contains("token"), "{text}");
    }
}

#[test]
fn keys_that_come_by_sighup_make_strangers() {
    let proxy = Setup::echo().dotenv("").start();
    assert_eq!(get(&proxy, "/status", &[]).json()["provider_state"]["state"], "unknown");
    proxy.write_dotenv("CCPROXY_API_KEY=client-key-1\n");
    proxy.signal(SIGHUP);
    proxy.wait_for_line("read the configuration again: 1 client keys");
    assert_eq!(fields(&get(&proxy, "/status", &[])).len(), DOCUMENTED.len());
    assert_eq!(get(&proxy, "/status", &[]).json()["model"], "hidden");
    let known = get(&proxy, "/status", CLIENT_KEY);
    assert_eq!(
        (&known.json()["model"], known.json().get("limits").is_some()),
        (&json!("echo"), true)
    );
}

#[test]
fn the_status_tells_why_since_when_and_until_when() {
    let upstream = Upstream::start();
    let proxy = Setup::asking(&upstream).variable("CCPROXY_BREAKER_PAUSE", "60").start();
    let status = || get(&proxy, "/status", &[]).json();
    assert_eq!(status().get("reason"), None);
    for _ in 0..5 {
        let (mut client, mut connection) = begin_whole(&upstream, &proxy);
        let body = r#"{"error":{"message":"the disk is full"}}"#;
        connection.answer("500 Internal Server Error", &[("Connection", "close")], body);
        assert_eq!(client.answer().status, 500);
    }
    let shown = status();
    assert_eq!(shown["status"], "degraded");
    let state = &shown["provider_state"];
    assert_eq!((&state["state"], &state["circuit_open"]), (&json!("down"), &json!(true)));
    assert_eq!(state["last_error_cause"], "upstream_error");
    for words in [&state["last_error"], &shown["reason"]] {
        let words = words.as_str().expect("words");
        assert!(words.contains("the disk is full"), "{words}");
    }
    for time in ["failing_since", "last_error_at"] {
        let time = state[time].as_str().expect("a time");
        assert!(time.starts_with("20") && time.ends_with('Z') && time.contains('T'), "{time}");
    }
    assert!(state["failing_seconds"].is_u64() && state["last_error_seconds_ago"].is_u64());
    let again = state["asked_again_in_seconds"].as_u64().expect("a number");
    assert!((1..=60).contains(&again), "{again}");
    let reason = shown["reason"].as_str().expect("words");
    assert!(reason.contains(&format!("asked again in {again} s")), "{reason}");
}

#[test]
fn the_status_tells_what_a_provider_refused_though_it_is_well() {
    let (upstream, proxy) = start();
    let check = |answer: &str, message: &str| {
        let (mut client, mut connection) = begin_whole(&upstream, &proxy);
        let body = json!({ "error": { "message": message } }).to_string();
        connection.answer(answer, &[("Connection", "close")], &body);
        if answer.starts_with("404") {
            upstream.refuse_list();
        }
        assert!(client.answer().status >= 400);
        let shown = get(&proxy, "/status", &[]).json();
        let told = shown["provider_state"]["last_error"].as_str().expect("words");
        assert!(told.contains(message), "{told}");
    };
    check("402 Payment Required", "there is no credit left");
    check("404 Not Found", "no model of this name");
    check("400 Bad Request", "a parameter is odd");
}

#[test]
fn the_status_tells_what_was_turned_away_at_the_door() {
    let proxy = Setup::echo().variable("CCPROXY_API_KEY", "client-key-1").start();
    let shown = || get(&proxy, "/status", CLIENT_KEY).json();
    assert_eq!((shown().get("refused"), shown().get("last_refusal")), (None, None));
    get(&proxy, "/nowhere", &[]);
    let first = shown();
    assert_eq!(first["refused"], json!({ "path": 1 }));
    assert_eq!(first["last_refusal"]["asked"], "GET /nowhere");
    get(&proxy, "/v1/models", &[("x-api-key", "wrong")]);
    let second = shown();
    assert_eq!(second["refused"], json!({ "key": 1, "path": 1 }));
    let words = second["last_refusal"]["words"].as_str().expect("words");
    assert!(words.contains("CCPROXY_API_KEY") && !words.contains("wrong"), "{words}");
    assert_eq!(second["last_refusal"]["reason"], "key");
    let stranger = get(&proxy, "/status", &[]);
    assert_eq!(fields(&stranger).len(), DOCUMENTED.len(), "{}", stranger.text());
}

#[test]
fn limits_stand_beside_what_is_in_use() {
    let upstream = Upstream::start();
    let proxy = Setup::asking(&upstream).variable("CCPROXY_MAX_IN_FLIGHT", "7").start();
    let _stream = Client::in_flight(&proxy, &upstream);
    let shown = get(&proxy, "/status", &[]).json();
    let limits = &shown["limits"];
    assert_eq!((&limits["in_flight"], &limits["max_in_flight"]), (&json!(1), &json!(7)));
    for (used, most) in [("connections", "max_connections"), ("body_bytes", "max_body_bytes")] {
        let number = |name: &str| limits[name].as_u64().expect("a number");
        assert!((1..number(most)).contains(&number(used)), "{used}: {limits}");
    }
    let memory = &limits["memory_limit_bytes"];
    assert!(memory.is_null() || memory.is_u64(), "{limits}");
}

#[test]
fn the_metrics_tell_limits_beside_what_is_in_use() {
    let proxy = Setup::echo().variable("CCPROXY_MAX_IN_FLIGHT", "7").start();
    let text = proxy.get("/metrics").text();
    let value = |name: &str| proxy.metric(name).unwrap_or_else(|| panic!("{name} is exposed"));
    assert_eq!(value("ccproxy_in_flight_limit"), 7.0);
    assert_eq!(value("http_server_active_requests"), 0.0);
    assert!(value("ccproxy_connections") <= value("ccproxy_connections_limit"));
    assert!(value("ccproxy_body_memory_bytes") <= value("ccproxy_body_memory_limit_bytes"));
    for old in ["gen_ai_client_operation_duration", "gen_ai_client_token_usage"] {
        assert!(!text.contains(old), "{old} has been replaced");
    }
}

#[test]
fn resting_keys_are_told_with_reason_and_time() {
    let upstream = Upstream::start();
    let proxy = Setup::asking(&upstream).variable("CUSTOM_API_KEY", "sk-first,sk-second").start();
    let mut client = Client::connect(&proxy);
    client.send_whole("hello");
    for (status, said, after) in [
        ("429 Too Many Requests", "too fast for sk-first", "300"),
        ("401 Unauthorized", "unknown key sk-second", "0"),
    ] {
        let mut connection = upstream.accept();
        connection.request();
        let body = json!({ "error": { "message": said } }).to_string();
        connection.answer(status, &[("Connection", "close"), ("Retry-After", after)], &body);
    }
    client.answer();
    let answer = get(&proxy, "/status", &[]);
    let shown = answer.json();
    let state = &shown["provider_state"];
    assert_eq!(state["state"], "limited", "{shown}");
    assert_eq!(shown["status"], "degraded");
    let resting = state["resting"].as_array().expect("a list");
    assert_eq!(resting.len(), 2, "{shown}");
    for (place, (said, most)) in [("too fast", 300), ("unknown key", 60)].into_iter().enumerate() {
        let key = &resting[place];
        assert_eq!(key["key"], place + 1);
        let reason = key["reason"].as_str().expect("words");
        assert!(reason.contains(said), "{reason}");
        let seconds = key["seconds"].as_u64().expect("a number");
        assert!((most - 20..=most).contains(&seconds), "{key}");
        assert!(key["until"].as_str().is_some_and(|until| until.ends_with('Z')), "{key}");
    }
    assert!(shown["reason"].as_str().is_some_and(|r| r.contains("all 2 keys of custom rest")));
    assert!(!answer.text().contains("sk-"), "{}", answer.text());
}

#[test]
fn the_whole_is_told_and_not_the_first_provider() {
    let (dead, second) = (Refusing::start(), Upstream::start());
    let provider = |name: &str, url: String| json!({ "name": name, "type": "custom", "base_url": url, "model": name, "api_key": "k" });
    let providers = [provider("dead", dead.base_url()), provider("second", second.base_url())];
    let proxy = Setup::file(json!({ "providers": providers }))
        .variable("CCPROXY_BREAKER_PAUSE", "600")
        .start();
    second.answer_all();
    for _ in 0..5 {
        assert_eq!(Client::fetch_message(&proxy, "hello").message(), "answered");
    }
    let shown = get(&proxy, "/status", &[]).json();
    assert_eq!((&shown["status"], &shown["answering"]), (&json!("degraded"), &json!("second")));
    assert_eq!(shown["provider_state"]["state"], "up");
    let reason = shown["reason"].as_str().expect("words");
    assert!(reason.starts_with("dead has failed 5 times in a row ("), "{reason}");
    assert!(reason.ends_with("; messages are answered by second"), "{reason}");
}

#[test]
fn a_provider_that_fails_is_shown_and_left_alone_and_costs_no_readiness() {
    let upstream = Upstream::start();
    let proxy = Setup::asking(&upstream).variable("CCPROXY_BREAKER_PAUSE", "600").start();
    assert_eq!(proxy.metric("ccproxy_provider_up{provider=\"custom\"}"), None);
    for _ in 0..5 {
        let (mut client, mut connection) = begin_whole(&upstream, &proxy);
        connection.answer("500 Internal Server Error", &[("Connection", "close")], "");
        client.answer().error(500, "api_error");
    }
    let left_alone = Client::fetch_message(&proxy, "hello");
    let told = left_alone.error(503, "api_error");
    assert!(told.contains("failed 5 times in a row"), "{told}");
    assert!(left_alone.header("retry-after").is_some());
    upstream.assert_nobody_waits();

    assert_eq!(get(&proxy, "/health", &[]).status, 200);
    assert_eq!(get(&proxy, "/readyz", &[]).status, 200);
    assert_eq!(get(&proxy, "/status", &[]).json()["status"], "degraded");
    let strict = get(&proxy, "/health?fail_on=provider", &[]);
    assert_eq!((strict.status, &strict.json()["reason"]), (503, &json!("provider")));
    let listed = get(&proxy, "/readyz?fail_on=provider", &[]);
    assert!(listed.text().contains("[-]provider failed: reason withheld\n"), "{}", listed.text());
    assert_eq!(proxy.metric("ccproxy_provider_up{provider=\"custom\"}"), Some(0.0));
    assert_eq!(proxy.metric("ccproxy_provider_circuit_open{provider=\"custom\"}"), Some(1.0));
    let errors = "ccproxy_upstream_errors_total{provider=\"custom\",error_type=\"upstream_error\"}";
    assert_eq!(proxy.metric(errors), Some(5.0));
}

#[test]
fn the_first_answer_ends_a_failure() {
    let (upstream, proxy) = start();
    let ask = |status: &str| {
        let (mut client, mut connection) = begin_whole(&upstream, &proxy);
        match status {
            "200 OK" => connection.complete("hello"),
            status => connection.answer(status, &[("Connection", "close")], ""),
        }
        connection.wire.close();
        client.answer()
    };
    for _ in 0..4 {
        ask("503 Service Unavailable");
    }
    assert_eq!(get(&proxy, "/status", &[]).json()["status"], "degraded");
    assert_eq!(ask("200 OK").status, 200);
    assert_eq!(get(&proxy, "/status", &[]).json()["status"], "active");
    assert_eq!(proxy.metric("ccproxy_provider_up{provider=\"custom\"}"), Some(1.0));
    let counted = |status: &str| {
        proxy.metric(&format!("ccproxy_requests_total{{provider=\"custom\",status=\"{status}\"}}"))
    };
    // A message is counted when its answer is out.
    proxy.wait_until("counted", |_| {
        (counted("success"), counted("error")) == (Some(1.0), Some(4.0))
    });
}

#[test]
fn an_unreachable_provider_is_a_failure_and_a_refused_request_is_none() {
    let refusing = Refusing::start();
    let proxy = Setup::at(&refusing.base_url()).start();
    for _ in 0..3 {
        Client::fetch_message(&proxy, "hello").error(502, "api_error");
    }
    assert_eq!(get(&proxy, "/status", &[]).json()["status"], "degraded");

    let (upstream, proxy) = start();
    for _ in 0..6 {
        let (mut client, mut connection) = begin_whole(&upstream, &proxy);
        connection.answer("422 Unprocessable Entity", &[("Connection", "close")], "");
        client.answer().error(400, "invalid_request_error");
    }
    assert_eq!(get(&proxy, "/status", &[]).json()["status"], "active");
}
