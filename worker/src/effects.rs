//! What is done to the world, by type of action: [`way_of`]. Each file is one family; which of them may run is not decided
//! here, and how often neither: that is the ledger's (`jobs::commands::effects`).

mod about;
mod blocks;
mod calendar;
mod desk;
mod far;
mod inbox;
mod mail;
mod mailbox;
mod notify;
mod sent;
mod webhook;
mod written;

pub use far::Far;

use crate::providers::ProviderError;
use async_trait::async_trait;
use base::{JobId, TenantId};
use chrono::{DateTime, Utc};
use jobs::{
    commands::effects::local::{Done, Refusal},
    domain::{
        ApprovalId, MessageId, UserId,
        action::{ActionType, Executor, InboxChange, MessageSource, Params, TaskChange},
    },
    store::{connections::StoredConnection, effects::StoredEffect},
};
use serde_json::Value;
use sqlx::PgConnection;

/// One action, allowed and about to be done.
#[derive(Clone, Copy, Debug)]
pub struct Doing<'a> {
    pub tenant: TenantId,
    /// The job that does it.
    pub job: JobId,
    /// Who asked for it, or agreed to it; nobody if a rule did.
    pub user: Option<UserId>,
    pub kind: ActionType,
    pub params: &'a Params,
    /// The mail it is about.
    pub message: Option<MessageId>,
    pub approval: Option<ApprovalId>,
    /// The name of the effect.
    pub key: [u8; 32],
    pub now: DateTime<Utc>,
    /// The request that caused it, however many steps ago, for jobs that go on from it.
    pub request_id: Option<&'a str>,
    pub traceparent: Option<&'a str>,
}

/// An effect on our own tables: it commits together with its line in the ledger.
#[async_trait]
pub trait LocalEffect: Send + Sync {
    /// # Errors
    /// [`Refusal::Refused`] with what the user is told; what was written by then is rolled back.
    async fn apply(&self, conn: &mut PgConnection, doing: &Doing<'_>) -> Result<Done, Refusal>;

    /// Takes it back; asked only of types that are
    /// [compensable](jobs::domain::action::ActionSpec::compensable).
    ///
    /// # Errors
    /// [`Refusal::Refused`] if the world has moved on since.
    async fn revert(
        &self,
        conn: &mut PgConnection,
        tenant: TenantId,
        done: &StoredEffect,
    ) -> Result<(), Refusal>;
}

/// Something that is ready to leave the house.
#[derive(Debug)]
pub struct Prepared {
    pub connection: StoredConnection,
    /// Of a mail.
    pub message_id: Option<String>,
    /// All that is needed to do it, and to do the same again.
    pub rendered: Vec<u8>,
    /// What a dry run tells.
    pub would: Value,
}

/// Why something did not get ready.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// It cannot be done as things are. The message is the user's.
    #[error("{code}")]
    Refused { code: &'static str, message: String },
    #[error("the provider did not answer as it should")]
    Provider {
        connection: Box<StoredConnection>,
        source: ProviderError,
    },
    #[error("the database refused")]
    Database(#[from] sqlx::Error),
}

impl Trouble {
    pub(crate) fn refused(code: &'static str, message: impl Into<String>) -> Self {
        Self::Refused {
            code,
            message: message.into(),
        }
    }
}

/// What the other side says it did.
#[derive(Clone, Debug, PartialEq)]
pub struct Receipt {
    /// By which it can be found there; the user sees it.
    pub receipt: Value,
    /// What was there before, if that is needed to take it back.
    pub before_image: Option<Value>,
}

/// What the other side knows of something that may have been done.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    Done(Receipt),
    /// Certainly not done, and doing it now does it once.
    NotDone,
    CannotSay,
}

/// An effect that leaves the house by a connection. In what order and how often these are asked is the ledger's.
#[async_trait]
pub trait Remote: Send + Sync {
    /// Resolves what it is done to, and renders it. May read from the provider; changes nothing there or here.
    ///
    /// # Errors
    /// [`Trouble::Refused`] with what the user is told.
    async fn prepare(&self, far: &Far<'_>, doing: &Doing<'_>) -> Result<Prepared, Trouble>;

    /// Does it, now that the ledger says `in_flight`. `rendered` is what was prepared the first time it was tried.
    ///
    /// # Errors
    /// Classed by what it means for a second try.
    async fn perform(
        &self,
        far: &Far<'_>,
        connection: &StoredConnection,
        rendered: Vec<u8>,
    ) -> Result<Receipt, ProviderError>;

    /// Asks the provider what became of something that may have been done.
    ///
    /// # Errors
    /// If it does not answer; then it is asked again.
    async fn look(
        &self,
        _far: &Far<'_>,
        _connection: &StoredConnection,
        _effect: &StoredEffect,
        _rendered: &[u8],
    ) -> Result<Found, ProviderError> {
        Ok(Found::CannotSay)
    }

    /// Takes it back; asked only of types that are
    /// [compensable](jobs::domain::action::ActionSpec::compensable), and again after a crash.
    ///
    /// # Errors
    /// [`ProviderError::Permanent`] if the world has moved on since.
    async fn revert(
        &self,
        _far: &Far<'_>,
        _connection: &StoredConnection,
        _done: &StoredEffect,
    ) -> Result<(), ProviderError> {
        Err(ProviderError::Permanent {
            code: "not_compensable",
            message: NOT_COMPENSABLE.to_owned(),
        })
    }
}

/// How a type of action is done.
#[derive(Clone, Copy)]
pub enum Way {
    Local(&'static dyn LocalEffect),
    Remote(&'static dyn Remote),
}

/// Returns the code of an executor.
pub fn way_of(executor: Executor) -> Way {
    match executor {
        Executor::Mailbox(_) => Way::Remote(&mailbox::InMailbox),
        Executor::Message(MessageSource::Draft) => Way::Remote(&mail::ByMail(mail::SendDraft)),
        Executor::Message(MessageSource::New) => Way::Remote(&mail::ByMail(mail::Send)),
        Executor::Message(MessageSource::Reply) => Way::Remote(&mail::ByMail(about::Reply)),
        Executor::Message(MessageSource::Forward) => Way::Remote(&mail::ByMail(about::Forward)),
        Executor::CalendarEvent => Way::Remote(&calendar::CreateEvent),
        Executor::Webhook => Way::Remote(&webhook::CallWebhook),
        Executor::Draft => Way::Local(&written::HaveWritten),
        Executor::Task(TaskChange::Create) => Way::Local(&desk::CreateTask),
        Executor::Task(TaskChange::Update) => Way::Local(&desk::UpdateTask),
        Executor::Task(TaskChange::Link) => Way::Local(&desk::Link),
        Executor::Contact => Way::Local(&desk::UpsertContact),
        Executor::Block => Way::Local(&blocks::ScheduleBlock),
        Executor::Inbox(InboxChange::Snooze) => Way::Local(&inbox::Snooze),
        Executor::Inbox(InboxChange::Defer) => Way::Local(&inbox::Defer),
        Executor::Notification => Way::Local(&notify::Notify),
    }
}

const NOT_COMPENSABLE: &str = "This cannot be taken back.";

/// What cannot be taken back says so.
fn not_compensable() -> Refusal {
    Refusal::refused("not_compensable", NOT_COMPENSABLE)
}
