//! The one loop of an answer: reads the upstream's body, translates, writes to the client.
//!
//! Before the first event has gone to the client, an error is returned and becomes an HTTP status;
//! after it, it becomes an `error` event.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::anthropic::{Event, Message, StopReason, Usage};
use crate::client::{Client, Failure};
use crate::error::Error;
use crate::json;
use crate::line::Peer;
use crate::memory;
use crate::sse::Decoder;
use crate::translate::native::Native;
use crate::translate::{Fold, Sink, Translator};

/// When a client that has heard nothing is told that its stream has begun. Until then an upstream's
/// refusal can still become an HTTP status, which the SDKs retry.
const COMMIT_AFTER: Duration = Duration::from_secs(1);

/// The same where nothing but a ping can tell so, since the message's start is the provider's.
const COMMIT_NATIVE_AFTER: Duration = Duration::from_secs(10);

/// The longest silence on a client's stream. Claude Code shows a warning after 20 s.
const PING_EVERY: Duration = Duration::from_secs(5);

/// The largest body of an upstream's answer that is not a stream.
pub const WHOLE_LIMIT_BYTES: usize = 64 << 20;

/// What is kept before it is counted, and the steps in which a message is: each message in flight
/// has as much anyway.
const FREE_BYTES: usize = 64 << 10;
/// What is read at once. A stream that trickles needs no more, and each has such a buffer on its
/// stack.
const READ_BYTES: usize = 2 << 10;

/// How clients are told that a tool was called in the text.
pub const TEXT_CALLS: &str = "tool_calls=from_text";

/// The upstream's body.
pub type ReadBody<'a> = &'a mut dyn Body;

/// A body that is read.
pub trait Body {
    /// Reads some bytes; 0 is the end.
    ///
    /// # Errors
    /// The body broke off, or the client has gone.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Failure>;

    /// The answer is complete: what is still to come has to come soon.
    fn expect_end(&mut self) {}

    /// Takes so much memory for what is kept of the body.
    ///
    /// # Errors
    /// There is none left.
    fn hold(&mut self, _bytes: usize) -> Result<(), Failure> {
        Ok(())
    }
}

impl<F: FnMut(&mut [u8]) -> Result<usize, Failure>> Body for F {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        self(buffer)
    }
}

/// What the upstream's body is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of its variants say it")]
pub enum BodyForm {
    Events,
    /// One JSON document, also as the answer to a request for a stream.
    Whole,
}

/// The client's end of a stream.
pub trait EventWriter {
    /// Notes for the head of the answer what was made to fit in it.
    fn adjusted(&mut self, _what: &str) {}
    /// Begins the answer; its head may go out with the first events.
    fn begin(&mut self) -> io::Result<()>;
    /// Sends encoded events at once.
    fn write(&mut self, events: &[u8]) -> io::Result<()>;
    /// Ends the answer.
    fn end(&mut self) -> io::Result<()>;
    /// The same with the last events, if there are any.
    fn finish(&mut self, events: &[u8]) -> io::Result<()> {
        if !events.is_empty() {
            self.write(events)?;
        }
        self.end()
    }
    /// The client's connection.
    fn peer(&self) -> Option<Arc<Peer>>;
}

/// Where the events of an answer come from.
pub enum Source {
    /// Made of an answer in another dialect.
    Translated(Box<Translator>),
    /// The provider's own.
    Native(Native),
}

impl Source {
    /// The client has got the start of the message already.
    fn skip_start(&mut self) {
        match self {
            Source::Translated(translator) => translator.skip_start(),
            Source::Native(native) => native.skip_start(),
        }
    }

    /// Takes what was read of the body, or nothing at its end. Returns whether something of the
    /// answer came with it.
    fn take(
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

    fn is_ended(&self) -> bool {
        match self {
            Source::Translated(translator) => translator.is_ended(),
            Source::Native(native) => native.is_ended(),
        }
    }

    fn is_complete(&self) -> bool {
        match self {
            Source::Translated(translator) => translator.is_complete(),
            Source::Native(native) => native.is_complete(),
        }
    }

    /// Whether what there is may begin the client's answer.
    fn says_something(&self) -> bool {
        match self {
            Source::Translated(translator) => translator.has_content() || translator.is_ended(),
            // It holds back itself what can wait.
            Source::Native(_) => true,
        }
    }

    fn has_content(&self) -> bool {
        match self {
            Source::Translated(translator) => translator.has_content(),
            Source::Native(native) => native.has_content(),
        }
    }
}

/// What has gone out to the client; each includes the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Progress {
    /// Nothing: an error can become a status.
    Silent,
    /// The head, and signs of life.
    Begun,
    /// The start of a message of our own.
    Started,
    /// Something that a provider said.
    Relayed,
    /// A write failed: nothing more can go out.
    Gone,
}

/// A streamed answer on its way to the client.
///
/// ```text
///   Silent ──ping, native──▶ Begun ──▶ Started ──▶ Relayed
///     │                        │          │           │
///     └────────────────────────┴──────────┴───────────┴──a write fails──▶ Gone
/// ```
pub struct Stream<W> {
    source: Source,
    writer: W,
    /// Encoded events that have not been written.
    out: Vec<u8>,
    progress: Progress,
    wake_at: Instant,
}

impl<W: EventWriter> Stream<W> {
    /// A stream to the client at `writer`, which has heard nothing yet.
    pub fn new(source: Source, writer: W) -> Stream<W> {
        Stream {
            source,
            writer,
            out: Vec::with_capacity(1024),
            progress: Progress::Silent,
            wake_at: Instant::now() + COMMIT_AFTER,
        }
    }

    /// Whether the head of the answer has gone out.
    pub fn has_begun(&self) -> bool {
        self.progress > Progress::Silent
    }

    /// The tokens as far as they are known.
    pub fn usage(&self) -> Usage {
        match &self.source {
            Source::Translated(translator) => translator.usage(),
            Source::Native(native) => native.usage(),
        }
    }

    /// Why the message has ended, once it has.
    pub fn stop_reason(&self) -> Option<&str> {
        match &self.source {
            Source::Translated(translator) => translator.stop_reason().map(StopReason::as_str),
            Source::Native(native) => native.stop_reason(),
        }
    }

    /// Whether the client has got anything that a provider said. Until then another one can be
    /// asked.
    pub fn has_content(&self) -> bool {
        match self.progress {
            Progress::Relayed => true,
            Progress::Gone => self.source.has_content(),
            Progress::Silent | Progress::Begun | Progress::Started => false,
        }
    }

    /// Whether a tool was called in the text.
    pub fn has_text_calls(&self) -> bool {
        matches!(&self.source, Source::Translated(translator) if translator.has_text_calls())
    }

    /// Whether the answer has ended before the provider's own.
    pub fn is_cut(&self) -> bool {
        matches!(&self.source, Source::Translated(translator) if translator.is_cut())
    }

    /// Prepares for the answer of a provider that is about to be asked. Nothing of an earlier
    /// answer has reached the client, but maybe the start of the message.
    pub fn prepare(&mut self, source: Source) {
        self.source = source;
        self.out.clear();
        if self.progress == Progress::Started {
            self.source.skip_start();
        }
        if self.progress == Progress::Silent && matches!(self.source, Source::Native(_)) {
            self.wake_at = self.wake_at.max(Instant::now() + COMMIT_NATIVE_AFTER);
        }
    }

    /// The client's end, to tell it more before the stream begins.
    pub fn writer_mut(&mut self) -> &mut W {
        &mut self.writer
    }

    /// The writer back, for an answer of another kind. Only while nothing has been sent.
    pub fn into_writer(self) -> W {
        self.writer
    }

    /// Ends the stream with `error`, if it has begun; else the error is the caller's to send.
    ///
    /// # Errors
    /// The client has gone.
    pub fn fail(&mut self, error: Error) -> Result<Error, Failure> {
        if self.has_begun() {
            match &mut self.source {
                Source::Translated(translator) => translator.fail(&error, &mut self.out),
                Source::Native(_) => self.out.event(&Event::Error { error: &error.detail() }),
            }
            self.end()?;
        }
        Ok(error)
    }

    /// Ends the answer with what has not been written.
    ///
    /// # Errors
    /// The client has gone.
    pub fn end(&mut self) -> Result<(), Failure> {
        self.write(W::finish)
    }

    fn flush(&mut self) -> Result<(), Failure> {
        if self.out.is_empty() && self.progress != Progress::Gone {
            return Ok(());
        }
        self.write(W::write)
    }

    /// Writes what there is in `way`, and notes what has gone out with it.
    fn write(&mut self, way: impl FnOnce(&mut W, &[u8]) -> io::Result<()>) -> Result<(), Failure> {
        if self.progress == Progress::Gone {
            return Err(Failure::ClientGone);
        }
        let written = self.begin().and_then(|()| way(&mut self.writer, &self.out));
        self.out.clear();
        self.wake_at = Instant::now() + PING_EVERY;
        self.progress = match &self.source {
            _ if written.is_err() => Progress::Gone,
            source if source.has_content() => Progress::Relayed,
            Source::Translated(translator) if translator.has_started() => Progress::Started,
            _ => self.progress.max(Progress::Begun),
        };
        written.map_err(|_| Failure::ClientGone)
    }

    fn begin(&mut self) -> io::Result<()> {
        if self.has_begun() {
            return Ok(());
        }
        if self.has_text_calls() {
            self.writer.adjusted(TEXT_CALLS);
        }
        self.writer.begin()
    }
}

impl<W: EventWriter> Stream<W> {
    /// Takes a piece of the body, and passes on what it says.
    fn take(&mut self, decoder: &mut Decoder, bytes: &[u8]) -> Result<Step, Failure> {
        let Stream { source, out, progress, .. } = self;
        let came = source.take(decoder, bytes, out);
        let is_over = source.is_ended();
        // The start alone can wait: until something is said, another provider can be asked.
        let is_due = *progress > Progress::Silent || source.says_something();
        let step = Step::of(is_over, source.is_complete());
        // What came before an error is the client's; the last of all goes with the end.
        let is_last = bytes.is_empty() || is_over && came.is_ok();
        if is_due && !is_last {
            self.flush()?;
        }
        Ok(step.when(came?))
    }
}

impl<W: EventWriter> Client for Stream<W> {
    fn peer(&self) -> Option<Arc<Peer>> {
        self.writer.peer()
    }

    fn wake_at(&self) -> Instant {
        self.wake_at
    }

    fn wake(&mut self) {
        match &mut self.source {
            Source::Translated(translator) if self.progress == Progress::Silent => {
                translator.start(&mut self.out);
            }
            _ => self.out.event(&Event::Ping),
        }
        // A failed write is seen at the next one; the wait ends when the socket tells of it.
        let _ = self.flush();
    }
}

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
    let is_native = matches!(client.borrow().source, Source::Native(_));
    // Only a stream was asked for there.
    let form = if is_native { BodyForm::Events } else { form };
    let relayed = Sniffed::new(read, form).and_then(|mut sniffed| match sniffed.form {
        BodyForm::Events => {
            let mut decoder = Decoder::default();
            pieces(&mut sniffed, |bytes| {
                let mut stream = client.borrow_mut();
                let step = stream.take(&mut decoder, bytes)?;
                let frame = match &stream.source {
                    Source::Translated(_) => decoder.pending(),
                    Source::Native(native) => native.pending(),
                };
                Ok((step, Kept { frame, message: 0 }))
            })
        }
        BodyForm::Whole => {
            let body = read_whole(&mut sniffed, WHOLE_LIMIT_BYTES)?;
            let mut stream = client.borrow_mut();
            let Stream { source, out, .. } = &mut *stream;
            match source {
                Source::Translated(translator) => {
                    Ok(translate_whole(&body, form, translator, out)?)
                }
                Source::Native(native) => Ok(native.whole(&body, out)?),
            }
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

/// What a body is by its first bytes, if they tell; a stream's events are those of any API.
pub fn form_of(head: &[u8]) -> Option<BodyForm> {
    const FIELDS: [&[u8]; 5] = [b":", b"data:", b"event:", b"id:", b"retry:"];
    let begun = begun(head);
    match begun.first()? {
        b'{' | b'[' => Some(BodyForm::Whole),
        _ => FIELDS.iter().any(|field| begun.starts_with(field)).then_some(BodyForm::Events),
    }
}

/// What follows white space and the mark of the byte order.
fn begun(head: &[u8]) -> &[u8] {
    const BLANK: &[u8] = b"\xEF\xBB\xBF \t\r\n";
    let at = head.iter().position(|byte| !BLANK.contains(byte));
    at.map_or(&[], |at| &head[at..])
}

/// A body whose first bytes have told what it is made of, whatever its head calls it.
struct Sniffed<'a> {
    form: BodyForm,
    /// What was read of it to see that.
    head: Vec<u8>,
    read: ReadBody<'a>,
}

impl<'a> Sniffed<'a> {
    /// Reads the beginning. `named` is what the head calls the body, for one that begins otherwise.
    fn new(read: ReadBody<'a>, named: BodyForm) -> Result<Sniffed<'a>, Failure> {
        /// As many bytes as the longest name of a field and its colon.
        const ENOUGH: usize = 6;
        /// How much white space may come before it.
        const MOST: usize = 8 << 10;
        let mut head = Vec::new();
        let mut buffer = [0; READ_BYTES];
        let is_open = |head: &[u8]| form_of(head).is_none() && begun(head).len() < ENOUGH;
        while is_open(&head) && head.len() < MOST {
            match read.read(&mut buffer)? {
                0 => break,
                n => head.extend_from_slice(&buffer[..n]),
            }
        }
        let form = form_of(&head).unwrap_or(named);
        Ok(Sniffed { form, head, read })
    }
}

impl Body for Sniffed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        if self.head.is_empty() {
            return self.read.read(buffer);
        }
        let n = self.head.len().min(buffer.len());
        buffer[..n].copy_from_slice(&self.head[..n]);
        self.head.drain(..n);
        if self.head.is_empty() {
            self.head = Vec::new();
        }
        Ok(n)
    }

    fn expect_end(&mut self) {
        self.read.expect_end();
    }

    fn hold(&mut self, bytes: usize) -> Result<(), Failure> {
        self.read.hold(bytes)
    }
}

/// What a piece of the body meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    GoesOn,
    /// The finish reason has come, and something with it or after it just now.
    Complete,
    Over,
}

impl Step {
    fn of(is_over: bool, is_complete: bool) -> Step {
        match () {
            () if is_over => Step::Over,
            () if is_complete => Step::Complete,
            () => Step::GoesOn,
        }
    }

    /// The same for a piece that something `came` with: silence in between is no sign of an end.
    fn when(self, came: bool) -> Step {
        if self == Step::Complete && !came { Step::GoesOn } else { self }
    }
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

/// Translates what was read, or the end of the body where nothing was. Returns whether a frame was
/// complete.
fn take(
    decoder: &mut Decoder,
    bytes: &[u8],
    translator: &mut Translator,
    sink: &mut impl Sink,
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
    sink: &mut impl Sink,
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
    sink: &mut impl Sink,
) -> Result<(), Error> {
    while let Some(frame) = decoder.finish() {
        translator.last_frame(&frame, sink)?;
    }
    translator.finish(sink)
}

/// Translates a body that begins like a document. One that is called a stream of events, and is no
/// document after all, begins with a line that is none of its own.
fn translate_whole(
    body: &[u8],
    named: BodyForm,
    translator: &mut Translator,
    sink: &mut impl Sink,
) -> Result<(), Error> {
    if named != BodyForm::Events || json::documents(body).is_some() {
        return translator.whole(body, sink);
    }
    let mut decoder = Decoder::default();
    decoder.feed(body);
    decode(&mut decoder, translator, sink)?;
    if translator.is_ended() { Ok(()) } else { decode_end(decoder, translator, sink) }
}

/// Reads a body of at most `limit` bytes. A document that is complete is kept, however its
/// connection ends.
///
/// # Errors
/// As reading it; a larger one is an error too.
pub fn read_whole(read: ReadBody<'_>, limit: usize) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    let mut buffer = [0; READ_BYTES];
    let mut scan = json::Scan::default();
    loop {
        match read.read(&mut buffer) {
            Ok(0) => return Ok(body),
            Err(Failure::Error(_)) if scan.is_complete() => return Ok(body),
            Err(failure) => return Err(failure),
            Ok(n) if body.len() + n > limit => {
                let reason = format!("it is larger than {limit} bytes");
                return Err(Error::protocol(reason).into());
            }
            Ok(n) => {
                read.hold(memory::cost(&buffer[..n]))?;
                body.extend_from_slice(&buffer[..n]);
                scan.feed(&buffer[..n]);
            }
        }
        if scan.is_complete() {
            read.expect_end();
        }
    }
}
