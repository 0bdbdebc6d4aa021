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
    current: RwLock<Arc<ServerConfig>>,
}

/// The files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("API_TLS_CERTIFICATE: could not read certificates from {}", path.display())]
    Certificate {
        path: PathBuf,
        #[source]
        source: pem::Error,
    },
    #[error("API_TLS_CERTIFICATE: {} holds no certificate", .0.display())]
    NoCertificate(PathBuf),
    #[error("API_TLS_KEY: could not read a private key from {}", path.display())]
    Key {
        path: PathBuf,
        #[source]
        source: pem::Error,
    },
    #[error("API_TLS_KEY: the key cannot be used with the certificate")]
    Mismatch(#[source] rustls::Error),
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
        let config = self.files.read()?;
        *self
            .current
            .write()
            .expect("no holder of this lock can panic") = config;
        Ok(())
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let current = self.current.read();
        let config = current.expect("no holder of this lock can panic").clone();
        TlsAcceptor::from(config)
    }
}

impl TlsFiles {
    fn read(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let unreadable = |source| TlsError::Certificate {
            path: self.certificate.clone(),
            source,
        };
        let chain = CertificateDer::pem_file_iter(&self.certificate)
            .map_err(unreadable)?
            .collect::<Result<Vec<_>, _>>()
            .map_err(unreadable)?;
        if chain.is_empty() {
            return Err(TlsError::NoCertificate(self.certificate.clone()));
        }
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|source| TlsError::Key {
            path: self.key.clone(),
            source,
        })?;
        // Named, since no provider is installed for the process.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Mismatch)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(TlsError::Mismatch)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}
