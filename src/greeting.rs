//! What the server says at its start: where people reach it, how a client is pointed at it, and
//! what about that is dangerous or useless.

use std::net::SocketAddr;

use crate::network::Host;

/// The command that points Claude Code at the server at `url`.
///
/// `ANTHROPIC_AUTH_TOKEN` and not `ANTHROPIC_API_KEY`: with a key Claude Code asks at its first
/// start whether to use it, with "No" as the answer that Enter gives, and then wants to log in.
pub fn claude_command(url: &str, has_client_keys: bool) -> String {
    let token = if has_client_keys { "<one of CCPROXY_API_KEY>" } else { "any" };
    format!("ANTHROPIC_BASE_URL={url} ANTHROPIC_AUTH_TOKEN={token} claude")
}

/// A server that has begun to listen.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the names of its fields say it")]
pub struct Greeting<'a> {
    pub host: Host,
    /// What it is bound to.
    pub addresses: &'a [SocketAddr],
    pub in_container: bool,
    pub has_client_keys: bool,
}

impl Greeting<'_> {
    /// The URL that a client on the same machine can use. `::` and `0.0.0.0` are no address of
    /// anything, and the addresses inside a container mean nothing outside.
    pub fn url(&self) -> String {
        let port = self.addresses.first().map_or(0, SocketAddr::port);
        match (self.host, self.addresses) {
            (Host::Address(ip), [address, ..]) if !ip.is_unspecified() && !self.in_container => {
                format!("http://{address}")
            }
            _ => format!("http://localhost:{port}"),
        }
    }

    /// Where it listens, for the log.
    pub fn listens(&self) -> String {
        match (self.host, self.addresses) {
            (Host::Address(ip), _) if ip.is_unspecified() => {
                format!("listening on {} and every other address of this host", self.url())
            }
            (Host::Address(_), [address, ..]) => format!("listening on http://{address}"),
            _ => format!("listening on {}", self.url()),
        }
    }

    /// The line to copy.
    pub fn invites(&self) -> String {
        let command = claude_command(&self.url(), self.has_client_keys);
        let port = if self.in_container { " (or the port that Docker publishes)" } else { "" };
        format!("to use it: {command}{port}")
    }

    /// What somebody should look at.
    pub fn warnings(&self) -> Vec<&'static str> {
        let is_public = self.addresses.iter().any(|address| !address.ip().is_loopback());
        let mut warnings = Vec::new();
        if !is_public && self.in_container {
            warnings.push(
                "this listens inside the container only: its loopback cannot be reached from outside, \
                 whatever ports are published; leave out SERVER_HOST, or set it to ::",
            );
        }
        if is_public && !self.has_client_keys {
            warnings.push(
                "everybody who reaches this port can spend the provider's key; \
                 set CCPROXY_API_KEY to let in only those who send it",
            );
        }
        warnings
    }
}
