//! What every integration test stands on. [`TestDb`] is a database of its own; [`eventually`] waits for a condition.
//!
//! Holds no assertion about Postroom itself, sleeps nowhere but inside [`eventually`], and never retries a test.

pub(crate) mod aiosmtpd;
pub(crate) mod api_keys;
pub(crate) mod batch_server;
pub(crate) mod binaries;
pub(crate) mod boards;
pub(crate) mod caller;
pub(crate) mod certificates;
pub(crate) mod claim;
pub(crate) mod client;
pub(crate) mod cluster;
pub(crate) mod contract;
pub(crate) mod corpus;
pub(crate) mod cutter;
pub(crate) mod db;
pub(crate) mod dovecot;
pub(crate) mod faults;
pub(crate) mod gate;
pub(crate) mod model;
pub(crate) mod people;
pub(crate) mod pgbouncer;
pub(crate) mod process;
pub(crate) mod radicale;
pub(crate) mod records;
pub(crate) mod refusal;
pub(crate) mod schema;
pub(crate) mod silent_proxy;
pub(crate) mod sources;
pub(crate) mod system;
pub(crate) mod wait;

pub(crate) use client::Client;
pub(crate) use db::TestDb;
pub(crate) use wait::eventually;
