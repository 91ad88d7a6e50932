//! Who leads to other services, in one account.

use crate::provider::*;

// https://openrouter.ai/docs/api-reference/chat-completion; what a model does not take is
// dropped there: https://openrouter.ai/docs/api/reference/parameters
pub(super) const OPENROUTER: Provider = Provider {
    name: "openrouter",
    source: "https://openrouter.ai/docs/api-reference/chat-completion",
    checked: "2026-11-28",
    also: &["open-router"],
    key_prefixes: &["sk-or-"],
    base_url: "https://openrouter.ai/api/v1",
    key_vars: &["OPENROUTER_API_KEY"],
    // A window of a million tokens, 131,072 out (2026-11-28):
    // https://openrouter.ai/z-ai/glm-5.3
    model: "z-ai/glm-5.3",
    limits: &[
        Limits::of(
            &["z-ai/glm-5.2", "z-ai/glm-5.3"],
            1_048_576,
            131_072,
            "https://openrouter.ai/z-ai/glm-5.3",
        ),
        Limits::of(
            &["openai/gpt-6", "openai/gpt-5.4", "openai/gpt-5.5", "openai/gpt-5.6"],
            922_000,
            128_000,
            "https://openrouter.ai/models",
        ),
        Limits::of(&["openai/gpt-5"], 272_000, 128_000, "https://openrouter.ai/models"),
        Limits::of(&["openai/gpt-4o"], 128_000, 16_384, "https://openrouter.ai/models"),
        Limits::of(&["google/gemini-"], 1_048_576, 65_536, "https://openrouter.ai/models"),
        Limits::of(&["moonshotai/kimi-k3"], 1_048_576, 0, "https://openrouter.ai/models"),
    ],
    least_max_tokens: 16,
    effort: EffortField::Reasoning,
    // https://openrouter.ai/docs/use-cases/reasoning-tokens
    efforts: &[Efforts::of(&[""], &["none", "minimal", "low", "medium", "high", "xhigh", "max"])],
    top_k: true,
    files: true,
    echo: Echo::ReasoningDetails,
    // "only guaranteed to work with the Anthropic first-party provider":
    // https://openrouter.ai/docs/cookbook/coding-agents/claude-code-integration
    native: Some("https://openrouter.ai/api"),
    native_models: &["anthropic/"],
    headers: &[("HTTP-Referer", "OPENROUTER_SITE_URL"), ("X-Title", "OPENROUTER_SITE_NAME")],
    ..Provider::COMPATIBLE
};
