//! Numbers as people write them: digits, and a unit where one is allowed.

use std::time::Duration;

/// Digits only: no sign, no exponent.
pub(super) fn whole(text: &str) -> Option<u64> {
    let is_plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if is_plain { text.parse().ok() } else { None }
}

/// `30`, `1.5`, `30s`, `500ms`, `5m`, `1h`: seconds where no unit is named.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text);
    let seconds = match &*unit.to_ascii_lowercase() {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    let (whole_part, fraction) = number.split_once('.').unwrap_or((number, "0"));
    whole(whole_part)?;
    whole(fraction)?;
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()
}

/// `33554432`, `32M`, `32MB`, `32MiB`, of 1,024 each.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = split(text);
    let power = match &*unit.to_ascii_lowercase() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        _ => return None,
    };
    whole(number)?.checked_mul(1 << power)
}

/// The number, and the letters behind it.
fn split(text: &str) -> (&str, &str) {
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    (&text[..at], text[at..].trim_start())
}

/// Whether the value is that of a service link: `tcp://10.0.0.1:3456`.
pub(super) fn is_link(value: &str) -> bool {
    ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme))
}

#[cfg(test)]
mod tests {
    use super::{bytes, duration, whole};

    #[test]
    fn numbers_are_digits() {
        assert_eq!(whole("0"), Some(0));
        for text in ["", "+5", "-5", "1e3", "1_000", " 1", "0x10", "99999999999999999999"] {
            assert_eq!(whole(text), None, "{text:?}");
        }
    }

    #[test]
    fn units_are_read() {
        for (text, millis) in [
            ("30", 30_000),
            ("1.5", 1_500),
            ("30s", 30_000),
            ("30 s", 30_000),
            ("500ms", 500),
            ("5m", 300_000),
            ("1H", 3_600_000),
            ("0", 0),
        ] {
            assert_eq!(duration(text).map(|d| d.as_millis()), Some(millis), "{text}");
        }
        for text in ["", "s", "1e3", "+5", "-1", "1.", ".5", "1.2.3", "inf", "NaN", "5 weeks"] {
            assert_eq!(duration(text), None, "{text:?}");
        }
        assert_eq!(bytes("33554432"), Some(33_554_432));
        for text in ["32M", "32MB", "32mib", "32 M", "32768K"] {
            assert_eq!(bytes(text), Some(32 << 20), "{text}");
        }
        for text in ["", "M", "1.5M", "+5", "1e3", "32X", "99999999999G"] {
            assert_eq!(bytes(text), None, "{text:?}");
        }
    }
}
