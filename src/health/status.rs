//! `/status`: the seven fields of CCProxy's document, and for who may spend the provider's key why
//! things are as they are.
//!
//! Where client keys are set, who sends none is a stranger, and is told neither models nor paths: a
//! path of a base URL may hold a token, and models are named by clients.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use std::time::Instant;

use serde::Serialize;

use super::words::{Told, seconds};
use super::{Health, Load, ProviderHealth, SERVICE, VERSION, json};
use crate::config::ProviderConfig;
use crate::logging::Timestamp;
use crate::provider::Key;
use crate::record::{LastRefusal, Refusal};

/// What strangers are shown in place of a model.
const HIDDEN: &str = "hidden";

/// What of a provider's address is shown: none of it holds what only the user knows.
#[derive(Debug)]
pub(super) struct ShownUrl {
    /// Scheme, host and port.
    origin: String,
    /// The path too, where it is the provider's documented one.
    known: String,
}

impl ShownUrl {
    pub(super) fn new(provider: &ProviderConfig) -> ShownUrl {
        if provider.row.key == Key::Embedded {
            let shown = provider.shown_base_url().to_owned();
            return ShownUrl { origin: shown.clone(), known: shown };
        }
        let url = &*provider.base_url;
        let origin = origin(url);
        let documented = url == provider.row.base_url
            || *url == *format!("{origin}{}", provider.row.base_path)
            || *url == *format!("{origin}/v1");
        ShownUrl { known: if documented { url.to_owned() } else { origin.clone() }, origin }
    }

    pub(super) fn to(&self, is_known: bool) -> &str {
        if is_known { &self.known } else { &self.origin }
    }
}

/// Scheme, host and port of a URL.
pub(super) fn origin(url: &str) -> String {
    let after_scheme = url.find("://").map_or(0, |at| at + 3);
    let end = url[after_scheme..].find(['/', '?', '#']).map_or(url.len(), |n| after_scheme + n);
    let (scheme, authority) = url[..end].split_at(after_scheme);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}{host}")
}

#[derive(Serialize)]
struct Status<'a> {
    provider: &'a str,
    model: &'a str,
    base_url: &'a str,
    max_tokens: u64,
    status: &'static str,
    service: &'static str,
    version: &'static str,
    #[serde(flatten)]
    details: Option<Details<'a>>,
}

/// For callers who are no strangers.
#[derive(Serialize)]
struct Details<'a> {
    /// Why it is not active, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    uptime_seconds: u64,
    in_flight: usize,
    limits: Limits,
    /// What was turned away at the door since the start, by reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    refused: BTreeMap<&'static str, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_refusal: Option<ShownRefusal>,
    /// Who gets the next message, by the order of the configuration; the state is this one's.
    answering: &'a str,
    provider_state: ProviderDetails,
    /// All of them, where there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    providers: Vec<ListedProvider<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    learned: Vec<LearnedModel<'a>>,
}

/// Limits beside what is in use.
#[derive(Serialize)]
struct Limits {
    in_flight: usize,
    max_in_flight: usize,
    connections: usize,
    max_connections: usize,
    body_bytes: usize,
    max_body_bytes: usize,
    /// Of the control group; `null` where none was found.
    memory_limit_bytes: Option<u64>,
}

/// The last request that was turned away at the door.
#[derive(Serialize)]
struct ShownRefusal {
    reason: &'static str,
    /// Method and path.
    asked: String,
    words: String,
    at: String,
    seconds_ago: u64,
}

/// One of several providers.
#[derive(Serialize)]
struct ListedProvider<'a> {
    provider: &'a str,
    model: &'a str,
    base_url: &'a str,
    max_tokens: u64,
    #[serde(flatten)]
    details: ProviderDetails,
}

/// What was learned of a model from a provider's refusals.
#[derive(Serialize)]
struct LearnedModel<'a> {
    provider: &'a str,
    model: String,
    lessons: Vec<String>,
}

#[derive(Serialize)]
struct ProviderDetails {
    state: &'static str,
    /// Seconds since 1970, and the same for people.
    last_success: Option<u64>,
    last_success_at: Option<String>,
    last_error_class: Option<&'static str>,
    /// The last failure, in one word and in several, also when it is over.
    last_error_cause: Option<String>,
    last_error: Option<String>,
    last_error_at: Option<String>,
    last_error_seconds_ago: Option<u64>,
    /// Since when it has not been well.
    failing_since: Option<String>,
    failing_seconds: Option<u64>,
    asked_again_in_seconds: Option<u64>,
    consecutive_failures: u32,
    circuit_open: bool,
    keys: usize,
    resting_keys: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    resting: Vec<RestingKey>,
    fallbacks: u64,
    source: &'static str,
}

/// A key that is passed over.
#[derive(Serialize)]
struct RestingKey {
    /// Its place among the provider's keys, from 1.
    key: usize,
    reason: Option<String>,
    until: String,
    seconds: u64,
}

impl Health {
    /// The body of `/status`.
    pub(super) fn status(&self, is_known: bool, load: impl FnOnce() -> Load) -> Vec<u8> {
        let status = if self.is_draining() {
            "draining"
        } else if self.reason().is_some() || self.providers.iter().any(|p| p.trouble().is_some()) {
            "degraded"
        } else {
            "active"
        };
        let first = &self.providers[0];
        json(&Status {
            provider: &first.name,
            model: if is_known { &first.model } else { HIDDEN },
            base_url: first.base_url.to(is_known),
            max_tokens: first.max_tokens,
            status,
            service: SERVICE,
            version: VERSION,
            details: is_known.then(|| self.details(load())),
        })
    }

    fn details(&self, load: Load) -> Details<'_> {
        let several = self.providers.len() > 1;
        let listed = self.providers.iter().filter(|_| several).map(|provider| ListedProvider {
            provider: &provider.name,
            model: &provider.model,
            base_url: provider.base_url.to(true),
            max_tokens: provider.max_tokens,
            details: provider.details(),
        });
        let now = Instant::now();
        let learned = self.providers.iter().flat_map(|provider| {
            let all = provider.lessons.all(now).into_iter();
            all.map(|(model, lessons)| LearnedModel { provider: &provider.name, model, lessons })
        });
        let answering = self.answering();
        Details {
            reason: self.why(answering),
            uptime_seconds: self.began.elapsed().as_secs(),
            in_flight: load.in_flight,
            limits: Limits {
                in_flight: load.in_flight,
                max_in_flight: load.max_in_flight,
                connections: load.connections,
                max_connections: load.max_connections,
                body_bytes: load.body_bytes,
                max_body_bytes: load.max_body_bytes,
                memory_limit_bytes: load.memory_limit_bytes,
            },
            refused: self.refused(),
            last_refusal: self.last_refusal(),
            answering: &answering.name,
            provider_state: answering.details(),
            providers: listed.collect(),
            learned: learned.collect(),
        }
    }

    fn refused(&self) -> BTreeMap<&'static str, u64> {
        let counts =
            Refusal::ALL.iter().map(|reason| (reason.as_str(), self.refusals.count(*reason)));
        counts.filter(|(_, count)| *count > 0).collect()
    }

    fn last_refusal(&self) -> Option<ShownRefusal> {
        let LastRefusal { refusal, asked, words, at } = self.refusals.last()?;
        let seconds_ago = SystemTime::now().duration_since(at).unwrap_or_default().as_secs();
        let (reason, at) = (refusal.as_str(), shown_time(at));
        Some(ShownRefusal { reason, asked, words, at, seconds_ago })
    }

    /// The provider that gets the next message, where no route says otherwise.
    fn answering(&self) -> &ProviderHealth {
        let order = || self.order.iter().map(|place| &self.providers[*place]);
        let rested = order().find(|provider| !provider.state.is_resting());
        rested.or(order().next()).unwrap_or(&self.providers[0])
    }

    /// Why it is not active.
    fn why(&self, answering: &ProviderHealth) -> Option<String> {
        let own = if self.is_draining() {
            Some("ccproxy is shutting down".to_owned())
        } else {
            self.reason().map(|_| "the API inside ccproxy does not answer".to_owned())
        };
        let troubles = self.providers.iter().filter_map(|provider| provider.trouble());
        let mut all: Vec<String> = own.into_iter().chain(troubles).collect();
        let is_well = answering.trouble().is_none();
        if !all.is_empty() && is_well && self.providers.len() > 1 {
            all.push(format!("messages are answered by {}", answering.name));
        }
        (!all.is_empty()).then(|| all.join("; "))
    }
}

impl ProviderHealth {
    /// What keeps it from answering, in words.
    fn trouble(&self) -> Option<String> {
        let state = &self.state;
        let failures = state.consecutive_failures();
        let what = if state.is_failing() || state.is_circuit_open() {
            format!("{} has failed {failures} times in a row", self.name)
        } else if state.rests_left().all(|left| !left.is_zero()) {
            match self.keys {
                0 | 1 => format!("{} is limited", self.name),
                keys => format!("all {keys} keys of {} rest", self.name),
            }
        } else {
            return None;
        };
        let said = state.words().last().map(|told| format!(" ({})", told.words));
        let again = state.asked_again_in().map(seconds);
        let again = again.map(|seconds| format!(", and is asked again in {seconds} s"));
        Some(format!("{what}{}{}", said.unwrap_or_default(), again.unwrap_or_default()))
    }

    fn details(&self) -> ProviderDetails {
        let state = &self.state;
        let is_limited = state.rests_left().all(|left| !left.is_zero());
        let shown = match state.is_up() {
            Some(false) => "down",
            _ if is_limited => "limited",
            None => "unknown",
            Some(true) => "up",
        };
        let is_well = state.consecutive_failures() == 0 && state.resting_keys() == 0;
        let now = SystemTime::now();
        let ago = |at: SystemTime| now.duration_since(at).unwrap_or_default().as_secs();
        let words = state.words();
        let last = words.last();
        let since = words.since().filter(|_| !is_well);
        let last_success = state.last_success();
        let resting = state.rests_left().enumerate().filter(|(_, left)| !left.is_zero());
        let resting = resting.map(|(key, left)| RestingKey {
            key: key + 1,
            reason: words.of_key(key).map(|told| told.words.clone()),
            until: shown_time(now + left),
            seconds: seconds(left),
        });
        ProviderDetails {
            state: shown,
            last_success,
            last_success_at: last_success.map(|s| shown_time(UNIX_EPOCH + Duration::from_secs(s))),
            last_error_class: state.last_error_class(),
            last_error_cause: last.map(|told| told.cause.to_string()),
            last_error: last.map(|told| told.words.clone()),
            last_error_at: last.map(|told| shown_time(told.at)),
            last_error_seconds_ago: last.map(|Told { at, .. }| ago(*at)),
            failing_since: since.map(shown_time),
            failing_seconds: since.map(ago),
            asked_again_in_seconds: state.asked_again_in().map(seconds),
            consecutive_failures: state.consecutive_failures(),
            circuit_open: state.is_circuit_open(),
            keys: self.keys,
            resting_keys: state.resting_keys(),
            resting: resting.collect(),
            fallbacks: self.metrics.fallbacks.get(),
            source: state.source(),
        }
    }
}

fn shown_time(at: SystemTime) -> String {
    Timestamp(at).to_string()
}
