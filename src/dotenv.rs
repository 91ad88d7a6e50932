//! The format of `.env` files: `NAME=value` lines, as Docker Compose and shells read them.

/// A line that sets a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of its fields say it")]
pub struct Assignment {
    /// Counted from 1.
    pub line: usize,
    pub name: String,
    pub value: String,
}

/// The assignments in `text`, in their order. The file may be another program's, which has a format
/// of its own: what cannot be read is passed over, unless `is_ours` says that the name it begins
/// with is meant for this one.
///
/// # Errors
/// The number of the first line of ours that is no assignment, and why.
pub fn parse(text: &str, is_ours: impl Fn(&str) -> bool) -> Result<Vec<Assignment>, String> {
    let mut assignments = Vec::new();
    let mut lines = text.trim_start_matches('\u{feff}').lines().zip(1..);
    while let Some((line, number)) = lines.next() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let exported = line.strip_prefix("export ").map(str::trim_start);
        let Some((name, value)) = exported.unwrap_or(line).split_once('=') else {
            let rest = exported.unwrap_or(line);
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let name = &rest[..end.unwrap_or(rest.len())];
            // One that is set elsewhere, as shells have it, and Docker without the first word.
            let is_elsewhere = exported.is_some() && name == rest;
            if is_elsewhere || !is_ours(name) {
                continue;
            }
            return Err(format!("line {number}: it is not NAME=value"));
        };
        let name = name.trim();
        let value = match value.trim_start().chars().next() {
            Some(quote @ ('"' | '\'')) => {
                let first = &value.trim_start()[1..];
                match quoted(first, quote, &mut lines) {
                    Some(inside) => inside,
                    None if !is_ours(name) => first.to_owned(),
                    None => {
                        return Err(format!(
                            "line {number}: the quote that {name} begins with is not closed"
                        ));
                    }
                }
            }
            _ => {
                // An unquoted value ends before a comment, which white space comes before.
                let mut marks = value.match_indices('#');
                let comment = marks.find(|(at, _)| value[..*at].ends_with([' ', '\t']));
                value[..comment.map_or(value.len(), |(at, _)| at)].trim().to_owned()
            }
        };
        // Other programs have names with dots and dashes; none of ours is one.
        if is_name(name) {
            assignments.push(Assignment { line: number, name: name.to_owned(), value });
        } else if name.split_whitespace().next().is_some_and(&is_ours) {
            return Err(format!("line {number}: {name:?} is not a variable's name"));
        }
    }
    Ok(assignments)
}

/// A value up to the quote that ends it, which may be on a later line, as a certificate's is; the
/// lines that belong to it are taken. `None` where there is no such quote, or it is that of the
/// next value: then nothing is taken.
fn quoted<'a>(
    first: &str,
    quote: char,
    lines: &mut (impl Iterator<Item = (&'a str, usize)> + Clone),
) -> Option<String> {
    let mut ahead = lines.clone();
    let mut inside = first.to_owned();
    while !inside.contains(quote) {
        inside = inside + "\n" + ahead.next()?.0;
    }
    let end = inside.find(quote)?;
    let after = inside[end..].trim_start_matches(quote).trim();
    if inside[..end].contains('\n') && !after.is_empty() && !after.starts_with('#') {
        return None;
    }
    inside.truncate(end);
    *lines = ahead;
    Some(inside)
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
