//! What was learned from refusals, by provider and model.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::translate::{Learned, Lesson};

/// The most models that are remembered, and the longest name: clients name them.
const MAX_MODELS: usize = 256;
const MAX_NAME_BYTES: usize = 256;

/// What is known, for as long as the process runs; the oldest goes when there are too many.
#[derive(Debug, Default)]
pub struct Lessons(Mutex<VecDeque<Known>>);

#[derive(Debug)]
struct Known {
    provider: usize,
    model: String,
    learned: Learned,
}

impl Lessons {
    /// What is known of `model` of the provider at `provider`.
    pub fn of(&self, provider: usize, model: &str) -> Learned {
        let known = self.lock();
        let found = known.iter().find(|k| k.provider == provider && k.model == model);
        found.map(|known| known.learned.clone()).unwrap_or_default()
    }

    /// Remembers a lesson.
    pub fn add(&self, provider: usize, model: &str, lesson: Lesson) {
        if model.len() > MAX_NAME_BYTES {
            return;
        }
        let mut known = self.lock();
        let found = known.iter_mut().find(|k| k.provider == provider && k.model == model);
        if let Some(known) = found {
            known.learned.add(lesson);
            return;
        }
        let mut learned = Learned::default();
        learned.add(lesson);
        known.push_back(Known { provider, model: model.to_owned(), learned });
        if known.len() > MAX_MODELS {
            known.pop_front();
        }
    }

    /// Everything, by place of the provider and model.
    pub fn all(&self) -> Vec<(usize, String, Vec<String>)> {
        let told = |learned: &Learned| learned.lessons().iter().map(Lesson::to_string).collect();
        let known = self.lock();
        known.iter().map(|k| (k.provider, k.model.clone(), told(&k.learned))).collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
