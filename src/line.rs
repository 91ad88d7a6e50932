//! A client's connection, lent by the door to the worker that answers its request.
//!
//! The worker writes the answer there itself and gives the connection back, as it is then: whatever
//! becomes of the worker, dropping the line gives it back.

use std::any::Any;
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use crate::os::{poll, poll_fd, send_now, shut_down, untaken};

/// How long a client may take nothing of an answer.
pub const READ_PATIENCE: Duration = Duration::from_secs(30);
/// The least that a client takes of an answer while it is waited for, on the whole.
const MIN_BYTES_PER_SECOND: u64 = 1024;

/// The end of an answer: until that is written, the message takes room.
const END_BYTES: usize = 8 << 10;

/// How an answer has to look on this connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manner {
    /// HEAD: the head alone.
    pub head_only: bool,
    /// The connection is closed afterwards, and the client is told.
    pub close: bool,
    /// HTTP/1.0: what has no length goes without framing, and ends with the connection.
    pub old: bool,
}

/// How a connection comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The answer is whole.
    Whole,
    /// It is, and the client was told that it is the last one here.
    Last,
    /// It broke off, or the client has gone: nothing more can be said here.
    Broken,
}

/// A connection that comes back.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the names of its fields say it")]
pub struct Return {
    pub key: usize,
    pub outcome: Outcome,
}

/// Where a lent connection goes back to.
pub trait Home: Send + Sync {
    /// Takes a connection back.
    fn give_back(&self, returned: Return);
    /// Something is to be done with one that was given back.
    fn hurry(&self);
}

/// What the door and the worker share of a connection.
#[derive(Debug)]
#[expect(missing_docs, reason = "the names of its fields say it")]
pub struct Peer {
    pub socket: TcpStream,
    /// The client has sent more, which nobody has read.
    pub has_unread: AtomicBool,
    worker: Mutex<Worker>,
}

/// What the worker is doing, as far as the door has to know.
#[derive(Debug, Default)]
struct Worker {
    /// Why its answer is not wanted any more.
    stopped: Option<Stop>,
    /// The socket that it waits for.
    waits_for: Option<RawFd>,
}

/// Why an answer is not wanted any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of its variants say it")]
pub enum Stop {
    ClientGone,
    /// The program ends.
    ShutDown,
}

impl Peer {
    /// The other side of a connection.
    pub fn new(socket: TcpStream) -> Peer {
        Peer { socket, has_unread: AtomicBool::new(false), worker: Mutex::default() }
    }

    /// Another answer begins.
    pub fn begin(&self) {
        *self.worker() = Worker::default();
    }

    /// Ends the worker's wait for a socket, now and from now on, by shutting that down: nothing
    /// else is looked at by who waits. Never waits itself; returns false if it is to be tried again
    /// at once.
    pub fn stop(&self, why: Stop) -> bool {
        let mut worker = match self.worker.try_lock() {
            Ok(worker) => worker,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        if worker.stopped.is_none() {
            worker.stopped = Some(why);
            if let Some(fd) = worker.waits_for {
                shut_down(fd);
            }
        }
        true
    }

    /// Why the answer is not wanted any more, if it is not.
    pub fn stopped(&self) -> Option<Stop> {
        self.worker().stopped
    }

    /// Runs `wait`, which waits for the open socket `fd` and nothing else.
    ///
    /// # Errors
    /// The answer is not wanted any more.
    pub fn wait_for<T>(&self, fd: RawFd, wait: impl FnOnce() -> T) -> Result<T, Stop> {
        {
            let mut worker = self.worker();
            if let Some(why) = worker.stopped {
                return Err(why);
            }
            worker.waits_for = Some(fd);
        }
        let result = wait();
        let mut worker = self.worker();
        worker.waits_for = None;
        worker.stopped.map_or(Ok(result), Err)
    }

    fn worker(&self) -> MutexGuard<'_, Worker> {
        self.worker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The connection, for as long as it takes to answer one request.
#[expect(missing_docs, reason = "the names of its fields say it")]
pub struct Line {
    peer: Arc<Peer>,
    pub manner: Manner,
    /// `None` once the door has taken it back by itself.
    home: Option<Arc<dyn Home>>,
    key: usize,
    /// What the message takes of the door's room.
    room: Option<Box<dyn Any + Send>>,
    /// Its place among the messages that are not answered to the end.
    _counted: Box<dyn Any + Send>,
    outcome: Outcome,
    pace: Pace,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("key", &self.key).field("manner", &self.manner).finish()
    }
}

impl Line {
    /// Lends the connection `key`. `room` and `counted` are given back by being dropped: at the
    /// beginning of the answer's end, and at the very end.
    pub fn new(
        peer: Arc<Peer>,
        manner: Manner,
        home: Arc<dyn Home>,
        key: usize,
        room: Box<dyn Any + Send>,
        counted: Box<dyn Any + Send>,
    ) -> Line {
        Line {
            peer,
            manner,
            home: Some(home),
            key,
            room: Some(room),
            _counted: counted,
            outcome: Outcome::Broken,
            pace: Pace::default(),
        }
    }

    /// Writes all of `bytes`, as fast as the client takes them.
    ///
    /// # Errors
    /// The client has gone, or takes nothing or too little.
    pub fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match send_now(&self.peer.socket, bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(n) => bytes = &bytes[n..],
                Err(e) if e.kind() == ErrorKind::WouldBlock => self.wait_for_reader()?,
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Writes the last of the answer. The message's room is given back when nearly all of it is
    /// written, and before the client can have seen the end: its next message, on whatever
    /// connection, finds room.
    ///
    /// # Errors
    /// As [`Line::send`].
    pub fn send_last(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (most, end) = bytes.split_at(bytes.len().saturating_sub(END_BYTES));
        self.send(most)?;
        self.room = None;
        self.send(end)?;
        self.outcome = if self.manner.close { Outcome::Last } else { Outcome::Whole };
        Ok(())
    }

    /// The client, to see it leave.
    pub fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }

    /// Takes the connection back from a worker that was never there. Returns its key.
    pub fn recall(mut self) -> usize {
        self.home = None;
        self.key
    }

    /// Waits until the client has taken something.
    fn wait_for_reader(&mut self) -> io::Result<()> {
        let began = Instant::now();
        let before = untaken(&self.peer.socket);
        let mut fds = [poll_fd(self.peer.socket.as_raw_fd(), libc::POLLOUT)];
        let ready = poll(&mut fds, Some(began + READ_PATIENCE))?;
        // It may take a little without making room for more.
        let taken = before.saturating_sub(untaken(&self.peer.socket));
        if !ready && taken == 0 || !self.pace.took(taken as u64, began.elapsed()) {
            return Err(ErrorKind::TimedOut.into());
        }
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.room = None;
        let Some(home) = &self.home else { return };
        home.give_back(Return { key: self.key, outcome: self.outcome });
        // In this order: the door looks for what has come back after it has noted that there is
        // more to be read, so that one of the two sees it.
        if self.outcome != Outcome::Whole || self.peer.has_unread.load(Ordering::SeqCst) {
            home.hurry();
        }
    }
}

/// How fast a client takes what it is waited for with.
#[derive(Debug, Default)]
struct Pace {
    taken: u64,
    waited: Duration,
}

impl Pace {
    /// Counts a wait. Returns whether the client is fast enough to be waited for again.
    fn took(&mut self, bytes: u64, waited: Duration) -> bool {
        self.taken += bytes;
        self.waited += waited;
        self.waited < READ_PATIENCE || self.taken >= self.waited.as_secs() * MIN_BYTES_PER_SECOND
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    /// Whether a reader of so many bytes a second is still waited for after a while.
    fn is_waited_for(bytes_per_second: u64, seconds: u64) -> bool {
        let mut pace = Pace::default();
        (0..seconds).all(|_| pace.took(bytes_per_second, Duration::from_secs(1)))
    }

    fn connected() -> (TcpStream, TcpStream) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    #[test]
    fn who_waits_for_a_socket_is_woken_when_the_answer_is_not_wanted() {
        let (_client, socket) = connected();
        let peer = Arc::new(Peer::new(socket));
        for round in 0..2 {
            let (_upstream, mut asked) = connected();
            peer.begin();
            let (began, begun) = std::sync::mpsc::channel();
            let stopper = Arc::clone(&peer);
            let stopping = std::thread::spawn(move || {
                begun.recv().unwrap();
                while !stopper.stop(Stop::ClientGone) {}
            });
            // Whether it is stopped before the wait or within.
            let waited = peer.wait_for(asked.as_raw_fd(), || {
                began.send(()).unwrap();
                asked.read(&mut [0])
            });
            assert!(matches!(waited, Err(Stop::ClientGone)), "round {round}: {waited:?}");
            stopping.join().unwrap();
            assert!(peer.wait_for(asked.as_raw_fd(), || unreachable!()).is_err());
        }
    }

    #[test]
    fn a_reader_of_less_than_a_kilobyte_a_second_is_not_waited_for() {
        assert!(is_waited_for(500, 29));
        assert!(!is_waited_for(500, 31));
        assert!(is_waited_for(1024, 3600));
        assert!(!is_waited_for(0, 30));
    }
}
