//! `POST /v1/messages`, from the request to the last event, and `count_tokens`.

use std::cell::RefCell;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::Api;
use super::reply::Reply;
use crate::anthropic::{self, CountTokens, MessagesRequest, Usage};
use crate::error::{Error, Retry};
use crate::exchange::Exchange;
use crate::health::Outcome;
use crate::metrics::Metrics;
use crate::provider::upstream_model;
use crate::relay::{self, BodyForm, EventWriter, Stream};
use crate::translate::{self, Context, Target, Translator, estimate, translate, upstream_error};
use crate::unique::unique;
use crate::upstream::{Answer, Client, Failure};

/// How much of an upstream's error is read.
const ERROR_LIMIT_BYTES: usize = 64 << 10;

/// Answers a message.
pub fn answer(api: &Api, exchange: &Exchange, reply: Reply) {
    let began = Instant::now();
    #[cfg(debug_assertions)]
    assert!(!exchange.panics, "provoked by a test");

    let request_id = &*exchange.request_id;
    let ending = exchange_message(api, &exchange.body, reply);
    let milliseconds = began.elapsed().as_millis() as u64;
    count(&api.health.metrics, &ending, began.elapsed());
    let provider = api.config.provider.name;
    match ending {
        Ending::Answered { status, usage } => log::info!(
            request_id, action = "anthropic_response", provider, status, duration_ms = milliseconds,
            input_tokens = usage.input_tokens + usage.cache_read_input_tokens,
            output_tokens = usage.output_tokens;
            "POST /v1/messages {provider} {status}, {milliseconds} ms, tokens {} in {} out",
            usage.input_tokens + usage.cache_read_input_tokens, usage.output_tokens
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

/// Counts a message.
fn count(metrics: &Metrics, ending: &Ending, duration: Duration) {
    match ending {
        Ending::Answered { usage, .. } => {
            metrics.succeeded.add(1);
            let input_tokens = usage.input_tokens + usage.cache_read_input_tokens;
            metrics.input_tokens.observe_tokens(input_tokens);
            metrics.output_tokens.observe_tokens(usage.output_tokens);
        }
        Ending::Failed(_) => metrics.failed.add(1),
        // Neither: its answer was not wanted any more.
        Ending::ClientGone => return,
    }
    metrics.duration.observe_time(duration);
}

/// Answers `count_tokens` with an estimate.
pub fn count_tokens(body: &[u8], reply: Reply) {
    match anthropic::parse(body).map(|request| estimate(&request)) {
        Ok(input_tokens) => {
            let body = serde_json::to_vec(&CountTokens { input_tokens });
            reply.json(200, &body.expect("a number serializes"));
        }
        Err(error) => reply.error(&error),
    }
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

/// Translates, asks the provider, and answers.
fn exchange_message(api: &Api, body: &[u8], reply: Reply) -> Ending {
    let request = match anthropic::parse(body) {
        Ok(request) => request,
        Err(error) => return refuse(reply, error),
    };
    let config = &api.config;
    let model = upstream_model(&request.model, &config.model);
    let target = Target {
        provider: config.provider,
        model,
        max_tokens: config.max_tokens,
        images: config.images,
    };
    let translated = match translate(&request, &target) {
        Ok(translated) => translated,
        Err(error) => return refuse(reply, error),
    };
    let upstream_body = serde_json::to_vec(&translated.chat).expect("the wire types serialize");
    let asking = Asking { api, input_estimate: estimate(&request) };
    let translator = asking.translator(&request, translated.names);
    if request.stream == Some(true) {
        asking.stream(&upstream_body, translator, reply)
    } else {
        asking.whole(&upstream_body, translator, reply)
    }
}

/// A request on its way to the provider and back.
struct Asking<'a> {
    api: &'a Api,
    input_estimate: u64,
}

impl Asking<'_> {
    fn translator(&self, request: &MessagesRequest<'_>, names: translate::ToolNames) -> Translator {
        let stops = request.stop_sequences.iter().flatten();
        Translator::new(
            unique("msg_"),
            request.model.clone().into_owned(),
            names,
            stops.map(|stop| stop.clone().into_owned()).collect(),
            self.input_estimate,
        )
    }

    fn stream(&self, body: &[u8], translator: Translator, reply: Reply) -> Ending {
        let client = Rc::new(RefCell::new(Stream::new(translator, reply)));
        let relayed = self.ask(body, client.clone()).and_then(|(mut answer, form)| {
            relay::stream(&client, form, &mut |buffer| answer.body.read(buffer))?;
            Ok(answer)
        });
        match relayed {
            Ok(answer) => {
                answer.body.drain();
                Ending::Answered { status: 200, usage: client.borrow().usage() }
            }
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
                    Ok(error) => refuse(into_stream(client).into_writer(), error),
                }
            }
        }
    }

    fn whole(&self, body: &[u8], translator: Translator, reply: Reply) -> Ending {
        let client = Rc::new(RefCell::new(Silent { socket: reply.socket() }));
        let message = self.ask(body, client).and_then(|(mut answer, form)| {
            let message = relay::whole(translator, form, &mut |buffer| answer.body.read(buffer))?;
            Ok((message, answer))
        });
        match message {
            Ok((message, answer)) => {
                reply.json(200, &serde_json::to_vec(&message).expect("the wire types serialize"));
                answer.body.drain();
                Ending::Answered { status: 200, usage: message.usage }
            }
            Err(Failure::Error(error)) => refuse(reply, error),
            Err(Failure::ClientGone) => {
                reply.abandon();
                Ending::ClientGone
            }
        }
    }

    /// Asks the provider, unless it has failed so often that it is left alone for a while.
    fn ask(
        &self,
        body: &[u8],
        client: Rc<RefCell<dyn Client>>,
    ) -> Result<(Answer, BodyForm), Failure> {
        let health = &self.api.health;
        let permit = health.provider.permit()?;
        let asked = Instant::now();
        let answer = self.ask_provider(body, client);
        match &answer {
            Ok(_) => {
                health.metrics.first_chunk.observe_time(asked.elapsed());
                permit.ended(Outcome::Answered);
            }
            Err(Failure::Error(error)) => {
                health.metrics.upstream_error(error.kind());
                permit.ended(Outcome::of(error));
            }
            Err(Failure::ClientGone) => {}
        }
        answer
    }

    /// Asks the provider; an answer that is an error becomes one.
    fn ask_provider(
        &self,
        body: &[u8],
        client: Rc<RefCell<dyn Client>>,
    ) -> Result<(Answer, BodyForm), Failure> {
        let mut answer = self.api.upstream.send(body, client)?;
        if answer.status == 200 {
            let form = if answer.content_type.contains("json") {
                BodyForm::Whole
            } else {
                BodyForm::Events
            };
            return Ok((answer, form));
        }
        let provider = self.api.config.provider;
        if let (300..400, Some(location)) = (answer.status, &answer.location) {
            let host = location.split('?').next().unwrap_or_default();
            let reason = format!(
                "it is a redirect to {host:?}, which is not followed; set {} to the address meant",
                provider.variable("BASE_URL")
            );
            return Err(Error::Protocol { reason }.into());
        }
        let said = relay::read_whole(&mut |buffer| answer.body.read(buffer), ERROR_LIMIT_BYTES);
        let said = said.or_else(|failure| match failure {
            // The status is told, whatever became of its text.
            Failure::Error(_) => Ok(Vec::new()),
            gone => Err(gone),
        })?;
        let retry: Retry = std::mem::take(&mut answer.retry);
        let context = Context { provider: provider.name, input_estimate: self.input_estimate };
        let mut error = upstream_error(answer.status, &said, retry, context);
        if let Error::Upstream { status, message, .. } = &mut error {
            match status {
                401 | 403 if !provider.key_vars.is_empty() => {
                    message.push_str(&format!(" (check {})", provider.key_vars.join(" or ")));
                }
                404 => message.push_str(&format!(
                    " (check {} and {})",
                    provider.variable("MODEL"),
                    provider.variable("BASE_URL")
                )),
                _ => {}
            }
        }
        Err(error.into())
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
