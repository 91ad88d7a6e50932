//! Several keys of a provider, and one that it quotes.

use serde_json::json;

use crate::support::client::{Client, JSON, message};
use crate::support::exchange::{begin_stream, begin_whole};
use crate::support::proxy::{Proxy, Setup};
use crate::support::upstream::{ANSWER, Connection, Upstream};

/// A proxy whose provider has three keys.
fn with_keys(upstream: &Upstream) -> Proxy {
    Setup::asking(upstream).variable("CUSTOM_API_KEY", "key-1, key-2,key-3").start()
}

fn key_of(connection: &mut Connection) -> String {
    let request = connection.request();
    request.head.header("authorization").expect("a key is sent").to_owned()
}

#[test]
fn keys_are_used_in_turn_and_a_limited_one_rests() {
    let upstream = Upstream::start();
    let proxy = with_keys(&upstream);
    let ask = |limited: bool| {
        let mut client = Client::connect(&proxy);
        client.send(
            "POST",
            "/v1/messages",
            &[JSON[0], ("Connection", "close")],
            &message("a", false),
        );
        let mut connection = upstream.accept();
        let key = key_of(&mut connection);
        let close = ("Connection", "close");
        if limited {
            connection.answer("429 Too Many Requests", &[close, ("Retry-After", "60")], "{}");
            let mut connection = upstream.accept();
            let next = key_of(&mut connection);
            connection.answer("200 OK", &[close], ANSWER);
            assert_eq!(client.answer().message(), "answered");
            return format!("{key} then {next}");
        }
        connection.answer("200 OK", &[close], ANSWER);
        assert_eq!(client.answer().message(), "answered");
        key
    };
    assert_eq!(ask(false), "Bearer key-1");
    assert_eq!(ask(false), "Bearer key-2");
    assert_eq!(ask(true), "Bearer key-3 then Bearer key-1");
    assert_eq!(ask(false), "Bearer key-2");
    assert_eq!(ask(false), "Bearer key-1");
    let resting = proxy.metric("ccproxy_provider_resting_keys{provider=\"custom\"}");
    assert_eq!(resting, Some(1.0));
    assert!(!proxy.log().contains("key-"), "no key is logged");
}

#[test]
fn a_key_that_a_provider_quotes_is_shown_to_nobody() {
    const PLAIN: &str = "0123456789abcdef0123456789abcdef";
    let upstream = Upstream::start();
    let proxy = Setup::asking(&upstream).variable("CUSTOM_API_KEY", PLAIN).start();
    let quoted = json!({ "error": { "message": format!("Incorrect key: {PLAIN}") } }).to_string();
    let (mut client, mut connection) = begin_whole(&upstream, &proxy);
    connection.answer("401 Unauthorized", &[("Connection", "close")], &quoted);
    let told = client.answer().error(502, "api_error");
    assert!(told.starts_with("custom refuses its key: Incorrect key: [redacted];"), "{told}");

    let (mut client, mut connection) = begin_stream(&upstream, &proxy);
    connection.begin_events();
    connection.say("half");
    connection.event(&quoted);
    client.begin();
    let (_, told) = client.fail();
    assert_eq!(told, "custom: Incorrect key: [redacted]");
    proxy.wait_for_line("  custom: Incorrect key: [redacted]  ");
    assert!(!proxy.log().contains(PLAIN));
}
