//! Servers of one's own, any other server, and the provider inside this program.

use super::words::*;
use crate::provider::*;

// https://docs.ollama.com/api/openai-compatibility
// https://github.com/ollama/ollama/blob/main/openai/openai.go
pub(super) const OLLAMA: Provider = Provider {
    name: "ollama",
    source: "https://docs.ollama.com/api/openai-compatibility",
    checked: "2026-11-28",
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
};

// https://docs.vllm.ai/en/stable/serving/openai_compatible_server/
pub(super) const VLLM: Provider = Provider {
    name: "vllm",
    source: "https://docs.vllm.ai/en/stable/serving/openai_compatible_server/",
    checked: "2026-11-28",
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
};

// https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md
pub(super) const LLAMACPP: Provider = Provider {
    name: "llamacpp",
    source: "https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md",
    checked: "2026-11-28",
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
};

// https://lmstudio.ai/docs/developer/openai-compat/chat-completions
pub(super) const LMSTUDIO: Provider = Provider {
    name: "lmstudio",
    source: "https://lmstudio.ai/docs/developer/openai-compat/chat-completions",
    checked: "2026-11-28",
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
};

// Any other server of chat completions; CUSTOM_BASE_URL says which.
pub(super) const CUSTOM: Provider = Provider {
    name: "custom",
    source: "https://platform.openai.com/docs/api-reference/chat/create",
    checked: "2026-11-28",
    key_vars: &["CUSTOM_API_KEY"],
    key: Key::Optional,
    schema: LOCAL_GRAMMAR,
    text_tools: true,
    search: Search::Unknown,
    efforts: &[
        Efforts::of(&["gpt-oss", "openai/gpt-oss"], LOW_TO_HIGH),
        // They do not think.
        Efforts::of(&["llama", "meta-llama/", "gpt-3", "gpt-4", "mixtral"], &[]),
    ],
    tries_efforts: true,
    ..Provider::COMPATIBLE
};

// The provider inside this program.
pub(super) const ECHO: Provider = Provider {
    name: "echo",
    source: "#the-provider-echo",
    checked: "2026-11-28",
    key: Key::Embedded,
    model: "echo",
    ..Provider::COMPATIBLE
};
