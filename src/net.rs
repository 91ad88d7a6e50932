//! Single steps on a socket that never wait, and the one wait for several: what std does not offer.

use std::io;
use std::net::TcpStream;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Instant;

/// Reads what is there; [`io::ErrorKind::WouldBlock`] where nothing is.
pub fn receive_now(socket: &impl AsRawFd, buffer: &mut [u8]) -> io::Result<usize> {
    again(|| {
        // SAFETY: the buffer is valid for as many bytes, and the descriptor is open while borrowed.
        unsafe {
            libc::recv(
                socket.as_raw_fd(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                libc::MSG_DONTWAIT,
            )
        }
    })
}

/// Writes what fits; [`io::ErrorKind::WouldBlock`] where nothing does.
pub fn send_now(socket: &impl AsRawFd, bytes: &[u8]) -> io::Result<usize> {
    again(|| {
        // SAFETY: the buffer is valid for as many bytes, and the descriptor is open while borrowed.
        unsafe {
            libc::send(
                socket.as_raw_fd(),
                bytes.as_ptr().cast(),
                bytes.len(),
                libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
            )
        }
    })
}

/// Reads, and waits for as long as the socket's time-out says.
pub fn receive(socket: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the buffer is valid for as many bytes; a descriptor that is not open is an error.
    let n = unsafe { libc::recv(socket, buffer.as_mut_ptr().cast(), buffer.len(), 0) };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// Ends a connection in both directions: who reads from it is told of its end.
pub fn shut_down(socket: RawFd) {
    // SAFETY: a plain system call; a descriptor that is not open is an error, which is no matter.
    unsafe { libc::shutdown(socket, libc::SHUT_RDWR) };
}

/// How many of the bytes written to `socket` the other side has not taken yet.
pub fn untaken(socket: &TcpStream) -> usize {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the call writes one int.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if result == 0 { usize::try_from(bytes).unwrap_or(0) } else { 0 }
}

/// poll(2) until `until`; true if a descriptor is ready.
pub fn poll(fds: &mut [libc::pollfd], until: Option<Instant>) -> io::Result<bool> {
    let timeout = until.map_or(-1, |until| {
        // Rounded up, so that the caller does not spin through the last millisecond.
        let left = until.saturating_duration_since(Instant::now()).as_micros() + 999;
        i32::try_from(left / 1000).unwrap_or(i32::MAX)
    });
    // SAFETY: `fds` is a valid array of that many pollfd for the whole call.
    let n = unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, timeout) };
    if n >= 0 {
        return Ok(n > 0);
    }
    match io::Error::last_os_error() {
        e if e.kind() == io::ErrorKind::Interrupted => Ok(false),
        e => Err(e),
    }
}

/// What poll(2) is asked about `fd`.
pub fn poll_fd(fd: RawFd, events: libc::c_short) -> libc::pollfd {
    libc::pollfd { fd, events, revents: 0 }
}

fn again(mut call: impl FnMut() -> libc::ssize_t) -> io::Result<usize> {
    loop {
        match usize::try_from(call()) {
            Ok(n) => return Ok(n),
            Err(_) => match io::Error::last_os_error() {
                e if e.kind() == io::ErrorKind::Interrupted => {}
                e => return Err(e),
            },
        }
    }
}
