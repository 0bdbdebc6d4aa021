//! libfaketime, which sets the clocks of the chaos run's workers wrong. See [`Libfaketime`].

use super::resolve::{Fetcher, Resolve, announce, debian_sources};
use super::{Peer, PeerSource};
use crate::fetch::{Failure, apt};
use std::fmt;
use std::path::{Path, PathBuf};

const PACKAGES: [&str; 1] = ["libfaketime"];

/// A library for `LD_PRELOAD`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Libfaketime {
    pub library: PathBuf,
}

impl Libfaketime {
    /// Where Debian's package puts it, below `/` or the folder it was unpacked into.
    fn below(root: &Path) -> Result<Self, Failure> {
        let arch = std::env::consts::ARCH;
        let library = root.join(format!(
            "usr/lib/{arch}-linux-gnu/faketime/libfaketimeMT.so.1"
        ));
        if library.is_file() {
            Ok(Self { library })
        } else {
            Err(Failure(format!("{} does not exist", library.display())))
        }
    }
}

impl fmt::Display for Libfaketime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.library.display().fmt(f)
    }
}

impl Resolve for Libfaketime {
    const PEER: Peer = Peer::Libfaketime;

    fn sources() -> &'static [PeerSource] {
        debian_sources()
    }

    fn attempt(source: PeerSource, fetcher: &Fetcher<'_>) -> Result<Self, Failure> {
        match source {
            PeerSource::System => Self::below(Path::new("/")),
            PeerSource::Cached => Self::below(&place(fetcher.cache)),
            PeerSource::Apt => {
                apt::install(&PACKAGES, "", || {
                    announce(Self::PEER, "installing the Debian package");
                })?;
                Self::below(Path::new("/"))
            }
            PeerSource::Deb => {
                let archive = fetcher.archive()?;
                announce(Self::PEER, "fetching the Debian package");
                archive.unpack(&PACKAGES, &place(fetcher.cache), |_| Ok(()))?;
                Self::below(&place(fetcher.cache))
            }
            PeerSource::Pip => Err(Failure("there is no Python package of it".to_owned())),
        }
    }
}

fn place(cache: &Path) -> PathBuf {
    cache.join("deb-libfaketime")
}
