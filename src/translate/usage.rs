//! Token counts: the one place that splits, guards and estimates them.

use crate::anthropic::Usage;
use crate::openai::{ResponsesUsage, UpstreamUsage};

/// The counts of the upstream in Anthropic's split: its `prompt_tokens` include what came from a
/// cache or went into one, Anthropic's `input_tokens` do not.
pub fn translate(upstream: &UpstreamUsage) -> Usage {
    let details = upstream.prompt_tokens_details.0;
    let cached = details.cached_tokens.0.or(upstream.prompt_cache_hit_tokens.0);
    let prompt = upstream.prompt_tokens.0;
    // xAI counts reasoning in the total alone: https://github.com/evalstate/fast-agent/pull/276
    let output = match (upstream.total_tokens.0, prompt, upstream.completion_tokens.0) {
        (Some(total), Some(prompt), Some(completion)) => {
            Some(total.saturating_sub(prompt).max(completion))
        }
        (_, _, completion) => completion,
    };
    split(prompt, cached, details.cache_write_tokens.0, output)
}

/// The same for the counts of the Responses API.
pub fn of_response(upstream: &ResponsesUsage) -> Usage {
    let details = upstream.input_tokens_details.0;
    split(
        upstream.input_tokens.0,
        details.cached_tokens.0,
        details.cache_write_tokens.0,
        upstream.output_tokens.0,
    )
}

fn split(
    prompt: Option<u64>,
    cached: Option<u64>,
    written: Option<u64>,
    output: Option<u64>,
) -> Usage {
    let prompt = prompt.unwrap_or(0);
    let cached = cached.unwrap_or(0).min(prompt);
    let written = written.unwrap_or(0).min(prompt - cached);
    Usage {
        input_tokens: prompt - cached - written,
        cache_creation_input_tokens: written,
        cache_read_input_tokens: cached,
        output_tokens: output.unwrap_or(0),
    }
}

/// The counts of a message whose upstream tells none, both of them estimates. Without them Claude
/// Code never compacts.
pub fn estimated(input_tokens: u64, output_tokens: u64) -> Usage {
    Usage { input_tokens, output_tokens: output_tokens.max(1), ..Usage::default() }
}
