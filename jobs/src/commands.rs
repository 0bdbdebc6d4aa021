//! What can be asked of the system, one noun per module: one transaction each, over `store` and the queue, with its audit entries.

pub mod approvals;
pub mod blocks;
pub mod connections;
pub mod contacts;
pub mod drafts;
pub mod effects;
pub mod inbox;
pub mod jobs;
pub mod memory;
pub mod onboarding;
pub mod operators;
pub mod projects;
pub mod record;
pub mod rules;
pub mod sessions;
pub mod settings;
pub mod tasks;
