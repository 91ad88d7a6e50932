//! Characters that came cut into the halves of a surrogate pair, as services do that count UTF-16.

use crate::json::{self, HIGH_FIRST, HIGH_LAST, LOW_FIRST, LOW_LAST};

/// `text` with the halves that [`json::mended`] has kept apart joined, also with one `pending` from
/// before it, and replaced where the other is missing; and the half at its end, if there is one.
pub(super) fn join_halves(pending: Option<u16>, text: &str) -> (String, Option<u16>) {
    let mut joined = String::with_capacity(text.len());
    let mut pending = pending;
    for c in text.chars() {
        match (pending.take(), json::half(c)) {
            (Some(high), Some(low @ LOW_FIRST..=LOW_LAST)) => {
                let both = char::decode_utf16([high, low]).next().and_then(Result::ok);
                joined.push(both.unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            (before, half) => {
                joined.extend(before.map(|_| char::REPLACEMENT_CHARACTER));
                match half {
                    Some(high @ HIGH_FIRST..=HIGH_LAST) => pending = Some(high),
                    Some(_) => joined.push(char::REPLACEMENT_CHARACTER),
                    None => joined.push(c),
                }
            }
        }
    }
    (joined, pending)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_joined_or_replaced() {
        // U+10F03D and U+10F600 stand for the halves of U+1F600.
        for (pending, text, wanted, after) in [
            (None, "a\u{10F03D}", "a", Some(0xD83D)),
            (Some(0xD83D), "\u{10F600}b", "😀b", None),
            (Some(0xD83D), "b", "\u{FFFD}b", None),
            (Some(0xD83D), "", "", Some(0xD83D)),
            (None, "\u{10F03D}\u{10F600}", "😀", None),
            (None, "\u{10F600}\u{10F03D}\u{10F03D}", "\u{FFFD}\u{FFFD}", Some(0xD83D)),
        ] {
            assert_eq!(join_halves(pending, text), (wanted.to_owned(), after), "{text:?}");
        }
    }
}
