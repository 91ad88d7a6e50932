//! Configuration: one table of settings, from flags, the environment and `.env`, and a file for what
//! does not fit a variable.
//!
//! The environment is a function argument, so that a test is a table of names and values. All
//! problems are told at once, each with what to set.

mod base_url;
mod file;
mod network;
mod provider;
mod routes;
mod secret;
mod settings;

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use crate::probe;
use crate::route::Routes;
use file::File;
pub use network::Network;
use provider::Entry;
pub use provider::{Native, ProviderConfig};
pub use secret::Secret;
use settings::*;
pub use settings::{SETTINGS, Setting};

/// Everything the server needs to know, checked.
#[derive(Debug)]
pub struct Config {
    /// One at least. Routes refer to them by their places.
    pub providers: Vec<ProviderConfig>,
    pub routes: Routes,
    pub host: Host,
    pub port: u16,
    pub client_keys: Vec<Secret>,
    pub cors_allowed_origins: Vec<String>,
    pub log_level: log::LevelFilter,
    /// `None` leaves it to where the log goes.
    pub log_format: Option<LogFormat>,
    /// `None` leaves it to what the machine has.
    pub max_in_flight: Option<usize>,
    /// Messages a minute for each caller.
    pub rate_limit: Option<u64>,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
    pub body_limit_bytes: usize,
    pub connect_timeout: Duration,
    pub idle_timeout: Duration,
    pub drain_delay: Duration,
    pub shutdown_timeout: Duration,
    pub provider_probe: ProviderProbe,
    pub certificates: Option<String>,
}

/// How long the phases of an upstream call may take. There is no limit for the whole.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    pub connect: Duration,
    /// From the end of the request to the first byte of the answer's body.
    pub first_byte: Duration,
    /// Between two reads of the body, and for a write that makes no progress.
    pub idle: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// 127.0.0.1 and ::1.
    Localhost,
    Address(IpAddr),
}

/// Whether the provider is asked for without a message, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProviderProbe {
    Off,
    /// A connection, with TLS where there is some; nothing is sent on it.
    Connect,
    /// The list of models, with the key.
    Models,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// What is wrong with the configuration, one sentence each.
#[derive(Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.0 {
            writeln!(f, "ccproxy: {problem}")?;
        }
        f.write_str("ccproxy: --help lists every setting")
    }
}

/// The configuration for people, without secrets.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = |secret: bool| if secret { "set" } else { "not set" };
        for (i, provider) in self.providers.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            let max_tokens = match provider.max_tokens_for(&provider.model) {
                0 => "what the client asks for".to_owned(),
                n => n.to_string(),
            };
            writeln!(f, "provider      {}", provider.name)?;
            if provider.name != provider.row.name {
                writeln!(f, "type          {}", provider.row.name)?;
            }
            writeln!(f, "base URL      {}", provider.shown_base_url())?;
            if let (true, Some(url)) = (provider.is_native(&provider.model), &provider.native_url) {
                writeln!(f, "native        {url}")?;
            }
            match provider.keys.len() {
                0 | 1 => writeln!(f, "key           {}", set(!provider.keys.is_empty()))?,
                several => writeln!(f, "keys          {several}")?,
            }
            let model = if provider.model.is_empty() { "the client's" } else { &provider.model };
            writeln!(f, "model         {model}")?;
            writeln!(f, "max tokens    {max_tokens}")?;
            writeln!(f, "images        {}", if provider.images { "on" } else { "off" })?;
            writeln!(f, "HTTP proxy    {}", set(provider.http_proxy.is_some()))?;
        }
        write_routes(f, self)?;
        match self.host {
            Host::Localhost => writeln!(f, "listens on    localhost, port {}", self.port)?,
            Host::Address(address) => writeln!(f, "listens on    {address}, port {}", self.port)?,
        }
        writeln!(f, "client keys   {}", self.client_keys.len())?;
        writeln!(f, "The configuration is valid.")
    }
}

/// Where names go, if there is more than one way.
fn write_routes(f: &mut fmt::Formatter<'_>, config: &Config) -> fmt::Result {
    let routes = &config.routes;
    let named = [
        ("default", &routes.default),
        ("opus", &routes.opus),
        ("sonnet", &routes.sonnet),
        ("haiku", &routes.haiku),
        ("fable", &routes.fable),
        ("long context", &routes.long_context),
        ("background", &routes.background),
        ("thinking", &routes.thinking),
        ("images", &routes.images),
        ("web search", &routes.web_search),
    ];
    let aliases = routes.aliases.iter().map(|alias| (&*alias.id, &alias.hops));
    if config.providers.len() > 1 || routes.aliases.len() + routes.set_rules() > 0 {
        writeln!(f)?;
        for (name, hops) in named.into_iter().chain(aliases).filter(|(_, hops)| !hops.is_empty()) {
            let hops: Vec<String> = hops
                .iter()
                .map(|hop| {
                    let provider = &config.providers[hop.provider];
                    let model = hop.model.as_deref().unwrap_or(&provider.model);
                    format!("{}/{model}", provider.name)
                })
                .collect();
            writeln!(f, "{name:<13} {}", hops.join(", then "))?;
            if name == "long context" {
                writeln!(f, "{:<13} above {} tokens", "", routes.long_context_tokens)?;
            }
        }
        writeln!(f)?;
    }
    Ok(())
}

impl Config {
    /// Where the configuration file is, if there is one, and what says so.
    pub fn file(
        flags: &[(&'static str, String)],
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Option<(String, String)> {
        Reader::new(flags, env).get(&CONFIG)
    }

    /// Reads the settings: `flags` by name without dashes first, then `env`, then the text of the
    /// configuration file, which comes with its path.
    ///
    /// `default_host` is for who sets none: in a container nobody reaches a loopback.
    ///
    /// # Errors
    /// Every problem found.
    pub fn new(
        flags: &[(&'static str, String)],
        env: &dyn Fn(&str) -> Option<String>,
        default_host: &str,
        file: Option<(&str, &str)>,
    ) -> Result<Config, Problems> {
        let file = match file {
            Some((path, text)) => {
                File::parse(text).map_err(|problem| Problems(vec![format!("{path}: {problem}")]))?
            }
            None => File::default(),
        };
        let mut reader = Reader::new(flags, env);
        let (entries, by_default) = reader.entries(&file.providers);
        // Without a provider the other settings are still checked.
        let providers: Vec<_> = entries.into_iter().map(|entry| reader.provider(entry)).collect();
        let routes = reader.routes(&file, &providers, by_default);
        if providers.is_empty() && reader.problems.is_empty() {
            reader.problem("no provider is left: PROVIDER and the file name none");
        }

        let host = reader.host(default_host);
        let port = reader.port();
        let config = Config {
            providers,
            routes,
            host,
            port,
            client_keys: reader.client_keys(),
            cors_allowed_origins: reader.origins(),
            log_level: reader.log_level(),
            log_format: reader.log_format(),
            max_in_flight: reader.optional(&MAX_IN_FLIGHT, 100_000).map(|n| n as usize),
            rate_limit: reader.optional(&RATE_LIMIT, 1_000_000),
            trusted_proxies: reader.networks(&TRUSTED_PROXIES),
            body_limit_bytes: reader.number(
                &BODY_LIMIT,
                32 << 20,
                1024,
                1 << 30,
                "a number of bytes",
            ) as usize,
            connect_timeout: reader.seconds(&CONNECT_TIMEOUT, 5),
            idle_timeout: reader.seconds(&IDLE_TIMEOUT, 120),
            drain_delay: reader.seconds_or_none(&DRAIN_DELAY),
            shutdown_timeout: reader.seconds(&SHUTDOWN_TIMEOUT, 8),
            provider_probe: reader.provider_probe(),
            certificates: reader.get(&CERTIFICATES).map(|(_, value)| value),
        };
        if reader.problems.is_empty() { Ok(config) } else { Err(Problems(reader.problems)) }
    }

    /// How long the phases of a call to `provider` may take.
    pub fn timeouts(&self, provider: &ProviderConfig) -> Timeouts {
        Timeouts {
            connect: self.connect_timeout,
            first_byte: provider.first_byte_timeout,
            idle: self.idle_timeout,
        }
    }
}

/// What the self-probe needs: it asks the server whose configuration this is, without a provider.
#[derive(Debug)]
pub struct Healthcheck {
    pub host: Host,
    pub port: u16,
    pub wanted: Option<String>,
    pub timeout: Duration,
}

impl Healthcheck {
    /// Reads the settings that tell where the server is.
    ///
    /// # Errors
    /// Every problem found.
    pub fn new(
        flags: &[(&'static str, String)],
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Healthcheck, Problems> {
        let mut reader = Reader::new(flags, env);
        let healthcheck = Healthcheck {
            host: reader.host("localhost"),
            port: reader.port(),
            wanted: reader.get(&HEALTHCHECK_URL).map(|(_, wanted)| wanted),
            timeout: reader.seconds(&HEALTHCHECK_TIMEOUT, probe::DEFAULT_TIMEOUT.as_secs()),
        };
        if reader.problems.is_empty() { Ok(healthcheck) } else { Err(Problems(reader.problems)) }
    }
}

struct Reader<'a, 'f> {
    flags: &'a [(&'static str, String)],
    env: &'a dyn Fn(&str) -> Option<String>,
    /// The provider whose settings are being read.
    entry: Option<Entry<'f>>,
    problems: Vec<String>,
}

impl<'a, 'f> Reader<'a, 'f> {
    fn new(
        flags: &'a [(&'static str, String)],
        env: &'a dyn Fn(&str) -> Option<String>,
    ) -> Reader<'a, 'f> {
        Reader { flags, env, entry: None, problems: Vec::new() }
    }

    /// The value of a setting and the name it was set by. An empty variable counts as not set.
    fn get(&self, setting: &Setting) -> Option<(String, String)> {
        let flag = self.flags.iter().rev().find(|(flag, _)| *flag == setting.flag);
        let has_flag = self.entry.as_ref().is_none_or(|entry| entry.is_first);
        if let Some((flag, value)) = flag.filter(|_| has_flag) {
            return Some((format!("--{flag}"), value.clone()));
        }
        let set = |name: String| self.variable(&name).map(|value| (name, value));
        let own = setting
            .variables
            .iter()
            .find_map(|name| set(self.entry.as_ref()?.variable(name.strip_prefix("<P>_")?)));
        let of_file = || {
            let (i, file) = self.entry.as_ref()?.file?;
            let place = format!("providers.{i}.{}", setting.flag.replace('-', "_"));
            Some((place, file.field(setting.flag)?))
        };
        let general = || {
            let mut names = setting.variables.iter().filter(|name| !name.starts_with("<P>_"));
            names.find_map(|name| set((*name).to_owned()))
        };
        // What is said of one provider comes before what is said of all.
        own.or_else(of_file).or_else(general)
    }

    fn variable(&self, name: &str) -> Option<String> {
        (self.env)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    fn problem(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }

    fn host(&mut self, default: &str) -> Host {
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

    fn port(&mut self) -> u16 {
        let port = self.number(&PORT, 3456, 0, u64::from(u16::MAX), "a port number");
        u16::try_from(port).expect("number() keeps the range")
    }

    fn number(&mut self, setting: &Setting, default: u64, min: u64, max: u64, what: &str) -> u64 {
        let Some((name, value)) = self.get(setting) else { return default };
        match value.parse() {
            Ok(number) if (min..=max).contains(&number) => number,
            _ => {
                let range =
                    if max == u64::MAX { format!("from {min}") } else { format!("{min}-{max}") };
                self.problem(format!("{name}: {value:?} is not {what} ({range})"));
                default
            }
        }
    }

    /// A number of messages that may be left open.
    fn optional(&mut self, setting: &Setting, max: u64) -> Option<u64> {
        self.get(setting)?;
        Some(self.number(setting, max, 1, max, "a number of messages"))
    }

    fn networks(&mut self, setting: &Setting) -> Vec<Network> {
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

    /// A time that may be zero, which is its default.
    fn seconds_or_none(&mut self, setting: &Setting) -> Duration {
        match self.get(setting) {
            Some((_, value)) if value.trim_end_matches('s') == "0" => Duration::ZERO,
            Some(_) => self.seconds(setting, 1),
            None => Duration::ZERO,
        }
    }

    fn seconds(&mut self, setting: &Setting, default: u64) -> Duration {
        let fallback = Duration::from_secs(default);
        let Some((name, value)) = self.get(setting) else { return fallback };
        // "60s" is how the variables were documented before.
        match value.strip_suffix('s').unwrap_or(&value).parse::<f64>() {
            Ok(seconds) if seconds > 0.0 && seconds <= 86_400.0 => Duration::from_secs_f64(seconds),
            _ => {
                self.problem(format!("{name}: {value:?} is not a number of seconds (up to 86400)"));
                fallback
            }
        }
    }

    fn switch(&mut self, setting: &Setting, default: bool) -> bool {
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
    fn list(&self, setting: &Setting) -> Option<(String, Vec<String>)> {
        let (name, value) = self.get(setting)?;
        let items = value.split(',').map(str::trim).filter(|item| !item.is_empty());
        Some((name, items.map(str::to_owned).collect()))
    }

    /// The keys that clients must send, which may have every character that a header can carry.
    fn client_keys(&mut self) -> Vec<Secret> {
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
    fn origins(&mut self) -> Vec<String> {
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

    fn log_level(&mut self) -> log::LevelFilter {
        let Some((name, value)) = self.get(&LOG_LEVEL) else { return log::LevelFilter::Info };
        value.parse().unwrap_or_else(|_| {
            self.problem(format!(
                "{name}: {value:?} is not a level; use off, error, warn, info or debug"
            ));
            log::LevelFilter::Info
        })
    }

    fn provider_probe(&mut self) -> ProviderProbe {
        let Some((name, value)) = self.get(&PROVIDER_PROBE) else { return ProviderProbe::Off };
        match &*value.to_ascii_lowercase() {
            "off" => ProviderProbe::Off,
            "connect" => ProviderProbe::Connect,
            "models" => ProviderProbe::Models,
            _ => {
                self.problem(format!(
                    "{name}: {value:?} is not a probe; use off, connect or models"
                ));
                ProviderProbe::Off
            }
        }
    }

    fn log_format(&mut self) -> Option<LogFormat> {
        let (name, value) = self.get(&LOG_FORMAT)?;
        match &*value.to_ascii_lowercase() {
            "text" => Some(LogFormat::Text),
            "json" => Some(LogFormat::Json),
            _ => {
                self.problem(format!("{name}: {value:?} is not a format; use text or json"));
                None
            }
        }
    }
}
