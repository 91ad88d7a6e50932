//! A stream in its steady state: an event is read, translated and written in memory that is there.
//! A worker's whole way is tried, from the provider's socket to the client's.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use super::{Api, serve};
use crate::config::{Config, Environment};
use crate::exchange::{Call, Exchange};
use crate::health::Health;
use crate::heap::{self, Asked};
use crate::line::{Home, Line, Manner, Peer, Return, Stop};
use crate::memory::Budget;
use crate::record::Caller;
use crate::upstream::Upstream;

/// An API, and the events that its provider streams.
const STREAMS: &[(&str, &str, &str, &str)] = &[
    (
        "text",
        "openai",
        "",
        r#"data: {"id":"c","model":"m","choices":[{"index":0,"delta":{"content":"some words "}}]}"#,
    ),
    (
        "text with escapes",
        "openai",
        "",
        r#"data: {"id":"c","choices":[{"index":0,"delta":{"content":"a \"line\"\nand é"}}]}"#,
    ),
    (
        "thoughts",
        "openai",
        "",
        r#"data: {"id":"c","choices":[{"index":0,"delta":{"reasoning_content":"some thoughts "}}]}"#,
    ),
    (
        "thoughts with escapes",
        "openai",
        "",
        r#"data: {"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":"","reasoning":"a \"thought\"\n\u00e9"},"finish_reason":null}],"usage":null}"#,
    ),
    (
        "arguments",
        "openai",
        r#"data: {"id":"c","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"t","type":"function","function":{"name":"get","arguments":"{\"list\":[1"}}]}}]}"#,
        r#"data: {"id":"c","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":",1234"}}]}}]}"#,
    ),
    (
        "text of the Responses API",
        "responses",
        r#"data: {"type":"response.output_item.added","output_index":0,"item":{"type":"message","id":"i","role":"assistant","content":[]}}"#,
        r#"data: {"type":"response.output_text.delta","item_id":"i","output_index":0,"content_index":0,"delta":"some words "}"#,
    ),
    (
        "text of the Messages API",
        "native",
        "data: {\"type\":\"message_start\",\"message\":{\"id\":\"i\",\"type\":\"message\",\"role\":\"assistant\",\"content\":[],\"model\":\"m\",\"stop_reason\":null,\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}}\n\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}",
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"some words \"}}",
    ),
];

/// The connection goes nowhere: its answer is the last.
struct Nowhere;

impl Home for Nowhere {
    fn give_back(&self, _: Return) {}
    fn hurry(&self) {}
}

fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

/// Streams `count` times `event`, each when the client has seen the one before.
fn provide(listener: &TcpListener, first: &str, event: &str, count: usize, seen: &Receiver<()>) {
    let (mut socket, _) = listener.accept().unwrap();
    let mut request = BufReader::new(&socket);
    let (mut line, mut length) = (String::new(), 0);
    while request.read_line(&mut line).unwrap() > 2 {
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        line.clear();
    }
    io::copy(&mut request.take(length), &mut io::sink()).unwrap();
    let head =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    socket.write_all(head.as_bytes()).unwrap();
    let mut say = |text: &str| {
        let text = format!("{text}\n\n");
        socket.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes()).unwrap();
    };
    if !first.is_empty() {
        say(first);
    }
    // The beginning of a call is told with its first arguments.
    if first.contains("arguments") {
        seen.recv().unwrap();
    }
    for _ in 0..count {
        say(event);
        seen.recv().unwrap();
    }
    // It breaks off, so that the end is the same whatever was streamed.
}

/// Reads a stream, and tells of each event that came.
fn consume(mut client: TcpStream, seen: &SyncSender<()>) -> usize {
    let (mut count, mut text, mut bytes) = (0, Vec::new(), [0; 4096]);
    while let Ok(n @ 1..) = client.read(&mut bytes) {
        text.extend_from_slice(&bytes[..n]);
        const MARK: &[u8] = br#""type":"content_block_delta""#;
        while let Some(at) = text.windows(MARK.len()).position(|window| window == MARK) {
            text.drain(..at + MARK.len());
            count += 1;
            let _ = seen.send(());
        }
    }
    count
}

/// A small request.
const HI: &str =
    r#"{"model":"m","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"hi"}]}"#;

/// An API whose provider listens there.
fn api_of(listener: &TcpListener, api: &str) -> Api {
    let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
    let mut variables = vec![
        ("PROVIDER", "custom"),
        ("CUSTOM_BASE_URL", &*base_url),
        ("CUSTOM_API_KEY", "sk-test-key"),
        ("CUSTOM_MODEL", "m"),
    ];
    let native = base_url.trim_end_matches("/v1").to_owned();
    match api {
        "responses" => variables.push(("CUSTOM_API", "responses")),
        "native" => variables.extend([("CUSTOM_NATIVE", "on"), ("CUSTOM_NATIVE_URL", &*native)]),
        _ => {}
    }
    let env: Environment = variables.into_iter().collect();
    let config = Arc::new(Config::new(&[], &env, "localhost", None).unwrap());
    let upstreams = vec![Upstream::new(&config, &config.providers[0], 1, None).unwrap()];
    let health = Arc::new(Health::new(&config));
    Api::new(config, upstreams, health)
}

fn exchange(call: Call, request: &str, budget: &Arc<Budget>) -> Exchange {
    Exchange {
        request_id: "req_test".to_owned(),
        call,
        method: "POST",
        body: Arc::new(request.as_bytes().to_vec()),
        caller: Caller::unknown(std::net::Ipv4Addr::LOCALHOST.into()),
        share: Arc::new(budget.share()),
        origin: None,
        anthropic_version: None,
        anthropic_beta: None,
        #[cfg(debug_assertions)]
        panics: false,
    }
}

fn line(peer: &Arc<Peer>) -> Line {
    let manner = Manner { head_only: false, close: true, old: false };
    Line::new(Arc::clone(peer), manner, Arc::new(Nowhere), 0, Box::new(()), Box::new(()))
}

/// How often a worker asks for memory that reads the request and streams `count` events.
fn asked(api: &str, request: &str, first: &str, event: &str, count: usize) -> Asked {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let api = api_of(&listener, api);
    let before = heap::asked();
    let exchange = exchange(Call::Messages, request, &Arc::new(Budget::new(1 << 30)));
    let (client, socket) = connected();
    let (seen, is_seen) = sync_channel(1);
    thread::scope(|scope| {
        let provider = scope.spawn(move || provide(&listener, first, event, count, &is_seen));
        let client = scope.spawn(move || consume(client, &seen));
        serve(&api, &exchange, line(&Arc::new(Peer::new(socket))));
        let after = heap::asked();
        let asked = Asked {
            all: after.all - before.all,
            of_system: after.of_system - before.of_system,
            large_of_system: after.large_of_system - before.large_of_system,
        };
        assert!(client.join().unwrap() >= count, "{event}");
        provider.join().unwrap();
        asked
    })
}

/// How often what collects the arguments of a call, which is checked at its end, grows meanwhile:
/// it doubles.
const GROWTHS: usize = 16;

#[test]
fn an_event_of_a_stream_takes_no_memory() {
    let _keeping = heap::keep();
    let mut faults = Vec::new();
    for (what, api, first, event) in STREAMS {
        // The first that streams makes what all use.
        asked(api, HI, first, event, 20);
        let few = asked(api, HI, first, event, 200);
        let many = asked(api, HI, first, event, 600);
        if few.of_system + GROWTHS < many.of_system {
            faults.push(format!("{what}: of the system, 200 events {few:?}, 600 {many:?}"));
        }
        let growths = if *what == "arguments" { GROWTHS } else { 0 };
        if few.all + growths < many.all {
            faults.push(format!("{what}: 200 events {few:?}, 600 {many:?}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// What is allocated to start the threads of the provider and of the client, who free it.
const OTHERS: usize = 12;

/// Blocks of the size that a request and what is sent of it take are there from the one before: a
/// system that is given them back each time has to find and to clear them each time.
#[test]
fn a_long_request_takes_what_the_one_before_has_left() {
    let _keeping = heap::keep();
    let text = r#"    let value = read(\"file\")?; // a line\n"#.repeat(4000);
    let long = HI.replace("hi", &text);
    let tool = |n: usize| {
        format!(
            r#"{{"name":"tool_{n}","description":"{}","input_schema":{{"type":"object","properties":{{"a":{{"type":"string"}}}}}}}}"#,
            "what it does, ".repeat(300)
        )
    };
    let tools: Vec<String> = (0..200).map(tool).collect();
    let tools = format!(r#""tools":[{}],"messages""#, tools.join(","));
    let turn = |n: usize| {
        format!(
            r#"{{"role":"assistant","content":[{{"type":"text","text":"so \"it\" is"}},{{"type":"tool_use","id":"t{n}","name":"tool_{n}","input":{{"a":"b"}}}}]}},{{"role":"user","content":[{{"type":"tool_result","tool_use_id":"t{n}","content":[{{"type":"text","text":"line {n}"}}]}}]}}"#
        )
    };
    let turns: Vec<String> = (0..200).map(turn).collect();
    let turns = HI.replace("]}", &format!(",{}]}}", turns.join(",")));
    for request in [&*long, &long.replace("\"messages\"", &tools), &turns] {
        // What is left of making the requests themselves goes back, as in a quiet minute.
        (0..100).for_each(|_| heap::tend());
        for (what, api, first, event) in STREAMS {
            for _ in 0..2 {
                asked(api, request, first, event, 3);
            }
            let asked = asked(api, request, first, event, 3);
            assert_eq!(asked.large_of_system, 0, "{what}, {} bytes", request.len());
            // What the other threads of this test free is none of it.
            assert!(asked.of_system <= OTHERS, "{what}, {} bytes: {asked:?}", request.len());
        }
    }
}

/// A long request takes a while to read, and the fault at its end is told to whoever is there.
#[test]
fn a_request_is_read_for_as_long_as_its_client_waits() {
    let turns = r#"{"role":"user","content":"hi"},"#.repeat(20_000);
    let request = HI.replace(r#""messages":["#, &format!(r#""messages":[{turns}"#));
    let request = &request[..request.len() - 1];
    for call in [Call::Messages, Call::CountTokens] {
        for is_there in [true, false] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let api = api_of(&listener, "openai");
            let budget = Arc::new(Budget::new(1 << 30));
            let exchange = exchange(call.clone(), request, &budget);
            let (mut client, socket) = connected();
            let peer = Arc::new(Peer::new(socket));
            assert!(is_there || peer.stop(Stop::ClientGone));
            serve(&api, &exchange, line(&peer));
            drop(peer);
            let mut answer = String::new();
            client.read_to_string(&mut answer).unwrap();
            assert_eq!(answer.starts_with("HTTP/1.1 400"), is_there, "{call:?}: {answer}");
            let taken = (1 << 30) - budget.left();
            assert_eq!(taken > request.len(), is_there, "{call:?}: {taken} bytes");
        }
    }
}
