//! Chunks, or events of the Responses API, → events: the golden streams.

use std::sync::{Arc, LazyLock};

use ccproxy::anthropic;
use ccproxy::error::Error;
use ccproxy::openai::Dialect;
use ccproxy::provider::Provider;
use ccproxy::sse::Decoder;
use ccproxy::translate::{self, Learned, Stops, TextTools, ToolNames, Translator};

use crate::golden::{Case, Kind};
use crate::grammar;
use crate::support::target::target;

/// The golden streams of each API.
pub(crate) const STREAMS: [(Dialect, Kind); 2] = [
    (
        Dialect::ChatCompletions,
        Kind { dir: "stream", input: ".openai.sse", output: ".anthropic.sse" },
    ),
    (
        Dialect::Responses,
        Kind { dir: "responses/stream", input: ".responses.sse", output: ".anthropic.sse" },
    ),
];

/// All of them.
pub(crate) fn streams() -> impl Iterator<Item = (Dialect, Case)> {
    STREAMS
        .into_iter()
        .flat_map(|(dialect, kind)| kind.cases().into_iter().map(move |case| (dialect, case)))
}

/// The names of the one tool that has to be renamed upstream.
static NAMES: LazyLock<ToolNames> = LazyLock::new(|| {
    let request = br#"{
        "model": "claude-opus-5-5", "max_tokens": 100, "messages": [{"role": "user", "content": "?"}],
        "tools": [{
            "name": "mcp__knowledge_base__search_documents_by_full_text_and_metadata_filters",
            "input_schema": {"type": "object", "properties": {}}
        }]
    }"#;
    let request = anthropic::parse(request).expect("a request");
    let provider = Provider::find("custom").expect("a provider");
    let learned = Learned::default();
    let target = target(provider, Dialect::ChatCompletions, &learned);
    translate::translate(&request, &target).expect("a translation").names
});

/// A translator for an answer to the client that asked for `claude-opus-5-5`, with the stop sequences
/// `STOP`, which the provider takes, and `<END>` and `<END>\n---`, which it does not, and about 100
/// tokens.
pub(crate) fn translator(dialect: Dialect) -> Translator {
    let asked = ["STOP", "<END>", "<END>\n---"].map(str::to_owned);
    let stops = Stops::new(asked[1..].iter().cloned());
    let (id, model) = ("msg_test".to_owned(), "claude-opus-5-5".to_owned());
    Translator::new(dialect, id, model, NAMES.clone(), asked.to_vec(), stops, 100)
}

/// What a client sees of a stream that comes in `reads`, and the translator at its end. An error
/// shows as an event, also where it would become a status.
pub(crate) fn translate<'a>(
    dialect: Dialect,
    reads: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<u8>, Translator) {
    let mut translator = translator(dialect);
    let mut out = Vec::new();
    if let Err(error) = relay(reads, &mut translator, &mut out) {
        translator.fail(&error, &mut out);
    }
    (out, translator)
}

fn relay<'a>(
    reads: impl IntoIterator<Item = &'a [u8]>,
    translator: &mut Translator,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let mut decoder = Decoder::default();
    for read in reads {
        decoder.feed(read);
        while let Some(frame) = decoder.next_frame().expect("a short frame") {
            translator.frame(&frame, out)?;
        }
    }
    while let Some(frame) = decoder.finish() {
        translator.last_frame(&frame, out)?;
    }
    translator.finish(out)
}

#[test]
fn streams_are_translated() {
    for (dialect, kind) in STREAMS {
        kind.check(|case| {
            let (out, _) = translate(dialect, [&case.input[..]]);
            vec![(case.name.clone(), String::from_utf8(out).expect("UTF-8"))]
        });
    }
}

#[test]
fn every_stream_is_well_formed() {
    for (dialect, case) in streams() {
        let (out, _) = translate(dialect, [&case.input[..]]);
        assert_eq!(grammar::check(&out), Ok(()), "{}", case.name);
    }
}

#[test]
fn every_stream_tells_where_it_comes_from() {
    for (_, case) in streams() {
        let text = case.input.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&case.input);
        assert!(text.starts_with(b": "), "{} does not begin with a comment", case.name);
    }
}

#[test]
fn calls_written_as_text_are_calls_where_the_row_allows_it() {
    let pieces = [
        r#"{"choices":[{"delta":{"content":"Let me see.\n<tool_"}}]}"#,
        r#"{"choices":[{"delta":{"content":"call>{\"name\":\"Bash\",\"arguments\":{\"command\":\"ls\"}}"}}]}"#,
        r#"{"choices":[{"delta":{"content":"</tool_call>"},"finish_reason":"stop"}]}"#,
    ];
    let bash = || TextTools::new([("Bash", "{}")].into_iter(), &Arc::default());
    let other = || TextTools::new([("Read", "{}")].into_iter(), &Arc::default());
    for (tools, stop) in
        [(Some(bash()), "tool_use"), (Some(other()), "end_turn"), (None, "end_turn")]
    {
        let is_call = stop == "tool_use";
        let mut translator = translator(Dialect::ChatCompletions).with_text_tools(tools);
        let mut out = Vec::new();
        for piece in pieces {
            translator.chunk(piece.as_bytes(), &mut out).expect("a chunk");
        }
        translator.finish(&mut out).expect("an answer");
        assert_eq!(grammar::check(&out), Ok(()));
        let out = String::from_utf8(out).expect("UTF-8");
        assert!(out.contains(&format!("\"stop_reason\":\"{stop}\"")), "{out}");
        assert_eq!(out.contains("input_json_delta"), is_call, "{out}");
        assert_eq!(out.contains("call>{"), !is_call, "{out}");
        assert_eq!(translator.has_text_calls(), is_call);
    }
}

/// What a search has found is told behind a text, but not behind one that is data.
#[test]
fn nothing_is_added_to_data() {
    let chunk = br#"{"choices":[{"message":{"content":"{}","annotations":[{"type":"url_citation",
        "url_citation":{"url":"https://example.org/"}}]},"finish_reason":"stop"}]}"#;
    for (is_data, listed) in [(true, 0), (false, 1)] {
        let mut translator = translator(Dialect::ChatCompletions).of_data(is_data);
        let mut out = Vec::new();
        translator.whole(chunk, &mut out).expect("an answer");
        let out = String::from_utf8(out).expect("UTF-8");
        assert_eq!(out.matches("https://example.org/").count(), listed, "{out}");
    }
}
