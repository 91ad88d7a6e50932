//! The head of a request, read strictly and within bounds.
//!
//! RFC 9112, without everything that has ever been read in two ways: no bare CR or LF, no folding,
//! no control character, one length or one `chunked` and never both. Bytes from 0x80 on are only in
//! values (RFC 9110, section 5.5), and never in one that is read here.

use crate::bytes::before;
use crate::error::Error;

/// The largest head, and the most headers in it.
pub(super) const LIMIT_BYTES: usize = 32 << 10;
const MAX_HEADERS: usize = 100;

/// What is said to a proxy that speaks for others where that is not wanted.
const ANNOUNCED: &str = "a PROXY protocol header is taken with CCPROXY_PROXY_PROTOCOL=on alone, \
    and from an address of CCPROXY_TRUSTED_PROXIES";

/// The headers that say where the request ends, or what becomes of the connection.
const FRAMING: &[&str] = &["content-length", "transfer-encoding", "host", "connection", "expect"];

/// A request's head, as far as it matters to anybody here. Everything is borrowed.
#[derive(Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are named after the headers")]
pub struct Head<'a> {
    pub method: &'a str,
    pub target: &'a str,
    /// HTTP/1.0: no chunks, and always closed, since keeping it open would have to be announced.
    pub old: bool,
    pub body: BodyLength,
    /// The client wants no further request on this connection.
    pub close: bool,
    pub expects_continue: bool,
    pub host: Option<&'a str>,
    pub origin: Option<&'a str>,
    /// A browser asks whether a page may send such a request.
    pub preflights: bool,
    pub content_type: Option<&'a str>,
    pub content_encoding: Option<&'a str>,
    pub api_key: Option<&'a str>,
    pub authorization: Option<&'a str>,
    /// The values of every line, which are one list.
    pub forwarded_for: Vec<&'a str>,
    pub forwarded: Vec<&'a str>,
    pub accept: Option<&'a str>,
    pub agent: Option<&'a str>,
    /// Claude Code names its session.
    pub session: Option<&'a str>,
    pub anthropic_version: Option<&'a str>,
    /// The values of every line, which are one list.
    pub anthropic_beta: Vec<&'a str>,
    /// Prometheus says how long it waits.
    pub scrapes: bool,
    /// What only the watchdog knows.
    pub watchword: Option<&'a str>,
    /// Present on requests of tests that want a panic.
    #[cfg(debug_assertions)]
    pub panics: bool,
}

/// How long the body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of its variants say it")]
pub enum BodyLength {
    None,
    Bytes(u64),
    Chunked,
}

/// A head that is not read: the reason for people.
pub(super) fn bad<T>(reason: &str) -> Result<T, Error> {
    refused(400, reason)
}

fn refused<T>(status: u16, reason: &str) -> Result<T, Error> {
    Err(Error::Refused { status, reason: reason.to_owned() })
}

/// Looks at what has come so far: the length of the head in it, or `None` for more to come. `seen`
/// bytes were looked at before.
///
/// # Errors
/// A byte that no head holds, or too many of them: told at once, not when the head would end.
pub(super) fn length(bytes: &[u8], seen: usize) -> Result<Option<usize>, Error> {
    // An end may have begun in what was seen.
    let from = seen.saturating_sub(3);
    let end = bytes.len().min(LIMIT_BYTES);
    let mut at = from;
    while at < end {
        // Nearly all of it is visible.
        if at == 0 || bytes[at - 1] != b'\r' {
            at += before(&bytes[at..end], |word| word.below(b' ') | word.is(0x7F));
        }
        if at == end {
            break;
        }
        match bytes[at] {
            b'\n' if at == 0 || bytes[at - 1] != b'\r' => return bad("a line ends in a bare LF"),
            b'\n' if at >= 3 && bytes[at - 3..=at] == *b"\r\n\r\n" => return Ok(Some(at + 1)),
            b'\n' | b'\r' | b'\t' | b' '..=b'~' | 0x80.. => {}
            // The first byte of its second version that is no empty line.
            0 if at == 0 => return bad(ANNOUNCED),
            _ => return bad("a byte of the head is a control character"),
        }
        if at > 0 && bytes[at - 1] == b'\r' && bytes[at] != b'\n' {
            return bad("a CR stands alone");
        }
        at += 1;
    }
    if bytes.len() >= LIMIT_BYTES {
        return refused(431, "the head is larger than 32 KiB");
    }
    Ok(None)
}

/// Whether a line goes on in the next one.
fn is_folded(mut bytes: &[u8]) -> bool {
    loop {
        let at = before(bytes, |word| word.is(b'\n'));
        let Some(next) = bytes.get(at + 1) else { return false };
        if matches!(next, b' ' | b'\t') && bytes[..at].ends_with(b"\r") {
            return true;
        }
        bytes = &bytes[at + 1..];
    }
}

/// Reads a head that [`length`] has found.
///
/// # Errors
/// What is wrong with it.
pub(super) fn parse(bytes: &[u8]) -> Result<Head<'_>, Error> {
    if bytes.starts_with(b"PROXY ") {
        return bad(ANNOUNCED);
    }
    if is_folded(bytes) {
        return bad("a header is folded");
    }
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return bad("the head is cut short"),
        Err(httparse::Error::Version) => {
            return refused(505, "use HTTP/1.1 or HTTP/1.0");
        }
        Err(httparse::Error::TooManyHeaders) => {
            return refused(431, "there are more than 100 headers");
        }
        Err(_) => return bad("the head is not HTTP/1.1"),
    }
    let target = request.path.unwrap_or_default();
    if !target.is_ascii() {
        return bad("the target is not visible ASCII");
    }
    let old = request.version == Some(0);
    let mut head = Head {
        method: request.method.unwrap_or_default(),
        target,
        old,
        body: BodyLength::None,
        close: old,
        expects_continue: false,
        host: None,
        origin: None,
        preflights: false,
        content_type: None,
        content_encoding: None,
        api_key: None,
        authorization: None,
        forwarded_for: Vec::new(),
        forwarded: Vec::new(),
        accept: None,
        agent: None,
        session: None,
        anthropic_version: None,
        anthropic_beta: Vec::new(),
        scrapes: false,
        watchword: None,
        #[cfg(debug_assertions)]
        panics: false,
    };
    let (mut hosts, mut is_ascii) = (0, true);
    for header in request.headers.iter() {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        is_ascii &= header.value.is_ascii();
        let value = match std::str::from_utf8(header.value) {
            Ok(value) if value.is_ascii() => value.trim_matches([' ', '\t']),
            _ if FRAMING.iter().any(|name| is(name)) => {
                return bad("a header that says how to read the rest is not ASCII");
            }
            // Not to be passed over, since it may be refused; no page has this one.
            _ if is("origin") => "?",
            _ => continue,
        };
        if is("content-length") {
            head.body = content_length(value, head.body)?;
        } else if is("transfer-encoding") {
            head.body = transfer_encoding(value, head.body, old)?;
        } else if is("host") {
            hosts += 1;
            head.host = Some(value);
        } else if is("access-control-request-method") {
            head.preflights = true;
        } else if is("connection") {
            let says = |word: &str| value.split(',').any(|w| w.trim().eq_ignore_ascii_case(word));
            head.close |= says("close");
        } else if is("expect") {
            if !value.eq_ignore_ascii_case("100-continue") {
                return refused(417, "only 100-continue can be expected");
            }
            head.expects_continue = !old;
        } else if is("origin") {
            head.origin = Some(value);
        } else if is("content-type") {
            head.content_type = Some(value);
        } else if is("content-encoding") {
            head.content_encoding = Some(value);
        } else if is("x-api-key") {
            head.api_key = Some(value);
        } else if is("authorization") {
            head.authorization = Some(value);
        } else if is("accept") {
            head.accept = Some(value);
        } else if is("user-agent") {
            head.agent = Some(value);
        } else if is("x-claude-code-session-id") {
            head.session = Some(value);
        } else if is("x-prometheus-scrape-timeout-seconds") {
            head.scrapes = true;
        } else if is("x-ccproxy-watchword") {
            head.watchword = Some(value);
        } else if is("anthropic-version") {
            head.anthropic_version = Some(value);
        } else if is("anthropic-beta") {
            head.anthropic_beta.push(value);
        } else if is("x-forwarded-for") {
            head.forwarded_for.push(value);
        } else if is("forwarded") {
            head.forwarded.push(value);
        }
        #[cfg(debug_assertions)]
        if is("x-ccproxy-test-panic") {
            head.panics = true;
        }
    }
    if hosts > 1 {
        return bad("there is more than one Host");
    }
    // One leniency at a time: without a Host come the heads that probes write by hand. Those who
    // put names of people and places into a head are proxies, and each of them sends a Host.
    if hosts == 0 && !is_ascii {
        return bad("a header is not ASCII, and there is no Host");
    }
    Ok(head)
}

fn content_length(value: &str, known: BodyLength) -> Result<BodyLength, Error> {
    match known {
        BodyLength::None => {}
        BodyLength::Bytes(_) => return bad("there is more than one Content-Length"),
        BodyLength::Chunked => {
            return bad("Content-Length and Transfer-Encoding exclude each other");
        }
    }
    if !(1..=18).contains(&value.len()) || !value.bytes().all(|b| b.is_ascii_digit()) {
        return bad("Content-Length is not a number of bytes");
    }
    Ok(BodyLength::Bytes(value.parse().expect("18 digits fit")))
}

fn transfer_encoding(value: &str, known: BodyLength, old: bool) -> Result<BodyLength, Error> {
    match known {
        BodyLength::None if old => bad("HTTP/1.0 knows no Transfer-Encoding"),
        BodyLength::None if value.eq_ignore_ascii_case("chunked") => Ok(BodyLength::Chunked),
        BodyLength::None => refused(501, "Transfer-Encoding must be chunked and nothing else"),
        BodyLength::Bytes(_) => bad("Content-Length and Transfer-Encoding exclude each other"),
        BodyLength::Chunked => bad("there is more than one Transfer-Encoding"),
    }
}

/// The page that a head is from which is refused as a whole. It may have been cut, or be anything.
pub(super) fn origin(bytes: &[u8]) -> Option<&str> {
    let lines = bytes.split(|b| *b == b'\n').skip(1).take(MAX_HEADERS * 2);
    let mut values = lines.filter_map(|line| {
        let (name, value) = line.split_at(line.iter().position(|b| *b == b':')?);
        name.eq_ignore_ascii_case(b"origin").then_some(value)
    });
    let value = values.find_map(|value| std::str::from_utf8(&value[1..]).ok())?;
    let value = value.trim_matches([' ', '\t', '\r']);
    value.bytes().all(|b| b.is_ascii_graphic()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(head: &str) -> u16 {
        match length(head.as_bytes(), 0) {
            Err(error) => error.status(),
            Ok(None) => 0,
            Ok(Some(end)) => {
                parse(&head.as_bytes()[..end]).map_or_else(|error| error.status(), |_| 200)
            }
        }
    }

    #[test]
    fn strict() {
        for (wanted, lines) in [
            (200, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
            (200, "GET /health HTTP/1.0\r\n\r\n"),
            (200, "OPTIONS * HTTP/1.1\r\n\r\n"),
            (200, "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n"),
            (0, "GET / HTTP/1.1\r\nHost: a\r\n"),
            (400, "GET / HTTP/1.1\nHost: a\n\n"),
            (400, "GET / HTTP/1.1\r\nA: b\rc\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nA: b\0c\r\n\r\n"),
            (200, "GET / HTTP/1.1\r\nA: é\r\nHost: a\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nA: é\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\né: a\r\n\r\n"),
            (400, "GET /é HTTP/1.1\r\n\r\n"),
            (400, "GÉT / HTTP/1.1\r\n\r\n"),
            (400, "POST / HTTP/1.1\r\nContent-Length: é\r\n\r\n"),
            (400, "POST / HTTP/1.1\r\nTransfer-Encoding: é\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\n Transfer-Encoding: chunked\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nA : b\r\n\r\n"),
            (505, "GET / x HTTP/1.1\r\n\r\n"),
            (400, "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n\r\n"),
            (400, "PROXY UNKNOWN\r\nGET / HTTP/1.1\r\n\r\n"),
            (400, "\0\r\nQUIT\n"),
            (400, "\u{16}\u{3}\u{1}"),
            (400, "GET / HTTP/1.1\r\nContent-Length: +3\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nContent-Length: 3, 3\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nContent-Length: 9223372036854775808\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n"),
            (400, "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
            (400, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
            (417, "GET / HTTP/1.1\r\nExpect: x\r\n\r\n"),
            (501, "GET / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n"),
            (501, "GET / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
            (505, "GET / HTTP/2.0\r\n\r\n"),
            (505, "PRI * HTTP/2.0\r\n\r\n"),
        ] {
            assert_eq!(status(lines), wanted, "{lines:?}");
        }
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(101));
        assert_eq!(status(&many), 431);
        let large = format!("GET / HTTP/1.1\r\nA: {}", "b".repeat(LIMIT_BYTES));
        assert_eq!(status(&large), 431);
    }

    #[test]
    fn every_cut_finds_the_same_end() {
        let bytes = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
        for cut in 0..bytes.len() {
            let early = length(&bytes[..cut], 0).unwrap();
            let late = length(bytes, cut).unwrap();
            assert!(early.is_none_or(|end| end == 27));
            if early.is_none() {
                assert_eq!(late, Some(27), "cut at {cut}");
            }
        }
    }

    /// RFC 9110, section 5.5.
    #[test]
    fn values_may_hold_what_is_not_ascii() {
        let values = b"X: caf\xe9\r\nX-Api-Key: \xff\r\nOrigin: \xff\r\n\r\n";
        let head = &[&b"GET / HTTP/1.1\r\nHost: a\r\n"[..], values].concat()[..];
        assert_eq!(length(head, 0), Ok(Some(head.len())));
        let head = parse(head).unwrap();
        assert_eq!((head.api_key, head.origin), (None, Some("?")));
        let nameless = [&b"GET / HTTP/1.1\r\n"[..], values].concat();
        assert_eq!(parse(&nameless).unwrap_err().status(), 400);
    }

    #[test]
    fn the_page_of_a_head_that_is_refused() {
        for (head, page) in [
            ("GET / HTTP/1.1\r\nOrigin: https://a\r\nA", Some("https://a")),
            ("GET / HTTP/9\nORIGIN:https://a\n\n", Some("https://a")),
            ("GET / HTTP/1.1\r\nOrigin: https://a\rX: b\r\n", None),
            ("GET / HTTP/1.1\r\nOrigin: a b\r\n", None),
            ("GET / HTTP/1.1\r\nOrigin: \u{e9}\r\n", None),
            ("Origin: https://a\r\n", None),
            ("GET / HTTP/1.1\r\nX-Origin: https://a\r\n", None),
            ("", None),
        ] {
            assert_eq!(origin(head.as_bytes()), page, "{head:?}");
        }
    }

    #[test]
    fn connection() {
        let close = |lines: &str| parse(lines.as_bytes()).unwrap().close;
        assert!(!close("GET / HTTP/1.1\r\n\r\n"));
        assert!(close("GET / HTTP/1.1\r\nConnection: TE, Close\r\n\r\n"));
        assert!(!close("GET / HTTP/1.1\r\nConnection: x-disclose\r\n\r\n"));
        assert!(close("GET / HTTP/1.0\r\n\r\n"));
        assert!(close("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"));
        assert!(close("GET / HTTP/1.1\r\nConnection: close\r\nConnection: keep-alive\r\n\r\n"));
    }
}
