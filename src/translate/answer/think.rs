//! Takes `<think>…</think>` out of the beginning of an answer's text, as local models write it.

/// What a piece of text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Voice {
    Thinking,
    Text,
}

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

/// The splitter; tags may be cut across pieces.
#[derive(Debug, Default)]
pub(super) struct ThinkSplitter {
    state: State,
    /// Text that may be the beginning of a tag, or is white space that may come before one.
    held: String,
    /// A closing tag that nothing has opened ends thinking: the opening one is the prompt's, and
    /// the server does not know it.
    closes_alone: bool,
    /// Text has gone out.
    has_text: bool,
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
    /// For the text as the model has written it.
    pub(super) fn of_bare_model() -> ThinkSplitter {
        ThinkSplitter { closes_alone: true, ..ThinkSplitter::default() }
    }

    /// Takes a piece of content and hands out what is known to be thinking or text.
    pub(super) fn push(&mut self, piece: &str, mut out: impl FnMut(Voice, &str)) {
        if self.state == State::Text && !self.closes_alone {
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
                    self.closes_alone = false;
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
                // What went out before it stays text; the tag is none in any case.
                State::Text if self.closes_alone => {
                    let found = self.held.find(CLOSE);
                    let quoted = found.is_some_and(|at| self.held[..at].ends_with('`'));
                    if let Some(at) = found.filter(|_| !quoted) {
                        let voice = if self.has_text { Voice::Text } else { Voice::Thinking };
                        emit(&mut out, voice, &self.held[..at]);
                        self.held.drain(..at + CLOSE.len());
                        (self.closes_alone, self.state) = (false, State::Gap);
                        continue;
                    }
                    self.closes_alone &= !quoted;
                    let kept = if quoted { 0 } else { partial_suffix(&self.held, CLOSE) };
                    let safe = self.held.len() - kept;
                    self.has_text |= safe > 0;
                    emit(&mut out, Voice::Text, &self.held[..safe]);
                    self.held.drain(..safe);
                    return;
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
    pub(super) fn finish(&mut self, mut out: impl FnMut(Voice, &str)) {
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
    fn a_closing_tag_alone_ends_thinking_where_the_model_is_bare() {
        for (pieces, thinking, text) in [
            (&["I reason.\n</think>\n\nAnswer"][..], "I reason.\n", "Answer"),
            (&["</think>Answer"], "", "Answer"),
            (&["no tag </thin"], "", "no tag </thin"),
            (&["it ends with `</think>`"], "", "it ends with `</think>`"),
            (&["<think>a</think>b </think>"], "a", "b </think>"),
            // What has gone out cannot be taken back.
            (&["I reason.", "\n</thi", "nk>\nAnswer"], "", "I reason.\nAnswer"),
        ] {
            let (mut thoughts, mut said) = (String::new(), String::new());
            let mut out = |voice, piece: &str| match voice {
                Voice::Thinking => thoughts.push_str(piece),
                Voice::Text => said.push_str(piece),
            };
            let mut splitter = ThinkSplitter::of_bare_model();
            pieces.iter().for_each(|piece| splitter.push(piece, &mut out));
            splitter.finish(&mut out);
            assert_eq!((&*thoughts, &*said), (thinking, text), "{pieces:?}");
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
