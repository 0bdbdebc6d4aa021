//! [`Refusal`]: a database that refuses statements on one table for a reason of its own.

use super::{TestDb, eventually, wait::SOON};

/// Statements on a table that the database refuses, and counts.
pub(crate) struct Refusal<'a> {
    db: &'a TestDb,
    table: &'static str,
}

impl<'a> Refusal<'a> {
    /// Refuses statements such as `insert` on a table with this SQLSTATE; `rows` is a condition on `new`.
    pub(crate) async fn of(
        db: &'a TestDb,
        (event, table): (&str, &'static str),
        rows: &str,
        code: &str,
    ) -> Self {
        // A sequence keeps its count when the transaction is rolled back.
        db.execute(&format!(
            "create sequence if not exists refusals;
             create or replace function refuse() returns trigger language plpgsql as
                 $$ begin
                     perform nextval('refusals');
                     raise exception 'refused' using errcode = '{code}';
                 end $$;
             create or replace trigger refuse before {event} on {table} for each row when ({rows})
                 execute function refuse();"
        ))
        .await;
        Self { db, table }
    }

    /// Waits until this many statements were refused.
    pub(crate) async fn met(&self, times: i64) {
        eventually(SOON, async || {
            let met: i64 = self
                .db
                .one("select case when is_called then last_value else 0 end from refusals")
                .await;
            (met >= times)
                .then_some(())
                .ok_or_else(|| format!("{met} statements were refused"))
        })
        .await;
    }

    pub(crate) async fn end(self) {
        let table = self.table;
        self.db
            .execute(&format!("drop trigger refuse on {table}"))
            .await;
    }
}
