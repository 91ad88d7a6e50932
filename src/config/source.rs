//! Where the value of a setting is from.

use std::fmt;

/// Where a value is from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of its variants say it")]
pub enum Source {
    Default,
    /// With its dashes.
    Flag(String),
    /// With the line of `.env`, if it is from there.
    Variable {
        name: String,
        line: Option<usize>,
    },
    File {
        file: String,
        path: String,
    },
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => f.write_str("default"),
            Source::Flag(flag) => f.write_str(flag),
            Source::Variable { name, line: None } => write!(f, "environment {name}"),
            Source::Variable { name, line: Some(line) } => write!(f, ".env line {line}, {name}"),
            Source::File { file, path } => write!(f, "{file} {path}"),
        }
    }
}

/// A setting that somebody has set.
#[derive(Debug, Clone)]
pub(super) struct Given {
    pub provider: Option<String>,
    /// The first of its variables.
    pub setting: &'static str,
    pub value: String,
    pub source: Source,
}
