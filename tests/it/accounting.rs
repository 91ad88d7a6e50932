//! The books: for every way a message can end, what the client saw, the line of the log, the metrics,
//! the breaker, the keys and `/status` tell the same.
//!
//! Each case drives the program with one message to a scripted provider. What is then checked is the
//! same for all of them, by the kind of ending that the table names.

use serde_json::{Value, json};

use crate::support::client::{Answer, Client, JSON, message};
use crate::support::proxy::{Proxy, Setup};
use crate::support::upstream::{Connection, Refusing, Upstream};

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

fn plain(setup: Setup) -> Setup {
    setup
}

fn impatient(setup: Setup) -> Setup {
    setup.variable("CUSTOM_TIMEOUT", "1").variable("CCPROXY_IDLE_TIMEOUT", "1")
}

/// The provider's own Messages API is at `/anthropic` of where chat completions are.
fn native(setup: Setup) -> Setup {
    setup.variable("PROVIDER", "deepseek").variable("DEEPSEEK_NATIVE", "on")
}

/// Two keys, so that one that is refused rests.
fn two_keys(setup: Setup) -> Setup {
    setup.variable("CUSTOM_API_KEY", "first-key-of-two,second-key-of-two")
}

const NATIVE_START: &str =
    r#"{"type":"message_start","message":{"id":"msg_1","usage":{"input_tokens":7}}}"#;
const NATIVE_TEXT: &str =
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"before"}}"#;
const NATIVE_END: &str =
    r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":9}}"#;
const NATIVE_WHOLE: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":"end_turn","usage":{"input_tokens":7,"output_tokens":9}}"#;

/// Begins a native stream of which the client has a piece.
fn begun_native(scene: &Scene) -> (Client, Connection) {
    let (mut client, mut connection) = scene.ask_native(true);
    connection.begin_events();
    connection.raw_event("message_start", NATIVE_START);
    connection.raw_event("content_block_delta", NATIVE_TEXT);
    client.begin();
    assert_eq!(client.text(), "before");
    (client, connection)
}

const ANSWERED: Case = Case {
    name: "",
    setup: plain,
    act: |_| Seen::Message,
    booked: Booked::Answered,
    level: "info",
    failures: 0.0,
    resting: 0.0,
};

const LEFT: Case = Case { booked: Booked::Left, ..ANSWERED };

/// Turned away.
const fn refused(name: &'static str, reason: &'static str, act: fn(&Scene) -> Seen) -> Case {
    Case { name, act, booked: Booked::Refused(reason), ..ANSWERED }
}

/// Refused by the provider, or failed with it, which counts as so many failures.
const fn failed(
    name: &'static str,
    (cause, level, failures): (&'static str, &'static str, f64),
    act: fn(&Scene) -> Seen,
) -> Case {
    Case { name, act, booked: Booked::Failed(cause), level, failures, ..ANSWERED }
}

const CUT: (&str, &str, f64) = ("cut", "warn", 1.0);
const FAILED: (&str, &str, f64) = ("upstream_error", "warn", 1.0);

/// Every way a message can end.
const CASES: &[Case] = &[
    // Well.
    Case {
        name: "whole",
        act: |scene| {
            let (mut client, mut connection) = scene.ask(false);
            connection.complete("hello");
            seen(&client.answer())
        },
        ..ANSWERED
    },
    Case {
        name: "streamed",
        act: |scene| {
            let (client, mut connection) = scene.begun();
            connection.finish();
            streamed(client)
        },
        ..ANSWERED
    },
    Case {
        name: "a stream without length or chunks",
        act: |scene| {
            let (client, mut connection) = scene.begun_without_framing();
            let last = json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }] });
            connection.wire.send(format!("data: {last}\n\ndata: [DONE]\n\n").as_bytes());
            connection.wire.close();
            streamed(client)
        },
        ..ANSWERED
    },
    Case {
        name: "a stop sequence that the provider does not know",
        act: |scene| {
            let body = json!({
                "model": "m", "max_tokens": 10, "stream": true, "stop_sequences": ["b", "c", "d", "e", "STOP"],
                "messages": [{ "role": "user", "content": "hello" }],
            });
            let (mut client, mut connection) = scene.ask_for(body.to_string().as_bytes());
            connection.begin_events();
            connection.say("before STOP after");
            client.begin();
            let seen = streamed(client);
            connection.wire.wait_closed();
            seen
        },
        ..ANSWERED
    },
    Case {
        name: "native, whole",
        setup: native,
        act: |scene| {
            let (mut client, mut connection) = scene.ask_native(false);
            connection.answer("200 OK", &[], NATIVE_WHOLE);
            seen(&client.answer())
        },
        ..ANSWERED
    },
    Case {
        name: "native, streamed",
        setup: native,
        act: |scene| {
            let (client, mut connection) = begun_native(scene);
            connection.raw_event("message_delta", NATIVE_END);
            connection.raw_event("message_stop", r#"{"type":"message_stop"}"#);
            connection.wire.send(b"0\r\n\r\n");
            streamed(client)
        },
        ..ANSWERED
    },
    Case {
        name: "with the second key",
        setup: two_keys,
        level: "warn",
        resting: 1.0,
        act: |scene| {
            let (mut client, mut connection) = scene.ask(false);
            connection.answer("401 Unauthorized", &[("Connection", "close")], "{}");
            let mut connection = scene.upstream.accept();
            connection.request();
            connection.complete("hello");
            seen(&client.answer())
        },
        ..ANSWERED
    },
    // Turned away.
    Case {
        level: "warn",
        ..refused("a wrong key", "key", |scene| {
            let headers = [JSON[0], ("x-api-key", "another-key")];
            let body = message("hello", false);
            seen(&Client::fetch(&scene.proxy, "POST", "/v1/messages", &headers, &body))
        })
    },
    refused("a foreign page", "origin", |scene| {
        let headers = [Scene::headers(), vec![("Origin", "https://evil.example")]].concat();
        let body = message("hello", false);
        seen(&Client::fetch(&scene.proxy, "POST", "/v1/messages", &headers, &body))
    }),
    refused("another path", "path", |scene| scene.send("POST", "/v2/messages", b"{}")),
    refused("another method", "method", |scene| scene.send("GET", "/v1/messages", b"")),
    refused("another type of content", "content_type", |scene| {
        let headers = [("x-api-key", CLIENT_KEY), ("Content-Type", "text/plain")];
        seen(&Client::fetch(&scene.proxy, "POST", "/v1/messages", &headers, b"hello"))
    }),
    Case {
        setup: |setup| setup.variable("CCPROXY_BODY_LIMIT", "1024"),
        ..refused("a body too large", "too_large", |scene| {
            scene.send("POST", "/v1/messages", &message(&"x".repeat(2000), false))
        })
    },
    refused("no HTTP", "http", |scene| {
        let mut client = Client::connect(&scene.proxy);
        client.wire.send(b"POST /v1/messages HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
        seen(&client.answer())
    }),
    refused("no JSON", "invalid_request", |scene| scene.send("POST", "/v1/messages", b"{")),
    refused("no message", "invalid_request", |scene| {
        scene.send("POST", "/v1/messages", br#"{"model":"m","max_tokens":1,"messages":7}"#)
    }),
    refused("a thread", "invalid_request", |scene| {
        let body = json!({
            "model": "m", "max_tokens": 10, "thread": { "id": "t" },
            "messages": [{ "role": "user", "content": "hello" }],
        });
        scene.send("POST", "/v1/messages", body.to_string().as_bytes())
    }),
    // Refused by the provider.
    failed("the request", ("refused_request", "info", 0.0), |scene| {
        scene.answered(false, "400 Bad Request", &[], r#"{"error":{"message":"no such tool"}}"#)
    }),
    failed("the prompt's length", ("context_overflow", "info", 0.0), |scene| {
        let said = r#"{"error":{"code":"context_length_exceeded","message":"too many tokens"}}"#;
        scene.answered(true, "400 Bad Request", &[], said)
    }),
    failed("the key", ("key_refused", "error", 1.0), |scene| {
        scene.answered(false, "401 Unauthorized", &[], "{}")
    }),
    failed("the money", ("billing", "error", 1.0), |scene| {
        scene.answered(true, "402 Payment Required", &[], "{}")
    }),
    failed("a model that the client chose", ("client_model", "info", 0.0), |scene| {
        let body = json!({
            "model": "custom/another", "max_tokens": 10,
            "messages": [{ "role": "user", "content": "hello" }],
        });
        let (mut client, mut connection) = scene.ask_for(body.to_string().as_bytes());
        let said = r#"{"error":{"message":"no such model"}}"#;
        connection.answer("404 Not Found", &[("Connection", "close")], said);
        seen(&client.answer())
    }),
    failed("the configured model", ("model_unknown", "error", 0.0), |scene| {
        scene.answered(false, "404 Not Found", &[], r#"{"error":{"message":"no such model"}}"#)
    }),
    Case {
        resting: 1.0,
        ..failed("too much", ("rate_limit", "warn", 0.0), |scene| {
            scene.answered(false, "429 Too Many Requests", &[("Retry-After", "60")], "{}")
        })
    },
    Case {
        resting: 1.0,
        ..failed("too much, of a stream", ("rate_limit", "warn", 0.0), |scene| {
            scene.answered(true, "429 Too Many Requests", &[], "{}")
        })
    },
    // Failed before the first byte.
    Case {
        setup: |setup| {
            // Kept for as long as the process lives, so that the port stays refused.
            let refusing = Box::leak(Box::new(Refusing::start()));
            setup.variable("CUSTOM_BASE_URL", &refusing.base_url())
        },
        ..failed("nothing listens", ("connect_refused", "error", 1.0), |scene| {
            scene.send("POST", "/v1/messages", &message("hello", true))
        })
    },
    Case {
        setup: |setup| setup.variable("CUSTOM_BASE_URL", "http://no-such-name.invalid/v1"),
        ..failed("no such name", ("dns", "error", 1.0), |scene| {
            scene.send("POST", "/v1/messages", &message("hello", false))
        })
    },
    failed("500", FAILED, |scene| scene.answered(false, "500 Internal Server Error", &[], "")),
    failed("500 to a stream", FAILED, |scene| {
        scene.answered(true, "500 Internal Server Error", &[], "")
    }),
    failed("503", ("upstream_error", "warn", 1.0), |scene| {
        scene.answered(true, "503 Service Unavailable", &[], "")
    }),
    failed("no answer", ("reset", "warn", 1.0), |scene| {
        let (mut client, connection) = scene.ask(false);
        connection.wire.close();
        seen(&client.answer())
    }),
    Case {
        setup: impatient,
        ..failed("silence", ("timeout", "warn", 1.0), |scene| {
            let (mut client, mut connection) = scene.ask(false);
            let seen = seen(&client.answer());
            connection.wire.wait_closed();
            seen
        })
    },
    failed("an error as the first event", FAILED, |scene| {
        let (mut client, mut connection) = scene.ask(true);
        connection.begin_events();
        connection.event(r#"{"error":{"message":"out of luck","type":"server_error"}}"#);
        seen(&client.answer())
    }),
    failed("an end before the first word", CUT, |scene| {
        let (mut client, mut connection) = scene.ask(true);
        connection.begin_events();
        connection.wire.send(b"0\r\n\r\n");
        seen(&client.answer())
    }),
    failed("no JSON for a whole answer", ("protocol", "warn", 1.0), |scene| {
        scene.answered(false, "200 OK", &[], "{")
    }),
    failed("half a whole answer", CUT, |scene| {
        let (mut client, mut connection) = scene.ask(false);
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 900\r\n";
        connection.wire.send(format!("{head}\r\n{{").as_bytes());
        connection.wire.close();
        seen(&client.answer())
    }),
    Case {
        setup: native,
        ..failed("native, no message", ("protocol", "warn", 1.0), |scene| {
            let (mut client, mut connection) = scene.ask_native(false);
            connection.answer("200 OK", &[("Connection", "close")], "{}");
            seen(&client.answer())
        })
    },
    // Failed within the answer.
    failed("a cut stream", CUT, |scene| {
        let (client, connection) = scene.begun();
        connection.wire.close();
        streamed(client)
    }),
    failed("a cut stream without length or chunks", CUT, |scene| {
        let (client, connection) = scene.begun_without_framing();
        connection.wire.close();
        streamed(client)
    }),
    failed("a stream that ends early", CUT, |scene| {
        let (client, mut connection) = scene.begun();
        connection.wire.send(b"0\r\n\r\n");
        streamed(client)
    }),
    failed("an error within the stream", FAILED, |scene| {
        let (client, mut connection) = scene.begun();
        connection.event(r#"{"error":{"message":"out of luck","type":"server_error"}}"#);
        streamed(client)
    }),
    failed("no JSON within the stream", ("protocol", "warn", 1.0), |scene| {
        let (client, mut connection) = scene.begun();
        connection.event("{");
        streamed(client)
    }),
    Case {
        setup: impatient,
        ..failed("silence within the stream", ("timeout", "warn", 1.0), |scene| {
            let (client, mut connection) = scene.begun();
            let seen = streamed(client);
            connection.wire.wait_closed();
            seen
        })
    },
    Case {
        setup: native,
        ..failed("native, cut", CUT, |scene| {
            let (client, connection) = begun_native(scene);
            connection.wire.close();
            streamed(client)
        })
    },
    Case {
        setup: native,
        resting: 1.0,
        ..failed("native, an error", ("overloaded", "warn", 0.0), |scene| {
            let (client, mut connection) = begun_native(scene);
            let error = r#"{"type":"error","error":{"type":"overloaded_error","message":"busy"}}"#;
            connection.raw_event("error", error);
            streamed(client)
        })
    },
    // The client leaves.
    Case {
        name: "before the answer",
        act: |scene| {
            let (client, connection) = scene.ask(true);
            leave(client, connection)
        },
        ..LEFT
    },
    Case {
        name: "before a whole answer",
        act: |scene| {
            let (client, connection) = scene.ask(false);
            leave(client, connection)
        },
        ..LEFT
    },
    Case {
        name: "within a whole answer",
        act: |scene| {
            let (client, mut connection) = scene.ask(false);
            connection.wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{");
            leave(client, connection)
        },
        ..LEFT
    },
    Case {
        name: "within a whole answer without length",
        act: |scene| {
            let (client, mut connection) = scene.ask(false);
            connection.wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{");
            leave(client, connection)
        },
        ..LEFT
    },
    Case {
        name: "within a stream",
        act: |scene| {
            let (client, connection) = scene.begun();
            leave(client, connection)
        },
        ..LEFT
    },
    Case {
        name: "within a stream without length or chunks",
        act: |scene| {
            let (client, connection) = scene.begun_without_framing();
            leave(client, connection)
        },
        ..LEFT
    },
    Case {
        name: "by a reset",
        act: |scene| {
            let (client, mut connection) = scene.begun();
            client.wire.reset();
            connection.wire.wait_closed();
            Seen::Left
        },
        ..LEFT
    },
    Case {
        name: "within a native stream",
        setup: native,
        act: |scene| {
            let (client, connection) = begun_native(scene);
            leave(client, connection)
        },
        ..LEFT
    },
];

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

#[test]
fn a_provider_that_is_left_alone_is_not_blamed_again() {
    let upstream = Upstream::start();
    let setup = Setup::asking(&upstream)
        .json_log()
        .variable("CCPROXY_API_KEY", CLIENT_KEY)
        .variable("CCPROXY_BREAKER_PAUSE", "600");
    let scene = Scene { upstream, proxy: setup.start() };
    // Streams that break off are failures as any other.
    for _ in 0..5 {
        let (client, connection) = scene.begun();
        connection.wire.close();
        assert!(matches!(streamed(client), Seen::Event));
    }
    // The books of the last one are closed after its last byte.
    scene.proxy.wait_for_lines("\"error_type\":\"cut\"", 5);
    assert_eq!(scene.metric("ccproxy_provider_circuit_open", ""), 1.0);
    assert_eq!(scene.status()["status"], "degraded");
    let body = message("hello", true);
    let answer = Client::fetch(&scene.proxy, "POST", "/v1/messages", &Scene::headers(), &body);
    let Seen::Error(status) = seen(&answer) else { panic!("{}", answer.text()) };
    let line = scene.proxy.record(answer.header("request-id").expect("an id"));
    assert_eq!(line["status"], status, "{line}");
    assert_eq!((&line["error_type"], &line["level"]), (&json!("breaker_open"), &json!("warn")));
    assert_eq!(scene.metric("ccproxy_requests_total", "status=\"error\""), 6.0);
    assert_eq!(scene.metric("ccproxy_upstream_errors_total", ""), 5.0);
    assert_eq!(scene.metric("ccproxy_upstream_errors_total", "error_type=\"cut\""), 5.0);
    assert_eq!(scene.metric("ccproxy_provider_consecutive_failures", ""), 5.0);
}

#[test]
fn a_fallback_is_one_message_and_one_line() {
    let (first, second) = (Upstream::start(), Upstream::start());
    let provider = |name: &str, at: &Upstream| json!({ "name": name, "type": "custom", "api_key": "k", "base_url": at.base_url(), "model": "m" });
    let file = json!({ "providers": [provider("first", &first), provider("second", &second)] });
    let setup = Setup::file(file).json_log().variable("CCPROXY_API_KEY", CLIENT_KEY);
    let scene = Scene { upstream: first, proxy: setup.start() };
    let (mut client, mut connection) = scene.ask(false);
    connection.answer("500 Internal Server Error", &[("Connection", "close")], "");
    let mut connection = second.accept();
    connection.request();
    connection.answer("200 OK", &[("x-request-id", "their-id-7")], &completion());
    let answer = client.answer();
    assert!(matches!(seen(&answer), Seen::Message));
    let line = scene.proxy.record(answer.header("request-id").expect("an id"));
    for (field, value) in [
        ("level", json!("warn")),
        ("status", json!(200)),
        ("provider", json!("second")),
        ("model", json!("m")),
        ("model_asked", json!("claude-sonnet-5-5")),
        ("tried", json!(["first 500"])),
        ("upstream_status", json!(200)),
        ("upstream_request_id", json!("their-id-7")),
        ("stream", json!(false)),
        ("input_tokens", json!(234)),
        ("cache_read_tokens", json!(1000)),
        ("output_tokens", json!(7)),
        ("stop_reason", json!("end_turn")),
        ("client", json!("key 1")),
        ("address", json!("127.0.0.1")),
        ("error_type", Value::Null),
    ] {
        assert_eq!(line[field], value, "{field}: {line}");
    }
    let time = |field: &str| line[field].as_u64().unwrap_or_else(|| panic!("{field}: {line}"));
    assert!(time("own_ms") <= time("duration_ms"), "{line}");
    assert!(time("first_byte_ms") <= time("duration_ms"), "{line}");
    assert_eq!(scene.metric("ccproxy_requests_total", ""), 1.0);
    assert_eq!(
        scene.metric("ccproxy_requests_total", "provider=\"second\",status=\"success\""),
        1.0
    );
    assert_eq!(scene.metric("ccproxy_provider_consecutive_failures", "provider=\"first\""), 1.0);
    assert_eq!(scene.metric("ccproxy_provider_consecutive_failures", "provider=\"second\""), 0.0);
    let log = scene.proxy.log();
    assert_eq!(log.matches("\"request_id\"").count(), 1, "{log}");
}

fn completion() -> String {
    let message = json!({ "role": "assistant", "content": "hello" });
    let details = json!({ "cached_tokens": 1000 });
    json!({
        "id": "1", "object": "chat.completion", "created": 0, "model": "m",
        "choices": [{ "index": 0, "message": message, "finish_reason": "stop" }],
        "usage": {
            "prompt_tokens": 1234, "completion_tokens": 7, "prompt_tokens_details": details,
        },
    })
    .to_string()
}

#[test]
fn what_there_is_no_room_for_is_turned_away_and_booked_so() {
    let upstream = Upstream::start();
    let setup = Setup::asking(&upstream).json_log().variable("CCPROXY_API_KEY", CLIENT_KEY);
    let setup = setup.variable("CCPROXY_MAX_IN_FLIGHT", "1").variable("CCPROXY_RATE_LIMIT", "3");
    let mut scene = Scene { upstream, proxy: setup.start() };
    let body = message("hello", false);
    let turned_away = |scene: &Scene, client: &mut Client, reason: &str, level: &str| {
        let answer = client.ask("POST", "/v1/messages", &Scene::headers(), &body);
        let Seen::Error(status) = seen(&answer) else { panic!("{}", answer.text()) };
        let line = scene.proxy.record(answer.header("request-id").expect("an id"));
        assert_eq!(
            (&line["error_type"], &line["level"]),
            (&json!(reason), &json!(level)),
            "{line}"
        );
        assert_eq!(line["status"], status, "{line}");
        let label = format!("reason=\"{reason}\"");
        assert_eq!(scene.metric("ccproxy_refused_total", &label), 1.0);
        assert_eq!(scene.metric("ccproxy_requests_shed_total", &label), 1.0);
    };
    let (client, mut connection) = scene.begun();
    let mut other = Client::connect(&scene.proxy);
    turned_away(&scene, &mut other, "in_flight", "warn");
    // The third of its minute, while the server ends; the fourth is one too many.
    scene.proxy.signal(libc::SIGTERM);
    scene.proxy.wait_until("draining", |answer| answer.status == 503);
    turned_away(&scene, &mut other, "draining", "info");
    let mut another = Client::connect(&scene.proxy);
    turned_away(&scene, &mut another, "rate_limit", "info");
    assert_eq!(scene.metric("ccproxy_requests_total", ""), 0.0);
    assert_eq!(scene.metric("ccproxy_refused_total", ""), 3.0);
    connection.finish();
    assert!(matches!(streamed(client), Seen::Message));
    assert_eq!(scene.proxy.exit(), Some(0));
}

#[test]
fn an_older_success_overrules_no_newer_refusal() {
    let upstream = Upstream::start();
    let setup = Setup::asking(&upstream).json_log().variable("CCPROXY_API_KEY", CLIENT_KEY);
    let scene = Scene { upstream, proxy: setup.start() };
    let (client, mut older) = scene.begun();
    scene.answered(false, "429 Too Many Requests", &[("Retry-After", "60")], "{}");
    assert_eq!(scene.metric("ccproxy_provider_resting_keys", ""), 1.0);
    older.finish();
    assert!(matches!(streamed(client), Seen::Message));
    assert_eq!(scene.metric("ccproxy_provider_resting_keys", ""), 1.0);
}

#[test]
fn the_watchdogs_own_questions_are_not_counted() {
    let proxy = Setup::echo().start();
    let scene = Scene { upstream: Upstream::start(), proxy };
    // It has asked once it tells how long that took.
    let took = |scene: &Scene| {
        let text = Client::fetch(&scene.proxy, "GET", "/metrics", &[], b"").text();
        let sample = "ccproxy_self_probe_duration_seconds ";
        text.lines().find_map(|line| line.strip_prefix(sample)?.parse::<f64>().ok())
    };
    scene.proxy.wait_for_line("listening on");
    let deadline = std::time::Instant::now() + crate::support::PATIENCE;
    while took(&scene) == Some(0.0) {
        assert!(std::time::Instant::now() < deadline, "the watchdog never asks");
        std::thread::yield_now();
    }
    assert_eq!(scene.metric("ccproxy_health_requests_total", "path=\"/health\""), 0.0);
    Client::fetch(&scene.proxy, "GET", "/health", &[], b"");
    Client::fetch(&scene.proxy, "GET", "/readyz/nothing", &[], b"");
    let counted = |label: &str| scene.metric("ccproxy_health_requests_total", label);
    assert_eq!(counted("path=\"/health\",code=\"200\""), 1.0);
    assert_eq!(counted("path=\"/readyz\",code=\"404\""), 1.0);
    assert_eq!(counted("code=\"503\""), 0.0);
}

#[test]
fn limits_stand_beside_what_is_in_use() {
    let proxy = Setup::echo().variable("CCPROXY_MAX_IN_FLIGHT", "7").start();
    let text = Client::fetch(&proxy, "GET", "/metrics", &[], b"").text();
    let value = |name: &str| -> f64 {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("{name} is exposed")).parse().expect("a number")
    };
    assert_eq!(value("ccproxy_in_flight_limit"), 7.0);
    assert_eq!(value("http_server_active_requests"), 0.0);
    assert!(value("ccproxy_connections") <= value("ccproxy_connections_limit"));
    assert!(value("ccproxy_body_memory_bytes") <= value("ccproxy_body_memory_limit_bytes"));
    for old in ["gen_ai_client_operation_duration", "gen_ai_client_token_usage"] {
        assert!(!text.contains(old), "{old} has been replaced");
    }
}
