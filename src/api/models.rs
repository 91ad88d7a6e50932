//! `/v1/models`: the configured models under their own names and under names that Claude Code's picker
//! shows, which are those with `claude` in them.

use serde::Serialize;

use super::Api;
use super::reply::Reply;
use crate::anthropic::{Model, ModelList};
use crate::config::Config;
use crate::error::Error;
use crate::record::Ending;
use crate::route::Asked;

/// Names of current Claude models, each of which stands for what its tier is set to.
const ALIASES: &[(&str, &str)] = &[
    ("claude-opus-5-5", "Opus"),
    ("claude-sonnet-5-5", "Sonnet"),
    ("claude-haiku-5-5", "Haiku"),
    ("claude-fable-5-2", "Fable"),
];

/// The models of this server: Claude's tiers, the aliases, and each provider's own. Every name is listed
/// once.
pub fn list(config: &Config) -> Vec<Model> {
    let routes = &config.routes;
    let several = config.providers.len() > 1;
    let shown = |provider: usize, model: Option<&str>| {
        let provider = &config.providers[provider];
        format!("{} ({})", model.unwrap_or(&provider.model), provider.name)
    };
    let mut models: Vec<Model> = Vec::new();
    let mut add = |id: String, display_name: String| {
        if !models.iter().any(|model| model.id == id) {
            let created_at = "1970-01-01T00:00:00Z";
            models.push(Model { kind: "model", id, display_name, created_at });
        }
    };
    for alias in &routes.aliases {
        let first = alias.hops.first().map(|hop| shown(hop.provider, hop.model.as_deref()));
        let display_name = alias.display_name.clone().or(first).unwrap_or_default();
        add(alias.listed_id(), display_name);
    }
    for (id, tier) in ALIASES {
        let route = routes.choose(id, Asked { has_tools: true, ..Asked::default() });
        let hop = route.hops[0];
        add((*id).to_owned(), format!("{tier}: {}", shown(hop.provider, hop.model)));
    }
    for (place, provider) in config.providers.iter().enumerate() {
        let id = if several {
            format!("{}/{}", provider.name, provider.model)
        } else {
            provider.model.clone()
        };
        add(id, shown(place, None));
    }
    models
}

/// Answers with all of them: there is one page, whatever `limit` and `after_id` say.
pub fn answer_list(api: &Api, reply: Reply) -> Ending {
    let page = ModelList {
        data: &api.models,
        has_more: false,
        first_id: api.models.first().map(|model| &*model.id),
        last_id: api.models.last().map(|model| &*model.id),
    };
    answer(reply, &page)
}

fn answer(reply: Reply, body: &impl Serialize) -> Ending {
    let body = serde_json::to_vec(body).expect("strings always serialize");
    match reply.json(200, &body) {
        Ok(()) => Ending::Answered,
        Err(_) => Ending::ClientGone,
    }
}

/// Answers with one of them.
pub fn answer_one(api: &Api, id: &str, reply: Reply) -> Ending {
    if let Some(model) = api.models.iter().find(|model| model.id == id) {
        return answer(reply, model);
    }
    let reason = format!("model {id:?} is not listed here; GET /v1/models lists them");
    let error = Error::Refused { status: 404, reason };
    reply.error(&error);
    Ending::Failed(error)
}
