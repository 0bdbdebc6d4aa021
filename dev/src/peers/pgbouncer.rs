//! PgBouncer, through which tests reach Postgres as many installations do. See [`PgBouncer`].

use super::resolve::{Fetcher, Resolve, announce, debian_sources};
use super::{Peer, PeerSource};
use crate::fetch::{Failure, apt, debian::library_path};
use crate::run::run;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

const PACKAGES: [&str; 1] = ["pgbouncer"];

/// In the folder that the package was unpacked into.
const PROGRAM: &str = "usr/sbin/pgbouncer";

/// A PgBouncer that runs here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PgBouncer {
    program: PathBuf,
    /// The folder that it was unpacked into.
    unpacked: Option<PathBuf>,
    /// Whether it keeps prepared statements in transaction mode, which 1.21 learned.
    pub keeps_prepared_statements: bool,
}

impl PgBouncer {
    /// A command that runs it.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        if let Some(root) = &self.unpacked {
            command.env("LD_LIBRARY_PATH", library_path(root));
        }
        command
    }

    fn checked(program: PathBuf, unpacked: Option<PathBuf>) -> Result<Self, Failure> {
        let mut found = Self {
            program,
            unpacked,
            keeps_prepared_statements: false,
        };
        let version =
            run(found.command().arg("--version")).map_err(|error| Failure::from_error(&error))?;
        let minor = minor_of(&version)
            .ok_or_else(|| Failure(format!("{version:?} is no version of PgBouncer 1")))?;
        found.keeps_prepared_statements = minor >= 21;
        Ok(found)
    }

    fn of_the_system() -> Result<Self, Failure> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let program = std::env::split_paths(&path)
            // Not in everybody's path.
            .chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from))
            .map(|folder| folder.join("pgbouncer"))
            .find(|program| program.is_file())
            .ok_or_else(|| Failure("no pgbouncer in PATH or /usr/sbin".to_owned()))?;
        Self::checked(program, None)
    }

    fn in_cache(cache: &Path) -> Result<Self, Failure> {
        let root = place(cache);
        let program = root.join(PROGRAM);
        if !program.is_file() {
            return Err(Failure(format!("{} does not exist", program.display())));
        }
        Self::checked(program, Some(root))
    }
}

fn minor_of(version: &str) -> Option<u32> {
    let number = version.strip_prefix("PgBouncer 1.")?;
    number.split(['.', '\n']).next()?.parse().ok()
}

impl fmt::Display for PgBouncer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.program.display().fmt(f)
    }
}

impl Resolve for PgBouncer {
    const PEER: Peer = Peer::PgBouncer;

    fn sources() -> &'static [PeerSource] {
        debian_sources()
    }

    fn attempt(source: PeerSource, fetcher: &Fetcher<'_>) -> Result<Self, Failure> {
        match source {
            PeerSource::System => Self::of_the_system(),
            PeerSource::Cached => Self::in_cache(fetcher.cache),
            PeerSource::Apt => {
                apt::install(&PACKAGES, &apt::keep_stopped(&["pgbouncer"]), || {
                    announce(
                        Self::PEER,
                        "installing the Debian package (its service stays off)",
                    );
                })?;
                Self::of_the_system()
            }
            PeerSource::Deb => {
                let archive = fetcher.archive()?;
                announce(Self::PEER, "fetching the Debian package");
                archive.unpack(&PACKAGES, &place(fetcher.cache), |_| Ok(()))?;
                Self::in_cache(fetcher.cache)
            }
            PeerSource::Pip => Err(Failure("there is no Python package of it".to_owned())),
        }
    }
}

fn place(cache: &Path) -> PathBuf {
    cache.join("deb-pgbouncer")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_is_read_from_the_first_line() {
        assert_eq!(minor_of("PgBouncer 1.18.0\nlibevent 2.1.12\n"), Some(18));
        assert_eq!(minor_of("PgBouncer 1.24\n"), Some(24));
        assert_eq!(minor_of("pgpool 4.5\n"), None);
    }
}
