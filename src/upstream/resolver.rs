//! Name lookup with a memory: ureq asks before each request, also where it reuses a connection, and
//! musl's resolver remembers nothing.

use std::collections::HashMap;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use super::NOWHERE;
use super::wait::until_ready;

/// How long an answer counts as fresh. A stale one is still used, while a new one is fetched beside
/// the request, and as long as none can be had.
const FRESH: Duration = Duration::from_secs(60);

/// ureq's limit for the addresses of a host.
const MAX_ADDRESSES: usize = 16;

#[derive(Debug)]
pub(super) struct CachingResolver {
    /// The embedded provider has no name to look up.
    embedded: bool,
    known: Arc<Mutex<HashMap<Target, Known>>>,
}

type Target = (String, u16);

#[derive(Debug)]
struct Known {
    addresses: Vec<SocketAddr>,
    asked: Instant,
}

impl Resolver for CachingResolver {
    fn resolve(
        &self,
        uri: &Uri,
        _: &Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut resolved = self.empty();
        if self.embedded || uri.host() == Some(NOWHERE) {
            resolved.push(SocketAddr::from(([127, 0, 0, 1], 0)));
            return Ok(resolved);
        }
        let host = uri.host().ok_or(ureq::Error::HostNotFound)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let default_port = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        let port = uri.port_u16().unwrap_or(default_port);
        let addresses = match host.parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, port)],
            Err(_) => self.addresses((host.to_owned(), port))?,
        };
        for address in addresses.into_iter().take(MAX_ADDRESSES) {
            resolved.push(address);
        }
        Ok(resolved)
    }
}

impl CachingResolver {
    pub fn new(embedded: bool) -> CachingResolver {
        CachingResolver { embedded, known: Arc::default() }
    }

    fn addresses(&self, target: Target) -> Result<Vec<SocketAddr>, ureq::Error> {
        let (known, is_fresh) = {
            let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            match all.get_mut(&target) {
                Some(known) => {
                    let is_fresh = known.asked.elapsed() < FRESH;
                    if !is_fresh {
                        // The others go on with what is known meanwhile.
                        known.asked = Instant::now();
                    }
                    (Some(known.addresses.clone()), is_fresh)
                }
                None => (None, false),
            }
        };
        match known {
            Some(addresses) => {
                if !is_fresh {
                    drop(self.ask(target));
                }
                Ok(addresses)
            }
            None => {
                let (answer, ready) = self.ask(target)?;
                let mut fds =
                    vec![libc::pollfd { fd: ready.as_raw_fd(), events: libc::POLLIN, revents: 0 }];
                until_ready(&mut fds, None)?;
                Ok(answer.recv().map_err(|_| ureq::Error::HostNotFound)??)
            }
        }
    }

    /// Asks on a thread of its own, since getaddrinfo cannot be interrupted. The socket becomes
    /// readable when the answer is there.
    fn ask(
        &self,
        target: Target,
    ) -> io::Result<(mpsc::Receiver<io::Result<Vec<SocketAddr>>>, UnixStream)> {
        let (sender, receiver) = mpsc::sync_channel(1);
        let (mut done, ready) = UnixStream::pair()?;
        let known = Arc::clone(&self.known);
        thread::Builder::new().name("resolver".to_owned()).stack_size(128 << 10).spawn(
            move || {
                let answer = (target.0.as_str(), target.1).to_socket_addrs().map(Vec::from_iter);
                if let Ok(addresses) = &answer
                    && !addresses.is_empty()
                {
                    let addresses = addresses.clone();
                    let mut all = known.lock().unwrap_or_else(PoisonError::into_inner);
                    all.insert(target, Known { addresses, asked: Instant::now() });
                }
                // Nobody may be waiting any more.
                let _ = sender.send(answer);
                let _ = done.write_all(&[1]);
            },
        )?;
        Ok((receiver, ready))
    }
}
