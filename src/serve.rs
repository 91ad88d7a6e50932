//! Serving: everything is started, from the provider to the public socket, and ended when a signal
//! says so. What a signal lets be read again is taken over meanwhile.
//!
//! ```text
//! start ─▶ serving ──HUP──▶ the configuration is read, client keys and log level are taken over
//!             │ TERM, INT                                    │ the watchdog has given up
//!             ▼                                              ▼
//!          draining ─▶ stopped, or at once by a second one   hopeless
//! ```

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};

use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;

use crate::config::{Config, Problems, Secret, Source, Watched};
use crate::door::{self, Door, Limits, Resources};
use crate::exchange::Errands;
use crate::greeting::Greeting;
use crate::health::Health;
use crate::provider::Key;
use crate::service::{Manager, Sockets};
use crate::upstream::{Embedded, Upstream};
use crate::{api, echo, heap, logging, os, run, threads};

/// What a signal or the watchdog needs next to nothing for.
const SMALL_STACK_BYTES: usize = 64 << 10;

/// As the main thread has it, at the least.
const READER_STACK_BYTES: usize = 2 << 20;

/// The exit code of a client that has none.
const EXIT_UNKNOWN: i32 = 1;

/// Reads the configuration; beside it, what the settings said.
pub type Read = fn(&[(&'static str, String)]) -> Result<(Config, Watched), Problems>;

/// What the process knows of its surroundings.
#[derive(Debug)]
#[expect(missing_docs, reason = "the names of its fields say it")]
pub struct Surroundings<'a> {
    pub flags: &'a [(&'static str, String)],
    pub read: Read,
    /// The value of a variable of the environment.
    pub variable: fn(&str) -> Option<OsString>,
    pub in_container: bool,
    /// The words of a client that is started beside the server, and ends it.
    pub client: Option<Vec<String>>,
    /// Ends the process: a second signal has come.
    pub at_once: fn() -> !,
}

/// How serving has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By a signal.
    Stopped,
    /// With the client that was started, and its exit code.
    Client(i32),
    /// The watchdog has given up.
    Hopeless,
}

/// Why it does not start: whether another try may help.
#[derive(Debug)]
pub enum NoStart {
    /// Not before the configuration is mended.
    Config(String),
    /// The system has refused something.
    System(String),
}

impl From<String> for NoStart {
    fn from(problem: String) -> NoStart {
        NoStart::System(problem)
    }
}

/// What serving waits for.
enum Event {
    /// TERM or INT.
    End,
    /// CHLD: a process that was started has ended.
    ChildEnded,
    /// HUP: read again what can be read again.
    Reload,
    /// That has been read.
    Read(Box<Result<(Config, Watched), Problems>>),
    /// The watchdog has given up.
    Hopeless(String),
}

/// Serves until a signal ends it. `watched` is what the settings said when `config` was read.
///
/// # Errors
/// It could not be started.
pub fn serve(config: Config, watched: Watched, around: Surroundings<'_>) -> Result<End, NoStart> {
    // Before anything opens a descriptor that could be taken for one of these.
    let sockets = Sockets::inherited(around.variable);
    start_log(&config);
    let sockets = sockets.map_err(NoStart::Config)?;
    // Before anything listens, so that no signal is missed.
    let (sender, events) = events(around.client.is_some())?;
    let client_key = config.client_keys.first().cloned();
    hide_keys(&config);
    let (level, its_source) = (config.log_level, config.log_level_source());
    let (drain_delay, shutdown_timeout) = (config.drain_delay, config.shutdown_timeout);
    let manager = Arc::new(Manager::of(around.variable));
    let door = open(config, sockets, &manager, around.in_container, sender.clone())?;
    if log::max_level() != level {
        log::info!("from here on the log is at {level} ({its_source})");
        log::set_max_level(level);
    }
    let client = match &around.client {
        Some(words) => Some(start_client(words, &door, client_key.as_ref(), around.variable)?),
        None => None,
    };
    let read = Reader { flags: around.flags.to_vec(), read: around.read, events: sender };
    match wait(&door, &events, &read, watched, client) {
        Why::Signal => {}
        Why::Hopeless(reason) => {
            door.tell_refusals();
            logging::fatal(&format!(
                "giving up, so that whoever watches this process starts it again: {reason}"
            ));
            return Ok(End::Hopeless);
        }
        Why::Client(code) => {
            end_log(&door);
            return Ok(End::Client(code));
        }
    }
    manager.is_stopping();
    log::info!(
        "shutting down: new messages for {} s more, then up to {} s for answers in progress",
        drain_delay.as_secs(),
        shutdown_timeout.as_secs()
    );
    obey_second_signal(&door, events, around.at_once);
    match door.drain(drain_delay, shutdown_timeout) {
        0 => log::info!("stopped"),
        left => log::warn!("stopped with {left} answers cut off"),
    }
    end_log(&door);
    Ok(End::Stopped)
}

/// Begins the log with what was found out before there was one.
fn start_log(config: &Config) {
    // A level that a file in this directory sets does not hide that the file does.
    let of_file = matches!(config.log_level_source(), Source::Variable { line: Some(_), .. });
    let level = config.log_level;
    let level = if of_file { level.max(log::LevelFilter::Info) } else { level };
    logging::start(level, config.log_format);
    if let Some(announcement) = &config.dotenv {
        log::info!("{announcement}");
    }
    for warning in &config.warnings {
        log::warn!("{warning}");
    }
}

/// Starts the client of these words beside the server.
fn start_client(
    words: &[String],
    door: &Door,
    client_key: Option<&Secret>,
    variable: fn(&str) -> Option<OsString>,
) -> Result<Child, String> {
    let address = door.addresses().first().copied();
    let address = address.ok_or("there is no address that a client could be told")?;
    run::start(words, address, client_key.map(Secret::expose), variable)
}

/// Why serving is to end.
enum Why {
    Signal,
    /// The watchdog has given up.
    Hopeless(String),
    /// The client has ended, with this exit code.
    Client(i32),
}

/// Serves until it is to end: with the client, if there is one, which is asked to end by a first
/// signal and ended by a second one.
fn wait(
    door: &Door,
    events: &Receiver<Event>,
    reader: &Reader,
    mut watched: Watched,
    mut client: Option<Child>,
) -> Why {
    let (mut is_reading, mut is_outdated) = (false, false);
    let mut is_asked_to_end = false;
    for event in events {
        match event {
            Event::End => match &mut client {
                None => break,
                Some(client) if !is_asked_to_end => {
                    is_asked_to_end = true;
                    os::terminate(client);
                }
                // It may have ended already.
                Some(client) => drop(client.kill()),
            },
            Event::ChildEnded => {
                // A program that prints a token may have been it.
                let ended = client.as_mut().map(Child::try_wait);
                if let Some(Ok(Some(status))) = ended {
                    return Why::Client(exit_code(status));
                }
            }
            // Another one is read when this one is done.
            Event::Reload if is_reading => is_outdated = true,
            Event::Reload => {
                is_reading = true;
                reader.begin();
            }
            Event::Read(read) => {
                reload(door, *read, &mut watched);
                is_reading = std::mem::take(&mut is_outdated);
                if is_reading {
                    reader.begin();
                }
            }
            Event::Hopeless(reason) => {
                if let Some(client) = &client {
                    os::terminate(client);
                }
                return Why::Hopeless(reason);
            }
        }
    }
    Why::Signal
}

/// As shells have it: 128 and the signal's number for what a signal has ended.
fn exit_code(status: ExitStatus) -> i32 {
    status.code().or_else(|| Some(128 + status.signal()?)).unwrap_or(EXIT_UNKNOWN)
}

/// Ends the process when a signal comes while it is about to end anyway.
fn obey_second_signal(door: &Arc<Door>, events: Receiver<Event>, at_once: fn() -> !) {
    let door = Arc::clone(door);
    let second = move || {
        if events.iter().any(|event| matches!(event, Event::End)) {
            log::warn!("stopped at once by a second signal");
            end_log(&door);
            at_once();
        }
    };
    // Without this thread a second signal is only slower to be obeyed.
    let _ = threads::start("second signal", SMALL_STACK_BYTES, second);
}

/// Writes what the log still owes.
fn end_log(door: &Door) {
    door.tell_refusals();
    logging::flush();
}

/// The channel that signals and the watchdog speak on. HUP and USR1 would end the process, and log
/// rotation sends them.
///
/// What a terminal sends goes to a client that was started too, which knows what to do: INT is its
/// user's word for it, and not for ccproxy.
fn events(runs_client: bool) -> Result<(Sender<Event>, Receiver<Event>), String> {
    let child = runs_client.then_some(SIGCHLD);
    let handled = [SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2].into_iter().chain(child);
    let mut signals =
        Signals::new(handled).map_err(|e| format!("signals cannot be handled: {e}"))?;
    let (sender, receiver) = mpsc::channel();
    let from_signals = sender.clone();
    let tell = move || {
        for signal in signals.forever() {
            let event = match signal {
                SIGINT if runs_client => continue,
                SIGTERM | SIGINT => Event::End,
                SIGCHLD => Event::ChildEnded,
                SIGHUP => Event::Reload,
                _ => continue,
            };
            if from_signals.send(event).is_err() {
                return;
            }
        }
    };
    threads::start("signals", SMALL_STACK_BYTES, tell)
        .map_err(|e| format!("signals cannot be handled: {e}"))?;
    Ok((sender, receiver))
}

/// Starts everything, from the provider to the public socket.
fn open(
    mut config: Config,
    sockets: Option<Sockets>,
    manager: &Arc<Manager>,
    in_container: bool,
    events: Sender<Event>,
) -> Result<Arc<Door>, NoStart> {
    let resources = Resources::of_this_process();
    let embeds = config.providers.iter().any(|provider| provider.row.key == Key::Embedded);
    let limits = Limits::new(&resources, config.max_in_flight, config.body_limit_bytes, embeds);
    let embedded = embeds.then_some(echo::connect as Embedded);
    heap::keep_for(limits.memory_budget);
    let upstreams = upstreams(&config, limits.max_in_flight, embedded).map_err(NoStart::Config)?;
    let health = Arc::new(Health::new(&config));
    let errands = Arc::<Errands>::default();
    let has_client_keys = !config.client_keys.is_empty();
    announce(&config, &limits);
    if let Some(sockets) = &sockets {
        (config.host, config.port) = sockets.host();
        log::info!(
            "the service manager has opened {} sockets (LISTEN_FDS): SERVER_HOST and SERVER_PORT \
             do not count",
            sockets.listeners.len()
        );
    }
    let config = Arc::new(config);
    let workers = api::start(
        Arc::clone(&config),
        upstreams,
        Arc::clone(&errands),
        Arc::clone(&health),
        limits.max_in_flight,
    )?;
    let opened = sockets.map(|sockets| sockets.listeners);
    let door = door::start(&config, limits, health, errands, workers, opened)?;
    let greeting =
        Greeting { host: config.host, addresses: door.addresses(), in_container, has_client_keys };
    greet(&greeting);
    let give_up = move |reason: &str| {
        let _ = events.send(Event::Hopeless(reason.to_owned()));
    };
    // What a process is called within a container means somebody else outside.
    let pid = (!in_container).then(std::process::id);
    manager.is_ready(&greeting.listens(), pid);
    let manager = Arc::clone(manager);
    door::watch(Arc::clone(&door), move || manager.is_alive(), give_up)
        .map_err(|e| format!("the watchdog could not be started: {e}"))?;
    Ok(door)
}

/// Tells what is about to be served.
fn announce(config: &Config, limits: &Limits) {
    for provider in &config.providers {
        log::info!(
            "ccproxy {}: provider {}, model {}, {}",
            env!("CARGO_PKG_VERSION"),
            provider.name,
            provider.model,
            provider.shown_base_url()
        );
    }
    log::info!(
        "up to {} messages at once, {} connections, bodies of {} bytes",
        limits.max_in_flight,
        limits.max_connections,
        limits.body_limit
    );
}

/// Tells where it listens, and what to do now.
fn greet(greeting: &Greeting<'_>) {
    log::info!("{}", greeting.listens());
    log::info!("{}", greeting.invites());
    for warning in greeting.warnings() {
        log::warn!("{warning}");
    }
}

/// A client for each provider.
///
/// # Errors
/// A sentence about a setting that only shows when it is used: a certificate, the address of the
/// HTTP proxy.
pub fn upstreams(
    config: &Config,
    max_in_flight: usize,
    embedded: Option<Embedded>,
) -> Result<Vec<Upstream>, String> {
    let upstream = |provider| Upstream::new(config, provider, max_in_flight, embedded);
    config.providers.iter().map(upstream).collect()
}

/// Takes over what may change while serving: the client keys and the log level. A configuration
/// that is not valid changes nothing, and one that would let in everybody has to say so. `watched`
/// is what the settings said before.
fn reload(door: &Door, read: Result<(Config, Watched), Problems>, watched: &mut Watched) {
    let (config, now) = match read {
        Ok(read) => read,
        Err(problems) => {
            return log::error!("the configuration stays as it was: {problems}");
        }
    };
    hide_keys(&config);
    log::set_max_level(config.log_level);
    door.forget_lessons();
    let (live, late) = watched.changed(&now);
    let keys = config.client_keys.len();
    let stay = keys == 0 && door.has_keys() && !config.is_open;
    let shown = config.live().into_iter().map(|shown| (shown.name.to_owned(), shown.value));
    door.replace_flags(shown.filter(|(name, _)| !stay || name != "CCPROXY_API_KEY").collect());
    if stay {
        let place =
            if Path::new(".env").exists() { "nor does .env" } else { "and there is no .env" };
        log::error!(
            "the client keys stay as they were: the environment sets CCPROXY_API_KEY to no key, \
             {place}, and without one everybody could spend the provider's key; \
             if that is meant, set CCPROXY_OPEN=on"
        );
    } else {
        door.replace_keys(config.client_keys);
        let names = if live.is_empty() { "nothing".to_owned() } else { live.join(", ") };
        log::info!("read the configuration again: {keys} client keys; changed: {names}");
    }
    if late.is_empty() {
        *watched = now;
    } else {
        log::warn!("changed, and taken by a restart alone: {}", late.join(", "));
    }
}

/// Reads the configuration again.
struct Reader {
    flags: Vec<(&'static str, String)>,
    read: Read,
    events: Sender<Event>,
}

impl Reader {
    /// On a thread of its own: a file may be a pipe that nobody writes to, and SIGTERM is obeyed
    /// all the same.
    fn begin(&self) {
        let (flags, events, read) = (self.flags.clone(), self.events.clone(), self.read);
        let work = move || drop(events.send(Event::Read(Box::new(read(&flags)))));
        // Where there is no thread it is read here, and is only that much later.
        if threads::start("reload", READER_STACK_BYTES, work.clone()).is_err() {
            work();
        }
    }
}

/// Keeps the configuration's keys out of the log, whoever names them.
fn hide_keys(config: &Config) {
    let providers = config.providers.iter().flat_map(|provider| {
        provider.keys.iter().chain(provider.headers.iter().map(|(_, value)| value))
    });
    logging::hide(config.client_keys.iter().chain(providers));
}
