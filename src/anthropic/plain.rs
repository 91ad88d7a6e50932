//! What the results of server tools say in plain fields, as text.

use serde_json::Value;

/// Fields that only their writer can read, or that say nothing.
const UNREADABLE: &[&str] = &["encrypted_content", "encrypted_index", "encrypted_stdout", "data"];

/// The text in the making: a line for each field.
#[derive(Default)]
pub(super) struct Plain {
    kind: String,
    lines: String,
}

impl Plain {
    /// What is of this kind.
    pub(super) fn new(kind: &str) -> Plain {
        Plain { kind: kind.to_owned(), lines: String::new() }
    }

    /// Adds the field `key`, unless it is empty.
    pub(super) fn text(&mut self, key: &str, text: &str) {
        let text = text.trim_end();
        if !text.is_empty() {
            self.lines.push_str(&format!("\n{key}: {text}"));
        }
    }

    /// Adds the field `key`, or what it holds. The value is a small tree.
    pub(super) fn value(&mut self, key: &str, value: &Value) {
        match value {
            Value::String(kind) if key == "type" && self.kind.is_empty() => {
                self.kind = kind.clone();
            }
            _ if key == "type" || UNREADABLE.contains(&key) => {}
            Value::String(text) => self.text(key, text),
            Value::Number(number) => self.text(key, &number.to_string()),
            Value::Bool(is) => self.text(key, &is.to_string()),
            Value::Null => {}
            Value::Array(values) => values.iter().for_each(|value| self.value(key, value)),
            Value::Object(fields) => {
                // The data of a source is readable if it is text.
                let is_text = fields.get("type").is_some_and(|kind| kind == "text");
                for (key, value) in fields {
                    let key = if is_text && key == "data" { "text" } else { key };
                    self.value(key, value);
                }
            }
        }
    }

    /// The text, if there is any.
    pub(super) fn finish(self) -> Option<String> {
        (!self.lines.is_empty()).then(|| format!("[{}]{}", self.kind, self.lines))
    }
}
