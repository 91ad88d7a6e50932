//! Asks for health the way a prober does, so that a server that has stopped answering is noticed from
//! inside: an API that does not answer makes health 503, and what stays so ends the process, which an
//! orchestrator then starts again.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::Door;

const EVERY: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(1);

/// Failures of the API in a row after which it is given a new socket, each time.
const REVIVE_AFTER: u32 = 2;
/// Failures in a row after which the server is given up.
const LAST_FAILURE: u32 = 10;

/// Watches from a thread of its own. `revive` gives the API a new socket and returns its name;
/// `give_up` is called when the server cannot be saved.
///
/// # Errors
/// The thread could not be started.
pub fn watch(
    door: Arc<Door>,
    revive: impl Fn() -> Result<String, String> + Send + 'static,
    give_up: impl Fn(&str) + Send + 'static,
) -> io::Result<()> {
    let body = move || {
        let (mut door_failures, mut api_failures) = (0, 0);
        loop {
            thread::sleep(EVERY);
            let asked = Instant::now();
            let probed = door.probe();
            let metrics = &door.health.metrics;
            metrics.self_probe_duration.set(asked.elapsed().as_micros() as u64);
            metrics.self_probe_failures.add(u64::from(probed.is_err()));
            count(&mut door_failures, probed);
            count(&mut api_failures, door.handover.connect().map(drop));
            door.health.set_api_alive(api_failures == 0);
            if api_failures > 0 && api_failures % REVIVE_AFTER == 0 {
                match revive() {
                    Ok(name) => door.handover.move_to(name),
                    Err(problem) => log::error!("{problem}"),
                }
            }
            if door_failures >= LAST_FAILURE {
                give_up("its own port does not answer any more");
            } else if api_failures >= LAST_FAILURE {
                give_up("the API does not answer any more");
            }
        }
    };
    thread::Builder::new().name("watchdog".to_owned()).stack_size(64 << 10).spawn(body).map(drop)
}

fn count(failures: &mut u32, result: io::Result<()>) {
    match result {
        Ok(()) => *failures = 0,
        // Out of descriptors: this says nothing about whether the server answers.
        Err(e) if matches!(e.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => {}
        Err(e) => {
            *failures += 1;
            log::debug!("the watchdog had no answer: {e}");
        }
    }
}

impl Door {
    /// Asks for `/health` through the real socket. Any answer will do: 503 while draining is one.
    fn probe(&self) -> io::Result<()> {
        let Some(address) = self.addresses.first() else { return Ok(()) };
        // A container may listen on every address of both families and have no loopback of the second.
        let loopbacks = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        let ips = match address.ip() {
            ip if ip.is_unspecified() => &loopbacks[..],
            ip => &[ip],
        };
        let mut failure = io::Error::from(io::ErrorKind::NotConnected);
        for ip in ips {
            match TcpStream::connect_timeout(&SocketAddr::new(*ip, address.port()), PATIENCE) {
                Ok(socket) => return ask(socket, &self.watchword),
                Err(e) => failure = e,
            }
        }
        Err(failure)
    }
}

/// Asks on a connection.
fn ask(mut socket: TcpStream, watchword: &str) -> io::Result<()> {
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    let request = format!(
        "GET /health HTTP/1.1\r\nHost: localhost\r\nX-Ccproxy-Watchword: {watchword}\r\n\
         Connection: close\r\n\r\n"
    );
    socket.write_all(request.as_bytes())?;
    let mut start = [0; 5];
    socket.read_exact(&mut start)?;
    if start == *b"HTTP/" { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
}
