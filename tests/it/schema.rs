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
