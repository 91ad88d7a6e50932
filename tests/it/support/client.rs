//! A client that sees every byte of an answer, and every event when it comes.

use std::net::{SocketAddr, TcpStream};

use serde_json::{Value, json};

use super::http::{Head, Wire};
use super::proxy::Proxy;
use super::upstream::{Connection, Upstream};

/// A connection to the proxy.
#[derive(Debug)]
pub(crate) struct Client {
    pub wire: Wire,
    /// What came of the stream and is not a whole event yet.
    events: Vec<u8>,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: u16,
    pub head: Head,
    pub body: Vec<u8>,
}

/// One event of a stream.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    pub name: String,
    pub data: Value,
}

/// A request for a message, as JSON.
pub(crate) fn message(text: &str, stream: bool) -> Vec<u8> {
    json!({
        "model": "claude-sonnet-5-5", "max_tokens": 1000, "stream": stream,
        "messages": [{ "role": "user", "content": text }],
    })
    .to_string()
    .into_bytes()
}

impl Client {
    pub(crate) fn connect(proxy: &Proxy) -> Client {
        Client::at(proxy.address)
    }

    /// Connects to what may not be a proxy yet.
    pub(crate) fn at(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).expect("the proxy listens");
        Client { wire: Wire::new(stream), events: Vec::new() }
    }

    /// Sends a request.
    pub(crate) fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) {
        self.wire.send(&request(method, path, headers, body));
    }

    /// Sends a request for a streamed answer.
    pub(crate) fn send_stream(&mut self, text: &str) {
        self.send("POST", "/v1/messages", JSON, &message(text, true));
    }

    /// A stream in flight, of which the client has seen the first piece: "before".
    pub(crate) fn in_flight(proxy: &Proxy, upstream: &Upstream) -> (Client, Connection) {
        let mut client = Client::connect(proxy);
        client.send_stream("hello");
        let mut connection = upstream.accept();
        connection.request();
        connection.begin_events();
        connection.say("before");
        client.begin();
        assert_eq!(client.text(), "before");
        (client, connection)
    }

    /// Streams in flight, of each of which the client has seen the first piece.
    pub(crate) fn many_in_flight(
        proxy: &Proxy,
        upstream: &Upstream,
        count: usize,
    ) -> Vec<(Client, Connection)> {
        (0..count).map(|_| Client::in_flight(proxy, upstream)).collect()
    }

    /// Sends a request for a whole answer.
    pub(crate) fn send_whole(&mut self, text: &str) {
        self.send("POST", "/v1/messages", JSON, &message(text, false));
    }

    /// Sends a request and reads its answer.
    pub(crate) fn ask(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        self.send(method, path, headers, body);
        if method == "HEAD" { self.answer_without_body() } else { self.answer() }
    }

    /// Sends one request on a connection of its own and reads its answer.
    pub(crate) fn fetch(
        proxy: &Proxy,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        Client::connect(proxy).ask(method, path, headers, body)
    }

    /// Sends a message on a connection of its own and reads the whole answer.
    pub(crate) fn fetch_message(proxy: &Proxy, text: &str) -> Answer {
        Client::fetch(proxy, "POST", "/v1/messages", JSON, &message(text, false))
    }

    /// Reads an answer.
    pub(crate) fn answer(&mut self) -> Answer {
        let mut answer = self.answer_without_body();
        if answer.status != 204 {
            answer.body = self.wire.body(&answer.head).expect("the body's end is announced");
        }
        answer
    }

    /// Reads an answer's head; it has nothing else.
    pub(crate) fn answer_without_body(&mut self) -> Answer {
        let head = self.wire.head();
        let status = head.start.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
        let status = status.and_then(|digits| digits.parse().ok()).expect("a status line");
        Answer { status, head, body: Vec::new() }
    }

    /// Reads the head of a stream.
    pub(crate) fn begin(&mut self) -> Head {
        let Answer { status, head, .. } = self.answer_without_body();
        if status != 200 {
            let body = self.wire.body(&head).unwrap_or_default();
            panic!("a stream begins; it is {status}: {}", String::from_utf8_lossy(&body));
        }
        assert_eq!(head.header("content-type"), Some("text/event-stream; charset=utf-8"));
        assert_eq!(head.header("transfer-encoding"), Some("chunked"));
        assert!(head.header("request-id").is_some_and(|id| id.starts_with("req_")));
        head
    }

    /// The next event of the stream as soon as it is there, or `None` for the end.
    pub(crate) fn event(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = take_event(&mut self.events) {
                return Some(event);
            }
            match self.wire.chunk() {
                Some(chunk) => self.events.extend(chunk),
                None => {
                    assert!(self.events.is_empty(), "the stream ends between events");
                    return None;
                }
            }
        }
    }

    /// Reads one event, which must be called `name`.
    pub(crate) fn expect(&mut self, name: &str) -> Value {
        let event = self.event().unwrap_or_else(|| panic!("{name} comes before the end"));
        assert_eq!(event.name, name, "{}", event.data);
        event.data
    }

    /// Reads the beginning of a message.
    pub(crate) fn expect_start(&mut self) {
        self.expect("message_start");
        self.expect("ping");
    }

    /// Reads events up to the next piece of text.
    pub(crate) fn text(&mut self) -> String {
        loop {
            let event = self.event().expect("text comes before the end");
            if event.name == "content_block_delta" {
                return event.data["delta"]["text"].as_str().expect("it is text").to_owned();
            }
        }
    }

    /// Reads the rest of the stream, which must end a message well, and returns its text.
    pub(crate) fn finish(&mut self) -> String {
        let events = self.events();
        let last = events.last().expect("there is an event");
        assert_eq!(last.name, "message_stop", "{}", last.data);
        assert!(events.iter().all(|event| event.name != "error"), "{events:?}");
        let texts = events.iter().filter_map(|event| event.data["delta"]["text"].as_str());
        without_introduction(&texts.collect::<String>()).to_owned()
    }

    /// Reads the rest of the stream, which must end with an error, and returns its type and message.
    pub(crate) fn fail(&mut self) -> (String, String) {
        let events = self.events();
        let last = events.last().expect("there is an event");
        assert_eq!(last.name, "error", "{}", last.data);
        assert!(events.iter().all(|event| event.name != "message_stop"), "{events:?}");
        assert_eq!(last.data["type"], "error");
        let member = |name: &str| last.data["error"][name].as_str().expect("a string").to_owned();
        (member("type"), member("message"))
    }

    /// Reads the rest of the stream.
    pub(crate) fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.event()).collect()
    }
}

/// What echo says, without the words about itself in the first answer of a conversation.
fn without_introduction(text: &str) -> &str {
    text.split_once("\n\nThis is the provider echo").map_or(text, |(said, _)| said)
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// The text of the message that this answer is.
    pub(crate) fn message(&self) -> String {
        assert_eq!(self.status, 200, "{}", self.text());
        let message = self.json();
        assert_eq!(message["type"], "message");
        without_introduction(message["content"][0]["text"].as_str().expect("it is text")).to_owned()
    }

    /// The message of the error that this answer is, in Anthropic's shape.
    pub(crate) fn error(&self, status: u16, kind: &str) -> String {
        assert_eq!((self.status, self.header("content-type")), (status, Some("application/json")));
        let body = self.json();
        assert_eq!((&body["type"], &body["error"]["type"]), (&json!("error"), &json!(kind)));
        let id = self.header("request-id").expect("every answer has one");
        assert!(id.starts_with("req_"), "{id}");
        assert_eq!(body["request_id"], id);
        let message = body["error"]["message"].as_str().expect("an error has a message");
        assert!(!message.is_empty());
        message.to_owned()
    }
}

/// The headers of a request with a JSON body.
pub(crate) const JSON: &[(&str, &str)] = &[("Content-Type", "application/json")];

/// The bytes of a request.
pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut out = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n");
    for (name, value) in headers {
        out.push_str(&format!("{name}: {value}\r\n"));
    }
    if method == "POST" {
        out.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    out.push_str("\r\n");
    let mut out = out.into_bytes();
    out.extend_from_slice(body);
    out
}

/// Takes the first whole event off `bytes`.
pub(crate) fn take_event(bytes: &mut Vec<u8>) -> Option<Event> {
    let end = bytes.windows(2).position(|pair| pair == b"\n\n")?;
    let event: Vec<u8> = bytes.drain(..end + 2).collect();
    let text = std::str::from_utf8(&event).expect("events are UTF-8").trim_end();
    let lines = text.strip_prefix("event: ").and_then(|rest| rest.split_once("\ndata: "));
    let (name, data) = lines.unwrap_or_else(|| panic!("an event of ccproxy: {text:?}"));
    let data: Value = serde_json::from_str(data).expect("the data is one line of JSON");
    assert_eq!(data["type"], name);
    Some(Event { name: name.to_owned(), data })
}
