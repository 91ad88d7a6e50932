//! What becomes of a request, in one line of the log: a [`Record`] is filled along the way and written
//! once, at its end.
//!
//! What clients and providers name is cut before it is kept, and escaped when it is written, so no
//! line can be forged; the log's writer leaves out the keys of the configuration.

mod refusals;

use std::fmt;
use std::net::IpAddr;

use log::Level;
use serde::Serialize;

pub use refusals::{LastRefusal, Refusal, Refusals};

use crate::error::Error;
use crate::logging;

/// The longest text from outside in a line, in characters.
const MAX_TEXT: usize = 100;

/// Who sent a request.
#[derive(Debug, Clone, Serialize)]
pub struct Caller {
    /// `x-claude-code-session-id`.
    session: Option<String>,
    /// Which of the client keys was sent, as `key 2`.
    client: Option<String>,
    address: IpAddr,
    /// `User-Agent`.
    agent: Option<String>,
    /// Method and path.
    #[serde(skip)]
    asked: String,
}

impl Caller {
    /// Somebody whose request could not be read.
    pub fn unknown(address: IpAddr) -> Caller {
        Caller { session: None, client: None, address, agent: None, asked: String::new() }
    }

    /// Who sent a request to `target`; `key` is the place of the client key that was sent.
    pub fn new(address: IpAddr, method: &str, target: &str, key: Option<usize>) -> Caller {
        let path = target.split(['?', '#']).next().unwrap_or_default();
        Caller {
            client: key.map(|place| format!("key {}", place + 1)),
            asked: format!("{} {}", cut(method), cut(path)),
            ..Caller::unknown(address)
        }
    }

    /// The same, with what the client says of itself.
    pub fn saying(self, agent: Option<&str>, session: Option<&str>) -> Caller {
        Caller { agent: agent.map(cut), session: session.map(cut), ..self }
    }

    /// Method and path, as far as they are kept.
    pub fn asked(&self) -> &str {
        &self.asked
    }

    pub fn address(&self) -> IpAddr {
        self.address
    }
}

/// As much of a text from outside as a line may hold.
fn cut(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}

/// One request, from its coming to its end. The fields are those of the log's JSON.
#[derive(Debug, Serialize)]
pub struct Record {
    msg: String,
    action: &'static str,
    request_id: String,
    status: u16,
    error_type: Option<&'static str>,
    #[serde(flatten)]
    caller: Caller,
}

impl Record {
    /// A request that is turned away.
    fn refused(refusal: Refusal, error: &Error, request_id: &str, caller: Caller) -> Record {
        Record {
            msg: error.to_string(),
            action: "refused",
            request_id: request_id.to_owned(),
            status: error.status(),
            error_type: Some(refusal.as_str()),
            caller,
        }
    }

    fn write(&self, level: Level) {
        logging::entry(level, self, self);
    }
}

/// The line for a terminal.
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let caller = &self.caller;
        write!(f, "{}  {}  {}", caller.asked, self.status, self.msg)?;
        write!(f, "  {}", caller.address)?;
        for said in [&caller.client, &caller.agent].into_iter().flatten() {
            write!(f, "  {said}")?;
        }
        if let Some(session) = &caller.session {
            write!(f, "  session {session}")?;
        }
        write!(f, "  {}", self.request_id)
    }
}
