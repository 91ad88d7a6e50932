//! The variables of a process, and where each is from.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use crate::dotenv::Assignment;

/// Variables by name: those of the process, and behind them those of `.env`.
#[derive(Debug, Default)]
pub struct Environment {
    variables: BTreeMap<String, Variable>,
    /// The names that were asked for and are there.
    read: RefCell<BTreeSet<String>>,
}

#[derive(Debug)]
struct Variable {
    value: String,
    /// The line of `.env` that sets it.
    line: Option<usize>,
}

impl Environment {
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
        Environment { variables, read: RefCell::default() }
    }

    /// The value without space around it. An empty variable counts as not set.
    pub fn get(&self, name: &str) -> Option<String> {
        let value = self.variables.get(name)?.value.trim();
        if value.is_empty() {
            return None;
        }
        self.read.borrow_mut().insert(name.to_owned());
        Some(value.to_owned())
    }

    /// The line of `.env` that sets the variable.
    pub fn line(&self, name: &str) -> Option<usize> {
        self.variables.get(name)?.line
    }

    /// What messages call the variable: `PORT`, or `PORT (.env, line 3)`.
    pub fn label(&self, name: &str) -> String {
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

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Environment {
        let process = pairs.into_iter().map(|(name, value)| (name.into(), value.into()));
        Environment::new(process, Vec::new())
    }
}
