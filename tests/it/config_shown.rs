//! Where settings are from: `--check-config`, the `.env` of a directory, and what is told of it.

use std::fs::OpenOptions;
use std::process::{Command, Stdio};

use ccproxy::config::SETTINGS;
use libc::SIGTERM;
use serde_json::{Value, json};

use crate::support::proxy::Setup;

const DOTENV: &str = "# mine\nGROQ_API_KEY=gsk_planted-secret\nGROQ_MODEL=from-file\n\nDATABASE_URL=postgres://planted-secret\n";

#[test]
fn every_setting_is_shown_with_where_it_is_from() {
    let file = json!({"providers": [{"name": "groq", "max_tokens": 7}]});
    let shown = Setup::file(file)
        .dotenv(DOTENV)
        .variable("CCPROXY_IDLE_TIMEOUT", "30s")
        .variable("CCPROXY_API_KEY", "planted-one,planted-two")
        .arguments(&["--check-config", "--images", "on"])
        .run();
    assert_eq!((shown.code, &*shown.stderr), (Some(0), ""));
    let lines: Vec<Vec<&str>> =
        shown.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    for wanted in [
        "provider groq (default)",
        "base URL https://api.groq.com/openai/v1 (default)",
        "key set (.env line 2, GROQ_API_KEY)",
        "model from-file (.env line 3, GROQ_MODEL)",
        "max tokens 7 (ccproxy.json providers.0.max_tokens)",
        "images on (--images)",
        "first byte 300 s (default)",
        "idle-timeout 30s (environment CCPROXY_IDLE_TIMEOUT)",
        "CCPROXY_API_KEY 2 set (environment CCPROXY_API_KEY)",
        "log-level info (default)",
        "config ccproxy.json (environment CCPROXY_CONFIG)",
    ] {
        let words: Vec<&str> = wanted.split_whitespace().collect();
        assert!(lines.contains(&words), "{wanted}\n{}", shown.stdout);
    }
    assert!(!shown.stdout.contains("planted"), "{}", shown.stdout);
}

#[test]
fn the_same_is_shown_as_json() {
    let setup = || Setup::empty().dotenv(DOTENV).variable("HTTPS_PROXY", "http://u:planted@p:1");
    let shown = setup().arguments(&["--check-config=json", "--port", "1"]).run();
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    assert!(!shown.stdout.contains("planted"), "{}", shown.stdout);
    let json: Value = serde_json::from_str(&shown.stdout).expect("it is JSON");
    let settings = json["settings"].as_array().expect("settings");
    let of = |variable: &str| {
        let found = settings.iter().find(|setting| setting["variable"] == variable);
        found.unwrap_or_else(|| panic!("{variable}: {}", shown.stdout))
    };
    for (variable, value, source, at) in [
        ("GROQ_MODEL", "from-file", ".env", json!(".env line 3")),
        ("GROQ_API_KEY", "set", ".env", json!(".env line 2")),
        ("GROQ_MAX_TOKENS", "what the client asks for", "default", Value::Null),
        ("SERVER_PORT", "1", "flag", json!("--port")),
        ("HTTPS_PROXY", "set", "environment", json!("HTTPS_PROXY")),
        ("CCPROXY_BODY_LIMIT", "33554432", "default", Value::Null),
    ] {
        let setting = of(variable);
        let got = (&setting["value"], &setting["source"], &setting["at"]);
        assert_eq!(got, (&json!(value), &json!(source), &at), "{variable}");
    }
    for setting in SETTINGS {
        of(&setting.variables[0].replace("<P>", "GROQ"));
    }
    let wrong = setup().arguments(&["--check-config=json", "--port", "x"]).run();
    assert_eq!(wrong.code, Some(2));
    let json: Value = serde_json::from_str(&wrong.stdout).expect("it is JSON");
    assert_eq!(json["valid"], json!(false));
    assert_eq!(json["problems"][0], json!("--port: \"x\" is not a port number (0-65535)"));
}

#[test]
fn a_dotenv_file_is_announced_by_names() {
    let proxy = Setup::echo()
        .dotenv("LOG_LEVEL=debug\nCORS_ALLOWED_ORIGINS=https://planted.example\nOTHER=planted\n")
        .start();
    let line = proxy.wait_for_line(".env of this directory sets");
    let wanted = ".env of this directory sets CORS_ALLOWED_ORIGINS, LOG_LEVEL, and 1 more that ccproxy does not read";
    assert!(line.ends_with(wanted), "{line}");
    assert!(!proxy.log().contains("planted"), "{}", proxy.log());
}

#[test]
fn a_dotenv_file_does_not_silence_the_first_start() {
    for level in ["error", "off"] {
        let mut proxy = Setup::echo().dotenv(&format!("LOG_LEVEL={level}\n")).start();
        proxy.wait_for_line("to use it: ANTHROPIC_BASE_URL=");
        proxy.wait_for_line(&format!(
            "from here on the log is at {} (.env line 1, LOG_LEVEL)",
            level.to_uppercase()
        ));
        proxy.signal(SIGTERM);
        assert_eq!(proxy.exit(), Some(0));
        assert!(!proxy.log().contains("shutting down"), "{}", proxy.log());
    }
}

#[test]
fn what_is_wrong_in_a_dotenv_file_is_told_with_its_line() {
    let check = |text: &str, wanted: &str| {
        let run = Setup::empty().dotenv(text).run();
        assert_eq!(run.code, Some(2), "{text}");
        assert!(run.stderr.contains(wanted), "{text}: {}", run.stderr);
    };
    check(
        "\nPROVIDER=\"groq\nPORT=1\n",
        ".env, line 2: the quote that PROVIDER begins with is not closed",
    );
    check("GROQ_API_KEY gsk-x\n", ".env, line 1: it is not NAME=value");
    check("A=b\nPROVIDR: groq\n", ".env, line 2: it is not NAME=value");
    check("PROVIDER=nobody\n", "PROVIDER (.env, line 1): \"nobody\" is not a provider");
    check("PROVIDER=echo\nPORT=80a\n", "PORT (.env, line 2): \"80a\" is not a port number");
    check("PROVIDER=echo\nCCPROXY_APIKEY=x\n", "CCPROXY_APIKEY (.env, line 2) is not a setting");
    check("GROQ_API_KEY=$OTHER\n", "GROQ_API_KEY (.env, line 1): it begins with $");
    check(
        "GROQ_API_KEY=k\nHTTPS_PROXY=socks5://h\n",
        "HTTPS_PROXY (.env, line 2): a proxy of the kind",
    );
    check("GROQ_API_KEY=k\nGROQ_BASE_URL=h\n", "GROQ_BASE_URL (.env, line 2): \"h\" is not a URL");
}

#[test]
fn harmless_commands_do_not_read_a_dotenv_file() {
    for argument in ["--version", "-v", "--help"] {
        let run = Setup::empty().dotenv("nonsense\n").arguments(&[argument]).run();
        assert_eq!((run.code, &*run.stderr), (Some(0), ""), "{argument}");
    }
}

#[test]
fn output_that_cannot_be_written_is_a_failure() {
    for argument in ["--help", "--version", "--check-config"] {
        let full = OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
        let ended = Command::new(env!("CARGO_BIN_EXE_ccproxy"))
            .arg(argument)
            .env_clear()
            .env("PROVIDER", "echo")
            .stdout(full)
            .stderr(Stdio::null())
            .status()
            .expect("cargo has built the program");
        assert_eq!(ended.code(), Some(1), "{argument}");
    }
}

#[test]
fn all_mistakes_of_a_file_are_told_at_once() {
    let file = json!({"port": 80, "providers": [{"name": "groq", "max_tokens": "x", "native": "maybe"}], "models": {"opsu": "groq"}});
    let run = Setup::file(file).variable("GROQ_API_KEY", "k").variable("LOG_LEVEL", "loud").run();
    assert_eq!(run.code, Some(2));
    for wanted in [
        "unknown field `port`, expected one of `providers`, `models`, `rules`, `aliases`; settings are variables: SERVER_PORT or PORT, or --port",
        "providers.0.max_tokens: invalid type: a string, expected u64",
        "providers.0.native: \"maybe\" is not a choice",
        "models: unknown field `opsu`, expected one of `default`, `opus`, `sonnet`, `haiku`, `fable`; did you mean opus?",
        "LOG_LEVEL: \"loud\" is not a level",
    ] {
        let line = run.stderr.lines().find(|line| line.contains(wanted));
        let line = line.unwrap_or_else(|| panic!("{wanted}\n{}", run.stderr));
        let is_of_file = !wanted.starts_with("LOG_LEVEL");
        assert_eq!(
            line.starts_with("ccproxy: ccproxy.json: line 1, column "),
            is_of_file,
            "{line}"
        );
    }
}
