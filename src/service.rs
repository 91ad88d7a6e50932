//! What a service manager is told: systemd, and Podman, which passes it on; sd_notify(3).

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Who started this process and wants to hear of it; or nobody.
#[derive(Debug, Default)]
pub struct Manager {
    socket: Option<UnixDatagram>,
    /// It ends what is silent for too long.
    has_watchdog: bool,
}

impl Manager {
    /// The one that these variables name; nobody where it cannot be reached, which the log tells.
    pub fn of(variable: impl Fn(&str) -> Option<OsString>) -> Manager {
        let (socket, watchdog) = (variable("NOTIFY_SOCKET"), variable("WATCHDOG_USEC"));
        Manager::new(socket.as_deref(), watchdog.as_deref()).unwrap_or_else(|e| {
            log::warn!("NOTIFY_SOCKET: the service manager cannot be told of the start: {e}");
            Manager::default()
        })
    }

    /// `socket` is the value of `NOTIFY_SOCKET`, a path, or on Linux a name behind an `@`;
    /// `watchdog` that of `WATCHDOG_USEC`.
    ///
    /// # Errors
    /// The socket cannot be reached.
    pub fn new(socket: Option<&OsStr>, watchdog: Option<&OsStr>) -> io::Result<Manager> {
        let Some(name) = socket.filter(|name| !name.is_empty()) else {
            return Ok(Manager::default());
        };
        let address = match name.as_bytes() {
            [b'@', name @ ..] => of_abstract_name(name)?,
            _ => SocketAddr::from_pathname(name)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&address)?;
        // A manager that is busy holds nobody up.
        socket.set_nonblocking(true)?;
        let has_watchdog = watchdog.is_some_and(|time| !time.is_empty());
        Ok(Manager { socket: Some(socket), has_watchdog })
    }

    /// It listens; `status` is a line for people.
    pub fn is_ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={status}"));
    }

    /// It takes no more than it has.
    pub fn is_stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// Its own probe was answered.
    pub fn is_alive(&self) {
        if self.has_watchdog {
            self.tell("WATCHDOG=1");
        }
    }

    fn tell(&self, state: &str) {
        if let Some(socket) = &self.socket
            && let Err(e) = socket.send(state.as_bytes())
        {
            log::debug!("the service manager was not told {state:?}: {e}");
        }
    }
}

#[cfg(target_os = "linux")]
fn of_abstract_name(name: &[u8]) -> io::Result<SocketAddr> {
    <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name)
}

#[cfg(not(target_os = "linux"))]
fn of_abstract_name(_: &[u8]) -> io::Result<SocketAddr> {
    Err(io::ErrorKind::Unsupported.into())
}
