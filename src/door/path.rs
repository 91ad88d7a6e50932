//! Method and path → what is asked for.

use crate::exchange::Call;
use crate::health::HealthPath;

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// Answered in the door, from memory.
    Health(HealthPath),
    /// Claude Code's sign of life at its start.
    Hello,
    /// CORS asks before it lets a page call the API.
    Preflight,
    /// Answered by the API.
    Call(Call),
    /// The path is known; the methods it has are given as `Allow` lists them.
    WrongMethod(&'static str),
    Unknown,
}

/// The methods of a path that is read, and of one that is posted to.
const READ: &str = "GET, HEAD, OPTIONS";
const POST: &str = "POST, OPTIONS";

/// Finds the route. The query plays no part, nor do a slash at the end, doubled slashes, or a
/// scheme and host before the path, nor what stands before `/v1/messages` and `/v1/models`: people
/// put `/v1`, or `/anthropic` as other services have it, into the base URL that clients append to.
pub(super) fn find(method: &str, url: &str) -> Route {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let path = match path.split_once("://") {
        Some((_, rest)) => rest.split_once('/').map_or("", |(_, path)| path),
        None => path,
    };
    let mut segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let is_api = |pair: &[&str]| matches!(pair, ["v1", "messages" | "models"]);
    if let Some(prefix) = segments.windows(2).position(is_api) {
        segments.drain(..prefix);
    }
    let health = |path| (READ, Route::Health(path));
    let (allow, route) = match &segments[..] {
        // HAProxy's default check asks for `*` or `/`.
        [] | ["*"] => health(HealthPath::Root),
        ["health"] => health(HealthPath::Health),
        ["status"] => health(HealthPath::Status),
        ["livez" | "healthz"] | ["health", "live"] => health(HealthPath::Live(None)),
        ["readyz" | "ready"] | ["health", "ready"] => health(HealthPath::Ready(None)),
        ["startupz"] | ["health", "started"] => health(HealthPath::Started(None)),
        ["livez", check] => health(HealthPath::Live(Some((*check).to_owned()))),
        ["readyz", check] => health(HealthPath::Ready(Some((*check).to_owned()))),
        ["startupz", check] => health(HealthPath::Started(Some((*check).to_owned()))),
        ["ping"] => health(HealthPath::Ping),
        ["metrics"] => health(HealthPath::Metrics),
        ["statusz"] => health(HealthPath::Statusz),
        ["flagz"] => health(HealthPath::Flagz),
        ["api", "hello"] => (READ, Route::Hello),
        ["v1", "messages"] | ["messages"] => (POST, Route::Call(Call::Messages)),
        ["v1", "messages", "count_tokens"] | ["messages", "count_tokens"] => {
            (POST, Route::Call(Call::CountTokens))
        }
        ["v1", "models"] | ["models"] => (READ, Route::Call(Call::Models)),
        ["v1", "models", id @ ..] | ["models", id @ ..] => {
            (READ, Route::Call(Call::Model(decode(&id.join("/")))))
        }
        _ => return Route::Unknown,
    };
    match (method, allow) {
        ("GET" | "HEAD", READ) | ("POST", POST) => route,
        // A load balancer's OPTIONS asks what its GET would.
        ("OPTIONS", READ) if matches!(route, Route::Health(_) | Route::Hello) => route,
        ("OPTIONS", _) => Route::Preflight,
        _ => Route::WrongMethod(allow),
    }
}

/// Undoes percent-encoding; what is none stays.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let decoded = (first == b'%')
            .then(|| tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok()))
            .flatten()
            .filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match decoded {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes() {
        for (method, url, route) in [
            ("GET", "/", Route::Health(HealthPath::Root)),
            ("OPTIONS", "*", Route::Health(HealthPath::Root)),
            ("GET", "//health/?x=1", Route::Health(HealthPath::Health)),
            ("GET", "http://host:1/status", Route::Health(HealthPath::Status)),
            ("GET", "http://host", Route::Health(HealthPath::Root)),
            ("GET", "/healthz", Route::Health(HealthPath::Live(None))),
            ("GET", "/health/ready/", Route::Health(HealthPath::Ready(None))),
            ("GET", "/readyz/drain", Route::Health(HealthPath::Ready(Some("drain".to_owned())))),
            ("OPTIONS", "/health", Route::Health(HealthPath::Health)),
            ("POST", "/health", Route::WrongMethod(READ)),
            ("POST", "/v1/messages?beta=true", Route::Call(Call::Messages)),
            ("POST", "/v1/v1/messages", Route::Call(Call::Messages)),
            ("POST", "/anthropic/v1/messages", Route::Call(Call::Messages)),
            ("POST", "/api/v1/v1/messages/count_tokens", Route::Call(Call::CountTokens)),
            ("GET", "/claude/v1/models/m", Route::Call(Call::Model("m".to_owned()))),
            ("POST", "/anthropic/v1/complete", Route::Unknown),
            ("GET", "/v1/messages", Route::WrongMethod(POST)),
            ("OPTIONS", "/v1/messages", Route::Preflight),
            ("OPTIONS", "/v1/models", Route::Preflight),
            ("POST", "/v1/messages/count_tokens", Route::Call(Call::CountTokens)),
            ("POST", "/v1/messages/batches", Route::Unknown),
            ("GET", "/v1/models?limit=1000", Route::Call(Call::Models)),
            ("GET", "/v1/models/qwen%2Fqwen3", Route::Call(Call::Model("qwen/qwen3".to_owned()))),
            ("GET", "/v1/models/a%zz%4", Route::Call(Call::Model("a%zz%4".to_owned()))),
            ("HEAD", "/api/hello", Route::Hello),
            ("GET", "/v1/nothing", Route::Unknown),
        ] {
            assert_eq!(find(method, url), route, "{method} {url}");
        }
    }
}
