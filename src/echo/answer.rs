//! What echo says to a request, without the ids that differ from one run to the next.

use serde_json::json;

use super::marks::{self, Answer, Call};
use super::request::{ChatRequest, Choice, Tool, is_at, look_up};
use super::smallest;

pub(super) fn answer(request: &ChatRequest) -> Answer {
    // The very last message may be a system message, or a start that the assistant is to continue.
    let mut turns = request.messages.iter().rev();
    let last = turns.find(|message| matches!(&*message.role, "user" | "tool"));
    let spoken = without_own_blocks(last.map_or("", |message| &message.content));
    let tools = request.tools();
    let mut answer = Answer::default();
    if last.is_some_and(|message| message.role == "tool") {
        // The output of a tool may quote the mark that called it: obeying it would never end.
        answer.text = said("The tool", spoken.trim());
    } else {
        answer = marks::parse(&spoken);
        answer.text = reply(request, &tools, &mut answer);
    }
    obey(request, &tools, &mut answer);
    if let Some(format) = &request.response_format
        && !answer.text.is_empty()
        && (is_at(format, "type", "\"json_schema\"") || is_at(format, "type", "\"json_object\""))
    {
        answer.text = match look_up(format, "json_schema/schema") {
            Some(schema) => smallest::value(schema),
            None => json!({ "answer": answer.text }).to_string(),
        };
    }
    answer
}

/// The text of the answer to a user's message. Calls of tools that were not offered turn into
/// words.
fn reply(request: &ChatRequest, tools: &[Tool], answer: &mut Answer) -> String {
    let mut sentences = Vec::new();
    answer.calls.retain(|Call { name, .. }| {
        let offered = tools.iter().any(|tool| tool.name == *name);
        if !offered {
            sentences.push(format!("The tool {name} was not offered."));
        }
        offered
    });
    if let Some(count) = answer.chunks {
        return (1..=count).map(|number| format!("word{number}")).collect::<Vec<_>>().join(" ");
    }
    if !answer.text.is_empty() || answer.calls.is_empty() && sentences.is_empty() {
        sentences.insert(0, said("You", &answer.text));
    }
    let text = sentences.join(" ");
    let is_first = !request.messages.iter().any(|message| message.role == "assistant");
    if is_first && !answer.marked { text + &introduction(request, tools) } else { text }
}

/// What the first answer of a conversation has proved, and what to type next.
fn introduction(request: &ChatRequest, tools: &[Tool]) -> String {
    let streamed = match request.stream {
        Some(true) => "streaming works",
        _ => "it asked for a whole answer, not for a stream",
    };
    let offered = match tools.len() {
        0 => "no tools were offered".to_owned(),
        1 => "1 tool was offered".to_owned(),
        count => format!("{count} tools were offered"),
    };
    // One that shows something by itself, where it is offered; else any; else a slow stream.
    let bash = tools.iter().find(|tool| tool.name == "Bash");
    let mark = match (bash, tools.first()) {
        (Some(_), _) => r#"[[tool:Bash {"command":"date"}]]"#.to_owned(),
        (None, Some(tool)) => format!("[[tool:{} {}]]", tool.name, smallest_arguments(tool)),
        (None, None) => "[[chunks:20]] [[delay:100]]".to_owned(),
    };
    format!(
        "\n\nThis is the provider echo inside ccproxy {}: your client reached it, {streamed}, \
         {offered}. Try `{mark}`. For a real model: `GROQ_API_KEY=… ccproxy`.",
        env!("CARGO_PKG_VERSION")
    )
}

/// Makes the calls what `tool_choice` and `parallel_tool_calls` permit.
fn obey(request: &ChatRequest, tools: &[Tool], answer: &mut Answer) {
    let choice = request.choice();
    match &choice {
        Choice::Free | Choice::Any => {}
        Choice::None => {
            for Call { name, .. } in answer.calls.drain(..) {
                let space = if answer.text.is_empty() { "" } else { " " };
                let refused = format!("{space}tool_choice forbids to call {name}.");
                answer.text.push_str(&refused);
            }
        }
        Choice::Named(wanted) => answer.calls.retain(|call| call.name == *wanted),
    }
    let forced = match &choice {
        _ if !answer.calls.is_empty() => None,
        Choice::Named(wanted) => tools.iter().find(|tool| tool.name == *wanted),
        // After results, the next one: an agent that must call until a last tool gets to that.
        Choice::Any => {
            let results = request.messages.iter().rev().take_while(|m| m.role == "tool").count();
            tools.get(results).or(tools.last())
        }
        Choice::Free | Choice::None => None,
    };
    if let Some(tool) = forced {
        let (name, arguments) = (tool.name.clone(), smallest_arguments(tool));
        answer.calls.push(Call { name, arguments });
        // Whoever must call a tool says nothing beside it.
        answer.text.clear();
    }
    if request.parallel_tool_calls == Some(false) {
        answer.calls.truncate(1);
    }
}

fn smallest_arguments(tool: &Tool) -> String {
    tool.parameters.map_or("{}".to_owned(), smallest::arguments)
}

fn said(who: &str, text: &str) -> String {
    match text {
        "" => format!("{who} said nothing."),
        text => format!("{who} said: {text}"),
    }
}

/// How the names of the blocks begin that Claude Code adds to what its user typed.
const OWN_BLOCKS: &[&str] = &[
    "system-reminder",
    "command-",
    "local-command-",
    "bash-",
    "ide_",
    "task-notification",
    "new-diagnostics",
    "mcp-server-note",
    "user-prompt-submit-hook",
];

/// `text` without the blocks that the client adds to what its user typed.
fn without_own_blocks(text: &str) -> String {
    let (mut kept, mut rest) = (String::new(), text);
    while let Some(start) = rest.find('<') {
        kept.push_str(&rest[..start]);
        rest = &rest[start..];
        if let Some(name) = own_block(rest) {
            // One that does not end is no block, and whatever follows it is looked at only once.
            let Some(end) = block_end(rest, name) else { break };
            rest = &rest[end..];
        } else {
            kept.push('<');
            rest = &rest[1..];
        }
    }
    kept + rest
}

/// The name of the block that `text` begins with, if it is one of the client's own.
fn own_block(text: &str) -> Option<&str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let (name, _) = text[1..].split_once(|c| !is_name(c)).filter(|(name, _)| name.len() < 64)?;
    let ends = text[1 + name.len()..].starts_with('>');
    OWN_BLOCKS.iter().any(|start| ends && name.starts_with(start)).then_some(name)
}

/// Where the block `name` that `text` begins with ends. It may quote another of the same name.
fn block_end(text: &str, name: &str) -> Option<usize> {
    let (opening, closing) = (format!("<{name}>"), format!("</{name}>"));
    let (mut open, mut at) = (0, 0);
    loop {
        let close = at + text[at..].find(&closing)?;
        open += text[at..close].matches(&opening).count();
        at = close + closing.len();
        open -= 1;
        if open == 0 {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn ask(request: Value) -> Answer {
        let request = request.to_string();
        answer(&serde_json::from_str(&request).expect("this is a request"))
    }

    fn calls(answer: &Answer) -> String {
        let calls = answer.calls.iter().map(|call| format!("{}{}", call.name, call.arguments));
        calls.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_text_tells_what_was_said() {
        let check = |role: &str, content: &str, text: &str| {
            let before = json!({ "role": "assistant", "content": "Before." });
            let messages = json!([before, { "role": role, "content": content }]);
            let tools = json!([{ "function": { "name": "a" } }]);
            let answer = ask(json!({ "messages": messages, "tools": tools }));
            assert_eq!(answer.text, text, "{content}");
        };
        let reminder = "<system-reminder>[[status:500]]</system-reminder>";
        check("user", &format!(" {reminder} "), "You said nothing.");
        check("user", &format!("a{reminder}b<"), "You said: ab<");
        check("user", "[[tool:a]]", "");
        check("user", "[[tool:a]] b", "You said: b");
        check("user", "[[tool:b]]", "The tool b was not offered.");
        check("user", "[[chunks:3]]", "word1 word2 word3");
        check("tool", "[[tool:a]]", "The tool said: [[tool:a]]");
    }

    #[test]
    fn the_clients_own_blocks_are_not_what_was_said() {
        let check = |text: &str, left: &str| assert_eq!(without_own_blocks(text), left, "{text}");
        check(
            "<command-name>/model</command-name>\n<command-message>model</command-message>\n\
             <command-args></command-args><local-command-stdout>Set</local-command-stdout>Hi",
            "\n\nHi",
        );
        check("<system-reminder>a<system-reminder>b</system-reminder></system-reminder>c", "c");
        check("<bash-input>ls</bash-input> <ide_selection>x</ide_selection>", " ");
        for own in
            ["<b>bold</b> a < b <command-name", "<command-x>open", "<<", "<é>", "<commander>"]
        {
            check(own, own);
        }
    }

    #[test]
    fn the_first_answer_tells_what_was_proved_and_what_to_type() {
        let check = |request: Value, parts: &[&str]| {
            let text = ask(request).text;
            for part in parts {
                assert!(text.contains(part), "{part:?} is not in {text}");
            }
        };
        let hello = json!([{ "role": "user", "content": "Hello" }]);
        let tools = |names: &[&str]| -> Value {
            names.iter().map(|name| json!({ "function": { "name": name } })).collect()
        };
        let version = concat!("echo inside ccproxy ", env!("CARGO_PKG_VERSION"), ": your client");
        check(
            json!({ "messages": hello, "stream": true, "tools": tools(&["Read", "Bash"]) }),
            &[
                "You said: Hello\n",
                version,
                "streaming works",
                "2 tools were offered",
                r#"`[[tool:Bash {"command":"date"}]]`"#,
                "`GROQ_API_KEY=… ccproxy`",
            ],
        );
        check(
            json!({ "messages": hello, "tools": tools(&["weather"]) }),
            &["asked for a whole answer", "1 tool was offered", "`[[tool:weather {}]]`"],
        );
        check(json!({ "messages": hello }), &["no tools were", "`[[chunks:20]] [[delay:100]]`"]);
        let later = json!([{ "role": "assistant", "content": "a" }, hello[0]]);
        assert_eq!(ask(json!({ "messages": later })).text, "You said: Hello");
        let marked = json!([{ "role": "user", "content": "Hello [[delay:1]]" }]);
        assert_eq!(ask(json!({ "messages": marked })).text, "You said: Hello");
    }

    #[test]
    fn a_tool_choice_is_obeyed() {
        let schema = json!({ "type": "object", "required": ["n"],
            "properties": { "n": { "type": "integer", "minimum": 7 } } });
        let tools = json!([{ "function": { "name": "a", "parameters": schema } },
            { "function": { "name": "b" } }]);
        let check = |content: &str, choice: Value, parallel: bool, wanted: &str, text: &str| {
            let answer = ask(json!({ "messages": [{ "role": "assistant", "content": "" },
                { "role": "user", "content": content }], "tools": tools, "tool_choice": choice,
                "parallel_tool_calls": parallel }));
            let seen = (&*calls(&answer), &*answer.text);
            assert_eq!(seen, (wanted, text), "{content} {choice}");
        };
        let named = json!({ "type": "function", "function": { "name": "b" } });
        check("x", json!("required"), true, r#"a{"n":7}"#, "");
        check("x", named.clone(), true, "b{}", "");
        check("x", json!("auto"), true, "", "You said: x");
        check("[[tool:b]] x", json!("required"), true, "b{}", "You said: x");
        check("[[tool:a]] [[tool:b]]", named, true, "b{}", "");
        check("[[tool:a]] [[tool:b]]", json!("auto"), true, "a{} b{}", "");
        check("[[tool:a]] [[tool:b]]", json!("auto"), false, "a{}", "");
        check("[[tool:a]]", json!("none"), true, "", "tool_choice forbids to call a.");
    }

    #[test]
    fn an_agent_that_must_call_gets_to_its_last_tool() {
        let tools = json!([{ "function": { "name": "a" } }, { "function": { "name": "end" } }]);
        let mut messages = vec![json!({ "role": "user", "content": "x" })];
        for wanted in ["a{}", "end{}", "end{}"] {
            let request =
                json!({ "messages": messages, "tools": tools, "tool_choice": "required" });
            assert_eq!(calls(&ask(request)), wanted);
            messages.push(json!({ "role": "tool", "content": "done" }));
        }
    }
}
