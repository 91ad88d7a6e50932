//! What refusals teach, in the words of the services; where a word is from stands in
//! `src/provider/rows.rs` and in the issues that quote it.

use ccproxy::anthropic;
use ccproxy::openai::Dialect;
use ccproxy::provider::Provider;
use ccproxy::translate::{
    Learned, Lesson, Param, Report, Said, Sent, Stops, Target, Telling, translate,
};
use serde_json::{Value, json};

use crate::support::target::target;

/// A request that has everything that may be refused.
fn everything() -> Value {
    let tool = |name: String| {
        json!({ "name": name, "description": "d", "input_schema": {
            "$schema": "s", "type": "object", "properties": { "a": { "type": "string", "format": "uri" } },
            "additionalProperties": false } })
    };
    json!({
        "model": "grok-4.5", "max_tokens": 200_000, "stream": true,
        "temperature": 0.5, "top_p": 0.5, "top_k": 5, "stop_sequences": ["a", "b", "c", "d"],
        "thinking": { "type": "adaptive" },
        "output_config": { "effort": "xhigh", "format": { "type": "json_schema", "schema": {} } },
        "tool_choice": { "type": "any", "disable_parallel_tool_use": true },
        "tools": (0..140).map(|n| tool(format!("t{n}"))).collect::<Vec<_>>(),
        "messages": [
            { "role": "user", "content": [
                { "type": "text", "text": "look" },
                { "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "aGk=" } },
            ] },
            { "role": "assistant", "content": [{ "type": "tool_use", "id": "toolu_1", "name": "t0", "input": {} }] },
            { "role": "user", "content": [
                { "type": "tool_result", "tool_use_id": "toolu_1", "content": "done" },
                { "type": "text", "text": "go on" },
            ] },
        ],
    })
}

/// A row that takes everything, so that everything is sent.
fn row() -> Provider {
    let xai = Provider::find("xai").expect("a row");
    Provider { efforts: xai.efforts, top_k: true, ..Provider::COMPATIBLE }
}

/// The request as JSON, with what was learned.
fn sent(body: &Value, dialect: Dialect, learned: &Learned) -> Value {
    let bytes = body.to_string();
    let request = anthropic::parse(bytes.as_bytes()).expect("a request");
    let row = row();
    let target = Target { model: "grok-4.5", ..target(&row, dialect, learned) };
    let wanted = translate(&request, &target).expect("a translation").wanted;
    let json = serde_json::to_string(&wanted.write()).expect("it serializes");
    serde_json::from_str(&json).expect("it is JSON")
}

/// What `refusal` teaches about a request in `dialect`, or nothing.
fn lesson(dialect: Dialect, status: u16, refusal: &str) -> (String, Value) {
    let body = everything();
    let bytes = body.to_string();
    let request = anthropic::parse(bytes.as_bytes()).expect("a request");
    let row = row();
    let nothing = Learned::default();
    let target = Target { model: "grok-4.5", ..target(&row, dialect, &nothing) };
    let wanted = translate(&request, &target).expect("a translation").wanted;
    let sent = wanted.sent();
    let Some(lesson) = lesson_of(&nothing, status, refusal, &sent) else {
        return (String::new(), Value::Null);
    };
    let mut learned = Learned::default();
    learned.add(lesson.clone());
    // It teaches nothing twice: the next refusal is the client's.
    if lesson.is_lasting() {
        assert_eq!(lesson_of(&learned, status, refusal, &sent), None, "{refusal}");
    }
    (lesson.to_string(), self::sent(&body, dialect, &learned))
}

/// What a refusal teaches.
fn lesson_of(learned: &Learned, status: u16, body: &str, sent: &Sent<'_>) -> Option<Lesson> {
    Telling::of(status, &Said::read(body.as_bytes()))?.lesson(learned, sent)
}

#[test]
fn the_words_of_the_services_are_understood() {
    const CHAT: Dialect = Dialect::ChatCompletions;
    let mut wrong = Vec::new();
    for (refusal, wanted) in [
        // OpenAI
        (
            r#"{"error":{"message":"Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.","param":"max_tokens","code":"unsupported_parameter"}}"#,
            "uses max_completion_tokens",
        ),
        (
            r#"{"error":{"message":"max_tokens is too large: 200000. This model supports at most 16384 completion tokens, whereas you provided 200000.","param":"max_tokens","code":null}}"#,
            "max_tokens <= 16384",
        ),
        (
            r#"{"error":{"message":"Unsupported value: 'temperature' does not support 0.5 with this model. Only the default (1) value is supported.","param":"temperature","code":"unsupported_value"}}"#,
            "without temperature",
        ),
        (
            r#"{"error":{"message":"Unsupported parameter: 'stop' is not supported with this model.","param":"stop","code":"unsupported_parameter"}}"#,
            "without stop",
        ),
        (
            r#"{"error":{"message":"Invalid 'stop': array too long. Expected an array with maximum length 2, but got an array with length 4 instead.","param":"stop","code":"array_above_max_length"}}"#,
            "stop_sequences <= 2",
        ),
        (
            r#"{"error":{"message":"Invalid 'tools': array too long. Expected an array with maximum length 128, but got an array with length 140 instead.","param":"tools","code":"array_above_max_length"}}"#,
            "tools <= 128",
        ),
        (
            r#"{"error":{"message":"Unsupported value: 'high' is not supported with the 'gpt-5.1' model. Supported values are: 'none', 'low', and 'medium'.","param":"reasoning_effort","code":"unsupported_value"}}"#,
            "effort none|low|medium",
        ),
        (
            r#"{"error":{"message":"Function tools with reasoning_effort are not supported for gpt-5.4 in /v1/chat/completions. Please use /v1/responses instead.","param":"reasoning_effort","code":null}}"#,
            "asked through /responses",
        ),
        (
            r#"{"error":{"message":"Unrecognized request argument supplied: top_k","param":null,"code":null}}"#,
            "without top_k",
        ),
        // Groq
        (
            r#"{"error":{"message":"property 'parallel_tool_calls' is unsupported","type":"invalid_request_error"}}"#,
            "without parallel_tool_calls",
        ),
        (
            r#"{"error":{"message":"`max_tokens` must be less than or equal to `40960`, the maximum value for `max_tokens` is less than the `context_window` for this model","param":"max_tokens"}}"#,
            "max_tokens <= 40960",
        ),
        (
            r#"{"error":{"message":"`reasoning_effort` is not supported with this model"}}"#,
            "without reasoning_effort",
        ),
        (r#"{"error":{"message":"'tools' : maximum number of items is 128"}}"#, "tools <= 128"),
        (
            r#"{"error":{"message":"'messages.0.content' : value must be a string","code":"image"}}"#,
            "without images",
        ),
        // xAI writes the names of fields in its own way.
        (
            r#"{"code":"Client specified an invalid argument","error":"Argument not supported on this model: stop"}"#,
            "without stop",
        ),
        (
            r#"{"code":"invalid-argument","error":"Model grok-4-latest does not support parameter reasoningEffort."}"#,
            "without reasoning_effort",
        ),
        (
            r#"{"error":"Maximum tools limit reached. 140 tools have been provided but the maximum is 100."}"#,
            "tools <= 100",
        ),
        // Gemini
        (
            r#"[{"error":{"code":400,"message":"Invalid JSON payload received. Unknown name \"top_k\": Cannot find field.","status":"INVALID_ARGUMENT"}}]"#,
            "without top_k",
        ),
        (
            r#"[{"error":{"code":400,"message":"Invalid JSON payload received. Unknown name \"additionalProperties\" at 'tools[0].function_declarations[0].parameters': Cannot find field."}}]"#,
            "schemas without additionalProperties",
        ),
        // Mistral
        (
            r#"{"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body","stream_options","include_usage"],"msg":"Extra inputs are not permitted","input":true}]},"type":"invalid_request_error"}"#,
            "without stream_options",
        ),
        (
            r#"{"object":"error","message":"Tool call id was toolu_1 but must be a-z, A-Z, 0-9, with a length of 9.","type":"invalid_function_call","code":"3280"}"#,
            "tool ids of 9 letters and digits",
        ),
        (
            r#"{"object":"error","message":"Unexpected role 'user' after role 'tool'","type":"invalid_request_message_order","code":"3230"}"#,
            "no user message after a tool's",
        ),
        (
            r#"{"object":"error","message":"reasoning_effort='high' is not supported for this model. Must be one of (<ReasoningEffort.none: 'none'>, <ReasoningEffort.low: 'low'>)","code":"3051"}"#,
            "effort none|low",
        ),
        // DeepSeek
        (
            r#"{"error":{"message":"The `reasoning_content` in the thinking mode must be passed back to the API."}}"#,
            "with reasoning_content",
        ),
        (
            r#"{"error":{"message":"Thinking mode does not support this tool_choice"}}"#,
            "tool_choice auto",
        ),
        (
            r#"{"error":{"message":"Invalid max_tokens value, the valid range of max_tokens is [1, 8192]"}}"#,
            "max_tokens <= 8192",
        ),
        (
            r#"{"error":{"message":"This response_format type is unavailable now"}}"#,
            "response_format json_object",
        ),
        // Moonshot, DashScope, Cerebras, Fireworks, Z.ai
        (
            r#"{"error":{"message":"invalid temperature: only 1 is allowed for this model"}}"#,
            "without temperature",
        ),
        (
            r#"{"error":{"message":"<400> InternalError.Algo.InvalidParameter: Range of max_tokens should be [1, 65536]"}}"#,
            "max_tokens <= 65536",
        ),
        (
            r#"{"error":{"message":"'reasoning_effort' must be one of: 'none', 'minimal', 'low', 'medium'"}}"#,
            "effort none|minimal|low|medium",
        ),
        (
            r#"{"message":"top_k: property 'top_k' is unsupported","type":"invalid_request_error","param":"validation_error","code":"wrong_api_format"}"#,
            "without top_k",
        ),
        (
            r#"{"error":{"message":"Extra inputs are not permitted, field: 'stream_options', value: {'include_usage': True}"}}"#,
            "without stream_options",
        ),
        (r#"{"error":{"code":"1210","message":"Tool choice must be auto"}}"#, "tool_choice auto"),
        // Local servers
        (
            r#"{"error":{"message":"\"llama3.2\" does not support thinking","type":"invalid_request_error"}}"#,
            "without reasoning_effort",
        ),
        (
            r#"{"error":"Invalid tool_choice type: 'object'. Supported string values: none, auto, required"}"#,
            "tool_choice auto",
        ),
        (
            r#"{"error":{"message":"model is not a multimodal model: image input is not supported","code":400}}"#,
            "without images",
        ),
        // A number in groups, and one that is part of a place.
        (r#"{"error":{"message":"max_tokens must be at most 16,384"}}"#, "max_tokens <= 16384"),
        (
            r#"{"error":{"message":"Invalid 'tools[3].function.description': string too long. Expected a string with maximum length 1024, but got a string with length 2000 instead.","param":"tools[3].function.description"}}"#,
            "",
        ),
        // One value, one picture, one schema: they say nothing about the model.
        (
            r#"{"error":{"message":"Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 5 instead.","param":"temperature"}}"#,
            "",
        ),
        (
            r#"{"error":{"message":"You uploaded an unsupported image. Please make sure your image has of one the following formats: ['png', 'jpeg']."}}"#,
            "",
        ),
        (
            r#"{"error":{"message":"Invalid schema for response_format 'output': In context=(), 'additionalProperties' is required to be supplied and to be false.","param":"response_format"}}"#,
            "",
        ),
        (
            r#"{"error":{"message":"Invalid 'messages[0].content[1].image_url.url'. Expected a base64-encoded data URL with an image MIME type, but got unsupported MIME type 'image/tiff'."}}"#,
            "",
        ),
        (r#"{"error":{"message":"The number of images must be less than or equal to 8"}}"#, ""),
        // What the client has to change, or nobody can.
        (
            r#"{"error":{"message":"This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.","code":"context_length_exceeded"}}"#,
            "",
        ),
        (r#"{"error":{"message":"Incorrect API key provided"}}"#, ""),
        (r#"{"error":{"message":"We stop here, the temperature outside is low"}}"#, ""),
        ("<html>Bad Request</html>", ""),
        ("", ""),
    ] {
        let told = lesson(CHAT, 400, refusal).0;
        if told != wanted {
            wrong.push(format!("{refusal}\n  teaches {told:?}, not {wanted:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for status in [401, 413, 429, 500] {
        let refusal = r#"{"error":{"message":"top_k is not supported"}}"#;
        assert_eq!(lesson(CHAT, status, refusal).0, "", "{status}");
    }
}

#[test]
fn the_next_request_is_without_what_was_refused() {
    const CHAT: Dialect = Dialect::ChatCompletions;
    let field = |refusal: &str, field: &str| {
        let (told, body) = lesson(CHAT, 400, &json!({ "error": refusal }).to_string());
        assert_ne!(told, "", "{refusal}");
        body.pointer(field).cloned()
    };
    assert_eq!(field("top_k: unsupported", "/top_k"), None);
    assert_eq!(field("'stream_options' is unknown", "/stream_options"), None);
    assert_eq!(field("'max_tokens': unsupported", "/max_completion_tokens"), Some(json!(200_000)));
    assert_eq!(
        field("at most 100 items in 'tools'", "/tools").map(|t| t.as_array().map(Vec::len)),
        Some(Some(100))
    );
    assert_eq!(field("tool_choice must be auto", "/tool_choice"), Some(json!("auto")));
    assert_eq!(
        field("reasoning_effort must be one of 'low', 'medium'", "/reasoning_effort"),
        Some(json!("medium"))
    );
    let schema = field("schema keyword '$schema' is not supported", "/tools/0/function/parameters");
    assert_eq!(schema.and_then(|schema| schema.get("$schema").cloned()), None);
    let text = field("image input is not supported", "/messages/0/content");
    assert!(text.is_some_and(|text| text.is_string()));
}

#[test]
fn stop_sequences_that_are_not_sent_are_looked_for() {
    let body = json!({ "model": "m", "max_tokens": 9, "stop_sequences": ["a", "b", "c", "d", "e"],
        "messages": [{ "role": "user", "content": "hello" }] })
    .to_string();
    let request = anthropic::parse(body.as_bytes()).expect("a request");
    let check = |api, lessons: &[Lesson], sent: usize| {
        let row = row();
        let mut learned = Learned::default();
        lessons.iter().cloned().for_each(|lesson| learned.add(lesson));
        let target = target(&row, api, &learned);
        let translated = translate(&request, &target).expect("a translation");
        let asked = ["a", "b", "c", "d", "e"].map(str::to_owned);
        assert_eq!(*translated.wanted.stop, asked[..sent], "{lessons:?}");
        assert_eq!(translated.stops, Stops::new(asked[sent..].to_vec()), "{lessons:?}");
        assert_eq!(translated.report, Report::default(), "nothing is lost with {lessons:?}");
    };
    check(Dialect::ChatCompletions, &[], 4);
    check(Dialect::ChatCompletions, &[Lesson::MaxStop(2)], 2);
    check(Dialect::ChatCompletions, &[Lesson::MaxStop(2), Lesson::Drop(Param::Stop)], 0);
    check(Dialect::Responses, &[], 0);
}

#[test]
fn what_is_left_of_a_credit_or_a_minute_holds_once() {
    const CHAT: Dialect = Dialect::ChatCompletions;
    for (status, refusal, wanted) in [
        (
            402,
            "This request requires more credits, or fewer max_tokens. You requested up to 200000 tokens, but can only afford 27342.",
            "max_tokens <= 27342",
        ),
        (
            413,
            "Request too large for model `m` on tokens per minute (TPM): Limit 190000, Requested 214810, please reduce your message size",
            "max_tokens <= 175190",
        ),
        (413, "Request too large on tokens per minute (TPM): Limit 6000, Requested 214810", ""),
        (402, "Insufficient balance", ""),
        (
            400,
            "The encrypted content for item rs_1 could not be verified.",
            "without the reasoning so far",
        ),
        (
            400,
            "messages.3.content.0: Invalid `signature` in `thinking` block",
            "without the reasoning so far",
        ),
    ] {
        let refusal = json!({ "error": { "message": refusal } }).to_string();
        assert_eq!(lesson(CHAT, status, &refusal).0, wanted, "{refusal}");
    }
}

#[test]
fn the_responses_api_teaches_too() {
    const RESPONSES: Dialect = Dialect::Responses;
    let told = |status, refusal| lesson(RESPONSES, status, refusal).0;
    assert_eq!(told(404, "404 page not found"), "asked through /chat/completions");
    let no_model =
        r#"{"error":{"message":"The model `x` does not exist","code":"model_not_found"}}"#;
    assert_eq!(told(404, no_model), "");
    let unverified = r#"{"error":{"message":"Your organization must be verified to generate reasoning summaries.","param":"reasoning.summary","code":"unsupported_value"}}"#;
    assert_eq!(told(400, unverified), "without reasoning.summary");
    let top_p = r#"{"error":{"message":"Unsupported parameter: 'top_p' is not supported with this model.","param":"top_p","code":null}}"#;
    assert_eq!(told(400, top_p), "without top_p");
}

#[test]
fn a_value_that_one_client_has_set_teaches_nothing_lasting() {
    let body = everything().to_string();
    let request = anthropic::parse(body.as_bytes()).expect("a request");
    let (row, nothing) = (row(), Learned::default());
    let target = Target { model: "grok-4.5", ..target(&row, Dialect::ChatCompletions, &nothing) };
    let wanted = translate(&request, &target).expect("a translation").wanted;
    let sent = wanted.sent();
    for (said, is_lasting) in [
        ("temperature must be in [0, 2]", Some(false)),
        ("Invalid value for temperature", Some(false)),
        ("Invalid 'top_p': only some are taken", Some(false)),
        ("top_k must be less than 5", None),
        ("temperature is not supported with this model", Some(true)),
        ("Unsupported parameter: 'top_p'", Some(true)),
    ] {
        let refusal = json!({ "error": { "message": said } }).to_string();
        let lesson = lesson_of(&nothing, 400, &refusal, &sent);
        assert_eq!(lesson.map(|lesson| lesson.is_lasting()), is_lasting, "{said}");
    }
    for (status, said, may_teach) in [
        (400, "top_k is not supported", true),
        (400, "prompt is too long: 9 tokens > 8 maximum", false),
        (401, "a key that is not supported", false),
        (429, "too many", false),
        (500, "temperature is not supported", false),
    ] {
        let refusal = json!({ "error": { "message": said } }).to_string();
        let telling = Telling::of(status, &Said::read(refusal.as_bytes()));
        assert_eq!(telling.is_some(), may_teach, "{status} {said}");
    }
}
