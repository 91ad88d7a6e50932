//! A wait in which nothing is asked: the client hears a ping now and then, and may leave.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::wait::{Phase, Stop, begin, enter, stopped, until_ready};
use crate::client::{Client, Failure};
use crate::config::Timeouts;

/// How often it is looked whether `is_over` before its time.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Waits for so long, or until `is_over`.
///
/// # Errors
/// [`Failure::ClientGone`].
pub fn pause(
    client: Rc<RefCell<dyn Client>>,
    wait: Duration,
    is_over: impl Fn() -> bool,
) -> Result<(), Failure> {
    let limit = wait + LOOK_EVERY;
    let timeouts = Timeouts { connect: limit, first_byte: limit, idle: limit };
    let _call = begin(client, timeouts, false);
    // That in which a client is told that it is not forgotten.
    enter(Phase::FirstByte);
    let until = Instant::now() + wait;
    while Instant::now() < until && !is_over() {
        let look = until.min(Instant::now() + LOOK_EVERY);
        if until_ready(&mut Vec::new(), Some(look)).is_err() {
            return match stopped() {
                Some(Stop::ClientGone) => Err(Failure::ClientGone),
                // The program ends, or the time is over.
                _ => Ok(()),
            };
        }
    }
    Ok(())
}
