//! Configuration: flags and variables in, settings or problems out.

use ccproxy::config::http_proxy;
use ccproxy::config::{Config, Environment, LogFormat, ProviderConfig};
use ccproxy::dotenv;
use ccproxy::network::Host;

type Pairs<'a> = &'a [(&'static str, &'a str)];

/// The configuration for these flags and variables, in a place where nobody sets a host.
fn config(flags: Pairs, env: Pairs) -> Result<Config, Vec<String>> {
    let flags: Vec<_> = flags.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Config::new(&flags, &variables(env), "localhost", None).map_err(|problems| problems.0)
}

fn variables(env: Pairs) -> Environment {
    // The first of two counts.
    env.iter().rev().copied().collect()
}

/// Checks one value of the configuration.
fn check(
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
fn shown_headers(provider: &ProviderConfig) -> String {
    let headers = provider.headers.iter();
    headers
        .map(|(name, value)| format!("{name}: {}", value.expose()))
        .collect::<Vec<_>>()
        .join(", ")
}

const ECHO: (&str, &str) = ("PROVIDER", "echo");
const NAMES: &str = "groq, openai, openrouter, xai, gemini, mistral, ollama, deepseek, cerebras, together, \
                     fireworks, zai, moonshot, dashscope, azure, vllm, llamacpp, lmstudio, anthropic, custom, echo";

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
    check(&[], &[key], |c| c.providers[0].images.to_string(), false);
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
        check(&[("images", value)], &[key], |c| c.providers[0].images.to_string(), images);
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

/// Checks what a base URL of `provider` becomes.
fn check_base_url(provider: &str, value: &str, wanted: &str) {
    let variable = format!("{}_BASE_URL", provider.to_ascii_uppercase());
    let variable: &'static str = variable.leak();
    let key: &'static str = format!("{}_API_KEY", provider.to_ascii_uppercase()).leak();
    let model: &'static str = format!("{}_MODEL", provider.to_ascii_uppercase()).leak();
    let env = [("PROVIDER", provider), (key, "k"), (model, "m"), (variable, value)];
    check(&[], &env, |config| config.providers[0].base_url.clone(), wanted);
}

#[test]
fn base_urls_are_taken_in_every_form() {
    for (value, wanted) in [
        ("http://localhost:8000", "http://localhost:8000/v1"),
        ("http://localhost:8000/", "http://localhost:8000/v1"),
        ("http://localhost:8000/v1", "http://localhost:8000/v1"),
        ("http://localhost:8000/v1/", "http://localhost:8000/v1"),
        ("http://localhost:8000/v1/chat/completions", "http://localhost:8000/v1"),
        ("http://localhost:8000/v1/chat/completions/", "http://localhost:8000/v1"),
        ("http://localhost:8000/chat/completions", "http://localhost:8000/v1"),
        ("HTTPS://h/api", "https://h/api/v1"),
        ("https://api.z.ai/api/paas/v4", "https://api.z.ai/api/paas/v4"),
        ("https://r.openai.azure.com/openai/v1/", "https://r.openai.azure.com/openai/v1"),
        ("https://h/compatible-mode/v1", "https://h/compatible-mode/v1"),
        ("https://h/v1beta/openai", "https://h/v1beta/openai"),
        ("https://h/vision", "https://h/vision/v1"),
        ("http://[::1]:8000", "http://[::1]:8000/v1"),
    ] {
        check_base_url("custom", value, wanted);
    }
    let gemini = "https://generativelanguage.googleapis.com/v1beta/openai";
    for value in [
        "https://generativelanguage.googleapis.com",
        "https://generativelanguage.googleapis.com/",
        "https://generativelanguage.googleapis.com/v1beta",
        "https://generativelanguage.googleapis.com/v1beta/openai/",
        "https://generativelanguage.googleapis.com/v1beta/openai/chat/completions",
    ] {
        check_base_url("gemini", value, gemini);
    }
    check_base_url("deepseek", "https://api.deepseek.com", "https://api.deepseek.com/v1");
    check_base_url("groq", "https://api.groq.com", "https://api.groq.com/openai/v1");
    check_base_url("groq", "https://api.groq.com/openai", "https://api.groq.com/openai/v1");
    check_base_url("groq", "http://api.groq.com", "http://api.groq.com/v1");
    check_base_url("ollama", "http://ollama:11434", "http://ollama:11434/v1");
}

#[test]
fn a_host_that_begins_like_the_providers_is_another_host() {
    check_base_url("ollama", "http://localhost", "http://localhost/v1");
    check_base_url("ollama", "http://localhost:1143", "http://localhost:1143/v1");
    check_base_url("deepseek", "https://api.deepseek.co", "https://api.deepseek.co/v1");
    check_base_url("deepseek", "https://api.deepseek.com.cn", "https://api.deepseek.com.cn/v1");
}

#[test]
fn base_urls_that_cannot_be_meant_are_refused() {
    for value in [
        "localhost:8000",
        "h",
        "ftp://h/v1",
        "http://",
        "http:///v1",
        "http://h h/v1",
        "http://h/v1#x",
        "http://h/a path",
        // Each of these may hold a key, which must not show.
        "http://user:hunter2@h/v1",
        "https://hunter2@h",
        "user:hunter2@h/v1",
        "https://h/v1?key=hunter2",
        "https://h/hunter2/v1?a=b",
        "https:/user:hunter2@h/v1",
    ] {
        let env = [("PROVIDER", "custom"), ("CUSTOM_MODEL", "m"), ("CUSTOM_BASE_URL", value)];
        let problems =
            config(&[], &env).map(|config| config.providers[0].base_url.clone()).expect_err(value);
        assert_eq!(problems.len(), 1, "{value:?}: {problems:?}");
        assert!(problems[0].starts_with("CUSTOM_BASE_URL: "), "{value:?}: {problems:?}");
        let hidden = !value.contains("hunter2@") && !value.contains("=hunter2");
        assert!(hidden || !problems[0].contains("hunter2"), "{value:?}: {problems:?}");
    }
}

const PLANTED: &str = "planted-5up3r-secret";

#[test]
fn no_secret_is_shown() {
    let proxy = format!("http://user:{PLANTED}@proxy:3128");
    let env = [
        ("PROVIDER", "groq"),
        ("GROQ_API_KEY", PLANTED),
        ("CCPROXY_API_KEY", PLANTED),
        ("HTTPS_PROXY", &proxy),
    ];
    let config = config(&[], &env).expect("a configuration");
    assert_eq!(config.providers[0].keys.first().map(|key| key.expose()), Some(PLANTED));
    assert_eq!(
        config.providers[0].http_proxy.as_ref().map(|proxy| proxy.url.expose()),
        Some(&*proxy)
    );
    assert!(config.client_keys[0].matches(PLANTED));
    assert!(!config.client_keys[0].matches("planted"));
    for shown in [format!("{config:?}"), format!("{config:#?}"), config.to_string()] {
        assert!(!shown.contains(PLANTED), "{shown}");
        assert!(shown.contains("groq"), "{shown}");
    }
}

#[test]
fn no_secret_is_in_a_problem() {
    let with = |text: &str| text.replace("SECRET", PLANTED);
    for (name, value) in [
        ("GROQ_API_KEY", "SECRET with a space"),
        ("GROQ_API_KEY", "SECRET\u{e9}"),
        ("HTTPS_PROXY", "socks5://user:SECRET@proxy"),
        ("GROQ_BASE_URL", "https://user:SECRET@h"),
        ("GROQ_BASE_URL", "user:SECRET@h"),
        ("GROQ_BASE_URL", "https://h/v1?key=SECRET"),
    ] {
        let value = with(value);
        let env = [(name, &*value), ("PROVIDER", "groq"), ("GROQ_API_KEY", "k")];
        let problems =
            config(&[], &env).map(|config| config.providers[0].base_url.clone()).expect_err(name);
        let text = problems.join("\n");
        assert!(text.starts_with(name) && !text.contains(PLANTED), "{name}: {text}");
    }
}

/// Checks which HTTP proxy leads to `url`.
fn check_proxy(url: &str, env: Pairs, wanted: Option<&str>) {
    let variables = variables(env);
    let chosen = http_proxy::choose(url, &|name| variables.get(name));
    let chosen = chosen.map(|proxy| proxy.map(|proxy| proxy.url.expose().to_owned()));
    assert_eq!(chosen, Ok(wanted.map(str::to_owned)), "{url} {env:?}");
}

#[test]
fn http_proxies_are_chosen_as_curl_does() {
    let (url, plain) = ("https://api.groq.com/openai/v1", "http://api.groq.com/v1");
    check_proxy(url, &[], None);
    check_proxy(url, &[("https_proxy", "http://p:1")], Some("http://p:1"));
    check_proxy(url, &[("HTTPS_PROXY", "http://p:1")], Some("http://p:1"));
    check_proxy(
        url,
        &[("HTTPS_PROXY", "http://big"), ("https_proxy", "http://small")],
        Some("http://small"),
    );
    check_proxy(url, &[("http_proxy", "http://p:1")], None);
    check_proxy(url, &[("ALL_PROXY", "http://p:1")], Some("http://p:1"));
    check_proxy(url, &[("ALL_PROXY", "http://all"), ("https_proxy", "http://p")], Some("http://p"));
    check_proxy(url, &[("https_proxy", "p:3128")], Some("http://p:3128"));
    check_proxy(url, &[("https_proxy", "http://u:pw@p:1")], Some("http://u:pw@p:1"));
    check_proxy(url, &[("https_proxy", "https://p:1")], Some("https://p:1"));
    check_proxy(url, &[("https_proxy", "  ")], None);
    check_proxy(plain, &[("http_proxy", "http://p:1")], Some("http://p:1"));
    check_proxy(plain, &[("https_proxy", "http://p:1")], None);
    // A CGI server sets it from a header of a request.
    check_proxy(plain, &[("HTTP_PROXY", "http://p:1")], None);
    check_proxy("", &[("https_proxy", "http://p:1")], None);
}

#[test]
fn no_proxy_is_read_as_curl_does() {
    let check = |url: &str, no_proxy: &str, direct: bool| {
        let env = [("https_proxy", "http://p"), ("no_proxy", no_proxy)];
        check_proxy(url, &env, (!direct).then_some("http://p"));
    };
    let url = "https://api.groq.com/openai/v1";
    check(url, "api.groq.com", true);
    check(url, "groq.com", true);
    check(url, ".groq.com", true);
    check(url, "GROQ.COM", true);
    check(url, "groq.com.", true);
    check(url, "oq.com", false);
    check(url, "other.org, groq.com", true);
    check(url, "other.org groq.com", true);
    check(url, "*", true);
    check(url, "*.groq.com", false);
    check(url, "localhost,127.0.0.1", false);
    check(url, "", false);
    check("https://10.1.2.3:8000/v1", "10.1.2.3", true);
    check("https://10.1.2.3:8000/v1", "10.0.0.0/8", true);
    check("https://10.1.2.3:8000/v1", "10.2.0.0/16", false);
    check("https://10.1.2.3:8000/v1", "0.0.0.0/0", true);
    check("https://10.1.2.3:8000/v1", "2.3", false);
    check("https://[fd00::1]:8000/v1", "fd00::1", true);
    check("https://[fd00::1]:8000/v1", "[fd00::1]", true);
    check("https://[fd00::1]:8000/v1", "fd00::/16", true);
    check("https://[fd00::1]:8000/v1", "fe80::/16", false);
    let env = [("https_proxy", "http://p"), ("NO_PROXY", "groq.com")];
    check_proxy(url, &env, None);
}

#[test]
fn a_proxy_of_another_kind_is_refused() {
    let env = [("ALL_PROXY", "socks5h://user:secret@p:1080")];
    assert_eq!(
        http_proxy::choose("https://api.groq.com", &|name| variables(&env).get(name)),
        Err(
            "ALL_PROXY: a proxy of the kind socks5h:// is not supported; use http:// or https://, \
             or name the provider's host in NO_PROXY"
                .to_owned()
        )
    );
    let excepted = [env[0], ("NO_PROXY", "groq.com")];
    check_proxy("https://api.groq.com", &excepted, None);
}

/// Checks the assignments in a `.env` file.
fn check_dotenv(text: &str, wanted: Result<&[(&str, &str)], &str>) {
    let owned = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect::<Vec<_>>()
    };
    let got = dotenv::parse(text).map(|assignments| {
        assignments.into_iter().map(|assignment| (assignment.name, assignment.value)).collect()
    });
    assert_eq!(got, wanted.map(owned).map_err(str::to_owned), "{text:?}");
}

#[test]
fn dotenv_files_are_read() {
    check_dotenv("", Ok(&[]));
    check_dotenv("# a comment\n\n  A=b  \r\nC=d", Ok(&[("A", "b"), ("C", "d")]));
    check_dotenv("export A=b", Ok(&[("A", "b")]));
    check_dotenv("A = b", Ok(&[("A", "b")]));
    check_dotenv("A=", Ok(&[("A", "")]));
    check_dotenv("A=b=c", Ok(&[("A", "b=c")]));
    check_dotenv("A=\"b c\" # said", Ok(&[("A", "b c")]));
    check_dotenv("A='b # c'", Ok(&[("A", "b # c")]));
    check_dotenv("A=b # c", Ok(&[("A", "b")]));
    check_dotenv("A=b#c", Ok(&[("A", "b#c")]));
    check_dotenv("A=\"\"", Ok(&[("A", "")]));
    // Of other programs: values of several lines, names of theirs, what a shell passes on.
    check_dotenv("A='b\r\nc' # d\nE=\"f\ng\"", Ok(&[("A", "b\nc"), ("E", "f\ng")]));
    check_dotenv("spring.name=x\nmy-name=y\nexport A\nexport  B=c", Ok(&[("B", "c")]));
    check_dotenv("A=1\nA=2", Ok(&[("A", "1"), ("A", "2")]));
}

#[test]
fn a_value_that_is_only_a_comment_is_empty() {
    check_dotenv("A= # optional", Ok(&[("A", "")]));
    check_dotenv("A=\t# optional", Ok(&[("A", "")]));
    check_dotenv("A=b\t# c", Ok(&[("A", "b")]));
}

#[test]
fn a_byte_order_mark_is_no_part_of_a_name() {
    check_dotenv("\u{feff}A=b", Ok(&[("A", "b")]));
}

#[test]
fn a_line_of_a_dotenv_file_that_is_none_is_named() {
    check_dotenv("A=b\nnonsense", Err("line 2: it is not NAME=value"));
    check_dotenv("A=\"b\nC=\"d\"", Err("line 1: the quote that A begins with is not closed"));
    check_dotenv("=b", Err("line 1: \"\" is not a variable's name"));
    check_dotenv("A B=c", Err("line 1: \"A B\" is not a variable's name"));
}

/// The configuration for a file, with a key for groq in the environment.
fn of_file(file: &str, env: Pairs) -> Result<Config, Vec<String>> {
    let config = Config::new(&[], &variables(env), "localhost", Some(("ccproxy.json", file)));
    config.map_err(|problems| problems.0)
}

#[test]
fn several_providers_can_be_named_in_the_environment() {
    let env = &[("PROVIDER", "groq, ollama"), ("GROQ_API_KEY", "k1,k2"), ("OLLAMA_MODEL", "qwen3")];
    let config = config(&[("model", "of-the-first")], env).expect("a configuration");
    let shown: Vec<String> = config
        .providers
        .iter()
        .map(|provider| format!("{} {} {}", provider.name, provider.model, provider.keys.len()))
        .collect();
    assert_eq!(shown, ["groq of-the-first 2", "ollama qwen3 0"]);
    assert_eq!(config.routes.default.len(), 2);
    let problems = of_file("{}", &[("PROVIDER", "groq,grok"), ("GROQ_API_KEY", "k")]);
    let told = problems.expect_err("grok is none").join("\n");
    assert!(told.starts_with("PROVIDER: \"grok\" is not a provider; did you mean xai?"), "{told}");
}

#[test]
fn the_file_gives_what_the_environment_does_not() {
    let file = r#"{"providers": [
        {"name": "fast", "type": "groq", "api_key": ["$KEY", "${KEY}2"], "model": "m", "max_tokens": 7,
         "images": true, "headers": {"X-Team": "a b"}, "first_byte_timeout": 9.5, "api": "chat"},
        {"name": "groq"}
    ]}"#;
    let bad = of_file(file, &[("KEY", "k1"), ("GROQ_API_KEY", "k")]).expect_err("${KEY}2");
    assert_eq!(
        bad,
        ["ccproxy.json: line 2, column 53: providers.0.api_key: the variable it names is not set"]
    );
    let file = file.replace("${KEY}2", "${KEY}");
    let env = [("KEY", "k1"), ("GROQ_API_KEY", "k"), ("FAST_MODEL", "of-the-environment")];
    let config = of_file(&file, &env).expect("a configuration");
    let fast = &config.providers[0];
    assert_eq!((&*fast.model, fast.max_tokens, fast.images), ("of-the-environment", Some(7), true));
    assert_eq!(shown_headers(fast), "X-Team: a b");
    assert_eq!(fast.keys.len(), 2);
    assert_eq!(format!("{:?}", fast.first_byte_timeout), "9.5s");
    assert_eq!(config.providers[1].keys.len(), 1);
    assert_eq!(config.routes.default.len(), 2);
}

#[test]
fn what_is_wrong_in_the_file_is_told_with_its_place() {
    const PLANTED: &str = "sk-planted-1234567890";
    let env = [("GROQ_API_KEY", "k")];
    for (file, wanted) in [
        ("{", "ccproxy.json: line 1, column 1: EOF while parsing an object"),
        (
            r#"{"provider": []}"#,
            "ccproxy.json: line 1, column 2: unknown field `provider`, expected one of `providers`, `models`, `rules`, `aliases`",
        ),
        (
            r#"{"providers": [{"name": "a b"}]}"#,
            "providers.0.name: \"a b\" is not a name; use letters, digits and -_.",
        ),
        (
            r#"{"providers": [{"name": "mine"}]}"#,
            "providers.0.name: \"mine\" is not a provider; use one of groq,",
        ),
        (
            r#"{"providers": [{"name": "mine", "type": "grok"}]}"#,
            "providers.0.type: \"grok\" is not a provider; did you mean xai?",
        ),
        (
            r#"{"providers": [{"name": "groq"}, {"name": "groq"}]}"#,
            "providers.1.name: \"groq\" is there twice",
        ),
        (
            r#"{"providers": [{"name": "groq", "native": "maybe"}]}"#,
            "providers.0.native: \"maybe\" is not a choice; use auto, on or off",
        ),
        (
            r#"{"providers": [{"name": "groq", "native": "on"}]}"#,
            "GROQ_NATIVE_URL is not set: it is where the Messages API of provider groq is",
        ),
        (
            r#"{"providers": [{"name": "ccproxy", "type": "anthropic"}]}"#,
            "providers.0.name: \"ccproxy\" would read CCPROXY_API_KEY, which is for clients; use another name",
        ),
        (
            r#"{"providers": [{"name": "anthropic", "type": "custom"}]}"#,
            "providers.0.name: \"anthropic\" would read ANTHROPIC_API_KEY, which is for anthropic; use another name",
        ),
        (
            r#"{"providers": [{"name": "google", "type": "custom"}]}"#,
            "providers.0.name: \"google\" would read GOOGLE_API_KEY, which is for gemini; use another name",
        ),
        (
            r#"{"providers": [{"name": "a-b", "type": "ollama"}, {"name": "a.b", "type": "ollama"}]}"#,
            "providers.1.name: \"a.b\" is there twice",
        ),
        (
            r#"{"providers": [{"name": "anthropic", "api_key": "k", "native": "off"}]}"#,
            "providers.0.native: its Messages API is all that this provider has",
        ),
        (
            r#"{"providers": [{"name": "xai", "api_key": ["", " "]}]}"#,
            "XAI_API_KEY is not set: provider xai needs a key",
        ),
        (
            r#"{"providers": [{"name": "xai", "api_key": "$sk-planted-1234567890"}]}"#,
            "providers.0.api_key: the variable it names is not set",
        ),
        (
            r#"{"providers": [{"name": "groq", "api_key": 5}]}"#,
            "ccproxy.json: line 1, column 44: providers.0.api_key: invalid type: integer `5`, expected a text or a list of texts",
        ),
        (
            r#"{"providers": [{"name": "groq", "headers": {"Content-Length": "3"}}]}"#,
            "providers.0.headers.Content-Length: ccproxy sets this header itself",
        ),
        (
            r#"{"providers": [{"name": "groq"}], "aliases": {"fast[1m]": "groq"}}"#,
            "aliases.fast[1m]: [1m] is Claude Code's mark and is taken off; name the alias without it",
        ),
        (
            r#"{"providers": [{"name": "groq"}], "aliases": {"fast": 5}}"#,
            "ccproxy.json: line 1, column 55: aliases.fast: expected a place, a list of places, or an object with `use`",
        ),
        (
            r#"{"providers": [{"name": "groq", "api": "soap"}]}"#,
            "providers.0.api: \"soap\" is not an API of provider groq; use auto, chat or responses",
        ),
        (
            r#"{"providers": [{"name": "groq", "base_url": "ftp://h"}]}"#,
            "providers.0.base_url: ftp:// is not supported; use http:// or https://",
        ),
        (
            r#"{"providers": [{"name": "groq", "headers": {"a b": "c"}}]}"#,
            "providers.0.headers.a b: it is not the name of a header",
        ),
        (
            r#"{"providers": [{"name": "groq"}], "models": {"opus": "gpt-5"}}"#,
            "models.opus: \"gpt-5\" names no provider; use PROVIDER/MODEL with one of groq",
        ),
        (
            r#"{"providers": [{"name": "groq"}], "aliases": {"x": []}}"#,
            "aliases.x: it names no model, such as provider/model",
        ),
        (
            r#"{"providers": [{"name": "groq"}], "rules": {"long_context": {"use": "groq"}}}"#,
            "ccproxy.json: line 1, column 61: rules.long_context: missing field `above_tokens`",
        ),
        (
            r#"{"providers": [{"name": "groq", "max_tokens": "sk-planted-1234567890"}]}"#,
            "ccproxy.json: line 1, column 47: providers.0.max_tokens: invalid type: a string, expected u64",
        ),
        (
            r#"{"providers": [{"name": "custom", "api_key": "sk-planted-1234567890", "base_url": "http://u:sk-planted-1234567890@h"}]}"#,
            "providers.0.base_url: it must not hold a user name or password; the key has its own variable",
        ),
    ] {
        let told = of_file(file, &env).expect_err(file).join("\n");
        let at_its_place = |wanted: &str| {
            let place = told.split_once(wanted).map(|(place, _)| place);
            place.is_some_and(|place| place.starts_with("ccproxy.json: line 1, column "))
        };
        let is_of_file = wanted.starts_with(|c: char| c.is_ascii_lowercase());
        let is_right = if is_of_file && !wanted.starts_with("ccproxy") {
            at_its_place(wanted)
        } else {
            told.starts_with(wanted)
        };
        assert!(is_right, "{file}\n{told}");
        assert!(!told.contains(PLANTED), "{file}");
    }
}

#[test]
fn a_list_without_a_name_is_no_list() {
    let none = config(&[], &[("PROVIDER", " , ")]).expect_err("no provider");
    assert!(none[0].starts_with("no provider: nothing names one"), "{none:?}");
    let file =
        r#"{"providers": [{"name": "Fast", "type": "ollama"}], "models": {"opus": "fast/m"}}"#;
    let config = of_file(file, &[("PROVIDER", ",")]).expect("the file's");
    assert_eq!((config.providers.len(), config.routes.opus.len()), (1, 1));
}

#[test]
fn one_providers_setting_comes_before_that_of_all() {
    let file = r#"{"providers": [{"name": "groq", "first_byte_timeout": 9}, {"name": "ollama"}]}"#;
    let env = [("GROQ_API_KEY", "k"), ("CCPROXY_FIRST_BYTE_TIMEOUT", "20")];
    let config = of_file(file, &env).expect("a configuration");
    let shown: Vec<String> =
        config.providers.iter().map(|p| format!("{:?}", p.first_byte_timeout)).collect();
    assert_eq!(shown, ["9s", "20s"]);
}
