//! Installing Debian packages into the system. See [`install`]. Works as root and where sudo asks for no password.

use super::Failure;
use crate::run::run;
use nix::unistd::Uid;
use std::process::Command;

/// Whether packages can be installed here.
fn refuse_without_rights() -> Result<(), Failure> {
    if run(Command::new("apt-get").arg("--version")).is_err() {
        return Err(Failure("there is no apt-get here".to_owned()));
    }
    if !is_root() && run(Command::new("sudo").args(["-n", "true"])).is_err() {
        return Err(Failure(
            "not root, and `sudo -n` is not allowed here".to_owned(),
        ));
    }
    Ok(())
}

pub(crate) fn is_root() -> bool {
    Uid::effective().is_root()
}

/// Installs packages after running the shell commands of `before`; calls `announce` once it is clear that it may.
pub(crate) fn install(
    packages: &[&str],
    before: &str,
    announce: impl FnOnce(),
) -> Result<(), Failure> {
    refuse_without_rights()?;
    announce();
    // A source that is out of reach makes `update` fail and need not matter: `install` says whether it does.
    let script = format!(
        "set -e; {before}\nexport DEBIAN_FRONTEND=noninteractive; apt-get update -qq || true\n\
         apt-get install -y -qq --no-install-recommends {}",
        packages.join(" ")
    );
    let mut command = if is_root() {
        Command::new("sh")
    } else {
        let mut sudo = Command::new("sudo");
        sudo.args(["-n", "sh"]);
        sudo
    };
    run(command.args(["-c", &script])).map_err(|error| Failure::from_error(&error))?;
    Ok(())
}

/// Shell commands for `before` that keep a package from starting its service, now and when the machine boots: tests
/// start servers of their own on loopback, and nobody asked for one that listens to the network.
pub(crate) fn keep_stopped(services: &[&str]) -> String {
    use std::fmt::Write;
    let mut script = String::from(
        "policy=/usr/sbin/policy-rc.d; if [ ! -e $policy ]; then \
         trap 'rm -f /usr/sbin/policy-rc.d' EXIT; printf '#!/bin/sh\\nexit 101\\n' > $policy; chmod 755 $policy; fi\n\
         mkdir -p /etc/systemd/system\n",
    );
    for service in services {
        let unit = format!("/etc/systemd/system/{service}.service");
        // Writing to a string cannot fail.
        let _ = writeln!(script, "[ -e {unit} ] || ln -sf /dev/null {unit}");
    }
    script
}
