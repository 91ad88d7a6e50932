//! The books: for every way a message can end, what the client saw, the line of the log, the metrics,
//! the breaker, the keys and `/status` tell the same.
//!
//! Each case drives the program with one message to a scripted provider. What is then checked is the
//! same for all of them, by the kind of ending that the table names.

use cases::CASES;
use serde_json::{Value, json};

use crate::support::client::{Answer, Client, JSON, message};
use crate::support::proxy::{Proxy, Setup};
use crate::support::upstream::{Connection, Upstream};

mod cases;
mod several;

const CLIENT_KEY: &str = "the-clients-own-key";

/// What the client saw.
#[derive(Debug)]
enum Seen {
    /// A message to its end.
    Message,
    /// An error as the whole answer.
    Error(u16),
    /// A stream that ended with an error.
    Event,
    /// Nothing, since it left.
    Left,
}

/// What the books must say of it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Booked {
    Answered,
    /// Turned away, for this reason; no provider had a part in it.
    Refused(&'static str),
    /// The provider's failure, by its cause.
    Failed(&'static str),
    Left,
}

struct Case {
    name: &'static str,
    setup: fn(Setup) -> Setup,
    act: fn(&Scene) -> Seen,
    booked: Booked,
    level: &'static str,
    /// Failures in a row of the provider afterwards, and its keys that rest.
    failures: f64,
    resting: f64,
}

struct Scene {
    upstream: Upstream,
    proxy: Proxy,
}

impl Scene {
    fn headers() -> Vec<(&'static str, &'static str)> {
        vec![JSON[0], ("x-api-key", CLIENT_KEY)]
    }

    /// Sends a request with the client's key and reads its answer.
    fn send(&self, method: &str, path: &str, body: &[u8]) -> Seen {
        seen(&Client::fetch(&self.proxy, method, path, &Scene::headers(), body))
    }

    /// A client whose message has reached the provider.
    fn ask(&self, stream: bool) -> (Client, Connection) {
        self.ask_for(&message("hello", stream))
    }

    fn ask_for(&self, body: &[u8]) -> (Client, Connection) {
        let mut client = Client::connect(&self.proxy);
        client.send("POST", "/v1/messages", &Scene::headers(), body);
        let mut connection = self.upstream.accept();
        connection.request();
        (client, connection)
    }

    /// A client of which the provider's own Messages API is asked.
    fn ask_native(&self, stream: bool) -> (Client, Connection) {
        let mut client = Client::connect(&self.proxy);
        client.send("POST", "/v1/messages", &Scene::headers(), &message("hello", stream));
        let mut connection = self.upstream.accept();
        connection.request_at("/anthropic/v1/messages");
        (client, connection)
    }

    /// The provider answers a message with a status; the client gets a whole answer.
    fn answered(&self, stream: bool, status: &str, headers: &[(&str, &str)], body: &str) -> Seen {
        let (mut client, mut connection) = self.ask(stream);
        let headers = [headers, &[("Connection", "close")]].concat();
        connection.answer(status, &headers, body);
        seen(&client.answer())
    }

    /// A stream of which the client has the first piece.
    fn begun(&self) -> (Client, Connection) {
        let (mut client, mut connection) = self.ask(true);
        connection.begin_events();
        connection.say("before");
        client.begin();
        assert_eq!(client.text(), "before");
        (client, connection)
    }

    /// The same of a provider's body that ends with its connection.
    fn begun_without_framing(&self) -> (Client, Connection) {
        let (mut client, mut connection) = self.ask(true);
        connection.wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
        let piece = json!({ "choices": [{ "index": 0, "delta": { "content": "before" } }] });
        connection.wire.send(format!("data: {piece}\n\n").as_bytes());
        client.begin();
        assert_eq!(client.text(), "before");
        (client, connection)
    }

    /// The sum of a metric's samples with this in their labels.
    fn metric(&self, name: &str, label: &str) -> f64 {
        let headers = [("x-api-key", CLIENT_KEY)];
        let text = Client::fetch(&self.proxy, "GET", "/metrics", &headers, b"").text();
        let samples = text.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{'))
                && line.contains(label)
        });
        let values = samples.map(|line| line.rsplit(' ').next().expect("a value"));
        values.map(|value| value.parse::<f64>().expect("a number")).sum()
    }

    fn status(&self) -> Value {
        Client::fetch(&self.proxy, "GET", "/status", &[("x-api-key", CLIENT_KEY)], b"").json()
    }
}

fn seen(answer: &Answer) -> Seen {
    let body = answer.json();
    if answer.status == 200 {
        assert_eq!(body["type"], "message", "{body}");
        return Seen::Message;
    }
    assert_eq!(body["type"], "error", "{body}");
    Seen::Error(answer.status)
}

/// Reads a stream to its end.
fn streamed(mut client: Client) -> Seen {
    match &*client.events().pop().expect("it has an end").name {
        "message_stop" => Seen::Message,
        "error" => Seen::Event,
        name => panic!("{name} is no end"),
    }
}

/// The client leaves, and waits until the provider's call has ended.
fn leave(client: Client, mut connection: Connection) -> Seen {
    drop(client);
    connection.wire.wait_closed();
    Seen::Left
}

/// Runs a case and compares what each place tells of it.
fn check(case: &Case) {
    let upstream = Upstream::start();
    let setup = Setup::asking(&upstream)
        .json_log()
        .variable("CCPROXY_API_KEY", CLIENT_KEY)
        .variable("DEEPSEEK_API_KEY", "the-key-of-deepseek")
        .variable("DEEPSEEK_MODEL", "test-model")
        .variable("DEEPSEEK_BASE_URL", &upstream.base_url())
        .variable("DEEPSEEK_NATIVE_URL", &format!("http://{}/anthropic", upstream.address()));
    let scene = Scene { proxy: (case.setup)(setup).start(), upstream };
    let seen = (case.act)(&scene);
    let at = format!("{}: {seen:?}", case.name);

    let line = scene.proxy.wait_for_line("\"request_id\":\"req_");
    let line: Value = serde_json::from_str(&line).expect("a line is JSON");
    let at = format!("{at}; {line}");
    assert_eq!(line["level"], case.level, "{at}");
    assert!(line["msg"].as_str().is_some_and(|msg| !msg.is_empty()), "{at}");
    let (status, error_type) = (line["status"].as_u64().expect("a number"), &line["error_type"]);
    let (counted, cause) = match case.booked {
        Booked::Answered => {
            assert!(matches!(seen, Seen::Message), "{at}");
            assert_eq!((status, error_type), (200, &Value::Null), "{at}");
            assert!(line["stop_reason"].is_string() && line["output_tokens"].is_u64(), "{at}");
            ("success", None)
        }
        Booked::Failed(cause) => {
            match &seen {
                Seen::Error(seen) => assert_eq!(status, u64::from(*seen), "{at}"),
                Seen::Event => assert!(status >= 400, "{at}"),
                Seen::Message | Seen::Left => panic!("{at}"),
            }
            assert_eq!(error_type, cause, "{at}");
            ("error", Some(cause))
        }
        Booked::Refused(reason) => {
            let Seen::Error(seen) = &seen else { panic!("{at}") };
            assert_eq!((status, error_type), (u64::from(*seen), &json!(reason)), "{at}");
            let label = format!("reason=\"{reason}\"");
            assert_eq!(scene.metric("ccproxy_refused_total", &label), 1.0, "{at}");
            ("", None)
        }
        Booked::Left => {
            assert!(matches!(seen, Seen::Left), "{at}");
            assert_eq!(error_type, "client_gone", "{at}");
            ("cancelled", None)
        }
    };
    // One message is counted once, and as nothing else.
    for status in ["success", "error", "cancelled"] {
        let label = format!("status=\"{status}\"");
        let wanted = f64::from(u8::from(status == counted));
        assert_eq!(scene.metric("ccproxy_requests_total", &label), wanted, "{status}: {at}");
    }
    let all =
        scene.metric("ccproxy_requests_total", "") + scene.metric("ccproxy_refused_total", "");
    assert_eq!(all, 1.0, "{at}");
    if let Some(cause) = cause {
        let label = format!("error_type=\"{cause}\"");
        assert_eq!(scene.metric("ccproxy_upstream_errors_total", &label), 1.0, "{at}");
    } else if case.resting == 0.0 {
        assert_eq!(scene.metric("ccproxy_upstream_errors_total", ""), 0.0, "{at}");
    }
    let tokens = scene.metric("gen_ai_client_inference_usage_output_tokens_total", "");
    assert_eq!(tokens > 0.0, case.booked == Booked::Answered, "{tokens}: {at}");
    // What is thought of the provider.
    let state = &scene.status()["provider_state"];
    for (metric, field, wanted) in [
        ("ccproxy_provider_consecutive_failures", "consecutive_failures", case.failures),
        ("ccproxy_provider_resting_keys", "resting_keys", case.resting),
    ] {
        assert_eq!(scene.metric(metric, ""), wanted, "{metric}: {at}");
        assert_eq!(state[field].as_f64(), Some(wanted), "{state}: {at}");
    }
    assert_eq!(scene.metric("ccproxy_provider_circuit_open", ""), 0.0, "{at}");
    // And there is no second line of it.
    let log = scene.proxy.log();
    assert_eq!(log.matches("\"request_id\"").count(), 1, "{at}\n{log}");
}

#[test]
fn every_place_tells_the_same_of_a_message() {
    for case in CASES {
        check(case);
    }
}

/// Debug builds panic where they are told to by a header.
#[cfg(debug_assertions)]
#[test]
fn a_bug_is_told_with_the_requests_id_and_blames_nobody() {
    let setup = Setup::echo().json_log().variable("CCPROXY_API_KEY", CLIENT_KEY);
    let scene = Scene { upstream: Upstream::start(), proxy: setup.start() };
    let headers = [Scene::headers(), vec![("x-ccproxy-test-panic", "1")]].concat();
    let body = message("hello", true);
    let answer = Client::fetch(&scene.proxy, "POST", "/v1/messages", &headers, &body);
    answer.error(500, "api_error");
    let line = scene.proxy.record(answer.header("request-id").expect("an id"));
    assert_eq!((&line["status"], &line["level"]), (&json!(500), &json!("error")), "{line}");
    assert_eq!(scene.metric("ccproxy_refused_total", "reason=\"bug\""), 1.0);
    assert_eq!(scene.metric("ccproxy_requests_total", ""), 0.0);
    // The panic itself is a line too, and of the same form.
    let place = scene.proxy.wait_for_line("a bug in ccproxy at src/api/messages.rs");
    let place: Value = serde_json::from_str(&place).expect("a line is JSON");
    assert_eq!(place["level"], "error", "{place}");
}
