//! Sends a request to the provider and hands out its answer: the only code that knows ureq.
//!
//! One thread waits for both sides at once: a client that leaves ends the call, deadlines belong to
//! phases (there is none for the whole), and a kept connection that the provider closed meanwhile
//! is replaced once, before anything came back.

mod answer;
mod buffers;
mod coding;
pub(crate) mod limits;
mod list;
mod long_head;
mod pause;
mod probe;
mod resolver;
mod socket;
mod tls;
mod token;
mod transport;
mod wait;
mod words;

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::ClientConfig;
use ureq::http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, USER_AGENT,
};
use ureq::http::{self, HeaderName, Request, Response};
use ureq::unversioned::transport::{ConnectProxyConnector, Connector};
use ureq::{Agent, Body, Proxy, SendBody};

use crate::client::{Client, Failure};
use crate::config::http_proxy::HttpProxy;
use crate::config::{Config, ProviderConfig, Secret, Timeouts};
use crate::error::Error;
use crate::json::Spliced;
use crate::provider::{Auth, Key};
use crate::redact::{self, Redactor};
use answer::failure;
pub use answer::{Answer, AnswerBody};
pub use pause::pause;
use resolver::CachingResolver;
use tls::TlsConnector;
use token::Tokens;
use transport::{PhaseConnector, SocketConnector};
pub use wait::shut_down;
use wait::{CallGuard, Phase, arm_shutdown, begin, stopped, with_call};
use words::Place;

/// How long a kept connection may be idle: services and what lies between close them after 15 s or
/// more.
const MAX_IDLE_AGE: Duration = Duration::from_secs(15);

/// How much of an answer is read at once. A longer head gets memory of its own.
const INPUT_BYTES: usize = 16 << 10;
/// How much of a request is sent at once, and how much of that may be its head.
const OUTPUT_BYTES: usize = 64 << 10;
const HEAD_BYTES: usize = 16 << 10;

/// How a request names its sender.
const AGENT: &str = concat!("ccproxy/", env!("CARGO_PKG_VERSION"));

/// A host that is never connected to; see [`Upstream::tidy`].
const NOWHERE: &str = "nowhere.invalid";

/// A provider, ready to be asked.
#[derive(Debug)]
pub struct Upstream {
    agent: Agent,
    resolver: CachingResolver,
    tls: Arc<ClientConfig>,
    /// Is another one for every token.
    redactor: Mutex<Arc<Redactor>>,
    /// What no text may show beside the token.
    secrets: Vec<Secret>,
    base_url: String,
    native_url: Option<String>,
    auth: Auth,
    keys: Vec<Secret>,
    tokens: Option<Tokens>,
    headers: Vec<(String, Secret)>,
    /// What the requests to each endpoint have in common, for each key, or for none.
    requests: HashMap<(Endpoint, usize), Request<()>>,
    /// The way to `native_url`; the agent has that to `base_url`.
    native_proxy: Option<Proxy>,
    timeouts: Timeouts,
    embedded: Option<Embedded>,
    place: Arc<Place>,
}

/// Connects to the embedded provider.
pub type Embedded = fn() -> io::Result<UnixStream>;

/// What is asked of a provider.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the names of its fields say it")]
pub struct Ask<'a> {
    pub endpoint: Endpoint,
    /// Which of its keys is sent, if it has any.
    pub key: usize,
    pub body: &'a Spliced<'a>,
    /// Further headers, which must be valid.
    pub headers: &'a [(&'a str, &'a str)],
    /// The longest wait for the answer, where that is less than usual.
    pub patience: Option<Duration>,
}

/// Where a provider is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names of its variants say it")]
pub enum Endpoint {
    ChatCompletions,
    Responses,
    /// Its own Messages API.
    Messages,
    CountTokens,
}

impl Endpoint {
    const ALL: [Endpoint; 4] =
        [Endpoint::ChatCompletions, Endpoint::Responses, Endpoint::Messages, Endpoint::CountTokens];

    /// What it answers where the output is cut by its limit before anything was said. Some models
    /// refuse a small limit instead, by which clients try a model out.
    pub fn cut_by_its_limit(self) -> Option<&'static [u8]> {
        match self {
            Endpoint::ChatCompletions => {
                Some(br#"{"choices":[{"index":0,"message":{},"finish_reason":"length"}]}"#)
            }
            Endpoint::Responses => Some(
                br#"{"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"}}"#,
            ),
            Endpoint::Messages | Endpoint::CountTokens => None,
        }
    }

    /// Whether it is part of the provider's own Messages API.
    fn is_native(self) -> bool {
        matches!(self, Endpoint::Messages | Endpoint::CountTokens)
    }
}

impl Upstream {
    /// Sets up the client of `provider`. `embedded` leads to the embedded provider.
    ///
    /// # Errors
    /// A sentence about the proxy or the certificates that cannot be used.
    pub fn new(
        config: &Config,
        provider: &ProviderConfig,
        max_in_flight: usize,
        embedded: Option<Embedded>,
    ) -> Result<Upstream, String> {
        // All of them together keep no more connections than there can be messages.
        let max_idle = (max_in_flight / config.providers.len().max(1)).max(1);
        let embedded = embedded.filter(|_| provider.row.key == Key::Embedded);
        arm_shutdown().map_err(|e| format!("the upstream client cannot be set up: {e}"))?;
        let proxy = |of: &Option<HttpProxy>| {
            let proxy = of.as_ref().map(|proxy| {
                Proxy::new(proxy.url.expose()).map_err(|_| {
                    let name = proxy.variable;
                    format!("{name}: it is not the address of a proxy, such as http://proxy:3128")
                })
            });
            proxy.transpose()
        };
        let native_proxy = proxy(&provider.native_http_proxy)?;
        let tls = tls::settings(&config.authorities, provider.client_certificate.as_ref())?;
        let agent_config = Agent::config_builder()
            .http_status_as_error(false)
            // A redirect would carry the key to another host.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(proxy(&provider.http_proxy)?)
            .user_agent(AGENT)
            .input_buffer_size(INPUT_BYTES)
            .output_buffer_size(OUTPUT_BYTES)
            .max_idle_connections(max_idle)
            .max_idle_connections_per_host(max_idle)
            .max_idle_age(MAX_IDLE_AGE)
            .build();
        let resolver = CachingResolver::new(embedded.is_some());
        let base_url = if embedded.is_some() { "http://embedded/v1" } else { &provider.base_url };
        let urls = [Some(base_url), provider.native_url.as_deref()].into_iter().flatten();
        let authorities = urls.filter_map(|url| {
            let (_, rest) = url.split_once("://")?;
            rest.split('/').next().map(str::to_owned)
        });
        let authorities = authorities.collect();
        let connector =
            ().chain(ConnectProxyConnector::default())
                .chain(SocketConnector { embedded })
                .chain(TlsConnector(Arc::clone(&tls)))
                .chain(PhaseConnector { authorities });
        let secrets = secrets(provider);
        let mut upstream = Upstream {
            agent: Agent::with_parts(agent_config, connector, resolver.clone()),
            resolver,
            tls,
            redactor: Mutex::new(Arc::new(redactor(&secrets, None))),
            secrets,
            base_url: base_url.to_owned(),
            native_url: provider.native_url.clone(),
            auth: provider.auth,
            keys: provider.keys.clone(),
            tokens: provider.token.clone().map(|token| Tokens::new(token, &provider.name)),
            headers: provider.headers.clone(),
            requests: HashMap::new(),
            native_proxy,
            timeouts: config.timeouts(provider),
            embedded,
            place: Arc::new(Place::of(provider, config.timeouts(provider), config.in_container)),
        };
        for endpoint in Endpoint::ALL {
            for key in 0..provider.keys.len().max(1) {
                // What cannot be asked so fails when it is, in words about the message at hand.
                if let Ok(request) = upstream.request(endpoint, key) {
                    upstream.requests.insert((endpoint, key), request);
                }
            }
        }
        Ok(upstream)
    }

    /// Closes the kept connections that have become too old to be used.
    ///
    /// ureq does so only when a connection is asked for, so one is asked for that cannot be had.
    pub fn tidy(&self) {
        let request = self.agent.get(format!("http://{NOWHERE}/")).config().proxy(None).build();
        let _ = request.call();
    }

    /// Knows what nothing that it says may show.
    pub fn redactor(&self) -> Arc<Redactor> {
        Arc::clone(&self.redactor.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn url(&self, endpoint: Endpoint) -> String {
        let native = self.native_url.as_deref().unwrap_or_default();
        match endpoint {
            Endpoint::ChatCompletions => format!("{}/chat/completions", self.base_url),
            Endpoint::Responses => format!("{}/responses", self.base_url),
            Endpoint::Messages => format!("{native}/v1/messages"),
            Endpoint::CountTokens => format!("{native}/v1/messages/count_tokens"),
        }
    }

    /// The header that carries a key or a token.
    fn authorization(&self, key: &str) -> Result<(HeaderName, HeaderValue), http::Error> {
        let (name, mut value) = match self.auth {
            Auth::Bearer => (AUTHORIZATION, HeaderValue::try_from(format!("Bearer {key}"))?),
            Auth::ApiKey => (HeaderName::from_static("api-key"), key.parse()?),
            Auth::XApiKey => (HeaderName::from_static("x-api-key"), key.parse()?),
        };
        value.set_sensitive(true);
        Ok((name, value))
    }

    /// The token that is sent now, and which one that is.
    ///
    /// # Errors
    /// There is none.
    fn token(&self) -> Result<Option<(String, u64)>, Failure> {
        let Some(tokens) = &self.tokens else { return Ok(None) };
        let current = tokens.current()?;
        self.keep_secret(&current.0);
        Ok(Some(current))
    }

    /// A request to an endpoint, without what a message makes of it.
    fn request(&self, endpoint: Endpoint, key: usize) -> Result<Request<()>, http::Error> {
        let mut request = Request::post(self.url(endpoint)).body(())?;
        let headers = request.headers_mut();
        headers.append(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        // Without it any coding is welcome: RFC 9110, section 12.5.3.
        headers.append(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let (None, Some(key)) = (&self.tokens, self.keys.get(key)) {
            let (name, value) = self.authorization(key.expose())?;
            headers.append(name, value);
        }
        for (name, value) in &self.headers {
            let mut value: HeaderValue = value.expose().parse()?;
            value.set_sensitive(true);
            headers.append(name.parse::<HeaderName>()?, value);
        }
        // ureq would make them anew for each.
        for (name, value) in [(USER_AGENT, AGENT), (ACCEPT, "*/*")] {
            headers.entry(name).or_insert(HeaderValue::from_static(value));
        }
        Ok(request)
    }

    /// The request of a message, which may carry a token.
    fn asking(&self, ask: &Ask<'_>, token: Option<&str>) -> Result<Request<()>, http::Error> {
        let mut request = match self.requests.get(&(ask.endpoint, ask.key)) {
            Some(request) => request.clone(),
            None => self.request(ask.endpoint, ask.key)?,
        };
        if let Some(token) = token {
            let (name, value) = self.authorization(token)?;
            request.headers_mut().append(name, value);
        }
        for (name, value) in ask.headers {
            request.headers_mut().append(name.parse::<HeaderName>()?, value.parse()?);
        }
        Ok(request)
    }

    /// A token is not shown either.
    fn keep_secret(&self, token: &str) {
        let mut known = self.redactor.lock().unwrap_or_else(PoisonError::into_inner);
        if known.secrets(token) == token {
            *known = Arc::new(redactor(&self.secrets, Some(token)));
        }
    }

    /// Whether there is another token than that one, with which a message was refused.
    pub fn has_another_token(&self, refused: u64) -> bool {
        self.tokens.as_ref().is_some_and(|tokens| tokens.is_another(refused))
    }

    /// Asks, and waits for the head of the answer.
    ///
    /// # Errors
    /// [`Failure::ClientGone`], or which phase failed and why.
    pub fn send(&self, ask: Ask<'_>, client: Rc<RefCell<dyn Client>>) -> Result<Answer, Failure> {
        match self.attempt(ask, Rc::clone(&client), false) {
            Err(Attempt::Stale(_)) => {
                log::debug!("the provider had closed a kept connection; asking again on a new one");
            }
            Err(Attempt::Moved(_)) => {
                log::debug!("the provider is not where it was; asking again where it is now");
            }
            Err(Attempt::Failed(failure)) => return Err(failure),
            Ok(answer) => return Ok(answer),
        }
        self.attempt(ask, client, true).map_err(Attempt::into_failure)
    }

    fn attempt(
        &self,
        ask: Ask<'_>,
        client: Rc<RefCell<dyn Client>>,
        only_fresh: bool,
    ) -> Result<Answer, Attempt> {
        let usual = self.timeouts.first_byte;
        let first_byte = ask.patience.map_or(usual, |patience| patience.min(usual));
        let call = begin(client, Timeouts { first_byte, ..self.timeouts }, only_fresh);
        let is_proxied = self.place.target(ask.endpoint.is_native()).is_proxied();
        with_call(|call| {
            call.is_on_the_way = is_proxied;
            call.holds_head = !ask.body.is_empty();
            call.request_bytes = HEAD_BYTES + ask.body.len();
        });
        let token = self.token().map_err(Attempt::Failed)?;
        let request = self.asking(&ask, token.as_ref().map(|(token, _)| &**token));
        let mut body = ask.body.reader();
        let sent = request.map_err(ureq::Error::from).and_then(|mut request| {
            // Without it the body would go in chunks.
            request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(ask.body.len()));
            let request = request.map(|()| SendBody::from_reader(&mut body));
            let is_usual = self.native_proxy.as_ref() == self.agent.config().proxy();
            if !ask.endpoint.is_native() || is_usual {
                return self.agent.run(request);
            }
            let config = self.agent.configure_request(request);
            self.agent.run(config.proxy(self.native_proxy.clone()).build())
        });
        let token = token.map_or(0, |(_, count)| count);
        match sent {
            Ok(response) => {
                let answer = self.answer(response, ask.endpoint.is_native(), call);
                Ok(Answer { token, ..answer })
            }
            Err(e) => {
                let failure = failure(&self.place, ask.endpoint.is_native(), &e);
                let (is_pooled, is_remembered, phase) = with_call(|call| {
                    (!call.connected && !call.answered, call.remembered, call.phase())
                })
                .expect("the call ends with its guard");
                let is_unconnected = phase == Phase::Connect && is_remembered;
                if is_unconnected {
                    self.resolver.doubt();
                }
                Err(match stopped() {
                    None if is_pooled && is_disconnect(&e) => Attempt::Stale(failure),
                    None if is_unconnected => Attempt::Moved(failure),
                    _ => Attempt::Failed(failure),
                })
            }
        }
    }

    fn answer(&self, response: Response<Body>, is_native: bool, call: CallGuard) -> Answer {
        Answer::new(response, call, Arc::clone(&self.place), is_native, &self.redactor())
    }

    /// The error of an answer that says that https was to be spoken.
    pub fn https_port(&self, endpoint: Endpoint) -> Error {
        self.place.https_port(self.place.target(endpoint.is_native()))
    }
}

/// Why an attempt gave no answer.
enum Attempt {
    /// The connection was a kept one, and had been closed by the other side.
    Stale(Failure),
    /// No connection could be made to the addresses that are remembered.
    Moved(Failure),
    Failed(Failure),
}

impl Attempt {
    fn into_failure(self) -> Failure {
        match self {
            Attempt::Stale(failure) | Attempt::Moved(failure) | Attempt::Failed(failure) => failure,
        }
    }
}

/// Whether the other side closed the connection.
fn is_disconnect(error: &ureq::Error) -> bool {
    matches!(error, ureq::Error::Io(e) if matches!(
        e.kind(),
        // The last of them is the kernel's, about a connection whose packets nobody acknowledges.
        ErrorKind::UnexpectedEof
            | ErrorKind::ConnectionReset
            | ErrorKind::BrokenPipe
            | ErrorKind::TimedOut
    ))
}

/// The secrets of this provider.
fn secrets(provider: &ProviderConfig) -> Vec<Secret> {
    let keys = provider.keys.iter().cloned();
    let headers = provider.headers.iter().map(|(_, value)| value.clone());
    let proxies = [&provider.http_proxy, &provider.native_http_proxy].into_iter().flatten();
    let urls = proxies.flat_map(|proxy| redact::credentials(proxy.url.expose()));
    keys.chain(headers).chain(urls.map(Secret::new)).collect()
}

/// Knows these secrets, and the token.
fn redactor(secrets: &[Secret], token: Option<&str>) -> Redactor {
    Redactor::new(secrets.iter().map(Secret::expose).chain(token))
}
