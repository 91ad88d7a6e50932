//! `ccproxy run`: a client that is started beside the server, with the variables that lead it here
//! in its own environment alone, and that ends it.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::{Child, Command};
use std::time::Duration;

use serde::Deserialize;

/// What is run where nothing is named.
const CLIENT: &str = "claude";

/// The name by which Claude Code asks for what it works with, where nobody has chosen.
const MODEL: &str = "claude-opus-5-5";

/// The window that Claude Code takes for granted, and the most that it asks for.
const ASSUMED_WINDOW: u64 = 1_000_000;
const ASSUMED_OUTPUT: u64 = 128_000;

/// With these in its environment Claude Code asks somebody else, or Anthropic first.
const ELSEWHERE: &[&str] = &[
    "ANTHROPIC_API_KEY",
    "CLAUDE_CODE_USE_BEDROCK",
    "CLAUDE_CODE_USE_VERTEX",
    "CLAUDE_CODE_USE_FOUNDRY",
];

/// What leads requests through a proxy, which this server is not behind.
const PROXIES: &[&str] =
    &["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

/// How long the server may take to tell of its model: a provider's list may be asked for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// The words of the command: what is named, or Claude Code with what begins like an option. `--`
/// before a name is left out.
pub fn command(mut words: Vec<String>) -> Vec<String> {
    if words.first().is_some_and(|first| first == "--") {
        words.remove(0);
    }
    match words.first() {
        Some(first) if !first.starts_with('-') => words,
        _ => std::iter::once(CLIENT.to_owned()).chain(words).collect(),
    }
}

/// Starts it. `variable` tells what its user has set, which stays where it leads nowhere else.
///
/// # Errors
/// A sentence about the program that cannot be run.
pub fn start(
    words: &[String],
    server: SocketAddr,
    client_key: Option<&str>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Child, String> {
    let (program, arguments) = words.split_first().ok_or("nothing is named that could be run")?;
    let limits = limits(server, client_key).unwrap_or_default();
    let mut command = Command::new(program);
    command.args(arguments);
    command.env("ANTHROPIC_BASE_URL", format!("http://{server}"));
    command.env("ANTHROPIC_AUTH_TOKEN", client_key.unwrap_or("any"));
    for name in ELSEWHERE {
        command.env_remove(name);
    }
    if PROXIES.iter().any(|name| variable(name).is_some()) {
        for name in ["NO_PROXY", "no_proxy"] {
            command.env(name, with_host(variable(name), server.ip()));
        }
    }
    let told = variables(&limits).into_iter().filter(|(name, _)| variable(name).is_none());
    command.envs(told);
    command.spawn().map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => {
            format!("{program:?} is not there to be run; name another: ccproxy run COMMAND")
        }
        _ => format!("{program:?} cannot be run: {e}"),
    })
}

/// A list of hosts that are asked without a proxy, with one more.
fn with_host(list: Option<OsString>, host: IpAddr) -> OsString {
    let mut list = list.unwrap_or_default();
    if !list.is_empty() {
        list.push(",");
    }
    list.push(host.to_string());
    list
}

/// How much the model takes and writes, as far as the server knows.
#[derive(Debug, Default, Deserialize)]
struct ModelLimits {
    max_input_tokens: Option<u64>,
    max_tokens: Option<u64>,
}

/// What Claude Code is told of them: it assumes Claude's own for every name. With the second it
/// compacts in time, the first is for names that it does not know.
fn variables(limits: &ModelLimits) -> Vec<(&'static str, String)> {
    let window = limits.max_input_tokens.filter(|window| *window < ASSUMED_WINDOW);
    let output = limits.max_tokens.filter(|output| *output < ASSUMED_OUTPUT);
    let told = [
        ("CLAUDE_CODE_MAX_CONTEXT_TOKENS", window),
        ("CLAUDE_CODE_AUTO_COMPACT_WINDOW", window),
        ("CLAUDE_CODE_MAX_OUTPUT_TOKENS", output),
        ("CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY", Some(1)),
    ];
    let told = told.into_iter().filter_map(|(name, value)| Some((name, value?.to_string())));
    told.collect()
}

/// Asks the server itself.
fn limits(server: SocketAddr, client_key: Option<&str>) -> io::Result<ModelLimits> {
    let mut stream = TcpStream::connect_timeout(&server, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let key = client_key.map_or_else(String::new, |key| format!("x-api-key: {key}\r\n"));
    write!(
        stream,
        "GET /v1/models/{MODEL} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{key}\r\n"
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let at = answer.windows(4).position(|window| window == b"\r\n\r\n");
    let body = at.map_or(&[][..], |at| &answer[at + 4..]);
    serde_json::from_slice(body).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(of: &[&str]) -> Vec<String> {
        command(of.iter().map(|word| (*word).to_owned()).collect())
    }

    #[test]
    fn what_begins_like_an_option_is_for_claude_code() {
        assert_eq!(words(&[]), ["claude"]);
        assert_eq!(words(&["-p", "hi"]), ["claude", "-p", "hi"]);
        assert_eq!(words(&["sh", "-c", "env"]), ["sh", "-c", "env"]);
        assert_eq!(words(&["--", "env"]), ["env"]);
    }

    #[test]
    fn what_the_client_assumes_anyway_is_not_told() {
        let names = |max_input_tokens, max_tokens| {
            let told = variables(&ModelLimits { max_input_tokens, max_tokens });
            told.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()
        };
        let discovery = "CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY=1";
        assert_eq!(names(None, None), [discovery]);
        assert_eq!(names(Some(1_048_576), Some(131_072)), [discovery]);
        assert_eq!(
            names(Some(131_072), Some(65_536)),
            [
                "CLAUDE_CODE_MAX_CONTEXT_TOKENS=131072",
                "CLAUDE_CODE_AUTO_COMPACT_WINDOW=131072",
                "CLAUDE_CODE_MAX_OUTPUT_TOKENS=65536",
                discovery
            ]
        );
    }
}
