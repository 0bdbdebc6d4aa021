//! Everything that needs Postgres, HTTP or real processes: one module per promise, each test a sentence.
//!
//! Start with [`support`]: a database per test, the real binaries, a client, waiting for conditions.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper of the tests fails the test that called it"
)]

mod audit;
mod dashboards;
mod dev;
mod onboarding;
mod pool;
mod queue;
mod sessions;
mod support;
mod tidy;
mod worker;
