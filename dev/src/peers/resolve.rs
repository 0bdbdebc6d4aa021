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
        // A person who forces the unpacked copy means to test that one, not the system's.
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
        // What these fetch goes into the cache, and is fetched once.
        Some(way @ (Way::Deb | Way::Pip)) if ways.contains(&way) => {
            first(&[Way::Cached, way], fetcher)
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Found in the way that it names, if that is tried.
    struct OnlyBy<const WAY: u8>;

    impl<const WAY: u8> Resolve for OnlyBy<WAY> {
        const PEER: Peer = Peer::Dovecot;

        fn ways() -> &'static [Way] {
            &[Way::System, Way::Cached, Way::Apt, Way::Deb]
        }

        fn attempt(way: Way, _: &Fetcher<'_>) -> Result<Self, Failure> {
            let works = way == Self::ways()[usize::from(WAY)];
            works
                .then_some(Self)
                .ok_or_else(|| Failure(format!("no {way} here")))
        }
    }

    const BY_APT: u8 = 2;
    const BY_DEB: u8 = 3;

    fn way<const WAY: u8>(forced: Option<Way>) -> Result<Way, String> {
        let fetcher = Fetcher::new(Path::new("/nowhere"));
        fetch::<OnlyBy<WAY>>(&fetcher, forced)
            .map(|(way, _)| way)
            .map_err(|missing| missing.to_string())
    }

    #[test]
    fn a_forced_way_is_the_only_one_unless_the_peer_does_not_have_it() {
        assert_eq!(way::<BY_DEB>(None), Ok(Way::Deb));
        assert_eq!(way::<BY_DEB>(Some(Way::Deb)), Ok(Way::Deb));
        assert_eq!(
            way::<BY_DEB>(Some(Way::Apt)),
            Err("Dovecot not found (apt: no apt here)".to_owned())
        );
        assert_eq!(way::<BY_APT>(Some(Way::Pip)), Ok(Way::Apt));
    }

    #[test]
    fn a_test_only_looks_at_this_machine() {
        let found = find::<OnlyBy<BY_DEB>>(Path::new("/nowhere"), None);
        let missing = found.err().map(|missing| missing.to_string());
        assert_eq!(
            missing.as_deref(),
            Some("Dovecot not found (system: no system here; cache: no cache here)")
        );
    }
}
