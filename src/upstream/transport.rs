//! ureq's transport: a socket that waits by [`super::wait`], and marks of the phases on top.
//!
//! Unversioned API of ureq: its version is pinned.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket as Socket2, Type};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport,
};

use super::NOWHERE;
use super::wait::{Phase, enter, until_ready, with_call};
use crate::private;

/// How long one address may be tried alone before the next is tried beside it (RFC 8305).
const STAGGER: Duration = Duration::from_millis(250);

/// Opens sockets: to the addresses the resolver found, or to the embedded provider.
#[derive(Debug)]
pub(super) struct SocketConnector {
    /// The abstract name of the embedded provider's socket.
    pub embedded: Option<String>,
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
            return Ok(Some(Either::A(through_proxy)));
        }
        enter(Phase::Connect);
        with_call(|call| call.connected = true);
        let stream = match &self.embedded {
            Some(name) => Stream::Unix(private::connect(name, "/v1/models")?),
            None => Stream::Tcp(connect_any(&details.addrs)?),
        };
        stream.set_nonblocking()?;
        let buffers = LazyBuffers::new(
            details.config.input_buffer_size(),
            details.config.output_buffer_size(),
        );
        Ok(Some(Either::B(SocketTransport { stream, buffers })))
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
                None => return Ok(socket.into()),
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
    match socket.connect(&address.into()) {
        Ok(()) => Ok(socket),
        Err(e) if e.raw_os_error() == Some(libc::EINPROGRESS) => Ok(socket),
        Err(e) => Err(e),
    }
}

fn poll_fd(fd: RawFd, events: libc::c_short) -> libc::pollfd {
    libc::pollfd { fd, events, revents: 0 }
}

/// A connected socket that never blocks.
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.set_nonblocking(true),
            Stream::Unix(stream) => stream.set_nonblocking(true),
        }
    }

    fn fd(&self) -> RawFd {
        match self {
            Stream::Tcp(stream) => stream.as_raw_fd(),
            Stream::Unix(stream) => stream.as_raw_fd(),
        }
    }

    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => (&mut &*stream).read(buffer),
            Stream::Unix(stream) => (&mut &*stream).read(buffer),
        }
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => (&mut &*stream).write(bytes),
            Stream::Unix(stream) => (&mut &*stream).write(bytes),
        }
    }
}

/// The transport over a socket.
pub(super) struct SocketTransport {
    stream: Stream,
    buffers: LazyBuffers,
}

impl fmt::Debug for SocketTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketTransport").field("fd", &self.stream.fd()).finish()
    }
}

impl Transport for SocketTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let until = deadline(&timeout);
        let mut output = &self.buffers.output()[..amount];
        while !output.is_empty() {
            match self.stream.write(output) {
                Ok(0) => return Err(io::Error::from(ErrorKind::WriteZero).into()),
                Ok(n) => output = &output[n..],
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    wait(&self.stream, libc::POLLOUT, until, &timeout)?;
                }
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        let until = deadline(&timeout);
        let n = loop {
            match self.stream.read(self.buffers.input_append_buf()) {
                Ok(n) => break n,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    wait(&self.stream, libc::POLLIN, until, &timeout)?;
                }
                Err(e) => return Err(e.into()),
            }
        };
        self.buffers.input_appended(n);
        Ok(n > 0)
    }

    fn is_open(&mut self) -> bool {
        if with_call(|call| call.only_fresh) == Some(true) {
            return false;
        }
        let mut byte = 0u8;
        // SAFETY: the buffer is one byte, and the descriptor is open while `self` lives.
        let n = unsafe {
            libc::recv(
                self.stream.fd(),
                (&raw mut byte).cast(),
                1,
                libc::MSG_PEEK | libc::MSG_DONTWAIT,
            )
        };
        // Bytes nobody asked for are no better than an end.
        n < 0 && io::Error::last_os_error().kind() == ErrorKind::WouldBlock
    }
}

fn deadline(timeout: &NextTimeout) -> Option<Instant> {
    (!timeout.after.is_not_happening()).then(|| Instant::now() + *timeout.after)
}

fn wait(
    stream: &Stream,
    events: libc::c_short,
    until: Option<Instant>,
    timeout: &NextTimeout,
) -> Result<(), ureq::Error> {
    until_ready(&mut vec![poll_fd(stream.fd(), events)], until)?;
    if until.is_some_and(|until| Instant::now() >= until) {
        return Err(ureq::Error::Timeout(timeout.reason));
    }
    Ok(())
}

/// Puts the marks of the phases around a finished connection, with TLS and all.
#[derive(Debug)]
pub(super) struct PhaseConnector;

impl<In: Transport> Connector<In> for PhaseConnector {
    type Out = PhaseTransport<In>;

    fn connect(
        &self,
        _: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        Ok(chained.map(PhaseTransport))
    }
}

/// Knows the phase from what ureq does.
#[derive(Debug)]
pub(super) struct PhaseTransport<T>(T);

impl<T: Transport> Transport for PhaseTransport<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.0.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        enter(Phase::Send);
        self.0.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        match with_call(|call| call.phase()) {
            // From the request's end on, one limit counts until the body's first byte: many services
            // send their head at once and think afterwards.
            Some(Phase::FirstByte) | None => {}
            Some(Phase::Idle) => enter(Phase::Idle),
            Some(_) => enter(Phase::FirstByte),
        }
        let more = self.0.await_input(timeout)?;
        if more {
            with_call(|call| call.answered = true);
        }
        Ok(more)
    }

    fn is_open(&mut self) -> bool {
        self.0.is_open()
    }

    fn is_tls(&self) -> bool {
        self.0.is_tls()
    }
}
