//! Private connections inside the process, to a server that wants to accept them: abstract Unix
//! sockets.

use std::io;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::unique::unique;

/// Makes `count` connections, and a listener that has them waiting and takes no others, whoever
/// asks.
///
/// An abstract socket knows no permissions. So its queue has room for `count` connections and no
/// more: once all of ours are in it, nobody else's is, and then the listener is shut. Who was
/// faster than we are costs us a new name.
///
/// # Errors
/// No descriptors, or no luck.
pub(crate) fn closed_circle(count: usize) -> io::Result<(UnixListener, Vec<UnixStream>)> {
    const ATTEMPTS: usize = 3;
    let mut failure = None;
    for _ in 0..ATTEMPTS {
        let name = SockAddr::unix(format!("\0{}", unique("ccproxy-")))?;
        let listener = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        listener.bind(&name)?;
        // Linux lets one more wait than it is told.
        listener.listen(i32::try_from(count.saturating_sub(1)).unwrap_or(i32::MAX))?;
        let connect = || {
            let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
            socket.set_nonblocking(true)?;
            socket.connect(&name)?;
            socket.set_nonblocking(false)?;
            Ok(UnixStream::from(OwnedFd::from(socket)))
        };
        match (0..count).map(|_| connect()).collect::<io::Result<Vec<UnixStream>>>() {
            Ok(streams) => {
                listener.shutdown(Shutdown::Both)?;
                return Ok((UnixListener::from(OwnedFd::from(listener)), streams));
            }
            Err(e) => failure = Some(e),
        }
    }
    Err(failure.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn a_closed_circle_lets_nobody_else_in() {
        let (listener, streams) = closed_circle(2).unwrap();
        let name = listener.local_addr().unwrap();
        assert_eq!(streams.len(), 2);
        // While ours have not been accepted, and afterwards.
        assert_eq!(
            UnixStream::connect_addr(&name).unwrap_err().kind(),
            io::ErrorKind::ConnectionRefused
        );
        for stream in &streams {
            let (mut accepted, _) = listener.accept().unwrap();
            (&*stream).write_all(b"x").unwrap();
            accepted.read_exact(&mut [0]).unwrap();
        }
        listener.accept().unwrap_err();
        UnixStream::connect_addr(&name).unwrap_err();
    }

    /// A queue that takes one more than ours would let a stranger in.
    #[test]
    fn the_queue_of_a_closed_circle_has_room_for_ours_alone() {
        for count in 1..5 {
            let name = SockAddr::unix(format!("\0{}", unique("ccproxy-test-"))).unwrap();
            let listener = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
            listener.bind(&name).unwrap();
            listener.listen(count - 1).unwrap();
            let connect = || {
                let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
                socket.set_nonblocking(true)?;
                socket.connect(&name)?;
                Ok::<Socket, io::Error>(socket)
            };
            let ours: Vec<Socket> = (0..count).map(|_| connect().unwrap()).collect();
            assert_eq!(connect().unwrap_err().kind(), io::ErrorKind::WouldBlock);
            drop(ours);
        }
    }
}
