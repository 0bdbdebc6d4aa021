//! libfaketime, which sets the clocks of the chaos run's workers wrong. See [`Libfaketime`].

use super::Peer;
use super::debian::{DebianPeer, file};
use crate::fetch::Failure;
use std::fmt;
use std::path::{Path, PathBuf};

/// A library for `LD_PRELOAD`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Libfaketime {
    pub library: PathBuf,
}

impl Libfaketime {
    /// Where Debian's package puts it, below `/` or the folder it was unpacked into.
    fn below(root: &Path) -> Result<Self, Failure> {
        let arch = std::env::consts::ARCH;
        let name = format!("usr/lib/{arch}-linux-gnu/faketime/libfaketimeMT.so.1");
        let library = file(root, &name)?;
        Ok(Self { library })
    }
}

impl fmt::Display for Libfaketime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.library.display().fmt(f)
    }
}

impl DebianPeer for Libfaketime {
    const PEER: Peer = Peer::Libfaketime;
    const NAME: &'static str = "libfaketime";
    const PACKAGES: &'static [&'static str] = &["libfaketime"];
    const SERVICES: &'static [&'static str] = &[];

    fn of_the_system() -> Result<Self, Failure> {
        Self::below(Path::new("/"))
    }

    fn unpacked(root: &Path) -> Result<Self, Failure> {
        Self::below(root)
    }
}
