//! The private connections to the API. They are made together, and no others can be: see
//! `api::Server::open`.
//!
//! A request on them names an errand and nothing else. The worker that takes it says so at once,
//! which also tells that the API is there; what it answers goes to the client directly.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::exchange::{Errand, Errands, TAKEN, Workers};
use crate::os::{poll, poll_fd, receive_now, send_now};
use std::os::fd::AsRawFd;

/// How long a request may wait to be taken. Workers give way to all else on the machine.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often an API that has nothing to do is asked whether it is there.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// The connections, and what has been sent on them.
#[derive(Debug)]
pub(super) struct Link {
    lanes: Vec<Lane>,
    asked: Instant,
}

/// One connection. tiny_http takes its requests in turn.
#[derive(Debug)]
struct Lane {
    stream: UnixStream,
    /// Errands that nobody has said to have taken, and since when.
    waiting: VecDeque<(u64, Instant)>,
    /// Bytes of an answer that has not come whole.
    partial: usize,
}

/// Makes new connections to the API, each of which has been answered once.
///
/// # Errors
/// What could not be had: descriptors, threads, or an answer.
pub(super) fn connect(
    workers: &dyn Workers,
    errands: &Errands,
    mut next_id: impl FnMut() -> u64,
) -> io::Result<Vec<UnixStream>> {
    let streams = workers.open()?;
    for stream in &streams {
        if !workers.reserve() {
            return Err(io::Error::other("no thread could be started"));
        }
        let id = next_id();
        errands.hand_over(id, Errand::Hello);
        let asked = ask(stream, id);
        if errands.take(id).is_some() {
            workers.release();
        }
        asked?;
    }
    Ok(streams)
}

/// Sends a request and waits until it has been taken.
fn ask(stream: &UnixStream, id: u64) -> io::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    if send_now(stream, &request(id))? == 0 {
        return Err(ErrorKind::WriteZero.into());
    }
    let mut left = TAKEN.len();
    let mut bytes = [0; TAKEN.len()];
    while left > 0 {
        match receive_now(stream, &mut bytes[..left]) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(n) => left -= n,
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                let mut fds = [poll_fd(stream.as_raw_fd(), libc::POLLIN)];
                if !poll(&mut fds, Some(deadline))? && Instant::now() >= deadline {
                    return Err(ErrorKind::TimedOut.into());
                }
            }
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

fn request(id: u64) -> Vec<u8> {
    format!("GET /{id} HTTP/1.1\r\n\r\n").into_bytes()
}

impl Link {
    pub(super) fn new(streams: Vec<UnixStream>, now: Instant) -> Link {
        let lane = |stream| Lane { stream, waiting: VecDeque::new(), partial: 0 };
        Link { lanes: streams.into_iter().map(lane).collect(), asked: now }
    }

    /// Whether there is an API.
    pub(super) fn is_up(&self) -> bool {
        !self.lanes.is_empty()
    }

    /// Asks a worker to take the errand `id`.
    ///
    /// # Errors
    /// The API is not there any more.
    pub(super) fn send(&mut self, id: u64, now: Instant) -> io::Result<()> {
        self.collect();
        let lane = self.lanes.iter_mut().min_by_key(|lane| lane.waiting.len());
        let lane = lane.ok_or(ErrorKind::NotConnected)?;
        let bytes = request(id);
        if send_now(&lane.stream, &bytes)? < bytes.len() {
            return Err(ErrorKind::WriteZero.into());
        }
        lane.waiting.push_back((id, now));
        self.asked = now;
        Ok(())
    }

    /// Whether the API should be asked if it is there.
    pub(super) fn should_ask(&self, now: Instant) -> bool {
        self.is_up() && now.saturating_duration_since(self.asked) >= ASK_EVERY
    }

    /// Whether a request waits to be taken.
    pub(super) fn is_waiting(&self) -> bool {
        self.lanes.iter().any(|lane| !lane.waiting.is_empty())
    }

    /// Reads which errands were taken. Returns false if the API has gone or does not take any.
    pub(super) fn is_well(&mut self, now: Instant) -> bool {
        let is_late =
            |(_, since): &(u64, Instant)| now.saturating_duration_since(*since) > PATIENCE;
        self.collect() && !self.lanes.iter().any(|lane| lane.waiting.front().is_some_and(is_late))
    }

    /// Gives the connections up. Returns the errands that nobody may have taken.
    pub(super) fn give_up(&mut self) -> Vec<u64> {
        self.lanes.drain(..).flat_map(|lane| lane.waiting.into_iter().map(|(id, _)| id)).collect()
    }

    /// Reads what has come. Returns false if a connection has ended.
    fn collect(&mut self) -> bool {
        let mut bytes = [0; 64 * TAKEN.len()];
        self.lanes.iter_mut().filter(|lane| !lane.waiting.is_empty()).all(|lane| match receive_now(
            &lane.stream,
            &mut bytes,
        ) {
            Ok(0) => false,
            Ok(n) => {
                let answers = (lane.partial + n) / TAKEN.len();
                lane.partial = (lane.partial + n) % TAKEN.len();
                lane.waiting.drain(..answers.min(lane.waiting.len()));
                true
            }
            Err(e) => e.kind() == ErrorKind::WouldBlock,
        })
    }
}
