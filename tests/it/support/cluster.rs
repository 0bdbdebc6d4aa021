//! The Postgres cluster under the tests: given by `POSTROOM_TEST_DATABASE_URL` (as `cargo dev test` does).
//!
//! Knows only how to reach it; databases are made by [`super::TestDb`].

/// Address of a superuser's database on the cluster.
#[expect(
    clippy::disallowed_methods,
    reason = "the tests' one own variable, set by `cargo dev test`"
)]
pub(crate) fn admin_url() -> String {
    std::env::var("POSTROOM_TEST_DATABASE_URL")
        .expect("POSTROOM_TEST_DATABASE_URL is not set: run the tests by `cargo dev test`")
}
