//! Runs commands within their time, and says what their failures mean: [`read`] and [`changed`].

use super::{STEP, line::Received, refusals, refused, timed_out, unreachable};
use crate::providers::ProviderError;
use async_imap::error::Error;
use std::{pin::pin, time::Duration};
use tokio::time::{Instant, timeout};

/// Timeout of a response that does not stall: the largest email at about 100 KB a second.
const LONGEST: Duration = Duration::from_secs(5 * 60);

/// Runs a command that changes nothing.
pub(super) async fn read<T>(
    action: impl Future<Output = Result<T, Error>>,
) -> Result<T, ProviderError> {
    match timeout(STEP, action).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(read_error(&error)),
        Err(_) => Err(timed_out()),
    }
}

/// Runs a command that changes nothing and may take long, for as long as the server sends.
pub(super) async fn read_long<T>(
    received: &Received,
    action: impl Future<Output = Result<T, Error>>,
) -> Result<T, ProviderError> {
    let mut action = pin!(action);
    let ends_at = Instant::now() + LONGEST;
    loop {
        let before = received.bytes();
        match timeout(STEP, &mut action).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => return Err(read_error(&error)),
            Err(_) if received.bytes() > before && Instant::now() < ends_at => {}
            Err(_) => return Err(timed_out()),
        }
    }
}

pub(super) fn read_error(error: &Error) -> ProviderError {
    match error {
        Error::No(text) | Error::Bad(text) => match refusals::wait(text) {
            Some(wait) => ProviderError::Throttled { wait },
            None if refusals::asks_to_wait(text) => unreachable("imap_unavailable"),
            None => refused(),
        },
        _ => unreachable("imap_unreachable"),
    }
}

/// Runs a command that changes something: done, refused, or unknown.
pub(super) async fn changed<T>(
    action: impl Future<Output = Result<T, Error>>,
) -> Result<T, ProviderError> {
    match timeout(STEP, action).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(change_error(&error)),
        Err(_) => Err(reply_lost()),
    }
}

pub(super) fn change_error(error: &Error) -> ProviderError {
    let permanent = |code, message: &str| ProviderError::Permanent {
        code,
        message: message.to_owned(),
    };
    match error {
        Error::No(text) | Error::Bad(text) => {
            // The target folder was deleted since it was listed; the next try creates it.
            let passes = refusals::is_temporary(text) || refusals::names_no_folder(text);
            match refusals::wait(text) {
                Some(wait) => ProviderError::Throttled { wait },
                None if passes => refused(),
                None if refusals::is_full(text) => {
                    permanent("mailbox_full", "The mailbox is full; nothing was changed.")
                }
                None => permanent("imap_refused", REFUSED),
            }
        }
        Error::Append | Error::Validate(_) => permanent("imap_refused", REFUSED),
        _ => reply_lost(),
    }
}

const REFUSED: &str = "The mail server refused the change.";

fn reply_lost() -> ProviderError {
    ProviderError::Unknown {
        code: "imap_reply_lost",
        detail: "the server sent no readable response to a change".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusal_of_a_change_is_final_unless_it_passes() {
        let no = |text: &str| change_error(&Error::No(text.to_owned()));
        for text in [
            "[UNAVAILABLE] Storage is down",
            "[INUSE] Mailbox in use",
            "[SERVERBUG] Internal error occurred.",
            "[EXPUNGEISSUED] Some messages are gone",
            "[TryCreate] Mailbox doesn't exist",
            "Temporary problem, please try again later",
        ] {
            assert!(
                matches!(no(text), ProviderError::Retryable { .. }),
                "{text}"
            );
        }
        assert_eq!(no("[OVERQUOTA] Quota exceeded").code(), "mailbox_full");
        for text in [
            "[LIMIT] Too many keywords",
            "[CANNOT] Reserved name",
            "[NOPERM] Permission denied",
            "No.",
        ] {
            assert!(
                matches!(no(text), ProviderError::Permanent { .. }),
                "{text}"
            );
        }
        let throttled = Error::Bad("Suggested Backoff Time: 10 milliseconds".into());
        assert!(matches!(
            change_error(&throttled),
            ProviderError::Throttled { .. }
        ));
    }
}
