//! Token counts: the one place that splits, guards and estimates them.

use crate::anthropic::Usage;
use crate::openai::{Number, ResponsesUsage, UpstreamUsage};

/// The counts of an upstream, as far as it tells them. What is negative or no number is not told,
/// and no prompt has 0 tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// All of the input, with what came from a cache or went into one.
    input: Option<u64>,
    cached: u64,
    written: u64,
    output: Option<u64>,
}

impl Counts {
    /// The counts in Anthropic's split, whose `input_tokens` leave out what has to do with a cache;
    /// what is not told is estimated. Without counts Claude Code never compacts.
    pub(super) fn filled(self, input_estimate: u64, output_estimate: u64) -> Usage {
        let input = self.input.filter(|n| *n > 0).unwrap_or(input_estimate);
        let cached = self.cached.min(input);
        let written = self.written.min(input - cached);
        Usage {
            input_tokens: input - cached - written,
            cache_creation_input_tokens: written,
            cache_read_input_tokens: cached,
            output_tokens: self.output.unwrap_or_else(|| output_estimate.max(1)),
            server_tool_use: None,
        }
    }
}

/// The counts of chat completions: their `prompt_tokens` include what has to do with a cache, but
/// for gateways that tell it beside them.
pub(super) fn translate(upstream: &UpstreamUsage) -> Counts {
    let (details, others) = (upstream.prompt_tokens_details.0, upstream.input_tokens_details.0);
    let number = |number: Number| number.0.unwrap_or(0);
    let cached = [
        details.read(),
        others.read(),
        number(upstream.prompt_cache_hit_tokens),
        number(upstream.cached_tokens),
        number(upstream.cache_read_input_tokens),
    ];
    let written =
        [details.written(), others.written(), number(upstream.cache_creation_input_tokens)];
    let cached = cached.into_iter().max().unwrap_or(0);
    let written = written.into_iter().max().unwrap_or(0);
    let completion = upstream.completion_tokens.0.or(upstream.output_tokens.0);
    let total = upstream.total_tokens.0;
    let rest = || total?.checked_sub(completion?).filter(|rest| *rest > 0);
    let prompt = upstream.prompt_tokens.0.or(upstream.input_tokens.0).or_else(rest);
    let beside = cached.saturating_add(written);
    let input = prompt.map(|prompt| {
        let is_in_total = total.is_some_and(|total| {
            beside > 0
                && total == prompt.saturating_add(beside).saturating_add(completion.unwrap_or(0))
        });
        if beside > prompt || is_in_total { prompt.saturating_add(beside) } else { prompt }
    });
    // xAI counts reasoning in the total alone: https://github.com/evalstate/fast-agent/pull/276
    let output = match (total, input, completion) {
        (Some(total), Some(input), Some(completion)) => {
            Some(total.saturating_sub(input).max(completion))
        }
        (_, _, completion) => completion,
    };
    Counts { input, cached, written, output }
}

/// The same for the counts of the Responses API.
pub(super) fn of_response(upstream: &ResponsesUsage) -> Counts {
    let details = upstream.input_tokens_details.0;
    Counts {
        input: upstream.input_tokens.0,
        cached: details.read(),
        written: details.written(),
        output: upstream.output_tokens.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Input, written to a cache, read from one, output; of a prompt of 77 tokens and 5 of output,
    /// as they are estimated.
    fn counts(json: &str) -> [u64; 4] {
        let upstream: UpstreamUsage = serde_json::from_str(json).expect("usage");
        let usage = translate(&upstream).filled(77, 5);
        [
            usage.input_tokens,
            usage.cache_creation_input_tokens,
            usage.cache_read_input_tokens,
            usage.output_tokens,
        ]
    }

    #[test]
    fn what_came_from_a_cache_is_found_wherever_it_stands() {
        for cached in [
            r#""prompt_tokens_details":{"cached_tokens":90}"#,
            r#""prompt_tokens_details":{"cached_tokens":0},"cached_tokens":90"#,
            r#""prompt_tokens_details":null,"cached_tokens":90"#,
            r#""prompt_cache_hit_tokens":90,"prompt_cache_miss_tokens":10"#,
            r#""input_tokens_details":{"cached_tokens":90}"#,
            r#""cache_read_input_tokens":90"#,
            r#""prompt_tokens_details":{"cache_read_tokens":90}"#,
        ] {
            let usage = format!(r#"{{"prompt_tokens":100,"completion_tokens":2,{cached}}}"#);
            assert_eq!(counts(&usage), [10, 0, 90, 2], "{usage}");
        }
        let written = r#"{"prompt_tokens":100,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":60,"cache_creation_tokens":30}}"#;
        assert_eq!(counts(written), [10, 30, 60, 2]);
    }

    /// Decided: a cache beside the prompt is input that was read from it, and no output, however
    /// the total counts it. Such a gateway cannot mean the output by what is larger than the
    /// prompt.
    #[test]
    fn a_cache_that_is_counted_beside_the_prompt_is_not_output() {
        for (usage, wanted) in [
            (
                r#"{"prompt_tokens":10,"completion_tokens":2,"total_tokens":1012,"cache_read_input_tokens":1000}"#,
                [10, 0, 1000, 2],
            ),
            (
                r#"{"prompt_tokens":10,"completion_tokens":2,"total_tokens":12,"cache_read_input_tokens":1000}"#,
                [10, 0, 1000, 2],
            ),
            (
                r#"{"prompt_tokens":1000,"completion_tokens":2,"total_tokens":1102,"cached_tokens":100}"#,
                [1000, 0, 100, 2],
            ),
            (
                r#"{"input_tokens":10,"output_tokens":2,"cache_read_input_tokens":1000,"cache_creation_input_tokens":5}"#,
                [10, 5, 1000, 2],
            ),
            // Reasoning that the total alone counts.
            (r#"{"prompt_tokens":10,"completion_tokens":2,"total_tokens":52}"#, [10, 0, 0, 42]),
        ] {
            assert_eq!(counts(usage), wanted, "{usage}");
        }
    }

    /// Decided: a count below nothing is none, and is estimated like one that is missing.
    #[test]
    fn numbers_that_are_negative_or_missing_are_estimated() {
        for (usage, wanted) in [
            (r#"{"prompt_tokens":-1,"completion_tokens":2}"#, [77, 0, 0, 2]),
            (r#"{"prompt_tokens":0,"completion_tokens":2}"#, [77, 0, 0, 2]),
            (r#"{"completion_tokens":2,"total_tokens":12}"#, [10, 0, 0, 2]),
            (r#"{"prompt_tokens":10}"#, [10, 0, 0, 5]),
            (r#"{"prompt_tokens":10,"completion_tokens":-3}"#, [10, 0, 0, 5]),
            (
                r#"{"prompt_tokens":10,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":-7}}"#,
                [10, 0, 0, 2],
            ),
            (
                r#"{"prompt_tokens":18446744073709551615,"completion_tokens":2,"cached_tokens":5}"#,
                [18446744073709551610, 0, 5, 2],
            ),
        ] {
            assert_eq!(counts(usage), wanted, "{usage}");
        }
    }
}
