//! Unpacking Debian packages into the cache, without root and without touching the system. See [`Archive`].
//!
//! apt resolves the dependencies and verifies the signatures. The versions are those of the system's release, so that
//! the programs run on its C library; they cannot be pinned, because the archive keeps only the newest of each.

use super::{Failure, keep, unfinished};
use crate::run::{RunError, run};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// What the system's package sources offer, as downloaded now. Needs `apt-get` and `dpkg-deb`.
pub(crate) struct Archive {
    folder: TempDir,
    cache: PathBuf,
    /// Why the lists could not be downloaded completely; this matters only if a package is not found.
    complaint: Option<RunError>,
}

/// Web pages of a server and the like, which no test opens.
const UNUSED: [&str; 2] = ["libjs-", "fonts-"];

impl Archive {
    /// Downloads the package lists into a temporary folder: those of the system may be missing or out of date.
    pub(crate) fn open(cache: &Path) -> Result<Self, Failure> {
        if run(Command::new("apt-get").arg("--version")).is_err() {
            return Err(Failure("there is no apt-get here".to_owned()));
        }
        let folder = unfinished(cache)?;
        for sub in ["lists/partial", "archives/partial"] {
            fs::create_dir_all(folder.path().join(sub)).map_err(Failure::writing(cache))?;
        }
        let mut archive = Self {
            folder,
            cache: cache.to_owned(),
            complaint: None,
        };
        archive.complaint = run(archive.apt_get().args(["-qq", "update"])).err();
        Ok(archive)
    }

    /// Unpacks packages and those of their dependencies that the system lacks into `place`; `finish` may change the
    /// files before they are moved there.
    pub(crate) fn unpack(
        &self,
        packages: &[&str],
        place: &Path,
        finish: impl FnOnce(&Path) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let plan = run(self
            .apt_get()
            .args(["--simulate", "--no-install-recommends", "install"])
            .args(packages))
        .map_err(|error| self.explain(error))?;
        let mut names = missing_packages(&plan);
        // One that is installed already is not in the plan, and is unpacked all the same.
        names.extend(packages.iter().map(ToString::to_string));
        let fresh = unfinished(&self.cache)?;
        let downloads = fresh.path().join("downloads");
        fs::create_dir(&downloads).map_err(Failure::writing(&downloads))?;
        run(self
            .apt_get()
            .args(["-qq", "download"])
            .args(&names)
            .current_dir(&downloads))
        .map_err(|error| self.explain(error))?;
        let root = fresh.path().join("root");
        fs::create_dir(&root).map_err(Failure::writing(&root))?;
        for entry in downloads
            .read_dir()
            .map_err(Failure::writing(&downloads))?
            .flatten()
        {
            run(Command::new("dpkg-deb")
                .arg("--extract")
                .arg(entry.path())
                .arg(&root))
            .map_err(|error| Failure::from_error(&error))?;
        }
        finish(&root)?;
        keep(&root, place)
    }

    fn apt_get(&self) -> Command {
        let folder = self.folder.path().display();
        let mut command = Command::new("apt-get");
        command
            .arg(format!("-oDir::State::Lists={folder}/lists"))
            .arg(format!("-oDir::Cache={folder}"))
            .arg("-oAcquire::Languages=none")
            // apt's own user could not write to a folder of ours.
            .arg("-oAPT::Sandbox::User=root")
            .env("LC_ALL", "C");
        command
    }

    fn explain(&self, error: RunError) -> Failure {
        let failure = Failure::from_error(&error);
        match &self.complaint {
            Some(complaint) => Failure(format!(
                "{failure}; the package lists could not be downloaded: {complaint}"
            )),
            None => failure,
        }
    }
}

/// Reads names from the lines `Inst name (version source)` of a simulated installation.
fn missing_packages(plan: &str) -> BTreeSet<String> {
    plan.lines()
        .filter_map(|line| line.strip_prefix("Inst ")?.split_whitespace().next())
        .filter(|name| !UNUSED.iter().any(|unused| name.starts_with(unused)))
        .map(str::to_owned)
        .collect()
}

/// A value for `LD_LIBRARY_PATH`: every folder below `root` that holds a shared library.
pub(crate) fn library_path(root: &Path) -> String {
    let mut folders = BTreeSet::new();
    collect_library_folders(root, &mut folders);
    let shown: Vec<_> = folders
        .iter()
        .map(|folder| folder.display().to_string())
        .collect();
    shown.join(":")
}

fn collect_library_folders(folder: &Path, found: &mut BTreeSet<PathBuf>) {
    for entry in folder.read_dir().into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect_library_folders(&entry.path(), found);
        } else if entry.file_name().to_string_lossy().contains(".so") {
            found.insert(folder.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planned_packages_are_those_that_a_test_can_use() {
        let plan = "NOTE: This is only a simulation!\nInst libwrap0 (7.6.q-32 Debian:12.14/oldstable [amd64])\n\
                    Inst libjs-d3 (3.5 Debian [all])\nInst dovecot-core (1:2.3 Debian [amd64]) []\nConf libwrap0 (7.6)\n";
        let names: Vec<_> = missing_packages(plan).into_iter().collect();
        assert_eq!(names, ["dovecot-core", "libwrap0"]);
    }

    #[test]
    fn library_path_holds_every_folder_with_libraries() {
        let root = tempfile::tempdir().unwrap();
        for file in ["usr/lib/x/liba.so.1", "usr/lib/x/modules/b.so", "usr/bin/c"] {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let root = root.path().display();
        assert_eq!(
            library_path(root.to_string().as_ref()),
            format!("{root}/usr/lib/x:{root}/usr/lib/x/modules")
        );
    }
}
