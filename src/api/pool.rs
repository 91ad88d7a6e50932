//! The worker threads: grown on demand, gone when idle.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Enough for TLS, JSON of 128 levels, and their frames.
const STACK_BYTES: usize = 256 << 10;

/// How long a worker without work stays.
const IDLE: Duration = Duration::from_secs(10);

/// Lower than the threads that answer health, which keep their latency when all cores are busy.
const NICE: i32 = 10;

type Job = Box<dyn FnOnce() + Send>;

/// Runs jobs on a bounded number of threads.
pub struct Pool {
    shared: Arc<Shared>,
    max_threads: usize,
}

struct Shared {
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
}

impl Pool {
    pub fn new(max_threads: usize) -> Pool {
        let shared = Shared { state: Mutex::default(), work: Condvar::new() };
        Pool { shared: Arc::new(shared), max_threads }
    }

    /// Runs `job` on a worker. Returns whether it was refused, because there is no thread at all.
    ///
    /// A thread is added exactly if fewer are idle than jobs are queued: an idle thread that has been
    /// promised to one job is not there for a second.
    pub fn run(&self, job: impl FnOnce() + Send + 'static) -> bool {
        let mut state = self.shared.lock();
        state.jobs.push_back(Box::new(job));
        if state.idle >= state.jobs.len() || state.threads >= self.max_threads {
            drop(state);
            self.shared.work.notify_one();
            return false;
        }
        state.threads += 1;
        let shared = Arc::clone(&self.shared);
        let thread = thread::Builder::new()
            .name("worker".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || shared.work());
        if thread.is_ok() {
            return false;
        }
        state.threads -= 1;
        if state.threads > 0 {
            // One of those at work takes it when it is done.
            return false;
        }
        state.jobs.pop_back();
        true
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a worker does all its life.
    fn work(&self) {
        // SAFETY: plain system calls that change this thread's priority only.
        unsafe { libc::setpriority(libc::PRIO_PROCESS, libc::gettid() as libc::id_t, NICE) };
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                // Jobs catch their own panics; this keeps the count right whatever they do.
                let _ = catch_unwind(AssertUnwindSafe(job));
                state = self.lock();
                continue;
            }
            state.idle += 1;
            let (woken, timeout) = self
                .work
                .wait_timeout_while(state, IDLE, |state| state.jobs.is_empty())
                .unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if timeout.timed_out() && state.jobs.is_empty() {
                state.threads -= 1;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_burst_strands_no_job() {
        for burst in [1, 8, 16, 64, 200] {
            let pool = Pool::new(burst);
            // Every job waits for all the others, so one that waits for a thread stops the test.
            let barrier = Arc::new(Barrier::new(burst));
            let (done, finished) = mpsc::channel();
            for _ in 0..burst {
                let (barrier, done) = (Arc::clone(&barrier), done.clone());
                assert!(!pool.run(move || {
                    barrier.wait();
                    done.send(()).unwrap();
                }));
            }
            for _ in 0..burst {
                finished.recv_timeout(Duration::from_secs(30)).unwrap();
            }
        }
    }

    #[test]
    fn panics_cost_no_thread() {
        let pool = Pool::new(4);
        let (done, finished) = mpsc::channel();
        for i in 0..100 {
            let done = done.clone();
            pool.run(move || {
                done.send(()).unwrap();
                assert!(i < 0, "a job that panics");
            });
            finished.recv_timeout(Duration::from_secs(30)).unwrap();
        }
        assert!(pool.shared.lock().threads <= 4);
    }
}
