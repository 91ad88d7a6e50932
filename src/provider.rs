//! The services ccproxy knows: one row each, what differs between them as columns named after what
//! is seen on the wire. Code reads columns and never compares a name.
//!
//! Defaults for model and output limit are those that users of CCProxy have in their deployments;
//! the README names current models.

/// A service that speaks chat completions.
#[derive(Debug, Clone, Copy)]
pub struct Provider {
    /// The value of `PROVIDER`, and in upper case the prefix of the variables.
    pub name: &'static str,
    pub base_url: &'static str,
    /// What a base URL gets that names only a host.
    pub base_path: &'static str,
    /// Shown to who has to name the address.
    pub example_url: &'static str,
    /// Variables that may hold the key, in the order they are asked.
    pub key_vars: &'static [&'static str],
    pub key: Key,
    pub auth: Auth,
    pub model: &'static str,
    /// The largest `max_tokens` that is sent; 0 sends what the client asked for.
    pub max_tokens: u64,
    /// The smallest one that is taken.
    pub least_max_tokens: u64,
    pub max_tokens_field: MaxTokensField,
    /// Whether `stream_options.include_usage` is accepted (and needed).
    pub stream_usage: bool,
    /// How an effort is asked for, and in which words, by the model; other models refuse the field or
    /// are not known to take it.
    pub effort: EffortField,
    pub efforts: &'static [Efforts],
    /// How thinking is switched on and off, apart from efforts, and of which models.
    pub thinking: ThinkingField,
    pub thinking_models: &'static [&'static str],
    /// Models that are asked through `/responses`, unless the user says otherwise.
    pub responses_models: &'static [&'static str],
    /// Beginnings of the names of models that refuse `temperature`, `top_p` and `stop`.
    pub fixed_sampling_models: &'static [&'static str],
    /// Whether `temperature` and `top_p` may stand together.
    pub temperature_with_top_p: bool,
    pub top_k: bool,
    /// How many stop strings are taken.
    pub max_stop: usize,
    pub response_format: FormatSupport,
    /// The word for "call some tool".
    pub tool_choice_any: &'static str,
    pub tool_choice: ToolChoiceLimit,
    pub parallel_tool_calls: bool,
    /// Whether `tool_stream` is needed for arguments to come in pieces.
    pub tool_stream: bool,
    pub tool_id: ToolId,
    /// Whether the name of a tool must begin with a letter or `_`.
    pub tool_name_starts_with_letter: bool,
    /// How many tools are taken.
    pub max_tools: usize,
    /// Whether a user message may follow the result of a tool.
    pub user_after_tool: bool,
    /// Keywords that are taken out of every schema.
    pub schema_drops: &'static [&'static str],
    /// Whether models are shown pictures; `<P>_IMAGES` overrides.
    pub images: bool,
    /// Whether PDFs are taken as `file` parts.
    pub files: bool,
    /// How the model's own reasoning goes back to it.
    pub echo: Echo,
    /// Whether it has chat completions at all.
    pub speaks_chat: bool,
    /// Where its own Messages API is, without `/v1/messages`: `Some("")` is the host of `base_url`.
    pub native: Option<&'static str>,
    /// Models that are asked through it, unless the user says otherwise.
    pub native_models: &'static [&'static str],
    /// Whether it counts tokens.
    pub native_count_tokens: bool,
    /// Further headers: name, and the variable that holds the value.
    pub headers: &'static [(&'static str, &'static str)],
}

/// The words for efforts that some models know.
#[derive(Debug, Clone, Copy)]
pub struct Efforts {
    /// Beginnings of the models' names.
    pub models: &'static [&'static str],
    pub words: &'static [&'static str],
    /// Whether they take an effort beside tools. Where not, `none` is sent.
    pub beside_tools: bool,
}

impl Efforts {
    /// `words` for `models`, also beside tools.
    pub const fn of(models: &'static [&'static str], words: &'static [&'static str]) -> Efforts {
        Efforts { models, words, beside_tools: true }
    }
}

/// The header that carries the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// `Authorization: Bearer …`
    Bearer,
    /// `api-key: …`
    ApiKey,
    /// `x-api-key: …`
    XApiKey,
}

/// OpenAI's two APIs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Api {
    #[default]
    ChatCompletions,
    Responses,
}

/// How thinking is switched on and off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThinkingField {
    None,
    /// `thinking: {"type": "enabled" | "disabled"}`
    Type,
    /// `enable_thinking: true | false`
    EnableThinking,
    /// `chat_template_kwargs: {"enable_thinking": true | false}`
    ChatTemplate,
}

/// Which `tool_choice` is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolChoiceLimit {
    All,
    /// A call can be forced only while the model does not think.
    NotForcedInThinking,
    /// `auto` and `none`; a named function is refused.
    Modes,
    /// `auto` alone.
    AutoOnly,
}

/// Whether a service wants a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    Required,
    /// Sent if there is one.
    Optional,
    /// Inside this process: no key, no address, no network.
    Embedded,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaxTokensField {
    MaxTokens,
    MaxCompletionTokens,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EffortField {
    /// `reasoning_effort: "low" | "medium" | "high"`
    ReasoningEffort,
    /// `reasoning: {effort}`, which OpenRouter fits to each model.
    Reasoning,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FormatSupport {
    JsonSchema,
    /// Only `json_object`: the schema goes into the system prompt.
    JsonObject,
}

/// The form in which a model sees its own reasoning again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Echo {
    None,
    /// `reasoning_content`, the text, beside tool calls; `""` if it is not known.
    ReasoningContent,
    /// `reasoning_details`, as they came.
    ReasoningDetails,
    /// `extra_content.google.thought_signature` of each tool call, as it came.
    ThoughtSignature,
}

/// Which tool call ids are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolId {
    /// Up to 64 of `[a-zA-Z0-9_-]`.
    Opaque,
    /// Exactly nine of `[a-zA-Z0-9]`.
    NineAlphanumerics,
}

impl Provider {
    /// A plain server of chat completions.
    pub const COMPATIBLE: Provider = Provider {
        name: "",
        base_url: "",
        base_path: "/v1",
        example_url: "http://localhost:8000/v1",
        key_vars: &[],
        key: Key::Required,
        auth: Auth::Bearer,
        model: "",
        max_tokens: 0,
        least_max_tokens: 1,
        max_tokens_field: MaxTokensField::MaxTokens,
        stream_usage: true,
        effort: EffortField::ReasoningEffort,
        efforts: &[Efforts::of(&["gpt-oss", "openai/gpt-oss"], LOW_TO_HIGH)],
        thinking: ThinkingField::None,
        thinking_models: &[""],
        responses_models: &[],
        fixed_sampling_models: &[],
        temperature_with_top_p: true,
        top_k: false,
        max_stop: 4,
        response_format: FormatSupport::JsonSchema,
        tool_choice_any: "required",
        tool_choice: ToolChoiceLimit::All,
        parallel_tool_calls: true,
        tool_stream: false,
        tool_id: ToolId::Opaque,
        tool_name_starts_with_letter: false,
        max_tools: usize::MAX,
        user_after_tool: true,
        schema_drops: &[],
        images: true,
        files: false,
        echo: Echo::None,
        speaks_chat: true,
        native: None,
        native_models: &[],
        native_count_tokens: false,
        headers: &[],
    };

    /// The row called `name`.
    pub fn find(name: &str) -> Option<&'static Provider> {
        PROVIDERS.iter().find(|provider| provider.name == name)
    }

    /// The API through which `model` is asked.
    pub fn api_of(&self, model: &str) -> Api {
        if Provider::is_among(model, self.responses_models) {
            Api::Responses
        } else {
            Api::ChatCompletions
        }
    }

    /// Whether `model` is among `prefixes`.
    pub fn is_among(model: &str, prefixes: &[&str]) -> bool {
        prefixes.iter().any(|prefix| model.starts_with(prefix))
    }
}

/// The efforts that most services know.
const LOW_TO_HIGH: &[&str] = &["low", "medium", "high"];

/// Every provider. A new one is a row here, its golden file and its line in the README.
pub static PROVIDERS: &[Provider] = &[
    // https://console.groq.com/docs/openai
    Provider {
        name: "groq",
        base_url: "https://api.groq.com/openai/v1",
        key_vars: &["GROQ_API_KEY"],
        model: "moonshotai/kimi-k2-instruct",
        max_tokens: 16384,
        max_tokens_field: MaxTokensField::MaxCompletionTokens,
        // The others refuse it, or know other words: https://console.groq.com/docs/reasoning
        efforts: &[Efforts::of(&["openai/gpt-oss"], LOW_TO_HIGH)],
        schema_drops: &["$schema"],
        // Its default model reads text only, and refuses a message that has parts.
        images: false,
        ..Provider::COMPATIBLE
    },
    // https://platform.openai.com/docs/api-reference/chat/create
    Provider {
        name: "openai",
        base_url: "https://api.openai.com/v1",
        key_vars: &["OPENAI_API_KEY"],
        model: "gpt-4o",
        max_tokens: 4096,
        max_tokens_field: MaxTokensField::MaxCompletionTokens,
        efforts: &[
            // "Function tools with reasoning_effort are not supported … in /v1/chat/completions":
            // https://github.com/pipecat-ai/pipecat/issues/4043
            Efforts {
                models: &["gpt-5.4", "gpt-5.5", "gpt-5.6"],
                words: &["none", "low", "medium", "high"],
                beside_tools: false,
            },
            Efforts::of(&["o1", "o3", "o4", "gpt-5"], LOW_TO_HIGH),
        ],
        // https://github.com/BittnerPierre/AI-Agent-Casebook/issues/133 (stop)
        fixed_sampling_models: &["o1", "o3", "o4", "gpt-5"],
        files: true,
        headers: &[("OpenAI-Organization", "OPENAI_ORGANIZATION")],
        ..Provider::COMPATIBLE
    },
    // https://openrouter.ai/docs/api-reference/chat-completion
    Provider {
        name: "openrouter",
        base_url: "https://openrouter.ai/api/v1",
        key_vars: &["OPENROUTER_API_KEY"],
        model: "openai/gpt-4o",
        max_tokens: 4096,
        effort: EffortField::Reasoning,
        // Every model: OpenRouter drops what a model does not take.
        efforts: &[Efforts::of(&[""], LOW_TO_HIGH)],
        top_k: true,
        files: true,
        echo: Echo::ReasoningDetails,
        headers: &[("HTTP-Referer", "OPENROUTER_SITE_URL"), ("X-Title", "OPENROUTER_SITE_NAME")],
        ..Provider::COMPATIBLE
    },
    // https://docs.x.ai/docs/api-reference
    Provider {
        name: "xai",
        base_url: "https://api.x.ai/v1",
        key_vars: &["XAI_API_KEY"],
        model: "grok-beta",
        max_tokens: 128_000,
        max_tokens_field: MaxTokensField::MaxCompletionTokens,
        // "Model … does not support parameter reasoningEffort", from every other one:
        // https://docs.x.ai/docs/guides/reasoning
        efforts: &[Efforts::of(&["grok-4.3", "grok-4.5", "grok-4.6"], LOW_TO_HIGH)],
        // Its reasoning models refuse stop strings: https://github.com/huggingface/smolagents/pull/1766
        max_stop: 0,
        ..Provider::COMPATIBLE
    },
    // https://ai.google.dev/gemini-api/docs/openai
    Provider {
        name: "gemini",
        base_url: "https://generativelanguage.googleapis.com/v1beta/openai",
        key_vars: &["GEMINI_API_KEY", "GOOGLE_API_KEY"],
        model: "gemini-2.0-flash",
        max_tokens: 32768,
        efforts: &[Efforts::of(&["gemini-2.5", "gemini-3"], LOW_TO_HIGH)],
        schema_drops: &[
            "$schema",
            "additionalProperties",
            "propertyNames",
            "exclusiveMinimum",
            "exclusiveMaximum",
            "multipleOf",
            "patternProperties",
            "const",
            "if",
            "then",
            "else",
        ],
        echo: Echo::ThoughtSignature,
        ..Provider::COMPATIBLE
    },
    // https://docs.mistral.ai/api/
    Provider {
        name: "mistral",
        base_url: "https://api.mistral.ai/v1",
        key_vars: &["MISTRAL_API_KEY"],
        model: "mistral-large-latest",
        max_tokens: 32768,
        // Usage comes unasked in the last chunk, and unknown fields are a 422:
        // https://github.com/mistralai/client-python/blob/main/docs/models/chatcompletionrequest.md
        stream_usage: false,
        efforts: &[],
        tool_choice_any: "any",
        tool_id: ToolId::NineAlphanumerics,
        ..Provider::COMPATIBLE
    },
    // https://docs.ollama.com/api/openai-compatibility
    Provider {
        name: "ollama",
        base_url: "http://localhost:11434/v1",
        key_vars: &["OLLAMA_API_KEY"],
        key: Key::Optional,
        model: "llama3.2",
        max_tokens: 4096,
        ..Provider::COMPATIBLE
    },
    // https://api-docs.deepseek.com/
    Provider {
        name: "deepseek",
        base_url: "https://api.deepseek.com/v1",
        key_vars: &["DEEPSEEK_API_KEY"],
        model: "deepseek-chat",
        max_tokens: 8192,
        efforts: &[],
        // "This response_format type is unavailable now":
        // https://github.com/UKGovernmentBEIS/inspect_ai/issues/4916
        response_format: FormatSupport::JsonObject,
        max_stop: 16,
        images: false,
        // https://github.com/earendil-works/pi/issues/3636
        echo: Echo::ReasoningContent,
        ..Provider::COMPATIBLE
    },
    // Any other server of chat completions; CUSTOM_BASE_URL says which.
    Provider {
        name: "custom",
        key_vars: &["CUSTOM_API_KEY"],
        key: Key::Optional,
        ..Provider::COMPATIBLE
    },
    // The provider inside this program.
    Provider { name: "echo", key: Key::Embedded, model: "echo", ..Provider::COMPATIBLE },
];
