//! Finding a peer, or fetching it: [`find`] and [`fetch`] try the ways of [`Resolve`] in order.

use super::{Peer, Way};
use crate::fetch::{self, Failure, apt, debian::Archive};
use std::cell::OnceCell;
use std::fmt;
use std::path::Path;

/// A peer that can be found or fetched.
pub(super) trait Resolve: Sized {
    const PEER: Peer;
    /// Its ways, the preferred one first.
    fn ways() -> &'static [Way];
    /// Tries one of these ways.
    fn attempt(way: Way, fetcher: &Fetcher<'_>) -> Result<Self, Failure>;
}

/// The ways of a program that Debian has a package of. Root gets it installed like any other program; nobody else's
/// system is changed where a copy in the cache is as good.
pub(super) fn debian_ways() -> &'static [Way] {
    if apt::is_root() {
        &[Way::System, Way::Cached, Way::Apt, Way::Deb]
    } else {
        &[Way::System, Way::Cached, Way::Deb, Way::Apt]
    }
}

/// Downloads for several peers; the package lists are downloaded once, at the first need.
pub(super) struct Fetcher<'a> {
    pub(super) cache: &'a Path,
    archive: OnceCell<Result<Archive, String>>,
}

impl<'a> Fetcher<'a> {
    pub(super) fn new(cache: &'a Path) -> Self {
        Self {
            cache,
            archive: OnceCell::new(),
        }
    }

    /// The Debian archive, opened at the first call.
    pub(super) fn archive(&self) -> Result<&Archive, Failure> {
        let opened = self.archive.get_or_init(|| {
            eprintln!("test: Debian: downloading the package lists …");
            Archive::open(self.cache).map_err(|failure| failure.0)
        });
        opened.as_ref().map_err(|failure| Failure(failure.clone()))
    }
}

/// Says what is being done for a peer, which may take a while.
pub(super) fn announce(peer: Peer, text: &str) {
    eprintln!("test: {peer}: {text} …");
}

/// A peer could not be had in any way.
#[derive(Debug)]
pub struct Missing {
    pub peer: Peer,
    pub tried: Vec<(Way, Failure)>,
}

impl std::error::Error for Missing {}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tried: Vec<_> = self
            .tried
            .iter()
            .map(|(way, failure)| format!("{way}: {failure}"))
            .collect();
        write!(f, "{} not found ({})", self.peer, tried.join("; "))
    }
}

/// Looks for a peer on this machine.
pub(super) fn find<T: Resolve>(cache: &Path, forced: Option<Way>) -> Result<T, Missing> {
    let local: Vec<_> = T::ways()
        .iter()
        .copied()
        .filter(|way| way.is_local())
        // Whoever forces the unpacked copy means to test that one, not the system's.
        .filter(|way| forced != Some(Way::Deb) || *way == Way::Cached)
        .collect();
    first::<T>(&local, &Fetcher::new(cache)).map(|(_, found)| found)
}

/// Finds a peer or fetches it, and says which way it came.
pub(super) fn fetch<T: Resolve>(
    fetcher: &Fetcher<'_>,
    forced: Option<Way>,
) -> Result<(Way, T), Missing> {
    let ways = T::ways();
    match forced {
        Some(way) if ways.contains(&way) => first(&[way], fetcher),
        _ => first(ways, fetcher),
    }
}

fn first<T: Resolve>(ways: &[Way], fetcher: &Fetcher<'_>) -> Result<(Way, T), Missing> {
    let attempt = |way| T::attempt(way, fetcher).map(|found| (way, found));
    fetch::first_that_works(ways, attempt).map_err(|tried| Missing {
        peer: T::PEER,
        tried,
    })
}
