//! What std does not offer of the system: steps on a socket that never wait, the one wait for
//! several, and what a process may ask of itself. Beside the allocator nothing else of the crate is
//! unsafe.

#![expect(unsafe_code, reason = "every system call that std has no function for is here")]

use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use socket2::Socket;

/// A write to a connection that has ended is an error and no signal. Apple's systems have no flag
/// for it, and there std sees to it for the process.
#[cfg(not(target_vendor = "apple"))]
const NO_SIGNAL: libc::c_int = libc::MSG_NOSIGNAL;
#[cfg(target_vendor = "apple")]
const NO_SIGNAL: libc::c_int = 0;

/// What poll(2) is asked to be told that the other side sends no more. Elsewhere than on Linux that
/// can be told from bytes by reading alone, and what is told unasked is that all has ended.
#[cfg(target_os = "linux")]
pub(crate) const HALF_CLOSED: libc::c_short = libc::POLLRDHUP;
#[cfg(not(target_os = "linux"))]
pub(crate) const HALF_CLOSED: libc::c_short = 0;

/// Reads what is there; [`io::ErrorKind::WouldBlock`] where nothing is.
pub(crate) fn receive_now(socket: &impl AsRawFd, buffer: &mut [u8]) -> io::Result<usize> {
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
pub(crate) fn send_now(socket: &impl AsRawFd, bytes: &[u8]) -> io::Result<usize> {
    again(|| {
        // SAFETY: the buffer is valid for as many bytes, and the descriptor is open while borrowed.
        unsafe {
            libc::send(
                socket.as_raw_fd(),
                bytes.as_ptr().cast(),
                bytes.len(),
                libc::MSG_DONTWAIT | NO_SIGNAL,
            )
        }
    })
}

/// Reads, and waits for as long as the socket's time-out says.
pub(crate) fn receive(socket: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the buffer is valid for as many bytes; a descriptor that is not open is an error.
    let n = unsafe { libc::recv(socket, buffer.as_mut_ptr().cast(), buffer.len(), 0) };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// Ends a connection in both directions: who reads from it is told of its end.
pub(crate) fn shut_down(socket: RawFd) {
    // SAFETY: a plain system call; a descriptor that is not open is an error, which is no matter.
    unsafe { libc::shutdown(socket, libc::SHUT_RDWR) };
}

/// Has the epoll tell of nothing but the end of `socket`, once, under the number `data`. Elsewhere
/// than on Linux that cannot be had, and no worker stays with a client.
#[cfg(target_os = "linux")]
pub(crate) fn watch_end(epoll: RawFd, socket: RawFd, data: u64) -> io::Result<()> {
    let events = (libc::EPOLLRDHUP | libc::EPOLLET).cast_unsigned();
    let mut event = libc::epoll_event { events, u64: data };
    // SAFETY: the event is read by the call alone; a descriptor that is not open is an error.
    let result = unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_MOD, socket, &raw mut event) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn watch_end(_: RawFd, _: RawFd, _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// How many of the bytes written to `socket` the other side has not taken yet.
pub(crate) fn untaken(socket: &TcpStream) -> usize {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the call writes one int.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if result == 0 { usize::try_from(bytes).unwrap_or(0) } else { 0 }
}

/// Whether nothing has come on `socket`, not even its end.
pub(crate) fn is_silent(socket: RawFd) -> bool {
    let mut byte = 0u8;
    // SAFETY: the buffer is one byte; a descriptor that is not open is an error.
    let n = unsafe {
        libc::recv(socket, (&raw mut byte).cast(), 1, libc::MSG_PEEK | libc::MSG_DONTWAIT)
    };
    n < 0 && io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock
}

/// Takes over a descriptor that this process was started with; no child of it inherits that.
///
/// # Errors
/// It is not open.
pub(crate) fn adopt(descriptor: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: a plain system call; a descriptor that is not open is an error.
    if unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) } == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open, and whoever started the process says that it is for whom it names.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Whether a socket takes connections.
pub(crate) fn is_listening(socket: &impl AsRawFd) -> bool {
    let mut listens: libc::c_int = 0;
    let mut length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the buffer is as long as `length` says.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ACCEPTCONN,
            (&raw mut listens).cast(),
            &mut length,
        )
    };
    result == 0 && listens != 0
}

/// How many connections wait to be accepted, and how many may: Linux tells both of a listening
/// socket in fields that mean something else for a connection.
#[cfg(target_os = "linux")]
pub(crate) fn listen_queue(listener: &TcpListener) -> Option<(u32, u32)> {
    // SAFETY: all zeroes is a valid tcp_info.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the buffer is as long as `length` says.
    let result = unsafe {
        libc::getsockopt(
            listener.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &mut length,
        )
    };
    (result == 0).then_some((info.tcpi_unacked, info.tcpi_sacked))
}

/// Other systems do not tell.
#[cfg(not(target_os = "linux"))]
pub(crate) fn listen_queue(_: &TcpListener) -> Option<(u32, u32)> {
    None
}

/// A connection whose other side takes nothing for this long is reset. Elsewhere than on Linux the
/// system's own patience has to do.
#[cfg(target_os = "linux")]
pub(crate) fn reset_when_untaken(socket: &Socket, after: Duration) -> io::Result<()> {
    socket.set_tcp_user_timeout(Some(after))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn reset_when_untaken(_: &Socket, _: Duration) -> io::Result<()> {
    Ok(())
}

/// poll(2) until `until`; true if a descriptor is ready.
pub(crate) fn poll(fds: &mut [libc::pollfd], until: Option<Instant>) -> io::Result<bool> {
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
pub(crate) fn poll_fd(fd: RawFd, events: libc::c_short) -> libc::pollfd {
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

#[cfg(target_env = "gnu")]
type Resource = libc::__rlimit_resource_t;
#[cfg(not(target_env = "gnu"))]
type Resource = libc::c_int;

/// How much of a resource the process may have, and how much it may ask for; [`u64::MAX`] without a
/// limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    pub soft: u64,
    pub hard: u64,
}

/// The limits of the process for a resource.
pub(crate) fn limit(resource: Resource) -> Limit {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the call takes a valid rlimit to write to.
    unsafe { libc::getrlimit(resource, &mut limit) };
    let known = |value| number(value, libc::RLIM_INFINITY);
    Limit { soft: known(limit.rlim_cur), hard: known(limit.rlim_max) }
}

/// A limit as a number, whose sign and greatest value differ between systems.
fn number<T: TryInto<u64> + PartialEq>(value: T, infinity: T) -> u64 {
    if value == infinity { u64::MAX } else { value.try_into().unwrap_or(u64::MAX) }
}

/// The reverse of [`number`].
fn rlim<T: TryFrom<u64>>(number: u64, infinity: T) -> T {
    if number == u64::MAX { infinity } else { T::try_from(number).unwrap_or(infinity) }
}

/// Sets the soft one; `false` if it stays as it was.
pub(crate) fn set_limit(resource: Resource, Limit { soft, hard }: Limit) -> bool {
    let of = |number| rlim(number, libc::RLIM_INFINITY);
    let limit = libc::rlimit { rlim_cur: of(soft), rlim_max: of(hard) };
    // SAFETY: the call takes a valid rlimit.
    unsafe { libc::setrlimit(resource, &limit) == 0 }
}

/// A constant of the system.
pub(crate) fn constant(name: libc::c_int) -> f64 {
    // SAFETY: a plain query.
    unsafe { libc::sysconf(name) as f64 }
}

/// Sets how willing this thread is to let others go first. Elsewhere than on Linux that can be said
/// of the whole process alone.
#[cfg(target_os = "linux")]
pub(crate) fn be_nice(nice: libc::c_int) {
    // SAFETY: a plain query, and a call that changes this thread's priority only.
    let this = unsafe { libc::gettid() };
    // SAFETY: as above.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, this as libc::id_t, nice) };
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn be_nice(_: libc::c_int) {}

/// Asks a process that was started to end.
pub(crate) fn terminate(child: &std::process::Child) {
    let Ok(id) = libc::pid_t::try_from(child.id()) else { return };
    // SAFETY: a plain call; the process is not waited for before, so the number is still its own.
    unsafe { libc::kill(id, libc::SIGTERM) };
}

/// Hours, minutes and seconds where the process is, `seconds` after 1970.
pub(crate) fn time_of_day(seconds: u64) -> [libc::c_int; 3] {
    let seconds = seconds.try_into().unwrap_or_default();
    // SAFETY: a `tm` is numbers and a pointer that is not followed, for which zero is a value.
    let mut day: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both point to values of this function; the reentrant form keeps nothing.
    unsafe { libc::localtime_r(&seconds, &mut day) };
    [day.tm_hour, day.tm_min, day.tm_sec]
}
