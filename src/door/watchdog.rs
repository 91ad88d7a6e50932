//! Asks for health the way a prober does, so that a server that has stopped answering is noticed
//! from inside. An API that does not take requests is set up anew. A loop that stands still ends
//! the process, which an orchestrator then starts again.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::{Command, Door, proxy_protocol};

const EVERY: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(1);

/// Probes in a row that failed while the loop stood still, after which the server is given up.
const LAST_FAILURE: u32 = 10;

/// Watches from a thread of its own. `alive` is called as long as the loop moves, `give_up` when
/// the server cannot be saved.
///
/// # Errors
/// The thread could not be started.
pub fn watch(
    door: Arc<Door>,
    alive: impl Fn() + Send + 'static,
    give_up: impl Fn(&str) + Send + 'static,
) -> io::Result<()> {
    let body = move || {
        let mut watch = Watch::default();
        loop {
            thread::sleep(EVERY);
            if door.shared.wants_api.swap(false, Ordering::Acquire) {
                door.revive_api();
            }
            let asked = Instant::now();
            let probed = door.probe();
            let metrics = &door.shared.health.metrics;
            metrics.self_probe_duration.set(asked.elapsed().as_micros() as u64);
            metrics.self_probe_failures.add(u64::from(probed.is_err()));
            if let Err(e) = &probed {
                log::debug!("the watchdog had no answer: {e}");
            }
            let turns = door.shared.turns.load(Ordering::Relaxed);
            let is_hopeless = watch.is_hopeless(probed.is_err(), turns);
            if watch.failures == 0 {
                alive();
            }
            if is_hopeless {
                give_up("its own port does not answer any more");
            }
        }
    };
    thread::Builder::new().name("watchdog".to_owned()).stack_size(64 << 10).spawn(body).map(drop)
}

/// What the watchdog has seen.
#[derive(Debug, Default)]
struct Watch {
    /// Turns of the loop so far: one that has nothing to do turns once between two looks.
    turns: u64,
    failures: u32,
}

impl Watch {
    /// Takes a look. A network without a usable loopback, or a shortage of descriptors, is no
    /// reason to end what serves others: the loop has to stand still too, from one look to the
    /// next.
    fn is_hopeless(&mut self, has_failed: bool, turns: u64) -> bool {
        let stands_still = std::mem::replace(&mut self.turns, turns) == turns;
        self.failures = if has_failed && stands_still { self.failures + 1 } else { 0 };
        self.failures >= LAST_FAILURE
    }
}

impl Door {
    /// Sets up the API anew, or tries again later.
    fn revive_api(&self) {
        match self.shared.connect_api() {
            Ok(streams) => self.shared.command(Command::Connect(streams)),
            Err(e) => {
                log::error!("the API could not be started: {e}");
                self.shared.wants_api.store(true, Ordering::Release);
            }
        }
    }

    /// Asks for `/health` through the real socket. Any answer will do: 503 while draining is one.
    fn probe(&self) -> io::Result<()> {
        let Some(address) = self.addresses.first() else { return Ok(()) };
        // A container may listen on every address of both families and have no loopback of the
        // second.
        let loopbacks = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        let ips = match address.ip() {
            ip if ip.is_unspecified() => &loopbacks[..],
            ip => &[ip],
        };
        let mut failure = io::Error::from(io::ErrorKind::NotConnected);
        for ip in ips {
            match TcpStream::connect_timeout(&SocketAddr::new(*ip, address.port()), PATIENCE) {
                Ok(socket) => return self.ask(socket),
                Err(e) => failure = e,
            }
        }
        Err(failure)
    }

    /// Asks on a connection.
    fn ask(&self, mut socket: TcpStream) -> io::Result<()> {
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let watchword = &self.shared.watchword;
        let mut request = format!(
            "GET /health HTTP/1.1\r\nHost: localhost\r\nX-Ccproxy-Watchword: {watchword}\r\n\
             Connection: close\r\n\r\n"
        )
        .into_bytes();
        if self.shared.access.is_announced(socket.local_addr()?.ip().to_canonical()) {
            request.splice(..0, proxy_protocol::LOCAL);
        }
        socket.write_all(&request)?;
        let mut start = [0; 5];
        socket.read_exact(&mut start)?;
        if start == *b"HTTP/" { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_turns_is_not_given_up_whatever_becomes_of_its_probes() {
        let mut watch = Watch::default();
        assert!((1..1000).all(|turns| !watch.is_hopeless(true, turns)));
        // Nor one whose probes are answered, however it counts.
        assert!((0..1000).all(|_| !watch.is_hopeless(false, 999)));
    }

    #[test]
    fn a_loop_that_stands_still_is_given_up_after_some_failures_in_a_row() {
        let mut watch = Watch::default();
        assert!(!watch.is_hopeless(false, 7));
        for _ in 1..LAST_FAILURE {
            assert!(!watch.is_hopeless(true, 7));
        }
        assert!(!watch.is_hopeless(true, 8), "it has turned");
        for _ in 1..LAST_FAILURE {
            assert!(!watch.is_hopeless(true, 8));
        }
        assert!(watch.is_hopeless(true, 8));
    }
}
