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
use crate::heap;
use crate::threads;

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
            heap::tend();
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
    threads::start("watchdog", 64 << 10, body)
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
                // Who only has no time yet is waited for.
                if e.kind() != io::ErrorKind::TimedOut {
                    let why = super::shortage("to set up what answers messages", &e);
                    self.shared.command(Command::Short(why));
                }
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
    use std::os::unix::net::UnixStream;
    use std::sync::atomic::AtomicUsize;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::sync::{Mutex, PoisonError};

    use super::*;
    use crate::config::{Config, Environment};
    use crate::door::{self, Limits, Resources};
    use crate::exchange::{Errand, Errands, TAKEN, Workers};
    use crate::health::Health;

    /// An API whose other end a test has.
    struct Scripted {
        opened: Mutex<Sender<UnixStream>>,
        /// What it lacks.
        lacks: Mutex<Option<i32>>,
        reserved: AtomicUsize,
        released: AtomicUsize,
    }

    impl Workers for Scripted {
        fn hand(&self, errand: Errand) -> Result<(), Errand> {
            Err(errand)
        }

        fn reserve(&self) -> io::Result<()> {
            self.reserved.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }

        fn has_free(&self) -> bool {
            false
        }

        fn release(&self) {
            self.released.fetch_add(1, Ordering::Relaxed);
        }

        fn open(&self) -> io::Result<Vec<UnixStream>> {
            if let Some(code) = *self.lacks.lock().unwrap_or_else(PoisonError::into_inner) {
                return Err(io::Error::from_raw_os_error(code));
            }
            let (ours, mut theirs) = UnixStream::pair()?;
            // What is asked first is taken.
            theirs.write_all(TAKEN)?;
            let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
            opened.send(theirs).map_err(io::Error::other)?;
            Ok(vec![ours])
        }
    }

    /// A door before a scripted API.
    struct House {
        door: Arc<Door>,
        workers: Arc<Scripted>,
        errands: Arc<Errands>,
        opened: Receiver<UnixStream>,
    }

    impl House {
        fn open() -> House {
            let variables = [("PROVIDER", "echo"), ("SERVER_PORT", "0")];
            let env: Environment = variables.into_iter().collect();
            let config = Config::new(&[], &env, "127.0.0.1", None).unwrap();
            let limits = Limits::new(&Resources::of_this_process(), Some(300), 1 << 20, true);
            let (opened, openings) = channel();
            let workers = Arc::new(Scripted {
                opened: Mutex::new(opened),
                lacks: Mutex::default(),
                reserved: AtomicUsize::new(0),
                released: AtomicUsize::new(0),
            });
            let health = Arc::new(Health::new(&config));
            let errands = Arc::<Errands>::default();
            let for_door = Arc::clone(&workers) as Arc<dyn Workers>;
            let door =
                door::start(&config, limits, health, Arc::clone(&errands), for_door, None).unwrap();
            House { door, workers, errands, opened: openings }
        }

        /// The next connection that leads to an API, of which the first question is read.
        fn lane(&self) -> UnixStream {
            let lane = self.opened.recv_timeout(Duration::from_secs(60)).unwrap();
            next_id(&lane);
            lane
        }

        fn connect(&self) -> TcpStream {
            let socket = TcpStream::connect(self.door.addresses()[0]).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            socket
        }

        fn post(&self) -> TcpStream {
            let mut client = self.connect();
            let request = b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\n\
                            Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
            client.write_all(request).unwrap();
            client
        }

        fn wait_until(&self, is_so: impl Fn() -> bool) {
            let deadline = Instant::now() + Duration::from_secs(60);
            while !is_so() {
                assert!(Instant::now() < deadline, "it never is so");
                thread::yield_now();
            }
        }

        fn wants_api(&self) -> bool {
            self.door.shared.wants_api.load(Ordering::Acquire)
        }

        /// A worker answers an errand.
        fn answer(&self, id: u64) {
            let Some(Errand::Exchange(_, mut line, _)) = self.errands.take(id) else {
                panic!("{id} is there to be answered");
            };
            line.send_last(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
        }
    }

    /// The errand that the next request names.
    fn next_id(mut lane: &UnixStream) -> u64 {
        lane.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            lane.read_exact(&mut byte).unwrap();
            request.push(byte[0]);
        }
        let request = String::from_utf8(request).unwrap();
        request.strip_prefix("GET /").unwrap().split(' ').next().unwrap().parse().unwrap()
    }

    /// What a client is told, as far as it comes at once.
    fn told(mut client: TcpStream) -> String {
        let mut bytes = vec![0; 16 << 10];
        let n = client.read(&mut bytes).unwrap();
        String::from_utf8(bytes[..n].to_vec()).unwrap()
    }

    #[test]
    fn a_message_that_waits_is_answered_by_the_next_api_which_is_set_up_once() {
        let house = House::open();
        let lane = house.lane();
        let client = house.post();
        let id = next_id(&lane);
        drop(lane);
        house.wait_until(|| house.wants_api());
        // One that comes while there is none.
        let late = house.post();
        house.wait_until(|| house.door.shared.in_flight.load(Ordering::Relaxed) == 2);
        house.door.shared.wants_api.store(false, Ordering::Release);
        house.door.revive_api();
        let lane = house.lane();
        assert_eq!(next_id(&lane), id, "the same is asked for again");
        let after = next_id(&lane);
        house.answer(id);
        house.answer(after);
        for client in [client, late] {
            assert!(told(client).starts_with("HTTP/1.1 200"));
        }
        assert!(!house.wants_api(), "nobody asks for another one");
    }

    #[test]
    fn who_cannot_be_answered_is_told_what_there_is_too_little_of() {
        for (lacks, what) in [
            (libc::EMFILE, "no descriptor left to set up what answers messages"),
            (libc::EAGAIN, "can start no thread to set up what answers messages"),
        ] {
            let house = House::open();
            let lane = house.lane();
            let client = house.post();
            next_id(&lane);
            *house.workers.lacks.lock().unwrap() = Some(lacks);
            drop(lane);
            house.wait_until(|| house.wants_api());
            house.door.revive_api();
            // Who waits is told so, and who comes while it lasts.
            for client in [client, house.post()] {
                let told = told(client);
                assert!(told.starts_with("HTTP/1.1 529") && told.contains(what), "{told}");
                assert!(told.contains("CCPROXY_MAX_IN_FLIGHT"), "{told}");
            }
            *house.workers.lacks.lock().unwrap() = None;
            house.door.revive_api();
            let lane = house.lane();
            let client = house.post();
            house.answer(next_id(&lane));
            assert!(told(client).starts_with("HTTP/1.1 200"), "{what}");
        }
    }

    #[test]
    fn a_message_that_no_worker_has_taken_is_recalled_when_its_client_leaves() {
        let house = House::open();
        let lane = house.lane();
        let stays = house.post();
        let id = next_id(&lane);
        for _ in 0..20 {
            let leaves = house.post();
            let id = next_id(&lane);
            assert!(house.errands.has(id));
            drop(leaves);
            house.wait_until(|| !house.errands.has(id));
        }
        house.wait_until(|| house.door.shared.in_flight.load(Ordering::Relaxed) == 1);
        assert_eq!(house.workers.released.load(Ordering::Relaxed), 21, "each, and the first");
        assert_eq!(house.workers.reserved.load(Ordering::Relaxed), 22);
        house.answer(id);
        assert!(told(stays).starts_with("HTTP/1.1 200"));
    }

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
