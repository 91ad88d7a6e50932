//! Arguments → configuration → server. The only exit.

use std::io::{self, Write};
use std::process::exit;

use ccproxy::cli::{self, Command, Form};
use ccproxy::config::{self, Config, Environment, Healthcheck, Problems, Watched};
use ccproxy::healthcheck::{self, Target};
use ccproxy::serve::{self, End, NoStart, Surroundings, upstreams};
use ccproxy::{container, dotenv, heap, logging};
use signal_hook::consts::SIGTERM;

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
    let flags = &arguments.flags;
    match arguments.command {
        Command::Help => say(&cli::help()),
        Command::Version => say(concat!("ccproxy ", env!("CARGO_PKG_VERSION"), "\n")),
        Command::CheckConfig(form) => check_config(flags, form),
        Command::Healthcheck(wanted) => {
            // Whatever happens, a panic included, the code is 0 or 1.
            let healthy = std::panic::catch_unwind(|| healthcheck(flags, wanted));
            exit(if healthy.unwrap_or(false) { 0 } else { EXIT_UNHEALTHY });
        }
        Command::Serve => serve(flags, None),
        Command::Run(words) => {
            let own = OF_A_RUN.iter().filter(|(flag, variable, _)| {
                let is_given = flags.iter().any(|(given, _)| given == flag);
                !is_given && (variable.is_empty() || !is_set(variable))
            });
            let own = own.map(|(flag, _, value)| (*flag, (*value).to_owned()));
            let flags: Vec<_> = flags.iter().cloned().chain(own).collect();
            serve(&flags, Some(words));
        }
    }
}

/// Settings of a server that a client is started beside: the flag, the variable by which its user
/// may have it otherwise, and the value. It is reached from this machine alone, and the screen is
/// the client's.
const OF_A_RUN: &[(&str, &str, &str)] =
    &[("host", "", "127.0.0.1"), ("port", "", "0"), ("log-level", "LOG_LEVEL", "off")];

/// Serves, for the client that these words start if there are any, to the end of the process.
fn serve(flags: &[(&'static str, String)], client: Option<Vec<String>>) -> ! {
    match configure(flags) {
        Ok((config, watched)) => exit(run(config, watched, flags, client)),
        Err(problems) => refuse(&problems, flags),
    }
}

/// Tells what is wrong with the configuration, in the form that the log was asked for in.
fn refuse(problems: &Problems, flags: &[(&'static str, String)]) -> ! {
    if wants_json(flags) {
        let lines = problems.0.iter().map(|problem| logging::json_line(problem));
        let _ = io::stderr().write_all(lines.collect::<String>().as_bytes());
        exit(EXIT_CONFIG);
    }
    fail(EXIT_CONFIG, &problems.to_string())
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

/// Calls `read` with the environment, and `.env` behind it.
fn with_environment<T>(
    read: impl FnOnce(&Environment) -> Result<T, Problems>,
) -> Result<T, Problems> {
    let file = match std::fs::read(".env") {
        // In another program's file there may be another encoding, which is none of ours.
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            dotenv::parse(&text, config::is_setting)
                .map_err(|problem| Problems(vec![format!(".env, {problem}")]))?
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(e) => return Err(Problems(vec![format!(".env cannot be read: {e}")])),
    };
    // What is not UTF-8 is none of ours.
    let own = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    read(&Environment::new(own, file))
}

/// Serves, until a signal, the client or the watchdog ends it; returns the exit code.
fn run(
    config: Config,
    watched: Watched,
    flags: &[(&'static str, String)],
    client: Option<Vec<String>>,
) -> i32 {
    let around = Surroundings {
        flags,
        read: configure,
        variable: |name| std::env::var_os(name),
        in_container: in_container(),
        client,
        at_once: || exit(EXIT_SECOND_SIGNAL),
    };
    let (code, problem) = match serve::serve(config, watched, around) {
        Ok(End::Stopped) => return 0,
        Ok(End::Client(code)) => return code,
        Ok(End::Hopeless) => return EXIT_HOPELESS,
        Err(NoStart::Config(problem)) => (EXIT_CONFIG, problem),
        Err(NoStart::System(problem)) => (EXIT_START, problem),
    };
    logging::fatal(&problem);
    code
}

/// Whether the log was asked for as JSON, also where the configuration as a whole cannot be used.
fn wants_json(flags: &[(&'static str, String)]) -> bool {
    let flag = flags.iter().rev().find(|(name, _)| *name == "log-format");
    let format = flag.map(|(_, value)| value.clone()).or_else(|| std::env::var("LOG_FORMAT").ok());
    format.is_some_and(|format| format.trim().eq_ignore_ascii_case("json"))
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
