//! What an input costs, from either side: at most [`TIMES`] its bytes and [`FREE_BYTES`] of memory, or a
//! refusal, and twice of it no more than two and a half times the work; and no more than is counted for
//! it where the memory is given out. Nothing is timed: the allocator counts.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use ccproxy::anthropic::{self, MessagesRequest};
use ccproxy::error::Error;
use ccproxy::memory;
use ccproxy::openai::Dialect;
use ccproxy::provider::Provider;
use ccproxy::relay::{self, BodyForm};
use ccproxy::tokens::estimate;
use ccproxy::translate::native::Native;
use ccproxy::translate::{self, Learned};

use crate::stream::translator;
use crate::support::target::target;

const TIMES: usize = 8;
const FREE_BYTES: usize = 1 << 20;

/// What is sent by a provider is held by the test once, and not by who reads it.
const SENT: usize = 1;

/// Counts what this thread holds, and all that it has ever asked for.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
    static ASKED: Cell<usize> = const { Cell::new(0) };
}

fn count(more: isize) {
    // While a thread ends there is nothing to count with.
    let _ = HELD.try_with(|held| {
        held.set(held.get() + more);
        PEAK.with(|peak| peak.set(peak.get().max(held.get())));
    });
    let _ = ASKED.try_with(|asked| asked.set(asked.get() + more.max(0) as usize));
}

// SAFETY: `System` does it all; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// The most that `work` held beside what there was, and all that it asked for.
fn cost(work: impl FnOnce()) -> (usize, usize) {
    let before = HELD.get();
    PEAK.set(before);
    ASKED.set(0);
    work();
    ((PEAK.get() - before) as usize, ASKED.get())
}

/// A request as it is read, counted, translated and written.
fn request(body: &[u8], provider: &Provider, api: Dialect) {
    let Ok(request) = anthropic::parse(body) else { return };
    estimate(&request);
    send(&request, body, provider, api);
}

fn send(request: &MessagesRequest<'_>, body: &[u8], provider: &Provider, api: Dialect) {
    let learned = Learned::default();
    let target = target(provider, api, &learned);
    let Ok(translated) = translate::translate(request, &target) else { return };
    translated.wanted.encode(body).expect("it is waited for");
}

/// Hands out `body` in reads of the size that they have.
fn reads(body: &[u8]) -> impl FnMut(&mut [u8]) -> Result<usize, ccproxy::client::Failure> {
    let mut rest = body;
    move |buffer| {
        let n = rest.len().min(buffer.len());
        let (read, more) = rest.split_at(n);
        buffer[..n].copy_from_slice(read);
        rest = more;
        Ok(n)
    }
}

/// An answer as a client gets it that does not stream.
fn whole(body: &[u8], dialect: Dialect, form: BodyForm) {
    let message = relay::whole(&mut translator(dialect), form, &mut reads(body));
    if let Ok(message) = message {
        serde_json::to_vec(&message).expect("it serializes");
    }
}

fn native(body: &[u8]) {
    let mut native = Native::new("m".to_owned());
    for read in body.chunks(8192) {
        let mut out = Vec::new();
        if native.feed(read, &mut out).is_err() {
            return;
        }
    }
}

/// `[item,item,…]` of about `bytes`.
fn list(item: &str, bytes: usize) -> String {
    let count = bytes / (item.len() + 1) + 1;
    let mut list = String::with_capacity(count * (item.len() + 1) + 2);
    list.push('[');
    for n in 0..count {
        list.push_str(if n > 0 { "," } else { "" });
        list.push_str(&item.replace('#', &n.to_string()));
    }
    list.push(']');
    list
}

/// Requests of small things: a name, and where the list of them stands for `$`, or a text of them for `@`.
const REQUESTS: &[(&str, &str, &str)] = &[
    ("tools", r#""tools":$,"messages":[{"role":"user","content":"hi"}]"#, "{}"),
    (
        "tools",
        r#""tools":$,"messages":[{"role":"user","content":"hi"}]"#,
        r#"{"name":"a#","input_schema":{}}"#,
    ),
    (
        "stop sequences",
        r#""stop_sequences":$,"messages":[{"role":"user","content":"hi"}]"#,
        r#""""#,
    ),
    (
        "stop sequences",
        r#""stop_sequences":$,"messages":[{"role":"user","content":"hi"}]"#,
        r#""a#""#,
    ),
    (
        "system",
        r#""system":$,"messages":[{"role":"user","content":"hi"}]"#,
        r#"{"type":"text","text":"a"}"#,
    ),
    ("blocks", r#""messages":[{"role":"user","content":$}]"#, r#"{"type":""}"#),
    ("blocks", r#""messages":[{"role":"user","content":$}]"#, r#"{"type":"a#"}"#),
    ("texts", r#""messages":[{"role":"user","content":$}]"#, r#"{"type":"text","text":""}"#),
    ("texts", r#""messages":[{"role":"user","content":$}]"#, r#"{"type":"text","text":"a"}"#),
    ("a long text", r#""messages":[{"role":"user","content":"@"}]"#, "a long text "),
    ("a long text with escapes", r#""messages":[{"role":"user","content":"@"}]"#, r"a\ntext "),
    (
        "a long result",
        r#""messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":"@"}]}]"#,
        r"a\ntext ",
    ),
    (
        "an image",
        r#""messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"@"}}]}]"#,
        "AAAA",
    ),
    (
        "texts with an escape",
        r#""messages":[{"role":"user","content":$}]"#,
        r#"{"type":"text","text":"a\n"}"#,
    ),
    ("messages", r#""messages":$"#, r#"{"role":"user","content":"a"}"#),
    (
        "turns",
        r#""messages":$"#,
        r#"{"role":"user","content":"a"},{"role":"assistant","content":"b"}"#,
    ),
    (
        "calls",
        r#""messages":[{"role":"assistant","content":$}]"#,
        r#"{"type":"tool_use","id":"a#","name":"b"}"#,
    ),
    (
        "results",
        r#""messages":[{"role":"user","content":$}]"#,
        r#"{"type":"tool_result","tool_use_id":"a#"}"#,
    ),
    (
        "images",
        r#""messages":[{"role":"user","content":$}]"#,
        r#"{"type":"image","source":{"type":"url","url":"u"}}"#,
    ),
    (
        "thoughts",
        r#""messages":[{"role":"assistant","content":$}]"#,
        r#"{"type":"thinking","thinking":"a"}"#,
    ),
    (
        "results in one",
        r#""messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":$}]}]"#,
        r#"{"type":"text","text":"a"}"#,
    ),
    (
        "allOf",
        r#""tools":[{"name":"a","input_schema":{"allOf":$}}],"messages":[{"role":"user","content":"hi"}]"#,
        r#"{"properties":{"a#":{"type":"string"}},"required":["a#"]}"#,
    ),
    (
        "anyOf",
        r#""tools":[{"name":"a","input_schema":{"anyOf":$}}],"messages":[{"role":"user","content":"hi"}]"#,
        r#"{"properties":{"a#":{"type":"string"}},"required":["a#"]}"#,
    ),
    (
        "oneOf",
        r#""tools":[{"name":"a","input_schema":{"oneOf":$,"description":"long, very long, really long"}}],"messages":[{"role":"user","content":"hi"}]"#,
        r#"{"k#":1}"#,
    ),
    (
        "keywords",
        r#""tools":[{"name":"a","input_schema":{"allOf":$}}],"messages":[{"role":"user","content":"hi"}]"#,
        r#"{"k#":1}"#,
    ),
    (
        "types",
        r#""tools":[{"name":"a","input_schema":{"type":"object","properties":{"a":{"type":$,"enum":$}}}}],"messages":[{"role":"user","content":"hi"}]"#,
        r#""string""#,
    ),
    (
        "references",
        r#""tools":$,"messages":[{"role":"user","content":"hi"}]"#,
        r##"{"name":"a","input_schema":{"type":"object","properties":{"x":{"$ref":"#/$defs/a"}},"$defs":{"a":{"properties":{"l":{"$ref":"#/$defs/b"},"r":{"$ref":"#/$defs/b"},"m":{"$ref":"#/$defs/b"}}},"b":{"properties":{"l":{"$ref":"#/$defs/c"},"r":{"$ref":"#/$defs/c"},"m":{"$ref":"#/$defs/c"}}},"c":{"properties":{"l":{"$ref":"#/$defs/d"},"r":{"$ref":"#/$defs/d"},"m":{"$ref":"#/$defs/d"}}},"d":{"type":"string","description":"something to be written many times"}}}}"##,
    ),
];

/// Answers of small things, in the same way.
const ANSWERS: &[(&str, Dialect, &str, &str)] = &[
    ("choices", Dialect::ChatCompletions, r#"{"choices":$}"#, "{}"),
    ("tool calls", Dialect::ChatCompletions, r#"{"choices":[{"delta":{"tool_calls":$}}]}"#, "{}"),
    (
        "tool calls",
        Dialect::ChatCompletions,
        r#"{"choices":[{"delta":{"tool_calls":$}}]}"#,
        r#"{"index":#,"function":{"name":"a"}}"#,
    ),
    (
        "parts",
        Dialect::ChatCompletions,
        r#"{"choices":[{"delta":{"content":$},"finish_reason":"stop"}]}"#,
        "{}",
    ),
    (
        "parts",
        Dialect::ChatCompletions,
        r#"{"choices":[{"delta":{"content":$},"finish_reason":"stop"}]}"#,
        r#"{"text":"a"}"#,
    ),
    (
        "parts in turn",
        Dialect::ChatCompletions,
        r#"{"choices":[{"delta":{"content":$},"finish_reason":"stop"}]}"#,
        r#"{"thinking":"a"},{"text":"a"}"#,
    ),
    (
        "details",
        Dialect::ChatCompletions,
        r#"{"choices":[{"delta":{"reasoning_details":$}}]}"#,
        r#"{"a":1}"#,
    ),
    (
        "details",
        Dialect::ChatCompletions,
        r#"{"choices":[{"delta":{"reasoning_details":[{"a":$}]}}]}"#,
        "1",
    ),
    (
        "a long text",
        Dialect::ChatCompletions,
        r#"{"choices":[{"delta":{"content":"@"},"finish_reason":"stop"}]}"#,
        r"a\ntext ",
    ),
    ("errors", Dialect::ChatCompletions, r#"{"error":$}"#, "1"),
    ("errors", Dialect::ChatCompletions, r#"{"error":$}"#, r#"{"a":1}"#),
    ("output", Dialect::Responses, r#"{"status":"completed","output":$}"#, "{}"),
    (
        "output",
        Dialect::Responses,
        r#"{"type":"response.completed","response":{"output":$}}"#,
        r#"{"type":"message","content":[{"text":"a"}]}"#,
    ),
    (
        "output parts",
        Dialect::Responses,
        r#"{"status":"completed","output":[{"type":"message","content":$}]}"#,
        r#"{"text":"a"}"#,
    ),
    (
        "summaries",
        Dialect::Responses,
        r#"{"status":"completed","output":[{"type":"reasoning","encrypted_content":"e","summary":$}]}"#,
        r#"{"text":"a"}"#,
    ),
    ("errors", Dialect::Responses, r#"{"type":"error","message":$}"#, "1"),
];

fn filled(form: &str, item: &str, bytes: usize) -> Vec<u8> {
    let text = item.repeat(bytes / item.len());
    form.replace('$', &list(item, bytes)).replace('@', &text).into_bytes()
}

/// Inputs of two sizes, one twice the other, each with what is counted for it.
fn sizes(
    input: impl Fn(usize) -> Vec<u8>,
    counted: impl Fn(&[u8]) -> usize,
) -> [(Vec<u8>, usize); 2] {
    [250_000, 500_000].map(|bytes| {
        let input = input(bytes);
        let counted = counted(&input);
        (input, counted)
    })
}

/// Measures `work` of inputs. The memory for it is given out by what is counted for them.
fn check(what: &str, sizes: &[(Vec<u8>, usize); 2], work: impl Fn(&[u8])) -> Vec<String> {
    let mut faults = Vec::new();
    let mut asked = Vec::new();
    for (input, counted) in sizes {
        let (peak, all) = cost(|| work(input));
        asked.push(all);
        let bound = input.len() * TIMES + FREE_BYTES;
        let counted = counted + memory::IN_FLIGHT;
        if peak + input.len() > bound.min(counted) {
            let length = input.len();
            faults.push(format!("{what}: {length} bytes hold {peak}, {counted} are counted"));
        }
    }
    if asked[1] > asked[0] * 5 / 2 + FREE_BYTES {
        faults.push(format!("{what}: twice the input asks for {asked:?}"));
    }
    faults
}

/// What is counted for a request.
fn counted(body: &[u8]) -> usize {
    let asked = Cell::new(0);
    let ask = |bytes| {
        asked.set(asked.get().max(bytes));
        Ok(())
    };
    drop(anthropic::parse_within(body, &ask));
    body.len() + asked.get()
}

/// What is counted for an answer that is there so many times beside what is made of it.
fn sent(times: usize) -> impl Fn(&[u8]) -> usize {
    move |body| memory::cost(body) + times * body.len()
}

/// Requests of large things: what takes most of their bytes, and how it stands in them.
const LARGE: &[(&str, &str, &str)] = &[
    ("plain text", "[{\"role\":\"user\",\"content\":\"@\"}]", "some words of a text, "),
    ("escaped text", "[{\"role\":\"user\",\"content\":\"@\"}]", r#"a \"line\"\n\té\u00e9 "#),
    (
        "texts in one message",
        "[{\"role\":\"user\",\"content\":$}]",
        r#"{"type":"text","text":"LONG"}"#,
    ),
    (
        "tool results",
        "$",
        r#"{"role":"assistant","content":[{"type":"tool_use","id":"t#","name":"read","input":{"path":"a/file.rs"}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t#","content":"LONG"}]}"#,
    ),
    (
        "messages",
        "$",
        r#"{"role":"user","content":"WORDS"},{"role":"assistant","content":"WORDS"}"#,
    ),
    (
        "calls and results",
        "$",
        r#"{"role":"assistant","content":[{"type":"tool_use","id":"t#","name":"read","input":{"path":"a/file.rs"}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t#","content":"WORDS WORDS WORDS"}]}"#,
    ),
    (
        "images",
        "$",
        r#"{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"LONG"}}]}"#,
    ),
];

/// As nearly all of a request stands in it as it is sent, it is not there twice.
#[test]
fn a_large_request_takes_half_its_size_beside_it() {
    let mut faults = Vec::new();
    let line = r#"    let value = read(\"file\")?; // a line of code\n"#;
    for api in [Dialect::ChatCompletions, Dialect::Responses] {
        let check = |what: &str, body: &[u8]| {
            let provider = Provider::find("custom").expect("a row");
            let asked = Cell::new(0);
            let ask = |bytes| {
                asked.set(asked.get().max(bytes));
                Ok(())
            };
            let (peak, _) = cost(|| {
                let request = anthropic::parse_within(body, &ask).expect(what);
                send(&request, body, provider, api);
            });
            let counted = body.len() + asked.get();
            let bound = body.len() / 2 + (1 << 20);
            (peak > bound || counted + memory::IN_FLIGHT < body.len() + peak).then(|| {
                format!("{what}: {} bytes hold {peak} more, {counted} counted", body.len())
            })
        };
        for (what, form, item) in LARGE {
            let form = format!(r#"{{"model":"m","max_tokens":9,"messages":{form}}}"#);
            let item = item.replace("LONG", &line.repeat(200)).replace("WORDS", &line.repeat(15));
            faults.extend(check(what, &filled(&form, &item, 4_000_000)));
        }
        let property = r#""p#":{"type":"string","description":"what it is for, in some words"}"#;
        let properties: String =
            (0..200).map(|n| property.replace('#', &n.to_string()) + ",").collect();
        let tool = format!(
            r#"{{"name":"tool_#","description":"LONG","input_schema":{{"type":"object","properties":{{{}}}}}}}"#,
            properties.trim_end_matches(',')
        );
        let tools: Vec<String> = (0..200)
            .map(|n| {
                tool.replace("tool_#", &format!("tool_{n}")).replace("LONG", &line.repeat(100))
            })
            .collect();
        let body = format!(
            r#"{{"model":"m","max_tokens":9,"tools":[{}],"messages":[{{"role":"user","content":"hi"}}]}}"#,
            tools.join(",")
        );
        faults.extend(check("200 tools", body.as_bytes()));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// As many as the API takes, or as have been seen with clients. What they cost grows with how many
/// there are: benches/linear.rs counts it.
#[test]
fn a_request_of_very_many_things_is_taken() {
    let count = |item: &str, count: usize| {
        let items: Vec<String> = (0..count).map(|n| item.replace('#', &n.to_string())).collect();
        items.join(",")
    };
    let words = "what is said in few words, ".repeat(2);
    let message = format!(r#"{{"role":"user","content":"{words}"}}"#);
    let calls = r#"{"type":"tool_use","id":"toolu_#","name":"get","input":{"path":"a/file.rs"}}"#;
    let results = r#"{"type":"tool_result","tool_use_id":"toolu_#","content":"a line of it"}"#;
    let part = r#"{"properties":{"p#":{"type":"string"}},"required":["p#"]}"#;
    let hi = r#"{"role":"user","content":"hi"}"#;
    for (what, tools, messages) in [
        ("messages", String::new(), count(&message, 100_000)),
        (
            "calls",
            String::new(),
            format!(
                r#"{hi},{{"role":"assistant","content":[{}]}},{{"role":"user","content":[{}]}}"#,
                count(calls, 32_000),
                count(results, 32_000)
            ),
        ),
        (
            "parts of a schema",
            format!(r#"{{"name":"t","input_schema":{{"allOf":[{}]}}}}"#, count(part, 8_000)),
            hi.to_owned(),
        ),
    ] {
        let body =
            format!(r#"{{"model":"m","max_tokens":9,"tools":[{tools}],"messages":[{messages}]}}"#);
        let request = anthropic::parse(body.as_bytes()).expect(what);
        let learned = Learned::default();
        for api in [Dialect::ChatCompletions, Dialect::Responses] {
            let target = target(Provider::find("openai").expect("a row"), api, &learned);
            let translated = translate::translate(&request, &target).expect(what);
            let written = translated.wanted.encode(body.as_bytes()).expect(what);
            assert!(written.len() > body.len() / 2, "{what}: {} bytes", written.len());
        }
    }
}

/// Who leaves while a long request is translated ends that at the next tool or message.
#[test]
fn a_request_is_translated_for_as_long_as_its_client_waits() {
    let turn = r#"{"role":"user","content":"hi"},{"role":"assistant","content":[{"type":"tool_use","id":"a#","name":"t1"}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"a#","content":"LONG"}]}"#;
    let turn = turn.replace("LONG", &"ho ".repeat(50));
    let tool = r#"{"name":"t#","input_schema":{"type":"object","allOf":[{"properties":{"a":{"type":"string"}}},{"properties":{"b":{"type":"string"}}}]}}"#;
    let body = format!(
        r#"{{"model":"m","max_tokens":9,"tools":{},"messages":{}}}"#,
        list(tool, 150_000),
        list(&turn, 500_000)
    );
    // How often it may be asked until the client has left.
    let left = Cell::new(usize::MAX);
    let ask = |_| {
        left.set(left.get().saturating_sub(1));
        if left.get() == 0 { Err(Error::Internal) } else { Ok(()) }
    };
    let request = anthropic::parse_within(body.as_bytes(), &ask).expect("it is valid");
    let learned = Learned::default();
    for (name, api) in [
        ("gemini", Dialect::ChatCompletions),
        ("custom", Dialect::ChatCompletions),
        ("custom", Dialect::Responses),
    ] {
        let target = target(Provider::find(name).expect("a row"), api, &learned);
        let translated = || translate::translate(&request, &target);
        let (_, translating) = cost(|| drop(translated().expect("it is translated")));
        left.set(20);
        let (_, asked) = cost(|| assert!(translated().is_err(), "{name}"));
        assert!(asked < translating / 2, "{name}: {asked} bytes of {translating}");

        left.set(usize::MAX);
        let written = || translated().expect("it is translated").wanted;
        let [wanted, other] = [written(), written()];
        let (_, encoding) = cost(|| drop(wanted.encode(body.as_bytes()).expect("it is written")));
        left.set(20);
        let (_, asked) = cost(|| assert!(other.encode(body.as_bytes()).is_err(), "{name}"));
        assert!(asked < encoding / 4, "{name}: {asked} bytes of {encoding}");
        left.set(usize::MAX);
    }
}

#[test]
fn a_request_of_small_things_costs_little() {
    let mut faults = Vec::new();
    for (what, form, item) in REQUESTS {
        let form = format!(r#"{{"model":"m","max_tokens":9,{form}}}"#);
        let sizes = sizes(|bytes| filled(&form, item, bytes), counted);
        for name in ["custom", "gemini"] {
            let provider = Provider::find(name).expect("a row");
            let what = format!("{what} of {item:.40} for {name}");
            for api in [Dialect::ChatCompletions, Dialect::Responses] {
                faults.extend(check(&what, &sizes, |body| request(body, provider, api)));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn an_answer_of_small_things_costs_little() {
    let mut faults = Vec::new();
    for (what, dialect, form, item) in ANSWERS {
        let what = format!("{what} of {item:.40}");
        let body = |bytes| filled(form, item, bytes);
        let form_of = |form| move |body: &[u8]| whole(body, *dialect, form);
        let bodies = sizes(body, sent(SENT));
        faults.extend(check(&format!("{what}, whole"), &bodies, form_of(BodyForm::Whole)));
        let stream = |bytes| {
            let body = String::from_utf8(body(bytes)).expect("UTF-8");
            format!("data: {body}\n\n").into_bytes()
        };
        let streams = sizes(stream, sent(SENT + 1));
        faults.extend(check(&format!("{what}, streamed"), &streams, form_of(BodyForm::Events)));
    }
    for frame in ["\n", "\r\n", ":\n\n", "data: {}\n\n", "event: ping\n\n"] {
        let input = |bytes: usize| frame.repeat(bytes / frame.len()).into_bytes();
        let what = format!("frames {frame:?}");
        faults.extend(check(&format!("{what}, native"), &sizes(input, sent(SENT)), native));
        let events = |body: &[u8]| whole(body, Dialect::ChatCompletions, BodyForm::Events);
        faults.extend(check(&what, &sizes(input, sent(SENT + 1)), events));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
