//! One piece of work, so many times over: `scripts/bench --instructions` counts the instructions of
//! few and of many under callgrind, so that those of the start cancel out.
//!
//! What is counted is the same on every run: one thread, fixed data, no socket.

#[path = "traffic/body.rs"]
#[expect(dead_code, reason = "the traffic asks for sizes by name")]
mod body;
mod linear;

use std::cell::RefCell;
use std::hint::black_box;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use ccproxy::anthropic;
use ccproxy::client::Failure;
use ccproxy::config::{Config, Environment};
use ccproxy::door::Rehearsal;
use ccproxy::heap;
use ccproxy::line::Peer;
use ccproxy::openai::Dialect;
use ccproxy::provider::Provider;
use ccproxy::relay::{self, BodyForm, EventWriter, Source, Stream};
use ccproxy::tokens::rough_estimate;
use ccproxy::translate::{self, Learned, Stops, Target, ToolNames, Translator, native_request};

/// As in the program, whose workers keep what they free.
#[global_allocator]
static MEMORY: heap::Allocator = heap::Allocator;

const CHUNKS: usize = 200;

fn main() -> ExitCode {
    let _keeping = heap::keep();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (case, times) = match &arguments[..] {
        [case, times] => (&**case, times.parse()),
        _ => ("", "".parse()),
    };
    match (case, times) {
        ("request", Ok(times)) => request(body::Size::Agent, times),
        ("tools", Ok(times)) => request(body::Size::Tools, times),
        ("native", Ok(times)) => native(times),
        ("stream", Ok(times)) => stream(times),
        ("health", Ok(times)) => health(times),
        ("yardstick", Ok(times)) => yardstick(times),
        (name, Ok(count)) => match linear::request(name, count) {
            Some(body) => linear::work(&body),
            None => return usage(),
        },
        _ => return usage(),
    }
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    eprintln!(
        "instructions request|tools|native|stream|health|yardstick TIMES, or a name of linear.rs COUNT"
    );
    ExitCode::from(2)
}

/// A request of 150 KiB, or of 1 MiB with 200 tools: read, estimated, translated, written.
fn request(size: body::Size, times: usize) {
    let body = body::body(size, "m", true);
    let learned = Learned::default();
    let target = Target {
        provider: &Provider::COMPATIBLE,
        model: "m",
        max_tokens: 0,
        images: true,
        api: Dialect::ChatCompletions,
        session: None,
        learned: &learned,
    };
    for _ in 0..times {
        let request = anthropic::parse(black_box(&body)).expect("it is valid");
        black_box(rough_estimate(&request));
        let translated = translate::translate(&request, &target).expect("it can be translated");
        let written = translated.wanted.encode(&body).expect("it is waited for");
        assert!(written.len() > 100 << 10, "nothing is lost on the way");
        black_box(written);
    }
}

/// The same request, for a provider that speaks the Messages API itself.
fn native(times: usize) {
    let body = body::body(body::Size::Agent, "m", true);
    let row = Provider::find("zai").expect("a row");
    for _ in 0..times {
        let request = anthropic::parse(black_box(&body)).expect("it is valid");
        black_box(rough_estimate(&request));
        let made = native_request(&body, &request, row, "m", None, None);
        let (written, _) = made.expect("there is no thread");
        assert!(written.len() > 100 << 10, "nothing is lost on the way");
        black_box(written);
    }
}

/// A client that takes everything.
struct Taken(Vec<u8>);

impl EventWriter for Taken {
    fn begin(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn write(&mut self, events: &[u8]) -> io::Result<()> {
        self.0.extend_from_slice(events);
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn peer(&self) -> Option<Arc<Peer>> {
        None
    }
}

/// A stream of [`CHUNKS`] chunks, each of which is read alone: decoded, translated, encoded.
fn stream(times: usize) {
    let chunk = |delta: &str, reason: &str| {
        format!(
            "data: {{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\
             \"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{delta},\
             \"finish_reason\":{reason}}}]}}\n\n"
        )
    };
    let mut reads = vec![chunk(r#"{"role":"assistant","content":""}"#, "null")];
    // Every tenth one has something to unescape and to escape again.
    reads.extend((0..CHUNKS).map(|n| {
        let text = if n % 10 == 9 { r#"a \"word\",\n"# } else { " some words" };
        chunk(&format!(r#"{{"content":"{text}"}}"#), "null")
    }));
    reads.push(chunk("{}", r#""stop""#));
    reads.push("data: [DONE]\n\n".to_owned());
    for _ in 0..times {
        let translator = Translator::new(
            Dialect::ChatCompletions,
            "msg_1".to_owned(),
            "m".to_owned(),
            ToolNames::default(),
            Vec::new(),
            Stops::new([]),
            9,
        );
        let source = Source::Translated(Box::new(translator));
        let client = RefCell::new(Stream::new(source, Taken(Vec::with_capacity(64 << 10))));
        let mut left = black_box(&reads).iter();
        let mut read = |buffer: &mut [u8]| -> Result<usize, Failure> {
            let Some(read) = left.next() else { return Ok(0) };
            buffer[..read.len()].copy_from_slice(read.as_bytes());
            Ok(read.len())
        };
        relay::stream(&client, BodyForm::Events, &mut read).expect("it is whole");
        client.borrow_mut().end().expect("it is taken");
        let Taken(events) = client.into_inner().into_writer();
        assert!(events.ends_with(b"\"type\":\"message_stop\"}\n\n"), "it comes to its end");
        black_box(events);
    }
}

/// A health answer of the door's core: its head is read, decided about, and answered.
fn health(times: usize) {
    let env: Environment = [("PROVIDER", "echo")].into_iter().collect();
    let config = Config::new(&[], &env, "localhost", None).expect("it is valid");
    let mut door = Rehearsal::new(&config).expect("the system has room");
    let request = "GET /health HTTP/1.1\r\nHost: 10.0.0.7:3456\r\nUser-Agent: kube-probe/1.35\r\n\
                   Accept: */*\r\n\r\n";
    let mut out = Vec::new();
    for _ in 0..times {
        out.clear();
        door.answer(black_box(request.as_bytes()), &mut out);
        assert!(out.starts_with(b"HTTP/1.1 200 OK\r\n"), "{}", String::from_utf8_lossy(&out));
    }
}

/// Work that is none of ccproxy's, by which another compiler can be told from another program: the
/// same request of 150 KiB, read and written by serde_json alone.
fn yardstick(times: usize) {
    let body = body::body(body::Size::Agent, "m", true);
    for _ in 0..times {
        let value: serde_json::Value =
            serde_json::from_slice(black_box(&body)).expect("it is valid");
        black_box(serde_json::to_vec(&value).expect("it serializes"));
    }
}
