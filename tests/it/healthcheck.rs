//! The self-probe, as an image's health check runs it.

use std::io::Write;
use std::net::TcpListener;
use std::thread;

use crate::support::proxy::{Finished, Setup};

/// Runs the probe against `port`, and checks what holds whatever it finds.
fn probe(port: u16, arguments: &[&str]) -> Finished {
    let port = port.to_string();
    let all: Vec<&str> = [arguments, &["--port", &port]].concat();
    let finished =
        Setup::empty().variable("http_proxy", "http://127.0.0.1:9").arguments(&all).run();
    let lines = format!("{}{}", finished.stdout, finished.stderr);
    assert_eq!(lines.lines().count(), 1, "{lines}");
    assert!(lines.len() <= 200 && lines.is_ascii(), "{lines}");
    assert!(matches!(finished.code, Some(0 | 1)), "{:?}", finished.code);
    finished
}

/// A server that answers every connection with `bytes` and then does nothing.
fn server(bytes: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("it is bound").port();
    thread::spawn(move || {
        let mut kept = Vec::new();
        for mut socket in listener.incoming().flatten() {
            let _ = socket.write_all(bytes);
            kept.push(socket);
        }
    });
    port
}

#[test]
fn a_server_that_runs_is_healthy() {
    let proxy = Setup::echo().start();
    for arguments in [
        &["--healthcheck"][..],
        &["healthcheck"],
        &["--healthcheck=live"],
        &["--healthcheck=ready"],
        &["--healthcheck=/status"],
    ] {
        let finished = probe(proxy.address.port(), arguments);
        assert_eq!(finished.code, Some(0), "{arguments:?} {}", finished.stderr);
        assert!(
            finished.stdout.starts_with("healthy: 200 http://127.0.0.1:"),
            "{}",
            finished.stdout
        );
    }
}

#[test]
fn everything_else_is_not() {
    let foreign = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
    for (port, said) in [
        (server(foreign), "another server answers here"),
        (server(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"), "status 503"),
        (server(b""), "no answer in time"),
        (server(b"HTTP/1.1 2"), "no answer in time"),
        (server(b"SSH-2.0-x\r\n"), "is not HTTP"),
    ] {
        let finished = probe(port, &["--healthcheck", "--healthcheck-timeout", "1"]);
        assert_eq!(finished.code, Some(1), "{said}");
        let line = &finished.stderr;
        assert!(line.starts_with("unhealthy: ") && line.contains(said), "{line}");
    }
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port");
    let finished = probe(closed.port(), &["--healthcheck"]);
    assert!(finished.stderr.contains("connection refused"), "{}", finished.stderr);
    // What was tried at each address.
    for address in ["connect 127.0.0.1:", "connect [::1]:"] {
        assert!(finished.stderr.contains(address), "{}", finished.stderr);
    }
}

#[test]
fn a_wrong_argument_is_a_mistake_of_usage() {
    for arguments in [
        &["--healthcheck=ftp://x"][..],
        &["--healthcheck=http://name:1/"],
        &["--healthcheck=nope"],
        &["--healthcheck", "--nonsense"],
    ] {
        let finished = Setup::empty().arguments(arguments).run();
        assert_eq!((finished.code, &*finished.stdout), (Some(2), ""), "{arguments:?}");
    }
    // What a variable says is the server's configuration, which the probe may meet in any state.
    let setup = Setup::empty().variable("CCPROXY_HEALTHCHECK_URL", "nope");
    assert_eq!(setup.arguments(&["--healthcheck"]).run().code, Some(1));
}
