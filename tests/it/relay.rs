//! The loop between the two sides, with slices as the upstream and a recorder as the client.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;

use ccproxy::client::{Client, Failure};
use ccproxy::error::{Cause, Error};
use ccproxy::line::Peer;
use ccproxy::openai::Dialect;
use ccproxy::relay::{self, BodyForm, EventWriter, Source, Stream, WHOLE_LIMIT_BYTES};
use ccproxy::sse::FRAME_LIMIT_BYTES;
use serde_json::{Value, json};

use crate::grammar;
use crate::response::answers;
use crate::stream::{streams, translate, translator};

/// A client's end that may fail at one of its calls; it must not be called after that.
#[derive(Default)]
pub(crate) struct Recorder {
    calls: usize,
    fail_at: Option<usize>,
    failed: bool,
    begun: bool,
    ended: bool,
    pub written: Vec<u8>,
}

impl Recorder {
    fn call(&mut self) -> io::Result<()> {
        assert!(!self.failed, "called after a failure");
        assert!(!self.ended, "called after the end");
        self.failed = self.fail_at == Some(self.calls);
        self.calls += 1;
        if self.failed { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
    }
}

impl EventWriter for Recorder {
    fn begin(&mut self) -> io::Result<()> {
        assert!(!self.begun, "begun twice");
        self.begun = true;
        self.call()
    }

    fn write(&mut self, events: &[u8]) -> io::Result<()> {
        assert!(self.begun, "written before the beginning");
        self.call()?;
        self.written.extend_from_slice(events);
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        self.call()?;
        self.ended = true;
        Ok(())
    }

    fn peer(&self) -> Option<Arc<Peer>> {
        None
    }
}

/// Hands out `reads` one by one, then `then`.
pub(crate) fn reader<'a>(
    reads: &[&'a [u8]],
    then: Result<usize, Failure>,
) -> impl FnMut(&mut [u8]) -> Result<usize, Failure> + use<'a> {
    let mut reads: Vec<&[u8]> = reads.iter().rev().copied().filter(|r| !r.is_empty()).collect();
    let mut then = Some(then);
    move |buffer| match reads.pop() {
        Some(read) => {
            let n = read.len().min(buffer.len());
            buffer[..n].copy_from_slice(&read[..n]);
            if n < read.len() {
                reads.push(&read[n..]);
            }
            Ok(n)
        }
        None => then.take().unwrap_or(Ok(0)),
    }
}

/// A failure as text, which can be compared.
fn text(failure: Failure) -> String {
    format!("{failure:?}")
}

fn client_gone<T>() -> Result<T, String> {
    Err(text(Failure::ClientGone))
}

/// A stream of an answer in `dialect` to the client at `recorder`.
pub(crate) fn stream_to(dialect: Dialect, recorder: Recorder) -> Stream<Recorder> {
    Stream::new(Source::Translated(Box::new(translator(dialect))), recorder)
}

/// Relays, ends a complete message, and tells the client of an error where nobody else is to be asked,
/// as the API does.
fn relay_to(
    client: &RefCell<Stream<Recorder>>,
    form: BodyForm,
    read: relay::ReadBody<'_>,
) -> Result<(), Failure> {
    match relay::stream(client, form, read) {
        Err(Failure::Error(error)) => {
            let error = client.borrow_mut().fail(error)?;
            if client.borrow().has_begun() { Ok(()) } else { Err(error.into()) }
        }
        Err(Failure::ClientGone) => Err(Failure::ClientGone),
        Ok(()) => client.borrow_mut().end(),
    }
}

/// What became of relaying `reads` and then `then` to a client that fails at the call `fail_at`.
pub(crate) fn stream(
    dialect: Dialect,
    form: BodyForm,
    reads: &[&[u8]],
    then: Result<usize, Failure>,
    fail_at: Option<usize>,
) -> (Result<(), String>, Recorder) {
    let recorder = Recorder { fail_at, ..Recorder::default() };
    let client = RefCell::new(stream_to(dialect, recorder));
    let result = relay_to(&client, form, &mut reader(reads, then)).map_err(text);
    (result, client.into_inner().into_writer())
}

/// The message as JSON, or the error.
pub(crate) fn whole(
    dialect: Dialect,
    form: BodyForm,
    reads: &[&[u8]],
    then: Result<usize, Failure>,
) -> Result<Value, String> {
    let message =
        relay::whole(&mut translator(dialect), form, &mut reader(reads, then)).map_err(text)?;
    Ok(serde_json::to_value(message).expect("a message serializes"))
}

pub(crate) const CHAT: Dialect = Dialect::ChatCompletions;

pub(crate) const TEXT: &[&[u8]] = &[
    b": relayed\n\n",
    b"data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\"}}]}\n\n",
    b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hello\"}}]}\n\ndata: {\"choi",
    b"ces\":[{\"index\":0,\"delta\":{\"content\":\" there\"},\"finish_reason\":\"stop\"}]}\n\n",
    b"data: [DONE]\n\n",
];

/// Errors a read can end in.
fn errors() -> [Error; 4] {
    [
        Error::unreachable(Cause::Timeout, "silent"),
        Error::unreachable(Cause::Reset, "gone"),
        Error::upstream(503, "busy", Default::default()),
        cut(),
    ]
}

pub(crate) fn cut() -> Error {
    Error::cut("cut")
}

/// The text and the name of the last event.
fn last_event(recorder: &Recorder) -> (String, Value) {
    assert_eq!(grammar::check(&recorder.written), Ok(()));
    grammar::events(&recorder.written).expect("events").pop().expect("an event")
}

#[test]
fn a_read_that_fails_ends_the_stream() {
    // Behind the finish reason it ends well.
    for count in 0..TEXT.len() - 1 {
        for error in errors() {
            let at = format!("{error:?} after {count} reads");
            let then = Err(Failure::Error(error.clone()));
            let (result, recorder) = stream(CHAT, BodyForm::Events, &TEXT[..count], then, None);
            if recorder.begun {
                assert_eq!(result, Ok(()), "{at}");
                assert!(recorder.ended, "{at}");
                let (name, data) = last_event(&recorder);
                assert_eq!(name, "error", "{at}");
                assert_eq!(data["error"]["message"], error.to_string(), "{at}");
                assert_eq!(data["error"]["type"], error.kind(), "{at}");
            } else {
                assert!(count < 3, "{at}: the first words begin the stream");
                assert_eq!(result, Err(text(error.into())), "{at}");
                assert_eq!(recorder.calls, 0, "{at}");
            }
        }
    }
}

#[test]
fn a_client_that_leaves_while_reading_is_not_written_to() {
    for count in 0..TEXT.len() {
        let run = |then| stream(CHAT, BodyForm::Events, &TEXT[..count], Err(then), None);
        let (result, recorder) = run(Failure::ClientGone);
        assert_eq!(result, client_gone(), "after {count} reads");
        assert!(!recorder.ended, "after {count} reads");
        // A client that stays gets the same, and then the end.
        let (_, stayed) = run(cut().into());
        let names = |recorder: &Recorder| -> Vec<String> {
            grammar::events(&recorder.written).expect("events").into_iter().map(|e| e.0).collect()
        };
        let (seen, mut wanted) = (names(&recorder), names(&stayed));
        let ends = ["error", "content_block_stop", "message_delta", "message_stop"];
        while wanted.last().is_some_and(|name| ends.contains(&&**name)) {
            wanted.pop();
        }
        assert_eq!(seen, wanted, "after {count} reads");
        assert!(stayed.written.starts_with(&recorder.written), "after {count} reads");
    }
}

#[test]
fn nothing_is_written_after_a_write_that_fails() {
    let (_, recorder) = stream(CHAT, BodyForm::Events, TEXT, Ok(0), None);
    assert!(recorder.ended);
    for fail_at in 0..recorder.calls {
        let (result, recorder) = stream(CHAT, BodyForm::Events, TEXT, Ok(0), Some(fail_at));
        assert_eq!(result, client_gone(), "at call {fail_at}");
        assert!(recorder.failed && !recorder.ended, "at call {fail_at}");
    }
}

#[test]
fn a_client_that_leaves_before_an_error_is_not_told() {
    let run = |fail_at| stream(CHAT, BodyForm::Events, &TEXT[..3], Err(cut().into()), fail_at);
    let (_, recorder) = run(None);
    for fail_at in 0..recorder.calls {
        let (result, recorder) = run(Some(fail_at));
        assert_eq!(result, client_gone(), "at call {fail_at}");
        assert!(recorder.failed && !recorder.ended, "at call {fail_at}");
    }
}

#[test]
fn a_ping_begins_the_stream_so_that_an_error_becomes_an_event() {
    let client = RefCell::new(stream_to(CHAT, Recorder::default()));
    let mut reads = 0;
    let result = relay_to(&client, BodyForm::Events, &mut |_: &mut [u8]| {
        reads += 1;
        client.borrow_mut().wake();
        assert_eq!(reads, 1, "read after a failure");
        Err(cut().into())
    });
    assert_eq!(result.map_err(text), Ok(()));
    let recorder = client.into_inner().into_writer();
    let names: Vec<String> =
        grammar::events(&recorder.written).expect("events").into_iter().map(|e| e.0).collect();
    assert_eq!(names, ["message_start", "ping", "error"]);
    assert!(recorder.ended);
}

#[test]
fn pings_fit_between_any_two_reads() {
    for (dialect, case) in streams() {
        let client = RefCell::new(stream_to(dialect, Recorder::default()));
        let mut read = reader(&case.input.chunks(40).collect::<Vec<_>>(), Ok(0));
        let result = relay_to(&client, BodyForm::Events, &mut |buffer: &mut [u8]| {
            client.borrow_mut().wake();
            read(buffer)
        });
        // Nothing may be left to the caller: the stream has begun.
        assert_eq!(result.map_err(text), Ok(()), "{}", case.name);
        let recorder = client.into_inner().into_writer();
        assert_eq!(grammar::check(&recorder.written), Ok(()), "{}", case.name);
    }
}

#[test]
fn a_failed_ping_is_the_last_write() {
    let recorder = Recorder { fail_at: Some(0), ..Recorder::default() };
    let client = RefCell::new(stream_to(CHAT, recorder));
    let mut read = reader(TEXT, Ok(0));
    let result = relay_to(&client, BodyForm::Events, &mut |buffer: &mut [u8]| {
        client.borrow_mut().wake();
        read(buffer)
    });
    assert_eq!(result.map_err(text), client_gone());
}

#[test]
fn golden_streams_pass_through_the_relay() {
    for (dialect, case) in streams() {
        let (events, _) = translate(dialect, [&case.input[..]]);
        let (result, recorder) = stream(dialect, BodyForm::Events, &[&case.input], Ok(0), None);
        if recorder.begun {
            assert_eq!(result, Ok(()), "{}", case.name);
            assert!(recorder.written == events, "{}", case.name);
            assert!(recorder.ended, "{}", case.name);
        } else {
            assert_ne!(result, Ok(()), "{}", case.name);
            // Nothing was said before the error, so it can be a status.
            let text = String::from_utf8(events).expect("UTF-8");
            assert!(!text.contains("content_block_start"), "{}: {text}", case.name);
            assert!(text.contains("event: error\n"), "{}: {text}", case.name);
        }
    }
}

#[test]
fn nothing_is_read_after_the_end() {
    let client = RefCell::new(stream_to(CHAT, Recorder::default()));
    let mut read = reader(TEXT, Err(cut().into()));
    let relayed = relay_to(&client, BodyForm::Events, &mut read);
    assert_eq!(relayed.map_err(text), Ok(()));
    let recorder = client.into_inner().into_writer();
    assert_eq!(last_event(&recorder).0, "message_stop");
}

/// The content of a streamed message, as the whole one shows it; `None` if it ends with an error.
fn folded(events: &[u8]) -> Option<Value> {
    let mut content: Vec<Value> = Vec::new();
    let mut stop = json!(null);
    for (name, data) in grammar::events(events).expect("events") {
        match &*name {
            "content_block_start" => content.push(data["content_block"].clone()),
            "content_block_delta" => {
                let block = content.last_mut().expect("a block");
                for (from, to) in
                    [("text", "text"), ("thinking", "thinking"), ("signature", "signature")]
                {
                    if let Some(piece) = data["delta"][from].as_str() {
                        block[to] =
                            json!(block[to].as_str().unwrap_or_default().to_owned() + piece);
                    }
                }
                if let Some(piece) = data["delta"]["partial_json"].as_str() {
                    block["input"] =
                        json!(block["input"].as_str().unwrap_or_default().to_owned() + piece);
                }
            }
            "message_delta" => stop = data,
            "error" => return None,
            _ => {}
        }
    }
    // What max_tokens cut in two is not in the whole message.
    content.retain_mut(|block| match block["input"].as_str().map(serde_json::from_str) {
        Some(Ok(input)) => {
            block["input"] = input;
            true
        }
        Some(Err(_)) => false,
        None => true,
    });
    let (delta, usage) = (&stop["delta"], &stop["usage"]);
    Some(json!({
        "id": "msg_test",
        "type": "message",
        "role": "assistant",
        "model": "claude-opus-5-5",
        "content": content,
        "stop_reason": delta["stop_reason"],
        "stop_sequence": delta["stop_sequence"],
        "usage": usage,
    }))
}

#[test]
fn a_stream_is_the_whole_message_in_pieces() {
    for (dialect, case) in streams() {
        let (events, _) = translate(dialect, [&case.input[..]]);
        let whole = whole(dialect, BodyForm::Events, &[&case.input], Ok(0));
        match (folded(&events), whole) {
            (Some(streamed), Ok(whole)) => assert_eq!(streamed, whole, "{}", case.name),
            (None, Err(_)) => {}
            // Arguments that are not JSON are the client's to judge, if it streams.
            (Some(_), Err(failure)) if failure.contains("not JSON") => {}
            (streamed, whole) => panic!("{}: {streamed:?} and {whole:?}", case.name),
        }
    }
}

#[test]
fn a_whole_completion_reaches_a_streaming_client_as_a_stream() {
    for (dialect, case) in answers() {
        let whole = whole(dialect, BodyForm::Whole, &[&case.input], Ok(0));
        let (result, recorder) = stream(dialect, BodyForm::Whole, &[&case.input], Ok(0), None);
        match whole {
            Ok(message) => {
                assert_eq!(result, Ok(()), "{}", case.name);
                assert_eq!(grammar::check(&recorder.written), Ok(()), "{}", case.name);
                assert_eq!(folded(&recorder.written), Some(message), "{}", case.name);
            }
            Err(failure) if recorder.begun => {
                assert!(failure.contains("not JSON"), "{}: {failure}", case.name);
            }
            Err(failure) => {
                assert_eq!(result, Err(failure), "{}", case.name);
                assert_eq!(recorder.calls, 0, "{}", case.name);
            }
        }
    }
}

#[test]
fn a_read_that_fails_leaves_no_whole_message() {
    let body: &[u8] = br#"{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}]"#;
    for error in errors() {
        let then = || Err(Failure::Error(error.clone()));
        let failed = || Err(text(Failure::Error(error.clone())));
        for count in 0..TEXT.len() - 1 {
            let result = whole(CHAT, BodyForm::Events, &TEXT[..count], then());
            assert_eq!(result, failed(), "after {count} reads");
        }
        assert_eq!(whole(CHAT, BodyForm::Whole, &[body], then()), failed());
        let (result, recorder) = stream(CHAT, BodyForm::Whole, &[body], then(), None);
        assert_eq!((result.map(|()| json!(null)), recorder.calls), (failed(), 0));
    }
    assert_eq!(whole(CHAT, BodyForm::Events, TEXT, Ok(0)).map(drop), Ok(()));
    assert_eq!(whole(CHAT, BodyForm::Events, &TEXT[..3], Err(Failure::ClientGone)), client_gone());
}

/// Relays zeros without an end, and returns how many bytes were read before that was refused.
fn endless(form: BodyForm) -> usize {
    let client = RefCell::new(stream_to(CHAT, Recorder::default()));
    let mut bytes = 0;
    let result = relay::stream(&client, form, &mut |buffer: &mut [u8]| {
        buffer.fill(b'0');
        bytes += buffer.len();
        Ok(buffer.len())
    });
    assert!(matches!(result, Err(Failure::Error(Error::Protocol { .. }))), "{result:?}");
    bytes
}

#[test]
fn a_body_without_an_end_is_refused() {
    assert!(endless(BodyForm::Events) <= FRAME_LIMIT_BYTES + 8192);
    assert!(endless(BodyForm::Whole) <= WHOLE_LIMIT_BYTES + 8192);
}

/// The text and the stop reason of a streamed message, or nothing if it ended otherwise.
pub(crate) fn said(
    dialect: Dialect,
    form: BodyForm,
    reads: &[&[u8]],
    then: Result<usize, Failure>,
) -> Option<(String, String)> {
    let (result, recorder) = stream(dialect, form, reads, then, None);
    result.ok()?;
    let events = grammar::events(&recorder.written).expect("events");
    let (name, _) = events.last()?;
    (name == "message_stop").then(|| {
        let texts = events.iter().filter_map(|(_, data)| data["delta"]["text"].as_str());
        let stops = events.iter().filter_map(|(_, data)| data["delta"]["stop_reason"].as_str());
        (texts.collect(), stops.collect())
    })
}

/// The text of a whole message and its stop reason, if there is one.
pub(crate) fn said_whole(
    dialect: Dialect,
    form: BodyForm,
    reads: &[&[u8]],
    then: Result<usize, Failure>,
) -> Option<(String, String)> {
    let message = whole(dialect, form, reads, then).ok()?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Some((text(&message["content"][0]["text"]), text(&message["stop_reason"])))
}

/// What comes behind the finish reason is no part of the answer: not its silence, not a reset, not half
/// a chunk of counts.
#[test]
fn an_answer_that_is_complete_is_kept_however_its_connection_ends() {
    let hello = || Some(("Hello there".to_owned(), "end_turn".to_owned()));
    let finished = &TEXT[..4];
    let half = [finished, &[&b"data: {\"choices\":[],\"usa"[..]]].concat();
    for reads in [finished, &half] {
        for error in errors() {
            let seen = said(CHAT, BodyForm::Events, reads, Err(error.clone().into()));
            assert_eq!(seen, hello(), "{error:?}");
            let seen = said_whole(CHAT, BodyForm::Events, reads, Err(error.into()));
            assert_eq!(seen, hello());
        }
        assert_eq!(said(CHAT, BodyForm::Events, reads, Ok(0)), hello());
    }
    let document: &[&[u8]] = &[
        b"{\"choices\":[{\"message\":{\"content\":\"Hello there\"},",
        b"\"finish_reason\":\"stop\"}]}",
    ];
    for error in errors() {
        assert_eq!(said(CHAT, BodyForm::Whole, document, Err(error.clone().into())), hello());
        assert_eq!(said_whole(CHAT, BodyForm::Whole, document, Err(error.into())), hello());
    }
    // Before it, an end is none; and a client that has gone has gone.
    for error in errors() {
        assert_eq!(said(CHAT, BodyForm::Events, &TEXT[..3], Err(error.clone().into())), None);
        assert_eq!(said(CHAT, BodyForm::Whole, &document[..1], Err(error.into())), None);
    }
    let (result, _) = stream(CHAT, BodyForm::Events, finished, Err(Failure::ClientGone), None);
    assert_eq!(result, client_gone());
}

/// Tells when it was said that nothing more is needed.
struct Watched<'a> {
    reads: Vec<&'a [u8]>,
    is_expected: Vec<usize>,
}

impl relay::Body for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        if self.reads.is_empty() {
            return Err(cut().into());
        }
        let read = self.reads.remove(0);
        buffer[..read.len()].copy_from_slice(read);
        Ok(read.len())
    }

    fn expect_end(&mut self) {
        self.is_expected.push(self.reads.len());
    }
}

#[test]
fn the_end_is_expected_from_the_finish_reason_on_and_comments_do_not_put_it_off() {
    let reads = [&TEXT[..4], &[b": still here\n\n", b": still here\n\n"]].concat();
    let mut body = Watched { reads, is_expected: Vec::new() };
    let client = RefCell::new(stream_to(CHAT, Recorder::default()));
    assert!(relay::stream(&client, BodyForm::Events, &mut body).is_ok());
    assert_eq!(body.is_expected, [2]);
}
