//! Who may call, by key, how often, and from where; and what changes while the server runs.

use libc::SIGHUP;

use crate::support::client::{Answer, Client, JSON, message};
use crate::support::prober::Prober;
use crate::support::proxy::{Proxy, Setup};
use crate::support::upstream::Upstream;

/// A message with a further header.
fn ask(proxy: &Proxy, header: (&str, &str)) -> Answer {
    let headers = &[JSON[0], header];
    Client::fetch(proxy, "POST", "/v1/messages", headers, &message("hello", false))
}

#[test]
fn each_of_several_keys_opens_in_both_headers() {
    let proxy = Setup::echo().variable("CCPROXY_API_KEY", "key-one, key-two,key-three").start();
    let prober = Prober::start(&proxy);
    for key in ["key-one", "key-two", "key-three"] {
        assert_eq!(ask(&proxy, ("X-Api-Key", key)).message(), "You said: hello");
        let bearer = format!("Bearer {key}");
        assert_eq!(ask(&proxy, ("Authorization", &bearer)).message(), "You said: hello");
        // A client that has both set sends both; one that fits is enough.
        let both = &[JSON[0], ("Authorization", &*bearer), ("X-Api-Key", "another")];
        let answer = Client::fetch(&proxy, "POST", "/v1/messages", both, &message("hello", false));
        assert_eq!(answer.message(), "You said: hello");
    }
    for header in [
        ("X-Api-Key", "key-on"),
        ("X-Api-Key", "key-onee"),
        ("X-Api-Key", "key-one,key-two"),
        ("Authorization", "key-one"),
        ("Authorization", "Bearer"),
        ("Cookie", "key-one"),
    ] {
        ask(&proxy, header).error(401, "authentication_error");
    }
    // What spends nothing of the key's is closed all the same.
    for (method, path) in [("POST", "/v1/messages/count_tokens"), ("GET", "/v1/models")] {
        let answer = Client::fetch(&proxy, method, path, JSON, &message("hello", false));
        answer.error(401, "authentication_error");
    }
    prober.finish("checks of keys");
}

#[test]
fn sighup_replaces_the_keys_and_a_stream_goes_on() {
    let upstream = Upstream::start();
    let proxy = Setup::asking(&upstream).dotenv("CCPROXY_API_KEY=old-key\n").start();
    let prober = Prober::start(&proxy);
    let mut client = Client::connect(&proxy);
    let old = &[JSON[0], ("X-Api-Key", "old-key")];
    client.send("POST", "/v1/messages", old, &message("hello", true));
    let mut connection = upstream.accept();
    connection.request();
    connection.begin_events();
    connection.say("before");
    client.begin();
    assert_eq!(client.text(), "before");

    // What is not valid changes nothing.
    proxy.write_dotenv("CCPROXY_API_KEY=new-key\nLOG_LEVEL=loud\n");
    proxy.signal(SIGHUP);
    proxy.wait_for_line("the configuration stays as it was");
    ask(&proxy, ("X-Api-Key", "new-key")).error(401, "authentication_error");

    proxy.write_dotenv("CCPROXY_API_KEY=new-key,newer-key\n");
    proxy.signal(SIGHUP);
    proxy.wait_for_line("read the configuration again: 2 client keys");
    ask(&proxy, ("X-Api-Key", "old-key")).error(401, "authentication_error");
    connection.say(" and after");
    assert_eq!(client.text(), " and after");
    connection.finish();
    assert_eq!(client.finish(), "");
    // The connection was opened with the old key; that lets no further request in.
    client
        .ask("POST", "/v1/messages", old, &message("hello", false))
        .error(401, "authentication_error");
    connection.wire.close();
    upstream.answer_all();
    for key in ["new-key", "newer-key"] {
        assert_eq!(ask(&proxy, ("X-Api-Key", key)).message(), "answered");
    }
    let log = proxy.log();
    assert!(!log.contains("old-key") && !log.contains("new-key"), "{log}");
    prober.finish("a change of keys");
}

#[test]
fn each_key_has_messages_of_its_own() {
    let proxy = Setup::echo()
        .variable("CCPROXY_API_KEY", "key-one,key-two")
        .variable("CCPROXY_RATE_LIMIT", "2")
        .start();
    let prober = Prober::start(&proxy);
    for key in ["key-one", "key-two"] {
        for _ in 0..2 {
            assert_eq!(ask(&proxy, ("X-Api-Key", key)).message(), "You said: hello");
        }
        let refused = ask(&proxy, ("X-Api-Key", key));
        let told = refused.error(429, "rate_limit_error");
        assert!(told.contains("CCPROXY_RATE_LIMIT"), "{told}");
        let after: Option<u64> = refused.header("retry-after").and_then(|value| value.parse().ok());
        assert!(after.is_some_and(|seconds| (1..=30).contains(&seconds)), "{after:?}");
        // The other header is the same caller, and counting is not limited.
        let bearer = format!("Bearer {key}");
        ask(&proxy, ("Authorization", &bearer)).error(429, "rate_limit_error");
        let headers = &[JSON[0], ("X-Api-Key", key)];
        let path = "/v1/messages/count_tokens";
        let counted = Client::fetch(&proxy, "POST", path, headers, &message("hello", false));
        assert_eq!(counted.status, 200);
    }
    prober.finish("a limit for each key");
}

#[test]
fn a_refused_key_costs_nobody_a_message() {
    let proxy = Setup::echo()
        .variable("CCPROXY_API_KEY", "key-one")
        .variable("CCPROXY_RATE_LIMIT", "1")
        .start();
    for _ in 0..5 {
        ask(&proxy, ("X-Api-Key", "wrong")).error(401, "authentication_error");
    }
    assert_eq!(ask(&proxy, ("X-Api-Key", "key-one")).message(), "You said: hello");
}

/// Sends one message for each `X-Forwarded-For`, to a server that takes one a minute from each address.
fn check_addresses(trusted: &str, cases: &[(&str, u16)]) {
    let proxy = Setup::echo()
        .variable("CCPROXY_RATE_LIMIT", "1")
        .variable("CCPROXY_TRUSTED_PROXIES", trusted)
        .start();
    for (forwarded_for, status) in cases {
        let mut headers = vec![JSON[0]];
        headers.extend(forwarded_for.split('|').map(|value| ("X-Forwarded-For", value)));
        let body = message("hello", false);
        let answer = Client::fetch(&proxy, "POST", "/v1/messages", &headers, &body);
        assert_eq!(answer.status, *status, "{forwarded_for} with {trusted:?} trusted");
    }
}

#[test]
fn an_address_is_believed_from_nobody() {
    check_addresses("", &[("192.0.2.1", 200), ("192.0.2.2", 429)]);
    check_addresses("10.0.0.0/8", &[("192.0.2.1", 200), ("192.0.2.2", 429)]);
}

#[test]
fn an_address_is_believed_from_a_trusted_proxy() {
    check_addresses(
        "127.0.0.1,10.0.0.0/8",
        &[
            ("192.0.2.1", 200),
            ("192.0.2.1", 429),
            ("192.0.2.2", 200),
            // The last one that no trusted proxy has, since what is before it anybody can write.
            ("192.0.2.3, 192.0.2.2", 429),
            ("192.0.2.2, 192.0.2.3", 200),
            ("192.0.2.3, 10.1.1.1", 429),
            ("192.0.2.4, 10.1.1.1, 10.2.2.2", 200),
            ("nonsense, 192.0.2.4", 429),
            ("::ffff:192.0.2.4", 429),
            ("2001:db8::1", 200),
        ],
    );
}

/// RFC 9110, section 5.3: several lines are one list.
#[test]
fn addresses_in_several_lines_are_one_list() {
    check_addresses(
        "127.0.0.1,10.0.0.0/8",
        &[
            ("192.0.2.1|10.1.1.1", 200),
            ("192.0.2.1", 429),
            ("192.0.2.2|10.1.1.1", 200),
            ("192.0.2.9|192.0.2.2", 429),
        ],
    );
}
