//! A certificate authority of one test: servers present what it signed, and a worker configured to trust it accepts them.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::{fs, path::PathBuf};
use tempfile::TempDir;

/// An authority, and a certificate of it for `localhost`; the files go with the value.
pub(crate) struct Certificates {
    folder: TempDir,
}

impl Certificates {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let own_key = KeyPair::generate().expect("a key");
        let own = authority.self_signed(&own_key).expect("sign for itself");
        let key = KeyPair::generate().expect("a key");
        let certificate = CertificateParams::new([String::from("localhost")])
            .expect("a name")
            .signed_by(&key, &Issuer::new(authority, own_key))
            .expect("sign for the server");
        for (name, text) in [
            ("authority.pem", own.pem()),
            ("certificate.pem", certificate.pem()),
            ("key.pem", key.serialize_pem()),
        ] {
            fs::write(folder.path().join(name), text).expect("write a certificate");
        }
        Self { folder }
    }

    /// What a program has to trust, as `SSL_CERT_FILE` names it.
    pub(crate) fn authority(&self) -> String {
        self.folder
            .path()
            .join("authority.pem")
            .display()
            .to_string()
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.path().join("certificate.pem")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }
}
