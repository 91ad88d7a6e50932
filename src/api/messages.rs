//! `POST /v1/messages`, from the request to the last event, and `count_tokens`.

use std::cell::RefCell;
use std::rc::Rc;

use super::Api;
use super::asking::{Answered, Asking, Delivered, Receiver};
use super::count;
use super::dispatch::Dispatch;
use super::ledger::Ledger;
use super::reply::Reply;
use crate::anthropic::{self, CountTokens, MessagesRequest};
use crate::client::{Failure, Silent};
use crate::error::Error;
use crate::exchange::Exchange;
use crate::line::Stop;
use crate::record::{Ending, cut};
use crate::relay::{EventWriter, Source, Stream};
use crate::route::Asked;
use crate::tokens::{estimate, rough_estimate};
use crate::translate::Reading;
use crate::translate::native::WholeMessage;

/// Answers a message.
pub(super) fn answer(api: &Api, exchange: &Exchange, ledger: &Ledger<'_>, reply: Reply) -> Ending {
    #[cfg(debug_assertions)]
    assert!(!exchange.panics, "provoked by a test");

    read(exchange, ledger, reply, |request, reply| {
        let is_stream = request.stream == Some(true);
        {
            let mut record = ledger.record.borrow_mut();
            record.model_asked = Some(cut(&request.model));
            record.stream = is_stream;
        }
        let asking = Asking::new(api, exchange, ledger, request, rough_estimate(request));
        let dispatch = Dispatch::new(asking);
        if is_stream { stream(&dispatch, reply) } else { whole(&dispatch, reply) }
    })
}

/// Answers `count_tokens`: with the provider's own count where it has one, else with an estimate,
/// which a header says it is.
#[inline(never)]
pub(super) fn count_tokens(
    api: &Api,
    exchange: &Exchange,
    ledger: &Ledger<'_>,
    reply: Reply,
) -> Ending {
    read(exchange, ledger, reply, |request, reply| {
        tell_count(api, exchange, ledger, request, reply)
    })
}

fn tell_count(
    api: &Api,
    exchange: &Exchange,
    ledger: &Ledger<'_>,
    request: &MessagesRequest<'_>,
    mut reply: Reply,
) -> Ending {
    ledger.record.borrow_mut().model_asked = Some(cut(&request.model));
    let estimate = estimate(request);
    let route = api.config.routes.choose(&request.model, Asked::of(request, estimate));
    let hop = route.hops[0];
    let provider = &api.providers[hop.provider];
    let model = hop.model(&provider.config.model, &request.model);
    let client = Rc::new(RefCell::new(Silent { peer: reply.peer() }));
    ledger.turn_of(provider, model);
    let counted =
        ledger.waiting(|| count::count_tokens(provider, exchange, request, model, client));
    let (input_tokens, source) = match counted {
        Ok(Some(input_tokens)) => (input_tokens, "provider"),
        Ok(None) => (estimate, "estimate"),
        Err(()) => {
            reply.abandon();
            return Ending::ClientGone;
        }
    };
    reply.notes.push(("x-ccproxy-token-count", source.to_owned()));
    let body = serde_json::to_vec(&CountTokens { input_tokens });
    match reply.json(200, &body.expect("a number serializes")) {
        Ok(()) => Ending::Answered,
        Err(_) => Ending::ClientGone,
    }
}

/// Has the request answered once it is read, unless nobody waits any more or it makes no sense.
fn read(
    exchange: &Exchange,
    ledger: &Ledger<'_>,
    reply: Reply,
    answer: impl FnOnce(&MessagesRequest<'_>, Reply) -> Ending,
) -> Ending {
    let peer = reply.peer();
    let has_gone = || peer.as_ref().is_some_and(|peer| peer.stopped() == Some(Stop::ClientGone));
    // Nobody who has gone is read on for.
    let room = |bytes| match has_gone() {
        true => Err(Error::Internal),
        false => exchange.take_beside_body(bytes),
    };
    match anthropic::parse_within(&exchange.body, &room) {
        _ if has_gone() => {
            reply.abandon();
            Ending::ClientGone
        }
        Ok(request) => answer(&request, reply),
        Err(error) => refuse(reply, ledger, error),
    }
}

/// Tells the client. Whatever becomes of that, the message has ended so, and who is told and looks
/// finds it counted.
#[inline(never)]
fn refuse(reply: Reply, ledger: &Ledger<'_>, error: Error) -> Ending {
    let ending = Ending::Failed(error.clone());
    ledger.settle(&ending);
    reply.error(&error);
    ending
}

#[inline(never)]
fn stream(dispatch: &Dispatch<'_>, reply: Reply) -> Ending {
    let client = client(dispatch, reply);
    let result = dispatch.run(&Receiver::Stream(Rc::clone(&client)));
    let ledger = dispatch.asking.ledger;
    {
        let stream = client.borrow();
        if result.is_ok() || stream.has_content() {
            ledger.used(stream.usage());
        }
        ledger.record.borrow_mut().stop_reason = stream.stop_reason().map(cut);
    }
    // Before the client has its end, whatever it can ask next is known.
    let ended = result.and_then(|delivered| client.borrow_mut().end().map(|()| delivered));
    match ended {
        Ok(delivered) => {
            delivered.rest.drain();
            Ending::Answered
        }
        Err(Failure::ClientGone) => {
            forget(client);
            Ending::ClientGone
        }
        Err(Failure::Error(error)) => {
            ledger.settle(&Ending::Failed(error.clone()));
            let told = client.borrow_mut().fail(error.clone());
            match told {
                // It failed before the client left.
                Err(_) => {
                    forget(client);
                    Ending::Failed(error)
                }
                // It had begun, so it has ended with the error.
                Ok(error) if client.borrow().has_begun() => Ending::Failed(error),
                Ok(error) => {
                    let mut reply = into_reply(client);
                    reply.notes = dispatch.asking.notes();
                    refuse(reply, ledger, error)
                }
            }
        }
    }
}

#[inline(never)]
fn client(dispatch: &Dispatch<'_>, reply: Reply) -> Rc<RefCell<Stream<Reply>>> {
    let source = Source::Translated(dispatch.asking.translator(Reading::default()));
    Rc::new(RefCell::new(Stream::new(source, reply)))
}

#[inline(never)]
fn whole(dispatch: &Dispatch<'_>, mut reply: Reply) -> Ending {
    let client = Rc::new(RefCell::new(Silent { peer: reply.peer() }));
    let delivered = dispatch.run(&Receiver::Whole(client));
    reply.notes = dispatch.asking.notes();
    let Delivered { answered, rest } = match delivered {
        Ok(delivered) => delivered,
        Err(Failure::Error(error)) => return refuse(reply, dispatch.asking.ledger, error),
        Err(Failure::ClientGone) => {
            reply.abandon();
            return Ending::ClientGone;
        }
    };
    let (body, usage, stop_reason) = match answered {
        Answered::Message(message) => {
            let body = serde_json::to_vec(&message).expect("the wire types serialize");
            (body, message.usage, Some(message.stop_reason.as_str().to_owned()))
        }
        Answered::Native(WholeMessage { body, usage, stop_reason }) => (body, usage, stop_reason),
        Answered::Stream => unreachable!("only a stream is streamed"),
    };
    let ledger = dispatch.asking.ledger;
    ledger.used(usage);
    ledger.record.borrow_mut().stop_reason = stop_reason.as_deref().map(cut);
    let sent = reply.json(200, &body);
    rest.drain();
    match sent {
        Ok(()) => Ending::Answered,
        Err(_) => Ending::ClientGone,
    }
}

/// The reply, once the upstream call has let go of its stream.
#[inline(never)]
fn into_reply(client: Rc<RefCell<Stream<Reply>>>) -> Reply {
    Rc::into_inner(client).expect("the call is over").into_inner().into_writer()
}

/// Sends nothing more to a client that has gone.
fn forget(client: Rc<RefCell<Stream<Reply>>>) {
    into_reply(client).abandon();
}
