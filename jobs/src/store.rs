//! Domain tables: one file per table, each function one statement, always filtered by tenant.
//! Opens no transaction: functions take `&mut PgConnection`, `commands` decide what commits together.

pub mod audit;
pub mod grants;
pub mod invites;
pub mod login_failures;
pub mod session_tokens;
pub mod sessions;
pub mod tenants;
pub mod users;
