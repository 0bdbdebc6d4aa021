//! The effect of each type of action: [`effect_of`]. Each file is one family of types.
//!
//! Does not decide whether an action may run (the gate does) or whether it runs again (`jobs::commands::effects` does).

mod blocks;
mod calendar;
mod contacts;
mod digest;
mod draft_request;
mod inbox;
mod mail;
mod mailbox;
mod notify;
mod provider_context;
mod record;
mod reply;
mod sent_folder;
mod tasks;
mod unsubscribe;
mod webhook;

pub use mail::OTHER_REPLY;
pub use provider_context::ProviderContext;

use crate::{messages::LoadError, providers::ProviderError};
use async_trait::async_trait;
use base::{JobId, TenantId};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use jobs::{
    commands::effects::local::{Done, Refusal},
    domain::{
        ApiKeyId, ApprovalId, MessageId, UserId,
        action::{ActionType, Executor, InboxChange, MessageSource, Params, TaskChange},
        draft::send_at::zone,
    },
    store::{connections::StoredConnection, effects::StoredEffect, users},
};
use serde_json::Value;
use sqlx::PgConnection;

/// One allowed action, about to be executed.
#[derive(Clone, Copy, Debug)]
pub struct ActionContext<'a> {
    pub tenant: TenantId,
    /// The job that executes it.
    pub job: JobId,
    /// The user in whose name it is executed; none for a rule.
    pub user: Option<UserId>,
    /// The API key that submitted it, directly or through another job.
    pub api_key: Option<ApiKeyId>,
    pub kind: ActionType,
    pub params: &'a Params,
    /// The email it concerns.
    pub message: Option<MessageId>,
    pub approval: Option<ApprovalId>,
    /// The key of the effect.
    pub key: [u8; 32],
    pub now: DateTime<Utc>,
    /// The HTTP request that caused it, directly or indirectly, for follow-up jobs.
    pub request_id: Option<&'a str>,
    pub traceparent: Option<&'a str>,
}

impl ActionContext<'_> {
    /// Returns the time zone of the user; UTC without one.
    async fn zone(&self, conn: &mut PgConnection) -> Result<Tz, sqlx::Error> {
        let person = match self.user {
            Some(user) => users::correspondent(conn, self.tenant, user).await?,
            None => None,
        };
        Ok(person.map_or(Tz::UTC, |person| zone(&person.timezone)))
    }
}

/// An effect on our own tables; it commits together with its ledger row.
#[async_trait]
pub trait LocalEffect: Send + Sync {
    /// Applies the effect.
    ///
    /// # Errors
    /// [`Refusal::Refused`] with the message for the user; the caller rolls back what was written so far.
    async fn apply(
        &self,
        conn: &mut PgConnection,
        action: &ActionContext<'_>,
    ) -> Result<Done, Refusal>;

    /// Reverts the effect; called for [compensable](jobs::domain::action::ActionSpec::compensable) types only.
    ///
    /// # Errors
    /// [`Refusal::Refused`] if the data was changed since.
    async fn undo(
        &self,
        conn: &mut PgConnection,
        tenant: TenantId,
        done: &StoredEffect,
    ) -> Result<(), Refusal>;
}

/// A remote effect that is ready to be performed.
#[derive(Debug)]
pub struct Prepared {
    pub connection: StoredConnection,
    /// The Message-ID of an email.
    pub message_id: Option<String>,
    /// Everything needed to perform the effect, and to repeat exactly the same.
    pub rendered: Vec<u8>,
    /// The result of a dry run.
    pub would: Value,
}

/// A remote effect could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The action is not possible; the message is for the user.
    #[error("{code}")]
    Refused { code: &'static str, message: String },
    #[error("the provider failed")]
    Provider {
        connection: Box<StoredConnection>,
        source: ProviderError,
    },
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

impl PrepareError {
    pub(crate) fn refused(code: &'static str, message: impl Into<String>) -> Self {
        Self::Refused {
            code,
            message: message.into(),
        }
    }
}

impl From<LoadError> for PrepareError {
    fn from(error: LoadError) -> Self {
        match error.refusal() {
            Ok((code, message)) => Self::refused(code, message),
            Err(error) => Self::Database(error),
        }
    }
}

impl From<LoadError> for Refusal {
    fn from(error: LoadError) -> Self {
        match error.refusal() {
            Ok((code, message)) => Self::refused(code, message),
            Err(error) => Self::Database(error),
        }
    }
}

/// The provider's confirmation of an effect.
#[derive(Clone, Debug, PartialEq)]
pub struct Receipt {
    /// Identifies the effect at the provider; the user sees it.
    pub receipt: Value,
    /// The state before the effect, if reverting needs it.
    pub before_image: Option<Value>,
}

/// The result of looking up an effect that may have happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Lookup {
    Done(Receipt),
    /// Certainly not done; performing it now does it once.
    NotDone,
    Unknown,
}

/// An effect at a provider, by a connection. The ledger decides the order and number of the calls.
#[async_trait]
pub trait RemoteEffect: Send + Sync {
    /// Resolves the target and renders the effect. May read from the provider; changes nothing.
    ///
    /// # Errors
    /// [`PrepareError::Refused`] with the message for the user.
    async fn prepare(
        &self,
        providers: &ProviderContext<'_>,
        action: &ActionContext<'_>,
    ) -> Result<Prepared, PrepareError>;

    /// Performs the effect after the ledger recorded it as `in_flight`. `rendered` comes from the first preparation.
    ///
    /// # Errors
    /// Classified by whether the effect may be tried again.
    async fn perform(
        &self,
        providers: &ProviderContext<'_>,
        connection: &StoredConnection,
        rendered: Vec<u8>,
    ) -> Result<Receipt, ProviderError>;

    /// Asks the provider whether an effect happened.
    ///
    /// # Errors
    /// If the provider does not answer; the caller asks again later.
    async fn look_up(
        &self,
        _providers: &ProviderContext<'_>,
        _connection: &StoredConnection,
        _effect: &StoredEffect,
        _rendered: &[u8],
    ) -> Result<Lookup, ProviderError> {
        Ok(Lookup::Unknown)
    }

    /// Reverts the effect; called for [compensable](jobs::domain::action::ActionSpec::compensable) types only, and again
    /// after a crash.
    ///
    /// # Errors
    /// [`ProviderError::Permanent`] if the data was changed since.
    async fn undo(
        &self,
        _providers: &ProviderContext<'_>,
        _connection: &StoredConnection,
        _done: &StoredEffect,
    ) -> Result<(), ProviderError> {
        Err(ProviderError::Permanent {
            code: "not_compensable",
            message: NOT_COMPENSABLE.to_owned(),
        })
    }
}

/// The code of an executor.
#[derive(Clone, Copy)]
pub enum Effect {
    Local(&'static dyn LocalEffect),
    Remote(&'static dyn RemoteEffect),
}

/// Returns the effect of an executor.
pub fn effect_of(executor: Executor) -> Effect {
    match executor {
        Executor::Mailbox(_) => Effect::Remote(&mailbox::MailboxEffect),
        Executor::Message(MessageSource::Draft) => {
            Effect::Remote(&mail::MailEffect(mail::SendDraft))
        }
        Executor::Message(MessageSource::New) => Effect::Remote(&mail::MailEffect(mail::Send)),
        Executor::Message(MessageSource::Reply) => Effect::Remote(&mail::MailEffect(reply::Reply)),
        Executor::Message(MessageSource::Forward) => {
            Effect::Remote(&mail::MailEffect(reply::Forward))
        }
        Executor::Message(MessageSource::Digest) => {
            Effect::Remote(&mail::MailEffect(digest::SendDigest))
        }
        Executor::CalendarEvent => Effect::Remote(&calendar::CreateEvent),
        Executor::Webhook => Effect::Remote(&webhook::CallWebhook),
        Executor::Unsubscribe => Effect::Remote(&unsubscribe::Unsubscribe),
        Executor::Draft => Effect::Local(&draft_request::DraftEffect),
        Executor::Task(TaskChange::Create) => Effect::Local(&tasks::CreateTask),
        Executor::Task(TaskChange::Update) => Effect::Local(&tasks::UpdateTask),
        Executor::Task(TaskChange::Link) => Effect::Local(&tasks::Link),
        Executor::Contact => Effect::Local(&contacts::UpsertContact),
        Executor::Block => Effect::Local(&blocks::ScheduleBlock),
        Executor::Inbox(InboxChange::Snooze) => Effect::Local(&inbox::Snooze),
        Executor::Inbox(InboxChange::Defer) => Effect::Local(&inbox::Defer),
        Executor::DigestEntry => Effect::Local(&digest::DigestAdd),
        Executor::Notification => Effect::Local(&notify::Notify),
    }
}

/// Returns the code and the message of a fault that no approval could mend; checked before a person is asked.
pub fn precheck(executor: Executor, params: &Params) -> Option<(&'static str, &'static str)> {
    match executor {
        Executor::CalendarEvent => calendar::precheck(params),
        Executor::Mailbox(_)
        | Executor::Message(_)
        | Executor::Webhook
        | Executor::Unsubscribe
        | Executor::Draft
        | Executor::Task(_)
        | Executor::Contact
        | Executor::Block
        | Executor::Inbox(_)
        | Executor::DigestEntry
        | Executor::Notification => None,
    }
}

const NOT_COMPENSABLE: &str = "This action cannot be undone.";

/// The refusal to undo a type that cannot be undone.
fn not_compensable() -> Refusal {
    Refusal::refused("not_compensable", NOT_COMPENSABLE)
}
