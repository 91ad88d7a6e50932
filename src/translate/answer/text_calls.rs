//! Tool calls that a local model wrote as text, in the envelopes that models are trained on, where
//! the server has no parser for them.
//!
//! Strict: an envelope is a call only if all of it reads as one, of a tool that was offered, and it
//! does not stand in code. Everything else stays the text that it is.
//!
//! <https://github.com/NousResearch/Hermes-Function-Calling>,
//! <https://github.com/vllm-project/vllm/tree/main/vllm/tool_parsers>

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::json;
use crate::translate::reading::TextTools;

/// A piece of the answer's text, or a call in its place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said<'a> {
    Text(&'a str),
    Call { name: String, arguments: String },
}

/// An envelope: how it begins and ends, and how its inside is read. An empty end is the answer's.
type Envelope = (&'static str, &'static str, fn(&str, &TextTools) -> Option<Vec<Call>>);

type Call = (String, String);

const ENVELOPES: &[Envelope] = &[
    // Hermes and Qwen; Qwen's coders; GLM.
    ("<tool_call>", "</tool_call>", in_tool_call),
    ("<function=", "</function>", |inside, tools| Some(vec![function(inside, tools)?])),
    // MiniMax.
    ("<minimax:tool_call>", "</minimax:tool_call>", invokes),
    ("<tool_calls>", "</tool_calls>", json_lines),
    // DeepSeek.
    ("<｜DSML｜function_calls>", "</｜DSML｜function_calls>", invokes),
    ("<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>", deepseek),
    // Kimi.
    ("<|tool_calls_section_begin|>", "<|tool_calls_section_end|>", kimi),
    // Mistral, always at the end.
    ("[TOOL_CALLS]", "", mistral),
];

/// The longest envelope: what is longer is text.
const MAX_BYTES: usize = 4 << 20;

/// Finds the calls in a text; envelopes may be cut across pieces.
#[derive(Debug, Default)]
pub(super) struct TextCalls {
    tools: TextTools,
    /// Text that may begin an envelope, or the envelope that `open` tells of.
    held: String,
    open: Option<usize>,
    /// Bytes of `held` that hold no end of the envelope.
    searched: usize,
    /// A call came last: white space behind it is no part of the answer.
    is_behind_call: bool,
    code: Code,
}

/// Whether a text is in a block of code, or between backticks.
#[derive(Debug, Default, Clone, Copy)]
struct Code {
    in_block: bool,
    in_line: bool,
    ticks: usize,
}

impl Code {
    fn pass(&mut self, c: char) {
        if c == '`' {
            self.ticks += 1;
            return;
        }
        *self = self.behind_ticks();
        self.in_line &= c != '\n';
    }

    /// What follows is in, once the backticks before it are over.
    fn behind_ticks(self) -> Code {
        match self.ticks {
            0 => self,
            1 | 2 => Code { in_line: !self.in_line, ticks: 0, ..self },
            _ => Code { in_block: !self.in_block, in_line: false, ticks: 0 },
        }
    }

    fn is_code(self) -> bool {
        let after = self.behind_ticks();
        after.in_block || after.in_line
    }
}

impl TextCalls {
    pub(super) fn new(tools: TextTools) -> TextCalls {
        TextCalls { tools, ..TextCalls::default() }
    }

    /// Takes a piece of text and hands out what is known to be text, or a call.
    pub(super) fn push(&mut self, piece: &str, mut out: impl FnMut(Said<'_>)) {
        if self.tools.is_empty() {
            out(Said::Text(piece));
            return;
        }
        self.held.push_str(piece);
        while self.step(false, &mut out) {}
    }

    /// Hands out what was held back: nothing follows.
    pub(super) fn finish(&mut self, mut out: impl FnMut(Said<'_>)) {
        while self.step(true, &mut out) {}
    }

    /// Hands something out, and tells whether there is more to do.
    fn step(&mut self, is_over: bool, out: &mut impl FnMut(Said<'_>)) -> bool {
        match self.open {
            Some(at) => self.close(at, is_over, out),
            None => self.search(is_over, out),
        }
    }

    /// Looks for the beginning of an envelope.
    fn search(&mut self, is_over: bool, out: &mut impl FnMut(Said<'_>)) -> bool {
        if self.is_behind_call {
            let rest = self.held.trim_start().len();
            self.held.drain(..self.held.len() - rest);
            self.is_behind_call = rest == 0;
        }
        let mut end = self.held.len();
        for (at, c) in self.held.char_indices() {
            if matches!(c, '<' | '[') && !self.code.is_code() {
                let rest = &self.held[at..];
                self.open = ENVELOPES.iter().position(|(begin, ..)| rest.starts_with(begin));
                let may_begin =
                    !is_over && ENVELOPES.iter().any(|(begin, ..)| begin.starts_with(rest));
                if self.open.is_some() || may_begin {
                    end = at;
                    break;
                }
            }
            self.code.pass(c);
        }
        self.hand_out(end, out);
        self.open.is_some()
    }

    /// Looks for the end of the envelope.
    fn close(&mut self, at: usize, is_over: bool, out: &mut impl FnMut(Said<'_>)) -> bool {
        let (begin, close, read) = ENVELOPES[at];
        let from = self.searched.max(begin.len());
        let found = self.held[from..].find(close).filter(|_| !close.is_empty());
        let end = match found {
            Some(found) => from + found,
            None if is_over || self.held.len() > MAX_BYTES => self.held.len(),
            None => {
                let mut searched = self.held.len().saturating_sub(close.len()).max(begin.len());
                while !self.held.is_char_boundary(searched) {
                    searched -= 1;
                }
                self.searched = searched;
                return false;
            }
        };
        let is_whole = found.is_some() || is_over;
        let inside = self.held[begin.len()..end].trim();
        let calls = if is_whole { read(inside, &self.tools) } else { None };
        let calls = calls.filter(|calls| {
            !calls.is_empty() && calls.iter().all(|(name, _)| self.tools.schema(name).is_some())
        });
        let end = if found.is_some() { end + close.len() } else { end };
        (self.open, self.searched) = (None, 0);
        match calls {
            Some(calls) => {
                self.held.drain(..end);
                self.is_behind_call = true;
                calls.into_iter().for_each(|(name, arguments)| out(Said::Call { name, arguments }));
            }
            None => {
                self.held[..end].chars().for_each(|c| self.code.pass(c));
                self.hand_out(end, out);
            }
        }
        !self.held.is_empty()
    }

    fn hand_out(&mut self, end: usize, out: &mut impl FnMut(Said<'_>)) {
        if end > 0 {
            out(Said::Text(&self.held[..end]));
            self.held.drain(..end);
        }
    }
}

/// A call as JSON: `{"name": …, "arguments": {…}}`.
fn json_call(json: &str) -> Option<Call> {
    #[derive(Deserialize)]
    struct Wire<'a> {
        name: String,
        #[serde(borrow, alias = "parameters")]
        arguments: &'a RawValue,
    }
    let wire: Wire = serde_json::from_str(json).ok()?;
    Some((wire.name, object(wire.arguments.get())?))
}

/// The JSON of an object, also of one in a string.
fn object(json: &str) -> Option<String> {
    let text = match serde_json::from_str::<String>(json) {
        Ok(inner) => Cow::Owned(inner),
        Err(_) => Cow::Borrowed(json.trim()),
    };
    let mended = json::mended(text.as_bytes()).and_then(|json| String::from_utf8(json).ok());
    let text = mended.unwrap_or_else(|| text.into_owned());
    let is_object = serde_json::from_str::<HashMap<String, &RawValue>>(&text).is_ok();
    is_object.then_some(text)
}

/// Calls as JSON, each on a line, or all in a list.
fn json_lines(inside: &str, _: &TextTools) -> Option<Vec<Call>> {
    if inside.starts_with('[') {
        let all: Vec<&RawValue> = serde_json::from_str(inside).ok()?;
        return all.into_iter().map(|call| json_call(call.get())).collect();
    }
    if let Some(call) = json_call(inside) {
        return Some(vec![call]);
    }
    inside.lines().filter(|line| !line.trim().is_empty()).map(json_call).collect()
}

fn in_tool_call(inside: &str, tools: &TextTools) -> Option<Vec<Call>> {
    if inside.starts_with(['{', '[']) {
        return json_lines(inside, tools);
    }
    if let Some(inside) = inside.strip_prefix("<function=") {
        return Some(vec![function(inside.strip_suffix("</function>")?, tools)?]);
    }
    // GLM: the name, then `<arg_key>k</arg_key><arg_value>v</arg_value>`.
    let (name, mut rest) = inside.split_at(inside.find("<arg_key>").unwrap_or(inside.len()));
    let mut arguments = Arguments::of(name.trim(), tools)?;
    while !rest.trim().is_empty() {
        let (key, after) = rest.trim_start().strip_prefix("<arg_key>")?.split_once("</arg_key>")?;
        let after = after.trim_start().strip_prefix("<arg_value>")?;
        let (value, after) = after.split_once("</arg_value>")?;
        arguments.add(key.trim(), value, None);
        rest = after;
    }
    Some(vec![arguments.finish()])
}

/// Qwen's coders: `NAME>`, then `<parameter=KEY>VALUE</parameter>`.
fn function(inside: &str, tools: &TextTools) -> Option<Call> {
    let (name, mut rest) = inside.split_once('>')?;
    let mut arguments = Arguments::of(name.trim(), tools)?;
    while !rest.trim().is_empty() {
        let (key, after) = rest.trim_start().strip_prefix("<parameter=")?.split_once('>')?;
        let (value, after) = after.split_once("</parameter>")?;
        arguments.add(key.trim(), value, None);
        rest = after;
    }
    Some(arguments.finish())
}

/// MiniMax and DSML: `<invoke name="…">` with `<parameter name="…">VALUE</parameter>`.
fn invokes(inside: &str, tools: &TextTools) -> Option<Vec<Call>> {
    let plain = inside.replace("｜DSML｜", "");
    let mut rest = plain.trim();
    let mut calls = Vec::new();
    while !rest.is_empty() {
        let (head, after) = rest.strip_prefix("<invoke name=\"")?.split_once("\">")?;
        let (mut body, after) = after.split_once("</invoke>")?;
        let mut arguments = Arguments::of(head, tools)?;
        while !body.trim().is_empty() {
            let (head, after) =
                body.trim_start().strip_prefix("<parameter name=\"")?.split_once('>')?;
            let (key, attributes) = head.split_once('"')?;
            let (value, after) = after.split_once("</parameter>")?;
            let is_string = attributes.contains("string=\"true\"").then_some(true);
            let is_json = attributes.contains("string=\"false\"").then_some(false);
            arguments.add(key, value, is_string.or(is_json));
            body = after;
        }
        calls.push(arguments.finish());
        rest = after.trim_start();
    }
    Some(calls)
}

/// DeepSeek V3: `function<｜tool▁sep｜>NAME`, then JSON in a block of code; V3.1:
/// `NAME<｜tool▁sep｜>JSON`.
fn deepseek(inside: &str, _: &TextTools) -> Option<Vec<Call>> {
    between(inside, "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>", |call| {
        let (first, second) = call.split_once("<｜tool▁sep｜>")?;
        if first.trim() != "function" {
            return Some((first.trim().to_owned(), object(second)?));
        }
        let (name, code) = second.split_once('\n')?;
        let json = code.trim().strip_prefix("```json")?.strip_suffix("```")?;
        Some((name.trim().to_owned(), object(json)?))
    })
}

/// Kimi: `functions.NAME:0<|tool_call_argument_begin|>JSON`.
fn kimi(inside: &str, _: &TextTools) -> Option<Vec<Call>> {
    between(inside, "<|tool_call_begin|>", "<|tool_call_end|>", |call| {
        let (id, json) = call.split_once("<|tool_call_argument_begin|>")?;
        let id = id.trim();
        let (name, _) = id.strip_prefix("functions.").unwrap_or(id).rsplit_once(':')?;
        Some((name.to_owned(), object(json)?))
    })
}

/// Mistral: a list of calls, or `NAME[ARGS]JSON` behind each mark.
fn mistral(inside: &str, tools: &TextTools) -> Option<Vec<Call>> {
    if inside.starts_with('[') {
        return json_lines(inside.strip_suffix("</s>").unwrap_or(inside), tools);
    }
    let calls = inside.split("[TOOL_CALLS]").map(|call| {
        let (name, json) = call.split_once("[ARGS]")?;
        Some((name.trim().to_owned(), object(json)?))
    });
    calls.collect()
}

/// Reads what stands between each `begin` and `end`; there is nothing else.
fn between(
    inside: &str,
    begin: &str,
    end: &str,
    read: impl Fn(&str) -> Option<Call>,
) -> Option<Vec<Call>> {
    let mut calls = Vec::new();
    let mut rest = inside.trim();
    while !rest.is_empty() {
        let (call, after) = rest.strip_prefix(begin)?.split_once(end)?;
        calls.push(read(call)?);
        rest = after.trim_start();
    }
    Some(calls)
}

/// Arguments that come one by one as text, typed as the tool's schema says.
struct Arguments {
    name: String,
    properties: Value,
    json: String,
}

impl Arguments {
    /// Of a tool that was offered.
    fn of(name: &str, tools: &TextTools) -> Option<Arguments> {
        let schema: Value = serde_json::from_str(tools.schema(name)?).ok()?;
        let properties = schema.get("properties").cloned().unwrap_or_default();
        Some(Arguments { name: name.to_owned(), properties, json: String::new() })
    }

    /// Adds an argument. What is not a string by its schema, or by what the model says, is JSON if
    /// it reads as such.
    fn add(&mut self, key: &str, value: &str, is_string: Option<bool>) {
        let value = value.strip_prefix('\n').unwrap_or(value);
        let value = value.strip_suffix('\n').unwrap_or(value);
        let kind = self.properties.get(key).and_then(|schema| schema.get("type"));
        let of_schema = kind.is_some_and(|kind| match kind {
            Value::Array(kinds) => kinds.iter().any(|kind| kind == "string"),
            kind => kind == "string",
        });
        let quoted = |text: &str| serde_json::to_string(text).expect("a string serializes");
        let is_json = serde_json::from_str::<&RawValue>(value).is_ok();
        let json = if is_string.unwrap_or(of_schema) || !is_json {
            Cow::Owned(quoted(value))
        } else {
            Cow::Borrowed(value.trim())
        };
        let comma = if self.json.is_empty() { "" } else { "," };
        self.json.push_str(&format!("{comma}{}:{json}", quoted(key)));
    }

    fn finish(self) -> Call {
        (self.name, format!("{{{}}}", self.json))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// What is said of `input`, however it is cut: text as it is, calls in `⟦…⟧`.
    fn check(input: &str, wanted: &str) {
        let schema =
            r#"{"properties":{"command":{"type":"string"},"limit":{"type":"integer"},"any":{}}}"#;
        let tools =
            TextTools::new([("Bash", schema), ("get_weather", "{}")].into_iter(), &Arc::default());
        for cut in (0..=input.len()).filter(|cut| input.is_char_boundary(*cut)) {
            let mut said = String::new();
            let mut out = |piece: Said<'_>| match piece {
                Said::Text(text) => said.push_str(text),
                Said::Call { name, arguments } => said.push_str(&format!("⟦{name} {arguments}⟧")),
            };
            let mut calls = TextCalls::new(tools.clone());
            calls.push(&input[..cut], &mut out);
            calls.push(&input[cut..], &mut out);
            calls.finish(&mut out);
            assert_eq!(said, wanted, "{input:?} at {cut}");
        }
    }

    #[test]
    fn the_envelopes_of_models_are_calls() {
        const LS: &str = r#"⟦Bash {"command":"ls"}⟧"#;
        for input in [
            r#"<tool_call>{"name":"Bash","arguments":{"command":"ls"}}</tool_call>"#,
            "<tool_call>\n{\"name\": \"Bash\", \"arguments\": \"{\\\"command\\\":\\\"ls\\\"}\"}\n</tool_call>\n",
            "<tool_call>\n<function=Bash>\n<parameter=command>\nls\n</parameter>\n</function>\n</tool_call>",
            "<function=Bash>\n<parameter=command>\nls\n</parameter>\n</function>",
            "<tool_call>Bash\n<arg_key>command</arg_key>\n<arg_value>ls</arg_value>\n</tool_call>",
            "<minimax:tool_call>\n<invoke name=\"Bash\">\n<parameter name=\"command\">ls</parameter>\n</invoke>\n</minimax:tool_call>",
            "<tool_calls>\n{\"name\":\"Bash\",\"arguments\":{\"command\":\"ls\"}}\n</tool_calls>",
            "<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"Bash\">\n<｜DSML｜parameter name=\"command\" string=\"true\">ls</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜function_calls>",
            "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>Bash\n```json\n{\"command\":\"ls\"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
            "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>Bash<｜tool▁sep｜>{\"command\":\"ls\"}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
            "<|tool_calls_section_begin|><|tool_call_begin|>functions.Bash:0<|tool_call_argument_begin|>{\"command\":\"ls\"}<|tool_call_end|><|tool_calls_section_end|>",
            r#"[TOOL_CALLS][{"name":"Bash","arguments":{"command":"ls"}}]"#,
            r#"[TOOL_CALLS]Bash[ARGS]{"command":"ls"}"#,
            // Some servers take the last mark for the end of the answer.
            r#"<tool_call>{"name":"Bash","arguments":{"command":"ls"}}"#,
        ] {
            check(input, LS);
            check(&format!("Let me see.\n{input}"), &format!("Let me see.\n{LS}"));
        }
        let two = r#"<tool_call>{"name":"Bash","arguments":{}}</tool_call>
<tool_call>{"name":"get_weather","arguments":{}}</tool_call> done"#;
        check(two, "⟦Bash {}⟧⟦get_weather {}⟧done");
    }

    #[test]
    fn arguments_have_the_types_of_the_schema() {
        check(
            "<function=Bash><parameter=command>10</parameter><parameter=limit>\n10\n</parameter><parameter=any>[1]</parameter></function>",
            r#"⟦Bash {"command":"10","limit":10,"any":[1]}⟧"#,
        );
        check(
            "<tool_call>{\"name\":\"Bash\",\"arguments\":{\"command\":\"a\\nb\"}}</tool_call>",
            "⟦Bash {\"command\":\"a\\nb\"}⟧",
        );
    }

    #[test]
    fn everything_else_stays_text() {
        for input in [
            "a < b, [1], <tool",
            r#"<tool_call>{"name":"Unknown","arguments":{}}</tool_call>"#,
            r#"<tool_call>{"name":"Bash"}</tool_call> and more"#,
            r#"<tool_call>{"name":"Bash","arguments":[1]}</tool_call>"#,
            r#"<tool_call>{"name":"Bash","arguments":{"a":"#,
            "<tool_call> is what Hermes writes.",
            "```\n<tool_call>{\"name\":\"Bash\",\"arguments\":{}}</tool_call>\n```",
            "Write `<tool_call>{\"name\":\"Bash\",\"arguments\":{}}</tool_call>` for it.",
            "<function=Bash>words</function>",
            r#"[TOOL_CALLS][{"name":"Bash","arguments":{}}] and more"#,
        ] {
            check(input, input);
        }
        let none = &mut String::new();
        let text = r#"<tool_call>{"name":"Bash","arguments":{}}</tool_call>"#;
        TextCalls::default().push(text, |said| {
            let Said::Text(text) = said else { panic!("a call of no tool") };
            none.push_str(text);
        });
        assert_eq!(none, text);
    }
}
