//! The PROXY protocol: what a proxy says of its client before the client's first byte.
//!
//! Follows <https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>, versions 1 and 2. Whether
//! there is a header follows from who connects and never from what comes: a header that is looked
//! for everywhere lets everybody write one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::head::bad;
use crate::error::Error;

/// What both versions begin with.
const LINE: &[u8] = b"PROXY ";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The longest line of version 1, with its end.
const LINE_BYTES: usize = 107;
/// Signature, version and command, family and protocol, and how long the rest is.
const FIXED_BYTES: usize = 16;

/// The header of who asks for itself, as a probe does: version 2, LOCAL, and no addresses.
pub const LOCAL: [u8; FIXED_BYTES] = *b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

/// A header as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The client that the proxy speaks for. There is none where it asks for itself, or for
    /// somebody who has no such address.
    pub client: Option<IpAddr>,
    /// So many bytes belong to it, of which the last may still have to come.
    pub length: usize,
}

/// Reads the header that a connection begins with, or `None` for more to come.
///
/// # Errors
/// What is wrong with it, as soon as that can be told.
pub fn read(bytes: &[u8]) -> Result<Option<Header>, Error> {
    if has_begun(bytes, LINE) {
        line(bytes)
    } else if has_begun(bytes, SIGNATURE) {
        block(bytes)
    } else {
        bad("a connection from an address of CCPROXY_TRUSTED_PROXIES begins with a PROXY protocol \
             header, because CCPROXY_PROXY_PROTOCOL is on; this one does not")
    }
}

/// Whether `bytes` begin with `start`, as far as they have come.
fn has_begun(bytes: &[u8], start: &[u8]) -> bool {
    let both = bytes.len().min(start.len());
    bytes[..both] == start[..both]
}

/// Version 1: `PROXY TCP4 192.0.2.1 192.0.2.2 49152 443`.
fn line(bytes: &[u8]) -> Result<Option<Header>, Error> {
    let within = &bytes[..bytes.len().min(LINE_BYTES)];
    let Some(at) = within.iter().position(|b| matches!(b, b'\r' | b'\n')) else {
        return if bytes.len() < LINE_BYTES {
            Ok(None)
        } else {
            bad("the line of the PROXY protocol does not end within 107 bytes")
        };
    };
    match &within[at..] {
        [b'\r', b'\n', ..] => {}
        [b'\r'] if at + 1 < LINE_BYTES => return Ok(None),
        _ => return bad("the line of the PROXY protocol does not end in CR LF"),
    }
    let header = |client| Ok(Some(Header { client, length: at + 2 }));
    let words = std::str::from_utf8(&within[LINE.len()..at]).unwrap_or_default();
    let words: Vec<&str> = words.split(' ').collect();
    match words[..] {
        // What else the line holds means nothing.
        ["UNKNOWN", ..] => header(None),
        ["TCP4", source, destination, ..] if is_whole(&words) => {
            let of = |text: &str| text.parse::<Ipv4Addr>();
            match (of(source), of(destination)) {
                (Ok(source), Ok(_)) => header(Some(source.into())),
                _ => bad("an address in the line of the PROXY protocol is not one of IPv4"),
            }
        }
        ["TCP6", source, destination, ..] if is_whole(&words) => {
            let of = |text: &str| text.parse::<Ipv6Addr>();
            match (of(source), of(destination)) {
                (Ok(source), Ok(_)) => header(Some(IpAddr::from(source).to_canonical())),
                _ => bad("an address in the line of the PROXY protocol is not one of IPv6"),
            }
        }
        _ => bad(
            "the line of the PROXY protocol is not TCP4 or TCP6 with two addresses and two ports, \
             or UNKNOWN",
        ),
    }
}

/// Whether there are a family, two addresses and two ports. A number has no zero before it.
fn is_whole(words: &[&str]) -> bool {
    let is_port = |text: &str| {
        let has_digits = text.bytes().all(|b| b.is_ascii_digit());
        has_digits && (text == "0" || !text.starts_with('0')) && text.parse::<u16>().is_ok()
    };
    words.len() == 5 && words[3..].iter().all(|port| is_port(port))
}

/// Version 2. What follows the addresses is passed over.
fn block(bytes: &[u8]) -> Result<Option<Header>, Error> {
    let Some(version) = bytes.get(SIGNATURE.len()) else { return Ok(None) };
    let is_local = match version {
        0x20 => true,
        0x21 => false,
        _ if version >> 4 == 2 => {
            return bad("the PROXY protocol's command is neither LOCAL nor PROXY");
        }
        _ => return bad("the PROXY protocol's version is neither 1 nor 2"),
    };
    let Some(form) = bytes.get(SIGNATURE.len() + 1) else { return Ok(None) };
    if !is_local && (form >> 4 > 3 || form & 0xf > 2) {
        return bad("the PROXY protocol's family or protocol is none that version 2 has");
    }
    let Some(fixed) = bytes.get(..FIXED_BYTES) else { return Ok(None) };
    let after = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    let header = |client| Ok(Some(Header { client, length: FIXED_BYTES + after }));
    // Two addresses, and two ports.
    let needed = match form {
        0x11 | 0x12 => 4 + 4 + 4,
        0x21 | 0x22 => 16 + 16 + 4,
        0x31 | 0x32 => 108 + 108,
        _ => 0,
    };
    if is_local {
        return header(None);
    }
    if after < needed {
        return bad("the PROXY protocol's addresses are longer than its header");
    }
    let Some(addresses) = bytes.get(FIXED_BYTES..FIXED_BYTES + needed) else { return Ok(None) };
    match (form, addresses) {
        (0x11, [a, b, c, d, ..]) => header(Some(Ipv4Addr::new(*a, *b, *c, *d).into())),
        (0x21, addresses) => {
            let source = addresses.first_chunk().expect("it is 16 bytes and more");
            header(Some(IpAddr::from(Ipv6Addr::from(*source)).to_canonical()))
        }
        // A socket of Unix, or what is no connection: the proxy's own address is all there is.
        _ => header(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header of version 2.
    fn version_2(version: u8, form: u8, length: usize, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(length).unwrap().to_be_bytes();
        [SIGNATURE, &[version, form], &length, rest].concat()
    }

    fn four(source: [u8; 4]) -> Vec<u8> {
        [&source[..], &[10, 0, 0, 1], &[0xc0, 0, 1, 0xbb]].concat()
    }

    /// Reads it at every cut: what it says must not depend on what has come with it.
    fn check(bytes: &[u8], wanted: Result<(Option<&str>, usize), &str>) {
        let shown = String::from_utf8_lossy(bytes);
        let followed = [bytes, b"GET / HTTP/1.1\r\n\r\n"].concat();
        let mut first = None;
        for cut in 0..=followed.len() {
            match (read(&followed[..cut]), &first) {
                (Ok(None), None) => {}
                (found, None) => first = Some(found),
                (found, Some(first)) => assert_eq!(&found, first, "{shown:?} cut at {cut}"),
            }
        }
        match (first.expect("something is told"), wanted) {
            (Ok(Some(header)), Ok((client, length))) => {
                let client = client.map(|address| address.parse().unwrap());
                assert_eq!(header, Header { client, length }, "{shown:?}");
            }
            (Err(error), Err(part)) => {
                assert!(error.to_string().contains(part), "{shown:?}: {error}");
                assert_eq!(error.status(), 400);
            }
            (found, wanted) => panic!("{shown:?}: {found:?} in the place of {wanted:?}"),
        }
    }

    #[test]
    fn a_line_names_the_client() {
        for (line, client) in [
            ("PROXY TCP4 192.0.2.1 10.0.0.1 49152 443\r\n", Some("192.0.2.1")),
            ("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", Some("255.255.255.255")),
            ("PROXY TCP4 192.0.2.1 10.0.0.1 0 0\r\n", Some("192.0.2.1")),
            ("PROXY TCP6 2001:db8::1 ::1 49152 443\r\n", Some("2001:db8::1")),
            ("PROXY TCP6 2001:DB8:0:0:0:0:0:1 ::1 1 2\r\n", Some("2001:db8::1")),
            ("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", Some("192.0.2.1")),
            ("PROXY UNKNOWN\r\n", None),
            ("PROXY UNKNOWN whatever stands here\r\n", None),
        ] {
            check(line.as_bytes(), Ok((client, line.len())));
        }
        let address = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        let longest = format!("PROXY UNKNOWN {address} {address} 65535 65535\r\n");
        assert_eq!(longest.len(), LINE_BYTES);
        check(longest.as_bytes(), Ok((None, LINE_BYTES)));
    }

    #[test]
    fn a_line_is_read_strictly() {
        for (line, part) in [
            ("GET / HTTP/1.1\r\n", "does not"),
            ("proxy TCP4 192.0.2.1 10.0.0.1 1 2\r\n", "does not"),
            ("PROXYTCP4 192.0.2.1 10.0.0.1 1 2\r\n", "does not"),
            ("\u{16}\u{3}\u{1}", "does not"),
            ("PROXY TCP4 192.0.2.1 10.0.0.1 1 2\n", "CR LF"),
            ("PROXY TCP4 192.0.2.1 10.0.0.1 1 2\r\r\n", "CR LF"),
            ("PROXY \r\n", "TCP4 or TCP6"),
            ("PROXY TCP5 192.0.2.1 10.0.0.1 1 2\r\n", "TCP4 or TCP6"),
            ("PROXY UNKNOWNS\r\n", "TCP4 or TCP6"),
            ("PROXY TCP4 192.0.2.1 10.0.0.1 1\r\n", "two ports"),
            ("PROXY TCP4 192.0.2.1 10.0.0.1 1 2 3\r\n", "two ports"),
            ("PROXY TCP4  192.0.2.1 10.0.0.1 1 2\r\n", "two ports"),
            ("PROXY TCP4 192.0.2.1 10.0.0.1 1 2 \r\n", "two ports"),
            ("PROXY TCP4 192.0.2.1 10.0.0.1 1 65536\r\n", "two ports"),
            ("PROXY TCP4 192.0.2.1 10.0.0.1 01 2\r\n", "two ports"),
            ("PROXY TCP4 192.0.2.1 10.0.0.1 +1 2\r\n", "two ports"),
            ("PROXY TCP4 192.0.2.1 10.0.0.1  2\r\n", "two ports"),
            ("PROXY TCP4 192.0.2.01 10.0.0.1 1 2\r\n", "IPv4"),
            ("PROXY TCP4 192.0.2 10.0.0.1 1 2\r\n", "IPv4"),
            ("PROXY TCP4 ::1 10.0.0.1 1 2\r\n", "IPv4"),
            ("PROXY TCP4 192.0.2.1 ::1 1 2\r\n", "IPv4"),
            ("PROXY TCP6 192.0.2.1 10.0.0.1 1 2\r\n", "IPv6"),
            ("PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", "IPv6"),
            ("PROXY TCP6 1::2::3 ::1 1 2\r\n", "IPv6"),
            ("PROXY TCP4 \u{e9} 10.0.0.1 1 2\r\n", "IPv4"),
        ] {
            check(line.as_bytes(), Err(part));
        }
        for endless in ["PROXY UNKNOWN ".to_owned() + &"x".repeat(92), "PROXY ".repeat(20)] {
            check(endless.as_bytes(), Err("107 bytes"));
        }
        // Its end would be the 108th byte.
        let late = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
        assert_eq!(late.len(), LINE_BYTES + 1);
        check(late.as_bytes(), Err("CR LF"));
    }

    #[test]
    fn a_block_names_the_client() {
        let six = [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[1], &[0; 16], &[0; 4]].concat();
        let mapped = [&[0; 10][..], &[255, 255, 192, 0, 2, 1], &[0; 16], &[0; 4]].concat();
        let of_unix = [&b"/run/client"[..], &[0; 97], &[0; 108]].concat();
        for (form, addresses, client) in [
            (0x11, four([192, 0, 2, 1]), Some("192.0.2.1")),
            (0x21, six, Some("2001:db8::1")),
            (0x21, mapped, Some("192.0.2.1")),
            // No connection that this one could be: the proxy's own address is all there is.
            (0x12, four([192, 0, 2, 1]), None),
            (0x31, of_unix, None),
            (0x00, four([192, 0, 2, 1]), None),
            (0x10, Vec::new(), None),
            (0x01, Vec::new(), None),
        ] {
            let bytes = version_2(0x21, form, addresses.len(), &addresses);
            check(&bytes, Ok((client, bytes.len())));
            // More follows, as much as there can be.
            for more in [1, 3, 700, 65_535 - addresses.len()] {
                let rest = [&addresses[..], &vec![0xff; more]].concat();
                let bytes = version_2(0x21, form, rest.len(), &rest);
                let read = read(&bytes[..FIXED_BYTES + addresses.len()]).unwrap().unwrap();
                assert_eq!(read.length, bytes.len(), "{form:x}, {more} bytes more");
                assert_eq!(super::read(&bytes), Ok(Some(read)));
            }
        }
    }

    #[test]
    fn who_asks_for_itself_has_no_client() {
        check(&LOCAL, Ok((None, FIXED_BYTES)));
        // Whatever else it says.
        check(&version_2(0x20, 0x11, 12, &four([192, 0, 2, 1])), Ok((None, 28)));
        check(&version_2(0x20, 0xff, 3, &[0; 3]), Ok((None, 19)));
    }

    #[test]
    fn a_block_is_read_strictly() {
        let addresses = four([192, 0, 2, 1]);
        for (version, form, length, part) in [
            (0x11, 0x11, 12, "version"),
            (0x31, 0x11, 12, "version"),
            (0x0a, 0x11, 12, "version"),
            (0x22, 0x11, 12, "LOCAL nor PROXY"),
            (0x2f, 0x11, 12, "LOCAL nor PROXY"),
            (0x21, 0x41, 12, "family or protocol"),
            (0x21, 0x13, 12, "family or protocol"),
            (0x21, 0xf0, 12, "family or protocol"),
            (0x21, 0x11, 11, "longer than its header"),
            (0x21, 0x11, 0, "longer than its header"),
            (0x21, 0x21, 12, "longer than its header"),
            (0x21, 0x31, 12, "longer than its header"),
        ] {
            check(&version_2(version, form, length, &addresses), Err(part));
        }
        check(b"\r\n\r\nGET / HTTP/1.1\r\n", Err("does not"));
    }
}
