//! The members of an object, written one after another.

use super::push_string;

/// Members that follow others, each behind a comma. Their names have nothing to be escaped.
pub(crate) struct Members<'v>(pub &'v mut Vec<u8>);

impl Members<'_> {
    fn name(&mut self, name: &str) {
        for part in [",\"", name, "\":"] {
            self.0.extend_from_slice(part.as_bytes());
        }
    }

    /// A text, or null.
    pub(crate) fn text(&mut self, name: &str, text: Option<&str>) {
        self.name(name);
        match text {
            Some(text) => push_string(self.0, text),
            None => self.0.extend_from_slice(b"null"),
        }
    }

    /// A number, or null.
    pub(crate) fn number(&mut self, name: &str, number: Option<u64>) {
        self.name(name);
        match number {
            Some(number) => push_number(self.0, number),
            None => self.0.extend_from_slice(b"null"),
        }
    }

    /// A part of a whole, or null.
    pub(crate) fn part(&mut self, name: &str, part: Option<f64>) {
        self.name(name);
        serde_json::to_writer(&mut *self.0, &part).expect("a Vec takes every byte");
    }

    pub(crate) fn flag(&mut self, name: &str, is_set: bool) {
        self.name(name);
        self.0.extend_from_slice(if is_set { b"true" } else { b"false" });
    }

    /// A list of texts.
    pub(crate) fn texts(&mut self, name: &str, texts: &[String]) {
        self.name(name);
        self.0.push(b'[');
        for (n, text) in texts.iter().enumerate() {
            if n > 0 {
                self.0.push(b',');
            }
            push_string(self.0, text);
        }
        self.0.push(b']');
    }
}

/// Appends a number's digits.
pub(crate) fn push_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_those_of_an_object() {
        let mut out = b"{\"first\":1".to_vec();
        let mut members = Members(&mut out);
        members.text("text", Some("a \"b\"\n"));
        members.text("none", None);
        members.number("number", Some(u64::MAX));
        members.number("zero", Some(0));
        members.number("no_number", None);
        members.part("part", Some(0.125));
        members.part("no_part", None);
        members.flag("flag", true);
        members.texts("texts", &["a".to_owned(), "\\".to_owned()]);
        members.texts("no_texts", &[]);
        out.push(b'}');
        let wanted = serde_json::json!({
            "first": 1, "text": "a \"b\"\n", "none": null, "number": u64::MAX, "zero": 0,
            "no_number": null, "part": 0.125, "no_part": null, "flag": true,
            "texts": ["a", "\\"], "no_texts": [],
        });
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&out).unwrap(), wanted);
    }
}
