//! A provider's name: which variables are its own.

use super::file::FileProvider;
use crate::provider::Provider;

/// A provider that is asked for, before its settings are read.
#[derive(Debug, Clone)]
pub(super) struct Entry<'f> {
    pub name: String,
    pub row: &'static Provider,
    /// Its place in the file.
    pub file: Option<(usize, &'f FileProvider)>,
    /// Flags such as `--model` are the first one's.
    pub is_first: bool,
}

/// The name of a variable of the provider `name`.
pub(super) fn variable(name: &str, row: &Provider, suffix: &str) -> String {
    if name == row.name && !row.prefix.is_empty() {
        return format!("{}_{suffix}", row.prefix);
    }
    let upper = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    format!("{}_{suffix}", name.chars().map(upper).collect::<String>())
}

/// The variables that may hold the key of the provider `name`.
pub(super) fn key_variables(name: &str, row: &Provider) -> Vec<String> {
    if name == row.name {
        row.key_vars.iter().map(|name| (*name).to_owned()).collect()
    } else {
        vec![variable(name, row, "API_KEY")]
    }
}

impl Entry<'_> {
    /// The name of a variable of this provider: `GROQ_MODEL` for `MODEL`.
    pub(super) fn variable(&self, suffix: &str) -> String {
        variable(&self.name, self.row, suffix)
    }
}
