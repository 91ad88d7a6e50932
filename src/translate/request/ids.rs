//! Ids of tool calls, both ways.
//!
//! The client gets an id that is new and unique in its conversation, since Claude Code drops the
//! results of an id it has seen before and services reuse `call_0`. What it sends back goes
//! upstream as it is, or in the form the service takes; call and result get the same form. An id
//! that carries something is always shortened: what it carries goes upstream in a field of its own.

use std::borrow::Cow;

use super::turns::Call;
use crate::hash::hash;
use crate::provider::ToolId;
use crate::translate::carry;

/// The id the upstream gets for the client's, of a call of the function that it knows as `name`.
pub(super) fn upstream_id<'a>(call: &Call<'a>, rule: ToolId, name: &str) -> Cow<'a, str> {
    let Call { call, use_number, index, .. } = *call;
    let id = &*call.id;
    let first = use_number == 0;
    match rule {
        ToolId::Opaque if first && is_plain(id) => Cow::Borrowed(id),
        ToolId::Opaque => Cow::Owned(format!("call_{:016x}", hash(id, use_number))),
        ToolId::NineAlphanumerics if first && is_nine(id) => Cow::Borrowed(id),
        ToolId::NineAlphanumerics => Cow::Owned(base36(hash(id, use_number))),
        ToolId::OfFunction => Cow::Owned(format!("functions.{name}:{index}")),
    }
}

fn is_plain(id: &str) -> bool {
    (1..=64).contains(&id.len())
        && carry::from_id(id).is_none()
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

fn is_nine(id: &str) -> bool {
    id.len() == 9 && id.bytes().all(|b| b.is_ascii_alphanumeric())
}

fn base36(mut number: u64) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut text = String::with_capacity(9);
    for _ in 0..9 {
        text.push(char::from(DIGITS[(number % 36) as usize]));
        number /= 36;
    }
    text
}
