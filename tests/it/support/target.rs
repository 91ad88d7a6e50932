//! What a request is translated for.

use ccproxy::openai::Dialect;
use ccproxy::provider::Provider;
use ccproxy::translate::{Learned, Target};

/// The model `m` of `provider`, which sees images, has no limit of tokens and is in no session.
pub(crate) fn target<'a>(provider: &'a Provider, api: Dialect, learned: &'a Learned) -> Target<'a> {
    Target { provider, model: "m", max_tokens: 0, images: true, api, session: None, learned }
}
