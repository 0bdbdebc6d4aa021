//! The schema as the migrations leave it: one file that shows it, and words that are those of the code.

mod tenants;
mod words;

use crate::support::{TestDb, sources};

#[tokio::test]
async fn schema_file_shows_what_the_migrations_make() {
    let db = TestDb::new().await;
    let mut conn = db.pool().acquire().await.unwrap();
    let made = dev::schema::text(&mut conn).await.unwrap();
    assert!(
        made == sources::read(dev::schema::FILE),
        "{} is not what the migrations make; write it with: cargo dev schema",
        dev::schema::FILE
    );
}

/// Postgres refuses updates and deletes on a table that is published without a replica identity.
#[tokio::test]
async fn every_table_has_a_replica_identity() {
    let db = TestDb::new().await;
    let without: Option<String> = db
        .one(
            "select string_agg(c.relname, ', ') from pg_class c
             where relnamespace = 'public'::regnamespace and relkind = 'r' and relreplident in ('d', 'n')
                 and not exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary and relreplident = 'd')",
        )
        .await;
    assert_eq!(without, None);
}
