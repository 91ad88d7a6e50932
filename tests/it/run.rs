//! `ccproxy run`: a client beside the server.

use crate::support::proxy::{Finished, Setup};

fn run(setup: Setup, words: &[&str]) -> Finished {
    setup.arguments(&["run"]).arguments(words).run()
}

fn groq() -> Setup {
    text_log().variable("GROQ_API_KEY", "gsk_of_the_test")
}

fn text_log() -> Setup {
    Setup::empty().variable("LOG_FORMAT", "text")
}

#[test]
fn a_client_is_led_to_the_server_and_told_the_window() {
    let finished = run(groq().variable("ANTHROPIC_API_KEY", "sk-ant-of-the-user"), &["env"]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    for wanted in [
        "ANTHROPIC_BASE_URL=http://127.0.0.1:",
        "ANTHROPIC_AUTH_TOKEN=any\n",
        "CLAUDE_CODE_MAX_CONTEXT_TOKENS=131072\n",
        "CLAUDE_CODE_AUTO_COMPACT_WINDOW=131072\n",
        "CLAUDE_CODE_MAX_OUTPUT_TOKENS=65536\n",
    ] {
        assert!(finished.stdout.contains(wanted), "{wanted}\n{}", finished.stdout);
    }
    assert!(!finished.stdout.contains("ANTHROPIC_API_KEY="), "{}", finished.stdout);
    // The screen is the client's.
    assert_eq!(finished.stderr, "");
}

#[test]
fn what_the_user_has_set_stays_and_a_client_key_is_passed_on() {
    let setup = groq()
        .variable("CLAUDE_CODE_MAX_OUTPUT_TOKENS", "9")
        .variable("CCPROXY_API_KEY", "key-of-the-test,another");
    let finished = run(setup, &["env"]);
    assert!(finished.stdout.contains("CLAUDE_CODE_MAX_OUTPUT_TOKENS=9\n"), "{}", finished.stdout);
    assert!(finished.stdout.contains("CLAUDE_CODE_MAX_CONTEXT_TOKENS=131072\n"));
    assert!(finished.stdout.contains("ANTHROPIC_AUTH_TOKEN=key-of-the-test\n"));
}

#[test]
fn nothing_in_the_environment_leads_the_client_elsewhere() {
    let setup = groq()
        .variable("CLAUDE_CODE_USE_BEDROCK", "1")
        .variable("CLAUDE_CODE_USE_VERTEX", "1")
        .variable("https_proxy", "http://127.0.0.1:9")
        .variable("NO_PROXY", "intranet.example");
    let finished = run(setup, &["env"]);
    assert!(!finished.stdout.contains("CLAUDE_CODE_USE_"), "{}", finished.stdout);
    for wanted in ["NO_PROXY=intranet.example,127.0.0.1\n", "no_proxy=127.0.0.1\n"] {
        assert!(finished.stdout.contains(wanted), "{wanted}\n{}", finished.stdout);
    }
    let finished = run(groq(), &["env"]);
    assert!(!finished.stdout.contains("NO_PROXY"), "{}", finished.stdout);
}

#[test]
fn its_code_is_that_of_the_client_and_its_words_are_the_clients() {
    let finished = run(text_log().variable("PROVIDER", "echo"), &["sh", "-c", "exit 3"]);
    assert_eq!(finished.code, Some(3), "{}", finished.stderr);
    let finished = run(text_log().variable("PROVIDER", "echo"), &["no-such-client"]);
    assert_eq!(finished.code, Some(1));
    assert!(finished.stderr.contains("\"no-such-client\" is not there to be run"));
    // Where nobody has chosen a format, which is JSON here, and the log is off.
    let finished = run(Setup::empty().variable("PROVIDER", "echo"), &["no-such-client"]);
    assert!(finished.stderr.contains("is not there to be run"), "{}", finished.stderr);
    // With Claude Code, which is not installed here.
    let finished =
        run(text_log().variable("PROVIDER", "echo").variable("PATH", "/nowhere"), &["-p", "hi"]);
    assert!(finished.stderr.contains("\"claude\" is not there to be run"), "{}", finished.stderr);
    // What is wrong is told before anything is started.
    let finished = run(Setup::empty(), &["env"]);
    assert_eq!((finished.code, &*finished.stdout), (Some(2), ""));
}

#[test]
fn a_signal_asks_the_client_to_end_and_a_second_one_ends_it() {
    let run = |script: &str| {
        let words = ["run", "sh", "-c", script];
        let process = text_log().variable("PROVIDER", "echo").arguments(&words).spawn();
        process.wait_for_line("the client is there");
        process.signal(libc::SIGTERM);
        process
    };
    let mut obedient = run("echo the client is there >&2; exec tail -f /dev/null");
    assert_eq!(obedient.exit(), Some(128 + libc::SIGTERM));
    let mut saving = run("trap 'exit 7' TERM; echo the client is there >&2; while :; do :; done");
    assert_eq!(saving.exit(), Some(7), "it may take its time");
    let mut deaf = run("trap '' TERM; echo the client is there >&2; exec tail -f /dev/null");
    // Two signals of one kind are one until the first is taken.
    let killed = loop {
        deaf.signal(libc::SIGTERM);
        if let Some(code) = deaf.exit_if_ended() {
            break code;
        }
        std::thread::yield_now();
    };
    assert_eq!(killed, 128 + libc::SIGKILL);
}
