//! The marks in a user's message that ask for more than an echo.

use std::time::Duration;

use serde_json::value::RawValue;

/// What is asked for, and then what is answered.
#[derive(Default)]
pub(super) struct Answer {
    pub text: String,
    pub reasoning: String,
    pub calls: Vec<Call>,
    pub chunks: Option<usize>,
    pub delay: Duration,
    pub status: Option<u16>,
    /// Whether the message had any mark: its author needs no introduction.
    pub marked: bool,
}

pub(super) struct Call {
    pub name: String,
    /// A JSON object: as it was written in the mark, or the smallest that the tool takes.
    pub arguments: String,
}

/// Takes a user message apart into what its marks ask for and the text around them.
///
/// An unknown mark, or one with a bad value, stays in the text and so shows in the answer.
pub(super) fn parse(message: &str) -> Answer {
    let mut answer = Answer::default();
    let (mut text, mut rest) = (String::new(), message);
    while let Some(start) = rest.find("[[") {
        text.push_str(&rest[..start]);
        rest = parse_mark(&rest[start + 2..], &mut answer).unwrap_or_else(|| {
            // One bracket only: a mark may begin at the next one.
            text.push('[');
            &rest[start + 1..]
        });
    }
    answer.text = (text + rest).trim().to_owned();
    answer
}

/// Adds the mark whose brackets end where `mark` begins, and returns what follows it.
fn parse_mark<'a>(mark: &'a str, answer: &mut Answer) -> Option<&'a str> {
    let after = if let Some(call) = mark.strip_prefix("tool:") {
        let (name, rest) = call.split_at(call.find([' ', '\n', '{', ']'])?);
        let (mut arguments, mut rest) = ("{}", rest.trim_start());
        if rest.starts_with('{') {
            // The JSON may have brackets inside, so only a parser finds its end.
            let mut values = serde_json::Deserializer::from_str(rest).into_iter::<&RawValue>();
            arguments = values.next()?.ok()?.get();
            rest = rest[values.byte_offset()..].trim_start();
        }
        let after = rest.strip_prefix("]]").filter(|_| !name.is_empty())?;
        let (name, arguments) = (name.to_owned(), arguments.to_owned());
        answer.calls.push(Call { name, arguments });
        after
    } else {
        let (inside, after) = mark.split_once("]]")?;
        let (name, value) = inside.split_once(':')?;
        match (name, value.parse::<u64>()) {
            ("think", _) => answer.reasoning.push_str(value),
            ("chunks", Ok(count)) => answer.chunks = Some(count.min(100_000) as usize),
            ("delay", Ok(millis)) => answer.delay = Duration::from_millis(millis.min(60_000)),
            ("status", Ok(code @ 400..=599)) => answer.status = Some(code as u16),
            _ => return None,
        }
        after
    };
    answer.marked = true;
    Some(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_leave_the_text() {
        let check = |message: &str, wanted: &str| {
            let Answer { text, reasoning, calls, chunks, delay, status, .. } = parse(message);
            let calls = calls.iter().map(|call| format!("{}{}", call.name, call.arguments));
            let calls: String = calls.collect();
            let parsed = format!("{text}|{reasoning}|{calls}|{chunks:?} {delay:?} {status:?}");
            assert_eq!(parsed, wanted, "{message}");
        };
        check(
            r#"do [[tool:a {"x":"]]}", "y":[[1]]} ]][[tool:b]] it[[tool:c{}]]"#,
            r#"do  it||a{"x":"]]}", "y":[[1]]}b{}c{}|None 0ns None"#,
        );
        check(
            "[[think:a ]][[think:b]][[chunks:200000]] [[delay:70000]][[status:503]][[[x]]]",
            "[[[x]]]|a b||Some(100000) 60s Some(503)",
        );
        let bad_calls = ["[[tool:]]", "[[tool:a {]]", "[[tool:a [1]]]"];
        let bad_values = ["[[", "[[é]]", "[[think:é", "[[status:200]]"];
        for message in bad_calls.into_iter().chain(bad_values) {
            check(message, &format!("{message}|||None 0ns None"));
        }
    }
}
