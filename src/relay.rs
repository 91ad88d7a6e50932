//! The one loop of an answer: reads the upstream's body, translates, writes to the client.
//!
//! Before the first event has gone to the client, an error is returned and becomes an HTTP status;
//! after it, it becomes an `error` event.

mod body;
mod source;
mod stream;

use std::cell::RefCell;

use crate::anthropic::Message;
use crate::client::Failure;
use crate::memory;
use crate::sse::Decoder;
use crate::translate::{Fold, Translator};
pub use body::{Body, BodyForm, ReadBody, WHOLE_LIMIT_BYTES, form_of, read_whole};
use body::{READ_BYTES, Sniffed};
pub use source::Source;
use source::{Step, take, translate_whole};
pub use stream::{EventWriter, Stream, TEXT_CALLS};

/// What is kept before it is counted, and the steps in which a message is: each message in flight
/// has as much anyway.
const FREE_BYTES: usize = 64 << 10;

/// Relays the body to the client as a stream, all but what belongs to its end.
///
/// Nothing is ended here: a message that is complete is ended by [`Stream::end`]; while nothing of
/// it has been sent ([`Stream::has_content`]) another provider can be asked; else the client is
/// told by [`Stream::fail`].
///
/// # Errors
/// How the answer ended, if not well.
pub fn stream<W: EventWriter>(
    client: &RefCell<Stream<W>>,
    form: BodyForm,
    read: ReadBody<'_>,
) -> Result<(), Failure> {
    // Only a stream was asked for there.
    let form = if client.borrow().source.is_native() { BodyForm::Events } else { form };
    let relayed = Sniffed::new(read, form).and_then(|mut sniffed| match sniffed.form {
        BodyForm::Events => {
            let mut decoder = Decoder::default();
            pieces(&mut sniffed, |bytes| {
                let mut stream = client.borrow_mut();
                let step = stream.take(&mut decoder, bytes)?;
                Ok((step, Kept { frame: stream.source.pending(&decoder), message: 0 }))
            })
        }
        BodyForm::Whole => {
            let body = read_whole(&mut sniffed, WHOLE_LIMIT_BYTES)?;
            let mut stream = client.borrow_mut();
            let Stream { source, out, .. } = &mut *stream;
            Ok(source.whole(&body, form, out)?)
        }
    });
    let mut stream = client.borrow_mut();
    if relayed.is_err() && !stream.has_content() {
        stream.out.clear();
    }
    relayed
}

/// Reads the body into one message.
///
/// # Errors
/// Whatever keeps it from being one.
pub fn whole(
    translator: &mut Translator,
    form: BodyForm,
    read: ReadBody<'_>,
) -> Result<Message, Failure> {
    let mut fold = Fold::default();
    let mut sniffed = Sniffed::new(read, form)?;
    match sniffed.form {
        BodyForm::Events => {
            let mut decoder = Decoder::default();
            pieces(&mut sniffed, |bytes| {
                let came = take(&mut decoder, bytes, translator, &mut fold)?;
                let step = Step::of(translator.is_ended(), translator.is_complete()).when(came);
                Ok((step, Kept { frame: decoder.pending(), message: fold.bytes() }))
            })?;
        }
        BodyForm::Whole => {
            let body = read_whole(&mut sniffed, WHOLE_LIMIT_BYTES)?;
            translate_whole(&body, form, translator, &mut fold)?;
        }
    }
    Ok(fold.into_message()?)
}

/// Bytes of a body that are kept after a piece of it.
#[derive(Debug, Clone, Copy)]
struct Kept {
    /// Of a frame whose end has not come.
    frame: usize,
    /// Of the message that is collected for the client.
    message: usize,
}

/// Reads the body and calls `each` with every piece, until it says that the message is over, and
/// with nothing at the body's end. What it keeps is counted as far as it is more than every message
/// has.
///
/// A complete answer is kept: after it, silence and a broken connection are its end.
fn pieces(
    read: ReadBody<'_>,
    mut each: impl FnMut(&[u8]) -> Result<(Step, Kept), Failure>,
) -> Result<(), Failure> {
    let mut buffer = [0; READ_BYTES];
    let mut is_complete = false;
    let (mut of_frames, mut of_message) = (FREE_BYTES, FREE_BYTES);
    loop {
        let n = match read.read(&mut buffer) {
            Err(Failure::Error(_)) if is_complete => 0,
            read => read?,
        };
        let (step, kept) = each(&buffer[..n])?;
        if kept.frame > of_frames {
            // A frame is kept apart from what it came in.
            read.hold(memory::cost(&buffer[..n]) + n)?;
            of_frames += n;
        }
        if kept.message > of_message {
            let more = kept.message - of_message + FREE_BYTES;
            read.hold(memory::COPIES * more)?;
            of_message += more;
        }
        match step {
            Step::Over => return Ok(()),
            _ if n == 0 => return Ok(()),
            Step::GoesOn => {}
            Step::Complete => {
                is_complete = true;
                read.expect_end();
            }
        }
    }
}
