//! `tools` and `tool_choice`.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::client_tools;
use super::schema::{self, Budget};
use crate::anthropic::{Block, MessagesRequest, ToolChoiceKind};
use crate::error::Error;
use crate::hash::hash;
use crate::json::Escaped;
use crate::openai::{Function, Tool, ToolChoice};
use crate::provider::{Provider, ToolChoiceLimit, ToolName};
use crate::translate::reading::ToolNames;

/// The longest name that every provider takes.
const MAX_NAME: usize = 64;

/// The tools to offer and how to choose among them.
pub(super) struct Offer<'a> {
    pub tools: Vec<Tool<'a>>,
    pub choice: Option<ToolChoice<'a>>,
    pub parallel: Option<bool>,
    pub names: ToolNames,
}

/// Translates the tools: those with a schema, those that the client runs though Anthropic defines
/// them, and of the deferred ones those that a `tool_reference` in the conversation has loaded, or
/// all where the server was to search for them. Server tools are dropped, and `tool_choice` if
/// nothing is left for it to choose. `keywords` are left out of schemas beside the provider's own;
/// `may_think` tells that the model may think, which some take no forced call with.
pub(super) fn offer<'a>(
    request: &'a MessagesRequest<'a>,
    provider: &Provider,
    keywords: &[&'static str],
    may_think: bool,
    budget: &mut Budget,
) -> Result<Offer<'a>, Error> {
    let loaded = loaded_tools(request);
    // Those that are loaded in the course of a conversation stand behind those before them,
    // wherever the client puts them: what has been cached so far begins with the others.
    let turn = |tool: &crate::anthropic::Tool| match (tool.defer_loading, &tool.name) {
        (Some(true), Some(name)) => loaded.get(&**name).map_or(0, |turn| turn + 1),
        _ => 0,
    };
    let mut given: Vec<_> = request.tools.iter().flatten().enumerate().collect();
    if !loaded.is_empty() {
        given.sort_by_key(|(_, tool)| turn(tool));
    }
    let nobody_loads = request.tools.iter().flatten().any(is_search);
    let mut seen = HashSet::new();
    let mut names = ToolNames::default();
    let mut tools = Vec::new();
    for (i, tool) in given {
        request.room.goes_on()?;
        if tool.name.as_deref().is_some_and(|name| !seen.insert(name)) {
            return Err(Error::request("tools", "Tool names must be unique."));
        }
        let (name, description, input_schema) = match tool.input_schema {
            Some(schema) => {
                let Some(name) = tool.name.as_deref() else {
                    return Err(Error::request(format!("tools.{i}.name"), "field required"));
                };
                (name, tool.description.as_ref().map(Escaped::by_ref), schema)
            }
            None if tool.is_custom() => {
                return Err(Error::request(format!("tools.{i}.input_schema"), "field required"));
            }
            None => match client_tools::function(tool) {
                Some((name, description, schema)) => (name, Some(description), schema),
                None => continue,
            },
        };
        if tool.defer_loading == Some(true) && !nobody_loads && !loaded.contains_key(name) {
            continue;
        }
        if tools.len() == provider.max_tools {
            break;
        }
        let upstream = upstream_name(name, provider);
        names.offer(&upstream, name);
        tools.push(Tool::new(Function {
            name: upstream,
            description: description
                .filter(|text| !text.is_empty())
                .or_else(|| provider.tool_description.then(|| Escaped::new(name))),
            parameters: schema::object(&input_schema, &provider.schema, keywords, budget),
        }));
    }
    let asked = request.tool_choice.as_ref().filter(|_| !tools.is_empty());
    let choice = match asked {
        None => None,
        Some(asked) => match (asked.kind, &asked.name) {
            (ToolChoiceKind::Auto, _) => Some(ToolChoice::Mode("auto")),
            (ToolChoiceKind::None, _) => Some(ToolChoice::Mode("none")),
            (ToolChoiceKind::Any, _) => Some(ToolChoice::Mode(provider.tool_choice_any)),
            (ToolChoiceKind::Tool, None) => {
                return Err(Error::request("tool_choice.name", "field required"));
            }
            (ToolChoiceKind::Tool, Some(name)) => {
                let upstream = upstream_name(name, provider);
                let offered = tools.iter().any(|tool| tool.function.name == upstream);
                offered.then(|| ToolChoice::function(upstream))
            }
        },
    };
    let choice = choice.map(|choice| limited(choice, &mut tools, provider, may_think));
    let one = asked.and_then(|choice| choice.disable_parallel_tool_use) == Some(true);
    let parallel = (one && provider.parallel_tool_calls && !tools.is_empty()).then_some(false);
    Ok(Offer { choice: choice.filter(|_| !tools.is_empty()), tools, parallel, names })
}

/// The nearest to `choice` that the provider takes. Where a function cannot be named, it is the
/// only one that is offered.
fn limited<'a>(
    choice: ToolChoice<'a>,
    tools: &mut Vec<Tool<'a>>,
    provider: &Provider,
    may_think: bool,
) -> ToolChoice<'a> {
    match (provider.tool_choice, &choice) {
        (ToolChoiceLimit::All, _) => choice,
        (ToolChoiceLimit::NotForcedInThinking, _) if !may_think => choice,
        (_, ToolChoice::Mode("auto")) => choice,
        (ToolChoiceLimit::AutoOnly, ToolChoice::Mode("none")) => {
            tools.clear();
            choice
        }
        (_, ToolChoice::Mode("none")) => choice,
        (ToolChoiceLimit::Modes, ToolChoice::Function { function, .. }) => {
            tools.retain(|tool| tool.function.name == function.name);
            ToolChoice::Mode(provider.tool_choice_any)
        }
        (ToolChoiceLimit::Modes, _) => choice,
        (_, ToolChoice::Function { function, .. }) => {
            tools.retain(|tool| tool.function.name == function.name);
            ToolChoice::Mode("auto")
        }
        (_, ToolChoice::Mode(_)) => ToolChoice::Mode("auto"),
    }
}

/// Whether the server was to find the deferred tools, which nobody else does then.
pub(super) fn is_search(tool: &crate::anthropic::Tool<'_>) -> bool {
    tool.kind.as_deref().is_some_and(|kind| kind.starts_with("tool_search_tool_"))
}

/// The names in the `tool_reference` blocks of the conversation's tool results, and in which order
/// they came first.
fn loaded_tools<'a>(request: &'a MessagesRequest<'a>) -> HashMap<&'a str, usize> {
    if !request.tools.iter().flatten().any(|tool| tool.defer_loading == Some(true)) {
        return HashMap::new();
    }
    let blocks = request.messages.iter().flat_map(|message| &message.content.0);
    let results = blocks.filter_map(|block| match block {
        Block::ToolResult(result) => Some(&result.content.0),
        _ => None,
    });
    let references = results.flatten().filter_map(|block| match block {
        Block::ToolReference { tool_name } => Some(&**tool_name),
        _ => None,
    });
    let mut loaded = HashMap::new();
    for name in references {
        let turn = loaded.len();
        loaded.entry(name).or_insert(turn);
    }
    loaded
}

/// The name a tool has upstream: its own if the provider takes it, else a shortened one with a
/// hash, the same every time.
pub(super) fn upstream_name<'a>(name: &'a str, provider: &Provider) -> Cow<'a, str> {
    let rule = provider.tool_name;
    let takes_dash = rule != ToolName::WithoutDash;
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || (b == b'-' && takes_dash);
    let (needs_letter, least) = match rule {
        ToolName::LetterFirst(least) => (true, least),
        ToolName::Plain | ToolName::WithoutDash => (false, 1),
    };
    let begins = |name: &str| {
        !needs_letter || name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
    };
    if (least..=MAX_NAME).contains(&name.len()) && name.bytes().all(allowed) && begins(name) {
        return Cow::Borrowed(name);
    }
    let mut short = String::from(if begins(name) { "" } else { "_" });
    let plain = name.chars().map(|c| if c.is_ascii() && allowed(c as u8) { c } else { '_' });
    short.extend(plain.take(MAX_NAME - 9 - short.len()));
    short.push_str(&format!("_{:08x}", hash(name, 0) as u32));
    Cow::Owned(short)
}
