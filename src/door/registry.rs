//! The open connections: their states, deadlines, and which goes when there are too many.
//!
//! A connection's own thread changes its state with atomics; the lock is for coming, going, and the
//! reaper, so no request ever waits for another here.

use std::collections::HashMap;
use std::mem::MaybeUninit;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use socket2::SockRef;

/// How long a connection may take to be read from or to say something before it can be cut.
const GRACE_MS: u64 = 5;

/// How soon a connection that could not be cut is looked at again.
const RETRY: Duration = Duration::from_millis(1);

/// What a connection is doing, as far as deadlines are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    /// Between two requests, or before the first.
    Idle,
    /// In the middle of a head.
    Head,
    /// In the middle of a body.
    Body,
    /// A request is being answered: never cut.
    Busy,
    /// Refused, and read on so that the client sees the answer.
    Lingering,
}

const STAGES: [Stage; 5] = [Stage::Idle, Stage::Head, Stage::Body, Stage::Busy, Stage::Lingering];

/// A stage that waits for the client: since when, and until when.
#[derive(Debug, Clone, Copy)]
pub struct Wait {
    pub stage: Stage,
    /// Milliseconds since the connection began.
    since: u64,
    deadline: u64,
}

/// A connection as others see it.
#[derive(Debug)]
pub struct Connection {
    pub socket: Arc<TcpStream>,
    began: Instant,
    stage: AtomicU8,
    /// Milliseconds since `began`.
    since: AtomicU64,
    deadline: AtomicU64,
}

impl Connection {
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Enters a stage that may last for `limit`.
    pub fn enter(&self, stage: Stage, limit: Duration) {
        self.resume(self.wait(stage, limit));
    }

    /// A wait for the client that begins now. The connection enters it by [`Connection::resume`].
    pub fn wait(&self, stage: Stage, limit: Duration) -> Wait {
        let since = self.now();
        let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        Wait { stage, since, deadline: since.saturating_add(limit) }
    }

    /// Enters a wait, or enters it again: its time goes on from where it began.
    pub fn resume(&self, wait: Wait) {
        self.deadline.store(wait.deadline, Ordering::Relaxed);
        self.since.store(wait.since, Ordering::Relaxed);
        self.stage.store(wait.stage as u8, Ordering::Release);
    }

    /// Waits until bytes have come, and leaves them unread. From then on the connection is busy, so that
    /// nobody cuts it between its request and the answer. Returns false if the client has gone.
    pub fn await_bytes(&self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        loop {
            match SockRef::from(&*self.socket).recv_with_flags(&mut byte, libc::MSG_PEEK) {
                Ok(n) => {
                    self.busy();
                    return n > 0;
                }
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
    }

    /// Enters [`Stage::Busy`], which has no deadline here.
    pub fn busy(&self) {
        self.deadline.store(u64::MAX, Ordering::Relaxed);
        self.stage.store(Stage::Busy as u8, Ordering::Release);
    }

    pub fn stage(&self) -> Stage {
        STAGES[usize::from(self.stage.load(Ordering::Acquire))]
    }

    fn waited(&self) -> u64 {
        self.now().saturating_sub(self.since.load(Ordering::Relaxed))
    }

    fn is_overdue(&self) -> bool {
        self.stage() != Stage::Busy && self.now() >= self.deadline.load(Ordering::Relaxed)
    }

    /// Whether bytes have come that its thread has not read.
    fn has_unread(&self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
        SockRef::from(&*self.socket).recv_with_flags(&mut byte, flags).is_ok_and(|n| n > 0)
    }

    /// Ends the connection from outside: its thread's read returns at once.
    fn cut(&self) {
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

/// All open connections.
#[derive(Debug, Default)]
pub struct Registry {
    connections: Mutex<HashMap<u64, Arc<Connection>>>,
    /// Somebody has gone.
    gone: Condvar,
    next: AtomicU64,
}

/// A place in the registry, given back when dropped.
pub struct Entry {
    registry: Arc<Registry>,
    key: u64,
    pub connection: Arc<Connection>,
}

impl Registry {
    /// Enters a connection, with `limit` for its first request to begin.
    pub fn enter(self: &Arc<Registry>, socket: TcpStream, limit: Duration) -> Entry {
        let connection = Arc::new(Connection {
            socket: Arc::new(socket),
            began: Instant::now(),
            stage: AtomicU8::new(Stage::Idle as u8),
            since: AtomicU64::new(0),
            deadline: AtomicU64::new(0),
        });
        connection.enter(Stage::Idle, limit);
        let key = self.next.fetch_add(1, Ordering::Relaxed);
        self.lock().insert(key, Arc::clone(&connection));
        Entry { registry: Arc::clone(self), key, connection }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Cuts the connection that has waited longest for a request, or else in the middle of a body.
    /// Returns whether there was one.
    pub fn evict(&self) -> bool {
        evict(&self.lock())
    }

    /// Sees to it that there are fewer than `max` connections. One that is cut for it takes a moment to
    /// go, and where all are about to be answered one of them will be; `patience` bounds how long that
    /// is waited for. Returns whether there is room.
    pub fn make_room(&self, max: usize, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let mut cut = false;
        loop {
            let connections = self.lock();
            if connections.len() < max {
                return true;
            }
            cut = cut || evict(&connections);
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            drop(self.gone.wait_timeout(connections, if cut { left } else { left.min(RETRY) }));
        }
    }

    /// Cuts every connection whose time is over.
    pub fn reap(&self) {
        for connection in self.lock().values().filter(|connection| connection.is_overdue()) {
            connection.cut();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Connection>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A newcomer that has not said anything yet waits no less than one that sends a byte a second, so it
/// is the time that decides between them. But one whose request has come and has not been read is about
/// to be answered, and one that has come this moment is about to speak: it may be a probe amid a flood.
fn evict(connections: &HashMap<u64, Arc<Connection>>) -> bool {
    let rank = |connection: &Connection| match connection.stage() {
        Stage::Idle | Stage::Lingering | Stage::Head => Some(1),
        Stage::Body => Some(0),
        Stage::Busy => None,
    };
    let mut waiting: Vec<(u8, u64, &Arc<Connection>)> = connections
        .values()
        .filter_map(|connection| Some((rank(connection)?, connection.waited(), connection)))
        .filter(|(_, waited, _)| *waited >= GRACE_MS)
        .collect();
    waiting.sort_unstable_by_key(|(rank, waited, _)| (*rank, *waited));
    let worst = waiting
        .into_iter()
        .rev()
        .map(|(_, _, connection)| connection)
        .find(|connection| connection.stage() == Stage::Lingering || !connection.has_unread());
    let Some(connection) = worst else { return false };
    // Not chosen again before its thread has taken it out.
    connection.busy();
    connection.cut();
    true
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.registry.lock().remove(&self.key);
        self.registry.gone.notify_all();
    }
}
