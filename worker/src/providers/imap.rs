//! Mailboxes by IMAP (RFC 3501, with MOVE, UIDPLUS and SPECIAL-USE where there are): opening one. What is done in it is in
//! `session`.
//!
//! Neither a server's words nor the library's errors are kept: both quote what was said, addresses and all.

mod line;
mod names;
mod session;

pub use names::keyword;

use super::{ProviderError, guard::Guard, mailbox::Mailbox};
use async_imap::{Client, error::Error};
use jobs::domain::connection::{MailSecret, Security, Server};
use line::Line;
use secrecy::ExposeSecret;
use session::Session;
use std::time::Duration;
use tokio::time::timeout;

/// For connecting and each command.
const STEP: Duration = Duration::from_secs(30);

/// Where a mailbox is, and what opens it.
#[derive(Debug)]
pub struct Imap {
    pub(super) server: Server,
    pub(super) secret: MailSecret,
    pub(super) guard: Guard,
}

impl Imap {
    /// Connects and signs in.
    ///
    /// # Errors
    /// [`ProviderError::Reauth`] if the secret is not taken.
    pub async fn open(&self) -> Result<Box<dyn Mailbox>, ProviderError> {
        let mut client = Client::new(Line::open(&self.server, self.guard).await?);
        let greeted = step("imap_unreachable", client.read_response()).await?;
        if greeted.is_none() {
            return Err(unreachable("imap_unreachable"));
        }
        if self.server.security == Security::Starttls {
            client = self.starttls(client).await?;
        }
        let (username, password) = (&self.secret.username, self.secret.password.expose_secret());
        let signed_in = timeout(STEP, client.login(username, password)).await;
        match signed_in {
            Ok(Ok(session)) => Ok(Box::new(Session::begin(session).await?)),
            // RFC 5530: it is not the password.
            Ok(Err((Error::No(told), _))) if told.contains("UNAVAILABLE") => {
                Err(unreachable("imap_unavailable"))
            }
            Ok(Err((Error::No(_) | Error::Bad(_) | Error::Validate(_), _))) => {
                Err(ProviderError::Reauth {
                    code: "imap_auth_refused",
                })
            }
            Ok(Err(_)) => Err(unreachable("imap_unreachable")),
            Err(_) => Err(too_slow()),
        }
    }

    async fn starttls(&self, mut client: Client<Line>) -> Result<Client<Line>, ProviderError> {
        match timeout(STEP, client.run_command_and_check_ok("STARTTLS", None)).await {
            Ok(Ok(())) => {}
            Ok(Err(Error::No(_) | Error::Bad(_))) => {
                return Err(ProviderError::Permanent {
                    code: "encryption_not_offered",
                    message: "The server offers no STARTTLS; nothing was sent to it.".into(),
                });
            }
            Ok(Err(_)) => return Err(unreachable("imap_unreachable")),
            Err(_) => return Err(too_slow()),
        }
        // What was read ahead in the clear goes with the old client: nobody has vouched for it.
        let line = client.into_inner().encrypted(&self.server.host).await?;
        Ok(Client::new(line))
    }
}

/// A step after which nothing has been changed yet.
async fn step<T, E>(
    code: &'static str,
    action: impl Future<Output = Result<T, E>>,
) -> Result<T, ProviderError> {
    match timeout(STEP, action).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(_)) => Err(unreachable(code)),
        Err(_) => Err(too_slow()),
    }
}

fn unreachable(code: &'static str) -> ProviderError {
    ProviderError::Retryable {
        code,
        detail: "the connection failed".into(),
    }
}

fn too_slow() -> ProviderError {
    ProviderError::Retryable {
        code: "imap_timeout",
        detail: "a step took too long".into(),
    }
}
