//! ccproxy speaks the Anthropic Messages API and forwards each message to a service that speaks
//! chat completions.
//!
//! ```text
//! client ─▶ door ─▶ api ─▶ anthropic::parse ─▶ translate ─▶ openai::ChatRequest ─▶ upstream
//! client ◀─ door ◀─ api ◀─ sse::encode ◀─ translate::Translator ◀─ sse::Decoder ◀─ upstream
//!                             └──────────────── relay ────────────────┘
//! ```
//!
//! One translator serves streamed and whole answers: a whole completion is one chunk, and its events
//! fold into a message. So stop reasons, usage and tools have one home each.
//!
//! # Invariants
//!
//! Kept by `tests/it/layers.rs`, as far as imports can tell:
//!
//! 1. `translate`, `sse`, `anthropic`, `openai`, `provider`, `route` and `error` do no IO, read no clock and
//!    no environment, make no random ids, and do not log.
//! 2. Only `api` and `echo` know tiny_http, only `upstream` knows ureq, only `main` exits.
//! 3. No code compares a provider's name: it reads the columns of its row.
//! 4. Whatever the upstream sends and wherever it ends, the client gets one well-formed message: the
//!    last event is `message_stop`, with every started block stopped, or `error`, and nothing follows
//!    it. A truncated answer is never a finished turn, and what an error broke off is left open.
//! 5. How the input is cut into reads never shows in the output.
//! 6. No key appears in a log, an error or an answer.

pub mod anthropic;
pub mod api;
pub mod cli;
pub mod config;
pub mod door;
pub mod dotenv;
pub mod echo;
pub mod error;
pub mod exchange;
pub mod health;
mod http;
pub mod http_proxy;
mod lessons;
pub mod logging;
pub mod metrics;
pub mod openai;
mod private;
pub mod probe;
pub mod provider;
pub mod relay;
pub mod route;
pub mod sse;
pub mod translate;
pub mod unique;
pub mod upstream;
