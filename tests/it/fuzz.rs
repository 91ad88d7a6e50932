//! Damage through the whole program: requests and answers with faults in them, over real sockets. Every
//! client gets a refusal or a message that keeps the grammar, and the process lives.
//!
//! `CCPROXY_FUZZ_SECONDS=60 cargo test --release --test it fuzz -- --nocapture` goes on for so long and
//! tells how many it were.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use miniz_oxide::deflate::compress_to_vec;

use crate::golden::{Case, Kind};
use crate::grammar;
use crate::request::REQUESTS;
use crate::splits::{Random, damage, damage_bytes};
use crate::stream::STREAMS;
use crate::support::client::{Answer, Client, JSON, message, request};
use crate::support::proxy::{Proxy, Setup};
use crate::support::upstream::Upstream;

/// How many are sent by each client where no time is set.
const FEW: u64 = 112;
const CLIENTS: u64 = 4;

/// So many are sent together, on one connection.
const BATCH: u64 = 16;

/// What bodies are called, whatever they are.
const KINDS: &[&str] =
    &["text/event-stream", "application/json", "text/plain", "text/html", "application/x-ndjson"];

const GZIP_HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];

/// An answer that there is nothing wrong with.
const GOOD: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"fine\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

/// Nobody reads a line for each; in this file it leaves the one that tells where it listens.
const QUIET: &str = "LOG_LEVEL=error\n";

/// A request, made of a seed.
struct Sent {
    seed: u64,
    path: &'static str,
    body: Vec<u8>,
}

impl Sent {
    fn panic_with(&self, fault: &str, answer: &Answer) {
        let sent = String::from_utf8_lossy(&self.body);
        panic!("seed {}: {fault}\n{sent}\n{}", self.seed, answer.text());
    }
}

/// Sends what `make` makes of a new seed again and again, by several clients at once, and lets `check`
/// judge each answer.
fn run(
    what: &str,
    proxy: &Proxy,
    make: impl Fn(u64) -> Sent + Sync,
    check: impl Fn(&Sent, &Answer) + Sync,
) {
    let seconds = std::env::var("CCPROXY_FUZZ_SECONDS").ok();
    let seconds = seconds.map(|text| Duration::from_secs(text.parse().expect("seconds")));
    let (began, count) = (Instant::now(), AtomicU64::new(0));
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (make, check, count) = (&make, &check, &count);
            scope.spawn(move || {
                let mut connection = Client::connect(proxy);
                for number in (0..).step_by(BATCH as usize) {
                    let is_over = match seconds {
                        Some(seconds) => began.elapsed() >= seconds,
                        None => number >= FEW,
                    };
                    if is_over {
                        break;
                    }
                    let seeds = (number..number + BATCH).map(|n| n * CLIENTS + client);
                    let batch: Vec<Sent> = seeds.map(make).collect();
                    let mut rest = &batch[..];
                    while !rest.is_empty() {
                        let answered = ask(&mut connection, rest, check);
                        rest = &rest[answered..];
                        if !rest.is_empty() {
                            connection = Client::connect(proxy);
                        }
                    }
                    count.fetch_add(BATCH, Ordering::Relaxed);
                }
            });
        }
    });
    let (count, took) = (count.into_inner(), began.elapsed().as_secs_f64());
    println!("{what}: {count} in {took:.1} s, {:.0} a second", count as f64 / took);
}

/// Sends requests together, and reads the answers. Returns how many were answered before the connection
/// was closed.
fn ask(connection: &mut Client, batch: &[Sent], check: impl Fn(&Sent, &Answer)) -> usize {
    let requests = batch.iter().flat_map(|sent| request("POST", sent.path, JSON, &sent.body));
    connection.wire.send(&requests.collect::<Vec<u8>>());
    for (i, sent) in batch.iter().enumerate() {
        let answer = connection.answer();
        check(sent, &answer);
        if answer.head.header("connection") == Some("close") {
            return i + 1;
        }
    }
    batch.len()
}

/// Whether an answer of 200 is a message, and any other a refusal in Anthropic's words.
fn check(answer: &Answer, statuses: &[u16]) -> Result<(), String> {
    if answer.status == 200 && answer.header("content-type") != Some("application/json") {
        return grammar::check(&answer.body);
    }
    let kind = if answer.status == 200 { "message" } else { "error" };
    let is_known = statuses.contains(&answer.status);
    let is_whole = answer.json()["type"] == kind || answer.json()["input_tokens"].is_u64();
    if is_known && is_whole { Ok(()) } else { Err(format!("it is {}", answer.status)) }
}

#[test]
fn damaged_requests_are_answered_or_refused() {
    let proxy = Setup::echo().dotenv(QUIET).start();
    let cases = REQUESTS.cases();
    let make = |seed| {
        let mut random = Random::new(seed);
        let mut body = cases[random.below(cases.len())].input.clone();
        for _ in 0..=random.below(3) {
            damage_bytes(&mut body, &mut random);
        }
        let path = ["/v1/messages", "/v1/messages/count_tokens"][random.below(2)];
        Sent { seed, path, body }
    };
    run("damaged requests", &proxy, make, |sent, answer| {
        // The provider is our own, and fails at nothing: what is wrong is the request.
        if let Err(fault) = check(answer, &[200, 400]) {
            sent.panic_with(&fault, answer);
        }
    });
    assert_eq!(Client::fetch_message(&proxy, "hello").status, 200);
}

#[test]
fn damaged_answers_are_messages_or_errors() {
    let upstream = Upstream::start();
    let proxy = Setup::asking(&upstream).dotenv(QUIET).start();
    let (_, kind): (_, Kind) = STREAMS[0];
    let cases: Arc<[Case]> = kind.cases().into();
    let next = AtomicU64::new(0);
    upstream.answer_as(move || {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number.is_multiple_of(2) {
            // A provider that does nothing but fail is left alone after a while.
            return ("Content-Type: text/event-stream\r\n".to_owned(), GOOD.into());
        }
        let mut random = Random::new(number << 8 | 0xff);
        let case = &cases[random.below(cases.len())];
        let mut body = damage(&case.input, &cases, &mut random);
        let kind = KINDS[random.below(KINDS.len())];
        let mut headers = format!("Content-Type: {kind}\r\n");
        if random.below(3) == 0 {
            let deflated = compress_to_vec(&body, 6);
            body = [&GZIP_HEAD[..], &deflated, &[0; 8]].concat();
            headers.push_str("Content-Encoding: gzip\r\n");
            if random.below(2) == 0 {
                damage_bytes(&mut body, &mut random);
            }
        }
        (headers, body)
    });
    let make = |seed: u64| {
        let body = message("hello", seed.is_multiple_of(2));
        Sent { seed, path: "/v1/messages", body }
    };
    run("damaged answers", &proxy, make, |sent, answer| {
        if let Err(fault) = check(answer, &[200, 400, 402, 429, 500, 502, 503, 529]) {
            sent.panic_with(&fault, answer);
        }
    });
    let health = Client::fetch(&proxy, "GET", "/ping", &[], b"");
    assert_eq!(health.status, 200);
}
