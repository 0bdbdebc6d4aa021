//! Prometheus and promtool, for the checks of dashboards and rules. See [`Prometheus`].

use super::resolve::{Fetcher, Resolve, announce, debian_sources};
use super::{Peer, PeerSource};
use crate::fetch::{Failure, apt};
use crate::run::run;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

const PACKAGES: [&str; 1] = ["prometheus"];

/// Two programs that run here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prometheus {
    pub server: PathBuf,
    pub promtool: PathBuf,
}

impl Prometheus {
    fn in_folder(folder: &Path) -> Result<Self, Failure> {
        let [server, promtool] = ["prometheus", "promtool"].map(|name| folder.join(name));
        for program in [&server, &promtool] {
            run(Command::new(program).arg("--version"))
                .map_err(|error| Failure::from_error(&error))?;
        }
        Ok(Self { server, promtool })
    }

    fn of_the_system() -> Result<Self, Failure> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folder = std::env::split_paths(&path)
            .chain(["/usr/bin", "/usr/local/bin"].map(PathBuf::from))
            .find(|folder| folder.join("prometheus").is_file())
            .ok_or_else(|| Failure("no prometheus in PATH".to_owned()))?;
        Self::in_folder(&folder)
    }

    fn in_cache(cache: &Path) -> Result<Self, Failure> {
        Self::in_folder(&place(cache).join("usr/bin"))
    }
}

impl fmt::Display for Prometheus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.server.display().fmt(f)
    }
}

impl Resolve for Prometheus {
    const PEER: Peer = Peer::Prometheus;

    fn sources() -> &'static [PeerSource] {
        debian_sources()
    }

    fn attempt(source: PeerSource, fetcher: &Fetcher<'_>) -> Result<Self, Failure> {
        match source {
            PeerSource::System => Self::of_the_system(),
            PeerSource::Cached => Self::in_cache(fetcher.cache),
            PeerSource::Apt => {
                apt::install(&PACKAGES, &apt::keep_stopped(&["prometheus"]), || {
                    announce(
                        Self::PEER,
                        "installing the Debian package (its service stays off)",
                    );
                })?;
                Self::of_the_system()
            }
            PeerSource::Deb => {
                let archive = fetcher.archive()?;
                announce(Self::PEER, "fetching the Debian package (20 MB)");
                archive.unpack(&PACKAGES, &place(fetcher.cache), |_| Ok(()))?;
                Self::in_cache(fetcher.cache)
            }
            PeerSource::Pip => Err(Failure("there is no Python package of it".to_owned())),
        }
    }
}

fn place(cache: &Path) -> PathBuf {
    cache.join("deb-prometheus")
}
