//! Commands, one noun per module. Each runs one transaction over `store` and the queue and writes its audit entries.

pub mod actor;
pub mod api_keys;
pub mod approvals;
pub mod audit;
pub mod blocks;
pub mod connections;
pub mod contacts;
pub mod corrections;
pub mod drafts;
pub mod effects;
pub mod inbox;
pub mod jobs;
pub mod llm;
pub mod memory;
pub mod onboarding;
pub mod operators;
pub mod projects;
pub mod record;
pub mod rules;
pub mod sessions;
pub mod settings;
pub mod subscriptions;
pub mod tasks;
pub mod tenants;
pub mod users;
pub mod watches;
