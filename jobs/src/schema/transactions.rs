//! Whether the database counts its transactions on from those that its rows name: [`report_transactions`].
//!
//! The audit log, its seals and the deliveries to webhooks are ordered by transaction. A dump that is restored into another
//! cluster brings the old cluster's numbers, and the new one begins with small ones: what it writes would stand before
//! everything, unread, until it has counted as far.

use base::telemetry::chain;
use sqlx::{PgConnection, PgPool};

/// The rows come from a cluster that has counted further.
#[derive(Debug, thiserror::Error)]
enum TransactionsError {
    #[error("could not compare the transactions that rows name with the cluster's")]
    Read(#[source] sqlx::Error),
    #[error(
        "a row of the audit log names transaction {greatest}, and this cluster has only come to {next}: the database was \
         restored from another cluster's dump, and what is written now is not read. Stop this cluster, run \
         `pg_resetwal --epoch={epoch} DATA_DIRECTORY` and start it again; see \"Back up\" in docs/operations.md"
    )]
    OfAnotherCluster {
        greatest: i64,
        next: i64,
        /// The first one in which all transactions are greater.
        epoch: i64,
    },
}

/// Logs an error if a row names a transaction that is still to come, or if that cannot be read. A process that refused to start
/// would stop a service that has run like this for long.
pub async fn report_transactions(pool: &PgPool) {
    match pool.acquire().await {
        Ok(mut conn) => report(&mut conn).await,
        Err(error) => log(&TransactionsError::Read(error)),
    }
}

pub(super) async fn report(conn: &mut PgConnection) {
    if let Err(error) = check(conn).await {
        log(&error);
    }
}

fn log(error: &TransactionsError) {
    tracing::error!(
        error = chain(error),
        "the audit log may not show what is written"
    );
}

async fn check(conn: &mut PgConnection) -> Result<(), TransactionsError> {
    // The index of the audit log begins with the tenant: one look-up for each.
    let read = sqlx::query!(
        r#"
        select pg_snapshot_xmax(pg_current_snapshot())::text::bigint as "next!",
            coalesce(max(named.xid::text::bigint), 0) as "greatest!"
        from tenants t
        cross join lateral (
            (select xid from audit_entries e where e.tenant_id = t.id order by e.xid desc, e.seq desc limit 1)
            union all
            (select xid from audit_batches b where b.tenant_id = t.id order by b.xid desc, b.seq desc limit 1)
            union all
            (select last_xid from audit_seals s where s.tenant_id = t.id order by s.position desc limit 1)
            union all
            (select position_xid from subscriptions s where s.tenant_id = t.id)
        ) named (xid)
        "#
    )
    .fetch_one(conn)
    .await
    .map_err(TransactionsError::Read)?;
    if read.greatest < read.next {
        return Ok(());
    }
    Err(TransactionsError::OfAnotherCluster {
        greatest: read.greatest,
        next: read.next,
        epoch: epoch_after(read.greatest),
    })
}

/// Postgres' numbers of 64 bits are an epoch and the 32 bits that rows hold. A greater epoch needs no change of those.
fn epoch_after(greatest: i64) -> i64 {
    (greatest >> 32) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_epoch_begins_behind_the_greatest_transaction() {
        for (greatest, epoch) in [(5_000_000, 1), ((3 << 32) + 7, 4), ((1 << 32) - 1, 1)] {
            assert_eq!(epoch_after(greatest), epoch);
            assert!(epoch << 32 > greatest);
        }
    }
}
