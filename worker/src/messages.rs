//! Loads a stored email and parses it: [`load_parsed`], and finds whose it is: [`owner_of`]. The one place that says what a
//! missing or unparsable email is called, for handlers and effects.

use base::TenantId;
use jobs::{
    domain::{
        MessageId, UserId,
        mail::{Mail, MailError},
    },
    store::{
        messages::{self, StoredMessage},
        users, watches,
    },
};
use sqlx::{PgConnection, PgPool};

/// A stored email, parsed.
pub(crate) struct ParsedMessage {
    pub(crate) mail: Mail,
    /// [`Mail::content_hash`].
    pub(crate) content_hash: [u8; 32],
    /// What was parsed, for those who read the attached documents too.
    pub(crate) stored: StoredMessage,
}

/// Why there is no parsed email.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    #[error("no row in messages")]
    Missing,
    #[error("the parser refused the email")]
    Parse(#[source] MailError),
    #[error("the parser panicked")]
    Panicked,
}

impl LoadError {
    /// The code and the message for the user; the database's error if that is the reason.
    pub(crate) fn refusal(self) -> Result<(&'static str, &'static str), sqlx::Error> {
        match self {
            Self::Database(error) => Err(error),
            Self::Missing => Ok((
                "message_missing",
                "This email is not stored or was deleted. Submit it again.",
            )),
            Self::Parse(error) => Ok(("unparsable_email", error.user_message())),
            Self::Panicked => Ok(("unparsable_email", "This email could not be parsed.")),
        }
    }
}

/// Loads and parses an email. Holds no connection while parsing.
///
/// # Errors
/// If the email is not stored or cannot be parsed, or the database fails.
pub(crate) async fn load_parsed(
    pool: &PgPool,
    tenant: TenantId,
    id: MessageId,
) -> Result<ParsedMessage, LoadError> {
    let mut conn = pool.acquire().await?;
    let stored = messages::find(&mut conn, tenant, id).await?;
    drop(conn);
    parse(stored).await
}

/// Parses what [`messages::find`] found, for callers within a transaction.
///
/// # Errors
/// If there is none or it cannot be parsed.
pub(crate) async fn parse(stored: Option<StoredMessage>) -> Result<ParsedMessage, LoadError> {
    let stored = stored.ok_or(LoadError::Missing)?;
    // Parsing may take long; it must not block the other jobs of this thread.
    tokio::task::spawn_blocking(move || {
        let mail = Mail::from_source(stored.format, &stored.source).map_err(LoadError::Parse)?;
        let content_hash = mail.content_hash();
        Ok(ParsedMessage {
            mail,
            content_hash,
            stored,
        })
    })
    .await
    // The text of a panic may quote the email.
    .unwrap_or(Err(LoadError::Panicked))
}

/// Finds whose mailbox an email arrived in: the first recipient that is a user, else the user whose watched mailbox has it. An
/// email of a mailing list may name none of its recipients.
pub(crate) async fn owner_of(
    conn: &mut PgConnection,
    tenant: TenantId,
    mail: &Mail,
    content_hash: &[u8; 32],
) -> Result<Option<UserId>, sqlx::Error> {
    let named = users::first_correspondent(conn, tenant, &mail.recipient_addresses()).await?;
    match named {
        Some(person) => Ok(Some(person.user)),
        None => watches::reader_of(conn, tenant, content_hash).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jobs::domain::mail::MailFormat;

    #[tokio::test]
    async fn missing_and_unparsable_emails_have_a_code_each() {
        let code = async |stored| parse(stored).await.err().unwrap().refusal().unwrap().0;
        let stored = |source: &[u8]| {
            Some(StoredMessage {
                format: MailFormat::Rfc822,
                source: source.to_vec(),
            })
        };
        assert_eq!(code(None).await, "message_missing");
        assert_eq!(code(stored(b"no mail at all")).await, "unparsable_email");
        let parsed = parse(stored(b"From: a@b.c\nSubject: Plan\n\nHello")).await;
        assert_eq!(parsed.ok().unwrap().mail.subject, "Plan");
    }
}
