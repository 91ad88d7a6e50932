//! The self-probe: asks the running server for its health, for images that have no other program to
//! ask with.
//!
//! It reads the server's own configuration, needs no key, no name lookup, no certificate, no
//! writable disk, and pays no heed to proxies. Docker knows the exit codes 0 and 1 and reserves 2,
//! which only a wrong command line gets; people read the line.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::door::proxy_protocol;
use crate::network::{Host, Network};

/// The most that is read of an answer.
const ANSWER_LIMIT: usize = 16 << 10;

/// What is asked, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of its fields say it")]
pub struct Target {
    /// Tried one after the other, until one can be connected to.
    pub addresses: Vec<SocketAddr>,
    pub path: String,
    /// From these addresses the server wants a header of the PROXY protocol before the request.
    pub announced: Vec<Network>,
}

impl Target {
    /// The target for a server that listens on `host` and `port`; `wanted` is the value of the
    /// option: `live`, `ready`, a path, a URL, or nothing.
    ///
    /// # Errors
    /// A sentence about a value that is none of these.
    pub fn new(host: Host, port: u16, wanted: Option<&str>) -> Result<Target, String> {
        let loopbacks = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        let here: Vec<IpAddr> = match host {
            Host::Localhost => loopbacks.to_vec(),
            Host::Address(address) if address.is_unspecified() => loopbacks.to_vec(),
            Host::Address(address) => vec![address],
        };
        let at = |path: &str| Target {
            addresses: here.iter().map(|ip| SocketAddr::new(*ip, port)).collect(),
            path: path.to_owned(),
            announced: Vec::new(),
        };
        match wanted {
            None | Some("") => Ok(at("/health")),
            Some("live") => Ok(at("/livez")),
            Some("ready") => Ok(at("/readyz")),
            Some(path) if path.starts_with('/') => Ok(at(path)),
            Some(url) => match url.strip_prefix("http://") {
                Some(rest) => Target::of_url(rest, &loopbacks),
                None => Err(format!("{url:?} is not live, ready, a path, or an http:// URL")),
            },
        }
        .and_then(|target| {
            let is_plain = target.path.bytes().all(|b| b.is_ascii_graphic());
            if is_plain {
                Ok(target)
            } else {
                Err("a path is visible ASCII without spaces".to_owned())
            }
        })
    }

    fn of_url(rest: &str, loopbacks: &[IpAddr]) -> Result<Target, String> {
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/health"),
        };
        let addresses = match authority.parse::<SocketAddr>() {
            Ok(address) => vec![address],
            Err(_) => {
                let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "80"));
                let port = port.parse().map_err(|_| format!("{port:?} is not a port number"))?;
                let ips = match host.trim_matches(['[', ']']) {
                    "localhost" => loopbacks.to_vec(),
                    ip => vec![ip.parse().map_err(|_| {
                        format!("{ip:?} is not an IP address; names are not looked up")
                    })?],
                };
                ips.into_iter().map(|ip| SocketAddr::new(ip, port)).collect()
            }
        };
        Ok(Target { addresses, path: path.to_owned(), announced: Vec::new() })
    }

    /// The same, where the server on `port` wants connections from these networks announced.
    /// Another port is another server's.
    #[must_use]
    pub fn announced(self, networks: Vec<Network>, port: u16) -> Target {
        let is_ours = self.addresses.iter().all(|address| address.port() == port);
        Target { announced: if is_ours { networks } else { Vec::new() }, ..self }
    }
}

/// Asks, within `timeout` for everything. Returns the line to print.
///
/// # Errors
/// The line that says why the server is not healthy.
pub fn probe(target: &Target, timeout: Duration) -> Result<String, String> {
    let began = Instant::now();
    let deadline = began + timeout;
    let mut problems = Vec::new();
    for address in &target.addresses {
        let url = format!("http://{address}{}", target.path);
        match ask(*address, target, deadline) {
            Ok(()) => {
                let ms = began.elapsed().as_millis();
                return Ok(line(&format!("healthy: 200 {url} in {ms} ms")));
            }
            Err(Problem::Connect(e)) => problems.push(format!("connect {address}: {}", words(&e))),
            Err(Problem::Answer(what)) => return Err(line(&format!("unhealthy: {url}: {what}"))),
        }
    }
    Err(line(&format!("unhealthy: {}", problems.join("; "))))
}

enum Problem {
    /// Another address may do.
    Connect(io::Error),
    Answer(String),
}

fn ask(address: SocketAddr, target: &Target, deadline: Instant) -> Result<(), Problem> {
    let path = &target.path;
    let left = || {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::Error::from(io::ErrorKind::TimedOut)) } else { Ok(left) }
    };
    let mut socket = left()
        .and_then(|left| TcpStream::connect_timeout(&address, left))
        .map_err(Problem::Connect)?;
    let mut answer = Vec::new();
    let mut exchange = || {
        socket.set_write_timeout(Some(left()?))?;
        let own = socket.local_addr()?.ip().to_canonical();
        if target.announced.iter().any(|network| network.contains(own)) {
            socket.write_all(&proxy_protocol::LOCAL)?;
        }
        write!(
            socket,
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: ccproxy-healthcheck/{}\r\n\
             Accept: application/json\r\nConnection: close\r\n\r\n",
            env!("CARGO_PKG_VERSION")
        )?;
        let mut bytes = [0; 4096];
        // Not every server closes when it is asked to.
        while answer.len() < ANSWER_LIMIT && !is_complete(&answer) {
            socket.set_read_timeout(Some(left()?))?;
            match socket.read(&mut bytes) {
                Ok(0) => break,
                Ok(n) => answer.extend_from_slice(&bytes[..n]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // A server that resets after its answer has answered.
                Err(e) if e.kind() == io::ErrorKind::ConnectionReset && !answer.is_empty() => break,
                Err(e) => return Err(e),
            }
        }
        Ok(())
    };
    exchange().map_err(|e| Problem::Answer(words(&e)))?;
    judge(&answer, path).map_err(Problem::Answer)
}

/// Whether the answer's head and the body it announces are there, or what came is no answer.
fn is_complete(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        let begin = &answer[..answer.len().min(5)];
        return !b"HTTP/".starts_with(begin);
    };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    length.is_some_and(|length| body.len() >= length)
}

/// Healthy is 200, and on `/health` the word of ccproxy: another server on the port is not health.
fn judge(answer: &[u8], path: &str) -> Result<(), String> {
    let text = String::from_utf8_lossy(answer);
    let status = text
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.split(' ').nth(1))
        .and_then(|status| status.get(..3)?.parse::<u16>().ok());
    match status {
        Some(200) => {}
        Some(status) => return Err(format!("status {status}")),
        None if answer.is_empty() => return Err("closed without an answer".to_owned()),
        None => return Err("the answer is not HTTP".to_owned()),
    }
    let is_ours = text.contains(r#""service":"ccproxy""#);
    if path == "/health" && !is_ours {
        return Err("another server answers here, not ccproxy".to_owned());
    }
    Ok(())
}

/// An IO error in the words of the system, without its number.
fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => "no answer in time".to_owned(),
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        _ => error.to_string(),
    }
}

/// One line of at most 200 bytes of ASCII.
fn line(text: &str) -> String {
    text.chars().map(|c| if (' '..='~').contains(&c) { c } else { '?' }).take(199).collect()
}
