//! The server's end of a connection: requests of a client that is this program.

use std::io::{self, ErrorKind, Read};
use std::os::unix::net::UnixStream;

/// The largest head of a request.
const HEAD_LIMIT_BYTES: usize = 64 << 10;

/// A request.
pub(super) struct Request {
    pub method: String,
    pub path: String,
    pub body: Vec<u8>,
}

/// Reads a request, or `None` at the end. What came behind it stays in `bytes`.
pub(super) fn receive(
    mut connection: &UnixStream,
    bytes: &mut Vec<u8>,
) -> io::Result<Option<Request>> {
    let mut buffer = [0; 4096];
    loop {
        if let Some((head_length, body_length, method, path)) = parse_head(bytes)? {
            let missing = (head_length + body_length).saturating_sub(bytes.len());
            io::Read::take(connection, missing as u64).read_to_end(bytes)?;
            if bytes.len() < head_length + body_length {
                return Ok(None);
            }
            let rest = bytes.split_off(head_length + body_length);
            let body = std::mem::replace(bytes, rest).split_off(head_length);
            return Ok(Some(Request { method, path, body }));
        }
        match connection.read(&mut buffer)? {
            0 => return Ok(None),
            n => bytes.extend_from_slice(&buffer[..n]),
        }
    }
}

/// Looks for a head: its length, the body's, the method and the path without its query.
fn parse_head(bytes: &[u8]) -> io::Result<Option<(usize, usize, String, String)>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Request::new(&mut headers);
    match head.parse(bytes).map_err(|_| ErrorKind::InvalidData)? {
        httparse::Status::Complete(length) => {
            let named = head.headers.iter().find(|h| h.name.eq_ignore_ascii_case("content-length"));
            let value = named.and_then(|header| std::str::from_utf8(header.value).ok());
            let body = value.and_then(|value| value.parse().ok()).unwrap_or(0);
            let path = head.path.unwrap_or_default().split('?').next().unwrap_or_default();
            let method = head.method.unwrap_or_default().to_owned();
            Ok(Some((length, body, method, path.to_owned())))
        }
        httparse::Status::Partial if bytes.len() < HEAD_LIMIT_BYTES => Ok(None),
        httparse::Status::Partial => Err(ErrorKind::InvalidData.into()),
    }
}
