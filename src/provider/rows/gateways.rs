//! Who leads to other services, in one account.

use super::words::*;
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
    // "a conversation or agent workflow": https://openrouter.ai/docs/api/api-reference/chat
    session: SessionField::Header("x-session-id"),
    // "Alibaba and Anthropic … require you to enable it on a per-message basis":
    // https://openrouter.ai/docs/guides/best-practices/prompt-caching
    cache_control_models: &["anthropic/", "qwen/"],
    // https://openrouter.ai/docs/guides/features/plugins/web-search; Anthropic's own model does it
    // natively.
    search: Search::WebPlugin,
    native_search: true,
    ..Provider::COMPATIBLE
};

// https://vercel.com/docs/ai-gateway/sdks-and-apis/anthropic-messages-api: every model speaks the
// Messages API there.
pub(super) const VERCEL: Provider = Provider {
    name: "vercel",
    source: "https://vercel.com/docs/ai-gateway/sdks-and-apis/openai-chat-completions",
    checked: "2026-11-28",
    also: &["ai-gateway"],
    key_prefixes: &["vck_"],
    shares_prefix: true,
    base_url: "https://ai-gateway.vercel.sh/v1",
    key_vars: &["VERCEL_API_KEY", "AI_GATEWAY_API_KEY"],
    // https://vercel.com/ai-gateway/models/zai/glm-5.3-promo-50 names it (2026-11-29)
    model: "zai/glm-5.3",
    limits: &[Limits::of(
        &["zai/glm-5.2", "zai/glm-5.3"],
        1_048_576,
        131_072,
        "https://vercel.com/ai-gateway/models",
    )],
    // https://vercel.com/docs/ai-gateway/sdks-and-apis/openai-chat-completions/advanced
    effort: EffortField::Reasoning,
    efforts: &[Efforts::of(&[""], &["none", "minimal", "low", "medium", "high", "xhigh"])],
    files: true,
    echo: Echo::ReasoningDetails,
    native: Some("https://ai-gateway.vercel.sh"),
    native_models: &[""],
    ..Provider::COMPATIBLE
};

// https://opencode.ai/docs/zen#endpoints: which API a model speaks depends on whose it is.
pub(super) const OPENCODE: Provider = Provider {
    name: "opencode",
    source: "https://opencode.ai/docs/zen",
    checked: "2026-11-28",
    also: &["opencode-zen", "zen"],
    shares_prefix: true,
    base_url: "https://opencode.ai/zen/v1",
    base_path: "/zen/v1",
    key_vars: &["OPENCODE_API_KEY"],
    model: "glm-5.3",
    model_is_inferred: true,
    limits: &[
        Limits::of(&["glm-5.2", "glm-5.3"], 1_000_000, 131_072, "https://opencode.ai/docs/zen"),
        Limits::of(
            &["gpt-6", "gpt-5.4", "gpt-5.5", "gpt-5.6"],
            922_000,
            128_000,
            "https://opencode.ai/docs/zen",
        ),
    ],
    efforts: OPENCODE_EFFORTS,
    responses_models: &["gpt-"],
    echo: Echo::ReasoningContent,
    native: Some("https://opencode.ai/zen"),
    native_models: &["claude-", "qwen3.5-plus", "qwen3.6-plus", "qwen3.8-flash"],
    tries_efforts: true,
    session: SessionField::Header("x-opencode-session"),
    ..Provider::COMPATIBLE
};

/// What the gateway does not say, the model's own maker does.
const OPENCODE_EFFORTS: &[Efforts] = &[
    Efforts::of(&["glm-5.3"], LOW_HIGH_MAX),
    Efforts::of(&["glm-5.2"], &["high", "max"]),
    Efforts::of(&["kimi-k3"], LOW_HIGH_MAX),
    Efforts { models: &["gpt-6"], words: LOW_TO_XHIGH, beside_tools: false },
    Efforts::of(&["glm-", "kimi-", "minimax-", "mimo-", "qwen", "claude-"], &[]),
];

// https://opencode.ai/docs/go/#where-can-i-use-it: a request without the session is refused.
pub(super) const OPENCODE_GO: Provider = Provider {
    name: "opencode-go",
    source: "https://opencode.ai/docs/go",
    also: &["zen-go"],
    base_url: "https://opencode.ai/zen/go/v1",
    base_path: "/zen/go/v1",
    key_vars: &["OPENCODE_GO_API_KEY"],
    responses_models: &[],
    native: Some("https://opencode.ai/zen/go"),
    native_models: &["minimax-m2.7", "minimax-m3", "qwen3.8-flash"],
    ..OPENCODE
};

// https://huggingface.co/docs/inference-providers/en/tasks/chat-completion: it leads to whoever
// serves a model, by `MODEL:PROVIDER` or its own choice.
pub(super) const HUGGINGFACE: Provider = Provider {
    name: "huggingface",
    source: "https://huggingface.co/docs/inference-providers/en/tasks/chat-completion",
    checked: "2026-11-28",
    also: &["hf", "hugging-face"],
    key_prefixes: &["hf_"],
    shares_prefix: true,
    // Other programs have the token for their downloads.
    by_key: false,
    base_url: "https://router.huggingface.co/v1",
    key_vars: &["HUGGINGFACE_API_KEY", "HF_TOKEN"],
    model: "zai-org/GLM-5.3",
    model_is_inferred: true,
    limits: &[Limits::of(
        &["zai-org/GLM-5.3"],
        1_048_576,
        131_072,
        "https://huggingface.co/zai-org/GLM-5.3",
    )],
    efforts: &[
        Efforts::of(&["zai-org/GLM-5.3"], &["low", "medium", "high", "max"]),
        Efforts::of(&["openai/gpt-oss"], LOW_TO_HIGH),
    ],
    images: false,
    echo: Echo::SameField,
    tries_efforts: true,
    ..Provider::COMPATIBLE
};
