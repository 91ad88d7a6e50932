//! Eight bytes as a number.

use std::ops::BitOr;

/// Eight bytes, compared all at once.
///
/// <https://graphics.stanford.edu/~seander/bithacks.html#ZeroInWord>
#[derive(Clone, Copy)]
pub(crate) struct Word(u64);

/// Some of the eight, as the high bits of their bytes.
#[derive(Clone, Copy)]
pub(crate) struct Marks(u64);

const EACH: u64 = u64::from_ne_bytes([1; 8]);

impl Word {
    /// How many bytes it has.
    pub(crate) const BYTES: usize = 8;

    #[inline(always)]
    pub(crate) fn of(bytes: &[u8; 8]) -> Word {
        Word(u64::from_le_bytes(*bytes))
    }

    /// Those that are less than `end`, which is ASCII. Behind the first of them others may be
    /// marked.
    #[inline(always)]
    pub(crate) fn below(self, end: u8) -> Marks {
        Marks(self.0.wrapping_sub(EACH * u64::from(end)) & !self.0 & (EACH << 7))
    }

    /// Those that are `byte`.
    #[inline(always)]
    pub(crate) fn is(self, byte: u8) -> Marks {
        const LOW: u64 = EACH * 0x7F;
        let rest = self.0 ^ (EACH * u64::from(byte));
        Marks(!(((rest & LOW) + LOW) | rest | LOW))
    }

    /// Its bytes, with `bits` set in each.
    #[inline(always)]
    pub(crate) fn with(self, bits: u8) -> Word {
        Word(self.0 | (EACH * u64::from(bits)))
    }
}

impl Marks {
    #[inline(always)]
    pub(crate) fn any(self) -> bool {
        self.0 != 0
    }

    /// The place of the first.
    #[inline(always)]
    pub(crate) fn first(self) -> usize {
        self.0.trailing_zeros() as usize / 8
    }

    /// How many they are.
    pub(crate) fn count(self) -> usize {
        self.0.count_ones() as usize
    }
}

/// The places, the first first.
impl Iterator for Marks {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        let all = *self;
        self.0 &= all.0.wrapping_sub(1);
        all.any().then(|| all.first())
    }
}

impl BitOr for Marks {
    type Output = Marks;

    #[inline(always)]
    fn bitor(self, other: Marks) -> Marks {
        Marks(self.0 | other.0)
    }
}
