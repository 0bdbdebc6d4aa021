//! How many files and connections the process may open: [`raise`].

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::io;

/// Raises the soft limit of descriptors to the hard one; returns it. systemd's soft limit of 1,024 is for programs that use
/// `select`.
///
/// # Errors
/// If the kernel refuses.
pub fn raise() -> io::Result<usize> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(usize::try_from(hard).unwrap_or(usize::MAX))
}
