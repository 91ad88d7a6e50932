//! The variables of a process, and where each is from: set by itself, in a file that `NAME_FILE`
//! names, as the official images of Docker have it, or a credential of systemd.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::dotenv::Assignment;

/// Behind the name of a variable: its value is in the file of that path.
const FILE: &str = "_FILE";

/// Where systemd puts what a unit loads by `LoadCredential=` or `SetCredential=`.
/// <https://systemd.io/CREDENTIALS/>
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// A setting is shorter; who names a device or a log gets an answer.
const LONGEST_FILE: u64 = 64 << 10;

/// Variables by name: those of the process, and behind them those of `.env`.
#[derive(Debug, Default)]
pub struct Environment {
    variables: BTreeMap<String, Variable>,
    /// The names that were asked for and are there.
    read: RefCell<BTreeSet<String>>,
    /// What was looked for in files, by the name of the variable.
    files: RefCell<BTreeMap<String, Option<FromFile>>>,
}

/// A value that is from a file.
#[derive(Debug, Clone)]
struct FromFile {
    value: Result<String, String>,
    /// What messages call the place: `GROQ_API_KEY_FILE`, or `the credential GROQ_API_KEY`.
    origin: String,
}

#[derive(Debug)]
struct Variable {
    value: String,
    /// The line of `.env` that sets it.
    line: Option<usize>,
}

impl Environment {
    /// The variables of the process, and those of `.env` where it has none.
    pub fn new(
        process: impl IntoIterator<Item = (String, String)>,
        dotenv: Vec<Assignment>,
    ) -> Environment {
        let of_file = dotenv.into_iter().map(|assignment| {
            (assignment.name, Variable { value: assignment.value, line: Some(assignment.line) })
        });
        let mut variables: BTreeMap<String, Variable> = of_file.collect();
        let own = process.into_iter().map(|(name, value)| (name, Variable { value, line: None }));
        variables.extend(own);
        Environment { variables, ..Environment::default() }
    }

    /// The value without space around it. An empty variable counts as not set.
    pub fn get(&self, name: &str) -> Option<String> {
        match self.own(name) {
            Some(value) => Some(value),
            None => self.of_file(name)?.value.ok(),
        }
    }

    /// The value of the variable itself. `docker run --env-file` keeps the quotes around a value,
    /// which every other reader of such files drops.
    fn own(&self, name: &str) -> Option<String> {
        let variable = self.variables.get(name)?;
        let value = variable.value.trim();
        let value = if variable.line.is_none() { unquoted(value) } else { value };
        if value.is_empty() {
            return None;
        }
        self.read.borrow_mut().insert(name.to_owned());
        Some(value.to_owned())
    }

    fn of_file(&self, name: &str) -> Option<FromFile> {
        if let Some(known) = self.files.borrow().get(name) {
            return known.clone();
        }
        let found = self.look_for_file(name);
        self.files.borrow_mut().insert(name.to_owned(), found.clone());
        found
    }

    fn look_for_file(&self, name: &str) -> Option<FromFile> {
        let variable = format!("{name}{FILE}");
        if let Some(path) = self.own(&variable) {
            return Some(FromFile { value: read(&path), origin: variable });
        }
        let path = Path::new(&self.own(CREDENTIALS)?).join(name);
        let is_there = !name.contains('/') && path.exists();
        is_there.then(|| FromFile {
            value: read(&path.to_string_lossy()),
            origin: format!("the credential {name}"),
        })
    }

    /// Whether the value is in a file that could not be read.
    pub fn is_unread(&self, name: &str) -> bool {
        self.files.borrow().get(name).is_some_and(|f| f.as_ref().is_some_and(|f| f.value.is_err()))
    }

    /// What is wrong with the files that were looked into so far, and which variables are set
    /// twice.
    pub fn faults(&self) -> Vec<String> {
        let files = self.files.borrow();
        let unread = files.values().flatten().filter_map(|file| {
            let problem = file.value.as_ref().err()?;
            Some(format!("{}: {problem}", self.label_of_line(&file.origin)))
        });
        let read = self.read.borrow().clone();
        let twice = read.iter().filter(|name| self.own(&format!("{name}{FILE}")).is_some());
        let twice = twice.map(|name| format!("{name} and {name}{FILE} are both set; use one"));
        unread.chain(twice).collect()
    }

    /// Where the value of the variable is from: its name, that of its file, or the credential.
    pub fn origin(&self, name: &str) -> String {
        match self.files.borrow().get(name) {
            Some(Some(file))
                if self.variables.get(name).is_none_or(|v| v.value.trim().is_empty()) =>
            {
                file.origin.clone()
            }
            _ => name.to_owned(),
        }
    }

    /// The line of `.env` that sets the variable.
    pub fn line(&self, name: &str) -> Option<usize> {
        self.variables.get(name)?.line
    }

    /// What messages call the variable: `PORT`, or `PORT (.env, line 3)`.
    pub fn label(&self, name: &str) -> String {
        self.label_of_line(&self.origin(name))
    }

    fn label_of_line(&self, name: &str) -> String {
        match self.line(name) {
            Some(line) => format!("{name} (.env, line {line})"),
            None => name.to_owned(),
        }
    }

    /// Names and values of all that are set.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.variables.iter();
        all.map(|(name, variable)| (&**name, variable.value.trim())).filter(|(_, v)| !v.is_empty())
    }

    /// What is to be said about `.env`: the names that it has set for ccproxy, without the values.
    pub fn announcement(&self) -> Option<String> {
        let read = self.read.borrow();
        let of_file = self.variables.iter().filter(|(_, variable)| variable.line.is_some());
        let (used, others): (Vec<_>, Vec<_>) = of_file.partition(|(name, _)| read.contains(*name));
        let names: Vec<&str> = used.iter().map(|(name, _)| &***name).collect();
        match (&names[..], others.len()) {
            ([], 0) => None,
            ([], n) => Some(format!(
                ".env of this directory sets nothing that is read here ({n} other names)"
            )),
            (names, 0) => Some(format!(".env of this directory sets {}", names.join(", "))),
            (names, n) => Some(format!(
                ".env of this directory sets {}, and {n} more that ccproxy does not read",
                names.join(", ")
            )),
        }
    }
}

/// The text within one pair of quotes, or all of it.
fn unquoted(value: &str) -> &str {
    let within = |quote| value.strip_prefix(quote)?.strip_suffix(quote);
    within('"').or_else(|| within('\'')).map_or(value, str::trim)
}

/// The value that a file holds, without the white space around it.
///
/// # Errors
/// The file, and what is wrong with it; never what it holds.
pub(crate) fn read(path: &str) -> Result<String, String> {
    let mut text = String::new();
    let file = File::open(path).map_err(|e| format!("{path:?} cannot be read: {e}"))?;
    let size = file.take(LONGEST_FILE + 1).read_to_string(&mut text);
    match size.map_err(|e| format!("{path:?} cannot be read: {e}"))? as u64 {
        size if size > LONGEST_FILE => {
            Err(format!("{path:?} is longer than the {LONGEST_FILE} bytes a setting may have"))
        }
        _ if text.trim().is_empty() => Err(format!("{path:?} is empty")),
        _ => Ok(text.trim().to_owned()),
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Environment {
        let process = pairs.into_iter().map(|(name, value)| (name.into(), value.into()));
        Environment::new(process, Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_of_an_env_file_are_dropped() {
        for (value, wanted) in [
            ("\"sk-1\"", Some("sk-1")),
            (" 'sk-1' ", Some("sk-1")),
            ("\"sk-1'", Some("\"sk-1'")),
            ("s\"k\"1", Some("s\"k\"1")),
            ("\"", Some("\"")),
            ("\"\"", None),
        ] {
            let env: Environment = [("KEY", value)].into_iter().collect();
            assert_eq!(env.get("KEY").as_deref(), wanted, "{value}");
        }
    }
}
