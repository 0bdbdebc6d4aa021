//! `unsubscribe`: takes the user off a mailing list with the one request that the list's email offers (RFC 8058).

use super::{
    ActionContext, Lookup, PrepareError, Prepared, ProviderContext, Receipt, RemoteEffect,
    mail::sending_connection,
    provider_context::internal_error,
    reply::{accounts, stored_mail},
};
use crate::providers::ProviderError;
use async_trait::async_trait;
use jobs::{
    domain::{connection::WebUrl, mail::one_click},
    store::{connections::StoredConnection, effects::StoredEffect},
};
use serde_json::json;

pub(super) struct Unsubscribe;

#[async_trait]
impl RemoteEffect for Unsubscribe {
    async fn prepare(
        &self,
        providers: &ProviderContext<'_>,
        action: &ActionContext<'_>,
    ) -> Result<Prepared, PrepareError> {
        let mail = stored_mail(providers, action).await?;
        if mail.dmarc_failed() {
            return Err(PrepareError::refused(
                "sender_disowned",
                "The sender's domain disowns this email, so its address to unsubscribe at may be forged.",
            ));
        }
        let url = one_click(&mail)
            .map_err(|error| PrepareError::refused("not_one_click", error.user_message()))?;
        // The account whose subscription ends; its state and the switch for sending hold for this as for an email.
        let accounts = accounts(providers, action).await?;
        let account = mail.account_among(&accounts);
        let connection = sending_connection(providers.ctx, action, account).await?;
        Ok(Prepared {
            would: json!({ "unsubscribe": connection.address, "post_to": url.to_string() }),
            connection,
            message_id: None,
            rendered: url.to_string().into_bytes(),
        })
    }

    async fn perform(
        &self,
        providers: &ProviderContext<'_>,
        _connection: &StoredConnection,
        rendered: Vec<u8>,
    ) -> Result<Receipt, ProviderError> {
        let text = String::from_utf8(rendered).unwrap_or_default();
        let url = WebUrl::of_email(&text)
            .map_err(|_| internal_error("the stored address is unreadable"))?;
        let now = providers.ctx.clock.now();
        let receipt = providers.providers.unsubscribe(&url, now).await?;
        Ok(Receipt {
            receipt,
            before_image: None,
        })
    }

    /// A repeated request finds nothing to do.
    async fn look_up(
        &self,
        _providers: &ProviderContext<'_>,
        _connection: &StoredConnection,
        _effect: &StoredEffect,
        _rendered: &[u8],
    ) -> Result<Lookup, ProviderError> {
        Ok(Lookup::NotDone)
    }
}
