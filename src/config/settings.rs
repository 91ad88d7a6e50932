//! The table of settings: names, defaults and meaning. `--help` and the README show it.

use crate::labels::labels;

/// A setting: how it is named on the command line and in the environment, and what it means.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the names of its fields say it")]
pub struct Setting {
    /// Where `--help` shows it.
    pub group: Group,
    /// The flag, without dashes; empty if there is none, as for keys, which `ps` would show.
    pub flag: &'static str,
    /// Variables, in the order they are asked. `<P>` is the provider's name in upper case.
    pub variables: &'static [&'static str],
    pub default: &'static str,
    pub doc: &'static str,
}

labels! {
    /// What settings have in common, in the order of `--help`, and its heading there.
    #[expect(missing_docs, reason = "the names of its variants say it")]
    pub enum Group {
        /// What a newcomer needs.
        First = "To begin with",
        Provider = "The provider",
        Clients = "Who may call",
        Log = "The log",
        Limits = "Limits and times",
        Health = "Health",
    }
}

impl Setting {
    /// Whether each provider has its own.
    pub fn is_providers(&self) -> bool {
        self.variables.iter().any(|name| name.starts_with("<P>_"))
    }

    /// Whether its value must not be shown.
    pub fn is_secret(&self) -> bool {
        self.variables.iter().any(|name| name.ends_with("API_KEY"))
    }
}

/// Every setting, in the order `--help` and the README show them.
pub static SETTINGS: &[Setting] = &[
    PROVIDER,
    CONFIG,
    API_KEY,
    BASE_URL,
    MODEL,
    MAX_TOKENS,
    IMAGES,
    TEXT_TOOLS,
    TOKEN_FILE,
    TOKEN_COMMAND,
    AUTH,
    CLIENT_CERTIFICATE,
    CLIENT_KEY,
    API,
    NATIVE,
    NATIVE_URL,
    TIMEOUT,
    HOST,
    PORT,
    CLIENT_KEYS,
    OPEN,
    ALLOWED_HOSTS,
    CORS_ALLOWED_ORIGINS,
    RATE_LIMIT,
    TRUSTED_PROXIES,
    PROXY_PROTOCOL,
    LOG_LEVEL,
    LOG_FORMAT,
    MAX_IN_FLIGHT,
    BODY_LIMIT,
    CONNECT_TIMEOUT,
    IDLE_TIMEOUT,
    BREAKER_PAUSE,
    RATE_LIMIT_WAIT,
    KEEPALIVE_TIMEOUT,
    DRAIN_DELAY,
    SHUTDOWN_TIMEOUT,
    CERTIFICATES,
    CERTIFICATES_DIRECTORY,
    EXTRA_AUTHORITIES,
    PROVIDER_PROBE,
    HEALTHCHECK_URL,
    HEALTHCHECK_TIMEOUT,
];

pub(super) const PROVIDER: Setting = Setting {
    group: Group::First,
    flag: "provider",
    variables: &["PROVIDER"],
    default: "the one whose key is set",
    doc: "the service that answers, or several in the order to try them, separated by commas",
};
/// The way to a provider, which `http_proxy` reads. It is shown, and is no setting of ccproxy's
/// own.
pub(super) const HTTP_PROXY: Setting = Setting {
    group: Group::Provider,
    flag: "",
    variables: &["<P>_HTTP_PROXY"],
    default: "",
    doc: "",
};
pub(super) const CONFIG: Setting = Setting {
    group: Group::Provider,
    flag: "config",
    variables: &["CCPROXY_CONFIG"],
    default: "",
    doc: "JSON file with several providers and routes to them",
};
pub(super) const API_KEY: Setting = Setting {
    group: Group::First,
    flag: "",
    variables: &["<P>_API_KEY"],
    default: "",
    doc: "the provider's key, or several separated by commas (gemini: also GOOGLE_API_KEY)",
};
pub(super) const TOKEN_FILE: Setting = Setting {
    group: Group::Provider,
    flag: "token-file",
    variables: &["<P>_TOKEN_FILE"],
    default: "",
    doc: "file with a key that ends, such as an access token; it is read for every message",
};
pub(super) const TOKEN_COMMAND: Setting = Setting {
    group: Group::Provider,
    flag: "token-command",
    variables: &["<P>_TOKEN_COMMAND"],
    default: "",
    doc: "program with arguments that prints such a key; it is run without a shell, at first and when the key is refused, for 10 s at most",
};
pub(super) const AUTH: Setting = Setting {
    group: Group::Provider,
    flag: "auth",
    variables: &["<P>_AUTH"],
    default: "the provider's",
    doc: "the header that carries the key: bearer (Authorization), api-key, or x-api-key",
};
pub(super) const BASE_URL: Setting = Setting {
    group: Group::Provider,
    flag: "base-url",
    variables: &["<P>_BASE_URL"],
    default: "the provider's",
    doc: "where its API is, with or without /v1; required for custom",
};
pub(super) const MODEL: Setting = Setting {
    group: Group::First,
    flag: "model",
    variables: &["<P>_MODEL"],
    default: "the provider's",
    doc: "the model that answers for Claude's names; other names are passed on",
};
pub(super) const MAX_TOKENS: Setting = Setting {
    group: Group::Provider,
    flag: "max-tokens",
    variables: &["<P>_MAX_TOKENS"],
    default: "the provider's",
    doc: "the most output tokens to ask for; 0 asks for what the client wants",
};
pub(super) const IMAGES: Setting = Setting {
    group: Group::Provider,
    flag: "images",
    variables: &["<P>_IMAGES"],
    default: "the provider's",
    doc: "on: the model is shown pictures; off: it gets a note instead",
};
pub(super) const TEXT_TOOLS: Setting = Setting {
    group: Group::Provider,
    flag: "text-tools",
    variables: &["<P>_TEXT_TOOLS"],
    default: "the provider's",
    doc: "on: tool calls that the model wrote as text are calls; off: they stay text",
};
pub(super) const CLIENT_CERTIFICATE: Setting = Setting {
    group: Group::Provider,
    flag: "client-cert",
    variables: &["<P>_CLIENT_CERT"],
    default: "",
    doc: "PEM file of the certificate that the provider knows this client by (mTLS)",
};
pub(super) const CLIENT_KEY: Setting = Setting {
    group: Group::Provider,
    flag: "client-key",
    variables: &["<P>_CLIENT_KEY"],
    default: "",
    doc: "PEM file of the private key of that certificate",
};
pub(super) const API: Setting = Setting {
    group: Group::Provider,
    flag: "api",
    variables: &["<P>_API"],
    default: "auto",
    doc: "which of OpenAI's APIs is spoken: chat, responses, or auto for the one that the model needs",
};
pub(super) const NATIVE: Setting = Setting {
    group: Group::Provider,
    flag: "native",
    variables: &["<P>_NATIVE"],
    default: "auto",
    doc: "whether the provider's own Messages API is used: on, off, or auto where it is known to be good",
};
pub(super) const NATIVE_URL: Setting = Setting {
    group: Group::Provider,
    flag: "native-url",
    variables: &["<P>_NATIVE_URL"],
    default: "the provider's",
    doc: "where its Messages API is, without /v1/messages",
};
pub(super) const TIMEOUT: Setting = Setting {
    group: Group::Provider,
    flag: "first-byte-timeout",
    variables: &["<P>_TIMEOUT", "CCPROXY_FIRST_BYTE_TIMEOUT"],
    default: "300",
    doc: "seconds the provider may take to begin its answer",
};
pub(super) const HOST: Setting = Setting {
    group: Group::Clients,
    flag: "host",
    variables: &["SERVER_HOST"],
    default: "localhost; :: in a container",
    doc: "address to listen on; localhost is both loopbacks, :: every address",
};
pub(super) const PORT: Setting = Setting {
    group: Group::First,
    flag: "port",
    variables: &["SERVER_PORT", "PORT"],
    default: "3456",
    doc: "port to listen on; 0 lets the system choose",
};
pub(super) const CLIENT_KEYS: Setting = Setting {
    group: Group::First,
    flag: "",
    variables: &["CCPROXY_API_KEY"],
    default: "",
    doc: "keys that clients must send, separated by commas; empty lets everybody in",
};
pub(super) const OPEN: Setting = Setting {
    group: Group::Clients,
    flag: "",
    variables: &["CCPROXY_OPEN"],
    default: "off",
    doc: "on: a reload that leaves no client keys lets everybody in; off: the old keys stay",
};
pub(super) const ALLOWED_HOSTS: Setting = Setting {
    group: Group::Clients,
    flag: "allowed-hosts",
    variables: &["CCPROXY_ALLOWED_HOSTS"],
    default: "",
    doc: "further names, separated by commas, or *, that the Host header may have where only this machine is listened to",
};
pub(super) const CORS_ALLOWED_ORIGINS: Setting = Setting {
    group: Group::Clients,
    flag: "cors-allowed-origins",
    variables: &["CORS_ALLOWED_ORIGINS"],
    default: "",
    doc: "origins of web pages that may call the API, separated by commas, or *",
};
pub(super) const RATE_LIMIT: Setting = Setting {
    group: Group::Clients,
    flag: "rate-limit",
    variables: &["CCPROXY_RATE_LIMIT"],
    default: "",
    doc: "messages a minute for each client key, or each address where there are no keys; more get 429",
};
pub(super) const TRUSTED_PROXIES: Setting = Setting {
    group: Group::Clients,
    flag: "trusted-proxies",
    variables: &["CCPROXY_TRUSTED_PROXIES"],
    default: "",
    doc: "addresses and networks of proxies whose X-Forwarded-For, or Forwarded, is believed, separated by commas",
};
pub(super) const PROXY_PROTOCOL: Setting = Setting {
    group: Group::Clients,
    flag: "proxy-protocol",
    variables: &["CCPROXY_PROXY_PROTOCOL"],
    default: "off",
    doc: "on: connections from CCPROXY_TRUSTED_PROXIES, and no others, begin with a PROXY protocol header that names the client",
};
pub(super) const LOG_LEVEL: Setting = Setting {
    group: Group::Log,
    flag: "log-level",
    variables: &["LOG_LEVEL"],
    default: "info",
    doc: "off, error, warn, info or debug",
};
pub(super) const LOG_FORMAT: Setting = Setting {
    group: Group::Log,
    flag: "log-format",
    variables: &["LOG_FORMAT"],
    default: "text on a terminal, else json",
    doc: "text or json",
};
pub(super) const MAX_IN_FLIGHT: Setting = Setting {
    group: Group::Limits,
    flag: "max-in-flight",
    variables: &["CCPROXY_MAX_IN_FLIGHT"],
    default: "up to 1024, by memory, descriptors and threads",
    doc: "messages answered at once; more get 529",
};
pub(super) const BODY_LIMIT: Setting = Setting {
    group: Group::Limits,
    flag: "body-limit",
    variables: &["CCPROXY_BODY_LIMIT"],
    default: "33554432",
    doc: "bytes a request's body may have",
};
pub(super) const CONNECT_TIMEOUT: Setting = Setting {
    group: Group::Provider,
    flag: "connect-timeout",
    variables: &["CCPROXY_CONNECT_TIMEOUT"],
    default: "5",
    doc: "seconds for name, TCP, proxy and TLS of a connection to the provider",
};
pub(super) const IDLE_TIMEOUT: Setting = Setting {
    group: Group::Provider,
    flag: "idle-timeout",
    variables: &["CCPROXY_IDLE_TIMEOUT"],
    default: "120",
    doc: "seconds the provider may be silent within its answer",
};
pub(super) const RATE_LIMIT_WAIT: Setting = Setting {
    group: Group::Provider,
    flag: "rate-limit-wait",
    variables: &["CCPROXY_RATE_LIMIT_WAIT"],
    default: "0",
    doc: "seconds, up to 60, that a message waits for a provider's rate limit to pass, after all others were asked, before the client is told",
};
pub(super) const BREAKER_PAUSE: Setting = Setting {
    group: Group::Provider,
    flag: "breaker-pause",
    variables: &["CCPROXY_BREAKER_PAUSE"],
    default: "1",
    doc: "seconds a provider that failed five times in a row is left alone at first; doubled up to 60",
};
pub(super) const KEEPALIVE_TIMEOUT: Setting = Setting {
    group: Group::Limits,
    flag: "keepalive-timeout",
    variables: &["CCPROXY_KEEPALIVE_TIMEOUT"],
    default: "75",
    doc: "seconds a client's connection may be idle between two requests; more than the balancer before it keeps one",
};
pub(super) const DRAIN_DELAY: Setting = Setting {
    group: Group::Limits,
    flag: "drain-delay",
    variables: &["CCPROXY_DRAIN_DELAY"],
    default: "0",
    doc: "seconds that new messages are still taken after SIGTERM, while health says 503",
};
pub(super) const SHUTDOWN_TIMEOUT: Setting = Setting {
    group: Group::Limits,
    flag: "shutdown-timeout",
    variables: &["CCPROXY_SHUTDOWN_TIMEOUT"],
    default: "8",
    doc: "seconds that answers in progress may take to end after SIGTERM",
};
pub(super) const CERTIFICATES: Setting = Setting {
    group: Group::Provider,
    flag: "",
    variables: &["SSL_CERT_FILE"],
    default: "the built-in ones",
    doc: "PEM file of the certificate authorities, or servers' own certificates, to trust instead",
};
pub(super) const CERTIFICATES_DIRECTORY: Setting = Setting {
    group: Group::Provider,
    flag: "",
    variables: &["SSL_CERT_DIR"],
    default: "",
    doc: "directory of such files, also instead",
};
pub(super) const EXTRA_AUTHORITIES: Setting = Setting {
    group: Group::Provider,
    flag: "",
    variables: &["CCPROXY_EXTRA_CA_FILE"],
    default: "",
    doc: "PEM file of those to trust beside the built-in ones",
};
pub(super) const PROVIDER_PROBE: Setting = Setting {
    group: Group::Health,
    flag: "provider-probe",
    variables: &["CCPROXY_PROVIDER_PROBE"],
    default: "off",
    doc: "every minute or so, whether the provider is there: connect (a connection, no request) or models (its list of models); never a completion",
};
pub(super) const HEALTHCHECK_URL: Setting = Setting {
    group: Group::Health,
    flag: "",
    variables: &["CCPROXY_HEALTHCHECK_URL"],
    default: "the server's own /health",
    doc: "what --healthcheck asks: live, ready, a path, or a URL with an IP address",
};
pub(super) const HEALTHCHECK_TIMEOUT: Setting = Setting {
    group: Group::Health,
    flag: "healthcheck-timeout",
    variables: &["CCPROXY_HEALTHCHECK_TIMEOUT"],
    // Under the 10 s after which Docker kills the probe and stores no reason.
    default: "3",
    doc: "seconds that --healthcheck may take in all",
};
