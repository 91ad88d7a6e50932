//! Token counts: the one place that splits, guards and estimates them.

use crate::anthropic::Usage;
use crate::openai::UpstreamUsage;

/// The counts of the upstream in Anthropic's split: its `prompt_tokens` include what came from a
/// cache, Anthropic's `input_tokens` do not.
pub fn translate(upstream: &UpstreamUsage) -> Usage {
    let prompt = upstream.prompt_tokens.0.unwrap_or(0);
    let cached = upstream
        .prompt_tokens_details
        .and_then(|details| details.cached_tokens.0)
        .or(upstream.prompt_cache_hit_tokens.0)
        .unwrap_or(0)
        .min(prompt);
    Usage {
        input_tokens: prompt - cached,
        cache_creation_input_tokens: 0,
        cache_read_input_tokens: cached,
        output_tokens: upstream.completion_tokens.0.unwrap_or(0),
    }
}

/// The counts of a message whose upstream tells none. Without them Claude Code never compacts.
///
/// Four bytes a token, as everywhere where ccproxy has to guess.
pub fn estimated(input_tokens: u64, output_bytes: usize) -> Usage {
    Usage {
        input_tokens,
        output_tokens: (output_bytes as u64).div_ceil(4).max(1),
        ..Usage::default()
    }
}
