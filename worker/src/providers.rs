//! Clients of mail servers, calendars and webhooks: one trait per capability, opened per connection by [`Providers`].
//!
//! Knows protocols, and nothing of jobs, approvals or the ledger. A new provider is a new file here, and a new trait if its
//! capability is new.

mod caldav;
pub mod guard;
pub mod imap;
mod key_set;
pub mod mailbox;
mod smtp;
mod unsubscribe;
mod web;
mod webhook;

use async_trait::async_trait;
use base::TenantId;
use caldav::CalDav;
use chrono::{DateTime, TimeDelta, Utc};
use guard::Guard;
use imap::{Imap, Slots};
use jobs::{
    commands::connections::connect::{open_login, open_webhook_secret},
    domain::{
        blocks::Span,
        connection::{Settings, WebUrl},
        effect::RenderedEmail,
        mail::deliverable,
    },
    secrets::{KeyRing, Unsealable},
    store::connections::StoredConnection,
};
use serde_json::Value;
use smtp::Smtp;
use web::WebClient;
use webhook::Webhook;

/// A failed request to a provider, classified by what may be done next.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// Certainly not done; a retry may succeed.
    #[error("{code}: {detail}")]
    Retryable { code: &'static str, detail: String },
    /// Permanently refused; the message is for the user.
    #[error("{code}")]
    Permanent { code: &'static str, message: String },
    /// May have been done.
    #[error("{code}: {detail}")]
    Unknown { code: &'static str, detail: String },
    /// The provider rejects the secret.
    #[error("{code}")]
    Reauth { code: &'static str },
    /// No request before this time.
    #[error("rate limited")]
    RateLimited { until: DateTime<Utc> },
    /// No request for so long: for clients that are not given the time.
    #[error("rate limited")]
    Throttled { wait: TimeDelta },
}

impl ProviderError {
    /// Returns the code for the ledger.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Retryable { code, .. }
            | Self::Permanent { code, .. }
            | Self::Unknown { code, .. }
            | Self::Reauth { code } => code,
            Self::RateLimited { .. } | Self::Throttled { .. } => "provider_rate",
        }
    }
}

/// What happens to an email if the server defers one of its recipients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDeferral {
    /// A later try may reach all of them.
    SendNothing,
    /// There is no later try.
    SendToOthers,
}

/// Sends email.
#[async_trait]
pub trait Mailer: Send + Sync {
    /// Sends the email and returns the server's response. Its `refused` lists the recipients to whom the email was not sent,
    /// each with `address` and the `status` of RFC 3463.
    ///
    /// # Errors
    /// Classified by whether a retry is safe.
    async fn send(
        &self,
        mail: &RenderedEmail,
        on_deferral: OnDeferral,
    ) -> Result<Value, ProviderError>;

    /// Connects and logs in without sending.
    ///
    /// # Errors
    /// The same as for sending.
    async fn check(&self) -> Result<(), ProviderError>;
}

/// Calls a webhook.
#[async_trait]
pub trait Caller: Send + Sync {
    /// Posts the body and returns the response. The receiver recognises repeats by `id`.
    ///
    /// # Errors
    /// Classified by whether a retry is safe.
    async fn call(&self, id: &str, body: &[u8], now: DateTime<Utc>)
    -> Result<Value, ProviderError>;
}

/// A calendar entry.
#[derive(Clone, Debug)]
pub struct CalendarEntry {
    /// Changes with every change of the entry.
    pub etag: Option<String>,
    pub event: Vec<u8>,
}

/// The result of creating an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PutResult {
    /// With the ETag, if the server returns one.
    Created(Option<String>),
    /// The name is in use; nothing was changed.
    Exists,
}

/// The result of deleting an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteResult {
    /// Deleted, or already absent.
    Deleted,
    /// Changed since; nothing was deleted.
    Changed,
}

/// Stores events.
#[async_trait]
pub trait Calendar: Send + Sync {
    /// Creates an entry under a new name.
    ///
    /// # Errors
    /// Classified by whether a retry is safe.
    async fn put_new(
        &self,
        name: &str,
        event: &[u8],
        now: DateTime<Utc>,
    ) -> Result<PutResult, ProviderError>;

    /// Checks that the calendar exists.
    ///
    /// # Errors
    /// [`ProviderError::Permanent`] if the URL is not a calendar.
    async fn check(&self, now: DateTime<Utc>) -> Result<(), ProviderError>;

    /// Reads an entry.
    ///
    /// # Errors
    /// If the server does not answer.
    async fn get(
        &self,
        name: &str,
        now: DateTime<Utc>,
    ) -> Result<Option<CalendarEntry>, ProviderError>;

    /// Lists when the calendar's owner is busy, without saying with what.
    ///
    /// # Errors
    /// If the server does not answer, or does not know the query.
    async fn busy(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<Vec<Span>, ProviderError>;

    /// Deletes an entry if it still has this ETag.
    ///
    /// # Errors
    /// Classified; a retry is always safe.
    async fn delete(
        &self,
        name: &str,
        etag: &str,
        now: DateTime<Utc>,
    ) -> Result<DeleteResult, ProviderError>;
}

/// The connection cannot be opened by this process.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("CREDENTIAL_KEYS is not set")]
    NoKeys,
    #[error("the secret cannot be decrypted")]
    Sealed(#[from] Unsealable),
    #[error("the connection is of another kind")]
    OtherKind,
}

/// Opens connections.
#[derive(Clone, Debug)]
pub struct Providers {
    keys: Option<KeyRing>,
    guard: Guard,
    helo_name: Option<String>,
    slots: Slots,
}

impl Providers {
    /// `helo_name` greets mail servers; without one, it is the domain of the sender's address.
    pub fn new(keys: Option<KeyRing>, guard: Guard, helo_name: Option<String>) -> Self {
        Self {
            keys,
            guard,
            helo_name,
            slots: Slots::default(),
        }
    }

    /// Returns the outgoing mail server of an account.
    ///
    /// # Errors
    /// If the secret cannot be decrypted.
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
            login: secret.for_smtp(),
            helo_name: self.helo_name_for(&connection.address),
            guard: self.guard,
        }))
    }

    /// Returns the name to greet the mail server of this address with: some refuse one that they cannot resolve.
    fn helo_name_for(&self, address: &str) -> String {
        let of_sender = || {
            let domain = deliverable(address)?.rsplit_once('@')?.1.to_owned();
            Some(domain).filter(|domain| domain.contains('.'))
        };
        let name = self.helo_name.clone().or_else(of_sender);
        name.unwrap_or_else(|| "[127.0.0.1]".to_owned())
    }

    /// Returns the account's mailbox; none if the account only sends.
    ///
    /// # Errors
    /// If the secret cannot be decrypted.
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
            slots: self.slots.of(connection.id),
        }))
    }

    /// Returns a calendar.
    ///
    /// # Errors
    /// If the secret cannot be decrypted.
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
            web: WebClient(self.guard),
        }))
    }

    /// Unsubscribes from a list at the address that its email names.
    ///
    /// # Errors
    /// Classified; a retry is always safe.
    pub async fn unsubscribe(
        &self,
        url: &WebUrl,
        now: DateTime<Utc>,
    ) -> Result<Value, ProviderError> {
        unsubscribe::unsubscribe(WebClient(self.guard), url, now).await
    }

    /// Fetches the public keys of an identity provider, as JSON.
    ///
    /// # Errors
    /// Classified; a retry is always safe.
    pub async fn key_set(&self, url: &WebUrl) -> Result<Value, ProviderError> {
        key_set::fetch(WebClient(self.guard), url).await
    }

    /// Returns a webhook.
    ///
    /// # Errors
    /// If the secret cannot be decrypted.
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
        let secret = open_webhook_secret(keys, tenant, connection.id, sealed)?;
        Ok(Box::new(Webhook {
            url: secret.url.unwrap_or_else(|| settings.url.clone()),
            secret: secret.signing,
            web: WebClient(self.guard),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_server_is_greeted_by_the_given_name_or_the_senders_domain() {
        let greeting = |name: Option<&str>, address: &str| {
            let name = name.map(str::to_owned);
            Providers::new(None, Guard::Public, name).helo_name_for(address)
        };
        let sender = "ada@b\u{fc}cher.example";
        assert_eq!(greeting(Some("mx.example.org"), sender), "mx.example.org");
        assert_eq!(greeting(None, sender), "xn--bcher-kva.example");
        assert_eq!(greeting(None, "ada@localhost"), "[127.0.0.1]");
    }
}
