//! Arguments → configuration → server. The only exit.

use std::io::{self, Write};
use std::path::Path;
use std::process::exit;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};

use ccproxy::cli::{self, Command, Form};
use ccproxy::config::{self, Config, Environment, Healthcheck, Problems, Source, Watched};
use ccproxy::door::{self, Door, Limits, Resources};
use ccproxy::exchange::Errands;
use ccproxy::greeting::Greeting;
use ccproxy::health::Health;
use ccproxy::healthcheck::{self, Target};
use ccproxy::provider::Key;
use ccproxy::service::Manager;
use ccproxy::upstream::{Embedded, Upstream};
use ccproxy::{api, container, dotenv, echo, heap, logging};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;

#[global_allocator]
static MEMORY: heap::Allocator = heap::Allocator;

/// The configuration cannot be used.
const EXIT_CONFIG: i32 = 2;
/// The server could not be started.
const EXIT_START: i32 = 1;
/// The self-probe's only other answer.
const EXIT_UNHEALTHY: i32 = 1;
/// The watchdog has given up; BSD's word for an internal error.
const EXIT_HOPELESS: i32 = 70;
/// As after SIGTERM without a handler.
const EXIT_SECOND_SIGNAL: i32 = 128 + SIGTERM;

/// Before `main`, and before the standard library, which aborts the process where a standard
/// descriptor is closed and no /dev/null can take its place: an image with nothing in it has none.
#[cfg(target_os = "linux")]
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = occupy_standard_descriptors;

#[cfg(target_os = "linux")]
extern "C" fn occupy_standard_descriptors() {
    for descriptor in 0..3 {
        // SAFETY: plain system calls. What is opened gets the lowest number that is free, which is
        // this one. From an epoll nothing can be read, and nothing can be written to it.
        unsafe {
            let is_closed = libc::fcntl(descriptor, libc::F_GETFD) == -1;
            if is_closed && libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) == -1 {
                libc::epoll_create1(0);
            }
        }
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let arguments = cli::parse(args)
        .unwrap_or_else(|problem| fail(EXIT_CONFIG, &Problems(vec![problem]).to_string()));
    match arguments.command {
        Command::Help => return say(&cli::help()),
        Command::Version => return say(concat!("ccproxy ", env!("CARGO_PKG_VERSION"), "\n")),
        Command::Healthcheck(wanted) => {
            // Whatever happens, a panic included, the code is 0 or 1.
            let healthy = std::panic::catch_unwind(|| healthcheck(&arguments.flags, wanted));
            exit(if healthy.unwrap_or(false) { 0 } else { EXIT_UNHEALTHY });
        }
        Command::CheckConfig(form) => return check_config(&arguments.flags, form),
        Command::Serve => {}
    }
    let (config, watched) = configure(&arguments.flags).unwrap_or_else(|problems| {
        if wants_json(&arguments.flags) {
            let lines = problems.0.iter().map(|problem| logging::json_line(problem));
            let _ = io::stderr().write_all(lines.collect::<String>().as_bytes());
            exit(EXIT_CONFIG);
        }
        fail(EXIT_CONFIG, &problems.to_string())
    });
    exit(serve(config, watched, &arguments.flags));
}

/// Shows the configuration, or what is wrong with it.
fn check_config(flags: &[(&'static str, String)], form: Form) {
    // Also what only shows when it is used: certificates, the proxy's address.
    let checked = configure(flags).and_then(|(config, _)| match upstreams(&config, 1, None) {
        Ok(_) => Ok(config),
        Err(problem) => Err(Problems(vec![problem])),
    });
    match (checked, form) {
        (Ok(config), Form::Json) => say(&config.to_json()),
        (Ok(config), Form::Text) => {
            for warning in &config.warnings {
                let _ = writeln!(io::stderr(), "ccproxy: warning: {warning}");
            }
            say(&config.to_string());
        }
        (Err(problems), Form::Json) => {
            say(&problems.to_json());
            exit(EXIT_CONFIG);
        }
        (Err(problems), Form::Text) => fail(EXIT_CONFIG, &problems.to_string()),
    }
}

/// Asks the running server and prints one line. Returns whether it is healthy.
fn healthcheck(flags: &[(&'static str, String)], wanted: Option<String>) -> bool {
    // What the server was told on its command line the image's own probe is not told.
    let of_server = container::arguments_of_server(is_set).and_then(|args| cli::parse(args).ok());
    let of_server = of_server.map_or(Vec::new(), |arguments| arguments.flags);
    let flags = [of_server, flags.to_vec()].concat();
    let asked = with_environment(|env| Healthcheck::new(&flags, env)).and_then(|healthcheck| {
        let wanted = wanted.or(healthcheck.wanted);
        let target = Target::new(healthcheck.host, healthcheck.port, wanted.as_deref())
            .map_err(|problem| Problems(vec![format!("healthcheck: {problem}")]))?
            .announced(healthcheck.announced, healthcheck.port);
        Ok(healthcheck::probe(&target, healthcheck.timeout))
    });
    let (healthy, line) = match asked {
        Ok(Ok(line)) => (true, line),
        Ok(Err(line)) => (false, line),
        Err(Problems(problems)) => (false, format!("unhealthy: {}", problems.join("; "))),
    };
    let _ =
        if healthy { writeln!(io::stdout(), "{line}") } else { writeln!(io::stderr(), "{line}") };
    healthy
}

/// Reads settings from flags, environment and `.env`; beside them, what they said.
fn configure(flags: &[(&'static str, String)]) -> Result<(Config, Watched), Problems> {
    // Nobody reaches the loopback of a container.
    let default_host = if in_container() { config::IN_CONTAINER } else { config::ON_A_MACHINE };
    with_environment(|env| {
        let file = match Config::file(flags, env) {
            Some((name, path)) => {
                let text = std::fs::read_to_string(&path)
                    .map_err(|e| Problems(vec![format!("{name}: {path:?} cannot be read: {e}")]))?;
                Some((path, text))
            }
            None => None,
        };
        let file = file.as_ref().map(|(path, text)| (&**path, &**text));
        let config = Config::new(flags, env, default_host, file)?;
        let watched = Watched::new(&config, flags, env, file);
        Ok((config, watched))
    })
}

fn in_container() -> bool {
    container::is_own(is_set)
}

fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some()
}

/// A client for each provider.
fn upstreams(
    config: &Config,
    max_in_flight: usize,
    embedded: Option<Embedded>,
) -> Result<Vec<Upstream>, String> {
    let upstream = |provider| Upstream::new(config, provider, max_in_flight, embedded);
    config.providers.iter().map(upstream).collect()
}

/// Calls `read` with the environment, and `.env` behind it.
fn with_environment<T>(
    read: impl FnOnce(&Environment) -> Result<T, Problems>,
) -> Result<T, Problems> {
    let file = match std::fs::read_to_string(".env") {
        Ok(text) => {
            dotenv::parse(&text).map_err(|problem| Problems(vec![format!(".env, {problem}")]))?
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(e) => return Err(Problems(vec![format!(".env cannot be read: {e}")])),
    };
    // What is not UTF-8 is none of ours.
    let own = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    read(&Environment::new(own, file))
}

/// What the main thread waits for.
enum Event {
    /// TERM or INT.
    End,
    /// HUP: read again what can be read again.
    Reload,
    /// That has been read.
    Read(Box<Result<(Config, Watched), Problems>>),
    /// The watchdog has given up.
    Hopeless(String),
}

/// Serves until a signal ends it; returns the exit code.
fn serve(config: Config, mut watched: Watched, flags: &[(&'static str, String)]) -> i32 {
    // A level that a file in this directory sets does not hide that the file does.
    let of_file = matches!(config.log_level_source(), Source::Variable { line: Some(_), .. });
    let level = config.log_level;
    logging::start(
        if of_file { level.max(log::LevelFilter::Info) } else { level },
        config.log_format,
    );
    if let Some(announcement) = &config.dotenv {
        log::info!("{announcement}");
    }
    for warning in &config.warnings {
        log::warn!("{warning}");
    }
    // Before anything listens, so that no signal is missed.
    let (sender, events) = match events() {
        Ok(events) => events,
        Err(problem) => return failed(problem),
    };
    hide_keys(&config);
    let (drain_delay, shutdown_timeout) = (config.drain_delay, config.shutdown_timeout);
    let config_level = config.log_level_source();
    let variable = |name| std::env::var_os(name);
    let (socket, watchdog) = (variable("NOTIFY_SOCKET"), variable("WATCHDOG_USEC"));
    let manager = Manager::new(socket.as_deref(), watchdog.as_deref()).unwrap_or_else(|e| {
        log::warn!("NOTIFY_SOCKET: the service manager cannot be told of the start: {e}");
        Manager::default()
    });
    let manager = Arc::new(manager);
    let door = match open(config, &manager, sender.clone()) {
        Ok(door) => door,
        Err(problem) => return failed(problem),
    };
    if log::max_level() != level {
        log::info!("from here on the log is at {level} ({config_level})");
        log::set_max_level(level);
    }
    let (mut is_reading, mut is_outdated) = (false, false);
    for event in &events {
        match event {
            Event::End => break,
            // Another one is read when this one is done.
            Event::Reload if is_reading => is_outdated = true,
            Event::Reload => {
                is_reading = true;
                read_again(flags, &sender);
            }
            Event::Read(read) => {
                reload(&door, *read, &mut watched);
                is_reading = std::mem::take(&mut is_outdated);
                if is_reading {
                    read_again(flags, &sender);
                }
            }
            Event::Hopeless(reason) => {
                log::error!(
                    "giving up, so that whoever watches this process starts it again: {reason}"
                );
                end_log(&door);
                return EXIT_HOPELESS;
            }
        }
    }
    manager.is_stopping();
    log::info!(
        "shutting down: new messages for {} s more, then up to {} s for answers in progress",
        drain_delay.as_secs(),
        shutdown_timeout.as_secs()
    );
    let seen_by_second = Arc::clone(&door);
    let second = move || {
        if events.iter().any(|event| matches!(event, Event::End)) {
            log::warn!("stopped at once by a second signal");
            end_log(&seen_by_second);
            exit(EXIT_SECOND_SIGNAL);
        }
    };
    // Without this thread a second signal is only slower to be obeyed.
    let _ = std::thread::Builder::new().stack_size(64 << 10).spawn(second);
    match door.drain(drain_delay, shutdown_timeout) {
        0 => log::info!("stopped"),
        left => log::warn!("stopped with {left} answers cut off"),
    }
    end_log(&door);
    0
}

/// Writes what the log still owes.
fn end_log(door: &Door) {
    door.tell_refusals();
    logging::flush();
}

/// The channel that signals and the watchdog speak on. HUP and USR1 would end the process, and log
/// rotation sends them.
fn events() -> Result<(Sender<Event>, Receiver<Event>), String> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2])
        .map_err(|e| format!("signals cannot be handled: {e}"))?;
    let (sender, receiver) = mpsc::channel();
    let from_signals = sender.clone();
    std::thread::Builder::new()
        .name("signals".to_owned())
        .stack_size(64 << 10)
        .spawn(move || {
            for signal in signals.forever() {
                let event = match signal {
                    SIGTERM | SIGINT => Event::End,
                    SIGHUP => Event::Reload,
                    _ => continue,
                };
                if from_signals.send(event).is_err() {
                    return;
                }
            }
        })
        .map_err(|e| format!("signals cannot be handled: {e}"))?;
    Ok((sender, receiver))
}

/// Starts everything, from the provider to the public socket.
fn open(
    config: Config,
    manager: &Arc<Manager>,
    events: Sender<Event>,
) -> Result<Arc<Door>, NoStart> {
    let resources = Resources::of_this_process();
    let embeds = config.providers.iter().any(|provider| provider.row.key == Key::Embedded);
    let limits = Limits::new(&resources, config.max_in_flight, config.body_limit_bytes, embeds);
    let embedded = embeds.then_some(echo::connect as Embedded);
    let upstreams = upstreams(&config, limits.max_in_flight, embedded)
        .map_err(|problem| NoStart { code: EXIT_CONFIG, problem })?;
    let health = Arc::new(Health::new(&config));
    let errands = Arc::<Errands>::default();
    let has_client_keys = !config.client_keys.is_empty();
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
    let config = Arc::new(config);
    let workers = api::start(
        Arc::clone(&config),
        upstreams,
        Arc::clone(&errands),
        Arc::clone(&health),
        limits.max_in_flight,
    )?;
    let door = door::start(&config, limits, health, errands, workers)?;
    let greeting = Greeting {
        host: config.host,
        addresses: door.addresses(),
        in_container: in_container(),
        has_client_keys,
    };
    log::info!("{}", greeting.listens());
    log::info!("{}", greeting.invites());
    for warning in greeting.warnings() {
        log::warn!("{warning}");
    }
    let give_up = move |reason: &str| {
        let _ = events.send(Event::Hopeless(reason.to_owned()));
    };
    manager.is_ready(&greeting.listens());
    let manager = Arc::clone(manager);
    door::watch(Arc::clone(&door), move || manager.is_alive(), give_up)
        .map_err(|e| format!("the watchdog could not be started: {e}"))?;
    Ok(door)
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
    if keys == 0 && door.has_keys() && !config.is_open {
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

/// Reads the configuration on a thread of its own: a file may be a pipe that nobody writes to, and
/// SIGTERM is obeyed all the same.
fn read_again(flags: &[(&'static str, String)], events: &Sender<Event>) {
    let (flags, events) = (flags.to_vec(), events.clone());
    let read = move || drop(events.send(Event::Read(Box::new(configure(&flags)))));
    let thread = std::thread::Builder::new().name("reload".to_owned());
    // Where there is no thread it is read here, and is only that much later.
    if thread.spawn(read.clone()).is_err() {
        read();
    }
}

/// Whether the log was asked for as JSON, also where the configuration as a whole cannot be used.
fn wants_json(flags: &[(&'static str, String)]) -> bool {
    let flag = flags.iter().rev().find(|(name, _)| *name == "log-format");
    let format = flag.map(|(_, value)| value.clone()).or_else(|| std::env::var("LOG_FORMAT").ok());
    format.is_some_and(|format| format.trim().eq_ignore_ascii_case("json"))
}

/// Keeps the configuration's keys out of the log, whoever names them.
fn hide_keys(config: &Config) {
    let providers = config.providers.iter().flat_map(|provider| {
        provider.keys.iter().chain(provider.headers.iter().map(|(_, value)| value))
    });
    logging::hide(config.client_keys.iter().chain(providers));
}

fn failed(no_start: impl Into<NoStart>) -> i32 {
    let NoStart { code, problem } = no_start.into();
    logging::fatal(&problem);
    code
}

/// Why it does not start, and the code that says whether another try may help.
struct NoStart {
    code: i32,
    problem: String,
}

impl From<String> for NoStart {
    fn from(problem: String) -> NoStart {
        NoStart { code: EXIT_START, problem }
    }
}

fn fail(code: i32, text: &str) -> ! {
    let _ = writeln!(io::stderr(), "{text}");
    exit(code)
}

/// Writes what was asked for. A reader that has seen enough, as `head` has, is no failure; a full
/// disk is.
fn say(text: &str) {
    let mut out = io::stdout();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    if let Err(e) = written.or_else(|e| match e.kind() {
        io::ErrorKind::BrokenPipe => Ok(()),
        _ => Err(e),
    }) {
        fail(EXIT_START, &format!("ccproxy: the output could not be written: {e}"));
    }
}
