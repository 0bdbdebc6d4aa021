//! `reply` with a text, and `forward`: emails about a stored email. Code derives the recipients of a reply, the subject and the
//! thread; the user gives the text.

use super::{
    ActionContext, PrepareError, Prepared, ProviderContext,
    mail::{Compose, Writer, prepare, sending_connection},
};
use crate::messages::load_parsed;
use async_trait::async_trait;
use jobs::{
    domain::{
        draft::{
            OutgoingMessage,
            headers::{self, Headers, Recipients},
            original, send_at,
        },
        mail::Mail,
    },
    store::{connections, tenants, users},
};

/// Replies with the text that the user gave.
pub(super) struct Reply;

#[async_trait]
impl Compose for Reply {
    async fn prepare(
        &self,
        providers: &ProviderContext<'_>,
        action: &ActionContext<'_>,
    ) -> Result<Prepared, PrepareError> {
        if action.params.get("instructions").is_some() {
            return Err(PrepareError::refused(
                "two_texts",
                "Give either the text of the reply (`body`) or `instructions` for one, not both.",
            ));
        }
        let mail = stored_mail(providers, action).await?;
        let accounts = accounts(providers, action).await?;
        let account = mail.account_among(&accounts);
        let connection = sending_connection(providers.ctx, action, account).await?;
        let own = own_addresses(providers, action, &accounts).await?;
        let headers = headers::answer(&mail, false, &own).map_err(|_| {
            PrepareError::refused(
                "nobody_to_answer",
                "The reply would have no recipient but you.",
            )
        })?;
        let body = action.params.get("body").unwrap_or_default().to_owned();
        let body = match quoted(providers, action, &mail).await? {
            Some(original) => original::above(&body, &original),
            None => body,
        };
        let outgoing = outgoing(headers, body);
        let now = providers.ctx.clock.now();
        prepare(action, connection, &outgoing, Writer::Person, now)
    }
}

/// Forwards the email, as stored, to one address.
pub(super) struct Forward;

#[async_trait]
impl Compose for Forward {
    async fn prepare(
        &self,
        providers: &ProviderContext<'_>,
        action: &ActionContext<'_>,
    ) -> Result<Prepared, PrepareError> {
        let mail = stored_mail(providers, action).await?;
        let to = Recipients {
            to: action
                .params
                .get("to")
                .map(str::to_owned)
                .into_iter()
                .collect(),
            ..Recipients::default()
        };
        let headers = headers::forward(&mail, to)
            .map_err(|_| PrepareError::refused("bad_address", "Give a valid address in `to`."))?;
        let note = action.params.get("note").unwrap_or_default();
        let outgoing = outgoing(headers, original::above(note, &original::forwarded(&mail)));
        let connection = sending_connection(providers.ctx, action, None).await?;
        let now = providers.ctx.clock.now();
        prepare(action, connection, &outgoing, Writer::Person, now)
    }
}

/// Renders the original below an answer, if the tenant wants it there, as in drafts.
async fn quoted(
    providers: &ProviderContext<'_>,
    action: &ActionContext<'_>,
    mail: &Mail,
) -> Result<Option<String>, sqlx::Error> {
    let mut conn = providers.ctx.pool.acquire().await?;
    let settings = tenants::settings(&mut conn, action.tenant).await?;
    if !settings.quote_original {
        return Ok(None);
    }
    let person = match action.user {
        Some(user) => users::correspondent(&mut conn, action.tenant, user).await?,
        None => None,
    };
    let zone = person.as_ref().map_or("UTC", |person| &person.timezone);
    Ok(original::quoted(mail, send_at::zone(zone)))
}

fn outgoing(headers: Headers, body_text: String) -> OutgoingMessage {
    OutgoingMessage {
        from: None,
        to: headers.to,
        cc: headers.cc,
        bcc: headers.bcc,
        subject: headers.subject,
        in_reply_to: headers.in_reply_to,
        references: headers.references,
        body_text,
        send_at: None,
    }
}

pub(super) async fn stored_mail(
    providers: &ProviderContext<'_>,
    action: &ActionContext<'_>,
) -> Result<Mail, PrepareError> {
    let message = action.message.ok_or_else(|| {
        PrepareError::refused(
            "message_required",
            "Give `message_id`: the email to answer or forward.",
        )
    })?;
    let loaded = load_parsed(&providers.ctx.pool, action.tenant, message).await?;
    Ok(loaded.mail)
}

/// Returns the addresses of the user's mail accounts, oldest first.
pub(super) async fn accounts(
    providers: &ProviderContext<'_>,
    action: &ActionContext<'_>,
) -> Result<Vec<String>, sqlx::Error> {
    let Some(user) = action.user else {
        return Ok(Vec::new());
    };
    let mut conn = providers.ctx.pool.acquire().await?;
    connections::mail_addresses(&mut conn, action.tenant, user).await
}

async fn own_addresses(
    providers: &ProviderContext<'_>,
    action: &ActionContext<'_>,
    accounts: &[String],
) -> Result<Vec<String>, sqlx::Error> {
    let mut own: Vec<String> = accounts
        .iter()
        .map(|account| account.to_lowercase())
        .collect();
    if let Some(user) = action.user {
        let mut conn = providers.ctx.pool.acquire().await?;
        let person = users::correspondent(&mut conn, action.tenant, user).await?;
        own.extend(person.map(|person| person.email.to_lowercase()));
    }
    Ok(own)
}
