//! The provider's own list of models, which costs nothing.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ureq::RequestBuilder;
use ureq::typestate::WithoutBody;

use super::Upstream;
use super::answer::failure;
use super::wait::{begin, with_call};
use crate::client::{Failure, Silent};
use crate::config::{Secret, Timeouts};
use crate::error::Error;
use crate::line::Peer;
use crate::openai::models::{Served, served};

/// For all that it takes: somebody waits for something else.
const PATIENCE: Duration = Duration::from_secs(2);

/// The largest list that is read. OpenRouter's has a megabyte.
const LIMIT_BYTES: usize = 4 << 20;

impl Upstream {
    /// The models that are served, for a client that may leave meanwhile.
    ///
    /// # Errors
    /// There is no list, or not within a moment; [`Failure::ClientGone`].
    pub fn served(&self, key: usize, peer: Option<Arc<Peer>>) -> Result<Vec<Served>, Failure> {
        let timeouts = Timeouts { connect: PATIENCE, first_byte: PATIENCE, idle: PATIENCE };
        let call = begin(Rc::new(RefCell::new(Silent { peer })), timeouts, true);
        let is_proxied = self.place.target(false).is_proxied();
        with_call(|call| {
            call.is_on_the_way = is_proxied;
            call.end_within(PATIENCE);
        });
        let request = self.list_request(key)?;
        let response = request.call().map_err(|e| failure(&self.place, false, &e))?;
        let mut answer = self.answer(response, false, call);
        let mut body = Vec::new();
        let mut buffer = [0; 4096];
        while answer.status == 200 && body.len() <= LIMIT_BYTES {
            match answer.body.read(&mut buffer)? {
                0 => break,
                n => body.extend_from_slice(&buffer[..n]),
            }
        }
        served(&body).ok_or_else(|| Error::protocol("it is no list of models").into())
    }

    /// The request for the list of models.
    pub(super) fn list_request(&self, key: usize) -> Result<RequestBuilder<WithoutBody>, Failure> {
        let mut request = self.agent.get(format!("{}/models", self.base_url));
        // Anthropic's wants it, and to the others it says nothing.
        request = request.header("anthropic-version", "2023-06-01");
        let token = self.token()?.map(|(token, _)| token);
        if let Some(key) = token.as_deref().or(self.keys.get(key).map(Secret::expose)) {
            let header = self.authorization(key).map_err(ureq::Error::from);
            let (name, value) = header.map_err(|e| failure(&self.place, false, &e))?;
            request = request.header(name, value);
        }
        for (name, value) in &self.headers {
            request = request.header(name, value.expose());
        }
        Ok(request)
    }
}
