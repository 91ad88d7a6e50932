//! From a request to the answer of one of the providers that its route names: each is asked in turn
//! until one answers, with another key where one is refused, and once more where a refusal teaches how.
//!
//! Nothing of an answer that failed has reached the client when the next provider is asked.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;

use super::reply::Reply;
use super::{Api, Provider, native};
use crate::anthropic::{Message, MessagesRequest, Usage};
use crate::config::Native;
use crate::error::{Error, Retry};
use crate::exchange::Exchange;
use crate::health::Outcome;
use crate::openai::Dialect;
use crate::relay::{self, BodyForm, Stream};
use crate::route::{Asked, Choice};
use crate::translate::{
    Context, Learned, Lesson, Report, Stops, Target, ToolNames, Translated, Translator,
    for_responses, translate, upstream_error,
};
use crate::unique::unique;
use crate::upstream::{Answer, Ask, Client, Endpoint, Failure};

/// How much of an upstream's error is read.
const ERROR_LIMIT_BYTES: usize = 64 << 10;

/// A message on its way to a provider and back.
pub struct Dispatch<'a> {
    pub api: &'a Api,
    pub exchange: &'a Exchange,
    pub request: &'a MessagesRequest<'a>,
    pub input_estimate: u64,
    /// The provider that was asked last.
    pub provider: Cell<usize>,
    /// Headers that tell the client what was done.
    notes: RefCell<Vec<(&'static str, String)>>,
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

/// A refusal in the provider's own words, beside what it means.
struct Refused {
    error: Error,
    status: u16,
    body: Vec<u8>,
}

/// How an attempt failed.
enum Failed {
    Refused(Refused),
    Other(Failure),
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Failed {
        Failed::Other(failure)
    }
}

impl Receiver {
    fn waits(&self) -> Rc<RefCell<dyn Client>> {
        match self {
            Receiver::Stream(stream) => Rc::clone(stream) as Rc<RefCell<dyn Client>>,
            Receiver::Whole(client) => Rc::clone(client),
        }
    }

    /// Whether the client has got anything that a provider said.
    fn has_content(&self) -> bool {
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
    pub fn notes(&self) -> Vec<(&'static str, String)> {
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
        route.hops.sort_by_key(|hop| self.api.state(hop.provider).is_resting());
        log::debug!(
            request_id = &*self.exchange.request_id;
            "model {:?} goes to {} by {}",
            self.request.model, self.api.provider(route.hops[0].provider).config.name, route.by
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
        let mut lesson: Option<Lesson> = None;
        let mut keys_left = provider.config.keys.len();
        loop {
            let attempt =
                Attempt { dispatch: self, place: hop.provider, provider, model, receiver };
            let (attempted, next) = attempt.run(&learned, lesson.as_ref());
            let refused = match attempted {
                Ok(delivered) => {
                    if let Some(lesson) = lesson.filter(Lesson::is_lasting) {
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
                        "{name} refused a request for {model}, which is sent once more, {next}: {}",
                        refused.error
                    );
                    self.api.metrics(hop.provider).adjusted.add(1);
                    learned.add(next.clone());
                    lesson = Some(next);
                }
                // The first lesson was right, since something else is refused now: the client's next
                // try has it, and learns this one.
                (Some(known), Some(_)) if known.is_lasting() => {
                    self.api.health.lessons.add(hop.provider, model, known);
                    return Err(refused.error.into());
                }
                _ => return Err(refused.error.into()),
            }
        }
    }
}

/// One request to one provider.
struct Attempt<'a> {
    dispatch: &'a Dispatch<'a>,
    place: usize,
    provider: Provider<'a>,
    model: &'a str,
    receiver: &'a Receiver,
}

/// What is sent to the provider, and how its answer is read.
struct Outgoing<'a> {
    endpoint: Endpoint,
    body: Cow<'a, [u8]>,
    /// `None` where the answer is the provider's own.
    reading: Option<Reading>,
}

/// What an answer is translated back with.
#[derive(Default)]
pub struct Reading {
    pub dialect: Dialect,
    pub names: ToolNames,
    /// The stop sequences that the provider was not told.
    pub stops: Stops,
}

impl Attempt<'_> {
    /// Asks. Beside a refusal comes what it teaches.
    fn run(
        &self,
        learned: &Learned,
        tried: Option<&Lesson>,
    ) -> (Result<Delivered, Failed>, Option<Lesson>) {
        let dispatch = self.dispatch;
        if self.is_native(learned) {
            self.note(None, tried);
            let body = match native::request(&dispatch.exchange.body, self.model) {
                Ok(body) => body,
                Err(error) => return (Err(Failed::Other(error.into())), None),
            };
            let outgoing = Outgoing { endpoint: Endpoint::Messages, body, reading: None };
            let attempted = self.ask_and_deliver(outgoing);
            let lesson = match &attempted {
                Err(Failed::Refused(refused)) => self.native_lesson(refused),
                _ => None,
            };
            return (attempted, lesson);
        }
        let config = self.provider.config;
        let api = config.api.or(learned.api()).unwrap_or_else(|| config.row.api_of(self.model));
        let target = Target {
            provider: config.row,
            model: self.model,
            max_tokens: config.max_tokens_for(self.model),
            images: config.images,
            api,
            learned,
        };
        let Translated { chat, names, stops, report } = match translate(dispatch.request, &target) {
            Ok(translated) => translated,
            Err(error) => return (Err(Failed::Other(error.into())), None),
        };
        self.note(Some(&report), tried);
        let (endpoint, body) = match api {
            Dialect::ChatCompletions => (Endpoint::ChatCompletions, serde_json::to_vec(&chat)),
            Dialect::Responses => {
                let reasons = config.row.knows_effort(self.model);
                (Endpoint::Responses, serde_json::to_vec(&for_responses(chat, reasons)))
            }
        };
        let body = Cow::Owned(body.expect("the wire types serialize"));
        let reading = Reading { dialect: api, names, stops };
        let outgoing = Outgoing { endpoint, body, reading: Some(reading) };
        let attempted = self.ask_and_deliver(outgoing);
        let lesson = match &attempted {
            Err(Failed::Refused(refused)) => {
                // The same again, since what was sent is bytes by now.
                let sent = translate(dispatch.request, &target).ok();
                let lesson =
                    sent.and_then(|t| learned.lesson(refused.status, &refused.body, &t.chat));
                // What the user has chosen stays.
                lesson.filter(|lesson| config.api.is_none() || !matches!(lesson, Lesson::Api(_)))
            }
            _ => None,
        };
        (attempted, lesson)
    }

    fn is_native(&self, learned: &Learned) -> bool {
        let config = self.provider.config;
        config.is_native(self.model) && (config.native == Native::On || !learned.is_not_native())
    }

    /// Where the Messages API refuses what may be its own fault, chat completions are tried.
    fn native_lesson(&self, refused: &Refused) -> Option<Lesson> {
        let config = self.provider.config;
        let has_other = config.native == Native::Auto && config.row.speaks_chat;
        let may_be_its_own = matches!(refused.status, 400 | 404 | 405 | 415 | 422 | 501);
        if !has_other || !may_be_its_own || is_overflow(&refused.error) {
            return None;
        }
        // A conversation that another provider began has no thinking of this one.
        let said = refused.error.to_string();
        let is_about_thinking = said.contains("thinking") || said.contains("signature");
        Some(Lesson::NotNative(!is_about_thinking))
    }

    /// Tells the client who answers, and what was left out or changed for it.
    fn note(&self, report: Option<&Report>, lesson: Option<&Lesson>) {
        let mut notes = vec![
            ("x-ccproxy-provider", self.provider.config.name.clone()),
            ("x-ccproxy-model", self.model.to_owned()),
        ];
        if let Some(dropped) = report.map(|r| r.dropped.join(", ")).filter(|d| !d.is_empty()) {
            notes.push(("x-ccproxy-dropped", dropped));
        }
        let adjusted = report.map(|report| report.adjusted.clone()).unwrap_or_default();
        let adjusted: Vec<String> =
            adjusted.into_iter().chain(lesson.map(|lesson| format!("learned: {lesson}"))).collect();
        if !adjusted.is_empty() {
            notes.push(("x-ccproxy-adjusted", adjusted.join(", ")));
        }
        *self.dispatch.notes.borrow_mut() = notes;
    }

    /// Asks, unless the provider has failed so often that it is left alone for a while, and passes the
    /// answer on.
    fn ask_and_deliver(&self, outgoing: Outgoing<'_>) -> Result<Delivered, Failed> {
        let dispatch = self.dispatch;
        let metrics = dispatch.api.metrics(self.place);
        let permit =
            dispatch.api.state(self.place).permit().map_err(|error| Failed::Other(error.into()))?;
        let translator = match self.receiver {
            Receiver::Stream(stream) => {
                let mut stream = stream.borrow_mut();
                stream.writer_mut().notes = dispatch.notes();
                let native = outgoing.reading.is_none().then(|| dispatch.request.model.to_string());
                stream.prepare(
                    |translator| {
                        if let Some(Reading { dialect, names, stops }) = outgoing.reading {
                            translator.restart(dialect, names, stops);
                        }
                    },
                    native,
                );
                None
            }
            Receiver::Whole(_) => outgoing.reading.map(|reading| dispatch.translator(reading)),
        };
        let is_native = outgoing.endpoint == Endpoint::Messages;
        let headers = if is_native { dispatch.exchange.native_headers() } else { Vec::new() };
        let ask = Ask {
            endpoint: outgoing.endpoint,
            key: permit.key,
            body: &outgoing.body,
            headers: &headers,
        };
        let asked = Instant::now();
        let answered = self.ask(ask);
        match &answered {
            Ok(_) => {
                metrics.first_chunk.observe_time(asked.elapsed());
                permit.ended(Outcome::Answered);
            }
            Err(Failed::Refused(Refused { error, .. }) | Failed::Other(Failure::Error(error))) => {
                metrics.upstream_error(error.kind());
                permit.ended(Outcome::of(error));
            }
            Err(Failed::Other(Failure::ClientGone)) => {}
        }
        let answer = answered?;
        let delivered = self.deliver(answer, is_native, translator);
        if let Err(Failure::Error(error)) = &delivered {
            // The head was fine, what followed was not.
            metrics.upstream_error(error.kind());
        }
        Ok(delivered?)
    }

    /// Asks; an answer that is an error becomes one.
    fn ask(&self, ask: Ask<'_>) -> Result<Answer, Failed> {
        let config = self.provider.config;
        let mut answer = self.provider.upstream.send(ask, self.receiver.waits())?;
        if answer.status == 200 {
            return Ok(answer);
        }
        let variable = |suffix: &str| config.variable(suffix);
        if let (300..400, Some(location)) = (answer.status, &answer.location) {
            let host = location.split('?').next().unwrap_or_default();
            let reason = format!(
                "it is a redirect to {host:?}, which is not followed; set {} to the address meant",
                variable("BASE_URL")
            );
            return Err(Failed::Other(Error::Protocol { reason }.into()));
        }
        let said = relay::read_whole(&mut |buffer| answer.body.read(buffer), ERROR_LIMIT_BYTES);
        let said = said.or_else(|failure| match failure {
            // The status is told, whatever became of its text.
            Failure::Error(_) => Ok(Vec::new()),
            gone => Err(gone),
        })?;
        let retry: Retry = std::mem::take(&mut answer.retry);
        let context =
            Context { provider: &config.name, input_estimate: self.dispatch.input_estimate };
        let mut error = upstream_error(answer.status, &said, retry, context);
        if let Error::Upstream { status, message, .. } = &mut error {
            match status {
                401 | 403 if !config.keys.is_empty() || !config.row.key_vars.is_empty() => {
                    message.push_str(&format!(" (check {})", config.key_variables()));
                }
                404 => message.push_str(&format!(
                    " (check {} and {})",
                    variable("MODEL"),
                    variable("BASE_URL")
                )),
                _ => {}
            }
        }
        Err(Failed::Refused(Refused { error, status: answer.status, body: said }))
    }

    /// Passes the answer on, or makes a whole message of it.
    fn deliver(
        &self,
        mut answer: Answer,
        is_native: bool,
        translator: Option<Translator>,
    ) -> Result<Delivered, Failure> {
        let is_json = answer.content_type.contains("json");
        let form = if is_json { BodyForm::Whole } else { BodyForm::Events };
        let mut read = |buffer: &mut [u8]| answer.body.read(buffer);
        let mut is_cut = false;
        let delivered = match (self.receiver, is_native) {
            (Receiver::Stream(_), true) if is_json => {
                let reason = "it is not the stream that was asked for".to_owned();
                return Err(Error::Protocol { reason }.into());
            }
            (Receiver::Stream(stream), _) => {
                let form = if is_native { BodyForm::Native } else { form };
                relay::stream(stream, form, &mut read)?;
                is_cut = stream.borrow().is_cut();
                Delivered::Streamed
            }
            (Receiver::Whole(_), true) => {
                let body = relay::read_whole(&mut read, relay::WHOLE_LIMIT_BYTES)?;
                let model = &self.dispatch.request.model;
                let (body, usage) = relay::native::whole(body, model)?;
                Delivered::Native(body, usage)
            }
            (Receiver::Whole(_), false) => {
                let mut translator = translator.expect("made for the answers that are translated");
                let message = relay::whole(&mut translator, form, &mut read)?;
                is_cut = translator.is_cut();
                Delivered::Message(Box::new(message))
            }
        };
        // The provider may go on for long after a stop sequence; the end of its connection tells it.
        if !is_cut {
            answer.body.drain();
        }
        Ok(delivered)
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

/// Whether another provider may do better: this one could not be reached, was silent, has too much to
/// do, failed, or does not take its key.
fn is_the_providers(error: &Error) -> bool {
    match error {
        Error::Upstream { status, .. } => matches!(status, 401..=403 | 408 | 429 | 500..=599),
        Error::Unreachable { .. } | Error::Protocol { .. } => true,
        Error::Request { .. } | Error::ThreadUnsupported | Error::Refused { .. } => false,
    }
}

/// Whether another key may do better.
fn is_about_the_key(error: &Error) -> bool {
    matches!(error, Error::Upstream { status: 401..=403 | 429, .. })
}

/// Whether the client has to make its request smaller.
fn is_overflow(error: &Error) -> bool {
    let told = error.to_string();
    told.starts_with("prompt is too long") || told.starts_with("input length and")
}
