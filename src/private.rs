//! Private connections inside the process: abstract Unix sockets to a tiny_http server.
//!
//! tiny_http's thread pool may promise one waiting thread to two new connections; the second is then
//! not served until the first is over. So connections are opened one at a time: the next begins when
//! this one has had its first answer.

use std::io::{self, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long the other end may take to say that it is there.
const PATIENCE: Duration = Duration::from_secs(5);

/// Binds a socket with a name of its own, and returns that.
pub fn listen(what: &str) -> io::Result<(UnixListener, String)> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    let name = format!("ccproxy-{what}-{}-{count}", std::process::id());
    let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
    Ok((listener, name))
}

/// Connects to the server called `name`, which must answer `GET path` with one JSON object.
pub fn connect(name: &str, path: &str) -> io::Result<UnixStream> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let mut stream = UnixStream::connect_addr(&SocketAddr::from_abstract_name(name)?)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: private\r\n\r\n").as_bytes())?;
    // The object ends the answer, and the head holds no brace.
    let mut depth = 0;
    let mut bytes = [0; 512];
    loop {
        let n = stream.read(&mut bytes)?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for byte in &bytes[..n] {
            match byte {
                b'{' => depth += 1,
                b'}' if depth == 1 => {
                    stream.set_read_timeout(None)?;
                    return Ok(stream);
                }
                b'}' => depth -= 1,
                _ => {}
            }
        }
    }
}
