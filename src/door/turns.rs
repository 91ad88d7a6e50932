//! How often each caller may do something: a bucket for each, in a table that neither grows without
//! bound nor is ever searched through.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Buckets of a generation. When it is full the generation before it is forgotten, whose callers
/// have not come since.
const GENERATION: usize = 16_384;

/// The time in which an empty bucket is full again.
const MINUTE: Duration = Duration::from_secs(60);

/// Whom a bucket belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Who {
    /// The sender of a client key, by its number.
    Key(usize),
    V4(u32),
    /// The network of 64 bits: whoever has one address of it has all.
    V6(u64),
}

impl From<IpAddr> for Who {
    fn from(address: IpAddr) -> Who {
        match address.to_canonical() {
            IpAddr::V4(address) => Who::V4(address.to_bits()),
            IpAddr::V6(address) => Who::V6((address.to_bits() >> 64) as u64),
        }
    }
}

/// The buckets of all callers.
#[derive(Debug)]
pub(super) struct Turns {
    per_minute: f64,
    young: HashMap<Who, Bucket>,
    old: HashMap<Who, Bucket>,
}

/// What is left of a caller's minute.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Turns {
    pub(super) fn new(per_minute: u64) -> Turns {
        Turns { per_minute: per_minute as f64, young: HashMap::new(), old: HashMap::new() }
    }

    /// Takes a turn of `who`.
    ///
    /// # Errors
    /// How many seconds it takes until there is one again.
    pub(super) fn take(&mut self, who: Who, now: Instant) -> Result<(), u64> {
        let full = self.per_minute;
        let mut bucket = match self.young.get(&who).or_else(|| self.old.get(&who)) {
            Some(bucket) => {
                let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
                (bucket.left + passed * full / MINUTE.as_secs_f64()).min(full)
            }
            None => full,
        };
        let taken = if bucket >= 1.0 {
            bucket -= 1.0;
            Ok(())
        } else {
            let wait = ((1.0 - bucket) * MINUTE.as_secs_f64() / full).ceil().max(1.0);
            Err(wait as u64)
        };
        if self.young.len() >= GENERATION && !self.young.contains_key(&who) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(who, Bucket { left: bucket, at: now });
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_comes_back_with_time() {
        let (mut turns, now) = (Turns::new(2), Instant::now());
        let who = Who::from("192.0.2.1".parse::<IpAddr>().unwrap());
        assert_eq!((turns.take(who, now), turns.take(who, now)), (Ok(()), Ok(())));
        assert_eq!(turns.take(who, now), Err(30));
        assert_eq!(turns.take(who, now + Duration::from_secs(29)), Err(1));
        assert_eq!(turns.take(who, now + Duration::from_secs(30)), Ok(()));
        assert_eq!(turns.take(Who::Key(0), now), Ok(()));
    }

    #[test]
    fn a_network_of_64_bits_is_one_caller() {
        let who = |text: &str| Who::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(who("2001:db8::1"), who("2001:db8::ffff:ffff:ffff:ffff"));
        assert_ne!(who("2001:db8::1"), who("2001:db8:0:1::1"));
        assert_eq!(who("::ffff:192.0.2.1"), who("192.0.2.1"));
        assert_ne!(who("192.0.2.1"), who("192.0.2.2"));
    }

    #[test]
    fn a_million_addresses_take_no_more_room_than_two_generations() {
        let (mut turns, now) = (Turns::new(1), Instant::now());
        for n in 0..1_000_000 {
            assert_eq!(turns.take(Who::V4(n), now), Ok(()));
            assert!(turns.young.len() + turns.old.len() <= 2 * GENERATION);
        }
        assert!(turns.young.capacity() <= 2 * GENERATION);
        // Those of last are remembered, and so is one that comes again and again.
        assert_eq!(turns.take(Who::V4(999_999), now), Err(60));
        let mut turns = Turns::new(1);
        for n in 0..100_000 {
            let again = turns.take(Who::Key(7), now);
            assert_eq!(again.is_ok(), n == 0);
            let _ = turns.take(Who::V4(n), now);
        }
    }
}
