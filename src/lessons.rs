//! What was learned from a provider's refusals, by model.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::translate::{Learned, Lesson};

/// The most models that are remembered, and the longest name: clients name them.
const MAX_MODELS: usize = 256;
const MAX_NAME_BYTES: usize = 256;

/// How long a lesson holds: services change, and a sentence may have been misread.
const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// What is known. The oldest goes when there are too many, and every one after a day.
#[derive(Debug, Default)]
pub struct Lessons(Mutex<VecDeque<Known>>);

#[derive(Debug)]
struct Known {
    model: String,
    learned: Learned,
    /// When the first of it was learned.
    since: Instant,
}

impl Known {
    fn holds(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) < MAX_AGE
    }
}

impl Lessons {
    /// What is known `now` of `model`.
    pub fn of(&self, model: &str, now: Instant) -> Learned {
        let known = self.lock();
        let mut holding = known.iter().filter(|known| known.holds(now));
        let found = holding.find(|known| known.model == model);
        found.map(|known| known.learned.clone()).unwrap_or_default()
    }

    /// Remembers a lesson that was learned `now`.
    pub fn add(&self, model: &str, lesson: Lesson, now: Instant) {
        if model.len() > MAX_NAME_BYTES {
            return;
        }
        let mut known = self.lock();
        known.retain(|known| known.holds(now));
        if let Some(known) = known.iter_mut().find(|known| known.model == model) {
            known.learned.add(lesson);
            return;
        }
        let mut learned = Learned::default();
        learned.add(lesson);
        known.push_back(Known { model: model.to_owned(), learned, since: now });
        if known.len() > MAX_MODELS {
            known.pop_front();
        }
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// Everything that holds `now`, by model.
    pub fn all(&self, now: Instant) -> Vec<(String, Vec<String>)> {
        let told = |learned: &Learned| learned.lessons().iter().map(Lesson::to_string).collect();
        let known = self.lock();
        let holding = known.iter().filter(|known| known.holds(now));
        holding.map(|known| (known.model.clone(), told(&known.learned))).collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::translate::Param;

    #[test]
    fn a_lesson_ends_after_a_day_and_when_it_is_forgotten() {
        let (lessons, now) = (Lessons::default(), Instant::now());
        let lesson = || Lesson::Drop(Param::TopK);
        lessons.add("m", lesson(), now);
        let known = |after: Duration| lessons.of("m", now + after).lessons().len();
        assert_eq!((known(MAX_AGE / 2), known(MAX_AGE)), (1, 0));
        assert_eq!((lessons.all(now).len(), lessons.all(now + MAX_AGE).len()), (1, 0));
        // Another lesson does not make the first one younger.
        lessons.add("m", Lesson::Drop(Param::TopP), now + MAX_AGE / 2);
        assert_eq!((known(MAX_AGE / 2), known(MAX_AGE)), (2, 0));
        lessons.add("m", lesson(), now + MAX_AGE);
        assert_eq!(known(MAX_AGE), 1);
        lessons.clear();
        assert_eq!(known(MAX_AGE), 0);
    }
}
