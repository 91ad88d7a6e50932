//! What the door says to a request by itself, and which ones it takes.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Shared;
use super::access::Sight;
use super::answer::{push, push_error};
use super::connection::{Decision, Refused, Rules};
use super::head::Head;
use super::path::{self, Route};
use crate::error::Error;
use crate::exchange::{Call, Exchange};
use crate::health::{Asked, HealthPath};
use crate::http::EXPOSED;
use crate::line::Manner;
use crate::memory::Budget;
use crate::metrics::Verdict;
use crate::record::{Caller, Refusal};
use crate::unique::unique;

/// The door's rules, by its configuration.
pub(super) struct Desk(pub Arc<Shared>);

/// What is kept of a head until its body has come.
#[derive(Debug)]
pub(super) struct Ticket {
    pub call: Call,
    pub method: &'static str,
    pub whose: Whose,
    pub anthropic_version: Option<String>,
    pub anthropic_beta: Option<String>,
    #[cfg(debug_assertions)]
    pub panics: bool,
}

/// Who sent a request, and the page that may read the answer.
#[derive(Debug, Clone)]
pub(super) struct Whose {
    pub caller: Caller,
    pub origin: Option<String>,
}

impl Whose {
    /// Somebody whose request could not be read.
    pub(super) fn unknown(peer: IpAddr) -> Whose {
        Whose { caller: Caller::unknown(peer), origin: None }
    }
}

const JSON: (&str, &str) = ("Content-Type", "application/json");

const PREFLIGHT: &[(&str, &str)] = &[
    ("Allow", "GET, HEAD, POST, OPTIONS"),
    ("Access-Control-Allow-Methods", "GET, HEAD, POST, OPTIONS"),
    // `*` does not cover Authorization.
    ("Access-Control-Allow-Headers", "*, Authorization"),
    ("Access-Control-Max-Age", "86400"),
    ("Vary", "Origin"),
];

/// Lets the page at `origin` read an answer.
fn allow<'a>(headers: &mut Vec<(&'a str, &'a str)>, origin: Option<&'a str>) {
    if let Some(origin) = origin {
        headers.push(("Access-Control-Allow-Origin", origin));
        headers.push(("Access-Control-Expose-Headers", EXPOSED));
    }
}

impl Rules for Desk {
    type Ticket = Ticket;

    fn decide(
        &mut self,
        head: &Head<'_>,
        peer: IpAddr,
        now: Instant,
        manner: Manner,
        out: &mut Vec<u8>,
    ) -> Decision<Ticket> {
        let door = &*self.0;
        let route = match path::find(head.method, head.target) {
            // A browser asks in the form of a load balancer; it has to be let ask for a path that
            // is none, or its page is never told so.
            Route::Health(_) | Route::Hello | Route::Unknown
                if head.preflights && head.method == "OPTIONS" =>
            {
                Route::Preflight
            }
            route => route,
        };
        let origin = door.access.origin(head);
        let whose = || Whose { caller: door.access.who(head, peer), origin: origin.clone() };
        if let Err(error) = door.access.check_host(head, &route) {
            door.refuse(Refusal::Host, &error, whose(), None, manner, out);
            return Decision::Answered { last: false };
        }
        if let Route::Health(path) = &route
            && !path.is_for_callers()
        {
            let last = door.answer_health(head, path, peer, now, origin.as_deref(), manner, out);
            return Decision::Answered { last };
        }
        if let Err(error) = door.access.check(head, &route, peer, now) {
            // Who tries keys needs a connection for each.
            let last = matches!(&error, Error::ClientLimit { retry, .. } if retry.should_retry == Some(false));
            let manner = Manner { close: manner.close || last, ..manner };
            let refusal = Refusal::of_status(error.status());
            door.refuse(refusal, &error, whose(), None, manner, out);
            return Decision::Answered { last };
        }
        match route {
            Route::Call(call) => return Decision::Taken(Ticket::new(head, call, whose())),
            Route::Hello => {
                let mut headers = vec![JSON];
                headers.extend(origin.as_deref().map(|_| ("Vary", "Origin")));
                allow(&mut headers, origin.as_deref());
                push(out, manner, 200, &headers, b"{}");
            }
            Route::Preflight => {
                let mut headers = PREFLIGHT.to_vec();
                headers.extend(origin.as_deref().map(|o| ("Access-Control-Allow-Origin", o)));
                push(out, manner, 204, &headers, b"");
            }
            Route::WrongMethod(allow) => {
                let reason = format!("{} is not allowed here; use {allow}", head.method);
                let error = Error::Refused { status: 405, reason };
                door.refuse(Refusal::Method, &error, whose(), Some(allow), manner, out);
            }
            Route::Unknown => {
                let path = head.target.split('?').next().unwrap_or_default();
                let reason = format!("{path:?} is not a path of this API");
                let error = Error::Refused { status: 404, reason };
                door.refuse(Refusal::Path, &error, whose(), None, manner, out);
            }
            Route::Health(path) => {
                let origin = origin.as_deref();
                let last = door.answer_health(head, &path, peer, now, origin, manner, out);
                return Decision::Answered { last };
            }
        }
        Decision::Answered { last: false }
    }

    fn refuse(&mut self, refused: Refused<'_, Ticket>, manner: Manner, out: &mut Vec<u8>) {
        let Refused { peer, ticket, refusal, error, unread } = refused;
        let whose = ticket.map_or_else(
            || Whose { origin: self.0.access.origin_of_unread(unread), ..Whose::unknown(peer) },
            |ticket| ticket.whose.clone(),
        );
        self.0.refuse(refusal, error, whose, None, manner, out);
    }

    fn is_leaving(&self) -> bool {
        self.0.health.is_draining()
    }

    fn idle_time(&self) -> Duration {
        self.0.idle_time
    }

    fn bodies(&self) -> (usize, &Arc<Budget>) {
        (self.0.limits.body_limit, &self.0.budget)
    }
}

impl Ticket {
    fn new(head: &Head<'_>, call: Call, whose: Whose) -> Ticket {
        Ticket {
            call,
            method: if head.method == "POST" { "POST" } else { "GET" },
            whose,
            anthropic_version: head.anthropic_version.map(str::to_owned),
            anthropic_beta: (!head.anthropic_beta.is_empty())
                .then(|| head.anthropic_beta.join(",")),
            #[cfg(debug_assertions)]
            panics: head.panics,
        }
    }
}

impl Ticket {
    /// The ticket of a request that no worker has taken.
    pub(super) fn of(exchange: Exchange) -> Ticket {
        Ticket {
            call: exchange.call,
            method: exchange.method,
            whose: Whose { caller: exchange.caller, origin: exchange.origin },
            anthropic_version: exchange.anthropic_version,
            anthropic_beta: exchange.anthropic_beta,
            #[cfg(debug_assertions)]
            panics: exchange.panics,
        }
    }
}

impl Shared {
    /// Answers a health path, from memory. Returns whether it is the last answer here.
    #[expect(clippy::too_many_arguments, reason = "all that an answer depends on")]
    fn answer_health(
        &self,
        head: &Head<'_>,
        path: &HealthPath,
        peer: IpAddr,
        now: Instant,
        origin: Option<&str>,
        manner: Manner,
        out: &mut Vec<u8>,
    ) -> bool {
        // Those that are for callers alone are told nothing else of who asks.
        let tells_more = !path.is_plain() && !path.is_for_callers();
        let sight = if tells_more { self.access.sight(head, peer, now) } else { Sight::Stranger };
        let asked = Asked {
            accept: head.accept.unwrap_or_default(),
            scrapes: head.scrapes,
            query: head.target.split_once('?').map_or("", |(_, query)| query),
            is_known: sight == Sight::Known,
            is_own: head.watchword == Some(&*self.watchword),
        };
        let answer = self.health.answer(path, asked, || self.load());
        let last = sight == Sight::Guesser;
        let manner = Manner { close: manner.close || last, ..manner };
        let mut headers =
            vec![("Content-Type", answer.content_type), ("Allow", "GET, HEAD, OPTIONS")];
        match (origin, path.has_forms()) {
            (Some(_), true) => headers.push(("Vary", "Accept, Origin")),
            (Some(_), false) => headers.push(("Vary", "Origin")),
            (None, true) => headers.push(("Vary", "Accept")),
            (None, false) => {}
        }
        allow(&mut headers, origin);
        if answer.verdict == Verdict::Unwell {
            headers.push(("Retry-After", "5"));
        }
        push(out, manner, answer.verdict.status(), &headers, &answer.body);
        last
    }

    /// Answers with an error, which counts and is told as a refusal for that reason.
    pub(super) fn refuse(
        &self,
        refusal: Refusal,
        error: &Error,
        whose: Whose,
        allow: Option<&str>,
        manner: Manner,
        out: &mut Vec<u8>,
    ) {
        let request_id = unique("req_");
        let Whose { caller, origin } = whose;
        self.health.refusals.refused(refusal, error, &request_id, caller);
        push_error(out, manner, error, allow, origin.as_deref(), &request_id);
    }

    /// Why a message that is there is not taken, if it is not.
    pub(super) fn refusal(&self, has_place: bool) -> Option<(Refusal, Error)> {
        let (refusal, reason) = if self.closing.load(Ordering::Relaxed) {
            (Refusal::Draining, "ccproxy is shutting down; try again".to_owned())
        } else if !has_place {
            let most = self.limits.max_in_flight;
            (
                Refusal::InFlight,
                format!(
                    "{most} messages are being answered already, the most at once; \
                     CCPROXY_MAX_IN_FLIGHT sets it"
                ),
            )
        } else {
            return None;
        };
        Some((refusal, Error::Refused { status: 529, reason }))
    }
}
