//! Answers that the door gives by itself: one write each.

use std::io::{self, Write};
use std::net::TcpStream;

use crate::error::Error;
use crate::http::{push_header, push_origin, push_retry, push_status};
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
    socket: &TcpStream,
    manner: Manner,
    status: u16,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<()> {
    let mut head = begin(status, &unique("req_"));
    for (name, value) in headers {
        push_header(&mut head, name, value);
    }
    // A 204 has no body to measure: RFC 9110, section 8.6.
    let body = if status == 204 { None } else { Some(body) };
    finish(socket, manner, head, body)
}

/// Sends an error in Anthropic's shape.
pub fn send_error(
    socket: &TcpStream,
    manner: Manner,
    error: &Error,
    allow: Option<&str>,
    origin: Option<&str>,
    request_id: &str,
) -> io::Result<()> {
    let mut head = begin(error.status(), request_id);
    push_header(&mut head, "Content-Type", "application/json");
    if let Some(allow) = allow {
        push_header(&mut head, "Allow", allow);
    }
    if let Some(origin) = origin {
        push_origin(&mut head, origin, &[]);
    }
    push_retry(&mut head, &error.retry());
    finish(socket, manner, head, Some(&error.body(request_id)))
}

/// A head as far as it is the same for all that the door says.
fn begin(status: u16, request_id: &str) -> Vec<u8> {
    let mut head = Vec::with_capacity(1024);
    push_status(&mut head, status);
    push_header(&mut head, "Request-Id", request_id);
    push_header(&mut head, "Cache-Control", "no-store");
    push_header(&mut head, "X-Content-Type-Options", "nosniff");
    head
}

/// Ends the head and writes all of it at once.
fn finish(
    mut socket: &TcpStream,
    manner: Manner,
    mut out: Vec<u8>,
    body: Option<&[u8]>,
) -> io::Result<()> {
    if manner.close {
        push_header(&mut out, "Connection", "close");
    }
    if let Some(body) = body {
        push_header(&mut out, "Content-Length", &body.len().to_string());
    }
    out.extend_from_slice(b"\r\n");
    if let Some(body) = body.filter(|_| !manner.head_only) {
        out.extend_from_slice(body);
    }
    socket.write_all(&out)
}
