//! The session that a message belongs to: what a provider is told of it, so that the conversation
//! finds its prompt in the same cache, and what chooses among places that are equal.
//!
//! Nobody is told what the client calls it: what goes out is a hash, the same in every process.

#![forbid(unsafe_code)]

use std::borrow::Cow;

use serde::Deserialize;

use crate::hash::{hash, mixed};

/// A session, known by its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Session(u64);

impl Session {
    /// The session that the client names in a header, or in `metadata` of the Messages API: Claude
    /// Code has it in both.
    pub fn of(header: Option<&str>, metadata: Option<&str>) -> Option<Session> {
        let named = header.map(Cow::Borrowed).filter(|header| !header.trim().is_empty());
        let name = named.or_else(|| session_of(metadata?))?;
        Some(Session(hash(name.trim(), 0)))
    }

    /// What providers are told: 36 characters in the form of a UUID, which all of them take.
    pub fn id(self) -> String {
        let (high, low) = (mixed(self.0), mixed(!self.0));
        format!(
            "{:08x}-{:04x}-8{:03x}-{:04x}-{:012x}",
            high >> 32,
            high >> 16 & 0xffff,
            high & 0xfff,
            low >> 48 & 0x3fff | 0x8000,
            low & 0xffff_ffff_ffff,
        )
    }

    /// How much the session prefers the place `number` to others. Each has its own order of places,
    /// which those that come and go do not change.
    pub fn preference(self, number: usize) -> u64 {
        mixed(self.0 ^ mixed(number as u64 + 1))
    }

    /// The same session in one of several respects, such as a route.
    pub fn within(self, respect: &str) -> Session {
        Session(mixed(self.0 ^ hash(respect, 1)))
    }
}

/// The session in `metadata.user_id`, which is the user where it names none. Claude Code has there
/// an object in a string, and had `user_…_account_…_session_…`.
fn session_of(metadata: &str) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Metadata<'a> {
        #[serde(borrow, default)]
        user_id: Option<Cow<'a, str>>,
    }
    #[derive(Deserialize)]
    struct User<'a> {
        #[serde(borrow)]
        session_id: Cow<'a, str>,
    }
    let user_id = serde_json::from_str::<Metadata>(metadata).ok()?.user_id?;
    if let Ok(User { session_id }) = serde_json::from_str::<User>(&user_id)
        && !session_id.is_empty()
    {
        return Some(Cow::Owned(session_id.into_owned()));
    }
    let session = user_id.rsplit_once("_session_").map(|(_, session)| session.to_owned());
    let session = session.filter(|session| !session.is_empty()).map(Cow::Owned);
    session.or_else(|| (!user_id.trim().is_empty()).then(|| Cow::Owned(user_id.into_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "11111111-2222-4333-8444-555555555555";

    #[test]
    fn a_session_is_the_same_wherever_the_client_names_it() {
        let json = r#"{"user_id":"{\"device_id\":\"d\",\"account_uuid\":\"\",\"session_id\":\"11111111-2222-4333-8444-555555555555\"}"}"#;
        let old =
            r#"{"user_id":"user_ab_account_cd_session_11111111-2222-4333-8444-555555555555"}"#;
        let known = Session::of(Some(ID), None).expect("a session");
        for metadata in [json, old] {
            assert_eq!(Session::of(None, Some(metadata)), Some(known), "{metadata}");
            let other = Session::of(Some("another"), Some(metadata));
            assert_ne!(other, Some(known), "the header is the nearest");
        }
        let user = |id: &str| Session::of(None, Some(&format!(r#"{{"user_id":"{id}"}}"#)));
        assert!(user("alice").is_some() && user("alice") != user("bob"));
        for metadata in ["{}", r#"{"user_id":null}"#, r#"{"user_id":" "}"#, r#"{"user_id":7}"#, "7"]
        {
            assert_eq!(Session::of(Some(" "), Some(metadata)), None, "{metadata}");
        }
    }

    #[test]
    fn what_providers_are_told_is_short_and_no_name() {
        for name in [ID, "alice@example.com", &"x".repeat(5000)] {
            let id = Session::of(Some(name), None).expect("a session").id();
            assert_eq!(id.len(), 36, "{id}");
            assert!(id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-'), "{id}");
            assert!(!id.contains(name) && id != name);
        }
    }

    #[test]
    fn sessions_spread_over_places_and_keep_to_theirs() {
        let sessions: Vec<Session> =
            (0..3000).filter_map(|n| Session::of(Some(&format!("session {n}")), None)).collect();
        let best = |session: &Session, places: &[usize]| {
            *places.iter().max_by_key(|place| session.preference(**place)).expect("a place")
        };
        let mut counts = [0; 3];
        for session in &sessions {
            let chosen = best(session, &[0, 1, 2]);
            counts[chosen] += 1;
            // Without one of the others it is still the best.
            let others: Vec<usize> = (0..3).filter(|place| *place != (chosen + 1) % 3).collect();
            assert_eq!(best(session, &others), chosen);
        }
        assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
    }
}
