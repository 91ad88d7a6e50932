//! What the tests of the binary stand on: the program itself, the provider it asks, and its client.
//!
//! The test plays both sides and takes every step itself, so that what it shows is an order and not
//! a timing. Nothing sleeps. Every wait has a bound, which only a broken run meets.

pub(crate) mod client;
pub(crate) mod exchange;
pub(crate) mod http;
pub(crate) mod prober;
pub(crate) mod proxy;
pub(crate) mod target;
pub(crate) mod upstream;

use std::time::Duration;

/// How long anything may take. The program's workers give way to all else, also to a compiler.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The provider's key, which nobody but the provider may see.
pub(crate) const KEY: &str = "sk-test-4f1c9a7be2";
