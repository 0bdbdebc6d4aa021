//! Loads what triage needs: [`Case`]. Holds no database connection while parsing.

use super::{bounced, guards::Correspondents, mailbox::Mailbox, rule_cache::RuleCache};
use crate::{
    handlers::{documents::read_documents, unavailable},
    messages::{ParsedMessage, load_parsed, owner_of},
};
use base::{JobId, TenantId, telemetry::chain};
use jobs::{
    commands::{effects::bounce::BouncedEmail, rules},
    domain::{
        MessageId, UserId, corrections::JudgedEmail, gate::TrustMode, invite::EmailAddress,
        mail::Mail, rules::RuleSet,
    },
    kinds::triage::{Args, Mode},
    store::{
        contacts, digests,
        proposed_actions::{self, StoredAction},
        rule_sets, tenants,
        triage_results::{self, FormerResult},
        users,
    },
};
use queue::Failure;
use sqlx::{PgConnection, PgPool};
use std::sync::Arc;

/// One email and the facts to judge it by.
pub(super) struct Case {
    pub(super) message: MessageId,
    pub(super) mail: Mail,
    pub(super) content_hash: [u8; 32],
    pub(super) correspondents: Correspondents,
    /// The email of ours that it reports as not delivered.
    pub(super) bounced: Option<BouncedEmail>,
    /// The first recipient that is a user of the tenant, else the user whose watched mailbox has the email.
    pub(super) owner: Option<UserId>,
    /// Empty until the model is needed.
    pub(super) mailbox: Mailbox,
    pub(super) trust: TrustMode,
    /// Empty if the tenant had no rules when the job was submitted.
    pub(super) rules: Arc<RuleSet>,
    /// Jobs that left this email to a person because the model was unavailable, and whose result this job replaces.
    pub(super) outage_jobs: Vec<JobId>,
    /// The earlier result for this email by the same rules.
    pub(super) former: Option<(FormerResult, Vec<StoredAction>)>,
}

impl Case {
    /// The sender's address, in lower case; empty if there is none.
    pub(super) fn sender(&self) -> String {
        let from = self.mail.from.as_ref();
        from.map(|from| from.addr.to_lowercase())
            .unwrap_or_default()
    }

    /// Names the email as corrections of its judgement will.
    pub(super) fn judged_email(&self) -> JudgedEmail {
        let sender = self.mail.from.as_ref().map(|from| from.addr.as_str());
        JudgedEmail::of(sender, &self.mail.subject)
    }
}

/// Loads the facts.
///
/// # Errors
/// If the email is missing or unparsable, the rules are unreadable, or the database fails.
pub(super) async fn load(
    pool: &PgPool,
    cache: &RuleCache,
    tenant: TenantId,
    args: &Args,
) -> Result<Case, Failure> {
    let mut conn = pool.acquire().await.map_err(|error| unavailable(&error))?;
    let trust = tenants::trust_mode(&mut conn, tenant)
        .await
        .map_err(|error| unavailable(&error))?;
    let Some(trust) = trust else {
        return Err(Failure::permanent(
            "tenant_closed",
            "This account is closed.",
            "the tenant is closed",
        ));
    };
    drop(conn);
    let ParsedMessage {
        mut mail,
        content_hash,
        stored,
    } = load_parsed(pool, tenant, args.message_id).await?;
    let rules = load_rules(pool, cache, tenant, args.ruleset_version).await?;
    if args.mode != Mode::RulesOnly {
        read_documents(&mut mail, stored.format, stored.source).await;
    }
    let bounced = bounced::find(pool, tenant, &mail).await?;
    let mut conn = pool.acquire().await.map_err(|error| unavailable(&error))?;
    let correspondents = load_correspondents(&mut conn, tenant, &mail)
        .await
        .map_err(|error| unavailable(&error))?;
    let owner = owner_of(&mut conn, tenant, &mail, &content_hash)
        .await
        .map_err(|error| unavailable(&error))?;
    let outage_jobs = triage_results::outage_jobs(&mut conn, tenant, &content_hash)
        .await
        .map_err(|error| unavailable(&error))?;
    let former = match args.force {
        true => None,
        false => load_former(&mut conn, tenant, &content_hash, args)
            .await
            .map_err(|error| unavailable(&error))?,
    };
    Ok(Case {
        message: args.message_id,
        mail,
        content_hash,
        correspondents,
        bounced,
        owner,
        mailbox: Mailbox::default(),
        trust,
        rules,
        outage_jobs,
        former,
    })
}

async fn load_rules(
    pool: &PgPool,
    cache: &RuleCache,
    tenant: TenantId,
    version: i32,
) -> Result<Arc<RuleSet>, Failure> {
    if version == 0 {
        return Ok(Arc::default());
    }
    let compile = async || compile_rules(pool, tenant, version).await;
    cache.get((tenant, version), compile).await
}

async fn compile_rules(pool: &PgPool, tenant: TenantId, version: i32) -> Result<RuleSet, Failure> {
    let mut conn = pool.acquire().await.map_err(|error| unavailable(&error))?;
    let found = rule_sets::by_version(&mut conn, tenant, version).await;
    drop(conn);
    let stored = found.map_err(|error| unavailable(&error))?.ok_or_else(|| {
        Failure::permanent(
            "unknown_ruleset",
            "The rules of this job do not exist.",
            format!("no rule set of version {version}"),
        )
    })?;
    // It compiled when it was saved; only a newer worker with stricter rules can reject it.
    let compiled = rules::compile(stored.yaml).await.map_err(|error| {
        Failure::permanent(
            "unreadable_ruleset",
            "Your rules could not be read. Save them again.",
            chain(&error),
        )
    })?;
    compiled.map_err(|faults| {
        let first = faults.first().map(|fault| format!("{} at {}", fault.code, fault.pointer)).unwrap_or_default();
        Failure::permanent(
            "unreadable_ruleset",
            "This version of Postroom cannot read your rules. Save them again to see what to change.",
            format!("version {version} has {} faults, the first: {first}", faults.len()),
        )
    })
}

async fn load_correspondents(
    conn: &mut PgConnection,
    tenant: TenantId,
    mail: &Mail,
) -> Result<Correspondents, sqlx::Error> {
    let lower = |address: &jobs::domain::mail::Address| address.addr.to_lowercase();
    let sender = mail.from.as_ref().map(lower);
    let recipients = mail.recipient_addresses();
    let addresses: Vec<String> = sender.iter().chain(&recipients).cloned().collect();
    let own = users::own_addresses(conn, tenant, &addresses).await?;
    let own_domain = match mail.from.as_ref().and_then(|from| from.domain()) {
        Some(domain) => users::is_own_domain(conn, tenant, &domain).await?,
        None => false,
    };
    let known_sender = match mail
        .from
        .as_ref()
        .map(|from| EmailAddress::parse(&from.addr))
    {
        Some(Ok(sender)) => contacts::addressed(conn, tenant, &sender).await?.is_some(),
        Some(Err(_)) | None => false,
    };
    // Only an email of a program can be one, so that no other costs a query.
    let own_digest = match &mail.auto_submitted {
        Some(_) => digests::was_sent(conn, tenant, &mail.known_ids()).await?,
        None => false,
    };
    Ok(Correspondents {
        own_digest,
        own_sender: sender.is_some_and(|sender| own.contains(&sender)),
        own_recipient: recipients.iter().any(|recipient| own.contains(recipient)),
        own_domain,
        known_sender,
    })
}

async fn load_former(
    conn: &mut PgConnection,
    tenant: TenantId,
    content_hash: &[u8; 32],
    args: &Args,
) -> Result<Option<(FormerResult, Vec<StoredAction>)>, sqlx::Error> {
    let Some(former) = triage_results::former(
        conn,
        tenant,
        content_hash,
        args.ruleset_version,
        args.mode.as_str(),
    )
    .await?
    else {
        return Ok(None);
    };
    let actions = proposed_actions::of_job(conn, tenant, former.job).await?;
    Ok(Some((former, actions)))
}
