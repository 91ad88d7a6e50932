//! The hash that makes short names and ids of long ones.

#![forbid(unsafe_code)]

/// FNV-1a, because it is the same in every process and replica, which std's hasher is not.
pub(crate) fn hash(text: &str, salt: usize) -> u64 {
    let bytes = text.bytes().chain(salt.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Spreads what differs in a few bits over all of them: the last step of MurmurHash3.
///
/// <https://github.com/aappleby/smhasher/wiki/MurmurHash3>
pub(crate) fn mixed(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    bits = (bits ^ (bits >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    bits ^ (bits >> 33)
}
