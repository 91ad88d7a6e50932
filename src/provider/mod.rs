//! The services ccproxy knows: one row each, what differs between them as columns named after what
//! is seen on the wire. Code reads columns and never compares a name.

#![forbid(unsafe_code)]
#![expect(missing_docs, reason = "columns are named after what is seen on the wire")]

mod limits;
mod rows;
mod schema_rules;
mod search;

use crate::openai::Dialect;
pub use limits::Limits;
pub use rows::PROVIDERS;
use rows::words::LOW_TO_HIGH;
pub use schema_rules::SchemaRules;
pub use search::{ResponsesSearch, Search, SearchFields};

/// A service: how it is reached, and what it takes.
#[derive(Debug, Clone, Copy)]
pub struct Provider {
    /// The value of `PROVIDER`, and in upper case the prefix of the variables.
    pub name: &'static str,
    /// The prefix of its variables where that is another.
    pub prefix: &'static str,
    /// The page that says how it is asked.
    pub source: &'static str,
    /// The day on which the row was last held against what the service says.
    pub checked: &'static str,
    /// Whether the default model is known from others' lists alone: the service's own was not read.
    pub model_is_inferred: bool,
    /// What else people call it: its company, its models.
    pub also: &'static [&'static str],
    /// The row that the keys of its plan are for, which this one's address calls an empty account.
    pub plan: &'static str,
    /// How its keys begin, where no other service's do.
    pub key_prefixes: &'static [&'static str],
    /// Whether other programs have variables that begin like those of its settings.
    pub shares_prefix: bool,
    /// Whether its key alone chooses it.
    pub by_key: bool,
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
    /// Whether it knows Claude's names, which are then passed on unless a model is configured.
    pub knows_claude: bool,
    /// How much its models take and write: the first that fits the name.
    pub limits: &'static [Limits],
    /// The smallest one that is taken.
    pub least_max_tokens: u64,
    pub max_tokens_field: MaxTokensField,
    /// Whether `stream_options.include_usage` is accepted (and needed).
    pub stream_usage: bool,
    /// How an effort is asked for, and in which words, by the model; other models refuse the field
    /// or are not known to take it.
    pub effort: EffortField,
    pub efforts: &'static [Efforts],
    /// Whether an effort is asked for of models that are not among them: a refusal tells the words.
    pub tries_efforts: bool,
    /// How thinking is switched on and off, apart from efforts, and of which models.
    pub thinking: ThinkingField,
    pub thinking_models: &'static [&'static str],
    /// Whether models think only where the answer is streamed.
    pub thinks_in_streams_only: bool,
    /// Models that are asked through `/responses`, unless the user says otherwise.
    pub responses_models: &'static [&'static str],
    /// Models whose history tells of each message whether it was said on the way or at the end.
    pub phase_models: &'static [&'static str],
    /// Beginnings of the names of models that refuse `temperature` and `top_p`, and `stop`.
    pub fixed_sampling_models: &'static [&'static str],
    pub no_stop_models: &'static [&'static str],
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
    /// Whether the server may leave a model's tool calls, and the end of its thinking, in the text;
    /// `<P>_TEXT_TOOLS` overrides.
    pub text_tools: bool,
    pub tool_id: ToolId,
    /// Models that read the ids of calls, which must be `functions.NAME:INDEX`.
    pub tool_id_models: &'static [&'static str],
    pub tool_name: ToolName,
    /// Whether a tool must have a description.
    pub tool_description: bool,
    /// How many tools are taken.
    pub max_tools: usize,
    /// Whether a user message may follow the result of a tool.
    pub user_after_tool: bool,
    /// What marks a last message that is the assistant's, which the model is to go on with.
    pub prefill: Prefill,
    /// What schemas have to be like.
    pub schema: SchemaRules,
    /// Whether models are shown pictures; `<P>_IMAGES` overrides.
    pub images: bool,
    /// Models for which it is the other way round.
    pub image_exceptions: &'static [&'static str],
    /// Whether pictures may be given by their address.
    pub image_urls: bool,
    /// Where a session is named, so that its prompt is found in the same cache.
    pub session: SessionField,
    /// Models whose prompts are cached up to the `cache_control` of their parts.
    pub cache_control_models: &'static [&'static str],
    /// The same in the Responses API, where it is a `prompt_cache_breakpoint`.
    pub cache_breakpoint_models: &'static [&'static str],
    /// How it searches the web by itself.
    pub search: Search,
    /// Whether its own Messages API does, as Anthropic's.
    pub native_search: bool,
    /// Whether PDFs are taken as `file` parts.
    pub files: bool,
    /// How the model's own reasoning goes back to it.
    pub echo: Echo,
    /// Whether it has chat completions at all.
    pub speaks_chat: bool,
    /// Where its own Messages API is, without `/v1/messages`: what is no URL is a path behind
    /// `base_url` without its version.
    pub native: Option<&'static str>,
    /// Models that are asked through it, unless the user says otherwise.
    pub native_models: &'static [&'static str],
    /// Whether it is Anthropic's own, which takes all that clients send: threads, system messages
    /// between the others, Claude Code's billing line.
    pub native_is_anthropics: bool,
    /// Models that always think, and refuse to be told not to.
    pub native_always_thinks: &'static [&'static str],
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
    /// `reasoning: {"enabled": true | false}`
    Reasoning,
}

/// Which names of tools are taken, beside their length of up to 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolName {
    /// `[a-zA-Z0-9_-]`
    Plain,
    /// The same, a letter or `_` first, and so many characters at least.
    LetterFirst(usize),
    /// `[a-zA-Z0-9_]`
    WithoutDash,
}

/// How the beginning of an answer is marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefill {
    Unmarked,
    /// `prefix: true`
    Prefix,
    /// `partial: true`
    Partial,
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

/// Where a session is named. The Responses API has a field of its own for it, `prompt_cache_key`,
/// which is sent wherever a session is named at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionField {
    /// Nowhere: the cache is found by the prompt alone, or there is none.
    None,
    /// `prompt_cache_key`, of at most 64 characters.
    PromptCacheKey,
    /// A header, also of its own Messages API.
    Header(&'static str),
}

/// The form in which a model sees its own reasoning again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Echo {
    None,
    /// `reasoning_content`, the text; `""` beside tool calls if it is not known.
    ReasoningContent,
    /// `reasoning`, the text.
    Reasoning,
    /// The text, in the one of these two fields that it came in.
    SameField,
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
    /// `functions.NAME:INDEX`, counted through the conversation.
    OfFunction,
}

/// Which models are shown pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Images {
    usual: bool,
    except: &'static [&'static str],
}

impl Images {
    /// The same for all of them.
    pub fn all(shown: bool) -> Images {
        Images { usual: shown, except: &[] }
    }

    /// Whether this one is.
    pub fn of(self, model: &str) -> bool {
        self.usual != Provider::is_among(model, self.except)
    }
}

impl Provider {
    /// Which of its models are shown pictures.
    pub fn shown_images(&self) -> Images {
        Images { usual: self.images, except: self.image_exceptions }
    }

    /// A plain server of chat completions.
    pub const COMPATIBLE: Provider = Provider {
        name: "",
        prefix: "",
        source: "",
        checked: "",
        model_is_inferred: false,
        also: &[],
        plan: "",
        key_prefixes: &[],
        shares_prefix: false,
        by_key: true,
        base_url: "",
        base_path: "/v1",
        example_url: "http://localhost:8000/v1",
        key_vars: &[],
        key: Key::Required,
        auth: Auth::Bearer,
        model: "",
        knows_claude: false,
        limits: &[],
        least_max_tokens: 1,
        max_tokens_field: MaxTokensField::MaxTokens,
        stream_usage: true,
        effort: EffortField::ReasoningEffort,
        efforts: &[Efforts::of(&["gpt-oss", "openai/gpt-oss"], LOW_TO_HIGH)],
        tries_efforts: false,
        thinking: ThinkingField::None,
        thinking_models: &[""],
        thinks_in_streams_only: false,
        responses_models: &[],
        phase_models: &[],
        fixed_sampling_models: &[],
        no_stop_models: &[],
        top_k: false,
        max_stop: 4,
        response_format: FormatSupport::JsonSchema,
        tool_choice_any: "required",
        tool_choice: ToolChoiceLimit::All,
        parallel_tool_calls: true,
        tool_stream: false,
        text_tools: false,
        tool_id: ToolId::Opaque,
        // https://github.com/MoonshotAI/K2-Vendor-Verifier; K3 does without:
        // https://github.com/sgl-project/sglang/issues/33343
        tool_id_models: &[
            "kimi-k2",
            "Kimi-K2",
            "moonshotai/kimi-k2",
            "moonshotai/Kimi-K2",
            "accounts/fireworks/models/kimi-k2",
        ],
        tool_name: ToolName::Plain,
        tool_description: false,
        max_tools: usize::MAX,
        user_after_tool: true,
        prefill: Prefill::Unmarked,
        schema: SchemaRules::ANY,
        images: true,
        image_exceptions: &[],
        image_urls: true,
        search: Search::None,
        native_search: false,
        session: SessionField::None,
        cache_control_models: &[],
        cache_breakpoint_models: &[],
        files: false,
        echo: Echo::None,
        speaks_chat: true,
        native: None,
        native_models: &[],
        native_is_anthropics: false,
        native_always_thinks: &[],
        native_count_tokens: false,
        headers: &[],
    };

    /// The row called `name`.
    pub fn find(name: &str) -> Option<&'static Provider> {
        PROVIDERS.iter().find(|provider| provider.name == name)
    }

    /// The API through which `model` is asked.
    pub fn api_of(&self, model: &str) -> Dialect {
        if Provider::is_among(model, self.responses_models) {
            Dialect::Responses
        } else {
            Dialect::ChatCompletions
        }
    }

    /// The words for efforts that are tried with a model of which none are known: those that nearly
    /// every service has.
    pub const TRIED_EFFORTS: &[&str] = LOW_TO_HIGH;

    /// Whether efforts are known for `model`, which so reasons.
    pub fn knows_effort(&self, model: &str) -> bool {
        let known = self.efforts.iter().find(|efforts| Provider::is_among(model, efforts.models));
        known.is_some_and(|efforts| !efforts.words.is_empty())
    }

    /// Whether `model` is among `prefixes`.
    pub fn is_among(model: &str, prefixes: &[&str]) -> bool {
        prefixes.iter().any(|prefix| model.starts_with(prefix))
    }
}
