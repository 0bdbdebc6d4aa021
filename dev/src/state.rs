//! What a running `cargo dev up` tells the other commands. See [`Published`] and [`running`].
//!
//! The file is locked as long as its writer lives, so a stale one cannot be mistaken for a running system, whatever
//! became of its process. It holds the database's password and is for its owner's eyes only.

use crate::places::Places;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// Where a running system is reached.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reach {
    pub pid: u32,
    /// For example `http://127.0.0.1:8080`.
    pub api: String,
    pub database_url: String,
    /// The folder of the Postgres that serves it, if it is one of ours.
    pub bin: Option<PathBuf>,
}

/// The right to be the one running system of this checkout, until it is dropped.
#[derive(Debug)]
pub struct Published {
    file: File,
}

/// The state file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("could not read or write {}", .path.display())]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "`cargo dev` is running already (process {pid}): stop it first, or use it: `cargo dev triage`, `psql` and `session` find it"
    )]
    Running { pid: String },
}

impl Published {
    /// Becomes the one running system of this checkout.
    ///
    /// # Errors
    /// When another one is running.
    pub fn claim(places: &Places) -> Result<Self, StateError> {
        let path = path(places);
        let at = |source| StateError::File {
            path: path.clone(),
            source,
        };
        // Not truncated: if another one runs, this is its file.
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
                let pid = read(places)
                    .map_or_else(|| "starting".to_owned(), |reach| reach.pid.to_string());
                return Err(StateError::Running { pid });
            }
            Err(TryLockError::Error(source)) => return Err(at(source)),
        }
        Ok(Self { file })
    }

    /// Tells the other commands where to find the system.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn tell(&mut self, places: &Places, reach: &Reach) -> Result<(), StateError> {
        let text = serde_json::to_string(reach).expect("strings and numbers become JSON");
        self.file
            .write_all(text.as_bytes())
            .map_err(|source| StateError::File {
                path: path(places),
                source,
            })
    }
}

/// The running system of this checkout, if there is one and it is ready.
pub fn running(places: &Places) -> Option<Reach> {
    let file = File::open(path(places)).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => read(places),
        Ok(()) | Err(TryLockError::Error(_)) => None,
    }
}

fn read(places: &Places) -> Option<Reach> {
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

    fn reach() -> Reach {
        Reach {
            pid: 7,
            api: "http://127.0.0.1:1".into(),
            database_url: "postgres://x".into(),
            bin: None,
        }
    }

    #[test]
    fn a_running_system_is_found_and_cannot_be_claimed_again() {
        let (_root, places) = places();
        let mut published = Published::claim(&places).unwrap();
        assert!(running(&places).is_none(), "it is not ready yet");
        published.tell(&places, &reach()).unwrap();
        assert_eq!(running(&places).unwrap().pid, 7);
        let second = Published::claim(&places).unwrap_err().to_string();
        assert!(second.contains("process 7"), "{second}");
    }

    #[test]
    fn what_a_dead_system_left_behind_is_nobody() {
        let (_root, places) = places();
        let mut published = Published::claim(&places).unwrap();
        published.tell(&places, &reach()).unwrap();
        drop(published);
        assert!(running(&places).is_none());
        assert!(Published::claim(&places).is_ok());
    }
}
