//! Bytes looked for eight at a time, since most of a text is looked at by nothing else.

#![forbid(unsafe_code)]

use std::ops::BitOr;

/// Eight bytes, compared all at once.
///
/// <https://graphics.stanford.edu/~seander/bithacks.html#ZeroInWord>
#[derive(Clone, Copy)]
pub(crate) struct Word(u64);

/// Some of the eight, as the high bits of their bytes. Above the first of them more may be set.
#[derive(Clone, Copy)]
pub(crate) struct Marks(u64);

const EACH: u64 = u64::from_ne_bytes([1; 8]);

impl Word {
    /// Its bytes, with those that are `byte` zero.
    pub(crate) fn other_than(self, byte: u8) -> Word {
        Word(self.0 ^ (EACH * u64::from(byte)))
    }

    /// Those that are less than `end`, which is ASCII.
    pub(crate) fn below(self, end: u8) -> Marks {
        Marks(self.0.wrapping_sub(EACH * u64::from(end)) & !self.0 & (EACH << 7))
    }
}

impl Word {
    /// Those that are `byte`, and no others.
    pub(crate) fn exactly(self, byte: u8) -> Marks {
        const LOW: u64 = EACH * 0x7F;
        let Word(rest) = self.other_than(byte);
        Marks(!(((rest & LOW) + LOW) | rest | LOW))
    }

    /// Its bytes, with `bits` set in each.
    pub(crate) fn with(self, bits: u8) -> Word {
        Word(self.0 | (EACH * u64::from(bits)))
    }
}

impl BitOr for Marks {
    type Output = Marks;

    fn bitor(self, other: Marks) -> Marks {
        Marks(self.0 | other.0)
    }
}

/// How many bytes come before the first that `marks` marks.
pub(crate) fn before(bytes: &[u8], marks: impl Fn(Word) -> Marks) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    for (n, word) in words.iter().enumerate() {
        let Marks(found) = marks(Word(u64::from_le_bytes(*word)));
        if found != 0 {
            return 8 * n + found.trailing_zeros() as usize / 8;
        }
    }
    // What fills the last word is no byte that anybody looks for.
    let mut last = [0xFF; 8];
    last[..rest.len()].copy_from_slice(rest);
    let Marks(found) = marks(Word(u64::from_le_bytes(last)));
    8 * words.len() + (found.trailing_zeros() as usize / 8).min(rest.len())
}

/// How many bytes `marks` marks, which it tells exactly.
pub(crate) fn count(bytes: &[u8], marks: impl Fn(Word) -> Marks) -> usize {
    let marked = |word: [u8; 8]| marks(Word(u64::from_le_bytes(word))).0 >> 7;
    let (words, rest) = bytes.as_chunks::<8>();
    let mut last = [0xFF; 8];
    last[..rest.len()].copy_from_slice(rest);
    // Each byte counts on its own, for as long as it cannot overflow.
    let all = words.chunks(usize::from(u8::MAX)).map(|some| {
        let sum: u64 = some.iter().map(|word| marked(*word)).sum();
        sum.to_le_bytes().iter().map(|n| usize::from(*n)).sum::<usize>()
    });
    all.sum::<usize>() + marked(last).count_ones() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_is_marked_is_found_wherever_it_stands() {
        let marks = |word: Word| word.below(b' ') | word.other_than(b'"').below(1);
        for length in 0..30 {
            for other in [b'a', b' ', b'!', b'#', 0x7F, 0x80, 0xA2, 0xFF] {
                let mut bytes = vec![other; length];
                assert_eq!(before(&bytes, marks), length);
                for at in (0..length).rev() {
                    // What is behind it is not told apart.
                    bytes[at] = [b'"', 0, b'\n', 0x1F][at % 4];
                    assert_eq!(before(&bytes, marks), at, "{bytes:?}");
                }
            }
        }
    }

    #[test]
    fn all_that_are_marked_are_counted() {
        let marks = |word: Word| word.exactly(b',') | word.with(0x20).exactly(b'{');
        let is_marked = |byte: &&u8| matches!(byte, b',' | b'[' | b'{');
        for length in (0..40).chain([2040, 2041, 5000]) {
            let bytes: Vec<u8> = (0..length).map(|n| ((n * n * 37) >> 3) as u8).collect();
            for bytes in [bytes, vec![b','; length], vec![b'['; length], vec![0xDB; length]] {
                let wanted = bytes.iter().filter(is_marked).count();
                assert_eq!(count(&bytes, marks), wanted, "{bytes:?}");
            }
        }
    }
}
