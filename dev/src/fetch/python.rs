//! A Python with pip, for packages from `PyPI`. See [`Python`]. Never installs a package into the system's Python.

use super::Failure;
use super::debian::{Archive, library_path};
use crate::run::run;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The Debian packages that [`Python::unpacked`] uses. Debian ships Python without pip; the second one holds pip as a
/// wheel, which Python runs as it is.
const PACKAGES: [&str; 2] = ["python3", "python3-pip-whl"];

/// An interpreter, of the system or unpacked into the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Python {
    program: PathBuf,
    library_path: Option<String>,
}

/// A pip that an interpreter runs.
pub(crate) enum Pip {
    Module,
    Wheel(PathBuf),
}

impl Python {
    /// The `python3` on the path.
    pub(crate) fn of_the_system() -> Result<Self, Failure> {
        Self {
            program: PathBuf::from("python3"),
            library_path: None,
        }
        .checked()
    }

    /// The `python3` of a folder that [`unpack`] filled, or the system's if that one was enough.
    pub(crate) fn unpacked(folder: &Path) -> Result<Self, Failure> {
        let program = folder.join("usr/bin/python3");
        if !program.exists() {
            return Self::of_the_system();
        }
        Self {
            program,
            library_path: Some(library_path(folder)),
        }
        .checked()
    }

    fn checked(self) -> Result<Self, Failure> {
        // An old one fails here and not with a message of pip about versions.
        let check =
            "import sys; sys.exit(sys.version_info < (3, 9) and 'Python 3.9 or later is needed')";
        run(self.command().args(["-c", check])).map_err(|error| Failure::from_error(&error))?;
        Ok(self)
    }

    /// A command that runs this interpreter.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        if let Some(path) = &self.library_path {
            command.env("LD_LIBRARY_PATH", path);
        }
        command
    }

    /// The pip that is installed beside this interpreter.
    pub(crate) fn pip(&self) -> Result<Pip, Failure> {
        run(self.command().args(["-m", "pip", "--version"]))
            .map_err(|error| Failure::from_error(&error))?;
        Ok(Pip::Module)
    }

    /// Installs packages into a folder of their own: exactly those listed, each held to its hash.
    pub(crate) fn install(
        &self,
        pip: &Pip,
        requirements: &str,
        target: &Path,
    ) -> Result<(), Failure> {
        let list = target.with_extension("requirements");
        fs::write(&list, requirements).map_err(Failure::writing(&list))?;
        let mut command = self.command();
        match pip {
            Pip::Module => command.args(["-m", "pip"]),
            Pip::Wheel(wheel) => command.arg(wheel.join("pip")),
        };
        command
            .args([
                "install",
                "--quiet",
                "--no-input",
                "--disable-pip-version-check",
            ])
            .args(["--no-deps", "--only-binary=:all:", "--require-hashes"])
            .arg("--requirement")
            .arg(&list)
            .arg("--target")
            .arg(target)
            // A constraint or a target of the user's own would contradict ours.
            .env_remove("PIP_CONSTRAINT")
            .env_remove("PIP_TARGET")
            .env("PIP_ROOT_USER_ACTION", "ignore");
        run(&mut command).map_err(|error| Failure::from_error(&error))?;
        Ok(())
    }
}

/// Unpacks pip, and Python if the system has none, into `folder`.
pub(crate) fn unpack(archive: &Archive, folder: &Path) -> Result<(Python, Pip), Failure> {
    let packages = if Python::of_the_system().is_ok() {
        &PACKAGES[1..]
    } else {
        &PACKAGES[..]
    };
    archive.unpack(packages, folder, |_| Ok(()))?;
    Ok((Python::unpacked(folder)?, wheel(folder)?))
}

/// Where [`unpack`] puts them.
pub(crate) fn place(cache: &Path) -> PathBuf {
    cache.join("deb-python")
}

fn wheel(folder: &Path) -> Result<Pip, Failure> {
    let wheels = folder.join("usr/share/python-wheels");
    let found = wheels
        .read_dir()
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .find(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("pip-"))
        });
    let missing = || Failure(format!("{} holds no pip", wheels.display()));
    found.map(Pip::Wheel).ok_or_else(missing)
}
