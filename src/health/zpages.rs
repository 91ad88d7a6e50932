//! `/statusz` and `/flagz` as the servers of Kubernetes 1.36 have them: text for people, and a kind
//! of `config.k8s.io` for who names it.
//!
//! <https://kubernetes.io/docs/reference/instrumentation/zpages/>, KEP-4827 and KEP-4828. What is
//! about Go and about emulated versions is left out, as it may be.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::status::{ShownUrl, origin};
use super::{Answer, JSON, SERVICE, TEXT, VERSION, json};
use crate::calendar::{Date, UnixDate};
use crate::config::{Config, Shown, Source};
use crate::metrics::Verdict;

const GROUP: &str = "config.k8s.io";
/// What this version of Kubernetes has, and what it had before; the kinds are the same in both.
const VERSIONS: [&str; 2] = ["v1beta1", "v1alpha1"];

const WARNING: &str = "Warning: This endpoint is not meant to be machine parseable, has no \
    formatting compatibility guarantees and is for debugging purposes only.";

/// What may be looked at next.
const PATHS: &[&str] = &[
    "/flagz",
    "/health",
    "/healthz",
    "/livez",
    "/metrics",
    "/readyz",
    "/startupz",
    "/status",
    "/statusz",
];

/// A page: the name in its title, and its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Page {
    name: &'static str,
    kind: &'static str,
}

const STATUSZ: Page = Page { name: "statusz", kind: "Statusz" };
const FLAGZ: Page = Page { name: "flagz", kind: "Flagz" };

/// How a page is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    /// As the kind of this version.
    Structured(&'static str),
}

/// When the process began, and its settings without secrets.
#[derive(Debug)]
pub(super) struct Facts {
    began: Date,
    flags: RwLock<BTreeMap<String, String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Object<'a, T> {
    kind: &'a str,
    api_version: String,
    metadata: Metadata,
    #[serde(flatten)]
    rest: T,
}

#[derive(Serialize)]
struct Metadata {
    name: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Statusz {
    start_time: String,
    uptime_seconds: u64,
    binary_version: &'static str,
    paths: &'static [&'static str],
}

#[derive(Serialize)]
struct Flagz<'a> {
    flags: &'a BTreeMap<String, String>,
}

impl Facts {
    pub(super) fn new(config: &Config) -> Facts {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Facts { began: Date::of(since.as_secs()), flags: RwLock::new(flags(config)) }
    }

    /// A reload has changed these.
    pub(super) fn replace(&self, flags: impl IntoIterator<Item = (String, String)>) {
        self.flags.write().unwrap_or_else(PoisonError::into_inner).extend(flags);
    }

    pub(super) fn statusz(&self, accept: &str, uptime: u64) -> Answer<'static> {
        let began = self.began;
        STATUSZ.answer(
            accept,
            || {
                let (hours, minutes, seconds) = (uptime / 3600, uptime / 60 % 60, uptime % 60);
                format!(
                    "Started: {}\nUp: {hours} hr {minutes:02} min {seconds:02} sec\n\
                     Binary version: {VERSION}\nPaths: {}\n",
                    UnixDate(began),
                    PATHS.join(" ")
                )
            },
            || Statusz {
                start_time: format!("{began}Z"),
                uptime_seconds: uptime,
                binary_version: VERSION,
                paths: PATHS,
            },
        )
    }

    pub(super) fn flagz(&self, accept: &str) -> Answer<'static> {
        let flags = self.flags.read().unwrap_or_else(PoisonError::into_inner);
        let line = |(name, value): (&String, &String)| format!("{name}={value}\n");
        FLAGZ.answer(accept, || flags.iter().map(line).collect(), || Flagz { flags: &flags })
    }
}

impl Page {
    /// The page in the form that is wanted.
    fn answer<T: Serialize>(
        self,
        accept: &str,
        lines: impl FnOnce() -> String,
        fields: impl FnOnce() -> T,
    ) -> Answer<'static> {
        match self.form(accept) {
            Some(Form::Text) => {
                let body = format!("\n{SERVICE} {}\n{WARNING}\n\n{}", self.name, lines());
                Answer {
                    verdict: Verdict::Well,
                    content_type: TEXT,
                    body: body.into_bytes().into(),
                }
            }
            Some(Form::Structured(version)) => {
                let object = Object {
                    kind: self.kind,
                    api_version: format!("{GROUP}/{version}"),
                    metadata: Metadata { name: SERVICE },
                    rest: fields(),
                };
                Answer { verdict: Verdict::Well, content_type: JSON, body: json(&object).into() }
            }
            None => {
                let body = format!(
                    "only the following media types are accepted: text/plain, \
                     application/json;g={GROUP};v={};as={}\n",
                    VERSIONS[0], self.kind
                );
                Answer {
                    verdict: Verdict::Formless,
                    content_type: TEXT,
                    body: body.into_bytes().into(),
                }
            }
        }
    }

    /// The form that `accept` prefers, if there is one of its.
    fn form(self, accept: &str) -> Option<Form> {
        if accept.trim().is_empty() {
            return Some(Form::Text);
        }
        let mut ranges: Vec<(f32, &str)> =
            accept.split(',').map(|range| (quality(range), range)).collect();
        ranges.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        let mut wanted = ranges.into_iter().take_while(|(quality, _)| *quality > 0.0);
        wanted.find_map(|(_, range)| self.form_of(range))
    }

    /// The form that one media range stands for.
    fn form_of(self, range: &str) -> Option<Form> {
        let media = range.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let [group, version, kind] = ["g", "v", "as"].map(|name| parameter(range, name));
        let is_plain = group.is_none() && version.is_none() && kind.is_none();
        match &*media {
            "text/plain" | "text/*" | "*/*" if is_plain => Some(Form::Text),
            "application/json" | "application/*" | "*/*"
                if group == Some(GROUP) && kind == Some(self.kind) =>
            {
                let known = VERSIONS.into_iter().find(|known| version == Some(*known));
                known.map(Form::Structured)
            }
            _ => None,
        }
    }
}

fn parameter<'a>(range: &'a str, wanted: &str) -> Option<&'a str> {
    range.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case(wanted).then(|| value.trim().trim_matches('"'))
    })
}

/// How much a media range is wanted: RFC 9110, section 12.4.2.
fn quality(range: &str) -> f32 {
    let quality = parameter(range, "q").and_then(|quality| quality.parse().ok());
    quality.filter(|quality| (0.0..=1.0).contains(quality)).unwrap_or(1.0)
}

/// The settings that `--check-config` shows, by the option where the whole server has one, else by
/// the variable. A path that only the user knows is left out of addresses, as it is in `/status`.
fn flags(config: &Config) -> BTreeMap<String, String> {
    let names: Vec<&str> = config.providers.iter().map(|provider| &*provider.name).collect();
    let mut flags = BTreeMap::from([("provider".to_owned(), names.join(","))]);
    for Shown { provider, name, variable, value, source } in config.settings() {
        let (key, value) = match (provider, name) {
            (Some(_), "provider") => continue,
            (Some(provider), "base URL") => {
                let provider = config.providers.iter().find(|known| known.name == provider);
                (variable, provider.map_or(value, |known| ShownUrl::new(known).to(true).to_owned()))
            }
            (Some(_), "native URL") if source != Source::Default => (variable, origin(&value)),
            (Some(_), _) => (variable, value),
            (None, name) => (name.to_owned(), value),
        };
        flags.insert(key, value);
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_that_is_wanted_most_is_given() {
        let beta = Some(Form::Structured("v1beta1"));
        let wanted = "application/json;v=v1beta1;g=config.k8s.io;as=Statusz";
        for (accept, form) in [
            ("", Some(Form::Text)),
            ("  ", Some(Form::Text)),
            ("*/*", Some(Form::Text)),
            ("text/plain", Some(Form::Text)),
            ("Text/*;q=0.1", Some(Form::Text)),
            ("text/html,application/xhtml+xml,*/*;q=0.8", Some(Form::Text)),
            (wanted, beta),
            ("application/json; g=config.k8s.io; v=\"v1beta1\"; as=Statusz", beta),
            (
                "application/json;as=Statusz;g=config.k8s.io;v=v1alpha1",
                Some(Form::Structured("v1alpha1")),
            ),
            ("*/*;v=v1beta1;g=config.k8s.io;as=Statusz", beta),
            ("text/plain;q=0.5,application/json;v=v1beta1;g=config.k8s.io;as=Statusz;q=0.9", beta),
            ("application/json;v=foo;g=config.k8s.io;as=Statusz,*/*", Some(Form::Text)),
            ("application/json;v=v1beta1;g=config.k8s.io;as=Flagz,text/plain", Some(Form::Text)),
            ("application/json", None),
            ("application/json;v=v1beta1;g=config.k8s.io", None),
            ("application/json;v=v1beta1;as=Statusz", None),
            ("application/json;v=v2;g=config.k8s.io;as=Statusz", None),
            ("application/json;v=v1beta1;g=apps;as=Statusz", None),
            ("text/plain;v=v1beta1;g=config.k8s.io;as=Statusz", None),
            ("text/plain;q=0", None),
            ("application/xml", None),
            (";;,=,q", None),
        ] {
            assert_eq!(STATUSZ.form(accept), form, "{accept:?}");
        }
        assert_eq!(FLAGZ.form(wanted), None);
    }
}
