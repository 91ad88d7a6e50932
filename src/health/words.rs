//! What a provider's failures said, and when, for `/status`.

use std::time::{Duration, SystemTime};

use crate::error::{Cause, Error};

/// The most of an error's words that is kept.
const MAX_CHARS: usize = 500;

/// An error in words.
#[derive(Debug, Clone)]
pub struct Told {
    pub cause: Cause,
    pub words: String,
    pub at: SystemTime,
}

/// What was said last, of the provider and of each of its keys.
#[derive(Debug, Default)]
pub struct Words {
    last: Option<Told>,
    since: Option<SystemTime>,
    keys: Vec<Option<Told>>,
}

impl Words {
    pub fn new(keys: usize) -> Words {
        Words { keys: vec![None; keys], ..Words::default() }
    }

    /// Keeps what `error` says, of a call with the key at `key`. `is_first` tells that all was well
    /// before.
    pub fn add(&mut self, error: &Error, key: Option<usize>, is_first: bool) {
        let at = SystemTime::now();
        let words = error.to_string().chars().take(MAX_CHARS).collect();
        let told = Told { cause: error.cause(), words, at };
        if is_first || self.since.is_none() {
            self.since = Some(at);
        }
        if let Some(place) = key.and_then(|key| self.keys.get_mut(key)) {
            *place = Some(told.clone());
        }
        self.last = Some(told);
    }

    pub fn last(&self) -> Option<&Told> {
        self.last.as_ref()
    }

    /// Since when it has not been well, if it is not.
    pub fn since(&self) -> Option<SystemTime> {
        self.since
    }

    /// What was said last of a key.
    pub fn of_key(&self, key: usize) -> Option<&Told> {
        self.keys.get(key)?.as_ref()
    }
}

/// Whole seconds, of which a part counts as one: who comes back after them is not early.
pub(super) fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}
