//! What was learned from refusals, by provider and model.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::translate::{Learned, Lesson};

/// The most models that are remembered; clients name them.
const MAX_MODELS: usize = 256;

/// What is known, for as long as the process runs.
#[derive(Debug, Default)]
pub struct Lessons(Mutex<BTreeMap<(usize, String), Learned>>);

impl Lessons {
    /// What is known of `model` of the provider at `provider`.
    pub fn of(&self, provider: usize, model: &str) -> Learned {
        let known = self.lock();
        if known.is_empty() {
            return Learned::default();
        }
        known.get(&(provider, model.to_owned())).cloned().unwrap_or_default()
    }

    /// Remembers a lesson, unless too many models are known already.
    pub fn add(&self, provider: usize, model: &str, lesson: Lesson) {
        let mut known = self.lock();
        let key = (provider, model.to_owned());
        if known.len() < MAX_MODELS || known.contains_key(&key) {
            known.entry(key).or_default().add(lesson);
        }
    }

    /// Everything, by place of the provider and model.
    pub fn all(&self) -> Vec<(usize, String, Vec<String>)> {
        let known = self.lock();
        let told = |learned: &Learned| learned.lessons().iter().map(Lesson::to_string).collect();
        known
            .iter()
            .map(|((provider, model), learned)| (*provider, model.clone(), told(learned)))
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(usize, String), Learned>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
