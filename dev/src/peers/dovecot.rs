//! Dovecot, the IMAP server of the tests: the system's, or a Debian package that was unpacked. See [`Dovecot`].
//!
//! A Debian build expects its files in `/usr`. Almost every path is a setting ([`Dovecot::settings`]); the two that
//! are not are made relative when the package is unpacked, so that Dovecot finds them below the folder that it runs in
//! ([`Dovecot::command`]).

use super::Peer;
use super::debian::{DebianPeer, file, program};
use crate::fetch::{Failure, debian::library_path};
use crate::run::run;
use std::fmt::{self, Write};
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// In the folder that a package was unpacked into.
const PROGRAM: &str = "usr/sbin/dovecot";
const LIBRARY: &str = "usr/lib/dovecot/libdovecot.so.0";

/// Paths that are compiled in and are no settings: where the TLS module lies, and the program that reads settings.
const COMPILED_IN: [&str; 2] = ["/usr/lib/dovecot/modules", "/usr/bin/doveconf"];

/// A Dovecot that runs here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dovecot {
    program: PathBuf,
    /// The folder that it was unpacked into.
    unpacked: Option<PathBuf>,
    pub syntax: Syntax,
}

/// Which settings it knows: 2.4 renamed most of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syntax {
    V2_3,
    V2_4,
}

impl Dovecot {
    /// A command that runs it in `base_dir`, its folder for sockets, which must exist.
    ///
    /// # Errors
    /// When the link to the unpacked files cannot be made there.
    pub fn command(&self, base_dir: &Path) -> io::Result<Command> {
        if let Some(root) = &self.unpacked {
            symlink(root.join("usr"), base_dir.join("usr"))?;
        }
        let mut command = self.bare_command();
        command.current_dir(base_dir);
        Ok(command)
    }

    /// Settings that its configuration has to contain.
    pub fn settings(&self) -> String {
        let Some(root) = &self.unpacked else {
            return String::new();
        };
        let libexec = root.join("usr/lib/dovecot");
        let libexec = libexec.display();
        let mut settings = format!(
            "libexec_dir = {libexec}\nmail_plugin_dir = {libexec}/modules\n\
             login_plugin_dir = {libexec}/modules/login\n"
        );
        // Writing to a string cannot fail.
        let _ = match self.syntax {
            Syntax::V2_3 => writeln!(
                settings,
                "import_environment = $import_environment LD_LIBRARY_PATH"
            ),
            Syntax::V2_4 => writeln!(
                settings,
                "import_environment {{\n  LD_LIBRARY_PATH = {}\n}}",
                library_path(root)
            ),
        };
        settings
    }

    fn bare_command(&self) -> Command {
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
            syntax: Syntax::V2_3,
        };
        let version = run(found.bare_command().arg("--version"))
            .map_err(|error| Failure::from_error(&error))?;
        found.syntax = Syntax::of_version(&version).ok_or_else(|| {
            let version = version.trim();
            Failure(format!(
                "{} is Dovecot {version}; the tests can configure 2.3 and 2.4",
                found.program.display()
            ))
        })?;
        Ok(found)
    }

    /// The one that an earlier run unpacked into this cache.
    ///
    /// # Errors
    /// When there is none, or it does not run.
    pub fn in_cache(cache: &Path) -> Result<Self, Failure> {
        <Self as DebianPeer>::in_cache(cache)
    }
}

impl Syntax {
    fn of_version(version: &str) -> Option<Self> {
        let is = |minor| version.starts_with(minor);
        is("2.3.")
            .then_some(Self::V2_3)
            .or_else(|| is("2.4.").then_some(Self::V2_4))
    }
}

impl fmt::Display for Dovecot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.program.display().fmt(f)
    }
}

impl DebianPeer for Dovecot {
    const PEER: Peer = Peer::Dovecot;
    const NAME: &'static str = "dovecot";
    const PACKAGES: &'static [&'static str] = &["dovecot-core", "dovecot-imapd"];
    const SERVICES: &'static [&'static str] = &["dovecot"];
    const SIZE: &'static str = " (6 MB)";

    fn of_the_system() -> Result<Self, Failure> {
        Self::checked(program("dovecot")?, None)
    }

    fn unpacked(root: &Path) -> Result<Self, Failure> {
        Self::checked(file(root, PROGRAM)?, Some(root.to_owned()))
    }

    fn finish(root: &Path) -> Result<(), Failure> {
        make_paths_relative(root)
    }
}

fn make_paths_relative(root: &Path) -> Result<(), Failure> {
    let library = root.join(LIBRARY);
    let failure = Failure::writing(&library);
    let mut bytes = fs::read(&library).map_err(&failure)?;
    for path in COMPILED_IN {
        drop_leading_slash(&mut bytes, path)
            .ok_or_else(|| Failure(format!("{} does not contain {path}", library.display())))?;
    }
    fs::write(&library, bytes).map_err(&failure)
}

/// Makes a string of a C program relative in its place; one byte shorter, it ends with two zeros.
fn drop_leading_slash(bytes: &mut [u8], path: &str) -> Option<()> {
    let wanted = [b"\0", path.as_bytes(), b"\0"].concat();
    let start = bytes
        .windows(wanted.len())
        .position(|window| window == wanted)?;
    let text = &mut bytes[start + 1..start + wanted.len()];
    text.rotate_left(1);
    let end = text.len() - 2..;
    text[end].fill(0);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compiled_in_path_becomes_relative_and_nothing_moves() {
        let mut bytes = b"a\0/usr/bin/doveconf-x\0/usr/bin/doveconf\0b".to_vec();
        drop_leading_slash(&mut bytes, "/usr/bin/doveconf").unwrap();
        assert_eq!(bytes, b"a\0/usr/bin/doveconf-x\0usr/bin/doveconf\0\0b");
        assert_eq!(drop_leading_slash(&mut bytes, "/usr/bin/doveconf"), None);
    }

    #[test]
    fn versions_other_than_those_the_tests_configure_are_refused() {
        assert_eq!(
            Syntax::of_version("2.3.19.1 (9b53102964)\n"),
            Some(Syntax::V2_3)
        );
        assert_eq!(
            Syntax::of_version("2.4.1-4 (7d8c0e5759)\n"),
            Some(Syntax::V2_4)
        );
        assert_eq!(Syntax::of_version("2.2.36 (1f10bfa63)\n"), None);
    }
}
