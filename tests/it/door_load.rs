//! Many clients at once: everybody is answered, the slow hold up nobody, and a prober sees none of it.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::client::{Answer, Client, JSON};
use crate::support::prober::Prober;
use crate::support::proxy::confined::raise_descriptor_limit;
use crate::support::proxy::{Proxy, Setup};
use crate::support::upstream::{Connection, Upstream};

/// Bursts of new connections with one request each. In every second round all of them are open before
/// the first one says anything.
fn burst(
    proxy: &Proxy,
    rounds: usize,
    count: usize,
    ask: impl Fn(&mut Client),
    check: impl Fn(&mut Client),
) {
    for round in 0..rounds {
        let mut clients: Vec<Client> = Vec::new();
        for _ in 0..count {
            let mut client = Client::connect(proxy);
            if round % 2 == 0 {
                ask(&mut client);
            }
            clients.push(client);
        }
        if round % 2 == 1 {
            clients.iter_mut().for_each(&ask);
        }
        clients.iter_mut().for_each(&check);
    }
}

#[test]
fn bursts_of_health_checks_are_all_answered() {
    raise_descriptor_limit();
    let proxy = Setup::echo().start();
    let prober = Prober::start(&proxy);
    for (count, rounds) in [(8, 20), (16, 20), (64, 20), (200, 10), (512, 4)] {
        let ask = |client: &mut Client| client.send("GET", "/health", &[], b"");
        burst(&proxy, rounds, count, ask, |client| assert_eq!(client.answer().status, 200));
    }
    prober.finish("bursts of health checks");
}

#[test]
fn bursts_of_messages_are_all_answered() {
    raise_descriptor_limit();
    let proxy = Setup::echo().variable("CCPROXY_MAX_IN_FLIGHT", "256").start();
    let prober = Prober::start(&proxy);
    for (count, rounds) in [(8, 20), (16, 20), (64, 10), (200, 4)] {
        let ask = |client: &mut Client| client.send_whole("hello");
        let check = |client: &mut Client| assert_eq!(client.answer().message(), "You said: hello");
        burst(&proxy, rounds, count, ask, check);
        let ask = |client: &mut Client| client.send_stream("hello");
        let check = |client: &mut Client| {
            client.begin();
            assert_eq!(client.finish(), "You said: hello");
        };
        burst(&proxy, 1, count, ask, check);
    }
    prober.finish("bursts of messages");
}

#[test]
fn idle_connections_are_kept_and_slow_heads_are_cut_in_time() {
    raise_descriptor_limit();
    // Few messages leave more room for connections where threads are limited.
    let proxy = Setup::echo().variable("CCPROXY_MAX_IN_FLIGHT", "16").start();
    assert_eq!(Client::fetch_message(&proxy, "hello").status, 200);
    let base = proxy.footprint();
    let mut prober = Prober::start(&proxy);
    let mut idle: Vec<Client> = (0..1000).map(|_| Client::connect(&proxy)).collect();
    let mut slow: Vec<TcpStream> = Vec::new();
    for _ in 0..500 {
        slow.push(TcpStream::connect(proxy.address).expect("the proxy listens"));
    }
    let head = b"POST /v1/messages HTTP/1.1\r\nContent-Type: application/json\r\nX: ";
    // A byte now and then moves no deadline.
    let began = Instant::now();
    let mut watched = slow.pop().expect("there are 500");
    watched.set_read_timeout(Some(Duration::from_millis(250))).expect("it is not zero");
    let mut end = [0];
    for byte in head.iter().chain([&b'x'; 1000]) {
        for stream in slow.iter_mut().chain([&mut watched]) {
            // Those that were cut take no more.
            let _ = stream.write(&[*byte]);
        }
        match watched.read(&mut end) {
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) => break,
            Ok(_) => panic!("a request that did not come is not answered"),
        }
        assert!(began.elapsed() < Duration::from_secs(30), "a head has 10 s");
    }
    assert!(began.elapsed() > Duration::from_secs(8), "cut after {:?}", began.elapsed());
    for stream in &mut slow {
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("it is not zero");
        // The end, also where a byte was on its way.
        assert!(matches!(stream.read(&mut end), Ok(0) | Err(_)));
    }
    assert_eq!(Client::fetch_message(&proxy, "hello").message(), "You said: hello");
    for client in idle.iter_mut().step_by(100) {
        assert_eq!(client.ask("GET", "/health", &[], b"").status, 200);
    }
    drop((idle, slow, watched));
    prober.wait_until("letting go of clients", || proxy.footprint().is_near(base));
    prober.finish("1,000 idle and 500 slow connections");
}

/// Messages in flight in the test of their limit.
const IN_FLIGHT: usize = 512;

#[test]
fn one_after_the_other_is_never_one_too_many() {
    let proxy = Setup::echo().variable("CCPROXY_MAX_IN_FLIGHT", "1").start();
    // The end of an answer makes room for the next message, whoever sends it.
    for number in 0..1000 {
        let text = format!("number {number}");
        let answer = Client::fetch_message(&proxy, &text);
        assert_eq!(answer.message(), format!("You said: {text}"));
    }
}

#[test]
fn one_message_too_many_is_529_and_clients_that_leave_make_room() {
    raise_descriptor_limit();
    let upstream = Upstream::start();
    let proxy =
        Setup::asking(&upstream).variable("CCPROXY_MAX_IN_FLIGHT", &IN_FLIGHT.to_string()).start();
    let base = proxy.footprint();
    let mut prober = Prober::start(&proxy);
    for round in 0..2 {
        let (clients, connections) = fill(&upstream, &proxy);
        let refused: Answer = Client::fetch_message(&proxy, "one too many");
        let told = refused.error(529, "overloaded_error");
        assert!(told.contains(&IN_FLIGHT.to_string()), "{told}");
        assert_eq!(refused.header("retry-after"), Some("1"));
        drop(clients);
        for mut connection in connections {
            connection.wire.wait_closed();
        }
        // The second time shows that no place was lost; one is free a moment after its connection.
        if round == 0 {
            prober
                .wait_until("closing descriptors", || proxy.descriptors() <= base.descriptors + 10);
            prober.wait_until("freeing places", || {
                let metrics = Client::fetch(&proxy, "GET", "/metrics", &[], b"").text();
                metrics.lines().any(|line| line == "http_server_active_requests 0")
            });
        }
    }
    prober.wait_until("a free place", || {
        let mut client = Client::connect(&proxy);
        client.send("POST", "/v1/messages", JSON, b"not JSON");
        client.answer().status == 400
    });
    upstream.answer_all();
    assert_eq!(Client::fetch_message(&proxy, "hello").message(), "answered");
    prober.finish("512 messages that hang");
}

/// Lets as many messages hang as there may be.
fn fill(upstream: &Upstream, proxy: &Proxy) -> (Vec<Client>, Vec<Connection>) {
    let (mut clients, mut connections) = (Vec::new(), Vec::new());
    for number in 0..IN_FLIGHT {
        let mut client = Client::connect(proxy);
        if number % 2 == 0 {
            client.send_whole("hello");
        } else {
            client.send_stream("hello");
        }
        clients.push(client);
        // In groups: all at once do not fit into every system's backlog.
        if number % 64 == 63 {
            while connections.len() < clients.len() {
                let mut connection = upstream.accept();
                connection.request();
                connections.push(connection);
            }
        }
    }
    (clients, connections)
}
