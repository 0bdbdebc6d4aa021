//! The state file by which other commands find a running `cargo dev up`. See [`StateFile`] and [`running`].
//!
//! The file is locked while its writer lives, so that a stale one is never mistaken for a running system. It contains the
//! database's password and is readable by its owner only.

use crate::places::Places;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// The addresses of a running system.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Endpoints {
    pub pid: u32,
    /// For example `http://127.0.0.1:8080`.
    pub api: String,
    pub database_url: String,
    /// The folder of its Postgres binaries, if `cargo dev` started it.
    pub bin: Option<PathBuf>,
}

/// The lock of the one running system of this checkout, until it is dropped.
#[derive(Debug)]
pub struct StateFile {
    file: File,
}

/// The state file is unusable.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("could not read or write {}", .path.display())]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "`cargo dev` is already running (process {pid}); stop it first, or use it with `cargo dev triage`, `psql` or `session`"
    )]
    Running { pid: String },
}

impl StateFile {
    /// Locks the state file for this process.
    ///
    /// # Errors
    /// If another system of this checkout is running.
    pub fn claim(places: &Places) -> Result<Self, StateError> {
        let path = path(places);
        let at = |source| StateError::File {
            path: path.clone(),
            source,
        };
        // Not truncated, because it may belong to a running system.
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(at)?;
        match file.try_lock() {
            Ok(()) => file.set_len(0).map_err(at)?,
            Err(TryLockError::WouldBlock) => {
                let pid = read(places).map_or_else(
                    || "starting".to_owned(),
                    |endpoints| endpoints.pid.to_string(),
                );
                return Err(StateError::Running { pid });
            }
            Err(TryLockError::Error(source)) => return Err(at(source)),
        }
        Ok(Self { file })
    }

    /// Writes the addresses for other commands.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn publish(&mut self, places: &Places, endpoints: &Endpoints) -> Result<(), StateError> {
        let text = serde_json::to_string(endpoints).expect("strings and numbers become JSON");
        self.file
            .write_all(text.as_bytes())
            .map_err(|source| StateError::File {
                path: path(places),
                source,
            })
    }
}

/// Returns the running system of this checkout, if it is ready.
pub fn running(places: &Places) -> Option<Endpoints> {
    let file = File::open(path(places)).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => read(places),
        Ok(()) | Err(TryLockError::Error(_)) => None,
    }
}

fn read(places: &Places) -> Option<Endpoints> {
    serde_json::from_slice(&fs::read(path(places)).ok()?).ok()
}

fn path(places: &Places) -> PathBuf {
    places.dev.join("up.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> (tempfile::TempDir, Places) {
        let root = tempfile::tempdir().unwrap();
        let at = root.path().to_owned();
        let places = Places {
            workspace: at.clone(),
            dev: at.clone(),
            cache: at.clone(),
            clusters: at.clone(),
            throw_away: at,
        };
        (root, places)
    }

    fn endpoints() -> Endpoints {
        Endpoints {
            pid: 7,
            api: "http://127.0.0.1:1".into(),
            database_url: "postgres://x".into(),
            bin: None,
        }
    }

    #[test]
    fn running_system_is_found_and_cannot_be_claimed_again() {
        let (_root, places) = places();
        let mut state_file = StateFile::claim(&places).unwrap();
        assert!(running(&places).is_none(), "it is not ready yet");
        state_file.publish(&places, &endpoints()).unwrap();
        assert_eq!(running(&places).unwrap().pid, 7);
        let second = StateFile::claim(&places).unwrap_err().to_string();
        assert!(second.contains("process 7"), "{second}");
    }

    #[test]
    fn state_file_of_a_dead_system_is_ignored() {
        let (_root, places) = places();
        let mut state_file = StateFile::claim(&places).unwrap();
        state_file.publish(&places, &endpoints()).unwrap();
        drop(state_file);
        assert!(running(&places).is_none());
        assert!(StateFile::claim(&places).is_ok());
    }
}
