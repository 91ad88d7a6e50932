//! `/statusz` and `/flagz`, as Kubernetes has them of its own servers.

use libc::SIGHUP;
use serde_json::{Value, json};

use crate::support::client::{Answer, Client};
use crate::support::proxy::{Proxy, Setup};

fn get(proxy: &Proxy, path: &str, headers: &[(&str, &str)]) -> Answer {
    Client::fetch(proxy, "GET", path, headers, b"")
}

/// The page as a kind of `config.k8s.io`.
fn object(proxy: &Proxy, path: &str, kind: &str, headers: &[(&str, &str)]) -> Value {
    let accept = format!("application/json;v=v1beta1;g=config.k8s.io;as={kind}");
    let answer = get(proxy, path, &[&[("Accept", &*accept)], headers].concat());
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    let object = answer.json();
    assert_eq!(object["kind"], kind);
    assert_eq!(object["apiVersion"], "config.k8s.io/v1beta1");
    assert_eq!(object["metadata"], json!({ "name": "ccproxy" }));
    object
}

#[test]
fn statusz_tells_what_runs_and_since_when() {
    let proxy = Setup::echo().start();
    let answer = get(&proxy, "/statusz", &[]);
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(answer.header("vary"), Some("Accept"));
    let text = answer.text();
    assert!(text.starts_with("\nccproxy statusz\nWarning: This endpoint is not meant to be "));
    for line in ["\n\nStarted: ", " UTC 20", "\nUp: 0 hr 00 min ", "\nBinary version: 1.0.0\n"] {
        assert!(text.contains(line), "{line:?}: {text}");
    }
    let object = object(&proxy, "/statusz", "Statusz", &[]);
    assert_eq!(object["binaryVersion"], "1.0.0");
    assert!(object["uptimeSeconds"].as_u64().is_some_and(|seconds| seconds < 600), "{object}");
    let began = object["startTime"].as_str().expect("a time");
    assert!(began.len() == 20 && began.starts_with("20") && began.ends_with('Z'), "{began}");
    // Every path that it names is there.
    let paths = object["paths"].as_array().expect("a list");
    let listed = text.lines().last().expect("a line").strip_prefix("Paths: ").expect("them");
    assert!(paths.len() == listed.split(' ').count() && paths.len() > 5, "{listed}");
    for path in listed.split(' ') {
        assert_eq!(get(&proxy, path, &[]).status, 200, "{path}");
        assert!(paths.contains(&path.into()), "{path}");
    }
}

#[test]
fn a_form_that_there_is_not_is_406() {
    let proxy = Setup::echo().start();
    for (path, kind) in [("/statusz", "Statusz"), ("/flagz", "Flagz")] {
        for accept in ["application/json", "application/yaml", "text/html"] {
            let answer = get(&proxy, path, &[("Accept", accept)]);
            assert_eq!(answer.status, 406, "{accept}");
            let wanted = format!("application/json;g=config.k8s.io;v=v1beta1;as={kind}");
            assert!(answer.text().contains(&wanted), "{}", answer.text());
        }
        for method in ["HEAD", "OPTIONS"] {
            let answer = Client::fetch(&proxy, method, path, &[("Accept", "*/*")], b"");
            assert_eq!(answer.status, 200, "{method} {path}");
        }
        let post = Client::fetch(&proxy, "POST", path, &[], b"");
        post.error(405, "invalid_request_error");
    }
    let metrics = get(&proxy, "/metrics", &[]).text();
    for (path, code, count) in [("/statusz", 200, 2), ("/statusz", 406, 3), ("/flagz", 406, 3)] {
        let line =
            format!("ccproxy_health_requests_total{{path=\"{path}\",code=\"{code}\"}} {count}\n");
        assert!(metrics.contains(&line), "{line}{metrics}");
    }
}

#[test]
fn flagz_tells_how_it_was_set_up_and_no_secret() {
    const KEY: (&str, &str) = ("X-Api-Key", "planted-client");
    let proxy = Setup::at("http://127.0.0.1:1/planted/v1")
        .variable("CUSTOM_API_KEY", "planted-one,planted-two")
        .variable("CUSTOM_NATIVE_URL", "http://127.0.0.1:1/planted/anthropic")
        .variable("CCPROXY_API_KEY", "planted-client")
        .variable("HTTPS_PROXY", "http://planted:planted@127.0.0.1:9")
        .arguments(&["--rate-limit", "1000"])
        .start();
    let flags = object(&proxy, "/flagz", "Flagz", &[KEY])["flags"].clone();
    for (name, value) in [
        ("provider", "custom"),
        ("CUSTOM_MODEL", "test-model"),
        ("CUSTOM_API_KEY", "2 set"),
        ("CUSTOM_BASE_URL", "http://127.0.0.1:1"),
        ("CUSTOM_NATIVE_URL", "http://127.0.0.1:1"),
        ("CCPROXY_API_KEY", "set"),
        ("rate-limit", "1000"),
        ("host", "127.0.0.1"),
        ("proxy-protocol", "off"),
    ] {
        assert_eq!(flags[name], value, "{name} in {flags}");
    }
    let answer = get(&proxy, "/flagz", &[KEY]);
    let text = answer.text();
    assert!(text.starts_with("\nccproxy flagz\nWarning: "), "{text}");
    let lines: Vec<&str> = text.lines().skip(4).collect();
    let names = lines.iter().filter_map(|line| Some(line.split_once('=')?.0));
    assert!(names.is_sorted() && lines.contains(&"rate-limit=1000"), "{text}");
    assert_eq!(lines.len(), flags.as_object().expect("an object").len());
    assert!(!text.contains("planted") && !flags.to_string().contains("planted"), "{text}");
}

#[test]
fn only_callers_of_the_api_are_told() {
    let proxy = Setup::echo().variable("CCPROXY_API_KEY", "key-one").start();
    for path in ["/statusz", "/flagz"] {
        let told = get(&proxy, path, &[]).error(401, "authentication_error");
        assert!(told.contains("CCPROXY_API_KEY"), "{told}");
        assert_eq!(Client::fetch(&proxy, "HEAD", path, &[], b"").status, 401);
        let known = get(&proxy, path, &[("Authorization", "Bearer key-one")]);
        assert_eq!(known.status, 200, "{}", known.text());
        let wrong = get(&proxy, path, &[("X-Api-Key", "wrong")]);
        wrong.error(401, "authentication_error");
    }
    // Nor a page of somebody else's, by whatever name it reaches this machine.
    let open = Setup::echo().start();
    let page = get(&open, "/flagz", &[("Origin", "https://other.example")]);
    page.error(403, "permission_error");
    let mut client = Client::connect(&open);
    client.wire.send(b"GET /flagz HTTP/1.1\r\nHost: rebound.example\r\n\r\n");
    client.answer().error(403, "permission_error");
}

#[test]
fn flagz_follows_a_reload() {
    let proxy = Setup::echo().dotenv("CCPROXY_API_KEY=key-one\n").start();
    let key = &[("X-Api-Key", "key-one")];
    let flags = |key: &[(&str, &str)]| object(&proxy, "/flagz", "Flagz", key)["flags"].clone();
    assert_eq!(
        (&flags(key)["log-level"], &flags(key)["CCPROXY_API_KEY"]),
        (&json!("info"), &json!("set"))
    );
    proxy.write_dotenv("CCPROXY_API_KEY=key-one,key-two\nLOG_LEVEL=debug\nCCPROXY_RATE_LIMIT=3\n");
    proxy.signal(SIGHUP);
    proxy.wait_for_line("by a restart alone");
    let now = flags(key);
    assert_eq!((&now["log-level"], &now["CCPROXY_API_KEY"]), (&json!("debug"), &json!("2 set")));
    assert_eq!(now["rate-limit"], "not set");
    // The old keys stay, so they are shown.
    proxy.write_dotenv("LOG_LEVEL=info\n");
    proxy.signal(SIGHUP);
    proxy.wait_for_line("stay as they were");
    let now = flags(key);
    assert_eq!((&now["log-level"], &now["CCPROXY_API_KEY"]), (&json!("info"), &json!("2 set")));
}
