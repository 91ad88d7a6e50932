//! What a provider serves, by its own list: asked when somebody needs it, and known for a while.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::client::Failure;
use crate::openai::models::Served;

/// How long a list holds, and how long that there is none: whoever mends it tries again soon.
const HOLDS: Duration = Duration::from_secs(300);
const FAILURE_HOLDS: Duration = Duration::from_secs(30);

/// The list of one provider.
#[derive(Debug, Default)]
pub(super) struct Catalog(Mutex<Option<Known>>);

#[derive(Debug)]
struct Known {
    at: Instant,
    served: Option<Arc<[Served]>>,
}

impl Catalog {
    /// The models, if they are known or can be had by `ask`. Who comes meanwhile waits, and does
    /// not ask again.
    pub(super) fn get(
        &self,
        ask: impl FnOnce() -> Result<Vec<Served>, Failure>,
    ) -> Option<Arc<[Served]>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Known { at, served }) = &*known {
            let holds = if served.is_some() { HOLDS } else { FAILURE_HOLDS };
            if at.elapsed() < holds {
                return served.clone();
            }
        }
        let served = match ask() {
            Ok(served) => Some(served.into()),
            // It says nothing about the list.
            Err(Failure::ClientGone) => return None,
            Err(Failure::Error(error)) => {
                log::debug!("there is no list of models: {error}");
                None
            }
        };
        *known = Some(Known { at: Instant::now(), served: served.clone() });
        served
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn a_list_is_asked_for_once_and_again_where_the_client_has_left() {
        let catalog = Catalog::default();
        assert!(catalog.get(|| Err(Failure::ClientGone)).is_none());
        let model = || Served { id: "m".to_owned(), window: None, output: None };
        assert_eq!(catalog.get(|| Ok(vec![model()])).expect("a list").len(), 1);
        assert_eq!(catalog.get(|| unreachable!("it is known")).expect("a list").len(), 1);
        let catalog = Catalog::default();
        assert!(catalog.get(|| Err(Error::Internal.into())).is_none());
        assert!(catalog.get(|| unreachable!("it is known that there is none")).is_none());
    }
}
