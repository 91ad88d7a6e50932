//! Pictures for a model that reads text only: another describes each once, and what that costs or why it
//! failed is told.

use ccproxy::provider::Provider;
use serde_json::{Value, json};

use crate::support::client::{Client, JSON};
use crate::support::proxy::{Proxy, Setup};
use crate::support::upstream::{Connection, Upstream};

const RED: &str = "iVBORw0KGgo=";

/// A proxy whose first provider reads text only, and whose others describe.
fn proxy(plain: &Upstream, eyes: &[&Upstream]) -> Proxy {
    let provider = |name: &str, upstream: &Upstream| {
        json!({ "name": name, "type": "custom", "base_url": upstream.base_url(), "model": "m",
                "api_key": "k", "images": name != "plain" })
    };
    let names = ["eyes", "others"];
    let mut providers = vec![provider("plain", plain)];
    providers.extend(names.iter().zip(eyes).map(|(name, upstream)| provider(name, upstream)));
    let places: Vec<String> = names[..eyes.len()].iter().map(|name| format!("{name}/v")).collect();
    Setup::file(json!({
        "providers": providers, "models": { "default": "plain" },
        "rules": { "images": { "describe": places } },
    }))
    .start()
}

fn picture(data: &str) -> Value {
    json!({ "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": data } })
}

/// A conversation with a picture in what the user says, or in the result of a tool.
fn asking(stream: bool, in_result: bool, data: &str) -> Vec<u8> {
    let messages = if in_result {
        json!([
            { "role": "user", "content": "read it" },
            { "role": "assistant", "content": [
                { "type": "tool_use", "id": "toolu_1", "name": "Read", "input": {} },
            ] },
            { "role": "user", "content": [
                { "type": "tool_result", "tool_use_id": "toolu_1", "content": [picture(data)] },
            ] },
        ])
    } else {
        json!([{ "role": "user", "content": [picture(data), { "type": "text", "text": "?" }] }])
    };
    json!({ "model": "claude-opus-5-5", "max_tokens": 100, "stream": stream, "messages": messages })
        .to_string()
        .into_bytes()
}

#[test]
fn a_picture_is_described_once_for_a_model_that_reads_text_only() {
    let (plain, eyes) = (Upstream::start(), Upstream::start());
    let proxy = proxy(&plain, &[&eyes]);
    for (round, (stream, in_result)) in
        [(true, false), (false, true), (true, true), (false, false)].into_iter().enumerate()
    {
        let mut client = Client::connect(&proxy);
        client.send("POST", "/v1/messages", JSON, &asking(stream, in_result, RED));
        if round == 0 {
            let mut asked = eyes.accept();
            let request = asked.request();
            assert_eq!(request.body["model"], "v");
            let content = &request.body["messages"][0]["content"];
            assert!(content.to_string().contains(RED), "{content}");
            asked.complete("A red square.");
        }
        let mut connection = plain.accept();
        let sent = connection.request().body.to_string();
        assert!(sent.contains("[image, described in words: A red square.]"), "{sent}");
        assert!(!sent.contains(RED), "{sent}");
        let named = if stream {
            connection.begin_events();
            connection.say("Red.");
            connection.finish();
            let head = client.begin();
            assert_eq!(client.finish(), "Red.");
            head.header("x-ccproxy-adjusted").map(str::to_owned)
        } else {
            connection.complete("Red.");
            let answer = client.answer();
            assert_eq!(answer.message(), "Red.");
            answer.header("x-ccproxy-adjusted").map(str::to_owned)
        };
        assert!(
            named.as_deref().is_some_and(|named| named.contains("images=described")),
            "{named:?}"
        );
    }
    eyes.assert_nobody_waits();
    // What it cost is told, and counted as the describing provider's.
    proxy.wait_for_line("eyes/v described 1 picture: 9 in 3 out");
    let metric = |name: &str| proxy.metric(&format!("ccproxy_{name}{{provider=\"eyes\"}}"));
    assert_eq!(metric("described_pictures_total"), Some(1.0));
    // Another picture is another question.
    let mut client = Client::connect(&proxy);
    client.send("POST", "/v1/messages", JSON, &asking(false, false, "R0lGODlh"));
    let mut asked = eyes.accept();
    assert!(asked.request().body.to_string().contains("R0lGODlh"));
    asked.complete("A blue one.");
    let mut connection = plain.accept();
    connection.request();
    connection.complete("Blue.");
    assert_eq!(client.answer().message(), "Blue.");
}

/// Two messages with the same new picture, the second while the first waits for its description.
fn two_with_the_same_picture(
    plain: &Upstream,
    eyes: &Upstream,
) -> (Proxy, [Client; 2], Connection) {
    let proxy = proxy(plain, &[eyes]);
    let mut clients = [Client::connect(&proxy), Client::connect(&proxy)];
    clients[0].send("POST", "/v1/messages", JSON, &asking(false, false, RED));
    let mut asked = eyes.accept();
    asked.request();
    clients[1].send("POST", "/v1/messages", JSON, &asking(true, true, RED));
    proxy.wait_until("the second message", |_| proxy.status()["in_flight"] == 2);
    (proxy, clients, asked)
}

#[test]
fn two_messages_with_the_same_picture_ask_once() {
    let (plain, eyes) = (Upstream::start(), Upstream::start());
    let (proxy, [mut first, mut second], mut asked) = two_with_the_same_picture(&plain, &eyes);
    asked.complete("A red square.");
    for _ in 0..2 {
        let mut connection = plain.accept();
        let request = connection.request();
        let sent = request.body.to_string();
        assert!(sent.contains("[image, described in words: A red square.]"), "{sent}");
        if request.body["stream"] == true {
            connection.begin_events();
            connection.say("Red.");
            connection.finish();
        } else {
            connection.complete("Red.");
        }
    }
    assert_eq!(first.answer().message(), "Red.");
    second.begin();
    assert_eq!(second.finish(), "Red.");
    eyes.assert_nobody_waits();
    let described = "ccproxy_described_pictures_total{provider=\"eyes\"}";
    assert_eq!(proxy.metric(described), Some(1.0));
}

/// A client that leaves takes its question with it, not the other's.
#[test]
fn who_waited_for_a_client_that_left_asks_itself() {
    let (plain, eyes) = (Upstream::start(), Upstream::start());
    let (_proxy, [first, mut second], asked) = two_with_the_same_picture(&plain, &eyes);
    drop(first);
    let mut again = eyes.accept();
    again.request();
    again.complete("A red square.");
    drop(asked);
    let mut connection = plain.accept();
    let sent = connection.request().body.to_string();
    assert!(sent.contains("A red square."), "{sent}");
    connection.begin_events();
    connection.say("Red.");
    connection.finish();
    second.begin();
    assert_eq!(second.finish(), "Red.");
}

/// What failed for one is told to who waited, and asked again later.
#[test]
fn who_waited_hears_why_a_picture_was_not_described() {
    let (plain, eyes) = (Upstream::start(), Upstream::start());
    let (_proxy, _clients, mut asked) = two_with_the_same_picture(&plain, &eyes);
    let error = json!({ "error": { "message": "not a valid image" } });
    asked.answer("400 Bad Request", &[], &error.to_string());
    let mut connections = [plain.accept(), plain.accept()];
    for connection in &mut connections {
        let sent = connection.request().body.to_string();
        assert!(sent.contains("eyes/v could not describe it"), "{sent}");
    }
    eyes.assert_nobody_waits();
}

#[test]
fn a_picture_that_cannot_be_described_leaves_a_note_that_says_why() {
    let (plain, eyes) = (Upstream::start(), Upstream::start());
    let proxy = proxy(&plain, &[&eyes]);
    for round in 0..2 {
        let mut client = Client::connect(&proxy);
        client.send("POST", "/v1/messages", JSON, &asking(false, true, RED));
        // It is not tried again at once.
        if round == 0 {
            let mut asked = eyes.accept();
            asked.request();
            let error =
                json!({ "error": { "message": "the lens is broken", "type": "server_error" } });
            asked.answer("500 Internal Server Error", &[], &error.to_string());
        }
        let mut connection = plain.accept();
        let sent = connection.request().body.to_string();
        let note = "[image: not shown, this model reads text only; eyes/v could not describe it: ";
        assert!(sent.contains(note) && sent.contains("the lens is broken"), "{sent}");
        connection.complete("I see nothing.");
        let answer = client.answer();
        assert_eq!(answer.header("x-ccproxy-dropped"), Some("images"));
        assert_eq!(answer.message(), "I see nothing.");
    }
    proxy.wait_for_line("eyes/v could not describe it");
}

#[test]
fn the_next_place_describes_when_one_fails() {
    let (plain, eyes, others) = (Upstream::start(), Upstream::start(), Upstream::start());
    let proxy = proxy(&plain, &[&eyes, &others]);
    let mut client = Client::connect(&proxy);
    client.send("POST", "/v1/messages", JSON, &asking(false, false, RED));
    let mut asked = eyes.accept();
    asked.request();
    asked.answer("429 Too Many Requests", &[], "{\"error\":{\"message\":\"slow down\"}}");
    let mut asked = others.accept();
    asked.request();
    asked.complete("A red square.");
    let mut connection = plain.accept();
    assert!(connection.request().body.to_string().contains("A red square."));
    connection.complete("Red.");
    assert_eq!(client.answer().message(), "Red.");
}

#[test]
fn a_client_that_leaves_ends_the_description() {
    let (plain, eyes) = (Upstream::start(), Upstream::start());
    let proxy = proxy(&plain, &[&eyes]);
    let mut client = Client::connect(&proxy);
    client.send("POST", "/v1/messages", JSON, &asking(false, false, RED));
    let mut asked = eyes.accept();
    asked.request();
    client.wire.close();
    asked.wire.wait_closed();
    plain.assert_nobody_waits();
}

/// Who sees gets the picture, natively too, and a Messages API whose model does not is asked in chat
/// completions.
#[test]
fn the_model_decides_and_not_the_provider() {
    let (zai, eyes) = (Upstream::start(), Upstream::start());
    let at = zai.base_url();
    let at = at.trim_end_matches("/v1");
    let proxy = Setup::file(json!({
        "providers": [
            { "name": "zai", "base_url": format!("{at}/paas"), "native_url": format!("{at}/native"),
              "model": "glm-5.3", "api_key": "k" },
            { "name": "eyes", "type": "custom", "base_url": eyes.base_url(), "model": "v", "api_key": "k" },
        ],
        "models": { "default": "zai", "opus": "zai/glm-5.4" },
        "rules": { "images": { "describe": "eyes" } },
    }))
    .start();
    let mut client = Client::connect(&proxy);
    client.send("POST", "/v1/messages", JSON, &asking(false, false, RED));
    let mut connection = zai.accept();
    let request = connection.request_at("/native/v1/messages");
    assert!(request.body.to_string().contains(RED));
    let answer = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m",
        "content": [{ "type": "text", "text": "Red." }], "stop_reason": "end_turn",
        "stop_sequence": null, "usage": { "input_tokens": 1, "output_tokens": 1 },
    });
    connection.answer("200 OK", &[("Connection", "close")], &answer.to_string());
    assert_eq!(client.answer().message(), "Red.");

    let mut client = Client::connect(&proxy);
    let body = String::from_utf8(asking(false, false, RED)).expect("UTF-8");
    let body = body.replace("claude-opus-5-5", "claude-sonnet-5-5");
    client.send("POST", "/v1/messages", JSON, body.as_bytes());
    let mut asked = eyes.accept();
    asked.request();
    asked.complete("A red square.");
    let mut connection = zai.accept();
    let request = connection.request_at("/paas/v1/chat/completions");
    assert!(request.body.to_string().contains("A red square."));
    connection.complete("Red.");
    assert_eq!(client.answer().message(), "Red.");
}

#[test]
fn a_wrong_describe_names_value_place_and_what_is_accepted() {
    let check = |images: Value, words: &[&str]| {
        let done = Setup::file(json!({
            "providers": [{ "name": "plain", "type": "custom", "base_url": "http://127.0.0.1:9/v1",
                            "model": "m", "api_key": "k", "images": false }],
            "rules": { "images": images },
        }))
        .run();
        for word in words {
            assert!(done.stderr.contains(word), "{word}: {}", done.stderr);
        }
    };
    check(json!({ "describe": "nobody/x" }), &["rules.images.describe", "\"nobody/x\"", "plain"]);
    check(
        json!({ "describe": "plain" }),
        &["rules.images.describe", "plain/m is shown no pictures"],
    );
    check(json!({}), &["rules.images", "missing field `describe`"]);
    check(json!({ "describe": [] }), &["rules.images", "names no place"]);
    check(json!({ "describe": 7 }), &["rules.images.describe"]);
    check(json!({ "descibe": "plain" }), &["unknown field `descibe`", "`describe`"]);
}

#[test]
fn a_row_knows_which_of_its_models_see() {
    for (row, model, sees) in [
        ("deepseek", "deepseek-flash", true),
        ("deepseek", "deepseek-v4-flash", true),
        ("deepseek", "deepseek-v4-pro", false),
        ("byteplus", "deepseek-v4-pro-ga-260813", false),
        ("volcengine", "doubao-seed-2-1-pro-260628", true),
        ("zai", "glm-5.3", false),
        ("zai", "glm-5.4", true),
    ] {
        let known = Provider::find(row).expect(row);
        assert_eq!(known.shown_images().of(model), sees, "{row}/{model}");
    }
}

/// The request is read once more to put words in the places of its pictures, which takes memory.
#[test]
fn the_second_reading_is_counted() {
    let (plain, eyes) = (Upstream::start(), Upstream::start());
    let proxy = proxy(&plain, &[&eyes]);
    let held = || proxy.metric("ccproxy_body_memory_bytes").expect("it is told");
    let ask = |first: Value| {
        let text = json!({ "type": "text", "text": "a" });
        let blocks: Vec<Value> = std::iter::once(first).chain(vec![text; 3000]).collect();
        let body = json!({ "model": "claude-opus-5-5", "max_tokens": 9,
                           "messages": [{ "role": "user", "content": blocks }] });
        let mut client = Client::connect(&proxy);
        client.send("POST", "/v1/messages", JSON, body.to_string().as_bytes());
        client
    };
    let mut client = ask(json!({ "type": "text", "text": "a" }));
    let mut connection = plain.accept();
    connection.request();
    let once = held();
    connection.complete("Read.");
    client.answer().message();

    let mut client = ask(picture(RED));
    let mut asked = eyes.accept();
    asked.request();
    let twice = held();
    asked.complete("A red square.");
    connection.request();
    connection.complete("Red.");
    client.answer().message();
    assert!(twice > 1.5 * once, "{twice} bytes, {once} without a picture");
}
