//! What the server says at its start.

use std::net::SocketAddr;

use ccproxy::greeting::Greeting;
use ccproxy::network::Host;

use crate::support::proxy::Setup;

/// What a server says that listens at `addresses`, the first of which is the host where it is no name.
fn said(host: &str, addresses: &[&str], in_container: bool, has_client_keys: bool) -> Vec<String> {
    let addresses: Vec<SocketAddr> =
        addresses.iter().map(|address| address.parse().expect("an address")).collect();
    let host = host.parse().map_or(Host::Localhost, Host::Address);
    let greeting = Greeting { host, addresses: &addresses, in_container, has_client_keys };
    let mut said = vec![greeting.listens(), greeting.invites()];
    said.extend(greeting.warnings().iter().map(|warning| (*warning).to_owned()));
    said
}

const LOOPBACKS: &[&str] = &["127.0.0.1:3456", "[::1]:3456"];

#[test]
fn the_line_to_copy_has_an_address_that_people_can_reach() {
    let line =
        |url: &str| format!("to use it: ANTHROPIC_BASE_URL={url} ANTHROPIC_AUTH_TOKEN=any claude");
    for (host, bound, wanted) in [
        ("localhost", LOOPBACKS, "http://localhost:3456"),
        ("::", &["[::]:3456"], "http://localhost:3456"),
        ("0.0.0.0", &["0.0.0.0:80"], "http://localhost:80"),
        ("127.0.0.1", &["127.0.0.1:4000"], "http://127.0.0.1:4000"),
        ("192.0.2.7", &["192.0.2.7:4000"], "http://192.0.2.7:4000"),
        ("2001:db8::1", &["[2001:db8::1]:4000"], "http://[2001:db8::1]:4000"),
    ] {
        assert_eq!(said(host, bound, false, false)[1], line(wanted), "{host}");
    }
    for (host, bound) in [("::", "[::]:3456"), ("172.17.0.2", "172.17.0.2:3456")] {
        let wanted = line("http://localhost:3456") + " (or the port that Docker publishes)";
        assert_eq!(said(host, &[bound], true, false)[1], wanted, "{host} in a container");
    }
}

#[test]
fn with_client_keys_the_line_says_which_variable_holds_them() {
    let line = &said("localhost", LOOPBACKS, false, true)[1];
    assert!(line.ends_with("ANTHROPIC_AUTH_TOKEN=<one of CCPROXY_API_KEY> claude"), "{line}");
}

#[test]
fn an_address_that_nobody_can_reach_is_warned_of() {
    let inside = said("localhost", LOOPBACKS, true, true);
    assert!(inside[2].starts_with("this listens inside the container only"), "{inside:?}");
    assert_eq!(said("localhost", LOOPBACKS, false, false).len(), 2);
    assert_eq!(said("::", &["[::]:3456"], true, true).len(), 2);
}

#[test]
fn an_open_port_without_keys_is_warned_of() {
    for in_container in [false, true] {
        let open = said("::", &["[::]:3456"], in_container, false);
        assert!(open[2].starts_with("everybody who reaches this port can spend"), "{open:?}");
    }
}

#[test]
fn the_start_prints_the_line_for_claude_code() {
    for (keys, token) in [("", "any"), ("one,two", "<one of CCPROXY_API_KEY>")] {
        let proxy = Setup::echo().variable("CCPROXY_API_KEY", keys).start();
        let line = proxy.wait_for_line("to use it: ");
        let wanted = format!(
            "to use it: ANTHROPIC_BASE_URL=http://{} ANTHROPIC_AUTH_TOKEN={token} claude",
            proxy.address
        );
        assert!(line.ends_with(&wanted), "{line}");
        assert!(!proxy.log().contains("one,two"), "no key is shown");
    }
}
