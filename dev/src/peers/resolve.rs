//! Finding a peer, or fetching it: [`find`] and [`fetch`] try the sources of [`Resolve`] in order.

use super::{Peer, PeerSource};
use crate::fetch::{self, Failure, apt, debian::Archive};
use std::cell::OnceCell;
use std::fmt;
use std::path::Path;

/// A peer that can be found or fetched.
pub(super) trait Resolve: Sized {
    const PEER: Peer;
    /// Its sources, the preferred one first.
    fn sources() -> &'static [PeerSource];
    /// Tries one of these sources.
    fn attempt(source: PeerSource, fetcher: &Fetcher<'_>) -> Result<Self, Failure>;
}

/// The sources of a program that Debian has a package of. Root gets it installed like any other program; nobody else's
/// system is changed where a copy in the cache is as good.
pub(super) fn debian_sources() -> &'static [PeerSource] {
    if apt::is_root() {
        &[
            PeerSource::System,
            PeerSource::Cached,
            PeerSource::Apt,
            PeerSource::Deb,
        ]
    } else {
        &[
            PeerSource::System,
            PeerSource::Cached,
            PeerSource::Deb,
            PeerSource::Apt,
        ]
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

/// No source has the peer.
#[derive(Debug)]
pub struct Missing {
    pub peer: Peer,
    pub tried: Vec<(PeerSource, Failure)>,
}

impl std::error::Error for Missing {}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tried: Vec<_> = self
            .tried
            .iter()
            .map(|(source, failure)| format!("{source}: {failure}"))
            .collect();
        write!(f, "{} not found ({})", self.peer, tried.join("; "))
    }
}

/// Looks for a peer on this machine.
pub(super) fn find<T: Resolve>(cache: &Path, forced: Option<PeerSource>) -> Result<T, Missing> {
    let local: Vec<_> = T::sources()
        .iter()
        .copied()
        .filter(|source| source.is_local())
        // A person who forces the unpacked copy means to test that one, not the system's.
        .filter(|source| forced != Some(PeerSource::Deb) || *source == PeerSource::Cached)
        .collect();
    first::<T>(&local, &Fetcher::new(cache)).map(|(_, found)| found)
}

/// Finds a peer or fetches it, and says which source it came from.
pub(super) fn fetch<T: Resolve>(
    fetcher: &Fetcher<'_>,
    forced: Option<PeerSource>,
) -> Result<(PeerSource, T), Missing> {
    let sources = T::sources();
    match forced {
        // What these fetch goes into the cache, and is fetched once.
        Some(source @ (PeerSource::Deb | PeerSource::Pip)) if sources.contains(&source) => {
            first(&[PeerSource::Cached, source], fetcher)
        }
        Some(source) if sources.contains(&source) => first(&[source], fetcher),
        _ => first(sources, fetcher),
    }
}

fn first<T: Resolve>(
    sources: &[PeerSource],
    fetcher: &Fetcher<'_>,
) -> Result<(PeerSource, T), Missing> {
    let attempt = |source| T::attempt(source, fetcher).map(|found| (source, found));
    fetch::first_that_works(sources, attempt).map_err(|tried| Missing {
        peer: T::PEER,
        tried,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Found by the source that it names, if that is tried.
    struct OnlyBy<const SOURCE: u8>;

    impl<const SOURCE: u8> Resolve for OnlyBy<SOURCE> {
        const PEER: Peer = Peer::Dovecot;

        fn sources() -> &'static [PeerSource] {
            &[
                PeerSource::System,
                PeerSource::Cached,
                PeerSource::Apt,
                PeerSource::Deb,
            ]
        }

        fn attempt(source: PeerSource, _: &Fetcher<'_>) -> Result<Self, Failure> {
            let works = source == Self::sources()[usize::from(SOURCE)];
            works
                .then_some(Self)
                .ok_or_else(|| Failure(format!("no {source} here")))
        }
    }

    const BY_APT: u8 = 2;
    const BY_DEB: u8 = 3;

    fn source<const SOURCE: u8>(forced: Option<PeerSource>) -> Result<PeerSource, String> {
        let fetcher = Fetcher::new(Path::new("/nowhere"));
        fetch::<OnlyBy<SOURCE>>(&fetcher, forced)
            .map(|(source, _)| source)
            .map_err(|missing| missing.to_string())
    }

    #[test]
    fn forced_way_is_the_only_one_unless_the_peer_does_not_have_it() {
        assert_eq!(source::<BY_DEB>(None), Ok(PeerSource::Deb));
        assert_eq!(source::<BY_DEB>(Some(PeerSource::Deb)), Ok(PeerSource::Deb));
        assert_eq!(
            source::<BY_DEB>(Some(PeerSource::Apt)),
            Err("Dovecot not found (apt: no apt here)".to_owned())
        );
        assert_eq!(source::<BY_APT>(Some(PeerSource::Pip)), Ok(PeerSource::Apt));
    }

    #[test]
    fn test_only_looks_at_this_machine() {
        let found = find::<OnlyBy<BY_DEB>>(Path::new("/nowhere"), None);
        let missing = found.err().map(|missing| missing.to_string());
        assert_eq!(
            missing.as_deref(),
            Some("Dovecot not found (system: no system here; cache: no cache here)")
        );
    }
}
