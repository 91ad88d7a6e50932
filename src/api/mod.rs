//! The HTTP API: a thread-pool server on tiny_http, behind the door.
//!
//! It listens on a private socket and serves only requests that the door has checked, read whole and
//! admitted; what the door hands over beside a request is its [`Exchange`].

mod attempt;
mod count;
mod dispatch;
mod ledger;
mod messages;
mod models;
mod pool;
mod reply;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tiny_http::Request;

use crate::config::{Config, ProviderConfig, ProviderProbe};
use crate::exchange::{Call, Exchange, Exchanges, HEADER};
use crate::health::{Health, Outcome, ProviderState};
use crate::metrics::ProviderMetrics;
use crate::private;
use crate::unique::unique;
use crate::upstream::Upstream;
use ledger::Ledger;
use pool::Pool;
use reply::Reply;

/// How often old connections to the provider are looked for.
const TIDY_EVERY: Duration = Duration::from_secs(5);
const TIDY_STACK_BYTES: usize = 256 << 10;
/// How often the provider is probed, where it is, and a bit.
const PROBE_EVERY: Duration = Duration::from_secs(60);

/// What every request shares.
struct Api {
    config: Arc<Config>,
    /// In the order of the configuration's providers.
    upstreams: Vec<Upstream>,
    models: Vec<crate::anthropic::Model>,
    exchanges: Arc<Exchanges>,
    health: Arc<Health>,
}

/// A provider that can be asked.
#[derive(Clone, Copy)]
struct Provider<'a> {
    config: &'a ProviderConfig,
    upstream: &'a Upstream,
}

/// The API, which can be given a new socket.
pub struct Server {
    api: Arc<Api>,
    pool: Arc<Pool>,
}

impl Server {
    /// Sets up the API for up to `max_in_flight` requests at once.
    ///
    /// # Errors
    /// A sentence about what could not be started.
    pub fn new(
        config: Arc<Config>,
        upstreams: Vec<Upstream>,
        exchanges: Arc<Exchanges>,
        health: Arc<Health>,
        max_in_flight: usize,
    ) -> Result<Server, String> {
        let models = models::list(&config);
        let api = Arc::new(Api { models, config, upstreams, exchanges, health });
        let tidied = Arc::clone(&api);
        let tidy = move || {
            let mut next_probe = Instant::now();
            loop {
                thread::sleep(TIDY_EVERY);
                guarded(|| tidied.upstreams.iter().for_each(Upstream::tidy));
                tidied.health.refusals.tell();
                if tidied.config.provider_probe != ProviderProbe::Off
                    && Instant::now() >= next_probe
                {
                    guarded(|| tidied.probe_providers());
                    next_probe = Instant::now() + PROBE_EVERY + jitter();
                }
            }
        };
        thread::Builder::new()
            .name("tidy".to_owned())
            .stack_size(TIDY_STACK_BYTES)
            .spawn(tidy)
            .map_err(|e| failed(&e))?;
        Ok(Server { api, pool: Arc::new(Pool::new(max_in_flight)) })
    }

    /// Listens on a new private socket and serves it. Returns the socket's name.
    ///
    /// tiny_http stops accepting for good when it meets a shortage of descriptors or threads; a new one
    /// takes its place. The old one keeps its receiving thread, and its connections.
    ///
    /// # Errors
    /// A sentence about what could not be started.
    pub fn listen(&self) -> Result<String, String> {
        let (listener, name) = private::listen("api").map_err(|e| failed(&e))?;
        let server = tiny_http::Server::from_listener(listener, None).map_err(|e| failed(&e))?;
        // Dropping a server on an abstract socket panics.
        let server: &'static tiny_http::Server = Box::leak(Box::new(server));
        let (api, pool) = (Arc::clone(&self.api), Arc::clone(&self.pool));
        thread::Builder::new()
            .name("receive".to_owned())
            .spawn(move || receive(server, &api, &pool))
            .map_err(|e| failed(&e))?;
        Ok(name)
    }
}

fn failed(e: &dyn std::fmt::Display) -> String {
    format!("the API could not be started: {e}")
}

/// Up to ten seconds, so that replicas do not ask in step.
fn jitter() -> Duration {
    let sum: u64 = unique("").into_bytes().into_iter().map(u64::from).sum();
    Duration::from_millis(sum * 7919 % 10_000)
}

impl Api {
    /// The provider at `place`.
    fn provider(&self, place: usize) -> Provider<'_> {
        Provider { config: &self.config.providers[place], upstream: &self.upstreams[place] }
    }

    /// What is known of it.
    fn state(&self, place: usize) -> &ProviderState {
        &self.health.providers[place].state
    }

    fn metrics(&self, place: usize) -> &ProviderMetrics {
        &self.health.providers[place].metrics
    }

    /// Asks whether the providers are there, between messages.
    fn probe_providers(&self) {
        for (place, upstream) in self.upstreams.iter().enumerate() {
            let asked = self.state(place).asked();
            let outcome = match upstream.probe(self.config.provider_probe) {
                Ok(()) => Outcome::Answered,
                Err(error) => Outcome::of(&error),
            };
            self.state(place).probed(outcome, asked);
        }
    }
}

/// Receives requests for ever.
fn receive(server: &tiny_http::Server, api: &Arc<Api>, pool: &Pool) {
    loop {
        let request = match server.recv() {
            Ok(request) => request,
            Err(e) => {
                log::error!("the API accepts no further connection: {e}");
                continue;
            }
        };
        let id = request.headers().iter().find(|header| header.field.equiv(HEADER));
        let exchange = id.and_then(|id| api.exchanges.take(id.value.as_str()));
        let Some(exchange) = exchange else {
            // The door's first request on a connection, or the watchdog's.
            guarded(|| Reply::hello(request));
            continue;
        };
        let api = Arc::clone(api);
        if pool.run(move || guarded(|| serve(&api, request, exchange))) {
            log::error!("a request was dropped: no thread could be started for it");
        }
    }
}

/// Keeps a panic to the request that met it. The reply, when dropped, tells the client; the ledger, and
/// the log itself, tell the operator.
fn guarded(work: impl FnOnce()) {
    let _ = catch_unwind(AssertUnwindSafe(work));
}

/// Answers a request.
fn serve(api: &Api, request: Request, exchange: Exchange) {
    // Before the reply, so that after a panic the client is told first.
    let ledger = Ledger::open(api, &exchange);
    let reply = Reply::new(request, &exchange);
    let ending = match &exchange.call {
        Call::Messages => messages::answer(api, &exchange, &ledger, reply),
        Call::CountTokens => messages::count_tokens(api, &exchange, &ledger, reply),
        Call::Models => models::answer_list(api, reply),
        Call::Model(id) => models::answer_one(api, id, reply),
    };
    ledger.settle(&ending);
}
