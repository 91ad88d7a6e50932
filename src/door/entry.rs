//! A connection with its socket, and what it does in one turn of the loop.

use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Instant;

use super::connection::{Connection, Request, Rules, Step, Wants};
use crate::line::Peer;
use crate::os::{receive_now, send_now};

/// What is read at once of anything but a body: most requests, with a small body.
pub(super) const HEAD_BYTES: usize = 8 << 10;

/// A socket that never makes anybody wait.
pub(super) trait Socket {
    /// Reads what is there; [`ErrorKind::WouldBlock`] where nothing is.
    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize>;
    /// Writes what fits.
    fn send(&self, bytes: &[u8]) -> io::Result<usize>;
    /// Says that nothing more is written.
    fn end(&self) -> io::Result<()>;
}

impl Socket for Arc<Peer> {
    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        receive_now(&self.socket, buffer)
    }

    fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        send_now(&self.socket, bytes)
    }

    fn end(&self) -> io::Result<()> {
        self.socket.shutdown(Shutdown::Write)
    }
}

/// A connection, and its socket.
pub(super) struct Entry<S, T> {
    pub core: Connection<T>,
    pub socket: S,
    /// There may be something to read, also the end.
    pub readable: bool,
    /// The client will send nothing more.
    pub half_closed: bool,
    /// Its turn comes.
    pub queued: bool,
    /// The end of the server waits for it: its request had begun before.
    pub is_waited_for: bool,
    /// The errand that its request went to a worker with, if a worker had to be called for it.
    pub errand: Option<u64>,
}

/// What becomes of an entry after its turn.
pub(super) enum Next<T> {
    /// It waits for its socket, or for a worker.
    Wait,
    /// There is more to do.
    Again,
    HandOver(Box<Request<T>>),
    /// It is over.
    Gone,
}

/// What a worker that stays with a client finds in what it has read.
pub(super) enum Heard<T> {
    Request(Box<Request<T>>),
    /// The beginning of something.
    Part,
    /// Something that is the loop's to answer.
    Other,
}

/// Takes what a worker has read of a connection that it has.
pub(super) fn hear<R: Rules>(
    core: &mut Connection<R::Ticket>,
    bytes: &[u8],
    rules: &mut R,
    now: Instant,
) -> Heard<R::Ticket> {
    core.received(bytes);
    match core.step(now, rules) {
        Step::Request(request) => Heard::Request(request),
        Step::Wait if core.wants() == Wants::Input => Heard::Part,
        Step::Wait | Step::Done => Heard::Other,
    }
}

impl<S: Socket, T> Entry<S, T> {
    pub(super) fn new(core: Connection<T>, socket: S) -> Entry<S, T> {
        Entry {
            core,
            socket,
            readable: true,
            half_closed: false,
            queued: false,
            is_waited_for: false,
            errand: None,
        }
    }

    /// One turn: what can be sent is sent, some bytes are read if they are needed, and one request
    /// is answered.
    pub(super) fn turn<R: Rules<Ticket = T>>(
        &mut self,
        rules: &mut R,
        scratch: &mut [u8],
        now: Instant,
    ) -> Next<T> {
        if !self.send(rules, now) {
            return Next::Gone;
        }
        let (mut has_read, mut has_answered) = (false, false);
        loop {
            match self.core.step(now, rules) {
                Step::Request(request) => return Next::HandOver(request),
                Step::Done if !self.send(rules, now) => return Next::Gone,
                Step::Done => {
                    has_answered = true;
                    break;
                }
                Step::Wait if has_read => break,
                Step::Wait => match self.read(scratch) {
                    Ok(true) => has_read = true,
                    Ok(false) => break,
                    Err(_) => return Next::Gone,
                },
            }
        }
        let can_go_on = match self.core.wants() {
            Wants::Output | Wants::Nothing => false,
            Wants::Input => self.readable || has_answered && self.core.has_input(),
            Wants::End => self.readable,
        };
        // Whatever is behind this request has to wait for its turn.
        if can_go_on { Next::Again } else { Next::Wait }
    }

    /// A worker has given it back. `last` tells that its answer was the last one here.
    pub(super) fn returned<R: Rules<Ticket = T>>(&mut self, last: bool, rules: &R, now: Instant) {
        if self.core.returned(last, now, rules.idle_time()) {
            let _ = self.socket.end();
        }
    }

    /// Reads once, if there may be something that is wanted. Returns whether there was.
    ///
    /// # Errors
    /// The client has gone.
    fn read(&mut self, scratch: &mut [u8]) -> io::Result<bool> {
        let wants = self.core.wants();
        if !self.readable || !matches!(wants, Wants::Input | Wants::End) {
            return Ok(false);
        }
        // What cannot be used at once is better kept by the system, which bounds it.
        let all = scratch.len();
        let most = if self.core.is_uploading() { all } else { HEAD_BYTES.min(all) };
        let scratch = &mut scratch[..most];
        match self.socket.receive(scratch) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                // What comes after a short read is told, but its end may have been told already.
                self.readable = n == scratch.len() || self.half_closed;
                if wants == Wants::Input {
                    self.core.received(&scratch[..n]);
                }
                Ok(true)
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                self.readable = false;
                Ok(false)
            }
            Err(e) => Err(e),
        }
    }

    /// Sends as much of the output as the client takes. Returns whether it is still there.
    fn send<R: Rules<Ticket = T>>(&mut self, rules: &R, now: Instant) -> bool {
        while self.core.wants() == Wants::Output {
            match self.socket.send(self.core.output()) {
                Ok(n) => {
                    if self.core.sent(n, now, rules.idle_time()) && self.socket.end().is_err() {
                        return false;
                    }
                }
                Err(e) => return e.kind() == ErrorKind::WouldBlock,
            }
        }
        true
    }
}
