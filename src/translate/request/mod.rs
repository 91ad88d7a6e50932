//! A Messages request → a request of one provider.
//!
//! | Messages API | the provider's | where |
//! |---|---|---|
//! | `messages` | turns, in no dialect | `turns` |
//! | blocks | texts, pictures, files | `content` |
//! | `tools`, `tool_choice` | `tools`, `tool_choice` | `tools`, `schema` |
//! | `max_tokens`, `stop_sequences`, effort, format | per provider, in no dialect | here, `wanted` |
//! | all of it | written for chat completions | `completions` |
//! | all of it | written for the Responses API | `responses` |
//! | all of it | the same, for a provider that speaks the Messages API | `native` |
//! | what was lost on the way | | `report` |
//!
//! A dialect is written from [`Wanted`] and its turns, never from another dialect.

mod client_tools;
mod completions;
mod content;
mod ids;
mod native;
mod report;
mod responses;
mod schema;
mod search;
mod tools;
mod turns;
mod wanted;

use std::borrow::Cow;

use self::content::Shows;
pub use self::native::native_request;
pub use self::report::Report;
use self::schema::Budget;
pub use self::search::searched;
use self::search::{NO_SEARCH_NOTE, WebSearch};
use self::turns::Conversation;
pub use self::wanted::Wanted;
use super::object::without_halves;
use super::reading::ToolNames;
use super::refusal::{EFFORTS, Learned};
use super::stops::Stops;
use crate::anthropic::{MessagesRequest, OutputFormat, Role, ToolUse};
use crate::error::Error;
use crate::json::{Escaped, Spliced};
use crate::openai::{Dialect, FormatKind, JsonSchema, Request, ResponseFormat};
use crate::provider::{
    FormatSupport, Provider, Search, SessionField, ThinkingField, ToolChoiceLimit, ToolId,
};

/// Whom the request is for.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the names of its fields say it")]
pub struct Target<'a> {
    pub provider: &'a Provider,
    /// The model's name upstream.
    pub model: &'a str,
    /// The largest `max_tokens` to send; 0 for no limit.
    pub max_tokens: u64,
    /// Whether the model is shown pictures.
    pub images: bool,
    pub api: Dialect,
    /// What a provider that wants it is told of the session.
    pub session: Option<&'a str>,
    /// What earlier refusals have taught.
    pub learned: &'a Learned,
}

/// What is asked of the upstream, and what the answer has to be translated back with.
#[derive(Debug)]
#[expect(missing_docs, reason = "the names of its fields say it")]
pub struct Translated<'a> {
    pub wanted: Wanted<'a>,
    pub names: ToolNames,
    /// The stop sequences that are not sent.
    pub stops: Stops,
    pub report: Report,
}

/// Translates `request` for `target`. What the provider does not take is left out or made to fit,
/// and reported.
///
/// # Errors
/// [`Error::Request`] for what the wire types cannot rule out, [`Error::ThreadUnsupported`].
pub fn translate<'a>(
    request: &'a MessagesRequest<'a>,
    target: &Target<'a>,
) -> Result<Translated<'a>, Error> {
    if request.thread.is_some() {
        return Err(Error::ThreadUnsupported);
    }
    let Some(max_tokens) = request.max_tokens else {
        return Err(Error::request("max_tokens", "field required"));
    };
    let learned = target.learned;
    let mut row = learned.row(target.provider);
    if Provider::is_among(target.model, row.tool_id_models) {
        row.tool_id = ToolId::OfFunction;
    }
    let provider = &row;
    let keywords = learned.schema_keywords();
    let schemas = request.tools.iter().flatten().filter_map(|tool| tool.input_schema.as_ref());
    let schemas = schemas.chain(request.format().and_then(|format| format.schema.as_ref()));
    let mut budget = Budget::new(schemas.map(|schema| schema.get().len()).sum());
    let (response_format, format_note) = match request.format() {
        Some(format) => response_format(format, provider, &keywords, &mut budget),
        None => (None, None),
    };
    let images = target.images && !learned.is_text_only();
    let mut conversation = Conversation::new(request, format_note);
    let mut shows = Shows::new(provider, images);
    let marked_models = match target.api {
        Dialect::ChatCompletions => provider.cache_control_models,
        Dialect::Responses => provider.cache_breakpoint_models,
    };
    shows.marks = request.cache_control && Provider::is_among(target.model, marked_models);
    if !conversation.says_something() {
        return Err(Error::request("messages", "there is no message with content for the model"));
    }
    let forces = request.tool_choice.as_ref().is_some_and(|choice| choice.forces());
    let thinks = thinks(request, target.model, provider, forces);
    let offer = tools::offer(request, provider, &keywords, thinks != Some(false), &mut budget)?;
    let limit = match (target.max_tokens, learned.max_tokens()) {
        (0, learned) => learned.unwrap_or(u64::MAX),
        (set, learned) => set.min(learned.unwrap_or(set)),
    };
    let max_tokens = max_tokens.min(limit).max(provider.least_max_tokens);
    let search = request.web_search().filter(|_| match provider.search {
        // Its tools stand in the place of the others, another model has none, and the plugin
        // searches for each message, which is paid.
        Search::WebSearchTool | Search::Model { .. } | Search::WebPlugin
            if !offer.tools.is_empty() =>
        {
            false
        }
        search => search.is_of(target.api),
    });
    let search = search.map(|tool| WebSearch::new(request, tool, provider.search));
    let note = match &search {
        Some(search) => search.note(),
        None if request.is_search() => Some(NO_SEARCH_NOTE),
        None => None,
    };
    conversation.system.extend(note.map(Escaped::new));
    let stream = request.stream == Some(true);
    let fixed_sampling = Provider::is_among(target.model, provider.fixed_sampling_models);
    let takes_stop = target.api == Dialect::ChatCompletions
        && !Provider::is_among(target.model, provider.no_stop_models);
    let stop = request.stop_sequences.as_deref().filter(|_| takes_stop).unwrap_or(&[]);
    let temperature = request.temperature.filter(|_| !fixed_sampling);
    let effort = effort(request, target, !offer.tools.is_empty());
    // Where thinking has a switch of its own, that says it.
    let effort = effort.filter(|_| thinks != Some(false));

    let mut wanted = Wanted {
        api: target.api,
        model: target.model,
        conversation,
        shows,
        tool_stream: stream && provider.tool_stream && !offer.tools.is_empty(),
        tools: offer.tools,
        tool_choice: offer.choice,
        parallel_tool_calls: offer.parallel,
        max_tokens,
        temperature,
        top_p: request.top_p.filter(|_| !fixed_sampling),
        top_k: request.top_k.filter(|_| provider.top_k),
        stop: &stop[..stop.len().min(provider.max_stop)],
        effort,
        thinks,
        format: response_format,
        stream,
        stream_usage: stream && provider.stream_usage,
        search,
        summary: true,
        session: target.session.filter(|_| provider.session != SessionField::None),
        carries: true,
        room: request.room,
        row,
    };
    wanted.prune(learned);
    let report = Report::new(request, &wanted, images);
    let asked = request.stop_sequences.as_deref().unwrap_or_default();
    // What is sent are the first of them.
    let unsent = asked.iter().skip(wanted.stop.len());
    let stops = Stops::new(unsent.map(|sequence| sequence.clone().into_owned()));
    Ok(Translated { wanted, names: offer.names, stops, report })
}

impl<'a> Wanted<'a> {
    /// The request as it is sent.
    pub fn write(self) -> Request<'a> {
        match self.api {
            Dialect::ChatCompletions => Request::ChatCompletions(completions::write(self)),
            Dialect::Responses => Request::Responses(responses::write(self)),
        }
    }

    /// The bytes of it. What stands in `body`, which the request was read from, as it is sent stays
    /// there.
    ///
    /// # Errors
    /// Nobody waits any more.
    pub fn encode(self, body: &[u8]) -> Result<Spliced<'_>, Error> {
        let room = self.room;
        let mut out = Spliced::new(body);
        serde_json::to_writer(&mut out, &self.write()).expect("the wire types serialize");
        // It may have been broken off.
        room.goes_on()?;
        Ok(out)
    }
}

/// Whether the model is to think, if the client or the call that it forces says so, and the model
/// can be told.
fn thinks(
    request: &MessagesRequest<'_>,
    model: &str,
    provider: &Provider,
    forces: bool,
) -> Option<bool> {
    if provider.thinking == ThinkingField::None
        || !Provider::is_among(model, provider.thinking_models)
    {
        return None;
    }
    // A call can only be forced without thinking, which some models do unless told otherwise.
    if forces && provider.tool_choice == ToolChoiceLimit::NotForcedInThinking {
        return Some(false);
    }
    if provider.thinks_in_streams_only && request.stream != Some(true) {
        return Some(false);
    }
    // "Assistant response prefill is incompatible with enable_thinking", of llama.cpp.
    let is_begun = request.messages.last().is_some_and(|last| last.role == Role::Assistant);
    if is_begun && provider.thinking == ThinkingField::ChatTemplate {
        return Some(false);
    }
    request.thinking.as_ref().map(|thinking| thinking.kind != "disabled")
}

/// The word for the effort that the client asks for, or the nearest one that the model knows.
fn effort(
    request: &MessagesRequest<'_>,
    target: &Target<'_>,
    has_tools: bool,
) -> Option<&'static str> {
    let known = target
        .provider
        .efforts
        .iter()
        .find(|efforts| Provider::is_among(target.model, efforts.models));
    let learned = target.learned.efforts();
    let is_tried = learned.is_none() && known.is_none() && target.provider.tries_efforts;
    let tried = is_tried.then_some(Provider::TRIED_EFFORTS);
    let words = learned.or(known.map(|known| known.words)).or(tried)?;
    let beside_tools = known.is_none_or(|known| known.beside_tools);
    if has_tools && !beside_tools && target.api == Dialect::ChatCompletions {
        return words.contains(&"none").then_some("none");
    }
    let thinking = request.thinking.as_ref();
    let asked = request.output_config.as_ref().and_then(|config| config.effort.as_deref());
    let asked = match (thinking.map(|thinking| &*thinking.kind), asked) {
        // Where nothing is known, nothing is the least.
        (Some("disabled"), _) if is_tried => return None,
        (Some("disabled"), _) => "none",
        (_, Some(effort)) => effort,
        (Some("enabled"), None) => match thinking.and_then(|thinking| thinking.budget_tokens)? {
            ..=4096 => "low",
            4097..=16384 => "medium",
            _ => "high",
        },
        _ => return None,
    };
    let is_medium = asked == "medium";
    let place = |word: &str| EFFORTS.iter().position(|known| *known == word);
    // Words that are new since are more than those that are known.
    let asked = place(asked).unwrap_or(EFFORTS.len());
    let mut sorted: Vec<(usize, &'static str)> =
        words.iter().filter_map(|word| Some((place(word)?, *word))).collect();
    sorted.sort_unstable();
    let mut backwards = sorted.iter().rev();
    let below = backwards.find(|(at, word)| *at <= asked && (asked == 0 || *word != "none"));
    // The middle is no reason to think least: the services that lack it take the next above.
    let above = sorted.iter().find(|(at, _)| is_medium && *at >= asked);
    let below = above.or(below);
    // Who asks for no thinking gets the least there is.
    below.or_else(|| sorted.iter().find(|(_, word)| *word != "none")).map(|(_, word)| *word)
}

/// `response_format`, or for providers without schemas also a sentence for the system prompt.
fn response_format<'a>(
    format: &'a OutputFormat<'a>,
    provider: &Provider,
    keywords: &[&'static str],
    budget: &mut Budget,
) -> (Option<ResponseFormat<'a>>, Option<Escaped<'a>>) {
    let Some(raw) = &format.schema else { return (None, None) };
    match provider.response_format {
        FormatSupport::JsonSchema => {
            let schema = schema::format(raw, &provider.schema, keywords, budget);
            let json_schema = Some(JsonSchema { name: "output", schema });
            (Some(ResponseFormat { kind: FormatKind::JsonSchema, json_schema }), None)
        }
        FormatSupport::JsonObject => {
            let note = format!(
                "Answer with one JSON object and nothing else. It must follow this JSON schema:\n{}",
                raw.get()
            );
            let format = ResponseFormat { kind: FormatKind::JsonObject, json_schema: None };
            (Some(format), Some(Escaped::new(&note)))
        }
    }
}

/// The arguments of a call as the JSON object in a string that the upstream wants.
fn arguments<'a>(call: &'a ToolUse<'a>) -> Cow<'a, str> {
    let input = call.input.map_or("{}", |input| input.get());
    match input.trim_start().as_bytes().first() {
        Some(b'{') => without_halves(input),
        _ if input.trim() == "null" => Cow::Borrowed("{}"),
        _ => Cow::Owned(format!("{{\"value\":{input}}}")),
    }
}
