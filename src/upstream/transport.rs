//! ureq's transport: a socket that waits by [`super::wait`], and marks of the phases on top.
//!
//! Unversioned API of ureq: its version is pinned.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket as Socket2, TcpKeepalive, Type};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, NextTimeout, Transport,
};

use super::buffers::GrowingBuffers;
use super::long_head::LongHead;
use super::socket::{Socket, Stream};
use super::wait::{Phase, enter, read, until_ready, with_call};
use super::{Embedded, NOWHERE};
use crate::os::{self, poll_fd, reset_when_untaken};

/// How long one address may be tried alone before the next is tried beside it (RFC 8305).
const STAGGER: Duration = Duration::from_millis(250);

/// How long a connection may be silent before the kernel asks whether the other side is still
/// there: NAT gateways forget such connections after some minutes, while a provider thinks.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// How often it asks.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);

/// How long the other side may acknowledge nothing before the connection counts as dead.
const DEAD_AFTER: Duration = Duration::from_secs(20);

/// What the system keeps of an answer whose client does not read. It would be megabytes, which a
/// container pays for.
const RECEIVE_BUFFER_BYTES: usize = 64 << 10;

/// What of an answer may come before the request is sent and is no answer yet.
const INTERIM_LIMIT_BYTES: usize = 8 << 10;

/// How a TLS server's answer begins to what is not TLS.
///
/// <https://www.rfc-editor.org/rfc/rfc8446#section-5.1>
const TLS_ALERT: u8 = 21;

/// Opens sockets: to the addresses the resolver found, or to the embedded provider.
#[derive(Debug)]
pub(super) struct SocketConnector {
    pub embedded: Option<Embedded>,
}

impl<In: Transport> Connector<In> for SocketConnector {
    type Out = Either<In, SocketTransport>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        if details.uri.host() == Some(NOWHERE) {
            return Err(ureq::Error::ConnectionFailed);
        }
        if let Some(through_proxy) = chained {
            with_call(|call| call.is_on_the_way = false);
            enter_tls(details);
            return Ok(Some(Either::A(through_proxy)));
        }
        enter(Phase::Connect);
        with_call(|call| call.connected = true);
        let stream = match &self.embedded {
            Some(connect) => Stream::Unix(connect()?),
            None => Stream::Tcp(connect_any(&details.addrs)?),
        };
        let socket = Arc::new(Socket::new(stream));
        with_call(|call| call.socket = Some(Arc::clone(&socket)));
        enter_tls(details);
        let buffers = GrowingBuffers::new(details.config);
        Ok(Some(Either::B(SocketTransport { socket, buffers })))
    }
}

fn enter_tls(details: &ConnectionDetails) {
    if details.needs_tls() {
        enter(Phase::Tls);
    }
}

/// Connects to the first address that answers, starting a further attempt every [`STAGGER`] or when
/// one fails, both families in turn.
fn connect_any(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut waiting = in_turn(addresses).into_iter();
    let mut attempts: Vec<Socket2> = Vec::new();
    let mut next_start = Instant::now();
    let mut failure = io::Error::new(ErrorKind::ConnectionRefused, "the host has no address");
    loop {
        while attempts.is_empty() || Instant::now() >= next_start {
            let Some(address) = waiting.next() else { break };
            match start_connect(address) {
                Ok(socket) => {
                    attempts.push(socket);
                    next_start = Instant::now() + STAGGER;
                }
                Err(e) => failure = e,
            }
        }
        if attempts.is_empty() {
            return Err(failure);
        }
        let mut fds: Vec<_> =
            attempts.iter().map(|s| poll_fd(s.as_raw_fd(), libc::POLLOUT)).collect();
        let until = (waiting.len() > 0).then_some(next_start);
        until_ready(&mut fds, until)?;
        let ready = attempts.iter().zip(&fds).position(|(_, fd)| fd.revents != 0);
        if let Some(at) = ready {
            let socket = attempts.swap_remove(at);
            match socket.take_error()? {
                None => {
                    // From now on reading waits; what must not says so itself.
                    socket.set_nonblocking(false)?;
                    return Ok(socket.into());
                }
                Some(e) => {
                    failure = e;
                    next_start = Instant::now();
                }
            }
        }
    }
}

/// The addresses, one family and the other in turn.
fn in_turn(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<SocketAddr>, Vec<SocketAddr>) =
        addresses.iter().copied().partition(|address| address.is_ipv6() == first_is_v6);
    let mut ordered = Vec::with_capacity(addresses.len());
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    loop {
        match (first.next(), second.next()) {
            (None, None) => return ordered,
            (a, b) => ordered.extend(a.into_iter().chain(b)),
        }
    }
}

fn start_connect(address: SocketAddr) -> io::Result<Socket2> {
    let socket = Socket2::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE_EVERY);
    socket.set_tcp_keepalive(&keepalive)?;
    reset_when_untaken(&socket, DEAD_AFTER)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
    match socket.connect(&address.into()) {
        Ok(()) => Ok(socket),
        Err(e) if e.raw_os_error() == Some(libc::EINPROGRESS) => Ok(socket),
        Err(e) => Err(e),
    }
}

/// The transport over a socket.
pub(super) struct SocketTransport {
    socket: Arc<Socket>,
    buffers: GrowingBuffers,
}

impl fmt::Debug for SocketTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketTransport").field("fd", &self.socket.fd()).finish()
    }
}

impl Transport for SocketTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let until = deadline(&timeout);
        let mut is_sent = self.socket.send(&self.buffers.output()[..amount])?;
        while !is_sent {
            wait(&self.socket, libc::POLLOUT, until, &timeout)?;
            is_sent = self.socket.send(&[])?;
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.buffers.forget_output();
        let buffer = self.buffers.input_append_buf();
        let n = if with_call(|call| call.takes_what_is_there) == Some(true) {
            self.socket.read_now(buffer)?
        } else {
            let read = read(&self.socket, buffer, deadline(&timeout))?;
            read.ok_or(ureq::Error::Timeout(timeout.reason))?
        };
        self.buffers.input_appended(n);
        Ok(n > 0)
    }

    fn is_open(&mut self) -> bool {
        // A connection that was opened for this very call is the fresh one that it needs.
        if with_call(|call| call.only_fresh && !call.connected) == Some(true) {
            return false;
        }
        if self.socket.is_over() {
            return false;
        }
        // ureq also asks when it puts a connection back, whose next use finds out all the same.
        if with_call(|call| call.answered) == Some(true) {
            return true;
        }
        // Bytes nobody asked for are no better than an end.
        os::is_silent(self.socket.fd())
    }
}

fn deadline(timeout: &NextTimeout) -> Option<Instant> {
    (!timeout.after.is_not_happening()).then(|| Instant::now() + *timeout.after)
}

fn wait(
    socket: &Socket,
    events: libc::c_short,
    until: Option<Instant>,
    timeout: &NextTimeout,
) -> Result<(), ureq::Error> {
    until_ready(&mut vec![poll_fd(socket.fd(), events)], until)?;
    if until.is_some_and(|until| Instant::now() >= until) {
        return Err(ureq::Error::Timeout(timeout.reason));
    }
    Ok(())
}

/// Puts the marks of the phases around a finished connection, with TLS and all.
#[derive(Debug)]
pub(super) struct PhaseConnector {
    /// Where the provider is asked, as host and port. The connections to an HTTP proxy come through
    /// here too, before they lead to the provider.
    pub authorities: Vec<String>,
}

impl<In: Transport> Connector<In> for PhaseConnector {
    type Out = Either<In, PhaseTransport<In>>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let Some(transport) = chained else { return Ok(None) };
        let authority = details.uri.authority().map_or("", |authority| authority.as_str());
        if !self.authorities.iter().any(|known| known == authority) {
            enter(Phase::Connect);
            return Ok(Some(Either::A(transport)));
        }
        let socket = with_call(|call| call.socket.take()).flatten();
        let socket = socket.ok_or(ureq::Error::ConnectionFailed)?;
        socket.look_after();
        Ok(Some(Either::B(PhaseTransport {
            transport,
            socket,
            has_early_input: false,
            long_head: None,
        })))
    }
}

/// Knows the phase from what ureq does, and looks for an answer while the request is being sent.
#[derive(Debug)]
pub(super) struct PhaseTransport<T> {
    transport: T,
    /// What `transport` writes to in the end.
    socket: Arc<Socket>,
    /// Some of the answer has come that ureq has not been told of.
    has_early_input: bool,
    long_head: Option<LongHead>,
}

impl<T: Transport> PhaseTransport<T> {
    /// Waits for more of the answer, which may have a long head.
    fn more(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        if LongHead::is_needed(self.transport.buffers()) {
            self.long_head.get_or_insert_default().take(self.transport.buffers());
        }
        let more = self.transport.await_input(timeout)?;
        if let Some(head) = &mut self.long_head {
            head.take(self.transport.buffers());
        }
        Ok(more)
    }

    /// Takes what has come of an answer, and sends no more if it has begun or cannot be expected.
    fn look_for_answer(&mut self, timeout: NextTimeout) {
        if self.transport.buffers().input().len() > INTERIM_LIMIT_BYTES {
            return self.socket.end_sending(None);
        }
        with_call(|call| call.takes_what_is_there = true);
        let taken = self.transport.await_input(timeout);
        with_call(|call| call.takes_what_is_there = false);
        match taken {
            Ok(true) => {
                self.has_early_input = true;
                if has_answer(self.transport.buffers().input()) {
                    self.socket.end_sending(None);
                }
            }
            Ok(false) => self.socket.end_sending(Some(ErrorKind::UnexpectedEof.into())),
            Err(ureq::Error::Io(e)) if e.kind() == ErrorKind::WouldBlock => {}
            Err(e) => self.socket.end_sending(Some(e.into_io())),
        }
    }
}

impl<T: Transport> Transport for PhaseTransport<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.long_head.take_if(|head| head.is_used_up());
        match &mut self.long_head {
            Some(head) => head,
            None => self.transport.buffers(),
        }
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        if self.socket.is_over() {
            return Ok(());
        }
        enter(Phase::Send);
        // A head goes with the first of its body: one packet, and one wake-up over there.
        let is_held = with_call(|call| std::mem::take(&mut call.holds_head)) == Some(true);
        self.socket.hold(is_held);
        self.transport.transmit_output(amount, timeout)?;
        if is_held {
            return Ok(());
        }
        while self.socket.has_unsent() {
            let events = libc::POLLIN | libc::POLLOUT;
            let mut fds = vec![poll_fd(self.socket.fd(), events)];
            until_ready(&mut fds, None)?;
            if fds[0].revents & !libc::POLLOUT != 0 {
                self.look_for_answer(timeout);
            }
            if fds[0].revents & libc::POLLOUT != 0 {
                self.socket.send(&[])?;
                enter(Phase::Send);
            }
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        match with_call(|call| call.phase()) {
            // From the request's end on, one limit counts until the body's first byte: many
            // services send their head at once and think afterwards.
            Some(Phase::FirstByte) | None => {}
            Some(Phase::Idle) => enter(Phase::Idle),
            // An answer may have come before the other side stopped reading.
            Some(_) if self.socket.has_failed() => {}
            Some(_) => enter(Phase::FirstByte),
        }
        let has_some = std::mem::take(&mut self.has_early_input);
        let more = if has_some { Ok(true) } else { self.more(timeout) };
        match &more {
            Ok(true) => {
                let first = self.buffers().input().first().copied();
                with_call(|call| {
                    call.answered_tls |= !call.answered && first == Some(TLS_ALERT);
                    call.answered = true;
                });
                if self.socket.take_failure().is_some() {
                    enter(Phase::FirstByte);
                }
            }
            Ok(false) => {}
            Err(ureq::Error::Io(e)) => {
                let kinds = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset];
                with_call(|call| call.cut |= kinds.contains(&e.kind()));
            }
            Err(_) => {}
        }
        match more {
            Ok(true) => Ok(true),
            other => self.socket.take_failure().map_or(other, |failure| Err(failure.into())),
        }
    }

    fn is_open(&mut self) -> bool {
        self.transport.is_open()
    }

    fn is_tls(&self) -> bool {
        self.transport.is_tls()
    }
}

/// Whether an answer has begun, beyond interim ones: a status that is not `1xx`.
///
/// <https://www.rfc-editor.org/rfc/rfc9110#section-15.2>
fn has_answer(mut input: &[u8]) -> bool {
    const BEFORE_STATUS: usize = "HTTP/1.1 ".len();
    loop {
        match input.get(BEFORE_STATUS) {
            None => return false,
            Some(b'1') if input.starts_with(b"HTTP/1.") => {}
            Some(_) => return true,
        }
        match input.windows(4).position(|end| end == b"\r\n\r\n") {
            Some(end) => input = &input[end + 4..],
            None => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interim_answers_are_not_the_answer() {
        for (input, wanted) in [
            ("", false),
            ("HTTP/1.1 ", false),
            ("HTTP/1.1 103 Early Hints\r\nlink: x\r\n", false),
            ("HTTP/1.1 100 Continue\r\n\r\n", false),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 4", true),
            ("HTTP/1.1 413 Content Too Large\r\n", true),
            ("<html>no HTTP", true),
        ] {
            assert_eq!(has_answer(input.as_bytes()), wanted, "{input}");
        }
    }
}
