//! Answers → the next request: what a client sends back gives the upstream what it had sent.

use ccproxy::relay::BodyForm;
use serde_json::{Value, json};

use crate::golden::{Case, Kind};
use crate::relay::whole;
use crate::request;

const CARRY: Kind = Kind { dir: "carry", input: ".upstream.sse", output: ".next.json" };

/// The body of the request that follows a message: the message as it is, and a result of each call.
fn next(message: &Value) -> Vec<u8> {
    let blocks = message["content"].as_array().expect("blocks");
    let calls = blocks.iter().filter(|block| block["type"] == "tool_use");
    let result =
        |call: &Value| json!({"type": "tool_result", "tool_use_id": call["id"], "content": "Sun."});
    let request = json!({
        "model": "claude-opus-5-5",
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
    CARRY.check(|case: &Case| {
        let message = whole(BodyForm::Events, &[&case.input], Ok(0)).expect("a message");
        let case = Case { name: case.name.clone(), input: next(&message) };
        vec![(case.name.clone(), request::show(&case, request::providers(&case)[0]))]
    });
}
