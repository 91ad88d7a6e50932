//! What can go wrong with a message, by whose turn it is to act, and the one table from there to
//! Anthropic's HTTP status and error type.
//!
//! Follows <https://platform.claude.com/docs/en/api/errors>. No IO, no clock.

#![forbid(unsafe_code)]

mod cause;
mod hint;

use std::fmt;
use std::time::Duration;

use serde::Serialize;

pub use cause::Cause;
pub use hint::Hint;

/// Why a message was not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of its variants say it")]
pub enum Error {
    /// The request cannot be served as it stands; the client must change it.
    Request { at: String, reason: String },
    /// The request wants the server to hold the conversation. The SDKs send it again whole when
    /// they are told so by this very error code.
    ThreadUnsupported,
    /// Refused before its content mattered: path, method, credentials, size, load.
    Refused { status: u16, reason: String },
    /// The client has had as many messages as it may have in a minute.
    ClientLimit { reason: String, retry: Retry },
    /// The provider has failed so often that it is left alone for a while.
    BreakerOpen {
        /// Its last failure.
        last: Option<Box<Error>>,
        reason: String,
        retry: Retry,
    },
    /// A bug of ccproxy.
    Internal,
    /// The upstream answered with an error, as a status or inside its stream.
    Upstream {
        /// The status the upstream sent, or the one its error object stands for.
        status: u16,
        cause: Cause,
        message: String,
        retry: Retry,
    },
    /// The upstream could not be reached, or fell silent, or hung up.
    Unreachable {
        cause: Cause,
        reason: String,
        /// It will be the same until somebody mends it: a second try cannot help.
        is_lasting: bool,
    },
    /// The upstream's answer makes no sense, broke off ([`Cause::Cut`]) or is something else's
    /// ([`Cause::NotTheApi`]).
    Protocol { cause: Cause, reason: String },
}

/// What the client is told about trying again; the header values are the upstream's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of its fields say it")]
pub struct Retry {
    pub after: Option<String>,
    pub after_ms: Option<String>,
    pub should_retry: Option<bool>,
    /// What the words of an answer tell, until somebody with a clock has read it.
    pub hint: Option<Box<Hint>>,
}

impl Retry {
    /// How long to wait, where it is told as a number.
    pub fn duration(&self) -> Option<Duration> {
        let number = |text: &Option<String>| text.as_ref()?.trim().parse::<f64>().ok();
        let seconds = number(&self.after_ms).map(|ms| ms / 1e3).or_else(|| number(&self.after))?;
        Duration::try_from_secs_f64(seconds).ok()
    }

    /// The same with what was told in words, from `now` on, a time since 1970: a header says it
    /// better.
    pub fn at(&self, now: Duration) -> Retry {
        let told = Retry { hint: None, ..self.clone() };
        match &self.hint {
            Some(hint) if told.duration().is_none() => told.within(hint.from(now)),
            _ => told,
        }
    }

    /// The same after so long: in whole seconds, and as it is.
    pub fn within(&self, wait: Duration) -> Retry {
        let ms = wait.as_millis();
        let seconds = ms.div_ceil(1000).to_string();
        Retry { after: Some(seconds), after_ms: Some(ms.to_string()), ..self.clone() }
    }
}

/// Upstream status → status for the client, where it is not the same and the cause does not tell.
///
/// 422 becomes 400 because Anthropic has no 422.
const STATUSES: &[(u16, u16)] = &[
    (402, 402),
    (404, 404),
    (408, 408),
    (409, 409),
    (413, 413),
    (424, 500),
    (425, 503),
    (502, 502),
    (503, 503),
    (504, 504),
    (520, 502),
    (521, 502),
    (522, 504),
    (523, 502),
    (524, 504),
];

/// Status for the client → Anthropic error type.
const TYPES: &[(u16, &str)] = &[
    (400, "invalid_request_error"),
    (401, "authentication_error"),
    (402, "billing_error"),
    (403, "permission_error"),
    (404, "not_found_error"),
    (405, "invalid_request_error"),
    (408, "timeout_error"),
    (409, "conflict_error"),
    (413, "request_too_large"),
    (415, "invalid_request_error"),
    (417, "invalid_request_error"),
    (429, "rate_limit_error"),
    (431, "invalid_request_error"),
    (500, "api_error"),
    (501, "invalid_request_error"),
    (502, "api_error"),
    // Claude Code hides the words of an `overloaded_error`.
    (503, "api_error"),
    (504, "timeout_error"),
    (505, "invalid_request_error"),
    (529, "overloaded_error"),
];

impl Error {
    /// A fault of the request at `at`, a path such as `messages.2.content.0`.
    pub fn request(at: impl Into<String>, reason: impl Into<String>) -> Error {
        Error::Request { at: at.into(), reason: reason.into() }
    }

    /// An answer of the upstream's that makes no sense: what is wrong with it, as "it held no
    /// message".
    pub fn protocol(reason: impl fmt::Display) -> Error {
        Error::Protocol {
            cause: Cause::Protocol,
            reason: format!("the upstream's answer: {reason}"),
        }
    }

    /// An answer of the upstream's that ended in its middle.
    pub fn cut(reason: impl fmt::Display) -> Error {
        Error::Protocol { cause: Cause::Cut, reason: format!("the upstream's answer: {reason}") }
    }

    /// An error that the upstream tells of, whose status says what kind it is.
    pub fn upstream(status: u16, message: impl Into<String>, retry: Retry) -> Error {
        Error::Upstream { status, cause: Cause::of_status(status), message: message.into(), retry }
    }

    /// An upstream that cannot be reached now, and perhaps at another time.
    pub fn unreachable(cause: Cause, reason: impl Into<String>) -> Error {
        Error::Unreachable { cause, reason: reason.into(), is_lasting: false }
    }

    /// Why, in one word.
    pub fn cause(&self) -> Cause {
        match self {
            Error::Request { .. } | Error::ThreadUnsupported => Cause::InvalidRequest,
            Error::Refused { status, .. } => match status {
                401 => Cause::Unauthorized,
                413 => Cause::TooLarge,
                503 | 529 => Cause::Shed,
                403..=405 | 415 => Cause::Forbidden,
                _ => Cause::InvalidRequest,
            },
            Error::ClientLimit { .. } => Cause::ClientLimit,
            Error::BreakerOpen { .. } => Cause::BreakerOpen,
            Error::Internal => Cause::Internal,
            Error::Upstream { cause, .. }
            | Error::Unreachable { cause, .. }
            | Error::Protocol { cause, .. } => *cause,
        }
    }

    /// Whether the same request may be answered at another time, without anybody mending anything.
    pub fn should_retry(&self) -> bool {
        self.retry().should_retry.unwrap_or(matches!(self.status(), 408 | 409 | 429 | 500..=599))
    }

    /// The same with another text, where it has one of the upstream's.
    pub fn map_text(mut self, change: impl FnOnce(&str) -> String) -> Error {
        if let Error::Upstream { message: text, .. }
        | Error::Unreachable { reason: text, .. }
        | Error::Protocol { reason: text, .. } = &mut self
        {
            *text = change(text);
        }
        self
    }

    /// The HTTP status the client gets, if nothing has been sent yet.
    pub fn status(&self) -> u16 {
        match self {
            Error::Request { .. } | Error::ThreadUnsupported => 400,
            Error::Refused { status, .. } => *status,
            Error::Upstream { status, cause, .. } => answer_status(*status, *cause),
            Error::ClientLimit { .. } => 429,
            Error::BreakerOpen { .. } => 503,
            Error::Internal => 500,
            Error::Unreachable { cause: Cause::Timeout, .. } => 504,
            Error::Unreachable { .. } | Error::Protocol { .. } => 502,
        }
    }

    /// Anthropic's `error.type` for it.
    pub fn kind(&self) -> &'static str {
        let status = self.status();
        TYPES.iter().find(|(s, _)| *s == status).map_or("api_error", |(_, kind)| kind)
    }

    /// The status that Anthropic's error type `kind` stands for.
    pub fn status_of_kind(kind: &str) -> Option<u16> {
        TYPES.iter().find(|(_, known)| *known == kind).map(|(status, _)| *status)
    }

    /// The same with the time to try again that its words tell, `now` being a time since 1970.
    pub fn at(self, now: Duration) -> Error {
        match self {
            Error::Upstream { status, cause, message, retry } => {
                Error::Upstream { status, cause, message, retry: retry.at(now) }
            }
            error => error,
        }
    }

    /// What the client is told about trying again.
    ///
    /// What somebody has to mend stays as it is: without `x-should-retry: false` Claude Code asks
    /// eleven times, and shows its user nothing meanwhile.
    pub fn retry(&self) -> Retry {
        let no = self.is_lasting().then_some(false);
        match self {
            Error::Upstream { retry, .. } => {
                Retry { should_retry: retry.should_retry.or(no), ..retry.clone() }
            }
            Error::ClientLimit { retry, .. } => retry.clone(),
            Error::BreakerOpen { retry, .. } => Retry { should_retry: no, ..retry.clone() },
            Error::Unreachable { .. } | Error::Protocol { .. } => {
                Retry { should_retry: no, ..Retry::default() }
            }
            Error::Refused { status: 503 | 529, .. } => {
                Retry { after: Some("1".to_owned()), ..Retry::default() }
            }
            Error::Refused { .. } => Retry { should_retry: no, ..Retry::default() },
            _ => Retry::default(),
        }
    }

    /// Whether it will be the same until somebody mends it. What a provider says of trying one
    /// request again is not asked: it holds for that request, and not for all while the breaker is
    /// open.
    fn is_lasting(&self) -> bool {
        match self {
            Error::Upstream { cause, .. } | Error::Protocol { cause, .. } => matches!(
                cause,
                Cause::KeyRefused
                    | Cause::Billing
                    | Cause::ModelUnknown
                    | Cause::ClientModel
                    | Cause::NotTheApi
            ),
            Error::BreakerOpen { last, .. } => last.as_ref().is_some_and(|last| last.is_lasting()),
            Error::Unreachable { is_lasting, .. } => *is_lasting,
            Error::Refused { status: 401 | 403, .. } => true,
            _ => false,
        }
    }

    /// The error as the body of an HTTP answer; `request_id` is repeated in it.
    pub fn body(&self, request_id: &str) -> Vec<u8> {
        let body = Body { kind: "error", error: self.detail(), request_id };
        serde_json::to_vec(&body).expect("strings always serialize")
    }

    /// The `error` object of Anthropic's error shape.
    pub fn detail(&self) -> Detail {
        Detail {
            kind: self.kind(),
            message: self.to_string(),
            details: matches!(self, Error::ThreadUnsupported).then_some(Details {
                error_code: "thread_unsupported_request",
                unsupported: ["thread"],
            }),
        }
    }
}

/// The status for the client: by the cause where it is told, else by the upstream's own.
///
/// 401 and 403 are about the client's own key, and Claude Code tells its user to log in: a key of
/// ccproxy's is another's to mend. 404 makes it blame the model that was picked.
fn answer_status(status: u16, cause: Cause) -> u16 {
    match cause {
        Cause::KeyRefused | Cause::NotTheApi => return 502,
        Cause::Billing => return 402,
        Cause::ModelUnknown => return 500,
        Cause::ClientModel => return 404,
        Cause::Overloaded => return 529,
        Cause::RateLimit => return 429,
        _ => {}
    }
    if let Some((_, answer)) = STATUSES.iter().find(|(upstream, _)| *upstream == status) {
        return *answer;
    }
    match status {
        400..=499 => 400,
        500..=599 => 500,
        // A redirect, or a status outside of HTTP.
        _ => 502,
    }
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    error: Detail,
    request_id: &'a str,
}

/// The `error` object: type, message, and a code where the SDKs look for one.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "the names of its fields say it")]
pub struct Detail {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details>,
}

#[derive(Debug, Clone, Serialize)]
struct Details {
    error_code: &'static str,
    unsupported: [&'static str; 1],
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Request { at, reason } if at.is_empty() => f.write_str(reason),
            Error::Request { at, reason } => write!(f, "{at}: {reason}"),
            Error::ThreadUnsupported => f.write_str(
                "thread: ccproxy keeps no conversations; send the whole conversation without it",
            ),
            Error::Refused { reason, .. }
            | Error::ClientLimit { reason, .. }
            | Error::BreakerOpen { reason, .. }
            | Error::Unreachable { reason, .. } => f.write_str(reason),
            Error::Internal => f.write_str("ccproxy met a bug of its own; please report it"),
            Error::Upstream { message, .. } => f.write_str(message),
            Error::Protocol { reason, .. } => f.write_str(reason),
        }
    }
}

impl std::error::Error for Error {}
