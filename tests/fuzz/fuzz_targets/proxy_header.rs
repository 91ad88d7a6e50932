#![no_main]

#[allow(dead_code, reason = "each target runs one of them")]
#[path = "../entries.rs"]
mod entries;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entries::proxy_header(data));
