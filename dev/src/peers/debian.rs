//! Peers that Debian has packages of: [`DebianPeer`]. One is the system's, gets installed, or is unpacked into the cache.

use super::resolve::{Fetcher, Resolve, announce, debian_sources};
use super::{Peer, PeerSource};
use crate::fetch::{Failure, apt};
use std::path::{Path, PathBuf};

/// A peer of Debian packages.
pub(super) trait DebianPeer: Sized {
    const PEER: Peer;
    /// Names its folder in the cache.
    const NAME: &'static str;
    const PACKAGES: &'static [&'static str];
    /// Services of the packages, which are not started when they are installed.
    const SERVICES: &'static [&'static str];
    /// How much is downloaded, for the person who waits; empty if it is little.
    const SIZE: &'static str = "";

    /// Finds the system's.
    fn of_the_system() -> Result<Self, Failure>;

    /// Checks what was unpacked into a folder.
    fn unpacked(root: &Path) -> Result<Self, Failure>;

    /// Changes the files that were unpacked before they are kept.
    fn finish(_root: &Path) -> Result<(), Failure> {
        Ok(())
    }

    /// The one that an earlier run unpacked into this cache.
    fn in_cache(cache: &Path) -> Result<Self, Failure> {
        Self::unpacked(&Self::place(cache))
    }

    /// The folder in the cache that it is unpacked into.
    fn place(cache: &Path) -> PathBuf {
        cache.join(format!("deb-{}", Self::NAME))
    }
}

impl<T: DebianPeer> Resolve for T {
    const PEER: Peer = <T as DebianPeer>::PEER;

    fn sources() -> &'static [PeerSource] {
        debian_sources()
    }

    fn attempt(source: PeerSource, fetcher: &Fetcher<'_>) -> Result<Self, Failure> {
        let say = |text: &str| announce(<T as DebianPeer>::PEER, text);
        match source {
            PeerSource::System => T::of_the_system(),
            PeerSource::Cached => T::in_cache(fetcher.cache),
            PeerSource::Apt => {
                let (before, stays_off) = match T::SERVICES {
                    [] => (String::new(), ""),
                    services => (apt::keep_stopped(services), " (its service stays off)"),
                };
                apt::install(T::PACKAGES, &before, || {
                    say(&format!("installing the Debian package{stays_off}"));
                })?;
                T::of_the_system()
            }
            PeerSource::Deb => {
                let archive = fetcher.archive()?;
                say(&format!("fetching the Debian package{}", T::SIZE));
                archive.unpack(T::PACKAGES, &T::place(fetcher.cache), T::finish)?;
                T::in_cache(fetcher.cache)
            }
            PeerSource::Pip => Err(Failure("there is no Python package of it".to_owned())),
        }
    }
}

/// Finds a program of the system, also where not everybody's path leads.
pub(super) fn program(name: &str) -> Result<PathBuf, Failure> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/usr/local/sbin", "/usr/bin", "/usr/local/bin"];
    std::env::split_paths(&path)
        .chain(usual.map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
        .ok_or_else(|| Failure(format!("no {name} in PATH or /usr/sbin")))
}

/// A file of an unpacked package.
pub(super) fn file(root: &Path, name: &str) -> Result<PathBuf, Failure> {
    let file = root.join(name);
    if file.is_file() {
        Ok(file)
    } else {
        Err(Failure(format!("{} does not exist", file.display())))
    }
}
