//! Configuration: one table of settings, from flags, the environment and `.env`.
//!
//! The environment is a function argument, so that a test is a table of names and values. All
//! problems are told at once, each with what to set.

mod base_url;
mod network;
mod settings;

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use crate::http_proxy;
use crate::probe;
use crate::provider::{Key, PROVIDERS, Provider};
pub use network::Network;
use settings::*;
pub use settings::{SETTINGS, Setting};

/// Everything the server needs to know, checked.
#[derive(Debug)]
pub struct Config {
    pub provider: &'static Provider,
    /// With its version and without a slash at the end; empty for the embedded provider.
    pub base_url: String,
    pub api_key: Option<Secret>,
    pub model: String,
    /// The most output tokens to ask for; 0 for no limit.
    pub max_tokens: u64,
    pub images: bool,
    /// Further headers for the provider.
    pub headers: Vec<(&'static str, String)>,
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
    pub timeouts: Timeouts,
    pub drain_delay: Duration,
    pub shutdown_timeout: Duration,
    pub provider_probe: ProviderProbe,
    pub certificates: Option<String>,
    /// URL of the HTTP proxy to reach the provider through.
    pub http_proxy: Option<Secret>,
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

/// A key, or a URL that may hold one. It prints as `[redacted]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Compares in a time that does not depend on where the two differ.
    pub fn matches(&self, candidate: &str) -> bool {
        let (a, b) = (self.0.as_bytes(), candidate.as_bytes());
        a.len() == b.len() && a.iter().zip(b).fold(0, |acc, (x, y)| acc | (x ^ y)) == 0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
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
        let max_tokens = match self.max_tokens {
            0 => "what the client asks for".to_owned(),
            n => n.to_string(),
        };
        writeln!(f, "provider      {}", self.provider.name)?;
        writeln!(f, "base URL      {}", self.shown_base_url())?;
        writeln!(f, "key           {}", set(self.api_key.is_some()))?;
        writeln!(f, "model         {}", self.model)?;
        writeln!(f, "max tokens    {max_tokens}")?;
        writeln!(f, "images        {}", if self.images { "on" } else { "off" })?;
        match self.host {
            Host::Localhost => writeln!(f, "listens on    localhost, port {}", self.port)?,
            Host::Address(address) => writeln!(f, "listens on    {address}, port {}", self.port)?,
        }
        writeln!(f, "client keys   {}", self.client_keys.len())?;
        writeln!(f, "HTTP proxy    {}", set(self.http_proxy.is_some()))?;
        writeln!(f, "The configuration is valid.")
    }
}

impl Config {
    /// Reads the settings: `flags` by name without dashes first, then `env`.
    ///
    /// `default_host` is for who sets none: in a container nobody reaches a loopback.
    ///
    /// # Errors
    /// Every problem found.
    pub fn new(
        flags: &[(&'static str, String)],
        env: &dyn Fn(&str) -> Option<String>,
        default_host: &str,
    ) -> Result<Config, Problems> {
        let mut reader = Reader { flags, env, provider: None, problems: Vec::new() };
        reader.provider = reader.choose_provider();
        // Without a provider the other settings are still checked.
        let provider = reader.provider.unwrap_or(&PROVIDERS[0]);

        let host = reader.host(default_host);
        let port = reader.port();
        let config = Config {
            provider,
            base_url: reader.base_url(provider),
            api_key: reader.api_key(provider),
            model: reader.model(provider),
            max_tokens: reader.number(
                &MAX_TOKENS,
                provider.max_tokens,
                0,
                u64::MAX,
                "a number of tokens",
            ),
            images: reader.switch(&IMAGES, provider.images),
            headers: reader.headers(provider),
            host,
            port,
            client_keys: reader.list(&CLIENT_KEYS).into_iter().map(Secret).collect(),
            cors_allowed_origins: reader.list(&CORS_ALLOWED_ORIGINS),
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
            timeouts: Timeouts {
                connect: reader.seconds(&CONNECT_TIMEOUT, 5),
                first_byte: reader.seconds(&TIMEOUT, 300),
                idle: reader.seconds(&IDLE_TIMEOUT, 120),
            },
            drain_delay: reader.seconds_or_none(&DRAIN_DELAY),
            shutdown_timeout: reader.seconds(&SHUTDOWN_TIMEOUT, 8),
            provider_probe: reader.provider_probe(),
            certificates: reader.get(&CERTIFICATES).map(|(_, value)| value),
            http_proxy: None,
        };
        let http_proxy = reader.http_proxy(&config.base_url);
        if reader.problems.is_empty() {
            Ok(Config { http_proxy, ..config })
        } else {
            Err(Problems(reader.problems))
        }
    }

    /// The URL of the provider without what a bystander must not see.
    pub fn shown_base_url(&self) -> &str {
        if self.provider.key == Key::Embedded { "embedded" } else { &self.base_url }
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
        let mut reader = Reader { flags, env, provider: None, problems: Vec::new() };
        let healthcheck = Healthcheck {
            host: reader.host("localhost"),
            port: reader.port(),
            wanted: reader.get(&HEALTHCHECK_URL).map(|(_, wanted)| wanted),
            timeout: reader.seconds(&HEALTHCHECK_TIMEOUT, probe::DEFAULT_TIMEOUT.as_secs()),
        };
        if reader.problems.is_empty() { Ok(healthcheck) } else { Err(Problems(reader.problems)) }
    }
}

struct Reader<'a> {
    flags: &'a [(&'static str, String)],
    env: &'a dyn Fn(&str) -> Option<String>,
    provider: Option<&'static Provider>,
    problems: Vec<String>,
}

impl Reader<'_> {
    /// The value of a setting and the name it was set by. An empty variable counts as not set.
    fn get(&self, setting: &Setting) -> Option<(String, String)> {
        let flag = self.flags.iter().rev().find(|(flag, _)| *flag == setting.flag);
        if let Some((flag, value)) = flag {
            return Some((format!("--{flag}"), value.clone()));
        }
        let names = setting.variables.iter().filter_map(|name| match name.strip_prefix("<P>_") {
            Some(suffix) => self.provider.map(|provider| provider.variable(suffix)),
            None => Some((*name).to_owned()),
        });
        names.into_iter().find_map(|name| self.variable(&name).map(|value| (name, value)))
    }

    fn variable(&self, name: &str) -> Option<String> {
        (self.env)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    fn problem(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }

    fn choose_provider(&mut self) -> Option<&'static Provider> {
        let names: Vec<&str> = PROVIDERS.iter().map(|provider| provider.name).collect();
        let names = names.join(", ");
        if let Some((name, value)) = self.get(&PROVIDER) {
            let found = Provider::find(&value.to_ascii_lowercase());
            if found.is_none() {
                self.problem(format!("{name}: {value:?} is not a provider; use one of {names}"));
            }
            return found;
        }
        let with_key: Vec<&'static Provider> = PROVIDERS
            .iter()
            .filter(|provider| {
                provider.key_vars.iter().any(|name| self.variable(name).is_some())
                    || self.variable(&provider.variable("BASE_URL")).is_some()
            })
            .collect();
        match &with_key[..] {
            [] => self.problem(format!(
                "no provider: set PROVIDER (or --provider) to one of {names}; \
                 or only a provider's key, such as GROQ_API_KEY; \
                 `--provider echo` needs no key and answers from inside ccproxy"
            )),
            [provider] => return Some(provider),
            several => {
                let names: Vec<&str> = several.iter().map(|provider| provider.name).collect();
                self.problem(format!(
                    "more than one provider is configured ({}): set PROVIDER to the one to use",
                    names.join(", ")
                ));
            }
        }
        None
    }

    fn api_key(&mut self, provider: &Provider) -> Option<Secret> {
        let found = provider.key_vars.iter().find_map(|name| Some((name, self.variable(name)?)));
        match found {
            Some((name, key)) if !key.bytes().all(|b| b.is_ascii_graphic()) => {
                self.problem(format!(
                    "{name}: a key is visible ASCII without spaces; this one is not"
                ));
                None
            }
            Some((_, key)) => Some(Secret(key)),
            None => {
                if provider.key == Key::Required && self.provider.is_some() {
                    self.problem(format!(
                        "{} is not set: provider {} needs a key",
                        provider.key_vars.join(" or "),
                        provider.name
                    ));
                }
                None
            }
        }
    }

    fn base_url(&mut self, provider: &Provider) -> String {
        if provider.key == Key::Embedded {
            return String::new();
        }
        let Some((name, value)) = self.get(&BASE_URL) else {
            if provider.base_url.is_empty() {
                self.problem(format!(
                    "{} is not set: provider {} is at the address you name, such as http://localhost:8000/v1",
                    provider.variable("BASE_URL"),
                    provider.name
                ));
            }
            return provider.base_url.to_owned();
        };
        base_url::normalise(&value, provider).unwrap_or_else(|problem| {
            self.problem(format!("{name}: {problem}"));
            String::new()
        })
    }

    fn model(&mut self, provider: &Provider) -> String {
        match self.get(&MODEL) {
            Some((_, model)) => model,
            None => {
                if provider.model.is_empty() {
                    self.problem(format!(
                        "{} is not set: it names the model that answers for Claude's",
                        provider.variable("MODEL")
                    ));
                }
                provider.model.to_owned()
            }
        }
    }

    fn headers(&mut self, provider: &Provider) -> Vec<(&'static str, String)> {
        let mut headers = Vec::new();
        for (header, variable) in provider.headers {
            match self.variable(variable) {
                Some(value) if value.bytes().all(|b| (b' '..=b'~').contains(&b)) => {
                    headers.push((*header, value));
                }
                Some(_) => self.problem(format!(
                    "{variable}: it is sent as a header, so it must be visible ASCII"
                )),
                None => {}
            }
        }
        headers
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

    fn list(&self, setting: &Setting) -> Vec<String> {
        let value = self.get(setting).map(|(_, value)| value).unwrap_or_default();
        let items = value.split(',').map(|item| item.trim().trim_end_matches('/'));
        items.filter(|item| !item.is_empty()).map(str::to_owned).collect()
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

    fn http_proxy(&mut self, base_url: &str) -> Option<Secret> {
        http_proxy::choose(base_url, self.env).map(|proxy| proxy.map(Secret)).unwrap_or_else(
            |problem| {
                self.problem(problem);
                None
            },
        )
    }
}
