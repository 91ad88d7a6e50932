//! Bodies of requests: in chunks, late, or never.

use crate::support::client::{Client, message};
use crate::support::prober::Prober;
use crate::support::proxy::Setup;

const CHUNKED: &str = "POST /v1/messages HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n";

/// A body in chunks of `size`, with what a client may add.
fn chunks(body: &[u8], size: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, piece) in body.chunks(size).enumerate() {
        let extension = if number % 2 == 0 { "" } else { ";name=value" };
        out.extend(format!("{:X}{extension}\r\n", piece.len()).as_bytes());
        out.extend(piece);
        out.extend(b"\r\n");
    }
    out.extend(b"0\r\nTrailer: x\r\n\r\n");
    out
}

#[test]
fn a_body_in_chunks_may_be_cut_anywhere() {
    let proxy = Setup::echo().start();
    let prober = Prober::start(&proxy);
    let mut bytes = format!("{CHUNKED}\r\n").into_bytes();
    bytes.extend(chunks(&message("hello", false), 50));
    let mut client = Client::connect(&proxy);
    for cut in 1..bytes.len() {
        client.wire.send(&bytes[..cut]);
        client.wire.send(&bytes[cut..]);
        assert_eq!(client.answer().message(), "You said: hello", "cut at {cut}");
    }
    // In single bytes, and two requests that come together.
    for byte in &bytes {
        client.wire.send(std::slice::from_ref(byte));
    }
    assert_eq!(client.answer().message(), "You said: hello");
    client.wire.send(&[&bytes[..], &bytes[..]].concat());
    for _ in 0..2 {
        assert_eq!(client.answer().message(), "You said: hello");
    }
    prober.finish("bodies in chunks");
}

#[test]
fn chunks_that_are_broken_are_400_and_end_the_connection() {
    let proxy = Setup::echo().start();
    let prober = Prober::start(&proxy);
    for broken in [
        "+3\r\nabc\r\n0\r\n\r\n",
        "-3\r\nabc\r\n0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "3 \r\nabc\r\n0\r\n\r\n",
        "3\nabc\r\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "3\r\nabc0\r\n\r\n",
        "\r\n0\r\n\r\n",
        "x\r\n",
        "FFFFFFFFFFFFFFFF\r\n",
        "3;\0\r\nabc\r\n0\r\n\r\n",
        "0\r\nbare\nline\r\n\r\n",
    ] {
        let mut client = Client::connect(&proxy);
        // A request behind it is not one.
        let next = "GET /health HTTP/1.1\r\n\r\n";
        client.wire.send(format!("{CHUNKED}\r\n{broken}{next}").as_bytes());
        let answer = client.answer();
        answer.error(400, "invalid_request_error");
        assert_eq!(answer.header("connection"), Some("close"), "{broken:?}");
        client.wire.wait_closed();
    }
    // What only fills: extensions and trailers without end.
    for filler in
        [format!("1;{}\r\n", "x".repeat(9000)), format!("0\r\n{}", "A: b\r\n".repeat(9000))]
    {
        let mut client = Client::connect(&proxy);
        client.wire.send(format!("{CHUNKED}\r\n{filler}").as_bytes());
        client.answer().error(400, "invalid_request_error");
        client.wire.wait_closed();
    }
    prober.finish("broken chunks");
}

#[test]
fn a_body_that_waits_to_be_asked_for_is_asked_for() {
    let proxy = Setup::echo().start();
    let body = message("hello", false);
    let sized = format!(
        "POST /v1/messages HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (head, body) in [(sized, body.clone()), (CHUNKED.to_owned(), chunks(&body, 99))] {
        let mut client = Client::connect(&proxy);
        let head = format!("{head}Expect: 100-continue\r\n\r\n");
        for _ in 0..2 {
            client.wire.send(head.as_bytes());
            assert_eq!(client.wire.head().start, "HTTP/1.1 100 Continue");
            client.wire.send(&body);
            assert_eq!(client.answer().message(), "You said: hello");
        }
        // A client that cannot wait may be asked or not, but is answered.
        client.wire.send(&[head.as_bytes(), &body].concat());
        let mut head = client.wire.head();
        if head.start == "HTTP/1.1 100 Continue" {
            head = client.wire.head();
        }
        assert_eq!(head.start, "HTTP/1.1 200 OK");
    }
}

#[test]
fn a_body_that_is_refused_is_not_asked_for() {
    let proxy = Setup::echo().variable("CCPROXY_API_KEY", "a-key").start();
    let check = |key: &str, length: usize, status: &str| {
        let mut client = Client::connect(&proxy);
        let head = format!(
            "POST /v1/messages HTTP/1.1\r\nContent-Type: application/json\r\nX-Api-Key: {key}\r\n\
             Expect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
        );
        client.wire.send(head.as_bytes());
        let head = client.wire.head();
        assert!(head.start.starts_with(&format!("HTTP/1.1 {status} ")), "{}", head.start);
        assert_eq!(head.header("connection"), Some("close"));
    };
    check("wrong", 10, "401");
    check("a-key", 64 << 20, "413");
}

#[test]
fn a_body_that_stops_coming_takes_no_messages_place() {
    let proxy = Setup::echo().variable("CCPROXY_MAX_IN_FLIGHT", "1").start();
    let mut prober = Prober::start(&proxy);
    let body = message("hello", false);
    let mut slow: Vec<Client> = Vec::new();
    for number in 0..20 {
        let mut client = Client::connect(&proxy);
        let head = if number % 2 == 0 {
            CHUNKED.to_owned()
        } else {
            format!(
                "POST /v1/messages HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
                body.len()
            )
        };
        client.wire.send(format!("{head}\r\n").as_bytes());
        let all = if number % 2 == 0 { chunks(&body, 1000) } else { body.clone() };
        client.wire.send(&all[..all.len() / 2]);
        slow.push(client);
    }
    // The place of an answer that has come may be free a moment later.
    for _ in 0..3 {
        prober.wait_until("a message between the bodies", || {
            Client::fetch_message(&proxy, "meanwhile").status == 200
        });
    }
    for (number, client) in slow.iter_mut().enumerate() {
        let all = if number % 2 == 0 { chunks(&body, 1000) } else { body.clone() };
        client.wire.send(&all[all.len() / 2..]);
        let mut answer = client.answer();
        prober.wait_until("a place for a message", || {
            if answer.status == 529 {
                client.send_whole("hello");
                answer = client.answer();
            }
            answer.status != 529
        });
        assert_eq!(answer.message(), "You said: hello");
    }
    prober.finish("bodies that stop coming");
}
