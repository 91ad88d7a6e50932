//! The process: its command line, its signals, its end.

use std::net::TcpListener;

use libc::{SIGCONT, SIGHUP, SIGINT, SIGSTOP, SIGTERM, SIGUSR1, SIGUSR2};
use serde_json::{Value, json};

use crate::support::KEY;
use crate::support::client::Client;
use crate::support::proxy::{Finished, Proxy, Setup};
use crate::support::upstream::{Connection, Upstream};

/// A server with a stream in flight, of which the client has seen the first piece.
fn in_flight(shutdown_timeout: &str) -> (Proxy, Client, Connection) {
    let upstream = Upstream::start();
    let proxy =
        Setup::asking(&upstream).variable("CCPROXY_SHUTDOWN_TIMEOUT", shutdown_timeout).start();
    let (client, connection) = Client::in_flight(&proxy, &upstream);
    (proxy, client, connection)
}

// Signals.

#[test]
fn sigterm_lets_a_stream_end() {
    let (mut proxy, mut client, mut connection) = in_flight("25");
    proxy.signal(SIGTERM);
    proxy.wait_until("draining", |answer| {
        let reason = answer.json()["reason"] == "draining";
        assert_eq!(answer.status == 503, reason, "{}", answer.text());
        reason
    });
    let status = Client::fetch(&proxy, "GET", "/status", &[], b"");
    assert_eq!((status.status, &status.json()["status"]), (200, &json!("draining")));
    connection.say(" and after");
    connection.finish();
    assert_eq!(client.finish(), " and after");
    assert_eq!(proxy.exit(), Some(0));
    proxy.wait_for_line("stopped");
}

#[test]
fn sigterm_and_sigint_end_an_idle_server() {
    for signal in [SIGTERM, SIGINT] {
        let mut proxy = Setup::echo().start();
        assert_eq!(Client::fetch_message(&proxy, "hello").status, 200);
        proxy.signal(signal);
        assert_eq!(proxy.exit(), Some(0));
    }
}

#[test]
fn a_stream_that_does_not_end_is_cut_off_in_time() {
    let (mut proxy, _client, _connection) = in_flight("1");
    proxy.signal(SIGTERM);
    assert_eq!(proxy.exit(), Some(0));
    proxy.wait_for_line("1 answers cut off");
}

#[test]
fn a_second_signal_ends_at_once() {
    let (mut proxy, _client, _connection) = in_flight("3600");
    proxy.signal(SIGTERM);
    proxy.wait_for_line("shutting down");
    proxy.signal(SIGTERM);
    assert_eq!(proxy.exit(), Some(128 + SIGTERM));
}

/// As a container that is paused, or a virtual machine that is moved.
#[test]
fn a_process_that_stood_still_passes_on_what_has_come_meanwhile() {
    let begin = || {
        let upstream = Upstream::start();
        let proxy = Setup::asking(&upstream).variable("CCPROXY_IDLE_TIMEOUT", "3").start();
        let (client, connection) = Client::in_flight(&proxy, &upstream);
        (proxy, client, connection)
    };
    let (proxy, mut client, mut connection) = begin();
    proxy.signal(SIGSTOP);
    connection.say(" and after");
    // Another one with the same limit shows that it has passed.
    let (_other, mut waits, _silent) = begin();
    waits.fail();
    proxy.signal(SIGCONT);
    connection.finish();
    assert_eq!(client.finish(), " and after");
}

#[test]
fn signals_of_log_rotation_do_nothing() {
    let mut proxy = Setup::echo().start();
    for signal in [SIGHUP, SIGUSR1, SIGUSR2, SIGHUP] {
        proxy.signal(signal);
        assert_eq!(Client::fetch_message(&proxy, "hello").message(), "You said: hello");
    }
    assert!(!proxy.log().contains("shutting down"), "{}", proxy.log());
    proxy.signal(SIGTERM);
    assert_eq!(proxy.exit(), Some(0));
}

// The log.

#[test]
fn each_message_is_one_line_of_the_log() {
    let proxy = Setup::echo().start();
    let answer = Client::fetch_message(&proxy, "hello");
    let line = proxy.wait_for_line("echo echo <- claude-sonnet-5-5  200  ");
    assert!(line.contains(" in ") && line.contains(" out  end_turn  "), "{line}");
    assert!(answer.header("request-id").is_some_and(|id| line.contains(id)), "{line}");
    assert!(!line.contains("hello"), "{line}");
}

#[test]
fn the_log_is_json_where_it_is_wanted() {
    // Also where nothing is wanted, since nobody reads a pipe on a terminal.
    for format in ["json", ""] {
        let proxy = Setup::echo().variable("LOG_FORMAT", format).start();
        assert_eq!(Client::fetch_message(&proxy, "hello").status, 200);
        let line = proxy.wait_for_line("POST /v1/messages");
        let line: Value = serde_json::from_str(&line).expect("a line is JSON");
        assert_eq!((&line["level"], &line["status"]), (&json!("info"), &json!(200)), "{line}");
        assert!(line["request_id"].as_str().is_some_and(|id| id.starts_with("req_")), "{line}");
    }
}

// The command line.

#[test]
fn help_and_version() {
    let help = Setup::empty().arguments(&["--help"]).run();
    assert_eq!((help.code, &*help.stderr), (Some(0), ""));
    for word in ["Usage: ccproxy", "--check-config", "--port, SERVER_PORT, PORT", "CCPROXY_API_KEY"]
    {
        assert!(help.stdout.contains(word), "{word}");
    }
    for argument in ["--version", "-V", "-v", "version"] {
        let version = Setup::empty().arguments(&[argument]).run();
        let line = format!("ccproxy {}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!((version.code, version.stdout), (Some(0), line), "{argument}");
    }
}

#[test]
fn wrong_arguments_are_told_and_end_with_2() {
    let check = |arguments: &[&str], said: &str| {
        let Finished { code, stdout, stderr } = Setup::empty().arguments(arguments).run();
        assert_eq!((code, &*stdout), (Some(2), ""), "{arguments:?}");
        assert!(stderr.contains(said), "{stderr}");
    };
    check(&["--prot", "80"], "\"--prot\" is not an option; did you mean --port?");
    check(&["serve"], "\"serve\" is not a command");
    check(&["--healthcheck=nope"], "--healthcheck: \"nope\" is not live, ready, a path");
    check(&["--port"], "--port needs a value");
    check(&["--provider", "echo", "--port=x"], "--port: \"x\" is not a port number (0-65535)");
    check(&["--provider", "nobody"], "\"nobody\" is not a provider");
}

#[test]
fn all_problems_are_told_at_once() {
    let run = Setup::empty()
        .variable("SERVER_PORT", "99999")
        .variable("LOG_LEVEL", "loud")
        .variable("CCPROXY_IDLE_TIMEOUT", "soon")
        .run();
    assert_eq!(run.code, Some(2));
    for said in [
        "no provider: nothing names one",
        "SERVER_PORT: \"99999\"",
        "LOG_LEVEL: \"loud\"",
        "CCPROXY_IDLE_TIMEOUT: \"soon\"",
    ] {
        assert!(run.stderr.contains(said), "{said}: {}", run.stderr);
    }
}

#[test]
fn a_configuration_is_checked_and_shown_without_secrets() {
    let setup = || {
        Setup::empty()
            .variable("GROQ_API_KEY", KEY)
            .variable("CCPROXY_API_KEY", "client-secret")
            .arguments(&["--check-config"])
    };
    let run = setup().run();
    assert_eq!((run.code, &*run.stderr), (Some(0), ""));
    assert!(run.stdout.contains("provider      groq"), "{}", run.stdout);
    assert!(!run.stdout.contains(KEY) && !run.stdout.contains("client-secret"), "{}", run.stdout);
    let run = setup().variable("SSL_CERT_FILE", "no/such/file").run();
    assert_eq!(run.code, Some(2));
    assert!(
        run.stderr.contains("SSL_CERT_FILE: \"no/such/file\" cannot be read"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_port_in_use_is_told_and_ends_with_1() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("the loopback has a free port");
    let port = taken.local_addr().expect("it is bound").port().to_string();
    for host in ["127.0.0.1", "localhost"] {
        let run =
            Setup::empty().arguments(&["--provider=echo", "--host", host, "--port", &port]).run();
        assert_eq!(run.code, Some(1));
        let said = format!("ccproxy: cannot listen on 127.0.0.1:{port}: ");
        assert!(run.stderr.contains(&said), "{}", run.stderr);
        assert!(run.stderr.contains("choose another port with --port"), "{}", run.stderr);
    }
}

#[test]
fn dotenv_is_read_the_environment_wins_and_options_win_over_both() {
    let file = "# a comment\nPROVIDER=custom\nexport CUSTOM_BASE_URL='http://from-file:1'\nCUSTOM_MODEL=from-file\n";
    let check = |setup: Setup, model: &str| {
        let run = setup.dotenv(file).arguments(&["--check-config"]).run();
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        for line in ["base URL      http://from-file:1/v1", &format!("model         {model}")] {
            assert!(run.stdout.contains(line), "{line}: {}", run.stdout);
        }
    };
    check(Setup::empty(), "from-file");
    check(Setup::empty().variable("CUSTOM_MODEL", "from-env"), "from-env");
    let both = Setup::empty().variable("CUSTOM_MODEL", "from-env");
    check(both.arguments(&["--model", "from-option"]), "from-option");
}

#[test]
fn a_line_of_dotenv_that_is_wrong_is_named() {
    let run = Setup::empty().dotenv("PROVIDER=echo\nPORT 80\n").run();
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains(".env, line 2"), "{}", run.stderr);
}

/// A configuration that is a pipe nobody writes to keeps nobody from ending the server.
#[test]
fn a_reload_that_never_ends_does_not_keep_the_server_from_ending() {
    let file = json!({ "providers": [{ "name": "echo" }] });
    let mut proxy = Setup::file(file).start();
    proxy.replace_file_by_pipe();
    proxy.signal(SIGHUP);
    assert_eq!(Client::fetch_message(&proxy, "hello").status, 200);
    proxy.signal(SIGTERM);
    assert_eq!(proxy.exit(), Some(0));
}
