//! Asks whether the provider is there, without a message and without cost, where the user wants
//! that.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ureq::http::Uri;
use ureq::unversioned::resolver::Resolver;
use ureq::unversioned::transport::{
    ConnectProxyConnector, ConnectionDetails, Connector, NextTimeout, Transport, time,
};

use super::Upstream;
use super::answer::failure;
use super::tls::TlsConnector;
use super::transport::SocketConnector;
use super::wait::{begin, with_call};
use crate::client::{Failure, Silent};
use crate::config::{ProviderProbe, Timeouts};
use crate::error::{Error, Retry};

/// For everything that a probe does.
const PATIENCE: Duration = Duration::from_secs(5);

impl Upstream {
    /// Asks once.
    ///
    /// # Errors
    /// What a message would have met.
    pub fn probe(&self, how: ProviderProbe) -> Result<(), Error> {
        let timeouts = Timeouts { connect: PATIENCE, first_byte: PATIENCE, idle: PATIENCE };
        let nobody = Rc::new(RefCell::new(Silent { peer: None }));
        let _call = begin(nobody, timeouts, true);
        let is_proxied = self.place.target(false).is_proxied();
        with_call(|call| call.is_on_the_way = is_proxied);
        let asked = match how {
            ProviderProbe::Off => Ok(()),
            ProviderProbe::Connect => self.connect(),
            ProviderProbe::Models => self.models(),
        };
        asked.map_err(|failure| match failure {
            Failure::Error(error) => error,
            Failure::ClientGone => unreachable!("there is no client"),
        })
    }

    /// Opens a connection as a message's is opened, and closes it.
    fn connect(&self) -> Result<(), Failure> {
        let (embedded, tls) = (self.embedded, Arc::clone(&self.tls));
        let open = move |details: &ConnectionDetails| {
            let connected =
                ().chain(ConnectProxyConnector::default())
                    .chain(SocketConnector { embedded })
                    .chain(TlsConnector(Arc::clone(&tls)))
                    .connect(details, None)?;
            connected
                .map(|transport| Box::new(transport) as Box<dyn Transport>)
                .ok_or(ureq::Error::ConnectionFailed)
        };
        let open = Arc::new(open);
        let resolver = &self.resolver;
        let config = self.agent.config();
        let timeout = NextTimeout { after: PATIENCE.into(), ..NextTimeout::default() };
        let attempt = || {
            let uri: Uri = self.base_url.parse().map_err(|_| ureq::Error::ConnectionFailed)?;
            let through_proxy = config.proxy().is_some();
            let addrs = if through_proxy {
                resolver.empty()
            } else {
                resolver.resolve(&uri, config, timeout)?
            };
            let details = ConnectionDetails {
                uri: &uri,
                addrs,
                config,
                request_level: true,
                resolver,
                now: time::Instant::now(),
                timeout,
                current_time: Arc::new(time::Instant::now),
                run_connector: Arc::clone(&open) as Arc<_>,
                register_shutdown: Arc::new(|_| Ok(())),
            };
            open(&details).map(drop)
        };
        attempt().map_err(|e| failure(&self.place, false, &e))
    }

    /// Asks for the list of models. Any answer that is not about the server or the key will do: not
    /// every service has a list.
    fn models(&self) -> Result<(), Failure> {
        let request = self.list_request(0)?;
        let status = request.call().map_err(|e| failure(&self.place, false, &e))?.status().as_u16();
        match status {
            401 | 403 | 500..=599 => {
                let message = self.place.says(&format!("the list of models answers {status}"));
                Err(Error::upstream(status, message, Retry::default()).into())
            }
            _ => Ok(()),
        }
    }
}
