//! Addresses: one to listen on, networks as `NO_PROXY` and `CCPROXY_TRUSTED_PROXIES` name them, and
//! origins.

use std::net::IpAddr;

/// What is listened on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
