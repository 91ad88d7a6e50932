//! Cuts and damage: how a stream is cut never shows, and whatever comes gives a whole message.
//!
//! `CCPROXY_DAMAGED=400 cargo test --release --test it splits` tries so many damaged forms of each stream.

use ccproxy::error::Error;
use ccproxy::openai::Dialect;
use ccproxy::relay::BodyForm;
use ccproxy::sse::{Decoder, Frame};

use crate::golden::Case;
use crate::grammar;
use crate::relay::whole;
use crate::stream::{STREAMS, streams, translate, translator};

/// How many damaged forms of each golden stream are tried, unless `CCPROXY_DAMAGED` says.
const DAMAGED: u64 = 100;

/// The frames of a stream that comes in `reads`, the name and the data of each: all that a translator
/// sees of it. Those that the end cuts short come apart, since they are told apart.
fn decoded<'a>(reads: impl IntoIterator<Item = &'a [u8]>) -> [Vec<(Vec<u8>, Vec<u8>)>; 2] {
    let owned = |frame: Frame<'_>| (frame.event.to_vec(), frame.data.to_vec());
    let (mut decoder, mut frames, mut last) = (Decoder::default(), Vec::new(), Vec::new());
    for read in reads {
        decoder.feed(read);
        while let Some(frame) = decoder.next_frame().expect("a short frame") {
            frames.push(owned(frame));
        }
    }
    while let Some(frame) = decoder.finish() {
        last.push(owned(frame));
    }
    [frames, last]
}

/// Of the same frames come the same events.
#[test]
fn any_cut_gives_the_same_frames() {
    for (_, case) in streams() {
        let whole = decoded([&case.input[..]]);
        for at in 0..=case.input.len() {
            let (left, right) = case.input.split_at(at);
            assert!(decoded([left, right]) == whole, "{} cut at {at}", case.name);
        }
    }
}

#[test]
fn single_bytes_give_the_same_events() {
    for (dialect, case) in streams() {
        let (whole, _) = translate(dialect, [&case.input[..]]);
        assert!(translate(dialect, case.input.chunks(1)).0 == whole, "{}", case.name);
    }
}

#[test]
fn a_damaged_stream_is_a_message_still() {
    let damaged = std::env::var("CCPROXY_DAMAGED").ok();
    let damaged = damaged.map_or(DAMAGED, |text| text.parse().expect("a number"));
    for (dialect, kind) in STREAMS {
        let cases = kind.cases();
        for (number, seed) in (0..cases.len()).flat_map(|n| (0..damaged).map(move |s| (n, s))) {
            let case = &cases[number];
            let mut random = Random::new(seed << 16 | number as u64);
            let damaged = damage(&case.input, &cases, &mut random);
            let (out, _) = translate(dialect, [&damaged[..]]);
            let checked = grammar::check(&out).and_then(|()| agrees(dialect, &damaged, &out));
            if let Err(fault) = checked {
                panic!(
                    "{} with seed {seed}: {fault}\n{}\n{}",
                    case.name,
                    String::from_utf8_lossy(&damaged),
                    String::from_utf8_lossy(&out)
                );
            }
        }
    }
}

/// Whether a client that does not stream gets a message where one that streams does.
fn agrees(dialect: Dialect, stream: &[u8], events: &[u8]) -> Result<(), String> {
    let is_message = events.ends_with(b"{\"type\":\"message_stop\"}\n\n");
    match whole(dialect, BodyForm::Events, &[stream], Ok(0)) {
        Ok(_) if is_message => Ok(()),
        Err(_) if !is_message => Ok(()),
        other => Err(format!("the whole message is {other:?}")),
    }
}

#[test]
fn nothing_follows_the_end() {
    for (dialect, case) in streams() {
        let (out, mut ended) = translate(dialect, [&case.input[..]]);
        assert!(ended.is_ended(), "{}", case.name);
        let mut more = Vec::new();
        for (_, other) in streams() {
            for frame in other.input.split(|b| *b == b'\n') {
                let data = frame.strip_prefix(b"data: ").unwrap_or(frame);
                let _ = ended.chunk(data, &mut more);
            }
        }
        let _ = ended.finish(&mut more);
        ended.start(&mut more);
        ended.fail(&Error::ThreadUnsupported, &mut more);
        assert!(more.is_empty(), "{}: {}", case.name, String::from_utf8_lossy(&out));
    }
}

#[test]
fn an_error_can_come_at_any_time() {
    let error = Error::protocol("provoked");
    for (dialect, case) in streams() {
        let frames: Vec<&[u8]> = frames(&case.input).collect();
        for count in 0..frames.len() {
            let (mut translator, mut out) = (translator(dialect), Vec::new());
            for frame in &frames[..count] {
                let data = frame.strip_prefix(b"data: ").unwrap_or_default().trim_ascii();
                let _ = translator.chunk(data, &mut out);
            }
            translator.fail(&error, &mut out);
            assert_eq!(grammar::check(&out), Ok(()), "{} after {count} frames", case.name);
        }
    }
}

/// The frames of a stream, each with its empty line.
fn frames(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = stream;
    std::iter::from_fn(move || {
        let end = rest.windows(2).position(|pair| pair == b"\n\n").map_or(rest.len(), |at| at + 2);
        let (frame, more) = rest.split_at(end);
        rest = more;
        (!frame.is_empty()).then_some(frame)
    })
}

/// `input` with one to three faults: in its frames, as services make them, or in its bytes.
pub(crate) fn damage(input: &[u8], others: &[Case], random: &mut Random) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=random.below(3) {
        if random.below(20) == 0 {
            // As some services part their frames.
            bytes = replaced(&bytes, b"\n\n", b"\n");
        } else if random.below(3) < 2 {
            let mut parts: Vec<&[u8]> = frames(&bytes).collect();
            let other = &others[random.below(others.len())].input;
            damage_frames(&mut parts, other, random);
            bytes = parts.concat();
        } else if random.below(4) > 0 || bytes.is_empty() {
            damage_bytes(&mut bytes, random);
        } else {
            let at = random.below(bytes.len());
            bytes.splice(at..at, ODDITIES[random.below(ODDITIES.len())].bytes());
        }
    }
    bytes
}

fn damage_frames<'a>(frames: &mut Vec<&'a [u8]>, other: &'a [u8], random: &mut Random) {
    let at = random.below(frames.len().max(1));
    match random.below(6) {
        5 => frames.insert(at, ODD_FRAMES[random.below(ODD_FRAMES.len())].as_bytes()),
        0 => frames.truncate(at),
        1 if !frames.is_empty() => {
            frames.remove(at);
        }
        2 if !frames.is_empty() => frames.insert(at, frames[random.below(frames.len())]),
        3 if !frames.is_empty() => {
            let other = random.below(frames.len());
            frames.swap(at, other);
        }
        _ => {
            let theirs: Vec<&[u8]> = self::frames(other).collect();
            let from = random.below(theirs.len());
            let count = random.below(theirs.len() - from) + 1;
            frames.splice(at..at, theirs[from..from + count].iter().copied());
        }
    }
}

/// What JSON parsers refuse, or what no half of a text should hold, as services send it in strings:
/// halves of surrogate pairs, once and twice escaped, control characters, a second object.
/// Tags that a model may write.
const ODDITIES: [&str; 10] = [
    "\\ud83d",
    "\\ude00",
    "\\\\ud83d",
    "\\\\ude00",
    "\t",
    "\\n",
    "{\\\"a\\\":1}",
    "<think>",
    "</think>",
    "<tool_call>",
];

/// Frames that services put between others: errors in every form, ends of every meaning, envelopes,
/// counts that cannot be, what a search has found.
const ODD_FRAMES: &[&str] = &[
    "data: {\"error\":{\"message\":\"Provider returned error\",\"code\":400,\"metadata\":{\"raw\":\"{\\\"error\\\":{\\\"message\\\":\\\"Prompt exceeds max length\\\"}}\"}}}\n\n",
    "data: {\"error\":{\"message\":\"busy\",\"metadata\":{\"raw\":[null]}},\"choices\":[{\"delta\":{},\"finish_reason\":\"error\"}]}\n\n",
    "data: {\"status\":\"449\",\"msg\":\"You exceeded your current rate limit\",\"body\":null}\n\n",
    "data: {\"base_resp\":{\"status_code\":1008,\"status_msg\":\"insufficient balance\"},\"choices\":null}\n\n",
    "data: {\"detail\":\"Model is not loaded\"}\n\n",
    "event: error\ndata: 500 Internal Server Error\n\n",
    "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"function_call_filter: MALFORMED_FUNCTION_CALL\"}]}\n\n",
    "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"content_filter: PROHIBITED_CONTENT\"}]}\n\n",
    "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"model_context_window_exceeded\"}]}\n\n",
    "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"so_be_it\"}]}\n\n",
    "data: {\"success\":true,\"data\":{\"choices\":[{\"message\":{\"content\":\"inside\"},\"finish_reason\":\"stop\"}]}}\n\n",
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":-1,\"completion_tokens\":2.5,\"cached_tokens\":99}}\n\n",
    "data: {\"choices\":[{\"delta\":{\"annotations\":[{\"type\":\"url_citation\",\"url\":\"https://example.org/\"},7]}}],\"citations\":[\"https://example.org/2\"]}\n\n",
    "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":9,\"function\":{\"name\":\"Read\",\"arguments\":\"{\\\"a\\\":\\\"\\n\"}}]}}]}\n\n",
    "event: response.output_text.annotation.added\ndata: {\"type\":\"response.output_text.annotation.added\",\"annotation\":{\"url\":\"https://example.org/\"}}\n\n",
    "event: response.incomplete\ndata: {\"type\":\"response.incomplete\",\"response\":{\"status\":\"incomplete\",\"incomplete_details\":{\"reason\":\"max_output_tokens\"},\"output\":[]}}\n\n",
];

/// `bytes` with every `one` replaced.
fn replaced(bytes: &[u8], one: &[u8], by: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = rest.windows(one.len()).position(|window| window == one) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(by);
        rest = &rest[at + one.len()..];
    }
    out.extend_from_slice(rest);
    out
}

/// Truncates, drops, repeats, flips or moves some bytes.
pub(crate) fn damage_bytes(bytes: &mut Vec<u8>, random: &mut Random) {
    if bytes.is_empty() {
        return;
    }
    let at = random.below(bytes.len());
    let end = (at + 1 + random.below(40)).min(bytes.len());
    match random.below(5) {
        0 => bytes.truncate(at),
        1 => {
            bytes.drain(at..end);
        }
        2 => {
            let piece = bytes[at..end].to_vec();
            bytes.splice(at..at, piece);
        }
        3 => bytes[at] ^= 1 << random.below(8),
        _ => {
            let piece = bytes.drain(at..end).collect::<Vec<u8>>();
            let to = random.below(bytes.len() + 1);
            bytes.splice(to..to, piece);
        }
    }
}

/// Numbers that are the same for the same seed: splitmix64.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// A number below `limit`, which is not 0.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % limit as u64) as usize
    }
}
