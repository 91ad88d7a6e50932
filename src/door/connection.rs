//! A connection of a client, as a state machine without IO and without a clock. Bytes and the time
//! come in; bytes, requests and the end come out.
//!
//! ```text
//!           bytes          its body is wanted        it is whole
//!   Idle ──────────▶ Head ────────────────────▶ Body ────────────▶ Lent
//!    ▲                │ answered, refused        │ refused          │
//!    │                ▼                          │                  │
//!    ├──sent── the answer goes out ◀─────────────┘                  │
//!    │                │ sent, and it was the last                   │
//!    │                ▼                                             │
//!    │            Lingering ◀──────────── returned, after the last ─┤
//!    └──────────────────────────────────────────────────── returned ┘
//! ```
//!
//! One from a proxy that says whom it speaks for is Unannounced first, and then Idle.
//!
//! Where nothing moves a deadline ends it: 10 s for a head, the pace of a body, 30 s for a reader,
//! 5 s of lingering, and the idle time between two requests. While it is lent it has none.
//!
//! ```
//! use std::net::{IpAddr, Ipv4Addr};
//! use std::sync::Arc;
//! use std::time::{Duration, Instant};
//!
//! use ccproxy::door::connection::{Connection, Decision, Refused, Rules, Step, Wants};
//! use ccproxy::door::head::Head;
//! use ccproxy::line::Manner;
//! use ccproxy::memory::Budget;
//!
//! const IDLE: Duration = Duration::from_secs(75);
//!
//! /// A GET is answered here, a POST is for a worker.
//! struct House(Arc<Budget>);
//!
//! impl Rules for House {
//!     type Ticket = String;
//!
//!     fn decide(
//!         &mut self,
//!         head: &Head<'_>,
//!         _: IpAddr,
//!         _: Instant,
//!         _: Manner,
//!         out: &mut Vec<u8>,
//!     ) -> Decision<String> {
//!         if head.method == "POST" {
//!             return Decision::Taken(head.target.to_owned());
//!         }
//!         out.extend_from_slice(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
//!         Decision::Answered { last: false }
//!     }
//!
//!     fn refuse(&mut self, refused: Refused<'_, String>, _: Manner, out: &mut Vec<u8>) {
//!         let status = refused.error.status();
//!         out.extend_from_slice(format!("HTTP/1.1 {status} Refused\r\n\r\n").as_bytes());
//!     }
//!
//!     fn is_leaving(&self) -> bool {
//!         false
//!     }
//!
//!     fn idle_time(&self) -> Duration {
//!         IDLE
//!     }
//!
//!     fn bodies(&self) -> (usize, &Arc<Budget>) {
//!         (1 << 20, &self.0)
//!     }
//! }
//!
//! let now = Instant::now();
//! let after = |seconds| now + Duration::from_secs(seconds);
//! let mut house = House(Arc::new(Budget::new(1 << 24)));
//! let mut connection = Connection::new(Ipv4Addr::LOCALHOST.into(), now, IDLE);
//!
//! // Idle. Half a head is waited for, and not for long.
//! assert_eq!(connection.wants(), Wants::Input);
//! connection.received(b"GET /health HTTP/1.1\r\nHo");
//! assert!(matches!(connection.step(now, &mut house), Step::Wait));
//! assert!(!connection.is_overdue(after(9)) && connection.is_overdue(after(10)));
//!
//! // Its end comes, and half of another request. The first is answered before that is looked at.
//! connection.received(b"st: a\r\n\r\n");
//! connection.received(b"POST /v1/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nHe");
//! assert!(matches!(connection.step(now, &mut house), Step::Done));
//! assert_eq!(connection.wants(), Wants::Output);
//! let length = connection.output().len();
//! let is_last = connection.sent(length, now, IDLE);
//! assert!(!is_last && connection.wants() == Wants::Input);
//!
//! // The body comes, and when it is whole the request is handed over.
//! assert!(matches!(connection.step(now, &mut house), Step::Wait));
//! assert!(connection.is_uploading());
//! connection.received(b"llo");
//! let Step::Request(request) = connection.step(now, &mut house) else { panic!("no request") };
//! assert_eq!((&*request.ticket, &*request.body), ("/v1/messages", &b"Hello"[..]));
//!
//! // Lent: a worker has the socket, for as long as it takes. Then it comes back.
//! assert_eq!(connection.wants(), Wants::Nothing);
//! assert!(!connection.is_overdue(after(3600)));
//! connection.returned(false, now, IDLE);
//! assert_eq!(connection.wants(), Wants::Input);
//!
//! // What is no HTTP is refused, and the client has some time to see it.
//! connection.received(b"\0\r\n\r\n");
//! assert!(matches!(connection.step(now, &mut house), Step::Done));
//! assert!(connection.output().starts_with(b"HTTP/1.1 400"));
//! let length = connection.output().len();
//! let is_last = connection.sent(length, now, IDLE);
//! assert!(is_last && connection.wants() == Wants::End);
//! assert!(!connection.is_overdue(after(4)) && connection.is_overdue(after(5)));
//! ```

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::body::Body;
use super::head::{self, BodyLength, Head};
use super::proxy_protocol;
use crate::error::Error;
use crate::line::{Manner, READ_PATIENCE};
use crate::memory::{Budget, Share};
use crate::record::Refusal;

/// A request's head, from its first byte on.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// After a last answer, so that the client can read it before the connection is reset.
const LINGER_TIME: Duration = Duration::from_secs(5);
/// Before the first request, unless idle connections are kept for less.
const FIRST_TIME: Duration = Duration::from_secs(75);
/// How long a connection may take to be read from or to say something before it can be cut.
const GRACE: Duration = Duration::from_millis(5);
/// How soon after an answer the next request of a client comes that does little else.
pub(super) const SOON: Duration = Duration::from_millis(50);
/// Memory for output that a connection keeps between two answers.
const KEPT_BYTES: usize = 2048;

/// Who decides about requests, and what is said to them.
pub trait Rules {
    /// What is kept of a head until its body has come.
    type Ticket;

    /// Answers the request by writing to `out`, or takes it. The answer looks as `manner` says,
    /// unless it is the last one.
    fn decide(
        &mut self,
        head: &Head<'_>,
        peer: IpAddr,
        now: Instant,
        manner: Manner,
        out: &mut Vec<u8>,
    ) -> Decision<Self::Ticket>;

    /// Writes an error to `out`, and counts it.
    fn refuse(&mut self, refused: Refused<'_, Self::Ticket>, manner: Manner, out: &mut Vec<u8>);

    /// No connection is kept any more.
    fn is_leaving(&self) -> bool;

    /// How long a connection may be idle.
    fn idle_time(&self) -> Duration;

    /// How large a body may be, and the memory for all of them.
    fn bodies(&self) -> (usize, &Arc<Budget>);
}

/// What becomes of a request, by its head.
#[derive(Debug)]
pub enum Decision<T> {
    /// What is to be sent has been written.
    Answered {
        /// The connection ends, whatever was wanted.
        last: bool,
    },
    /// Its body is wanted.
    Taken(T),
}

/// A request that is turned away.
#[derive(Debug)]
#[expect(missing_docs, reason = "the names of its fields say it")]
pub struct Refused<'a, T> {
    pub peer: IpAddr,
    /// `None` for one that could not be read.
    pub ticket: Option<&'a T>,
    pub refusal: Refusal,
    pub error: &'a Error,
    /// What could not be read.
    pub unread: &'a [u8],
}

/// A request that is there with its body.
#[derive(Debug)]
#[expect(missing_docs, reason = "the names of its fields say it")]
pub struct Request<T> {
    pub ticket: T,
    pub body: Vec<u8>,
    pub share: Share,
    pub manner: Manner,
    /// The client has asked again as soon as it was answered, and may do so once more.
    pub is_soon: bool,
}

/// What a step has come to.
#[derive(Debug)]
pub enum Step<T> {
    /// There is nothing to do before the client takes or sends something.
    Wait,
    /// Something was done, and there may be more to do.
    Done,
    /// A request has come whole. Until [`Connection::returned`] the connection is lent.
    Request(Box<Request<T>>),
}

/// What is to be done with the client's socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wants {
    /// Read, into [`Connection::received`].
    Input,
    /// Write [`Connection::output`].
    Output,
    /// Read, and forget what was read.
    End,
    /// It is lent: nothing.
    Nothing,
}

#[derive(Debug)]
enum Stage<T> {
    /// Before the header of the PROXY protocol, which comes first.
    Unannounced(Announcement),
    /// Between two requests, or before the first.
    Idle,
    /// In the middle of a head, of which so many bytes were looked at.
    Head(usize),
    Body(Box<Upload<T>>),
    /// A worker answers.
    Lent,
    /// A worker answers, and has the connection itself: this is what marks its place.
    Away,
    /// Answered for the last time, and read on so that the client sees the answer.
    Lingering,
}

/// How much of a PROXY protocol header has come.
#[derive(Debug, Clone, Copy)]
enum Announcement {
    Nothing,
    /// Not enough to be read.
    Begun,
    /// It has been read; so many bytes are left, which nobody here reads.
    Rest(usize),
}

/// A body that is coming, and what it belongs to.
#[derive(Debug)]
struct Upload<T> {
    body: Body,
    ticket: T,
    manner: Manner,
    is_soon: bool,
}

/// A connection.
#[derive(Debug)]
pub struct Connection<T> {
    peer: IpAddr,
    stage: Stage<T>,
    /// What has come and was not used.
    input: Vec<u8>,
    /// What is to be sent, and how much of it has been.
    output: Vec<u8>,
    sent: usize,
    /// The output is the last.
    ends: bool,
    /// When it began to wait for the client, and until when it does.
    since: Instant,
    deadline: Instant,
    /// When a worker had answered its last request.
    answered: Option<Instant>,
}

impl<T> Connection<T> {
    /// One that has come now, from `peer`.
    pub fn new(peer: IpAddr, now: Instant, idle_time: Duration) -> Connection<T> {
        Connection {
            peer,
            stage: Stage::Idle,
            input: Vec::new(),
            output: Vec::new(),
            sent: 0,
            ends: false,
            since: now,
            deadline: now + idle_time.min(FIRST_TIME),
            answered: None,
        }
    }

    /// Comes from a proxy that first says whom it speaks for.
    pub fn behind_a_proxy(self) -> Connection<T> {
        Connection { stage: Stage::Unannounced(Announcement::Nothing), ..self }
    }

    /// Takes the connection to the worker that answers it, and leaves what marks its place.
    pub(super) fn take_away(&mut self) -> Connection<T> {
        let place = Connection {
            peer: self.peer,
            stage: Stage::Away,
            input: Vec::new(),
            output: Vec::new(),
            sent: 0,
            ends: false,
            since: self.since,
            deadline: self.deadline,
            answered: None,
        };
        std::mem::replace(self, place)
    }

    /// Whether a worker has it: what becomes of its socket is then the worker's to see.
    pub(super) fn is_away(&self) -> bool {
        matches!(self.stage, Stage::Away)
    }

    /// What is to be done with the socket.
    pub fn wants(&self) -> Wants {
        match self.stage {
            _ if !self.output.is_empty() => Wants::Output,
            Stage::Lent | Stage::Away => Wants::Nothing,
            Stage::Lingering => Wants::End,
            Stage::Unannounced(_) | Stage::Idle | Stage::Head(_) | Stage::Body(_) => Wants::Input,
        }
    }

    /// Whether a body is on its way.
    pub fn is_uploading(&self) -> bool {
        matches!(self.stage, Stage::Body(_))
    }

    /// Whether its time is over.
    pub fn is_overdue(&self, now: Instant) -> bool {
        !matches!(self.stage, Stage::Lent | Stage::Away) && now >= self.deadline
    }

    /// How well it can be spared for a newcomer, which may be a probe: the larger, the better.
    ///
    /// One that has not said anything yet waits no less than one that sends a byte a second, so it
    /// is the time that decides between them. But one that has come this moment is about to speak,
    /// and so is one whose bytes have come and were not read (`has_unread`).
    pub fn spare(&self, now: Instant, has_unread: bool) -> Option<(bool, Duration)> {
        let waited = now.saturating_duration_since(self.since);
        let is_heard = has_unread && self.wants() == Wants::Input;
        match self.stage {
            Stage::Lent | Stage::Away => None,
            _ if waited < GRACE || is_heard => None,
            Stage::Body(_) => Some((false, waited)),
            _ => Some((true, waited)),
        }
    }

    /// Whether it is between two requests, with nothing to be said or done.
    pub(super) fn is_between(&self) -> bool {
        matches!(self.stage, Stage::Idle) && self.input.is_empty() && self.output.is_empty()
    }

    /// Whether something that was read has not been used.
    pub fn has_input(&self) -> bool {
        !self.input.is_empty()
    }

    /// Takes what was read.
    pub fn received(&mut self, bytes: &[u8]) {
        // Before what is still to be sent nothing is gone on with, and it would not be seen again.
        let is_next = self.input.is_empty() && self.output.is_empty();
        let taken = match &mut self.stage {
            Stage::Body(upload) if is_next => upload.body.take_at_once(bytes),
            _ => 0,
        };
        self.input.extend_from_slice(&bytes[taken..]);
    }

    /// What is still to be sent.
    pub fn output(&self) -> &[u8] {
        &self.output[self.sent..]
    }

    /// So much of the output has been sent. Returns whether that was the last that is said here:
    /// the client is to be told by a half-closed connection.
    pub fn sent(&mut self, bytes: usize, now: Instant, idle_time: Duration) -> bool {
        self.sent += bytes;
        if self.sent < self.output.len() {
            if bytes > 0 {
                self.deadline = now + READ_PATIENCE;
            }
            return false;
        }
        (self.output, self.sent) = (std::mem::take(&mut self.output), 0);
        if self.output.capacity() > KEPT_BYTES {
            self.output = Vec::new();
        }
        self.output.clear();
        if self.ends {
            self.linger(now);
            return true;
        }
        if !matches!(self.stage, Stage::Body(_)) {
            self.idle(now, idle_time);
        }
        false
    }

    /// A worker has answered, to the end. `last` as for [`Connection::sent`], which is returned.
    pub fn returned(&mut self, last: bool, now: Instant, idle_time: Duration) -> bool {
        self.answered = Some(now);
        if last {
            self.linger(now);
        } else {
            self.idle(now, idle_time);
        }
        last
    }

    /// Refuses an upload that the server does not wait for.
    pub fn refuse_upload(
        &mut self,
        refusal: Refusal,
        error: &Error,
        now: Instant,
        rules: &mut impl Rules<Ticket = T>,
    ) {
        if let Stage::Body(upload) = std::mem::replace(&mut self.stage, Stage::Idle) {
            let manner = Manner { close: true, ..upload.manner };
            self.refuse(Some(&upload.ticket), refusal, error, manner, now, rules);
        }
    }

    /// Goes on as far as one request, with what has come.
    pub fn step<R: Rules<Ticket = T>>(&mut self, now: Instant, rules: &mut R) -> Step<T> {
        if !self.output.is_empty() {
            return Step::Wait;
        }
        match &mut self.stage {
            Stage::Lent | Stage::Away | Stage::Lingering => Step::Wait,
            Stage::Unannounced(announcement) => {
                let announcement = *announcement;
                self.announced(announcement, now, rules)
            }
            Stage::Body(_) => self.upload(now, rules),
            Stage::Idle | Stage::Head(_) => match self.find_head(now) {
                Ok(None) => Step::Wait,
                Ok(Some(length)) => self.answer(length, now, rules),
                Err(error) => {
                    let input = std::mem::take(&mut self.input);
                    self.refuse_head(&error, &input, now, rules)
                }
            },
        }
    }

    /// Takes what has come of the header that says whom the proxy speaks for.
    fn announced<R: Rules<Ticket = T>>(
        &mut self,
        mut announcement: Announcement,
        now: Instant,
        rules: &mut R,
    ) -> Step<T> {
        if self.input.is_empty() {
            return Step::Wait;
        }
        if matches!(announcement, Announcement::Nothing) {
            (self.since, self.deadline) = (now, now + HEAD_TIME);
            announcement = Announcement::Begun;
        }
        if !matches!(announcement, Announcement::Rest(_)) {
            match proxy_protocol::read(&self.input) {
                Ok(None) => {}
                Ok(Some(header)) => {
                    self.peer = header.client.unwrap_or(self.peer);
                    announcement = Announcement::Rest(header.length);
                }
                Err(error) => {
                    let input = std::mem::take(&mut self.input);
                    return self.refuse_head(&error, &input, now, rules);
                }
            }
        }
        if let Announcement::Rest(left) = &mut announcement {
            let taken = self.input.len().min(*left);
            self.input.drain(..taken);
            *left -= taken;
            if *left == 0 {
                self.idle(now, rules.idle_time().min(FIRST_TIME));
                return self.step(now, rules);
            }
        }
        self.stage = Stage::Unannounced(announcement);
        Step::Wait
    }

    /// Answers what cannot be read.
    fn refuse_head<R: Rules<Ticket = T>>(
        &mut self,
        error: &Error,
        unread: &[u8],
        now: Instant,
        rules: &mut R,
    ) -> Step<T> {
        let manner = Manner { head_only: false, close: true, old: false };
        let refusal = Refusal::Http;
        let refused = Refused { peer: self.peer, ticket: None, refusal, error, unread };
        self.answer_refused(refused, manner, now, rules);
        Step::Done
    }

    /// Looks for the end of a head in the input.
    fn find_head(&mut self, now: Instant) -> Result<Option<usize>, Error> {
        let mut seen = match self.stage {
            Stage::Head(seen) => seen,
            _ => 0,
        };
        if seen == 0 {
            // Empty lines before a request are from clients that end their bodies with one.
            let blank = self.input.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
            self.input.drain(..blank);
        }
        if self.input.is_empty() {
            return Ok(None);
        }
        if let Some(length) = head::length(&self.input, seen)? {
            return Ok(Some(length));
        }
        if seen == 0 {
            (self.since, self.deadline) = (now, now + HEAD_TIME);
        }
        seen = self.input.len();
        self.stage = Stage::Head(seen);
        Ok(None)
    }

    /// Answers or takes the request whose head is the first of the input.
    fn answer<R: Rules<Ticket = T>>(
        &mut self,
        length: usize,
        now: Instant,
        rules: &mut R,
    ) -> Step<T> {
        self.stage = Stage::Idle;
        let input = std::mem::take(&mut self.input);
        let (bytes, rest) = input.split_at(length);
        let head = match head::parse(bytes) {
            Ok(head) => head,
            Err(error) => return self.refuse_head(&error, bytes, now, rules),
        };
        let answered = self.answered.take();
        let is_soon = answered.is_some_and(|at| now.saturating_duration_since(at) < SOON);
        let close = head.close || rules.is_leaving();
        let manner = Manner { head_only: head.method == "HEAD", close, old: head.old };
        // A body that nobody wants is skipped, if all of it is here.
        let unwanted = match head.body {
            BodyLength::None => Some(0),
            BodyLength::Bytes(length) => {
                usize::try_from(length).ok().filter(|length| *length <= rest.len())
            }
            BodyLength::Chunked => None,
        };
        let answer = Manner { close: close || unwanted.is_none(), ..manner };
        let ticket = match rules.decide(&head, self.peer, now, answer, &mut self.output) {
            Decision::Answered { last } => {
                self.ends = answer.close || last;
                self.wait_for_reader(now);
                self.keep_input(input, length + unwanted.unwrap_or_default());
                return Step::Done;
            }
            Decision::Taken(ticket) => ticket,
        };
        let (limit, budget) = rules.bodies();
        let body = match Body::new(head.body, limit, budget, now) {
            Ok(body) => body,
            Err(error) => {
                let manner = Manner { close: true, ..manner };
                return self.refuse_body(&ticket, &error, manner, now, rules);
            }
        };
        if head.expects_continue && !body.is_whole() && rest.is_empty() {
            self.output.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        (self.since, self.deadline) = (now, body.deadline());
        self.stage = Stage::Body(Box::new(Upload { body, ticket, manner, is_soon }));
        self.keep_input(input, length);
        self.upload(now, rules)
    }

    /// Takes what has come of the body.
    fn upload<R: Rules<Ticket = T>>(&mut self, now: Instant, rules: &mut R) -> Step<T> {
        let Stage::Body(mut upload) = std::mem::replace(&mut self.stage, Stage::Lent) else {
            unreachable!("there is a body");
        };
        let input = std::mem::take(&mut self.input);
        match upload.body.take(&input) {
            Ok(taken) => self.keep_input(input, taken),
            Err(error) => {
                let manner = Manner { close: true, ..upload.manner };
                return self.refuse_body(&upload.ticket, &error, manner, now, rules);
            }
        }
        if !upload.body.is_whole() {
            self.deadline = upload.body.deadline();
            self.stage = Stage::Body(upload);
            return if self.output.is_empty() { Step::Wait } else { Step::Done };
        }
        let Upload { body, ticket, manner, is_soon } = *upload;
        match body.into_parts() {
            Ok((body, share)) => {
                Step::Request(Box::new(Request { ticket, body, share, manner, is_soon }))
            }
            Err(error) => self.refuse_body(&ticket, &error, manner, now, rules),
        }
    }

    /// Answers a request whose body is not taken.
    fn refuse_body<R: Rules<Ticket = T>>(
        &mut self,
        ticket: &T,
        error: &Error,
        manner: Manner,
        now: Instant,
        rules: &mut R,
    ) -> Step<T> {
        let refusal = Refusal::of_status(error.status());
        self.refuse(Some(ticket), refusal, error, manner, now, rules);
        Step::Done
    }

    /// Keeps the input from `at` on, and no memory for none.
    fn keep_input(&mut self, mut input: Vec<u8>, at: usize) {
        if at < input.len() {
            input.drain(..at);
            self.input = input;
        }
    }

    /// Answers the request at hand with an error.
    pub fn refuse(
        &mut self,
        ticket: Option<&T>,
        refusal: Refusal,
        error: &Error,
        manner: Manner,
        now: Instant,
        rules: &mut impl Rules<Ticket = T>,
    ) {
        let refused = Refused { peer: self.peer, ticket, refusal, error, unread: &[] };
        self.answer_refused(refused, manner, now, rules);
    }

    fn answer_refused(
        &mut self,
        refused: Refused<'_, T>,
        manner: Manner,
        now: Instant,
        rules: &mut impl Rules<Ticket = T>,
    ) {
        rules.refuse(refused, manner, &mut self.output);
        self.ends = manner.close;
        self.stage = Stage::Idle;
        self.wait_for_reader(now);
    }

    fn wait_for_reader(&mut self, now: Instant) {
        (self.since, self.deadline) = (now, now + READ_PATIENCE);
    }

    fn idle(&mut self, now: Instant, idle_time: Duration) {
        self.stage = Stage::Idle;
        (self.since, self.deadline) = (now, now + idle_time);
    }

    fn linger(&mut self, now: Instant) {
        self.stage = Stage::Lingering;
        self.input = Vec::new();
        (self.since, self.deadline) = (now, now + LINGER_TIME);
    }
}
