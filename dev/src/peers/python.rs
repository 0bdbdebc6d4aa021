//! aiosmtpd and Radicale, the tests' SMTP and `CalDAV` servers, in a Python environment of their own. See [`Servers`].

use super::resolve::{Fetcher, Resolve, announce};
use super::{Peer, PeerSource};
use crate::fetch::python::{self, Pip, Python};
use crate::fetch::{Failure, apt, keep, unfinished};
use crate::run::run;
use base::hex;
use sha2::{Digest, Sha256};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Every package with its version and hash, the dependencies included.
const REQUIREMENTS: &str = include_str!("../../requirements.txt");

/// An interpreter that can import both servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Servers {
    python: Python,
    /// The folder of the packages; none if the system has them.
    packages: Option<PathBuf>,
}

impl Servers {
    /// A command that runs the interpreter with these packages.
    pub fn command(&self) -> Command {
        let mut command = self.python.command();
        if let Some(packages) = &self.packages {
            // Before those of the system and of the user.
            command.env("PYTHONPATH", packages);
        }
        command
    }

    fn of_the_system() -> Result<Self, Failure> {
        let found = Self {
            python: Python::of_the_system()?,
            packages: None,
        };
        found.checked()
    }

    fn in_cache(cache: &Path) -> Result<Self, Failure> {
        let packages = place(cache);
        if !packages.is_dir() {
            return Err(Failure(format!("{} does not exist", packages.display())));
        }
        let found = Self {
            python: Python::unpacked(&python::place(cache))?,
            packages: Some(packages),
        };
        found.checked()
    }

    /// Finds the modules without running them, which would take longer than the rest of the start.
    fn checked(self) -> Result<Self, Failure> {
        let check = "import importlib.util as u, sys; \
             sys.exit(', '.join(m for m in ('aiosmtpd', 'radicale') if not u.find_spec(m)) or None)";
        run(self.command().args(["-c", check]))
            .map_err(|error| Failure(format!("Python packages are missing: {error}")))?;
        Ok(self)
    }

    fn fetch(python: &Python, pip: &Pip, cache: &Path) -> Result<Self, Failure> {
        announce(Self::PEER, "fetching from PyPI (3 MB)");
        let fresh = unfinished(cache)?;
        let target = fresh.path().join("packages");
        python.install(pip, REQUIREMENTS, &target)?;
        keep(&target, &place(cache))?;
        Self::in_cache(cache)
    }
}

impl fmt::Display for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.packages {
            Some(packages) => packages.display().fmt(f),
            None => f.write_str("the system's packages"),
        }
    }
}

impl Resolve for Servers {
    const PEER: Peer = Peer::PythonServers;

    /// What the system has comes last: its versions are any.
    fn sources() -> &'static [PeerSource] {
        &[
            PeerSource::Cached,
            PeerSource::Pip,
            PeerSource::Deb,
            PeerSource::Apt,
            PeerSource::System,
        ]
    }

    fn attempt(source: PeerSource, fetcher: &Fetcher<'_>) -> Result<Self, Failure> {
        let cache = fetcher.cache;
        match source {
            PeerSource::Cached => Self::in_cache(cache),
            PeerSource::System => Self::of_the_system(),
            PeerSource::Pip => {
                let python = Python::of_the_system()?;
                Self::fetch(&python, &python.pip()?, cache)
            }
            PeerSource::Deb => {
                let archive = fetcher.archive()?;
                announce(Self::PEER, "fetching pip from its Debian package");
                let (python, pip) = python::unpack(archive, &python::place(cache))?;
                Self::fetch(&python, &pip, cache)
            }
            PeerSource::Apt => {
                apt::install(&["python3", "python3-pip"], "", || {
                    announce(Self::PEER, "installing Python and pip");
                })?;
                let python = Python::of_the_system()?;
                Self::fetch(&python, &python.pip()?, cache)
            }
        }
    }
}

/// Named for the list, so that another list fetches anew.
fn place(cache: &Path) -> PathBuf {
    let digest = Sha256::digest(REQUIREMENTS);
    let short = hex(&digest[..4]);
    cache.join(format!("python-{short}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_is_held_to_one_version_and_hash() {
        let lines: Vec<_> = REQUIREMENTS
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty())
            .collect();
        for pair in lines.chunks(2) {
            let held = pair[0].contains("==") && pair[1].trim_start().starts_with("--hash=sha256:");
            assert!(held, "{pair:?}");
        }
    }
}
