//! Forgets the emails of tenants that keep them for a time only, tenant after tenant.

use async_trait::async_trait;
use base::{TenantId, telemetry::chain};
use jobs::{
    commands::tenants::forget::{forget_old_emails, forget_old_writings},
    store::{digests, tenants},
};
use queue::{
    operate::retention::Backlog,
    runtime::duty::{Duty, DutyContext, RETENTION_BUDGET, delete_in_batches},
};
use sqlx::PgPool;
use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

/// Emails that are forgotten in one transaction, each with rows in a dozen tables.
const BATCH: u32 = 100;

/// Forgets old emails. A tenant with many uses a run up, and the next run begins behind it.
#[derive(Default)]
pub(super) struct ForgetEmails {
    served_last: Mutex<Option<TenantId>>,
}

impl ForgetEmails {
    /// Puts tenants in the order of their ids into the order of this run.
    fn in_turn(&self, mut tenants: Vec<TenantId>) -> Vec<TenantId> {
        let served_last = *self
            .served_last
            .lock()
            .expect("no holder of this lock can panic");
        let served = tenants.partition_point(|tenant| Some(*tenant) <= served_last);
        tenants.rotate_left(served);
        tenants
    }

    fn served(&self, tenant: TenantId) {
        *self
            .served_last
            .lock()
            .expect("no holder of this lock can panic") = Some(tenant);
    }
}

#[async_trait]
impl Duty for ForgetEmails {
    fn name(&self) -> &'static str {
        "forget_emails"
    }

    fn every(&self) -> Duration {
        Duration::from_secs(300)
    }

    fn is_retention(&self) -> bool {
        true
    }

    async fn run(&self, context: &DutyContext) -> Result<(), sqlx::Error> {
        let pool = &context.pool;
        let tenants = tenants::with_email_retention(&context.queue_pool).await?;
        let until = Instant::now() + RETENTION_BUDGET;
        let mut backlog = Backlog::None;
        for tenant in self.in_turn(tenants) {
            if Instant::now() > until {
                backlog = Backlog::Some;
                break;
            }
            // Before the work: the next run begins behind a tenant that failed, too.
            self.served(tenant);
            match forget_of(pool, tenant, until).await {
                Ok(left) => backlog = backlog.and(left),
                Err(error) if error.as_database_error().is_some() => {
                    tracing::error!(
                        tenant.id = %tenant,
                        error = chain(&error),
                        "could not forget the old emails of tenant {tenant}; the next run tries again"
                    );
                    backlog = Backlog::Some;
                }
                // Without the database, none of the others can be served either.
                Err(error) => return Err(error),
            }
        }
        context.report(self.name(), backlog).await
    }
}

async fn forget_of(
    pool: &PgPool,
    tenant: TenantId,
    until: Instant,
) -> Result<Backlog, sqlx::Error> {
    let emails = delete_in_batches(until, BATCH, || forget_old_emails(pool, tenant, BATCH)).await?;
    let writings =
        delete_in_batches(until, BATCH, || forget_old_writings(pool, tenant, BATCH)).await?;
    digests::forget_old(&mut *pool.acquire().await?, tenant).await?;
    Ok(emails.and(writings))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_run_begins_behind_the_tenant_that_was_served_last() {
        let mut tenants = [TenantId::new(), TenantId::new(), TenantId::new()];
        tenants.sort_unstable();
        let [a, b, c] = tenants;
        let duty = ForgetEmails::default();
        assert_eq!(duty.in_turn(vec![a, b, c]), [a, b, c]);
        duty.served(a);
        assert_eq!(duty.in_turn(vec![a, b, c]), [b, c, a]);
        assert_eq!(duty.in_turn(vec![b, c]), [b, c], "it may be gone");
        duty.served(c);
        assert_eq!(duty.in_turn(vec![a, b, c]), [a, b, c]);
    }
}
