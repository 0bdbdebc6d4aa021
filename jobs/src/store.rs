//! Domain tables: one file per table, each function one statement, always filtered by tenant.
//! Opens no transaction: functions take `&mut PgConnection`, `commands` decide what commits together.

pub mod approvals;
pub mod audit;
pub mod connections;
pub mod draft_versions;
pub mod drafts;
pub mod effects;
pub mod grants;
pub mod history;
pub mod invites;
pub mod llm_calls;
pub mod llm_checkpoints;
pub mod login_failures;
pub mod messages;
pub mod proposed_actions;
pub mod request_keys;
pub mod rule_sets;
pub mod session_tokens;
pub mod sessions;
pub mod tenants;
pub mod triage_results;
pub mod users;
