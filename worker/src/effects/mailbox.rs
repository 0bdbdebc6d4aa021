//! Changes of an email in the user's mailbox: flags and folders. Finds the email by its Message-ID and stores its previous state
//! with the plan, so that a crash does not lose it. Every change can be undone, unless it was there before.

mod account;
mod plan;

use super::{
    ActionContext, Lookup, PrepareError, Prepared, ProviderContext, Receipt, RemoteEffect,
    provider_context::internal_error,
};
use crate::providers::{
    ProviderError,
    mailbox::{Mailbox, MessageLocation, SearchScope},
};
use account::{MailReference, account_of, mail_reference};
use async_trait::async_trait;
use jobs::store::{connections::StoredConnection, effects::StoredEffect};
use plan::{Change, Done, Plan};

/// `label`, `unlabel`, `mark_read`, `star`, `archive`, `move`, `trash` and `spam`.
pub(super) struct MailboxEffect;

#[async_trait]
impl RemoteEffect for MailboxEffect {
    async fn prepare(
        &self,
        providers: &ProviderContext<'_>,
        action: &ActionContext<'_>,
    ) -> Result<Prepared, PrepareError> {
        let change = Change::of(action).ok_or_else(|| {
            PrepareError::refused(
                "not_executable",
                "This version of Postroom does not support this action.",
            )
        })?;
        let mail = mail_reference(providers.ctx, action).await?;
        let connection = account_of(providers.ctx, action, &mail).await?;
        let found = state_before(providers, &connection, &mail, &change).await;
        let (spot, was) = match found {
            Ok(Some(found)) => found,
            Ok(None) => return Err(PrepareError::refused("message_gone", GONE)),
            Err(source) => {
                return Err(PrepareError::Provider {
                    connection: Box::new(connection),
                    source,
                });
            }
        };
        let plan = Plan {
            message_id: mail.message_id,
            change,
            spot,
            was,
        };
        Ok(Prepared {
            would: plan.change.preview(),
            rendered: plan.packed(),
            connection,
            message_id: None,
        })
    }

    async fn perform(
        &self,
        providers: &ProviderContext<'_>,
        connection: &StoredConnection,
        rendered: Vec<u8>,
    ) -> Result<Receipt, ProviderError> {
        let plan = Plan::unpacked(&rendered)
            .ok_or_else(|| internal_error("the stored plan is unreadable"))?;
        let mut mailbox = open(providers, connection).await?;
        let done = execute(&mut *mailbox, &plan).await;
        mailbox.close().await;
        Ok(done?.receipt())
    }

    async fn look_up(
        &self,
        providers: &ProviderContext<'_>,
        connection: &StoredConnection,
        _effect: &StoredEffect,
        rendered: &[u8],
    ) -> Result<Lookup, ProviderError> {
        let plan = Plan::unpacked(rendered)
            .ok_or_else(|| internal_error("the stored plan is unreadable"))?;
        let mut mailbox = open(providers, connection).await?;
        let applied = is_applied(&mut *mailbox, &plan).await;
        mailbox.close().await;
        Ok(match applied? {
            // Repeating the change is harmless, so that only its presence matters.
            None => Lookup::NotDone,
            Some(to) => {
                let changed = !plan.was;
                Lookup::Done(Done { plan, changed, to }.receipt())
            }
        })
    }

    async fn revert(
        &self,
        providers: &ProviderContext<'_>,
        connection: &StoredConnection,
        done: &StoredEffect,
    ) -> Result<(), ProviderError> {
        let done = done
            .before_image
            .as_ref()
            .and_then(Done::read)
            .ok_or_else(|| internal_error("the stored change is unreadable"))?;
        if !done.changed {
            // The email was in this state before.
            return Ok(());
        }
        let mut mailbox = open(providers, connection).await?;
        let undone = undo(&mut *mailbox, &done).await;
        mailbox.close().await;
        undone
    }
}

const GONE: &str = "The email is no longer in the mailbox.";

async fn open(
    providers: &ProviderContext<'_>,
    connection: &StoredConnection,
) -> Result<Box<dyn Mailbox>, ProviderError> {
    providers
        .mailbox(connection)
        .await?
        .ok_or_else(|| ProviderError::Permanent {
            code: "no_mailbox",
            message: account::NO_MAILBOX.to_owned(),
        })
}

/// Finds the email and whether the change is already in place.
async fn state_before(
    providers: &ProviderContext<'_>,
    connection: &StoredConnection,
    mail: &MailReference,
    change: &Change,
) -> Result<Option<(MessageLocation, bool)>, ProviderError> {
    let mut mailbox = open(providers, connection).await?;
    let found = async {
        let Some(spot) = mailbox.find(&mail.message_id, change.among()).await? else {
            return Ok(None);
        };
        let was = match change {
            Change::Mark { flag, on } => {
                let flags = mailbox.flags(&spot).await?.unwrap_or_default();
                plan::has(&flags, flag) == *on
            }
            // The target folder is resolved on the move, which may create it.
            Change::Put { .. } => false,
        };
        Ok(Some((spot, was)))
    };
    let found = found.await;
    mailbox.close().await;
    found
}

async fn execute(mailbox: &mut dyn Mailbox, plan: &Plan) -> Result<Done, ProviderError> {
    let spot = locate(mailbox, plan).await?.ok_or_else(gone)?;
    let done = |changed, to| Done {
        plan: plan.clone(),
        changed,
        to,
    };
    match &plan.change {
        Change::Mark { flag, on } => {
            let flags = mailbox.flags(&spot).await?.ok_or_else(gone)?;
            if plan::has(&flags, flag) == *on {
                return Ok(done(false, None));
            }
            mailbox.mark(&spot, flag, *on).await?;
            Ok(done(true, None))
        }
        Change::Put { target } => {
            let folder = mailbox.folder(target).await?;
            if spot.folder == folder {
                return Ok(done(false, Some(folder)));
            }
            mailbox.move_to(&spot, &plan.message_id, &folder).await?;
            // Servers accept the move of a missing email without an error.
            match mailbox.find_in(&plan.message_id, &folder).await {
                Ok(Some(_)) => Ok(Done {
                    plan: Plan {
                        spot,
                        ..plan.clone()
                    },
                    changed: true,
                    to: Some(folder),
                }),
                Ok(None) => Err(gone()),
                Err(_) => Err(ProviderError::Unknown {
                    code: "imap_reply_lost",
                    detail: "the server did not confirm the move".into(),
                }),
            }
        }
    }
}

/// Finds the email: in its previous folder, else in any other.
async fn locate(
    mailbox: &mut dyn Mailbox,
    plan: &Plan,
) -> Result<Option<MessageLocation>, ProviderError> {
    let found = mailbox.find_in(&plan.message_id, &plan.spot.folder).await?;
    if found.is_some() {
        return Ok(found);
    }
    mailbox.find(&plan.message_id, plan.change.among()).await
}

/// Returns whether the change is in place; for a move, also the folder.
async fn is_applied(
    mailbox: &mut dyn Mailbox,
    plan: &Plan,
) -> Result<Option<Option<String>>, ProviderError> {
    match &plan.change {
        Change::Mark { flag, on } => {
            let Some(spot) = locate(mailbox, plan).await? else {
                return Ok(None);
            };
            let flags = mailbox.flags(&spot).await?;
            let matches = flags.is_some_and(|flags| plan::has(&flags, flag) == *on);
            Ok(matches.then_some(None))
        }
        Change::Put { target } => {
            let folder = mailbox.folder(target).await?;
            let found = mailbox.find_in(&plan.message_id, &folder).await?;
            let left = folder == plan.spot.folder
                || mailbox
                    .find_in(&plan.message_id, &plan.spot.folder)
                    .await?
                    .is_none();
            Ok((found.is_some() && left).then_some(Some(folder)))
        }
    }
}

async fn undo(mailbox: &mut dyn Mailbox, done: &Done) -> Result<(), ProviderError> {
    let plan = &done.plan;
    match &plan.change {
        Change::Mark { flag, on } => {
            let spot = mailbox.find(&plan.message_id, SearchScope::Kept).await?;
            let spot = spot.ok_or_else(moved_on)?;
            let flags = mailbox.flags(&spot).await?.ok_or_else(moved_on)?;
            if plan::has(&flags, flag) == *on {
                mailbox.mark(&spot, flag, !*on).await?;
            }
            Ok(())
        }
        Change::Put { .. } => {
            let to = done.to.as_deref().ok_or_else(moved_on)?;
            if let Some(spot) = mailbox.find_in(&plan.message_id, to).await? {
                return mailbox
                    .move_to(&spot, &plan.message_id, &plan.spot.folder)
                    .await;
            }
            // An earlier attempt or the user moved it back already.
            mailbox
                .find_in(&plan.message_id, &plan.spot.folder)
                .await?
                .map(drop)
                .ok_or_else(moved_on)
        }
    }
}

fn gone() -> ProviderError {
    ProviderError::Permanent {
        code: "message_gone",
        message: GONE.to_owned(),
    }
}

fn moved_on() -> ProviderError {
    ProviderError::Permanent {
        code: "moved_on",
        message: "The email was moved since; nothing was changed.".to_owned(),
    }
}
