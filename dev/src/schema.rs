//! `cargo dev schema`: writes `migrations/schema.sql`, the schema as the migrations leave it. See [`run`].
//!
//! Rendered from Postgres' catalog by a query of our own ([`catalog`]) and not by `pg_dump`, whose output differs between
//! its versions. The file is for reading; nothing executes it.

mod catalog;
mod render;

use crate::places::{PlaceError, Places};
use crate::postgres::{Cluster, ClusterError, Durability};
use crate::say;
use sqlx::{Connection, PgConnection};
use std::fs;
use std::io;
use std::path::PathBuf;

/// Where the file is, in the workspace.
pub const FILE: &str = "migrations/schema.sql";

/// The schema file was not written.
#[derive(Debug, thiserror::Error)]
pub enum SchemaFileError {
    #[error(transparent)]
    Place(#[from] PlaceError),
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error("could not migrate an empty database")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    #[error("could not read the schema")]
    Read(#[source] sqlx::Error),
    #[error("could not write {}", .path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Migrates an empty database on a cluster that is deleted afterwards, and writes its schema.
///
/// # Errors
/// When there is no Postgres, or a migration fails.
pub async fn run() -> Result<u8, SchemaFileError> {
    let places = Places::of_this_workspace()?;
    let started = tokio::task::spawn_blocking(|| Cluster::start(Durability::ThrowAway)).await;
    let cluster = started.expect("starting a cluster does not panic")?;
    let mut conn = PgConnection::connect(&cluster.url("postgres"))
        .await
        .map_err(SchemaFileError::Read)?;
    jobs::MIGRATOR
        .run(&mut conn)
        .await
        .map_err(SchemaFileError::Migrate)?;
    let schema = text(&mut conn).await.map_err(SchemaFileError::Read)?;
    conn.close().await.map_err(SchemaFileError::Read)?;
    let path = places.workspace.join(FILE);
    fs::write(&path, schema).map_err(|source| SchemaFileError::Write { path, source })?;
    say::line(format!("Wrote {FILE}."));
    Ok(0)
}

/// The text of the schema file for a migrated database: the same on every supported version of Postgres.
///
/// # Errors
/// When the catalog cannot be read.
pub async fn text(conn: &mut PgConnection) -> Result<String, sqlx::Error> {
    let catalog = catalog::read(conn).await?;
    let migrations = jobs::MIGRATOR.iter().map(|migration| render::Migration {
        name: format!("{:04}_{}", migration.version, migration.description).replace(' ', "_"),
        sql: migration.sql.as_str().to_owned(),
    });
    Ok(render::schema(&catalog, &migrations.collect::<Vec<_>>()))
}
