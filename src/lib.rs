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
//! # Where what happens
//!
//! A message's way, from its first byte. `a/b` is a file or a folder; a name without a slash behind
//! one with it is its neighbour, or else a file of `src`.
//!
//! **In: `door`**, the public socket; one loop, which reads from strangers and answers health
//! - `door/reactor`: accepts, polls all sockets, closes what is overdue, throws out the idlest
//!   connection for a newcomer, sees that a client leaves while a worker answers it
//! - `door/connection`: states and deadlines of a connection: keep-alive and idle time, slow heads,
//!   readers that do not read, lingering after the last answer; `100 Continue`, pipelining
//! - `door/entry`: one turn of a connection: reads, steps, writes; `door/listener`: binds the port
//! - `door/head`: strict HTTP/1: 400, 417, 431, 501, 505; no smuggling; `door/chunks`: chunked
//!   bodies
//! - `door/proxy_protocol`: the PROXY protocol: whom a load balancer speaks for
//! - `door/body`: 413, 408, the pace of an upload, its share of the memory
//! - `door/path`: which path is what: 404, 405; `door/desk`: what is answered or taken, preflights,
//!   529 when full or shutting down
//! - `door/access`: client keys (401), `Host` and `Origin` (403, 421), content type (415),
//!   addresses behind proxies that are trusted, messages per minute (429); `door/turns`: the
//!   buckets of that
//! - `door/limits`: how many connections and messages at once, by descriptors, threads, cgroups
//! - `door/slot`: places in flight; `door/answer`: the bytes of the door's own answers, CORS
//! - `door/link`, `exchange`, `private`: the hand-over to a worker; `line`: the client's socket in
//!   a worker's hands: slow readers are cut, it is given back, and when the client leaves the
//!   provider's socket is shut down under the worker
//! - `door/admission`: a place for a message, or 529; `door/regular`: a client that asks again at
//!   once, whose worker stays with it and reads its next request
//! - `door/watchdog`: asks itself for health, sets the API up anew, gives up with exit code 70
//! - `door`: shutdown: drains, refuses, cuts what is left; `door/rehearsal`: without a socket, for
//!   who counts what its answers cost
//!
//! **Asked: `api`**, worker threads
//! - `api/workers`: the thread pool on tiny_http: grows, stands by, shrinks, is nice
//! - `api/messages`: `/v1/messages` and `count_tokens` from start to end; `api/models`:
//!   `/v1/models`; `api/count`: the provider's own count of tokens
//! - `route`: which provider and model: names, aliases, rules (pictures, length, thinking),
//!   fallbacks; `session`: which conversation it is of; `moved`: where one is that had to move on
//! - `api/dispatch`: the next provider when one fails, another key or token after a 401 or 429,
//!   once more with what a refusal has taught, and after a rate limit that may be waited for
//! - `api/pictures`: pictures in another model's words, for a model that reads text only
//! - `api/catalog`: what a provider serves, by its own list, kept for a while
//! - `api/attempt`: one request: form (native, chat, Responses), the key's permit, what is told to
//!   the breaker; `api/question`: sends, and reads pages, redirects, codings and refusals out of
//!   the head
//! - `api/delivery`: stream or whole message, time to the first byte; `api/asking`: who waits for
//!   it
//! - `api/reply`: head, headers (`x-ccproxy-…`, `request-id`, CORS), chunks, JSON, errors as bytes;
//!   `http`: status lines, `Retry-After`, the names and values of CORS
//! - `api/ledger`: how it ended, once for log, metrics and counts
//! - `health/provider`: the circuit breaker: opens after failures, lets one call find out;
//!   `health/keys`: which key is next, how long one rests that was limited (429) or refused;
//!   `health/outcome`: what an error says of the provider; `health/words`: the last errors;
//!   `lessons`: what was learned by model, for a day
//! - `session`: which conversation a message belongs to, and what a provider is told of it, for its
//!   prompt cache; `moved`: where a session stays that could not keep its key or its place
//!
//! **Written: `anthropic`, `translate/request`, `openai`**, pure
//! - `anthropic/parse`: reads a request, its limits; `anthropic/content`: blocks and how deep they
//!   nest; `anthropic/fault`, `anthropic/place`: `messages.0.content: …`; `anthropic/request`:
//!   fields; `anthropic/event`: the events and messages that answer it
//! - `translate/request`: thinking as the provider's effort, `response_format`, parallel calls;
//!   `turns`: roles, calls and their results, interleaved system messages, the billing line;
//!   `wanted`: what is asked, without what a lesson forbids
//! - `translate/request/completions`: chat messages, `max_tokens` in the provider's word, reasoning
//!   echoed; `responses`: items of the Responses API; `native`: the client's own bytes
//! - `translate/request/content`: pictures, PDFs, documents, tool results as text or parts
//! - `translate/request/tools`: tools, tool_choice, names too long, too many, deferred ones;
//!   `client_tools`: bash, text editor; `ids`: ids of calls; `translate/request/schema`: JSON
//!   schemas made to fit
//! - `translate/request/search`: web searches, in the words of each provider (`provider/search`)
//! - `translate/request/report`: what was dropped or changed (`x-ccproxy-dropped`, `-adjusted`)
//! - `translate/carry`: reasoning and thought signatures carried through the client and back;
//!   `translate/object`, `hash`: JSON that is cut anywhere, short names
//! - `tokens`: the estimate of tokens, of texts (`tokens/text`) and pictures (`tokens/image`)
//! - `provider/rows`: a service's address, models, limits and quirks, each with its source: `labs`,
//!   `hosts`, `gateways`, `clouds`, `own`, and in `words` what they share; `provider`: what the
//!   columns mean; `provider/schema_rules`; `provider/limits`: windows and output by model family
//!
//! **Sent: `upstream`**, the only ureq
//! - `client`: the port below it: who waits for an answer, and why there is none
//! - `upstream`: headers and keys, the URL, one retry on a connection that went stale, the idle
//!   pool; `upstream/answer`: the head and the body that come, or why none does
//! - `upstream/wait`: one wait for provider, client and shutdown; time limits of connect, first
//!   byte and silence; `upstream/transport`: connects (IPv6 and IPv4 in turn), keepalive, phases
//! - `upstream/tls`: authorities, client certificates; `upstream/resolver`: names of hosts,
//!   cached; `dns`: asks for them itself in the static build (`dns/packet`, `dns/files`);
//!   `config/http_proxy`: which proxy; `upstream/coding`: gzip; `upstream/long_head`
//! - `upstream/socket`, `upstream/buffers`: writes that do not wait, buffers that grow
//! - `upstream/list`: `GET /models`, read by `openai/models`; `upstream/token`: keys that end, of a
//!   file or a program; `upstream/limits`: `retry-after`, `x-ratelimit-reset-…`; `upstream/pause`:
//!   the wait for a rate limit
//! - `upstream/words`: why it was not reached, and what mends it; `upstream/probe`: the optional
//!   probe
//!
//! **Answered: `relay`, `sse`, `translate/answer`**
//! - `relay`: the loop; `relay/stream`: pings, when the head goes out, what the client has had;
//!   `relay/body`: stream or document by the first bytes; `relay/source`: translated or native
//! - `sse`: frames of an event stream, in and out
//! - `translate/answer`: the state machine; `completions`, `responses`: chunks and events sorted;
//!   `items`: blocks and their events, parallel calls; `fold`: a whole message
//! - `translate/answer/stop_reason`, `usage`: tables of reasons, counts with caches; `arguments`:
//!   broken JSON of calls mended; `text_calls`: calls written as text; `think`: `<think>` tags;
//!   `search`, `sources`: web searches and what they found; `halves`: cut surrogates;
//!   `translate/stops`: stop sequences
//! - `translate/answer/native`: a Messages API's own bytes: model's name, missing counts, errors;
//!   `recast`: a message as events and back; `openai/request`, `openai/response`,
//!   `openai/responses`: wire types
//! - `openai/piece`: chunks that say one thing, which most are, read by `json/scanner` where they
//!   stand; `openai/lenient`: fields of the wrong type; `json`: depth and size of others' JSON;
//!   `bytes`: the end of a line or a string, `vector`: sixteen bytes at once
//! - `translate/reading`: what a request leaves behind for its answer: names of tools, the dialect
//!
//! **Refused: `translate/refusal`, `error`**
//! - `translate/refusal/said`: an error's JSON read once, in any wrapping; `cause`: unknown model,
//!   empty account, overload; `overflow`: whether it tells of one, windows; `explain`: words for
//!   people
//! - `translate/refusal/words`: a refusal → a lesson; `lesson`: what a lesson changes; `search`:
//!   that the search alone is refused
//! - `error`: which status and Anthropic type the client gets, and whether to try again;
//!   `error/cause`: one word for logs and metrics; `error/hint`: `6m0s`, "try again in 7.66s";
//!   `redact`: keys taken out of what others say
//!
//! **Known and told**
//! - `health`: `/health`, `/livez`, `/readyz`, `/`; `health/checks`: Kubernetes' lists;
//!   `health/status`: `/status`; `health/zpages`: `/statusz`, `/flagz`; `health/expose`,
//!   `metrics`: `/metrics`; `healthcheck`: the self-probe (which port
//!   to ask: `config`, by the flags of the server that `container` finds)
//! - `record`: the one log line of a request; `record/refusals`: requests turned away, counted, and
//!   told without flooding; `logging`: the queue, text or JSON, keys hidden; `greeting`: at the
//!   start
//!
//! **Set up**
//! - `main`: exit codes; `cli`: flags and commands; `serve`: start-up, signals, reload (SIGHUP);
//!   `run`: a client that is started beside the server;
//!   `service`: systemd's notify and sockets; `container`: is this one, with which flags its
//!   server runs
//! - `config`: all problems at once; `config/settings`: names, defaults, `--help`; `config/reader`:
//!   flag before variable before file, problems; `config/environment`: `NAME_FILE`, credentials;
//!   `dotenv`: `.env`; `config/file`, `config/routes`: the JSON file; `config/chosen`: which
//!   provider by which key; `config/provider`, `config/entry`, `config/base_url`: one provider's
//!   settings; `config/trust`: certificates
//! - `config/unknown`, `typo`: misspelt names; `config/shown`: `--check-config`; `config/watched`:
//!   what a reload changes; `config/secret`, `config/source`, `config/value`, `config/hosts`
//! - `memory`: the budget of bodies; `heap`: the allocator, `heap/spare`: what it keeps; `os`:
//!   system calls that std lacks; `threads`: how one is started; `network`, `unique`, `calendar`,
//!   `text`, `labels`: addresses, ids, dates, names
//! - `echo`: the embedded provider: needs no key and no network
//!
//! A provider is a row. A dialect is a writer in `translate::request`, a reader in
//! `translate::answer` and wire types. A client's API is a parser and events as in `anthropic`,
//! paths in `door/path` and answers in `api`.
//!
//! # Words for failing
//!
//! - [`error::Error`]: what went wrong, by whose turn it is to act; it alone becomes a status.
//! - [`client::Failure`]: why a call ended without an answer: an error, or nobody waits any more.
//! - [`record::Refusal`]: why ccproxy itself turned a request away.
//! - [`record::Ending`]: what became of a request, for log, metrics and counts alike.
//!
//! What a provider says when it refuses is [`translate::Said`]: an error is made of it, and perhaps
//! a lesson.
//!
//! # Invariants
//!
//! Kept by `tests/it/layers.rs` and `tests/it/circles.rs`, as far as the text of the sources can
//! tell:
//!
//! 1. `translate`, `tokens`, `sse`, `anthropic`, `openai`, `provider`, `route`, `redact`, `error`,
//!    `json`, `bytes`, `vector`, `labels`, `text`, `typo` and `calendar` do no IO, read no clock
//!    and no environment, make no random ids, do not log, and, but for `vector`, forbid unsafe
//!    code.
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
mod bytes;
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
mod hash;
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
mod moved;
pub mod network;
pub mod openai;
mod os;
mod private;
pub mod provider;
pub mod record;
pub mod redact;
pub mod relay;
pub mod route;
pub mod run;
#[cfg(test)]
mod seeded;
pub mod serve;
pub mod service;
pub mod session;
pub mod sse;
mod text;
mod threads;
pub mod tokens;
pub mod translate;
pub mod typo;
pub mod unique;
pub mod upstream;
#[cfg(target_arch = "x86_64")]
mod vector;
