//! The private connections to the API. They are made together, and no others can be: see
//! `api::Server::open`.
//!
//! A request on them names an errand and nothing else. The worker that takes it says so at once,
//! which also tells that the API is there; what it answers goes to the client directly.
//!
//! Errands wait here for as long as the machine has no time for the workers, and for a new API
//! where the old one has gone: that is no reason to refuse what a worker will answer. How many can
//! wait is bound by the places for messages, how long by [`Link::overdue`].

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::entry::Socket;
use crate::exchange::{Errand, Errands, TAKEN, Workers};
use crate::os::{poll, poll_fd, receive_now, send_now};

/// How long nothing at all may be taken of what waits. Workers give way to all else on the machine,
/// so that one of a thousand can take seconds, but together they get on.
const STANDSTILL: Duration = Duration::from_secs(20);

/// The most that one look at the clock adds to a standstill: a process that was stopped, or that
/// had no time itself, has seen nobody stand still.
const LOOK: Duration = Duration::from_secs(1);

/// How long an errand waits to be taken.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a new API may take for its first answer.
const ASK_PATIENCE: Duration = Duration::from_secs(10);

/// How often an API that has nothing to do is asked whether it is there.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// Requests of a connection that are not known to be taken. A socket's queue has room for more.
const LANE_REQUESTS: usize = 64;

/// The connections, and what is sent on them.
#[derive(Debug)]
pub(super) struct Link<S = UnixStream> {
    errands: Arc<Errands>,
    lanes: Vec<Lane<S>>,
    /// Errands that nobody has taken by all that is known, and since when, the oldest first.
    waiting: VecDeque<(u64, Instant)>,
    /// Those that no connection had room for.
    unsent: VecDeque<u64>,
    asked: Instant,
    /// How long nothing has been taken of what was sent, by the looks at the clock.
    still: Duration,
    looked: Instant,
}

/// One connection. tiny_http takes its requests in turn.
#[derive(Debug)]
struct Lane<S> {
    socket: S,
    /// Errands that nobody has said to have taken.
    sent: VecDeque<u64>,
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
        workers.reserve()?;
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
    let deadline = Instant::now() + ASK_PATIENCE;
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

impl<S: Socket> Link<S> {
    /// Without a connection yet, for what is in `errands`.
    pub(super) fn new(errands: Arc<Errands>, now: Instant) -> Link<S> {
        Link {
            errands,
            lanes: Vec::new(),
            waiting: VecDeque::new(),
            unsent: VecDeque::new(),
            asked: now,
            still: Duration::ZERO,
            looked: now,
        }
    }

    /// Whether there is an API.
    pub(super) fn is_up(&self) -> bool {
        !self.lanes.is_empty()
    }

    /// Goes on with these connections. What nobody has taken is asked for again.
    ///
    /// # Errors
    /// As [`Link::pass_on`].
    pub(super) fn connect(&mut self, sockets: Vec<S>, now: Instant) -> io::Result<()> {
        self.disconnect();
        let lane = |socket| Lane { socket, sent: VecDeque::new(), partial: 0 };
        self.lanes.extend(sockets.into_iter().map(lane));
        self.asked = now;
        self.pass_on()
    }

    /// Gives the connections up, and keeps what nobody has taken.
    pub(super) fn disconnect(&mut self) {
        self.still = Duration::ZERO;
        let mut sent: Vec<u64> = self.lanes.drain(..).flat_map(|lane| lane.sent).collect();
        sent.sort_unstable();
        for id in sent.into_iter().rev() {
            self.unsent.push_front(id);
        }
    }

    /// Asks a worker to take the errand `id`, which is numbered higher than those before it.
    ///
    /// # Errors
    /// As [`Link::pass_on`].
    pub(super) fn send(&mut self, id: u64, now: Instant) -> io::Result<()> {
        self.waiting.push_back((id, now));
        self.unsent.push_back(id);
        self.asked = now;
        self.dispatch()
    }

    /// Reads which errands were taken, and sends those for which there is room then.
    ///
    /// # Errors
    /// The API is not there any more.
    pub(super) fn pass_on(&mut self) -> io::Result<()> {
        let mut bytes = [0; LANE_REQUESTS * TAKEN.len()];
        for lane in &mut self.lanes {
            if lane.collect(&mut bytes)? {
                self.still = Duration::ZERO;
            }
        }
        self.dispatch()
    }

    /// Sends what there is room for.
    fn dispatch(&mut self) -> io::Result<()> {
        while let Some(id) = self.unsent.front().copied() {
            if self.errands.has(id) {
                let lane = self.lanes.iter_mut().min_by_key(|lane| lane.sent.len());
                match lane.filter(|lane| lane.sent.len() < LANE_REQUESTS) {
                    Some(lane) => lane.send(id)?,
                    None => break,
                }
            }
            self.unsent.pop_front();
        }
        Ok(())
    }

    /// Whether the API should be asked if it is there.
    pub(super) fn should_ask(&self, now: Instant) -> bool {
        self.is_up() && now.saturating_duration_since(self.asked) >= ASK_EVERY
    }

    /// Whether something waits to be taken.
    pub(super) fn is_waiting(&self) -> bool {
        !self.unsent.is_empty() || self.lanes.iter().any(|lane| !lane.sent.is_empty())
    }

    /// Takes a look at the clock. Returns whether the API stands still: it takes nothing of what
    /// waits.
    pub(super) fn stands_still(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(std::mem::replace(&mut self.looked, now));
        if self.lanes.iter().all(|lane| lane.sent.is_empty()) {
            self.still = Duration::ZERO;
        } else {
            self.still += passed.min(LOOK);
        }
        self.still >= STANDSTILL
    }

    /// The errands that have waited for too long.
    pub(super) fn overdue(&mut self, now: Instant) -> Vec<u64> {
        let mut overdue = Vec::new();
        while let Some((id, since)) = self.waiting.front().copied() {
            let is_overdue = now.saturating_duration_since(since) >= PATIENCE;
            if self.errands.has(id) {
                if !is_overdue {
                    break;
                }
                overdue.push(id);
            }
            self.waiting.pop_front();
        }
        overdue
    }

    /// How long an errand has waited.
    pub(super) fn waited(&self, id: u64, now: Instant) -> Duration {
        let place = self.waiting.binary_search_by_key(&id, |(id, _)| *id);
        place.map_or(Duration::ZERO, |place| now.saturating_duration_since(self.waiting[place].1))
    }

    /// Gives up what waits: there is no API, and none to be had.
    pub(super) fn give_up(&mut self) -> Vec<u64> {
        self.disconnect();
        self.unsent.clear();
        self.waiting.drain(..).map(|(id, _)| id).collect()
    }
}

impl<S: Socket> Lane<S> {
    fn send(&mut self, id: u64) -> io::Result<()> {
        let bytes = request(id);
        if self.socket.send(&bytes)? < bytes.len() {
            return Err(ErrorKind::WriteZero.into());
        }
        self.sent.push_back(id);
        Ok(())
    }

    /// Reads what has come. Returns whether anything was taken.
    fn collect(&mut self, bytes: &mut [u8]) -> io::Result<bool> {
        let before = self.sent.len();
        loop {
            match self.socket.receive(bytes) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(n) => {
                    let answers = (self.partial + n) / TAKEN.len();
                    self.partial = (self.partial + n) % TAKEN.len();
                    self.sent.drain(..answers.min(self.sent.len()));
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    return Ok(self.sent.len() < before);
                }
                Err(e) => return Err(e),
            }
        }
    }
}

impl Socket for UnixStream {
    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        receive_now(self, buffer)
    }

    fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        send_now(self, bytes)
    }

    fn end(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeSet;
    use std::rc::Rc;

    use super::*;
    use crate::seeded::{self, Numbers};

    /// What a system's queue holds at least, in requests.
    const QUEUE: usize = 200;

    /// Both ends of a connection to an API that does what it is told.
    #[derive(Default)]
    struct Pipe {
        /// Errands that were asked for and not taken.
        asked: VecDeque<u64>,
        answers: VecDeque<u8>,
        has_ended: bool,
    }

    #[derive(Clone, Default)]
    struct Scripted(Rc<RefCell<Pipe>>);

    impl Socket for Scripted {
        fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
            let mut pipe = self.0.borrow_mut();
            let n = pipe.answers.len().min(buffer.len());
            for (byte, answer) in buffer.iter_mut().zip(pipe.answers.drain(..n)) {
                *byte = answer;
            }
            if n == 0 && !pipe.has_ended { Err(ErrorKind::WouldBlock.into()) } else { Ok(n) }
        }

        fn send(&self, bytes: &[u8]) -> io::Result<usize> {
            let mut pipe = self.0.borrow_mut();
            if pipe.has_ended {
                return Err(ErrorKind::BrokenPipe.into());
            }
            if pipe.asked.len() >= QUEUE {
                return Err(ErrorKind::WouldBlock.into());
            }
            let request = std::str::from_utf8(bytes).unwrap();
            let id = request.strip_prefix("GET /").unwrap().split(' ').next().unwrap();
            pipe.asked.push_back(id.parse().unwrap());
            Ok(bytes.len())
        }

        fn end(&self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A link, the workers' ends of its connections, and a clock.
    struct World {
        link: Link<Scripted>,
        errands: Arc<Errands>,
        lanes: Vec<Scripted>,
        now: Instant,
        next_id: u64,
        taken: BTreeSet<u64>,
    }

    impl World {
        fn new() -> World {
            let (errands, now) = (Arc::<Errands>::default(), Instant::now());
            let link = Link::new(Arc::clone(&errands), now);
            let (lanes, taken) = (Vec::new(), BTreeSet::new());
            let mut world = World { link, errands, lanes, now, next_id: 1, taken };
            world.connect();
            world
        }

        fn connect(&mut self) {
            self.lanes = vec![Scripted::default(), Scripted::default()];
            self.link.connect(self.lanes.clone(), self.now).unwrap();
        }

        fn send(&mut self, count: usize) {
            for _ in 0..count {
                self.errands.hand_over(self.next_id, Errand::Hello);
                self.link.send(self.next_id, self.now).unwrap();
                self.next_id += 1;
            }
        }

        /// A worker takes the next request of a connection, and says so.
        fn take(&mut self, lane: usize) -> bool {
            let mut pipe = self.lanes[lane].0.borrow_mut();
            let Some(id) = pipe.asked.pop_front() else { return false };
            pipe.answers.extend(TAKEN);
            if self.errands.take(id).is_some() {
                assert!(self.taken.insert(id), "{id} is taken twice");
            }
            true
        }

        /// Takes all that comes.
        fn take_all(&mut self) {
            while (0..self.lanes.len()).any(|lane| self.take(lane)) {
                self.link.pass_on().unwrap();
            }
        }

        /// The clock goes on, and the loop looks at it as often as it does.
        fn pass(&mut self, time: Duration) -> bool {
            const TICK: Duration = Duration::from_millis(250);
            let until = self.now + time;
            let mut stands_still = false;
            while self.now < until {
                self.now += TICK;
                stands_still |= self.link.stands_still(self.now);
            }
            stands_still
        }
    }

    /// A thousand workers that begin together on a core that others use, each of which gives way
    /// to all of them: the last is there after a quarter of a minute, and somebody every second.
    #[test]
    fn workers_that_come_slowly_are_waited_for() {
        let mut world = World::new();
        world.send(1000);
        for number in 0..1000 {
            assert!(world.take(0) || world.take(1));
            world.link.pass_on().unwrap();
            assert!(number % 16 > 0 || !world.pass(Duration::from_millis(250)));
            assert!(world.link.overdue(world.now).is_empty());
        }
        assert_eq!(world.taken.len(), 1000);
        // Fewer of them, each of which takes long.
        world.send(10);
        for _ in 0..10 {
            assert!(!world.pass(STANDSTILL - LOOK));
            assert!(world.take(0) || world.take(1));
            world.link.pass_on().unwrap();
        }
        assert!(!world.link.is_waiting());
    }

    /// A burst is larger than what the system keeps for a reader that has no time.
    #[test]
    fn more_requests_than_a_socket_holds_wait_their_turn() {
        let mut world = World::new();
        world.send(10 * QUEUE);
        assert!(world.lanes.iter().all(|lane| lane.0.borrow().asked.len() <= LANE_REQUESTS));
        world.take_all();
        assert_eq!(world.taken.len(), 10 * QUEUE);
        assert!(!world.link.is_waiting());
    }

    #[test]
    fn an_api_that_takes_nothing_stands_still_and_one_without_time_does_not() {
        let mut world = World::new();
        assert!(!world.pass(STANDSTILL * 3), "nothing waits");
        world.send(1);
        // The process was stopped, or the machine slept.
        world.now += STANDSTILL * 10;
        assert!(!world.link.stands_still(world.now));
        assert!(!world.pass(STANDSTILL - LOOK - LOOK));
        assert!(world.pass(LOOK * 2));
    }

    #[test]
    fn what_nobody_took_is_asked_for_again_where_the_api_is_set_up_anew() {
        let mut world = World::new();
        world.send(3 * LANE_REQUESTS);
        assert!(world.take(0) && world.take(1));
        // It says so, but is not heard any more.
        world.lanes.iter().for_each(|lane| lane.0.borrow_mut().has_ended = true);
        world.lanes.iter().for_each(|lane| lane.0.borrow_mut().answers.clear());
        world.link.pass_on().unwrap_err();
        world.link.disconnect();
        world.send(5);
        world.connect();
        world.take_all();
        assert_eq!(world.taken.len(), 3 * LANE_REQUESTS + 5);
        assert!(world.link.overdue(world.now + PATIENCE).is_empty());
    }

    #[test]
    fn what_has_waited_for_too_long_is_told_once() {
        let mut world = World::new();
        world.send(2);
        world.pass(Duration::from_secs(1));
        world.send(1);
        assert!(world.take(0));
        assert!(world.link.overdue(world.now).is_empty());
        assert_eq!(world.link.overdue(world.now + PATIENCE - Duration::from_secs(1)), [2]);
        assert_eq!(world.link.overdue(world.now + PATIENCE), [3]);
        assert!(world.link.overdue(world.now + PATIENCE * 2).is_empty());
    }

    /// Workers that come when they like, requests that are called back, and APIs that go.
    fn run(seed: u64) {
        let mut numbers = Numbers::new(seed);
        let mut world = World::new();
        let mut recalled = BTreeSet::new();
        for _ in 0..300 {
            match numbers.below(20) {
                0..5 => world.send(1 + numbers.below(100)),
                5 => {
                    let id = 1 + numbers.below(world.next_id as usize) as u64;
                    if world.errands.take(id).is_some() {
                        recalled.insert(id);
                    }
                }
                6 => {
                    world.link.disconnect();
                    world.connect();
                }
                7 => assert!(!world.pass(STANDSTILL / 2)),
                _ => {
                    let all = numbers.below(150);
                    let lane = numbers.below(2);
                    let took = (0..all).any(|_| world.take(lane));
                    world.link.pass_on().unwrap();
                    if took {
                        assert!(!world.link.stands_still(world.now));
                    }
                }
            }
            for lane in &world.lanes {
                assert!(lane.0.borrow().asked.len() <= LANE_REQUESTS);
            }
            // Somebody takes something.
            if (0..2).any(|lane| world.take(lane)) {
                world.link.pass_on().unwrap();
            }
        }
        world.take_all();
        let all: BTreeSet<u64> = (1..world.next_id).collect();
        let got: BTreeSet<u64> = world.taken.union(&recalled).copied().collect();
        assert_eq!(got, all, "each is taken or called back");
        assert!(!world.link.is_waiting());
    }

    #[test]
    fn every_errand_is_taken_or_called_back_whatever_becomes_of_the_workers() {
        seeded::each_seed(run);
    }
}
