//! The rows. What a row says that differs from [`Provider::COMPATIBLE`] was learned from the pages
//! and threads named beside it.
//!
//! The default models are those that a service offered on the day beside them, fit for an agent:
//! with tools, and a window that Claude Code can work in. A model that was one before is sent as it
//! stands.
//!
//! A new one is a constant in the file of its kind, its place in [`PROVIDERS`], its golden file,
//! its dialect in the test server, and what `UPDATE_GOLDEN=1 cargo test` writes into the README.

mod clouds;
mod gateways;
mod hosts;
mod labs;
mod own;
pub(super) mod words;

use super::Provider;

/// Every provider, in the order in which they are listed.
pub static PROVIDERS: &[Provider] = &[
    hosts::GROQ,
    labs::OPENAI,
    gateways::OPENROUTER,
    labs::XAI,
    labs::GEMINI,
    labs::MISTRAL,
    own::OLLAMA,
    labs::DEEPSEEK,
    hosts::CEREBRAS,
    hosts::TOGETHER,
    hosts::FIREWORKS,
    labs::ZAI,
    labs::ZAI_PLAN,
    labs::MOONSHOT,
    labs::KIMI_PLAN,
    labs::DASHSCOPE,
    labs::QWEN_PLAN,
    labs::MINIMAX,
    labs::XIAOMI,
    labs::VOLCENGINE,
    labs::VOLCENGINE_PLAN,
    labs::BYTEPLUS,
    labs::BYTEPLUS_PLAN,
    hosts::NVIDIA,
    hosts::SILICONFLOW,
    hosts::NOVITA,
    hosts::DEEPINFRA,
    gateways::HUGGINGFACE,
    gateways::VERCEL,
    gateways::OPENCODE,
    gateways::OPENCODE_GO,
    clouds::AZURE,
    clouds::BEDROCK,
    clouds::VERTEX,
    own::VLLM,
    own::LLAMACPP,
    own::LMSTUDIO,
    labs::ANTHROPIC,
    own::CUSTOM,
    own::ECHO,
];
