//! Who may call, by key, how often, from where and by which name; and what changes while the server
//! runs.

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

/// Sends a request whose head is given but for its end.
fn exchange(proxy: &Proxy, head: &str) -> Answer {
    let mut client = Client::connect(proxy);
    client.wire.send(format!("{head}Connection: close\r\n\r\n").as_bytes());
    client.answer()
}

const POST: &str = "POST /v1/messages HTTP/1.1\r\nContent-Type: application/json\r\n";

#[test]
fn a_foreign_host_is_refused_on_a_loopback() {
    let proxy = Setup::echo().start();
    for host in ["evil.example", "evil.example:3456", "localhost.evil.example", "10.0.0.1", "[::2]"]
    {
        for line in [
            "GET /v1/models HTTP/1.1\r\n",
            "GET /status HTTP/1.1\r\n",
            "GET /metrics HTTP/1.1\r\n",
            "OPTIONS /v1/messages HTTP/1.1\r\n",
            "GET /v1/nothing HTTP/1.0\r\n",
            POST,
            "POST /v1/messages/count_tokens HTTP/1.1\r\nContent-Type: application/json\r\n",
        ] {
            let answer = exchange(&proxy, &format!("{line}Host: {host}\r\n"));
            let told = answer.error(403, "permission_error");
            assert!(told.contains(host) && told.contains("CCPROXY_ALLOWED_HOSTS"), "{told}");
        }
        // Probes name a server as they like, and learn nothing by it.
        for path in ["/", "/health", "/livez", "/readyz?verbose", "/startupz", "/ping"] {
            let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n");
            assert_eq!(exchange(&proxy, &head).status, 200, "{path} of {host}");
        }
    }
    let absolute = "GET http://evil.example/status HTTP/1.1\r\nHost: localhost\r\n";
    exchange(&proxy, absolute).error(403, "permission_error");
}

#[test]
fn the_loopbacks_own_names_are_taken_and_so_is_none() {
    let proxy = Setup::echo().variable("CCPROXY_ALLOWED_HOSTS", "CCProxy.lan, 192.0.2.7").start();
    for host in [
        "Host: localhost:3456\r\n",
        "Host: LOCALHOST\r\n",
        "Host: 127.0.0.1:1\r\n",
        "Host: 127.1.2.3\r\n",
        "Host: [::1]:3456\r\n",
        "Host: ccproxy.localhost\r\n",
        // No page's: what a stranger can have for a site has a dot in its name.
        "Host: x\r\n",
        "Host: ccproxy:3456\r\n",
        "Host: ccproxy.lan:3456\r\n",
        "Host: 192.0.2.7\r\n",
        // No page's: a browser always sends one.
        "Host:\r\n",
        "",
    ] {
        for version in ["1.1", "1.0"] {
            let answer = exchange(&proxy, &format!("GET /v1/models HTTP/{version}\r\n{host}"));
            assert_eq!(answer.status, 200, "{host:?}: {}", answer.text());
        }
    }
}

#[test]
fn a_page_of_a_name_without_a_dot_says_where_it_is_from_and_is_refused() {
    let proxy = Setup::echo().start();
    for line in [POST, "GET /v1/models HTTP/1.1\r\n"] {
        let head = format!("{line}Host: x:3456\r\nOrigin: http://x:3456\r\n");
        let told = exchange(&proxy, &head).error(403, "permission_error");
        assert!(told.contains("origin \"http://x:3456\""), "{told}");
    }
}

#[test]
fn who_lets_others_in_is_called_by_any_name() {
    let any = Setup::echo().variable("CCPROXY_ALLOWED_HOSTS", "*").start();
    let public = Setup::echo().variable("SERVER_HOST", "0.0.0.0").start();
    for proxy in [any, public] {
        let head = "GET /v1/models HTTP/1.1\r\nHost: ccproxy.example\r\n";
        assert_eq!(exchange(&proxy, head).status, 200);
    }
}

#[test]
fn wrong_keys_are_slowed_and_a_right_one_is_not() {
    let proxy = Setup::echo().variable("CCPROXY_API_KEY", "key-one").start();
    let wrong = &[JSON[0], ("X-Api-Key", "sk-guess")];
    let body = message("hello", false);
    let mut client = Client::connect(&proxy);
    for _ in 0..10 {
        let answer = client.ask("POST", "/v1/messages", wrong, &body);
        let told = answer.error(401, "authentication_error");
        assert!(told.contains("must be one of CCPROXY_API_KEY"), "{told}");
        // Claude Code has words of its own for whatever names that header.
        assert!(!told.to_ascii_lowercase().contains("x-api-key"), "{told}");
        // The same key stays wrong; Claude Code would ask twice more.
        assert_eq!(answer.header("x-should-retry"), Some("false"));
        assert_eq!(answer.header("connection"), None, "it may ask again with another one");
    }
    let refused = client.ask("POST", "/v1/messages", wrong, &body);
    let told = refused.error(429, "rate_limit_error");
    assert!(told.contains("wrong keys") && !told.contains("sk-guess"), "{told}");
    let after: Option<u64> = refused.header("retry-after").and_then(|value| value.parse().ok());
    assert!(after.is_some_and(|seconds| (1..=60).contains(&seconds)), "{after:?}");
    assert_eq!(refused.header("x-should-retry"), Some("false"));
    client.wire.wait_closed();
    // Other doors lead to the same lock.
    for (method, path) in [("POST", "/v1/messages/count_tokens"), ("GET", "/v1/models")] {
        assert_eq!(Client::fetch(&proxy, method, path, wrong, &body).status, 429, "{path}");
    }
    for path in ["/status", "/metrics"] {
        let plain = Client::fetch(&proxy, "GET", path, wrong, b"");
        assert_eq!((plain.status, plain.header("connection")), (200, Some("close")), "{path}");
    }
    assert_eq!(ask(&proxy, ("X-Api-Key", "key-one")).message(), "You said: hello");
    // Who sends none guesses nothing.
    Client::fetch_message(&proxy, "hello").error(401, "authentication_error");
    assert!(!proxy.log().contains("sk-guess"), "{}", proxy.log());
}

#[test]
fn wrong_keys_of_one_address_cost_no_other() {
    let proxy = Setup::echo()
        .variable("CCPROXY_API_KEY", "key-one")
        .variable("CCPROXY_TRUSTED_PROXIES", "127.0.0.1")
        .start();
    let guess = |from: &str| {
        let headers = &[JSON[0], ("X-Api-Key", "wrong"), ("X-Forwarded-For", from)];
        Client::fetch(&proxy, "POST", "/v1/messages", headers, &message("hello", false)).status
    };
    for n in 0..10 {
        assert_eq!(guess(&format!("2001:db8::{n}")), 401);
    }
    assert_eq!(guess("2001:db8::ffff"), 429, "the same network");
    assert_eq!((guess("2001:db8:1::1"), guess("192.0.2.1")), (401, 401));
}

#[test]
fn an_address_is_read_in_every_form_that_proxies_write() {
    check_addresses(
        "127.0.0.1",
        &[
            ("192.0.2.1:4711", 200),
            ("192.0.2.1:4712", 429),
            ("192.0.2.2", 200),
            ("[2001:db8::1]:443", 200),
            ("[2001:db8:1::1]", 200),
            ("2001:db8:1::1", 429),
        ],
    );
    let proxy = Setup::echo()
        .variable("CCPROXY_RATE_LIMIT", "1")
        .variable("CCPROXY_TRUSTED_PROXIES", "127.0.0.1")
        .start();
    let ask = |headers: &[(&str, &str)]| {
        let headers = [&[JSON[0]], headers].concat();
        Client::fetch(&proxy, "POST", "/v1/messages", &headers, &message("hello", false)).status
    };
    for (node, status) in [
        ("for=192.0.2.60;proto=http;by=203.0.113.43", 200),
        ("for=10.1.1.1, For=\"192.0.2.60:4711\"", 429),
        ("for=\"[2001:db8:cafe::17]:4711\"", 200),
        // Nobody knows who that is, so the proxy's address counts.
        ("for=_hidden", 200),
        ("for=unknown", 429),
    ] {
        assert_eq!(ask(&[("Forwarded", node)]), status, "{node}");
    }
    let both = [("Forwarded", "for=192.0.2.77"), ("X-Forwarded-For", "192.0.2.60")];
    assert_eq!(ask(&both), 429, "what the proxy writes counts");
}

#[test]
fn addresses_of_one_network_share_a_limit() {
    check_addresses(
        "127.0.0.1",
        &[
            ("2001:db8::1", 200),
            ("2001:db8::2", 429),
            ("2001:db8::ffff:0:0:1", 429),
            ("2001:db8:0:1::1", 200),
        ],
    );
}

#[test]
fn a_page_can_read_why_it_was_refused() {
    const PAGE: (&str, &str) = ("Origin", "https://app.example");
    let proxy = Setup::echo()
        .variable("CCPROXY_API_KEY", "key-one,key-two")
        .variable("CCPROXY_RATE_LIMIT", "1")
        .variable("CCPROXY_BODY_LIMIT", "1024")
        .variable("CORS_ALLOWED_ORIGINS", "https://app.example")
        .start();
    let body = message("hello", false);
    let key = ("X-Api-Key", "key-one");
    let check = |status: u16, line: [&str; 2], headers: &[(&str, &str)], body: &[u8]| {
        let answer = Client::fetch(&proxy, line[0], line[1], headers, body);
        assert_eq!(answer.status, status, "{}", answer.text());
        assert_eq!(answer.header("access-control-allow-origin"), Some(PAGE.1), "{status}");
        assert_eq!(answer.header("vary"), Some("Origin"), "{status}");
        let exposed = answer.header("access-control-expose-headers").unwrap_or_default();
        assert!(exposed.contains("retry-after") && exposed.contains("request-id"), "{exposed}");
    };
    let post = ["POST", "/v1/messages"];
    check(401, post, &[JSON[0], PAGE], &body);
    check(200, post, &[JSON[0], PAGE, key], &body);
    check(429, post, &[JSON[0], PAGE, key], &body);
    check(413, post, &[JSON[0], PAGE, ("X-Api-Key", "key-two")], &[b' '; 2000]);
    check(404, ["GET", "/v1/nothing"], &[PAGE], b"");
    check(415, post, &[("Content-Type", "text/plain"), PAGE, key], &body);
    check(400, ["POST", "/v1/messages/count_tokens"], &[JSON[0], PAGE, key], b"{");
    check(200, ["POST", "/v1/messages/count_tokens"], &[JSON[0], PAGE, key], &body);
    check(200, ["GET", "/v1/models"], &[PAGE, key], b"");
    check(200, ["GET", "/api/hello"], &[PAGE], b"");
    for path in ["/", "/status", "/livez", "/readyz", "/startupz", "/ping", "/metrics"] {
        check(200, ["GET", path], &[PAGE], b"");
    }
    check(401, ["GET", "/flagz"], &[PAGE], b"");
    // A head that is refused as a whole names its page too.
    let large = ("X-Large", &*"x".repeat(40_000));
    check(431, ["GET", "/health"], &[PAGE, large], b"");
    check(417, ["GET", "/health"], &[PAGE, ("Expect", "more")], b"");
    check(501, post, &[PAGE, ("Transfer-Encoding", "gzip")], b"");
    check(400, post, &[PAGE, ("Content-Length", "x")], &body);
    check(405, ["DELETE", "/v1/messages"], &[PAGE], b"");
    let other = &[JSON[0], ("Origin", "https://other.example"), key];
    let answer = Client::fetch(&proxy, "POST", "/v1/messages", other, &body);
    answer.error(403, "permission_error");
    assert_eq!(answer.header("access-control-allow-origin"), None);
    // Health too, asked before and read.
    for path in ["/health", "/status", "/flagz", "/v1/nothing", "/v1/messages", "/api/hello"] {
        let asks = &[PAGE, ("Access-Control-Request-Method", "GET")];
        let before = Client::fetch(&proxy, "OPTIONS", path, asks, b"");
        assert_eq!((before.status, before.body.len()), (204, 0), "{path}");
        let read = Client::fetch(&proxy, "GET", path, &[PAGE], b"");
        for answer in [before, read] {
            assert_eq!(answer.header("access-control-allow-origin"), Some(PAGE.1), "{path}");
        }
    }
}

#[test]
fn a_reload_that_loses_the_keys_lets_nobody_in() {
    for (text, why) in [
        (Some(""), "nor does .env"),
        (None, "and there is no .env"),
        (Some("CCPROXY_API_KEY=\n"), "nor does .env"),
    ] {
        let proxy = Setup::echo().dotenv("CCPROXY_API_KEY=old-key\n").start();
        match text {
            Some(text) => proxy.write_dotenv(text),
            None => proxy.remove_dotenv(),
        }
        proxy.signal(SIGHUP);
        let line = proxy.wait_for_line("stay as they were");
        assert!(line.contains("ERROR") && line.contains("CCPROXY_OPEN=on"), "{line}");
        assert!(line.contains(why), "{line}");
        Client::fetch_message(&proxy, "hello").error(401, "authentication_error");
        assert_eq!(ask(&proxy, ("X-Api-Key", "old-key")).message(), "You said: hello");
    }
}

#[test]
fn a_reload_that_is_not_valid_lets_nobody_in() {
    for text in ["CCPROXY_API_KEYS=old-key\n", "CCPROXY_API_KEY=,, ,\n"] {
        let proxy = Setup::echo().dotenv("CCPROXY_API_KEY=old-key\n").start();
        proxy.write_dotenv(text);
        proxy.signal(SIGHUP);
        let line = proxy.wait_for_line("the configuration stays as it was");
        assert!(line.contains("ERROR") && line.contains("CCPROXY_API_KEY"), "{line}");
        Client::fetch_message(&proxy, "hello").error(401, "authentication_error");
        assert_eq!(ask(&proxy, ("X-Api-Key", "old-key")).message(), "You said: hello");
    }
}

#[test]
fn who_says_so_opens_the_door_by_a_reload() {
    let proxy = Setup::echo().dotenv("CCPROXY_API_KEY=old-key\n").start();
    proxy.write_dotenv("CCPROXY_OPEN=on\n");
    proxy.signal(SIGHUP);
    let line = proxy.wait_for_line("read the configuration again: 0 client keys");
    assert!(line.contains("changed: CCPROXY_API_KEY, CCPROXY_OPEN"), "{line}");
    assert_eq!(Client::fetch_message(&proxy, "hello").message(), "You said: hello");
}

#[test]
fn a_reload_tells_what_changed_and_what_needs_a_restart() {
    let upstream = Upstream::start();
    let proxy = Setup::asking(&upstream).dotenv("CCPROXY_API_KEY=key-one\n").start();
    proxy.write_dotenv(
        "CCPROXY_API_KEY=key-two\nLOG_LEVEL=debug\nPORT=1\nCCPROXY_RATE_LIMIT=3\nCUSTOM_MAX_TOKENS=7\n",
    );
    proxy.signal(SIGHUP);
    let taken = proxy.wait_for_line("read the configuration again: 1 client keys");
    assert!(taken.contains("changed: CCPROXY_API_KEY, LOG_LEVEL"), "{taken}");
    let late = proxy.wait_for_line("by a restart alone");
    assert!(late.contains("WARN"), "{late}");
    assert!(late.ends_with(": CCPROXY_RATE_LIMIT, CUSTOM_MAX_TOKENS, PORT"), "{late}");
    assert!(!proxy.log().contains("key-two"), "{}", proxy.log());
}

#[test]
fn a_foreign_origin_is_refused_before_anything_is_spent() {
    let upstream = Upstream::start();
    let proxy =
        Setup::asking(&upstream).variable("CORS_ALLOWED_ORIGINS", "https://mine.example").start();
    let headers = &[JSON[0], ("Origin", "https://foreign.example")];
    let refused = Client::fetch(&proxy, "POST", "/v1/messages", headers, &message("a", false));
    let told = refused.error(403, "permission_error");
    assert!(told.contains("https://foreign.example"), "{told}");
    assert_eq!(refused.header("access-control-allow-origin"), None);
    let preflight = Client::fetch(&proxy, "OPTIONS", "/v1/messages", headers, b"");
    preflight.error(403, "permission_error");
    upstream.assert_nobody_waits();
}

#[test]
fn an_allowed_origin_may_read_the_answer() {
    let origin = "https://mine.example";
    for allowed in [origin, "https://other.example, https://mine.example/", "*"] {
        let proxy = Setup::echo().variable("CORS_ALLOWED_ORIGINS", allowed).start();
        let headers = &[JSON[0], ("Origin", origin)];
        let preflight = Client::fetch(&proxy, "OPTIONS", "/v1/messages", headers, b"");
        assert_eq!(preflight.status, 204, "{allowed}");
        assert_eq!(preflight.header("access-control-allow-origin"), Some(origin), "{allowed}");
        let methods = preflight.header("access-control-allow-methods").unwrap_or_default();
        assert!(methods.contains("POST"), "{methods}");
        let names = preflight.header("access-control-allow-headers").unwrap_or_default();
        assert!(names.contains('*') && names.contains("Authorization"), "{names}");
        for stream in [false, true] {
            let mut client = Client::connect(&proxy);
            client.send("POST", "/v1/messages", headers, &message("a", stream));
            let head = client.answer_without_body().head;
            assert_eq!(head.header("access-control-allow-origin"), Some(origin), "{allowed}");
            assert_eq!(head.header("vary"), Some("Origin"), "{allowed}");
        }
    }
}

#[test]
fn only_who_sends_a_client_key_is_answered() {
    let proxy = Setup::echo().variable("CCPROXY_API_KEY", "first-key, second-key").start();
    let ask = |header: Option<(&str, &str)>| {
        let headers: Vec<_> = [JSON[0]].into_iter().chain(header).collect();
        Client::fetch(&proxy, "POST", "/v1/messages", &headers, &message("a", false))
    };
    for header in [
        None,
        Some(("x-api-key", "")),
        Some(("x-api-key", "first-kez")),
        Some(("x-api-key", "first-key, second-key")),
        Some(("Authorization", "Bearer wrong")),
        Some(("Authorization", "Basic first-key")),
    ] {
        let refused = ask(header);
        let told = refused.error(401, "authentication_error");
        assert!(told.contains("CCPROXY_API_KEY") && !told.contains("first-ke"), "{told}");
    }
    for header in [
        ("x-api-key", "first-key"),
        ("X-Api-Key", "second-key"),
        ("Authorization", "Bearer first-key"),
        ("authorization", "bearer second-key"),
    ] {
        assert_eq!(ask(Some(header)).message(), "You said: a", "{header:?}");
    }
    proxy.get("/v1/models").error(401, "authentication_error");
    for path in ["/", "/health", "/status", "/api/hello"] {
        assert_eq!(proxy.get(path).status, 200, "{path}");
    }
    let log = proxy.log();
    assert!(!log.contains("first-ke") && !log.contains("second-key"), "{log}");
}
