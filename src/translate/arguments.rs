//! The arguments of a tool call as they come in: JSON text, cut anywhere.

use std::borrow::Cow;

use serde_json::value::RawValue;

/// Follows the text far enough to know when the object is complete, which tells where a call ends
/// when services interleave, repeat or merge calls.
#[derive(Debug, Default)]
pub struct Arguments {
    text: String,
    /// Bytes of `text` already handed out. Invariant: `sent <= text.len()`.
    sent: usize,
    form: Form,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Form {
    #[default]
    Blank,
    /// Inside the object.
    Object { depth: usize, in_string: bool, escaped: bool },
    /// The object has been closed; what follows is no part of it.
    Complete,
    /// Not an object, so nothing is known before the end.
    Odd,
}

impl Arguments {
    pub fn push(&mut self, piece: &str) {
        if self.form == Form::Complete {
            return;
        }
        if self.form == Form::Odd {
            self.text.push_str(piece);
            return;
        }
        for (at, byte) in piece.bytes().enumerate() {
            self.form = match (self.form, byte) {
                (Form::Blank, b' ' | b'\t' | b'\r' | b'\n') => Form::Blank,
                (Form::Blank, b'{') => Form::Object { depth: 1, in_string: false, escaped: false },
                (Form::Blank, _) => Form::Odd,
                (Form::Object { depth, in_string, escaped }, byte) => {
                    object(depth, in_string, escaped, byte)
                }
                (form, _) => form,
            };
            match self.form {
                Form::Complete => {
                    self.text.push_str(&piece[..=at]);
                    return;
                }
                Form::Odd => break,
                _ => {}
            }
        }
        if self.form != Form::Complete {
            self.text.push_str(piece);
        }
    }

    /// Whether the object is closed.
    pub fn is_complete(&self) -> bool {
        self.form == Form::Complete
    }

    /// What can be handed on now, each byte once.
    pub fn take(&mut self) -> &str {
        if matches!(self.form, Form::Object { .. } | Form::Complete) {
            let from = std::mem::replace(&mut self.sent, self.text.len());
            &self.text[from..]
        } else {
            ""
        }
    }

    /// What is left at the end of the call. No arguments are `{}`; a JSON text in a JSON string,
    /// which some services send, is taken out of it.
    pub fn take_rest(&mut self) -> String {
        match self.form {
            Form::Blank => "{}".to_owned(),
            Form::Odd => match serde_json::from_str::<Option<String>>(&self.text) {
                Ok(None) => "{}".to_owned(),
                Ok(Some(inner)) if inner.trim_start().starts_with('{') => inner,
                _ => std::mem::take(&mut self.text),
            },
            Form::Object { .. } | Form::Complete => self.take().to_owned(),
        }
    }
}

/// One byte further inside an object.
fn object(depth: usize, in_string: bool, escaped: bool, byte: u8) -> Form {
    let inside = |depth, in_string, escaped| Form::Object { depth, in_string, escaped };
    match byte {
        _ if escaped => inside(depth, true, false),
        b'\\' if in_string => inside(depth, true, true),
        b'"' => inside(depth, !in_string, false),
        _ if in_string => inside(depth, true, false),
        b'{' | b'[' => inside(depth + 1, false, false),
        b'}' | b']' if depth == 1 => Form::Complete,
        b'}' | b']' => inside(depth - 1, false, false),
        _ => inside(depth, false, false),
    }
}

/// The JSON text of arguments that come as a string, or as an object as some services send them.
pub(super) fn json_text(raw: &RawValue) -> Cow<'_, str> {
    #[derive(serde::Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

    let json = raw.get();
    match serde_json::from_str::<Text>(json) {
        Ok(text) => text.0,
        Err(_) if json == "null" => Cow::Borrowed(""),
        Err(_) => Cow::Borrowed(json),
    }
}

#[cfg(test)]
mod tests {
    use super::Arguments;

    fn check(pieces: &[&str], live: &str, rest: &str, complete: bool) {
        let mut arguments = Arguments::default();
        let mut taken = String::new();
        for piece in pieces {
            arguments.push(piece);
            taken.push_str(arguments.take());
        }
        assert_eq!((taken.as_str(), arguments.is_complete()), (live, complete), "{pieces:?}");
        assert_eq!(arguments.take_rest(), rest, "{pieces:?}");
    }

    #[test]
    fn knows_where_the_object_ends() {
        check(&["{\"a\":\"}\\\"", "}\"}"], "{\"a\":\"}\\\"}\"}", "", true);
        check(&["{\"a\":[{}", "]}", "{}"], "{\"a\":[{}]}", "", true);
        check(&["{\"a\":"], "{\"a\":", "", false);
        check(&["", " "], "", "{}", false);
        check(&["nu", "ll"], "", "{}", false);
        check(&["\"{\\\"a\\\":1}\""], "", "{\"a\":1}", false);
        check(&["[1]"], "", "[1]", false);
    }
}
