//! How many tokens a text is, about, in one pass and without a vocabulary.
//!
//! Tokenizers of this family first cut a text into words, groups of three digits, runs of
//! punctuation and of blanks, and then merge the letters of each piece. The cut is done here as
//! they do it; what a piece merges to is estimated from its length, and for a word from how common
//! its pairs of letters are: `the` is one token, `xqz` three.

use super::weights::{
    APOSTROPHE, Family, LEAD, LENGTH, LONGER, Lead, PAIRS, PUNCTUATION, SCRIPTS, Script, TOKEN,
    UPPER,
};

/// Counts texts that come in pieces. A piece that has text is one token at least, as it is in a
/// stream.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct TextCount {
    /// In parts of a token, of which [`TOKEN`] make one.
    parts: u64,
}

impl TextCount {
    /// Counts a piece of the text.
    pub fn add(&mut self, text: &str) {
        self.parts += Scan { bytes: text.as_bytes(), text, at: 0, lead: Lead::None }.parts();
    }

    /// The tokens so far, rounded up.
    pub fn tokens(self) -> u64 {
        self.parts.div_ceil(TOKEN as u64)
    }
}

/// What a byte begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Letter,
    Digit,
    Blank,
    Punctuation,
    /// Part of a character beyond ASCII.
    Wide,
}

const fn class(byte: u8) -> Class {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' => Class::Letter,
        b'0'..=b'9' => Class::Digit,
        b' ' | b'\t'..=b'\r' => Class::Blank,
        0x80.. => Class::Wide,
        _ => Class::Punctuation,
    }
}

/// [`class`] of every byte.
static CLASSES: [Class; 256] = {
    let mut classes = [Class::Punctuation; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = class(byte as u8);
        byte += 1;
    }
    classes
};

struct Scan<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    /// What stands before the next piece and is counted with it.
    lead: Lead,
}

impl Scan<'_> {
    fn parts(mut self) -> u64 {
        let mut parts = 0;
        while let Some(class) = self.class() {
            parts += match class {
                Class::Letter => self.word(),
                Class::Digit => self.digits(),
                Class::Blank => self.blanks(),
                Class::Punctuation => self.punctuation(),
                Class::Wide => self.wide(),
            };
        }
        parts
    }

    fn class(&self) -> Option<Class> {
        self.bytes.get(self.at).map(|byte| CLASSES[usize::from(*byte)])
    }

    fn byte(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    /// The character here, which is beyond ASCII, and its length in bytes.
    fn wide_char(&self) -> Option<(u32, usize)> {
        let char = self.text.get(self.at..)?.chars().next()?;
        Some((u32::from(char), char.len_utf8()))
    }

    /// A word of Latin letters; `camelCase` is two.
    fn word(&mut self) -> u64 {
        const START: usize = 27;
        const BEYOND_ASCII: usize = 26;
        let mut parts = LEAD[self.lead as usize];
        self.lead = Lead::None;
        let mut previous = START;
        let mut length = 0_usize;
        let mut after_lower = false;
        loop {
            let byte = self.byte(0);
            let letter = match byte {
                b'a'..=b'z' => {
                    after_lower = true;
                    self.at += 1;
                    usize::from(byte - b'a')
                }
                b'A'..=b'Z' if after_lower => break,
                b'A'..=b'Z' => {
                    parts += if length > 0 { UPPER } else { 0 };
                    self.at += 1;
                    usize::from(byte - b'A')
                }
                0x80.. => match self.wide_char() {
                    Some((char, bytes)) if script(char).family == Family::Latin => {
                        after_lower = true;
                        parts += script(char).each;
                        self.at += bytes;
                        BEYOND_ASCII
                    }
                    _ => break,
                },
                b'\'' if length > 0 && self.is_contraction() => {
                    self.at += 1;
                    while self.class() == Some(Class::Letter) {
                        self.at += 1;
                    }
                    parts += APOSTROPHE;
                    break;
                }
                _ => break,
            };
            parts += i64::from(PAIRS[previous][letter]);
            previous = letter;
            length += 1;
        }
        let longer = length.saturating_sub(LENGTH.len()) as i64;
        let length = length.clamp(1, LENGTH.len());
        at_least_one(parts + LENGTH[length - 1] + longer * LONGER)
    }

    /// Whether an apostrophe here goes with the word before it, as in `it's` and `we'll`.
    fn is_contraction(&self) -> bool {
        let is_letter = |ahead: usize| self.byte(ahead).is_ascii_alphabetic();
        match self.byte(1) | 0x20 {
            b's' | b't' | b'm' | b'd' => !is_letter(2),
            b'r' | b'v' => self.byte(2) | 0x20 == b'e' && !is_letter(3),
            b'l' => self.byte(2) | 0x20 == b'l' && !is_letter(3),
            _ => false,
        }
    }

    /// Three digits are one token.
    fn digits(&mut self) -> u64 {
        let length = self.run(Class::Digit);
        self.lead = Lead::None;
        length.div_ceil(3) as u64 * TOKEN as u64
    }

    /// Blanks up to the last end of a line are one token, those after it another; but a single one
    /// belongs to the piece after it.
    fn blanks(&mut self) -> u64 {
        let start = self.at;
        self.run(Class::Blank);
        let run = &self.bytes[start..self.at];
        let line_end = run.iter().rposition(|byte| matches!(byte, b'\n' | b'\r'));
        let indent = &run[line_end.map_or(0, |at| at + 1)..];
        let mut tokens = u64::from(line_end.is_some());
        self.lead = Lead::None;
        let Some(last) = indent.last() else { return tokens * TOKEN as u64 };
        let joins = match self.class() {
            None => {
                tokens += 1;
                return tokens * TOKEN as u64;
            }
            Some(Class::Letter | Class::Wide) => true,
            Some(Class::Punctuation) => *last == b' ',
            Some(Class::Digit | Class::Blank) => false,
        };
        if joins {
            self.lead = if *last == b' ' { Lead::Space } else { Lead::Mark };
        }
        tokens += u64::from(indent.len() > 1) + u64::from(!joins);
        tokens * TOKEN as u64
    }

    /// A run of punctuation with the ends of lines after it; but a single mark belongs to the word
    /// after it.
    fn punctuation(&mut self) -> u64 {
        let start = self.at;
        let length = self.run(Class::Punctuation);
        if length == 1 && self.lead == Lead::None && self.is_letter() {
            self.lead = Lead::Mark;
            return 0;
        }
        let run = &self.bytes[start..self.at];
        let repeated = run.windows(2).filter(|pair| pair[0] == pair[1]).count();
        let mut parts = if self.lead == Lead::Space { PUNCTUATION.after_space } else { 0 };
        self.lead = Lead::None;
        if matches!(self.byte(0), b'\n' | b'\r') {
            parts += PUNCTUATION.at_line_end;
            while matches!(self.byte(0), b'\n' | b'\r') {
                self.at += 1;
            }
        }
        let distinct = length - repeated;
        let longer = distinct.saturating_sub(PUNCTUATION.length.len()) as i64;
        parts += PUNCTUATION.length[distinct.clamp(1, PUNCTUATION.length.len()) - 1];
        if length > 2 {
            parts += run.iter().filter(|mark| **mark == b'"').count() as i64 * PUNCTUATION.quote;
        }
        parts += longer * PUNCTUATION.longer + repeated as i64 * PUNCTUATION.repeated;
        at_least_one(parts)
    }

    /// Whether a letter of any script is next.
    fn is_letter(&self) -> bool {
        match self.class() {
            Some(Class::Letter) => true,
            Some(Class::Wide) => self.wide_char().is_some_and(|(char, _)| script(char).is_letters),
            _ => false,
        }
    }

    /// A run of one script beyond ASCII, or a Latin word that begins with such a letter.
    fn wide(&mut self) -> u64 {
        let Some((first, _)) = self.wide_char() else {
            // Not in a `str`; but no bytes may stop the scan.
            self.at += 1;
            return 0;
        };
        let run = script(first);
        if run.family == Family::Latin {
            return self.word();
        }
        self.lead = Lead::None;
        let mut parts = run.word;
        while self.class() == Some(Class::Wide) {
            match self.wide_char() {
                Some((char, bytes)) if run.goes_with(script(char)) => {
                    parts += script(char).each;
                    self.at += bytes;
                }
                _ => break,
            }
        }
        if run.joins { parts.max(0) as u64 } else { at_least_one(parts) }
    }

    /// Goes past the bytes of `class` and returns how many they are.
    fn run(&mut self, class: Class) -> usize {
        let start = self.at;
        while self.class() == Some(class) {
            self.at += 1;
        }
        self.at - start
    }
}

fn at_least_one(parts: i64) -> u64 {
    parts.max(TOKEN) as u64
}

/// The script of a character beyond ASCII.
fn script(char: u32) -> &'static Script {
    let place = SCRIPTS.partition_point(|script| script.end <= char);
    &SCRIPTS[place.min(SCRIPTS.len() - 1)]
}

#[cfg(test)]
mod tests {
    use super::TextCount;

    #[track_caller]
    fn check(text: &str, tokens: std::ops::RangeInclusive<u64>) {
        let mut count = TextCount::default();
        count.add(text);
        assert!(tokens.contains(&count.tokens()), "{text:?}: {}", count.tokens());
    }

    #[test]
    fn a_piece_is_a_token_at_least() {
        check("", 0..=0);
        for piece in ["a", " the", "\n", "7", "}", " ", "é", "的"] {
            check(piece, 1..=1);
        }
    }

    #[test]
    fn digits_go_in_threes() {
        check("123", 1..=1);
        check("1234567", 3..=3);
        check("x = 1234567", 5..=6);
    }

    #[test]
    fn indentation_is_one_token() {
        check(&"\n".repeat(5), 1..=1);
        check(&format!("\n{}x", " ".repeat(40)), 3..=3);
    }

    #[test]
    fn long_runs_are_no_danger() {
        check(&"=".repeat(3_000_000), 1..=200_000);
        check(&"a".repeat(3_000_000), 100_000..=3_000_000);
        check(&"的".repeat(1_000_000), 500_000..=1_000_000);
        check(&"+-".repeat(1_000_000), 100_000..=2_000_000);
    }
}
