//! The hash that makes short names and ids of long ones.

/// FNV-1a, because it is the same in every process and replica, which std's hasher is not.
pub(super) fn hash(text: &str, salt: usize) -> u64 {
    let bytes = text.bytes().chain(salt.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
