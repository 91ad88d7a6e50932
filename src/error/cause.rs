//! The causes of errors: one word each, the same in log lines, metrics, pages and tests.

use crate::labels::labels;

labels! {
    /// Why a message was not answered, in one word.
    #[expect(missing_docs, reason = "the names of its variants say it")]
    pub enum Cause {
        // The client's.
        /// The request cannot be served as it stands.
        InvalidRequest = "invalid_request",
        /// No client key, or a wrong one.
        Unauthorized = "unauthorized",
        /// A client that may not ask: a page of another site, a method, a content type, a path.
        Forbidden = "forbidden",
        /// The body is too large for ccproxy.
        TooLarge = "too_large",
        /// The client has had its messages of this minute.
        ClientLimit = "client_limit",
        /// The provider does not know a model that the client named.
        ClientModel = "client_model",

        // ccproxy's own.
        /// There is no room for the message, or no time: ccproxy is full, or about to end.
        Shed = "shed",
        /// A bug.
        Internal = "internal",
        /// The provider has failed so often that it is left alone for a while.
        BreakerOpen = "breaker_open",

        // On the way to the provider.
        /// The name of the host is not known.
        Dns = "dns",
        /// Nothing listens there.
        ConnectRefused = "connect_refused",
        /// The connection did not come about in time.
        ConnectTimeout = "connect_timeout",
        /// The network has no way there.
        Unreachable = "unreachable",
        /// The other side does not speak TLS, or its certificate is not good.
        Tls = "tls",
        /// The HTTP proxy cannot be reached, or refuses.
        Proxy = "proxy",
        /// The provider was silent for too long.
        Timeout = "timeout",
        /// The connection ended before there was an answer.
        Reset = "reset",

        // The provider's answer.
        /// It broke off in its middle.
        Cut = "cut",
        /// It is something else's: a log-in page, another program's.
        NotTheApi = "not_the_api",
        /// It makes no sense.
        Protocol = "protocol",

        // The provider's refusal.
        Overloaded = "overloaded",
        RateLimit = "rate_limit",
        KeyRefused = "key_refused",
        /// The money is gone.
        Billing = "billing",
        /// It does not know the model that it is configured with.
        ModelUnknown = "model_unknown",
        /// The prompt is too long for the model.
        ContextOverflow = "context_overflow",
        /// The search of the web that it was asked for: the message goes on without.
        SearchRefused = "search_refused",
        /// The request, for another reason.
        RefusedRequest = "refused_request",
        /// It failed, by its own words.
        UpstreamError = "upstream_error",
    }
}

impl Cause {
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

#[cfg(test)]
mod tests {
    use super::Cause;

    #[test]
    fn every_cause_has_a_name_of_its_own() {
        for cause in Cause::ALL {
            let name = cause.as_str();
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
            assert_eq!(Cause::ALL.iter().filter(|other| other.as_str() == name).count(), 1);
        }
    }
}
