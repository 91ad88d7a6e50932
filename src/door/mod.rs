//! The door: the public socket, and the only code that reads bytes from strangers.
//!
//! tiny_http, which the API stands on, must not face a network: one request can end its process,
//! another leaks a thread, a burst starves connections, nothing has a limit or a deadline. So the door
//! accepts, reads heads strictly and bodies whole, answers health and refusals by itself, and passes
//! to the API, over a private socket, only requests that are complete and admitted.
//!
//! ```text
//! accept ─▶ connection thread ─▶ health, refusals: answered here
//!                    └─ body, admission ─▶ exchange ─▶ private socket ─▶ api
//! ```
//!
//! A health answer needs one descriptor and one thread, and no lock that a message holds.

mod access;
mod answer;
mod body;
mod chunks;
mod connection;
mod handover;
mod head;
mod limits;
mod listener;
mod registry;
mod route;
mod slot;
mod turns;
mod watchdog;

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use access::Access;
use answer::Manner;
use body::Budget;
use handover::Handover;
pub use limits::{Limits, Resources};
use registry::Registry;
pub use watchdog::watch;

use crate::config::{Config, Secret};
use crate::error::Error;
use crate::exchange::Exchanges;
use crate::health::{Health, Load};
use crate::record::{Caller, Refusal};
use crate::unique::unique;

/// Enough for a head of 100 headers and an error's JSON.
const STACK_BYTES: usize = 128 << 10;

/// How often overdue connections are looked for.
const REAP_EVERY: Duration = Duration::from_millis(250);

/// How long a newcomer waits for the connection, or the thread, that makes room for it.
const ROOM_PATIENCE: Duration = Duration::from_secs(1);
/// How soon a thread that could not be started is tried again.
const RETRY: Duration = Duration::from_millis(1);

/// How long answers that were told to end may take to do so.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// What all connections share.
#[derive(Debug)]
pub struct Door {
    limits: Limits,
    body_limit_bytes: usize,
    access: Access,
    budget: Budget,
    health: Arc<Health>,
    exchanges: Arc<Exchanges>,
    handover: Handover,
    registry: Arc<Registry>,
    /// Messages that take a place of `max_in_flight`: see [`Handover::run`].
    admitted: AtomicUsize,
    /// Messages whose answer is not sent to its end.
    in_flight: AtomicUsize,
    /// New messages are refused: the server is about to end.
    closing: AtomicBool,
    addresses: Vec<SocketAddr>,
    listeners: Vec<Arc<TcpListener>>,
    /// What the watchdog says, so that its questions are not counted as a prober's.
    watchword: String,
}

/// Binds, and lets clients in. `api` is the name of the API's private socket.
///
/// # Errors
/// A sentence about the address that cannot be listened on.
pub fn start(
    config: &Config,
    limits: Limits,
    health: Arc<Health>,
    exchanges: Arc<Exchanges>,
    api: String,
) -> Result<Arc<Door>, String> {
    let listeners: Vec<Arc<TcpListener>> =
        listener::open(config.host, config.port)?.into_iter().map(Arc::new).collect();
    let door = Arc::new(Door {
        limits,
        body_limit_bytes: config.body_limit_bytes,
        access: Access::new(config),
        budget: Budget::new(limits.body_budget),
        health,
        exchanges,
        handover: Handover::new(api),
        registry: Arc::default(),
        admitted: AtomicUsize::new(0),
        in_flight: AtomicUsize::new(0),
        closing: AtomicBool::new(false),
        addresses: listeners.iter().filter_map(|l| l.local_addr().ok()).collect(),
        listeners: listeners.clone(),
        watchword: unique("watch_"),
    });
    let start = |name: &str, body: Box<dyn FnOnce() + Send>| {
        thread::Builder::new()
            .name(name.to_owned())
            .stack_size(STACK_BYTES)
            .spawn(body)
            .map_err(|e| format!("a thread could not be started: {e}"))
    };
    let reaped = Arc::clone(&door);
    let reap = move || {
        thread::sleep(REAP_EVERY);
        reaped.registry.reap();
        reaped.handover.trim();
    };
    start("reaper", Box::new(move || for_ever(reap)))?;
    for listener in listeners {
        let door = Arc::clone(&door);
        start("accept", Box::new(move || for_ever(|| door.accept(&listener))))?;
    }
    Ok(door)
}

/// Does something again and again, whatever becomes of it.
fn for_ever(mut body: impl FnMut()) {
    loop {
        if catch_unwind(AssertUnwindSafe(&mut body)).is_err() {
            log::error!("a thread of the door met a bug and goes on");
        }
    }
}

impl Door {
    /// Where it listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Whether clients have to send a key.
    pub fn has_keys(&self) -> bool {
        self.access.has_keys()
    }

    /// From now on these client keys are let in.
    pub fn replace_keys(&self, keys: Vec<Secret>) {
        self.access.replace_keys(keys);
    }

    /// What refusals have taught is asked anew: who reads the configuration again may have mended what
    /// was refused.
    pub fn forget_lessons(&self) {
        self.health.lessons.clear();
    }

    /// Ends the service: health says 503 at once, new messages are still taken for `delay`, then the
    /// answers in progress may take `timeout`, and what is left is told that it ends. Returns how many
    /// answers were cut off. The sockets stay open, so that health goes on telling.
    pub fn drain(&self, delay: Duration, timeout: Duration) -> usize {
        self.health.drain();
        thread::sleep(delay);
        self.closing.store(true, Ordering::Relaxed);
        let left = self.wait_for_answers(timeout);
        if left > 0 {
            crate::upstream::shut_down();
            self.wait_for_answers(LAST_WORDS);
        }
        left
    }

    /// The numbers that health shows.
    fn load(&self) -> Load {
        Load {
            in_flight: self.in_flight.load(Ordering::Relaxed),
            max_in_flight: self.limits.max_in_flight,
            connections: self.registry.len(),
            max_connections: self.limits.max_connections,
            body_bytes: self.limits.body_budget - self.budget.left(),
            max_body_bytes: self.limits.body_budget,
            memory_limit_bytes: self.limits.memory_limit,
            listen_queue: self.listeners.iter().find_map(listener::queue),
        }
    }

    fn wait_for_answers(&self, timeout: Duration) -> usize {
        let deadline = Instant::now() + timeout;
        loop {
            let left = self.in_flight.load(Ordering::Relaxed);
            if left == 0 || Instant::now() >= deadline {
                return left;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Lets one client in.
    fn accept(self: &Arc<Door>, listener: &TcpListener) {
        match listener.accept() {
            Ok((socket, _)) => self.admit(socket),
            Err(e) => {
                let is_shortage = matches!(
                    e.raw_os_error(),
                    Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
                );
                if is_shortage {
                    self.registry.evict();
                }
                if is_shortage || e.kind() != io::ErrorKind::ConnectionAborted {
                    thread::sleep(Duration::from_millis(2));
                }
            }
        }
    }

    /// Starts a connection's thread. Where there is no room, the connection that has waited longest
    /// goes: a newcomer may be a health probe.
    fn admit(self: &Arc<Door>, socket: TcpStream) {
        if !self.registry.make_room(self.limits.max_connections, ROOM_PATIENCE) {
            return self.turn_away(&socket);
        }
        let entry = Arc::new(self.registry.enter(socket, connection::IDLE_TIME));
        let deadline = Instant::now() + ROOM_PATIENCE;
        let mut evicted = false;
        loop {
            let (door, its) = (Arc::clone(self), Arc::clone(&entry));
            let thread = thread::Builder::new()
                .name("connection".to_owned())
                .stack_size(STACK_BYTES)
                .spawn(move || {
                    let serve = AssertUnwindSafe(|| connection::serve(&door, &its));
                    if catch_unwind(serve).is_err() {
                        log::error!("a connection met a bug in ccproxy and was closed");
                    }
                });
            if thread.is_ok() {
                return;
            }
            // The limit of threads: another connection's becomes free, a moment after it has gone.
            if Instant::now() >= deadline {
                return self.turn_away(&entry.connection.socket);
            }
            entry.connection.busy();
            evicted = evicted || self.registry.evict();
            thread::sleep(RETRY);
        }
    }

    /// Tells a client that there is no room, without waiting for it.
    fn turn_away(&self, socket: &TcpStream) {
        let error = Error::Refused {
            status: 503,
            reason: "every connection is busy with an answer".to_owned(),
        };
        let manner = Manner { head_only: false, close: true };
        let id = unique("req_");
        let caller = Caller::unknown(connection::peer_of(socket));
        self.health.refusals.refused(Refusal::Connections, &error, &id, caller);
        if socket.set_nonblocking(true).is_ok() {
            let _ = answer::send_error(socket, manner, &error, None, None, &id);
        }
    }
}
