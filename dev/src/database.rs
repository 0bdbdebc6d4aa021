//! `cargo dev psql` and `cargo dev session`: open the database of the running system, else the development database.

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

/// The database is unusable.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Place(#[from] PlaceError),
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error(
        "no psql found beside this Postgres or in PATH; install it, for example with apt-get install postgresql-client"
    )]
    NoPsql(#[source] io::Error),
    #[error("could not open a development session")]
    Mint(#[from] MintError),
}

/// The database and, if needed, its cluster.
pub(crate) struct Database {
    pub(crate) url: String,
    bin: Option<PathBuf>,
    /// A cluster started for this command; it stops on drop.
    own: Option<Cluster>,
}

/// Opens `psql` with these arguments and returns its exit code.
///
/// # Errors
/// If there is no database or no `psql`.
pub async fn psql(args: Vec<String>) -> Result<u8, DatabaseError> {
    let database = find().await?;
    let beside = database
        .bin
        .as_ref()
        .map(|bin| bin.join("psql"))
        .filter(|path| path.is_file());
    let mut psql = Command::new(beside.unwrap_or_else(|| "psql".into()));
    let (url, password) = without_password(&database.url);
    // In the environment, because every user of the machine can read arguments.
    if let Some(password) = password {
        psql.env("PGPASSWORD", password);
    }
    // Ctrl-C must cancel a query in psql without ending this process.
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
/// If there is no database, or it fails.
pub async fn session() -> Result<u8, DatabaseError> {
    let database = find().await?;
    if database.own.is_some() {
        // The database may be new.
        session::migrate(&database.url).await?;
    }
    let minted = session::mint(&database.url).await?;
    say::line(minted.token.expose());
    Ok(0)
}

/// Finds the database of the running system, that of `DATABASE_URL`, or the development database, which it starts.
///
/// # Errors
/// If there is none.
pub(crate) async fn find() -> Result<Database, DatabaseError> {
    let (config, places) = (Config::from_process()?, Places::of_this_workspace()?);
    if let Some(endpoints) = state::running(&places) {
        return Ok(Database {
            url: endpoints.database_url,
            bin: endpoints.bin,
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

/// Removes the password from a connection URL. Returns an invalid URL unchanged, for psql to report.
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

/// Decodes percent-encoding; invalid codes stay unchanged.
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
    fn password_is_removed_from_the_arguments() {
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
