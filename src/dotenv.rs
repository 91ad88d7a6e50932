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

/// The assignments in `text`, in their order.
///
/// # Errors
/// The number of the first line that is none, and why.
pub fn parse(text: &str) -> Result<Vec<Assignment>, String> {
    let mut assignments = Vec::new();
    let mut lines = text.trim_start_matches('\u{feff}').lines().zip(1..);
    while let Some((line, number)) = lines.next() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let exported = line.strip_prefix("export ").map(str::trim_start);
        let Some((name, value)) = exported.unwrap_or(line).split_once('=') else {
            // A variable that is set elsewhere, as shells have it.
            if exported.is_some_and(is_name) {
                continue;
            }
            return Err(format!("line {number}: it is not NAME=value"));
        };
        let name = name.trim();
        let value = match value.trim_start().chars().next() {
            Some(quote @ ('"' | '\'')) => {
                let mut inside = value.trim_start()[1..].to_owned();
                // A certificate, or a key of several lines: up to the quote that ends it.
                while !inside.contains(quote) {
                    let (next, _) = lines.next().ok_or_else(|| {
                        format!("line {number}: the quote that {name} begins with is not closed")
                    })?;
                    inside = inside + "\n" + next;
                }
                let end = inside.find(quote).unwrap_or(inside.len());
                let after = inside[end..].trim_start_matches(quote).trim();
                if inside[..end].contains('\n') && !after.is_empty() && !after.starts_with('#') {
                    // So the quote is that of the next value.
                    return Err(format!(
                        "line {number}: the quote that {name} begins with is not closed"
                    ));
                }
                inside.truncate(end);
                inside
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
        } else if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(format!("line {number}: {name:?} is not a variable's name"));
        }
    }
    Ok(assignments)
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
