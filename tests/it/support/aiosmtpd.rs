//! A real mail server for one test: [`Aiosmtpd`] keeps what it gets as files, which the test reads, and misbehaves as told.

use super::certificates::Certificates;
use dev::smtp_sink::Received;
use serde_json::Value;
use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Stdio},
};
use tempfile::TempDir;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/it/support/keep_mail.py");

/// A running server; it ends with its value.
pub(crate) struct Aiosmtpd {
    child: Child,
    pub(crate) port: u16,
    folder: TempDir,
}

impl Aiosmtpd {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Speaks encrypted only, in the one way or the other.
    pub(crate) fn start_encrypted(security: &str, certificates: &Certificates) -> Self {
        let (certificate, key) = (certificates.certificate(), certificates.key());
        Self::start_with(&[security.as_ref(), certificate.as_os_str(), key.as_os_str()])
    }

    fn start_with(args: &[&OsStr]) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the emails");
        let python = dev::peers::python_servers().unwrap_or_else(|error| panic!("{error}"));
        let mut child = python
            .command()
            .arg(SCRIPT)
            .arg(folder.path())
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("start python3");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("it was piped");
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("its port");
        let port = line.trim().parse().expect("a port");
        Self {
            child,
            port,
            folder,
        }
    }

    /// What goes wrong with the next connections, one word for each; see the script.
    pub(crate) fn misbehave(&self, faults: &[&str]) {
        fs::write(self.folder.path().join("faults"), faults.join("\n")).expect("write the faults");
    }

    /// The emails that it has, in the order in which they came.
    pub(crate) fn received(&self) -> Vec<Received> {
        let files = fs::read_dir(self.folder.path()).expect("read the folder");
        let mut names: Vec<_> = files
            .map(|file| file.expect("a file").path())
            .filter(|path| path.extension().is_some_and(|end| end == "json"))
            .collect();
        names.sort();
        names.iter().map(|name| read(name)).collect()
    }
}

fn read(file: &Path) -> Received {
    let text = fs::read_to_string(file).expect("read an email");
    let mail: Value = serde_json::from_str(&text).expect("as the script wrote it");
    let word = |value: &Value| value.as_str().expect("a text").to_owned();
    Received {
        from: word(&mail["from"]),
        to: mail["to"]
            .as_array()
            .expect("a list")
            .iter()
            .map(word)
            .collect(),
        text: word(&mail["text"]),
    }
}

impl Drop for Aiosmtpd {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
