//! The answer of a provider as it comes: its head, and its body, read for as long as its phase
//! allows; or why there is none.

use std::io::{self, ErrorKind, Read};
use std::sync::Arc;
use std::time::Duration;

use ureq::Body;
use ureq::http::Response;

use super::coding::{Coding, Decoded, Undecodable};
use super::limits;
use super::wait::{CallGuard, Phase, Stop, enter, stopped, with_call};
use super::words::Place;
use crate::client::Failure;
use crate::error::{Error, Retry};
use crate::redact::Redactor;

/// How much of the text of an error is read, and for how long.
const ERROR_LIMIT_BYTES: usize = 64 << 10;
const ERROR_PATIENCE: Duration = Duration::from_secs(3);

/// How long what may follow a complete answer is waited for: its counts, and its end.
const END_PATIENCE: Duration = Duration::from_secs(1);

/// How long the end of a finished answer is waited for.
const DRAIN_PATIENCE: Duration = Duration::from_millis(100);

/// The head of an answer, and its body still to be read.
#[expect(missing_docs, reason = "the names of its fields say it")]
pub struct Answer {
    pub status: u16,
    pub content_type: String,
    /// The coding of its body, if it has one that is not undone.
    pub coding: Option<String>,
    pub retry: Retry,
    /// It tells of another place.
    pub is_redirect: bool,
    /// The other place's scheme, host and port: the rest may be secret, and is of no use to the
    /// reader.
    pub redirect: Option<String>,
    /// What the provider calls the request.
    pub request_id: Option<String>,
    /// Which token was sent; 0 where none was.
    pub token: u64,
    pub body: AnswerBody,
}

/// The body of an answer. Reading blocks for as long as the phase allows, and sends pings
/// meanwhile.
pub struct AnswerBody {
    reader: Box<dyn Read>,
    /// What [`AnswerBody::beginning`] has read, and is still to be read.
    beginning: Vec<u8>,
    begun: bool,
    /// Its length or its last chunk tells its end, and not the end of the connection.
    is_framed: bool,
    place: Arc<Place>,
    is_native: bool,
    _call: CallGuard,
}

impl Answer {
    /// The answer to `call`, for which no token was sent.
    pub(super) fn new(
        response: Response<Body>,
        call: CallGuard,
        place: Arc<Place>,
        is_native: bool,
        redactor: &Redactor,
    ) -> Answer {
        let header = |name: &str| {
            let value = response.headers().get(name)?.to_str().ok()?;
            // They are copied into an answer: nothing but what a header may hold.
            value.bytes().all(|b| (b' '..=b'~').contains(&b)).then(|| value.to_owned())
        };
        // Nothing that tells of a time is longer, and the head of the answer has its limit.
        let short = |name: &str| header(name).filter(|value| value.len() <= 64);
        let id = short("x-request-id").or_else(|| short("request-id"));
        let coding = short("content-encoding").filter(|c| !matches!(&**c, "" | "identity"));
        let undone = coding.as_deref().and_then(Coding::named);
        let is_framed = ["content-length", "transfer-encoding"]
            .iter()
            .any(|name| response.headers().contains_key(*name));
        Answer {
            status: response.status().as_u16(),
            content_type: header("content-type").unwrap_or_default().to_ascii_lowercase(),
            coding: coding.filter(|_| undone.is_none()),
            retry: limits::retry(response.status().as_u16(), &short),
            is_redirect: response.headers().contains_key("location"),
            redirect: header("location").and_then(|location| origin(&location)),
            request_id: id.filter(|id| redactor.secrets(id) == id.as_str()),
            token: 0,
            body: AnswerBody {
                is_framed,
                reader: match (undone, response.into_body().into_reader()) {
                    (Some(coding), body) => Box::new(Decoded::new(body, coding)),
                    (None, body) => Box::new(body),
                },
                beginning: Vec::new(),
                begun: false,
                place,
                is_native,
                _call: call,
            },
        }
    }
}

impl AnswerBody {
    /// Reads some of the body; 0 is its end.
    ///
    /// # Errors
    /// As [`Upstream::send`](super::Upstream::send). A body that ends before its announced length
    /// is an error.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        if !self.beginning.is_empty() {
            let n = self.beginning.len().min(buffer.len());
            buffer[..n].copy_from_slice(&self.beginning[..n]);
            self.beginning.drain(..n);
            return Ok(n);
        }
        let n = self.reader.read(buffer).map_err(|e| self.failure(e))?;
        // A body that ends with its connection ends for ureq also where waiting for it was given
        // up.
        if n == 0 && stopped().is_some() {
            return Err(self.failure(ErrorKind::UnexpectedEof.into()));
        }
        if n > 0 && !self.begun {
            self.begun = true;
            enter(Phase::Idle);
        }
        // An end that anybody on the way could have made is none.
        if n == 0 && !self.is_framed && with_call(|call| call.cut) == Some(true) {
            let end = io::Error::new(ErrorKind::UnexpectedEof, "closed before its end");
            return Err(self.failure(end));
        }
        Ok(n)
    }

    /// The first bytes, enough to tell what they are, without what is blank before them. They are
    /// still to be read.
    ///
    /// # Errors
    /// [`Failure::ClientGone`]. What breaks off is found again by reading on.
    pub fn beginning(&mut self) -> Result<&[u8], Failure> {
        const ENOUGH: usize = 6;
        let mut buffer = [0; 1024];
        while self.beginning.trim_ascii_start().len() < ENOUGH
            && self.beginning.len() < ERROR_LIMIT_BYTES
        {
            let before = std::mem::take(&mut self.beginning);
            let read = self.read(&mut buffer);
            self.beginning = before;
            match read {
                Ok(0) | Err(Failure::Error(_)) => break,
                Err(gone) => return Err(gone),
                Ok(n) => self.beginning.extend_from_slice(&buffer[..n]),
            }
        }
        Ok(&self.beginning)
    }

    /// The answer is complete: its end has to come soon, or is not waited for.
    pub fn expect_end(&mut self) {
        with_call(|call| call.end_within(END_PATIENCE));
    }

    /// Reads the text of an error: its beginning, as far as it comes soon.
    ///
    /// # Errors
    /// [`Failure::ClientGone`]. The status is told, whatever becomes of its text.
    pub fn read_error(&mut self) -> Result<Vec<u8>, Failure> {
        with_call(|call| call.end_within(ERROR_PATIENCE));
        let mut text = Vec::new();
        let mut buffer = [0; 4096];
        while text.len() < ERROR_LIMIT_BYTES {
            match self.read(&mut buffer) {
                Ok(0) | Err(Failure::Error(_)) => break,
                Ok(n) => text.extend_from_slice(&buffer[..n.min(ERROR_LIMIT_BYTES - text.len())]),
                Err(gone) => return Err(gone),
            }
        }
        Ok(text)
    }

    fn failure(&self, error: io::Error) -> Failure {
        let inner = error.get_ref();
        if let Some(wrong) = inner.and_then(|inner| inner.downcast_ref::<Undecodable>()) {
            return Error::protocol(wrong).into();
        }
        // ureq wraps its own for `Read`.
        match inner.and_then(|inner| inner.downcast_ref::<ureq::Error>()) {
            Some(inner) => failure(&self.place, self.is_native, inner),
            None => failure(&self.place, self.is_native, &ureq::Error::Io(error)),
        }
    }

    /// Reads what is left after the answer's end, which is a few bytes if anything, so that the
    /// connection can be used again. The client is no longer watched; a silent provider is given up
    /// soon.
    pub fn drain(mut self) {
        with_call(|call| call.finish_alone(DRAIN_PATIENCE));
        let mut buffer = [0; 4096];
        for _ in 0..16 {
            match self.reader.read(&mut buffer) {
                Ok(n) if n > 0 => {}
                _ => return,
            }
        }
    }
}

/// Why there is no answer, or no more of one: the reason that waiting stopped, or else `error`.
pub(super) fn failure(place: &Place, is_native: bool, error: &ureq::Error) -> Failure {
    let target = place.target(is_native);
    let (phase, is_on_the_way, answered_tls) = with_call(|call| {
        let phase = call.phase();
        // A kept connection has led on long ago.
        let is_new = call.connected || phase == Phase::Resolve;
        (phase, call.is_on_the_way && is_new, call.answered_tls)
    })
    .unwrap_or((Phase::Connect, false, false));
    let error = match (stopped(), error) {
        (Some(Stop::ClientGone), _) => return Failure::ClientGone,
        (Some(Stop::ShutDown), _) => {
            let reason = "ccproxy is shutting down; try again".to_owned();
            Error::Refused { status: 529, reason }
        }
        (Some(Stop::Silent(phase)), _) => place.silent(target, phase, is_on_the_way),
        (None, ureq::Error::Timeout(_)) => place.silent(target, phase, is_on_the_way),
        (None, _) if answered_tls => place.https_port(target),
        (None, error) => place.failed(target, error, phase, is_on_the_way),
    };
    Failure::Error(error)
}

/// The scheme, host and port of a URL, without the user.
fn origin(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#', '\\']).next()?;
    let (_, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let is_host = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
    let is_known = matches!(scheme, "http" | "https") && !host.is_empty();
    (is_known && host.chars().all(is_host)).then(|| format!("{scheme}://{host}"))
}
