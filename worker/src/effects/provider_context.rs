//! Opens the connections of effects: [`ProviderContext`].

use crate::providers::{
    Calendar, Caller, Mailer, ProviderError, Providers, imap::reader::Reader, mailbox::Mailbox,
};
use jobs::{
    domain::connection::ConnectionStatus,
    store::connections::{self, StoredConnection},
};
use queue::runtime::handler::JobContext;

/// The job and the providers that its effects use.
#[derive(Clone, Copy)]
pub struct ProviderContext<'a> {
    pub ctx: &'a JobContext,
    pub providers: &'a Providers,
    refused: RefusedSecret,
}

/// What becomes of a secret that the provider has rejected.
#[derive(Clone, Copy, PartialEq, Eq)]
enum RefusedSecret {
    /// The job waits for a new one. Accounts are locked after some rejected log-ins, and many jobs may wait.
    Kept,
    Tried,
}

impl<'a> ProviderContext<'a> {
    pub const fn new(ctx: &'a JobContext, providers: &'a Providers) -> Self {
        Self {
            ctx,
            providers,
            refused: RefusedSecret::Kept,
        }
    }

    /// For a test of the connection, which finds out whether the provider accepts the secret by now.
    pub const fn for_test(ctx: &'a JobContext, providers: &'a Providers) -> Self {
        Self {
            ctx,
            providers,
            refused: RefusedSecret::Tried,
        }
    }

    /// Opens the outgoing mail server of an account.
    ///
    /// # Errors
    /// [`ProviderError::Retryable`] if the secret cannot be read or decrypted, [`ProviderError::Reauth`] if the provider has
    /// rejected it.
    pub async fn mailer(
        &self,
        connection: &StoredConnection,
    ) -> Result<Box<dyn Mailer>, ProviderError> {
        let sealed = self.sealed(connection).await?;
        self.providers
            .mailer(self.ctx.job.lease.tenant, connection, &sealed)
            .map_err(|_| internal_error("the secret cannot be decrypted"))
    }

    /// Opens a webhook.
    ///
    /// # Errors
    /// As [`mailer`](Self::mailer).
    pub async fn caller(
        &self,
        connection: &StoredConnection,
    ) -> Result<Box<dyn Caller>, ProviderError> {
        let sealed = self.sealed(connection).await?;
        self.providers
            .caller(self.ctx.job.lease.tenant, connection, &sealed)
            .map_err(|_| internal_error("the secret cannot be decrypted"))
    }

    /// Opens the mailbox of an account; none if the account has none.
    ///
    /// # Errors
    /// As [`mailer`](Self::mailer), and if the server rejects the login.
    pub async fn mailbox(
        &self,
        connection: &StoredConnection,
    ) -> Result<Option<Box<dyn Mailbox>>, ProviderError> {
        let sealed = self.sealed(connection).await?;
        let found = self
            .providers
            .mailbox(self.ctx.job.lease.tenant, connection, &sealed)
            .map_err(|_| internal_error("the secret cannot be decrypted"))?;
        match found {
            Some(mailbox) => mailbox.open().await.map(Some),
            None => Ok(None),
        }
    }

    /// Opens the mailbox of an account, to read only.
    ///
    /// # Errors
    /// As [`mailbox`](Self::mailbox), and if the account has none.
    pub async fn reader(&self, connection: &StoredConnection) -> Result<Reader, ProviderError> {
        let sealed = self.sealed(connection).await?;
        let found = self
            .providers
            .mailbox(self.ctx.job.lease.tenant, connection, &sealed)
            .map_err(|_| internal_error("the secret cannot be decrypted"))?;
        let mailbox = found.ok_or_else(|| ProviderError::Permanent {
            code: "no_mailbox",
            message: "This connection has no mailbox. Connect the account with `imap`.".to_owned(),
        })?;
        mailbox.open_reader().await
    }

    /// Opens a calendar.
    ///
    /// # Errors
    /// As [`mailer`](Self::mailer).
    pub async fn calendar(
        &self,
        connection: &StoredConnection,
    ) -> Result<Box<dyn Calendar>, ProviderError> {
        let sealed = self.sealed(connection).await?;
        self.providers
            .calendar(self.ctx.job.lease.tenant, connection, &sealed)
            .map_err(|_| internal_error("the secret cannot be decrypted"))
    }

    /// Reads the encrypted secret of a connection, to use it.
    async fn sealed(&self, connection: &StoredConnection) -> Result<Vec<u8>, ProviderError> {
        let is_refused = connection.status == ConnectionStatus::ReauthRequired;
        if is_refused && self.refused == RefusedSecret::Kept {
            return Err(ProviderError::Reauth {
                code: "reauth_required",
            });
        }
        let read = async {
            let mut conn = self.ctx.pool.acquire().await?;
            connections::sealed_secret(&mut conn, self.ctx.job.lease.tenant, connection.id).await
        };
        read.await
            .map_err(|_| internal_error("the secret could not be read"))?
            .ok_or_else(|| internal_error("the connection is gone"))
    }
}

/// A failure on our side, before anything was done.
pub(super) fn internal_error(detail: &str) -> ProviderError {
    ProviderError::Retryable {
        code: "internal_error",
        detail: detail.to_owned(),
    }
}
