//! Who may call the API, and how often.
//!
//! A page in the user's browser must not spend the user's money: it can send requests to a loopback,
//! so a foreign `Origin` is refused, and so is every body that a form or a script could send without
//! asking first, which is all but `application/json`.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Instant;

use super::head::Head;
use super::route::Route;
use crate::config::{Config, Network, Secret};
use crate::error::{Error, Retry};
use crate::exchange::Call;
use crate::record::Caller;

/// Callers whose buckets are kept before full ones are forgotten.
const MAX_BUCKETS: usize = 10_000;

/// The rules of the configuration.
#[derive(Debug)]
pub struct Access {
    origins: Vec<String>,
    keys: RwLock<Vec<Secret>>,
    trusted_proxies: Vec<Network>,
    per_minute: Option<u64>,
    buckets: Mutex<HashMap<String, Bucket>>,
}

/// What is left of a caller's minute.
#[derive(Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Access {
    pub fn new(config: &Config) -> Access {
        Access {
            origins: config.cors_allowed_origins.clone(),
            keys: RwLock::new(config.client_keys.clone()),
            trusted_proxies: config.trusted_proxies.clone(),
            per_minute: config.rate_limit,
            buckets: Mutex::default(),
        }
    }

    /// From now on these keys are let in. Connections and answers go on.
    pub fn replace_keys(&self, keys: Vec<Secret>) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    /// Checks a request by its head. Returns the page that may read the answer.
    pub fn check(&self, head: &Head, route: &Route, peer: IpAddr) -> Result<Option<String>, Error> {
        let origin = match head.origin {
            Some(origin)
                if !self.origins.iter().any(|o| o == "*" || o.eq_ignore_ascii_case(origin)) =>
            {
                return refused(
                    403,
                    format!(
                        "origin {origin:?} may not call this API; name it in CORS_ALLOWED_ORIGINS to let it"
                    ),
                );
            }
            origin => origin.map(str::to_owned),
        };
        let Route::Call(call) = route else { return Ok(origin) };
        let caller = self.caller(head, peer)?;
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
            self.take_turn(caller)?;
        }
        Ok(origin)
    }

    /// Whether the caller is no stranger: it sent a client key, or nobody needs one.
    pub fn knows(&self, head: &Head) -> bool {
        self.is_open() || self.key_of(head).is_some()
    }

    /// Whether everybody is let in, by the keys of this moment.
    fn is_open(&self) -> bool {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Who sent the request, for the log.
    pub fn who(&self, head: &Head, peer: IpAddr) -> Caller {
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
    fn caller(&self, head: &Head, peer: IpAddr) -> Result<String, Error> {
        if self.is_open() {
            return Ok(self.client_address(head, peer).to_string());
        }
        match self.key_of(head) {
            Some(i) => Ok(format!("key {i}")),
            None => {
                refused(401, "the key in x-api-key or Authorization is not one of CCPROXY_API_KEY")
            }
        }
    }

    /// The client's address. A header is believed only from a proxy that was named: anybody can write
    /// one. The last address that no such proxy has is the client's.
    fn client_address(&self, head: &Head, peer: IpAddr) -> IpAddr {
        let trusted = |address: IpAddr| self.trusted_proxies.iter().any(|n| n.contains(address));
        if !trusted(peer) {
            return peer;
        }
        let hops = head.forwarded_for.iter().rev().flat_map(|line| line.rsplit(','));
        let addresses = hops.map_while(|hop| hop.trim().parse::<IpAddr>().ok());
        let mut client = peer;
        for address in addresses {
            client = address.to_canonical();
            if !trusted(client) {
                break;
            }
        }
        client
    }

    /// One message of the caller's minute.
    fn take_turn(&self, caller: String) -> Result<(), Error> {
        let Some(per_minute) = self.per_minute else { return Ok(()) };
        let now = Instant::now();
        let full = per_minute as f64;
        let refilled = |bucket: &Bucket| {
            (bucket.left + now.duration_since(bucket.at).as_secs_f64() * full / 60.0).min(full)
        };
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MAX_BUCKETS {
            buckets.retain(|_, bucket| refilled(bucket) < full);
        }
        let bucket = buckets.entry(caller).or_insert(Bucket { left: full, at: now });
        let left = refilled(bucket);
        *bucket = Bucket { left: if left >= 1.0 { left - 1.0 } else { left }, at: now };
        if left >= 1.0 {
            return Ok(());
        }
        let wait = ((1.0 - left) * 60.0 / full).ceil().max(1.0);
        Err(Error::ClientLimit {
            reason: format!("more than {per_minute} messages a minute; CCPROXY_RATE_LIMIT says so"),
            retry: Retry { after: Some(format!("{wait}")), ..Retry::default() },
        })
    }
}

fn refused<T>(status: u16, reason: impl Into<String>) -> Result<T, Error> {
    Err(Error::Refused { status, reason: reason.into() })
}
