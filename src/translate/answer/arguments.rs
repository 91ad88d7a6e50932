//! The arguments of a tool call as they come in: JSON text, cut anywhere.

use std::borrow::Cow;
use std::fmt;

use serde_json::value::RawValue;

use crate::json;
use crate::translate::object::{Form, Object};

/// Follows the text far enough to know when the object is complete, which tells where a call ends
/// when services interleave, repeat or merge calls.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    object: Object,
    /// Bytes of the object's text already handed out. Invariant: `sent <= object.text.len()`.
    sent: usize,
    /// What has come behind the object.
    again: Object,
    /// It is neither the same again nor nothing.
    has_more: bool,
}

impl Arguments {
    pub(super) fn push(&mut self, piece: &str) {
        let mut rest = self.object.push(piece);
        // Some services begin with `{}` and then send what was meant.
        while !rest.is_empty() && !self.has_more {
            rest = self.again.push(rest);
            match self.again.form {
                Form::Complete if self.object.text == EMPTY && self.again.text != EMPTY => {
                    self.object = std::mem::take(&mut self.again);
                }
                Form::Complete if [EMPTY, &self.object.text].contains(&&*self.again.text) => {
                    self.again = Object::default();
                }
                Form::Complete => self.has_more = true,
                // A bracket too many says nothing.
                Form::Odd if self.again.text.trim_matches(is_surplus).is_empty() => {
                    self.again = Object::default();
                }
                Form::Odd => self.has_more = true,
                Form::Blank | Form::Open { .. } => {}
            }
        }
    }

    /// Whether the object is closed.
    pub(super) fn is_complete(&self) -> bool {
        self.object.form == Form::Complete
    }

    /// What can be handed on now, each byte once.
    pub(super) fn take(&mut self) -> &str {
        // What follows may still take the place of nothing.
        if matches!(self.object.form, Form::Open { .. } | Form::Complete)
            && !EMPTY.starts_with(&*self.object.text)
        {
            let from = std::mem::replace(&mut self.sent, self.object.text.len());
            &self.object.text[from..]
        } else {
            ""
        }
    }

    /// What is left at the end of the call. No arguments are `{}`; a JSON text in a JSON string,
    /// which some services send, is taken out of it.
    pub(super) fn take_rest(&mut self) -> String {
        match self.object.form {
            Form::Blank => EMPTY.to_owned(),
            Form::Odd => odd(&self.object).unwrap_or_default(),
            Form::Open { .. } | Form::Complete => self.object.text.split_off(self.sent),
        }
    }

    /// Why a client must not run the call, if nothing more comes of it.
    pub(super) fn fault(&self) -> Option<Fault> {
        let text = &self.object.text;
        match self.object.form {
            Form::Blank => None,
            Form::Open { .. } if is_cut(text) => Some(Fault::BreaksOff),
            Form::Odd if odd(&self.object).is_some() => None,
            Form::Odd => Some(Fault::NoObject),
            Form::Complete if self.has_more || matches!(self.again.form, Form::Open { .. }) => {
                Some(Fault::Followed)
            }
            Form::Complete if json::is_too_deep(text) => Some(Fault::TooDeep),
            Form::Complete if is_json(text) => None,
            Form::Open { .. } | Form::Complete => Some(Fault::NotJson),
        }
    }
}

/// What is wrong with the arguments of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The object has no end, as where the output was cut.
    BreaksOff,
    /// They are neither an object nor other JSON, and may have broken off.
    NoObject,
    Followed,
    TooDeep,
    NotJson,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the arguments of a call ")?;
        f.write_str(match self {
            Fault::BreaksOff => "break off",
            Fault::Followed => "are followed by others",
            Fault::TooDeep => "nest too deep",
            Fault::NoObject | Fault::NotJson => "are not JSON",
        })
    }
}

/// What arguments that are none look like.
const EMPTY: &str = "{}";

fn is_surplus(c: char) -> bool {
    c.is_ascii_whitespace() || matches!(c, '}' | ']')
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// Whether more of it would have made it JSON.
fn is_cut(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_err_and(|error| error.is_eof())
}

/// What arguments are that are not an object.
fn odd(object: &Object) -> Option<String> {
    match json_string(&object.text) {
        Some(inner) if inner.trim_start().starts_with('{') => {
            let mut inside = Object::default();
            let rest = inside.push(&inner);
            (inside.form == Form::Complete && rest.trim().is_empty() && is_json(&inside.text))
                .then_some(inside.text)
        }
        _ if object.text.trim() == "null" => Some(EMPTY.to_owned()),
        _ => is_json(&object.text).then(|| object.text.clone()),
    }
}

/// The JSON text of arguments that come as a string, or as an object as some services send them.
pub(super) fn json_text(raw: &RawValue) -> Cow<'_, str> {
    let json = raw.get();
    match json_string(json) {
        Some(text) => text,
        None if json == "null" => Cow::Borrowed(""),
        None => Cow::Borrowed(json),
    }
}

/// The text of a JSON string, with halves of surrogate pairs as escapes.
fn json_string(json: &str) -> Option<Cow<'_, str>> {
    #[derive(serde::Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

    if let Ok(Text(text)) = serde_json::from_str::<Text>(json) {
        return Some(text);
    }
    let mended = json::mended(json.trim().as_bytes()).filter(|_| json.trim().starts_with('"'))?;
    let text: String = serde_json::from_slice(&mended).ok()?;
    Some(Cow::Owned(escape_halves(&text)))
}

/// The halves that [`json::mended`] has kept apart, as the escapes of a JSON text.
pub(super) fn escape_halves(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match json::half(c) {
            Some(unit) => out.push_str(&format!("\\u{unit:04x}")),
            None => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::Arguments;

    fn check(pieces: &[&str], live: &str, rest: &str, complete: bool) {
        check_fault(pieces, live, rest, complete, None);
    }

    fn check_fault(pieces: &[&str], live: &str, rest: &str, complete: bool, fault: Option<&str>) {
        let mut arguments = Arguments::default();
        let mut taken = String::new();
        for piece in pieces {
            arguments.push(piece);
            taken.push_str(arguments.take());
        }
        assert_eq!((taken.as_str(), arguments.is_complete()), (live, complete), "{pieces:?}");
        let told = arguments.fault().map(|fault| fault.to_string());
        assert_eq!(told.as_deref(), fault, "{pieces:?}");
        assert_eq!(arguments.take_rest(), rest, "{pieces:?}");
    }

    #[test]
    fn knows_where_the_object_ends() {
        check(&["{\"a\":\"}\\\"", "}\"}"], "{\"a\":\"}\\\"}\"}", "", true);
        check(&["{\"a\":[{}", "]}", "{}"], "{\"a\":[{}]}", "", true);
        let cut = Some("the arguments of a call break off");
        check_fault(&["{\"a\":"], "{\"a\":", "", false, cut);
        check(&["", " "], "", "{}", false);
        check(&["nu", "ll"], "", "{}", false);
        check(&["\"{\\\"a\\\":1}\""], "", "{\"a\":1}", false);
        check(&["[1]"], "", "[1]", false);
    }

    /// Every way to cut `input` in two gives the object, or the fault.
    fn check_cuts(input: &str, wanted: Result<&str, &str>) {
        for cut in (0..=input.len()).filter(|cut| input.is_char_boundary(*cut)) {
            let mut arguments = Arguments::default();
            let mut all = String::new();
            for piece in [&input[..cut], &input[cut..]] {
                arguments.push(piece);
                all.push_str(arguments.take());
            }
            let fault = arguments.fault().map(|fault| fault.to_string());
            all.push_str(&arguments.take_rest());
            let got = fault.as_deref().map_or(Ok(&*all), Err);
            assert_eq!(got, wanted, "{input:?} at {cut}");
        }
    }

    #[test]
    fn control_characters_in_strings_are_escaped() {
        check_cuts("{\n\"a\":\t\"x\n\ty\r\u{1}\\n\"}", Ok("{\n\"a\":\t\"x\\n\\ty\\r\\u0001\\n\"}"));
    }

    #[test]
    fn a_history_holds_no_halves() {
        for (input, wanted) in [
            (r#"{"a": "b"}"#, r#"{"a": "b"}"#),
            (
                r#"{"\ude00a": ["\ud83d\ude00", "\uD83D"]}"#,
                r#"{"\ufffda": ["\ud83d\ude00", "\ufffd"]}"#,
            ),
        ] {
            assert_eq!(crate::translate::object::without_halves(input), wanted);
        }
    }

    #[test]
    fn halves_of_pairs_are_joined_or_replaced() {
        for (input, wanted) in [
            (r#"{"a":"\ud83d\ude00"}"#, r#"{"a":"\ud83d\ude00"}"#),
            (r#"{"a":"\ud83d"}"#, r#"{"a":"\ufffd"}"#),
            (r#"{"a":"\uDE00 x"}"#, r#"{"a":"\ufffd x"}"#),
            (r#"{"a":"\ud83d\n"}"#, r#"{"a":"\ufffd\n"}"#),
            (r#"{"a":"\ud83d\""}"#, r#"{"a":"\ufffd\""}"#),
            (r#"{"a":"\ud83d\ud83d\ude00"}"#, r#"{"a":"\ufffd\ud83d\ude00"}"#),
            (r#"{"a":"\ud83d\u00e9é"}"#, r#"{"a":"\ufffd\u00e9é"}"#),
            (r#"{"\ud83d":1,"b\\ud83d":[]}"#, r#"{"\ufffd":1,"b\\ud83d":[]}"#),
            (r#""{\"a\":\"\\ud83d\"}""#, r#"{"a":"\ufffd"}"#),
            (r#""{\"a\":\"\ud83d\"}""#, r#"{"a":"\ufffd"}"#),
        ] {
            check_cuts(input, Ok(wanted));
        }
    }

    #[test]
    fn what_is_not_one_object_is_no_call() {
        const CUT: &str = "the arguments of a call break off";
        const MORE: &str = "the arguments of a call are followed by others";
        const NO_JSON: &str = "the arguments of a call are not JSON";
        for (input, wanted) in [
            (r#"{"a":1}{"a":1}"#, Ok(r#"{"a":1}"#)),
            ("{\"a\":1}\n{\"a\":1} {\"a\":1}", Ok(r#"{"a":1}"#)),
            (r#"{}{"a":1}"#, Ok(r#"{"a":1}"#)),
            (r#"{}{"a":1}{"a":1}"#, Ok(r#"{"a":1}"#)),
            (r#"{"a":1}{}"#, Ok(r#"{"a":1}"#)),
            (r#"{"a":1}} ]"#, Ok(r#"{"a":1}"#)),
            ("{}{}", Ok("{}")),
            (r#"{"a":1}{"a":2}"#, Err(MORE)),
            (r#"{"a":1}{"a":"#, Err(MORE)),
            (r#"{}{"a":"#, Err(MORE)),
            (r#"{"a":1} and more"#, Err(MORE)),
            (r#"{"a":1"#, Err(CUT)),
            (r#"{"a":"\u00"#, Err(CUT)),
            (r#"{"a":"\d"}"#, Err(NO_JSON)),
            (r#"{"a":"\u00g0"}"#, Err(NO_JSON)),
            (r#"{"a":"\é"}"#, Err(NO_JSON)),
            (r#"{a:1}"#, Err(NO_JSON)),
            (r#"{"a":[1}"#, Err(NO_JSON)),
            ("ls -l", Err(NO_JSON)),
            (r#""{\"a\":""#, Err(NO_JSON)),
            (r#""{\"a"#, Err(NO_JSON)),
        ] {
            check_cuts(input, wanted);
        }
        let many = "{}".repeat(100_000);
        check(&[&many], "", "{}", true);
    }
}
