//! What is done to a mail in its user's mailbox: marks and folders. The mail is found by its Message-ID, and what it was like
//! before is written down with the plan, so that a crash does not lose it. All of it can be taken back, each as far as we
//! were the ones who did it.

mod account;
mod plan;

use super::{Doing, Far, Found, Prepared, Receipt, Remote, Trouble, far::unready};
use crate::providers::{
    ProviderError,
    mailbox::{Among, Mailbox, Spot},
};
use account::{Mailed, account_of, mailed};
use async_trait::async_trait;
use jobs::store::{connections::StoredConnection, effects::StoredEffect};
use plan::{Change, Done, Plan};

/// `label`, `unlabel`, `mark_read`, `star`, `archive`, `move`, `trash` and `spam`.
pub(super) struct InMailbox;

#[async_trait]
impl Remote for InMailbox {
    async fn prepare(&self, far: &Far<'_>, doing: &Doing<'_>) -> Result<Prepared, Trouble> {
        let change = Change::of(doing).ok_or_else(|| {
            Trouble::refused("not_executable", "This version of Postroom cannot do this.")
        })?;
        let mail = mailed(far.ctx, doing).await?;
        let connection = account_of(far.ctx, doing, &mail).await?;
        let found = before(far, &connection, &mail, &change).await;
        let (spot, was) = match found {
            Ok(Some(found)) => found,
            Ok(None) => return Err(Trouble::refused("message_gone", GONE)),
            Err(source) => {
                return Err(Trouble::Provider {
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
            would: plan.change.told(),
            rendered: plan.packed(),
            connection,
            message_id: None,
        })
    }

    async fn perform(
        &self,
        far: &Far<'_>,
        connection: &StoredConnection,
        rendered: Vec<u8>,
    ) -> Result<Receipt, ProviderError> {
        let plan =
            Plan::unpacked(&rendered).ok_or_else(|| unready("what was prepared cannot be read"))?;
        let mut mailbox = open(far, connection).await?;
        let done = carry_out(&mut *mailbox, &plan).await;
        mailbox.close().await;
        Ok(done?.receipt())
    }

    async fn look(
        &self,
        far: &Far<'_>,
        connection: &StoredConnection,
        _effect: &StoredEffect,
        rendered: &[u8],
    ) -> Result<Found, ProviderError> {
        let plan =
            Plan::unpacked(rendered).ok_or_else(|| unready("what was prepared cannot be read"))?;
        let mut mailbox = open(far, connection).await?;
        let stands = stands(&mut *mailbox, &plan).await;
        mailbox.close().await;
        Ok(match stands? {
            // To do it again changes nothing: whether it was there is all that matters.
            None => Found::NotDone,
            Some(to) => {
                let changed = !plan.was;
                Found::Done(Done { plan, changed, to }.receipt())
            }
        })
    }

    async fn revert(
        &self,
        far: &Far<'_>,
        connection: &StoredConnection,
        done: &StoredEffect,
    ) -> Result<(), ProviderError> {
        let done = done
            .before_image
            .as_ref()
            .and_then(Done::read)
            .ok_or_else(|| unready("what was done cannot be read"))?;
        if !done.changed {
            // It was so before we came.
            return Ok(());
        }
        let mut mailbox = open(far, connection).await?;
        let undone = undo(&mut *mailbox, &done).await;
        mailbox.close().await;
        undone
    }
}

const GONE: &str = "The mail is not in the mailbox any more.";

async fn open(
    far: &Far<'_>,
    connection: &StoredConnection,
) -> Result<Box<dyn Mailbox>, ProviderError> {
    far.mailbox(connection)
        .await?
        .ok_or_else(|| ProviderError::Permanent {
            code: "no_mailbox",
            message: account::NO_MAILBOX.to_owned(),
        })
}

/// Where the mail is, and whether it is already as it is to be.
async fn before(
    far: &Far<'_>,
    connection: &StoredConnection,
    mail: &Mailed,
    change: &Change,
) -> Result<Option<(Spot, bool)>, ProviderError> {
    let mut mailbox = open(far, connection).await?;
    let found = async {
        let Some(spot) = mailbox.find(&mail.message_id, change.among()).await? else {
            return Ok(None);
        };
        let was = match change {
            Change::Mark { flag, on } => {
                let flags = mailbox.flags(&spot).await?.unwrap_or_default();
                plan::has(&flags, flag) == *on
            }
            // Where it is to be is looked up when it goes there: that may make the folder.
            Change::Put { .. } => false,
        };
        Ok(Some((spot, was)))
    };
    let found = found.await;
    mailbox.close().await;
    found
}

async fn carry_out(mailbox: &mut dyn Mailbox, plan: &Plan) -> Result<Done, ProviderError> {
    let spot = whereabouts(mailbox, plan).await?.ok_or_else(gone)?;
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
            // A server moves what is not there any more without a word.
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
                    detail: "where the mail is now was not told".into(),
                }),
            }
        }
    }
}

/// Where the mail is now: where it was, or wherever else its name is found.
async fn whereabouts(
    mailbox: &mut dyn Mailbox,
    plan: &Plan,
) -> Result<Option<Spot>, ProviderError> {
    let there = mailbox.find_in(&plan.message_id, &plan.spot.folder).await?;
    if there.is_some() {
        return Ok(there);
    }
    mailbox.find(&plan.message_id, plan.change.among()).await
}

/// Whether the mail is as it was to be; for a folder, which one that is.
async fn stands(
    mailbox: &mut dyn Mailbox,
    plan: &Plan,
) -> Result<Option<Option<String>>, ProviderError> {
    match &plan.change {
        Change::Mark { flag, on } => {
            let Some(spot) = whereabouts(mailbox, plan).await? else {
                return Ok(None);
            };
            let flags = mailbox.flags(&spot).await?;
            let so = flags.is_some_and(|flags| plan::has(&flags, flag) == *on);
            Ok(so.then_some(None))
        }
        Change::Put { target } => {
            let folder = mailbox.folder(target).await?;
            let there = mailbox.find_in(&plan.message_id, &folder).await?;
            let left = folder == plan.spot.folder
                || mailbox
                    .find_in(&plan.message_id, &plan.spot.folder)
                    .await?
                    .is_none();
            Ok((there.is_some() && left).then_some(Some(folder)))
        }
    }
}

async fn undo(mailbox: &mut dyn Mailbox, done: &Done) -> Result<(), ProviderError> {
    let plan = &done.plan;
    match &plan.change {
        Change::Mark { flag, on } => {
            let spot = mailbox.find(&plan.message_id, Among::Kept).await?;
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
            // It is back already: an earlier try, or its user.
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
        message: "The mail is not where it was put any more; nothing was changed.".to_owned(),
    }
}
