//! The books: what became of a request is settled here once, for the log, the metrics and the
//! counts of refusals alike, however it ended.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Api, Provider};
use crate::anthropic::Usage;
use crate::error::Error;
use crate::exchange::{Call, Exchange};
use crate::health::ProviderHealth;
use crate::record::{Ending, Record, Refusal};

/// A request that is not settled. One that nobody settles met a bug, and is settled as such.
pub(super) struct Ledger<'a> {
    api: &'a Api,
    is_message: bool,
    began: Instant,
    /// Time that was spent in waiting for providers.
    waited: Cell<Duration>,
    first_byte: Cell<Option<Duration>>,
    /// The provider that was asked last.
    provider: RefCell<Option<Arc<ProviderHealth>>>,
    usage: Cell<Option<Usage>>,
    settled: Cell<bool>,
    pub record: RefCell<Record>,
}

impl<'a> Ledger<'a> {
    /// Opens the books on a request that has come.
    pub(super) fn open(api: &'a Api, exchange: &Exchange) -> Ledger<'a> {
        let action = exchange.call.action();
        let record = Record::new(action, &exchange.request_id, exchange.caller.clone());
        Ledger {
            api,
            is_message: exchange.call == Call::Messages,
            began: Instant::now(),
            waited: Cell::default(),
            first_byte: Cell::default(),
            provider: RefCell::default(),
            usage: Cell::default(),
            settled: Cell::new(false),
            record: RefCell::new(record),
        }
    }

    /// A provider's turn has come, with a model.
    pub(super) fn turn_of(&self, provider: &Provider, model: &str) {
        self.provider.replace(Some(Arc::clone(&provider.health)));
        let mut record = self.record.borrow_mut();
        record.provider = Some(provider.config.name.clone());
        record.model = Some(crate::record::cut(model));
        (record.upstream_status, record.upstream_request_id) = (None, None);
    }

    /// Something had to be done to get an answer, which `is_odd` if the operator can mend the
    /// cause.
    pub(super) fn happened(&self, what: String, is_odd: bool) {
        let mut record = self.record.borrow_mut();
        record.happened.push(what);
        record.is_odd |= is_odd;
    }

    /// Does something that waits for a provider.
    pub(super) fn waiting<T>(&self, wait: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let done = wait();
        self.waited.set(self.waited.get() + began.elapsed());
        done
    }

    /// How long it has taken so far.
    pub(super) fn has_taken(&self) -> Duration {
        self.began.elapsed()
    }

    /// A byte of a provider's answer has come.
    pub(super) fn first_byte(&self) {
        if self.first_byte.get().is_none() {
            self.first_byte.set(Some(self.began.elapsed()));
        }
    }

    /// The tokens of the answer so far.
    pub(super) fn used(&self, usage: Usage) {
        self.usage.set(Some(usage));
    }

    /// Closes the books.
    pub(super) fn settle(&self, ending: &Ending) {
        if self.settled.replace(true) {
            return;
        }
        let took = self.began.elapsed();
        // A panic may come from where it is written to, and must not meet a second one.
        let Ok(mut record) = self.record.try_borrow_mut() else { return };
        record.took(took, self.waited.get(), self.first_byte.get());
        if let Some(usage) = self.usage.get() {
            record.used(usage);
        }
        let level = record.end(ending);
        let refusal = match ending {
            Ending::Failed(error) => self.refusal(error),
            Ending::Answered | Ending::ClientGone => None,
        };
        let may_be_told = match refusal {
            Some(refusal) => self.api.health.refusals.add(refusal, record.address()),
            None => {
                self.count(ending, took);
                true
            }
        };
        if may_be_told {
            record.write(level);
        }
    }

    /// Why the request was turned away, if no provider had a part in it.
    fn refusal(&self, error: &Error) -> Option<Refusal> {
        match error {
            Error::Request { .. } | Error::ThreadUnsupported => Some(Refusal::Request),
            Error::Internal if self.provider.borrow().is_none() => Some(Refusal::Bug),
            // Of our own, whoever was being asked.
            Error::Refused { status, .. } => Some(Refusal::of_status(*status)),
            _ => None,
        }
    }

    /// Counts a message as one of the provider that was asked last.
    fn count(&self, ending: &Ending, took: Duration) {
        let provider = self.provider.borrow();
        let Some(provider) = provider.as_ref().filter(|_| self.is_message) else { return };
        let metrics = &provider.metrics;
        match ending {
            Ending::Answered => metrics.succeeded.add(1),
            Ending::Failed(_) => metrics.failed.add(1),
            Ending::ClientGone => metrics.cancelled.add(1),
        }
        if let (Ending::Answered, Some(usage)) = (ending, self.usage.get()) {
            metrics.input_tokens.observe_tokens(usage.all_input());
            metrics.output_tokens.observe_tokens(usage.output_tokens);
            metrics.cache_read_tokens.add(usage.cache_read_input_tokens);
            metrics.cache_write_tokens.add(usage.cache_creation_input_tokens);
        }
        // How long a client stays says nothing about a provider.
        if !matches!(ending, Ending::ClientGone) {
            metrics.duration.observe_time(took);
        }
    }
}

impl Drop for Ledger<'_> {
    fn drop(&mut self) {
        self.settle(&Ending::Failed(Error::Internal));
    }
}
