//! Every way a message can end, and what the books must say of it.

use serde_json::json;

use super::{Booked, CLIENT_KEY, Case, Scene, Seen, leave, seen, streamed};
use crate::support::client::{Client, JSON, message};
use crate::support::proxy::Setup;
use crate::support::upstream::{Connection, Refusing};

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
pub(super) const CASES: &[Case] = &[
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
