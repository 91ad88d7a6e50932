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
use crate::sse::Decoder;
use crate::translate::native::{self, Native};
use crate::translate::{Fold, Reading, Sink, Translator};

/// When a client that has heard nothing is told that its stream has begun. Until then an upstream's
/// refusal can still become an HTTP status, which the SDKs retry.
const COMMIT_AFTER: Duration = Duration::from_secs(1);

/// The same where nothing but a ping can tell so, since the message's start is the provider's.
const COMMIT_NATIVE_AFTER: Duration = Duration::from_secs(10);

/// The longest silence on a client's stream. Claude Code shows a warning after 20 s.
const PING_EVERY: Duration = Duration::from_secs(5);

/// The largest body of an upstream's answer that is not a stream.
pub const WHOLE_LIMIT_BYTES: usize = 64 << 20;

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
}

impl<F: FnMut(&mut [u8]) -> Result<usize, Failure>> Body for F {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        self(buffer)
    }
}

/// What the upstream's body is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyForm {
    Events,
    /// One JSON document, also as the answer to a request for a stream.
    Whole,
    /// Events of the Messages API.
    Native,
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

/// A streamed answer on its way to the client.
pub struct Stream<W> {
    translator: Translator,
    /// In the place of the translator, which then only ends the stream with an error.
    native: Option<Native>,
    writer: W,
    /// Encoded events that have not been written.
    out: Vec<u8>,
    begun: bool,
    /// A start of the message of our own has gone out.
    start_sent: bool,
    /// Something that a provider said has gone out.
    relayed: bool,
    /// A write failed.
    gone: bool,
    wake_at: Instant,
}

impl<W: EventWriter> Stream<W> {
    pub fn new(translator: Translator, writer: W) -> Stream<W> {
        Stream {
            translator,
            native: None,
            writer,
            out: Vec::with_capacity(1024),
            begun: false,
            start_sent: false,
            relayed: false,
            gone: false,
            wake_at: Instant::now() + COMMIT_AFTER,
        }
    }

    /// Whether the head of the answer has gone out.
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    pub fn usage(&self) -> Usage {
        self.native.as_ref().map_or_else(|| self.translator.usage(), Native::usage)
    }

    /// Why the message has ended, once it has.
    pub fn stop_reason(&self) -> Option<&str> {
        match &self.native {
            Some(native) => native.stop_reason(),
            None => self.translator.stop_reason().map(StopReason::as_str),
        }
    }

    /// Whether the client has got anything that a provider said. Until then another one can be asked.
    pub fn has_content(&self) -> bool {
        self.relayed
    }

    /// Whether a tool was called in the text.
    pub fn has_text_calls(&self) -> bool {
        self.native.is_none() && self.translator.has_text_calls()
    }

    /// Whether the answer has ended before the provider's own.
    pub fn is_cut(&self) -> bool {
        self.native.is_none() && self.translator.is_cut()
    }

    /// Prepares for the answer of a provider that is about to be asked, through its own Messages API if
    /// `native` names what the client asked for; nothing of an earlier answer has reached the client.
    pub fn prepare(&mut self, reading: Reading, native: Option<String>) {
        self.translator.restart(reading, self.start_sent);
        let safeguards = self.translator.safeguard_results();
        self.native = native
            .map(|model| Native::new(model, self.start_sent).with_safeguards(safeguards.to_vec()));
        self.out.clear();
        if !self.begun && self.native.is_some() {
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
    pub fn fail(&mut self, error: Error) -> Result<Error, Failure> {
        if self.begun {
            self.translator.fail(&error, &mut self.out);
            self.end()?;
        }
        Ok(error)
    }

    fn flush(&mut self) -> Result<(), Failure> {
        if self.gone {
            return Err(Failure::ClientGone);
        }
        if self.out.is_empty() {
            return Ok(());
        }
        let written = self.begin().and_then(|()| self.writer.write(&self.out));
        self.written(written)
    }

    /// Ends the answer with what has not been written.
    fn end(&mut self) -> Result<(), Failure> {
        if self.gone {
            return Err(Failure::ClientGone);
        }
        let written = self.begin().and_then(|()| self.writer.finish(&self.out));
        self.written(written)
    }

    fn begin(&mut self) -> io::Result<()> {
        if !self.begun && self.has_text_calls() {
            self.writer.adjusted(TEXT_CALLS);
        }
        if self.begun { Ok(()) } else { self.writer.begin() }
    }

    /// Notes what has been written.
    fn written(&mut self, written: io::Result<()>) -> Result<(), Failure> {
        self.begun = true;
        self.start_sent |= self.native.is_none() && self.translator.has_started();
        self.relayed |=
            self.translator.has_content() || self.native.as_ref().is_some_and(Native::has_content);
        self.out.clear();
        self.wake_at = Instant::now() + PING_EVERY;
        written.map_err(|_| {
            self.gone = true;
            Failure::ClientGone
        })
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
        if self.begun || self.native.is_some() {
            self.out.event(&Event::Ping);
        } else {
            self.translator.start(&mut self.out);
        }
        // A failed write is seen at the next one; the wait ends when the socket tells of it.
        let _ = self.flush();
    }
}

/// Relays the body to the client as a stream. `taken` is called before the client gets the first of
/// what the provider says, for the client may ask again as soon as it has the last of it.
///
/// # Errors
/// How the answer ended, if not well. Nothing is ended here: while nothing of the answer has been sent
/// ([`Stream::has_content`]) another provider can be asked; else the client is told by
/// [`Stream::fail`].
pub fn stream<W: EventWriter>(
    client: &RefCell<Stream<W>>,
    form: BodyForm,
    read: ReadBody<'_>,
    taken: &mut dyn FnMut(),
) -> Result<(), Failure> {
    let result = Sniffed::new(read, form).and_then(|mut sniffed| match sniffed.form {
        BodyForm::Native => native_events(client, &mut sniffed, taken),
        BodyForm::Events => events(&mut sniffed, |decoder| {
            let mut stream = client.borrow_mut();
            let Stream { translator, out, .. } = &mut *stream;
            let translated = decode(decoder, translator, out);
            let ended = translator.is_ended();
            let is_complete = translator.is_complete();
            // The start alone can wait: until something is said, another provider can be asked.
            let says_something = translator.has_content() || ended;
            if says_something && !stream.relayed {
                taken();
            }
            // What came before an error is the client's; the last of all goes with the end.
            let is_last = ended && translated.is_ok();
            if (stream.begun || says_something) && !is_last {
                stream.flush()?;
            }
            Ok(Progress::of(ended, is_complete, translated?))
        })
        .and_then(|decoder| {
            let mut stream = client.borrow_mut();
            let Stream { translator, out, .. } = &mut *stream;
            Ok(decode_end(decoder, translator, out)?)
        }),
        BodyForm::Whole => read_whole(&mut sniffed, WHOLE_LIMIT_BYTES).and_then(|body| {
            let mut stream = client.borrow_mut();
            let Stream { translator, native, out, .. } = &mut *stream;
            if native.is_some() {
                return Err(native::not_a_stream(&body).into());
            }
            Ok(translate_whole(&body, form, translator, out)?)
        }),
    });
    let mut stream = client.borrow_mut();
    match result {
        Ok(()) => {
            if !stream.relayed {
                taken();
            }
            stream.end()
        }
        Err(failure) => {
            if !stream.has_content() {
                stream.out.clear();
            }
            Err(failure)
        }
    }
}

/// Passes on a stream of the provider's own Messages API.
fn native_events<W: EventWriter>(
    client: &RefCell<Stream<W>>,
    read: ReadBody<'_>,
    taken: &mut dyn FnMut(),
) -> Result<(), Failure> {
    let mut buffer = [0; 8192];
    let mut is_complete = false;
    loop {
        let n = match read.read(&mut buffer) {
            Err(Failure::Error(_)) if is_complete => 0,
            read => read?,
        };
        let mut stream = client.borrow_mut();
        let Stream { native, out, relayed, .. } = &mut *stream;
        let native = native.as_mut().expect("the stream was prepared for it");
        let passed = if n == 0 { native.finish(out) } else { native.feed(&buffer[..n], out) };
        if native.is_complete() && !is_complete {
            is_complete = true;
            read.expect_end();
        }
        let ended = n == 0 || native.is_ended();
        if native.has_content() && !*relayed {
            taken();
        }
        // What came before an error is the client's; the last of all goes with the end.
        if !ended || passed.is_err() {
            stream.flush()?;
        }
        passed?;
        if ended {
            return Ok(());
        }
    }
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
            let decoder = events(&mut sniffed, |decoder| {
                let came = decode(decoder, translator, &mut fold)?;
                Ok(Progress::of(translator.is_ended(), translator.is_complete(), came))
            })?;
            decode_end(decoder, translator, &mut fold)?;
        }
        BodyForm::Whole | BodyForm::Native => {
            let body = read_whole(&mut sniffed, WHOLE_LIMIT_BYTES)?;
            translate_whole(&body, form, translator, &mut fold)?;
        }
    }
    Ok(fold.into_message()?)
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
        const BLANK: &[u8] = b"\xEF\xBB\xBF \t\r\n";
        let mut head = Vec::new();
        let mut buffer = [0; 8192];
        let begin = |head: &[u8]| head.iter().position(|byte| !BLANK.contains(byte));
        let is_open = |head: &[u8]| {
            let Some(at) = begin(head) else { return true };
            let is_sure = matches!(head[at], b'{' | b'[' | b':');
            !is_sure && head.len() - at < ENOUGH
        };
        while is_open(&head) && head.len() < buffer.len() {
            match read.read(&mut buffer)? {
                0 => break,
                n => head.extend_from_slice(&buffer[..n]),
            }
        }
        let begun = begin(&head).map_or(&[][..], |at| &head[at..]);
        let fields: [&[u8]; 5] = [b":", b"data:", b"event:", b"id:", b"retry:"];
        let form = match begun.first() {
            Some(b'{' | b'[') => BodyForm::Whole,
            _ if fields.iter().any(|field| begun.starts_with(field)) => match named {
                BodyForm::Native => BodyForm::Native,
                BodyForm::Events | BodyForm::Whole => BodyForm::Events,
            },
            _ => named,
        };
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
        Ok(n)
    }

    fn expect_end(&mut self) {
        self.read.expect_end();
    }
}

/// How far a stream has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    GoesOn,
    /// Its finish reason has come, and something with it or after it just now.
    Complete,
    Over,
}

impl Progress {
    fn of(is_over: bool, is_complete: bool, came: bool) -> Progress {
        match () {
            () if is_over => Progress::Over,
            () if is_complete && came => Progress::Complete,
            () => Progress::GoesOn,
        }
    }
}

/// Feeds the body to a decoder and calls `each` after every read, until it says that the message is
/// over or the body ends. Returns the decoder for its last frame, or empty if the message is over.
///
/// A complete answer is kept: after it, silence and a broken connection are its end.
fn events(
    read: ReadBody<'_>,
    mut each: impl FnMut(&mut Decoder) -> Result<Progress, Failure>,
) -> Result<Decoder, Failure> {
    let mut decoder = Decoder::default();
    let mut buffer = [0; 8192];
    let mut is_complete = false;
    loop {
        match read.read(&mut buffer) {
            Ok(0) => return Ok(decoder),
            // What it broke off in is no frame.
            Err(Failure::Error(_)) if is_complete => return Ok(Decoder::default()),
            Err(failure) => return Err(failure),
            Ok(n) => decoder.feed(&buffer[..n]),
        }
        match each(&mut decoder)? {
            Progress::GoesOn => {}
            Progress::Complete => {
                is_complete = true;
                read.expect_end();
            }
            Progress::Over => return Ok(Decoder::default()),
        }
    }
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

/// Reads a body of at most `limit` bytes. A document that is complete is kept, however its connection
/// ends.
///
/// # Errors
/// As reading it; a larger one is an error too.
pub fn read_whole(read: ReadBody<'_>, limit: usize) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    let mut buffer = [0; 8192];
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
                body.extend_from_slice(&buffer[..n]);
                scan.feed(&buffer[..n]);
            }
        }
        if scan.is_complete() {
            read.expect_end();
        }
    }
}
