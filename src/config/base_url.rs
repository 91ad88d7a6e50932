//! The address of a provider, in every form that people write it.

use crate::provider::Provider;

/// A base URL in the form that `/chat/completions` is appended to.
///
/// People write it with and without the version, with a slash at the end, or with the whole path.
pub(super) fn normalise(value: &str, provider: &Provider) -> Result<String, String> {
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
    let path = path.trim_end_matches('/');
    let path = path.strip_suffix("chat/completions").unwrap_or(path).trim_end_matches('/');
    let host = format!("{scheme}://{authority}");
    // The provider's own address with less of its path than it needs.
    if let Some(full) = provider.base_url.strip_prefix(&host)
        && full.starts_with('/')
        && full.trim_start_matches('/').starts_with(path)
    {
        return Ok(provider.base_url.to_owned());
    }
    let is_version = |segment: &str| {
        let digits = segment.strip_prefix('v').unwrap_or_default();
        digits.starts_with(|c: char| c.is_ascii_digit())
    };
    let mut url = host;
    if !path.is_empty() {
        url = format!("{url}/{path}");
    }
    if !path.split('/').any(is_version) {
        url.push_str("/v1");
    }
    Ok(url)
}
