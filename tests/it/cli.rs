//! The command line.

use ccproxy::cli::{Arguments, Command, Form, help, parse};
use ccproxy::config::SETTINGS;

type Flags<'a> = &'a [(&'static str, &'a str)];

/// Checks what a command line, split at spaces, means.
fn check(line: &str, wanted: Result<(Command, Flags), &str>) {
    let wanted = wanted
        .map(|(command, flags)| Arguments {
            command,
            flags: flags.iter().map(|(flag, value)| (*flag, (*value).to_owned())).collect(),
        })
        .map_err(str::to_owned);
    assert_eq!(parse(line.split_whitespace().map(str::to_owned)), wanted, "{line:?}");
}

#[test]
fn arguments_are_read() {
    check("", Ok((Command::Serve, &[])));
    check("--port 80", Ok((Command::Serve, &[("port", "80")])));
    check("--port=80", Ok((Command::Serve, &[("port", "80")])));
    check("--base-url=http://h/v1?a=b", Ok((Command::Serve, &[("base-url", "http://h/v1?a=b")])));
    check("--port=", Ok((Command::Serve, &[("port", "")])));
    check("--port 80 --port 81", Ok((Command::Serve, &[("port", "80"), ("port", "81")])));
    check("--check-config --host ::", Ok((Command::CheckConfig(Form::Text), &[("host", "::")])));
    check("--check-config=json", Ok((Command::CheckConfig(Form::Json), &[])));
    check("--port 80 -v", Ok((Command::Version, &[("port", "80")])));
    for line in ["--help", "-h", "help", "--port 80 --help", "--help --nonsense"] {
        let flags: Flags = if line.starts_with("--port") { &[("port", "80")] } else { &[] };
        check(line, Ok((Command::Help, flags)));
    }
    for line in ["--version", "-V", "version", "--version --nonsense"] {
        check(line, Ok((Command::Version, &[])));
    }
}

#[test]
fn what_is_not_understood_is_named() {
    check("--prot 80", Err(r#""--prot" is not an option; did you mean --port?"#));
    check("--prot=80", Err(r#""--prot" is not an option; did you mean --port?"#));
    check("--provder echo", Err(r#""--provder" is not an option; did you mean --provider?"#));
    check("--logLevel x", Err(r#""--logLevel" is not an option; did you mean --log-level?"#));
    check("80", Err(r#""80" is not a command or an option"#));
    check("-p 80", Err(r#""-p" is not an option"#));
    check("--", Err(r#""--" is not an option"#));
    check("port 80", Err(r#""port" is not a command or an option; did you mean --port?"#));
    check(
        "healthchek",
        Err(r#""healthchek" is not a command or an option; did you mean --healthcheck?"#),
    );
    check("check", Err(r#""check" is not a command or an option; did you mean --check-config?"#));
    check("serve", Err(r#""serve" is not a command; ccproxy alone serves"#));
    check("--port", Err("--port needs a value"));
    check(
        "--check-config=online",
        Err(r#"--check-config: "online" is not a form; use text or json"#),
    );
    check(
        "--healthcheck=nope",
        Err(r#"--healthcheck: "nope" is not live, ready, a path, or an http:// URL"#),
    );
}

#[test]
fn an_option_does_not_eat_the_next_one() {
    check("--provider --port 80", Err(r#"--provider needs a value, and "--port" is an option"#));
    check("--provider=--port", Ok((Command::Serve, &[("provider", "--port")])));
    check("--max-tokens -1", Ok((Command::Serve, &[("max-tokens", "-1")])));
}

#[test]
fn a_key_is_never_an_argument() {
    // Arguments show in `ps`, and an error about one would show it in a log.
    check("--api-key=sk-secret", Err(r#""--api-key" is not an option"#));
    let keys = SETTINGS.iter().filter(|s| s.variables.iter().any(|v| v.ends_with("API_KEY")));
    assert!(keys.clone().count() >= 2);
    assert!(keys.clone().all(|setting| setting.flag.is_empty()));
}

#[test]
fn help_shows_every_setting() {
    // Lines are broken anywhere.
    let help = help().split_whitespace().collect::<Vec<_>>().join(" ");
    for setting in SETTINGS {
        if !setting.flag.is_empty() {
            assert!(help.contains(&format!(" --{}, ", setting.flag)), "--{}", setting.flag);
        }
        for variable in setting.variables {
            assert!(help.contains(variable), "{variable}");
        }
        assert!(help.contains(setting.doc), "{}", setting.doc);
        if !setting.default.is_empty() {
            let default = format!("(default: {})", setting.default);
            assert!(help.contains(&format!("{} {default}", setting.doc)), "{default}");
        }
    }
    assert!(
        help.contains(" ANTHROPIC_BASE_URL=http://localhost:3456 ANTHROPIC_AUTH_TOKEN=any claude ")
    );
    for option in ["--check-config", "--help", "--version"] {
        assert!(help.contains(option), "{option}");
    }
}

#[test]
fn every_flag_is_read() {
    for setting in SETTINGS.iter().filter(|setting| !setting.flag.is_empty()) {
        check(&format!("--{} x", setting.flag), Ok((Command::Serve, &[(setting.flag, "x")])));
    }
}

#[test]
fn help_fits_a_terminal_and_begins_with_what_a_newcomer_needs() {
    let help = help();
    for line in help.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    let place = |text: &str| help.find(text).unwrap_or_else(|| panic!("{text}:\n{help}"));
    let first = place("To begin with:");
    let next = place("The provider:");
    for name in ["--provider,", "<P>_API_KEY", "--model,", "--port,", "CCPROXY_API_KEY"] {
        assert!((first..next).contains(&place(&format!("  {name}"))), "{name}");
    }
    assert!(place("ccproxy --provider echo") < first);
}
