use super::*;

const STREAM: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"model\": \"deepseek-v4\",\"usage\":{\"input_tokens\":7,\"output_tokens\":1}}}\n\nevent: ping\ndata: {\"type\": \"ping\"}\n\nevent: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\nevent: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"\\\"model\\\": 1\"}}\n\n: a comment\n\nevent: content_block_stop\r\ndata: {\"type\":\"content_block_stop\",\"index\":0}\r\n\r\nevent: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":9,\"input_tokens\":0}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

fn relay(input: &[u8], cut: usize) -> (String, Result<(), Error>, Native) {
    let mut native = Native::new("claude-x".to_owned());
    let mut out = Vec::new();
    let result = native
        .feed(&input[..cut], &mut out)
        .and_then(|()| native.feed(&input[cut..], &mut out))
        .and_then(|()| native.finish(&mut out));
    (String::from_utf8(out).expect("UTF-8"), result, native)
}

#[test]
fn bytes_pass_but_for_the_model_however_they_are_cut() {
    // The start waits for the content, so the ping comes first.
    let (start, rest) = STREAM.split_at(STREAM.find("event: ping").unwrap());
    let (ping, rest) = rest.split_at(rest.find("event: content_block_start").unwrap());
    let wanted = format!("{ping}{}{rest}", start.replace("deepseek-v4", "claude-x"));
    for cut in 0..=STREAM.len() {
        let (out, result, native) = relay(STREAM.as_bytes(), cut);
        assert_eq!((out.as_str(), result), (wanted.as_str(), Ok(())), "{cut}");
        let usage = Usage { input_tokens: 7, output_tokens: 9, ..Usage::default() };
        assert_eq!(native.usage(), usage);
    }
}

#[test]
fn what_ends_early_is_an_error_and_nothing_of_it_has_begun() {
    let end = STREAM.find("event: content_block_start").unwrap();
    let (out, result, native) = relay(&STREAM.as_bytes()[..end], 0);
    assert!(result.is_err() && !native.has_content() && !out.contains("message_start"));
    let end = STREAM.find("event: message_delta").unwrap();
    let (_, result, native) = relay(&STREAM.as_bytes()[..end], 0);
    assert!(result.is_err() && native.has_content());
    let overloaded = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"busy\"}}\n\n";
    let (out, result, _) = relay(overloaded.as_bytes(), 0);
    assert_eq!((out.as_str(), result.unwrap_err().status()), ("", 529));
}

#[test]
fn half_a_frame_is_not_passed_on_as_a_whole_one() {
    let frames = |text: &str| -> Vec<String> {
        let text = text.replace("\r\n", "\n");
        text.split_terminator("\n\n").map(str::to_owned).collect()
    };
    let whole = frames(&relay(STREAM.as_bytes(), 0).0);
    for cut in 0..STREAM.len() {
        let (out, ..) = relay(&STREAM.as_bytes()[..cut], 0);
        for frame in frames(&out).iter().map(|frame| frame.trim()).filter(|f| !f.is_empty()) {
            assert!(whole.iter().any(|w| w == frame), "cut at {cut}: {frame}");
        }
    }
}

#[test]
fn odd_counts_and_errors_of_other_forms_are_read() {
    let odd = STREAM.replace("\"input_tokens\":7", "\"input_tokens\":7.0").replace(":1}", ":-1}");
    let (out, result, native) = relay(odd.as_bytes(), 0);
    assert_eq!((result, native.usage().input_tokens), (Ok(()), 7));
    assert!(out.contains("claude-x"));
    for error in [
        "event: error\ndata: {\"error\":{\"type\":\"overloaded_error\",\"message\":\"m\"}}\n\n",
        "data: {\"error\":{\"type\":\"overloaded_error\",\"message\":\"m\"}}\n\n",
    ] {
        let (out, result, native) = relay(error.as_bytes(), 0);
        assert_eq!((out.as_str(), result.map_err(|e| e.status())), ("", Err(529)), "{error}");
        assert!(!native.has_content());
    }
    let (out, result, _) = relay(b"data: [DONE]\n\n", 0);
    assert!(out.is_empty() && result.is_err());
}

#[test]
fn a_whole_message_keeps_its_bytes_but_for_the_model() {
    let body =
        br#"{"type":"message", "content":[{"model":"m"}], "model" : "m", "usage":{"input_tokens":3}}"#;
    let WholeMessage { body: renamed, usage, .. } = whole(body.to_vec(), "claude-x").unwrap();
    assert_eq!(
        String::from_utf8(renamed).unwrap(),
        r#"{"type":"message", "content":[{"model":"m"}], "model" : "claude-x", "usage":{"input_tokens":3}}"#
    );
    assert_eq!(usage.input_tokens, 3);
    assert!(whole(br#"{"error":"Unexpected endpoint"}"#.to_vec(), "m").is_err());
}

#[test]
fn safeguards_that_the_provider_does_not_answer_are_answered() {
    let results = || vec![SafeguardResult::disabled("dangerous_tool_use".to_owned())];
    let relay = |input: &str| {
        let native = Native::new("claude-x".to_owned());
        let mut out = Vec::new();
        native.with_safeguards(results()).feed(input.as_bytes(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    let ours = "\"safeguard_results\":[{\"type\":\"dangerous_tool_use\",\
        \"status\":{\"type\":\"unavailable\",\"reason\":\"disabled\"}}],";
    let out = relay(STREAM);
    assert_eq!(out.matches("safeguard_results").count(), 1);
    let delta = format!("\"delta\":{{{ours}\"stop_reason\":\"end_turn\"}}");
    assert!(out.contains(&delta), "{out}");
    let own = "\"delta\":{\"stop_reason\":\"end_turn\",\"safeguard_results\":[2]}";
    let out = relay(&STREAM.replace("\"delta\":{\"stop_reason\":\"end_turn\"}", own));
    assert!(out.contains(own) && !out.contains("disabled"), "{out}");
    for (body, begins) in [
        (r#"{"type":"message","stop_reason":"end_turn"}"#, format!("{{{ours}\"type\"")),
        (
            r#"{"safeguard_results":[2],"type":"message","stop_reason":"end_turn"}"#,
            "{\"safeguard_results\":[2],\"type\"".to_owned(),
        ),
    ] {
        let message = whole(body.as_bytes().to_vec(), "m").unwrap();
        let body = String::from_utf8(message.with_safeguards(&results()).body).unwrap();
        assert!(body.starts_with(&begins), "{body}");
    }
}

/// Decided: -1 is no count. Native Kimi begins with it, and clients add counts up.
#[test]
fn counts_are_there_and_not_negative() {
    let odd = STREAM
        .replace("\"input_tokens\":7,", "\"input_tokens\": -1,\"cache_read_input_tokens\":-2.0,")
        .replace(",\"usage\":{\"output_tokens\":9,\"input_tokens\":0}", "");
    for cut in [0, 40, odd.len() / 2] {
        let (out, result, _) = relay(odd.as_bytes(), cut);
        assert_eq!(result, Ok(()));
        assert!(
            out.contains(r#"{"input_tokens": 0,"cache_read_input_tokens":0,"output_tokens":1}"#),
            "{out}"
        );
        assert!(
            out.contains(r#""delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":0}}"#),
            "{out}"
        );
    }
    let none = br#"{"type":"message","content":[],"model":"m"}"#;
    let WholeMessage { body, .. } = whole(none.to_vec(), "x").unwrap();
    assert_eq!(
        String::from_utf8(body).unwrap(),
        r#"{"type":"message","content":[],"model":"x","usage":{"input_tokens":0,"output_tokens":0}}"#
    );
}

/// The end alone is missing once the reason for it has come.
#[test]
fn a_message_that_is_complete_is_ended() {
    let end = STREAM.find("event: message_stop").unwrap();
    let (out, result, _) = relay(&STREAM.as_bytes()[..end], 0);
    assert_eq!(result, Ok(()));
    assert!(out.ends_with("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"), "{out}");
}

#[test]
fn frames_without_the_name_of_their_event_get_it() {
    let named = relay(STREAM.as_bytes(), 0).0.replace("\r\n", "\n");
    let lines = STREAM.replace("\r\n", "\n");
    let bare: Vec<&str> = lines.split('\n').filter(|line| !line.starts_with("event:")).collect();
    let (out, result, _) = relay(bare.join("\n").as_bytes(), 0);
    assert_eq!((out, result), (named, Ok(())));
}

#[test]
fn frames_that_are_parted_by_one_newline_are_frames() {
    let named = relay(STREAM.as_bytes(), 0).0.replace("\r\n", "\n").replace(": a comment\n\n", "");
    let lines = STREAM.replace("\r\n", "\n").replace("\n\n", "\n").replace(": a comment\n", "");
    let bare: Vec<&str> =
        lines.split_inclusive('\n').filter(|line| !line.starts_with("event:")).collect();
    for stream in [&lines, &bare.concat()] {
        for cut in 0..stream.len() {
            let (out, result, _) = relay(stream.as_bytes(), cut);
            assert_eq!((out, result), (named.clone(), Ok(())), "{cut} {stream}");
        }
    }
    // A document in several lines is one.
    let long = STREAM
        .replace("data: {\"type\":\"message_stop\"}", "data: {\ndata: \"type\":\"message_stop\"}");
    assert!(relay(long.as_bytes(), 0).0.ends_with("data: {\ndata: \"type\":\"message_stop\"}\n\n"));
}

#[test]
fn a_message_that_comes_in_the_other_form_is_taken() {
    let body = br#"{"type":"message","id":"msg_1","model":"m","content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn","usage":{"input_tokens":3,"output_tokens":2}}"#;
    let mut native = Native::new("claude-x".to_owned());
    let mut out = Vec::new();
    native.whole(body, &mut out).expect("a message");
    let out = String::from_utf8(out).expect("UTF-8");
    assert!(out.contains("\"model\":\"claude-x\"") && out.contains("\"text\":\"hi\""), "{out}");
    let told = (native.stop_reason(), native.usage().output_tokens, native.is_ended());
    assert_eq!(told, (Some("end_turn"), 2, true));
    let message = whole(out.into_bytes(), "claude-y").expect("a message");
    assert_eq!((message.stop_reason.as_deref(), message.usage.input_tokens), (Some("end_turn"), 3));
    let message = String::from_utf8(message.body).expect("UTF-8");
    assert!(message.contains("\"text\":\"hi\"") && message.contains("claude-y"), "{message}");
}

#[test]
fn reasons_of_another_api_are_read() {
    for (reason, wanted) in [
        ("sensitive", Some("refusal")),
        ("MAX_TOKENS", Some("max_tokens")),
        ("stop", Some("end_turn")),
        ("pause_turn", Some("pause_turn")),
        ("a_new_one", Some("a_new_one")),
        ("network_error", None),
    ] {
        let ends = |reason: &str| format!("\"stop_reason\":\"{reason}\"");
        let (out, result, native) =
            relay(STREAM.replace(&ends("end_turn"), &ends(reason)).as_bytes(), 0);
        assert_eq!(result.is_ok(), wanted.is_some(), "{reason}: {out}");
        assert_eq!(native.stop_reason(), wanted, "{reason}");
        assert_eq!(out.contains("message_stop"), wanted.is_some(), "{reason}: {out}");
        let lines = STREAM.replace(&ends("end_turn"), &format!("\ndata:{}", ends(reason)));
        assert_eq!(relay(lines.as_bytes(), 0).1.is_ok(), wanted.is_some(), "{reason}");
        let body = format!("{{\"type\":\"message\",\"content\":[],{}}}", ends(reason));
        let message = whole(body.into_bytes(), "m").ok();
        assert_eq!(message.as_ref().and_then(|m| m.stop_reason.as_deref()), wanted, "{reason}");
        if let (Some(message), Some(wanted)) = (message, wanted) {
            let body = String::from_utf8(message.body).expect("UTF-8");
            assert!(body.contains(&ends(wanted)) && out.contains(&ends(wanted)), "{body} {out}");
        }
    }
}

#[test]
fn a_body_that_is_no_stream_tells_its_error() {
    let told = |body: &str| not_a_stream(body.as_bytes()).to_string();
    assert!(told(r#"{"error":{"type":"x","message":"it is broken"}}"#).contains("it is broken"));
    assert!(told(r#"{"code":500,"msg":"404 NOT_FOUND"}"#).contains("404 NOT_FOUND"));
    let error = whole(
        br#"{"base_resp":{"status_code":1008,"status_msg":"insufficient balance"}}"#.to_vec(),
        "m",
    );
    assert_eq!(error.map(|_| ()).unwrap_err().status(), 402);
}
