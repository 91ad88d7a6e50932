//! ccproxy speaks the Anthropic Messages API and forwards each message to one of the services that
//! it is configured for, in that service's dialect.
//!
//! ```text
//! client ─▶ door ─▶ api ─▶ anthropic::parse ─▶ route ─▶ translate ─▶ openai request ─▶ upstream
//! client ◀─ door ◀─ api ◀─ sse::encode ◀─ translate::Translator ◀─ sse::Decoder ◀───── upstream
//!                     │       └──────────────── relay ────────────────┘                    │
//!                     └── dispatch: the next provider, key or form, until one answers ◀────┘
//! ```
//!
//! One translator serves streamed and whole answers of both of OpenAI's APIs: a whole completion is
//! one chunk, and its events fold into a message. So stop reasons, usage and tools have one home
//! each. A service that speaks the Messages API itself can get the client's bytes, and the client
//! its (`translate::native_request`, `translate::native`).
//!
//! What differs between services is a column of [`provider`]; what a refusal tells of one model is
//! a lesson (`translate::Learned`), which changes the row for that model.
//!
//! # The house
//!
//! | rooms | what is there |
//! |---|---|
//! | `door` | the public socket: one loop over a core without IO (`connection`, `head`, `body`, `path`) |
//! | `api` | the workers: `messages` → `dispatch` (which provider) → `attempt` (one request), `ledger` |
//! | `relay` | the one loop of an answer, which reports how it ended and ends nothing itself |
//! | `upstream`, `dns` | calls to providers: agent, phases of deadlines, pool, names of hosts |
//! | `client` | the port below relay and upstream: who waits, and why there is no answer |
//! | `translate::request` | a request → turns → what is wanted → the provider's dialect |
//! | `translate::answer` | a provider's answer → events, streamed or whole |
//! | `translate::refusal` | a provider's words → an error, a lesson |
//! | `translate`'s hall | `carry`, `stops`, `reading`, `object`: what the three wings share |
//! | `anthropic`, `openai`, `sse` | wire types and frames, nothing else |
//! | `provider`, `route`, `tokens` | rows of services, which is asked, the estimate of tokens |
//! | `config`, `cli` | one table of settings: flag, variable, default, sentence |
//! | `health`, `metrics`, `record`, `logging` | what is known and told: probes, numbers, one line a request |
//! | `os` | system calls that std lacks, the only unsafe code |
//!
//! A provider is a row. A dialect is a writer in `translate::request`, a reader in
//! `translate::answer` and wire types.
//!
//! # Words for failing
//!
//! - [`error::Error`]: what went wrong, by whose turn it is to act; it alone becomes a status.
//! - [`client::Failure`]: why a call ended without an answer: an error, or nobody waits any more.
//!   An attempt fails by it, or because the provider has refused, in words that may teach
//!   something.
//! - [`record::Refusal`]: why ccproxy itself turned a request away.
//! - [`record::Ending`]: what became of a request, for log, metrics and counts alike.
//!
//! # Invariants
//!
//! Kept by `tests/it/layers.rs` and `tests/it/circles.rs`, as far as the text of the sources can
//! tell:
//!
//! 1. `translate`, `tokens`, `sse`, `anthropic`, `openai`, `provider`, `route`, `redact`, `error`,
//!    `json`, `text`, `typo` and `calendar` do no IO, read no clock and no environment, make no
//!    random ids, do not log, and forbid unsafe code.
//! 2. Only `api` knows tiny_http, only `door` mio, only `upstream` ureq; only `main` exits.
//! 3. No code compares a provider's name: it reads the columns of its row.
//! 4. Modules that stand beside each other import in one direction, at any depth.
//!
//! And by the tests of what goes in and out:
//!
//! 5. Whatever the upstream sends and wherever it ends, the client gets one well-formed message:
//!    the last event is `message_stop`, with every started block stopped, or `error`, and nothing
//!    follows it. A truncated answer is never a finished turn, and what an error broke off is left
//!    open.
//! 6. How the input is cut into reads never shows in the output.
//! 7. No key appears in a log, an error or an answer: what an upstream says of an error passes
//!    [`redact`].

// Every system call that std has no function for is in `os`, and the allocator in `heap`: they
// alone may.
#![deny(unsafe_code)]

pub mod anthropic;
pub mod api;
mod calendar;
pub mod cli;
pub mod client;
pub mod config;
pub mod container;
mod dns;
pub mod door;
pub mod dotenv;
pub mod echo;
pub mod error;
pub mod exchange;
pub mod greeting;
pub mod health;
pub mod healthcheck;
pub mod heap;
mod http;
mod json;
mod labels;
mod lessons;
pub mod line;
pub mod logging;
pub mod memory;
pub mod metrics;
pub mod network;
pub mod openai;
mod os;
mod private;
pub mod provider;
pub mod record;
pub mod redact;
pub mod relay;
pub mod route;
#[cfg(test)]
mod seeded;
pub mod serve;
pub mod service;
pub mod sse;
mod text;
pub mod tokens;
pub mod translate;
pub mod typo;
pub mod unique;
pub mod upstream;
