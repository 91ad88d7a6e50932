//! Requests as a coding agent sends them: a system prompt, tools with schemas, and a long exchange of
//! calls and results. The same every time.

use serde::Serialize;
use serde_json::{Map, Value, json};

/// The request's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// One question.
    Small,
    /// 150 KiB: 30 tools and 40 messages.
    Agent,
    /// 1 MiB: 200 tools and 120 messages.
    Tools,
}

impl Size {
    /// The size called `name`.
    pub(crate) fn of(name: &str) -> Option<Size> {
        match name {
            "small" => Some(Size::Small),
            "agent" => Some(Size::Agent),
            "tools" => Some(Size::Tools),
            _ => None,
        }
    }
}

/// A request, in the order in which clients write it.
#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    max_tokens: u32,
    stream: bool,
    #[serde(skip_serializing_if = "Value::is_null")]
    metadata: Value,
    #[serde(skip_serializing_if = "Value::is_null")]
    system: Value,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Value>,
    messages: Vec<Value>,
}

/// A body that asks `model`.
pub(crate) fn body(size: Size, model: &str, is_stream: bool) -> Vec<u8> {
    let (tools, messages, bytes) = match size {
        Size::Small => (0, 1, 0),
        Size::Agent => (30, 40, 150 << 10),
        Size::Tools => (200, 120, 1 << 20),
    };
    let mut text = Text { state: 1 };
    let question = json!({"role": "user", "content": text.prose(200)});
    let mut request = Request {
        model,
        max_tokens: 8192,
        stream: is_stream,
        metadata: Value::Null,
        system: Value::Null,
        tools: (0..tools).map(|n| tool(n, &mut text)).collect(),
        messages: vec![question],
    };
    if size == Size::Small {
        return write(&request);
    }
    let cache = json!({"type": "ephemeral"});
    request.metadata = json!({"user_id": "user_0123456789abcdef_session_01234567"});
    request.system = json!([
        {"type": "text", "text": "You are a coding agent.", "cache_control": cache},
        {"type": "text", "text": text.prose(12_000), "cache_control": cache},
    ]);
    // What is left for the results of the tools, of which there is one for two messages.
    let rest = bytes - write(&request).len();
    let share = rest / (messages / 2) - 700;
    for n in 0..messages / 2 {
        let id = format!("toolu_{n:024}");
        let call = json!({
            "type": "tool_use", "id": id, "name": format!("Tool{}", n % tools),
            "input": {
                "file_path": format!("/src/{}/{}.rs", text.word(), text.word()),
                "offset": n, "command": format!("grep \"{}\" | sort\n", text.word()),
            },
        });
        let before = json!({"type": "text", "text": text.prose(120)});
        request.messages.push(json!({"role": "assistant", "content": [before, call]}));
        let code = text.code(share);
        // Clients send both forms.
        let content =
            if n % 2 == 0 { json!(code) } else { json!([{"type": "text", "text": code}]) };
        let result = json!({"type": "tool_result", "tool_use_id": id, "content": content});
        request.messages.push(json!({"role": "user", "content": [result]}));
    }
    let mut body = write(&request);
    // White space at the end, which JSON allows, makes it as long as it is called.
    body.resize(body.len().max(bytes), b' ');
    body
}

fn write(request: &Request<'_>) -> Vec<u8> {
    serde_json::to_vec(request).expect("what is made of Values serializes")
}

fn tool(n: usize, text: &mut Text) -> Value {
    let mut properties = Map::new();
    for kind in 0..4 {
        let description = text.prose(120);
        let property = match kind {
            0 => json!({"type": "string", "description": description}),
            1 => json!({"type": "integer", "minimum": 0, "description": description}),
            2 => {
                json!({"type": "string", "enum": ["read", "write", "both"], "description": description})
            }
            _ => json!({
                "type": "array", "description": description,
                "items": {
                    "type": "object", "properties": {"old": {"type": "string"}, "new": {"type": "string"}},
                    "required": ["old", "new"], "additionalProperties": false,
                },
            }),
        };
        properties.insert(format!("{}_{kind}", text.word()), property);
    }
    let required: Vec<String> = properties.keys().take(2).cloned().collect();
    json!({
        "name": format!("Tool{n}"),
        "description": text.prose(800),
        "input_schema": {
            "type": "object", "properties": properties, "required": required,
            "additionalProperties": false,
        },
    })
}

const WORDS: [&str; 24] = [
    "file", "path", "read", "before", "edit", "tool", "error", "line", "range", "result",
    "command", "search", "pattern", "never", "create", "unless", "user", "always", "existing",
    "style", "test", "build", "check", "module",
];

/// Text that nobody reads, of a fixed seed.
struct Text {
    state: u64,
}

impl Text {
    /// A linear congruential generator with Knuth's numbers: any will do that is always the same.
    fn number(&mut self, below: usize) -> usize {
        self.state = self
            .state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) as usize % below
    }

    fn word(&mut self) -> &'static str {
        WORDS[self.number(WORDS.len())]
    }

    /// Sentences and lists: an escape for every hundred characters or so.
    fn prose(&mut self, bytes: usize) -> String {
        let mut out = String::with_capacity(bytes + 16);
        while out.len() < bytes {
            out.push_str(self.word());
            out.push_str(match self.number(24) {
                0 => ".\n\n - ",
                1 => " (\"",
                2 => "\") ",
                3 => ", ",
                _ => " ",
            });
        }
        out
    }

    /// Numbered lines, as tools show files: an escape for every thirty characters or so.
    fn code(&mut self, bytes: usize) -> String {
        let mut out = String::with_capacity(bytes + 64);
        for n in 1.. {
            let (a, b, c) = (self.word(), self.word(), self.word());
            let line = match self.number(4) {
                0 => format!("{n:>6}→\tlet {a} = self.{b}.get(\"{c}\")?;\n"),
                1 => format!("{n:>6}→\t\tif {a} == {b} {{ return {c}; }}\n"),
                2 => format!("{n:>6}→fn {a}_{b}(&self, {c}: &str) -> Result<(), Error> {{\n"),
                _ => format!("{n:>6}→\n"),
            };
            if out.len() + line.len() > bytes {
                break;
            }
            out.push_str(&line);
        }
        out
    }
}
