//! Fetching into the cache what a fresh machine lacks: shared by Postgres and by the peers of the tests.
//!
//! Each source has a file; [`first_that_works`] tries them in order. What is fetched lies under a temporary
//! name until it is complete, so that an interrupted run leaves nothing behind that looks usable.

pub(crate) mod apt;
pub(crate) mod debian;
pub(crate) mod python;

use std::fs::{self, File};
use std::io;
use std::path::Path;
use tempfile::TempDir;

/// Why one source did not work.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub String);

impl Failure {
    pub(crate) fn from_error(error: &(dyn std::error::Error + 'static)) -> Self {
        Self(base::telemetry::chain(error))
    }

    pub(crate) fn writing(folder: &Path) -> impl Fn(io::Error) -> Self {
        move |error| Self(format!("could not write to {}: {error}", folder.display()))
    }
}

/// Folders that are being fetched into have this prefix until they are complete.
const UNFINISHED: &str = "fetching-";

/// Locks the cache until the value is dropped, and removes what a killed run left unfinished.
///
/// Two processes that find nothing would fetch the same files at once; the second waits and finds the first's.
pub(crate) fn lock(cache: &Path) -> io::Result<File> {
    let file = File::create(cache.join("lock"))?;
    file.lock()?;
    // Nobody else writes here while we hold the lock.
    for entry in cache.read_dir()?.flatten() {
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(file)
}

/// Makes a folder to fetch into; it is removed with the value.
pub(crate) fn unfinished(cache: &Path) -> Result<TempDir, Failure> {
    tempfile::Builder::new()
        .prefix(UNFINISHED)
        .tempdir_in(cache)
        .map_err(Failure::writing(cache))
}

/// Moves a complete folder to its place, where it replaces an older one.
pub(crate) fn keep(complete: &Path, place: &Path) -> Result<(), Failure> {
    let replaced = match fs::remove_dir_all(place) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => fs::rename(complete, place),
    };
    replaced.map_err(Failure::writing(place))
}

/// Tries the sources in order and returns the first result, or each source with the reason why it failed.
pub(crate) fn first_that_works<Source: Copy, Found>(
    sources: &[Source],
    mut attempt: impl FnMut(Source) -> Result<Found, Failure>,
) -> Result<Found, Vec<(Source, Failure)>> {
    let mut tried = Vec::new();
    for &source in sources {
        match attempt(source) {
            Ok(found) => return Ok(found),
            Err(failure) => tried.push((source, failure)),
        }
    }
    Err(tried)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lock_removes_unfinished_folders_and_nothing_else() {
        let cache = tempfile::tempdir().unwrap();
        for name in ["fetching-1", "kept"] {
            fs::create_dir(cache.path().join(name)).unwrap();
        }
        drop(lock(cache.path()).unwrap());
        assert!(!cache.path().join("fetching-1").exists() && cache.path().join("kept").exists());
    }

    #[test]
    fn complete_folder_replaces_an_older_one() {
        let cache = tempfile::tempdir().unwrap();
        let place = cache.path().join("place");
        for text in ["old", "new"] {
            let fresh = unfinished(cache.path()).unwrap();
            let complete = fresh.path().join("complete");
            fs::create_dir(&complete).unwrap();
            fs::write(complete.join("file"), text).unwrap();
            keep(&complete, &place).unwrap();
        }
        assert_eq!(fs::read_to_string(place.join("file")).unwrap(), "new");
    }

    #[test]
    fn first_way_that_works_ends_the_search() {
        let mut tried = Vec::new();
        let found = first_that_works(&[1, 2, 3], |source| {
            tried.push(source);
            (source == 2).then_some("found").ok_or(Failure("no".into()))
        });
        assert_eq!((found.unwrap(), tried), ("found", vec![1, 2]));
    }
}
