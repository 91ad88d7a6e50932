//! The configuration for people and for programs: every setting as it holds, with where it is from
//! and without secrets.

use std::fmt;

use serde::Serialize;

use super::Config;
use super::provider::{Native, ProviderConfig, TokenSource};
use super::settings::*;
use super::source::{Given, Source};
use super::watched::LIVE;
use crate::network::Host;
use crate::openai::Dialect;
use crate::provider::Auth;
use crate::route::Hop;

/// A setting as it holds.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the names of its fields say it")]
pub struct Shown {
    pub provider: Option<String>,
    /// What people call it.
    pub name: &'static str,
    /// `GROQ_MODEL`, or where there are several variables the first.
    pub variable: String,
    pub value: String,
    pub source: Source,
}

impl Config {
    /// Where a setting is from; `provider` is the one whose setting it is.
    pub fn source(&self, setting: &Setting, provider: Option<&str>) -> Source {
        let given = self.given(setting, provider);
        given.map_or(Source::Default, |given| given.source.clone())
    }

    /// Where the level of the log is from.
    pub fn log_level_source(&self) -> Source {
        self.source(&LOG_LEVEL, None)
    }

    fn given(&self, setting: &Setting, provider: Option<&str>) -> Option<&Given> {
        self.given.iter().find(|given| {
            given.setting == setting.variables[0] && given.provider.as_deref() == provider
        })
    }

    /// The settings that a reload takes over, named and shown as all of them are.
    pub fn live(&self) -> Vec<Shown> {
        let is_live = |shown: &Shown| LIVE.iter().any(|names| names.contains(&&*shown.variable));
        self.settings().into_iter().filter(is_live).collect()
    }

    /// Every setting: those of each provider, then those of the server.
    pub fn settings(&self) -> Vec<Shown> {
        let mut all = Vec::new();
        for provider in &self.providers {
            self.settings_of(provider, &mut all);
        }
        for setting in SETTINGS.iter().filter(|setting| !setting.is_providers()) {
            if setting.variables[0] == PROVIDER.variables[0] {
                continue;
            }
            let source = self.source(setting, None);
            let given = self.given(setting, None).map(|given| given.value.clone());
            let value = match setting.variables {
                names if names == HOST.variables => match self.host {
                    Host::Localhost => "localhost".to_owned(),
                    Host::Address(address) => address.to_string(),
                },
                names if names == PORT.variables => self.port.to_string(),
                names if names == CLIENT_KEYS.variables => match self.client_keys.len() {
                    0 => "not set".to_owned(),
                    1 => "set".to_owned(),
                    several => format!("{several} set"),
                },
                _ if setting.default.is_empty() => given.unwrap_or_else(|| "not set".to_owned()),
                _ => given.unwrap_or_else(|| setting.default.to_owned()),
            };
            let name = if setting.flag.is_empty() { setting.variables[0] } else { setting.flag };
            let variable = setting.variables[0].to_owned();
            all.push(Shown { provider: None, name, variable, value, source });
        }
        all
    }

    fn settings_of(&self, provider: &ProviderConfig, all: &mut Vec<Shown>) {
        let mut push = |name: &'static str, setting: &Setting, value: String| {
            let variable = setting.variables[0];
            all.push(Shown {
                provider: Some(provider.name.clone()),
                name,
                variable: match variable.strip_prefix("<P>_") {
                    Some(suffix) => provider.variable(suffix),
                    None => variable.to_owned(),
                },
                value,
                source: match setting.is_providers() {
                    true => self.source(setting, Some(&provider.name)),
                    false => self.source(setting, None),
                },
            });
        };
        let on = |on: bool| if on { "on" } else { "off" }.to_owned();
        push("provider", &PROVIDER, provider.name.clone());
        push("base URL", &BASE_URL, provider.shown_base_url().to_owned());
        match provider.keys.len() {
            0 => push("key", &API_KEY, "not set".to_owned()),
            1 => push("key", &API_KEY, "set".to_owned()),
            several => push("keys", &API_KEY, format!("{several} set")),
        }
        let token = provider.token.as_ref();
        let of = |is: fn(&TokenSource) -> bool| match token.is_some_and(|token| is(&token.from)) {
            true => "set".to_owned(),
            false => "not set".to_owned(),
        };
        push("token file", &TOKEN_FILE, of(|from| matches!(from, TokenSource::File(_))));
        push("token command", &TOKEN_COMMAND, of(|from| matches!(from, TokenSource::Command(_))));
        let auth = match provider.auth {
            Auth::Bearer => "bearer",
            Auth::ApiKey => "api-key",
            Auth::XApiKey => "x-api-key",
        };
        push("auth", &AUTH, auth.to_owned());
        let model = if provider.model.is_empty() { "the client's" } else { &provider.model };
        push("model", &MODEL, model.to_owned());
        let max_tokens = match provider.max_tokens_for(&provider.model) {
            0 => "what the client asks for".to_owned(),
            n => n.to_string(),
        };
        push("max tokens", &MAX_TOKENS, max_tokens);
        push("images", &IMAGES, on(provider.images.of(&provider.model)));
        push("text tools", &TEXT_TOOLS, on(provider.text_tools));
        let own = provider.client_certificate.as_ref();
        let path = |path: Option<&String>| path.map_or("not set".to_owned(), String::clone);
        let certificate = path(own.map(|own| &own.certificate.path));
        push("client certificate", &CLIENT_CERTIFICATE, certificate);
        push("client key", &CLIENT_KEY, path(own.map(|own| &own.key.path)));
        let api = match provider.api {
            None => "auto",
            Some(Dialect::ChatCompletions) => "chat",
            Some(Dialect::Responses) => "responses",
        };
        push("API", &API, api.to_owned());
        let native = match provider.native {
            Native::Auto => format!("auto ({})", on(provider.is_native(&provider.model))),
            Native::On => on(true),
            Native::Off => on(false),
        };
        push("native", &NATIVE, native);
        let native_url = provider.native_url.as_deref().unwrap_or("none");
        push("native URL", &NATIVE_URL, native_url.to_owned());
        push("first byte", &TIMEOUT, format!("{} s", provider.first_byte_timeout.as_secs_f64()));
        let proxy = &provider.http_proxy;
        push("HTTP proxy", &HTTP_PROXY, if proxy.is_some() { "set" } else { "not set" }.to_owned());
        if let Some((shown, proxy)) = all.last_mut().zip(proxy.as_ref()) {
            shown.variable = proxy.variable.to_owned();
        }
    }

    /// Where names go: what they are called, and the places in their order.
    fn ways(&self) -> Vec<(&str, Vec<String>)> {
        let routes = &self.routes;
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
            ("images described", &routes.describe),
            ("web search", &routes.web_search),
        ];
        let aliases = routes.aliases.iter().map(|alias| (&*alias.id, &alias.hops));
        let place = |hop: &Hop| {
            let provider = &self.providers[hop.provider];
            let model = hop.model.as_deref().unwrap_or(&provider.model);
            format!("{}/{model}", provider.name)
        };
        let ways = named.into_iter().chain(aliases).filter(|(_, hops)| !hops.is_empty());
        ways.map(|(name, hops)| (name, hops.iter().map(place).collect())).collect()
    }

    /// The configuration as JSON.
    pub fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct Setting<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            provider: &'a Option<String>,
            name: &'a str,
            variable: &'a str,
            value: &'a str,
            source: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            at: Option<String>,
        }
        #[derive(Serialize)]
        struct Shape<'a> {
            valid: bool,
            settings: Vec<Setting<'a>>,
            routes: Vec<(&'a str, Vec<String>)>,
            warnings: &'a [String],
        }
        let shown = self.settings();
        let settings = shown.iter().map(|shown| {
            let (source, at) = match &shown.source {
                Source::Default => ("default", None),
                Source::Flag(flag) => ("flag", Some(flag.clone())),
                Source::Variable { name, line: None } => ("environment", Some(name.clone())),
                Source::Variable { line: Some(line), .. } => {
                    (".env", Some(format!(".env line {line}")))
                }
                Source::File { file, path } => ("file", Some(format!("{file} {path}"))),
            };
            Setting {
                provider: &shown.provider,
                name: shown.name,
                variable: &shown.variable,
                value: &shown.value,
                source,
                at,
            }
        });
        let shape = Shape {
            valid: true,
            settings: settings.collect(),
            routes: self.ways(),
            warnings: &self.warnings,
        };
        let json = serde_json::to_string_pretty(&shape).expect("texts and lists serialize");
        json + "\n"
    }
}

/// The configuration for people.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = self.settings();
        for provider in &self.providers {
            let own = settings.iter().filter(|s| s.provider.as_ref() == Some(&provider.name));
            for shown in own {
                writeln!(f, "{:<13} {:<40} ({})", shown.name, shown.value, shown.source)?;
                if shown.name == "provider" && provider.name != provider.row.name {
                    writeln!(f, "{:<13} {}", "type", provider.row.name)?;
                }
            }
            let names: Vec<&str> = provider.headers.iter().map(|(name, _)| &**name).collect();
            if !names.is_empty() {
                writeln!(f, "{:<13} {}", "headers", names.join(", "))?;
            }
            writeln!(f)?;
        }
        let routes = &self.routes;
        if self.providers.len() > 1 || routes.aliases.len() + routes.set_rules() > 0 {
            for (name, places) in self.ways() {
                writeln!(f, "{name:<13} {}", places.join(", then "))?;
                if name == "long context" {
                    writeln!(f, "{:<13} above {} tokens", "", routes.long_context_tokens)?;
                }
            }
            writeln!(f)?;
        }
        for shown in settings.iter().filter(|shown| shown.provider.is_none()) {
            writeln!(f, "{:<25} {:<28} ({})", shown.name, shown.value, shown.source)?;
        }
        writeln!(f, "\nThe configuration is valid.")
    }
}
