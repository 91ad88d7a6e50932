//! The settings of a provider.

use std::time::Duration;

use super::entry::{Entry, key_variables, variable};
use super::http_proxy::{self, HttpProxy};
use super::reader::Reader;
use super::settings::*;
use super::source::Source;
use super::{ClientCertificate, Secret, base_url, environment};
use crate::network::Network;
use crate::openai::Dialect;
use crate::provider::{Auth, Images, Key, PROVIDERS, Provider};

/// A provider that is configured.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the names of its fields say it")]
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
    pub images: Images,
    /// Whether calls that the model wrote as text are calls.
    pub text_tools: bool,
    /// `None` leaves it to the model's name.
    pub api: Option<Dialect>,
    /// The header that carries the key.
    pub auth: Auth,
    /// Where the key is, that ends and is made anew, in the place of `keys`.
    pub token: Option<Token>,
    pub native: Native,
    /// Where its Messages API is, without `/v1/messages`, if it has one.
    pub native_url: Option<String>,
    pub first_byte_timeout: Duration,
    pub client_certificate: Option<ClientCertificate>,
    /// Further headers, whose values may be keys.
    pub headers: Vec<(String, Secret)>,
    /// The HTTP proxy to reach `base_url` through, and `native_url`, which may be another host.
    pub http_proxy: Option<HttpProxy>,
    pub native_http_proxy: Option<HttpProxy>,
}

/// Where a key comes from that ends within the hour.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the names of its fields say it")]
pub struct Token {
    pub from: TokenSource,
    /// The setting that says so, for people.
    pub name: String,
}

/// What is asked for a token.
#[derive(Debug, Clone)]
pub enum TokenSource {
    /// A file, which somebody writes anew before it ends.
    File(String),
    /// A program with its arguments, which prints it.
    Command(Vec<String>),
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
#[expect(missing_docs, reason = "the names of its variants say it")]
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

    /// The most output tokens to ask `model` for; 0 for no limit.
    pub fn max_tokens_for(&self, model: &str) -> u64 {
        self.max_tokens.unwrap_or_else(|| self.row.max_tokens_of(model))
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

/// Texts that stand where a key was to be.
fn is_placeholder(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["your-", "your_", "<", "…", "..."].iter().any(|begin| key.starts_with(begin))
}

/// Whether an address can only be reached over networks that others see.
fn is_public(base_url: &str) -> bool {
    const PRIVATE: &[&str] = &[
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "::1",
        "fc00::/7",
        "fe80::/10",
    ];
    const INSIDE: &[&str] =
        &["localhost", "local", "internal", "lan", "home", "arpa", "svc", "test", "invalid"];
    let host = http_proxy::host_of(base_url.split_once("://").map_or("", |(_, rest)| rest));
    match host.parse() {
        Ok(address) => {
            !PRIVATE.iter().filter_map(|text| Network::parse(text)).any(|n| n.contains(address))
        }
        // A name without a dot is one of the local network, or of Docker's.
        Err(_) => host
            .trim_end_matches('.')
            .rsplit_once('.')
            .is_some_and(|(_, last)| !INSIDE.contains(&&*last.to_ascii_lowercase())),
    }
}

impl<'f> Reader<'_, 'f> {
    /// Reads the settings of a provider.
    pub(super) fn provider(&mut self, entry: Entry<'f>) -> ProviderConfig {
        self.entry = Some(entry.clone());
        let row = entry.row;
        let base_url = self.base_url(&entry);
        let token = self.token();
        let has_token = token.is_some();
        let native = self.native(row.speaks_chat);
        let native_url = self.native_url(&entry, &base_url, native);
        let native_http_proxy = native_url.as_deref().and_then(|url| self.http_proxy(url));
        let config = ProviderConfig {
            auth: self.auth(row),
            token,
            keys: self.keys(&entry, has_token),
            model: self.model(&entry),
            max_tokens: self
                .get(&MAX_TOKENS)
                .map(|_| self.number(&MAX_TOKENS, 0, 0, u64::MAX, "a number of tokens")),
            images: match self.get(&IMAGES) {
                Some(_) => Images::all(self.switch(&IMAGES, row.images)),
                None => row.shown_images(),
            },
            text_tools: self.switch(&TEXT_TOOLS, row.text_tools),
            api: self.api(row),
            native,
            native_url,
            first_byte_timeout: self.seconds(&TIMEOUT),
            client_certificate: self.client_certificate(),
            headers: self.headers(&entry),
            http_proxy: self.http_proxy(&base_url).inspect(|proxy| {
                self.note(&HTTP_PROXY, "", self.source(proxy.variable.to_owned()));
            }),
            native_http_proxy,
            name: entry.name,
            row,
            base_url,
        };
        self.look_at_keys(&config);
        self.entry = None;
        config
    }

    fn keys(&mut self, entry: &Entry<'_>, has_token: bool) -> Vec<Secret> {
        let variables = key_variables(&entry.name, entry.row);
        let before = self.problems.len();
        let found = variables.iter().find_map(|name| Some((name, self.variable(name)?)));
        let listed: Vec<(String, String)> = match (found, entry.file) {
            (Some((name, value)), _) => {
                self.note(&API_KEY, "", self.source(name.clone()));
                vec![(self.env.label(name), value)]
            }
            (None, Some((i, file))) => {
                let path = format!("providers.{i}.api_key");
                let place = self.place(&path);
                if file.api_key.is_some() {
                    self.note(&API_KEY, "", self.file_source(path));
                }
                let keys = file.api_key.iter().flat_map(|keys| keys.all());
                let keys: Vec<_> = keys.filter_map(|key| self.expand(&place, key)).collect();
                keys.into_iter().map(|key| (place.clone(), key)).collect()
            }
            (None, None) => Vec::new(),
        };
        let mut secrets = Vec::new();
        for (name, value) in &listed {
            for key in value.split(',').map(str::trim).filter(|key| !key.is_empty()) {
                let fault = if !key.bytes().all(|b| b.is_ascii_graphic()) && !is_placeholder(key) {
                    "a key is visible ASCII without spaces; this one is not"
                } else if key.starts_with('$') {
                    "it begins with $: a variable was to stand there, and nothing has put it in"
                } else if key.starts_with(['"', '\'']) {
                    "it begins with a quote, which is no part of a key (docker --env-file keeps quotes)"
                } else if is_placeholder(key) {
                    "it only stands for a key; put your own there"
                } else {
                    secrets.push(Secret::new(key));
                    continue;
                };
                self.problem(format!("{name}: {fault}"));
            }
        }
        // What is wrong has been told, or will be.
        if self.problems.len() > before || variables.iter().any(|name| self.env.is_unread(name)) {
            return Vec::new();
        }
        match (secrets.is_empty(), has_token) {
            (true, false) if entry.row.key == Key::Required => self.problem(format!(
                "{} is not set: provider {} needs a key",
                variables.join(" or "),
                entry.name
            )),
            (false, true) => self.problem(format!(
                "{} and {} or {} are both set; use one",
                variables.join(" or "),
                entry.variable("TOKEN_FILE"),
                entry.variable("TOKEN_COMMAND")
            )),
            _ => {}
        }
        secrets
    }

    /// Warns of keys that are another service's, and of those that everybody on the way can read.
    fn look_at_keys(&mut self, config: &ProviderConfig) {
        let begins = |row: &Provider, key: &Secret| {
            row.key_prefixes.iter().any(|prefix| key.expose().starts_with(prefix))
        };
        let is_own_address = !config.base_url.is_empty() && config.base_url == config.row.base_url;
        for key in config.keys.iter().filter(|key| is_own_address && !begins(config.row, key)) {
            if let Some(other) = PROVIDERS.iter().find(|row| begins(row, key)) {
                self.warn(format!(
                    "{} begins like a key of {}, and goes to {}",
                    config.key_variables(),
                    other.name,
                    config.base_url
                ));
            }
        }
        let sends_secrets =
            !config.keys.is_empty() || config.token.is_some() || !config.headers.is_empty();
        let clear = [Some(&config.base_url), config.native_url.as_ref()];
        let clear =
            clear.into_iter().flatten().find(|url| url.starts_with("http://") && is_public(url));
        if let Some(url) = clear.filter(|_| sends_secrets) {
            self.warn(format!(
                "the key and the messages of {} go over the network in clear text: {url} is http://",
                config.name
            ));
        }
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
        let choices = [("auto", Native::Auto), ("on", Native::On), ("off", Native::Off)];
        let native = self.choice(&NATIVE, "a choice", &choices).unwrap_or(Native::Auto);
        if native == Native::Off && !speaks_chat {
            let name = self.get(&NATIVE).map_or_else(String::new, |(name, _)| name);
            self.problem(format!("{name}: its Messages API is all that this provider has"));
        }
        native
    }

    /// Where the provider's Messages API is. With another base URL the row's is another host's,
    /// unless it is the same server's.
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
            Some(path) if !path.contains("://") => {
                Some(format!("{}{path}", base_url::without_version(base)))
            }
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

    fn auth(&mut self, row: &Provider) -> Auth {
        let choices =
            [("bearer", Auth::Bearer), ("api-key", Auth::ApiKey), ("x-api-key", Auth::XApiKey)];
        self.choice(&AUTH, "a way to send a key", &choices).unwrap_or(row.auth)
    }

    fn token(&mut self) -> Option<Token> {
        let file = self.get(&TOKEN_FILE);
        let Some((name, command)) = self.get(&TOKEN_COMMAND) else {
            return file.map(|(name, path)| Token { from: TokenSource::File(path), name });
        };
        // Whoever starts ccproxy in a directory of somebody else's starts nothing more.
        let by = self.find(&TOKEN_COMMAND).map(|(_, source)| source);
        if matches!(by, Some(Source::Variable { line: Some(_), .. })) {
            self.problem(format!("{name}: a .env names no program that is run; set it otherwise"));
        }
        if let Some((other, _)) = file {
            self.problem(format!("{other} and {name} are both set; use one"));
        }
        // What only a shell can read would be passed on as it stands, and fail in its own words.
        if let Some(mark) = command.chars().find(|c| "|&;<>$`'\"\\*?()".contains(*c)) {
            self.problem(format!(
                "{name}: {mark} needs a shell, and the command is run without one: a program and \
                 its arguments, parted by blanks; put more into a script of your own"
            ));
        }
        let words = command.split_whitespace().map(str::to_owned).collect();
        Some(Token { from: TokenSource::Command(words), name })
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
                headers.push((self.env.label(variable), (*header).to_owned(), value));
            }
        }
        if let Some((i, file)) = entry.file {
            for (header, value) in &file.headers {
                let place = self.place(&format!("providers.{i}.headers.{header}"));
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
        let env = self.env;
        http_proxy::choose(url, &|name| env.get(name)).unwrap_or_else(|problem| {
            // It begins with the variable's name.
            let problem = match problem.split_once(':') {
                Some((name, reason)) => format!("{}:{reason}", env.label(name)),
                None => problem,
            };
            // The same variable leads to both addresses of a provider, and to other providers.
            if !self.problems.contains(&problem) {
                self.problem(problem);
            }
            None
        })
    }

    /// A text of the file, the variable that it names, `$NAME` or `${NAME}`, or what is in the file
    /// that it names, `$file:PATH`.
    fn expand(&mut self, place: &str, value: &str) -> Option<String> {
        if let Some(path) = value.strip_prefix("$file:") {
            return environment::read(path).map_err(|e| self.problem(format!("{place}: {e}"))).ok();
        }
        let Some(name) = value.strip_prefix('$') else { return Some(value.to_owned()) };
        let name = name.strip_prefix('{').and_then(|n| n.strip_suffix('}')).unwrap_or(name);
        let found = self.variable(name);
        self.named.insert(name.to_owned());
        if found.is_none() {
            // Anything else may be a key.
            let is_name = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
            let shown = if name.bytes().all(is_name) { name } else { "the variable it names" };
            self.problem(format!("{place}: {shown} is not set"));
        }
        found
    }
}
