//! The order of a stream: each piece when it comes, pings in between, and either form of an answer
//! as the client asked for it.

use serde_json::json;

use crate::support::exchange::{begin_stream, begin_whole, start};

#[test]
fn each_piece_reaches_the_client_before_the_next_is_sent() {
    let (upstream, proxy) = start();
    let (mut client, mut connection) = begin_stream(&upstream, &proxy);
    connection.begin_events();
    for (number, text) in ["one ", "two ", "three "].into_iter().enumerate() {
        connection.say(text);
        if number == 0 {
            client.begin();
            client.expect_start();
            client.expect("content_block_start");
        }
        let delta = client.expect("content_block_delta");
        assert_eq!(delta["delta"], json!({ "type": "text_delta", "text": text }));
    }
    connection.finish();
    client.expect("content_block_stop");
    let end = client.expect("message_delta");
    assert_eq!(end["delta"]["stop_reason"], "end_turn");
    assert_eq!(
        (&end["usage"]["input_tokens"], &end["usage"]["output_tokens"]),
        (&json!(9), &json!(3))
    );
    client.expect("message_stop");
    assert_eq!(client.event(), None);
}

#[test]
fn the_message_ends_before_the_providers_connection_does() {
    let (upstream, proxy) = start();
    let (mut client, mut connection) = begin_stream(&upstream, &proxy);
    connection.begin_events();
    connection.say("hello");
    connection.event(r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#);
    connection.event("[DONE]");
    client.begin();
    assert_eq!(client.finish(), "hello");
    // The body's end never comes, so the connection is of no further use.
    connection.wire.wait_closed();
}

#[test]
fn a_provider_that_only_sends_its_head_does_not_keep_the_client_waiting() {
    let (upstream, proxy) = start();
    let (mut client, mut connection) = begin_stream(&upstream, &proxy);
    connection.begin_events();
    client.begin();
    client.expect_start();
    connection.say("hello");
    client.expect("content_block_start");
    assert_eq!(client.text(), "hello");
    connection.finish();
    assert_eq!(client.finish(), "");
}

#[test]
fn a_provider_that_says_nothing_does_not_keep_the_client_waiting() {
    let (upstream, proxy) = start();
    let (mut client, mut connection) = begin_stream(&upstream, &proxy);
    client.begin();
    client.expect_start();
    connection.begin_events();
    connection.say("hello");
    connection.finish();
    assert_eq!(client.finish(), "hello");
}

#[test]
fn a_refusal_after_the_stream_has_begun_is_an_error_event() {
    let (upstream, proxy) = start();
    let (mut client, mut connection) = begin_stream(&upstream, &proxy);
    client.begin();
    client.expect_start();
    connection.answer("429 Too Many Requests", &[], r#"{"error":{"message":"slow down"}}"#);
    let (kind, told) = client.fail();
    assert_eq!((&*kind, &*told), ("rate_limit_error", "custom: slow down"));
    proxy.wait_for_line("429");
    // The client's connection is good for the next request.
    client.send_whole("again");
    connection.request();
    connection.complete("better");
    assert_eq!(client.answer().message(), "better");
}

#[test]
fn pings_go_on_while_the_provider_is_silent() {
    let (upstream, proxy) = start();
    let (mut client, mut connection) = begin_stream(&upstream, &proxy);
    connection.begin_events();
    connection.say("hello");
    client.begin();
    assert_eq!(client.text(), "hello");
    client.expect("ping");
    connection.finish();
    assert_eq!(client.finish(), "");
}

#[test]
fn an_answer_of_one_piece_becomes_a_stream() {
    let (upstream, proxy) = start();
    let (mut client, mut connection) = begin_stream(&upstream, &proxy);
    connection.complete("all at once");
    client.begin();
    assert_eq!(client.finish(), "all at once");
}

#[test]
fn a_stream_becomes_an_answer_of_one_piece() {
    let (upstream, proxy) = start();
    let (mut client, mut connection) = begin_whole(&upstream, &proxy);
    connection.begin_events();
    connection.say("piece ");
    connection.say("by piece");
    connection.finish();
    let answer = client.answer();
    assert_eq!(answer.message(), "piece by piece");
    assert_eq!(answer.json()["usage"]["output_tokens"], 3);
}

#[test]
fn a_stream_that_ends_with_the_connection_is_whole() {
    let (upstream, proxy) = start();
    let (mut client, mut connection) = begin_stream(&upstream, &proxy);
    connection.wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
    connection.wire.send(
        b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"},\"finish_reason\":\"stop\"}]}\n\n",
    );
    connection.wire.close();
    client.begin();
    assert_eq!(client.finish(), "hi");
}
