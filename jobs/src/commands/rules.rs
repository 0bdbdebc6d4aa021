//! Replacing a tenant's rules: a valid set becomes the next, active version; an invalid one changes nothing.

use crate::domain::ResourceKind;
use crate::{
    domain::{
        AuditAction, Detail, SeenVersions, Session,
        rules::{RuleFault, RuleSet},
    },
    store::{
        audit,
        rule_sets::{self, StoredRuleSet},
    },
};
use sqlx::PgPool;
use tokio::task::JoinError;

/// The rules were not replaced.
#[derive(Debug, thiserror::Error)]
pub enum PutRulesError {
    /// All faults, with their places.
    #[error("the rule set has {} faults", .0.len())]
    Faulty(Vec<RuleFault>),
    /// The rules were replaced since the caller read them; 0 means that there are none.
    #[error("version {active} is active, which the caller has not seen")]
    Stale { active: i32 },
    #[error("could not compile the rule set")]
    Compile(#[source] JoinError),
    #[error("could not write the rule set")]
    Database(#[from] sqlx::Error),
}

/// Compiles a rule set on a thread of its own: a large one takes longer than other requests should wait.
///
/// # Errors
/// If the compiler panicked; the inner error are the faults of the set.
pub async fn compile(yaml: String) -> Result<Result<RuleSet, Vec<RuleFault>>, JoinError> {
    tokio::task::spawn_blocking(move || RuleSet::compile(&yaml)).await
}

/// Checks `yaml` and makes it the tenant's active rules. `seen` is what the caller has read
/// (from `If-Match`; version 0 = none yet); without it, any version is replaced.
///
/// # Errors
/// If the set is invalid, the active version was not seen, or the database refuses. Nothing is changed then.
pub async fn put_rules(
    pool: &PgPool,
    session: &Session,
    seen: Option<&SeenVersions>,
    yaml: &str,
    request_id: Option<&str>,
) -> Result<StoredRuleSet, PutRulesError> {
    let compiled = compile(yaml.to_owned()).await;
    let rules = compiled
        .map_err(PutRulesError::Compile)?
        .map_err(PutRulesError::Faulty)?;
    let mut tx = pool.begin().await?;
    rule_sets::lock(&mut tx, session.tenant).await?;
    let active = rule_sets::active_version(&mut tx, session.tenant).await?;
    if seen.is_some_and(|seen| !seen.include(active)) {
        return Err(PutRulesError::Stale { active });
    }
    rule_sets::deactivate(&mut tx, session.tenant).await?;
    let stored = rule_sets::insert_next(&mut tx, session.tenant, yaml, session.user).await?;
    let count = i64::try_from(rules.rules().len()).unwrap_or(i64::MAX);
    let entry = session
        .audit(
            AuditAction::RulesUpdated,
            ResourceKind::RuleSet,
            stored.version,
        )
        .with_request(request_id)
        .with_detail(
            Detail::new()
                .count("former_version", active)
                .count("rules", count),
        );
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    Ok(stored)
}
