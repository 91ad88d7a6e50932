//! Threads of our own.

#![forbid(unsafe_code)]

use std::io;
use std::thread;

/// Starts a thread with a name, by which the log tells it from those of libraries.
///
/// What it does is boxed: the standard library's way of starting a thread is compiled anew for
/// every closure.
///
/// # Errors
/// The system has no more threads.
pub(crate) fn start(
    name: &str,
    stack_bytes: usize,
    work: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    let work: Box<dyn FnOnce() + Send> = Box::new(work);
    let thread = thread::Builder::new().name(name.to_owned()).stack_size(stack_bytes);
    thread.spawn(work).map(drop)
}
