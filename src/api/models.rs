//! `/v1/models`: the configured model under its own name and under names that Claude Code's picker
//! shows, which are those with `claude` in them.

use super::Api;
use super::reply::Reply;
use crate::anthropic::{Model, ModelList};
use crate::config::Config;
use crate::error::Error;

/// Names of current Claude models, any of which stands for the configured model.
const ALIASES: &[(&str, &str)] =
    &[("claude-opus-5-5", "Opus"), ("claude-sonnet-5-5", "Sonnet"), ("claude-haiku-5-5", "Haiku")];

/// The models of this server.
pub fn list(config: &Config) -> Vec<Model> {
    let model = |id: &str, display_name: String| Model {
        kind: "model",
        id: id.to_owned(),
        display_name,
        created_at: "1970-01-01T00:00:00Z",
    };
    let shown = format!("{} ({})", config.model, config.provider.name);
    let aliases = ALIASES.iter().map(|(id, tier)| model(id, format!("{tier}: {shown}")));
    aliases.chain([model(&config.model, shown.clone())]).collect()
}

/// Answers with all of them: there is one page, whatever `limit` and `after_id` say.
pub fn answer_list(api: &Api, reply: Reply) {
    let page = ModelList {
        data: &api.models,
        has_more: false,
        first_id: api.models.first().map(|model| &*model.id),
        last_id: api.models.last().map(|model| &*model.id),
    };
    reply.json(200, &serde_json::to_vec(&page).expect("strings always serialize"));
}

/// Answers with one of them.
pub fn answer_one(api: &Api, id: &str, reply: Reply) {
    match api.models.iter().find(|model| model.id == id) {
        Some(model) => {
            reply.json(200, &serde_json::to_vec(model).expect("strings always serialize"))
        }
        None => {
            let reason = format!("model {id:?} is not listed here; GET /v1/models lists them");
            reply.error(&Error::Refused { status: 404, reason });
        }
    }
}
