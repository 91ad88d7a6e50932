//! One connection of a client, from its first byte to its last, one request at a time.

use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Door;
use super::access::Sight;
use super::answer::{self, Manner};
use super::body::{self, BodyError};
use super::handover::Interrupted;
use super::head::{self, BodyLength, Head};
use super::registry::{Connection, Entry, Stage};
use super::route::{self, Route};
use super::slot::Slot;
use crate::error::Error;
use crate::exchange::{Call, Exchange};
use crate::health::{Asked, HealthPath};
use crate::record::{Caller, Refusal};
use crate::unique::unique;

/// A request's head, from its first byte on.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// Between requests: nginx keeps its side of a connection for 60 s, and a POST that meets a closed
/// connection is an error there.
pub const IDLE_TIME: Duration = Duration::from_secs(75);
/// After a refusal, so that the client can read it before the connection is reset.
const LINGER_TIME: Duration = Duration::from_secs(5);

/// Serves the connection until it ends.
pub fn serve(door: &Door, entry: &Entry) {
    let connection = &*entry.connection;
    let peer = peer_of(&connection.socket);
    let mut buffer = Vec::with_capacity(1024);
    loop {
        match read_head(connection, &mut buffer) {
            Ok(Some(length)) => {
                let rest = buffer.split_off(length);
                let head = std::mem::replace(&mut buffer, rest);
                if answer(door, connection, peer, &head, &mut buffer) == After::Close {
                    return;
                }
            }
            Ok(None) => return,
            Err(refusal) => {
                let manner = Manner { head_only: false, close: true };
                let (error, id) = (refusal.into(), unique("req_"));
                door.health.refusals.refused(Refusal::Http, &error, &id, Caller::unknown(peer));
                let _ = answer::send_error(&connection.socket, manner, &error, None, None, &id);
                linger(connection);
                return;
            }
        }
    }
}

/// What becomes of the connection after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    Keep,
    Close,
}

pub fn peer_of(socket: &TcpStream) -> IpAddr {
    // A client that has gone already has no address any more.
    socket.peer_addr().map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.ip().to_canonical())
}

/// Reads until `buffer` holds a head; returns its length, or `None` when the client has gone.
fn read_head(
    connection: &Connection,
    buffer: &mut Vec<u8>,
) -> Result<Option<usize>, head::Refusal> {
    let mut seen = 0;
    let mut waiting = connection.wait(Stage::Idle, IDLE_TIME);
    loop {
        // Empty lines before a request are from clients that end their bodies with one.
        let blank = buffer.len() - buffer.iter().skip_while(|b| matches!(b, b'\r' | b'\n')).count();
        if blank > 0 && seen == 0 {
            buffer.drain(..blank);
        }
        if let Some(length) = head::length(buffer, seen)? {
            return Ok(Some(length));
        }
        seen = buffer.len();
        if waiting.stage == Stage::Idle && !buffer.is_empty() {
            waiting = connection.wait(Stage::Head, HEAD_TIME);
        }
        // From here on it may be cut, until bytes have come.
        connection.resume(waiting);
        if !connection.await_bytes() {
            return Ok(None);
        }
        match receive(&connection.socket, buffer) {
            Ok(n) if n > 0 => {}
            _ => return Ok(None),
        }
    }
}

/// Appends what can be read at once, up to what a head may have.
fn receive(mut socket: &TcpStream, buffer: &mut Vec<u8>) -> io::Result<usize> {
    let have = buffer.len();
    let room = if have == 0 { 1024 } else { 8192 };
    buffer.resize(have + room, 0);
    let read = loop {
        match socket.read(&mut buffer[have..]) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            other => break other,
        }
    };
    buffer.truncate(have + *read.as_ref().unwrap_or(&0));
    read
}

/// Answers one request. `rest` is what came behind its head.
fn answer(
    door: &Door,
    connection: &Connection,
    peer: IpAddr,
    bytes: &[u8],
    rest: &mut Vec<u8>,
) -> After {
    let socket = &*connection.socket;
    let head = match head::parse(bytes) {
        Ok(head) => head,
        Err(refusal) => {
            let manner = Manner { head_only: false, close: true };
            let whose = Whose { door, connection, caller: Caller::unknown(peer), origin: None };
            return refuse(whose, Refusal::Http, &refusal.into(), None, manner, false);
        }
    };
    let route = match route::find(head.method, head.target) {
        // A browser asks in the form of a load balancer.
        Route::Health(_) | Route::Hello if head.preflights && head.method == "OPTIONS" => {
            Route::Preflight
        }
        route => route,
    };
    let now = Instant::now();
    let close = head.close || door.health.is_draining();
    let manner = Manner { head_only: head.method == "HEAD", close };
    connection.busy();
    let origin = door.access.origin(&head);
    if let Err(error) = door.access.check_host(&head, &route) {
        let unread = !drop_body(&head, rest);
        let whose = Whose { door, connection, caller: door.access.who(&head, peer), origin };
        return refuse(whose, Refusal::Host, &error, None, manner, unread);
    }

    if let Route::Health(path) = &route {
        let tells_more = matches!(path, HealthPath::Status | HealthPath::Metrics);
        let sight = if tells_more { door.access.sight(&head, peer, now) } else { Sight::Stranger };
        let asked = Asked {
            accept: head.accept.unwrap_or_default(),
            scrapes: head.scrapes,
            query: head.target.split_once('?').map_or("", |(_, query)| query),
            is_known: sight == Sight::Known,
            is_own: head.watchword == Some(&*door.watchword),
        };
        let answer = door.health.answer(path, asked, || door.load());
        let unread = !drop_body(&head, rest);
        let manner = Manner { close: close || unread || sight == Sight::Guesser, ..manner };
        let mut headers =
            vec![("Content-Type", answer.content_type), ("Allow", "GET, HEAD, OPTIONS")];
        match (&origin, *path == HealthPath::Health) {
            (Some(_), true) => headers.push(("Vary", "Accept, Origin")),
            (Some(_), false) => headers.push(("Vary", "Origin")),
            (None, true) => headers.push(("Vary", "Accept")),
            (None, false) => {}
        }
        headers.extend(origin.as_deref().map(|o| ("Access-Control-Allow-Origin", o)));
        if answer.status == 503 {
            headers.push(("Retry-After", "5"));
        }
        let sent = answer::send(socket, manner, answer.status, &headers, &answer.body);
        return after(connection, sent, manner, unread);
    }
    let whose = Whose { door, connection, caller: door.access.who(&head, peer), origin };
    if let Err(error) = door.access.check(&head, &route, peer, now) {
        let unread = !drop_body(&head, rest);
        // Who tries keys needs a connection for each.
        let guesses = error.retry().should_retry == Some(false);
        let manner = Manner { close: manner.close || guesses, ..manner };
        let refusal = Refusal::of_status(error.status());
        return refuse(whose, refusal, &error, None, manner, unread);
    }
    match route {
        Route::Call(call) => hand_over(whose, &head, call, rest, manner),
        Route::Hello | Route::Preflight => {
            let unread = !drop_body(&head, rest);
            let manner = Manner { close: manner.close || unread, ..manner };
            let sent = if route == Route::Hello {
                answer::send(socket, manner, 200, &[("Content-Type", "application/json")], b"{}")
            } else {
                let mut headers = PREFLIGHT.to_vec();
                headers.extend(whose.origin.as_deref().map(|o| ("Access-Control-Allow-Origin", o)));
                answer::send(socket, manner, 204, &headers, b"")
            };
            after(connection, sent, manner, unread)
        }
        Route::WrongMethod(allow) => {
            let reason = format!("{} is not allowed here; use {allow}", head.method);
            let unread = !drop_body(&head, rest);
            let error = Error::Refused { status: 405, reason };
            refuse(whose, Refusal::Method, &error, Some(allow), manner, unread)
        }
        Route::Unknown => {
            let path = head.target.split('?').next().unwrap_or_default();
            let reason = format!("{path:?} is not a path of this API");
            let unread = !drop_body(&head, rest);
            let error = Error::Refused { status: 404, reason };
            refuse(whose, Refusal::Path, &error, None, manner, unread)
        }
        Route::Health(_) => unreachable!("answered above"),
    }
}

const PREFLIGHT: &[(&str, &str)] = &[
    ("Allow", "GET, HEAD, POST, OPTIONS"),
    ("Access-Control-Allow-Methods", "GET, HEAD, POST, OPTIONS"),
    // `*` does not cover Authorization.
    ("Access-Control-Allow-Headers", "*, Authorization"),
    ("Access-Control-Max-Age", "86400"),
    ("Vary", "Origin"),
];

/// Reads the body, admits the request, and lets the API answer it.
fn hand_over(
    whose: Whose<'_>,
    head: &Head,
    call: Call,
    rest: &mut Vec<u8>,
    manner: Manner,
) -> After {
    let Whose { door, connection, .. } = whose;
    let mut socket = &*connection.socket;
    let too_large = matches!(head.body, BodyLength::Bytes(n) if n > door.body_limit_bytes as u64);
    if head.expects_continue && head.body != BodyLength::None && !too_large && rest.is_empty() {
        let sent = io::Write::write_all(&mut socket, b"HTTP/1.1 100 Continue\r\n\r\n");
        if sent.is_err() {
            return After::Close;
        }
    }
    let read = body::read(connection, head.body, door.body_limit_bytes, rest, &door.budget);
    connection.busy();
    let (body, share) = match read {
        Ok(read) => read,
        Err(BodyError::Gone) => return After::Close,
        Err(BodyError::Refused(error)) => {
            let refusal = Refusal::of_status(error.status());
            return refuse(whose, refusal, &error, None, manner, true);
        }
    };
    if door.closing.load(Ordering::Relaxed) {
        let reason = "ccproxy is shutting down; try again".to_owned();
        let error = Error::Refused { status: 529, reason };
        let manner = Manner { close: true, ..manner };
        return refuse(whose, Refusal::Draining, &error, None, manner, false);
    }
    let Some(slot) = Slot::take(&door.admitted, door.limits.max_in_flight) else {
        let reason = format!(
            "{} messages are being answered already, the most at once; CCPROXY_MAX_IN_FLIGHT sets it",
            door.limits.max_in_flight
        );
        let error = Error::Refused { status: 529, reason };
        return refuse(whose, Refusal::InFlight, &error, None, manner, false);
    };
    // Counts until the last byte is sent, which is what a shutdown waits for.
    let _in_flight = Slot::take(&door.in_flight, usize::MAX);
    // A stream to HTTP/1.0 has no end but the connection's.
    let manner = Manner { close: manner.close || (head.old && call == Call::Messages), ..manner };
    let method = if head.method == "POST" { "POST" } else { "GET" };
    let route = route_of(&call);
    let began = Instant::now();
    let request_id = unique("req_");
    door.exchanges.hand_over(Exchange {
        request_id: request_id.clone(),
        call,
        body,
        client: Arc::clone(&connection.socket),
        caller: whose.caller.clone(),
        origin: whose.origin.clone(),
        anthropic_version: head.anthropic_version.map(str::to_owned),
        anthropic_beta: (!head.anthropic_beta.is_empty()).then(|| head.anthropic_beta.join(",")),
        #[cfg(debug_assertions)]
        panics: head.panics,
    });
    let result = door.handover.run(&request_id, socket, manner, head.old, (slot, share));
    // Only there if the API was never reached.
    drop(door.exchanges.take(&request_id));
    if let Ok(status) = result {
        door.health.metrics.request((method, route, status), began.elapsed());
    }
    match result {
        // A stream may have outlived the time when connections were kept.
        Ok(_) if manner.close || door.health.is_draining() => close(connection),
        Ok(_) => After::Keep,
        Err(Interrupted::Within) => After::Close,
        Err(Interrupted::Before(e)) => {
            log::error!("the API did not take a request: {e}");
            let reason = "ccproxy is short of threads or descriptors".to_owned();
            let error = Error::Refused { status: 529, reason };
            refuse(whose, Refusal::Resources, &error, None, manner, false)
        }
    }
}

/// The name of a call's path in the metrics.
fn route_of(call: &Call) -> &'static str {
    match call {
        Call::Messages => "/v1/messages",
        Call::CountTokens => "/v1/messages/count_tokens",
        Call::Models => "/v1/models",
        Call::Model(_) => "/v1/models/{id}",
    }
}

/// Drops a body nobody wants, if all of it has come. Returns whether none of it is left to come.
fn drop_body(head: &Head, rest: &mut Vec<u8>) -> bool {
    match head.body {
        BodyLength::None => true,
        BodyLength::Bytes(length) => match usize::try_from(length) {
            Ok(length) if length <= rest.len() => {
                rest.drain(..length);
                true
            }
            _ => false,
        },
        BodyLength::Chunked => false,
    }
}

/// A request's connection, and who sent it.
struct Whose<'a> {
    door: &'a Door,
    connection: &'a Connection,
    caller: Caller,
    /// The page that may read the answer.
    origin: Option<String>,
}

/// Sends an error, which counts and is told as a refusal for that reason. `unread` tells that the
/// client is still sending a body.
fn refuse(
    whose: Whose<'_>,
    refusal: Refusal,
    error: &Error,
    allow: Option<&str>,
    manner: Manner,
    unread: bool,
) -> After {
    let Whose { door, connection, caller, origin } = whose;
    let request_id = unique("req_");
    door.health.refusals.refused(refusal, error, &request_id, caller);
    let manner = Manner { close: manner.close || unread, ..manner };
    let sent = answer::send_error(
        &connection.socket,
        manner,
        error,
        allow,
        origin.as_deref(),
        &request_id,
    );
    after(connection, sent, manner, unread || manner.close)
}

fn after(connection: &Connection, sent: io::Result<()>, manner: Manner, unread: bool) -> After {
    match sent {
        Err(_) => After::Close,
        Ok(()) if manner.close && unread => {
            linger(connection);
            After::Close
        }
        Ok(()) if manner.close => close(connection),
        Ok(()) => After::Keep,
    }
}

/// Ends the connection after a complete answer.
fn close(connection: &Connection) -> After {
    let _ = connection.socket.shutdown(Shutdown::Write);
    After::Close
}

/// Reads on for a while after the last answer: closing with bytes unread resets the connection, and
/// the client would lose the answer.
fn linger(connection: &Connection) {
    if connection.socket.shutdown(Shutdown::Write).is_err() {
        return;
    }
    connection.enter(Stage::Lingering, LINGER_TIME);
    let mut socket = &*connection.socket;
    let mut bytes = [0; 16 << 10];
    // The reaper ends it in time.
    while socket.read(&mut bytes).is_ok_and(|n| n > 0) {}
}
