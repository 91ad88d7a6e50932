//! What the head of an answer says of trying again.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::error::{Hint, Retry};

/// Limits of which services tell when they are free again, and how much of them is left: OpenAI and
/// Groq by the kind of limit, Cerebras by its span too, others without either.
const LIMITS: &[(&str, &str)] = &[
    ("x-ratelimit-reset-requests", "x-ratelimit-remaining-requests"),
    ("x-ratelimit-reset-tokens", "x-ratelimit-remaining-tokens"),
    ("x-ratelimit-reset-requests-minute", "x-ratelimit-remaining-requests-minute"),
    ("x-ratelimit-reset-tokens-minute", "x-ratelimit-remaining-tokens-minute"),
    ("x-ratelimit-reset-requests-hour", "x-ratelimit-remaining-requests-hour"),
    ("x-ratelimit-reset-tokens-hour", "x-ratelimit-remaining-tokens-hour"),
    ("x-ratelimit-reset-requests-day", "x-ratelimit-remaining-requests-day"),
    ("x-ratelimit-reset-tokens-day", "x-ratelimit-remaining-tokens-day"),
    ("anthropic-ratelimit-requests-reset", "anthropic-ratelimit-requests-remaining"),
    ("anthropic-ratelimit-tokens-reset", "anthropic-ratelimit-tokens-remaining"),
    ("anthropic-ratelimit-input-tokens-reset", "anthropic-ratelimit-input-tokens-remaining"),
    ("anthropic-ratelimit-output-tokens-reset", "anthropic-ratelimit-output-tokens-remaining"),
    ("x-ratelimit-reset", "x-ratelimit-remaining"),
    ("ratelimit-reset", "ratelimit-remaining"),
];

/// The time since 1970.
pub(crate) fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// What the headers say. A date becomes the seconds until then; where there is no `retry-after`, a
/// limit that is told of counts in its place for a refusal.
pub(super) fn retry(status: u16, header: &dyn Fn(&str) -> Option<String>) -> Retry {
    let is_number = |value: &String| {
        value.len() <= 12 && value.bytes().all(|b| b.is_ascii_digit() || b == b'.')
    };
    let after_ms = header("retry-after-ms").filter(is_number);
    let should_retry = header("x-should-retry").and_then(|value| value.parse().ok());
    let told = header("retry-after").and_then(|value| match is_number(&value) {
        true => Some(value),
        false => Some(seconds(Hint::of_value(&value)?.from(now()))),
    });
    let is_limit = matches!(status, 429 | 503 | 529);
    let is_told = told.is_some() || after_ms.is_some();
    let retry = Retry { after: told, after_ms, should_retry, hint: None };
    match (is_limit && !is_told).then(|| free_in(header)).flatten() {
        Some(free) => retry.within(free),
        None => retry,
    }
}

fn seconds(wait: Duration) -> String {
    wait.as_millis().div_ceil(1000).to_string()
}

/// When the limit that is used up is free again: the last of those that have nothing left, or where
/// that is not told, the first of all.
fn free_in(header: &dyn Fn(&str) -> Option<String>) -> Option<Duration> {
    let now = now();
    let told = LIMITS.iter().filter_map(|(reset, remaining)| {
        let free = Hint::of_value(&header(reset)?)?.from(now);
        let is_used_up = header(remaining).is_some_and(|left| left.trim() == "0");
        Some((is_used_up, free))
    });
    let told: Vec<(bool, Duration)> = told.collect();
    let used_up = told.iter().filter(|(is_used_up, _)| *is_used_up).map(|(_, free)| *free).max();
    used_up.or_else(|| told.iter().map(|(_, free)| *free).min())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(status: u16, headers: &[(&str, &str)]) -> Option<String> {
        let header = |name: &str| {
            let found = headers.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        retry(status, &header).after
    }

    #[test]
    fn limits_are_told_in_the_ways_of_the_services() {
        for (headers, wanted) in [
            (&[("retry-after", "7"), ("x-ratelimit-reset-tokens", "1s")][..], Some("7")),
            (&[("x-ratelimit-reset-requests", "6m0s")], Some("360")),
            (&[("x-ratelimit-reset-tokens", "120ms")], Some("1")),
            (&[("x-ratelimit-reset-tokens-minute", "32.5")], Some("33")),
            // The requests of a day are free tomorrow, the tokens of this minute are used up.
            (
                &[
                    ("x-ratelimit-reset-requests", "23h"),
                    ("x-ratelimit-remaining-requests", "900"),
                    ("x-ratelimit-reset-tokens", "7.66s"),
                    ("x-ratelimit-remaining-tokens", "0"),
                ],
                Some("8"),
            ),
            // A time that has passed.
            (&[("x-ratelimit-reset", "1264365400")], Some("0")),
            (&[("x-ratelimit-reset", "1264365400000")], Some("0")),
            (&[("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")], Some("0")),
            (&[("retry-after", "soon")], None),
            (&[("x-ratelimit-limit", "5")], None),
            (&[("retry-after-ms", "5"), ("x-ratelimit-reset", "5")], None),
        ] {
            assert_eq!(after(429, headers).as_deref(), wanted, "{headers:?}");
        }
        assert_eq!(after(400, &[("x-ratelimit-reset", "5")]), None, "it is about something else");
    }

    #[test]
    fn a_date_to_come_is_told_as_the_seconds_until_then() {
        let soon = (now() + Duration::from_secs(100)).as_millis().to_string();
        let told: u64 = after(429, &[("x-ratelimit-reset", &soon)]).unwrap().parse().unwrap();
        assert!((99..=101).contains(&told), "{told}");
    }
}
