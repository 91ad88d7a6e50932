//! What goes wrong on the way to a provider, and what the client is told: status, type, whether to try
//! again, the words, and after how many requests.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use serde_json::json;

use crate::serve_tls;
use crate::support::client::{Answer, Client, JSON, message};
use crate::support::exchange::{begin, begin_whole, start};
use crate::support::proxy::{Proxy, Setup};
use crate::support::upstream::{Refusing, Upstream};

/// What the client is told of a cause.
struct Told<'a> {
    status: u16,
    kind: &'a str,
    /// `x-should-retry`.
    should_retry: Option<&'a str>,
    words: &'a [&'a str],
}

/// For a cause that somebody has to mend.
const fn lasting<'a>(status: u16, words: &'a [&'a str]) -> Told<'a> {
    Told { status, kind: "api_error", should_retry: Some("false"), words }
}

/// For a cause that may pass.
const fn passing<'a>(status: u16, kind: &'a str, words: &'a [&'a str]) -> Told<'a> {
    Told { status, kind, should_retry: None, words }
}

impl Told<'_> {
    fn check(&self, what: &str, answer: &Answer) {
        let message = answer.error(self.status, self.kind);
        assert_eq!(answer.header("x-should-retry"), self.should_retry, "{what}: {message}");
        for words in self.words {
            assert!(message.contains(words), "{what}: {words:?} is in {message:?}");
        }
        for never in ["os error", "UNIX", "0x", "Os {"] {
            assert!(!message.contains(never), "{what}: {message}");
        }
    }
}

fn fetch(proxy: &Proxy, stream: bool) -> Answer {
    Client::fetch(proxy, "POST", "/v1/messages", JSON, &message("hello", stream))
}

/// Asks twice, streamed and whole, of a proxy that is set up so.
fn check(what: &str, setup: impl Fn() -> Setup, told: &Told<'_>) {
    let proxy = setup().start();
    for stream in [false, true] {
        told.check(what, &fetch(&proxy, stream));
    }
}

const REFUSED_KEY: &str = r#"{"error":{"message":"Invalid API Key","type":"invalid_request_error","code":"invalid_api_key"}}"#;
const OVERLOADED: &str =
    r#"{"error":{"message":"The engine is currently overloaded, please try again later"}}"#;

#[test]
fn what_a_provider_answers() {
    const NO_MODEL: &str = "custom does not know the model test-model; set CUSTOM_MODEL";
    let rows: &[(&str, &str, &str, Told<'_>)] = &[
        (
            "401 Unauthorized",
            "application/json",
            REFUSED_KEY,
            lasting(502, &["custom refuses its key: Invalid API Key; check CUSTOM_API_KEY"]),
        ),
        (
            "403 Forbidden",
            "application/json",
            r#"{"error":"key is for another region"}"#,
            lasting(502, &["custom refuses its key", "another region", "CUSTOM_API_KEY"]),
        ),
        (
            "400 Bad Request",
            "application/json",
            r#"[{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT"}}]"#,
            lasting(502, &["custom refuses its key: API key not valid", "CUSTOM_API_KEY"]),
        ),
        (
            "402 Payment Required",
            "application/json",
            r#"{"error":{"message":"Insufficient credits"}}"#,
            Told {
                kind: "billing_error",
                ..lasting(402, &["custom wants money: Insufficient credits", "CUSTOM_API_KEY"])
            },
        ),
        (
            "429 Too Many Requests",
            "application/json",
            r#"{"error":{"message":"You exceeded your current quota","code":"insufficient_quota"}}"#,
            Told { kind: "billing_error", ..lasting(402, &["custom wants money: You exceeded"]) },
        ),
        (
            "404 Not Found",
            "application/json",
            r#"{"error":{"message":"The model `test-model` does not exist or you do not have access to it.","code":"model_not_found"}}"#,
            lasting(500, &[NO_MODEL]),
        ),
        (
            "400 Bad Request",
            "application/json",
            r#"{"error":{"message":"The model `test-model` has been decommissioned and is no longer supported.","code":"model_decommissioned"}}"#,
            lasting(500, &[NO_MODEL, "decommissioned"]),
        ),
        (
            "404 Not Found",
            "text/html",
            "<html><title>404</title><h1>Not Found</h1></html>",
            lasting(502, &["custom: http://127.0.0.1:", "answers 404", "CUSTOM_BASE_URL"]),
        ),
        (
            "200 OK",
            "text/html; charset=utf-8",
            "<html><body>login to the <b>wifi</b></body></html>",
            lasting(
                502,
                &[
                    "custom answered 200 with text/html, \"login to the wifi\", which is no answer \
                     of its API",
                    "CUSTOM_BASE_URL",
                ],
            ),
        ),
        (
            "511 Network Authentication Required",
            "text/html",
            "<p>log in",
            lasting(502, &["answers 511", "log in"]),
        ),
        (
            "400 Bad Request",
            "text/html",
            "<h1>400</h1>The plain HTTP request was sent to HTTPS port",
            lasting(502, &["http was spoken to an https port", "CUSTOM_BASE_URL", "https://"]),
        ),
        (
            "503 Service Unavailable",
            "application/json",
            OVERLOADED,
            passing(529, "overloaded_error", &["custom: The engine is currently overloaded"]),
        ),
        (
            "529 Overloaded",
            "application/json",
            "{}",
            passing(529, "overloaded_error", &["custom: "]),
        ),
        (
            "503 Service Unavailable",
            "text/html",
            "<h1>maintenance</h1>",
            passing(503, "api_error", &["custom: maintenance"]),
        ),
        (
            "500 Internal Server Error",
            "application/json",
            r#"{"error":"boom"}"#,
            passing(500, "api_error", &["custom: boom"]),
        ),
        (
            "502 Bad Gateway",
            "text/html",
            "<h1>bad</h1>",
            passing(502, "api_error", &["custom: bad"]),
        ),
        ("521 Down", "text/html", "<h1>down</h1>", passing(502, "api_error", &["custom: down"])),
        (
            "429 Too Many Requests",
            "application/json",
            r#"{"error":{"message":"slow down"}}"#,
            passing(429, "rate_limit_error", &["custom: slow down"]),
        ),
        (
            "400 Bad Request",
            "application/json",
            r#"{"error":{"message":"maximum context length is 100 tokens. However, your messages resulted in 200 tokens"}}"#,
            passing(
                400,
                "invalid_request_error",
                &["prompt is too long: 200 tokens > 100 maximum"],
            ),
        ),
        (
            "422 Unprocessable Entity",
            "application/json",
            r#"{"detail":"no"}"#,
            passing(400, "invalid_request_error", &["custom: no"]),
        ),
        (
            "403 Forbidden",
            "application/json",
            r#"{"error":{"message":"the input was flagged"}}"#,
            passing(400, "invalid_request_error", &["custom: the input was flagged"]),
        ),
    ];
    for (status, content_type, body, told) in rows {
        for stream in [false, true] {
            let (upstream, proxy) = start();
            let (mut client, mut connection) = begin(&upstream, &proxy, stream);
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\
                 Connection: close\r\n\r\n",
                body.len()
            );
            connection.wire.send(head.as_bytes());
            connection.wire.send(body.as_bytes());
            connection.wire.close();
            if told.words.contains(&NO_MODEL) {
                upstream.refuse_list();
            }
            told.check(&format!("{status} {body}"), &client.answer());
            upstream.assert_nobody_waits();
        }
    }
}

#[test]
fn what_an_error_as_the_first_event_of_a_stream_says_is_worded_the_same() {
    for (event, told) in [
        (
            REFUSED_KEY,
            lasting(502, &["custom refuses its key: Invalid API Key; check CUSTOM_API_KEY"]),
        ),
        (
            r#"{"error":{"message":"test-model is not a valid model ID","code":400}}"#,
            lasting(500, &["custom does not know the model test-model; set CUSTOM_MODEL"]),
        ),
    ] {
        let (upstream, proxy) = start();
        for stream in [false, true] {
            let (mut client, mut connection) = begin(&upstream, &proxy, stream);
            connection.begin_events();
            connection.event(event);
            connection.wire.close();
            // That there is no list is known the next time.
            if event.contains("model") && !stream {
                upstream.refuse_list();
            }
            told.check(event, &client.answer());
        }
        // In mid-answer as the error event.
        let (mut client, mut connection) = Client::in_flight(&proxy, &upstream);
        connection.event(event);
        let (kind, said) = client.fail();
        assert_eq!(kind, told.kind);
        assert!(told.words.iter().all(|words| said.contains(words)), "{said}");
    }
}

#[test]
fn a_model_that_the_client_named_is_its_own_to_mend() {
    let (upstream, proxy) = start();
    let mut client = Client::connect(&proxy);
    let body = json!({ "model": "gpt-x", "max_tokens": 9,
        "messages": [{ "role": "user", "content": "hello" }] });
    client.send("POST", "/v1/messages", JSON, body.to_string().as_bytes());
    let mut connection = upstream.accept();
    assert_eq!(connection.request().body["model"], "gpt-x");
    connection.answer("404 Not Found", &[], r#"{"error":{"message":"no such model"}}"#);
    upstream.refuse_list();
    let words = &["custom does not know the model gpt-x, which the request names"];
    Told { kind: "not_found_error", ..lasting(404, words) }.check("gpt-x", &client.answer());
}

#[test]
fn a_model_that_is_gone_is_told_with_one_that_is_there() {
    let upstream = Upstream::start();
    let proxy = Setup::at("")
        .variable("PROVIDER", "groq")
        .variable("GROQ_API_KEY", "gsk_hidden")
        .variable("GROQ_MODEL", "moonshotai/kimi-k2-instruct")
        .variable("GROQ_BASE_URL", &upstream.base_url())
        .start();
    let (mut client, mut connection) = begin_whole(&upstream, &proxy);
    let said = "The model `moonshotai/kimi-k2-instruct` does not exist";
    let body = json!({ "error": { "message": said } }).to_string();
    connection.answer("404 Not Found", &[], &body);
    let words = "groq does not know the model moonshotai/kimi-k2-instruct; set GROQ_MODEL, for \
                 instance openai/gpt-oss-120b";
    lasting(500, &[words]).check("groq", &client.answer());
}

#[test]
fn what_cannot_be_reached() {
    let refusing = Refusing::start();
    let url = refusing.base_url();
    let address = url.trim_start_matches("http://").trim_end_matches("/v1");
    check(
        "refused",
        || Setup::at(&url),
        &lasting(
            502,
            &[
                &format!("custom: nothing listens on {address} (refused); is it running?"),
                "CUSTOM_BASE_URL",
            ],
        ),
    );
    check(
        "DNS",
        || Setup::at("http://provider.invalid"),
        &lasting(
            502,
            &["custom: the name provider.invalid is not known here (DNS)", "CUSTOM_BASE_URL"],
        ),
    );
}

#[test]
fn a_proxy_that_fails_is_blamed_and_not_the_provider() {
    let refusing = Refusing::start();
    let url = refusing.base_url();
    let address = url.trim_start_matches("http://").trim_end_matches("/v1").to_owned();
    let by = |proxy: &str| {
        Setup::at("https://provider.invalid/v1")
            .variable("HTTPS_PROXY", &format!("http://user:hidden@{proxy}"))
    };
    let refused =
        format!("custom: the proxy http://{address} of HTTPS_PROXY refuses the connection");
    check("refused", || by(&address), &lasting(502, &[&refused]));
    check(
        "name",
        || by("proxy.invalid:3128"),
        &lasting(
            502,
            &["the proxy http://proxy.invalid:3128 of HTTPS_PROXY has a name that is not"],
        ),
    );
    for (answer, told) in [
        ("407 Proxy Authentication Required", lasting(502, &["HTTPS_PROXY wants a user", "407"])),
        (
            "403 Forbidden",
            lasting(502, &["HTTPS_PROXY answers 403 when asked for provider.invalid:443"]),
        ),
        ("502 Bad Gateway", passing(502, "api_error", &["HTTPS_PROXY answers 502"])),
    ] {
        let on_the_way = Upstream::start();
        let proxy = by(&on_the_way.address().to_string()).start();
        let mut client = Client::connect(&proxy);
        client.send_whole("hello");
        let mut connection = on_the_way.accept();
        connection.wire.head();
        let answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n");
        connection.wire.send(answer.as_bytes());
        told.check(&answer, &client.answer());
        assert!(!proxy.log().contains("hidden"));
    }
    let silent = Upstream::start();
    let proxy =
        by(&silent.address().to_string()).variable("CCPROXY_CONNECT_TIMEOUT", "0.1").start();
    let mut client = Client::connect(&proxy);
    client.send_whole("hello");
    let connection = silent.accept();
    let told = client.answer();
    assert!(told.text().contains("of HTTPS_PROXY did not answer within 0.1 s"), "{}", told.text());
    drop(connection);
}

#[test]
fn what_is_wrong_with_tls() {
    for (chain, authority, words) in [
        (serve_tls::SERVER, None, "is of an authority that is not known here; SSL_CERT_FILE"),
        (serve_tls::EXPIRED, Some(serve_tls::FAULTS), "expired on 2025-02-01, "),
        (serve_tls::EARLY, Some(serve_tls::FAULTS), "is valid from 2100-01-01 on, in "),
        (
            serve_tls::OTHER_NAME,
            Some(serve_tls::FAULTS),
            "is for other.example and not for localhost; check CUSTOM_BASE_URL",
        ),
        (serve_tls::SELF_MADE, None, "self-made"),
    ] {
        let address = serve_tls::start_with(chain);
        let port = address.port();
        let setup = || {
            let setup = Setup::at(&format!("https://localhost:{port}"));
            match authority {
                Some(path) => setup.variable("SSL_CERT_FILE", path),
                None => setup,
            }
        };
        let place = format!("custom: the certificate of localhost:{port} ");
        check(words, setup, &lasting(502, &[&place, words]));
    }
}

#[test]
fn http_and_https_are_told_apart() {
    let address = serve_tls::start_with(serve_tls::SERVER);
    let url = format!("http://localhost:{}", address.port());
    check(
        "http to https",
        || Setup::at(&url),
        &lasting(
            502,
            &["http was spoken to an https port, localhost:", "CUSTOM_BASE_URL", "https://"],
        ),
    );
    // A web server answers what is no HTTP with words.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("it is bound").port();
    thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            let _ = socket.read(&mut [0; 4096]);
            let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        }
    });
    check(
        "https to http",
        || Setup::at(&format!("https://localhost:{port}")),
        &lasting(
            502,
            &["https was spoken to an http port, localhost:", "CUSTOM_BASE_URL", "http://"],
        ),
    );
}

#[test]
fn what_does_not_speak_http() {
    let (upstream, proxy) = start();
    let (mut client, mut connection) = begin_whole(&upstream, &proxy);
    connection.wire.send(b"SSH-2.0-OpenSSH_9.2\r\n");
    connection.wire.close();
    lasting(502, &["custom: what answers at 127.0.0.1:", "does not speak HTTP", "CUSTOM_BASE_URL"])
        .check("ssh", &client.answer());
}

#[test]
fn silence_is_told_with_its_limit_and_the_setting() {
    let upstream = Upstream::start();
    let proxy = Setup::asking(&upstream).variable("CUSTOM_TIMEOUT", "0.2").start();
    let (mut client, _connection) = begin_whole(&upstream, &proxy);
    passing(
        504,
        "timeout_error",
        &["custom did not begin to answer within 0.2 s (CUSTOM_TIMEOUT)"],
    )
    .check("silent", &client.answer());
    let proxy = Setup::asking(&upstream).variable("CCPROXY_IDLE_TIMEOUT", "0.2").start();
    let (mut client, connection) = Client::in_flight(&proxy, &upstream);
    let (kind, said) = client.fail();
    assert_eq!(kind, "timeout_error");
    assert!(said.contains("custom was silent") && said.contains("CCPROXY_IDLE_TIMEOUT"), "{said}");
    drop(connection);
}

#[test]
fn what_breaks_off() {
    let (upstream, proxy) = start();
    let (mut client, connection) = begin_whole(&upstream, &proxy);
    connection.wire.close();
    passing(502, "api_error", &["custom: 127.0.0.1:", "hung up without an answer"])
        .check("no answer", &client.answer());
    let (mut client, connection) = Client::in_flight(&proxy, &upstream);
    connection.wire.close();
    let (kind, said) = client.fail();
    assert_eq!(kind, "api_error");
    assert!(said.starts_with("custom's answer"), "{said}");
}

#[test]
fn an_open_breaker_tells_why_and_when() {
    let refusing = Refusing::start();
    let setup = Setup::at(&refusing.base_url()).variable("CCPROXY_BREAKER_PAUSE", "600");
    let proxy = setup.start();
    for _ in 0..5 {
        fetch(&proxy, false).error(502, "api_error");
    }
    let answer = fetch(&proxy, false);
    lasting(
        503,
        &["custom: nothing listens on 127.0.0.1:", "has failed 5 times", "asked again in"],
    )
    .check("open", &answer);
    assert!(answer.header("retry-after").is_some());
}
