//! `POST /v1/messages`, from the request to the last event, and `count_tokens`.

use std::cell::RefCell;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::Api;
use super::attempt::{Asking, Delivered, Receiver};
use super::count;
use super::dispatch::Dispatch;
use super::reply::Reply;
use crate::anthropic::{self, CountTokens, Usage};
use crate::error::Error;
use crate::exchange::Exchange;
use crate::relay::{EventWriter, Stream};
use crate::route::Asked;
use crate::translate::{Reading, estimate, rough_estimate};
use crate::upstream::{Client, Failure};

/// Answers a message.
pub fn answer(api: &Api, exchange: &Exchange, reply: Reply) {
    let began = Instant::now();
    #[cfg(debug_assertions)]
    assert!(!exchange.panics, "provoked by a test");

    let request_id = &*exchange.request_id;
    let (place, ending) = exchange_message(api, exchange, reply);
    let milliseconds = began.elapsed().as_millis() as u64;
    record(api, place, &ending, began.elapsed());
    let provider = &*api.provider(place).config.name;
    match ending {
        Ending::Answered { status, usage } => log::info!(
            request_id, action = "anthropic_response", provider, status, duration_ms = milliseconds,
            input_tokens = usage.input_tokens.saturating_add(usage.cache_read_input_tokens),
            output_tokens = usage.output_tokens;
            "POST /v1/messages {provider} {status}, {milliseconds} ms, tokens {} in {} out",
            usage.input_tokens.saturating_add(usage.cache_read_input_tokens), usage.output_tokens
        ),
        Ending::Failed(error) => {
            let status = error.status();
            let level = if status >= 500 { log::Level::Warn } else { log::Level::Info };
            log::log!(
                level, request_id, action = "anthropic_response", provider, status,
                duration_ms = milliseconds;
                "POST /v1/messages {provider} {status}, {milliseconds} ms: {error}"
            );
        }
        Ending::ClientGone => log::info!(
            request_id, action = "anthropic_response", provider, duration_ms = milliseconds;
            "POST /v1/messages {provider}, the client left after {milliseconds} ms"
        ),
    }
}

/// Counts a message, as the one of the provider that was asked last.
fn record(api: &Api, place: usize, ending: &Ending, duration: Duration) {
    let metrics = api.metrics(place);
    match ending {
        Ending::Answered { usage, .. } => {
            metrics.succeeded.add(1);
            let input_tokens = usage.input_tokens.saturating_add(usage.cache_read_input_tokens);
            metrics.input_tokens.observe_tokens(input_tokens);
            metrics.output_tokens.observe_tokens(usage.output_tokens);
        }
        Ending::Failed(_) => metrics.failed.add(1),
        // Neither: its answer was not wanted any more.
        Ending::ClientGone => return,
    }
    metrics.duration.observe_time(duration);
}

/// Answers `count_tokens`: with the provider's own count where it has one, else with an estimate, which
/// a header says it is.
pub fn count_tokens(api: &Api, exchange: &Exchange, mut reply: Reply) {
    let request = match anthropic::parse(&exchange.body) {
        Ok(request) => request,
        Err(error) => return reply.error(&error),
    };
    let estimate = estimate(&request);
    let route = api.config.routes.choose(&request.model, Asked::of(&request, estimate));
    let hop = route.hops[0];
    let config = api.provider(hop.provider).config;
    let model = hop.model(&config.model, &request.model);
    let client = Rc::new(RefCell::new(Silent { socket: reply.socket() }));
    let counted = count::count_tokens(api, exchange, hop.provider, model, client);
    let (input_tokens, source) = match counted {
        Ok(Some(input_tokens)) => (input_tokens, "provider"),
        Ok(None) => (estimate, "estimate"),
        Err(()) => return reply.abandon(),
    };
    reply.notes.push(("x-ccproxy-token-count", source.to_owned()));
    let body = serde_json::to_vec(&CountTokens { input_tokens });
    reply.json(200, &body.expect("a number serializes"));
}

/// How a message ended, for the log.
enum Ending {
    Answered { status: u16, usage: Usage },
    Failed(Error),
    ClientGone,
}

fn refuse(reply: Reply, error: Error) -> Ending {
    reply.error(&error);
    Ending::Failed(error)
}

/// Has the message answered. Returns the provider that was asked last.
fn exchange_message(api: &Api, exchange: &Exchange, reply: Reply) -> (usize, Ending) {
    let request = match anthropic::parse(&exchange.body) {
        Ok(request) => request,
        Err(error) => return (0, refuse(reply, error)),
    };
    let asking = Asking::new(api, exchange, &request, rough_estimate(&request));
    let dispatch = Dispatch::new(asking);
    let ending = if request.stream == Some(true) {
        stream(&dispatch, reply)
    } else {
        whole(&dispatch, reply)
    };
    (dispatch.provider.get(), ending)
}

fn stream(dispatch: &Dispatch<'_>, reply: Reply) -> Ending {
    let translator = dispatch.asking.translator(Reading::default());
    let client = Rc::new(RefCell::new(Stream::new(translator, reply)));
    let result = dispatch.run(&Receiver::Stream(Rc::clone(&client)));
    match result {
        Ok(_) => Ending::Answered { status: 200, usage: client.borrow().usage() },
        Err(Failure::ClientGone) => {
            forget(client);
            Ending::ClientGone
        }
        Err(Failure::Error(error)) => {
            let told = client.borrow_mut().fail(error);
            match told {
                Err(_) => {
                    forget(client);
                    Ending::ClientGone
                }
                // A ping had begun the stream, so it has ended with the error.
                Ok(error) if client.borrow().has_begun() => Ending::Failed(error),
                Ok(error) => {
                    let mut reply = into_stream(client).into_writer();
                    reply.notes = dispatch.asking.notes();
                    refuse(reply, error)
                }
            }
        }
    }
}

fn whole(dispatch: &Dispatch<'_>, mut reply: Reply) -> Ending {
    let client = Rc::new(RefCell::new(Silent { socket: reply.socket() }));
    let delivered = dispatch.run(&Receiver::Whole(client));
    reply.notes = dispatch.asking.notes();
    match delivered {
        Ok(Delivered::Message(message)) => {
            reply.json(200, &serde_json::to_vec(&message).expect("the wire types serialize"));
            Ending::Answered { status: 200, usage: message.usage }
        }
        Ok(Delivered::Native(body, usage)) => {
            reply.json(200, &body);
            Ending::Answered { status: 200, usage }
        }
        Ok(Delivered::Streamed) => unreachable!("only a stream is streamed"),
        Err(Failure::Error(error)) => refuse(reply, error),
        Err(Failure::ClientGone) => {
            reply.abandon();
            Ending::ClientGone
        }
    }
}

/// A client that gets its answer whole: it can leave, but not be kept warm.
struct Silent {
    socket: Option<RawFd>,
}

impl Client for Silent {
    fn socket(&self) -> Option<RawFd> {
        self.socket
    }

    fn wake_at(&self) -> Instant {
        Instant::now() + Duration::from_secs(3600)
    }

    fn wake(&mut self) {}
}

/// The stream, once the upstream call has let go of it.
fn into_stream(client: Rc<RefCell<Stream<Reply>>>) -> Stream<Reply> {
    Rc::into_inner(client).expect("the call is over").into_inner()
}

/// Sends nothing more to a client that has gone.
fn forget(client: Rc<RefCell<Stream<Reply>>>) {
    into_stream(client).into_writer().abandon();
}
