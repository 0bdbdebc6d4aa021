//! The far side as an effect sees it: [`Far`] opens the connection it goes by.

use crate::providers::{Calendar, Caller, Mailer, ProviderError, Providers, mailbox::Mailbox};
use jobs::store::connections::{self, StoredConnection};
use queue::runtime::handler::JobContext;

/// What it takes to reach the far side.
#[derive(Clone, Copy)]
pub struct Far<'a> {
    pub ctx: &'a JobContext,
    pub providers: &'a Providers,
}

impl Far<'_> {
    /// # Errors
    /// [`ProviderError::Retryable`] if the secret cannot be read or opened here.
    pub async fn mailer(
        &self,
        connection: &StoredConnection,
    ) -> Result<Box<dyn Mailer>, ProviderError> {
        let sealed = self.sealed(connection).await?;
        self.providers
            .mailer(self.ctx.job.tenant, connection, &sealed)
            .map_err(|_| unready("the secret cannot be opened"))
    }

    /// # Errors
    /// [`ProviderError::Retryable`] if the secret cannot be read or opened here.
    pub async fn caller(
        &self,
        connection: &StoredConnection,
    ) -> Result<Box<dyn Caller>, ProviderError> {
        let sealed = self.sealed(connection).await?;
        self.providers
            .caller(self.ctx.job.tenant, connection, &sealed)
            .map_err(|_| unready("the secret cannot be opened"))
    }

    /// The account's mailbox, opened; `None` if it has none.
    ///
    /// # Errors
    /// As [`mailer`](Self::mailer), and if the server does not let us in.
    pub async fn mailbox(
        &self,
        connection: &StoredConnection,
    ) -> Result<Option<Box<dyn Mailbox>>, ProviderError> {
        let sealed = self.sealed(connection).await?;
        let found = self
            .providers
            .mailbox(self.ctx.job.tenant, connection, &sealed)
            .map_err(|_| unready("the secret cannot be opened"))?;
        match found {
            Some(mailbox) => mailbox.open().await.map(Some),
            None => Ok(None),
        }
    }

    /// # Errors
    /// [`ProviderError::Retryable`] if the secret cannot be read or opened here.
    pub async fn calendar(
        &self,
        connection: &StoredConnection,
    ) -> Result<Box<dyn Calendar>, ProviderError> {
        let sealed = self.sealed(connection).await?;
        self.providers
            .calendar(self.ctx.job.tenant, connection, &sealed)
            .map_err(|_| unready("the secret cannot be opened"))
    }

    /// The secret of a connection, still sealed.
    async fn sealed(&self, connection: &StoredConnection) -> Result<Vec<u8>, ProviderError> {
        let read = async {
            let mut conn = self.ctx.pool.acquire().await?;
            connections::sealed_secret(&mut conn, self.ctx.job.tenant, connection.id).await
        };
        read.await
            .map_err(|_| unready("the secret could not be read"))?
            .ok_or_else(|| unready("the connection is gone"))
    }
}

/// Our side is not ready: nothing was done.
pub(super) fn unready(detail: &str) -> ProviderError {
    ProviderError::Retryable {
        code: "internal_error",
        detail: detail.to_owned(),
    }
}
