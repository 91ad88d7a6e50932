//! Both ends of the measurement that scripts/bench makes: a provider, and the clients before a proxy.
//! What they saw they print as JSON.
//!
//! ```text
//! traffic provider                         listens on the loopback, and prints where
//! traffic messages ADDRESS NAME=VALUE…     body=small|agent|tools  pieces=N  bytes=N  every=MS
//!                                          stream=on|off  connections=N  seconds=S or count=N
//! traffic probe ADDRESS PATH SECONDS       a health check every 20 ms, each on a new connection
//! traffic start ADDRESS PATH PROGRAM …     starts it, and waits for the first 200
//! ```

mod body;
mod clients;
mod clock;
mod http;
mod plan;
mod probes;
mod provider;

use std::net::SocketAddr;
use std::process::ExitCode;

use serde_json::{Value, json};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(|argument| &**argument).collect();
    let said = match &arguments[..] {
        ["provider"] => provider::serve().map(|()| Value::Null).map_err(|e| e.to_string()),
        ["messages", address, settings @ ..] => {
            address_of(address).and_then(|address| clients::messages(address, settings))
        }
        ["probe", address, path, seconds] => {
            address_of(address).and_then(|address| probes::probe(address, path, seconds))
        }
        ["start", address, path, program, arguments @ ..] => {
            address_of(address).and_then(|address| probes::start(address, path, program, arguments))
        }
        _ => Err("it is run by scripts/bench, with provider, messages, probe or start".to_owned()),
    };
    match said {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(fault) => {
            eprintln!("traffic: {fault}");
            ExitCode::from(2)
        }
    }
}

fn address_of(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("{text:?} is no address with a port"))
}

/// The median and two quantiles in microseconds, none of nothing.
pub(crate) fn quantiles(mut nanoseconds: Vec<u64>) -> Value {
    if nanoseconds.is_empty() {
        return Value::Null;
    }
    nanoseconds.sort_unstable();
    let at = |share: f64| {
        let rank = (share * nanoseconds.len() as f64).ceil() as usize;
        nanoseconds[rank.saturating_sub(1)] as f64 / 1_000.0
    };
    json!({"p50": at(0.5), "p99": at(0.99), "p99.9": at(0.999)})
}
