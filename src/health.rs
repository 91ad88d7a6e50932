//! What health means: local facts in atomics, and the answers that follow from them.
//!
//! Keys and order of the bodies are those of the health document. Nothing here waits for anything.

use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use crate::config::Config;

const SERVICE: &str = "ccproxy";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The paths that are answered from memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthPath {
    Root,
    Health,
    Status,
}

/// The facts, and every answer prepared as bytes.
#[derive(Debug)]
pub struct Health {
    draining: AtomicBool,
    api_alive: AtomicBool,
    root: Vec<u8>,
    healthy: Vec<u8>,
    unhealthy_draining: Vec<u8>,
    unhealthy_api: Vec<u8>,
    status_active: Vec<u8>,
    status_degraded: Vec<u8>,
    status_draining: Vec<u8>,
}

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

impl Health {
    /// Healthy, with the answers for `config`.
    pub fn new(config: &Config) -> Health {
        let provider = config.provider.name;
        let body = |status, reason| {
            json(&HealthBody { status, service: SERVICE, version: VERSION, reason })
        };
        let status = |status| {
            json(&Status {
                provider,
                model: &config.model,
                base_url: config.shown_base_url(),
                max_tokens: config.max_tokens,
                status,
                service: SERVICE,
                version: VERSION,
            })
        };
        Health {
            draining: AtomicBool::new(false),
            api_alive: AtomicBool::new(true),
            root: json(&Root {
                message: "CCProxy Multi-Provider Anthropic API is alive 💡",
                provider,
            }),
            healthy: body("healthy", None),
            unhealthy_draining: body("unhealthy", Some("draining")),
            unhealthy_api: body("unhealthy", Some("resources")),
            status_active: status("active"),
            status_degraded: status("degraded"),
            status_draining: status("draining"),
        }
    }

    /// From now on the server is on its way out.
    pub fn drain(&self) {
        if !self.draining.swap(true, Ordering::Relaxed) {
            log::info!("health: ready -> draining");
        }
    }

    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Whether the API answers, as the watchdog sees it.
    pub fn set_api_alive(&self, alive: bool) {
        if self.api_alive.swap(alive, Ordering::Relaxed) != alive {
            let (from, to) = if alive { ("failing", "ready") } else { ("ready", "failing") };
            log::warn!(
                "health: {from} -> {to}: the API {} answer",
                if alive { "does" } else { "does not" }
            );
        }
    }

    /// Status and JSON body for a path: 200 or 503, but `/status` always tells.
    pub fn answer(&self, path: HealthPath) -> (u16, &[u8]) {
        let draining = self.is_draining();
        let alive = self.api_alive.load(Ordering::Relaxed);
        let status = if draining || !alive { 503 } else { 200 };
        match path {
            HealthPath::Root => (status, &self.root),
            HealthPath::Health if draining => (status, &self.unhealthy_draining),
            HealthPath::Health if !alive => (status, &self.unhealthy_api),
            HealthPath::Health => (status, &self.healthy),
            HealthPath::Status if draining => (200, &self.status_draining),
            HealthPath::Status if !alive => (200, &self.status_degraded),
            HealthPath::Status => (200, &self.status_active),
        }
    }
}

fn json(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).expect("strings and numbers always serialize")
}
