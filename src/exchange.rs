//! What the door hands to the API beside the private HTTP request: the body, which is not copied
//! through a socket, and the client's socket, which the API watches.
//!
//! A private request names its exchange by the request's id. One that names none was not checked by
//! the door, and is refused.

use std::collections::HashMap;
use std::net::TcpStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::record::Caller;

/// The header of a private request that names the exchange.
pub const HEADER: &str = "X-Ccproxy-Exchange";

/// The status by which the API tells the door that the client has left, and that there is no answer.
pub const CLIENT_GONE: u16 = 499;

/// One request on its way through the API.
#[derive(Debug)]
pub struct Exchange {
    pub request_id: String,
    pub call: Call,
    pub body: Vec<u8>,
    pub client: Arc<TcpStream>,
    pub caller: Caller,
    /// The page that may read the answer.
    pub origin: Option<String>,
    /// `anthropic-version` and `anthropic-beta`, for providers that know them.
    pub anthropic_version: Option<String>,
    pub anthropic_beta: Option<String>,
    /// Provoked by a test.
    #[cfg(debug_assertions)]
    pub panics: bool,
}

/// The version that is asked for where the client names none.
const ANTHROPIC_VERSION: &str = "2023-06-01";

impl Exchange {
    /// The client's headers that a provider's own Messages API is sent.
    pub fn native_headers(&self) -> Vec<(&'static str, &str)> {
        let version = self.anthropic_version.as_deref().unwrap_or(ANTHROPIC_VERSION);
        let mut headers = vec![("anthropic-version", version)];
        headers.extend(self.anthropic_beta.as_deref().map(|beta| ("anthropic-beta", beta)));
        headers
    }
}

/// What is asked of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    Messages,
    CountTokens,
    Models,
    /// One model, by its decoded id.
    Model(String),
}

/// The exchanges that have been handed over and not been taken.
#[derive(Debug, Default)]
pub struct Exchanges(Mutex<HashMap<String, Exchange>>);

impl Exchanges {
    pub fn hand_over(&self, exchange: Exchange) {
        self.lock().insert(exchange.request_id.clone(), exchange);
    }

    /// Takes the exchange called `id`; also to give up one that was never asked for.
    pub fn take(&self, id: &str) -> Option<Exchange> {
        self.lock().remove(id)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Exchange>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
