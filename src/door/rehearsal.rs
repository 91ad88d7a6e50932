//! The door without a socket and without a loop, for who counts what its own answers cost: see
//! `benches/instructions.rs`.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Instant;

use super::connection::{Connection, Rules, Step};
use super::desk::{Desk, Ticket};
use super::reactor::WAKER;
use super::{Limits, Resources, Shared};
use crate::config::Config;
use crate::exchange::{Errand, Workers};
use crate::health::Health;

/// A client's connection to a door that nobody else reaches, and behind which nobody works.
pub struct Rehearsal {
    desk: Desk,
    connection: Connection<Ticket>,
    now: Instant,
}

impl fmt::Debug for Rehearsal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rehearsal").finish_non_exhaustive()
    }
}

struct Nobody;

impl Workers for Nobody {
    fn hand(&self, errand: Errand) -> Result<(), Errand> {
        Err(errand)
    }

    fn reserve(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn has_free(&self) -> bool {
        false
    }

    fn release(&self) {}

    fn open(&self) -> io::Result<Vec<UnixStream>> {
        Ok(Vec::new())
    }
}

impl Rehearsal {
    /// A door of this configuration, and a connection to it.
    ///
    /// # Errors
    /// What the system does not grant.
    pub fn new(config: &Config) -> io::Result<Rehearsal> {
        let poll = mio::Poll::new()?;
        let waker = mio::Waker::new(poll.registry(), WAKER)?;
        let limits =
            Limits::new(&Resources::of_this_process(), None, config.body_limit_bytes, false);
        let health = Arc::new(Health::new(config));
        let (errands, workers) = (Arc::default(), Arc::new(Nobody));
        let shared = Shared::new(config, limits, health, errands, workers, Vec::new(), waker);
        let (desk, now) = (Desk(Arc::new(shared)), Instant::now());
        let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let connection = Connection::new(peer, now, desk.idle_time());
        Ok(Rehearsal { desk, connection, now })
    }

    /// Appends to `out` what the door answers by itself to what was received.
    pub fn answer(&mut self, received: &[u8], out: &mut Vec<u8>) {
        self.connection.received(received);
        while let Step::Done = self.connection.step(self.now, &mut self.desk) {
            let output = self.connection.output();
            let length = output.len();
            out.extend_from_slice(output);
            self.connection.sent(length, self.now, self.desk.idle_time());
        }
    }
}
