//! One request to one provider: how it is asked, what is made of its answer, and what its refusal
//! teaches.
//!
//! What comes before and after an answer is in frames of its own, which are not on the stack while
//! the answer is relayed: there may be a thousand of them.

use std::mem;
use std::time::Instant;

use super::Provider;
use super::asking::{Asking, Delivered, Receiver};
use super::reply::Reply;
use crate::anthropic::MessagesRequest;
use crate::client::Failure;
use crate::config;
use crate::error::{Cause, Error, Retry};
use crate::health::Outcome;
use crate::json::Spliced;
use crate::line::Stop;
use crate::openai::Dialect;
use crate::provider::{Key, Search, SessionField};
use crate::record::cut;
use crate::relay::{Source, Stream};
use crate::translate::native::Native;
use crate::translate::{
    Explain, Learned, Lesson, Reading, Report, Said, SearchError, Searched, Target, Telling,
    TextTools, Translated, is_output_limit, native_request, refused_search, searched, translate,
};
use crate::typo;
use crate::upstream::{Ask, Endpoint, limits};

/// One request to one provider.
pub(super) struct Attempt<'a> {
    pub asking: &'a Asking<'a>,
    pub provider: &'a Provider,
    pub model: &'a str,
    pub receiver: &'a Receiver,
}

/// Why an attempt has brought no answer.
pub(super) struct Unanswered {
    pub failure: Failure,
    /// What the provider has said, where it has refused.
    pub heard: Option<Box<Heard>>,
}

/// A refusal in the provider's own words.
pub(super) struct Heard {
    pub status: u16,
    /// Which token was refused; 0 where none was sent.
    pub token: u64,
    pub said: Said,
    pub lesson: Option<Lesson>,
}

impl From<Failure> for Unanswered {
    fn from(failure: Failure) -> Unanswered {
        Unanswered { failure, heard: None }
    }
}

impl From<Error> for Unanswered {
    fn from(error: Error) -> Unanswered {
        Failure::from(error).into()
    }
}

/// A request with words in the places of its pictures.
pub(super) struct Described<'a> {
    pub request: MessagesRequest<'a>,
    /// Some have a note instead.
    pub left_out: bool,
}

/// What is sent to the provider, and how its answer is read.
struct Outgoing<'a> {
    endpoint: Endpoint,
    body: Spliced<'a>,
    /// Whether the provider is told to search the web.
    searches: bool,
    /// `None` where the answer is the provider's own.
    reading: Option<Reading>,
}

impl Attempt<'_> {
    /// Asks. Beside a refusal comes what it teaches.
    pub(super) fn run(
        &self,
        learned: &Learned,
        tried: Option<&Lesson>,
    ) -> Result<Delivered, Unanswered> {
        let config = &self.provider.config;
        let (request, row) = (self.asking.request, config.row);
        let searches = request.web_search().is_some();
        let sees = config.images.of(self.model) && !learned.is_text_only();
        let is_native = self.is_native(learned);
        // Who was told to be asked natively alone gets the pictures too.
        let may_describe = row.speaks_chat && !(is_native && config.native == config::Native::On);
        // A long request takes a while, which nobody may wait for any more.
        if self.has_left() {
            return Err(Failure::ClientGone.into());
        }
        let more = self.asking.exchange.room_for_more();
        let room = |bytes| if self.has_left() { Err(Error::Internal) } else { more(bytes) };
        let described = if may_describe { self.described(sees, &room)? } else { None };
        let is_native = is_native && described.is_none();
        let refused = learned.search_error();
        if is_native && request.is_search() && refused.is_some() {
            return Ok(self.without_search(refused)?);
        }
        if is_native && (!searches || row.native_search || !row.search.is_there()) {
            let mut attempted = self.ask_and_deliver(self.native(tried)?);
            if let Err(Unanswered { failure: Failure::Error(error), heard: Some(heard) }) =
                &mut attempted
            {
                // Whatever else it speaks, its search is here or nowhere.
                heard.lesson = heard
                    .lesson
                    .take()
                    .filter(|_| request.is_search())
                    .or_else(|| self.native_lesson(heard.status, error.cause()));
            }
            return attempted;
        }
        let mut api = config.api.or(learned.api()).unwrap_or_else(|| row.api_of(self.model));
        let mut max_tokens = config.max_tokens_for(self.model);
        match row.search {
            // Whatever is spoken otherwise: the search is nowhere else.
            Search::ResponsesTool(_)
                if searches && refused.is_none() && learned.api().is_none() =>
            {
                api = Dialect::Responses;
            }
            Search::Model { max_tokens: most, .. }
                if request.has_search_alone() && refused.is_none() =>
            {
                max_tokens = most;
            }
            _ => {}
        }
        let is_nowhere = !row.search.is_of(api) && row.search != Search::Unknown;
        if request.is_search() && is_nowhere && refused.is_none() {
            return Ok(self.without_search(None)?);
        }
        let target = Target {
            provider: row,
            model: self.model,
            max_tokens,
            images: sees,
            api,
            session: self.asking.session_id.as_deref(),
            learned,
        };
        let translated = self.translated(described.as_deref(), &target, tried);
        let outgoing = translated.map_err(|error| match self.has_left() {
            true => Failure::ClientGone,
            false => error.into(),
        })?;
        let mut attempted = self.ask_and_deliver(outgoing);
        if let Err(Unanswered { heard: Some(heard), .. }) = &mut attempted {
            let described = described.as_deref().map(|described| &described.request);
            let lesson = self.lesson(heard, described.unwrap_or(request), &target);
            heard.lesson = heard.lesson.take().or(lesson);
        }
        attempted
    }

    /// The client's own request, for the provider's own Messages API.
    #[inline(never)]
    fn native(&self, tried: Option<&Lesson>) -> Result<Outgoing<'_>, Error> {
        let config = &self.provider.config;
        let limit = config.max_tokens.filter(|limit| *limit > 0);
        let body = &self.asking.exchange.body;
        let session = self.asking.session_id.as_deref();
        let request = self.asking.request;
        let (body, report) = native_request(body, request, config.row, self.model, limit, session)?;
        self.note(&report, tried);
        let searches = request.web_search().is_some();
        Ok(Outgoing { endpoint: Endpoint::Messages, body, searches, reading: None })
    }

    /// The request in the provider's words.
    #[inline(never)]
    fn translated<'r>(
        &self,
        described: Option<&'r Described<'r>>,
        target: &Target<'r>,
        tried: Option<&Lesson>,
    ) -> Result<Outgoing<'_>, Error>
    where
        Self: 'r,
    {
        let request = described.map_or(self.asking.request, |described| &described.request);
        let Translated { wanted, mut names, stops, mut report } = translate(request, target)?;
        match described {
            Some(Described { left_out: true, .. }) => report.dropped.push("images"),
            Some(_) => report.adjusted.push("images=described".to_owned()),
            None => {}
        }
        names.keep_secret(self.provider.upstream.redactor());
        self.note(&report, tried);
        let tools = wanted.tools.iter().map(|tool| &tool.function);
        let tools = tools.map(|function| (&*function.name, &*function.parameters.0));
        let body = &self.asking.exchange.body;
        let text_tools = self.provider.config.text_tools.then(|| TextTools::new(tools, body));
        let request = self.asking.request;
        let search = searched(request).filter(|_| wanted.search.is_some() || request.is_search());
        let searches = wanted.search.is_some();
        let refused = target.learned.search_error().unwrap_or(SearchError::Unavailable);
        let error = (!searches).then_some(refused);
        let search = search.map(|search| Searched { error, ..search });
        let endpoint = match target.api {
            Dialect::ChatCompletions => Endpoint::ChatCompletions,
            Dialect::Responses => Endpoint::Responses,
        };
        let body = wanted.encode(body)?;
        let is_data = self.asking.request.format().is_some();
        let dialect = target.api;
        let reading = Reading { dialect, names, stops, text_tools, search, is_data };
        Ok(Outgoing { endpoint, body, searches, reading: Some(reading) })
    }

    /// Says that the provider cannot search, or why it has `refused`, without asking it: the client
    /// goes on.
    #[inline(never)]
    fn without_search(&self, refused: Option<SearchError>) -> Result<Delivered, Failure> {
        let name = &self.provider.config.name;
        let why = match refused {
            Some(error) => format!("{name} refused to search ({})", error.code()),
            None => format!("{name} has no search of its own"),
        };
        let words = format!(
            "Web search is not available: {why}. Messages that search can go to another provider by \
             the rule web_search in the configuration file."
        );
        let message = serde_json::json!({ "role": "assistant", "content": words });
        let choice = serde_json::json!({ "index": 0, "message": message, "finish_reason": "stop" });
        let body = serde_json::json!({ "choices": [choice] }).to_string();
        let search = searched(self.asking.request);
        let error = Some(refused.unwrap_or(SearchError::Unavailable));
        let search = search.map(|search| Searched { error, is_asked: false, ..search });
        let reading = Reading { search, ..Reading::default() };
        self.asking.ledger.record.borrow_mut().dropped = vec!["server_tools".to_owned()];
        let translator = match self.receiver {
            Receiver::Stream(stream) => {
                self.prepare(&mut stream.borrow_mut(), Some(reading));
                None
            }
            Receiver::Whole(_) => Some(self.asking.translator(reading)),
        };
        self.deliver_cut(body.as_bytes(), translator)
    }

    /// Whether the client waits no more.
    pub(super) fn has_left(&self) -> bool {
        let peer = self.receiver.waits().borrow().peer();
        peer.is_some_and(|peer| peer.stopped() == Some(Stop::ClientGone))
    }

    fn is_native(&self, learned: &Learned) -> bool {
        let config = &self.provider.config;
        config.is_native(self.model)
            && (config.native == config::Native::On || !learned.is_not_native())
    }

    /// What a refusal teaches of a translated request.
    #[inline(never)]
    fn lesson<'r>(
        &self,
        heard: &Heard,
        request: &'r MessagesRequest<'r>,
        target: &Target<'r>,
    ) -> Option<Lesson> {
        let telling = Telling::of(heard.status, &heard.said)?;
        // The same again, since what was sent is bytes by now.
        let translated = translate(request, target).ok()?;
        let lesson = telling.lesson(target.learned, &translated.wanted.sent())?;
        // What the user has chosen stays.
        let is_chosen = self.provider.config.api.is_some() && matches!(lesson, Lesson::Api(_));
        (!is_chosen).then_some(lesson)
    }

    /// Where the Messages API refuses what may be its own fault, chat completions are tried.
    fn native_lesson(&self, status: u16, cause: Cause) -> Option<Lesson> {
        let config = &self.provider.config;
        let has_other = config.native == config::Native::Auto && config.row.speaks_chat;
        let may_be_its_own = matches!(status, 400 | 404 | 405 | 415 | 422 | 501);
        if !has_other || !may_be_its_own || cause == Cause::ContextOverflow {
            return None;
        }
        // What is refused of one request may be taken of another.
        let is_lasting = matches!(status, 404 | 405 | 501);
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
    fn ask_and_deliver(&self, outgoing: Outgoing<'_>) -> Result<Delivered, Unanswered> {
        let asking = self.asking;
        let permit = self.provider.health.state.permit(asking.session)?;
        let translator = match self.receiver {
            Receiver::Stream(stream) => {
                self.prepare(&mut stream.borrow_mut(), outgoing.reading);
                None
            }
            Receiver::Whole(_) => outgoing.reading.map(|reading| asking.translator(reading)),
        };
        let endpoint = outgoing.endpoint;
        let is_native = endpoint == Endpoint::Messages;
        let mut headers = if is_native { asking.exchange.native_headers() } else { Vec::new() };
        headers.extend(self.session_header());
        let ask = Ask {
            endpoint,
            key: permit.key,
            body: &outgoing.body,
            headers: &headers,
            patience: None,
        };
        let asked = Instant::now();
        let mut answered = self.ask(ask);
        // What its head says counts for an error inside of it.
        let retry =
            answered.as_mut().map_or_else(|_| Retry::default(), |a| mem::take(&mut a.retry));
        // It can be megabytes, and an answer can take minutes.
        drop(outgoing.body);
        let has_begun = answered.is_ok();
        if has_begun {
            permit.begun();
        }
        let delivered = match answered {
            Ok(answer) => self.deliver(answer, translator, asked).map_err(Unanswered::from),
            Err(unanswered) => match cut_by_its_limit(endpoint, &unanswered) {
                Some(body) => self.deliver_cut(body, translator).map_err(Unanswered::from),
                None => Err(unanswered),
            },
        };
        let key = permit.key;
        let delivered = delivered.map_err(|failed| {
            let is_in_answer = has_begun && !is_native;
            self.told(late(failed, retry), is_in_answer, is_native, outgoing.searches, key)
        });
        // One that fails may not be the last word on the message.
        match &delivered {
            Ok(_) => permit.succeeded(),
            Err(Unanswered { failure: Failure::Error(error), .. }) => {
                self.provider.health.metrics.upstream_error(error.cause());
                permit.failed(error, self.outcome(error));
            }
            Err(Unanswered { failure: Failure::ClientGone, .. }) if has_begun => {
                permit.ended(Outcome::Answered);
            }
            Err(Unanswered { failure: Failure::ClientGone, .. }) => {}
        }
        delivered
    }

    /// The header that names the session, unless the user has set it to something else.
    fn session_header(&self) -> Option<(&'static str, &str)> {
        let config = &self.provider.config;
        let SessionField::Header(name) = config.row.session else { return None };
        if config.headers.iter().any(|(set, _)| set.eq_ignore_ascii_case(name)) {
            return None;
        }
        Some((name, self.asking.session_id.as_deref()?))
    }

    /// The same without secrets, in words for people.
    ///
    /// An error that an answer with status 200 tells of is a refusal like any other, and teaches as
    /// much, until something of the answer has gone out.
    #[inline(never)]
    fn told(
        &self,
        unanswered: Unanswered,
        is_in_answer: bool,
        is_native: bool,
        searches: bool,
        key: usize,
    ) -> Unanswered {
        let Unanswered { failure: Failure::Error(error), heard } = unanswered else {
            return unanswered;
        };
        let mut error = self.provider.upstream.redactor().error(error);
        let is_refusal =
            is_in_answer && matches!(error, Error::Upstream { .. }) && !self.receiver.has_content();
        let in_answer = || {
            // A chunk seldom tells the status of its error.
            let status = if error.status() == 500 { 400 } else { error.status() };
            let said = Said::read(error.to_string().as_bytes());
            Box::new(Heard { status, token: 0, said, lesson: None })
        };
        let mut heard = heard.or_else(|| is_refusal.then(in_answer));
        if let Some(heard) = heard.as_mut().filter(|_| searches) {
            self.set_apart(heard, &mut error);
        }
        let status = heard.as_ref().map_or(0, |heard| heard.status);
        let goes_on = is_native && self.native_lesson(status, error.cause()).is_some();
        let is_unknown = error.cause() == Cause::ModelUnknown && !goes_on;
        let served = if is_unknown { self.served(key) } else { Vec::new() };
        let explain = Explain { served, ..self.explain() };
        Unanswered { failure: explain.explain(error).into(), heard }
    }

    /// Where it is the search that was refused, that is another cause, and what the rest of the
    /// message can do without.
    #[inline(never)]
    fn set_apart(&self, heard: &mut Heard, error: &mut Error) {
        let is_alone = self.asking.request.has_search_alone();
        let search = self.provider.config.row.search;
        let refused = refused_search(heard.status, &heard.said, search, is_alone);
        if let (Some(refused), Error::Upstream { cause, .. }) = (refused, error) {
            heard.lesson = Some(Lesson::NoSearch(refused).once());
            *cause = Cause::SearchRefused;
        }
    }

    /// What the provider serves, the most alike first, for who has asked for something else.
    #[inline(never)]
    fn served(&self, key: usize) -> Vec<String> {
        let peer = self.receiver.waits().borrow().peer();
        let served = self.asking.ledger.waiting(|| self.provider.served(key, peer));
        let served = served.iter().flat_map(|served| served.iter()).map(|served| &*served.id);
        let redactor = self.provider.upstream.redactor();
        let shown = |name: &str| redactor.secrets(&cut(name)).into_owned();
        typo::ranked(self.model, served).into_iter().map(shown).collect()
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
            keys: config
                .token
                .as_ref()
                .map_or_else(|| config.key_variables(), |token| token.name.clone()),
            base_url_variable: config.variable("BASE_URL"),
            model_variable: config.variable("MODEL"),
            has_key: !config.keys.is_empty() || config.token.is_some(),
            plan: config.row.plan,
            example: config.row.model,
            is_clients: self.model != config.model && self.is_named_by_the_client(),
            ..base
        }
    }
}

/// An error that came within an answer, with the time at which to try again: from its own words, or
/// from the answer's head.
#[inline(never)]
fn late(unanswered: Unanswered, head: Retry) -> Unanswered {
    let Unanswered { failure: Failure::Error(error), heard } = unanswered else {
        return unanswered;
    };
    let error = match error.at(limits::now()) {
        Error::Upstream { status: status @ (429 | 503 | 529), cause, message, retry }
            if retry.duration().is_none() && head.duration().is_some() =>
        {
            Error::Upstream { status, cause, message, retry: head }
        }
        error => error,
    };
    Unanswered { failure: error.into(), heard }
}

/// What stands for the answer where a refusal says that its limit has cut it.
fn cut_by_its_limit(endpoint: Endpoint, unanswered: &Unanswered) -> Option<&'static [u8]> {
    let heard = unanswered.heard.as_ref().filter(|heard| heard.status == 400)?;
    endpoint.cut_by_its_limit().filter(|_| is_output_limit(&heard.said))
}
