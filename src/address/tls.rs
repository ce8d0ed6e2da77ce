//! What a TLS connection is made with: PEM files of an engine, or PEM texts of a builder.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

use super::DialError;
use crate::secret::Secret;

/// Mutual TLS: each side shows a certificate to the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// Files, read at every connection: those of an engine.
    Files(TlsFiles),
    /// Texts that were read and checked: those of a builder.
    Texts(Box<TlsTexts>),
}

impl Tls {
    /// The name that the server's certificate must have, if that is not the host's.
    pub fn server_name(&self) -> Option<&str> {
        match self {
            Self::Files(_) => None,
            Self::Texts(texts) => texts.server_name.as_deref(),
        }
    }
}

/// The PEM files of a TLS connection, as `docker --tlsverify` names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// Authorities that may have signed the server's certificate.
    pub ca: PathBuf,
    /// Our certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// The PEM texts of a TLS connection. The key is in no text that is printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsTexts {
    /// Authorities that may have signed the server's certificate.
    pub ca: String,
    /// Our certificate, and what lies between it and an authority that the server knows.
    pub certificate: String,
    /// Its private key, not encrypted.
    pub key: Secret,
    /// The name that the server's certificate must have, if that is not the host's.
    pub server_name: Option<String>,
}

/// Why texts make no TLS connection.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The authorities.
    #[error("read the certificates of the authority")]
    Authority(#[source] Cause),
    /// Our certificate.
    #[error("read the certificate")]
    Certificate(#[source] Cause),
    /// Its key.
    #[error("read the private key")]
    Key(#[source] Cause),
    /// Each can be read, and they do not belong together.
    #[error("use the certificate with the private key")]
    Pair(#[source] rustls::Error),
    /// No name that a certificate can have.
    #[error("use the server's name")]
    ServerName(#[source] rustls::pki_types::InvalidDnsNameError),
}

/// What is wrong with a PEM text.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// Not PEM, or nothing of its kind in it.
    #[error(transparent)]
    Pem(#[from] rustls::pki_types::pem::Error),
    /// No certificate in it.
    #[error("there is no certificate in it")]
    Empty,
    /// PEM around something that is no certificate.
    #[error(transparent)]
    Content(#[from] rustls::Error),
}

impl TlsFiles {
    /// `ca.pem`, `cert.pem` and `key.pem` of a directory, as `DOCKER_CERT_PATH` means them.
    pub fn in_directory(directory: impl Into<PathBuf>) -> Self {
        let directory = directory.into();
        Self { ca: directory.join("ca.pem"), certificate: directory.join("cert.pem"), key: directory.join("key.pem") }
    }

    /// The configuration of mutual TLS: the server must be signed by `ca`, and we show our own certificate.
    ///
    /// # Errors
    /// [`DialError::Certificate`] names the file that cannot be used.
    pub fn client_config(&self) -> Result<ClientConfig, DialError> {
        let roots = self.roots()?;
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|error| file_error(&self.key, error))?;
        let certificates = file_certificates(&self.certificate)?;
        mutual(roots, certificates, key).map_err(|error| file_error(&self.certificate, error))
    }

    pub(crate) fn roots(&self) -> Result<RootCertStore, DialError> {
        let mut roots = RootCertStore::empty();
        for certificate in file_certificates(&self.ca)? {
            roots.add(certificate).map_err(|error| file_error(&self.ca, error))?;
        }
        Ok(roots)
    }
}

impl TlsTexts {
    /// The configuration of mutual TLS.
    ///
    /// # Errors
    /// [`TlsError`] says which text cannot be used.
    pub fn client_config(&self) -> Result<ClientConfig, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in text_certificates(&self.ca).map_err(TlsError::Authority)? {
            roots.add(certificate).map_err(|error| TlsError::Authority(error.into()))?;
        }
        let certificates = text_certificates(&self.certificate).map_err(TlsError::Certificate)?;
        let key = PrivateKeyDer::from_pem_slice(self.key.expose().as_bytes());
        let key = key.map_err(|error| TlsError::Key(error.into()))?;
        if let Some(name) = &self.server_name {
            ServerName::try_from(name.as_str()).map_err(TlsError::ServerName)?;
        }
        mutual(roots, certificates, key).map_err(TlsError::Pair)
    }
}

fn mutual(
    roots: RootCertStore,
    certificates: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ClientConfig, rustls::Error> {
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_client_auth_cert(certificates, key)
}

fn text_certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, Cause> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<_, _>>()?;
    if certificates.is_empty() { Err(Cause::Empty) } else { Ok(certificates) }
}

fn file_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, DialError> {
    CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(|error| file_error(path, error))
}

fn file_error(path: &Path, error: impl std::error::Error + Send + Sync + 'static) -> DialError {
    DialError::Certificate { path: path.to_owned(), source: Box::new(error) }
}

#[cfg(test)]
mod tests {
    use super::{Secret, TlsFiles, TlsTexts};
    use crate::error::chain;

    fn texts() -> TlsTexts {
        TlsTexts {
            ca: include_str!("../engine/testdata/ca.pem").to_owned(),
            certificate: include_str!("../engine/testdata/cert.pem").to_owned(),
            key: Secret::new(include_str!("../engine/testdata/key.pem")),
            server_name: Some("builder.example".to_owned()),
        }
    }

    #[test]
    fn names_the_certificate_that_is_missing() {
        let error = TlsFiles::in_directory("/nowhere").client_config().unwrap_err();
        assert_eq!(error.to_string(), "read the TLS file /nowhere/ca.pem");
    }

    #[test]
    fn says_which_text_is_wrong() {
        assert!(texts().client_config().is_ok());
        let stranger = Secret::new(include_str!("../engine/testdata/server.key"));
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned();
        for (texts, said) in [
            (
                TlsTexts { ca: "nothing".to_owned(), ..texts() },
                "read the certificates of the authority: there is no certificate in it",
            ),
            (TlsTexts { ca: broken, ..texts() }, "read the certificates of the authority: invalid peer certificate"),
            (TlsTexts { certificate: String::new(), ..texts() }, "read the certificate: there is no certificate in it"),
            (TlsTexts { key: Secret::new(texts().certificate), ..texts() }, "read the private key: no items found"),
            (
                TlsTexts { key: stranger, ..texts() },
                "use the certificate with the private key: keys may not be consist",
            ),
            (TlsTexts { server_name: Some("a b".to_owned()), ..texts() }, "use the server's name: invalid dns name"),
        ] {
            let error = chain(&texts.client_config().unwrap_err());
            assert!(error.starts_with(said), "{error}");
        }
    }

    #[test]
    fn the_key_is_in_no_text() {
        let text = format!("{:?}", texts());
        assert!(text.contains("BEGIN CERTIFICATE") && !text.contains("PRIVATE"), "{text}");
    }
}
