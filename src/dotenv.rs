//! The format of `.env` files: `NAME=value` lines, as Docker Compose and shells read them.

/// A line that sets a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    for (i, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let number = i + 1;
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, value) =
            line.split_once('=').ok_or_else(|| format!("line {number}: it is not NAME=value"))?;
        let name = name.trim();
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(format!("line {number}: {name:?} is not a variable's name"));
        }
        let value = match value.trim_start().chars().next() {
            Some(quote @ ('"' | '\'')) => {
                let rest = &value.trim_start()[1..];
                let inside = rest.split_once(quote).map(|(inside, _)| inside);
                inside.ok_or_else(|| {
                    format!("line {number}: the quote that {name} begins with is not closed")
                })?
            }
            _ => {
                // An unquoted value ends before a comment, which white space comes before.
                let mut marks = value.match_indices('#');
                let comment = marks.find(|(at, _)| value[..*at].ends_with([' ', '\t']));
                value[..comment.map_or(value.len(), |(at, _)| at)].trim()
            }
        };
        let (name, value) = (name.to_owned(), value.to_owned());
        assignments.push(Assignment { line: number, name, value });
    }
    Ok(assignments)
}
