//! Postgres from the distribution's packages, the last resort: it changes the system. See [`install`].
//! Only as root or where sudo asks for no password.

use super::binaries::{Binaries, BinarySource};
use super::system;
use crate::fetch::{Failure, apt};

/// Kept before the packages arrive, so that installing them starts no server of the system's own.
const NO_MAIN_CLUSTER: &str = "mkdir -p /etc/postgresql-common/createcluster.d \
    && echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.d/postroom.conf";

/// Installs the package `postgresql`.
pub(super) fn install() -> Result<Binaries, Failure> {
    let already = system::find(None);
    if let Ok(found) = already {
        return Ok(Binaries {
            source: BinarySource::Apt,
            ..found
        });
    }
    apt::install(&["postgresql"], NO_MAIN_CLUSTER, || {
        eprintln!("Installing Postgres with apt-get …");
    })?;
    let found = system::find(None)?;
    Ok(Binaries {
        source: BinarySource::Apt,
        ..found
    })
}
