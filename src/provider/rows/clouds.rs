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
    ..Provider::COMPATIBLE
};
