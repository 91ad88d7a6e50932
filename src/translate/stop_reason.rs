//! `finish_reason` → `stop_reason`.

use crate::anthropic::StopReason;

/// Every word seen in the field, in lower case. Words that are not listed mean a normal end.
const STOP_REASONS: &[(&str, StopReason)] = &[
    ("stop", StopReason::EndTurn),
    ("eos", StopReason::EndTurn),
    ("length", StopReason::MaxTokens),
    ("max_tokens", StopReason::MaxTokens),
    ("max_output_tokens", StopReason::MaxTokens),
    ("model_length", StopReason::MaxTokens),
    ("tool_calls", StopReason::ToolUse),
    ("tool_use", StopReason::ToolUse),
    ("function_call", StopReason::ToolUse),
    ("content_filter", StopReason::Refusal),
    ("refusal", StopReason::Refusal),
    ("safety", StopReason::Refusal),
    ("recitation", StopReason::Refusal),
    ("prohibited_content", StopReason::Refusal),
];

/// Words that say the upstream failed.
const FAILURES: &[&str] = &["error", "insufficient_system_resource"];

/// Whether the upstream gives `finish_reason` for a failure of its own.
pub fn is_failure(finish_reason: &str) -> bool {
    FAILURES.iter().any(|word| word.eq_ignore_ascii_case(finish_reason))
}

/// The stop reason of a message that has a tool call or not.
///
/// A message with a tool call stops for it whatever the upstream says, since the client runs tools
/// only then; one without never does.
pub fn stop_reason(finish_reason: &str, has_tool_use: bool) -> StopReason {
    let word = finish_reason.to_ascii_lowercase();
    let named = STOP_REASONS
        .iter()
        .find(|(finish, _)| *finish == word)
        .map_or(StopReason::EndTurn, |(_, stop)| *stop);
    match named {
        StopReason::MaxTokens | StopReason::Refusal => named,
        _ if has_tool_use => StopReason::ToolUse,
        StopReason::ToolUse => StopReason::EndTurn,
        other => other,
    }
}
