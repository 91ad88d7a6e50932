//! The rows. What a row says that differs from [`Provider::COMPATIBLE`] was learned from the pages
//! and threads named beside it.
//!
//! The default models are those that a service offered on the day beside them, fit for an agent:
//! with tools, and a window that Claude Code can work in. A model that was one before is sent as it
//! stands.

use super::{
    Auth, Echo, EffortField, Efforts, FormatSupport, Key, MaxTokensField, Prefill, Provider,
    SchemaRules, ThinkingField, ToolChoiceLimit, ToolId, ToolName,
};

/// The efforts that most services know.
pub(super) const LOW_TO_HIGH: &[&str] = &["low", "medium", "high"];
const NONE_TO_HIGH: &[&str] = &["none", "low", "medium", "high"];
const NONE_TO_XHIGH: &[&str] = &["none", "low", "medium", "high", "xhigh"];
const LOW_TO_XHIGH: &[&str] = &["low", "medium", "high", "xhigh"];
const LOW_HIGH_MAX: &[&str] = &["low", "high", "max"];
const NONE_TO_MAX: &[&str] = &["none", "low", "medium", "high", "xhigh", "max"];

/// OpenAI's models, at OpenAI and at Azure; `none` and `minimal` exclude each other.
/// <https://github.com/openai/openai-python/blob/main/src/openai/types/shared/reasoning_effort.py>
///
/// "Function tools with reasoning_effort are not supported … in /v1/chat/completions", from gpt-5.4
/// on: <https://github.com/pipecat-ai/pipecat/issues/4043>,
/// <https://github.com/BerriAI/litellm/pull/34569>
const OPENAI_EFFORTS: &[Efforts] = &[
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
];

/// Models that have reasoning beside tools, or are at all, only in the Responses API:
/// <https://github.com/alvinunreal/tmuxai/issues/82>
const OPENAI_RESPONSES: &[&str] = &[
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
const OPENAI_PHASES: &[&str] = &["gpt-5.3-codex", "gpt-5.4", "gpt-5.5", "gpt-5.6", "gpt-6"];

const OPENAI_REASONING: &[&str] = &["o1", "o3", "o4", "gpt-5", "gpt-6"];

/// "schema must have type 'object' and not have 'oneOf'/'anyOf'/'allOf'/'enum'/'not' at the top
/// level": <https://github.com/nspady/google-calendar-mcp/issues/39>; "array schema missing items":
/// <https://github.com/github/github-mcp-server/issues/1548>; "'…' is not a 'uri-reference'":
/// <https://github.com/griptape-ai/griptape/issues/2150>
const OPENAI_SCHEMA: SchemaRules = SchemaRules {
    drops: &["$id"],
    plain_root: true,
    items: true,
    properties: true,
    ..SchemaRules::ANY
};

/// "Pattern must start with '^' and end with '$'", of llama.cpp and of what is built on it:
/// <https://github.com/ggml-org/llama.cpp/issues/26930>
const LOCAL_GRAMMAR: SchemaRules = SchemaRules { anchored_patterns: true, ..SchemaRules::ANY };

/// Chat templates of these models know `enable_thinking`:
/// <https://qwen.readthedocs.io/en/latest/deployment/vllm.html>
const SWITCHED_BY_TEMPLATE: &[&str] =
    &["qwen", "Qwen", "glm", "GLM", "zai-org/", "deepseek-ai/DeepSeek-V3"];

/// Every provider. A new one is a row here, its golden file and its line in the README.
pub static PROVIDERS: &[Provider] = &[
    // https://console.groq.com/docs/openai; unknown fields are refused at every level:
    // https://github.com/musistudio/llms/pull/64
    Provider {
        name: "groq",
        key_prefixes: &["gsk_"],
        base_url: "https://api.groq.com/openai/v1",
        key_vars: &["GROQ_API_KEY"],
        // The one large production model on 2026-11-28, 131,072 tokens in and 65,536 out:
        // https://console.groq.com/docs/models.md
        model: "openai/gpt-oss-120b",
        max_tokens: 65_536,
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
        ..Provider::COMPATIBLE
    },
    // https://platform.openai.com/docs/api-reference/chat/create
    Provider {
        name: "openai",
        also: &["chatgpt", "gpt", "open-ai"],
        key_prefixes: &["sk-proj-", "sk-svcacct-"],
        shares_prefix: true,
        base_url: "https://api.openai.com/v1",
        key_vars: &["OPENAI_API_KEY"],
        // What OpenAI names in place of gpt-5 and o3; 922,000 tokens in, 128,000 out (2026-11-28):
        // https://developers.openai.com/api/docs/deprecations
        model: "gpt-6.1-sol",
        max_tokens: 128_000,
        // https://github.com/braintrustdata/lingua/pull/186
        least_max_tokens: 16,
        max_tokens_field: MaxTokensField::MaxCompletionTokens,
        efforts: OPENAI_EFFORTS,
        responses_models: OPENAI_RESPONSES,
        phase_models: OPENAI_PHASES,
        // https://developers.openai.com/api/docs/guides/latest-model
        fixed_sampling_models: OPENAI_REASONING,
        // https://github.com/BittnerPierre/AI-Agent-Casebook/issues/133
        no_stop_models: OPENAI_REASONING,
        // https://github.com/musistudio/claude-code-router/issues/686
        max_tools: 128,
        files: true,
        headers: &[("OpenAI-Organization", "OPENAI_ORGANIZATION")],
        schema: OPENAI_SCHEMA,
        ..Provider::COMPATIBLE
    },
    // https://openrouter.ai/docs/api-reference/chat-completion; what a model does not take is
    // dropped there: https://openrouter.ai/docs/api/reference/parameters
    Provider {
        name: "openrouter",
        also: &["open-router"],
        key_prefixes: &["sk-or-"],
        base_url: "https://openrouter.ai/api/v1",
        key_vars: &["OPENROUTER_API_KEY"],
        // A window of a million tokens, 131,072 out (2026-11-28):
        // https://openrouter.ai/z-ai/glm-5.3
        model: "z-ai/glm-5.3",
        max_tokens: 131_072,
        least_max_tokens: 16,
        effort: EffortField::Reasoning,
        // https://openrouter.ai/docs/use-cases/reasoning-tokens
        efforts: &[Efforts::of(
            &[""],
            &["none", "minimal", "low", "medium", "high", "xhigh", "max"],
        )],
        top_k: true,
        files: true,
        echo: Echo::ReasoningDetails,
        // "only guaranteed to work with the Anthropic first-party provider":
        // https://openrouter.ai/docs/cookbook/coding-agents/claude-code-integration
        native: Some("https://openrouter.ai/api"),
        native_models: &["anthropic/"],
        headers: &[("HTTP-Referer", "OPENROUTER_SITE_URL"), ("X-Title", "OPENROUTER_SITE_NAME")],
        ..Provider::COMPATIBLE
    },
    // https://docs.x.ai/docs/api-reference
    Provider {
        name: "xai",
        also: &["grok", "x.ai", "x-ai"],
        key_prefixes: &["xai-"],
        base_url: "https://api.x.ai/v1",
        key_vars: &["XAI_API_KEY"],
        // 500,000 tokens in; everything older than 4.20 is off (2026-11-28):
        // https://github.com/UKGovernmentBEIS/inspect_ai/issues/5499
        model: "grok-4.7",
        max_tokens: 128_000,
        max_tokens_field: MaxTokensField::MaxCompletionTokens,
        // "Model … does not support parameter reasoningEffort", from every other one:
        // https://docs.x.ai/developers/model-capabilities/text/reasoning
        efforts: &[
            Efforts::of(&["grok-4.6", "grok-4.7"], LOW_TO_XHIGH),
            Efforts::of(&["grok-4.5"], LOW_TO_HIGH),
            Efforts::of(&["grok-4.3"], NONE_TO_HIGH),
        ],
        // Its reasoning models refuse stop strings: https://docs.x.ai/docs/guides/reasoning
        max_stop: 0,
        // https://github.com/anomalyco/opencode/issues/28911
        max_tools: 200,
        // https://github.com/openclaw/openclaw/pull/32080
        schema: SchemaRules {
            drops: &[
                "minLength",
                "maxLength",
                "minItems",
                "maxItems",
                "minContains",
                "maxContains",
            ],
            ..SchemaRules::ANY
        },
        ..Provider::COMPATIBLE
    },
    // https://ai.google.dev/gemini-api/docs/openai
    Provider {
        name: "gemini",
        also: &["google", "vertex"],
        key_prefixes: &["AIza"],
        shares_prefix: true,
        base_url: "https://generativelanguage.googleapis.com/v1beta/openai",
        key_vars: &["GEMINI_API_KEY", "GOOGLE_API_KEY"],
        // A million tokens in, 65,536 out, also on the free tier (2026-11-28):
        // https://ai.google.dev/gemini-api/docs/changelog
        model: "gemini-3.8-flash",
        max_tokens: 65_536,
        // https://github.com/tashfeenahmed/freellmapi/pull/160; only 2.5 Flash can do without:
        // https://github.com/pydantic/pydantic-ai/issues/1967
        efforts: &[
            Efforts::of(&["gemini-2.5-pro"], LOW_TO_HIGH),
            Efforts::of(&["gemini-2.5"], NONE_TO_HIGH),
            Efforts::of(&["gemini-3-pro"], &["low", "high"]),
            // "minimal" is an error on 3.7 and 3.8 Flash:
            // https://github.com/checkmarble/llmberjack/pull/14; 4 has no off switch:
            // https://ai.google.dev/gemini-api/docs/generate-content/latest-model
            Efforts::of(&["gemini-3.1-pro", "gemini-3.7", "gemini-3.8", "gemini-4"], LOW_TO_HIGH),
            Efforts::of(&["gemini-3"], &["minimal", "low", "medium", "high"]),
        ],
        max_stop: 5,
        // https://github.com/google-gemini/gemini-cli/issues/7878
        tool_name: ToolName::LetterFirst(1),
        // The fields of its `Schema`: https://ai.google.dev/api/caching#Schema
        schema: SchemaRules {
            keeps: &[
                "type",
                "format",
                "title",
                "description",
                "nullable",
                "enum",
                "maxItems",
                "minItems",
                "properties",
                "required",
                "minProperties",
                "maxProperties",
                "minLength",
                "maxLength",
                "pattern",
                "example",
                "anyOf",
                "propertyOrdering",
                "default",
                "items",
                "minimum",
                "maximum",
            ],
            // "only 'enum' and 'date-time' are supported for STRING type":
            // https://github.com/google-gemini/gemini-cli/issues/3178
            formats: &["enum", "date-time", "float", "double", "int32", "int64"],
            plain_root: true,
            inline_refs: true,
            merge_all_of: true,
            any_of_alone: true,
            single_type: true,
            const_to_enum: true,
            string_enums: true,
            required_exist: true,
            typed: true,
            items: true,
            ..SchemaRules::ANY
        },
        // https://ai.google.dev/gemini-api/docs/thought-signatures
        echo: Echo::ThoughtSignature,
        ..Provider::COMPATIBLE
    },
    // https://github.com/mistralai/platform-docs-public/blob/main/public/openapi.yaml: every object
    // has `additionalProperties: false`.
    Provider {
        name: "mistral",
        also: &["mistralai", "codestral"],
        shares_prefix: true,
        base_url: "https://api.mistral.ai/v1",
        key_vars: &["MISTRAL_API_KEY"],
        // 262,144 tokens in and out (2026-11-28):
        // https://docs.mistral.ai/inference/conversations/reasoning
        model: "mistral-medium-3-5",
        max_tokens: 131_072,
        // Usage comes unasked in the last chunk:
        // https://github.com/openai/openai-agents-python/issues/442
        stream_usage: false,
        // https://docs.mistral.ai/capabilities/reasoning/
        efforts: &[
            Efforts::of(
                &[
                    "mistral-small",
                    "mistral-medium-3-5",
                    "mistral-medium-26",
                    "mistral-medium-latest",
                    "magistral-small",
                ],
                &["none", "high"],
            ),
            Efforts::of(&["mistral-large-4"], NONE_TO_HIGH),
        ],
        tool_choice_any: "any",
        // https://github.com/nearai/ironclaw/issues/1241
        tool_id: ToolId::NineAlphanumerics,
        // "Unexpected role 'user' after role 'tool'":
        // https://github.com/BerriAI/litellm/issues/17761
        user_after_tool: false,
        // https://github.com/QuantumNous/new-api/issues/2858
        prefill: Prefill::Prefix,
        ..Provider::COMPATIBLE
    },
    // https://docs.ollama.com/api/openai-compatibility
    // https://github.com/ollama/ollama/blob/main/openai/openai.go
    Provider {
        name: "ollama",
        also: &["llama"],
        shares_prefix: true,
        base_url: "http://localhost:11434/v1",
        key_vars: &["OLLAMA_API_KEY"],
        key: Key::Optional,
        // It has tools; Claude Code wants a window of 64,000 tokens, which the server has to be
        // told: https://docs.ollama.com/integrations/claude-code
        model: "qwen3.5",
        // "… does not support thinking", from the others. "minimal" and "xhigh" are refused:
        // https://github.com/ollama/ollama/issues/18121
        efforts: &[
            Efforts::of(&["gpt-oss"], LOW_TO_HIGH),
            Efforts::of(
                &["qwen3", "deepseek-r1", "deepseek-v3", "magistral"],
                &["none", "low", "medium", "high", "max"],
            ),
        ],
        // It ignores what is asked for.
        tool_choice: ToolChoiceLimit::AutoOnly,
        max_stop: usize::MAX,
        // "image URLs are not currently supported, please use base64 encoded data instead"
        image_urls: false,
        // Its Messages API knows no tool_choice and no documents:
        // https://docs.ollama.com/api/anthropic-compatibility
        native: Some(""),
        text_tools: true,
        ..Provider::COMPATIBLE
    },
    // https://api-docs.deepseek.com/
    Provider {
        name: "deepseek",
        base_url: "https://api.deepseek.com/v1",
        key_vars: &["DEEPSEEK_API_KEY"],
        // A million tokens in, 393,216 out (2026-11-28):
        // https://api-docs.deepseek.com/quick_start/pricing
        model: "deepseek-flash",
        // https://api-docs.deepseek.com/guides/thinking_mode; "none" is said by `thinking`.
        efforts: &[Efforts::of(
            &["deepseek-v4", "deepseek-flash"],
            &["low", "medium", "high", "xhigh", "max"],
        )],
        thinking: ThinkingField::Type,
        // "This response_format type is unavailable now":
        // https://github.com/UKGovernmentBEIS/inspect_ai/issues/4916
        response_format: FormatSupport::JsonObject,
        max_stop: 16,
        // "Thinking mode does not support this tool_choice":
        // https://github.com/BerriAI/litellm/pull/37470
        tool_choice: ToolChoiceLimit::NotForcedInThinking,
        max_tools: 128,
        // https://github.com/earendil-works/pi/issues/3636
        echo: Echo::ReasoningContent,
        // https://api-docs.deepseek.com/quick_start/agent_integrations/claude_code
        native: Some("https://api.deepseek.com/anthropic"),
        native_models: &[""],
        ..Provider::COMPATIBLE
    },
    // https://inference-docs.cerebras.ai/resources/openai; unknown fields are refused at every
    // level: https://github.com/huggingface/huggingface.js/pull/2268
    Provider {
        name: "cerebras",
        key_prefixes: &["csk-"],
        base_url: "https://api.cerebras.ai/v1",
        key_vars: &["CEREBRAS_API_KEY"],
        // 40,960 tokens out: https://inference-docs.cerebras.ai/capabilities/reasoning
        model: "gpt-oss-120b",
        max_tokens: 40_960,
        max_tokens_field: MaxTokensField::MaxCompletionTokens,
        // https://inference-docs.cerebras.ai/capabilities/reasoning
        efforts: &[
            Efforts::of(&["gpt-oss"], LOW_TO_HIGH),
            Efforts::of(&["qwen-3.8"], NONE_TO_HIGH),
        ],
        // `reasoning_content` is refused, `reasoning` is taken:
        // https://github.com/Alishahryar1/free-claude-code/issues/1136
        echo: Echo::Reasoning,
        images: false,
        ..Provider::COMPATIBLE
    },
    // https://github.com/togethercomputer/skills/tree/main/skills/together-ai/references/chat-completions
    Provider {
        name: "together",
        also: &["togetherai", "together.ai"],
        key_prefixes: &["tgp_"],
        base_url: "https://api.together.xyz/v1",
        key_vars: &["TOGETHER_API_KEY"],
        // A million tokens in; it always thinks (2026-11-28):
        // https://docs.together.ai/docs/glm-5.3-quickstart
        model: "zai-org/GLM-5.3",
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
        ..Provider::COMPATIBLE
    },
    // https://github.com/fw-ai-external/python-sdk/blob/main/src/fireworks/types/chat/completion_create_params.py
    Provider {
        name: "fireworks",
        also: &["fireworks.ai"],
        key_prefixes: &["fw_"],
        base_url: "https://api.fireworks.ai/inference/v1",
        key_vars: &["FIREWORKS_API_KEY"],
        // A million tokens in: https://github.com/pollinations/pollinations/pull/14103 (2026-11-28)
        model: "accounts/fireworks/models/glm-5p3",
        max_tokens: 131_072,
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
            Efforts::of(
                &["accounts/fireworks/models/deepseek-v4p1"],
                &["none", "low", "high", "max"],
            ),
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
        ..Provider::COMPATIBLE
    },
    // https://docs.z.ai/api-reference/llm/chat-completion
    Provider {
        name: "zai",
        also: &["z.ai", "glm", "zhipu", "bigmodel"],
        base_url: "https://api.z.ai/api/paas/v4",
        base_path: "/api/paas/v4",
        key_vars: &["ZAI_API_KEY"],
        // A million tokens in, 131,072 out (2026-11-28): https://openrouter.ai/~z-ai/glm-latest
        model: "glm-5.3",
        max_tokens: 131_072,
        stream_usage: false,
        efforts: &[
            // 5.3: https://github.com/maximhq/bifrost/pull/6162; 5.4 is taken to be like it.
            Efforts::of(&["glm-5.3", "glm-5.4"], LOW_HIGH_MAX),
            // https://docs.z.ai/guides/llm/glm-5.2
            Efforts::of(&["glm-5.2"], &["high", "max"]),
        ],
        // https://docs.z.ai/guides/capabilities/thinking-mode; glm-5.3 always thinks.
        thinking: ThinkingField::Type,
        thinking_models: &["glm-4.5", "glm-4.6", "glm-4.7", "glm-5.1", "glm-5.2"],
        response_format: FormatSupport::JsonObject,
        max_stop: 1,
        // "Tool choice must be auto": https://github.com/vectorize-io/hindsight/issues/4246
        tool_choice: ToolChoiceLimit::AutoOnly,
        parallel_tool_calls: false,
        // Without it all arguments come at once, after minutes.
        tool_stream: true,
        tool_description: true,
        max_tools: 128,
        images: false,
        echo: Echo::ReasoningContent,
        native: Some("https://api.z.ai/api/anthropic"),
        native_models: &[""],
        ..Provider::COMPATIBLE
    },
    // https://platform.kimi.ai/docs/api/chat; unknown fields are ignored.
    Provider {
        name: "moonshot",
        also: &["kimi"],
        base_url: "https://api.moonshot.ai/v1",
        key_vars: &["MOONSHOT_API_KEY"],
        model: "kimi-k3",
        max_tokens_field: MaxTokensField::MaxCompletionTokens,
        // https://docs.rs/synaps-engine/0.11.0/src/agent_engine/runtime/openai/catalog/kimi.rs.html
        efforts: &[Efforts::of(&["kimi-k3"], LOW_HIGH_MAX)],
        // "cannot specify both 'thinking' and 'reasoning_effort'":
        // https://github.com/HKUDS/nanobot/issues/3939. kimi-k2.7 always thinks, and refuses
        // "disabled".
        thinking: ThinkingField::Type,
        thinking_models: &["kimi-k2.5", "kimi-k2.6"],
        // "invalid temperature: only 1 is allowed for this model":
        // https://github.com/anomalyco/opencode/issues/27796
        fixed_sampling_models: &["kimi-k2.5", "kimi-k2.6", "kimi-k2.7", "kimi-k3"],
        max_stop: 5,
        // https://github.com/can1357/oh-my-pi/issues/827
        tool_choice: ToolChoiceLimit::NotForcedInThinking,
        parallel_tool_calls: false,
        // https://github.com/MoonshotAI/kimi-cli/issues/1773
        tool_name: ToolName::LetterFirst(3),
        max_tools: 128,
        prefill: Prefill::Partial,
        // https://github.com/continuedev/continue/issues/11600
        echo: Echo::ReasoningContent,
        native: Some("https://api.moonshot.ai/anthropic"),
        native_models: &[""],
        // https://github.com/MoonshotAI/Kimi-K2/issues/141
        native_always_thinks: &["kimi-k2-thinking", "kimi-k2.7", "kimi-k3"],
        // It renames the calls itself.
        tool_id_models: &[],
        // "type is not defined", "when using anyOf, type should be defined in anyOf items",
        // "conflicting keywords found after $ref expansion":
        // https://github.com/MoonshotAI/kimi-cli/issues/2061
        schema: SchemaRules {
            drops: &["$defs", "definitions"],
            plain_root: true,
            inline_refs: true,
            any_of_alone: true,
            typed: true,
            ..SchemaRules::ANY
        },
        ..Provider::COMPATIBLE
    },
    // https://www.alibabacloud.com/help/en/model-studio/qwen-api-via-openai-chat-completions
    Provider {
        name: "dashscope",
        also: &["qwen", "alibaba"],
        base_url: "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        key_vars: &["DASHSCOPE_API_KEY"],
        // A million tokens in (2026-11-28): https://help.aliyun.com/en/model-studio/qwen4-max
        model: "qwen4-max",
        max_tokens: 131_072,
        efforts: &[
            Efforts::of(&["qwen4"], NONE_TO_MAX),
            // All five: https://github.com/QwenLM/qwen-code/issues/8472
            Efforts::of(&["qwen3.8"], &["low", "medium", "high", "xhigh", "max"]),
        ],
        // https://help.aliyun.com/en/model-studio/deep-thinking
        thinking: ThinkingField::EnableThinking,
        thinking_models: &["qwen3-", "qwen3.5", "qwen3.6", "qwen3.7", "qwen-plus", "qwen-flash"],
        // "parameter.enable_thinking must be set to false for non-streaming calls":
        // https://www.alibabacloud.com/help/en/model-studio/error-code
        thinks_in_streams_only: true,
        top_k: true,
        response_format: FormatSupport::JsonObject,
        // https://github.com/cloudwego/eino/issues/994
        tool_choice: ToolChoiceLimit::NotForcedInThinking,
        echo: Echo::ReasoningContent,
        // https://www.alibabacloud.com/help/en/model-studio/anthropic-api-messages
        native: Some("https://dashscope-intl.aliyuncs.com/apps/anthropic"),
        native_models: &[""],
        ..Provider::COMPATIBLE
    },
    // https://learn.microsoft.com/en-us/azure/foundry/openai/api-version-lifecycle; the model is
    // the name of a deployment, so rules by model hold where that is the model's.
    Provider {
        name: "azure",
        also: &["azure-openai", "foundry"],
        shares_prefix: true,
        base_path: "/openai/v1",
        example_url: "https://RESOURCE.openai.azure.com/openai/v1",
        key_vars: &["AZURE_API_KEY", "AZURE_OPENAI_API_KEY"],
        auth: Auth::ApiKey,
        least_max_tokens: 16,
        max_tokens_field: MaxTokensField::MaxCompletionTokens,
        efforts: OPENAI_EFFORTS,
        responses_models: OPENAI_RESPONSES,
        phase_models: OPENAI_PHASES,
        fixed_sampling_models: OPENAI_REASONING,
        no_stop_models: OPENAI_REASONING,
        max_tools: 128,
        files: true,
        schema: OPENAI_SCHEMA,
        ..Provider::COMPATIBLE
    },
    // https://docs.vllm.ai/en/stable/serving/openai_compatible_server/
    Provider {
        name: "vllm",
        shares_prefix: true,
        base_url: "http://localhost:8000/v1",
        key_vars: &["VLLM_API_KEY"],
        key: Key::Optional,
        thinking: ThinkingField::ChatTemplate,
        thinking_models: SWITCHED_BY_TEMPLATE,
        top_k: true,
        max_stop: usize::MAX,
        // It takes no documents and no server tools:
        // https://github.com/vllm-project/vllm/blob/main/vllm/entrypoints/anthropic/protocol.py
        native: Some(""),
        native_count_tokens: true,
        text_tools: true,
        ..Provider::COMPATIBLE
    },
    // https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md
    Provider {
        name: "llamacpp",
        also: &["llama.cpp", "llama-server"],
        base_url: "http://localhost:8080/v1",
        key_vars: &["LLAMACPP_API_KEY"],
        key: Key::Optional,
        // It has one, whatever it is called.
        model: "default",
        // Whatever the model is called; a template that has no such switch ignores it.
        thinking: ThinkingField::ChatTemplate,
        top_k: true,
        max_stop: usize::MAX,
        // An object is read as "auto":
        // https://github.com/ggml-org/llama.cpp/blob/master/tools/server/server-common.cpp
        tool_choice: ToolChoiceLimit::Modes,
        echo: Echo::ReasoningContent,
        schema: LOCAL_GRAMMAR,
        native: Some(""),
        native_count_tokens: true,
        text_tools: true,
        ..Provider::COMPATIBLE
    },
    // https://lmstudio.ai/docs/developer/openai-compat/chat-completions
    Provider {
        name: "lmstudio",
        also: &["lm-studio"],
        base_url: "http://localhost:1234/v1",
        key_vars: &["LMSTUDIO_API_KEY"],
        key: Key::Optional,
        top_k: true,
        max_stop: usize::MAX,
        // "Invalid tool_choice type: 'object'":
        // https://github.com/lmstudio-ai/lmstudio-bug-tracker/issues/670
        tool_choice: ToolChoiceLimit::Modes,
        schema: LOCAL_GRAMMAR,
        // https://lmstudio.ai/docs/developer/anthropic-compat
        native: Some(""),
        text_tools: true,
        ..Provider::COMPATIBLE
    },
    // https://platform.claude.com/docs/en/api/messages: nothing is translated. Its usual variables
    // are those by which clients find ccproxy itself.
    Provider {
        name: "anthropic",
        also: &["claude"],
        key_prefixes: &["sk-ant-"],
        prefix: "ANTHROPIC_UPSTREAM",
        by_key: false,
        base_url: "https://api.anthropic.com/v1",
        key_vars: &["ANTHROPIC_UPSTREAM_API_KEY", "ANTHROPIC_API_KEY"],
        auth: Auth::XApiKey,
        knows_claude: true,
        speaks_chat: false,
        native: Some(""),
        native_models: &[""],
        native_is_anthropics: true,
        native_count_tokens: true,
        ..Provider::COMPATIBLE
    },
    // Any other server of chat completions; CUSTOM_BASE_URL says which.
    Provider {
        name: "custom",
        key_vars: &["CUSTOM_API_KEY"],
        key: Key::Optional,
        schema: LOCAL_GRAMMAR,
        text_tools: true,
        ..Provider::COMPATIBLE
    },
    // The provider inside this program.
    Provider { name: "echo", key: Key::Embedded, model: "echo", ..Provider::COMPATIBLE },
];
