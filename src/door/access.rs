//! Who may call the API, and how often.
//!
//! A page in the user's browser must not spend the user's money: it can send requests to a
//! loopback, so a foreign `Origin` is refused, and so is every body that a form or a script could
//! send without asking first, which is all but `application/json`. Where only this machine reaches
//! the server, so is a foreign `Host`.
//!
//! Nothing here asks for the time or waits: what is decided follows from a head, its sender and
//! `now`.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Instant;

use super::head::{self, Head};
use super::path::Route;
use super::turns::{Turns, Who};
use crate::config::{Config, Secret, is_own_host};
use crate::error::{Error, Retry};
use crate::exchange::Call;
use crate::network::{self, Host, Network};
use crate::record::Caller;

/// What a client has to do. Claude Code hides every sentence that names the header `x-api-key`
/// behind its own "Not logged in".
const NEEDED: &str = "ANTHROPIC_AUTH_TOKEN must be one of CCPROXY_API_KEY";

/// Wrong keys that an address may send in a minute before it is told to wait. A right one is let in
/// all the same: a colleague behind the same address must not be locked out.
const GUESSES_PER_MINUTE: u64 = 10;

/// The rules of the configuration.
#[derive(Debug)]
pub(super) struct Access {
    origins: Vec<String>,
    /// Further names that the `Host` may have, where only a loopback is listened on.
    hosts: Option<Vec<String>>,
    keys: RwLock<Vec<Secret>>,
    trusted_proxies: Vec<Network>,
    /// They say whom they speak for before the first request.
    proxies_announce: bool,
    per_minute: Option<u64>,
    turns: Mutex<Turns>,
    guesses: Mutex<Turns>,
}

/// What a caller may see of the health paths that tell more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    /// It may use the API: it sent a client key, or nobody needs one.
    Known,
    Stranger,
    /// A stranger that tries keys: its connection is closed.
    Guesser,
}

impl Access {
    pub(super) fn new(config: &Config) -> Access {
        let is_loopback = match config.host {
            Host::Localhost => true,
            Host::Address(address) => address.to_canonical().is_loopback(),
        };
        Access {
            origins: config.cors_allowed_origins.clone(),
            hosts: is_loopback.then(|| config.allowed_hosts.clone()),
            keys: RwLock::new(config.client_keys.clone()),
            trusted_proxies: config.trusted_proxies.clone(),
            proxies_announce: config.proxy_protocol,
            per_minute: config.rate_limit,
            turns: Mutex::new(Turns::new(config.rate_limit.unwrap_or(1))),
            guesses: Mutex::new(Turns::new(GUESSES_PER_MINUTE)),
        }
    }

    /// From now on these keys are let in. Connections and answers go on.
    pub(super) fn replace_keys(&self, keys: Vec<Secret>) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    /// Whether the server asks for keys.
    pub(super) fn has_keys(&self) -> bool {
        !self.is_open()
    }

    /// The page that sent the request, if it may read the answer.
    pub(super) fn origin(&self, head: &Head) -> Option<String> {
        self.named(head.origin)
    }

    /// The same of a head that could not be read.
    pub(super) fn origin_of_unread(&self, bytes: &[u8]) -> Option<String> {
        self.named(head::origin(bytes))
    }

    fn named(&self, origin: Option<&str>) -> Option<String> {
        let is_named = |o: &str| self.origins.iter().any(|n| n == "*" || n.eq_ignore_ascii_case(o));
        origin.filter(|origin| is_named(origin)).map(str::to_owned)
    }

    /// Checks the `Host`, of everything but the health answers that probes ask for and that tell
    /// nothing.
    ///
    /// # Errors
    /// 403 for a foreign one.
    pub(super) fn check_host(&self, head: &Head, route: &Route) -> Result<(), Error> {
        let is_plain = match route {
            Route::Health(path) => path.is_plain(),
            Route::Hello => true,
            _ => false,
        };
        let Some(allowed) = self.hosts.as_deref().filter(|_| !is_plain) else { return Ok(()) };
        let of_target = head
            .target
            .split_once("://")
            .map_or("", |(_, rest)| rest.split(['/', '?', '#']).next().unwrap_or_default());
        let named = [head.host.unwrap_or_default(), of_target];
        match named.into_iter().find(|name| !is_own_host(name, allowed)) {
            None => Ok(()),
            Some(foreign) => refused(
                403,
                format!(
                    "host {foreign:?} is not a name of this computer; name it in \
                     CCPROXY_ALLOWED_HOSTS to let in who asks for it"
                ),
            ),
        }
    }

    /// Checks a request by its head.
    ///
    /// # Errors
    /// Why it is turned away.
    pub(super) fn check(
        &self,
        head: &Head,
        route: &Route,
        peer: IpAddr,
        now: Instant,
    ) -> Result<(), Error> {
        if let Some(origin) = head.origin.filter(|_| self.origin(head).is_none()) {
            return refused(
                403,
                format!(
                    "origin {origin:?} may not call this API; name it in CORS_ALLOWED_ORIGINS to let it"
                ),
            );
        }
        let call = match route {
            Route::Call(call) => call,
            Route::Health(path) if path.is_for_callers() => {
                return self.caller(head, peer, now).map(drop);
            }
            _ => return Ok(()),
        };
        let caller = self.caller(head, peer, now)?;
        if matches!(call, Call::Messages | Call::CountTokens) {
            let content_type = head.content_type.unwrap_or_default();
            let media_type = content_type.split(';').next().unwrap_or_default().trim();
            if !media_type.eq_ignore_ascii_case("application/json") {
                return refused(
                    415,
                    format!("content-type {content_type:?} is not accepted; use application/json"),
                );
            }
            if let Some(coding) =
                head.content_encoding.filter(|coding| !coding.eq_ignore_ascii_case("identity"))
            {
                return refused(
                    415,
                    format!("content-encoding {coding:?} is not accepted; send the body as it is"),
                );
            }
        }
        if *call == Call::Messages {
            self.take_turn(caller, now)?;
        }
        Ok(())
    }

    /// What the caller may see.
    pub(super) fn sight(&self, head: &Head, peer: IpAddr, now: Instant) -> Sight {
        if self.is_open() || self.key_of(head).is_some() {
            Sight::Known
        } else if self.guess(head, peer, now).is_err() {
            Sight::Guesser
        } else {
            Sight::Stranger
        }
    }

    /// Counts a key that was sent and is none.
    fn guess(&self, head: &Head, peer: IpAddr, now: Instant) -> Result<(), u64> {
        if head.api_key.is_none() && head.authorization.is_none() {
            return Ok(());
        }
        let who = Who::from(self.client_address(head, peer));
        self.guesses.lock().unwrap_or_else(PoisonError::into_inner).take(who, now)
    }

    /// Whether everybody is let in, by the keys of this moment.
    fn is_open(&self) -> bool {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Who sent the request, for the log.
    pub(super) fn who(&self, head: &Head, peer: IpAddr) -> Caller {
        let address = self.client_address(head, peer);
        let caller = Caller::new(address, head.method, head.target, self.key_of(head));
        caller.saying(head.agent, head.session)
    }

    /// The number of the client key that was sent, if it is one.
    fn key_of(&self, head: &Head) -> Option<usize> {
        if head.api_key.is_none() && head.authorization.is_none() {
            return None;
        }
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let bearer = head.authorization.and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("Bearer").then_some(token.trim())
        });
        // Every key is compared, found or not, so that the time tells nothing.
        let mut found = None;
        for sent in [head.api_key, bearer].into_iter().flatten() {
            for (i, key) in keys.iter().enumerate() {
                if key.matches(sent) {
                    found = Some(i);
                }
            }
        }
        found
    }

    /// Who calls: by key where keys are wanted, else by address.
    fn caller(&self, head: &Head, peer: IpAddr, now: Instant) -> Result<Who, Error> {
        if self.is_open() {
            return Ok(self.client_address(head, peer).into());
        }
        if let Some(key) = self.key_of(head) {
            return Ok(Who::Key(key));
        }
        match self.guess(head, peer, now) {
            Ok(()) if head.api_key.is_none() && head.authorization.is_none() => {
                refused(401, format!("no key was sent; {NEEDED}"))
            }
            Ok(()) => refused(401, format!("the key that was sent opens nothing here; {NEEDED}")),
            Err(seconds) => Err(Error::ClientLimit {
                reason: format!(
                    "more than {GUESSES_PER_MINUTE} wrong keys a minute came from this address; {NEEDED}"
                ),
                // To ask again helps nobody before the key is put right.
                retry: Retry {
                    after: Some(seconds.to_string()),
                    should_retry: Some(false),
                    ..Retry::default()
                },
            }),
        }
    }

    /// Whether a connection from there begins with a header of the PROXY protocol.
    ///
    /// One that was named must have it, and from everybody else it is not taken, so that nobody
    /// chooses: the protocol forbids to find out by looking. Who is not named is served as ever,
    /// since a kubelet, a scraper and a colleague on the machine send none.
    pub(super) fn is_announced(&self, peer: IpAddr) -> bool {
        self.proxies_announce && self.is_trusted(peer)
    }

    fn is_trusted(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(address))
    }

    /// The client's address. A header is believed only from a proxy that was named: anybody can
    /// write one. The last address that no such proxy has is the client's.
    fn client_address(&self, head: &Head, peer: IpAddr) -> IpAddr {
        if !self.is_trusted(peer) {
            return peer;
        }
        let of_list = head.forwarded_for.iter().rev().flat_map(|line| line.rsplit(','));
        let of_list = of_list.map(network::hop);
        // The older header is what most proxies write, so the other one may be a client's own.
        let is_standard = head.forwarded_for.is_empty();
        let of_standard = head.forwarded.iter().rev().filter(|_| is_standard);
        let mut client = peer;
        for hop in of_list.chain(of_standard.flat_map(|line| network::forwarded(line))) {
            let Some(address) = hop else { break };
            client = address;
            if !self.is_trusted(client) {
                break;
            }
        }
        client
    }

    /// One message of the caller's minute.
    fn take_turn(&self, caller: Who, now: Instant) -> Result<(), Error> {
        let Some(per_minute) = self.per_minute else { return Ok(()) };
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.take(caller, now).map_err(|seconds| Error::ClientLimit {
            reason: format!("more than {per_minute} messages a minute; CCPROXY_RATE_LIMIT says so"),
            retry: Retry { after: Some(seconds.to_string()), ..Retry::default() },
        })
    }
}

fn refused<T>(status: u16, reason: impl Into<String>) -> Result<T, Error> {
    Err(Error::Refused { status, reason: reason.into() })
}
