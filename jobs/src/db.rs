//! The pool, and the schema it expects.

/// Every migration, embedded: a binary brings the schema it was built for.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("../migrations");
