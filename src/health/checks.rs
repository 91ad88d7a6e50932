//! The checks as Kubernetes' own servers show them.
//!
//! <https://kubernetes.io/docs/reference/using-api/health-checks/>

use std::borrow::Cow;

use super::{Answer, TEXT};
use crate::metrics::Verdict;

/// A check: its name, and whether it is passed.
pub(super) type Check = (&'static str, bool);

/// The answer of a group of checks, as Kubernetes' own servers give it: `ok`, or a list if it was
/// asked for or something fails. Why it fails is in the log; strangers are told that it does.
pub(super) fn answer(
    group: &str,
    all: &[Check],
    one: &Option<String>,
    query: &str,
    verbose: bool,
) -> Answer<'static> {
    let excluded: Vec<&str> = parameters(query, "exclude").collect();
    let wanted: Vec<&Check> =
        all.iter().filter(|(name, _)| one.as_deref().is_none_or(|one| one == *name)).collect();
    if wanted.is_empty() {
        let body = format!("{group} has no check {:?}\n", one.as_deref().unwrap_or_default());
        return Answer {
            verdict: Verdict::Unknown,
            content_type: TEXT,
            body: body.into_bytes().into(),
        };
    }
    let mut list = String::new();
    let mut passed = true;
    for (name, is_passed) in wanted {
        if excluded.contains(name) {
            list.push_str(&format!("[+]{name} excluded: ok\n"));
        } else if *is_passed {
            list.push_str(&format!("[+]{name} ok\n"));
        } else {
            passed = false;
            list.push_str(&format!("[-]{name} failed: reason withheld\n"));
        }
    }
    for name in excluded.iter().filter(|name| !all.iter().any(|(known, _)| known == *name)) {
        list.push_str(&format!("warn: there is no check {name:?} to exclude\n"));
    }
    let outcome = if passed { "passed" } else { "failed" };
    list.push_str(&format!("{group} check {outcome}\n"));
    let verdict = Verdict::of(passed);
    let body = if passed && !verbose { Cow::from(&b"ok"[..]) } else { list.into_bytes().into() };
    Answer { verdict, content_type: TEXT, body }
}

/// The values of the parameter `name`; one without `=` has the empty value.
pub(super) fn parameters<'a>(query: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    query.split('&').filter_map(move |pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then_some(value)
    })
}
