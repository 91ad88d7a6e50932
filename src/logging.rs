//! The log: lines of text or JSON on stderr, written by one thread from a bounded queue, so that
//! nobody who logs ever waits for whoever reads.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, SyncSender, TrySendError};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use env_logger::fmt::Formatter;
use log::kv::{self, VisitSource};
use log::{LevelFilter, Record};

use crate::config::LogFormat;

/// Lines that wait for a slow reader before further ones are dropped.
const QUEUE_LINES: usize = 1024;

/// Lines dropped because the queue was full, since the start.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Starts the log. A format that was not chosen is text on a terminal and JSON elsewhere.
pub fn start(level: LevelFilter, format: Option<LogFormat>) {
    let (sender, lines) = mpsc::sync_channel::<Line>(QUEUE_LINES);
    let writer =
        thread::Builder::new().name("log".to_owned()).stack_size(64 << 10).spawn(move || {
            for line in lines {
                match line {
                    // There is nobody to tell that the log is broken.
                    Line::Text(text) => drop(io::stderr().write_all(&text)),
                    Line::Flushed(done) => drop(done.send(())),
                }
            }
        });
    if writer.is_err() {
        return;
    }
    let _ = QUEUE.set(sender.clone());
    let format = format.unwrap_or_else(|| {
        if io::stderr().is_terminal() { LogFormat::Text } else { LogFormat::Json }
    });
    env_logger::Builder::new()
        .filter_level(LevelFilter::Warn)
        // ureq and rustls tell of each connection at debug; that is their business.
        .filter_module("ccproxy", LevelFilter::Debug)
        .target(env_logger::Target::Pipe(Box::new(Queue { sender, line: Vec::new() })))
        .format(move |out, record| match format {
            LogFormat::Text => text(out, record),
            LogFormat::Json => json(out, record),
        })
        .init();
    // The level proper, which may change while serving.
    log::set_max_level(level);
}

/// Waits until the lines so far are written, but not for a reader that has stopped.
pub fn flush() {
    let Some(queue) = QUEUE.get() else { return };
    let (done, flushed) = mpsc::sync_channel(1);
    if queue.try_send(Line::Flushed(done)).is_ok() {
        let _ = flushed.recv_timeout(Duration::from_millis(500));
    }
}

static QUEUE: std::sync::OnceLock<SyncSender<Line>> = std::sync::OnceLock::new();

enum Line {
    Text(Vec<u8>),
    Flushed(SyncSender<()>),
}

/// Where env_logger writes: it writes a record and flushes.
struct Queue {
    sender: SyncSender<Line>,
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
        if self.line.is_empty() {
            return Ok(());
        }
        let line = std::mem::take(&mut self.line);
        if let Err(TrySendError::Full(_)) = self.sender.try_send(Line::Text(line)) {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// `2026-11-25T13:20:59.123Z INFO  message key=value`
fn text(out: &mut Formatter, record: &Record) -> io::Result<()> {
    let said = record.args().to_string();
    write!(out, "{} {:<5} {}", Timestamp(SystemTime::now()), record.level(), plain(&said))?;
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

/// `{"time":…,"level":…,"msg":…,…}`, the names of CCProxy's log.
fn json(out: &mut Formatter, record: &Record) -> io::Result<()> {
    let quoted = |text: &str| serde_json::to_string(text).unwrap_or_default();
    write!(
        out,
        "{{\"time\":\"{}\",\"level\":\"{}\",\"msg\":{}",
        Timestamp(SystemTime::now()),
        record.level().as_str().to_ascii_lowercase(),
        quoted(&record.args().to_string())
    )?;
    struct Pairs<'a>(&'a mut Formatter);
    impl<'kvs> VisitSource<'kvs> for Pairs<'_> {
        fn visit_pair(
            &mut self,
            key: kv::Key<'kvs>,
            value: kv::Value<'kvs>,
        ) -> Result<(), kv::Error> {
            let shown = match value.to_u64() {
                Some(number) => number.to_string(),
                None => serde_json::to_string(&value.to_string()).unwrap_or_default(),
            };
            write!(self.0, ",\"{key}\":{shown}").map_err(kv::Error::from)
        }
    }
    record.key_values().visit(&mut Pairs(out)).map_err(io::Error::other)?;
    writeln!(out, "}}")
}

/// A time as RFC 3339 in UTC; the packages at hand have no calendar.
struct Timestamp(SystemTime);

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let since = self.0.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
        // Civil date from days, counted in years that begin in March (Howard Hinnant's algorithm).
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = year_of_era + era * 400 + u64::from(month <= 2);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
            second / 3600,
            second / 60 % 60,
            second % 60,
            since.subsec_millis()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
