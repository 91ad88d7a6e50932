//! A request for a provider's own Messages API: the client's bytes, but for the model's name.

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Api;
use crate::error::Error;
use crate::exchange::Exchange;
use crate::health::Outcome;
use crate::relay;
use crate::upstream::{Ask, Client, Endpoint, Failure};

/// The largest answer to `count_tokens`.
const COUNT_LIMIT_BYTES: usize = 64 << 10;

/// The client's `body` with `model` as its model.
///
/// # Errors
/// [`Error::Request`] if there is no model to replace, which parsing has ruled out.
pub fn request<'a>(body: &'a [u8], model: &str) -> Result<Cow<'a, [u8]>, Error> {
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(borrow)]
        model: &'a RawValue,
    }
    let named: Named =
        serde_json::from_slice(body).map_err(|_| Error::request("model", "field required"))?;
    let theirs = named.model.get();
    let name = serde_json::to_string(model).expect("a string always serializes");
    if theirs == name {
        return Ok(Cow::Borrowed(body));
    }
    // The value is a part of the body.
    let begin = theirs.as_ptr() as usize - body.as_ptr() as usize;
    let (before, after) = (&body[..begin], &body[begin + theirs.len()..]);
    Ok(Cow::Owned([before, name.as_bytes(), after].concat()))
}

/// The provider's own count of the tokens of a request, where it has one and tells it.
///
/// # Errors
/// The client has gone.
pub fn count_tokens(
    api: &Api,
    exchange: &Exchange,
    place: usize,
    model: &str,
    client: Rc<RefCell<dyn Client>>,
) -> Result<Option<u64>, ()> {
    #[derive(Deserialize)]
    struct Counted {
        input_tokens: u64,
    }
    let provider = api.provider(place);
    if !provider.config.row.native_count_tokens || !provider.config.is_native(model) {
        return Ok(None);
    }
    let Ok(body) = request(&exchange.body, model) else { return Ok(None) };
    let Ok(permit) = api.state(place).permit() else { return Ok(None) };
    let headers = exchange.native_headers();
    let ask =
        Ask { endpoint: Endpoint::CountTokens, key: permit.key, body: &body, headers: &headers };
    let counted = provider.upstream.send(ask, client).and_then(|mut answer| {
        let read = &mut |buffer: &mut [u8]| answer.body.read(buffer);
        let body = relay::read_whole(read, COUNT_LIMIT_BYTES)?;
        // A server without it may say 200 and something else.
        Ok(serde_json::from_slice::<Counted>(&body).ok().filter(|_| answer.status == 200))
    });
    match counted {
        Ok(counted) => {
            permit.ended(Outcome::Answered);
            Ok(counted.map(|counted| counted.input_tokens))
        }
        Err(Failure::Error(error)) => {
            permit.ended(Outcome::of(&error));
            Ok(None)
        }
        Err(Failure::ClientGone) => Err(()),
    }
}

#[cfg(test)]
mod tests {
    use super::request;

    #[test]
    fn only_the_model_changes() {
        let body =
            br#" {"messages":[{"model":"claude"}], "model" : "claude-x","max_tokens":1.0e1} "#;
        let made = request(body, "kimi-k3").unwrap();
        let wanted =
            r#" {"messages":[{"model":"claude"}], "model" : "kimi-k3","max_tokens":1.0e1} "#;
        assert_eq!(String::from_utf8_lossy(&made), wanted);
        let same = request(br#"{"model":"m"}"#, "m").unwrap();
        assert!(matches!(same, std::borrow::Cow::Borrowed(_)));
    }
}
