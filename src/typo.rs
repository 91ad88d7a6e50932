//! What somebody meant who wrote something that is not known.

#![forbid(unsafe_code)]

/// The candidate that is most like `name`, if one is like enough: the same but for `_`, `-` and
/// capitals, or with one letter in four changed, missing, added or in its neighbour's place. A
/// candidate that begins with the whole of `name` is meant too.
pub fn nearest<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let name = letters(name);
    let allowed = (name.len() / 4).max(1);
    let is_begun = |candidate: &[char]| name.len() >= 4 && candidate.starts_with(&name);
    let scored = candidates.into_iter().filter_map(|candidate| {
        let known = letters(candidate);
        let distance = distance(&name, &known);
        let score = if is_begun(&known) { distance.min(allowed) } else { distance };
        (score <= allowed && score < known.len()).then_some((score, candidate))
    });
    scored.min_by_key(|(score, _)| *score).map(|(_, candidate)| candidate)
}

/// `; did you mean NAME?` for the candidate that is meant, else `otherwise`.
pub fn hint<'c>(
    name: &str,
    candidates: impl IntoIterator<Item = &'c str>,
    otherwise: &str,
) -> String {
    match nearest(name, candidates) {
        Some(meant) => format!("; did you mean {meant}?"),
        None => otherwise.to_owned(),
    }
}

/// The candidates, the one first that is most like `name`: with the most parts in common, and of
/// those the one with the fewest letters that differ.
pub fn ranked<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Vec<&'c str> {
    let own = parts(name);
    let mut scored: Vec<(usize, usize, &str)> = candidates
        .into_iter()
        .map(|candidate| {
            let theirs = parts(candidate);
            let missing = own.iter().filter(|part| !theirs.contains(part)).count();
            (missing, difference(name, candidate), candidate)
        })
        .collect();
    scored.sort_unstable();
    scored.into_iter().map(|(_, _, candidate)| candidate).collect()
}

/// What a name is put together of: `gemini-2.0-flash` of `gemini`, `2`, `0` and `flash`.
fn parts(name: &str) -> Vec<String> {
    let parts = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty());
    parts.map(str::to_ascii_lowercase).take(16).collect()
}

/// How many letters differ, where neighbours that changed places count once.
pub fn difference(a: &str, b: &str) -> usize {
    distance(&letters(a), &letters(b))
}

fn letters(text: &str) -> Vec<char> {
    let kept = text.chars().filter(|c| !matches!(c, '_' | '-'));
    // What is longer is no name, and the table grows with the square.
    kept.map(|c| c.to_ascii_lowercase()).take(64).collect()
}

/// The optimal string alignment distance.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let changed = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = changed.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::{difference, nearest, ranked};

    #[test]
    fn the_most_alike_comes_first() {
        for (name, candidates, wanted) in [
            ("gemini-2.0-flash", &["gemma-3", "gemini-4-argon", "gemini-3.8-flash"][..], 2),
            ("deepseek-chat", &["deepseek-flash", "deepseek-reasoner"], 0),
            ("moonshotai/kimi-k2-instruct", &["openai/gpt-oss-120b", "moonshotai/kimi-k3"], 1),
            ("grok-beta", &["grok-imagine-image", "grok-4.7"], 1),
            ("qwen3:8b", &["llama3.2:latest", "qwen3:4b", "qwen3.5:latest"], 1),
        ] {
            let ranked = ranked(name, candidates.iter().copied());
            assert_eq!(ranked[0], candidates[wanted], "{name}: {ranked:?}");
            assert_eq!(ranked.len(), candidates.len());
        }
        assert_eq!(ranked("a", []), Vec::<&str>::new());
    }

    #[test]
    fn letters_that_differ_are_counted() {
        for (a, b, wanted) in [
            ("", "", 0),
            ("LOG_LEVEL", "LOGLEVEL", 0),
            ("modle", "model", 1),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!((difference(a, b), difference(b, a)), (wanted, wanted), "{a} {b}");
        }
    }

    #[test]
    fn what_is_meant_is_found_and_nothing_else() {
        let known = ["--port", "--provider", "--check-config", "--host"];
        for (name, wanted) in [
            ("--prot", Some("--port")),
            ("--provder", Some("--provider")),
            ("check", Some("--check-config")),
            ("--max", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, known), wanted, "{name}");
        }
    }
}
