//! A request that has come whole: whether it is answered, and how it goes to the worker that does.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use super::Shared;
use super::connection::{Connection, Request};
use super::desk::{Desk, Ticket};
use super::slot::Slot;
use crate::error::Error;
use crate::exchange::{Errand, Exchange, Regular};
use crate::line::{Home, Line, Manner, Peer};
use crate::memory::Loan;
use crate::record::Refusal;
use crate::unique::unique;

/// A request that is answered.
pub(super) struct Admitted {
    exchange: Box<Exchange>,
    manner: Manner,
    /// What it takes of the door's room, until nearly all of the answer is written.
    room: Box<dyn Any + Send>,
    /// Counts until the last byte is sent, which is what a shutdown waits for.
    counted: Box<dyn Any + Send>,
}

/// A request that is not.
pub(super) struct TurnedAway {
    ticket: Ticket,
    manner: Manner,
    refusal: Refusal,
    error: Error,
}

impl Shared {
    /// Admits a request, if there is a place for it.
    pub(super) fn admit(&self, request: Request<Ticket>) -> Result<Admitted, Box<TurnedAway>> {
        let Request { ticket, body, share, manner, .. } = request;
        let slot = Slot::take(&self.admitted, self.limits.max_in_flight);
        if let Some((refusal, error)) = self.refusal(slot.is_some()) {
            return Err(Box::new(TurnedAway { ticket, manner, refusal, error }));
        }
        let counted = Slot::take(&self.in_flight, usize::MAX);
        let share = Arc::new(share);
        let room = Box::new((slot, Loan(Arc::clone(&share))));
        let exchange = Exchange {
            request_id: unique("req_"),
            call: ticket.call,
            method: ticket.method,
            body: Arc::new(body),
            share,
            caller: ticket.whose.caller,
            origin: ticket.whose.origin,
            anthropic_version: ticket.anthropic_version,
            anthropic_beta: ticket.anthropic_beta,
            #[cfg(debug_assertions)]
            panics: ticket.panics,
        };
        Ok(Admitted { exchange: Box::new(exchange), manner, room, counted: Box::new(counted) })
    }
}

impl Admitted {
    /// What a worker is given: the request, and the connection `key`, which goes back to `home`.
    pub(super) fn errand(
        self,
        peer: Arc<Peer>,
        home: Arc<dyn Home>,
        key: usize,
        regular: Option<Arc<dyn Regular>>,
    ) -> Errand {
        let Admitted { exchange, manner, room, counted } = self;
        Errand::Exchange(exchange, Line::new(peer, manner, home, key, room, counted), regular)
    }
}

impl TurnedAway {
    /// Answers it with the reason.
    pub(super) fn tell(self, core: &mut Connection<Ticket>, now: Instant, desk: &mut Desk) {
        let TurnedAway { ticket, manner, refusal, error } = self;
        core.refuse(Some(&ticket), refusal, &error, manner, now, desk);
    }
}
