//! All that strangers, clients and a provider do wrong, at once and again and again. Whoever behaves is
//! answered meanwhile, so is health, and when the others have gone all is as it was before them.
//!
//! `CCPROXY_CHAOS_SECONDS=1200 cargo test --release --test it chaos -- --nocapture` goes on for so long
//! and tells the numbers of each round; `CCPROXY_BIN` names another build to try.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use libc::{SIGHUP, SIGUSR1};
use socket2::{Domain, Socket, Type};

use crate::golden::Case;
use crate::grammar;
use crate::splits::{Random, damage, damage_bytes};
use crate::stream::STREAMS;
use crate::support::client::{Client, JSON, message, request};
use crate::support::prober::Prober;
use crate::support::proxy::confined::raise_descriptor_limit;
use crate::support::proxy::{Proxy, Setup};
use crate::support::upstream::Upstream;

/// How often each does what it does in a round, and in one of a long run.
const FEW: u64 = 20;
const MANY: u64 = 300;

/// Memory that may stay, in KiB: what is kept to be used again, and what lies between.
const KEPT_KIB: u64 = 6 << 10;

const GOOD: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"fine\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

/// What some provider answers: half of it well, some of it much, the rest with damage.
fn answers() -> impl Fn() -> Vec<u8> + Send + Sync + 'static {
    let cases: Arc<[Case]> = STREAMS[0].1.cases().into();
    let piece = GOOD.split("\n\n").next().expect("it has one").replace("\"stop\"", "null");
    let piece = piece.replace("fine", &"many words ".repeat(500)) + "\n\n";
    let much = piece.repeat(200) + GOOD;
    let next = AtomicU64::new(0);
    move || {
        let number = next.fetch_add(1, Ordering::Relaxed);
        match number % 8 {
            0 | 2 | 4 | 6 => GOOD.into(),
            1 => much.clone().into(),
            _ => {
                let mut random = Random::new(number);
                damage(&cases[random.below(cases.len())].input, &cases, &mut random)
            }
        }
    }
}

/// A client that asks, and wants its answer.
fn behave(proxy: &Proxy, random: &mut Random) {
    let body = message("hello", random.below(2) == 0);
    let answer = Client::fetch(proxy, "POST", "/v1/messages", JSON, &body);
    let is_stream = answer.header("content-type").is_some_and(|kind| kind.contains("event-stream"));
    match answer.status {
        200 if is_stream => grammar::check(&answer.body).expect("a stream is well-formed"),
        200 => assert_eq!(answer.json()["type"], "message"),
        _ => {
            assert_eq!(answer.json()["type"], "error");
            // 402: one of the streams ends for want of money.
            assert!(
                matches!(answer.status, 400 | 402 | 429 | 500 | 502 | 503 | 529),
                "{}",
                answer.text()
            );
        }
    }
}

/// A socket into which hardly anything fits that comes.
fn narrow(proxy: &Proxy) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("there are sockets");
    socket.set_recv_buffer_size(2048).expect("it is a socket");
    socket.connect(&proxy.address.into()).expect("the proxy listens");
    socket.into()
}

/// Says something, and leaves when it likes.
fn leave(proxy: &Proxy, said: &[u8], random: &mut Random) {
    let mut client = Client::connect(proxy);
    client.wire.send(&said[..random.below(said.len() + 1)]);
    if random.below(2) == 0 {
        client.wire.reset();
    }
}

/// Sends what is no request any more, and reads what comes of it.
fn damaged(proxy: &Proxy, said: &[u8], random: &mut Random) {
    let mut bytes = said.to_vec();
    for _ in 0..=random.below(4) {
        damage_bytes(&mut bytes, random);
    }
    let mut stream = TcpStream::connect(proxy.address).expect("the proxy listens");
    stream.set_read_timeout(Some(Duration::from_millis(20))).expect("it is not zero");
    let _ = stream.write_all(&bytes);
    let _ = stream.read(&mut [0; 4096]);
}

/// Everybody at once, each `times` times. Who holds on to connections lets go at the end.
fn round(proxy: &Proxy, seed: u64, times: u64) {
    let asks = request("POST", "/v1/messages", JSON, &message("hello", true));
    let probes = request("GET", "/ping", &[], b"").repeat(200);
    let uploads = request("POST", "/v1/messages", JSON, &message(&"long ".repeat(100_000), false));
    let held = Mutex::new(Vec::new());
    let hold = |said: &[u8]| {
        let mut stream = narrow(proxy);
        // Where it was cut already, or what was said before is not taken, it takes nothing.
        stream.set_write_timeout(Some(Duration::from_millis(20))).expect("it is not zero");
        let _ = stream.write_all(said);
        held.lock().expect("nobody panics with it").push(stream);
    };
    let actors: [&(dyn Fn(&mut Random) + Sync); 8] = [
        &|random| behave(proxy, random),
        &|random| behave(proxy, random),
        &|random| leave(proxy, &asks, random),
        &|random| leave(proxy, &uploads, random),
        &|random| damaged(proxy, &asks, random),
        // Each of these waits for something: the rest of a request, or that its answers are read.
        &|random| hold(&asks[..random.below(asks.len() + 1)]),
        &|random| hold([&probes, &asks][random.below(2)]),
        &|random| proxy.signal([SIGHUP, SIGUSR1][random.below(2)]),
    ];
    thread::scope(|scope| {
        for (number, act) in actors.into_iter().enumerate() {
            scope.spawn(move || {
                let mut random = Random::new(seed << 8 | number as u64);
                (0..times).for_each(|_| act(&mut random));
            });
        }
    });
}

#[test]
fn nothing_is_left_of_any_chaos() {
    raise_descriptor_limit();
    let seconds = std::env::var("CCPROXY_CHAOS_SECONDS").ok();
    let seconds = seconds.map(|text| Duration::from_secs(text.parse().expect("seconds")));
    let upstream = Upstream::start();
    let setup = Setup::asking(&upstream).dotenv("LOG_LEVEL=error\n");
    let proxy = setup.variable("CCPROXY_BREAKER_PAUSE", "100ms").start();
    upstream.answer_with(answers());
    let began = Instant::now();
    let times = if seconds.is_some() { MANY } else { FEW };
    let start = proxy.footprint();
    let mut prober = Prober::start(&proxy);
    let mut memory = None;
    for number in 0.. {
        round(&proxy, number, times);
        prober.wait_until("letting go of everybody", || proxy.footprint().is_near(start));
        let (now, kib) = (proxy.footprint(), proxy.memory_kib());
        println!("round {number}, after {:?}: {now:?}, {kib} KiB", began.elapsed());
        // What the first round has left is there to be used by the next.
        let base = *memory.get_or_insert(kib);
        assert!(kib <= base + KEPT_KIB, "{base} KiB after the first round, {kib} after {number}");
        if seconds.is_none_or(|seconds| began.elapsed() >= seconds) {
            break;
        }
    }
    behave(&proxy, &mut Random::new(0));
    prober.finish("chaos");
}
