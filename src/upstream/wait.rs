//! The one place where a thread waits for the upstream.
//!
//! ureq blocks inside its transport, so that is where deadlines are kept and pings are sent. An
//! answer is read with a plain read(2), which ends when the phase's time is over or a ping is due;
//! the door watches the client meanwhile, and shuts the upstream's socket down when it leaves.
//! Other waits are short, and one poll(2) over all that matters. What belongs to the call at hand
//! is in a thread-local, since ureq hands a transport nothing of its caller.

use std::cell::RefCell;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::socket::Socket;
use crate::client::Client;
use crate::config::Timeouts;
use crate::line::{self, Peer};
use crate::os::{HALF_CLOSED, poll, poll_fd};

/// How long a connection may be made without a sign of life to the client: until its request is on
/// its way, a failure is worth an HTTP status, which the SDKs try again.
const QUIET_WHILE_CONNECTING: Duration = Duration::from_secs(10);

/// How long is waited where nothing bounds it, before the clock is looked at.
const FOR_EVER: Duration = Duration::from_secs(3600);

/// The upstream call this thread is in.
pub(super) struct Call {
    /// Nobody, once the client has its answer.
    client: Option<Rc<RefCell<dyn Client>>>,
    peer: Option<Arc<Peer>>,
    timeouts: Timeouts,
    phase: Phase,
    phase_began: Instant,
    began: Instant,
    /// Nothing is waited for beyond it, whatever the phase.
    until: Option<Instant>,
    /// A connection was opened for this call, so it did not come from the pool.
    pub connected: bool,
    /// The host's addresses are remembered ones.
    pub remembered: bool,
    /// The connection below, on its way from the socket to the top of the transports.
    pub socket: Option<Arc<Socket>>,
    /// How many bytes the request has at most, with its head.
    pub request_bytes: usize,
    /// The first that is sent is the head of a request, which its body follows.
    pub holds_head: bool,
    /// Reading takes what has come, and does not wait.
    pub takes_what_is_there: bool,
    /// The connection was closed without the goodbye that belongs to it.
    pub cut: bool,
    /// Pooled connections count as closed.
    pub only_fresh: bool,
    /// A byte of the answer has come.
    pub answered: bool,
    /// It is being connected to a proxy, which has not led on yet.
    pub is_on_the_way: bool,
    /// The first byte of the answer is TLS's.
    pub answered_tls: bool,
    /// Why [`until_ready`] gave up.
    stopped: Option<Stop>,
}

/// The part of an upstream call that a failure belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Looking up the name of the host.
    Resolve,
    /// TCP, and what an HTTP proxy has to do.
    Connect,
    /// The handshake of TLS.
    Tls,
    /// Writing the request.
    Send,
    /// From the request's last byte to the first byte of the answer's body.
    FirstByte,
    /// Between two reads of the answer's body.
    Idle,
}

/// Why waiting ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    ClientGone,
    /// The program ends.
    ShutDown,
    Silent(Phase),
}

impl From<line::Stop> for Stop {
    fn from(stop: line::Stop) -> Stop {
        match stop {
            line::Stop::ClientGone => Stop::ClientGone,
            line::Stop::ShutDown => Stop::ShutDown,
        }
    }
}

/// Two ends of a connection to itself: a byte in it is for every thread to see, and nobody reads
/// it.
static SHUTDOWN: OnceLock<(UnixStream, UnixStream)> = OnceLock::new();

/// Makes [`shut_down`] possible.
pub(super) fn arm_shutdown() -> io::Result<()> {
    if SHUTDOWN.get().is_none() {
        let _ = SHUTDOWN.set(UnixStream::pair()?);
    }
    Ok(())
}

/// Ends every wait for an upstream but for those that read, which their clients' connections end.
pub fn shut_down() {
    if let Some((_, end)) = SHUTDOWN.get() {
        let mut end = end;
        let _ = end.write_all(&[1]);
    }
}

thread_local! {
    static CALL: RefCell<Option<Call>> = const { RefCell::new(None) };
}

/// Ends the call when it is dropped.
#[derive(Debug)]
pub(super) struct CallGuard(());

impl Drop for CallGuard {
    fn drop(&mut self) {
        CALL.set(None);
    }
}

/// Begins a call on this thread.
pub(super) fn begin(
    client: Rc<RefCell<dyn Client>>,
    timeouts: Timeouts,
    only_fresh: bool,
) -> CallGuard {
    let peer = client.borrow().peer();
    CALL.set(Some(Call {
        client: Some(client),
        peer,
        timeouts,
        phase: Phase::Resolve,
        phase_began: Instant::now(),
        began: Instant::now(),
        until: None,
        connected: false,
        remembered: false,
        socket: None,
        request_bytes: usize::MAX,
        holds_head: false,
        takes_what_is_there: false,
        cut: false,
        only_fresh,
        answered: false,
        is_on_the_way: false,
        answered_tls: false,
        stopped: None,
    }));
    CallGuard(())
}

/// Reads or changes the call, if this thread is in one.
pub(super) fn with_call<T>(f: impl FnOnce(&mut Call) -> T) -> Option<T> {
    CALL.with_borrow_mut(|call| call.as_mut().map(f))
}

/// Enters a phase; its time begins now, but for those of one connection, which share theirs.
pub(super) fn enter(phase: Phase) {
    with_call(|call| {
        if !(is_connecting(phase) && is_connecting(call.phase)) {
            call.phase_began = Instant::now();
        }
        call.phase = phase;
    });
}

fn is_connecting(phase: Phase) -> bool {
    matches!(phase, Phase::Resolve | Phase::Connect | Phase::Tls)
}

/// Why the last wait gave up, if it did.
pub(super) fn stopped() -> Option<Stop> {
    with_call(|call| call.stopped).flatten()
}

impl Call {
    pub(super) fn phase(&self) -> Phase {
        self.phase
    }

    /// The client has its answer: what is left is read without it, and not for long.
    pub(super) fn finish_alone(&mut self, patience: Duration) {
        (self.client, self.peer) = (None, None);
        self.timeouts.idle = patience;
    }

    /// All that is still to come has to come within `patience`.
    pub(super) fn end_within(&mut self, patience: Duration) {
        self.until = Some(Instant::now() + patience);
    }

    fn deadline(&self) -> Instant {
        let limit = match self.phase {
            Phase::Resolve | Phase::Connect | Phase::Tls => self.timeouts.connect,
            Phase::FirstByte => self.timeouts.first_byte,
            Phase::Send | Phase::Idle => self.timeouts.idle,
        };
        let deadline = self.phase_began + limit;
        self.until.map_or(deadline, |until| until.min(deadline))
    }

    /// When the client wants a sign of life.
    fn wake_at(&self) -> Option<Instant> {
        let wake_at = self.client.as_ref()?.borrow().wake_at();
        let is_quiet = is_connecting(self.phase);
        Some(if is_quiet { wake_at.max(self.began + QUIET_WHILE_CONNECTING) } else { wake_at })
    }
}

/// What a wait is bounded by: until when it may go on, when it has to look at the clock at the
/// latest, and who leaves.
struct Bounds {
    next: Option<Instant>,
    peer: Option<Arc<Peer>>,
}

impl Bounds {
    fn now(until: Option<Instant>) -> Bounds {
        let (deadline, wake_at, peer) =
            with_call(|call| (Some(call.deadline()), call.wake_at(), call.peer.clone()))
                .unwrap_or_default();
        Bounds { next: [deadline, wake_at, until].into_iter().flatten().min(), peer }
    }

    /// Looks at the clock: sends a sign of life where one is due. Returns whether `until` has
    /// passed.
    ///
    /// # Errors
    /// The phase's time is over.
    fn look(until: Option<Instant>) -> io::Result<bool> {
        let now = Instant::now();
        if until.is_some_and(|until| now >= until) {
            return Ok(true);
        }
        let state =
            with_call(|call| (call.deadline(), call.phase, call.wake_at(), call.client.clone()));
        let Some((deadline, phase, wake_at, client)) = state else { return Ok(false) };
        if now >= deadline {
            return Err(stop(Stop::Silent(phase)));
        }
        if let Some(client) = client.filter(|_| wake_at.is_some_and(|at| now >= at)) {
            client.borrow_mut().wake();
        }
        Ok(false)
    }
}

/// Reads from the upstream's socket, or returns `None` when `until` has passed.
///
/// # Errors
/// The client has gone or the phase's time is over, which [`stopped`] tells; or as read(2).
pub(super) fn read(
    socket: &Socket,
    buffer: &mut [u8],
    until: Option<Instant>,
) -> io::Result<Option<usize>> {
    loop {
        let Bounds { next, peer } = Bounds::now(until);
        let next = next.unwrap_or_else(|| Instant::now() + FOR_EVER);
        socket.be_patient(next.saturating_duration_since(Instant::now()))?;
        let read = match &peer {
            Some(peer) => peer
                .wait_for(socket.fd(), || socket.read(buffer))
                .map_err(|why| stop(Stop::from(why)))?,
            None => socket.read(buffer),
        };
        match read {
            Ok(n) => return Ok(Some(n)),
            Err(e) if is_no_answer(&e) => {
                // A process that stood still, as a paused container does, has not waited: what has
                // come meanwhile was not late.
                match socket.read_now(buffer) {
                    Err(e) if is_no_answer(&e) => {}
                    read => return read.map(Some),
                }
                if Bounds::look(until)? {
                    return Ok(None);
                }
            }
            Err(e) => return Err(e),
        }
    }
}

/// The wait is over, and nothing has come.
fn is_no_answer(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// Waits until one of `fds` is ready or `until` has passed, which is no error: the caller looks.
///
/// # Errors
/// The client has gone or the phase's time is over; [`stopped`] tells which.
pub(super) fn until_ready(fds: &mut Vec<libc::pollfd>, until: Option<Instant>) -> io::Result<()> {
    let sockets = fds.len();
    loop {
        let Bounds { next, peer } = Bounds::now(until);
        if let Some(why) = peer.as_ref().and_then(|peer| peer.stopped()) {
            return Err(stop(why.into()));
        }
        let client_fd = peer.map(|peer| peer.socket.as_raw_fd());
        fds.truncate(sockets);
        fds.extend(client_fd.map(|fd| poll_fd(fd, HALF_CLOSED)));
        let watched = fds.len();
        // A call that has its client's answer ends by itself.
        if let (Some((seen, _)), Some(_)) = (SHUTDOWN.get(), client_fd) {
            fds.push(poll_fd(seen.as_raw_fd(), libc::POLLIN));
        }
        let ready = poll(fds, next)?;

        if fds[sockets..watched].iter().any(|client| client.revents != 0) {
            return Err(stop(Stop::ClientGone));
        }
        if fds[watched..].iter().any(|shutdown| shutdown.revents != 0) {
            return Err(stop(Stop::ShutDown));
        }
        if ready && fds[..sockets].iter().any(|fd| fd.revents != 0) || Bounds::look(until)? {
            return Ok(());
        }
    }
}

fn stop(stop: Stop) -> io::Error {
    with_call(|call| call.stopped = Some(stop));
    let kind = match stop {
        Stop::ClientGone | Stop::ShutDown => io::ErrorKind::ConnectionAborted,
        Stop::Silent(_) => io::ErrorKind::TimedOut,
    };
    kind.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nobody;

    impl Client for Nobody {
        fn peer(&self) -> Option<Arc<Peer>> {
            None
        }

        fn wake_at(&self) -> Instant {
            Instant::now()
        }

        fn wake(&mut self) {}
    }

    #[test]
    fn looking_up_connecting_and_the_handshake_share_one_time_limit() {
        const LIMIT: Duration = Duration::from_secs(60);
        let timeouts = Timeouts { connect: LIMIT, first_byte: LIMIT, idle: LIMIT };
        let _call = begin(Rc::new(RefCell::new(Nobody)), timeouts, false);
        let deadline = || with_call(|call| call.deadline()).expect("there is a call");
        let first = deadline();
        for phase in [Phase::Connect, Phase::Tls] {
            enter(phase);
            assert_eq!(deadline(), first, "{phase:?}");
        }
        enter(Phase::Send);
        assert!(deadline() > first);
    }
}
