//! PgBouncer, through which tests reach Postgres as many installations do. See [`PgBouncer`].

use super::Peer;
use super::debian::{DebianPeer, file, program};
use crate::fetch::{Failure, debian::library_path};
use crate::run::run;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

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

impl DebianPeer for PgBouncer {
    const PEER: Peer = Peer::PgBouncer;
    const NAME: &'static str = "pgbouncer";
    const PACKAGES: &'static [&'static str] = &["pgbouncer"];
    const SERVICES: &'static [&'static str] = &["pgbouncer"];

    fn of_the_system() -> Result<Self, Failure> {
        Self::checked(program("pgbouncer")?, None)
    }

    fn unpacked(root: &Path) -> Result<Self, Failure> {
        Self::checked(file(root, PROGRAM)?, Some(root.to_owned()))
    }
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
