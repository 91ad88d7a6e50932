//! Bytes looked for many at a time, since most of a text is looked at by nothing else.

#![forbid(unsafe_code)]

#[cfg(any(test, not(target_arch = "x86_64")))]
mod portable;

#[cfg(not(target_arch = "x86_64"))]
pub(crate) use portable::{Marks, Word};

#[cfg(target_arch = "x86_64")]
pub(crate) use crate::vector::{Marks, Word};

/// Those of `bytes` from `at` on, filled up with what nobody looks for.
#[inline(always)]
pub(crate) fn word(bytes: &[u8], at: usize) -> Word {
    let rest = &bytes[at..];
    rest.first_chunk().map_or_else(|| filled(rest), Word::of)
}

#[inline(never)]
fn filled(rest: &[u8]) -> Word {
    let mut last = [0xFF; Word::BYTES];
    last[..rest.len()].copy_from_slice(rest);
    Word::of(&last)
}

/// How many bytes come before the first that `marks` marks.
#[inline(always)]
pub(crate) fn before(bytes: &[u8], marks: impl Fn(Word) -> Marks) -> usize {
    let mut at = 0;
    while at < bytes.len() {
        let found = marks(word(bytes, at));
        if found.any() {
            return bytes.len().min(at + found.first());
        }
        at += Word::BYTES;
    }
    bytes.len()
}

/// How many bytes `marks` marks, which it tells exactly.
#[inline(always)]
pub(crate) fn count(bytes: &[u8], marks: impl Fn(Word) -> Marks) -> usize {
    let places = (0..bytes.len()).step_by(Word::BYTES);
    places.map(|at| marks(word(bytes, at)).count()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_is_marked_is_found_wherever_it_stands() {
        let marks = |word: Word| word.below(b' ') | word.is(b'"');
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

    /// Each byte beside each other one, whichever type looks at them.
    macro_rules! tells_bytes_apart {
        ($name:ident, $word:ty) => {
            #[test]
            fn $name() {
                for byte in 0..=u8::MAX {
                    for other in [0, 1, b' ', b'"', b'\\', 0x7F, 0x80, 0xA2, 0xDC, 0xFF] {
                        for at in 0..<$word>::BYTES {
                            let mut bytes = [other; <$word>::BYTES];
                            bytes[at] = byte;
                            let word = <$word>::of(&bytes);
                            let places = |is: &dyn Fn(&u8) -> bool| -> Vec<usize> {
                                (0..bytes.len()).filter(|at| is(&bytes[*at])).collect()
                            };
                            for wanted in [b'"', b'\\', b',', b'{', 0x7F] {
                                let is = places(&|byte| *byte == wanted);
                                assert_eq!(word.is(wanted).collect::<Vec<_>>(), is, "{bytes:?}");
                                assert_eq!(word.is(wanted).count(), is.len(), "{bytes:?}");
                                let with = places(&|byte| byte | 0x20 == wanted);
                                let found: Vec<_> = word.with(0x20).is(wanted).collect();
                                assert_eq!(found, with, "{bytes:?}");
                            }
                            // Behind the first there may be more.
                            let below = places(&|byte| *byte < b' ');
                            let found: Vec<_> = word.below(b' ').collect();
                            assert_eq!(found.first(), below.first(), "{bytes:?}");
                            assert!(below.iter().all(|at| found.contains(at)), "{bytes:?}");
                        }
                    }
                }
            }
        };
    }

    tells_bytes_apart!(eight_bytes_in_a_number, portable::Word);
    #[cfg(target_arch = "x86_64")]
    tells_bytes_apart!(sixteen_bytes_in_a_register, crate::vector::Word);

    #[test]
    fn all_that_are_marked_are_counted() {
        let marks = |word: Word| word.is(b',') | word.with(0x20).is(b'{');
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
