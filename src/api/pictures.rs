//! Pictures for a model that reads text only: another model, which the configuration names, says in
//! words what is on them. Each is described once, as long as it is remembered: who has the same one
//! meanwhile waits for it.
//!
//! What that costs is told in the log and counted as the describing provider's; the usage that the
//! client gets is that of its own message, since it reads the length of its conversation from it.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::json;

use super::Provider;
use super::attempt::{Attempt, Described};
use crate::anthropic::{self, Block, Content, ContentBlock, ImageSource, Usage};
use crate::client::Failure;
use crate::error::Error;
use crate::health::Outcome;
use crate::json::Escaped;
use crate::openai::Dialect;
use crate::record::cut;
use crate::relay::{self, BodyForm};
use crate::route::{Asked, Hop};
use crate::translate::{
    Context, Said, Target, Translated, Translator, native_request, translate, upstream_error,
};
use crate::unique::unique;
use crate::upstream::{Ask, Endpoint, pause};

/// What the model that sees is asked.
const PROMPT: &str = "Describe this picture for somebody who cannot see it and has to work from your \
    words: what it shows, every text on it word for word, and of a screen the layout, the state and \
    any error. Answer with the description alone.";

/// The most tokens of a description, and the longest in characters: more is cut.
const MAX_TOKENS: u64 = 2000;
const MAX_TEXT: usize = 12_000;

/// How many new pictures of one message are described.
const MAX_PICTURES: usize = 20;

/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many descriptions are remembered, and how many bytes of them.
const MAX_KNOWN: usize = 512;
const MAX_KNOWN_BYTES: usize = 2 << 20;

/// How long a picture that could not be described is not tried again.
const FAILED_FOR: Duration = Duration::from_secs(60);

/// The largest answer of a Messages API that is read.
const ANSWER_LIMIT_BYTES: usize = 1 << 20;

/// The descriptions that are remembered, the one that was wanted last at the end.
#[derive(Debug, Default)]
pub(super) struct Pictures {
    known: Mutex<VecDeque<Known>>,
    /// Those that somebody asks about just now.
    asked: Mutex<Vec<[u64; 2]>>,
    /// Two hashes that nobody else can foresee tell pictures apart.
    keys: [RandomState; 2],
}

#[derive(Debug)]
struct Known {
    picture: [u64; 2],
    said: Result<Arc<str>, Arc<str>>,
    /// When it is tried again, if it failed.
    until: Option<Instant>,
}

impl Known {
    fn bytes(&self) -> usize {
        self.said.as_ref().map_or_else(|reason| reason.len(), |text| text.len())
    }
}

impl Pictures {
    fn id(&self, source: &ImageSource<'_>, places: &[Hop]) -> [u64; 2] {
        let places: Vec<_> =
            places.iter().map(|hop| (hop.provider, hop.model.as_deref())).collect();
        let whole = match source {
            ImageSource::Base64 { media_type, data } => (media_type.text(), data.text()),
            ImageSource::Url(url) => (Cow::Borrowed(""), url.text()),
        };
        [0, 1].map(|i| self.keys[i].hash_one((&places, &whole)))
    }

    fn get(&self, picture: [u64; 2], now: Instant) -> Option<Result<Arc<str>, Arc<str>>> {
        let mut known = self.lock();
        known.retain(|known| known.until.is_none_or(|until| now < until));
        let at = known.iter().position(|known| known.picture == picture)?;
        let found = known.remove(at)?;
        let said = found.said.clone();
        known.push_back(found);
        Some(said)
    }

    fn add(&self, picture: [u64; 2], said: Result<Arc<str>, Arc<str>>, now: Instant) {
        let until = said.is_err().then(|| now + FAILED_FOR);
        let mut known = self.lock();
        known.retain(|known| known.picture != picture);
        known.push_back(Known { picture, said, until });
        let mut bytes: usize = known.iter().map(Known::bytes).sum();
        while known.len() > MAX_KNOWN || bytes > MAX_KNOWN_BYTES {
            bytes -= known.pop_front().map_or(0, |known| known.bytes());
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The right to ask about a picture, unless somebody has it.
    fn claim(&self, picture: [u64; 2]) -> Option<Claim<'_>> {
        let mut asked = self.asked();
        if asked.contains(&picture) {
            return None;
        }
        asked.push(picture);
        Some(Claim { pictures: self, picture })
    }

    fn is_asked(&self, picture: [u64; 2]) -> bool {
        self.asked().contains(&picture)
    }

    fn asked(&self) -> MutexGuard<'_, Vec<[u64; 2]>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to ask about a picture, for as long as it is held.
struct Claim<'p> {
    pictures: &'p Pictures,
    picture: [u64; 2],
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.pictures.asked().retain(|picture| *picture != self.picture);
    }
}

/// What was done for one message.
#[derive(Default)]
struct Done {
    /// How many were described for it, by which provider, and what they cost.
    by: Option<String>,
    described: usize,
    usage: Usage,
    asked: usize,
    left_out: bool,
}

impl Attempt<'_> {
    /// The request with its pictures in words, if the model does not see them and another is to
    /// describe them. It is read once more, for which `room` gives the memory.
    ///
    /// # Errors
    /// The client has gone. What fails otherwise leaves a note that says why.
    #[inline(never)]
    pub(super) fn described<'s>(
        &'s self,
        sees: bool,
        room: &'s dyn Fn(usize) -> Result<(), Error>,
    ) -> Result<Option<Box<Described<'s>>>, Failure> {
        let places = &self.asking.api.config.routes.describe;
        if sees || places.is_empty() || !Asked::of(self.asking.request, 0).images {
            return Ok(None);
        }
        let mut request = anthropic::parse_within(&self.asking.exchange.body, room)
            .map_err(|error| if self.has_left() { Failure::ClientGone } else { error.into() })?;
        let mut done = Done::default();
        for message in &mut request.messages {
            self.describe_all(&mut message.content, places, &mut done)?;
        }
        if let Some(by) = &done.by {
            let (n, input, output) =
                (done.described, done.usage.all_input(), done.usage.output_tokens);
            let s = if n == 1 { "" } else { "s" };
            let what = format!("{by} described {n} picture{s}: {input} in {output} out");
            self.asking.ledger.happened(what, false);
        }
        Ok(Some(Box::new(Described { request, left_out: done.left_out })))
    }

    fn describe_all(
        &self,
        content: &mut Content<'_>,
        places: &[Hop],
        done: &mut Done,
    ) -> Result<(), Failure> {
        for block in &mut content.0 {
            match block {
                Block::Image(source) => {
                    let text = self.words_for(source, places, done)?;
                    *block = Block::Text(Escaped::new(&text));
                }
                Block::ToolResult(result) => {
                    self.describe_all(&mut result.content, places, done)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What stands in the place of a picture.
    fn words_for(
        &self,
        source: &ImageSource<'_>,
        places: &[Hop],
        done: &mut Done,
    ) -> Result<String, Failure> {
        Ok(match self.description(source, places, done)? {
            Ok(text) => format!("[image, described in words: {text}]"),
            Err(reason) => {
                done.left_out = true;
                format!("[image: not shown, this model reads text only; {reason}]")
            }
        })
    }

    /// What is known of a picture, or said when it is asked about; of one that another message asks
    /// about, what that one is told. If its client leaves, the next one asks.
    fn description(
        &self,
        source: &ImageSource<'_>,
        places: &[Hop],
        done: &mut Done,
    ) -> Result<Result<Arc<str>, Arc<str>>, Failure> {
        let pictures = &self.asking.api.pictures;
        let id = pictures.id(source, places);
        let until = Instant::now() + PATIENCE * places.len().try_into().unwrap_or(u32::MAX);
        loop {
            let claim = pictures.claim(id);
            if let Some(said) = pictures.get(id, Instant::now()) {
                return Ok(said);
            }
            if claim.is_some() {
                if done.asked >= MAX_PICTURES {
                    let others = "others of this message were described first";
                    return Ok(Err(format!("{MAX_PICTURES} {others}").into()));
                }
                done.asked += 1;
                let said = self.ask_places(source, places, done)?;
                pictures.add(id, said.clone(), Instant::now());
                return Ok(said);
            }
            let left = until.saturating_duration_since(Instant::now());
            let client = self.receiver.waits();
            let is_over = || !pictures.is_asked(id);
            self.asking.ledger.waiting(|| pause(client, left, is_over))?;
            if pictures.is_asked(id) {
                return Ok(Err("another message has asked for it, in vain so far".into()));
            }
        }
    }

    /// Asks one place after another, until one describes the picture; else why none did.
    fn ask_places(
        &self,
        source: &ImageSource<'_>,
        places: &[Hop],
        done: &mut Done,
    ) -> Result<Result<Arc<str>, Arc<str>>, Failure> {
        let mut reasons = Vec::new();
        for hop in places {
            let provider = &self.asking.api.providers[hop.provider];
            let model = hop.model.as_deref().unwrap_or(&provider.config.model);
            let place = format!("{}/{}", provider.config.name, cut(model));
            match self.ask_for_words(provider, model, source) {
                Ok((text, usage)) => {
                    let metrics = &provider.health.metrics;
                    metrics.described.add(1);
                    metrics.input_tokens.observe_tokens(usage.all_input());
                    metrics.output_tokens.observe_tokens(usage.output_tokens);
                    metrics.cache_read_tokens.add(usage.cache_read_input_tokens);
                    metrics.cache_write_tokens.add(usage.cache_creation_input_tokens);
                    done.described += 1;
                    done.usage.input_tokens += usage.all_input();
                    done.usage.output_tokens += usage.output_tokens;
                    done.by = Some(place);
                    return Ok(Ok(text.chars().take(MAX_TEXT).collect::<String>().into()));
                }
                Err(Failure::ClientGone) => return Err(Failure::ClientGone),
                Err(Failure::Error(error)) => {
                    let error = provider.upstream.redactor().error(error);
                    let reason =
                        format!("{place} could not describe it: {}", cut(&error.to_string()));
                    self.asking.ledger.happened(format!("a picture: {reason}"), true);
                    reasons.push(reason);
                }
            }
        }
        Ok(Err(reasons.join("; ").into()))
    }

    /// Asks a model for a description.
    fn ask_for_words(
        &self,
        provider: &Provider,
        model: &str,
        source: &ImageSource<'_>,
    ) -> Result<(String, Usage), Failure> {
        let config = &provider.config;
        let source = match source {
            ImageSource::Base64 { media_type, data } => {
                json!({ "type": "base64", "media_type": media_type, "data": data })
            }
            ImageSource::Url(url) => json!({ "type": "url", "url": url }),
        };
        let content =
            json!([{ "type": "image", "source": source }, { "type": "text", "text": PROMPT }]);
        let messages = json!([{ "role": "user", "content": content }]);
        let body = json!({ "model": model, "max_tokens": MAX_TOKENS, "messages": messages });
        let body = body.to_string();
        // As it is read, and as it is sent.
        self.asking.exchange.share.take(2 * body.len()).map_err(Failure::from)?;
        let permit = provider.health.state.permit(None)?;
        let answered = match config.row.speaks_chat {
            true => self.ask_in_words_of(provider, model, body.as_bytes(), permit.key),
            false => self.ask_natively(provider, model, body.as_bytes(), permit.key),
        };
        match answered {
            Ok((text, _)) if text.trim().is_empty() => {
                permit.succeeded();
                Err(Error::protocol("it said nothing").into())
            }
            Ok(said) => {
                permit.succeeded();
                Ok(said)
            }
            Err(Failure::Error(error)) => {
                provider.health.metrics.upstream_error(error.cause());
                let outcome = Outcome::of(&error);
                let is_own = model == config.model;
                permit.failed(&error, if is_own { outcome } else { outcome.of_another_model() });
                Err(error.into())
            }
            Err(gone) => Err(gone),
        }
    }

    /// Asks through an API of OpenAI's.
    fn ask_in_words_of(
        &self,
        provider: &Provider,
        model: &str,
        body: &[u8],
        key: usize,
    ) -> Result<(String, Usage), Failure> {
        let config = &provider.config;
        let learned = provider.health.lessons.of(model, Instant::now());
        let request = anthropic::parse(body)?;
        let api = config.api.or(learned.api()).unwrap_or_else(|| config.row.api_of(model));
        let target = Target {
            provider: config.row,
            model,
            max_tokens: config.max_tokens_for(model),
            images: true,
            api,
            session: None,
            learned: &learned,
        };
        let Translated { wanted, names, stops, .. } = translate(&request, &target)?;
        let body = wanted.encode(body)?;
        let endpoint = match api {
            Dialect::ChatCompletions => Endpoint::ChatCompletions,
            Dialect::Responses => Endpoint::Responses,
        };
        let id = unique("msg_");
        let mut translator =
            Translator::new(api, id, model.to_owned(), names, Vec::new(), stops, 0);
        let ask = Ask { endpoint, key, body: &body, headers: &[], patience: Some(PATIENCE) };
        let message = self.read_words(provider, model, ask, |form, read| {
            relay::whole(&mut translator, form, read)
        })?;
        let text = message.content.into_iter().filter_map(|block| match block {
            ContentBlock::Text { text, .. } => Some(text),
            _ => None,
        });
        Ok((text.collect(), message.usage))
    }

    /// Asks a Messages API.
    fn ask_natively(
        &self,
        provider: &Provider,
        model: &str,
        body: &[u8],
        key: usize,
    ) -> Result<(String, Usage), Failure> {
        #[derive(Deserialize)]
        struct Said {
            content: Vec<Piece>,
            #[serde(default)]
            usage: Counts,
        }
        #[derive(Deserialize)]
        struct Piece {
            #[serde(default)]
            text: String,
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Counts {
            input_tokens: u64,
            output_tokens: u64,
        }
        let request = anthropic::parse(body)?;
        let row = provider.config.row;
        let (body, _) = native_request(body, &request, row, model, None, None)?;
        let headers = self.asking.exchange.native_headers();
        let ask = Ask {
            endpoint: Endpoint::Messages,
            key,
            body: &body,
            headers: &headers,
            patience: Some(PATIENCE),
        };
        let body = self.read_words(provider, model, ask, |_, read| {
            relay::read_whole(read, ANSWER_LIMIT_BYTES)
        })?;
        let said: Said = serde_json::from_slice(&body)
            .map_err(|_| Error::protocol("it is not what the Messages API answers"))?;
        let Counts { input_tokens, output_tokens } = said.usage;
        let usage = Usage { input_tokens, output_tokens, ..Usage::default() };
        Ok((said.content.into_iter().map(|piece| piece.text).collect(), usage))
    }

    /// Sends a question, and reads its answer, if it is one.
    fn read_words<T>(
        &self,
        provider: &Provider,
        model: &str,
        ask: Ask<'_>,
        read: impl FnOnce(BodyForm, relay::ReadBody<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let client = self.receiver.waits();
        self.asking.ledger.waiting(|| {
            let mut answer = provider.upstream.send(ask, client)?;
            if !matches!(answer.status, 200..=203) {
                let body = provider.upstream.redactor().bytes(answer.body.read_error()?);
                let retry = std::mem::take(&mut answer.retry);
                let context = Context { model, input_estimate: 0 };
                return Err(
                    upstream_error(answer.status, &Said::read(&body), retry, context).into()
                );
            }
            let is_json = answer.content_type.contains("json");
            let form = if is_json { BodyForm::Whole } else { BodyForm::Events };
            read(form, &mut |buffer: &mut [u8]| answer.body.read(buffer))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_bounded_and_the_one_wanted_last_stays() {
        let pictures = Pictures::default();
        let now = Instant::now();
        for n in 0..MAX_KNOWN as u64 {
            pictures.add([n, 0], Ok("x".into()), now);
        }
        assert!(pictures.get([0, 0], now).is_some());
        pictures.add([u64::MAX, 0], Ok("x".into()), now);
        assert!(pictures.get([0, 0], now).is_some(), "it was wanted last");
        assert!(pictures.get([1, 0], now).is_none(), "the oldest has gone");
        pictures.add([7, 7], Ok("x".repeat(MAX_KNOWN_BYTES).into()), now);
        assert_eq!(pictures.lock().len(), 1);
        pictures.add([8, 8], Err("no".into()), now);
        assert!(pictures.get([8, 8], now + FAILED_FOR / 2).is_some());
        assert!(pictures.get([8, 8], now + FAILED_FOR).is_none(), "it is tried again");
    }

    #[test]
    fn one_at_a_time_asks_about_a_picture() {
        let pictures = Pictures::default();
        let first = pictures.claim([1, 1]);
        assert!(first.is_some() && pictures.claim([1, 1]).is_none());
        assert!(pictures.claim([2, 2]).is_some(), "another one is another question");
        drop(first);
        assert!(!pictures.is_asked([1, 1]) && pictures.claim([1, 1]).is_some());
    }
}
