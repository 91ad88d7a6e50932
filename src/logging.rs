//! The log: lines of text or JSON on stderr, written by one thread from a bounded queue, so that
//! nobody who logs ever waits for whoever reads.

use std::borrow::Cow;
use std::cell::Cell;
use std::io::{self, IsTerminal, Write};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::sync::{OnceLock, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use env_logger::fmt::Formatter;
use log::kv::{self, VisitSource};
use log::{Level, LevelFilter, Record};

use crate::calendar::Date;
use crate::config::{LogFormat, Secret};
use crate::heap;
use crate::json::Members;
use crate::os;
use crate::threads;

/// Lines that wait for a slow reader before further ones are dropped.
const QUEUE_LINES: usize = 1024;

/// How long the writer rests between two writes: lines that come together are written together, and
/// only one of them has to wake it.
const REST: Duration = Duration::from_millis(10);

/// Room for most lines.
const LINE_BYTES: usize = 1 << 10;

/// How much is written at once.
const PIECE_BYTES: usize = 32 << 10;

/// Lines dropped because the queue was full, since the start.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// The shortest key that is left out of lines: shorter ones are words.
const MIN_SECRET: usize = 8;

/// What no line may show, as it is and as JSON has it.
static SECRETS: RwLock<Vec<String>> = RwLock::new(Vec::new());

/// Where lines go, and how they look there.
static QUEUE: OnceLock<(SyncSender<Line>, Form)> = OnceLock::new();

enum Line {
    Text(Vec<u8>),
    /// Its end is what is seen of it, so it sends nothing and is of the type that is there anyway.
    Flushed(SyncSender<Line>),
}

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// For a terminal: the time of day there, and the level where it matters.
    Short,
    Text,
    Json,
}

/// Starts the log. A format that was not chosen is text on a terminal and JSON elsewhere.
pub fn start(level: LevelFilter, format: Option<LogFormat>) {
    let (sender, lines) = mpsc::sync_channel::<Line>(QUEUE_LINES);
    let form = form(format);
    let write = move || {
        let _keeping = heap::keep();
        while let Ok(first) = lines.recv() {
            write_lines(first, &lines, form);
            thread::sleep(REST);
        }
    };
    if threads::start("log", 64 << 10, write).is_err() {
        return;
    }
    let _ = QUEUE.set((sender, form));
    env_logger::Builder::new()
        .filter_level(LevelFilter::Warn)
        // ureq and rustls tell of each connection at debug; that is their business.
        .filter_module("ccproxy", LevelFilter::Debug)
        // Its only words are that the private listener is shut, which is meant.
        .filter_module("tiny_http", LevelFilter::Off)
        .target(env_logger::Target::Pipe(Box::new(Queue { line: Vec::new() })))
        .format(move |out, record| match form {
            Form::Short | Form::Text => text(out, form, record),
            Form::Json => json(out, record),
        })
        .init();
    // The level proper, which may change while serving.
    log::set_max_level(level);
    std::panic::set_hook(Box::new(panicked));
}

/// Writes a line, and those that have come since.
fn write_lines(first: Line, lines: &Receiver<Line>, form: Form) {
    let mut piece = Vec::new();
    let mut next = Some(first);
    while let Some(line) = next {
        match line {
            Line::Text(text) if piece.is_empty() => piece = text,
            Line::Text(text) => piece.extend_from_slice(&text),
            Line::Flushed(done) => {
                write_out(&mut piece);
                drop(done);
            }
        }
        if piece.len() >= PIECE_BYTES {
            write_out(&mut piece);
        }
        next = lines.try_recv().ok();
    }
    match DROPPED.swap(0, Ordering::Relaxed) {
        0 => {}
        dropped => piece.extend_from_slice(&told_dropped(form, dropped)),
    }
    write_out(&mut piece);
}

/// Writes to stderr. There is nobody to tell that the log is broken.
fn write_out(piece: &mut Vec<u8>) {
    let _ = io::stderr().write_all(piece);
    piece.clear();
}

fn form(format: Option<LogFormat>) -> Form {
    match (format, io::stderr().is_terminal()) {
        (Some(LogFormat::Json), _) | (None, false) => Form::Json,
        (_, true) => Form::Short,
        (Some(LogFormat::Text), false) => Form::Text,
    }
}

/// From now on no line shows one of these either: what was hidden before may still be in use.
pub fn hide<'s>(secrets: impl Iterator<Item = &'s Secret>) {
    let secrets = secrets.map(Secret::expose).filter(|secret| secret.len() >= MIN_SECRET);
    let forms = secrets.flat_map(|secret| {
        let in_json = quoted(secret);
        [secret.to_owned(), in_json[1..in_json.len() - 1].to_owned()]
    });
    let mut hidden = SECRETS.write().unwrap_or_else(PoisonError::into_inner);
    hidden.extend(forms);
    // A key that begins as another one would leave the other's end.
    hidden.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    hidden.dedup();
}

/// Writes a line that is not of the [`log`] crate's shape: `text` for people, or an object of what
/// `tell` tells.
pub(crate) fn entry(
    level: Level,
    text: &dyn std::fmt::Display,
    tell: impl FnOnce(&mut Members<'_>),
) {
    let Some((_, form)) = QUEUE.get() else { return };
    if level > log::max_level() {
        return;
    }
    push(line(*form, level, text, tell));
}

/// The line of an entry.
fn line(
    form: Form,
    level: Level,
    text: &dyn std::fmt::Display,
    tell: impl FnOnce(&mut Members<'_>),
) -> Vec<u8> {
    let mut line = Vec::with_capacity(LINE_BYTES);
    let begun = write!(line, "{}", Begin(form, level));
    begun.expect("a Vec takes every byte");
    match form {
        Form::Short | Form::Text => line.extend_from_slice(plain(&text.to_string()).as_bytes()),
        Form::Json => {
            tell(&mut Members(&mut line));
            line.push(b'}');
        }
    }
    line.push(b'\n');
    line
}

/// Time and level, as every line begins.
struct Begin(Form, Level);

impl std::fmt::Display for Begin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Begin(form, level) = *self;
        let now = SystemTime::now();
        match form {
            Form::Short if level == Level::Info => write!(f, "{} ", TimeOfDay(now)),
            Form::Short => write!(f, "{} {level:<5} ", TimeOfDay(now)),
            Form::Text => write!(f, "{} {level:<5} ", Timestamp(now)),
            Form::Json => {
                // Google Cloud takes every line of stderr for an error that does not say so.
                let (name, severity) = match level {
                    Level::Error => ("error", "ERROR"),
                    Level::Warn => ("warn", "WARNING"),
                    Level::Info => ("info", "INFO"),
                    Level::Debug => ("debug", "DEBUG"),
                    Level::Trace => ("trace", "TRACE"),
                };
                let time = Timestamp(now);
                write!(f, "{{\"time\":\"{time}\",\"level\":\"{name}\",\"severity\":\"{severity}\"")
            }
        }
    }
}

/// The line that tells that others are missing.
fn told_dropped(form: Form, dropped: u64) -> Vec<u8> {
    let msg = format!("{dropped} lines of the log are missing here: nobody read them in time");
    line(form, Level::Warn, &msg, |members| {
        members.text("msg", Some(&msg));
        members.number("dropped_lines", Some(dropped));
    })
}

/// Tells of an error that ends the program, in the log's format if the log has been started, and
/// at every level: who turns the log off wants to know all the same why nothing runs.
pub fn fatal(problem: &str) {
    flush();
    let problem = format!("ccproxy: {problem}");
    let said = match QUEUE.get() {
        Some((_, Form::Json)) => json_line(&problem),
        _ => format!("{problem}\n"),
    };
    let secrets = SECRETS.read().unwrap_or_else(PoisonError::into_inner);
    write_out(&mut redacted(said.into_bytes(), &secrets));
}

/// A line of JSON for an error that comes before the log is started.
pub fn json_line(msg: &str) -> String {
    let line = line(Form::Json, Level::Error, &msg, |members| members.text("msg", Some(msg)));
    String::from_utf8_lossy(&line).into_owned()
}

/// Tells where a bug is, in the log's format. What a panic says may quote what was being read, so
/// it is told only where it is a text of the source.
fn panicked(info: &PanicHookInfo<'_>) {
    if QUIET.get() {
        return;
    }
    let place = info.location().map_or_else(String::new, |place| format!(" at {place}"));
    if thread::current().name().is_none() {
        // One of tiny_http's, which ends so where it gets no other.
        return log::warn!("a thread of the private server ended{place}");
    }
    let said = info.payload().downcast_ref::<&'static str>();
    let said = said.map_or_else(String::new, |said| format!(": {said}"));
    log::error!("a bug in ccproxy{place}{said}; please report it");
    if thread::current().name() == Some("main") {
        flush();
    }
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs code that may panic without being to blame: nothing is said of it.
///
/// # Errors
/// It did.
pub fn quietly<T>(code: impl FnOnce() -> T) -> thread::Result<T> {
    QUIET.set(true);
    let result = catch_unwind(AssertUnwindSafe(code));
    QUIET.set(false);
    result
}

/// Waits until the lines so far are written, but not for a reader that has stopped.
pub fn flush() {
    let Some((queue, _)) = QUEUE.get() else { return };
    let (done, flushed) = mpsc::sync_channel(0);
    if queue.try_send(Line::Flushed(done)).is_ok() {
        let _ = flushed.recv_timeout(Duration::from_millis(500));
    }
}

/// Hands a line to the writer, without waiting.
fn push(line: Vec<u8>) {
    let Some((queue, _)) = QUEUE.get() else { return };
    let secrets = SECRETS.read().unwrap_or_else(PoisonError::into_inner);
    let line = redacted(line, &secrets);
    if let Err(TrySendError::Full(_)) = queue.try_send(Line::Text(line)) {
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

/// The line without what it may not show.
fn redacted(line: Vec<u8>, secrets: &[String]) -> Vec<u8> {
    let mut line = match String::from_utf8(line) {
        Ok(line) => line,
        Err(e) => String::from_utf8_lossy(e.as_bytes()).into_owned(),
    };
    for secret in secrets {
        if line.contains(secret.as_str()) {
            line = line.replace(secret.as_str(), "[redacted]");
        }
    }
    line.into_bytes()
}

/// Where env_logger writes: it writes a record and flushes.
struct Queue {
    line: Vec<u8>,
}

impl Write for Queue {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        if self.line.ends_with(b"\n") {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.line.is_empty() {
            push(std::mem::take(&mut self.line));
        }
        Ok(())
    }
}

/// `2026-11-25T13:20:59.123Z INFO  message key=value`
fn text(out: &mut Formatter, form: Form, record: &Record) -> io::Result<()> {
    let said = record.args().to_string();
    write!(out, "{}{}", Begin(form, record.level()), plain(&said))?;
    struct Pairs<'a>(&'a mut Formatter);
    impl<'kvs> VisitSource<'kvs> for Pairs<'_> {
        fn visit_pair(
            &mut self,
            key: kv::Key<'kvs>,
            value: kv::Value<'kvs>,
        ) -> Result<(), kv::Error> {
            write!(self.0, " {key}={}", plain(&value.to_string())).map_err(kv::Error::from)
        }
    }
    record.key_values().visit(&mut Pairs(out)).map_err(io::Error::other)?;
    writeln!(out)
}

/// `text` on one line, and without what a terminal obeys: providers quote what clients send.
fn plain(text: &str) -> Cow<'_, str> {
    if text.chars().any(char::is_control) {
        Cow::Owned(text.chars().flat_map(shown).collect())
    } else {
        Cow::Borrowed(text)
    }
}

fn shown(c: char) -> impl Iterator<Item = char> {
    let escaped = c.is_control().then(|| c.escape_default());
    let itself = (!c.is_control()).then_some(c);
    escaped.into_iter().flatten().chain(itself)
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

/// `{"time":…,"level":…,"msg":…,…}`, the names of CCProxy's log.
fn json(out: &mut Formatter, record: &Record) -> io::Result<()> {
    let said = quoted(&record.args().to_string());
    write!(out, "{},\"msg\":{said}", Begin(Form::Json, record.level()))?;
    struct Pairs<'a>(&'a mut Formatter);
    impl<'kvs> VisitSource<'kvs> for Pairs<'_> {
        fn visit_pair(
            &mut self,
            key: kv::Key<'kvs>,
            value: kv::Value<'kvs>,
        ) -> Result<(), kv::Error> {
            let shown = match value.to_u64() {
                Some(number) => number.to_string(),
                None => quoted(&value.to_string()),
            };
            write!(self.0, ",\"{key}\":{shown}").map_err(kv::Error::from)
        }
    }
    record.key_values().visit(&mut Pairs(out)).map_err(io::Error::other)?;
    writeln!(out, "}}")
}

/// The time of day where the terminal is.
struct TimeOfDay(SystemTime);

impl std::fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let since = self.0.duration_since(UNIX_EPOCH).unwrap_or_default();
        let [hours, minutes, seconds] = os::time_of_day(since.as_secs());
        write!(f, "{hours:02}:{minutes:02}:{seconds:02}")
    }
}

/// A time as RFC 3339 in UTC.
pub(crate) struct Timestamp(pub SystemTime);

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let since = self.0.duration_since(UNIX_EPOCH).unwrap_or_default();
        write!(f, "{}.{:03}Z", Date::of(since.as_secs()), since.subsec_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_shows_a_key_or_is_more_than_one() {
        let agent = "a\"b-secret\n{\"level\":\"error\"}";
        for form in [Form::Short, Form::Text, Form::Json] {
            let line = line(form, Level::Info, &agent, |members| {
                members.text("agent", Some(agent));
            });
            let secrets = ["a\"b-secret".to_owned(), "a\\\"b-secret".to_owned()];
            let line = String::from_utf8(redacted(line, &secrets)).unwrap();
            assert_eq!(line.matches('\n').count(), 1, "{line}");
            assert!(line.ends_with('\n') && line.contains("[redacted]"), "{line}");
            assert!(!line.contains("b-secret"), "{line}");
        }
    }

    #[test]
    fn a_terminal_has_the_time_of_day_and_the_level_where_it_matters() {
        let shown = |level| {
            let line = String::from_utf8(line(Form::Short, level, &"said", |_| {})).unwrap();
            let (time, rest) = line.split_at("12:15:51".len());
            assert!(time.bytes().enumerate().all(|(i, b)| match i {
                2 | 5 => b == b':',
                _ => b.is_ascii_digit(),
            }));
            rest.to_owned()
        };
        assert_eq!(shown(Level::Info), " said\n");
        assert_eq!(shown(Level::Warn), " WARN  said\n");
    }

    #[test]
    fn a_line_of_json_has_the_severity_of_google_cloud() {
        for (level, severity) in [
            (Level::Error, "ERROR"),
            (Level::Warn, "WARNING"),
            (Level::Info, "INFO"),
            (Level::Debug, "DEBUG"),
        ] {
            let begun = Begin(Form::Json, level).to_string();
            assert!(begun.ends_with(&format!(",\"severity\":\"{severity}\"")), "{begun}");
        }
    }

    #[test]
    fn lines_that_are_missing_are_told() {
        let told = String::from_utf8(told_dropped(Form::Json, 12)).unwrap();
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        assert_eq!((&told["level"], &told["dropped_lines"]), (&"warn".into(), &12.into()));
    }

    #[test]
    fn dates() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_795_612_859, "2026-11-25T13:20:59.000Z"),
        ] {
            assert_eq!(Timestamp(UNIX_EPOCH + Duration::from_secs(seconds)).to_string(), text);
        }
    }
}
