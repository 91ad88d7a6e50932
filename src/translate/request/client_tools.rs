//! Tools that Anthropic defines and the client runs: other models get them as functions, with the
//! arguments that are published for them.
//!
//! <https://platform.claude.com/docs/en/agents-and-tools/tool-use/bash-tool> and the pages beside
//! it.

use std::borrow::Cow;

use crate::anthropic::Tool;
use crate::json::{Escaped, Schema};

/// One of them, by how its `type` begins: a date follows, and what is new in it is taken to be like
/// what is known.
struct ClientTool {
    kind: &'static str,
    name: &'static str,
    description: &'static str,
    schema: &'static str,
}

const TOOLS: &[ClientTool] = &[
    ClientTool {
        kind: "bash_",
        name: "bash",
        description: "Runs a command in a bash session that stays open from one call to the next.",
        schema: r#"{"type":"object","properties":{"command":{"type":"string","description":"The command to run. Required unless the session is restarted."},"restart":{"type":"boolean","description":"True restarts the session."}}}"#,
    },
    ClientTool { kind: "text_editor_2024", ..EDITOR_WITH_UNDO },
    ClientTool { kind: "text_editor_20250124", ..EDITOR_WITH_UNDO },
    ClientTool {
        kind: "text_editor_",
        name: "str_replace_based_edit_tool",
        description: "Views, creates and edits text files.",
        schema: r#"{"type":"object","properties":{"command":{"type":"string","enum":["view","create","str_replace","insert"]},"path":{"type":"string","description":"The file, or for view also a directory."},"view_range":{"type":"array","items":{"type":"integer"},"description":"For view: the first and the last line, which is -1 for the end of the file."},"file_text":{"type":"string","description":"For create: the content of the file."},"old_str":{"type":"string","description":"For str_replace: the text to replace, which must be in the file exactly once."},"new_str":{"type":"string","description":"For str_replace: what takes its place."},"insert_line":{"type":"integer","description":"For insert: the line after which the text goes in, 0 for the beginning."},"insert_text":{"type":"string","description":"For insert: the text."}},"required":["command","path"]}"#,
    },
    ClientTool {
        kind: "memory_",
        name: "memory",
        description: "Reads and writes files below /memories, which are kept from one conversation to the next.",
        schema: r#"{"type":"object","properties":{"command":{"type":"string","enum":["view","create","str_replace","insert","delete","rename"]},"path":{"type":"string","description":"The file or directory, below /memories. For all but rename."},"view_range":{"type":"array","items":{"type":"integer"},"description":"For view: the first and the last line."},"file_text":{"type":"string","description":"For create: the content of the file."},"old_str":{"type":"string","description":"For str_replace: the text to replace."},"new_str":{"type":"string","description":"For str_replace: what takes its place."},"insert_line":{"type":"integer","description":"For insert: the line after which the text goes in."},"insert_text":{"type":"string","description":"For insert: the text."},"old_path":{"type":"string","description":"For rename: the path until now."},"new_path":{"type":"string","description":"For rename: the path from now on."}},"required":["command"]}"#,
    },
    ClientTool {
        kind: "computer_",
        name: "computer",
        description: "Uses the screen, the mouse and the keyboard of a computer.",
        schema: r#"{"type":"object","properties":{"action":{"type":"string","enum":["screenshot","left_click","right_click","middle_click","double_click","triple_click","left_click_drag","left_mouse_down","left_mouse_up","mouse_move","cursor_position","scroll","type","key","hold_key","wait","zoom"]},"coordinate":{"type":"array","items":{"type":"integer"},"description":"x and y in pixels, for what the mouse does."},"start_coordinate":{"type":"array","items":{"type":"integer"},"description":"For left_click_drag: where it begins."},"text":{"type":"string","description":"For type: the text; for key and hold_key: the keys, such as ctrl+s; for clicks and scroll: keys that are held."},"scroll_direction":{"type":"string","enum":["up","down","left","right"]},"scroll_amount":{"type":"integer"},"duration":{"type":"number","description":"Seconds, for hold_key and wait."},"region":{"type":"array","items":{"type":"integer"},"description":"For zoom: x and y of two corners."}},"required":["action"]}"#,
    },
];

/// The editor as it was until version 3 of it.
const EDITOR_WITH_UNDO: ClientTool = ClientTool {
    kind: "",
    name: "str_replace_editor",
    description: "Views, creates and edits text files.",
    schema: r#"{"type":"object","properties":{"command":{"type":"string","enum":["view","create","str_replace","insert","undo_edit"]},"path":{"type":"string","description":"The file, or for view also a directory."},"view_range":{"type":"array","items":{"type":"integer"},"description":"For view: the first and the last line, which is -1 for the end of the file."},"file_text":{"type":"string","description":"For create: the content of the file."},"old_str":{"type":"string","description":"For str_replace: the text to replace, which must be in the file exactly once."},"new_str":{"type":"string","description":"For str_replace: what takes its place; for insert: the text."},"insert_line":{"type":"integer","description":"For insert: the line after which the text goes in, 0 for the beginning."}},"required":["command","path"]}"#,
};

/// Whether the client runs `tool` though Anthropic defines it.
pub(super) fn is_one(tool: &Tool<'_>) -> bool {
    tool.kind.as_deref().is_some_and(|kind| TOOLS.iter().any(|known| kind.starts_with(known.kind)))
}

/// The name, the description and the schema of `tool`, if the client runs it though Anthropic
/// defines it.
pub(super) fn function<'a>(
    tool: &'a Tool<'_>,
) -> Option<(&'a str, Escaped<'static>, Schema<'static>)> {
    let kind = tool.kind.as_deref()?;
    let known = TOOLS.iter().find(|known| kind.starts_with(known.kind))?;
    let name = tool.name.as_deref().unwrap_or(known.name);
    let mut description = Cow::Borrowed(known.description);
    if let (Some(width), Some(height)) = (tool.display_width_px, tool.display_height_px) {
        description.to_mut().push_str(&format!(" The screen has {width} by {height} pixels."));
    }
    let (schema, _) = Schema::at(known.schema, 0).expect("the schemas here are JSON");
    Some((name, Escaped::new(&description), schema))
}
