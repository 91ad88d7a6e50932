//! From a request to the answer of one of the providers that its route names: each is asked in turn
//! until one answers, with another key where one is refused, and once more where a refusal teaches
//! how.
//!
//! Nothing of an answer that failed has reached the client when the next provider is asked.

use std::time::{Duration, Instant};

use super::asking::{Asking, Delivered, Receiver};
use super::attempt::{Attempt, Unanswered};
use super::ledger::Ledger;
use super::{Api, Provider};
use crate::client::Failure;
use crate::error::{Cause, Error};
use crate::provider::Search;
use crate::route::{Asked, Choice};
use crate::session::Session;
use crate::translate::{Learned, Lesson};
use crate::upstream::pause;

/// A message that is asked of its providers.
pub(super) struct Dispatch<'a> {
    pub asking: Asking<'a>,
}

impl<'a> Dispatch<'a> {
    pub(super) fn new(asking: Asking<'a>) -> Dispatch<'a> {
        Dispatch { asking }
    }

    /// Asks the providers of the route, and once more when the limit of one of them has passed, as
    /// long as the message may wait.
    ///
    /// # Errors
    /// What the last of them said. The client has got nothing of an answer, unless the stream has
    /// ended with an error.
    pub(super) fn run(&self, receiver: &Receiver) -> Result<Delivered, Failure> {
        let Asking { api, ledger, .. } = self.asking;
        let mut left = api.config.rate_limit_wait;
        loop {
            let error = match self.round(receiver) {
                Err(Failure::Error(error)) if error.cause() == Cause::RateLimit => error,
                other => return other,
            };
            let (free_in, has_another) = self.free_in();
            let may_wait = free_in.is_some_and(|wait| wait <= left && !wait.is_zero())
                && !receiver.has_content()
                && !api.health.is_draining();
            let Some(wait) = free_in.filter(|_| may_wait) else {
                let free_in = free_in.filter(|_| has_another);
                return Err(with_the_time(error, free_in).into());
            };
            ledger.happened(format!("{:.1} s are waited: {error}", wait.as_secs_f64()), false);
            left -= wait;
            ledger.waiting(|| pause(receiver.waits(), wait, || api.health.is_draining()))?;
            if api.health.is_draining() {
                return Err(error.into());
            }
        }
    }

    /// How long it is until the first of the providers can be asked again, if all of them rest; and
    /// whether there is another one, or another key, than the last that was asked.
    #[inline(never)]
    fn free_in(&self) -> (Option<Duration>, bool) {
        let Asking { api, request, .. } = self.asking;
        let asked = Asked::of(request, self.asking.input_estimate);
        let hops = api.config.routes.choose(&request.model, asked).hops;
        let providers = hops.iter().map(|hop| &api.providers[hop.provider]);
        let rests = providers.clone().map(|provider| provider.health.state.asked_again_in());
        let keys: usize = providers.map(|provider| provider.config.keys.len().max(1)).sum();
        (rests.min().flatten(), keys > 1)
    }

    /// Asks the providers of the route, one after another.
    fn round(&self, receiver: &Receiver) -> Result<Delivered, Failure> {
        let Asking { api, request, exchange, .. } = self.asking;
        let asked = Asked::of(request, self.asking.input_estimate);
        let mut route = api.config.routes.choose(&request.model, asked);
        let stay = self.asking.session.and_then(|session| Stay::new(api, session, &mut route.hops));
        let searches = |hop: &Choice<'_>| api.providers[hop.provider].searches(hop.model);
        if asked.web_search {
            route.hops.sort_by_key(|hop| !searches(hop));
        }
        // Those that are resting are the last resort.
        route.hops.sort_by_cached_key(|hop| api.providers[hop.provider].health.state.is_resting());
        log::debug!(
            request_id = &*exchange.request_id;
            "model {:?} goes to {} by {}",
            shown(&request.model), api.providers[route.hops[0].provider].config.name, route.by
        );
        let last = route.hops.len() - 1;
        for (i, hop) in route.hops.iter().enumerate() {
            let searches_elsewhere = asked.web_search && route.hops[i + 1..].iter().any(searches);
            let error = match self.hop(hop, searches_elsewhere, receiver) {
                Ok(delivered) => {
                    if let Some(stay) = &stay {
                        stay.at(hop);
                    }
                    return Ok(delivered);
                }
                Err(Failure::Error(error)) => error,
                gone => return gone,
            };
            if i == last || receiver.has_content() || !is_the_providers(&error) {
                return Err(Failure::Error(error));
            }
            let next = &api.providers[route.hops[i + 1].provider];
            self.falls_back(&api.providers[hop.provider], next, &error);
        }
        unreachable!("a route has a hop, and the last one returns")
    }

    /// Notes that one provider has failed, and another one is asked.
    #[inline(never)]
    fn falls_back(&self, failed: &Provider, next: &Provider, error: &Error) {
        let (name, next) = (&failed.config.name, &next.config.name);
        let ledger = self.asking.ledger;
        ledger.happened(format!("{name} failed, {next} is asked: {error}"), true);
        ledger.record.borrow_mut().tried.push(format!("{name} {}", error.status()));
        failed.health.metrics.fallbacks.add(1);
    }

    /// Asks one provider: with another key where one is refused, and once more where a refusal
    /// teaches how to ask.
    fn hop(
        &self,
        hop: &Choice<'_>,
        searches_elsewhere: bool,
        receiver: &Receiver,
    ) -> Result<Delivered, Failure> {
        let Asking { api, request, ledger, .. } = self.asking;
        let provider = &api.providers[hop.provider];
        let own = hop.model(&provider.config.model, &request.model);
        let model = match provider.config.row.search {
            // It has no tools but its own.
            Search::Model { name, .. } if request.has_search_alone() => name,
            _ => own,
        };
        ledger.turn_of(provider, model);
        let mut tries = Tries {
            provider,
            own,
            model,
            ledger,
            searches_elsewhere,
            learned: provider.health.lessons.of(model, Instant::now()),
            lesson: None,
            left_native: None,
            left_search: None,
            has_renewed: false,
            keys_left: provider.config.keys.len(),
        };
        loop {
            let model = tries.model;
            let attempt = Attempt { asking: &self.asking, provider, model, receiver };
            let attempted = attempt.run(&tries.learned, tries.tried());
            // What is taken was right, even if the answer breaks off later.
            if attempted.is_ok() || receiver.has_content() {
                tries.remember_all();
            }
            match attempted {
                Ok(delivered) => return Ok(delivered),
                Err(unanswered) => tries.goes_on(unanswered)?,
            }
        }
    }
}

/// What asking one provider has come to so far.
struct Tries<'a> {
    provider: &'a Provider,
    /// The model of the route, which is another one than the one that searches.
    own: &'a str,
    model: &'a str,
    ledger: &'a Ledger<'a>,
    /// Another place may search.
    searches_elsewhere: bool,
    learned: Learned,
    /// What is tried, and the refusal that taught it.
    lesson: Option<(Lesson, Error)>,
    /// That the provider's own Messages API has refused.
    left_native: Option<Lesson>,
    /// That its search has.
    left_search: Option<Lesson>,
    has_renewed: bool,
    keys_left: usize,
}

impl Tries<'_> {
    /// The last of what is asked otherwise than before.
    fn tried(&self) -> Option<&Lesson> {
        let lesson = self.lesson.as_ref().map(|(lesson, _)| lesson);
        lesson.or(self.left_search.as_ref()).or(self.left_native.as_ref())
    }

    fn remember_all(&self) {
        let lesson = self.lesson.iter().map(|(lesson, _)| lesson);
        lesson.chain(&self.left_native).for_each(|lesson| self.remember(lesson));
    }

    fn remember(&self, lesson: &Lesson) {
        if lesson.is_lasting() {
            self.provider.health.lessons.add(self.model, lesson.clone(), Instant::now());
        }
    }

    /// Makes ready for another try with the same provider: another token, another key, or what a
    /// refusal teaches.
    ///
    /// In a frame of its own, which an answer does without for as long as it lasts.
    ///
    /// # Errors
    /// There is none: how this one failed.
    #[inline(never)]
    fn goes_on(&mut self, unanswered: Unanswered) -> Result<(), Failure> {
        let (error, heard) = match unanswered {
            Unanswered { failure: Failure::Error(error), heard: Some(heard) } => (error, heard),
            Unanswered { failure, .. } => return Err(failure),
        };
        let Tries { provider, model, ledger, .. } = *self;
        let name = &provider.config.name;
        if let Some(refused) = heard.lesson.as_ref().filter(|next| next.search_error().is_some()) {
            if self.searches_elsewhere {
                return Err(error.into());
            }
            let what =
                format!("{name} refused to search, and the message goes on without: {error}");
            ledger.happened(what, true);
            provider.health.metrics.adjusted.add(1);
            if model != self.own {
                self.model = self.own;
                self.learned = provider.health.lessons.of(self.own, Instant::now());
                ledger.turn_of(provider, self.own);
            }
            self.learned.add(refused.clone());
            self.left_search = Some(refused.clone());
            return Ok(());
        }
        let is_key_refused = error.cause() == Cause::KeyRefused;
        if is_key_refused && !self.has_renewed && provider.upstream.has_another_token(heard.token) {
            self.has_renewed = true;
            ledger.happened(format!("another token of {name} is used: {error}"), false);
            return Ok(());
        }
        if is_about_the_key(&error) {
            self.keys_left = self.keys_left.saturating_sub(1);
            if self.keys_left > 0 && provider.health.state.has_key_awake() {
                ledger.happened(format!("another key of {name} is used: {error}"), true);
                return Ok(());
            }
        }
        match (self.lesson.take(), heard.lesson) {
            (None, Some(next)) => {
                let what = format!(
                    "{name} refused a request for {:?}, which is sent once more, {next}: {error}",
                    shown(model)
                );
                ledger.happened(what, false);
                provider.health.metrics.adjusted.add(1);
                self.learned.add(next.clone());
                if next.is_about_native() {
                    // Chat completions have not been asked yet, and may teach something too.
                    self.left_native = Some(next);
                } else {
                    self.lesson = Some((next, error));
                }
                Ok(())
            }
            // The first lesson was right if something else is refused now: the client's next try
            // has it, and learns this one.
            (Some((known, first)), Some(_)) if is_another(&first, &error) => {
                self.remember(&known);
                Err(error.into())
            }
            _ => Err(error.into()),
        }
    }
}

/// The error with the time at which the first of the providers is free again, where the last one
/// has told a later one of its own.
#[inline(never)]
fn with_the_time(error: Error, free_in: Option<Duration>) -> Error {
    match (error, free_in) {
        (Error::Upstream { status, cause, message, retry }, Some(wait))
            if retry.duration().is_some_and(|told| told > wait) =>
        {
            Error::Upstream { status, cause, message, retry: retry.within(wait) }
        }
        (error, _) => error,
    }
}

/// Where a session is in the places of a route: it stays with who answered it last, as long as that
/// one answers, since another would have to read the whole conversation anew.
struct Stay<'a> {
    api: &'a Api,
    session: Session,
    /// The places in the order of the route.
    places: Vec<Choice<'a>>,
}

impl<'a> Stay<'a> {
    /// Puts the place of the session before the others.
    fn new(api: &'a Api, session: Session, hops: &mut Vec<Choice<'a>>) -> Option<Stay<'a>> {
        if hops.len() < 2 {
            return None;
        }
        // In another route it is a place of its own.
        let names = hops.iter().map(|hop| format!("{}/{}", hop.provider, hop.model.unwrap_or("")));
        let session = session.within(&names.collect::<Vec<_>>().join(" "));
        let places = hops.clone();
        if let Some(place) = api.moved.place(session, Instant::now()).filter(|at| *at < hops.len())
        {
            hops[..=place].rotate_right(1);
        }
        Some(Stay { api, session, places })
    }

    /// It has been answered there.
    fn at(&self, hop: &Choice<'_>) {
        let place = self.places.iter().position(|place| place == hop).unwrap_or(0);
        self.api.moved.moves(self.session, place, 0, Instant::now());
    }
}

/// Whether two refusals differ in more than numbers and ids.
fn is_another(first: &Error, second: &Error) -> bool {
    let words = |error: &Error| -> Vec<String> {
        let text = error.to_string();
        let words = text.split_whitespace();
        let plain = words.filter(|word| !word.contains(|c: char| c.is_ascii_digit()));
        plain.map(str::to_owned).collect()
    };
    words(first) != words(second)
}

/// A model's name for the log, which clients choose.
fn shown(model: &str) -> String {
    model.chars().take(100).collect()
}

/// Whether another provider may do better: this one could not be reached, was silent, has too much
/// to do, failed, or does not take its key.
fn is_the_providers(error: &Error) -> bool {
    match error {
        Error::Upstream { cause: Cause::SearchRefused, .. } => true,
        // As the client would see it, which knows what the services' own numbers mean.
        Error::Upstream { .. } => matches!(error.status(), 401..=403 | 408 | 429 | 500..=599),
        Error::Unreachable { .. } | Error::Protocol { .. } | Error::BreakerOpen { .. } => true,
        Error::Request { .. }
        | Error::ThreadUnsupported
        | Error::Refused { .. }
        | Error::ClientLimit { .. }
        | Error::Internal => false,
    }
}

/// Whether another key may do better.
fn is_about_the_key(error: &Error) -> bool {
    matches!(error, Error::Upstream { status: 401..=403 | 429, .. })
}
