//! A connected socket, which can be written to without waiting for the other side to read.
//!
//! A provider may answer while the request is still being sent, and then read no further or hang
//! up. The code that sends has to look for an answer meanwhile, which with TLS only the transport
//! above the encryption can do; so what could not be written waits here, and sending it is that
//! transport's work.

use std::io::{self, ErrorKind};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::os::{receive, receive_now, send_now};

/// The two kinds of sockets.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn set_read_timeout(&self, patience: Duration) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.set_read_timeout(Some(patience)),
            Stream::Unix(stream) => stream.set_read_timeout(Some(patience)),
        }
    }
}

impl AsRawFd for Stream {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Stream::Tcp(stream) => stream.as_raw_fd(),
            Stream::Unix(stream) => stream.as_raw_fd(),
        }
    }
}

/// A connected socket and what is to be written to it.
#[derive(Debug)]
pub(super) struct Socket {
    stream: Stream,
    outgoing: Mutex<Outgoing>,
    /// How long [`Socket::read`] waits, in microseconds, as the system was told last.
    patience: AtomicU64,
}

#[derive(Debug, Default)]
struct Outgoing {
    unsent: Vec<u8>,
    /// Somebody above looks after `unsent`.
    is_looked_after: bool,
    /// It waits for what comes next.
    is_held: bool,
    /// Nothing more is sent: the answer has come, or the other side reads no further.
    is_over: bool,
    /// Why not, until it is told.
    failure: Option<io::Error>,
}

impl Socket {
    pub(super) fn new(stream: Stream) -> Socket {
        Socket { stream, outgoing: Mutex::default(), patience: AtomicU64::new(0) }
    }

    pub(super) fn fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }

    /// Reads what is there, without waiting.
    pub(super) fn read_now(&self, buffer: &mut [u8]) -> io::Result<usize> {
        receive_now(&self.stream, buffer)
    }

    /// Reads, and waits as [`Socket::be_patient`] has said.
    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        receive(self.fd(), buffer)
    }

    /// Reading may take about so long: a few percent more or less save a system call for each read,
    /// and who reads looks at the clock.
    pub(super) fn be_patient(&self, patience: Duration) -> io::Result<()> {
        let wanted = u64::try_from(patience.as_micros()).unwrap_or(u64::MAX).max(1000);
        let is = self.patience.load(Ordering::Relaxed);
        if is.abs_diff(wanted) > wanted / 64 {
            self.stream.set_read_timeout(Duration::from_micros(wanted))?;
            self.patience.store(wanted, Ordering::Relaxed);
        }
        Ok(())
    }

    /// From now on [`Socket::send`] never fails and never has to be waited for: the caller looks
    /// after what is unsent.
    pub(super) fn look_after(&self) {
        self.lock().is_looked_after = true;
    }

    /// Writes what it can. Returns whether all is written, or not to be waited for.
    ///
    /// # Errors
    /// As write(2).
    pub(super) fn send(&self, mut bytes: &[u8]) -> io::Result<bool> {
        let mut outgoing = self.lock();
        if outgoing.is_over {
            return Ok(true);
        }
        if outgoing.is_held || !outgoing.unsent.is_empty() {
            outgoing.unsent.extend_from_slice(bytes);
            bytes = &[];
        }
        if outgoing.is_held {
            return Ok(true);
        }
        let result = match bytes {
            [] => outgoing.flush(&self.stream),
            bytes => write(&self.stream, bytes)
                .map(|written| outgoing.unsent.extend_from_slice(&bytes[written..])),
        };
        match result {
            Ok(()) => Ok(outgoing.is_looked_after || outgoing.unsent.is_empty()),
            Err(e) if outgoing.is_looked_after => {
                outgoing.end(Some(e));
                Ok(true)
            }
            Err(e) => Err(e),
        }
    }

    /// Whether what is sent from now on waits for what is sent after that.
    pub(super) fn hold(&self, is_held: bool) {
        self.lock().is_held = is_held;
    }

    pub(super) fn has_unsent(&self) -> bool {
        !self.lock().unsent.is_empty()
    }

    /// Forgets what is unsent, and all that is sent later: there is an answer, or else a reason why
    /// none can be expected.
    pub(super) fn end_sending(&self, failure: Option<io::Error>) {
        self.lock().end(failure);
    }

    /// Whether nothing more is sent.
    pub(super) fn is_over(&self) -> bool {
        self.lock().is_over
    }

    /// Why nothing more is sent, where it failed; told once.
    pub(super) fn take_failure(&self) -> Option<io::Error> {
        self.lock().failure.take()
    }

    pub(super) fn has_failed(&self) -> bool {
        self.lock().failure.is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Outgoing> {
        self.outgoing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outgoing {
    fn flush(&mut self, stream: &Stream) -> io::Result<()> {
        let written = write(stream, &self.unsent)?;
        if written == self.unsent.len() {
            // The next request is another's.
            self.unsent = Vec::new();
        } else {
            self.unsent.drain(..written);
        }
        Ok(())
    }

    fn end(&mut self, failure: Option<io::Error>) {
        self.unsent = Vec::new();
        self.is_over = true;
        self.failure = failure;
    }
}

/// Writes as much as is taken at once.
fn write(stream: &Stream, bytes: &[u8]) -> io::Result<usize> {
    let mut written = 0;
    while written < bytes.len() {
        match send_now(stream, &bytes[written..]) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(n) => written += n,
            Err(e) if e.kind() == ErrorKind::WouldBlock => break,
            Err(e) => return Err(e),
        }
    }
    Ok(written)
}
