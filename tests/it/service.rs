//! A service manager, as systemd is one: what it is told, and the sockets that it passes on.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};

use libc::SIGTERM;

use crate::support::PATIENCE;
use crate::support::client::{Client, JSON, message};
use crate::support::proxy::{Proxy, Setup};

/// A file that is there for as long as the test.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let name = format!("{name}-{}", std::process::id());
        Place(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

// What it is told.

/// Starts a server and ends it; `manager` is what `name` in NOTIFY_SOCKET leads to.
fn check_told(manager: &UnixDatagram, name: &str) {
    manager.set_read_timeout(Some(PATIENCE)).expect("it is a socket");
    let told = || {
        let mut state = [0; 1024];
        let size = manager.recv(&mut state).expect("it is told in time");
        String::from_utf8_lossy(&state[..size]).into_owned()
    };
    let mut proxy =
        Setup::echo().variable("NOTIFY_SOCKET", name).variable("WATCHDOG_USEC", "30000000").start();
    let ready = told();
    let (pid, rest) = ready.split_once('\n').expect("several lines");
    // Where the tests run in a container its numbers mean nothing to whoever is outside.
    let is_own = pid == format!("MAINPID={}", proxy.id());
    let rest = if is_own { rest } else { &ready };
    assert!(rest.starts_with("READY=1\nSTATUS=listening on http://127.0.0.1:"), "{ready}");
    assert_eq!(told(), "WATCHDOG=1");
    proxy.signal(SIGTERM);
    assert_eq!(
        std::iter::repeat_with(told).find(|state| state != "WATCHDOG=1").as_deref(),
        Some("STOPPING=1")
    );
    assert_eq!(proxy.exit(), Some(0));
}

#[test]
fn a_service_manager_is_told_of_the_start_and_of_the_end() {
    let name = format!("ccproxy-manager-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("a name");
    let manager = UnixDatagram::bind_addr(&address).expect("the name is free");
    check_told(&manager, &format!("@{name}"));
    let place = Place::new("manager");
    let manager = UnixDatagram::bind(&place.0).expect("the place is free");
    check_told(&manager, place.0.to_str().expect("a path in UTF-8"));
}

#[test]
fn a_service_manager_that_is_gone_is_no_reason_not_to_serve() {
    let proxy = Setup::echo().variable("NOTIFY_SOCKET", "/nowhere/notify").start();
    proxy.wait_for_line("NOTIFY_SOCKET: the service manager cannot be told of the start");
    assert_eq!(Client::fetch_message(&proxy, "hello").message(), "You said: hello");
}

// What it passes on.

fn local() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port")
}

#[test]
fn a_socket_that_was_opened_before_is_served() {
    let listener = local();
    let address = listener.local_addr().expect("it is bound");
    // It waits, as whoever woke the service does.
    let mut early = Client::at(address);
    early.send("POST", "/v1/messages", JSON, &message("hello", false));
    // What the settings say is another port.
    let mut proxy = Setup::echo().inheriting(listener).arguments(&["--port", "1"]).start();
    assert_eq!(proxy.address, address);
    assert_eq!(early.answer().message(), "You said: hello");
    proxy.wait_for_line("SERVER_PORT do not count");
    // Only this machine reaches it.
    let mut client = Client::at(address);
    client.wire.send(b"GET /v1/models HTTP/1.1\r\nHost: rebound.example\r\n\r\n");
    let told = client.answer().error(403, "permission_error");
    assert!(told.contains("rebound.example"), "{told}");
    proxy.signal(SIGTERM);
    assert_eq!(proxy.exit(), Some(0));
}

#[test]
fn who_waits_while_the_service_restarts_is_served_by_the_next() {
    let listener = local();
    let again = listener.try_clone().expect("a descriptor");
    let serve = |listener: TcpListener| -> Proxy { Setup::echo().inheriting(listener).start() };
    let mut first = serve(listener);
    let address = first.address;
    first.signal(SIGTERM);
    assert_eq!(first.exit(), Some(0));
    let mut waiting = Client::at(address);
    waiting.send("GET", "/health", &[], b"");
    let _second = serve(again);
    assert_eq!(waiting.answer().status, 200);
}

#[test]
fn a_socket_that_everybody_reaches_is_told_so() {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a port");
    let proxy = Setup::echo().inheriting(listener).start();
    proxy.wait_for_line("every other address of this host");
    proxy.wait_for_line("everybody who reaches this port");
    let mut client = Client::at(proxy.address);
    client.wire.send(b"GET /v1/models HTTP/1.1\r\nHost: ccproxy.example\r\n\r\n");
    assert_eq!(client.answer().status, 200);
}

#[test]
fn what_cannot_be_listened_on_stops_the_start() {
    let listener = local();
    let address = listener.local_addr().expect("it is bound");
    let connection = TcpStream::connect(address).expect("it listens");
    let datagrams = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let place = Place::new("listener");
    let of_files = UnixListener::bind(&place.0).expect("the place is free");
    let file = File::open("/dev/null").expect("it is there");
    for (descriptor, part) in [
        (OwnedFd::from(connection), "Accept=no"),
        (datagrams.into(), "is not a socket of TCP"),
        (of_files.into(), "a socket of the file system"),
        (file.into(), "is not a socket;"),
    ] {
        let run = Setup::echo().inheriting(descriptor).run();
        assert_eq!(run.code, Some(2), "{part}: {}", run.stderr);
        let wanted = ["LISTEN_FDS: descriptor 3 (test.socket) ", part];
        assert!(wanted.iter().all(|part| run.stderr.contains(part)), "{}", run.stderr);
    }
    for (count, part) in [
        ("2", "descriptor 4 (unnamed) cannot be used: Bad file descriptor"),
        ("many", "LISTEN_FDS: \"many\" is not a number of sockets (0-8)"),
        ("-1", "(0-8)"),
        ("9", "(0-8)"),
        ("99999999999", "(0-8)"),
    ] {
        let run = Setup::echo().inheriting(local()).variable("LISTEN_FDS", count).run();
        assert_eq!(run.code, Some(2), "{count}: {}", run.stderr);
        assert!(run.stderr.contains(part), "{count}: {}", run.stderr);
    }
}

/// What a parent was passed on is not for its children.
#[test]
fn sockets_of_another_process_are_left_alone() {
    for (pid, count) in [("1", "1"), ("", "1"), ("no number", "1"), ("1", "many")] {
        let proxy = Setup::echo().variable("LISTEN_PID", pid).variable("LISTEN_FDS", count).start();
        assert_eq!(Client::fetch_message(&proxy, "hello").message(), "You said: hello");
        assert!(!proxy.log().contains("LISTEN_FDS"), "{}", proxy.log());
    }
    let proxy = Setup::echo().inheriting(local()).variable("LISTEN_FDS", "0").start();
    assert_eq!(Client::fetch_message(&proxy, "hello").message(), "You said: hello");
}
