//! Everything that needs Postgres, HTTP or real processes: one module per promise, each test a sentence.
//!
//! Start with [`support`]: a database per test, the real binaries, a client, waiting for conditions.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper of the tests fails the test that called it"
)]

mod access;
mod actions;
mod admin;
mod api_keys;
mod approvals;
mod audit;
mod batches;
mod blocks;
mod calendar;
mod canary;
mod chaos;
mod connections;
mod contacts;
mod corpus;
mod corrections;
mod crash;
mod dashboards;
mod database;
mod dev;
mod digests;
mod drafts;
mod effects;
mod eval;
mod events;
mod follow_ups;
mod harness;
mod history;
mod http_limits;
mod http_surface;
mod identity_providers;
mod inbox;
mod lanes;
mod lease_model;
mod listing;
mod llm;
mod log;
mod mailbox;
mod memory;
mod onboarding;
mod openapi;
mod poll;
mod pool;
mod projects;
mod queue;
mod rates;
mod records;
mod replay;
mod routes;
mod rules;
mod scenarios;
mod schema;
mod serve;
mod sessions;
mod shadow;
mod startup;
mod submit;
mod support;
mod tasks;
mod tenants;
mod tidy;
mod traces;
mod triage;
mod usage;
mod users;
mod versions;
mod watches;
mod webhooks;
mod worker;
