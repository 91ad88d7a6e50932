//! The address of a provider, in every form that people write it.

use crate::provider::Provider;

/// A base URL in the form that `/chat/completions` is appended to.
///
/// People write it with and without the version, with a slash at the end, or with the whole path.
pub(super) fn normalise(value: &str, provider: &Provider) -> Result<String, String> {
    let (host, path) = split(value)?;
    let path = ["chat/completions", "responses"]
        .iter()
        .find_map(|end| path.strip_suffix(end))
        .unwrap_or(path)
        .trim_end_matches('/');
    // The provider's own address with less of its path than it needs.
    if let Some(full) = provider.base_url.strip_prefix(&host)
        && full.starts_with('/')
        && full.trim_start_matches('/').starts_with(path)
    {
        return Ok(provider.base_url.to_owned());
    }
    if path.is_empty() {
        return Ok(format!("{host}{}", provider.base_path));
    }
    let version = if path.split('/').any(is_version) { "" } else { "/v1" };
    Ok(format!("{host}/{path}{version}"))
}

/// The URL of a Messages API in the form that `/v1/messages` is appended to.
pub(super) fn native(value: &str) -> Result<String, String> {
    let (host, path) = split(value)?;
    let path = ["v1/messages", "messages", "v1"]
        .iter()
        .find_map(|end| path.strip_suffix(end))
        .unwrap_or(path)
        .trim_end_matches('/');
    Ok(if path.is_empty() { host } else { format!("{host}/{path}") })
}

/// A base URL without the version at its end.
pub(super) fn without_version(base_url: &str) -> String {
    match base_url.rsplit_once('/') {
        Some((before, version)) if is_version(version) => before.to_owned(),
        _ => base_url.to_owned(),
    }
}

/// `v1`, `v1beta`
fn is_version(segment: &str) -> bool {
    let digits = segment.strip_prefix('v').unwrap_or_default();
    digits.starts_with(|c: char| c.is_ascii_digit())
}

/// Scheme with host and port, and the path without slashes at its ends.
fn split(value: &str) -> Result<(String, &str), String> {
    let userinfo =
        || "it must not hold a user name or password; the key has its own variable".to_owned();
    let shown = value.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = value.split_once("://") else {
        if value.contains('@') {
            return Err(userinfo());
        }
        return Err(format!("{shown:?} is not a URL; it begins with http:// or https://"));
    };
    let scheme = scheme.to_ascii_lowercase();
    if scheme != "http" && scheme != "https" {
        return Err(format!("{scheme}:// is not supported; use http:// or https://"));
    }
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    if authority.contains('@') {
        return Err(userinfo());
    }
    if authority.is_empty() || !authority.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(format!("{shown:?} has no valid host"));
    }
    if path.contains(['?', '#']) || !path.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(format!("{shown:?} must end with its path: no query, no fragment, no spaces"));
    }
    Ok((format!("{scheme}://{authority}"), path.trim_end_matches('/')))
}
