//! A service manager, systemd or Podman, which passes on what it says: what it is told
//! (sd_notify(3)), and the sockets that it has opened in this program's place (sd_listen_fds(3)).

use std::ffi::{OsStr, OsString};
use std::io;
use std::net::{SocketAddr as Address, TcpListener};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use socket2::{Socket, Type};

use crate::network::Host;
use crate::os;

/// The first descriptor that a service manager passes on, and how many this program takes.
const FIRST_DESCRIPTOR: i32 = 3;
const MOST_SOCKETS: i32 = 8;

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

    /// It listens; `status` is a line for people. `pid` is the process that was meant to be
    /// started, where that number means the same to the manager.
    pub fn is_ready(&self, status: &str, pid: Option<u32>) {
        let pid = pid.map_or_else(String::new, |pid| format!("MAINPID={pid}\n"));
        self.tell(&format!("{pid}READY=1\nSTATUS={status}"));
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

/// The sockets that were opened in this program's place, or none: then it opens its own.
#[derive(Debug)]
pub struct Sockets {
    /// One at least.
    pub listeners: Vec<TcpListener>,
    addresses: Vec<Address>,
}

impl Sockets {
    /// Takes the descriptors that `LISTEN_FDS` counts, where `LISTEN_PID` is this process;
    /// `LISTEN_FDNAMES` is what people call them. The environment stays as it is: nothing here
    /// starts a program that could inherit it, and nobody inherits the descriptors.
    ///
    /// To be called once, and before anything else opens descriptors: it owns what it takes.
    ///
    /// # Errors
    /// A sentence about a descriptor that cannot be listened on.
    pub fn inherited(variable: fn(&str) -> Option<OsString>) -> Result<Option<Sockets>, String> {
        let own = std::process::id().to_string();
        let is_own = variable("LISTEN_PID").is_some_and(|pid| pid == *own);
        let Some(count) = variable("LISTEN_FDS").filter(|_| is_own) else {
            return Ok(None);
        };
        let count = count.to_string_lossy();
        let number = count.trim().parse::<i32>().ok().filter(|n| (0..=MOST_SOCKETS).contains(n));
        let Some(number) = number else {
            return Err(format!(
                "LISTEN_FDS: {count:?} is not a number of sockets (0-{MOST_SOCKETS})"
            ));
        };
        let names = variable("LISTEN_FDNAMES").unwrap_or_default();
        let names = names.to_string_lossy();
        let mut names = names.split(':');
        let mut sockets = Sockets { listeners: Vec::new(), addresses: Vec::new() };
        for descriptor in FIRST_DESCRIPTOR..FIRST_DESCRIPTOR + number {
            let name = names.next().filter(|name| !name.is_empty()).unwrap_or("unnamed");
            let (listener, address) = listener(descriptor).map_err(|problem| {
                format!("LISTEN_FDS: descriptor {descriptor} ({name}) {problem}")
            })?;
            sockets.listeners.push(listener);
            sockets.addresses.push(address);
        }
        Ok(Some(sockets).filter(|sockets| !sockets.listeners.is_empty()))
    }

    /// What is listened on, as far as one setting can say it: who reaches any of the sockets
    /// reaches the server, so the most public one counts.
    pub fn host(&self) -> (Host, u16) {
        let publicity = |address: &&Address| {
            let ip = address.ip().to_canonical();
            (ip.is_unspecified(), !ip.is_loopback())
        };
        let most = self.addresses.iter().max_by_key(publicity).expect("there is one at least");
        (Host::Address(most.ip()), most.port())
    }
}

/// The socket behind a descriptor.
fn listener(descriptor: i32) -> Result<(TcpListener, Address), String> {
    let unusable = |e: io::Error| format!("cannot be used: {e}");
    let socket = Socket::from(os::adopt(descriptor).map_err(unusable)?);
    let address = match socket.local_addr() {
        Ok(address) => address,
        Err(e) if e.raw_os_error() == Some(libc::ENOTSOCK) => {
            return Err("is not a socket; ListenStream= with a port makes one".to_owned());
        }
        Err(e) => return Err(unusable(e)),
    };
    if address.is_unix() {
        return Err(
            "is a socket of the file system, and ccproxy listens on TCP; use ListenStream=3456"
                .to_owned(),
        );
    }
    let Some(address) = address.as_socket().filter(|_| socket.r#type().ok() == Some(Type::STREAM))
    else {
        return Err("is not a socket of TCP; use ListenStream=3456".to_owned());
    };
    if !os::is_listening(&socket) {
        return Err("is a connection, and not a socket that takes them; use Accept=no".to_owned());
    }
    Ok((socket.into(), address))
}
