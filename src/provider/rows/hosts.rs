//! Who serves the models of others.

use super::words::*;
use crate::provider::*;

// https://console.groq.com/docs/openai; unknown fields are refused at every level:
// https://github.com/musistudio/llms/pull/64
pub(super) const GROQ: Provider = Provider {
    name: "groq",
    source: "https://console.groq.com/docs/openai",
    checked: "2026-11-28",
    key_prefixes: &["gsk_"],
    base_url: "https://api.groq.com/openai/v1",
    key_vars: &["GROQ_API_KEY"],
    // The one large production model on 2026-11-28, 131,072 tokens in and 65,536 out:
    // https://console.groq.com/docs/models.md
    model: "openai/gpt-oss-120b",
    limits: &[
        Limits::of(&["openai/gpt-oss"], 131_072, 65_536, "https://console.groq.com/docs/models"),
        // https://github.com/anomalyco/models.dev/pull/5742
        Limits::of(
            &["qwen/qwen3.8", "qwen/qwen3.6"],
            131_072,
            16_384,
            "https://console.groq.com/docs/models",
        ),
        Limits::of(&["qwen/qwen3"], 131_072, 40_960, "https://console.groq.com/docs/models"),
        Limits::of(&["groq/compound"], 131_072, 8_192, "https://console.groq.com/docs/models"),
        Limits::of(
            &["moonshotai/kimi-k2"],
            131_072,
            16_384,
            "https://github.com/anomalyco/opencode/issues/1000",
        ),
    ],
    max_tokens_field: MaxTokensField::MaxCompletionTokens,
    // https://github.com/groq/groq-python/blob/main/src/groq/types/chat/completion_create_params.py
    efforts: &[
        Efforts::of(&["openai/gpt-oss"], LOW_TO_HIGH),
        // https://github.com/simstudioai/sim/pull/7851
        Efforts::of(&["qwen/qwen3.8"], NONE_TO_HIGH),
        Efforts::of(&["qwen/qwen3"], &["none", "default"]),
    ],
    max_tools: 128,
    schema: SchemaRules { drops: &["$schema"], ..SchemaRules::ANY },
    // Its default model reads text only, and refuses a message that has parts.
    images: false,
    // https://console.groq.com/docs/vision
    image_exceptions: &["qwen/qwen3.6", "qwen/qwen3.8"],
    // https://console.groq.com/docs/compound: 8,192 tokens out
    search: Search::Model { name: "groq/compound", max_tokens: 8192 },
    ..Provider::COMPATIBLE
};

// https://inference-docs.cerebras.ai/resources/openai; unknown fields are refused at every
// level: https://github.com/huggingface/huggingface.js/pull/2268
pub(super) const CEREBRAS: Provider = Provider {
    name: "cerebras",
    source: "https://inference-docs.cerebras.ai/resources/openai",
    checked: "2026-11-28",
    key_prefixes: &["csk-"],
    base_url: "https://api.cerebras.ai/v1",
    key_vars: &["CEREBRAS_API_KEY"],
    // 40,960 tokens out: https://inference-docs.cerebras.ai/capabilities/reasoning
    model: "gpt-oss-120b",
    limits: &[Limits::of(
        &["gpt-oss"],
        131_072,
        40_960,
        "https://inference-docs.cerebras.ai/models/overview",
    )],
    max_tokens_field: MaxTokensField::MaxCompletionTokens,
    // https://inference-docs.cerebras.ai/capabilities/reasoning
    efforts: &[Efforts::of(&["gpt-oss"], LOW_TO_HIGH), Efforts::of(&["qwen-3.8"], NONE_TO_HIGH)],
    // `reasoning_content` is refused, `reasoning` is taken:
    // https://github.com/Alishahryar1/free-claude-code/issues/1136
    echo: Echo::Reasoning,
    images: false,
    // https://inference-docs.cerebras.ai/api-reference/chat-completions
    session: SessionField::PromptCacheKey,
    ..Provider::COMPATIBLE
};

// https://github.com/togethercomputer/skills/tree/main/skills/together-ai/references/chat-completions
pub(super) const TOGETHER: Provider = Provider {
    name: "together",
    source: "https://docs.together.ai/reference/chat-completions",
    checked: "2026-11-28",
    also: &["togetherai", "together.ai"],
    key_prefixes: &["tgp_"],
    base_url: "https://api.together.xyz/v1",
    key_vars: &["TOGETHER_API_KEY"],
    // A million tokens in; it always thinks (2026-11-28):
    // https://docs.together.ai/docs/glm-5.3-quickstart
    model: "zai-org/GLM-5.3",
    limits: &[Limits::of(
        &["zai-org/GLM-5.2", "zai-org/GLM-5.3"],
        1_048_576,
        0,
        "https://docs.together.ai/docs/glm-5.3-quickstart",
    )],
    efforts: &[
        Efforts::of(&["openai/gpt-oss"], LOW_TO_HIGH),
        Efforts::of(&["zai-org/GLM-5.3"], &["low", "medium", "high", "max"]),
    ],
    // https://docs.together.ai/docs/inference/chat/reasoning
    thinking: ThinkingField::Reasoning,
    thinking_models: &[
        "deepseek-ai/DeepSeek-V4",
        "Qwen/Qwen3.5",
        "Qwen/Qwen3.6",
        "moonshotai/Kimi-K3",
        "zai-org/GLM-5.1",
        "zai-org/GLM-5.2",
    ],
    // "cannot contain spaces, periods, or dashes"
    tool_name: ToolName::WithoutDash,
    top_k: true,
    parallel_tool_calls: false,
    echo: Echo::SameField,
    tries_efforts: true,
    ..Provider::COMPATIBLE
};

// https://github.com/fw-ai-external/python-sdk/blob/main/src/fireworks/types/chat/completion_create_params.py
pub(super) const FIREWORKS: Provider = Provider {
    name: "fireworks",
    source: "https://docs.fireworks.ai/api-reference/post-chatcompletions",
    checked: "2026-11-28",
    also: &["fireworks.ai"],
    key_prefixes: &["fw_"],
    base_url: "https://api.fireworks.ai/inference/v1",
    key_vars: &["FIREWORKS_API_KEY"],
    // A million tokens in: https://github.com/pollinations/pollinations/pull/14103 (2026-11-28)
    model: "accounts/fireworks/models/glm-5p3",
    limits: &[Limits::of(
        &["accounts/fireworks/models/glm-5p3"],
        1_048_576,
        131_072,
        "https://github.com/anomalyco/models.dev/pull/5763",
    )],
    // Usage comes unasked: https://docs.fireworks.ai/tools-sdks/migrate-to-fireworks
    stream_usage: false,
    efforts: &[
        Efforts::of(
            &["accounts/fireworks/models/gpt-oss", "accounts/fireworks/models/minimax"],
            LOW_TO_HIGH,
        ),
        // "none" is refused: https://github.com/earendil-works/pi/issues/8932; the others:
        // https://github.com/anomalyco/models.dev/pull/6237
        Efforts::of(&["accounts/fireworks/models/glm-5p3"], &["low", "medium", "high", "max"]),
        // https://github.com/anomalyco/models.dev/pull/6741
        Efforts::of(&["accounts/fireworks/models/deepseek-v4p1"], &["none", "low", "high", "max"]),
        Efforts::of(
            &[
                "accounts/fireworks/models/glm",
                "accounts/fireworks/models/deepseek",
                "accounts/fireworks/models/kimi",
                "accounts/fireworks/models/qwen",
            ],
            NONE_TO_HIGH,
        ),
    ],
    top_k: true,
    // https://docs.fireworks.ai/guides/reasoning
    echo: Echo::ReasoningContent,
    // https://docs.fireworks.ai/tools-sdks/anthropic-compatibility
    native: Some("https://api.fireworks.ai/inference"),
    native_models: &[""],
    // https://fireworks.ai/docs/guides/prompt-caching
    session: SessionField::Header("x-session-affinity"),
    ..Provider::COMPATIBLE
};

// https://docs.api.nvidia.com/nim/reference/llm-apis; what a model does not take is refused as
// "Unsupported parameter(s)".
pub(super) const NVIDIA: Provider = Provider {
    name: "nvidia",
    source: "https://docs.api.nvidia.com/nim/reference/llm-apis",
    checked: "2026-11-28",
    also: &["nim"],
    key_prefixes: &["nvapi-"],
    shares_prefix: true,
    base_url: "https://integrate.api.nvidia.com/v1",
    key_vars: &["NVIDIA_API_KEY", "NVIDIA_NIM_API_KEY"],
    // Its own, for agents: others come and go there within weeks.
    model: "nvidia/nemotron-3-super-120b-a12b",
    model_is_inferred: true,
    limits: &[
        Limits::of(
            &["nvidia/nemotron-3-super"],
            262_144,
            0,
            "https://docs.docker.com/ai/docker-agent/providers/nvidia/",
        ),
        Limits::of(&["nvidia/nemotron-3-ultra"], 1_000_000, 65_536, "https://models.dev"),
    ],
    // https://build.nvidia.com/nvidia/nemotron-3-super-120b-a12b
    thinking: ThinkingField::ChatTemplate,
    thinking_models: &["nvidia/nemotron-3", "qwen/qwen3.5", "z-ai/glm-"],
    efforts: &[
        Efforts::of(&["openai/gpt-oss"], LOW_TO_HIGH),
        Efforts::of(&["nvidia/", "qwen/", "z-ai/", "meta/"], &[]),
    ],
    echo: Echo::SameField,
    ..Provider::COMPATIBLE
};

// https://docs.siliconflow.com/en/api-reference/chat-completions/chat-completions
pub(super) const SILICONFLOW: Provider = Provider {
    name: "siliconflow",
    source: "https://docs.siliconflow.com/en/api-reference/chat-completions/chat-completions",
    checked: "2026-11-28",
    also: &["silicon"],
    base_url: "https://api.siliconflow.com/v1",
    key_vars: &["SILICONFLOW_API_KEY"],
    // https://www.siliconflow.com/blog/glm-5-3-api-guide
    model: "zai-org/GLM-5.3",
    limits: &[Limits::of(
        &["zai-org/GLM-5.2", "zai-org/GLM-5.3"],
        1_048_576,
        131_072,
        "https://www.siliconflow.com/blog/glm-5-3-api-guide",
    )],
    // https://www.siliconflow.com/blog/glm-5.2-now-on-siliconflow-1m-context-long-horizon-engineering-near-opus-coding
    efforts: &[
        Efforts::of(&["zai-org/GLM-5.2", "zai-org/GLM-5.3"], &["high", "max"]),
        Efforts::of(&["Qwen/", "deepseek-ai/", "zai-org/"], &[]),
    ],
    thinking: ThinkingField::EnableThinking,
    thinking_models: &["Qwen/Qwen3-", "deepseek-ai/DeepSeek-V3", "zai-org/GLM-4", "zai-org/GLM-5V"],
    max_tools: 128,
    top_k: true,
    images: false,
    echo: Echo::ReasoningContent,
    // https://github.com/farion1231/cc-switch
    native: Some(""),
    native_models: &[""],
    tries_efforts: true,
    ..Provider::COMPATIBLE
};

// https://novita.ai/docs/api-reference/model-apis-llm-create-chat-completion
pub(super) const NOVITA: Provider = Provider {
    name: "novita",
    source: "https://novita.ai/docs/api-reference/model-apis-llm-create-chat-completion",
    checked: "2026-11-28",
    also: &["novita.ai", "novita-ai"],
    base_url: "https://api.novita.ai/openai/v1",
    base_path: "/openai/v1",
    key_vars: &["NOVITA_API_KEY"],
    model: "zai-org/glm-5.3",
    limits: &[Limits::of(
        &["zai-org/glm-5.3"],
        1_048_576,
        131_072,
        "https://novita.ai/models/model-detail/zai-org-glm-5.3",
    )],
    efforts: &[Efforts::of(&["zai-org/glm-5.3"], &["low", "medium", "high", "max"])],
    thinking: ThinkingField::EnableThinking,
    thinking_models: &["zai-org/glm-4.5", "deepseek/deepseek-v3.1", "deepseek/deepseek-v3.2-exp"],
    top_k: true,
    images: false,
    echo: Echo::ReasoningContent,
    native: Some("https://api.novita.ai/anthropic"),
    native_models: &[""],
    tries_efforts: true,
    ..Provider::COMPATIBLE
};

// https://docs.deepinfra.com/api-reference/chat-completions/openai-chat-completions
pub(super) const DEEPINFRA: Provider = Provider {
    name: "deepinfra",
    source: "https://docs.deepinfra.com/api-reference/chat-completions/openai-chat-completions",
    checked: "2026-11-28",
    also: &["deep-infra"],
    base_url: "https://api.deepinfra.com/v1/openai",
    base_path: "/v1/openai",
    key_vars: &["DEEPINFRA_API_KEY"],
    model: "zai-org/GLM-5.2",
    model_is_inferred: true,
    limits: &[Limits::of(&["zai-org/GLM-5.2"], 1_048_576, 32_768, "https://models.dev")],
    // https://docs.deepinfra.com/chat/reasoning
    efforts: &[
        Efforts::of(&["openai/gpt-oss"], LOW_TO_HIGH),
        Efforts::of(
            &["zai-org/GLM-5.2", "zai-org/GLM-5.3", "deepseek-ai/DeepSeek-V4"],
            NONE_TO_XHIGH,
        ),
    ],
    thinking: ThinkingField::Reasoning,
    thinking_models: &[
        "zai-org/GLM-4",
        "zai-org/GLM-5.1",
        "moonshotai/Kimi-K2",
        "deepseek-ai/DeepSeek-V3",
    ],
    top_k: true,
    images: false,
    echo: Echo::ReasoningContent,
    native: Some("https://api.deepinfra.com/anthropic"),
    native_models: &[""],
    tries_efforts: true,
    ..Provider::COMPATIBLE
};
