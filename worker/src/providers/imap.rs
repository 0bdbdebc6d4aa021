//! Opens mailboxes by IMAP (RFC 3501, with MOVE, UIDPLUS and SPECIAL-USE if supported): [`Imap`]. `session` has the commands.
//!
//! Keeps neither the server's texts nor the library's errors, because both quote commands with addresses.

mod finding;
mod folders;
mod labels;
pub(super) mod line;
mod names;
mod namespace;
mod opening;
mod outcomes;
pub mod reader;
mod refusals;
mod responses;
mod session;
mod slots;
mod usual_names;

pub(super) use slots::Slots;

use super::{ProviderError, guard::Guard, mailbox::Mailbox};
use async_imap::{Client, error::Error};
use chrono::TimeDelta;
use jobs::domain::connection::{MailSecret, Security, Server};
use line::{Line, Service};
use reader::Reader;
use secrecy::ExposeSecret;
use session::Session;
use std::{sync::Arc, time::Duration};
use tokio::{sync::Semaphore, time::timeout};

/// Timeout of connecting and of each command.
const STEP: Duration = Duration::from_secs(30);
/// How long a session waits for another of the same account to end.
const SLOT_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a job waits then, without using up an attempt.
const SLOT_RETRY: TimeDelta = TimeDelta::seconds(5);

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
    /// What the account's sessions in this process share.
    pub(super) slots: Arc<Semaphore>,
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

    /// Waits for a slot, not as long as a worker that stops would: an effect that waits for one has not happened.
    async fn log_in(&self) -> Result<Session, ProviderError> {
        let slots = Arc::clone(&self.slots).acquire_owned();
        let Ok(slot) = timeout(SLOT_TIMEOUT, slots).await else {
            return Err(ProviderError::Throttled { wait: SLOT_RETRY });
        };
        let slot = slot.expect("it is never closed");
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
            Ok(Ok(session)) => Session::begin(session, slot).await,
            Ok(Err((error, _))) => Err(login_error(&error)),
            Err(_) => Err(timed_out()),
        }
    }

    async fn starttls(&self, mut client: Client<Line>) -> Result<Client<Line>, ProviderError> {
        match timeout(STEP, client.run_command_and_check_ok("STARTTLS", None)).await {
            Ok(Ok(())) => {}
            Ok(Err(Error::No(text) | Error::Bad(text))) if refusals::is_temporary(&text) => {
                return Err(unreachable("imap_unavailable"));
            }
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

/// What a failed login means. Only a NO without another reason says that the password is wrong: BAD is the answer to a command
/// that the server does not take now, or never read.
fn login_error(error: &Error) -> ProviderError {
    match error {
        Error::No(text) | Error::Bad(text) => {
            if let Some(wait) = refusals::wait(text) {
                return ProviderError::Throttled { wait };
            }
            if refusals::is_temporary(text) || refusals::is_at_its_limit(text) {
                return unreachable("imap_unavailable");
            }
            match error {
                Error::No(_) => REJECTED,
                _ => refused(),
            }
        }
        Error::Validate(_) => REJECTED,
        _ => unreachable("imap_unreachable"),
    }
}

const REJECTED: ProviderError = ProviderError::Reauth {
    code: "imap_auth_refused",
};

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

/// The server answers, and does not do what it is asked for.
fn refused() -> ProviderError {
    ProviderError::Retryable {
        code: "imap_refused",
        detail: "the server rejected a command".into(),
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
    use super::*;

    #[test]
    fn only_a_plain_no_rejects_the_password() {
        let no = |text: &str| login_error(&Error::No(text.to_owned()));
        let bad = |text: &str| login_error(&Error::Bad(text.to_owned()));
        let throttled = "Request is throttled. Suggested Backoff Time: 1000 milliseconds";
        for (error, code) in [
            (no("LOGIN failed."), "imap_auth_refused"),
            (
                no("[ALERT] Invalid credentials (Failure)"),
                "imap_auth_refused",
            ),
            (no("Server Unavailable. 15"), "imap_unavailable"),
            (
                no("[LIMIT] Maximum number of connections"),
                "imap_unavailable",
            ),
            (bad("Try again later"), "imap_unavailable"),
            (bad("Command unknown"), "imap_refused"),
            (no(throttled), "provider_rate"),
            (bad(throttled), "provider_rate"),
            (login_error(&Error::ConnectionLost), "imap_unreachable"),
        ] {
            assert_eq!(error.code(), code);
        }
    }
}
