//! How a call to a provider ended, and what that says about the provider.

use std::time::Duration;

use crate::error::{Cause, Error};

/// How a call ended, as far as it tells about the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It answered, or refused what was the client's fault.
    Answered,
    /// It is there, and has too much to do, for as long as it says.
    Limited(Option<Duration>),
    /// It does not take this key.
    Refused(Error),
    /// It could not be reached, was silent, or failed.
    Failed(Error),
    /// The call says nothing about it: the client left.
    Unknown,
}

/// How long a key rests at most because of a model that is not the configured one.
const OTHER_MODELS_REST: Duration = Duration::from_secs(60);

impl Outcome {
    /// The same, where the model was a client's choice: what it is not allowed says nothing about
    /// the provider, and its limit little.
    pub fn of_another_model(self) -> Outcome {
        match self {
            Outcome::Refused(Error::Upstream { status: 402 | 403, .. }) => Outcome::Unknown,
            Outcome::Limited(rest) => {
                Outcome::Limited(rest.map(|rest| rest.min(OTHER_MODELS_REST)))
            }
            other => other,
        }
    }

    /// What an error says about the provider.
    pub fn of(error: &Error) -> Outcome {
        match error {
            // What its search does not do says nothing about its models and keys.
            Error::Upstream { cause: Cause::SearchRefused, .. } => Outcome::Answered,
            Error::Upstream { status: 429 | 529, retry, .. } => Outcome::Limited(retry.duration()),
            Error::Upstream { status: 401..=403, .. } => Outcome::Refused(error.clone()),
            Error::Upstream { status: 500..=599, .. } | Error::Unreachable { .. } => {
                Outcome::Failed(error.clone())
            }
            Error::Upstream { .. } => Outcome::Answered,
            Error::Refused { .. }
            | Error::ClientLimit { .. }
            | Error::BreakerOpen { .. }
            | Error::Internal => Outcome::Unknown,
            Error::Protocol { .. } | Error::Request { .. } | Error::ThreadUnsupported => {
                Outcome::Answered
            }
        }
    }
}
