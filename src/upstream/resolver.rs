//! Name lookup with a memory: ureq asks before each request, also where it reuses a connection, and
//! no resolver remembers anything.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use super::NOWHERE;
use super::wait::{stopped, until_ready, with_call};
use crate::dns;
use crate::threads;

/// How long an answer counts as fresh. A stale one is used as long as none can be had.
const FRESH: Duration = Duration::from_secs(60);

/// ureq's limit for the addresses of a host.
const MAX_ADDRESSES: usize = 16;

/// How long a message waits for a new answer where a stale one is known.
const STALE_PATIENCE: Duration = Duration::from_secs(1);

/// How old addresses must be for a failure to connect to make them doubtful.
const DOUBT_AFTER: Duration = Duration::from_secs(1);

/// Its clones share what they know.
#[derive(Debug, Clone)]
pub(super) struct CachingResolver {
    /// The embedded provider has no name to look up.
    embedded: bool,
    hosts: Arc<Mutex<HashMap<Target, Host>>>,
    look_up: LookUp,
}

type Target = (String, u16);

type LookUp = fn(&Target) -> io::Result<Vec<SocketAddr>>;

#[derive(Debug, Default)]
struct Host {
    known: Option<Known>,
    /// All who wait for one host wait for one lookup.
    asking: Weak<Lookup>,
}

#[derive(Debug, Clone)]
struct Known {
    addresses: Vec<SocketAddr>,
    asked: Instant,
    /// They could not be connected to.
    is_doubtful: bool,
}

/// A lookup on its way.
#[derive(Debug)]
struct Lookup {
    /// Readable, for everybody, when the answer is there.
    ready: UnixStream,
    answer: OnceLock<Result<Vec<SocketAddr>, String>>,
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
    pub(super) fn new(embedded: bool) -> CachingResolver {
        let look_up: LookUp = if cfg!(target_env = "musl") { by_ourselves } else { by_system };
        CachingResolver { embedded, hosts: Arc::default(), look_up }
    }

    /// What is known could not be connected to: it is asked for again before it is used.
    pub(super) fn doubt(&self) {
        for known in self.lock().values_mut().filter_map(|host| host.known.as_mut()) {
            known.is_doubtful |= known.asked.elapsed() > DOUBT_AFTER;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Target, Host>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn addresses(&self, target: Target) -> Result<Vec<SocketAddr>, ureq::Error> {
        let (known, lookup) = {
            let mut hosts = self.lock();
            let host = hosts.entry(target.clone()).or_default();
            match host.known.clone() {
                Some(known) if !known.is_doubtful && known.asked.elapsed() < FRESH => {
                    let is_old = known.asked.elapsed() > DOUBT_AFTER;
                    with_call(|call| call.remembered = is_old);
                    return Ok(known.addresses);
                }
                known => (known, self.ask(host, target)),
            }
        };
        let until = known.is_some().then(|| Instant::now() + STALE_PATIENCE);
        let answer = lookup.map_err(ureq::Error::from).and_then(|lookup| {
            let fd = lookup.ready.as_raw_fd();
            let mut fds = vec![libc::pollfd { fd, events: libc::POLLIN, revents: 0 }];
            until_ready(&mut fds, until)?;
            match lookup.answer.get() {
                Some(Ok(addresses)) => Ok(addresses.clone()),
                Some(Err(reason)) => Err(io::Error::other(reason.clone()).into()),
                None => Err(ureq::Error::HostNotFound),
            }
        });
        match known {
            Some(known) if stopped().is_none() => Ok(answer.unwrap_or(known.addresses)),
            _ => answer,
        }
    }

    /// Asks on a thread of its own, since getaddrinfo cannot be interrupted; one for each host.
    fn ask(&self, host: &mut Host, target: Target) -> io::Result<Arc<Lookup>> {
        if let Some(lookup) = host.asking.upgrade().filter(|asked| asked.answer.get().is_none()) {
            return Ok(lookup);
        }
        let (ready, done) = UnixStream::pair()?;
        let lookup = Arc::new(Lookup { ready, answer: OnceLock::new() });
        let (hosts, asked, look_up) = (Arc::clone(&self.hosts), Arc::clone(&lookup), self.look_up);
        let work = move || {
            let answer = look_up(&target);
            let known = answer.as_ref().ok().filter(|addresses| !addresses.is_empty());
            if let Some(addresses) = known {
                let addresses = addresses.clone();
                let known = Known { addresses, asked: Instant::now(), is_doubtful: false };
                let mut hosts = hosts.lock().unwrap_or_else(PoisonError::into_inner);
                hosts.entry(target).or_default().known = Some(known);
            }
            let _ = asked.answer.set(answer.map_err(|e| e.to_string()));
            // Its end is what everybody sees who waits. The next one asks anew.
            drop((asked, done));
        };
        threads::start("resolver", 128 << 10, work)?;
        host.asking = Arc::downgrade(&lookup);
        Ok(lookup)
    }
}

fn by_system((host, port): &Target) -> io::Result<Vec<SocketAddr>> {
    (host.as_str(), *port).to_socket_addrs().map(Vec::from_iter)
}

fn by_ourselves((host, port): &Target) -> io::Result<Vec<SocketAddr>> {
    let addresses = dns::look_up(host)?;
    Ok(addresses.into_iter().map(|address| SocketAddr::new(address, *port)).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Barrier, Condvar};
    use std::thread;

    use super::*;

    fn target() -> Target {
        ("host.test".to_owned(), 443)
    }

    fn resolver(look_up: LookUp) -> CachingResolver {
        CachingResolver { look_up, ..CachingResolver::new(false) }
    }

    #[test]
    fn all_who_ask_for_a_host_at_once_share_one_lookup() {
        static LOOKUPS: AtomicUsize = AtomicUsize::new(0);
        static ANSWER: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());
        let resolver = resolver(|_| {
            LOOKUPS.fetch_add(1, Ordering::SeqCst);
            let may_answer = ANSWER.0.lock().unwrap();
            drop(ANSWER.1.wait_while(may_answer, |may_answer| !*may_answer).unwrap());
            Ok(vec![SocketAddr::from(([127, 0, 0, 2], 443))])
        });
        const ASKING: usize = 20;
        let barrier = Barrier::new(ASKING + 1);
        thread::scope(|scope| {
            let asking: Vec<_> = (0..ASKING)
                .map(|_| {
                    scope.spawn(|| {
                        let lookup =
                            resolver.ask(resolver.lock().entry(target()).or_default(), target());
                        barrier.wait();
                        drop(lookup.unwrap());
                        resolver.addresses(target()).unwrap()
                    })
                })
                .collect();
            barrier.wait();
            *ANSWER.0.lock().unwrap() = true;
            ANSWER.1.notify_all();
            for asked in asking {
                assert_eq!(asked.join().unwrap().len(), 1);
            }
        });
        assert_eq!(LOOKUPS.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn what_could_not_be_connected_to_is_looked_up_again_and_kept_if_nobody_knows_better() {
        static LOOKUPS: AtomicUsize = AtomicUsize::new(0);
        let resolver = resolver(|_| match LOOKUPS.fetch_add(1, Ordering::SeqCst) {
            0 => Ok(vec![SocketAddr::from(([127, 0, 0, 2], 443))]),
            1 => Ok(vec![SocketAddr::from(([127, 0, 0, 3], 443))]),
            _ => Err(io::Error::other("there is no name server")),
        });
        let last = || resolver.addresses(target()).unwrap()[0].ip().to_string();
        let doubt = || {
            for host in resolver.lock().values_mut() {
                host.known.as_mut().unwrap().asked -= DOUBT_AFTER * 2;
            }
            resolver.doubt();
        };
        assert_eq!((last(), last()), ("127.0.0.2".to_owned(), "127.0.0.2".to_owned()));
        doubt();
        assert_eq!((last(), last()), ("127.0.0.3".to_owned(), "127.0.0.3".to_owned()));
        doubt();
        assert_eq!(last(), "127.0.0.3");
        assert_eq!(LOOKUPS.load(Ordering::SeqCst), 3);
    }
}
