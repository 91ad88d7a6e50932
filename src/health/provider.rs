//! What is known of the provider, from real traffic alone, and the breaker that follows from it.
//!
//! Nothing is ever asked for the sake of health, so nothing is ever paid for it.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::error::{Error, Retry};

/// Failures in a row that open the breaker, and for how long; doubled up to the longest.
const OPEN_AFTER: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Failures in a row from which the provider counts as failing.
const DEGRADED_AFTER: u32 = 3;

/// How a call ended, as far as it tells about the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It answered, or refused what was the client's fault.
    Answered,
    /// It is there, and has too much to do.
    Limited,
    /// It could not be reached, was silent, failed, or does not take the key.
    Failed(Error),
    /// The call says nothing about it: the client left.
    Unknown,
}

impl Outcome {
    /// What an error says about the provider.
    pub fn of(error: &Error) -> Outcome {
        match error {
            Error::Upstream { status: 429 | 529, .. } => Outcome::Limited,
            Error::Upstream { status: 401 | 403 | 500..=599, .. } | Error::Unreachable { .. } => {
                Outcome::Failed(error.clone())
            }
            Error::Upstream { .. } => Outcome::Answered,
            Error::Refused { .. } => Outcome::Unknown,
            Error::Protocol { .. } | Error::Request { .. } | Error::ThreadUnsupported => {
                Outcome::Answered
            }
        }
    }
}

/// What is known.
#[derive(Debug, Default)]
pub struct ProviderState {
    consecutive_failures: AtomicU32,
    is_known: AtomicBool,
    is_open: AtomicBool,
    /// The last outcome is a probe's, not a message's.
    is_probed: AtomicBool,
    /// Seconds since 1970; 0 for never.
    last_success: AtomicU64,
    breaker: Mutex<Breaker>,
}

#[derive(Debug, Default)]
struct Breaker {
    until: Option<Instant>,
    pause: Duration,
    /// A call is finding out whether the provider is back.
    trial: bool,
    last_error: Option<Error>,
}

/// Permission to call the provider; tells how the call ended when it is dropped.
#[derive(Debug)]
pub struct Permit<'a> {
    state: &'a ProviderState,
    outcome: Outcome,
}

impl Permit<'_> {
    pub fn ended(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.outcome != Outcome::Unknown {
            self.state.is_probed.store(false, Ordering::Relaxed);
        }
        self.state.record(std::mem::replace(&mut self.outcome, Outcome::Unknown));
    }
}

impl ProviderState {
    /// Lets a call through, unless the provider has failed so often that it is left alone for a while.
    ///
    /// # Errors
    /// What the provider said last if it does not take the key; else 529 with the time of the next try.
    pub fn permit(&self) -> Result<Permit<'_>, Error> {
        let permit = Permit { state: self, outcome: Outcome::Unknown };
        if !self.is_open.load(Ordering::Relaxed) {
            return Ok(permit);
        }
        let mut breaker = self.lock();
        let left = breaker
            .until
            .map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()));
        if left.is_zero() && !breaker.trial {
            breaker.trial = true;
            return Ok(permit);
        }
        std::mem::forget(permit);
        match &breaker.last_error {
            Some(error @ Error::Upstream { status: 401 | 403, .. }) => Err(error.clone()),
            last => {
                let seconds = left.as_secs() + 1;
                let last = last.as_ref().map_or(String::new(), |error| format!(" ({error})"));
                Err(Error::Upstream {
                    status: 529,
                    message: format!(
                        "the provider has failed {OPEN_AFTER} times in a row{last}; \
                         it is asked again in {seconds} s"
                    ),
                    retry: Retry { after: Some(seconds.to_string()), ..Retry::default() },
                })
            }
        }
    }

    /// Takes what a probe between messages has found.
    pub fn probed(&self, outcome: Outcome) {
        self.is_probed.store(true, Ordering::Relaxed);
        self.record(outcome);
    }

    /// Where the last word on the provider comes from.
    pub fn source(&self) -> &'static str {
        if !self.is_known.load(Ordering::Relaxed) {
            "none"
        } else if self.is_probed.load(Ordering::Relaxed) {
            "probe"
        } else {
            "traffic"
        }
    }

    fn record(&self, outcome: Outcome) {
        match outcome {
            Outcome::Answered => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                self.last_success.store(now.as_secs(), Ordering::Relaxed);
                self.is_known.store(true, Ordering::Relaxed);
                if self.consecutive_failures.swap(0, Ordering::Relaxed) >= DEGRADED_AFTER {
                    log::info!("the provider answers again");
                }
                if self.is_open.swap(false, Ordering::Relaxed) {
                    *self.lock() = Breaker::default();
                }
            }
            Outcome::Failed(error) => {
                self.is_known.store(true, Ordering::Relaxed);
                let failures = self.consecutive_failures.fetch_add(1, Ordering::Relaxed) + 1;
                if failures == DEGRADED_AFTER {
                    log::warn!("the provider is failing: {error}");
                }
                let mut breaker = self.lock();
                breaker.last_error = Some(error);
                let is_open = self.is_open.load(Ordering::Relaxed);
                if breaker.trial || (failures >= OPEN_AFTER && !is_open) {
                    breaker.pause =
                        if is_open { (breaker.pause * 2).min(LONGEST_PAUSE) } else { FIRST_PAUSE };
                    breaker.until = Some(Instant::now() + breaker.pause);
                    breaker.trial = false;
                    self.is_open.store(true, Ordering::Relaxed);
                    log::warn!("the provider is left alone for {} s", breaker.pause.as_secs());
                }
            }
            Outcome::Limited | Outcome::Unknown => {
                if self.is_open.load(Ordering::Relaxed) {
                    self.lock().trial = false;
                }
            }
        }
    }

    /// Whether its last calls failed; `None` before the first.
    pub fn is_up(&self) -> Option<bool> {
        self.is_known.load(Ordering::Relaxed).then(|| !self.is_failing())
    }

    /// Whether it has failed several times in a row.
    pub fn is_failing(&self) -> bool {
        self.consecutive_failures.load(Ordering::Relaxed) >= DEGRADED_AFTER
    }

    pub fn is_circuit_open(&self) -> bool {
        self.is_open.load(Ordering::Relaxed)
    }

    pub fn consecutive_failures(&self) -> u32 {
        self.consecutive_failures.load(Ordering::Relaxed)
    }

    /// Seconds since 1970 of the last call that was answered.
    pub fn last_success(&self) -> Option<u64> {
        Some(self.last_success.load(Ordering::Relaxed)).filter(|seconds| *seconds > 0)
    }

    /// The kind of the last failure, if it is still failing: Anthropic's error type.
    pub fn last_error_class(&self) -> Option<&'static str> {
        if self.consecutive_failures() == 0 {
            return None;
        }
        self.lock().last_error.as_ref().map(Error::kind)
    }

    fn lock(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(status: u16) -> Outcome {
        let message = "why".to_owned();
        Outcome::of(&Error::Upstream { status, message, retry: Retry::default() })
    }

    fn call(state: &ProviderState, outcome: Outcome) -> Result<(), Error> {
        state.permit().map(|permit| permit.ended(outcome))
    }

    #[test]
    fn opens_after_failures_in_a_row_and_tries_once() {
        let state = ProviderState::default();
        assert_eq!(state.is_up(), None);
        for _ in 0..4 {
            call(&state, failure(500)).unwrap();
        }
        call(&state, failure(422)).unwrap();
        assert_eq!((state.is_up(), state.consecutive_failures()), (Some(true), 0));
        for _ in 0..5 {
            call(&state, failure(503)).unwrap();
        }
        assert!(state.is_circuit_open() && state.is_failing());
        let refused = call(&state, Outcome::Answered).unwrap_err();
        assert_eq!((refused.status(), refused.retry().after), (529, Some("10".to_owned())));

        state.lock().until = Some(Instant::now());
        let trial = state.permit().unwrap();
        assert!(state.permit().is_err(), "one call at a time finds out");
        drop(trial);
        call(&state, failure(500)).unwrap();
        assert_eq!(state.lock().pause, Duration::from_secs(20));
        state.lock().until = Some(Instant::now());
        call(&state, Outcome::Answered).unwrap();
        assert_eq!((state.is_up(), state.is_circuit_open()), (Some(true), false));
        assert!(state.last_success().is_some());
    }

    #[test]
    fn a_key_that_is_not_taken_is_said_again() {
        let state = ProviderState::default();
        for _ in 0..5 {
            call(&state, failure(401)).unwrap();
        }
        assert_eq!(call(&state, Outcome::Answered).unwrap_err().status(), 401);
        assert_eq!(state.last_error_class(), Some("authentication_error"));
    }
}
