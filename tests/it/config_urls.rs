//! Addresses of providers as they are written, and the HTTP proxy that leads to them.

use ccproxy::config::http_proxy;

use crate::config::{Pairs, check, config, variables};

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
