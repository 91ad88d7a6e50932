//! The tokens of a request, counted by the provider's own Messages API.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use serde::Deserialize;

use super::Provider;
use crate::anthropic::MessagesRequest;
use crate::client::{Client, Failure};
use crate::error::Error;
use crate::exchange::Exchange;
use crate::health::Outcome;
use crate::relay;
use crate::translate::native_request;
use crate::upstream::{Ask, Endpoint};

/// How long a count may take: there is an estimate without it.
const PATIENCE: Duration = Duration::from_secs(10);

/// The largest answer to `count_tokens`.
const COUNT_LIMIT_BYTES: usize = 64 << 10;

/// The provider's own count of the tokens of a request, where it has one and tells it.
///
/// # Errors
/// The client has gone.
pub(super) fn count_tokens(
    provider: &Provider,
    exchange: &Exchange,
    request: &MessagesRequest<'_>,
    model: &str,
    client: Rc<RefCell<dyn Client>>,
) -> Result<Option<u64>, ()> {
    #[derive(Deserialize)]
    struct Counted {
        input_tokens: u64,
    }
    if !provider.config.row.native_count_tokens || !provider.config.is_native(model) {
        return Ok(None);
    }
    let row = provider.config.row;
    let Ok((body, _)) = native_request(&exchange.body, request, row, model, None, None) else {
        return Ok(None);
    };
    let Ok(permit) = provider.health.state.permit(None) else { return Ok(None) };
    let headers = exchange.native_headers();
    let ask = Ask {
        endpoint: Endpoint::CountTokens,
        key: permit.key,
        body: &body,
        headers: &headers,
        patience: Some(PATIENCE),
    };
    let counted = provider.upstream.send(ask, client).and_then(|mut answer| {
        let read = &mut |buffer: &mut [u8]| answer.body.read(buffer);
        let body = relay::read_whole(read, COUNT_LIMIT_BYTES)?;
        // A server without it may say 200 and something else.
        let counted = serde_json::from_slice::<Counted>(&body).ok();
        Ok((answer.status, counted.filter(|_| answer.status == 200), answer.retry))
    });
    match counted {
        Ok((status, counted, retry)) => {
            // Not every server has it, and none is judged by it; but one that fails, fails.
            if matches!(status, 401 | 500 | 502..=599) {
                let message = format!("count_tokens answers {status}");
                let error = Error::upstream(status, message, retry);
                permit.failed(&error, Outcome::of(&error));
            }
            Ok(counted.map(|counted| counted.input_tokens))
        }
        Err(Failure::Error(error)) => {
            permit.failed(&error, Outcome::of(&error));
            Ok(None)
        }
        Err(Failure::ClientGone) => Err(()),
    }
}
