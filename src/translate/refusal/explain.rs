//! An upstream's error in words for people: who, why, and the setting that mends it.

use super::said::plain_text;
use crate::error::{Cause, Error};
use crate::redact::without_keys;

/// What the words need to know of a provider and a request.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "the names of its fields say it")]
pub struct Explain {
    /// The provider's name.
    pub provider: String,
    pub base_url: String,
    /// The variables that hold its key, its address and its model; empty where it has none.
    pub keys: String,
    pub base_url_variable: String,
    pub model_variable: String,
    /// The provider that the keys of its plan are for.
    pub plan: &'static str,
    pub has_key: bool,
    /// The model that was asked for, and one that the provider is known to have.
    pub model: String,
    pub example: &'static str,
    /// What it serves, the most alike first, where that is known and asked for.
    pub served: Vec<String>,
    /// The model went out as the client wrote it.
    pub is_clients: bool,
}

impl Explain {
    /// `error` as it came from the provider, in words. To be used once for each error.
    ///
    /// A sentence that begins with "the upstream" gets the provider's name instead. What Claude
    /// Code finds by its wording stays in it.
    pub fn explain(&self, error: Error) -> Error {
        match error {
            // Nobody has been asked yet.
            error if self.provider.is_empty() => error,
            Error::Protocol { cause, reason } => {
                Error::Protocol { cause, reason: self.named(&reason) }
            }
            Error::Upstream { status, cause, message, retry } => {
                let cause = match cause {
                    Cause::ModelUnknown if self.is_clients => Cause::ClientModel,
                    cause => cause,
                };
                let message = self.worded(status, cause, &message);
                Error::Upstream { status, cause, message, retry }
            }
            other => other,
        }
    }

    /// `; it serves A, B and 7 more`
    fn serves(&self) -> String {
        const SHOWN: usize = 8;
        let names: Vec<&str> = self.served.iter().take(SHOWN).map(String::as_str).collect();
        match (names.len(), self.served.len() - names.len()) {
            (0, _) => String::new(),
            (_, 0) => format!("; it serves {}", names.join(", ")),
            (_, more) => format!("; it serves {} and {more} more", names.join(", ")),
        }
    }

    fn named(&self, text: &str) -> String {
        match text.strip_prefix("the upstream") {
            Some(rest) => format!("{}{rest}", self.provider),
            None => text.to_owned(),
        }
    }

    fn worded(&self, status: u16, cause: Cause, said: &str) -> String {
        let Explain { provider, base_url, model, keys, .. } = self;
        let check = |variable: &str| match variable {
            "" => String::new(),
            name => format!("; check {name}"),
        };
        let whole = said;
        let said = whole.trim_end_matches(['.', ' ']);
        match cause {
            // Claude Code knows them by their beginning.
            Cause::ContextOverflow => whole.to_owned(),
            Cause::KeyRefused if !self.has_key && keys.is_empty() => {
                format!("{provider} refuses a request without a key: {said}")
            }
            Cause::KeyRefused if !self.has_key => {
                format!("{provider} refuses a request without a key: {said}; set {keys}")
            }
            Cause::KeyRefused if status == 403 && !said.to_lowercase().contains("key") => {
                format!("{provider} refuses access: {said}{}", check(keys))
            }
            Cause::KeyRefused => format!("{provider} refuses its key: {said}{}", check(keys)),
            Cause::Billing => {
                let plan = match self.plan {
                    "" => String::new(),
                    plan => format!("; a key of its plan is for PROVIDER={plan}"),
                };
                format!("{provider} wants money: {said}{}{plan}", check(keys))
            }
            Cause::ClientModel => {
                let serves = self.serves();
                format!(
                    "{provider} does not know the model {model}, which the request names: \
                     {said}{serves}"
                )
            }
            Cause::ModelUnknown => {
                // The list knows better than the row, which is of another day.
                let nearest = self.served.iter().find(|served| *served != model);
                let is_served = self.served.is_empty()
                    || self.served.iter().any(|served| served == self.example);
                let example = match (self.example, nearest) {
                    (example, _) if is_served && !matches!(example, "") && example != model => {
                        format!(", for instance {example}")
                    }
                    (_, Some(nearest)) => format!(", for instance {nearest}"),
                    _ => String::new(),
                };
                let mend = match &*self.model_variable {
                    "" => String::new(),
                    name => format!("; set {name}{example}"),
                };
                let serves = self.serves();
                format!("{provider} does not know the model {model}{mend} ({said}){serves}")
            }
            Cause::NotTheApi => format!(
                "{provider}: {base_url} answers {status}, \"{}\", which is no answer of its API{}",
                beginning(said),
                check(&self.base_url_variable)
            ),
            _ if whole.starts_with("the upstream") => self.named(whole),
            _ => format!("{provider}: {whole}"),
        }
    }
}

/// The first words of a body that is something else than expected, without the tags of a page.
pub fn first_words(body: &[u8]) -> String {
    beginning(&without_keys(&plain_text(&String::from_utf8_lossy(body))))
}

/// The beginning of a text, for a quotation.
fn beginning(text: &str) -> String {
    const LENGTH: usize = 80;
    match text.char_indices().nth(LENGTH) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
