//! How the head of an answer is written. Shared by the door and the API behind it.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::calendar::{Date, HttpDate};
use crate::error::Retry;

/// Appends the status line.
pub(crate) fn push_status(out: &mut Vec<u8>, status: u16) {
    let reason = reason(status);
    write!(out, "HTTP/1.1 {status} {reason}\r\n").expect("a Vec takes every byte");
}

/// Appends a header. Values come from this program, or have been checked where they were read.
pub(crate) fn push_header(out: &mut Vec<u8>, name: &str, value: &str) {
    for piece in [name, ": ", value, "\r\n"] {
        out.extend_from_slice(piece.as_bytes());
    }
}

/// Appends the time: RFC 9110, section 6.6.1.
pub(crate) fn push_date(out: &mut Vec<u8>) {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let date = HttpDate(Date::of(since.as_secs()));
    write!(out, "Date: {date}\r\n").expect("a Vec takes every byte");
}

/// Appends what the client is told about trying again.
pub(crate) fn push_retry(out: &mut Vec<u8>, retry: &Retry) {
    if let Some(after) = &retry.after {
        push_header(out, "Retry-After", after);
    }
    if let Some(after_ms) = &retry.after_ms {
        push_header(out, "Retry-After-Ms", after_ms);
    }
    if let Some(should) = retry.should_retry {
        push_header(out, "X-Should-Retry", if should { "true" } else { "false" });
    }
}

/// The headers that a page may read, of every answer that it may read.
pub(crate) const EXPOSED: &str = "request-id, retry-after, retry-after-ms, x-should-retry";

/// Appends what lets the page at `origin` read the answer, with these headers of it.
pub(crate) fn push_origin(out: &mut Vec<u8>, origin: &str, headers: &[&str]) {
    push_header(out, "Access-Control-Allow-Origin", origin);
    let mut exposed = EXPOSED.to_owned();
    for name in headers {
        exposed.push_str(", ");
        exposed.push_str(name);
    }
    push_header(out, "Access-Control-Expose-Headers", &exposed);
    push_header(out, "Vary", "Origin");
}

/// The reason phrases of the statuses that ccproxy sends.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        529 => "Overloaded",
        _ => "Error",
    }
}
