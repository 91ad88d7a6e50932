//! The one thread of the door: it owns every socket that no worker answers on, and does a bounded
//! amount of work for each of them per turn, so that nobody waits for anybody else's megabytes.
//!
//! What is decided, [`Connection`] and [`Desk`] decide. Here are the sockets, the clock, and the
//! order of a turn.

use std::collections::{HashMap, VecDeque};
use std::fmt::Display;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use super::connection::{Connection, Request, Rules, SOON, Wants};
use super::desk::{Desk, Ticket, Whose};
use super::entry::{Entry, Next};
use super::link::Link;
use super::regular::{Regular, Stayed};
use super::{Back, Command, Shared};
use crate::error::Error;
use crate::exchange::Errand;
use crate::heap;
use crate::line::{Home, Manner, Outcome, Peer, Return, Stop};
use crate::os::{send_now, watch_end};
use crate::record::{Ending, Record, Refusal};

/// The tokens of the waker, of the link and of the listeners; connections are numbered from
/// [`FIRST_KEY`] on.
pub(super) const WAKER: Token = Token(0);
const LINK: Token = Token(1);
const FIRST_LISTENER: usize = 2;
const FIRST_KEY: usize = 64;

/// How often overdue connections are looked for.
const TICK: Duration = Duration::from_millis(250);
/// The same while there is nobody: the watchdog wants to see turns.
const IDLE_TICK: Duration = Duration::from_secs(1);

/// Work of one turn: events, new connections, connections that had their turn and have more to do,
/// and bytes read of one connection.
const EVENTS: usize = 256;
const ACCEPTS: usize = 64;
const BACKLOG: usize = 128;
const READ_BYTES: usize = 64 << 10;

/// How long a newcomer waits for a connection that can be spared, and how often one is looked for.
const ROOM_PATIENCE: Duration = Duration::from_secs(1);
const ROOM_RETRY: Duration = Duration::from_millis(2);

/// A client's connection.
type Client = Entry<Arc<Peer>, Ticket>;

/// The thread's own.
pub(super) struct Reactor {
    shared: Arc<Shared>,
    desk: Desk,
    poll: Poll,
    listeners: Vec<(Arc<TcpListener>, bool)>,
    connections: HashMap<usize, Client>,
    next_key: usize,
    /// Whose turn it is, since their sockets or workers have told something.
    queue: Vec<usize>,
    /// Who had a turn and has more to do. They come after the others: a probe need not wait for who
    /// has sent a thousand requests together.
    backlog: VecDeque<usize>,
    /// Whose answer is not wanted any more, and whose worker is to be told.
    leaving: Vec<(usize, Stop)>,
    link: Link,
    /// The link has something to be read.
    link_told: bool,
    /// Why there is no API, and none could be had when that was tried last.
    shortage: Option<String>,
    scratch: Box<[u8]>,
    /// Since when a newcomer has been waiting for room.
    no_room_since: Option<Instant>,
    now: Instant,
    next_tick: Instant,
}

impl Reactor {
    /// Gets ready to serve `listeners`.
    ///
    /// # Errors
    /// A listener cannot be watched.
    pub(super) fn new(
        shared: Arc<Shared>,
        poll: Poll,
        listeners: Vec<Arc<TcpListener>>,
        api: Vec<UnixStream>,
    ) -> io::Result<Reactor> {
        for (i, listener) in listeners.iter().enumerate() {
            listener.set_nonblocking(true)?;
            let token = Token(FIRST_LISTENER + i);
            poll.registry().register(
                &mut SourceFd(&listener.as_raw_fd()),
                token,
                Interest::READABLE,
            )?;
        }
        let now = Instant::now();
        let mut reactor = Reactor {
            desk: Desk(Arc::clone(&shared)),
            link: Link::new(Arc::clone(&shared.errands), now),
            link_told: false,
            shortage: None,
            shared,
            poll,
            listeners: listeners.into_iter().map(|listener| (listener, false)).collect(),
            connections: HashMap::new(),
            next_key: FIRST_KEY,
            queue: Vec::new(),
            backlog: VecDeque::new(),
            leaving: Vec::new(),
            scratch: vec![0; READ_BYTES].into_boxed_slice(),
            no_room_since: None,
            now,
            next_tick: now + TICK,
        };
        reactor.connect(api)?;
        Ok(reactor)
    }

    /// Serves for ever, whatever becomes of a turn.
    pub(super) fn run(mut self) {
        let _keeping = heap::keep();
        let mut events = Events::with_capacity(EVENTS);
        loop {
            let turn = AssertUnwindSafe(|| self.turn(&mut events));
            match catch_unwind(turn) {
                Ok(Ok(())) => {}
                Ok(Err(e)) => log::error!("the door cannot wait for its sockets: {e}"),
                Err(_) => log::error!("the door met a bug and goes on"),
            }
        }
    }

    fn turn(&mut self, events: &mut Events) -> io::Result<()> {
        match self.poll.poll(events, Some(self.patience())) {
            Err(e) if e.kind() == ErrorKind::Interrupted => return Ok(()),
            other => other?,
        }
        self.now = Instant::now();
        self.shared.turns.fetch_add(1, Ordering::Relaxed);
        self.take_back();
        let mut unread_elsewhere = false;
        for event in events.iter() {
            match event.token().0 {
                key if key >= FIRST_KEY => unread_elsewhere |= self.note(key, event),
                i if i >= FIRST_LISTENER => self.listeners[i - FIRST_LISTENER].1 = true,
                i => self.link_told |= i == LINK.0,
            }
        }
        if unread_elsewhere {
            // Its worker may have given it back without waking anybody.
            self.take_back();
        }
        if std::mem::take(&mut self.link_told)
            && let Err(e) = self.link.pass_on()
        {
            self.has_gone(&e);
        }
        self.obey();
        self.stop_workers();
        self.accept();
        for key in std::mem::take(&mut self.queue) {
            self.serve(key);
        }
        for _ in 0..self.backlog.len().min(BACKLOG) {
            let Some(key) = self.backlog.pop_front() else { break };
            self.serve(key);
        }
        if self.now >= self.next_tick {
            self.tick();
        }
        self.shared.connections.store(self.connections.len(), Ordering::Relaxed);
        Ok(())
    }

    /// How long to wait for the next event.
    fn patience(&self) -> Duration {
        let is_busy = !self.queue.is_empty() || !self.backlog.is_empty();
        if is_busy || !self.leaving.is_empty() {
            Duration::ZERO
        } else if self.listeners.iter().any(|(_, ready)| *ready) {
            if self.no_room_since.is_some() { ROOM_RETRY } else { Duration::ZERO }
        } else if self.connections.is_empty() && !self.link.is_waiting() {
            IDLE_TICK
        } else {
            TICK
        }
    }

    /// Notes what has become of a connection's socket. Returns whether a connection that is lent
    /// has something to be read.
    fn note(&mut self, key: usize, event: &Event) -> bool {
        let Some(entry) = self.connections.get_mut(&key) else { return false };
        if entry.core.is_away() {
            // Nothing but its end is told.
            entry.half_closed = true;
            self.leaving.push((key, Stop::ClientGone));
            return false;
        }
        entry.readable |= event.is_readable() || event.is_error();
        entry.half_closed |= event.is_read_closed() || event.is_error();
        let wants = entry.core.wants();
        if wants != Wants::Nothing {
            if entry.readable || wants == Wants::Output {
                queue(&mut self.queue, key, entry);
            }
            return false;
        }
        if entry.half_closed {
            self.leaving.push((key, Stop::ClientGone));
        }
        if event.is_readable() {
            entry.socket.has_unread.store(true, Ordering::SeqCst);
        }
        event.is_readable()
    }

    /// Takes back the connections that workers have answered on.
    fn take_back(&mut self) {
        for back in self.shared.returns.take() {
            let Return { key, outcome } = match back {
                Back::Answered(returned) => returned,
                Back::Stayed(key, stayed) => {
                    self.stayed(key, *stayed);
                    continue;
                }
            };
            let Some(entry) = self.connections.get_mut(&key) else { continue };
            // The head of a stream may be older than the end of the time when connections were
            // kept.
            let last = outcome == Outcome::Last || self.desk.is_leaving();
            if outcome == Outcome::Broken {
                let _ = entry.socket.socket.shutdown(Shutdown::Both);
                self.remove(key);
                continue;
            }
            entry.socket.has_unread.store(false, Ordering::SeqCst);
            let was_away = entry.core.is_away();
            entry.returned(last, &self.desk, self.now);
            queue(&mut self.queue, key, entry);
            if was_away {
                self.watch_again(key);
            }
        }
    }

    /// Tells workers whose answers are not wanted any more. Who left before a worker had its
    /// request needs none.
    fn stop_workers(&mut self) {
        let mut left = Vec::new();
        let connections = &self.connections;
        self.leaving.retain(|(key, why)| {
            let lent = connections.get(key).filter(|entry| entry.core.wants() == Wants::Nothing);
            let Some(entry) = lent else { return false };
            let waits = entry.errand.filter(|id| self.shared.errands.has(*id));
            if let (Some(id), Stop::ClientGone) = (waits, *why) {
                left.push((*key, id));
                return false;
            }
            !entry.socket.stop(*why)
        });
        for (key, id) in left {
            match self.recall(id) {
                Some(errand) => self.forget(key, errand, self.link.waited(id, self.now)),
                // It has just been taken.
                None => self.leaving.push((key, Stop::ClientGone)),
            }
        }
    }

    /// Lets go of a client that has left after so long, with the errand that was for it.
    fn forget(&mut self, key: usize, errand: Errand, after: Duration) {
        self.remove(key);
        let Errand::Exchange(exchange, line, regular) = errand else { return };
        line.recall();
        if let Some(regular) = regular {
            regular.give_up();
        }
        let action = exchange.call.action();
        let mut record = Record::new(action, &exchange.request_id, exchange.caller);
        record.took(after, Duration::ZERO, None);
        let level = record.end(&Ending::ClientGone);
        record.write(level);
    }

    /// Does what others have asked for.
    fn obey(&mut self) {
        for command in self.shared.take_commands() {
            match command {
                Command::Close => self.close(),
                Command::CutOff => {
                    let keys = self.connections.keys();
                    self.leaving.extend(keys.map(|key| (*key, Stop::ShutDown)));
                }
                Command::Connect(streams) => match self.connect(streams) {
                    Ok(()) => self.shared.health.set_api_alive(true),
                    Err(e) => self.has_gone(&e),
                },
                Command::Short(why) => {
                    for errand in self.link.give_up() {
                        self.turn_down(errand, &why);
                    }
                    self.shortage = Some(why);
                }
            }
        }
    }

    /// Tells those that are sending a message that it will not be answered. Who has begun a request
    /// may read what is said to it before the server ends.
    fn close(&mut self) {
        self.shared.closing.store(true, Ordering::Relaxed);
        for (key, entry) in &mut self.connections {
            if entry.core.is_uploading()
                && let Some((refusal, error)) = self.shared.refusal(true)
            {
                entry.core.refuse_upload(refusal, &error, self.now, &mut self.desk);
                queue(&mut self.queue, *key, entry);
            } else if !(entry.queued || entry.core.has_input()) {
                continue;
            }
            if entry.core.wants() != Wants::Nothing {
                wait_for(entry, &self.shared);
            }
        }
        self.shared.is_closed.store(true, Ordering::Release);
    }

    /// Lets clients in.
    fn accept(&mut self) {
        for i in 0..self.listeners.len() {
            let mut left = ACCEPTS;
            while self.listeners[i].1 && left > 0 {
                left -= 1;
                if !self.make_room(self.shared.limits.max_connections) {
                    let since = *self.no_room_since.get_or_insert(self.now);
                    if self.now.saturating_duration_since(since) < ROOM_PATIENCE {
                        return;
                    }
                }
                match self.listeners[i].0.accept() {
                    Ok((socket, peer)) => self.admit(socket, peer.ip().to_canonical()),
                    Err(e) if e.kind() == ErrorKind::WouldBlock => {
                        self.listeners[i].1 = false;
                        self.no_room_since = None;
                    }
                    Err(e)
                        if matches!(
                            e.kind(),
                            ErrorKind::ConnectionAborted | ErrorKind::Interrupted
                        ) => {}
                    Err(_) => {
                        // Out of descriptors or memory, most likely: the next one finds what this
                        // one leaves behind.
                        if !self.make_room(self.connections.len()) {
                            self.no_room_since.get_or_insert(self.now);
                            return;
                        }
                    }
                }
            }
        }
    }

    /// Enters a connection, or turns it away where there is no room.
    fn admit(&mut self, socket: TcpStream, peer: IpAddr) {
        if self.connections.len() >= self.shared.limits.max_connections {
            return self.turn_away(&socket, peer);
        }
        self.no_room_since = None;
        let key = self.next_key;
        self.next_key += 1;
        let registered = self.poll.registry().register(
            &mut SourceFd(&socket.as_raw_fd()),
            Token(key),
            Interest::READABLE | Interest::WRITABLE,
        );
        if registered.is_err() {
            return self.turn_away(&socket, peer);
        }
        let mut core = Connection::new(peer, self.now, self.shared.idle_time);
        if self.shared.access.is_announced(peer) {
            core = core.behind_a_proxy();
        }
        let mut entry = Entry::new(core, Arc::new(Peer::new(socket)));
        queue(&mut self.queue, key, &mut entry);
        self.connections.insert(key, entry);
    }

    /// Tells a client that there is no room, without waiting for it.
    fn turn_away(&self, socket: &TcpStream, peer: IpAddr) {
        let reason = "every connection is busy with an answer".to_owned();
        let error = Error::Refused { status: 503, reason };
        let manner = Manner { head_only: false, close: true, old: false };
        let mut out = Vec::new();
        let whose = Whose::unknown(peer);
        self.shared.refuse(Refusal::Connections, &error, whose, None, manner, &mut out);
        let _ = send_now(socket, &out);
    }

    /// Sees to it that there are fewer than `max` connections, by closing the one that can be
    /// spared best. Returns whether there are.
    fn make_room(&mut self, max: usize) -> bool {
        if self.connections.len() < max {
            return true;
        }
        let spare = |entry: &Client| {
            let has_unread = entry.queued && entry.readable;
            entry.core.spare(self.now, has_unread)
        };
        let worst = self.connections.iter().filter_map(|(key, entry)| Some((spare(entry)?, *key)));
        let Some((_, key)) = worst.max() else { return false };
        self.remove(key);
        true
    }

    fn remove(&mut self, key: usize) {
        if let Some(entry) = self.connections.remove(&key)
            && entry.is_waited_for
        {
            self.shared.waited_for.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Gives a connection its turn.
    fn serve(&mut self, key: usize) {
        let Reactor { connections, desk, scratch, now, .. } = self;
        let Some(entry) = connections.get_mut(&key) else { return };
        entry.queued = false;
        let turn = AssertUnwindSafe(|| entry.turn(desk, scratch, *now));
        match catch_unwind(turn).unwrap_or(Next::Gone) {
            Next::Wait => {}
            Next::Again => {
                entry.queued = true;
                self.backlog.push_back(key);
            }
            Next::Gone => self.remove(key),
            Next::HandOver(request) => self.hand_over(key, *request),
        }
    }

    /// Admits a request, and lets a worker answer it.
    fn hand_over(&mut self, key: usize, request: Request<Ticket>) {
        let shared = Arc::clone(&self.shared);
        let Some(entry) = self.connections.get_mut(&key) else { return };
        let is_soon = request.is_soon;
        let admitted = match shared.admit(request) {
            Ok(admitted) => admitted,
            Err(turned_away) => {
                turned_away.tell(&mut entry.core, self.now, &mut self.desk);
                return queue(&mut self.queue, key, entry);
            }
        };
        entry.socket.begin();
        // Nobody tells of what has come already.
        let has_more = entry.readable || entry.core.has_input();
        entry.socket.has_unread.store(has_more, Ordering::SeqCst);
        if entry.half_closed {
            self.leaving.push((key, Stop::ClientGone));
        }
        let peer = Arc::clone(&entry.socket);
        let regular = if is_soon { self.part_with(key) } else { None };
        let errand = match regular {
            Some(regular) => {
                let home = Arc::clone(&regular) as Arc<dyn Home>;
                admitted.errand(peer, home, key, Some(regular))
            }
            None => {
                let home = Arc::clone(&shared.returns) as Arc<dyn Home>;
                admitted.errand(peer, home, key, None)
            }
        };
        let Err(errand) = shared.workers.hand(errand) else { return };
        if let Some(why) = self.shortage.clone() {
            return self.take_apart(errand, why);
        }
        if let Err(e) = shared.workers.reserve() {
            return self.take_apart(errand, shortage("to answer it", &e));
        }
        let id = shared.next_id();
        if let Some(entry) = self.connections.get_mut(&key) {
            entry.errand = Some(id);
        }
        shared.errands.hand_over(id, errand);
        if let Err(e) = self.link.send(id, self.now) {
            self.has_gone(&e);
        }
    }

    /// Lets a worker have a connection until nothing comes on it for a moment; of what becomes of
    /// its socket only the end is told here.
    fn part_with(&mut self, key: usize) -> Option<Arc<Regular>> {
        let entry = self.connections.get_mut(&key)?;
        let socket = &entry.socket.socket;
        socket.set_read_timeout(Some(SOON)).ok()?;
        watch_end(self.poll.as_raw_fd(), socket.as_raw_fd(), key as u64).ok()?;
        Some(Regular::new(&self.shared, &entry.socket, key, &mut entry.core))
    }

    /// Takes back a connection that was with its worker.
    fn stayed(&mut self, key: usize, stayed: Stayed) {
        let Stayed { core, place: _place } = stayed;
        let Some(entry) = self.connections.get_mut(&key) else { return };
        entry.core = core;
        let is_between = entry.core.is_between();
        if is_between && self.desk.is_leaving() {
            entry.returned(true, &self.desk, self.now);
        } else if !is_between && self.shared.closing.load(Ordering::Relaxed) {
            // Its request had begun before the server closed.
            wait_for(entry, &self.shared);
        }
        self.watch_again(key);
    }

    /// Watches all of a socket again of which a worker has seen to the rest.
    fn watch_again(&mut self, key: usize) {
        let Some(entry) = self.connections.get_mut(&key) else { return };
        entry.readable = true;
        queue(&mut self.queue, key, entry);
        let watched = self.poll.registry().reregister(
            &mut SourceFd(&entry.socket.socket.as_raw_fd()),
            Token(key),
            Interest::READABLE | Interest::WRITABLE,
        );
        if watched.is_err() {
            self.remove(key);
        }
    }

    /// Answers a request that is lent with an error.
    fn refuse(
        &mut self,
        key: usize,
        refusal: Refusal,
        error: &Error,
        ticket: &Ticket,
        manner: Manner,
    ) {
        if let Some(entry) = self.connections.get_mut(&key) {
            entry.core.refuse(Some(ticket), refusal, error, manner, self.now, &mut self.desk);
            queue(&mut self.queue, key, entry);
        }
    }

    /// Takes back an errand, if no worker has taken it.
    fn recall(&mut self, id: u64) -> Option<Errand> {
        let errand = self.shared.errands.take(id)?;
        self.shared.workers.release();
        Some(errand)
    }

    /// Refuses an errand that no worker has taken.
    fn turn_down(&mut self, id: u64, why: &str) {
        if let Some(errand) = self.recall(id) {
            self.take_apart(errand, why.to_owned());
        }
    }

    /// Refuses what an errand was about, which nobody does.
    fn take_apart(&mut self, errand: Errand, why: String) {
        if let Errand::Exchange(exchange, line, regular) = errand {
            let manner = line.manner;
            let key = line.recall();
            if let Some(regular) = regular {
                regular.give_up();
                self.take_back();
            }
            let error = Error::Refused { status: 529, reason: why };
            self.refuse(key, Refusal::Resources, &error, &Ticket::of(*exchange), manner);
        }
    }

    /// Goes on with these connections to the API.
    ///
    /// # Errors
    /// They have ended already, or cannot be watched.
    fn connect(&mut self, streams: Vec<UnixStream>) -> io::Result<()> {
        self.shortage = None;
        for stream in &streams {
            let fd = stream.as_raw_fd();
            self.poll.registry().register(&mut SourceFd(&fd), LINK, Interest::READABLE)?;
        }
        self.link.connect(streams, self.now)
    }

    /// The API is not there: what waits for it waits for a new one.
    fn has_gone(&mut self, why: &dyn Display) {
        log::error!("the API does not take requests: {why}; it is set up anew");
        self.link.disconnect();
        self.shared.health.set_api_alive(false);
        self.shared.wants_api.store(true, Ordering::Release);
    }

    /// What is done a few times a second.
    fn tick(&mut self) {
        self.next_tick = self.now + TICK;
        let overdue = self.connections.iter().filter(|(_, entry)| entry.core.is_overdue(self.now));
        for key in overdue.map(|(key, _)| *key).collect::<Vec<_>>() {
            self.remove(key);
        }
        if self.link.stands_still(self.now) {
            self.has_gone(&"nothing was taken for a long time");
        }
        for id in self.link.overdue(self.now) {
            self.turn_down(id, NO_TIME);
        }
        let workers = &self.shared.workers;
        if self.link.should_ask(self.now) && workers.has_free() && workers.reserve().is_ok() {
            let id = self.shared.next_id();
            self.shared.errands.hand_over(id, Errand::Hello);
            if let Err(e) = self.link.send(id, self.now) {
                self.has_gone(&e);
            }
        }
    }
}

/// The server does not end before this connection is closed.
fn wait_for(entry: &mut Client, shared: &Shared) {
    if !std::mem::replace(&mut entry.is_waited_for, true) {
        shared.waited_for.fetch_add(1, Ordering::Relaxed);
    }
}

/// Puts a connection into the queue, unless it is there.
fn queue(queue: &mut Vec<usize>, key: usize, entry: &mut Client) {
    if !entry.queued {
        entry.queued = true;
        queue.push(key);
    }
}

/// Why a message is refused that has waited for as long as one may.
const NO_TIME: &str = "no thread of ccproxy has come to take it for 30 s: other programs leave it too \
                       little of the CPU, or it has too many messages for that; give it more, or \
                       lower CCPROXY_MAX_IN_FLIGHT";

/// What there is too little of, by the error that told so, and what mends it.
pub(super) fn shortage(what_for: &str, e: &io::Error) -> String {
    match e.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE) => format!(
            "ccproxy has no descriptor left {what_for} ({e}); raise the limit of open files \
             (ulimit -n, LimitNOFILE), or lower CCPROXY_MAX_IN_FLIGHT"
        ),
        _ => format!(
            "ccproxy can start no thread {what_for} ({e}); raise the limit of threads (the \
             container's pids limit, ulimit -u, TasksMax) or of memory, or lower \
             CCPROXY_MAX_IN_FLIGHT"
        ),
    }
}
