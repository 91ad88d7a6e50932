//! What the pieces of a text cost, in parts of a token.
//!
//! Fitted to `o200k_base` by least squares, over prose in forty languages, sources of ten kinds and
//! data; the samples in `tests/fixtures/tokens` were held out.

/// The parts of a token.
pub(super) const TOKEN: i64 = 64;

/// What stands before a word and is counted with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lead {
    None,
    Space,
    /// Another character, as in `.name` and `(name`.
    Mark,
}

/// By [`Lead`].
pub(super) const LEAD: [i64; 3] = [9, -4, 28];

/// A word by how many letters it has, and each letter beyond.
pub(super) const LENGTH: [i64; 16] =
    [1, 22, 40, 45, 55, 63, 71, 86, 96, 106, 113, 129, 138, 141, 159, 179];
pub(super) const LONGER: i64 = 13;

/// Each capital that is not the first letter.
pub(super) const UPPER: i64 = 7;

/// The end of `it's`.
pub(super) const APOSTROPHE: i64 = 29;

pub(super) struct Punctuation {
    /// By how many marks there are, not counting those that repeat the one before.
    pub length: [i64; 8],
    pub longer: i64,
    pub repeated: i64,
    /// Each quotation mark in a run of three or more, as in `":"` and `"},{"`.
    pub quote: i64,
    pub after_space: i64,
    pub at_line_end: i64,
}

pub(super) const PUNCTUATION: Punctuation = Punctuation {
    length: [26, 37, 90, 113, 139, 184, 208, 232],
    longer: 24,
    quote: -13,
    repeated: 2,
    after_space: 35,
    at_line_end: -7,
};

/// The ranges that a word can have letters of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// Those of ASCII and those with accents.
    Latin,
    Cyrillic,
    /// The range alone.
    Own,
}

const CYRILLIC_WORD: i64 = 31;

/// A range of characters beyond ASCII.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Script {
    /// The first character after the range.
    pub end: u32,
    /// A run of them, and each of them.
    pub word: i64,
    pub each: i64,
    pub is_letters: bool,
    /// Whether it mostly merges with what is beside it, so that it may be less than a token.
    pub joins: bool,
    pub family: Family,
}

impl Script {
    /// Whether characters of `other` can stand in one word with those of this range.
    pub(super) fn goes_with(&self, other: &Script) -> bool {
        self.end == other.end || self.family == other.family && self.family != Family::Own
    }

    const fn letters(end: u32, word: i64, each: i64) -> Script {
        Script { end, word, each, is_letters: true, joins: false, family: Family::Own }
    }

    const fn cyrillic(end: u32, each: i64) -> Script {
        Script { family: Family::Cyrillic, ..Script::letters(end, CYRILLIC_WORD, each) }
    }

    const fn marks(end: u32, each: i64) -> Script {
        Script { end, word: 0, each, is_letters: false, joins: true, family: Family::Own }
    }

    /// Its letters stand in words with those of ASCII, and cost `each` more.
    const fn latin(end: u32, each: i64) -> Script {
        Script { family: Family::Latin, ..Script::letters(end, 0, each) }
    }
}

pub(super) static SCRIPTS: &[Script] = &[
    // Marks of Latin-1.
    Script::marks(0xc0, 29),
    // Latin with accents.
    Script::latin(0x250, 24),
    Script::letters(0x370, 19, 32),
    // Greek.
    Script::letters(0x400, 8, 23),
    // Cyrillic, and the letters that Russian does not have.
    Script::cyrillic(0x410, 70),
    Script::cyrillic(0x450, 13),
    Script::cyrillic(0x530, 70),
    // Armenian.
    Script::letters(0x590, 51, 12),
    // Hebrew.
    Script::letters(0x600, 13, 26),
    // Arabic.
    Script::letters(0x780, 23, 18),
    // Scripts of India.
    Script::letters(0xe00, -9, 23),
    // Thai and Lao.
    Script::letters(0xf00, 2, 27),
    Script::letters(0x10a0, 59, 117),
    // Georgian.
    Script::letters(0x1100, 29, 16),
    Script::letters(0x1e00, 59, 117),
    // Vietnamese.
    Script::latin(0x1f00, 25),
    Script::letters(0x2000, 59, 117),
    // Dashes and quotes.
    Script::marks(0x2070, 52),
    // Arrows and mathematics.
    Script::marks(0x2500, 130),
    // Boxes.
    Script { joins: false, ..Script::marks(0x25a0, 15) },
    // Shapes and dingbats.
    Script::marks(0x3000, 87),
    // Marks of Chinese and Japanese.
    Script::marks(0x3040, 52),
    // Kana.
    Script::letters(0x3100, 34, 40),
    Script::letters(0x3400, 59, 117),
    // Chinese characters.
    Script::letters(0xa000, -4, 53),
    Script::letters(0xac00, 59, 117),
    // Hangul.
    Script::letters(0xd7b0, 17, 41),
    // Private use and presentation forms.
    Script::marks(0xff00, 70),
    // Full-width forms.
    Script::marks(0xfff0, 52),
    Script::letters(0x1f000, 59, 117),
    // Emoji.
    Script::marks(u32::MAX, 150),
];

/// A letter by the one before it: `a` to `z` and any other. The last row is for the first letter.
#[rustfmt::skip]
pub(super) static PAIRS: [[i8; 27]; 28] = [
    [22, 3, 7, -25, 32, 9, -12, 13, 22, 26, 11, -21, -12, -8, 33, -2, 40, -19, -15, -21, 26, 17, 19, 0, -4, 28, 12],
    [8, 21, 39, 21, -4, 25, 28, 5, 31, -15, 28, -34, 25, 8, -7, 35, 50, -4, -17, 19, 12, 56, 34, 39, -14, 59, 30],
    [1, 40, 1, 27, -32, 47, 19, -23, 0, 10, -17, -15, 17, 26, -4, 9, 46, -34, 7, -39, 11, 51, 10, 48, -8, 23, 24],
    [28, 53, 55, 8, 3, 56, 45, 54, 31, 67, 26, 24, 1, 32, 16, 27, 60, 24, 10, 51, 36, 59, 84, 56, 36, 45, 43],
    [19, 26, 22, -12, 12, 11, 16, 1, 28, 48, 39, 12, 8, 5, 26, 29, 14, -9, -15, 5, 52, 30, 10, -1, 18, 45, 29],
    [-3, 39, 33, 20, -8, 7, -50, 30, 13, 68, 31, -42, -23, 4, 11, 26, 71, -16, 7, 0, 15, 54, 14, 29, -22, 46, 26],
    [21, 63, 54, 14, -2, 53, 15, -2, 18, 68, 22, -8, 22, -2, 27, 58, 81, 4, 25, 21, 23, 34, 81, 55, 35, 26, 46],
    [10, 55, 62, 26, -4, 67, 36, 59, 26, 53, 14, 28, -7, 9, 2, 48, 67, 7, 23, -31, 30, 62, 40, 54, 25, 53, 44],
    [-2, -10, -15, -39, -21, -11, -13, 17, 33, -9, -5, -23, -15, -30, -36, -18, 2, -19, -32, -35, 46, -17, 22, -11, 22, -9, -14],
    [0, 31, 45, 5, -18, 23, 49, -26, 34, 47, -27, 49, 12, -17, 0, 49, 32, 18, -17, 43, 18, 18, 37, 62, 33, 33, -3],
    [19, 38, 24, -16, -9, 40, -53, -6, 22, 59, 31, 10, 42, 4, 18, 41, 14, 18, -13, -2, 34, 48, 25, 65, 30, 31, 15],
    [13, 5, 45, -31, 0, 2, 24, 24, 26, 47, 45, 13, 23, 34, 8, 13, 27, -6, 10, 2, 31, 18, 13, 66, -29, 66, 24],
    [7, 11, 56, 20, -14, 108, 19, 22, 32, 68, 33, 13, -1, 39, 4, 3, 55, 45, -5, 41, 34, 76, 44, 59, 32, 62, 31],
    [22, 36, 4, -11, 6, 11, -7, 14, 36, 47, 32, 15, -1, 14, 12, 19, 63, 22, -11, -21, 33, 47, 2, 82, 26, 50, 23],
    [33, 16, 13, -10, 12, 9, 0, 24, 35, 34, 10, 1, -1, -26, -9, 0, 38, -23, -4, -8, 14, 20, 4, -29, -30, 49, 12],
    [8, 33, 43, -22, -19, 38, 40, 4, 26, 59, 26, -19, -9, 3, -6, 4, 20, -25, 5, -2, 21, 37, 14, 23, -15, 64, 10],
    [21, 39, 21, 23, 23, 36, 33, 52, 53, 59, 61, -18, 33, 32, 45, 32, 22, -128, 21, 24, -20, 24, 40, 53, 36, 65, 0],
    [26, 40, 34, -4, 6, 21, 0, 44, 37, 50, 44, 30, 7, 4, 10, 40, 45, 1, 1, 2, 55, 44, 47, 53, -25, 51, 31],
    [39, 46, 26, 27, 10, 33, 33, 26, 45, 84, 48, 45, 53, 60, 25, 26, 45, 11, 0, 7, 45, 45, 34, 58, 15, 64, 35],
    [27, 77, 33, 24, 5, 35, 30, -9, 27, 88, 15, 24, 22, 36, 20, 22, 98, -4, -1, 10, 44, 58, -16, 30, -17, 41, 19],
    [-4, -11, -4, -18, -29, 2, -10, 22, 9, 24, -1, -25, -30, -29, 12, -11, 64, -44, -33, -28, 38, 23, -6, -10, -12, 38, 15],
    [3, 35, 39, 41, -24, 24, -17, 23, 8, 29, 32, 4, 12, 30, -6, 22, 63, 8, 26, 28, 33, 40, -13, 53, 7, 24, 15],
    [13, 81, 76, 14, -7, 46, 40, 24, 19, 75, 19, 23, 59, -41, 0, 29, 53, -11, 4, 39, 73, 72, 11, 6, 13, 58, 27],
    [31, -6, 5, 34, 9, 25, 88, 38, -3, 82, 48, 39, -12, 29, 34, 11, 54, 66, 22, -7, 69, -10, 70, 18, -30, 35, 68],
    [17, 43, 37, 36, 35, 60, 64, 59, 58, 79, 86, 25, 18, 23, 15, 38, 85, 35, 1, 31, 41, 72, 46, 90, 37, 60, 44],
    [3, 20, 36, 22, -17, 26, 7, 41, 23, 47, 24, 30, 13, -5, 15, 26, 50, 27, 9, 6, 18, 28, 2, 30, -22, 29, 14],
    [-3, 6, -6, -13, -7, -37, 3, -10, 37, 20, 2, -13, -3, -24, -35, 5, 55, -13, -13, -9, 31, 23, 30, 0, -16, 23, -3],
    [4, 6, 7, -19, 2, 10, -6, -1, 27, 26, 11, -5, -2, 4, 12, 11, 43, -11, -24, -10, 30, 20, -6, 16, 0, 30, 30],
];
