//! The Postgres cluster under the tests: given by `POSTROOM_TEST_DATABASE_URL` (as `cargo dev test` does), or one of
//! this process's own under a plain `cargo test`, which ends with the process.
//!
//! Knows only how to reach it; databases are made by [`super::TestDb`].

/// Address of a superuser's database on the cluster.
#[expect(
    clippy::disallowed_methods,
    reason = "the tests' one own variable, set by `cargo dev test`"
)]
pub(crate) fn admin_url() -> String {
    std::env::var("POSTROOM_TEST_DATABASE_URL").unwrap_or_else(|_| {
        dev::postgres::shared_for_tests()
            .unwrap_or_else(|error| panic!("the tests need Postgres: {error}"))
            .url("postgres")
    })
}
