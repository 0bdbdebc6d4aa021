//! The far side: one trait for each thing a provider can do, chosen per connection by [`Providers`]. Knows the wire and
//! nothing of jobs, approvals or the ledger.
//!
//! A new provider is a file here, and a trait if it can do something new.

mod caldav;
pub mod guard;
mod imap;
pub mod mailbox;
mod smtp;
mod web;
mod webhook;

use async_trait::async_trait;
use base::TenantId;
use caldav::CalDav;
use chrono::{DateTime, Utc};
use guard::Guard;
use imap::Imap;
use jobs::{
    commands::connections::connect::{open_login, open_signing_secret},
    domain::connection::Settings,
    secrets::{KeyRing, Unsealable},
    store::connections::StoredConnection,
};
use serde_json::Value;
use smtp::Smtp;
use web::Web;
use webhook::Webhook;

/// Why a provider did not do what it was asked, in terms of what may be done next.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// Certainly not done, and worth another try.
    #[error("{code}: {detail}")]
    Retryable { code: &'static str, detail: String },
    /// Refused for good. The message is the user's.
    #[error("{code}")]
    Permanent { code: &'static str, message: String },
    /// It may have been done.
    #[error("{code}: {detail}")]
    Unknown { code: &'static str, detail: String },
    /// The secret is not taken.
    #[error("{code}")]
    Reauth { code: &'static str },
    /// Not before then.
    #[error("rate limited")]
    RateLimited { until: DateTime<Utc> },
}

impl ProviderError {
    /// For the ledger.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Retryable { code, .. }
            | Self::Permanent { code, .. }
            | Self::Unknown { code, .. }
            | Self::Reauth { code } => code,
            Self::RateLimited { .. } => "provider_rate",
        }
    }
}

/// A rendered mail and where it goes.
#[derive(Clone, Debug)]
pub struct Outgoing {
    pub from: String,
    pub recipients: Vec<String>,
    /// The whole mail, as it is sent and sent again.
    pub bytes: Vec<u8>,
}

/// Sends mail.
#[async_trait]
pub trait Mailer: Send + Sync {
    /// Hands the mail over; what comes back is what the other side said.
    ///
    /// # Errors
    /// Classed by what it means for a second try.
    async fn send(&self, mail: &Outgoing) -> Result<Value, ProviderError>;

    /// Connects and signs in, and sends nothing.
    ///
    /// # Errors
    /// As a mail would get them.
    async fn check(&self) -> Result<(), ProviderError>;
}

/// Calls a webhook.
#[async_trait]
pub trait Caller: Send + Sync {
    /// Posts the body; what comes back is what the other side said. It knows a repetition by `id`.
    ///
    /// # Errors
    /// Classed by what it means for a second try.
    async fn call(&self, id: &str, body: &[u8], now: DateTime<Utc>)
    -> Result<Value, ProviderError>;
}

/// What is in a calendar under a name.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Changes whenever it does.
    pub etag: Option<String>,
    pub event: Vec<u8>,
}

/// What became of putting something in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Put {
    /// With the ETag, if the server says it.
    Made(Option<String>),
    /// Something was there; nothing was changed.
    Taken,
}

/// What became of taking something out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is there no more, or was not.
    Gone,
    /// It is not what it was; nothing was changed.
    Changed,
}

/// Keeps events.
#[async_trait]
pub trait Calendar: Send + Sync {
    /// Puts it under a name that nothing has yet.
    ///
    /// # Errors
    /// Classed by what it means for a second try.
    async fn put_new(
        &self,
        name: &str,
        event: &[u8],
        now: DateTime<Utc>,
    ) -> Result<Put, ProviderError>;

    /// Asks whether it is there.
    ///
    /// # Errors
    /// [`ProviderError::Permanent`] if what is there is no calendar.
    async fn check(&self, now: DateTime<Utc>) -> Result<(), ProviderError>;

    /// # Errors
    /// If the server does not say.
    async fn get(&self, name: &str, now: DateTime<Utc>) -> Result<Option<Entry>, ProviderError>;

    /// Takes it out as long as it is the one of this ETag.
    ///
    /// # Errors
    /// Classed by what it means for a second try, which does no harm.
    async fn delete(
        &self,
        name: &str,
        etag: &str,
        now: DateTime<Utc>,
    ) -> Result<Taken, ProviderError>;
}

/// A connection that cannot be used by this process.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("CREDENTIAL_KEYS is not set")]
    NoKeys,
    #[error("the secret cannot be opened")]
    Sealed(#[from] Unsealable),
    #[error("the connection is of another kind")]
    OtherKind,
}

/// Opens connections.
#[derive(Clone, Debug)]
pub struct Providers {
    keys: Option<KeyRing>,
    guard: Guard,
}

impl Providers {
    pub fn new(keys: Option<KeyRing>, guard: Guard) -> Self {
        Self { keys, guard }
    }

    /// # Errors
    /// If the secret cannot be opened.
    pub fn mailer(
        &self,
        tenant: TenantId,
        connection: &StoredConnection,
        sealed: &[u8],
    ) -> Result<Box<dyn Mailer>, OpenError> {
        let keys = self.keys.as_ref().ok_or(OpenError::NoKeys)?;
        let Settings::Mail(settings) = &connection.settings else {
            return Err(OpenError::OtherKind);
        };
        let secret = open_login(keys, tenant, connection.id, sealed)?;
        Ok(Box::new(Smtp {
            server: settings.smtp.clone(),
            secret,
            guard: self.guard,
        }))
    }

    /// Where the account's mailbox is; `None` for one that only sends.
    ///
    /// # Errors
    /// If the secret cannot be opened.
    pub fn mailbox(
        &self,
        tenant: TenantId,
        connection: &StoredConnection,
        sealed: &[u8],
    ) -> Result<Option<Imap>, OpenError> {
        let keys = self.keys.as_ref().ok_or(OpenError::NoKeys)?;
        let Settings::Mail(settings) = &connection.settings else {
            return Err(OpenError::OtherKind);
        };
        let Some(server) = settings.imap.clone() else {
            return Ok(None);
        };
        let secret = open_login(keys, tenant, connection.id, sealed)?;
        Ok(Some(Imap {
            server,
            secret,
            guard: self.guard,
        }))
    }

    /// # Errors
    /// If the secret cannot be opened.
    pub fn calendar(
        &self,
        tenant: TenantId,
        connection: &StoredConnection,
        sealed: &[u8],
    ) -> Result<Box<dyn Calendar>, OpenError> {
        let keys = self.keys.as_ref().ok_or(OpenError::NoKeys)?;
        let Settings::Calendar(settings) = &connection.settings else {
            return Err(OpenError::OtherKind);
        };
        Ok(Box::new(CalDav {
            collection: settings.url.clone(),
            secret: open_login(keys, tenant, connection.id, sealed)?,
            web: Web(self.guard),
        }))
    }

    /// # Errors
    /// If the secret cannot be opened.
    pub fn caller(
        &self,
        tenant: TenantId,
        connection: &StoredConnection,
        sealed: &[u8],
    ) -> Result<Box<dyn Caller>, OpenError> {
        let keys = self.keys.as_ref().ok_or(OpenError::NoKeys)?;
        let Settings::Webhook(settings) = &connection.settings else {
            return Err(OpenError::OtherKind);
        };
        Ok(Box::new(Webhook {
            url: settings.url.clone(),
            secret: open_signing_secret(keys, tenant, connection.id, sealed)?,
            web: Web(self.guard),
        }))
    }
}
