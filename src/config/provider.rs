//! The providers of a configuration: which there are, and the settings of each.

use std::time::Duration;

use super::file::FileProvider;
use super::settings::*;
use super::{Reader, Secret, base_url};
use crate::http_proxy::{self, HttpProxy};
use crate::openai::Dialect;
use crate::provider::{Key, PROVIDERS, Provider};

/// A provider that is configured.
#[derive(Debug)]
pub struct ProviderConfig {
    /// What routes, logs and metrics call it.
    pub name: String,
    pub row: &'static Provider,
    /// With its version and without a slash at the end; empty for the embedded provider.
    pub base_url: String,
    /// Used in turn. One that is refused or limited is passed over for a while.
    pub keys: Vec<Secret>,
    /// Empty where the client's is asked for.
    pub model: String,
    /// The most output tokens to ask for, where the user says so; 0 for no limit.
    pub max_tokens: Option<u64>,
    pub images: bool,
    /// `None` leaves it to the model's name.
    pub api: Option<Dialect>,
    pub native: Native,
    /// Where its Messages API is, without `/v1/messages`, if it has one.
    pub native_url: Option<String>,
    pub first_byte_timeout: Duration,
    /// Further headers, whose values may be keys.
    pub headers: Vec<(String, Secret)>,
    /// The HTTP proxy to reach `base_url` through, and `native_url`, which may be another host.
    pub http_proxy: Option<HttpProxy>,
    pub native_http_proxy: Option<HttpProxy>,
}

/// Headers that belong to the request itself.
const OWN_HEADERS: &[&str] = &[
    "authorization",
    "api-key",
    "x-api-key",
    "host",
    "connection",
    "content-length",
    "content-type",
    "transfer-encoding",
];

/// Whether the provider's own Messages API is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Native {
    /// Where the row says so, and as long as it does not refuse.
    Auto,
    On,
    Off,
}

impl ProviderConfig {
    /// Its address without what a bystander must not see.
    pub fn shown_base_url(&self) -> &str {
        if self.row.key == Key::Embedded { "embedded" } else { &self.base_url }
    }

    /// The most output tokens to ask `model` for; 0 for no limit. The row's limit is that of its model.
    pub fn max_tokens_for(&self, model: &str) -> u64 {
        let of_row = if model == self.row.model { self.row.max_tokens } else { 0 };
        self.max_tokens.unwrap_or(of_row)
    }

    /// The name of a variable of this provider: `GROQ_MODEL` for `MODEL`.
    pub fn variable(&self, suffix: &str) -> String {
        variable(&self.name, self.row, suffix)
    }

    /// The variables that may hold its key, for people.
    pub fn key_variables(&self) -> String {
        key_variables(&self.name, self.row).join(" or ")
    }

    /// Whether its own Messages API is asked for `model`.
    pub fn is_native(&self, model: &str) -> bool {
        let is_in_row = Provider::is_among(model, self.row.native_models);
        match self.native {
            Native::On => self.native_url.is_some(),
            Native::Auto => self.native_url.is_some() && is_in_row,
            Native::Off => false,
        }
    }
}

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
fn variable(name: &str, row: &Provider, suffix: &str) -> String {
    if name == row.name && !row.prefix.is_empty() {
        return format!("{}_{suffix}", row.prefix);
    }
    let upper = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    format!("{}_{suffix}", name.chars().map(upper).collect::<String>())
}

/// The variables that may hold the key of the provider `name`.
fn key_variables(name: &str, row: &Provider) -> Vec<String> {
    if name == row.name {
        row.key_vars.iter().map(|name| (*name).to_owned()).collect()
    } else {
        vec![variable(name, row, "API_KEY")]
    }
}

impl Entry<'_> {
    /// The name of a variable of this provider: `GROQ_MODEL` for `MODEL`.
    pub fn variable(&self, suffix: &str) -> String {
        variable(&self.name, self.row, suffix)
    }
}

fn names() -> String {
    let names: Vec<&str> = PROVIDERS.iter().map(|provider| provider.name).collect();
    names.join(", ")
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
                    self.problem(format!("providers.{i}.name: {:?} is there twice", entry.name));
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
                            self.problem(format!(
                                "{by}: {name:?} is not a provider; use one of {}",
                                names()
                            ));
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
        if name.is_empty() || !name.chars().all(plain) {
            self.problem(format!(
                "providers.{i}.name: {:?} is not a name; use letters, digits and -_.",
                file.name
            ));
            return None;
        }
        let kind = file.kind.as_deref().unwrap_or(&name).to_ascii_lowercase();
        let Some(row) = Provider::find(&kind) else {
            let field = if file.kind.is_some() { "type" } else { "name" };
            let hint = if file.kind.is_some() { "" } else { ", or add \"type\" with one" };
            self.problem(format!(
                "providers.{i}.{field}: {kind:?} is not a provider; use one of {}{hint}",
                names()
            ));
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
            self.problem(format!(
                "providers.{i}.name: {name:?} would read {own}, which is for {other}; use another name"
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
            [] => self.problem(format!(
                "no provider: set PROVIDER (or --provider) to one of {}; \
                 or only a provider's key, such as GROQ_API_KEY; \
                 `--provider echo` needs no key and answers from inside ccproxy",
                names()
            )),
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

    /// Reads the settings of a provider.
    pub(super) fn provider(&mut self, entry: Entry<'f>) -> ProviderConfig {
        self.entry = Some(entry.clone());
        let row = entry.row;
        let base_url = self.base_url(&entry);
        let native = self.native(row.speaks_chat);
        let native_url = self.native_url(&entry, &base_url, native);
        let native_http_proxy = native_url.as_deref().and_then(|url| self.http_proxy(url));
        let config = ProviderConfig {
            keys: self.keys(&entry),
            model: self.model(&entry),
            max_tokens: self
                .get(&MAX_TOKENS)
                .map(|_| self.number(&MAX_TOKENS, 0, 0, u64::MAX, "a number of tokens")),
            images: self.switch(&IMAGES, row.images),
            api: self.api(row),
            native,
            native_url,
            first_byte_timeout: self.seconds(&TIMEOUT, 300),
            headers: self.headers(&entry),
            http_proxy: self.http_proxy(&base_url),
            native_http_proxy,
            name: entry.name,
            row,
            base_url,
        };
        self.entry = None;
        config
    }

    fn keys(&mut self, entry: &Entry<'_>) -> Vec<Secret> {
        let variables = key_variables(&entry.name, entry.row);
        let before = self.problems.len();
        let found = variables.iter().find_map(|name| Some((name.clone(), self.variable(name)?)));
        let listed: Vec<(String, String)> = match (found, entry.file) {
            (Some(found), _) => vec![found],
            (None, Some((i, file))) => {
                let place = format!("providers.{i}.api_key");
                let keys = file.api_key.iter().flat_map(|keys| keys.all());
                let keys: Vec<_> = keys.filter_map(|key| self.expand(&place, key)).collect();
                keys.into_iter().map(|key| (place.clone(), key)).collect()
            }
            (None, None) => Vec::new(),
        };
        let mut secrets = Vec::new();
        for (name, value) in &listed {
            for key in value.split(',').map(str::trim).filter(|key| !key.is_empty()) {
                if key.bytes().all(|b| b.is_ascii_graphic()) {
                    secrets.push(Secret::new(key));
                } else {
                    self.problem(format!(
                        "{name}: a key is visible ASCII without spaces; this one is not"
                    ));
                }
            }
        }
        // What is wrong has been told.
        if self.problems.len() > before {
            return Vec::new();
        }
        if secrets.is_empty() && entry.row.key == Key::Required {
            self.problem(format!(
                "{} is not set: provider {} needs a key",
                variables.join(" or "),
                entry.name
            ));
        }
        secrets
    }

    fn base_url(&mut self, entry: &Entry<'_>) -> String {
        let row = entry.row;
        if row.key == Key::Embedded {
            return String::new();
        }
        let Some((name, value)) = self.get(&BASE_URL) else {
            if row.base_url.is_empty() {
                self.problem(format!(
                    "{} is not set: provider {} is at the address you name, such as {}",
                    entry.variable("BASE_URL"),
                    entry.name,
                    row.example_url
                ));
            }
            return row.base_url.to_owned();
        };
        let Some(value) = self.expand(&name, &value) else { return String::new() };
        base_url::normalise(&value, row).unwrap_or_else(|problem| {
            self.problem(format!("{name}: {problem}"));
            String::new()
        })
    }

    fn native(&mut self, speaks_chat: bool) -> Native {
        let Some((name, value)) = self.get(&NATIVE) else { return Native::Auto };
        match &*value.to_ascii_lowercase() {
            "auto" => Native::Auto,
            "on" => Native::On,
            "off" if speaks_chat => Native::Off,
            "off" => {
                self.problem(format!("{name}: its Messages API is all that this provider has"));
                Native::Auto
            }
            _ => {
                self.problem(format!("{name}: {value:?} is not a choice; use auto, on or off"));
                Native::Auto
            }
        }
    }

    /// Where the provider's Messages API is. With another base URL the row's is another host's, unless
    /// it is the same server's.
    fn native_url(&mut self, entry: &Entry<'_>, base: &str, native: Native) -> Option<String> {
        if let Some((name, value)) = self.get(&NATIVE_URL) {
            let value = self.expand(&name, &value)?;
            return base_url::native(&value)
                .map_err(|problem| self.problem(format!("{name}: {problem}")))
                .ok();
        }
        let row = entry.row;
        let url = match row.native {
            // The same host as the rest of it.
            Some("") => Some(base_url::without_version(base)),
            Some(url) if base == row.base_url => Some(url.to_owned()),
            _ => None,
        };
        if url.is_none() && native == Native::On {
            self.problem(format!(
                "{} is not set: it is where the Messages API of provider {} is",
                entry.variable("NATIVE_URL"),
                entry.name
            ));
        }
        url
    }

    fn api(&mut self, row: &Provider) -> Option<Dialect> {
        let (name, value) = self.get(&API)?;
        match &*value.to_ascii_lowercase() {
            "auto" => None,
            "chat" if row.speaks_chat => Some(Dialect::ChatCompletions),
            "responses" if row.speaks_chat => Some(Dialect::Responses),
            _ => {
                self.problem(format!(
                    "{name}: {value:?} is not an API of provider {}; use auto, chat or responses",
                    row.name
                ));
                None
            }
        }
    }

    fn model(&mut self, entry: &Entry<'_>) -> String {
        match self.get(&MODEL) {
            Some((_, model)) => model,
            None => {
                if entry.row.model.is_empty() && !entry.row.knows_claude {
                    self.problem(format!(
                        "{} is not set: it names the model that answers for Claude's",
                        entry.variable("MODEL")
                    ));
                }
                entry.row.model.to_owned()
            }
        }
    }

    fn headers(&mut self, entry: &Entry<'_>) -> Vec<(String, Secret)> {
        let mut headers = Vec::new();
        for (header, variable) in entry.row.headers {
            if let Some(value) = self.variable(variable) {
                headers.push((variable.to_string(), (*header).to_owned(), value));
            }
        }
        if let Some((i, file)) = entry.file {
            for (header, value) in &file.headers {
                let place = format!("providers.{i}.headers.{header}");
                let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
                let is_own = OWN_HEADERS.iter().any(|own| own.eq_ignore_ascii_case(header));
                if header.is_empty() || !header.bytes().all(is_token) {
                    self.problem(format!("{place}: it is not the name of a header"));
                } else if is_own {
                    self.problem(format!("{place}: ccproxy sets this header itself"));
                } else if let Some(value) = self.expand(&place, value) {
                    headers.push((place, header.clone(), value));
                }
            }
        }
        let mut valid = Vec::new();
        for (place, header, value) in headers {
            if value.bytes().all(|b| (b' '..=b'~').contains(&b)) {
                valid.push((header, Secret::new(value)));
            } else {
                self.problem(format!(
                    "{place}: it is sent as a header, so it must be visible ASCII"
                ));
            }
        }
        valid
    }

    fn http_proxy(&mut self, url: &str) -> Option<HttpProxy> {
        http_proxy::choose(url, self.env).unwrap_or_else(|problem| {
            // The same variable leads to both addresses of a provider, and to other providers.
            if !self.problems.contains(&problem) {
                self.problem(problem);
            }
            None
        })
    }

    /// A text of the file, or the variable that it names: `$NAME` or `${NAME}`.
    fn expand(&mut self, place: &str, value: &str) -> Option<String> {
        let Some(name) = value.strip_prefix('$') else { return Some(value.to_owned()) };
        let name = name.strip_prefix('{').and_then(|n| n.strip_suffix('}')).unwrap_or(name);
        let found = self.variable(name);
        if found.is_none() {
            // Anything else may be a key.
            let is_name = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
            let shown = if name.bytes().all(is_name) { name } else { "the variable it names" };
            self.problem(format!("{place}: {shown} is not set"));
        }
        found
    }
}
