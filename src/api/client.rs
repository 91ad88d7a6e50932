//! The client's socket, which tiny_http keeps to itself: it is found by its peer, and duplicated so
//! that the number cannot come to mean another one.

use std::fs;
use std::os::fd::{BorrowedFd, OwnedFd};

use socket2::SockRef;
use tiny_http::Request;

/// The socket that `request` came by, or `None` where it cannot be found, which costs no more than
/// noticing late that a client has left.
pub fn socket_of(request: &Request) -> Option<OwnedFd> {
    let peer = *request.remote_addr()?;
    let is_it = |fd: &OwnedFd| {
        SockRef::from(fd).peer_addr().is_ok_and(|address| address.as_socket() == Some(peer))
    };
    fs::read_dir("/proc/self/fd").ok()?.find_map(|entry| {
        let fd = entry.ok()?.file_name().to_str()?.parse().ok()?;
        // SAFETY: it is only borrowed for dup(2), which fails on a number that is not open.
        let candidate = unsafe { BorrowedFd::borrow_raw(fd) };
        if !SockRef::from(&candidate).peer_addr().is_ok_and(|a| a.as_socket() == Some(peer)) {
            return None;
        }
        // The number may have been closed and used again in between; the copy cannot.
        candidate.try_clone_to_owned().ok().filter(is_it)
    })
}
