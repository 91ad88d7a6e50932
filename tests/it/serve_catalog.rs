//! What a provider serves, by its own list: told where it refuses a model, and where clients ask
//! for the models. Also the tokens that it is asked with, and efforts that it teaches.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::proxy::Setup;
use crate::support::upstream::{Connection, Upstream};

/// Answers the question for the list, on a connection of its own.
fn list(upstream: &Upstream, models: &Value) {
    let mut connection = upstream.accept();
    let head = connection.wire.head();
    assert_eq!(head.start, "GET /v1/models HTTP/1.1");
    assert!(head.header("authorization").is_some(), "the list is asked for with the key");
    connection.answer("200 OK", &[("Connection", "close")], &json!({ "data": models }).to_string());
}

fn gone(connection: &mut Connection, said: &str) {
    let error = json!({ "error": { "message": said, "code": "model_not_found" } });
    connection.answer("404 Not Found", &[], &error.to_string());
}

#[test]
fn a_model_that_is_gone_is_answered_with_what_is_served() {
    let upstream = Upstream::start();
    let proxy = Setup::at("")
        .variable("PROVIDER", "groq")
        .variable("GROQ_API_KEY", "gsk_hidden")
        .variable("GROQ_MODEL", "moonshotai/kimi-k2-instruct")
        .variable("GROQ_BASE_URL", &upstream.base_url())
        .start();
    let models: Vec<Value> =
        ["whisper-large", "openai/gpt-oss-20b", "moonshotai/kimi-k3", "qwen/qwen3.8-27b"]
            .iter()
            .map(|id| json!({ "id": id }))
            .collect();
    let said = "The model `moonshotai/kimi-k2-instruct` has been decommissioned";
    let mut client = Client::connect(&proxy);
    client.send_whole("hello");
    let mut connection = upstream.accept();
    connection.request();
    gone(&mut connection, said);
    list(&upstream, &json!(models));
    let told = client.answer().error(500, "api_error");
    assert!(told.contains("; it serves moonshotai/kimi-k3, "), "{told}");
    assert!(told.contains("set GROQ_MODEL, for instance moonshotai/kimi-k3"), "{told}");
    proxy.wait_for_line("it serves moonshotai/kimi-k3");
    assert!(proxy.status().to_string().contains("it serves moonshotai/kimi-k3"));

    // The list is asked for once.
    let mut client = Client::connect(&proxy);
    client.send_whole("hello");
    let mut connection = upstream.accept();
    connection.request();
    gone(&mut connection, said);
    assert!(client.answer().error(500, "api_error").contains("it serves moonshotai/kimi-k3"));
    upstream.assert_nobody_waits();
}

#[test]
fn a_name_of_the_client_is_its_own_404_with_the_nearest_first() {
    let upstream = Upstream::start();
    let proxy = Setup::asking(&upstream).start();
    let body = json!({ "model": "qwen3:8b", "max_tokens": 9, "messages": [{ "role": "user", "content": "hi" }] });
    let mut client = Client::connect(&proxy);
    let headers = &[("content-type", "application/json")];
    client.send("POST", "/v1/messages", headers, body.to_string().as_bytes());
    let mut connection = upstream.accept();
    connection.request();
    gone(&mut connection, "model 'qwen3:8b' not found");
    list(&upstream, &json!([{ "id": "llama3.2" }, { "id": "qwen3:4b" }]));
    let told = client.answer().error(404, "not_found_error");
    assert!(told.ends_with("; it serves qwen3:4b, llama3.2"), "{told}");
}

#[test]
fn a_list_that_does_not_come_changes_nothing_else() {
    let upstream = Upstream::start();
    let proxy = Setup::asking(&upstream).start();
    let mut client = Client::connect(&proxy);
    client.send_whole("hello");
    let mut connection = upstream.accept();
    connection.request();
    gone(&mut connection, "The model `test-model` does not exist");
    let mut listing = upstream.accept();
    listing.wire.head();
    listing.answer("500 Internal Server Error", &[], "{}");
    let told = client.answer().error(500, "api_error");
    assert!(told.contains("does not know the model test-model; set CUSTOM_MODEL"), "{told}");
    assert!(!told.contains("it serves"), "{told}");
}

#[test]
fn models_are_listed_with_what_they_take_and_write() {
    let upstream = Upstream::start();
    let proxy = Setup::asking(&upstream).start();
    let mut client = Client::connect(&proxy);
    client.send("GET", "/v1/models", &[], b"");
    list(
        &upstream,
        &json!([{ "id": "test-model", "max_model_len": 32768, "max_output_tokens": 4096 }]),
    );
    let models = client.answer().json();
    for model in models["data"].as_array().expect("a list") {
        assert_eq!(model["max_input_tokens"], 32768, "{model}");
        assert_eq!(model["max_tokens"], 4096, "{model}");
    }
    // What the row knows is asked of nobody.
    let proxy =
        Setup::at("").variable("PROVIDER", "groq").variable("GROQ_API_KEY", "gsk_k").start();
    let models = Client::fetch(&proxy, "GET", "/v1/models", &[], b"").json();
    assert_eq!(models["data"][0]["max_input_tokens"], 131_072);
    assert_eq!(models["data"][0]["max_tokens"], 65_536);
}

#[test]
fn a_token_is_read_from_its_file_for_every_message_and_again_when_it_is_refused() {
    let upstream = Upstream::start();
    let path =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("token-{}", std::process::id()));
    fs::write(&path, "ya29.the-first-token").expect("it can be written");
    let proxy = Setup::at("")
        .variable("PROVIDER", "vertex")
        .variable("VERTEX_BASE_URL", &upstream.base_url())
        .variable("VERTEX_TOKEN_FILE", &path.to_string_lossy())
        .start();
    let mut client = Client::connect(&proxy);
    client.send_whole("hello");
    let mut connection = upstream.accept();
    let request = connection.request();
    assert_eq!(request.head.header("authorization"), Some("Bearer ya29.the-first-token"));
    fs::write(&path, "ya29.the-second-token").expect("it can be written");
    let said = "the token ya29.the-first-token has expired";
    connection.answer(
        "401 Unauthorized",
        &[],
        &json!({ "error": { "message": said } }).to_string(),
    );
    let request = connection.request();
    assert_eq!(request.head.header("authorization"), Some("Bearer ya29.the-second-token"));
    connection.answer(
        "401 Unauthorized",
        &[],
        r#"{"error":{"message":"ya29.the-second-token is bad"}}"#,
    );
    // The same token a second time is nothing new.
    let told = client.answer().error(502, "api_error");
    assert!(told.contains("VERTEX_TOKEN_FILE") && !told.contains("second-token"), "{told}");
    assert!(!proxy.log().contains("the-first-token"), "{}", proxy.log());

    fs::remove_file(&path).expect("it can be removed");
    let told = Client::fetch_message(&proxy, "hello").error(502, "api_error");
    assert!(told.contains("there is no token for vertex: VERTEX_TOKEN_FILE: "), "{told}");
    upstream.assert_nobody_waits();
}

#[test]
fn a_token_command_is_run_without_a_shell_and_never_from_a_dotenv() {
    let vertex = || {
        Setup::at("")
            .variable("PROVIDER", "vertex")
            .variable("VERTEX_BASE_URL", "http://localhost:1/v1")
    };
    let refused = vertex().variable("VERTEX_TOKEN_COMMAND", "echo $HOME").run();
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("VERTEX_TOKEN_COMMAND: $ needs a shell"), "{}", refused.stderr);
    let refused = vertex().dotenv("VERTEX_TOKEN_COMMAND=echo token\n").run();
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("a .env names no program"), "{}", refused.stderr);

    let upstream = Upstream::start();
    let proxy = vertex()
        .variable("VERTEX_BASE_URL", &upstream.base_url())
        .variable("VERTEX_TOKEN_COMMAND", "echo a-token-of-a-program")
        .variable("VERTEX_AUTH", "api-key")
        .start();
    let mut client = Client::connect(&proxy);
    client.send_whole("hello");
    let mut connection = upstream.accept();
    let request = connection.request();
    assert_eq!(request.head.header("api-key"), Some("a-token-of-a-program"));
    assert_eq!(request.head.header("authorization"), None);
    connection.complete("hi");
    assert_eq!(client.answer().message(), "hi");
}

#[test]
fn a_row_without_words_learns_those_for_an_effort_from_the_refusal() {
    let upstream = Upstream::start();
    let proxy = Setup::asking(&upstream).start();
    let body = json!({
        "model": "claude-opus-5-5", "max_tokens": 9, "output_config": { "effort": "max" },
        "messages": [{ "role": "user", "content": "hi" }],
    });
    let headers = &[("content-type", "application/json")];
    let send = |client: &mut Client| {
        client.send("POST", "/v1/messages", headers, body.to_string().as_bytes());
    };
    let mut client = Client::connect(&proxy);
    send(&mut client);
    let mut connection = upstream.accept();
    assert_eq!(connection.request().body["reasoning_effort"], "high");
    let said = "reasoning_effort must be one of 'low', 'max'";
    connection.answer("400 Bad Request", &[], &json!({ "error": { "message": said } }).to_string());
    assert_eq!(connection.request().body["reasoning_effort"], "max");
    connection.complete("thought");
    assert_eq!(client.answer().message(), "thought");
    send(&mut client);
    assert_eq!(connection.request().body["reasoning_effort"], "max", "it is remembered");
    connection.complete("thought");
    client.answer();
}
