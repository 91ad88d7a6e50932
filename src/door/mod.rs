//! The door: the public socket, and the only code that reads bytes from strangers.
//!
//! tiny_http, which the API stands on, must not face a network: one request can end its process,
//! another leaks a thread, a burst starves connections, nothing has a limit or a deadline. So one
//! loop of the door owns every socket: it accepts, reads heads strictly and bodies whole, answers
//! health and refusals by itself, and passes to the API only requests that are complete and
//! admitted. The worker that takes one owns the client's socket until it has answered, and stays
//! with a client that asks again at once.
//!
//! ```text
//! accept ─▶ reactor ─▶ connection ─▶ desk: health and refusals are answered here
//!             │          └─ body, admission ─▶ errand ─▶ link ─▶ api: a worker answers
//!             └───────────────── the client's connection, given back ◀──┘
//! ```
//!
//! A health answer needs one descriptor, no thread, and no lock that a message holds for long. What
//! is decided about a connection, `connection` decides without IO or a clock.

mod access;
mod admission;
mod answer;
mod body;
mod chunks;
pub mod connection;
mod desk;
mod entry;
pub mod head;
mod limits;
mod link;
mod listener;
mod path;
pub mod proxy_protocol;
mod reactor;
mod regular;
mod rehearsal;
#[cfg(test)]
mod simulation;
mod slot;
mod turns;
mod watchdog;

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use access::Access;
pub use limits::{Limits, Resources};
use reactor::{Reactor, WAKER, shortage};
use regular::Stayed;
pub use rehearsal::Rehearsal;
pub use watchdog::watch;

use crate::config::{Config, Secret};
use crate::exchange::{Errands, Workers};
use crate::health::{Health, Load};
use crate::line::{Home, Return};
use crate::memory::Budget;
use crate::os::listen_queue;
use crate::threads;
use crate::unique::unique;

/// Enough for a head of 100 headers, an error's JSON, and the metrics.
const STACK_BYTES: usize = 256 << 10;

/// How long answers that were told to end may take to do so.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How soon a shutdown looks again whether there is something to wait for.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What the loop shares with the rest of the program.
struct Shared {
    limits: Limits,
    /// How long a connection is kept between two requests.
    idle_time: Duration,
    access: Access,
    budget: Arc<Budget>,
    health: Arc<Health>,
    errands: Arc<Errands>,
    workers: Arc<dyn Workers>,
    /// Messages that take a place of `max_in_flight`: see [`crate::line::Line::send_last`].
    admitted: Arc<AtomicUsize>,
    /// Messages whose answer is not sent to its end.
    in_flight: Arc<AtomicUsize>,
    /// Connections that are with their workers, also between two messages.
    staying: Arc<AtomicUsize>,
    /// New messages are refused: the server is about to end.
    closing: AtomicBool,
    /// The loop knows.
    is_closed: AtomicBool,
    /// Connections with a request that had begun by then, until they are closed.
    waited_for: AtomicUsize,
    connections: AtomicUsize,
    listeners: Vec<Arc<TcpListener>>,
    /// Turns of the loop, for who wants to know whether it stands still.
    turns: AtomicU64,
    /// The API has to be set up anew.
    wants_api: AtomicBool,
    returns: Arc<Returns>,
    commands: Mutex<Vec<Command>>,
    ids: AtomicU64,
    /// What the watchdog says, so that its questions are not counted as a prober's.
    watchword: String,
}

/// What the loop is told by others.
enum Command {
    /// No message is taken any more.
    Close,
    /// No answer is waited for any more.
    CutOff,
    /// The API is reached by these from now on.
    Connect(Vec<UnixStream>),
    /// There is no API, for a reason that somebody has to mend.
    Short(String),
}

/// Connections on their way back to the loop.
struct Returns {
    waiting: Mutex<Vec<Back>>,
    waker: mio::Waker,
}

/// A connection on its way back.
enum Back {
    Answered(Return),
    /// It was with its worker, and may have something to be done.
    Stayed(usize, Box<Stayed>),
}

impl Home for Returns {
    fn give_back(&self, returned: Return) {
        self.push(Back::Answered(returned));
    }

    fn hurry(&self) {
        // Without it the loop is only later.
        let _ = self.waker.wake();
    }
}

impl Returns {
    /// Takes a connection back from the worker that had it.
    fn bring_back(&self, key: usize, stayed: Stayed) {
        self.push(Back::Stayed(key, Box::new(stayed)));
        self.hurry();
    }

    fn push(&self, back: Back) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(back);
    }

    fn take(&self) -> Vec<Back> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The public socket.
pub struct Door {
    shared: Arc<Shared>,
    addresses: Vec<SocketAddr>,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").field("addresses", &self.addresses).finish()
    }
}

/// Binds, or takes the sockets that somebody else has `opened`, and lets clients in.
///
/// # Errors
/// A sentence about the address that cannot be listened on, or the API that cannot be reached.
pub fn start(
    config: &Config,
    limits: Limits,
    health: Arc<Health>,
    errands: Arc<Errands>,
    workers: Arc<dyn Workers>,
    opened: Option<Vec<TcpListener>>,
) -> Result<Arc<Door>, String> {
    let listeners = match opened {
        Some(opened) => {
            opened.iter().try_for_each(listener::take).map_err(|e| failed(&e))?;
            opened
        }
        None => listener::open(config.host, config.port)?,
    };
    let listeners: Vec<Arc<TcpListener>> = listeners.into_iter().map(Arc::new).collect();
    let poll = mio::Poll::new().map_err(|e| failed(&e))?;
    let waker = mio::Waker::new(poll.registry(), WAKER).map_err(|e| failed(&e))?;
    let shared = Shared::new(config, limits, health, errands, workers, listeners.clone(), waker);
    let shared = Arc::new(shared);
    let addresses = listeners.iter().filter_map(|l| l.local_addr().ok()).collect();
    let api = shared.connect_api().map_err(|e| failed(&e))?;
    let reactor =
        Reactor::new(Arc::clone(&shared), poll, listeners, api).map_err(|e| failed(&e))?;
    threads::start("door", STACK_BYTES, || reactor.run()).map_err(|e| failed(&e))?;
    Ok(Arc::new(Door { shared, addresses }))
}

fn failed(e: &io::Error) -> String {
    format!("the server could not be started: {e}")
}

impl Door {
    /// Where it listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Whether clients have to send a key.
    pub fn has_keys(&self) -> bool {
        self.shared.access.has_keys()
    }

    /// From now on these client keys are let in.
    pub fn replace_keys(&self, keys: Vec<Secret>) {
        self.shared.access.replace_keys(keys);
    }

    /// A reload has changed these settings.
    pub fn replace_flags(&self, flags: Vec<(String, String)>) {
        self.shared.health.replace_flags(flags);
    }

    /// What refusals have taught is asked anew: who reads the configuration again may have mended
    /// what was refused.
    pub fn forget_lessons(&self) {
        self.shared.health.forget_lessons();
    }

    /// Tells of the refusals that had no line of their own: the log is about to end.
    pub fn tell_refusals(&self) {
        self.shared.health.refusals.tell_all();
    }

    /// Ends the service: health says 503 at once, new messages are still taken for `delay`, then
    /// the answers in progress may take `timeout`, and what is left is told that it ends. Returns
    /// how many answers were cut off. The sockets stay open, so that health goes on telling.
    pub fn drain(&self, delay: Duration, timeout: Duration) -> usize {
        self.shared.health.drain();
        thread::sleep(delay);
        self.shared.command(Command::Close);
        let left = self.shared.wait_for_answers(timeout);
        if left > 0 {
            crate::upstream::shut_down();
            self.shared.command(Command::CutOff);
            self.shared.wait_for_answers(LAST_WORDS);
        }
        left
    }
}

impl Shared {
    fn new(
        config: &Config,
        limits: Limits,
        health: Arc<Health>,
        errands: Arc<Errands>,
        workers: Arc<dyn Workers>,
        listeners: Vec<Arc<TcpListener>>,
        waker: mio::Waker,
    ) -> Shared {
        Shared {
            limits,
            idle_time: config.keepalive_timeout,
            access: Access::new(config),
            budget: Arc::new(Budget::new(limits.memory_budget)),
            health,
            errands,
            workers,
            admitted: Arc::default(),
            in_flight: Arc::default(),
            staying: Arc::default(),
            closing: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            waited_for: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            listeners,
            turns: AtomicU64::new(0),
            wants_api: AtomicBool::new(false),
            returns: Arc::new(Returns { waiting: Mutex::default(), waker }),
            commands: Mutex::default(),
            ids: AtomicU64::new(1),
            watchword: unique("watch_"),
        }
    }

    /// The numbers that health shows.
    fn load(&self) -> Load {
        Load {
            in_flight: self.in_flight.load(Ordering::Relaxed),
            max_in_flight: self.limits.max_in_flight,
            connections: self.connections.load(Ordering::Relaxed),
            max_connections: self.limits.max_connections,
            body_bytes: self.limits.memory_budget - self.budget.left(),
            max_body_bytes: self.limits.memory_budget,
            memory_limit_bytes: self.limits.memory_limit,
            listen_queue: self.listeners.iter().find_map(|listener| listen_queue(listener)),
        }
    }

    /// Waits for messages that are being answered, and for those whose sender has to read a
    /// refusal. Returns how many answers are left.
    fn wait_for_answers(&self, timeout: Duration) -> usize {
        let deadline = Instant::now() + timeout;
        loop {
            let is_closed = self.is_closed.load(Ordering::Acquire);
            let left = self.in_flight.load(Ordering::Relaxed);
            let told = self.waited_for.load(Ordering::Relaxed) == 0;
            let all_here = self.staying.load(Ordering::Relaxed) == 0;
            if left == 0 && is_closed && told && all_here || Instant::now() >= deadline {
                return left;
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    /// Tells the loop to do something.
    fn command(&self, command: Command) {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner).push(command);
        self.returns.hurry();
    }

    fn take_commands(&self) -> Vec<Command> {
        std::mem::take(&mut *self.commands.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sets up the API's private server, and makes the connections to it.
    fn connect_api(&self) -> io::Result<Vec<UnixStream>> {
        link::connect(&*self.workers, &self.errands, || self.next_id())
    }
}
