//! `finish_reason` → `stop_reason`.

use crate::anthropic::StopReason;

/// What an upstream's word for the end of its answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finish {
    /// The answer stopped for this.
    Stop(StopReason),
    /// The upstream failed: what came is no finished turn.
    Failed,
    /// A word that nobody knows.
    Unknown,
}

const TURN: Finish = Finish::Stop(StopReason::EndTurn);
const CUT: Finish = Finish::Stop(StopReason::MaxTokens);
const CALL: Finish = Finish::Stop(StopReason::ToolUse);
const FILTER: Finish = Finish::Stop(StopReason::Refusal);
const WINDOW: Finish = Finish::Stop(StopReason::ModelContextWindowExceeded);

/// Every word seen in the field, in small letters without anything else, so that `MAX_TOKENS`,
/// `maxTokens` and `max-tokens` are one.
///
/// Google's: <https://ai.google.dev/api/generate-content#FinishReason>, Z.ai's: the reference of
/// its chat completions, vLLM's `abort`, Cohere's, TGI's and Bedrock's from their references.
const WORDS: &[(&str, Finish)] = &[
    ("stop", TURN),
    ("endturn", TURN),
    ("stopsequence", TURN),
    ("eos", TURN),
    ("eostoken", TURN),
    ("complete", TURN),
    ("completed", TURN),
    ("done", TURN),
    ("endofturn", TURN),
    ("endofmessage", TURN),
    ("pauseturn", TURN),
    ("length", CUT),
    ("maxtokens", CUT),
    ("maxoutputtokens", CUT),
    ("maxcompletiontokens", CUT),
    ("maxnewtokens", CUT),
    ("maxlength", CUT),
    ("modellength", CUT),
    ("tokenlimit", CUT),
    ("outoftokens", CUT),
    ("incomplete", CUT),
    ("toolcalls", CALL),
    ("toolcall", CALL),
    ("tooluse", CALL),
    ("functioncall", CALL),
    ("contentfilter", FILTER),
    ("contentfiltered", FILTER),
    ("refusal", FILTER),
    ("safety", FILTER),
    ("recitation", FILTER),
    ("prohibitedcontent", FILTER),
    ("blocklist", FILTER),
    ("spii", FILTER),
    ("sensitive", FILTER),
    ("moderation", FILTER),
    ("guardrailintervened", FILTER),
    ("errortoxic", FILTER),
    ("imagesafety", FILTER),
    ("imageprohibitedcontent", FILTER),
    ("imagerecitation", FILTER),
    ("modelcontextwindowexceeded", WINDOW),
    ("contextwindowexceeded", WINDOW),
    ("contextlengthexceeded", WINDOW),
    ("contextlength", WINDOW),
    ("error", Finish::Failed),
    ("failed", Finish::Failed),
    ("failure", Finish::Failed),
    ("exception", Finish::Failed),
    ("internalerror", Finish::Failed),
    ("servererror", Finish::Failed),
    ("networkerror", Finish::Failed),
    ("insufficientsystemresource", Finish::Failed),
    ("abort", Finish::Failed),
    ("aborted", Finish::Failed),
    ("cancelled", Finish::Failed),
    ("canceled", Finish::Failed),
    ("cancel", Finish::Failed),
    ("usercancel", Finish::Failed),
    ("interrupted", Finish::Failed),
    ("timeout", Finish::Failed),
    ("timelimit", Finish::Failed),
    ("malformedfunctioncall", Finish::Failed),
    ("malformedresponse", Finish::Failed),
    ("unexpectedtoolcall", Finish::Failed),
    ("toomanytoolcalls", Finish::Failed),
    ("missingthoughtsignature", Finish::Failed),
];

/// Parts of words that nobody has seen yet, the most telling first.
const STEMS: &[(&str, Finish)] = &[
    ("filter", FILTER),
    ("safety", FILTER),
    ("moderat", FILTER),
    ("guardrail", FILTER),
    ("prohibit", FILTER),
    ("sensitive", FILTER),
    ("refus", FILTER),
    ("contextwindow", WINDOW),
    ("contextlength", WINDOW),
    ("maxtoken", CUT),
    ("maxoutput", CUT),
    ("tokenlimit", CUT),
    ("truncat", CUT),
    ("error", Finish::Failed),
    ("fail", Finish::Failed),
    ("cancel", Finish::Failed),
    ("abort", Finish::Failed),
    ("timeout", Finish::Failed),
    ("malformed", Finish::Failed),
    ("exception", Finish::Failed),
    ("overload", Finish::Failed),
];

/// Words that services write where others write nothing.
const NOT_YET: &[&str] = &["null", "none", "notfinished", "finishreasonunspecified"];

/// The letters of a word: nothing else in it tells words apart.
fn letters(word: &str) -> String {
    word.chars().filter(char::is_ascii_alphabetic).collect::<String>().to_ascii_lowercase()
}

/// Whether the word says that the answer has not ended.
pub(super) fn is_none(finish_reason: &str) -> bool {
    NOT_YET.contains(&&*letters(finish_reason))
}

/// What the word means: the whole of it, or the last part of it that is known. Gateways write
/// `content_filter: PROHIBITED_CONTENT` and `FinishReason.STOP`.
pub(super) fn finish(finish_reason: &str) -> Finish {
    let known = |word: &str| {
        let letters = letters(word);
        let word = letters.strip_prefix("finishreason").unwrap_or(&letters);
        WORDS.iter().find(|(known, _)| *known == word).map(|(_, finish)| *finish)
    };
    known(finish_reason)
        .or_else(|| finish_reason.rsplit([':', '.', '/', ' ']).find_map(known))
        .or_else(|| {
            let word = letters(finish_reason);
            STEMS.iter().find(|(stem, _)| word.contains(stem)).map(|(_, finish)| *finish)
        })
        .unwrap_or(Finish::Unknown)
}

/// The stop reason of a message that has a tool call or not.
///
/// A message with a tool call stops for it whatever the upstream says, since the client runs tools
/// only then; one without never does.
pub(super) fn stop_reason(finish_reason: &str, has_tool_use: bool) -> StopReason {
    let named = match finish(finish_reason) {
        Finish::Stop(named) => named,
        Finish::Failed | Finish::Unknown => StopReason::EndTurn,
    };
    match named {
        StopReason::MaxTokens | StopReason::Refusal | StopReason::ModelContextWindowExceeded => {
            named
        }
        _ if has_tool_use => StopReason::ToolUse,
        StopReason::ToolUse => StopReason::EndTurn,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_known_in_any_case_and_behind_any_prefix() {
        for (word, meaning) in [
            ("stop", TURN),
            ("STOP", TURN),
            ("FinishReason.STOP", TURN),
            ("FINISH_REASON_STOP", TURN),
            ("MAX_TOKENS", CUT),
            ("maxTokens", CUT),
            ("content_filter: PROHIBITED_CONTENT", FILTER),
            ("content_filter: SOMETHING_NEW", FILTER),
            ("BLOCKLIST", FILTER),
            ("SPII", FILTER),
            ("sensitive", FILTER),
            ("model_context_window_exceeded", WINDOW),
            ("network_error", Finish::Failed),
            ("abort", Finish::Failed),
            ("function_call_filter: MALFORMED_FUNCTION_CALL", Finish::Failed),
            ("UNEXPECTED_TOOL_CALL", Finish::Failed),
            ("cancelled", Finish::Failed),
            ("timeout", Finish::Failed),
            ("max_tokens_reached", CUT),
            ("output_truncated", CUT),
            ("request_cancelled", Finish::Failed),
            ("tool_calls_error", Finish::Failed),
            ("upstream_overloaded", Finish::Failed),
            ("blocked_by_moderation", FILTER),
            ("context_window_was_exceeded", WINDOW),
            ("OTHER", Finish::Unknown),
            ("so_be_it", Finish::Unknown),
        ] {
            assert_eq!(finish(word), meaning, "{word}");
        }
        assert!(is_none("null") && is_none("not_finished") && !is_none("stop"));
    }

    #[test]
    fn every_word_of_the_table_is_there_once_and_in_letters_alone() {
        for (word, _) in WORDS {
            assert_eq!(letters(word), *word);
            assert_eq!(WORDS.iter().filter(|(other, _)| other == word).count(), 1, "{word}");
        }
    }
}
