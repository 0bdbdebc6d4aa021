//! Postgres from the distribution's packages, the last resort: it changes the system. See [`install`].
//! Only as root or where sudo asks for no password.

use super::resolve::{Binaries, Failure, Way};
use super::system;
use crate::run::run;
use nix::unistd::Uid;
use std::process::Command;

/// Kept before the packages arrive, so that installing them starts no server of the system's own.
const NO_MAIN_CLUSTER: &str = "mkdir -p /etc/postgresql-common/createcluster.d \
    && echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.d/postroom.conf";

/// Installs the package `postgresql`.
pub(super) fn install() -> Result<Binaries, Failure> {
    let already = system::find(None);
    if let Ok(found) = already {
        return Ok(Binaries {
            way: Way::Apt,
            ..found
        });
    }
    if run(Command::new("apt-get").arg("--version")).is_err() {
        return Err(Failure("there is no apt-get here".to_owned()));
    }
    if !Uid::effective().is_root() && run(Command::new("sudo").args(["-n", "true"])).is_err() {
        return Err(Failure("not root, and `sudo -n` may not do it".to_owned()));
    }
    eprintln!("Installing Postgres with apt-get …");
    let script = format!(
        "set -e; {NO_MAIN_CLUSTER}; export DEBIAN_FRONTEND=noninteractive; apt-get update -qq; \
         apt-get install -y -qq --no-install-recommends postgresql"
    );
    let mut command = if Uid::effective().is_root() {
        Command::new("sh")
    } else {
        Command::new("sudo")
    };
    if !Uid::effective().is_root() {
        command.args(["-n", "sh"]);
    }
    run(command.args(["-c", &script])).map_err(|error| Failure::from_error(&error))?;
    let found = system::find(None)?;
    Ok(Binaries {
        way: Way::Apt,
        ..found
    })
}
