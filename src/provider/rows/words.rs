//! What several rows have in common.

use crate::provider::{Efforts, Limits, SchemaRules};

/// The efforts that most services know.
pub(in crate::provider) const LOW_TO_HIGH: &[&str] = &["low", "medium", "high"];
pub(in crate::provider) const NONE_TO_HIGH: &[&str] = &["none", "low", "medium", "high"];
pub(in crate::provider) const NONE_TO_XHIGH: &[&str] = &["none", "low", "medium", "high", "xhigh"];
pub(in crate::provider) const LOW_TO_XHIGH: &[&str] = &["low", "medium", "high", "xhigh"];
pub(in crate::provider) const LOW_HIGH_MAX: &[&str] = &["low", "high", "max"];
pub(in crate::provider) const NONE_TO_MAX: &[&str] =
    &["none", "low", "medium", "high", "xhigh", "max"];

/// OpenAI's models, at OpenAI and at Azure; `none` and `minimal` exclude each other.
/// <https://github.com/openai/openai-python/blob/main/src/openai/types/shared/reasoning_effort.py>
///
/// "Function tools with reasoning_effort are not supported … in /v1/chat/completions", from gpt-5.4
/// on: <https://github.com/pipecat-ai/pipecat/issues/4043>,
/// <https://github.com/BerriAI/litellm/pull/34569>
pub(in crate::provider) const OPENAI_EFFORTS: &[Efforts] = &[
    Efforts::of(&["gpt-5-chat", "gpt-5.1-chat", "gpt-5.2-chat"], &[]),
    Efforts::of(&["gpt-5-pro"], &["high"]),
    Efforts::of(&["gpt-5.1-codex-max", "gpt-5.2-codex", "gpt-5.3-codex"], LOW_TO_XHIGH),
    Efforts::of(&["gpt-5-codex", "gpt-5.1-codex", "codex-mini"], LOW_TO_HIGH),
    Efforts { models: &["gpt-5.6"], words: NONE_TO_MAX, beside_tools: false },
    Efforts { models: &["gpt-5.4", "gpt-5.5"], words: NONE_TO_XHIGH, beside_tools: false },
    Efforts::of(&["gpt-5.2"], NONE_TO_XHIGH),
    Efforts::of(&["gpt-5.1"], NONE_TO_HIGH),
    Efforts::of(&["gpt-5"], &["minimal", "low", "medium", "high"]),
    Efforts { models: &["gpt-6-sol", "gpt-6-luna"], words: NONE_TO_MAX, beside_tools: false },
    // It cannot stop reasoning: https://github.com/genkit-ai/genkit/pull/6303
    Efforts {
        models: &["gpt-6"],
        words: &["low", "medium", "high", "xhigh", "max"],
        beside_tools: false,
    },
    Efforts::of(&["o1", "o3", "o4"], LOW_TO_HIGH),
    Efforts::of(&["gpt-3", "gpt-4", "chatgpt-"], &[]),
];

/// Models that have reasoning beside tools, or are at all, only in the Responses API:
/// <https://github.com/alvinunreal/tmuxai/issues/82>
pub(in crate::provider) const OPENAI_RESPONSES: &[&str] = &[
    "gpt-5.4",
    "gpt-5.5",
    "gpt-5.6",
    "gpt-6",
    "gpt-5-pro",
    "gpt-5.2-pro",
    "gpt-5-codex",
    "gpt-5.1-codex",
    "gpt-5.2-codex",
    "gpt-5.3-codex",
    "codex-mini",
    "o1-pro",
    "o3-pro",
];

/// "Preserve and resend phase on all assistant messages", from gpt-5.3-codex on:
/// <https://github.com/openai/openai-python/blob/main/src/openai/types/responses/easy_input_message.py>
pub(in crate::provider) const OPENAI_PHASES: &[&str] =
    &["gpt-5.3-codex", "gpt-5.4", "gpt-5.5", "gpt-5.6", "gpt-6"];

pub(in crate::provider) const OPENAI_REASONING: &[&str] = &["o1", "o3", "o4", "gpt-5", "gpt-6"];

/// "schema must have type 'object' and not have 'oneOf'/'anyOf'/'allOf'/'enum'/'not' at the top
/// level": <https://github.com/nspady/google-calendar-mcp/issues/39>; "array schema missing items":
/// <https://github.com/github/github-mcp-server/issues/1548>; "'…' is not a 'uri-reference'":
/// <https://github.com/griptape-ai/griptape/issues/2150>
pub(in crate::provider) const OPENAI_SCHEMA: SchemaRules = SchemaRules {
    drops: &["$id"],
    plain_root: true,
    items: true,
    properties: true,
    ..SchemaRules::ANY
};

/// "Pattern must start with '^' and end with '$'", of llama.cpp and of what is built on it:
/// <https://github.com/ggml-org/llama.cpp/issues/26930>
pub(in crate::provider) const LOCAL_GRAMMAR: SchemaRules =
    SchemaRules { anchored_patterns: true, ..SchemaRules::ANY };

/// Chat templates of these models know `enable_thinking`:
/// <https://qwen.readthedocs.io/en/latest/deployment/vllm.html>
pub(in crate::provider) const SWITCHED_BY_TEMPLATE: &[&str] =
    &["qwen", "Qwen", "glm", "GLM", "zai-org/", "deepseek-ai/DeepSeek-V3"];

/// Those of OpenAI and of Azure: <https://developers.openai.com/api/docs/models>, and of those that
/// are gone from there <https://models.dev>.
pub(in crate::provider) const OPENAI_LIMITS: &[Limits] = &[
    Limits::of(&["gpt-5.4-mini", "gpt-5.4-nano"], 272_000, 128_000, OPENAI_MODELS),
    Limits::of(&["gpt-6", "gpt-5.4", "gpt-5.5", "gpt-5.6"], 922_000, 128_000, OPENAI_MODELS),
    Limits::of(
        &["gpt-5-chat", "gpt-5.1-chat", "gpt-5.2-chat", "gpt-5.3-chat"],
        128_000,
        16_384,
        OPENAI_MODELS,
    ),
    Limits::of(&["gpt-5"], 272_000, 128_000, OPENAI_MODELS),
    Limits::of(&["gpt-4.1"], 1_047_576, 32_768, OPENAI_MODELS),
    Limits::of(&["gpt-4o"], 128_000, 16_384, OPENAI_MODELS),
    Limits::of(&["o1", "o3", "o4"], 200_000, 100_000, OPENAI_MODELS),
];

const OPENAI_MODELS: &str = "https://developers.openai.com/api/docs/models";
