//! The format of `.env` files: `NAME=value` lines, as Docker Compose and shells read them.

/// The assignments in `text`, in their order.
///
/// # Errors
/// The number of the first line that is none, and why.
pub fn parse(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut assignments = Vec::new();
    for (i, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
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
        let quoted = ['"', '\''].into_iter().find_map(|quote| {
            let rest = value.trim_start().strip_prefix(quote)?;
            rest.split_once(quote).map(|(inside, _)| inside)
        });
        // An unquoted value ends before a comment, which white space comes before.
        let comment = value.match_indices('#').find(|(at, _)| value[..*at].ends_with([' ', '\t']));
        let bare = value[..comment.map_or(value.len(), |(at, _)| at)].trim();
        assignments.push((name.to_owned(), quoted.unwrap_or(bare).to_owned()));
    }
    Ok(assignments)
}
