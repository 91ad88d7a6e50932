//! Whatever nests, from either side: a refusal, or an answer, but never the end of the process. A stack
//! that overflows cannot be caught, so every shape is tried on as little of it as a worker has.

use std::thread;

use ccproxy::anthropic;
use ccproxy::error::Retry;
use ccproxy::openai::Dialect;
use ccproxy::provider::PROVIDERS;
use ccproxy::tokens::estimate;
use ccproxy::translate::native::{self, Native};
use ccproxy::translate::{self, Context, Learned, Said, native_request, upstream_error};

use crate::grammar;
use crate::stream::translate as answer;
use crate::support::client::{Client, JSON, message};
use crate::support::proxy::Setup;
use crate::support::target::target;

/// What a worker has.
const STACK_BYTES: usize = 256 << 10;

/// So deep that the stack is too small for it if a level takes 88 bytes. In a build for tests none takes less
/// than 144, by what the functions that call themselves, or each other, reserve.
const FAR: usize = 3000;

/// Below, at and above what serde_json takes, and far beyond.
const DEPTHS: &[usize] = &[1, 3, 33, 60, 64, 120, 128, 129, 400, FAR];

/// `inner` within `depth` times `before` and `after`.
fn nested(before: &str, inner: &str, after: &str, depth: usize) -> String {
    [&before.repeat(depth), inner, &after.repeat(depth)].concat()
}

fn on_a_small_stack(test: impl FnOnce() + Send + 'static) {
    let thread = thread::Builder::new().stack_size(STACK_BYTES).spawn(test);
    thread.expect("a thread").join().expect("it holds");
}

/// A name, what opens a level, what stands innermost, and what closes a level.
type Shape = (&'static str, &'static str, &'static str, &'static str);

/// Blocks in each other, in every way that the API has or that could be tried.
const BLOCKS: &[Shape] = &[
    (
        "documents",
        r#"{"type":"document","source":{"type":"content","content":["#,
        r#"{"type":"text","text":"x"}"#,
        "]}}",
    ),
    (
        "image sources",
        r#"{"type":"image","source":{"type":"base64","media_type":"a","data":"b","content":["#,
        r#"{"type":"text","text":"x"}"#,
        "]}}",
    ),
    (
        "tool results",
        r#"{"type":"tool_result","tool_use_id":"a","content":["#,
        r#"{"type":"text","text":"x"}"#,
        "]}",
    ),
    ("odd blocks", r#"{"type":"odd","content":["#, r#"{"type":"text","text":"x"}"#, "]}"),
    (
        "search results",
        r#"{"type":"search_result","source":"s","content":["#,
        r#"{"type":"text","text":"x"}"#,
        "]}",
    ),
    ("arrays", "[", "", "]"),
    ("sources", r#"{"type":"image","source":"#, "{}", "}"),
    ("contents", r#"{"type":"odd","content":"#, "{}", "}"),
    ("inputs", r#"{"type":"tool_use","id":"a","name":"b","input":"#, "{}", "}"),
];

/// Any JSON: schemas and arguments.
const VALUES: &[Shape] = &[
    ("arrays", "[", "", "]"),
    ("objects", r#"{"a":"#, "1", "}"),
    ("properties", r#"{"type":"object","properties":{"a":"#, "{}", "}}"),
    ("allOf", r#"{"allOf":["#, "{}", "]}"),
    ("anyOf", r#"{"anyOf":["#, "{}", "]}"),
    ("items", r#"{"type":"array","items":"#, "{}", "}"),
    ("references", r##"{"$ref":"#/properties/a","properties":{"a":"##, "{}", "}}"),
    ("not", r#"{"not":"#, "true", "}"),
];

/// Requests with something nested at every place that holds anything.
fn requests(depth: usize) -> Vec<(String, String)> {
    let mut requests = Vec::new();
    let message = |content: &str| {
        format!(
            r#"{{"model":"m","max_tokens":9,"messages":[{{"role":"user","content":{content}}}]}}"#
        )
    };
    for (name, before, inner, after) in BLOCKS {
        let blocks = nested(before, inner, after, depth);
        requests.push((format!("{name} in a message"), message(&format!("[{blocks}]"))));
        let result =
            format!(r#"[{{"type":"tool_result","tool_use_id":"a","content":[{blocks}]}}]"#);
        requests.push((format!("{name} in a result"), message(&result)));
        let with = message("\"hi\"")
            .replace("\"max_tokens\"", &format!("\"system\":[{blocks}],\"max_tokens\""));
        requests.push((format!("{name} in the system prompt"), with));
    }
    for (name, before, inner, after) in VALUES {
        let value = nested(before, inner, after, depth);
        for (place, member) in [
            ("a tool", format!(r#""tools":[{{"name":"a","input_schema":{value}}}]"#)),
            ("the format", format!(r#""output_config":{{"format":{{"schema":{value}}}}}"#)),
            ("the tools", format!(r#""tools":{value}"#)),
            ("metadata", format!(r#""metadata":{value}"#)),
            ("the thread", format!(r#""thread":{value}"#)),
            ("stop_sequences", format!(r#""stop_sequences":{value}"#)),
            ("an unknown field", format!(r#""odd":{value}"#)),
        ] {
            let body =
                message("\"hi\"").replace("\"max_tokens\"", &format!("{member},\"max_tokens\""));
            requests.push((format!("{name} in {place}"), body));
        }
        let call = format!(r#"[{{"type":"tool_use","id":"a","name":"b","input":{value}}}]"#);
        requests.push((format!("{name} as arguments"), message(&call)));
        let details = serde_json::to_string(&format!("ccproxy1:reasoning_details:[{value}]"));
        let details = details.expect("a string serializes");
        let thought = format!(
            r#"[{{"type":"thinking","thinking":"t","signature":{details}}},{{"type":"text","text":"x"}}]"#
        );
        requests.push((
            format!("{name} in a signature"),
            message(&thought).replace("user", "assistant"),
        ));
    }
    requests
}

#[test]
fn requests_of_any_depth_are_read_on_a_workers_stack() {
    on_a_small_stack(|| {
        for depth in DEPTHS {
            for (what, body) in requests(*depth) {
                let parsed = anthropic::parse(body.as_bytes());
                // What is not looked at is not measured.
                let is_ignored = ["metadata", "unknown", "signature", "thread", "contents"]
                    .iter()
                    .any(|place| what.contains(place));
                assert!(*depth < 1000 || parsed.is_err() || is_ignored, "{what} at {depth}");
                let Ok(request) = parsed else { continue };
                estimate(&request);
                for name in ["deepseek", "anthropic"] {
                    let row = ccproxy::provider::Provider::find(name).expect("a row");
                    let made = native_request(body.as_bytes(), &request, row, "m", None, None);
                    assert!(made.is_ok() || what.contains("thread"), "{what} for {name}");
                }
                for provider in PROVIDERS {
                    let learned = Learned::default();
                    for api in [Dialect::ChatCompletions, Dialect::Responses] {
                        let target = target(provider, api, &learned);
                        if let Ok(made) = translate::translate(&request, &target) {
                            made.wanted.encode(body.as_bytes()).expect("it is waited for");
                        }
                    }
                }
            }
        }
    });
}

/// What a provider could nest: each with `{}` where the nested value stands.
const CHUNKS: &[&str] = &[
    "{}",
    r#"{"choices":{}}"#,
    r#"{"choices":[{}]}"#,
    r#"{"choices":[{"delta":{}}]}"#,
    r#"{"choices":[{"delta":{"content":{}}}]}"#,
    r#"{"choices":[{"delta":{"content":[{}]}}]}"#,
    r#"{"choices":[{"delta":{"reasoning_details":{}}}]}"#,
    r#"{"choices":[{"delta":{"reasoning_details":[{}]}}]}"#,
    r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"a","arguments":{}}}]},"finish_reason":"stop"}]}"#,
    r#"{"choices":[{"delta":{"tool_calls":[{}]}}]}"#,
    r#"{"choices":[{"message":{"tool_calls":[{"extra_content":{}}]}}]}"#,
    r#"{"usage":{}}"#,
    r#"{"x_groq":{}}"#,
    r#"{"error":{}}"#,
    r#"{"error":{"message":{}}}"#,
    r#"{"type":"response.output_item.done","item":{}}"#,
    r#"{"type":"response.output_item.done","item":{"type":"message","content":{}}}"#,
    r#"{"type":"response.output_item.done","item":{"type":"message","content":[{}]}}"#,
    r#"{"type":"response.output_item.done","item":{"type":"function_call","name":"a","arguments":{}}}"#,
    r#"{"type":"response.completed","response":{}}"#,
    r#"{"type":"response.completed","response":{"output":{}}}"#,
    r#"{"type":"response.failed","response":{"error":{}}}"#,
    r#"{"type":"error","message":{}}"#,
    r#"{"status":"completed","output":[{}]}"#,
];

const PARTS: &[Shape] = &[
    ("arrays", "[", "", "]"),
    ("objects", r#"{"a":"#, "1", "}"),
    ("errors", r#"{"error":"#, "1", "}"),
    ("details", r#"{"detail":["#, "1", "]}"),
    ("thoughts", r#"[{"thinking":"#, "\"x\"", "}]"),
    ("contents", r#"{"content":["#, "1", "]}"),
    ("choices", r#"{"choices":["#, "1", "]}"),
];

#[test]
fn answers_of_any_depth_are_read_on_a_workers_stack() {
    on_a_small_stack(|| {
        for depth in DEPTHS {
            for (name, before, inner, after) in PARTS {
                let value = nested(before, inner, after, *depth);
                for chunk in CHUNKS {
                    let json = chunk.replace("{}", &value);
                    for dialect in [Dialect::ChatCompletions, Dialect::Responses] {
                        let events = ["", "event: error\n"];
                        for event in &events[..if *chunk == "{}" { 2 } else { 1 }] {
                            let stream = format!("{event}data: {json}\n\ndata: [DONE]\n\n");
                            let (out, _) = answer(dialect, [stream.as_bytes()]);
                            let checked = grammar::check(&out);
                            assert_eq!(checked, Ok(()), "{name} {depth} deep in {chunk}");
                        }
                    }
                    let context = Context { model: "p", input_estimate: 1 };
                    // As much of it as is read.
                    let read = &json.as_bytes()[..json.len().min(64 << 10)];
                    upstream_error(400, &Said::read(read), Retry::default(), context);
                    native::whole(json.clone().into_bytes(), "m").ok();
                    for event in ["message_start", "message_delta", "error", "odd"] {
                        let frame = format!("event: {event}\ndata: {json}\n\n");
                        let mut out = Vec::new();
                        Native::new("m".to_owned()).feed(frame.as_bytes(), &mut out).ok();
                    }
                }
            }
        }
    });
}

#[test]
fn no_depth_ends_the_process_from_either_side() {
    let proxy = Setup::echo().start();
    // The program's own levels are those of another build, so this is far beyond.
    for depth in [64, 73, 120, 10_000] {
        for (what, body) in requests(depth) {
            for path in ["/v1/messages", "/v1/messages/count_tokens"] {
                let answer = Client::fetch(&proxy, "POST", path, JSON, body.as_bytes());
                assert!(matches!(answer.status, 200 | 400), "{what}: {}", answer.text());
            }
        }
    }
    let answer = Client::fetch(&proxy, "POST", "/v1/messages", JSON, &message("hi", false));
    assert_eq!(answer.status, 200);
}
