//! The column `limits`: how much the models of a service take and write.

use super::Provider;

/// How much some models take and write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Beginnings of the models' names.
    pub models: &'static [&'static str],
    /// The most tokens of a prompt.
    pub window: u64,
    /// The most tokens of an answer; 0 where only the window bounds it.
    pub output: u64,
    /// Where it stands.
    pub source: &'static str,
}

impl Limits {
    /// `models` take `window` tokens and write `output`, as `source` says.
    pub const fn of(
        models: &'static [&'static str],
        window: u64,
        output: u64,
        source: &'static str,
    ) -> Limits {
        Limits { models, window, output, source }
    }
}

impl Provider {
    /// How much `model` takes and writes, as far as the row knows.
    pub fn limits_of(&self, model: &str) -> Option<&'static Limits> {
        self.limits.iter().find(|limits| Provider::is_among(model, limits.models))
    }

    /// The most tokens that `model` is asked for; 0 for what the client wants.
    pub fn max_tokens_of(&self, model: &str) -> u64 {
        self.limits_of(model).map_or(0, |limits| limits.output)
    }
}
