//! The functions that a fuzzer runs, `tests/fuzz/entries.rs`, with damage of a fixed seed.

use crate::golden::Kind;
use crate::request::REQUESTS;
use crate::response::answers;
use crate::splits::{Random, damage_bytes};
use crate::stream::streams;

#[path = "../fuzz/entries.rs"]
mod entries;

/// How many damaged forms of each input are tried.
const DAMAGED: u64 = 40;

const ERRORS: Kind = Kind { dir: "error", input: ".upstream.http", output: ".anthropic.json" };

fn run(entry: fn(&[u8]), inputs: impl Iterator<Item = Vec<u8>>) {
    let mut count = 0;
    for (i, input) in inputs.enumerate() {
        for seed in 0..DAMAGED {
            let mut random = Random::new(seed << 16 | i as u64);
            let mut damaged = input.clone();
            for _ in 0..random.below(4) {
                damage_bytes(&mut damaged, &mut random);
            }
            entry(&damaged);
            count += 1;
        }
    }
    assert!(count >= DAMAGED * 5, "there is nothing to damage");
}

/// With a first byte that says how it is cut.
fn cut(input: Vec<u8>) -> Vec<u8> {
    [&[(input.len() % 40) as u8], &input[..]].concat()
}

#[test]
fn any_request_is_refused_or_written() {
    run(entries::request, REQUESTS.cases().into_iter().map(|case| case.input));
}

#[test]
fn any_stream_is_one_message_that_ends_once() {
    run(entries::answer, streams().map(|(_, case)| cut(case.input)));
}

#[test]
fn any_native_answer_is_the_same_however_it_is_cut() {
    use crate::stream::translate;
    // What ccproxy itself sends is a stream of the Messages API.
    let events = streams().map(|(dialect, case)| cut(translate(dialect, [&case.input[..]]).0));
    run(entries::native, events.chain(answers().map(|(_, case)| cut(case.input))));
}

#[test]
fn any_error_is_told() {
    run(entries::refusal, ERRORS.cases().into_iter().map(|case| cut(case.input)));
}

#[test]
fn any_header_of_a_proxy_is_read_or_refused_wherever_it_is_cut() {
    let mut block = b"\r\n\r\n\0\r\nQUIT\n\x21\x31\0\xdb".to_vec();
    block.resize(16 + 219, b'/');
    let four =
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\x0a\0\0\x01\xc0\0\x01\xbb".to_vec();
    let lines = [
        "PROXY UNKNOWN\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 49152 443\r\n",
        "PROXY TCP6 2001:db8::1 ::1 49152 443\r\nGET / HTTP/1.1\r\n\r\n",
    ];
    let lines = lines.iter().map(|line| line.as_bytes().to_vec());
    run(entries::proxy_header, lines.chain([block, four]));
}
