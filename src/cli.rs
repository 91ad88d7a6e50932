//! The command line: what to do, and settings as flags.

use crate::config::{SETTINGS, Setting};
use crate::greeting::claude_command;
use crate::provider::PROVIDERS;

/// What the program is asked to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    Serve,
    CheckConfig,
    /// Ask the running server, with the option's value.
    Healthcheck(Option<String>),
    Help,
    Version,
}

/// The command and the flags that are settings, by name without dashes.
#[derive(Debug, PartialEq, Eq)]
pub struct Arguments {
    pub command: Command,
    pub flags: Vec<(&'static str, String)>,
}

/// Reads the arguments, without the program's name.
///
/// # Errors
/// One sentence about the first argument that is not understood.
pub fn parse(args: impl IntoIterator<Item = String>) -> Result<Arguments, String> {
    let mut arguments = Arguments { command: Command::Serve, flags: Vec::new() };
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        match &*arg {
            // Help is given whatever else stands on the line.
            "--help" | "-h" | "help" => {
                arguments.command = Command::Help;
                return Ok(arguments);
            }
            "--version" | "-V" | "version" => {
                arguments.command = Command::Version;
                return Ok(arguments);
            }
            "--check-config" => arguments.command = Command::CheckConfig,
            "--healthcheck" | "healthcheck" => arguments.command = Command::Healthcheck(None),
            _ if arg.starts_with("--healthcheck=") => {
                let wanted = arg.split_once('=').map(|(_, wanted)| wanted.to_owned());
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
                    .ok_or_else(|| format!("{name:?} is not an option; --help lists them"))?;
                let value =
                    value.or_else(|| args.next()).ok_or_else(|| format!("{name} needs a value"))?;
                arguments.flags.push((flag.flag, value));
            }
        }
    }
    Ok(arguments)
}

/// The text of `--help`.
pub fn help() -> String {
    let mut text = format!(
        "ccproxy {} speaks the Anthropic Messages API and forwards to an OpenAI-compatible provider.\n\n\
         Usage: ccproxy [OPTION]...\n\n\
         \x20 --check-config  check the configuration, show it without secrets, and exit\n\
         \x20 --healthcheck[=live|ready|/PATH|URL], healthcheck\n\
         \x20                 ask the running server; exit code 0 if it is healthy, else 1\n\
         \x20 --help          this text\n\
         \x20 --version       the version\n\n\
         Settings, as options and as environment variables (also read from .env; the environment\n\
         wins over .env, options win over both). <P> is the provider's name in capitals.\n\n",
        env!("CARGO_PKG_VERSION")
    );
    for setting in SETTINGS {
        text.push_str(&format!("  {}\n      {}", names(setting), setting.doc));
        if !setting.default.is_empty() {
            text.push_str(&format!(" (default: {})", setting.default));
        }
        text.push('\n');
    }
    let names: Vec<&str> = PROVIDERS.iter().map(|provider| provider.name).collect();
    text.push_str(&format!("\nProviders: {}\n", names.join(", ")));
    text.push_str(&format!(
        "\nHTTPS_PROXY, http_proxy, ALL_PROXY and NO_PROXY are read as curl reads them.\n\n\
         Try it without a key:\n  ccproxy --provider echo\n  {}\n",
        claude_command("http://localhost:3456", false)
    ));
    text
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
