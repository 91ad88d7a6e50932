//! The models that are asked for where nobody names one, and those that somebody still names.

use ccproxy::provider::{Key, PROVIDERS};
use serde_json::json;

use crate::support::client::Client;
use crate::support::proxy::Setup;
use crate::support::upstream::Upstream;

/// What was the default once, by provider.
const FORMER: &[(&str, &str)] = &[
    ("groq", "moonshotai/kimi-k2-instruct"),
    ("openai", "gpt-4o"),
    ("openrouter", "openai/gpt-4o"),
    ("xai", "grok-beta"),
    ("gemini", "gemini-2.0-flash"),
    ("mistral", "mistral-large-latest"),
    ("ollama", "llama3.2"),
    ("deepseek", "deepseek-chat"),
    ("together", "zai-org/GLM-5.2"),
    ("zai", "glm-5.2"),
    ("dashscope", "qwen3.8-max"),
];

#[test]
fn every_service_with_models_of_its_own_has_a_default() {
    // The others have what their user has put there, or Claude's.
    let own = ["azure", "vllm", "lmstudio", "anthropic", "custom"];
    for provider in PROVIDERS.iter().filter(|provider| !own.contains(&provider.name)) {
        assert!(!provider.model.is_empty(), "{}", provider.name);
    }
    for (name, model) in FORMER {
        let row = PROVIDERS.iter().find(|row| row.name == *name).expect("a row");
        assert_ne!(row.model, *model, "{name}");
        // An agent writes files in one call.
        let most = row.max_tokens_of(row.model);
        assert!(most == 0 || most >= 32_768, "{name}: {most}");
        assert_ne!(row.key, Key::Embedded);
    }
}

#[test]
fn a_former_default_that_is_configured_is_sent_as_it_stands() {
    let upstream = Upstream::start();
    for (name, model) in FORMER {
        let proxy = Setup::of(name, model, &upstream).start();
        let mut client = Client::connect(&proxy);
        client.send_whole("hello");
        let mut connection = upstream.accept();
        assert_eq!(connection.request().body["model"], json!(model), "{name}");
        connection.complete("hi");
        assert_eq!(client.answer().status, 200, "{name}");
    }
}
