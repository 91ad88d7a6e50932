//! Which HTTP proxy leads to the provider: `HTTPS_PROXY`, `NO_PROXY` and kin, read the way curl
//! does.
//!
//! <https://curl.se/docs/manpage.html#ENVIRONMENT>. ureq reads them too, but takes the first it
//! finds whatever the scheme, matches whole names only, and skips what it does not understand.

use std::net::IpAddr;

use super::Secret;
use crate::network::Network;

/// A proxy, and the variable that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of its fields say it")]
pub struct HttpProxy {
    pub url: Secret,
    pub variable: &'static str,
}

/// The proxy for `base_url`, if there is one.
///
/// # Errors
/// A sentence about a proxy that cannot be used.
pub fn choose(
    base_url: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<HttpProxy>, String> {
    let first = |names: &[&'static str]| {
        names.iter().find_map(|name| {
            env(name)
                .map(|value| value.trim().to_owned())
                .filter(|v| !v.is_empty())
                .map(|v| (*name, v))
        })
    };
    let Some((scheme, rest)) = base_url.split_once("://") else { return Ok(None) };
    let host = host_of(rest);
    // HTTP_PROXY in upper case is what a CGI server gets from a client's `Proxy:` header.
    let names: &[&str] = match scheme {
        "https" => &["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"],
        _ => &["http_proxy", "all_proxy", "ALL_PROXY"],
    };
    let Some((name, proxy)) = first(names) else { return Ok(None) };
    if first(&["no_proxy", "NO_PROXY"]).is_some_and(|(_, list)| is_excepted(host, &list)) {
        return Ok(None);
    }
    let url = match proxy.split_once("://") {
        None => format!("http://{proxy}"),
        Some(("http" | "https", _)) => proxy,
        Some((other, _)) => {
            return Err(format!(
                "{name}: a proxy of the kind {other}:// is not supported; use http:// or https://, \
                 or name the provider's host in NO_PROXY"
            ));
        }
    };
    if !has_host(&url) {
        // It may hold a password, so it is not shown.
        return Err(format!("{name}: it is not the address of a proxy, such as http://proxy:3128"));
    }
    Ok(Some(HttpProxy { url: Secret::new(url), variable: name }))
}

/// Whether there is a host in the URL, and a port that is a number.
fn has_host(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let address = authority.rsplit_once('@').map_or(authority, |(_, address)| address);
    let host = host_of(address);
    let bracketed = address.starts_with('[');
    let after = if bracketed {
        address.split_once(']').map_or("not closed", |(_, after)| after)
    } else {
        &address[host.len()..]
    };
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    !host.is_empty()
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:%".contains(&b))
        && bracketed == host.parse::<std::net::Ipv6Addr>().is_ok()
        && (after.is_empty() || after.strip_prefix(':').is_some_and(is_port))
}

/// The host of `authority/path`, without port and brackets.
pub(crate) fn host_of(rest: &str) -> &str {
    let authority = rest.split('/').next().unwrap_or_default();
    match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    }
}

/// Whether `host` is in the list: `*`, a name and all below it, an address, or a network.
fn is_excepted(host: &str, list: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let address: Option<IpAddr> = host.parse().ok();
    list.split([',', ' ', '\t']).map(str::trim).filter(|entry| !entry.is_empty()).any(|entry| {
        if entry == "*" {
            return true;
        }
        if let Some(address) = address {
            return Network::parse(entry).is_some_and(|network| network.contains(address));
        }
        let name = entry.trim_start_matches('.').trim_end_matches('.').to_ascii_lowercase();
        host == name || host.strip_suffix(&name).is_some_and(|sub| sub.ends_with('.'))
    })
}
