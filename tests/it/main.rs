//! Tests of ccproxy as a library, and of its texts.

mod cli;
mod config;
mod docs;
mod error;
mod golden;
mod grammar;
mod layers;
mod relay;
mod request;
mod response;
mod serve;
mod serve_process;
mod serve_tls;
mod serve_upstream;
mod splits;
mod stream;
mod support;
