//! TLS to a provider: whom to trust, and as whom to speak.
//!
//! rustls takes no certificate for a server's that may also sign others, which is what `openssl req
//! -x509` makes and what OpenSSL, curl and Go take for its names once it is trusted itself. ureq's
//! own connector has no place for another verifier, nor for authorities beside the built-in ones,
//! so the connection is wrapped here.

use std::fmt;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{
    WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore,
    SignatureScheme, StreamOwned,
};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, NextTimeout, Transport, TransportAdapter,
};

use super::buffers::GrowingBuffers;
use crate::config::{Authorities, ClientCertificate};

/// The settings of TLS for a provider.
///
/// # Errors
/// A sentence about the file that cannot be used.
pub(super) fn settings(
    authorities: &Authorities,
    own: Option<&ClientCertificate>,
) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(ring::default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let verifier = Arc::new(Verifier::new(authorities, algorithms)?);
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| format!("TLS cannot be set up: {e}"))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let config = match own {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let chain = certificates(&own.certificate.variable, &own.certificate.path)?;
            let (variable, path) = (&own.key.variable, &own.key.path);
            let pem = read(variable, path)?;
            let key = PrivateKeyDer::from_pem_slice(&pem)
                .map_err(|_| format!("{variable}: {path:?} holds no private key in PEM form"))?;
            builder.with_client_auth_cert(chain, key).map_err(|e| {
                let certificate = &own.certificate.variable;
                format!("{variable}: {path:?} is not the key of {certificate} ({e})")
            })?
        }
    };
    Ok(Arc::new(config))
}

fn read(variable: &str, path: &str) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|e| format!("{variable}: {path:?} cannot be read: {e}"))
}

/// The certificates of a file; what else stands in it, and what is broken, is passed over.
fn certificates(variable: &str, path: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let all = of_pem(&read(variable, path)?);
    if all.is_empty() {
        return Err(format!("{variable}: {path:?} holds no certificate in PEM form"));
    }
    Ok(all)
}

/// The certificates of all files of a directory, such as `/etc/ssl/certs`.
fn of_directory(variable: &str, path: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let failed = |e| format!("{variable}: {path:?} cannot be read: {e}");
    let mut files: Vec<_> =
        fs::read_dir(path).map_err(failed)?.flatten().map(|entry| entry.path()).collect();
    files.sort_unstable();
    let texts = files.iter().filter(|file| Path::is_file(file)).filter_map(|f| fs::read(f).ok());
    let mut all: Vec<_> = texts.flat_map(|text| of_pem(&text)).collect();
    // The usual directory has every certificate twice, by its name and by its hash.
    all.sort_unstable_by(|a, b| a.as_ref().cmp(b.as_ref()));
    all.dedup();
    if all.is_empty() {
        return Err(format!("{variable}: no file of {path:?} holds a certificate in PEM form"));
    }
    Ok(all)
}

fn of_pem(text: &[u8]) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(text).filter_map(Result::ok).collect()
}

/// Takes what the authorities have signed, and a server's own certificate that was named itself.
///
/// It takes the steps of rustls's own verifier, which would bring the reading of revocation lists
/// along, though there are none here.
#[derive(Debug)]
struct Verifier {
    roots: RootCertStore,
    named: Vec<CertificateDer<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    fn new(of: &Authorities, algorithms: WebPkiSupportedAlgorithms) -> Result<Verifier, String> {
        let mut named = Vec::new();
        for file in &of.files {
            named.extend(certificates(&file.variable, &file.path)?);
        }
        if let Some(directory) = &of.directory {
            named.extend(of_directory(&directory.variable, &directory.path)?);
        }
        let mut roots = RootCertStore::empty();
        if of.has_built_in {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        roots.add_parsable_certificates(named.iter().cloned());
        if roots.is_empty() {
            return Err("TLS cannot be set up: no root trust anchors were provided".to_owned());
        }
        Ok(Verifier { roots, named, algorithms })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let signed = verify_server_cert_signed_by_trust_anchor(
            &certificate,
            &self.roots,
            intermediates,
            now,
            self.algorithms.all,
        );
        match signed {
            // Its dates have been looked at before that.
            Err(rustls::Error::InvalidCertificate(fault))
                if is_of_an_authority(&fault) && self.named.contains(end_entity) => {}
            other => other?,
        }
        verify_server_name(&certificate, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Whether the only fault is that the certificate may sign others, as what `openssl req -x509`
/// makes by itself. webpki has no name for it that can be matched from here.
pub(super) fn is_of_an_authority(fault: &CertificateError) -> bool {
    fault.to_string().contains("CaUsedAsEndEntity")
}

/// Wraps connections to `https` URLs.
pub(super) struct TlsConnector(pub Arc<ClientConfig>);

impl<In: Transport> Connector<In> for TlsConnector {
    type Out = Either<In, TlsTransport>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let Some(transport) = chained else { return Ok(None) };
        if !details.needs_tls() || transport.is_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let host = details.uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host).map_err(|_| ureq::Error::HostNotFound)?;
        let mut connection = ClientConnection::new(Arc::clone(&self.0), name)?;
        let clock = Arc::clone(&details.current_time);
        let mut wire = TransportAdapter::new(transport.boxed(), clock);
        wire.set_timeout(details.timeout);
        connection.complete_io(&mut wire)?;
        let buffers = GrowingBuffers::new(details.config);
        Ok(Some(Either::B(TlsTransport { buffers, stream: StreamOwned::new(connection, wire) })))
    }
}

impl fmt::Debug for TlsConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsConnector")
    }
}

/// A connection within TLS.
pub(super) struct TlsTransport {
    buffers: GrowingBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsTransport")
    }
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.sock.set_timeout(timeout);
        Ok(self.stream.write_all(&self.buffers.output()[..amount])?)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.buffers.forget_output();
        self.stream.sock.set_timeout(timeout);
        let came = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(came);
        Ok(came > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.sock.get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}
