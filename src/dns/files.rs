//! What `/etc/resolv.conf` and `/etc/hosts` say.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};

const PORT: u16 = 53;

/// As resolv.conf(5) limits them.
const MAX_SERVERS: usize = 3;
const MAX_DOTS: usize = 15;

/// Whom to ask, and how names that are not whole are made so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ResolvConf {
    pub servers: Vec<SocketAddr>,
    pub search: Vec<String>,
    /// A name with so many dots is first taken for a whole one.
    pub dots: usize,
}

impl ResolvConf {
    /// Reads the file's text; `index_of` gives the number of a network interface.
    pub(super) fn parse(text: &str, index_of: impl Fn(&str) -> Option<u32>) -> ResolvConf {
        let mut read = ResolvConf { servers: Vec::new(), search: Vec::new(), dots: 1 };
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") if read.servers.len() < MAX_SERVERS => {
                    read.servers.extend(words.next().and_then(|word| server(word, &index_of)));
                }
                // The last of them counts.
                Some("search" | "domain") => {
                    let names = words.map(|word| word.trim_end_matches('.').to_owned());
                    read.search = names.filter(|name| !name.is_empty()).collect();
                }
                Some("options") => {
                    let mut dots =
                        words.filter_map(|word| word.strip_prefix("ndots:")?.parse().ok());
                    read.dots =
                        dots.next_back().map_or(read.dots, |dots: usize| dots.min(MAX_DOTS));
                }
                _ => {}
            }
        }
        if read.servers.is_empty() {
            read.servers.push(SocketAddr::from(([127, 0, 0, 1], PORT)));
        }
        read
    }

    /// The whole names that `host` may stand for, in the order in which they are asked for.
    pub(super) fn candidates(&self, host: &str) -> Vec<String> {
        if host.ends_with('.') {
            return vec![host.to_owned()];
        }
        let mut names: Vec<String> =
            self.search.iter().map(|domain| format!("{host}.{domain}")).collect();
        let is_whole = host.matches('.').count() >= self.dots;
        names.insert(if is_whole { 0 } else { names.len() }, host.to_owned());
        names
    }
}

/// `10.0.0.2`, `2001:db8::1` or `fe80::1%eth0`.
fn server(word: &str, index_of: impl Fn(&str) -> Option<u32>) -> Option<SocketAddr> {
    match word.split_once('%') {
        None => Some(SocketAddr::new(word.parse().ok()?, PORT)),
        Some((address, scope)) => {
            let scope = scope.parse().ok().or_else(|| index_of(scope))?;
            Some(SocketAddrV6::new(address.parse().ok()?, PORT, 0, scope).into())
        }
    }
}

/// The addresses that the text of `/etc/hosts` gives for `host`.
pub(super) fn of_hosts(text: &str, host: &str) -> Vec<IpAddr> {
    let host = host.trim_end_matches('.');
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    let addresses = lines.filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let address = words.next()?.parse().ok()?;
        words.any(|name| name.trim_end_matches('.').eq_ignore_ascii_case(host)).then_some(address)
    });
    addresses.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> ResolvConf {
        ResolvConf::parse(text, |name| (name == "eth0").then_some(4))
    }

    #[test]
    fn a_pods_file_is_read() {
        let read = parse(
            "# made by hand\nnameserver 10.0.0.2 ; first\nnameserver fe80::1%eth0\nnameserver none\n\
             search a.example\nsearch default.svc.cluster.local svc.cluster.local.\noptions timeout:1 ndots:5\n",
        );
        let servers: Vec<String> = read.servers.iter().map(SocketAddr::to_string).collect();
        assert_eq!(servers, ["10.0.0.2:53", "[fe80::1%4]:53"]);
        assert_eq!(
            read.candidates("api.example"),
            [
                "api.example.default.svc.cluster.local",
                "api.example.svc.cluster.local",
                "api.example"
            ]
        );
        assert_eq!(read.candidates("a.b.c.d.e.f")[0], "a.b.c.d.e.f");
        assert_eq!(read.candidates("api.example."), ["api.example."]);
        assert_eq!(parse("").servers, [SocketAddr::from(([127, 0, 0, 1], 53))]);
        assert_eq!(parse("search lan").candidates("gpu"), ["gpu.lan", "gpu"]);
        assert_eq!(parse("search lan").candidates("gpu.lan"), ["gpu.lan", "gpu.lan.lan"]);
    }

    #[test]
    fn hosts_have_several_names_and_addresses() {
        let text = "127.0.0.1 localhost\n10.0.0.7\tGPU gpu.lan # of the cellar\n# 10.0.0.8 gpu\nfd00::7 gpu\nx gpu\n";
        let found = |host| of_hosts(text, host).iter().map(IpAddr::to_string).collect::<Vec<_>>();
        assert_eq!(found("gpu"), ["10.0.0.7", "fd00::7"]);
        assert_eq!(found("gpu.lan."), ["10.0.0.7"]);
        assert_eq!(found("cellar"), [""; 0]);
    }
}
