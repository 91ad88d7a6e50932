//! Configuration: flags and variables in, settings or problems out.

use ccproxy::config::{Config, Environment, LogFormat, ProviderConfig};
use ccproxy::network::Host;

pub(crate) type Pairs<'a> = &'a [(&'static str, &'a str)];

/// The configuration for these flags and variables, in a place where nobody sets a host.
pub(crate) fn config(flags: Pairs, env: Pairs) -> Result<Config, Vec<String>> {
    let flags: Vec<_> = flags.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Config::new(&flags, &variables(env), "localhost", None).map_err(|problems| problems.0)
}

pub(crate) fn variables(env: Pairs) -> Environment {
    // The first of two counts.
    env.iter().rev().copied().collect()
}

/// Checks one value of the configuration.
pub(crate) fn check(
    flags: Pairs,
    env: Pairs,
    value: impl Fn(&Config) -> String,
    wanted: impl std::fmt::Display,
) {
    let got = config(flags, env).map(|config| value(&config));
    assert_eq!(got, Ok(wanted.to_string()), "{flags:?} {env:?}");
}

/// Checks that the problems are these, in this order.
fn check_problems(flags: Pairs, env: Pairs, wanted: &[&str]) {
    let got = config(flags, env).map(|config| config.providers[0].name.clone());
    assert_eq!(got, Err(wanted.iter().map(|w| (*w).to_owned()).collect()), "{flags:?} {env:?}");
}

/// The further headers of a provider, with their values.
pub(crate) fn shown_headers(provider: &ProviderConfig) -> String {
    let headers = provider.headers.iter();
    headers
        .map(|(name, value)| format!("{name}: {}", value.expose()))
        .collect::<Vec<_>>()
        .join(", ")
}

const ECHO: (&str, &str) = ("PROVIDER", "echo");

const NAMES: &str = "groq, openai, openrouter, xai, gemini, mistral, ollama, deepseek, cerebras, together, \
                     fireworks, zai, zai-plan, moonshot, kimi-plan, dashscope, qwen-plan, minimax, xiaomi, \
                     volcengine, volcengine-plan, byteplus, byteplus-plan, nvidia, siliconflow, novita, \
                     deepinfra, huggingface, vercel, opencode, opencode-go, azure, bedrock, vertex, vllm, \
                     llamacpp, lmstudio, anthropic, custom, echo";

#[test]
fn the_provider_is_the_one_named_or_the_one_with_a_key() {
    let name = |config: &Config| config.providers[0].name.clone();
    check(&[], &[("PROVIDER", "ollama")], name, "ollama");
    check(&[], &[("PROVIDER", " Ollama ")], name, "ollama");
    check(&[("provider", "echo")], &[("PROVIDER", "groq")], name, "echo");
    check(&[("provider", "ollama"), ("provider", "echo")], &[], name, "echo");
    check(&[], &[("GROQ_API_KEY", "k")], name, "groq");
    check(&[], &[("GOOGLE_API_KEY", "k")], name, "gemini");
    check(&[], &[("OLLAMA_BASE_URL", "http://ollama:11434")], name, "ollama");
    check(&[], &[("CUSTOM_BASE_URL", "http://h"), ("CUSTOM_MODEL", "m")], name, "custom");
    check(&[], &[("GROQ_API_KEY", "k"), ("OPENAI_API_KEY", "")], name, "groq");
    check(
        &[],
        &[("PROVIDER", "groq"), ("GROQ_API_KEY", "k"), ("OPENAI_API_KEY", "k")],
        name,
        "groq",
    );
    check(&[], &[("PROVIDER", ""), ("GROQ_API_KEY", "k")], name, "groq");
}

#[test]
fn what_is_wrong_with_the_provider_is_told() {
    let unknown = |by: &str| format!("{by}: \"nobody\" is not a provider; use one of {NAMES}");
    check_problems(&[], &[("PROVIDER", "nobody")], &[&unknown("PROVIDER")]);
    check_problems(&[("provider", "nobody")], &[("PROVIDER", "echo")], &[&unknown("--provider")]);
    check_problems(
        &[],
        &[("GROQ_API_KEY", "k"), ("XAI_API_KEY", "k")],
        &["more than one provider is configured (groq, xai): set PROVIDER to the one to use, \
           or to several in the order to try them, as in PROVIDER=groq,xai"],
    );
    check_problems(
        &[],
        &[("PROVIDER", "groq")],
        &["GROQ_API_KEY is not set: provider groq needs a key"],
    );
    check_problems(
        &[],
        &[("PROVIDER", "gemini")],
        &["GEMINI_API_KEY or GOOGLE_API_KEY is not set: provider gemini needs a key"],
    );
    check_problems(
        &[],
        &[("PROVIDER", "custom")],
        &[
            "CUSTOM_BASE_URL is not set: provider custom is at the address you name, such as http://localhost:8000/v1",
            "CUSTOM_MODEL is not set: it names the model that answers for Claude's",
        ],
    );
}

#[test]
fn all_problems_are_told_at_once() {
    check_problems(
        &[("port", "http"), ("max-in-flight", "0")],
        &[
            ("PROVIDER", "openai"),
            ("SERVER_HOST", "example.com"),
            ("OPENAI_BASE_URL", "api.openai.com"),
            ("LOG_LEVEL", "loud"),
            ("CCPROXY_IDLE_TIMEOUT", "soon"),
        ],
        &[
            "OPENAI_BASE_URL: \"api.openai.com\" is not a URL; it begins with http:// or https://",
            "OPENAI_API_KEY is not set: provider openai needs a key",
            "SERVER_HOST: \"example.com\" is not an address to listen on; use localhost, ::, 0.0.0.0 or another IP address",
            "--port: \"http\" is not a port number (0-65535)",
            "LOG_LEVEL: \"loud\" is not a level; use off, error, warn, info or debug",
            "--max-in-flight: \"0\" is not a number of messages (1-100000)",
            "CCPROXY_IDLE_TIMEOUT: \"soon\" is not a number of seconds such as 30, 30s, 500ms or 5m (more than 0, up to 86400)",
        ],
    );
    let problems = Config::new(&[("port", "x".to_owned())], &variables(&[ECHO]), "localhost", None);
    assert_eq!(
        problems.expect_err("a port that is none").to_string(),
        "ccproxy: --port: \"x\" is not a port number (0-65535)\nccproxy: --help lists every setting"
    );
}

#[test]
fn settings_have_defaults_of_the_provider() {
    let key = ("GROQ_API_KEY", "k");
    check(&[], &[key], |c| c.providers[0].base_url.clone(), "https://api.groq.com/openai/v1");
    check(&[], &[key], |c| c.providers[0].model.clone(), "openai/gpt-oss-120b");
    check(&[], &[key], |c| c.providers[0].max_tokens_for(&c.providers[0].model).to_string(), 65536);
    check(&[], &[key], |c| c.providers[0].images.of("").to_string(), false);
    check(&[], &[key], |c| c.port.to_string(), 3456);
    check(&[], &[key], |c| format!("{:?}", c.host), "Localhost");
    check(&[], &[key], |c| c.log_level.to_string(), "INFO");
    check(&[], &[key], |c| format!("{:?}", c.log_format), "None");
    check(&[], &[key], |c| format!("{:?}", c.max_in_flight), "None");
    check(&[], &[key], |c| c.body_limit_bytes.to_string(), 33_554_432);
    check(&[], &[key], |c| format!("{:?}", c.connect_timeout), "5s");
    check(&[], &[key], |c| format!("{:?}", c.providers[0].first_byte_timeout), "300s");
    check(&[], &[key], |c| format!("{:?}", c.idle_timeout), "120s");
    check(&[], &[key], |c| format!("{:?}", c.shutdown_timeout), "8s");
    check(&[], &[key], |c| c.client_keys.len().to_string(), 0);
    check(&[], &[ECHO], |c| c.providers[0].base_url.clone(), "");
    check(&[], &[ECHO, ("ECHO_BASE_URL", "x")], |c| c.providers[0].base_url.clone(), "");
}

#[test]
fn settings_are_read() {
    let key = ("GROQ_API_KEY", "k");
    check(&[], &[key, ("GROQ_MODEL", "m")], |c| c.providers[0].model.clone(), "m");
    check(&[("model", "n")], &[key, ("GROQ_MODEL", "m")], |c| c.providers[0].model.clone(), "n");
    check(
        &[],
        &[key, ("OPENAI_MODEL", "m")],
        |c| c.providers[0].model.clone(),
        "openai/gpt-oss-120b",
    );
    check(
        &[],
        &[key, ("GROQ_MAX_TOKENS", "0")],
        |c| c.providers[0].max_tokens_for(&c.providers[0].model).to_string(),
        0,
    );
    for (value, images) in [("on", true), ("TRUE", true), ("1", true), ("no", false)] {
        check(&[("images", value)], &[key], |c| c.providers[0].images.of("").to_string(), images);
    }
    check(&[], &[ECHO, ("PORT", "1"), ("SERVER_PORT", "2")], |c| c.port.to_string(), 2);
    check(&[], &[ECHO, ("PORT", "1"), ("SERVER_PORT", "")], |c| c.port.to_string(), 1);
    check(&[("port", "0")], &[ECHO, ("PORT", "1")], |c| c.port.to_string(), 0);
    let first_byte = |c: &Config| format!("{:?}", c.providers[0].first_byte_timeout);
    check(&[], &[key, ("GROQ_TIMEOUT", "60s")], first_byte, "60s");
    check(&[], &[key, ("CCPROXY_FIRST_BYTE_TIMEOUT", "1.5")], first_byte, "1.5s");
    check(
        &[],
        &[key, ("GROQ_TIMEOUT", "1"), ("CCPROXY_FIRST_BYTE_TIMEOUT", "2")],
        first_byte,
        "1s",
    );
    check(&[], &[ECHO, ("LOG_LEVEL", "Debug")], |c| c.log_level.to_string(), "DEBUG");
    check(
        &[],
        &[ECHO, ("LOG_FORMAT", "JSON")],
        |c| (c.log_format == Some(LogFormat::Json)).to_string(),
        true,
    );
    check(
        &[],
        &[ECHO, ("CORS_ALLOWED_ORIGINS", "http://a/, ,https://b:1")],
        |c| c.cors_allowed_origins.join(" "),
        "http://a https://b:1",
    );
    check(
        &[],
        &[ECHO, ("CCPROXY_API_KEY", "one,, two ")],
        |c| c.client_keys.iter().map(|key| key.expose()).collect::<Vec<_>>().join(" "),
        "one two",
    );
    check(
        &[],
        &[
            ("PROVIDER", "openrouter"),
            ("OPENROUTER_API_KEY", "k"),
            ("OPENROUTER_SITE_URL", "https://me"),
            ("OPENROUTER_SITE_NAME", "My Site"),
        ],
        |c| shown_headers(&c.providers[0]),
        "HTTP-Referer: https://me, X-Title: My Site",
    );
}

#[test]
fn values_out_of_range_are_told() {
    for (name, value, problem) in [
        ("PORT", "65536", "is not a port number (0-65535)"),
        ("PORT", "-1", "is not a port number (0-65535)"),
        ("SERVER_PORT", "80a", "is not a port number (0-65535)"),
        ("ECHO_MAX_TOKENS", "-1", "is not a number of tokens (from 0)"),
        ("ECHO_MAX_TOKENS", "99999999999999999999", "is not a number of tokens (from 0)"),
        ("ECHO_IMAGES", "maybe", "is neither on nor off"),
        ("CCPROXY_MAX_IN_FLIGHT", "100001", "is not a number of messages (1-100000)"),
        (
            "CCPROXY_BODY_LIMIT",
            "1023",
            "is not a number of bytes such as 33554432, 32M or 32MB (1024-1073741824)",
        ),
        (
            "CCPROXY_CONNECT_TIMEOUT",
            "0",
            "is not a number of seconds such as 30, 30s, 500ms or 5m (more than 0, up to 86400)",
        ),
        (
            "CCPROXY_CONNECT_TIMEOUT",
            "NaN",
            "is not a number of seconds such as 30, 30s, 500ms or 5m (more than 0, up to 86400)",
        ),
        (
            "CCPROXY_IDLE_TIMEOUT",
            "inf",
            "is not a number of seconds such as 30, 30s, 500ms or 5m (more than 0, up to 86400)",
        ),
        (
            "CCPROXY_SHUTDOWN_TIMEOUT",
            "-5",
            "is not a number of seconds such as 30, 30s, 500ms or 5m (more than 0, up to 86400)",
        ),
        (
            "ECHO_TIMEOUT",
            "86401",
            "is not a number of seconds such as 30, 30s, 500ms or 5m (more than 0, up to 86400)",
        ),
        ("LOG_FORMAT", "xml", "is not a format; use text or json"),
    ] {
        check_problems(&[], &[ECHO, (name, value)], &[&format!("{name}: {value:?} {problem}")]);
    }
}

#[test]
fn hosts_are_read_in_every_form() {
    let host = |value: &str| {
        config(&[], &[ECHO, ("SERVER_HOST", value)]).map(|config| match config.host {
            Host::Localhost => "localhost".to_owned(),
            Host::Address(address) => address.to_string(),
        })
    };
    for (value, wanted) in [
        ("localhost", "localhost"),
        ("LocalHost", "localhost"),
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "0.0.0.0"),
        ("::", "::"),
        ("[::]", "::"),
        ("[::1]", "::1"),
        ("", "localhost"),
    ] {
        assert_eq!(host(value), Ok(wanted.to_owned()), "{value:?}");
    }
    for value in ["example.com", "0.0.0.0:80", "256.0.0.1", "*", "http://localhost"] {
        assert!(host(value).is_err(), "{value:?}");
    }
    let in_a_container =
        Config::new(&[], &variables(&[ECHO]), "::", None).expect("a configuration");
    assert_eq!(in_a_container.host, Host::Address("::".parse().expect("an address")));
}
