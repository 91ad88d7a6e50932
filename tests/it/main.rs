//! Tests of ccproxy as a library, and of its texts.

mod cli;
mod config;
mod docs;
mod door_access;
mod door_bodies;
mod door_drain;
mod door_health;
mod door_leaving;
mod door_load;
mod door_requests;
mod door_shortage;
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
