//! What becomes of a request, in one line of the log: a [`Record`] is filled along the way and
//! written once, at its end.
//!
//! What clients and providers name is cut before it is kept, and escaped when it is written, so no
//! line can be forged; the log's writer leaves out the keys of the configuration.

#![expect(missing_docs, reason = "the fields are named as the log shows them")]

mod refusals;

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use log::Level;

pub use refusals::{LastRefusal, Refusal, Refusals};

use crate::anthropic::Usage;
use crate::error::{Cause, Error};
use crate::json::Members;
use crate::logging;

/// The longest text from outside in a line, in characters.
const MAX_TEXT: usize = 100;

/// The status in the log where the client has left before the end, by which it got none. It is
/// nginx's.
const CLIENT_GONE: u16 = 499;

/// Who sent a request.
#[derive(Debug, Clone)]
pub struct Caller {
    /// `x-claude-code-session-id`.
    session: Option<String>,
    /// Which of the client keys was sent, as `key 2`.
    client: Option<String>,
    address: IpAddr,
    /// `User-Agent`.
    agent: Option<String>,
    /// Method and path.
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

    /// What the client calls its session.
    pub fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }
}

/// As much of a text from outside as a line may hold.
pub fn cut(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}

/// How a request ended.
#[derive(Debug)]
pub enum Ending {
    Answered,
    Failed(Error),
    /// The client left before it had its answer.
    ClientGone,
}

/// One request, from its coming to its end.
#[derive(Debug)]
pub struct Record {
    msg: String,
    pub action: &'static str,
    request_id: String,
    status: u16,
    error_type: Option<&'static str>,
    /// What the provider that was asked last answered with.
    pub upstream_status: Option<u16>,
    pub upstream_request_id: Option<String>,
    pub model_asked: Option<String>,
    pub model: Option<String>,
    pub provider: Option<String>,
    /// The providers that failed before, with the status that it was.
    pub tried: Vec<String>,
    pub stream: bool,
    input_tokens: Option<u64>,
    cache_read_tokens: Option<u64>,
    cache_write_tokens: Option<u64>,
    /// What part of the input was read from a cache, from 0 to 1.
    cache_rate: Option<f64>,
    output_tokens: Option<u64>,
    pub stop_reason: Option<String>,
    /// To the first byte of the answer that was passed on.
    first_byte_ms: Option<u64>,
    duration_ms: Option<u64>,
    /// What of the duration was not spent in waiting for a provider.
    own_ms: Option<u64>,
    caller: Caller,
    pub dropped: Vec<String>,
    pub adjusted: Vec<String>,
    /// What had to be done to get the answer, in sentences.
    pub happened: Vec<String>,
    /// The operator should look at it, although there was an answer.
    pub is_odd: bool,
}

impl Record {
    /// A request that has come.
    pub fn new(action: &'static str, request_id: &str, caller: Caller) -> Record {
        Record {
            msg: String::new(),
            action,
            request_id: request_id.to_owned(),
            status: 200,
            error_type: None,
            upstream_status: None,
            upstream_request_id: None,
            model_asked: None,
            model: None,
            provider: None,
            tried: Vec::new(),
            stream: false,
            input_tokens: None,
            cache_read_tokens: None,
            cache_write_tokens: None,
            cache_rate: None,
            output_tokens: None,
            stop_reason: None,
            first_byte_ms: None,
            duration_ms: None,
            own_ms: None,
            caller,
            dropped: Vec::new(),
            adjusted: Vec::new(),
            happened: Vec::new(),
            is_odd: false,
        }
    }

    /// A request that is turned away.
    fn refused(refusal: Refusal, error: &Error, request_id: &str, caller: Caller) -> Record {
        Record {
            msg: error.to_string(),
            status: error.status(),
            error_type: Some(refusal.as_str()),
            ..Record::new("refused", request_id, caller)
        }
    }

    pub fn address(&self) -> IpAddr {
        self.caller.address
    }

    /// The tokens of the answer, as far as it came.
    pub fn used(&mut self, usage: Usage) {
        self.input_tokens = Some(usage.input_tokens);
        self.cache_read_tokens = Some(usage.cache_read_input_tokens);
        self.cache_write_tokens = Some(usage.cache_creation_input_tokens);
        self.cache_rate = usage.cache_rate().map(|rate| (rate * 1000.0).round() / 1000.0);
        self.output_tokens = Some(usage.output_tokens);
    }

    /// How long it took, how long of that a provider was waited for, and when its answer began.
    pub fn took(&mut self, all: Duration, waited: Duration, first_byte: Option<Duration>) {
        self.duration_ms = Some(milliseconds(all));
        self.own_ms = Some(milliseconds(all.saturating_sub(waited)));
        self.first_byte_ms = first_byte.map(milliseconds);
    }

    /// The headers that tell a client what was done for its message.
    pub fn notes(&self) -> Vec<(&'static str, String)> {
        let lists = [
            ("x-ccproxy-dropped", &self.dropped),
            ("x-ccproxy-adjusted", &self.adjusted),
            ("x-ccproxy-fallback", &self.tried),
        ];
        let lists = lists.into_iter().filter(|(_, list)| !list.is_empty());
        let provider = self.provider.clone().map(|name| ("x-ccproxy-provider", name));
        let model = self.model.clone().map(|name| ("x-ccproxy-model", name));
        let names = provider.into_iter().chain(model);
        names.chain(lists.map(|(name, list)| (name, list.join(", ")))).collect()
    }

    /// Fills in how it ended, and returns how loudly to tell it: what the operator can mend is a
    /// warning or an error, what the client did is neither.
    pub fn end(&mut self, ending: &Ending) -> Level {
        let mut said = std::mem::take(&mut self.happened);
        let level = match ending {
            Ending::Answered => {
                if said.is_empty() {
                    let provider = self.provider.as_deref().unwrap_or("ccproxy");
                    said.push(format!("{} {provider} {}", self.caller.asked, self.status));
                }
                if self.is_odd { Level::Warn } else { Level::Info }
            }
            Ending::Failed(error) => {
                self.status = error.status();
                self.error_type = Some(error.cause().as_str());
                said.push(error.to_string());
                level_of(error.cause())
            }
            Ending::ClientGone => {
                self.status = CLIENT_GONE;
                self.error_type = Some("client_gone");
                let after = self.duration_ms.unwrap_or_default();
                said.push(format!("the client left after {after} ms"));
                Level::Info
            }
        };
        self.msg = said.join("; ");
        level
    }

    /// Writes the line.
    pub fn write(&self, level: Level) {
        logging::entry(level, self, |members| self.tell(members));
    }

    /// Tells all of it, for the log's JSON.
    fn tell(&self, members: &mut Members<'_>) {
        let Caller { session, client, address, agent, .. } = &self.caller;
        members.text("msg", Some(&self.msg));
        members.text("action", Some(self.action));
        members.text("request_id", Some(&self.request_id));
        members.number("status", Some(self.status.into()));
        members.text("error_type", self.error_type);
        members.number("upstream_status", self.upstream_status.map(u64::from));
        members.text("upstream_request_id", self.upstream_request_id.as_deref());
        members.text("model_asked", self.model_asked.as_deref());
        members.text("model", self.model.as_deref());
        members.text("provider", self.provider.as_deref());
        members.texts("tried", &self.tried);
        members.flag("stream", self.stream);
        members.number("input_tokens", self.input_tokens);
        members.number("cache_read_tokens", self.cache_read_tokens);
        members.number("cache_write_tokens", self.cache_write_tokens);
        members.part("cache_rate", self.cache_rate);
        members.number("output_tokens", self.output_tokens);
        members.text("stop_reason", self.stop_reason.as_deref());
        members.number("first_byte_ms", self.first_byte_ms);
        members.number("duration_ms", self.duration_ms);
        members.number("own_ms", self.own_ms);
        members.text("session", session.as_deref());
        members.text("client", client.as_deref());
        members.text("address", Some(&address.to_string()));
        members.text("agent", agent.as_deref());
        members.texts("dropped", &self.dropped);
        members.texts("adjusted", &self.adjusted);
    }
}

/// Whose turn it is after an error, by how loudly it is told.
fn level_of(cause: Cause) -> Level {
    match cause {
        Cause::InvalidRequest
        | Cause::Unauthorized
        | Cause::Forbidden
        | Cause::TooLarge
        | Cause::ClientLimit
        | Cause::ClientModel
        | Cause::ContextOverflow
        | Cause::RefusedRequest => Level::Info,
        Cause::Shed
        | Cause::BreakerOpen
        | Cause::ConnectTimeout
        | Cause::Timeout
        | Cause::Reset
        | Cause::Cut
        | Cause::Protocol
        | Cause::Overloaded
        | Cause::RateLimit
        | Cause::SearchRefused
        | Cause::UpstreamError => Level::Warn,
        Cause::Internal
        | Cause::Dns
        | Cause::ConnectRefused
        | Cause::Unreachable
        | Cause::Tls
        | Cause::Proxy
        | Cause::NotTheApi
        | Cause::KeyRefused
        | Cause::Billing
        | Cause::ModelUnknown => Level::Error,
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The line for people, which says nothing twice.
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Caller { session, client, address, agent, asked } = &self.caller;
        if self.action == "count_tokens" {
            write!(f, "count_tokens ")?;
        }
        match (&self.provider, &self.model) {
            (Some(provider), Some(model)) => {
                write!(f, "{provider} {model}")?;
                if let Some(asked) = self.model_asked.as_ref().filter(|asked| *asked != model) {
                    write!(f, " <- {asked}")?;
                }
            }
            _ => write!(f, "{asked}")?,
        }
        write!(f, "  {}", self.status)?;
        if let Some(all) = self.duration_ms {
            write!(f, "  {}", Time(all))?;
        }
        if let Some(first) = self.first_byte_ms {
            write!(f, " (first {})", Time(first))?;
        }
        if let (Some(input), Some(output)) = (self.input_tokens, self.output_tokens) {
            let read = self.cache_read_tokens.unwrap_or_default();
            let written = self.cache_write_tokens.unwrap_or_default();
            write!(f, "  {} in", input.saturating_add(read).saturating_add(written))?;
            let percent = self.cache_rate.unwrap_or_default() * 100.0;
            match (read, written) {
                (0, 0) => {}
                (_, 0) => write!(f, " ({read} cached, {percent:.0} %)")?,
                _ => write!(f, " ({read} cached, {percent:.0} %, {written} written)")?,
            }
            write!(f, " {output} out")?;
        }
        if let Some(reason) = &self.stop_reason {
            write!(f, "  {reason}")?;
        }
        if self.error_type.is_some() || self.is_odd || !self.adjusted.is_empty() {
            write!(f, "  {}", self.msg)?;
        }
        // Who it was is told where it is not the usual answer to the usual client.
        if self.provider.is_none() {
            write!(f, "  {address}")?;
            if let Some(agent) = agent {
                write!(f, "  {agent}")?;
            }
        }
        if let Some(client) = client {
            write!(f, "  {client}")?;
        }
        if let Some(session) = session {
            write!(f, "  session {session}")?;
        }
        write!(f, "  {}", self.request_id)
    }
}

/// Milliseconds, as people read them.
struct Time(u64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ms @ ..100 => write!(f, "{ms} ms"),
            ms => write!(f, "{:.1} s", ms as f64 / 1000.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn record() -> Record {
        let caller = Caller::new(Ipv4Addr::LOCALHOST.into(), "POST", "/v1/messages", Some(0));
        Record {
            model_asked: Some("opus".to_owned()),
            model: Some("openai/gpt-oss-120b".to_owned()),
            provider: Some("groq".to_owned()),
            stop_reason: Some("end_turn".to_owned()),
            ..Record::new("anthropic_response", "req_1", caller.saying(None, Some("4f79")))
        }
    }

    #[test]
    fn a_terminal_is_told_nothing_twice() {
        let mut record = record();
        record.used(Usage {
            input_tokens: 234,
            cache_creation_input_tokens: 0,
            cache_read_input_tokens: 1000,
            output_tokens: 7,
            server_tool_use: None,
        });
        let seconds = Duration::from_millis;
        record.took(seconds(1200), seconds(1190), Some(seconds(300)));
        assert_eq!(record.end(&Ending::Answered), Level::Info);
        assert_eq!(
            record.to_string(),
            "groq openai/gpt-oss-120b <- opus  200  1.2 s (first 0.3 s)  1234 in (1000 cached, 81 %) 7 out  \
             end_turn  key 1  session 4f79  req_1"
        );
        assert_eq!(record.own_ms, Some(10));
        record.used(Usage {
            input_tokens: 0,
            cache_creation_input_tokens: 500,
            cache_read_input_tokens: 1500,
            output_tokens: 7,
            server_tool_use: None,
        });
        assert!(record.to_string().contains("  2000 in (1500 cached, 75 %, 500 written) 7 out"));
        assert_eq!(record.cache_rate, Some(0.75));
    }

    #[test]
    fn who_can_mend_it_hears_of_it() {
        for (cause, level) in [
            (Cause::KeyRefused, Level::Error),
            (Cause::ConnectRefused, Level::Error),
            (Cause::ModelUnknown, Level::Error),
            (Cause::ClientModel, Level::Info),
            (Cause::RateLimit, Level::Warn),
            (Cause::Cut, Level::Warn),
            (Cause::InvalidRequest, Level::Info),
            (Cause::ContextOverflow, Level::Info),
        ] {
            assert_eq!(level_of(cause), level, "{cause}");
        }
        let mut left = record();
        assert_eq!((left.end(&Ending::ClientGone), left.status), (Level::Info, 499));
    }
}
