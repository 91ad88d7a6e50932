//! The worker threads, which take requests from tiny_http themselves: grown on demand, gone when idle.

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tiny_http::{Request, Server};

use super::{Api, guarded, serve};
use crate::exchange::{Errand, TAKEN, Workers};
use crate::logging::quietly;
use crate::private;

/// Enough for TLS, JSON of 128 levels, and their frames.
const STACK_BYTES: usize = 256 << 10;

/// How long a worker without work stays.
const IDLE: Duration = Duration::from_secs(10);

/// Lower than the door, which keeps its latency when all cores are busy.
const NICE: i32 = 10;

/// The private connections. A request is on one for no longer than it takes to be taken.
const CONNECTIONS: usize = 2;

/// Workers beyond those of admitted messages: what a worker does after the answer's end takes no place.
/// Where there are as many, enough of them are about to be free.
const SPARE_THREADS: usize = 8;

/// The workers and the server that they serve.
pub struct Pool {
    api: Arc<Api>,
    front: Mutex<Option<Arc<Front>>>,
    /// Workers that wait for a request, less the requests that are on their way.
    free: AtomicIsize,
    threads: AtomicUsize,
    max_threads: usize,
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
    pub fn new(api: Arc<Api>, max_in_flight: usize) -> Pool {
        Pool {
            api,
            front: Mutex::default(),
            free: AtomicIsize::new(0),
            threads: AtomicUsize::new(0),
            max_threads: max_in_flight + SPARE_THREADS,
        }
    }

    fn current(&self) -> Option<Arc<Front>> {
        self.front.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What a worker does all its life.
    fn work(&self) {
        // SAFETY: plain system calls that change this thread's priority only.
        unsafe { libc::setpriority(libc::PRIO_PROCESS, libc::gettid() as libc::id_t, NICE) };
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
        let errand = self.api.errands.take(id);
        // The door may have gone, and the connection with it.
        let _ = acknowledge(request);
        match errand {
            Some(Errand::Exchange(exchange, line)) => {
                guarded(|| serve(&self.api, &exchange, line));
            }
            Some(Errand::Hello) => {}
            // Whoever has taken it back has also given back this worker.
            None => return,
        }
        self.free.fetch_add(1, Ordering::Relaxed);
    }
}

/// Says that the request has been taken, which is the whole answer on this connection.
fn acknowledge(request: Request) -> io::Result<()> {
    let mut writer = request.into_writer();
    writer.write_all(TAKEN)?;
    writer.flush()
}

/// The pool, as the door sees it.
pub struct Handle(pub Arc<Pool>);

impl Workers for Handle {
    fn reserve(&self) -> bool {
        let pool = &self.0;
        if pool.free.fetch_sub(1, Ordering::Relaxed) > 0 {
            return true;
        }
        let more = |threads: usize| (threads < pool.max_threads).then_some(threads + 1);
        if pool.threads.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_err() {
            return true;
        }
        let worker = Arc::clone(pool);
        let thread = thread::Builder::new()
            .name("worker".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || {
                // Requests keep their panics to themselves; this keeps the count right whatever is left.
                let _ = catch_unwind(AssertUnwindSafe(|| worker.work()));
                worker.threads.fetch_sub(1, Ordering::Relaxed);
            });
        // It waits, or there is no request.
        pool.free.fetch_add(1, Ordering::Relaxed);
        if thread.is_err() {
            pool.threads.fetch_sub(1, Ordering::Relaxed);
        }
        thread.is_ok()
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
        let old = self.0.front.lock().unwrap_or_else(PoisonError::into_inner).replace(front);
        if let Some(old) = old {
            // Those that wait there look for the new one.
            (0..self.0.threads.load(Ordering::Relaxed)).for_each(|_| old.server().unblock());
        }
        Ok(streams)
    }
}
