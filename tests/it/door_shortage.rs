//! Where descriptors, threads or a reader of the log are short: streams that were admitted go on,
//! health answers, and afterwards all is as before.

use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::support::client::{Client, JSON, message};
use crate::support::prober::Prober;
use crate::support::proxy::confined::{Confines, is_root};
use crate::support::proxy::{Proxy, Setup};
use crate::support::upstream::Upstream;

/// A client that wants something, but does not say what.
fn hostile(proxy: &Proxy, number: usize) -> TcpStream {
    let said: &[u8] = match number % 4 {
        0 => b"",
        1 => b"GET /health HTTP/1.1\r\nHost: a\r\nX-",
        2 => b"POST /v1/messages HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{",
        _ => b"P",
    };
    let mut stream = TcpStream::connect(proxy.address).expect("the proxy listens");
    // Where it was cut already it takes nothing.
    let _ = stream.write_all(said);
    stream
}

#[test]
fn few_descriptors() {
    for descriptors in [64, 65, 256] {
        let upstream = Upstream::start();
        let confines = Confines { descriptors: Some(descriptors), ..Confines::default() };
        let proxy = Setup::asking(&upstream).start_confined(confines);
        // What is kept for a while after four messages is no leak.
        for (client, connection) in &mut Client::many_in_flight(&proxy, &upstream, 4) {
            connection.finish();
            assert_eq!(client.finish(), "");
        }
        let base = proxy.footprint();
        let mut prober = Prober::start(&proxy);
        let mut streams = Client::many_in_flight(&proxy, &upstream, 4);
        for _ in 0..5 {
            let mut crowd = Vec::new();
            for number in 0..200 {
                crowd.push(hostile(&proxy, number));
                if number % 50 == 49 {
                    for (client, connection) in &mut streams {
                        connection.say("on");
                        assert_eq!(client.text(), "on");
                    }
                }
            }
        }
        for (client, connection) in &mut streams {
            connection.finish();
            assert_eq!(client.finish(), "");
        }
        drop(streams);
        prober.wait_until("letting go of clients", || proxy.descriptors() <= base.descriptors + 10);
        upstream.answer_all();
        for _ in 0..20 {
            assert_eq!(Client::fetch_message(&proxy, "hello").message(), "answered");
        }
        prober.finish(&format!("{descriptors} descriptors and 200 clients that only begin"));
    }
}

#[test]
fn few_threads() {
    assert!(
        is_root(),
        "this test needs root, to run the program as a user of whom it counts threads"
    );
    // A user of whom nobody else runs anything, and that exists in small containers too.
    let user = 20_000 + std::process::id() % 40_000;
    let confines = Confines { threads: Some(30), user: Some(user), ..Confines::default() };
    let proxy = Setup::echo().start_confined(confines);
    assert_eq!(Client::fetch_message(&proxy, "hello").status, 200);
    let base = proxy.footprint();
    let mut prober = Prober::start(&proxy);
    for _ in 0..20 {
        let crowd: Vec<TcpStream> = (0..60).map(|number| hostile(&proxy, number)).collect();
        // Nobody answers a message in the middle of it at once, but somebody does.
        prober.wait_until("answering a message", || {
            let answer = Client::fetch_message(&proxy, "hello");
            assert!(matches!(answer.status, 200 | 503 | 529), "{}", answer.text());
            answer.status == 200
        });
        drop(crowd);
        prober.wait_until("letting go of clients", || proxy.footprint().is_near(base));
        assert_eq!(Client::fetch_message(&proxy, "hello").message(), "You said: hello");
    }
    prober.finish("30 threads and 60 clients that only begin");
}

/// Rust's standard library aborts there, before `main`.
#[test]
fn no_standard_descriptors_and_no_dev() {
    assert!(is_root(), "this test needs root, to mount nothing over /dev");
    let mut program = Command::new(env!("CARGO_BIN_EXE_ccproxy"));
    program.args(["--healthcheck", "--port", "1"]).env_clear();
    let hide_dev = || {
        let check = |result: i32| match result {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        };
        let (none, nothing) = (std::ptr::null(), std::ptr::null());
        // SAFETY: plain system calls, with strings that end, between fork and exec.
        unsafe {
            check(libc::unshare(libc::CLONE_NEWNS))?;
            let ours_alone = libc::MS_REC | libc::MS_PRIVATE;
            check(libc::mount(none, c"/".as_ptr(), none, ours_alone, nothing))?;
            let tmpfs = c"tmpfs".as_ptr();
            check(libc::mount(tmpfs, c"/dev".as_ptr(), tmpfs, 0, nothing))?;
            (0..3).try_for_each(|descriptor| check(libc::close(descriptor)))
        }
    };
    // SAFETY: as above.
    unsafe { program.pre_exec(hide_dev) };
    let status = program.status().expect("cargo has built the program");
    assert_eq!(status.code(), Some(1), "nothing listens there: {status}");
}

/// The address space is what an allocation fails by in the process itself, which then ends; in a control
/// group the system ends it.
#[test]
fn little_memory() {
    for megabytes in [100, 300] {
        let upstream = Upstream::start();
        let confines = Confines { memory: Some(megabytes << 20), ..Confines::default() };
        // The C library of a debug build reserves 64 MiB for each thread where it can.
        let setup = Setup::asking(&upstream).variable("MALLOC_ARENA_MAX", "1");
        let proxy = setup.start_confined(confines);
        upstream.answer_all();
        let large = message(&r"twenty-four\nMB ".repeat(3 << 19), false);
        let list = format!(r#"{{"model":"m","max_tokens":9,"tools":[{}]}}"#, "{},".repeat(4 << 20));
        let mut refused = 0;
        for body in [&large, list.as_bytes()] {
            let statuses: Vec<u16> = thread::scope(|scope| {
                let ask = || Client::fetch(&proxy, "POST", "/v1/messages", JSON, body).status;
                let clients: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
                clients.into_iter().map(|client| client.join().expect("it ends")).collect()
            });
            assert!(statuses.iter().all(|s| [200, 400, 413, 529].contains(s)), "{statuses:?}");
            refused += statuses.iter().filter(|s| [413, 529].contains(s)).count();
        }
        assert!(refused > 0, "{megabytes} MiB are not enough for all");
        assert_eq!(Client::fetch_message(&proxy, "hello").message(), "answered");
    }
}

/// Of one event and of many: what is kept of a provider's answer is counted as a message is.
#[test]
fn a_providers_answer_that_there_is_no_memory_for_costs_itself() {
    let upstream = Upstream::start();
    let confines = Confines { memory: Some(100 << 20), ..Confines::default() };
    let setup = Setup::asking(&upstream).variable("MALLOC_ARENA_MAX", "1");
    let proxy = setup.start_confined(confines);
    let event = |text: &str| {
        let choice = format!(r#"{{"delta":{{"content":"{text}"}},"finish_reason":null}}"#);
        format!("data: {{\"choices\":[{choice}]}}\n\n")
    };
    let asked = AtomicUsize::new(0);
    upstream.answer_with(move || match asked.fetch_add(1, Ordering::Relaxed) {
        0 => event(&"twelve MB ".repeat(1_200_000)).into(),
        1 => event(&"six KB ".repeat(1000)).repeat(1700).into(),
        _ => (event("enough") + "data: [DONE]\n\n").into(),
    });
    for _ in 0..2 {
        let told = Client::fetch_message(&proxy, "hello").error(529, "overloaded_error");
        assert_eq!(told, "there is no memory left for the provider's answer");
    }
    assert_eq!(Client::fetch_message(&proxy, "hello").message(), "enough");
    let metrics = Client::fetch(&proxy, "GET", "/metrics", &[], b"").text();
    assert!(metrics.contains("ccproxy_refused_total{reason=\"memory\"} 2"), "{metrics}");
    let blames = |line: &&str| line.starts_with("ccproxy_upstream_errors_total{");
    let blamed: Vec<&str> = metrics.lines().filter(blames).collect();
    assert!(blamed.iter().all(|line| line.ends_with(" 0")), "{blamed:?}");
}

#[test]
fn a_log_that_nobody_reads() {
    let setup = Setup::echo().variable("LOG_LEVEL", "debug");
    let (proxy, pipe) = setup.start_with_unread_log();
    let prober = Prober::start(&proxy);
    let mut clients: Vec<Client> = (0..8).map(|_| Client::connect(&proxy)).collect();
    for number in 0..2000 / clients.len() {
        for client in &mut clients {
            client.send_whole(&format!("number {number}"));
        }
        for client in &mut clients {
            assert_eq!(client.answer().message(), format!("You said: number {number}"));
        }
    }
    prober.finish("a log that nobody reads");
    // Who reads at last is told that lines are missing.
    let mut lines = BufReader::new(pipe).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("lines of the log are missing here")));
}
