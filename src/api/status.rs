//! `/`, `/health` and `/status`, from memory: keys and order are those of the health document.

use std::sync::atomic::Ordering;

use serde::Serialize;

use super::Api;
use super::reply::Reply;
use super::route::HealthPath;

const SERVICE: &str = "ccproxy";
const VERSION: &str = env!("CARGO_PKG_VERSION");

#[derive(Serialize)]
struct Root<'a> {
    message: &'static str,
    provider: &'a str,
}

#[derive(Serialize)]
struct HealthBody {
    status: &'static str,
    service: &'static str,
    version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

#[derive(Serialize)]
struct Status<'a> {
    provider: &'a str,
    model: &'a str,
    base_url: &'a str,
    max_tokens: u64,
    status: &'static str,
    service: &'static str,
    version: &'static str,
}

/// Answers a health path: 200, or 503 while the server drains (but `/status` always tells).
pub fn answer(api: &Api, health: HealthPath, reply: Reply) {
    let draining = api.draining.load(Ordering::Relaxed);
    let config = &api.config;
    let provider = config.provider.name;
    let body = match health {
        HealthPath::Root => serde_json::to_vec(&Root {
            message: "CCProxy Multi-Provider Anthropic API is alive 💡",
            provider,
        }),
        HealthPath::Health => serde_json::to_vec(&HealthBody {
            status: if draining { "unhealthy" } else { "healthy" },
            service: SERVICE,
            version: VERSION,
            reason: draining.then_some("draining"),
        }),
        HealthPath::Status => serde_json::to_vec(&Status {
            provider,
            model: &config.model,
            base_url: config.shown_base_url(),
            max_tokens: config.max_tokens,
            status: if draining { "draining" } else { "active" },
            service: SERVICE,
            version: VERSION,
        }),
    };
    let status = if draining && health != HealthPath::Status { 503 } else { 200 };
    let body = body.expect("strings and numbers always serialize");
    reply.respond(status, "application/json; charset=utf-8", &body, &[]);
}
