//! The door under a seeded loop: connections that come, say something cut anywhere, stop reading,
//! leave and come too many, workers that answer, fail or cannot be had, a clock that jumps, and the
//! end of the server. A shadow of each client knows what it may be told, and all invariants are
//! looked at after every step.
//!
//! See [`crate::seeded`] for how to make it longer and how to replay a failure.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::connection::{Connection, Decision, Refused, Request, Rules};
use super::entry::{Entry, Heard, Next, Socket, hear};
use super::head::Head;
use super::proxy_protocol::LOCAL;
use super::slot::Slot;
use crate::error::Error;
use crate::line::Manner;
use crate::memory::{Budget, Share};
use crate::record::Refusal;
use crate::seeded::{self, Numbers};

const MAX_CONNECTIONS: usize = 12;
const MAX_IN_FLIGHT: usize = 3;
const BODY_LIMIT: usize = 300_000;
const BUDGET: usize = 2_000_000;
const IDLE: Duration = Duration::from_secs(75);
/// How often overdue connections are looked for.
const TICK: Duration = Duration::from_millis(250);
const STEPS: usize = 400;
/// What a turn reads: little, so that requests are cut by it.
const READ_BYTES: usize = 4096;

/// Both ends of a simulated connection.
#[derive(Default)]
struct Pipe {
    /// Sent by the client and not read by the door.
    up: VecDeque<u8>,
    client_has_ended: bool,
    is_reset: bool,
    /// What the client has been sent, and how much more is taken before it reads.
    down: Vec<u8>,
    room: usize,
    door_has_ended: bool,
}

#[derive(Clone)]
struct Pair(Rc<RefCell<Pipe>>);

impl Socket for Pair {
    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut pipe = self.0.borrow_mut();
        if pipe.is_reset {
            return Err(ErrorKind::ConnectionReset.into());
        }
        let n = pipe.up.len().min(buffer.len());
        for (byte, up) in buffer.iter_mut().zip(pipe.up.drain(..n)) {
            *byte = up;
        }
        if n == 0 && !pipe.client_has_ended { Err(ErrorKind::WouldBlock.into()) } else { Ok(n) }
    }

    fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut pipe = self.0.borrow_mut();
        assert!(!pipe.door_has_ended, "nothing is sent after the end");
        if pipe.is_reset {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let n = bytes.len().min(pipe.room);
        if n == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        pipe.room -= n;
        pipe.down.extend_from_slice(&bytes[..n]);
        Ok(n)
    }

    fn end(&self) -> io::Result<()> {
        self.0.borrow_mut().door_has_ended = true;
        Ok(())
    }
}

/// The rules of this world: an answer is a line that names the request.
struct House {
    budget: Arc<Budget>,
    is_leaving: bool,
}

fn number(target: &str) -> usize {
    target.trim_start_matches('/').parse().expect("requests are numbers")
}

fn line(out: &mut Vec<u8>, what: &str, manner: Manner) {
    let end = if manner.close { "last" } else { "more" };
    out.extend_from_slice(format!("{what} {end}\n").as_bytes());
}

impl Rules for House {
    type Ticket = usize;

    fn decide(
        &mut self,
        head: &Head<'_>,
        _: IpAddr,
        _: Instant,
        manner: Manner,
        out: &mut Vec<u8>,
    ) -> Decision<usize> {
        let number = number(head.target);
        if head.method == "POST" {
            return Decision::Taken(number);
        }
        line(out, &format!("answer {number}"), manner);
        Decision::Answered { last: false }
    }

    fn refuse(&mut self, refused: Refused<'_, usize>, manner: Manner, out: &mut Vec<u8>) {
        let number = refused.ticket.map_or("?".to_owned(), usize::to_string);
        line(out, &format!("refused {number} {}", refused.error.status()), manner);
    }

    fn is_leaving(&self) -> bool {
        self.is_leaving
    }

    fn idle_time(&self) -> Duration {
        IDLE
    }

    fn bodies(&self) -> (usize, &Arc<Budget>) {
        (BODY_LIMIT, &self.budget)
    }
}

/// A client and what it is owed.
struct Shadow {
    pipe: Pair,
    /// What it has still to send.
    script: VecDeque<u8>,
    /// The numbers of its requests, and whether each is one that can be read.
    asked: Vec<(usize, bool)>,
    /// It was cut, or has cut: no answer is owed.
    is_off: bool,
    /// Something of its own ended the connection: what is behind that is not answered.
    ended: bool,
}

impl Shadow {
    /// Checks what it has been told against what it asked. Returns how many of its requests have an
    /// answer.
    fn check(&self) -> usize {
        let pipe = self.pipe.0.borrow();
        let text = String::from_utf8_lossy(&pipe.down).replace("HTTP/1.1 100 Continue\r\n\r\n", "");
        let mut told = 0;
        let mut is_over = false;
        for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            assert!(!is_over, "an answer after the last: {text:?}");
            let words: Vec<&str> = line.split_whitespace().collect();
            let (number, readable) = *self.asked.get(told).expect("no answer without a request");
            match words[..] {
                ["answer", told, end] => {
                    assert_eq!(told, number.to_string(), "answers come in order");
                    assert!(readable, "{number} cannot be read, and was answered");
                    is_over = end == "last";
                }
                ["refused", told, _, end] => {
                    assert!(told == "?" || told == number.to_string(), "in order: {text:?}");
                    is_over = end == "last";
                }
                _ => panic!("an answer of ours: {line:?}"),
            }
            told += 1;
        }
        assert!(is_over || !pipe.door_has_ended, "an end without a last answer: {text:?}");
        told
    }
}

/// A message that a worker has.
struct Job {
    key: usize,
    number: usize,
    manner: Manner,
    room: Option<(Slot, Share)>,
    /// The connection, where the worker stays with its client.
    stayed: Option<Connection<usize>>,
}

struct World {
    numbers: Numbers,
    now: Instant,
    next_tick: Instant,
    house: House,
    entries: BTreeMap<usize, Entry<Pair, usize>>,
    shadows: BTreeMap<usize, Shadow>,
    jobs: Vec<Job>,
    admitted: Arc<AtomicUsize>,
    closing: bool,
    /// No thread can be started.
    short: bool,
    next: usize,
    scratch: Vec<u8>,
}

impl World {
    fn new(seed: u64) -> World {
        let now = Instant::now();
        World {
            numbers: Numbers::new(seed),
            now,
            next_tick: now + TICK,
            house: House { budget: Arc::new(Budget::new(BUDGET)), is_leaving: false },
            entries: BTreeMap::new(),
            shadows: BTreeMap::new(),
            jobs: Vec::new(),
            admitted: Arc::default(),
            closing: false,
            short: false,
            next: 0,
            scratch: vec![0; READ_BYTES],
        }
    }

    fn next(&mut self) -> usize {
        self.next += 1;
        self.next
    }

    /// One of the clients, if there is any.
    fn somebody(&mut self) -> Option<usize> {
        let keys: Vec<usize> = self.shadows.keys().copied().collect();
        (!keys.is_empty()).then(|| keys[self.numbers.below(keys.len())])
    }

    fn step(&mut self) {
        match self.numbers.below(100) {
            0..8 => self.connect(),
            8..25 => self.ask(),
            25..60 => self.say(),
            60..78 => self.work(),
            78..86 => self.read(),
            86..90 => self.leave(),
            90..97 => self.wait(),
            97 => self.short = !self.short,
            98 if self.numbers.one_in(8) => self.house.is_leaving = true,
            99 if self.house.is_leaving && self.numbers.one_in(4) => self.close(),
            _ => {}
        }
        self.run();
        self.check();
    }

    fn connect(&mut self) {
        if self.entries.len() >= MAX_CONNECTIONS {
            let spared = self.entries.iter().filter_map(|(key, entry)| {
                Some((entry.core.spare(self.now, entry.queued && entry.readable)?, *key))
            });
            let Some((_, key)) = spared.max() else { return };
            assert!(self.jobs.iter().all(|job| job.key != key), "no answer is cut for a newcomer");
            self.cut(key);
        }
        let key = self.next();
        let pipe = Pair(Rc::default());
        pipe.0.borrow_mut().room = self.numbers.below(200);
        let mut core = Connection::new(Ipv4Addr::LOCALHOST.into(), self.now, IDLE);
        let (mut script, mut asked) = (VecDeque::new(), Vec::new());
        if self.numbers.one_in(4) {
            core = core.behind_a_proxy();
            match self.numbers.below(4) {
                0 => {
                    script.extend(b"PROXY TCP9 192.0.2.1 192.0.2.2 1 2\r\n");
                    asked.push((key, false));
                }
                1 => script.extend(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"),
                _ => {
                    let more = self.numbers.below(9000);
                    script.extend(&LOCAL[..14]);
                    script.extend((more as u16).to_be_bytes());
                    script.extend(std::iter::repeat_n(b'G', more));
                }
            }
        }
        self.entries.insert(key, Entry::new(core, pipe.clone()));
        let shadow = Shadow { pipe, script, asked, is_off: false, ended: false };
        self.shadows.insert(key, shadow);
    }

    /// A client means to ask for something more.
    fn ask(&mut self) {
        let Some(key) = self.somebody() else { return };
        let number = self.next();
        let length = match self.numbers.below(8) {
            0 => BODY_LIMIT + 1,
            1 => self.numbers.below(BODY_LIMIT),
            _ => self.numbers.below(3000),
        };
        let body = "x".repeat(length.min(BODY_LIMIT));
        let (text, readable) = match self.numbers.below(9) {
            0 => (format!("GET /{number} HTTP/1.1\r\n\r\n"), true),
            1 => (format!("\r\nGET /{number} HTTP/1.1\r\nConnection: close\r\n\r\n"), true),
            2 => (format!("GET /{number} HTTP/1.1\r\nContent-Length: 5\r\n\r\nGET /"), true),
            3 => (format!("GET /{number} HTTP/1.1\nA: b\n\n"), false),
            4 => (format!("GET /{number} HTTP/2.0\r\n\r\n"), false),
            5 => {
                let framing = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len().max(1));
                let framing = if body.is_empty() { "0\r\n\r\n".to_owned() } else { framing };
                let head = format!("POST /{number} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
                (format!("{head}{framing}"), true)
            }
            6 => (
                format!(
                    "POST /{number} HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n{body}"
                ),
                true,
            ),
            _ => {
                (format!("POST /{number} HTTP/1.1\r\nContent-Length: {length}\r\n\r\n{body}"), true)
            }
        };
        let shadow = self.shadows.get_mut(&key).expect("it is somebody");
        shadow.asked.push((number, readable));
        shadow.script.extend(text.as_bytes());
    }

    /// A client sends some of what it means to.
    fn say(&mut self) {
        let Some(key) = self.somebody() else { return };
        let shadow = self.shadows.get_mut(&key).expect("it is somebody");
        let most = if self.numbers.one_in(3) { 200_000 } else { 60 };
        let n = (1 + self.numbers.below(most)).min(shadow.script.len());
        let mut pipe = shadow.pipe.0.borrow_mut();
        if pipe.client_has_ended {
            return;
        }
        pipe.up.extend(shadow.script.drain(..n));
        drop(pipe);
        self.told(key, false);
    }

    /// The loop is told of a socket.
    fn told(&mut self, key: usize, half_closed: bool) {
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.readable = true;
            entry.half_closed |= half_closed;
            entry.queued = true;
        }
    }

    /// A worker comes to the end of its answer, or does not.
    fn work(&mut self) {
        if self.jobs.is_empty() {
            return;
        }
        let at = self.numbers.below(self.jobs.len());
        let mut job = self.jobs.swap_remove(at);
        // Before the end of the answer can be seen.
        drop(job.room.take());
        let breaks = self.numbers.one_in(6);
        let stayed = job.stayed.take();
        let Some(entry) = self.entries.get_mut(&job.key) else { return };
        let mut pipe = entry.socket.0.borrow_mut();
        if breaks || pipe.is_reset {
            drop(pipe);
            return self.cut(job.key);
        }
        let mut out = Vec::new();
        line(&mut out, &format!("answer {}", job.number), job.manner);
        // A worker waits for its reader.
        pipe.down.extend_from_slice(&out);
        drop(pipe);
        let last = job.manner.close || self.house.is_leaving;
        if last {
            self.shadows.get_mut(&job.key).expect("it has a client").ended = true;
        }
        if let Some(core) = stayed.filter(|_| !last) {
            return self.stay(job.key, core);
        }
        entry.returned(last && job.manner.close, &self.house, self.now);
        if last && !job.manner.close {
            // The head of the answer was older than the end of the time when connections were kept.
            return self.cut(job.key);
        }
        entry.queued = true;
    }

    /// A worker that has answered waits for the same client's next request, or has something else
    /// to do.
    fn stay(&mut self, key: usize, mut core: Connection<usize>) {
        core.returned(false, self.now, IDLE);
        let pipe = self.shadows[&key].pipe.clone();
        while !self.numbers.one_in(4) {
            let most = 1 + self.numbers.below(READ_BYTES);
            let n = if core.has_input() {
                0
            } else {
                pipe.receive(&mut self.scratch[..most]).unwrap_or(0)
            };
            if n == 0 && !core.has_input() {
                break;
            }
            match hear(&mut core, &self.scratch[..n], &mut self.house, self.now) {
                Heard::Request(request) => return self.admit(key, *request, Some(core)),
                Heard::Part => {}
                Heard::Other => break,
            }
        }
        self.bring_back(key, core);
    }

    fn bring_back(&mut self, key: usize, core: Connection<usize>) {
        let entry = self.entries.get_mut(&key).expect("nobody cuts what a worker has");
        entry.core = core;
        entry.readable = true;
        entry.queued = true;
    }

    fn read(&mut self) {
        let Some(key) = self.somebody() else { return };
        let room = if self.numbers.one_in(2) { 20 } else { 100_000 };
        self.shadows[&key].pipe.0.borrow_mut().room += room;
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.queued = true;
        }
    }

    /// A client closes its half, or resets.
    fn leave(&mut self) {
        let Some(key) = self.somebody() else { return };
        let resets = self.numbers.one_in(2);
        let shadow = self.shadows.get_mut(&key).expect("it is somebody");
        shadow.script.clear();
        shadow.is_off = true;
        let mut pipe = shadow.pipe.0.borrow_mut();
        pipe.client_has_ended = true;
        pipe.is_reset |= resets;
        drop(pipe);
        self.told(key, true);
    }

    fn wait(&mut self) {
        let jump = match self.numbers.below(4) {
            0 => Duration::from_millis(1),
            1 => Duration::from_millis(700),
            2 => Duration::from_secs(7),
            _ => Duration::from_secs(100),
        };
        self.now += jump;
    }

    fn close(&mut self) {
        self.closing = true;
        let error = Error::Refused { status: 529, reason: "it ends".to_owned() };
        for (key, entry) in &mut self.entries {
            if entry.core.is_uploading() {
                entry.core.refuse_upload(Refusal::Draining, &error, self.now, &mut self.house);
                entry.queued = true;
                self.shadows.get_mut(key).expect("it has a client").ended = true;
            }
        }
    }

    /// A connection is closed by the door.
    fn cut(&mut self, key: usize) {
        self.entries.remove(&key);
        self.shadows.get_mut(&key).expect("it has a client").is_off = true;
    }

    /// Turns of the loop, until there is nothing to do.
    fn run(&mut self) {
        if self.now >= self.next_tick {
            self.next_tick = self.now + TICK;
            let overdue = self.entries.iter().filter(|(_, entry)| entry.core.is_overdue(self.now));
            for key in overdue.map(|(key, _)| *key).collect::<Vec<_>>() {
                self.cut(key);
            }
        }
        for turn in 0.. {
            assert!(turn < 10_000, "the loop has something to do for ever");
            let queued: Vec<usize> = self
                .entries
                .iter()
                .filter(|(_, entry)| entry.queued)
                .map(|(key, _)| *key)
                .collect();
            if queued.is_empty() {
                return;
            }
            for key in queued {
                self.turn(key);
            }
        }
    }

    fn turn(&mut self, key: usize) {
        let Some(entry) = self.entries.get_mut(&key) else { return };
        entry.queued = false;
        match entry.turn(&mut self.house, &mut self.scratch, self.now) {
            Next::Wait => {}
            Next::Again => entry.queued = true,
            Next::Gone => self.cut(key),
            Next::HandOver(request) => self.hand_over(key, *request),
        }
    }

    /// As the door admits a request.
    fn hand_over(&mut self, key: usize, request: Request<usize>) {
        let entry = self.entries.get_mut(&key).expect("its turn was this one");
        let stays = request.is_soon && self.numbers.one_in(2);
        let stayed = stays.then(|| entry.core.take_away());
        self.admit(key, request, stayed);
    }

    fn admit(&mut self, key: usize, request: Request<usize>, stayed: Option<Connection<usize>>) {
        let Request { ticket, body, share, manner, .. } = request;
        assert!(body.len() <= BODY_LIMIT);
        let slot = Slot::take(&self.admitted, MAX_IN_FLIGHT);
        match slot {
            Some(slot) if !self.closing && !self.short => {
                let room = Some((slot, share));
                self.jobs.push(Job { key, number: ticket, manner, room, stayed });
            }
            _ => {
                if let Some(core) = stayed {
                    self.bring_back(key, core);
                }
                let error = Error::Refused { status: 529, reason: "no room".to_owned() };
                let entry = self.entries.get_mut(&key).expect("its turn was this one");
                entry.core.refuse(
                    Some(&ticket),
                    Refusal::InFlight,
                    &error,
                    manner,
                    self.now,
                    &mut self.house,
                );
                entry.queued = true;
            }
        }
    }

    /// What holds at every moment.
    fn check(&self) {
        let admitted = self.admitted.load(Ordering::Relaxed);
        assert_eq!(admitted, self.jobs.len(), "a place for each message and none besides");
        assert!(admitted <= MAX_IN_FLIGHT && self.entries.len() <= MAX_CONNECTIONS);
        assert!(self.house.budget.left() <= BUDGET);
        for shadow in self.shadows.values() {
            shadow.check();
        }
    }

    /// Lets everything come to its end: whoever was neither cut nor left has an answer to
    /// everything.
    fn finish(&mut self) {
        self.short = false;
        for _ in 0..100_000 {
            let mut moved = false;
            for key in self.shadows.keys().copied().collect::<Vec<_>>() {
                let shadow = self.shadows.get_mut(&key).expect("it is one of them");
                let mut pipe = shadow.pipe.0.borrow_mut();
                pipe.room = usize::MAX / 2;
                // A piece at a time, as long as somebody reads.
                if !pipe.client_has_ended && pipe.up.is_empty() && !shadow.script.is_empty() {
                    let n = shadow.script.len().min(50_000);
                    pipe.up.extend(shadow.script.drain(..n));
                    moved |= self.entries.contains_key(&key);
                }
                drop(pipe);
                self.told(key, false);
            }
            self.run();
            while let Some(job) = self.jobs.pop() {
                moved = true;
                self.jobs.push(job);
                self.work();
                self.run();
            }
            self.check();
            if !moved {
                break;
            }
        }
        for (key, shadow) in &self.shadows {
            let told = shadow.check();
            let pipe = shadow.pipe.0.borrow();
            let is_owed = !shadow.is_off && !pipe.door_has_ended;
            assert!(
                !is_owed || told == shadow.asked.len(),
                "client {key} has {told} answers to {:?}: {:?}",
                shadow.asked,
                String::from_utf8_lossy(&pipe.down)
            );
        }
        self.entries.clear();
        assert_eq!(self.house.budget.left(), BUDGET, "no body keeps memory");
        assert_eq!(self.admitted.load(Ordering::Relaxed), 0, "no message keeps a place");
    }
}

fn run(seed: u64) {
    let mut world = World::new(seed);
    for _ in 0..STEPS {
        world.step();
    }
    world.finish();
}

#[test]
fn whatever_comes_in_whatever_order_everybody_gets_what_is_owed() {
    seeded::each_seed(run);
}
