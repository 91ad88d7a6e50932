//! One request to one provider: how it is asked, what is made of its answer, and what its refusal
//! teaches.
//!
//! What comes before and after an answer is in frames of its own, which are not on the stack while
//! the answer is relayed: there may be a thousand of them.

use std::borrow::Cow;
use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::ledger::Ledger;
use super::reply::Reply;
use super::{Api, Provider};
use crate::anthropic::{Message, MessagesRequest};
use crate::client::{Client, Failure};
use crate::config;
use crate::error::{Cause, Error, Retry};
use crate::exchange::Exchange;
use crate::health::Outcome;
use crate::heap;
use crate::memory::Share;
use crate::metrics::ProviderMetrics;
use crate::openai::Dialect;
use crate::provider::Key;
use crate::redact::Redactor;
use crate::relay::{self, Body, BodyForm, Source, Stream};
use crate::translate::native::{self, Native, WholeMessage};
use crate::translate::{
    Context, Explain, Learned, Lesson, Reading, Report, Target, TextTools, Translated, Translator,
    first_words, is_output_limit, lesson_of, may_teach, native_request, translate, upstream_error,
    window_of,
};
use crate::unique::unique;
use crate::upstream::{Answer, AnswerBody, Ask, Endpoint};

/// A message on its way to a provider and back.
pub(super) struct Asking<'a> {
    pub api: &'a Api,
    pub exchange: &'a Exchange,
    pub ledger: &'a Ledger<'a>,
    pub request: &'a MessagesRequest<'a>,
    pub input_estimate: u64,
}

/// The client, by how it wants its answer.
pub(super) enum Receiver {
    Stream(Rc<RefCell<Stream<Reply>>>),
    Whole(Rc<RefCell<dyn Client>>),
}

/// An answer that is complete, and not ended or sent yet.
pub(super) struct Delivered {
    pub said: Said,
    pub rest: Rest,
}

/// What a provider has answered.
pub(super) enum Said {
    /// All but the end of it has gone out.
    Stream,
    Message(Box<Message>),
    /// A whole message as the provider sent it.
    Native(WholeMessage),
}

/// What is left of the provider's body behind its answer; none where a stop sequence has cut it,
/// since the provider may go on for long, and the end of its connection tells it.
pub(super) struct Rest(Option<AnswerBody>);

impl Rest {
    /// Reads it, so that the connection can be used again: after the client has its answer.
    pub(super) fn drain(self) {
        if let Some(body) = self.0 {
            body.drain();
        }
    }
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

impl<'a> Asking<'a> {
    pub(super) fn new(
        api: &'a Api,
        exchange: &'a Exchange,
        ledger: &'a Ledger<'a>,
        request: &'a MessagesRequest<'a>,
        input_estimate: u64,
    ) -> Asking<'a> {
        Asking { api, exchange, ledger, request, input_estimate }
    }

    /// The headers that tell what was done.
    pub(super) fn notes(&self) -> Vec<(&'static str, String)> {
        self.ledger.record.borrow().notes()
    }

    /// A translator for one answer.
    #[inline(never)]
    pub(super) fn translator(&self, reading: Reading) -> Box<Translator> {
        let Reading { dialect, names, stops, text_tools, is_data } = reading;
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
        .of_data(is_data);
        Box::new(translator)
    }
}

/// A refusal in the provider's own words, beside what it means.
pub(super) struct Refused {
    pub error: Error,
    status: u16,
    body: Vec<u8>,
}

/// How an attempt failed.
pub(super) enum Failed {
    Refused(Box<Refused>),
    Other(Failure),
}

impl Failed {
    /// The same without secrets.
    #[inline(never)]
    fn redacted(self, redactor: &Redactor) -> Failed {
        match self {
            Failed::Refused(refused) => {
                let error = redactor.error(refused.error);
                Failed::Refused(Box::new(Refused { error, ..*refused }))
            }
            Failed::Other(Failure::Error(error)) => Failed::Other(redactor.error(error).into()),
            gone => gone,
        }
    }

    /// The same in words for people.
    #[inline(never)]
    fn explained(self, explain: &Explain) -> Failed {
        match self {
            Failed::Refused(mut refused) => {
                refused.error = explain.explain(refused.error);
                Failed::Refused(refused)
            }
            Failed::Other(Failure::Error(error)) => Failed::Other(explain.explain(error).into()),
            gone => gone,
        }
    }
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Failed {
        Failed::Other(failure)
    }
}

/// One request to one provider.
pub(super) struct Attempt<'a> {
    pub asking: &'a Asking<'a>,
    pub provider: &'a Provider,
    pub model: &'a str,
    pub receiver: &'a Receiver,
}

/// What is sent to the provider, and how its answer is read.
struct Outgoing<'a> {
    endpoint: Endpoint,
    body: Cow<'a, [u8]>,
    /// `None` where the answer is the provider's own.
    reading: Option<Reading>,
}

impl Attempt<'_> {
    /// Asks. Beside a refusal comes what it teaches.
    pub(super) fn run(
        &self,
        learned: &Learned,
        tried: Option<&Lesson>,
    ) -> (Result<Delivered, Failed>, Option<Lesson>) {
        let asking = self.asking;
        if self.is_native(learned) {
            let limit = self.provider.config.max_tokens.filter(|limit| *limit > 0);
            let row = self.provider.config.row;
            let (body, report) = match native_request(&asking.exchange.body, row, self.model, limit)
            {
                Ok(made) => made,
                Err(error) => return (Err(Failed::Other(error.into())), None),
            };
            self.note(&report, tried);
            let outgoing = Outgoing { endpoint: Endpoint::Messages, body, reading: None };
            let attempted = self.ask_and_deliver(outgoing);
            let lesson = match &attempted {
                Err(Failed::Refused(refused)) => self.native_lesson(refused),
                _ => None,
            };
            return (attempted, lesson);
        }
        let config = &self.provider.config;
        let api = config.api.or(learned.api()).unwrap_or_else(|| config.row.api_of(self.model));
        let target = Target {
            provider: config.row,
            model: self.model,
            max_tokens: config.max_tokens_for(self.model),
            images: config.images,
            api,
            learned,
        };
        let outgoing = match self.translated(&target, tried) {
            Ok(outgoing) => outgoing,
            Err(error) => return (Err(Failed::Other(error.into())), None),
        };
        let attempted = self.ask_and_deliver(outgoing);
        let lesson = match &attempted {
            Err(Failed::Refused(refused)) if may_teach(refused.status, &refused.body) => {
                // The same again, since what was sent is bytes by now.
                let sent = translate(asking.request, &target).ok();
                let lesson = sent.and_then(|translated| {
                    let sent = translated.wanted.sent();
                    lesson_of(learned, refused.status, &refused.body, &sent)
                });
                // What the user has chosen stays.
                lesson.filter(|lesson| config.api.is_none() || !matches!(lesson, Lesson::Api(_)))
            }
            _ => None,
        };
        (attempted, lesson)
    }

    /// The request in the provider's words.
    #[inline(never)]
    fn translated(&self, target: &Target, tried: Option<&Lesson>) -> Result<Outgoing<'_>, Error> {
        let Translated { wanted, mut names, stops, report } =
            translate(self.asking.request, target)?;
        names.keep_secret(Arc::clone(self.provider.upstream.redactor()));
        self.note(&report, tried);
        let tools = wanted.tools.iter().map(|tool| &tool.function);
        let tools = tools.map(|function| (&*function.name, function.parameters.get()));
        let text_tools = self.provider.config.text_tools.then(|| TextTools::new(tools));
        let endpoint = match target.api {
            Dialect::ChatCompletions => Endpoint::ChatCompletions,
            Dialect::Responses => Endpoint::Responses,
        };
        let body = serde_json::to_vec(&wanted.write()).expect("the wire types serialize");
        let body = Cow::Owned(body);
        let is_data = self.asking.request.format().is_some();
        let reading = Reading { dialect: target.api, names, stops, text_tools, is_data };
        Ok(Outgoing { endpoint, body, reading: Some(reading) })
    }

    fn is_native(&self, learned: &Learned) -> bool {
        let config = &self.provider.config;
        config.is_native(self.model)
            && (config.native == config::Native::On || !learned.is_not_native())
    }

    /// Where the Messages API refuses what may be its own fault, chat completions are tried.
    #[inline(never)]
    fn native_lesson(&self, refused: &Refused) -> Option<Lesson> {
        let config = &self.provider.config;
        let has_other = config.native == config::Native::Auto && config.row.speaks_chat;
        let may_be_its_own = matches!(refused.status, 400 | 404 | 405 | 415 | 422 | 501);
        if !has_other || !may_be_its_own || refused.error.cause() == Cause::ContextOverflow {
            return None;
        }
        // What is refused of one request may be taken of another.
        let is_lasting = matches!(refused.status, 404 | 405 | 501);
        Some(if is_lasting { Lesson::NotNative } else { Lesson::NotNative.once() })
    }

    /// Notes what was left out or changed for the provider.
    #[inline(never)]
    fn note(&self, report: &Report, lesson: Option<&Lesson>) {
        let adjusted = report.adjusted.clone();
        let learned = lesson.map(|lesson| format!("learned: {lesson}"));
        let mut record = self.asking.ledger.record.borrow_mut();
        record.dropped = report.dropped.iter().map(|name| (*name).to_owned()).collect();
        record.adjusted = adjusted.into_iter().chain(learned).collect();
    }

    /// Makes the client's stream ready for an answer.
    #[inline(never)]
    fn prepare(&self, stream: &mut Stream<Reply>, reading: Option<Reading>) {
        let asking = self.asking;
        stream.writer_mut().notes = asking.notes();
        stream.prepare(match reading {
            Some(reading) => Source::Translated(asking.translator(reading)),
            None => Source::Native(
                Native::new(asking.request.model.to_string())
                    .with_safeguards(asking.request.safeguard_results()),
            ),
        });
    }

    /// Asks, unless the provider has failed so often that it is left alone for a while, and passes
    /// the answer on.
    fn ask_and_deliver(&self, outgoing: Outgoing<'_>) -> Result<Delivered, Failed> {
        let asking = self.asking;
        let state = &self.provider.health.state;
        let permit = state.permit().map_err(|error| Failed::Other(error.into()))?;
        let translator = match self.receiver {
            Receiver::Stream(stream) => {
                self.prepare(&mut stream.borrow_mut(), outgoing.reading);
                None
            }
            Receiver::Whole(_) => outgoing.reading.map(|reading| asking.translator(reading)),
        };
        let is_native = outgoing.endpoint == Endpoint::Messages;
        let headers = if is_native { asking.exchange.native_headers() } else { Vec::new() };
        let ask = Ask {
            endpoint: outgoing.endpoint,
            key: permit.key,
            body: &outgoing.body,
            headers: &headers,
            patience: None,
        };
        let asked = Instant::now();
        let answered = self.ask(ask);
        // It can be megabytes, and an answer can take minutes.
        drop(outgoing.body);
        let has_begun = answered.is_ok();
        let cut = match &answered {
            Err(Failed::Refused(refused)) if refused.status == 400 => {
                outgoing.endpoint.cut_by_its_limit().filter(|_| is_output_limit(&refused.body))
            }
            _ => None,
        };
        if has_begun {
            permit.begun();
        }
        let delivered = match (cut, answered) {
            (Some(body), _) => {
                let mut rest = body;
                let mut read =
                    |buffer: &mut [u8]| Ok(io::Read::read(&mut rest, buffer).unwrap_or(0));
                let passed = self.pass_on(&mut read, BodyForm::Whole, translator);
                let delivered = passed.map(|(said, _)| Delivered { said, rest: Rest(None) });
                delivered.map_err(Failed::from)
            }
            (None, answered) => {
                answered.and_then(|answer| Ok(self.deliver(answer, translator, asked)?))
            }
        };
        let delivered = delivered.map_err(|failed| {
            let failed = failed.redacted(self.provider.upstream.redactor());
            self.as_refusal(failed, has_begun && !is_native).explained(&self.explain())
        });
        // One that fails may not be the last word on the message.
        let metrics = &self.provider.health.metrics;
        match &delivered {
            Ok(_) => permit.succeeded(),
            Err(Failed::Refused(refused)) => {
                metrics.upstream_error(refused.error.cause());
                permit.failed(&refused.error, self.outcome(&refused.error));
            }
            Err(Failed::Other(Failure::Error(error))) => {
                if !matches!(error, Error::Refused { .. }) {
                    metrics.upstream_error(error.cause());
                }
                permit.failed(error, self.outcome(error));
            }
            Err(Failed::Other(Failure::ClientGone)) if has_begun => {
                permit.ended(Outcome::Answered);
            }
            Err(Failed::Other(Failure::ClientGone)) => {}
        }
        delivered
    }

    /// An error that an answer with status 200 tells of is a refusal like any other, and teaches as
    /// much, until something of the answer has gone out.
    #[inline(never)]
    fn as_refusal(&self, failed: Failed, is_in_answer: bool) -> Failed {
        match failed {
            Failed::Other(Failure::Error(error @ Error::Upstream { .. }))
                if is_in_answer && !self.receiver.has_content() =>
            {
                let body = error.to_string().into_bytes();
                // A chunk seldom tells the status of its error.
                let status = if error.status() == 500 { 400 } else { error.status() };
                Failed::Refused(Box::new(Refused { error, status, body }))
            }
            failed => failed,
        }
    }

    /// What a failure says about the provider.
    fn outcome(&self, error: &Error) -> Outcome {
        let outcome = match error {
            // An answer that makes no sense from its beginning is none.
            Error::Protocol { .. } => Outcome::Failed(error.clone()),
            _ => Outcome::of(error),
        };
        if self.model == self.provider.config.model { outcome } else { outcome.of_another_model() }
    }

    /// Whether the model is the one of the request, with or without the provider's name before it.
    fn is_named_by_the_client(&self) -> bool {
        let before = self.asking.request.model.strip_suffix(self.model);
        before.is_some_and(|before| before.is_empty() || before.ends_with('/'))
    }

    /// What the words of an error need to know.
    #[inline(never)]
    fn explain(&self) -> Explain {
        let config = &self.provider.config;
        let base = Explain {
            provider: config.name.clone(),
            model: self.model.to_owned(),
            ..Explain::default()
        };
        // The embedded provider has no settings.
        if config.row.key == Key::Embedded {
            return base;
        }
        Explain {
            base_url: config.base_url.clone(),
            keys: config.key_variables(),
            base_url_variable: config.variable("BASE_URL"),
            model_variable: config.variable("MODEL"),
            has_key: !config.keys.is_empty(),
            example: config.row.model,
            is_clients: self.model != config.model && self.is_named_by_the_client(),
            ..base
        }
    }

    /// Asks; an answer that is an error becomes one.
    #[inline(never)]
    fn ask(&self, ask: Ask<'_>) -> Result<Answer, Failed> {
        let config = &self.provider.config;
        let ledger = self.asking.ledger;
        let mut answer =
            ledger.waiting(|| self.provider.upstream.send(ask, self.receiver.waits()))?;
        {
            let mut record = ledger.record.borrow_mut();
            record.upstream_status = Some(answer.status);
            record.upstream_request_id = answer.request_id.take();
        }
        // 201 and 202 of a gateway's own making hold the answer too.
        let is_well = matches!(answer.status, 200..=203);
        if let Some(coding) = &answer.coding {
            let reason = format!(
                "its body is in the content coding {coding:?}, though accept-encoding asked for \
                 identity; turn compression off at the address of {} or before it",
                config.variable("BASE_URL")
            );
            let retry = std::mem::take(&mut answer.retry);
            return Err(Failed::Other(Failure::Error(match is_well {
                true => Error::protocol(reason),
                false => Error::upstream(answer.status, reason, retry),
            })));
        }
        // A page that somebody else has put in the way, unless only its name is one.
        let is_page = is_well && answer.content_type.contains("html") && {
            let beginning = ledger.waiting(|| answer.body.beginning())?;
            relay::form_of(beginning).is_none()
        };
        if is_well && !is_page {
            return Ok(answer);
        }
        if let 300..400 = answer.status
            && answer.is_redirect
        {
            let to = answer.redirect.as_deref().unwrap_or("another address");
            let reason = format!(
                "{} answered {} with a redirect to {to}, which is not followed; set {} to the \
                 address meant",
                config.name,
                answer.status,
                config.variable("BASE_URL")
            );
            return Err(Failed::Other(Error::Protocol { cause: Cause::NotTheApi, reason }.into()));
        }
        // What is learned from it is told too, so it is cleaned before it is read.
        let said = self.provider.upstream.redactor().bytes(answer.body.read_error()?);
        let retry: Retry = std::mem::take(&mut answer.retry);
        if is_well {
            let reason = format!(
                "{} answered 200 with {}, {:?}, which is no answer of its API; check {}",
                config.name,
                answer.content_type.split(';').next().unwrap_or_default(),
                first_words(&said),
                config.variable("BASE_URL")
            );
            return Err(Failed::Other(Error::Protocol { cause: Cause::NotTheApi, reason }.into()));
        }
        if answer.status == 400 && wants_https(&said) {
            let error = self.provider.upstream.https_port(ask.endpoint);
            return Err(Failed::Other(error.into()));
        }
        let context = Context { model: self.model, input_estimate: self.asking.input_estimate };
        let error = upstream_error(answer.status, &said, retry, context);
        if error.cause() == Cause::ContextOverflow
            && let Some(window) = window_of(&said)
        {
            let lessons = &self.provider.health.lessons;
            lessons.add(self.model, Lesson::Window(window), Instant::now());
        }
        Err(Failed::Refused(Box::new(Refused { error, status: answer.status, body: said })))
    }

    /// Passes the answer on, or makes a whole message of it.
    fn deliver(
        &self,
        mut answer: Answer,
        translator: Option<Box<Translator>>,
        asked: Instant,
    ) -> Result<Delivered, Failure> {
        let is_json = answer.content_type.contains("json");
        let form = if is_json { BodyForm::Whole } else { BodyForm::Events };
        let is_stream = matches!(self.receiver, Receiver::Stream(_)) && form == BodyForm::Events;
        if is_stream {
            heap::rest();
        }
        let mut read = Timed {
            body: &mut answer.body,
            ledger: self.asking.ledger,
            metrics: is_stream.then_some(&self.provider.health.metrics),
            share: &self.asking.exchange.share,
            since: asked,
            has_begun: false,
        };
        let (said, is_cut) = self.pass_on(&mut read, form, translator)?;
        Ok(Delivered { said, rest: Rest((!is_cut).then_some(answer.body)) })
    }

    /// Passes a body on, or makes a whole message of it, and tells whether a stop sequence cut it.
    fn pass_on(
        &self,
        read: relay::ReadBody<'_>,
        form: BodyForm,
        translator: Option<Box<Translator>>,
    ) -> Result<(Said, bool), Failure> {
        let note_text_calls = || {
            let mut record = self.asking.ledger.record.borrow_mut();
            record.adjusted.push(relay::TEXT_CALLS.to_owned());
        };
        Ok(match (self.receiver, translator) {
            (Receiver::Stream(stream), _) => {
                let relayed = relay::stream(stream, form, read);
                if stream.borrow().has_text_calls() {
                    note_text_calls();
                }
                relayed?;
                (Said::Stream, stream.borrow().is_cut())
            }
            (Receiver::Whole(_), None) => {
                let body = relay::read_whole(read, relay::WHOLE_LIMIT_BYTES)?;
                let model = &self.asking.request.model;
                let message = native::whole(body, model)?;
                let results = self.asking.request.safeguard_results();
                (Said::Native(message.with_safeguards(&results)), false)
            }
            (Receiver::Whole(_), Some(mut translator)) => {
                let message = relay::whole(&mut translator, form, read)?;
                if translator.has_text_calls() {
                    note_text_calls();
                }
                (Said::Message(Box::new(message)), translator.is_cut())
            }
        })
    }
}

/// Whether a text is what servers say to http on their https port: nginx, Go's and Apache's.
fn wants_https(said: &[u8]) -> bool {
    const WORDS: &[&str] = &[
        "plain HTTP request was sent to HTTPS port",
        "Client sent an HTTP request to an HTTPS server",
        "speaking plain HTTP to an SSL-enabled server port",
    ];
    let said = String::from_utf8_lossy(said);
    WORDS.iter().any(|words| said.contains(words))
}

/// The body of an answer, whose pieces are measured as they come.
struct Timed<'a> {
    body: &'a mut AnswerBody,
    ledger: &'a Ledger<'a>,
    /// Of a stream alone.
    metrics: Option<&'a ProviderMetrics>,
    share: &'a Share,
    since: Instant,
    has_begun: bool,
}

impl Body for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        let read = self.ledger.waiting(|| self.body.read(buffer));
        if !read.as_ref().is_ok_and(|n| *n > 0) {
            return read;
        }
        if let Some(metrics) = self.metrics {
            let chunks = if self.has_begun { &metrics.next_chunk } else { &metrics.first_chunk };
            let now = Instant::now();
            chunks.observe_time(now.duration_since(self.since));
            self.since = now;
        }
        if !self.has_begun {
            self.has_begun = true;
            self.ledger.first_byte();
        }
        read
    }

    fn expect_end(&mut self) {
        self.body.expect_end();
    }

    fn hold(&mut self, bytes: usize) -> Result<(), Failure> {
        self.share.take(bytes).map_err(|_| {
            let reason = "there is no memory left for the provider's answer".to_owned();
            Error::Refused { status: 529, reason }.into()
        })
    }
}
