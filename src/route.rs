//! Which provider and model answer a message: names, rules and what comes next when one fails.
//!
//! A name that a client asks for is, in this order: an alias; `provider/model` or `provider,model`
//! of a provider that is configured; one of Claude's, which the rules and tiers are for; or a model
//! that the first provider is asked for as it stands.

#![forbid(unsafe_code)]

use crate::anthropic::{Block, Content, MessagesRequest};
use crate::provider::Images;

/// A place in the list of providers, and the model to ask it for: `None` for its own.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of its fields say it")]
pub struct Hop {
    pub provider: usize,
    pub model: Option<String>,
}

/// A provider as routes see it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of its fields say it")]
pub struct Known {
    pub name: String,
    /// Its own model.
    pub model: String,
    /// Which of its models are shown pictures.
    pub images: Images,
}

/// Another name for a route, listed in `/v1/models`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of its fields say it")]
pub struct Alias {
    pub id: String,
    pub display_name: Option<String>,
    pub hops: Vec<Hop>,
}

/// Everything that decides where a message goes. A list of hops is tried in order; an empty one is
/// a rule that is not set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of its fields say it")]
pub struct Routes {
    pub providers: Vec<Known>,
    /// Never empty.
    pub default: Vec<Hop>,
    pub opus: Vec<Hop>,
    pub sonnet: Vec<Hop>,
    pub haiku: Vec<Hop>,
    pub fable: Vec<Hop>,
    pub long_context: Vec<Hop>,
    /// How many input tokens, by the estimate, are a long context.
    pub long_context_tokens: u64,
    pub background: Vec<Hop>,
    pub thinking: Vec<Hop>,
    pub images: Vec<Hop>,
    /// Who describes pictures for models that read text only; their messages stay where they are.
    pub describe: Vec<Hop>,
    pub web_search: Vec<Hop>,
    pub aliases: Vec<Alias>,
}

/// What of a request the rules look at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of its fields say it")]
pub struct Asked {
    pub input_tokens: u64,
    pub has_tools: bool,
    pub thinking: bool,
    pub images: bool,
    pub web_search: bool,
}

/// Where a message goes: hops to try in order, and what decided that, for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of its fields say it")]
pub struct Route<'a> {
    pub hops: Vec<Choice<'a>>,
    pub by: &'static str,
}

/// A hop of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of its fields say it")]
pub struct Choice<'a> {
    pub provider: usize,
    pub model: Option<&'a str>,
}

impl Asked {
    /// The features of `request`, whose tokens have been estimated.
    pub fn of(request: &MessagesRequest<'_>, input_tokens: u64) -> Asked {
        let tools = request.tools.as_deref().unwrap_or_default();
        Asked {
            input_tokens,
            has_tools: tools.iter().any(|tool| tool.input_schema.is_some()),
            thinking: request.thinking.as_ref().is_some_and(|thinking| thinking.kind != "disabled"),
            images: request.messages.iter().any(|message| has_image(&message.content)),
            web_search: request.web_search().is_some(),
        }
    }
}

fn has_image(content: &Content<'_>) -> bool {
    content.0.iter().any(|block| match block {
        Block::Image(_) => true,
        Block::ToolResult(result) => has_image(&result.content),
        _ => false,
    })
}

/// Words of Claude's model names for a tier.
const TIERS: &[&str] = &["opus", "sonnet", "haiku", "fable"];

/// What names have in them that Claude Code takes for Claude's.
const CLAUDE_WORDS: &[&str] = &["claude", "anthropic"];

/// The name without Claude Code's mark for a window size.
fn without_mark(requested: &str) -> &str {
    requested.strip_suffix("[1m]").unwrap_or(requested)
}

/// Whether `name` stands for what is configured, since it is one of Claude's.
fn is_of_claude(lower: &str) -> bool {
    CLAUDE_WORDS.iter().any(|word| lower.contains(word))
        || TIERS.contains(&lower)
        || matches!(lower, "" | "default" | "opusplan")
}

impl Routes {
    /// Routes to the providers in their order, each with its own model.
    pub fn in_order(providers: Vec<Known>) -> Routes {
        let default = (0..providers.len()).map(|provider| Hop { provider, model: None }).collect();
        Routes { providers, default, ..Routes::default() }
    }

    /// How many rules and tiers are set.
    pub fn set_rules(&self) -> usize {
        let all = [
            &self.opus,
            &self.sonnet,
            &self.haiku,
            &self.fable,
            &self.long_context,
            &self.background,
            &self.thinking,
            &self.images,
            &self.describe,
            &self.web_search,
        ];
        all.iter().filter(|hops| !hops.is_empty()).count()
    }

    /// The hop that `name` means: a provider's name, or `provider/model` or `provider,model`.
    pub fn hop<'n>(&self, name: &'n str) -> Option<Choice<'n>> {
        let place = |name: &str| {
            self.providers.iter().position(|known| known.name.eq_ignore_ascii_case(name))
        };
        let whole = place(name).map(|provider| Choice { provider, model: None });
        whole.or_else(|| {
            let (provider, model) = name.split_once([',', '/'])?;
            let provider = place(provider)?;
            (!model.is_empty()).then_some(Choice { provider, model: Some(model) })
        })
    }

    /// Where a message for the model `requested` goes. There is always one hop at least.
    pub fn choose<'a>(&'a self, requested: &'a str, asked: Asked) -> Route<'a> {
        let name = without_mark(requested);
        let mut route = self.by_name(name, asked);
        let reads_text_only = |choice: &Choice<'_>| {
            let known = &self.providers[choice.provider];
            !known.images.of(choice.model.unwrap_or(&known.model))
        };
        if asked.images
            && self.describe.is_empty()
            && route.hops.first().is_some_and(reads_text_only)
        {
            let sees = |choice: &Choice<'_>| !reads_text_only(choice);
            if !self.images.is_empty() {
                route = Route { hops: choices(&self.images), by: "images" };
            } else if route.hops.iter().any(sees) {
                // A later one that sees is better than a first one that does not.
                route.hops.sort_by_key(|choice| !sees(choice));
            }
        }
        route
    }

    fn by_name<'a>(&'a self, name: &'a str, asked: Asked) -> Route<'a> {
        if let Some(alias) = self.alias(name) {
            return Route { hops: choices(&alias.hops), by: "alias" };
        }
        if let Some(hop) = self.hop(name) {
            return Route { hops: vec![hop], by: "name" };
        }
        let lower = name.to_ascii_lowercase();
        if !is_of_claude(&lower) {
            // The model was chosen by the user; what comes after it is better than no answer.
            let mut hops = choices(&self.default);
            if let Some(first) = hops.first_mut() {
                first.model = Some(name);
            }
            return Route { hops, by: "name" };
        }
        let tier = |word: &str| lower.contains(word);
        let is_long = asked.input_tokens > self.long_context_tokens;
        let rules = [
            ("web_search", asked.web_search, &self.web_search),
            ("long_context", is_long, &self.long_context),
            ("background", tier("haiku") && !asked.has_tools, &self.background),
            ("thinking", asked.thinking, &self.thinking),
            ("opus", tier("opus"), &self.opus),
            ("sonnet", tier("sonnet"), &self.sonnet),
            ("haiku", tier("haiku"), &self.haiku),
            ("fable", tier("fable"), &self.fable),
        ];
        let rule = rules.into_iter().find(|(_, holds, hops)| *holds && !hops.is_empty());
        let (by, hops) = rule.map_or(("default", &self.default), |(by, _, hops)| (by, hops));
        Route { hops: choices(hops), by }
    }

    /// The alias called `name`, or `claude-` and its id, as `/v1/models` lists it.
    fn alias(&self, name: &str) -> Option<&Alias> {
        self.aliases.iter().find(|alias| alias.id == name || alias.listed_id() == name)
    }
}

impl Alias {
    /// The id in `/v1/models`: Claude Code's picker shows only names with `claude` in them.
    pub fn listed_id(&self) -> String {
        let lower = self.id.to_ascii_lowercase();
        if CLAUDE_WORDS.iter().any(|word| lower.contains(word)) {
            self.id.clone()
        } else {
            format!("claude-{}", self.id)
        }
    }
}

fn choices(hops: &[Hop]) -> Vec<Choice<'_>> {
    hops.iter().map(|hop| Choice { provider: hop.provider, model: hop.model.as_deref() }).collect()
}

impl<'a> Choice<'a> {
    /// The model to ask for, where the provider's own is `configured`, or empty for what the client
    /// `requested`.
    pub fn model(&self, configured: &'a str, requested: &'a str) -> &'a str {
        self.model.unwrap_or(if configured.is_empty() {
            without_mark(requested)
        } else {
            configured
        })
    }
}
