//! Takes `<think>…</think>` out of the beginning of an answer's text, as local models write it.

/// What a piece of text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voice {
    Thinking,
    Text,
}

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

/// The splitter; tags may be cut across pieces.
#[derive(Debug, Default)]
pub struct ThinkSplitter {
    state: State,
    /// Text that may be the beginning of a tag, or is white space that may come before one.
    held: String,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing but white space so far.
    #[default]
    Start,
    Inside,
    /// Behind the closing tag, where white space is no part of the answer.
    Gap,
    Text,
}

impl ThinkSplitter {
    /// Takes a piece of content and hands out what is known to be thinking or text.
    pub fn push(&mut self, piece: &str, mut out: impl FnMut(Voice, &str)) {
        if self.state == State::Text {
            out(Voice::Text, piece);
            return;
        }
        self.held.push_str(piece);
        loop {
            match self.state {
                State::Start => {
                    let begun = self.held.trim_start();
                    if let Some(rest) = begun.strip_prefix(OPEN) {
                        self.held = rest.to_owned();
                        self.state = State::Inside;
                    } else if OPEN.starts_with(begun) {
                        return;
                    } else {
                        self.state = State::Text;
                    }
                }
                State::Inside => {
                    if let Some(at) = self.held.find(CLOSE) {
                        emit(&mut out, Voice::Thinking, &self.held[..at]);
                        self.held.drain(..at + CLOSE.len());
                        self.state = State::Gap;
                    } else {
                        let safe = self.held.len() - partial_suffix(&self.held, CLOSE);
                        emit(&mut out, Voice::Thinking, &self.held[..safe]);
                        self.held.drain(..safe);
                        return;
                    }
                }
                State::Gap => {
                    let rest = self.held.trim_start();
                    if rest.is_empty() {
                        self.held.clear();
                        return;
                    }
                    self.held = rest.to_owned();
                    self.state = State::Text;
                }
                State::Text => {
                    emit(&mut out, Voice::Text, &self.held);
                    self.held.clear();
                    return;
                }
            }
        }
    }

    /// Hands out what was held back for a tag that did not come.
    pub fn finish(&mut self, mut out: impl FnMut(Voice, &str)) {
        let voice = if self.state == State::Inside { Voice::Thinking } else { Voice::Text };
        let held = std::mem::take(&mut self.held);
        // White space alone is no answer; an empty block would only confuse the client.
        if !held.trim().is_empty() {
            out(voice, &held);
        }
    }
}

fn emit(out: &mut impl FnMut(Voice, &str), voice: Voice, text: &str) {
    if !text.is_empty() {
        out(voice, text);
    }
}

/// How many bytes at the end of `text` are a beginning of `tag`.
fn partial_suffix(text: &str, tag: &str) -> usize {
    (1..tag.len()).rev().find(|length| text.ends_with(&tag[..*length])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{ThinkSplitter, Voice};

    /// Every way to cut `input` in two gives the same.
    fn check(input: &str, thinking: &str, text: &str) {
        for cut in (0..=input.len()).filter(|cut| input.is_char_boundary(*cut)) {
            let (mut thoughts, mut said) = (String::new(), String::new());
            let mut out = |voice, piece: &str| match voice {
                Voice::Thinking => thoughts.push_str(piece),
                Voice::Text => said.push_str(piece),
            };
            let mut splitter = ThinkSplitter::default();
            splitter.push(&input[..cut], &mut out);
            splitter.push(&input[cut..], &mut out);
            splitter.finish(&mut out);
            assert_eq!((thoughts.as_str(), said.as_str()), (thinking, text), "{input:?} at {cut}");
        }
    }

    #[test]
    fn splits() {
        check("<think>a < b</think>\n\nhé", "a < b", "hé");
        check("\n<think>\na</thin</think>x", "\na</thin", "x");
        check("no <think>tag</think>", "", "no <think>tag</think>");
        check("<thin", "", "<thin");
        check("<think>never closed</", "never closed</", "");
        check("", "", "");
    }
}
