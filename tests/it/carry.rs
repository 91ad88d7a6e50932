//! Answers → the next request: what a client sends back gives the upstream what it had sent.

use ccproxy::openai::Dialect;
use ccproxy::relay::BodyForm;
use serde_json::{Value, json};

use crate::golden::{Case, Kind};
use crate::relay::whole;
use crate::request;

const CARRY: [(Dialect, Kind); 2] = [
    (Dialect::ChatCompletions, Kind { dir: "carry", input: ".upstream.sse", output: ".next.json" }),
    (
        Dialect::Responses,
        Kind { dir: "responses/carry", input: ".upstream.sse", output: ".next.json" },
    ),
];

/// The body of the request that follows a message: the message as it is, and a result of each call.
fn next(message: &Value, dialect: Dialect) -> Vec<u8> {
    let blocks = message["content"].as_array().expect("blocks");
    let calls = blocks.iter().filter(|block| block["type"] == "tool_use");
    let result =
        |call: &Value| json!({"type": "tool_result", "tool_use_id": call["id"], "content": "Sun."});
    let model = match dialect {
        Dialect::ChatCompletions => "claude-opus-5-5",
        // One that reasons.
        Dialect::Responses => "gpt-5",
    };
    let request = json!({
        "model": model,
        "max_tokens": 100,
        "messages": [
            {"role": "user", "content": "The weather?"},
            {"role": "assistant", "content": blocks},
            {"role": "user", "content": calls.map(result).collect::<Vec<Value>>()},
        ],
    });
    serde_json::to_vec(&request).expect("JSON")
}

#[test]
fn what_the_client_carries_goes_back() {
    for (dialect, kind) in CARRY {
        kind.check(|case| {
            let message = whole(dialect, BodyForm::Events, &[&case.input], Ok(0));
            let message = message.expect("a message");
            let case = Case { name: case.name.clone(), input: next(&message, dialect) };
            let shown = request::show(&case, request::providers(&case)[0], dialect);
            vec![(case.name, shown)]
        });
    }
}
