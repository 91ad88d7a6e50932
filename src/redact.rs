//! Takes secrets out of what an upstream says, before anybody reads it: keys, configured headers,
//! credentials of URLs. Services quote what they refuse, in the coding of wherever they put it.
//!
//! The text is compared as it stands and as it reads when its codings are undone (`%2D`, `&#45;`,
//! `\u002d`, quoted-printable, each of them twice over), without white space, tags and case, with
//! the secrets, their base64 and their hexadecimal form. Every piece of `PIECE` characters counts,
//! so neither what is cut off nor what stands in the middle of a longer word passes.

#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::fmt;

use crate::error::Error;

/// The shortest piece of a secret that is taken out wherever it stands.
const PIECE: usize = 12;

/// The shortest secret that is taken out inside of words. Local servers have keys such as `none`.
const SHORT: usize = 8;

/// The shortest secret that is taken out at all: `a` and `key` tell nothing.
const SHORTEST: usize = 4;

/// How often codings are undone.
const LAYERS: usize = 3;

/// What stands in the place of a secret.
const REDACTED: &str = "[redacted]";

/// Knows the secrets of one provider.
#[derive(Default)]
pub struct Redactor {
    /// Every piece of the long ones, sorted.
    pieces: Vec<[u8; PIECE]>,
    /// Those between [`SHORT`] and `PIECE`.
    short: Vec<Vec<u8>>,
    /// Those that are taken out as whole words alone.
    words: Vec<Vec<u8>>,
}

/// A byte of the text, decoded, and where it came from.
#[derive(Clone, Copy)]
struct Unit {
    byte: u8,
    start: usize,
    end: usize,
}

impl Redactor {
    /// Takes these secrets out of what it is given.
    pub fn new<'s>(secrets: impl IntoIterator<Item = &'s str>) -> Redactor {
        let mut redactor = Redactor::default();
        for secret in secrets {
            redactor.add(secret);
            // `Bearer …`, `Basic …`.
            for part in secret.split_whitespace().filter(|part| part.len() >= SHORT) {
                redactor.add(part);
            }
        }
        redactor.pieces.sort_unstable();
        redactor.pieces.dedup();
        redactor
    }

    fn add(&mut self, secret: &str) {
        self.add_form(secret.as_bytes());
        if secret.len() >= SHORT {
            let hexadecimal: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
            self.add_form(hexadecimal.as_bytes());
            for before in 0..3 {
                self.add_form(&base64_behind(secret.as_bytes(), before));
            }
        }
    }

    fn add_form(&mut self, form: &[u8]) {
        let form: Vec<u8> = folded(&units(form)).iter().map(|unit| unit.byte).collect();
        match form.len() {
            PIECE.. => self.pieces.extend(
                form.windows(PIECE)
                    .map(|piece| <[u8; PIECE]>::try_from(piece).expect("windows have that size")),
            ),
            SHORT..PIECE => self.short.push(form),
            SHORTEST..SHORT => self.words.push(form),
            _ => {}
        }
    }

    /// The text without secrets, nor anything that looks like a key of a known service.
    pub fn text(&self, text: &str) -> String {
        without_keys(&self.secrets(text))
    }

    /// The text without the secrets that are known.
    pub fn secrets<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.pieces.is_empty() && self.short.is_empty() && self.words.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut found = Vec::new();
        let mut layer = units(text.as_bytes());
        self.find(text, &layer, &mut found);
        self.find(text, &without_quoted_printable(&layer), &mut found);
        for _ in 0..LAYERS {
            let decoded = decoded(&layer);
            if decoded.len() == layer.len() {
                break;
            }
            layer = decoded;
            self.find(text, &layer, &mut found);
        }
        replaced(text, found).map_or(Cow::Borrowed(text), Cow::Owned)
    }

    /// The same of an answer's bytes, which need not be text.
    pub fn bytes(&self, bytes: Vec<u8>) -> Vec<u8> {
        let text = String::from_utf8_lossy(&bytes);
        self.text(&text).into_bytes()
    }

    /// The same of an error's text.
    pub fn error(&self, error: Error) -> Error {
        error.map_text(|text| self.text(text))
    }

    /// Adds where in the text secrets stand that this layer shows.
    fn find(&self, text: &str, layer: &[Unit], found: &mut Vec<(usize, usize)>) {
        let folded = folded(layer);
        let bytes: Vec<u8> = folded.iter().map(|unit| unit.byte).collect();
        let place = |at: usize, length: usize| (folded[at].start, folded[at + length - 1].end);
        for (at, window) in bytes.windows(PIECE).enumerate() {
            if self.pieces.binary_search_by(|piece| piece[..].cmp(window)).is_ok() {
                found.push(place(at, PIECE));
            }
        }
        for secret in &self.short {
            let windows = bytes.windows(secret.len()).enumerate();
            found.extend(
                windows.filter(|(_, w)| w == secret).map(|(at, _)| place(at, secret.len())),
            );
        }
        let is_part = |c: char| c.is_alphanumeric();
        for secret in &self.words {
            for (at, _) in bytes.windows(secret.len()).enumerate().filter(|(_, w)| w == secret) {
                let (start, end) = place(at, secret.len());
                let (before, after) = (text.get(..start), text.get(end..));
                if before.is_some_and(|before| !before.ends_with(is_part))
                    && after.is_some_and(|after| !after.starts_with(is_part))
                {
                    found.push((start, end));
                }
            }
        }
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

/// The text with a mark at each of these places, or `None` if there are none.
fn replaced(text: &str, mut places: Vec<(usize, usize)>) -> Option<String> {
    if places.is_empty() {
        return None;
    }
    places.sort_unstable();
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for (start, end) in places {
        let start = (0..=start).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let end = (end..).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
        if start > done || done == 0 {
            out.push_str(&text[done..start.max(done)]);
            out.push_str(REDACTED);
        }
        done = done.max(end);
    }
    out.push_str(&text[done..]);
    Some(out)
}

fn units(bytes: &[u8]) -> Vec<Unit> {
    let unit = |(at, byte): (usize, &u8)| Unit { byte: *byte, start: at, end: at + 1 };
    bytes.iter().enumerate().map(unit).collect()
}

/// Without white space and what nobody sees, and with one form where there are several: small
/// letters, and one of base64's alphabets.
fn folded(layer: &[Unit]) -> Vec<Unit> {
    /// Soft hyphen, no-break space, zero-width characters, line and paragraph separators,
    /// byte-order mark.
    const UNSEEN: &[&[u8]] = &[
        "\u{ad}".as_bytes(),
        "\u{a0}".as_bytes(),
        "\u{200b}".as_bytes(),
        "\u{200c}".as_bytes(),
        "\u{200d}".as_bytes(),
        "\u{2028}".as_bytes(),
        "\u{2029}".as_bytes(),
        "\u{2060}".as_bytes(),
        "\u{feff}".as_bytes(),
    ];
    let mut out = Vec::with_capacity(layer.len());
    let mut rest = layer;
    while let Some((unit, after)) = rest.split_first() {
        let starts = |word: &&&[u8]| {
            rest.len() >= word.len() && word.iter().zip(rest).all(|(byte, unit)| *byte == unit.byte)
        };
        if !unit.byte.is_ascii()
            && let Some(unseen) = UNSEEN.iter().find(starts)
        {
            rest = &rest[unseen.len()..];
            continue;
        }
        rest = after;
        let byte = match unit.byte {
            0..=b' ' | 0x7f => continue,
            b'-' => b'+',
            b'_' => b'/',
            other => other.to_ascii_lowercase(),
        };
        out.push(Unit { byte, ..*unit });
    }
    out
}

/// Characters that HTML has names for.
const ENTITIES: &[(&str, char)] = &[
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("apos", '\''),
    ("nbsp", ' '),
    ("shy", ' '),
    ("dash", '-'),
    ("hyphen", '-'),
    ("minus", '-'),
    ("lowbar", '_'),
    ("UnderBar", '_'),
    ("period", '.'),
    ("colon", ':'),
    ("semi", ';'),
    ("comma", ','),
    ("sol", '/'),
    ("bsol", '\\'),
    ("plus", '+'),
    ("equals", '='),
    ("num", '#'),
    ("percnt", '%'),
    ("commat", '@'),
    ("excl", '!'),
    ("quest", '?'),
    ("ast", '*'),
    ("dollar", '$'),
    ("lpar", '('),
    ("rpar", ')'),
    ("Tab", ' '),
    ("NewLine", ' '),
];

/// The layer with one coding undone at each place, and without tags.
fn decoded(layer: &[Unit]) -> Vec<Unit> {
    let mut out = Vec::with_capacity(layer.len());
    let mut at = 0;
    while let Some(unit) = layer.get(at) {
        let rest = &layer[at + 1..];
        let step = match unit.byte {
            b'%' => hexadecimal(rest, 2)
                .map(|code| (2, char::from_u32(code).map(Ok).unwrap_or(Err(code as u8)))),
            b'&' => entity(rest).map(|(length, c)| (length, Ok(c))),
            b'\\' => escape(rest).map(|(length, c)| (length, Ok(c))),
            b'<' => {
                let end = rest.iter().take(64).position(|unit| unit.byte == b'>');
                end.map(|end| (end + 1, Ok(' ')))
            }
            _ => None,
        };
        match step {
            Some((length, c)) => {
                let (start, end) = (unit.start, rest[length - 1].end);
                // A byte of a longer character is one of its own here: secrets are ASCII.
                let byte = match c {
                    Ok(c) => u8::try_from(u32::from(c)).unwrap_or(b' '),
                    Err(byte) => byte,
                };
                out.push(Unit { byte, start, end });
                at += 1 + length;
            }
            None => {
                out.push(*unit);
                at += 1;
            }
        }
    }
    out
}

/// The number of so many hexadecimal digits.
fn hexadecimal(rest: &[Unit], digits: usize) -> Option<u32> {
    let digits = rest.get(..digits).filter(|digits| !digits.is_empty())?;
    digits.iter().try_fold(0u32, |number, unit| {
        let digit = char::from(unit.byte).to_digit(16)?;
        number.checked_mul(16)?.checked_add(digit)
    })
}

/// What an entity behind its `&` stands for, and how long it is.
fn entity(rest: &[Unit]) -> Option<(usize, char)> {
    /// The longest that is looked at.
    const LIMIT: usize = 12;
    let is_inside = |unit: &&Unit| unit.byte.is_ascii_alphanumeric() || unit.byte == b'#';
    let name: String =
        rest.iter().take(LIMIT).take_while(is_inside).map(|unit| char::from(unit.byte)).collect();
    let length = name.len();
    let is_ended = rest.get(length).is_some_and(|unit| unit.byte == b';');
    let c = match name.strip_prefix('#') {
        Some(number) => {
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16),
                None => number.parse(),
            };
            char::from_u32(code.ok()?)?
        }
        None => ENTITIES.iter().find(|(known, _)| *known == name)?.1,
    };
    Some((length + usize::from(is_ended), c))
}

/// What an escape behind its `\` stands for, and how long it is.
fn escape(rest: &[Unit]) -> Option<(usize, char)> {
    let (first, behind) = rest.split_first()?;
    let of = |digits: usize| Some((1 + digits, char::from_u32(hexadecimal(behind, digits)?)?));
    let coded = match first.byte {
        b'u' if behind.first().is_some_and(|unit| unit.byte == b'{') => {
            let end = behind.iter().take(8).position(|unit| unit.byte == b'}')?;
            let code = hexadecimal(&behind[1..], end - 1)?;
            Some((1 + end + 1, char::from_u32(code)?))
        }
        b'u' => of(4),
        b'U' => of(8),
        b'x' => of(2),
        b'n' | b'r' | b't' => Some((1, ' ')),
        b'0'..=b'7' => {
            let digits = rest.iter().take(3).take_while(|unit| (b'0'..=b'7').contains(&unit.byte));
            let code = digits.clone().fold(0, |code, unit| code * 8 + u32::from(unit.byte - b'0'));
            Some((digits.count(), char::from_u32(code)?))
        }
        _ => None,
    };
    coded.or(Some((1, char::from(first.byte))))
}

/// The layer with `=2D` and soft line breaks undone.
fn without_quoted_printable(layer: &[Unit]) -> Vec<Unit> {
    let mut out = Vec::with_capacity(layer.len());
    let mut at = 0;
    while let Some(unit) = layer.get(at) {
        let rest = &layer[at + 1..];
        at += 1;
        if unit.byte != b'=' {
            out.push(*unit);
        } else if let Some(code) = hexadecimal(rest, 2) {
            let byte = u8::try_from(code).unwrap_or(b' ');
            out.push(Unit { byte, start: unit.start, end: rest[1].end });
            at += 2;
        } else if !rest.first().is_some_and(|next| matches!(next.byte, b'\r' | b'\n')) {
            out.push(*unit);
        }
    }
    out
}

/// The characters of base64 that depend on nothing but `secret`, if so many bytes stand before it.
///
/// <https://www.rfc-editor.org/rfc/rfc4648#section-4>
fn base64_behind(secret: &[u8], before: usize) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bytes: Vec<u8> = std::iter::repeat_n(0, before).chain(secret.iter().copied()).collect();
    let bit = |at: usize| usize::from(bytes[at / 8] >> (7 - at % 8) & 1);
    let sextets = (before * 8).div_ceil(6)..bytes.len() * 8 / 6;
    sextets.map(|at| ALPHABET[(0..6).fold(0, |number, i| number << 1 | bit(at * 6 + i))]).collect()
}

/// The user and password of a URL, as they stand and as they read, together and apart.
pub fn credentials(url: &str) -> Vec<String> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let Some((both, _)) = authority.rsplit_once('@') else { return Vec::new() };
    let plain = decoded(&units(both.as_bytes())).iter().map(|unit| unit.byte).collect();
    let plain = String::from_utf8(plain).unwrap_or_default();
    let password = |both: &str| both.split_once(':').map(|(_, password)| password.to_owned());
    let passwords = [password(both), password(&plain)];
    passwords.into_iter().flatten().chain([both.to_owned(), plain]).collect()
}

/// How keys of the known services begin.
const KEY_PREFIXES: &[&str] = &["sk-", "gsk_", "xai-", "AIza", "Bearer ", "pplx-", "fw_", "csk-"];

/// Takes out what looks like a key: services quote the wrong one in their refusal, also that of
/// somebody else.
pub fn without_keys(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    loop {
        let found = KEY_PREFIXES.iter().filter_map(|p| rest.find(p).map(|at| (at, p.len()))).min();
        let Some((at, prefix)) = found else {
            out.push_str(rest);
            return out;
        };
        let key = &rest[at + prefix..];
        let length = key
            .find(|c: char| !(c.is_ascii_alphanumeric() || "-_*.…".contains(c)))
            .unwrap_or(key.len());
        let inside_word = rest[..at].ends_with(|c: char| c.is_ascii_alphanumeric());
        out.push_str(&rest[..at]);
        if length >= 8 && !inside_word {
            out.push_str(REDACTED);
        } else {
            out.push_str(&rest[at..at + prefix + length]);
        }
        rest = &rest[at + prefix + length..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "sk-Test_5ecret.Q7w8E9r0-aZ1xS2dC3/vF4+bG5=";

    /// Whether a piece of the key can be read in the text, by somebody who knows the coding.
    fn leaks(text: &str) -> bool {
        let key = KEY.as_bytes();
        key.windows(PIECE).any(|piece| text.as_bytes().windows(PIECE).any(|window| window == piece))
    }

    fn each(of: impl Fn(u32) -> String) -> String {
        KEY.chars().map(|c| of(u32::from(c))).collect()
    }

    /// The key in every coding, by its name.
    fn codings() -> Vec<(&'static str, String)> {
        let punctuation = |of: &dyn Fn(u32) -> String| -> String {
            KEY.chars()
                .map(|c| if c.is_alphanumeric() { c.to_string() } else { of(u32::from(c)) })
                .collect()
        };
        vec![
            ("plain", KEY.to_owned()),
            ("small letters", KEY.to_lowercase()),
            ("URL, punctuation", punctuation(&|c| format!("%{c:02X}"))),
            ("URL, all", each(|c| format!("%{c:02x}"))),
            ("URL, twice", punctuation(&|c| format!("%25{c:02X}"))),
            ("entities", punctuation(&|c| format!("&#{c};"))),
            ("entities, all, hexadecimal", each(|c| format!("&#x{c:X};"))),
            ("entities by name", KEY.replace('_', "&lowbar;").replace('.', "&period;")),
            ("entities, twice", punctuation(&|c| format!("&amp;#{c};"))),
            ("JSON escapes", each(|c| format!("\\u{c:04x}"))),
            ("JSON escapes, twice", each(|c| format!("\\\\u{c:04x}"))),
            ("JSON, slash", KEY.replace('/', "\\/")),
            ("other escapes", each(|c| format!("\\x{c:02x}"))),
            ("octal", each(|c| format!("\\{c:03o}"))),
            ("braces", each(|c| format!("\\u{{{c:x}}}"))),
            ("quoted-printable", punctuation(&|c| format!("={c:02X}"))),
            ("quoted-printable, broken", format!("{}=\r\n{}", &KEY[..20], &KEY[20..])),
            ("over lines", format!("{}\n  {}\r\n\t{}", &KEY[..9], &KEY[9..18], &KEY[18..])),
            ("spaced", KEY.chars().map(|c| format!("{c} ")).collect()),
            ("tags", format!("{}<br/>{}<wbr>{}", &KEY[..9], &KEY[9..18], &KEY[18..])),
            ("unseen", format!("{}\u{200b}{}\u{ad}{}", &KEY[..9], &KEY[9..18], &KEY[18..])),
            ("hexadecimal", each(|c| format!("{c:02x}"))),
            ("base64", String::from_utf8(base64_behind(KEY.as_bytes(), 0)).unwrap()),
            ("base64 of user and key", {
                let pair = format!("me:{KEY}");
                String::from_utf8(base64_behind(pair.as_bytes(), 0)).unwrap()
            }),
            ("half", KEY[..21].to_owned()),
            ("end", KEY[KEY.len() - 13..].to_owned()),
        ]
    }

    #[test]
    fn a_key_is_taken_out_in_every_coding() {
        let redactor = Redactor::new([KEY]);
        for (coding, key) in codings() {
            for (before, after) in
                [("", ""), ("key \"", "\" is wrong"), ("?key=", "&x"), ("é", "…")]
            {
                let clean = redactor.text(&format!("{before}{key}{after}"));
                let left = clean.replace(REDACTED, "");
                let kept = before.len() + after.len();
                // Less than a piece may be left at each end, where it looks like something else.
                assert!(
                    clean.contains(REDACTED) && left.len() < kept + 2 * PIECE,
                    "{coding}: {clean}"
                );
                assert!(!leaks(&clean), "{coding}: {clean}");
                assert!(clean.starts_with(before) && clean.ends_with(after), "{coding}: {clean}");
            }
        }
    }

    #[test]
    fn the_credentials_of_a_url_are_secrets_in_each_form() {
        let secrets = credentials("http://me:p%40ss-w0rd-1234@proxy.test:3128/");
        let redactor = Redactor::new(secrets.iter().map(String::as_str));
        for text in
            ["me:p%40ss-w0rd-1234@proxy.test", "p@ss-w0rd-1234", "Basic bWU6cEBzcy13MHJkLTEyMzQ="]
        {
            let clean = redactor.text(text);
            assert!(clean.contains(REDACTED) && !clean.contains("w0rd"), "{clean}");
        }
        assert!(credentials("http://proxy.test/a@b").is_empty());
    }

    #[test]
    fn json_stays_json() {
        let redactor = Redactor::new([KEY]);
        let escaped: String = KEY.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect();
        let json = format!(r#"{{"error":{{"message":"{escaped} is wrong","code":"{KEY}"}}}}"#);
        let clean: serde_json::Value = serde_json::from_str(&redactor.text(&json)).unwrap();
        assert_eq!(clean["error"]["message"], "[redacted] is wrong");
        assert_eq!(clean["error"]["code"], "[redacted]");
    }

    #[test]
    fn a_short_key_is_no_part_of_a_word() {
        for (key, text, wanted) in [
            ("a", "Rate limit: a model", "Rate limit: a model"),
            ("rate", "Rate is no key, but moderate is", "[redacted] is no key, but moderate is"),
            ("s3cr3t.", "the key s3cr3t. is wrong", "the key [redacted] is wrong"),
            ("12345678", "the key x12345678x", "the key x[redacted]x"),
            ("", "text", "text"),
        ] {
            assert_eq!(Redactor::new([key]).text(text), wanted, "{key}");
        }
    }

    #[test]
    fn text_without_secrets_stays_as_it_is() {
        let redactor = Redactor::new([KEY, "Bearer other-secret-value"]);
        for text in [
            "",
            "100 % of <b>it</b> &amp; \\n é…",
            "%zz &#xfffffff; \\u12 \\",
            "a <",
            "=",
            "\\u{}",
            "\\u{110000}",
        ] {
            assert_eq!(redactor.text(text), text);
        }
        assert_eq!(redactor.text("it was other-secret-value."), "it was [redacted].");
        assert_eq!(format!("{redactor:?}"), REDACTED);
    }

    #[test]
    fn keys_of_others_are_taken_out() {
        assert_eq!(
            without_keys(
                "Incorrect API key provided: sk-proj-abcdefgh. Bearer abcdefghij, task-1234567890, sk-x"
            ),
            "Incorrect API key provided: [redacted] [redacted], task-1234567890, sk-x"
        );
    }
}
