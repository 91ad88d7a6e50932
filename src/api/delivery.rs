//! An answer on its way to the client: passed on as a stream, or made a whole message of, and
//! measured as it comes.

use std::io;
use std::time::Instant;

use super::asking::{Answered, Delivered, Receiver, Rest};
use super::attempt::Attempt;
use super::ledger::Ledger;
use crate::client::Failure;
use crate::error::Error;
use crate::heap;
use crate::memory::Share;
use crate::metrics::ProviderMetrics;
use crate::relay::{self, Body, BodyForm};
use crate::translate::{Translator, native};
use crate::upstream::{Answer, AnswerBody};

impl Attempt<'_> {
    /// Passes the answer on, or makes a whole message of it.
    pub(super) fn deliver(
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
        let (answered, is_cut) = self.pass_on(&mut read, form, translator)?;
        Ok(Delivered { answered, rest: Rest((!is_cut).then_some(answer.body)) })
    }

    /// Passes on what stands for an answer that its limit has cut.
    pub(super) fn deliver_cut(
        &self,
        mut body: &[u8],
        translator: Option<Box<Translator>>,
    ) -> Result<Delivered, Failure> {
        let mut read = |buffer: &mut [u8]| Ok(io::Read::read(&mut body, buffer).unwrap_or(0));
        let (answered, _) = self.pass_on(&mut read, BodyForm::Whole, translator)?;
        Ok(Delivered { answered, rest: Rest(None) })
    }

    /// Passes a body on, or makes a whole message of it, and tells whether a stop sequence cut it.
    fn pass_on(
        &self,
        read: relay::ReadBody<'_>,
        form: BodyForm,
        translator: Option<Box<Translator>>,
    ) -> Result<(Answered, bool), Failure> {
        let Receiver::Stream(stream) = self.receiver else {
            return self.make_whole(read, form, translator);
        };
        let relayed = relay::stream(stream, form, read);
        if stream.borrow().has_text_calls() {
            self.note_text_calls();
        }
        relayed?;
        Ok((Answered::Stream, stream.borrow().is_cut()))
    }

    /// In a frame of its own, which streams do without for as long as they last.
    #[inline(never)]
    fn make_whole(
        &self,
        read: relay::ReadBody<'_>,
        form: BodyForm,
        translator: Option<Box<Translator>>,
    ) -> Result<(Answered, bool), Failure> {
        let Some(mut translator) = translator else {
            let body = relay::read_whole(read, relay::WHOLE_LIMIT_BYTES)?;
            let message = native::whole(body, &self.asking.request.model)?;
            let results = self.asking.request.safeguard_results();
            return Ok((Answered::Native(message.with_safeguards(&results)), false));
        };
        let message = relay::whole(&mut translator, form, read)?;
        if translator.has_text_calls() {
            self.note_text_calls();
        }
        Ok((Answered::Message(Box::new(message)), translator.is_cut()))
    }

    fn note_text_calls(&self) {
        let mut record = self.asking.ledger.record.borrow_mut();
        record.adjusted.push(relay::TEXT_CALLS.to_owned());
    }
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
