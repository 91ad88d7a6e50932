//! The worker threads, which take requests from tiny_http themselves: grown on demand, gone when
//! idle.
//!
//! One that has answered stands by for a moment, and is handed the next message without the private
//! request: under load that would be two more threads to wake for each.

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use tiny_http::{Request, Server};

use super::guarded;
use crate::exchange::{Errand, Errands, Exchange, Regular, TAKEN, Workers};
use crate::heap;
use crate::line::Line;
use crate::logging::quietly;
use crate::os;
use crate::private;
use crate::threads;

/// Enough for TLS, JSON of 128 levels, and their frames.
const STACK_BYTES: usize = 256 << 10;

/// How long a worker that has answered stands by for the next message.
const STAND_BY: Duration = Duration::from_millis(500);

/// How long a worker without work stays.
const IDLE: Duration = Duration::from_secs(10);

/// Lower than the door, which keeps its latency when all cores are busy.
const NICE: i32 = 10;

/// The private connections. A request is on one for no longer than it takes to be taken.
const CONNECTIONS: usize = 2;

/// Workers beyond those of admitted messages: what a worker does after the answer's end takes no
/// place. Where there are as many, enough of them are about to be free.
const SPARE_THREADS: usize = 8;

/// Answers a request on the client's connection.
type Serve = Box<dyn Fn(&Exchange, Line) + Send + Sync>;

/// The workers and the server that they serve.
pub(super) struct Pool {
    serve: Serve,
    errands: Arc<Errands>,
    front: Mutex<Option<Arc<Front>>>,
    /// The last to come is the first to be asked, so that as few as can be are kept awake.
    standing_by: Mutex<Vec<Arc<Seat>>>,
    /// Workers that wait for a request, less the requests that are on their way.
    free: AtomicIsize,
    /// Workers that wait for their last client's next request, for a moment.
    staying: AtomicUsize,
    threads: AtomicUsize,
    max_threads: usize,
}

/// Where a worker stands by.
struct Seat {
    worker: Thread,
    errand: Mutex<Option<Errand>>,
}

/// tiny_http's server behind its private connections.
struct Front(Option<Server>);

impl Front {
    /// tiny_http's accepting thread may not be had, which is a panic there.
    fn new(listener: std::os::unix::net::UnixListener) -> io::Result<Front> {
        quietly(|| Server::from_listener(listener, None))
            .map_err(|_| io::Error::other("no thread could be started"))?
            .map(|server| Front(Some(server)))
            .map_err(io::Error::other)
    }

    fn server(&self) -> &Server {
        self.0.as_ref().expect("it is taken by drop alone")
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        // After everything is given back it panics, since its address is abstract.
        let _ = quietly(|| drop(self.0.take()));
    }
}

impl Pool {
    pub(super) fn new(serve: Serve, errands: Arc<Errands>, max_in_flight: usize) -> Pool {
        Pool {
            serve,
            errands,
            front: Mutex::default(),
            standing_by: Mutex::default(),
            free: AtomicIsize::new(0),
            staying: AtomicUsize::new(0),
            threads: AtomicUsize::new(0),
            max_threads: max_in_flight + SPARE_THREADS,
        }
    }

    fn current(&self) -> Option<Arc<Front>> {
        lock(&self.front).clone()
    }

    /// What a worker does all its life.
    fn work(&self) {
        os::be_nice(NICE);
        let _keeping = heap::keep();
        while let Some(front) = self.current() {
            match front.server().recv_timeout(IDLE) {
                Ok(Some(request)) => self.run(request),
                // It may also have been told to look for a new server.
                Ok(None) => {
                    let is_current = self.current().is_some_and(|new| Arc::ptr_eq(&new, &front));
                    if is_current && self.may_go() {
                        // tiny_http may have told of a request just when the time was over.
                        let Ok(Some(request)) = front.server().try_recv() else { return };
                        self.free.fetch_add(1, Ordering::Relaxed);
                        self.run(request);
                    }
                }
                // That the listener is shut, told once.
                Err(_) => {}
            }
        }
    }

    /// Whether a worker that waits may go: another one does.
    fn may_go(&self) -> bool {
        let less = |free: isize| (free > 1).then(|| free - 1);
        self.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }

    /// Takes the errand that the request names.
    fn run(&self, request: Request) {
        let id = request.url().trim_start_matches('/').parse().unwrap_or(0);
        let errand = self.errands.take(id);
        // The door may have gone, and the connection with it.
        let _ = acknowledge(request);
        match errand {
            Some(Errand::Hello) => {}
            Some(mut errand) => {
                let seat = Arc::new(Seat { worker: thread::current(), errand: Mutex::default() });
                while let Errand::Exchange(exchange, line, regular) = errand {
                    guarded(|| (self.serve)(&exchange, line));
                    drop(exchange);
                    let next = regular.and_then(|regular| self.stay(regular));
                    let Some(next) = next.or_else(|| self.stand_by(&seat)) else { break };
                    errand = next;
                }
                heap::rest();
            }
            // Whoever has taken it back has also given back this worker.
            None => return,
        }
        self.free.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits for the next request of a client that has just been answered, unless all the threads
    /// there may be are there: then others may need this one.
    fn stay(&self, regular: Arc<dyn Regular>) -> Option<Errand> {
        if self.threads.load(Ordering::Relaxed) >= self.max_threads {
            return None;
        }
        self.staying.fetch_add(1, Ordering::Relaxed);
        let mut next = None;
        guarded(|| next = regular.next());
        self.staying.fetch_sub(1, Ordering::Relaxed);
        next
    }

    /// Waits for another errand, which comes without a private request.
    fn stand_by(&self, seat: &Arc<Seat>) -> Option<Errand> {
        lock(&self.standing_by).push(Arc::clone(seat));
        let until = Instant::now() + STAND_BY;
        loop {
            let errand = lock(&seat.errand).take();
            if errand.is_some() {
                return errand;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let mut seats = lock(&self.standing_by);
                if let Some(at) = seats.iter().position(|other| Arc::ptr_eq(other, seat)) {
                    seats.remove(at);
                    return None;
                }
                drop(seats);
                // Whoever has taken the seat away is about to fill it.
                thread::park();
            } else {
                thread::park_timeout(left);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says that the request has been taken, which is the whole answer on this connection.
fn acknowledge(request: Request) -> io::Result<()> {
    let mut writer = request.into_writer();
    writer.write_all(TAKEN)?;
    writer.flush()
}

/// The pool, as the door sees it.
pub(super) struct Handle(pub Arc<Pool>);

impl Workers for Handle {
    fn hand(&self, errand: Errand) -> Result<(), Errand> {
        let Some(seat) = lock(&self.0.standing_by).pop() else { return Err(errand) };
        *lock(&seat.errand) = Some(errand);
        seat.worker.unpark();
        Ok(())
    }

    fn reserve(&self) -> io::Result<()> {
        let pool = &self.0;
        if pool.free.fetch_sub(1, Ordering::Relaxed) > 0 {
            return Ok(());
        }
        let more = |threads: usize| (threads < pool.max_threads).then_some(threads + 1);
        if pool.threads.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_err() {
            return Ok(());
        }
        let worker = Arc::clone(pool);
        let thread = threads::start("worker", STACK_BYTES, move || {
            // Requests keep their panics to themselves; this keeps the count right whatever is
            // left.
            let _ = catch_unwind(AssertUnwindSafe(|| worker.work()));
            worker.threads.fetch_sub(1, Ordering::Relaxed);
        });
        if thread.is_err() {
            pool.threads.fetch_sub(1, Ordering::Relaxed);
            // One that stays with its client is about to be free.
            if pool.staying.load(Ordering::Relaxed) > 0 {
                return Ok(());
            }
        }
        // It waits, or there is no request.
        pool.free.fetch_add(1, Ordering::Relaxed);
        thread
    }

    fn has_free(&self) -> bool {
        self.0.free.load(Ordering::Relaxed) > 0
    }

    fn release(&self) {
        self.0.free.fetch_add(1, Ordering::Relaxed);
    }

    fn open(&self) -> io::Result<Vec<UnixStream>> {
        let (listener, streams) = private::closed_circle(CONNECTIONS)?;
        let front = Arc::new(Front::new(listener)?);
        let old = lock(&self.0.front).replace(front);
        if let Some(old) = old {
            // Those that wait there look for the new one.
            (0..self.0.threads.load(Ordering::Relaxed)).for_each(|_| old.server().unblock());
        }
        Ok(streams)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn pool(max_in_flight: usize) -> Handle {
        let serve = Box::new(|_: &Exchange, line| drop(line));
        Handle(Arc::new(Pool::new(serve, Arc::default(), max_in_flight)))
    }

    /// Asks on a connection and waits until somebody has taken it.
    fn ask(handle: &Handle, mut stream: &UnixStream, id: u64) {
        handle.reserve().unwrap();
        handle.0.errands.hand_over(id, Errand::Hello);
        stream.write_all(format!("GET /{id} HTTP/1.1\r\n\r\n").as_bytes()).unwrap();
        let mut taken = [0; TAKEN.len()];
        stream.read_exact(&mut taken).unwrap();
        assert_eq!(taken, TAKEN);
        assert!(handle.0.errands.take(id).is_none());
    }

    #[test]
    fn requests_are_taken_on_every_connection_in_whatever_number() {
        let handle = pool(4);
        let streams = handle.open().unwrap();
        for id in 1..200 {
            ask(&handle, &streams[id as usize % streams.len()], id);
        }
        // One worker is enough for who asks one after another, give or take a moment.
        assert!(handle.0.threads.load(Ordering::Relaxed) <= 4 + SPARE_THREADS);
    }

    #[test]
    fn a_burst_strands_no_request() {
        let handle = pool(64);
        let streams = handle.open().unwrap();
        for id in 1..=64 {
            handle.reserve().unwrap();
            handle.0.errands.hand_over(id, Errand::Hello);
            let mut stream = &streams[id as usize % streams.len()];
            stream.write_all(format!("GET /{id} HTTP/1.1\r\n\r\n").as_bytes()).unwrap();
        }
        for mut stream in &streams {
            stream.read_exact(&mut [0; 32 * TAKEN.len()]).unwrap();
        }
    }

    /// A new server takes the place of one that has died, as often as it has to.
    #[test]
    fn a_new_server_leaves_nothing_of_the_old_one() {
        let handle = pool(4);
        let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let mut before = 0;
        for round in 0..20 {
            let streams = handle.open().unwrap();
            for (n, stream) in streams.iter().enumerate() {
                ask(&handle, stream, 1 + n as u64);
            }
            // Other tests open and close some of their own meanwhile.
            if round == 4 {
                before = descriptors();
            }
        }
        assert!(descriptors() < before + 60, "{before} -> {}", descriptors());
        let front = Arc::downgrade(&handle.0.current().unwrap());
        drop(handle.open().unwrap());
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        while front.strong_count() > 0 {
            assert!(std::time::Instant::now() < deadline, "the old server stays");
            thread::yield_now();
        }
    }
}
