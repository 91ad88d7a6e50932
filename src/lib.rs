//! ccproxy speaks the Anthropic Messages API and forwards each message to one of the services that it
//! is configured for, in that service's dialect.
//!
//! ```text
//! client ─▶ door ─▶ api ─▶ anthropic::parse ─▶ route ─▶ translate ─▶ openai request ─▶ upstream
//! client ◀─ door ◀─ api ◀─ sse::encode ◀─ translate::Translator ◀─ sse::Decoder ◀───── upstream
//!                     │       └──────────────── relay ────────────────┘                    │
//!                     └── dispatch: the next provider, key or form, until one answers ◀────┘
//! ```
//!
//! One translator serves streamed and whole answers of both of OpenAI's APIs: a whole completion is one
//! chunk, and its events fold into a message. So stop reasons, usage and tools have one home each. A
//! service that speaks the Messages API itself can get the client's bytes, and the client its
//! (`translate::native_request`, `translate::native`).
//!
//! What differs between services is a column of [`provider`]; what a refusal tells of one model is a
//! lesson (`translate::Learned`), which changes the row for that model.
//!
//! # Invariants
//!
//! Kept by `tests/it/layers.rs`, as far as imports can tell:
//!
//! 1. `translate`, `tokens`, `sse`, `anthropic`, `openai`, `provider`, `route`, `redact` and `error` do no
//!    IO, read no clock and no environment, make no random ids, and do not log.
//! 2. Only `api` knows tiny_http, only `door` mio, only `upstream` ureq; only `main` exits.
//! 3. No code compares a provider's name: it reads the columns of its row.
//! 4. Whatever the upstream sends and wherever it ends, the client gets one well-formed message: the
//!    last event is `message_stop`, with every started block stopped, or `error`, and nothing follows
//!    it. A truncated answer is never a finished turn, and what an error broke off is left open.
//! 5. How the input is cut into reads never shows in the output.
//! 6. No key appears in a log, an error or an answer: what an upstream says of an error passes [`redact`].

// Every system call that std has no function for is in `os`, which alone may.
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
mod http;
mod json;
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
pub mod service;
pub mod sse;
mod text;
pub mod tokens;
pub mod translate;
pub mod typo;
pub mod unique;
pub mod upstream;
