//! A text that a regular expression of a JSON schema matches, by ECMA-262's syntax.
//!
//! The first branch of each choice is taken, and each repetition as few times as it may be. What
//! only restricts what stands beside it (look-around, back references, word bounds) is passed over.

use std::iter::{Peekable, repeat_n};
use std::str::Chars;

/// Texts end here: a pattern may ask for any length.
const LIMIT: usize = 16 * 1024;

/// How deep groups may stand in groups.
const DEPTH: usize = 16;

/// A text that `pattern` matches, of at least `length` characters if an open repetition permits it.
pub(super) fn sample(pattern: &str, length: usize) -> String {
    let text = Sampler { rest: pattern.chars().peekable(), more: 0 }.choice(0);
    match length.saturating_sub(text.chars().count()).min(LIMIT) {
        0 => text,
        more => Sampler { rest: pattern.chars().peekable(), more }.choice(0),
    }
}

struct Sampler<'a> {
    rest: Peekable<Chars<'a>>,
    /// How often more than it must a repetition without an end is taken.
    more: usize,
}

impl Sampler<'_> {
    /// Branches up to the end of the group: the first counts.
    fn choice(&mut self, depth: usize) -> String {
        let first = self.sequence(depth);
        while self.rest.next_if_eq(&'|').is_some() {
            self.sequence(depth);
        }
        first
    }

    fn sequence(&mut self, depth: usize) -> String {
        let mut text = String::new();
        while let Some(&c) = self.rest.peek() {
            if c == '|' || c == ')' {
                break;
            }
            self.rest.next();
            let atom = match c {
                '(' => self.group(depth),
                '[' => self.class().to_string(),
                '\\' => self.escape().map(String::from).unwrap_or_default(),
                '^' | '$' => String::new(),
                '.' => "a".to_owned(),
                c => c.to_string(),
            };
            let times = self.times();
            let room = (LIMIT - text.len()) / atom.len().max(1);
            text.extend(repeat_n(&*atom, times.min(room)));
        }
        text
    }

    fn group(&mut self, depth: usize) -> String {
        let mut restricts = false;
        if self.rest.next_if_eq(&'?').is_some() {
            match self.rest.next() {
                Some('<') if self.rest.next_if(|c| matches!(c, '=' | '!')).is_some() => {
                    restricts = true;
                }
                Some('<') => while self.rest.next().is_some_and(|c| c != '>') {},
                Some(kind) => restricts = kind != ':',
                None => {}
            }
        }
        if depth == DEPTH {
            self.rest.by_ref().for_each(drop);
            return String::new();
        }
        let text = self.choice(depth + 1);
        self.rest.next_if_eq(&')');
        if restricts { String::new() } else { text }
    }

    /// The repetition after an atom: how often it is taken.
    fn times(&mut self) -> usize {
        let (least, open) = match self.rest.peek() {
            Some('?') => (0, false),
            Some('*') => (0, true),
            Some('+') => (1, true),
            Some('{') => {
                let inside = self.rest.clone().skip(1).take_while(|&c| c != '}');
                let inside: String = inside.collect();
                let (least, most) = inside.split_once(',').unwrap_or((&inside, &inside));
                // Braces with anything else inside stand for themselves.
                let Ok(least) = least.parse::<usize>() else { return 1 };
                let most = most.parse::<usize>().unwrap_or(usize::MAX);
                // The last character of the braces is taken below.
                self.rest.by_ref().take(inside.len() + 1).for_each(drop);
                let times = least.saturating_add(self.more).min(most).max(least);
                (times, false)
            }
            _ => return 1,
        };
        self.rest.next();
        // A lazy repetition.
        self.rest.next_if_eq(&'?');
        least + if open { self.more } else { 0 }
    }

    /// A character that a class has.
    fn class(&mut self) -> char {
        let negated = self.rest.next_if_eq(&'^').is_some();
        let mut ranges: Vec<(char, char)> = Vec::new();
        let mut shorthands = Vec::new();
        while let Some(c) = self.rest.next().filter(|&c| c != ']') {
            let first = match c {
                '\\' => match self.rest.peek() {
                    Some(&kind @ ('d' | 'w' | 's' | 'D' | 'W' | 'S')) => {
                        self.rest.next();
                        shorthands.push(kind);
                        continue;
                    }
                    _ => self.escape().unwrap_or('\u{8}'),
                },
                c => c,
            };
            let mut after = self.rest.clone();
            let ranged = after.next() == Some('-') && after.next().is_some_and(|c| c != ']');
            let last = if ranged {
                self.rest.next();
                match self.rest.next() {
                    Some('\\') => self.escape().unwrap_or(first),
                    last => last.unwrap_or(first),
                }
            } else {
                first
            };
            ranges.push((first, last));
        }
        let has = |c: char| {
            ranges.iter().any(|&(first, last)| (first..=last).contains(&c))
                || shorthands.iter().any(|&kind| belongs(kind, c))
        };
        let first = ranges.first().map(|&(first, _)| first);
        let mut candidates = ['a', '0', ' ', '-', '_', 'A', '.', 'é'].into_iter().chain(first);
        let found = candidates.find(|&c| has(c) != negated);
        found.unwrap_or('a')
    }

    /// The character that an escape stands for, or `None` where it only restricts.
    fn escape(&mut self) -> Option<char> {
        Some(match self.rest.next()? {
            'd' => '0',
            'w' | 'S' | 'D' => 'a',
            's' | 'W' => ' ',
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'f' => '\u{c}',
            'v' => '\u{b}',
            'b' | 'B' | '1'..='9' | 'k' => return None,
            'x' => self.code(2)?,
            'u' if self.rest.peek() == Some(&'{') => {
                self.rest.next();
                let digits = self.rest.by_ref().take_while(|&c| c != '}').collect::<String>();
                char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?
            }
            'u' => self.code(4)?,
            // A property, as \p{L}.
            'p' | 'P' if self.rest.peek() == Some(&'{') => {
                self.rest.by_ref().take_while(|&c| c != '}').for_each(drop);
                'a'
            }
            c => c,
        })
    }

    fn code(&mut self, digits: usize) -> Option<char> {
        let digits: String = self.rest.by_ref().take(digits).collect();
        char::from_u32(u32::from_str_radix(&digits, 16).ok()?)
    }
}

/// Whether `c` is of the kind that a shorthand such as `\d` means.
fn belongs(kind: char, c: char) -> bool {
    let is = match kind.to_ascii_lowercase() {
        'd' => c.is_ascii_digit(),
        'w' => c.is_ascii_alphanumeric() || c == '_',
        _ => c.is_whitespace(),
    };
    is != kind.is_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_match_their_pattern() {
        let check = |pattern: &str, length: usize, wanted: &str| {
            assert_eq!(sample(pattern, length), wanted, "{pattern}");
        };
        check("^[a-z]+$", 0, "a");
        check("^[a-z]+$", 3, "aaa");
        check(r"^\d{4}-\d{2}$", 0, "0000-00");
        check("^(foo|bar)(-(?:x|y){2,})?$", 0, "foo");
        check("(?<year>[0-9]{2}){2}", 0, "0000");
        check(r"^(?!x)(?=.*a)[^\s/]{1,3}\.txt$", 0, "a.txt");
        check(r"[^a-z0-9]", 0, " ");
        check(r"[\]x]|y", 0, "]");
        check(r"[\s\S]*?", 0, "");
        check(r"\x41\u0042\u{43}\p{L}\bc{", 0, "ABCac{");
        check(r"[#/-]", 0, "-");
        check(r"[x-z][\d-]", 0, "x0");
        check("a{5}", 9, "aaaaa");
    }

    #[test]
    fn no_pattern_is_too_much() {
        for pattern in ["(", "[", "[a-", "\\", "{", "a{9999999}", "(?", "(?<", "**", ")a", "\\u"] {
            sample(pattern, 3);
        }
        let deep = "(".repeat(10_000);
        assert_eq!(sample(&deep, 0), "");
        let wide = format!("{}a{}", "(".repeat(12), "){999}".repeat(12));
        assert!(sample(&wide, 0).len() <= LIMIT);
    }
}
