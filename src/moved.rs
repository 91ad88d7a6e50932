//! Where sessions are that could not stay at their first place: they stay at the next one as long
//! as they go on, since every move costs them what a provider has in its cache.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::session::Session;

/// How long a session may pause: about as long as providers keep what is in their caches.
const PAUSE: Duration = Duration::from_secs(300);

/// How many sessions are known. One that is forgotten goes back to its first place.
const MAX_SESSIONS: usize = 4096;

/// The places of sessions, by number.
#[derive(Debug, Default)]
pub(crate) struct Moved(Mutex<HashMap<Session, Stay>>);

#[derive(Debug, Clone, Copy)]
struct Stay {
    place: usize,
    until: Instant,
}

impl Moved {
    /// Where the session is, unless it is at its first place.
    pub(crate) fn place(&self, session: Session, now: Instant) -> Option<usize> {
        let mut stays = self.lock();
        let stay = stays.get_mut(&session).filter(|stay| now < stay.until)?;
        stay.until = now + PAUSE;
        Some(stay.place)
    }

    /// The session goes to another place, or back to its `first`.
    pub(crate) fn moves(&self, session: Session, place: usize, first: usize, now: Instant) {
        let mut stays = self.lock();
        if place == first {
            stays.remove(&session);
            return;
        }
        if stays.len() >= MAX_SESSIONS && !stays.contains_key(&session) {
            stays.retain(|_, stay| now < stay.until);
            let oldest = stays.iter().min_by_key(|(_, stay)| stay.until).map(|(known, _)| *known);
            if let Some(oldest) = oldest.filter(|_| stays.len() >= MAX_SESSIONS) {
                stays.remove(&oldest);
            }
        }
        stays.insert(session, Stay { place, until: now + PAUSE });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Session, Stay>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(n: usize) -> Session {
        Session::of(Some(&n.to_string()), None).expect("a session")
    }

    #[test]
    fn a_session_stays_where_it_went_until_it_pauses() {
        let moved = Moved::default();
        let (start, seconds) = (Instant::now(), Duration::from_secs);
        assert_eq!(moved.place(session(1), start), None);
        moved.moves(session(1), 2, 0, start);
        for turn in 1..20 {
            let now = start + seconds(turn * 200);
            assert_eq!(moved.place(session(1), now), Some(2), "it goes on");
        }
        assert_eq!(moved.place(session(2), start), None, "another session");
        assert_eq!(moved.place(session(1), start + seconds(19 * 200 + 300)), None, "it paused");
        moved.moves(session(1), 0, 0, start + seconds(9000));
        assert!(moved.lock().is_empty());
    }

    #[test]
    fn the_sessions_that_are_known_are_bounded() {
        let moved = Moved::default();
        let start = Instant::now();
        for n in 0..MAX_SESSIONS + 10 {
            moved.moves(session(n), 1, 0, start + Duration::from_millis(n as u64));
        }
        assert_eq!(moved.lock().len(), MAX_SESSIONS);
        let now = start + Duration::from_secs(5);
        assert_eq!(moved.place(session(0), now), None, "the oldest is forgotten");
        assert_eq!(moved.place(session(MAX_SESSIONS), now), Some(1));
    }
}
