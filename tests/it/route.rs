//! Where messages go: names, rules, tiers and aliases.

use ccproxy::config::{Config, Environment};
use ccproxy::provider::Images;
use ccproxy::route::{Asked, Known, Routes};

/// `provider/model` of every hop, and what decided; the providers' own model is `-`.
fn show(routes: &Routes, requested: &str, asked: Asked) -> String {
    let route = routes.choose(requested, asked);
    let hops: Vec<String> = route
        .hops
        .iter()
        .map(|hop| {
            let name = &routes.providers[hop.provider].name;
            format!("{name}/{}", hop.model.unwrap_or("-"))
        })
        .collect();
    format!("{} by {}", hops.join(" "), route.by)
}

/// The routes of a configuration file.
fn routes(file: &str) -> Routes {
    let config =
        Config::new(&[], &Environment::default(), "localhost", Some(("ccproxy.json", file)));
    config.expect("a configuration").routes
}

const SEVERAL: &str = r#"{
    "providers": [
        {"name": "groq", "api_key": "k1", "model": "openai/gpt-oss-120b"},
        {"name": "local", "type": "ollama"},
        {"name": "gemini", "api_key": "k2"}
    ],
    "models": {"default": ["groq", "local"], "opus": "gemini/gemini-3-pro", "haiku": "local,qwen3"},
    "rules": {
        "long_context": {"above_tokens": 1000, "use": "gemini"},
        "background": "local/tiny",
        "images": "gemini/eyes",
        "web_search": ["groq/compound", "gemini"]
    },
    "aliases": {
        "kimi": {"use": ["groq/moonshotai/kimi-k2", "gemini"], "display_name": "Kimi"},
        "claude-cheap": "local"
    }
}"#;

#[test]
fn models_of_claude_mean_the_configured_one() {
    let known =
        Known { name: "groq".to_owned(), model: "m".to_owned(), images: Images::all(false) };
    let routes = Routes::in_order(vec![known]);
    for (requested, wanted) in [
        ("claude-opus-5-5", "groq/- by default"),
        ("claude-opus-5-5[1m]", "groq/- by default"),
        ("us.anthropic.claude-haiku-5-5", "groq/- by default"),
        ("Opus", "groq/- by default"),
        ("default", "groq/- by default"),
        ("", "groq/- by default"),
        // Not the provider openai, which is not configured.
        ("openai/gpt-oss-120b", "groq/openai/gpt-oss-120b by name"),
        ("groq/openai/gpt-oss-120b", "groq/openai/gpt-oss-120b by name"),
        ("groq,openai/gpt-oss-120b", "groq/openai/gpt-oss-120b by name"),
        ("groq", "groq/- by name"),
        ("qwen3[1m]", "groq/qwen3 by name"),
    ] {
        assert_eq!(show(&routes, requested, Asked::default()), wanted, "{requested:?}");
    }
}

#[test]
fn names_come_before_rules_and_rules_before_tiers() {
    let routes = routes(SEVERAL);
    let plain = Asked { has_tools: true, ..Asked::default() };
    let long = Asked { input_tokens: 1001, ..plain };
    let untooled = Asked::default();
    let search = Asked { web_search: true, ..long };
    for (requested, asked, wanted) in [
        ("claude-sonnet-5-5", plain, "groq/- local/- by default"),
        ("claude-opus-5-5", plain, "gemini/gemini-3-pro by opus"),
        ("claude-opus-5-5", Asked { input_tokens: 1000, ..plain }, "gemini/gemini-3-pro by opus"),
        ("claude-opus-5-5", long, "gemini/- by long_context"),
        ("claude-opus-5-5", search, "groq/compound gemini/- by web_search"),
        ("claude-haiku-5-5", plain, "local/qwen3 by haiku"),
        ("claude-haiku-5-5", untooled, "local/tiny by background"),
        ("kimi", long, "groq/moonshotai/kimi-k2 gemini/- by alias"),
        ("claude-kimi[1m]", plain, "groq/moonshotai/kimi-k2 gemini/- by alias"),
        ("claude-cheap", plain, "local/- by alias"),
        ("local/llama3.2", long, "local/llama3.2 by name"),
        // A name that nobody has configured is the first provider's, and the others do what they can.
        ("llama-3.3-70b", long, "groq/llama-3.3-70b local/- by name"),
    ] {
        assert_eq!(show(&routes, requested, asked), wanted, "{requested:?} {asked:?}");
    }
}

#[test]
fn pictures_go_to_a_model_that_sees() {
    let with = Asked { images: true, has_tools: true, ..Asked::default() };
    // groq's row reads text only.
    assert_eq!(show(&routes(SEVERAL), "sonnet", with), "gemini/eyes by images");
    assert_eq!(show(&routes(SEVERAL), "claude-opus-5-5", with), "gemini/gemini-3-pro by opus");
    let without_rule = SEVERAL.replace(r#""images": "gemini/eyes","#, "");
    assert_eq!(show(&routes(&without_rule), "sonnet", with), "local/- groq/- by default");
}
