//! Stop sequences that the provider does not take, looked for in the text of its answer.
//!
//! What is found does not depend on how the text is cut: the sequence that begins first, and of
//! those that begin at one place the longest.

/// The sequences that are looked for, and the one that was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Stops {
    /// In order, none twice.
    sequences: Vec<String>,
    /// Of each the place of the longest other one that it begins with.
    shorter: Vec<Option<usize>>,
    /// The bytes that one of them begins with, as bits.
    first: [u64; 4],
    found: Option<String>,
}

/// What a text holds.
enum Search<'a> {
    /// No sequence begins before this place; one may begin there.
    Free(usize),
    Found(usize, &'a str),
}

impl Stops {
    /// Looks for `sequences`. Empty ones, which every text has, are none.
    pub fn new(sequences: impl IntoIterator<Item = String>) -> Stops {
        let mut sequences: Vec<String> =
            sequences.into_iter().filter(|sequence| !sequence.is_empty()).collect();
        sequences.sort_unstable();
        sequences.dedup();
        let mut stops = Stops { sequences, ..Stops::default() };
        let mut begun: Vec<usize> = Vec::new();
        for (at, sequence) in stops.sequences.iter().enumerate() {
            // In this order those that one begins with stand before it, each in the next.
            while begun.last().is_some_and(|last| !sequence.starts_with(&*stops.sequences[*last])) {
                begun.pop();
            }
            stops.shorter.push(begun.last().copied());
            begun.push(at);
            let byte = sequence.as_bytes()[0];
            stops.first[usize::from(byte / 64)] |= 1 << (byte % 64);
        }
        stops
    }

    /// The sequence at which the answer is over.
    pub(super) fn found(&self) -> Option<&str> {
        self.found.as_deref()
    }

    /// Searches `text`, after which more may come unless it `is_over`.
    fn search(&self, text: &str, is_over: bool) -> Search<'_> {
        let begins = |byte: u8| self.first[usize::from(byte / 64)] >> (byte % 64) & 1 == 1;
        for (at, _) in text.bytes().enumerate().filter(|(_, byte)| begins(*byte)) {
            // A sequence begins with a whole character, so one begins here.
            let rest = &text[at..];
            let next = self.sequences.partition_point(|sequence| **sequence <= *rest);
            let may_come = |sequence: &String| sequence.starts_with(rest);
            if !is_over && self.sequences.get(next).is_some_and(may_come) {
                return Search::Free(at);
            }
            let mut found = next.checked_sub(1);
            while let Some(place) = found {
                let sequence = &*self.sequences[place];
                if rest.starts_with(sequence) {
                    return Search::Found(at, sequence);
                }
                found = self.shorter[place];
            }
        }
        Search::Free(text.len())
    }
}

/// A text on its way out. Its end is held back while it may be the beginning of a sequence.
#[derive(Debug, Default)]
pub(super) struct HeldText {
    /// What has not gone out.
    text: String,
    /// How many bytes of it may go out.
    ///
    /// Invariant: `free <= text.len()`, at the boundary of a character.
    free: usize,
}

impl HeldText {
    /// Appends a piece. Once a sequence is found, the text ends before it.
    pub(super) fn push(&mut self, piece: &str, stops: &mut Stops) {
        if stops.found.is_none() {
            self.text.push_str(piece);
            self.search(stops, false);
        }
    }

    /// Appends what no sequence is looked for in, to a text that is finished.
    pub(super) fn push_free(&mut self, piece: &str, stops: &Stops) {
        if stops.found.is_none() {
            self.text.push_str(piece);
            self.free = self.text.len();
        }
    }

    /// Nothing follows.
    pub(super) fn finish(&mut self, stops: &mut Stops) {
        self.search(stops, true);
    }

    /// What may go out.
    pub(super) fn free(&self) -> &str {
        &self.text[..self.free]
    }

    /// It has gone out.
    pub(super) fn clear_free(&mut self) {
        self.text.drain(..self.free);
        self.free = 0;
    }

    fn search(&mut self, stops: &mut Stops, is_over: bool) {
        if stops.sequences.is_empty() || stops.found.is_some() {
            self.free = self.text.len();
            return;
        }
        match stops.search(&self.text[self.free..], is_over) {
            Search::Free(more) => self.free += more,
            Search::Found(at, sequence) => {
                let found = sequence.to_owned();
                self.free += at;
                self.text.truncate(self.free);
                stops.found = Some(found);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{HeldText, Stops};

    /// What goes out of a text in `pieces`, the sequence that ends it, and what was held back
    /// before the last piece was known to be the last.
    fn run(
        sequences: &[&str],
        pieces: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> (String, Option<String>, usize) {
        let mut stops = Stops::new(sequences.iter().map(|&sequence| sequence.to_owned()));
        let (mut text, mut out) = (HeldText::default(), String::new());
        let mut take = |text: &mut HeldText| {
            out.push_str(text.free());
            text.clear_free();
        };
        for piece in pieces {
            text.push(piece.as_ref(), &mut stops);
            take(&mut text);
        }
        let held = text.text.len();
        text.finish(&mut stops);
        take(&mut text);
        (out, stops.found, held)
    }

    /// Every way to cut `input` in two, and single characters, give the same.
    fn check(sequences: &[&str], input: &str, wanted: &str, found: Option<&str>, held: usize) {
        let wanted = (wanted.to_owned(), found.map(str::to_owned), held);
        for cut in (0..=input.len()).filter(|cut| input.is_char_boundary(*cut)) {
            let (left, right) = input.split_at(cut);
            assert_eq!(run(sequences, [left, right]), wanted, "{input:?} at {cut}");
        }
        let single = input.chars().map(String::from);
        assert_eq!(run(sequences, single), wanted, "{input:?} in single characters");
    }

    #[test]
    fn a_text_ends_before_a_sequence() {
        check(&["STOP"], "one STOP two STOP", "one ", Some("STOP"), 0);
        check(&["STOP"], "STOP", "", Some("STOP"), 0);
        check(&["STOP"], "SSTOP", "S", Some("STOP"), 0);
        check(&["STOP"], "stop", "stop", None, 0);
        check(&["aab"], "aaaab", "aa", Some("aab"), 0);
        check(&["\n\n"], "a\nb\n\nc", "a\nb", Some("\n\n"), 0);
        check(&["終わり", "é"], "終わ終わりé", "終わ", Some("終わり"), 0);
        check(&["ü"], "é", "é", None, 0);
    }

    #[test]
    fn the_first_wins_and_at_one_place_the_longest() {
        check(&["b", "a"], "xab", "x", Some("a"), 0);
        check(&["a", "abc", "ab"], "xabcd", "x", Some("abc"), 0);
        check(&["a", "abc"], "xabd", "x", Some("a"), 0);
        check(&["bc", "abcd"], "xabcd", "x", Some("abcd"), 0);
        check(&["bc", "abcd"], "xabce", "xa", Some("bc"), 0);
        // The end of the text decides what more of it could have been.
        check(&["a", "abc"], "xab", "x", Some("a"), 2);
        check(&["bc", "abcd"], "xabc", "xa", Some("bc"), 3);
    }

    #[test]
    fn what_may_be_a_beginning_is_held_back() {
        check(&["STOP"], "the STO", "the STO", None, 3);
        check(&["STOP"], "the STOX", "the STOX", None, 0);
        check(&["STOP", "OPEN"], "a STOP", "a ", Some("STOP"), 0);
        check(&["STOX", "OPEN"], "a STOP", "a STOP", None, 2);
    }

    #[test]
    fn nothing_to_look_for_holds_nothing() {
        check(&[], "anything", "anything", None, 0);
        check(&["", ""], "anything", "anything", None, 0);
        check(&["", "y"], "anything", "an", Some("y"), 0);
    }
}
