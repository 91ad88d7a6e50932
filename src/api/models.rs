//! `/v1/models`: the configured models under their own names and under names that Claude Code's
//! picker shows, which are those with `claude` in them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::Api;
use super::ledger::Ledger;
use super::reply::Reply;
use crate::anthropic::{Model, ModelList};
use crate::config::Config;
use crate::error::Error;
use crate::line::Peer;
use crate::record::Ending;
use crate::relay::EventWriter;
use crate::route::Asked;

/// How long the lists of providers are asked for, one after another: a client waits.
const LISTS_WITHIN: Duration = Duration::from_secs(2);

/// Names of current Claude models, each of which stands for what its tier is set to.
const ALIASES: &[(&str, &str)] = &[
    ("claude-opus-5-5", "Opus"),
    ("claude-sonnet-5-5", "Sonnet"),
    ("claude-haiku-5-5", "Haiku"),
    ("claude-fable-5-2", "Fable"),
];

/// A model of the list, and what is asked where a client names it.
pub(super) struct Listed {
    model: Model,
    /// The provider's place, and the model's name there.
    provider: usize,
    upstream: String,
}

/// The models of this server: Claude's tiers, the aliases, and each provider's own. Every name is
/// listed once.
pub(super) fn list(config: &Config) -> Vec<Listed> {
    let routes = &config.routes;
    let several = config.providers.len() > 1;
    let mut models: Vec<Listed> = Vec::new();
    // `name` makes the name that is shown of that of the model and its provider.
    let mut add = |id: String, at: usize, model: Option<&str>, name: &dyn Fn(String) -> String| {
        if models.iter().any(|known| known.model.id == id) {
            return;
        }
        let provider = &config.providers[at];
        let upstream = model.unwrap_or(&provider.model).to_owned();
        let display_name = name(format!("{upstream} ({})", provider.name));
        let created_at = "1970-01-01T00:00:00Z";
        let (max_input_tokens, max_tokens) = (None, None);
        let kind = "model";
        let model = Model { kind, id, display_name, created_at, max_input_tokens, max_tokens };
        models.push(Listed { model, provider: at, upstream });
    };
    for alias in &routes.aliases {
        if let Some(hop) = alias.hops.first() {
            let own = |shown| alias.display_name.clone().unwrap_or(shown);
            add(alias.listed_id(), hop.provider, hop.model.as_deref(), &own);
        }
    }
    for (id, tier) in ALIASES {
        let route = routes.choose(id, Asked { has_tools: true, ..Asked::default() });
        let hop = route.hops[0];
        add((*id).to_owned(), hop.provider, hop.model, &|shown| format!("{tier}: {shown}"));
    }
    for (place, provider) in config.providers.iter().enumerate() {
        let id = if several {
            format!("{}/{}", provider.name, provider.model)
        } else {
            provider.model.clone()
        };
        add(id, place, None, &|shown| shown);
    }
    models
}

impl Listed {
    /// With how much it takes and writes: as a refusal has told, or the user, or the row; else the
    /// provider's own list is asked for it.
    fn now(&self, api: &Api, ledger: &Ledger<'_>, peer: Option<Arc<Peer>>) -> Model {
        let provider = &api.providers[self.provider];
        let learned = provider.health.lessons.of(&self.upstream, Instant::now());
        let of_row = provider.config.row.limits_of(&self.upstream);
        let known = learned.window().or(of_row.map(|limits| limits.window));
        let is_open = ledger.has_taken() < LISTS_WITHIN;
        let listed = (known.is_none() && is_open)
            .then(|| ledger.waiting(|| provider.served(0, peer)))
            .flatten();
        let listed = listed
            .as_ref()
            .and_then(|served| served.iter().find(|served| served.id == self.upstream));
        let asked = provider.config.max_tokens_for(&self.upstream);
        let limit = [Some(asked).filter(|limit| *limit > 0), learned.max_tokens()];
        let limit = limit.into_iter().flatten().min();
        Model {
            max_input_tokens: known.or_else(|| listed?.window),
            max_tokens: limit.or_else(|| listed?.output),
            ..self.model.clone()
        }
    }
}

/// Answers with all of them: there is one page, whatever `limit` and `after_id` say.
#[inline(never)]
pub(super) fn answer_list(api: &Api, ledger: &Ledger<'_>, reply: Reply) -> Ending {
    let now = |listed: &Listed| listed.now(api, ledger, reply.peer());
    let models: Vec<Model> = api.models.iter().map(now).collect();
    let page = ModelList {
        data: &models,
        has_more: false,
        first_id: models.first().map(|model| &*model.id),
        last_id: models.last().map(|model| &*model.id),
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
#[inline(never)]
pub(super) fn answer_one(api: &Api, ledger: &Ledger<'_>, id: &str, reply: Reply) -> Ending {
    if let Some(listed) = api.models.iter().find(|listed| listed.model.id == id) {
        let model = listed.now(api, ledger, reply.peer());
        return answer(reply, &model);
    }
    let reason = format!("model {id:?} is not listed here; GET /v1/models lists them");
    let error = Error::Refused { status: 404, reason };
    reply.error(&error);
    Ending::Failed(error)
}
