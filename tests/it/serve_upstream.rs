//! What the provider is sent beside the message, and the HTTP proxy on the way to it.

use std::net::TcpListener;

use crate::support::KEY;
use crate::support::client::{Client, JSON, message};
use crate::support::exchange::{begin_whole, start};
use crate::support::proxy::Setup;
use crate::support::upstream::{Connection, Upstream};

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

#[test]
fn a_provider_behind_an_http_proxy_is_reached_and_a_silent_proxy_is_not_waited_for() {
    let http_proxy = Upstream::start();
    let proxy = Setup::at("http://provider.test:8000/v1")
        .variable("http_proxy", &format!("http://user:secret@{}", http_proxy.address()))
        .variable("CCPROXY_CONNECT_TIMEOUT", "2")
        .start();
    let mut client = Client::connect(&proxy);
    client.send_whole("hello");
    let mut connection = http_proxy.accept();
    assert_eq!(connection.wire.head().start, "CONNECT provider.test:8000 HTTP/1.1");
    connection.wire.send(b"HTTP/1.1 200 OK\r\n\r\n");
    connection.request();
    connection.complete("answered");
    assert_eq!(client.answer().message(), "answered");
    drop(connection);
    client.send_whole("again");
    let mut silent = http_proxy.accept();
    silent.wire.head();
    let told = client.answer().error(502, "api_error");
    assert!(told.contains("of http_proxy did not answer within"), "{told}");
}
