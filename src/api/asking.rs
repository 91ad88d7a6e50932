//! A message on its way to a provider and back: what is asked, who waits for it, and what it gets.

use std::cell::RefCell;
use std::rc::Rc;

use super::Api;
use super::ledger::Ledger;
use super::reply::Reply;
use crate::anthropic::{Message, MessagesRequest};
use crate::client::Client;
use crate::exchange::Exchange;
use crate::relay::Stream;
use crate::session::Session;
use crate::translate::native::WholeMessage;
use crate::translate::{Reading, Translator};
use crate::unique::unique;
use crate::upstream::AnswerBody;

/// A message on its way to a provider and back.
pub(super) struct Asking<'a> {
    pub api: &'a Api,
    pub exchange: &'a Exchange,
    pub ledger: &'a Ledger<'a>,
    pub request: &'a MessagesRequest<'a>,
    pub input_estimate: u64,
    /// The session that it belongs to, and what providers are told of it.
    pub session: Option<Session>,
    pub session_id: Option<String>,
}

impl<'a> Asking<'a> {
    pub(super) fn new(
        api: &'a Api,
        exchange: &'a Exchange,
        ledger: &'a Ledger<'a>,
        request: &'a MessagesRequest<'a>,
        input_estimate: u64,
    ) -> Asking<'a> {
        let metadata = request.metadata.map(|metadata| metadata.get());
        let session = Session::of(exchange.caller.session(), metadata);
        let session_id = session.map(Session::id);
        Asking { api, exchange, ledger, request, input_estimate, session, session_id }
    }

    /// The headers that tell what was done.
    pub(super) fn notes(&self) -> Vec<(&'static str, String)> {
        self.ledger.record.borrow().notes()
    }

    /// A translator for one answer.
    #[inline(never)]
    pub(super) fn translator(&self, reading: Reading) -> Box<Translator> {
        let Reading { dialect, names, stops, text_tools, search, is_data } = reading;
        let asked = self.request.stop_sequences.iter().flatten();
        let translator = Translator::new(
            dialect,
            unique("msg_"),
            self.request.model.clone().into_owned(),
            names,
            asked.map(|sequence| sequence.clone().into_owned()).collect(),
            stops,
            self.input_estimate,
        )
        .with_safeguards(self.request.safeguard_results())
        .with_text_tools(text_tools)
        .with_search(search)
        .of_data(is_data);
        Box::new(translator)
    }
}

/// The client, by how it wants its answer.
pub(super) enum Receiver {
    Stream(Rc<RefCell<Stream<Reply>>>),
    Whole(Rc<RefCell<dyn Client>>),
}

impl Receiver {
    pub(super) fn waits(&self) -> Rc<RefCell<dyn Client>> {
        match self {
            Receiver::Stream(stream) => Rc::clone(stream) as Rc<RefCell<dyn Client>>,
            Receiver::Whole(client) => Rc::clone(client),
        }
    }

    /// Whether the client has got anything that a provider said.
    pub(super) fn has_content(&self) -> bool {
        match self {
            Receiver::Stream(stream) => stream.borrow().has_content(),
            Receiver::Whole(_) => false,
        }
    }
}

/// An answer that is complete, and not ended or sent yet.
pub(super) struct Delivered {
    pub answered: Answered,
    pub rest: Rest,
}

/// What a provider has answered.
pub(super) enum Answered {
    /// All but the end of it has gone out.
    Stream,
    Message(Box<Message>),
    /// A whole message as the provider sent it.
    Native(WholeMessage),
}

/// What is left of the provider's body behind its answer; none where a stop sequence has cut it,
/// since the provider may go on for long, and the end of its connection tells it.
pub(super) struct Rest(pub Option<AnswerBody>);

impl Rest {
    /// Reads it, so that the connection can be used again: after the client has its answer.
    pub(super) fn drain(self) {
        if let Some(body) = self.0 {
            body.drain();
        }
    }
}
