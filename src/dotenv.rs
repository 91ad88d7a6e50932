//! The format of `.env` files: `NAME=value` lines, as Docker Compose and shells read them.

/// The assignments in `text`, in their order.
///
/// # Errors
/// The number of the first line that is none, and why.
pub fn parse(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut assignments = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, value) =
            line.split_once('=').ok_or_else(|| format!("line {}: it is not NAME=value", i + 1))?;
        let name = name.trim();
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(format!("line {}: {name:?} is not a variable's name", i + 1));
        }
        let value = value.trim();
        let quoted = ['"', '\''].into_iter().find_map(|quote| {
            let rest = value.strip_prefix(quote)?;
            rest.split_once(quote).map(|(inside, _)| inside)
        });
        // An unquoted value ends before a comment.
        let bare = value.split_once(" #").map_or(value, |(value, _)| value.trim_end());
        assignments.push((name.to_owned(), quoted.unwrap_or(bare).to_owned()));
    }
    Ok(assignments)
}
