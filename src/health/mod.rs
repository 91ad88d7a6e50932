//! What health means: local facts in atomics, and the answers that follow from them.
//!
//! Liveness is that anything answers at all. Readiness is the facts of this process: it serves, it
//! does not drain, its API answers. The provider's state is shown, and counts only for who asks for
//! it with `fail_on=provider`: where every replica has the same provider, taking them all away
//! helps nobody.
//!
//! Nothing here waits for anything, asks the provider, or writes a log line for a probe.

mod checks;
mod expose;
mod keys;
mod outcome;
mod provider;
#[cfg(test)]
mod simulation;
mod status;
mod words;
mod zpages;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use checks::{Check, parameters};
pub use outcome::Outcome;
pub use provider::{Permit, ProviderState};
use serde::Serialize;
use status::ShownUrl;

use crate::config::{Config, ProviderConfig};
use crate::lessons::Lessons;
use crate::metrics::{Exposition, Metrics, Probed, ProviderMetrics, Verdict};
use crate::record::Refusals;

const SERVICE: &str = "ccproxy";
const VERSION: &str = env!("CARGO_PKG_VERSION");

const JSON: &str = "application/json";
const HEALTH_JSON: &str = "application/health+json";
const TEXT: &str = "text/plain; charset=utf-8";
/// The format that every version of Prometheus takes, whatever it asks for.
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The paths that are answered from memory.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of its variants say it")]
pub enum HealthPath {
    Root,
    Health,
    Status,
    /// `/livez` and its aliases, or one check of it.
    Live(Option<String>),
    Ready(Option<String>),
    Started(Option<String>),
    Ping,
    Metrics,
    /// What the process is, as Kubernetes shows it of its own.
    Statusz,
    /// How it was set up.
    Flagz,
}

/// How a health path was asked.
#[derive(Debug, Clone, Copy, Default)]
#[expect(missing_docs, reason = "the names of its fields say it")]
pub struct Asked<'a> {
    pub accept: &'a str,
    /// Prometheus says how long it waits.
    pub scrapes: bool,
    pub query: &'a str,
    /// The caller may use the API: it sent a client key, or nobody needs one.
    pub is_known: bool,
    /// The watchdog asks: nobody wants to know how often.
    pub is_own: bool,
}

/// An answer of a health path.
#[derive(Debug)]
#[expect(missing_docs, reason = "the names of its fields say it")]
pub struct Answer<'a> {
    pub verdict: Verdict,
    pub content_type: &'static str,
    pub body: Cow<'a, [u8]>,
}

/// Numbers of the door, for `/status` and `/metrics`.
#[derive(Debug, Clone, Copy, Default)]
#[expect(missing_docs, reason = "the names of its fields say it")]
pub struct Load {
    pub in_flight: usize,
    pub max_in_flight: usize,
    pub connections: usize,
    pub max_connections: usize,
    /// Memory that is counted for the bodies of messages and of their answers, and how much may be.
    pub body_bytes: usize,
    pub max_body_bytes: usize,
    /// The memory that the control group grants, if there is such a limit.
    pub memory_limit_bytes: Option<u64>,
    /// Connections that wait to be accepted, and how many may.
    pub listen_queue: Option<(u32, u32)>,
}

/// The facts, and the answers that can be prepared as bytes.
#[derive(Debug)]
#[expect(missing_docs, reason = "the names of its fields say it")]
pub struct Health {
    began: Instant,
    facts: zpages::Facts,
    draining: AtomicBool,
    api_alive: AtomicBool,
    /// In the order of the configuration.
    pub providers: Vec<Arc<ProviderHealth>>,
    pub metrics: Metrics,
    pub refusals: Refusals,
    /// The providers that are tried in turn, by their places.
    order: Vec<usize>,
    root: Vec<u8>,
    healthy: Vec<u8>,
}

/// A provider: what of its configuration may be shown to anybody, and what is known of it.
#[derive(Debug)]
#[expect(missing_docs, reason = "the names of its fields say it")]
pub struct ProviderHealth {
    name: String,
    model: String,
    base_url: ShownUrl,
    max_tokens: u64,
    keys: usize,
    pub state: ProviderState,
    pub metrics: ProviderMetrics,
    pub lessons: Lessons,
}

impl ProviderHealth {
    fn new(provider: &ProviderConfig, breaker_pause: Duration) -> ProviderHealth {
        ProviderHealth {
            name: provider.name.clone(),
            model: provider.model.clone(),
            base_url: ShownUrl::new(provider),
            max_tokens: provider.max_tokens_for(&provider.model),
            keys: provider.keys.len(),
            state: ProviderState::new(&provider.name, provider.keys.len(), breaker_pause),
            metrics: ProviderMetrics::default(),
            lessons: Lessons::default(),
        }
    }
}

#[derive(Serialize)]
struct Root<'a> {
    message: &'static str,
    provider: &'a str,
}

#[derive(Serialize)]
struct HealthBody<'a> {
    status: &'static str,
    service: &'static str,
    version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checks: Option<Vec<CheckBody<'a>>>,
}

#[derive(Serialize)]
struct CheckBody<'a> {
    name: &'a str,
    status: &'static str,
}

/// <https://datatracker.ietf.org/doc/html/draft-inadarei-api-health-check-06>
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HealthDraft {
    status: &'static str,
    version: &'static str,
    release_id: &'static str,
    service_id: &'static str,
    description: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<&'static str>,
    checks: DraftChecks,
}

#[derive(Serialize)]
struct DraftChecks {
    #[serde(rename = "provider:responses")]
    provider: [DraftCheck; 1],
    uptime: [DraftUptime; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DraftCheck {
    component_type: &'static str,
    status: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DraftUptime {
    component_type: &'static str,
    observed_value: u64,
    observed_unit: &'static str,
    status: &'static str,
}

impl Health {
    /// Healthy, with the answers for `config`.
    pub fn new(config: &Config) -> Health {
        let provider = &*config.providers[0].name;
        let healthy = HealthBody {
            status: "healthy",
            service: SERVICE,
            version: VERSION,
            reason: None,
            checks: None,
        };
        Health {
            began: Instant::now(),
            facts: zpages::Facts::new(config),
            draining: AtomicBool::new(false),
            api_alive: AtomicBool::new(true),
            providers: config
                .providers
                .iter()
                .map(|provider| Arc::new(ProviderHealth::new(provider, config.breaker_pause)))
                .collect(),
            metrics: Metrics::default(),
            refusals: Refusals::default(),
            order: config.routes.default.iter().map(|hop| hop.provider).collect(),
            root: json(&Root {
                message: "CCProxy Multi-Provider Anthropic API is alive 💡",
                provider,
            }),
            healthy: json(&healthy),
        }
    }

    /// From now on the server is on its way out.
    pub fn drain(&self) {
        if !self.draining.swap(true, Ordering::Relaxed) {
            log::info!("health: ready -> draining");
        }
    }

    /// Whether the server is on its way out.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Whether the API answers, as the watchdog sees it.
    pub fn set_api_alive(&self, alive: bool) {
        if self.api_alive.swap(alive, Ordering::Relaxed) != alive {
            let (from, to) = if alive { ("failing", "ready") } else { ("ready", "failing") };
            let does = if alive { "answers" } else { "does not answer" };
            log::warn!("health: {from} -> {to}: the API {does}");
        }
    }

    /// Forgets what refusals have taught.
    pub fn forget_lessons(&self) {
        self.providers.iter().for_each(|provider| provider.lessons.clear());
    }

    /// A reload has changed these settings, which are named as `/flagz` has them.
    pub fn replace_flags(&self, flags: impl IntoIterator<Item = (String, String)>) {
        self.facts.replace(flags);
    }

    /// Whether no provider is left that does not fail.
    fn is_provider_failing(&self) -> bool {
        self.providers.iter().all(|provider| provider.state.is_failing())
    }

    /// Why the server is not ready, in one word.
    fn reason(&self) -> Option<&'static str> {
        if self.is_draining() {
            Some("draining")
        } else if !self.api_alive.load(Ordering::Relaxed) {
            Some("resources")
        } else {
            None
        }
    }

    /// Answers a health path: 200 or 503, but `/status` and `/metrics` always tell. `load` is asked
    /// only where it is shown.
    pub fn answer(
        &self,
        path: &HealthPath,
        asked: Asked<'_>,
        load: impl FnOnce() -> Load,
    ) -> Answer<'_> {
        let strict = parameters(asked.query, "fail_on").any(|value| value == "provider");
        let provider_fails = strict && self.is_provider_failing();
        let reason = self.reason().or(provider_fails.then_some("provider"));
        let verdict = Verdict::of(reason.is_none());
        let verbose = parameters(asked.query, "verbose").any(|value| value != "false");
        let answer = match path {
            HealthPath::Root => {
                Answer { verdict, content_type: JSON, body: (&self.root[..]).into() }
            }
            HealthPath::Health => self.health(asked, reason, verbose, strict),
            HealthPath::Status => {
                let body = self.status(asked.is_known, load);
                Answer { verdict: Verdict::Well, content_type: JSON, body: body.into() }
            }
            HealthPath::Live(check) => {
                checks::answer("livez", &[("ping", true)], check, asked.query, verbose)
            }
            HealthPath::Ready(check) => {
                checks::answer("readyz", &self.ready_checks(strict), check, asked.query, verbose)
            }
            HealthPath::Started(check) => {
                // It answers only once everything has been set up.
                let all = [("ping", true), ("configuration", true), ("listening", true)];
                checks::answer("startupz", &all, check, asked.query, verbose)
            }
            HealthPath::Ping => {
                Answer { verdict: Verdict::Well, content_type: TEXT, body: (&b"OK"[..]).into() }
            }
            HealthPath::Metrics => {
                let body = self.exposition(load(), asked.is_known);
                Answer { verdict: Verdict::Well, content_type: EXPOSITION, body: body.into() }
            }
            HealthPath::Statusz => self.facts.statusz(asked.accept, self.began.elapsed().as_secs()),
            HealthPath::Flagz => self.facts.flagz(asked.accept),
        };
        if !asked.is_own {
            self.metrics.health(path.counted_as(), answer.verdict);
        }
        answer
    }

    /// `/health`, for whom it is: Prometheus, who asks for a metric; who asks for the draft of a
    /// standard; and everybody else.
    ///
    /// No weighing of q-values: who names a type that only a scraper names is one.
    fn health(
        &self,
        asked: Asked<'_>,
        reason: Option<&'static str>,
        verbose: bool,
        strict: bool,
    ) -> Answer<'_> {
        let verdict = Verdict::of(reason.is_none());
        let accept = asked.accept.to_ascii_lowercase();
        let is_scraper = asked.scrapes
            || accept.contains("application/openmetrics-text")
            || accept.contains("application/vnd.google.protobuf")
            || accept.split(',').any(|t| t.contains("text/plain") && t.contains("version="));
        if is_scraper {
            let mut out = Exposition::new();
            self.expose_health(&mut out, reason);
            return Answer { verdict, content_type: EXPOSITION, body: out.into_bytes().into() };
        }
        if accept.contains(HEALTH_JSON) {
            let body = json(&self.draft(reason));
            return Answer { verdict, content_type: HEALTH_JSON, body: body.into() };
        }
        if reason.is_none() && !verbose {
            return Answer { verdict, content_type: JSON, body: (&self.healthy[..]).into() };
        }
        let ready = self.ready_checks(strict);
        let checks = ready.iter().map(|(name, passed)| CheckBody {
            name,
            status: if *passed { "ok" } else { "failed" },
        });
        let body = HealthBody {
            status: if reason.is_some() { "unhealthy" } else { "healthy" },
            service: SERVICE,
            version: VERSION,
            reason,
            checks: verbose.then(|| checks.collect()),
        };
        Answer { verdict, content_type: JSON, body: json(&body).into() }
    }

    fn ready_checks(&self, strict: bool) -> Vec<Check> {
        let mut checks = vec![
            ("ping", true),
            ("configuration", true),
            ("drain", !self.is_draining()),
            ("api", self.api_alive.load(Ordering::Relaxed)),
        ];
        if strict {
            checks.push(("provider", !self.is_provider_failing()));
        }
        checks
    }

    fn draft(&self, reason: Option<&'static str>) -> HealthDraft {
        let provider_fails = self.is_provider_failing();
        let status = match (reason, provider_fails) {
            (Some(_), _) => "fail",
            (None, true) => "warn",
            (None, false) => "pass",
        };
        HealthDraft {
            status,
            version: VERSION.split('.').next().unwrap_or(VERSION),
            release_id: VERSION,
            service_id: SERVICE,
            description: "health of ccproxy",
            output: reason,
            checks: DraftChecks {
                provider: [DraftCheck {
                    component_type: "component",
                    status: if provider_fails { "warn" } else { "pass" },
                }],
                uptime: [DraftUptime {
                    component_type: "system",
                    observed_value: self.began.elapsed().as_secs(),
                    observed_unit: "s",
                    status: "pass",
                }],
            },
        }
    }
}

impl HealthPath {
    /// Whether only callers of the API may ask: it tells how the server was set up.
    pub fn is_for_callers(&self) -> bool {
        matches!(self, HealthPath::Statusz | HealthPath::Flagz)
    }

    /// Whether anybody may ask, under whatever name: it tells nothing that is somebody's own.
    pub fn is_plain(&self) -> bool {
        !self.is_for_callers() && !matches!(self, HealthPath::Status | HealthPath::Metrics)
    }

    /// Whether the answer depends on `Accept`.
    pub fn has_forms(&self) -> bool {
        self.is_for_callers() || *self == HealthPath::Health
    }

    /// The name in `ccproxy_health_requests_total`.
    fn counted_as(&self) -> Probed {
        match self {
            HealthPath::Root => Probed::Root,
            HealthPath::Health => Probed::Health,
            HealthPath::Status => Probed::Status,
            HealthPath::Live(_) => Probed::Live,
            HealthPath::Ready(_) => Probed::Ready,
            HealthPath::Started(_) => Probed::Started,
            HealthPath::Ping => Probed::Ping,
            HealthPath::Metrics => Probed::Metrics,
            HealthPath::Statusz => Probed::Statusz,
            HealthPath::Flagz => Probed::Flagz,
        }
    }
}

fn json(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).expect("strings and numbers always serialize")
}
