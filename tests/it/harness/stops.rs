//! [`Stops`]: holds the workers at a chosen one of their commits, so that a blow can fall exactly there.
//!
//! Every step of a handler is a transaction with an audit entry or a model checkpoint. A trigger counts those at COMMIT,
//! and at the wanted one it waits for a lock that the test holds.

use crate::support::{TestDb, eventually, wait::SOON};
use sqlx::{Connection, PgConnection};

const SQL: &str = "
    create table stop_at (step bigint);
    insert into stop_at values (0);
    create sequence steps_taken;
    create function stop_here() returns trigger language plpgsql as $$
    begin
        if nextval('steps_taken') = (select step from stop_at) then
            perform pg_advisory_xact_lock(4711);
        end if;
        return null;
    end $$;
    create constraint trigger stop_audited after insert on audit_entries
        deferrable initially deferred for each row execute function stop_here();
    create constraint trigger stop_checkpoint after insert on llm_checkpoints
        deferrable initially deferred for each row execute function stop_here();
";

/// A database whose workers can be held.
pub(super) struct Stops<'a> {
    db: &'a TestDb,
    holder: PgConnection,
}

impl<'a> Stops<'a> {
    pub(super) async fn on(db: &'a TestDb) -> Self {
        db.execute(SQL).await;
        let holder = PgConnection::connect(&db.url()).await.expect("connect");
        Self { db, holder }
    }

    /// Blocks the transaction that takes this step before it commits. The first step is 1.
    pub(super) async fn at(&mut self, step: usize) {
        let hold = sqlx::raw_sql("select pg_advisory_lock(4711)");
        hold.execute(&mut self.holder).await.expect("the lock");
        self.db.execute("alter sequence steps_taken restart").await;
        self.db
            .execute(&format!("update stop_at set step = {step}"))
            .await;
    }

    /// Waits until somebody is held, or the job has ended without taking so many steps: then false.
    pub(super) async fn reached(&self) -> bool {
        eventually(SOON, async || {
            let held: i64 = self
                .db
                .one(
                    "select count(*) from pg_locks l join pg_database d on d.oid = l.database
                     where d.datname = current_database() and l.locktype = 'advisory' and l.objid = 4711 and not l.granted",
                )
                .await;
            let open: i64 = self.db.one("select count(*) from jobs").await;
            match (held, open) {
                (0, 0) => Ok(false),
                (0, _) => Err("it is still on its way".to_owned()),
                _ => Ok(true),
            }
        })
        .await
    }

    /// Who is held loses the connection: the step is not committed.
    pub(super) async fn throw_back(&mut self) {
        self.db
            .execute(
                "select pg_terminate_backend(l.pid) from pg_locks l join pg_database d on d.oid = l.database
                 where d.datname = current_database() and l.locktype = 'advisory' and l.objid = 4711 and not l.granted",
            )
            .await;
        self.let_go().await;
    }

    /// Who is held goes on: the step is committed, whether or not its worker hears of it.
    pub(super) async fn let_go(&mut self) {
        self.db.execute("update stop_at set step = 0").await;
        let release = sqlx::raw_sql("select pg_advisory_unlock(4711)");
        release.execute(&mut self.holder).await.expect("the lock");
    }
}
