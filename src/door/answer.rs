//! Answers that the door gives by itself: one write each.

use std::io::{self, Write};
use std::net::TcpStream;

use crate::error::Error;
use crate::http::{push_header, push_retry, push_status};
use crate::unique::unique;

/// How an answer has to look on this connection.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    /// HEAD: the head alone.
    pub head_only: bool,
    /// The connection is closed afterwards, and the client is told.
    pub close: bool,
}

/// Sends an answer.
pub fn send(
    mut socket: &TcpStream,
    manner: Manner,
    status: u16,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<()> {
    let mut out = Vec::with_capacity(384 + body.len());
    push_status(&mut out, status);
    push_header(&mut out, "Request-Id", &unique("req_"));
    push_header(&mut out, "Cache-Control", "no-store");
    push_header(&mut out, "X-Content-Type-Options", "nosniff");
    for (name, value) in headers {
        push_header(&mut out, name, value);
    }
    if manner.close {
        push_header(&mut out, "Connection", "close");
    }
    if status != 204 {
        push_header(&mut out, "Content-Length", &body.len().to_string());
    }
    out.extend_from_slice(b"\r\n");
    if !manner.head_only {
        out.extend_from_slice(body);
    }
    socket.write_all(&out)
}

/// Sends an error in Anthropic's shape.
pub fn send_error(
    mut socket: &TcpStream,
    manner: Manner,
    error: &Error,
    allow: Option<&str>,
) -> io::Result<()> {
    let request_id = unique("req_");
    let body = error.body(&request_id);
    let mut out = Vec::with_capacity(384 + body.len());
    push_status(&mut out, error.status());
    push_header(&mut out, "Request-Id", &request_id);
    push_header(&mut out, "Cache-Control", "no-store");
    push_header(&mut out, "Content-Type", "application/json");
    if let Some(allow) = allow {
        push_header(&mut out, "Allow", allow);
    }
    push_retry(&mut out, &error.retry());
    if manner.close {
        push_header(&mut out, "Connection", "close");
    }
    push_header(&mut out, "Content-Length", &body.len().to_string());
    out.extend_from_slice(b"\r\n");
    if !manner.head_only {
        out.extend_from_slice(&body);
    }
    socket.write_all(&out)
}
