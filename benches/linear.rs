//! Requests of which something is there very often. What they cost has to grow as they do.

use ccproxy::anthropic;
use ccproxy::openai::Dialect;
use ccproxy::provider::Provider;
use ccproxy::tokens::{estimate, rough_estimate};
use ccproxy::translate::{self, Learned, Target, native_request};

const HI: &str = r#"{"role":"user","content":"hi"}"#;
const NOTE: &str = r#"{"role":"system","content":"a note"}"#;
const HO: &str = r#"{"role":"assistant","content":"ho"}"#;

/// The request of a name, with so many of its things; `None` if there is no such name.
pub(crate) fn request(name: &str, count: usize) -> Option<Vec<u8>> {
    let each = |item: &dyn Fn(usize) -> String| (0..count).map(item).collect::<Vec<_>>().join(",");
    let all = |item: &str| each(&|n| item.replace('#', &n.to_string()));
    let messages = |messages: String| ("", messages, String::new());
    let tool =
        |schema: String| ("", HI.to_owned(), format!(r#"{{"name":"t","input_schema":{schema}}}"#));
    let object = |more: String| tool(format!(r#"{{"type":"object","properties":{{}},{more}}}"#));
    let (system, messages, tools) = match name {
        "calls" => messages(format!(
            r#"{HI},{{"role":"assistant","content":[{}]}},{{"role":"user","content":[{}]}}"#,
            all(r#"{"type":"tool_use","id":"t#","name":"get","input":{"a":1}}"#),
            all(
                r#"{"type":"tool_result","tool_use_id":"t#","content":"r","cache_control":{"type":"ephemeral"}}"#
            ),
        )),
        "turns" => messages(all(
            r#"{"role":"assistant","content":[{"type":"tool_use","id":"t#","name":"get","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t#","content":"r"}]}"#,
        )),
        "messages" => messages(all(&format!("{HI},{HO},{NOTE}"))),
        "notes" => messages(format!("{HI},{HO},{}", all(NOTE))),
        "prompt" => (
            r#"{"type":"text","text":"rule","cache_control":{"type":"ephemeral"}}"#,
            HI.to_owned(),
            String::new(),
        ),
        "all_of" => object(format!(
            r#""allOf":[{}]"#,
            all(r##"{"properties":{"p#":{"type":"string"}},"required":["p#"]}"##)
        )),
        "references" => object(format!(
            r#""allOf":[{}],"$defs":{{{}}}"#,
            each(&|n| format!(r##"{{"$ref":"#/$defs/d{n}"}}"##)),
            each(&|n| format!(r#""d{n}":{{"properties":{{"q{n}":{{"type":"string"}}}}}}"#)),
        )),
        "any_of" => object(format!(r#""anyOf":[{}]"#, all(r#"{"required":["p#"]}"#))),
        "values" => object(format!(r#""enum":[{}]"#, all(r#""v#""#))),
        // Each of them as deep as schemas of users have been seen.
        "deep" => tool(format!(
            r#"{{"type":"object","properties":{{{}}}}}"#,
            each(&|n| format!(
                r#""p{n}":{}{{"type":"string"}}{}"#,
                r#"{"type":"object","properties":{"a":"#.repeat(100),
                "}}".repeat(100)
            ))
        )),
        _ => return None,
    };
    let system = all(system);
    let request = format!(
        r#"{{"model":"m","max_tokens":99,"system":[{}],"tools":[{tools}],"messages":[{messages}]}}"#,
        if system.starts_with('{') { &*system } else { "" }
    );
    Some(request.into_bytes())
}

/// Reads a request, and writes it for services of every kind.
pub(crate) fn work(body: &[u8]) {
    let request = anthropic::parse(body).expect("it is valid");
    estimate(&request);
    rough_estimate(&request);
    let learned = Learned::default();
    for (name, api) in [
        ("custom", Dialect::ChatCompletions),
        ("gemini", Dialect::ChatCompletions),
        ("mistral", Dialect::ChatCompletions),
        ("openrouter", Dialect::ChatCompletions),
        ("openai", Dialect::Responses),
    ] {
        let target = Target {
            provider: Provider::find(name).expect("a row"),
            model: "m",
            max_tokens: 0,
            images: true,
            api,
            session: None,
            learned: &learned,
        };
        let translated = translate::translate(&request, &target).expect("it can be translated");
        translated.wanted.encode(body).expect("it is waited for");
    }
    let row = Provider::find("zai").expect("a row");
    native_request(body, &request, row, "m", None, None).expect("there is no thread");
}
