//! Several providers, in the environment or in the file, and what is wrong with the file.

use ccproxy::config::Config;

use crate::config::{Pairs, config, shown_headers, variables};

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
    assert_eq!(
        (&*fast.model, fast.max_tokens, fast.images.of("")),
        ("of-the-environment", Some(7), true)
    );
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
