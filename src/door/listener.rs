//! The sockets to listen on.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use crate::line::READ_PATIENCE;
use crate::network::Host;
use crate::os::reset_when_untaken;

/// Connections that wait to be accepted, at most.
const BACKLOG: i32 = 1024;

/// What the system keeps of an answer for a client that does not read.
const SEND_BUFFER_BYTES: usize = 32 << 10;

/// How often two loopbacks are tried when the system chooses the port: the one chosen for IPv4 may
/// be taken on IPv6.
const PORT_ATTEMPTS: usize = 10;

/// Opens the sockets for `host`.
///
/// # Errors
/// A sentence about the address that cannot be listened on, and what to do.
pub(super) fn open(host: Host, port: u16) -> Result<Vec<TcpListener>, String> {
    let on = |address: IpAddr| {
        let address = SocketAddr::new(address, port);
        bind(address).map_err(|e| problem(address, &e))
    };
    match host {
        Host::Address(address) => Ok(vec![on(address)?]),
        Host::Localhost => {
            for attempt in 1.. {
                let v4 = on(Ipv4Addr::LOCALHOST.into())?;
                let chosen = v4.local_addr().map_err(|e| e.to_string())?.port();
                let v6 = SocketAddr::new(Ipv6Addr::LOCALHOST.into(), chosen);
                match bind(v6) {
                    Ok(v6) => return Ok(vec![v4, v6]),
                    Err(e) if e.kind() != io::ErrorKind::AddrInUse => {
                        // A machine without IPv6 has one loopback.
                        return Ok(vec![v4]);
                    }
                    Err(_) if port == 0 && attempt < PORT_ATTEMPTS => {}
                    Err(e) => return Err(problem(v6, &e)),
                }
            }
            unreachable!("the loop ends by returning")
        }
    }
}

/// Makes a socket that somebody else has opened one of the door's.
///
/// # Errors
/// An option that the system does not know for it.
pub(super) fn take(listener: &TcpListener) -> io::Result<()> {
    prepare(&SockRef::from(listener))
}

fn problem(address: SocketAddr, error: &io::Error) -> String {
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program listens there; stop it, or choose another port with --port or SERVER_PORT"
        }
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need a privilege; choose another with --port or SERVER_PORT"
        }
        _ => "check --host or SERVER_HOST",
    };
    format!("cannot listen on {address}: {error}; {hint}")
}

/// A listener whose connections inherit its options. `::` also takes IPv4.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let unspecified = address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    match try_bind(address, unspecified) {
        // No IPv6 here: every address means every IPv4 address.
        Err(e)
            if unspecified
                && (e.kind() == io::ErrorKind::AddrNotAvailable
                    || e.raw_os_error() == Some(libc::EAFNOSUPPORT)) =>
        {
            try_bind(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port()), false)
        }
        other => other,
    }
}

fn try_bind(address: SocketAddr, dual_stack: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!dual_stack)?;
    }
    socket.set_reuse_address(true)?;
    prepare(&socket)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Sets what connections inherit.
fn prepare(socket: &Socket) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    // One that has gone without a word, or takes nothing for as long, has its connection reset.
    reset_when_untaken(socket, READ_PATIENCE)?;
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(15));
    socket.set_tcp_keepalive(&keepalive)
}
