//! Reads settings one by one: from a flag, a variable or the file, and notes what is wrong with
//! them.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use super::entry::Entry;
use super::environment::Environment;
use super::file::File;
use super::settings::*;
use super::source::{Given, Source};
use super::{LogFormat, ProviderProbe, Secret, hosts, value};
use crate::network::{self, Host, Network};

/// What is said of a default that could not be read; a test reads all of them.
const DEFAULT: &str = "the default of a setting is a value of it";

pub(super) struct Reader<'a, 'f> {
    flags: &'a [(&'static str, String)],
    pub env: &'a Environment,
    /// The configuration file and its path.
    pub file: Option<(&'f str, &'f File)>,
    /// The provider whose settings are being read.
    pub entry: Option<Entry<'f>>,
    /// Variables that the file names.
    pub named: BTreeSet<String>,
    pub problems: Vec<String>,
    pub warnings: Vec<String>,
    /// What was set, for who wants to see it.
    pub given: RefCell<Vec<Given>>,
}

impl<'a, 'f> Reader<'a, 'f> {
    pub(super) fn new(flags: &'a [(&'static str, String)], env: &'a Environment) -> Reader<'a, 'f> {
        Reader {
            flags,
            env,
            file: None,
            entry: None,
            named: BTreeSet::new(),
            problems: Vec::new(),
            warnings: Vec::new(),
            given: RefCell::default(),
        }
    }

    /// The value of a setting and what messages call the place that it is from. An empty variable
    /// counts as not set.
    pub(super) fn get(&self, setting: &Setting) -> Option<(String, String)> {
        let (value, source) = self.find(setting)?;
        let name = match &source {
            Source::Default => String::new(),
            Source::Flag(flag) => flag.clone(),
            Source::Variable { name, .. } => self.env.label(name),
            Source::File { path, .. } => self.place(path),
        };
        self.note(setting, &value, source);
        Some((name, value))
    }

    /// Remembers what was set.
    pub(super) fn note(&self, setting: &Setting, value: &str, source: Source) {
        let provider = setting.is_providers().then_some(self.entry.as_ref()).flatten();
        let given = Given {
            provider: provider.map(|entry| entry.name.clone()),
            setting: setting.variables[0],
            value: if setting.is_secret() { String::new() } else { value.to_owned() },
            source,
        };
        let mut all = self.given.borrow_mut();
        all.retain(|old| (&old.provider, old.setting) != (&given.provider, given.setting));
        all.push(given);
    }

    pub(super) fn find(&self, setting: &Setting) -> Option<(String, Source)> {
        let flag = self.flags.iter().rev().find(|(flag, _)| *flag == setting.flag);
        let has_flag = self.entry.as_ref().is_none_or(|entry| entry.is_first);
        if let Some((flag, value)) = flag.filter(|_| has_flag) {
            return Some((value.clone(), Source::Flag(format!("--{flag}"))));
        }
        let set = |name: String| self.variable(&name).map(|value| (value, self.source(name)));
        let own = setting
            .variables
            .iter()
            .find_map(|name| set(self.entry.as_ref()?.variable(name.strip_prefix("<P>_")?)));
        let of_file = || {
            let (i, file) = self.entry.as_ref()?.file?;
            let path = format!("providers.{i}.{}", setting.flag.replace('-', "_"));
            Some((file.field(setting.flag)?, self.file_source(path)))
        };
        let general = || {
            let mut names = setting.variables.iter().filter(|name| !name.starts_with("<P>_"));
            names.find_map(|name| {
                // Kubernetes names a Service called "server" by the variable of the port.
                set((*name).to_owned())
                    .filter(|(value, _)| setting.flag != PORT.flag || !value::is_link(value))
            })
        };
        // What is said of one provider comes before what is said of all.
        own.or_else(of_file).or_else(general)
    }

    pub(super) fn source(&self, name: String) -> Source {
        let name = self.env.origin(&name);
        Source::Variable { line: self.env.line(&name), name }
    }

    pub(super) fn file_source(&self, path: String) -> Source {
        Source::File { file: self.file.map_or("", |(file, _)| file).to_owned(), path }
    }

    pub(super) fn variable(&self, name: &str) -> Option<String> {
        self.env.get(name)
    }

    /// What messages call a place in the file: `ccproxy.json: line 3, column 5: providers.0.model`.
    pub(super) fn place(&self, path: &str) -> String {
        match self.file {
            Some((name, file)) => format!("{name}: {}", file.place(path)),
            None => path.to_owned(),
        }
    }

    pub(super) fn problem(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }

    pub(super) fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }

    /// The last one counts, as with other programs; whoever adds an option to a command should
    /// know.
    pub(super) fn repeated_flags(&mut self) {
        for (i, (flag, value)) in self.flags.iter().enumerate() {
            let earlier = self.flags[..i].iter().rev().find(|(other, _)| other == flag);
            if let Some((_, before)) = earlier.filter(|(_, before)| before != value) {
                self.warn(format!(
                    "--{flag} is given twice: {value:?} counts, {before:?} does not"
                ));
            }
        }
    }

    pub(super) fn host(&mut self, default: &str) -> Host {
        let (name, value) =
            self.get(&HOST).unwrap_or_else(|| ("SERVER_HOST".to_owned(), default.to_owned()));
        let bare = value.strip_prefix('[').and_then(|v| v.strip_suffix(']')).unwrap_or(&value);
        if bare.eq_ignore_ascii_case("localhost") {
            return Host::Localhost;
        }
        match bare.parse() {
            Ok(address) => Host::Address(address),
            Err(_) => {
                self.problem(format!(
                    "{name}: {value:?} is not an address to listen on; use localhost, ::, 0.0.0.0 or another IP address"
                ));
                Host::Localhost
            }
        }
    }

    pub(super) fn port(&mut self) -> u16 {
        for name in PORT.variables {
            if self.variable(name).is_some_and(|value| value::is_link(&value)) {
                let name = self.env.label(name);
                self.warn(format!(
                    "{name} is ignored: it holds the address of another service, not a port"
                ));
            }
        }
        let default = value::whole(PORT.default).expect(DEFAULT);
        let port = self.number(&PORT, default, 0, u64::from(u16::MAX), "a port number");
        u16::try_from(port).expect("number() keeps the range")
    }

    pub(super) fn number(
        &mut self,
        setting: &Setting,
        default: u64,
        min: u64,
        max: u64,
        what: &str,
    ) -> u64 {
        let Some((name, value)) = self.get(setting) else { return default };
        match value::whole(&value) {
            Some(number) if (min..=max).contains(&number) => number,
            _ => {
                let range =
                    if max == u64::MAX { format!("from {min}") } else { format!("{min}-{max}") };
                self.problem(format!("{name}: {value:?} is not {what} ({range})"));
                default
            }
        }
    }

    /// A number of bytes, with or without a unit.
    pub(super) fn bytes(&mut self, setting: &Setting, min: usize, max: usize) -> usize {
        let read = |text: &str| value::bytes(text).and_then(|bytes| usize::try_from(bytes).ok());
        let default = read(setting.default).expect(DEFAULT);
        let Some((name, value)) = self.get(setting) else { return default };
        match read(&value) {
            Some(bytes) if (min..=max).contains(&bytes) => bytes,
            _ => {
                self.problem(format!(
                    "{name}: {value:?} is not a number of bytes such as 33554432, 32M or 32MB ({min}-{max})"
                ));
                default
            }
        }
    }

    /// A number of messages that may be left open.
    pub(super) fn optional(&mut self, setting: &Setting, max: u64) -> Option<u64> {
        self.get(setting)?;
        Some(self.number(setting, max, 1, max, "a number of messages"))
    }

    pub(super) fn networks(&mut self, setting: &Setting) -> Vec<Network> {
        let Some((name, value)) = self.get(setting) else { return Vec::new() };
        let mut networks = Vec::new();
        for entry in value.split([',', ' ']).filter(|entry| !entry.is_empty()) {
            match Network::parse(entry) {
                Some(network) => networks.push(network),
                None => self.problem(format!(
                    "{name}: {entry:?} is neither an address nor a network such as 10.0.0.0/8"
                )),
            }
        }
        networks
    }

    /// Whose word on their clients is believed, and whether they say it by the PROXY protocol.
    pub(super) fn proxies(&mut self) -> (Vec<Network>, bool) {
        let trusted = self.networks(&TRUSTED_PROXIES);
        let announce = self.switch(&PROXY_PROTOCOL, false);
        if announce && self.get(&TRUSTED_PROXIES).is_none() {
            self.problem(
                "CCPROXY_PROXY_PROTOCOL is on, and CCPROXY_TRUSTED_PROXIES names nobody whose \
                 header is believed; name the balancer's address there, such as 10.0.0.5",
            );
        }
        (trusted, announce)
    }

    /// A time that may be zero, which is its default.
    pub(super) fn seconds_or_none(&mut self, setting: &Setting) -> Duration {
        self.time(setting, true)
    }

    pub(super) fn seconds(&mut self, setting: &Setting) -> Duration {
        self.time(setting, false)
    }

    /// A client's own patience ends soon after.
    pub(super) fn rate_limit_wait(&mut self) -> Duration {
        const LONGEST: Duration = Duration::from_secs(60);
        let wait = self.seconds_or_none(&RATE_LIMIT_WAIT);
        if wait > LONGEST {
            let (name, value) = self.get(&RATE_LIMIT_WAIT).unwrap_or_default();
            self.problem(format!("{name}: {value:?} is too long; use 0 to 60 seconds"));
        }
        wait.min(LONGEST)
    }

    fn time(&mut self, setting: &Setting, may_be_none: bool) -> Duration {
        const LONGEST: Duration = Duration::from_secs(86_400);
        let default = value::duration(setting.default).expect(DEFAULT);
        let Some((name, value)) = self.get(setting) else { return default };
        match value::duration(&value) {
            Some(time) if time <= LONGEST && (may_be_none || !time.is_zero()) => time,
            _ => {
                let least = if may_be_none { "from 0" } else { "more than 0" };
                self.problem(format!(
                    "{name}: {value:?} is not a number of seconds such as 30, 30s, 500ms or 5m \
                     ({least}, up to 86400)"
                ));
                default
            }
        }
    }

    pub(super) fn switch(&mut self, setting: &Setting, default: bool) -> bool {
        let Some((name, value)) = self.get(setting) else { return default };
        match &*value.to_ascii_lowercase() {
            "on" | "true" | "1" | "yes" => true,
            "off" | "false" | "0" | "no" => false,
            _ => {
                self.problem(format!("{name}: {value:?} is neither on nor off"));
                default
            }
        }
    }

    /// The parts of a value that commas separate.
    pub(super) fn list(&self, setting: &Setting) -> Option<(String, Vec<String>)> {
        let (name, value) = self.get(setting)?;
        let items = value.split(',').map(str::trim).filter(|item| !item.is_empty());
        Some((name, items.map(str::to_owned).collect()))
    }

    /// The keys that clients must send, which may have every character that a header can carry.
    pub(super) fn client_keys(&mut self) -> Vec<Secret> {
        let Some((name, keys)) = self.list(&CLIENT_KEYS) else { return Vec::new() };
        if keys.is_empty() {
            self.problem(format!("{name}: it holds commas and no key"));
        }
        let can_be_sent = |key: &String| key.bytes().all(|b| (b' '..=b'~').contains(&b));
        if !keys.iter().all(can_be_sent) {
            self.problem(format!("{name}: a key is visible ASCII; one of these is not"));
        }
        keys.into_iter().map(Secret::new).collect()
    }

    /// Origins as browsers send them: `https://example.com`.
    pub(super) fn origins(&mut self) -> Vec<String> {
        let Some((name, origins)) = self.list(&CORS_ALLOWED_ORIGINS) else { return Vec::new() };
        let mut valid = Vec::new();
        for origin in origins {
            match network::origin(&origin) {
                Ok(origin) => valid.push(origin),
                Err(reason) => self.problem(format!("{name}: {origin:?} {reason}")),
            }
        }
        valid
    }

    /// Names of this server without ports, in lower case.
    pub(super) fn hosts(&mut self) -> Vec<String> {
        let Some((name, entries)) = self.list(&ALLOWED_HOSTS) else { return Vec::new() };
        let mut valid = Vec::new();
        for entry in entries {
            match hosts::name_of(&entry) {
                _ if entry == "*" => valid.push(entry),
                Some(host) => valid.push(host),
                None => self.problem(format!(
                    "{name}: {entry:?} is not the name of a host; use ccproxy.example, an address, or *"
                )),
            }
        }
        valid
    }

    /// The one of `choices` that the value names, whatever its capitals; the default where it is
    /// none.
    pub(super) fn choice<T: Copy>(
        &mut self,
        setting: &Setting,
        what: &str,
        choices: &[(&str, T)],
    ) -> Option<T> {
        let named = |value: &str| {
            let found = choices.iter().find(|(name, _)| name.eq_ignore_ascii_case(value));
            found.map(|(_, choice)| *choice)
        };
        let default = named(setting.default);
        let Some((name, value)) = self.get(setting) else { return default };
        named(&value).or_else(|| {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            let (last, before) = names.split_last().expect("there is a choice");
            let before = before.join(", ");
            self.problem(format!("{name}: {value:?} is not {what}; use {before} or {last}"));
            default
        })
    }

    pub(super) fn log_level(&mut self) -> log::LevelFilter {
        use log::LevelFilter::{Debug, Error, Info, Off, Warn};
        let levels =
            [("off", Off), ("error", Error), ("warn", Warn), ("info", Info), ("debug", Debug)];
        self.choice(&LOG_LEVEL, "a level", &levels).expect(DEFAULT)
    }

    pub(super) fn provider_probe(&mut self) -> ProviderProbe {
        let probes = [
            ("off", ProviderProbe::Off),
            ("connect", ProviderProbe::Connect),
            ("models", ProviderProbe::Models),
        ];
        self.choice(&PROVIDER_PROBE, "a probe", &probes).expect(DEFAULT)
    }

    pub(super) fn log_format(&mut self) -> Option<LogFormat> {
        let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
        self.choice(&LOG_FORMAT, "a format", &formats)
    }
}
