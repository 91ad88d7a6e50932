//! What a body is, by its first bytes and not by its head: events, a document, an error.

use std::cell::RefCell;

use ccproxy::client::Failure;
use ccproxy::relay::{self, BodyForm};

use crate::relay::{CHAT, Recorder, TEXT, cut, reader, said, said_whole, stream, stream_to};

const WHOLE: &[u8] =
    b"{\"choices\":[{\"message\":{\"content\":\"Hello there\"},\"finish_reason\":\"stop\"}]}";

/// The first bytes tell what a body is, whatever its head calls it and however it is cut.
#[test]
fn a_body_is_what_its_first_bytes_say() {
    let hello = Some(("Hello there".to_owned(), "end_turn".to_owned()));
    let events = TEXT.concat();
    let started = [b"\xEF\xBB\xBF\r\n", &events[..]].concat();
    let document = [b"\n\n ", WHOLE].concat();
    let listed = [b"[", WHOLE, b"]"].concat();
    let lines = b"{\"choices\":[{\"delta\":{\"content\":\"Hello \"}}]}\n{\"choices\":[{\"delta\":{\"content\":\"there\"},\"finish_reason\":\"stop\"}]}\n";
    let envelope = [b"{\"success\":true,\"data\":", WHOLE, b"}"].concat();
    for body in [&events[..], &started, WHOLE, &document, &listed, lines, &envelope] {
        for form in [BodyForm::Events, BodyForm::Whole] {
            for cut in [0, 1, 3, 5, 7, body.len() / 2] {
                let (a, b) = body.split_at(cut);
                let text = String::from_utf8_lossy(body);
                assert_eq!(said(CHAT, form, &[a, b], Ok(0)), hello, "{form:?} {cut}: {text}");
                assert_eq!(said_whole(CHAT, form, &[a, b], Ok(0)), hello, "{form:?} {cut}: {text}");
            }
        }
    }
}

#[test]
fn frames_that_are_parted_by_one_newline_are_frames() {
    let hello = Some(("Hello there".to_owned(), "end_turn".to_owned()));
    let events = String::from_utf8(TEXT[1..].concat()).expect("UTF-8").replace("\n\n", "\n");
    for events in [events.clone(), events.trim_end().to_owned(), events.replace('\n', "\r\n")] {
        for cut in 0..events.len() {
            let (a, b) = events.as_bytes().split_at(cut);
            assert_eq!(said(CHAT, BodyForm::Events, &[a, b], Ok(0)), hello, "{cut}: {events}");
        }
    }
    // The first piece goes out before the last has come.
    let first = events.find("data: [DONE]").expect("the end");
    let (result, recorder) =
        stream(CHAT, BodyForm::Events, &[&events.as_bytes()[..first]], Err(cut().into()), None);
    assert!(result.is_ok() && String::from_utf8_lossy(&recorder.written).contains("Hello"));
}

/// The words of an error that came in the place of an answer, and its status.
fn refused(form: BodyForm, body: &[u8]) -> (u16, String) {
    let client = RefCell::new(stream_to(CHAT, Recorder::default()));
    match relay::stream(&client, form, &mut reader(&[body], Ok(0))) {
        Err(Failure::Error(error)) => (error.status(), error.to_string()),
        other => panic!("{other:?}: {}", String::from_utf8_lossy(body)),
    }
}

/// Bodies without choices that were answered with 200, as DashScope, MiniMax, iFlow, FastAPI and vLLM
/// send them; and OpenRouter's chunks.
#[test]
fn an_error_in_a_200_is_told_in_its_own_words() {
    for (body, status, words) in [
        (
            r#"{"code":"InvalidParameter","message":"Range of input length should be [1, 99]","request_id":"x"}"#,
            400,
            "prompt is too long: 100 tokens > 99 maximum (Range of input length should be [1, 99])",
        ),
        (
            r#"{"base_resp":{"status_code":1008,"status_msg":"insufficient balance"},"choices":null}"#,
            402,
            "insufficient balance",
        ),
        (
            r#"{"status":"449","msg":"You exceeded your current rate limit","body":null}"#,
            429,
            "You exceeded your current rate limit",
        ),
        (r#"{"detail":"Model is busy"}"#, 500, "Model is busy"),
        (
            r#"{"object":"error","message":"The input is malformed","type":"BadRequestError","code":400}"#,
            400,
            "The input is malformed",
        ),
        (
            r#"{"error":{"message":"Provider returned error","code":429,"metadata":{"raw":"slow down, please"}}}"#,
            429,
            "slow down, please",
        ),
        (
            r#"{"choices":[{"delta":{"content":""},"finish_reason":"error","error":{"code":502,"message":"it fell over"}}]}"#,
            502,
            "it fell over",
        ),
    ] {
        for form in [BodyForm::Whole, BodyForm::Events] {
            assert_eq!(refused(form, body.as_bytes()), (status, words.to_owned()), "{body}");
        }
        let framed = format!("data: {body}\n\n");
        assert_eq!(refused(BodyForm::Events, framed.as_bytes()), (status, words.to_owned()));
    }
    // No choices, and no error: counts, filters, something that lives.
    for chunk in [
        r#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#,
        r#"{"choices":[],"prompt_filter_results":[{"prompt_index":0,"content_filter_results":{}}]}"#,
        r#"{"id":"x","object":"chat.completion.chunk","choices":[],"error":null}"#,
        r#"{"id":"x","choices":[],"base_resp":{"status_code":0,"status_msg":"success"}}"#,
        r#"{"choices":[],"error":{}}"#,
    ] {
        let framed = format!("data: {chunk}\n\n");
        let reads = [framed.as_bytes(), &TEXT.concat()].concat();
        let hello = Some(("Hello there".to_owned(), "end_turn".to_owned()));
        assert_eq!(said(CHAT, BodyForm::Events, &[&reads], Ok(0)), hello, "{chunk}");
    }
}

#[test]
fn a_finish_reason_tells_a_failure_from_a_finished_turn() {
    let answer = |content: &str, reason: &str| {
        format!(
            "{{\"choices\":[{{\"delta\":{{\"content\":\"{content}\"}},\"finish_reason\":\"{reason}\"}}]}}"
        )
    };
    let stop = |content: &str, reason: &str| {
        let body = answer(content, reason);
        said(CHAT, BodyForm::Whole, &[body.as_bytes()], Ok(0)).map(|(_, stop)| stop)
    };
    for (reason, wanted) in [
        ("network_error", None),
        ("abort", None),
        ("function_call_filter: MALFORMED_FUNCTION_CALL", None),
        ("sensitive", Some("refusal")),
        ("content_filter: PROHIBITED_CONTENT", Some("refusal")),
        ("model_context_window_exceeded", Some("model_context_window_exceeded")),
        ("MAX_TOKENS", Some("max_tokens")),
        ("something_new", Some("end_turn")),
    ] {
        assert_eq!(stop("partial", reason).as_deref(), wanted, "{reason}");
    }
    // Nobody would see that a word nobody knows was a failure.
    assert_eq!(stop("", "something_new"), None);
    assert_eq!(stop("", "stop").as_deref(), Some("end_turn"));
}
