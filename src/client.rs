//! The port below relay and upstream: who waits for an answer, and why there is none.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::line::Peer;

/// Whoever is waiting for the upstream's answer.
pub trait Client {
    /// Its connection, to see it leave.
    fn peer(&self) -> Option<Arc<Peer>>;
    /// When [`Client::wake`] wants to be called.
    fn wake_at(&self) -> Instant;
    /// Called while the upstream is silent, to send the client a sign of life.
    fn wake(&mut self);
}

/// A client that cannot be kept warm: it gets its answer whole, or is nobody. It can leave.
#[derive(Debug)]
pub struct Silent {
    /// Its connection, if it has one.
    pub peer: Option<Arc<Peer>>,
}

impl Client for Silent {
    fn peer(&self) -> Option<Arc<Peer>> {
        self.peer.clone()
    }

    fn wake_at(&self) -> Instant {
        Instant::now() + Duration::from_secs(3600)
    }

    fn wake(&mut self) {}
}

/// Why a call ended without an answer.
#[derive(Debug)]
#[expect(missing_docs, reason = "the names of its variants say it")]
pub enum Failure {
    /// The client has gone: nobody is there to be told.
    ClientGone,
    Error(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Error(error)
    }
}
