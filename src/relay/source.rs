//! Where the events of an answer come from, and what a piece of the body means: its frames go to
//! the translator of its dialect, or to the client as they are.

use super::body::BodyForm;
use crate::error::Error;
use crate::json;
use crate::sse::Decoder;
use crate::translate::native::Native;
use crate::translate::{Sink, Translator};

/// Where the events of an answer come from.
pub enum Source {
    /// Made of an answer in another dialect.
    Translated(Box<Translator>),
    /// The provider's own.
    Native(Native),
}

impl Source {
    /// The client has got the start of the message already.
    pub(super) fn skip_start(&mut self) {
        match self {
            Source::Translated(translator) => translator.skip_start(),
            Source::Native(native) => native.skip_start(),
        }
    }

    /// Takes what was read of the body, or nothing at its end. Returns whether something of the
    /// answer came with it.
    pub(super) fn take(
        &mut self,
        decoder: &mut Decoder,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<bool, Error> {
        match self {
            Source::Translated(translator) => take(decoder, bytes, translator, out),
            Source::Native(native) if bytes.is_empty() => native.finish(out).map(|()| true),
            Source::Native(native) => {
                let was_complete = native.is_complete();
                native.feed(bytes, out).map(|()| !was_complete)
            }
        }
    }

    /// Takes a whole body, which its head has `named` so.
    pub(super) fn whole(
        &mut self,
        body: &[u8],
        named: BodyForm,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        match self {
            Source::Translated(translator) => translate_whole(body, named, translator, out),
            Source::Native(native) => native.whole(body, out),
        }
    }

    /// Bytes that are kept of a frame whose end has not come.
    pub(super) fn pending(&self, decoder: &Decoder) -> usize {
        match self {
            Source::Translated(_) => decoder.pending(),
            Source::Native(native) => native.pending(),
        }
    }

    pub(super) fn is_native(&self) -> bool {
        matches!(self, Source::Native(_))
    }

    pub(super) fn is_ended(&self) -> bool {
        match self {
            Source::Translated(translator) => translator.is_ended(),
            Source::Native(native) => native.is_ended(),
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        match self {
            Source::Translated(translator) => translator.is_complete(),
            Source::Native(native) => native.is_complete(),
        }
    }

    /// Whether what there is may begin the client's answer.
    pub(super) fn says_something(&self) -> bool {
        match self {
            Source::Translated(translator) => translator.has_content() || translator.is_ended(),
            // It holds back itself what can wait.
            Source::Native(_) => true,
        }
    }

    pub(super) fn has_content(&self) -> bool {
        match self {
            Source::Translated(translator) => translator.has_content(),
            Source::Native(native) => native.has_content(),
        }
    }
}

/// What a piece of the body meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    GoesOn,
    /// The finish reason has come, and something with it or after it just now.
    Complete,
    Over,
}

impl Step {
    pub(super) fn of(is_over: bool, is_complete: bool) -> Step {
        match () {
            () if is_over => Step::Over,
            () if is_complete => Step::Complete,
            () => Step::GoesOn,
        }
    }

    /// The same for a piece that something `came` with: silence in between is no sign of an end.
    pub(super) fn when(self, came: bool) -> Step {
        if self == Step::Complete && !came { Step::GoesOn } else { self }
    }
}

/// Translates what was read, or the end of the body where nothing was. Returns whether a frame was
/// complete.
pub(super) fn take(
    decoder: &mut Decoder,
    bytes: &[u8],
    translator: &mut Translator,
    sink: &mut dyn Sink,
) -> Result<bool, Error> {
    if bytes.is_empty() {
        return decode_end(std::mem::take(decoder), translator, sink).map(|()| true);
    }
    decoder.feed(bytes);
    decode(decoder, translator, sink)
}

/// Translates the frames that are complete. Returns whether there were any.
fn decode(
    decoder: &mut Decoder,
    translator: &mut Translator,
    sink: &mut dyn Sink,
) -> Result<bool, Error> {
    let mut came = false;
    loop {
        match decoder.next_frame() {
            Ok(Some(frame)) => translator.frame(&frame, sink)?,
            Ok(None) => return Ok(came),
            Err(_) => {
                let reason = "an event is too large to be one".to_owned();
                return Err(Error::protocol(reason));
            }
        }
        came = true;
    }
}

fn decode_end(
    mut decoder: Decoder,
    translator: &mut Translator,
    sink: &mut dyn Sink,
) -> Result<(), Error> {
    while let Some(frame) = decoder.finish() {
        translator.last_frame(&frame, sink)?;
    }
    translator.finish(sink)
}

/// Translates a body that begins like a document. One that is called a stream of events, and is no
/// document after all, begins with a line that is none of its own.
pub(super) fn translate_whole(
    body: &[u8],
    named: BodyForm,
    translator: &mut Translator,
    sink: &mut dyn Sink,
) -> Result<(), Error> {
    if named != BodyForm::Events || json::documents(body).is_some() {
        return translator.whole(body, sink);
    }
    let mut decoder = Decoder::default();
    decoder.feed(body);
    decode(&mut decoder, translator, sink)?;
    if translator.is_ended() { Ok(()) } else { decode_end(decoder, translator, sink) }
}
