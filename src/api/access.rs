//! Who may call the API.
//!
//! A page in the user's browser must not spend the user's money: it can send requests to a loopback,
//! so a foreign `Origin` is refused, and so is every body that a form or a script could send without
//! asking first, which is all but `application/json`.

use tiny_http::Request;

use super::Api;
use super::reply::Reply;
use super::route::Route;
use crate::error::Error;

/// Checks origin, key and content type; an allowed origin is noted in the reply.
pub fn check(api: &Api, request: &Request, route: &Route, reply: &mut Reply) -> Result<(), Error> {
    let header = |name: &'static str| {
        request.headers().iter().find(|h| h.field.equiv(name)).map(|h| h.value.as_str())
    };
    if matches!(route, Route::Health(_) | Route::Hello | Route::Unknown | Route::WrongMethod(_)) {
        return Ok(());
    }
    if let Some(origin) = header("Origin") {
        let allowed = &api.config.cors_allowed_origins;
        if !allowed.iter().any(|o| o == "*" || o.eq_ignore_ascii_case(origin)) {
            return refused(
                403,
                format!(
                    "origin {origin:?} may not call this API; name it in CORS_ALLOWED_ORIGINS to let it"
                ),
            );
        }
        reply.allow_origin(origin.to_owned());
    }
    if *route == Route::Preflight {
        return Ok(());
    }
    let keys = &api.config.client_keys;
    if !keys.is_empty() {
        let bearer = header("Authorization").and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("Bearer").then_some(token.trim())
        });
        let sent = [header("x-api-key"), bearer];
        if !sent.iter().flatten().any(|key| keys.iter().any(|known| known.matches(key))) {
            return refused(
                401,
                "the key in x-api-key or Authorization is not one of CCPROXY_API_KEY",
            );
        }
    }
    if matches!(route, Route::Messages | Route::CountTokens) {
        let content_type = header("Content-Type").unwrap_or_default();
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        if !media_type.eq_ignore_ascii_case("application/json") {
            return refused(
                415,
                format!("content-type {content_type:?} is not accepted; use application/json"),
            );
        }
        if let Some(coding) =
            header("Content-Encoding").filter(|c| !c.eq_ignore_ascii_case("identity"))
        {
            return refused(
                415,
                format!("content-encoding {coding:?} is not accepted; send the body as it is"),
            );
        }
    }
    Ok(())
}

fn refused(status: u16, reason: impl Into<String>) -> Result<(), Error> {
    Err(Error::Refused { status, reason: reason.into() })
}
