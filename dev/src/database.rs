//! `cargo dev psql` and `cargo dev session`: into the running system's database, or into the kept one.

use crate::config::Config;
use crate::places::{PlaceError, Places};
use crate::postgres::{Cluster, ClusterError, DATABASE};
use crate::say;
use crate::session::{self, MintError};
use crate::stack::kept_cluster;
use crate::state;
use base::env::ConfigError;
use reqwest::Url;
use std::io;
use std::path::PathBuf;
use tokio::process::Command;

/// The database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Place(#[from] PlaceError),
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error("there is no psql beside this Postgres nor in PATH: apt-get install postgresql-client")]
    NoPsql(#[source] io::Error),
    #[error("could not open a development session")]
    Mint(#[from] MintError),
}

/// The database, and the cluster that has to live as long as it is used.
struct Database {
    url: String,
    bin: Option<PathBuf>,
    /// Started for this command alone; stops when it is dropped.
    own: Option<Cluster>,
}

/// Opens `psql` with these arguments and returns its exit code.
///
/// # Errors
/// When there is no database or no `psql`.
pub async fn psql(args: Vec<String>) -> Result<u8, DatabaseError> {
    let database = find().await?;
    let beside = database
        .bin
        .as_ref()
        .map(|bin| bin.join("psql"))
        .filter(|path| path.is_file());
    let mut psql = Command::new(beside.unwrap_or_else(|| "psql".into()));
    let (url, password) = without_password(&database.url);
    // In the environment: arguments can be read by every user of the machine.
    if let Some(password) = password {
        psql.env("PGPASSWORD", password);
    }
    // Ctrl-C cancels a query; it must not end us under psql's feet.
    let _interrupts = crate::signals::Interrupts::catch();
    let status = psql
        .arg(url)
        .args(args)
        .status()
        .await
        .map_err(DatabaseError::NoPsql)?;
    Ok(status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .unwrap_or(1))
}

/// Prints a new token of the development tenant's owner.
///
/// # Errors
/// When there is no database, or it refuses.
pub async fn session() -> Result<u8, DatabaseError> {
    let database = find().await?;
    if database.own.is_some() {
        // Nothing else may have been done with it yet.
        session::migrate(&database.url).await?;
    }
    let minted = session::mint(&database.url).await?;
    say::line(minted.token.expose());
    Ok(0)
}

async fn find() -> Result<Database, DatabaseError> {
    let (config, places) = (Config::from_process()?, Places::of_this_workspace()?);
    if let Some(reach) = state::running(&places) {
        return Ok(Database {
            url: reach.database_url,
            bin: reach.bin,
            own: None,
        });
    }
    if let Some(url) = config.database_url {
        return Ok(Database {
            url,
            bin: None,
            own: None,
        });
    }
    let cluster = kept_cluster(&places).await?;
    let (url, bin) = (cluster.url(DATABASE), Some(cluster.bin_dir().to_owned()));
    Ok(Database {
        url,
        bin,
        own: Some(cluster),
    })
}

/// Takes the password out of a connection URL; one that does not parse is left to psql to complain about.
fn without_password(url: &str) -> (String, Option<String>) {
    let Ok(mut parsed) = Url::parse(url) else {
        return (url.to_owned(), None);
    };
    let password = parsed.password().map(decoded);
    if parsed.set_password(None).is_err() {
        return (url.to_owned(), None);
    }
    (parsed.into(), password)
}

/// Undoes percent-encoding; what is no valid code stands for itself.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let code = (first == b'%').then(|| tail.get(..2)).flatten();
        let code =
            code.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        bytes.push(code.unwrap_or(first));
        rest = if code.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_does_not_stay_in_the_arguments() {
        let (url, password) =
            without_password("postgres://me:p%40ss%2@127.0.0.1:5/x?sslmode=disable");
        assert_eq!(url, "postgres://me@127.0.0.1:5/x?sslmode=disable");
        assert_eq!(password.as_deref(), Some("p@ss%2"));
        assert_eq!(
            without_password("host=x dbname=y"),
            ("host=x dbname=y".to_owned(), None)
        );
    }
}
