//! The command line: what to do, and settings as flags.

use crate::config::{Group, SETTINGS, Setting};
use crate::greeting::claude_command;
use crate::healthcheck::Target;
use crate::network::Host;
use crate::provider::PROVIDERS;
use crate::{run, text, typo};

/// What the program is asked to do.
#[derive(Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of its variants say it")]
pub enum Command {
    Serve,
    /// Serve a client that is started beside it, by these words.
    Run(Vec<String>),
    CheckConfig(Form),
    /// Ask the running server, with the option's value.
    Healthcheck(Option<String>),
    Help,
    Version,
}

/// How the configuration is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of its variants say it")]
pub enum Form {
    Text,
    Json,
}

/// The command and the flags that are settings, by name without dashes.
#[derive(Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of its fields say it")]
pub struct Arguments {
    pub command: Command,
    pub flags: Vec<(&'static str, String)>,
}

/// The options that are no settings, with what they do.
const COMMANDS: &[(&str, &str)] = &[
    (
        "run [COMMAND]...",
        "serve on a free port of this machine for a client that is started beside it (claude, where none is named), with the variables that it needs, and end with it; options stand before it",
    ),
    (
        "--check-config[=json]",
        "check the configuration, show every setting with where it is from, without secrets, and exit",
    ),
    (
        "--healthcheck[=live|ready|/PATH|URL], healthcheck",
        "ask the running server; exit code 0 if it is healthy, else 1",
    ),
    ("-h, --help", "this text"),
    ("-v, --version", "the version"),
];

/// The columns of a terminal.
const WIDTH: usize = 80;

/// Reads the arguments, without the program's name.
///
/// # Errors
/// One sentence about the first argument that is not understood.
pub fn parse(args: impl IntoIterator<Item = String>) -> Result<Arguments, String> {
    let mut arguments = Arguments { command: Command::Serve, flags: Vec::new() };
    let mut args = args.into_iter().peekable();
    while let Some(arg) = args.next() {
        match &*arg {
            // Help is given whatever else stands on the line.
            "--help" | "-h" | "help" => {
                arguments.command = Command::Help;
                return Ok(arguments);
            }
            "--version" | "-V" | "-v" | "version" => {
                arguments.command = Command::Version;
                return Ok(arguments);
            }
            "run" => {
                arguments.command = Command::Run(run::command(args.collect()));
                return Ok(arguments);
            }
            "--check-config" | "--check-config=text" => {
                arguments.command = Command::CheckConfig(Form::Text);
            }
            "--check-config=json" => arguments.command = Command::CheckConfig(Form::Json),
            _ if arg.starts_with("--check-config=") => {
                let form = &arg["--check-config=".len()..];
                return Err(format!("--check-config: {form:?} is not a form; use text or json"));
            }
            "--healthcheck" | "healthcheck" => arguments.command = Command::Healthcheck(None),
            _ if arg.starts_with("--healthcheck=") => {
                let wanted = arg.split_once('=').map(|(_, wanted)| wanted.to_owned());
                Target::new(Host::Localhost, 0, wanted.as_deref())
                    .map_err(|problem| format!("--healthcheck: {problem}"))?;
                arguments.command = Command::Healthcheck(wanted);
            }
            _ => {
                let (name, value) = match arg.split_once('=') {
                    Some((name, value)) => (name, Some(value.to_owned())),
                    None => (&*arg, None),
                };
                let flag = name
                    .strip_prefix("--")
                    .and_then(|flag| SETTINGS.iter().find(|s| s.flag == flag && !flag.is_empty()))
                    .ok_or_else(|| not_known(name))?;
                // What begins with dashes is the next option, whose value would be lost with it.
                let value = value.or_else(|| args.next_if(|next| !next.starts_with("--")));
                let value = value.ok_or_else(|| match args.peek() {
                    Some(next) => format!("{name} needs a value, and {next:?} is an option"),
                    None => format!("{name} needs a value"),
                })?;
                arguments.flags.push((flag.flag, value));
            }
        }
    }
    Ok(arguments)
}

/// The sentence about an argument that is neither an option nor a command.
fn not_known(name: &str) -> String {
    if ["serve", "start"].contains(&name) {
        return format!("{name:?} is not a command; ccproxy alone serves");
    }
    let flags = SETTINGS.iter().map(|setting| setting.flag).filter(|flag| !flag.is_empty());
    let own = ["check-config", "healthcheck", "help", "version", "run"];
    let what = if name.starts_with('-') { "an option" } else { "a command or an option" };
    match typo::nearest(name, flags.chain(own)) {
        Some(meant) => format!("{name:?} is not {what}; did you mean --{meant}?"),
        None => format!("{name:?} is not {what}"),
    }
}

/// The text of `--help`.
pub fn help() -> String {
    let mut lines = vec![
        format!(
            "ccproxy {} speaks the Anthropic Messages API and forwards to an",
            env!("CARGO_PKG_VERSION")
        ),
        "OpenAI-compatible provider.".to_owned(),
        String::new(),
        "Usage: ccproxy [OPTION]...".to_owned(),
        String::new(),
        "Try it without a key:".to_owned(),
        "  ccproxy --provider echo".to_owned(),
        format!("  {}", claude_command("http://localhost:3456", false)),
        String::new(),
    ];
    for (name, doc) in COMMANDS {
        entry(&mut lines, name, doc);
    }
    lines.push(String::new());
    let about = "Settings are options and environment variables, which are also read from the file .env \
                 of this directory; the environment wins over .env, options win over both. <P> is the \
                 provider's name in capitals: GROQ_MODEL. Times are seconds, or 500ms, 30s, 5m, 1h; \
                 sizes are bytes, or 512K, 32M, 1G.";
    lines.extend(text::wrap(about, WIDTH));
    for &group in Group::ALL {
        lines.extend([String::new(), format!("{group}:")]);
        for setting in SETTINGS.iter().filter(|setting| setting.group == group) {
            let default = match setting.default {
                "" => String::new(),
                default => format!(" (default: {default})"),
            };
            entry(&mut lines, &names(setting), &format!("{}{default}", setting.doc));
        }
    }
    lines.push(String::new());
    let providers: Vec<&str> = PROVIDERS.iter().map(|provider| provider.name).collect();
    lines.extend(text::wrap(&format!("Providers: {}", providers.join(", ")), WIDTH));
    lines.push(String::new());
    let proxies = "HTTPS_PROXY, http_proxy, ALL_PROXY and NO_PROXY are read as curl reads them.";
    lines.extend(text::wrap(proxies, WIDTH));
    lines.join("\n") + "\n"
}

/// A name, and below it what it means.
fn entry(lines: &mut Vec<String>, name: &str, doc: &str) {
    lines.push(format!("  {name}"));
    lines.extend(text::wrap(doc, WIDTH - 6).iter().map(|line| format!("      {line}")));
}

/// `--port, SERVER_PORT, PORT`
fn names(setting: &Setting) -> String {
    let mut names: Vec<String> = Vec::new();
    if !setting.flag.is_empty() {
        names.push(format!("--{}", setting.flag));
    }
    names.extend(setting.variables.iter().map(|variable| (*variable).to_owned()));
    names.join(", ")
}
