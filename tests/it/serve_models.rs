//! Names of models: which are listed, and which provider they choose.

use serde_json::json;

use crate::support::client::{Client, JSON};
use crate::support::proxy::Setup;
use crate::support::upstream::Upstream;

#[test]
fn models_are_listed_and_found() {
    let proxy = Setup::echo().start();
    let list = proxy.get("/v1/models?limit=1000").json();
    let models = list["data"].as_array().expect("a list");
    assert!(models.iter().any(|model| model["id"] == "echo"), "{list}");
    assert_eq!((&list["has_more"], &list["first_id"]), (&json!(false), &models[0]["id"]));
    for model in models {
        let id = model["id"].as_str().expect("an id is a string");
        assert_eq!(proxy.get(&format!("/v1/models/{id}")).json(), *model);
    }
    proxy.get("/v1/models/nothing").error(404, "not_found_error");
}

#[test]
fn the_names_of_models_choose_among_providers() {
    let (first, second) = (Upstream::start(), Upstream::start());
    let file = json!({
        "providers": [
            { "name": "first", "type": "custom", "base_url": first.base_url(), "model": "m1" },
            { "name": "second", "type": "custom", "base_url": second.base_url(), "model": "m2" },
        ],
        "models": { "default": "first", "opus": "second/big" },
        "aliases": { "quick": { "use": "second/small", "display_name": "Quick one" } },
    });
    let proxy = Setup::file(file).start();
    for (requested, upstream, wanted) in [
        ("claude-sonnet-5-5", &first, "m1"),
        ("claude-opus-5-5[1m]", &second, "big"),
        ("second/any/model", &second, "any/model"),
        ("second,other", &second, "other"),
        ("claude-quick", &second, "small"),
    ] {
        let mut client = Client::connect(&proxy);
        let body = json!({ "model": requested, "max_tokens": 9,
            "messages": [{ "role": "user", "content": "hello" }] });
        client.send("POST", "/v1/messages", JSON, body.to_string().as_bytes());
        let mut connection = upstream.accept();
        assert_eq!(connection.request().body["model"], wanted, "{requested}");
        connection.complete("answered");
        let answer = client.answer();
        assert_eq!(answer.json()["model"], requested, "the answer carries the name asked for");
    }
    let list = Client::fetch(&proxy, "GET", "/v1/models", &[], b"").json();
    let ids: Vec<&str> =
        list["data"].as_array().expect("a list").iter().filter_map(|m| m["id"].as_str()).collect();
    assert_eq!(
        ids,
        [
            "claude-quick",
            "claude-opus-5-5",
            "claude-sonnet-5-5",
            "claude-haiku-5-5",
            "claude-fable-5-2",
            "first/m1",
            "second/m2"
        ]
    );
    assert_eq!(list["data"][0]["display_name"], "Quick one");
    assert_eq!(list["data"][1]["display_name"], "Opus: big (second)");
}
