//! A prober, and the measurement of a start.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::clock::{SECOND, now};
use crate::quantiles;

const PROBE_EVERY: Duration = Duration::from_millis(20);

/// Asks once on a new connection.
///
/// # Errors
/// There is no answer, or another one than 200.
fn ask(address: SocketAddr, path: &str, patience: Duration) -> io::Result<()> {
    let mut socket = TcpStream::connect_timeout(&address, patience)?;
    socket.set_read_timeout(Some(patience))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer)?;
    if answer.starts_with(b"HTTP/1.1 200 ") {
        return Ok(());
    }
    let line = String::from_utf8_lossy(answer.split(|byte| *byte == b'\r').next().unwrap_or(&[]));
    Err(io::Error::other(format!("the answer {line:?}")))
}

/// Asks for health, for so many seconds.
///
/// # Errors
/// The seconds are none.
pub(crate) fn probe(address: SocketAddr, path: &str, seconds: &str) -> Result<Value, String> {
    let seconds: f64 = seconds.parse().map_err(|_| format!("{seconds:?} are no seconds"))?;
    let until = now() + (seconds * SECOND as f64) as u64;
    let (mut took, mut faults) = (Vec::new(), Vec::new());
    while now() < until {
        let began = now();
        match ask(address, path, Duration::from_secs(10)) {
            Ok(()) => took.push(now() - began),
            Err(e) => faults.push(e.to_string()),
        }
        let next = PROBE_EVERY.saturating_sub(Duration::from_nanos(now() - began));
        thread::sleep(next);
    }
    let (answered, faulty) = (took.len(), faults.len());
    faults.dedup();
    Ok(json!({
        "answered": answered, "faulty": faulty, "faults": faults, "total_us": quantiles(took)
    }))
}

/// Starts a program, waits until it is healthy, and ends it.
///
/// # Errors
/// It does not start.
pub(crate) fn start(
    address: SocketAddr,
    path: &str,
    program: &str,
    arguments: &[&str],
) -> Result<Value, String> {
    const MOST: u64 = 10 * SECOND;
    let began = now();
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|e| format!("{program}: {e}"))?;
    let took = loop {
        if ask(address, path, Duration::from_secs(1)).is_ok() {
            break Ok(now() - began);
        }
        if let Ok(Some(status)) = child.try_wait() {
            break Err(format!("{program} ended with {status}"));
        }
        if now() - began > MOST {
            break Err(format!("{program} does not answer"));
        }
        thread::sleep(Duration::from_micros(100));
    };
    end(&child);
    let _ = child.wait();
    Ok(json!({"start_us": took? as f64 / 1_000.0}))
}

/// Asks it to end, with its children, which SIGKILL would leave behind.
#[expect(unsafe_code, reason = "std knows no other signal than SIGKILL")]
fn end(child: &Child) {
    // SAFETY: a signal to a process that has not been waited for, so its number is its own.
    unsafe { libc::kill(child.id().cast_signed(), libc::SIGTERM) };
}
