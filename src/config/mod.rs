//! Configuration: one table of settings, from flags, the environment and `.env`, and a file for
//! what does not fit a variable.
//!
//! The environment is an argument, so that a test is a table of names and values. All problems are
//! told at once, each with what to set, and with the line of the file that a wrong value comes
//! from.

mod base_url;
mod chosen;
mod entry;
mod environment;
mod file;
mod hosts;
pub mod http_proxy;
mod provider;
mod reader;
mod routes;
mod secret;
mod settings;
mod shown;
mod source;
mod trust;
mod unknown;
mod value;
mod watched;

use std::fmt;
use std::time::Duration;

use crate::network::{Host, Network};
use crate::route::Routes;
pub use environment::Environment;
pub(crate) use environment::read as read_setting;
use file::File;
pub use hosts::is_own as is_own_host;
pub use provider::{Native, ProviderConfig, Token, TokenSource};
use reader::Reader;
pub use secret::Secret;
use settings::*;
pub use settings::{Group, SETTINGS, Setting};

pub use shown::Shown;
pub use source::Source;
pub use trust::{Authorities, ClientCertificate, Named};
pub use unknown::is_setting;
pub use watched::Watched;

/// Where to listen by default in a container.
pub const IN_CONTAINER: &str = "::";
/// Where to listen by default elsewhere.
pub const ON_A_MACHINE: &str = "localhost";

/// Everything the server needs to know, checked.
#[derive(Debug)]
#[expect(missing_docs, reason = "the names of its fields say it")]
pub struct Config {
    /// One at least. Routes refer to them by their places.
    pub providers: Vec<ProviderConfig>,
    pub routes: Routes,
    pub host: Host,
    pub port: u16,
    pub client_keys: Vec<Secret>,
    /// A reload may leave no client keys.
    pub is_open: bool,
    /// Names that the `Host` may have beside the loopback's, in lower case.
    pub allowed_hosts: Vec<String>,
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
    /// Their connections begin with a header of the PROXY protocol.
    pub proxy_protocol: bool,
    pub body_limit_bytes: usize,
    pub connect_timeout: Duration,
    pub idle_timeout: Duration,
    /// How long a client's connection is kept between two requests.
    pub keepalive_timeout: Duration,
    /// How long a provider that failed too often in a row is left alone at first.
    pub breaker_pause: Duration,
    /// How long a message waits in all for a limit of its providers to pass.
    pub rate_limit_wait: Duration,
    /// This machine is a container, whose loopback nobody else reaches.
    pub in_container: bool,
    pub drain_delay: Duration,
    pub shutdown_timeout: Duration,
    pub provider_probe: ProviderProbe,
    pub authorities: Authorities,
    /// What is to be told of `.env`.
    pub dotenv: Option<String>,
    /// What should be looked at, though it is no reason not to start.
    pub warnings: Vec<String>,
    /// What was set, and where.
    given: Vec<source::Given>,
}

/// How long the phases of an upstream call may take. There is no limit for the whole.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the names of its fields say it")]
pub struct Timeouts {
    pub connect: Duration,
    /// From the end of the request to the first byte of the answer's body.
    pub first_byte: Duration,
    /// Between two reads of the body, and for a write that makes no progress.
    pub idle: Duration,
}

/// Whether the provider is asked for without a message, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of its variants say it")]
pub enum ProviderProbe {
    Off,
    /// A connection, with TLS where there is some; nothing is sent on it.
    Connect,
    /// The list of models, with the key.
    Models,
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of its variants say it")]
pub enum LogFormat {
    Text,
    Json,
}

/// What is wrong with the configuration, one sentence each.
#[derive(Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<String>);

impl Problems {
    /// `{"valid":false,"problems":[…]}`
    pub fn to_json(&self) -> String {
        format!("{:#}\n", serde_json::json!({ "valid": false, "problems": self.0 }))
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.0 {
            writeln!(f, "ccproxy: {problem}")?;
        }
        f.write_str("ccproxy: --help lists every setting")
    }
}

impl Config {
    /// Where the configuration file is, if there is one, and what says so.
    pub fn file(flags: &[(&'static str, String)], env: &Environment) -> Option<(String, String)> {
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
        env: &Environment,
        default_host: &str,
        file: Option<(&str, &str)>,
    ) -> Result<Config, Problems> {
        let (path, text) = file.unzip();
        let file = text.map(File::parse).transpose().map_err(|problem| {
            Problems(vec![format!("{}: {problem}", path.unwrap_or_default())])
        })?;
        let file = file.unwrap_or_default();
        let mut reader = Reader::new(flags, env);
        reader.file = path.map(|path| (path, &file));
        reader.problems.extend(
            file.problems.iter().map(|problem| format!("{}: {problem}", path.unwrap_or_default())),
        );
        let (entries, by_default) = reader.entries(&file.providers);
        // Without a provider the other settings are still checked.
        let providers: Vec<_> = entries.into_iter().map(|entry| reader.provider(entry)).collect();
        let routes = reader.routes(&file, &providers, by_default);
        if providers.is_empty() && reader.problems.is_empty() {
            reader.problem("no provider is left: PROVIDER and the file name none");
        }

        reader.repeated_flags();
        reader.unknown_variables(&providers);
        let host = reader.host(default_host);
        let port = reader.port();
        let (trusted_proxies, proxy_protocol) = reader.proxies();
        // Those of the probe are the probe's to read; here they are only checked.
        reader.seconds(&HEALTHCHECK_TIMEOUT);
        reader.get(&HEALTHCHECK_URL);
        reader.get(&CONFIG);
        let mut config = Config {
            providers,
            routes,
            host,
            port,
            client_keys: reader.client_keys(),
            is_open: reader.switch(&OPEN, false),
            allowed_hosts: reader.hosts(),
            cors_allowed_origins: reader.origins(),
            log_level: reader.log_level(),
            log_format: reader.log_format(),
            max_in_flight: reader.optional(&MAX_IN_FLIGHT, 100_000).map(|n| n as usize),
            rate_limit: reader.optional(&RATE_LIMIT, 1_000_000),
            trusted_proxies,
            proxy_protocol,
            body_limit_bytes: reader.bytes(&BODY_LIMIT, 1024, 1 << 30),
            connect_timeout: reader.seconds(&CONNECT_TIMEOUT),
            idle_timeout: reader.seconds(&IDLE_TIMEOUT),
            keepalive_timeout: reader.seconds(&KEEPALIVE_TIMEOUT),
            in_container: default_host == IN_CONTAINER,
            breaker_pause: reader.seconds(&BREAKER_PAUSE),
            rate_limit_wait: reader.rate_limit_wait(),
            drain_delay: reader.seconds_or_none(&DRAIN_DELAY),
            shutdown_timeout: reader.seconds(&SHUTDOWN_TIMEOUT),
            provider_probe: reader.provider_probe(),
            authorities: reader.authorities(),
            dotenv: env.announcement(),
            warnings: Vec::new(),
            given: Vec::new(),
        };
        let problems = [env.faults(), reader.problems].concat();
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        config.warnings = reader.warnings;
        config.given = reader.given.into_inner();
        Ok(config)
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
#[expect(missing_docs, reason = "the names of its fields say it")]
pub struct Healthcheck {
    pub host: Host,
    pub port: u16,
    pub wanted: Option<String>,
    pub timeout: Duration,
    /// Who has to say first whom it speaks for, by the PROXY protocol.
    pub announced: Vec<Network>,
}

impl Healthcheck {
    /// Reads the settings that tell where the server is.
    ///
    /// # Errors
    /// Every problem found.
    pub fn new(
        flags: &[(&'static str, String)],
        env: &Environment,
    ) -> Result<Healthcheck, Problems> {
        let mut reader = Reader::new(flags, env);
        let (trusted_proxies, proxy_protocol) = reader.proxies();
        let healthcheck = Healthcheck {
            host: reader.host("localhost"),
            port: reader.port(),
            wanted: reader.get(&HEALTHCHECK_URL).map(|(_, wanted)| wanted),
            timeout: reader.seconds(&HEALTHCHECK_TIMEOUT),
            announced: if proxy_protocol { trusted_proxies } else { Vec::new() },
        };
        let problems = [env.faults(), reader.problems].concat();
        if problems.is_empty() { Ok(healthcheck) } else { Err(Problems(problems)) }
    }
}
