//! Why a provider was not reached, in words: who, where, what is wrong, and the setting that mends
//! it.

use std::io::{self, ErrorKind};
use std::time::{Duration, UNIX_EPOCH};

use rustls::CertificateError;

use super::tls::is_of_an_authority;
use super::wait::Phase;
use crate::config::http_proxy::HttpProxy;
use crate::config::{ProviderConfig, Timeouts};
use crate::error::{Cause, Error};
use crate::logging::Timestamp;

/// Whom the words are about.
#[derive(Debug)]
pub(super) struct Place {
    provider: String,
    /// Of the API in chat completions, and of the provider's own Messages API.
    base: Target,
    native: Option<Target>,
    timeouts: Timeouts,
    /// The variable that holds the limit for the first byte.
    timeout_variable: String,
    /// This machine's loopback is a container's.
    in_container: bool,
}

/// Where a connection leads.
#[derive(Debug)]
pub(super) struct Target {
    host: String,
    port: u16,
    is_https: bool,
    /// The variable that holds the address.
    variable: String,
    proxy: Option<ByProxy>,
}

/// The HTTP proxy in between.
#[derive(Debug)]
struct ByProxy {
    /// Without what lets one in.
    url: String,
    variable: &'static str,
}

impl Place {
    pub(super) fn of(config: &ProviderConfig, timeouts: Timeouts, in_container: bool) -> Place {
        let by_proxy = |proxy: &Option<HttpProxy>| {
            proxy.as_ref().map(|proxy| ByProxy {
                url: without_user(proxy.url.expose()),
                variable: proxy.variable,
            })
        };
        let target = |url: &str, suffix, proxy| Target {
            variable: config.variable(suffix),
            proxy: by_proxy(proxy),
            ..Target::of(url)
        };
        Place {
            provider: config.name.clone(),
            base: target(&config.base_url, "BASE_URL", &config.http_proxy),
            native: config
                .native_url
                .as_ref()
                .map(|url| target(url, "NATIVE_URL", &config.native_http_proxy)),
            timeouts,
            timeout_variable: config.variable("TIMEOUT"),
            in_container,
        }
    }

    /// Where a call leads, through the provider's own Messages API or not.
    pub(super) fn target(&self, is_native: bool) -> &Target {
        self.native.as_ref().filter(|_| is_native).unwrap_or(&self.base)
    }

    /// What it says, beside who says it.
    pub(super) fn says(&self, what: &str) -> String {
        format!("{}: {what}", self.provider)
    }

    /// Nothing came for as long as the phase may take.
    pub(super) fn silent(&self, target: &Target, phase: Phase, is_on_the_way: bool) -> Error {
        let name = &self.provider;
        let address = target.address();
        // What a proxy is told and says is part of the way.
        let phase = if is_on_the_way { Phase::Connect } else { phase };
        let (cause, limit, setting) = match phase {
            Phase::Resolve | Phase::Connect | Phase::Tls => {
                (Cause::ConnectTimeout, self.timeouts.connect, "CCPROXY_CONNECT_TIMEOUT")
            }
            Phase::FirstByte => (Cause::Timeout, self.timeouts.first_byte, &*self.timeout_variable),
            Phase::Send | Phase::Idle => {
                (Cause::Timeout, self.timeouts.idle, "CCPROXY_IDLE_TIMEOUT")
            }
        };
        let within = format!("within {} ({setting})", seconds(limit));
        if let Some(proxy) = target.proxy.as_ref().filter(|_| is_on_the_way) {
            return unreachable(
                Cause::Proxy,
                proxy.blamed(name, &format!("did not answer {within}")),
            );
        }
        let reason = match phase {
            Phase::Resolve => {
                format!("{name}: the name {} was not looked up {within} (DNS)", target.host)
            }
            Phase::Connect => format!(
                "{name}: no connection to {address} came about {within}; {} says where",
                target.variable
            ),
            Phase::Tls => format!("{name}: {address} did not finish the TLS handshake {within}"),
            Phase::Send => format!("{name}: {address} did not take the request {within}"),
            Phase::FirstByte => format!("{name} did not begin to answer {within}, at {address}"),
            Phase::Idle => format!(
                "{name} was silent in the middle of its answer for {} ({setting}), at {address}",
                seconds(limit)
            ),
        };
        unreachable(cause, reason)
    }

    /// What `error` in `phase` is about. `is_on_the_way` tells that the proxy has not led on yet.
    pub(super) fn failed(
        &self,
        target: &Target,
        error: &ureq::Error,
        phase: Phase,
        is_on_the_way: bool,
    ) -> Error {
        if let ureq::Error::ConnectProxyFailed(said) = error {
            return self.refused_by_proxy(target, said);
        }
        if let Some(proxy) = target.proxy.as_ref().filter(|_| is_on_the_way) {
            return self.proxy_failed(proxy, error);
        }
        let name = &self.provider;
        let address = target.address();
        let variable = &target.variable;
        let io = match error {
            ureq::Error::HostNotFound => return self.unknown_name(target, ""),
            ureq::Error::Io(e) => e,
            ureq::Error::Rustls(e) => return self.tls(target, e),
            other if phase == Phase::Idle => {
                let reason = format!("{name}'s answer is broken: {other}");
                return Error::Protocol { cause: Cause::Protocol, reason };
            }
            ureq::Error::Protocol(e) => {
                let reason = format!(
                    "{name}: what answers at {address} does not speak HTTP ({e}); check {variable}"
                );
                return Error::Protocol { cause: Cause::NotTheApi, reason };
            }
            other => {
                return unreachable(Cause::Unreachable, format!("{name}: {address}: {other}"));
            }
        };
        if let Some(e) = io.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return self.tls(target, e);
        }
        let said = words_of(io);
        match (phase, io.kind()) {
            (Phase::Resolve, _) => self.unknown_name(target, &said),
            (Phase::Connect, ErrorKind::ConnectionRefused) if target.is_local() => lasting(
                Cause::ConnectRefused,
                format!(
                    "{name}: nothing listens on {address} (refused); {}",
                    if self.in_container {
                        format!(
                            "that is this container; {variable} names another one by its service, \
                             and the host as host.docker.internal"
                        )
                    } else {
                        format!("is it running? {variable} says where")
                    }
                ),
            ),
            (Phase::Connect, ErrorKind::ConnectionRefused) => unreachable(
                Cause::ConnectRefused,
                format!("{name}: {address} refuses the connection; {variable} says where"),
            ),
            (Phase::Connect, ErrorKind::TimedOut) => unreachable(
                Cause::ConnectTimeout,
                format!("{name}: nobody answers at {address}; {variable} says where"),
            ),
            (Phase::Connect, _) => unreachable(
                Cause::Unreachable,
                format!("{name}: there is no way to {address} ({said}); {variable} says where"),
            ),
            (Phase::Tls, _) => unreachable(
                Cause::Tls,
                format!(
                    "{name}: {address} hung up in the TLS handshake ({said}); if it speaks http, \
                     {variable} must begin with http://"
                ),
            ),
            (Phase::Send | Phase::FirstByte, _) => {
                let hint = if target.is_https {
                    String::new()
                } else {
                    format!("; if it speaks https, {variable} must begin with https://")
                };
                let when = match phase {
                    Phase::Send => "while the request was being sent",
                    _ => "without an answer",
                };
                unreachable(
                    Cause::Reset,
                    format!("{name}: {address} hung up {when} ({said}){hint}"),
                )
            }
            (Phase::Idle, _) => {
                let reason = format!("{name}'s answer broke off ({said}), from {address}");
                Error::Protocol { cause: Cause::Cut, reason }
            }
        }
    }

    /// The answer to http was TLS.
    pub(super) fn https_port(&self, target: &Target) -> Error {
        lasting(
            Cause::Tls,
            format!(
                "{}: http was spoken to an https port, {}; {} must begin with https://",
                self.provider,
                target.address(),
                target.variable
            ),
        )
    }

    fn unknown_name(&self, target: &Target, said: &str) -> Error {
        let Target { host, variable, .. } = target;
        let name = &self.provider;
        if is_passing(said) {
            let reason =
                format!("{name}: the name server does not answer for {host} (DNS: {said})");
            return unreachable(Cause::Dns, reason);
        }
        let reason =
            format!("{name}: the name {host} is not known here (DNS); {variable} says where");
        lasting(Cause::Dns, reason)
    }

    fn proxy_failed(&self, proxy: &ByProxy, error: &ureq::Error) -> Error {
        let name = &self.provider;
        let way = Target::of(&proxy.url);
        let (is_lasting, what) = match error {
            ureq::Error::HostNotFound => {
                (true, "has a name that is not known here (DNS)".to_owned())
            }
            ureq::Error::Io(e) if e.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => {
                (true, format!("does not speak TLS as it should ({e})"))
            }
            ureq::Error::Io(e) => match e.kind() {
                ErrorKind::ConnectionRefused => {
                    (way.is_local(), "refuses the connection".to_owned())
                }
                ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                    (false, "hung up".to_owned())
                }
                _ if e.to_string().contains("lookup") && !is_passing(&words_of(e)) => {
                    (true, "has a name that is not known here (DNS)".to_owned())
                }
                _ => (false, format!("cannot be reached ({})", words_of(e))),
            },
            ureq::Error::Protocol(_) => (true, "does not speak HTTP".to_owned()),
            _ => (false, "failed".to_owned()),
        };
        let reason = proxy.blamed(name, &what);
        Error::Unreachable { cause: Cause::Proxy, reason, is_lasting }
    }

    fn refused_by_proxy(&self, target: &Target, said: &str) -> Error {
        // Never more than the status: the text may quote the proxy's URL.
        let status = said.split(|c: char| !c.is_ascii_digit()).find(|digits| digits.len() == 3);
        let address = target.address();
        let (is_lasting, what) = match status {
            None => (false, format!("hung up when asked for {address}")),
            Some("407") => (
                true,
                format!(
                    "wants a user and a password (407), as in http://USER:PASSWORD@HOST:PORT, for \
                     {address}"
                ),
            ),
            Some(status) => {
                (status.starts_with('4'), format!("answers {status} when asked for {address}"))
            }
        };
        let reason = match &target.proxy {
            Some(proxy) => proxy.blamed(&self.provider, &what),
            None => format!("{}: the HTTP proxy {what}", self.provider),
        };
        Error::Unreachable { cause: Cause::Proxy, reason, is_lasting }
    }

    fn tls(&self, target: &Target, error: &rustls::Error) -> Error {
        let name = &self.provider;
        let (address, variable) = (target.address(), &target.variable);
        let reason = match error {
            rustls::Error::InvalidCertificate(fault) => {
                format!("{name}: the certificate of {address} {}", certificate(fault, target))
            }
            rustls::Error::InvalidMessage(_) => format!(
                "{name}: https was spoken to an http port, {address}; {variable} must begin with \
                 http://"
            ),
            rustls::Error::AlertReceived(alert) => {
                format!("{name}: {address} refuses the TLS handshake ({alert:?})")
            }
            other => format!("{name}: TLS with {address} failed: {other}"),
        };
        lasting(Cause::Tls, reason)
    }
}

impl Target {
    fn of(url: &str) -> Target {
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let is_https = scheme == "https";
        let usual = if is_https { 443 } else { 80 };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port.parse().unwrap_or(usual)),
            _ => (authority, usual),
        };
        let host = if host.is_empty() { "the embedded provider" } else { host };
        Target { host: host.to_owned(), port, is_https, variable: String::new(), proxy: None }
    }

    pub(super) fn is_proxied(&self) -> bool {
        self.proxy.is_some()
    }

    fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Whether it is on this very machine.
    fn is_local(&self) -> bool {
        let host = self.host.trim_matches(['[', ']']);
        host.eq_ignore_ascii_case("localhost")
            || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

impl ByProxy {
    fn blamed(&self, provider: &str, what: &str) -> String {
        format!("{provider}: the proxy {} of {} {what}", self.url, self.variable)
    }
}

fn unreachable(cause: Cause, reason: String) -> Error {
    Error::Unreachable { cause, reason, is_lasting: false }
}

fn lasting(cause: Cause, reason: String) -> Error {
    Error::Unreachable { cause, reason, is_lasting: true }
}

/// Whether the name server itself did not answer: EAI_AGAIN, by glibc and by musl.
fn is_passing(said: &str) -> bool {
    said.contains("temporary") || said.contains("try again")
}

/// A URL without user and password.
fn without_user(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let address = authority.rsplit_once('@').map_or(authority, |(_, address)| address);
    format!("{scheme}://{address}")
}

/// An error in words, without the number that the system has for it.
fn words_of(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let text = text.strip_prefix("failed to lookup address information: ").unwrap_or(text);
    text.to_lowercase()
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}

/// What is wrong with a certificate.
fn certificate(fault: &CertificateError, target: &Target) -> String {
    const AUTHORITIES: &str = "SSL_CERT_FILE names a file with those to trust";
    match fault {
        CertificateError::UnknownIssuer => {
            format!("is of an authority that is not known here; {AUTHORITIES}")
        }
        CertificateError::Expired => "has expired".to_owned(),
        CertificateError::ExpiredContext { time, not_after } => {
            let (now, end) = (time.as_secs(), not_after.as_secs());
            format!("expired on {}, {} ago", date(end), days(now.saturating_sub(end)))
        }
        CertificateError::NotValidYet => "is not valid yet; is the clock right?".to_owned(),
        CertificateError::NotValidYetContext { time, not_before } => {
            let (now, begin) = (time.as_secs(), not_before.as_secs());
            format!(
                "is valid from {} on, in {}; is the clock of this machine right? Its date is {}",
                date(begin),
                days(begin.saturating_sub(now)),
                date(now)
            )
        }
        CertificateError::NotValidForName => {
            format!("is not for {}; check {}", target.host, target.variable)
        }
        CertificateError::NotValidForNameContext { presented, .. } => {
            // As rustls shows them: DnsName("example.com").
            let quoted = |name: &String| name.split('"').nth(1).unwrap_or(name).to_owned();
            let names: Vec<String> = presented.iter().take(5).map(quoted).collect();
            let names = if names.is_empty() { "no host".to_owned() } else { names.join(", ") };
            format!("is for {names} and not for {}; check {}", target.host, target.variable)
        }
        CertificateError::Revoked => "has been revoked".to_owned(),
        fault if is_of_an_authority(fault) => format!(
            "is that of an authority, as self-made ones are, and not one that was named itself; {AUTHORITIES}"
        ),
        other => format!("is not good: {other}"),
    }
}

fn days(seconds: u64) -> String {
    match seconds {
        0..3600 => format!("{} minutes", seconds.div_ceil(60)),
        3600..172_800 => format!("{} hours", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// The day of a time in seconds since 1970, as 2025-02-01.
fn date(seconds: u64) -> String {
    let time = Timestamp(UNIX_EPOCH + Duration::from_secs(seconds)).to_string();
    time.split('T').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        for (url, address, is_local) in [
            ("https://api.groq.com/openai/v1", "api.groq.com:443", false),
            ("http://localhost:11434/v1", "localhost:11434", true),
            ("http://[::1]:80", "[::1]:80", true),
            ("http://[::1]/v1", "[::1]:80", true),
            ("http://127.8.0.1", "127.8.0.1:80", true),
        ] {
            let target = Target::of(url);
            assert_eq!((&*target.address(), target.is_local()), (address, is_local), "{url}");
        }
        assert_eq!(without_user("http://user:p@ss@proxy:3128/x"), "http://proxy:3128");
    }
}
