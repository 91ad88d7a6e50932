//! Who makes models and serves them.

use super::words::*;
use crate::provider::*;

// https://platform.openai.com/docs/api-reference/chat/create
pub(super) const OPENAI: Provider = Provider {
    name: "openai",
    source: "https://platform.openai.com/docs/api-reference/chat/create",
    checked: "2026-11-28",
    also: &["chatgpt", "gpt", "open-ai"],
    key_prefixes: &["sk-proj-", "sk-svcacct-"],
    shares_prefix: true,
    base_url: "https://api.openai.com/v1",
    key_vars: &["OPENAI_API_KEY"],
    // What OpenAI names in place of gpt-5 and o3; 922,000 tokens in, 128,000 out (2026-11-28):
    // https://developers.openai.com/api/docs/deprecations
    model: "gpt-6.1-sol",
    limits: OPENAI_LIMITS,
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
    // "Improve cache hit rates": https://developers.openai.com/api/docs/guides/prompt-caching
    session: SessionField::PromptCacheKey,
    // "For gpt-5.6 and later", in input messages; the same page. Others refuse the field:
    // https://github.com/jeremychone/rust-genai/pull/260
    cache_breakpoint_models: &["gpt-5.6", "gpt-6"],
    // https://developers.openai.com/api/docs/guides/tools-web-search
    // `max_tool_calls` limits the searches.
    search: Search::ResponsesTool(ResponsesSearch {
        blocks: "blocked_domains",
        most_domains: 100,
        sources: true,
        limits: true,
    }),
    ..Provider::COMPATIBLE
};

// https://docs.x.ai/docs/api-reference
pub(super) const XAI: Provider = Provider {
    name: "xai",
    source: "https://docs.x.ai/docs/api-reference",
    checked: "2026-11-28",
    also: &["grok", "x.ai", "x-ai"],
    key_prefixes: &["xai-"],
    base_url: "https://api.x.ai/v1",
    key_vars: &["XAI_API_KEY"],
    // 500,000 tokens in; everything older than 4.20 is off (2026-11-28):
    // https://github.com/UKGovernmentBEIS/inspect_ai/issues/5499
    model: "grok-4.7",
    limits: &[
        // They write as much as fits: https://github.com/THU-MAIC/OpenMAIC/pull/1112
        Limits::of(&["grok-4.6", "grok-4.7"], 500_000, 128_000, "https://docs.x.ai/docs/models"),
        Limits::of(&["grok-4.20", "grok-4.3"], 1_000_000, 0, "https://docs.x.ai/docs/models"),
    ],
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
        drops: &["minLength", "maxLength", "minItems", "maxItems", "minContains", "maxContains"],
        ..SchemaRules::ANY
    },
    // One cache for each server, and a request without it goes to any: 4 % of the input was
    // cached instead of 79 %: https://github.com/duolahypercho/codex-router/pull/265
    // https://docs.x.ai/developers/advanced-api-usage/prompt-caching/maximizing-cache-hits
    session: SessionField::Header("x-grok-conv-id"),
    // https://docs.x.ai/developers/tools/web-search
    search: Search::ResponsesTool(ResponsesSearch {
        blocks: "excluded_domains",
        most_domains: 5,
        sources: false,
        limits: false,
    }),
    ..Provider::COMPATIBLE
};

// https://ai.google.dev/gemini-api/docs/openai
pub(super) const GEMINI: Provider = Provider {
    name: "gemini",
    source: "https://ai.google.dev/gemini-api/docs/openai",
    checked: "2026-11-28",
    also: &["google"],
    key_prefixes: &["AIza"],
    shares_prefix: true,
    base_url: "https://generativelanguage.googleapis.com/v1beta/openai",
    key_vars: &["GEMINI_API_KEY", "GOOGLE_API_KEY"],
    // A million tokens in, 65,536 out, also on the free tier (2026-11-28):
    // https://ai.google.dev/gemini-api/docs/changelog
    model: "gemini-3.8-flash",
    limits: &[
        Limits::of(
            &["gemini-2.0"],
            1_048_576,
            8_192,
            "https://ai.google.dev/gemini-api/docs/models",
        ),
        Limits::of(&["gemini-"], 1_048_576, 65_536, "https://ai.google.dev/gemini-api/docs/models"),
    ],
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
    // No search: this endpoint has no field for Google's, which is the native API's and Vertex':
    // https://ai.google.dev/gemini-api/docs/openai
    ..Provider::COMPATIBLE
};

// https://github.com/mistralai/platform-docs-public/blob/main/public/openapi.yaml: every object
// has `additionalProperties: false`.
pub(super) const MISTRAL: Provider = Provider {
    name: "mistral",
    source: "https://docs.mistral.ai/api",
    checked: "2026-11-28",
    also: &["mistralai", "codestral"],
    shares_prefix: true,
    base_url: "https://api.mistral.ai/v1",
    key_vars: &["MISTRAL_API_KEY"],
    // 262,144 tokens in and out (2026-11-28):
    // https://docs.mistral.ai/inference/conversations/reasoning
    model: "mistral-medium-3-5",
    limits: &[Limits::of(
        &["mistral-medium-3-5", "mistral-medium-26", "mistral-medium-latest", "mistral-large"],
        262_144,
        131_072,
        "https://docs.mistral.ai/getting-started/models",
    )],
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
    // https://docs.mistral.ai/inference/conversations/advanced/prompt-caching
    session: SessionField::PromptCacheKey,
    ..Provider::COMPATIBLE
};

// https://api-docs.deepseek.com/
pub(super) const DEEPSEEK: Provider = Provider {
    name: "deepseek",
    source: "https://api-docs.deepseek.com/",
    checked: "2026-11-28",
    base_url: "https://api.deepseek.com/v1",
    key_vars: &["DEEPSEEK_API_KEY"],
    // A million tokens in, 393,216 out (2026-11-28):
    // https://api-docs.deepseek.com/quick_start/pricing
    model: "deepseek-flash",
    limits: &[Limits::of(
        &["deepseek-"],
        1_000_000,
        393_216,
        "https://api-docs.deepseek.com/quick_start/pricing",
    )],
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
    // Its page says so of this one alone (2026-11-29):
    // https://api-docs.deepseek.com/quick_start/pricing
    image_exceptions: &["deepseek-v4-pro"],
    // https://github.com/earendil-works/pi/issues/3636
    echo: Echo::ReasoningContent,
    // https://api-docs.deepseek.com/quick_start/agent_integrations/claude_code
    native: Some("https://api.deepseek.com/anthropic"),
    native_models: &[""],
    // https://github.com/deepseek-ai/awesome-deepseek-integration/issues/606
    native_search: true,
    ..Provider::COMPATIBLE
};

// https://docs.z.ai/api-reference/llm/chat-completion
pub(super) const ZAI: Provider = Provider {
    name: "zai",
    source: "https://docs.z.ai/api-reference/llm/chat-completion",
    checked: "2026-11-28",
    also: &["z.ai", "glm", "zhipu", "bigmodel"],
    plan: "zai-plan",
    base_url: "https://api.z.ai/api/paas/v4",
    base_path: "/api/paas/v4",
    key_vars: &["ZAI_API_KEY"],
    // A million tokens in, 131,072 out (2026-11-28): https://openrouter.ai/~z-ai/glm-latest
    model: "glm-5.3",
    limits: &[
        Limits::of(
            &["glm-5.2", "glm-5.3", "glm-5.4"],
            1_048_576,
            131_072,
            "https://docs.z.ai/guides/llm/glm-5.2",
        ),
        Limits::of(
            &["glm-4.6", "glm-4.7", "glm-5"],
            204_800,
            131_072,
            "https://docs.z.ai/guides/overview/pricing",
        ),
        Limits::of(&["glm-4.5"], 131_072, 98_304, "https://docs.z.ai/guides/overview/pricing"),
    ],
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
    // 5.4 and 5.3-Flash see: https://docs.z.ai/devpack/latest-model; the others say so by their v.
    image_exceptions: &["glm-5.4", "glm-5.3-flash", "glm-4.5v", "glm-4.6v", "glm-5v"],
    echo: Echo::ReasoningContent,
    native: Some("https://api.z.ai/api/anthropic"),
    native_models: &[""],
    // Its Messages API answers with blocks of its own:
    // https://docs.z.ai/guides/tools/web-search
    search: Search::WebSearchTool,
    ..Provider::COMPATIBLE
};

// https://platform.kimi.ai/docs/api/chat; unknown fields are ignored.
pub(super) const MOONSHOT: Provider = Provider {
    name: "moonshot",
    source: "https://platform.kimi.ai/docs/api/chat",
    checked: "2026-11-28",
    also: &["kimi"],
    plan: "kimi-plan",
    base_url: "https://api.moonshot.ai/v1",
    key_vars: &["MOONSHOT_API_KEY"],
    model: "kimi-k3",
    limits: &[
        Limits::of(&["kimi-k3"], 1_048_576, 0, "https://platform.kimi.ai/docs/api/chat"),
        Limits::of(&["kimi-k2"], 262_144, 0, "https://platform.kimi.ai/docs/api/chat"),
    ],
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
    // No search in chat completions: `$web_search` is being replaced, refuses to think, which
    // kimi-k3 always does, and its successor runs by calls of the client's to another address:
    // https://forum.moonshot.ai/t/552, https://platform.kimi.ai/docs/guide/use-official-tools
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
    // "a session id or task id": https://platform.kimi.ai/docs/api/chat
    session: SessionField::PromptCacheKey,
    ..Provider::COMPATIBLE
};

// https://www.alibabacloud.com/help/en/model-studio/qwen-api-via-openai-chat-completions
pub(super) const DASHSCOPE: Provider = Provider {
    name: "dashscope",
    source: "https://www.alibabacloud.com/help/en/model-studio/qwen-api-via-openai-chat-completions",
    checked: "2026-11-28",
    also: &["qwen", "alibaba"],
    plan: "qwen-plan",
    base_url: "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
    key_vars: &["DASHSCOPE_API_KEY"],
    // A million tokens in (2026-11-28): https://help.aliyun.com/en/model-studio/qwen4-max
    model: "qwen4-max",
    limits: &[
        Limits::of(
            &["qwen4"],
            991_808,
            131_072,
            "https://help.aliyun.com/en/model-studio/qwen4-max",
        ),
        Limits::of(
            &["qwen3.5-plus", "qwen3.6", "qwen3.7"],
            1_000_000,
            65_536,
            "https://www.alibabacloud.com/help/en/model-studio/models",
        ),
    ],
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
    // A cache that is found for certain, at a tenth of the price and not a fifth:
    // https://www.alibabacloud.com/help/en/model-studio/context-cache
    cache_control_models: &["qwen"],
    // Chat completions do not tell the pages that were found:
    // https://docs.qwencloud.com/developer-guides/text-generation/web-search
    search: Search::EnableSearch,
    ..Provider::COMPATIBLE
};

// https://platform.claude.com/docs/en/api/messages: nothing is translated. Its usual variables
// are those by which clients find ccproxy itself.
pub(super) const ANTHROPIC: Provider = Provider {
    name: "anthropic",
    source: "https://platform.claude.com/docs/en/api/messages",
    checked: "2026-11-28",
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
    native_search: true,
    ..Provider::COMPATIBLE
};

// https://platform.minimax.io/docs/api-reference/text-anthropic-api; its chat completions tell the
// reasoning twice, as `reasoning_content` and in the text.
pub(super) const MINIMAX: Provider = Provider {
    name: "minimax",
    source: "https://platform.minimax.io/docs/api-reference/text-anthropic-api",
    checked: "2026-11-28",
    also: &["mini-max"],
    base_url: "https://api.minimax.io/v1",
    key_vars: &["MINIMAX_API_KEY"],
    model: "MiniMax-M3",
    limits: &[
        Limits::of(
            &["MiniMax-M3"],
            1_000_000,
            128_000,
            "https://platform.minimax.io/docs/guides/text-generation",
        ),
        Limits::of(
            &["MiniMax-M2"],
            204_800,
            131_072,
            "https://platform.minimax.io/docs/guides/text-generation",
        ),
    ],
    // M3 is only switched on and off, and only natively:
    // https://github.com/earendil-works/pi/issues/6658
    efforts: &[
        Efforts::of(&["MiniMax-M3.1"], &["low", "medium", "high", "xhigh", "max"]),
        Efforts::of(&["MiniMax-M"], &[]),
    ],
    echo: Echo::ReasoningContent,
    native: Some("https://api.minimax.io/anthropic"),
    native_models: &[""],
    ..Provider::COMPATIBLE
};

// https://platform.xiaomimimo.com/static/docs/api/chat/openai-api.md
pub(super) const XIAOMI: Provider = Provider {
    name: "xiaomi",
    source: "https://platform.xiaomimimo.com/static/docs/api/chat/openai-api.md",
    checked: "2026-11-28",
    also: &["mimo"],
    base_url: "https://api.xiaomimimo.com/v1",
    key_vars: &["XIAOMI_API_KEY", "MIMO_API_KEY"],
    model: "mimo-v2.5-pro",
    limits: &[
        Limits::of(
            &["mimo-v2.5", "mimo-v2-pro"],
            1_048_576,
            131_072,
            "https://platform.xiaomimimo.com/static/docs/api/chat/openai-api.md",
        ),
        Limits::of(
            &["mimo-v2-flash"],
            262_144,
            65_536,
            "https://docs.openclaw.ai/providers/xiaomi",
        ),
        Limits::of(
            &["mimo-v2-omni"],
            262_144,
            131_072,
            "https://docs.openclaw.ai/providers/xiaomi",
        ),
    ],
    efforts: &[Efforts::of(&["mimo-"], &[])],
    thinking: ThinkingField::Type,
    thinking_models: &["mimo-v2"],
    echo: Echo::ReasoningContent,
    native: Some("https://api.xiaomimimo.com/anthropic"),
    native_models: &[""],
    ..Provider::COMPATIBLE
};

// https://www.volcengine.com/docs/82379/1494384; models that think do so unless told otherwise:
// https://docs.getbifrost.ai/providers/supported-providers/byteplus
pub(super) const VOLCENGINE: Provider = Provider {
    name: "volcengine",
    source: "https://www.volcengine.com/docs/82379/1494384",
    checked: "2026-11-28",
    also: &["ark", "doubao"],
    plan: "volcengine-plan",
    base_url: "https://ark.cn-beijing.volces.com/api/v3",
    base_path: "/api/v3",
    key_vars: &["VOLCENGINE_API_KEY", "ARK_API_KEY"],
    model: "doubao-seed-2-1-pro-260628",
    limits: ARK_LIMITS,
    efforts: ARK_EFFORTS,
    thinking: ThinkingField::Type,
    // It is text only, whoever serves it: https://api-docs.deepseek.com/quick_start/pricing
    image_exceptions: &["deepseek-v4-pro"],
    echo: Echo::ReasoningContent,
    // For Doubao alone: https://github.com/farion1231/cc-switch
    native: Some("https://ark.cn-beijing.volces.com/api/compatible"),
    native_models: &["doubao-"],
    ..Provider::COMPATIBLE
};

/// Also <https://vercel.com/ai-gateway/models/seed-2.1-turbo>.
const ARK_LIMITS: &[Limits] = &[
    Limits::of(
        &["doubao-seed-", "dola-seed-", "seed-", "ark-code-"],
        262_144,
        0,
        "https://mastra.ai/models/providers/volcengine",
    ),
    Limits::of(&["deepseek-v4"], 1_000_000, 0, "https://mastra.ai/models/providers/byteplus"),
];

/// <https://docs.comfy.org/development/comfy-router/models/byteplus/seed-2-0-pro-260328/code>
const ARK_EFFORTS: &[Efforts] =
    &[Efforts::of(&["doubao-seed-", "dola-seed-", "seed-"], &["minimal", "low", "medium", "high"])];

// https://www.volcengine.com/article/38136: the console says which model `ark-code-latest` is.
pub(super) const VOLCENGINE_PLAN: Provider = Provider {
    name: "volcengine-plan",
    source: "https://www.volcengine.com/article/38136",
    also: &["ark-plan"],
    plan: "",
    base_url: "https://ark.cn-beijing.volces.com/api/coding/v3",
    base_path: "/api/coding/v3",
    key_vars: &["VOLCENGINE_PLAN_API_KEY", "ARK_CODING_PLAN_API_KEY"],
    model: "ark-code-latest",
    native: Some("https://ark.cn-beijing.volces.com/api/coding"),
    native_models: &[""],
    ..VOLCENGINE
};

// https://docs.byteplus.com/en/docs/ModelArk/1330626
pub(super) const BYTEPLUS: Provider = Provider {
    name: "byteplus",
    source: "https://docs.byteplus.com/en/docs/ModelArk/1330626",
    also: &["modelark"],
    plan: "byteplus-plan",
    base_url: "https://ark.ap-southeast.bytepluses.com/api/v3",
    key_vars: &["BYTEPLUS_API_KEY"],
    // https://mastra.ai/models/providers/byteplus
    model: "deepseek-v4-pro-ga-260813",
    native: None,
    native_models: &[],
    ..VOLCENGINE
};

// https://docs.byteplus.com/en/docs/ModelArk/1928261
pub(super) const BYTEPLUS_PLAN: Provider = Provider {
    name: "byteplus-plan",
    source: "https://docs.byteplus.com/en/docs/ModelArk/1928261",
    also: &["modelark-plan"],
    base_url: "https://ark.ap-southeast.bytepluses.com/api/coding/v3",
    key_vars: &["BYTEPLUS_PLAN_API_KEY"],
    native: Some("https://ark.ap-southeast.bytepluses.com/api/coding"),
    ..VOLCENGINE_PLAN
};

// https://docs.z.ai/devpack/latest-model
pub(super) const ZAI_PLAN: Provider = Provider {
    name: "zai-plan",
    source: "https://docs.z.ai/devpack/latest-model",
    also: &["glm-plan"],
    base_url: "https://api.z.ai/api/coding/paas/v4",
    base_path: "/api/coding/paas/v4",
    key_vars: &["ZAI_PLAN_API_KEY"],
    // The plan's searches are tools of MCP: https://docs.z.ai/devpack/mcp/search-mcp-server; its
    // Messages API may do one by itself.
    search: Search::None,
    plan: "",
    ..ZAI
};

// https://www.kimi.com/code/docs/en/third-party-tools/other-coding-agents.html
pub(super) const KIMI_PLAN: Provider = Provider {
    name: "kimi-plan",
    source: "https://www.kimi.com/code/docs/en/third-party-tools/other-coding-agents.html",
    also: &["kimi-code"],
    key_prefixes: &["sk-kimi-"],
    base_url: "https://api.kimi.com/coding/v1",
    base_path: "/coding/v1",
    key_vars: &["KIMI_PLAN_API_KEY", "KIMI_API_KEY"],
    // It stands for the newest one.
    model: "kimi-for-coding",
    // The plan's search is an address of its own, for Kimi's own client.
    search: Search::None,
    fixed_sampling_models: &[""],
    limits: &[Limits::of(
        &["kimi-for-coding", "kimi-k2", "k2p"],
        262_144,
        32_768,
        "https://models.dev",
    )],
    native: Some("https://api.kimi.com/coding"),
    plan: "",
    ..MOONSHOT
};

// https://www.alibabacloud.com/help/en/model-studio/coding-plan
pub(super) const QWEN_PLAN: Provider = Provider {
    name: "qwen-plan",
    source: "https://www.alibabacloud.com/help/en/model-studio/coding-plan",
    also: &["alibaba-plan", "bailian"],
    key_prefixes: &["sk-sp-"],
    base_url: "https://coding-intl.dashscope.aliyuncs.com/v1",
    key_vars: &["QWEN_PLAN_API_KEY", "ALIBABA_CODING_PLAN_API_KEY"],
    // The plan has models alone: https://www.alibabacloud.com/help/en/model-studio/coding-plan
    search: Search::None,
    model: "qwen3.7-max",
    model_is_inferred: true,
    native: Some("https://coding-intl.dashscope.aliyuncs.com/apps/anthropic"),
    plan: "",
    ..DASHSCOPE
};
