//! Postgres that is installed already. See [`find`]. Installs nothing.

use super::binaries::{Binaries, BinarySource, OLDEST};
use crate::fetch::Failure;
use crate::run::run;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The first usable folder of: `$PGBIN`, `pg_config --bindir`, Debian's folders (newest version first), `PATH`.
pub(super) fn find(pgbin: Option<&Path>) -> Result<Binaries, Failure> {
    let mut refusals = Vec::new();
    for folder in candidates(pgbin) {
        match Binaries::in_folder(&folder, BinarySource::System) {
            Ok(binaries) => return Ok(binaries),
            // A folder without `postgres` is no news: most of PATH is like that.
            Err(failure) if folder.join("postgres").is_file() => refusals.push(failure.to_string()),
            Err(_) => {}
        }
    }
    let looked = "$PGBIN, `pg_config --bindir`, /usr/lib/postgresql/*/bin and PATH";
    let but = if refusals.is_empty() {
        String::new()
    } else {
        format!(" ({})", refusals.join("; "))
    };
    Err(Failure(format!(
        "no Postgres {OLDEST} or later in {looked}{but}"
    )))
}

fn candidates(pgbin: Option<&Path>) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = pgbin.map(Path::to_owned).into_iter().collect();
    if let Ok(said) = run(Command::new("pg_config").arg("--bindir")) {
        folders.push(PathBuf::from(said.trim()));
    }
    folders.extend(debian_folders(Path::new("/usr/lib/postgresql")));
    folders.extend(
        std::env::var_os("PATH")
            .iter()
            .flat_map(std::env::split_paths)
            .filter(|path| path.is_absolute()),
    );
    folders
}

/// Debian keeps every major version in a folder of its own, outside `PATH`.
fn debian_folders(root: &Path) -> Vec<PathBuf> {
    let Ok(entries) = root.read_dir() else {
        return Vec::new();
    };
    let mut versions: Vec<u32> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    versions.sort_unstable_by(|a, b| b.cmp(a));
    versions
        .into_iter()
        .map(|version| root.join(version.to_string()).join("bin"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn fake(folder: &Path, version: &str) {
        fs::create_dir_all(folder).unwrap();
        for name in ["postgres", "initdb"] {
            // Written by a shell: a file that this process had open for writing could not be run while another
            // thread's child still holds the handle it inherited (ETXTBSY).
            let script = format!("#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n");
            let write = r#"printf '%s' "$0" > "$1" && chmod 755 "$1""#;
            run(Command::new("sh")
                .args(["-c", write, &script])
                .arg(folder.join(name)))
            .unwrap();
        }
    }

    #[test]
    fn newest_of_debians_versions_comes_first() {
        let root = tempfile::tempdir().unwrap();
        for name in ["9.6", "15", "18", "common"] {
            fs::create_dir(root.path().join(name)).unwrap();
        }
        let expected = [root.path().join("18/bin"), root.path().join("15/bin")];
        assert_eq!(debian_folders(root.path()), expected);
    }

    #[test]
    fn pgbin_wins_unless_it_is_too_old() {
        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let (new, old) = (root.path().join("new"), root.path().join("old"));
        fake(&new, "99.1");
        fake(&old, "14.2");
        assert_eq!(find(Some(&new)).unwrap().major, 99);
        let refused = Binaries::in_folder(&old, BinarySource::System)
            .unwrap_err()
            .to_string();
        assert!(
            refused.ends_with("is Postgres 14.2, older than 15"),
            "{refused}"
        );
    }
}
