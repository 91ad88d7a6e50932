//! A request to a provider: an answer, or why there is none, which the head of the answer tells.

use std::time::Instant;

use super::attempt::{Attempt, Heard, Unanswered};
use crate::error::{Cause, Error};
use crate::relay;
use crate::translate::{Context, Lesson, Said, first_words, upstream_error, window_of};
use crate::upstream::{Answer, Ask, limits};

impl Attempt<'_> {
    /// Asks; an answer that is an error becomes one.
    #[inline(never)]
    pub(super) fn ask(&self, ask: Ask<'_>) -> Result<Answer, Unanswered> {
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
            return Err(match is_well {
                true => Error::protocol(reason).into(),
                false => Error::upstream(answer.status, reason, retry).into(),
            });
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
            return Err(Error::Protocol { cause: Cause::NotTheApi, reason }.into());
        }
        // What is learned from it is told too, so it is cleaned before it is read.
        let body = self.provider.upstream.redactor().bytes(answer.body.read_error()?);
        let retry = std::mem::take(&mut answer.retry);
        if is_well {
            let reason = format!(
                "{} answered 200 with {}, {:?}, which is no answer of its API; check {}",
                config.name,
                answer.content_type.split(';').next().unwrap_or_default(),
                first_words(&body),
                config.variable("BASE_URL")
            );
            return Err(Error::Protocol { cause: Cause::NotTheApi, reason }.into());
        }
        let said = Said::read(&body);
        if answer.status == 400 && wants_https(said.words()) {
            return Err(self.provider.upstream.https_port(ask.endpoint).into());
        }
        let context = Context { model: self.model, input_estimate: self.asking.input_estimate };
        let error = upstream_error(answer.status, &said, retry, context).at(limits::now());
        if error.cause() == Cause::ContextOverflow
            && let Some(window) = window_of(&said)
        {
            let lessons = &self.provider.health.lessons;
            lessons.add(self.model, Lesson::Window(window), Instant::now());
        }
        let (status, token) = (answer.status, answer.token);
        let heard = Heard { status, token, said, lesson: None };
        Err(Unanswered { failure: error.into(), heard: Some(Box::new(heard)) })
    }
}

/// Whether a text is what servers say to http on their https port: nginx, Go's and Apache's.
fn wants_https(said: &str) -> bool {
    const WORDS: &[&str] = &[
        "plain HTTP request was sent to HTTPS port",
        "Client sent an HTTP request to an HTTPS server",
        "speaking plain HTTP to an SSL-enabled server port",
    ];
    WORDS.iter().any(|words| said.contains(words))
}
