//! A connected socket, which can be written to without waiting for the other side to read.
//!
//! A provider may answer while the request is still being sent, and then read no further or hang up. The
//! code that sends has to look for an answer meanwhile, which with TLS only the transport above the
//! encryption can do; so what could not be written waits here, and sending it is that transport's work.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The two kinds of sockets, neither of which blocks.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    pub fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.set_nonblocking(true),
            Stream::Unix(stream) => stream.set_nonblocking(true),
        }
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => (&mut &*stream).write(bytes),
            Stream::Unix(stream) => (&mut &*stream).write(bytes),
        }
    }
}

/// A connected socket and what is to be written to it.
#[derive(Debug)]
pub(super) struct Socket {
    stream: Stream,
    outgoing: Mutex<Outgoing>,
}

#[derive(Debug, Default)]
struct Outgoing {
    unsent: Vec<u8>,
    /// Somebody above looks after `unsent`.
    is_looked_after: bool,
    /// Nothing more is sent: the answer has come, or the other side reads no further.
    is_over: bool,
    /// Why not, until it is told.
    failure: Option<io::Error>,
}

impl Socket {
    pub fn new(stream: Stream) -> Socket {
        Socket { stream, outgoing: Mutex::default() }
    }

    pub fn fd(&self) -> RawFd {
        match &self.stream {
            Stream::Tcp(stream) => stream.as_raw_fd(),
            Stream::Unix(stream) => stream.as_raw_fd(),
        }
    }

    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.stream {
            Stream::Tcp(stream) => (&mut &*stream).read(buffer),
            Stream::Unix(stream) => (&mut &*stream).read(buffer),
        }
    }

    /// From now on [`Socket::send`] never fails and never has to be waited for: the caller looks after
    /// what is unsent.
    pub fn look_after(&self) {
        self.lock().is_looked_after = true;
    }

    /// Writes what it can. Returns whether all is written, or not to be waited for.
    ///
    /// # Errors
    /// As write(2).
    pub fn send(&self, mut bytes: &[u8]) -> io::Result<bool> {
        let mut outgoing = self.lock();
        if outgoing.is_over {
            return Ok(true);
        }
        let result = outgoing.flush(&self.stream).and_then(|()| {
            if outgoing.unsent.is_empty() {
                bytes = &bytes[write(&self.stream, bytes)?..];
            }
            Ok(())
        });
        match result {
            Ok(()) => {
                outgoing.unsent.extend_from_slice(bytes);
                Ok(outgoing.is_looked_after || outgoing.unsent.is_empty())
            }
            Err(e) if outgoing.is_looked_after => {
                outgoing.end(Some(e));
                Ok(true)
            }
            Err(e) => Err(e),
        }
    }

    pub fn has_unsent(&self) -> bool {
        !self.lock().unsent.is_empty()
    }

    /// Forgets what is unsent, and all that is sent later: there is an answer, or else a reason why none
    /// can be expected.
    pub fn end_sending(&self, failure: Option<io::Error>) {
        self.lock().end(failure);
    }

    /// Whether nothing more is sent.
    pub fn is_over(&self) -> bool {
        self.lock().is_over
    }

    /// Why nothing more is sent, where it failed; told once.
    pub fn take_failure(&self) -> Option<io::Error> {
        self.lock().failure.take()
    }

    pub fn has_failed(&self) -> bool {
        self.lock().failure.is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Outgoing> {
        self.outgoing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outgoing {
    fn flush(&mut self, stream: &Stream) -> io::Result<()> {
        let written = write(stream, &self.unsent)?;
        self.unsent.drain(..written);
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
        match stream.write(&bytes[written..]) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(n) => written += n,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) if e.kind() == ErrorKind::WouldBlock => break,
            Err(e) => return Err(e),
        }
    }
    Ok(written)
}
