//! Between client and provider: what the one gets, and when, whatever the other does.

use std::net::TcpListener;

use serde_json::json;

use crate::support::KEY;
use crate::support::client::{Answer, Client, JSON, message};
use crate::support::proxy::{Proxy, Setup};
use crate::support::upstream::{Connection, Refusing, Upstream};

pub(crate) fn start() -> (Upstream, Proxy) {
    let upstream = Upstream::start();
    let proxy = Setup::asking(&upstream).start();
    (upstream, proxy)
}

/// A client that has asked for a stream, and the provider's connection with the request read.
pub(crate) fn begin_stream(upstream: &Upstream, proxy: &Proxy) -> (Client, Connection) {
    let mut client = Client::connect(proxy);
    client.send_stream("hello");
    let mut connection = upstream.accept();
    assert_eq!(connection.request().body["stream"], true);
    (client, connection)
}

/// The same for a whole answer.
pub(crate) fn begin_whole(upstream: &Upstream, proxy: &Proxy) -> (Client, Connection) {
    let mut client = Client::connect(proxy);
    client.send_whole("hello");
    let mut connection = upstream.accept();
    connection.request();
    (client, connection)
}

// The order of a stream.

#[test]
fn each_piece_reaches_the_client_before_the_next_is_sent() {
    let (upstream, proxy) = start();
    let (mut client, mut connection) = begin_stream(&upstream, &proxy);
    connection.begin_events();
    for (number, text) in ["one ", "two ", "three "].into_iter().enumerate() {
        connection.say(text);
        if number == 0 {
            client.begin();
            client.expect_start();
            client.expect("content_block_start");
        }
        let delta = client.expect("content_block_delta");
        assert_eq!(delta["delta"], json!({ "type": "text_delta", "text": text }));
    }
    connection.finish();
    client.expect("content_block_stop");
    let end = client.expect("message_delta");
    assert_eq!(end["delta"]["stop_reason"], "end_turn");
    assert_eq!(
        (&end["usage"]["input_tokens"], &end["usage"]["output_tokens"]),
        (&json!(9), &json!(3))
    );
    client.expect("message_stop");
    assert_eq!(client.event(), None);
}

#[test]
fn the_message_ends_before_the_providers_connection_does() {
    let (upstream, proxy) = start();
    let (mut client, mut connection) = begin_stream(&upstream, &proxy);
    connection.begin_events();
    connection.say("hello");
    connection.event(r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#);
    connection.event("[DONE]");
    client.begin();
    assert_eq!(client.finish(), "hello");
    // The body's end never comes, so the connection is of no further use.
    connection.wire.wait_closed();
}

#[test]
fn a_provider_that_only_sends_its_head_does_not_keep_the_client_waiting() {
    let (upstream, proxy) = start();
    let (mut client, mut connection) = begin_stream(&upstream, &proxy);
    connection.begin_events();
    client.begin();
    client.expect_start();
    connection.say("hello");
    client.expect("content_block_start");
    assert_eq!(client.text(), "hello");
    connection.finish();
    assert_eq!(client.finish(), "");
}

#[test]
fn a_provider_that_says_nothing_does_not_keep_the_client_waiting() {
    let (upstream, proxy) = start();
    let (mut client, mut connection) = begin_stream(&upstream, &proxy);
    client.begin();
    client.expect_start();
    connection.begin_events();
    connection.say("hello");
    connection.finish();
    assert_eq!(client.finish(), "hello");
}

#[test]
fn a_refusal_after_the_stream_has_begun_is_an_error_event() {
    let (upstream, proxy) = start();
    let (mut client, mut connection) = begin_stream(&upstream, &proxy);
    client.begin();
    client.expect_start();
    connection.answer("429 Too Many Requests", &[], r#"{"error":{"message":"slow down"}}"#);
    let (kind, told) = client.fail();
    assert_eq!((&*kind, &*told), ("rate_limit_error", "custom: slow down"));
    proxy.wait_for_line("429");
    // The client's connection is good for the next request.
    client.send_whole("again");
    connection.request();
    connection.complete("better");
    assert_eq!(client.answer().message(), "better");
}

#[test]
fn pings_go_on_while_the_provider_is_silent() {
    let (upstream, proxy) = start();
    let (mut client, mut connection) = begin_stream(&upstream, &proxy);
    connection.begin_events();
    connection.say("hello");
    client.begin();
    assert_eq!(client.text(), "hello");
    client.expect("ping");
    connection.finish();
    assert_eq!(client.finish(), "");
}

#[test]
fn an_answer_of_one_piece_becomes_a_stream() {
    let (upstream, proxy) = start();
    let (mut client, mut connection) = begin_stream(&upstream, &proxy);
    connection.complete("all at once");
    client.begin();
    assert_eq!(client.finish(), "all at once");
}

#[test]
fn a_stream_becomes_an_answer_of_one_piece() {
    let (upstream, proxy) = start();
    let (mut client, mut connection) = begin_whole(&upstream, &proxy);
    connection.begin_events();
    connection.say("piece ");
    connection.say("by piece");
    connection.finish();
    let answer = client.answer();
    assert_eq!(answer.message(), "piece by piece");
    assert_eq!(answer.json()["usage"]["output_tokens"], 3);
}

#[test]
fn a_stream_that_ends_with_the_connection_is_whole() {
    let (upstream, proxy) = start();
    let (mut client, mut connection) = begin_stream(&upstream, &proxy);
    connection.wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
    connection.wire.send(
        b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"},\"finish_reason\":\"stop\"}]}\n\n",
    );
    connection.wire.close();
    client.begin();
    assert_eq!(client.finish(), "hi");
}

// Errors of the provider.

#[test]
fn a_rate_limit_is_passed_on_with_when_to_try_again() {
    let (upstream, proxy) = start();
    let headers = [
        ("Retry-After", "7"),
        ("Retry-After-Ms", "6500"),
        ("X-Should-Retry", "true"),
        ("X-Other", "1"),
    ];
    for stream in [false, true] {
        let (mut client, mut connection) =
            if stream { begin_stream(&upstream, &proxy) } else { begin_whole(&upstream, &proxy) };
        connection.answer(
            "429 Too Many Requests",
            &headers,
            r#"{"error":{"message":"slow down","type":"tokens"}}"#,
        );
        connection.wire.close();
        let answer = client.answer();
        assert_eq!(answer.error(429, "rate_limit_error"), "custom: slow down");
        assert_eq!(answer.header("retry-after"), Some("7"));
        assert_eq!(answer.header("retry-after-ms"), Some("6500"));
        assert_eq!(answer.header("x-should-retry"), Some("true"));
        assert_eq!(answer.header("x-other"), None);
    }
}

#[test]
fn a_wrong_key_is_named_by_its_variable_and_shown_nowhere() {
    let (upstream, proxy) = start();
    for stream in [false, true] {
        let (mut client, mut connection) =
            if stream { begin_stream(&upstream, &proxy) } else { begin_whole(&upstream, &proxy) };
        let said = format!("Incorrect API key provided: {KEY}.");
        connection.answer(
            "401 Unauthorized",
            &[],
            &json!({ "error": { "message": said } }).to_string(),
        );
        connection.wire.close();
        let answer = client.answer();
        let told = answer.error(502, "api_error");
        assert!(told.contains("CUSTOM_API_KEY") && !answer.text().contains(KEY), "{told}");
        assert_eq!(answer.header("x-should-retry"), Some("false"));
    }
    proxy.wait_for_line("refuses its key");
    assert!(!proxy.log().contains(KEY), "{}", proxy.log());
}

#[test]
fn an_unknown_model_is_not_asked_for_again() {
    let (upstream, proxy) = start();
    let (mut client, mut connection) = begin_whole(&upstream, &proxy);
    connection.answer("404 Not Found", &[], r#"{"error":{"message":"no such model"}}"#);
    let answer = client.answer();
    let told = answer.error(500, "api_error");
    assert!(told.contains("CUSTOM_MODEL"), "{told}");
    assert_eq!(answer.header("x-should-retry"), Some("false"));
}

#[test]
fn an_error_page_in_html_is_told_as_text() {
    let (upstream, proxy) = start();
    let (mut client, mut connection) = begin_whole(&upstream, &proxy);
    connection.answer("502 Bad Gateway", &[], "<html><h1>Bad Gateway</h1></html>");
    assert_eq!(client.answer().error(502, "api_error"), "custom: Bad Gateway");
}

#[test]
fn a_redirect_is_not_followed() {
    let (upstream, proxy) = start();
    let elsewhere = Upstream::start();
    for status in ["301 Moved Permanently", "307 Temporary Redirect"] {
        let (mut client, mut connection) = begin_whole(&upstream, &proxy);
        let location = format!("{}/chat/completions?token=secret", elsewhere.base_url());
        connection.answer(status, &[("Location", &location)], "");
        connection.wire.close();
        let told = client.answer().error(502, "api_error");
        let named =
            told.contains(&elsewhere.address().to_string()) && told.contains("CUSTOM_BASE_URL");
        assert!(named && !told.contains("secret"), "{told}");
    }
    upstream.assert_nobody_waits();
    elsewhere.assert_nobody_waits();
}

#[test]
fn an_error_inside_the_stream_is_an_error_event() {
    let (upstream, proxy) = start();
    let (mut client, mut connection) = begin_stream(&upstream, &proxy);
    connection.begin_events();
    connection.say("so far");
    connection.event(r#"{"error":{"message":"all busy","type":"overloaded"}}"#);
    client.begin();
    assert_eq!(client.text(), "so far");
    let (kind, told) = client.fail();
    assert_eq!(kind, "overloaded_error");
    assert!(told.contains("all busy"), "{told}");
}

#[test]
fn an_error_as_the_streams_first_event_is_a_status() {
    let (upstream, proxy) = start();
    let (mut client, mut connection) = begin_stream(&upstream, &proxy);
    connection.begin_events();
    connection.event(r#"{"error":{"message":"all busy","type":"overloaded"}}"#);
    let told = client.answer().error(529, "overloaded_error");
    assert!(told.contains("all busy"), "{told}");
}

// A provider that breaks off.

#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    Close,
    Reset,
}

impl End {
    pub(crate) fn of(self, connection: Connection) {
        match self {
            End::Close => connection.wire.close(),
            End::Reset => connection.wire.reset(),
        }
    }
}

#[test]
fn a_stream_that_is_cut_is_never_a_finished_turn() {
    let (upstream, proxy) = start();
    for end in [End::Close, End::Reset] {
        let (mut client, mut connection) = begin_stream(&upstream, &proxy);
        connection.begin_events();
        connection.say("half an ans");
        client.begin();
        assert_eq!(client.text(), "half an ans");
        end.of(connection);
        let (_, told) = client.fail();
        assert!(!told.is_empty(), "{end:?}");
    }
    upstream.assert_nobody_waits();
}

#[test]
fn a_stream_without_an_announced_end_that_is_cut_is_never_a_finished_turn() {
    let (upstream, proxy) = start();
    let (mut client, mut connection) = begin_stream(&upstream, &proxy);
    connection.wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
    connection
        .wire
        .send(b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"half\"}}]}\n\n");
    client.begin();
    assert_eq!(client.text(), "half");
    connection.wire.close();
    client.fail();
}

#[test]
fn a_stream_that_is_cut_before_its_first_event_is_a_status() {
    let (upstream, proxy) = start();
    for end in [End::Close, End::Reset] {
        let (mut client, mut connection) = begin_stream(&upstream, &proxy);
        connection.begin_events();
        end.of(connection);
        let answer = client.answer();
        assert!(matches!(answer.status, 502 | 504), "{end:?}: {} {}", answer.status, answer.text());
    }
}

#[test]
fn a_whole_answer_that_is_cut_is_an_error() {
    let (upstream, proxy) = start();
    for end in [End::Close, End::Reset] {
        let (mut client, mut connection) = begin_whole(&upstream, &proxy);
        connection.wire.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{\"choices\":[",
        );
        end.of(connection);
        let answer = client.answer();
        assert!(matches!(answer.status, 502 | 504), "{end:?}: {} {}", answer.status, answer.text());
    }
    upstream.assert_nobody_waits();
}

#[test]
fn a_fresh_connection_that_is_closed_without_an_answer_is_not_tried_again() {
    let (upstream, proxy) = start();
    for end in [End::Close, End::Reset] {
        for stream in [false, true] {
            let (mut client, connection) = if stream {
                begin_stream(&upstream, &proxy)
            } else {
                begin_whole(&upstream, &proxy)
            };
            end.of(connection);
            let answer = client.answer();
            assert!(matches!(answer.status, 502 | 504), "{end:?}: {}", answer.text());
            upstream.assert_nobody_waits();
        }
    }
}

/// A timeout is what took too long; this did not.
#[test]
fn a_connection_that_is_closed_is_not_called_a_timeout() {
    let (upstream, proxy) = start();
    let (mut client, connection) = begin_whole(&upstream, &proxy);
    connection.wire.close();
    client.answer().error(502, "api_error");
    let (mut client, mut connection) = begin_stream(&upstream, &proxy);
    connection.begin_events();
    connection.say("half");
    connection.wire.close();
    client.begin();
    assert_eq!(client.fail().0, "api_error");
}

#[test]
fn an_answer_that_is_not_http_is_an_error() {
    let (upstream, proxy) = start();
    let (mut client, mut connection) = begin_whole(&upstream, &proxy);
    connection.wire.send(b"SSH-2.0-OpenSSH_9.2\r\n\r\n");
    let answer = client.answer();
    assert!(matches!(answer.status, 502 | 504), "{} {}", answer.status, answer.text());
}

#[test]
fn an_interim_answer_is_not_the_answer() {
    let (upstream, proxy) = start();
    for interim in ["100 Continue", "103 Early Hints\r\nLink: </a>; rel=preload"] {
        let (mut client, mut connection) = begin_whole(&upstream, &proxy);
        connection.wire.send(format!("HTTP/1.1 {interim}\r\n\r\n").as_bytes());
        connection.complete("the answer");
        assert_eq!(client.answer().message(), "the answer", "{interim}");
        connection.wire.close();
    }
}

#[test]
fn an_answer_that_is_not_chat_completions_is_an_error() {
    let (upstream, proxy) = start();
    let (mut client, mut connection) = begin_whole(&upstream, &proxy);
    connection.answer("200 OK", &[], "<html>welcome</html>");
    client.answer().error(502, "api_error");
}

// A provider that is silent, away, or too busy.

#[test]
fn silence_within_a_stream_ends_it_with_an_error() {
    let upstream = Upstream::start();
    let proxy = Setup::asking(&upstream).variable("CCPROXY_IDLE_TIMEOUT", "1").start();
    let (mut client, mut connection) = begin_stream(&upstream, &proxy);
    connection.begin_events();
    connection.say("hello");
    client.begin();
    assert_eq!(client.text(), "hello");
    assert_eq!(client.fail().0, "timeout_error");
    connection.wire.wait_closed();
}

#[test]
fn silence_before_the_answer_is_504() {
    let upstream = Upstream::start();
    let proxy = Setup::asking(&upstream).variable("CUSTOM_TIMEOUT", "0.5").start();
    for stream in [false, true] {
        for with_head in [false, true] {
            let (mut client, mut connection) = if stream {
                begin_stream(&upstream, &proxy)
            } else {
                begin_whole(&upstream, &proxy)
            };
            if with_head {
                connection.begin_events();
            }
            client.answer().error(504, "timeout_error");
            connection.wire.wait_closed();
        }
    }
    upstream.assert_nobody_waits();
}

#[test]
fn silence_after_a_ping_ends_the_stream_with_an_error() {
    let upstream = Upstream::start();
    let proxy = Setup::asking(&upstream).variable("CUSTOM_TIMEOUT", "4").start();
    let (mut client, mut connection) = begin_stream(&upstream, &proxy);
    client.begin();
    client.expect_start();
    assert_eq!(client.fail().0, "timeout_error");
    connection.wire.wait_closed();
}

#[test]
fn a_provider_that_is_away_is_502() {
    let refusing = Refusing::start();
    let proxy = Setup::at(&refusing.base_url()).start();
    for stream in [false, true] {
        let body = message("hello", stream);
        let answer = Client::fetch(&proxy, "POST", "/v1/messages", JSON, &body);
        let told = answer.error(502, "api_error");
        assert!(told.contains("nothing listens on"), "{told}");
    }
}

#[test]
fn a_host_that_does_not_exist_is_502() {
    let proxy = Setup::at("http://provider.invalid").start();
    let told = Client::fetch_message(&proxy, "hello").error(502, "api_error");
    assert!(told.contains("provider.invalid is not known"), "{told}");
}

#[test]
fn too_many_in_flight_are_told_to_come_again() {
    let upstream = Upstream::start();
    let proxy = Setup::asking(&upstream).variable("CCPROXY_MAX_IN_FLIGHT", "2").start();
    let (mut first, mut to_first) = begin_stream(&upstream, &proxy);
    let (mut second, mut to_second) = begin_whole(&upstream, &proxy);
    let refused: Answer = Client::fetch_message(&proxy, "third");
    refused.error(529, "overloaded_error");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(Client::fetch(&proxy, "GET", "/health", &[], b"").status, 200);
    to_first.begin_events();
    to_first.say("one");
    to_first.finish();
    first.begin();
    assert_eq!(first.finish(), "one");
    to_second.complete("two");
    assert_eq!(second.answer().message(), "two");
    upstream.assert_nobody_waits();
}

// What the provider is sent.

#[test]
fn the_request_carries_the_key_and_says_who_asks() {
    let (upstream, proxy) = start();
    let mut client = Client::connect(&proxy);
    let headers = &[
        JSON[0],
        ("x-api-key", "client-secret"),
        ("anthropic-version", "2023-06-01"),
        ("anthropic-beta", "claude-code-20250219"),
    ];
    client.send("POST", "/v1/messages?beta=true", headers, &message("hello", false));
    let mut connection = upstream.accept();
    let request = connection.request();
    let bearer = format!("Bearer {KEY}");
    assert_eq!(request.head.header("authorization"), Some(&*bearer));
    assert_eq!(request.head.header("content-type"), Some("application/json"));
    assert_eq!(request.head.header("host"), Some(&*upstream.address().to_string()));
    let agent = request.head.header("user-agent").unwrap_or_default();
    assert!(agent.starts_with("ccproxy/"), "{agent}");
    // What came compressed could not be read, and where nothing is said any coding is welcome.
    assert_eq!(request.head.header("accept-encoding"), Some("identity"));
    for name in ["x-api-key", "anthropic-version", "anthropic-beta"] {
        assert_eq!(request.head.header(name), None);
    }
    assert_eq!(request.body["model"], "test-model");
    connection.complete("good");
    assert_eq!(client.answer().message(), "good");
}

#[test]
fn without_a_key_no_authorization_is_sent() {
    let upstream = Upstream::start();
    let proxy = Setup::asking(&upstream).variable("CUSTOM_API_KEY", "").start();
    let mut client = Client::connect(&proxy);
    let headers = &[JSON[0], ("Authorization", "Bearer client-secret")];
    client.send("POST", "/v1/messages", headers, &message("hello", false));
    let mut connection = upstream.accept();
    assert_eq!(connection.request().head.header("authorization"), None);
}

#[test]
fn openrouter_is_told_whose_site_asks() {
    let upstream = Upstream::start();
    let proxy = Setup::at("")
        .variable("PROVIDER", "openrouter")
        .variable("OPENROUTER_API_KEY", KEY)
        .variable("OPENROUTER_BASE_URL", &upstream.base_url())
        .variable("OPENROUTER_SITE_URL", "https://mine.example")
        .variable("OPENROUTER_SITE_NAME", "Mine")
        .start();
    let mut client = Client::connect(&proxy);
    client.send_whole("hello");
    let mut connection = upstream.accept();
    let request = connection.request();
    let bearer = format!("Bearer {KEY}");
    for (name, value) in
        [("HTTP-Referer", "https://mine.example"), ("X-Title", "Mine"), ("Authorization", &bearer)]
    {
        assert_eq!(request.head.header(name), Some(value), "{name}");
    }
    assert_eq!(request.body["model"], "z-ai/glm-5.3");
    connection.complete("good");
    assert_eq!(client.answer().message(), "good");
}

// A proxy on the way.

/// Accepts the connection to an HTTP proxy and reads what it is asked for.
fn accept_connect(listener: &Upstream, target: &str) -> (Connection, Option<String>) {
    let mut connection = listener.accept();
    let head = connection.wire.head();
    assert_eq!(head.start, format!("CONNECT {target} HTTP/1.1"));
    let credentials = head.header("proxy-authorization").map(str::to_owned);
    (connection, credentials)
}

#[test]
fn an_http_proxy_leads_to_the_provider() {
    let on_the_way = Upstream::start();
    let address = on_the_way.address().to_string();
    for (variable, value, credentials) in [
        ("http_proxy", format!("http://{address}"), None),
        ("ALL_PROXY", address.clone(), None),
        ("http_proxy", format!("http://user:hidden@{address}"), Some("Basic dXNlcjpoaWRkZW4=")),
    ] {
        // Only the proxy can know this name.
        let proxy = Setup::at("http://provider.invalid:8080/v1").variable(variable, &value).start();
        let mut client = Client::connect(&proxy);
        client.send_whole("hello");
        let (mut connection, sent) = accept_connect(&on_the_way, "provider.invalid:8080");
        assert_eq!(sent.as_deref(), credentials, "{value}");
        connection.wire.send(b"HTTP/1.1 200 Connection established\r\n\r\n");
        assert_eq!(connection.request().head.header("host"), Some("provider.invalid:8080"));
        connection.complete("through");
        assert_eq!(client.answer().message(), "through");
        assert!(!proxy.log().contains("hidden"), "{}", proxy.log());
    }
}

#[test]
fn an_http_proxy_that_refuses_is_502() {
    let on_the_way = Upstream::start();
    let value = format!("http://user:hidden@{}", on_the_way.address());
    let proxy = Setup::at("http://10.1.2.3:8080/v1").variable("http_proxy", &value).start();
    let mut client = Client::connect(&proxy);
    client.send_whole("hello");
    let (mut connection, _) = accept_connect(&on_the_way, "10.1.2.3:8080");
    connection
        .wire
        .send(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");
    let told = client.answer().error(502, "api_error");
    assert!(told.contains("proxy"), "{told}");
    assert!(!told.contains("hidden") && !proxy.log().contains("hidden"), "{told}");
}

#[test]
fn no_proxy_exempts_the_provider() {
    let upstream = Upstream::start();
    let on_the_way = TcpListener::bind("127.0.0.1:0").expect("the loopback has a free port");
    let address = on_the_way.local_addr().expect("it is bound");
    for exempt in ["127.0.0.1", "localhost, 127.0.0.0/8", "*"] {
        let proxy = Setup::asking(&upstream)
            .variable("http_proxy", &format!("http://{address}"))
            .variable("NO_PROXY", exempt)
            .start();
        let (mut client, mut connection) = begin_whole(&upstream, &proxy);
        connection.complete("direct");
        assert_eq!(client.answer().message(), "direct", "{exempt}");
    }
    on_the_way.set_nonblocking(true).expect("it is a socket");
    assert!(on_the_way.accept().is_err());
}

/// The first line of gpt-5's refusal of a small limit, by which clients try a model out: what the other
/// models answer with finish_reason "length".
#[test]
fn an_output_limit_that_was_reached_is_an_answer() {
    let (upstream, proxy) = start();
    let mut client = Client::connect(&proxy);
    client.send("POST", "/v1/messages", JSON, &message("hello", false));
    let mut connection = upstream.accept();
    connection.request();
    let words = "Could not finish the message because max_tokens or model output limit was reached. \
                 Please try again with higher max_tokens.";
    let body = json!({ "error": { "message": words, "type": "invalid_request_error" } });
    connection.answer("400 Bad Request", &[("Connection", "close")], &body.to_string());
    let answer = client.answer();
    assert_eq!(answer.status, 200);
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(text.contains("\"max_tokens\"") && !text.contains("error"), "{text}");
}
