//! When to try again, in the ways in which services say it: numbers, dates, durations and
//! sentences. No clock: what is a time stays one, for whoever has one.

use std::time::Duration;

/// When to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hint {
    /// After so long.
    In(Duration),
    /// At this time since 1970.
    At(Duration),
}

/// What is longer says nothing about a limit, and is a mistake or a time.
const LONGEST: Duration = Duration::from_secs(60 * 24 * 3600);

/// What is a time since 1970, in seconds and in milliseconds: from 2001 on, which no limit takes to
/// pass.
const EPOCH_SECONDS: f64 = 1e9;
const EPOCH_MILLISECONDS: f64 = 1e12;

/// Beginnings of sentences that end with a duration, in small letters.
const SENTENCES: &[&str] = &[
    "try again in ",
    "retry in ",
    "retry after ",
    "try again after ",
    "available in ",
    "resets in ",
    "reset in ",
    "wait for ",
    "wait ",
];

impl Hint {
    /// How long it is from `now` on, a time since 1970.
    pub fn from(self, now: Duration) -> Duration {
        match self {
            Hint::In(duration) => duration,
            Hint::At(time) => time.saturating_sub(now),
        }
    }

    /// The value of a header such as `retry-after` or `x-ratelimit-reset-tokens`: seconds, a time
    /// since 1970 in seconds or milliseconds, a date, or `6m0s`, `1.5s`, `120ms`.
    pub fn of_value(value: &str) -> Option<Hint> {
        let value = value.trim();
        match value.parse::<f64>() {
            Ok(number) if number >= EPOCH_MILLISECONDS => time(number / 1e3),
            Ok(number) if number >= EPOCH_SECONDS => time(number),
            Ok(number) => short(number),
            Err(_) => duration(value)
                .map(|(duration, _)| Hint::In(duration))
                .or_else(|| date(value).map(Hint::At)),
        }
    }

    /// The body of an error: what Google, OpenRouter and others put into it, and sentences such as
    /// "Please try again in 7.66s".
    ///
    /// <https://github.com/googleapis/googleapis/blob/master/google/rpc/error_details.proto>
    pub fn of_body(body: &str) -> Option<Hint> {
        const FIELDS: &[&str] = &[
            "retrydelay",
            "retry_after",
            "retry-after",
            "x-ratelimit-reset",
            "retry_after_seconds",
        ];
        let lower = body.to_ascii_lowercase();
        let field = |name: &str| {
            let (_, rest) = lower.split_once(&format!("\"{name}\""))?;
            let value = rest.trim_start().strip_prefix(':')?.trim_start();
            let value = value.strip_prefix('[').unwrap_or(value).trim_start_matches(['"', ' ']);
            // A date has blanks, commas and colons.
            let end = value.find(['"', '}', ']', '\n']).unwrap_or(value.len());
            let value = &value[..end];
            let bare = value.split(',').next().unwrap_or_default();
            Hint::of_value(bare).or_else(|| Hint::of_value(value))
        };
        FIELDS.iter().find_map(|name| field(name)).or_else(|| Hint::of_sentence(&lower))
    }

    /// The duration behind the first of the sentences' beginnings that has one.
    fn of_sentence(lower: &str) -> Option<Hint> {
        SENTENCES.iter().find_map(|begin| {
            lower.match_indices(begin).find_map(|(at, _)| {
                let rest = &lower[at + begin.len()..];
                let rest = rest.strip_prefix("about ").unwrap_or(rest);
                duration(rest).map(|(duration, _)| Hint::In(duration))
            })
        })
    }
}

fn short(seconds: f64) -> Option<Hint> {
    let duration = Duration::try_from_secs_f64(seconds).ok()?;
    (duration <= LONGEST).then_some(Hint::In(duration))
}

fn time(seconds: f64) -> Option<Hint> {
    Duration::try_from_secs_f64(seconds).ok().map(Hint::At)
}

/// A duration at the beginning of a text, `6m0s`, `1h2m`, `7.66s`, `120ms`, `20 seconds`, and how
/// much of the text that is. A number alone is none.
fn duration(text: &str) -> Option<(Duration, usize)> {
    const UNITS: &[(&str, f64)] = &[
        ("milliseconds", 1e-3),
        ("millisecond", 1e-3),
        ("ms", 1e-3),
        ("\u{b5}s", 1e-6),
        ("us", 1e-6),
        ("ns", 1e-9),
        ("seconds", 1.0),
        ("second", 1.0),
        ("secs", 1.0),
        ("sec", 1.0),
        ("minutes", 60.0),
        ("minute", 60.0),
        ("mins", 60.0),
        ("min", 60.0),
        ("hours", 3600.0),
        ("hour", 3600.0),
        ("days", 86_400.0),
        ("day", 86_400.0),
        ("s", 1.0),
        ("m", 60.0),
        ("h", 3600.0),
        ("d", 86_400.0),
    ];
    let (mut seconds, mut read) = (0.0, 0);
    loop {
        let rest = &text[read..];
        let begin = rest.len() - rest.trim_start_matches([' ', ',']).len();
        let digits = &rest[begin..];
        let end = digits.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(digits.len());
        let Ok(number) = digits[..end].trim_end_matches('.').parse::<f64>() else { break };
        let unit = digits[end..].trim_start_matches(' ');
        let blanks = digits.len() - end - unit.len();
        let Some((name, factor)) = UNITS.iter().find(|(name, _)| {
            let behind = unit.strip_prefix(name).map(|rest| rest.chars().next());
            behind.is_some_and(|next| !next.is_some_and(char::is_alphabetic))
        }) else {
            break;
        };
        seconds += number * factor;
        read += begin + end + blanks + name.len();
    }
    let duration = Duration::try_from_secs_f64(seconds).ok()?;
    (read > 0 && duration <= LONGEST).then_some((duration, read))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` or `1994-11-06T08:49:37Z`, as the time since 1970.
fn date(text: &str) -> Option<Duration> {
    const MONTHS: &str = "janfebmaraprmayjunjulaugsepoctnovdec";
    let lower = text.to_ascii_lowercase();
    let (year, month, day, clock): (u64, u64, u64, &str) = match lower.split_once(", ") {
        Some((_, rest)) => {
            let mut words = rest.split(' ');
            let day = words.next()?.parse().ok()?;
            let month = words.next().filter(|month| month.len() == 3)?;
            let month = MONTHS.find(month).filter(|at| at % 3 == 0)? as u64 / 3 + 1;
            (words.next()?.parse().ok()?, month, day, words.next()?)
        }
        None => {
            let (day, clock) = lower.split_once('t')?;
            let mut numbers = day.split('-').map(|number| number.parse().ok());
            let clock = clock.strip_suffix('z').or_else(|| clock.strip_suffix("+00:00"))?;
            (numbers.next()??, numbers.next()??, numbers.next()??, clock)
        }
    };
    let mut parts = clock.split(':').map(|part| part.parse::<f64>().ok());
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    let is_valid = (1970..10_000).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0.0..24.0).contains(&hour)
        && (0.0..60.0).contains(&minute)
        && (0.0..61.0).contains(&second);
    if !is_valid {
        return None;
    }
    // The days before it, in years that begin in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    let days = days.checked_sub(719_468)?;
    let seconds = days as f64 * 86_400.0 + hour * 3600.0 + minute * 60.0 + second;
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Option<Hint> {
        Some(Hint::In(Duration::from_millis(ms)))
    }

    const fn at(seconds: u64) -> Option<Hint> {
        Some(Hint::At(Duration::from_secs(seconds)))
    }

    #[test]
    fn values_of_headers() {
        for (value, wanted) in [
            ("7", ms(7_000)),
            ("0.5", ms(500)),
            ("6m0s", ms(360_000)),
            ("1.5s", ms(1_500)),
            ("120ms", ms(120)),
            ("1h2m3s", ms(3_723_000)),
            ("2m59.56s", ms(179_560)),
            ("1d", ms(86_400_000)),
            ("1764365400", at(1_764_365_400)),
            ("1764365400000", at(1_764_365_400)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", at(784_111_777)),
            ("1994-11-06T08:49:37Z", at(784_111_777)),
            ("1970-01-01T00:00:00Z", at(0)),
            ("2024-02-29T00:00:00+00:00", at(1_709_164_800)),
            ("-1", None),
            ("", None),
            ("soon", None),
            ("6m0x", ms(360_000)),
            ("1e300", None),
            ("NaN", None),
            ("999999999d", None),
            ("Sun, 99 Nov 1994 08:49:37 GMT", None),
        ] {
            assert_eq!(Hint::of_value(value), wanted, "{value}");
        }
    }

    #[test]
    fn bodies_of_the_services() {
        for (body, wanted) in [
            // https://github.com/vercel/ai/issues/18627
            (
                r#"[{"error":{"code":429,"message":"Quota exceeded. Please retry in 45.8s.","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"45s"}]}}]"#,
                ms(45_000),
            ),
            (
                r#"{"error":{"metadata":{"headers":{"X-RateLimit-Limit":"20","X-RateLimit-Reset":"1764365400000"}}}}"#,
                at(1_764_365_400),
            ),
            (r#"{"error":{"message":"Rate limit. Please try again in 7.66s. Visit"}}"#, ms(7_660)),
            (r#"{"error":{"message":"try again in 6m0s"}}"#, ms(360_000)),
            (r#"{"message":"Retry after 20 seconds."}"#, ms(20_000)),
            (r#"{"message":"Please wait 2 minutes before"}"#, ms(120_000)),
            (r#"{"retry_after": 12.5, "global": false}"#, ms(12_500)),
            (r#"{"detail":"try again in a moment"}"#, None),
            (r#"{"detail":"please wait, then try again in 30ms"}"#, ms(30)),
            ("", None),
            ("\"retryDelay\":", None),
            ("try again in ", None),
        ] {
            assert_eq!(Hint::of_body(body), wanted, "{body}");
        }
    }

    #[test]
    fn a_time_that_has_passed_is_now() {
        let now = Duration::from_secs(100);
        assert_eq!(Hint::At(Duration::from_secs(90)).from(now), Duration::ZERO);
        assert_eq!(Hint::At(Duration::from_secs(107)).from(now), Duration::from_secs(7));
        assert_eq!(Hint::In(Duration::from_secs(3)).from(now), Duration::from_secs(3));
    }
}
