//! Requests that are wrong, hostile, or not HTTP: a refusal or the end of the connection, never a
//! second answer, and nothing left behind.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use crate::support::PATIENCE;
use crate::support::client::{Client, JSON, message, request};
use crate::support::http::Wire;
use crate::support::prober::Prober;
use crate::support::proxy::{Proxy, Setup};

/// What a client sends behind the request at hand, or smuggles in it.
const NEXT: &str = "GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn connect(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect(proxy.address).expect("the proxy listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("it is not zero");
    stream.set_write_timeout(Some(PATIENCE)).expect("it is not zero");
    stream
}

/// Everything up to the end of the connection, which may be a reset.
fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Err(e) if e.kind() != ErrorKind::ConnectionReset => {
            panic!("the connection is closed ({e}); {:?} came", String::from_utf8_lossy(&bytes))
        }
        _ => String::from_utf8_lossy(&bytes).into_owned(),
    }
}

/// Sends `bytes` and one request more. There is one answer, of one of `statuses`, and then the end.
fn check_last(proxy: &Proxy, bytes: &[u8], statuses: &[u16]) {
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
    let mut stream = connect(proxy);
    // What comes after a refusal need not be taken.
    let _ = stream.write_all(&[bytes, NEXT.as_bytes()].concat());
    let answer = rest(&mut stream);
    let wanted = statuses.iter().any(|s| answer.starts_with(&format!("HTTP/1.1 {s} ")));
    assert!(wanted, "{shown:?} gives {answer:?}");
    assert_eq!(answer.matches("Request-Id: ").count(), 1, "{shown:?} gives {answer:?}");
    assert!(answer.contains("\r\nConnection: close\r\n"), "{shown:?} gives {answer:?}");
}

/// Header lines of `POST /v1/messages` that leave in doubt where the body ends, and their status.
const LENGTHS: &[(u16, &str)] = &[
    (413, "Content-Length: 30000000000"),
    (413, "Content-Length: 1000000000000000"),
    (400, "Content-Length: 9223372036854775807"),
    (400, "Content-Length: 9223372036854775808"),
    (400, "Content-Length: 18446744073709551616"),
    (400, "Content-Length: 18446744073709551619"),
    (400, "Content-Length: +3"),
    (400, "Content-Length: -1"),
    (400, "Content-Length: 3, 3"),
    (400, "Content-Length: 3 3"),
    (400, "Content-Length: 3;"),
    (400, "Content-Length: 0x3"),
    (400, "Content-Length: abc"),
    (400, "Content-Length: 3.0"),
    (400, "Content-Length:"),
    (400, "Content-Length: 3\r\nContent-Length: 3"),
    (400, "Content-Length: 3\r\nContent-Length: 40"),
    (400, "content-length: 0\r\nCONTENT-LENGTH: 40"),
    (400, "Content-Length: 3\r\nTransfer-Encoding: chunked"),
    (400, "Transfer-Encoding: chunked\r\nContent-Length: 3"),
    (400, "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
    (400, "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"),
    (501, "Transfer-Encoding: gzip"),
    (501, "Transfer-Encoding: identity"),
    (501, "Transfer-Encoding: xchunked"),
    (501, "Transfer-Encoding: \"chunked\""),
    (501, "Transfer-Encoding: gzip, chunked"),
    (501, "Transfer-Encoding: chunked, identity"),
    (501, "Transfer-Encoding: chunked;q=1"),
    (501, "Transfer-Encoding:"),
    (400, "Transfer-Encoding:\x0bchunked"),
    (400, "Transfer-Encoding : chunked"),
    (400, "Transfer-Encoding\t: chunked"),
    (400, "X: y\r\n Transfer-Encoding: chunked"),
    (400, "X: y\r\n\tContent-Length: 3"),
    (400, " Content-Length: 3"),
    (400, "Content-Length:\r\n 3"),
    (400, "X: y\nContent-Length: 40"),
    (400, "X: y\rContent-Length: 40"),
    (400, "X: y\r\r\nContent-Length: 40"),
    (400, "X: y\0"),
    (400, "X\0: y"),
    (400, "X\u{e9}: y"),
    (400, "Content-Length: \u{e9}"),
    (400, "X: y\x7f"),
    (400, ": y"),
    (400, "no colon"),
    (400, "X y: z"),
    (400, "Host: a\r\nHost: b"),
    (417, "Expect: something"),
];

/// A first line that is no request of HTTP/1 is bad, or of another version.
const LINE: &[u16] = &[400, 505];

/// Requests from their first byte on.
const REQUESTS: &[(&[u16], &str)] = &[
    (&[400], "GET /health HTTP/1.1\nHost: a\n\n"),
    (&[400], "GET /health HTTP/1.1\r\nHost: a\n\r\n"),
    (&[400], "GET /health HTTP/1.1\rHost: a\r\r"),
    (&[400], "GET\0/health HTTP/1.1\r\n\r\n"),
    (&[400], "GET  /health HTTP/1.1\r\n\r\n"),
    (LINE, "GET /health  HTTP/1.1\r\n\r\n"),
    (LINE, "GET /health x HTTP/1.1\r\n\r\n"),
    (LINE, "GET /health HTTP/1.1 \r\n\r\n"),
    (&[400], " GET /health HTTP/1.1\r\n\r\n"),
    (&[400], "GET\t/health\tHTTP/1.1\r\n\r\n"),
    (&[400], "G@T /health HTTP/1.1\r\n\r\n"),
    (&[400], "GET /h\u{e9}alth HTTP/1.1\r\n\r\n"),
    (LINE, "GET /health\r\n\r\n"),
    (LINE, "GET\r\n\r\n"),
    (LINE, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    (LINE, "GET /health http/1.1\r\n\r\n"),
    (LINE, "GET /health HTTP/1.1x\r\n\r\n"),
    (&[505], "GET /health HTTP/2.0\r\n\r\n"),
    (&[505], "GET /health HTTP/3.0\r\n\r\n"),
    (&[505], "GET /health HTTP/1.2\r\n\r\n"),
    (&[505], "GET /health HTTP/0.9\r\n\r\n"),
    (&[505], "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    (LINE, "PROXY TCP4 192.0.2.1 192.0.2.2 1000 2000\r\n"),
    (LINE, "PROXY TCP4 192.0.2.1 192.0.2.2 1000 2000\r\nGET /health HTTP/1.1\r\n\r\n"),
    (&[400], "\x16\x03\x01\x02\0\x01\0\x01\u{fc}\x03\x03"),
    (&[400], "\0\0\0\0"),
    (&[400], "\r\n\r\n\0"),
    (&[400], "POST /v1/messages HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
];

#[test]
fn what_can_be_read_in_two_ways_is_refused_and_ends_the_connection() {
    let proxy = Setup::echo().start();
    assert_eq!(Client::fetch_message(&proxy, "hello").status, 200);
    let base = proxy.footprint();
    let mut prober = Prober::start(&proxy);
    for (status, lines) in LENGTHS {
        let head = format!(
            "POST /v1/messages HTTP/1.1\r\nContent-Type: application/json\r\n{lines}\r\n\r\n"
        );
        check_last(&proxy, head.as_bytes(), &[*status]);
    }
    for (statuses, bytes) in REQUESTS {
        check_last(&proxy, bytes.as_bytes(), statuses);
    }
    // Health has no body; one that does not come keeps the answer from nobody.
    for lines in [
        "Content-Length: 30000000000",
        "Content-Length: 1000000000000000",
        "Content-Length: 2000",
        "Transfer-Encoding: chunked",
        "Expect: 100-continue\r\nContent-Length: 2000",
    ] {
        for method in ["GET", "OPTIONS"] {
            let head = format!("{method} /health HTTP/1.1\r\n{lines}\r\n\r\n");
            check_last(&proxy, head.as_bytes(), &[200]);
        }
        let head = format!("POST /health HTTP/1.1\r\n{lines}\r\n\r\n");
        check_last(&proxy, head.as_bytes(), &[405]);
        let head = format!("POST /v1/nothing HTTP/1.1\r\n{lines}\r\n\r\n");
        check_last(&proxy, head.as_bytes(), &[404]);
    }
    for _ in 0..60 {
        check_last(&proxy, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[505]);
        check_last(&proxy, b"GET / HTTP/2.0\r\n\r\n", &[505]);
    }
    prober.wait_until("letting go of clients", || proxy.footprint().is_near(base));
    assert_eq!(Client::fetch_message(&proxy, "hello").message(), "You said: hello");
    prober.finish("requests that are refused");
}

#[test]
fn heads_without_measure_are_431() {
    let proxy = Setup::echo().start();
    assert_eq!(Client::fetch_message(&proxy, "hello").status, 200);
    let memory = proxy.memory_kib();
    let prober = Prober::start(&proxy);
    let start = "GET /health HTTP/1.1\r\nHost: a\r\n";
    for bytes in [
        format!("{start}X: {}\r\n\r\n", "y".repeat(64 << 10)),
        format!("{start}{}\r\n", "A: b\r\n".repeat(10_000)),
        format!("{start}{}\r\n", "A: b\r\n".repeat(100)),
        format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(64 << 10)),
        "G".repeat(64 << 10),
    ] {
        check_last(&proxy, bytes.as_bytes(), &[431]);
    }
    // Many megabytes: the answer may be lost with the connection, but there is an end.
    for piece in ["y", "A: b\r\n"] {
        let mut stream = connect(&proxy);
        let _ = stream.write_all(format!("{start}X: {}", piece.repeat(10 << 20)).as_bytes());
        let answer = rest(&mut stream);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
    let grown = proxy.memory_kib().saturating_sub(memory);
    assert!(grown < 4 << 10, "memory has grown by {grown} KiB from {memory}");
    prober.finish("heads without measure");
}

#[test]
fn a_body_is_not_the_next_request() {
    let proxy = Setup::echo().start();
    // Whoever takes the body for a request answers three times.
    let length = NEXT.len();
    let smuggling = format!("GET /health HTTP/1.1\r\nContent-Length: {length}\r\n\r\n{NEXT}{NEXT}");
    let mut client = Client::connect(&proxy);
    client.wire.send(smuggling.as_bytes());
    assert_eq!(client.answer().json()["status"], "healthy");
    assert_eq!(client.answer().json()["status"], "active");
    client.send("GET", "/api/hello", &[], b"");
    assert_eq!(client.answer().text(), "{}");
    // The same with a message, in chunks.
    let body = String::from_utf8(message("hello", false)).expect("it is JSON");
    let padded = format!("{body}{}", " ".repeat(9));
    client.wire.send(
        format!(
            "POST /v1/messages HTTP/1.1\r\nContent-Type: application/json\r\n\
             Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{padded}\r\n0\r\n\r\n{NEXT}",
            padded.len()
        )
        .as_bytes(),
    );
    assert_eq!(client.answer().message(), "You said: hello");
    assert_eq!(client.answer().json()["status"], "active");
}

#[test]
fn pipelined_requests_that_nobody_reads_the_answers_of() {
    let proxy = Setup::echo().start();
    assert_eq!(Client::fetch_message(&proxy, "hello").status, 200);
    let base = proxy.footprint();
    let memory = proxy.memory_kib();
    let mut prober = Prober::start(&proxy);
    let mut wire = Wire::new(connect(&proxy));
    // More than fits into the system's buffers, with their answers.
    let flood = NEXT.repeat(1_000_000);
    let sent = wire.try_send(flood.as_bytes(), Duration::from_secs(1));
    assert!(sent < flood.len(), "all of them were taken, and so were their answers");
    assert_eq!(Client::fetch_message(&proxy, "hello").message(), "You said: hello");
    let grown = proxy.memory_kib().saturating_sub(memory);
    assert!(grown < 4 << 10, "memory has grown by {grown} KiB from {memory}");
    wire.reset();
    prober.wait_until("letting go of the client", || proxy.footprint().is_near(base));
    prober.finish("pipelined requests");
}

/// RFC 9110, section 5.5: such values are passed over, whatever their encoding.
#[test]
fn a_header_that_is_not_ascii_is_nobodys_business() {
    let proxy = Setup::echo().start();
    let mut wire = Wire::new(connect(&proxy));
    for value in [&b"caf\xe9"[..], "café".as_bytes(), b"\x80\xff"] {
        wire.send(&[b"GET /health HTTP/1.1\r\nHost: x\r\nX-Name: ", value, b"\r\n\r\n"].concat());
        let head = wire.head();
        assert!(head.start.starts_with("HTTP/1.1 200 "), "{}", head.start);
        wire.body(&head).expect("its length is announced");
    }
}

/// RFC 9112, section 9.3: `close` wins, wherever it stands.
#[test]
fn a_close_is_not_taken_back() {
    let proxy = Setup::echo().start();
    for lines in [
        "Connection: close, keep-alive",
        "Connection: keep-alive, close",
        "Connection: keep-alive\r\nConnection: close",
        "Connection: close\r\nConnection: keep-alive",
    ] {
        let head = format!("GET /health HTTP/1.1\r\n{lines}\r\n\r\n");
        check_last(&proxy, head.as_bytes(), &[200]);
    }
}

#[test]
fn json_of_great_depth() {
    let proxy = Setup::echo().start();
    let prober = Prober::start(&proxy);
    let (open, close) = ("[".repeat(100_000), "]".repeat(100_000));
    let objects = "{\"a\":".repeat(100_000);
    let deep = format!("{open}{close}");
    let with = |member: &str| {
        let text = String::from_utf8(message("hello", false)).expect("it is JSON");
        format!("{}{member}}}", text.trim_end_matches('}').to_owned() + "}],")
    };
    for (what, body) in [
        ("the body", open.clone()),
        ("the body", deep.clone()),
        ("the body", objects.clone()),
        ("metadata", format!("{{\"metadata\":{deep}}}")),
        ("content", format!("{{\"messages\":[{{\"role\":\"user\",\"content\":{deep}}}]}}")),
        ("content", format!("{{\"messages\":[{{\"role\":\"user\",\"content\":{open}")),
        ("a schema", with(&format!("\"tools\":[{{\"name\":\"a\",\"input_schema\":{deep}}}]"))),
        (
            "a schema",
            with(&format!(
                "\"tools\":[{{\"name\":\"a\",\"input_schema\":{objects}1{}}}]",
                "}".repeat(100_000)
            )),
        ),
        ("an unknown member", with(&format!("\"unknown\":{deep}"))),
    ] {
        for path in ["/v1/messages", "/v1/messages/count_tokens"] {
            let answer = Client::fetch(&proxy, "POST", path, JSON, body.as_bytes());
            // What is only passed on may be answered, or refused by the provider.
            assert!(matches!(answer.status, 200 | 400), "{what} {}", answer.text());
            assert!(answer.status == 400 || !what.contains("body"), "{}", answer.text());
        }
        assert_eq!(Client::fetch_message(&proxy, "hello").message(), "You said: hello", "{what}");
    }
    prober.finish("JSON of great depth");
}

/// A generator of numbers that are the same in every run (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("31 bits fit") % end
    }
}

/// Damages a request in one to three places.
fn damage(numbers: &mut Numbers, bytes: &mut Vec<u8>) {
    const SPECIAL: &[u8] = b"\r\n\0 \t:;,/%+-0\x7f\xff";
    for _ in 0..=numbers.below(3) {
        let at = numbers.below(bytes.len());
        let end = (at + 1 + numbers.below(20)).min(bytes.len());
        match numbers.below(7) {
            0 => bytes[at] ^= 1 << numbers.below(8),
            1 => bytes[at] = SPECIAL[numbers.below(SPECIAL.len())],
            2 => bytes.insert(at, SPECIAL[numbers.below(SPECIAL.len())]),
            3 => drop(bytes.drain(at..end)),
            4 => {
                let piece = bytes[at..end].to_vec();
                let to = numbers.below(bytes.len());
                bytes.splice(to..to, piece);
            }
            5 => {
                let with = numbers.below(bytes.len());
                bytes.swap(at, with);
            }
            _ => bytes.truncate(at.max(1)),
        }
        if bytes.is_empty() {
            return bytes.push(b'\r');
        }
    }
}

#[test]
fn damaged_requests_are_answered_or_closed() {
    let proxy = Setup::echo().start();
    assert_eq!(Client::fetch_message(&proxy, "hello").status, 200);
    let base = proxy.footprint();
    let mut prober = Prober::start(&proxy);
    let whole = message("hello", false);
    let length = whole.len();
    let body = String::from_utf8(whole.clone()).expect("it is JSON");
    let common = "Host: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n";
    let valid = [
        request("GET", "/health", &[("Connection", "close"), ("Accept", "*/*")], b""),
        format!("POST /v1/messages HTTP/1.1\r\n{common}Content-Length: {length}\r\n\r\n{body}")
            .into(),
        format!(
            "POST /v1/messages HTTP/1.1\r\n{common}Transfer-Encoding: chunked\r\n\r\n\
             {length:x}\r\n{body}\r\n0\r\n\r\n"
        )
        .into_bytes(),
    ];
    for seed in 1..=300 {
        let mut numbers = Numbers(u64::wrapping_mul(seed, 0x9e37_79b9_7f4a_7c15));
        let mut bytes = valid[numbers.below(valid.len())].clone();
        damage(&mut numbers, &mut bytes);
        let mut stream = connect(&proxy);
        let _ = stream.write_all(&bytes);
        // One that is incomplete is waited for, so after a moment it is ended.
        stream.set_read_timeout(Some(Duration::from_millis(20))).expect("it is not zero");
        let mut answer = vec![0; 5];
        let n = stream.read(&mut answer).unwrap_or(0);
        answer.truncate(n);
        let _ = stream.shutdown(Shutdown::Write);
        stream.set_read_timeout(Some(PATIENCE)).expect("it is not zero");
        let answer = String::from_utf8_lossy(&answer).into_owned() + &rest(&mut stream);
        let shown = String::from_utf8_lossy(&bytes);
        let status = match answer.strip_prefix("HTTP/1.1 ") {
            Some(rest) => &rest[..3],
            None if answer.is_empty() => "none",
            None => panic!("seed {seed}, {shown:?}: {answer}"),
        };
        let wanted =
            ["none", "200", "400", "403", "404", "405", "413", "415", "417", "431", "501", "505"];
        assert!(wanted.contains(&status), "seed {seed}, {shown:?}: {answer}");
    }
    prober.wait_until("letting go of clients", || proxy.footprint().is_near(base));
    assert_eq!(Client::fetch_message(&proxy, "hello").message(), "You said: hello");
    prober.finish("damaged requests");
}
