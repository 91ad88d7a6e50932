//! A provider that refuses the search of the web itself: the message goes on without, and the client
//! is told that there was none, and why.

use serde_json::{Value, json};

use crate::serve_search::{beside_read, folded, search};
use crate::support::client::{Client, JSON};
use crate::support::proxy::Setup;
use crate::support::upstream::Upstream;

/// How each asks for a search, and refuses it: its path, a field that asks, status and words, and
/// the code for it.
fn refusals() -> Vec<(&'static str, &'static str, &'static str, &'static str, Value, &'static str)>
{
    let chat = "/v1/chat/completions";
    vec![
        (
            "openai",
            "/v1/responses",
            "tools",
            "400 Bad Request",
            json!({ "error": { "type": "invalid_request_error", "param": "tools",
                "message": "Hosted tool 'web_search' is not supported with this model." } }),
            "unavailable",
        ),
        (
            "xai",
            "/v1/responses",
            "tools",
            "429 Too Many Requests",
            json!({ "error": "You have exceeded the web_search quota of your team." }),
            "too_many_requests",
        ),
        (
            "openrouter",
            chat,
            "plugins",
            "402 Payment Required",
            json!({ "error": { "code": 402, "message": "Insufficient credits for the web plugin" } }),
            "unavailable",
        ),
        (
            "groq",
            chat,
            "compound_custom",
            "404 Not Found",
            json!({ "error": { "code": "model_not_found",
                "message": "The model `groq/compound` does not exist or you do not have access to it." } }),
            "unavailable",
        ),
        (
            "vertex",
            chat,
            "web_search_options",
            "400 Bad Request",
            json!([{ "error": { "code": 400, "status": "INVALID_ARGUMENT",
                "message": "Invalid JSON payload received. Unknown name \"web_search_options\": Cannot find field." } }]),
            "unavailable",
        ),
        (
            "zai",
            chat,
            "tools",
            "400 Bad Request",
            json!({ "error": { "code": "1210", "message": "search_domain_filter is an invalid domain" } }),
            "invalid_input",
        ),
    ]
}

#[test]
fn the_message_goes_on_without_a_search_that_is_refused() {
    for (row, path, field, status, refusal, code) in refusals() {
        for stream in [false, true] {
            let upstream = Upstream::start();
            let proxy = Setup::of(row, "m", &upstream).start();
            let mut client = Client::connect(&proxy);
            client.send("POST", "/v1/messages", JSON, &search(stream));
            let mut connection = upstream.accept();
            let asked = connection.request_at(path).body;
            assert!(asked.get(field).is_some(), "{row}: {asked}");
            connection.answer(status, &[], &refusal.to_string());
            let request = connection.request();
            assert_eq!(request.body["model"], "m", "{row}");
            for gone in [field, "plugins", "web_search_options", "tools", "search_settings"] {
                assert!(request.body.get(gone).is_none(), "{row}: {gone}: {}", request.body);
            }
            assert!(request.body.to_string().contains("searches the web is not available"));
            connection.complete("What I know.");
            let message = if stream {
                client.begin();
                folded(&client.events())
            } else {
                let answer = client.answer();
                assert_eq!(answer.header("x-ccproxy-dropped"), Some("server_tools"), "{row}");
                answer.json()
            };
            let content = message["content"].as_array().expect("content");
            assert_eq!(content[0]["type"], "server_tool_use", "{row}: {message}");
            let error = json!({ "type": "web_search_tool_result_error", "error_code": code });
            assert_eq!(content[1]["content"], error, "{row}: {message}");
            assert_eq!(content[2]["text"], "What I know.", "{row}: {message}");
            assert!(message["usage"]["output_tokens"].as_u64() > Some(0), "it was paid: {message}");
            // It is the search that was refused: nothing rests, and nobody is to be blamed.
            let counted = |cause: &str| {
                let labels = format!("{{provider=\"{row}\",error_type=\"{cause}\"}}");
                proxy.metric(&format!("ccproxy_upstream_errors_total{labels}"))
            };
            assert_eq!(counted("search_refused"), Some(1.0), "{row}");
            assert_eq!(counted("rate_limit").unwrap_or_default(), 0.0, "{row}");
        }
    }
}

/// A second place that searches is asked before anybody does without.
#[test]
fn another_place_searches_where_the_first_refuses_to() {
    let (first, second) = (Upstream::start(), Upstream::start());
    let proxy = Setup::file(json!({ "providers": [
        { "name": "vertex", "base_url": first.base_url(), "model": "google/g", "api_key": "k" },
        { "name": "openrouter", "base_url": second.base_url(), "model": "z-ai/glm-5.3", "api_key": "k" },
    ] }))
    .start();
    let mut client = Client::connect(&proxy);
    client.send("POST", "/v1/messages", JSON, &search(false));
    let mut connection = first.accept();
    connection.request();
    let refusal =
        json!({ "error": { "code": 400, "message": "web_search_options is not supported" } });
    connection.answer("400 Bad Request", &[], &refusal.to_string());
    let mut connection = second.accept();
    assert_eq!(connection.request().body["plugins"][0]["id"], "web");
    connection.complete("See [A](https://a.example/).");
    let message = client.answer().json();
    assert_eq!(message["content"][1]["content"][0]["url"], "https://a.example/", "{message}");
}

/// A search that has used up its own quota is no reason to rest a key.
#[test]
fn a_key_does_not_rest_for_its_searches() {
    let upstream = Upstream::start();
    let proxy = Setup::of("vertex", "google/g", &upstream).start();
    let mut client = Client::connect(&proxy);
    client.send("POST", "/v1/messages", JSON, &search(false));
    let mut connection = upstream.accept();
    connection.request();
    let refusal =
        json!({ "error": { "message": "Quota exceeded for Grounding with Google Search." } });
    connection.answer("429 Too Many Requests", &[("Retry-After", "3600")], &refusal.to_string());
    connection.request();
    connection.complete("What I know.");
    let message = client.answer().json();
    assert_eq!(message["content"][1]["content"]["error_code"], "too_many_requests", "{message}");
    let mut client = Client::connect(&proxy);
    client.send_whole("hello");
    connection.request();
    connection.complete("Hello.");
    assert_eq!(client.answer().message(), "Hello.");
}

/// Beside other tools the message goes on without, and nothing is said of a search that the model had
/// not begun.
#[test]
fn beside_other_tools_a_refused_search_is_left_out() {
    let upstream = Upstream::start();
    let proxy = Setup::of("openai", "gpt-6.1-sol", &upstream).start();
    let mut client = Client::connect(&proxy);
    client.send("POST", "/v1/messages", JSON, &beside_read(false));
    let mut connection = upstream.accept();
    let sent = connection.request_at("/v1/responses").body;
    assert_eq!(sent["tools"].as_array().map(Vec::len), Some(2), "{sent}");
    let refusal =
        json!({ "error": { "message": "web_search is not enabled for this organization" } });
    connection.answer("403 Forbidden", &[], &refusal.to_string());
    let sent = connection.request_at("/v1/responses").body;
    assert_eq!(sent["tools"].as_array().map(Vec::len), Some(1), "{sent}");
    let said = json!({ "type": "message", "id": "msg_1", "role": "assistant",
        "content": [{ "type": "output_text", "text": "Hello.", "annotations": [] }] });
    let answer = json!({ "id": "resp_1", "object": "response", "status": "completed",
        "output": [said], "usage": { "input_tokens": 9, "output_tokens": 3 } });
    connection.answer("200 OK", &[], &answer.to_string());
    let answer = client.answer();
    assert_eq!(answer.message(), "Hello.");
    assert_eq!(answer.header("x-ccproxy-dropped"), Some("server_tools"));
}

/// A Messages API that refuses its own search: nobody else can be asked, so that is what is said.
#[test]
fn natively_a_refused_search_is_an_error_of_the_search() {
    for stream in [false, true] {
        let upstream = Upstream::start();
        let proxy = Setup::empty()
            .variable("SERVER_HOST", "127.0.0.1")
            .variable("SERVER_PORT", "0")
            .variable("PROVIDER", "anthropic")
            .variable("ANTHROPIC_UPSTREAM_API_KEY", "k")
            .variable("ANTHROPIC_UPSTREAM_BASE_URL", &upstream.base_url())
            .start();
        let mut client = Client::connect(&proxy);
        client.send("POST", "/v1/messages", JSON, &search(stream));
        let mut connection = upstream.accept();
        connection.request_at("/v1/messages");
        let refusal = json!({ "type": "error", "error": { "type": "invalid_request_error",
            "message": "Web search is not enabled for your organization." } });
        connection.answer("400 Bad Request", &[], &refusal.to_string());
        let message = if stream {
            client.begin();
            folded(&client.events())
        } else {
            client.answer().json()
        };
        let error = json!({ "type": "web_search_tool_result_error", "error_code": "unavailable" });
        assert_eq!(message["content"][1]["content"], error, "{message}");
        let words = message["content"][2]["text"].as_str().expect("words");
        assert!(words.contains("anthropic refused to search"), "{words}");
    }
}
