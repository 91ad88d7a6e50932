//! A client that asks again as soon as it is answered, and the worker that stays with it: the
//! worker reads the next request itself, so that under load a message wakes one thread, and not the
//! loop and another worker.
//!
//! The connection goes with the worker, and back to the loop when nothing has come for a moment, or
//! something that takes more than a worker's answer. Meanwhile the loop is told of its end alone.

use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::Shared;
use super::connection::{Connection, Request, Rules, SOON};
use super::desk::{Desk, Ticket};
use super::entry::{HEAD_BYTES, Heard, hear};
use super::slot::Slot;
use crate::exchange::{self, Errand};
use crate::line::{Home, Outcome, Peer, Return};
use crate::os::receive;

/// What is read at once of a body.
const BODY_BYTES: usize = 64 << 10;

/// A connection that is with its worker.
pub(super) struct Regular {
    shared: Arc<Shared>,
    peer: Arc<Peer>,
    key: usize,
    state: Mutex<State>,
}

struct State {
    /// `None` once it has gone back, or is over.
    with_worker: Option<Stayed>,
    /// The last request has its answer, and the next one may come.
    is_answered: bool,
}

/// A connection, and its place among those that the end of the server waits for.
pub(super) struct Stayed {
    pub core: Connection<Ticket>,
    pub place: Option<Slot>,
}

impl Regular {
    /// Takes the connection `key` to a worker, with a request that is to be answered. Its socket
    /// must give up reading after [`SOON`].
    pub(super) fn new(
        shared: &Arc<Shared>,
        peer: &Arc<Peer>,
        key: usize,
        core: &mut Connection<Ticket>,
    ) -> Arc<Regular> {
        let place = Slot::take(&shared.staying, usize::MAX);
        let stayed = Stayed { core: core.take_away(), place };
        let state = State { with_worker: Some(stayed), is_answered: false };
        Arc::new(Regular {
            shared: Arc::clone(shared),
            peer: Arc::clone(peer),
            key,
            state: Mutex::new(state),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what the client sends next. Returns a request that is whole.
    fn hear(&self, core: &mut Connection<Ticket>, desk: &mut Desk) -> Option<Box<Request<Ticket>>> {
        let until = Instant::now() + SOON;
        let mut head = [0; HEAD_BYTES];
        let mut body = Vec::new();
        // Something may have come behind the last request.
        let mut n = if core.has_input() { 0 } else { self.read(&mut head)? };
        loop {
            let now = Instant::now();
            let buffer = if body.is_empty() { &head[..] } else { &body };
            // The loop has seen its end, and is to see it again with what came before it.
            if self.peer.stopped().is_some() {
                core.received(&buffer[..n]);
                return None;
            }
            match hear(core, &buffer[..n], desk, now) {
                Heard::Request(request) => return Some(request),
                Heard::Part if now < until => {}
                Heard::Part | Heard::Other => return None,
            }
            if core.is_uploading() {
                body.resize(BODY_BYTES, 0);
            }
            n = self.read(if body.is_empty() { &mut head } else { &mut body })?;
        }
    }

    /// Reads what is there, or what comes soon.
    fn read(&self, buffer: &mut [u8]) -> Option<usize> {
        receive(self.peer.socket.as_raw_fd(), buffer).ok().filter(|n| *n > 0)
    }

    /// Gives the connection back to the loop.
    fn bring_back(&self, stayed: Stayed) {
        self.shared.returns.bring_back(self.key, stayed);
    }
}

impl exchange::Regular for Regular {
    fn next(self: Arc<Self>) -> Option<Errand> {
        let mut stayed = {
            let mut state = self.state();
            if !std::mem::take(&mut state.is_answered) {
                return None;
            }
            state.with_worker.take()?
        };
        let mut desk = Desk(Arc::clone(&self.shared));
        let now = Instant::now();
        stayed.core.returned(false, now, desk.idle_time());
        let is_closing = self.shared.closing.load(Ordering::Relaxed);
        let hear = AssertUnwindSafe(|| self.hear(&mut stayed.core, &mut desk));
        let heard = if is_closing { Ok(None) } else { catch_unwind(hear) };
        let Ok(heard) = heard else {
            // A bug, which the log has told: as in the loop, the connection is over.
            self.give_back(Return { key: self.key, outcome: Outcome::Broken });
            self.shared.returns.hurry();
            return None;
        };
        match heard.map(|request| self.shared.admit(*request)) {
            Some(Ok(admitted)) => {
                self.state().with_worker = Some(stayed);
                let home = Arc::clone(&self) as Arc<dyn Home>;
                let peer = Arc::clone(&self.peer);
                let key = self.key;
                return Some(admitted.errand(peer, home, key, Some(self)));
            }
            Some(Err(turned_away)) => {
                turned_away.tell(&mut stayed.core, Instant::now(), &mut desk);
            }
            None => {}
        }
        self.bring_back(stayed);
        None
    }

    fn give_up(&self) {
        let stayed = self.state().with_worker.take();
        stayed.into_iter().for_each(|stayed| self.bring_back(stayed));
    }
}

impl Home for Regular {
    fn give_back(&self, returned: Return) {
        match returned.outcome {
            Outcome::Whole => self.state().is_answered = true,
            Outcome::Last | Outcome::Broken => self.shared.returns.give_back(returned),
        }
    }

    fn hurry(&self) {
        if !self.state().is_answered {
            self.shared.returns.hurry();
        }
    }
}

impl Drop for Regular {
    /// Its worker has something else to do.
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if state.is_answered
            && let Some(mut stayed) = state.with_worker.take()
        {
            stayed.core.returned(false, Instant::now(), self.shared.idle_time);
            self.bring_back(stayed);
        }
    }
}
