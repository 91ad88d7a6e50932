//! The HTTP API: a thread-pool server on tiny_http, behind the door.
//!
//! Only the door reaches it, over a few private connections, with requests that it has checked,
//! read whole and admitted. Such a request names an errand; the worker that takes it answers on the
//! client's own connection.

mod asking;
mod attempt;
mod catalog;
mod count;
mod delivery;
mod dispatch;
mod ledger;
mod messages;
mod models;
mod pictures;
mod question;
mod reply;
#[cfg(test)]
mod steady;
mod workers;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::config::{Config, ProviderConfig, ProviderProbe};
use crate::exchange::{Call, Errands, Exchange, Workers};
use crate::health::{Health, Outcome, ProviderHealth};
use crate::line::{Line, Peer};
use crate::moved::Moved;
use crate::openai::models::Served;
use crate::provider::Key;
use crate::threads;
use crate::unique::unique;
use crate::upstream::Upstream;
use catalog::Catalog;
use ledger::Ledger;
use pictures::Pictures;
use reply::Reply;
use workers::{Handle, Pool};

/// How often old connections to the provider are looked for.
const TIDY_EVERY: Duration = Duration::from_secs(5);
const TIDY_STACK_BYTES: usize = 256 << 10;
/// How often the provider is probed, where it is, and a bit.
const PROBE_EVERY: Duration = Duration::from_secs(60);

/// What every request shares.
struct Api {
    config: Arc<Config>,
    /// In the order of the configuration.
    providers: Vec<Provider>,
    models: Vec<models::Listed>,
    health: Arc<Health>,
    /// The places of routes where sessions are whose first place failed.
    moved: Moved,
    /// What is on pictures, for models that do not see them.
    pictures: Pictures,
}

impl Api {
    fn new(config: Arc<Config>, upstreams: Vec<Upstream>, health: Arc<Health>) -> Api {
        let models = models::list(&config);
        let known = config.providers.iter().zip(upstreams).zip(&health.providers);
        let providers = known.map(|((config, upstream), health)| Provider {
            config: config.clone(),
            upstream,
            health: Arc::clone(health),
            catalog: Catalog::default(),
        });
        Api {
            models,
            providers: providers.collect(),
            config,
            health,
            moved: Moved::default(),
            pictures: Pictures::default(),
        }
    }
}

/// A provider that can be asked.
struct Provider {
    config: ProviderConfig,
    upstream: Upstream,
    /// Its state, its metrics, and what its refusals have taught.
    health: Arc<ProviderHealth>,
    /// What it serves.
    catalog: Catalog,
}

impl Provider {
    /// What it serves by its own list, for a client that may leave meanwhile. The list costs
    /// nothing; the embedded provider has none.
    fn served(&self, key: usize, peer: Option<Arc<Peer>>) -> Option<Arc<[Served]>> {
        if self.config.row.key == Key::Embedded {
            return None;
        }
        self.catalog.get(|| self.upstream.served(key, peer))
    }

    /// Whether it searches the web by itself, asked for `model` or for its own.
    fn searches(&self, model: Option<&str>) -> bool {
        let ProviderConfig { row, model: own, .. } = &self.config;
        let is_native = self.config.is_native(model.unwrap_or(own));
        row.search.is_there() || is_native && row.native_search
    }

    /// Asks whether it is there, between messages.
    fn probe(&self, by: ProviderProbe) {
        let asked = self.health.state.asked();
        let outcome = match self.upstream.probe(by) {
            Ok(()) => Outcome::Answered,
            Err(error) => Outcome::of(&error),
        };
        self.health.state.probed(outcome, asked);
    }
}

/// Sets up the API for up to `max_in_flight` requests at once. Nobody reaches it before
/// [`Workers::open`].
///
/// # Errors
/// A sentence about what could not be started.
pub fn start(
    config: Arc<Config>,
    upstreams: Vec<Upstream>,
    errands: Arc<Errands>,
    health: Arc<Health>,
    max_in_flight: usize,
) -> Result<Arc<dyn Workers>, String> {
    let api = Arc::new(Api::new(config, upstreams, health));
    let tidied = Arc::clone(&api);
    let tidy = move || {
        let mut next_probe = Instant::now();
        loop {
            thread::sleep(TIDY_EVERY);
            guarded(|| tidied.providers.iter().for_each(|provider| provider.upstream.tidy()));
            guarded(|| tidied.health.refusals.tell());
            let by = tidied.config.provider_probe;
            if by != ProviderProbe::Off && Instant::now() >= next_probe {
                guarded(|| tidied.providers.iter().for_each(|provider| provider.probe(by)));
                next_probe = Instant::now() + PROBE_EVERY + jitter();
            }
        }
    };
    threads::start("tidy", TIDY_STACK_BYTES, tidy).map_err(|e| failed(&e))?;
    let serve = Box::new(move |exchange: &Exchange, line| serve(&api, exchange, line));
    Ok(Arc::new(Handle(Arc::new(Pool::new(serve, errands, max_in_flight)))))
}

fn failed(e: &dyn std::fmt::Display) -> String {
    format!("the API could not be started: {e}")
}

/// Up to ten seconds, so that replicas do not ask in step.
fn jitter() -> Duration {
    let sum: u64 = unique("").into_bytes().into_iter().map(u64::from).sum();
    Duration::from_millis(sum * 7919 % 10_000)
}

/// Keeps a panic to the request that met it. The reply, when dropped, tells the client; the ledger,
/// and the log itself, tell the operator.
fn guarded(work: impl FnOnce()) {
    let _ = catch_unwind(AssertUnwindSafe(work));
}

/// Answers a request on the client's connection.
fn serve(api: &Api, exchange: &Exchange, line: Line) {
    // Before the reply, so that after a panic the client is told first.
    let ledger = Ledger::open(api, exchange);
    let reply = Reply::new(line, exchange, &api.health);
    let ending = match &exchange.call {
        Call::Messages => messages::answer(api, exchange, &ledger, reply),
        Call::CountTokens => messages::count_tokens(api, exchange, &ledger, reply),
        Call::Models => models::answer_list(api, &ledger, reply),
        Call::Model(id) => models::answer_one(api, &ledger, id, reply),
    };
    ledger.settle(&ending);
}
