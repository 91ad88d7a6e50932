//! Keys, values of headers, proxies and origins of a configuration.

use std::fs;
use std::path::PathBuf;

use ccproxy::config::Config;

use crate::support::client::{Client, message};
use crate::support::proxy::Setup;

/// The configuration for these variables, and the text of a file.
fn config(env: &[(&str, &str)], file: Option<&str>) -> Result<Config, String> {
    Config::new(
        &[],
        &env.iter().copied().collect(),
        "localhost",
        file.map(|text| ("ccproxy.json", text)),
    )
    .map_err(|problems| problems.to_string())
}

#[test]
fn every_printable_character_works_in_a_client_key() {
    let printable: String = ('!'..='~').filter(|c| *c != ',').collect();
    let mut keys = vec![printable.clone(), printable.chars().rev().collect()];
    keys.extend(printable.chars().map(|c| format!("{c}key{c}")));
    keys.extend(["ends/".to_owned(), "//".to_owned(), "two words".to_owned()]);
    let proxy = Setup::echo().variable("CCPROXY_API_KEY", &keys.join(",")).start();
    for key in &keys {
        let headers = [("Content-Type", "application/json"), ("X-Api-Key", &**key)];
        let answer = Client::fetch(&proxy, "POST", "/v1/messages", &headers, &message("hi", false));
        assert_eq!(answer.status, 200, "{key:?}");
    }
    let headers = [("Content-Type", "application/json"), ("X-Api-Key", "ends")];
    Client::fetch(&proxy, "POST", "/v1/messages", &headers, &message("hi", false))
        .error(401, "authentication_error");
}

#[test]
fn a_client_key_that_no_header_can_carry_is_refused() {
    let told = config(&[("PROVIDER", "echo"), ("CCPROXY_API_KEY", "good,schl\u{fc}ssel")], None)
        .expect_err("no header has an umlaut");
    assert!(
        told.contains("CCPROXY_API_KEY: a key is visible ASCII; one of these is not"),
        "{told}"
    );
    assert!(!told.contains("schl"), "{told}");
    let told = config(&[("PROVIDER", "echo"), ("CCPROXY_API_KEY", " , ")], None);
    assert!(told.expect_err("no key").contains("it holds commas and no key"));
}

#[test]
fn values_of_headers_are_not_shown() {
    let file = format!(
        r#"{{"providers": [{{"name": "groq", "api_key": "k", "headers": {{"X-Gateway-Key": "{PLANTED}"}}}}]}}"#
    );
    let config = config(&[], Some(&file)).expect("a configuration");
    assert_eq!(config.providers[0].headers[0].1.expose(), PLANTED);
    for shown in [format!("{config:?}"), format!("{config:#?}"), config.to_string()] {
        assert!(!shown.contains(PLANTED), "{shown}");
    }
}

/// The proxies to the two addresses of a provider.
fn proxies(env: &[(&str, &str)]) -> (Option<String>, Option<String>) {
    let config = config(env, None).expect("a configuration");
    let shown = |proxy: &Option<ccproxy::config::http_proxy::HttpProxy>| {
        proxy.as_ref().map(|proxy| format!("{} {}", proxy.variable, proxy.url.expose()))
    };
    let provider = &config.providers[0];
    (shown(&provider.http_proxy), shown(&provider.native_http_proxy))
}

#[test]
fn no_proxy_is_asked_for_each_address_of_a_provider() {
    let env = |no_proxy| {
        [
            ("PROVIDER", "custom"),
            ("CUSTOM_MODEL", "m"),
            ("CUSTOM_BASE_URL", "http://inside.lan/v1"),
            ("CUSTOM_NATIVE_URL", "https://outside.example"),
            ("http_proxy", "http://plain:1"),
            ("HTTPS_PROXY", "http://tls:2"),
            ("NO_PROXY", no_proxy),
        ]
    };
    let (plain, tls) = (Some("http_proxy http://plain:1"), Some("HTTPS_PROXY http://tls:2"));
    for (no_proxy, wanted) in [
        ("", (plain, tls)),
        ("lan", (None, tls)),
        ("outside.example", (plain, None)),
        ("*", (None, None)),
    ] {
        let (base, native) = proxies(&env(no_proxy));
        assert_eq!((base.as_deref(), native.as_deref()), wanted, "{no_proxy:?}");
    }
}

#[test]
fn a_proxy_that_is_none_is_told_with_its_variable() {
    for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"] {
        for value in
            ["::::", "http://", "http://proxy:port", "http://:3128", "p:0", "a b:1", "http://[::1"]
        {
            let env = [("GROQ_API_KEY", "k"), (name, value)];
            let told = config(&env, None).expect_err(value);
            let wanted =
                format!("{name}: it is not the address of a proxy, such as http://proxy:3128");
            assert_eq!(told.matches(&wanted).count(), 1, "{value}: {told}");
        }
    }
}

#[test]
fn an_origin_that_no_browser_sends_is_refused() {
    let origins = |value: &str| {
        config(&[("PROVIDER", "echo"), ("CORS_ALLOWED_ORIGINS", value)], None)
            .map(|config| config.cors_allowed_origins.join(" "))
    };
    for (value, wanted) in [
        ("https://Example.com/", "https://example.com"),
        ("http://localhost:3000, *", "http://localhost:3000 *"),
        ("null,app://obsidian.md", "null app://obsidian.md"),
        ("chrome-extension://abc", "chrome-extension://abc"),
    ] {
        assert_eq!(origins(value).as_deref(), Ok(wanted), "{value}");
    }
    for (value, wanted) in [
        ("example.com", "\"example.com\" is not an origin; an origin is https://example.com"),
        ("https://*.example.com", "is not an origin; * stands alone, for every origin"),
        ("https://h/app", "is not an origin but a page's address; its origin is https://h"),
        ("https://", "is not an origin"),
        ("https://u@h", "is not an origin"),
        ("://h", "is not an origin"),
    ] {
        let told = origins(value).expect_err(value);
        assert!(told.starts_with("ccproxy: CORS_ALLOWED_ORIGINS: "), "{told}");
        assert!(told.contains(wanted), "{told}");
    }
}

/// A directory with these files, which the test's process has for itself.
fn directory(name: &str, files: &[(&str, &str)]) -> PathBuf {
    let directory =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    fs::create_dir_all(&directory).expect("cargo's directory can be written to");
    for (name, text) in files {
        fs::write(directory.join(name), text).expect("cargo's directory can be written to");
    }
    directory
}

#[test]
fn every_setting_may_be_in_a_file_of_its_own() {
    let directory = directory(
        "secret-files",
        &[
            ("key", "sk-of-a-file\n"),
            ("client", "\tone,two\r\n"),
            ("model", "m-1"),
            ("LOG_LEVEL", "debug"),
        ],
    );
    let path = |name: &str| directory.join(name).to_str().expect("it is a text").to_owned();
    let config = config(
        &[
            ("GROQ_API_KEY_FILE", &path("key")),
            ("GROQ_MODEL_FILE", &path("model")),
            ("CCPROXY_API_KEY_FILE", &path("client")),
            ("CREDENTIALS_DIRECTORY", directory.to_str().expect("it is a text")),
        ],
        None,
    )
    .expect("a configuration");
    let provider = &config.providers[0];
    assert_eq!((&*provider.name, &*provider.model), ("groq", "m-1"));
    assert_eq!(provider.keys[0].expose(), "sk-of-a-file");
    let keys: Vec<&str> = config.client_keys.iter().map(|key| key.expose()).collect();
    assert_eq!(keys, ["one", "two"]);
    assert_eq!(config.log_level, log::LevelFilter::Debug);
    let shown = config.to_string();
    for place in ["GROQ_API_KEY_FILE", "CCPROXY_API_KEY_FILE", "the credential LOG_LEVEL"] {
        assert!(shown.contains(place), "{place}: {shown}");
    }
    assert!(!shown.contains("sk-of-a-file"), "{shown}");
    fs::remove_dir_all(directory).expect("it is the test's");
}

#[test]
fn a_file_that_holds_no_setting_stops_the_start() {
    let directory = directory("no-secrets", &[("empty", " \n"), ("key", PLANTED), ("port", "80a")]);
    fs::write(directory.join("long"), "x".repeat(1 << 20)).expect("it is the test's");
    fs::write(directory.join("bytes"), b"\xff\xfe").expect("it is the test's");
    let path = |name: &str| directory.join(name).to_str().expect("it is a text").to_owned();
    let told = |env: &[(&str, &str)]| config(env, None).expect_err("it is not valid");
    for (file, wanted) in [
        ("none", "cannot be read: No such file"),
        ("", "cannot be read: Is a directory"),
        ("empty", "is empty"),
        ("long", "is longer than the 65536 bytes"),
        ("bytes", "cannot be read: "),
    ] {
        for name in ["GROQ_API_KEY_FILE", "CCPROXY_API_KEY_FILE"] {
            let told = told(&[("PROVIDER", "groq"), ("GROQ_API_KEY", ""), (name, &path(file))]);
            assert!(told.starts_with(&format!("ccproxy: {name}: ")), "{told}");
            assert!(told.contains(wanted), "{told}");
            assert!(!told.contains("GROQ_API_KEY is not set") || name.starts_with("CC"), "{told}");
        }
    }
    let twice = told(&[("GROQ_API_KEY", "k"), ("GROQ_API_KEY_FILE", &path("key"))]);
    assert!(twice.contains("GROQ_API_KEY and GROQ_API_KEY_FILE are both set; use one"), "{twice}");
    let port = told(&[("PROVIDER", "echo"), ("PORT_FILE", &path("port"))]);
    assert!(port.contains("PORT_FILE: \"80a\" is not a port number"), "{port}");
    let typo = told(&[("PROVIDER", "echo"), ("CCPROXY_APIKEY_FILE", &path("key"))]);
    assert!(typo.contains("CCPROXY_APIKEY_FILE is not a setting"), "{typo}");
    fs::remove_dir_all(directory).expect("it is the test's");
}

#[test]
fn the_json_file_names_files_of_secrets() {
    let directory = directory("json-files", &[("key", "sk-of-a-file\n")]);
    let file = |name: &str| {
        let key = format!("$file:{}", directory.join(name).display());
        format!(r#"{{"providers": [{{"name": "groq", "api_key": {key:?}}}]}}"#)
    };
    let valid = config(&[], Some(&file("key"))).expect("a configuration");
    assert_eq!(valid.providers[0].keys[0].expose(), "sk-of-a-file");
    let told = config(&[], Some(&file("none"))).expect_err("there is no such file");
    assert!(told.contains("providers.0.api_key") && told.contains("cannot be read"), "{told}");
    fs::remove_dir_all(directory).expect("it is the test's");
}

#[test]
fn quotes_that_an_env_file_keeps_are_no_part_of_a_value() {
    let env = [("PROVIDER", "'groq'"), ("GROQ_API_KEY", "\"sk-1\""), ("PORT", "\"8080\"")];
    let config = config(&env, None).expect("a configuration");
    assert_eq!((config.providers[0].keys[0].expose(), config.port), ("sk-1", 8080));
}

#[test]
fn a_client_key_in_a_file_is_read_again() {
    let directory = directory("reload-files", &[("keys", "old-key")]);
    let path = directory.join("keys");
    let variable = path.to_str().expect("it is a text");
    let proxy = Setup::echo().variable("CCPROXY_API_KEY_FILE", variable).start();
    let ask = |key: &str| {
        let headers = [("Content-Type", "application/json"), ("X-Api-Key", key)];
        Client::fetch(&proxy, "POST", "/v1/messages", &headers, &message("hi", false)).status
    };
    assert_eq!((ask("old-key"), ask("new-key")), (200, 401));
    fs::write(&path, "new-key").expect("it is the test's");
    proxy.signal(libc::SIGHUP);
    proxy.wait_for_line("read the configuration again: 1 client key");
    assert_eq!((ask("old-key"), ask("new-key")), (401, 200));
    fs::remove_file(&path).expect("it is the test's");
    proxy.signal(libc::SIGHUP);
    let line = proxy.wait_for_line("the configuration stays as it was");
    assert!(line.contains("CCPROXY_API_KEY_FILE"), "{line}");
    assert_eq!(ask("new-key"), 200);
    fs::remove_dir_all(directory).expect("it is the test's");
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
    let config = config(&env, None).expect("a configuration");
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
        let env = [("PROVIDER", "groq"), ("GROQ_API_KEY", "k"), (name, &*value)];
        let text =
            config(&env, None).map(|config| config.providers[0].base_url.clone()).expect_err(name);
        let told = text.starts_with(&format!("ccproxy: {name}"));
        assert!(told && !text.contains(PLANTED), "{name}: {text}");
    }
}
