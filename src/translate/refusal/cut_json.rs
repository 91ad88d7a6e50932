//! JSON that was cut: the beginning of a long error, whose message comes first and whose echo of
//! the request is left out.

use serde_json::Value;

/// The value that `text` begins, as far as it goes.
pub(super) fn parse_beginning(text: &str) -> Option<Value> {
    let mut open = Vec::new();
    let mut in_string = false;
    let mut escape_at = None;
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_string => {
                is_escaped = true;
                escape_at = Some(at);
            }
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' => open.push('}'),
            b'[' => open.push(']'),
            b'}' | b']' => drop(open.pop()),
            _ => {}
        }
    }
    let mut begun = text;
    if in_string {
        // An escape may be cut too, and is at most `\uXXXX`.
        begun = escape_at.filter(|at| at + 6 > text.len()).map_or(text, |at| &text[..at]);
    }
    let quote = if in_string { "\"" } else { "" };
    let closing: String = open.iter().rev().collect();
    let without_comma = begun.trim_end().strip_suffix(',').filter(|_| !in_string);
    let begun = without_comma.unwrap_or(begun);
    // Cut within a value, behind it, within or behind a name.
    ["", "null", ":null"]
        .iter()
        .find_map(|rest| serde_json::from_str(&format!("{begun}{quote}{rest}{closing}")).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_came_whole_is_read_wherever_the_rest_is_cut() {
        let text =
            r#"{"error":{"message":"it is \"wrong\" \u00e9","input":["a\\",{"b":1}],"n":null}}"#;
        let said = text.find(",\"input").expect("it is there");
        for cut in said..=text.len() {
            // A number or a word that is cut is no value.
            let Some(value) = parse_beginning(&text[..cut]) else {
                assert!(text[..cut].contains("\"n\":n"), "{}", &text[..cut]);
                continue;
            };
            assert_eq!(value["error"]["message"], "it is \"wrong\" é", "{}", &text[..cut]);
        }
        for cut in 0..said {
            let _ = parse_beginning(&text[..cut]);
        }
    }
}
