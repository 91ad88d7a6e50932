//! What health means: local facts in atomics, and the answers that follow from them.
//!
//! Liveness is that anything answers at all. Readiness is the facts of this process: it serves, it does
//! not drain, its API answers. The provider's state is shown, and counts only for who asks for it with
//! `fail_on=provider`: where every replica has the same provider, taking them all away helps nobody.
//!
//! Nothing here waits for anything, asks the provider, or writes a log line for a probe.

mod provider;

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

pub use provider::{Outcome, Permit, ProviderState};
use serde::Serialize;

use crate::config::Config;
use crate::metrics::{Exposition, HEALTH_PATHS, Metrics, SHED, UPSTREAM_ERRORS, process};

const SERVICE: &str = "ccproxy";
const VERSION: &str = env!("CARGO_PKG_VERSION");

const JSON: &str = "application/json";
const HEALTH_JSON: &str = "application/health+json";
const TEXT: &str = "text/plain; charset=utf-8";
/// The format that every version of Prometheus takes, whatever it asks for.
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The paths that are answered from memory.
#[derive(Debug, Clone, PartialEq, Eq)]
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
}

/// How a health path was asked.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked<'a> {
    pub accept: &'a str,
    /// Prometheus says how long it waits.
    pub scrapes: bool,
    pub query: &'a str,
    /// The caller sent a client key: it may see more.
    pub is_known: bool,
}

/// An answer of a health path.
#[derive(Debug)]
pub struct Answer<'a> {
    pub status: u16,
    pub content_type: &'static str,
    pub body: Cow<'a, [u8]>,
}

/// Numbers of the door, for `/status` and `/metrics`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Load {
    pub in_flight: usize,
    pub connections: usize,
    /// Connections that wait to be accepted, and how many may.
    pub listen_queue: Option<(u32, u32)>,
}

/// The facts, and the answers that can be prepared as bytes.
#[derive(Debug)]
pub struct Health {
    began: Instant,
    draining: AtomicBool,
    api_alive: AtomicBool,
    pub provider: ProviderState,
    pub metrics: Metrics,
    config: ShownConfig,
    root: Vec<u8>,
    healthy: Vec<u8>,
}

/// What of the configuration may be shown to anybody.
#[derive(Debug)]
struct ShownConfig {
    provider: &'static str,
    model: String,
    base_url: String,
    max_tokens: u64,
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
    details: Option<StatusDetails>,
}

/// For callers with a client key alone.
#[derive(Serialize)]
struct StatusDetails {
    uptime_seconds: u64,
    in_flight: usize,
    provider_state: ProviderDetails,
}

#[derive(Serialize)]
struct ProviderDetails {
    state: &'static str,
    last_success: Option<u64>,
    last_error_class: Option<&'static str>,
    consecutive_failures: u32,
    circuit_open: bool,
    source: &'static str,
}

/// A check of the Kubernetes endpoints: its name, and whether it is passed.
type Check = (&'static str, bool);

impl Health {
    /// Healthy, with the answers for `config`.
    pub fn new(config: &Config) -> Health {
        let provider = config.provider.name;
        let healthy = HealthBody {
            status: "healthy",
            service: SERVICE,
            version: VERSION,
            reason: None,
            checks: None,
        };
        Health {
            began: Instant::now(),
            draining: AtomicBool::new(false),
            api_alive: AtomicBool::new(true),
            provider: ProviderState::default(),
            metrics: Metrics::default(),
            config: ShownConfig {
                provider,
                model: config.model.clone(),
                base_url: config.shown_base_url().to_owned(),
                max_tokens: config.max_tokens,
            },
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
        let provider_fails = strict && self.provider.is_failing();
        let reason = self.reason().or(provider_fails.then_some("provider"));
        let status = if reason.is_some() { 503 } else { 200 };
        let verbose = parameters(asked.query, "verbose").any(|value| value != "false");
        let answer = match path {
            HealthPath::Root => {
                Answer { status, content_type: JSON, body: (&self.root[..]).into() }
            }
            HealthPath::Health => self.health(asked, reason, verbose, strict),
            HealthPath::Status => {
                let details = asked.is_known.then(|| self.details(load().in_flight));
                Answer { status: 200, content_type: JSON, body: self.status(details).into() }
            }
            HealthPath::Live(check) => {
                checks("livez", &[("ping", true)], check, asked.query, verbose)
            }
            HealthPath::Ready(check) => {
                checks("readyz", &self.ready_checks(strict), check, asked.query, verbose)
            }
            HealthPath::Started(check) => {
                // It answers only once everything has been set up.
                let all = [("ping", true), ("configuration", true), ("listening", true)];
                checks("startupz", &all, check, asked.query, verbose)
            }
            HealthPath::Ping => {
                Answer { status: 200, content_type: TEXT, body: (&b"OK"[..]).into() }
            }
            HealthPath::Metrics => {
                let body = self.exposition(load());
                Answer { status: 200, content_type: EXPOSITION, body: body.into() }
            }
        };
        self.metrics.health(path.counted_as(), answer.status);
        answer
    }

    /// `/health`, for whom it is: Prometheus, who asks for a metric; who asks for the draft of a standard;
    /// and everybody else.
    ///
    /// No weighing of q-values: who names a type that only a scraper names is one.
    fn health(
        &self,
        asked: Asked<'_>,
        reason: Option<&'static str>,
        verbose: bool,
        strict: bool,
    ) -> Answer<'_> {
        let status = if reason.is_some() { 503 } else { 200 };
        let accept = asked.accept.to_ascii_lowercase();
        let is_scraper = asked.scrapes
            || accept.contains("application/openmetrics-text")
            || accept.contains("application/vnd.google.protobuf")
            || accept.split(',').any(|t| t.contains("text/plain") && t.contains("version="));
        if is_scraper {
            let mut out = Exposition::new();
            self.expose_health(&mut out, reason);
            return Answer { status, content_type: EXPOSITION, body: out.into_bytes().into() };
        }
        if accept.contains(HEALTH_JSON) {
            let body = json(&self.draft(reason));
            return Answer { status, content_type: HEALTH_JSON, body: body.into() };
        }
        if reason.is_none() && !verbose {
            return Answer { status, content_type: JSON, body: (&self.healthy[..]).into() };
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
        Answer { status, content_type: JSON, body: json(&body).into() }
    }

    fn ready_checks(&self, strict: bool) -> Vec<Check> {
        let mut checks = vec![
            ("ping", true),
            ("configuration", true),
            ("drain", !self.is_draining()),
            ("api", self.api_alive.load(Ordering::Relaxed)),
        ];
        if strict {
            checks.push(("provider", !self.provider.is_failing()));
        }
        checks
    }

    fn status(&self, details: Option<StatusDetails>) -> Vec<u8> {
        let status = if self.is_draining() {
            "draining"
        } else if self.reason().is_some() || self.provider.is_failing() {
            "degraded"
        } else {
            "active"
        };
        json(&Status {
            provider: self.config.provider,
            model: &self.config.model,
            base_url: &self.config.base_url,
            max_tokens: self.config.max_tokens,
            status,
            service: SERVICE,
            version: VERSION,
            details,
        })
    }

    fn details(&self, in_flight: usize) -> StatusDetails {
        let state = match self.provider.is_up() {
            None => "unknown",
            Some(true) => "up",
            Some(false) => "down",
        };
        StatusDetails {
            uptime_seconds: self.began.elapsed().as_secs(),
            in_flight,
            provider_state: ProviderDetails {
                state,
                last_success: self.provider.last_success(),
                last_error_class: self.provider.last_error_class(),
                consecutive_failures: self.provider.consecutive_failures(),
                circuit_open: self.provider.is_circuit_open(),
                source: self.provider.source(),
            },
        }
    }

    fn draft(&self, reason: Option<&'static str>) -> HealthDraft {
        let provider_fails = self.provider.is_failing();
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

    /// The few metrics of `/health`.
    fn expose_health(&self, out: &mut Exposition, reason: Option<&'static str>) {
        let provider = [("provider", self.config.provider)];
        out.family("ccproxy_build_info", "gauge", "The version that runs; always 1.")
            .sample(&[("version", VERSION)], 1);
        out.single("ccproxy_up", "gauge", "That the server answers; always 1.", 1);
        let ready = u8::from(reason.is_none());
        out.single("ccproxy_ready", "gauge", "Whether new messages are welcome.", ready);
        let draining = u8::from(self.is_draining());
        out.single("ccproxy_draining", "gauge", "Whether the server is on its way out.", draining);
        if let Some(up) = self.provider.is_up() {
            out.family(
                "ccproxy_provider_up",
                "gauge",
                "Whether the provider's last calls went well.",
            )
            .sample(&provider, u8::from(up));
        }
        out.family(
            "ccproxy_provider_circuit_open",
            "gauge",
            "Whether the provider is left alone for a while.",
        )
        .sample(&provider, u8::from(self.provider.is_circuit_open()));
        out.family(
            "ccproxy_provider_consecutive_failures",
            "gauge",
            "Failures of the provider since it last answered.",
        )
        .sample(&provider, self.provider.consecutive_failures());
        if let Some(seconds) = self.provider.last_success() {
            out.family(
                "ccproxy_provider_last_success_timestamp_seconds",
                "gauge",
                "When the provider last answered, in seconds since 1970.",
            )
            .sample(&provider, seconds);
        }
    }

    /// Every metric.
    fn exposition(&self, load: Load) -> Vec<u8> {
        let mut out = Exposition::new();
        self.expose_health(&mut out, self.reason());
        let metrics = &self.metrics;
        let provider = ("provider", self.config.provider);
        out.family("ccproxy_requests_total", "counter", "Messages answered.")
            .sample(&[provider, ("status", "success")], metrics.succeeded.get())
            .sample(&[provider, ("status", "error")], metrics.failed.get());
        out.family(
            "ccproxy_request_duration_seconds",
            "histogram",
            "From the end of a request to the end of its answer.",
        );
        out.histogram(&[provider], &metrics.duration);
        out.family("ccproxy_tokens_processed_total", "counter", "Tokens of the answered messages.")
            .sample(&[provider, ("type", "input")], metrics.input_tokens.total())
            .sample(&[provider, ("type", "output")], metrics.output_tokens.total());
        out.family(
            "ccproxy_upstream_errors_total",
            "counter",
            "Errors of the provider, by Anthropic's error type.",
        );
        for (kind, count) in UPSTREAM_ERRORS.iter().zip(&metrics.upstream_errors) {
            out.sample(&[provider, ("error_type", kind)], count.get());
        }
        out.family(
            "ccproxy_requests_shed_total",
            "counter",
            "Requests turned away without asking the provider.",
        );
        for (reason, count) in SHED.iter().zip(&metrics.shed) {
            out.sample(&[("reason", reason)], count.get());
        }
        out.family("ccproxy_health_requests_total", "counter", "Requests of health paths.");
        for (path, counts) in HEALTH_PATHS.iter().zip(&metrics.health) {
            for (code, count) in ["200", "503"].iter().zip(counts) {
                out.sample(&[("path", path), ("code", code)], count.get());
            }
        }
        out.single(
            "ccproxy_self_probe_duration_seconds",
            "gauge",
            "How long the server's last question to itself took.",
            metrics.self_probe_duration.get() as f64 / 1e6,
        );
        out.single(
            "ccproxy_self_probe_failures_total",
            "counter",
            "Questions of the server to itself that had no answer.",
            metrics.self_probe_failures.get(),
        );
        out.single("ccproxy_connections", "gauge", "Open connections.", load.connections);
        if let Some((queue, limit)) = load.listen_queue {
            let help = "Connections that wait to be accepted.";
            out.single("ccproxy_listen_queue", "gauge", help, queue);
            let help = "Connections that may wait to be accepted.";
            out.single("ccproxy_listen_queue_limit", "gauge", help, limit);
        }
        let help = "Requests that are being answered by the API.";
        out.single("http_server_active_requests", "gauge", help, load.in_flight);
        let model = [
            ("gen_ai_operation_name", "chat"),
            ("gen_ai_provider_name", self.config.provider),
            ("gen_ai_request_model", &*self.config.model),
        ];
        out.family(
            "http_server_request_duration_seconds",
            "histogram",
            "Requests to the API, from the end of the body to the end of the answer.",
        );
        metrics.expose_requests(&mut out);
        out.family(
            "gen_ai_client_operation_duration_seconds",
            "histogram",
            "Messages, from their coming to the end of the answer.",
        );
        out.histogram(&model, &metrics.duration);
        out.family("gen_ai_client_token_usage", "histogram", "Tokens of a message.");
        for (kind, tokens) in [("input", &metrics.input_tokens), ("output", &metrics.output_tokens)]
        {
            let labels: Vec<_> =
                model.iter().copied().chain([("gen_ai_token_type", kind)]).collect();
            out.histogram(&labels, tokens);
        }
        out.family(
            "gen_ai_client_operation_time_to_first_chunk_seconds",
            "histogram",
            "From the request to the provider to the first byte of its answer.",
        );
        out.histogram(&model, &metrics.first_chunk);
        process(&mut out);
        out.into_bytes()
    }
}

impl HealthPath {
    /// The name in `ccproxy_health_requests_total`.
    fn counted_as(&self) -> &'static str {
        match self {
            HealthPath::Root => "/",
            HealthPath::Health => "/health",
            HealthPath::Status => "/status",
            HealthPath::Live(_) => "/livez",
            HealthPath::Ready(_) => "/readyz",
            HealthPath::Started(_) => "/startupz",
            HealthPath::Ping => "/ping",
            HealthPath::Metrics => "/metrics",
        }
    }
}

/// The answer of a group of checks, as Kubernetes' own servers give it: `ok`, or a list if it was asked
/// for or something fails. Why it fails is in the log; strangers are told that it does.
fn checks(
    group: &str,
    all: &[Check],
    one: &Option<String>,
    query: &str,
    verbose: bool,
) -> Answer<'static> {
    let excluded: Vec<&str> = parameters(query, "exclude").collect();
    let wanted: Vec<&Check> =
        all.iter().filter(|(name, _)| one.as_deref().is_none_or(|one| one == *name)).collect();
    if wanted.is_empty() {
        let body = format!("{group} has no check {:?}\n", one.as_deref().unwrap_or_default());
        return Answer { status: 404, content_type: TEXT, body: body.into_bytes().into() };
    }
    let mut list = String::new();
    let mut passed = true;
    for (name, is_passed) in wanted {
        if excluded.contains(name) {
            list.push_str(&format!("[+]{name} excluded: ok\n"));
        } else if *is_passed {
            list.push_str(&format!("[+]{name} ok\n"));
        } else {
            passed = false;
            list.push_str(&format!("[-]{name} failed: reason withheld\n"));
        }
    }
    for name in excluded.iter().filter(|name| !all.iter().any(|(known, _)| known == *name)) {
        list.push_str(&format!("warn: there is no check {name:?} to exclude\n"));
    }
    let verdict = if passed { "passed" } else { "failed" };
    list.push_str(&format!("{group} check {verdict}\n"));
    let status = if passed { 200 } else { 503 };
    let body = if passed && !verbose { Cow::from(&b"ok"[..]) } else { list.into_bytes().into() };
    Answer { status, content_type: TEXT, body }
}

/// The values of the parameter `name`; one without `=` has the empty value.
fn parameters<'a>(query: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    query.split('&').filter_map(move |pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then_some(value)
    })
}

fn json(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).expect("strings and numbers always serialize")
}
