//! Models in the clouds of others.

use super::words::*;
use crate::provider::*;

// https://learn.microsoft.com/en-us/azure/foundry/openai/api-version-lifecycle; the model is
// the name of a deployment, so rules by model hold where that is the model's.
pub(super) const AZURE: Provider = Provider {
    name: "azure",
    source: "https://learn.microsoft.com/en-us/azure/foundry/openai/api-version-lifecycle",
    checked: "2026-11-28",
    also: &["azure-openai", "foundry"],
    shares_prefix: true,
    base_path: "/openai/v1",
    example_url: "https://RESOURCE.openai.azure.com/openai/v1",
    key_vars: &["AZURE_API_KEY", "AZURE_OPENAI_API_KEY"],
    auth: Auth::ApiKey,
    limits: OPENAI_LIMITS,
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
    tries_efforts: true,
    // What is no model of OpenAI's refuses it, which is learned:
    // https://github.com/earendil-works/pi/issues/9645
    session: SessionField::PromptCacheKey,
    // No search: its Responses API has one by a Bing resource that has to be set up and paid apart.
    ..Provider::COMPATIBLE
};

// https://docs.aws.amazon.com/bedrock/latest/userguide/bedrock-mantle.html, with a Bedrock API key:
// nothing is signed. Keys and models belong to a region, which is in the address.
pub(super) const BEDROCK: Provider = Provider {
    name: "bedrock",
    source: "https://docs.aws.amazon.com/bedrock/latest/userguide/bedrock-mantle.html",
    checked: "2026-11-28",
    also: &["aws", "amazon", "mantle"],
    key_prefixes: &["ABSK", "bedrock-api-key-"],
    shares_prefix: true,
    base_url: "https://bedrock-mantle.us-east-1.api.aws/v1",
    key_vars: &["BEDROCK_API_KEY", "AWS_BEARER_TOKEN_BEDROCK"],
    // https://docs.aws.amazon.com/bedrock/latest/userguide/model-card-zai-glm-5.html
    model: "zai.glm-5",
    limits: &[
        Limits::of(
            &["zai.glm-5"],
            200_000,
            128_000,
            "https://docs.aws.amazon.com/bedrock/latest/userguide/model-card-zai-glm-5.html",
        ),
        Limits::of(
            &["openai.gpt-oss"],
            131_072,
            0,
            "https://litellm.vercel.app/docs/providers/bedrock_mantle",
        ),
    ],
    efforts: &[
        Efforts::of(&["openai.gpt-oss"], LOW_TO_HIGH),
        Efforts::of(&["zai.", "qwen.", "mistral.", "google.", "deepseek."], &[]),
    ],
    images: false,
    echo: Echo::SameField,
    // https://docs.aws.amazon.com/bedrock/latest/userguide/inference-messages-api.html
    native: Some("/anthropic"),
    native_models: &["anthropic."],
    tries_efforts: true,
    ..Provider::COMPATIBLE
};

// https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/call-vertex-using-openai-library:
// Gemini's dialect, below the project's address, for a token that ends within the hour.
pub(super) const VERTEX: Provider = Provider {
    name: "vertex",
    source: "https://cloud.google.com/vertex-ai/generative-ai/docs/migrate/openai/overview",
    also: &["vertexai", "google-vertex"],
    key_prefixes: &["ya29."],
    base_url: "",
    base_path: "/v1/projects/PROJECT/locations/global/endpoints/openapi",
    example_url: "https://aiplatform.googleapis.com/v1/projects/PROJECT/locations/global/endpoints/openapi",
    key_vars: &["VERTEX_API_KEY"],
    model: "google/gemini-3.8-flash",
    limits: &[Limits::of(
        &["google/gemini-"],
        1_048_576,
        65_536,
        "https://ai.google.dev/gemini-api/docs/models",
    )],
    efforts: &[
        Efforts::of(&["google/gemini-2.5-pro"], LOW_TO_HIGH),
        Efforts::of(&["google/gemini-2.5"], NONE_TO_HIGH),
        Efforts::of(
            &["google/gemini-3.1-pro", "google/gemini-3.7", "google/gemini-3.8", "google/gemini-4"],
            LOW_TO_HIGH,
        ),
        Efforts::of(&["google/gemini-3"], &["minimal", "low", "medium", "high"]),
        Efforts::of(&["openai/gpt-oss"], LOW_TO_HIGH),
    ],
    // "Corresponds to the GoogleSearch tool. No sub-options are supported":
    // https://docs.cloud.google.com/vertex-ai/generative-ai/docs/migrate/openai/overview
    search: Search::Options,
    ..super::labs::GEMINI
};
