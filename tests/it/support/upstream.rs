//! A provider of chat completions that does what the test tells it, step by step.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use super::PATIENCE;
use super::http::{Head, Wire};

const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The listening side.
pub(crate) struct Upstream {
    listener: TcpListener,
}

impl Upstream {
    pub(crate) fn start() -> Upstream {
        let listener = TcpListener::bind(LOOPBACK).expect("the loopback has a free port");
        // On Linux it bounds accept(2) too.
        SockRef::from(&listener).set_read_timeout(Some(PATIENCE)).expect("it is not zero");
        Upstream { listener }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("it is bound")
    }

    pub(crate) fn base_url(&self) -> String {
        format!("http://{}/v1", self.address())
    }

    /// Waits for a connection.
    pub(crate) fn accept(&self) -> Connection {
        let (stream, _) = self.listener.accept().expect("a connection comes");
        Connection::new(stream)
    }

    /// Waits for the question what is served, and has no list.
    pub(crate) fn refuse_list(&self) {
        let mut connection = self.accept();
        let head = connection.wire.head();
        assert_eq!(head.start, "GET /v1/models HTTP/1.1");
        connection.answer("404 Not Found", &[("Connection", "close")], "{}");
    }

    /// Fails if there is a connection that nobody accepted.
    pub(crate) fn assert_nobody_waits(&self) {
        self.listener.set_nonblocking(true).expect("it is a socket");
        let accepted = self.listener.accept();
        self.listener.set_nonblocking(false).expect("it is a socket");
        let error = accepted.expect_err("nobody else connects");
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    }

    /// Answers every request from now on, streamed or whole as it asks.
    pub(crate) fn answer_all(self) {
        thread::spawn(move || {
            while let Ok((stream, _)) = self.listener.accept() {
                thread::spawn(move || {
                    let mut connection = Connection::new(stream);
                    while let Some(head) = connection.wire.try_head() {
                        let request = connection.request_after(head);
                        if request.body["stream"] == true {
                            connection.begin_events();
                            connection.say("answered");
                            connection.finish();
                        } else {
                            connection.complete("answered");
                        }
                    }
                });
            }
        });
    }

    /// Answers every request from now on with a stream that `answer` makes.
    pub(crate) fn answer_with(self, answer: impl Fn() -> Vec<u8> + Send + Sync + 'static) {
        self.answer_as(move || ("Content-Type: text/event-stream\r\n".to_owned(), answer()));
    }

    /// The same with the headers and the body that `answer` makes.
    pub(crate) fn answer_as(self, answer: impl Fn() -> (String, Vec<u8>) + Send + Sync + 'static) {
        let answer = Arc::new(answer);
        thread::spawn(move || {
            while let Ok((stream, _)) = self.listener.accept() {
                let answer = Arc::clone(&answer);
                thread::spawn(move || {
                    let mut connection = Connection::new(stream);
                    while let Some(head) = connection.wire.try_head() {
                        connection.request_after(head);
                        let (headers, body) = answer();
                        let length = body.len();
                        let head =
                            format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: {length}\r\n\r\n");
                        connection.wire.send(&[head.as_bytes(), &body].concat());
                    }
                });
            }
        });
    }

    /// Answers the first request of each connection, and closes when the next one comes: at its first
    /// byte, which resets the connection, or when all of it has been read.
    pub(crate) fn answer_once_per_connection(self) {
        thread::spawn(move || {
            let mut count = 0;
            while let Ok((stream, _)) = self.listener.accept() {
                count += 1;
                let reads_all = count % 2 == 0;
                thread::spawn(move || {
                    let mut connection = Connection::new(stream);
                    let Some(head) = connection.wire.try_head() else { return };
                    let request = connection.request_after(head);
                    if request.body["stream"] == true {
                        connection.begin_events();
                        connection.say("answered");
                        connection.finish();
                    } else {
                        connection.complete("answered");
                    }
                    if let Some(head) = connection.wire.try_head()
                        && reads_all
                    {
                        connection.request_after(head);
                    }
                });
            }
        });
    }
}

/// An address that refuses every connection for as long as it is kept: bound, but not listening.
pub(crate) struct Refusing(Socket);

impl Refusing {
    pub(crate) fn start() -> Refusing {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("there are sockets");
        socket.bind(&SockAddr::from(LOOPBACK)).expect("the loopback has a free port");
        Refusing(socket)
    }

    pub(crate) fn base_url(&self) -> String {
        let address = self.0.local_addr().ok().and_then(|address| address.as_socket());
        format!("http://{}/v1", address.expect("it is bound"))
    }
}

/// A request as the provider sees it.
#[derive(Debug)]
pub(crate) struct Request {
    pub head: Head,
    pub body: Value,
}

/// A connection from the proxy.
#[derive(Debug)]
pub(crate) struct Connection {
    pub wire: Wire,
    unsent: Vec<u8>,
}

/// How long nothing may be taken before the other side counts as holding back.
const HELD_BACK: Duration = Duration::from_secs(1);

impl Connection {
    fn new(stream: TcpStream) -> Connection {
        Connection { wire: Wire::new(stream), unsent: Vec::new() }
    }

    /// Reads the next request.
    pub(crate) fn request(&mut self) -> Request {
        let head = self.wire.head();
        self.request_after(head)
    }

    /// Reads the next request, which is for `path`.
    pub(crate) fn request_at(&mut self, path: &str) -> Request {
        let head = self.wire.head();
        self.request_to(head, path)
    }

    fn request_after(&mut self, head: Head) -> Request {
        self.request_to(head, "/v1/chat/completions")
    }

    fn request_to(&mut self, head: Head, path: &str) -> Request {
        assert_eq!(head.start, format!("POST {path} HTTP/1.1"));
        let body = self.wire.body(&head).expect("a POST has a body");
        Request { head, body: serde_json::from_slice(&body).expect("the body is JSON") }
    }

    /// Begins a stream of events.
    pub(crate) fn begin_events(&mut self) {
        self.wire.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
        );
    }

    /// Sends one event of the stream.
    pub(crate) fn event(&mut self, data: &str) {
        let event = format!("data: {data}\n\n");
        self.wire.send(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes());
    }

    /// Sends one event with its name.
    pub(crate) fn raw_event(&mut self, name: &str, data: &str) {
        let event = format!("event: {name}\ndata: {data}\n\n");
        self.wire.send(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes());
    }

    /// Sends a piece of the answer's text.
    pub(crate) fn say(&mut self, text: &str) {
        self.event(&chunk(json!({ "content": text }), None));
    }

    /// Sends a piece as far as it is taken, and returns whether that was all of it. What is left goes
    /// out with [`Connection::finish_say`].
    pub(crate) fn try_say(&mut self, text: &str) -> bool {
        let event = format!("data: {}\n\n", chunk(json!({ "content": text }), None));
        self.unsent = format!("{:x}\r\n{event}\r\n", event.len()).into_bytes();
        let taken = self.wire.try_send(&self.unsent, HELD_BACK);
        self.unsent.drain(..taken);
        self.unsent.is_empty()
    }

    /// Sends what [`Connection::try_say`] could not.
    pub(crate) fn finish_say(&mut self) {
        let unsent = std::mem::take(&mut self.unsent);
        self.wire.send(&unsent);
    }

    /// Ends the answer and the stream.
    pub(crate) fn finish(&mut self) {
        self.event(&chunk(json!({}), Some("stop")));
        self.event(
            &json!({ "choices": [], "usage": { "prompt_tokens": 9, "completion_tokens": 3 } })
                .to_string(),
        );
        self.event("[DONE]");
        self.wire.send(b"0\r\n\r\n");
    }

    /// Answers with a whole completion.
    pub(crate) fn complete(&mut self, text: &str) {
        let message = json!({ "role": "assistant", "content": text });
        let body = json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 0, "model": "m",
            "choices": [{ "index": 0, "message": message, "finish_reason": "stop" }],
            "usage": { "prompt_tokens": 9, "completion_tokens": 3 },
        });
        self.answer("200 OK", &[], &body.to_string());
    }

    /// Answers with a status, headers and a JSON body.
    pub(crate) fn answer(&mut self, status: &str, headers: &[(&str, &str)], body: &str) {
        let mut out = format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\n");
        for (name, value) in headers {
            out.push_str(&format!("{name}: {value}\r\n"));
        }
        out.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        self.wire.send(out.as_bytes());
    }
}

fn chunk(delta: Value, finish_reason: Option<&str>) -> String {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 0, "model": "m",
        "choices": [{ "index": 0, "delta": delta, "finish_reason": finish_reason }],
    })
    .to_string()
}

/// A whole completion.
pub(crate) const ANSWER: &str = r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"answered"},"finish_reason":"stop"}]}"#;
