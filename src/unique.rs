//! Ids that nobody else has: of messages and of requests.

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// `prefix` and 22 random letters and digits, such as `msg_4xJmAQz0bCdEfGhIjKlMnO`.
///
/// A counter hashed with keys that the system drew at random: unique, not secret.
pub fn unique(prefix: &str) -> String {
    static KEYS: OnceLock<[RandomState; 2]> = OnceLock::new();
    static COUNTER: AtomicU64 = AtomicU64::new(0);

    let keys = KEYS.get_or_init(|| [RandomState::new(), RandomState::new()]);
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    let mut id = String::with_capacity(prefix.len() + 22);
    id.push_str(prefix);
    for key in keys {
        let mut bits = key.hash_one(count);
        for _ in 0..11 {
            id.push(char::from(DIGITS[(bits % 62) as usize]));
            bits /= 62;
        }
    }
    id
}
