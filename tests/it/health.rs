//! The health surface: who asks gets the form that they read, and the provider's state is what real
//! messages have shown.

use serde_json::{Value, json};

use crate::support::client::{Answer, Client};
use crate::support::proxy::{Proxy, Setup};
use crate::support::upstream::{Refusing, Upstream};

fn get(proxy: &Proxy, path: &str, headers: &[(&str, &str)]) -> Answer {
    Client::fetch(proxy, "GET", path, headers, b"")
}

fn metric(proxy: &Proxy, sample: &str) -> Option<f64> {
    let text = get(proxy, "/metrics", &[]).text();
    let value = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    value.map(|value| value.parse().expect("a number"))
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

#[test]
fn only_who_has_a_key_sees_more_of_the_status() {
    let proxy = Setup::echo().variable("CCPROXY_API_KEY", "client-key-1").start();
    let keys = |answer: &Answer| {
        let Value::Object(object) = answer.json() else { panic!("{}", answer.text()) };
        object.len()
    };
    assert_eq!(keys(&get(&proxy, "/status", &[])), 7);
    assert_eq!(keys(&get(&proxy, "/status", &[("x-api-key", "wrong")])), 7);
    let known = get(&proxy, "/status", &[("x-api-key", "client-key-1")]);
    assert_eq!(known.json()["provider_state"]["state"], "unknown");
    assert!(known.text().starts_with("{\"provider\":\"echo\",\"model\":\"echo\","));
}

#[test]
fn a_provider_that_fails_is_shown_and_left_alone_and_costs_no_readiness() {
    let upstream = Upstream::start();
    let proxy = Setup::asking(&upstream).start();
    assert_eq!(metric(&proxy, "ccproxy_provider_up{provider=\"custom\"}"), None);
    for _ in 0..5 {
        let mut client = Client::connect(&proxy);
        client.send_whole("hello");
        let mut connection = upstream.accept();
        connection.request();
        connection.answer("500 Internal Server Error", &[("Connection", "close")], "");
        client.answer().error(500, "api_error");
    }
    let left_alone = Client::fetch_message(&proxy, "hello");
    let told = left_alone.error(529, "overloaded_error");
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
    assert_eq!(metric(&proxy, "ccproxy_provider_up{provider=\"custom\"}"), Some(0.0));
    assert_eq!(metric(&proxy, "ccproxy_provider_circuit_open{provider=\"custom\"}"), Some(1.0));
    let errors = "ccproxy_upstream_errors_total{provider=\"custom\",error_type=\"api_error\"}";
    assert_eq!(metric(&proxy, errors), Some(5.0));
}

#[test]
fn the_first_answer_ends_a_failure() {
    let upstream = Upstream::start();
    let proxy = Setup::asking(&upstream).start();
    let ask = |status: &str| {
        let mut client = Client::connect(&proxy);
        client.send_whole("hello");
        let mut connection = upstream.accept();
        connection.request();
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
    assert_eq!(metric(&proxy, "ccproxy_provider_up{provider=\"custom\"}"), Some(1.0));
    let counted = |status: &str| {
        metric(
            &proxy,
            &format!("ccproxy_requests_total{{provider=\"custom\",status=\"{status}\"}}"),
        )
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
        Client::fetch_message(&proxy, "hello").error(529, "overloaded_error");
    }
    assert_eq!(get(&proxy, "/status", &[]).json()["status"], "degraded");

    let upstream = Upstream::start();
    let proxy = Setup::asking(&upstream).start();
    for _ in 0..6 {
        let mut client = Client::connect(&proxy);
        client.send_whole("hello");
        let mut connection = upstream.accept();
        connection.request();
        connection.answer("422 Unprocessable Entity", &[("Connection", "close")], "");
        client.answer().error(400, "invalid_request_error");
    }
    assert_eq!(get(&proxy, "/status", &[]).json()["status"], "active");
}
