//! A streamed answer on its way to the client: what has gone out of it, and what is told while
//! nothing comes.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::source::{Source, Step};
use crate::anthropic::{Event, StopReason, Usage};
use crate::client::{Client, Failure};
use crate::error::Error;
use crate::line::Peer;
use crate::sse::Decoder;
use crate::translate::Sink;

/// When a client that has heard nothing is told that its stream has begun. Until then an upstream's
/// refusal can still become an HTTP status, which the SDKs retry.
const COMMIT_AFTER: Duration = Duration::from_secs(1);

/// The same where nothing but a ping can tell so, since the message's start is the provider's.
const COMMIT_NATIVE_AFTER: Duration = Duration::from_secs(10);

/// The longest silence on a client's stream. Claude Code shows a warning after 20 s.
const PING_EVERY: Duration = Duration::from_secs(5);

/// How clients are told that a tool was called in the text.
pub const TEXT_CALLS: &str = "tool_calls=from_text";

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
    pub(super) source: Source,
    writer: W,
    /// Encoded events that have not been written.
    pub(super) out: Vec<u8>,
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
        if self.progress == Progress::Silent && self.source.is_native() {
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
    pub(super) fn take(&mut self, decoder: &mut Decoder, bytes: &[u8]) -> Result<Step, Failure> {
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
