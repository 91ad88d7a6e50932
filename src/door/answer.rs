//! Answers that the door gives by itself.

use crate::error::Error;
use crate::http::{push_date, push_header, push_origin, push_retry, push_status};
use crate::line::Manner;
use crate::unique::unique;

/// Appends an answer to `out`.
pub(super) fn push(
    out: &mut Vec<u8>,
    manner: Manner,
    status: u16,
    headers: &[(&str, &str)],
    body: &[u8],
) {
    begin(out, status, &unique("req_"));
    for (name, value) in headers {
        push_header(out, name, value);
    }
    // A 204 has no body to measure: RFC 9110, section 8.6.
    let body = if status == 204 { None } else { Some(body) };
    finish(out, manner, body);
}

/// Appends an error in Anthropic's shape to `out`.
pub(super) fn push_error(
    out: &mut Vec<u8>,
    manner: Manner,
    error: &Error,
    allow: Option<&str>,
    origin: Option<&str>,
    request_id: &str,
) {
    begin(out, error.status(), request_id);
    push_header(out, "Content-Type", "application/json");
    if let Some(allow) = allow {
        push_header(out, "Allow", allow);
    }
    if let Some(origin) = origin {
        push_origin(out, origin, &[]);
    }
    push_retry(out, &error.retry());
    finish(out, manner, Some(&error.body(request_id)));
}

/// A head as far as it is the same for all that the door says.
fn begin(out: &mut Vec<u8>, status: u16, request_id: &str) {
    push_status(out, status);
    push_date(out);
    push_header(out, "Request-Id", request_id);
    push_header(out, "Cache-Control", "no-store");
    push_header(out, "X-Content-Type-Options", "nosniff");
}

/// Ends the head and appends the body.
fn finish(out: &mut Vec<u8>, manner: Manner, body: Option<&[u8]>) {
    if manner.close {
        push_header(out, "Connection", "close");
    }
    if let Some(body) = body {
        push_header(out, "Content-Length", &body.len().to_string());
    }
    out.extend_from_slice(b"\r\n");
    if let Some(body) = body.filter(|_| !manner.head_only) {
        out.extend_from_slice(body);
    }
}
