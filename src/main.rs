//! Arguments → configuration → server. The only exit.

use std::io::{self, Write};
use std::process::exit;

use ccproxy::cli::{self, Command};
use ccproxy::config::{Config, Host, Problems};
use ccproxy::provider::Key;
use ccproxy::upstream::Upstream;
use ccproxy::{api, dotenv, echo, logging};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;

/// The configuration cannot be used.
const EXIT_CONFIG: i32 = 2;
/// The server could not be started.
const EXIT_START: i32 = 1;

fn main() {
    let arguments = cli::parse(std::env::args().skip(1))
        .unwrap_or_else(|problem| fail(EXIT_CONFIG, &Problems(vec![problem]).to_string()));
    match arguments.command {
        Command::Help => return say(&cli::help()),
        Command::Version => return say(concat!("ccproxy ", env!("CARGO_PKG_VERSION"), "\n")),
        Command::Serve | Command::CheckConfig => {}
    }
    let config = configure(&arguments.flags)
        .unwrap_or_else(|problems| fail(EXIT_CONFIG, &problems.to_string()));
    if arguments.command == Command::CheckConfig {
        // Also what only shows when it is used: certificates, the proxy's address.
        if let Err(problem) = Upstream::new(&config, None) {
            fail(EXIT_CONFIG, &Problems(vec![problem]).to_string());
        }
        return say(&config.to_string());
    }
    exit(serve(config));
}

/// Reads settings from flags, environment and `.env`.
fn configure(flags: &[(&'static str, String)]) -> Result<Config, Problems> {
    let file = match std::fs::read_to_string(".env") {
        Ok(text) => {
            dotenv::parse(&text).map_err(|problem| Problems(vec![format!(".env, {problem}")]))?
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(e) => return Err(Problems(vec![format!(".env cannot be read: {e}")])),
    };
    let env = |name: &str| {
        std::env::var(name).ok().or_else(|| {
            file.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.clone())
        })
    };
    // In a container, also in one that somebody else built, this is the first process, and nobody
    // reaches the container's loopback.
    let default_host = if std::process::id() == 1 { "::" } else { "localhost" };
    Config::new(flags, &env, default_host)
}

/// Serves until a signal ends it; returns the exit code.
fn serve(config: Config) -> i32 {
    logging::start(config.log_level, config.log_format);
    raise_descriptor_limit();
    let shutdown_timeout = config.shutdown_timeout;
    let notice = notice(&config);
    // Before anything listens, so that no signal is missed. HUP and USR1 would end the process;
    // log rotation sends them.
    let signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2]);
    let embedded = match config.provider.key {
        Key::Embedded => match echo::start() {
            Ok(name) => Some(name),
            Err(e) => return failed(&format!("the embedded provider could not be started: {e}")),
        },
        Key::Required | Key::Optional => None,
    };
    let upstream = match Upstream::new(&config, embedded) {
        Ok(upstream) => upstream,
        Err(problem) => return failed(&problem),
    };
    let is_open = config.client_keys.is_empty();
    let running = match api::start(config, upstream) {
        Ok(running) => running,
        Err(problem) => return failed(&problem),
    };
    for line in notice {
        log::info!("{line}");
    }
    let shown = running.addresses.first().map(|address| {
        let host = if address.ip().is_loopback() && running.addresses.len() > 1 {
            "localhost".to_owned()
        } else {
            address.to_string().rsplit_once(':').map_or(String::new(), |(host, _)| host.to_owned())
        };
        format!("{host}:{}", address.port())
    });
    log::info!("listening on http://{}", shown.unwrap_or_default());
    if is_open && running.addresses.iter().any(|address| !address.ip().is_loopback()) {
        log::warn!(
            "everybody who reaches this port can spend the provider's key; \
             set CCPROXY_API_KEY to let in only those who send it"
        );
    }
    let Ok(mut signals) = signals else { return failed("signals cannot be handled") };
    let mut end = move || signals.forever().find(|signal| [SIGTERM, SIGINT].contains(signal));
    let first = end();
    log::info!(
        "shutting down: waiting up to {} s for answers in progress",
        shutdown_timeout.as_secs()
    );
    std::thread::spawn(move || {
        if end().is_some() {
            logging::flush();
            exit(128 + first.unwrap_or(SIGTERM));
        }
    });
    match running.drain(shutdown_timeout) {
        0 => log::info!("stopped"),
        left => log::warn!("stopped with {left} answers cut off"),
    }
    logging::flush();
    0
}

fn notice(config: &Config) -> Vec<String> {
    let host = if config.host == Host::Localhost { "localhost" } else { "this host" };
    vec![
        format!(
            "ccproxy {}: provider {}, model {}, {}",
            env!("CARGO_PKG_VERSION"),
            config.provider.name,
            config.model,
            config.shown_base_url()
        ),
        format!("to use it: ANTHROPIC_BASE_URL=http://{host}:{} claude", config.port),
    ]
}

fn failed(problem: &str) -> i32 {
    logging::flush();
    let _ = writeln!(io::stderr(), "ccproxy: {problem}");
    EXIT_START
}

fn fail(code: i32, text: &str) -> ! {
    let _ = writeln!(io::stderr(), "{text}");
    exit(code)
}

fn say(text: &str) {
    // A closed stdout is no reason to panic.
    let _ = io::stdout().write_all(text.as_bytes());
}

/// Each connection costs up to five descriptors; the usual soft limit of 1024 is for programs that use
/// select(2).
fn raise_descriptor_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls take a valid rlimit.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max.min(65_536);
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
}
