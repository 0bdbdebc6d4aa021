//! TLS for those without a proxy: [`Tls`], from a certificate and a key in PEM files, read again on SIGHUP.
//!
//! Connections keep what they began with. Files that cannot be used leave the former ones in place.

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
};
use std::{
    path::PathBuf,
    sync::{Arc, RwLock},
};
use tokio_rustls::TlsAcceptor;

/// Where the certificate chain and its key are.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// The certificate that is used for new connections.
pub struct Tls {
    files: TlsFiles,
    current: RwLock<Current>,
}

/// What was read from the files.
#[derive(Clone)]
struct Current {
    config: Arc<ServerConfig>,
    /// When the first certificate of the chain expires, in seconds since 1970.
    expires: i64,
}

/// The files cannot be used. Names no path: a key in place of its path must not be printed.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("the certificate cannot be read")]
    Certificate(#[source] pem::Error),
    #[error("the file holds no certificate")]
    NoCertificate,
    #[error("the certificate is not one of X.509")]
    NotX509(#[source] x509_parser::error::X509Error),
    #[error("the private key cannot be read")]
    Key(#[source] pem::Error),
    #[error("the key cannot be used with the certificate")]
    Mismatch(#[source] rustls::Error),
}

impl TlsError {
    /// Whether the key's file is at fault, and not the certificate's.
    pub fn is_of_key(&self) -> bool {
        matches!(self, Self::Key(_) | Self::Mismatch(_))
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// If they cannot be read or do not fit together.
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let current = RwLock::new(files.read()?);
        Ok(Self { files, current })
    }

    /// Reads the files again, for new connections.
    ///
    /// # Errors
    /// As [`Tls::load`]; the former certificate stays.
    pub fn reload(&self) -> Result<(), TlsError> {
        let read = self.files.read()?;
        *self
            .current
            .write()
            .expect("no holder of this lock can panic") = read;
        Ok(())
    }

    /// When the first certificate of the served chain expires, in seconds since 1970.
    pub(crate) fn expires(&self) -> i64 {
        self.current().expires
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current().config)
    }

    fn current(&self) -> Current {
        let current = self.current.read();
        current.expect("no holder of this lock can panic").clone()
    }
}

impl TlsFiles {
    fn read(&self) -> Result<Current, TlsError> {
        let chain = CertificateDer::pem_file_iter(&self.certificate)
            .map_err(TlsError::Certificate)?
            .collect::<Result<Vec<_>, _>>()
            .map_err(TlsError::Certificate)?;
        if chain.is_empty() {
            return Err(TlsError::NoCertificate);
        }
        let mut expires = i64::MAX;
        for certificate in &chain {
            let parsed = x509_parser::parse_x509_certificate(certificate);
            let (_, parsed) = parsed.map_err(|error| TlsError::NotX509(error.into()))?;
            expires = expires.min(parsed.validity().not_after.timestamp());
        }
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(TlsError::Key)?;
        // Named, since no provider is installed for the process.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Mismatch)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(TlsError::Mismatch)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let config = Arc::new(config);
        Ok(Current { config, expires })
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}
