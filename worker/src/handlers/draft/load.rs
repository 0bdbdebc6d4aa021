//! Loads what a draft needs: [`Case`]. Holds no database connection while parsing.

use super::memory;
use crate::prompts::mailbox::Owner;
use crate::{
    handlers::{corrections::Examples, documents::read_documents, unavailable},
    messages::{ParsedMessage, load_parsed},
};
use base::TenantId;
use chrono::{DateTime, Utc};
use jobs::{
    domain::{
        MessageId, UserId,
        action::ActionType,
        approval::Status,
        blocks::Span,
        corrections::CorrectionKind,
        draft::{DraftMode, DraftStep, Tone, original, send_at},
        gate::{Circumstances, Confirmation, HighRiskPolicy, TrustMode, decide},
        mail::{Mail, foreign_reply_address, is_automatic, lookup_addresses},
        risk::Risk,
    },
    kinds::draft::{Args, Base},
    store::{
        approvals, blocks, connections,
        draft_versions::{self, StoredVersion},
        drafts::{self, StoredDraft},
        follow_ups,
        memory_items::Recalled,
        own_messages, tenants, thread_answers, triage_results,
        users::{self, Correspondent},
    },
};
use queue::Failure;
use queue::runtime::handler::JobContext;
use sqlx::PgConnection;

/// The facts for one draft.
pub(super) struct Case {
    pub(super) trust: TrustMode,
    /// The user in whose name the draft is written; none if no recipient is a user.
    pub(super) writer: Option<Correspondent>,
    /// The addresses of the writer's mail accounts, oldest first.
    pub(super) accounts: Vec<String>,
    pub(super) mail: Option<(MessageId, Mail)>,
    /// The email was answered, by us or by another program of the user's; of a reminder, by somebody else.
    pub(super) answered: bool,
    /// The follow-up that asked for the reminder has ended.
    pub(super) follow_up_ended: bool,
    /// The tenant wants the original below an answer.
    pub(super) quote_original: bool,
    pub(super) injection_suspected: bool,
    pub(super) base: Option<BaseVersion>,
    /// Memories for the writer, redacted for the prompt.
    pub(super) memories: Vec<Recalled>,
    /// Drafts that the writer corrected.
    pub(super) examples: Examples,
    /// The writer's busy times from the time of submission on: our blocks, then those of the calendar too.
    pub(super) taken: Vec<Span>,
}

/// The version to revise.
pub(super) struct BaseVersion {
    pub(super) draft: StoredDraft,
    pub(super) version: StoredVersion,
    pub(super) approval: Status,
}

impl BaseVersion {
    /// Returns whether its approval waits for the next version; otherwise the approval has ended.
    pub(super) fn renews_its_approval(&self) -> bool {
        self.approval == Status::Editing
    }
}

impl Case {
    pub(super) fn message(&self) -> Option<MessageId> {
        self.mail.as_ref().map(|(id, _)| *id)
    }

    /// Returns the writer, as the prompt shows the owner of the mailbox.
    pub(super) fn owner(&self) -> Owner {
        match &self.writer {
            Some(writer) => Owner::new(&writer.email, &self.accounts, writer.timezone.clone()),
            None => Owner::default(),
        }
    }

    /// Returns the writer's addresses in lower case.
    pub(super) fn own(&self) -> Vec<String> {
        let login = self.writer.iter().map(|writer| &writer.email);
        login
            .chain(&self.accounts)
            .map(|address| address.to_lowercase())
            .collect()
    }

    /// Returns the address to send from: the account that received (or sent) the email, else the writer's oldest. Without an
    /// account, returns the writer's own address, so that the draft is readable before an account is connected.
    pub(super) fn sender(&self) -> Option<String> {
        let mail = self.mail.as_ref().map(|(_, mail)| mail);
        mail.and_then(|mail| mail.account_among(&self.accounts))
            .map(str::to_owned)
            .or_else(|| self.accounts.first().cloned())
            .or_else(|| self.writer.as_ref().map(|writer| writer.email.clone()))
    }

    /// Returns the original that code adds below the text: below a note always, below an answer if the tenant wants it.
    /// A revision keeps what the version before it has.
    pub(super) fn original(&self, args: &Args) -> Option<String> {
        if let Some(base) = &self.base {
            let body = &base.version.message.body_text;
            return self
                .original_of(base.draft.mode)
                .filter(|original| original::without(body, original).is_some());
        }
        self.original_of(args.mode)
            .filter(|_| self.quote_original || args.mode == DraftMode::Forward)
    }

    fn original_of(&self, mode: DraftMode) -> Option<String> {
        let (_, mail) = self.mail.as_ref()?;
        if mode == DraftMode::Forward {
            return Some(original::forwarded(mail));
        }
        let writer = self.writer.as_ref();
        let zone = writer.map_or("UTC", |writer| writer.timezone.as_str());
        mode.is_answer()
            .then(|| original::quoted(mail, send_at::zone(zone)))
            .flatten()
    }

    /// Returns the text of the version to revise, without the original below it.
    pub(super) fn base_text(&self) -> Option<&str> {
        let base = self.base.as_ref()?;
        let body = base.version.message.body_text.as_str();
        let original = self.original_of(base.draft.mode);
        let text = original.and_then(|original| original::without(body, &original));
        Some(text.unwrap_or(body))
    }

    /// Returns the time after which an email of the user's in the thread counts as a reply; none for a reminder.
    pub(super) fn original_sent_at(&self, mode: DraftMode) -> Option<DateTime<Utc>> {
        let (_, mail) = self.mail.as_ref()?;
        mail.date.filter(|_| mode != DraftMode::FollowUp)
    }

    /// Returns what the person should know of the recipients: that an answer leaves the sender's domain.
    pub(super) fn notice(&self, to: &[String]) -> Option<String> {
        let (_, mail) = self.mail.as_ref()?;
        reply_notice(mail, to)
    }

    /// Returns the requested tone, else the remembered one.
    pub(super) fn tone(&self, args: &Args) -> Option<Tone> {
        args.tone.or_else(|| memory::learned_tone(&self.memories))
    }

    /// Returns the risk of sending the draft.
    pub(super) fn risk(&self) -> Risk {
        let mail = self.mail.as_ref().map(|(_, mail)| mail);
        let facts = Circumstances {
            injection_suspected: self.injection_suspected,
            dmarc_failed: mail.is_some_and(Mail::dmarc_failed),
            automatic_sender: mail.is_some_and(is_automatic),
            reply_is_drafted: false,
            items: 1,
        };
        let kind = ActionType::SendDraft;
        let policy = HighRiskPolicy::default();
        decide(self.trust, kind, facts, Confirmation::Required, policy).0
    }
}

/// Loads the facts.
///
/// # Errors
/// If the email or the base version no longer exists, or the database fails.
pub(super) async fn load(ctx: &JobContext, args: &Args) -> Result<Case, Failure> {
    let tenant = ctx.job.lease.tenant;
    let failed = |error: sqlx::Error| unavailable(&error);
    let mut conn = ctx.pool.acquire().await.map_err(failed)?;
    let trust = tenants::trust_mode(&mut conn, tenant)
        .await
        .map_err(failed)?
        .ok_or_else(|| {
            Failure::permanent(
                "tenant_closed",
                "This account is closed.",
                "the tenant is closed",
            )
        })?;
    let settings = tenants::settings(&mut conn, tenant).await.map_err(failed)?;
    let base = match args.base {
        Some(base) => Some(load_base(&mut conn, ctx, args, base).await?),
        None => None,
    };
    let message = base
        .as_ref()
        .map_or(args.message_id, |base| base.draft.message);
    drop(conn);
    let mail = match message {
        Some(id) => Some((id, load_mail(ctx, id).await?)),
        None => None,
    };
    let mut conn = ctx.pool.acquire().await.map_err(failed)?;
    let known = (base.as_ref(), mail.as_ref().map(|(_, mail)| mail));
    let writer = load_writer(&mut conn, ctx, args, known)
        .await
        .map_err(failed)?;
    let accounts = match &writer {
        Some(writer) => connections::mail_addresses(&mut conn, tenant, writer.user)
            .await
            .map_err(failed)?,
        None => Vec::new(),
    };
    let (mut answered, mut injection_suspected) = (false, false);
    if let Some((id, _)) = &mail {
        injection_suspected = triage_results::injection_suspected(&mut conn, tenant, *id)
            .await
            .map_err(failed)?;
        if args.mode != DraftMode::FollowUp {
            answered = drafts::answered(&mut conn, tenant, *id)
                .await
                .map_err(failed)?;
        }
    }
    if let (Some((_, mail)), Some(writer), false) = (&mail, &writer, answered) {
        answered = answered_elsewhere(&mut conn, tenant, (args.mode, mail), writer.user)
            .await
            .map_err(failed)?;
    }
    let follow_up_ended = match args.follow_up {
        Some(id) => !follow_ups::hold_reminded(&mut conn, tenant, id)
            .await
            .map_err(failed)?,
        None => false,
    };
    let taken = match &writer {
        Some(writer) => blocks::taken(&mut conn, tenant, writer.user, ctx.job.created_at)
            .await
            .map_err(failed)?,
        None => Vec::new(),
    };
    let recalled = match &writer {
        Some(writer) => {
            let mail = mail.as_ref().map(|(_, mail)| mail);
            memory::recall(&mut conn, tenant, writer, args, mail)
                .await
                .map_err(failed)?
        }
        None => Vec::new(),
    };
    let examples = match &writer {
        Some(writer) => {
            let (kinds, asked_on) = (&CorrectionKind::OF_DRAFTS, ctx.job.created_at);
            let mail = mail.as_ref().map(|(_, mail)| mail);
            Examples::load(&mut conn, (tenant, writer.user), kinds, mail, asked_on)
                .await
                .map_err(failed)?
        }
        None => Examples::default(),
    };
    drop(conn);
    let mut case = Case {
        trust,
        writer,
        accounts,
        mail,
        answered,
        follow_up_ended,
        quote_original: settings.quote_original,
        injection_suspected,
        base,
        memories: Vec::new(),
        examples,
        taken,
    };
    case.memories = memory::redacted(recalled, case.risk());
    Ok(case)
}

/// Loads the email with the text of its documents.
async fn load_mail(ctx: &JobContext, id: MessageId) -> Result<Mail, Failure> {
    let ParsedMessage {
        mut mail, stored, ..
    } = load_parsed(&ctx.pool, ctx.job.lease.tenant, id).await?;
    read_documents(&mut mail, stored.format, stored.source).await;
    Ok(mail)
}

async fn load_base(
    conn: &mut PgConnection,
    ctx: &JobContext,
    args: &Args,
    base: Base,
) -> Result<BaseVersion, Failure> {
    let tenant = ctx.job.lease.tenant;
    let failed = |error: sqlx::Error| unavailable(&error);
    let gone = || {
        Failure::permanent(
            "draft_missing",
            "This draft does not exist.",
            "no row in drafts",
        )
    };
    let draft = drafts::find(conn, tenant, base.draft_id)
        .await
        .map_err(failed)?
        .ok_or_else(gone)?;
    let approval = approvals::find(conn, tenant, draft.approval)
        .await
        .map_err(failed)?
        .ok_or_else(gone)?;
    let revisable = match approval.status {
        // Only for this job; a dry run does not lock the approval.
        Status::Editing => approval.execution_job == Some(ctx.job.lease.job) || args.dry_run,
        Status::Proposed => args.dry_run,
        Status::Rejected | Status::Expired | Status::Failed | Status::Undone => true,
        Status::Approved | Status::Executing | Status::Executed | Status::Undoing => false,
    };
    if draft.version != base.version || draft.status.after(DraftStep::Revise).is_err() || !revisable
    {
        return Err(Failure::permanent(
            "stale_draft",
            "The draft was changed or decided meanwhile. Read its current version.",
            format!(
                "requested version {}, found {} ({}), approval {}",
                base.version, draft.version, draft.status, approval.status
            ),
        ));
    }
    let version = draft_versions::find(conn, tenant, draft.id, draft.version)
        .await
        .map_err(failed)?
        .ok_or_else(gone)?;
    Ok(BaseVersion {
        draft,
        version,
        approval: approval.status,
    })
}

/// Finds the writer: for a revision, the user of the draft, also if a delegate revises it; else the requesting user; for a
/// triage, the first recipient that is a user, or the sender of an own email.
async fn load_writer(
    conn: &mut PgConnection,
    ctx: &JobContext,
    args: &Args,
    (base, mail): (Option<&BaseVersion>, Option<&Mail>),
) -> Result<Option<Correspondent>, sqlx::Error> {
    let tenant = ctx.job.lease.tenant;
    let owner = base.and_then(|base| base.draft.user);
    if let Some(user) = owner.or(args.user) {
        return users::correspondent(conn, tenant, user).await;
    }
    let Some(mail) = mail else { return Ok(None) };
    let mut addresses = mail.recipient_addresses();
    addresses.extend(lookup_addresses(&mail.from));
    users::first_correspondent(conn, tenant, &addresses).await
}

async fn answered_elsewhere(
    conn: &mut PgConnection,
    tenant: TenantId,
    (mode, mail): (DraftMode, &Mail),
    user: UserId,
) -> Result<bool, sqlx::Error> {
    let bracketed = |id: &String| format!("<{id}>");
    let Some(id) = mail.message_id.as_ref().map(bracketed) else {
        return Ok(false);
    };
    if mode == DraftMode::FollowUp {
        return thread_answers::answered_by_others(conn, tenant, user, &id).await;
    }
    let thread: Vec<String> = mail.references.iter().map(bracketed).collect();
    own_messages::answered(conn, tenant, user, &id, &thread, mail.date).await
}

/// Says that an answer leaves the sender's domain, if one of its recipients does.
pub(in crate::handlers) fn reply_notice(mail: &Mail, to: &[String]) -> Option<String> {
    let foreign = foreign_reply_address(mail)?;
    let goes_there = to
        .iter()
        .any(|address| address.eq_ignore_ascii_case(foreign));
    goes_there.then(|| {
        format!(
            "The sender wants the answer sent to {foreign}, which is outside the sender's domain."
        )
    })
}

/// Returns whether the draft answers the email, so that guards and language checks apply.
pub(super) fn answers(args: &Args, case: &Case) -> bool {
    let mode = case.base.as_ref().map_or(args.mode, |base| base.draft.mode);
    mode.is_answer() || (mode == DraftMode::Revise && case.mail.is_some())
}
