//! What may be given any bytes, and what must hold whatever they are: the pure parts of ccproxy.

use ccproxy::anthropic;
use ccproxy::door::proxy_protocol;
use ccproxy::openai::Dialect;
use ccproxy::provider::{PROVIDERS, Provider};
use ccproxy::sse::Decoder;
use ccproxy::tokens::estimate;
use ccproxy::translate::native::{self, Native};
use ccproxy::translate::{
    Context, Learned, Said, Stops, Target, Telling, ToolNames, Translator, native_request,
    translate, upstream_error,
};

/// A body of a client: it is refused, or becomes JSON for every kind of provider.
pub(super) fn request(data: &[u8]) {
    let Ok(request) = anthropic::parse(data) else { return };
    estimate(&request);
    let learned = Learned::default();
    // The first byte behind the body's own chooses, so that each is met.
    let provider = &PROVIDERS[data.len() % PROVIDERS.len()];
    for api in [Dialect::ChatCompletions, Dialect::Responses] {
        let (max_tokens, images) = (provider.max_tokens_of(provider.model), provider.images);
        let target = Target {
            provider,
            model: "m",
            max_tokens,
            images,
            api,
            session: None,
            learned: &learned,
        };
        if let Ok(translated) = translate(&request, &target) {
            is_json(&translated.wanted.encode(data).expect("it is waited for").to_vec());
        }
    }
    if let Ok((body, _)) = native_request(data, &request, provider, "m", Some(9), None) {
        is_json(&body.to_vec());
    }
}

fn is_json(sent: &[u8]) {
    assert!(serde_json::from_slice::<serde_json::Value>(sent).is_ok(), "no JSON is sent");
}

/// A provider's stream, cut after the first byte's number of bytes: one message that ends once.
pub(super) fn answer(data: &[u8]) {
    let Some((first, body)) = data.split_first() else { return };
    for dialect in [Dialect::ChatCompletions, Dialect::Responses] {
        let (id, model) = ("msg_1".to_owned(), "m".to_owned());
        let names = ToolNames::default();
        let mut translator =
            Translator::new(dialect, id, model, names, Vec::new(), Stops::default(), 1);
        let mut out = Vec::new();
        let mut decoder = Decoder::default();
        let mut ended = Ok(());
        for piece in body.chunks(usize::from(*first) + 1) {
            decoder.feed(piece);
            while let (Ok(()), Ok(Some(frame))) = (&ended, decoder.next_frame()) {
                ended = translator.frame(&frame, &mut out);
            }
        }
        if let Err(error) = ended.and_then(|()| translator.finish(&mut out)) {
            translator.fail(&error, &mut out);
        }
        let text = String::from_utf8(out).expect("UTF-8");
        let events: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
        let ends = |event: &&&str| matches!(**event, "message_stop" | "error");
        assert_eq!(events.iter().filter(ends).count(), 1, "{text}");
        assert!(events.last().is_some_and(|last| ends(&last)), "{text}");
    }
}

/// A stream, and a whole message, of a provider's own Messages API.
pub(super) fn native(data: &[u8]) {
    let Some((first, body)) = data.split_first() else { return };
    let (mut whole, mut cut) = (Vec::new(), Vec::new());
    for (size, out) in [(body.len().max(1), &mut whole), (usize::from(*first) + 1, &mut cut)] {
        let mut native = Native::new("m".to_owned());
        let fed = body.chunks(size).try_for_each(|piece| native.feed(piece, out));
        let _ = fed.and_then(|()| native.finish(out));
    }
    assert_eq!(whole, cut, "how it is cut shows");
    let _ = native::whole(body.to_vec(), "m");
}

/// A provider's error: it is told, and may teach.
pub(super) fn refusal(data: &[u8]) {
    let Some((first, body)) = data.split_first() else { return };
    let status = [400, 401, 402, 404, 413, 422, 429, 500, 503][usize::from(*first) % 9];
    let said = Said::read(body);
    let error = upstream_error(status, &said, Default::default(), Context::default());
    assert!((400..600).contains(&error.status()) && !error.to_string().is_empty());
    let request = br#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"a"}]}"#;
    let request = anthropic::parse(request).expect("a request");
    let learned = Learned::default();
    let provider = Provider::find("openai").expect("a row");
    let api = Dialect::ChatCompletions;
    let target = Target {
        provider,
        model: "m",
        max_tokens: 9,
        images: true,
        api,
        session: None,
        learned: &learned,
    };
    let wanted = translate(&request, &target).expect("a translation").wanted;
    let telling = Telling::of(status, &said);
    if let Some(lesson) = telling.and_then(|telling| telling.lesson(&learned, &wanted.sent())) {
        let mut learned = Learned::default();
        learned.add(lesson.clone());
        assert!(!lesson.is_lasting() || learned.lessons().contains(&lesson));
    }
}

/// What a connection from a proxy begins with: how much of it has come shows only in when it is told.
pub(super) fn proxy_header(data: &[u8]) {
    let whole = proxy_protocol::read(data);
    for cut in 0..data.len() {
        let part = proxy_protocol::read(&data[..cut]);
        assert!(part == Ok(None) || part == whole, "{cut}: {part:?}, then {whole:?}");
    }
    match whole {
        Ok(Some(header)) => assert!((15..=16 + 65_535).contains(&header.length)),
        // Nobody is waited for who has said all of the longest header but what is passed over.
        Ok(None) => assert!(data.len() < 16 + 216),
        Err(error) => assert!(error.status() == 400 && !error.to_string().is_empty()),
    }
}
