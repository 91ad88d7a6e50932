//! The `Host` of a request to a server that only this machine reaches.
//!
//! A page of any site can have its own name lead to a loopback after it was loaded (DNS rebinding).
//! To the browser it then still talks to its own site: it sends no foreign `Origin` and may read
//! every answer. But it cannot choose the `Host`, which is its site's name. Browsers always send
//! one, so a request without any, as HTTP/1.0 and some probes send it, is no page's.
//!
//! Nor is one to a name without a dot, which programs, containers and hosts files give: the names
//! that strangers can have for a site all have one (ICANN forbids the others, after SAC 053). Only
//! who answers for the names of the local network could load a page from such a name. It would see
//! which models there are; the messages that cost money it cannot send, since browsers tell the
//! `Origin` of every POST, and that has to be named whatever the `Host` is.

use std::net::IpAddr;

/// Whether `authority`, a `Host` or the same part of a URL, is empty, or names this machine's
/// loopback, something without a dot, or one of `allowed`, which are names in lower case, or `*`.
pub fn is_own(authority: &str, allowed: &[String]) -> bool {
    if authority.is_empty() {
        return true;
    }
    let Some(name) = name_of(authority) else { return false };
    let is_loopback = match name.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => name.ends_with(".localhost") || !name.contains('.'),
    };
    is_loopback || allowed.iter().any(|allowed| allowed == "*" || *allowed == name)
}

/// The name or address in it, in lower case, without port, brackets, and the dot of the root.
pub(super) fn name_of(authority: &str) -> Option<String> {
    let (name, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (name, port) = rest.split_once(']')?;
            name.parse::<std::net::Ipv6Addr>().ok()?;
            (name, port.strip_prefix(':').or(port.is_empty().then_some(""))?)
        }
        None => authority.split_once(':').unwrap_or((authority, "")),
    };
    let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b':');
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_whole = !name.is_empty() && name.bytes().all(is_name);
    (is_whole && port.bytes().all(|b| b.is_ascii_digit())).then(|| name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_and_foreign() {
        let allowed = ["ccproxy.lan".to_owned(), "192.0.2.7".to_owned()];
        for own in [
            "",
            "localhost",
            "LocalHost:3456",
            "localhost.",
            "x",
            "ccproxy:3456",
            "my_host.",
            "a.localhost:1",
            "127.0.0.1",
            "127.9.9.9:80",
            "[::1]",
            "[::1]:3456",
            "[::ffff:127.0.0.1]:1",
            "CCProxy.lan:3456",
            "192.0.2.7:3456",
        ] {
            assert!(is_own(own, &allowed), "{own}");
        }
        for foreign in [
            "evil.example",
            "evil.example:3456",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "a.b.",
            "localhost@evil.example",
            "localhost:80@evil.example",
            "[::2]:3456",
            "[::1].evil.example",
            "[localhost]",
            "localhost:80:evil",
            "127.0.0.1:x",
            "0.0.0.0",
            "10.0.0.1:3456",
            "xccproxy.lan",
            "a.ccproxy.lan",
            "localhost..",
            "x..",
            ".",
            ".x",
            "x y",
            "2001:db8::1",
            ".localhost/",
            "::1x",
        ] {
            assert!(!is_own(foreign, &allowed), "{foreign}");
        }
        assert!(is_own("evil.example", &["*".to_owned()]));
    }
}
