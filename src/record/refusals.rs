//! Requests that are turned away: counted all, told in the log up to a few lines for an address, so
//! that who floods the port with them does not flood the log.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use log::Level;

use super::{Caller, Record};
use crate::error::Error;
use crate::labels::labels;
use crate::logging;
use crate::metrics::Counter;

/// How many lines an address may cause in so long a time.
const LINES: u32 = 5;
const WINDOW: Duration = Duration::from_secs(10);

/// Addresses that are told apart; what further ones are refused is told as one number.
const MAX_ADDRESSES: usize = 256;

labels! {
    /// Why a request is turned away without asking a provider.
    pub enum Refusal {
        /// It is not the HTTP that is spoken here.
        Http = "http",
        Path = "path",
        Method = "method",
        /// It has no client key, or a wrong one.
        Key = "key",
        /// Its page may not call this API.
        Origin = "origin",
        Host = "host",
        ContentType = "content_type",
        TooLarge = "too_large",
        /// It took too long to come.
        Slow = "slow",
        RateLimit = "rate_limit",
        Connections = "connections",
        Memory = "memory",
        InFlight = "in_flight",
        Draining = "draining",
        /// There is no thread or descriptor for it.
        Resources = "resources",
        /// It was read, and is no message.
        Request = "invalid_request",
        /// ccproxy's own fault, before a provider was asked.
        Bug = "bug",
    }
}

impl Refusal {
    /// What a status of the door's own stands for, where nothing more is known.
    pub fn of_status(status: u16) -> Refusal {
        match status {
            401 => Refusal::Key,
            403 => Refusal::Origin,
            404 => Refusal::Path,
            405 => Refusal::Method,
            408 => Refusal::Slow,
            413 => Refusal::TooLarge,
            415 => Refusal::ContentType,
            421 => Refusal::Host,
            429 => Refusal::RateLimit,
            503 => Refusal::Connections,
            529 => Refusal::Memory,
            500 => Refusal::Bug,
            _ => Refusal::Http,
        }
    }

    /// Whether it would have been served with more room, or at another time.
    pub fn is_shed(self) -> bool {
        use Refusal::{Connections, Draining, InFlight, Memory, RateLimit, Resources};
        matches!(self, Connections | Memory | InFlight | Draining | RateLimit | Resources)
    }

    /// How loudly it is told: what the operator can mend is a warning, the client's doing is not.
    fn level(self) -> Level {
        match self {
            Refusal::Key
            | Refusal::Connections
            | Refusal::Memory
            | Refusal::InFlight
            | Refusal::Resources => Level::Warn,
            Refusal::Bug => Level::Error,
            _ => Level::Info,
        }
    }
}

/// The refusals so far.
#[derive(Debug, Default)]
pub struct Refusals {
    counts: [Counter; Refusal::ALL.len()],
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    last: Option<LastRefusal>,
    addresses: HashMap<IpAddr, Window>,
    /// Of addresses for which there was no place.
    others: u64,
}

/// The last refusal that had a line, for `/status`.
#[derive(Debug, Clone)]
pub struct LastRefusal {
    pub refusal: Refusal,
    pub asked: String,
    pub words: String,
    pub at: SystemTime,
}

/// What one address was refused lately.
#[derive(Debug)]
struct Window {
    since: Instant,
    lines: u32,
    left_out: u64,
    level: Level,
}

impl Window {
    fn is_over(&self, now: Instant) -> bool {
        now.duration_since(self.since) >= WINDOW
    }
}

impl Refusals {
    pub fn count(&self, refusal: Refusal) -> u64 {
        self.counts[refusal as usize].get()
    }

    pub fn last(&self) -> Option<LastRefusal> {
        self.lock().last.clone()
    }

    /// Counts a refusal, and tells it unless its address has had its lines for now.
    pub fn refused(&self, refusal: Refusal, error: &Error, request_id: &str, caller: Caller) {
        if self.add(refusal, caller.address()) {
            let (asked, words) = (caller.asked().to_owned(), error.to_string());
            let last = LastRefusal { refusal, asked, words, at: SystemTime::now() };
            self.lock().last = Some(last);
            Record::refused(refusal, error, request_id, caller).write(refusal.level());
        }
    }

    /// Counts a refusal of `address`. Returns whether there may be a line of it.
    pub fn add(&self, refusal: Refusal, address: IpAddr) -> bool {
        self.counts[refusal as usize].add(1);
        self.may_be_told(address, refusal.level(), Instant::now())
    }

    fn may_be_told(&self, address: IpAddr, level: Level, now: Instant) -> bool {
        let address = network(address);
        let mut told = self.lock();
        if told.addresses.len() >= MAX_ADDRESSES && !told.addresses.contains_key(&address) {
            told.end(now, Window::is_over);
            if told.addresses.len() >= MAX_ADDRESSES {
                told.others += 1;
                return false;
            }
        }
        let new = Window { since: now, lines: 0, left_out: 0, level };
        let window = match told.addresses.entry(address) {
            Entry::Vacant(vacant) => vacant.insert(new),
            Entry::Occupied(occupied) => {
                let window = occupied.into_mut();
                if window.is_over(now) {
                    tell(Some(address), std::mem::replace(window, new), now);
                }
                window
            }
        };
        window.level = window.level.min(level);
        let may = window.lines < LINES;
        if may {
            window.lines += 1;
        } else {
            window.left_out += 1;
        }
        may
    }

    /// Tells how many had no line, once their time is over. To be called now and then.
    pub fn tell(&self) {
        self.tell_where(|window, now| window.is_over(now));
    }

    /// Tells how many had no line so far: the log is about to end.
    pub fn tell_all(&self) {
        self.tell_where(|_, _| true);
    }

    fn tell_where(&self, ends: impl Fn(&Window, Instant) -> bool) {
        let now = Instant::now();
        let mut told = self.lock();
        told.end(now, ends);
        let others = std::mem::take(&mut told.others);
        drop(told);
        tell(None, Window { since: now, lines: 0, left_out: others, level: Level::Info }, now);
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Told {
    /// Ends windows, and tells of them.
    fn end(&mut self, now: Instant, ends: impl Fn(&Window, Instant) -> bool) {
        let over = self.addresses.extract_if(|_, window| ends(window, now));
        over.for_each(|(address, window)| tell(Some(address), window, now));
    }
}

/// Tells of the refusals of a window that had no line.
fn tell(address: Option<IpAddr>, window: Window, now: Instant) {
    let count = window.left_out;
    if count == 0 {
        return;
    }
    let msg = match address {
        Some(address) => {
            let seconds = now.duration_since(window.since).as_secs();
            format!("refused {address}, and {count} more in {seconds} s")
        }
        None => format!("refused further addresses, and {count} more"),
    };
    logging::entry(window.level, &msg, |members| {
        members.text("msg", Some(&msg));
        members.text("action", Some("refused"));
        members.text("address", address.map(|address| address.to_string()).as_deref());
        members.number("count", Some(count));
    });
}

/// The part of an address that one user has: a whole /64 of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => {
            let mut segments = v6.segments();
            segments[4..].fill(0);
            IpAddr::V6(segments.into())
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_lines_in_its_time() {
        let refusals = Refusals::default();
        let now = Instant::now();
        let told = |address: &str, at: Instant| {
            refusals.may_be_told(address.parse().unwrap(), Level::Info, at)
        };
        let lines = (0..100).filter(|_| told("10.0.0.7", now)).count();
        assert_eq!(lines, LINES as usize);
        assert!(told("10.0.0.8", now), "another address has its own");
        assert!(told("10.0.0.7", now + WINDOW), "and so has another time");
        // A /64 is one user's.
        let lines = (0..100).filter(|i| told(&format!("2001:db8::{i:x}"), now)).count();
        assert_eq!(lines, LINES as usize);
    }

    #[test]
    fn many_addresses_cost_no_more_memory() {
        let refusals = Refusals::default();
        let now = Instant::now();
        for i in 0..10_000_u32 {
            refusals.may_be_told(IpAddr::V4(i.into()), Level::Info, now);
        }
        assert_eq!(refusals.lock().addresses.len(), MAX_ADDRESSES);
        assert_eq!(refusals.lock().others, 10_000 - MAX_ADDRESSES as u64);
        refusals.lock().end(now + WINDOW, Window::is_over);
        assert!(refusals.lock().addresses.is_empty());
    }
}
