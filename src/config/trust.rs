//! Whom to trust on the way to a provider, and as whom to speak there: files, which are read when
//! the client is set up.

use super::reader::Reader;
use super::settings::*;

/// A file or a directory, and what messages call the setting that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of its fields say it")]
pub struct Named {
    pub variable: String,
    pub path: String,
}

/// The certificate authorities to trust.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of its fields say it")]
pub struct Authorities {
    /// Beside those of the files, that of Mozilla's list that is built in.
    pub has_built_in: bool,
    pub files: Vec<Named>,
    pub directory: Option<Named>,
}

/// What a provider wants to see that knows its clients by a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of its fields say it")]
pub struct ClientCertificate {
    /// Its chain, its own first.
    pub certificate: Named,
    pub key: Named,
}

impl Reader<'_, '_> {
    /// OpenSSL's variables say whom to trust instead of the built-in authorities, ours whom beside
    /// them.
    pub(super) fn authorities(&self) -> Authorities {
        let file = self.named(&CERTIFICATES);
        let directory = self.named(&CERTIFICATES_DIRECTORY);
        let has_built_in = file.is_none() && directory.is_none();
        let extra = self.named(&EXTRA_AUTHORITIES);
        Authorities { has_built_in, files: file.into_iter().chain(extra).collect(), directory }
    }

    /// Both files, or a problem.
    pub(super) fn client_certificate(&mut self) -> Option<ClientCertificate> {
        match (self.named(&CLIENT_CERTIFICATE), self.named(&CLIENT_KEY)) {
            (Some(certificate), Some(key)) => Some(ClientCertificate { certificate, key }),
            (None, None) => None,
            (Some(Named { variable, .. }), None) => {
                self.problem(format!("{variable}: it needs its key too, in <P>_CLIENT_KEY"));
                None
            }
            (None, Some(Named { variable, .. })) => {
                self.problem(format!(
                    "{variable}: it needs its certificate too, in <P>_CLIENT_CERT"
                ));
                None
            }
        }
    }

    fn named(&self, setting: &Setting) -> Option<Named> {
        self.get(setting).map(|(variable, path)| Named { variable, path })
    }
}
