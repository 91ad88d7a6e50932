//! What is known of a provider, from real traffic alone, the breaker that follows from it, and when
//! its keys are to rest.
//!
//! Nothing is ever asked for the sake of health, so nothing is ever paid for it.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::keys::Keys;
use super::outcome::Outcome;
use super::words::Words;
use crate::error::{Cause, Error, Retry};
use crate::session::Session;

/// Failures in a row that open the breaker, and up to how long its pause is doubled.
const OPEN_AFTER: u32 = 5;
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Failures in a row from which the provider counts as failing.
const DEGRADED_AFTER: u32 = 3;

/// How long a key rests that was limited without a word of how long, that was refused, and at most.
const LIMITED_REST: Duration = Duration::from_secs(10);
const REFUSED_REST: Duration = Duration::from_secs(60);
const LONGEST_REST: Duration = Duration::from_secs(3600);

/// What is known.
#[derive(Debug)]
pub struct ProviderState {
    name: String,
    /// How long the provider is left alone at first.
    first_pause: Duration,
    keys: Keys,
    /// How often it has been asked: who was asked later knows better.
    asked: AtomicU64,
    /// When the call was made that failed last, and the one that was answered last, in that count.
    failed_at: AtomicU64,
    answered_at: AtomicU64,
    consecutive_failures: AtomicU32,
    is_known: AtomicBool,
    is_open: AtomicBool,
    /// How often the breaker has opened: a call finds out for the time it was let through in.
    openings: AtomicU64,
    /// The last outcome is a probe's, not a message's.
    is_probed: AtomicBool,
    /// Seconds since 1970; 0 for never.
    last_success: AtomicU64,
    breaker: Mutex<Breaker>,
    words: Mutex<Words>,
    /// The time of a simulation.
    #[cfg(test)]
    pub(super) simulated: Mutex<Option<Instant>>,
}

#[derive(Debug, Default)]
struct Breaker {
    until: Option<Instant>,
    pause: Duration,
    /// A call is finding out whether the provider is back.
    trial: bool,
    last_error: Option<Error>,
    /// A probe has found it, not a message.
    found_by_probe: bool,
}

impl Breaker {
    /// Whether a probe that goes well disproves the last error: what an answer was, only an answer
    /// can take back.
    fn is_disproved_by_probe(&self) -> bool {
        let is_about_reaching = |error: &Error| {
            let cause = error.cause();
            matches!(
                cause,
                Cause::Dns
                    | Cause::ConnectRefused
                    | Cause::ConnectTimeout
                    | Cause::Unreachable
                    | Cause::Tls
                    | Cause::Proxy
            )
        };
        self.found_by_probe || self.last_error.as_ref().is_none_or(is_about_reaching)
    }
}

/// Permission to call the provider; tells how the call ended when it is dropped.
#[derive(Debug)]
pub struct Permit<'a> {
    state: &'a ProviderState,
    outcome: Outcome,
    /// Where it is to find out whether the provider is back, which opening of the breaker that was.
    trial_of: Option<u64>,
    succeeded: bool,
    /// When it was taken, in the count of calls.
    asked: u64,
    /// Which of the provider's keys to use.
    pub key: usize,
}

impl Permit<'_> {
    /// The provider has begun to answer: whoever else waits for it to be back may try.
    pub fn begun(&self) {
        if self.is_trial() {
            self.state.end_trial();
        }
    }

    /// Whether it is still what others wait for: another call may have found out meanwhile, and the
    /// breaker have opened anew.
    fn is_trial(&self) -> bool {
        let opening = self.state.openings.load(Ordering::Relaxed);
        self.trial_of == Some(opening) && self.state.is_circuit_open()
    }

    /// The message was answered.
    pub fn succeeded(mut self) {
        self.succeeded = true;
        self.outcome = Outcome::Answered;
    }

    /// Says what became of the call.
    pub fn ended(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }

    /// The call failed with `error`, whose words are kept, also where the provider is well and it
    /// is a setting or the conversation that must be changed.
    pub fn failed(self, error: &Error, outcome: Outcome) {
        if outcome != Outcome::Unknown {
            self.state.tell(error, Some(self.key));
        }
        self.ended(outcome);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.outcome != Outcome::Unknown {
            self.state.is_probed.store(false, Ordering::Relaxed);
        }
        let outcome = std::mem::replace(&mut self.outcome, Outcome::Unknown);
        let rest = match &outcome {
            Outcome::Limited(duration) => Some(duration.unwrap_or(LIMITED_REST)),
            // The only key there is gets no rest: the next call tells whether it was put right.
            Outcome::Refused(_) if self.state.keys.count() > 1 => Some(REFUSED_REST),
            _ => None,
        };
        match (&outcome, rest) {
            (_, Some(rest)) => {
                let until = self.state.now() + rest.min(LONGEST_REST);
                self.state.keys.rest(self.key, self.asked, until);
            }
            // What was refused for the client's fault says nothing about the key.
            _ if self.succeeded => self.state.keys.wake(self.key, self.asked),
            _ => {}
        }
        self.state.record(outcome, self.asked, self.is_trial());
    }
}

impl ProviderState {
    /// Nothing is known yet of the provider `name`, which has so many keys.
    pub fn new(name: &str, keys: usize, first_pause: Duration) -> ProviderState {
        ProviderState {
            name: name.to_owned(),
            first_pause,
            keys: Keys::new(keys, Instant::now()),
            asked: AtomicU64::new(0),
            failed_at: AtomicU64::new(0),
            answered_at: AtomicU64::new(0),
            consecutive_failures: AtomicU32::new(0),
            is_known: AtomicBool::new(false),
            is_open: AtomicBool::new(false),
            openings: AtomicU64::new(0),
            is_probed: AtomicBool::new(false),
            last_success: AtomicU64::new(0),
            breaker: Mutex::default(),
            words: Mutex::new(Words::new(keys.max(1))),
            #[cfg(test)]
            simulated: Mutex::default(),
        }
    }

    fn now(&self) -> Instant {
        #[cfg(test)]
        if let Some(now) = *self.simulated.lock().unwrap_or_else(PoisonError::into_inner) {
            return now;
        }
        Instant::now()
    }

    /// The number of a call that is made now.
    pub fn asked(&self) -> u64 {
        self.asked.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// How long each key rests.
    pub fn rests_left(&self) -> impl Iterator<Item = Duration> {
        self.keys.rests_left(self.now())
    }

    /// How many keys rest.
    pub fn resting_keys(&self) -> usize {
        self.rests_left().filter(|left| !left.is_zero()).count()
    }

    /// Whether another provider is the better choice for now: it is left alone, or all of its keys
    /// rest.
    pub fn is_resting(&self) -> bool {
        if self.is_open.load(Ordering::Relaxed) {
            let breaker = self.lock();
            return breaker.trial || breaker.until.is_some_and(|until| self.now() < until);
        }
        self.resting_keys() == self.keys.count()
    }

    /// Whether another of its keys can be tried.
    pub fn has_key_awake(&self) -> bool {
        self.resting_keys() < self.keys.count()
    }

    /// Lets a call through, unless the provider has failed so often that it is left alone for a
    /// while.
    ///
    /// # Errors
    /// What the provider said last if it does not take the key; else 503 with the time of the next
    /// try.
    pub fn permit(&self, session: Option<Session>) -> Result<Permit<'_>, Error> {
        let permit = |trial_of| Permit {
            state: self,
            outcome: Outcome::Unknown,
            trial_of,
            succeeded: false,
            asked: self.asked(),
            key: self.keys.next(session, self.now()),
        };
        if !self.is_open.load(Ordering::Relaxed) {
            return Ok(permit(None));
        }
        let mut breaker = self.lock();
        let left = breaker
            .until
            .map_or(Duration::ZERO, |until| until.saturating_duration_since(self.now()));
        if left.is_zero() && !breaker.trial {
            breaker.trial = true;
            return Ok(permit(Some(self.openings.load(Ordering::Relaxed))));
        }
        match &breaker.last_error {
            Some(error @ Error::Upstream { status: 401..=403, .. }) => Err(error.clone()),
            last => {
                let seconds = left.as_secs() + 1;
                let said = last.as_ref().map_or(String::new(), |error| format!("{error}; "));
                Err(Error::BreakerOpen {
                    last: last.clone().map(Box::new),
                    reason: format!(
                        "{said}{} has failed {OPEN_AFTER} times in a row and is asked again in \
                         {seconds} s",
                        self.name
                    ),
                    retry: Retry { after: Some(seconds.to_string()), ..Retry::default() },
                })
            }
        }
    }

    /// Keeps an error's words.
    fn tell(&self, error: &Error, key: Option<usize>) {
        let is_first = self.consecutive_failures() == 0 && self.resting_keys() == 0;
        self.words().add(error, key, is_first);
    }

    /// What its failures said.
    pub fn words(&self) -> MutexGuard<'_, Words> {
        self.words.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long it is left alone still: by the breaker, or since all of its keys rest.
    pub fn asked_again_in(&self) -> Option<Duration> {
        if self.is_circuit_open() {
            let until = self.lock().until?;
            return Some(until.saturating_duration_since(self.now()));
        }
        self.rests_left().min().filter(|left| !left.is_zero())
    }

    /// Takes what a probe between messages has found, which was made as the call `asked`.
    pub fn probed(&self, outcome: Outcome, asked: u64) {
        if outcome == Outcome::Answered
            && self.consecutive_failures() > 0
            && !self.lock().is_disproved_by_probe()
        {
            return;
        }
        if let Outcome::Failed(error) | Outcome::Refused(error) = &outcome {
            self.tell(error, None);
        }
        self.is_probed.store(true, Ordering::Relaxed);
        let failed = matches!(outcome, Outcome::Failed(_) | Outcome::Refused(_));
        self.record(outcome, asked, false);
        if failed {
            self.lock().found_by_probe = true;
        }
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

    /// Takes how the call `asked` ended. What was made before the last call that ended otherwise
    /// tells of a time that is over.
    fn record(&self, outcome: Outcome, asked: u64, was_trial: bool) {
        match outcome {
            Outcome::Answered => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                self.last_success.store(now.as_secs(), Ordering::Relaxed);
                self.is_known.store(true, Ordering::Relaxed);
                self.answered_at.fetch_max(asked, Ordering::Relaxed);
                if asked < self.failed_at.load(Ordering::Relaxed) {
                    if was_trial {
                        self.end_trial();
                    }
                    return;
                }
                if self.consecutive_failures.swap(0, Ordering::Relaxed) >= DEGRADED_AFTER {
                    log::info!("the provider {} answers again", self.name);
                }
                if self.is_open.swap(false, Ordering::Relaxed) {
                    *self.lock() = Breaker::default();
                }
            }
            // Another key may be taken.
            Outcome::Refused(_) if self.keys.count() > 1 && self.has_key_awake() => {
                if was_trial {
                    self.end_trial();
                }
            }
            Outcome::Failed(_) | Outcome::Refused(_)
                if asked < self.answered_at.load(Ordering::Relaxed) =>
            {
                if was_trial {
                    self.end_trial();
                }
            }
            Outcome::Failed(error) | Outcome::Refused(error) => {
                self.is_known.store(true, Ordering::Relaxed);
                self.failed_at.fetch_max(asked, Ordering::Relaxed);
                let failures = self.consecutive_failures.fetch_add(1, Ordering::Relaxed) + 1;
                if failures == DEGRADED_AFTER {
                    log::warn!("the provider {} is failing: {error}", self.name);
                }
                let mut breaker = self.lock();
                breaker.last_error = Some(error);
                breaker.found_by_probe = false;
                let is_open = self.is_open.load(Ordering::Relaxed);
                if was_trial || (failures >= OPEN_AFTER && !is_open) {
                    let doubled = (breaker.pause * 2).min(LONGEST_PAUSE);
                    breaker.pause = if is_open { doubled } else { self.first_pause };
                    breaker.until = Some(self.now() + breaker.pause);
                    breaker.trial = false;
                    if !self.is_open.swap(true, Ordering::Relaxed) {
                        self.openings.fetch_add(1, Ordering::Relaxed);
                    }
                    let pause = breaker.pause.as_secs_f64();
                    log::warn!("the provider {} is left alone for {pause} s", self.name);
                }
            }
            Outcome::Limited(_) | Outcome::Unknown if was_trial => self.end_trial(),
            Outcome::Limited(_) | Outcome::Unknown => {}
        }
    }

    /// The call that was to find out has found out nothing.
    fn end_trial(&self) {
        if self.is_open.load(Ordering::Relaxed) {
            self.lock().trial = false;
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

    /// Whether the provider is left alone after failures.
    pub fn is_circuit_open(&self) -> bool {
        self.is_open.load(Ordering::Relaxed)
    }

    /// How many calls have failed since one was answered.
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
        Outcome::of(&Error::upstream(status, message, Retry::default()))
    }

    fn fresh(keys: usize) -> ProviderState {
        ProviderState::new("groq", keys, Duration::from_secs(10))
    }

    fn call(state: &ProviderState, outcome: Outcome) -> Result<(), Error> {
        state.permit(None).map(|permit| permit.ended(outcome))
    }

    #[test]
    fn opens_after_failures_in_a_row_and_tries_once() {
        let state = fresh(1);
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
        assert_eq!((refused.status(), refused.retry().after), (503, Some("10".to_owned())));

        state.lock().until = Some(Instant::now());
        let trial = state.permit(None).unwrap();
        assert!(state.permit(None).is_err(), "one call at a time finds out");
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
        let state = fresh(1);
        for _ in 0..5 {
            call(&state, failure(401)).unwrap();
        }
        assert_eq!(call(&state, Outcome::Answered).unwrap_err().status(), 502);
        assert_eq!(state.last_error_class(), Some("api_error"));
    }

    #[test]
    fn keys_are_used_in_turn_and_rest_when_they_are_limited_or_refused() {
        let state = fresh(3);
        let keys = |n: usize| -> Vec<usize> {
            (0..n).map(|_| state.permit(None).expect("it is up").key).collect()
        };
        assert_eq!(keys(4), [0, 1, 2, 0]);
        let limited = state.permit(None).unwrap();
        assert_eq!(limited.key, 1);
        limited.ended(Outcome::Limited(Some(Duration::from_secs(1000))));
        assert_eq!(keys(4), [2, 0, 2, 2]);
        assert!(!state.is_resting() && state.has_key_awake());
        let refused = state.permit(None).unwrap();
        assert_eq!(refused.key, 0);
        refused.ended(failure(401));
        assert_eq!((state.resting_keys(), state.consecutive_failures()), (2, 0));
        call(&state, Outcome::Limited(None)).unwrap();
        assert!(state.is_resting());
        // Better a call that may be refused than none; one that is answered ends the rest.
        assert_eq!(keys(1), [2]);
        call(&state, Outcome::Answered).unwrap();
        assert!(state.is_resting(), "the client's fault says nothing about the key");
        state.permit(None).unwrap().succeeded();
        assert!(!state.is_resting() && state.resting_keys() == 2);
    }

    #[test]
    fn a_session_stays_on_its_key_until_that_is_refused() {
        let state = fresh(2);
        let names: Vec<String> = (0..20).map(|n| format!("session {n}")).collect();
        let sessions = names.iter().map(|name| Session::of(Some(name), None));
        let sessions: Vec<Option<Session>> = sessions.collect();
        let key = |session| state.permit(session).expect("it is up").key;
        let own: Vec<usize> = sessions.iter().map(|session| key(*session)).collect();
        assert!(own.contains(&0) && own.contains(&1), "both are used: {own:?}");
        for _ in 0..3 {
            let again: Vec<usize> = sessions.iter().map(|session| key(*session)).collect();
            assert_eq!(again, own);
        }
        // One of them is limited: its sessions go to the other, and stay when it is back.
        let limited = sessions[own.iter().position(|key| *key == 0).expect("one")];
        let permit = state.permit(limited).unwrap();
        permit.ended(Outcome::Limited(Some(Duration::from_secs(100))));
        assert!(sessions.iter().all(|session| key(*session) == 1));
        let later = Instant::now() + Duration::from_secs(101);
        *state.simulated.lock().unwrap() = Some(later);
        assert_eq!(state.resting_keys(), 0);
        assert!(sessions.iter().all(|session| key(*session) == 1), "a cache is warm there");
        // After a pause it is not.
        *state.simulated.lock().unwrap() = Some(later + Duration::from_secs(301));
        let back: Vec<usize> = sessions.iter().map(|session| key(*session)).collect();
        assert_eq!(back, own);
    }

    #[test]
    fn an_older_success_overrules_no_newer_refusal_of_a_key() {
        let state = fresh(1);
        let older = state.permit(None).unwrap();
        call(&state, Outcome::Limited(Some(Duration::from_secs(60)))).unwrap();
        older.succeeded();
        assert!(state.is_resting(), "the stream began before the limit was met");
        state.permit(None).unwrap().succeeded();
        assert!(!state.is_resting());
    }

    #[test]
    fn an_older_success_closes_no_breaker_and_an_older_failure_opens_none() {
        let state = fresh(1);
        let older = state.permit(None).unwrap();
        let failing: Vec<Permit<'_>> =
            (0..OPEN_AFTER).map(|_| state.permit(None).unwrap()).collect();
        for permit in failing {
            permit.ended(failure(500));
        }
        older.succeeded();
        assert!(state.is_circuit_open() && state.is_failing());
        assert!(state.last_success().is_some());

        // Calls that were made in an outage and are given up long after it.
        let state = fresh(1);
        let hung: Vec<Permit<'_>> = (0..OPEN_AFTER).map(|_| state.permit(None).unwrap()).collect();
        call(&state, Outcome::Answered).unwrap();
        for permit in hung {
            permit.ended(failure(504));
        }
        assert!(!state.is_circuit_open() && !state.is_failing());
    }

    #[test]
    fn a_probe_opens_and_closes_only_what_a_probe_can_see() {
        let unreachable = || {
            let error = Error::unreachable(Cause::ConnectRefused, "nothing listens");
            Outcome::of(&error)
        };
        let probe = |state: &ProviderState, outcome| state.probed(outcome, state.asked());
        // Answers have opened it: that something listens disproves nothing.
        let state = fresh(1);
        for _ in 0..OPEN_AFTER {
            call(&state, failure(500)).unwrap();
        }
        probe(&state, Outcome::Answered);
        assert!(state.is_circuit_open() && state.is_failing());
        assert_eq!((state.consecutive_failures(), state.source()), (OPEN_AFTER, "traffic"));
        // Nothing listened, which a probe finds, and finds to be over.
        for by_probe in [true, false] {
            let state = fresh(1);
            for _ in 0..OPEN_AFTER {
                if by_probe {
                    probe(&state, unreachable());
                } else {
                    call(&state, unreachable()).unwrap();
                }
            }
            assert!(state.is_circuit_open());
            probe(&state, Outcome::Answered);
            assert!(!state.is_circuit_open());
            assert_eq!((state.is_up(), state.source()), (Some(true), "probe"));
        }
        // A probe that was on its way while messages failed is no newer than they.
        let state = fresh(1);
        let asked = state.asked();
        for _ in 0..OPEN_AFTER {
            call(&state, unreachable()).unwrap();
        }
        state.probed(Outcome::Answered, asked);
        assert!(state.is_circuit_open());
    }

    #[test]
    fn the_only_key_does_not_rest_when_it_is_refused() {
        let state = fresh(1);
        call(&state, failure(401)).unwrap();
        assert!(!state.is_resting());
        call(&state, Outcome::Limited(Some(Duration::from_secs(5)))).unwrap();
        assert!(state.is_resting() && state.permit(None).is_ok());
    }
}
