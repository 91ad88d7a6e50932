//! Names that are almost settings, and values that are almost values.

use ccproxy::config::{Config, Problems};

use crate::support::proxy::Setup;

type Pairs<'a> = &'a [(&'a str, &'a str)];

fn config(env: Pairs) -> Result<Config, Problems> {
    Config::new(&[], &env.iter().copied().collect(), "localhost", None)
}

/// Checks that what is wrong with the variable, beside `echo` and `groq`, is told with `wanted`.
fn check_refused(name: &str, value: &str, wanted: &str) {
    let env = [("PROVIDER", "groq,echo"), ("GROQ_API_KEY", "k"), (name, value)];
    let Problems(told) = config(&env).expect_err(name);
    assert_eq!(told.len(), 1, "{name}: {told:?}");
    assert!(told[0].contains(name) && told[0].contains(wanted), "{name}: {told:?}");
}

/// Checks that a variable does not stop the start, and what is said of it.
fn check_taken(name: &str, value: &str, warned: Option<&str>) {
    let env = [("PROVIDER", "groq,ollama"), ("GROQ_API_KEY", "k"), (name, value)];
    let config = config(&env).unwrap_or_else(|problems| panic!("{name}: {problems}"));
    match warned {
        None => assert!(config.warnings.is_empty(), "{name}: {:?}", config.warnings),
        Some(part) => assert!(config.warnings[0].contains(part), "{name}: {:?}", config.warnings),
    }
}

#[test]
fn a_variable_that_nobody_reads_is_refused_with_what_was_meant() {
    for (name, meant) in [
        ("CCPROXY_APIKEY", "did you mean CCPROXY_API_KEY?"),
        ("CCPROXY_API_KEYS", "did you mean CCPROXY_API_KEY?"),
        ("CCPROXY_APIKEY_FILE", "did you mean CCPROXY_API_KEY_FILE?"),
        ("ccproxy_api_key", "did you mean CCPROXY_API_KEY?"),
        ("CCPROXY_MAX_INFLIGHT", "did you mean CCPROXY_MAX_IN_FLIGHT?"),
        ("CCPROXY_RATELIMIT", "did you mean CCPROXY_RATE_LIMIT?"),
        ("CCPROXY_LOG_LEVEL", "did you mean LOG_LEVEL?"),
        ("CCPROXY_PORT", "did you mean SERVER_PORT?"),
        ("CCPROXY_SOMETHING_ELSE", "is not a setting; --help lists those of ccproxy"),
        ("GROQ_MODLE", "did you mean GROQ_MODEL?"),
        ("GROQ_APIKEY", "did you mean GROQ_API_KEY?"),
        ("GROQ_TEMPERATURE", "provider groq has GROQ_API_KEY, GROQ_BASE_URL"),
        ("ECHO_MODLE", "did you mean ECHO_MODEL?"),
        ("LOGLEVEL", "did you mean LOG_LEVEL?"),
        ("LOG_LEVL", "did you mean LOG_LEVEL?"),
        ("SERVERPORT", "did you mean SERVER_PORT?"),
        ("SERVER_PROT", "did you mean SERVER_PORT?"),
        ("PROVIDERS", "did you mean PROVIDER?"),
        ("CORS_ALLOWED_ORIGIN", "did you mean CORS_ALLOWED_ORIGINS?"),
    ] {
        check_refused(name, "x", meant);
    }
}

#[test]
fn variables_of_others_are_left_alone() {
    for name in [
        "HOME",
        "PATH",
        "HOST",
        "PORTS",
        "LANG",
        "LOG",
        "LOGNAME",
        "SSL_CERT_DIR",
        "HTTP_PROXY",
        "ANTHROPIC_BASE_URL",
        "ANTHROPIC_AUTH_TOKEN",
        "OPENAI_API_KEY",
        "OPENAI_MODLE",
        "CCPROXY_BIN",
        "CCPROXY_BINARY",
        "SERVER_NAME",
        "SERVER_SOFTWARE",
    ] {
        check_taken(name, "x", None);
    }
    // Ollama's own, where ollama is configured.
    check_taken("OLLAMA_HOST", "0.0.0.0", Some("OLLAMA_HOST means nothing to ccproxy"));
    check_taken("OLLAMA_KEEP_ALIVE", "1h", Some("OLLAMA_KEEP_ALIVE means nothing to ccproxy"));
}

#[test]
fn kubernetes_names_services_by_variables_that_look_like_settings() {
    for (name, value) in [
        ("CCPROXY_PORT", "tcp://10.0.0.1:3456"),
        ("CCPROXY_SERVICE_HOST", "10.0.0.1"),
        ("CCPROXY_SERVICE_PORT", "3456"),
        ("CCPROXY_SERVICE_PORT_HTTP", "3456"),
        ("CCPROXY_PORT_3456_TCP", "tcp://10.0.0.1:3456"),
        ("CCPROXY_PORT_3456_TCP_PROTO", "tcp"),
        ("CCPROXY_PORT_3456_TCP_PORT", "3456"),
        ("CCPROXY_PORT_3456_TCP_ADDR", "10.0.0.1"),
        ("CCPROXY_PORT_53_UDP", "udp://10.0.0.1:53"),
        ("CCPROXY_METRICS_PORT", "tcp://10.0.0.1:9090"),
        ("CCPROXY_API_KEY_SERVICE_HOST", "10.0.0.1"),
        ("GROQ_PORT", "tcp://10.0.0.1:80"),
        ("GROQ_SERVICE_HOST", "10.0.0.1"),
        ("SERVER_SERVICE_HOST", "10.0.0.1"),
    ] {
        check_taken(name, value, None);
    }
    let env = [
        ("PROVIDER", "echo"),
        ("SERVER_PORT", "tcp://10.0.0.1:80"),
        ("SERVER_PORT_80_TCP", "tcp://10.0.0.1:80"),
    ];
    let started = config(&env).expect("a Service is called server");
    assert_eq!(started.port, 3456);
    assert!(started.warnings[0].starts_with("SERVER_PORT is ignored"), "{:?}", started.warnings);
    let started = config(&[env[0], env[1], ("PORT", "8080")]).expect("a port");
    assert_eq!((started.port, started.warnings.len()), (8080, 1));
}

#[test]
fn a_provider_is_found_by_what_people_call_it() {
    for (name, meant) in [
        ("grok", "xai"),
        ("grok-4", "xai"),
        ("claude", "anthropic"),
        ("google", "gemini"),
        ("kimi", "moonshot"),
        ("qwen", "dashscope"),
        ("llama.cpp", "llamacpp"),
        ("opnai", "openai"),
        ("open-router", "openrouter"),
        ("olama", "ollama"),
    ] {
        let Problems(told) = config(&[("PROVIDER", name)]).expect_err(name);
        let wanted = format!("PROVIDER: {name:?} is not a provider; did you mean {meant}?");
        assert!(told[0].starts_with(&wanted), "{told:?}");
    }
}

#[test]
fn without_a_provider_the_shortest_ways_are_told_first() {
    let told = |env: Pairs| config(env).expect_err("no provider").to_string();
    let text = told(&[]);
    let place = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part}: {text}"));
    assert!(place("ccproxy --provider echo") < place("GROQ_API_KEY=… ccproxy"));
    assert!(place("GROQ_API_KEY=… ccproxy") < place("groq, openai, openrouter"));
    for line in text.lines() {
        assert!(line.chars().count() <= 100, "{line}");
    }
    let seen = told(&[("ANTHROPIC_API_KEY", "sk-ant-secret")]);
    for part in ["ANTHROPIC_API_KEY is set, but chooses no provider", "PROVIDER=anthropic"] {
        assert!(seen.contains(part), "{seen}");
    }
    assert!(!seen.contains("sk-ant-secret"));
    let nearly = told(&[("GROK_API_KEY", "k")]);
    assert!(
        nearly.contains("GROK_API_KEY is set, which is not a setting; did you mean GROQ_API_KEY?"),
        "{nearly}"
    );
    let file =
        Config::new(&[], &[("A", "b")].into_iter().collect(), "localhost", Some(("my.json", "{}")));
    let told = file.expect_err("an empty file").to_string();
    assert!(told.contains("my.json has no \"providers\" either"), "{told}");
}

#[test]
fn numbers_have_units_and_nothing_else() {
    let time = |value: &str| {
        config(&[("PROVIDER", "echo"), ("CCPROXY_IDLE_TIMEOUT", value)]).map(|c| c.idle_timeout)
    };
    for (value, millis) in [("30s", 30_000), ("5m", 300_000), ("500ms", 500), ("1h", 3_600_000)] {
        assert_eq!(time(value).map(|time| time.as_millis()), Ok(millis), "{value}");
    }
    for value in ["1e3", "+5", "0", "0x10", "1 week", "25h"] {
        check_refused("CCPROXY_IDLE_TIMEOUT", value, "is not a number of seconds such as 30, 30s");
    }
    for value in ["32M", "32MB", "32MiB", "33554432"] {
        let read = config(&[("PROVIDER", "echo"), ("CCPROXY_BODY_LIMIT", value)]);
        assert_eq!(read.map(|config| config.body_limit_bytes), Ok(32 << 20), "{value}");
    }
    for value in ["1e9", "+4096", "32 bananas"] {
        check_refused(
            "CCPROXY_BODY_LIMIT",
            value,
            "is not a number of bytes such as 33554432, 32M",
        );
    }
    for (name, value) in [("PORT", "+80"), ("GROQ_MAX_TOKENS", "1e3"), ("CCPROXY_RATE_LIMIT", "+5")]
    {
        check_refused(name, value, "is not a");
    }
}

#[test]
fn what_only_stands_for_a_key_is_none() {
    for (key, wanted) in [
        ("${OTHER}", "it begins with $"),
        ("$OTHER", "it begins with $"),
        ("'gsk_quoted", "it begins with a quote"),
        ("your-api-key-here", "it only stands for a key"),
        ("YOUR_API_KEY", "it only stands for a key"),
        ("<key>", "it only stands for a key"),
        ("gsk_good,your-second", "it only stands for a key"),
    ] {
        let Problems(told) = config(&[("GROQ_API_KEY", key)]).expect_err(key);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with(&format!("GROQ_API_KEY: {wanted}")), "{told:?}");
        assert!(!told[0].contains(key), "{told:?}");
    }
}

#[test]
fn a_key_that_goes_to_the_wrong_place_is_warned_of() {
    let warnings = |env: Pairs| config(env).expect("a configuration").warnings.join("\n");
    let told = warnings(&[("GROQ_API_KEY", "sk-or-v1-secret")]);
    assert!(told.starts_with("GROQ_API_KEY begins like a key of openrouter"), "{told}");
    assert!(!told.contains("secret"), "{told}");
    assert_eq!(warnings(&[("GROQ_API_KEY", "gsk_x")]), "");
    assert_eq!(
        warnings(&[("GROQ_API_KEY", "sk-or-x"), ("GROQ_BASE_URL", "https://gate.example")]),
        ""
    );
    let at = |url: &str| {
        warnings(&[
            ("PROVIDER", "custom"),
            ("CUSTOM_MODEL", "m"),
            ("CUSTOM_API_KEY", "k"),
            ("CUSTOM_BASE_URL", url),
        ])
    };
    for url in ["http://api.example.com/v1", "http://8.8.8.8/v1", "http://[2001:db8::1]:80"] {
        let told = at(url);
        assert!(told.contains("in clear text") && told.contains("custom"), "{url}: {told}");
    }
    for url in [
        "https://api.example.com/v1",
        "http://localhost:8000",
        "http://10.1.2.3",
        "http://[::1]:8000",
        "http://vllm:8000",
        "http://gpu.lan:8000",
        "http://llm.default.svc.cluster.local",
        "http://host.docker.internal:1",
        "http://192.168.1.5:11434",
        "http://100.64.1.1",
    ] {
        assert_eq!(at(url), "", "{url}");
    }
}

#[test]
fn an_option_that_is_given_twice_is_told() {
    let setup =
        |second| Setup::empty().arguments(&["--check-config", "--provider", "groq", second]);
    let run = setup("--provider=echo").run();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let wanted = "--provider is given twice: \"echo\" counts, \"groq\" does not";
    assert!(run.stderr.contains(wanted), "{}", run.stderr);
}

#[test]
fn a_typo_stops_the_start_and_a_wrong_option_is_told_once() {
    let run = Setup::echo().variable("CCPROXY_APIKEY", "secret-of-mine").run();
    assert_eq!(run.code, Some(2));
    let wanted = "CCPROXY_APIKEY is not a setting; did you mean CCPROXY_API_KEY?";
    assert!(run.stderr.contains(wanted), "{}", run.stderr);
    assert!(!run.stderr.contains("secret-of-mine"), "{}", run.stderr);
    let run = Setup::empty().arguments(&["--provder", "echo"]).run();
    assert_eq!((run.code, run.stderr.matches("--help").count()), (Some(2), 1), "{}", run.stderr);
}
