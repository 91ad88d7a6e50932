//! The loop that owns every socket: what it costs, what it owes to whom it lends one, and who cannot
//! reach what stands behind it.

use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::time::Instant;

use libc::SIGTERM;

use crate::support::PATIENCE;
use crate::support::client::{Client, JSON, message, request};
use crate::support::exchange::start;
use crate::support::prober::Prober;
use crate::support::proxy::confined::raise_descriptor_limit;
use crate::support::proxy::{Proxy, Setup};

/// Begins a message of which `body` has come, and waits until the server has read that: it answers what
/// came before.
fn begin_upload(proxy: &Proxy, length: usize, body: &[u8]) -> Client {
    let mut client = Client::connect(proxy);
    let mut bytes = request("GET", "/api/hello", &[], b"");
    bytes.extend_from_slice(
        format!(
            "POST /v1/messages HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        )
        .as_bytes(),
    );
    bytes.extend_from_slice(body);
    client.wire.send(&bytes);
    assert_eq!(client.answer().text(), "{}");
    client
}

#[test]
fn connections_that_say_nothing_cost_no_thread_and_little_memory() {
    const IDLE: usize = 2000;
    raise_descriptor_limit();
    let proxy = Setup::echo().start();
    assert_eq!(Client::fetch_message(&proxy, "hello").status, 200);
    let (base, memory) = (proxy.footprint(), proxy.memory_kib());
    let mut prober = Prober::start(&proxy);
    let _idle: Vec<Client> = (0..IDLE).map(|_| Client::connect(&proxy)).collect();
    prober.wait_until("letting them in", || proxy.descriptors() >= base.descriptors + IDLE);
    let now = proxy.footprint();
    assert!(now.threads <= base.threads, "{base:?} -> {now:?}");
    let grown = proxy.memory_kib().saturating_sub(memory);
    assert!(grown < 4 << 10, "memory has grown by {grown} KiB from {memory}");
    assert_eq!(Client::fetch_message(&proxy, "hello").message(), "You said: hello");
    prober.finish("2,000 connections that say nothing");
}

/// What a head announces is not there.
#[test]
fn bodies_that_are_announced_and_do_not_come_take_no_memory() {
    let proxy = Setup::echo().start();
    let prober = Prober::start(&proxy);
    let _waiting: Vec<Client> = (0..40).map(|_| begin_upload(&proxy, 32 << 20, b"{")).collect();
    for _ in 0..10 {
        assert_eq!(Client::fetch_message(&proxy, "hello").message(), "You said: hello");
    }
    prober.finish("bodies that do not come");
}

#[test]
fn uploads_are_told_when_the_server_ends() {
    let body = message("hello", false);
    let mut proxy = Setup::echo().start();
    let mut uploads: Vec<Client> =
        (0..3).map(|n| begin_upload(&proxy, body.len(), &body[..n * 10])).collect();
    proxy.signal(SIGTERM);
    for client in &mut uploads {
        let told = client.answer().error(529, "overloaded_error");
        assert!(told.contains("shutting down"), "{told}");
    }
    drop(uploads);
    assert_eq!(proxy.exit(), Some(0));
}

#[test]
fn every_answer_tells_the_time() {
    let proxy = Setup::echo().start();
    for (method, path, body, status) in [
        ("GET", "/health", &b""[..], 200),
        ("GET", "/v1/models", b"", 200),
        ("GET", "/v1/nothing", b"", 404),
        ("OPTIONS", "/v1/messages", b"", 204),
        ("POST", "/v1/messages", b"not JSON", 400),
        ("POST", "/v1/messages", &message("hello", false), 200),
    ] {
        let answer = Client::fetch(&proxy, method, path, JSON, body);
        let date = answer.header("date").unwrap_or_else(|| panic!("{method} {path} has a date"));
        assert_eq!(answer.status, status, "{method} {path}");
        assert!(date.len() == 29 && date.ends_with(" GMT"), "{date}");
    }
    let mut client = Client::connect(&proxy);
    client.send_stream("hello");
    assert!(client.begin().header("date").is_some());
}

#[test]
fn idle_connections_are_kept_as_long_as_the_setting_says() {
    let proxy = Setup::echo().variable("CCPROXY_KEEPALIVE_TIMEOUT", "1").start();
    let (mut silent, mut served) = (Client::connect(&proxy), Client::connect(&proxy));
    served.send_whole("hello");
    assert_eq!(served.answer().message(), "You said: hello");
    silent.wire.wait_closed();
    served.wire.wait_closed();
}

/// The worker that has the connection does not read, and nobody may forget what came meanwhile.
#[test]
fn what_is_sent_during_an_answer_is_answered_after_it() {
    let (upstream, proxy) = start();
    for number in 0..50 {
        let (mut client, mut connection) = Client::in_flight(&proxy, &upstream);
        client.send("GET", "/api/hello", &[], b"");
        if number % 2 == 0 {
            connection.say("after");
            assert_eq!(client.text(), "after");
        }
        connection.finish();
        client.finish();
        assert_eq!(client.answer().text(), "{}", "round {number}");
    }
}

/// What comes with a request is told by no event after it; looked for a few times a second, so many
/// would take longer than anybody waits.
#[test]
fn what_is_sent_together_waits_for_nothing_but_the_answers_before_it() {
    const MANY: usize = 400;
    let proxy = Setup::echo().start();
    let mut client = Client::connect(&proxy);
    let one = request("POST", "/v1/messages/count_tokens", JSON, &message("hello", false));
    let began = Instant::now();
    client.wire.send(&one.repeat(MANY));
    for number in 0..MANY {
        assert_eq!(client.answer().status, 200, "{number}");
    }
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
}

/// An abstract socket knows no permissions: every user of the host, and every container that shares its
/// network, may connect to one that listens.
#[test]
fn no_stranger_reaches_the_private_server() {
    let proxy = Setup::echo().start();
    assert_eq!(Client::fetch_message(&proxy, "hello").status, 200);
    let own = proxy.sockets();
    let table = fs::read_to_string("/proc/net/unix").expect("this is Linux");
    let mut names = 0;
    for line in table.lines().skip(1) {
        let mut fields = line.split_whitespace().skip(6);
        let (Some(inode), Some(name)) = (fields.next(), fields.next()) else { continue };
        if own.iter().any(|known| known == inode) {
            names += 1;
            let name = name.trim_start_matches('@');
            let address = SocketAddr::from_abstract_name(name).expect("a name");
            UnixStream::connect_addr(&address).expect_err("it must not be reached");
        }
    }
    assert!(names > 0, "the private connections have the server's name");
}
