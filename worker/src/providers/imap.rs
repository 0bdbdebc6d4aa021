//! Opens mailboxes by IMAP (RFC 3501, with MOVE, UIDPLUS and SPECIAL-USE if supported): [`Imap`]. `session` has the commands.
//!
//! Keeps neither the server's texts nor the library's errors, because both quote commands with addresses.

mod folders;
pub(super) mod line;
mod names;
mod namespace;
pub mod reader;
mod responses;
mod session;

pub use names::keyword;

use super::{ProviderError, guard::Guard, mailbox::Mailbox};
use async_imap::{Client, error::Error};
use jobs::domain::connection::{MailSecret, Security, Server};
use line::{Line, Service};
use reader::Reader;
use secrecy::ExposeSecret;
use session::Session;
use std::time::Duration;
use tokio::time::timeout;

/// Timeout of connecting and of each command.
const STEP: Duration = Duration::from_secs(30);

/// The codes of a connection that fails before the first command.
const SERVICE: Service = Service {
    unreachable: "imap_unreachable",
    tls: "imap_tls",
    timeout: "imap_timeout",
};

/// The server and login of a mailbox.
#[derive(Debug)]
pub struct Imap {
    pub(super) server: Server,
    pub(super) secret: MailSecret,
    pub(super) guard: Guard,
}

impl Imap {
    /// Connects and logs in.
    ///
    /// # Errors
    /// [`ProviderError::Reauth`] if the server rejects the secret.
    pub async fn open(&self) -> Result<Box<dyn Mailbox>, ProviderError> {
        Ok(Box::new(self.log_in().await?))
    }

    /// Connects and logs in, to read only.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_reader(&self) -> Result<Reader, ProviderError> {
        Ok(Reader::new(self.log_in().await?))
    }

    async fn log_in(&self) -> Result<Session, ProviderError> {
        let mut client = Client::new(Line::open(&self.server, self.guard, &SERVICE).await?);
        let greeted = step("imap_unreachable", client.read_response()).await?;
        if greeted.is_none() {
            return Err(unreachable("imap_unreachable"));
        }
        if self.server.security == Security::Starttls {
            client = self.starttls(client).await?;
        }
        let (username, password) = (&self.secret.username, self.secret.password.expose_secret());
        let login = timeout(STEP, client.login(username, password)).await;
        match login {
            Ok(Ok(session)) => Session::begin(session).await,
            Ok(Err((Error::No(text), _))) if is_temporary(&text) => {
                Err(unreachable("imap_unavailable"))
            }
            Ok(Err((Error::No(_) | Error::Bad(_) | Error::Validate(_), _))) => {
                Err(ProviderError::Reauth {
                    code: "imap_auth_refused",
                })
            }
            Ok(Err(_)) => Err(unreachable("imap_unreachable")),
            Err(_) => Err(timed_out()),
        }
    }

    async fn starttls(&self, mut client: Client<Line>) -> Result<Client<Line>, ProviderError> {
        match timeout(STEP, client.run_command_and_check_ok("STARTTLS", None)).await {
            Ok(Ok(())) => {}
            Ok(Err(Error::No(_) | Error::Bad(_))) => {
                return Err(ProviderError::Permanent {
                    code: "encryption_not_offered",
                    message: "The server does not offer STARTTLS; nothing was sent.".into(),
                });
            }
            Ok(Err(_)) => return Err(unreachable("imap_unreachable")),
            Err(_) => return Err(timed_out()),
        }
        // Drops the old client with its unauthenticated read buffer.
        let line = client.into_inner().encrypted(&self.server.host).await?;
        Ok(Client::new(line))
    }
}

/// Whether a login was refused for a reason of the server's own; the password may be right. RFC 5530 has the codes; servers that
/// know none of them say that there are too many connections.
fn is_temporary(refusal: &str) -> bool {
    let refusal = refusal.to_ascii_uppercase();
    let codes = [
        "[UNAVAILABLE]",
        "[LIMIT]",
        "[INUSE]",
        "[SERVERBUG]",
        "[OVERQUOTA]",
    ];
    codes.iter().any(|code| refusal.contains(code)) || refusal.contains("TOO MANY")
}

/// Runs a step that changes nothing.
async fn step<T, E>(
    code: &'static str,
    action: impl Future<Output = Result<T, E>>,
) -> Result<T, ProviderError> {
    match timeout(STEP, action).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(_)) => Err(unreachable(code)),
        Err(_) => Err(timed_out()),
    }
}

fn unreachable(code: &'static str) -> ProviderError {
    ProviderError::Retryable {
        code,
        detail: "the connection failed".into(),
    }
}

fn timed_out() -> ProviderError {
    ProviderError::Retryable {
        code: "imap_timeout",
        detail: "a command timed out".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::is_temporary;

    #[test]
    fn full_or_broken_server_says_nothing_of_the_password() {
        for (refusal, expected) in [
            ("[UNAVAILABLE] Temporary authentication failure.", true),
            (
                "[LIMIT] Maximum number of connections from user+IP exceeded",
                true,
            ),
            ("[ALERT] Too many simultaneous connections. (Failure)", true),
            ("[SERVERBUG] Internal error occurred.", true),
            ("[AUTHENTICATIONFAILED] Authentication failed.", false),
            ("[ALERT] Invalid credentials (Failure)", false),
            ("LOGIN failed.", false),
        ] {
            assert_eq!(is_temporary(refusal), expected, "{refusal}");
        }
    }
}
