//! Where in a JSON text a byte stands, as a path such as `messages.2.content.0`.
//!
//! serde_json tells line and column of a fault; whoever wrote the request thinks in fields.

/// The longest path that is told, and the longest of its keys.
const MAX_STEPS: usize = 32;
const MAX_KEY_BYTES: usize = 40;

/// The path of the value that byte `offset` belongs to. Only looks at brackets, commas and strings,
/// so it copes with a text that is broken at or after `offset`.
pub(super) fn path_at(json: &[u8], offset: usize) -> String {
    let mut path: Vec<Step> = Vec::new();
    // Brackets below the steps that are told.
    let mut deeper = 0_usize;
    let mut at = 0;
    let end = offset.min(json.len());
    while at < end {
        match json[at] {
            b'{' | b'[' if path.len() == MAX_STEPS => deeper += 1,
            b'}' | b']' if deeper > 0 => deeper -= 1,
            b',' if deeper > 0 => {}
            b'{' => path.push(Step::Key(String::new())),
            b'[' => path.push(Step::Index(0)),
            b'}' | b']' => {
                path.pop();
            }
            b',' => match path.last_mut() {
                Some(Step::Index(index)) => *index += 1,
                Some(Step::Key(key)) => key.clear(),
                None => {}
            },
            b'"' => {
                let start = at + 1;
                at = string_end(json, start);
                // A string is a key if no key has been seen since the last comma.
                if at < json.len()
                    && deeper == 0
                    && let Some(Step::Key(key)) = path.last_mut()
                    && key.is_empty()
                {
                    let shown = at.min(start + MAX_KEY_BYTES);
                    *key = String::from_utf8_lossy(&json[start..shown]).into_owned();
                }
            }
            _ => {}
        }
        at += 1;
    }
    let steps: Vec<String> = path
        .into_iter()
        .filter_map(|step| match step {
            Step::Key(key) if key.is_empty() => None,
            Step::Key(key) => Some(key),
            Step::Index(index) => Some(index.to_string()),
        })
        .collect();
    steps.join(".")
}

enum Step {
    /// Inside an object; the key is empty until it has been read.
    Key(String),
    /// Inside an array.
    Index(usize),
}

/// The index of the quote that ends the string whose first byte is at `at`.
fn string_end(json: &[u8], mut at: usize) -> usize {
    while at < json.len() {
        match json[at] {
            b'\\' => at += 2,
            b'"' => return at,
            _ => at += 1,
        }
    }
    json.len()
}

#[cfg(test)]
mod tests {
    use super::path_at;

    #[test]
    fn names_the_value() {
        let json = br#"{"model":"a,b","messages":[{"role":"x"},{"content":[{"text":5}]}]}"#;
        let at = |needle: &str| {
            let text = std::str::from_utf8(json).unwrap();
            path_at(json, text.find(needle).unwrap())
        };
        assert_eq!(at("a,b"), "model");
        assert_eq!(at("x\"}"), "messages.0.role");
        assert_eq!(at("5}"), "messages.1.content.0.text");
        assert_eq!(at("}]}]}"), "messages.1.content.0.text");
        assert_eq!(path_at(json, 0), "");
        assert_eq!(path_at(b"{\"a\":\"unterminated", 99), "a");
    }
}
