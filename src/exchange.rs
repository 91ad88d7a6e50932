//! What the door hands to the API beside the private request, which is as small as can be: the
//! body, which is not copied through a socket, and the client's connection, on which the API
//! answers.

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::Error;
use crate::line::Line;
use crate::memory::{IN_FLIGHT, Share};
use crate::record::Caller;

/// The answer to every private request: it has been taken. The client's own answer does not come
/// this way.
pub const TAKEN: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// The API, as the door sees it.
pub trait Workers: Send + Sync {
    /// Hands an errand to a worker that has just answered another one.
    ///
    /// # Errors
    /// The errand, where there is none: it takes a private request, and a worker that is reserved
    /// for it.
    fn hand(&self, errand: Errand) -> Result<(), Errand>;
    /// Reserves a worker for one private request, started for it if none is free.
    ///
    /// # Errors
    /// None is, and no thread can be started.
    fn reserve(&self) -> io::Result<()>;
    /// Whether a worker waits for nothing in particular.
    fn has_free(&self) -> bool;
    /// Gives back a worker that was reserved, for a request that nobody took.
    fn release(&self);
    /// Sets up the private server anew. Returns the connections that lead to it; there can be no
    /// others.
    ///
    /// # Errors
    /// What could not be had.
    fn open(&self) -> io::Result<Vec<UnixStream>>;
}

/// One request on its way through the API.
#[derive(Debug)]
#[expect(missing_docs, reason = "the names of its fields say it")]
pub struct Exchange {
    pub request_id: String,
    pub call: Call,
    /// For the metrics: a HEAD counts as a GET.
    pub method: &'static str,
    /// Kept by whoever still looks things up in it when the request has been sent.
    pub body: Arc<Vec<u8>>,
    /// The memory that the message may take, its answer included.
    pub share: Arc<Share>,
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
    /// Takes so many bytes for the message, beside those that its body takes.
    ///
    /// # Errors
    /// There are not so many left, or at all.
    pub fn take_beside_body(&self, bytes: usize) -> Result<(), Error> {
        let bytes = self.body.capacity() + IN_FLIGHT + bytes;
        self.share.grow_to(bytes, bytes)
    }

    /// Takes what is asked for in all beside what the message has by now.
    pub fn room_for_more(&self) -> impl Fn(usize) -> Result<(), Error> {
        let taken = Cell::new(0);
        move |bytes: usize| {
            let before = taken.get();
            taken.set(before.max(bytes));
            self.share.take(bytes.saturating_sub(before))
        }
    }

    /// The client's headers that a provider's own Messages API is sent.
    pub fn native_headers(&self) -> Vec<(&'static str, &str)> {
        let version = self.anthropic_version.as_deref().unwrap_or(ANTHROPIC_VERSION);
        let mut headers = vec![("anthropic-version", version)];
        headers.extend(self.anthropic_beta.as_deref().map(|beta| ("anthropic-beta", beta)));
        headers
    }
}

impl Call {
    /// What is done, by the log's name of it.
    pub fn action(&self) -> &'static str {
        match self {
            Call::Messages => "anthropic_response",
            Call::CountTokens => "count_tokens",
            Call::Models | Call::Model(_) => "models",
        }
    }

    /// The name of its path in the metrics.
    pub fn route(&self) -> &'static str {
        match self {
            Call::Messages => "/v1/messages",
            Call::CountTokens => "/v1/messages/count_tokens",
            Call::Models => "/v1/models",
            Call::Model(_) => "/v1/models/{id}",
        }
    }
}

/// What is asked of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of its variants say it")]
pub enum Call {
    Messages,
    CountTokens,
    Models,
    /// One model, by its decoded id.
    Model(String),
}

/// What a private request stands for.
#[derive(Debug)]
pub enum Errand {
    /// A request, and the client's connection, on which the answer goes. A regular client is there
    /// too, for the worker to stay with.
    Exchange(Box<Exchange>, Line, Option<Arc<dyn Regular>>),
    /// Whether the API is there.
    Hello,
}

/// A client that asks again as soon as it is answered. Dropped, its connection goes back.
pub trait Regular: Send + Sync {
    /// Waits a moment for its next request, once the last one is answered. Returns `None` where
    /// there is none for a worker.
    fn next(self: Arc<Self>) -> Option<Errand>;
    /// Gives the connection back with the request unanswered.
    fn give_up(&self);
}

impl fmt::Debug for dyn Regular {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Regular")
    }
}

/// The errands that have been handed over and not been taken. Whoever takes one has it alone.
#[derive(Debug, Default)]
pub struct Errands(Mutex<HashMap<u64, Errand>>);

impl Errands {
    /// Leaves an errand for the worker that is told its id.
    pub fn hand_over(&self, id: u64, errand: Errand) {
        self.lock().insert(id, errand);
    }

    /// Takes the errand `id`; also to give up one that was never asked for.
    pub fn take(&self, id: u64) -> Option<Errand> {
        self.lock().remove(&id)
    }

    /// Whether the errand `id` has not been taken.
    pub fn has(&self, id: u64) -> bool {
        self.lock().contains_key(&id)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Errand>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
