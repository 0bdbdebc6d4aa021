//! Domain tables: one file per table, each function one statement, always filtered by tenant.
//! Opens no transaction: functions take `&mut PgConnection`, `commands` decide what commits together.

pub mod audit;
