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
    use super::{difference, nearest};

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
