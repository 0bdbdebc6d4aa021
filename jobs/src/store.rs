//! Domain tables: one file per table, each function one statement, always filtered by tenant.
//! Opens no transaction: functions take `&mut PgConnection`, `commands` decide what commits together.

pub mod api_keys;
pub mod approvals;
pub mod audit;
pub mod audit_seals;
pub mod backfills;
pub mod blocks;
pub mod connections;
pub mod contacts;
pub mod corrections;
pub mod delegations;
pub mod draft_versions;
pub mod drafts;
pub mod effects;
pub mod grants;
pub mod history;
pub mod inbox_items;
pub mod invites;
pub mod llm_budgets;
pub mod llm_calls;
pub mod llm_checkpoints;
pub mod llm_lanes;
pub mod llm_usage;
pub mod login_failures;
pub mod memory_items;
pub mod messages;
pub mod own_messages;
pub mod password_resets;
pub mod projects;
pub mod proposed_actions;
pub mod request_keys;
pub mod rule_sets;
pub mod session_tokens;
pub mod sessions;
pub mod task_messages;
pub mod tasks;
pub mod tenants;
pub mod triage_results;
pub mod users;
pub mod watches;

/// A column's word as the domain has it.
fn word<T>(parsed: Option<T>, column: &'static str) -> Result<T, sqlx::Error> {
    parsed.ok_or_else(|| sqlx::Error::Decode(format!("unknown value in {column}").into()))
}
