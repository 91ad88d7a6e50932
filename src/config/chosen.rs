//! Which providers there are: those that are named, in the file or by `PROVIDER`, or the one whose
//! key is set.

use super::entry::{Entry, variable};
use super::file::FileProvider;
use super::reader::Reader;
use super::settings::*;
use crate::provider::{PROVIDERS, Provider};
use crate::text;
use crate::typo;

fn names() -> String {
    let names: Vec<&str> = PROVIDERS.iter().map(|provider| provider.name).collect();
    names.join(", ")
}

/// What to use in place of a name that no provider has.
fn instead(name: &str) -> String {
    let called = PROVIDERS.iter().filter_map(|row| {
        let also = row.also.iter().filter(|also| name.starts_with(**also));
        Some((also.map(|also| also.len()).max()?, row))
    });
    let called = called.max_by_key(|(length, _)| *length).map(|(_, row)| row);
    let known = PROVIDERS.iter().map(|row| row.name);
    match called.map(|row| row.name).or_else(|| typo::nearest(name, known)) {
        Some(meant) => format!("did you mean {meant}? There are {}", names()),
        None => format!("use one of {}", names()),
    }
}

impl<'f> Reader<'_, 'f> {
    /// The providers that are asked for, in the order in which they are tried, and how many of them
    /// are tried without a route of their own.
    pub(super) fn entries(&mut self, file: &'f [FileProvider]) -> (Vec<Entry<'f>>, usize) {
        let mut known: Vec<Entry<'f>> = Vec::new();
        for (i, entry) in file.iter().enumerate() {
            if let Some(entry) = self.file_entry(i, entry) {
                let prefix = entry.variable("");
                if known.iter().any(|other| other.variable("") == prefix) {
                    let place = self.place(&format!("providers.{i}.name"));
                    self.problem(format!("{place}: {:?} is there twice", entry.name));
                    continue;
                }
                known.push(entry);
            }
        }
        let mut entries: Vec<Entry<'f>> = Vec::new();
        let listed =
            self.get(&PROVIDER).filter(|(_, value)| !value.trim_matches([',', ' ']).is_empty());
        if let Some((by, value)) = listed {
            for name in value.split(',').map(str::trim).filter(|name| !name.is_empty()) {
                let name = name.to_ascii_lowercase();
                let of_file = known.iter().position(|entry| entry.name == name);
                let entry = match (of_file, Provider::find(&name)) {
                    (Some(at), _) => known.remove(at),
                    (None, Some(row)) => Entry { name, row, file: None, is_first: false },
                    (None, None) => {
                        if !entries.iter().any(|entry| entry.name == name) {
                            let instead = instead(&name);
                            self.problem(format!("{by}: {name:?} is not a provider; {instead}"));
                        }
                        continue;
                    }
                };
                if !entries.iter().any(|other| other.name == entry.name) {
                    entries.push(entry);
                }
            }
        } else if known.is_empty() && file.is_empty() {
            entries.extend(self.one_with_a_key());
        }
        let by_default = if entries.is_empty() { known.len() } else { entries.len() };
        entries.extend(known);
        if let Some(first) = entries.first_mut() {
            first.is_first = true;
        }
        (entries, by_default)
    }

    fn file_entry(&mut self, i: usize, file: &'f FileProvider) -> Option<Entry<'f>> {
        let name = file.name.to_ascii_lowercase();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() && self.file.is_some_and(|(_, file)| !file.problems.is_empty()) {
            // What is wrong has been told.
            return None;
        }
        if name.is_empty() || !name.chars().all(plain) {
            let place = self.place(&format!("providers.{i}.name"));
            self.problem(format!(
                "{place}: {:?} is not a name; use letters, digits and -_.",
                file.name
            ));
            return None;
        }
        let kind = file.kind.as_deref().unwrap_or(&name).to_ascii_lowercase();
        let Some(row) = Provider::find(&kind) else {
            let field = if file.kind.is_some() { "type" } else { "name" };
            let hint = if file.kind.is_some() { "" } else { ", or add \"type\" with one" };
            let place = self.place(&format!("providers.{i}.{field}"));
            let instead = instead(&kind);
            self.problem(format!("{place}: {kind:?} is not a provider; {instead}{hint}"));
            return None;
        };
        // Its key would be somebody else's.
        let own = variable(&name, row, "API_KEY");
        let is_other = |other: &&Provider| {
            other.name != name
                && (other.key_vars.contains(&&*own)
                    || variable(other.name, other, "API_KEY") == own)
        };
        let taken = match PROVIDERS.iter().find(is_other) {
            Some(other) => Some(other.name),
            None if Provider::find(&name).is_some_and(|named| named.name != row.name) => {
                Some(&*name)
            }
            None if CLIENT_KEYS.variables.contains(&&*own) => Some("clients"),
            None => None,
        };
        if let Some(other) = taken {
            let place = self.place(&format!("providers.{i}.name"));
            self.problem(format!(
                "{place}: {name:?} would read {own}, which is for {other}; use another name"
            ));
            return None;
        }
        Some(Entry { name, row, file: Some((i, file)), is_first: false })
    }

    /// The one provider that the environment has a key or an address for.
    fn one_with_a_key(&mut self) -> Option<Entry<'f>> {
        let entry = |row: &'static Provider| Entry {
            name: row.name.to_owned(),
            row,
            file: None,
            is_first: false,
        };
        let found: Vec<_> = PROVIDERS
            .iter()
            .filter(|row| row.by_key)
            .map(entry)
            .filter(|entry| {
                entry.row.key_vars.iter().any(|name| self.variable(name).is_some())
                    || self.variable(&entry.variable("BASE_URL")).is_some()
            })
            .collect();
        match &found[..] {
            [] => {
                let problem = self.no_provider();
                self.problem(problem);
            }
            [one] => return Some(one.clone()),
            several => {
                let names: Vec<&str> = several.iter().map(|entry| &*entry.name).collect();
                self.problem(format!(
                    "more than one provider is configured ({}): set PROVIDER to the one to use, \
                     or to several in the order to try them, as in PROVIDER={}",
                    names.join(", "),
                    names.join(",")
                ));
            }
        }
        None
    }

    /// What to do where nothing is set: the shortest ways first, the list last.
    fn no_provider(&self) -> String {
        let mut told = "no provider: nothing names one, and no provider's key is set".to_owned();
        if let Some((file, _)) = self.file {
            told.push_str(&format!(" ({file} has no \"providers\" either)"));
        }
        told.push_str(
            "\n  without a key:  ccproxy --provider echo   (it answers from inside ccproxy)\
             \n  with a key:     GROQ_API_KEY=… ccproxy    (the provider is the one whose key is set)",
        );
        if let Some(nearly) = self.nearly_a_key() {
            told.push_str(&format!("\n  {nearly}"));
        }
        for row in PROVIDERS.iter().filter(|row| !row.by_key) {
            if let Some(name) = row.key_vars.iter().find(|name| self.variable(name).is_some()) {
                told.push_str(&format!(
                    "\n  {} is set, but chooses no provider, since other programs have it too;\
                     \n  PROVIDER={} forwards to {} with it",
                    self.env.label(name),
                    row.name,
                    row.base_url
                ));
            }
        }
        let list = text::wrap(&names(), 72).join("\n    ");
        told + "\n  PROVIDER (or --provider) names one of\n    " + &list
    }
}
