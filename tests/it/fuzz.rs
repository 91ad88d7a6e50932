//! Damage through the whole program: requests and answers with faults in them, over real sockets. Every
//! client gets a refusal or a message that keeps the grammar, and the process lives.
//!
//! `CCPROXY_FUZZ_SECONDS=60 cargo test --release --test it fuzz -- --nocapture` goes on for so long and
//! tells how many it were.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::golden::{Case, Kind};
use crate::grammar;
use crate::request::REQUESTS;
use crate::splits::{Random, damage, damage_bytes};
use crate::stream::STREAMS;
use crate::support::client::{Answer, Client, JSON, message};
use crate::support::proxy::{Proxy, Setup};
use crate::support::upstream::Upstream;

/// How many are sent by each client where no time is set.
const FEW: u64 = 100;
const CLIENTS: u64 = 4;

/// An answer that there is nothing wrong with.
const GOOD: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"fine\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

/// Runs `each` with a new seed again and again, by several clients at once.
fn run(what: &str, each: impl Fn(u64) + Sync) {
    let seconds = std::env::var("CCPROXY_FUZZ_SECONDS").ok();
    let seconds = seconds.map(|text| Duration::from_secs(text.parse().expect("seconds")));
    let (began, count) = (Instant::now(), AtomicU64::new(0));
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (each, count) = (&each, &count);
            scope.spawn(move || {
                for number in 0.. {
                    let is_over = match seconds {
                        Some(seconds) => began.elapsed() >= seconds,
                        None => number == FEW,
                    };
                    if is_over {
                        break;
                    }
                    each(number * CLIENTS + client);
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let (count, took) = (count.into_inner(), began.elapsed().as_secs_f64());
    println!("{what}: {count} in {took:.1} s, {:.0} a second", count as f64 / took);
}

fn ask(proxy: &Proxy, path: &str, body: &[u8]) -> Answer {
    Client::fetch(proxy, "POST", path, JSON, body)
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

fn panic_with(seed: u64, fault: &str, sent: &[u8], answer: &Answer) {
    let sent = String::from_utf8_lossy(sent);
    panic!("seed {seed}: {fault}\n{sent}\n{}", answer.text());
}

#[test]
fn damaged_requests_are_answered_or_refused() {
    let proxy = Setup::echo().start();
    let cases = REQUESTS.cases();
    run("damaged requests", |seed| {
        let mut random = Random::new(seed);
        let mut body = cases[random.below(cases.len())].input.clone();
        for _ in 0..=random.below(3) {
            damage_bytes(&mut body, &mut random);
        }
        let path = ["/v1/messages", "/v1/messages/count_tokens"][random.below(2)];
        let answer = ask(&proxy, path, &body);
        // The provider is our own, and fails at nothing: what is wrong is the request.
        if let Err(fault) = check(&answer, &[200, 400]) {
            panic_with(seed, &fault, &body, &answer);
        }
    });
    assert_eq!(Client::fetch_message(&proxy, "hello").status, 200);
}

#[test]
fn damaged_answers_are_messages_or_errors() {
    let upstream = Upstream::start();
    let proxy = Setup::asking(&upstream).start();
    let (_, kind): (_, Kind) = STREAMS[0];
    let cases: Arc<[Case]> = kind.cases().into();
    let next = AtomicU64::new(0);
    upstream.answer_with(move || {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number.is_multiple_of(2) {
            // A provider that does nothing but fail is left alone after a while.
            return GOOD.into();
        }
        let mut random = Random::new(number << 8 | 0xff);
        let case = &cases[random.below(cases.len())];
        damage(&case.input, &cases, &mut random)
    });
    run("damaged answers", |seed| {
        let body = message("hello", seed.is_multiple_of(2));
        let answer = ask(&proxy, "/v1/messages", &body);
        if let Err(fault) = check(&answer, &[200, 400, 429, 500, 502, 503, 529]) {
            panic_with(seed, &fault, &body, &answer);
        }
    });
    let health = Client::fetch(&proxy, "GET", "/ping", &[], b"");
    assert_eq!(health.status, 200);
}
