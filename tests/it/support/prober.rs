//! A prober, as an orchestrator has one: it asks for health on a new connection each time, and whatever
//! else goes on, every answer must be 200.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::PATIENCE;
use super::proxy::Proxy;

/// Kubernetes gives a probe one second, and takes a few failures before it acts.
const LIMIT: Duration = Duration::from_secs(5);

/// Between two probes, so that they are not the load themselves.
const PAUSE: Duration = Duration::from_millis(1);

/// A thread that asks for health until it is told to stop.
pub(crate) struct Prober {
    stop: Sender<()>,
    probes: Receiver<Probe>,
    seen: Vec<Probe>,
    thread: JoinHandle<()>,
}

struct Probe {
    took: Duration,
    failure: Option<String>,
}

impl Prober {
    pub(crate) fn start(proxy: &Proxy) -> Prober {
        let address = proxy.address;
        let (stop, stopped) = mpsc::channel();
        let (told, probes) = mpsc::channel();
        let thread = thread::spawn(move || {
            while stopped.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {
                let _ = told.send(probe(address));
            }
        });
        Prober { stop, probes, seen: Vec::new(), thread }
    }

    /// Waits until `condition` holds, and looks again after each probe.
    pub(crate) fn wait_until(&mut self, what: &str, mut condition: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition() {
            assert!(Instant::now() < deadline, "{what} takes too long");
            self.seen.push(self.probes.recv_timeout(PATIENCE).expect("a probe has a limit"));
        }
    }

    /// Stops, and fails if one probe failed.
    pub(crate) fn finish(mut self, during: &str) {
        // So that there is one after the last thing that happened.
        self.seen.extend(self.probes.recv_timeout(PATIENCE));
        let _ = self.stop.send(());
        self.thread.join().expect("it does not panic");
        self.seen.extend(self.probes.try_iter());
        self.seen.sort_by_key(|probe| probe.took);
        let slowest = self.seen.last().map(|probe| probe.took).unwrap_or_default();
        let p99 = self.seen.get(self.seen.len() * 99 / 100).map(|probe| probe.took);
        let p99 = p99.unwrap_or_default();
        let failures: Vec<&String> =
            self.seen.iter().filter_map(|probe| probe.failure.as_ref()).collect();
        println!(
            "{during}: {} probes of health, 99 % within {p99:?}, all within {slowest:?}",
            self.seen.len()
        );
        assert!(!self.seen.is_empty());
        assert!(
            failures.is_empty(),
            "{during}: {} of {} probes failed, such as: {}",
            failures.len(),
            self.seen.len(),
            failures[0]
        );
    }
}

fn probe(address: SocketAddr) -> Probe {
    let began = Instant::now();
    let answer = ask(address);
    let took = began.elapsed();
    let failure = match answer {
        Ok(text) if !text.starts_with("HTTP/1.1 200 ") || !text.ends_with('}') => {
            Some(format!("the answer {text:?} after {took:?}"))
        }
        Ok(_) if took > LIMIT => Some(format!("an answer after {took:?}")),
        Ok(_) => None,
        Err(e) => Some(format!("{e} after {took:?}")),
    };
    Probe { took, failure }
}

fn ask(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}
