//! A provider that breaks off, or that is silent, away, or too busy.

use crate::support::client::{Answer, Client, JSON, message};
use crate::support::exchange::{End, begin, begin_stream, begin_whole, start};
use crate::support::proxy::Setup;
use crate::support::upstream::{Refusing, Upstream};

// A provider that breaks off.

#[test]
fn a_stream_that_is_cut_is_never_a_finished_turn() {
    let (upstream, proxy) = start();
    for end in [End::Close, End::Reset] {
        let (mut client, mut connection) = begin_stream(&upstream, &proxy);
        connection.begin_events();
        connection.say("half an ans");
        client.begin();
        assert_eq!(client.text(), "half an ans");
        end.of(connection);
        let (_, told) = client.fail();
        assert!(!told.is_empty(), "{end:?}");
    }
    upstream.assert_nobody_waits();
}

#[test]
fn a_stream_without_an_announced_end_that_is_cut_is_never_a_finished_turn() {
    let (upstream, proxy) = start();
    let (mut client, mut connection) = begin_stream(&upstream, &proxy);
    connection.wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
    connection
        .wire
        .send(b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"half\"}}]}\n\n");
    client.begin();
    assert_eq!(client.text(), "half");
    connection.wire.close();
    client.fail();
}

#[test]
fn a_stream_that_is_cut_before_its_first_event_is_a_status() {
    let (upstream, proxy) = start();
    for end in [End::Close, End::Reset] {
        let (mut client, mut connection) = begin_stream(&upstream, &proxy);
        connection.begin_events();
        end.of(connection);
        let answer = client.answer();
        assert!(matches!(answer.status, 502 | 504), "{end:?}: {} {}", answer.status, answer.text());
    }
}

#[test]
fn a_whole_answer_that_is_cut_is_an_error() {
    let (upstream, proxy) = start();
    for end in [End::Close, End::Reset] {
        let (mut client, mut connection) = begin_whole(&upstream, &proxy);
        connection.wire.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{\"choices\":[",
        );
        end.of(connection);
        let answer = client.answer();
        assert!(matches!(answer.status, 502 | 504), "{end:?}: {} {}", answer.status, answer.text());
    }
    upstream.assert_nobody_waits();
}

#[test]
fn a_fresh_connection_that_is_closed_without_an_answer_is_not_tried_again() {
    let (upstream, proxy) = start();
    for end in [End::Close, End::Reset] {
        for stream in [false, true] {
            let (mut client, connection) = begin(&upstream, &proxy, stream);
            end.of(connection);
            let answer = client.answer();
            assert!(matches!(answer.status, 502 | 504), "{end:?}: {}", answer.text());
            upstream.assert_nobody_waits();
        }
    }
}

/// A timeout is what took too long; this did not.
#[test]
fn a_connection_that_is_closed_is_not_called_a_timeout() {
    let (upstream, proxy) = start();
    let (mut client, connection) = begin_whole(&upstream, &proxy);
    connection.wire.close();
    client.answer().error(502, "api_error");
    let (mut client, mut connection) = begin_stream(&upstream, &proxy);
    connection.begin_events();
    connection.say("half");
    connection.wire.close();
    client.begin();
    assert_eq!(client.fail().0, "api_error");
}

#[test]
fn an_answer_that_is_not_http_is_an_error() {
    let (upstream, proxy) = start();
    let (mut client, mut connection) = begin_whole(&upstream, &proxy);
    connection.wire.send(b"SSH-2.0-OpenSSH_9.2\r\n\r\n");
    let answer = client.answer();
    assert!(matches!(answer.status, 502 | 504), "{} {}", answer.status, answer.text());
}

#[test]
fn an_interim_answer_is_not_the_answer() {
    let (upstream, proxy) = start();
    for interim in ["100 Continue", "103 Early Hints\r\nLink: </a>; rel=preload"] {
        let (mut client, mut connection) = begin_whole(&upstream, &proxy);
        connection.wire.send(format!("HTTP/1.1 {interim}\r\n\r\n").as_bytes());
        connection.complete("the answer");
        assert_eq!(client.answer().message(), "the answer", "{interim}");
        connection.wire.close();
    }
}

#[test]
fn an_answer_that_is_not_chat_completions_is_an_error() {
    let (upstream, proxy) = start();
    let (mut client, mut connection) = begin_whole(&upstream, &proxy);
    connection.answer("200 OK", &[], "<html>welcome</html>");
    client.answer().error(502, "api_error");
}

// A provider that is silent, away, or too busy.

#[test]
fn silence_within_a_stream_ends_it_with_an_error() {
    let upstream = Upstream::start();
    let proxy = Setup::asking(&upstream).variable("CCPROXY_IDLE_TIMEOUT", "1").start();
    let (mut client, mut connection) = begin_stream(&upstream, &proxy);
    connection.begin_events();
    connection.say("hello");
    client.begin();
    assert_eq!(client.text(), "hello");
    assert_eq!(client.fail().0, "timeout_error");
    connection.wire.wait_closed();
}

#[test]
fn silence_before_the_answer_is_504() {
    let upstream = Upstream::start();
    let proxy = Setup::asking(&upstream).variable("CUSTOM_TIMEOUT", "0.5").start();
    for stream in [false, true] {
        for with_head in [false, true] {
            let (mut client, mut connection) = begin(&upstream, &proxy, stream);
            if with_head {
                connection.begin_events();
            }
            client.answer().error(504, "timeout_error");
            connection.wire.wait_closed();
        }
    }
    upstream.assert_nobody_waits();
}

#[test]
fn silence_after_a_ping_ends_the_stream_with_an_error() {
    let upstream = Upstream::start();
    let proxy = Setup::asking(&upstream).variable("CUSTOM_TIMEOUT", "4").start();
    let (mut client, mut connection) = begin_stream(&upstream, &proxy);
    client.begin();
    client.expect_start();
    assert_eq!(client.fail().0, "timeout_error");
    connection.wire.wait_closed();
}

#[test]
fn a_provider_that_is_away_is_502() {
    let refusing = Refusing::start();
    let proxy = Setup::at(&refusing.base_url()).start();
    for stream in [false, true] {
        let body = message("hello", stream);
        let answer = Client::fetch(&proxy, "POST", "/v1/messages", JSON, &body);
        let told = answer.error(502, "api_error");
        assert!(told.contains("nothing listens on"), "{told}");
    }
}

#[test]
fn a_host_that_does_not_exist_is_502() {
    let proxy = Setup::at("http://provider.invalid").start();
    let told = Client::fetch_message(&proxy, "hello").error(502, "api_error");
    assert!(told.contains("provider.invalid is not known"), "{told}");
}

#[test]
fn too_many_in_flight_are_told_to_come_again() {
    let upstream = Upstream::start();
    let proxy = Setup::asking(&upstream).variable("CCPROXY_MAX_IN_FLIGHT", "2").start();
    let (mut first, mut to_first) = begin_stream(&upstream, &proxy);
    let (mut second, mut to_second) = begin_whole(&upstream, &proxy);
    let refused: Answer = Client::fetch_message(&proxy, "third");
    refused.error(529, "overloaded_error");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(Client::fetch(&proxy, "GET", "/health", &[], b"").status, 200);
    to_first.begin_events();
    to_first.say("one");
    to_first.finish();
    first.begin();
    assert_eq!(first.finish(), "one");
    to_second.complete("two");
    assert_eq!(second.answer().message(), "two");
    upstream.assert_nobody_waits();
}
