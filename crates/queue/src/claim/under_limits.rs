//! Claims under limits on running jobs of a queue, a kind or a tenant, over all workers.
//!
//! Such a claim counts the running jobs first. An advisory lock, held for the few statements of one claim, lets one worker
//! count and claim at a time. Without limits, [`crate::claim`] needs none of this.

use super::{Capacity, Claim, ClaimBatch, FairnessTurn, claim};
use crate::{
    Job,
    operate::limits::{Limit, Scope},
};
use base::TenantId;
use sqlx::{Connection, PgConnection, PgPool};
use uuid::Uuid;

/// Claims as [`claim`] does, and never more than the limits allow.
///
/// # Errors
/// If the database fails, or another worker held the lock for longer than the lock timeout.
pub async fn claim_under_limits(
    pool: &PgPool,
    request: &Claim<'_>,
) -> Result<ClaimBatch, sqlx::Error> {
    let mut conn = pool.acquire().await?;
    let mut all = ClaimBatch {
        jobs: Vec::new(),
        turn: request.turn.next(None),
    };
    // Idle workers ask several times a second, and do not wait for each other's lock.
    if !any_available(&mut conn, request.queue).await? {
        return Ok(all);
    }
    let mut transaction = conn.begin().await?;
    // A statement of its own: the count that follows must see what the previous holder of the lock committed.
    sqlx::query!("select pg_advisory_xact_lock(hashtextextended('queue: claim under limits', 0))")
        .fetch_one(&mut *transaction)
        .await?;
    let limits = crate::operate::limits::list(&mut transaction).await?;
    let mut running = running(&mut transaction).await?;
    let groups = groups(&limits, request);
    // One priority and one group at a time, because they share the tenant's capacity.
    for priority in request.priorities {
        for kinds in &groups {
            let taken = u32::try_from(all.jobs.len()).unwrap_or(u32::MAX);
            let (limit, capacity) = capacity(&limits, &running, request.queue, &kinds[0]);
            let limit = limit.min(request.limit.saturating_sub(taken));
            if limit == 0 {
                continue;
            }
            let part = Claim {
                kinds,
                limit,
                turn: all.turn,
                priorities: std::slice::from_ref(priority),
                capacity: &capacity,
                ..request.clone()
            };
            let claimed = claim(&mut *transaction, &part).await?;
            if !claimed.jobs.is_empty() {
                all.turn.after = claimed.turn.after;
            }
            running.extend(claimed.jobs.iter().map(Running::one));
            all.jobs.extend(claimed.jobs);
        }
    }
    transaction.commit().await?;
    Ok(all)
}

/// Whether a job of the queue waits, whatever its kind.
async fn any_available(conn: &mut PgConnection, queue: &str) -> Result<bool, sqlx::Error> {
    // In the order of the claim's index, so that no plan reads the table from its start for a queue that is empty.
    let first = sqlx::query_scalar!(
        "select 1 from jobs where queue = $1 and state = 'available' order by queue, priority, tenant_id limit 1",
        queue,
    )
    .fetch_optional(conn)
    .await?;
    Ok(first.is_some())
}

/// Returns the kinds that are claimed together: those without a limit of their own, which share all capacities, and each of
/// the others. Another group is first at each turn, because the first may take all slots.
fn groups(limits: &[Limit], request: &Claim<'_>) -> Vec<Vec<String>> {
    let is_limited = |kind: &String| {
        let mut of_kinds = limits.iter().filter(|limit| limit.scope == Scope::Kind);
        of_kinds.any(|limit| limit.name == *kind)
    };
    let (limited, others): (Vec<_>, Vec<_>) = request.kinds.iter().cloned().partition(is_limited);
    let mut groups: Vec<_> = limited.into_iter().map(|kind| vec![kind]).collect();
    if !others.is_empty() {
        groups.push(others);
    }
    // Out of step with the turns that serve the least urgent first, or those would always begin with the same group.
    let turn = request.turn.claims / FairnessTurn::REVERSED + request.turn.claims;
    let first = usize::try_from(turn).unwrap_or_default() % groups.len().max(1);
    groups.rotate_left(first);
    groups
}

/// The number of running jobs of a tenant, kind and queue.
#[derive(Clone, Debug)]
struct Running {
    tenant: TenantId,
    kind: String,
    queue: String,
    jobs: i64,
}

impl Running {
    fn one(job: &Job) -> Self {
        Self {
            tenant: job.lease.tenant,
            kind: job.kind.clone(),
            queue: job.queue.clone(),
            jobs: 1,
        }
    }
}

async fn running(conn: &mut PgConnection) -> Result<Vec<Running>, sqlx::Error> {
    sqlx::query_as!(
        Running,
        r#"select tenant_id as "tenant: TenantId", kind, queue, count(*) as "jobs!"
           from jobs where lease_until is not null group by tenant_id, kind, queue"#,
    )
    .fetch_all(conn)
    .await
}

/// Returns how many more jobs of a kind may run now, and how many of them per tenant.
fn capacity(limits: &[Limit], running: &[Running], queue: &str, kind: &str) -> (u32, Capacity) {
    let left = |max: i32, counts: &dyn Fn(&Running) -> bool| {
        let used: i64 = running
            .iter()
            .filter(|running| counts(running))
            .map(|running| running.jobs)
            .sum();
        i32::try_from(i64::from(max) - used).unwrap_or(0).max(0)
    };
    let mut all = i32::MAX;
    let mut each = None;
    let mut tenants: Vec<(TenantId, i32)> = Vec::new();
    for limit in limits {
        match limit.scope {
            Scope::Queue if limit.name == queue => {
                all = all.min(left(limit.max_running, &|running| running.queue == queue));
            }
            Scope::Kind if limit.name == kind => {
                all = all.min(left(limit.max_running, &|running| running.kind == kind));
            }
            Scope::Tenant if limit.name == "*" => each = Some(limit.max_running),
            Scope::Tenant => {
                if let Ok(id) = limit.name.parse::<Uuid>() {
                    let of_tenant = |running: &Running| running.tenant.0 == id;
                    tenants.push((TenantId(id), left(limit.max_running, &of_tenant)));
                }
            }
            Scope::Queue | Scope::Kind => {}
        }
    }
    if let Some(max) = each {
        for busy in running {
            if !tenants.iter().any(|(tenant, _)| *tenant == busy.tenant) {
                let of_tenant = |running: &Running| running.tenant == busy.tenant;
                tenants.push((busy.tenant, left(max, &of_tenant)));
            }
        }
    }
    let capacity = Capacity {
        tenants,
        other_tenants: each.unwrap_or(i32::MAX),
    };
    (u32::try_from(all).unwrap_or(0), capacity)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(scope: Scope, name: &str, max_running: i32) -> Limit {
        Limit {
            scope,
            name: name.into(),
            max_running,
        }
    }

    fn running(tenant: TenantId, jobs: i64) -> Running {
        Running {
            tenant,
            kind: "k".into(),
            queue: "q".into(),
            jobs,
        }
    }

    #[test]
    fn tightest_limit_of_queue_and_kind_applies_and_is_never_negative() {
        let busy = [running(TenantId::new(), 7)];
        let limits = [limit(Scope::Queue, "q", 10), limit(Scope::Kind, "k", 9)];
        assert_eq!(capacity(&limits, &busy, "q", "k").0, 2);
        assert_eq!(capacity(&limits, &busy, "q", "other").0, 3);
        assert_eq!(
            capacity(&[limit(Scope::Queue, "q", 5)], &busy, "q", "k").0,
            0
        );
        assert_eq!(
            capacity(&limits, &busy, "other", "other").0,
            i32::MAX as u32
        );
    }

    #[test]
    fn tenant_limit_overrides_the_one_for_all_tenants() {
        let (own, busy, idle) = (TenantId::new(), TenantId::new(), TenantId::new());
        let limits = [
            limit(Scope::Tenant, "*", 4),
            limit(Scope::Tenant, &own.0.to_string(), 20),
        ];
        let (_, capacity) = capacity(&limits, &[running(own, 5), running(busy, 3)], "q", "k");
        let of = |tenant| {
            let known = capacity.tenants.iter().find(|(known, _)| *known == tenant);
            known.map_or(capacity.other_tenants, |(_, capacity)| *capacity)
        };
        assert_eq!((of(own), of(busy), of(idle)), (15, 1, 4));
    }
}
