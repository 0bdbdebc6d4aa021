//! The folders of `cargo dev` on disk. See [`Places`]. Creates folders, never removes any.

use base::hex;
use nix::unistd::{Gid, Uid, User, chown};
use sha2::{Digest, Sha256};
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The folders of this workspace on this machine.
#[derive(Clone, Debug)]
pub struct Places {
    /// The checkout itself.
    pub workspace: PathBuf,
    /// State and logs that belong to the checkout: `.dev/`.
    pub dev: PathBuf,
    /// Fetched copies of Postgres, shared by every checkout of a root user.
    pub cache: PathBuf,
    /// Clusters that are kept between runs.
    pub clusters: PathBuf,
    /// Temporary clusters.
    pub throw_away: PathBuf,
}

/// The user that Postgres runs as; it refuses to run as root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunAs {
    pub uid: u32,
    pub gid: u32,
}

/// A folder is unusable.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    #[error("could not create or read the folder {}", .path.display())]
    Folder {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The path is predictable in a shared folder, so that another user may have created it first.
    #[error("{} belongs to user {owner}, or other users may write to it; remove it, then run again", .path.display())]
    Foreign { path: PathBuf, owner: u32 },
}

impl RunAs {
    /// Returns `nobody` for root; none for other users.
    pub fn for_this_user() -> Option<Self> {
        if !Uid::effective().is_root() {
            return None;
        }
        let nobody = User::from_name("nobody").ok().flatten();
        Some(nobody.map_or(
            Self {
                uid: 65534,
                gid: 65534,
            },
            |user| Self {
                uid: user.uid.into(),
                gid: user.gid.into(),
            },
        ))
    }
}

impl Places {
    /// Returns the folders of the checkout that this program was built from; creates missing ones.
    ///
    /// Databases of root are under `/var/tmp/postroom-0`, because `nobody` must be able to read them. Those of other users are
    /// in the checkout.
    ///
    /// # Errors
    /// If a folder cannot be created, or belongs to another user.
    pub fn of_this_workspace() -> Result<Self, PlaceError> {
        // Cargo sets the variable for `cargo run` and tests; a copied binary uses the path at build time.
        let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let workspace = manifest.parent().unwrap_or(&manifest).to_owned();
        let dev = workspace.join(".dev");
        let places = if Uid::effective().is_root() {
            let base = PathBuf::from("/var/tmp/postroom-0");
            make_folder(&base, 0o755)?;
            refuse_foreign(&base)?;
            let clusters = base.join(own_name(&workspace));
            let throw_away = base.join("throw-away");
            make_folder(&throw_away, 0o700)?;
            // The supervisor that removes leftovers of a killed process runs as `nobody` too.
            hand_over(&throw_away).map_err(at(&throw_away))?;
            Self {
                cache: base.join("cache"),
                clusters,
                throw_away,
                dev,
                workspace,
            }
        } else {
            let throw_away = std::env::temp_dir();
            Self {
                cache: dev.join("cache"),
                clusters: dev.join("clusters"),
                throw_away,
                dev,
                workspace,
            }
        };
        for folder in [&places.dev, &places.cache, &places.clusters] {
            make_folder(folder, 0o755)?;
        }
        Ok(places)
    }
}

/// Returns `name-1a2b3c4d`, which differs for checkouts with the same folder name.
fn own_name(workspace: &Path) -> String {
    let digest = Sha256::digest(workspace.as_os_str().as_encoded_bytes());
    let short = hex(&digest[..4]);
    let name = workspace.file_name().map_or_else(
        || "workspace".into(),
        |name| name.to_string_lossy().into_owned(),
    );
    format!("{name}-{short}")
}

/// Creates a folder and its parents.
pub(crate) fn make_folder(path: &Path, mode: u32) -> Result<(), PlaceError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(at(path))
}

/// Gives a file or folder to the user that Postgres runs as.
pub(crate) fn hand_over(path: &Path) -> io::Result<()> {
    match RunAs::for_this_user() {
        Some(RunAs { uid, gid }) => Ok(chown(
            path,
            Some(Uid::from_raw(uid)),
            Some(Gid::from_raw(gid)),
        )?),
        None => Ok(()),
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> PlaceError {
    move |source| PlaceError::Folder {
        path: path.to_owned(),
        source,
    }
}

fn refuse_foreign(path: &Path) -> Result<(), PlaceError> {
    let meta = fs::symlink_metadata(path).map_err(at(path))?;
    let ours = meta.is_dir() && meta.uid() == Uid::effective().as_raw() && meta.mode() & 0o022 == 0;
    if ours {
        Ok(())
    } else {
        Err(PlaceError::Foreign {
            path: path.to_owned(),
            owner: meta.uid(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkouts_with_the_same_name_have_separate_folders() {
        let (a, b) = (
            own_name(Path::new("/a/postroom")),
            own_name(Path::new("/b/postroom")),
        );
        assert!(a.starts_with("postroom-"), "{a}");
        assert_ne!(a, b);
    }

    #[test]
    fn folder_that_others_may_write_to_is_rejected() {
        let parent = tempfile::tempdir().unwrap();
        let open = parent.path().join("open");
        make_folder(&open, 0o755).unwrap();
        assert!(refuse_foreign(&open).is_ok());
        fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        assert!(matches!(
            refuse_foreign(&open),
            Err(PlaceError::Foreign { .. })
        ));
    }
}
