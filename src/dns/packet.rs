//! Questions and answers of the domain name system, RFC 1035, as bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Which addresses are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    A,
    Aaaa,
}

impl Kind {
    /// The TYPE on the wire.
    fn code(self) -> u16 {
        match self {
            Kind::A => 1,
            Kind::Aaaa => 28,
        }
    }
}

/// What a server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// None, where the name has none of this kind (NODATA).
    Addresses(Vec<IpAddr>),
    /// NXDOMAIN.
    NoName,
    /// The rest has to be fetched over TCP.
    Truncated,
    /// By its RCODE.
    Failed(u8),
}

/// Header flags and counts, RFC 1035, 4.1.1.
const HEADER: usize = 12;
const CLASS_IN: u16 = 1;

/// The question for addresses of `name`, which is absolute, with or without its last dot; `None`
/// where no name can be so.
pub(super) fn question(id: u16, name: &str, kind: Kind) -> Option<Vec<u8>> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() || name.len() > 253 {
        return None;
    }
    let mut packet = Vec::with_capacity(HEADER + name.len() + 6);
    // Recursion is desired; one question.
    for word in [id, 0x0100, 1, 0, 0, 0] {
        packet.extend(word.to_be_bytes());
    }
    for label in name.split('.') {
        let size = u8::try_from(label.len()).ok().filter(|size| (1..=63).contains(size))?;
        packet.push(size);
        packet.extend(label.as_bytes());
    }
    packet.push(0);
    packet.extend(kind.code().to_be_bytes());
    packet.extend(CLASS_IN.to_be_bytes());
    Some(packet)
}

/// What `packet` answers to `question`; `None` where it is the answer to something else, or none.
pub(super) fn answer(packet: &[u8], question: &[u8]) -> Option<Answer> {
    let word = |at: usize| Some(u16::from_be_bytes(packet.get(at..at + 2)?.try_into().ok()?));
    let (flags, questions, answers) = (word(2)?, word(4)?, word(6)?);
    let is_answer = flags & 0x8000 != 0 && packet.get(..2) == question.get(..2);
    let asked = &question[HEADER..];
    let repeats = |said: &[u8]| said.eq_ignore_ascii_case(asked);
    let code = (flags & 0xf) as u8;
    let is_to_this = match questions {
        1 => packet.get(HEADER..question.len()).is_some_and(repeats),
        // Who refuses need not repeat what it did not read.
        0 => code != 0,
        _ => false,
    };
    if !is_answer || !is_to_this {
        return None;
    }
    match code {
        _ if flags & 0x0200 != 0 => return Some(Answer::Truncated),
        0 => {}
        3 => return Some(Answer::NoName),
        code => return Some(Answer::Failed(code)),
    }
    let kind = u16::from_be_bytes(asked[asked.len() - 4..asked.len() - 2].try_into().ok()?);
    let mut addresses = Vec::new();
    let mut at = question.len();
    for _ in 0..answers {
        at = after_name(packet, at)?;
        let (of_kind, class, size) = (word(at)?, word(at + 2)?, usize::from(word(at + 8)?));
        let data = packet.get(at + 10..at + 10 + size)?;
        at += 10 + size;
        // Aliases stand before the addresses, which are of the last of them.
        if of_kind == kind && class == CLASS_IN {
            addresses.extend(address(data));
        }
    }
    Some(Answer::Addresses(addresses))
}

/// Where the name that begins at `at` ends: it may end by pointing to an earlier one.
fn after_name(packet: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *packet.get(at)? {
            0 => return Some(at + 1),
            size if size & 0xc0 == 0xc0 => return Some(at + 2),
            size if size < 64 => at += 1 + usize::from(size),
            _ => return None,
        }
    }
}

fn address(data: &[u8]) -> Option<IpAddr> {
    match data.len() {
        4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?).into()),
        16 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &[u8] = b"\x03api\x04test\x00";

    /// An answer to the question for A of api.test, with these records.
    fn said(flags: u16, records: &[&[u8]]) -> Vec<u8> {
        let mut packet = vec![0, 7];
        for word in [flags, 1, records.len() as u16, 0, 0] {
            packet.extend(word.to_be_bytes());
        }
        packet.extend(NAME);
        packet.extend([0, 1, 0, 1]);
        packet.extend(records.concat());
        packet
    }

    #[test]
    fn questions_are_those_of_the_standard() {
        let asked = question(7, "api.test.", Kind::A).unwrap();
        assert_eq!(
            asked,
            [&b"\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"[..], NAME, &[0, 1, 0, 1]]
                .concat()
        );
        let long = "a".repeat(64);
        for none in ["", ".", "a..b", ".a", &long, &"a.".repeat(128)] {
            assert_eq!(question(7, none, Kind::A), None, "{none:?}");
        }
    }

    #[test]
    fn answers_are_read() {
        let asked = question(7, "API.test", Kind::A).unwrap();
        let alias = b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x05\x00\x04\x01b\xc0\x10";
        let address = b"\x01b\xc0\x10\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04\x7f\x00\x00\x01";
        let all = said(0x8180, &[alias, address]);
        assert_eq!(answer(&all, &asked), Some(Answer::Addresses(vec![[127, 0, 0, 1].into()])));
        assert_eq!(answer(&said(0x8180, &[]), &asked), Some(Answer::Addresses(vec![])));
        assert_eq!(answer(&said(0x8183, &[]), &asked), Some(Answer::NoName));
        assert_eq!(answer(&said(0x8182, &[]), &asked), Some(Answer::Failed(2)));
        assert_eq!(answer(&said(0x8380, &[]), &asked), Some(Answer::Truncated));
        // What is cut short, anywhere, is no answer, and nothing is read behind its end.
        for size in 0..all.len() {
            assert_eq!(answer(&all[..size], &asked), None, "{size}");
        }
        let other = question(8, "api.test", Kind::A).unwrap();
        assert_eq!(answer(&all, &other), None, "the id is another");
        let other = question(7, "api.text", Kind::A).unwrap();
        assert_eq!(answer(&all, &other), None, "the name is another");
        assert_eq!(answer(&said(0x0180, &[]), &asked), None, "a question is no answer");
    }
}
