//! Method and path → what is asked for.

use tiny_http::Method;

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Route {
    Health(HealthPath),
    Messages,
    CountTokens,
    Models,
    /// One model, by its decoded id.
    Model(String),
    /// Claude Code's sign of life at its start.
    Hello,
    /// CORS asks before it lets a page call the API.
    Preflight,
    /// The path is known; the methods it has are given as `Allow` lists them.
    WrongMethod(&'static str),
    Unknown,
}

/// The answers that come from memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthPath {
    Root,
    Health,
    Status,
}

/// Finds the route. The query plays no part, nor do a slash at the end, doubled slashes, or a scheme
/// and host before the path. People put `/v1` into the base URL that clients append `/v1` to.
pub fn find(method: &Method, url: &str) -> Route {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let path = match path.split_once("://") {
        Some((_, rest)) => rest.split_once('/').map_or("", |(_, path)| path),
        None => path,
    };
    let mut segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    if segments.starts_with(&["v1", "v1"]) {
        segments.remove(0);
    }
    let is_get = matches!(method, Method::Get | Method::Head);
    let get = |route: Route| if is_get { route } else { Route::WrongMethod("GET, HEAD, OPTIONS") };
    let post = |route: Route| {
        if *method == Method::Post { route } else { Route::WrongMethod("POST, OPTIONS") }
    };
    let route = match &segments[..] {
        [] => get(Route::Health(HealthPath::Root)),
        ["health"] => get(Route::Health(HealthPath::Health)),
        ["status"] => get(Route::Health(HealthPath::Status)),
        ["api", "hello"] => get(Route::Hello),
        ["v1", "messages"] | ["messages"] => post(Route::Messages),
        ["v1", "messages", "count_tokens"] | ["messages", "count_tokens"] => {
            post(Route::CountTokens)
        }
        ["v1", "models"] | ["models"] => get(Route::Models),
        ["v1", "models", id @ ..] | ["models", id @ ..] => get(Route::Model(decode(&id.join("/")))),
        _ => return Route::Unknown,
    };
    match (method, &route) {
        // A load balancer's OPTIONS asks for health like its GET would.
        (Method::Options, Route::WrongMethod("GET, HEAD, OPTIONS")) if segments.len() < 2 => {
            find(&Method::Get, url)
        }
        (Method::Options, _) => Route::Preflight,
        _ => route,
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
            (Method::Get, "/", Route::Health(HealthPath::Root)),
            (Method::Head, "", Route::Health(HealthPath::Root)),
            (Method::Get, "//health/?x=1", Route::Health(HealthPath::Health)),
            (Method::Get, "http://host:1/status", Route::Health(HealthPath::Status)),
            (Method::Options, "/health", Route::Health(HealthPath::Health)),
            (Method::Post, "/health", Route::WrongMethod("GET, HEAD, OPTIONS")),
            (Method::Post, "/v1/messages?beta=true", Route::Messages),
            (Method::Post, "/v1/v1/messages", Route::Messages),
            (Method::Get, "/v1/messages", Route::WrongMethod("POST, OPTIONS")),
            (Method::Options, "/v1/messages", Route::Preflight),
            (Method::Post, "/v1/messages/count_tokens", Route::CountTokens),
            (Method::Post, "/v1/messages/batches", Route::Unknown),
            (Method::Get, "/v1/models?limit=1000", Route::Models),
            (Method::Get, "/v1/models/qwen%2Fqwen3", Route::Model("qwen/qwen3".to_owned())),
            (Method::Get, "/v1/models/a%zz%4", Route::Model("a%zz%4".to_owned())),
            (Method::Head, "/api/hello", Route::Hello),
            (Method::Get, "/v1/nothing", Route::Unknown),
        ] {
            assert_eq!(find(&method, url), route, "{method} {url}");
        }
    }
}
