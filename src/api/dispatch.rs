//! From a request to the answer of one of the providers that its route names: each is asked in turn
//! until one answers, with another key where one is refused, and once more where a refusal teaches how.
//!
//! Nothing of an answer that failed has reached the client when the next provider is asked.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::Api;
use super::attempt::{Attempt, Failed};
use super::reply::Reply;
use crate::anthropic::{Message, MessagesRequest, Usage};
use crate::error::Error;
use crate::exchange::Exchange;
use crate::relay::Stream;
use crate::route::{Asked, Choice};
use crate::translate::{Lesson, Reading, Translator};
use crate::unique::unique;
use crate::upstream::{Client, Failure};

/// A message on its way to a provider and back.
pub struct Dispatch<'a> {
    pub api: &'a Api,
    pub exchange: &'a Exchange,
    pub request: &'a MessagesRequest<'a>,
    pub input_estimate: u64,
    /// The provider that was asked last.
    pub provider: Cell<usize>,
    /// Headers that tell the client what was done by the last one.
    pub notes: RefCell<Vec<(&'static str, String)>>,
    /// Providers that failed, and why.
    failed: RefCell<Vec<String>>,
}

/// The client, by how it wants its answer.
pub enum Receiver {
    Stream(Rc<RefCell<Stream<Reply>>>),
    Whole(Rc<RefCell<dyn Client>>),
}

/// An answer that has been delivered, or is ready to be.
pub enum Delivered {
    Streamed,
    Message(Box<Message>),
    /// A whole message as the provider sent it.
    Native(Vec<u8>, Usage),
}

impl Receiver {
    pub fn waits(&self) -> Rc<RefCell<dyn Client>> {
        match self {
            Receiver::Stream(stream) => Rc::clone(stream) as Rc<RefCell<dyn Client>>,
            Receiver::Whole(client) => Rc::clone(client),
        }
    }

    /// Whether the client has got anything that a provider said.
    pub fn has_content(&self) -> bool {
        match self {
            Receiver::Stream(stream) => stream.borrow().has_content(),
            Receiver::Whole(_) => false,
        }
    }
}

impl<'a> Dispatch<'a> {
    pub fn new(
        api: &'a Api,
        exchange: &'a Exchange,
        request: &'a MessagesRequest<'a>,
        input_estimate: u64,
    ) -> Dispatch<'a> {
        Dispatch {
            api,
            exchange,
            request,
            input_estimate,
            provider: Cell::new(0),
            notes: RefCell::default(),
            failed: RefCell::default(),
        }
    }

    /// The headers that tell what was done.
    pub fn all_notes(&self) -> Vec<(&'static str, String)> {
        let mut notes = self.notes.borrow().clone();
        let failed = self.failed.borrow();
        if !failed.is_empty() {
            notes.push(("x-ccproxy-fallback", failed.join(", ")));
        }
        notes
    }

    /// Asks the providers of the route, one after another.
    ///
    /// # Errors
    /// What the last of them said. The client has got nothing of an answer, unless the stream has ended
    /// with an error.
    pub fn run(&self, receiver: &Receiver) -> Result<Delivered, Failure> {
        let asked = Asked::of(self.request, self.input_estimate);
        let mut route = self.api.config.routes.choose(&self.request.model, asked);
        // Those that are resting are the last resort.
        route.hops.sort_by_cached_key(|hop| self.api.state(hop.provider).is_resting());
        log::debug!(
            request_id = &*self.exchange.request_id;
            "model {:?} goes to {} by {}",
            shown(&self.request.model), self.api.provider(route.hops[0].provider).config.name, route.by
        );
        let last = route.hops.len() - 1;
        for (i, hop) in route.hops.iter().enumerate() {
            self.provider.set(hop.provider);
            let error = match self.hop(hop, receiver) {
                Err(Failure::Error(error)) => error,
                other => return other,
            };
            if i == last || receiver.has_content() || !is_the_providers(&error) {
                return Err(Failure::Error(error));
            }
            let failed = &self.api.provider(hop.provider).config.name;
            let next = &self.api.provider(route.hops[i + 1].provider).config.name;
            log::warn!(
                request_id = &*self.exchange.request_id, action = "fallback";
                "{failed} failed, {next} is asked: {error}"
            );
            self.api.metrics(hop.provider).fallbacks.add(1);
            self.failed.borrow_mut().push(format!("{failed} {}", error.status()));
        }
        unreachable!("a route has a hop, and the last one returns")
    }

    /// Asks one provider: with another key where one is refused, and once more where a refusal teaches
    /// how to ask.
    fn hop(&self, hop: &Choice<'_>, receiver: &Receiver) -> Result<Delivered, Failure> {
        let provider = self.api.provider(hop.provider);
        let name = &provider.config.name;
        let model = hop.model(&provider.config.model, &self.request.model);
        let request_id = &*self.exchange.request_id;
        let mut learned = self.api.health.lessons.of(hop.provider, model);
        // What is tried, and the refusal that taught it.
        let mut lesson: Option<(Lesson, Error)> = None;
        let mut keys_left = provider.config.keys.len();
        loop {
            let attempt =
                Attempt { dispatch: self, place: hop.provider, provider, model, receiver };
            let (attempted, next) =
                attempt.run(&learned, lesson.as_ref().map(|(lesson, _)| lesson));
            let refused = match attempted {
                Ok(delivered) => {
                    if let Some((lesson, _)) = lesson.filter(|(lesson, _)| lesson.is_lasting()) {
                        self.api.health.lessons.add(hop.provider, model, lesson);
                    }
                    return Ok(delivered);
                }
                Err(Failed::Other(failure)) => return Err(failure),
                Err(Failed::Refused(refused)) => refused,
            };
            if is_about_the_key(&refused.error) {
                keys_left = keys_left.saturating_sub(1);
                if keys_left > 0 && self.api.state(hop.provider).has_key_awake() {
                    log::warn!(request_id, action = "key"; "another key of {name} is used: {}", refused.error);
                    continue;
                }
            }
            match (lesson.take(), next) {
                (None, Some(next)) => {
                    log::warn!(
                        request_id, action = "adjusted";
                        "{name} refused a request for {:?}, which is sent once more, {next}: {}",
                        shown(model), refused.error
                    );
                    self.api.metrics(hop.provider).adjusted.add(1);
                    learned.add(next.clone());
                    lesson = Some((next, refused.error));
                }
                // The first lesson was right if something else is refused now: the client's next try
                // has it, and learns this one.
                (Some((known, first)), Some(_)) if known.is_lasting() && first != refused.error => {
                    self.api.health.lessons.add(hop.provider, model, known);
                    return Err(refused.error.into());
                }
                _ => return Err(refused.error.into()),
            }
        }
    }
}

impl Dispatch<'_> {
    /// A translator for one answer.
    pub fn translator(&self, reading: Reading) -> Translator {
        let Reading { dialect, names, stops } = reading;
        let asked = self.request.stop_sequences.iter().flatten();
        Translator::new(
            dialect,
            unique("msg_"),
            self.request.model.clone().into_owned(),
            names,
            asked.map(|sequence| sequence.clone().into_owned()).collect(),
            stops,
            self.input_estimate,
        )
    }
}

/// A model's name for the log, which clients choose.
fn shown(model: &str) -> String {
    model.chars().take(100).collect()
}

/// Whether another provider may do better: this one could not be reached, was silent, has too much to
/// do, failed, or does not take its key.
fn is_the_providers(error: &Error) -> bool {
    match error {
        // As the client would see it, which knows what the services' own numbers mean.
        Error::Upstream { .. } => matches!(error.status(), 401..=403 | 408 | 429 | 500..=599),
        Error::Unreachable { .. } | Error::Protocol { .. } => true,
        Error::Request { .. } | Error::ThreadUnsupported | Error::Refused { .. } => false,
    }
}

/// Whether another key may do better.
fn is_about_the_key(error: &Error) -> bool {
    matches!(error, Error::Upstream { status: 401..=403 | 429, .. })
}
