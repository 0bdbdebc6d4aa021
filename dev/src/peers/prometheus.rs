//! Prometheus and promtool, for the checks of dashboards and rules. See [`Prometheus`].

use super::Peer;
use super::debian::{DebianPeer, file, program};
use crate::fetch::Failure;
use crate::run::run;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Two programs that run here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prometheus {
    pub server: PathBuf,
    pub promtool: PathBuf,
}

impl Prometheus {
    fn checked(server: PathBuf) -> Result<Self, Failure> {
        let promtool = server.with_file_name("promtool");
        for program in [&server, &promtool] {
            run(Command::new(program).arg("--version"))
                .map_err(|error| Failure::from_error(&error))?;
        }
        Ok(Self { server, promtool })
    }
}

impl fmt::Display for Prometheus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.server.display().fmt(f)
    }
}

impl DebianPeer for Prometheus {
    const PEER: Peer = Peer::Prometheus;
    const NAME: &'static str = "prometheus";
    const PACKAGES: &'static [&'static str] = &["prometheus"];
    const SERVICES: &'static [&'static str] = &["prometheus"];
    const SIZE: &'static str = " (20 MB)";

    fn of_the_system() -> Result<Self, Failure> {
        Self::checked(program("prometheus")?)
    }

    fn unpacked(root: &Path) -> Result<Self, Failure> {
        Self::checked(file(root, "usr/bin/prometheus")?)
    }
}
