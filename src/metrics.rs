//! Counters and histograms, and their exposition as text.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>; names follow OpenTelemetry where
//! it has one, and CCProxy's documents for the three that they name.

#![expect(missing_docs, reason = "the metrics have their words in the answer")]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::error::Cause;
use crate::labels::labels;
use crate::os;

/// What is counted of one provider.
#[derive(Debug)]
pub struct ProviderMetrics {
    /// Messages that it answered, that failed, and whose clients left, with it as the last one
    /// asked.
    pub succeeded: Counter,
    pub failed: Counter,
    pub cancelled: Counter,
    /// Of a message, with those that a cache knew.
    pub input_tokens: Histogram,
    pub output_tokens: Histogram,
    /// Of the input, what was read from a cache and what was written to one.
    pub cache_read_tokens: Counter,
    pub cache_write_tokens: Counter,
    /// Of a message, from its coming to the API to the end of its answer.
    pub duration: Histogram,
    /// Of a stream, from the request to the provider to the first byte of its answer's body, and
    /// from each piece to the next.
    pub first_chunk: Histogram,
    pub next_chunk: Histogram,
    /// By cause: [`Cause::ALL`].
    pub upstream_errors: [Counter; Cause::ALL.len()],
    /// Messages that went on to another provider when it failed.
    pub fallbacks: Counter,
    /// Requests that were sent once more, since a refusal told how.
    pub adjusted: Counter,
    /// Pictures that it described for another's model.
    pub described: Counter,
}

/// Everything else that is counted.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Requests to the API, as the door sees them. Locked once for each, when it is over.
    requests: Mutex<BTreeMap<Labels, Histogram>>,
    /// By path: [`Probed::ALL`], and by answer: [`Verdict::ALL`].
    pub health: [[Counter; Verdict::ALL.len()]; Probed::ALL.len()],
    pub self_probe_failures: Counter,
    /// In microseconds.
    pub self_probe_duration: Counter,
}

/// Whether an error for this reason is one of a provider, so of `ccproxy_upstream_errors_total`.
pub fn is_the_providers(cause: Cause) -> bool {
    !matches!(
        cause,
        Cause::InvalidRequest
            | Cause::Unauthorized
            | Cause::Forbidden
            | Cause::TooLarge
            | Cause::ClientLimit
            | Cause::Shed
            | Cause::Internal
            | Cause::BreakerOpen
    )
}

labels! {
    /// The paths of `ccproxy_health_requests_total`.
    pub enum Probed {
        Root = "/",
        Health = "/health",
        Status = "/status",
        Live = "/livez",
        Ready = "/readyz",
        Started = "/startupz",
        Ping = "/ping",
        Metrics = "/metrics",
        Statusz = "/statusz",
        Flagz = "/flagz",
    }
}

/// What a path of health answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Well,
    /// There is no such check.
    Unknown,
    /// There is no such form of it.
    Formless,
    Unwell,
}

impl Verdict {
    /// In the order of the declaration.
    pub const ALL: [Verdict; 4] =
        [Verdict::Well, Verdict::Unknown, Verdict::Formless, Verdict::Unwell];

    /// Whether something is well.
    pub fn of(is_well: bool) -> Verdict {
        if is_well { Verdict::Well } else { Verdict::Unwell }
    }

    /// Its HTTP status, which is its label too.
    pub fn status(self) -> u16 {
        match self {
            Verdict::Well => 200,
            Verdict::Unknown => 404,
            Verdict::Formless => 406,
            Verdict::Unwell => 503,
        }
    }
}

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Histogram {
    /// The sum of whole values, such as tokens.
    pub fn total(&self) -> u64 {
        self.millionths.get() / 1_000_000
    }
}

impl Counter {
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The buckets that OpenTelemetry recommends for the requests of a server, in seconds.
const SERVER_SECONDS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// The buckets that it recommends for models, in seconds and in tokens.
const MODEL_SECONDS: &[f64] =
    &[0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
const MODEL_TOKENS: &[f64] = &[
    1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0, 16384.0, 65536.0, 262144.0, 1048576.0, 4194304.0,
    16777216.0, 67108864.0,
];

/// Values, in buckets.
#[derive(Debug)]
pub struct Histogram {
    limits: &'static [f64],
    counts: Box<[Counter]>,
    count: Counter,
    /// The sum, in millionths.
    millionths: Counter,
}

impl Histogram {
    fn new(limits: &'static [f64]) -> Histogram {
        Histogram {
            limits,
            counts: limits.iter().map(|_| Counter::default()).collect(),
            count: Counter::default(),
            millionths: Counter::default(),
        }
    }

    pub fn observe_time(&self, time: Duration) {
        let millionths = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.observe(time.as_secs_f64(), millionths);
    }

    pub fn observe_tokens(&self, tokens: u64) {
        self.observe(tokens as f64, tokens.saturating_mul(1_000_000));
    }

    fn observe(&self, value: f64, millionths: u64) {
        if let Some(bucket) = self.limits.iter().position(|limit| value <= *limit) {
            self.counts[bucket].add(1);
        }
        self.count.add(1);
        self.millionths.add(millionths);
    }
}

/// Method, route and status of a request to the API.
pub type Labels = (&'static str, &'static str, u16);

impl Default for ProviderMetrics {
    fn default() -> ProviderMetrics {
        ProviderMetrics {
            succeeded: Counter::default(),
            failed: Counter::default(),
            cancelled: Counter::default(),
            input_tokens: Histogram::new(MODEL_TOKENS),
            output_tokens: Histogram::new(MODEL_TOKENS),
            cache_read_tokens: Counter::default(),
            cache_write_tokens: Counter::default(),
            duration: Histogram::new(MODEL_SECONDS),
            first_chunk: Histogram::new(MODEL_SECONDS),
            next_chunk: Histogram::new(MODEL_SECONDS),
            upstream_errors: Default::default(),
            fallbacks: Counter::default(),
            adjusted: Counter::default(),
            described: Counter::default(),
        }
    }
}

impl ProviderMetrics {
    /// Counts an error of the provider; what is not its own is none.
    pub fn upstream_error(&self, cause: Cause) {
        if is_the_providers(cause) {
            self.upstream_errors[cause as usize].add(1);
        }
    }
}

impl Metrics {
    /// Counts a request to the API.
    pub fn request(&self, labels: Labels, duration: Duration) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests
            .entry(labels)
            .or_insert_with(|| Histogram::new(SERVER_SECONDS))
            .observe_time(duration);
    }

    /// Appends the histograms of the requests to the API.
    pub fn expose_requests(&self, out: &mut Exposition) {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        for ((method, route, status), histogram) in requests.iter() {
            let status = status.to_string();
            let labels = [
                ("http_request_method", *method),
                ("http_route", *route),
                ("http_response_status_code", &*status),
            ];
            out.histogram(&labels, histogram);
        }
    }

    /// Counts a health request.
    pub fn health(&self, path: Probed, verdict: Verdict) {
        self.health[path as usize][verdict as usize].add(1);
    }
}

/// Text in the making. A family is begun once, then its samples follow.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
    name: &'static str,
    /// Its reader has no client key, where one is needed: nothing of models and tokens is told.
    for_strangers: bool,
}

impl Exposition {
    pub fn new() -> Exposition {
        Exposition { text: String::with_capacity(8192), ..Exposition::default() }
    }

    pub fn for_strangers() -> Exposition {
        Exposition { for_strangers: true, ..Exposition::new() }
    }

    /// Whether the family is left out.
    fn is_hidden(&self) -> bool {
        self.for_strangers && (self.name.starts_with("gen_ai_") || self.name.contains("token"))
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.text.into_bytes()
    }

    pub fn family(&mut self, name: &'static str, kind: &str, help: &str) -> &mut Exposition {
        self.name = name;
        if !self.is_hidden() {
            let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        }
        self
    }

    /// One sample of the family. Labels are given as pairs.
    pub fn sample(
        &mut self,
        labels: &[(&str, &str)],
        value: impl std::fmt::Display,
    ) -> &mut Exposition {
        self.line("", labels, value);
        self
    }

    /// A family of one sample without labels.
    pub fn single(
        &mut self,
        name: &'static str,
        kind: &str,
        help: &str,
        value: impl std::fmt::Display,
    ) {
        self.family(name, kind, help).sample(&[], value);
    }

    /// A histogram's samples.
    pub fn histogram(&mut self, labels: &[(&str, &str)], histogram: &Histogram) {
        let mut below = 0;
        for (limit, count) in histogram.limits.iter().zip(&histogram.counts) {
            below += count.get();
            let limit = limit.to_string();
            let labels: Vec<_> = labels.iter().copied().chain([("le", &*limit)]).collect();
            self.line("_bucket", &labels, below);
        }
        // A time that is being counted may be in a bucket and not yet in the count.
        let count = histogram.count.get().max(below);
        let all: Vec<_> = labels.iter().copied().chain([("le", "+Inf")]).collect();
        self.line("_bucket", &all, count);
        self.line("_sum", labels, histogram.millionths.get() as f64 / 1e6);
        self.line("_count", labels, count);
    }

    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let names_model = labels.iter().any(|(name, _)| name.contains("model"));
        if self.is_hidden() || (self.for_strangers && names_model) {
            return;
        }
        let _ = write!(self.text, "{}{suffix}", self.name);
        for (i, (name, text)) in labels.iter().enumerate() {
            let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.text, "{}{name}=\"{escaped}\"", if i == 0 { '{' } else { ',' });
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }
}

/// The process.
pub fn process(out: &mut Exposition) {
    if let Ok(stat) = std::fs::read_to_string("/proc/self/stat") {
        of_proc(&stat, out);
    }
    let limit = os::limit(libc::RLIMIT_NOFILE);
    out.single("process_max_fds", "gauge", "File descriptors there may be.", limit.soft);
}

/// The process as `/proc` shows it, which not every system has.
fn of_proc(stat: &str, out: &mut Exposition) {
    // The command's name may hold spaces; the fields follow its parenthesis.
    let fields: Vec<f64> = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace().map(|f| f.parse().unwrap_or(0.0)).collect())
        .unwrap_or_default();
    let field = |number: usize| fields.get(number - 3).copied().unwrap_or(0.0);
    let (ticks, page) = (os::constant(libc::_SC_CLK_TCK), os::constant(libc::_SC_PAGESIZE));
    let boot: f64 = std::fs::read_to_string("/proc/stat")
        .unwrap_or_default()
        .lines()
        .find_map(|line| line.strip_prefix("btime ")?.parse().ok())
        .unwrap_or(0.0);
    out.single(
        "process_cpu_seconds_total",
        "counter",
        "Time on processors, of the system and the user, in seconds.",
        (field(14) + field(15)) / ticks,
    );
    out.single(
        "process_start_time_seconds",
        "gauge",
        "When the process began, in seconds since 1970.",
        boot + field(22) / ticks,
    );
    out.single(
        "process_resident_memory_bytes",
        "gauge",
        "Memory in use, in bytes.",
        field(24) * page,
    );
    let descriptors = std::fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count());
    out.single(
        "process_open_fds",
        "gauge",
        "Open file descriptors.",
        descriptors.saturating_sub(1),
    );
}
