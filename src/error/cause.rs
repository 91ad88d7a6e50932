//! The causes of errors: one word each, the same in log lines, metrics, pages and tests.

use std::fmt;

/// Why a message was not answered, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names of its variants say it")]
pub enum Cause {
    // The client's.
    /// The request cannot be served as it stands.
    InvalidRequest,
    /// No client key, or a wrong one.
    Unauthorized,
    /// A client that may not ask: a page of another site, a method, a content type, a path.
    Forbidden,
    /// The body is too large for ccproxy.
    TooLarge,
    /// The client has had its messages of this minute.
    ClientLimit,
    /// The provider does not know a model that the client named.
    ClientModel,

    // ccproxy's own.
    /// There is no room for the message, or no time: ccproxy is full, or about to end.
    Shed,
    /// A bug.
    Internal,
    /// The provider has failed so often that it is left alone for a while.
    BreakerOpen,

    // On the way to the provider.
    /// The name of the host is not known.
    Dns,
    /// Nothing listens there.
    ConnectRefused,
    /// The connection did not come about in time.
    ConnectTimeout,
    /// The network has no way there.
    Unreachable,
    /// The other side does not speak TLS, or its certificate is not good.
    Tls,
    /// The HTTP proxy cannot be reached, or refuses.
    Proxy,
    /// The provider was silent for too long.
    Timeout,
    /// The connection ended before there was an answer.
    Reset,

    // The provider's answer.
    /// It broke off in its middle.
    Cut,
    /// It is something else's: a log-in page, another program's.
    NotTheApi,
    /// It makes no sense.
    Protocol,

    // The provider's refusal.
    Overloaded,
    RateLimit,
    KeyRefused,
    /// The money is gone.
    Billing,
    /// It does not know the model that it is configured with.
    ModelUnknown,
    /// The prompt is too long for the model.
    ContextOverflow,
    /// The request, for another reason.
    RefusedRequest,
    /// It failed, by its own words.
    UpstreamError,
}

impl Cause {
    /// Every cause, in the order of its declaration: `ALL[cause as usize] == cause`.
    pub const ALL: &[Cause] = &[
        Cause::InvalidRequest,
        Cause::Unauthorized,
        Cause::Forbidden,
        Cause::TooLarge,
        Cause::ClientLimit,
        Cause::ClientModel,
        Cause::Shed,
        Cause::Internal,
        Cause::BreakerOpen,
        Cause::Dns,
        Cause::ConnectRefused,
        Cause::ConnectTimeout,
        Cause::Unreachable,
        Cause::Tls,
        Cause::Proxy,
        Cause::Timeout,
        Cause::Reset,
        Cause::Cut,
        Cause::NotTheApi,
        Cause::Protocol,
        Cause::Overloaded,
        Cause::RateLimit,
        Cause::KeyRefused,
        Cause::Billing,
        Cause::ModelUnknown,
        Cause::ContextOverflow,
        Cause::RefusedRequest,
        Cause::UpstreamError,
    ];

    /// Its name as a label has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Cause::InvalidRequest => "invalid_request",
            Cause::Unauthorized => "unauthorized",
            Cause::Forbidden => "forbidden",
            Cause::TooLarge => "too_large",
            Cause::ClientLimit => "client_limit",
            Cause::ClientModel => "client_model",
            Cause::Shed => "shed",
            Cause::Internal => "internal",
            Cause::BreakerOpen => "breaker_open",
            Cause::Dns => "dns",
            Cause::ConnectRefused => "connect_refused",
            Cause::ConnectTimeout => "connect_timeout",
            Cause::Unreachable => "unreachable",
            Cause::Tls => "tls",
            Cause::Proxy => "proxy",
            Cause::Timeout => "timeout",
            Cause::Reset => "reset",
            Cause::Cut => "cut",
            Cause::NotTheApi => "not_the_api",
            Cause::Protocol => "protocol",
            Cause::Overloaded => "overloaded",
            Cause::RateLimit => "rate_limit",
            Cause::KeyRefused => "key_refused",
            Cause::Billing => "billing",
            Cause::ModelUnknown => "model_unknown",
            Cause::ContextOverflow => "context_overflow",
            Cause::RefusedRequest => "refused_request",
            Cause::UpstreamError => "upstream_error",
        }
    }

    /// What the status of a provider's error tells, where its words tell no more.
    pub fn of_status(status: u16) -> Cause {
        match status {
            401 | 403 => Cause::KeyRefused,
            402 => Cause::Billing,
            // 498: Groq's flex tier has no capacity left.
            498 | 529 => Cause::Overloaded,
            429 => Cause::RateLimit,
            408 | 504 | 522 | 524 => Cause::Timeout,
            // A network wants its users to log in.
            511 => Cause::NotTheApi,
            400..=499 => Cause::RefusedRequest,
            500..=599 => Cause::UpstreamError,
            _ => Cause::Protocol,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Cause;

    #[test]
    fn every_cause_has_its_place_and_a_name_of_its_own() {
        for (place, cause) in Cause::ALL.iter().enumerate() {
            assert_eq!(*cause as usize, place);
            let name = cause.as_str();
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
            assert_eq!(Cause::ALL.iter().filter(|other| other.as_str() == name).count(), 1);
        }
    }
}
