//! A provider under a seeded loop: calls that end in every way and whatever order, keys that are
//! limited, refused and taken again, an outage in each phase, probes between, a clock that jumps,
//! and clients that leave. What a call may be told is looked at at every step, and in the end a
//! provider that is well again is asked again.
//!
//! See [`crate::seeded`] for how to make it longer and how to replay a failure.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::outcome::Outcome;
use super::provider::{Permit, ProviderState};
use crate::error::{Cause, Error, Retry};
use crate::seeded::{self, Numbers};

const STEPS: usize = 300;
const MAX_CALLS: usize = 8;
/// As much as the breaker's longest pause, and what a key rests at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_REST: Duration = Duration::from_secs(3600);

/// What the provider does with calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weather {
    Fair,
    Unreachable,
    Silent,
    Failing,
}

/// A call that has not ended.
struct Call<'a> {
    permit: Permit<'a>,
    /// It was let through while the provider was left alone, to find out whether it is back.
    is_trial: bool,
}

struct World<'a> {
    numbers: Numbers,
    now: Instant,
    state: &'a ProviderState,
    keys: usize,
    weather: Weather,
    /// Keys that the provider has too many calls of, or does not take.
    limited: BTreeSet<usize>,
    refused: BTreeSet<usize>,
    calls: Vec<Call<'a>>,
    last_key: Option<usize>,
}

impl<'a> World<'a> {
    fn step(&mut self) {
        match self.numbers.below(100) {
            0..35 => self.call(),
            35..75 => self.end(),
            75..82 => self.jump(),
            82..88 => {
                let weather =
                    [Weather::Fair, Weather::Unreachable, Weather::Silent, Weather::Failing];
                self.weather = weather[self.numbers.below(weather.len())];
            }
            88..96 => {
                let key = self.numbers.below(self.keys);
                let set =
                    if self.numbers.one_in(2) { &mut self.limited } else { &mut self.refused };
                if !set.remove(&key) {
                    set.insert(key);
                }
            }
            _ => self.probe(),
        }
        if !self.state.is_circuit_open() {
            // It has been found out, by whichever call.
            self.calls.iter_mut().for_each(|call| call.is_trial = false);
        }
    }

    fn call(&mut self) {
        if self.calls.len() >= MAX_CALLS {
            return;
        }
        let was_open = self.state.is_circuit_open();
        let rests: Vec<Duration> = self.state.rests_left().collect();
        match self.state.permit(None) {
            Ok(permit) => {
                let key = permit.key;
                assert!(key < self.keys);
                let all_rest = rests.iter().all(|left| !left.is_zero());
                assert!(all_rest || rests[key].is_zero(), "key {key} rests: {rests:?}");
                if all_rest {
                    assert_eq!(rests.iter().min(), Some(&rests[key]), "the one that rests least");
                }
                let none_rests = rests.iter().all(Duration::is_zero);
                if let Some(last) = self.last_key.filter(|_| none_rests) {
                    assert_eq!(key, (last + 1) % self.keys, "keys are used in turn");
                }
                self.last_key = none_rests.then_some(key);
                let others = self.calls.iter().filter(|call| call.is_trial).count();
                assert!(!was_open || others == 0, "one call at a time finds out");
                self.calls.push(Call { permit, is_trial: was_open });
            }
            Err(error) => {
                assert!(was_open, "refused, though it is not left alone: {error}");
                // A refused key is told in the provider's own words.
                let is_ours = matches!(error, Error::BreakerOpen { .. });
                if let Some(after) = error.retry().after.filter(|_| is_ours) {
                    let after: u64 = after.parse().expect("a number of seconds");
                    assert!((1..=LONGEST_PAUSE.as_secs() + 1).contains(&after), "{after}");
                }
                // Nobody waits for nothing: a call finds out, or the pause is not over.
                let has_trial = self.calls.iter().any(|call| call.is_trial);
                let left = self.state.asked_again_in().unwrap_or_default();
                assert!(
                    has_trial || !left.is_zero(),
                    "refused, and nothing is waited for: {error}"
                );
            }
        }
    }

    /// A call ends as the provider has it, or its client leaves.
    fn end(&mut self) {
        if self.calls.is_empty() {
            return;
        }
        let Call { permit, .. } = self.calls.swap_remove(self.numbers.below(self.calls.len()));
        let key = permit.key;
        let failures = self.state.consecutive_failures();
        let unreachable = || Error::unreachable(Cause::ConnectRefused, "it is down".to_owned());
        let (error, is_failure) = match self.weather {
            _ if self.numbers.one_in(10) => {
                drop(permit);
                assert_eq!(self.state.consecutive_failures(), failures, "who leaves tells nothing");
                return;
            }
            Weather::Unreachable => (unreachable(), true),
            Weather::Silent => {
                // It begins, and breaks off.
                permit.begun();
                (Error::unreachable(Cause::Timeout, "it is silent".to_owned()), true)
            }
            Weather::Failing => (self.upstream(503), true),
            Weather::Fair if self.refused.contains(&key) => (self.upstream(401), false),
            Weather::Fair if self.limited.contains(&key) => (self.upstream(429), false),
            // The client's own fault.
            Weather::Fair if self.numbers.one_in(8) => (self.upstream(422), false),
            Weather::Fair => {
                if self.numbers.one_in(2) {
                    permit.begun();
                }
                permit.succeeded();
                return;
            }
        };
        let outcome = Outcome::of(&error);
        permit.failed(&error, outcome);
        if !is_failure && error.status() == 422 {
            return;
        }
        let is_limit = matches!(error, Error::Upstream { status: 429, .. });
        let is_known = self.state.rests_left().nth(key).is_some_and(|left| !left.is_zero());
        assert!(!is_limit || is_known, "a key that is limited rests");
        let most = LONGEST_REST + Duration::from_secs(1);
        assert!(self.state.rests_left().all(|left| left <= most), "no rest is for ever");
    }

    fn upstream(&mut self, status: u16) -> Error {
        let after = [None, Some("2"), Some("70"), Some("999999999")][self.numbers.below(4)];
        let retry = Retry { after: after.map(str::to_owned), ..Retry::default() };
        Error::upstream(status, "its own words".to_owned(), retry)
    }

    fn probe(&mut self) {
        let asked = self.state.asked();
        let outcome = match self.weather {
            Weather::Unreachable => {
                Outcome::of(&Error::unreachable(Cause::ConnectRefused, "it is down".to_owned()))
            }
            _ => Outcome::Answered,
        };
        self.state.probed(outcome, asked);
    }

    fn jump(&mut self) {
        let jump = [1, 900, 7_000, 61_000, 4_000_000][self.numbers.below(5)];
        self.to(self.now + Duration::from_millis(jump));
    }

    fn to(&mut self, now: Instant) {
        self.now = now;
        *self.state.simulated.lock().unwrap() = Some(now);
    }

    /// Whatever was, the provider is well again: it is asked, and what is told of it says so.
    fn finish(&mut self) {
        self.weather = Weather::Fair;
        self.limited.clear();
        self.refused.clear();
        while !self.calls.is_empty() {
            // Some of them leave, which must not keep others waiting for what they would have found
            // out.
            self.end();
        }
        self.to(self.now + LONGEST_REST + LONGEST_PAUSE);
        for _ in 0..2 * self.keys {
            let permit = self.state.permit(None).expect("it is well, and nobody else finds out");
            permit.succeeded();
        }
        assert!(!self.state.is_circuit_open() && !self.state.is_resting());
        assert_eq!((self.state.resting_keys(), self.state.consecutive_failures()), (0, 0));
        assert_eq!((self.state.is_up(), self.state.asked_again_in()), (Some(true), None));
    }
}

fn run(seed: u64) {
    let mut numbers = Numbers::new(seed);
    let keys = 1 + numbers.below(4);
    let state = ProviderState::new("groq", keys, Duration::from_secs(10));
    let mut world = World {
        numbers,
        now: Instant::now(),
        state: &state,
        keys,
        weather: Weather::Fair,
        limited: BTreeSet::new(),
        refused: BTreeSet::new(),
        calls: Vec::new(),
        last_key: None,
    };
    world.to(world.now);
    for _ in 0..STEPS {
        world.step();
    }
    world.finish();
}

#[test]
fn whatever_a_provider_does_it_is_asked_again_when_it_is_well() {
    seeded::each_seed(run);
}
