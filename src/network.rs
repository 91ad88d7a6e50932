//! Addresses: one to listen on, networks as `NO_PROXY` and `CCPROXY_TRUSTED_PROXIES` name them, and
//! origins.

use std::net::IpAddr;

/// What is listened on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of its variants say it")]
pub enum Host {
    /// 127.0.0.1 and ::1.
    Localhost,
    Address(IpAddr),
}

/// Addresses that share their first bits: `10.0.0.0/8`, `::1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    /// Reads `ADDRESS` or `ADDRESS/BITS`; brackets around IPv6 are allowed.
    pub fn parse(text: &str) -> Option<Network> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.trim_matches(['[', ']']).parse().ok()?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(width);
        (bits <= width).then_some(Network { address, bits })
    }

    /// Whether the address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                same_prefix(a.to_bits().into(), b.to_bits().into(), 32 - self.bits)
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                same_prefix(a.to_bits(), b.to_bits(), 128 - self.bits)
            }
            _ => false,
        }
    }
}

/// The address of a hop as proxies write it in `X-Forwarded-For` and in the `for` of `Forwarded`
/// (RFC 7239, 6): bare, with a port, and in brackets or quotes or both.
pub(crate) fn hop(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    let address = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            let has_port = port.strip_prefix(':').is_some_and(is_port);
            return (port.is_empty() || has_port).then(|| parse(address)).flatten();
        }
        None => match text.split_once(':') {
            Some((address, port)) if is_port(port) => address,
            _ => text,
        },
    };
    parse(address)
}

/// An address, which a link-local one may have its interface behind.
fn parse(address: &str) -> Option<IpAddr> {
    let address: IpAddr = address.split('%').next()?.parse().ok()?;
    Some(address.to_canonical())
}

/// The hops in a line of `Forwarded`, from the last one back.
pub(crate) fn forwarded(line: &str) -> impl Iterator<Item = Option<IpAddr>> {
    line.rsplit(',').map(|element| {
        let mut pairs = element.split(';').filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(name, _)| name.eq_ignore_ascii_case("for")).and_then(|(_, node)| hop(node))
    })
}

/// An origin as browsers send it, scheme and host in small letters and without a slash at the end.
pub(crate) fn origin(text: &str) -> Result<String, String> {
    let origin = text.trim_end_matches('/').to_ascii_lowercase();
    if origin == "*" || origin == "null" {
        return Ok(origin);
    }
    let Some((scheme, host)) = origin.split_once("://") else {
        return Err(format!("is not an origin; an origin is https://{origin}"));
    };
    let is_scheme = |b: u8| b.is_ascii_alphanumeric() || b"+-.".contains(&b);
    if scheme.is_empty() || !scheme.bytes().all(is_scheme) || host.is_empty() {
        return Err("is not an origin; an origin is https://example.com".to_owned());
    }
    if host.contains('*') {
        return Err("is not an origin; * stands alone, for every origin".to_owned());
    }
    match host.split_once(['/', '?', '#']) {
        None if host.bytes().all(|b| b.is_ascii_graphic()) && !host.contains('@') => Ok(origin),
        None => Err("is not an origin; an origin is https://example.com".to_owned()),
        Some((host, _)) => {
            Err(format!("is not an origin but a page's address; its origin is {scheme}://{host}"))
        }
    }
}

fn same_prefix(a: u128, b: u128, ignored: u32) -> bool {
    a.checked_shr(ignored) == b.checked_shr(ignored)
}

#[cfg(test)]
mod tests {
    use super::Network;

    #[test]
    fn contains() {
        for (network, address, wanted) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("::/0", "2001:db8::1", true),
            ("[2001:db8::]/32", "2001:db8:1::1", true),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "::1", false),
        ] {
            let network = Network::parse(network).unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), wanted, "{network:?} {address}");
        }
        assert_eq!(Network::parse("10.0.0.0/33"), None);
        assert_eq!(Network::parse("example.com"), None);
    }
}
