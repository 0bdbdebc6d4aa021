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
    mailbox::{Mailbox, Mark, MessageLocation, Moved, SearchScope},
};
use account::{MailReference, account_of, mail_reference};
use async_trait::async_trait;
use jobs::store::{connections::StoredConnection, effects::StoredEffect};
use plan::{Change, Done, Plan, Step};

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
            key: mail.key,
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

    async fn undo(
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
        let Some(spot) = mailbox.find(&mail.key, change.among()).await? else {
            return Ok(None);
        };
        let was = match change.step() {
            Step::Mark(mark, on) => mailbox.has_mark(&spot, mark).await?.unwrap_or(false) == on,
            // The target folder is resolved on the move, which may create it.
            Step::Put(_) => false,
        };
        Ok(Some((spot, was)))
    };
    let found = found.await;
    mailbox.close().await;
    found
}

/// Any mark tells whether an email is there.
const SEEN: Mark<'_> = Mark::Flag("\\Seen");

async fn execute(mailbox: &mut dyn Mailbox, plan: &Plan) -> Result<Done, ProviderError> {
    let spot = locate(mailbox, plan).await?.ok_or_else(gone)?;
    let done = |changed, to| Done {
        plan: plan.clone(),
        changed,
        to,
    };
    match plan.change.step() {
        Step::Mark(mark, on) => {
            let is_set = mailbox.has_mark(&spot, mark).await?.ok_or_else(gone)?;
            if is_set == on {
                return Ok(done(false, None));
            }
            mailbox.mark(&spot, mark, on).await?;
            Ok(done(true, None))
        }
        Step::Put(target) => {
            let folder = mailbox.folder(target).await?;
            if spot.folder == folder {
                return Ok(done(false, Some(folder)));
            }
            // A server says OK to the move of an email that another client has just removed, too.
            mailbox.has_mark(&spot, SEEN).await?.ok_or_else(gone)?;
            let moved = mailbox.move_to(&spot, &plan.key, &folder).await?;
            if moved == Moved::Located || has_moved(mailbox, plan, &spot, &folder).await {
                let plan = Plan {
                    spot,
                    ..plan.clone()
                };
                return Ok(Done {
                    plan,
                    changed: true,
                    to: Some(folder),
                });
            }
            Err(ProviderError::Unknown {
                code: "imap_reply_lost",
                detail: "the server did not confirm the move".into(),
            })
        }
    }
}

/// Whether an email that the server says it moved is no longer where it was, or can be found where it belongs. A search alone does
/// not tell, because some servers find a new email only after a while; nor does the old place, because Gmail keeps every email in
/// the folder of all.
async fn has_moved(
    mailbox: &mut dyn Mailbox,
    plan: &Plan,
    spot: &MessageLocation,
    folder: &str,
) -> bool {
    let mark = mailbox.has_mark(spot, SEEN).await;
    matches!(mark, Ok(None)) || matches!(mailbox.find_in(&plan.key, folder).await, Ok(Some(_)))
}

/// Finds the email: in its previous folder, else in any other.
async fn locate(
    mailbox: &mut dyn Mailbox,
    plan: &Plan,
) -> Result<Option<MessageLocation>, ProviderError> {
    let found = mailbox.find_in(&plan.key, &plan.spot.folder).await?;
    if found.is_some() {
        return Ok(found);
    }
    mailbox.find(&plan.key, plan.change.among()).await
}

/// Returns whether the change is in place; for a move, also the folder.
async fn is_applied(
    mailbox: &mut dyn Mailbox,
    plan: &Plan,
) -> Result<Option<Option<String>>, ProviderError> {
    match plan.change.step() {
        Step::Mark(mark, on) => {
            let Some(spot) = locate(mailbox, plan).await? else {
                return Ok(None);
            };
            let is_set = mailbox.has_mark(&spot, mark).await?;
            Ok((is_set == Some(on)).then_some(None))
        }
        Step::Put(target) => {
            let folder = mailbox.folder(target).await?;
            let found = mailbox.find_in(&plan.key, &folder).await?;
            let left = folder == plan.spot.folder
                || mailbox
                    .find_in(&plan.key, &plan.spot.folder)
                    .await?
                    .is_none();
            Ok((found.is_some() && left).then_some(Some(folder)))
        }
    }
}

async fn undo(mailbox: &mut dyn Mailbox, done: &Done) -> Result<(), ProviderError> {
    let plan = &done.plan;
    match plan.change.step() {
        Step::Mark(mark, on) => {
            let spot = mailbox.find(&plan.key, SearchScope::Kept).await?;
            let spot = spot.ok_or_else(moved_on)?;
            let is_set = mailbox.has_mark(&spot, mark).await?.ok_or_else(moved_on)?;
            if is_set == on {
                mailbox.mark(&spot, mark, !on).await?;
            }
            Ok(())
        }
        Step::Put(_) => {
            let to = done.to.as_deref().ok_or_else(moved_on)?;
            if let Some(spot) = mailbox.find_in(&plan.key, to).await? {
                mailbox.move_to(&spot, &plan.key, &plan.spot.folder).await?;
                return Ok(());
            }
            // An earlier attempt or the user moved it back already.
            mailbox
                .find_in(&plan.key, &plan.spot.folder)
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
